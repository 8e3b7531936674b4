"""CPU seconds of writing the report of a shipped data set and of asking each of its claims again.

Run: python tests/benchmarks/bench_verify.py

Imports are paid before the clock starts by asking for the first time; the budget is 60 s for 10 claims.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import causalrel as cr

NAMES = {"data": "llm-canary", "slo": "llm-chat", "graph": "llm-serving", "by": "node"}
SPAN = ("2026-02-15T09:00", "2026-02-16T00:00")


def main() -> None:
    """Print claims, bytes, and CPU seconds to write and to verify."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.json"
        start = time.process_time()
        windows = cr.window(cr.load_dataset(NAMES["data"]), cr.load_slos(NAMES["slo"]), every="30m", by=NAMES["by"])
        network = cr.fit(windows, cr.load_graph(NAMES["graph"]).project(windows.names))
        cr.report(windows, network, during=SPAN, do={"sm_clock_mhz": 1940}, sources=NAMES).save(path)
        wrote, start = time.process_time() - start, time.process_time()
        found = cr.verify(path)
        asked = time.process_time() - start
        size = path.stat().st_size
    sys.stdout.write("claims  same    bytes  write CPU-s  verify CPU-s\n")
    sys.stdout.write(f"{found.claims:6d}  {found.same!s:4}  {size:7,d}  {wrote:11.1f}  {asked:12.1f}\n")


if __name__ == "__main__":
    main()
