"""Partials: requests summed in one pass into tables and counts that add up over files, hosts and spans."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from causalrel.slos import SLO
from causalrel.telemetry import Telemetry, collected, damage_told
from causalrel.telemetry.schema import REQUEST_VARIABLES
from causalrel.variables import Variable
from causalrel.windows.plans import Plan, is_modal, judged, unit_text
from causalrel.windows.sketches import BucketCounts, BucketHeap, bucket_codes, merge_counts
from causalrel.windows.sums import Numbers, add_exactly, count_rows, number_cells

#: Floats are summed as whole multiples of 2**-40, so that sums do not depend on order.
SCALE = float(1 << 40)
#: Values of at least this are no sensible numbers.
LIMIT = 1e18

_BATCH, _PIECE = 1 << 17, 1 << 22
_NO_HASH = pl.lit(0, pl.UInt64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Partial:
    """What some of the requests come to; those of several files, hosts or spans add up.

    Parameters
    ----------
    rows, timed, repeated : int
        Requests, those of them that have a time, and those left out as repeats of another.
    span : tuple of datetime.datetime or None
        First and last time; None where there is none.
    tables : tuple of polars.DataFrame
        For each plan a row for a unit, window ``t`` and combination of modal values: whole-number sums and counts.
        Rows of the same keys add up. None where no request has a time.
    counts : dict of str to BucketCounts
        For each column of quantiles its values in buckets, by the units and windows of the first plan.

    Examples
    --------
    >>> Partial(rows=2, timed=1, span=None, tables=(), counts={}).timed
    1
    """

    rows: int
    timed: int
    span: tuple[datetime, datetime] | None
    tables: tuple[pl.DataFrame, ...]
    counts: dict[str, BucketCounts]
    repeated: int = 0


def cut_requests(telemetry: Telemetry, plan: Plan) -> list[pl.LazyFrame]:
    """Cut requests into pieces that can be summed apart: each file, or some of its rows.

    Parameters
    ----------
    telemetry : Telemetry
        The telemetry.
    plan : Plan
        Columns of all pieces and their types.

    Returns
    -------
    list of polars.LazyFrame
        At least one.

    Examples
    --------
    >>> from datetime import timedelta
    >>> schema = {"time": pl.Int64()}
    >>> plan = Plan(by=(), width=timedelta(minutes=5), slos=(), variables=(), schema=schema, source="memory")
    >>> len(cut_requests(Telemetry(requests=pl.LazyFrame({"time": [1, 2]})), plan))
    1
    """
    made = []
    for part in telemetry.parts or (telemetry.requests,):
        there = part.collect_schema()
        columns = [
            pl.col(name).cast(kind) if name in there else pl.lit(None, dtype=kind).alias(name)
            for name, kind in plan.schema.items()
        ]
        rows = collected(part.select(pl.len()), plan.source).item()
        made += [part.slice(start, _PIECE).select(columns) for start in range(0, max(rows, 1), _PIECE)]
    return made


def roll_up(requests: pl.LazyFrame, plans: Sequence[Plan], columns: Sequence[str] = ()) -> Partial:
    """Sum requests in one pass, a batch at a time.

    Parameters
    ----------
    requests : polars.LazyFrame
        Canonical requests.
    plans : sequence of Plan
        What to sum; at least one, all of the same requests.
    columns : sequence of str
        Columns of numbers to count in buckets.

    Returns
    -------
    Partial
        The same for any order of the rows and any batches.

    Raises
    ------
    CausalrelError
        When the rows cannot be read.

    Examples
    --------
    >>> from datetime import UTC, timedelta
    >>> from causalrel.windows.plans import plan_rollup
    >>> from causalrel.telemetry.schema import TIME
    >>> frame = pl.LazyFrame({"time": [datetime(2026, 2, 11, tzinfo=UTC)] * 2}, schema_overrides={"time": TIME})
    >>> plan = plan_rollup(Telemetry(requests=frame), [], ["service"], timedelta(minutes=5))
    >>> roll_up(frame, [plan]).tables[0]["n"].to_list()
    [2]
    """
    tallies = [_Tally(plan, f"{place}|") for place, plan in enumerate(plans)]
    clean = _cleaned(plans[0])
    buckets = [bucket_codes(pl.col(name)).alias(f"b{i}") for i, name in enumerate(columns)]
    made = [
        pl.col("time"),
        *(pl.col(f"b{i}") for i in range(len(columns))),
        *(m for tally in tallies for m in tally.made),
    ]
    needed = _roots(made)
    clean = [one for one in clean if one.meta.output_name() in needed]
    needed = {name for name in needed | _roots([*clean, *buckets]) if name in plans[0].schema}
    wanted = (
        requests.select(name for name in plans[0].schema if name in needed).with_columns(clean + buckets).select(made)
    )
    heap = BucketHeap(columns)
    rows, timed = 0, 0
    times: list[datetime] = []
    with damage_told(plans[0].source):
        for batch in wanted.collect_batches(chunk_size=_BATCH, maintain_order=False):
            rows += batch.height
            fine = batch.drop_nulls("time") if batch["time"].null_count() else batch
            if not fine.height:
                continue
            timed += fine.height
            times += [fine["time"].min(), fine["time"].max()]  # type: ignore[list-item]
            (cells, keys), *_ = [tally.put(fine) for tally in tallies]
            if columns:
                named = keys.select("t", unit=unit_text(plans[0].keys))
                heap.put(named, cells, [fine[f"b{i}"].to_numpy() for i in range(len(columns))])
    span = (min(times), max(times)) if times else None
    tables = tuple(tally.taken() for tally in tallies) if times else ()
    return Partial(rows=rows, timed=timed, span=span, tables=tables, counts=heap.taken() if times else {})


def add_up(parts: Sequence[Partial]) -> Partial:
    """Add up what several files, hosts or spans come to.

    Parameters
    ----------
    parts : sequence of Partial
        At least one, all of the same plans.

    Returns
    -------
    Partial
        Their sum, the same in any order.

    Examples
    --------
    >>> part = Partial(rows=2, timed=1, span=None, tables=(), counts={})
    >>> add_up([part, part]).rows
    4
    """
    full = [part for part in parts if part.span]
    times = [time for part in full for time in part.span or ()]
    return Partial(
        rows=sum(part.rows for part in parts),
        timed=sum(part.timed for part in parts),
        repeated=sum(part.repeated for part in parts),
        span=(min(times), max(times)) if times else None,
        tables=tuple(pl.concat(tables) for tables in zip(*(part.tables for part in full), strict=True)),
        counts={name: merge_counts([part.counts[name] for part in full]) for name in (full[0].counts if full else ())},
    )


class _Tally:
    """Sums of one plan as batches come, in columns of their own that start with a mark."""

    def __init__(self, plan: Plan, mark: str) -> None:
        held = dict(zip(plan.by, plan.keys, strict=True))
        modal = [variable for variable in plan.variables if is_modal(variable)]
        units = [pl.col(name).alias(key) for name, key in held.items()]
        modes = [_modal(v, plan.schema[v.name], v.name) for v in modal if v.name not in held]
        telling = [one.hash(seed) for seed, one in enumerate([*units, *modes])]
        index = (pl.col("time").dt.epoch("us") // plan.micros).alias("t")
        flags = [flag for slo in plan.slos for flag in _judged(slo, plan.schema)]
        hashed = functools.reduce(operator.xor, telling, _NO_HASH).alias("hash")
        self._mark = mark
        self.made = [one.name.prefix(mark) for one in (*units, index, *modes, hashed, *_values(plan), *flags)]
        self._implied = [_modal(v, plan.schema[v.name], held[v.name]) for v in modal if v.name in held]
        self._keys = [*plan.keys, "t", *(mode.meta.output_name() for mode in modes)]
        self._means = _means(plan)
        self._slos = [slo.name for slo in plan.slos]
        self._tables: list[pl.DataFrame] = []
        self._settled = 0

    def put(self, batch: pl.DataFrame) -> tuple[Numbers, pl.DataFrame]:
        """Add a batch of what was made of requests; return the cell of each row, and the keys of each cell."""
        frame = {name.removeprefix(self._mark): batch[name] for name in batch.columns if name.startswith(self._mark)}
        cells, rows = number_cells(frame["t"].to_numpy(), frame["hash"].to_numpy())
        keys, size = pl.DataFrame({name: frame[name] for name in self._keys})[rows], len(rows)
        counts = {"n": np.bincount(cells, minlength=size)}
        sums = []
        for name in self._means:
            sums.append(add_exactly(cells, counts["n"], frame[f"s:{name}"]).alias(f"s:{name}"))
            counts[f"c:{name}"] = counts["n"] - count_rows(cells, size, frame[f"null:{name}"])
            if f"o:{name}" in frame:
                counts[f"o:{name}"] = count_rows(cells, size, frame[f"o:{name}"])
        for name in self._slos:
            counts[f"unknown:{name}"] = unknown = count_rows(cells, size, frame[f"unknown:{name}"])
            counts[f"bad:{name}"] = count_rows(cells, size, frame[f"bad:{name}"])
            among = f"asked:{name}" in frame
            counts[f"total:{name}"] = (
                count_rows(cells, size, frame[f"asked:{name}"]) if among else counts["n"]
            ) - unknown
        self._tables.append(keys.with_columns(*(pl.Series(name, one) for name, one in counts.items()), *sums))
        if sum(table.height for table in self._tables) > 2 * self._settled + _BATCH:
            self._tables = [_stacked(self._tables, self._keys)]
            self._settled = self._tables[0].height
        return cells, keys

    def taken(self) -> pl.DataFrame:
        """Return the sums of what was put, at least one batch."""
        return _stacked(self._tables, self._keys).with_columns(self._implied)


def _stacked(tables: Sequence[pl.DataFrame], keys: Sequence[str]) -> pl.DataFrame:
    whole = pl.concat(tables)
    return whole.lazy().group_by(keys).agg(pl.exclude(keys).sum()).collect()


def _roots(expressions: Sequence[pl.Expr]) -> set[str]:
    return {name for one in expressions for name in one.meta.root_names()}


def _means(plan: Plan) -> list[str]:
    return [variable.name for variable in plan.variables if not is_modal(variable)]


def _cleaned(plan: Plan) -> list[pl.Expr]:
    """Return numbers without those that are not sensible, and as ``o:<name>`` where one was not."""
    canonical = {variable.name for variable in REQUEST_VARIABLES}
    clean, means = [], _means(plan)
    for name in means:
        kind = plan.schema[name]
        if not (kind.is_float() or kind.is_integer()):
            continue
        column = pl.col(name).fill_nan(None) if kind.is_float() else pl.col(name)
        fine = column.abs() < LIMIT if name not in canonical else column.is_between(0, LIMIT)
        clean += [(column.is_not_null() & ~fine).alias(f"o:{name}"), pl.when(fine).then(column).alias(name)]
    return clean + [pl.col(n).fill_nan(None) for n, k in plan.schema.items() if k.is_float() and n not in means]


def _values(plan: Plan) -> list[pl.Expr]:
    """Return what is summed of clean numbers, floats as whole numbers."""
    made = []
    for name in _means(plan):
        kind = plan.schema[name]
        column = pl.col(name) if kind.is_float() else pl.col(name).cast(pl.Int64, strict=False)
        whole = (column * SCALE).round() if kind.is_float() else column
        made += [whole.fill_null(0).alias(f"s:{name}"), column.is_null().alias(f"null:{name}")]
        if kind.is_float() or kind.is_integer():
            made.append(pl.col(f"o:{name}"))
    return made


def _modal(variable: Variable, kind: pl.DataType, held: str) -> pl.Expr:
    column = pl.col(held)
    if variable.kind == "category":
        return column.cast(pl.String).alias(f"m:{variable.name}")
    whole = column.round() if kind.is_float() else column
    return whole.cast(pl.Int64, strict=False).alias(f"m:{variable.name}")


def _judged(slo: SLO, schema: dict[str, pl.DataType]) -> list[pl.Expr]:
    """Return whether a request is bad, cannot be judged, and where not all are, whether it is maybe asked."""
    good, among = (one.cast(pl.Boolean) for one in judged(slo, schema))
    if not slo.among and not slo.tier:
        return [
            good.not_().fill_null(value=False).alias(f"bad:{slo.name}"),
            good.is_null().alias(f"unknown:{slo.name}"),
        ]
    asked = among.fill_null(value=True)
    known = pl.when(among).then(good)
    return [
        known.not_().fill_null(value=False).alias(f"bad:{slo.name}"),
        (asked & known.is_null()).alias(f"unknown:{slo.name}"),
        asked.alias(f"asked:{slo.name}"),
    ]
