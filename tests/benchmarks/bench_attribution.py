"""How often intervals of an attribution hold the true share of each of three planted causes, and what it costs.

Run: python tests/benchmarks/bench_attribution.py [--worlds 500] [--first 40000]
"""

from __future__ import annotations

import argparse
import sys
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).parents[1]))

from attribution_worlds import DRIVERS, incident_world, pair_world, told_pairs, told_shares
from worlds import START, serving_graph, serving_world

import causalrel as cr


def main() -> None:
    """Print a line a driver, the three that come first, and CPU seconds by size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=500)
    parser.add_argument("--first", type=int, default=40_000)
    asked = parser.parse_args()
    rows, firsts, start = [], 0, time.process_time()
    for seed in range(asked.first, asked.first + asked.worlds):
        incident = incident_world(seed)
        answer = told_shares(incident, seed)
        told = answer.select(quantity="burn")
        means = dict(zip(told.terms["driver"], told.draws.mean(axis=0), strict=True))
        first = sorted(DRIVERS, key=lambda name: -abs(means[name]))[:3]
        firsts += set(first) == set(sorted(DRIVERS, key=lambda name: -abs(incident.shares[name]))[:3])
        for driver in DRIVERS:
            truth = incident.shares[driver] / 0.05
            draws = told.select(driver=driver).draws[:, 0]
            low, high = np.quantile(draws, [0.05, 0.95])
            rows.append((driver, truth, low <= truth <= high, draws.mean() - truth, high - low))
    spent = (time.process_time() - start) / asked.worlds
    out = sys.stdout.write
    for driver in DRIVERS:
        truth, inside, error, width = np.array([row[1:] for row in rows if row[0] == driver], dtype=float).T
        out(
            f"{driver}: 90 % covers {inside.mean():.1%} of {len(truth)}, share {truth.mean():.2f} of the budget rate, "
            f"bias {error.mean():+.3f}, rmse {np.sqrt((error**2).mean()):.3f}, width {width.mean():.3f}\n"
        )
    out(f"the same three first as in truth: {firsts} of {asked.worlds}; {spent:.2f} CPU-s a world\n")
    for kind, base, step in (("multiply", 0.02, 1.0), ("add", 0.35, 0.6)):
        named, held, start = 0, 0, time.process_time()
        count = max(asked.worlds // 5, 1)
        for seed in range(asked.first, asked.first + count):
            incident = pair_world(seed, base=base, step=step)
            answer = told_pairs(incident, seed)
            if "interaction" in answer.terms["quantity"]:
                low, high = np.quantile(answer.select(quantity="interaction").draws[:, 0], [0.05, 0.95])
                named, held = named + 1, held + (low <= incident.shares["both"] / 0.05 <= high)
        spent = (time.process_time() - start) / count
        out(f"two drivers that {kind}: {named} of {count} named, 90 % covers {held}; {spent:.2f} CPU-s a world\n")
    for days, units in ((7, 6), (28, 8), (28, 75)):
        windows, _ = serving_world(days=days, units=units)
        network = cr.fit(windows, serving_graph())
        end = windows.span[1]
        start = time.process_time()
        cr.attribute(windows, network, during=(end - (windows.width * 24), end))
        out(f"{windows.table.height:,} windows, 5 nodes: {time.process_time() - start:.2f} CPU-s\n")
    for count, inputs in ((2_000, 6), (100_000, 10)):
        windows, graph = many_drivers(count, inputs)
        network = cr.fit(windows, graph)
        end = windows.span[1]
        start = time.process_time()
        cr.attribute(windows, network, during=(end - (windows.width * 200), end))
        out(f"{count:,} windows, {inputs + 2} nodes: {time.process_time() - start:.2f} CPU-s\n")


def many_drivers(count: int, inputs: int) -> tuple[cr.Windows, cr.Graph]:
    """Windows of one service whose queue follows every input, and whose bad events follow these and the queue."""
    rng = np.random.default_rng(count)
    x = rng.normal(size=(count, inputs)) + (np.arange(count) >= count - 200)[:, None] * rng.uniform(0, 1, inputs)
    queue = np.exp(0.2 * x.sum(axis=1) / np.sqrt(inputs) + 0.3 * rng.normal(size=count))
    odds = -4 + 0.1 * x.sum(axis=1) + 0.5 * queue
    names = [f"input_{place}" for place in range(inputs)]
    frame = pl.DataFrame(
        {
            "time": [START + timedelta(minutes=5 * place) for place in range(count)],
            "n": np.full(count, 300),
            "bad": rng.binomial(300, 1 / (1 + np.exp(-odds))),
            "queue_s": queue,
            **dict(zip(names, x.T, strict=True)),
        }
    )
    roles = dict.fromkeys(names, "workload") | {"queue_s": "engine"}
    windows = cr.Windows.from_frame(frame, time="time", roles=roles, events={"ttft": ("n", "bad")})
    edges = [(name, to) for name in names for to in ("queue_s", "ttft")] + [("queue_s", "ttft")]
    return windows, cr.Graph.from_edges(edges, roles=roles | {"ttft": "outcome"})


if __name__ == "__main__":
    main()
