"""Policies on the posterior: what they say, and how often they act in vain."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from scipy.stats import nbinom

import causalrel as cr
from causalrel.budgets.policies import decide

RULES = {"slow": 0.3, "freeze": 0.8}


def service(burn: float, days: int, *, period: int = 28, rate: int = 2000, seed: int = 0) -> cr.Budget:
    """Return the budget of a service of a steady burn, a calendar month of the given days having begun with it."""
    rng = np.random.default_rng(seed)
    start = datetime(2026, 2, 1, tzinfo=UTC)
    frame = pl.DataFrame({"t": [start + timedelta(hours=hour) for hour in range(24 * days)]})
    frame = frame.with_columns(n=pl.lit(rate), b=pl.Series(rng.binomial(rate, 0.01 * burn, 24 * days)))
    windows = cr.Windows.from_frame(frame, time="t", roles={}, events={"up": ("n", "b")}, every="1h")
    monthly = replace(windows.slos[0], rolling=False, start="2026-02-01 00:00:00", period=timedelta(days=period))
    return cr.budget(replace(windows, slos=(monthly,)))


@pytest.mark.parametrize(("burn", "action"), [(0.4, "ship"), (1.6, "freeze"), (40.0, "freeze")])
def test_a_clear_case_is_decided(burn: float, action: str) -> None:
    told = service(burn, 10).decide(RULES).row(0, named=True)
    assert told["action"] == action
    assert (told["threshold"] is None) == (action == "ship")


def test_the_strictest_rule_that_is_reached_is_taken() -> None:
    budget = service(0.98, 14)
    chance = budget.decide(RULES)["chance"].item()
    assert 0.05 < chance < 0.95
    levels = {"one": chance - 0.04, "two": chance - 0.02, "three": chance + 0.02}
    assert budget.decide(levels)["action"].item() == "two"
    assert budget.decide({"three": chance + 0.02})["action"].item() == "ship"


def test_without_a_chance_somebody_is_asked() -> None:
    budget = service(1.0, 10)
    other = replace(budget.slos[0], name="other")
    told = decide(budget.exhaustion(), (*budget.slos, other), RULES)
    assert told.filter(slo="other").select("chance", "action").row(0) == (None, "ask")


def test_the_chance_agrees_with_a_closed_form() -> None:
    """Bad events to come are gamma-Poisson: the sum of what is left has a negative binomial distribution."""
    budget = service(0.97, 14)
    bad, total = budget.table.select("bad", "total").row(0)
    left = 0.01 * 28 * 24 * 2000 - bad
    share = total / (total + 14 * 24 * 2000)
    exact = float(nbinom.sf(left - 1, 0.5 + bad, share))
    assert budget.decide(RULES)["chance"].item() == pytest.approx(exact, abs=0.04)


@pytest.mark.parametrize("rules", [{}, {"freeze": 1.0}, {"freeze": 0.0}, {"a": 0.5, "b": 0.5}])
def test_rules_that_are_none_are_one_sentence(rules: dict[str, float]) -> None:
    with pytest.raises(cr.CausalrelError, match="write rules such as"):
        service(1.0, 4).decide(rules)


def test_the_price_counts_what_a_naive_loop_counts() -> None:
    """Half the budget is never in danger, all of it often is; a higher threshold acts in vain no more often."""
    budget = service(1.0, 28)
    told = budget.price("up", {"slow": 0.3, "freeze": 0.8}, burns=(0.5, 0.97), years=3, seed=1)
    assert told.columns == ["action", "threshold", "burn", "false_a_year", "false_days_a_year", "days_a_year"]
    safe, near = (told.filter(burn=burn) for burn in (0.5, 0.97))
    assert safe["days_a_year"].to_list() == [0.0, 0.0]
    freeze, slow = (near.filter(action=name).row(0, named=True) for name in ("freeze", "slow"))
    assert 0 < freeze["false_days_a_year"] < slow["false_days_a_year"] <= slow["days_a_year"] <= 365
    assert slow["false_a_year"] <= slow["false_days_a_year"]
    assert told.equals(budget.price("up", {"freeze": 0.8, "slow": 0.3}, burns=(0.5, 0.97), years=3, seed=1))


def test_a_price_that_cannot_be_is_one_sentence() -> None:
    budget = service(1.0, 4)
    with pytest.raises(cr.CausalrelError, match="did you mean 'up'"):
        budget.price("upp", RULES)
    with pytest.raises(cr.CausalrelError, match="cannot be simulated"):
        budget.price("up", RULES, years=0)
