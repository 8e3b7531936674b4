"""Facts: one dict that every output of a report is written from."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl

from causalrel import display
from causalrel.networks import Network
from causalrel.reports import extracts, grounds, sentences
from causalrel.reports.answers import Answers, overall
from causalrel.reports.tables import Kind, failed_checks, make_section, make_table
from causalrel.slos import SLO
from causalrel.windows import Windows

SCHEMA = "causalrel/report/1"

_MOST_DAYS = 31


def make_facts(windows: Windows, network: Network, answers: Answers, *, title: str, seed: int) -> dict[str, Any]:
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
    seed : int
        Seed of the draws.

    Returns
    -------
    dict
        ``schema``, ``verdict``, ``headline``, ``questions``, ``sections`` and the answers themselves; times are
        datetimes and floats unrounded.
    """
    slo = windows.slo(answers.on)
    used = _used(answers, slo.name)
    sections = [
        _budgets(windows, answers),
        _attribution(answers),
        *([_effects(answers, slo)] if answers.effects else []),
        _scenario(windows, network, answers),
        *grounds.sections(windows, network.graph, answers, seed),
    ]
    return {
        "schema": SCHEMA,
        "verdict": overall([answer for _, answer in answers.named()]),
        "title": title or f"Error budgets {sentences.span(*answers.during)}",
        "headline": sentences.headline(
            slo=slo,
            during=answers.during,
            burn=_burn(windows, answers),
            used=used,
            seen=_seen(windows, answers, slo.name),
            attribution=answers.attribution,
            scenario=answers.scenario,
            do=answers.do,
        ),
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
        "origin": windows.origin(seed, network.graph.fingerprint()).facts(),
    }


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
    worst = budget.table.filter((pl.col("unit") == "all") & pl.col("spent").is_not_null()).sort(
        "spent", descending=True
    )
    name = str(worst["slo"][0]) if worst.height else answers.on
    spent = worst["spent"][0] if worst.height else None
    columns: dict[str, Kind] = {"events": "number", "bad": "number", "allowed": "number", "used": "percent"}
    columns |= {"left": "percent", "burn": "interval", "P(burn > 1)": "chance"}
    every = budget.table.filter(pl.col("unit") == "all").to_dicts()
    units = budget.table.filter((pl.col("unit") != "all") & (pl.col("slo") == name)).sort("burn", descending=True)
    tables = [
        make_table(
            f"Budgets, all units, as of {display.when(budget.as_of)} UTC",
            {"SLO": "text", **columns},
            [[row["slo"], *_budget_row(row)] for row in every],
        )
    ]
    if units.height > 1:
        rows = [[row["unit"], *_budget_row(row)] for row in units.to_dicts()]
        tables.append(make_table(f"{name} by unit, the fastest burning first", {"unit": "text", **columns}, rows))
    tables.append(_daily(answers))
    if windows.changes is not None and windows.changes.height:
        tables.append(_change_table(windows.changes))
    said = [sentences.budget_left(windows.slo(name), spent, budget.as_of, _seen(windows, answers, name))]
    caption = "Budget left over time, with every change event above and the burn of each window below"
    return make_section(
        "budgets",
        "Budgets left",
        said,
        figure="budgets",
        figure_says=caption,
        tables=tables,
        failed=failed_checks(budget.burns),
    )


def _budget_row(row: dict[str, Any]) -> list[Any]:
    total = row["total"]
    allowed, spent = row["allowed"], row["spent"]
    known = row["burn"] is not None and row["burn_low"] is not None
    burn = (row["burn"], row["burn_low"], row["burn_high"]) if known else None
    return [total, row["bad"], allowed, spent, None if spent is None else 1 - spent, burn, row["chance_over"]]


def _daily(answers: Answers) -> dict[str, Any]:
    budget, on = answers.budget, answers.on
    allowed = next(slo.allowed for slo in budget.slos if slo.name == on)
    days = (
        budget.timeline.filter(pl.col("slo") == on)
        .sort("time")
        .group_by(pl.col("time").dt.truncate(timedelta(days=1)).alias("day"), maintain_order=True)
        .agg(pl.col("total").sum(), pl.col("bad").sum(), pl.col("spent").drop_nulls().last())
        .tail(_MOST_DAYS)
    )
    rows = [
        [f"{row['day']:%Y-%m-%d}", row["total"], row["bad"], _rate(row, allowed), row["spent"]]
        for row in days.to_dicts()
    ]
    columns: dict[str, Kind] = {"day": "text", "events": "number", "bad": "number", "burn": "number", "used": "percent"}
    return make_table(f"{on} by day", columns, rows, folded=True)


def _rate(row: dict[str, Any], allowed: float) -> float | None:
    return row["bad"] / row["total"] / allowed if row["total"] else None


def _changes(windows: Windows) -> list[dict[str, Any]]:
    if windows.changes is None:
        return []
    return windows.changes.to_dicts()


