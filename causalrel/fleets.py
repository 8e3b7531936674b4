"""Fleets: lives of units and their health events as a panel of intervals at risk, with late entry and censoring."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl

from causalrel import errors
from causalrel.changes import changes_of, in_force
from causalrel.telemetry.schema import TIME
from causalrel.variables import parse_duration, parse_time

_HOUR = timedelta(hours=1) // timedelta(microseconds=1)
_MICROSECOND = timedelta(microseconds=1)
_LIFE: dict[str, pl.DataType | type[pl.DataType]] = {
    "unit": pl.String,
    "installed": TIME,
    "removed": TIME,
    "event": pl.String,
}
_MOST_ROWS = 20_000_000
_MADE = ("entered", "left", "start", "stop", "ended", "time")


def follow_units(
    lives: pl.DataFrame,
    *,
    since: datetime | str | None = None,
    until: datetime | str | None = None,
    every: str | None = None,
    ages: Sequence[float] = (),
    changes: pl.DataFrame | None = None,
    health: pl.DataFrame | None = None,
    by: str = "unit",
) -> pl.DataFrame:
    """Turn the lives of units into intervals at risk, in counting-process form.

    A unit is at risk over ``(start, stop]`` while it is in service and watched. It enters late where it was in service
    before the watch began, and it is censored where it is removed without an event or outlives the watch. Lives of one
    unit add up: its age stands still while it is out of service. Splitting changes neither time at risk nor events.

    Parameters
    ----------
    lives : polars.DataFrame
        One row a stay in service: ``unit``, ``installed`` (null: before ``since``, nobody knows when), ``removed``
        (null: still in service), ``event`` that ended it (null: none). Other columns are kept as covariates. Times
        bear a zone.
    since, until : datetime or str, optional
        When the watch begins and ends; by default with the first installation and the last removal.
    every : str, optional
        Cut at the borders of windows so wide (``5m``), counted as windows are; adds ``time``, the window's start.
    ages : sequence of float
        Cut at these ages in hours.
    changes : polars.DataFrame, optional
        Change events: cut at each, and one column a variable, with the value in force; where that is not known, the one
        of ``lives``.
    health : polars.DataFrame, optional
        ``time``, ``event``, maybe ``count``, and the column ``by``: counted over ``(entered, left]``, one column
        ``<event>.count`` each.
    by : str
        Column of ``lives`` that says whose changes and health events are a unit's own, such as ``node``.

    Returns
    -------
    polars.DataFrame
        ``unit``, ``entered`` and ``left`` (times), ``start`` and ``stop`` (hours of service; null where the
        installation is not known), ``event`` (null: none), ``ended`` (``event``, ``removed``, ``in service``, ``cut``:
        the next row goes on), then covariates. ``removed`` is censoring by a choice that may know more than the
        covariates do.

    Raises
    ------
    CausalrelError
        When columns are missing, times have no zone, lives overlap or end before they begin, the watch has no beginning
        or end, or the panel would be larger than memory.

    References
    ----------
    Andersen and Gill 1982, doi:10.1214/aos/1176345976; Therneau and Grambsch 2000, doi:10.1007/978-1-4757-3294-8.

    Examples
    --------
    >>> day = [datetime(2026, 2, day) for day in (1, 11, 21)]
    >>> lives = pl.DataFrame({"unit": ["a", "b"], "installed": [day[0], day[1]], "removed": [day[2], None]})
    >>> lives = lives.with_columns(pl.selectors.datetime().dt.replace_time_zone("UTC"), event=pl.Series(["dbe", None]))
    >>> panel = follow_units(lives, since="2026-02-06", until="2026-03-01")
    >>> panel.select("unit", "start", "stop", "event", "ended").rows()
    [('a', 120.0, 480.0, 'dbe', 'event'), ('b', 0.0, 432.0, None, 'in service')]
    """
    stays = _stays(lives, _moment(since, "since"), _moment(until, "until"), by)
    grid = timedelta(0) if every is None else parse_duration(every, "every")
    events = None if changes is None else changes_of(changes, [by])
    panel = _split(stays, _cuts(stays, grid, ages, events, by))
    if changes is not None:
        asked = panel.select(pl.col(by).cast(pl.String).alias("unit"), pl.col("entered").alias("time"))
        panel = _covered(panel, in_force(asked, changes, [by]).drop("unit", "time"))
    if health is not None:
        panel = _counted(panel, health, by)
    if grid:
        micros = grid // _MICROSECOND
        opened = (pl.col("entered").dt.epoch("us") // micros * micros).cast(TIME)
        panel = panel.with_columns(time=opened)
    return panel.drop("#life")


def find_lives(changes: pl.DataFrame, *, variable: str, by: str = "node") -> pl.DataFrame:
    """Find the lives of units that were put in one another's place, from change events.

    Units that no change names are not found: they were there all the time.

    Parameters
    ----------
    changes : polars.DataFrame
        Change events, of which those of ``variable`` name the unit that left (``before``) and that came (``after``).
    variable : str
        What names the unit, such as the serial number of a GPU.
    by : str
        Column that says where.

    Returns
    -------
    polars.DataFrame
        ``unit``, ``by``, ``installed`` (null: before the first change), ``removed`` (null: still there) and ``event``
        (null, as a change does not say why): lives for :func:`follow_units`.

    Raises
    ------
    CausalrelError
        When no change is of the variable.

    Examples
    --------
    >>> rows = pl.DataFrame(
    ...     {"time": [1, 5], "node": "n1", "variable": "gpu", "before": ["a", "b"], "after": ["b", "c"]}
    ... )
    >>> find_lives(rows.with_columns(pl.col("time").cast(TIME)), variable="gpu")["unit"].to_list()
    ['a', 'b', 'c']
    """
    moves = changes_of(changes, [by]).filter(variable=variable).drop_nulls("unit")
    if not moves.height:
        known = changes["variable"].drop_nulls().unique()
        raise errors.unknown_variable(variable, "a search for lives", known)
    place = pl.col("unit").alias(by)
    went = moves.select(place, pl.col("before").alias("unit"), pl.col("time").alias("removed"))
    came = moves.select(place, pl.col("after").alias("unit"), pl.col("time").alias("installed"))
    both = [table.drop_nulls("unit") for table in (went.with_columns(at="removed"), came.with_columns(at="installed"))]
    steps = pl.concat(both, how="diagonal").sort("unit", "at", maintain_order=True)
    left = pl.col("removed").shift(-1).over("unit", by)
    begun = pl.col("installed").shift().over("unit", by).is_not_null()
    return (
        steps.with_columns(pl.coalesce("removed", left).alias("removed"), begun.alias("#begun"))
        .filter(pl.col("installed").is_not_null() | ~pl.col("#begun"))
        .select("unit", by, pl.col("installed", "removed").cast(TIME), event=pl.lit(None, pl.String))
        .sort("unit", "installed", nulls_last=False, maintain_order=True)
    )


def _moment(value: datetime | str | None, asked_by: str) -> datetime | None:
    return None if value is None else parse_time(value, asked_by)


def _need(table: pl.DataFrame, names: Sequence[str], asked_by: str) -> None:
    for name in names:
        if name not in table.columns:
            raise errors.unknown_column(name, asked_by, table.columns)


def _stays(lives: pl.DataFrame, since: datetime | None, until: datetime | None, by: str) -> pl.DataFrame:
    """Return each stay as far as it was watched, with the hours of service before it."""
    _need(lives, [*_LIFE, by], "a panel of units")
    if not lives.height:
        raise errors.empty_data("lives")
    naive = [name for name in ("installed", "removed") if getattr(lives.schema[name], "time_zone", "") is None]
    if naive:
        raise errors.bad_data(
            f"the times in '{naive[0]}' have no zone", "name it, as in dt.replace_time_zone('America/New_York')"
        )
    taken = sorted(set(_MADE) & set(lives.columns))
    if taken:
        raise errors.bad_data(f"the panel makes the column '{taken[0]}', which the lives have", "rename it")
    stays = lives.with_columns(pl.col(name).cast(kind) for name, kind in _LIFE.items())
    since = since or _bound(stays, "installed", "since")
    until = until or _bound(stays, "removed", "until")
    if until <= since:
        raise errors.bad_question(
            f"a watch from {since:%F %T} until {until:%F %T} is none", "write an until after since"
        )
    stays = stays.sort("unit", "installed", nulls_last=False, maintain_order=True).with_row_index("#life")
    _check(stays)
    served = (pl.col("removed") - pl.col("installed")).dt.total_microseconds()
    earlier = served.cum_sum().shift(fill_value=0).over("unit")
    known = pl.col("installed").first().over("unit").is_not_null()
    last = pl.min_horizontal(pl.col("removed").fill_null(until), pl.lit(until, TIME))
    seen = pl.col("removed") <= until
    event = pl.when(seen).then("event")
    outlived = pl.col("removed").is_null() | (pl.col("removed") >= until)
    return stays.with_columns(
        pl.max_horizontal(pl.col("installed").fill_null(since), pl.lit(since, TIME)).alias("entered"),
        last.alias("left"),
        pl.when(known).then(earlier).alias("#earlier"),
        event.alias("event"),
        pl.when(event.is_not_null())
        .then(pl.lit("event"))
        .when(outlived)
        .then(pl.lit("in service"))
        .otherwise(pl.lit("removed"))
        .alias("ended"),
    ).filter(pl.col("entered") < pl.col("left"))


def _bound(stays: pl.DataFrame, name: str, asked_by: str) -> datetime:
    """Return the first installation or the last removal, if all are known."""
    times = stays[name]
    bound = times.min() if name == "installed" else times.max()
    if times.null_count() or not isinstance(bound, datetime):
        raise errors.bad_data(f"{times.null_count()} of {times.len()} lives have no '{name}'", f"write {asked_by}=")
    return bound


def _check(stays: pl.DataFrame) -> None:
    """Refuse lives that nobody can have lived."""
    again = pl.col("unit").eq_missing(pl.col("unit").shift())
    faults = {
        "have no unit": pl.col("unit").is_null(),
        "end before or when they begin": pl.col("removed") <= pl.col("installed"),
        "have an event and no time of it": pl.col("event").is_not_null() & pl.col("removed").is_null(),
        "begin before the one before them has ended": again
        & (
            pl.col("removed").shift().is_null()
            | (pl.col("installed") < pl.col("removed").shift()).fill_null(value=True)
        ),
    }
    said = []
    for what, fault in faults.items():
        found = stays.filter(fault)
        if found.height:
            said.append(f"{found.height} lives {what}, the first of unit '{found['unit'][0]}'")
    if said:
        raise errors.bad_data("; ".join(said), "correct them or leave them out")


def _cuts(
    stays: pl.DataFrame, grid: timedelta, ages: Sequence[float], events: pl.DataFrame | None, by: str
) -> pl.DataFrame:
    """Return where each stay is to be cut: ``#life`` and ``at``, strictly inside it."""
    cuts = [stays.select("#life", at=pl.lit(None, TIME))]
    if grid:
        micros = grid // _MICROSECOND
        rows = (
            stays.select((pl.col("left") - pl.col("entered")).dt.total_microseconds().cast(pl.Float64).sum()).item()
            / micros
        )
        if rows > _MOST_ROWS:
            raise errors.over_limit(f"windows of {grid} make {rows:.0f} rows", "write a longer every=")
        first, last = ((pl.col(name).dt.epoch("us") // micros) for name in ("entered", "left"))
        borders = pl.int_ranges(first + 1, last + 1) * micros
        cuts.append(
            stays.select("#life", at=borders).explode("at", empty_as_null=True).with_columns(pl.col("at").cast(TIME))
        )
    for age in ages:
        hours = pl.lit(round(age * _HOUR), pl.Int64) - pl.col("#earlier")
        cuts.append(stays.select("#life", at=pl.col("installed") + pl.duration(microseconds=hours)))
    if events is not None:
        moments = events.select("unit", at=pl.col("time").cast(TIME)).unique()
        own = stays.select("#life", unit=pl.col(by).cast(pl.String)).join(moments.drop_nulls("unit"), on="unit")
        shared = stays.select("#life").join(moments.filter(pl.col("unit").is_null()).select("at"), how="cross")
        cuts += [own.select("#life", "at"), shared]
    inside = pl.concat(cuts).unique().join(stays.select("#life", "entered", "left"), on="#life")
    return inside.filter(pl.col("at") > pl.col("entered"), pl.col("at") < pl.col("left")).select("#life", "at")


def _split(stays: pl.DataFrame, cuts: pl.DataFrame) -> pl.DataFrame:
    """Return one row an interval: an event belongs to the last of its stay."""
    parts = (
        pl.concat([stays.select("#life", at="entered"), cuts])
        .sort("#life", "at")
        .with_columns(pl.col("at").shift(-1).over("#life").alias("#next"))
        .join(stays, on="#life", how="left", maintain_order="left")
    )
    goes_on = pl.col("#next").is_not_null()
    left = pl.coalesce("#next", "left")
    age = [
        ((moment - pl.col("installed")).dt.total_microseconds() + pl.col("#earlier")) / _HOUR
        for moment in (pl.col("at"), left)
    ]
    kept = [name for name in stays.columns if name not in (*_LIFE, *_MADE, "#life", "#earlier")]
    return parts.select(
        "#life",
        "unit",
        pl.col("at").alias("entered"),
        left.alias("left"),
        age[0].alias("start"),
        age[1].alias("stop"),
        pl.when(~goes_on).then("event").alias("event"),
        pl.when(goes_on).then(pl.lit("cut")).otherwise("ended").alias("ended"),
        *kept,
    )


def _covered(panel: pl.DataFrame, values: pl.DataFrame) -> pl.DataFrame:
    """Add the values in force; where one is not known, a covariate of the same name speaks."""
    taken = sorted({*_LIFE, *_MADE} & set(values.columns))
    if taken:
        raise errors.bad_data(
            f"the panel makes the column '{taken[0]}', which is a variable of the changes", "rename it"
        )
    own = [
        pl.coalesce(values[name], pl.col(name).cast(pl.String)).alias(name) if name in panel.columns else values[name]
        for name in values.columns
    ]
    return panel.with_columns(own)


def _counted(panel: pl.DataFrame, health: pl.DataFrame, by: str) -> pl.DataFrame:
    """Count health events in the intervals at risk; those outside of any are none of theirs."""
    _need(health, ("time", "event", by), "the count of health events")
    count = pl.col("count") if "count" in health.columns else pl.lit(1)
    rows = health.select(
        pl.col(by).cast(pl.String).alias("#by"), pl.col("time").cast(TIME), "event", count.cast(pl.Int64).alias("count")
    ).drop_nulls(["#by", "time", "event"])
    whose = panel.select("#life", pl.col(by).cast(pl.String).alias("#by")).unique()
    placed = (
        rows.join(whose, on="#by")
        .with_columns(at=pl.col("time") - _MICROSECOND)
        .sort("at")
        .join_asof(
            panel.select("#life", "entered", "left").with_row_index("#row").sort("entered"),
            left_on="at",
            right_on="entered",
            by="#life",
            check_sortedness=False,
        )
        .filter(pl.col("time") <= pl.col("left"))
    )
    sums = placed.pivot("event", index="#row", values="count", aggregate_function="sum")
    names = {name: f"{name}.count" for name in sorted(rows["event"].unique())}
    sums = sums.with_columns(pl.lit(0, pl.Int64).alias(name) for name in names if name not in sums.columns)
    table = panel.with_row_index("#row").join(
        sums.select("#row", *(pl.col(name).alias(said) for name, said in names.items())),
        on="#row",
        how="left",
        maintain_order="left",
    )
    return table.drop("#row").with_columns(pl.col(list(names.values())).fill_null(0))
