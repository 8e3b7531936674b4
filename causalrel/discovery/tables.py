"""Tables: scores of discrete families on the data or on many resamples at once, each family counted once.

Only the search imports this module, because numba loads with it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from causalrel.discovery.autocorrelation import Memory
from causalrel.discovery.scores import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SCORES = 1 << 25
_MOST_FAMILIES = 1 << 20
_LOGS = 1 << 14
_FAR = 5.0
_REGRETS = 1 << 16


class Tables(NamedTuple):
    """Rows in cells, how often each resample draws a cell, and the scores of families counted so far.

    The score of a family is kept for all resamples under a 64-bit key of a variable and its parents (Zobrist hashing).

    Examples
    --------
    >>> Tables.of(np.array([[0, 1, 1], [0, 1, 0]]), np.array([5, 4, 1]), np.array([2, 2])).totals.tolist()
    [10]
    """

    codes: NDArray[np.int16]
    times: NDArray[np.int32]
    bounds: NDArray[np.int64]
    draws: NDArray[np.int32]
    totals: NDArray[np.int64]
    cards: NDArray[np.int64]
    shares: NDArray[np.float64]
    apart: NDArray[np.float64]
    logs: NDArray[np.float64]
    regrets: NDArray[np.float64]
    words: NDArray[np.int64]
    keys: NDArray[np.int64]
    used: NDArray[np.int64]
    scores: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        codes: NDArray[np.integer],
        times: NDArray[np.integer],
        cards: NDArray[np.integer],
        bounds: NDArray[np.integer] | None = None,
        draws: NDArray[np.integer] | None = None,
        memory: Memory | None = None,
    ) -> Tables:
        """Take rows of codes, one line a variable, in the order of their cells, and how often each is there.

        ``bounds`` holds the first row of each cell and the number of rows, ``draws`` how often each resample (column)
        has each cell (line). Without them all rows are one cell. Resample 0 is the data. ``memory`` is how long the
        variables remember: with it the score is BIC, without it qNML.
        """
        held = memory or Memory.none(len(cards))
        limits = np.array([0, len(times)]) if bounds is None else bounds
        drawn = np.ones((len(limits) - 1, 1), np.int32)
        drawn = drawn if draws is None else np.hstack([drawn, draws])
        inside = np.add.reduceat(times, limits[:-1]) if len(times) else np.zeros(1, np.int64)
        many = drawn.shape[1]
        slots = 1 << int(math.log2(min(_SCORES // many, _MOST_FAMILIES)))
        counts = np.arange(_LOGS)
        return cls(
            np.ascontiguousarray(codes, dtype=np.int16),
            np.ascontiguousarray(times, dtype=np.int32),
            np.ascontiguousarray(limits, dtype=np.int64),
            np.ascontiguousarray(drawn, dtype=np.int32),
            inside.astype(np.int64) @ drawn.astype(np.int64),
            np.ascontiguousarray(cards, dtype=np.int64),
            np.ascontiguousarray(held.shares),
            np.ascontiguousarray(held.times),
            np.asarray(counts * np.log(np.maximum(counts, 1)), dtype=np.float64),
            _regrets(0 if memory else int(inside.sum())),
            np.random.default_rng(0).integers(1, 2**62, size=2 * len(cards)),
            np.zeros(slots, np.int64),
            np.zeros(1, np.int64),
            np.empty((slots, many)),
        )


@compiled
def table_scores(
    node: int,
    parents: NDArray[np.int64],
    added: NDArray[np.int64],
    tables: Tables,
    draw: int,
    out: NDArray[np.float64],
) -> None:
    """Score one discrete variable for a parent set with each of some variables added; -1 adds none.

    Rows without memory: quotient normalised maximum likelihood (qNML; Silander, Leppa-aho, Jaasaari and Roos 2018, PMLR
    84:948-957), the regret of the table of a family less that of its parents' table. Rows with memory: BIC (Schwarz
    1978, doi:10.1214/aos/1176344136), each interaction of variables charged as often as their product remembers. Graphs
    of the same independences score alike either way. A family whose penalty exceeds all that the added parent can gain
    scores minus infinity and is not counted: what the other parents left to gain, and the entropy of the added one.

    Parameters
    ----------
    node : int
        The variable.
    parents : ndarray of int64, shape (k,)
        Its parents, in ascending order.
    added : ndarray of int64, shape (m,)
        Variables to add, one at a time.
    tables : Tables
        The rows.
    draw : int
        The resample.
    out : ndarray of float64, shape (m,)
        Receives the scores.
    """
    none = np.empty(0, np.int64)
    base = np.empty(0, np.int32)
    nothing = base
    price, charged = 0.5 * math.log(tables.totals[draw]), _charged(node, parents, -1, tables)
    bare = _pooled(node, parents, -1, tables, base, 0.0, draw)
    seen = _pooled(node, parents, -1, tables, base, 0.0, 0)
    left = -bare - price * charged
    for place in range(added.size):
        other = added[place]
        if other < 0:
            out[place] = bare
            continue
        dear = price * (_charged(node, parents, other, tables) - charged)
        if dear > left:
            out[place] = -np.inf
            continue
        alone = _pooled(other, none, -1, tables, nothing, 0.0, draw)
        if dear > -alone - price * _charged(other, none, -1, tables):
            out[place] = -np.inf
            continue
        if base.size == 0 and parents.size:
            base = _based(node, parents, tables)
        out[place] = _pooled(node, parents, other, tables, base, seen, draw)


@compiled
def _pooled(
    node: int,
    parents: NDArray[np.int64],
    other: int,
    tables: Tables,
    base: NDArray[np.int32],
    bare: float,
    draw: int,
) -> float:
    """Return the score of a family in a resample, counted for all of them if it was not yet."""
    key = tables.words[tables.cards.size + node]
    for parent in parents:
        key ^= tables.words[parent]
    if other >= 0:
        key ^= tables.words[other]
    at = key & (tables.keys.size - 1)
    while tables.keys[at] != 0 and tables.keys[at] != key:
        at = (at + 1) & (tables.keys.size - 1)
    if tables.keys[at] == 0:
        if 2 * tables.used[0] > tables.keys.size:
            tables.keys[:] = 0
            tables.used[0] = 0
            at = key & (tables.keys.size - 1)
        tables.keys[at] = key
        tables.used[0] += 1
        if base.size == 0:
            base = _based(node, parents, tables)
        span, states = tables.cards[node], tables.cards[node]
        for parent in parents:
            span *= tables.cards[parent]
        scores = tables.scores[at]
        charged = _charged(node, parents, other, tables)
        more = charged - _charged(node, parents, -1, tables)
        free = (span / states) * (tables.cards[max(other, 0)] - 1) * (states - 1)
        _score(_counted(base, span, other, tables, 1), states, tables, charged, scores[:1])
        if scores.size > 1:
            dear = more * math.log(tables.totals[0])
            if other >= 0 and _hopeless(scores[0] - bare, free, free if tables.regrets.size else more, dear):
                scores[1:] = -np.inf
            else:
                _score(_counted(base, span, other, tables, scores.size), states, tables, charged, scores)
    return float(tables.scores[at, draw])


@compiled
def _charged(node: int, parents: NDArray[np.int64], other: int, tables: Tables) -> float:
    """Return what BIC counts: free parameters, each as often as what it tells of remembers itself, or their worth."""
    if tables.regrets.size:
        among = float(tables.cards[other]) if other >= 0 else 1.0
        for parent in parents:
            among *= tables.cards[parent]
        dear = _regret(among * tables.cards[node], tables) - _regret(among, tables)
        return float(2 * dear / math.log(tables.totals[0]))
    made = 0.0
    for at in range(tables.apart.size):
        part = tables.apart[at] * (tables.cards[node] - 1) * tables.shares[node, at]
        for parent in parents:
            part *= 1 + (tables.cards[parent] - 1) * tables.shares[parent, at]
        if other >= 0:
            part *= 1 + (tables.cards[other] - 1) * tables.shares[other, at]
        made += part
    return made


@compiled
def _regret(cells: float, tables: Tables) -> float:
    """Return the log normalising sum of a multinomial; beyond the table, where counts tell nothing, by its slope."""
    last = tables.regrets.size - 1
    if cells <= last:
        return float(tables.regrets[int(cells)])
    return float(tables.regrets[last]) + float(tables.totals[0]) * math.log(cells / last)


@compiled
def _regrets(rows: int) -> NDArray[np.float64]:
    """Return the log normalising sums of multinomials of 0 to as many cells as rows; none of less than two rows.

    The recursion is exact (Kontkanen and Myllymaki 2007, doi:10.1016/j.ipl.2007.04.003); that of two cells it starts
    from is the approximation of Szpankowski (2001).
    """
    made = np.zeros(min(rows, _REGRETS) + 1 if rows > 1 else 0)
    if rows > 1:
        made[2] = 0.5 * math.log(rows * math.pi / 2) + math.sqrt(8 / (9 * rows * math.pi))
        made[2] += (3 * math.pi - 16) / (36 * rows * math.pi)
    for cells in range(3, made.size):
        made[cells] = made[cells - 1] + math.log1p(rows / (cells - 2) * math.exp(made[cells - 2] - made[cells - 1]))
    return made


@compiled
def _hopeless(gain: float, free: float, charged: float, dear: float) -> bool:
    """Return whether no resample gains by a parent: a chi-square about that of the data, five deviations up."""
    seen, each = 2 * gain + dear, charged / max(free, 1.0)
    return seen + charged + _FAR * math.sqrt(2 * each * (charged + 2 * max(seen, 0.0))) < dear


@compiled
def _based(node: int, parents: NDArray[np.int64], tables: Tables) -> NDArray[np.int32]:
    """Return the cell of the table of a family that each row is in; the states of the variable run fastest."""
    base: NDArray[np.int32] = tables.codes[node].astype(np.int32)
    span = np.int32(tables.cards[node])
    for parent in parents:
        more = tables.codes[parent]
        for row in range(base.size):
            base[row] += span * np.int32(more[row])
        span *= np.int32(tables.cards[parent])
    return base


@compiled
def _counted(base: NDArray[np.int32], span: int, other: int, tables: Tables, many: int) -> NDArray[np.int32]:
    """Return the table of a family, one more parent at most, in the first resamples: counts of (cells, resamples)."""
    size = span if other < 0 else span * tables.cards[other]
    counts, inside = np.zeros((size, many), np.int32), np.zeros(size, np.int32)
    more = tables.codes[max(other, 0)]
    step = np.int32(span if other >= 0 else 0)
    if many == 1:
        for row in range(base.size):
            counts[base[row] + step * np.int32(more[row]), 0] += tables.times[row]
        return counts
    for cell in range(tables.bounds.size - 1):
        low, high = tables.bounds[cell], tables.bounds[cell + 1]
        drawn = tables.draws[cell]
        if high - low < size:
            for row in range(low, high):
                line, times = counts[base[row] + step * np.int32(more[row])], tables.times[row]
                for draw in range(many):
                    line[draw] += times * drawn[draw]
            continue
        for row in range(low, high):
            inside[base[row] + step * np.int32(more[row])] += tables.times[row]
        for place in range(size):
            if inside[place]:
                line, times = counts[place], inside[place]
                for draw in range(many):
                    line[draw] += times * drawn[draw]
                inside[place] = 0
    return counts


@compiled
def _score(counts: NDArray[np.int32], states: int, tables: Tables, charged: float, out: NDArray[np.float64]) -> None:
    size, many = counts.shape
    among = np.empty(many, np.int64)
    out[:] = 0.0
    for first in range(0, size, states):
        among[:] = 0
        for cell in range(first, first + states):
            for draw in range(many):
                times = counts[cell, draw]
                among[draw] += times
                out[draw] += tables.logs[times] if times < _LOGS else times * math.log(times)
        for draw in range(many):
            times = among[draw]
            out[draw] -= tables.logs[times] if times < _LOGS else times * math.log(times)
    for draw in range(many):
        out[draw] -= 0.5 * math.log(tables.totals[draw]) * charged
