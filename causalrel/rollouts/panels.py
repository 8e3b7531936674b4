"""Panels: which unit switched when, and the windows that tell what a rollout did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from causalrel import display, errors
from causalrel.estimates import Check
from causalrel.mechanisms.drafts import rows_of
from causalrel.variables import parse_time

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.windows import Windows

#: Windows that a unit needs before and after its switch.
FEWEST_WINDOWS = 3

#: Events of the rarer kind (bad or good) without which nothing is told (Peduzzi et al. 1996,
#: doi:10.1016/S0895-4356(96)00236-3).
FEWEST_EVENTS = 10

#: The switch of a unit that never switched.
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Windows of units that switched once, or never.

    Parameters
    ----------
    columns : mapping of str to ndarray, shape (n,)
        What is held fixed.
    units : tuple of str
        Names of the units.
    unit : ndarray of intp, shape (n,)
        Index of each row's unit.
    step : ndarray of int64, shape (n,)
        Window number of each row.
    switch : ndarray of int64, shape (u,)
        Window number of each unit's switch; :data:`NEVER` where it did not.
    bad : ndarray of float64, shape (n,)
        Bad events, or a numeric outcome.
    total : ndarray of float64, shape (n,), or None
        Events; None for a numeric outcome.
    width : datetime.timedelta
        Width of a window.

    Examples
    --------
    >>> made = Panel(
    ...     columns={},
    ...     units=("a", "b"),
    ...     unit=np.array([0, 0, 1, 1]),
    ...     step=np.array([0, 1, 0, 1]),
    ...     switch=np.array([1, NEVER]),
    ...     bad=np.zeros(4),
    ...     total=None,
    ...     width=timedelta(hours=1),
    ... )
    >>> made.treated.tolist(), made.dates.tolist()
    ([False, True, False, False], [1])
    """

    columns: Mapping[str, NDArray[Any]]
    units: tuple[str, ...]
    unit: NDArray[np.intp]
    step: NDArray[np.int64]
    switch: NDArray[np.int64]
    bad: NDArray[np.float64]
    total: NDArray[np.float64] | None
    width: timedelta

    @property
    def treated(self) -> NDArray[np.bool_]:
        """Rows at or after the switch of their unit."""
        return np.asarray(self.step >= self.switch[self.unit], dtype=np.bool_)

    @property
    def dates(self) -> NDArray[np.int64]:
        """Window numbers at which units switched."""
        return np.unique(self.switch[self.switch != NEVER])

    @property
    def never(self) -> NDArray[np.intp]:
        """Indices of the units that never switched."""
        return np.flatnonzero(self.switch == NEVER)

    @property
    def rarer(self) -> float:
        """Events of the rarer kind; windows for a numeric outcome."""
        if self.total is None:
            return float(len(self.bad))
        return float(min(self.bad.sum(), (self.total - self.bad).sum()))

    def time(self, step: int) -> datetime:
        """Return the start of a window.

        Parameters
        ----------
        step : int
            Its number.

        Returns
        -------
        datetime.datetime
            UTC.
        """
        return datetime.fromtimestamp(0, tz=UTC) + int(step) * self.width

    def among(self, rows: NDArray[np.bool_]) -> Panel:
        """Return some rows, and the units that still have any.

        Parameters
        ----------
        rows : ndarray of bool, shape (n,)
            Rows wanted.

        Returns
        -------
        Panel
            Those rows.
        """
        left, unit = np.unique(self.unit[rows], return_inverse=True)
        return replace(
            self,
            columns={name: column[rows] for name, column in self.columns.items()},
            units=tuple(self.units[i] for i in left),
            unit=unit.astype(np.intp),
            switch=self.switch[left],
            step=self.step[rows],
            bad=self.bad[rows],
            total=None if self.total is None else self.total[rows],
        )


