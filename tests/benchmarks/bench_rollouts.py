"""How often 95 % intervals of rollouts hold the truth on made worlds, cell by cell, with bias, width and refusals.

Then, with units that drift apart on their own, in what share of worlds a placebo says so.

Run: python tests/benchmarks/bench_rollouts.py [--worlds 100] [--first 50000] [--designs differences] [--drifts 0 2]
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from rollout_worlds import DESIGNS, MEMORIES, OUTCOMES, rollout_world

import causalrel as cr

PROB = 0.95


def main() -> None:
    """Print a line a cell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=100)
    parser.add_argument("--first", type=int, default=50_000)
    parser.add_argument("--designs", nargs="*", default=list(DESIGNS))
    parser.add_argument("--outcomes", nargs="*", default=list(OUTCOMES))
    parser.add_argument("--memories", type=float, nargs="*", default=list(MEMORIES))
    parser.add_argument("--drifts", type=float, nargs="*", default=[0.0])
    asked = parser.parse_args()
    cells = itertools.product(asked.drifts, asked.designs, asked.outcomes, asked.memories)
    for drift, design, outcome, memory in cells:
        seeds = range(asked.first, asked.first + asked.worlds)
        sys.stdout.write(cell(seeds, design=design, outcome=outcome, memory=memory, drift=drift) + "\n")
        sys.stdout.flush()


def cell(seeds: range, *, design: str, outcome: str, memory: float, drift: float) -> str:
    """Measure one cell; return its line."""
    start = time.process_time()
    rows, refused, failed = [], 0, {"placebo in time": 0, "placebo in space": 0, "lasting": 0, "any": 0}
    for seed in seeds:
        world = rollout_world(seed, design=design, memory=memory, outcome=outcome, drift=drift)
        asked = {"of": "model_version", "levels": ("v1", "v2"), "on": world.on, "design": design, "seed": seed}
        answer = cr.effect(world.windows, world.graph, **asked)
        if answer.verdict == "refused":
            refused += 1
            continue
        draws = answer.select(quantity="value" if outcome == "continuous" else "bad_share", when="all").draws[:, 0]
        low, high = np.quantile(draws, [(1 - PROB) / 2, (1 + PROB) / 2])
        names = {check.name for check in answer.failed} & set(failed)
        for name in [*names, *(["any"] if names else [])]:
            failed[name] += 1
        rows.append((low <= world.truth <= high, draws.mean() - world.truth, high - low, world.truth, not names))
    inside, error, width, truth, sound = np.array(rows, dtype=float).T
    told = ", ".join(f"{name} {count / len(rows):.0%}" for name, count in failed.items() if count)
    quiet = f"{inside[sound == 1].mean():.1%} of {int(sound.sum())}" if sound.any() else "-"
    return (
        f"{design}, {outcome}, memory {memory}, drift {drift}: covers {inside.mean():.1%} of {len(rows)} "
        f"({quiet} where no placebo fails), bias {error.mean() / truth.mean():+.1%} "
        f"(se {error.std() / np.sqrt(len(rows)) / truth.mean():.1%}), "
        f"width {width.mean() / truth.mean():.2f} of the effect; "
        f"fails: {told or 'none'}; refused {refused}; {(time.process_time() - start) / len(seeds):.2f} CPU-s each"
    )


if __name__ == "__main__":
    main()
