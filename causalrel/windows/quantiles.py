"""Quantiles: columns of a window that tell how large a share of its requests stays at or below a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np
import polars as pl

from causalrel import errors
from causalrel.telemetry import Telemetry
from causalrel.telemetry.schema import METRIC_VARIABLES, REQUEST_VARIABLES
from causalrel.variables import Variable
from causalrel.windows.plans import Plan
from causalrel.windows.sketches import WIDTH, BucketCounts, Integers, bucket_values

_WRONG_SHARE = 0.01
_MOST = 64
_DECIMALS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantile:
    """One quantile of one column.

    Parameters
    ----------
    column : str
        Column of the requests.
    share : Fraction
        Share of the values at or below it, from 0 to 1.
    variable : Variable
        What it becomes in the windows: ``<column>.p<percent>``, ``<column>.min`` or ``<column>.max``, of the column's
        role and unit.
    sampled : bool
        Whether the column is a metric of the samples.

    Examples
    --------
    >>> Quantile(column="a", share=Fraction(1, 2), variable=Variable(name="a.p50", role="outcome")).variable.name
    'a.p50'
    """

    column: str
    share: Fraction
    variable: Variable
    sampled: bool = False


def plan_quantiles(asked: Mapping[str, Sequence[float]], telemetry: Telemetry, plan: Plan) -> tuple[Quantile, ...]:
    """Decide which quantiles are taken, or say what is wrong with the question.

    Parameters
    ----------
    asked : mapping of str to sequence of float
        Column of the requests, or metric of the samples, to shares from 0 (the least) to 1 (the most).
    telemetry : Telemetry
        Where the columns and their roles are told.
    plan : Plan
        The plan of the rollup.

    Returns
    -------
    tuple of Quantile
        In the order asked.

    Raises
    ------
    CausalrelError
        When a column is absent, holds no numbers or has no role, a share is not from 0 to 1, or there are too many.

    Examples
    --------
    >>> from datetime import timedelta
    >>> from causalrel.windows.plans import plan_rollup
    >>> telemetry = Telemetry(requests=pl.LazyFrame(schema={"time": pl.Datetime("us", "UTC"), "ttft_s": pl.Float64}))
    >>> plan = plan_rollup(telemetry, [], ["service"], timedelta(minutes=5))
    >>> [one.variable.name for one in plan_quantiles({"ttft_s": (0.5, 0.999)}, telemetry, plan)]
    ['ttft_s.p50', 'ttft_s.p99_9']
    """
    known = {variable.name: variable for variable in (*REQUEST_VARIABLES, *telemetry.variables)}
    metrics = {} if telemetry.samples is None else {variable.name: variable for variable in METRIC_VARIABLES}
    made: dict[str, Quantile] = {}
    for name, shares in asked.items():
        sampled = name in metrics and name not in plan.schema
        if not sampled and name not in plan.schema:
            raise errors.unknown_column(name, "quantiles", [*plan.schema, *metrics])
        kind, known = plan.schema.get(name, pl.Float64()), {**metrics, **known}
        if not (kind.is_numeric() or kind == pl.Null):
            raise errors.bad_question(f"quantiles of '{name}' were asked, which holds {kind}", "ask columns of numbers")
        if name not in known:
            raise errors.bad_question(
                f"quantiles of '{name}' were asked, a column without a role",
                f"ask one of {', '.join(plan_numbers(plan))}",
            )
        for share in [shares] if isinstance(shares, int | float) else shares:
            exact = _exact_share(name, share)
            percent = f"{(exact * 100).normalize():f}".replace(".", "_")
            ending = {0: "min", 1: "max"}.get(int(exact) if exact in (0, 1) else -1, f"p{percent}")
            variable = Variable(name=f"{name}.{ending}", role=known[name].role, unit=known[name].unit)
            if variable.name in plan.schema:
                raise errors.bad_question(
                    f"the quantile '{variable.name}' bears the name of a column", "rename the column or leave it out"
                )
            made[variable.name] = Quantile(column=name, share=Fraction(exact), variable=variable, sampled=sampled)
    if len(made) > _MOST:
        raise errors.over_limit(f"{len(made)} quantiles were asked, more than {_MOST}", "ask fewer")
    return tuple(made.values())


def plan_numbers(plan: Plan) -> list[str]:
    """List the columns of numbers that have a role."""
    return [variable.name for variable in plan.variables if plan.schema[variable.name].is_numeric()] or ["none"]


def _exact_share(name: str, share: float) -> Decimal:
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise errors.bad_question(f"the share {share!r} asked of '{name}' is not from 0 to 1", "write one such as 0.95")
    exact = Decimal(repr(float(share)))
    exponent = exact.normalize().as_tuple().exponent
    if isinstance(exponent, int) and exponent < -_DECIMALS:
        raise errors.bad_question(
            f"the share {share!r} asked of '{name}' has more than {_DECIMALS} decimals", "write one such as 0.999"
        )
    return exact


def take_quantiles(counts: BucketCounts, table: pl.DataFrame, shares: Sequence[Fraction]) -> list[pl.Series]:
    """Return quantiles of each window.

    The quantile is the value of rank ``floor(share * (n - 1))`` from 0 among the ``n`` counted, as
    ``numpy.quantile(..., method="lower")`` takes it, told as the middle of its bucket.

    Parameters
    ----------
    counts : BucketCounts
        Counts of one column.
    table : polars.DataFrame
        ``unit`` and window index ``t``.
    shares : sequence of Fraction
        Shares of at most six decimals.

    Returns
    -------
    list of polars.Series
        One a share, null where a window has no value.

    Examples
    --------
    >>> counts = BucketCounts(units=("a",), first=0, codes=np.array([1048, 1100]), counts=np.array([3, 1]))
    >>> table = pl.DataFrame({"unit": ["a", "a"], "t": [0, 1]})
    >>> take_quantiles(counts, table, [Fraction(1, 2)])[0].round(3).to_list()
    [1.01, None]
    """
    index = {unit: i for i, unit in enumerate(counts.units)}
    unit = table["unit"].replace_strict(index, default=-1, return_dtype=pl.Int64).to_numpy()
    cell = np.where(unit < 0, -1, (table["t"].to_numpy() - counts.first) * len(counts.units) + unit)
    kind = counts.codes.dtype
    start, end = (
        np.searchsorted(counts.codes, np.clip((cell + more) * WIDTH, 0, np.iinfo(kind).max).astype(kind))
        for more in (0, 1)
    )
    before = _before(counts.counts)
    number = before[end].astype(np.int64) - before[start]
    values = bucket_values()
    made = []
    for share in shares:
        rank = np.maximum(number - 1, 0) * share.numerator // share.denominator
        spot = np.searchsorted(before, (before[start] + rank).astype(before.dtype), side="right") - 1
        bucket = counts.codes[np.minimum(spot, len(counts.codes) - 1)] % WIDTH if len(counts.codes) else spot * 0
        found = pl.DataFrame({"value": values[bucket], "number": number})
        made.append(found.select(pl.when(pl.col("number") > 0).then("value"))["value"])
    return made


def _before(counts: Integers) -> Integers:
    """Return how many values come before each bucket, and all, in half the bytes where they are fewer than 2**32."""
    small = int(counts.sum(dtype=np.int64)) < 1 << 32
    made: Integers = np.zeros(len(counts) + 1, np.uint32) if small else np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=made[1:])
    return made


def add_quantiles(
    table: pl.DataFrame, counted: Mapping[str, BucketCounts], asked: Sequence[Quantile], notes: list[str]
) -> pl.DataFrame:
    """Put the quantiles asked beside the other columns of the regular table.

    Parameters
    ----------
    table : polars.DataFrame
        Result of ``finish_rollup``: ``unit``, ``t`` and more.
    counted : mapping of str to BucketCounts
        Counts of each column asked.
    asked : sequence of Quantile
        Result of :func:`plan_quantiles`.
    notes : list of str
        Takes what was not counted.

    Returns
    -------
    polars.DataFrame
        The table with one more column a quantile.

    Raises
    ------
    CausalrelError
        When too many values of a column are negative or not finite.

    Examples
    --------
    >>> add_quantiles(pl.DataFrame({"unit": ["all"], "t": [0]}), {}, [], []).columns
    ['unit', 't']
    """
    for column in dict.fromkeys(one.column for one in asked):
        counts = counted[column]
        _tell(column, counts, notes)
        mine = [one for one in asked if one.column == column]
        found = take_quantiles(counts, table, [one.share for one in mine])
        table = table.with_columns(s.alias(one.variable.name) for s, one in zip(found, mine, strict=True))
    return table


def _tell(column: str, counts: BucketCounts, notes: list[str]) -> None:
    if not counts.wrong:
        return
    among = counts.wrong + int(counts.counts.sum(dtype=np.int64))
    said = f"{counts.wrong:,} of {among:,} values of '{column}' are negative or not finite"
    if counts.wrong > _WRONG_SHARE * among:
        raise errors.bad_data(said, "take quantiles of columns that are never negative")
    if f"{said} and were left out" not in notes:
        notes.append(f"{said} and were left out of its quantiles")
