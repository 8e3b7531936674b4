"""How often the guilty one of two deploys comes first, with which probability, and how often intervals hold the truth.

Run: python tests/benchmarks/bench_deploys.py [--worlds 200] [--first 70000]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from deploy_worlds import deploy_world, told_changes


def main() -> None:
    """Print a line for each way in which the two deploys came."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=200)
    parser.add_argument("--first", type=int, default=70_000)
    asked = parser.parse_args()
    for times in get_args(get_type_hints(deploy_world)["times"]):
        start, rows = time.process_time(), []
        for seed in range(asked.first, asked.first + asked.worlds):
            fleet = deploy_world(seed, times=times)
            told = told_changes(fleet, seed)
            chances = told.select(quantity="first")
            first = dict(zip(chances.terms["driver"], chances.draws.mean(axis=0), strict=True))
            guilty = sum(chance for name, chance in first.items() if fleet.guilty in name)
            for name in first:
                truth = sum(share for variable, share in fleet.shares.items() if variable in name) / 0.05
                low, high = np.quantile(told.select(quantity="burn", driver=name).draws, [0.05, 0.95])
                rows.append((seed, guilty, fleet.guilty in name, low <= truth <= high, high - low, truth))
        spent = (time.process_time() - start) / asked.worlds
        table = np.array(rows, dtype=float)
        chance = table[table[:, 2] == 1, 1]
        apart = np.array([len(table[table[:, 0] == seed]) for seed in np.unique(table[:, 0])])
        sys.stdout.write(
            f"{times}: told apart in {(apart == 2).mean():.0%}; guilty line first in {(chance > 0.5).mean():.1%} of "
            f"{len(chance)}, mean P(first) {chance.mean():.3f}, below 0.1 in {(chance < 0.1).mean():.1%}; "
        )
        for what, mine in (("guilty", table[table[:, 2] == 1]), ("innocent", table[table[:, 2] == 0])):
            if len(mine):
                sys.stdout.write(
                    f"90 % of the {what} cover {mine[:, 3].mean():.1%}, width {mine[:, 4].mean():.2f} burn; "
                )
        sys.stdout.write(f"{spent:.2f} CPU-s a world\n")


if __name__ == "__main__":
    main()
