"""Futures: joint draws of every SLO's events to come, bin by bin, from days seen and levels that remember."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from causalrel import display, errors
from causalrel.budgets.exhaustion import steps_until
from causalrel.inference import residuals, run
from causalrel.mechanisms.drafts import rows_of
from causalrel.mechanisms.levels import Counts, draw_levels, fit_levels
from causalrel.mechanisms.rhythms import rhythm_of
from causalrel.networks import Mechanism, Network
from causalrel.slos import SLO, slo_window
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_HISTORY = timedelta(days=28)
_DAY = timedelta(days=1)
_MOST_BINS = 12

#: Rows run through the mechanisms at once, over all draws.
_CHUNK = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """Rows that futures are drawn from: whole days, and what each unit was set to when last seen.

    Parameters
    ----------
    columns : dict of str to ndarray
        The rows in the order of their bins.
    bin : ndarray of int64
        Each row's bin, the oldest 0.
    days, per_day : int
        Whole days, and bins in each.
    current : dict of str to ndarray
        Config and hardware as last seen, a value a row.
    mechanisms : tuple of Mechanism
        Causes before effects.
    slos : tuple of SLO
        The SLOs forecast.
    spent : dict of str to (bad, total)
        Events counted so far in the period that ends last.
    opens : dict of str to datetime
        When that period starts.
    rest : dict of str to float
        Days of it after the horizon.
    horizon : datetime.timedelta
        How far ahead.
    end : datetime.datetime
        Now.
    """

    columns: dict[str, NDArray[Any]]
    bin: NDArray[np.int64]
    days: int
    per_day: int
    current: dict[str, NDArray[Any]]
    mechanisms: tuple[Mechanism, ...]
    slos: tuple[SLO, ...]
    spent: dict[str, tuple[float, float]]
    opens: dict[str, datetime]
    rest: dict[str, float]
    horizon: timedelta
    end: datetime

    @property
    def parts(self) -> Floats:
        """Share of each bin to come that lies within the horizon."""
        bins = self.horizon / _DAY * self.per_day
        made = np.ones(int(np.ceil(bins - 1e-9)))
        made[-1] = bins - (len(made) - 1)
        return made

    def binned(self, values: Floats) -> Floats:
        """Sum rows by bin."""
        made = np.bincount(self.bin, weights=values, minlength=self.days * self.per_day)
        return made.astype(np.float64)


def past_of(windows: Windows, network: Network, horizon: timedelta, also: tuple[str, ...] = ()) -> Past:
    """Take the whole days of the last four weeks.

    Parameters
    ----------
    windows : Windows
        The windows.
    network : Network
        A network fitted to them.
    horizon : datetime.timedelta
        How far ahead.
    also : tuple of str
        Variables needed beside those the SLOs follow from.

    Returns
    -------
    Past
        The days.

    Raises
    ------
    CausalrelError
        When the network holds no SLO, the horizon is longer than a period, or days or units do not last.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> network = cr.fit(windows, cr.load_graph("llm-serving").project(windows.names))
    >>> past_of(windows, network, timedelta(days=1)).per_day
    12
    """
    slos = _slos(network, horizon)
    mechanisms = network.causes([*(slo.name for slo in slos), *also])
    columns, _ = rows_of(windows, [m.variable.name for m in mechanisms])
    start, end = windows.span
    per_day = _DAY // windows.width
    if not per_day:
        raise errors.refused("the forecast", "its windows are longer than a day")
    last = int(end.timestamp() // windows.width.total_seconds())
    ago = last - 1 - columns["step"]
    days = min((end - start) // _DAY, _HISTORY // _DAY)
    if days < 2:
        raise errors.refused(
            "the forecast", f"it draws whole past days, and the windows hold {days} of them; two are the least"
        )
    inside = ago < days * per_day
    lasting = np.isin(columns["unit"][inside], columns["unit"][ago < per_day]).mean() if inside.any() else 0.0
    if lasting < 0.5:
        raise errors.refused(
            "the forecast",
            f"{display.percent(float(lasting))} of the windows are of units seen on the last day, so the days to come "
            "are those of other units",
        )
    bins = min(per_day, _MOST_BINS)
    place = days * bins - 1 - ago[inside] // per_day * bins - ago[inside] % per_day * bins // per_day
    order = np.argsort(place, kind="stable")
    columns = {name: column[inside][order] for name, column in columns.items()}
    periods = {slo.name: _period(slo, end, horizon) for slo in slos}
    return Past(
        columns=columns,
        bin=place[order].astype(np.int64),
        days=days,
        per_day=bins,
        current=_current(mechanisms, columns),
        mechanisms=mechanisms,
        slos=slos,
        spent={slo.name: _used(windows, slo, periods[slo.name][0]) for slo in slos},
        opens={name: opens for name, (opens, _) in periods.items()},
        rest={name: max(0.0, (closes - end - horizon) / _DAY) for name, (_, closes) in periods.items()},
        horizon=horizon,
        end=end,
    )


def _slos(network: Network, horizon: timedelta) -> tuple[SLO, ...]:
    slos = network.slos
    if not slos:
        raise errors.bad_question("forecast: the network holds no SLO", "fit a graph with an SLO as outcome")
    for slo in slos:
        if horizon > slo.period:
            raise errors.bad_question(
                f"the horizon of {display.length(horizon)} is longer than the {display.length(slo.period)} of "
                f"{slo.name}",
                "ask for a horizon within the SLO's period",
            )
    return slos


def _period(slo: SLO, end: datetime, horizon: timedelta) -> tuple[datetime, datetime]:
    """Return the period that the horizon's end falls in: of a rolling window the one ending there."""
    return slo_window(slo, end + horizon)


