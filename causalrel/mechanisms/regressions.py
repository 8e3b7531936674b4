"""Regressions: event rates and lines whose covariance allows for dependence between rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from causalrel.networks import expit

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Standard deviation of the normal prior on a standardised coefficient (Gelman et al. 2008, doi:10.1214/08-AOAS191).
_PRIOR_SD = 2.5
_STEPS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Coefficients:
    """A fitted linear predictor with a covariance that allows for dependence inside groups.

    Parameters
    ----------
    mean : ndarray of float64, shape (k,)
        Point estimate.
    root : ndarray of float64, shape (k, k)
        Cholesky factor of the covariance.
    freedom : float
        Degrees of freedom of the t distribution the draws follow.
    dispersion : float
        Pearson dispersion, or residual standard deviation.
    explained : float
        Share of deviance or variance explained.
    residuals : ndarray of float64, shape (n,)
        Pearson or raw residuals.

    Examples
    --------
    >>> x, y = np.ones((4, 1)), np.array([1.0, 2.0, 3.0, 4.0])
    >>> round(float(fit_line(x, y, np.arange(4)).mean[0]), 6)
    2.5
    """

    mean: NDArray[np.float64]
    root: NDArray[np.float64]
    freedom: float
    dispersion: float
    explained: float
    residuals: NDArray[np.float64]

    def draw(self, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw coefficients from a multivariate t.

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
        normal = rng.standard_normal((count, len(self.mean))) @ self.root.T
        spread = np.sqrt(self.freedom / rng.chisquare(self.freedom, size=count))
        draws: NDArray[np.float64] = self.mean + normal * spread[:, None]
        return draws


def fit_rate(
    x: NDArray[np.float64],
    bad: NDArray[np.float64],
    total: NDArray[np.float64],
    groups: NDArray[np.int64],
    freedom: float | None = None,
    *,
    few: bool = False,
) -> Coefficients:
    """Fit a logistic share of bad events with a covariance clustered by group.

    Newton steps on the penalised binomial likelihood (normal priors on coefficients, half a bad and half a good event
    at the mean row, so that zero or only bad events stay finite); covariance by the clustered sandwich (Liang and Zeger
    1986, doi:10.1093/biomet/73.1.13) with the few-groups factor G/(G-1), never below the binomial one.

    Parameters
    ----------
    x : ndarray of float64, shape (n, k)
        Design, the intercept first.
    bad, total : ndarray of float64, shape (n,)
        Event counts.
    groups : ndarray of int64, shape (n,)
        Group of each row; rows of different groups are independent.
    freedom : float, optional
        Degrees of freedom; number of groups less one where not given.
    few : bool
        Whether groups are few: the covariance is then the jackknife's, which leaves out one group at a time.

    Returns
    -------
    Coefficients
        The fit.

    Examples
    --------
    >>> x = np.ones((20, 1))
    >>> made = fit_rate(x, np.full(20, 5.0), np.full(20, 50.0), np.arange(20))
    >>> round(float(expit(made.mean)[0]), 2)
    0.1
    """
    x_all = np.vstack([x, x.mean(axis=0)])
    bad_all, total_all = np.append(bad, 0.5), np.append(total, 1.0)
    penalty = np.full(x.shape[1], _PRIOR_SD**-2)
    penalty[0] = 0.0
    beta = np.zeros(x.shape[1])
    rate = bad_all.sum() / total_all.sum()
    beta[0] = np.log(rate / (1 - rate))
    value = _penalised(beta, x_all, bad_all, total_all, penalty)
    for _ in range(_STEPS):
        p = expit(x_all @ beta)
        score = x_all.T @ (bad_all - total_all * p) - penalty * beta
        step = np.linalg.solve(_information(x_all, total_all * p * (1 - p), penalty), score)
        size = 1.0
        while (new := _penalised(beta + size * step, x_all, bad_all, total_all, penalty)) < value and size > 1e-4:
            size /= 2
        beta = beta + size * step
        if abs(new - value) < 1e-10 * (1 + abs(value)):
            break
        value = new
    p = expit(x @ beta)
    bread = _inverse(_information(x_all, np.append(total * p * (1 - p), 0.25), penalty))
    pearson = (bad - total * p) / np.sqrt(np.maximum(total * p * (1 - p), 1e-12))
    dispersion = float((pearson**2).sum() / max(1, len(bad) - x.shape[1]))
    scores = x * (bad - total * p)[:, None]
    weight = total * p * (1 - p)
    left_out = _jackknife(bread, x, weight, scores, groups) if few else _sandwich(bread, scores, groups)
    cov = _floored(left_out, bread)
    return Coefficients(
        mean=beta,
        root=_root(cov),
        freedom=freedom or _freedom(groups),
        dispersion=dispersion,
        explained=_deviance_explained(bad, total, p),
        residuals=pearson,
    )


def fit_line(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    groups: NDArray[np.int64],
    freedom: float | None = None,
    *,
    few: bool = False,
) -> Coefficients:
    """Fit a linear regression with a covariance clustered by group.

    Parameters
    ----------
    x : ndarray of float64, shape (n, k)
        Design, the intercept first.
    y : ndarray of float64, shape (n,)
        Outcome.
    groups : ndarray of int64, shape (n,)
        Group of each row; rows of different groups are independent.
    freedom : float, optional
        Degrees of freedom; number of groups less one where not given.
    few : bool
        Whether groups are few: the covariance is then the jackknife's, which leaves out one group at a time.

    Returns
    -------
    Coefficients
        The fit; the same sandwich as :func:`fit_rate`.

    Examples
    --------
    >>> x = np.column_stack([np.ones(3), [0.0, 1.0, 2.0]])
    >>> fit_line(x, np.array([1.0, 3.0, 5.0]), np.arange(3)).mean.round(3).tolist()
    [1.0, 2.0]
    """
    penalty = np.full(x.shape[1], 1e-6)
    penalty[0] = 0.0
    information = _information(x, np.ones(len(y)), penalty)
    beta = np.asarray(np.linalg.solve(information, x.T @ y), dtype=np.float64)
    residuals = y - x @ beta
    variance = float((residuals**2).sum() / max(1, len(y) - x.shape[1]))
    bread = _inverse(information)
    scores = x * residuals[:, None]
    left_out = _jackknife(bread, x, np.ones(len(y)), scores, groups) if few else _sandwich(bread, scores, groups)
    cov = _floored(left_out, bread * variance)
    spread = float(((y - y.mean()) ** 2).sum())
    return Coefficients(
        mean=beta,
        root=_root(cov),
        freedom=freedom or _freedom(groups),
        dispersion=float(np.sqrt(variance)),
        explained=0.0 if spread == 0 else float(1 - (residuals**2).sum() / spread),
        residuals=residuals,
    )


def memory(series: NDArray[np.float64]) -> float:
    """Return the integrated autocorrelation time of a regular series, in steps.

    Geyer's initial positive sequence (1992, doi:10.1214/ss/1177011137).

    Parameters
    ----------
    series : ndarray of float64, shape (n,)
        Residuals in time order.

    Returns
    -------
    float
        At least 1, which is no memory.

    Examples
    --------
    >>> memory(np.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0]))
    1.0
    """
    centred = series - series.mean()
    size = len(centred)
    power = float(centred @ centred)
    if size < 4 or power <= 0:
        return 1.0
    total = 1.0
    for lag in range(1, size // 3):
        rho = float(centred[:-lag] @ centred[lag:]) / power
        if rho < 2.0 / np.sqrt(size):
            break
        total += 2.0 * rho
    return total


def time_groups(step: NDArray[np.int64], residuals: NDArray[np.float64]) -> tuple[NDArray[np.int64], int]:
    """Group rows into time blocks long enough to be nearly independent, all units of a block together.

    Blocks span four integrated autocorrelation times of the residuals summed over units, but leave ten blocks.

    Parameters
    ----------
    step : ndarray of int64, shape (n,)
        Window number of each row.
    residuals : ndarray of float64, shape (n,)
        Residuals of a first fit.

    Returns
    -------
    groups : ndarray of int64, shape (n,)
        Block of each row.
    length : int
        Windows a block.

    Examples
    --------
    >>> groups, length = time_groups(np.arange(100), np.tile([1.0, -1.0], 50))
    >>> length, int(groups.max()) + 1
    (4, 25)
    """
    start = int(step.min())
    span = int(step.max()) - start + 1
    series = np.bincount(step - start, weights=residuals, minlength=span).astype(np.float64)
    length = max(1, min(int(np.ceil(4 * memory(series))), span // 10))
    return ((step - start) // length).astype(np.int64), length


def _penalised(
    beta: NDArray[np.float64],
    x: NDArray[np.float64],
    bad: NDArray[np.float64],
    total: NDArray[np.float64],
    penalty: NDArray[np.float64],
) -> float:
    eta = x @ beta
    return float((bad * eta - total * np.logaddexp(0.0, eta)).sum() - 0.5 * (penalty * beta**2).sum())


def _information(
    x: NDArray[np.float64], weights: NDArray[np.float64], penalty: NDArray[np.float64]
) -> NDArray[np.float64]:
    made: NDArray[np.float64] = (x * weights[:, None]).T @ x + np.diag(penalty + 1e-9 * (1 + weights.sum()))
    return made


def _sandwich(
    bread: NDArray[np.float64], scores: NDArray[np.float64], groups: NDArray[np.int64]
) -> NDArray[np.float64]:
    codes, inverse = np.unique(groups, return_inverse=True)
    sums = np.zeros((len(codes), scores.shape[1]))
    np.add.at(sums, inverse, scores)
    count = len(codes)
    made: NDArray[np.float64] = bread @ (sums.T @ sums) @ bread * (count / max(1, count - 1))
    return made


def _jackknife(
    bread: NDArray[np.float64],
    x: NDArray[np.float64],
    weights: NDArray[np.float64],
    scores: NDArray[np.float64],
    groups: NDArray[np.int64],
) -> NDArray[np.float64]:
    """One Newton step without each group in turn (the CR3 of Bell and McCaffrey 2002, Survey Methodology 28, 169)."""
    information = _inverse(bread)
    count = len(np.unique(groups))
    made = np.zeros_like(bread)
    for group in np.unique(groups):
        mine = groups == group
        without = information - (x[mine] * weights[mine, None]).T @ x[mine]
        least = 1e-9 * np.diag(np.diag(information))
        change = np.linalg.solve(without + least, scores[mine].sum(axis=0))
        made += np.outer(change, change)
    return made * (count - 1) / count


def _floored(cov: NDArray[np.float64], least: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the smallest covariance that gives no combination less variance than either of two does."""
    root = _root(least)
    inverse = _inverse(root)
    values, vectors = np.linalg.eigh(inverse @ cov @ inverse.T)
    lifted = root @ vectors
    return np.asarray((lifted * np.maximum(values, 1.0)) @ lifted.T, dtype=np.float64)


