"""Measure how many requests a CPU-second simulates: ``python tests/benchmarks/bench_simulate.py``."""

from __future__ import annotations

import resource
import sys
import time

from causalrel.simulation import simulate
from causalrel.simulation.runs import run_scenario


def main() -> None:
    """Write the rate of the event simulation alone and with its exports, after compilation, over growing spans."""
    run_scenario("llm-canary", days=0.05)
    for days in (0.125, 0.25, 0.5, 1.0):
        start = time.process_time()
        count = run_scenario("chat-fleet", days=days, seed=1).work.time_s.size
        alone = time.process_time() - start
        start = time.process_time()
        simulate("chat-fleet", days=days, seed=1).frame()
        whole = time.process_time() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        sys.stdout.write(
            f"{days:g} days of chat-fleet: {count:,} requests, served in {alone:.2f} CPU-s "
            f"({count / alone:,.0f} a CPU-s), "
            f"with exports {whole:.2f} CPU-s ({count / whole:,.0f} a CPU-s), peak {peak:.2f} GB\n"
        )


if __name__ == "__main__":
    main()
