"""Lags: rows beside the rows before them, and which edges may come from there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from causalrel import errors
from causalrel.dependences import unbroken

if TYPE_CHECKING:
    from causalrel.discovery.columns import Columns
    from causalrel.discovery.support import Knowledge
    from causalrel.graphs import Graph

_LEAST_ROWS = 50
_MOST_COLUMNS = 1000


def lagged(columns: Columns, lags: int) -> Columns:
    """Put the rows before beside each row; a row is used where all of them are there, in its unit and without a gap.

    Parameters
    ----------
    columns : Columns
        Rows with time.
    lags : int
        Rows before.

    Returns
    -------
    Columns
        Every variable, then every one at lag 1, and so on.

    Raises
    ------
    CausalrelError
        When too few rows are left, or the columns become too many.

    Examples
    --------
    >>> import polars as pl
    >>> from causalrel.discovery.columns import columns_of
    >>> rows = columns_of(pl.DataFrame({"a": [0, 1] * 40, "b": [0, 1, 1, 0] * 20}), None, series=True)
    >>> made = lagged(rows, 1)
    >>> made.nodes, len(made.values[0])
    ([('a', 0), ('b', 0), ('a', 1), ('b', 1)], 79)
    """
    if columns.step is None or columns.unit is None:
        raise errors.bad_question(f"discover: {lags} lags of rows without time", "hand in windows, or rows in order")
    width, asked = len(columns.names) * (lags + 1), f"{lags} lag{'s' * (lags > 1)} of {len(columns.names)} variables"
    if width > _MOST_COLUMNS:
        raise errors.over_limit(f"discover: {asked} are {width} columns, above {_MOST_COLUMNS}", "ask for fewer lags")
    there, before = len(columns.step), f"the {lags} before them" if lags > 1 else "the one before them"
    rows = unbroken(columns.step, columns.unit, lags)
    if len(rows) < max(_LEAST_ROWS, width):
        need = f"{asked} need {max(_LEAST_ROWS, width)} complete rows with {before}, in the same unit and without a gap"
        raise errors.refused("discovery", f"{need}, and there are {len(rows)}")
    return replace(
        columns,
        values=tuple(column[rows - lag] for lag in range(lags + 1) for column in columns.values),
        step=columns.step[rows],
        unit=columns.unit[rows],
        notes=(*columns.notes, f"{len(rows)} of {there} complete rows have {before} and were used"),
        lags=lags,
    )


def with_past(knowledge: Knowledge, columns: Columns, graph: Graph | None) -> Knowledge:
    """Let every variable be caused by any column of the past that the graph does not forbid; the past is given.

    Parameters
    ----------
    knowledge : Knowledge
        What is known of edges without lag.
    columns : Columns
        Columns with lags.
    graph : Graph, optional
        Its lagged edges must be, and its forbidden pairs cannot be at any lag.

    Returns
    -------
    Knowledge
        The same, with the columns of the past before all others and nothing into them.

    Examples
    --------
    >>> import polars as pl
    >>> from causalrel.discovery.columns import columns_of
    >>> from causalrel.discovery.support import Knowledge
    >>> rows = columns_of(pl.DataFrame({"a": [0, 1] * 40, "b": [0, 1, 1, 0] * 20}), None, series=True)
    >>> now = Knowledge(tiers=np.zeros(2, int), allowed=~np.eye(2, dtype=bool), required=np.zeros((2, 2), bool))
    >>> with_past(now, lagged(rows, 1), None).allowed.astype(int).tolist()
    [[0, 1, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]]
    """
    count, size = len(columns.names), len(columns.nodes)
    allowed = np.zeros((size, size), dtype=bool)
    allowed[:count, :count], allowed[count:, :count] = knowledge.allowed, True
    required = np.zeros_like(allowed)
    required[:count, :count] = knowledge.required
    at = {node: place for place, node in enumerate(columns.nodes)}
    for cause, effect in graph.forbidden if graph else ():
        for lag in range(1, columns.lags + 1):
            if {(cause, lag), (effect, 0)} <= at.keys():
                allowed[at[cause, lag], at[effect, 0]] = False
    for edge in graph.edges if graph else ():
        if edge.lag and {(edge.cause, edge.lag), (edge.effect, 0)} <= at.keys():
            required[at[edge.cause, edge.lag], at[edge.effect, 0]] = True
    return replace(
        knowledge,
        tiers=np.concatenate([knowledge.tiers + size - count, np.arange(size - count)]),
        allowed=allowed,
        required=required,
        lags=columns.lags,
    )
