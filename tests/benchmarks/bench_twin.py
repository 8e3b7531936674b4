"""How far a twin is off at configurations nobody ran, beside the simulator alone, in services that it does not know.

Run: python tests/benchmarks/bench_twin.py [--worlds 8] [--first 6000]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from twin_worlds import Scored, score


def line(which: str, scored: list[Scored]) -> str:
    """Tell errors, coverage and refusals of some services."""
    parts = ("twin", "alone", "inside")
    ours, alone, inside = (np.concatenate([getattr(one, part) for one in scored]) for part in parts)
    far, refused = (sum(getattr(one, part) for one in scored) for part in ("far", "refused"))
    return (
        f"{which}: mean log error {ours.mean():.3f}, simulator alone {alone.mean():.3f}; median {np.median(ours):.3f} "
        f"and {np.median(alone):.3f}; 90 % band holds {100 * inside.mean():.1f} % of {len(inside)}; refused {refused} "
        f"of {far} far away\n"
    )


def main() -> None:
    """Print a line a service, and one for all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=8)
    parser.add_argument("--first", type=int, default=6000)
    asked = parser.parse_args()
    start, scored = time.process_time(), []
    for seed in range(asked.first, asked.first + asked.worlds):
        scored.append(score(seed))
        sys.stdout.write(line(f"service {seed}", scored[-1:]))
        sys.stdout.flush()
    sys.stdout.write(line("all", scored))
    sys.stdout.write(f"{(time.process_time() - start) / asked.worlds:.0f} CPU-s a service, its runs included\n")


if __name__ == "__main__":
    main()
