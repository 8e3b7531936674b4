"""Graph documents: a causal graph as YAML a person can review."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from causalrel import errors, shipped
from causalrel.graphs import Edge, Graph, Unmeasured
from causalrel.graphs.surgery import checked
from causalrel.variables import KINDS, Kind, Monotone, Role, Variable


def load_graph(name: str | Path) -> Graph:
    """Read a causal graph from YAML.

    Parameters
    ----------
    name : str or pathlib.Path
        Name of a shipped graph, or path to a document.

    Returns
    -------
    Graph
        A checked graph.

    Raises
    ------
    CausalrelError
        When there is no such document or it is faulty; all faults are told at once.

    Examples
    --------
    >>> load_graph("llm-serving").variable("batch_size").role
    'config'
    """
    path = shipped.resolve(str(name), "models/graphs", "graph")
    documents = shipped.load_yaml(path, "graph")
    if len(documents) != 1:
        raise errors.bad_spec(path.name, [f"it holds {len(documents)} documents where one graph belongs"])
    return graph_of(documents[0], path.name)


def graph_of(facts: object, path: str) -> Graph:
    """Return the graph that some facts tell, in the layout of :meth:`Graph.facts`.

    Parameters
    ----------
    facts : object
        What a document held.
    path : str
        What to call it in errors.

    Returns
    -------
    Graph
        A checked graph.

    Raises
    ------
    CausalrelError
        With all its faults.

    Examples
    --------
    >>> graph_of(load_graph("llm-serving").facts(), "again") == load_graph("llm-serving")
    True
    """
    from pydantic import ValidationError

    try:
        spec = _document().model_validate(facts)
    except ValidationError as fault:
        raise errors.bad_spec(path, errors.validation_faults(fault)) from None
    found = spec.model_dump()
    graph = Graph(
        variables=tuple(Variable(name=name, **fields) for name, fields in found["variables"].items()),
        edges=tuple(Edge(**edge) for edge in found["edges"]),
        unmeasured=tuple(Unmeasured(**{**u, "affects": tuple(u["affects"])}) for u in found["unmeasured"]),
        forbidden=tuple((pair["cause"], pair["effect"]) for pair in found["forbidden"]),
        name=found["graph"],
        version=found["version"],
    )
    return checked(graph, path)


def _document() -> Any:
    from pydantic import BaseModel, ConfigDict, Field, create_model

    class Strict(BaseModel):
        model_config = ConfigDict(extra="forbid")

    node = create_model(
        "Node", __base__=Strict, role=(Role, ...), kind=(Kind, KINDS[0]), unit=(str, ""), otel=(str, "")
    )
    edge = create_model(
        "EdgeRow",
        __base__=Strict,
        cause=(str, ...),
        effect=(str, ...),
        lag=(int, Field(0, ge=0, le=1000)),
        support=(float | None, Field(None, ge=0, le=1)),
        oriented=(bool, True),
        why=(str, ""),
        source=(str, ""),
        monotone=(Monotone | None, None),
    )
    pair = create_model("Pair", __base__=Strict, cause=(str, ...), effect=(str, ...), why=(str, ""))
    hidden = create_model("Hidden", __base__=Strict, name=(str, ...), affects=(list[str], ...), why=(str, ""))
    return create_model(
        "GraphDocument",
        __base__=Strict,
        graph=(str, ...),
        version=(int, Field(1, ge=1)),
        variables=(dict[str, node], ...),  # type: ignore[valid-type]
        edges=(list[edge], ...),  # type: ignore[valid-type]
        forbidden=(list[pair], []),  # type: ignore[valid-type]
        unmeasured=(list[hidden], []),  # type: ignore[valid-type]
    )
