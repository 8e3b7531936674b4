"""Priors: counts to chances, each table drawn towards one with fewer parents as strongly as the counts say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Events that the prior of each row may be worth.
STRENGTHS = tuple(2.0**power for power in range(-2, 13))


def smooth_counts(counts: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return chances from counts by Dirichlet distributions whose means have fewer parents.

    Parents enter one at a time, the one with the highest evidence first. Each table is the mean of the prior of the
    next one, and the strength of that prior maximises the evidence, so that a parent without effect costs nothing.

    Parameters
    ----------
    counts : ndarray of float64, shape (states of each parent..., states)
        Events, whole or expected.

    Returns
    -------
    mean : ndarray of float64, shape as counts
        Chances.
    weight : ndarray of float64, shape (states of each parent...)
        Events that each row is worth: its own, and of the prior no more than the rows it was drawn from are worth.

    References
    ----------
    MacKay and Peto 1995, doi:10.1017/S1351324900000218; Heckerman, Geiger and Chickering 1995,
    doi:10.1007/BF00994016 (the evidence).

    Examples
    --------
    >>> mean, weight = smooth_counts(np.array([[90.0, 10.0], [10.0, 90.0]]))
    >>> mean.round(2).tolist()
    [[0.9, 0.1], [0.1, 0.9]]
    """
    parents = counts.ndim - 1
    size = counts.shape[-1]
    alone = (1,) * parents
    mean = np.full((*alone, size), 1.0 / size)
    weight = np.zeros(alone)
    left = set(range(parents))
    while True:
        mine = counts.sum(axis=tuple(left), keepdims=True)
        strength, _ = best_strength(mine, mean)
        rows = mine.sum(axis=-1)
        # Below the prior without parents there are no rows that it was drawn from.
        backing = np.full(alone, strength) if not weight.any() else np.minimum(strength, weight)
        mean = (mine + strength * mean) / (rows + strength)[..., None]
        weight = rows + backing
        if not left:
            return np.broadcast_to(mean, counts.shape), np.broadcast_to(weight, counts.shape[:-1])
        scored = [(best_strength(counts.sum(axis=tuple(left - {one}), keepdims=True), mean)[1], -one) for one in left]
        left.remove(-max(scored)[1])


def best_strength(counts: NDArray[np.float64], mean: NDArray[np.float64]) -> tuple[float, float]:
    """Return the strength of a prior with the highest evidence, and that evidence.

    Parameters
    ----------
    counts : ndarray of float64, shape (..., states)
        Events.
    mean : ndarray of float64, broadcastable to counts
        Mean of the prior.

    Returns
    -------
    tuple of float
        Strength and log evidence.
    """
    scores = [log_evidence(counts, mean, strength) for strength in STRENGTHS]
    best = int(np.argmax(scores))
    return STRENGTHS[best], scores[best]


def log_evidence(counts: NDArray[np.float64], mean: NDArray[np.float64], strength: float) -> float:
    """Return the log chance of a sequence of events with these counts under Dirichlet rows.

    Parameters
    ----------
    counts : ndarray of float64, shape (..., states)
        Events.
    mean : ndarray of float64, broadcastable to counts
        Mean of the prior.
    strength : float
        Events that the prior is worth.

    Returns
    -------
    float
        Log evidence.

    Examples
    --------
    >>> bool(np.isclose(np.exp(log_evidence(np.array([1.0, 1.0]), np.array([0.5, 0.5]), 2.0)), 1 / 6))
    True
    """
    from scipy.special import gammaln

    prior = np.broadcast_to(strength * mean, counts.shape)
    cells = np.where(counts > 0, gammaln(prior + counts) - gammaln(prior), 0.0).sum()
    rows = counts.sum(axis=-1)
    return float(cells + (gammaln(strength) - gammaln(strength + rows)).sum())
