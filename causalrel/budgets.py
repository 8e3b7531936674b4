"""Budgets: exact event arithmetic, and how fast the budget truly burns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from causalrel import display, errors
from causalrel.estimates import Check, Estimate, Origin, Verdict, refusal
from causalrel.provenance import rounded
from causalrel.slos import SLO, slo_window
from causalrel.variables import parse_time

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.windows import Windows

_DRAWS = 4000
_COVERED = 0.95
_WILD = 10.0
_BLOCKS = 8
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What each SLO's error budget was, what is left of it and how fast it burns.

    Parameters
    ----------
    table : polars.DataFrame
        One row an SLO and unit, and one an SLO with unit ``all``: ``slo``, ``tier``, ``unit``, ``total`` and ``bad``
        (events), ``allowed`` (bad events the target allows), ``spent`` (bad out of allowed), ``left`` (events, may be
        negative), ``burn`` (bad share out of the share allowed), then the burn that holds beyond the events seen:
        ``burn_low`` and ``burn_high`` (central 90 %) and ``chance_over`` (probability that it is above 1).
    timeline : polars.DataFrame
        One row an SLO and window, over all units: ``slo``, ``time``, ``total``, ``bad``, ``allowed`` (events allowed so
        far), ``spent`` (share of the budget of the whole span spent so far), ``burn`` (in this window).
    as_of : datetime.datetime
        End of the time windows, UTC.
    slos : tuple of SLO
        The SLOs.
    burns : Estimate
        Draws of the true burn of each SLO and unit.
    origin : Origin
        Where it comes from.
    checks : tuple of Check
        What was tested.
    verdict : {"answered", "bounded", "refused"}
        Whether the burns are an answer; the events counted stand in any case.

    Examples
    --------
    >>> import causalrel as cr
    >>> made = cr.Windows.from_frame(
    ...     pl.DataFrame({"t": ["2026-02-11T09:00Z", "2026-02-11T10:00Z"], "n": [900, 1100], "bad": [4, 7]}),
    ...     time="t",
    ...     roles={},
    ...     events={"ttft": ("n", "bad")},
    ... )
    >>> cr.budget(made).table.select("unit", "total", "bad", "allowed", "spent").row(0)
    ('all', 2000, 11, 20.0, 0.55)
    """

    table: pl.DataFrame
    timeline: pl.DataFrame
    as_of: datetime
    slos: tuple[SLO, ...]
    burns: Estimate
    origin: Origin
    checks: tuple[Check, ...]
    verdict: Verdict

    def frame(self) -> pl.DataFrame:
        """Return the table.

        Returns
        -------
        polars.DataFrame
            One row an SLO and unit.
        """
        return self.table

    def facts(self) -> dict[str, Any]:
        """Return the budget as JSON-ready facts, the verdict first.

        Returns
        -------
        dict
            Floats at six significant digits.
        """
        done: dict[str, Any] = rounded(
            {
                "verdict": self.verdict,
                "reason": self.burns.why if self.verdict != "answered" else "",
                "as_of": self.as_of,
                "checks": [{"name": c.name, "passed": c.passed, "says": c.says} for c in self.checks],
                "budgets": self.table.to_dicts(),
                "slos": [slo.facts() for slo in self.slos],
                "method": self.burns.method,
                "assumptions": list(self.burns.assumptions),
                "origin": self.origin.facts(),
            }
        )
        return done

    def __repr__(self) -> str:
        shown = self.table.filter(pl.col("unit") == "all") if self.table.height > 20 else self.table
        names = [name for name in shown.columns if name != "tier" or (shown[name] != "").any()]
        lines = [f"{self.verdict}: error budgets as of {display.when(self.as_of)} UTC"]
        lines += [display.plain(f"check failed: {c.name}: {c.says}") for c in self.checks if not c.passed]
        return "\n".join([*lines, display.text_table(names, shown.select(names).rows())])

    def _repr_html_(self) -> str:
        failed = "".join(f"<li>{display.markup(f'{c.name}: {c.says}')}</li>" for c in self.checks if not c.passed)
        title = f"{self.verdict}: error budgets as of {display.when(self.as_of)} UTC"
        told = f"<p>checks that failed</p><ul>{failed}</ul>" if failed else ""
        return display.frame_html(title, self.table, rows=20) + told


