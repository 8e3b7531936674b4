"""Mixed regressions: against dense covariances, closed forms and worlds whose noise is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from causalrel.mechanisms.chains import chain_of, smooth, whiten
from causalrel.mechanisms.mixed import fit_mixed
from causalrel.mechanisms.noises import nearest_chain
from causalrel.networks import expit

MEMORY, VARIANCE = 0.8, 1.7


@pytest.fixture
def chain():
    """Two units with gaps, rows out of order."""
    step = np.array([0, 1, 2, 5, 6, 0, 2, 3, 9])
    unit = np.array(["a"] * 5 + ["b"] * 4)
    shuffled = np.random.default_rng(1).permutation(9)
    return step[shuffled], unit[shuffled]


def dense(step, unit, noise, *, shared: bool):
    """The covariance that the filter stands for."""
    near = np.abs(step[:, None] - step[None, :])
    together = np.ones_like(near, dtype=bool) if shared else unit[:, None] == unit[None, :]
    return np.where(together, VARIANCE * MEMORY**near, 0.0), np.diag(noise)


@pytest.mark.parametrize("shared", [True, False])
def test_filter_and_smoother_equal_the_dense_covariance(chain, shared) -> None:
    step, unit = chain
    made = chain_of(step, unit, shared=shared)
    rng = np.random.default_rng(2)
    noise, y = rng.uniform(0.2, 2.0, 9), rng.normal(size=9)
    state, own = dense(step, unit, noise, shared=shared)
    out = np.empty((9, 1))
    logdet = whiten(y[made.order][:, None], made.gap, noise[made.order], MEMORY, VARIANCE, out)
    whole = state + own
    assert logdet == pytest.approx(np.linalg.slogdet(whole)[1])
    assert (out**2).sum() == pytest.approx(y @ np.linalg.solve(whole, y))
    mean, spread = smooth(y[made.order], made.gap, noise[made.order], MEMORY, VARIANCE)
    assert np.allclose(mean, (state @ np.linalg.solve(whole, y))[made.order])
    assert np.allclose(spread, np.diag(state - state @ np.linalg.solve(whole, state))[made.order])


def test_line_equals_dense_generalised_least_squares_at_its_own_variances(chain) -> None:
    rng = np.random.default_rng(3)
    step, unit = np.arange(300), np.full(300, "a")
    x = np.column_stack([np.ones(300), rng.normal(size=300)])
    y = x @ [1.0, 2.0] + lfilter([1.0], [1.0, -0.9], rng.normal(size=300)) + rng.normal(size=300)
    made = fit_mixed(x, np.array([-1, -1]), y, None, chain_of(step, unit, shared=True))
    near = np.abs(step[:, None] - step[None, :])
    whole = made.variances[0] * made.memory**near + made.variances[1] * np.eye(300)
    solved = np.linalg.solve(whole, x)
    told = np.linalg.solve(x.T @ solved, solved.T @ y)
    assert np.allclose(made.weights @ made.means, told, atol=0.05)
    errors = np.sqrt(np.diag(np.linalg.inv(x.T @ solved)))
    assert made.draw(4000, rng).std(axis=0) == pytest.approx(errors, rel=0.2)
    assert 0.75 < made.memory < 0.97


def test_rates_without_memory_equal_a_plain_logistic_regression() -> None:
    sm = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(4)
    x = np.column_stack([np.ones(400), rng.normal(size=400)])
    total = rng.integers(200, 600, size=400).astype(float)
    bad = rng.binomial(total.astype(int), expit(x @ [-3.0, 0.4])).astype(float)
    made = fit_mixed(x, np.array([-1, -1]), bad, total, chain_of(np.arange(400), np.full(400, "a"), shared=True))
    plain = sm.GLM(np.column_stack([bad, total - bad]), x, family=sm.families.Binomial()).fit()
    assert made.weights @ made.means == pytest.approx(plain.params, abs=0.01)
    errors = made.draw(4000, rng).std(axis=0)
    assert errors[1] == pytest.approx(plain.bse[1], rel=0.15)
    assert plain.bse[0] * 0.95 < errors[0] < plain.bse[0] * 2, "a slow chain that data cannot exclude moves the level"


def test_units_that_share_noise_share_a_chain_and_others_do_not() -> None:
    rng = np.random.default_rng(5)
    step, unit = np.tile(np.arange(200), 3), np.repeat(["a", "b", "c"], 200)
    shared = lfilter([1.0], [1.0, -0.9], rng.normal(size=200))
    apart = np.concatenate([lfilter([1.0], [1.0, -0.9], rng.normal(size=200)) for _ in range(3)])
    fresh = 0.5 * rng.normal(size=600)
    assert (nearest_chain(np.tile(shared, 3) + fresh, step, unit).gap == 0).sum() == 400
    assert (nearest_chain(apart + fresh, step, unit).gap == -1).sum() == 3


def test_a_group_of_columns_without_signal_is_shrunk_and_one_with_signal_is_not() -> None:
    rng = np.random.default_rng(6)
    x = np.column_stack([np.ones(60), rng.normal(size=(60, 20))])
    y = x[:, 1:11] @ (30 * rng.normal(size=10)) + 40 * rng.normal(size=60)
    groups = np.array([-1] + [0] * 10 + [1] * 10)
    made = fit_mixed(x, groups, y, None, chain_of(np.arange(60), np.full(60, "a"), shared=True))
    mean = made.weights @ made.means
    plain = np.linalg.lstsq(x, y, rcond=None)[0]
    assert (mean[1:11] ** 2).sum() > 0.7 * (plain[1:11] ** 2).sum()
    assert (mean[11:] ** 2).sum() < 0.5 * (plain[11:] ** 2).sum()


def test_blocks_that_vary_more_than_the_model_says_widen_the_draws() -> None:
    rng = np.random.default_rng(7)
    groups = np.repeat(np.arange(40), 10)
    x = np.column_stack([np.ones(400), np.repeat(rng.normal(size=40), 10)])
    y = x[:, 1] + np.repeat(rng.normal(size=40), 10) + 0.1 * rng.normal(size=400)
    apart = chain_of(rng.permutation(400) * 1000, np.full(400, "a"), shared=True)
    made = fit_mixed(x, np.array([-1, -1]), y, None, apart)
    assert made.excess(np.array([0.0, 1.0]), groups) > 2
    assert made.excess(np.array([0.0, 1.0]), np.arange(400)) == pytest.approx(1.0, abs=0.2)
