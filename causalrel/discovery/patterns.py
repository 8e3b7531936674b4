"""Patterns: which edges of a graph the data and what is known can direct."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from causalrel.discovery.scores import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray


@compiled
def directed_of(graph: NDArray[np.bool_], known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the edges that every graph of the same independences and knowledge directs alike.

    Colliders whose causes are not joined, and edges whose other direction is known not to be, directed on by the four
    rules of Meek (1995, arXiv:1302.4972), which are complete with such knowledge.

    Parameters
    ----------
    graph : ndarray of bool, shape (p, p)
        A graph without cycles; ``[a, b]``: a causes b.
    known : ndarray of bool, shape (p, p)
        ``[a, b]``: if the two are joined, a causes b.

    Returns
    -------
    ndarray of bool, shape (p, p)
        The edges of the graph that are directed.

    Examples
    --------
    >>> chain = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]], dtype=bool)
    >>> int(directed_of(chain, np.zeros((3, 3), bool)).sum())
    0
    >>> first = np.zeros((3, 3), bool)
    >>> first[0, 1] = True
    >>> int(directed_of(chain, first).sum())
    2
    """
    size = graph.shape[0]
    joined = graph | graph.T
    made = graph & known
    for effect in range(size):
        for one in range(size):
            for two in range(one):
                if graph[one, effect] and graph[two, effect] and not joined[one, two]:
                    made[one, effect] = made[two, effect] = True
    grown = True
    while grown:
        grown = False
        for cause in range(size):
            for effect in range(size):
                if graph[cause, effect] and not made[cause, effect] and _follows(joined, made, cause, effect):
                    made[cause, effect] = grown = True
    return made


@compiled
def _follows(joined: NDArray[np.bool_], made: NDArray[np.bool_], cause: int, effect: int) -> bool:
    size = joined.shape[0]
    for one in range(size):
        if one in (cause, effect):
            continue
        if made[one, cause] and not joined[one, effect]:
            return True
        if made[cause, one] and made[one, effect]:
            return True
        if not joined[cause, one] or not made[one, effect] or made[one, cause]:
            continue
        for two in range(size):
            if two in (cause, effect, one) or not joined[cause, two] or made[two, cause]:
                continue
            if made[two, effect] and not joined[one, two]:
                return True
            if made[two, one] and not joined[two, effect]:
                return True
    return False
