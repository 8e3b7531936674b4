"""Histories: the whole days that futures are drawn from, bin by bin, and what each unit was set to when last seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from causalrel import display, errors
from causalrel.mechanisms.drafts import rows_of
from causalrel.networks import Mechanism, Network
from causalrel.slos import SLO, slo_window
from causalrel.telemetry.schema import LOAD
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_HISTORY = timedelta(days=28)
_DAY = timedelta(days=1)
_MOST_BINS = 12

#: Share of the mean day that is added before a log is taken, and of days with gaps up to which these are no habit.
_FLOOR, _GAPS = 0.02, 0.25


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
    horizon : datetime.timedelta
        How far ahead.
    end : datetime.datetime
        Now.
    slos : tuple of SLO
        The SLOs forecast.
    spent : dict of str to (bad, total)
        Events counted so far in the period that ends last.
    opens : dict of str to datetime
        When that period starts.
    rest : dict of str to float
        Days of it after the horizon.
    """

    columns: dict[str, NDArray[Any]]
    bin: NDArray[np.int64]
    days: int
    per_day: int
    current: dict[str, NDArray[Any]]
    mechanisms: tuple[Mechanism, ...]
    horizon: timedelta
    end: datetime
    slos: tuple[SLO, ...] = ()
    spent: dict[str, tuple[float, float]] = field(default_factory=dict)
    opens: dict[str, datetime] = field(default_factory=dict)
    rest: dict[str, float] = field(default_factory=dict)

    @property
    def parts(self) -> Floats:
        """Share of each bin to come that lies within the horizon."""
        bins = self.horizon / _DAY * self.per_day
        made = np.ones(int(np.ceil(bins - 1e-9)))
        made[-1] = bins - (len(made) - 1)
        return made

    @property
    def weekend(self) -> NDArray[np.bool_]:
        """Which days, those seen and then those to come, have their middle on a Saturday or Sunday, UTC."""
        ahead = int(np.ceil(len(self.parts) / self.per_day))
        middles = [self.end + (day + 0.5) * _DAY for day in range(-self.days, ahead)]
        return np.array([middle.weekday() >= 5 for middle in middles])

    @property
    def daily(self) -> Floats:
        """Logs of the events of each day seen, of the SLO with most; NaN where most of a day's windows are missing."""
        totals = [self.binned(self.columns[f"{slo.name}.total"]) for slo in self.slos]
        amounts = max(totals, key=lambda total: float(total.sum())).reshape(self.days, -1).sum(axis=1)
        rows = np.bincount(self.bin // self.per_day, minlength=self.days)
        lacking = rows < np.median(rows) / 2
        made: Floats = np.log(amounts + _FLOOR * max(float(amounts.mean()), 1.0))
        return np.where(lacking & (lacking.mean() <= _GAPS), np.nan, made)

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
    days = days_of(windows, network.causes([*(slo.name for slo in slos), *also]), horizon)
    periods = {slo.name: _period(slo, days.end, horizon) for slo in slos}
    return replace(
        days,
        slos=slos,
        spent={slo.name: _used(windows, slo, periods[slo.name][0]) for slo in slos},
        opens={name: opens for name, (opens, _) in periods.items()},
        rest={name: max(0.0, (closes - days.end - horizon) / _DAY) for name, (_, closes) in periods.items()},
    )


def days_of(
    windows: Windows, mechanisms: tuple[Mechanism, ...], horizon: timedelta, also: tuple[str, ...] = ()
) -> Past:
    """Take the rows of some mechanisms in the whole days of the last four weeks, whatever SLOs follow from them.

    Parameters
    ----------
    windows : Windows
        The windows.
    mechanisms : tuple of Mechanism
        Causes before effects.
    horizon : datetime.timedelta
        How far ahead.
    also : tuple of str
        Variables needed beside those of the mechanisms.

    Returns
    -------
    Past
        The days, of no SLO.

    Raises
    ------
    CausalrelError
        When days or units do not last.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> days_of(windows, (), timedelta(days=1), also=("load",)).days
    7
    """
    columns, _ = rows_of(windows, list(dict.fromkeys([*(m.variable.name for m in mechanisms), *also])))
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
    return Past(
        columns=columns,
        bin=place[order].astype(np.int64),
        days=days,
        per_day=bins,
        current=_current(mechanisms, columns),
        mechanisms=mechanisms,
        horizon=horizon,
        end=end,
    )


def times_of(past: Past, do: Mapping[str, NDArray[Any]]) -> Floats:
    """Return how many times as many requests come in each row where their rate, ``load``, is set.

    Parameters
    ----------
    past : Past
        The rows.
    do : mapping of str to ndarray, shape (n_rows,)
        What is set.

    Returns
    -------
    ndarray of float64, shape (n_rows,)
        Factors; ones where the rate is not set, or was zero.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> past = days_of(windows, (), timedelta(days=1), also=("load",))
    >>> float(times_of(past, {"load": past.columns["load"] * 1.2}).mean().round(3))
    1.2
    """
    made: Floats = np.ones(len(past.bin))
    if LOAD.name in do:
        was = past.columns[LOAD.name]
        made = np.divide(do[LOAD.name], was, out=made, where=was > 0)
    return made


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
            number = mechanism.variable.kind == "number" and values.dtype.kind == "f"
            values[mine] = np.median(recent) if number else recent[-1]
        made[name] = values
    return made
