"""Queries: the joint chances of some variables at some steps, exactly, given others and with others set."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from causalrel import display, errors
from causalrel.estimates import Estimate
from causalrel.inference.courses import Asked, blank, joined, node_of, set_course, tables_of, told
from causalrel.inference.factors import Factor, Node, eliminate
from causalrel.inference.slices import Course, Slices, factors_at, seen_course, seen_logs, slices_of
from causalrel.networks import Network
from causalrel.tables import Table

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_STEPS = 10_000
METHOD = "exact elimination in tables of states"


def query(
    network: Network,
    *,
    of: str | Node | Sequence[str | Node],
    given: Asked | None = None,
    do: Asked | None = None,
    since: int = 0,
    draws: int = 200,
    seed: int = 0,
) -> Estimate:
    """Ask a network of tables for the chances of states, jointly where several variables are asked for.

    In a dynamic network a variable is meant at a step, ``("queue_s", 3)``; a name alone is step 0. Step 0 has nothing
    before it. Set variables are cut from their causes, which is not the same as giving them.

    Parameters
    ----------
    network : Network
        A network of tables.
    of : str, (str, int), or sequence of them
        What is asked about.
    given : mapping of str or (str, int) to state, optional
        What is seen; a state is its label or a value of the variable.
    do : mapping of str or (str, int) to state or mapping of state to chance, optional
        What is set: a name from ``since`` on, a pair at one step. Chances in place of a state are a soft intervention.
    since : int
        First step at which names in ``do`` are set.
    draws : int
        Draws of the tables; 0 for their mean alone.
    seed : int
        Seed of the draws.

    Returns
    -------
    Estimate
        One term a joint state: its chance.

    Raises
    ------
    CausalrelError
        When a variable, step or state does not exist, the same is given and set, what is given cannot be, or the
        answer would need more memory than is allowed.

    References
    ----------
    Koller and Friedman 2009, "Probabilistic Graphical Models", chapter 9; Pearl 2009, "Causality", chapter 3.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h")
    >>> roles = {"load": "workload", "queue_s": "engine"}
    >>> graph = cr.Graph.from_edges([("load", "load", 1), ("load", "queue_s")], roles=roles)
    >>> network = cr.fit(windows, graph, states={"load": 2, "queue_s": [0.05]})
    >>> busy = network.mechanism("load").table.states.labels[1]
    >>> later = query(network, of=("queue_s", 3), given={"load": busy})
    >>> later.frame()["queue_s@3"].to_list()
    ['< 0.05', '>= 0.05']
    """
    tables = tables_of(network, "query")
    wanted = _listed(of)
    given, do = given or {}, do or {}
    steps = 1 if not any(table.lags for table in tables.values()) else _MOST_STEPS
    nodes = [node_of(node, tables, steps, "query") for node in wanted]
    seen = {node_of(node, tables, steps, "query"): value for node, value in given.items()}
    last = max(step for _, step in [*nodes, *seen, *(node for node in do if not isinstance(node, str))]) if nodes else 0
    if not nodes or len(set(nodes)) < len(nodes):
        raise errors.bad_question("query: nothing, or the same twice, is asked for", "name each variable once in of=")
    if isinstance(since, bool) or not isinstance(since, int) or since < 0:
        raise errors.bad_question(f"query: step {since} does not exist", "write since=0 or a later step")
    names = list(tables)
    course = seen_course(blank(last + 1, len(names)))
    course = set_course(course, tables, do, min(since, last + 1), "query")
    for (name, step), value in seen.items():
        at = names.index(name)
        if course.cut[step, at]:
            raise errors.bad_question(f"query: '{name}' is both given and set at step {step}", "give it or set it")
        course.codes[step, at] = tables[name].states.place(value, name)
    slices = slices_of(tables, np.random.default_rng([seed, 4]), draws)
    found = joint_chances(slices, course, nodes)
    if np.isnan(found).any():
        raise errors.refused("query", f"what is given cannot be under the network ({told(given)})")
    question = f"What are the chances of {joined(wanted)}"
    question += f", given {told(given)}" * bool(given) + f", had one set {told(do)}" * bool(do) + "?"
    return Estimate(
        question=display.plain(question),
        draws=found.reshape(len(found), -1),
        terms=_terms(nodes, tables),
        unit="1",
        method=METHOD,
        assumptions=("the graph is right and its tables do not change",),
        checks=network.checks,
        verdict="answered",
        origin=replace(network.origin, seed=seed),
    )


def _listed(of: str | Node | Sequence[str | Node]) -> list[str | Node]:
    if isinstance(of, str):
        return [of]
    if isinstance(of, tuple) and len(of) == 2 and isinstance(of[0], str) and isinstance(of[1], int):
        return [(of[0], of[1])]
    return [one for one in of if not isinstance(one, int)]


def joint_chances(slices: Slices, course: Course, nodes: Sequence[Node]) -> NDArray[np.float64]:
    """Return the joint chances of nodes by eliminating all others from the network unrolled over its steps.

    Parameters
    ----------
    slices : Slices
        The tables.
    course : Course
        What is known.
    nodes : sequence of (str, int)
        Variables and steps.

    Returns
    -------
    ndarray of float64, shape (n_draws, states of each node...)
        Chances; NaN where what is known cannot be.
    """
    places = {name: i for i, name in enumerate(slices.names)}
    needed = _needed(slices, course, nodes)
    pieces: list[Factor] = []
    for step in range(len(course.codes)):
        for factor in factors_at(slices, course, step):
            turned = Factor(tuple((name, step - back) for name, back in factor.scope), factor.values)
            if set(turned.scope) <= needed:
                pieces.append(turned)
    hidden = [node for node in nodes if course.code(node[1], places[node[0]]) < 0]
    joint = eliminate(pieces, hidden, rescale=True)
    total = joint.values.reshape(len(joint.values), -1).sum(axis=1)
    impossible = (total <= 0) | np.isneginf(seen_logs(slices, course)).any(axis=0)
    values = joint.values / np.where(impossible, np.nan, total).reshape(-1, *[1] * len(hidden))
    found = np.zeros((slices.draws, *(slices.cards[places[name]] for name, _ in nodes)))
    codes = [course.code(step, places[name]) for name, step in nodes]
    found[(slice(None), *(slice(None) if code < 0 else code for code in codes))] = values
    return found


def _needed(slices: Slices, course: Course, nodes: Collection[Node]) -> set[Node]:
    """Return the nodes asked for or known, and all they follow from; the others sum to 1."""
    places = {name: i for i, name in enumerate(slices.names)}
    lags = slices.lags
    seen = np.argwhere((course.codes >= 0) & ~course.cut)
    todo = [*nodes, *((slices.names[at], int(step)) for step, at in seen)]
    found: set[Node] = set()
    while todo:
        node = todo.pop()
        if node in found:
            continue
        found.add(node)
        name, step = node
        at = places[name]
        if not course.cut[step, at]:
            parents, _ = slices.family(at, started=step >= lags[at])
            todo += [(parent, step - back) for parent, back in parents[:-1]]
    return found


def _terms(nodes: Sequence[Node], tables: Mapping[str, Table]) -> pl.DataFrame:
    dynamic = any(table.lags for table in tables.values())
    names = [f"{name}@{step}" if dynamic else name for name, step in nodes]
    rows = list(product(*(tables[name].states.labels for name, _ in nodes)))
    head = {"slo": [""] * len(rows), "quantity": ["chance"] * len(rows), "unit": ["1"] * len(rows)}
    return pl.DataFrame({**head, **{name: [row[i] for row in rows] for i, name in enumerate(names)}})
