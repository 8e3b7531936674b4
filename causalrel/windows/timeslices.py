"""Time slices: windows whose events are slices of time, good or bad by the requests in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import polars as pl

from causalrel import errors
from causalrel.slos import SLO
from causalrel.variables import duration_text
from causalrel.windows.plans import Plan, unit_text

#: Shares are added up as whole multiples of 2**-50, so that sums do not depend on order.
_SCALE = float(1 << 50)


def judge_slices(slices: pl.DataFrame, slo: SLO) -> pl.DataFrame:
    """Say of each slice whether it counts, and how bad it was.

    A slice without requests is not counted: nobody was there to be served well or badly. Under Timeslices a slice is
    good where ``good / total >= slice_target``, compared in whole numbers with the target as it is written in decimals;
    under RatioTimeslices it is as bad as the share of its requests that were.

    Parameters
    ----------
    slices : polars.DataFrame
        One row a slice: ``total`` and ``bad`` (requests, integers), other columns kept.
    slo : SLO
        An SLO of method Timeslices or RatioTimeslices.

    Returns
    -------
    polars.DataFrame
        The slices that count: ``total`` is 1, and ``bad`` is 0 or 1 (Int64) or a share (Float64).

    References
    ----------
    OpenSLO v1, https://github.com/OpenSLO/OpenSLO, budgetingMethod.

    Examples
    --------
    >>> from datetime import timedelta
    >>> slo = SLO(
    ...     name="up",
    ...     dimension="availability",
    ...     target=0.9,
    ...     method="Timeslices",
    ...     slice_width=timedelta(minutes=1),
    ...     slice_target=0.95,
    ... )
    >>> judge_slices(pl.DataFrame({"total": [100, 100, 0], "bad": [5, 6, 0]}), slo)["bad"].to_list()
    [0, 1]
    """
    some = slices.filter(pl.col("total") > 0)
    share = pl.col("bad") / pl.col("total")
    if slo.method == "Timeslices":
        least = Fraction(repr(slo.slice_target))
        total, bad = pl.col("total").cast(pl.Int128), pl.col("bad").cast(pl.Int128)
        share = ((total - bad) * least.denominator < total * least.numerator).cast(pl.Int64)
    return some.with_columns(total=pl.lit(1, dtype=pl.Int64), bad=share)


def exact_sum(column: str, kind: pl.DataType) -> pl.Expr:
    """Add up whole numbers, or shares of slices to the same bits in any order."""
    if not kind.is_float():
        return pl.col(column).sum()
    return ((pl.col(column) * _SCALE).round().cast(pl.Int128).sum().cast(pl.Float64) / _SCALE).alias(column)


def plan_slices(plan: Plan) -> list[Plan]:
    """Plan the sums over slices that SLOs on slices of time need, one plan a width.

    Parameters
    ----------
    plan : Plan
        The plan of the windows.

    Returns
    -------
    list of Plan
        Plans without variables; empty where every SLO counts requests.

    Raises
    ------
    CausalrelError
        When slices do not fill a window.

    Examples
    --------
    >>> from datetime import timedelta
    >>> plan_slices(Plan(by=(), width=timedelta(minutes=5), slos=(), variables=(), schema={}, source="memory"))
    []
    """
    sliced = [slo for slo in plan.slos if slo.method != "Occurrences"]
    for slo in sliced:
        if plan.width % slo.slice_width:
            wanted = duration_text(slo.slice_width)
            raise errors.bad_question(
                f"SLO '{slo.name}' judges slices of {wanted}, which do not fill windows of {duration_text(plan.width)}",
                f"write every='{wanted}' or a multiple of it",
            )
    return [
        replace(plan, width=width, variables=(), slos=tuple(slo for slo in sliced if slo.slice_width == width))
        for width in dict.fromkeys(slo.slice_width for slo in sliced)
    ]


def count_slices(table: pl.DataFrame, plan: Plan, sliced: Sequence[tuple[Plan, pl.DataFrame]]) -> pl.DataFrame:
    """Replace the requests counted for SLOs on slices of time by their slices; other SLOs are left as they are.

    Each unit has slices of its own, so over units they add up as requests do.

    Parameters
    ----------
    table : polars.DataFrame
        Result of ``finish_rollup``: ``unit``, ``t``, event counts, variables.
    plan : Plan
        The plan it was made with.
    sliced : sequence of (Plan, polars.DataFrame)
        Plans of :func:`plan_slices`, and what the requests summed to by them.

    Returns
    -------
    polars.DataFrame
        The table with ``<slo>.total`` (slices with requests) and ``<slo>.bad`` (bad slices, or the sum of their bad
        shares); a window without data stays null.

    Examples
    --------
    >>> from datetime import timedelta
    >>> empty = pl.DataFrame({"unit": ["all"], "t": [0]})
    >>> plan = Plan(by=(), width=timedelta(minutes=5), slos=(), variables=(), schema={}, source="memory")
    >>> count_slices(empty, plan, []).equals(empty)
    True
    """
    for mine, partial in sliced:
        sums = [pl.col(f"{part}:{slo.name}").sum() for slo in mine.slos for part in ("total", "bad")]
        slices = partial.group_by("t", unit=unit_text(plan.keys)).agg(sums)
        for slo in mine.slos:
            table = _replaced(table, slices, slo, plan.width // mine.width)
    return table


def _replaced(table: pl.DataFrame, slices: pl.DataFrame, slo: SLO, parts: int) -> pl.DataFrame:
    """Put the slices of one SLO, ``parts`` to a window, into the table."""
    named = slices.select("unit", "t", total=pl.col(f"total:{slo.name}"), bad=pl.col(f"bad:{slo.name}"))
    judged = judge_slices(named, slo)
    sums = [exact_sum(part, judged.schema[part]) for part in ("total", "bad")]
    inside = judged.group_by("unit", pl.col("t") // parts).agg(sums)
    joined = table.join(inside, on=["unit", "t"], how="left", maintain_order="left")
    kept = [
        pl.when(pl.col(f"{slo.name}.total").is_not_null()).then(pl.col(part).fill_null(0)).alias(f"{slo.name}.{part}")
        for part in ("total", "bad")
    ]
    return joined.with_columns(kept).drop("total", "bad")
