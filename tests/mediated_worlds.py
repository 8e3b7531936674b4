"""Made telemetry whose mediated share is known: load confounds a held setting, its mediator and the outcome."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

import numpy as np
import polars as pl
from telemetry_worlds import START, remembered

import causalrel as cr
from causalrel.networks import expit
from causalrel.slos import SLO
from causalrel.variables import Variable
from causalrel.windows import Windows

OUTCOMES = ("number", "events")


class Mediated(NamedTuple):
    """Windows, their graph, the outcome asked about, and the true total and the part that goes through ``queue_s``."""

    windows: Windows
    graph: cr.Graph
    on: str
    total: float
    through: float


def mediated_world(
    seed: int, *, outcome: str, direct: float = 1.0, along: float = 1.0, before: float = 0.0, count: int = 1500
) -> Mediated:
    """Draw ten-minute windows; the setting is held for an hour, all noise has memory 0.9.

    With ``before`` the setting moves ``running`` too, which causes both the mediator and the outcome: then the part
    that goes through is the interventional one, the mediator drawn apart from what was running.
    """
    rng = np.random.default_rng([seed, OUTCOMES.index(outcome)])
    at = np.arange(count)
    x = np.sin(2 * np.pi * (at / 144 - 0.3)) + 0.7 * remembered(rng, count, 0.95)
    starts = x[::6]
    larger = np.repeat(rng.random(len(starts)) < expit(0.8 * starts), 6)[:count].astype(float)
    own, noise, busy = (remembered(rng, count, 0.9) for _ in range(3))

    def running(which: np.ndarray, left: np.ndarray) -> np.ndarray:
        return before * which + 0.5 * x + left

    def queue(which: np.ndarray, held: np.ndarray, left: np.ndarray) -> np.ndarray:
        return along * which + 0.8 * x + 0.5 * bool(before) * held + left

    def line(which: np.ndarray, held: np.ndarray, waiting: np.ndarray) -> np.ndarray:
        return direct * which + waiting + 0.7 * x + 0.5 * bool(before) * held

    def nested(which: float, under: float, swap: np.ndarray) -> np.ndarray:
        """The outcome at one level, the mediator as under another with the noise of some rows."""
        one, other = np.full(count, which), np.full(count, under)
        return line(one, running(one, busy), queue(other, running(other, busy[swap]), own[swap]))

    total = rng.poisson(400 * np.exp(0.3 * x)) + 1
    held = running(larger, busy)
    waiting = queue(larger, held, own)
    seen = line(larger, held, waiting)
    columns: dict[str, np.ndarray] = {"load": np.exp(0.5 * x), "batch_size": np.where(larger == 1, 8, 4)}
    columns["queue_s"] = waiting
    columns |= {"running": held} if before else {}
    bad, weights = np.zeros(count, dtype=np.int64), np.ones(count)
    if outcome == "number":
        columns["latency"] = seen + noise
    else:
        bad = rng.binomial(total, expit(-4.5 + 0.5 * seen + 0.4 * noise))
        weights = total.astype(float)

    def mean(which: float, under: float, swap: np.ndarray) -> float:
        made = nested(which, under, swap)
        made = made if outcome == "number" else expit(-4.5 + 0.5 * made + 0.4 * noise)
        return float(made @ weights / weights.sum())

    swaps = [rng.permutation(count) for _ in range(40)] if before else [at]
    through = float(np.mean([mean(1.0, 1.0, swap) - mean(1.0, 0.0, swap) for swap in swaps]))
    table = pl.DataFrame(
        {
            "time": [START + timedelta(minutes=10 * int(i)) for i in at],
            "unit": ["all"] * count,
            "ttft.total": total,
            "ttft.bad": bad,
            **columns,
        }
    ).with_columns(pl.col("time").cast(pl.Datetime("us", "UTC")), pl.col("batch_size").cast(pl.Int64))
    on = "latency" if outcome == "number" else "ttft"
    roles = {"load": "workload", "batch_size": "config", "queue_s": "engine"}
    roles |= {"running": "engine"} if before else {}
    variables = [Variable(name=name, role=role, kind="number") for name, role in roles.items()]
    if outcome == "number":
        variables.append(Variable(name="latency", role="engine", unit="s"))
    windows = Windows(
        table=table,
        width=timedelta(minutes=10),
        slos=(SLO(name="ttft", dimension="latency", target=0.95),),
        variables=tuple(variables),
    )
    edges = [("load", name) for name in ("batch_size", "queue_s", on)]
    edges += [("batch_size", "queue_s"), ("batch_size", on), ("queue_s", on)]
    if before:
        edges += [(cause, "running") for cause in ("load", "batch_size")] + [("running", "queue_s"), ("running", on)]
    graph = cr.Graph.from_edges(edges, roles=roles | {on: "engine" if outcome == "number" else "outcome"})
    return Mediated(windows, graph, on, mean(1.0, 1.0, at) - mean(0.0, 0.0, at), through)
