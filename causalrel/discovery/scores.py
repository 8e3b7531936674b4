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
    >>> table_scores.py_func.__name__
    'table_scores'
    """
    return cast("F", njit(cache=True, nogil=True)(function))


@compiled
def table_scores(
    node: int,
    parents: NDArray[np.int64],
    added: NDArray[np.int64],
    codes: NDArray[np.int16],
    weights: NDArray[np.int64],
    cards: NDArray[np.int64],
    shares: NDArray[np.float64],
    times: NDArray[np.float64],
    scale: float,
    out: NDArray[np.float64],
) -> None:
    """Score one discrete variable for a parent set with each of some variables added; -1 adds none.

    BIC (Schwarz 1978, doi:10.1214/aos/1176344136) with ``scale`` times its penalty. A family whose penalty exceeds all
    that any parent can gain scores minus infinity and is not counted. Each interaction of variables that remember is
    charged as often as its product remembers, so that graphs of the same independences still score alike.

    Parameters
    ----------
    node : int
        The variable.
    parents : ndarray of int64, shape (k,)
        Its parents, in ascending order.
    added : ndarray of int64, shape (m,)
        Variables to add, one at a time.
    codes : ndarray of int16, shape (p, n)
        Distinct rows.
    weights : ndarray of int64, shape (n,)
        How often each row is there.
    cards : ndarray of int64, shape (p,)
        States of each variable.
    shares : ndarray of float64, shape (p, m)
        Autocorrelations of each variable.
    times : ndarray of float64, shape (m,)
        How often each of them counts.
    scale : float
        Penalty factor.
    out : ndarray of float64, shape (m,)
        Receives the scores.
    """
    size, states = weights.size, cards[node]
    base = np.empty(size, np.int64)
    base[:] = codes[node]
    span, total = states, weights.sum()
    for parent in parents:
        for row in range(size):
            base[row] += span * codes[parent, row]
        span *= cards[parent]
    limit = _most_cells(base, weights, span, states, scale)
    for place in range(added.size):
        other = added[place]
        width = 1 if other < 0 else cards[other]
        if width * span > limit and other >= 0:
            out[place] = -np.inf
            continue
        counts = np.zeros(width * span, np.int64)
        if other < 0:
            for row in range(size):
                counts[base[row]] += weights[row]
        else:
            more = codes[other]
            for row in range(size):
                counts[base[row] + span * more[row]] += weights[row]
        out[place] = _bic(counts, states, total, scale * _charged(node, parents, other, cards, shares, times))


@compiled
def _charged(
    node: int,
    parents: NDArray[np.int64],
    other: int,
    cards: NDArray[np.int64],
    shares: NDArray[np.float64],
    times: NDArray[np.float64],
) -> float:
    """Return how much dearer a family is than on rows that are independent."""
    made = 0.0
    for apart in range(times.size):
        part = times[apart] * shares[node, apart]
        for parent in parents:
            part *= (1 + (cards[parent] - 1) * shares[parent, apart]) / cards[parent]
        if other >= 0:
            part *= (1 + (cards[other] - 1) * shares[other, apart]) / cards[other]
        made += part
    return made


@compiled
def gaussian_scores(
    node: int,
    parents: NDArray[np.int64],
    added: NDArray[np.int64],
    correlation: NDArray[np.float64],
    starts: NDArray[np.int64],
    inflation: NDArray[np.float64],
    total: float,
    scale: float,
    out: NDArray[np.float64],
) -> None:
    """Score one variable of a degenerate Gaussian for a parent set with each of some variables added; -1 adds none.

    Each category but one is an indicator column; the score is BIC of the joint Gaussian of the family less that of the
    parents (Andrews, Ramsey and Cooper 2019, PMLR 104:4-21). Each pair is charged as often as rows must remember it.

    Parameters
    ----------
    node, parents, added, out
        As for :func:`table_scores`.
    correlation : ndarray of float64, shape (d, d)
        Correlations of the columns.
    starts : ndarray of int64, shape (p + 1,)
        First column of each variable.
    inflation : ndarray of float64, shape (p, p)
        How many rows tell as much of two variables as one that remembers nothing.
    total : float
        Rows.
    scale : float
        Penalty factor.
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
        out[place] = -0.5 * total * gained - 0.5 * scale * math.log(total) * free


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
def _most_cells(base: NDArray[np.int64], weights: NDArray[np.int64], span: int, states: int, scale: float) -> float:
    """Return how many cells a family may have before its penalty exceeds all that more parents can gain."""
    counts = np.zeros(span, np.int64)
    for row in range(weights.size):
        counts[base[row]] += weights[row]
    total = counts.sum()
    spent = 0.5 * scale * math.log(total) * (states - 1)
    return -_bic(counts, states, total, scale) / spent * states if spent > 0 else np.inf


@compiled
def _bic(counts: NDArray[np.int64], states: int, total: int, scale: float) -> float:
    made = 0.0
    for first in range(0, counts.size, states):
        among = 0
        for cell in range(first, first + states):
            if counts[cell] > 1:
                made += counts[cell] * math.log(counts[cell])
            among += counts[cell]
        if among > 1:
            made -= among * math.log(among)
    return made - 0.5 * scale * math.log(total) * (counts.size / states) * (states - 1)
