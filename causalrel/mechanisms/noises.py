"""Noises: how much rows remember, found by climbing the likelihood of their penalised least squares."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from causalrel.mechanisms.chains import Chain, chain_of
from causalrel.mechanisms.penalised import PRIORS, Fit, Rows, fit_at, make_rows, remainder

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STEP = 0.15
_NEAR = 1e-3
_FLATTEST = 0.15

#: Memory, variances and smoothness of more rows than twice the stretches hold are learnt from these stretches.
_STRETCHES, _STRETCH = 4, 4096


def best_setting(rows: Rows, setting: NDArray[np.float64], priors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Maximise the score over memory and variances.

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
    ndarray of float64
        The best setting found, from the one given.

    Examples
    --------
    >>> from causalrel.mechanisms.penalised import make_rows
    >>> rows = make_rows(np.ones((4, 1)), np.array([-1]), np.arange(4.0), np.array([-1, 1, 1, 1]), None)
    >>> best_setting(rows, np.array([0.0, 0.0]), np.zeros(0)).shape
    (2,)
    """
    from scipy.optimize import minimize

    found = minimize(
        lambda at: -fit_at(rows, at, priors).score,
        setting,
        method="BFGS",
        options={"gtol": 0.05, "maxiter": 30, "eps": 1e-3},
    )
    return np.asarray(np.clip(found.x, -12.0, 12.0), dtype=np.float64)


def climb(rows: Rows, setting: NDArray[np.float64], priors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take one Newton step up the score, with the curvature of what the coefficients leave.

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
    ndarray of float64
        The better of the setting given and the one stepped to.

    Examples
    --------
    >>> from causalrel.mechanisms.penalised import make_rows
    >>> rows = make_rows(np.ones((4, 1)), np.array([-1]), np.arange(4.0), np.array([-1, 1, 1, 1]), None)
    >>> start = np.array([0.0, 0.0])
    >>> best = climb(rows, start, np.zeros(0))
    >>> bool(fit_at(rows, best, np.zeros(0)).score > fit_at(rows, start, np.zeros(0)).score)
    True
    """
    fit = fit_at(rows, setting, priors)
    ahead = [fit_at(rows, setting + _NEAR * one, priors).score for one in np.eye(len(setting))]
    values, vectors = steepness(rows, setting, fit)
    step = vectors @ (vectors.T @ (np.array(ahead) - fit.score) / _NEAR / values)
    to = np.clip(setting + np.clip(step, -1.0, 1.0), -12.0, 12.0)
    return to if fit_at(rows, to, priors).score > fit.score else setting


def steepness(rows: Rows, setting: NDArray[np.float64], fit: Fit) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the axes of the score around a setting and its curvature along each, coefficients held.

    Parameters
    ----------
    rows : Rows
        Columns and response.
    setting : ndarray of float64, shape (m,)
        Where.
    fit : Fit
        The coefficients there.

    Returns
    -------
    values : ndarray of float64, shape (m,)
        Curvature along each axis, never nearly flat.
    vectors : ndarray of float64, shape (m, m)
        An axis a column.

    Examples
    --------
    >>> from causalrel.mechanisms.penalised import make_rows
    >>> rows = make_rows(np.ones((4, 1)), np.array([-1]), np.arange(4.0), np.array([-1, 1, 1, 1]), None)
    >>> start = np.array([0.0, 0.0])
    >>> steepness(rows, start, fit_at(rows, start, np.zeros(0)))[0].shape
    (2,)
    """
    left = remainder(rows, fit)
    values, vectors = np.linalg.eigh(curvature(lambda at: fit_at(left, at, np.zeros(0)).score, setting))
    return np.maximum(values, _FLATTEST), vectors


def curvature(score: Callable[[NDArray[np.float64]], float], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the negative second derivatives of a score, by differences.

    Parameters
    ----------
    score : callable
        From a setting to a number.
    at : ndarray of float64, shape (m,)
        Where.

    Returns
    -------
    ndarray of float64, shape (m, m)
        The curvature.

    Examples
    --------
    >>> curvature(lambda at: -float(at @ at), np.zeros(2)).round(6).tolist()
    [[2.0, 0.0], [0.0, 2.0]]
    """
    steps = _STEP * np.eye(len(at))
    centre, up, down = score(at), [score(at + step) for step in steps], [score(at - step) for step in steps]
    made = np.empty((len(at), len(at)))
    for i in range(len(at)):
        made[i, i] = (2 * centre - up[i] - down[i]) / _STEP**2
        for j in range(i):
            both = score(at + steps[i] + steps[j]) + score(at - steps[i] - steps[j])
            made[i, j] = made[j, i] = -(both - up[i] - up[j] - down[i] - down[j] + 2 * centre) / (2 * _STEP**2)
    return made


def nearest_chain(left: NDArray[np.float64], step: NDArray[np.int64], unit: NDArray[np.str_]) -> Chain:
    """Choose by likelihood whether units share what they remember.

    Parameters
    ----------
    left : ndarray of float64, shape (n,)
        Residuals of a first fit.
    step : ndarray of int64, shape (n,)
        Window number of each row.
    unit : ndarray of str, shape (n,)
        Unit of each row.

    Returns
    -------
    Chain
        One chain for all units, or one a unit.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> noise = np.repeat(np.cumsum(rng.normal(size=50)), 2)
    >>> nearest_chain(noise, np.repeat(np.arange(50), 2), np.tile(["a", "b"], 50)).gap[:3].tolist()
    [-1, 0, 1]
    """
    shared = chain_of(step, unit, shared=True)
    if len(np.unique(unit)) < 2:
        return shared
    scores = []
    chains = (shared, chain_of(step, unit, shared=False))
    start = np.array([mean for mean, _ in PRIORS[:2]])
    for chain in chains:
        part, gap = stretches(chain.gap)
        rows = make_rows(np.ones((len(part), 1)), np.array([-1]), left[chain.order][part] / left.std(), gap, None)
        scores.append(fit_at(rows, best_setting(rows, start, np.zeros(0)), np.zeros(0)).score)
    return chains[int(np.argmax(scores))]


def stretches(gap: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Choose the rows of a chain that its noise is learnt from: all of them, or stretches spaced evenly.

    Parameters
    ----------
    gap : ndarray of int64, shape (n,)
        As in :class:`causalrel.mechanisms.chains.Chain`.

    Returns
    -------
    rows : ndarray of intp, shape (m,)
        The rows.
    gap : ndarray of int64, shape (m,)
        Their gaps, each stretch a chain of its own.

    Examples
    --------
    >>> [len(part) for part in stretches(np.ones(100_000, dtype=np.int64))]
    [16384, 16384]
    """
    if len(gap) <= 2 * _STRETCHES * _STRETCH:
        return np.arange(len(gap)), gap
    starts = np.linspace(0, len(gap) - _STRETCH, _STRETCHES).astype(np.intp)
    chosen = (starts[:, None] + np.arange(_STRETCH)).ravel()
    made = gap[chosen]
    made[::_STRETCH] = -1
    return chosen, made
