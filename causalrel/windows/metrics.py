"""Metrics: samples of a service or a node, averaged over each unit-window."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from causalrel.telemetry import Telemetry, collected
from causalrel.telemetry.schema import METRIC_VARIABLES
from causalrel.variables import Variable
from causalrel.windows.partials import LIMIT, SCALE
from causalrel.windows.plans import Plan, unit_text

_SENTINEL = 2_147_483_616.0


def rollup_samples(
    telemetry: Telemetry, plan: Plan, notes: list[str], quantiles: Sequence[tuple[str, float, Variable]] = ()
) -> tuple[pl.DataFrame, list[Variable]]:
    """Average the samples of each unit-window, over all series of a metric whatever their labels.

    Parameters
    ----------
    telemetry : Telemetry
        The telemetry.
    plan : Plan
        The plan of the requests.
    notes : list of str
        Takes why samples were left out.
    quantiles : sequence of (str, float, Variable)
        Metrics whose quantiles are wanted too: the metric, the share from 0 to 1, and what the quantile becomes. It is
        the sample of rank ``floor(share * (n - 1))`` from 0 among the ``n`` of the window.

    Returns
    -------
    table : polars.DataFrame
        ``unit``, ``t``, then one column a metric, then one a quantile.
    variables : list of Variable
        The metrics found, then the quantiles of those.

    Examples
    --------
    >>> from datetime import timedelta
    >>> from causalrel.windows.plans import plan_rollup
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
        .agg(
            *[pl.col("value").quantile(share, "lower").alias(to.name) for _, share, to in quantiles],
            s=(pl.col("value") * SCALE).round().cast(pl.Int128).sum(),
            c=pl.len(),
        ),
        plan.source,
    ).with_columns(mean=pl.col("s").cast(pl.Float64) / pl.col("c") / SCALE)
    found = [variable for variable in METRIC_VARIABLES if (summed["metric"] == variable.name).any()]
    table = summed.select("unit", "t").unique()
    wanted = [(variable.name, "mean", variable) for variable in found]
    wanted += [(name, to.name, to) for name, _, to in quantiles if any(one.name == name for one in found)]
    for name, column, variable in wanted:
        one = summed.filter(pl.col("metric") == name).select("unit", "t", pl.col(column).alias(variable.name))
        table = table.join(one, on=["unit", "t"], how="left")
    return table, [variable for _, _, variable in wanted]


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
