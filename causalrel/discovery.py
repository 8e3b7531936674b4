"""Discovery: windows -> a graph whose edges say how often resampled data found them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from causalrel import display, errors
from causalrel.fitting import rows_of
from causalrel.graphs import Edge, Graph
from causalrel.graphs.surgery import checked
from causalrel.regressions import time_groups
from causalrel.variables import TIERS, Variable
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

Pair = tuple[str, str]

_BINS = 4
_KEEP = 0.5


def discover(windows: Windows, graph: Graph | None = None, *, resamples: int = 20, seed: int = 0) -> Graph:
    """Learn a graph over variables and SLOs, in the causal order of their roles.

    Greedy search (pgmpy) for the best BIC on quartile-coded windows, on the data and on resamples of whole time blocks
    (Friedman, Goldszmidt and Wyner 1999, arXiv:1301.6695). An edge is kept if the data hold it and at least half of the
    resamples do. The share is raw: it orders edges, it is not a probability.

    Parameters
    ----------
    windows : Windows
        The windows.
    graph : Graph, optional
        What is believed: its variables are searched, its forbidden edges kept out, its edges kept with their ``why``
        and given the support that the data lend them.
    resamples : int
        Resamples of time blocks.
    seed : int
        Seed of the resamples.

    Returns
    -------
    Graph
        Edges with ``support``; those whose direction neither order nor data tell are not ``oriented``.

    Raises
    ------
    CausalrelError
        When fewer than two variables vary or there are fewer than 50 complete windows.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> found = cr.discover(windows, resamples=2)
    >>> ("queue_s", "ttft") in {(edge.cause, edge.effect) for edge in found.edges}
    True
    """
    if resamples < 1:
        raise errors.bad_question(f"discover: {resamples} resamples give no support", "ask for 20 or more")
    codes, variables, groups = _coded(windows, graph)
    tiers = [[v.name for v in variables if v.tier == tier] for tier in sorted(set(TIERS.values()))]
    known = {v.name for v in variables}
    forbidden = [pair for pair in (graph.forbidden if graph else ()) if set(pair) <= known]
    stated = [e for e in (graph.edges if graph else ()) if e.lag == 0 and {e.cause, e.effect} <= known]
    start = [(e.cause, e.effect) for e in stated]

    from causalrel.bridges import pgmpy

    edges, loose = pgmpy.hill_climb(codes, tiers=tiers, forbidden=forbidden, start=start)
    counts: dict[Pair, int] = {}
    for rows in _resampled(groups, resamples, seed):
        again, _ = pgmpy.hill_climb(
            {name: column[rows] for name, column in codes.items()}, tiers=tiers, forbidden=forbidden, start=start
        )
        for pair in again:
            counts[pair] = counts.get(pair, 0) + 1
    support = {pair: round(count / resamples, 6) for pair, count in counts.items()}
    made = [replace(e, support=support.get((e.cause, e.effect), 0.0)) for e in stated]
    learnt = _learnt(edges, loose, support, start)
    said = f"found in {{:.0%}} of {resamples} block resamples"
    for pair, oriented in learnt:
        edge = Edge(
            cause=pair[0],
            effect=pair[1],
            support=support[pair],
            oriented=oriented,
            why=said.format(support[pair]),
            source="data",
        )
        if not _closes_loop([(e.cause, e.effect) for e in made], pair):
            made.append(edge)
    base = graph or Graph(variables=(), edges=(), name="discovered")
    return checked(
        replace(
            base, variables=variables, edges=tuple(made), forbidden=tuple(forbidden), unmeasured=_hidden(base, known)
        ),
        base.name,
    )


def _learnt(
    edges: frozenset[Pair], loose: frozenset[frozenset[str]], support: dict[Pair, float], start: Sequence[Pair]
) -> list[tuple[Pair, bool]]:
    stated = {frozenset(pair) for pair in start}
    fresh = [pair for pair in edges if frozenset(pair) not in stated and support.get(pair, 0.0) >= _KEEP]
    fresh.sort(key=lambda pair: (-support[pair], pair))
    return [(pair, frozenset(pair) not in loose) for pair in fresh]


def _hidden(base: Graph, known: set[str]) -> tuple[Any, ...]:
    narrowed = [replace(u, affects=tuple(a for a in u.affects if a in known)) for u in base.unmeasured]
    return tuple(u for u in narrowed if len(u.affects) > 1)


def _closes_loop(edges: Sequence[Pair], new: Pair) -> bool:
    todo, seen = [new[1]], set()
    while todo:
        at = todo.pop()
        if at == new[0]:
            return True
        seen.add(at)
        todo += [effect for cause, effect in edges if cause == at and effect not in seen]
    return False


def _coded(
    windows: Windows, graph: Graph | None
) -> tuple[dict[str, NDArray[np.int64]], tuple[Variable, ...], NDArray[np.int64]]:
    slos = tuple(Variable(name=s.name, role="outcome", kind="events", unit="1") for s in windows.slos)
    measured = [v for v in windows.variables if graph is not None or v.role != "outcome"]
    wanted = [v for v in (*measured, *slos) if graph is None or v.name in graph.names]
    if graph is not None:
        wanted = [graph.variable(v.name) for v in wanted]
    columns, kept = rows_of(windows, [v.name for v in wanted])
    if kept.height < 50:
        raise errors.refused("discovery", f"it needs 50 complete windows and there are {kept.height}")
    events = {slo.name for slo in windows.slos}
    codes: dict[str, NDArray[np.int64]] = {}
    for variable in wanted:
        name = variable.name
        values = columns[f"{name}.bad"] / columns[f"{name}.total"] if name in events else columns[name]
        coded = _code(values)
        if coded.max() > 0:
            codes[name] = coded
    if len(codes) < 2:
        varied = display.plain(", ".join(codes)) or "nothing"
        raise errors.refused("discovery", f"only {varied} varies, and an edge joins two variables that do")
    first = next(iter(codes.values())).astype(np.float64)
    groups, _ = time_groups(columns["step"], first - first.mean())
    return codes, tuple(v for v in wanted if v.name in codes), groups


def _code(values: NDArray[Any]) -> NDArray[np.int64]:
    distinct, codes = np.unique(values, return_inverse=True)
    if len(distinct) <= _BINS + 1 or values.dtype.kind not in "fiu":
        return codes.astype(np.int64)
    cuts = np.unique(np.quantile(values, np.arange(1, _BINS) / _BINS))
    return np.searchsorted(cuts, values, side="right").astype(np.int64)


def _resampled(groups: NDArray[np.int64], resamples: int, seed: int) -> list[NDArray[np.intp]]:
    rng = np.random.default_rng([seed, 5])
    names = np.unique(groups)
    members = {name: np.flatnonzero(groups == name) for name in names}
    drawn = [rng.choice(names, size=len(names)) for _ in range(resamples)]
    return [np.concatenate([members[name] for name in one]) for one in drawn]
