"""Structures found in samples of published networks against the true ones, what they cost, and what resamples cost.

Run: python tests/benchmarks/bench_discover.py [--seeds 11 12 13] [--networks asia alarm] [--peers pgmpy pyagrum]

The structural Hamming distance (SHD) counts pairs whose edge differs between the pattern found and the true pattern,
both directed by the same tiers: three, cut from a topological order of the truth.
Peers are those installed: without tiers
pgmpy (hill climbing), pgmpy-ges, causal-learn (GES) and pyagrum (MIIC); under the tiers pgmpy, pyagrum (MIIC),
pyagrum-greedy (BDeu), pyagrum-tabu (BIC) and causal-learn-pc. GES of pgmpy and of causal-learn takes no tiers.
"""

from __future__ import annotations

import argparse
import gzip
import logging
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from importlib import resources
from typing import Any

import networkx as nx
import numpy as np
import polars as pl

import causalrel as cr
from causalrel.discovery.patterns import directed_of

NETWORKS = ("asia", "alarm", "insurance", "hailfinder")


def main() -> None:
    """Print one line a network, with tiers and without, and lines of peers and of scale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, nargs="*", default=[11, 12, 13])
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--peers", nargs="*", default=[])
    parser.add_argument("--scale", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--tables", type=int, nargs="*", default=[10_000, 100_000])
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    cr.discover(pl.DataFrame({"a": [0, 1] * 50, "b": [0, 1, 1, 0] * 25}), resamples=0)
    for name in asked.networks:
        order, parents = network(name)
        for tiered in (False, True):
            tiers = [list(part) for part in np.array_split(np.array(order), 3)] if tiered else [order]
            known = TIERED if tiered else PEERS
            methods = {"causalrel": ours} | {peer: known[peer] for peer in asked.peers if peer in known}
            for peer in asked.peers:
                if peer not in known:
                    sys.stdout.write(f"{name}, {len(tiers)} tier(s), {peer}: does not take them\n")
            for label, method in methods.items():
                measure(name, label, method, order, parents, tiers, asked)
    for rows in asked.scale:
        scaled(rows)
    for rows in asked.tables:
        tabled(rows)


def measure(
    name: str, label: str, method: Callable[..., Any], order: list[str], parents: Any, tiers: Any, asked: Any
) -> None:
    """Print the distances of one method on each sample, and the median of its CPU time."""
    names = sorted(order)
    place = {name: number for number, tier in enumerate(tiers) for name in tier}
    rank = np.array([place[name] for name in names])
    known = rank[:, None] < rank
    truth = np.array([[a in parents[b][0] for b in names] for a in names])
    distances, costs, against = [], [], 0
    for seed in asked.seeds:
        frame = sampled(order, parents, asked.rows, seed).select(names)
        start = time.process_time()
        edges = method(frame, tiers)
        costs.append(time.process_time() - start)
        at = {name: i for i, name in enumerate(names)}
        directed, joined = np.zeros_like(truth), np.zeros_like(truth)
        for cause, effect, oriented in edges:
            a, b = at[cause], at[effect]
            joined[a, b] = joined[b, a] = True
            directed[a, b] = oriented
            against += rank[a] > rank[b]
        distances.append(distance(joined, directed, truth | truth.T, directed_of(truth, known)))
    sys.stdout.write(
        f"{name}, {len(tiers)} tier(s), {label}: SHD {distances}, median {statistics.median(distances)}; "
        f"{statistics.median(costs):.2f} CPU-s; {against} edges against the tiers\n"
    )
    sys.stdout.flush()


def distance(joined: Any, directed: Any, truth: Any, told: Any) -> int:
    """Return how many pairs differ."""
    marks = [joined * 1 + directed * 2 + directed.T * 4, truth * 1 + told * 2 + told.T * 4]
    return int(np.triu(marks[0] != marks[1]).sum())


def ours(frame: pl.DataFrame, tiers: Any) -> list[tuple[str, str, bool]]:
    """Return the edges found without resamples."""
    found = cr.discover(frame, tiers=tiers, resamples=0)
    return [(edge.cause, edge.effect, edge.oriented) for edge in found.edges]


def climbed(frame: pl.DataFrame, tiers: Any) -> list[tuple[str, str, bool]]:
    """Return the edges of pgmpy's hill climbing."""
    found = cr.discover(frame, tiers=tiers, resamples=0, method="pgmpy")
    return [(edge.cause, edge.effect, edge.oriented) for edge in found.edges]


