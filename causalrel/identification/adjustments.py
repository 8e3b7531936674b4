"""Adjustments: which observed variables to hold fixed, read off the graph."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice

from causalrel import errors
from causalrel.graphs import Graph
from causalrel.identification.separations import Causes, below, causes_of, find_open_path, find_separator

#: Most sets that a list looks at.
MOST_TRIED = 30_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Backdoor:
    """The proper backdoor graph of an effect.

    Parameters
    ----------
    causes : mapping of str to frozenset of str
        Direct causes by node, without the first edges of causal paths.
    path : set of str
        Variables on causal paths, the outcome included and the treatment left out.
    forbidden : set of str
        The treatment, the outcome and what follows from a variable on a causal path.

    Examples
    --------
    >>> roles = {"batch": "config", "queue": "engine", "slo": "outcome"}
    >>> Backdoor.of(Graph.from_edges([("batch", "queue"), ("queue", "slo")], roles=roles), "batch", "slo").causes[
    ...     "queue"
    ... ]
    frozenset()
    """

    causes: Causes
    path: set[str]
    forbidden: set[str]

    @classmethod
    def of(cls, graph: Graph, of: str, on: str) -> Backdoor:
        """Cut a graph for an effect (van der Zander, Liskiewicz and Textor 2014).

        Parameters
        ----------
        graph : Graph
            A static graph.
        of, on : str
            Treatment and outcome.

        Returns
        -------
        Backdoor
            What is left.

        Raises
        ------
        CausalrelError
            When the graph has lagged edges or lacks a variable, or treatment and outcome are one.
        """
        for name in (of, on):
            graph.variable(name)
        if of == on:
            raise errors.bad_question(f"the effect of '{of}' on itself has no adjustment set", "name two variables")
        causes = causes_of(graph)
        path = between(graph, of, on)
        cut = {name: parents - {of} if name in path else parents for name, parents in causes.items()}
        return cls(causes=cut, path=path, forbidden=below(causes, path) | {of, on})

    def closed_by(self, of: str, on: str, given: Collection[str]) -> bool:
        """Tell whether holding variables fixed leaves only the effect.

        Parameters
        ----------
        of, on : str
            Treatment and outcome.
        given : collection of str
            What is held fixed.

        Returns
        -------
        bool
            Whether it does.
        """
        return not self.forbidden & set(given) and find_open_path(self.causes, [of], [on], given) is None


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

    Raises
    ------
    CausalrelError
        When the graph has lagged edges or lacks a variable.

    Examples
    --------
    >>> roles = {"load": "workload", "batch": "config", "slo": "outcome"}
    >>> graph = Graph.from_edges([("load", "batch"), ("load", "slo"), ("batch", "slo")], roles=roles)
    >>> is_adjustment(graph, "batch", "slo", []), is_adjustment(graph, "batch", "slo", ["load"])
    (False, True)
    """
    for name in given:
        graph.variable(name)
    return Backdoor.of(graph, of, on).closed_by(of, on, given)


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


def minimal_adjustment(graph: Graph, of: str, on: str) -> tuple[str, ...] | None:
    """Return a valid adjustment set of which nothing can be left out.

    Parameters
    ----------
    graph : Graph
        A static graph; its unmeasured causes are latent.
    of, on : str
        Treatment and outcome.

    Returns
    -------
    tuple of str or None
        A set in the graph's order; None where no set of measured variables is valid.

    Raises
    ------
    CausalrelError
        When the graph has lagged edges or lacks a variable.

    Examples
    --------
    >>> roles = {"load": "workload", "tokens": "workload", "batch": "config", "slo": "outcome"}
    >>> edges = [("load", "batch"), ("load", "slo"), ("batch", "slo"), ("tokens", "slo")]
    >>> minimal_adjustment(Graph.from_edges(edges, roles=roles), "batch", "slo")
    ('load',)
    """
    backdoor = Backdoor.of(graph, of, on)
    chosen = find_separator(backdoor.causes, of, on, set(graph.names) - backdoor.forbidden)
    return None if chosen is None else tuple(name for name in graph.names if name in chosen)


