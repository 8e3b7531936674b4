"""Mediators: whether a graph lets the part of an effect that goes through some variables be told, and how."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from causalrel import errors
from causalrel.graphs import Graph
from causalrel.identification.adjustments import Backdoor, adjustment, between
from causalrel.identification.separations import Causes, above, below, causes_of, find_open_path


@dataclass(frozen=True, slots=True, kw_only=True)
class Mediation:
    """How the part of an effect that goes through some variables is told.

    Parameters
    ----------
    through : tuple of str
        The mediators, causes before effects.
    fixed : tuple of str
        What is held fixed; the treatment changes none of it.
    moved : tuple of str
        What the treatment changes and is a common cause of a mediator and the outcome, causes before effects; natural
        effects are told where there is nothing of it, else their interventional analogues.
    reason : str
        Why it is not identified; empty where it is.

    Examples
    --------
    >>> Mediation(through=("queue_s",), fixed=("load",), moved=(), reason="").natural
    True
    """

    through: tuple[str, ...]
    fixed: tuple[str, ...]
    moved: tuple[str, ...]
    reason: str

    @property
    def natural(self) -> bool:
        """Whether natural direct and indirect effects are identified."""
        return not self.reason and not self.moved


def find_mediation(graph: Graph, of: str, on: str, through: Collection[str]) -> Mediation:
    """Find what identifies the parts of an effect that go through some variables and past them.

    What is held fixed must close every back-door path from the treatment to mediators and outcome, and, with the
    treatment, every one from mediators to outcome. Natural effects are then identified (Pearl 2001, arXiv:1301.2300;
    VanderWeele and Vansteelandt 2014, doi:10.1515/em-2012-0010). Where a common cause of mediator and outcome follows
    from the treatment they are not, and interventional analogues are (VanderWeele, Vansteelandt and Robins 2014,
    doi:10.1097/EDE.0000000000000034).

    Parameters
    ----------
    graph : Graph
        Who may cause whom, without lags.
    of, on : str
        Treatment and outcome.
    through : collection of str
        Mediators, taken as one block.

    Returns
    -------
    Mediation
        With a reason where it is not identified.

    Raises
    ------
    CausalrelError
        When a mediator is unknown, or the treatment or outcome itself.

    Examples
    --------
    >>> import causalrel as cr
    >>> graph = cr.load_graph("llm-serving")
    >>> find_mediation(graph, "prompt_cache_tokens", "ttft", ["cached_tokens"]).natural
    True
    >>> find_mediation(graph, "batch_size", "ttft", ["queue_s"]).moved
    ('running',)
    """
    for name in through:
        graph.variable(name)
        if name in (of, on):
            raise errors.bad_question(f"'{name}' is no mediator of the effect of {of} on {on}", "name one between them")
    order = [name for name in graph.order() if name in graph.names]
    block = tuple(name for name in order if name in set(through))
    on_way = between(graph, of, on)
    aside = [name for name in block if name not in on_way]
    if aside:
        says = f"the graph has no path from {of} through {aside[0]} to {on}: nothing of the effect goes through it"
        return Mediation(through=block, fixed=(), moved=(), reason=says)
    causes = causes_of(graph)
    reason = f"no measured variables hold fixed what {of} and {_listed(block, on)} share"
    for fixed in _baselines(graph, causes, of, on, block):
        if not _closed(causes, [of], [*block, on], fixed):
            continue
        among = {name for name in on_way - below(causes, block) if name in above(causes, [*block, on])}
        moved = _smallest(causes, block, on, {of, *fixed}, among)
        if moved is not None:
            chosen = tuple(name for name in order if name in moved)
            return Mediation(through=block, fixed=fixed, moved=chosen, reason="")
        reason = (
            f"{_cause_between(graph, causes, block, on, {of, *fixed, *among})} moves both {_listed(block)} and {on}"
        )
    return Mediation(through=block, fixed=(), moved=(), reason=reason)


def _baselines(graph: Graph, causes: Causes, of: str, on: str, through: Collection[str]) -> Iterator[tuple[str, ...]]:
    """Give what may be held fixed: measured causes of what lies on the way first, all causes last."""
    backdoor = Backdoor.find(graph, of, on)
    after = below(causes, [of])
    yield tuple(name for name in adjustment(graph, of, on, backdoor.wide) if name not in after)
    every = above(causes, [of, on, *through]) - after
    yield backdoor.ordered(every)
    yield backdoor.ordered(every & above(causes, [on, *through]))


def _closed(causes: Causes, starts: Collection[str], ends: Collection[str], given: Collection[str]) -> bool:
    """Tell whether every back-door path is closed: none is open once what the starts cause is cut from them."""
    cut = {name: parents - set(starts) for name, parents in causes.items()}
    return find_open_path(cut, starts, set(ends) - set(starts), set(given) - set(starts)) is None


def _smallest(causes: Causes, through: Collection[str], on: str, held: set[str], among: set[str]) -> set[str] | None:
    """Return what the treatment changes and must be held fixed between mediators and outcome."""
    if _closed(causes, through, [on], held):
        return set()
    if not _closed(causes, through, [on], held | among):
        return None
    chosen = set(among)
    for name in sorted(among):
        if _closed(causes, through, [on], held | chosen - {name}):
            chosen.discard(name)
    return chosen


def _cause_between(graph: Graph, causes: Causes, through: Collection[str], on: str, given: set[str]) -> str:
    cut = {name: parents - set(through) for name, parents in causes.items()}
    walk = find_open_path(cut, through, [on], given) or ()
    hidden = [item.name for item in graph.unmeasured if item.name in walk]
    return ", ".join(hidden or walk[1:-1]) or "an unmeasured cause"


def _listed(names: Collection[str], *more: str) -> str:
    return " and ".join([*names, *more])
