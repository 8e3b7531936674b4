"""Scores: how much better a variable is told with one more parent, from statistics alone.

Only the search imports this module, because numba loads with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FLOOR = 1e-9


def compiled[F: Callable[..., Any]](function: F) -> F:
    """Compile a function to machine code at its first call, and keep the code beside the module.

    Parameters
    ----------
    function : callable
        A function of numbers and arrays.

    Returns
    -------
    callable
        The same function, compiled.

    Examples
    --------
    >>> gaussian_scores.py_func.__name__
    'gaussian_scores'
    """
    return cast("F", njit(cache=True, nogil=True)(function))


@compiled
def gaussian_scores(
    node: int,
    parents: NDArray[np.int64],
    added: NDArray[np.int64],
    correlation: NDArray[np.float64],
    starts: NDArray[np.int64],
    inflation: NDArray[np.float64],
    total: float,
    out: NDArray[np.float64],
) -> None:
    """Score one variable of a degenerate Gaussian for a parent set with each of some variables added; -1 adds none.

    Each category but one is an indicator column; the score is BIC of the joint Gaussian of the family less that of the
    parents (Andrews, Ramsey and Cooper 2019, PMLR 104:4-21). Each pair is charged as often as rows must remember it.

    Parameters
    ----------
    node : int
        The variable.
    parents : ndarray of int64, shape (k,)
        Its parents, in ascending order.
    added : ndarray of int64, shape (m,)
        Variables to add, one at a time.
    correlation : ndarray of float64, shape (d, d)
        Correlations of the columns.
    starts : ndarray of int64, shape (p + 1,)
        First column of each variable.
    inflation : ndarray of float64, shape (p, p)
        How many rows tell as much of two variables as one that remembers nothing.
    total : float
        Rows.
    out : ndarray of float64, shape (m,)
        Receives the scores.
    """
    held = 0
    for parent in parents:
        held += starts[parent + 1] - starts[parent]
    most = held + starts[node + 1] - starts[node]
    for other in added:
        if other >= 0:
            most = max(most, held + starts[node + 1] - starts[node] + starts[other + 1] - starts[other])
    root, columns = np.zeros((most, most)), np.empty(most, np.int64)
    held, charged = 0, 0.0
    for parent in parents:
        held, _ = _extended(root, columns, held, starts[parent], starts[parent + 1], correlation)
        charged += inflation[node, parent] * (starts[parent + 1] - starts[parent])
    own = starts[node + 1] - starts[node]
    for place in range(added.size):
        other, filled, more = added[place], held, charged
        if other >= 0:
            filled, _ = _extended(root, columns, held, starts[other], starts[other + 1], correlation)
            more += inflation[node, other] * (starts[other + 1] - starts[other])
        _, gained = _extended(root, columns, filled, starts[node], starts[node + 1], correlation)
        free = own * more + own * (own + 1) / 2
        out[place] = -0.5 * total * gained - 0.5 * math.log(total) * free


@compiled
def _extended(
    root: NDArray[np.float64],
    columns: NDArray[np.int64],
    held: int,
    first: int,
    last: int,
    correlation: NDArray[np.float64],
) -> tuple[int, float]:
    """Append columns to a Cholesky factor in place; return its size and the log determinant they add."""
    gained = 0.0
    for column in range(first, last):
        columns[held] = column
        for i in range(held + 1):
            value = correlation[column, columns[i]]
            for k in range(i):
                value -= root[held, k] * root[i, k]
            root[held, i] = value / root[i, i] if i < held else math.sqrt(max(value, _FLOOR))
        gained += 2 * math.log(root[held, held])
        held += 1
    return held, gained


@compiled
def bent(
    column: NDArray[np.float64], rows: NDArray[np.intp], knots: NDArray[np.float64], levels: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Read some rows off lines between knots: a sum of clipped ramps, which the compiler turns into vector code.

    Parameters
    ----------
    column : ndarray of float64, shape (n,)
        Numbers.
    rows : ndarray of int64, shape (m,)
        Rows to read.
    knots, levels : ndarray of float64, shape (k,)
        Rising numbers, and what stands for each of them; outside they stay at the ends.

    Returns
    -------
    ndarray of float64, shape (m,)
        What stands for each row.

    Examples
    --------
    >>> bent(np.array([-1.0, 0.5, 9.0]), np.arange(3), np.array([0.0, 1.0]), np.array([2.0, 4.0])).tolist()
    [2.0, 3.0, 4.0]
    """
    asked = column[rows]
    made = np.full(len(rows), levels[0])
    for place in range(len(knots) - 1):
        low, width = knots[place], knots[place + 1] - knots[place]
        slope = (levels[place + 1] - levels[place]) / width
        for row in range(len(rows)):
            made[row] += min(max(asked[row] - low, 0.0), width) * slope
    return made
