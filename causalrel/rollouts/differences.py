"""Difference in differences: units that switched against units that had not yet, at the same time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from causalrel import display
from causalrel.estimates import Check
from causalrel.rollouts.contrasts import Found, Rows, averages, hold, pretend, stage_edges, tell_pretended
from causalrel.rollouts.panels import FEWEST_EVENTS, NEVER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from causalrel.rollouts.panels import Panel

#: Periods that windows are summed to, at most.
_MOST_PERIODS = 60


def difference(panel: Panel, draws: int, rng: np.random.Generator) -> Found | Check:
    """Estimate what a rollout did to the units it reached, from units that it had not reached at the same time.

    Units and periods have effects of their own, and so has each date of switching at each stage since: no unit that
    switched is ever a control for another (Callaway and Sant'Anna 2021, doi:10.1016/j.jeconom.2020.12.001; Borusyak,
    Jaravel and Spiess 2024, doi:10.1093/restud/rdae007). Windows are summed to periods; noise remembers along each
    unit.

    Parameters
    ----------
    panel : Panel
        The windows; some unit had not switched in some window after a switch.
    draws : int
        Number of draws.
    rng : numpy.random.Generator
        Generator handed down.

    Returns
    -------
    Found or Check
        The mean outcome of what was reached, by stage since the switch and by date, and the checks; the failed check
        where no period can be compared.

    Examples
    --------
    >>> from datetime import timedelta
    >>> from causalrel.rollouts.panels import NEVER, Panel
    >>> rng = np.random.default_rng(0)
    >>> unit, step = np.repeat(np.arange(6), 80), np.tile(np.arange(80), 6)
    >>> switch = np.array([30, 30, 50, NEVER, NEVER, NEVER])
    >>> panel = Panel(
    ...     columns={},
    ...     units=tuple("abcdef"),
    ...     unit=unit,
    ...     step=step,
    ...     switch=switch,
    ...     bad=rng.normal(size=480) + step / 20 + unit + 2 * (step >= switch[unit]),
    ...     total=None,
    ...     width=timedelta(hours=1),
    ... )
    >>> _, without, behind = difference(panel, 500, rng).parts[0]
    >>> bool(abs((behind - without).mean() - 2) < 0.5)
    True
    """
    cells, counts, length = sum_cells(panel)
    treated = cells.treated
    if not treated.any():
        return Check(name="design", passed=False, says="no period has units on both sides of the switch")
    stage, edges = _stages(cells)
    kinds = np.where(treated, np.searchsorted(cells.dates, cells.switch[cells.unit]) * len(edges) + stage, -1)
    units = (cells.unit[:, None] == np.arange(1, len(cells.units))).astype(np.float64)
    periods = (cells.step[:, None] == np.unique(cells.step)[1:]).astype(np.float64)
    held = [np.ones((len(kinds), 1)), periods, units]
    more, shrunk = hold(cells)
    rows = Rows(
        moved=(kinds[:, None] == np.unique(kinds[treated])).astype(np.float64),
        held=np.column_stack([*held, more]),
        groups=np.append(np.full(sum(part.shape[1] for part in held), -1), shrunk).astype(np.int64),
        unit=cells.unit,
        step=cells.step,
        bad=cells.bad,
        total=cells.total,
        weight=counts if cells.total is None else cells.total,
    )
    never = cells.never[:20]
    fitted = rows.fit(shared=False, watched=_placebos(cells, never))
    named = [("all", treated), *_named(cells, stage, edges, length, panel)]
    found = averages(rows, fitted, [part for _, part in named], draws, rng)
    parts = tuple((name, *pair) for (name, _), pair in zip(named, found, strict=True))
    chances = [pretend(fitted, place) for place in range(len(never) + 2)]
    return Found(parts=parts, checks=tuple(_checks(cells, never, chances)))


def sum_cells(panel: Panel) -> tuple[Panel, NDArray[np.float64], int]:
    """Sum windows to periods of each unit, and leave out periods in which all units had switched.

    Of a period in which a unit switched, the longer side is kept.

    Parameters
    ----------
    panel : Panel
        The windows.

    Returns
    -------
    cells : Panel
        Periods for windows: ``step`` and ``switch`` count periods.
    counts : ndarray of float64, shape (n,)
        Windows of each.
    length : int
        Windows a period.

    Examples
    --------
    >>> from datetime import timedelta
    >>> from causalrel.rollouts.panels import NEVER, Panel
    >>> panel = Panel(
    ...     columns={},
    ...     units=("a", "b"),
    ...     unit=np.repeat([0, 1], 120),
    ...     step=np.tile(np.arange(120), 2),
    ...     switch=np.array([61, NEVER]),
    ...     bad=np.ones(240),
    ...     total=None,
    ...     width=timedelta(hours=1),
    ... )
    >>> cells, counts, length = sum_cells(panel)
    >>> length, cells.switch.tolist()[0], len(counts)
    (5, 12, 48)
    """
    first = int(panel.step.min())
    most = int(np.clip(panel.rarer / FEWEST_EVENTS, 6, _MOST_PERIODS))
    length = int(np.ceil((int(panel.step.max()) - first + 1) / most))
    period = (panel.step - first) // length
    after = panel.treated
    keys = (panel.unit.astype(np.int64) * (period.max() + 1) + period) * 2 + after
    kinds, start, cell, size = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    counts = size.astype(np.float64)
    keep = np.ones(len(kinds), dtype=bool)
    split = np.flatnonzero(kinds[1:] // 2 == kinds[:-1] // 2)
    keep[np.where(counts[split] < counts[split + 1], split, split + 1)] = False
    made, reached = period[start], after[start]
    compared = np.bincount(made[keep & ~reached], minlength=int(made.max()) + 1) > 0
    keep &= compared[made]
    switch = np.full(len(panel.units), NEVER)
    np.minimum.at(switch, panel.unit[start][keep & reached], made[keep & reached])
    sums = np.bincount(cell, weights=panel.bad).astype(np.float64)
    cells = replace(
        panel,
        columns={name: _mean(column, start, cell, counts) for name, column in panel.columns.items()},
        unit=panel.unit[start],
        step=made.astype(np.int64),
        switch=switch,
        bad=sums if panel.total is not None else sums / counts,
        total=None if panel.total is None else np.bincount(cell, weights=panel.total).astype(np.float64),
    )
    return cells.among(keep), counts[keep], length


def _mean(
    column: NDArray[Any], start: NDArray[np.intp], cell: NDArray[np.intp], counts: NDArray[np.float64]
) -> NDArray[Any]:
    if np.issubdtype(column.dtype, np.number):
        return np.asarray(np.bincount(cell, weights=column) / counts)
    return column[start]


def _stages(cells: Panel) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cut the time since a switch into stages, as many as the events reached allow."""
    treated = cells.treated
    since = np.where(treated, cells.step - np.where(treated, cells.switch[cells.unit], 0), 0)
    edges = stage_edges(int(since.max()) + 1, cells.among(treated).rarer / (FEWEST_EVENTS * len(cells.dates)))
    return np.searchsorted(edges, since, side="right").astype(np.int64) - 1, edges


