"""Levels: how far counts of bad events stay from what was expected of them, for how long, and how they go on.

A level multiplies the bad events expected. It is a slow part, which wanders about a mean of its own, plus a fast one,
which is held for some hours and then drawn anew: mostly about zero, seldom from a long tail, as in an incident. Counts
given the level are over-dispersed. Parts move on a grid, so that the likelihood of a setting is exact (Hamilton 1989,
doi:10.2307/1912559); settings are drawn by population Monte Carlo (Cappé et al. 2004, doi:10.1198/106186004X12803).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: Mean and standard deviation of the normal priors on: log sd of the slow part, log days that it remembers, its mean,
#: log odds that the fast part is held over an hour, log sd of it while calm, log incidents a day, log mean size of one,
#: log dispersion of counts.
PRIORS = np.array(
    [
        (np.log(0.25), 1.0),
        (np.log(10.0), 1.2),
        (0.0, 0.4),
        (np.log(3.0), 1.0),
        (np.log(0.15), 0.8),
        (np.log(0.03), 2.0),
        (np.log(1.3), 0.5),
        (np.log(0.05), 1.5),
    ]
)
_DISPERSIONS = np.array([0.002, 0.02, 0.08, 0.3, 1.2])
_SLOW, _FAST = 21, 13
_ROUNDS, _KEPT, _SETTINGS = 5, 3, 64
_PER_DAY = 4
#: Keeps single precision away from numbers too small to be normal, which are slow.
_LEAST = np.float32(1e-18)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What was counted in bins of time, and what was expected of them.

    Parameters
    ----------
    bad, expected, total : ndarray of float64, shape (n,)
        Bad events, those expected, and all events; a bin without events says nothing.
    per_day : int
        Bins in a day.
    """

    bad: Floats
    expected: Floats
    total: Floats
    per_day: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """Settings that counts agree with, and where the level stands after the last bin of each.

    Parameters
    ----------
    settings : ndarray of float64, shape (n_settings, 8)
        As in ``PRIORS``.
    weights : ndarray of float64, shape (n_settings,)
        Their probabilities.
    state : ndarray of float64, shape (n_settings, n_slow, n_fast)
        Probability of the parts.
    slow, fast : ndarray of float64
        The grid.
    per_day : int
        Bins in a day.
    """

    settings: Floats
    weights: Floats
    state: Floats
    slow: Floats
    fast: Floats
    per_day: int


def fit_levels(counts: Counts, rng: np.random.Generator) -> Levels:
    """Draw settings and levels that counts agree with.

    Parameters
    ----------
    counts : Counts
        The counts.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    Levels
        Settings, weights and states.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> expected, total = np.full(96, 5.0), np.full(96, 500.0)
    >>> counts = Counts(bad=rng.poisson(expected) * 1.0, expected=expected, total=total, per_day=24)
    >>> bool(np.isclose(fit_levels(counts, rng).weights.sum(), 1.0))
    True
    """
    slow, fast = _grid(counts)
    likely = _likelihoods(counts, slow, fast)
    centre, root = PRIORS[:, 0], np.diag(PRIORS[:, 1])
    kept: list[tuple[Floats, Floats, Floats, Floats]] = []
    for turn in range(_ROUNDS):
        normal = rng.standard_normal((_SETTINGS, len(PRIORS)))
        scale = np.sqrt(5.0 / rng.chisquare(5.0, _SETTINGS)) if turn else np.ones(_SETTINGS)
        settings = centre + (normal * scale[:, None]) @ root.T
        proposal = _log_student(normal * scale[:, None], root) if turn else _log_normal(normal, root)
        score, state = _filtered(counts, likely, slow, fast, settings)
        prior = _log_normal((settings - PRIORS[:, 0]) / PRIORS[:, 1], np.diag(PRIORS[:, 1]))
        kept.append((settings, score + prior - proposal, score + prior, state))
        centre, root = _proposal(kept)
    settings, _, _, state = (np.concatenate(part) for part in zip(*kept[-_KEPT:], strict=True))
    weights = np.concatenate([_tempered(part[1], 8.0) for part in kept[-_KEPT:]]) / _KEPT
    return Levels(settings=settings, weights=weights, state=state, slow=slow, fast=fast, per_day=counts.per_day)


