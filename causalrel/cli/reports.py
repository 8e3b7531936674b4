"""The commands that write a report, and ask one again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import causalrel as cr
from causalrel.cli.inputs import ask, network_of, tell
from causalrel.cli.options import (
    Against,
    By,
    Cluster,
    ColumnMap,
    Data,
    Do,
    During,
    Effects,
    Every,
    FormatOf,
    Governance,
    GraphName,
    Horizon,
    On,
    Output,
    Seed,
    Slo,
    Where,
    do_of,
    levels_of,
    span_of,
)
from causalrel.cli.outputs import progress, write


def report(
    data: Data,
    slo: Slo = None,
    graph: GraphName = None,
    every: Every = None,
    by: By = None,
    columns: ColumnMap = None,
    cluster: Cluster = None,
    during: During = None,
    against: Against = None,
    on: On = None,
    effects: Effects = None,
    where: Where = None,
    do: Do = None,
    horizon: Horizon = "7d",
    governance: Governance = None,
    seed: Seed = 0,
    form: FormatOf = None,
    output: Output = None,
) -> None:
    """Write the causal attribution report."""
    from causalrel.reports.governance import load_governance

    with progress() as told:
        told("reading")
        assessed = load_governance(governance) if governance else None
        asked = ask(data, columns, slo, graph or "", every, by, cluster)
        made = cr.report(
            asked.windows,
            network_of(asked, seed),
            during=span_of(during, "--during") or asked.during,
            against=span_of(against, "--against"),
            on=on,
            effects=[levels_of(item) for item in effects] if effects else None,
            where=where,
            do=do_of(do) or asked.do or None,
            horizon=horizon,
            sources=asked.sources,
            governance=assessed,
            progress=told,
            seed=seed,
        )
        write(made, form, output)


def verify(
    report: Annotated[Path, typer.Argument(metavar="REPORT", help="JSON of a report.")],
    data: Annotated[str | None, typer.Argument(metavar="DATA", help="The data now; by default as named in it.")] = None,
    slo: Slo = None,
    graph: GraphName = None,
    columns: ColumnMap = None,
    within: Annotated[
        float, typer.Option("--within", min=0, help="Standard deviations a number may move by and count as the same.")
    ] = 0.0,
    form: FormatOf = None,
    output: Output = None,
) -> None:
    """Ask every claim of a report again; exit 1 where something changed, and name it."""
    found = cr.verify(report, data, slos=slo, graph=graph, columns=columns, within=within)
    tell(found.notes)
    write(found, form, output)
    if not found.same:
        raise typer.Exit(1)
