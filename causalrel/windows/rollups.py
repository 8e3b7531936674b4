"""Rollups: what requests were summed to, as the regular table."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl

from causalrel import display, errors
from causalrel.telemetry.parts import accounted
from causalrel.telemetry.schema import LOAD, TIME
from causalrel.windows.partials import SCALE, Partial, add_up, roll_up
from causalrel.windows.plans import Plan, is_modal, unit_text
from causalrel.windows.repeats import find_repeats, hash_ids, keep_first, with_ids, without_ids

_MAX_ROWS = 5_000_000
_SIGNED_SHARE = 0.01


def sum_parts(
    do: Callable[[Sequence[Callable[[], Any]]], list[Any]],
    parts: Sequence[pl.LazyFrame],
    plans: Sequence[Plan],
    columns: Sequence[str],
) -> Partial:
    """Sum the requests of all parts, each request id once.

    Parameters
    ----------
    do : callable
        Does jobs, functions without arguments, and returns their results in order.
    parts : sequence of polars.LazyFrame
        Requests, all of the same columns.
    plans : sequence of Plan
        What to sum; at least one.
    columns : sequence of str
        Columns of numbers to count in buckets.

    Returns
    -------
    Partial
        The same however the requests are cut.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from causalrel.windows.plans import plan_rollup
    >>> from causalrel.telemetry import Telemetry
    >>> times = [datetime(2026, 2, 11, hour, tzinfo=UTC) for hour in (9, 10, 10)]
    >>> frame = pl.LazyFrame({"time": times, "request_id": ["a", "b", "a"]}, schema_overrides={"time": TIME})
    >>> plan = plan_rollup(Telemetry(requests=frame), [], ["service"], timedelta(minutes=5))
    >>> sum_parts(lambda jobs: [job() for job in jobs], [frame], [plan], []).repeated
    1
    """
    source, repeated = plans[0].source, 0
    if plans[0].schema.get("request_id", pl.Null) != pl.Null:
        hashes = find_repeats(do([functools.partial(hash_ids, part, source) for part in parts]))
        if len(hashes):
            rows = pl.concat(do([functools.partial(with_ids, part, hashes, source) for part in parts]))
            first = keep_first(rows, plans[0])
            parts = [*(without_ids(part, hashes) for part in parts), first.lazy()]
            repeated = rows.height - first.height
    found = add_up(do([functools.partial(roll_up, part, plans, columns) for part in parts]))
    return replace(found, rows=found.rows + repeated, timed=found.timed + repeated, repeated=repeated)


def check_rows(partial: Partial, plan: Plan, every: str, notes: list[str]) -> None:
    """Check that requests fill a window.

    Parameters
    ----------
    partial : Partial
        What all of them come to.
    plan : Plan
        What was summed.
    every : str
        Width of a window as it was written.
    notes : list of str
        Takes what became of each row.

    Raises
    ------
    CausalrelError
        When there are no rows, or they end before the first window does.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from causalrel.windows.partials import roll_up
    >>> from causalrel.windows.plans import plan_rollup
    >>> from causalrel.telemetry import Telemetry
    >>> times = [datetime(2026, 2, 11, hour, tzinfo=UTC) for hour in (9, 10)] + [None]
    >>> frame = pl.LazyFrame({"time": times}, schema_overrides={"time": TIME})
    >>> plan, notes = plan_rollup(Telemetry(requests=frame), [], ["service"], timedelta(minutes=5)), []
    >>> check_rows(roll_up(frame, [plan]), plan, "5m", notes)
    >>> notes
    ['3 requests read: 2 used, 1 have no time']
    """
    if partial.span is None:
        raise errors.empty_data(plan.source)
    first, last = partial.span
    if last - first < plan.width:
        raise errors.bad_question(
            f"every '{every}' is longer than the data, which run for {display.length(last - first)}",
            "write a shorter window",
        )
    notes.append(accounted(partial.rows, partial.rows - partial.timed, partial.repeated))


def finish_rollup(partial: pl.DataFrame, plan: Plan, notes: list[str]) -> pl.DataFrame:
    """Turn stacked partial rollups into the regular table.

    Parameters
    ----------
    partial : polars.DataFrame
        A table of ``roll_up``, or several stacked.
    plan : Plan
        The plan they were made with.
    notes : list of str
        Takes what could not be judged or was no number.

    Returns
    -------
    polars.DataFrame
        ``unit``, ``t``, ``<slo>.total``, ``<slo>.bad``, then the variables; missing windows are rows of nulls.

    Raises
    ------
    CausalrelError
        When the grid would be too large, or too many values are no sensible numbers.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from causalrel.windows.partials import roll_up
    >>> from causalrel.windows.plans import plan_rollup
    >>> from causalrel.telemetry import Telemetry
    >>> times = [datetime(2026, 2, 11, hour, tzinfo=UTC) for hour in (9, 11)]
    >>> frame = pl.LazyFrame({"time": times}, schema_overrides={"time": TIME})
    >>> plan = plan_rollup(Telemetry(requests=frame), [], ["service"], timedelta(hours=1))
    >>> finish_rollup(roll_up(frame, [plan]).tables[0], plan, [])["load"].is_null().to_list()
    [False, True, False]
    """
    partial = partial.with_columns(unit=unit_text(plan.keys))
    partial = partial.with_columns(pl.col("unit").cast(pl.Enum(partial["unit"].unique().sort())))
    sums = [pl.col(name).sum() for name in partial.columns if name == "n" or name[:2] in {"s:", "c:", "o:"}]
    sums += [pl.col(f"{part}:{slo.name}").sum() for slo in plan.slos for part in ("total", "bad", "unknown")]
    core = partial.group_by("unit", "t").agg(sums)
    _tell(core, plan, notes)
    table = regular_grid(core.select("unit", "t"), plan.width).join(core, on=["unit", "t"], how="left")
    made: list[pl.Expr] = [pl.col("unit").cast(pl.String), pl.col("t")]
    for slo in plan.slos:
        made += [pl.col(f"{part}:{slo.name}").alias(f"{slo.name}.{part}") for part in ("total", "bad")]
    made.append((pl.col("n") / plan.width.total_seconds()).alias(LOAD.name))
    for variable in plan.variables:
        name = variable.name
        if is_modal(variable):
            table = table.join(_most_common(partial, name), on=["unit", "t"], how="left")
            made.append(pl.col(name))
            continue
        scale = SCALE if plan.schema[name].is_float() else 1.0
        mean = pl.col(f"s:{name}").cast(pl.Float64) / pl.col(f"c:{name}") / scale
        made.append(pl.when(pl.col(f"c:{name}") > 0).then(mean).alias(name))
    return table.sort("unit", "t").select(made)


def _most_common(partial: pl.DataFrame, name: str) -> pl.DataFrame:
    known = partial.drop_nulls(f"m:{name}")
    counts = known.group_by("unit", "t", pl.col(f"m:{name}").alias(name)).agg(pl.col("n").sum())
    ordered = counts.sort("unit", "t", "n", name, descending=[False, False, True, False])
    return ordered.unique(["unit", "t"], keep="first", maintain_order=True).drop("n")


def _tell(core: pl.DataFrame, plan: Plan, notes: list[str]) -> None:
    """Note what was not judged and what was no number; refuse where that is too much of a column."""
    total = core.select(pl.col(pl.Int64, pl.UInt32, pl.UInt64, pl.Int128).exclude("t").sum()).to_dicts()[0]
    for variable in plan.variables:
        wrong, fine = total.get(f"o:{variable.name}", 0), total.get(f"c:{variable.name}", 0)
        if not wrong:
            continue
        said = f"{wrong:,} of {wrong + fine:,} values of '{variable.name}' are negative or not finite"
        if wrong > _SIGNED_SHARE * (wrong + fine):
            raise errors.bad_data(said, "check the clocks and units of the export")
        notes.append(f"{said} and were left out")
    for slo in plan.slos:
        unknown = total[f"unknown:{slo.name}"]
        if unknown:
            asked = unknown + total[f"total:{slo.name}"]
            notes.append(
                f"SLO '{slo.name}' could not judge {unknown:,} of {asked:,} requests, a column it needs being empty, "
                "and did not count them"
            )


def regular_grid(rows: pl.DataFrame, width: timedelta) -> pl.DataFrame:
    """Return every window of each unit's own span.

    Parameters
    ----------
    rows : polars.DataFrame
        ``unit`` and window index ``t``.
    width : datetime.timedelta
        Width of a window, named in the error.

    Returns
    -------
    polars.DataFrame
        ``unit`` and ``t`` without gaps, sorted.

    Raises
    ------
    CausalrelError
        When the spans hold too many windows, as one stray time makes them.

    Examples
    --------
    >>> regular_grid(pl.DataFrame({"unit": ["a", "a"], "t": [3, 6]}), timedelta(minutes=5))["t"].to_list()
    [3, 4, 5, 6]
    """
    spans = rows.group_by("unit").agg(low=pl.col("t").min(), high=pl.col("t").max() + 1).sort("unit")
    size = int((spans["high"] - spans["low"]).sum())
    if size > _MAX_ROWS:
        edges = spans.select(first=pl.col("low").min(), last=pl.col("high").max()) * (
            width // timedelta(microseconds=1)
        )
        first, last = (display.when(edge) for edge in edges.cast(TIME).row(0))
        raise errors.over_limit(
            f"windows of {display.length(width)} from {first} to {last} make {size:,} rows, more than {_MAX_ROWS:,}",
            "leave out rows with stray times, or write a wider window",
        )
    return spans.select("unit", t=pl.int_ranges("low", "high")).explode("t")
