"""Coalitions: what a burn would be had some drivers been as in one span, others as in another, and who adds what."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import combinations
from math import factorial
from typing import TYPE_CHECKING, Any

import numpy as np

from causalrel.inference import produce, residuals
from causalrel.networks import Mechanism

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Worth = Callable[[frozenset[str]], NDArray[np.float64]]
    Rows = Mapping[str, NDArray[Any]]

#: Most drivers of which every coalition is run; of more, both ways through orders drawn at random.
EXACT = 10
_ORDERS = 24


def worth_of(
    mechanisms: Sequence[Mechanism],
    slo: str,
    spans: tuple[Rows, Rows],
    pairs: tuple[NDArray[np.intp], NDArray[np.intp]],
    weights: NDArray[np.float64],
) -> Worth:
    """Return the modelled bad share had some drivers been as now and the others as before.

    Parameters
    ----------
    mechanisms : sequence of Mechanism
        Causes before effects.
    slo : str
        The SLO, an event rate among them.
    spans : tuple of mapping
        Rows of now, then rows of before.
    pairs : tuple of ndarray of intp, shape (n,)
        Which row of now is compared with which row of before.
    weights : ndarray of float64, shape (k, n)
        Weights of the pairs in each sum that is wanted.

    Returns
    -------
    callable
        From the drivers that are as now to the sums, float64, shape (k, n_draws); each is run once and kept.
    """
    (now, before), (left, right) = spans, pairs
    own: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}
    rests = residuals(mechanisms, now), residuals(mechanisms, before)
    for mechanism in mechanisms:
        name = mechanism.variable.name
        if mechanism.additive:
            own[name] = rests[0][name][left], rests[1][name][right]
        elif mechanism.form == "observed":
            own[name] = now[name][left], before[name][right]
    reach: dict[str, frozenset[str]] = {}
    for mechanism in mechanisms:
        parents = frozenset(mechanism.parents)
        reach[mechanism.variable.name] = parents.union(
            {mechanism.variable.name}, *(reach[parent] for parent in mechanism.parents)
        )
    memo: dict[tuple[str, frozenset[str]], NDArray[Any]] = {}
    by_name = {mechanism.variable.name: mechanism for mechanism in mechanisms}

    def value(name: str, chosen: frozenset[str]) -> NDArray[Any]:
        key = (name, chosen & reach[name])
        if key not in memo:
            mechanism = by_name[name]
            mine = own[name][0 if name in chosen else 1] if name in own else None
            if mechanism.form == "observed" and mine is not None:
                memo[key] = mine
            else:
                parents = {parent: value(parent, chosen) for parent in mechanism.parents}
                memo[key] = produce(mechanism, parents, mine)
        return memo[key]

    def worth(chosen: frozenset[str]) -> NDArray[np.float64]:
        mechanism = by_name[slo]
        sums: NDArray[np.float64] = weights @ produce(mechanism, {p: value(p, chosen) for p in mechanism.parents}, None)
        return sums

    return cache(worth)


def shapley(worth: Worth, drivers: Sequence[str], rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """Return what each driver adds, averaged over the orders in which drivers can change (Shapley 1953).

    Parameters
    ----------
    worth : callable
        From the drivers that have changed to an array, of the same shape for all.
    drivers : sequence of str
        The drivers.
    rng : numpy.random.Generator
        Generator of the orders, where there are too many to take all.

    Returns
    -------
    dict of str to ndarray of float64
        Parts that add up to the worth of all less the worth of none.

    Examples
    --------
    >>> both = shapley(lambda s: np.array([float({"a", "b"} <= s)]), ["a", "b", "c"], np.random.default_rng(0))
    >>> {name: float(part[0].round(3)) for name, part in both.items()}
    {'a': 0.5, 'b': 0.5, 'c': 0.0}
    """
    parts = {driver: np.zeros_like(worth(frozenset())) for driver in drivers}
    count = len(drivers)
    if count <= EXACT:
        for size in range(count):
            weight = factorial(size) * factorial(count - size - 1) / factorial(count)
            for chosen in combinations(drivers, size):
                base = frozenset(chosen)
                for driver in drivers:
                    if driver not in base:
                        parts[driver] += weight * (worth(base | {driver}) - worth(base))
        return parts
    for _ in range(_ORDERS):
        order = rng.permutation(count)
        for walk in (order, order[::-1]):
            base = frozenset()
            for i in walk:
                parts[drivers[i]] += (worth(base | {drivers[i]}) - worth(base)) / (2 * _ORDERS)
                base |= {drivers[i]}
    return parts


def interactions(worth: Worth, drivers: Sequence[str]) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Return what each two drivers add together beyond what each adds alone, over the coalitions of the others.

    The interaction index of Grabisch and Roubens (1999, doi:10.1007/s001820050125), from the coalitions that
    :func:`shapley` ran. Each of the two bears half of it.

    Parameters
    ----------
    worth : callable
        From the drivers that have changed to an array.
    drivers : sequence of str
        The drivers.

    Returns
    -------
    dict of (str, str) to ndarray of float64
        By pair; empty where there are too many drivers to run every coalition.

    Examples
    --------
    >>> both = interactions(lambda s: np.array([float({"a", "b"} <= s)]), ["a", "b", "c"])
    >>> {pair: float(value[0].round(3)) for pair, value in both.items()}
    {('a', 'b'): 1.0, ('a', 'c'): 0.0, ('b', 'c'): 0.0}
    """
    count = len(drivers)
    if count > EXACT:
        return {}
    made = {}
    for one, other in combinations(drivers, 2):
        rest = [driver for driver in drivers if driver not in (one, other)]
        made[one, other] = np.zeros_like(worth(frozenset()))
        for size in range(count - 1):
            weight = factorial(size) * factorial(count - size - 2) / factorial(count - 1)
            for chosen in combinations(rest, size):
                base = frozenset(chosen)
                alone = worth(base | {one}) + worth(base | {other}) - worth(base)
                made[one, other] += weight * (worth(base | {one, other}) - alone)
    return made
