"""Made rollouts whose truth is known: noise that remembers, load, hours of the day, one switch a unit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import polars as pl
from telemetry_worlds import remembered

import causalrel as cr
from causalrel.networks import expit
from causalrel.slos import SLO
from causalrel.variables import Variable
from causalrel.windows import Windows

START = datetime(2026, 3, 2, tzinfo=UTC)
HOURS = 168
MEMORIES = (0.0, 0.5, 0.9)
OUTCOMES = ("continuous", "rare event")
DESIGNS = ("interrupted", "differences", "synthetic")
#: Hour of each unit's switch; none where it never did.
SWITCHES = {
    "interrupted": (96,),
    "differences": (60, 60, 90, 90, 120, 120, None, None, None, None),
    "synthetic": (100, *[None] * 10),
}


class World(NamedTuple):
    """Windows, their graph, the outcome asked about, and the mean effect in the windows that the rollout reached."""

    windows: Windows
    graph: cr.Graph
    on: str
    truth: float


def rollout_world(seed: int, *, design: str, memory: float, outcome: str, drift: float = 0.0) -> World:
    """Draw a week of hours of each unit.

    The effect grows over the first day after a switch. Units differ in level; hours share the time of day and, where
    there are several units, noise; for a synthetic control they also share a slow factor, each in its own measure.
    ``drift`` is how far units that switch move up over the week, in standard deviations of the noise, on their own.
    """
    cell = [DESIGNS.index(design), MEMORIES.index(memory), OUTCOMES.index(outcome), int(drift * 100)]
    rng = np.random.default_rng([seed, 77, *cell])
    switches = SWITCHES[design]
    at = np.arange(HOURS)
    shared = remembered(rng, HOURS, memory) * (len(switches) > 1)
    slow = remembered(rng, HOURS, 0.97) * (design == "synthetic")
    frames, effects, weights = [], [], []
    for unit, switch in enumerate(switches):
        x = np.sin(2 * np.pi * (at / 24 - 0.3)) + 0.5 * remembered(rng, HOURS, 0.8)
        load = np.exp(0.4 * x)
        after = np.zeros(HOURS) if switch is None else at >= switch
        size = 1.0 if design == "interrupted" else 0.7 + 0.3 * np.clip((at - (switch or 0)) / 24, 0, 1)
        noise = remembered(rng, HOURS, memory) + 0.7 * shared + rng.uniform(0, 1.5) * slow
        line = rng.normal() + 0.8 * x + noise + drift * (switch is not None) * at / HOURS
        total = rng.poisson(300 * load) + 1
        columns = {"load": load, "model_version": np.where(after == 1, "v2", "v1")}
        bad = np.zeros(HOURS, dtype=np.int64)
        if outcome == "continuous":
            columns["latency"] = line + size * after
            effects.append((size * after)[after == 1])
            weights.append(np.ones(int(after.sum())))
        else:
            without, with_it = (expit(-5.0 + 0.4 * line + 0.7 * size * there) for there in (0.0, 1.0))
            bad = rng.binomial(total, np.where(after == 1, with_it, without))
            effects.append((with_it - without)[after == 1])
            weights.append(total[after == 1].astype(float))
        time = [START + timedelta(hours=int(hour)) for hour in at]
        frames.append(
            pl.DataFrame(
                {"time": time, "unit": [f"node-{unit}"] * HOURS, "ttft.total": total, "ttft.bad": bad, **columns}
            )
        )
    truth = float(np.average(np.concatenate(effects), weights=np.concatenate(weights)))
    return World(*_asked(pl.concat(frames), continuous=outcome == "continuous"), truth)


def _asked(table: pl.DataFrame, *, continuous: bool) -> tuple[Windows, cr.Graph, str]:
    variables = [Variable(name="load", role="workload"), Variable(name="model_version", role="config", kind="category")]
    if continuous:
        variables.append(Variable(name="latency", role="engine", unit="s"))
    windows = Windows(
        table=table.with_columns(pl.col("time").cast(pl.Datetime("us", "UTC"))).sort("unit", "time"),
        width=timedelta(hours=1),
        slos=(SLO(name="ttft", dimension="latency", target=0.98),),
        variables=tuple(variables),
    )
    on = "latency" if continuous else "ttft"
    roles = {"load": "workload", "model_version": "config", on: "engine" if continuous else "outcome"}
    return windows, cr.Graph.from_edges([("load", on), ("model_version", on)], roles=roles), on