def pgmpy_ges(frame: pl.DataFrame, tiers: Any) -> list[tuple[str, str, bool]]:
    """Return the edges of pgmpy's GES."""
    from pgmpy.causal_discovery import GES

    found = GES(scoring_method="bic-d", return_type="pdag").fit(frame.to_pandas().astype("category")).causal_graph_
    return [(a, b, True) for a, b in found.directed_edges] + [(a, b, False) for a, b in found.undirected_edges]


def causal_learn(frame: pl.DataFrame, tiers: Any) -> list[tuple[str, str, bool]]:
    """Return the edges of causal-learn's GES, whose graph holds -1 at the tail and 1 at the head of an edge."""
    from causallearn.search.ScoreBased.GES import ges

    marks = ges(frame.to_numpy(), score_func="local_score_BDeu")["G"].graph
    pairs = [(i, j) for i in range(len(marks)) for j in range(len(marks)) if marks[i, j] == -1 and marks[j, i] != 0]
    names = frame.columns
    return [(names[i], names[j], bool(marks[j, i] == 1)) for i, j in pairs if marks[j, i] == 1 or i < j]


def miic(frame: pl.DataFrame, tiers: Any) -> list[tuple[str, str, bool]]:
    """Return the edges of pyAgrum's MIIC."""
    import pyagrum

    learner = pyagrum.BNLearner(frame.to_pandas().astype(str))
    learner.useMIIC()
    found = learner.learnPDAG()
    names = [learner.nameFromId(i) for i in range(frame.width)]
    return [(names[a], names[b], True) for a, b in found.arcs()] + [
        (names[a], names[b], False) for a, b in found.edges()
    ]


def sliced(use: str, score: str) -> Callable[..., Any]:
    """Return a search of pyAgrum that keeps the tiers as slices."""

    def learnt(frame: pl.DataFrame, tiers: Any) -> list[tuple[str, str, bool]]:
        import pyagrum

        learner = pyagrum.BNLearner(frame.to_pandas().astype(str))
        getattr(learner, use)()
        if score:
            getattr(learner, score)()
        learner.setSliceOrder([list(tier) for tier in tiers])
        names = [learner.nameFromId(i) for i in range(frame.width)]
        place = np.array([next(n for n, tier in enumerate(tiers) if name in tier) for name in names])
        graph = np.zeros((len(names), len(names)), dtype=bool)
        if use == "useMIIC":
            found = learner.learnPDAG()
            return [(names[a], names[b], True) for a, b in found.arcs()] + [
                (names[a], names[b], bool(place[a] != place[b])) for a, b in found.edges()
            ]
        for a, b in learner.learnDAG().arcs():
            graph[a, b] = True
        told = directed_of(graph, place[:, None] < place)
        return [(names[a], names[b], bool(told[a, b])) for a, b in np.argwhere(graph)]

    return learnt


def causal_learn_pc(frame: pl.DataFrame, tiers: Any) -> list[tuple[str, str, bool]]:
    """Return the edges of causal-learn's PC with chi-square tests, which knows of the tiers."""
    from causallearn.graph.GraphNode import GraphNode
    from causallearn.search.ConstraintBased.PC import pc
    from causallearn.utils.PCUtils.BackgroundKnowledge import BackgroundKnowledge

    names = frame.columns
    known = BackgroundKnowledge()
    for number, tier in enumerate(tiers):
        for name in tier:
            known.add_node_to_tier(GraphNode(name), number)
    found = pc(frame.to_numpy(), 0.01, "chisq", node_names=list(names), background_knowledge=known, show_progress=False)
    marks = found.G.graph
    pairs = [(i, j) for i in range(len(marks)) for j in range(len(marks)) if marks[i, j] == -1 and marks[j, i] != 0]
    return [(names[i], names[j], bool(marks[j, i] == 1)) for i, j in pairs if marks[j, i] == 1 or i < j]


