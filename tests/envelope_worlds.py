"""Unseen weeks after three weeks that an envelope is learnt from, and how often its band holds in each load decile."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from drift_worlds import drifting_world
from worlds import serving_graph

import causalrel as cr

DAYS, LEARNT = 28, 21
#: Made months by the memory of their noise and their events an hour at a load of one.
MADE: dict[str, dict[str, float]] = {
    "made": {"traffic": 1000.0},
    "made, noise remembers 50 hours": {"traffic": 1000.0, "memory": 0.98},
    "made, few events": {},
}
SIMULATED = {"simulated, batch follows load": "batch-under-load", "simulated, two tenants": "quiet-tenant"}


class Held(NamedTuple):
    """Of one SLI in one month: which windows were inside, their load deciles, and whether an alarm was raised.

    A band of whole numbers holds more than it says, by the chance of the counts at its ends; ``split`` takes of those
    the part that the level asks for, drawn at random.
    """

    on: str
    inside: np.ndarray
    split: np.ndarray
    decile: np.ndarray
    alarm: bool


def months_of(kind: str, seed: int) -> tuple[cr.Windows, cr.Graph, tuple[str, ...]]:
    """Draw a month of a kind; its graph, and the SLIs asked about: a bad share and a number, or two bad shares."""
    if kind in MADE:
        return drifting_world(seed, **MADE[kind]), serving_graph(), ("ttft", "queue_s")  # type: ignore[arg-type]
    telemetry = cr.simulate(SIMULATED[kind], days=DAYS, seed=seed)
    windows = cr.window(telemetry, cr.load_slos("llm-chat"), every="1h", by="node")
    return windows, cr.load_graph("llm-serving").project(windows.names), ("ttft", "tpot", "running")


def held_of(kind: str, seed: int, level: float = 0.9) -> list[Held]:
    """Learn an envelope from three weeks of a month and hold the fourth against it."""
    windows, graph, names = months_of(kind, seed)
    first = windows.span[0]
    span = (first + timedelta(days=LEARNT), first + timedelta(days=DAYS))
    made = []
    for name in names:
        answer = cr.envelope(windows, graph, during=span, on=name, level=level, seed=seed)
        frame = answer.frame(level).filter(pl.col("quantity") != "outside")
        load: Any = windows.table.select(pl.col("unit").alias("member"), "time", "load")
        frame = frame.join(load, on=["member", "time"], how="left", maintain_order="left")
        inside = ((frame["low"] <= frame["seen"]) & (frame["seen"] <= frame["high"])).to_numpy()
        drawn = answer.draws[:, answer.terms["quantity"].to_numpy() != "outside"]
        seen = frame["seen"].to_numpy()
        less, same = (drawn < seen - 1e-12).mean(axis=0), (np.abs(drawn - seen) <= 1e-12).mean(axis=0)
        place = less + same * np.random.default_rng([seed, 17]).random(len(seen))
        split = np.abs(place - 0.5) <= level / 2
        rank = np.argsort(np.argsort(frame["load"].to_numpy(), kind="stable"))
        made.append(Held(name, inside, split, rank * 10 // len(rank), any(":" in one.name for one in answer.failed)))
    return made
