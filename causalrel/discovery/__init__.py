"""Discovery: windows or a frame -> a graph whose edges say how often resampled data found them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from causalrel import display, errors
from causalrel.discovery.columns import Columns, columns_of
from causalrel.discovery.lags import lagged, with_past
from causalrel.graphs import Edge, Graph
from causalrel.graphs.surgery import checked
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.discovery.search import Facts
    from causalrel.discovery.support import Found, Knowledge

Method = Literal["auto", "discrete", "gaussian", "pgmpy"]

_METHODS = ("auto", "discrete", "gaussian", "pgmpy")
_KEEP = 0.5


def discover(
    data: Windows | pl.DataFrame | pl.LazyFrame,
    graph: Graph | None = None,
    *,
    tiers: Sequence[Sequence[str]] | None = None,
    lags: int = 0,
    resamples: int = 200,
    method: Method = "auto",
    seed: int = 0,
) -> Graph:
    """Learn a graph over variables and SLOs, in the causal order of their roles or of given tiers.

    Statistics are counted in one pass; the search for the order of variables whose parents have the best BIC reads only
    those (Andrews, Ramsey, Sanchez-Romero, Camchong and Kummerfeld 2023, arXiv:2310.17679), on the data and on
    resamples of whole time blocks, or of rows without time (Friedman, Goldszmidt and Wyner 1999, arXiv:1301.6695). An
    edge is kept if the data hold it and at least half of the resamples join the two, at that lag or at one where the
    data hold none. The share is raw: it orders edges, it is not a probability. Within one window counted events are
    effects, never causes. Windows remember, so BIC charges each edge as often as the product of its two variables
    repeats itself (Bartlett 1935, doi:10.2307/2342284). What is left out or merged is told by a warning.

    With ``lags`` the rows before stand beside each row and are given: edges lead from them, never among or into them.
    Roles, tiers and the rule about counted events order what happens within one window; from an earlier one any
    variable may cause any, itself too, except where the graph forbids the pair, since that is how an autoscaler answers
    an SLO. A row is used where all rows before it are there, in its unit and without a gap; a warning says how many.

    Parameters
    ----------
    data : Windows, polars.DataFrame or polars.LazyFrame
        The data; the share of bad events stands for an SLO, and rows that lack a value are left out. The rows of a
        frame have no time, but where lags are asked for they are one series, in their order.
    graph : Graph, optional
        What is believed: its variables are searched, its forbidden edges kept out, its edges kept with their ``why``
        and given the support that resamples lend them when searched without them; edges beyond ``lags`` stay as given.
    tiers : sequence of sequences of str, optional
        Causal order, beside that of roles: a variable of a later tier never causes one of an earlier tier within a
        window.
    lags : int
        Rows before that may cause a row; 0 searches one window only.
    resamples : int
        Resamples; 0 keeps what the data hold and gives no support.
    method : {"auto", "discrete", "gaussian", "pgmpy"}
        Score: of tables of codes, numbers cut into quarters; of a Gaussian in which categories are indicators (Andrews,
        Ramsey and Cooper 2019, PMLR 104:4-21), whose cost after the pass does not depend on rows; of pgmpy's hill
        climbing on the codes, with rows taken for independent. ``auto`` takes tables where all columns have few
        values, else the Gaussian.
    seed : int
        Seed of the resamples.

    Returns
    -------
    Graph
        Edges with ``support``; those whose direction neither order nor data tell are not ``oriented``.

    Raises
    ------
    CausalrelError
        When fewer than two columns vary, rows are too few, lags too many, or tiers and graph contradict each other.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> found = cr.discover(windows, resamples=20)
    >>> ("queue_s", "ttft") in {(edge.cause, edge.effect) for edge in found.edges}
    True
    """
    if resamples < 0:
        raise errors.bad_question(f"discover: {resamples} resamples give no support", "ask for 20 or more")
    if lags < 0:
        raise errors.bad_question(f"discover: {lags} lags are before no row", "ask for 0 or more")
    if method not in _METHODS:
        raise errors.unknown_name(str(method), "method of discovery", _METHODS)
    if graph is not None:
        checked(graph, graph.name)
    columns = columns_of(data, graph, series=lags > 0)
    if lags:
        columns = lagged(columns, lags)
    for note in columns.notes:
        warnings.warn(f"discover: {note}", stacklevel=2)
    knowledge = _known(data, columns, graph, tiers)
    if lags:
        knowledge = with_past(knowledge, columns, graph)
    found = _found(columns, knowledge, resamples, method, seed)
    return _graph(columns, found, graph, resamples)


def _found(columns: Columns, knowledge: Knowledge, resamples: int, method: Method, seed: int) -> Found:
    from causalrel.discovery.statistics import blocks_of, counted, parts_of, summed
    from causalrel.discovery.support import settled, supported

    numbers = method == "gaussian" or (method == "auto" and not columns.discrete)
    values = columns.values if numbers else columns.codes()
    parts = None if columns.step is None else parts_of(values)
    blocks = blocks_of(columns, seed, parts)
    made = summed(values, blocks) if numbers else counted(values, None if parts is None else blocks)
    if method == "pgmpy":
        return supported(made, knowledge, resamples=resamples, seed=seed, search=_climbed, workers=1)
    if parts is not None and not columns.lags:
        made = settled(made, knowledge, parts, columns)
    return supported(made, knowledge, resamples=resamples, seed=seed)


def _climbed(facts: Facts, knowledge: Knowledge, patience: int) -> NDArray[np.bool_]:  # noqa: ARG001
    from causalrel.bridges import pgmpy

    places = knowledge.tiers
    names = [str(i) for i in range(len(places))]
    barred = ~knowledge.allowed & (places[:, None] <= places) & ~np.eye(len(places), dtype=bool)
    edges, _ = pgmpy.hill_climb(
        dict(zip(names, np.repeat(facts.codes, facts.weights, axis=1).astype(np.int64), strict=True)),
        tiers=[[names[i] for i in np.flatnonzero(places == tier)] for tier in np.unique(places)],
        forbidden=[(names[a], names[b]) for a, b in np.argwhere(barred)],
        start=[(names[a], names[b]) for a, b in np.argwhere(knowledge.required)],
    )
    made = knowledge.required.copy()
    for cause, effect in sorted((int(a), int(b)) for a, b in edges):
        made[cause, effect] = not _leads(made, effect, cause)
    return made


def _leads(graph: NDArray[np.bool_], first: int, last: int) -> bool:
    reached = np.zeros(len(graph), bool)
    reached[first] = True
    for _ in range(len(graph)):
        reached |= graph[reached].any(axis=0)
    return bool(reached[last])


def _known(
    data: Windows | pl.DataFrame | pl.LazyFrame,
    columns: Columns,
    graph: Graph | None,
    tiers: Sequence[Sequence[str]] | None,
) -> Knowledge:
    from causalrel.discovery.support import Knowledge

    names = columns.names
    roles = np.array([variable.tier for variable in columns.variables])
    given = roles if tiers is None else _given(data, names, tiers)
    for a, b in np.argwhere((roles[:, None] < roles) & (given[:, None] > given)):
        raise errors.bad_question(
            f"discover: the tiers put '{names[b]}' before '{names[a]}', and their roles the other way round",
            "change the tiers or the roles",
        )
    order = np.unique(roles * (int(given.max()) + 1) + given, return_inverse=True)[1].astype(np.int64)
    allowed = (order[:, None] <= order) & ~np.eye(len(names), dtype=bool)
    required = np.zeros_like(allowed)
    at = {name: i for i, name in enumerate(names)}
    for edge in _stated(graph, columns, within=0):
        if not allowed[at[edge.cause], at[edge.effect]]:
            raise errors.bad_question(
                f"discover: edge {edge.cause} -> {edge.effect} of the graph goes against the tiers",
                "take it out or move one of them",
            )
        required[at[edge.cause], at[edge.effect]] = True
    counted = np.array([variable.kind == "events" for variable in columns.variables])
    allowed &= ~counted[:, None] | required
    for cause, effect in graph.forbidden if graph else ():
        if {cause, effect} <= at.keys():
            allowed[at[cause], at[effect]] = False
    return Knowledge(tiers=order, allowed=allowed, required=required)


def _given(
    data: Windows | pl.DataFrame | pl.LazyFrame, names: Sequence[str], tiers: Sequence[Sequence[str]]
) -> NDArray[np.int64]:
    if isinstance(data, Windows):
        known = [*data.names, *(slo.name for slo in data.slos)]
    else:
        known = data.lazy().collect_schema().names()
    place: dict[str, int] = {}
    for number, tier in enumerate(tiers):
        for name in [tier] if isinstance(tier, str) else tier:
            if name not in known:
                raise errors.unknown_variable(name, "discover: tiers", known)
            if name in place:
                raise errors.bad_question(f"discover: '{name}' is in the tiers twice", "name it once")
            place[name] = number
    absent = [name for name in names if name not in place]
    if absent:
        raise errors.bad_question(
            f"discover: the tiers lack {display.plain(', '.join(absent))}", "put every column that varies in a tier"
        )
    return np.array([place[name] for name in names], dtype=np.int64)


def _stated(graph: Graph | None, columns: Columns, within: int) -> list[Edge]:
    known = set(columns.names)
    return [e for e in (graph.edges if graph else ()) if e.lag <= within and {e.cause, e.effect} <= known]


def _graph(columns: Columns, found: Found, graph: Graph | None, resamples: int) -> Graph:
    names, drawn = columns.names, "resamples" if columns.step is None else "block resamples"
    nodes, at = columns.nodes, {node: i for i, node in enumerate(columns.nodes)}
    stated = [((at[e.cause, e.lag], at[e.effect, 0]), e) for e in _stated(graph, columns, columns.lags)]
    made = [replace(e, support=round(float(found.joined[pair]), 6) if resamples else None) for pair, e in stated]
    taken = {pair for pair, _ in stated}
    fresh = [(int(a), int(b)) for a, b in np.argwhere(found.graph) if (int(a), int(b)) not in taken]
    held = _any_lag(found, columns)
    fresh = [pair for pair in fresh if not resamples or held[pair] >= _KEEP]
    for a, b in sorted(fresh, key=lambda pair: (-found.joined[pair], pair)):
        cause, lag = nodes[a]
        said = f"joined{' at this lag' * (lag > 0)} in {found.joined[a, b]:.0%} of {resamples} {drawn}"
        said += f", in this direction in {found.support[a, b]:.0%}" * (lag == 0)
        edge = Edge(
            cause=cause,
            effect=names[b],
            lag=lag,
            support=round(float(found.joined[a, b]), 6) if resamples else None,
            oriented=bool(found.directed[a, b]),
            why=said if resamples else "found in the data",
            source="data",
        )
        made.append(edge)
    known = set(names)
    base = graph or Graph(variables=(), edges=(), name="discovered")
    later = [e for e in base.edges if e.lag > columns.lags and {e.cause, e.effect} <= known]
    hidden = [replace(u, affects=tuple(a for a in u.affects if a in known)) for u in base.unmeasured]
    order = [name for name in base.names if name in known] or _listed(columns)
    return checked(
        replace(
            base,
            variables=tuple(columns.variables[at[name, 0]] for name in order),
            edges=(*made, *later),
            forbidden=tuple(pair for pair in base.forbidden if set(pair) <= known),
            unmeasured=tuple(u for u in hidden if len(u.affects) > 1),
        ),
        base.name,
    )


def _any_lag(found: Found, columns: Columns) -> NDArray[np.float64]:
    """Return how often an edge is there at its lag, or at one at which the data have no edge of that cause."""
    count = len(columns.names)
    lags = columns.lags + 1
    graph = (found.graph[:, :count] | found.graph.T[:, :count]).reshape(lags, count, count)
    joined = found.joined[:, :count].reshape(lags, count, count)
    return np.asarray((joined + np.where(graph, 0.0, joined).sum(axis=0)).reshape(lags * count, count))


def _listed(columns: Columns) -> list[str]:
    return [v.name for v in sorted(columns.variables, key=lambda v: (v.tier, v.name))]
