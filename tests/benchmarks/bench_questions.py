"""CPU seconds and peak memory of each question against the number of windows.

Run: python tests/benchmarks/bench_questions.py

Imports of the modelling libraries are paid before the clock starts; figures are medians of three.
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from worlds import START, serving_graph, serving_world

import causalrel as cr


def cpu(ask: Callable[[], Any]) -> float:
    """Median CPU seconds of three calls."""
    taken = []
    for _ in range(3):
        start = time.process_time()
        ask()
        taken.append(time.process_time() - start)
    return statistics.median(taken)


def main() -> None:
    """Print one row a size."""
    graph = serving_graph()
    small, _ = serving_world(days=3)
    cr.effect(small, graph, of="batch_size", on="ttft", levels=(4, 8))
    during = (START.replace(day=10), START.replace(day=11))
    out = sys.stdout.write
    out("windows      fit  effect  attribute  forecast  whatif   peak MB\n")
    for days, units in ((7, 4), (28, 8), (28, 80)):
        windows, _ = serving_world(days=days, units=units)
        network = cr.fit(windows, graph)
        row = [
            cpu(lambda w=windows: cr.fit(w, graph)),
            cpu(lambda w=windows: cr.effect(w, graph, of="batch_size", on="ttft", levels=(4, 8))),
            cpu(lambda w=windows, n=network: cr.attribute(w, n, during=during, against=(START, during[0]))),
            cpu(lambda w=windows, n=network: cr.forecast(w, n)),
            cpu(lambda w=windows, n=network: cr.whatif(w, n, do={"batch_size": 4})),
        ]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        out(f"{windows.table.height:7,d}  " + "  ".join(f"{value:7.2f}" for value in row) + f"  {peak:8.0f}\n")


if __name__ == "__main__":
    main()