def make_panel(
    windows: Windows,
    of: str,
    on: str,
    fixed: Sequence[str],
    levels: tuple[float | int | str, ...],
    since: datetime | str | None,
) -> tuple[Panel, list[Check]]:
    """Find out which unit switched when, and keep the windows that can tell what it did.

    Left out are units that were at the second level from the start, what came after a return to the first level, and
    units with fewer than three windows before or after their switch.

    Parameters
    ----------
    windows : Windows
        The windows.
    of : str
        What was rolled out.
    on : str
        An SLO or a numeric outcome.
    fixed : sequence of str
        What is held fixed.
    levels : tuple of level
        Before and after, both seen.
    since : datetime.datetime or str, optional
        The switch asked about; units that switched at another time are compared with until they did.

    Returns
    -------
    panel : Panel
        The rows.
    checks : list of Check
        What was left out; the last failed where nothing can be told.

    Raises
    ------
    CausalrelError
        When nobody switched at the time named.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> panel, _ = make_panel(windows, "model_version", "ttft", ["load"], ("v1", "v2"), None)
    >>> [panel.time(step).isoformat()[:13] for step in panel.dates]
    ['2026-02-11T10', '2026-02-11T20', '2026-02-12T09', '2026-02-12T13']
    """
    columns, _ = rows_of(windows, [of, *fixed, on])
    keep = np.isin(columns[of], np.array(levels))
    columns = {name: column[keep] for name, column in columns.items()}
    slo = on in {item.name for item in windows.slos}
    units, unit = np.unique(columns["unit"], return_inverse=True)
    after = columns[of] == levels[1]
    switch, end = _switches(columns["step"], unit, after, len(units))
    panel = Panel(
        columns={name: columns[name] for name in fixed if len(np.unique(columns[name])) > 1},
        units=tuple(str(one) for one in units),
        unit=unit.astype(np.intp),
        step=columns["step"],
        switch=switch,
        bad=columns[f"{on}.bad"] if slo else columns[on],
        total=columns[f"{on}.total"] if slo else None,
        width=windows.width,
    )
    panel, checks = _told(panel, end)
    if since is not None and (checks[-1].passed if checks else True):
        panel = _at(panel, windows, since)
    return panel, checks


def _switches(
    step: NDArray[np.int64], unit: NDArray[np.intp], after: NDArray[np.bool_], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each unit's first window at the second level, and its first back at the first one after that."""
    switch, end = np.full(count, NEVER), np.full(count, NEVER)
    np.minimum.at(switch, unit[after], step[after])
    back = ~after & (step > switch[unit])
    np.minimum.at(end, unit[back], step[back])
    return switch, end


def _told(panel: Panel, end: NDArray[np.int64]) -> tuple[Panel, list[Check]]:
    """Leave out what cannot be compared, and say so."""
    returned = np.flatnonzero(end != NEVER)
    panel = panel.among(panel.step < end[panel.unit])
    count = len(panel.units)
    before = np.bincount(panel.unit[~panel.treated], minlength=count)
    switched = (panel.switch != NEVER) & (before > 0)
    after = np.bincount(panel.unit[panel.treated], minlength=count)
    short = (panel.switch != NEVER) & ((before < FEWEST_WINDOWS) | (after < FEWEST_WINDOWS))
    says = []
    if len(returned):
        says.append(f"{_names(panel, returned)} went back, and what came after is left out")
    if short.any():
        says.append(
            f"{_names(panel, np.flatnonzero(short))} left out for fewer than {FEWEST_WINDOWS} windows "
            "before or after the switch"
        )
    checks = [Check(name="left out", passed=True, says="; ".join(says))] if says else []
    if not switched.any():
        checks.append(
            Check(
                name="switch",
                passed=False,
                says="no unit switched from the first level to the second; levels stand in the order of time",
            )
        )
    elif not (switched & ~short).any():
        most = (int(before[switched].max()), int(after[switched].max()))
        text = f"no unit has {FEWEST_WINDOWS} windows before and after its switch (at most {most[0]} and {most[1]})"
        checks.append(Check(name="switch", passed=False, says=text))
    return panel.among(~short[panel.unit]), checks


def _names(panel: Panel, which: NDArray[np.intp]) -> str:
    names = [panel.units[i] for i in which]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _at(panel: Panel, windows: Windows, since: datetime | str) -> Panel:
    """Keep one switch; other units are compared with until their own."""
    at = parse_time(since, "since")
    start, stop = windows.span
    if not start <= at < stop:
        raise errors.bad_question(
            f"effect: {display.when(at)} lies outside the data, which span {display.when(start)} to "
            f"{display.when(stop)}",
            "name a time inside",
        )
    step = int((at - datetime.fromtimestamp(0, tz=UTC)) // panel.width)
    mine = np.isin(panel.switch, (step, step + 1))
    if not mine[panel.unit].any():
        dates = [display.when(panel.time(int(date))) for date in panel.dates if (panel.switch == date).any()]
        raise errors.bad_question(
            f"effect: no unit switched at {display.when(at)}", f"units switched at {', '.join(dates[:8])}"
        )
    alone = replace(panel, switch=np.where(mine, panel.switch, NEVER))
    return alone.among(mine[panel.unit] | ~panel.treated)
