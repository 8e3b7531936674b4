"""Orders: graphs that score alike, and orders that keep tiers and edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from causalrel.discovery.scores import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray


@compiled
def walk(
    graph: NDArray[np.bool_], free: NDArray[np.bool_], required: NDArray[np.bool_], draws: NDArray[np.float64]
) -> None:
    """Turn covered edges of a graph at random, in place, which keeps its score (Chickering 1995, arXiv:1302.4938).

    Parameters
    ----------
    graph : ndarray of bool, shape (p, p)
        A graph without cycles.
    free, required : ndarray of bool, shape (p, p)
        ``[a, b]``: an edge may be turned into a -> b; a -> b must stay.
    draws : ndarray of float64, shape (n, 2)
        Uniform draws: an effect, and one of its causes.

    Examples
    --------
    >>> graph = np.array([[False, True], [False, False]])
    >>> walk(graph, ~np.eye(2, dtype=bool), np.zeros((2, 2), bool), np.array([[0.9, 0.0]]))
    >>> graph.tolist()
    [[False, False], [True, False]]
    """
    size = graph.shape[0]
    for draw in range(draws.shape[0]):
        effect = int(draws[draw, 0] * size)
        causes = np.flatnonzero(graph[:, effect])
        if causes.size == 0:
            continue
        cause = causes[int(draws[draw, 1] * causes.size)]
        if not free[effect, cause] or required[cause, effect]:
            continue
        covered = True
        for other in range(size):
            if other != cause and graph[other, cause] != graph[other, effect]:
                covered = False
        if covered:
            graph[cause, effect], graph[effect, cause] = False, True


@compiled
def sorted_order(graph: NDArray[np.bool_], tiers: NDArray[np.int64], draws: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the order with causes before effects, tier by tier, that follows the draws where it can.

    Parameters
    ----------
    graph : ndarray of bool, shape (p, p)
        A graph without cycles and without an edge to an earlier tier.
    tiers : ndarray of int64, shape (p,)
        Tier of each variable.
    draws : ndarray of float64, shape (p,)
        The smaller, the earlier.

    Returns
    -------
    ndarray of int64, shape (p,)
        The order.

    Examples
    --------
    >>> graph = np.array([[False, True, False], [False, False, False], [False, False, False]])
    >>> sorted_order(graph, np.zeros(3, int), np.array([0.5, 0.1, 0.9])).tolist()
    [0, 1, 2]
    """
    size = tiers.size
    order, done = np.empty(size, np.int64), np.zeros(size, np.bool_)
    for place in range(size):
        first = -1
        for node in range(size):
            if done[node] or np.any(graph[:, node] & ~done):
                continue
            if first < 0 or (tiers[node], draws[node]) < (tiers[first], draws[first]):
                first = node
        order[place] = first
        done[first] = True
    return order
