"""Made incidents of three planted causes, and each cause's true share of the change."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import permutations
from typing import NamedTuple

import numpy as np
import polars as pl
from telemetry_worlds import remembered
from worlds import START, VARIABLES, serving_graph

import causalrel as cr
from causalrel.attribution import _paired, _rows
from causalrel.networks import expit
from causalrel.slos import SLO
from causalrel.variables import Variable
from causalrel.windows import Windows

DRIVERS = ("load", "batch_size", "sm_clock_mhz", "queue_s")
_NOISE = 0.3


class Incident(NamedTuple):
    """Windows, the span that burnt, and the true share of bad events that each driver added."""

    windows: Windows
    during: tuple[datetime, datetime]
    shares: dict[str, float]


def incident_world(seed: int, *, days: int = 7, units: int = 4, memory: float = 0.9) -> Incident:
    """Half-hour windows of a fleet; on the last half day load rises, clocks drop and the queue's mechanism slows.

    How far each moves is drawn at random; batch size follows load and is held for six hours; noise in the log odds
    remembers and is shared by the units.
    """
    rng = np.random.default_rng([seed, 17])
    n = days * 48
    t = np.arange(n)
    late = t >= n - 24
    more, slower, hotter = rng.uniform(0.1, 0.4), rng.uniform(0.2, 0.6), rng.uniform(100, 400)
    shared = _NOISE * remembered(rng, n, memory)
    frames = []
    for unit in range(units):
        load = np.exp(np.log(2) + 0.5 * np.sin(2 * np.pi * t / 48) + 0.2 * rng.normal(size=n) + more * late)
        policy = 0.6 * rng.normal(size=n // 12)
        batch = np.where(np.repeat(load.reshape(-1, 12).mean(axis=1) + policy, 12) > 2.1, 8, 4)
        clock = 1980 + 5 * rng.normal(size=n) - hotter * late
        queue = np.exp(-1 + 1.2 * np.log(load) - 0.05 * (batch - 4) + 0.3 * rng.normal(size=n) + slower * late)
        total = rng.poisson(load * 40) + 1
        bad = rng.binomial(total, expit(_risk(load, batch, clock, queue) + shared))
        frames.append(
            pl.DataFrame(
                {
                    "time": [START + timedelta(minutes=30 * int(i)) for i in t],
                    "unit": [f"gpu-{unit}"] * n,
                    "ttft.total": total,
                    "ttft.bad": bad,
                    "load": load,
                    "batch_size": batch,
                    "sm_clock_mhz": clock,
                    "queue_s": queue,
                }
            )
        )
    table = pl.concat(frames).with_columns(
        pl.col("time").cast(pl.Datetime("us", "UTC")), pl.col("ttft.total", "ttft.bad", "batch_size").cast(pl.Int64)
    )
    slo = SLO(name="ttft", dimension="latency", target=0.95)
    windows = Windows(table=table, width=timedelta(minutes=30), slos=(slo,), variables=VARIABLES)
    during = (START + timedelta(days=days) - timedelta(hours=12), START + timedelta(days=days))
    return Incident(windows, during, _true_shares(windows, during))


def _risk(load: np.ndarray, batch: np.ndarray, clock: np.ndarray, queue: np.ndarray) -> np.ndarray:
    made: np.ndarray = -4 + np.log(load) + 0.3 * queue + 0.5 * (batch == 8) + (1980 - clock) / 350
    return made


def _true_shares(windows: Windows, during: tuple[datetime, datetime]) -> dict[str, float]:
    """Shapley values under the true mechanisms, on the rows that are compared, noise averaged out."""
    now, before, _ = _rows(windows, [*DRIVERS, "ttft"], during, None)
    left, right, mass = _paired(now["ttft.total"], before["ttft.total"])
    own = {
        name: (now[name][left].astype(float), before[name][right].astype(float))
        for name in ("load", "batch_size", "sm_clock_mhz")
    }
    rest = [
        np.log(one["queue_s"]) + 1 - 1.2 * np.log(one["load"]) + 0.05 * (one["batch_size"] - 4) for one in (now, before)
    ]
    own["queue_s"] = (rest[0][left], rest[1][right])
    nodes, weights = np.polynomial.hermite_e.hermegauss(15)

    def worth(chosen: frozenset[str]) -> float:
        load, batch, clock, rest_of = (own[name][0 if name in chosen else 1] for name in DRIVERS)
        queue = np.exp(-1 + 1.2 * np.log(load) - 0.05 * (batch - 4) + rest_of)
        eta = _risk(load, batch, clock, queue)[:, None] + _NOISE * nodes
        return float(mass @ (expit(eta) @ weights) / weights.sum())

    made = dict.fromkeys(DRIVERS, 0.0)
    orders = list(permutations(DRIVERS))
    for order in orders:
        for i, name in enumerate(order):
            made[name] += (worth(frozenset(order[: i + 1])) - worth(frozenset(order[:i]))) / len(orders)
    return made


def pair_world(seed: int, *, base: float, step: float) -> Incident:
    """Half-hour windows of a fleet where two settings move on the last half day, each by ``step`` in the log odds.

    From a small ``base`` chance of a bad event the two multiply; near one half they add. The true share under ``both``
    is what came only as both moved.
    """
    rng = np.random.default_rng([seed, 31])
    n = 7 * 48
    late = np.arange(n) >= n - 24
    shared = _NOISE * remembered(rng, n, 0.9)
    frames = []
    for unit in range(4):
        moved = {name: 0.5 * remembered(rng, n, 0.8) + step * late for name in ("power", "depth")}
        total = rng.poisson(120, n) + 1
        bad = rng.binomial(total, expit(np.log(base / (1 - base)) + sum(moved.values()) + shared))
        columns = {"time": [START + timedelta(minutes=30 * i) for i in range(n)], "unit": [f"gpu-{unit}"] * n}
        frames.append(pl.DataFrame({**columns, "slow.total": total, "slow.bad": bad, **moved}))
    table = pl.concat(frames).with_columns(
        pl.col("time").cast(pl.Datetime("us", "UTC")), pl.col("slow.total", "slow.bad").cast(pl.Int64)
    )
    windows = Windows(
        table=table,
        width=timedelta(minutes=30),
        slos=(SLO(name="slow", dimension="latency", target=0.95),),
        variables=tuple(Variable(name=name, role="config") for name in ("power", "depth")),
    )
    during = (START + timedelta(days=6, hours=12), START + timedelta(days=7))
    return Incident(windows, during, {"both": _true_pair(windows, during, base)})


def _true_pair(windows: Windows, during: tuple[datetime, datetime], base: float) -> float:
    """The share of bad events that came only as both moved, on the rows that are compared, noise averaged out."""
    now, before, _ = _rows(windows, ["power", "depth", "slow"], during, None)
    left, right, mass = _paired(now["slow.total"], before["slow.total"])
    nodes, weights = np.polynomial.hermite_e.hermegauss(15)

    def worth(power: int, depth: int) -> float:
        spans = ((now, left), (before, right))
        moved = [spans[at][0][name][spans[at][1]] for name, at in (("power", power), ("depth", depth))]
        eta = (np.log(base / (1 - base)) + sum(moved))[:, None] + _NOISE * nodes
        return float(mass @ (expit(eta) @ weights) / weights.sum())

    return worth(0, 0) - worth(0, 1) - worth(1, 0) + worth(1, 1)


def told_pairs(incident: Incident, seed: int = 0) -> cr.Estimate:
    """What attribution says of two settings that moved together."""
    roles = {"power": "config", "depth": "config", "slow": "outcome"}
    graph = cr.Graph.from_edges([("power", "slow"), ("depth", "slow")], roles=roles)  # type: ignore[arg-type]
    return cr.attribute(incident.windows, cr.fit(incident.windows, graph, seed=seed), during=incident.during, seed=seed)


def told_shares(incident: Incident, seed: int = 0) -> cr.Estimate:
    """What attribution says of an incident."""
    network = cr.fit(incident.windows, serving_graph(), seed=seed)
    return cr.attribute(incident.windows, network, during=incident.during, on="ttft", seed=seed)
