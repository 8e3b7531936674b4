"""Chains: an autoregression of rows along time, filtered out of columns or told from them.

Only mixed regressions import this module, because numba loads with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Rows in an order in which each remembers the one before.

    Parameters
    ----------
    order : ndarray of intp, shape (n,)
        The rows, chain by chain and in time.
    gap : ndarray of int64, shape (n,)
        Steps since the row before in that order; -1 where a chain begins.

    Examples
    --------
    >>> chain_of(np.array([0, 1, 0, 3]), np.array(["a", "a", "b", "b"]), shared=False).gap.tolist()
    [-1, 1, -1, 3]
    """

    order: NDArray[np.intp]
    gap: NDArray[np.int64]


def chain_of(step: NDArray[np.int64], unit: NDArray[np.str_], *, shared: bool) -> Chain:
    """Put rows in the order of one chain for all units, or of one chain a unit.

    Parameters
    ----------
    step : ndarray of int64, shape (n,)
        Window number of each row.
    unit : ndarray of str, shape (n,)
        Unit of each row.
    shared : bool
        Whether rows of all units at one time share one state.

    Returns
    -------
    Chain
        The order and its gaps.

    Examples
    --------
    >>> chain_of(np.array([0, 1, 0, 1]), np.array(["a", "a", "b", "b"]), shared=True).gap.tolist()
    [-1, 0, 1, 0]
    """
    codes = np.unique(unit, return_inverse=True)[1]
    order = np.lexsort((codes, step)) if shared else np.lexsort((step, codes))
    gap = np.diff(step[order], prepend=step[order[:1]])
    gap[0] = -1
    if not shared:
        gap[1:][np.diff(codes[order]) != 0] = -1
    return Chain(order=order, gap=gap)


@njit(cache=True, nogil=True)
def whiten(
    columns: NDArray[np.float64],
    gap: NDArray[np.int64],
    noise: NDArray[np.float64],
    memory: float,
    variance: float,
    out: NDArray[np.float64],
) -> float:
    """Filter a first-order autoregression plus independent noise out of columns (Kalman 1960, doi:10.1115/1.3662552).

    Parameters
    ----------
    columns : ndarray of float64, shape (n, k)
        Columns in the order of a chain.
    gap : ndarray of int64, shape (n,)
        As in :class:`Chain`.
    noise : ndarray of float64, shape (n,)
        Variance of what each row does not share with the next.
    memory, variance : float
        Correlation of the state at one step, and its variance.
    out : ndarray of float64, shape (n, k)
        Receives the one-step errors over their standard deviations.

    Returns
    -------
    float
        Log determinant of the covariance of a column.
    """
    count, width = columns.shape
    state, left, total = np.zeros(width), variance, 0.0
    for row in range(count):
        if gap[row] < 0:
            state[:] = 0.0
            left = variance
        elif gap[row] > 0:
            kept = memory ** gap[row]
            state *= kept
            left = kept * kept * left + (1 - kept * kept) * variance
        spread = left + noise[row]
        scale, gain = 1 / np.sqrt(spread), left / spread
        total += np.log(spread)
        for column in range(width):
            surprise = columns[row, column] - state[column]
            out[row, column] = surprise * scale
            state[column] += gain * surprise
        left -= gain * left
    return total


@njit(cache=True, nogil=True)
def smooth(
    column: NDArray[np.float64],
    gap: NDArray[np.int64],
    noise: NDArray[np.float64],
    memory: float,
    variance: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Tell the state behind one column, all of it known (Rauch, Tung and Striebel 1965, doi:10.2514/3.3166).

    Parameters
    ----------
    column : ndarray of float64, shape (n,)
        In the order of a chain.
    gap, noise, memory, variance
        As for :func:`whiten`.

    Returns
    -------
    mean, spread : ndarray of float64, shape (n,)
        Mean and variance of the state at each row.
    """
    count = column.size
    mean, spread = np.zeros(count), np.zeros(count)
    ahead, wide, kept = np.zeros(count), np.zeros(count), np.ones(count)
    state, left = 0.0, variance
    for row in range(count):
        if gap[row] < 0:
            state, left, kept[row] = 0.0, variance, 0.0
        elif gap[row] > 0:
            kept[row] = memory ** gap[row]
            state *= kept[row]
            left = kept[row] ** 2 * left + (1 - kept[row] ** 2) * variance
        ahead[row], wide[row] = state, left
        gain = left / (left + noise[row])
        state += gain * (column[row] - state)
        left -= gain * left
        mean[row], spread[row] = state, left
    for row in range(count - 2, -1, -1):
        if gap[row + 1] < 0:
            continue
        back = spread[row] * kept[row + 1] / max(wide[row + 1], 1e-300)
        mean[row] += back * (mean[row + 1] - ahead[row + 1])
        spread[row] += back * back * (spread[row + 1] - wide[row + 1])
    return mean, spread
