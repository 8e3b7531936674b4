"""Measure how many requests a CPU-second serves: ``python tests/benchmarks/bench_simulate.py``."""

from __future__ import annotations

import sys
import time

from causalrel.simulation import simulate
from causalrel.simulation.runs import run_scenario


def main() -> None:
    """Write the rate of the event simulation alone and with its exports, after compilation."""
    simulate("llm-canary", days=0.05)
    for name, verb in (("run", run_scenario), ("simulate", simulate)):
        start = time.process_time()
        done = verb("llm-canary", days=28, seed=1)
        spent = time.process_time() - start
        count = done.work.time_s.size if name == "run" else done.frame().height
        sys.stdout.write(f"{name}: {count:,} requests in {spent:.2f} CPU-s, {count / spent:,.0f} a CPU-s\n")


if __name__ == "__main__":
    main()
