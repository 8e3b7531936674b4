"""Tails: how far out what was seen lies under what was foretold, and the bands that held-out blocks ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from causalrel.mechanisms.regressions import memory
from causalrel.overdispersion import log_chance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_CELLS, _CHUNK = 801, 512
#: Standard deviations below and above the mean that a table of chances reaches.
_BELOW, _ABOVE = 10.0, 20.0
_FARTHEST = 8.0
#: Standard deviations of noise in the log odds that are tried.
_NOISES = np.exp(np.linspace(np.log(0.01), np.log(3.0), 48))
#: Reach of a neighbour, as a share of the windows held out, and places at which bands are laid.
_REACH, _PLACES = 0.1, 41


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Bad events foretold, a beta-binomial a row.

    Parameters
    ----------
    total : ndarray of float64, shape (n,)
        Events.
    mean : ndarray of float64, shape (n,)
        Mean share of bad ones.
    spread : ndarray of float64, shape (n,)
        Correlation of two events of one row, between 0 and 1.

    Examples
    --------
    >>> made = Shares(total=np.array([100.0]), mean=np.array([0.1]), spread=np.array([0.01]))
    >>> scores = made.scores(np.array([10.0]), np.array([0.5]))
    >>> bool(abs(scores[0]) < 0.2), made.values(scores[:, None]).tolist()
    (True, [[10.0]])
    """

    total: Floats
    mean: Floats
    spread: Floats

    def of(self, rows: NDArray[np.bool_]) -> Shares:
        """Return those of some rows."""
        return Shares(total=self.total[rows], mean=self.mean[rows], spread=self.spread[rows])

    def scores(self, bad: Floats, lot: Floats) -> Floats:
        """Return normal scores of the bad events seen.

        Parameters
        ----------
        bad : ndarray of float64, shape (n,)
            Bad events.
        lot : ndarray of float64, shape (n,)
            Where within its own chance a count is taken to lie, 0 to 1 (Dunn and Smyth 1996,
            doi:10.1080/10618600.1996.10474708); 0.5 for the middle.

        Returns
        -------
        ndarray of float64, shape (n,)
            Standard normal where the predictive is right.
        """
        from scipy.special import ndtri

        made = np.empty(len(bad))
        for rows in self._chunks():
            first, step, below = self._table(rows)
            at = np.clip((bad[rows] + lot[rows] - 0.5 - first) / step + 0.5, 0.0, _CELLS)
            cell = np.minimum(at.astype(np.int64), _CELLS - 1)
            each = np.arange(len(at))
            low, high = below[each, cell], below[each, cell + 1]
            made[rows] = ndtri(low + (at - cell) * (high - low))
        return np.clip(made, -_FARTHEST, _FARTHEST)

    def values(self, scores: Floats) -> Floats:
        """Return bad events at normal scores.

        Parameters
        ----------
        scores : ndarray of float64, shape (n, n_draws)
            Normal scores.

        Returns
        -------
        ndarray of float64, shape (n, n_draws)
            Whole numbers of bad events.
        """
        from scipy.special import ndtr

        made = np.empty(scores.shape)
        for rows in self._chunks():
            first, step, below = self._table(rows)
            for place, row in enumerate(range(rows.start, min(rows.stop, len(scores)))):
                at = np.interp(ndtr(scores[row]), below[place], np.arange(_CELLS + 1) - 0.5)
                made[row] = np.clip(np.rint(first[place] + step[place] * at), 0.0, self.total[row]) + 0.0
        return made

    def _chunks(self) -> list[slice]:
        return [slice(start, start + _CHUNK) for start in range(0, len(self.total), _CHUNK)]

    def _table(self, rows: slice) -> tuple[Floats, Floats, Floats]:
        """Return the first count of each row's cells, their width, and the chance of less than each cell's end."""
        total, mean = self.total[rows], self.mean[rows]
        sd = np.sqrt(total * mean * (1 - mean) * (1 + (total - 1) * self.spread[rows]))
        first = np.floor(np.maximum(total * mean - _BELOW * sd - 1, 0.0))
        last = np.minimum(np.ceil(total * mean + _ABOVE * sd + 1), total)
        step = np.maximum(np.ceil((last - first) / (_CELLS - 1)), 1.0)
        count = first[:, None] + step[:, None] * np.arange(_CELLS, dtype=np.float64)
        inside = count <= total[:, None]
        count = np.minimum(count, total[:, None])
        log = log_chance(count, total[:, None], mean[:, None], self.spread[rows][:, None])
        chance = np.where(inside, np.exp(log - log.max(axis=1, keepdims=True)), 0.0)
        below = np.hstack([np.zeros((len(total), 1)), chance.cumsum(axis=1)])
        return first, step, below / below[:, -1:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """Numbers foretold, a normal a row.

    Parameters
    ----------
    mean, sd : ndarray of float64, shape (n,)
        On the scale of the mechanism.

    Examples
    --------
    >>> Numbers(mean=np.array([1.0]), sd=np.array([2.0])).scores(np.array([5.0]), np.array([0.5])).tolist()
    [2.0]
    """

    mean: Floats
    sd: Floats

    def of(self, rows: NDArray[np.bool_]) -> Numbers:
        """Return those of some rows."""
        return Numbers(mean=self.mean[rows], sd=self.sd[rows])

    def scores(self, seen: Floats, lot: Floats) -> Floats:
        """Return normal scores of numbers seen; a number has no use for a lot."""
        del lot
        return np.asarray((seen - self.mean) / self.sd)

    def values(self, scores: Floats) -> Floats:
        """Return numbers at normal scores, of shape (n, n_draws)."""
        return np.asarray(self.mean[:, None] + self.sd[:, None] * scores)


def spread_of(mean: Floats, variance: Floats, noise: float) -> Floats:
    """Return the correlation of two events of a row whose share is uncertain.

    Parameters
    ----------
    mean, variance : ndarray of float64, shape (n,)
        Of the share, over draws.
    noise : float
        Standard deviation of noise in the log odds besides.

    Returns
    -------
    ndarray of float64, shape (n,)
        Between 0 and 1.

    Examples
    --------
    >>> spread_of(np.array([0.5]), np.array([0.0]), 0.4).round(3).tolist()
    [0.04]
    """
    binomial = mean * (1 - mean)
    return np.asarray(np.clip((variance + (binomial * noise) ** 2) / binomial, 1e-6, 0.9))


def noise_of(bad: Floats, total: Floats, mean: Floats, variance: Floats) -> float:
    """Return the likeliest standard deviation of noise in the log odds of rows that were held out.

    Parameters
    ----------
    bad, total : ndarray of float64, shape (n,)
        Events.
    mean, variance : ndarray of float64, shape (n,)
        Of the share foretold, over draws.

    Returns
    -------
    float
        Standard deviation.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> share = 1 / (1 + np.exp(2 + 0.5 * rng.normal(size=500)))
    >>> bad = rng.binomial(400, share) * 1.0
    >>> 0.4 < noise_of(bad, np.full(500, 400.0), np.full(500, share.mean()), np.zeros(500)) < 0.6
    True
    """
    likely = [log_chance(bad, total, mean, spread_of(mean, variance, noise)).sum() for noise in _NOISES]
    return float(_NOISES[int(np.argmax(likely))])


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What normal scores mean, place by place, as windows held out have it.

    Parameters
    ----------
    scores : ndarray of float64, shape (m,)
        Scores of windows held out, in order.
    levels : ndarray of float64, shape (n_places, m)
        Normal score that each of them stands for, at places from 0 to 1.
    sd : ndarray of float64, shape (n_places,)
        Standard deviation there, by which levels go on beyond the outermost.
    freedom : float
        Degrees of freedom: how many independent windows the scale is known from.
    apart : float
        How many independent windows the centre is known from; the band is wider by what they leave open.
    """

    scores: Floats
    levels: Floats
    sd: Floats
    freedom: float
    apart: float

    def standing(self, scores: Floats, places: Floats) -> Floats:
        """Return the normal scores that scores stand for.

        Parameters
        ----------
        scores, places : ndarray of float64, shape (n,)
            Scores, and where between 0 and 1 each was met.

        Returns
        -------
        ndarray of float64, shape (n,)
            Standard normal for windows like those held out.
        """
        from scipy.special import ndtri, stdtr

        made = np.empty(len(scores))
        for at, mine in self._at(places):
            inside = np.interp(scores[mine], self.scores, self.levels[at])
            over = scores[mine] - np.clip(scores[mine], self.scores[0], self.scores[-1])
            made[mine] = (inside + over / self.sd[at]) / np.sqrt(1 + 1 / self.apart)
        return np.asarray(-np.sign(made) * ndtri(stdtr(self.freedom, -np.abs(made))))

    def meant(self, standing: Floats, places: Floats) -> Floats:
        """Return the scores that normal scores are of, place by place.

        Parameters
        ----------
        standing : ndarray of float64, shape (n_levels,)
            Normal scores wanted of every row.
        places : ndarray of float64, shape (n,)
            Where between 0 and 1 each row was met.

        Returns
        -------
        ndarray of float64, shape (n, n_levels)
            Scores.
        """
        from scipy.special import ndtr, stdtrit

        standing = -np.sign(standing) * stdtrit(self.freedom, ndtr(-np.abs(standing))) * np.sqrt(1 + 1 / self.apart)
        made = np.empty((len(places), len(standing)))
        for at, mine in self._at(places):
            levels = self.levels[at]
            over = standing - np.clip(standing, levels[0], levels[-1])
            made[mine] = np.interp(standing, levels, self.scores) + over * self.sd[at]
        return made

    def _at(self, places: Floats) -> list[tuple[int, NDArray[np.intp]]]:
        nearest = np.rint(np.clip(places, 0.0, 1.0) * (len(self.sd) - 1)).astype(np.int64)
        return [(int(at), np.flatnonzero(nearest == at)) for at in np.unique(nearest)]


def calibrate(scores: Floats, places: Floats, step: NDArray[np.int64]) -> Calibration:
    """Learn what normal scores mean from windows held out, neighbours in place counting most.

    Quantiles of weighted scores, one more window with the weight of the nearest kept outside them (split conformal,
    weighted by nearness: Guan 2023, doi:10.1093/biomet/asac040); then Student's t for the normal, with as many degrees
    of freedom as independent windows tell the scale, and wider by what as many leave open of the centre.

    Parameters
    ----------
    scores : ndarray of float64, shape (m,)
        Scores of windows held out.
    places : ndarray of float64, shape (m,)
        Where between 0 and 1 each was met.
    step : ndarray of int64, shape (m,)
        Window number of each.

    Returns
    -------
    Calibration
        The calibration.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> places = rng.random(4000)
    >>> made = calibrate(rng.normal(size=4000) * (1 + places), places, np.arange(4000))
    >>> wide = made.meant(np.array([1.0]), np.array([0.05, 0.95]))[:, 0]
    >>> bool(0.9 < wide[0] < 1.3 < 1.6 < wide[1] < 2.1)
    True
    """
    from scipy.special import ndtri

    order = np.argsort(scores, kind="stable")
    ordered, near = scores[order], places[order]
    levels, sd = [], []
    for place in np.linspace(0.0, 1.0, _PLACES):
        weight = np.exp(-0.5 * ((near - place) / _REACH) ** 2)
        sums = weight.cumsum()
        mean = weight @ ordered / sums[-1]
        levels.append(ndtri((sums - weight / 2 + 0.5) / (sums[-1] + 1.0)))
        sd.append(np.sqrt(weight @ (ordered - mean) ** 2 / sums[-1]) + 1e-9)
    freedom = _independent((scores - scores.mean()) ** 2, step) - 1
    return Calibration(
        scores=ordered,
        levels=np.array(levels),
        sd=np.array(sd),
        freedom=max(freedom, 2.0),
        apart=_independent(scores, step),
    )


def _independent(values: Floats, step: NDArray[np.int64]) -> float:
    """Return how many independent windows the mean of values that remember, and that units share, is known from."""
    apart = values - np.mean(values)
    series = np.bincount(step - step.min(), weights=apart).astype(np.float64)
    alike = float(series @ series) / max(float(apart @ apart), 1e-300)
    return len(values) / max(memory(series) * alike, 1.0)
