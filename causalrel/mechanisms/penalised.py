"""Penalised least squares of rows that remember, and the likelihood of how much they do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from causalrel.mechanisms.chains import whiten
from causalrel.networks import expit

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Mean and standard deviation of the normal priors on the log odds of memory, the log variance of the chain and the log
#: variance of independent noise; for a line variances are relative to that noise. They hardly weigh against data.
PRIORS = ((1.5, 2.5), (-1.0, 3.0), (-3.0, 2.0))
_MOST_MEMORY = 0.9995
#: Prior precision of a coefficient that is not shrunk: of a line, and of log odds (Gelman et al. 2008,
#: doi:10.1214/08-AOAS191); the intercept has the former.
_FLAT, _FLAT_ODDS = 1e-6, 2.5**-2
#: Usual squared change of slope at a hinge, weighed as one hinge, so that no group is shrunk to nothing.
_USUAL = 0.05
_TURNS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Columns and response in the order of a chain.

    Parameters
    ----------
    columns : ndarray of float64, shape (n, k + 1)
        Design, the intercept first, and the response last.
    groups : ndarray of int64, shape (k,)
        Group that each column is shrunk with; -1 for those that are not.
    gap : ndarray of int64, shape (n,)
        As in :class:`causalrel.mechanisms.chains.Chain`.
    noise : ndarray of float64, shape (n,), or None
        Working variance of each row's response; None for a line, whose noise has one unknown variance.
    out : ndarray of float64, shape (n, k + 1)
        Room for the whitened columns, overwritten at every setting.

    Examples
    --------
    >>> rows = make_rows(np.ones((4, 1)), np.array([-1]), np.arange(4.0), np.array([-1, 1, 1, 1]), None)
    >>> rows.counted(np.array([0.0, 0.0]))[0].shape
    (2, 2)
    """

    columns: NDArray[np.float64]
    groups: NDArray[np.int64]
    gap: NDArray[np.int64]
    noise: NDArray[np.float64] | None
    out: NDArray[np.float64]

    def answering(self, z: NDArray[np.float64], noise: NDArray[np.float64]) -> Rows:
        """Put another response in the place of this one, which is lost.

        Parameters
        ----------
        z : ndarray of float64, shape (n,)
            Response.
        noise : ndarray of float64, shape (n,)
            Its working variance.

        Returns
        -------
        Rows
            The rows, their columns shared.
        """
        self.columns[:, -1] = z
        return replace(self, noise=noise)

    def variances(self, setting: NDArray[np.float64]) -> tuple[float, float, NDArray[np.float64]]:
        """Return memory, variance of the chain and of each row's own noise.

        Parameters
        ----------
        setting : ndarray of float64
            Log odds of memory, log variance of the chain, and of rates log variance of independent noise.

        Returns
        -------
        memory, variance : float
            Correlation at one step, and variance of the state.
        own : ndarray of float64, shape (n,)
            Variance of what a row does not share.
        """
        memory = float(_MOST_MEMORY * expit(setting[:1])[0])
        own = np.ones(len(self.gap)) if self.noise is None else self.noise + np.exp(setting[2])
        return memory, float(np.exp(setting[1])), own

    def counted(self, setting: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
        """Return cross-products of the whitened columns, and the log determinant of the noise.

        Parameters
        ----------
        setting : ndarray of float64
            As for :meth:`variances`.

        Returns
        -------
        crossed : ndarray of float64, shape (k + 1, k + 1)
            Cross-products.
        total : float
            Log determinant.
        """
        memory, variance, own = self.variances(setting)
        total = whiten(self.columns, self.gap, own, memory, variance, self.out)
        return self.out.T @ self.out, total


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Coefficients at one setting.

    Parameters
    ----------
    score : float
        Log posterior of the setting, up to a constant.
    mean : ndarray of float64, shape (k,)
        Coefficients.
    root : ndarray of float64, shape (k, k)
        A root of their covariance.
    scale : float
        Variance of the noise of a line; 1 for rates.

    Examples
    --------
    >>> Fit(score=0.0, mean=np.zeros(1), root=np.eye(1), scale=1.0).scale
    1.0
    """

    score: float
    mean: NDArray[np.float64]
    root: NDArray[np.float64]
    scale: float


def make_rows(
    x: NDArray[np.float64],
    groups: NDArray[np.int64],
    z: NDArray[np.float64],
    gap: NDArray[np.int64],
    noise: NDArray[np.float64] | None,
) -> Rows:
    """Put columns and response together.

    Parameters
    ----------
    x : ndarray of float64, shape (n, k)
        Design.
    groups, gap, noise
        As in :class:`Rows`.
    z : ndarray of float64, shape (n,)
        Response.

    Returns
    -------
    Rows
        The rows.

    Examples
    --------
    >>> rows = make_rows(np.ones((4, 1)), np.array([-1]), np.arange(4.0), np.array([-1, 1, 1, 1]), None)
    >>> rows.columns[1].tolist()
    [1.0, 1.0]
    """
    columns = np.column_stack([x, z])
    return Rows(columns=columns, groups=groups, gap=gap, noise=noise, out=np.empty_like(columns))


def remainder(rows: Rows, fit: Fit) -> Rows:
    """Return what coefficients leave of the response, with no column but the intercept.

    Parameters
    ----------
    rows : Rows
        Columns and response.
    fit : Fit
        The coefficients.

    Returns
    -------
    Rows
        What is left.

    Examples
    --------
    >>> rows = make_rows(np.ones((4, 1)), np.array([-1]), np.arange(4.0), np.array([-1, 1, 1, 1]), None)
    >>> remainder(rows, Fit(score=0.0, mean=np.ones(1), root=np.eye(1), scale=1.0)).columns[:, -1].tolist()
    [-1.0, 0.0, 1.0, 2.0]
    """
    left = rows.columns[:, -1] - rows.columns[:, :-1] @ fit.mean
    return make_rows(np.ones((len(left), 1)), np.array([-1]), left, rows.gap, rows.noise)


def _precision(rows: Rows, priors: NDArray[np.float64]) -> NDArray[np.float64]:
    made = np.where(
        rows.groups < 0, _FLAT if rows.noise is None else _FLAT_ODDS, 1 / np.append(priors, 1.0)[rows.groups]
    )
    made[0] = _FLAT
    return made


def solve(
    rows: Rows, setting: NDArray[np.float64], priors: NDArray[np.float64], crossed: NDArray[np.float64], logdet: float
) -> Fit:
    """Solve the penalised least squares of whitened columns, and score the setting by the restricted likelihood.

    Patterson and Thompson (1971, doi:10.1093/biomet/58.3.545), with normal priors on the setting.

    Parameters
    ----------
    rows : Rows
        Columns and response.
    setting : ndarray of float64
        Log odds of memory, log variance of the chain, and of rates log variance of independent noise.
    priors : ndarray of float64, shape (g,)
        Prior variance of each group.
    crossed : ndarray of float64, shape (k + 1, k + 1)
        Cross-products of the whitened columns.
    logdet : float
        Log determinant of the noise.

    Returns
    -------
    Fit
        The coefficients.

    Examples
    --------
    >>> rows = make_rows(np.ones((4, 1)), np.array([-1]), np.arange(4.0), np.array([-1, 1, 1, 1]), None)
    >>> setting = np.array([-9.0, -9.0])
    >>> round(float(solve(rows, setting, np.zeros(0), *rows.counted(setting)).mean[0]), 2)
    1.5
    """
    from scipy.linalg import solve_triangular

    precision = _precision(rows, priors)
    lower = np.linalg.cholesky(crossed[:-1, :-1] + np.diag(precision))
    half = solve_triangular(lower, crossed[:-1, -1], lower=True)
    loss = max(float(crossed[-1, -1] - half @ half), 1e-12)
    log_terms = logdet + 2 * float(np.log(np.diag(lower)).sum()) - float(np.log(precision).sum())
    freedom = len(rows.gap) - int((rows.groups < 0).sum())
    scale = loss / freedom if rows.noise is None else 1.0
    fit = freedom * np.log(scale) if rows.noise is None else loss
    prior = sum(((at - mean) / sd) ** 2 for at, (mean, sd) in zip(setting, PRIORS, strict=False))
    inverse = np.asarray(solve_triangular(lower, np.eye(len(lower)), lower=True), dtype=np.float64)
    return Fit(
        score=-0.5 * (log_terms + fit + prior), mean=inverse.T @ half, root=np.sqrt(scale) * inverse.T, scale=scale
    )


def smoothness(rows: Rows, crossed: NDArray[np.float64], priors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn the prior variances of groups towards the maximum of the restricted likelihood.

    The Fellner-Schall step (Wood and Fasiolo 2017, doi:10.1111/biom.12666), with a usual size weighed in.

    Parameters
    ----------
    rows : Rows
        Columns and response.
    crossed : ndarray of float64, shape (k + 1, k + 1)
        Cross-products of the whitened columns.
    priors : ndarray of float64, shape (g,)
        Prior variance of each group.

    Returns
    -------
    ndarray of float64, shape (g,)
        Better ones.

    Examples
    --------
    >>> rows = make_rows(np.ones((4, 1)), np.array([-1]), np.arange(4.0), np.array([-1, 1, 1, 1]), None)
    >>> smoothness(rows, rows.counted(np.array([0.0, 0.0]))[0], np.zeros(0)).size
    0
    """
    for _ in range(_TURNS):
        fit = solve(rows, np.zeros(0), priors, crossed, 0.0)
        covariance = (fit.root**2).sum(axis=1) / fit.scale
        made = priors.copy()
        for group in range(len(priors)):
            mine = rows.groups == group
            free = max(mine.sum() - covariance[mine].sum() / priors[group], 0.0)
            made[group] = ((fit.mean[mine] ** 2).sum() + _USUAL) / (free + 1) / fit.scale
        settled = np.abs(np.log(made / priors)).max(initial=0.0) < 0.1
        priors = made
        if settled:
            break
    return priors


def fit_at(rows: Rows, setting: NDArray[np.float64], priors: NDArray[np.float64]) -> Fit:
    """Solve at one setting.

    Parameters
    ----------
    rows : Rows
        Columns and response.
    setting : ndarray of float64
        Log odds of memory, log variance of the chain, and of rates log variance of independent noise.
    priors : ndarray of float64, shape (g,)
        Prior variance of each group.

    Returns
    -------
    Fit
        The coefficients.

    Examples
    --------
    >>> rows = make_rows(np.ones((4, 1)), np.array([-1]), np.arange(4.0), np.array([-1, 1, 1, 1]), None)
    >>> fit_at(rows, np.array([0.0, 0.0]), np.zeros(0)).mean.shape
    (1,)
    """
    return solve(rows, setting, priors, *rows.counted(setting))
