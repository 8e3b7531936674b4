"""Writers: telemetry to a directory of Parquet files that :func:`causalrel.read` reads."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from causalrel import errors
from causalrel.telemetry import Telemetry


def write_telemetry(telemetry: Telemetry, folder: str | Path) -> None:
    """Write requests, samples and changes as Parquet, each file whole or not at all.

    Parameters
    ----------
    telemetry : Telemetry
        What to write.
    folder : str or pathlib.Path
        A directory; made if its parent exists.

    Raises
    ------
    CausalrelError
        When the directory cannot be made or written.

    Examples
    --------
    >>> import tempfile
    >>> import causalrel as cr
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_telemetry(cr.load_dataset("llm-canary"), folder)
    ...     cr.read(folder).frame().height == cr.load_dataset("llm-canary").frame().height
    True
    """
    target = Path(folder)
    try:
        target.mkdir(exist_ok=True)
        for name, lazy in (
            ("requests", telemetry.requests),
            ("samples", telemetry.samples),
            ("changes", telemetry.changes),
        ):
            if lazy is None:
                continue
            handle, draft = tempfile.mkstemp(dir=target, prefix=f".{name}-", suffix=".parquet")
            os.close(handle)
            try:
                lazy.collect().write_parquet(draft, compression="zstd")
                Path(draft).replace(target / f"{name}.parquet")
            finally:
                Path(draft).unlink(missing_ok=True)
    except OSError as fault:
        raise errors.unreadable(
            folder, f"it cannot be written ({fault.strerror or type(fault).__name__})", "name a directory you may write"
        ) from None
