"""Writers: telemetry to a directory, in causalrel's own tables or in the forms that other tools export."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from causalrel import errors
from causalrel.telemetry import Telemetry, collected
from causalrel.telemetry.drafts import drafted
from causalrel.telemetry.otlp import write_otlp
from causalrel.telemetry.prometheus import write_prometheus

Form = Literal["parquet", "otlp", "prometheus"]

FORMS: tuple[Form, ...] = get_args(Form)


def write_telemetry(telemetry: Telemetry, folder: str | Path, *, form: Form = "parquet") -> None:
    """Write requests, samples and changes to a directory, all of its files whole or none of them.

    Parameters
    ----------
    telemetry : Telemetry
        What to write.
    folder : str or pathlib.Path
        A directory; made if its parent exists.
    form : {"parquet", "otlp", "prometheus"}
        Parquet files that :func:`causalrel.read` reads, OTLP JSON lines (see
        :func:`causalrel.telemetry.otlp.write_otlp`), or answers of the Prometheus HTTP API, which cannot tell requests
        and changes (see :func:`causalrel.telemetry.prometheus.write_prometheus`).

    Raises
    ------
    CausalrelError
        When the form is not known or cannot tell any of it, or the directory cannot be made or written.

    Examples
    --------
    >>> import tempfile
    >>> import causalrel as cr
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_telemetry(cr.load_dataset("llm-canary"), folder)
    ...     cr.read(folder).frame().height == cr.load_dataset("llm-canary").frame().height
    True
    """
    if form not in FORMS:
        raise errors.unknown_name(form, "form of telemetry", FORMS)
    if form == "otlp":
        return write_otlp(telemetry, folder)
    if form == "prometheus":
        return write_prometheus(telemetry, folder)
    with drafted(folder) as draft:
        for name, frame in (
            ("requests", telemetry.requests),
            ("samples", telemetry.samples),
            ("changes", telemetry.changes),
        ):
            if frame is not None:
                collected(frame, telemetry.source).write_parquet(draft / f"{name}.parquet", compression="zstd")
    return None
