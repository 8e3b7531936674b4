"""Random worlds whose structure is known, for the calibration of discovery, its benchmark and its tests.

Each world is drawn from a family, with rows that forget at once or remember (noise of autocorrelation ``memory``), weak
edges among strong ones, and sometimes a cause that nobody measured. The truth is the maximal ancestral graph over what
was measured (Richardson and Spirtes 2002, doi:10.1214/aos/1031689015): without such causes, the graph itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.special import ndtr

from causalrel.discovery.columns import Columns
from causalrel.discovery.support import Knowledge
from causalrel.variables import Variable
from causalrel.windows import Windows

Bools = NDArray[np.bool_]
#: Families that the shipped calibration was made on, and those that only judge it.
FITTED = ("linear", "cubed", "heavy", "mixed", "bent", "table")
HELD_BACK = ("sine", "saturated", "hinged", "queued")


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Columns of one world and its truth: ``joined`` and ``causes`` are those of its ancestral graph."""

    values: list[NDArray[Any]]
    joined: Bools
    causes: Bools
    tiers: NDArray[np.int64]
    timed: bool

    @property
    def names(self) -> list[str]:
        return [f"x{i:02}" for i in range(len(self.values))]

    def columns(self) -> Columns:
        kinds = [Variable(name=name, role="engine", kind="number") for name in self.names]
        step = np.arange(len(self.values[0])) if self.timed else None
        unit = np.zeros_like(step) if step is not None else None
        return Columns(variables=tuple(kinds), values=tuple(self.values), step=step, unit=unit, notes=())

    def knowledge(self) -> Knowledge:
        allowed = (self.tiers[:, None] <= self.tiers) & ~np.eye(len(self.tiers), dtype=bool)
        return Knowledge(tiers=self.tiers, allowed=allowed, required=np.zeros_like(allowed))

    def data(self) -> Windows | pl.DataFrame:
        frame = pl.DataFrame(
            {
                name: values.astype(str) if values.dtype == np.int64 else values
                for name, values in zip(self.names, self.values, strict=True)
            }
        )
        if not self.timed:
            return frame
        times = [datetime(2026, 2, 9, tzinfo=UTC) + timedelta(minutes=i) for i in range(frame.height)]
        table = frame.with_columns(time=pl.Series(times).cast(pl.Datetime("us", "UTC")), unit=pl.lit("one"))
        kinds = [
            Variable(name=n, role="engine", kind="category" if v.dtype == np.int64 else "number")
            for n, v in zip(self.names, self.values, strict=True)
        ]
        return Windows(table=table, width=timedelta(minutes=1), slos=(), variables=tuple(kinds))


def world(
    family: str,
    seed: int,
    *,
    rows: int | None = None,
    size: int | None = None,
    memory: float = 0.0,
    hidden: int = 0,
    tiered: bool | None = None,
    planted: bool = False,
) -> World:
    """Draw one world; what is not given is drawn too. ``planted`` gives a hidden cause and strong witnesses of it."""
    rng = np.random.default_rng([seed, sum(map(ord, family))])
    size = size or int(rng.integers(5, 17))
    rows = rows or int(np.exp(rng.uniform(np.log(200), np.log(5_000 if family == "table" else 20_000))))
    hidden = 1 if planted else hidden
    graph = _planted(rng, size) if planted else drawn(rng, size, hidden)
    noise = remembered(rng, rows, len(graph), memory)
    make = _tables if family == "table" else _numbers
    values = make(family, rng, graph, noise, hidden)
    tiers = np.zeros(size, dtype=np.int64)
    if rng.random() < 0.5 if tiered is None else tiered:
        tiers = np.sort(rng.integers(3, size=size)).astype(np.int64)
    joined, causes = ancestral(graph, hidden)
    shuffled = rng.permutation(size)
    return World(
        values=[values[hidden + i] for i in shuffled],
        joined=joined[np.ix_(shuffled, shuffled)],
        causes=causes[np.ix_(shuffled, shuffled)],
        tiers=np.unique(tiers[shuffled], return_inverse=True)[1].astype(np.int64),
        timed=memory > 0,
    )


def drawn_from(family: str, seed: int) -> tuple[World, int]:
    """Draw a world and a number of resamples, as the calibration has them; seeds walk through memory and causes."""
    rng = np.random.default_rng([seed, 9])
    memory = (0.0, 0.9, float(rng.uniform(0.3, 0.97)), 0.0)[seed % 4]
    return world(family, seed, memory=memory, hidden=int(seed % 3 == 0)), int(rng.choice([10, 25, 50]))


def drawn(rng: np.random.Generator, size: int, hidden: int) -> Bools:
    """Draw a graph in causal order; its first ``hidden`` nodes are roots that nobody measured, of two effects each."""
    density = rng.uniform(0.8, 3.0) / max(size - 1, 1)
    graph = np.zeros((hidden + size,) * 2, dtype=bool)
    graph[hidden:, hidden:] = np.triu(rng.random((size, size)) < density, 1)
    for one in range(hidden):
        graph[one, hidden + rng.choice(size, size=2, replace=False)] = True
    return graph


def _planted(rng: np.random.Generator, size: int) -> Bools:
    """Draw a graph whose first node is hidden, with two effects, each with a cause of its own."""
    while True:
        graph = drawn(rng, size, 1)
        one, two = np.flatnonzero(graph[0])
        own = [np.flatnonzero(graph[1:, a] & ~graph[1:, b]) + 1 for a, b in ((one, two), (two, one))]
        joined, causes = ancestral(graph, 1)
        near = joined[[one - 1, two - 1]]
        apart = [[w for w in own[i] if not near[1 - i, w - 1]] for i in (0, 1)]
        if all(apart) and not causes[one - 1, two - 1]:
            return graph