def _used(windows: Windows, slo: SLO, since: datetime) -> tuple[float, float]:
    rows = windows.during(since, max(since, windows.span[1]))
    return float(rows[f"{slo.name}.bad"].sum() or 0), float(rows[f"{slo.name}.total"].sum() or 0)


def _current(mechanisms: tuple[Mechanism, ...], columns: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Hold config and hardware at what each unit had in its last complete windows."""
    made: dict[str, NDArray[Any]] = {}
    for mechanism in mechanisms:
        if not mechanism.variable.settable or mechanism.form != "observed":
            continue
        name = mechanism.variable.name
        values = columns[name].copy()
        for unit in np.unique(columns["unit"]):
            mine = columns["unit"] == unit
            recent = columns[name][mine][np.argsort(columns["step"][mine], kind="stable")][-6:]
            values[mine] = recent[-1] if mechanism.variable.kind != "number" else np.median(recent)
        made[name] = values
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """Events of one SLO in each bin to come.

    Parameters
    ----------
    bad, total : ndarray of float64, shape (draws, n_bins)
        Events.
    """

    bad: Floats
    total: Floats


def draw_futures(
    past: Past, network: Network, scenarios: Mapping[str, Mapping[str, NDArray[Any]]], draws: int, seed: int
) -> dict[str, dict[str, Ahead]]:
    """Draw futures that serve every scenario.

    Parameters
    ----------
    past : Past
        The days they are drawn from.
    network : Network
        The network.
    scenarios : mapping of str to mapping of str to ndarray
        What each sets, as a value a row of the past; the first is the one the others are paired with.
    draws : int
        Number of futures.
    seed : int
        Their seed.

    Returns
    -------
    dict of str to dict of str to Ahead
        Events of each SLO in each scenario; the first scenario is the same whichever others stand beside it.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> network = cr.fit(windows, cr.load_graph("llm-serving").project(windows.names))
    >>> past = past_of(windows, network, timedelta(hours=30))
    >>> draw_futures(past, network, {"as is": {}}, 10, 0)["as is"]["ttft"].bad.shape
    (10, 15)
    """
    fitted, expected = _expected(past, network, scenarios)
    chosen = _days_ahead(past, draws, np.random.default_rng([seed, 4]))
    which = np.random.default_rng([seed, 5]).integers(network.n_draws, size=draws)
    slot = (chosen[:, :, None] * past.per_day + np.arange(past.per_day)).reshape(draws, -1)[:, : len(past.parts)]
    made: dict[str, dict[str, Ahead]] = {name: {} for name in scenarios}
    for place, slo in enumerate(past.slos):
        rng = np.random.default_rng([seed, 6, place])
        total = past.binned(past.columns[f"{slo.name}.total"])
        usual = fitted[slo.name].mean(axis=1)
        counts = Counts(
            bad=past.binned(past.columns[f"{slo.name}.bad"]), expected=usual, total=total, per_day=past.per_day
        )
        rhythm = rhythm_of(counts)
        counts = Counts(bad=counts.bad, expected=usual * rhythm, total=total, per_day=past.per_day)
        level, dispersion = draw_levels(fit_levels(counts, rng), len(past.parts), draws, rng)
        size = 1.0 / dispersion[:, None]
        level = level * rng.gamma(np.broadcast_to(size, level.shape)) / size
        events = np.rint(total[slot] * past.parts).astype(np.int64)
        factor = (rhythm * usual / np.maximum(total, 1e-9))[slot] * level
        first: tuple[NDArray[np.int64], Floats] | None = None
        for name in scenarios:
            change = (expected[name][slo.name] + 1e-9) / (fitted[slo.name] + 1e-9)
            share = np.minimum(factor * change[slot, which[:, None]], 0.999)
            bad = rng.binomial(events, share) if first is None else _paired(*first, events, share, [seed, 7, place])
            first = first or (bad, share)
            made[name][slo.name] = Ahead(bad=bad.astype(np.float64), total=events.astype(np.float64))
    return made


def _paired(
    bad: NDArray[np.int64], share: Floats, events: NDArray[np.int64], changed: Floats, seed: list[int]
) -> NDArray[np.int64]:
    """Thin the bad events where their share falls, and make good ones bad where it rises; none where it stays."""
    rng = np.random.default_rng(seed)
    fewer = rng.binomial(bad, np.minimum(changed / np.maximum(share, 1e-300), 1.0))
    more = rng.binomial(events - bad, np.clip((changed - share) / (1 - share), 0.0, 1.0))
    return np.where(changed <= share, fewer, bad + more)


def _days_ahead(past: Past, draws: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw which past day's workload each day to come has."""
    length = int(np.ceil(len(past.parts) / past.per_day))
    return rng.integers(past.days, size=(draws, length))


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
    later = past.rest[slo.name] * past.columns[f"{slo.name}.total"].sum() / past.days
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


def _expected(
    past: Past, network: Network, scenarios: Mapping[str, Mapping[str, NDArray[Any]]]
) -> tuple[dict[str, Floats], dict[str, dict[str, Floats]]]:
    """Add up expected bad events by bin and draw, as it was and in each scenario; rows in chunks to bound memory."""
    shape = (past.days * past.per_day, network.n_draws)
    was = {slo.name: np.zeros(shape) for slo in past.slos}
    made = {name: {slo.name: np.zeros(shape) for slo in past.slos} for name in scenarios}
    for start in range(0, len(past.bin), _CHUNK):
        rows = slice(start, start + _CHUNK)
        columns = {name: column[rows] for name, column in past.columns.items()}
        left = residuals(past.mechanisms, columns)
        bins, firsts = np.unique(past.bin[rows], return_index=True)
        for sums, values in [(was, {}), *((made[name], {**past.current, **do}) for name, do in scenarios.items())]:
            shares = run(past.mechanisms, columns, left, {name: value[rows] for name, value in values.items()})
            for slo in past.slos:
                events = columns[f"{slo.name}.total"][:, None] * shares[slo.name]
                sums[slo.name][bins] += np.add.reduceat(events, firsts, axis=0)
    return was, made
