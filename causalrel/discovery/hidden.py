"""Hidden causes: pairs of which the data say that neither causes the other, though nothing measured separates them."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from causalrel.discovery.evidence import Evidence, Gain

_HELD, _APART = 1, 3
_MOST = 8
#: Gain beyond the price from which a dependence counts, and share of the price below which there is none.
_CLEAR, _NOTHING = 10.0, 0.2


class Witness(NamedTuple):
    """A variable that shows that ``cause`` does not cause ``effect``.

    Examples
    --------
    >>> Witness(cause=0, effect=1, by=2, given=()).by
    2
    """

    cause: int
    effect: int
    by: int
    given: tuple[int, ...]


class Hidden(NamedTuple):
    """A pair with a hidden cause, and the pairs that its witnesses show not to be joined.

    Examples
    --------
    >>> Hidden(pair=(0, 1), witnesses=()).pair
    (0, 1)
    """

    pair: tuple[int, int]
    witnesses: tuple[Witness, ...]

    def why(self, names: Sequence[str]) -> str:
        """Return the reason, for a reviewer."""
        one, two = (names[i] for i in self.pair)
        said = [
            f"{names[w.by]} depends on {names[w.effect]} only where {names[w.cause]} is held, so {names[w.cause]} does "
            f"not cause {names[w.effect]}"
            for w in self.witnesses
        ]
        return "; ".join([f"{one} and {two} stay dependent whatever is held", *said])


def hidden_of(evidence: Evidence, graph: NDArray[np.bool_], allowed: NDArray[np.bool_]) -> list[Hidden]:
    """Return the pairs of which neither causes the other, though they stay dependent.

    Either is barred by what is known, or shown by a witness not to be a cause; both marks make the edge of an ancestral
    graph that has two heads, which a hidden cause explains (Richardson and Spirtes 2002,
    doi:10.1214/aos/1031689015).

    Parameters
    ----------
    evidence : Evidence
        What the data say.
    graph : ndarray of bool, shape (p, p)
        The graph found.
    allowed : ndarray of bool, shape (p, p)
        Edges that may be.

    Returns
    -------
    list of Hidden
        By the numbers of the pair.

    Examples
    --------
    >>> import numpy as np
    >>> from causalrel.discovery.evidence import Evidence
    >>> joint = np.array([[1, 0.6, 0], [0.6, 1, 0.6], [0, 0.6, 1]])
    >>> told = Evidence(correlation=joint, runs=np.zeros((0, 3, 3)), starts=np.arange(4), rows=1000)
    >>> graph, tiers = np.eye(3, k=1, dtype=bool), np.array([[0, 1, 1], [1, 0, 1], [0, 0, 0]], dtype=bool)
    >>> [hidden.pair for hidden in hidden_of(told, graph, tiers)]
    [(1, 2)]
    """
    joined = graph | graph.T
    made = []
    for one, two in ((int(a), int(b)) for a, b in np.argwhere(np.triu(joined, 1))):
        told = [witness_against(evidence, joined, *ends) for ends in ((one, two), (two, one)) if allowed[ends]]
        if told and all(told) and inseparable(evidence, joined, one, two):
            made.append(Hidden((one, two), tuple(witness for witness in told if witness)))
    return made


def witness_against(evidence: Evidence, joined: NDArray[np.bool_], cause: int, effect: int) -> Witness | None:
    """Look for a variable which shows that one variable does not cause another that it is joined to.

    Where something is independent of the effect given others and dependent on it given the cause as well, the cause
    causes neither of the two (Claassen and Heskes 2011, arXiv:1202.3711).

    Parameters
    ----------
    evidence : Evidence
        What the data say.
    joined : ndarray of bool, shape (p, p)
        Pairs that are joined.
    cause, effect : int
        The claim.

    Returns
    -------
    Witness or None
        The first found, by the fewest variables held.

    Examples
    --------
    >>> import numpy as np
    >>> from causalrel.discovery.evidence import Evidence
    >>> joint = np.array([[1, 0.6, 0], [0.6, 1, 0.6], [0, 0.6, 1]])
    >>> told = Evidence(correlation=joint, runs=np.zeros((0, 3, 3)), starts=np.arange(4), rows=1000)
    >>> witness_against(told, joint > 0, 1, 2)
    Witness(cause=1, effect=2, by=0, given=())
    """
    near = [int(x) for x in np.flatnonzero(joined[cause]) if x != effect]
    for count in range(_HELD + 1):
        for by in near:
            for given in _sets(joined, (by, effect), cause, count):
                if not _nothing(evidence.gain(by, effect, given)):
                    continue
                told = (
                    evidence.gain(by, effect, (*given, cause)),
                    evidence.gain(by, cause, given),
                    evidence.gain(cause, effect, given),
                )
                if min(gain.net for gain in told) > _CLEAR:
                    return Witness(cause, effect, by, given)
    return None


def inseparable(evidence: Evidence, joined: NDArray[np.bool_], one: int, two: int) -> bool:
    """Return whether two variables stay dependent whatever few of their neighbours are held.

    Parameters
    ----------
    evidence : Evidence
        What the data say.
    joined : ndarray of bool, shape (p, p)
        Pairs that are joined.
    one, two : int
        The pair.

    Returns
    -------
    bool
        Whether no set of at most three neighbours leaves less than a clear dependence.

    Examples
    --------
    >>> import numpy as np
    >>> from causalrel.discovery.evidence import Evidence
    >>> joint = np.array([[1, 0.5], [0.5, 1]])
    >>> told = Evidence(correlation=joint, runs=np.zeros((0, 2, 2)), starts=np.arange(3), rows=1000)
    >>> inseparable(told, joint > 0, 0, 1)
    True
    """
    return all(
        evidence.gain(one, two, given).net > _CLEAR
        for count in range(_APART + 1)
        for given in _sets(joined, (one, two), -1, count)
    )


def _sets(joined: NDArray[np.bool_], ends: tuple[int, int], barred: int, count: int) -> Iterator[tuple[int, ...]]:
    """Draw sets of neighbours of two variables that leave out both, and one more."""
    near: Sequence[int] = [
        int(v) for v in np.flatnonzero(joined[ends[0]] | joined[ends[1]]) if v not in (*ends, barred)
    ]
    return combinations(near[:_MOST], count)


def _nothing(gain: Gain) -> bool:
    return gain.likelihood / gain.slack < _NOTHING * gain.price
