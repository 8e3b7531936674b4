"""Extracts: the numbers a reader wants from an answer, each with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from causalrel.attribution.ledgers import NO_CHANGE
from causalrel.estimates import Estimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Probability inside every interval of a report.
PROB = 0.9

#: Mean, low and high.
Interval = tuple[float, float, float]

_LAST = {NO_CHANGE: 1, "unexplained": 2, "total": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of an attribution.

    Parameters
    ----------
    driver, role : str
        Whose part it is; ``unexplained`` and ``total`` have no role.
    events, burn, budget_hours : (mean, low, high) or None
        The part in each unit.
    share : (mean, low, high) or None
        The part as a share of the total; None where nothing changed.
    units : int or None
        Of a change, how many units it reached.
    first : float or None
        Of a change, the probability that it has the most of the total.
    """

    driver: str
    role: str
    events: Interval | None
    burn: Interval | None
    budget_hours: Interval | None
    share: Interval | None
    units: int | None = None
    first: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """What one level does against its baseline, for one SLO.

    Parameters
    ----------
    slo, of, baseline, level : str
        The contrast.
    parts : mapping of str to (mean, low, high)
        The difference in each quantity.
    """

    slo: str
    of: str
    baseline: str
    level: str
    parts: Mapping[str, Interval]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """One scenario's budget.

    Parameters
    ----------
    scenario : str
        ``as is``, ``changed`` or ``difference``.
    times : tuple of datetime
        UTC, ascending.
    spent : ndarray of float64, shape (n_draws, n_times)
        Share of the budget used.
    gone : float
        Probability that the budget is used up at the last time.
    parts : mapping of str to (mean, low, high)
        Other quantities at the last time.
    """

    scenario: str
    times: tuple[datetime, ...]
    spent: NDArray[np.float64]
    gone: float
    parts: Mapping[str, Interval]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One configuration of a recommendation.

    Parameters
    ----------
    name, support : str
        What is set, and whether that was ``seen`` or is ``interpolated``.
    cost, met : float
        Its cost, and the probability that every SLO is met.
    worst : (mean, low, high)
        Burn of the SLO that burns fastest.
    slo : str
        That SLO.
    beaten : bool
        Whether another meets as surely for less, or more surely for as much.
    """

    name: str
    support: str
    cost: float
    met: float
    worst: Interval
    slo: str
    beaten: bool = False


def interval(values: NDArray[np.float64]) -> Interval:
    """Return mean, low and high of draws.

    Parameters
    ----------
    values : ndarray of float64, shape (n_draws,)
        Draws.

    Returns
    -------
    tuple of float
        Mean and the central interval of probability 0.9.

    Examples
    --------
    >>> interval(np.array([1.0, 1.0]))
    (1.0, 1.0, 1.0)
    """
    low, high = np.quantile(values, [(1 - PROB) / 2, (1 + PROB) / 2])
    return float(values.mean()), float(low), float(high)


def ledger(answer: Estimate, on: str | None = None) -> list[Entry]:
    """Return an attribution by size, ``unexplained`` and ``total`` last.

    Parameters
    ----------
    answer : Estimate
        What :func:`causalrel.attribute` returned.
    on : str, optional
        The SLO; the first where not given.

    Returns
    -------
    list of Entry
        Empty where the answer is refused or about another SLO.
    """
    if answer.verdict == "refused" or answer.terms.is_empty():
        return []
    slo = answer.terms["slo"][0] if on is None else on
    found: dict[str, dict[str, Any]] = {}
    rows = answer.frame(PROB).with_row_index("at").filter(pl.col("slo") == slo)
    for row in rows.filter(pl.col("quantity") != "interaction").iter_rows(named=True):
        entry = found.setdefault(row["driver"], {"role": row["role"] or "", "units": row.get("units")})
        entry[row["quantity"]] = (row["mean"], row["low"], row["high"])
        entry.setdefault("draws", {})[row["quantity"]] = answer.draws[:, row["at"]]
    total = found.get("total", {}).get("draws", {})
    made = [
        Entry(
            driver=name,
            role=entry["role"],
            events=entry.get("events"),
            burn=entry.get("burn"),
            budget_hours=entry.get("budget_hours"),
            share=_share(entry["draws"], total),
            units=entry["units"],
            first=entry["first"][0] if "first" in entry else None,
        )
        for name, entry in found.items()
    ]
    return sorted(made, key=lambda e: (_LAST.get(e.driver, 0), -abs((e.burn or e.events or (0, 0, 0))[0]), e.driver))


def _share(parts: Mapping[str, NDArray[np.float64]], total: Mapping[str, NDArray[np.float64]]) -> Interval | None:
    for quantity in ("burn", "events"):
        if quantity in parts and quantity in total and np.abs(total[quantity]).min() > 1e-12:
            return interval(parts[quantity] / total[quantity])
    return None


def contrasts(answer: Estimate) -> list[Contrast]:
    """Return what each level does against its baseline, by any path; of a rollout, in all windows that it reached.

    Parameters
    ----------
    answer : Estimate
        What :func:`causalrel.effect` returned.

    Returns
    -------
    list of Contrast
        Empty where the answer is refused.
    """
    if answer.verdict == "refused":
        return []
    found: dict[tuple[str, str, str, str], dict[str, Interval]] = {}
    for row in answer.frame(PROB).iter_rows(named=True):
        whole = row.get("when", "all") == "all" and row.get("path", "total") == "total"
        if whole and not row["quantity"].endswith("_at"):
            key = (row["slo"], row["of"], _text(row["baseline"]), _text(row["level"]))
            found.setdefault(key, {})[row["quantity"]] = (row["mean"], row["low"], row["high"])
    return [Contrast(slo=k[0], of=k[1], baseline=k[2], level=k[3], parts=parts) for k, parts in found.items()]


def parts(answer: Estimate) -> list[tuple[str, str, str, Interval | None, Interval | None]]:
    """Return an effect's parts: classes, stages of a rollout, what goes through mediators and past them.

    Parameters
    ----------
    answer : Estimate
        What :func:`causalrel.effect` returned.

    Returns
    -------
    list of (setting, slo, part, change, share of the total)
        Changes in burn, or in the unit of a numeric outcome; empty where the answer has no parts.
    """
    keys = [name for name in ("group", "when", "path") if name in answer.terms.columns]
    if answer.verdict == "refused" or not keys:
        return []
    found: dict[tuple[str, str, str], dict[str, Interval]] = {}
    told = answer.frame(PROB).filter(pl.col("quantity").is_in(["burn", "value", "mediated_share"]))
    for row in told.iter_rows(named=True):
        setting = f"{row['of']} {_text(row['level'])} vs {_text(row['baseline'])}"
        kind = "share" if row["quantity"] == "mediated_share" else "change"
        key = (setting, row["slo"], ", ".join(str(row[name]) for name in keys))
        found.setdefault(key, {})[kind] = (row["mean"], row["low"], row["high"])
    return [(*key, part.get("change"), part.get("share")) for key, part in found.items()]


def shares_at(answer: Estimate) -> list[tuple[str, str, str, str, Interval]]:
    """Return the bad share (or value) at each level.

    Parameters
    ----------
    answer : Estimate
        What :func:`causalrel.effect` returned.

    Returns
    -------
    list of (slo, of, level, quantity, interval)
        Empty where the answer is refused.
    """
    if answer.verdict == "refused":
        return []
    rows = answer.frame(PROB).filter(pl.col("quantity").str.ends_with("_at"))
    return [
        (r["slo"], r["of"], _text(r["level"]), r["quantity"].removesuffix("_at"), (r["mean"], r["low"], r["high"]))
        for r in rows.iter_rows(named=True)
    ]


def outlooks(answer: Estimate, on: str | None = None) -> list[Outlook]:
    """Return each scenario of a forecast or what-if, for one SLO.

    Parameters
    ----------
    answer : Estimate
        What :func:`causalrel.forecast` or :func:`causalrel.whatif` returned.
    on : str, optional
        The SLO; the first where not given.

    Returns
    -------
    list of Outlook
        In the order ``as is``, ``changed``, ``difference``; empty where the answer is refused or about others.
    """
    if answer.verdict == "refused":
        return []
    slo = answer.terms["slo"][0] if on is None else on
    rows = answer.frame(PROB).with_row_index("at").filter(pl.col("slo") == slo)
    made = []
    for scenario in ("as is", "changed", "difference"):
        mine = rows.filter(pl.col("scenario") == scenario)
        spent = mine.filter(pl.col("quantity") == "spent").sort("time")
        if spent.is_empty():
            continue
        draws = answer.draws[:, spent["at"].to_numpy()]
        last = mine.filter((pl.col("quantity") != "spent") & (pl.col("time") == spent["time"][-1]))
        parts = {r["quantity"]: (r["mean"], r["low"], r["high"]) for r in last.iter_rows(named=True)}
        gone = float((draws[:, -1] > 1.0).mean())
        times = tuple(spent["time"].to_list())
        made.append(Outlook(scenario=scenario, times=times, spent=draws, gone=gone, parts=parts))
    return made


def frontier(answer: Estimate) -> list[Point]:
    """Return the configurations of a recommendation, the cheapest first.

    Parameters
    ----------
    answer : Estimate
        What :func:`causalrel.recommend` returned.

    Returns
    -------
    list of Point
        Empty where the answer is refused.
    """
    if answer.verdict == "refused":
        return []
    made: dict[str, dict[str, Any]] = {}
    for at, row in enumerate(answer.frame(PROB).iter_rows(named=True)):
        point = made.setdefault(row["configuration"], {"support": row["support"], "burns": []})
        if row["quantity"] == "burn":
            point["burns"].append(((row["mean"], row["low"], row["high"]), row["slo"]))
        else:
            point[row["quantity"]] = float(answer.draws[:, at].mean())
    beaten = {
        name
        for name, mine in made.items()
        for other in made.values()
        if other["cost"] <= mine["cost"]
        and other["met"] >= mine["met"]
        and (other["cost"], other["met"]) != (mine["cost"], mine["met"])
    }
    points = []
    for name, found in made.items():
        worst, slo = max(found["burns"])
        one = Point(name=name, support=found["support"], cost=found["cost"], met=found["met"], worst=worst, slo=slo)
        points.append(replace(one, beaten=name in beaten))
    return sorted(points, key=lambda point: (point.cost, -point.met, point.name))


def _text(level: object) -> str:
    return f"{level:g}" if isinstance(level, float) else str(level)
