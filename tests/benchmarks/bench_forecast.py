"""How true forecasts are on made months: when the budget is gone, how probably, and how many events are bad.

A month is forecast 7 and 14 days before its 28-day budget ends, unless the budget is gone by then. Where the public
traces are at hand, bad events of their rates are forecast too.

Run: python tests/benchmarks/bench_forecast.py [--months 500] [--first 500000] [--days 14 7] [--kinds bursts drift]
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).parents[1]))

from months import DAYS, KINDS, TARGET, Month, graph, make_month, make_traced

import causalrel as cr

RATES = Path(__file__).parents[2].parent / "shared" / "data" / "llm_traces" / "servegen_rates.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One forecast beside what came."""

    kind: str
    gone: bool
    chance: float
    straight: bool
    inside: bool
    moot: bool
    place: float
    crps: tuple[float, float, float, float]
    paid: bool
    bill: tuple[float, float]


def score(month: Month, ahead: int, seed: int) -> Score | None:
    """Forecast one month; nothing where its budget is gone already."""
    seen = (DAYS - ahead) * 24
    if month.exhausted <= seen:
        return None
    windows = month.seen(DAYS - ahead)
    network = cr.fit(windows, graph())
    answer = cr.forecast(windows, network, horizon=f"{ahead}d", seed=seed)
    chance = float(answer.select(quantity="exhausted_by").draws[:, -1].mean())
    lasts = answer.select(quantity="exhausted_by").draws[:, -1] == 0
    hours = np.where(lasts, np.inf, answer.select(quantity="exhaustion_time").draws[:, 0])
    truth = month.exhausted - seen
    low, high = np.quantile(hours, [0.05, 0.95], method="inverted_cdf")
    below = float((hours < truth).mean())
    upto = float((hours <= truth).mean()) if np.isfinite(truth) else 1.0
    place = np.random.default_rng([seed, 9]).uniform(below, max(upto, below))
    budget = (1 - TARGET) * month.total.sum()
    used, came = month.bad[:seen].sum(), month.bad[seen:].sum()
    events = answer.select(quantity="events").draws[:, 0]
    paid = answer.select(quantity="cost").draws[:, 0]
    bills = 3600 * np.nan_to_num(month.cost * month.load).reshape(-1, 24).sum(axis=1)
    days, due = bills[: DAYS - ahead], bills[DAYS - ahead :].sum()
    again = days[np.random.default_rng([seed, 7]).integers(len(days), size=(1000, ahead))].sum(axis=1)
    return Score(
        kind=month.kind,
        gone=bool(np.isfinite(truth)),
        chance=chance,
        straight=bool(used / seen * DAYS * 24 >= (1 - TARGET) * month.total[:seen].sum() / seen * DAYS * 24),
        inside=bool(low <= truth <= high),
        moot=bool(low == high),
        place=place,
        crps=tuple(crps(x, came) / budget for x in (events, *rivals(month.bad[:seen], ahead, seed))),
        paid=bool(np.quantile(paid, 0.05) <= due <= np.quantile(paid, 0.95)),
        bill=(crps(paid, due) / due, crps(again, due) / due),
    )


def traced(count: int, first: int, ahead: int) -> str:
    """Forecast bad events of public rates from the days before; return scores as shares of what came."""
    rates = pl.read_parquet(RATES).with_columns(pl.col("model").cast(pl.String), pl.col("client").cast(pl.Int64))
    found, came, inside = [], [], []
    for seed in range(first, first + count):
        made = make_traced(seed, rates)
        seen = (14 - ahead) * 24
        windows = made.seen(14 - ahead)
        answer = cr.forecast(windows, cr.fit(windows, graph()), horizon=f"{ahead}d", seed=seed)
        events, truth = answer.select(quantity="events").draws[:, 0], made.bad[seen:].sum()
        low, high = np.quantile(events, [0.05, 0.95])
        inside.append(low <= truth <= high)
        found.append([crps(x, truth) for x in (events, *rivals(made.bad[:seen], ahead, seed))])
        came.append(truth)
    scores = np.array(found) / np.maximum(np.array(came), np.mean(came) * 0.05)[:, None]
    told = " ".join(f"{score:6.3f}" for score in np.median(scores, axis=0))
    means = " ".join(f"{score:6.3f}" for score in np.sum(found, axis=0) / np.sum(came))
    better = " ".join(f"{(scores[:, 0] < scores[:, i]).mean():4.0%}" for i in (1, 2, 3))
    name = f"traces, {ahead} days {count:4d}  inside {np.mean(inside):5.1%}"
    return f"{name}  crps {means}  median {told}  better in {better}"


