"""What an export holds, column by column."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from causalrel import display, errors
from causalrel.telemetry import Telemetry, collected

_WIDTH = 24
_SCHEMA = dict.fromkeys(("table", "column", "type"), pl.String) | {
    "missing": pl.Int64,
    "low": pl.String,
    "high": pl.String,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What telemetry holds.

    Parameters
    ----------
    table : polars.DataFrame
        ``table``, ``column``, ``type``, ``missing``, ``low``, ``high``; one row a column.
    says : str
        Rows, span and failures in one line.
    source : str
        Where the telemetry came from.

    Examples
    --------
    >>> Contents(table=pl.DataFrame({"column": ["time"]}), says="1 request", source="export").frame().height
    1
    """

    table: pl.DataFrame
    says: str
    source: str

    def frame(self) -> pl.DataFrame:
        """Return the table."""
        return self.table

    def __repr__(self) -> str:
        return display.plain(f"Telemetry from {self.source}: {self.says}")

    def _repr_html_(self) -> str:
        return display.frame_html(repr(self), self.table, rows=100)


def summarise(telemetry: Telemetry) -> Contents:
    """Say what telemetry holds: rows, span, failures, and for each column what is missing, smallest and largest.

    Parameters
    ----------
    telemetry : Telemetry
        What was read or made.

    Returns
    -------
    Contents
        One row a column.

    Raises
    ------
    CausalrelError
        When there is nothing at all.

    Examples
    --------
    >>> import causalrel as cr
    >>> summarise(cr.load_dataset("llm-canary")).frame()["column"][0]
    'time'
    """
    made, says = [], []
    for table, lazy in (
        ("requests", telemetry.requests),
        ("samples", telemetry.samples),
        ("changes", telemetry.changes),
    ):
        if lazy is None:
            continue
        frame = collected(lazy, telemetry.source)
        if table == "requests" and frame.is_empty():
            if telemetry.samples is None and telemetry.changes is None:
                raise errors.empty_data(telemetry.source)
            continue
        says.append(f"{frame.height:,} {table}{_span(frame)}{_failed(frame)}")
        for series in frame:
            values = series.drop_nulls() if _ordered(series.dtype) else series.clear()
            ends = [_shown(value) for value in ((values.min(), values.max()) if values.len() else (None, None))]
            made.append((table, series.name, _kind(series.dtype), series.null_count(), *ends))
    return Contents(
        table=pl.DataFrame(made, schema=_SCHEMA, orient="row"), says="; ".join(says), source=telemetry.source
    )


def _span(frame: pl.DataFrame) -> str:
    if frame.is_empty() or "time" not in frame.columns:
        return ""
    first, last = (display.cell(value) for value in (frame["time"].min(), frame["time"].max()))
    return f" from {first} to {last} UTC"


def _failed(frame: pl.DataFrame) -> str:
    return f", {frame['error'].count():,} of them failed" if "error" in frame.columns else ""


def _ordered(kind: pl.DataType) -> bool:
    return kind.is_numeric() or kind.is_temporal() or kind == pl.String


def _kind(kind: pl.DataType) -> str:
    for name, fits in (("integer", kind.is_integer()), ("number", kind.is_numeric()), ("time", kind.is_temporal())):
        if fits:
            return name
    return "text" if kind == pl.String else str(kind).lower()


def _shown(value: object) -> str | None:
    if value is None:
        return None
    text = display.cell(value)
    return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."
