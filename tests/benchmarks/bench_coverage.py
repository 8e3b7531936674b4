"""How often intervals of effects hold the truth on made telemetry, cell by cell, with bias, width and refusals.

The truth is that of the windows the answer speaks of; coverage of the truth over all windows stands beside it.

Run: python tests/benchmarks/bench_coverage.py [--worlds 300] [--first 20000] [--memories 0.9] [--holds "60 min"]
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from telemetry_worlds import HOLDS, MEMORIES, OUTCOMES, SHAPES, telemetry_world

import causalrel as cr
from causalrel.effects.designs import make_design

PROB = 0.95


def main() -> None:
    """Print a line a cell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=300)
    parser.add_argument("--first", type=int, default=20_000)
    parser.add_argument("--memories", type=float, nargs="*", default=list(MEMORIES))
    parser.add_argument("--holds", nargs="*", default=list(HOLDS))
    parser.add_argument("--shapes", nargs="*", default=list(SHAPES))
    parser.add_argument("--outcomes", nargs="*", default=list(OUTCOMES))
    asked = parser.parse_args()
    for shape, outcome, memory, hold in itertools.product(asked.shapes, asked.outcomes, asked.memories, asked.holds):
        cell(range(asked.first, asked.first + asked.worlds), memory=memory, hold=hold, shape=shape, outcome=outcome)


def cell(seeds: range, *, memory: float, hold: str, shape: str, outcome: str) -> None:
    """Print the line of one cell."""
    start = time.process_time()
    rows, verdicts = [], []
    for seed in seeds:
        world = telemetry_world(seed, memory=memory, hold=hold, shape=shape, outcome=outcome)
        answer = cr.effect(world.windows, world.graph, of="batch_size", on=world.on, levels=(4, 8), seed=seed)
        verdicts.append(answer.verdict)
        if answer.verdict != "refused":
            variable = world.windows.variable("batch_size")
            speaks = make_design(world.windows, variable, world.on, ["load"], (4.0, 8.0), ["load"]).supported
            whole = measured(answer, world.truth())[0]
            rows.append((*measured(answer, world.truth(speaks)), whole, speaks.mean(), answer.verdict == "answered"))
    made = np.array(rows, dtype=float)
    inside, error, width, score, truth, whole, speaks, answered = made.T
    sure = answered == 1
    told = "-" if not sure.any() else f"{inside[sure].mean():.1%}"
    sys.stdout.write(
        f"{shape}, {outcome}, memory {memory}, {hold}: covers {inside.mean():.1%} of {len(made)} (answered {told} of "
        f"{sure.sum()}; all windows {whole.mean():.1%}), bias {error.mean() / truth.mean():+.1%}, "
        f"rmse {np.sqrt((error**2).mean()) / truth.mean():.3f}, width {width.mean() / truth.mean():.3f}, "
        f"interval score {score.mean() / truth.mean():.3f} of the effect; speaks of {speaks.mean():.0%}; "
        f"bounded {verdicts.count('bounded')}, refused {verdicts.count('refused')}; "
        f"{(time.process_time() - start) / len(seeds):.2f} CPU-s each\n"
    )
    sys.stdout.flush()


def measured(answer: cr.Estimate, truth: float) -> tuple[float, ...]:
    """Coverage, error, width and interval score (Gneiting and Raftery 2007, doi:10.1198/016214506000001437)."""
    quantity = "value" if "value" in answer.terms["quantity"] else "bad_share"
    draws = answer.select(quantity=quantity).draws[:, 0]
    low, high = np.quantile(draws, [(1 - PROB) / 2, (1 + PROB) / 2])
    missed = max(low - truth, truth - high, 0.0)
    return low <= truth <= high, draws.mean() - truth, high - low, high - low + 2 / (1 - PROB) * missed, truth


if __name__ == "__main__":
    main()
