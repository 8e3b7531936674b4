"""Small made worlds whose truth is known, for tests of what is asked of windows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from causalrel.graphs import Graph
from causalrel.slos import SLO
from causalrel.variables import Variable
from causalrel.windows import Windows

START = datetime(2026, 2, 9, tzinfo=UTC)
VARIABLES = (
    Variable(name="load", role="workload", unit="1/s"),
    Variable(name="batch_size", role="config", kind="count", unit="1"),
    Variable(name="sm_clock_mhz", role="hardware", unit="MHz"),
    Variable(name="queue_s", role="engine", unit="s"),
)
EDGES = [
    ("load", "batch_size"),
    ("load", "queue_s"),
    ("batch_size", "queue_s"),
    ("load", "ttft"),
    ("batch_size", "ttft"),
    ("queue_s", "ttft"),
    ("sm_clock_mhz", "ttft"),
]
ROLES = {
    "load": "workload",
    "batch_size": "config",
    "sm_clock_mhz": "hardware",
    "queue_s": "engine",
    "ttft": "outcome",
}


def serving_graph() -> Graph:
    """The true graph of :func:`serving_world`."""
    return Graph.from_edges(EDGES, roles=ROLES, name="world")  # type: ignore[arg-type]


def serving_world(
    seed: int = 0, *, days: int = 7, units: int = 4, effect: float = 0.5, memory: float = 0.9, bad_unit: bool = True
) -> tuple[Windows, float]:
    """Half-hour windows of a fleet where load raises batch size; the true burn of batch 8 over 4 beside them.

    Batch size is held for six hours and follows load; noise in the log odds has autocorrelation ``memory`` and all
    units share it; the clock of the last unit drops 15 hours before the end.
    """
    rng = np.random.default_rng(seed)
    n = days * 48
    t = np.arange(n)
    shared = np.zeros(n)
    for i in range(1, n):
        shared[i] = memory * shared[i - 1] + rng.normal() * 0.3 * np.sqrt(1 - memory**2)
    frames, low, high, weight = [], 0.0, 0.0, 0.0
    for u in range(units):
        load = np.exp(np.log(2) + 0.5 * np.sin(2 * np.pi * t / 48) + 0.2 * rng.normal(size=n))
        policy = rng.normal(size=n // 12) * 0.6
        batch = np.where(np.repeat(load.reshape(-1, 12).mean(axis=1) + policy, 12) > 2.1, 8, 4)
        clock = 1980 + 5 * rng.normal(size=n)
        if bad_unit and u == units - 1:
            clock[-30:] -= 700
        noise = 0.3 * rng.normal(size=n)

        def risk(size, load=load, clock=clock, noise=noise):  # type: ignore[no-untyped-def]
            queue = np.exp(-1 + 1.2 * np.log(load) - 0.05 * (size - 4) + noise)
            eta = -4 + np.log(load) + 0.3 * queue + effect * (size == 8) + (1980 - clock) / 350 + shared
            return queue, 1 / (1 + np.exp(-eta))

        queue, p = risk(batch)
        total = rng.poisson(load * 40) + 1
        low += float(total @ risk(np.full(n, 4))[1])
        high += float(total @ risk(np.full(n, 8))[1])
        weight += float(total.sum())
        frames.append(
            pl.DataFrame(
                {
                    "time": [START + timedelta(minutes=30 * int(i)) for i in t],
                    "unit": [f"gpu-{u}"] * n,
                    "ttft.total": total,
                    "ttft.bad": rng.binomial(total, p),
                    "load": load,
                    "batch_size": batch,
                    "sm_clock_mhz": clock,
                    "queue_s": queue,
                }
            )
        )
    slo = SLO(name="ttft", dimension="latency", target=0.95)
    table = pl.concat(frames).with_columns(
        pl.col("time").cast(pl.Datetime("us", "UTC")), pl.col("ttft.total", "ttft.bad", "batch_size").cast(pl.Int64)
    )
    windows = Windows(table=table, width=timedelta(minutes=30), slos=(slo,), variables=VARIABLES)
    return windows, (high - low) / weight / slo.allowed
