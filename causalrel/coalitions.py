"""Coalitions: the bad share had some drivers been as in one span and the others as in another, draw by draw."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from causalrel.inference import produced, residuals

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.networks import Mechanism

    Coalition = frozenset[str]
    Rows = Mapping[str, NDArray[Any]]

#: Rows times draws that are run at a time: few enough that what coalitions share stays in the processor's cache.
_AT_ONCE = 10_000
#: Pairs times coalitions up to which draws are run on all pairs; beyond it on as many as that, and never on fewer pairs
#: than the second, taken evenly along the weight.
_MOST_RUNS, _FEWEST_PAIRS = 2_000_000, 4096


def worths(
    mechanisms: Sequence[Mechanism],
    slo: str,
    spans: tuple[Rows, Rows],
    pairs: tuple[NDArray[np.intp], NDArray[np.intp]],
    weights: NDArray[np.float64],
    coalitions: Iterable[Coalition],
) -> dict[Coalition, NDArray[np.float64]]:
    """Return the modelled bad share of each coalition, had its drivers been as now and the others as before.

    Pairs of rows are run through the mechanisms with each driver's own part (its value, or what its causes leave of it)
    taken from one span or the other. A variable is worked out once for all coalitions that are alike above it, and so
    is what it adds to each of its effects. Of very many pairs, coefficients at their mean are run on all, and what each
    draw adds to that on some, which makes intervals of small parts a little wider.

    Parameters
    ----------
    mechanisms : sequence of Mechanism
        Causes before effects.
    slo : str
        The SLO, an event rate among them.
    spans : tuple of mapping
        Rows of now, then rows of before.
    pairs : tuple of ndarray of intp, shape (n,)
        Which row of now is compared with which row of before.
    weights : ndarray of float64, shape (k, n)
        Weights of the pairs in each sum that is wanted, those of all pairs first.
    coalitions : iterable of frozenset of str
        The coalitions.

    Returns
    -------
    dict of frozenset to ndarray of float64, shape (k, n_draws)
        The sums, a draw each.

    Examples
    --------
    >>> from causalrel.networks import Mechanism
    >>> from causalrel.variables import Variable
    >>> slo = Variable(name="ttft", role="outcome", kind="events")
    >>> always = Mechanism(variable=slo, form="event-rate", draws=np.zeros((2, 1)))
    >>> one = np.array([0])
    >>> worths((always,), "ttft", ({}, {}), (one, one), np.ones((1, 1)), [frozenset()])[frozenset()].tolist()
    [[0.5, 0.5]]
    """
    asked = list(coalitions)
    most = max(_FEWEST_PAIRS, _MOST_RUNS // max(len(asked), 1))
    if len(weights[0]) <= most or any(mechanism.surface is not None for mechanism in mechanisms):
        return _run(mechanisms, slo, spans, pairs, weights, asked)
    passed = np.cumsum(weights[0]) / weights[0].sum()
    some = np.minimum(np.searchsorted(passed, (np.arange(most) + 0.5) / most), len(passed) - 1)
    fewer = weights[:, some] * (weights[0].sum() / most / weights[0, some])
    whole = _run([_meant(one, alone=True) for one in mechanisms], slo, spans, pairs, weights, asked)
    beside = [_meant(one, alone=False) for one in mechanisms]
    told = _run(beside, slo, spans, (pairs[0][some], pairs[1][some]), fewer, asked)
    return {chosen: whole[chosen] + told[chosen][:, :-1] - told[chosen][:, -1:] for chosen in asked}


def _meant(mechanism: Mechanism, *, alone: bool) -> Mechanism:
    """Put the mean of the coefficients after their draws, or in their place."""
    if mechanism.draws is None:
        return mechanism
    mean = mechanism.draws.mean(axis=0)[None, :]
    return replace(mechanism, draws=mean if alone else np.vstack([mechanism.draws, mean]))


def _run(
    mechanisms: Sequence[Mechanism],
    slo: str,
    spans: tuple[Rows, Rows],
    pairs: tuple[NDArray[np.intp], NDArray[np.intp]],
    weights: NDArray[np.float64],
    coalitions: Sequence[Coalition],
) -> dict[Coalition, NDArray[np.float64]]:
    """Run all pairs for every coalition, some rows at a time."""
    rests = [residuals(mechanisms, rows) for rows in spans]
    reach = _reaches(mechanisms)
    made: dict[Coalition, NDArray[np.float64]] = {}
    rows = max(1, _AT_ONCE // max(mechanism.n_draws for mechanism in mechanisms))
    for start in range(0, len(pairs[0]), rows):
        part = slice(start, start + rows)
        own: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}
        for mechanism in mechanisms:
            name = mechanism.variable.name
            if mechanism.form != "event-rate":
                (now, before) = rests if mechanism.additive else spans
                own[name] = now[name][pairs[0][part]], before[name][pairs[1][part]]
        for chosen, share in _shares(mechanisms, slo, own, reach, coalitions, weights[:, part]).items():
            made[chosen] = made[chosen] + share if chosen in made else share
    return made


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
    own: Mapping[str, tuple[NDArray[Any], NDArray[Any]]],
    reach: Mapping[str, Coalition],
    coalitions: Sequence[Coalition],
    weights: NDArray[np.float64],
) -> dict[Coalition, NDArray[np.float64]]:
    """Run some pairs for every coalition."""
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
        line = np.repeat(mechanism.draws[:, 0][None, :], weights.shape[1], axis=0)
        at = 1
        for term in mechanism.terms:
            key = (mechanism.variable.name, term.name, chosen & reach[term.name])
            if key not in parts:
                slopes = mechanism.draws[:, at : at + term.width]
                parts[key] = term.weighted(np.asarray(value(term.name, chosen)), slopes)
            line += parts[key]
            at += term.width
        return produced(mechanism, line, mine)

    made = {chosen: weights @ run(by_name[slo], chosen, None) for chosen in coalitions}
    values.clear()
    parts.clear()
    return made
