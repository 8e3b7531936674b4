from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from causalrel.bridges.pymc import pooled_rates
from causalrel.budgets.pooling import factors_of, laplace_rates

Floats = NDArray[np.float64]


def logit(rates: Floats) -> Floats:
    return np.log(rates) - np.log1p(-rates)


def crossed(nodes: int, versions: int, traffic: int, own: float, seed: int) -> tuple[Floats, Floats, Floats, list]:
    """Return bad and total events, true rates and the factors of a made fleet."""
    rng = np.random.default_rng(seed)
    node, version = np.repeat(np.arange(nodes), versions), np.tile(np.arange(versions), nodes)
    odds = -4 + 0.5 * rng.normal(size=nodes)[node] + 0.4 * rng.normal(size=versions)[version]
    truth = 1 / (1 + np.exp(-odds - own * rng.normal(size=len(node))))
    total = np.full(len(node), float(traffic))
    return rng.binomial(traffic, truth).astype(np.float64), total, truth, [node, version]


def test_factors_are_the_parts_of_names_that_repeat() -> None:
    ((first, codes), (second, _)) = factors_of(["n1/v1", "n1/v2", "n2/v1", "n2/v2"])
    assert (first, second, codes.tolist()) == (["n1", "n2"], ["v1", "v2"], [0, 0, 1, 1])
    assert [levels for levels, _ in factors_of(["meta/a", "meta/b", "qwen/a"])] == [["meta", "qwen"], ["a", "b"]]
    assert [levels for levels, _ in factors_of(["x/a", "x/b", "x/a"])] == [["a", "b"]]
    assert factors_of(["a", "b/c"]) == factors_of(["a", "b"]) == factors_of(["a/1", "b/2"]) == []


def exact_means(bad: Floats, total: Floats) -> tuple[Floats, Floats]:
    """Return mean and sd of each unit's log-odds without factors, by summing over the mean, the spread and the unit."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(61)
    weights = weights / weights.sum()
    evidence, first, second = [], [], []
    for log in np.linspace(-5, 2, 57):
        for mean in np.linspace(-4, 6, 101):
            odds = -4 + mean + np.exp(log) * nodes[:, None]
            fit = bad * odds - total * np.logaddexp(0, odds)
            top = fit.max(axis=0)
            share = weights[:, None] * np.exp(fit - top)
            norm = share.sum(axis=0)
            evidence.append(float(np.sum(np.log(norm) + top)) - mean**2 / 8 + log - 0.5 * np.exp(2 * log))
            first.append((share * odds).sum(axis=0) / norm)
            second.append((share * odds**2).sum(axis=0) / norm)
    mass = np.exp(np.array(evidence) - max(evidence))
    mass /= mass.sum()
    means = mass @ np.array(first)
    return means, np.sqrt(mass @ np.array(second) - means**2)


@pytest.mark.parametrize(
    ("bad", "traffic"), [([3, 0, 3, 1, 3, 2, 2, 0, 0, 2], 40), ([50, 90, 70, 120], 2000), ([0, 0, 0, 9], 500)]
)
def test_laplace_agrees_with_the_integral(bad: list[int], traffic: int) -> None:
    """Within a fifth of a standard deviation, and widths within 15 %: what an approximation is good for."""
    counts, total = np.array(bad, dtype=np.float64), np.full(len(bad), float(traffic))
    means, sds = exact_means(counts, total)
    odds = logit(laplace_rates(counts, total, seed=0))
    assert np.max(np.abs(odds.mean(axis=0) - means) / sds) < 0.2
    assert np.max(np.abs(odds.std(axis=0) / sds - 1)) < 0.15


def test_much_traffic_speaks_for_itself_and_none_for_the_others() -> None:
    bad, total = np.array([2e4, 3e4, 2.5e4, 0.0]), np.array([1e6, 1e6, 1e6, 0.0])
    rates = laplace_rates(bad, total, seed=3)
    assert rates[:, :3].mean(axis=0) == pytest.approx([0.02, 0.03, 0.025], rel=0.01)
    low, high = np.quantile(rates[:, 3], [0.05, 0.95])
    assert low < 0.02 < 0.03 < high


def test_same_seed_same_draws_and_order_of_units_does_not_matter() -> None:
    bad, total, _, factors = crossed(6, 3, 200, 0.2, seed=1)
    once = laplace_rates(bad, total, factors, seed=4)
    assert np.array_equal(once, laplace_rates(bad, total, factors, seed=4))
    turned = laplace_rates(bad[::-1], total[::-1], [codes[::-1] for codes in factors], seed=4)[:, ::-1]
    assert np.allclose(once.mean(axis=0), turned.mean(axis=0), rtol=0.08)


def test_a_new_cell_borrows_from_its_node_and_its_version() -> None:
    """The one cell without traffic is of the worst node and the worst version."""
    node, version = np.repeat(np.arange(6), 4), np.tile(np.arange(4), 6)
    truth = 1 / (1 + np.exp(4 - 1.0 * (node == 5) - 1.0 * (version == 3)))
    total = np.where((node == 5) & (version == 3), 0.0, 5000.0)
    rates = laplace_rates(total * truth, total, [node, version], seed=0)
    assert rates[:, -1].mean() == pytest.approx(truth[-1], rel=0.2)
    alone = laplace_rates(total * truth, total, seed=0)
    assert abs(alone[:, -1].mean() - truth[-1]) > 2 * abs(rates[:, -1].mean() - truth[-1])


@pytest.mark.slow
def test_laplace_intervals_cover_what_made_them() -> None:
    """90 % intervals of 8 worlds of 120 cells; cells share effects, so the bounds are those of a sd of 2 %."""
    inside = []
    for seed in range(8):
        bad, total, truth, factors = crossed(30, 4, 150, 0.3, seed)
        low, high = np.quantile(laplace_rates(bad, total, factors, seed=seed), [0.05, 0.95], axis=0)
        inside.append(np.mean((low <= truth) & (truth <= high)))
    assert 0.85 < np.mean(inside) < 0.95


@pytest.mark.slow
def test_the_sampler_passes_its_gate_on_crossed_units_and_laplace_agrees() -> None:
    bad, total, _, factors = crossed(40, 5, 400, 0.2, seed=2)
    sampled, checks = pooled_rates(bad, total, factors, seed=1)
    assert [check.says for check in checks if not check.passed] == []
    quick, sampled = logit(laplace_rates(bad, total, factors, seed=1)), logit(sampled)
    assert np.max(np.abs(quick.mean(axis=0) - sampled.mean(axis=0)) / sampled.std(axis=0)) < 0.25
    assert np.max(np.abs(quick.std(axis=0) / sampled.std(axis=0) - 1)) < 0.15
