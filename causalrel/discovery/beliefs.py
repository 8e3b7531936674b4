"""Beliefs: the edges that are kept, the chance of each, which directions are told, and which pairs share a cause."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from causalrel.discovery.calibration import chances_of
from causalrel.discovery.hidden import hidden_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.discovery.evidence import Evidence
    from causalrel.discovery.hidden import Hidden
    from causalrel.discovery.support import Found, Knowledge

_KEEP, _DIRECT = 0.5, 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Beliefs:
    """What is believed of each pair; ``[a, b]`` is about a as a cause of b.

    Parameters
    ----------
    graph, directed : ndarray of bool, shape (p, p)
        Edges kept, and those whose direction is told.
    joined, causes : ndarray of float64, shape (p, p)
        Chance that two variables are joined, and that the one causes the other; NaN without resamples.
    shares, turns : ndarray of float64, shape (p, p)
        Raw shares of resamples that join them, and that direct the one to the other.
    hidden : tuple of Hidden
        Pairs with a hidden cause.

    Examples
    --------
    >>> none, half = np.zeros((1, 1), bool), np.full((1, 1), 0.5)
    >>> made = Beliefs(graph=none, directed=none, joined=half, causes=half, shares=half, turns=half, hidden=())
    >>> made.why(0, 0, 20, "resamples")
    'joined in 50% of 20 resamples, in this direction in 50%; of unknown direction'
    """

    graph: NDArray[np.bool_]
    directed: NDArray[np.bool_]
    joined: NDArray[np.float64]
    causes: NDArray[np.float64]
    shares: NDArray[np.float64]
    turns: NDArray[np.float64]
    hidden: tuple[Hidden, ...]

    def why(self, a: int, b: int, resamples: int, drawn: str, *, later: bool = False) -> str:
        """Return why an edge is kept, with its raw shares; one from a row before comes ``later``."""
        if not resamples:
            return "found in the data"
        if later:
            return f"joined at this lag in {self.shares[a, b]:.0%} of {resamples} {drawn}"
        said = f"joined in {self.shares[a, b]:.0%} of {resamples} {drawn}, in this direction in {self.turns[a, b]:.0%}"
        if any({a, b} == set(hidden.pair) for hidden in self.hidden):
            return f"{said}; the data speak for a hidden cause of both"
        if not self.directed[a, b]:
            return f"{said}; of unknown direction"
        sure = self.causes[a, b]
        return f"{said}; directed " + ("by the order" if sure == 1 else f"so with a chance of {sure:.0%}")


def believed(found: Found, evidence: Evidence, knowledge: Knowledge, resamples: int, *, tables: bool) -> Beliefs:
    """Weigh a graph that was found.

    An edge is kept whose chance is one half or more, and its direction is told where it is known or its chance is 0.9
    or more. The direction of a pair with a hidden cause is not told, and what its witnesses show not to be joined is
    left out; tables are not asked, as their evidence is that of lines. Without resamples there are no chances, and what
    the data hold is kept.

    Parameters
    ----------
    found, evidence, knowledge, resamples, tables
        As for :func:`causalrel.discovery.calibration.chances_of`.

    Returns
    -------
    Beliefs
        What is believed.
    """
    graph, directed = found.graph.copy(), found.directed.copy()
    joined, causes = np.full(graph.shape, np.nan), np.full(graph.shape, np.nan)
    if resamples:
        chances = chances_of(found, evidence, knowledge, resamples, tables=tables)
        joined, causes = chances.joined, chances.directed
        graph &= (joined >= _KEEP) | knowledge.required
        directed &= causes >= _DIRECT
    hidden = () if tables else tuple(hidden_of(evidence, graph, knowledge.within))
    for pair, witnesses in hidden:
        for one, two in (pair, *((w.by, w.effect) for w in witnesses)):
            directed[one, two] = directed[two, one] = False
        for witness in witnesses:
            for ends in ((witness.by, witness.effect), (witness.effect, witness.by)):
                graph[ends] &= knowledge.required[ends]
    return Beliefs(
        graph=graph,
        directed=directed & graph,
        joined=joined,
        causes=causes,
        shares=found.joined,
        turns=found.support,
        hidden=hidden,
    )