TIERED: dict[str, Callable[..., Any]] = {
    "pgmpy": climbed,
    "pyagrum": sliced("useMIIC", ""),
    "pyagrum-greedy": sliced("useGreedyHillClimbing", "useScoreBDeu"),
    "pyagrum-tabu": sliced("useLocalSearchWithTabuList", "useScoreBIC"),
    "causal-learn-pc": causal_learn_pc,
}
PEERS: dict[str, Callable[..., Any]] = {
    "pgmpy": climbed,
    "pgmpy-ges": pgmpy_ges,
    "causal-learn": causal_learn,
    "pyagrum": miic,
}


def network(name: str) -> tuple[list[str], dict[str, tuple[list[str], Any]]]:
    """Return a published network: its variables, causes first, and the parents and table of each."""
    from pgmpy.readwrite import BIFReader

    packed = resources.files("pgmpy.utils.example_models").joinpath(f"{name}.bif.gz").read_bytes()
    model = BIFReader(string=gzip.decompress(packed).decode()).get_model()
    order = list(nx.lexicographical_topological_sort(model))
    tables = {node: model.get_cpds(node) for node in order}
    return order, {node: (list(tables[node].variables[1:]), np.asarray(tables[node].values)) for node in order}


def sampled(order: list[str], parents: dict[str, tuple[list[str], Any]], rows: int, seed: int) -> pl.DataFrame:
    """Draw rows of codes."""
    rng = np.random.default_rng(seed)
    made: dict[str, Any] = {}
    for node in order:
        causes, table = parents[node]
        shares = np.moveaxis(table, 0, -1)[tuple(made[cause] for cause in causes)]
        bounds = np.cumsum(np.broadcast_to(shares, (rows, table.shape[0])), axis=1)
        made[node] = np.minimum((rng.random(rows)[:, None] > bounds).sum(axis=1), table.shape[0] - 1)
    return pl.DataFrame(made)


def scaled(rows: int) -> None:
    """Print what 200 resamples of 30 mixed variables cost beyond the pass."""
    from causalrel.discovery import _known
    from causalrel.discovery.columns import columns_of
    from causalrel.discovery.statistics import blocks_of, summed
    from causalrel.discovery.support import supported

    rng = np.random.default_rng(rows)
    made: dict[str, Any] = {}
    for i in range(30):
        values = rng.normal(size=rows)
        for cause in rng.choice(i, size=min(i, 2), replace=False):
            values += 0.5 * made[f"x{cause:02}"]
        made[f"x{i:02}"] = (values > 0).astype(float) if i % 5 == 4 else values
    frame = pl.DataFrame(made)
    start = time.process_time()
    frame.lazy().select(pl.all().sum(), pl.all().mean().name.suffix(" mean")).collect()
    scan = time.process_time() - start
    clock, start = time.time(), time.process_time()
    columns = columns_of(frame, None)
    knowledge = _known(frame, columns, None, None)
    products = summed(columns.values, blocks_of(columns, 0))
    passed = time.process_time() - start, time.time() - clock
    clock, start = time.time(), time.process_time()
    supported(products, knowledge, resamples=200, seed=0)
    sys.stdout.write(
        f"{rows} rows of 30 mixed variables: sums and means in Polars {scan:.2f} CPU-s, the pass {passed[0]:.1f} CPU-s "
        f"({passed[1]:.1f} s), the search and 200 "
        f"resamples {time.process_time() - start:.1f} CPU-s ({time.time() - clock:.1f} s)\n"
    )


def tabled(rows: int) -> None:
    """Print what the search and 200 resamples of the tables of alarm cost."""
    order, parents = network("alarm")
    frame = sampled(order, parents, rows, 11)
    costs = []
    for resamples in (0, 200):
        start = time.process_time()
        cr.discover(frame, resamples=resamples)
        costs.append(time.process_time() - start)
    sys.stdout.write(
        f"{rows} rows of alarm: the search {costs[0]:.1f} CPU-s, 200 resamples {costs[1] - costs[0]:.1f}\n"
    )


if __name__ == "__main__":
    main()
