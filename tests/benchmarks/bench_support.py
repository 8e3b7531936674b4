"""Edge support against the truth of simulated worlds that the calibration never saw.

Run: PYTHONPATH=tests python tests/benchmarks/bench_support.py [--seeds 1000 1012] [--networks asia alarm insurance]
[--planted 24] [--resamples 50] [--lagged 101 121]

For worlds of the families ``HELD_BACK`` of ``tests/structures.py``, and for samples of published networks, with
independent rows and with noise of autocorrelation 0.9: the expected calibration error (ECE; ten bins, over
all pairs that a resample or the data join, and over edges kept) of the calibrated support and of the raw share, edges
found and false, and the share of told directions that are false. Then worlds with one planted hidden cause: the share
found, how many told are false, and false directions. Truth is the maximal ancestral graph over what was measured. Then
the series of ``bench_lags.py``, where a pair is a variable and another, or itself, at one lag.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from structures import HELD_BACK, World, published, world

from causalrel.discovery import searched_with
from causalrel.discovery.beliefs import Beliefs, believed
from causalrel.discovery.columns import Columns
from causalrel.discovery.lags import lagged, with_past
from causalrel.discovery.support import Knowledge


@dataclass
class Tally:
    """Counts over some worlds."""

    worlds: int = 0
    chances: list[tuple[float, float, bool, bool]] = field(default_factory=list)
    edges: int = 0
    told: int = 0
    wrong: int = 0
    hidden: int = 0
    planted: int = 0
    right: int = 0
    hit: int = 0

    def add(self, one: World, beliefs: Beliefs) -> None:
        kept = beliefs.graph | beliefs.graph.T
        self.worlds += 1
        self.edges += int(one.joined.sum()) // 2
        for a, b in np.argwhere(np.triu(beliefs.joined > 0, 1)):
            pair = (beliefs.joined[a, b], beliefs.shares[a, b], kept[a, b], one.joined[a, b])
            self.chances.append((float(pair[0]), float(pair[1]), bool(pair[2]), bool(pair[3])))
        told = beliefs.directed & ~one.knowledge().directed
        self.told += int(told.sum())
        self.wrong += int((told & ~one.causes).sum())
        both = one.joined & ~one.causes & ~one.causes.T
        right = sum(bool(both[hidden.pair]) for hidden in beliefs.hidden)
        self.planted += int(both.any())
        self.hidden += len(beliefs.hidden)
        self.right += right
        self.hit += right > 0

    def __str__(self) -> str:
        chance, raw, kept, truth = np.array(self.chances).T
        held = kept > 0
        errors = [calibration_error(p[part], truth[part]) for part in (chance > -1, held) for p in (chance, raw)]
        return (
            f"{self.worlds} worlds, {len(chance)} pairs: ECE {errors[0]:.3f} (raw {errors[1]:.3f}); {held.sum()} edges "
            f"kept: ECE {errors[2]:.3f} (raw {errors[3]:.3f}), {(truth[held] == 0).sum()} false, "
            f"{truth[held].sum():.0f} of {self.edges} found; directions told by data {self.told}, {self.wrong} false "
            f"({self.wrong / max(1, self.told):.1%}); hidden causes told {self.hidden}, right {self.right}; found in "
            f"{self.hit} of {self.planted} worlds that have one"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lagged(World):
    """A world searched with lags; its truth is about every variable, then every one at lag 1, and so on."""

    lags: int

    def columns(self) -> Columns:
        return lagged(World.columns(self), self.lags)

    def knowledge(self) -> Knowledge:
        return with_past(World.knowledge(self), self.columns(), None)


def main() -> None:
    """Print a line for each family and memory, then reliability tables."""
    from bench_discover import network  # beside this file, which is on the path only when it is run
    from bench_lags import WORLDS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs=2, default=[1000, 1012])
    parser.add_argument("--networks", nargs="*", default=["asia", "alarm", "insurance"])
    parser.add_argument("--rows", type=int, nargs="*", default=[1000, 10_000])
    parser.add_argument("--resamples", type=int, default=50)
    parser.add_argument("--planted", type=int, default=24)
    parser.add_argument("--lagged", type=int, nargs=2, default=[101, 121])
    asked = parser.parse_args()
    seeds = range(*asked.seeds)
    for memory in (0.0, 0.9):
        total = Tally()
        for family in HELD_BACK:
            measured(family, (world(family, s, memory=memory) for s in seeds), memory, asked.resamples, total)
        reliability(f"all held back, memory {memory}", total)
        for name in asked.networks:
            known = network(name)
            for rows in asked.rows:
                drawn = (published(*known, rows, seed, memory) for seed in seeds[:2])
                measured(f"{name}, {rows} rows", drawn, memory, asked.resamples)
    for memory in (0.0, 0.9):
        for family in ("linear", "mixed", "sine", "table"):
            for rows in asked.rows:
                again = range(seeds.stop, seeds.stop + asked.planted)
                drawn = (world(family, s, rows=rows, size=8, memory=memory, planted=True, tiered=False) for s in again)
                measured(f"planted cause, {family}, {rows} rows", drawn, memory, asked.resamples)
    for kind in WORLDS:
        drawn = (series(kind, seed) for seed in range(*asked.lagged))
        reliability(f"lagged, {kind}", measured(f"lagged, {kind}", drawn, 0.9, asked.resamples))


def series(kind: str, seed: int) -> Lagged:
    """Draw the variables of one lagged world."""
    from bench_lags import LAGS, SIZE, WORLDS, edges_of

    truth = edges_of(seed)
    causes = np.zeros(((LAGS + 1) * SIZE,) * 2, dtype=bool)
    for cause, effect, lag in truth | {(i, i, 1) for i in range(SIZE)}:
        causes[cause + lag * SIZE, effect] = True
    return Lagged(
        values=list(WORLDS[kind](truth, 1000, seed).T),
        joined=causes | causes.T,
        causes=causes,
        tiers=np.zeros(SIZE, dtype=np.int64),
        timed=True,
        lags=LAGS,
    )


def measured(name: str, worlds: Iterable[World], memory: float, resamples: int, total: Tally | None = None) -> Tally:
    """Discover each world and print what came of them."""
    tally, start = Tally(), time.process_time()
    for one in worlds:
        columns, knowledge = one.columns(), one.knowledge()
        found, evidence = searched_with(columns, knowledge, resamples, "auto", 0)
        beliefs = believed(found, evidence, knowledge, resamples, tables=columns.discrete)
        for each in (tally, total) if total else (tally,):
            each.add(one, beliefs)
    sys.stdout.write(f"{name}, memory {memory}: {tally}; {time.process_time() - start:.1f} CPU-s\n")
    sys.stdout.flush()
    return tally


def reliability(name: str, tally: Tally) -> None:
    """Print the reliability table of a tally."""
    chance, _, _, truth = np.array(tally.chances).T
    sys.stdout.write(f"{name}: {tally}\n")
    bins = np.minimum((chance * 10).astype(int), 9)
    for low in range(10):
        there = bins == low
        if there.any():
            sys.stdout.write(
                f"  support {low / 10:.1f} to {(low + 1) / 10:.1f}: {there.sum()} pairs, mean support "
                f"{chance[there].mean():.2f}, of which joined {truth[there].mean():.2f}\n"
            )


def calibration_error(chance: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean distance of chance and truth over ten bins, weighed by how many are in each."""
    bins = np.minimum((chance * 10).astype(int), 9)
    gaps = [
        abs(chance[bins == low].mean() - truth[bins == low].mean()) * (bins == low).sum() for low in np.unique(bins)
    ]
    return float(sum(gaps) / max(1, len(chance)))


if __name__ == "__main__":
    main()
