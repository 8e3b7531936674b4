"""What the fewest metrics cost on time, or on configurations, that took no part in choosing them.

Run: python tests/benchmarks/bench_blankets.py [--seeds 61 62 63] [--real]. Seeds are those of simulated fleets;
``--real`` asks two public experiments in ../shared/data too, where a stretch of one configuration is a window and
configurations come in a drawn order, so that the last quarter holds configurations that chose nothing.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import causalrel as cr
from causalrel.blankets import rank_metrics
from causalrel.graphs import Graph
from causalrel.simulation import simulate
from causalrel.windows import Windows

DATA = Path(__file__).parents[3] / "shared/data"
FLEETS = ("bad-node", "batch-under-load", "cache-collapse", "drift", "llm-canary", "quiet-tenant")
MEASURED = {"time": "inference_time", "energy": "total_energy_consumption"}
LIMITS = (0.8, 0.98)
START = pl.datetime(2026, 1, 1, time_zone="UTC")
OUT = sys.stdout.write


def main() -> None:
    """Print every ranking and how many keep the loss within 1 % with half of the metrics."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--seeds", nargs="*", type=int, default=[])
    asked.add_argument("--real", action="store_true")
    told = asked.parse_args()
    found = [rank("shipped", fleet, cr.load_dataset(fleet)) for fleet in FLEETS]
    found += [rank(f"seed {seed}", fleet, simulate(fleet, seed=seed)) for seed in told.seeds for fleet in FLEETS]
    for which, some in (("shipped", found[: len(FLEETS)]), ("seeds", found[len(FLEETS) :])):
        if rises := [rise for pair in some for rise in pair]:
            within = sum(rise <= 0.01 for rise in rises)
            OUT(f"{which}: {within} of {len(rises)} rise by at most 1 %, median {np.median(rises):+.2%}\n")
    if told.real:
        for on, limit in product(MEASURED, LIMITS):
            windows = boards(on, limit)
            tell("unicorn_jetson", windows, on, blanketed(windows, on))
        for on in ("in_time", "detected"):
            windows = frames(on)
            tell("edge_stream_slo", windows, on, searched("edge_stream_slo", on, windows))


def rank(which: str, fleet: str, telemetry: cr.Telemetry) -> list[float]:
    """Rank the metrics of two latency objectives of a fleet."""
    windows = cr.window(telemetry, cr.load_slos("llm-chat"), every="30m", by="node")
    graph = cr.load_graph("llm-serving").project(windows.names)
    return [tell(f"{which} {fleet}", windows, on, graph) for on in ("ttft", "tpot")]


def blanketed(windows: Windows, on: str) -> Graph:
    """Return a graph of an objective and the blanket of the number that it judges: options, then counters, then it."""
    roles = {variable.name: variable.role for variable in windows.variables}
    tiers = [[name for name in roles if roles[name] == role] for role in ("config", "engine")] + [[MEASURED[on]]]
    rows = pl.read_parquet(DATA / "unicorn_jetson/measurements.parquet").drop_nulls()
    rows = rows.select(pl.col(name) for tier in tiers for name in tier)
    graph = searched("unicorn_jetson", MEASURED[on], rows, tiers=tiers)
    return Graph.from_edges([(name, on) for name in graph.blanket(MEASURED[on])], roles=roles | {on: "outcome"})


def searched(which: str, on: str, data: Windows | pl.DataFrame, **more: Any) -> Graph:
    """Learn a graph with 200 resamples, and print what it took and the blanket of an outcome."""
    began, clock = time.process_time(), time.time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = cr.discover(data, resamples=200, **more)
    took = f"{time.process_time() - began:.1f} CPU-s ({time.time() - clock:.1f} s)"
    blanket = ", ".join(sorted(graph.blanket(on)))
    OUT(f"{which}: {len(graph.names)} variables, {len(graph.edges)} edges, 200 resamples, {took}; of {on}: {blanket}\n")
    return graph


