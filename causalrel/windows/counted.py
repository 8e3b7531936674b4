"""Windows that were counted elsewhere: checked, and brought to a regular grid."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast

import polars as pl

from causalrel import display, errors
from causalrel.slos import SLO
from causalrel.telemetry import collected
from causalrel.telemetry.schema import TIME
from causalrel.telemetry.tables import time_column
from causalrel.variables import ROLES, Kind, Role, Variable, duration_text, parse_duration
from causalrel.windows.rollups import regular_grid

_ASKED_BY = "Windows.from_frame"


def counted_slos(events: Mapping[str, tuple[str, str]], targets: Mapping[str, float]) -> tuple[SLO, ...]:
    """Return SLOs whose events were counted elsewhere.

    Parameters
    ----------
    events : mapping of str to (str, str)
        SLO name to its columns.
    targets : mapping of str to float
        Share of good events promised, 0.99 where not given.

    Returns
    -------
    tuple of SLO
        In the order of ``events``.

    Raises
    ------
    CausalrelError
        When a target is no share or belongs to no SLO.

    Examples
    --------
    >>> counted_slos({"ttft": ("n", "bad")}, {"ttft": 0.95})[0].allowed
    0.05
    """
    for name, target in targets.items():
        if name not in events:
            raise errors.unknown_name(name, "SLO", events)
        if not 0 < target < 1:
            raise errors.bad_question(f"target {target} of '{name}' is not between 0 and 1", "write one such as 0.99")
    return tuple(SLO(name=name, dimension="latency", target=targets.get(name, 0.99)) for name in events)


def regular_table(
    frame: object,
    *,
    time: str | None,
    unit: str | None,
    roles: Mapping[str, Role],
    events: Mapping[str, tuple[str, str]],
    every: str | None,
) -> tuple[pl.DataFrame, timedelta, tuple[Variable, ...], tuple[str, ...]]:
    """Bring counted windows to the columns and the regular grid of ``Windows``.

    Parameters
    ----------
    frame : polars.DataFrame or pandas.DataFrame
        One row a unit and window.
    time, unit, roles, events, every
        As in ``Windows.from_frame``.

    Returns
    -------
    table : polars.DataFrame
        ``time``, ``unit``, event counts, variables.
    width : datetime.timedelta
        Width of a window.
    variables : tuple of Variable
        The variables.
    notes : tuple of str
        What was assumed.

    Raises
    ------
    CausalrelError
        When the frame is not such a table.

    Examples
    --------
    >>> made = pl.DataFrame({"t": ["2026-02-11T09:00Z", "2026-02-11T09:05Z"], "n": [10, 12], "bad": [0, 1]})
    >>> regular_table(made, time="t", unit=None, roles={}, events={"ttft": ("n", "bad")}, every=None)[1]
    datetime.timedelta(seconds=300)
    """
    source = _polars(frame)
    if time is None:
        time, every = "time", "1s"
        numbers = pl.int_range(pl.len(), dtype=pl.Int64) * 1_000_000
        numbers = numbers if unit is None else numbers.over(unit)
        source = source.with_columns(numbers.cast(TIME).alias(time))
    elif not events:
        raise errors.bad_question(f"{_ASKED_BY} was given no events", "name the total and bad columns of each SLO")
    _check_names(source, time, unit, roles, events)
    notes: list[str] = []
    kind = source.schema[time]
    stamp = time_column(source.lazy(), time, kind, "the frame", notes)
    key = pl.lit("all") if unit is None else pl.col(unit).cast(pl.String)
    made: list[pl.Expr] = []
    for name, (total, bad) in events.items():
        made += [_count(source, total, f"{name}.total"), _count(source, bad, f"{name}.bad")]
    variables = tuple(Variable(name=n, role=r, kind=_kind(source.schema[n], r)) for n, r in roles.items())
    made += [_value(source.schema[v.name], v) for v in variables]
    table = collected(source.lazy().select(stamp.alias("time"), key.alias("unit"), *made), "the frame")
    _check_rows(table, events)
    width = _width(table, every)
    return _gridded(table, width), width, variables, tuple(notes)


def _polars(frame: object) -> pl.DataFrame:
    if isinstance(frame, pl.LazyFrame):
        made = collected(frame, "the frame")
    elif isinstance(frame, pl.DataFrame):
        made = frame
    elif type(frame).__module__.partition(".")[0] == "pandas":
        taken: Any = frame
        made = pl.DataFrame(pl.from_pandas(taken))
    else:
        raise errors.bad_question(f"{_ASKED_BY} was given a {type(frame).__name__}", "give a polars or pandas frame")
    if made.height == 0:
        raise errors.empty_data("the frame")
    return made


def _check_names(
    frame: pl.DataFrame,
    time: str,
    unit: str | None,
    roles: Mapping[str, Role],
    events: Mapping[str, tuple[str, str]],
) -> None:
    wanted = [time, *([unit] if unit is not None else []), *roles, *(name for pair in events.values() for name in pair)]
    for name in wanted:
        if name not in frame.columns:
            raise errors.unknown_column(name, _ASKED_BY, frame.columns)
    for name, role in roles.items():
        if role not in ROLES:
            raise errors.unknown_name(role, f"role for '{name}'", ROLES)
    taken = {"time", "unit", time, *([unit] if unit else []), *(n for pair in events.values() for n in pair)}
    clash = sorted(taken & set(roles))
    if clash:
        raise errors.bad_question(
            f"column '{clash[0]}' cannot be a variable: it is the time, the unit or an event count", "rename or drop it"
        )


def _count(frame: pl.DataFrame, column: str, name: str) -> pl.Expr:
    kind, values = frame.schema[column], frame[column]
    if not (kind.is_integer() or kind.is_float() or kind == pl.Null):
        raise errors.bad_data(f"column '{column}' holds {kind}, not counts", "give whole numbers of events")
    if kind.is_float():
        values = values.fill_nan(None)
        if not (values.is_finite() & (values == values.round())).fill_null(True).all():
            raise errors.bad_data(f"column '{column}' holds fractions", "give whole numbers of events")
    if (values.drop_nulls() < 0).any():
        raise errors.bad_data(f"column '{column}' holds negative counts", "give whole numbers of events")
    expr = pl.col(column).fill_nan(None) if kind.is_float() else pl.col(column)
    return expr.cast(pl.Int64).alias(name)


def _kind(kind: pl.DataType, role: Role) -> Kind:
    if not kind.is_numeric():
        return "category"
    return "count" if kind.is_integer() and role == "config" else "number"


def _value(kind: pl.DataType, variable: Variable) -> pl.Expr:
    column = pl.col(variable.name)
    if variable.kind == "category":
        return column.cast(pl.String)
    if kind.is_float() or kind.is_decimal():
        number = column.cast(pl.Float64)
        return pl.when(number.is_finite()).then(number).alias(variable.name)
    return column.cast(pl.Int64)


def _check_rows(table: pl.DataFrame, events: Mapping[str, tuple[str, str]]) -> None:
    if table["time"].null_count() or table["unit"].null_count():
        raise errors.bad_data("some rows have no time or no unit", "leave them out or fill them in")
    twice = table.filter(pl.struct("time", "unit").is_duplicated())
    if twice.height:
        row = twice.row(0, named=True)
        raise errors.bad_data(
            f"the window at {display.when(row['time'])} of unit '{row['unit']}' is there twice",
            "name the unit column, or add the rows up first",
        )
    for name, (total, bad) in events.items():
        if (table[f"{name}.bad"] > table[f"{name}.total"]).any():
            raise errors.bad_data(f"'{bad}' exceeds '{total}' in some windows", "count bad events among the total")
        if (table[f"{name}.bad"].is_null() != table[f"{name}.total"].is_null()).any():
            raise errors.bad_data(f"one of '{bad}' and '{total}' is missing in some windows", "give both or neither")


def _width(table: pl.DataFrame, every: str | None) -> timedelta:
    if every is not None:
        return parse_duration(every, "every")
    steps = table.sort("unit", "time").select(step=pl.col("time").diff().over("unit"))["step"].drop_nulls()
    if steps.len() == 0:
        raise errors.bad_question("the width of a single window cannot be told", "pass every, such as every='5m'")
    width = cast("timedelta", steps.min())
    if width % timedelta(seconds=1):
        raise errors.bad_data(f"the smallest step between windows is {width}", "give windows of whole seconds")
    return width


def _gridded(table: pl.DataFrame, width: timedelta) -> pl.DataFrame:
    micros = width // timedelta(microseconds=1)
    stamps = table["time"].dt.epoch("us")
    phase = int(stamps[0]) % micros
    off = table.filter((stamps % micros) != phase)
    if off.height:
        raise errors.bad_data(
            f"times are irregular: {off['time'][0]:%Y-%m-%d %H:%M:%S} is not a whole number of {duration_text(width)} "
            f"from {table['time'][0]:%Y-%m-%d %H:%M:%S}",
            "bring the windows to one grid first, or pass every",
        )
    indexed = table.with_columns(t=(stamps - phase) // micros)
    grid = regular_grid(indexed.select("unit", "t"), width)
    filled = grid.join(indexed.drop("time"), on=["unit", "t"], how="left", maintain_order="left")
    return filled.select((pl.col("t") * micros + phase).cast(TIME).alias("time"), pl.exclude("t"))
