"""Pooling: rates of bad events of units that resemble each other, without a sampler."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

#: Log-odds of a bad share of 2 %, the middle of the prior of the mean; its sd of 2 reaches from 0.03 % to 50 %.
_TYPICAL_ODDS = -4.0
_MEAN_SD = 2.0
_DRAWS = 4000
#: Draws of the spreads, each of which carries as many draws of the rates as make 4,000 together.
_SPREADS = 100
_PROPOSED = 256
_NEWTON = 40
_STEPS = 3
_CLOSE = 1e-5
#: Proposals of a unit's own part are this much wider than the normal that approximates it.
_WIDER = 1.15
#: Natural logarithms between which a spread of log-odds is looked for.
_BOUNDS = (-5.0, 2.5)


def factors_of(units: Sequence[str]) -> list[tuple[list[str], Codes]]:
    """Tell the factors that units are made of, where every name has the same number of parts between slashes.

    Parameters
    ----------
    units : sequence of str
        Names, such as ``node-1/v2`` where windows were made by node and version.

    Returns
    -------
    list of (levels, codes)
        One a part: its values sorted, and the number of each unit's value; a part that is the same everywhere, or
        different everywhere, is no factor.

    Examples
    --------
    >>> [levels for levels, _ in factors_of(["a/x", "a/y", "b/x", "b/y"])]
    [['a', 'b'], ['x', 'y']]
    >>> factors_of(["a", "b"])
    []
    """
    parts = [unit.split("/") for unit in units]
    if len({len(one) for one in parts}) != 1:
        return []
    made = []
    for place in range(len(parts[0])):
        levels, codes = np.unique([one[place] for one in parts], return_inverse=True)
        if 1 < len(levels) < len(units):
            made.append((levels.tolist(), codes.astype(np.int64)))
    return made


@dataclass(frozen=True, slots=True)
class _Mode:
    """Where the parameters are most probable given the spreads, and how sharply.

    The precision of the shared parameters is ``[[diag(wide), cross], [cross', .]]``, ``root`` the Cholesky factor of
    what is left for the others once the levels of the widest factor are eliminated.
    """

    score: float
    others: Floats
    root: Floats
    right: Floats
    cross: Floats
    wide: Floats
    odds: Floats
    weight: Floats


class _Model:
    """Binomial counts whose log-odds are a mean, an effect a level of each factor, and each unit's own part."""

    def __init__(self, bad: Floats, total: Floats, factors: Sequence[Codes]) -> None:
        sizes = [int(codes.max()) + 1 for codes in factors]
        widest = int(np.argmax(sizes)) if sizes else None
        self.bad, self.total = bad, total
        self.wide = factors[widest] if widest is not None else None
        self.n_wide = sizes[widest] if widest is not None else 0
        self.columns, self.of_spread = [np.zeros(len(bad), dtype=np.int64)], [-1]
        for number, codes in enumerate(factors):
            if number != widest:
                self.columns.append(codes + len(self.of_spread))
                self.of_spread += [number] * sizes[number]
        self.widest = widest

    def line(self, others: Floats, wide: Floats) -> Floats:
        """Return what the units share of their log-odds, the typical ones left out."""
        made = others[self.columns[0]]
        for column in self.columns[1:]:
            made = made + others[column]
        return made if self.wide is None else made + wide[self.wide]

    def mode(self, logs: Floats, start: Floats) -> _Mode:
        """Find the mode given the logarithms of the spreads (of each factor, then of the units), by Newton's method.

        The units' own parts and the levels of the widest factor are eliminated from each step, so that it costs the
        units times the levels of the other factors.
        """
        own, odds = float(np.exp(2 * logs[-1])), start
        prior = np.array([_MEAN_SD**-2 if of < 0 else np.exp(-2 * logs[of]) for of in self.of_spread])
        wide_prior = 0.0 if self.widest is None else float(np.exp(-2 * logs[self.widest]))
        for _ in range(_NEWTON):
            share = 1 / (1 + np.exp(-odds))
            weight = np.maximum(self.total * share * (1 - share), 1e-9)
            seen = odds - _TYPICAL_ODDS + (self.bad - self.total * share) / weight
            precision = 1 / (1 / weight + own)
            wide, cross, right, matrix, pull = self._normal(precision, seen, prior, wide_prior)
            root = _root(matrix - cross.T @ (cross / wide[:, None]))
            others = _solved(root, pull - cross.T @ (right / wide))
            levels = (right - cross @ others) / wide
            line = self.line(others, levels)
            step = np.clip(_TYPICAL_ODDS + line + own * precision * (seen - line) - odds, -_STEPS, _STEPS)
            odds = odds + step
            if float(np.max(np.abs(step))) < _CLOSE:
                break
        apart = odds - _TYPICAL_ODDS - line
        score = self.bad @ odds - self.total @ np.logaddexp(0, odds)
        score -= 0.5 * (prior @ others**2 + wide_prior * (levels @ levels) + apart @ apart / own)
        score += 0.5 * (np.sum(np.log(prior)) + (self.n_wide * np.log(wide_prior) if self.n_wide else 0.0))
        score -= np.sum(np.log(np.diag(root))) + 0.5 * (np.sum(np.log(wide)) + np.sum(np.log1p(weight * own)))
        return _Mode(float(score + _spread_prior(logs)), others, root, right, cross, wide, odds, weight)

    def _normal(
        self, precision: Floats, seen: Floats, prior: Floats, wide_prior: float
    ) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Return the normal equations: the widest factor's, the cross terms, its right side; the others', theirs."""
        size, known = len(prior), precision * seen
        matrix, pull, cross = np.diag(prior), np.zeros(size), np.zeros((self.n_wide, size))
        wide, right = np.full(self.n_wide, wide_prior), np.zeros(self.n_wide)
        for left in self.columns:
            pull += np.bincount(left, known, size)
            for other in self.columns:
                matrix += np.bincount(left * size + other, precision, size * size).reshape(size, size)
            if self.wide is not None:
                cross += np.bincount(self.wide * size + left, precision, self.n_wide * size).reshape(-1, size)
        if self.wide is not None:
            wide += np.bincount(self.wide, precision, self.n_wide)
            right += np.bincount(self.wide, known, self.n_wide)
        return wide, cross, right, matrix, pull

    def draw_line(self, mode: _Mode, count: int, rng: np.random.Generator) -> Floats:
        """Draw the log-odds that each unit shares with others, shape (n_units, count)."""
        others = mode.others[:, None] + np.linalg.solve(mode.root.T, rng.normal(size=(len(mode.others), count)))
        levels = (mode.right[:, None] - mode.cross @ others) / mode.wide[:, None]
        levels += rng.normal(size=levels.shape) / np.sqrt(mode.wide)[:, None]
        return _TYPICAL_ODDS + self.line(others, levels)


def _root(matrix: Floats) -> Floats:
    return np.asarray(np.linalg.cholesky(matrix), dtype=np.float64)


def _solved(root: Floats, right: Floats) -> Floats:
    return np.asarray(np.linalg.solve(root.T, np.linalg.solve(root, right)), dtype=np.float64)


def _spread_prior(logs: Floats) -> float:
    """Return the log density of half-normal spreads of scale 1 on the scale of their logarithms."""
    return float(np.sum(logs - 0.5 * np.exp(2 * logs)))


def laplace_rates(bad: Floats, total: Floats, factors: Sequence[Codes] = (), *, seed: int) -> Floats:
    """Draw the rates of bad events of units that resemble each other, by Laplace's approximation.

    Log-odds are a mean, an effect of each level of each factor, and each unit's own part; every kind of effect is
    normal with a spread learnt from all units. The spreads are drawn from their marginal, itself by Laplace's
    approximation, around its mode with importance weights; given them the shared effects are normal around theirs; and
    given those each unit's own part is drawn from its exact one-dimensional posterior by a few Metropolis steps.

    Parameters
    ----------
    bad, total : ndarray of float64, shape (n_units,)
        Events of each unit; fractions are allowed, as counts divided by their dispersion are.
    factors : sequence of ndarray of int64, shape (n_units,)
        Level of each unit, from 0, one array a factor.
    seed : int
        Seed of the draws.

    Returns
    -------
    ndarray of float64, shape (4000, n_units)
        Rates in (0, 1).

    References
    ----------
    Tierney and Kadane (1986), doi:10.1080/01621459.1986.10478240; Rue, Martino and Chopin (2009),
    doi:10.1111/j.1467-9868.2008.00700.x; Breslow and Clayton (1993), doi:10.1080/01621459.1993.10594284.

    Examples
    --------
    >>> rates = laplace_rates(np.array([0.0, 10.0, 12.0]), np.array([10.0, 1000.0, 1000.0]), seed=0)
    >>> bool(rates[:, 0].mean() < 0.05)
    True
    """
    model, rng = _Model(bad, total, factors), np.random.default_rng(seed)
    start = np.log((bad + 0.5) / (total - bad + 0.5))
    made = []
    for logs, mode in _draw_spreads(model, len(factors) + 1, start, rng):
        line = model.draw_line(mode, _DRAWS // _SPREADS, rng)
        made.append(_own_odds(model, mode, line, float(np.exp(2 * logs[-1])), rng).T)
    odds = np.concatenate(made)[rng.permutation(_DRAWS)]
    return np.asarray(1 / (1 + np.exp(-odds)), dtype=np.float64)


def _draw_spreads(model: _Model, size: int, start: Floats, rng: np.random.Generator) -> Iterator[tuple[Floats, _Mode]]:
    """Draw logarithms of the spreads from their marginal, and the mode that belongs to each."""
    from scipy.optimize import minimize
    from scipy.stats import qmc, t

    best = model.mode(np.full(size, -1.0), start)

    def cost(logs: Floats) -> float:
        return -model.mode(np.clip(logs, *_BOUNDS), best.odds).score

    found = minimize(cost, np.full(size, -1.0), method="Nelder-Mead", options={"xatol": 0.02, "fatol": 0.02})
    centre = np.clip(found.x, *_BOUNDS)
    scale = np.linalg.cholesky(_curvature(cost, centre))
    away = t.ppf(np.clip(qmc.Sobol(size, rng=rng).random(_PROPOSED), 1e-6, 1 - 1e-6), 5)
    drawn = np.clip(centre + away @ scale.T, *_BOUNDS)
    modes = [model.mode(one, best.odds) for one in drawn]
    logs = np.array([mode.score for mode in modes]) - t.logpdf(away, 5).sum(axis=1)
    weights = np.exp(logs - logs.max())
    picks = _resample(weights / weights.sum(), _SPREADS, rng)
    yield from ((drawn[pick], modes[pick]) for pick in picks)


def _curvature(cost: Callable[[Floats], float], centre: Floats) -> Floats:
    """Return the covariance of a normal that has the curvature of ``cost`` at its least, within sensible bounds."""
    size, step = len(centre), 0.25
    eye, least = step * np.eye(size), cost(centre)
    hessian = np.zeros((size, size))
    for i in range(size):
        for j in range(i + 1):
            corners = [cost(centre + a * eye[i] + b * eye[j]) for a in (1, -1) for b in (1, -1)] if i != j else []
            value = (
                (corners[0] - corners[1] - corners[2] + corners[3]) / (4 * step**2)
                if corners
                else (cost(centre + eye[i]) - 2 * least + cost(centre - eye[i])) / step**2
            )
            hessian[i, j] = hessian[j, i] = value
    values, vectors = np.linalg.eigh(hessian)
    return np.asarray((vectors / np.clip(values, 0.5, None)) @ vectors.T, dtype=np.float64)


def _resample(weights: Floats, count: int, rng: np.random.Generator) -> Codes:
    """Draw places by systematic resampling."""
    marks = (rng.random() + np.arange(count)) / count
    return np.minimum(np.searchsorted(np.cumsum(weights), marks), len(weights) - 1)


def _own_odds(model: _Model, mode: _Mode, line: Floats, own: float, rng: np.random.Generator) -> Floats:
    """Draw each unit's log-odds given the shared part: normal proposals around the mode, then Metropolis steps."""
    bad, total = model.bad[:, None], model.total[:, None]
    weight = mode.weight[:, None]
    gain = bad - total / (1 + np.exp(-mode.odds))[:, None]
    variance = 1 / (weight + 1 / own)
    middle = variance * (weight * mode.odds[:, None] + gain + line / own)
    width = np.sqrt(variance) * _WIDER

    def density(odds: Floats) -> Floats:
        fits = bad * odds - total * np.logaddexp(0, odds) - 0.5 * (odds - line) ** 2 / own
        return np.asarray(fits + 0.5 * ((odds - middle) / width) ** 2, dtype=np.float64)

    odds = middle + width * rng.normal(size=line.shape)
    held = density(odds)
    for _ in range(_STEPS):
        other = middle + width * rng.normal(size=line.shape)
        new = density(other)
        take = np.log(rng.random(size=line.shape)) < new - held
        odds, held = np.where(take, other, odds), np.where(take, new, held)
    return np.asarray(odds, dtype=np.float64)
