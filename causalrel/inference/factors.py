"""Factors: tables over named nodes, multiplied and summed out one node at a time, never before their size is known."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from causalrel import errors

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: A variable and a window: a step, or how many windows back.
Node = tuple[str, int]

#: Most cells of one product, draws not counted, and with them.
_MOST_CELLS = 1_000_000
_MOST_DRAWN = 50_000_000


@dataclass(frozen=True, slots=True)
class Factor:
    """Numbers for every joint state of some nodes.

    Parameters
    ----------
    scope : tuple of (str, int)
        The nodes.
    values : ndarray of float64, shape (n_draws or 1, states of each node...)
        Numbers, the first axis over draws.

    Examples
    --------
    >>> Factor((("x", 0),), np.array([[0.5, 0.5]])).cards
    {('x', 0): 2}
    """

    scope: tuple[Node, ...]
    values: NDArray[np.float64]

    @property
    def cards(self) -> dict[Node, int]:
        """Number of states of each node."""
        return dict(zip(self.scope, self.values.shape[1:], strict=True))

    def shifted(self, steps: int) -> Factor:
        """Return the same numbers over nodes so many windows on."""
        return Factor(tuple((name, at + steps) for name, at in self.scope), self.values)

    def ordered(self, scope: Sequence[Node]) -> Factor:
        """Return the same numbers with the nodes in another order."""
        axes = [0, *(self.scope.index(node) + 1 for node in scope)]
        return Factor(tuple(scope), self.values.transpose(axes))


def multiply(factors: Sequence[Factor], keep: Sequence[Node]) -> Factor:
    """Multiply factors and sum out all nodes but some.

    Parameters
    ----------
    factors : sequence of Factor
        At least one.
    keep : sequence of (str, int)
        Nodes of the product that stay, in this order.

    Returns
    -------
    Factor
        The sum.

    Raises
    ------
    CausalrelError
        When the product has too many cells.

    Examples
    --------
    >>> x, y = ("x", 0), ("y", 0)
    >>> chance = Factor((x,), np.array([[0.5, 0.5]]))
    >>> given = Factor((x, y), np.array([[[1.0, 0.0], [0.5, 0.5]]]))
    >>> multiply([chance, given], [y]).values.tolist()
    [[0.75, 0.25]]
    """
    axes: dict[Node, int] = {}
    cells, draws = 1, max(factor.values.shape[0] for factor in factors)
    for factor in factors:
        for node, size in zip(factor.scope, factor.values.shape[1:], strict=True):
            if node not in axes:
                axes[node] = len(axes) + 1
                cells *= size
    check_size(cells, draws)
    total: list[Any] = []
    for factor in factors:
        values = factor.values
        if values.shape[0] != draws:
            values = np.broadcast_to(values, (draws, *values.shape[1:]))
        total += [values, [0, *(axes[node] for node in factor.scope)]]
    total.append([0, *(axes[node] for node in keep)])
    return Factor(tuple(keep), np.einsum(*total))


def check_size(cells: int, draws: int) -> None:
    """Refuse a product of too many cells, before there is one.

    Examples
    --------
    >>> check_size(64, 200)
    """
    if cells > _MOST_CELLS or cells * draws > _MOST_DRAWN:
        raise errors.over_limit(
            f"an exact answer needs {cells:,} joint states for each of {draws} draws at once, and {_MOST_CELLS:,} "
            f"joint states, or {_MOST_DRAWN:,} with draws, are the most",
            "give variables fewer states or parents, ask with draws=0, or leave variables out",
        )


def eliminate(factors: Iterable[Factor], keep: Collection[Node], *, rescale: bool = False) -> Factor:
    """Sum out every node but some, one at a time, the one with the fewest new links first.

    Parameters
    ----------
    factors : iterable of Factor
        Factors whose product is asked about.
    keep : collection of (str, int)
        Nodes that stay; those that no factor knows are left out.
    rescale : bool
        Whether each sum may be divided by its largest number, draw by draw, so that long products stay above zero.

    Returns
    -------
    Factor
        The sum, over the nodes kept in their order.

    References
    ----------
    Koller and Friedman 2009, "Probabilistic Graphical Models", section 9.3 (min-fill).

    Examples
    --------
    >>> x = ("x", 0)
    >>> eliminate([Factor((x,), np.array([[0.5, 0.25]]))], []).values.tolist()
    [0.75]
    """
    left = list(factors)
    known = {node for factor in left for node in factor.scope}
    kept = tuple(node for node in keep if node in known)
    for node in elimination_order(tuple(factor.scope for factor in left), frozenset(kept)):
        mine = [factor for factor in left if node in factor.scope]
        left = [factor for factor in left if node not in factor.scope]
        stay = dict.fromkeys(other for factor in mine for other in factor.scope if other != node)
        made = multiply(mine, list(stay))
        left.append(_rescaled(made) if rescale else made)
    return multiply(left, kept) if left else Factor((), np.ones(1))


@lru_cache(maxsize=4096)
def elimination_order(scopes: tuple[tuple[Node, ...], ...], keep: frozenset[Node]) -> tuple[Node, ...]:
    """Return in which order to sum nodes out: fewest new links, then fewest neighbours, first.

    Examples
    --------
    >>> a, b, c = ("a", 0), ("b", 0), ("c", 0)
    >>> elimination_order(((a, b), (b, c)), frozenset({a}))
    (('c', 0), ('b', 0))
    """
    near: dict[Node, set[Node]] = {}
    for scope in scopes:
        for node in scope:
            near.setdefault(node, set()).update(scope)
    for node, others in near.items():
        others.discard(node)
    costs = {node: _fill(near, node) for node in near if node not in keep}
    order: list[Node] = []
    while costs:
        node = min(costs, key=lambda one: (costs[one], one))
        del costs[node]
        order.append(node)
        others = near.pop(node)
        touched = set(others)
        for one in others:
            near[one] |= others
            near[one] -= {one, node}
            touched |= near[one]
        costs.update({one: _fill(near, one) for one in touched if one in costs})
    return tuple(order)


def _rescaled(factor: Factor) -> Factor:
    top = factor.values.reshape(len(factor.values), -1).max(axis=1)
    scale = np.where(top > 0, top, 1.0).reshape(-1, *[1] * len(factor.scope))
    return Factor(factor.scope, factor.values / scale)


def _fill(near: dict[Node, set[Node]], node: Node) -> tuple[int, int]:
    missing = sum(second not in near[first] for first, second in combinations(near[node], 2))
    return missing, len(near[node])
