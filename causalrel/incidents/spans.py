"""Spans: the incident and the normal period that it is held against."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from causalrel import display, errors
from causalrel.attribution import Span, named_span
from causalrel.windows import Windows

if TYPE_CHECKING:
    import polars as pl

_FEWEST = 3

Period = tuple[datetime, datetime]


def both_spans(windows: Windows, during: Span, normal: Span | Windows | None) -> tuple[Period, Windows, Period]:
    """Read the span of the incident and that of the normal period.

    Parameters
    ----------
    windows : Windows
        The windows.
    during : tuple of datetime or str
        The incident.
    normal : tuple of datetime or str, Windows or None
        What it is held against; the windows before the incident where None, else those after it.

    Returns
    -------
    span : tuple of datetime
        The incident.
    where : Windows
        The windows that hold the normal period.
    usual : tuple of datetime
        The normal period.

    Raises
    ------
    CausalrelError
        When the spans overlap, lie outside the data or hold fewer than three windows.
    """
    span = named_span(windows, during, "during")
    where, usual = windows, _rest(windows, span)
    if isinstance(normal, Windows):
        where, usual = normal, normal.span
    elif normal is not None:
        usual = named_span(windows, normal, "normal")
    if where is windows and span[0] < usual[1] and usual[0] < span[1]:
        raise errors.bad_question("blame: the spans during and normal overlap", "name two spans apart")
    for name, held, one in (("during", windows, span), ("normal", where, usual)):
        count = _measured(held, one)["time"].n_unique()
        if count < _FEWEST:
            raise errors.bad_question(
                f"blame: the span {name}, {display.when(one[0])} to {display.when(one[1])}, holds {count} windows with "
                f"data and {_FEWEST} are the least",
                "name a longer span or narrower windows",
            )
    return span, where, usual


def days_apart(one: Period, other: Period) -> float:
    """Return the days between two spans that do not overlap.

    Parameters
    ----------
    one, other : tuple of datetime
        The spans.

    Returns
    -------
    float
        Days from the end of the earlier to the start of the later.

    Examples
    --------
    >>> from datetime import UTC
    >>> day = [datetime(2026, 2, number, tzinfo=UTC) for number in (1, 2, 5, 6)]
    >>> days_apart((day[0], day[1]), (day[2], day[3]))
    3.0
    """
    return max((max(one[0], other[0]) - min(one[1], other[1])).total_seconds() / 86_400, 0.0)


def _rest(windows: Windows, span: Period) -> Period:
    first, last = windows.span
    return (first, span[0]) if span[0] - first >= last - span[1] else (span[1], last)


def _measured(windows: Windows, span: Period) -> pl.DataFrame:
    import polars as pl

    names = [name for name in windows.table.columns if name not in ("time", "unit")]
    return windows.during(*span).filter(pl.any_horizontal(pl.col(name).is_not_null() for name in names))
