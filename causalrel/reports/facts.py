"""Facts: one dict that every output of a report is written from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import polars as pl

from causalrel.estimates import Estimate
from causalrel.networks import Network
from causalrel.provenance import fingerprint, rounded
from causalrel.reports import blocks, extracts, grounds, sentences
from causalrel.reports.answers import Answers, overall
from causalrel.reports.claims import make_claims, make_record
from causalrel.reports.governance import assess
from causalrel.reports.tables import failed_checks, make_section
from causalrel.slos import SLO
from causalrel.windows import Windows

SCHEMA = "causalrel/report"
#: Of the layout of a report in JSON.
VERSION = 2


def make_facts(
    windows: Windows,
    network: Network,
    answers: Answers,
    *,
    title: str,
    sources: Mapping[str, str] | None = None,
    assessed: Mapping[str, Any] | None = None,
    seed: int,
) -> dict[str, Any]:
    """Return everything a report says.

    Parameters
    ----------
    windows : Windows
        The windows.
    network : Network
        The network.
    answers : Answers
        What was asked and answered.
    title : str
        Title of the report.
    sources : mapping, optional
        What its inputs are named by; see :func:`causalrel.report`.
    assessed : mapping, optional
        Governance as it was given; see :func:`causalrel.report`.
    seed : int
        Seed of the draws.

    Returns
    -------
    dict
        ``schema``, ``verdict``, ``headline``, ``questions``, ``sections``, the answers themselves, a record for each
        sentence and the fingerprint of all; times are datetimes and floats unrounded.
    """
    record = make_record(windows, network, answers, sources=sources, seed=seed)
    governance = assess(windows.slos, assessed)
    used, burn = _used(answers, answers.on), _burn(windows, answers)
    sections = [
        *_answered(windows, answers),
        *grounds.sections(windows, network.graph, answers, record, governance),
    ]
    headline = _headline(windows, answers, burn, used)
    graph = network.graph.fingerprint()
    counts = {"burn": burn, "spent": used}
    claims = make_claims(windows, graph, answers, headline=headline, sections=sections, counts=counts, seed=seed)
    provenance = next(section for section in sections if section["key"] == "provenance")
    provenance["tables"].append(grounds.claim_table(claims))
    facts = {
        "schema": f"{SCHEMA}/{VERSION}",
        "verdict": overall([answer for _, answer in answers.named()]),
        "title": title or f"Error budgets {sentences.span(*answers.during)}",
        "headline": headline,
        "during": list(answers.during),
        "against": list(answers.against) if answers.against else None,
        "on": answers.on,
        "do": dict(answers.do),
        "horizon": answers.horizon,
        "span": list(windows.span),
        "interval": extracts.PROB,
        "questions": _questions(answers),
        "sections": sections,
        "answers": {key: answer.facts(extracts.PROB) for key, answer in answers.named()},
        "graph": network.graph.facts(),
        "slos": [item.facts() for item in windows.slos],
        "changes": _changes(windows),
        "origin": windows.origin(seed, graph).facts(),
        "governance": governance,
        "record": record,
        "claims": claims,
    }
    return {**facts, "fingerprint": fingerprint(rounded(facts))}


def _answered(windows: Windows, answers: Answers) -> list[dict[str, Any]]:
    return [
        _budgets(windows, answers),
        _attribution(answers),
        *([_dated(answers.changes, answers.on)] if answers.changes is not None else []),
        *([_effects(answers, windows.slo(answers.on))] if answers.effects else []),
        _scenario(windows, answers),
    ]


def _headline(windows: Windows, answers: Answers, burn: float | None, used: float | None) -> str:
    slo = windows.slo(answers.on)
    return sentences.headline(
        slo=slo,
        during=answers.during,
        burn=burn,
        used=used,
        seen=_seen(windows, answers, slo.name),
        attribution=answers.attribution,
        effects=answers.effects,
        scenario=answers.scenario,
        do=answers.do,
        where=answers.where,
    )


def _questions(answers: Answers) -> list[dict[str, Any]]:
    return [
        {"key": key, "question": answer.question, "verdict": answer.verdict, "failed": failed_checks(answer)}
        for key, answer in answers.named()
    ]


def _used(answers: Answers, slo: str) -> float | None:
    rows = answers.budget.table.filter((pl.col("slo") == slo) & (pl.col("unit") == "all"))
    return rows["spent"][0] if rows.height else None


def _seen(windows: Windows, answers: Answers, slo: str) -> timedelta:
    """Return how much of an SLO's time window the data cover."""
    rows = answers.budget.timeline.filter((pl.col("slo") == slo) & pl.col("total").is_not_null())
    return rows.height * windows.width


