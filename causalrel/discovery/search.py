"""Search: the order of variables whose best parents score best, compiled, with every family scored once.

Only :mod:`causalrel.discovery.support` imports this module, and only when it runs, because numba loads with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from causalrel.discovery.autocorrelation import Memory
from causalrel.discovery.orders import sorted_order, walk
from causalrel.discovery.scores import compiled, gaussian_scores
from causalrel.discovery.tables import Tables, table_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

_GAIN = 1e-8
_LOOSED = 1.5
_CELLS = 1 << 22


class Facts(NamedTuple):
    """What a score reads: tables and a resample of them, or correlations and what memory costs each pair.

    Examples
    --------
    >>> Facts.of_codes(np.array([[0, 1, 1], [0, 1, 0]]), np.array([5, 4, 1]), np.array([2, 2])).tables.cards.tolist()
    [2, 2]
    """

    gaussian: bool
    tables: Tables
    draw: int
    correlation: NDArray[np.float64]
    starts: NDArray[np.int64]
    total: float
    inflation: NDArray[np.float64]

    @classmethod
    def of_codes(
        cls,
        codes: NDArray[np.integer],
        weights: NDArray[np.integer],
        cards: NDArray[np.integer],
        memory: Memory | None = None,
    ) -> Facts:
        """Take distinct rows of codes, one line a variable, how often each is there, and the states of each."""
        return cls.of_tables(Tables.of(codes, weights, cards, memory=memory), 0)

    @classmethod
    def of_tables(cls, tables: Tables, draw: int) -> Facts:
        """Take one resample of tables."""
        return cls(False, tables, draw, np.zeros((1, 1)), np.zeros(1, np.int64), 0.0, np.zeros((1, 1)))

    @classmethod
    def of_products(
        cls,
        correlation: NDArray[np.float64],
        starts: NDArray[np.integer],
        total: float,
        memory: Memory | None = None,
    ) -> Facts:
        """Take the correlations of columns and the first column of each variable."""
        none = np.zeros(1, np.int64)
        return cls(
            True,
            Tables.of(none[None], none, none),
            0,
            np.ascontiguousarray(correlation),
            np.ascontiguousarray(starts, dtype=np.int64),
            float(total),
            (memory or Memory.none(len(starts) - 1)).inflation,
        )

    def rows(self) -> NDArray[np.int16]:
        """Return the codes of every row of the resample, one line a variable."""
        cells = np.repeat(self.tables.draws[:, self.draw], np.diff(self.tables.bounds))
        return np.repeat(self.tables.codes, self.tables.times * cells, axis=1)


class _Tree(NamedTuple):
    """Parent sets already grown, by a 64-bit key of a variable and its parents (Zobrist hashing).

    Each holds its score, the score after it is shrunk, the variables that make it better, best first, and where the
    sets with one of those added are (the grow-shrink trees of Andrews and others 2023).
    """

    roots: NDArray[np.int64]
    keys: NDArray[np.int64]
    used: NDArray[np.int64]
    score: NDArray[np.float64]
    shrunk: NDArray[np.float64]
    many: NDArray[np.int64]
    better: NDArray[np.int16]
    grown: NDArray[np.int32]
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
    tree = _tree(size, rng)
    order = start.astype(np.int64)
    _improve(facts, tree, allowed, required, tiers, order)
    best, most = _graph_of(facts, tree, allowed, required, order)
    failed = 0
    while failed < patience:
        graph = best.copy()
        walk(graph, allowed & (tiers[:, None] == tiers), required, rng.random((4 * size, 2)))
        loosed = rng.random(size) < (failed % 4) * _LOOSED / size
        held = required | (graph & ~loosed[:, None] & ~loosed)
        order = sorted_order(held, tiers, rng.random(size))
        _improve(facts, tree, allowed, required, tiers, order)
        graph, score = _graph_of(facts, tree, allowed, required, order)
        failed = 0 if score > most + _GAIN else failed + 1
        if score > most:
            best, most = graph, score
    return best, most


def _tree(size: int, rng: np.random.Generator) -> _Tree:
    slots = 1 << int(np.log2(max(_CELLS / size, 8 * size, 1024)))
    return _Tree(
        roots=np.full(size, -1),
        keys=np.zeros(slots, np.int64),
        used=np.zeros(1, np.int64),
        score=np.empty(slots),
        shrunk=np.empty(slots),
        many=np.empty(slots, np.int64),
        better=np.empty((slots, size), np.int16),
        grown=np.empty((slots, size), np.int32),
        words=rng.integers(1, 2**62, size=2 * size),
    )


@compiled
def _slot(tree: _Tree, key: int, score: float) -> int:
    at = key & (tree.keys.size - 1)
    while tree.keys[at] != 0 and tree.keys[at] != key:
        at = (at + 1) & (tree.keys.size - 1)
    if tree.keys[at] == 0:
        tree.keys[at] = key
        tree.used[0] += 1
        tree.score[at] = score
        tree.shrunk[at] = np.nan
        tree.many[at] = -1
    return at


@compiled
def _forget(tree: _Tree) -> None:
    if 2 * tree.used[0] > tree.keys.size:
        tree.keys[:] = 0
        tree.used[0] = 0
        tree.roots[:] = -1


@compiled
def _scored(
    facts: Facts, node: int, inside: NDArray[np.bool_], added: NDArray[np.int64], out: NDArray[np.float64]
) -> None:
    parents = np.flatnonzero(inside)
    if facts.gaussian:
        gaussian_scores(node, parents, added, facts.correlation, facts.starts, facts.inflation, facts.total, out)
    else:
        table_scores(node, parents, added, facts.tables, facts.draw, out)


@compiled
def _score(facts: Facts, node: int, inside: NDArray[np.bool_]) -> float:
    out = np.empty(1)
    _scored(facts, node, inside, np.full(1, -1), out)
    return float(out[0])


@compiled
def _grown(
    facts: Facts,
    tree: _Tree,
    allowed: NDArray[np.bool_],
    required: NDArray[np.bool_],
    node: int,
    before: NDArray[np.bool_],
    inside: NDArray[np.bool_],
    watched: int,
) -> tuple[int, bool]:
    """Fill ``inside`` with the parents grown among ``before``; return their slot and if ``watched`` could be one."""
    inside[:] = required[:, node]
    if tree.roots[node] < 0:
        key = tree.words[inside.size + node]
        for other in np.flatnonzero(inside):
            key ^= tree.words[other]
        tree.roots[node] = _slot(tree, key, _score(facts, node, inside))
    at, met = tree.roots[node], False
    while True:
        if tree.many[at] < 0:
            _open(facts, tree, at, node, allowed, inside)
        place = 0
        while place < tree.many[at] and not before[tree.better[at, place]]:
            met |= tree.better[at, place] == watched
            place += 1
        if place == tree.many[at]:
            return at, met
        inside[tree.better[at, place]] = True
        at = tree.grown[at, place]


@compiled
def _open(facts: Facts, tree: _Tree, at: int, node: int, allowed: NDArray[np.bool_], inside: NDArray[np.bool_]) -> None:
    """Score the sets with one more parent, and keep those that are better."""
    others = np.flatnonzero(allowed[:, node] & ~inside)
    scores = np.empty(others.size)
    if others.size:
        _scored(facts, node, inside, others, scores)
    tree.many[at] = 0
    for place in np.argsort(-scores, kind="mergesort"):
        if scores[place] <= tree.score[at] + _GAIN:
            break
        other = others[place]
        tree.better[at, tree.many[at]] = other
        tree.grown[at, tree.many[at]] = _slot(tree, tree.keys[at] ^ tree.words[other], scores[place])
        tree.many[at] += 1


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
    tree: _Tree,
    allowed: NDArray[np.bool_],
    required: NDArray[np.bool_],
    node: int,
    before: NDArray[np.bool_],
    inside: NDArray[np.bool_],
    watched: int,
) -> tuple[float, bool]:
    """Return the best score of a variable with parents in ``before``, and if ``watched`` could change it."""
    _forget(tree)
    at, met = _grown(facts, tree, allowed, required, node, before, inside, watched)
    if np.isnan(tree.shrunk[at]):
        tree.shrunk[at] = _shrink(facts, required, node, inside, tree.score[at])
    return tree.shrunk[at], met


@compiled
def _moved(
    facts: Facts,
    tree: _Tree,
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
            totals[place] += _traced(facts, tree, allowed, required, node, before, inside, -1)[0]
        if place == high:
            break
        other = others[place]
        if place >= low:
            without, met = _traced(facts, tree, allowed, required, other, before, inside, node)
            within = without
            if met:
                before[node] = True
                within = _traced(facts, tree, allowed, required, other, before, inside, -1)[0]
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
    tree: _Tree,
    allowed: NDArray[np.bool_],
    required: NDArray[np.bool_],
    tiers: NDArray[np.int64],
    order: NDArray[np.int64],
) -> None:
    better = True
    while better:
        better = False
        for node in order.copy():
            better |= _moved(facts, tree, allowed, required, tiers, order, node)


@compiled
def _graph_of(
    facts: Facts,
    tree: _Tree,
    allowed: NDArray[np.bool_],
    required: NDArray[np.bool_],
    order: NDArray[np.int64],
) -> tuple[NDArray[np.bool_], float]:
    size = order.size
    graph, total = np.zeros((size, size), np.bool_), 0.0
    before, inside = np.zeros(size, np.bool_), np.empty(size, np.bool_)
    for node in order:
        _forget(tree)
        at, _ = _grown(facts, tree, allowed, required, node, before, inside, -1)
        total += _shrink(facts, required, node, inside, tree.score[at])
        graph[:, node] = inside
        before[node] = True
    return graph, total
