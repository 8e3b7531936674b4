"""Units: mean outcomes at each level, told as events, burn and budget hours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from causalrel import display
from causalrel.effects.columns import Level

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.windows import Windows


def in_budget_units(
    windows: Windows, of: str, on: str, levels: tuple[Level, ...], shares: Mapping[Level, NDArray[np.float64]]
) -> dict[str, Any]:
    """Tell differences of mean outcomes in budget units.

    Parameters
    ----------
    windows : Windows
        The windows.
    of, on : str
        The treatment, and an SLO or a numeric outcome.
    levels : tuple of level
        The baseline first.
    shares : mapping of level to ndarray of float64, shape (draws,)
        Mean outcome at each level.

    Returns
    -------
    dict
        ``draws``, ``terms`` and ``unit`` of an :class:`~causalrel.estimates.Estimate`.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> shares = {4.0: np.array([0.01]), 8.0: np.array([0.03])}
    >>> in_budget_units(windows, "batch_size", "ttft", (4.0, 8.0), shares)["terms"]["quantity"][0]
    'burn'
    """
    base = shares[levels[0]]
    rows: list[tuple[str, str, Level]] = []
    columns: list[NDArray[np.float64]] = []

    def add(quantity: str, unit: str, level: Level, values: NDArray[np.float64]) -> None:
        rows.append((quantity, unit, level))
        columns.append(values)

    if on in {slo.name for slo in windows.slos}:
        slo = windows.slo(on)
        start, end = windows.span
        span = (end - start).total_seconds()
        hours = slo.period.total_seconds() / 3600
        events = float(windows.table[f"{on}.total"].sum()) / span * 3600 * hours
        for level in levels[1:]:
            change = shares[level] - base
            add("burn", "1", level, change / slo.allowed)
            add("bad_share", "1", level, change)
            if not windows.timeless:
                add("events", f"events a {slo.period.days} d period", level, change * events)
            add("budget_hours", f"h a {slo.period.days} d period", level, change / slo.allowed * hours)
        for level in levels:
            add("bad_share_at", "1", level, shares[level])
        unit = "1"
    else:
        unit = windows.variable(on).unit
        for level in levels[1:]:
            add("value", unit, level, shares[level] - base)
        for level in levels:
            add("value_at", unit, level, shares[level])
    terms = pl.DataFrame(
        {
            "slo": [on] * len(rows),
            "quantity": [row[0] for row in rows],
            "unit": [row[1] for row in rows],
            "of": [of] * len(rows),
            "baseline": [display.level(levels[0])] * len(rows),
            "level": [display.level(row[2]) for row in rows],
        }
    )
    return {"draws": np.column_stack(columns), "terms": terms, "unit": unit}
