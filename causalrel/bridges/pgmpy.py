"""pgmpy: structure search under tiers, on coded columns; networks of tables to and from its discrete models."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from causalrel import errors
from causalrel.graphs import Graph
from causalrel.networks import Network
from causalrel.tables import Parent, States, Table, known_table
from causalrel.tabular import table_network
from causalrel.variables import Role

if TYPE_CHECKING:
    from numpy.typing import NDArray

Pair = tuple[str, str]


def hill_climb(
    codes: Mapping[str, NDArray[np.int64]],
    *,
    tiers: Sequence[Sequence[str]],
    forbidden: Sequence[Pair] = (),
    start: Sequence[Pair] = (),
) -> tuple[frozenset[Pair], frozenset[frozenset[str]]]:
    """Search a graph with the best BIC by greedy steps.

    Names become ``x0``, ``x1``, ... on the way, and each call gets its own knowledge object, into which pgmpy's search
    writes. Every column must be in a tier.

    Parameters
    ----------
    codes : mapping of str to ndarray of int64, shape (n,)
        Columns of small codes.
    tiers : sequence of sequences of str
        Causal order; an edge never goes from a later tier to an earlier one.
    forbidden : sequence of (cause, effect)
        Edges that cannot be.
    start : sequence of (cause, effect)
        Edges the search starts from.

    Returns
    -------
    edges : frozenset of (cause, effect)
        Edges of the graph found.
    undirected : frozenset of frozenset of str
        Pairs whose direction the data cannot tell, tiers taken into account.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> cause = rng.integers(2, size=500)
    >>> effect = np.where(rng.random(500) < 0.9, cause, 1 - cause)
    >>> edges, _ = hill_climb({"a": cause, "b": effect}, tiers=[["a"], ["b"]])
    >>> sorted(edges)
    [('a', 'b')]
    """
    import pandas as pd

    inner = {name: f"x{i}" for i, name in enumerate(codes)}
    outer = {short: name for name, short in inner.items()}
    frame = pd.DataFrame({inner[name]: column for name, column in codes.items()}).astype("category")
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pgmpy.base import DAG
            from pgmpy.causal_discovery import ExpertKnowledge, HillClimbSearch

            first = DAG()
            first.add_nodes_from(inner.values())
            first.add_edges_from((inner[a], inner[b]) for a, b in start)
            knowledge = ExpertKnowledge(
                temporal_order=[[inner[name] for name in tier] for tier in tiers if tier],
                forbidden_edges=[(inner[a], inner[b]) for a, b in forbidden],
            )
            search = HillClimbSearch(
                scoring_method="bic-d",
                expert_knowledge=knowledge,
                start_dag=first,
                return_type="dag",
                show_progress=False,
            )
            dag = search.fit(frame).causal_graph_
            loose = _undirected(dag)
    finally:
        logging.disable(before)
    place = {name: i for i, tier in enumerate(tiers) for name in tier}
    edges = frozenset((outer[a], outer[b]) for a, b in dag.edges())
    free = frozenset(frozenset((outer[a], outer[b])) for a, b in loose if place[outer[a]] == place[outer[b]])
    return edges, free


def free_search(codes: Mapping[str, NDArray[np.int64]], *, by: Literal["ges", "pc"]) -> frozenset[Pair]:
    """Search a graph with pgmpy's GES or PC, which know of no tiers here.

    Parameters
    ----------
    codes : mapping of str to ndarray of int64, shape (n,)
        Columns of small codes.
    by : {"ges", "pc"}
        Greedy equivalence search with BIC, or stable PC with chi-square tests at 0.01.

    Returns
    -------
    frozenset of (cause, effect)
        Edges of one graph of the class found.

    Examples
    --------
    >>> import numpy as np
    >>> cause = np.random.default_rng(0).integers(2, size=500)
    >>> len(free_search({"a": cause, "b": cause ^ (np.arange(500) % 10 == 0)}, by="ges"))
    1
    """
    import pandas as pd

    outer = dict(enumerate(codes))
    frame = pd.DataFrame({f"x{i}": codes[name] for i, name in outer.items()}).astype("category")
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pgmpy.causal_discovery import GES, PC

            search = (
                GES(scoring_method="bic-d", return_type="dag")
                if by == "ges"
                else PC(variant="stable", ci_test="chi_square", return_type="dag", n_jobs=1, show_progress=False)
            )
            edges = search.fit(frame).causal_graph_.edges()
    finally:
        logging.disable(before)
    return frozenset((outer[int(a[1:])], outer[int(b[1:])]) for a, b in edges)


def to_pgmpy(network: Network) -> Any:
    """Return the mean tables of a network as a model of pgmpy.

    Parameters
    ----------
    network : Network
        A network of tables, its lags 0 or 1.

    Returns
    -------
    pgmpy.models.DiscreteBayesianNetwork or pgmpy.models.DynamicBayesianNetwork
        The model; of a dynamic network the nodes are ``(name, 0)`` and ``(name, 1)``.

    Raises
    ------
    CausalrelError
        When a mechanism is no table, or a lag is more than 1, which pgmpy cannot hold.

    Examples
    --------
    >>> coin = known_table(States(labels=("heads", "tails")), (), np.array([0.25, 0.75]))
    >>> model = to_pgmpy(table_network(Graph.from_edges([], roles={"coin": "engine"}), {"coin": coin}))
    >>> from_pgmpy(model).mechanism("coin").table.mean.tolist()
    [0.25, 0.75]
    """
    from pgmpy.base import DAG
    from pgmpy.models import DiscreteBayesianNetwork, DynamicBayesianNetwork
    from pgmpy.models.DynamicBayesianNetwork import DynamicNode

    tables = {m.variable.name: m.table for m in network.mechanisms if m.table is not None}
    if len(tables) < len(network.mechanisms) or network.graph.lags > 1:
        raise errors.refused("a model of pgmpy", "it holds tables alone, of causes at most one window before")
    if not network.graph.lags:
        model = DiscreteBayesianNetwork()
        model.add_nodes_from(tables)
        model.add_edges_from((edge.cause, edge.effect) for edge in network.graph.edges)
        model.add_cpds(*(_cpd(tables, name, lambda parent, _lag: parent, table.mean) for name, table in tables.items()))
        return model
    model = DynamicBayesianNetwork()
    # Its own method makes a node of the first slice alone.
    DAG.add_nodes_from(model, [DynamicNode(name, step) for name in tables for step in (0, 1)])
    model.add_edges_from(((e.cause, 0), (e.effect, e.lag)) for e in network.graph.edges)
    model.add_cpds(
        *(_cpd(tables, name, lambda parent, _lag: (parent, 0), t.first_mean, 0) for name, t in tables.items()),
        *(_cpd(tables, name, lambda parent, lag: (parent, 1 - lag), t.mean) for name, t in tables.items()),
    )
    return model


def _cpd(
    tables: Mapping[str, Table],
    name: str,
    node: Callable[[str, int], Any],
    mean: NDArray[np.float64],
    most: int = 1,
) -> Any:
    """Return one table as pgmpy holds it, of parents at most so many windows before."""
    from pgmpy.factors.discrete import TabularCPD

    parents = [(node(parent, lag), parent) for parent, lag in tables[name].parents if lag <= most]
    own = node(name, 0)
    labels = {nodes: list(tables[variable].states.labels) for nodes, variable in [(own, name), *parents]}
    return TabularCPD(
        own,
        mean.shape[-1],
        mean.reshape(-1, mean.shape[-1]).T,
        [nodes for nodes, _ in parents] or None,
        list(mean.shape[:-1]) or None,
        state_names=labels,
    )


def from_pgmpy(model: Any, *, roles: Mapping[str, Role] | None = None) -> Network:
    """Return a discrete model of pgmpy, static or dynamic, as a network of known tables.

    Parameters
    ----------
    model : pgmpy.models.DiscreteBayesianNetwork or pgmpy.models.DynamicBayesianNetwork
        A model with all its tables; of a dynamic one for both slices.
    roles : mapping of str to role, optional
        Roles of its variables, ``engine`` where not said.

    Returns
    -------
    Network
        The network.

    Raises
    ------
    CausalrelError
        When a table is missing, a name is no text, or tables differ where no cause is a window before.

    Examples
    --------
    >>> from pgmpy.factors.discrete import TabularCPD
    >>> from pgmpy.models import DiscreteBayesianNetwork
    >>> model = DiscreteBayesianNetwork([("a", "b")])
    >>> model.add_cpds(TabularCPD("a", 2, [[0.5], [0.5]]), TabularCPD("b", 2, [[0.9, 0.2], [0.1, 0.8]], ["a"], [2]))
    >>> from_pgmpy(model).mechanism("b").table.mean.tolist()
    [[0.9, 0.1], [0.2, 0.8]]
    """
    held = [_held(cpd) for cpd in model.cpds]
    last = max((one[0][1] for one in held), default=0)
    later, first = ({one[0][0]: one for one in held if one[0][1] == step} for step in (last, 0))
    names = sorted({node if isinstance(node, str) else node[0] for node in model.nodes()})
    missing = [name for name in names if name not in later or name not in first]
    if missing:
        raise errors.bad_question(
            f"the model has no table of {', '.join(missing)}", "add one to each variable, and to each slice of it"
        )
    tables: dict[str, Table] = {}
    for name, (_, parents, mean, states) in later.items():
        lagged: tuple[Parent, ...] = tuple((parent, last - step) for parent, step in parents)
        start = first[name][2]
        if not any(lag for _, lag in lagged) and not np.array_equal(start, mean):
            raise errors.bad_question(
                f"'{name}' has other chances in the first slice and no cause a slice before",
                "give it one table, or an edge from itself",
            )
        tables[name] = known_table(states, lagged, mean, start)
    edges = [(parent, name, lag) for name, table in tables.items() for parent, lag in table.parents]
    known: dict[str, Role] = dict.fromkeys(names, "engine")
    return table_network(Graph.from_edges(edges, roles=known | dict(roles or {}), name="pgmpy"), tables)


def _held(cpd: Any) -> tuple[Parent, list[Parent], NDArray[np.float64], States]:
    """Return the node of a table of pgmpy, its parents, its chances and its states."""
    nodes = []
    for variable in cpd.variables:
        name, step = (variable[0], int(variable[1])) if isinstance(variable, tuple) else (variable, 0)
        if not isinstance(name, str):
            raise errors.bad_question(f"the name {str(name)[:40]!r} of a variable is no text", "rename it")
        nodes.append((name, step))
    values = np.moveaxis(np.asarray(cpd.values, dtype=np.float64), 0, -1)
    order = sorted(range(1, len(nodes)), key=lambda i: (-nodes[i][1], nodes[i][0]))
    values = values.transpose([*(i - 1 for i in order), len(order)])
    labels = tuple(str(label) for label in cpd.state_names[cpd.variables[0]])
    return nodes[0], [nodes[i] for i in order], values, States(labels=labels)


def _undirected(dag: Any) -> list[Pair]:
    pattern = dag.to_pdag()
    return [(a, b) for a, b in pattern.undirected_edges]
