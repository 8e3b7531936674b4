"""Estimators: a search and a score of ours in the interface of pgmpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np

from causalrel import errors

if TYPE_CHECKING:
    from numpy.typing import NDArray

Learn = Callable[
    [list["NDArray[np.int64]"], "NDArray[np.int64]", "NDArray[np.bool_]", "NDArray[np.bool_]"],
    tuple["NDArray[np.bool_]", "NDArray[np.bool_]"],
]
Score = Callable[[list["NDArray[np.int64]"]], Callable[[int, Sequence[int]], float]]

_MOST_STATES = 100


def estimator(learn: Learn, *, expert_knowledge: Any = None, return_type: str = "pdag") -> Any:
    """Return a causal-discovery estimator of pgmpy that searches with a function of ours.

    Parameters
    ----------
    learn : callable
        From codes, tiers, allowed and required edges to a graph and the edges whose direction is told.
    expert_knowledge : pgmpy.causal_discovery.ExpertKnowledge, optional
        Required and forbidden edges, temporal order and search space; it is never written to.
    return_type : {"pdag", "dag"}
        What ``causal_graph_`` is.

    Returns
    -------
    estimator
        With ``fit`` and then ``causal_graph_`` and ``adjacency_matrix_``.

    Raises
    ------
    CausalrelError
        At ``fit``, when the return type is unknown or the knowledge does not fit the columns.

    Examples
    --------
    >>> def nothing(codes, tiers, allowed, required):
    ...     return required, required
    >>> estimator(nothing).get_params()
    {'expert_knowledge': None, 'return_type': 'pdag'}
    """
    from pgmpy.base import DAG, PDAG
    from pgmpy.causal_discovery._base import _BaseCausalDiscovery

    class BestOrderSearch(_BaseCausalDiscovery):  # type: ignore[misc]
        """Best order score search in the interface of pgmpy."""

        def __init__(self, expert_knowledge: Any = None, return_type: str = "pdag") -> None:
            self.expert_knowledge = expert_knowledge
            self.return_type = return_type

        def _fit(self, X: Any) -> Any:  # noqa: N803
            if self.return_type not in ("pdag", "dag"):
                raise errors.unknown_name(str(self.return_type), "return type", ("pdag", "dag"))
            names = list(X.columns)
            codes = [_coded(X[name]) for name in names]
            graph, directed = learn(codes, *_known(self.expert_knowledge, names))
            edges = [(names[a], names[b]) for a, b in np.argwhere(graph)]
            loose = [(names[a], names[b]) for a, b in np.argwhere(graph & ~directed)]
            if self.return_type == "dag":
                made = DAG(edges)
            else:
                made = PDAG(directed_ebunch=[e for e in edges if e not in loose], undirected_ebunch=loose)
            made.add_nodes_from(names)
            self.variables_ = names
            self.causal_graph_ = made
            self.adjacency_matrix_ = nx.to_pandas_adjacency(made, weight=1, dtype=np.dtype(int))  # type: ignore[call-overload]
            return self

    return BestOrderSearch(expert_knowledge, return_type)


def structure_score(data: Any, score: Score) -> Any:
    """Return a structure score of pgmpy that scores with a function of ours.

    Parameters
    ----------
    data : pandas.DataFrame
        Discrete columns.
    score : callable
        From codes to a function of a variable and its parents.

    Returns
    -------
    pgmpy.structure_score.BaseStructureScore
        For ``scoring_method`` of pgmpy's searches.

    Examples
    --------
    >>> import pandas as pd
    >>> made = structure_score(pd.DataFrame({"a": [0, 1], "b": [1, 0]}), lambda codes: lambda node, parents: 0.5)
    >>> made.local_score("a", ("b",))
    0.5
    """
    from pgmpy.structure_score import BaseStructureScore

    names = list(data.columns)
    local = score([_coded(data[name]) for name in names])

    class TableScore(BaseStructureScore):  # type: ignore[misc]
        """BIC of tables, counted by compiled code."""

        _tags = {"name": "causalrel-bic", "supported_datatype": "discrete", "is_parameteric": False}  # noqa: RUF012

        def _local_score(self, variable: Any, parents: Sequence[Any]) -> float:
            return local(names.index(variable), [names.index(parent) for parent in parents])

    return TableScore(data)


def _coded(column: Any) -> NDArray[np.int64]:
    codes, states = column.factorize()
    if len(states) > _MOST_STATES or (codes < 0).any():
        raise errors.bad_question(
            f"a table was asked of column '{column.name}', which lacks values or has over {_MOST_STATES} states",
            "fill what is missing and cut numbers into few classes",
        )
    return np.asarray(codes, dtype=np.int64)


def _known(knowledge: Any, names: list[Any]) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    at = {name: i for i, name in enumerate(names)}
    tiers = np.zeros(len(names), dtype=np.int64)
    allowed, required = ~np.eye(len(names), dtype=bool), np.zeros((len(names), len(names)), dtype=bool)
    if knowledge is None:
        return tiers, allowed, required
    order = [list(tier) for tier in knowledge.temporal_order if tier]
    edges = (knowledge.required_edges, knowledge.forbidden_edges, knowledge.search_space)
    for name in [n for tier in order for n in tier] + [n for pairs in edges for pair in pairs for n in pair]:
        if name not in at:
            raise errors.unknown_variable(str(name), "the expert knowledge", [str(n) for n in names])
    placed = [name for tier in order for name in tier]
    if order and sorted(map(str, placed)) != sorted(map(str, names)):
        raise errors.bad_question("the temporal order lacks or repeats a column", "name each column once")
    for number, tier in enumerate(order):
        tiers[[at[name] for name in tier]] = number
    allowed &= tiers[:, None] <= tiers
    if knowledge.search_space:
        open_to = np.zeros_like(allowed)
        for cause, effect in knowledge.search_space:
            open_to[at[cause], at[effect]] = True
        allowed &= open_to
    for cause, effect in knowledge.forbidden_edges:
        allowed[at[cause], at[effect]] = False
    for cause, effect in sorted(knowledge.required_edges, key=str):
        if not allowed[at[cause], at[effect]]:
            raise errors.bad_question(
                f"edge {cause} -> {effect} is required and cannot be", "take it out of what is required or forbidden"
            )
        required[at[cause], at[effect]] = True
    required_graph: nx.DiGraph[Any] = nx.DiGraph(list(knowledge.required_edges))
    if not nx.is_directed_acyclic_graph(required_graph):
        cycle = [edge[0] for edge in nx.find_cycle(required_graph)]
        path = " -> ".join(map(str, [*cycle, cycle[0]]))
        raise errors.bad_question(f"the required edges run in a cycle: {path}", "take one of them out")
    return tiers, allowed, required
