"""Search: the order of variables whose best parents score best, compiled, with every family scored once.

Only :mod:`causalrel.discovery.support` imports this module, and only when it runs, because numba loads with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from causalrel.discovery.autocorrelation import Memory
from causalrel.discovery.orders import sorted_order, walk
from causalrel.discovery.scores import compiled, gaussian_scores, table_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

_GAIN = 1e-8
_LOOSED = 1.5
_CELLS = 1 << 22


class Facts(NamedTuple):
    """What a score reads: distinct rows and how often they are there, or correlations; and how long variables remember.

    Examples
    --------
    >>> Facts.of_codes(np.array([[0, 1, 1], [0, 1, 0]]), np.array([5, 4, 1]), np.array([2, 2])).cards.tolist()
    [2, 2]
    """

    gaussian: bool
    scale: float
    codes: NDArray[np.int16]
    weights: NDArray[np.int64]
    cards: NDArray[np.int64]
    correlation: NDArray[np.float64]
    starts: NDArray[np.int64]
    total: float
    shares: NDArray[np.float64]
    times: NDArray[np.float64]
    inflation: NDArray[np.float64]

    @classmethod
    def of_codes(
        cls,
        codes: NDArray[np.integer],
        weights: NDArray[np.integer],
        cards: NDArray[np.integer],
        memory: Memory | None = None,
        scale: float = 1.0,
    ) -> Facts:
        """Take distinct rows of codes, one line a variable, how often each is there, and the states of each."""
        return cls(
            False,
            float(scale),
            np.ascontiguousarray(codes, dtype=np.int16),
            np.ascontiguousarray(weights, dtype=np.int64),
            np.ascontiguousarray(cards, dtype=np.int64),
            np.zeros((1, 1)),
            np.zeros(1, np.int64),
            float(weights.sum()),
            *(memory or Memory.none(len(cards))).arrays,
        )

    @classmethod
    def of_products(
        cls,
        correlation: NDArray[np.float64],
        starts: NDArray[np.integer],
        total: float,
        memory: Memory | None = None,
        scale: float = 1.0,
    ) -> Facts:
        """Take the correlations of columns and the first column of each variable."""
        return cls(
            True,
            float(scale),
            np.zeros((1, 1), np.int16),
            np.zeros(1, np.int64),
            np.zeros(1, np.int64),
            np.ascontiguousarray(correlation),
            np.ascontiguousarray(starts, dtype=np.int64),
            float(total),
            *(memory or Memory.none(len(starts) - 1)).arrays,
        )


class _Table(NamedTuple):
    """Scores already known, by a 64-bit key of a variable and its parents (Zobrist hashing)."""

    keys: NDArray[np.int64]
    used: NDArray[np.int64]
    score: NDArray[np.float64]
    shrunk: NDArray[np.float64]
    gains: NDArray[np.float64]
    words: NDArray[np.int64]


def best_graph(
    facts: Facts,
    allowed: NDArray[np.bool_],
    required: NDArray[np.bool_],
    tiers: NDArray[np.int64],
    start: NDArray[np.int64],
    *,
    patience: int = 12,
    seed: int = 0,
) -> tuple[NDArray[np.bool_], float]:
    """Search the graph with the best score over orders that keep the tiers.

    Best order score search: each variable in turn moves to the place in the order where the sum of the scores of all
    variables is best, their parents grown and shrunk among what stands before them (Andrews, Ramsey, Sanchez-Romero,
    Camchong and Kummerfeld 2023, arXiv:2310.17679). What it finds is kicked: covered edges are turned at random, which
    keeps the score, a few variables are set free, and an order of the rest is drawn and searched again.

    Parameters
    ----------
    facts : Facts
        What the score reads.
    allowed, required : ndarray of bool, shape (p, p)
        ``[a, b]``: a may cause b, a must cause b.
    tiers : ndarray of int64, shape (p,)
        Tier of each variable; an order never puts a later tier first.
    start : ndarray of int64, shape (p,)
        Order the search starts from; it keeps the tiers and the required edges.
    patience : int
        Kicks in a row that may fail to make the score better before the search ends.
    seed : int
        Seed of the kicks.

    Returns
    -------
    graph : ndarray of bool, shape (p, p)
        ``[a, b]``: a causes b.
    score : float
        Its score.

    Examples
    --------
    >>> rows = np.array([[0, 1, 0, 1], [0, 1, 1, 0]])
    >>> facts = Facts.of_codes(rows, np.array([40, 40, 10, 10]), np.array([2, 2]))
    >>> free, none = ~np.eye(2, dtype=bool), np.zeros((2, 2), bool)
    >>> best_graph(facts, free, none, np.array([0, 1]), np.arange(2))[0].astype(int).tolist()
    [[0, 1], [0, 0]]
    """
    size = len(tiers)
    rng = np.random.default_rng(seed)
    table = _table(size, rng)
    order = start.astype(np.int64)
    _improve(facts, table, allowed, required, tiers, order)
    best, most = _graph_of(facts, table, allowed, required, order)
    failed = 0
    while failed < patience:
        graph = best.copy()
        walk(graph, allowed & (tiers[:, None] == tiers), required, rng.random((4 * size, 2)))
        loosed = rng.random(size) < (failed % 4) * _LOOSED / size
        held = required | (graph & ~loosed[:, None] & ~loosed)
        order = sorted_order(held, tiers, rng.random(size))
        _improve(facts, table, allowed, required, tiers, order)
        graph, score = _graph_of(facts, table, allowed, required, order)
        failed = 0 if score > most + _GAIN else failed + 1
        if score > most:
            best, most = graph, score
    return best, most


def _table(size: int, rng: np.random.Generator) -> _Table:
    slots = 1 << int(np.log2(max(_CELLS / size, 8 * size, 1024)))
    return _Table(
        keys=np.zeros(slots, np.int64),
        used=np.zeros(1, np.int64),
        score=np.full(slots, np.nan),
        shrunk=np.full(slots, np.nan),
        gains=np.full((slots, size), np.nan),
        words=rng.integers(1, 2**62, size=2 * size),
    )


@compiled
def _slot(table: _Table, key: int) -> int:
    at = key & (table.keys.size - 1)
    while table.keys[at] != 0 and table.keys[at] != key:
        at = (at + 1) & (table.keys.size - 1)
    if table.keys[at] == 0:
        table.keys[at] = key
        table.used[0] += 1
    return at


@compiled
def _forget(table: _Table) -> None:
    if 2 * table.used[0] > table.keys.size:
        table.keys[:] = 0
        table.used[0] = 0
        table.score[:] = np.nan
        table.shrunk[:] = np.nan
        table.gains[:] = np.nan


@compiled
def _scored(
    facts: Facts, node: int, inside: NDArray[np.bool_], added: NDArray[np.int64], out: NDArray[np.float64]
) -> None:
    parents = np.flatnonzero(inside)
    if facts.gaussian:
        gaussian_scores(
            node, parents, added, facts.correlation, facts.starts, facts.inflation, facts.total, facts.scale, out
        )
    else:
        table_scores(
            node, parents, added, facts.codes, facts.weights, facts.cards, facts.shares, facts.times, facts.scale, out
        )


@compiled
def _score(facts: Facts, node: int, inside: NDArray[np.bool_]) -> float:
    out = np.empty(1)
    _scored(facts, node, inside, np.full(1, -1), out)
    return float(out[0])


@compiled
def _grown(
    facts: Facts,
    table: _Table,
    allowed: NDArray[np.bool_],
    required: NDArray[np.bool_],
    node: int,
    before: NDArray[np.bool_],
    inside: NDArray[np.bool_],
) -> int:
    """Fill ``inside`` with the parents grown among ``before``; return their slot in the table."""
    size = before.size
    key = table.words[size + node]
    for other in range(size):
        inside[other] = required[other, node]
        if inside[other]:
            key ^= table.words[other]
    at = _slot(table, key)
    if np.isnan(table.score[at]):
        table.score[at] = _score(facts, node, inside)
    while True:
        others = np.flatnonzero(before & allowed[:, node] & ~inside)
        _fill(facts, table, at, node, inside, others)
        best, most = -1, table.score[at] + _GAIN
        for place in range(others.size):
            other = int(others[place])
            if table.gains[at, other] > most:
                best, most = other, table.gains[at, other]
        if best < 0:
            return at
        inside[best] = True
        key ^= table.words[best]
        at = _slot(table, key)
        if np.isnan(table.score[at]):
            table.score[at] = most


@compiled
def _fill(
    facts: Facts, table: _Table, at: int, node: int, inside: NDArray[np.bool_], others: NDArray[np.int64]
) -> None:
    """Score the sets with one more parent that are not in the table yet."""
    asked = np.empty(others.size, np.int64)
    count = 0
    for other in others:
        if np.isnan(table.gains[at, other]):
            asked[count] = other
            count += 1
    if count:
        out = np.empty(count)
        _scored(facts, node, inside, asked[:count], out)
        for i in range(count):
            table.gains[at, asked[i]] = out[i]


@compiled
def _shrink(facts: Facts, required: NDArray[np.bool_], node: int, inside: NDArray[np.bool_], score: float) -> float:
    """Take parents out of ``inside`` while that does not make the score worse; return the score."""
    while True:
        worst, most = -1, score - _GAIN
        for other in range(inside.size):
            if not inside[other] or required[other, node]:
                continue
            inside[other] = False
            value = _score(facts, node, inside)
            inside[other] = True
            if value > most:
                worst, most = other, value
        if worst < 0:
            return score
        inside[worst] = False
        score = most


@compiled
def _traced(
    facts: Facts,
    table: _Table,
    allowed: NDArray[np.bool_],
    required: NDArray[np.bool_],
    node: int,
    before: NDArray[np.bool_],
    inside: NDArray[np.bool_],
) -> float:
    """Return the best score found for a variable whose parents stand in ``before``; ``inside`` is scratch."""
    _forget(table)
    at = _grown(facts, table, allowed, required, node, before, inside)
    if np.isnan(table.shrunk[at]):
        table.shrunk[at] = _shrink(facts, required, node, inside, table.score[at])
    return float(table.shrunk[at])


@compiled
def _moved(
    facts: Facts,
    table: _Table,
    allowed: NDArray[np.bool_],
    required: NDArray[np.bool_],
    tiers: NDArray[np.int64],
    order: NDArray[np.int64],
    node: int,
) -> bool:
    """Move a variable to its best place in the order; return whether that made the score better."""
    size = order.size
    others = order[order != node]
    now = np.flatnonzero(order == node)[0]
    low, high = 0, size - 1
    for place in range(size - 1):
        other = others[place]
        if tiers[other] < tiers[node] or required[other, node]:
            low = max(low, place + 1)
        if tiers[other] > tiers[node] or required[node, other]:
            high = min(high, place)
    before, inside = np.zeros(size, np.bool_), np.empty(size, np.bool_)
    totals = np.zeros(size)
    for place in range(high + 1):
        if place >= low:
            totals[place] += _traced(facts, table, allowed, required, node, before, inside)
        if place == high:
            break
        other = others[place]
        if place >= low:
            without = _traced(facts, table, allowed, required, other, before, inside)
            before[node] = True
            within = _traced(facts, table, allowed, required, other, before, inside)
            before[node] = False
            totals[low : place + 1] += within
            totals[place + 1 : high + 1] += without
        before[other] = True
    best = now
    for place in range(low, high + 1):
        if totals[place] > totals[best] + _GAIN:
            best = place
    if best == now:
        return False
    order[:best] = others[:best]
    order[best] = node
    order[best + 1 :] = others[best:]
    return True


@compiled
def _improve(
    facts: Facts,
    table: _Table,
    allowed: NDArray[np.bool_],
    required: NDArray[np.bool_],
    tiers: NDArray[np.int64],
    order: NDArray[np.int64],
) -> None:
    better = True
    while better:
        better = False
        for node in order.copy():
            better |= _moved(facts, table, allowed, required, tiers, order, node)


@compiled
def _graph_of(
    facts: Facts,
    table: _Table,
    allowed: NDArray[np.bool_],
    required: NDArray[np.bool_],
    order: NDArray[np.int64],
) -> tuple[NDArray[np.bool_], float]:
    size = order.size
    graph, total = np.zeros((size, size), np.bool_), 0.0
    before, inside = np.zeros(size, np.bool_), np.empty(size, np.bool_)
    for node in order:
        _forget(table)
        at = _grown(facts, table, allowed, required, node, before, inside)
        total += _shrink(facts, required, node, inside, table.score[at])
        graph[:, node] = inside
        before[node] = True
    return graph, total
