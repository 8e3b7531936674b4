"""Explanations: the states of all that is missing which together are the most probable."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from causalrel import errors
from causalrel.inference.courses import codes_of, tables_of
from causalrel.inference.factors import Factor, Node, elimination_order, multiply
from causalrel.inference.slices import Course, Slices, factors_at, seen_course, seen_logs, slices_of
from causalrel.networks import Network
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray


def explain(windows: Windows, network: Network) -> pl.DataFrame:
    """Fill what windows lack with the joint states that are the most probable, given all that they hold.

    These are the best states together; each alone may be less probable than another (:func:`causalrel.infer` tells the
    chances of each).

    Parameters
    ----------
    windows : Windows
        The windows; each unit is a run of its own.
    network : Network
        A network of tables with the same variables; its mean tables are used.

    Returns
    -------
    polars.DataFrame
        One row a window: ``unit``, ``time``, the state of every variable, and ``filled``, how many of them it lacked.

    Raises
    ------
    CausalrelError
        When the windows do not fit the network, show what cannot be, or need more memory than is allowed.

    References
    ----------
    Koller and Friedman 2009, "Probabilistic Graphical Models", section 13.2 (max-product elimination); Viterbi 1967,
    doi:10.1109/TIT.1967.1054010.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="10m")
    >>> roles = {"load": "workload", "kv_usage": "engine"}
    >>> graph = cr.Graph.from_edges([("load", "load", 1), ("load", "kv_usage")], roles=roles)
    >>> explain(windows, cr.fit(windows, graph))["filled"].sum()
    336
    """
    tables = tables_of(network, "explain")
    slices = slices_of(tables, np.random.default_rng(0), 0)
    frames = []
    for place, codes in codes_of(windows, network, "explain").items():
        best, log = best_states(slices, seen_course(codes))
        if np.isneginf(log):
            raise errors.refused("explain", f"what '{place}' shows cannot be under the network")
        times = windows.table.filter(pl.col("unit") == place)["time"]
        states = {
            name: np.array(table.states.labels, dtype=object)[best[:, at]].tolist()
            for at, (name, table) in enumerate(tables.items())
        }
        head = {"unit": [place] * len(best), "time": times}
        frames.append(pl.DataFrame({**head, **states, "filled": (codes < 0).sum(axis=1)}))
    return pl.concat(frames)


def best_states(slices: Slices, course: Course) -> tuple[NDArray[np.int64], float]:
    """Return the most probable joint states of all hidden nodes, and the log chance of all states together.

    Parameters
    ----------
    slices : Slices
        The tables; the first draw is used.
    course : Course
        What is known.

    Returns
    -------
    states : ndarray of int64, shape (n_steps, n_variables)
        What is known, and the best of what is not.
    log : float
        Log chance; minus infinity where what is known cannot be.
    """
    memory = slices.memory
    left: list[Factor] = []
    chosen: list[tuple[Node, Factor]] = []
    steps = len(course.codes)
    for step in range(steps):
        for factor in factors_at(slices, course, step):
            nodes = tuple((name, step - back) for name, back in factor.scope)
            left.append(Factor(nodes, factor.values[:1]))
        later = [node for factor in left for node in factor.scope if node[1] + memory[node[0]] > step]
        keep = frozenset(later) if step < steps - 1 else frozenset()
        left = _maximised(left, keep, chosen)
    states = course.codes.copy()
    places = {name: i for i, name in enumerate(slices.names)}
    for (name, step), factor in reversed(chosen):
        index = tuple(slice(None) if n == (name, step) else int(states[n[1], places[n[0]]]) for n in factor.scope)
        states[step, places[name]] = int(np.argmax(factor.values[(0, *index)]))
    whole = Course(codes=states, cut=course.cut, start=course.start)
    log = float(seen_logs(slices, whole)[:, 0].sum())
    for step, factors in course.extra.items():
        for factor in factors:
            cell = factor.values[(0, *(states[step - back, places[name]] for name, back in factor.scope))]
            log += float(np.log(cell)) if cell > 0 else -np.inf
    return states, log


def _maximised(left: list[Factor], keep: frozenset[Node], chosen: list[tuple[Node, Factor]]) -> list[Factor]:
    """Take the maximum over every node but some, and remember what it was taken of."""
    for node in elimination_order(tuple(factor.scope for factor in left), keep):
        mine = [factor for factor in left if node in factor.scope]
        left = [factor for factor in left if node not in factor.scope]
        scope = tuple(dict.fromkeys(other for factor in mine for other in factor.scope))
        made = multiply(mine, scope)
        top = made.values.max()
        made = Factor(scope, made.values / top if top > 0 else made.values)
        chosen.append((node, made))
        rest = tuple(other for other in scope if other != node)
        left.append(Factor(rest, made.values.max(axis=scope.index(node) + 1)))
    return [factor for factor in left if factor.scope]
