"""Futures: joint draws of every SLO's events to come, bin by bin, from days seen and levels that remember."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from causalrel.budgets.exhaustion import steps_until
from causalrel.futures.histories import Past
from causalrel.futures.levels import Counts, draw_levels, fit_levels
from causalrel.futures.rhythms import rhythm_of, week_of
from causalrel.futures.weeks import draw_daily
from causalrel.inference import residuals, run
from causalrel.networks import Network, expit
from causalrel.slos import SLO

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_DAY = timedelta(days=1)

#: Log of the most that the amounts of a past day are multiplied by for a day to come.
_MOST = float(np.log(10))

_NONE: Mapping[str, Any] = MappingProxyType({})

#: Rows run through the mechanisms at once, over all draws.
_CHUNK = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """Events of one SLO in each bin to come.

    Parameters
    ----------
    bad, total : ndarray of float64, shape (draws, n_bins)
        Events.
    growth : float
        Times as many events as there were.
    """

    bad: Floats
    total: Floats
    growth: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What moves an SLO in a scenario beside what the network's mechanisms say.

    Parameters
    ----------
    odds : ndarray of float64, shape (draws, 1) or (draws, n_bins_seen)
        What is added to the log odds of a bad event in each future, throughout or where a bin of the past comes again.
    growth : ndarray of float64, shape (n_bins_seen,), optional
        Times as many events as there were in a bin of the past; once where not given.

    Examples
    --------
    >>> Move(odds=np.zeros((2, 1))).growth is None
    True
    """

    odds: Floats
    growth: Floats | None = None


def draw_futures(
    past: Past,
    account: Network,
    scenarios: Mapping[str, Mapping[str, NDArray[Any]]],
    draws: int,
    seed: int,
    moves: Mapping[str, Mapping[str, Move]] = _NONE,
) -> dict[str, dict[str, Ahead]]:
    """Draw futures that serve every scenario.

    Parameters
    ----------
    past : Past
        The days they are drawn from.
    account : Network
        How SLOs follow from what can be set and what comes, in as many draws as the mechanisms of the days.
    scenarios : mapping of str to mapping of str to ndarray
        What each sets, as a value a row of the past; the first is the one the others are paired with.
    draws : int
        Number of futures.
    seed : int
        Their seed.
    moves : mapping of str to mapping of str to Move
        By scenario and SLO, what moves it beside what is set.

    Returns
    -------
    dict of str to dict of str to Ahead
        Events of each SLO in each scenario; the first scenario is the same whichever others stand beside it.

    Examples
    --------
    >>> import causalrel as cr
    >>> from causalrel.futures.histories import past_of
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> network = cr.fit(windows, cr.load_graph("llm-serving").project(windows.names))
    >>> past = past_of(windows, network, timedelta(hours=30))
    >>> draw_futures(past, network, {"as is": {}}, 10, 0)["as is"]["ttft"].bad.shape
    (10, 15)
    """
    weights = {slo.name: past.columns[f"{slo.name}.total"] for slo in past.slos}
    days = replace(past, mechanisms=account.causes(list(weights)))
    was, expected = add_up(days, weights, scenarios, account.n_draws)
    fitted = was if len(days.mechanisms) == len(past.mechanisms) else add_up(past, weights, {}, account.n_draws)[0]
    slot, which, times = draw_days(past, account.n_draws, draws, seed)
    made: dict[str, dict[str, Ahead]] = {name: {} for name in scenarios}
    for place, slo in enumerate(past.slos):
        rng = np.random.default_rng([seed, 6, place])
        total = past.binned(past.columns[f"{slo.name}.total"])
        usual = fitted[slo.name].mean(axis=1)
        counts = Counts(
            bad=past.binned(past.columns[f"{slo.name}.bad"]), expected=usual, total=total, per_day=past.per_day
        )
        week = week_of(counts, past.weekend).repeat(past.per_day)
        rhythm = rhythm_of(replace(counts, expected=usual * week[: len(usual)]))
        counts = Counts(bad=counts.bad, expected=usual * week[: len(usual)] * rhythm, total=total, per_day=past.per_day)
        level, dispersion = draw_levels(fit_levels(counts, rng), len(past.parts), draws, rng)
        size = 1.0 / dispersion[:, None]
        level = level * rng.gamma(np.broadcast_to(size, level.shape)) / size
        events = np.rint(total[slot] * times * past.parts).astype(np.int64)
        factor = (rhythm * usual / np.maximum(total, 1e-9))[slot] * level * week[len(usual) :][: level.shape[1]]
        first: _Drawn | None = None
        for name in scenarios:
            change = (expected[name][slo.name] + 1e-9) / (was[slo.name] + 1e-9)
            share = np.minimum(factor * change[slot, which], 0.999)
            move, amount, growth = moves.get(name, {}).get(slo.name), events, 1.0
            if move is not None:
                share = _shifted(
                    share, move.odds if move.odds.shape[1] == 1 else np.take_along_axis(move.odds, slot, 1)
                )
            if move is not None and move.growth is not None:
                amount = np.rint((total * move.growth)[slot] * times * past.parts).astype(np.int64)
                growth = float(total @ move.growth) / max(float(total.sum()), 1e-9)
            bad = _paired(first, amount, share, [seed, 7, place]) if first else rng.binomial(amount, share)
            first = first or _Drawn(bad, amount, share)
            made[name][slo.name] = Ahead(bad=bad.astype(np.float64), total=amount.astype(np.float64), growth=growth)
    return made


