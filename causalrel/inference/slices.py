"""Slices: what is known flows from window to window through the few variables that later windows remember.

The interface algorithm (Murphy 2002, "Dynamic Bayesian Networks", chapter 3): the cost of a window does not depend on
how many came before, so filtering and smoothing are linear in time. Nodes are told by how many windows back they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from causalrel.inference.factors import Factor, Node, eliminate
from causalrel.tables import Parent, Table

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Slices:
    """The tables of a network as arrays.

    Parameters
    ----------
    names : tuple of str
        Variables, causes first.
    cards : tuple of int
        Number of states of each.
    parents : tuple of tuple of (str, int)
        Parents of each variable and how many windows before, those of the same window first.
    later, first : tuple of ndarray, shape (n_draws, states of each parent..., states)
        Chances; ``first`` where the windows before are missing, given the parents of the same window.
    """

    names: tuple[str, ...]
    cards: tuple[int, ...]
    parents: tuple[tuple[Parent, ...], ...]
    later: tuple[NDArray[np.float64], ...]
    first: tuple[NDArray[np.float64], ...]

    @property
    def draws(self) -> int:
        """Number of draws."""
        return len(self.later[0])

    @property
    def lags(self) -> tuple[int, ...]:
        """The most windows between each variable and one of its parents."""
        return tuple(max((lag for _, lag in mine), default=0) for mine in self.parents)

    @property
    def memory(self) -> dict[str, int]:
        """For how many windows each variable is remembered."""
        found = dict.fromkeys(self.names, 0)
        for name, lag in (parent for mine in self.parents for parent in mine):
            found[name] = max(found[name], lag)
        return found

    def family(self, at: int, *, started: bool) -> tuple[tuple[Node, ...], NDArray[np.float64]]:
        """Return the nodes of one table, its variable last, and its chances."""
        own = (self.names[at], 0)
        if started:
            return (*self.parents[at], own), self.later[at]
        return (*(parent for parent in self.parents[at] if parent[1] == 0), own), self.first[at]


def slices_of(tables: Mapping[str, Table], rng: np.random.Generator, draws: int) -> Slices:
    """Draw the tables of a network; one draw where all are known.

    Parameters
    ----------
    tables : mapping of str to Table
        Causes first.
    rng : numpy.random.Generator
        Source of randomness.
    draws : int
        Number of draws; 0 for mean chances.

    Returns
    -------
    Slices
        The arrays.
    """
    count = 0 if all(table.known for table in tables.values()) else draws
    pairs = [table.drawn(rng, count) for table in tables.values()]
    return Slices(
        names=tuple(tables),
        cards=tuple(len(table.states.labels) for table in tables.values()),
        parents=tuple(table.parents for table in tables.values()),
        later=tuple(later for later, _ in pairs),
        first=tuple(first for _, first in pairs),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What is known of a run of windows.

    Parameters
    ----------
    codes : ndarray of int64, shape (n_steps, n_variables)
        States seen or set, -1 where hidden.
    cut : ndarray of bool, shape (n_steps, n_variables)
        Where a variable does not follow from its causes.
    extra : mapping of int to sequence of Factor
        More factors on the nodes of a step.
    start : Factor or None
        What is known of the windows before, told as of the last of them; None where the first windows have none.
    """

    codes: NDArray[np.int64]
    cut: NDArray[np.bool_]
    extra: Mapping[int, Sequence[Factor]] = field(default_factory=dict)
    start: Factor | None = None

    def code(self, step: int, at: int) -> int:
        """Return a state, -1 where it is hidden or before the first step."""
        return int(self.codes[step, at]) if step >= 0 else -1


def seen_course(codes: NDArray[np.int64]) -> Course:
    """Return the course of what was seen, nothing set."""
    return Course(codes=codes, cut=np.zeros(codes.shape, dtype=bool))


def factors_at(slices: Slices, course: Course, step: int) -> list[Factor]:
    """Return the factors of one step that have a hidden node, what is known put in.

    Parameters
    ----------
    slices : Slices
        The tables.
    course : Course
        What is known.
    step : int
        The step.

    Returns
    -------
    list of Factor
        Over hidden nodes, told by how many windows back they are.
    """
    places = {name: i for i, name in enumerate(slices.names)}
    families = [
        slices.family(at, started=step >= lag or course.start is not None)
        for at, lag in enumerate(slices.lags)
        if not course.cut[step, at]
    ]
    families += [(factor.scope, factor.values) for factor in course.extra.get(step, ())]
    made = []
    for nodes, values in families:
        codes = [course.code(step - lag, places[name]) for name, lag in nodes]
        if min(codes) < 0:
            index = (slice(None), *(slice(None) if code < 0 else code for code in codes))
            made.append(Factor(tuple(node for node, code in zip(nodes, codes, strict=True) if code < 0), values[index]))
    return made


