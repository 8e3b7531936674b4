"""pgmpy: structure search under tiers, on coded columns."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
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


def _undirected(dag: Any) -> list[Pair]:
    pattern = dag.to_pdag()
    return [(a, b) for a, b in pattern.undirected_edges]