class _Drawn(NamedTuple):
    """What the first scenario drew."""

    bad: NDArray[np.int64]
    events: NDArray[np.int64]
    share: Floats


def _shifted(share: Floats, odds: Floats) -> Floats:
    """Add to the log odds of shares."""
    with np.errstate(divide="ignore"):
        made: Floats = np.log(share) - np.log1p(-share) + odds
    return np.where(odds == 0, share, np.minimum(expit(made), 0.999))


def _paired(first: _Drawn, events: NDArray[np.int64], share: Floats, seed: list[int]) -> NDArray[np.int64]:
    """Thin the bad events where their share falls, and make good ones bad where it rises; none where it stays.

    Of fewer events any are left out; those that come beside the first scenario's are drawn anew.
    """
    rng, bad, same = np.random.default_rng(seed), first.bad, np.minimum(events, first.events)
    fewer = rng.binomial(bad, np.minimum(share / np.maximum(first.share, 1e-300), 1.0))
    more = rng.binomial(first.events - bad, np.clip((share - first.share) / (1 - first.share), 0.0, 1.0))
    made = np.where(share <= first.share, fewer, bad + more)
    if (same < first.events).any():
        made = rng.hypergeometric(made, first.events - made, same)
    return np.asarray(made + rng.binomial(events - same, share))


