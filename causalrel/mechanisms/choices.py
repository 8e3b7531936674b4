"""Choices: which form a mechanism takes, by how well each foretells blocks of rows held out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from causalrel.mechanisms.learners import Sample, Smooth, combinations, held_out, learn, outermost, untold_noise
from causalrel.surfaces import HALF, Surface
from causalrel.surfaces.kernels import squares

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEVELS = np.arange(1, 20) / 20
_QUANTILES = np.array([NormalDist().inv_cdf(float(level)) for level in _LEVELS])


Foretold = tuple["NDArray[np.float64]", "NDArray[np.float64]", float]
Forecast = tuple["NDArray[np.float64]", "NDArray[np.float64]", Callable[["NDArray[np.float64]"], "NDArray[np.float64]"]]

#: Rows a screen looks at, at most.
_SCREENED = 1000
_NEIGHBOURS = 10
#: Correlation of residuals with those of neighbours in other blocks, from which on other forms are tried: a quarter of
#: what the spline left over is then shared with neighbours.
_STRUCTURE = 0.5


def structured(sample: Sample, residuals: NDArray[np.float64], block: NDArray[np.int64]) -> bool:
    """Tell whether residuals agree with those of the nearest rows of other blocks, so that a form left something over.

    Parameters
    ----------
    sample : Sample
        The rows.
    residuals : ndarray of float64, shape (n,)
        What a form left.
    block : ndarray of int64, shape (n,)
        Block of each row.

    Returns
    -------
    bool
        Whether they correlate at 0.5 or more.

    Examples
    --------
    >>> from causalrel.mechanisms.learners import straight_line
    >>> structured(straight_line(), np.sin(np.arange(30.0) / 3), np.arange(30))
    True
    """
    rows = np.unique(np.linspace(0, len(residuals) - 1, _SCREENED).astype(np.int64))
    x = sample.domain.columns({name: column[rows] for name, column in sample.values.items()})
    apart = squares(x, x)
    apart[block[rows][:, None] == block[rows][None, :]] = np.inf
    near = np.argpartition(apart, min(_NEIGHBOURS, len(rows) - 1), axis=1)[:, :_NEIGHBOURS]
    mine, theirs = residuals[rows], residuals[rows][near].mean(axis=1)
    if mine.std() == 0 or theirs.std() == 0:
        return False
    return bool(np.corrcoef(mine, theirs)[0, 1] >= _STRUCTURE)


def choose(
    sample: Sample, spline: Forecast, block: NDArray[np.int64], seed: int
) -> tuple[dict[str, float], Smooth | None, Foretold | None]:
    """Choose a form by its score on blocks held out; the spline unless another is better by a standard error.

    Parameters
    ----------
    sample : Sample
        The rows, their outcome standardised.
    spline : tuple
        Mean and standard deviation that the spline foretold of held-out rows, and a map from its scale to that of
        ``sample``.
    block : ndarray of int64, shape (n,)
        Block of each row.
    seed : int
        Seed of what is random in forms.

    Returns
    -------
    scores : dict of str to float
        Mean score by form, in standard deviations of the outcome.
    form : str or None
        The form chosen; None for the spline.
    foretold : tuple or None
        What the form foretold of the rows; None for the spline.

    Examples
    --------
    >>> from causalrel.mechanisms.learners import straight_line
    >>> choose(straight_line(), (np.zeros(30), np.full(30, 9.0), np.asarray), np.arange(30), 0)[1]
    'linear'
    """
    mean, sd, common = spline
    truth = sample.outcome
    scores = {"spline": pinball(truth, mean, sd, common)}
    foretold: dict[str, Foretold] = {}
    for known in sample.forms:
        foretold[known] = held_out(learn(known, sample, seed), sample)
        mean, sd, _ = foretold[known]
        scores[known] = pinball(truth, mean, sd * calibrated(truth - mean, sd))
    form = preferred(scores, block)
    chosen = next((smooth for smooth in sample.forms if smooth == form), None)
    return {name: float(score.mean()) for name, score in scores.items()}, chosen, foretold.get(form)


def calibrated(miss: NDArray[np.float64], sd: NDArray[np.float64]) -> float:
    """Return the factor that makes a 90 % band hold as many held-out rows as it should.

    Split conformal prediction on scaled residuals (Lei et al. 2018, doi:10.1080/01621459.2017.1307116).

    Parameters
    ----------
    miss, sd : ndarray of float64, shape (n,)
        Errors, and the standard deviations they were foretold with.

    Returns
    -------
    float
        Factor on the standard deviations.

    Examples
    --------
    >>> round(calibrated(np.random.default_rng(0).normal(size=9999), np.full(9999, 0.5)), 1)
    2.0
    """
    level = min(1.0, 0.9 * (1.0 + 1.0 / len(miss)))
    return float(np.quantile(np.abs(miss) / sd, level, method="higher")) / HALF


def pinball(
    truth: NDArray[np.float64],
    mean: NDArray[np.float64],
    sd: NDArray[np.float64],
    common: Callable[[NDArray[np.float64]], NDArray[np.float64]] = np.asarray,
) -> NDArray[np.float64]:
    """Return the score of normal forecasts, row by row: twice the mean pinball loss of nineteen quantiles.

    It nears the continuous ranked probability score (Gneiting and Raftery 2007, doi:10.1198/016214506000001437).

    Parameters
    ----------
    truth : ndarray of float64, shape (n,)
        What was seen, on the scale scores are told in.
    mean, sd : ndarray of float64, shape (n,)
        What was foretold, on the form's scale.
    common : callable
        A monotone map from the form's scale to that of ``truth``.

    Returns
    -------
    ndarray of float64, shape (n,)
        Scores; the smaller the better.

    Examples
    --------
    >>> pinball(np.array([0.0]), np.array([0.0]), np.array([1.0])).round(2).tolist()
    [0.24]
    """
    above = truth[:, None] - common(mean[:, None] + sd[:, None] * _QUANTILES)
    return np.asarray(2.0 * np.maximum(_LEVELS * above, (_LEVELS - 1.0) * above).mean(axis=1), dtype=np.float64)


def preferred(scores: Mapping[str, NDArray[np.float64]], block: NDArray[np.int64]) -> str:
    """Return the first form that is no clearly worse than the best: within one standard error over blocks.

    The one-standard-error rule of Breiman et al. (1984, section 3.4.3), on differences of the same blocks. Scores are
    taken as logs, so that a block hard for every form counts no more than another.

    Parameters
    ----------
    scores : mapping of str to ndarray of float64, shape (n,)
        Score of each row by form, the preferred forms first.
    block : ndarray of int64, shape (n,)
        Block of each row.

    Returns
    -------
    str
        The form.

    Examples
    --------
    >>> preferred({"spline": np.array([1.0, 1.1, 0.9]), "forest": np.array([0.2, 0.2, 0.3])}, np.arange(3))
    'forest'
    """
    kept = np.unique(block)
    by_block = {form: np.log(np.bincount(block, weights=score)[kept]) for form, score in scores.items()}
    best = min(scores, key=lambda form: float(by_block[form].mean()))
    for form, score in by_block.items():
        worse = score - by_block[best]
        if worse.mean() <= worse.std(ddof=1) / np.sqrt(len(worse)):
            return form
    return best


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """How well a form foretold rows held out.

    Parameters
    ----------
    noise : float
        Standard deviation of what no parent explains.
    factor : float
        Factor of :func:`calibrated`.
    usual : float
        Root mean square error.

    Examples
    --------
    >>> Known(noise=0.1, factor=1.2, usual=0.2).factor
    1.2
    """

    noise: float
    factor: float
    usual: float


def make_surface(
    form: Smooth,
    sample: Sample,
    known: Known,
    *,
    centre: float,
    scale: float,
    draws: int,
    seed: int,
) -> Surface:
    """Fit a form to rows, its band as wide as held-out rows asked for.

    Parameters
    ----------
    form : {"linear", "quadratic", "process", "forest"}
        The form.
    sample : Sample
        The rows, their outcome standardised.
    known : Known
        How well it foretold rows held out.
    centre, scale : float
        What the outcome was standardised with.
    draws : int
        Number of draws.
    seed : int
        Seed of the draws.

    Returns
    -------
    Surface
        The function.

    Examples
    --------
    >>> from causalrel.mechanisms.learners import straight_line
    >>> known = Known(noise=0.1, factor=1.0, usual=0.1)
    >>> surface = make_surface("linear", straight_line(), known, centre=0.0, scale=1.0, draws=4, seed=0)
    >>> bool(abs(surface.predictor({"load": np.array([12.5])}).mean() - 12.5) < 0.1)
    True
    """
    learner = learn(form, sample, seed)
    fitted = learner(sample)
    low, high = outermost(learner, sample)
    points, repeat = _repeats(sample)
    coarse, missed = combinations(learner, sample)
    combined = float(np.sqrt(max(missed**2 - known.usual**2, 0.0)))
    spread, noise = known.factor, known.factor * known.noise
    if sample.signs and spread > 1:
        # Draws wider than their trees could turn where no tree does, so what they lack goes into the noise.
        apart = fitted.predict(sample.domain.columns(sample.values))[1]
        spread, noise = 1.0, float(np.hypot(noise, np.sqrt((spread**2 - 1) * np.mean(apart**2))))
    return Surface(
        domain=sample.domain,
        function=fitted.draw(draws),
        centre=centre,
        scale=scale,
        noise=scale * noise,
        spread=spread,
        points=points,
        repeat=scale * repeat,
        coarse=coarse,
        combined=scale * combined,
        low=scale * low,
        high=scale * high,
        shift=np.random.default_rng([seed, 15]).standard_normal(draws),
    )


def _repeats(sample: Sample) -> tuple[NDArray[np.float64], float]:
    """Return the configurations seen, where most were seen again, and the noise of one more run of one of them."""
    x = np.round(sample.domain.columns(sample.values), 9)
    points, inverse, counts = np.unique(x, axis=0, return_inverse=True, return_counts=True)
    inverse = inverse.reshape(-1)
    if 2 * len(points) > len(x):
        return points[:0], 0.0
    mean = np.bincount(inverse, weights=sample.outcome) / counts
    again = counts[inverse] > 1
    size = counts[inverse][again]
    miss = (sample.outcome - mean[inverse])[again] * np.sqrt(size / (size - 1.0))
    return points, untold_noise(miss, np.zeros(len(miss)))
