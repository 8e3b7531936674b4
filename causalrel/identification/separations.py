"""Separations: which variables a graph calls independent, and given what."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import combinations

from causalrel import errors
from causalrel.graphs import Graph

#: The direct causes of every node, unmeasured causes being nodes too.
Causes = Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Implication:
    """One independence that a graph claims of its measured variables.

    Parameters
    ----------
    one, other : str
        Two variables without an edge, the second never a cause of the first.
    given : tuple of str
        What is held fixed.

    Examples
    --------
    >>> str(Implication(one="load", other="slo", given=("queue",)))
    'load and slo are independent given queue'
    """

    one: str
    other: str
    given: tuple[str, ...] = ()

    def __str__(self) -> str:
        given = f" given {', '.join(self.given)}" if self.given else ""
        return f"{self.one} and {self.other} are independent{given}"


def causes_of(graph: Graph) -> dict[str, frozenset[str]]:
    """Return the direct causes of every variable and of every unmeasured cause.

    Examples
    --------
    >>> graph = Graph.from_edges([("a", "b")], roles={"a": "engine", "b": "engine"}, unmeasured={"u": ["a", "b"]})
    >>> sorted(causes_of(graph)["b"])
    ['a', 'u']
    """
    if graph.lags:
        raise errors.refused(
            f"identification on graph '{graph.name}'", "it has lagged edges, and separation is read off a static graph"
        )
    made: dict[str, set[str]] = {name: set() for name in graph.names}
    for edge in graph.edges:
        made[edge.effect].add(edge.cause)
    for hidden in graph.unmeasured:
        for effect in hidden.affects:
            made[effect].add(hidden.name)
    hidden_names: dict[str, frozenset[str]] = {hidden.name: frozenset() for hidden in graph.unmeasured}
    return hidden_names | {name: frozenset(parents) for name, parents in made.items()}


def above(causes: Causes, names: Collection[str]) -> set[str]:
    """Return some nodes and all their direct and indirect causes.

    Examples
    --------
    >>> sorted(above({"a": frozenset(), "b": frozenset("a"), "c": frozenset("b")}, ["b"]))
    ['a', 'b']
    """
    found, todo = set(names), list(names)
    while todo:
        fresh = causes[todo.pop()] - found
        found |= fresh
        todo += fresh
    return found


def below(causes: Causes, names: Collection[str]) -> set[str]:
    """Return some nodes and everything that follows from them.

    Examples
    --------
    >>> sorted(below({"a": frozenset(), "b": frozenset("a"), "c": frozenset("b")}, ["b"]))
    ['b', 'c']
    """
    return above(_effects(causes), names)


def find_open_path(
    causes: Causes, starts: Collection[str], ends: Collection[str], given: Collection[str] = ()
) -> tuple[str, ...] | None:
    """Find a shortest path that lets two disjoint sets of nodes depend on each other; None where they are d-separated.

    A path is open where each of its colliders is held fixed or causes what is, and no other inner node is held fixed
    (Pearl 2009, definition 1.2.3). A shortest open walk never meets a node twice, so a breadth-first search over nodes
    and directions of arrival finds a path (Shachter 1998, arXiv:1301.7412).

    Examples
    --------
    >>> causes = {"a": frozenset(), "b": frozenset(), "c": frozenset("ab")}
    >>> find_open_path(causes, ["a"], ["b"]), find_open_path(causes, ["a"], ["b"], ["c"])
    (None, ('a', 'c', 'b'))
    """
    fixed, opened, effects = set(given), above(causes, given), _effects(causes)
    came: dict[tuple[str, bool], tuple[str, bool] | None] = {(name, False): None for name in sorted(starts)}
    todo = deque(came)
    while todo:
        at = todo.popleft()
        name, into = at
        if name in ends:
            return _walk(came, at)
        through = came[at] is None or name not in fixed
        upward = name in opened if into else through
        steps = [(cause, False) for cause in sorted(causes[name])] if upward else []
        steps += [(effect, True) for effect in sorted(effects[name])] if through else []
        for step in steps:
            if step not in came:
                came[step] = at
                todo.append(step)
    return None


def is_separated(graph: Graph, one: str, other: str, given: Collection[str] = ()) -> bool:
    """Tell whether a graph calls two variables independent given others (d-separation).

    Examples
    --------
    >>> roles = {"load": "workload", "queue": "engine", "slo": "outcome"}
    >>> graph = Graph.from_edges([("load", "queue"), ("queue", "slo")], roles=roles)
    >>> is_separated(graph, "load", "slo"), is_separated(graph, "load", "slo", ["queue"])
    (False, True)
    """
    for name in (one, other, *given):
        graph.variable(name)
    if one == other or {one, other} & set(given):
        raise errors.bad_question(
            f"separation of '{one}' and '{other}': a variable is told twice", "name two variables and others to hold"
        )
    return find_open_path(causes_of(graph), [one], [other], given) is None


def find_separator(causes: Causes, one: str, other: str, among: Collection[str]) -> set[str] | None:
    """Find a set that separates two nodes and of which none can be left out; None where there is none.

    Any separating set among some nodes implies that the causes of both nodes among them separate (van der Zander,
    Liskiewicz and Textor 2014); there every larger set separates too, so that leaving out one node after another ends
    at a minimal set.

    Examples
    --------
    >>> find_separator({"a": frozenset(), "b": frozenset("a"), "c": frozenset("b")}, "a", "c", ["b"])
    {'b'}
    """
    chosen = (above(causes, [one, other]) - {one, other}) & set(among)
    if find_open_path(causes, [one], [other], chosen) is not None:
        return None
    for name in sorted(chosen):
        if find_open_path(causes, [one], [other], chosen - {name}) is None:
            chosen.discard(name)
    return chosen


def list_implications(graph: Graph) -> tuple[Implication, ...]:
    """List one independence for each pair of variables that the graph keeps apart: what data can refute.

    A pair without an edge is separated by the measured causes of both (Shipley 2000, doi:10.1207/S15328007SEM0702_4);
    without unmeasured causes these independencies imply all others. Where an unmeasured cause forbids that set, a
    minimal one is taken, and where none exists the graph claims no independence of the pair.

    Examples
    --------
    >>> roles = {"load": "workload", "queue": "engine", "slo": "outcome"}
    >>> graph = Graph.from_edges([("load", "queue"), ("queue", "slo")], roles=roles)
    >>> [str(claim) for claim in list_implications(graph)]
    ['load and slo are independent given queue']
    """
    causes = causes_of(graph)
    made = []
    for one, other in combinations(graph.order(), 2):
        if one in causes[other]:
            continue
        given: set[str] | None = {name for name in causes[one] | causes[other] if name in graph.names}
        if find_open_path(causes, [one], [other], given or ()) is not None:
            given = find_separator(causes, one, other, graph.names)
        if given is not None:
            made.append(Implication(one=one, other=other, given=tuple(name for name in graph.names if name in given)))
    return tuple(made)


def _effects(causes: Causes) -> dict[str, frozenset[str]]:
    made: dict[str, set[str]] = {name: set() for name in causes}
    for effect, parents in causes.items():
        for parent in parents:
            made[parent].add(effect)
    return {name: frozenset(effects) for name, effects in made.items()}


def _walk(came: Mapping[tuple[str, bool], tuple[str, bool] | None], at: tuple[str, bool]) -> tuple[str, ...]:
    walk = [at[0]]
    before = came[at]
    while before is not None:
        walk.append(before[0])
        before = came[before]
    return tuple(reversed(walk))
