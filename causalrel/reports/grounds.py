"""Grounds: what a report stands on, from the graph and the checks to who answers for an SLO."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from causalrel import display
from causalrel.graphs import Graph
from causalrel.reports import diagrams
from causalrel.reports.answers import Answers
from causalrel.reports.tables import Kind, make_section, make_table
from causalrel.variables import duration_text
from causalrel.windows import Windows

_LIBRARIES = ("dowhy", "numpy", "polars")


def sections(windows: Windows, graph: Graph, answers: Answers, seed: int) -> list[dict[str, Any]]:
    """Return the sections on graph, assumptions, checks, provenance and governance.

    Parameters
    ----------
    windows : Windows
        The windows.
    graph : Graph
        The graph.
    answers : Answers
        What was answered.
    seed : int
        Seed of the draws.

    Returns
    -------
    list of dict
        Facts of each section.
    """
    return [
        _graph(graph, graph.leading_to(answers.on, windows.varying), answers.on),
        _assumptions(answers),
        _checks(answers),
        _provenance(windows, graph, answers, seed),
        _governance(windows),
    ]


def _graph(graph: Graph, drawn: Graph, on: str) -> dict[str, Any]:
    columns: dict[str, Kind] = {"cause": "text", "effect": "text", "lag": "number", "support": "number"}
    columns |= {"why": "text", "source": "text"}
    rows = [[e.cause, e.effect, e.lag, e.support, e.why, e.source] for e in graph.edges]
    says = [f"These answers stand on graph {graph.name}, version {graph.version}: {diagrams.counted(graph)}."]
    tables = [make_table("Every edge, its reason and its source", columns, rows, folded=True)]
    if graph.unmeasured:
        hidden = [[u.name, ", ".join(u.affects), u.why] for u in graph.unmeasured]
        tables.append(
            make_table(
                "Believed to exist and not measured", {"cause": "text", "affects": "text", "why": "text"}, hidden
            )
        )
    caption = f"Who may cause {on}, of what varied in the data; causes on the left"
    if len(drawn.names) == len(graph.names):
        caption = "Who may cause whom, causes on the left"
    return make_section("graph", "The causal graph", says, figure="graph", figure_says=caption, tables=tables)


def _assumptions(answers: Answers) -> dict[str, Any]:
    told: dict[str, None] = {}
    for _, answer in answers.named():
        told |= dict.fromkeys(answer.assumptions)
    says = ["What must be true for these answers, and no data can show:"] if told else ["No assumption was stated."]
    return make_section("assumptions", "Assumptions", says, notes=list(told))


def _checks(answers: Answers) -> dict[str, Any]:
    found: dict[tuple[str, str, bool], list[str]] = {}
    for key, answer in answers.named():
        for check in answer.checks:
            found.setdefault((check.name, check.says, check.passed), []).append(key)
    failed = [[name, says, ", ".join(keys)] for (name, says, passed), keys in found.items() if not passed]
    held = [[name, says, ", ".join(keys)] for (name, says, passed), keys in found.items() if passed]
    columns: dict[str, Kind] = {"check": "text", "what was found": "text", "of": "text"}
    says = f"{len(failed)} of {len(found)} checks failed." if failed else f"All {len(found)} checks held."
    tables = [make_table("Checks that failed", columns, failed)] if failed else []
    tables += [make_table("Checks that held", columns, held, folded=True)] if held else []
    return make_section("checks", "Checks", [says], tables=tables)


def _provenance(windows: Windows, graph: Graph, answers: Answers, seed: int) -> dict[str, Any]:
    origin = windows.origin(seed, graph.fingerprint())
    start, end = windows.span
    width, units = duration_text(windows.width), len(windows.units)
    rows = [
        [
            "data",
            f"{origin.data}: {windows.table.height:,} windows of {width} in {units} unit{'' if units == 1 else 's'}",
        ],
        ["span", f"{display.when(start)} to {display.when(end)} UTC"],
        ["SLOs", f"{origin.slos}: {', '.join(slo.name for slo in windows.slos)}"],
        ["graph", f"{origin.graph}: {graph.name}, version {graph.version}"],
        ["seed", str(seed)],
        ["causalrel", origin.version],
        *[[library, _version(library)] for library in _LIBRARIES],
        ["reproduce", answers.command(width, seed)],
    ]
    table = make_table("Where it comes from", {"what": "text", "value": "text"}, rows)
    says = [
        "The same data, graph, SLOs and seed give this report again, byte for byte "
        "(add --slo, --graph and --by as they were given)."
    ]
    notes = [f"Data: {note}." if not note.endswith(".") else f"Data: {note}" for note in windows.notes]
    return make_section("provenance", "Provenance", says, tables=[table], notes=notes)


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"


def _governance(windows: Windows) -> dict[str, Any]:
    columns: dict[str, Kind] = {"SLO": "text", "about": "text", "promise": "text", "tier": "text", "owner": "text"}
    rows = [
        [
            slo.name,
            slo.dimension,
            f"{display.percent(slo.target, 5)} good over {'rolling' if slo.rolling else 'calendar'} "
            f"{display.length(slo.period)}",
            slo.tier or "everybody",
            slo.owner or "not assessed",
        ]
        for slo in windows.slos
    ]
    open_ = [slo.name for slo in windows.slos if not slo.owner]
    says = f"No owner is named for {', '.join(open_)}: not assessed." if open_ else "Every SLO has a named owner."
    return make_section("governance", "Governance", [says], tables=[make_table("Who answers for it", columns, rows)])
