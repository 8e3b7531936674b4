"""Archives: networks of tables kept as JSON with a fingerprint, and made of tables that are known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from causalrel import errors
from causalrel.documents import save_text
from causalrel.estimates import Check, Origin
from causalrel.graphs import Graph
from causalrel.graphs.documents import graph_of
from causalrel.networks import Mechanism, Network
from causalrel.provenance import fingerprint, package_version
from causalrel.slos import slo_of
from causalrel.tables import States, Table, check_cells
from causalrel.telemetry.documents import said, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCHEMA = "causalrel/network"
VERSION = 1

_NEAR = 1e-6


class _States(msgspec.Struct, forbid_unknown_fields=True):
    labels: tuple[str, ...]
    cuts: tuple[float, ...] = ()
    values: tuple[float, ...] = ()
    low: float | None = None
    high: float | None = None


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    states: _States
    parents: list[tuple[str, int]]
    mean: list[float]
    weight: list[float | None]
    first_mean: list[float]
    first_weight: list[float | None]
    explained: float = 0.0


class _Origin(msgspec.Struct, forbid_unknown_fields=True):
    version: str
    seed: int
    data: str
    span: tuple[datetime, datetime]
    slos: str
    graph: str


class _Network(msgspec.Struct, forbid_unknown_fields=True):
    graph: dict[str, Any]
    tables: dict[str, _Table]
    slos: list[dict[str, Any]]
    width_s: int
    checks: list[tuple[str, bool, str]]
    origin: _Origin


def save_network(network: Network, path: str | Path) -> None:
    """Write a network of tables to a JSON file, whole or not at all.

    Parameters
    ----------
    network : Network
        A network of tables, which :func:`load_network` gives back equal to the last bit.
    path : str or pathlib.Path
        Where.

    Raises
    ------
    CausalrelError
        When a mechanism is no table, or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from causalrel.tables import known_table
    >>> coin = known_table(States(labels=("heads", "tails")), (), np.array([0.25, 0.75]))
    >>> network = table_network(Graph.from_edges([], roles={"coin": "engine"}), {"coin": coin})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_network(network, f"{folder}/coin.json")
    ...     load_network(f"{folder}/coin.json").mechanism("coin").table.mean.tolist()
    [0.25, 0.75]
    """
    facts = _facts(network)
    text = {"schema": SCHEMA, "version": VERSION, "fingerprint": fingerprint(facts), "network": facts}
    save_text(json.dumps(text, allow_nan=False, ensure_ascii=False) + "\n", path)


def load_network(path: str | Path) -> Network:
    """Read a network of tables from the JSON that :func:`save_network` wrote.

    Parameters
    ----------
    path : str or pathlib.Path
        The file.

    Returns
    -------
    Network
        The network.

    Raises
    ------
    CausalrelError
        When the file is no such JSON, of a newer version, changed since it was written, or holds chances that are none.

    Examples
    --------
    >>> load_network("no-such-network.json")
    Traceback (most recent call last):
    ...
    causalrel.errors.CausalrelError: cannot read 'no-such-network.json': no such file or directory; check the path
    """
    file = Path(path)
    if not file.is_file():
        raise errors.file_not_found(file)
    outer = whole(file, msgspec.json.Decoder(dict[str, Any]), "a network in JSON")
    if outer.get("schema") != SCHEMA:
        raise errors.unreadable(file, f"its schema is not '{SCHEMA}'", "save it with save_network")
    if outer.get("version") != VERSION:
        raise errors.unreadable(
            file,
            f"its version is {str(outer.get('version'))[:20]} and this causalrel reads version {VERSION}",
            "read it with the causalrel that saved it, or a newer one",
        )
    facts = outer.get("network")
    if outer.get("fingerprint") != fingerprint(facts):
        raise errors.unreadable(file, "it is not as it was saved (its fingerprint differs)", "save it again")
    try:
        spec = msgspec.convert(facts, _Network)
        return _network(spec, file.name)
    except (msgspec.ValidationError, TypeError, OverflowError) as fault:
        raise errors.unreadable(file, f"it is not a network ({said(fault)})", "save it again") from None


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
    >>> from causalrel.tables import known_table
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


def _facts(network: Network) -> dict[str, Any]:
    others = [m.variable.name for m in network.mechanisms if m.table is None]
    if others:
        raise errors.refused(
            "saving a network", f"{', '.join(others[:8])} follow no table, and only tables are kept as JSON"
        )
    tables = {m.variable.name: (m.table, m.explained) for m in network.mechanisms if m.table is not None}
    return {
        "graph": network.graph.facts(),
        "tables": {name: _table_facts(table, explained) for name, (table, explained) in tables.items()},
        "slos": [slo.facts() for slo in network.slos],
        "width_s": int(network.width.total_seconds()),
        "checks": [[check.name, check.passed, check.says] for check in network.checks],
        "origin": network.origin.facts(),
    }


def _table_facts(table: Table, explained: float) -> dict[str, Any]:
    states = table.states
    return {
        "states": {
            "labels": list(states.labels),
            "cuts": list(states.cuts),
            "values": list(states.values),
            "low": states.low,
            "high": states.high,
        },
        "parents": [list(parent) for parent in table.parents],
        "mean": table.mean.ravel().tolist(),
        "weight": [None if np.isinf(one) else one for one in table.weight.ravel().tolist()],
        "first_mean": table.first_mean.ravel().tolist(),
        "first_weight": [None if np.isinf(one) else one for one in table.first_weight.ravel().tolist()],
        "explained": explained,
    }


def _network(spec: _Network, path: str) -> Network:
    graph = graph_of(spec.graph, path)
    cards = {name: len(table.states.labels) for name, table in spec.tables.items()}
    for name, table in spec.tables.items():
        unknown = [parent for parent, _ in table.parents if parent not in cards]
        if unknown:
            raise errors.bad_spec(path, [f"a parent of table '{name}', '{unknown[0]}', has no table"])
        check_cells(name, (*(cards[parent] for parent, _ in table.parents), cards[name]))
    tables = {name: _table(name, table, cards, path) for name, table in spec.tables.items()}
    check_tables(graph, tables, path)
    return Network(
        graph=graph,
        mechanisms=tuple(
            Mechanism(
                variable=graph.variable(name),
                form="table",
                table=tables[name],
                explained=spec.tables[name].explained,
            )
            for name in graph.order()
        ),
        slos=tuple(slo_of(facts) for facts in spec.slos),
        width=timedelta(seconds=spec.width_s),
        checks=tuple(Check(name=name, passed=passed, says=says) for name, passed, says in spec.checks),
        origin=Origin(**msgspec.structs.asdict(spec.origin)),
    )


def _table(name: str, spec: _Table, cards: Mapping[str, int], path: str) -> Table:
    parents = tuple((parent, lag) for parent, lag in spec.parents)
    later = tuple(cards[parent] for parent, _ in parents)
    first = tuple(cards[parent] for parent, lag in parents if lag == 0)
    parts = ((spec.mean, spec.weight, later), (spec.first_mean, spec.first_weight, first))
    made = []
    for mean, weight, rows in parts:
        cells = int(np.prod(rows, dtype=np.int64))
        if len(mean) != cells * cards[name] or len(weight) != cells:
            raise errors.bad_spec(path, [f"table '{name}' is not of the shape that its states ask for"])
        worth = [np.inf if one is None else one for one in weight]
        made += [np.array(mean).reshape(*rows, cards[name]), np.array(worth).reshape(rows)]
    return Table(
        states=States(**msgspec.structs.asdict(spec.states)),
        parents=parents,
        mean=made[0],
        weight=made[1],
        first_mean=made[2],
        first_weight=made[3],
    )
