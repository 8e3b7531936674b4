"""Instruments and front doors: effects that a hidden common cause leaves identified."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, islice

from causalrel.graphs import Graph
from causalrel.identification.adjustments import Backdoor, each_set
from causalrel.identification.separations import Causes, below, causes_of, find_open_path


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
    backdoor = Backdoor.find(graph, of, on)
    if not backdoor.path:
        return ()
    causes = causes_of(graph)
    cut = _without_arrows_out(causes, {of})
    usable = [name for name in graph.names if name not in below(causes, [of])]
    made = []
    for name in usable:
        others = [other for other in usable if other != name]
        sets = (given for count in range(size + 1) for given in combinations(others, count))
        for given in sets:
            closed = find_open_path(cut, [name], [on], given) is None
            if closed and find_open_path(causes, [name], [of], given) is not None:
                made.append(Instrument(name=name, given=given))
                break
    return tuple(made)


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
