"""Grounds: what a report stands on, from the graph and the checks to who answers for an SLO."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from causalrel import display
from causalrel.graphs import Graph
from causalrel.reports import claims, diagrams, governance
from causalrel.reports.answers import Answers
from causalrel.reports.tables import Kind, make_section, make_table
from causalrel.windows import Windows


def sections(
    windows: Windows, graph: Graph, answers: Answers, record: Mapping[str, Any], assessed: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the sections on graph, assumptions, checks, provenance and governance.

    Parameters
    ----------
    windows : Windows
        The windows.
    graph : Graph
        The graph.
    answers : Answers
        What was answered.
    record : mapping
        What :func:`causalrel.reports.claims.make_record` returned.
    assessed : mapping
        What :func:`causalrel.reports.governance.assess` returned.

    Returns
    -------
    list of dict
        Facts of each section.
    """
    return [
        _graph(graph, graph.leading_to(answers.on, windows.varying), answers.on),
        _assumptions(answers),
        _checks(answers),
        _provenance(windows, graph, answers, record),
        governance.section(windows.slos, assessed),
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


def _provenance(windows: Windows, graph: Graph, answers: Answers, record: Mapping[str, Any]) -> dict[str, Any]:
    origin = windows.origin(record["seed"], graph.fingerprint())
    start, end = windows.span
    units = len(windows.units)
    says_data = f"{windows.table.height:,} windows of {record['every']} in {units} unit{'' if units == 1 else 's'}"
    rows = [
        ["data", f"{origin.data}: {says_data}"],
        ["span", f"{display.when(start)} to {display.when(end)} UTC"],
        ["SLOs", f"{origin.slos}: {', '.join(slo.name for slo in windows.slos)}"],
        ["graph", f"{origin.graph}: {graph.name}, version {graph.version}"],
        ["seed", str(record["seed"])],
        *[[name, said] for name, said in record["versions"].items()],
        ["reproduce", answers.command(record)],
    ]
    table = make_table("Where it comes from", {"what": "text", "value": "text"}, rows)
    says = (
        "The same data, graph, SLOs and seed give this report again, byte for byte; "
        "'causalrel verify' asks every sentence of its JSON again and names what changed."
    )
    notes = [f"Data: {note}." if not note.endswith(".") else f"Data: {note}" for note in windows.notes]
    return make_section("provenance", "Provenance", [says], tables=[table], notes=notes)


def claim_table(made: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the table of what each sentence is asked by.

    Parameters
    ----------
    made : sequence of mapping
        What :func:`causalrel.reports.claims.make_claims` returned.

    Returns
    -------
    dict
        A table that a page may fold away.
    """
    columns: dict[str, Kind] = {"sentence": "text", "verdict": "text", "asked by": "text", "record": "text"}
    rows = [
        [claim["key"], claim["verdict"], "; ".join(map(claims.call_text, claim["calls"])), claim["fingerprint"]]
        for claim in made
    ]
    return make_table("What each sentence is asked by", columns, rows, folded=True)
