"""Estimators: the search and the score of tables for those who work with pgmpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from causalrel.bridges import estimators

if TYPE_CHECKING:
    from numpy.typing import NDArray


def best_order_search(*, expert_knowledge: Any = None, return_type: Literal["pdag", "dag"] = "pdag") -> Any:
    """Return the search as a causal-discovery estimator of pgmpy, on discrete columns.

    Parameters
    ----------
    expert_knowledge : pgmpy.causal_discovery.ExpertKnowledge, optional
        Required and forbidden edges, temporal order and search space; it is never written to.
    return_type : {"pdag", "dag"}
        What ``causal_graph_`` is.

    Returns
    -------
    estimator
        With ``fit`` and then ``causal_graph_`` and ``adjacency_matrix_``.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"a": [0, 1] * 40, "b": [0, 1] * 40})
    >>> len(best_order_search(return_type="dag").fit(frame).causal_graph_.edges())
    1
    """
    return estimators.estimator(_learn, expert_knowledge=expert_knowledge, return_type=return_type)


def table_score(data: Any) -> Any:
    """Return the score of tables as a structure score of pgmpy, for the ``scoring_method`` of its searches.

    Parameters
    ----------
    data : pandas.DataFrame
        Discrete columns.

    Returns
    -------
    pgmpy.structure_score.BaseStructureScore
        BIC of a variable and its parents.

    Examples
    --------
    >>> import pandas as pd
    >>> round(table_score(pd.DataFrame({"a": [0, 1, 1, 0], "b": [1, 0, 1, 0]})).local_score("b", ("a",)), 3)
    -4.159
    """
    return estimators.structure_score(data, _scored)


def _learn(
    codes: list[NDArray[np.int64]],
    tiers: NDArray[np.int64],
    allowed: NDArray[np.bool_],
    required: NDArray[np.bool_],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    from causalrel.discovery.statistics import Blocks, counted
    from causalrel.discovery.support import Knowledge, supported

    one = Blocks(cell=np.zeros(len(codes[0]), np.int64), count=1, run=1)
    knowledge = Knowledge(tiers=tiers, allowed=allowed, required=required)
    found = supported(counted(codes, one), knowledge, resamples=0, seed=0)
    return found.graph, found.directed


def _scored(codes: list[NDArray[np.int64]]) -> Callable[[int, Sequence[int]], float]:
    from causalrel.discovery.autocorrelation import Memory
    from causalrel.discovery.tables import Tables, table_scores

    cards = np.array([column.max() + 1 for column in codes])
    tables = Tables.of(np.array(codes), np.ones(len(codes[0]), np.int64), cards, memory=Memory.none(len(cards)))

    def local(node: int, parents: Sequence[int]) -> float:
        out = np.empty(1)
        table_scores(node, np.array(sorted(parents), np.int64), np.full(1, -1), tables, 0, out)
        return float(out[0])

    return local
