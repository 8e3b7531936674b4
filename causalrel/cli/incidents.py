"""The commands that say what went wrong: blame, drift and envelope."""

from __future__ import annotations

from typing import Annotated

import typer

import causalrel as cr
from causalrel import errors
from causalrel.cli.inputs import ask, graph_of
from causalrel.cli.options import (
    Against,
    Alarm,
    Along,
    By,
    Cluster,
    ColumnMap,
    Data,
    During,
    Every,
    FormatOf,
    GraphName,
    Level,
    On,
    Output,
    Seed,
    Slo,
    span_of,
)
from causalrel.cli.outputs import write_estimate


def blame(
    data: Data,
    during: During = None,
    normal: Annotated[str | None, typer.Option("--normal", help="START,END of a span without trouble.")] = None,
    on: Annotated[str | None, typer.Option("--on", help="The symptom: an SLO, or a number of role outcome.")] = None,
    at: Annotated[str | None, typer.Option("--at", help="Node of a call graph that shows the symptom.")] = None,
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
    """Rank the nodes an incident may have begun at, none of these among them."""
    asked = ask(data, columns, slo, graph or "", every, by, cluster)
    span = span_of(during, "--during") or asked.during
    if span is None:
        raise errors.bad_question("blame needs a span", "write --during START,END")
    usual = span_of(normal, "--normal")
    found = cr.blame(asked.windows, graph_of(asked), during=span, normal=usual, on=on, at=at, seed=seed)
    write_estimate(found, form, output)


def drift(
    data: Data,
    alarm: Alarm = 0.02,
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
    """Tell which mechanisms changed by themselves, apart from shifts of what they follow."""
    asked = ask(data, columns, slo, graph or "", every, by, cluster)
    write_estimate(cr.drift(asked.windows, graph_of(asked), alarm=alarm, seed=seed), form, output)


def envelope(
    data: Data,
    during: During = None,
    against: Against = None,
    on: On = None,
    along: Along = None,
    level: Level = 0.9,
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
    """Tell where each SLI should have been at its load and configuration, and which windows were outside."""
    asked = ask(data, columns, slo, graph or "", every, by, cluster)
    span = span_of(during, "--during") or asked.during
    if span is None:
        raise errors.bad_question("envelope needs a span", "write --during START,END")
    usual, believed = span_of(against, "--against"), graph_of(asked)
    found = cr.envelope(asked.windows, believed, during=span, against=usual, on=on, along=along, level=level, seed=seed)
    write_estimate(found, form, output)
