"""Mixed regressions: event rates and lines whose noise remembers, with smoothness learnt from the data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from causalrel.mechanisms.chains import Chain, smooth, whiten
from causalrel.mechanisms.noises import best_setting, climb, steepness, stretches
from causalrel.mechanisms.penalised import PRIORS, Fit, Rows, fit_at, make_rows, remainder, smoothness, solve
from causalrel.networks import expit

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROUNDS = 12
_LAST_ROUNDS = 2
_TURNS_OF_NOISE = (0, 1, 3)
_SETTLED = 0.02
_LAST_CLIMBS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixed:
    """A fitted linear predictor whose noise is a chain plus independent noise.

    Parameters
    ----------
    weights : ndarray of float64, shape (m,)
        Posterior weight of each setting of memory and variances.
    means : ndarray of float64, shape (m, k)
        Coefficients under each.
    roots : ndarray of float64, shape (m, k, k)
        A root of their covariance under each.
    eta : ndarray of float64, shape (n,)
        Each row's own linear predictor, its share of the noise in it.
    spread : ndarray of float64, shape (n,)
        Variance of that share.
    memory : float
        Correlation of the chain at one step.
    variances : tuple of float
        Variance of the chain and of independent noise.
    whitened : ndarray of float64, shape (n, k + 1)
        Columns and residual with the memory filtered out, in the rows' own order.
    crossed : ndarray of float64, shape (k + 1, k + 1)
        Their cross-products.
    watched : ndarray of float64, shape (n, j)
        Further columns, filtered likewise.

    Examples
    --------
    >>> from causalrel.mechanisms.chains import chain_of
    >>> rng = np.random.default_rng(0)
    >>> x = np.column_stack([np.ones(200), np.arange(200) % 2])
    >>> chain = chain_of(np.arange(200), np.full(200, "a"), shared=True)
    >>> made = fit_mixed(x, np.array([-1, -1]), x @ [1.0, 2.0] + rng.normal(size=200), None, chain)
    >>> abs(made.means[0][1] - 2) < 0.5
    np.True_
    """

    weights: NDArray[np.float64]
    means: NDArray[np.float64]
    roots: NDArray[np.float64]
    eta: NDArray[np.float64]
    spread: NDArray[np.float64]
    memory: float
    variances: tuple[float, float]
    whitened: NDArray[np.float64]
    crossed: NDArray[np.float64]
    watched: NDArray[np.float64]

    def draw(self, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw coefficients from the mixture of normals.

        Parameters
        ----------
        count : int
            Number of draws.
        rng : numpy.random.Generator
            Generator handed down.

        Returns
        -------
        ndarray of float64, shape (count, k)
            Joint draws.
        """
        which = np.repeat(np.arange(len(self.weights)), rng.multinomial(count, self.weights))
        normal = rng.standard_normal((count, self.means.shape[1]))
        made = np.empty_like(normal)
        for one in np.unique(which):
            mine = which == one
            made[mine] = self.means[one] + normal[mine] @ self.roots[one].T
        return np.asarray(rng.permutation(made), dtype=np.float64)

    def influence(self, contrast: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what each row's residual, its memory filtered out, adds to the estimate of a contrast.

        Parameters
        ----------
        contrast : ndarray of float64, shape (k,)
            Weights of the coefficients.

        Returns
        -------
        ndarray of float64, shape (n,)
            One a row.
        """
        root = self.roots[int(np.argmax(self.weights))]
        return np.asarray(self.whitened[:, :-1] @ (root @ (root.T @ contrast)) * self.whitened[:, -1])

    def apart(self, place: int) -> NDArray[np.float64]:
        """Return what the fitted columns do not tell of a watched one.

        Parameters
        ----------
        place : int
            Place of the watched column.

        Returns
        -------
        ndarray of float64, shape (n,)
            Its residual.
        """
        x, column, inner = self.whitened[:, :-1], self.watched[:, place], self.crossed[:-1, :-1]
        ridge = 1e-8 * np.diag(np.diag(inner) + 1e-300)
        return np.asarray(column - x @ np.linalg.solve(inner + ridge, x.T @ column), dtype=np.float64)

    def excess(self, contrast: NDArray[np.float64], groups: NDArray[np.int64]) -> float:
        """Compare the standard error of a contrast that allows for anything inside groups with the model's own.

        The clustered sandwich on what is left once memory is filtered out (Liang and Zeger 1986,
        doi:10.1093/biomet/73.1.13), with the few-groups factor G/(G-1).

        Parameters
        ----------
        contrast : ndarray of float64, shape (k,)
            Weights of the coefficients.
        groups : ndarray of int64, shape (n,)
            Group of each row.

        Returns
        -------
        float
            Ratio of the two, never below 1.
        """
        root = self.roots[int(np.argmax(self.weights))]
        own = float(np.linalg.norm(root.T @ contrast))
        sums = np.bincount(np.unique(groups, return_inverse=True)[1], weights=self.influence(contrast))
        if own <= 0 or len(sums) < 2:
            return 1.0
        return max(1.0, float(np.sqrt((sums**2).sum() * len(sums) / (len(sums) - 1))) / own)


def fit_mixed(
    x: NDArray[np.float64],
    groups: NDArray[np.int64],
    bad: NDArray[np.float64],
    total: NDArray[np.float64] | None,
    chain: Chain,
    watched: NDArray[np.float64] | None = None,
) -> Mixed:
    """Fit event rates, or a line, whose noise is a first-order autoregression plus independent noise.

    Columns of one group share a normal prior whose variance is learnt by the Fellner-Schall step (Wood and Fasiolo
    2017, doi:10.1111/biom.12666), which makes hinges a penalised spline. Rates are fitted by penalised quasi-likelihood
    (Breslow and Clayton 1993, doi:10.1080/01621459.1993.10594284). Memory and variances maximise the restricted
    likelihood; their uncertainty enters by cubature points around the maximum (Arasaratnam and Haykin 2009,
    doi:10.1109/TAC.2009.2019800), weighted by their posterior as in Rue, Martino and Chopin (2009,
    doi:10.1111/j.1467-9868.2008.00700.x).

    Parameters
    ----------
    x : ndarray of float64, shape (n, k)
        Design, the intercept first.
    groups : ndarray of int64, shape (k,)
        Group of each column from 0 up; -1 for those that are not shrunk.
    bad : ndarray of float64, shape (n,)
        Bad events, or a numeric outcome.
    total : ndarray of float64, shape (n,), or None
        Events; None for a numeric outcome.
    chain : Chain
        Which rows remember which.
    watched : ndarray of float64, shape (n, j), optional
        Columns that are not fitted but filtered as the others are.

    Returns
    -------
    Mixed
        The fit, rows in the order given.

    Examples
    --------
    >>> from causalrel.mechanisms.chains import chain_of
    >>> chain = chain_of(np.arange(60), np.full(60, "a"), shared=True)
    >>> made = fit_mixed(np.ones((60, 1)), np.array([-1]), np.full(60, 5.0), np.full(60, 50.0), chain)
    >>> round(float(expit(made.means[0])[0]), 1)
    0.1
    """
    beside = np.zeros((len(bad), 0)) if watched is None else watched
    size = float(bad.std()) or 1.0 if total is None else 1.0
    chained = bool(np.all(np.diff(chain.order) == 1))
    if not chained:
        x, bad, beside = x[chain.order], bad[chain.order], beside[chain.order]
        total = None if total is None else total[chain.order]
    if total is None:
        fitted = _scaled(_line(x, groups, bad / size, chain.gap, beside), size)
    else:
        fitted = _rate(x, groups, bad, total, chain.gap, beside)
    if chained:
        return fitted
    back = np.argsort(chain.order, kind="stable")
    return replace(
        fitted,
        eta=fitted.eta[back],
        spread=fitted.spread[back],
        whitened=fitted.whitened[back],
        watched=fitted.watched[back],
    )


def _scaled(fitted: Mixed, size: float) -> Mixed:
    """Put a line of an outcome that was divided by a size back in its unit."""
    sizes = np.append(np.ones(len(fitted.crossed) - 1), size)
    return replace(
        fitted,
        means=fitted.means * size,
        roots=fitted.roots * size,
        eta=fitted.eta * size,
        spread=fitted.spread * size**2,
        variances=(fitted.variances[0] * size**2, fitted.variances[1] * size**2),
        whitened=fitted.whitened / sizes,
        crossed=fitted.crossed / np.outer(sizes, sizes),
    )


def _line(
    x: NDArray[np.float64],
    groups: NDArray[np.int64],
    y: NDArray[np.float64],
    gap: NDArray[np.int64],
    beside: NDArray[np.float64],
) -> Mixed:
    part, its_gap = stretches(gap)
    rows = make_rows(x[part], groups, y[part], its_gap, None)
    priors = np.ones(int(groups.max()) + 1)
    setting = np.array([mean for mean, _ in PRIORS[:2]])
    for _ in range(3):
        crossed, logdet = rows.counted(setting)
        priors = smoothness(rows, crossed, priors)
        fit = solve(rows, setting, priors, crossed, logdet)
        setting = best_setting(remainder(rows, fit), setting, np.zeros(0))
    if len(part) < len(y):
        return _mixture(make_rows(x, groups, y, gap, None), setting, priors, beside, known=True)
    return _mixture(rows, setting, priors, beside)


def _rate(
    x: NDArray[np.float64],
    groups: NDArray[np.int64],
    bad: NDArray[np.float64],
    total: NDArray[np.float64],
    gap: NDArray[np.int64],
    beside: NDArray[np.float64],
) -> Mixed:
    part, its_gap = stretches(gap)
    rows = make_rows(x[part], groups, bad[part], its_gap, None)
    eta, setting, priors, fit = _settle(rows, bad[part], total[part])
    if len(part) == len(bad):
        return _mixture(_linearised(rows, bad, total, eta), setting, priors, beside)
    rows = make_rows(x, groups, bad, gap, None)
    eta = x @ fit.mean
    for _ in range(_LAST_ROUNDS):
        rows = _linearised(rows, bad, total, eta)
        fit = fit_at(rows, setting, priors)
        eta = eta + np.clip(_told(rows, setting, fit)[0] - eta, -3.0, 3.0)
    return _mixture(_linearised(rows, bad, total, eta), setting, priors, beside, known=True)


def _settle(
    rows: Rows, bad: NDArray[np.float64], total: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], Fit]:
    """Turn between coefficients, noise and smoothness until each row's predictor moves no more."""
    rate = bad.sum() / total.sum()
    share = 0.5 * (bad + 0.5) / (total + 1.0) + 0.5 * rate
    eta = np.log(share / (1 - share))
    priors = np.ones(int(rows.groups.max()) + 1)
    setting = np.array([mean for mean, _ in PRIORS])
    for turn in range(_ROUNDS):
        rows = _linearised(rows, bad, total, eta)
        crossed, logdet = rows.counted(setting)
        priors = smoothness(rows, crossed, priors)
        fit = solve(rows, setting, priors, crossed, logdet)
        if turn in _TURNS_OF_NOISE:
            setting = best_setting(remainder(rows, fit), setting, np.zeros(0))
        told = _told(rows, setting, fit)[0]
        step = np.clip(told - eta, -3.0, 3.0)
        eta = eta + step
        if turn > max(_TURNS_OF_NOISE) and np.abs(step).max() < _SETTLED:
            break
    return eta, setting, priors, fit


def _linearised(rows: Rows, bad: NDArray[np.float64], total: NDArray[np.float64], eta: NDArray[np.float64]) -> Rows:
    share = expit(eta)
    weight = np.maximum(total * share * (1 - share), 1e-6)
    return rows.answering(eta + (bad - total * share) / weight, 1 / weight)


def _told(rows: Rows, setting: NDArray[np.float64], fit: Fit) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Tell each row's own linear predictor and its variance given coefficients."""
    memory, variance, own = rows.variances(setting)
    line = rows.columns[:, :-1] @ fit.mean
    left = rows.columns[:, -1] - line
    state, spread = smooth(left, rows.gap, own, memory, variance)
    share = np.ones(len(line)) if rows.noise is None else 1 - rows.noise / own
    extra = 0.0 if rows.noise is None else share * rows.noise
    return line + state + share * (left - state), (1 - share) ** 2 * spread + extra


def _mixture(
    rows: Rows,
    setting: NDArray[np.float64],
    priors: NDArray[np.float64],
    beside: NDArray[np.float64],
    *,
    known: bool = False,
) -> Mixed:
    """Average over settings around the best; over the one given where that is known."""
    for _ in range(0 if known else _LAST_CLIMBS):
        setting = climb(rows, setting, priors)
    crossed, logdet = rows.counted(setting)
    fit = solve(rows, setting, priors, crossed, logdet)
    whitened = rows.out if known else rows.out.copy()
    whitened[:, -1] -= whitened[:, :-1] @ fit.mean
    leaves = np.eye(len(crossed))
    leaves[:-1, -1] = -fit.mean
    if rows.noise is None:
        whitened[:, -1] /= fit.scale
        leaves[:, -1] /= fit.scale
    fits = [fit]
    if not known:
        values, vectors = steepness(rows, setting, fit)
        reach = vectors * np.sqrt(len(setting) / values)
        fits = [fit_at(rows, point, priors) for point in [*(setting + reach.T), *(setting - reach.T)]]
    weights = np.exp(np.array([one.score for one in fits]) - max(one.score for one in fits))
    eta, spread = _told(rows, setting, fit)
    memory, variance, own = rows.variances(setting)
    watched = np.empty_like(beside)
    whiten(np.ascontiguousarray(beside), rows.gap, own, memory, variance, watched)
    return Mixed(
        weights=weights / weights.sum(),
        means=np.array([one.mean for one in fits]),
        roots=np.array([one.root for one in fits]),
        eta=eta,
        spread=spread * fit.scale,
        memory=memory,
        variances=(variance * fit.scale, fit.scale if rows.noise is None else float((own - rows.noise)[0])),
        whitened=whitened,
        crossed=leaves.T @ crossed @ leaves,
        watched=watched,
    )
