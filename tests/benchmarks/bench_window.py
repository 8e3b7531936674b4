"""Seconds and peak memory of windows with quantiles, beside DuckDB's exact quantiles where it is installed.

Run: python tests/benchmarks/bench_window.py [--rows 2e7] [--file REQUESTS.parquet]

One week of requests of 14 units in windows of a minute, four SLOs, the means of six columns and three quantiles of one.
Each call is a process of its own, ours and DuckDB's in turn; figures are medians of three. Both do the same group-by in
one pass over the file.
"""

from __future__ import annotations

import argparse
import importlib.util
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BATCH = 1_000_000
SPAN = 7 * 86_400 * 10**6
KEYS = ["model_version", "gpu_type"]
PREDICATES = {
    "ttft": "ttft_s <= 1 AND error IS NULL",
    "tpot": "tpot_s <= 0.05 AND error IS NULL",
    "up": "error IS NULL",
    "cost": "cost_usd <= 0.01",
}
MEANS = ["prompt_tokens", "output_tokens", "ttft_s", "tpot_s", "e2e_s", "cost_usd"]


def make(rows: int, path: Path) -> None:
    """Write requests sorted by time."""
    import numpy as np
    import polars as pl
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    writer = None
    for done in range(0, rows, BATCH):
        size = min(BATCH, rows - done)
        failed = rng.random(size) < 0.01
        times = np.sort(rng.integers(done * SPAN // rows, (done + size) * SPAN // rows, size)) + 1_770_768_000 * 10**6
        table = pl.DataFrame(
            {
                "time": pl.Series(times).cast(pl.Datetime("us", "UTC")),
                "model_version": pl.Series([f"v{i}" for i in range(7)]).gather(rng.integers(0, 7, size)),
                "gpu_type": pl.Series(["A100", "H100"]).gather(rng.integers(0, 2, size)),
                "prompt_tokens": rng.integers(10, 8000, size),
                "output_tokens": rng.integers(1, 2000, size),
                "ttft_s": pl.Series(rng.lognormal(-1, 1, size)).set(pl.Series(failed), None),
                "tpot_s": rng.lognormal(-3.5, 0.5, size),
                "e2e_s": rng.lognormal(2, 0.6, size),
                "error": pl.Series([None, "timeout"], dtype=pl.String).gather(failed.astype(int)),
                "cost_usd": rng.lognormal(-6, 1, size),
            }
        ).to_arrow()
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
    if writer:
        writer.close()


def ours(path: str, shares: tuple[float, ...]) -> int:
    """Make windows; return their number."""
    import causalrel as cr

    slos = [cr.SLO(name=name, dimension="latency", where=where, target=0.95) for name, where in PREDICATES.items()]
    asked = {"ttft_s": shares} if shares else None
    return cr.window(cr.read(path), slos, every="1m", by=KEYS, quantiles=asked).table.height


def theirs(path: str, shares: tuple[float, ...]) -> int:
    """Let DuckDB do the same group-by; return its number of groups."""
    import duckdb

    counts = [
        f"count({where}) AS total_{i}, count(*) FILTER (NOT ({where})) AS bad_{i}"
        for i, where in enumerate(PREDICATES.values())
    ]
    means = [f"avg({name}), count({name})" for name in MEANS]
    quantiles = [f"quantile_cont(ttft_s, {list(shares)})"] if shares else []
    query = (
        f"SELECT {', '.join(KEYS)}, epoch_us(time) // 60000000 AS t, count(*), "  # noqa: S608
        f"{', '.join(counts + means + quantiles)} FROM '{path}' GROUP BY ALL ORDER BY ALL"
    )
    return len(duckdb.sql(query).fetchnumpy()["t"])


CALLS = {
    "windows": (ours, ()),
    "windows, 3 quantiles": (ours, (0.5, 0.95, 0.99)),
    "DuckDB": (theirs, ()),
    "DuckDB, 3 exact quantiles": (theirs, (0.5, 0.95, 0.99)),
}


def measured(name: str, path: str) -> tuple[float, float, float]:
    """Run one call in a process of its own; return its seconds, CPU seconds and peak GiB."""
    done = subprocess.run([sys.executable, __file__, "--call", name, "--file", path], capture_output=True, check=True)
    wall, cpu, peak = done.stdout.split()
    return float(wall), float(cpu), float(peak)


def call(name: str, path: str) -> None:
    """Print what one call takes, imports aside."""
    function, shares = CALLS[name]
    for module in ("causalrel.windows", "causalrel.telemetry.sources", "sqlglot") if function is ours else ("duckdb",):
        importlib.import_module(module)
    start, busy = time.perf_counter(), time.process_time()
    function(path, shares)
    wall, cpu = time.perf_counter() - start, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    sys.stdout.write(f"{wall} {cpu} {peak}\n")


def main() -> None:
    """Print one row a call."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=float, default=2e7)
    parser.add_argument("--file")
    parser.add_argument("--call", choices=CALLS)
    asked = parser.parse_args()
    if asked.call:
        call(asked.call, asked.file)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = asked.file or str(Path(folder) / "requests.parquet")
        if not asked.file:
            make(int(asked.rows), Path(path))
        compared = importlib.util.find_spec("duckdb") is not None
        names = [name for name in CALLS if compared or "DuckDB" not in name]
        runs = [{name: measured(name, path) for name in names} for _ in range(3)]
    found = {name: [statistics.median(run[name][i] for run in runs) for i in range(3)] for name in names}
    sys.stdout.write("call                          s    CPU s  peak GiB\n")
    for name, (wall, cpu, peak) in found.items():
        sys.stdout.write(f"{name:25s} {wall:6.2f}  {cpu:6.2f}  {peak:8.2f}\n")
    if compared:
        mine, other = found["windows, 3 quantiles"], found["DuckDB, 3 exact quantiles"]
        sys.stdout.write(f"ours / DuckDB: {mine[0] / other[0]:.2f} in time, {mine[1] / other[1]:.2f} in CPU time\n")


if __name__ == "__main__":
    main()
