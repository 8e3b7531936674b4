"""Blocks: the tables that budgets and answers are told in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import polars as pl

from causalrel import display
from causalrel.attribution.ledgers import NO_CHANGE
from causalrel.budgets import Budget
from causalrel.estimates import Estimate
from causalrel.reports import extracts
from causalrel.reports.tables import Kind, make_table

_MOST_DAYS = 31
_MOST_CHANGES = 60
_MOST_UNITS = 12

#: Quantities told of all SLOs together, their heads and kinds.
_WHOLE: dict[str, tuple[str, Kind]] = {
    "kept": ("P(every budget kept)", "chance"),
    "cost": ("cost (USD)", "interval"),
    "energy": ("energy (J)", "interval"),
}


def tables_of(answer: Budget | Estimate) -> list[dict[str, Any]]:
    """Return the tables of a budget or of one answer, by what its terms are about."""
    if isinstance(answer, Budget):
        return [table for slo in answer.slos for table in budget_tables(answer, slo.name)[slo is not answer.slos[0] :]]
    if answer.verdict == "refused":
        return []
    keys = answer.terms.columns
    if "driver" in keys:
        table = change_ledger if NO_CHANGE in answer.terms["driver"] else ledger_table
        return [table(answer, answer.terms["slo"][0]), *pair_tables(answer)]
    if "scenario" in keys:
        return scenario_tables(answer, answer.terms["slo"][0])
    if "configuration" in keys:
        return [frontier_table(answer)]
    return effect_tables([answer], "whole SLO") if "of" in keys else [_terms_table(answer)]


def budget_tables(budget: Budget, name: str) -> list[dict[str, Any]]:
    """Return every SLO's budget, then one SLO's by unit where it has several."""
    columns: dict[str, Kind] = {"events": "number", "bad": "number", "allowed": "number", "used": "percent"}
    columns |= {"left": "percent", "burn": "interval", "P(burn > 1)": "chance"}
    whole = budget.table.filter(pl.col("unit") == "all").to_dicts()
    units = budget.table.filter((pl.col("unit") != "all") & (pl.col("slo") == name))
    units = units.sort("burn", "unit", descending=[True, False], nulls_last=True)
    rows = [[row["slo"], *_budget_row(row)] for row in whole]
    tables = [
        make_table(f"Budgets, all units, as of {display.when(budget.as_of)} UTC", {"SLO": "text", **columns}, rows)
    ]
    if units.height > 1:
        rows = [[row["unit"], *_budget_row(row)] for row in units.head(_MOST_UNITS).to_dicts()]
        more = f" ({_MOST_UNITS} of {units.height})" if units.height > _MOST_UNITS else ""
        tables.append(make_table(f"{name} by unit, the fastest burning first{more}", {"unit": "text", **columns}, rows))
    return tables


def _budget_row(row: dict[str, Any]) -> list[Any]:
    known = row["burn"] is not None and row["burn_low"] is not None
    burn = (row["burn"], row["burn_low"], row["burn_high"]) if known else None
    left = None if row["spent"] is None else 1 - row["spent"]
    return [row["total"], row["bad"], row["allowed"], row["spent"], left, burn, row["chance_over"]]


def daily_table(budget: Budget, name: str) -> dict[str, Any]:
    """Return one SLO's events, burn and budget used by day."""
    allowed = next(slo.allowed for slo in budget.slos if slo.name == name)
    days = (
        budget.timeline.filter(pl.col("slo") == name)
        .sort("time")
        .group_by(pl.col("time").dt.truncate(timedelta(days=1)).alias("day"), maintain_order=True)
        .agg(pl.col("total").sum(), pl.col("bad").sum(), pl.col("spent").drop_nulls().last())
        .tail(_MOST_DAYS)
    )
    columns: dict[str, Kind] = {"day": "text", "events": "number", "bad": "number", "burn": "number", "used": "percent"}
    rows = [
        [f"{day:%Y-%m-%d}", total, bad, bad / total / allowed if total else None, spent]
        for day, total, bad, spent in days.rows()
    ]
    return make_table(f"{name} by day", columns, rows, folded=True)


