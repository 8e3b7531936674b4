"""How often a drift is found, and how often one is called where there is none, in made months.

Run: python tests/benchmarks/bench_drift.py [--months 40] [--first 7000]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from drift_worlds import KINDS, alarms_of


def main() -> None:
    """Print a line a kind of month."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--months", type=int, default=40)
    parser.add_argument("--first", type=int, default=7000)
    asked = parser.parse_args()
    for kind in KINDS:
        start = time.process_time()
        told = [alarms_of(seed, kind) for seed in range(asked.first, asked.first + asked.months)]
        shares = [
            sum(map(bool, told)) / len(told),
            *(sum(name in one for one in told) / len(told) for name in ("queue_s", "ttft")),
        ]
        spent = (time.process_time() - start) / asked.months
        sys.stdout.write(
            f"{kind}: any {shares[0]:.1%}, queue {shares[1]:.1%}, bad share {shares[2]:.1%}; {spent:.2f} CPU-s each\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
