"""How true a what-if of more or less traffic is, against the days in which it came.

Run: python tests/benchmarks/bench_growth.py [--worlds 40] [--first 5000]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from growth_worlds import TIMES, Scored, score


def line(which: str, scored: list[Scored]) -> str:
    """Tell errors and coverage."""
    if not scored:
        return f"{which}: none\n"
    error, none = (float(np.mean([getattr(one, part) for one in scored])) for part in ("error", "none"))
    held, burn = (100 * float(np.mean([getattr(one, part) for one in scored])) for part in ("inside", "burn_inside"))
    bounded = 100 * float(np.mean([one.verdict == "bounded" for one in scored]))
    return (
        f"{which}: mean error of the change of log odds {error:.3f}, of no change {none:.3f}; 90 % band holds the "
        f"change in {held:.1f} % and the share of the days after in {burn:.1f} % of {len(scored)}; "
        f"bounded {bounded:.0f} %\n"
    )


def main() -> None:
    """Print a line an SLO, a line a growth, and one for all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=40)
    parser.add_argument("--first", type=int, default=5000)
    asked = parser.parse_args()
    start, scored, refused = time.process_time(), [], 0
    for seed in range(asked.first, asked.first + asked.worlds):
        made = score(seed)
        refused += not made
        scored += made
    for name in sorted({one.name for one in scored}):
        sys.stdout.write(line(name, [one for one in scored if one.name == name]))
    for times in TIMES:
        sys.stdout.write(line(f"load * {times}", [one for one in scored if one.times == times]))
    sys.stdout.write(line("all", scored))
    sys.stdout.write(f"refused {refused}; {(time.process_time() - start) / asked.worlds:.0f} CPU-s a service\n")


if __name__ == "__main__":
    main()