def draw_levels(levels: Levels, length: int, draws: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Roll levels forward.

    Parameters
    ----------
    levels : Levels
        Where they stand.
    length : int
        Bins ahead.
    draws : int
        Number of futures.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    level : ndarray of float64, shape (draws, length)
        Factor on the bad events expected.
    dispersion : ndarray of float64, shape (draws,)
        Variance of the factor that each count has besides.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> expected, total = np.full(96, 5.0), np.full(96, 500.0)
    >>> counts = Counts(bad=rng.poisson(expected) * 1.0, expected=expected, total=total, per_day=24)
    >>> level, _ = draw_levels(fit_levels(counts, rng), 48, 500, rng)
    >>> bool(0.7 < np.median(level) < 1.4)
    True
    """
    chosen = rng.choice(len(levels.weights), size=draws, p=levels.weights)
    theta = _Theta(levels.settings[chosen], levels.per_day)
    at = _picked(levels.state.reshape(len(levels.weights), -1)[chosen], rng)
    step = levels.slow[1] - levels.slow[0]
    slow = levels.slow[at // len(levels.fast)] + step * (rng.random(draws) - 0.5)
    fast = levels.fast[at % len(levels.fast)]
    every = max(1, levels.per_day // _PER_DAY)
    moves, anew = rng.standard_normal((2, length, draws)), rng.random((length, draws))
    incident, size = rng.random((length, draws)), rng.standard_exponential((length, draws))
    made = np.empty((length, draws))
    for i in range(length):
        if i % every == 0:
            slow = theta.mean + theta.kept * (slow - theta.mean) + theta.moves * moves[0, i]
        drawn = np.where(
            incident[i] < theta.incidents, np.minimum(theta.size * size[i], levels.fast[-1]), theta.calm * moves[1, i]
        )
        fast = np.where(anew[i] < theta.held, fast, drawn)
        made[i] = slow + fast
    low = np.searchsorted(_DISPERSIONS, theta.dispersion).clip(1, len(_DISPERSIONS) - 1)
    upper = rng.random(draws) < theta.upper(low)
    return np.exp(np.clip(made.T, -30.0, 30.0)), _DISPERSIONS[np.where(upper, low, low - 1)]


class _Theta:
    """Settings on their own scales."""

    def __init__(self, settings: Floats, per_day: int) -> None:
        sd, days, self.mean, held, calm, often, size, dispersion = settings.T
        every = max(1, per_day // _PER_DAY)
        hours = 24.0 / per_day
        self.sd = np.exp(sd)
        self.kept = np.exp(-every / per_day / np.exp(days))
        self.moves = self.sd * np.sqrt(1 - self.kept**2)
        self.held = (1.0 / (1.0 + np.exp(-held))) ** hours
        self.calm = np.exp(calm)
        self.incidents = np.minimum(np.exp(often) / per_day / np.maximum(1 - self.held, 1e-6), 0.5)
        self.size = np.exp(size)
        self.dispersion = np.clip(np.exp(dispersion), _DISPERSIONS[0], _DISPERSIONS[-1])

    def upper(self, low: NDArray[np.int64]) -> Floats:
        """Return the weight of the upper of two neighbouring dispersions."""
        a, b = np.log(_DISPERSIONS[low - 1]), np.log(_DISPERSIONS[low])
        return np.asarray((np.log(self.dispersion) - a) / (b - a))


def _grid(counts: Counts) -> tuple[Floats, Floats]:
    """Lay the slow part about the daily levels seen, and the fast one up to every event being bad."""
    days = max(1, len(counts.bad) // counts.per_day)
    first = len(counts.bad) - days * counts.per_day if len(counts.bad) >= counts.per_day else 0
    bad, expected = (x[first:].reshape(days, -1).sum(axis=1) for x in (counts.bad, counts.expected))
    logs = np.log((bad + 1.0) / (expected + 1.0))
    middle = float(np.median(logs))
    spread = float(np.clip(1.5 * (np.quantile(logs, 0.75) - np.quantile(logs, 0.25)) + 0.08, 0.12, 0.9))
    slow = np.linspace(middle - 3.5 * spread, middle + 3.5 * spread, _SLOW)
    usual = max(counts.expected.sum() * np.exp(middle), 0.5) / max(counts.total.sum(), 1.0)
    most = float(np.clip(np.log(1 / usual), 1.5, 7.0))
    calm = np.array([-1.0, -0.5, -0.2, 0.0, 0.2, 0.5])
    return slow, np.append(calm, 0.5 + (most - 0.5) * np.linspace(0, 1, _FAST - len(calm) + 1)[1:] ** 1.3)


def _likelihoods(counts: Counts, slow: Floats, fast: Floats) -> NDArray[np.float32]:
    """Return each bin's likelihood by dispersion, slow and fast part, up to a factor of the bin."""
    most = 0.999 * np.maximum(counts.total, 1e-9)
    level = np.exp(slow[:, None] + fast)
    mean = np.minimum(np.maximum(counts.expected, 1e-9)[:, None, None] * level, most[:, None, None])[:, None]
    size = 1.0 / _DISPERSIONS[None, :, None, None]
    bad = counts.bad[:, None, None, None]
    from scipy.special import gammaln

    flat = gammaln(bad + size) - gammaln(size) + size * np.log(size)
    score = flat + bad * np.log(mean) - (bad + size) * np.log(size + mean)
    score -= score.max(axis=(1, 2, 3), keepdims=True)
    return np.asarray(np.exp(np.maximum(score, -25.0)), dtype=np.float32)


def _filtered(
    counts: Counts, likely: NDArray[np.float32], slow: Floats, fast: Floats, settings: Floats
) -> tuple[Floats, Floats]:
    """Return log likelihood of each setting and the probability of the parts after the last bin."""
    theta = _Theta(settings, counts.per_day)
    chain, start = _slow_chain(theta, slow)
    fresh = _fresh(theta, fast)
    low = np.searchsorted(_DISPERSIONS, theta.dispersion).clip(1, len(_DISPERSIONS) - 1)
    upper = theta.upper(low)
    picks = np.zeros((len(settings), len(_DISPERSIONS)), dtype=np.float32)
    rows = np.arange(len(settings))
    picks[rows, low - 1], picks[rows, low] = 1 - upper, upper
    redrawn = ((1 - theta.held)[:, None] * fresh)[:, None, :].astype(np.float32)
    state = (start[:, :, None] * fresh[:, None, :]).astype(np.float32)
    chain, held = chain.astype(np.float32), theta.held.astype(np.float32)
    flat = likely.reshape(len(likely), len(_DISPERSIONS), -1)
    other, seen = np.empty_like(state), np.empty((len(settings), flat.shape[2]), dtype=np.float32)
    score, sums = np.zeros(len(settings)), state.sum(axis=2)
    every = max(1, counts.per_day // _PER_DAY)
    for i in range(len(likely)):
        if i:
            if i % every == 0:
                state, other = np.matmul(chain, state, out=other), state
                sums = state.sum(axis=2)
            state *= held[:, None, None]
            state += np.multiply(sums[:, :, None], redrawn, out=other)
        if counts.total[i] > 0:
            state *= np.matmul(picks, flat[i], out=seen).reshape(state.shape)
        sums = state.sum(axis=2)
        whole = np.maximum(sums.sum(axis=1), np.float32(1e-30))
        state /= whole[:, None, None]
        state += _LEAST
        sums /= whole[:, None]
        score += np.log(whole)
    return score, state.astype(np.float64)


def _slow_chain(theta: _Theta, slow: Floats) -> tuple[Floats, Floats]:
    """Return transitions of the slow part, to by from, and where it starts."""
    step = slow[1] - slow[0]
    to = theta.mean[:, None] + theta.kept[:, None] * (slow - theta.mean[:, None])
    # A move smaller than the grid keeps its variance by the width of a cell.
    width = np.maximum(theta.moves, 0.25 * step)[:, None, None]
    chain = np.exp(-0.5 * ((slow[None, :, None] - to[:, None, :]) / width) ** 2) + 1e-12
    start = np.exp(-0.5 * ((slow - theta.mean[:, None]) / np.maximum(theta.sd, 0.5 * step)[:, None]) ** 2) + 1e-9
    return chain / chain.sum(axis=1, keepdims=True), start / start.sum(axis=1, keepdims=True)


def _fresh(theta: _Theta, fast: Floats) -> Floats:
    """Return what the fast part is drawn anew from."""
    from scipy.special import ndtr

    edges = np.concatenate([[-np.inf], (fast[1:] + fast[:-1]) / 2, [np.inf]])
    calm = np.diff(ndtr(edges / theta.calm[:, None]), axis=1)
    tail = -np.diff(np.exp(-np.maximum(edges, 0.0) / theta.size[:, None]), axis=1)
    share = theta.incidents[:, None]
    made: Floats = (1 - share) * calm + share * tail
    return made + 1e-12


def _proposal(kept: list[tuple[Floats, Floats, Floats, Floats]]) -> tuple[Floats, Floats]:
    """Return centre and root of the next proposal, from all settings so far, weights tempered until many count."""
    settings = np.concatenate([part[0] for part in kept])
    scores = np.concatenate([part[1] for part in kept])
    weights = _tempered(scores, 20.0)
    centre = weights @ settings
    off = settings - centre
    covariance = (off * weights[:, None]).T @ off * 1.2 + np.diag((0.1 * PRIORS[:, 1]) ** 2)
    return centre, np.linalg.cholesky(covariance)


def _tempered(scores: Floats, least: float) -> Floats:
    """Return weights, flattened until as many settings count as are needed (Koblents and Miguez 2015)."""
    power = 1.0
    while True:
        made: Floats = np.exp(power * (scores - scores.max()))
        if made.sum() ** 2 > least * (made @ made) or power < 1e-3:
            return np.asarray(made / made.sum())
        power *= 0.7


def _log_normal(standard: Floats, root: Floats) -> Floats:
    made: Floats = -0.5 * (standard**2).sum(axis=1) - np.log(np.diag(root)).sum()
    return made


def _log_student(standard: Floats, root: Floats) -> Floats:
    """Return the log density of a multivariate t with 5 degrees, up to the constant of the normal's."""
    from scipy.special import gammaln

    d = standard.shape[1]
    flat = gammaln((5 + d) / 2) - gammaln(2.5) - 0.5 * d * np.log(2.5)
    made: Floats = flat - 0.5 * (5 + d) * np.log1p((standard**2).sum(axis=1) / 5) - np.log(np.diag(root)).sum()
    return made


def _picked(weights: Floats, rng: np.random.Generator) -> NDArray[np.int64]:
    sums = weights.cumsum(axis=1)
    return np.asarray((sums < rng.random((len(weights), 1)) * sums[:, -1:]).sum(axis=1))
