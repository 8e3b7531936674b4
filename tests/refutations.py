"""Made worlds for refutations: a random graph, mechanisms that follow it, and noise that remembers."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import polars as pl
from worlds import START

from causalrel.graphs import Graph
from causalrel.windows import Windows


def made_graph(rng: np.random.Generator, size: int) -> Graph:
    """A connected graph of engine variables, about 1.5 edges a variable, and an objective that nothing follows."""
    names = [f"v{i}" for i in range(size)]
    edges = set(pairwise(names))
    edges |= {pair for pair in combinations(names, 2) if rng.random() < 1.2 / (size - 1)}
    return Graph.from_edges(sorted(edges), roles=dict.fromkeys(names, "engine"), name="made")


def made_windows(
    graph: Graph, rng: np.random.Generator, *, n: int = 1000, memory: float = 0.9, curved: bool = False
) -> Windows:
    """Windows of a graph's own mechanisms, linear or with a bend; each noise is autoregressive."""
    columns: dict[str, np.ndarray] = {}
    for name in graph.order():
        noise = rng.normal(size=n + 200)
        for i in range(1, n + 200):
            noise[i] = memory * noise[i - 1] + np.sqrt(1 - memory**2) * noise[i]
        value = noise[200:].copy()
        for parent in graph.parents(name):
            x = columns[parent]
            weight = rng.uniform(0.5, 1.0) * rng.choice([-1, 1])
            value += weight * (np.tanh(x) + 0.5 * x if curved else x)
        columns[name] = value
    frame = pl.DataFrame(columns).with_columns(
        pl.datetime_range(START, interval="5m", end=START.replace(year=2027), eager=True).head(n).alias("time"),
        pl.lit(100).alias("total"),
        pl.Series("bad", rng.binomial(100, 0.1, n)),
    )
    return Windows.from_frame(
        frame, time="time", roles=dict.fromkeys(graph.names, "engine"), events={"slo": ("total", "bad")}
    )


def turned(graph: Graph, cause: str, effect: str) -> Graph | None:
    """The graph with one edge turned round; None where that claims nothing else or makes a circle."""
    if set(graph.parents(effect)) == {*graph.parents(cause), cause}:
        return None
    edges = tuple(
        replace(e, cause=effect, effect=cause) if (e.cause, e.effect) == (cause, effect) else e for e in graph.edges
    )
    made = replace(graph, edges=edges)
    return None if effect in made.descendants(cause) else made


def lacking(graph: Graph, cause: str, effect: str) -> Graph:
    """The graph without one edge."""
    return replace(graph, edges=tuple(e for e in graph.edges if (e.cause, e.effect) != (cause, effect)))
