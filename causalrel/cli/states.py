"""The verbs that ask networks of tables: query and infer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import causalrel as cr
from causalrel import errors
from causalrel.cli.inputs import ask, graph_of
from causalrel.cli.options import (
    Ahead,
    By,
    Cluster,
    ColumnMap,
    Data,
    DataOrNone,
    Every,
    FormatOf,
    Given,
    GraphName,
    Inferred,
    NetworkFile,
    Nodes,
    Output,
    Seed,
    SetStates,
    Since,
    Slo,
    Smooth,
    StatesOf,
    Step,
    levels_of,
)
from causalrel.cli.outputs import write_estimate

if TYPE_CHECKING:
    from causalrel.cli.inputs import Asked
    from causalrel.networks import Network


def query(
    data: DataOrNone = None,
    of: Nodes = None,
    given: Given = None,
    do: SetStates = None,
    since: Step = 0,
    states: StatesOf = None,
    network: NetworkFile = None,
    slo: Slo = None,
    graph: GraphName = None,
    every: Every = None,
    by: By = None,
    columns: ColumnMap = None,
    cluster: Cluster = None,
    seed: Seed = 0,
    form: FormatOf = None,
    output: Output = None,
) -> None:
    """Ask a network of tables for chances of states, given some and with some set."""
    wanted = [node_of(one) for one in of or ()]
    seen, changed = parts_of(given, "--given"), parts_of(do, "--do")
    if (data is None) == (network is None):
        raise errors.bad_question("query needs one network", "name DATA to fit one to, or write --network FILE")
    if data is None:
        made = _saved(network, states, graph)
    else:
        made = _fitted(ask(data, columns, slo, graph or "", every, by, cluster), states, seed)
    told: dict[str, Any] = {"given": _valued(made, seen), "do": _valued(made, changed), "since": since}
    write_estimate(cr.query(made, of=wanted, seed=seed, **told), form, output)


def infer(
    data: Data,
    of: Inferred,
    smooth: Smooth = False,
    do: SetStates = None,
    since: Since = None,
    horizon: Ahead = None,
    states: StatesOf = None,
    network: NetworkFile = None,
    slo: Slo = None,
    graph: GraphName = None,
    every: Every = None,
    by: By = None,
    columns: ColumnMap = None,
    cluster: Cluster = None,
    seed: Seed = 0,
    form: FormatOf = None,
    output: Output = None,
) -> None:
    """Tell the chances of a variable's states in every window, and in windows still to come."""
    changed = parts_of(do, "--do")
    saved = None if network is None else _saved(network, states, graph)
    asked = ask(data, columns, slo, (graph or "") if saved is None else None, every, by, cluster)
    made = saved or _fitted(asked, states, seed)
    told: dict[str, Any] = {"by": "smooth" if smooth else "filter", "do": _valued(made, changed), "since": since}
    write_estimate(cr.infer(asked.windows, made, of=of, horizon=horizon, seed=seed, **told), form, output)


def _saved(network: str | None, states: list[str] | None, graph: str | None) -> Network:
    if states or graph:
        raise errors.bad_question(
            "a saved network has its graph and its states", "leave out --states and --graph, or --network"
        )
    return cr.load_network(str(network))


def _fitted(asked: Asked, states: list[str] | None, seed: int) -> Network:
    return cr.fit(asked.windows, graph_of(asked), states=dict(states_of(item) for item in states or ()), seed=seed)


def _valued(network: Network, parts: dict[Any, str]) -> dict[Any, Any]:
    """Read each text as a state of its variable, a value of it, or chances of states."""
    return {node: _state(network, node if isinstance(node, str) else node[0], text) for node, text in parts.items()}


def _state(network: Network, name: str, text: str) -> object:
    table = network.mechanism(name).table
    labels = table.states.labels if table is not None else ()
    pieces = [piece.rpartition(":") for piece in text.split(",")]
    if text in labels:
        return text
    try:
        if all(sign for _, sign, _ in pieces):
            return {_state(network, name, state.strip()): float(chance) for state, _, chance in pieces}
        return float(text)
    except ValueError:
        return text


def node_of(text: str) -> str | tuple[str, int]:
    """Read a variable, maybe at a step.

    Parameters
    ----------
    text : str
        ``queue_s`` or ``queue_s@3``.

    Returns
    -------
    str or (str, int)
        The variable, with its step where one is said.

    Examples
    --------
    >>> node_of("queue_s@3")
    ('queue_s', 3)
    """
    name, sign, step = text.strip().rpartition("@")
    return (name, int(step)) if sign and step.isascii() and step.isdecimal() else text.strip()


def parts_of(items: list[str] | None, option: str) -> dict[str | tuple[str, int], str]:
    """Read what is seen or set in a network of tables.

    Parameters
    ----------
    items : list of str or None
        ``VARIABLE=STATE`` or ``VARIABLE@STEP=STATE`` each.
    option : str
        Option they were given to, named in the error.

    Returns
    -------
    dict
        Text of each variable's state.

    Raises
    ------
    CausalrelError
        When an item tells no state, or a variable is told twice.

    Examples
    --------
    >>> parts_of(["load@1=>= 3"], "--given")
    {('load', 1): '>= 3'}
    """
    made: dict[str | tuple[str, int], str] = {}
    for item in items or ():
        name, _, value = item.partition("=")
        if not name.strip() or not value.strip():
            raise errors.bad_question(f"{option} '{item}' tells no state", "write VARIABLE=STATE")
        if (node := node_of(name)) in made:
            raise errors.bad_question(f"{option} tells {name.strip()} twice", "write it once")
        made[node] = value.strip()
    return made


def states_of(text: str) -> tuple[str, int | list[float]]:
    """Read how a variable is cut into states.

    Parameters
    ----------
    text : str
        ``load=3`` for a number of states, ``queue_s=0.05,0.5`` or ``queue_s=3.0`` for cuts.

    Returns
    -------
    name : str
        The variable.
    states : int or list of float
        How many, or the cuts.

    Raises
    ------
    CausalrelError
        When it says neither.

    Examples
    --------
    >>> states_of("queue_s=0.05,0.5")
    ('queue_s', [0.05, 0.5])
    """
    name, given = levels_of(text)
    levels = [str(level) for level in given or [""]]
    try:
        return name, int(levels[0]) if len(levels) == 1 and levels[0].isdecimal() else [float(one) for one in levels]
    except ValueError:
        raise errors.bad_question(
            f"--states '{text}' says no states", "write VARIABLE=3 for so many, or VARIABLE=0.05,0.5 for cuts"
        ) from None
