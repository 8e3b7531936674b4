"""Made months in which a mechanism drifts, its inputs shift, or neither; the truth known."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
from telemetry_worlds import remembered
from worlds import START, VARIABLES, serving_graph

import causalrel as cr
from causalrel.networks import expit
from causalrel.slos import SLO
from causalrel.windows import Windows

DAYS, PER_DAY = 28, 24
KINDS: dict[str, dict[str, float]] = {
    "nothing": {},
    "load shifts by half": {"load": 0.4},
    "queue a third longer": {"queue": 0.3},
    "bad share by half as much again": {"ttft": 0.4},
    "the same, and load shifts": {"ttft": 0.4, "load": 0.4},
    "nothing, noise remembers 50 hours": {"memory": 0.98},
}


def drifting_world(
    seed: int,
    *,
    queue: float = 0.0,
    ttft: float = 0.0,
    load: float = 0.0,
    memory: float = 0.9,
    units: int = 2,
    traffic: float = 80.0,
) -> Windows:
    """Hourly windows of a month; from day 17 on the log queue and the log odds of a slow answer rise by themselves.

    From day 11 on the log of load rises, which queue and answers follow. The bad share remembers, for all units alike.
    """
    rng = np.random.default_rng([seed, 55])
    n = DAYS * PER_DAY
    t = np.arange(n)
    late, later = t >= 11 * PER_DAY, t >= 17 * PER_DAY
    shared = 0.3 * remembered(rng, n, memory)
    frames = []
    for unit in range(units):
        went = np.exp(np.log(2) + 0.5 * np.sin(2 * np.pi * t / PER_DAY) + 0.2 * rng.normal(size=n) + load * late)
        batch = np.where(np.repeat(went.reshape(-1, 6).mean(axis=1) + 0.6 * rng.normal(size=n // 6), 6) > 2.1, 8, 4)
        clock = 1980 + 5 * rng.normal(size=n)
        own = 0.3 * remembered(rng, n, 0.5)
        waited = np.exp(-1 + 1.2 * np.log(went) - 0.05 * (batch - 4) + own + queue * later)
        eta = -4 + np.log(went) + 0.3 * waited + 0.5 * (batch == 8) + (1980 - clock) / 350 + shared + ttft * later
        total = rng.poisson(went * traffic) + 1
        frames.append(
            pl.DataFrame(
                {
                    "time": [START + timedelta(hours=int(i)) for i in t],
                    "unit": [f"gpu-{unit}"] * n,
                    "ttft.total": total,
                    "ttft.bad": rng.binomial(total, expit(eta)),
                    "load": went,
                    "batch_size": batch,
                    "sm_clock_mhz": clock,
                    "queue_s": waited,
                }
            )
        )
    table = pl.concat(frames).with_columns(
        pl.col("time").cast(pl.Datetime("us", "UTC")), pl.col("ttft.total", "ttft.bad", "batch_size").cast(pl.Int64)
    )
    slo = SLO(name="ttft", dimension="latency", target=0.95)
    return Windows(table=table, width=timedelta(hours=1), slos=(slo,), variables=VARIABLES)


def alarms_of(seed: int, kind: str) -> list[str]:
    """Which mechanisms are called drifted in a month of a kind."""
    answer = cr.drift(drifting_world(seed, **KINDS[kind]), serving_graph(), draws=50, seed=seed)  # type: ignore[arg-type]
    return [check.name.split(":")[0] for check in answer.failed if check.name.endswith(": drift")]