def _change_table(changes: pl.DataFrame) -> dict[str, Any]:
    frame = changes.sort("time", "variable")
    keys = [c for c in frame.columns if c not in ("time", "variable", "before", "after")]
    order = ["time", *keys, "variable", "before", "after"]
    shown = frame.select([c for c in order if c in frame.columns])
    columns: dict[str, Kind] = {c: "time" if c == "time" else "text" for c in shown.columns}
    more = f", the last {_MOST_DAYS * 2} of {shown.height}" if shown.height > _MOST_DAYS * 2 else ""
    return make_table(f"Change events{more}", columns, shown.tail(_MOST_DAYS * 2).rows(), folded=True)


def _attribution(answers: Answers) -> dict[str, Any]:
    answer, title = answers.attribution, "Who burnt it"
    if answer.verdict == "refused":
        return make_section("attribution", title, [sentences.refused(answer)], failed=failed_checks(answer))
    entries = extracts.ledger(answer, answers.on)
    columns: dict[str, Kind] = {"driver": "text", "role": "text", "share of change": "percent_interval"}
    columns |= {"bad events": "interval", "burn": "interval", "budget hours": "interval"}
    rows = [[e.driver, e.role, e.share, e.events, e.burn, e.budget_hours] for e in entries]
    return make_section(
        "attribution",
        title,
        [sentences.attribution(entries, answers.on)],
        figure="attribution",
        figure_says=f"Each driver's part in the change of {answers.on}'s burn; drivers and unexplained add up to total",
        tables=[make_table(answer.question, columns, rows)],
        failed=failed_checks(answer),
        notes=[f"Method: {answer.method}."],
    )


def _effects(answers: Answers, slo: SLO) -> dict[str, Any]:
    said: list[str] = []
    differences: list[list[Any]] = []
    levels: list[list[Any]] = []
    failed: list[dict[str, str]] = []
    period = sentences.period(slo)
    for (of, _), answer in zip(answers.asked, answers.effects, strict=True):
        said.append(sentences.effect(answer, period))
        failed += [{**check, "name": f"{of}: {check['name']}"} for check in failed_checks(answer)]
        for item in extracts.contrasts(answer):
            parts = [item.parts.get(q) for q in ("burn", "events", "budget_hours", "value")]
            differences.append([f"{item.of} {item.level} vs {item.baseline}", item.slo, *parts])
        levels += [[f"{of} = {level}", slo, part] for slo, of, level, _, part in extracts.shares_at(answer)]
    heads: dict[str, Kind] = {"burn": "interval", "bad events": "interval", "budget hours": "interval"}
    heads |= {"value": "interval"}
    if not any(row[-1] for row in differences):
        heads.pop("value")
        differences = [row[:-1] for row in differences]
    tables = []
    if differences:
        tables.append(
            make_table(
                f"What each setting changes, in a {period} period",
                {"setting": "text", "on": "text", **heads},
                differences,
            )
        )
    if levels:
        kind: Kind = "interval" if "value" in heads else "percent_interval"
        tables.append(make_table("Bad share at each level", {"setting": "text", "on": "text", "share": kind}, levels))
    figure = "effects" if any(answer.verdict != "refused" for answer in answers.effects) else ""
    return make_section(
        "effects",
        "What each setting does",
        said,
        figure=figure,
        figure_says="What each setting does to burn, against zero" if figure else "",
        tables=tables,
        failed=failed,
        notes=list(dict.fromkeys(f"Method: {a.method}." for a in answers.effects if a.verdict != "refused")),
    )


def _scenario(windows: Windows, network: Network, answers: Answers) -> dict[str, Any]:
    answer = answers.scenario
    title = f"If {sentences.settings(answers.do)}" if answers.do else "What happens next"
    if answer.verdict == "refused":
        return make_section("scenario", title, [sentences.refused(answer)], failed=failed_checks(answer))
    ends, steps = [], []
    for slo in network.slos:
        for outlook in extracts.outlooks(answer, slo.name):
            used = extracts.interval(outlook.spent[:, -1])
            gone = None if outlook.scenario == "difference" else outlook.gone
            parts = [outlook.parts.get(quantity) for quantity in ("burn", "events")]
            ends.append([slo.name, outlook.scenario, gone, used, *parts])
            if slo.name == answers.on and outlook.scenario != "difference":
                steps += [
                    [t, outlook.scenario, extracts.interval(outlook.spent[:, i])] for i, t in enumerate(outlook.times)
                ]
    columns: dict[str, Kind] = {"SLO": "text", "scenario": "text", "P(gone)": "chance", "used": "percent_interval"}
    columns |= {"burn": "interval", "bad events": "interval"}
    caption = f"After {answers.horizon}, at the end of the horizon"
    over: dict[str, Kind] = {"time": "time", "scenario": "text", "used": "percent_interval"}
    tables = [
        make_table(caption, columns, ends),
        make_table(f"{answers.on} over time", over, sorted(steps), folded=True),
    ]
    return make_section(
        "scenario",
        title,
        [sentences.scenario(answer, windows.slo(answers.on), answers.do)],
        figure="scenario",
        figure_says=f"Share of the {answers.on} budget used: median, 50% and 90% bands",
        tables=tables,
        failed=failed_checks(answer),
        notes=[f"Method: {answer.method}."],
    )
