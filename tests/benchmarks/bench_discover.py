"""Structures found in samples of published networks against the true ones, what they cost, and what resamples cost.

Run: python tests/benchmarks/bench_discover.py [--seeds 21 22 23] [--networks asia alarm] [--peers pgmpy pyagrum-miic]

The structural Hamming distance (SHD) counts pairs whose edge differs between the pattern found and the true pattern,
both directed by the same tiers: three, cut from a topological order of the truth. A method that takes over 60 CPU-s is
asked for one sample, and one that takes over 300 is stopped. Every method is called once on a small sample before, so
that imports and compiling are not counted; turning the frame into what the method takes is.
"""

from __future__ import annotations

import argparse
import gzip
import logging
import signal
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from importlib import resources
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import polars as pl

import causalrel as cr
from causalrel.discovery.patterns import directed_of

NETWORKS = ("asia", "alarm", "insurance", "hailfinder")
SLOW, LIMIT = 60.0, 300.0
Edges = list[tuple[str, str, bool]]
Method = Callable[[pl.DataFrame, list[list[str]]], Edges]


def main() -> None:
    """Print one line a network and method, with tiers and without, and lines of scale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, nargs="*", default=[11, 12, 13])
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--peers", nargs="*", default=[], choices=[name for name in METHODS if name != "causalrel"])
    parser.add_argument("--scale", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--tables", type=int, nargs="*", default=[10_000, 100_000])
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    methods = ["causalrel", *asked.peers]
    for method in methods:
        METHODS[method](pl.DataFrame({"a": [0, 1] * 50, "b": [0, 1, 1, 0] * 25}), [["a", "b"]])
    for name in asked.networks:
        order, parents = network(name)
        for tiers in ([order], [list(part) for part in np.array_split(np.array(order), 3)]):
            ours = 0.0
            for method in methods:
                told = f"{name}, {len(tiers)} tier(s), {method}"
                if len(tiers) > 1 and method in UNTIERED:
                    sys.stdout.write(f"{told}: takes no tiers\n")
                else:
                    cost = measure(told, METHODS[method], parents, tiers, asked, ours)
                    ours = ours or cost
    for rows in asked.scale:
        scaled(rows)
    for rows in asked.tables:
        tabled(rows)


def measure(told: str, method: Method, parents: Any, tiers: list[list[str]], asked: Any, ours: float) -> float:
    """Print the distances of one method on each sample, and the median of its CPU time; return that time."""
    order = [name for tier in tiers for name in tier]
    names = sorted(order)
    place = placed(tiers)
    rank = np.array([place[name] for name in names])
    truth = np.array([[a in parents[b][0] for b in names] for a in names])
    right = directed_of(truth, rank[:, None] < rank)
    distances, costs, against = [], [], 0
    for seed in asked.seeds:
        frame = sampled(order, parents, asked.rows, seed).select(names)
        edges, cost = timed(method, frame, tiers)
        if edges is None:
            sys.stdout.write(f"{told}: stopped after {cost:.0f} CPU-s\n")
            return cost
        joined, directed = np.zeros_like(truth), np.zeros_like(truth)
        for cause, effect, oriented in edges:
            a, b = names.index(cause), names.index(effect)
            joined[a, b] = joined[b, a] = True
            directed[a, b] = oriented
            against += rank[a] > rank[b]
        distances.append(distance(joined, directed, truth | truth.T, right))
        costs.append(cost)
        if cost > SLOW:
            break
    cost = statistics.median(costs)
    sys.stdout.write(
        f"{told}: SHD {distances}, median {statistics.median(distances)}; {cost:.2f} CPU-s"
        f"{f', {cost / ours:.1f} times ours' if ours else ''}; {against} edges against the tiers\n"
    )
    sys.stdout.flush()
    return cost


def timed(method: Method, frame: pl.DataFrame, tiers: list[list[str]]) -> tuple[Edges | None, float]:
    """Return the edges, none where the search was stopped, and its CPU time."""

    def stop(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, LIMIT)
    start = time.process_time()
    try:
        return method(frame, tiers), time.process_time() - start
    except TimeoutError:
        return None, time.process_time() - start
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def distance(joined: Any, directed: Any, truth: Any, told: Any) -> int:
    """Return how many pairs differ."""
    marks = [joined * 1 + directed * 2 + directed.T * 4, truth * 1 + told * 2 + told.T * 4]
    return int(np.triu(marks[0] != marks[1]).sum())


def ours(frame: pl.DataFrame, tiers: list[list[str]]) -> Edges:
    """Return the edges found without resamples."""
    found = cr.discover(frame, tiers=tiers, resamples=0)
    return [(edge.cause, edge.effect, edge.oriented) for edge in found.edges]


def patterned(names: list[str], arcs: Iterable[tuple[str, str]], tiers: list[list[str]]) -> Edges:
    """Return the edges of a graph, those directed that its class and the tiers direct."""
    place = placed(tiers)
    rank = np.array([place[name] for name in names])
    graph = np.zeros((len(names), len(names)), dtype=bool)
    for cause, effect in arcs:
        graph[names.index(cause), names.index(effect)] = True
    told = directed_of(graph, rank[:, None] < rank)
    return [(names[a], names[b], bool(told[a, b])) for a, b in np.argwhere(graph)]


def ordered(arcs: Iterable[tuple[str, str]], loose: Iterable[tuple[str, str]], tiers: list[list[str]]) -> Edges:
    """Return the edges of a pattern, those that it leaves without direction directed by the tiers."""
    place = placed(tiers)
    turned = [sorted(pair, key=lambda name: place[name]) for pair in loose]
    return [(a, b, True) for a, b in arcs] + [(a, b, place[a] < place[b]) for a, b in turned]


def placed(tiers: list[list[str]]) -> dict[str, int]:
    """Return the tier of each variable."""
    return {name: number for number, tier in enumerate(tiers) for name in tier}


def pgmpy_climbed(frame: pl.DataFrame, tiers: list[list[str]]) -> Edges:
    """Return the edges of pgmpy's hill climbing with BIC."""
    from causalrel.bridges.pgmpy import hill_climb

    edges, _ = hill_climb({name: frame[name].to_numpy() for name in frame.columns}, tiers=tiers)
    return patterned(frame.columns, edges, tiers)


