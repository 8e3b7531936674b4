"""How true a what-if is of a batch size nobody ran, told by a simulator that does not know the service's costs.

Run: python tests/benchmarks/bench_reach.py [--worlds 40] [--first 3000]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from reach_worlds import Scored, score


def line(which: str, scored: list[Scored]) -> str:
    """Tell errors and coverage."""
    ours, alone, none = (float(np.mean([getattr(one, part) for one in scored])) for part in ("ours", "alone", "none"))
    held, burn = (100 * float(np.mean([getattr(one, part) for one in scored])) for part in ("inside", "burn_inside"))
    return (
        f"{which}: mean error of the change of log odds {ours:.3f}, of the simulator alone {alone:.3f}, of no change "
        f"{none:.3f}; 90 % band holds the change in {held:.1f} % and the share of the days after in {burn:.1f} % of "
        f"{len(scored)}\n"
    )


def main() -> None:
    """Print a line an SLO, and one for all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=40)
    parser.add_argument("--first", type=int, default=3000)
    asked = parser.parse_args()
    start, scored, refused = time.process_time(), [], 0
    for seed in range(asked.first, asked.first + asked.worlds):
        made = score(seed)
        refused += not made
        scored += made
    for name in sorted({one.name for one in scored}):
        sys.stdout.write(line(name, [one for one in scored if one.name == name]))
    sys.stdout.write(line("all", scored))
    sys.stdout.write(f"refused {refused}; {(time.process_time() - start) / asked.worlds:.0f} CPU-s a service\n")


if __name__ == "__main__":
    main()