def change_table(changes: pl.DataFrame) -> dict[str, Any]:
    """Return the change events, the last ones where there are many."""
    frame = changes.sort("time", "variable")
    keys = [name for name in frame.columns if name not in ("time", "variable", "before", "after")]
    frame = frame.select([name for name in ("time", *keys, "variable", "before", "after") if name in frame.columns])
    columns: dict[str, Kind] = {name: "time" if name == "time" else "text" for name in frame.columns}
    more = f", the last {_MOST_CHANGES} of {frame.height}" if frame.height > _MOST_CHANGES else ""
    return make_table(f"Change events{more}", columns, frame.tail(_MOST_CHANGES).rows(), folded=True)


def ledger_table(answer: Estimate, on: str) -> dict[str, Any]:
    """Return an attribution, a driver a row."""
    columns: dict[str, Kind] = {"driver": "text", "role": "text", "share of change": "percent_interval"}
    columns |= {"bad events": "interval", "burn": "interval", "budget hours": "interval"}
    rows = [[e.driver, e.role, e.share, e.events, e.burn, e.budget_hours] for e in extracts.ledger(answer, on)]
    return make_table(f"Drivers of the change in {on}; they and unexplained add up to total", columns, rows)


def pair_tables(answer: Estimate) -> list[dict[str, Any]]:
    """Return which drivers act together, and by how much; no table where none do."""
    pairs = answer.frame(extracts.PROB).filter(pl.col("quantity") == "interaction")
    rows = [[pair, (mean, low, high)] for pair, mean, low, high in pairs.select("driver", "mean", "low", "high").rows()]
    columns: dict[str, Kind] = {"drivers": "text", "burn": "interval"}
    return [make_table("What came only as both moved; each bears half of it above", columns, rows)] if rows else []


def change_ledger(answer: Estimate, on: str) -> dict[str, Any]:
    """Return an attribution by change events, a change a row."""
    columns: dict[str, Kind] = {"change": "text", "units": "number", "P(first)": "chance"}
    columns |= {"share of change": "percent_interval", "bad events": "interval", "burn": "interval"}
    rows = [[e.driver, e.units, e.first, e.share, e.events, e.burn] for e in extracts.ledger(answer, on)]
    return make_table(f"Change events behind the change in {on}; all lines add up to total", columns, rows)


def effect_tables(effects: Sequence[Estimate], period: str) -> list[dict[str, Any]]:
    """Return what each setting changes, then the outcome at each level."""
    changed: list[list[Any]] = []
    levels: list[list[Any]] = []
    values = False
    for answer in effects:
        for item in extracts.contrasts(answer):
            parts = [item.parts.get(quantity) for quantity in ("burn", "events", "budget_hours", "value")]
            changed.append([f"{item.of} {item.level} vs {item.baseline}", item.slo, *parts])
            values |= parts[-1] is not None
        levels += [[f"{of} = {level}", slo, part] for slo, of, level, _, part in extracts.shares_at(answer)]
    keys: dict[str, Kind] = {"setting": "text", "on": "text"}
    if values:
        heads: dict[str, Kind] = {**keys, "change": "interval"}
        made = [make_table("What each setting changes", heads, [[*row[:2], row[-1]] for row in changed])]
        return [
            *made,
            *_parts_tables(effects, "change"),
            make_table("Mean at each level", {**keys, "mean": "interval"}, levels),
        ]
    heads = {**keys, "burn": "interval", "bad events": "interval", "budget hours": "interval"}
    caption = f"What each setting changes, in a {period} period"
    made = [make_table(caption, heads, [row[:-1] for row in changed])] if changed else []
    more = [make_table("Bad share at each level", {**keys, "share": "percent_interval"}, levels)] if levels else []
    return made + _parts_tables(effects, "burn") + more


def _parts_tables(effects: Sequence[Estimate], what: str) -> list[dict[str, Any]]:
    """Return the parts of effects that have some, with their share of the total where one is told."""
    rows = [list(row) for answer in effects for row in extracts.parts(answer)]
    heads: dict[str, Kind] = {"setting": "text", "on": "text", "part": "text", what: "interval"}
    if any(row[-1] is not None for row in rows):
        return [make_table("Parts of what a setting changes", {**heads, "share": "percent_interval"}, rows)]
    return [make_table("Parts of what a setting changes", heads, [row[:-1] for row in rows])] if rows else []


