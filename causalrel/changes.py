"""Changes: which value was in force when, and which changes came together so that nobody can tell them apart."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby

import polars as pl

from causalrel import display

_MOST_SAID = 6
_EVENTS = ("unit", "time", "variable")


def changes_of(changes: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Return change events by the units of windows.

    Parameters
    ----------
    changes : polars.DataFrame
        ``time``, ``variable``, ``after``; ``before`` and the unit keys where they are known.
    by : sequence of str
        Columns that make a unit; empty where there is one unit, ``all``.

    Returns
    -------
    polars.DataFrame
        ``unit`` (null where a key is absent or empty: the change is of every unit), ``time``, ``variable``, ``before``,
        ``after``, sorted by time; what was neither a new value nor has a time left out. Where ``before`` is not known
        it is the value after the change before.

    Examples
    --------
    >>> rows = pl.DataFrame({"time": [1, 2], "node": ["a", None], "variable": "x", "after": ["1", "2"]})
    >>> changes_of(rows, ["node"]).select("unit", "after").rows()
    [('a', '1'), (None, '2')]
    """
    known = set(changes.columns)
    keys = [pl.col(name).cast(pl.String) if name in known else pl.lit(None, pl.String) for name in by]
    unit = pl.concat_str(keys, separator="/") if keys else pl.lit("all")
    earlier = pl.col("after").shift().over("unit", "variable")
    before = pl.coalesce("before", earlier) if "before" in known else earlier
    return (
        changes.with_columns(unit.alias("unit"))
        .drop_nulls(["time", "variable"])
        .sort("time", maintain_order=True)
        .with_columns(before.cast(pl.String).alias("before"), pl.col("after").cast(pl.String))
        .filter(pl.col("before").ne_missing(pl.col("after")))
        .select(*_EVENTS, "before", "after")
    )


