"""Made telemetry of one service: load confounds a held configuration, noise remembers, the true effect is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import polars as pl

import causalrel as cr
from causalrel.networks import expit
from causalrel.slos import SLO
from causalrel.variables import Variable
from causalrel.windows import Windows

START = datetime(2026, 3, 2, tzinfo=UTC)
WINDOWS = 14 * 144
MEMORIES = (0.0, 0.5, 0.9, 0.98)
#: Ten-minute windows a setting is held for; 0 stands for a rollout of five to eight switches in all.
HOLDS = {"1 min": 1, "15 min": 2, "60 min": 6, "240 min": 24, "few switches": 0}
SHAPES = ("linear", "LLM-like")
OUTCOMES = ("continuous", "rare event")
_ROLES = {
    "load": "workload",
    "batch_size": "config",
    "wave": "config",
    "queue_s": "engine",
    "latency": "engine",
    "ttft": "outcome",
}


class World(NamedTuple):
    """Windows, their graph, the outcome asked about; each window's true effect of 8 over 4 and its weight."""

    windows: Windows
    graph: cr.Graph
    on: str
    effects: np.ndarray
    weights: np.ndarray

    def truth(self, among: np.ndarray | None = None) -> float:
        """The true effect, averaged over all windows or over some."""
        rows = np.ones(len(self.effects), dtype=bool) if among is None else among
        return float(self.effects[rows] @ self.weights[rows] / self.weights[rows].sum())


def telemetry_world(seed: int, *, memory: float, hold: str, shape: str, outcome: str, count: int = WINDOWS) -> World:
    """Draw fourteen days of ten-minute windows.

    Load follows the day and remembers; a setting is drawn at the start of each hold, 8 the likelier the higher the
    load; in an LLM-like world latency grows with 1/(1 - utilisation) and the larger batch lowers utilisation.
    """
    cell = [MEMORIES.index(memory), list(HOLDS).index(hold), SHAPES.index(shape), OUTCOMES.index(outcome)]
    rng = np.random.default_rng([seed, *cell])
    at = np.arange(count)
    x = np.sin(2 * np.pi * (at / 144 - 0.3)) + 0.7 * remembered(rng, count, 0.95)
    load = np.exp(0.5 * x)
    larger = _held(rng, x, HOLDS[hold])
    noise = remembered(rng, count, memory)

    def line(which: np.ndarray) -> np.ndarray:
        if shape == "linear":
            return which + 1.5 * x
        utilisation = np.clip(0.22 * load * (1 - 0.2 * which), 0, 0.9)
        return 1.5 * which + 1.2 / (1 - utilisation) + 0.8 * np.maximum(x - 0.5, 0)

    columns = {"load": load, "batch_size": np.where(larger == 1, 8, 4)}
    total = rng.poisson(150 * load) + 1
    both = [line(np.full(count, which)) for which in (0.0, 1.0)]
    if outcome == "continuous":
        columns["latency"] = line(larger) + noise
        effects, weights = both[1] - both[0], np.ones(count)
        bad = np.zeros(count, dtype=np.int64)
    else:
        base, slope = (-5.0, 0.7) if shape == "linear" else (-6.2, 0.7)
        shares = [expit(base + slope * made + 0.4 * noise) for made in both]
        bad = rng.binomial(total, np.where(larger == 1, shares[1], shares[0]))
        effects, weights = shares[1] - shares[0], total.astype(float)
    windows = _windows(total, bad, columns)
    on = "latency" if outcome == "continuous" else "ttft"
    graph = cr.Graph.from_edges(
        [("load", "batch_size"), ("load", on), ("batch_size", on)],
        roles={"load": "workload", "batch_size": "config", on: "engine" if on == "latency" else "outcome"},
    )
    return World(windows, graph, on, effects, weights)