def optimal_adjustment(graph: Graph, of: str, on: str) -> tuple[str, ...] | None:
    """Return the valid adjustment set that gives a linear effect the least asymptotic variance.

    The causes of the variables on causal paths, less those paths, what follows from them and the treatment (Henckel,
    Perkovic and Maathuis 2022, arXiv:1907.02435). Optimality is proven where every such cause is measured.

    Parameters
    ----------
    graph : Graph
        A static graph; its unmeasured causes are latent.
    of, on : str
        Treatment and outcome.

    Returns
    -------
    tuple of str or None
        A set in the graph's order; None where an unmeasured cause acts on a causal path or there is no causal path.

    Raises
    ------
    CausalrelError
        When the graph has lagged edges or lacks a variable.

    Examples
    --------
    >>> roles = {"load": "workload", "tokens": "workload", "batch": "config", "slo": "outcome"}
    >>> edges = [("load", "batch"), ("load", "slo"), ("batch", "slo"), ("tokens", "slo")]
    >>> optimal_adjustment(Graph.from_edges(edges, roles=roles), "batch", "slo")
    ('load', 'tokens')
    """
    backdoor = Backdoor.of(graph, of, on)
    if not backdoor.path or any(backdoor.path & set(u.affects) for u in graph.unmeasured if len(u.affects) > 1):
        return None
    chosen = {parent for name in backdoor.path for parent in backdoor.causes[name]} - backdoor.forbidden
    return tuple(name for name in graph.names if name in chosen)


def list_adjustments(graph: Graph, of: str, on: str, *, limit: int = 100) -> tuple[tuple[str, ...], ...]:
    """List valid adjustment sets, the smallest first.

    Parameters
    ----------
    graph : Graph
        A static graph; its unmeasured causes are latent.
    of, on : str
        Treatment and outcome.
    limit : int
        Most sets to return.

    Returns
    -------
    tuple of tuple of str
        Sets in the graph's order.

    Raises
    ------
    CausalrelError
        When the graph has lagged edges or lacks a variable, or too many sets were looked at.

    Examples
    --------
    >>> roles = {"load": "workload", "tokens": "workload", "batch": "config", "slo": "outcome"}
    >>> edges = [("load", "batch"), ("load", "slo"), ("batch", "slo"), ("tokens", "slo")]
    >>> list_adjustments(Graph.from_edges(edges, roles=roles), "batch", "slo")
    (('load',), ('load', 'tokens'))
    """
    if minimal_adjustment(graph, of, on) is None:
        return ()
    backdoor = Backdoor.of(graph, of, on)
    among = [name for name in graph.names if name not in backdoor.forbidden]
    sets = each_set(among, f"the adjustment sets for the effect of {of} on {on}")
    return tuple(islice((given for given in sets if backdoor.closed_by(of, on, given)), limit))


def each_set(names: Sequence[str], what: str) -> Iterator[tuple[str, ...]]:
    """Yield every set of some names, the smallest first.

    Parameters
    ----------
    names : sequence of str
        Names.
    what : str
        What is looked for, told when there are too many.

    Yields
    ------
    tuple of str
        A set in the order of the names.

    Raises
    ------
    CausalrelError
        After 30,000 sets.

    Examples
    --------
    >>> list(each_set(["a", "b"], "sets"))
    [(), ('a',), ('b',), ('a', 'b')]
    """
    sets = (chosen for size in range(len(names) + 1) for chosen in combinations(names, size))
    for tried, chosen in enumerate(sets):
        if tried == MOST_TRIED:
            raise errors.over_limit(
                f"{what} were asked for, and {MOST_TRIED:,} sets of {len(names)} variables were looked at",
                "ask for fewer sets or of a smaller graph",
            )
        yield chosen


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
