"""Controls: what must not be held fixed when an effect is asked for, and why."""

from __future__ import annotations

from itertools import pairwise

from causalrel.graphs import Graph
from causalrel.identification.adjustments import Backdoor, minimal_adjustment
from causalrel.identification.separations import Causes, above, find_open_path


def tell_forbidden(graph: Graph, of: str, on: str) -> dict[str, str]:
    """Tell which variables must not be held fixed, and why.

    What lies on a causal path, or follows from it, hides or distorts the effect. A collider opens a path when it is
    added to a minimal adjustment set; where the graph has no such set, colliders are not told (Cinelli, Forney and
    Pearl 2022, doi:10.1177/00491241221099552).

    Examples
    --------
    >>> roles = {"batch": "config", "queue": "engine", "retries": "engine", "slo": "outcome"}
    >>> graph = Graph.from_edges([("batch", "queue"), ("queue", "slo"), ("queue", "retries")], roles=roles)
    >>> for sentence in tell_forbidden(graph, "batch", "slo").values():
    ...     print(sentence)
    queue lies on the way from batch to slo, and holding it fixed hides that part of the effect
    retries follows from queue, which lies on the way from batch to slo, and holding it fixed distorts the effect
    """
    backdoor = Backdoor.find(graph, of, on)
    base = minimal_adjustment(graph, of, on)
    said: dict[str, str] = {}
    for name in graph.names:
        if name in (of, on):
            continue
        if name in backdoor.path:
            said[name] = f"{name} lies on the way from {of} to {on}, and holding it fixed hides that part of the effect"
        elif name in backdoor.forbidden:
            said[name] = _follows(graph, backdoor, name, of, on)
        elif base is not None and name not in base:
            path = find_open_path(backdoor.causes, [of], [on], {*base, name})
            if path is not None:
                said[name] = f"holding {name} fixed opens the path {draw_path(backdoor.causes, path)}"
    return said


def draw_path(causes: Causes, path: tuple[str, ...]) -> str:
    """Write a path with its arrows.

    Examples
    --------
    >>> draw_path({"a": frozenset("b"), "b": frozenset(), "c": frozenset("b")}, ("a", "b", "c"))
    'a <- b -> c'
    """
    arrows = [f" <- {b}" if b in causes[a] else f" -> {b}" for a, b in pairwise(path)]
    return path[0] + "".join(arrows)


def _follows(graph: Graph, backdoor: Backdoor, name: str, of: str, on: str) -> str:
    before = above(backdoor.causes, [name]) & backdoor.path
    nearest = next(step for step in reversed(graph.order()) if step in before)
    way = f"{on}, the outcome" if nearest == on else f"{nearest}, which lies on the way from {of} to {on}"
    return f"{name} follows from {way}, and holding it fixed distorts the effect"
