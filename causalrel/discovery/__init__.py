"""Discovery: windows or a frame -> a graph whose edges say how likely it is that they are there."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from causalrel import display, errors
from causalrel.discovery.columns import Columns, columns_of
from causalrel.discovery.lags import lagged, with_past
from causalrel.graphs import Edge, Graph, Unmeasured
from causalrel.graphs.surgery import checked
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.discovery.beliefs import Beliefs
    from causalrel.discovery.evidence import Evidence
    from causalrel.discovery.search import Facts
    from causalrel.discovery.support import Found, Knowledge

Method = Literal["auto", "discrete", "gaussian", "pgmpy", "pgmpy-ges", "pgmpy-pc"]

_METHODS = ("auto", "discrete", "gaussian", "pgmpy", "pgmpy-ges", "pgmpy-pc")
_CONTRADICTED, _UNSHOWN = 0.05, "the data do not show it"


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

    Statistics are counted in one pass; the search for the order of variables whose parents score best reads only those
    (Andrews, Ramsey, Sanchez-Romero, Camchong and Kummerfeld 2023, arXiv:2310.17679), on the data and on resamples of
    whole time blocks, or of rows without time (Friedman, Goldszmidt and Wyner 1999, arXiv:1301.6695). The score is BIC;
    of tables without time it is quotient normalised maximum likelihood (Silander, Leppa-aho, Jaasaari and Roos 2018,
    PMLR 84:948-957). Where rows remember, BIC charges each edge as often as the product of its two variables repeats
    itself (Bartlett 1935, doi:10.2307/2342284). The share of resamples that join two variables and the gain in
    likelihood become a probability by a calibration on simulated worlds: linear, bent, heavy-tailed and mixed systems
    and random tables of 5 to 16 variables and 200 to 20,000 rows, some remembering, some with a hidden cause. An edge
    is kept if the data hold it and that probability is one half or more, and its direction is told if order tells it or
    its own probability is 0.9 or more. A pair that stays dependent though neither causes the other is ``unmeasured``.
    Within one window counted events are effects, never causes. What is left out or merged is told by a warning.

    With ``lags`` the rows before stand beside each row and are given: edges lead from them, never among or into them.
    Roles, tiers and the rule about counted events order what happens within one window; from an earlier one any
    variable may cause any, itself too, except where the graph forbids the pair, since that is how an autoscaler answers
    an SLO. A row is used where all rows before it are there, in its unit and without a gap; a warning says how many.
    Support is then the chance of an edge at that very lag, by the same calibration, whose worlds had no lags.

    Parameters
    ----------
    data : Windows, polars.DataFrame or polars.LazyFrame
        The data; the share of bad events stands for an SLO, and rows that lack a value are left out. The rows of a
        frame have no time, but where lags are asked for they are one series, in their order.
    graph : Graph, optional
        What is believed: its variables are searched, its forbidden edges kept out, its edges kept and given the support
        that the data lend them when searched without them; one that the data do not show says so in its ``why``. Edges
        beyond ``lags`` stay as given.
    tiers : sequence of sequences of str, optional
        Causal order, beside that of roles: a variable of a later tier never causes one of an earlier tier within a
        window.
    lags : int
        Rows before that may cause a row; 0 searches one window only.
    resamples : int
        Resamples; 0 keeps what the data hold and gives no support. 20 or more are needed for a support worth reading.
    method : {"auto", "discrete", "gaussian", "pgmpy", "pgmpy-ges", "pgmpy-pc"}
        Score: of tables of codes, numbers cut into quarters; of a Gaussian in which categories are indicators (Andrews,
        Ramsey and Cooper 2019, PMLR 104:4-21), whose cost after the pass does not depend on rows; of pgmpy's hill
        climbing on the codes, or of its GES or PC, which take no order and no knowledge. ``auto`` takes tables where
        every column has few values, else the Gaussian.
    seed : int
        Seed of the resamples.

    Returns
    -------
    Graph
        Edges with ``support``, the chance that two variables are joined; raw shares are told in ``why``. Those whose
        direction neither order nor data tell are not ``oriented``.

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
    from causalrel.discovery.beliefs import believed

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
    found, evidence = searched_with(columns, knowledge, resamples, method, seed)
    beliefs = believed(found, evidence, knowledge, resamples, tables=_of_tables(columns, method))
    return _graph(columns, beliefs, graph, resamples)


def searched_with(
    columns: Columns, knowledge: Knowledge, resamples: int, method: Method, seed: int
) -> tuple[Found, Evidence]:
    """Search a graph with its raw support, and weigh what the data say of each pair.

    Parameters
    ----------
    columns : Columns
        The rows.
    knowledge : Knowledge
        What is known.
    resamples, method, seed
        As for :func:`discover`.

    Returns
    -------
    found : Found
        The graph, edges charged by how long their variables remember.
    evidence : Evidence
        Correlations of the columns and their products by run of time.

    Raises
    ------
    CausalrelError
        When a method that takes no knowledge is given some.
    """
    from causalrel.discovery.evidence import evidence_of
    from causalrel.discovery.statistics import blocks_of, counted, parts_of, summed
    from causalrel.discovery.support import settled, supported

    timed, tables = columns.step is not None, _of_tables(columns, method)
    values = columns.codes() if tables else columns.values
    parts = parts_of(values) if timed else []
    blocks = blocks_of(columns, seed, parts)
    products = summed(columns.values, blocks.coarse(timed=timed) if tables else blocks)
    evidence = evidence_of(products, timed=timed)
    asked = partial(supported, knowledge=knowledge, resamples=resamples, seed=seed)
    made = counted(values, blocks) if tables else products
    if not method.startswith("pgmpy"):
        return asked(settled(made, knowledge, parts, columns) if timed and not columns.lags else made), evidence
    known = knowledge.required.any() or not (knowledge.allowed | np.eye(len(knowledge.tiers), dtype=bool)).all()
    if method != "pgmpy" and known:
        raise errors.bad_question(
            f"discover: method {method} was asked with roles, tiers or a graph that ask for edges or bar them",
            "ask for pgmpy or auto, or leave them out",
        )
    search = _climbed if method == "pgmpy" else partial(_freely, by="ges" if method == "pgmpy-ges" else "pc")
    return asked(made, search=search, workers=1), evidence


def _of_tables(columns: Columns, method: Method) -> bool:
    return method.startswith("pgmpy") or method == "discrete" or (method == "auto" and columns.discrete)


def _freely(facts: Facts, knowledge: Knowledge, patience: int, *, by: Literal["ges", "pc"]) -> NDArray[np.bool_]:  # noqa: ARG001
    from causalrel.bridges import pgmpy

    made = np.zeros_like(knowledge.required)
    columns = {str(i): row.astype(np.int64) for i, row in enumerate(facts.rows())}
    for cause, effect in pgmpy.free_search(columns, by=by):
        made[int(cause), int(effect)] = True
    return made


def _climbed(facts: Facts, knowledge: Knowledge, patience: int) -> NDArray[np.bool_]:  # noqa: ARG001
    from causalrel.bridges import pgmpy

    places = knowledge.tiers
    names = [str(i) for i in range(len(places))]
    barred = ~knowledge.allowed & (places[:, None] <= places) & ~np.eye(len(places), dtype=bool)
    edges, _ = pgmpy.hill_climb(
        dict(zip(names, facts.rows().astype(np.int64), strict=True)),
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


def _graph(columns: Columns, beliefs: Beliefs, graph: Graph | None, resamples: int) -> Graph:
    names, drawn = columns.names, "resamples" if columns.step is None else "block resamples"
    nodes, at = columns.nodes, {node: i for i, node in enumerate(columns.nodes)}
    stated = {(at[e.cause, e.lag], at[e.effect, 0]): e for e in _stated(graph, columns, columns.lags)}
    made, taken = [], set(stated)
    for pair, edge in stated.items():
        said, chance = edge.why.partition(_UNSHOWN)[0].rstrip("; "), beliefs.joined[pair]
        if chance < _CONTRADICTED:
            share = f"joined in {beliefs.shares[pair]:.0%} of {resamples} {drawn}"
            said = "; ".join([*filter(None, [said]), f"{_UNSHOWN}: {share}"])
        made.append(replace(edge, support=_rounded(chance), why=said))
    fresh = {(int(a), int(b)) for a, b in np.argwhere(beliefs.graph)} - taken
    for a, b in sorted(fresh, key=lambda pair: (-beliefs.joined[pair], pair) if resamples else pair):
        edge = Edge(
            cause=nodes[a][0],
            effect=names[b],
            lag=nodes[a][1],
            support=_rounded(beliefs.joined[a, b]),
            oriented=bool(beliefs.directed[a, b]),
            why=beliefs.why(a, b, resamples, drawn, later=nodes[a][1] > 0),
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
            unmeasured=(*(u for u in hidden if len(u.affects) > 1), *_suspected(columns, beliefs, base, taken)),
        ),
        base.name,
    )


def _suspected(columns: Columns, beliefs: Beliefs, base: Graph, stated: set[tuple[int, int]]) -> Iterator[Unmeasured]:
    names = [f"{name}, {lag} before" if lag else name for name, lag in columns.nodes]
    for hidden in beliefs.hidden:
        one, two = (names[i] for i in hidden.pair)
        told = any({one, two} <= set(known.affects) for known in base.unmeasured)
        if not told and not {hidden.pair, hidden.pair[::-1]} & stated:
            yield Unmeasured(
                name=_unused(f"cause_of_{one}_and_{two}", base, names), affects=(one, two), why=hidden.why(names)
            )


def _unused(name: str, base: Graph, names: Sequence[str]) -> str:
    taken = {*names, *base.names, *(known.name for known in base.unmeasured)}
    return name if name not in taken else _unused(f"{name}_", base, names)


def _rounded(chance: float) -> float | None:
    return None if np.isnan(chance) else round(float(chance), 6)


def _listed(columns: Columns) -> list[str]:
    return [v.name for v in sorted(columns.variables, key=lambda v: (v.tier, v.name))]
