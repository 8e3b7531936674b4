"""Priors: counts to chances, each row drawn towards equal chances as strongly as the counts say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Events that the prior of each row may be worth.
STRENGTHS = tuple(2.0**power for power in range(-2, 13))


def smooth_counts(counts: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return chances from counts under Dirichlet rows of equal chances, their strength that of the highest evidence.

    Parameters
    ----------
    counts : ndarray of float64, shape (states of each parent..., states)
        Events, whole or expected.

    Returns
    -------
    mean : ndarray of float64, shape as counts
        Chances.
    weight : ndarray of float64, shape (states of each parent...)
        Events that each row is worth, those of the prior included.

    References
    ----------
    Heckerman, Geiger and Chickering 1995, doi:10.1007/BF00994016.

    Examples
    --------
    >>> mean, weight = smooth_counts(np.array([[90.0, 10.0], [10.0, 90.0]]))
    >>> mean.round(2).tolist()
    [[0.9, 0.1], [0.1, 0.9]]
    """
    even = np.full(counts.shape[-1], 1.0 / counts.shape[-1])
    strength, _ = best_strength(counts, even)
    weight = np.asarray(counts.sum(axis=-1) + strength)
    return (counts + strength * even) / weight[..., None], weight


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
