"""Support: the graph of the data, and how often graphs of resamples have each of its edges."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from causalrel.dependences import residuals
from causalrel.discovery.autocorrelation import memory_of
from causalrel.discovery.orders import sorted_order
from causalrel.discovery.patterns import directed_of
from causalrel.discovery.search import best_graph

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.discovery.columns import Columns
    from causalrel.discovery.search import Facts
    from causalrel.discovery.statistics import Counts, Products

Search = Callable[["Facts", "Knowledge", int], "NDArray[np.bool_]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """What is known before the data: ``[a, b]`` is about a as a cause of b.

    Parameters
    ----------
    tiers : ndarray of int64, shape (p,)
        Tier of each variable, from 0 up.
    allowed, required : ndarray of bool, shape (p, p)
        Edges that may be and edges that must be.
    lags : int
        Rows before; their columns follow those of the row, one before first.

    Examples
    --------
    >>> free = Knowledge(tiers=np.array([0, 1]), allowed=np.eye(2, k=1, dtype=bool), required=np.zeros((2, 2), bool))
    >>> free.directed.tolist()
    [[False, True], [False, False]]
    """

    tiers: NDArray[np.int64]
    allowed: NDArray[np.bool_]
    required: NDArray[np.bool_]
    lags: int = 0

    @property
    def present(self) -> int:
        """Columns that are no row before."""
        return len(self.tiers) // (self.lags + 1)

    @property
    def within(self) -> NDArray[np.bool_]:
        """Edges that may be within one row."""
        return np.asarray(self.allowed & (np.arange(len(self.tiers)) < self.present)[:, None])

    @property
    def directed(self) -> NDArray[np.bool_]:
        """Edges whose direction is known, if they are there."""
        known: NDArray[np.bool_] = self.required | (self.allowed & ~self.allowed.T)
        return known

    def start(self) -> NDArray[np.int64]:
        """Return an order that keeps the tiers and the required edges."""
        return sorted_order(self.required, self.tiers, np.arange(len(self.tiers)) / len(self.tiers))

    def free(self) -> Knowledge:
        """Return the same without edges that must be."""
        return replace(self, required=np.zeros_like(self.required))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A graph with its support.

    Parameters
    ----------
    graph, directed : ndarray of bool, shape (p, p)
        Edges, and those whose direction is told.
    joined, support : ndarray of float64, shape (p, p)
        Shares of resamples that join two variables, and that direct the one to the other; NaN without resamples.

    Examples
    --------
    >>> nothing = np.zeros((1, 1))
    >>> Found(graph=nothing > 0, directed=nothing > 0, joined=nothing, support=nothing).graph.any()
    np.False_
    """

    graph: NDArray[np.bool_]
    directed: NDArray[np.bool_]
    joined: NDArray[np.float64]
    support: NDArray[np.float64]


def searched(facts: Facts, knowledge: Knowledge, patience: int) -> NDArray[np.bool_]:
    """Search one graph.

    Parameters
    ----------
    facts : Facts
        What the score reads.
    knowledge : Knowledge
        What is known.
    patience : int
        Kicks in a row that may fail.

    Returns
    -------
    ndarray of bool, shape (p, p)
        The graph.

    Examples
    --------
    >>> from causalrel.discovery.statistics import Blocks, counted
    >>> blocks = Blocks(cell=np.arange(80), count=80, run=1)
    >>> facts = counted([np.array([0, 1] * 40), np.array([0, 1] * 40)], blocks).facts()
    >>> free = Knowledge(tiers=np.array([0, 1]), allowed=np.eye(2, k=1, dtype=bool), required=np.zeros((2, 2), bool))
    >>> searched(facts, free, 1).sum()
    np.int64(1)
    """
    return best_graph(
        facts, knowledge.allowed, knowledge.required, knowledge.tiers, knowledge.start(), patience=patience
    )[0]


