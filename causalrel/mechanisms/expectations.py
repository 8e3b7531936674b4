"""Expectations: windows to tables of states by expected counts, where cells or whole windows are missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from causalrel import display, errors
from causalrel.estimates import Check
from causalrel.graphs import Graph
from causalrel.inference.courses import node_values
from causalrel.inference.factors import Factor, Node
from causalrel.inference.slices import Course, Slices, filter_slices, joint_at, seen_course, smooth_slices
from causalrel.mechanisms.priors import smooth_counts
from causalrel.networks import Mechanism, Network
from causalrel.tables import Parent, States, Table, check_cells, find_states
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_ROUNDS = 200
_STILL = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """Variables, causes first, their states and parents."""

    names: tuple[str, ...]
    states: tuple[States, ...]
    parents: tuple[tuple[Parent, ...], ...]

    @property
    def cards(self) -> dict[str, int]:
        return {name: len(states.labels) for name, states in zip(self.names, self.states, strict=True)}

    def shape(self, at: int) -> tuple[int, ...]:
        return (*(self.cards[name] for name, _ in self.parents[at]), len(self.states[at].labels))


def fit_tables(
    windows: Windows, graph: Graph, states: Mapping[str, int | Sequence[float]] | None = None, seed: int = 0
) -> Network:
    """Fit one table per variable of a static or dynamic graph.

    Rows next to each other are pairs; a window of nulls ends a run, and no pair bridges it. Where a row lacks some
    values, every table gets the counts expected of it given all its run (expectation maximisation; exact).

    Parameters
    ----------
    windows : Windows
        The windows; units share their tables.
    graph : Graph
        A graph whose variables the windows hold, without unmeasured causes.
    states : mapping of str to int or sequence of float, optional
        Number of states or the cuts of a variable, in its unit; of an SLO, cuts of its share of bad events.
    seed : int
        Seed kept for questions.

    Returns
    -------
    Network
        A network of tables.

    Raises
    ------
    CausalrelError
        When states are of no variable, the graph has unmeasured causes, a table is too large, or no window is whole.
    """
    unknown = sorted(set(states or {}) - set(graph.names))
    if unknown:
        raise errors.unknown_variable(unknown[0], "states", graph.names)
    signed = [edge for edge in graph.edges if edge.monotone]
    if signed:
        what = (
            f"{signed[0].cause} -> {signed[0].effect} is {signed[0].monotone} in it, which tables of states cannot heed"
        )
        raise errors.refused(f"fitting graph '{graph.name}' as tables", f"{what}; leave monotone out of its edges")
    plan = _planned(windows, graph, states or {})
    runs = _runs(windows, plan)
    used = sum(len(run) for run in runs)
    if not used:
        raise errors.refused(f"fitting graph '{graph.name}'", "every window lacks every variable")
    tables: dict[str, Table] = {}
    if (np.concatenate(runs) < 0).any():
        tables = _tables(plan, *_expected(plan, runs, tables))
    rounds, settled = 0, False
    while not settled and rounds < _MOST_ROUNDS:
        before, rounds = tables, rounds + 1
        counts, first = _expected(plan, runs, tables)
        tables = _tables(plan, counts, first)
        settled = not before or _moved(before, tables) < _STILL
    missing = sum(int((run < 0).sum()) for run in runs)
    return Network(
        graph=graph,
        mechanisms=tuple(
            Mechanism(variable=graph.variable(name), form="table", table=tables[name], explained=_explained(counts[at]))
            for at, name in enumerate(plan.names)
        ),
        slos=tuple(slo for slo in windows.slos if slo.name in graph.names),
        width=windows.width,
        checks=(
            Check(name="runs", passed=True, says=f"{used} windows in {len(runs)} runs between gaps were counted"),
            Check(
                name="missing values",
                passed=settled,
                says=f"{missing} missing values were expected from the others in {rounds} rounds"
                + ", which did not settle" * (not settled),
            ),
        ),
        origin=windows.origin(seed, graph.fingerprint()),
    )


def _planned(windows: Windows, graph: Graph, asked: Mapping[str, int | Sequence[float]]) -> _Plan:
    if graph.unmeasured:
        hidden = ", ".join(cause.name for cause in graph.unmeasured)
        raise errors.refused(
            f"fitting tables of graph '{graph.name}'", f"{display.plain(hidden)} is unmeasured, and a table needs all"
        )
    names = graph.order()
    states = []
    for name in names:
        values = node_values(windows, name)
        slo = next((slo for slo in windows.slos if slo.name == name), None)
        choice = asked.get(name)
        if slo is not None and choice is None:
            choice = (slo.allowed,)
        states.append(find_states(values, name, choice))
    parents = []
    for name in names:
        mine = [edge for edge in graph.edges if edge.effect == name]
        parents.append(tuple((e.cause, e.lag) for e in sorted(mine, key=lambda e: (e.lag, names.index(e.cause)))))
    plan = _Plan(names=names, states=tuple(states), parents=tuple(parents))
    for at, name in enumerate(names):
        check_cells(name, plan.shape(at))
    return plan


def _runs(windows: Windows, plan: _Plan) -> list[NDArray[np.int64]]:
    """Return the states of each unit, cut where a window has nothing."""
    columns = [
        states.codes(node_values(windows, name), name) for name, states in zip(plan.names, plan.states, strict=True)
    ]
    codes = np.column_stack(columns)
    filled: NDArray[np.bool_] = np.max(codes, axis=1) >= 0
    units = windows.table["unit"].to_numpy()
    starts = filled & np.append(True, ~filled[:-1] | (units[1:] != units[:-1]))
    number = np.cumsum(starts)
    return [codes[filled & (number == one)] for one in range(1, int(number.max(initial=0)) + 1)]


def _expected(
    plan: _Plan, runs: Sequence[NDArray[np.int64]], tables: Mapping[str, Table]
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """Return the expected counts of every table, and of those of first windows, over all rows."""
    counts = [np.zeros(plan.shape(at)) for at in range(len(plan.names))]
    early = [_first_shape(plan, at) for at in range(len(plan.names))]
    slices = _slices(plan, tables) if tables else None
    for run in runs:
        course = seen_course(run)
        if slices is not None and (run < 0).any():
            forward, _ = filter_slices(slices, course)
            backward = smooth_slices(slices, course)
        else:
            forward, backward = [], []
        for at in range(len(plan.names)):
            for started, total in ((True, counts[at]), (False, early[at])):
                _add(plan, at, started, total, course, slices, forward, backward)
    first = []
    for at, mine in enumerate(counts):
        lagged = tuple(axis for axis, (_, lag) in enumerate(plan.parents[at]) if lag)
        first.append(early[at] + mine.sum(axis=lagged) if lagged else mine)
    return counts, first


def _add(
    plan: _Plan,
    at: int,
    started: bool,
    total: NDArray[np.float64],
    course: Course,
    slices: Slices | None,
    forward: Sequence[Factor],
    backward: Sequence[Factor],
) -> None:
    """Add what one run is expected to count for one table: rows seen whole at once, others one by one."""
    steps = len(course.codes)
    lag = max((lag for _, lag in plan.parents[at]), default=0)
    low, high = (lag, steps) if started else (0, min(lag, steps))
    if low >= high:
        return
    nodes: list[Node] = [*(p for p in plan.parents[at] if started or p[1] == 0), (plan.names[at], 0)]
    places = [plan.names.index(name) for name, _ in nodes]
    codes = np.stack([course.codes[low - back : high - back, p] for (_, back), p in zip(nodes, places, strict=True)])
    whole = (codes >= 0).all(axis=0)
    np.add.at(total, tuple(codes[:, whole]), 1.0)
    if slices is None:
        return
    for row in np.flatnonzero(~whole):
        step = low + int(row)
        hidden = [node for node, code in zip(nodes, codes[:, row], strict=True) if code < 0]
        before = forward[step - 1] if step else None
        joint = joint_at(slices, course, step, hidden, before, backward[step]).values[0]
        total[tuple(slice(None) if code < 0 else int(code) for code in codes[:, row])] += joint


def _first_shape(plan: _Plan, at: int) -> NDArray[np.float64]:
    now = [plan.cards[name] for name, lag in plan.parents[at] if lag == 0]
    return np.zeros((*now, len(plan.states[at].labels)))


def _tables(
    plan: _Plan, counts: Sequence[NDArray[np.float64]], first: Sequence[NDArray[np.float64]]
) -> dict[str, Table]:
    made = {}
    for at, name in enumerate(plan.names):
        mean, weight = smooth_counts(counts[at])
        start, backing = (mean, weight) if first[at] is counts[at] else smooth_counts(first[at])
        made[name] = Table(
            states=plan.states[at],
            parents=plan.parents[at],
            mean=mean,
            weight=weight,
            first_mean=start,
            first_weight=backing,
        )
    return made


def _slices(plan: _Plan, tables: Mapping[str, Table]) -> Slices:
    return Slices(
        names=plan.names,
        cards=tuple(plan.cards.values()),
        parents=plan.parents,
        later=tuple(tables[name].mean[None] for name in plan.names),
        first=tuple(tables[name].first_mean[None] for name in plan.names),
    )


def _moved(before: Mapping[str, Table], after: Mapping[str, Table]) -> float:
    return max(float(np.abs(before[name].mean - after[name].mean).max()) for name in after)


def _explained(counts: NDArray[np.float64]) -> float:
    """Return which share of a variable's entropy its parents explain, by the counts themselves."""
    rows = counts.reshape(-1, counts.shape[-1])

    def entropy(part: NDArray[np.float64]) -> float:
        share = part / np.maximum(part.sum(axis=-1, keepdims=True), 1e-300)
        return float(-(part * np.log(np.where(share > 0, share, 1.0))).sum())

    alone = entropy(rows.sum(axis=0))
    return 1.0 - entropy(rows) / alone if alone > 0 else 0.0
