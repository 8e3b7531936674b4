"""Planted traps: how often an effect is told with confidence and is wrong, and how often sound worlds are answered.

Run: python tests/benchmarks/bench_traps.py [--each 80] [--first 30000]

A trap is sprung when the verdict is ``answered`` and the 95 % interval misses the true effect.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).parents[1]))

from telemetry_worlds import WINDOWS, remembered, telemetry_world

import causalrel as cr
from causalrel.networks import expit
from causalrel.windows import Windows

ROLES = {"load": "workload", "batch_size": "config", "ttft": "outcome"}


class Trap(NamedTuple):
    """What is asked, and the true effect of 8 over 4 on the share of bad events."""

    windows: Windows
    graph: cr.Graph
    truth: float


def main() -> None:
    """Print a line a trap, and one of sound worlds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=80)
    parser.add_argument("--first", type=int, default=30_000)
    asked = parser.parse_args()
    for name, plant in TRAPS.items():
        verdicts, wrong = [], 0
        for seed in range(asked.first, asked.first + asked.each):
            try:
                trap = plant(seed)
                answer = cr.effect(trap.windows, trap.graph, of="batch_size", on="ttft", levels=(4, 8), seed=seed)
            except cr.CausalrelError:
                verdicts.append("refused")
                continue
            verdicts.append(answer.verdict)
            if answer.verdict == "answered":
                low, high = np.quantile(answer.select(quantity="bad_share").draws[:, 0], [0.025, 0.975])
                wrong += not low <= trap.truth <= high
        told = ", ".join(f"{verdict} {verdicts.count(verdict)}" for verdict in ("answered", "bounded", "refused"))
        sys.stdout.write(f"{name}: {told}; answered and wrong {wrong} of {asked.each}\n")
        sys.stdout.flush()


def sound(seed: int) -> Trap:
    """No trap: a linear or an LLM-like world of changing memory and holds."""
    rng = np.random.default_rng([seed, 1])
    world = telemetry_world(
        seed,
        memory=float(rng.choice([0.0, 0.5, 0.9])),
        hold=str(rng.choice(["15 min", "60 min", "few switches"])),
        shape="linear",
        outcome="rare event",
    )
    return Trap(world.windows, world.graph, world.truth())


def hidden(seed: int) -> Trap:
    """Operators' skill moves both and was not measured; the graph says so."""
    made = _made(seed, hidden=1.0)
    graph = cr.Graph.from_edges(EDGES, roles=ROLES, unmeasured={"skill": ["batch_size", "ttft"]})  # type: ignore[arg-type]
    return made._replace(graph=graph)


def hole(seed: int) -> Trap:
    """The larger batch was never used at low load, nor the smaller at high load."""
    return _made(seed, cut=float(np.random.default_rng([seed, 2]).uniform(-0.3, 0.3)))


def reversed_edge(seed: int) -> Trap:
    """The queue follows the batch size, and the graph says that the batch size follows the queue."""
    made = _made(seed, queue=True)
    edges = [*EDGES, ("queue_s", "batch_size"), ("queue_s", "ttft"), ("load", "queue_s")]
    return made._replace(graph=cr.Graph.from_edges(edges, roles={**ROLES, "queue_s": "engine"}))  # type: ignore[arg-type]


def post_treatment(seed: int) -> Trap:
    """The queue carries a part of the effect: holding it fixed would hide that part."""
    made = _made(seed, queue=True)
    edges = [*EDGES, ("batch_size", "queue_s"), ("queue_s", "ttft"), ("load", "queue_s")]
    return made._replace(graph=cr.Graph.from_edges(edges, roles={**ROLES, "queue_s": "engine"}))  # type: ignore[arg-type]


def few(seed: int) -> Trap:
    """One to three switches in all, while something slow drifts."""
    return _made(seed, switches=int(np.random.default_rng([seed, 3]).integers(1, 4)), memory=0.995)


TRAPS: dict[str, Callable[[int], Trap]] = {
    "sound": sound,
    "hidden confounder": hidden,
    "positivity hole": hole,
    "reversed edge": reversed_edge,
    "post-treatment control": post_treatment,
    "too few switches": few,
}
EDGES = [("load", "batch_size"), ("load", "ttft"), ("batch_size", "ttft")]


def _made(
    seed: int,
    *,
    hidden: float = 0.0,
    cut: float | None = None,
    queue: bool = False,
    switches: int = 0,
    memory: float = 0.9,
) -> Trap:
    """Draw one world with the trap's own mechanism."""
    rng = np.random.default_rng([seed, 7])
    base = telemetry_world(seed, memory=0.0, hold="60 min", shape="linear", outcome="rare event")
    x = 2 * np.log(base.windows.table["load"].to_numpy())
    skill = remembered(rng, WINDOWS, 0.98) * hidden
    level = (np.repeat(rng.random(WINDOWS // 6) < expit(0.8 * x[::6] + 1.5 * skill[::6]), 6)).astype(float)
    if cut is not None:
        level = (x > cut).astype(float)
    if switches:
        cuts = np.sort(rng.choice(np.arange(200, WINDOWS - 200), size=switches, replace=False))
        level = (np.searchsorted(cuts, np.arange(WINDOWS), side="right") % 2).astype(float)
    noise = 0.4 * remembered(rng, WINDOWS, memory)
    own = 0.3 * rng.normal(size=WINDOWS)

    def share(which: np.ndarray) -> np.ndarray:
        waiting = 0.6 * which + 0.3 * x + own if queue else 0.0
        return np.asarray(expit(-4.5 + 0.5 * which + 0.5 * x + waiting + noise - skill), dtype=np.float64)

    table = base.windows.table
    total = table["ttft.total"].to_numpy()
    columns = {
        "ttft.bad": rng.binomial(total, share(level)).astype(np.int64),
        "batch_size": np.where(level == 1, 8, 4).astype(np.int64),
    }
    variables = base.windows.variables
    if queue:
        columns["queue_s"] = np.exp(0.6 * level + 0.3 * x + own)
        variables = (*variables, cr.Variable(name="queue_s", role="engine", unit="s"))
    made = replace(
        base.windows, table=table.with_columns(**{k: pl.Series(v) for k, v in columns.items()}), variables=variables
    )
    both = [share(np.full(WINDOWS, which)) for which in (0.0, 1.0)]
    return Trap(made, cr.Graph.from_edges(EDGES, roles=ROLES), float((both[1] - both[0]) @ total / total.sum()))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
