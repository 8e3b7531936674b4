"""Rates of units pooled against each unit's own, told by events that neither has seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import causalrel as cr
from causalrel.budgets.pooling import laplace_rates

SHARED = Path(__file__).parents[3] / "shared" / "data"


def log_loss(rate: np.ndarray, bad: np.ndarray, total: np.ndarray) -> float:
    """Return the mean negative log likelihood of an event."""
    rate = np.clip(rate, 1e-9, 1 - 1e-9)
    return -float(np.sum(bad * np.log(rate) + (total - bad) * np.log1p(-rate)) / total.sum())


def compared(counts: pl.DataFrame) -> tuple[float, float, float]:
    """Return the log loss in the second half pooled, each alone, and all as one, from the counts of the first."""
    bad, total = (counts[name].to_numpy().astype(np.float64) for name in ("bad", "total"))
    later_bad, later = (counts[name].to_numpy().astype(np.float64) for name in ("later_bad", "later"))
    pooled = laplace_rates(bad, total, seed=0).mean(axis=0)
    alone, one = (bad + 0.5) / (total + 1), np.full(len(bad), bad.sum() / total.sum())
    return tuple(log_loss(rate, later_bad, later) for rate in (pooled, alone, one))


def test_tenant_weeks_are_foretold_better_by_pooled_rates() -> None:
    """120 tenants of very unequal traffic, two weeks each: 20 of 20 worlds would be luck below 1 in a million."""
    won = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        truth = 1 / (1 + np.exp(4.5 - 0.8 * rng.normal(size=120)))
        total = np.maximum(1, rng.lognormal(4.5, 1.5, 120)).astype(np.int64)
        weeks = [rng.binomial(total, truth) for _ in range(2)]
        counts = pl.DataFrame({"bad": weeks[0], "total": total, "later_bad": weeks[1], "later": total})
        pooled, alone, one = compared(counts)
        won += pooled < min(alone, one)
    assert won >= 18


@pytest.mark.skipif(not (SHARED / "gentd26").is_dir(), reason="the public data are not beside the project")
def test_failures_of_real_tenants_are_foretold_better_by_pooled_rates() -> None:
    """18 days of image generation: by tenant pooled rates win by a fifth; by checkpoint, whose rates lie in two heaps
    (none at all, or several per cent) rather than around one, they lose by less than a hundredth."""
    requests = cr.read(SHARED / "gentd26" / "requests.parquet", columns="gentd26").frame()
    failed, later = pl.col("error") == "failed", pl.col("time") >= requests["time"].median()
    lost = {}
    for unit in ("tenant", "model"):
        counts = requests.group_by(unit).agg(
            bad=(failed & ~later).sum(), total=(~later).sum(), later_bad=(failed & later).sum(), later=later.sum()
        )
        pooled, alone, _ = compared(counts.filter((pl.col("total") > 0) & (pl.col("later") > 0)).sort(unit))
        lost[unit] = pooled / alone
    assert lost["tenant"] < 0.9
    assert lost["model"] < 1.02
