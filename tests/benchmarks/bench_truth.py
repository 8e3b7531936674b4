"""Estimates beside truths: coverage on made worlds, and the shipped data against paired reruns of the simulation.

Run: python tests/benchmarks/bench_truth.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).parents[1]))

from worlds import serving_graph, serving_world

import causalrel as cr
from causalrel.inference import residuals, run
from causalrel.mechanisms.drafts import rows_of
from causalrel.telemetry.datasets import load_card
from causalrel.variables import parse_time

WORLDS = 100

#: First seed of worlds looked at while the estimator was built, and of worlds first drawn when it was done.
SEEDS = {"seen while building": 1000, "first drawn afterwards": 5000}
OUT = sys.stdout.write


def coverage(memory: float, first: int, which: str) -> None:
    """Print how often a 90 % interval holds the truth, with bias and the naive difference."""
    inside, errors, truths, naive = 0, [], [], []
    for seed in range(first, first + WORLDS):
        windows, truth = serving_world(seed, memory=memory)
        answer = cr.effect(windows, serving_graph(), of="batch_size", on="ttft", levels=(4, 8))
        draws = answer.select(quantity="burn").draws[:, 0]
        inside += int(np.quantile(draws, 0.05) <= truth <= np.quantile(draws, 0.95))
        errors.append(draws.mean() - truth)
        truths.append(truth)
        shares = windows.table.group_by("batch_size").agg(pl.col("ttft.bad").sum() / pl.col("ttft.total").sum())
        naive.append(float(shares.sort("batch_size")["ttft.bad"].diff()[-1]) / 0.05)
    OUT(
        f"autocorrelation {memory}, {which}: {inside} of {WORLDS} inside 90 %; truth {np.mean(truths):.3f}, "
        f"bias {np.mean(errors):+.3f}, rmse {np.sqrt(np.mean(np.square(errors))):.3f}, naive {np.mean(naive):.3f}\n"
    )


def main() -> None:
    """Print every comparison."""
    for which, first in SEEDS.items():
        for memory in (0.0, 0.9):
            coverage(memory, first, which)
    for name in ("llm-canary", "batch-under-load", "cache-collapse", "quiet-tenant"):
        shipped_effects(name)
    bad_day()


def shipped_effects(name: str) -> None:
    """Compare every effect on the card of a data set with its truth at the data's own seed."""
    card = load_card(name)
    windows = cr.window(cr.load_dataset(name), cr.load_slos("llm-chat"), every="30m", by="node")
    graph = cr.load_graph("llm-serving").project(windows.names)
    inside = asked = 0
    for told in card["truth"]["effects"]:
        if "naive" not in told:
            continue
        answer = cr.effect(windows, graph, of=told["of"], levels=told["levels"], on=told["on"])
        if answer.verdict == "refused":
            OUT(f"{name}: {told['of']} on {told['on']}: refused, {answer.why}\n")
            continue
        row = answer.select(quantity="bad_share").frame(prob=0.9).row(0, named=True)
        truth = float(told["effect_at_seed"])
        asked += 1
        inside += row["low"] <= truth <= row["high"]
        OUT(
            f"{name}: {told['of']} on {told['on']}: {row['mean']:+.4f} [{row['low']:+.4f} to {row['high']:+.4f}], "
            f"truth {truth:+.4f}, naive {float(told['naive']):+.4f}, {answer.verdict}\n"
        )
    OUT(f"{name}: {inside} of {asked} truths inside 90 %\n")


def bad_day() -> None:
    """Compare the bad events due to the failing clock with a rerun without the fault."""
    card = load_card("llm-canary")
    windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="30m", by="node")
    graph = cr.load_graph("llm-serving").project(windows.names)
    network = cr.fit(windows, graph)
    start = parse_time(card["truth"]["drivers"]["during"][0], "during")
    told = next(t for t in card["truth"]["drivers"]["paired_reruns"] if t["driver"] == "sm_clock_mhz")
    for on in ("ttft", "tpot", "availability"):
        mechanisms = network.causes([on])
        columns, kept = rows_of(windows, [m.variable.name for m in mechanisms])
        inside = (kept["time"] >= start).to_numpy()
        columns = {name: column[inside] for name, column in columns.items()}
        left = residuals(mechanisms, columns)
        mended = {"sm_clock_mhz": np.full(int(inside.sum()), float(told["instead"]))}
        shares = [run(mechanisms, columns, left, do)[on] for do in ({}, mended)]
        due = (columns[f"{on}.total"][:, None] * (shares[0] - shares[1])).sum(axis=0)
        low, high = np.quantile(due, [0.05, 0.95])
        OUT(f"{on} due to the clock: {due.mean():.0f} [{low:.0f} to {high:.0f}], rerun {told['bad_due'][on]}\n")


if __name__ == "__main__":
    main()
