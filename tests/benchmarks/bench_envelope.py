"""How often the 90 % band of an envelope holds unseen weeks, in each decile of their load.

Run: python tests/benchmarks/bench_envelope.py [--months 40] [--first 9000] [--kinds made ...]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from envelope_worlds import MADE, SIMULATED, Held, held_of


def line(kind: str, held: list[Held]) -> str:
    """Tell coverage in all and by decile, and the share of months in which an alarm was raised."""
    inside, split, decile = (
        np.concatenate([getattr(one, part) for one in held]) for part in ("inside", "split", "decile")
    )
    told = ""
    for what, held_by in (("", inside), ("  counts at the ends split", split)):
        shares = " ".join(f"{100 * held_by[decile == place].mean():5.1f}" for place in range(10))
        alarms = "" if what else f"{100 * np.mean([one.alarm for one in held]):5.1f}"
        told += f"{what or kind:42s} {100 * held_by.mean():5.1f}  {shares}  {alarms}\n"
    return told


def main() -> None:
    """Print a line a kind of month and SLI, and one for all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--months", type=int, default=40)
    parser.add_argument("--first", type=int, default=9000)
    parser.add_argument("--kinds", nargs="*", default=[*MADE, *SIMULATED])
    asked = parser.parse_args()
    sys.stdout.write(f"{'coverage, %':42s}   all  by load decile{'':46s}alarms\n")
    everything: dict[str, list[Held]] = {}
    for kind in asked.kinds:
        start, found = time.process_time(), []
        for seed in range(asked.first, asked.first + asked.months):
            found += held_of(kind, seed)
        for name in dict.fromkeys(one.on for one in found):
            mine = [one for one in found if one.on == name]
            sys.stdout.write(line(f"{kind}: {name}", mine))
            everything.setdefault("numbers" if name in ("queue_s", "running") else "bad shares", []).extend(mine)
        sys.stdout.write(f"  {(time.process_time() - start) / asked.months:.1f} CPU-s a month\n")
        sys.stdout.flush()
    for which, held in everything.items():
        sys.stdout.write(line(f"all {which}", held))


if __name__ == "__main__":
    main()
