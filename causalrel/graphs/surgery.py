"""Surgery on graphs: marginalise a variable, and refuse what is no graph."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from causalrel import errors
from causalrel.graphs import Edge, Graph, Unmeasured

#: Between a service and its variable where services are joined; the order of roles holds within a service.
SEPARATOR = "/"


def without(graph: Graph, name: str) -> Graph:
    """Return the graph with one variable marginalised out.

    Its causes become causes of its effects; with several effects it stays as an unmeasured common cause (latent
    projection; Evans 2016, doi:10.1111/sjos.12194).

    Parameters
    ----------
    graph : Graph
        Any graph.
    name : str
        The variable to leave out.

    Returns
    -------
    Graph
        A graph without it.

    Examples
    --------
    >>> roles = {"a": "workload", "b": "engine", "c": "outcome"}
    >>> without(Graph.from_edges([("a", "b"), ("b", "c")], roles=roles), "b").parents("c")
    ('a',)
    """
    causes = [e.cause for e in graph.edges if e.effect == name]
    effects = [e.effect for e in graph.edges if e.cause == name]
    edges = [e for e in graph.edges if name not in (e.cause, e.effect)]
    have = {(e.cause, e.effect) for e in edges}
    for cause in causes:
        for effect in effects:
            if (cause, effect) not in have:
                have.add((cause, effect))
                edges.append(Edge(cause=cause, effect=effect, why=f"through {name}, which the data lack"))
    hidden = [
        replace(u, affects=tuple(dict.fromkeys([a for a in u.affects if a != name] + effects * (name in u.affects))))
        for u in graph.unmeasured
    ]
    if len(effects) > 1:
        hidden.append(Unmeasured(name=name, affects=tuple(effects), why="not in the data"))
    return replace(
        graph,
        variables=tuple(v for v in graph.variables if v.name != name),
        edges=tuple(edges),
        unmeasured=tuple(u for u in hidden if len(u.affects) > 1),
        forbidden=tuple(pair for pair in graph.forbidden if name not in pair),
    )


def checked(graph: Graph, path: object) -> Graph:
    """Return the graph, or one sentence with all its faults.

    Parameters
    ----------
    graph : Graph
        Any graph.
    path : object
        What to call it in the error.

    Returns
    -------
    Graph
        The same graph.

    Raises
    ------
    CausalrelError
        For unknown variables, self-loops, duplicate or forbidden edges, edges against the roles' order, and cycles.

    Examples
    --------
    >>> roles = {"a": "workload", "b": "engine"}
    >>> checked(Graph.from_edges([("a", "b")], roles=roles), "typed").names
    ('a', 'b')
    """
    known = {variable.name: variable for variable in graph.variables}
    faults: list[str] = []
    seen: set[tuple[str, str, int]] = set()
    for edge in graph.edges:
        label = f"edge {edge.cause} -> {edge.effect}"
        missing = [name for name in (edge.cause, edge.effect) if name not in known]
        faults += [f"{label} names '{m}', which is no variable{errors.did_you_mean(m, known)}" for m in missing]
        if edge.lag < 0:
            faults.append(f"{label} has lag {edge.lag}, and a cause never follows its effect")
        if edge.cause == edge.effect and edge.lag == 0:
            faults.append(f"{label} is a self-loop; give it a lag")
        if (edge.cause, edge.effect, edge.lag) in seen:
            faults.append(f"{label} is written twice")
        if (edge.cause, edge.effect) in graph.forbidden:
            faults.append(f"{label} is both stated and forbidden")
        labels = [m for m in (edge.cause, edge.effect) if m in known and known[m].kind == "category"]
        if edge.monotone and labels:
            faults.append(f"{label} is monotone, and labels such as '{labels[0]}' have no order; leave monotone out")
        seen.add((edge.cause, edge.effect, edge.lag))
        if missing or edge.lag or service_of(edge.cause) != service_of(edge.effect):
            continue
        if known[edge.cause].tier > known[edge.effect].tier:
            roles = known[edge.cause].role, known[edge.effect].role
            faults.append(f"{label} goes against the causal order ({roles[0]} never causes {roles[1]} in one window)")
    for hidden in graph.unmeasured:
        if hidden.name in known:
            faults.append(f"'{hidden.name}' is both a variable and unmeasured")
        faults += [
            f"unmeasured '{hidden.name}' affects '{a}', which is no variable{errors.did_you_mean(a, known)}"
            for a in hidden.affects
            if a not in known
        ]
    faults = faults or _cycle(graph)
    if faults:
        raise errors.bad_spec(path, faults)
    return graph


def leading_to(graph: Graph, name: str, among: Collection[str]) -> Graph:
    """Return the part of a graph that leads to a variable through some variables; the others count as held.

    Parameters
    ----------
    graph : Graph
        Any graph.
    name : str
        A variable.
    among : collection of str
        Variables that vary.

    Returns
    -------
    Graph
        The variable, its ancestors and what nobody measured between them.

    Examples
    --------
    >>> graph = Graph.from_edges([("a", "b"), ("b", "c"), ("d", "c")], roles=dict.fromkeys("abcd", "engine"))
    >>> leading_to(graph, "c", {"b", "a"}).names
    ('a', 'b', 'c')
    """
    names = {variable.name for variable in graph.variables if variable.name in among} | {name}
    inside = replace(graph, edges=tuple(edge for edge in graph.edges if {edge.cause, edge.effect} <= names))
    names = {name, *inside.ancestors(name)} & names
    hidden = (replace(u, affects=tuple(a for a in u.affects if a in names)) for u in graph.unmeasured)
    return replace(
        graph,
        variables=tuple(variable for variable in graph.variables if variable.name in names),
        edges=tuple(edge for edge in inside.edges if {edge.cause, edge.effect} <= names),
        unmeasured=tuple(u for u in hidden if len(u.affects) > 1),
        forbidden=tuple(pair for pair in graph.forbidden if set(pair) <= names),
    )


def blanket(graph: Graph, name: str) -> tuple[str, ...]:
    """Return the Markov blanket of a variable: all that a path reaches whose inner nodes are colliders.

    Given these, the variable is separated from all others, and none can be left out (Pellet and Elisseeff 2008).

    Parameters
    ----------
    graph : Graph
        A static graph; its unmeasured causes are latent.
    name : str
        A variable.

    Returns
    -------
    tuple of str
        Names in the graph's order.

    Raises
    ------
    CausalrelError
        When the graph has lagged edges or lacks the variable.

    Examples
    --------
    >>> roles = {"load": "workload", "batch": "config", "queue": "engine", "slo": "outcome"}
    >>> graph = Graph.from_edges([("load", "queue"), ("batch", "queue"), ("queue", "slo")], roles=roles)
    >>> blanket(graph, "load"), blanket(graph, "slo")
    (('batch', 'queue'), ('queue',))
    """
    graph.variable(name)
    if graph.lags:
        raise errors.refused(
            f"the blanket of '{name}' in graph '{graph.name}'", "it has lagged edges, and a blanket is of one window"
        )
    effects = {edge.effect for edge in graph.edges if edge.cause == name}
    found: set[str] = set()
    todo = [name, *effects]
    while todo:
        at = todo.pop()
        if at not in found:
            found.add(at)
            todo += [other for hidden in graph.unmeasured if at in hidden.affects for other in hidden.affects]
    found |= {edge.cause for edge in graph.edges if edge.effect in found}
    return tuple(other for other in graph.names if other in found - {name})


def service_of(name: str) -> str:
    """Return the service that a variable of joined graphs belongs to, empty where graphs are not joined.

    Examples
    --------
    >>> service_of("retrieval/recall"), service_of("recall")
    ('retrieval', '')
    """
    return name.partition(SEPARATOR)[0] if SEPARATOR in name else ""


def _cycle(graph: Graph) -> list[str]:
    import networkx as nx

    try:
        loop = nx.find_cycle(graph.to_networkx())
    except nx.NetworkXNoCycle:
        return []
    walk = " -> ".join([str(loop[0][0]), *[str(step[1]) for step in loop]])
    return [f"the edges go in a circle: {walk}; a graph within one window has none (use a lag)"]
