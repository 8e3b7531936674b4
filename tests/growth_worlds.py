"""Services whose traffic grows or shrinks from a day on, and what it then does to their budgets."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from reach_worlds import AHEAD, SEEN, objectives, odds, scenario

import causalrel as cr

TIMES = (0.7, 0.85, 1.1, 1.2, 1.35, 1.5)
#: Runs whose mean is the truth of a change.
_RUNS = 6


class World(NamedTuple):
    """Windows seen, traffic and batch size asked about; each SLO's log odds of the days after, of several runs."""

    windows: cr.Windows
    times: float
    batch: int
    truth: dict[str, np.ndarray]


def world(seed: int, *, runs: int = _RUNS) -> World:
    """Draw a service whose operator switches batch size by load for ten days, and what other traffic does after."""
    rng = np.random.default_rng([seed, 92])
    real = scenario(rng)
    times, batch = float(rng.choice(TIMES)), int(rng.choice([4, 8]))
    ran = cr.simulate(real, seed=seed)
    cut = ran.frame()["time"].min() + timedelta(days=SEEN)
    slos = objectives(ran.frame().filter(pl.col("time") < cut))
    windows = cr.window(ran, slos, every="1h", by="node")
    windows = replace(windows, table=windows.table.filter(pl.col("time") < cut))
    seeds = [seed + 1_000_000 * run for run in range(runs)]
    arms = [[odds(busy(real, factor), slos, one, batch, cut) for one in seeds] for factor in (1.0, times)]
    truth = {slo.name: np.array([[made[slo.name] for made in arm] for arm in arms]) for slo in slos}
    return World(windows, times, batch, truth)


def busy(real: dict[str, Any], times: float) -> dict[str, Any]:
    """Give a service other traffic."""
    workload = real["workload"]
    return {**real, "workload": {**workload, "requests_per_s": workload["requests_per_s"] * times}}


class Scored(NamedTuple):
    """By SLO: the change of log odds told and its error, that of no change, whether bands held it and the share."""

    name: str
    times: float
    told: float
    error: float
    none: float
    inside: bool
    burn_inside: bool
    verdict: str


def score(seed: int) -> list[Scored]:
    """Ask what other traffic would do, and hold the answer against what it did."""
    made = world(seed)
    network = cr.fit(made.windows, cr.load_graph("llm-serving").project(made.windows.names), seed=seed)
    asked: list[dict[str, Any]] = [{"batch_size": made.batch}]
    asked.append(asked[0] | {"load": f"load * {made.times}"})
    answers = [cr.whatif(made.windows, network, do=one, horizon=f"{AHEAD}d", seed=seed) for one in asked]
    if any(answer.verdict == "refused" for answer in answers):
        return []
    scored = []
    for slo in made.windows.slos:
        was, there = (
            answer.select(slo=slo.name, quantity="bad_share", scenario="changed").draws[:, 0] for answer in answers
        )
        change = np.log(there / (1 - there)) - np.log(was / (1 - was))
        runs = made.truth[slo.name]
        true, share = float((runs[1] - runs[0]).mean()), float(1 / (1 + np.exp(-runs[1, 0])))
        low, high = np.quantile(change, [0.05, 0.95])
        band = np.quantile(there, [0.05, 0.95])
        scored.append(
            Scored(
                slo.name,
                made.times,
                float(change.mean()),
                abs(float(change.mean()) - true),
                abs(true),
                bool(low <= true <= high),
                bool(band[0] <= share <= band[1]),
                answers[1].verdict,
            )
        )
    return scored
