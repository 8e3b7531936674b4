"""Scenario documents: a simulated service read from YAML, with every fault told at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from causalrel import errors, shipped
from causalrel.graphs import Edge, Graph
from causalrel.graphs.documents import load_graph
from causalrel.graphs.surgery import checked
from causalrel.simulation.scenario import Scenario

#: How a scenario may be told: a shipped name, a path, or what would stand in a document.
Told = str | Path | Mapping[str, Any] | Scenario


def load_scenario(name: Told) -> Scenario:
    """Read a scenario by shipped name or path, or check one told in Python.

    Parameters
    ----------
    name : str, Path, mapping or Scenario
        A shipped scenario, a path to a YAML file, or a scenario as it would stand in one.

    Returns
    -------
    Scenario
        A checked scenario.

    Raises
    ------
    CausalrelError
        When there is no such scenario, or with every fault found in it.

    Examples
    --------
    >>> load_scenario("llm-canary").policies[0].high
    '8'
    """
    if isinstance(name, Scenario):
        return name
    if isinstance(name, Mapping):
        documents: list[Any] = [dict(name)]
        name = str(name.get("scenario", "scenario"))
    else:
        documents = shipped.load_yaml(shipped.resolve(str(name), "models/scenarios", "scenario"), "scenario")
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise errors.bad_spec(name, [f"one YAML mapping is wanted, {len(documents)} documents were found"])
    try:
        return Scenario.model_validate(documents[0])
    except ValidationError as found:
        raise errors.bad_spec(name, [_fault(dict(error)) for error in found.errors()]) from None


def true_graph(name: Told) -> Graph:
    """Return the causal graph that a scenario states: edges within a window, lagged ones, and what nobody measures.

    Parameters
    ----------
    name : str, Path, mapping or Scenario
        A shipped scenario, a path to a YAML file, or a scenario as it would stand in one.

    Returns
    -------
    Graph
        Dynamic where the scenario states lagged edges.

    Raises
    ------
    CausalrelError
        When the scenario or its graph cannot be used.

    Examples
    --------
    >>> [edge.lag for edge in true_graph("llm-canary").edges if edge.lag]
    [1]
    """
    scenario = load_scenario(name)
    graph = load_graph(scenario.graph)
    lagged = tuple(
        Edge(cause=edge.cause, effect=edge.effect, lag=edge.lag, why=edge.why, source="the simulation")
        for edge in scenario.lagged
    )
    return checked(replace(graph, edges=(*graph.edges, *lagged)), scenario.scenario)


def _fault(error: dict[str, Any]) -> str:
    loc: tuple[str | int, ...] = error["loc"]
    where = ".".join(str(part) for part in loc)
    if error["type"] == "extra_forbidden":
        return f"unknown key '{where}'{errors.did_you_mean(str(loc[-1]), _keys(loc[:-1]))}".rstrip("?")
    if error["type"] == "missing":
        return f"key '{where}' is missing"
    said = str(error["msg"]).removeprefix("Value error, ")
    if not where:
        return said
    given = "" if isinstance(error["input"], dict | list) else f" '{str(error['input'])[:40]}'"
    if error["type"] == "literal_error":
        return f"{where}{given} is unknown{errors.did_you_mean(str(error['input']), _literals(loc))}".rstrip("?")
    return f"{where}{given}: {said[0].lower()}{said[1:]}"


def _kind(loc: tuple[str | int, ...]) -> Any:
    """Walk the models to the annotation that a place in the document has."""
    kind: Any = Scenario
    for part in loc:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[str(part)].annotation
        else:
            kind = get_args(kind)[-1 if isinstance(part, str) else 0]
        kind = next((option for option in get_args(kind) if _is_part(option) and type(None) in get_args(kind)), kind)
    return kind


def _is_part(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _keys(loc: tuple[str | int, ...]) -> list[str]:
    kind = _kind(loc)
    return list(kind.model_fields) if _is_part(kind) else []


def _literals(loc: tuple[str | int, ...]) -> list[str]:
    return [str(option) for option in get_args(_kind(loc))]
