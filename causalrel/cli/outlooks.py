"""The verbs that look ahead: forecast, whatif, recommend and bound."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

import causalrel as cr
from causalrel import display
from causalrel.cli.inputs import ask, network_of, runs_of
from causalrel.cli.options import (
    Believed,
    Bounded,
    By,
    Cluster,
    ColumnMap,
    Configured,
    Cost,
    Data,
    Days,
    Do,
    Every,
    FormatOf,
    Gate,
    GraphName,
    Horizon,
    Loss,
    Metric,
    Metrics,
    Output,
    Over,
    Reach,
    Runs,
    Seed,
    Share,
    Simulator,
    Slo,
    do_of,
    gate_of,
    levels_of,
    loss_of,
    settings_of,
)
from causalrel.cli.outputs import write_estimate

if TYPE_CHECKING:
    from causalrel.estimates import Estimate


def forecast(
    data: Data,
    horizon: Horizon = "7d",
    slo: Slo = None,
    graph: GraphName = None,
    every: Every = None,
    by: By = None,
    columns: ColumnMap = None,
    cluster: Cluster = None,
    seed: Seed = 0,
    form: FormatOf = None,
    output: Output = None,
) -> None:
    """Say how much of each budget is spent by the horizon, as things are."""
    asked = ask(data, columns, slo, graph or "", every, by, cluster)
    write_estimate(cr.forecast(asked.windows, network_of(asked, seed), horizon=horizon, seed=seed), form, output)


def whatif(
    data: Data,
    do: Do = None,
    horizon: Horizon = "7d",
    loss: Loss = None,
    scenario: Simulator = None,
    gate: Gate = None,
    slo: Slo = None,
    graph: GraphName = None,
    every: Every = None,
    by: By = None,
    columns: ColumnMap = None,
    cluster: Cluster = None,
    seed: Seed = 0,
    form: FormatOf = None,
    output: Output = None,
) -> None:
    """Say how much of each budget is spent if something were set differently, and whether to ship it."""
    least, losses = gate_of(gate), loss_of(loss)
    asked = ask(data, columns, slo, graph or "", every, by, cluster)
    network = network_of(asked, seed)
    found = cr.whatif(
        asked.windows, network, do=do_of(do) or {}, horizon=horizon, loss=losses, scenario=scenario, seed=seed
    )
    write_estimate(found, form, output)
    if least is not None:
        _hold_against(found, least)


def _hold_against(found: Estimate, gate: float) -> None:
    """Leave with exit code 1 where the chance that a budget is exhausted is above a gate."""
    spent = found.select(quantity="spent", scenario="changed" if found.decision else "as is")
    end = spent.select(time=spent.terms["time"].max())
    risk = float((end.draws > 1).any(axis=1).mean())
    if risk > gate:
        said = f"P(a budget is exhausted) is {display.number(risk)}, above the gate of {gate}"
        sys.stderr.write(f"causalrel: {said}\n")
        raise typer.Exit(1)


def twin(
    runs: Runs,
    scenario: Believed,
    on: Metric,
    at: Configured,
    days: Days = None,
    seed: Seed = 0,
    form: FormatOf = None,
    output: Output = None,
) -> None:
    """Foretell a metric where nobody ran, by a simulator whose bias is learnt from the runs there are."""
    asked = [settings_of(one) for one in at]
    made = cr.twin(runs_of(runs, on), scenario, on=on, at=asked, days=days, seed=seed)
    write_estimate(made, form, output)


def bound(
    data: Data,
    of: Metrics,
    on: Bounded,
    p: Share = 0.9,
    slo: Slo = None,
    every: Every = None,
    by: By = None,
    columns: ColumnMap = None,
    cluster: Cluster = None,
    seed: Seed = 0,
    form: FormatOf = None,
    output: Output = None,
) -> None:
    """Bound metrics so that windows below keep meeting an SLO."""
    asked = ask(data, columns, slo, None, every, by, cluster)
    write_estimate(cr.bound(asked.windows, of=of, on=on, p=p, seed=seed), form, output)


def recommend(
    data: Data,
    over: Over,
    cost: Cost,
    p: Reach = 0.95,
    horizon: Horizon = "7d",
    scenario: Simulator = None,
    slo: Slo = None,
    graph: GraphName = None,
    every: Every = None,
    by: By = None,
    columns: ColumnMap = None,
    cluster: Cluster = None,
    seed: Seed = 0,
    form: FormatOf = None,
    output: Output = None,
) -> None:
    """Recommend the cheapest configuration that meets every SLO."""
    asked = ask(data, columns, slo, graph or "", every, by, cluster)
    chosen = dict(levels_of(item) for item in over)
    network = network_of(asked, seed)
    found = cr.recommend(
        asked.windows, network, over=chosen, cost=cost, p=p, horizon=horizon, scenario=scenario, seed=seed
    )
    write_estimate(found, form, output)
