"""Hidden causes: where none of the measured can be held fixed, the effect by a front door, else by an instrument."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from causalrel.effects.columns import Level
from causalrel.effects.fronts import tell_front_door
from causalrel.effects.instruments import tell_by_instrument
from causalrel.effects.overlap import MOST_LEVELS, complete
from causalrel.effects.soundness import unseen
from causalrel.effects.units import in_budget_units
from causalrel.estimates import Check, Estimate, refusal
from causalrel.identification import (
    FrontDoor,
    Instrument,
    adjustment,
    find_front_door,
    is_front_door,
    is_instrument,
    list_instruments,
)

if TYPE_CHECKING:
    from causalrel.graphs import Graph
    from causalrel.windows import Windows

_DOOR = (
    "no measured set closes the back door; the front door does: mixed regressions of {way} on {of}, and of {on} on "
    "{way} with {of} held fixed, standardised over the windows (Pearl 2009, section 3.3.2); noise remembers in both"
)
_MOVED = (
    "no measured set closes the back door, and there is no front door; instrument {way}: what it does to {on} over "
    "what it does to {of}, by two mixed regressions whose noise remembers, draws tied as their residuals are"
)


def find_way(windows: Windows, graph: Graph, of: str, on: str) -> FrontDoor | Instrument | None:
    """Find how else than by the back door an effect can be told: a front door, else an instrument.

    Parameters
    ----------
    windows : Windows
        The windows; a mediator must be a number of many values, an instrument must vary.
    graph : Graph
        Who may cause whom.
    of, on : str
        Treatment and outcome.

    Returns
    -------
    FrontDoor, Instrument or None
        The way, with what narrows its interval held fixed too; None where there is none.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> edges = [("load", "batch_size"), ("batch_size", "ttft")]
    >>> roles = {"load": "workload", "batch_size": "config", "ttft": "outcome"}
    >>> graph = cr.Graph.from_edges(edges, roles=roles, unmeasured={"skill": ["batch_size", "ttft"]})
    >>> find_way(windows, graph, "batch_size", "ttft").name
    'load'
    """
    table, varying = windows.table, set(windows.varying)
    kinds = {one.name: one.kind for one in windows.variables if one.name in varying and one.name in graph.names}
    many = [name for name, kind in kinds.items() if kind != "category" and table[name].n_unique() > MOST_LEVELS]
    door = find_front_door(graph, of, on, among=many)
    if door is not None:
        given = adjustment(graph, door.mediator, on, {of, *door.given})
        wider_door = replace(door, given=tuple(name for name in given if name != of and name in varying))
        return wider_door if is_front_door(graph, of, on, wider_door) else door
    if kinds.get(of) == "category" and table[of].drop_nulls().n_unique() > 2:
        return None
    usable = [made for made in list_instruments(graph, of, on) if {made.name, *made.given} <= kinds.keys()]
    if not usable:
        return None
    fewest = min(usable, key=lambda made: len(made.given))
    given = adjustment(graph, fewest.name, on, fewest.given)
    wider = replace(fewest, given=tuple(name for name in given if name in varying))
    return wider if is_instrument(graph, of, on, wider) else fewest


def answer_hidden(
    windows: Windows,
    graph: Graph,
    of: str,
    on: str,
    levels: tuple[Level, ...],
    way: FrontDoor | Instrument,
    draws: int,
    seed: int,
    checks: Sequence[Check],
    told: dict[str, Any],
) -> Estimate:
    """Answer by a front door or an instrument.

    Parameters
    ----------
    windows : Windows
        The windows.
    graph : Graph
        Who may cause whom.
    of, on : str
        The treatment, and an SLO or a numeric outcome.
    levels : tuple of level
        The baseline first.
    way : FrontDoor or Instrument
        What :func:`find_way` gave.
    draws, seed : int
        Number and seed of the draws.
    checks : sequence of Check
        What was said before.
    told : dict
        ``question``, ``assumptions`` and ``origin``; the first assumption is replaced.

    Returns
    -------
    Estimate
        By a front door as of the back door; by an instrument differences alone, and bounded at best.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> graph = cr.load_graph("llm-serving").project(windows.names)
    >>> told = {"question": "?", "assumptions": ("none",), "origin": windows.origin(0)}
    >>> way = FrontDoor(mediator="queue_s", given=("load",))
    >>> asked = ("batch_size", "ttft", (4.0, 8.0), way, 200, 0)
    >>> answer_hidden(windows, graph, *asked, [], told).method.split(";")[0]
    'no measured set closes the back door'
    """
    front = isinstance(way, FrontDoor)
    name = way.mediator if isinstance(way, FrontDoor) else way.name
    method = (_DOOR if front else _MOVED).format(way=name, of=of, on=on)
    assumptions = (_assumed(graph, of, on, way), *told["assumptions"][1:])
    told = {**told, "assumptions": assumptions, "method": method}
    needed = [of, name, *way.given, on]
    failed = unseen(windows, windows.variable(of), levels, needed)
    if failed is not None:
        return refusal(checks=[*checks, failed], **told)
    kept = complete(windows, needed, of, levels if front else ())
    source = name if isinstance(way, Instrument) else of
    parents = tuple(parent for parent in graph.parents(source) if parent in way.given) or way.given
    if isinstance(way, FrontDoor):
        shares, said, verdict = tell_front_door(kept, of, on, way, levels, parents, draws, seed)
    else:
        shares, said, verdict = tell_by_instrument(kept, of, on, way, levels, parents, draws, seed)
    holding = f", holding {', '.join(way.given)} fixed" if way.given else ""
    says = f"by the graph, {name} {'carries all of the effect' if front else 'acts through ' + of + ' alone'}{holding}"
    checks = [*checks, Check(name="identification", passed=True, says=says), *said]
    if (bounds := windows.bounds(on)) is not None:
        checks.append(bounds)
    if verdict == "refused":
        return refusal(checks=checks, **told)
    made = in_budget_units(windows, of, on, levels, shares)
    if not front:
        keep = ~made["terms"]["quantity"].str.ends_with("_at")
        made = {**made, "draws": made["draws"][:, keep.to_numpy()], "terms": made["terms"].filter(keep)}
    verdict = "bounded" if bounds is not None else verdict
    return Estimate(**told, **made, checks=tuple(checks), verdict=verdict)


def _assumed(graph: Graph, of: str, on: str, way: FrontDoor | Instrument) -> str:
    right = f"graph {graph.name} (version {graph.version}) is right: "
    if isinstance(way, FrontDoor):
        says = f"{of} acts on {on} through {way.mediator} alone, which no hidden cause of {of} or {on} reaches; "
        return right + says + f"{of} shifts {way.mediator} and leaves its spread"
    says = f"{way.name} acts on {on} through {of} alone, and shares no hidden cause with it; "
    return right + says + f"it moves {of} one way only, and {of} acts in proportion to its value"