def seen_logs(slices: Slices, course: Course) -> NDArray[np.float64]:
    """Return the log chance of all that follows from nothing hidden.

    Parameters
    ----------
    slices : Slices
        The tables.
    course : Course
        What is known.

    Returns
    -------
    ndarray of float64, shape (n_steps, n_draws)
        Log chances, summed over the variables of each step.
    """
    places = {name: i for i, name in enumerate(slices.names)}
    total = np.zeros((len(course.codes), slices.draws))
    for at, lag in enumerate(slices.lags):
        for started in (True, False):
            if not started and (lag == 0 or course.start is not None):
                continue
            nodes, values = slices.family(at, started=started)
            low, high = (lag, len(course.codes)) if started else (0, min(lag, len(course.codes)))
            if low >= high:
                continue
            codes = [course.codes[low - back : high - back, places[name]] for name, back in nodes]
            whole = (np.min(codes, axis=0) >= 0) & ~course.cut[low:high, at]
            with np.errstate(divide="ignore"):
                logs = np.log(values[(slice(None), *(column[whole] for column in codes))])
            total[low:high][whole] += logs.T
    return total


def filter_slices(slices: Slices, course: Course) -> tuple[list[Factor], NDArray[np.float64]]:
    """Carry what is known forward.

    Parameters
    ----------
    slices : Slices
        The tables.
    course : Course
        What is known.

    Returns
    -------
    messages : list of Factor
        Chances of the hidden nodes that the next steps remember, given all up to each step.
    logs : ndarray of float64, shape (n_steps, n_draws)
        Log chance of what each step shows given the steps before; minus infinity where it cannot be.
    """
    memory = slices.memory
    logs = seen_logs(slices, course)
    messages: list[Factor] = []
    before = course.start
    for step in range(len(course.codes)):
        pieces = factors_at(slices, course, step)
        if before is not None and before.scope:
            pieces.append(before.shifted(1))
        known = dict.fromkeys(node for piece in pieces for node in piece.scope if node[1] < memory[node[0]])
        made = eliminate(pieces, list(known))
        norm = made.values.reshape(len(made.values), -1).sum(axis=1)
        with np.errstate(divide="ignore"):
            logs[step] += np.log(norm)
        before = Factor(made.scope, made.values / spread(np.where(norm > 0, norm, 1.0), made.values.ndim))
        messages.append(before)
    return messages, logs


def smooth_slices(slices: Slices, course: Course) -> list[Factor]:
    """Carry what is known backward.

    Parameters
    ----------
    slices : Slices
        The tables.
    course : Course
        What is known.

    Returns
    -------
    list of Factor
        How well each state of the hidden nodes that are remembered foretells the steps after, up to a factor.
    """
    after = Factor((), np.ones(1))
    messages = [after]
    for step in range(len(course.codes) - 1, 0, -1):
        pieces = [*factors_at(slices, course, step), after]
        known = dict.fromkeys(node for piece in pieces for node in piece.scope if node[1] >= 1)
        made = eliminate(pieces, list(known))
        top = made.values.reshape(len(made.values), -1).max(axis=1)
        scale = spread(np.where(top > 0, top, 1.0), made.values.ndim)
        after = Factor(made.scope, made.values / scale).shifted(-1)
        messages.append(after)
    return messages[::-1]


def joint_at(
    slices: Slices, course: Course, step: int, nodes: Sequence[Node], before: Factor | None, after: Factor | None
) -> Factor:
    """Return the joint chances of some hidden nodes of a step.

    Parameters
    ----------
    slices : Slices
        The tables.
    course : Course
        What is known.
    step : int
        The step.
    nodes : sequence of (str, int)
        Hidden nodes, told by how many windows back they are.
    before : Factor or None
        Message of :func:`filter_slices` of the step before.
    after : Factor or None
        Message of :func:`smooth_slices` of the step itself; None to leave out what came after.

    Returns
    -------
    Factor
        Chances, which sum to 1, or are all 0 where what is known cannot be.
    """
    pieces = factors_at(slices, course, step)
    pieces += [before.shifted(1)] if before is not None and before.scope else []
    pieces += [after] if after is not None and after.scope else []
    made = eliminate(pieces, list(nodes)).ordered(nodes)
    norm = made.values.reshape(len(made.values), -1).sum(axis=1)
    return Factor(made.scope, made.values / spread(np.where(norm > 0, norm, 1.0), made.values.ndim))


def chances(slices: Slices, course: Course, name: str, *, smooth: bool) -> NDArray[np.float64]:
    """Return the chances of the states of one variable at each step.

    Parameters
    ----------
    slices : Slices
        The tables.
    course : Course
        What is known.
    name : str
        The variable.
    smooth : bool
        Whether later steps count too, rather than only those up to each.

    Returns
    -------
    ndarray of float64, shape (n_draws, n_steps, n_states)
        Chances.
    """
    at = slices.names.index(name)
    forward, logs = filter_slices(slices, course)
    backward = smooth_slices(slices, course) if smooth else [None] * len(forward)
    found = np.zeros((slices.draws, len(forward), slices.cards[at]))
    for step, after in enumerate(backward):
        code = course.code(step, at)
        if code >= 0:
            found[:, step, code] = 1.0
        else:
            before = forward[step - 1] if step else course.start
            found[:, step] = joint_at(slices, course, step, [(name, 0)], before, after).values
    impossible = np.isneginf(np.cumsum(logs, axis=0)).T
    found[impossible.any(axis=1) if smooth else impossible] = np.nan
    return found


def spread(values: NDArray[np.float64], ndim: int) -> NDArray[np.float64]:
    """Give one number a draw the axes of a factor."""
    return values.reshape(len(values), *[1] * (ndim - 1))
