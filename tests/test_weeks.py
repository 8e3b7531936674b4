"""Weeks: days to come are those of the exact conditional, weekends show where evidence has them, gaps tell nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_t

from causalrel.futures import weeks
from causalrel.futures.levels import Counts
from causalrel.futures.rhythms import week_of
from causalrel.futures.weeks import draw_daily, weekend_gap

WEEKEND = np.arange(42) % 7 >= 5


def days(seed: int, n: int, *, gap: float = 0.0, sd: float = 0.1) -> np.ndarray:
    return 5.0 + sd * np.random.default_rng(seed).normal(size=n) + gap * WEEKEND[:n]


def test_evidence_is_that_of_a_multivariate_t(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weeks, "_MEMORY", {0.6: 1.0})
    seen = days(0, 21)
    turn = WEEKEND[:21] - 2 / 7
    apart = np.abs(np.subtract.outer(np.arange(21), np.arange(21)))
    plain = 0.9 * 0.6**apart + 0.1 * np.eye(21) + 30.0
    logs = []
    for reach, chance in weeks._REACH.items():
        shape = (plain + reach**2 * np.outer(turn, turn)) * 0.13**2
        logs.append(np.log(chance) + multivariate_t(np.full(21, seen.mean()), shape, df=3).logpdf(seen))
    logs = np.array(logs)
    wanted = np.exp(logs - logs.max()) / np.exp(logs - logs.max()).sum()
    assert weeks._weights(weeks._guesses(seen, WEEKEND[:21])) == pytest.approx(wanted, rel=1e-6)


def test_weekends_are_found_where_they_are_and_shrunk_where_not() -> None:
    found = [weekend_gap(days(seed, 21, gap=-1.0), WEEKEND[:21]) for seed in range(20)]
    assert np.mean(found) == pytest.approx(-1.0, abs=0.05)
    none = [weekend_gap(days(seed, 21), WEEKEND[:21]) for seed in range(20)]
    raw = [(d := days(seed, 21))[WEEKEND[:21]].mean() - d[~WEEKEND[:21]].mean() for seed in range(20)]
    assert np.std(none) < 0.7 * np.std(raw)


def test_less_than_two_weeks_tell_nothing_of_weekends() -> None:
    assert weekend_gap(days(1, 13, gap=-1.0), WEEKEND[:13]) == 0.0
    assert not draw_daily(days(1, 13, gap=-1.0), WEEKEND[:20], 200, np.random.default_rng(0))[1].any()


def test_days_to_come_start_from_the_last_ones() -> None:
    slow = np.cumsum(np.full(20, 0.1))
    logs, _ = draw_daily(slow, np.zeros(27, dtype=bool), 4000, np.random.default_rng(0))
    assert slow.mean() < np.median(logs[:, 0]) <= slow[-1] + 0.1
    assert logs[:, 6].std() > logs[:, 0].std()


def test_a_day_that_tells_nothing_changes_nothing_but_what_is_known() -> None:
    seen = days(3, 20)
    gone = np.where(np.arange(20) == 7, np.nan, seen)
    far = draw_daily(gone, WEEKEND[:21], 4000, np.random.default_rng(0))[0]
    assert np.isfinite(far).all()
    assert far.mean() == pytest.approx(5.0, abs=0.1)


@given(st.integers(0, 50), st.floats(-3, 3))
def test_shifting_every_day_shifts_every_draw(seed: int, shift: float) -> None:
    seen = days(seed, 18)
    plain = draw_daily(seen, WEEKEND[:25], 50, np.random.default_rng(1))[0]
    moved = draw_daily(seen + shift, WEEKEND[:25], 50, np.random.default_rng(1))[0]
    assert moved - shift == pytest.approx(plain, abs=1e-6)


def test_factors_of_the_week_leave_the_expected_sum() -> None:
    rng = np.random.default_rng(2)
    expected = rng.uniform(20, 40, 28 * 4)
    bad = rng.poisson(expected * np.where(WEEKEND[:28], 0.4, 1.2).repeat(4)).astype(float)
    made = week_of(Counts(bad=bad, expected=expected, total=expected * 50, per_day=4), WEEKEND[:35])
    assert float(expected @ made[:28].repeat(4)) == pytest.approx(expected.sum())
    assert made[WEEKEND[:35]].max() < 0.7 * made[~WEEKEND[:35]].min()
