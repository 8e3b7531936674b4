"""Metrics: samples of a service or a node, averaged over each unit-window."""

from __future__ import annotations

import polars as pl

from causalrel.partials import LIMIT, SCALE
from causalrel.plans import Plan, unit_text
from causalrel.telemetry import Telemetry, collected
from causalrel.telemetry.schema import METRIC_VARIABLES
from causalrel.variables import Variable

_SENTINEL = 2_147_483_616.0


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
    >>> from datetime import timedelta
    >>> from causalrel.plans import plan_rollup
    >>> from causalrel.telemetry.schema import TIME
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
        .filter(pl.col("value").is_finite() & (pl.col("value").abs() < LIMIT))
        .with_columns(pl.col("metric").replace(names), unit=unit_text(plan.keys))
        .group_by("unit", "t", "metric")
        .agg(s=(pl.col("value") * SCALE).round().cast(pl.Int128).sum(), c=pl.len()),
        plan.source,
    ).with_columns(mean=pl.col("s").cast(pl.Float64) / pl.col("c") / SCALE)
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
