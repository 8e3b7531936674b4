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
    of, on : str
        Treatment and outcome.
    names : tuple of str
        Measured variables, in the graph's order.
    causes : mapping of str to frozenset of str
        Direct causes by node, without the first edges of causal paths.
    path : set of str
        Variables on causal paths, the outcome included and the treatment left out.
    forbidden : set of str
        The treatment, the outcome and what follows from a variable on a causal path.

    Examples
    --------
    >>> roles = {"batch": "config", "queue": "engine", "slo": "outcome"}
    >>> graph = Graph.from_edges([("batch", "queue"), ("queue", "slo")], roles=roles)
    >>> Backdoor.find(graph, "batch", "slo").causes["queue"]
    frozenset()
    """

    of: str
    on: str
    names: tuple[str, ...]
    causes: Causes
    path: set[str]
    forbidden: set[str]

    @classmethod
    def find(cls, graph: Graph, of: str, on: str) -> Backdoor:
        """Cut a static graph for an effect (van der Zander, Liskiewicz and Textor 2014); unmeasured causes are latent.

        What follows is refused where the graph has lagged edges or lacks a variable, or the two are one.
        """
        for name in (of, on):
            graph.variable(name)
        if of == on:
            raise errors.bad_question(f"the effect of '{of}' on itself has no adjustment set", "name two variables")
        causes = causes_of(graph)
        path = between(graph, of, on)
        cut = {name: parents - {of} if name in path else parents for name, parents in causes.items()}
        forbidden = below(causes, path) | {of, on}
        return cls(of=of, on=on, names=graph.names, causes=cut, path=path, forbidden=forbidden)

    @property
    def wide(self) -> set[str]:
        """The measured causes of what lies on causal paths, less those paths, what follows from them and the treatment.

        Where it is valid and no unmeasured cause acts on a causal path, it gives a linear effect the least asymptotic
        variance (Henckel, Perkovic and Maathuis 2022, doi:10.1111/rssb.12451).
        """
        return {cause for name in self.path for cause in self.causes[name]}.intersection(self.names) - self.forbidden

    def closed_by(self, given: Collection[str]) -> bool:
        """Tell whether holding variables fixed leaves only the effect."""
        return not self.forbidden & set(given) and find_open_path(self.causes, [self.of], [self.on], given) is None

    def ordered(self, chosen: Collection[str]) -> tuple[str, ...]:
        """Return measured variables in the graph's order."""
        return tuple(name for name in self.names if name in chosen)


def between(graph: Graph, of: str, on: str) -> set[str]:
    """Return the variables on causal paths from a treatment to an outcome, the outcome included.

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

    Examples
    --------
    >>> import causalrel as cr
    >>> graph = cr.load_graph("llm-load-test")
    >>> is_adjustment(graph, "gpu_count", "ttft", ["model"]), is_adjustment(graph, "users", "ttft", [])
    (False, True)
    """
    for name in given:
        graph.variable(name)
    return Backdoor.find(graph, of, on).closed_by(given)


def adjustment(graph: Graph, of: str, on: str, base: Collection[str]) -> tuple[str, ...]:
    """Widen a valid adjustment set with causes of the outcome, which narrows the interval.

    All causes of what lies on causal paths where that set is valid, else the base and those of them that keep it valid.

    Examples
    --------
    >>> import causalrel as cr
    >>> adjustment(cr.load_graph("llm-load-test"), "gpu_count", "ttft", ["model", "gpu_type"])
    ('model', 'gpu_type', 'users')
    """
    backdoor = Backdoor.find(graph, of, on)
    if backdoor.closed_by(backdoor.wide):
        return backdoor.ordered(backdoor.wide)
    chosen = set(base)
    for name in sorted(backdoor.wide - chosen):
        if backdoor.closed_by(chosen | {name}):
            chosen.add(name)
    return backdoor.ordered(chosen)


def minimal_adjustment(graph: Graph, of: str, on: str) -> tuple[str, ...] | None:
    """Return a valid adjustment set of which nothing can be left out; None where no set is valid.

    Examples
    --------
    >>> import causalrel as cr
    >>> minimal_adjustment(cr.load_graph("llm-load-test"), "gpu_count", "ttft")
    ('model', 'gpu_type')
    """
    backdoor = Backdoor.find(graph, of, on)
    chosen = find_separator(backdoor.causes, of, on, set(graph.names) - backdoor.forbidden)
    return None if chosen is None else backdoor.ordered(chosen)


def optimal_adjustment(graph: Graph, of: str, on: str) -> tuple[str, ...] | None:
    """Return the valid set of least variance where that is proven: None without a causal path, or with a latent on one.

    Examples
    --------
    >>> import causalrel as cr
    >>> optimal_adjustment(cr.load_graph("llm-load-test"), "gpu_count", "ttft")
    ('model', 'gpu_type', 'users')
    """
    backdoor = Backdoor.find(graph, of, on)
    latent = any(backdoor.path & set(hidden.affects) for hidden in graph.unmeasured if len(hidden.affects) > 1)
    return None if latent or not backdoor.path else backdoor.ordered(backdoor.wide)


def list_adjustments(graph: Graph, of: str, on: str, *, limit: int = 100) -> tuple[tuple[str, ...], ...]:
    """List valid adjustment sets, the smallest first, at most so many.

    Examples
    --------
    >>> import causalrel as cr
    >>> list_adjustments(cr.load_graph("llm-load-test"), "gpu_count", "ttft", limit=2)
    (('model', 'gpu_type'), ('model', 'gpu_type', 'users'))
    """
    if minimal_adjustment(graph, of, on) is None:
        return ()
    backdoor = Backdoor.find(graph, of, on)
    among = [name for name in graph.names if name not in backdoor.forbidden]
    sets = each_set(among, f"the adjustment sets for the effect of {of} on {on}")
    return tuple(islice(filter(backdoor.closed_by, sets), limit))


def each_set(names: Sequence[str], what: str) -> Iterator[tuple[str, ...]]:
    """Yield every set of some names, the smallest first; refuse to go on after 30,000, and say what was looked for.

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
    """Return the unmeasured causes that forbid setting a variable in a network of observed mechanisms.

    A truncated product of mechanisms, each given its own direct causes, is the effect of setting a variable if each
    variable on the way answers those of its causes that move as it would were they set: nothing unmeasured joins it to
    them, its other causes held (the back-door criterion, Pearl 1995, doi:10.1093/biomet/82.4.669).

    Examples
    --------
    >>> graph = Graph.from_edges(
    ...     [("batch", "slo")], roles={"batch": "config", "slo": "outcome"}, unmeasured={"skill": ["batch", "slo"]}
    ... )
    >>> hidden_confounders(graph, "batch", "slo")
    ('skill',)
    """
    causes, path = causes_of(graph), between(graph, of, on)
    found: set[str] = set()
    for name in path:
        moving, still = causes[name] & (path | {of}), causes[name].intersection(graph.names) - path - {of}
        walk = find_open_path({**causes, name: causes[name] - moving}, moving, [name], still)
        found.update(walk or ())
    return tuple(hidden.name for hidden in graph.unmeasured if hidden.name in found)
