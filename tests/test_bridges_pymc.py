from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from causalrel.bridges.pymc import pooled_rates, sampler_checks


def trace(draws: Any, diverging: int = 0, deep: int = 0, energy: Any = None) -> Any:
    import arviz as az

    chains, count = draws.shape
    flags = {name: np.zeros((chains, count), dtype=bool) for name in ("diverging", "maxdepth_reached")}
    flags["diverging"].flat[:diverging] = True
    flags["maxdepth_reached"].flat[:deep] = True
    level = np.random.default_rng(0).normal(size=(chains, count)) if energy is None else energy
    return az.from_dict({"posterior": {"rate": draws}, "sample_stats": {**flags, "energy": level}})


def failed(given: Any) -> list[str]:
    return [check.name for check in sampler_checks(given) if not check.passed]


def test_the_gate_lets_good_draws_through_and_names_each_fault() -> None:
    good = np.random.default_rng(1).normal(size=(4, 1000))
    assert failed(trace(good)) == []
    assert failed(trace(good + np.arange(4)[:, None])) == ["sampler chains agree", "sampler draws"]
    assert failed(trace(good, diverging=5)) == ["sampler divergences"]
    assert failed(trace(good, deep=50)) == ["sampler depth"]
    slow = np.cumsum(np.random.default_rng(2).normal(size=(4, 1000)), axis=1)
    assert failed(trace(good, energy=slow)) == ["sampler energy"]
    assert failed(trace(slow)) == ["sampler chains agree", "sampler draws"]
    broken = good.copy()
    broken[0, 0] = np.nan
    assert failed(trace(broken)) == ["sampler finite"]
    assert "sampler chains agree" in failed(trace(np.repeat(np.arange(4.0)[:, None], 1000, axis=1)))


def test_a_few_divergences_are_a_caution() -> None:
    checks = sampler_checks(trace(np.random.default_rng(1).normal(size=(4, 1000)), diverging=3))
    (said,) = [check.says for check in checks if check.name == "sampler divergences"]
    assert said == "3 of 4,000 steps diverged (0 wanted, 0.1% at most); take the answer with caution"


@pytest.mark.slow
@pytest.mark.parametrize(("units", "traffic", "spread"), [(12, 40, 0.5), (8, 20_000, 0.5), (2, 30, 0.1)])
def test_pooled_rates_pass_the_gate_at_any_traffic(units: int, traffic: int, spread: float) -> None:
    rng = np.random.default_rng(0)
    truth = 1 / (1 + np.exp(3 - spread * rng.normal(size=units)))
    total = np.full(units, float(traffic))
    bad = rng.binomial(traffic, truth).astype(np.float64)
    draws, checks = pooled_rates(bad, total, seed=1)
    assert [check.name for check in checks if not check.passed] == []
    assert draws.shape == (4000, units)
    alone = (bad + 0.5) / (total + 1)
    if units > 2:
        assert np.mean((draws.mean(axis=0) - truth) ** 2) < 1.05 * np.mean((alone - truth) ** 2)
    again, _ = pooled_rates(bad, total, seed=1)
    assert np.array_equal(draws, again)


@pytest.mark.long
@pytest.mark.slow
def test_pooled_intervals_cover_the_rates_they_were_made_from() -> None:
    """90 % intervals of 10 repeats of 40 units: sd of the coverage is 1.5 %, so 85 % is more than 3 sd low."""
    rng = np.random.default_rng(5)
    inside = []
    for repeat in range(10):
        truth = 1 / (1 + np.exp(3 - 0.6 * rng.normal(size=40)))
        total = rng.integers(20, 2000, size=40).astype(np.float64)
        bad = rng.binomial(total.astype(np.int64), truth).astype(np.float64)
        draws, _ = pooled_rates(bad, total, seed=repeat)
        low, high = np.quantile(draws, [0.05, 0.95], axis=0)
        inside.append((low <= truth) & (truth <= high))
    assert np.mean(inside) >= 0.85
