"""Answers of the Prometheus HTTP API to ``query_range`` and ``query``, as samples."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
from msgspec import Raw, Struct

from causalrel import errors
from causalrel.telemetry.documents import documents, said
from causalrel.telemetry.parts import Parts, tell
from causalrel.telemetry.prometheus import number_of
from causalrel.telemetry.samples import Samples, placed

_TODO = "save the answer to a query of one metric, such as /api/v1/query_range?query=up"


class _Data(Struct, rename="camel"):
    result_type: str = ""
    result: Raw = Raw(b"[]")


class _Answer(Struct, rename="camel"):
    status: str = ""
    error: str = ""
    data: Raw = Raw()


class _Series(Struct, gc=False):
    metric: dict[str, str] = {}
    values: list[tuple[float, str]] = []
    value: tuple[float, str] | None = None
    histograms: list[Raw] = []
    histogram: Raw = Raw()


_ANSWER = msgspec.json.Decoder(_Answer)
_DATA = msgspec.json.Decoder(_Data)
_RESULT = msgspec.json.Decoder(list[Raw])
_SERIES = msgspec.json.Decoder(_Series)


def read_answers(paths: list[Path]) -> Parts:
    r"""Read answers of the Prometheus HTTP API, series by series.

    Parameters
    ----------
    paths : list of pathlib.Path
        Files of one answer each, or of one a line, packed or not.

    Returns
    -------
    Parts
        Samples.

    Raises
    ------
    CausalrelError
        When an answer tells an error, or is none to a query for series over time.

    Examples
    --------
    >>> import tempfile
    >>> told = '{"status":"success","data":{"resultType":"vector","result":[%s]}}'
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "up.json"
    ...     _ = path.write_text(told % '{"metric":{"__name__":"up","job":"chat"},"value":[1770768000.5,"1"]}')
    ...     read_answers([path]).samples.row(0)[2:]
    ('chat', 'up', 1.0)
    """
    samples, parts = Samples(), Parts()
    bad: list[str] = []
    for path in paths:
        for answer in documents(path, _ANSWER, "an answer of Prometheus", parts.notes):
            for raw in _results(path, answer):
                fault = _take(raw, samples)
                if fault:
                    bad.append(fault)
    tell(parts.notes, len(bad), "answered metric", f"was not read whole; the first: {(bad or [''])[0]}")
    parts.samples = samples.frame(parts.notes, str(paths[0]))
    if parts.samples is None:
        found = f"no sample in it can be read ({bad[0]})" if bad else "the answer holds no samples"
        raise errors.unreadable(paths[0], found, _TODO)
    return parts


def _results(path: Path, answer: _Answer) -> list[Raw]:
    if answer.status != "success":
        raise errors.unreadable(path, f"Prometheus answered '{answer.error[:120] or answer.status[:40]}'", _TODO)
    try:
        data = _DATA.decode(answer.data)
        if data.result_type not in ("matrix", "vector"):
            found = f"the answer is of type '{data.result_type[:40]}', which tells no series"
            raise errors.unreadable(path, found, _TODO)
        return _RESULT.decode(data.result)
    except (ValueError, RecursionError) as fault:
        raise errors.unreadable(path, f"the answer tells no series ({said(fault)})", _TODO) from None


def _take(raw: Raw, samples: Samples) -> str:
    """Take one series; return what of it could not be read."""
    try:
        series = _SERIES.decode(raw)
    except (ValueError, RecursionError) as fault:
        return said(fault)[:120]
    name = series.metric.pop("__name__", "")
    if not name:
        return "it has no name, so it is computed; query the metric itself"
    place = placed(name, series.metric)
    lacks = "it holds native histograms" if series.histograms or bytes(series.histogram) else ""
    for seconds, text in series.values or ([series.value] if series.value else []):
        value = number_of(text)
        if value is None or not math.isfinite(seconds) or not 0 < seconds < 2**43:
            lacks = f"it holds the sample [{seconds:g}, '{text[:20]}']"
        else:
            samples.add(round(seconds * 1e6), *place, value)
    return lacks