def scenario_tables(answer: Estimate, on: str) -> list[dict[str, Any]]:
    """Return where each SLO's budget stands at the horizon, then one SLO's over time."""
    ends: list[list[Any]] = []
    steps: list[list[Any]] = []
    for name in answer.terms["slo"].unique(maintain_order=True):
        for outlook in extracts.outlooks(answer, name):
            used = extracts.interval(outlook.spent[:, -1])
            gone = None if outlook.scenario == "difference" else outlook.gone
            ends.append([name, outlook.scenario, gone, used, outlook.parts.get("burn"), outlook.parts.get("events")])
            if name == on and outlook.scenario != "difference":
                shares = [extracts.interval(outlook.spent[:, i]) for i in range(len(outlook.times))]
                steps += [[t, outlook.scenario, part] for t, part in zip(outlook.times, shares, strict=True)]
    columns: dict[str, Kind] = {"SLO": "text", "scenario": "text", "P(gone)": "chance", "used": "percent_interval"}
    columns |= {"burn": "interval", "bad events": "interval"}
    over: dict[str, Kind] = {"time": "time", "scenario": "text", "used": "percent_interval"}
    end = f"At the end of the horizon, {display.cell(answer.terms['time'].max())} UTC"
    made = [make_table(end, columns, ends), *_whole_tables(answer), *_decision_tables(answer)]
    return [*made, make_table(f"{on} over time", over, sorted(steps), folded=True)]


def _whole_tables(answer: Estimate) -> list[dict[str, Any]]:
    """Return how likely every budget is kept, and what the requests of the horizon cost where that is told."""
    rows: dict[str, dict[str, Any]] = {}
    whole = answer.frame(extracts.PROB).filter(pl.col("slo") == "all", pl.col("quantity").is_in(list(_WHOLE)))
    for row in whole.iter_rows(named=True):
        told = row["mean"] if row["quantity"] == "kept" else (row["mean"], row["low"], row["high"])
        rows.setdefault(row["scenario"], {})[row["quantity"]] = told
    heads = {name: head for name, head in _WHOLE.items() if any(name in row for row in rows.values())}
    for scenario, row in rows.items():
        if scenario == "difference":
            row["kept"] = None
    columns: dict[str, Kind] = {"scenario": "text", **dict(heads.values())}
    table = [[scenario, *(row.get(name) for name in heads)] for scenario, row in rows.items()]
    return (
        [make_table("All budgets together, and what the requests of the horizon cost", columns, table)] if rows else []
    )


def _decision_tables(answer: Estimate) -> list[dict[str, Any]]:
    """Return the expected loss of each action, the one decided for first."""
    if not answer.decision:
        return []
    losses = answer.frame().filter(pl.col("quantity") == "loss").select("scenario", "mean").rows()
    risks = dict(answer.frame().filter(pl.col("quantity") == "exhausted").select("scenario", "mean").rows())
    gone = {"ship": risks["changed"], "hold": risks["as is"]}
    rows = [[name, mean, gone.get(name)] for name, mean in sorted(losses, key=lambda row: row[0] != answer.decision)]
    columns: dict[str, Kind] = {"action": "text", "expected loss": "number", "P(a budget exhausted)": "chance"}
    return [make_table(f"Decision: {answer.decision}", columns, rows)]


def frontier_table(answer: Estimate) -> dict[str, Any]:
    """Return the configurations a recommendation was chosen from, the cheapest first."""
    columns: dict[str, Kind] = {"configuration": "text", "support": "text", "cost": "number", "P(all met)": "chance"}
    columns |= {"fastest burn": "interval", "of": "text", "standing": "text"}
    rows = [
        [
            *(point.name, point.support, point.cost, point.met, point.worst, point.slo),
            "recommended" if point.name == answer.decision else "beaten" if point.beaten else "",
        ]
        for point in extracts.frontier(answer)
    ]
    return make_table("Configurations; beaten: another meets as surely for less", columns, rows)


def _terms_table(answer: Estimate) -> dict[str, Any]:
    timed = [name for name, kind in answer.terms.schema.items() if kind.is_temporal()]
    keys = [name for name in answer.terms.columns if name not in timed or "tail" in answer.terms.columns]
    kinds: dict[str, Kind] = {name: "time" if name in timed else "text" for name in keys}
    columns: dict[str, Kind] = {**kinds, f"mean [{extracts.PROB:.0%}]": "interval"}
    frame = answer.frame(extracts.PROB)
    rows = [
        [*(row[key] for key in keys), (row["mean"], row["low"], row["high"])] for row in frame.iter_rows(named=True)
    ]
    return make_table("Answer", columns, rows)
