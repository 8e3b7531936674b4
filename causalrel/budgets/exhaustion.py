"""Exhaustion: when each budget is gone if it burns on as it did."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from causalrel import display
from causalrel.budgets.burns import dispersion_of
from causalrel.estimates import Check, Estimate, refusal
from causalrel.slos import SLO, slo_window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_STEPS = 500
_HOUR = timedelta(hours=1)
_METHOD = "draws of the burn, each rolled forward with events that scatter as those seen did"
_ASSUMPTIONS = (
    "the burn and the traffic stay what they were over the time window",
    "windows scatter in future as they did, and do not follow one another",
)


def first_crossing(carried: Floats, rates: Floats, budget: float, scatter: float, rng: np.random.Generator) -> Floats:
    """Draw when the bad events in a time window first reach a budget.

    New bad events are Poisson in lumps of ``scatter``, so that their variance is that many times their mean.

    Parameters
    ----------
    carried : ndarray of float64, shape (n_steps + 1,)
        Bad events of today still in the window at the start and after each step.
    rates : ndarray of float64, shape (n_draws,)
        Bad events expected a step.
    budget : float
        Bad events allowed.
    scatter : float
        Variance of the events counted over that of independent ones, at least 1.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray of float64, shape (n_draws,)
        Steps, fractions by interpolation; 0 where the budget is gone already, infinity where it lasts.

    Examples
    --------
    >>> made = first_crossing(np.zeros(11), np.full(3, 1e6), 5e6, 1.0, np.random.default_rng(0))
    >>> made.round(1).tolist()
    [5.0, 5.0, 5.0]
    """
    shape = (len(rates), len(carried) - 1)
    new = scatter * rng.poisson(rates[:, None] / scatter, size=shape).cumsum(axis=1)
    level = np.hstack([np.full((len(rates), 1), carried[0]), carried[None, 1:] + new])
    return steps_until(level, budget)


def steps_until(level: Floats, budget: float) -> Floats:
    """Return when bad events first reach a budget.

    Parameters
    ----------
    level : ndarray of float64, shape (n_draws, n_steps + 1)
        Bad events in the time window at the start and after each step.
    budget : float
        Bad events allowed.

    Returns
    -------
    ndarray of float64, shape (n_draws,)
        Steps, fractions by interpolation; 0 where the budget is gone already, infinity where it lasts.

    Examples
    --------
    >>> steps_until(np.array([[0.0, 2.0, 4.0], [5.0, 6.0, 7.0], [0.0, 1.0, 1.0]]), 3.0).tolist()
    [1.5, 0.0, inf]
    """
    over = level >= budget
    first = over.argmax(axis=1)
    rows = np.arange(len(level))
    below, above = level[rows, np.maximum(first - 1, 0)], level[rows, first]
    part = np.divide(budget - below, above - below, out=np.ones(len(level)), where=above > below)
    steps = np.where(first == 0, 0.0, first - 1 + np.clip(part, 0.0, 1.0))
    return np.where(over.any(axis=1), steps, np.inf)


def draw_exhaustion(
    burns: Estimate, timeline: pl.DataFrame, slos: tuple[SLO, ...], as_of: datetime, width: timedelta, seed: int
) -> Estimate:
    """Draw, for each SLO over all units, the hours until its budget is gone and whether it is.

    Parameters
    ----------
    burns : Estimate
        Draws of the burn.
    timeline : polars.DataFrame
        Events of each SLO and window.
    slos : tuple of SLO
        The SLOs.
    as_of : datetime.datetime
        Now.
    width : datetime.timedelta
        Width of a window.
    seed : int
        Seed of the draws.

    Returns
    -------
    Estimate
        As ``Budget.exhaustion`` tells; refused where the burns are.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"))
    >>> cr.budget(windows).exhaustion().select(slo="ttft").terms["quantity"].to_list()
    ['time_left', 'gone']
    """
    question = f"When is each budget gone after {display.when(as_of)} UTC, as things are?"
    if burns.verdict == "refused":
        return refusal(question, method=_METHOD, checks=burns.checks, origin=burns.origin, assumptions=_ASSUMPTIONS)
    columns, rows, checks = [], [], list(burns.checks)
    drawn = set(burns.terms.filter(pl.col("of_unit") == "all")["slo"])
    for place, slo in enumerate(slos):
        if slo.name not in drawn:
            continue
        seen = timeline.filter((pl.col("slo") == slo.name) & (pl.col("total") > 0))
        ahead = slo.period if slo.rolling else slo_window(slo, as_of)[1] - as_of
        shares = burns.select(slo=slo.name, of_unit="all").draws[:, 0] * slo.allowed
        scatter = dispersion_of(seen.with_columns(unit=pl.lit("all")), width, slo.name, "all")
        hours = _hours_left(seen, slo, as_of, width, ahead, shares, scatter, np.random.default_rng([seed, place]))
        lasts = np.isinf(hours)
        checks.append(_followed(slo, ahead, float(lasts.mean())))
        columns += [np.where(lasts, ahead / _HOUR, hours), (~lasts).astype(np.float64)]
        rows += [(slo.name, "time_left", "h"), (slo.name, "gone", "1")]
    return Estimate(
        question=question,
        draws=np.column_stack(columns),
        terms=pl.DataFrame(rows, schema=["slo", "quantity", "unit"], orient="row"),
        unit="h",
        method=_METHOD,
        assumptions=_ASSUMPTIONS,
        checks=tuple(checks),
        verdict=burns.verdict,
        origin=burns.origin,
    )


def _followed(slo: SLO, ahead: timedelta, lasts: float) -> Check:
    """Say how far a budget was followed, and how often it lasts as long."""
    until = "one period ahead" if slo.rolling else "to the end of its window"
    says = f"{slo.name} was followed {until}, {display.length(ahead)}, and lasts as long in {lasts:.0%} of the draws"
    return Check(name=f"horizon {slo.name}", passed=True, says=says)


def _hours_left(
    seen: pl.DataFrame,
    slo: SLO,
    as_of: datetime,
    width: timedelta,
    ahead: timedelta,
    shares: Floats,
    scatter: float,
    rng: np.random.Generator,
) -> Floats:
    """Draw the hours until one budget is gone; infinity where it lasts as far as it is followed."""
    total, bad = float(seen["total"].sum()), seen["bad"].to_numpy().astype(np.float64)
    rate = total / (seen.height * width / _HOUR)
    step = ahead / _STEPS
    carried = np.full(_STEPS + 1, bad.sum())
    expected = total + rate * (ahead / _HOUR)
    if slo.rolling:
        expected = max(total, rate * (slo.period / _HOUR))
        stays = np.append(np.cumsum(bad[::-1])[::-1], 0.0)
        leaves = [(as_of + place * step) - slo.period for place in range(_STEPS + 1)]
        carried = stays[seen["time"].search_sorted(pl.Series(leaves).cast(seen.schema["time"]), side="left").to_numpy()]
    made = first_crossing(carried, shares * rate * (step / _HOUR), slo.allowed * expected, scatter, rng)
    return made * (step / _HOUR)
