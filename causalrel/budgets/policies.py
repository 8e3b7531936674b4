"""Policies: what to do at a probability that a budget runs out, and what that costs in false alarms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from causalrel import errors
from causalrel.budgets.burns import dispersion_of
from causalrel.budgets.exhaustion import first_crossing
from causalrel.estimates import Estimate
from causalrel.slos import SLO

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_DRAWS = 200
_DAY = timedelta(days=1)
_DECIDED = {"slo": pl.String, "chance": pl.Float64, "action": pl.String, "threshold": pl.Float64}
_PRICED = {
    "action": pl.String,
    "threshold": pl.Float64,
    "burn": pl.Float64,
    "false_a_year": pl.Float64,
    "false_days_a_year": pl.Float64,
    "days_a_year": pl.Float64,
}


def check_rules(rules: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return the rules from the strictest to the least strict.

    Parameters
    ----------
    rules : mapping of str to float
        Action to the probability from which it is taken.

    Returns
    -------
    list of (str, float)
        Falling probabilities.

    Raises
    ------
    CausalrelError
        When there is none, a probability is not in (0, 1), or two are the same.

    Examples
    --------
    >>> check_rules({"slow": 0.3, "freeze": 0.8})
    [('freeze', 0.8), ('slow', 0.3)]
    """
    wrong = [f"{name} at {level}" for name, level in rules.items() if not 0 < level < 1]
    if not rules or wrong or len(set(rules.values())) < len(rules):
        said = f"{', '.join(wrong)} is no probability" if wrong else "two rules need two probabilities, one at least"
        raise errors.bad_question(said, "write rules such as {'freeze': 0.8, 'slow': 0.3}, each between 0 and 1")
    return sorted(rules.items(), key=lambda rule: -rule[1])


def decide(gone: Estimate, slos: tuple[SLO, ...], rules: Mapping[str, float]) -> pl.DataFrame:
    """Choose for each SLO the strictest action whose probability is reached.

    Parameters
    ----------
    gone : Estimate
        Result of ``Budget.exhaustion``.
    slos : tuple of SLO
        The SLOs.
    rules : mapping of str to float
        Action to the probability that the budget runs out from which it is taken.

    Returns
    -------
    polars.DataFrame
        ``slo``, ``chance``, ``action`` (``ship`` where none is reached, ``ask`` where the chance is not known) and its
        ``threshold``.

    Raises
    ------
    CausalrelError
        When the rules are none.

    Examples
    --------
    >>> import causalrel as cr
    >>> made = cr.budget(cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat")))
    >>> decide(made.exhaustion(), made.slos, {"freeze": 0.8})["action"].unique().sort().to_list()
    ['freeze', 'ship']
    """
    ordered = check_rules(rules)
    rows: list[tuple[str, float | None, str, float | None]] = []
    known = {} if gone.verdict == "refused" else dict(gone.frame().filter(quantity="gone").select("slo", "mean").rows())
    for slo in slos:
        chance = known.get(slo.name)
        if chance is None:
            rows.append((slo.name, None, "ask", None))
            continue
        action, level = next(((name, level) for name, level in ordered if chance >= level), ("ship", None))
        rows.append((slo.name, chance, action, level))
    return pl.DataFrame(rows, schema=_DECIDED, orient="row")


def price(
    timeline: pl.DataFrame,
    slo: SLO,
    width: timedelta,
    rules: Mapping[str, float],
    *,
    burns: Sequence[float],
    years: int,
    seed: int,
) -> pl.DataFrame:
    """Simulate a service of known burn for years, decide each day, and count what the rules cost.

    Parameters
    ----------
    timeline : polars.DataFrame
        Events of each SLO and window, for traffic and scatter.
    slo : SLO
        The SLO; a calendar window starts anew after each period.
    width : datetime.timedelta
        Width of a window.
    rules : mapping of str to float
        Action to probability.
    burns : sequence of float
        True burns to simulate.
    years : int
        Years of each.
    seed : int
        Seed of the simulation.

    Returns
    -------
    polars.DataFrame
        As ``Budget.price`` tells.

    Raises
    ------
    CausalrelError
        When the SLO counted nothing, or the rules, the burns or the years are none.

    Examples
    --------
    >>> import causalrel as cr
    >>> made = cr.budget(cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat")))
    >>> made.price("ttft", {"freeze": 0.9}, burns=(0.5,), years=1)["false_a_year"].item()
    0.0
    """
    ordered = check_rules(rules)
    if years < 1 or not burns or min(burns) < 0:
        raise errors.bad_question(f"{years} years of burns {list(burns)} cannot be simulated", "ask one year or more")
    seen = timeline.filter((pl.col("slo") == slo.name) & (pl.col("total") > 0))
    if seen.is_empty():
        raise errors.bad_question(f"SLO '{slo.name}' counted no event", "ask about one that did")
    events = float(seen["total"].sum()) / (seen.height * width / _DAY)
    scatter = dispersion_of(seen.with_columns(unit=pl.lit("all")), width, slo.name, "all")
    rows = []
    for place, burn in enumerate(burns):
        chances, lasts = _lived(slo, events, scatter, burn, years * 365, [seed, place])
        for action, level in ordered:
            on = chances >= level
            counts = (_spells(on & lasts), int((on & lasts).sum()), int(on.sum()))
            rows.append((action, level, burn, *(count / years for count in counts)))
    return pl.DataFrame(rows, schema=_PRICED, orient="row")


def _spells(flags: NDArray[np.bool_]) -> int:
    """Count runs of days."""
    return int(flags[:1].sum() + (flags[1:] & ~flags[:-1]).sum())


def _lived(
    slo: SLO, events: float, scatter: float, burn: float, days: int, seed: list[int]
) -> tuple[Floats, NDArray[np.bool_]]:
    """Live days: the probability of exhaustion told each evening, and whether the budget then lasts in truth."""
    rng, length = np.random.default_rng(seed), max(2, round(slo.period / _DAY))
    daily = scatter * rng.poisson(slo.allowed * burn * events / scatter, size=days + 2 * length)
    budget, past = slo.allowed * events * length, np.concatenate([[0.0], np.cumsum(daily)])
    chances, lasts = np.zeros(days), np.zeros(days, dtype=bool)
    for day in range(days):
        now = day + length
        start = now - length if slo.rolling else now - now % length
        ahead = length if slo.rolling else length - now % length
        bad, seen = past[now] - past[start], events * (now - start)
        leaves = past[start : start + ahead + 1] - past[start] if slo.rolling else np.zeros(ahead + 1)
        rates = rng.beta(0.5 + bad / scatter, 0.5 + max(seen - bad, 0.0) / scatter, size=_DRAWS) * events
        crossed = np.isfinite(first_crossing(bad - leaves, rates, budget, scatter, rng))
        chances[day] = float(np.mean(crossed)) if seen else 0.0
        lasts[day] = not (past[now : now + ahead + 1] - past[now] + bad - leaves >= budget).any()
    return chances, lasts
