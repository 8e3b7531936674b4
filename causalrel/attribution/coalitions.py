"""Coalitions: what a burn would be had some drivers been as in one span, others as in another, and who adds what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from math import factorial
from typing import TYPE_CHECKING, Any

import numpy as np

from causalrel.inference import produced, residuals

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.networks import Mechanism

    Coalition = frozenset[str]
    Rows = Mapping[str, NDArray[Any]]
    Worths = Mapping[Coalition, NDArray[np.float64]]
    Step = tuple[Coalition, str, float]

#: Most drivers of which every coalition is run; of more, both ways through orders drawn at random.
EXACT = 10
_ORDERS = 24

#: Rows times draws that are run at a time: few enough that what coalitions share stays in the processor's cache.
_AT_ONCE = 10_000
#: Pairs times coalitions up to which draws are run on all pairs; beyond it on as many as that, and never on fewer pairs
#: than the second, taken evenly along the weight.
_MOST_RUNS, _FEWEST_PAIRS = 1_400_000, 4096


def worths(
    mechanisms: Sequence[Mechanism],
    slo: str,
    spans: tuple[Rows, Rows],
    pairs: tuple[NDArray[np.intp], NDArray[np.intp]],
    weights: NDArray[np.float64],
    coalitions: Iterable[Coalition],
    limits: Mapping[str, tuple[float, float]] | None = None,
) -> dict[Coalition, NDArray[np.float64]]:
    """Return the mean outcome of each coalition, had its drivers been as now and the others as before.

    Pairs of rows are run through the mechanisms with each driver's own part (its value, or what its causes leave of it)
    taken from one span or the other. A variable is worked out once for all coalitions that are alike above it, and so
    is what it adds to each of its effects. Of very many pairs, coefficients at their mean are run on all, and what each
    draw adds to that on some, which makes intervals of small parts a little wider.

    Parameters
    ----------
    mechanisms : sequence of Mechanism
        Causes before effects.
    slo : str
        An SLO, of which the outcome is the modelled bad share, or a number that has causes.
    spans : tuple of mapping
        Rows of now, then rows of before.
    pairs : tuple of ndarray of intp, shape (n,)
        Which row of now is compared with which row of before.
    weights : ndarray of float64, shape (k, n)
        Weights of the pairs in each sum that is wanted, those of all pairs first.
    coalitions : iterable of frozenset of str
        The coalitions.
    limits : mapping of str to (float, float), optional
        Least and most of derived variables, beyond which parts that never came together do not take them.

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
        return _run(mechanisms, slo, spans, pairs, weights, asked, limits or {})
    passed = np.cumsum(weights[0]) / weights[0].sum()
    some = np.minimum(np.searchsorted(passed, (np.arange(most) + 0.5) / most), len(passed) - 1)
    fewer = weights[:, some] * (weights[0].sum() / most / weights[0, some])
    whole = _run([_meant(one, alone=True) for one in mechanisms], slo, spans, pairs, weights, asked, limits or {})
    beside = [_meant(one, alone=False) for one in mechanisms]
    told = _run(beside, slo, spans, (pairs[0][some], pairs[1][some]), fewer, asked, limits or {})
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
    limits: Mapping[str, tuple[float, float]],
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
        for chosen, share in _shares(mechanisms, slo, own, reach, coalitions, weights[:, part], limits).items():
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
    limits: Mapping[str, tuple[float, float]],
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
            return held(mechanism, mechanism.predictor(told), mine)
        line = np.repeat(mechanism.draws[:, 0][None, :], weights.shape[1], axis=0)
        at = 1
        for term in mechanism.terms:
            key = (mechanism.variable.name, term.name, chosen & reach[term.name])
            if key not in parts:
                slopes = mechanism.draws[:, at : at + term.width]
                parts[key] = term.weighted(np.asarray(value(term.name, chosen)), slopes)
            line += parts[key]
            at += term.width
        return held(mechanism, line, mine)

    def held(mechanism: Mechanism, line: NDArray[np.float64], mine: NDArray[Any] | None) -> NDArray[np.float64]:
        made = produced(mechanism, line, mine)
        return np.clip(made, *limits[mechanism.variable.name]) if mechanism.variable.name in limits else made

    made = {}
    for chosen in coalitions:
        mine = own[slo][0 if slo in chosen else 1] if slo in own else None
        made[chosen] = weights @ run(by_name[slo], chosen, mine)
    values.clear()
    parts.clear()
    return made


