"""Regressions: against statsmodels and closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from causalrel.mechanisms.regressions import fit_line, fit_rate, memory, time_groups
from causalrel.networks import expit, make_term


@pytest.fixture
def rows():
    rng = np.random.default_rng(4)
    n = 400
    x = np.column_stack([np.ones(n), rng.normal(size=n), rng.normal(size=n)])
    groups = np.repeat(np.arange(40), 10)
    shared = rng.normal(size=40)[groups] * 0.3
    total = rng.integers(20, 60, size=n).astype(float)
    bad = rng.binomial(total.astype(int), expit(x @ [-2.0, 0.5, -0.3] + shared)).astype(float)
    return x, bad, total, groups


def test_rate_agrees_with_statsmodels_clustered_binomial(rows) -> None:
    sm = pytest.importorskip("statsmodels.api")
    x, bad, total, groups = rows
    ours = fit_rate(x, bad, total, groups)
    theirs = sm.GLM(np.column_stack([bad, total - bad]), x, family=sm.families.Binomial()).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}
    )
    assert np.allclose(ours.mean, theirs.params, atol=2e-3)
    factor = np.sqrt(40 / 39)
    assert np.allclose(np.sqrt(np.diag(ours.root @ ours.root.T)), theirs.bse * factor, rtol=0.02)


def test_line_agrees_with_statsmodels_clustered_ols(rows) -> None:
    sm = pytest.importorskip("statsmodels.api")
    x, bad, total, groups = rows
    y = bad / total
    ours = fit_line(x, y, groups)
    theirs = sm.OLS(y, x).fit(cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False})
    never_below = sm.OLS(y, x).fit().bse
    assert np.allclose(ours.mean, theirs.params, atol=1e-6)
    clustered = theirs.bse * np.sqrt(40 / 39)
    made = np.sqrt(np.diag(ours.root @ ours.root.T))
    assert (made >= np.maximum(clustered, never_below) * (1 - 1e-6)).all()
    assert (made <= np.hypot(clustered, never_below)).all()
    assert made[0] == pytest.approx(clustered[0], rel=0.02)


@pytest.mark.parametrize("bad", [0.0, 1.0], ids=["zero events", "only bad events"])
def test_extreme_rates_stay_finite_and_uncertain(bad: float) -> None:
    total = np.full(30, 20.0)
    made = fit_rate(np.ones((30, 1)), bad * total, total, np.arange(30))
    draws = expit(made.draw(4000, np.random.default_rng(0)))
    low, high = np.quantile(draws, [0.025, 0.975])
    assert np.isfinite(draws).all()
    assert high - low > 1e-4
    assert (low > 0.98) if bad else (high < 0.02)


def test_perfect_separation_stays_finite() -> None:
    treated = np.repeat([0.0, 1.0], 20)
    x = np.column_stack([np.ones(40), treated])
    made = fit_rate(x, treated * 10, np.full(40, 10.0), np.arange(40))
    assert np.isfinite(made.mean).all()
    assert expit(made.mean[:1])[0] < 0.1 < 0.9 < expit(made.mean.sum(keepdims=True))[0]


def test_memory_of_an_autoregression_is_near_its_closed_form() -> None:
    rng = np.random.default_rng(1)
    series = np.zeros(20_000)
    for i in range(1, len(series)):
        series[i] = 0.8 * series[i - 1] + rng.normal()
    assert memory(series) == pytest.approx((1 + 0.8) / (1 - 0.8), rel=0.2)


def test_blocks_cover_time_in_order_and_leave_ten() -> None:
    step = np.repeat(np.arange(100), 3)
    groups, length = time_groups(step, np.sin(step / 20.0))
    assert length == 10
    assert (np.diff(groups) >= 0).all()
    assert groups.max() == 9


def test_term_of_few_values_is_saturated() -> None:
    values = np.array([4.0, 8.0, 16.0, 8.0])
    x = np.column_stack([np.ones(4), make_term("batch", values, category=False).columns(values)])
    assert np.linalg.matrix_rank(x) == 3


def test_few_groups_are_left_out_in_turn() -> None:
    """A line's covariance is then that of brute-force refits, each without one group (noise shared inside groups)."""
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(8), 12)
    x = np.column_stack([np.ones(96), rng.normal(size=8)[groups]])
    y = x @ [1.0, 2.0] + rng.normal(size=8)[groups] + 0.05 * rng.normal(size=96)
    ours = fit_line(x, y, groups, few=True)
    left_out = [np.linalg.lstsq(x[groups != one], y[groups != one], rcond=None)[0] for one in range(8)]
    change = np.array(left_out) - ours.mean
    assert np.allclose(ours.root @ ours.root.T, 7 / 8 * change.T @ change, rtol=1e-3)
    assert np.all(np.diag(ours.root) > np.diag(fit_line(x, y, groups).root))


def test_a_rate_whose_groups_are_few_is_no_surer_than_one_whose_are_many(rows) -> None:
    x, bad, total, groups = rows
    first = groups < 6
    few, many = (fit_rate(x[first], bad[first], total[first], groups[first], few=few) for few in (True, False))
    assert np.allclose(few.mean, many.mean)
    assert np.trace(few.root @ few.root.T) > np.trace(many.root @ many.root.T)
