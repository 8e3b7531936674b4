"""Rollups: requests and samples summed into unit-windows, exactly and in any order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import polars as pl

from causalrel import display, errors
from causalrel.plans import Plan, is_modal, judged
from causalrel.slos import SLO
from causalrel.telemetry import Telemetry, collected
from causalrel.telemetry.parts import accounted
from causalrel.telemetry.schema import LOAD, METRIC_VARIABLES, REQUEST_VARIABLES, TIME
from causalrel.variables import Variable

#: Floats are summed as whole multiples of 2**-40, so that sums do not depend on order.
_SCALE = float(1 << 40)
_LIMIT = 1e18
_SENTINEL = 2_147_483_616.0
_MAX_ROWS = 5_000_000
_SIGNED_SHARE = 0.01


def tidy_requests(requests: pl.LazyFrame, plan: Plan, every: str, notes: list[str]) -> pl.LazyFrame:
    """Return the requests that have a time, each id once, after checking that they fill a window.

    Parameters
    ----------
    requests : polars.LazyFrame
        Canonical requests.
    plan : Plan
        What will be summed.
    every : str
        Width of a window as it was written.
    notes : list of str
        Takes what became of each row.

    Returns
    -------
    polars.LazyFrame
        Rows to sum.

    Raises
    ------
    CausalrelError
        When there are no rows, or they end before the first window does.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from causalrel.plans import plan_rollup
    >>> times = [datetime(2026, 2, 11, hour, tzinfo=UTC) for hour in (9, 9, 10)]
    >>> frame = pl.LazyFrame({"time": times, "request_id": ["a", "a", "b"]}, schema_overrides={"time": TIME})
    >>> plan = plan_rollup(Telemetry(requests=frame), [], ["service"], timedelta(minutes=5))
    >>> tidy_requests(frame, plan, "5m", []).collect().height
    2
    """
    has_id = "request_id" in plan.schema
    ids = pl.col("request_id").filter(pl.col("time").is_not_null()) if has_id else pl.lit(None)
    ids = ids.drop_nulls()
    asked = requests.select(
        rows=pl.len(),
        timed=pl.col("time").count(),
        first=pl.col("time").min(),
        last=pl.col("time").max(),
        repeated=ids.len().cast(pl.Int64) - ids.n_unique().cast(pl.Int64),
    )
    seen = collected(asked, plan.source).to_dicts()[0]
    if not seen["timed"]:
        raise errors.empty_data(plan.source)
    if seen["last"] - seen["first"] < plan.width:
        run = display.length(seen["last"] - seen["first"])
        raise errors.bad_question(
            f"every '{every}' is longer than the data, which run for {run}", "write a shorter window"
        )
    notes.append(accounted(seen["rows"], seen["rows"] - seen["timed"], seen["repeated"]))
    if seen["timed"] < seen["rows"]:
        requests = requests.filter(pl.col("time").is_not_null())
    if seen["repeated"]:
        requests = _first_of_each(requests, plan)
    return requests


def _first_of_each(requests: pl.LazyFrame, plan: Plan) -> pl.LazyFrame:
    """Keep the earliest row of each request id, ties broken by the row's own values."""
    twice = requests.group_by("request_id").len().filter(pl.col("request_id").is_not_null() & (pl.col("len") > 1))
    ids = collected(twice.select("request_id"), plan.source).lazy()
    order = ["request_id", "time", *sorted(n for n, k in plan.schema.items() if not k.is_nested() and n != "time")]
    repeats = collected(requests.join(ids, on="request_id", how="semi"), plan.source)
    first = repeats.sort(list(dict.fromkeys(order)), nulls_last=True).unique("request_id", keep="first")
    return pl.concat([requests.join(ids, on="request_id", how="anti"), first.lazy()])


def partial_rollup(requests: pl.LazyFrame, plan: Plan) -> pl.DataFrame:
    """Sum requests into a partial rollup; partial rollups of several files stack into one.

    Parameters
    ----------
    requests : polars.LazyFrame
        Rows of :func:`tidy_requests`.
    plan : Plan
        What to sum.

    Returns
    -------
    polars.DataFrame
        One row a unit, window ``t`` and combination of modal values: whole-number sums and counts.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from causalrel.plans import plan_rollup
    >>> frame = pl.LazyFrame({"time": [datetime(2026, 2, 11, tzinfo=UTC)] * 2}, schema_overrides={"time": TIME})
    >>> plan = plan_rollup(Telemetry(requests=frame), [], ["service"], timedelta(minutes=5))
    >>> partial_rollup(frame, plan)["n"].to_list()
    [2]
    """
    partial = _summed(requests, plan, pl.Int64)
    floats = [name.removeprefix("f:") for name in partial.columns if name[:2] == "f:"]
    if any(partial[f"f:{name}"].sum() < partial[f"c:{name}"].sum() for name in floats):
        partial = _summed(requests, plan, pl.Int128)
    return partial.drop(f"f:{name}" for name in floats)


