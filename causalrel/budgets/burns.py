"""Burns: draws of how fast a budget truly burns, beyond the events seen."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from causalrel import display
from causalrel.budgets.pooling import factors_of, laplace_rates
from causalrel.estimates import Check, Estimate, refusal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.windows import Windows

Pool = Literal["none", "laplace", "nuts"]

_METHODS: dict[Pool, str] = {
    "none": "Jeffreys posterior of the bad share, counts divided by their dispersion",
    "laplace": "hierarchical logit of an SLO's units by Laplace's approximation, counts divided by their dispersion",
    "nuts": "hierarchical logit of an SLO's units sampled by NUTS, counts divided by their dispersion",
}
_DRAWS = 4000
_WILD = 10.0
_BLOCKS = 8


def draw_burns(
    windows: Windows,
    counts: pl.DataFrame,
    ledger: pl.DataFrame,
    coverage: tuple[Check, ...],
    end: datetime,
    *,
    pool: Pool,
    seed: int,
) -> Estimate:
    """Draw the true burn of every row of the ledger that has events."""
    rows = ledger.filter(pl.col("total") > 0)
    question = f"How fast does each budget burn as of {display.when(end)} UTC?"
    method = _METHODS[pool]
    if rows.is_empty():
        none = Check(name="events", passed=False, says="no SLO counted an event")
        return refusal(question, method=method, checks=[*coverage, none], origin=windows.origin(seed))
    keys = rows.select("slo", "unit").rows()
    scatter = np.array([dispersion_of(counts, windows.width, slo, unit) for slo, unit in keys])
    bad, total = (rows[name].to_numpy().astype(np.float64) / scatter for name in ("bad", "total"))
    draws = np.random.default_rng(seed).beta(0.5 + bad, 0.5 + total - bad, size=(_DRAWS, rows.height))
    checks = [*coverage, *_scatter_checks(rows, scatter)]
    if pool != "none":
        checks += _pooled(rows, bad, total, draws, pool, seed)
    bounds = list(_bounded(rows, total, scatter, draws, pool, seed)) if "bad_low" in rows.columns else []
    checks += bounds
    if any(check.name.startswith("sampler") and not check.passed for check in checks):
        return refusal(question, method=method, checks=checks, origin=windows.origin(seed))
    allowed = np.array([windows.slo(name).allowed for name in rows["slo"]])
    return Estimate(
        question=question,
        draws=draws / allowed,
        terms=rows.select("slo", pl.lit("burn").alias("quantity"), pl.lit("1").alias("unit"), of_unit=pl.col("unit")),
        unit="1",
        method=method,
        assumptions=(
            "given the bad share, windows scatter as independent events do, but for the dispersion measured",
            "what is measured of one unit or SLO says nothing of another"
            if pool == "none"
            else "units resemble each other",
        ),
        checks=tuple(checks),
        verdict="bounded" if bounds else "answered",
        origin=windows.origin(seed),
    )


def dispersion_of(counts: pl.DataFrame, width: timedelta, slo: str, unit: str) -> float:
    """Return Pearson's chi-square a degree of freedom, the largest over windows, hours and days; at least 1."""
    mine = counts.filter((pl.col("slo") == slo) & ((pl.col("unit") == unit) | (unit == "all")) & (pl.col("total") > 0))
    worst = 1.0
    for length in sorted({width, timedelta(hours=1), timedelta(days=1)}):
        if length < width:
            continue
        block = pl.col("time").dt.epoch("us") // (length // timedelta(microseconds=1))
        blocks = mine.group_by(block).agg(pl.col("total", "bad").sum()).sort("time")
        worst = max(worst, _pearson(blocks["bad"].to_numpy(), blocks["total"].to_numpy()))
    return worst


def _pearson(bad: NDArray[np.int64] | NDArray[np.float64], total: NDArray[np.int64]) -> float:
    share = float(bad.sum()) / max(float(total.sum()), 1.0)
    if len(bad) < _BLOCKS or share in (0.0, 1.0):
        return 1.0
    return float(np.sum((bad - total * share) ** 2 / total) / (share * (1 - share)) / (len(bad) - 1))


