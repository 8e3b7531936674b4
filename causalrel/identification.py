"""Identification: which observed variables to hold fixed, read off the graph."""

from __future__ import annotations

from collections.abc import Collection

from causalrel.graphs import Graph


def between(graph: Graph, of: str, on: str) -> set[str]:
    """Return the variables on causal paths from a treatment to an outcome, the outcome included.

    Parameters
    ----------
    graph : Graph
        A graph.
    of, on : str
        Treatment and outcome.

    Returns
    -------
    set of str
        Names, the treatment left out.

    Examples
    --------
    >>> roles = {"batch": "config", "queue": "engine", "slo": "outcome"}
    >>> graph = Graph.from_edges([("batch", "queue"), ("queue", "slo")], roles=roles)
    >>> sorted(between(graph, "batch", "slo"))
    ['queue', 'slo']
    """
    return graph.descendants(of) & (graph.ancestors(on) | {on})


def is_adjustment(graph: Graph, of: str, on: str, given: Collection[str]) -> bool:
    """Tell whether holding some variables fixed identifies an effect.

    The adjustment criterion (Shpitser, VanderWeele and Robins 2010; van der Zander et al. 2014): nothing held fixed is
    a descendant of a causal path, and in the graph without the first edges of causal paths the treatment is d-separated
    from the outcome.

    Parameters
    ----------
    graph : Graph
        A graph, its unmeasured causes included.
    of, on : str
        Treatment and outcome.
    given : collection of str
        What is held fixed.

    Returns
    -------
    bool
        Whether it does.

    Examples
    --------
    >>> roles = {"load": "workload", "batch": "config", "slo": "outcome"}
    >>> graph = Graph.from_edges([("load", "batch"), ("load", "slo"), ("batch", "slo")], roles=roles)
    >>> is_adjustment(graph, "batch", "slo", []), is_adjustment(graph, "batch", "slo", ["load"])
    (False, True)
    """
    import networkx as nx

    path = between(graph, of, on)
    forbidden = path.union(*(graph.descendants(name) for name in path)) | {of}
    if forbidden & set(given):
        return False
    backdoor = graph.to_networkx()
    backdoor.remove_edges_from([(of, child) for child in list(backdoor.successors(of)) if child in path])
    separated: bool = nx.is_d_separator(backdoor, {of}, {on}, set(given))
    return separated


def adjustment(graph: Graph, of: str, on: str, base: Collection[str]) -> tuple[str, ...]:
    """Widen a valid adjustment set with causes of the outcome, which narrows the interval.

    The optimal set where it is valid (Henckel, Perkovic and Maathuis 2022, doi:10.1111/rssb.12451): every observed
    cause of a variable on a causal path that does not itself follow from the treatment.

    Parameters
    ----------
    graph : Graph
        A graph.
    of, on : str
        Treatment and outcome.
    base : collection of str
        A valid set.

    Returns
    -------
    tuple of str
        A valid set, in the graph's order.

    Examples
    --------
    >>> roles = {"load": "workload", "tokens": "workload", "batch": "config", "slo": "outcome"}
    >>> edges = [("load", "batch"), ("load", "slo"), ("batch", "slo"), ("tokens", "slo")]
    >>> adjustment(Graph.from_edges(edges, roles=roles), "batch", "slo", ["load"])
    ('load', 'tokens')
    """
    path = between(graph, of, on)
    wider = {parent for name in path for parent in graph.parents(name)} - path - {of} - graph.descendants(of)
    chosen = set(base)
    if is_adjustment(graph, of, on, wider):
        chosen = wider
    else:
        for name in sorted(wider - chosen):
            if is_adjustment(graph, of, on, chosen | {name}):
                chosen.add(name)
    return tuple(name for name in graph.names if name in chosen)


def hidden_confounders(graph: Graph, of: str, on: str) -> tuple[str, ...]:
    """Return the unmeasured causes that forbid setting a variable in a network.

    A truncated product over observed mechanisms is the effect of setting a variable only if no unmeasured cause acts on
    it, or on two variables between it and the outcome (Tian and Pearl 2002).

    Parameters
    ----------
    graph : Graph
        A graph.
    of, on : str
        Treatment and outcome.

    Returns
    -------
    tuple of str
        Names of unmeasured causes.

    Examples
    --------
    >>> graph = Graph.from_edges(
    ...     [("batch", "slo")], roles={"batch": "config", "slo": "outcome"}, unmeasured={"skill": ["batch", "slo"]}
    ... )
    >>> hidden_confounders(graph, "batch", "slo")
    ('skill',)
    """
    causal = between(graph, of, on) | {of}
    relevant = causal | graph.ancestors(on)
    return tuple(
        hidden.name
        for hidden in graph.unmeasured
        if (of in hidden.affects and relevant & (set(hidden.affects) - {of})) or len(causal & set(hidden.affects)) > 1
    )
