"""Instruments and front doors: effects that a hidden common cause leaves identified."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import combinations, islice

from causalrel.graphs import Graph
from causalrel.identification.adjustments import Backdoor, each_set
from causalrel.identification.separations import Causes, above, below, causes_of, find_open_path


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """A variable that moves the treatment and reaches the outcome through it alone.

    Parameters
    ----------
    name : str
        The variable.
    given : tuple of str
        What must be held fixed for it.

    Examples
    --------
    >>> Instrument(name="rollout_wave").given
    ()
    """

    name: str
    given: tuple[str, ...] = ()


def list_instruments(graph: Graph, of: str, on: str, *, size: int = 2) -> tuple[Instrument, ...]:
    """List the instruments of an effect, each with a smallest set to hold fixed.

    Given the set, an instrument depends on the treatment, and without the arrows out of the treatment it is separated
    from the outcome; nothing held fixed follows from the treatment (Brito and Pearl 2002, arXiv:1301.0560; van der
    Zander, Textor and Liskiewicz 2015). With an instrument alone the effect is identified where it is linear.

    Examples
    --------
    >>> roles = {"wave": "config", "batch": "config", "slo": "outcome"}
    >>> graph = Graph.from_edges([("wave", "batch"), ("batch", "slo")], roles=roles, unmeasured={"u": ["batch", "slo"]})
    >>> list_instruments(graph, "batch", "slo")
    (Instrument(name='wave', given=()),)
    """
    if not Backdoor.find(graph, of, on).path:
        return ()
    causes = causes_of(graph)
    usable = [name for name in graph.names if name not in below(causes, [of])]
    made: list[Instrument] = []
    for name in usable:
        others = [other for other in usable if other != name]
        sets = (given for count in range(size + 1) for given in combinations(others, count))
        tried = (Instrument(name=name, given=given) for given in sets)
        made += islice((one for one in tried if _is_instrument(causes, of, on, one)), 1)
    return tuple(made)


def is_instrument(graph: Graph, of: str, on: str, instrument: Instrument) -> bool:
    """Tell whether a variable is an instrument of an effect, given what is held fixed.

    Examples
    --------
    >>> roles = {"wave": "config", "batch": "config", "slo": "outcome"}
    >>> graph = Graph.from_edges([("wave", "batch"), ("batch", "slo")], roles=roles, unmeasured={"u": ["batch", "slo"]})
    >>> is_instrument(graph, "batch", "slo", Instrument(name="wave"))
    True
    """
    return _is_instrument(causes_of(graph), of, on, instrument)


def _is_instrument(causes: Causes, of: str, on: str, instrument: Instrument) -> bool:
    name, given = instrument.name, instrument.given
    if {name, *given} & below(causes, [of]) or name in given:
        return False
    closed = find_open_path(_without_arrows_out(causes, {of}), [name], [on], given) is None
    return closed and find_open_path(causes, [name], [of], given) is not None


def list_front_doors(graph: Graph, of: str, on: str, *, limit: int = 100) -> tuple[tuple[str, ...], ...]:
    """List the sets of variables on causal paths that meet the front-door criterion, the smallest first.

    The set intercepts every causal path, nothing confounds it with the treatment, and the treatment blocks what
    confounds it with the outcome (Pearl 1995, doi:10.1093/biomet/82.4.669).

    Examples
    --------
    >>> roles = {"batch": "config", "queue": "engine", "slo": "outcome"}
    >>> edges = [("batch", "queue"), ("queue", "slo")]
    >>> list_front_doors(Graph.from_edges(edges, roles=roles, unmeasured={"u": ["batch", "slo"]}), "batch", "slo")
    (('queue',),)
    """
    backdoor = Backdoor.find(graph, of, on)
    causes = causes_of(graph)
    among = [name for name in graph.names if name in backdoor.path and name != on]
    sets = filter(None, each_set(among, f"the front doors between {of} and {on}"))
    return tuple(islice(_meeting(causes, of, on, sets), limit))


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontDoor:
    """One variable through which all of an effect goes, and that the hidden common cause does not reach.

    Parameters
    ----------
    mediator : str
        The variable.
    given : tuple of str
        What must be held fixed for it.

    Examples
    --------
    >>> FrontDoor(mediator="queue").given
    ()
    """

    mediator: str
    given: tuple[str, ...] = ()


def find_front_door(graph: Graph, of: str, on: str, *, among: Collection[str], size: int = 2) -> FrontDoor | None:
    """Find a front door of one variable, with a smallest set to hold fixed; None where there is none.

    The variable intercepts every causal path. Given the set, of which nothing follows from the treatment, nothing
    confounds it with the treatment, and with the treatment nothing confounds it with the outcome: the front-door
    criterion within each value of the set (Pearl 2009, section 3.3.2). Sets of up to so many variables are tried, then
    all measured causes.

    Examples
    --------
    >>> roles = {"load": "workload", "batch": "config", "queue": "engine", "slo": "outcome"}
    >>> edges = [("load", "batch"), ("load", "queue"), ("load", "slo"), ("batch", "queue"), ("queue", "slo")]
    >>> graph = Graph.from_edges(edges, roles=roles, unmeasured={"u": ["batch", "slo"]})
    >>> find_front_door(graph, "batch", "slo", among=["queue"])
    FrontDoor(mediator='queue', given=('load',))
    """
    causes, path = causes_of(graph), Backdoor.find(graph, of, on).path
    after = below(causes, [of])
    for mediator in (name for name in graph.names if name in path and name != on and name in among):
        before = above(causes, [of, mediator, on])
        usable = tuple(name for name in graph.names if name in before and name not in after)
        sets = (given for count in range(size + 1) for given in combinations(usable, count))
        for door in (FrontDoor(mediator=mediator, given=given) for given in (*sets, usable)):
            if is_front_door(graph, of, on, door):
                return door
    return None


def is_front_door(graph: Graph, of: str, on: str, door: FrontDoor) -> bool:
    """Tell whether a variable is a front door of an effect, given what is held fixed.

    Examples
    --------
    >>> roles = {"batch": "config", "queue": "engine", "slo": "outcome"}
    >>> edges = [("batch", "queue"), ("queue", "slo")]
    >>> graph = Graph.from_edges(edges, roles=roles, unmeasured={"u": ["batch", "slo"]})
    >>> is_front_door(graph, "batch", "slo", FrontDoor(mediator="queue"))
    True
    """
    causes = causes_of(graph)
    around = {name: parents - {door.mediator} for name, parents in causes.items()}
    if on in below(around, [of]) or set(door.given) & below(causes, [of]):
        return False
    before, behind = Backdoor.find(graph, of, door.mediator), Backdoor.find(graph, door.mediator, on)
    return before.closed_by(door.given) and behind.closed_by({*door.given, of})


def _meeting(causes: Causes, of: str, on: str, sets: Iterator[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    silent = _without_arrows_out(causes, {of})
    for chosen in sets:
        doors = set(chosen)
        without = {name: parents - doors for name, parents in causes.items()}
        if (
            on not in below(without, [of])
            and find_open_path(silent, [of], doors) is None
            and find_open_path(_without_arrows_out(causes, doors), doors, [on], [of]) is None
        ):
            yield chosen


def _without_arrows_out(causes: Causes, names: set[str]) -> dict[str, frozenset[str]]:
    return {name: parents - names for name, parents in causes.items()}