def tell(which: str, windows: Windows, on: str, graph: Graph) -> float:
    """Print one ranking and return the rise of its loss."""
    began = time.process_time()
    ranking = rank_metrics(windows, graph, on=on)
    table = ranking.frame()
    blanket = f"blanket of {table['in_blanket'].sum()}, rise {ranking.blanket_rise:+.2%}"
    OUT(
        f"{which} {on}: kept {len(ranking.kept)} of {table.height}, rise {ranking.rise:+.2%}; {blanket}; reached "
        f"{ranking.reached}, loss {ranking.log_loss:.4f}, blind {ranking.blind:.4f}, {ranking.held_out} held out, "
        f"{time.process_time() - began:.1f} CPU-s: {', '.join(ranking.kept)}\n"
    )
    sys.stdout.flush()
    return ranking.rise


def ordered(frame: pl.DataFrame, cell: str) -> pl.DataFrame:
    """Bring cells into a drawn order, a window a minute."""
    cells = np.random.default_rng(7).permutation(frame[cell].unique(maintain_order=True).to_list())
    order = pl.DataFrame({cell: cells, "order": np.arange(len(cells))}, schema_overrides={cell: frame.schema[cell]})
    made = frame.join(order, on=cell, maintain_order="left").sort("order", maintain_order=True).with_row_index("row")
    return made.with_columns(time=START + pl.duration(minutes=pl.col("row")))


def boards(on: str, limit: float) -> Windows:
    """Return measured runs of a board, bad where a run is in the slowest or dearest quarter, and counters unlike."""
    raw = pl.read_parquet(DATA / "unicorn_jetson/measurements.parquet").drop_nulls()
    config = raw.columns[1:10]
    outcomes = {"inference_time"} | {name for name in raw.columns if name.endswith(("_temp", "energy_consumption"))}
    engine = unlike([name for name in raw.columns[10:] if name not in outcomes], raw, limit)
    frame = ordered(raw, "config_id")
    limit = frame[MEASURED[on]].quantile(0.75)
    frame = frame.with_columns(pl.lit(1).alias("total"), (pl.col(MEASURED[on]) > limit).cast(pl.Int64).alias("bad"))
    roles = dict.fromkeys(config, "config") | dict.fromkeys(engine, "engine")
    return Windows.from_frame(frame, time="time", roles=roles, events={on: ("total", "bad")})


def unlike(names: list[str], frame: pl.DataFrame, limit: float) -> list[str]:
    """Leave out counters that go with an earlier one (rank correlation above a limit) or hardly vary."""
    ranks = frame.select(pl.col(name).cast(pl.Float64).rank() for name in names if frame[name].n_unique() > 9)
    related = np.abs(np.corrcoef(ranks.to_numpy(), rowvar=False))
    kept: list[int] = []
    for i in range(len(ranks.columns)):
        if all(related[i, j] < limit for j in kept):
            kept.append(i)
    return [ranks.columns[i] for i in kept]


def frames(on: str) -> Windows:
    """Return stretches of 50 video frames of one device and configuration; bad are late frames, or those missed."""
    bad = {"in_time": pl.col("execution_time_ms") * pl.col("fps") > 1000, "detected": ~pl.col("success")}[on]
    keys = ["device", "pixel", "fps", "stream_count"]
    gauges = ["cpu_pct", "mem_pct", "power_w"]
    raw = pl.read_parquet(DATA / "edge_stream_slo/frames.parquet").sort("device", "timestamp")
    raw = raw.with_columns(
        stretch=pl.int_range(pl.len()).over(keys) // 50,
        cell=pl.concat_str([pl.col(key).cast(pl.String) for key in keys], separator=" "),
        device=pl.col("device").cast(pl.String),
    )
    counts = [pl.len().cast(pl.Int64).alias("total"), bad.sum().cast(pl.Int64).alias("bad")]
    means = [pl.col(gauge).cast(pl.Float64).mean() for gauge in gauges]
    table = raw.group_by("cell", *keys, "stretch", maintain_order=True).agg(*counts, *means)
    roles = {"device": "hardware", "pixel": "config", "fps": "config", "stream_count": "workload"}
    roles |= dict.fromkeys(gauges, "engine")
    return Windows.from_frame(ordered(table, "cell"), time="time", roles=roles, events={on: ("total", "bad")})


if __name__ == "__main__":
    main()
