"""Bounds of a histogram against a linear programme, and against the samples it was made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from causalrel import CausalrelError
from causalrel.windows.buckets import bound_bad

INF = float("inf")


def cumulative(samples: Any, edges: Any) -> Any:
    return np.array([(samples <= edge).sum() for edge in edges])


def test_truth_is_inside_the_bounds_of_1000_bucketings_and_width_is_0_on_an_edge() -> None:
    rng = np.random.default_rng(11)
    inside = exact = 0
    for _ in range(1000):
        samples = np.round(rng.lognormal(-0.5, rng.uniform(0.3, 1.5), rng.integers(1, 400)), 3)
        edges = np.append(np.unique(np.round(rng.lognormal(-0.5, 1.0, rng.integers(1, 25)), 3)), INF)
        threshold = float(np.round(rng.lognormal(-0.5, 1.0), 3))
        low, high = bound_bad(edges, cumulative(samples, edges), threshold)
        inside += int(low) <= (samples > threshold).sum() <= int(high)
        at = float(rng.choice(edges))
        low, high = bound_bad(edges, cumulative(samples, edges), at)
        exact += int(low) == int(high) == (samples > at).sum()
    assert (inside, exact) == (1000, 1000)


HISTOGRAM = st.tuples(
    st.lists(st.integers(1, 40), min_size=1, max_size=6, unique=True).map(sorted),
    st.lists(st.integers(0, 9), min_size=7, max_size=7),
    st.integers(0, 42),
)


@settings(max_examples=150, deadline=None)
@given(HISTOGRAM)
def test_bounds_are_the_optimum_of_a_linear_programme(made: tuple[list[int], list[int], int]) -> None:
    """Events lie on a grid of half steps; each bucket's add up to its count; fewest and most above the threshold."""
    edges, counts, threshold = made
    counts = counts[: len(edges) + 1]
    grid = np.arange(0, 100) / 2
    upper = np.array([*edges, INF])
    lower = np.array([-INF, *edges])
    member = (grid[None, :] > lower[:, None]) & (grid[None, :] <= upper[:, None])
    cost = (grid > threshold).astype(float)
    best = [
        linprog(sign * cost, A_eq=member.astype(float), b_eq=counts, bounds=(0, None), method="highs").fun * sign
        for sign in (1, -1)
    ]
    low, high = bound_bad(upper, np.cumsum(counts), threshold)
    assert (int(low), int(high)) == pytest.approx(best)


def test_bounds_add_up_over_windows_and_over_changed_buckets() -> None:
    rng = np.random.default_rng(2)
    schemes = [np.array([0.1, 0.5, 1.0, INF]), np.array([0.2, 0.7, 2.0, INF])]
    samples = [rng.exponential(0.6, 500) for _ in schemes]
    parts = [bound_bad(edges, cumulative(x, edges), 0.6) for x, edges in zip(samples, schemes, strict=True)]
    truth = sum(int((x > 0.6).sum()) for x in samples)
    assert sum(int(low) for low, _ in parts) <= truth <= sum(int(high) for _, high in parts)
    hours = np.array([cumulative(part, schemes[0]) for part in np.split(samples[0], 5)])
    low, high = bound_bad(schemes[0], hours, 0.6)
    assert (low.sum(), high.sum()) == parts[0]
    assert low.shape == (5,)


def test_the_ends_of_a_histogram() -> None:
    edges = [0.5, 1.0, INF]
    assert [int(x) for x in bound_bad(edges, [3, 7, 9], 0.2)] == [6, 9]
    assert [int(x) for x in bound_bad(edges, [3, 7, 9], 5.0)] == [0, 2]
    assert [int(x) for x in bound_bad(edges, [3, 7, 9], INF)] == [0, 0]
    assert [int(x) for x in bound_bad([INF], [9], 1.0)] == [0, 9]


@pytest.mark.parametrize(
    ("edges", "counts", "threshold", "said"),
    [
        ([0.5, 1.0], [1, 2], 0.5, r"do not increase to \+Inf; export every bucket"),
        ([1.0, 0.5, INF], [1, 2, 3], 0.5, r"do not increase to \+Inf"),
        ([], [], 0.5, r"do not increase to \+Inf"),
        ([0.5, INF], [1, 2, 3], 0.5, "a histogram of 2 edges has counts of shape"),
        ([0.5, INF], [3, 2], 0.5, "counts fewer events at le=inf than below it; give cumulative counts"),
        ([0.5, INF], [-1, 2], 0.5, "negative counts"),
        ([0.5, INF], [0.5, 2.0], 0.5, "no whole numbers"),
        ([0.5, INF], [1.0, float("nan")], 0.5, "no whole numbers"),
        ([0.5, INF], [1, 2], float("nan"), "the threshold of a histogram is no number"),
    ],
)
def test_bad_histograms_are_refused_in_one_sentence(edges: Any, counts: Any, threshold: float, said: str) -> None:
    with pytest.raises(CausalrelError, match=said) as caught:
        bound_bad(edges, counts, threshold)
    assert "\n" not in caught.value.message