def _summed(requests: pl.LazyFrame, plan: Plan, whole: type[pl.DataType]) -> pl.DataFrame:
    """Sum; ``f:<name>`` counts the floats that ``whole`` can hold: Int64 is faster, Int128 holds them all."""
    clean, fixed, sums = _cleaned(plan, whole)
    keys = dict(zip(plan.by, plan.keys, strict=True))
    modal = [variable for variable in plan.variables if is_modal(variable)]
    modes = [_modal(v, plan.schema[v.name], v.name) for v in modal if v.name not in keys]
    implied = [_modal(v, plan.schema[v.name], keys[v.name]) for v in modal if v.name in keys]
    units = [pl.col(name).alias(key) for name, key in zip(plan.by, plan.keys, strict=True)]
    index = (pl.col("time").dt.epoch("us") // plan.micros).alias("t")
    judged_by = [_judged(slo, plan.schema) for slo in plan.slos]
    flags = [flag for one, _ in judged_by for flag in one]
    sums += [count for _, counts in judged_by for count in counts]
    return collected(
        requests.with_columns(clean)
        .with_columns([*modes, *units, index, *flags, *fixed])
        .group_by([*plan.keys, "t", *[mode.meta.output_name() for mode in modes]])
        .agg(pl.len().cast(pl.Int64).alias("n"), *sums),
        plan.source,
    ).with_columns(implied)


def _cleaned(plan: Plan, whole: type[pl.DataType]) -> tuple[list[pl.Expr], list[pl.Expr], list[pl.Expr]]:
    """Return sensible numbers, floats among them as whole numbers, and what to sum and count of each."""
    canonical = {variable.name for variable in REQUEST_VARIABLES}
    clean, fixed, sums = [], [], []
    means = [variable.name for variable in plan.variables if not is_modal(variable)]
    for name in means:
        kind = plan.schema[name]
        column = pl.col(name).fill_nan(None) if kind.is_float() else pl.col(name)
        fine = column.abs() < _LIMIT if name not in canonical else column.is_between(0, _LIMIT)
        count = pl.col(name).count().cast(pl.Int64)
        if kind.is_float() or kind.is_signed_integer():
            clean += [column.alias(f"o:{name}"), pl.when(fine).then(column).alias(name)]
            sums.append((pl.col(f"o:{name}").count().cast(pl.Int64) - count).alias(f"o:{name}"))
        if kind.is_float():
            fixed.append((pl.col(name) * _SCALE).round().cast(whole, strict=False).alias(f"f:{name}"))
            sums.append(pl.col(f"f:{name}").count())
        summed = pl.col(f"f:{name}" if kind.is_float() else name).cast(pl.Int128).sum().alias(f"s:{name}")
        sums += [summed, pl.col(name).count().alias(f"c:{name}")]
    clean += [pl.col(n).fill_nan(None) for n, k in plan.schema.items() if k.is_float() and n not in means]
    return clean, fixed, sums


def _modal(variable: Variable, kind: pl.DataType, held: str) -> pl.Expr:
    column = pl.col(held)
    if variable.kind == "category":
        return column.cast(pl.String).alias(f"m:{variable.name}")
    whole = column.round() if kind.is_float() else column
    return whole.cast(pl.Int64, strict=False).alias(f"m:{variable.name}")


def _judged(slo: SLO, schema: dict[str, pl.DataType]) -> tuple[list[pl.Expr], list[pl.Expr]]:
    """Return two truth values a request, good where it is judged and maybe asked, and the counts they give."""
    good, among = judged(slo, schema)
    said, asked = f"good:{slo.name}", f"asked:{slo.name}"
    good, among = good.cast(pl.Boolean), among.cast(pl.Boolean)
    total = pl.col(said).count().cast(pl.Int64)
    always = not slo.among and not slo.tier
    flags = (
        [good.alias(said)] if always else [pl.when(among).then(good).alias(said), among.fill_null(True).alias(asked)]
    )
    every = pl.len() if always else pl.col(asked).sum()
    return flags, [
        total.alias(f"total:{slo.name}"),
        (total - pl.col(said).sum().cast(pl.Int64)).alias(f"bad:{slo.name}"),
        (every.cast(pl.Int64) - total).alias(f"unknown:{slo.name}"),
    ]


def finish_rollup(partial: pl.DataFrame, plan: Plan, notes: list[str]) -> pl.DataFrame:
    """Turn stacked partial rollups into the regular table.

    Parameters
    ----------
    partial : polars.DataFrame
        One or more results of :func:`partial_rollup`, stacked.
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
    >>> from causalrel.plans import plan_rollup
    >>> times = [datetime(2026, 2, 11, hour, tzinfo=UTC) for hour in (9, 11)]
    >>> frame = pl.LazyFrame({"time": times}, schema_overrides={"time": TIME})
    >>> plan = plan_rollup(Telemetry(requests=frame), [], ["service"], timedelta(hours=1))
    >>> finish_rollup(partial_rollup(frame, plan), plan, [])["load"].is_null().to_list()
    [False, True, False]
    """
    partial = partial.with_columns(unit=unit_text(plan.keys))
    sums = [pl.col(name).sum() for name in partial.columns if name == "n" or name[:2] in {"s:", "c:", "o:"}]
    sums += [pl.col(f"{part}:{slo.name}").sum() for slo in plan.slos for part in ("total", "bad", "unknown")]
    core = partial.group_by("unit", "t").agg(sums)
    _tell(core, plan, notes)
    table = regular_grid(core.select("unit", "t"), plan.width).join(core, on=["unit", "t"], how="left")
    made: list[pl.Expr] = [pl.col("unit"), pl.col("t")]
    for slo in plan.slos:
        made += [pl.col(f"{part}:{slo.name}").alias(f"{slo.name}.{part}") for part in ("total", "bad")]
    made.append((pl.col("n") / plan.width.total_seconds()).alias(LOAD.name))
    for variable in plan.variables:
        name = variable.name
        if is_modal(variable):
            table = table.join(_most_common(partial, name), on=["unit", "t"], how="left")
            made.append(pl.col(name))
            continue
        scale = _SCALE if plan.schema[name].is_float() else 1.0
        mean = pl.col(f"s:{name}").cast(pl.Float64) / pl.col(f"c:{name}") / scale
        made.append(pl.when(pl.col(f"c:{name}") > 0).then(mean).alias(name))
    return table.select(made).sort("unit", "t")


def unit_text(keys: Sequence[str]) -> pl.Expr:
    """Write the unit that a partial rollup's keys name."""
    if not keys:
        return pl.lit("all")
    return pl.concat_str([pl.col(key).cast(pl.String).fill_null("unknown") for key in keys], separator="/")


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


def rollup_samples(telemetry: Telemetry, plan: Plan, notes: list[str]) -> tuple[pl.DataFrame, list[Variable]]:
    """Average the samples of each unit-window, over all series of a metric whatever their labels.

    Parameters
    ----------
    telemetry : Telemetry
        The telemetry.
    plan : Plan
        The plan of the requests.
    notes : list of str
        Takes why samples were left out.

    Returns
    -------
    table : polars.DataFrame
        ``unit``, ``t``, then one column a metric.
    variables : list of Variable
        The metrics found.

    Examples
    --------
    >>> from causalrel.plans import plan_rollup
    >>> telemetry = Telemetry(requests=pl.LazyFrame(schema={"time": TIME}))
    >>> rollup_samples(telemetry, plan_rollup(telemetry, [], ["service"], timedelta(minutes=5)), [])[1]
    []
    """
    nothing = pl.DataFrame(schema={"unit": pl.String, "t": pl.Int64})
    keyed = _keyed_samples(telemetry, plan, notes) if telemetry.samples is not None else None
    if keyed is None:
        return nothing, []
    names = {alias: v.name for v in METRIC_VARIABLES for alias in (v.otel, v.name)}
    value = pl.when(~pl.col("metric").str.starts_with("DCGM_") | (pl.col("value").abs() < _SENTINEL)).then("value")
    summed = collected(
        keyed.with_columns(pl.col("metric").str.replace(r"\{.*", ""))
        .filter(pl.col("metric").is_in(list(names)) & pl.col("time").is_not_null())
        .with_columns(value=value, t=pl.col("time").dt.epoch("us") // plan.micros)
        .filter(pl.col("value").is_finite() & (pl.col("value").abs() < _LIMIT))
        .with_columns(pl.col("metric").replace(names), unit=unit_text(plan.keys))
        .group_by("unit", "t", "metric")
        .agg(s=(pl.col("value") * _SCALE).round().cast(pl.Int128).sum(), c=pl.len()),
        plan.source,
    ).with_columns(mean=pl.col("s").cast(pl.Float64) / pl.col("c") / _SCALE)
    found = [variable for variable in METRIC_VARIABLES if (summed["metric"] == variable.name).any()]
    table = summed.select("unit", "t").unique()
    for variable in found:
        one = summed.filter(pl.col("metric") == variable.name).select("unit", "t", pl.col("mean").alias(variable.name))
        table = table.join(one, on=["unit", "t"], how="left")
    return table, found


def _keyed_samples(telemetry: Telemetry, plan: Plan, notes: list[str]) -> pl.LazyFrame | None:
    """Give each sample the unit it belongs to: by its own columns, else by the node's requests."""
    samples = telemetry.samples
    if samples is None:
        return None
    schema = samples.collect_schema()
    own = [name for name in plan.by if name in schema and schema[name] != pl.Null]
    if len(own) == len(plan.by):
        keys = [pl.col(name).alias(key) for name, key in zip(plan.by, plan.keys, strict=True)]
        return samples.with_columns(keys)
    if "node" not in schema or "node" not in plan.schema:
        notes.append(f"samples carry no {' or '.join(n for n in plan.by if n not in own)} and were left out")
        return None
    keys = [pl.col(name).alias(key) for name, key in zip(plan.by, plan.keys, strict=True)]
    pairs = collected(telemetry.requests.select("node", *keys).drop_nulls("node").unique(), plan.source)
    alone = pairs.filter(pl.len().over("node") == 1)
    shared = pairs["node"].n_unique() - alone.height
    if shared:
        notes.append(
            f"samples of {shared} of {pairs['node'].n_unique()} nodes were left out: those nodes served several units"
        )
    return samples.join(alone.lazy(), on="node", how="inner")
