"""Rhythms: how bad shares follow the time of day and the week, as far as days and weeks agree on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from causalrel.futures.levels import Counts
from causalrel.futures.weeks import weekend_gap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_HARMONICS = 2
_LEAST_DAYS = 5
_SCATTER = 0.5


def rhythm_of(counts: Counts) -> Floats:
    """Return what the time of day multiplies expected bad events by.

    Waves of a day and half a day are fitted to the logs of each bin's level, every bin weighed by how much it can say,
    and shrunk towards none by how much days disagree (James and Stein 1961).

    Parameters
    ----------
    counts : Counts
        Whole days of counts.

    Returns
    -------
    ndarray of float64, shape (n,)
        Factors, whose expected bad events add up as before.

    Examples
    --------
    >>> bad = np.tile(np.repeat([8.0, 2.0], 12), 7)
    >>> counts = Counts(bad=bad, expected=np.full(168, 5.0), total=np.full(168, 500.0), per_day=24)
    >>> made = rhythm_of(counts)
    >>> bool(made[6] > 1.2 > 0.8 > made[18])
    True
    """
    days = len(counts.bad) // counts.per_day
    if days < _LEAST_DAYS or counts.per_day < 2 * _HARMONICS + 1 or counts.bad.sum() < days:
        return np.ones(len(counts.bad))
    angle = 2 * np.pi * np.arange(counts.per_day) / counts.per_day
    waves = np.column_stack([f(k * angle) for k in range(1, _HARMONICS + 1) for f in (np.sin, np.cos)])
    tame = np.minimum(counts.bad, _most(counts)).reshape(days, -1)
    expected = counts.expected.reshape(days, -1)
    expected = expected * (tame.sum(axis=1, keepdims=True) + 1.0) / (expected.sum(axis=1, keepdims=True) + 1.0)
    slopes = np.zeros(waves.shape[1])
    for _ in range(5):
        mean = expected * np.exp(waves @ slopes)
        weight = 1.0 / (1.0 + _SCATTER * mean)
        scores = ((tame - mean) * weight) @ waves
        curve = np.einsum("dh,hi,hj->ij", mean * weight, waves, waves) + 1e-9 * np.eye(len(slopes))
        slopes = slopes + np.clip(np.linalg.solve(curve, scores.sum(axis=0)), -1, 1)
    bread = np.linalg.inv(curve)
    variance = np.diag(bread @ (scores.T @ scores) @ bread) * days / (days - 1)
    shrunk = slopes * np.maximum(0.0, 1.0 - 2.0 * variance / np.maximum(slopes**2, 1e-12))
    made: Floats = np.tile(np.exp(waves @ shrunk), days)
    made *= counts.expected.sum() / max(float(counts.expected @ made), 1e-12)
    return made


def week_of(counts: Counts, weekend: NDArray[np.bool_]) -> Floats:
    """Return what Saturdays and Sundays multiply expected bad events by, and what other days.

    Parameters
    ----------
    counts : Counts
        Whole days of counts.
    weekend : ndarray of bool, shape (n_days + n_ahead,)
        Which days, those counted first, are of a weekend.

    Returns
    -------
    ndarray of float64, shape (n_days + n_ahead,)
        Factors, whose expected bad events of the days counted add up as before.

    Examples
    --------
    >>> weekend = np.arange(35) % 7 >= 5
    >>> counts = Counts(
    ...     bad=np.where(weekend[:28], 20.0, 60.0), expected=np.full(28, 50.0), total=np.full(28, 5e3), per_day=1
    ... )
    >>> made = week_of(counts, weekend)
    >>> bool(made[28] > 1.0 > 0.6 > made[34])
    True
    """
    days = len(counts.bad) // counts.per_day
    bad, expected, total = (
        x.reshape(days, -1).sum(axis=1) for x in (np.minimum(counts.bad, _most(counts)), counts.expected, counts.total)
    )
    logs = np.where(total > 0, np.log((bad + 1.0) / (expected + 1.0)), np.nan)
    made: Floats = np.exp(weekend_gap(logs, weekend[:days]) * weekend)
    made *= expected.sum() / max(float(expected @ made[:days]), 1e-12)
    return made


def _most(counts: Counts) -> Floats:
    """Return the most bad events a bin may count for, so that one incident is no rhythm."""
    level = counts.bad / np.maximum(counts.expected, 1e-9)
    return counts.expected * float(np.quantile(level[counts.total > 0], 0.95)) + 1.0