def draw_days(past: Past, n_draws: int, draws: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Draw which past day's workload each day to come has, and which draw of the mechanisms each future follows.

    How much comes on each day is drawn first (:func:`causalrel.futures.weeks.draw_daily`); a day that brought about as
    much, of the same part of the week where weekends differ, is taken for it, and its amounts multiplied by the rest.

    Parameters
    ----------
    past : Past
        The days they are drawn from.
    n_draws : int
        Draws of the mechanisms.
    draws : int
        Number of futures.
    seed : int
        Their seed.

    Returns
    -------
    slot : ndarray of int64, shape (draws, n_bins)
        Bin of the past of each bin to come.
    which : ndarray of int64, shape (draws, 1)
        Draw of the mechanisms.
    times : ndarray of float64, shape (draws, n_bins)
        What the amounts of that bin are multiplied by.

    Examples
    --------
    >>> import causalrel as cr
    >>> from causalrel.futures.histories import past_of
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> network = cr.fit(windows, cr.load_graph("llm-serving").project(windows.names))
    >>> past = past_of(windows, network, timedelta(hours=30))
    >>> draw_days(past, network.n_draws, 10, 0)[0].shape
    (10, 15)
    """
    rng = np.random.default_rng([seed, 4])
    seen = past.daily
    told = np.isfinite(seen)
    logs, weekly = draw_daily(seen, past.weekend, draws, rng)
    width = max(float(seen[told].std()) / 2, 0.02)
    score = -0.5 * ((logs[:, :, None] - np.where(told, seen, 0.0)) / width) ** 2 + rng.gumbel(
        size=(*logs.shape, len(seen))
    )
    alike = past.weekend[len(seen) :, None] == past.weekend[: len(seen)]
    score = np.where(told & (alike | ~weekly[:, None, None]), score, -np.inf)
    chosen = score.argmax(axis=2)
    times = np.exp(np.clip(logs - seen[chosen], -_MOST, _MOST)).repeat(past.per_day, axis=1)[:, : len(past.parts)]
    slot = (chosen[:, :, None] * past.per_day + np.arange(past.per_day)).reshape(draws, -1)[:, : len(past.parts)]
    return slot, np.random.default_rng([seed, 5]).integers(n_draws, size=(draws, 1)), times


def spent_of(past: Past, slo: SLO, ahead: Ahead) -> Floats:
    """Return the share of a budget spent by now and by the end of each bin to come.

    Parameters
    ----------
    past : Past
        What was counted so far.
    slo : SLO
        Whose budget: that of the period the horizon's end falls in.
    ahead : Ahead
        Its futures.

    Returns
    -------
    ndarray of float64, shape (draws, n_bins + 1)
        Share of the budget.

    Examples
    --------
    >>> import causalrel as cr
    >>> from causalrel.futures.histories import past_of
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> network = cr.fit(windows, cr.load_graph("llm-serving").project(windows.names))
    >>> past = past_of(windows, network, timedelta(hours=30))
    >>> ahead = draw_futures(past, network, {"as is": {}}, 10, 0)["as is"]["ttft"]
    >>> bool((np.diff(spent_of(past, network.slos[0], ahead)) >= 0).all())
    True
    """
    used, seen = past.spent[slo.name]
    late = (past.opens[slo.name] - past.end) / _DAY * past.per_day
    counted = np.arange(ahead.bad.shape[1]) >= late
    total = (ahead.total * counted).sum(axis=1)
    later = past.rest[slo.name] * past.columns[f"{slo.name}.total"].sum() / past.days * ahead.growth
    allowed = np.maximum((seen + total + later) * slo.allowed, 1e-9)
    bad = np.hstack([np.zeros((len(total), 1)), (ahead.bad * counted).cumsum(axis=1)])
    return np.asarray((used + bad) / allowed[:, None])


def hours_left(past: Past, spent: Floats) -> Floats:
    """Return the hours until a budget is gone; infinity where it lasts beyond the horizon.

    Parameters
    ----------
    past : Past
        Where bins begin and end.
    spent : ndarray of float64, shape (draws, n_bins + 1)
        Share of the budget by now and by the end of each bin.

    Returns
    -------
    ndarray of float64, shape (draws,)
        Hours.

    Examples
    --------
    >>> import causalrel as cr
    >>> from causalrel.futures.histories import past_of
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> network = cr.fit(windows, cr.load_graph("llm-serving").project(windows.names))
    >>> past = past_of(windows, network, timedelta(hours=4))
    >>> hours_left(past, np.array([[0.5, 1.5, 2.0], [0.5, 0.6, 0.7]])).tolist()
    [1.0, inf]
    """
    at = np.append(0.0, past.parts.cumsum()) * (24.0 / past.per_day)
    steps = steps_until(spent, 1.0)
    over = np.isfinite(steps)
    return np.where(over, np.interp(np.where(over, steps, 0.0), np.arange(len(at)), at), np.inf)


def add_up(
    past: Past,
    weights: Mapping[str, Floats],
    scenarios: Mapping[str, Mapping[str, NDArray[Any]]],
    n_draws: int,
    times: Mapping[str, Floats] = _NONE,
) -> tuple[dict[str, Floats], dict[str, dict[str, Floats]]]:
    """Add up what mechanisms give, times a weight a row, by bin and draw; rows in chunks to bound memory.

    Parameters
    ----------
    past : Past
        The rows.
    weights : mapping of str to ndarray of float64, shape (n_rows,)
        Of each variable added up.
    scenarios : mapping of str to mapping of str to ndarray
        What each sets, as a value a row.
    n_draws : int
        Draws of the mechanisms.
    times : mapping of str to ndarray of float64, shape (n_rows,)
        By scenario, what the weights of each row are multiplied by; ones where not given.

    Returns
    -------
    was : dict of str to ndarray of float64, shape (n_bins, n_draws)
        Sums with everything as it was.
    made : dict of str to dict of str to ndarray
        Sums in each scenario, what it does not set as last seen.

    Examples
    --------
    >>> import causalrel as cr
    >>> from causalrel.futures.histories import past_of
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> network = cr.fit(windows, cr.load_graph("llm-serving").project(windows.names))
    >>> past = past_of(windows, network, timedelta(hours=30))
    >>> add_up(past, {"ttft": past.columns["ttft.total"]}, {}, network.n_draws)[0]["ttft"].shape
    (84, 200)
    """
    shape = (past.days * past.per_day, n_draws)
    was = {name: np.zeros(shape) for name in weights}
    made = {scenario: {name: np.zeros(shape) for name in weights} for scenario in scenarios}
    for start in range(0, len(past.bin), _CHUNK):
        rows = slice(start, start + _CHUNK)
        columns = {name: column[rows] for name, column in past.columns.items()}
        left = residuals(past.mechanisms, columns)
        bins, firsts = np.unique(past.bin[rows], return_index=True)
        scenes = [
            (was, {}, None),
            *((made[name], {**past.current, **do}, times.get(name)) for name, do in scenarios.items()),
        ]
        for sums, values, factor in scenes:
            found = run(past.mechanisms, columns, left, {name: value[rows] for name, value in values.items()})
            for name, weight in weights.items():
                counted = weight[rows] if factor is None else weight[rows] * factor[rows]
                amounts = counted[:, None] * found[name].reshape(len(counted), -1)
                sums[name][bins] += np.add.reduceat(amounts, firsts, axis=0)
    return was, made