def remembered(rng: np.random.Generator, rows: int, size: int, memory: float) -> NDArray[np.float64]:
    """Draw normal noise, each column an autoregression of order one, about as persistent as told."""
    made = rng.normal(size=(size, rows + 200))
    for i, share in enumerate(rng.uniform(0.7, 1.0, size=size) * memory if memory else ()):
        made[i] = lfilter([np.sqrt(1 - share**2)], [1, -share], made[i])
    return np.asarray(made[:, 200:])


def ancestral(graph: Bools, hidden: int) -> tuple[Bools, Bools]:
    """Return which measured nodes nothing measured separates, and which of those cause the other."""
    size = len(graph)
    reach = graph | np.eye(size, dtype=bool)
    for _ in range(size):
        reach = (reach.astype(int) @ reach) > 0
    joined = np.zeros_like(graph)
    for a in range(hidden, size):
        for b in range(hidden, a):
            before = reach[:, a] | reach[:, b]
            held = before & (np.arange(size) >= hidden) & ~np.isin(np.arange(size), (a, b))
            part = graph & before[:, None] & before
            moral = part | part.T | ((part.astype(int) @ part.T) > 0)
            moral[held] = False
            moral[:, held] = False
            joined[a, b] = joined[b, a] = np.linalg.matrix_power(
                (moral | np.eye(size, dtype=bool)).astype(float), size
            )[a, b]
    joined = joined[hidden:, hidden:]
    return joined, joined & reach[hidden:, hidden:]


def _numbers(family: str, rng: np.random.Generator, graph: Bools, noise: Any, hidden: int) -> list[NDArray[Any]]:
    made: list[NDArray[Any]] = []
    coded: list[NDArray[Any]] = []
    if family == "heavy":
        noise = np.sinh(1.3 * noise) / 2
    for node in range(len(graph)):
        total = noise[node].copy()
        for cause in np.flatnonzero(graph[:, node]):
            strong = cause < hidden or (graph[:hidden, node].any() and rng.random() < 0.8)
            weight = rng.uniform(0.8, 1.5) if strong else np.exp(rng.uniform(np.log(0.06), np.log(1.2)))
            total = total + rng.choice([-1, 1]) * weight * _LINKS.get(family, _straight)(made[cause], rng)
        if family == "queued":
            total = np.exp(0.6 * (total - total.mean()) / total.std())
            total = total / (total + np.quantile(total, 0.9))
        total = (total - total.mean()) / total.std()
        made.append(total)
        if family == "mixed" and rng.random() < 0.5:
            cuts = np.quantile(total, np.sort(rng.uniform(0.15, 0.85, size=int(rng.integers(1, 4)))))
            codes = np.digitize(total, cuts).astype(np.int64)
            coded.append(codes)
            made[-1] = (codes - codes.mean()) / codes.std()
        else:
            coded.append(total**3 if family == "cubed" else total)
    return coded


def _straight(x: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    return x


def _bent(x: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    share = rng.uniform(0, 0.5)
    return (1 - share) * x + share * (np.minimum(x**2, 9) - 1)


_LINKS: dict[str, Callable[[NDArray[np.float64], np.random.Generator], NDArray[np.float64]]] = {
    "bent": _bent,
    "sine": lambda x, rng: np.sin(rng.uniform(1, 2) * x),
    "saturated": lambda x, rng: np.tanh(rng.uniform(0.7, 2) * (x - rng.uniform(-1, 1))),
    "hinged": lambda x, rng: 1.5 * np.maximum(x - rng.uniform(-1, 1), 0),
}


def _tables(family: str, rng: np.random.Generator, graph: Bools, noise: Any, hidden: int) -> list[NDArray[Any]]:
    made: list[NDArray[Any]] = []
    for node in range(len(graph)):
        states, key, span = int(rng.integers(2, 5)), np.zeros(noise.shape[1], np.int64), 1
        for cause in np.flatnonzero(graph[:, node]):
            key += span * made[cause]
            span *= int(made[cause].max()) + 1
        shares = rng.dirichlet(np.full(states, rng.choice([0.5, 1.0, 5.0])), size=span)
        even = rng.uniform(0, 0.8) * (node >= hidden)
        shares = even * shares.mean(axis=0) + (1 - even) * shares
        made.append(_states(shares[key], ndtr(noise[node])))
    return made


def _states(shares: NDArray[np.float64], uniform: NDArray[np.float64]) -> NDArray[np.int64]:
    codes = (uniform[:, None] > np.cumsum(shares, axis=1)).sum(axis=1)
    return np.unique(np.minimum(codes, shares.shape[1] - 1), return_inverse=True)[1].astype(np.int64)


def published(
    order: list[str], parents: dict[str, tuple[list[str], Any]], rows: int, seed: int, memory: float
) -> World:
    """Draw a published network, its noise remembering as told."""
    rng = np.random.default_rng(seed)
    noise = ndtr(remembered(rng, rows, len(order), memory))
    made: dict[str, Any] = {}
    for place, node in enumerate(order):
        causes, table = parents[node]
        shares = np.moveaxis(table, 0, -1)[tuple(made[cause] for cause in causes)]
        shares = np.broadcast_to(shares, (rows, table.shape[0]))
        made[node] = np.minimum((noise[place][:, None] > np.cumsum(shares, axis=1)).sum(axis=1), table.shape[0] - 1)
    kept = [node for node in order if len(np.unique(made[node])) > 1]
    graph = np.array([[a in parents[b][0] for b in kept] for a in kept])
    codes = [np.unique(made[node], return_inverse=True)[1].astype(np.int64) for node in kept]
    return World(
        values=codes, joined=graph | graph.T, causes=graph, tiers=np.zeros(len(kept), dtype=np.int64), timed=memory > 0
    )