def list_steps(drivers: Sequence[str], rng: np.random.Generator) -> list[Step]:
    """Return each coalition, a driver that joins it, and the share of orders in which it does.

    Parameters
    ----------
    drivers : sequence of str
        The drivers.
    rng : numpy.random.Generator
        Generator of the orders, where there are too many to take all.

    Returns
    -------
    list of (frozenset, str, float)
        The shares of each driver sum to 1.

    Examples
    --------
    >>> [(sorted(base), driver, share) for base, driver, share in list_steps(["a", "b"], np.random.default_rng(0))]
    [([], 'a', 0.5), ([], 'b', 0.5), (['a'], 'b', 0.5), (['b'], 'a', 0.5)]
    """
    count = len(drivers)
    made: list[Step] = []
    if count <= EXACT:
        for size in range(count):
            share = factorial(size) * factorial(count - size - 1) / factorial(count)
            for chosen in combinations(drivers, size):
                made += [(frozenset(chosen), driver, share) for driver in drivers if driver not in chosen]
        return made
    for _ in range(_ORDERS):
        order = rng.permutation(count)
        for walk in (order, order[::-1]):
            names = [drivers[i] for i in walk]
            made += [(frozenset(names[:i]), name, 1 / (2 * _ORDERS)) for i, name in enumerate(names)]
    return made


def coalitions_of(steps: Iterable[Step]) -> list[Coalition]:
    """Return the coalitions before and after each step, each once.

    Parameters
    ----------
    steps : iterable of (frozenset, str, float)
        The steps.

    Returns
    -------
    list of frozenset of str
        The coalitions.

    Examples
    --------
    >>> [sorted(one) for one in coalitions_of([(frozenset(), "a", 1.0)])]
    [[], ['a']]
    """
    return list(dict.fromkeys(chosen for base, driver, _ in steps for chosen in (base, base | {driver})))


def shapley(worths: Worths, steps: Iterable[Step]) -> dict[str, NDArray[np.float64]]:
    """Return what each driver adds, averaged over the orders in which drivers can change (Shapley 1953).

    Parameters
    ----------
    worths : mapping of frozenset to ndarray
        The worth of each coalition of the steps, all of one shape.
    steps : iterable of (frozenset, str, float)
        The steps.

    Returns
    -------
    dict of str to ndarray of float64
        Parts that add up to the worth of all less the worth of none.

    Examples
    --------
    >>> steps = list_steps(["a", "b", "c"], np.random.default_rng(0))
    >>> both = shapley({one: np.array([float({"a", "b"} <= one)]) for one in coalitions_of(steps)}, steps)
    >>> {name: float(part[0].round(3)) for name, part in both.items()}
    {'a': 0.5, 'b': 0.5, 'c': 0.0}
    """
    parts: dict[str, NDArray[np.float64]] = {}
    for base, driver, share in steps:
        added = share * (worths[base | {driver}] - worths[base])
        parts[driver] = parts[driver] + added if driver in parts else added
    return parts


def interactions(worths: Worths, drivers: Sequence[str]) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Return what each two drivers add together beyond what each adds alone, over the coalitions of the others.

    The interaction index of Grabisch and Roubens (1999, doi:10.1007/s001820050125), from the coalitions that
    :func:`list_steps` names. Each of the two bears half of it.

    Parameters
    ----------
    worths : mapping of frozenset to ndarray
        The worth of each coalition.
    drivers : sequence of str
        The drivers.

    Returns
    -------
    dict of (str, str) to ndarray of float64
        By pair; empty where there are too many drivers to run every coalition.

    Examples
    --------
    >>> steps = list_steps(["a", "b", "c"], np.random.default_rng(0))
    >>> worths = {one: np.array([float({"a", "b"} <= one)]) for one in coalitions_of(steps)}
    >>> both = interactions(worths, ["a", "b", "c"])
    >>> {pair: float(value[0].round(3)) for pair, value in both.items()}
    {('a', 'b'): 1.0, ('a', 'c'): 0.0, ('b', 'c'): 0.0}
    """
    count = len(drivers)
    if count > EXACT:
        return {}
    made = {}
    for one, other in combinations(drivers, 2):
        rest = [driver for driver in drivers if driver not in (one, other)]
        made[one, other] = np.zeros_like(worths[frozenset()])
        for size in range(count - 1):
            weight = factorial(size) * factorial(count - size - 2) / factorial(count - 1)
            for chosen in combinations(rest, size):
                base = frozenset(chosen)
                alone = worths[base | {one}] + worths[base | {other}] - worths[base]
                made[one, other] += weight * (worths[base | {one, other}] - alone)
    return made
