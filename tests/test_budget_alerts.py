"""Burn-rate alerts: the workbook's thresholds, both windows, and the exact probability beside them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from test_budget_ledgers import START, counted

from causalrel import CausalrelError, budget
from causalrel.budgets.alerts import RULES, burn_chance, threshold_of
from causalrel.budgets.exhaustion import first_crossing

DAYS = 30 * 24


def test_thresholds_are_those_of_the_workbook_and_scale_with_the_period() -> None:
    of_days = {
        days: [threshold_of(timedelta(days=days), long, share) for _, long, _, share in RULES] for days in (30, 28, 7)
    }
    assert of_days[30] == pytest.approx([14.4, 6, 3, 1])
    assert of_days[28] == pytest.approx([13.44, 5.6, 2.8, 0.9333333])
    assert of_days[7] == pytest.approx([3.36, 1.4, 0.7, 0.2333333])


def five_minutes(bad: dict[int, int], total: int = 100, count: int = 4 * 288, target: float = 0.999) -> Any:
    """Return windows of 5 minutes with ``total`` requests and, counted from the last one back, some bad ones."""
    from causalrel import Windows

    frame = pl.DataFrame(
        {
            "t": [START + timedelta(minutes=5 * i) for i in range(count)],
            "n": [total] * count,
            "bad": [bad.get(count - 1 - i, 0) for i in range(count)],
        }
    )
    made = Windows.from_frame(frame, time="t", roles={}, events={"up": ("n", "bad")}, targets={"up": target})
    from dataclasses import replace

    return replace(made, slos=(replace(made.slos[0], period=timedelta(days=30)),))


def test_a_rule_fires_only_when_both_windows_exceed() -> None:
    hour_full = budget(five_minutes(dict.fromkeys(range(12), 2))).alerts()
    assert hour_full.select("severity", "threshold", "burn_long", "fires").rows()[:2] == [
        ("page", pytest.approx(14.4), pytest.approx(20.0), True),
        ("page", pytest.approx(6.0), pytest.approx(20 / 6), False),
    ]
    over = budget(five_minutes(dict.fromkeys(range(1, 12), 3))).alerts().row(0, named=True)
    assert (over["burn_long"] > over["threshold"], over["burn_short"], over["fires"]) == (True, 0.0, False)
    begun = budget(five_minutes({0: 10})).alerts().row(0, named=True)
    assert (begun["burn_short"] > 14.4, begun["burn_long"] > 14.4, begun["fires"]) == (True, False, False)
    assert hour_full["sure"].to_list() == hour_full["fires"].to_list()


def test_one_bad_request_among_few_fires_the_rule_and_is_not_believed() -> None:
    row = budget(five_minutes({0: 1}, total=5)).alerts().row(0, named=True)
    assert row["burn_long"] == pytest.approx(1 / 60 / 0.001)
    assert (row["fires"], row["sure"]) == (True, False)
    assert budget(five_minutes({0: 1, 3: 1}, total=5)).alerts()["sure"].to_list()[0]
    assert not budget(five_minutes({0: 1, 3: 1}, total=5)).alerts(level=0.99)["sure"].to_list()[0]


def test_rules_that_cannot_be_told_are_nulls_or_left_out() -> None:
    hourly = counted(dict.fromkeys(range(24 * 10), (100, 50)), period=timedelta(days=30))
    told = budget(hourly).alerts()
    assert told["fires"].to_list() == [None, None, True, True]
    assert told["sure"].to_list() == [None, None, True, True]
    short = budget(counted(dict.fromkeys(range(24), (100, 50)), period=timedelta(days=1))).alerts()
    assert short["severity"].to_list() == ["page", "page"]
    idle = budget(five_minutes({}, total=0)).alerts()
    assert idle["fires"].to_list() == [False] * 4
    assert idle["burn_long"].to_list() == [None] * 4
    half = budget(five_minutes(dict.fromkeys(range(1000), 100), target=0.5)).alerts()
    assert half["chance"].to_list()[0] == 0.0
    for level in (0.0, 1.0, 95.0):
        with pytest.raises(CausalrelError, match="is no probability between 0 and 1"):
            budget(hourly).alerts(level)


def test_alerts_look_back_past_the_start_of_a_calendar_window() -> None:
    clock = {"period": timedelta(days=30), "rolling": False, "months": 1, "start": "2026-02-01 00:00:00"}
    windows = counted(dict.fromkeys(range(18 * 24 + 2), (100, 50)), **clock)
    made = budget(windows)
    assert made.table["total"].to_list()[0] == 200
    assert made.lookback["total_long"].to_list()[3] == 72 * 100


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 2000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))),
    st.sampled_from([1.0, 3.0, 14.4]),
    st.sampled_from([0.0005, 0.001, 0.01, 0.05]),
)
def test_the_chance_is_the_posterior(events: tuple[int, int], threshold: float, allowed: float) -> None:
    bad, total = events
    chance = float(burn_chance(np.array(bad), np.array(total), threshold, allowed))
    exact = stats.beta(0.05 + bad, 0.05 / allowed - 0.05 + total - bad)
    assert chance == pytest.approx(exact.sf(threshold * allowed), rel=1e-9, abs=1e-12)
    more = float(burn_chance(np.array(bad + 1), np.array(total + 1), threshold, allowed))
    assert more >= chance


def test_the_chance_is_prior_times_likelihood_by_quadrature() -> None:
    def weight(share: float) -> float:
        return float(stats.beta(0.05, 49.95).pdf(share) * stats.binom(60, share).pmf(2))

    above, below = (integrate.quad(weight, *ends, limit=200)[0] for ends in ((0.0144, 1), (0, 0.0144)))
    assert float(burn_chance(np.array(2), np.array(60), 14.4, 0.001)) == pytest.approx(
        above / (above + below), rel=1e-6
    )


def test_with_many_events_the_chance_is_whether_the_threshold_is_exceeded() -> None:
    for bad, chance in ((14_000, 0.0), (14_800, 1.0)):
        assert float(burn_chance(np.array(bad), np.array(10**6), 14.4, 0.001)) == pytest.approx(chance, abs=1e-3)


def test_crossings_are_those_of_a_walk_step_by_step() -> None:
    """Against single events: with ``scatter`` 1, the mean wait for the 20th event of a Poisson process."""
    rng = np.random.default_rng(3)
    steps = first_crossing(np.zeros(201), np.full(4000, 0.5), 20.0, 1.0, rng)
    exact = stats.gamma(20, scale=2)
    assert np.isfinite(steps).all()
    for prob in (0.05, 0.5, 0.95):
        assert np.quantile(steps, prob) == pytest.approx(exact.ppf(prob), rel=0.04)
    assert first_crossing(np.full(11, 5.0), np.zeros(3), 5.0, 1.0, rng).tolist() == [0.0] * 3
    assert np.isinf(first_crossing(np.full(11, 4.0), np.zeros(3), 5.0, 1.0, rng)).all()


def test_exhaustion_of_a_calendar_and_of_a_rolling_budget() -> None:
    clock = {"period": timedelta(days=30), "rolling": False, "start": "2026-02-11 00:00:00"}
    steady = budget(counted(dict.fromkeys(range(DAYS // 3), (1000, 200)), **clock)).exhaustion()
    left = steady.select(quantity="time_left").frame().row(0, named=True)
    assert left["mean"] == pytest.approx(DAYS / 2 - DAYS / 3, rel=0.02)
    assert steady.select(quantity="gone").draws.mean() == 1.0
    thrifty = budget(counted(dict.fromkeys(range(DAYS // 3), (1000, 50)), **clock)).exhaustion()
    assert thrifty.select(quantity="gone").draws.mean() == 0.0
    assert thrifty.select(quantity="time_left").draws.tolist() == [[DAYS * 2 / 3]] * 4000
    assert "lasts as long in 100% of the draws" in thrifty.checks[-1].says
    rolling = {hour: (1000, 400 if hour < 48 else 40) for hour in range(240)}
    recovers = budget(counted(rolling, period=timedelta(days=10))).exhaustion()
    assert recovers.select(quantity="gone").draws.mean() == 1.0
    assert recovers.select(quantity="time_left").draws.max() == 0.0
    nothing = budget(counted({0: (0, 0), 1: (0, 0)})).exhaustion()
    assert nothing.verdict == "refused"
    again = budget(counted(dict.fromkeys(range(240), (1000, 120)), period=timedelta(days=30)))
    assert np.array_equal(again.exhaustion(seed=1).draws, again.exhaustion(seed=1).draws)
    assert again.exhaustion().terms.rows() == [("up", "time_left", "h"), ("up", "gone", "1")]


def test_old_bad_events_leave_a_rolling_window_before_it_is_gone() -> None:
    rng = np.random.default_rng(4)
    leaving = np.array([9.0, 4.0, 0.0, 0.0])
    assert np.isinf(first_crossing(leaving, np.full(5, 1e-9), 10.0, 1.0, rng)).all()
    held = first_crossing(np.full(4, 9.0), np.full(5, 1e5), 1e5 + 9.0, 1.0, rng)
    freed = first_crossing(leaving, np.full(5, 1e5), 1e5 + 9.0, 1.0, rng)
    assert (held < freed + 0.02).all()
    steady = counted(dict.fromkeys(range(240), (100, 9)), period=timedelta(days=10))
    assert budget(steady).exhaustion().select(quantity="gone").draws.mean() < 0.05