def budget(windows: Windows, *, as_of: str | datetime | None = None, pooled: bool = False, seed: int = 0) -> Budget:
    """Count every event against its budget, and say how fast the budget truly burns.

    The events are exact and add up over units and windows. The burn beyond the events seen is the posterior of the bad
    share under the Jeffreys prior, its counts divided by how much more the windows scatter than independent events
    would; with ``pooled``, units borrow from each other instead.

    Parameters
    ----------
    windows : Windows
        Event counts.
    as_of : str, datetime.datetime or None
        End of the SLOs' time windows, taken as UTC where it has no zone; None for the end of the data.
    pooled : bool
        Whether the units' burns are pooled, by a sampler that takes seconds to compile.
    seed : int
        Seed of the draws.

    Returns
    -------
    Budget
        Table, timeline and burns.

    Raises
    ------
    CausalrelError
        When no window ends before ``as_of``, or a calendar starts after it.

    References
    ----------
    Brown, Cai and DasGupta (2001), Interval estimation for a binomial proportion, doi:10.1214/ss/1009213286;
    McCullagh and Nelder (1989), Generalized Linear Models, section 4.5, for the dispersion.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"))
    >>> made = cr.budget(windows)
    >>> made.table["left"].equals(made.table["allowed"] - made.table["bad"])
    True
    """
    end = parse_time(as_of, "as_of") if as_of is not None else windows.span[1]
    counts = pl.concat([_counts(windows, slo, end) for slo in windows.slos])
    if counts.is_empty():
        raise errors.bad_question(
            f"as_of {display.when(end)} leaves no window inside any SLO's time window",
            f"choose a time after {display.when(windows.span[0])}",
        )
    ledger = _ledger(counts, windows.slos)
    coverage = _coverage(windows, counts, end)
    burns = _burns(windows, counts, ledger, coverage, end, pooled=pooled, seed=seed)
    return Budget(
        table=_with_burns(ledger, burns),
        timeline=_timeline(counts, windows.slos),
        as_of=end,
        slos=windows.slos,
        burns=burns,
        origin=burns.origin,
        checks=burns.checks,
        verdict=burns.verdict,
    )


def _counts(windows: Windows, slo: SLO, end: datetime) -> pl.DataFrame:
    """Return ``slo``, ``time``, ``unit``, ``total``, ``bad`` of the windows inside an SLO's time window."""
    start, _ = slo_window(slo, end)
    inside = (pl.col("time") >= start) & (pl.col("time") <= end - windows.width)
    return windows.table.filter(inside).select(
        pl.lit(slo.name).alias("slo"),
        "time",
        "unit",
        pl.col(f"{slo.name}.total").alias("total"),
        pl.col(f"{slo.name}.bad").alias("bad"),
    )


def _ledger(counts: pl.DataFrame, slos: tuple[SLO, ...]) -> pl.DataFrame:
    """Add events up for each SLO and unit, then over all units; a unit named ``all`` is all there is."""
    each = counts.group_by("slo", "unit").agg(pl.col("total", "bad").sum())
    whole = counts.group_by("slo").agg(pl.col("total", "bad").sum()).with_columns(unit=pl.lit("all"))
    parts = each.filter(pl.col("unit") != "all").select("slo", "unit", "total", "bad")
    rows = pl.concat([whole.select("slo", "unit", "total", "bad"), parts])
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
        .select([pl.col(name).cast(kind) for name, kind in _LEDGER.items()])
    )


def _timeline(counts: pl.DataFrame, slos: tuple[SLO, ...]) -> pl.DataFrame:
    made = []
    for slo in slos:
        mine = counts.filter(pl.col("slo") == slo.name).group_by("slo", "time")
        seen = pl.col("total").count() > 0
        summed = mine.agg(
            total=pl.when(seen).then(pl.col("total").sum()), bad=pl.when(seen).then(pl.col("bad").sum())
        ).sort("time")
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


def _coverage(windows: Windows, counts: pl.DataFrame, end: datetime) -> tuple[Check, ...]:
    """Say how much of each time window the data cover, SLOs that agree in one sentence."""
    said: dict[tuple[timedelta, timedelta], list[str]] = {}
    for slo in windows.slos:
        start, stop = slo_window(slo, end)
        seen = counts.filter((pl.col("slo") == slo.name) & pl.col("total").is_not_null())["time"].n_unique()
        said.setdefault((seen * windows.width, min(stop, end) - start), []).append(slo.name)
    made = []
    for (seen_for, until), names in said.items():
        full = seen_for >= _COVERED * until
        says = f"the data cover {display.length(seen_for)} of {display.length(until)} of {', '.join(names)}"
        made.append(
            Check(name="coverage", passed=full, says=says + ("" if full else "; the budget is of that part alone"))
        )
    return tuple(made)


