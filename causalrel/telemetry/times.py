"""Times: how far a table runs, where it is silent, which times are stray and which rows come again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from causalrel import display
from causalrel.telemetry.columns import streamed
from causalrel.telemetry.schema import TIME
from causalrel.telemetry.silences import bulk_of, find_silences

#: Columns of :func:`tell_times`.
ROWS: dict[str, Any] = {
    "table": pl.String,
    "rows": pl.Int64,
    **dict.fromkeys(("first", "last"), TIME),
    **dict.fromkeys(("series", "gaps"), pl.Int64),
    "longest_s": pl.Float64,
    **dict.fromkeys(("silent_from", "silent_until"), TIME),
    **dict.fromkeys(("repeated", "stray"), pl.Int64),
}


def tell_times(table: str, frame: pl.LazyFrame, rows: int, source: str) -> tuple[dict[str, Any], list[str]]:
    """Tell the span of a table, its gaps, its stray times and its repeats.

    Of each row only the time and hashes of 64 bits are held in memory. Changes are too rare to have gaps.

    Parameters
    ----------
    table : {"requests", "samples", "changes"}
        Which it is; a series of samples is one metric with one set of labels, requests are one series.
    frame : polars.LazyFrame
        Its rows.
    rows : int
        How many they are.
    source : str
        Where they come from, named in errors.

    Returns
    -------
    row : dict
        In the columns of ``ROWS``.
    said : list of str
        One sentence a finding.

    Examples
    --------
    >>> times = pl.Series([*range(20), 90, *range(91, 111)]).cast(pl.Datetime("us", "UTC")) - timedelta(0)
    >>> tell_times("requests", pl.LazyFrame({"time": times}), 41, "memory")[0]["gaps"]
    1
    """
    row: dict[str, Any] = {**dict.fromkeys(ROWS), "table": table, "rows": rows}
    said: list[str] = []
    labels = [name for name in frame.collect_schema().names() if name not in ("time", "value")]
    key = _hashed(labels) if table == "samples" else pl.lit(0, pl.UInt8)
    events = streamed(frame.select(key=key, time=pl.col("time").dt.epoch("us")).drop_nulls("time"), source)
    if events.height < rows:
        said.append(f"{_many(rows - events.height, table)} without a time.")
    row["repeated"] = 0
    if not events.is_empty():
        events = events.sort("key", "time")
        first, last = bulk_of(events["time"] if table == "requests" else events["time"].sort())
        outside = events.filter(~pl.col("time").is_between(first, last))["time"]
        row |= {"first": _when(first), "last": _when(last), "stray": outside.len()}
        if outside.len():
            events = events.filter(pl.col("time").is_between(first, last))
            said.append(_strays(table, outside, first, last))
        if table != "changes":
            silences = find_silences(events)
            row |= {"series": events["key"].n_unique(), "repeated": int(silences["again"].sum())}
            said += _gaps(table, silences, row)
    if table != "samples":
        row["repeated"], repeats = _repeats(table, frame, source)
        said += repeats
    elif row["repeated"]:
        said.append(f"{_many(row['repeated'], table)} told again: the time and the labels of another.")
    return row, said


def _hashed(names: list[str]) -> pl.Expr:
    """Return a hash of 64 bits of several columns; two sets of values rarely share one."""
    return pl.sum_horizontal(pl.col(name).hash(seed=i) for i, name in enumerate(names))


def _gaps(table: str, silences: pl.DataFrame, row: dict[str, Any]) -> list[str]:
    """Put the longest silence and the gaps into the row, and say them where there are any."""
    row["gaps"] = int(silences["gaps"].sum())
    gone = silences.filter(pl.col("gaps") > 0)
    worst = (gone if gone.height else silences).sort("longest", "key").tail(1)
    if worst.is_empty():
        return []
    _, longest, start, expected, _, _ = worst.row(0)
    row |= {"longest_s": longest / 1e6, "silent_from": _when(start), "silent_until": _when(start + longest)}
    if not row["gaps"]:
        return []
    where = table if table == "requests" else f"{gone.height:,} of {row['series']:,} series of {table}"
    gaps = "1 gap" if row["gaps"] == 1 else f"{row['gaps']:,} gaps"
    usual = display.length(timedelta(microseconds=expected))
    lasts = display.length(timedelta(microseconds=longest))
    ends = f"{_second(start)} to {_second(start + longest)} UTC"
    return [f"{gaps} in {where}: the longest lasts {lasts}, from {ends}, where {usual} could be expected."]


def _strays(table: str, outside: pl.Series, first: int, last: int) -> str:
    ends = [_second(outside.min()), _second(outside.max())]
    strays = " to ".join(dict.fromkeys(ends))
    return f"{_many(outside.len(), table)} far from the others ({_second(first)} to {_second(last)} UTC): {strays}."


def _repeats(table: str, frame: pl.LazyFrame, source: str) -> tuple[int, list[str]]:
    """Count rows whose request id came before, and rows that came before as they are."""
    said, repeated = [], 0
    names = frame.collect_schema().names()
    if table == "requests" and "request_id" in names:
        ids = streamed(frame.select(pl.col("request_id").hash(), known=pl.col("request_id").is_not_null()), source)
        known = ids.filter("known")["request_id"]
        repeated = known.len() - known.n_unique()
        if repeated:
            said.append(f"{_many(repeated, table)} told again: the request_id of another.")
        elif known.len() == ids.height:
            return 0, []
    hashes = streamed(frame.select(_hashed(names).alias("row")), source)["row"]
    whole = hashes.len() - hashes.n_unique()
    if whole:
        said.append(f"{_many(whole, table)} told again: every column as in another.")
    return max(repeated, whole), said


def _many(count: int, table: str) -> str:
    return f"1 of the {table} is" if count == 1 else f"{count:,} of the {table} are"


def _when(micros: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=micros)


def _second(micros: Any) -> str:
    return _when(micros).strftime("%Y-%m-%d %H:%M:%S")
