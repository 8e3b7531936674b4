"""Buckets: how many events of a cumulative histogram may be, and must be, over a threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from causalrel import errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Counts = NDArray[np.int64]


def bound_bad(
    edges: Sequence[float] | Floats, cumulative: Counts | Sequence[Sequence[int]], threshold: float
) -> tuple[Counts, Counts]:
    """Return the fewest and the most events above a threshold that a cumulative histogram allows.

    A bucket counts events of at most its edge (``le``). An event is bad when it is above the threshold, so on an edge
    both bounds are the same; inside a bucket, all or none of its events may be bad, and no interpolation is made.
    Bounds of windows, units and series add up to bounds of their sum, whatever buckets each of them has.

    Parameters
    ----------
    edges : ndarray of float64, shape (n_edges,)
        Upper edges of the buckets, increasing; the last is infinity.
    cumulative : ndarray of int64, shape (..., n_edges)
        Events of at most each edge; the last is all of them.
    threshold : float
        Largest value of a good event.

    Returns
    -------
    low, high : ndarray of int64, shape (...)
        Bad events at least and at most.

    Raises
    ------
    CausalrelError
        When edges do not increase to infinity, or counts are negative or not cumulative.

    Examples
    --------
    >>> low, high = bound_bad([0.25, 0.5, 1.0, float("inf")], [[60, 80, 95, 100]], 0.5)
    >>> int(low[0]), int(high[0])
    (20, 20)
    >>> low, high = bound_bad([0.25, 0.5, 1.0, float("inf")], [[60, 80, 95, 100]], 0.7)
    >>> int(low[0]), int(high[0])
    (5, 20)
    """
    upper, counts = np.asarray(edges, dtype=np.float64), np.asarray(cumulative)
    _check(upper, counts, threshold)
    whole = counts.astype(np.int64)
    total = whole[..., -1]
    surely_good = np.searchsorted(upper, threshold, side="right")
    maybe_good = int(np.searchsorted(upper, threshold, side="left"))
    at_least_good = whole[..., surely_good - 1] if surely_good else np.zeros_like(total)
    return total - whole[..., maybe_good], total - at_least_good


def _check(upper: Floats, counts: NDArray[np.number], threshold: float) -> None:
    if np.isnan(threshold):
        raise errors.bad_question("the threshold of a histogram is no number", "write one in the unit of its edges")
    if upper.ndim != 1 or not len(upper) or upper[-1] != np.inf or np.isnan(upper).any() or (np.diff(upper) <= 0).any():
        raise errors.bad_data("the edges of a histogram do not increase to +Inf", "export every bucket, le='+Inf' too")
    if counts.ndim < 1 or counts.shape[-1] != len(upper):
        raise errors.bad_data(
            f"a histogram of {len(upper)} edges has counts of shape {counts.shape}", "give one count an edge"
        )
    if not np.issubdtype(counts.dtype, np.integer):
        whole = np.isfinite(counts.astype(np.float64)).all() and (counts == np.round(counts)).all()
        if not whole:
            raise errors.bad_data("a histogram holds counts that are no whole numbers", "give whole numbers of events")
    if (counts < 0).any():
        raise errors.bad_data("a histogram holds negative counts", "take increases with counter resets in mind")
    falls = np.argwhere(np.diff(counts, axis=-1) < 0)
    if len(falls):
        edge = upper[falls[0][-1] + 1]
        raise errors.bad_data(f"a histogram counts fewer events at le={edge:g} than below it", "give cumulative counts")