def settled[S: "Counts | Products"](
    statistics: S, knowledge: Knowledge, parts: Sequence[NDArray[np.float64]], columns: Columns
) -> S:
    """Charge edges by what the causes of a variable leave of its memory, not by all of it, until the graph stays.

    What two variables owe to a cause that remembers is told by that cause; what is left of them may remember less. All
    of the memory is charged first, so that a cause is only taken for one that stands against it.

    Parameters
    ----------
    statistics : Counts or Products
        What was counted, in blocks of time.
    knowledge : Knowledge
        What is known.
    parts : sequence of ndarray of float64, shape (n, d)
        The columns of each variable.
    columns : Columns
        Their windows and units.

    Returns
    -------
    Counts or Products
        The same with the memory of what is left.

    Examples
    --------
    >>> import polars as pl
    >>> from causalrel.discovery.columns import columns_of
    >>> from causalrel.discovery.statistics import blocks_of, parts_of, summed
    >>> slow = np.sin(np.arange(400) / 9)
    >>> frame = pl.DataFrame({"a": slow, "b": slow + 0.1 * np.random.default_rng(0).normal(size=400)})
    >>> rows = columns_of(frame, None, series=True)
    >>> free = Knowledge(tiers=np.array([0, 1]), allowed=np.eye(2, k=1, dtype=bool), required=np.zeros((2, 2), bool))
    >>> made = summed(rows.values, blocks_of(rows, 0))
    >>> after = settled(made, free, parts_of(rows.values), rows)
    >>> bool(after.blocks.memory.inflation[1, 1] < made.blocks.memory.inflation[1, 1] / 5)
    True
    """
    before = np.zeros_like(knowledge.allowed)
    for _ in range(_ROUNDS):
        graph = searched(statistics.facts(), knowledge, _PATIENCE_AGAIN)
        blocks = statistics.blocks
        if blocks is None or columns.step is None or columns.unit is None or (graph == before).all():
            break
        left = [
            residuals(part, np.hstack([parts[i] for i in range(len(parts)) if causes[i]])) if causes.any() else part
            for part, causes in zip(parts, graph.T, strict=True)
        ]
        statistics = replace(statistics, blocks=replace(blocks, memory=memory_of(left, columns.step, columns.unit)))
        before = graph
    return statistics


def supported(
    statistics: Counts | Products,
    knowledge: Knowledge,
    *,
    resamples: int,
    seed: int,
    search: Search = searched,
    workers: int | None = None,
) -> Found:
    """Search the graph of the data, then graphs of resamples, which need not have the edges that must be.

    Edge support by resampling whole blocks (Friedman, Goldszmidt and Wyner 1999, arXiv:1301.6695).

    Parameters
    ----------
    statistics : Counts or Products
        What was counted.
    knowledge : Knowledge
        What is known.
    resamples : int
        Resamples; 0 gives no support.
    seed : int
        Seed of the resamples.
    search : callable
        From facts, knowledge and patience to a graph.
    workers : int, optional
        Threads; one a processor where not given. The answer does not depend on them.

    Returns
    -------
    Found
        The graph with its support.

    Examples
    --------
    >>> from causalrel.discovery.statistics import Blocks, counted
    >>> blocks = Blocks(cell=np.arange(80), count=80, run=1)
    >>> counts = counted([np.array([0, 1] * 40), np.array([0, 1] * 40)], blocks)
    >>> free = Knowledge(tiers=np.array([0, 1]), allowed=np.eye(2, k=1, dtype=bool), required=np.zeros((2, 2), bool))
    >>> supported(counts, free, resamples=4, seed=0).support.tolist()
    [[0.0, 1.0], [0.0, 0.0]]
    """
    graph = search(statistics.facts(), knowledge, _PATIENCE)
    free = knowledge.free()

    def shares(numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        rngs = [np.random.default_rng([seed, 5, number]) for number in numbers]
        graphs = [search(facts, free, _PATIENCE_AGAIN) for facts in statistics.resampled(rngs)]
        told = [directed_of(made, free.directed) for made in graphs]
        return np.sum([made | made.T for made in graphs], axis=0), np.sum(told, axis=0)

    joined, support = np.zeros(graph.shape), np.zeros(graph.shape)
    threads = workers or os.cpu_count() or 1
    together = min(-(-resamples // threads), _TOGETHER)
    with ThreadPoolExecutor(threads) as pool:
        for both, directed in pool.map(
            shares, np.split(np.arange(resamples), range(together, resamples, together)) if resamples else ()
        ):
            joined += both
            support += directed
    share = resamples or np.nan
    return Found(
        graph=graph,
        directed=directed_of(graph, knowledge.directed),
        joined=joined / share,
        support=support / share,
    )


_ROUNDS = 4
_PATIENCE = 24
_PATIENCE_AGAIN = 2
_TOGETHER = 100