def _burns(
    windows: Windows,
    counts: pl.DataFrame,
    ledger: pl.DataFrame,
    coverage: tuple[Check, ...],
    end: datetime,
    *,
    pooled: bool,
    seed: int,
) -> Estimate:
    """Draw the true burn of every row of the ledger that has events."""
    rows = ledger.filter(pl.col("total") > 0)
    question = f"How fast does each budget burn as of {display.when(end)} UTC?"
    method = "Jeffreys posterior of the bad share, counts divided by their dispersion"
    if pooled:
        method = "hierarchical logit over the units of an SLO, counts divided by their dispersion"
    if rows.is_empty():
        none = Check(name="events", passed=False, says="no SLO counted an event")
        return refusal(question, method=method, checks=[*coverage, none], origin=windows.origin(seed))
    scatter = np.array([_dispersion(counts, windows, slo, unit) for slo, unit in rows.select("slo", "unit").rows()])
    bad, total = (rows[name].to_numpy().astype(np.float64) / scatter for name in ("bad", "total"))
    draws = np.random.default_rng(seed).beta(0.5 + bad, 0.5 + total - bad, size=(_DRAWS, rows.height))
    checks = [*coverage, *_scatter_checks(rows, scatter)]
    if pooled:
        checks += _pool(rows, bad, total, draws, seed)
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
            if not pooled
            else "units resemble each other",
        ),
        checks=tuple(checks),
        verdict="answered",
        origin=windows.origin(seed),
    )


def _dispersion(counts: pl.DataFrame, windows: Windows, slo: str, unit: str) -> float:
    """Return Pearson's chi-square a degree of freedom, the largest over windows, hours and days; at least 1."""
    mine = counts.filter((pl.col("slo") == slo) & ((pl.col("unit") == unit) | (unit == "all")) & (pl.col("total") > 0))
    worst = 1.0
    for width in sorted({windows.width, timedelta(hours=1), timedelta(days=1)}):
        if width < windows.width:
            continue
        block = pl.col("time").dt.epoch("us") // (width // timedelta(microseconds=1))
        blocks = mine.group_by(block).agg(pl.col("total", "bad").sum()).sort("time")
        worst = max(worst, _pearson(blocks["bad"].to_numpy(), blocks["total"].to_numpy()))
    return worst


def _pearson(bad: NDArray[np.int64], total: NDArray[np.int64]) -> float:
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


def _pool(
    rows: pl.DataFrame, bad: NDArray[np.float64], total: NDArray[np.float64], draws: NDArray[np.float64], seed: int
) -> Iterator[Check]:
    """Replace the draws of SLOs with several units by pooled ones, in place; ``all`` is their traffic-weighted mean."""
    for number, name in enumerate(rows["slo"].unique(maintain_order=True)):
        mine = (rows["slo"] == name).to_numpy()
        units = mine & (rows["unit"] != "all").to_numpy()
        if units.sum() < 2:
            yield Check(name=f"pool {name}", passed=True, says=f"{name} has one unit, which was not pooled")
            continue
        from causalrel.bridges.pymc import pooled_rates

        rates, checks = pooled_rates(bad[units], total[units], seed=seed + number)
        yield from (Check(name=f"{check.name} {name}", passed=check.passed, says=check.says) for check in checks)
        weights = rows["total"].to_numpy()[units]
        draws[:, units] = rates[:_DRAWS]
        draws[:, mine & ~units] = (rates[:_DRAWS] @ weights / weights.sum())[:, None]


def _with_burns(ledger: pl.DataFrame, burns: Estimate) -> pl.DataFrame:
    """Add the burn's interval and the chance that it is above 1; nulls where it was refused or nothing was counted."""
    names = ("burn_low", "burn_high", "chance_over")
    if burns.verdict == "refused":
        return ledger.with_columns([pl.lit(None, dtype=pl.Float64).alias(name) for name in names])
    frame = burns.frame().select(
        "slo", pl.col("of_unit").alias("unit"), pl.col("low").alias(names[0]), pl.col("high").alias(names[1])
    )
    over = frame.with_columns(pl.Series(names[2], (burns.draws > 1.0).mean(axis=0)))
    return ledger.join(over, on=["slo", "unit"], how="left", maintain_order="left")