def hidden_world(
    seed: int, *, way: str, outcome: str, memory: float = 0.9, pull: float = 2.0, count: int = WINDOWS
) -> World:
    """Draw fourteen days in which a hidden cause that remembers raises batch and outcome, beside load that does too.

    By a front door, batch acts through the queue alone. By an instrument, a wave drawn by lot every two hours raises
    batch by ``pull`` in log odds; effects and weights are then of the windows whose batch it moved.
    """
    rng = np.random.default_rng([seed, way == "instrument", outcome == "rare event"])
    x = np.sin(2 * np.pi * (np.arange(count) / 144 - 0.3)) + 0.7 * remembered(rng, count, 0.95)
    hidden, own, noise = (remembered(rng, count, memory) for _ in range(3))
    wave = np.repeat(rng.integers(2, size=count // 12), 12).astype(float)
    lot, starts = rng.random(count // 6), slice(None, None, 6)
    line = (0.6 * x + 1.2 * hidden)[starts]
    if way == "instrument":
        both = [np.repeat(lot < expit(line + pull * (at - 0.5)), 6).astype(float) for at in (0.0, 1.0)]
        larger, moved = np.where(wave == 1, both[1], both[0]), both[1] - both[0]
    else:
        larger, moved = np.repeat(lot < expit(line), 6).astype(float), np.ones(count)

    def follow(which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        queue = 3.0 + 0.8 * which + 0.5 * x + 0.6 * own
        acts = 1.25 * queue if way == "front door" else which + 0.6 * own
        return queue, acts + x + hidden + 0.5 * noise

    load = np.exp(0.5 * x)
    total = rng.poisson(150 * load) + 1
    queue, made = follow(larger)
    ends = [follow(np.full(count, which))[1] for which in (0.0, 1.0)]
    columns = {"load": load, "batch_size": np.where(larger == 1, 8, 4), "queue_s": queue, "wave": wave.astype(int)}
    if outcome == "continuous":
        columns["latency"] = made
        effects, weights, bad = ends[1] - ends[0], moved, np.zeros(count, dtype=np.int64)
    else:
        base = -7.5 if way == "front door" else -4.9
        shares = [expit(base + 0.7 * end) for end in ends]
        bad = rng.binomial(total, expit(base + 0.7 * made))
        effects, weights = shares[1] - shares[0], total * moved
    on = "latency" if outcome == "continuous" else "ttft"
    edges = [("load", "batch_size"), ("load", on)]
    edges += [("batch_size", "queue_s"), ("load", "queue_s"), ("queue_s", on)] if way == "front door" else []
    edges += [("wave", "batch_size"), ("batch_size", on)] if way == "instrument" else []
    windows = _windows(total, bad, columns)
    roles = {"load": "workload", "batch_size": "config", "wave": "config", "queue_s": "engine", on: _ROLES[on]}
    named = {name for edge in edges for name in edge}
    graph = cr.Graph.from_edges(
        edges, roles={name: roles[name] for name in roles if name in named}, unmeasured={"skill": ["batch_size", on]}
    )
    return World(windows, graph, on, effects, weights)


def _windows(total: np.ndarray, bad: np.ndarray, columns: dict[str, np.ndarray]) -> Windows:
    table = pl.DataFrame(
        {
            "time": [START + timedelta(minutes=10 * i) for i in range(len(total))],
            "unit": ["all"] * len(total),
            "ttft.total": total,
            "ttft.bad": bad,
            **columns,
        }
    ).with_columns(pl.col("time").cast(pl.Datetime("us", "UTC")), pl.col("batch_size").cast(pl.Int64))
    kinds = {"batch_size": "count", "wave": "count"}
    units = {"latency": "s", "queue_s": "s"}
    return Windows(
        table=table,
        width=timedelta(minutes=10),
        slos=(SLO(name="ttft", dimension="latency", target=0.95),),
        variables=tuple(
            Variable(name=name, role=_ROLES[name], kind=kinds.get(name, "number"), unit=units.get(name, "1"))
            for name in columns
        ),
    )


def remembered(rng: np.random.Generator, count: int, memory: float) -> np.ndarray:
    """Noise of variance 1 whose correlation at one step is ``memory``."""
    from scipy.signal import lfilter

    fresh = rng.normal(size=count) * np.sqrt(1 - memory**2)
    fresh[0] = rng.normal()
    return np.asarray(lfilter([1.0], [1.0, -memory], fresh))


def _held(rng: np.random.Generator, x: np.ndarray, hold: int) -> np.ndarray:
    count = len(x)
    if hold == 0:
        cuts = np.sort(rng.choice(np.arange(72, count - 72), size=rng.integers(5, 9), replace=False))
        return ((np.searchsorted(cuts, np.arange(count), side="right") + rng.integers(2)) % 2).astype(float)
    starts = x[::hold]
    return np.repeat(rng.random(len(starts)) < expit(0.8 * starts), hold)[:count].astype(float)
