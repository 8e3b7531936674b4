"""Deploys: change events as what was set on unit after unit, and which of them lies between two windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from causalrel import display
from causalrel.changes import changes_of, together
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploy:
    """One value set on one unit, or on one after the other before any was set to another.

    Parameters
    ----------
    name : str
        What was set and when it began.
    times : mapping of str to (mapping of str to datetime)
        When each unit changed, by variable: several variables where nobody can tell their changes apart.

    Examples
    --------
    >>> from datetime import UTC
    >>> noon = datetime(2026, 2, 15, 12, tzinfo=UTC)
    >>> Deploy(name="x 4 to 8", times={"x": {"a": noon}}).units
    ('a',)
    """

    name: str
    times: Mapping[str, Mapping[str, datetime]]

    @property
    def units(self) -> tuple[str, ...]:
        """Units that it reached, sorted."""
        return tuple(sorted({unit for reached in self.times.values() for unit in reached}))

    @property
    def span(self) -> tuple[datetime, datetime]:
        """When the first unit changed, and the last."""
        times = [time for reached in self.times.values() for time in reached.values()]
        return min(times), max(times)


def deploys_of(windows: Windows) -> list[Deploy]:
    """Return the change events of windows, each rollout as one, in order of time.

    Changes of one variable to one value are one deploy until a unit is set to another. Deploys of variables that
    changed only ever together, within the width of a window, are one.

    Parameters
    ----------
    windows : Windows
        The windows.

    Returns
    -------
    list of Deploy
        Empty where the windows carry no changes; a first value that replaced none is no change.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("cache-collapse"), cr.load_slos("llm-chat"), every="30m", by="node")
    >>> [deploy.name for deploy in deploys_of(windows)]
    ['model_version v1 to v2 at 2026-06-17 02:00', 'prompt_template plain to dated at 2026-06-18 10:00']
    """
    if windows.changes is None or windows.changes.is_empty():
        return []
    events = changes_of(windows.changes, windows.by).drop_nulls("before")
    units = pl.DataFrame({"unit": windows.units})
    shared = events.filter(pl.col("unit").is_null()).drop("unit").join(units, how="cross").select(events.columns)
    events = pl.concat([events.join(units, on="unit", how="semi"), shared]).sort("time", "variable", "unit")
    made: dict[str, list[_Rollout]] = {}
    for unit, time, variable, before, after in events.rows():
        mine = made.setdefault(variable, [])
        if not mine or mine[-1].after != after:
            mine.append(_Rollout(variable, after, set(), {}))
        mine[-1].times.setdefault(unit, time)
        mine[-1].befores.add(before)
    sets = together(windows.changes, windows.by, windows.width)
    joined = [_joined([made.pop(name) for name in names if name in made], windows) for names in sets]
    single = [[rollout] for rollouts in made.values() for rollout in rollouts]
    return sorted(
        (_deploy(rollouts) for rollouts in [*single, *(one for many in joined for one in many)]),
        key=lambda deploy: (deploy.span, deploy.name),
    )


@dataclass(frozen=True, slots=True)
class _Rollout:
    """Changes of one variable to one value."""

    variable: str
    after: str
    befores: set[str]
    times: dict[str, datetime]

    @property
    def says(self) -> str:
        """Name what was set."""
        before = f" {next(iter(self.befores))}" if len(self.befores) == 1 else ""
        return f"{self.variable}{before} to {self.after}"


def _joined(several: Sequence[list[_Rollout]], windows: Windows) -> list[list[_Rollout]]:
    """Put rollouts of variables beside each other where they reached a unit together."""
    if not several:
        return []
    made = [[rollout] for rollout in several[0]]
    for rollouts in several[1:]:
        for rollout in rollouts:
            for group in made:
                apart = (
                    abs(group[0].times[unit] - time) for unit, time in rollout.times.items() if unit in group[0].times
                )
                if any(one <= windows.width for one in apart):
                    group.append(rollout)
                    break
            else:
                made.append([rollout])
    return made


def _deploy(rollouts: Sequence[_Rollout]) -> Deploy:
    start = min(time for rollout in rollouts for time in rollout.times.values())
    times: dict[str, dict[str, datetime]] = {}
    for rollout in rollouts:
        times.setdefault(rollout.variable, {}).update(rollout.times)
    return Deploy(name=f"{' and '.join(rollout.says for rollout in rollouts)} at {display.when(start)}", times=times)


def between(
    deploys: Sequence[Deploy],
    variable: str,
    spans: tuple[Rows, Rows],
    pairs: tuple[NDArray[np.intp], NDArray[np.intp]],
    width: int,
) -> NDArray[np.intp]:
    """Return which deploy of a variable lies between the two rows of each pair.

    It is the one in force at the later row, where it came after the earlier row; a row stands for the middle of its
    window.

    Parameters
    ----------
    deploys : sequence of Deploy
        The deploys.
    variable : str
        The variable.
    spans : tuple of mapping
        Rows of two spans, with ``unit`` and ``step``.
    pairs : tuple of ndarray of intp, shape (n,)
        Which row of the first span is compared with which row of the second.
    width : int
        Microseconds of a window.

    Returns
    -------
    ndarray of intp, shape (n,)
        Places in ``deploys``, -1 where none lies between.

    Examples
    --------
    >>> from datetime import UTC
    >>> noon = datetime(2026, 2, 15, 12, tzinfo=UTC)
    >>> deploys = [Deploy(name="x 4 to 8", times={"x": {"a": noon}})]
    >>> hour = 3_600_000_000
    >>> steps = np.array([9, 12, 13]) + int(noon.timestamp()) // 3600 - 12
    >>> rows = {"unit": np.array(["a"] * 3), "step": steps}
    >>> between(deploys, "x", (rows, rows), (np.array([0, 1, 2]), np.array([0, 0, 1])), hour).tolist()
    [-1, 0, -1]
    """
    units = [rows["unit"][place] for rows, place in zip(spans, pairs, strict=True)]
    middles = [(rows["step"] * width + width // 2)[place] for rows, place in zip(spans, pairs, strict=True)]
    later = middles[0] >= middles[1]
    return _last_of(deploys, variable, np.where(later, *units), np.minimum(*middles), np.maximum(*middles))


def _last_of(
    deploys: Sequence[Deploy],
    variable: str,
    units: NDArray[Any],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
) -> NDArray[np.intp]:
    """Return the last deploy of a variable that reached each unit after one time and no later than another, or -1."""
    made = np.full(len(units), -1, dtype=np.intp)
    for unit in np.unique(units):
        events = sorted(
            (int(deploy.times[variable][unit].timestamp() * 1e6), place)
            for place, deploy in enumerate(deploys)
            if unit in deploy.times.get(variable, {})
        )
        at, places = np.array(events, dtype=np.int64).reshape(-1, 2).T
        mine = units == unit
        last = np.searchsorted(at, end[mine], side="right")
        made[mine] = np.where(last > np.searchsorted(at, start[mine], side="right"), np.append(-1, places)[last], -1)
    return made