def rivals(bad: np.ndarray, ahead: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bad events ahead by the last week again, by weekdays drawn again, and by the mean rate so far."""
    days = bad.reshape(-1, 24).sum(axis=1)
    week = days[-7:]
    naive = np.array([np.tile(week, 2)[:ahead].sum()])
    rng = np.random.default_rng([seed, 8])
    drawn = sum(days[day % 7 :: 7][rng.integers(len(days[day % 7 :: 7]), size=1000)] for day in range(ahead))
    return naive, np.asarray(drawn), np.array([days.mean() * ahead])


def crps(draws: np.ndarray, truth: float) -> float:
    """Continuous ranked probability score of draws (Gneiting and Raftery 2007, doi:10.1198/016214506000001437)."""
    ordered = np.sort(draws)
    n = len(ordered)
    spread = (2 * np.arange(1, n + 1) - n - 1) @ ordered / n**2
    return float(np.abs(draws - truth).mean() - spread)


def slope(chance: np.ndarray, gone: np.ndarray) -> float:
    """Slope of a straight line of what came on what was told."""
    return float(np.polyfit(chance, gone, 1)[0])


def calibration_error(chance: np.ndarray, gone: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error over bins of equal width."""
    place = np.minimum((chance * bins).astype(int), bins - 1)
    return float(sum(abs((chance - gone)[place == b].sum()) for b in range(bins)) / len(chance))


def line(name: str, scores: list[Score]) -> str:
    """Sum up some forecasts."""
    gone = np.array([s.gone for s in scores], float)
    chance = np.array([s.chance for s in scores])
    straight = np.array([s.straight for s in scores], float)
    brier, plain = np.mean((chance - gone) ** 2), np.mean((straight - gone) ** 2)
    place = np.array([s.place for s in scores])
    open_ = np.array([not s.moot for s in scores])
    inside = np.array([s.inside for s in scores])
    means = np.mean([s.crps for s in scores], axis=0)
    return (
        f"{name:10s} {len(scores):5d}  {np.mean((place >= 0.05) & (place <= 0.95)):6.1%} "
        f"{np.mean(place < 0.05):5.1%} "
        f"{inside[open_].mean():6.1%} {open_.mean():5.0%}  {slope(chance, gone):5.2f} "
        f"{calibration_error(chance, gone):6.3f}  {brier:6.4f} {1 - brier / plain if plain else np.nan:6.2f}   "
        + " ".join(f"{mean:6.4f}" for mean in means)
        + f"   {np.mean([s.paid for s in scores]):6.1%} "
        + " ".join(f"{score:6.4f}" for score in np.mean([s.bill for s in scores], axis=0))
    )


def main() -> None:
    """Print a line a kind and horizon."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--months", type=int, default=500)
    parser.add_argument("--first", type=int, default=500_000)
    parser.add_argument("--days", type=int, nargs="*", default=[14, 7])
    parser.add_argument("--traces", type=int, default=100)
    parser.add_argument("--kinds", nargs="*", default=None)
    asked = parser.parse_args()
    out = sys.stdout.write
    head = "kind      months  placed early inside  open  slope    ece   brier  skill     crps  naive redrawn extrap."
    out(f"{head}     paid   crps redrawn\n")
    for ahead in asked.days:
        start, scores = time.process_time(), []
        for seed in range(asked.first, asked.first + asked.months):
            kind = None if not asked.kinds else asked.kinds[seed % len(asked.kinds)]
            made = score(make_month(seed, kind), ahead, seed)
            scores += [] if made is None else [made]
        taken = (time.process_time() - start) / asked.months
        for kind in asked.kinds or KINDS:
            mine = [s for s in scores if s.kind == kind]
            if len(mine) > 3:
                out(line(kind, mine) + "\n")
        out(line(f"{ahead} days", scores) + f"   {taken:.2f} CPU-s a month\n")
        sys.stdout.flush()
    for ahead in (3, 7) if asked.traces and RATES.exists() else ():
        out(traced(asked.traces, asked.first, ahead) + "\n")


if __name__ == "__main__":
    main()
