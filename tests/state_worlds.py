"""Small networks of known tables, trajectories drawn from them, and their full joint distribution by enumeration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

import causalrel as cr
from causalrel.tables import States, known_table
from causalrel.tabular import table_network
from causalrel.telemetry.schema import TIME

START = datetime(2026, 2, 11, tzinfo=UTC)
HOUR = timedelta(hours=1)
Node = tuple[str, int]


def random_network(seed: int, *, lags: int = 1, most: int = 3) -> cr.Network:
    """Return a random network of two or three variables of two or three states, every chance above zero."""
    rng = np.random.default_rng(seed)
    names = [f"v{i}" for i in range(int(rng.integers(2, most + 1)))]
    cards = {name: int(rng.integers(2, 4)) if len(names) < 3 else 2 for name in names}
    edges: list[tuple[str, str, int]] = [
        (cause, effect, 0) for i, cause in enumerate(names) for effect in names[i + 1 :] if rng.random() < 0.5
    ]
    edges += [
        (cause, effect, lag)
        for lag in range(1, lags + 1)
        for cause in names
        for effect in names
        if rng.random() < (0.6 if cause == effect else 0.25)
    ]
    if not any(lag for *_, lag in edges):
        edges.append((names[0], names[0], 1))
    graph = cr.Graph.from_edges(edges, roles=dict.fromkeys(names, "engine"))
    tables = {}
    for name in names:
        parents = sorted(((c, lag) for c, e, lag in edges if e == name), key=lambda p: (p[1], p[0]))
        later, first = (
            rng.random((*(cards[p] for p, lag in parents if lag == 0 or whole), cards[name])) + 0.05
            for whole in (True, False)
        )
        states = States(labels=tuple(f"s{i}" for i in range(cards[name])))
        tables[name] = known_table(
            states, parents, later / later.sum(-1, keepdims=True), first / first.sum(-1, keepdims=True)
        )
    return table_network(graph, tables)


def labelled(network: cr.Network, columns: Mapping[str, Sequence[str | None]]) -> cr.Windows:
    """Return windows of one unit that hold states of a network's variables."""
    steps = len(next(iter(columns.values())))
    data = {name: pl.Series(list(column), dtype=pl.String) for name, column in columns.items()}
    frame = pl.DataFrame({"t": pl.Series([START + HOUR * i for i in range(steps)], dtype=TIME), **data})
    frame = frame.with_columns(n=1, b=0)
    roles = {variable.name: variable.role for variable in network.graph.variables}
    return cr.Windows.from_frame(frame, time="t", roles=roles, events={"slo": ("n", "b")}, every="1h")


def enumerate_joint(network: cr.Network, steps: int, do: Mapping[Node, int | np.ndarray] | None = None) -> np.ndarray:
    """Return the joint chances of every variable at every step, one axis a node, steps outermost.

    An independent reference: the product of all tables over all joint states, nothing eliminated.
    """
    tables = {m.variable.name: m.table for m in network.mechanisms}
    names = list(tables)
    axis = {(name, step): step * len(names) + i for step in range(steps) for i, name in enumerate(names)}
    joint = np.ones([len(tables[name].states.labels) for _ in range(steps) for name in names])
    for (name, step), at in axis.items():
        table = tables[name]
        if do and (name, step) in do:
            chosen = do[name, step]
            values = np.eye(joint.shape[at])[chosen] if isinstance(chosen, int) else np.asarray(chosen)
            nodes = [(name, step)]
        else:
            started = step >= table.lags
            values = table.mean if started else table.first_mean
            nodes = [(p, step - lag) for p, lag in table.parents if started or lag == 0] + [(name, step)]
        axes = [axis[node] for node in nodes]
        turned = np.transpose(values, np.argsort(axes))
        shape = [1] * joint.ndim
        for one in axes:
            shape[one] = joint.shape[one]
        joint = joint * turned.reshape(shape)
    return joint


def conditional(network: cr.Network, joint: np.ndarray, of: Sequence[Node], given: Mapping[Node, int]) -> np.ndarray:
    """Return the joint chances of some nodes given states of others, from a full joint."""
    names = [m.variable.name for m in network.mechanisms]
    where = {node: node[1] * len(names) + names.index(node[0]) for node in [*of, *given]}
    cut = joint
    for node, state in given.items():
        shape = [1] * joint.ndim
        shape[where[node]] = -1
        cut = cut * np.eye(joint.shape[where[node]])[state].reshape(shape)
    keep = [where[node] for node in of]
    kept = cut.sum(axis=tuple(a for a in range(joint.ndim) if a not in keep))
    kept = np.transpose(kept, np.argsort(np.argsort(keep)))
    return kept / kept.sum()


def draw_path(network: cr.Network, steps: int, rng: np.random.Generator) -> dict[str, list[str]]:
    """Draw a trajectory, by the first tables first."""
    tables = {m.variable.name: m.table for m in network.mechanisms}
    path: dict[str, list[int]] = {name: [] for name in tables}
    for step in range(steps):
        for name, table in tables.items():
            started = step >= table.lags
            parents = [p for p in table.parents if started or p[1] == 0]
            row = (table.mean if started else table.first_mean)[tuple(path[p][step - lag] for p, lag in parents)]
            path[name].append(int(rng.choice(len(row), p=row)))
    return {name: [tables[name].states.labels[i] for i in codes] for name, codes in path.items()}


def with_gaps(path: Mapping[str, Sequence[str]], share: float, rng: np.random.Generator) -> dict[str, list[str | None]]:
    """Leave out some share of the cells at random."""
    return {name: [None if rng.random() < share else value for value in column] for name, column in path.items()}
