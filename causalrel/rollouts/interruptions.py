"""Interrupted series: a change of level at a known date, over a trend, the hours of the day and what is held fixed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from causalrel.mechanisms.noises import nearest_chain
from causalrel.rollouts.contrasts import Found, Rows, averages, hold, pretend, tell_pretended

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.estimates import Check
    from causalrel.rollouts.panels import Panel

_DAY, _WEEK = 86_400.0, 604_800.0
#: Cycles that a series spans before they are fitted, and windows that a cycle has.
_FEWEST_CYCLES, _FEWEST_WINDOWS = 2, 4


def interrupt(panel: Panel, draws: int, rng: np.random.Generator) -> Found:
    """Estimate the change of level of units that switched, against their own past.

    Segmented regression (Wagner et al. 2002, doi:10.1046/j.1365-2710.2002.00430.x) whose noise remembers. Units that
    never switched, where there are any, must show nothing at the same date.

    Parameters
    ----------
    panel : Panel
        The windows.
    draws : int
        Number of draws.
    rng : numpy.random.Generator
        Generator handed down.

    Returns
    -------
    Found
        The mean outcome after the switch, and the checks.

    Examples
    --------
    >>> from datetime import timedelta
    >>> from causalrel.rollouts.panels import Panel
    >>> rng = np.random.default_rng(0)
    >>> panel = Panel(
    ...     columns={},
    ...     units=("a",),
    ...     unit=np.zeros(240, dtype=np.intp),
    ...     step=np.arange(240),
    ...     switch=np.array([140]),
    ...     bad=rng.normal(size=240) + 3 * (np.arange(240) >= 140),
    ...     total=None,
    ...     width=timedelta(hours=1),
    ... )
    >>> _, without, behind = interrupt(panel, 500, rng).parts[0]
    >>> bool(abs((behind - without).mean() - 3) < 1)
    True
    """
    mine = np.isin(panel.unit, panel.never, invert=True)
    switched = panel.among(mine)
    rows = _rows(switched, switched.treated)
    starts = switched.switch[switched.unit]
    first, last = int(switched.step.min()), int(switched.step.max())
    watched = np.column_stack([switched.step >= (first + starts) / 2, switched.step >= (last + 1 + starts) / 2])
    fitted = rows.fit(shared=_shared(rows), watched=watched.astype(np.float64))
    found = averages(rows, fitted, [switched.treated], draws, rng)[0]
    checks = [
        tell_pretended(
            "placebo in time",
            "a step half way before the switch",
            pretend(fitted, 0),
            "the series moves without a switch",
        ),
        tell_pretended(
            "lasting",
            "a further step half way after the switch",
            pretend(fitted, 1),
            "the change grew, faded, or was not the only one",
        ),
    ]
    if not mine.all():
        checks.append(_elsewhere(panel.among(~mine), int(np.median(switched.switch))))
    return Found(parts=(("all", *found),), checks=tuple(checks))


def _elsewhere(panel: Panel, switch: int) -> Check:
    """Ask whether units that never switched show a step at the same date."""
    rows = _rows(panel, panel.step >= switch)
    alone = replace(rows, moved=rows.moved[:, :0])
    fitted = alone.fit(shared=_shared(alone), watched=rows.moved)
    what = f"the same date in {len(panel.units)} {'unit' if len(panel.units) == 1 else 'units'} that never switched"
    return tell_pretended("placebo in space", what, pretend(fitted, 0), "something else happened then")


def _rows(panel: Panel, after: NDArray[np.bool_]) -> Rows:
    """Put together the step, the trend, the hours of day and week, units, and what is held fixed."""
    trend = (panel.step - panel.step.mean()) / max(float(np.ptp(panel.step)), 1.0)
    units = (panel.unit[:, None] == np.arange(1, len(panel.units))).astype(np.float64)
    held = [np.ones((len(trend), 1)), trend[:, None], *_cycles(panel), units]
    groups = [-1] * sum(part.shape[1] for part in held)
    more, shrunk = hold(panel)
    return Rows(
        moved=after[:, None].astype(np.float64),
        held=np.column_stack([*held, more]),
        groups=np.append(groups, shrunk).astype(np.int64),
        unit=panel.unit,
        step=panel.step,
        bad=panel.bad,
        total=panel.total,
        weight=np.ones(len(trend)) if panel.total is None else panel.total,
    )


def _cycles(panel: Panel) -> list[NDArray[np.float64]]:
    """Return two harmonics of the day and one of the week, where windows tell them."""
    width = panel.width.total_seconds()
    span = float(np.ptp(panel.step) + 1) * width
    made = []
    for period in (_DAY, _DAY / 2, _WEEK):
        if span >= _FEWEST_CYCLES * max(period, _DAY) and period >= _FEWEST_WINDOWS * width:
            angle = 2 * np.pi * panel.step * width / period
            made.append(np.column_stack([np.sin(angle), np.cos(angle)]))
    return made


def _shared(rows: Rows) -> bool:
    """Tell whether units seem to share what they remember."""
    y, scale = rows.bad, np.ones(len(rows.bad))
    if rows.total is not None:
        rate = min(max(y.sum() / rows.total.sum(), 1e-9), 1 - 1e-9)
        scale = np.sqrt(rows.total / (rate * (1 - rate)))
        y = (y / rows.total - rate) * scale
    x = rows.x * scale[:, None]
    left = y - x @ np.linalg.lstsq(x, y, rcond=1e-9)[0]
    return bool((nearest_chain(left, rows.step, rows.unit.astype(str)).gap == 0).any()) if left.any() else True