def pgmpy_free(by: str) -> Method:
    """Return GES of pgmpy with BIC, or its PC with chi-square tests at 0.01."""

    def learnt(frame: pl.DataFrame, tiers: list[list[str]]) -> Edges:
        from pgmpy.causal_discovery import GES, PC

        search = (
            GES(scoring_method="bic-d", return_type="pdag")
            if by == "ges"
            else PC(
                variant="stable",
                ci_test="chi_square",
                significance_level=0.01,
                return_type="pdag",
                n_jobs=1,
                show_progress=False,
            )
        )
        found = search.fit(frame.to_pandas().astype("category")).causal_graph_
        return ordered(found.directed_edges, found.undirected_edges, tiers)

    return learnt


def pyagrum_by(search: str, score: str = "") -> Method:
    """Return a search of pyAgrum that keeps the tiers as slices."""

    def learnt(frame: pl.DataFrame, tiers: list[list[str]]) -> Edges:
        import pyagrum

        learner = pyagrum.BNLearner(frame.to_pandas().astype(str))
        for choice in filter(None, (search, score)):
            getattr(learner, choice)()
        if len(tiers) > 1:
            learner.setSliceOrder(tiers)
        found = learner.learnDAG() if score else learner.learnPDAG()
        arcs = [(learner.nameFromId(a), learner.nameFromId(b)) for a, b in found.arcs()]
        if score:
            return patterned(frame.columns, arcs, tiers)
        return ordered(arcs, [(learner.nameFromId(a), learner.nameFromId(b)) for a, b in found.edges()], tiers)

    return learnt


def causal_learn_ges(frame: pl.DataFrame, tiers: list[list[str]]) -> Edges:
    """Return the edges of causal-learn's GES with BDeu."""
    from causallearn.search.ScoreBased.GES import ges

    return marked(ges(frame.to_numpy(), score_func="local_score_BDeu")["G"].graph, frame.columns, tiers)


