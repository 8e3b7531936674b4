"""Tabular: networks of tables that are known, not fitted, and the faults of tables that do not fit their graph."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from causalrel import errors
from causalrel.estimates import Origin
from causalrel.graphs import Graph
from causalrel.networks import Mechanism, Network
from causalrel.provenance import package_version
from causalrel.tables import Table

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NEAR = 1e-6


def table_network(graph: Graph, tables: Mapping[str, Table]) -> Network:
    """Make a network of tables that are known, not fitted.

    Parameters
    ----------
    graph : Graph
        The graph; the parents of each table are the causes in it.
    tables : mapping of str to Table
        One a variable.

    Returns
    -------
    Network
        The network, of no windows.

    Raises
    ------
    CausalrelError
        When tables and graph do not fit each other, or chances are none.

    Examples
    --------
    >>> from causalrel.tables import States, known_table
    >>> coin = known_table(States(labels=("heads", "tails")), (), np.array([0.5, 0.5]))
    >>> table_network(Graph.from_edges([], roles={"coin": "engine"}), {"coin": coin})
    Network on graph: coin (table); 0 draws
    """
    check_tables(graph, tables, graph.name)
    never = datetime(1970, 1, 1, tzinfo=UTC)
    return Network(
        graph=graph,
        mechanisms=tuple(
            Mechanism(variable=graph.variable(name), form="table", table=tables[name]) for name in graph.order()
        ),
        slos=(),
        width=timedelta(0),
        checks=(),
        origin=Origin(
            version=package_version(), seed=0, data="", span=(never, never), slos="", graph=graph.fingerprint()
        ),
    )


def check_tables(graph: Graph, tables: Mapping[str, Table], path: str) -> None:
    """Refuse tables that do not fit a graph, or whose rows are no chances; all faults are told at once."""
    faults = [f"'{name}' has no table" for name in graph.names if name not in tables]
    faults += [f"table '{name}' is of no variable of the graph" for name in tables if name not in graph.names]
    if faults:
        raise errors.bad_spec(path, faults)
    for name, table in tables.items():
        edges = {(edge.cause, edge.lag) for edge in graph.edges if edge.effect == name}
        if set(table.parents) != edges or len(table.parents) != len(edges):
            faults.append(f"the parents of table '{name}' are not its causes in the graph")
            continue
        own = len(table.states.labels)
        if own == 0 or len(set(table.states.labels)) < own:
            faults.append(f"the states of '{name}' are none, or one is there twice")
        now = [parent for parent in table.parents if parent[1] == 0]
        for what, parents, mean, weight in (
            ("table", table.parents, table.mean, table.weight),
            ("first table", now, table.first_mean, table.first_weight),
        ):
            shape = (*(len(tables[parent].states.labels) for parent, _ in parents), own)
            faults += _chance_faults(f"the {what} of '{name}'", mean, weight, shape)
    if faults:
        raise errors.bad_spec(path, faults)


def _chance_faults(
    what: str, mean: NDArray[np.float64], weight: NDArray[np.float64], shape: tuple[int, ...]
) -> list[str]:
    if mean.shape != shape or weight.shape != shape[:-1]:
        return [f"{what} is not of the shape {shape} that its states ask for"]
    if not np.isfinite(mean).all() or (mean < 0).any():
        return [f"{what} holds a number that is no chance"]
    off = np.abs(mean.sum(axis=-1) - 1.0).max(initial=0.0)
    if off > _NEAR:
        return [f"a row of {what} does not add up to 1 (it is off by {off:.3g})"]
    return [] if (weight > 0).all() else [f"{what} has a row of no weight"]