def _named(
    cells: Panel, stage: NDArray[np.int64], edges: NDArray[np.int64], length: int, panel: Panel
) -> list[tuple[str, NDArray[np.bool_]]]:
    """Name the windows at each stage since the switch, and those of each date."""
    treated, made = cells.treated, []
    for place in range(len(edges) - 1):
        mine = treated & (stage == place)
        begin, end = (int(edge) * length * cells.width.total_seconds() / 3600 for edge in edges[place : place + 2])
        if mine.any() and len(edges) > 2:
            made.append((f"{begin:.3g} to {end:.3g} h since the switch", mine))
    known = dict(zip(panel.units, panel.switch, strict=True))
    for date in cells.dates if len(cells.dates) > 1 else ():
        mine = treated & (cells.switch[cells.unit] == date)
        units = [cells.units[i] for i in np.unique(cells.unit[mine])]
        made.append((f"switched at {display.when(panel.time(min(int(known[one]) for one in units)))}", mine))
    return made


def _placebos(cells: Panel, never: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return an earlier step and a trend of units that did switch, and a pretended switch of each that never did."""
    first = int(cells.step.min())
    switched = cells.switch[cells.unit] != NEVER
    half = (first + np.where(switched, cells.switch[cells.unit], 0)) / 2
    early = switched & (cells.step >= half)
    until = np.where(switched, np.minimum(cells.step - np.where(switched, cells.switch[cells.unit], 0), 0), 0)
    date = int(np.median(cells.switch[cells.switch != NEVER]))
    others = (cells.unit[:, None] == never) & (cells.step >= date)[:, None]
    return np.column_stack([early, until, others]).astype(np.float64)


def _checks(cells: Panel, never: NDArray[np.intp], chances: list[float]) -> Iterator[Check]:
    meaning = "units that switched moved apart from the others before they did"
    chance = min(1.0, 2 * min(chances[:2]))
    yield tell_pretended("placebo in time", "a step half way, or a trend, before the switch", chance, meaning)
    if len(never) > 1:
        place = int(np.argmin(chances[2:]))
        chance = min(1.0, chances[2 + place] * len(never))
        most = cells.units[never[place]]
        what = f"a pretended switch of any of {len(never)} units that had not switched (most of {most})"
        yield tell_pretended("placebo in space", what, chance, "units move apart without a switch")
