"""Pipelines: the graphs of services joined along a call chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from causalrel import errors
from causalrel.graphs import Edge, Graph, Unmeasured
from causalrel.graphs.surgery import SEPARATOR, checked


def join_services(
    graphs: Mapping[str, Graph],
    links: Sequence[tuple[str, str]],
    *,
    unmeasured: Mapping[str, Sequence[str]] | None = None,
    name: str = "pipeline",
) -> Graph:
    """Join the graphs of services, each output that is an input of another being its cause.

    Every name gets its service before it, as in ``retrieval/recall``. The order of roles holds within a service: what
    comes out of one is workload of the next. That services share nothing but their links is a claim of the joined
    graph; what they share and nobody measures is told apart.

    Parameters
    ----------
    graphs : mapping of str to Graph
        The graph of each service, in the order of calls.
    links : sequence of (str, str)
        Output and input, as ``SERVICE/VARIABLE``.
    unmeasured : mapping of str to sequence of str, optional
        Hidden causes that services share, and what they affect, as ``SERVICE/VARIABLE``.
    name : str
        Name of the joined graph.

    Returns
    -------
    Graph
        A checked graph; edges keep their lags, reasons and sources.

    Raises
    ------
    CausalrelError
        When a link names no variable or stays within a service, a service's name is not plain, or there is a cycle.

    Examples
    --------
    >>> search = Graph.from_edges([("top_k", "passages")], roles={"top_k": "config", "passages": "outcome"})
    >>> write = Graph.from_edges([("prompt_tokens", "ttft")], roles={"prompt_tokens": "workload", "ttft": "outcome"})
    >>> links = [("search/passages", "write/prompt_tokens")]
    >>> join_services({"search": search, "write": write}, links).blanket("write/ttft")
    ('write/prompt_tokens',)
    """
    bad = [service for service in graphs if not service or SEPARATOR in service]
    faults = [f"'{service}' is no name of a service; leave out '{SEPARATOR}'" for service in bad]
    inside = [link for link in links if link[0].partition(SEPARATOR)[0] == link[1].partition(SEPARATOR)[0]]
    faults += [
        f"link {one} -> {other} stays within a service; write it in that service's graph" for one, other in inside
    ]
    if faults:
        raise errors.bad_spec(name, faults)
    parts = [_prefixed(graph, service + SEPARATOR) for service, graph in graphs.items()]
    joined = Graph(
        variables=tuple(variable for part in parts for variable in part.variables),
        edges=tuple(edge for part in parts for edge in part.edges)
        + tuple(Edge(cause=one, effect=other, why="the one is handed to the other") for one, other in links),
        unmeasured=tuple(hidden for part in parts for hidden in part.unmeasured)
        + tuple(Unmeasured(name=shared, affects=tuple(affects)) for shared, affects in (unmeasured or {}).items()),
        forbidden=tuple(pair for part in parts for pair in part.forbidden),
        name=name,
    )
    return checked(joined, name)


def _prefixed(graph: Graph, prefix: str) -> Graph:
    return replace(
        graph,
        variables=tuple(replace(v, name=prefix + v.name) for v in graph.variables),
        edges=tuple(replace(e, cause=prefix + e.cause, effect=prefix + e.effect) for e in graph.edges),
        unmeasured=tuple(
            replace(u, name=prefix + u.name, affects=tuple(prefix + a for a in u.affects)) for u in graph.unmeasured
        ),
        forbidden=tuple((prefix + cause, prefix + effect) for cause, effect in graph.forbidden),
    )