def _scatter_checks(rows: pl.DataFrame, scatter: NDArray[np.float64]) -> Iterator[Check]:
    """Say how much wider the burns were made; scatter beyond tenfold is another process, not noise."""
    for name, unit, factor in zip(rows["slo"], rows["unit"], scatter, strict=True):
        if unit == "all":
            says = (
                f"windows of {name} scatter {display.number(float(factor))} times as much as independent events would"
            )
            yield Check(
                name=f"dispersion {name}",
                passed=bool(factor < _WILD),
                says=says + ("" if factor == 1 else "; its interval was widened for it"),
            )


def _bounded(
    rows: pl.DataFrame,
    total: NDArray[np.float64],
    scatter: NDArray[np.float64],
    draws: NDArray[np.float64],
    pool: Pool,
    seed: int,
) -> Iterator[Check]:
    """Let every other draw take the fewest bad events, in place, so that 90 % of them cover either bound as often.

    The 5 % quantile of both halves together is the 10 % quantile of the lower, which is one-sided what an interval for
    a bounded parameter needs (Imbens and Manski 2004, doi:10.1111/j.1468-0262.2004.00555.x).
    """
    low = rows["bad_low"].to_numpy().astype(np.float64) / scatter
    least = np.random.default_rng([seed, 1]).beta(0.5 + low, 0.5 + total - low, size=draws.shape)
    if pool != "none":
        for _ in _pooled(rows, low, total, least, pool, seed):
            pass
    loose = (rows["bad_low"] < rows["bad"]).to_numpy()
    draws[1::2, loose] = least[1::2, loose]
    whole = rows.filter(pl.Series(loose) & (pl.col("unit") == "all"))
    for name, fewest, most in whole.select("slo", "bad_low", "bad").rows():
        says = f"buckets tell that between {fewest:,} and {most:,} events of {name} are bad; the most are counted"
        yield Check(name=f"bounds {name}", passed=False, says=says)


def _pooled(
    rows: pl.DataFrame,
    bad: NDArray[np.float64],
    total: NDArray[np.float64],
    draws: NDArray[np.float64],
    pool: Pool,
    seed: int,
) -> Iterator[Check]:
    """Replace the draws of SLOs with several units by pooled ones, in place; ``all`` is their traffic-weighted mean."""
    for number, name in enumerate(rows["slo"].unique(maintain_order=True)):
        mine = (rows["slo"] == name).to_numpy()
        units = mine & (rows["unit"] != "all").to_numpy()
        if units.sum() < 2:
            yield Check(name=f"pool {name}", passed=True, says=f"{name} has one unit, which was not pooled")
            continue
        factors = [codes for _, codes in factors_of(rows["unit"].filter(pl.Series(units)).to_list())]
        if pool == "laplace":
            rates = laplace_rates(bad[units], total[units], factors, seed=seed + number)
        else:
            from causalrel.bridges.pymc import pooled_rates

            rates, checks = pooled_rates(bad[units], total[units], factors, seed=seed + number)
            yield from (Check(name=f"{check.name} {name}", passed=check.passed, says=check.says) for check in checks)
        weights = rows["total"].to_numpy()[units]
        draws[:, units] = rates[:_DRAWS]
        draws[:, mine & ~units] = (rates[:_DRAWS] @ weights / weights.sum())[:, None]


def with_burns(ledger: pl.DataFrame, burns: Estimate) -> pl.DataFrame:
    """Add the burn's interval and the chance that it is above 1; nulls where it was refused or nothing was counted."""
    names = ("burn_low", "burn_high", "chance_over")
    if burns.verdict == "refused":
        return ledger.with_columns([pl.lit(None, dtype=pl.Float64).alias(name) for name in names])
    frame = burns.frame().select(
        "slo", pl.col("of_unit").alias("unit"), pl.col("low").alias(names[0]), pl.col("high").alias(names[1])
    )
    over = frame.with_columns(pl.Series(names[2], (burns.draws > 1.0).mean(axis=0)))
    return ledger.join(over, on=["slo", "unit"], how="left", maintain_order="left")
