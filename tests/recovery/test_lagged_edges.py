"""Edges of made series: few among series that only remember, true ones at their lags."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import causalrel as cr

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import bench_lags

SEEDS = range(301, 309)


@pytest.mark.parametrize("world", ["linear", "discrete"])
def test_series_that_only_remember_get_as_few_edges_as_rows_that_do_not(world) -> None:
    """36 pairs of 9 variables: the bound is 1 a graph, where BIC on all rows joins more than a third of them."""
    counts = [
        len(cr.discover(bench_lags.windows(bench_lags.WORLDS[world](set(), 1000, seed)), resamples=0).edges)
        for seed in SEEDS
    ]
    assert np.mean(counts) <= 1


@pytest.mark.slow
def test_lagged_edges_of_a_linear_world_are_found() -> None:
    counts = np.zeros(3)
    for seed in SEEDS[:4]:
        truth = bench_lags.edges_of(seed)
        found = bench_lags.ours(bench_lags.linear(truth, 1000, seed), 20)
        counts += bench_lags.compared(truth, {edge for edge in found if edge[0] != edge[1]})
    assert 2 * counts[0] / (counts[1] + counts[2]) >= 0.85