def _root(cov: NDArray[np.float64]) -> NDArray[np.float64]:
    size = np.sqrt(np.maximum(np.diag(cov), 1e-300))
    scaled = cov / size[:, None] / size[None, :]
    eye = np.eye(len(cov))
    try:
        root = np.linalg.cholesky(scaled + 1e-8 * eye)
    except np.linalg.LinAlgError:
        # Events that a column tells without a doubt leave rounding of either sign.
        root = np.linalg.cholesky(scaled + (1e-8 - 2 * np.linalg.eigvalsh(scaled)[0]) * eye)
    return np.asarray(root, dtype=np.float64) * size[:, None]


def _inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


def _freedom(groups: NDArray[np.int64]) -> float:
    return float(max(1, len(np.unique(groups)) - 1))


def _deviance_explained(bad: NDArray[np.float64], total: NDArray[np.float64], p: NDArray[np.float64]) -> float:
    rate = bad.sum() / max(total.sum(), 1.0)
    if rate in (0.0, 1.0):
        return 0.0

    def loss(q: NDArray[np.float64] | float) -> float:
        clipped = np.clip(q, 1e-12, 1 - 1e-12)
        return float(-(bad * np.log(clipped) + (total - bad) * np.log1p(-clipped)).sum())

    share = np.where(total > 0, bad / np.maximum(total, 1.0), 0.0)
    room = loss(rate) - loss(share)
    return 0.0 if room <= 0 else (loss(rate) - loss(p)) / room
