"""Ledgers: events added up over units and windows, exactly."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from causalrel.estimates import Estimate
from causalrel.slos import SLO, slo_window
from causalrel.variables import parse_duration
from causalrel.windows.timeslices import exact_sum

if TYPE_CHECKING:
    from causalrel.windows import Windows

_LEDGER = {
    "slo": pl.String,
    "tier": pl.String,
    "unit": pl.String,
    "total": pl.Int64,
    "bad": pl.Int64,
    "allowed": pl.Float64,
    "spent": pl.Float64,
    "left": pl.Float64,
    "burn": pl.Float64,
}
_COMPOSITES = {
    "composite": pl.String,
    "objectives": pl.Int64,
    "burn": pl.Float64,
    "burn_low": pl.Float64,
    "burn_high": pl.Float64,
    "chance_over": pl.Float64,
}


def events_of(windows: Windows, slo: SLO, end: datetime) -> pl.DataFrame:
    """Return the events of each window inside the time window of an SLO."""
    start, _ = slo_window(slo, end)
    inside = (pl.col("time") >= start) & (pl.col("time") <= end - windows.width)
    return windows.table.filter(inside).select(
        pl.lit(slo.name).alias("slo"),
        "time",
        "unit",
        pl.col(f"{slo.name}.total").alias("total"),
        pl.col(f"{slo.name}.bad").alias("bad"),
        pl.col(low if (low := f"{slo.name}.bad_low") in windows.table.columns else f"{slo.name}.bad").alias("bad_low"),
    )


def add_up(counts: pl.DataFrame, slos: tuple[SLO, ...]) -> pl.DataFrame:
    """Add events up for each SLO and unit, then over all units; a unit named ``all`` is all there is.

    Where bad events are bounded and not counted, ``bad`` are the most there may be and ``bad_low`` the fewest.
    """
    sums = [exact_sum(name, counts.schema[name]) for name in ("total", "bad", "bad_low")]
    each = counts.group_by("slo", "unit").agg(sums)
    whole = counts.group_by("slo").agg(sums).with_columns(unit=pl.lit("all"))
    columns = ["slo", "unit", "total", "bad", "bad_low"]
    rows = pl.concat([whole.select(columns), each.filter(pl.col("unit") != "all").select(columns)])
    bounded = not (rows["bad"] == rows["bad_low"]).all()
    known = pl.DataFrame(
        {
            "slo": [slo.name for slo in slos],
            "tier": [slo.tier for slo in slos],
            "share": [slo.allowed for slo in slos],
            "place": range(len(slos)),
        }
    )
    some = pl.col("total") > 0
    return (
        rows.join(known, on="slo")
        .sort(["place", pl.col("unit") != "all", "unit"])
        .with_columns(allowed=(pl.col("total") * pl.col("share")).round(9))
        .with_columns(
            spent=pl.when(some).then(pl.col("bad") / pl.col("allowed")),
            left=pl.col("allowed") - pl.col("bad"),
            burn=pl.when(some).then(pl.col("bad") / pl.col("total") / pl.col("share")),
        )
        .select(
            [pl.col(name).cast(rows.schema["bad"] if name == "bad" else kind) for name, kind in _LEDGER.items()]
            + ["bad_low"] * bounded
        )
    )


def timeline_of(counts: pl.DataFrame, slos: tuple[SLO, ...]) -> pl.DataFrame:
    """Add events up over units for each SLO and window, and say what was spent by then."""
    made, bad_sum = [], exact_sum("bad", counts.schema["bad"])
    for slo in slos:
        mine = counts.filter(pl.col("slo") == slo.name).group_by("slo", "time")
        seen = pl.col("total").count() > 0
        summed = mine.agg(total=pl.when(seen).then(pl.col("total").sum()), bad=pl.when(seen).then(bad_sum)).sort("time")
        allowed = (pl.col("total").fill_null(0).cum_sum() * slo.allowed).round(9)
        share = pl.col("bad").fill_null(0).cum_sum() / allowed.last()
        rate = pl.col("bad") / pl.col("total") / slo.allowed
        made.append(
            summed.with_columns(
                allowed=allowed,
                spent=pl.when(allowed.last() > 0).then(share),
                burn=pl.when(pl.col("total") > 0).then(rate),
            )
        )
    return pl.concat(made)


def when_expires(timeline: pl.DataFrame, slos: tuple[SLO, ...], as_of: datetime, every: str) -> pl.DataFrame:
    """Add up, for each step ahead, the events that leave the SLO's time window in it."""
    step, made = parse_duration(every, "every"), []
    for slo in slos:
        mine = timeline.filter((pl.col("slo") == slo.name) & pl.col("total").is_not_null())
        if mine.is_empty():
            continue
        leaves = pl.lit(slo_window(slo, as_of)[1])
        if slo.rolling:
            waits = (pl.col("time") + slo.period - as_of).dt.total_microseconds() // (step // timedelta(microseconds=1))
            leaves = pl.lit(as_of) + (waits + 1) * step
        sums = [exact_sum(name, mine.schema[name]) for name in ("total", "bad")]
        kept = mine.with_columns(leaves=leaves.cast(timeline.schema["time"]))
        made.append(kept.group_by("slo", pl.col("leaves").alias("time")).agg(sums).sort("time"))
    if not made:
        return timeline.clear().select("slo", "time", "total", "bad", returned="spent")
    allowed = pl.DataFrame({"slo": [slo.name for slo in slos], "share": [slo.allowed for slo in slos]})
    budget = pl.col("total").sum().over("slo") * pl.col("share")
    returned = pl.when(budget > 0).then(pl.col("bad") / budget).alias("returned")
    joined = pl.concat(made).join(allowed, on="slo", how="left", maintain_order="left")
    return joined.with_columns(returned).drop("share")


def weigh_composites(table: pl.DataFrame, slos: tuple[SLO, ...], burns: Estimate) -> pl.DataFrame:
    """Average the burns of each composite's objectives, counted and drawn, by their weights."""
    whole = dict(table.filter(pl.col("unit") == "all").select("slo", "burn").rows())
    rows: list[tuple[object, ...]] = []
    for name in dict.fromkeys(slo.composite for slo in slos if slo.composite):
        parts = [slo for slo in slos if slo.composite == name]
        weights = np.array([slo.weight for slo in parts]) / sum(slo.weight for slo in parts)
        seen = [whole.get(slo.name) for slo in parts]
        if burns.verdict == "refused" or any(burn is None for burn in seen):
            rows.append((name, len(parts), None, None, None, None))
            continue
        draws = sum(
            weight * burns.select(slo=slo.name, of_unit="all").draws[:, 0]
            for weight, slo in zip(weights, parts, strict=True)
        )
        low, high = np.quantile(draws, [0.05, 0.95])
        burn = float(weights @ np.array(seen, dtype=np.float64))
        rows.append((name, len(parts), burn, float(low), float(high), float(np.mean(np.asarray(draws) > 1.0))))
    return pl.DataFrame(rows, schema=_COMPOSITES, orient="row")