def causal_learn_pc(frame: pl.DataFrame, tiers: list[list[str]]) -> Edges:
    """Return the edges of causal-learn's PC with chi-square tests at 0.01, which knows of the tiers."""
    from causallearn.graph.GraphNode import GraphNode
    from causallearn.search.ConstraintBased.PC import pc
    from causallearn.utils.PCUtils.BackgroundKnowledge import BackgroundKnowledge

    known = BackgroundKnowledge()
    for name, number in placed(tiers).items():
        known.add_node_to_tier(GraphNode(name), number)
    knowledge = known if len(tiers) > 1 else None
    names = list(frame.columns)
    found = pc(frame.to_numpy(), 0.01, "chisq", node_names=names, background_knowledge=knowledge, show_progress=False)
    return marked(found.G.graph, names, tiers)


def marked(marks: Any, names: list[str], tiers: list[list[str]]) -> Edges:
    """Return the edges of causal-learn's matrix: -1 at the tail of an edge, 1 at its head, two heads for a conflict."""
    size = range(len(marks))
    arcs = [(names[i], names[j]) for i in size for j in size if marks[i, j] == -1 and marks[j, i] == 1]
    loose = [(names[i], names[j]) for i in size for j in range(i) if marks[i, j] == marks[j, i] != 0]
    return ordered(arcs, loose, tiers)


METHODS: dict[str, Method] = {
    "causalrel": ours,
    "pgmpy": pgmpy_climbed,
    "pgmpy-ges": pgmpy_free("ges"),
    "pgmpy-pc": pgmpy_free("pc"),
    "pyagrum-miic": pyagrum_by("useMIIC"),
    "pyagrum-greedy": pyagrum_by("useGreedyHillClimbing", "useScoreBDeu"),
    "pyagrum-tabu": pyagrum_by("useLocalSearchWithTabuList", "useScoreBIC"),
    "causal-learn-ges": causal_learn_ges,
    "causal-learn-pc": causal_learn_pc,
}
UNTIERED = ("pgmpy-ges", "pgmpy-pc", "causal-learn-ges")


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
    from causalrel.discovery.statistics import Blocks, blocks_of, summed
    from causalrel.discovery.support import supported

    rng = np.random.default_rng(rows)
    made: dict[str, Any] = {}
    for i in range(30):
        values = rng.normal(size=rows)
        for cause in rng.choice(i, size=min(i, 2), replace=False):
            values += 0.5 * made[f"x{cause:02}"]
        made[f"x{i:02}"] = (values > 0).astype(float) if i % 5 == 4 else values
    frame = pl.DataFrame(made)
    scans = scanned(frame)
    summed([rng.normal(size=70_000)], Blocks(cell=np.zeros(70_000, int), count=1, run=1))
    clock, start = time.time(), time.process_time()
    columns = columns_of(frame, None)
    knowledge = _known(frame, columns, None, None)
    products = summed(columns.values, blocks_of(columns, 0))
    passed = time.process_time() - start, time.time() - clock
    clock, start = time.time(), time.process_time()
    supported(products, knowledge, resamples=200, seed=0)
    sys.stdout.write(
        f"{rows} rows of 30 mixed variables: sums and means in Polars {scans[0]:.2f} CPU-s of a Parquet file and "
        f"{scans[1]:.2f} in memory, the pass {passed[0]:.2f} CPU-s ({passed[0] / scans[0]:.1f} and "
        f"{passed[0] / scans[1]:.0f} times; {passed[1]:.1f} s), the search and 200 resamples "
        f"{time.process_time() - start:.1f} CPU-s ({time.time() - clock:.1f} s)\n"
    )


def scanned(frame: pl.DataFrame) -> list[float]:
    """Return the CPU time of sums and means of a file's columns, and of columns in memory: medians of five."""
    with tempfile.TemporaryDirectory() as folder:
        frame.write_parquet(path := Path(folder) / "rows.parquet")
        costs = []
        for source in (pl.scan_parquet(path), frame.lazy()):
            made = source.select(pl.all().sum(), pl.all().mean().name.suffix(" mean"))
            costs.append(statistics.median(clocked(made.collect) for _ in range(5)))
    return costs


def clocked(call: Callable[[], object]) -> float:
    """Return the CPU time of a call."""
    start = time.process_time()
    call()
    return time.process_time() - start


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