def in_force(table: pl.DataFrame, changes: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Return the value of each changed variable that was in force when each window began.

    Parameters
    ----------
    table : polars.DataFrame
        ``unit`` and ``time`` (start) of windows, such as ``Windows.table``.
    changes : polars.DataFrame
        Change events, such as ``Windows.changes``.
    by : sequence of str
        Columns that make a unit, as the windows were asked for.

    Returns
    -------
    polars.DataFrame
        ``unit`` and ``time`` as in the table, then one column of text a variable: what the last change at or before the
        time set it to; before the first change, what that one found; null where neither is known.

    Examples
    --------
    >>> table = pl.DataFrame({"unit": "a", "time": [0, 5, 10]})
    >>> rows = pl.DataFrame({"time": [3, 10], "node": "a", "variable": "x", "before": ["0", "1"], "after": ["1", "2"]})
    >>> in_force(table, rows, ["node"])["x"].to_list()
    ['0', '1', '2']
    """
    asked = table.select("unit", "time").with_row_index("#row").sort("time", maintain_order=True)
    units = asked.select("unit").unique()
    events = changes_of(changes, by)
    shared = events.filter(pl.col("unit").is_null()).drop("unit").join(units, how="cross").select(events.columns)
    events = pl.concat([events.drop_nulls("unit"), shared]).sort("time", maintain_order=True)
    events = events.with_columns(pl.col("time").cast(asked.schema["time"]))
    made = asked
    for name in sorted(events["variable"].unique()):
        mine = events.filter(variable=name)
        last = mine.unique(["unit", "time"], keep="last", maintain_order=True)
        first = mine.unique("unit", keep="first", maintain_order=True).select("unit", pl.col("before").alias("#before"))
        after = last.select("unit", "time", pl.col("after").alias("#after"), pl.lit(True).alias("#changed"))
        made = (
            made.join_asof(after, on="time", by="unit", check_sortedness=False)
            .join(first, on="unit", how="left", maintain_order="left")
            .with_columns(pl.when("#changed").then("#after").otherwise("#before").alias(name))
            .drop("#after", "#before", "#changed")
        )
    return made.sort("#row").drop("#row")


def tell_inseparable(changes: pl.DataFrame, by: Sequence[str], width: timedelta) -> list[str]:
    """Say which variables changed only ever together, so that their effects cannot be told apart.

    Two changes of a unit come together where no more than the width of a window lies between them. Variables are told
    where each change of one came together with a change of the other, whatever the unit; one change alone, in any unit
    and at any time, is enough to separate them. A first value that replaced none is a start and no change.

    Parameters
    ----------
    changes : polars.DataFrame
        Change events.
    by : sequence of str
        Columns that make a unit.
    width : datetime.timedelta
        Width of a window.

    Returns
    -------
    list of str
        One sentence a set of variables, six at most.

    Examples
    --------
    >>> rows = pl.DataFrame({"time": [datetime(2026, 2, 11, 9)] * 2, "variable": ["x", "y"], "after": ["1", "2"]})
    >>> tell_inseparable(rows, [], timedelta(minutes=5))
    ['x and y changed together at 2026-02-11 09:00 on all: their effects cannot be told apart']
    """
    rows = _changed(changes, by)
    groups = _together(rows, width)
    said = []
    for names in groups[:_MOST_SAID]:
        seen = [(time, unit) for unit, time, name in rows if name == names[0]]
        time, unit = min(seen, key=lambda one: (one[0], one[1] is None, one[1] or ""))
        more = f" and {len(seen) - 1} more time{'s' if len(seen) > 2 else ''}" if len(seen) > 1 else ""
        listed = f"{', '.join(names[:-1])} and {names[-1]}"
        where = f"{display.when(time)} on {'every unit' if unit is None else unit}"
        said.append(f"{listed} changed together at {where}{more}: their effects cannot be told apart")
    return said


def together(changes: pl.DataFrame, by: Sequence[str], width: timedelta) -> list[list[str]]:
    """Return the sets of variables that changed only ever together, as :func:`tell_inseparable` says them.

    Parameters
    ----------
    changes : polars.DataFrame
        Change events.
    by : sequence of str
        Columns that make a unit.
    width : datetime.timedelta
        Width of a window.

    Returns
    -------
    list of list of str
        Names, sorted.

    Examples
    --------
    >>> rows = pl.DataFrame({"time": [datetime(2026, 2, 11, 9)] * 2, "variable": ["x", "y"], "after": ["1", "2"]})
    >>> together(rows, [], timedelta(minutes=5))
    [['x', 'y']]
    """
    return _together(_changed(changes, by), width)


def _changed(changes: pl.DataFrame, by: Sequence[str]) -> list[tuple[str | None, datetime, str]]:
    """Return unit, time and variable of each change, those of every unit told of each."""
    events = changes_of(changes, by)
    if "before" in changes.columns:
        events = events.drop_nulls("before")
    units = events["unit"].unique().drop_nulls().sort().to_list()
    shared = events.filter(pl.col("unit").is_null()).select("time", "variable")
    spread = [shared.select(pl.lit(unit, pl.String).alias("unit"), "time", "variable") for unit in units]
    return pl.concat([events.select(_EVENTS), *spread]).unique().sort(_EVENTS, nulls_last=True).rows()


def _together(rows: Sequence[tuple[str | None, datetime, str]], width: timedelta) -> list[list[str]]:
    """Return sets of variables that always changed together; events are sorted by unit and time."""
    beside: dict[str, set[str]] = {}
    for _, group in groupby(rows, key=lambda row: row[0]):
        mine = list(group)
        low = high = 0
        for _, time, name in mine:
            while time - mine[low][1] > width:
                low += 1
            while high < len(mine) and mine[high][1] - time <= width:
                high += 1
            near = {other for _, _, other in mine[low:high]} - {name}
            beside[name] = beside[name] & near if name in beside else near
    made: list[list[str]] = []
    left = sorted(beside)
    while left:
        group_of = {left[0]} | {name for name in left[1:] if name in beside[left[0]] and left[0] in beside[name]}
        if len(group_of) > 1:
            made.append(sorted(group_of))
        left = [name for name in left if name not in group_of]
    return made