def _burn(windows: Windows, answers: Answers) -> float | None:
    rows = windows.during(*answers.during)
    total, bad = (int(rows[f"{answers.on}.{name}"].sum() or 0) for name in ("total", "bad"))
    return bad / total / windows.slo(answers.on).allowed if total else None


def _budgets(windows: Windows, answers: Answers) -> dict[str, Any]:
    budget = answers.budget
    name = answers.on
    tables = [*blocks.budget_tables(budget, name), blocks.daily_table(budget, answers.on)]
    if windows.changes is not None and windows.changes.height:
        tables.append(blocks.change_table(windows.changes))
    said = sentences.budget_left(windows.slo(name), _used(answers, name), budget.as_of, _seen(windows, answers, name))
    return make_section(
        "budgets",
        "Budgets left",
        [said],
        figure="budgets",
        figure_says="Budget left over time, shaded where alerts fire, above the burn of each window and all changes",
        tables=tables,
        failed=failed_checks(budget.burns),
    )


def _attribution(answers: Answers) -> dict[str, Any]:
    answer, title = answers.attribution, "Who burnt it"
    if answer.verdict == "refused":
        return make_section("attribution", title, [sentences.refused(answer)], failed=failed_checks(answer))
    return make_section(
        "attribution",
        title,
        [sentences.attribution(extracts.ledger(answer, answers.on), answers.on), *sentences.pairs(answer)],
        figure="attribution",
        figure_says=f"Each driver's part in the change of {answers.on}'s burn; drivers and unexplained add up to total",
        tables=[blocks.ledger_table(answer, answers.on), *blocks.pair_tables(answer)],
        failed=failed_checks(answer),
        notes=[f"Method: {answer.method}."],
    )


def _dated(answer: Estimate, on: str) -> dict[str, Any]:
    return make_section(
        "changes",
        "Which change did it",
        [sentences.changes(extracts.ledger(answer, on), on)],
        tables=[blocks.change_ledger(answer, on)],
        failed=failed_checks(answer),
        notes=[f"Assumption: {answer.assumptions[-1]}."],
    )


def _effects(answers: Answers, slo: SLO) -> dict[str, Any]:
    period = sentences.period(slo)
    failed = [
        {**check, "name": f"{of}: {check['name']}"}
        for (of, _), answer in zip(answers.asked, answers.effects, strict=True)
        for check in failed_checks(answer)
    ]
    figure = "effects" if any(answer.verdict != "refused" for answer in answers.effects) else ""
    return make_section(
        "effects",
        "What each setting does",
        [sentences.effect(answer, period) for answer in answers.effects],
        figure=figure,
        figure_says="What each setting does to burn, against zero" if figure else "",
        tables=blocks.effect_tables(answers.effects, period),
        failed=failed,
        notes=list(dict.fromkeys(f"Method: {a.method}." for a in answers.effects if a.verdict != "refused")),
    )


def _scenario(windows: Windows, answers: Answers) -> dict[str, Any]:
    answer = answers.scenario
    title = f"If {sentences.settings(answers.do)}" if answers.do else "What happens next"
    if answer.verdict == "refused":
        return make_section("scenario", title, [sentences.refused(answer)], failed=failed_checks(answer))
    return make_section(
        "scenario",
        title,
        [sentences.scenario(answer, windows.slo(answers.on), answers.do), *sentences.decision(answer)],
        figure="scenario",
        figure_says=f"Share of the {answers.on} budget used: median, 50% and 90% bands",
        tables=blocks.scenario_tables(answer, answers.on),
        failed=failed_checks(answer),
        notes=[f"Method: {answer.method}."],
    )


def _changes(windows: Windows) -> list[dict[str, Any]]:
    return [] if windows.changes is None else windows.changes.to_dicts()
