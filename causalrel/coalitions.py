"""Coalitions: the bad share had some drivers been as in one span and the others as in another, draw by draw."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from causalrel.inference import produced, residuals

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.networks import Mechanism

    Coalition = frozenset[str]
    Rows = Mapping[str, tuple[NDArray[Any], NDArray[Any]]]

#: Rows times draws that are run at a time: few enough that what coalitions share stays in the processor's cache.
_AT_ONCE = 10_000


def worths(
    mechanisms: Sequence[Mechanism],
    slo: str,
    now: Mapping[str, NDArray[Any]],
    before: Mapping[str, NDArray[Any]],
    coalitions: Iterable[Coalition],
) -> dict[Coalition, NDArray[np.float64]]:
    """Return the modelled bad share of each coalition.

    Rows of the two spans are paired, and run through the mechanisms with each driver's own part (its value, or what
    its causes leave of it) taken from one span or the other. A variable is worked out once for all coalitions that are
    alike above it, and so is what it adds to each of its effects.

    Parameters
    ----------
    mechanisms : sequence of Mechanism
        Causes before effects, the SLO among them.
    slo : str
        The SLO.
    now, before : mapping of str to ndarray, shape (n,)
        Rows of the two spans, ``<slo>.total`` among them.
    coalitions : iterable of frozenset of str
        Drivers that are as now; all others are as before.

    Returns
    -------
    dict of frozenset to ndarray of float64, shape (n_draws,)
        The share, a draw each.

    Examples
    --------
    >>> from causalrel.networks import Mechanism
    >>> from causalrel.variables import Variable
    >>> slo = Variable(name="ttft", role="outcome", kind="events")
    >>> always = Mechanism(variable=slo, form="event-rate", draws=np.zeros((2, 1)))
    >>> rows = {"ttft.total": np.array([10.0, 20.0])}
    >>> worths((always,), "ttft", rows, rows, [frozenset()])[frozenset()].tolist()
    [0.5, 0.5]
    """
    left, right, mass = paired(now[f"{slo}.total"], before[f"{slo}.total"])
    rests = residuals(mechanisms, now), residuals(mechanisms, before)
    reach = _reaches(mechanisms)
    asked = list(coalitions)
    made: dict[Coalition, NDArray[np.float64]] = {}
    draws = max(mechanism.n_draws for mechanism in mechanisms)
    rows = max(1, _AT_ONCE // draws)
    for start in range(0, len(mass), rows):
        part = slice(start, start + rows)
        own: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}
        for mechanism in mechanisms:
            name = mechanism.variable.name
            if mechanism.additive:
                own[name] = rests[0][name][left[part]], rests[1][name][right[part]]
            elif mechanism.form == "observed":
                own[name] = now[name][left[part]], before[name][right[part]]
        for chosen, share in _shares(mechanisms, slo, own, reach, asked, mass[part]).items():
            made[chosen] = made[chosen] + share if chosen in made else share
    return made


def paired(
    now: NDArray[np.float64], before: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Pair two weighted row sets in their order (north-west corner rule); both margins stay exact.

    Parameters
    ----------
    now, before : ndarray of float64
        Weight of each row.

    Returns
    -------
    left, right : ndarray of intp, shape (n_pairs,)
        Rows of each pair.
    mass : ndarray of float64, shape (n_pairs,)
        Their shares, which sum to 1.

    Examples
    --------
    >>> [part.tolist() for part in paired(np.array([1.0, 1.0]), np.array([1.0, 3.0]))]
    [[0, 0, 1], [0, 1, 1], [0.25, 0.25, 0.5]]
    """
    ends = [np.cumsum(weights) / weights.sum() for weights in (now, before)]
    for end in ends:
        end[-1] = 1.0
    cuts = np.unique(np.concatenate(ends))
    mass = np.diff(np.concatenate([[0.0], cuts]))
    middle = cuts - mass / 2
    left, right = (np.minimum(np.searchsorted(end, middle), len(end) - 1) for end in ends)
    return left, right, mass


def _reaches(mechanisms: Sequence[Mechanism]) -> dict[str, Coalition]:
    """Return each variable with all that acts on it."""
    reach: dict[str, Coalition] = {}
    for mechanism in mechanisms:
        name = mechanism.variable.name
        reach[name] = frozenset({name}).union(*(reach[parent] for parent in mechanism.parents))
    return reach


def _shares(
    mechanisms: Sequence[Mechanism],
    slo: str,
    own: Rows,
    reach: Mapping[str, Coalition],
    coalitions: Sequence[Coalition],
    mass: NDArray[np.float64],
) -> dict[Coalition, NDArray[np.float64]]:
    """Run some rows for every coalition."""
    values: dict[tuple[str, Coalition], NDArray[Any]] = {}
    parts: dict[tuple[str, str, Coalition], NDArray[np.float64]] = {}
    by_name = {mechanism.variable.name: mechanism for mechanism in mechanisms}

    def value(name: str, chosen: Coalition) -> NDArray[Any]:
        key = (name, chosen & reach[name])
        if key not in values:
            mine = own[name][0 if name in chosen else 1] if name in own else None
            observed = by_name[name].form == "observed" and mine is not None
            values[key] = mine if observed and mine is not None else run(by_name[name], chosen, mine)
        return values[key]

    def run(mechanism: Mechanism, chosen: Coalition, mine: NDArray[Any] | None) -> NDArray[np.float64]:
        if mechanism.draws is None:
            told = {parent: value(parent, chosen) for parent in mechanism.parents}
            return produced(mechanism, mechanism.predictor(told), mine)
        line = np.repeat(mechanism.draws[:, 0][None, :], len(mass), axis=0)
        at = 1
        for term in mechanism.terms:
            key = (mechanism.variable.name, term.name, chosen & reach[term.name])
            if key not in parts:
                weights = mechanism.draws[:, at : at + term.width]
                parts[key] = term.weighted(np.asarray(value(term.name, chosen)), weights)
            line += parts[key]
            at += term.width
        return produced(mechanism, line, mine)

    made = {chosen: mass @ run(by_name[slo], chosen, None) for chosen in coalitions}
    values.clear()
    parts.clear()
    return made
