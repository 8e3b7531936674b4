"""Mediated shares against planted ones: error and coverage, on worlds where load confounds and noise has memory 0.9.

Run ``python tests/benchmarks/bench_mediation.py --worlds 60 --first 5000``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from mediated_worlds import OUTCOMES, mediated_world

import causalrel as cr

PLANTED = ((1.0, 1.0), (1.5, 0.5), (0.5, 1.5))


def ask(seed: int, outcome: str, before: float) -> tuple[float, float, bool, bool, str]:
    """Return the relative error of the share, its error, whether share and part are covered, and the verdict."""
    direct, along = PLANTED[seed % len(PLANTED)]
    world = mediated_world(seed, outcome=outcome, direct=direct, along=along, before=before)
    asked = {"of": "batch_size", "on": world.on, "levels": (4, 8), "through": "queue_s"}
    answer = cr.effect(world.windows, world.graph, **asked)
    quantity = "value" if outcome == "number" else "bad_share"
    part = answer.select(quantity=quantity, path="through").frame(0.9).row(0, named=True)
    share, true = answer.select(quantity="mediated_share").frame(0.9).row(0, named=True), world.through / world.total
    return (
        abs(share["mean"] / true - 1),
        share["mean"] - true,
        share["low"] <= true <= share["high"],
        part["low"] <= world.through <= part["high"],
        answer.verdict,
    )


def main() -> None:
    """Print one line a kind of world."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--worlds", type=int, default=60)
    parser.add_argument("--first", type=int, default=5000)
    arguments = parser.parse_args()
    for before in (0.0, 0.8):
        for outcome in OUTCOMES:
            told = [ask(arguments.first + i, outcome, before) for i in range(arguments.worlds)]
            errors, signed, shares, parts, verdicts = zip(*told, strict=True)
            kind = "interventional" if before else "natural"
            sys.stdout.write(
                f"{kind:15} {outcome:7} median relative error {100 * np.median(errors):5.1f} %  "
                f"bias {np.mean(signed):+.3f}  90 % covers share {100 * np.mean(shares):5.1f} %  "
                f"part {100 * np.mean(parts):5.1f} %  answered {verdicts.count('answered')} of {len(told)}\n"
            )


if __name__ == "__main__":
    main()
