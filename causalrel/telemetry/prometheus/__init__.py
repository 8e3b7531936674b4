"""Prometheus: samples as the answers its HTTP API gives to range queries."""

from __future__ import annotations

import json
import math
import re
from itertools import groupby
from pathlib import Path

import numpy as np

from causalrel import errors
from causalrel.telemetry import Telemetry
from causalrel.telemetry.drafts import drafted
from causalrel.telemetry.series import Series, series_of

_NAME_LENGTH = 120


def write_prometheus(telemetry: Telemetry, folder: str | Path) -> None:
    """Write samples as answers to ``query_range``, one JSON file a metric name.

    Prometheus holds numbers sampled over time, not events: requests and changes cannot be told in this form and are
    left out. The columns of the samples other than ``time``, ``metric`` and ``value`` are labels, beside those written
    in the metric itself; a label of the metric that bears a column's name becomes ``exported_...``, and an empty label
    is no label, as in Prometheus. Times keep their microseconds; a file is named after its metric, with ``_`` for what
    does not belong in a file name.

    Parameters
    ----------
    telemetry : Telemetry
        What to write; the samples are held in memory.
    folder : str or pathlib.Path
        A directory; made if its parent exists.

    Raises
    ------
    CausalrelError
        When there are no samples, a metric is not in Prometheus notation, or the directory cannot be made or written.

    Examples
    --------
    >>> import tempfile
    >>> import causalrel as cr
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_prometheus(cr.load_dataset("llm-canary"), folder)
    ...     sorted(path.name for path in Path(folder).iterdir())[-1]
    'vllm_num_requests_waiting.json'
    """
    found = [] if telemetry.samples is None else series_of(telemetry.samples, telemetry.source)
    if not found:
        raise errors.bad_data(
            f"'{telemetry.source}' has no samples, and Prometheus cannot tell requests", "write it as parquet or otlp"
        )
    taken: set[str] = set()
    with drafted(folder) as draft:
        for name, group in groupby(sorted(found, key=lambda one: one.name), key=lambda one: one.name):
            with (draft / _file_name(name, taken)).open("w", encoding="utf-8", newline="\n") as file:
                file.write('{"status":"success","data":{"resultType":"matrix","result":[')
                for number, series in enumerate(group):
                    file.write(("," if number else "") + _result(series))
                file.write("]}}\n")


def _file_name(name: str, taken: set[str]) -> str:
    stem = re.sub(r"[^A-Za-z0-9_.-]", "_", name).lstrip(".")[:_NAME_LENGTH] or "_"
    number, free = 1, stem
    while free.casefold() in taken:
        number, free = number + 1, f"{stem}-{number + 1}"
    taken.add(free.casefold())
    return f"{free}.json"


def _result(series: Series) -> str:
    labels = {name: value for name, value in series.labelled().items() if value}
    told = json.dumps({"__name__": series.name, **labels}, ensure_ascii=False, separators=(",", ":"))
    rows = (f'[{_seconds(time)},"{number_text(value)}"]' for time, value in series.points.iter_rows())
    return f'{{"metric":{told},"values":[{",".join(rows)}]}}'


def _seconds(micros: int) -> str:
    whole, part = divmod(micros, 1_000_000)
    return f"{whole}.{part:06d}".rstrip("0") if part else str(whole)


def number_text(value: float) -> str:
    """Write a number as Prometheus prints it: the shortest text that reads back as the same number.

    Parameters
    ----------
    value : float
        Any number.

    Returns
    -------
    str
        With an exponent only below 1e-6 and from 1e21 on.

    Examples
    --------
    >>> [number_text(value) for value in (3.0, 0.1, 1e16, 1e-7, float("inf"), float("nan"))]
    ['3', '0.1', '10000000000000000', '1e-07', '+Inf', 'NaN']
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    written = repr(value)
    if "e" in written and 1e-6 <= abs(value) < 1e21:
        return np.format_float_positional(value, trim="-")
    return written.removesuffix(".0")


def number_of(text: str) -> float | None:
    """Return a number as Prometheus writes it; None for what is none.

    Parameters
    ----------
    text : str
        Such as ``1e+06``, ``+Inf`` or ``NaN``.

    Returns
    -------
    float or None
        Its value.

    Examples
    --------
    >>> number_of("1e+06"), number_of("+Inf"), number_of("fast"), number_of("1_0")
    (1000000.0, inf, None, None)
    """
    try:
        return float(text) if "_" not in text else None
    except ValueError:
        return None
