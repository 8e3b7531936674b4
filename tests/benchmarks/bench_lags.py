"""Lagged edges found in made series of known causes, against peers given the same columns and the same order of time.

Run: python tests/benchmarks/bench_lags.py [--seeds 101 102 ...] [--worlds linear discrete] [--peers pyagrum]

A world has nine variables whose autocorrelation is 0.9 in the median, one to two causes of other variables each, at
lags 1 and 2 and some at lag 0, and 1,000 windows. An edge counts where cause, effect and lag are right; at lag 0 in
either direction. Precision, recall and F1 are of all seeds together, without the edges of variables from their own
past and with them. Peers are those installed, with their defaults. pyAgrum's learner of dynamic networks searches no
lags, so its greedy hill climbing gets the columns, numbers cut into quarters, and the order of time; causal-learn's
PC gets the columns and the order as background knowledge. A last line tells the edges found without lags among
variables that have nothing to do with each other.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

import causalrel as cr
from causalrel.variables import Variable

SIZE, LAGS = 9, 2
Edges = set[tuple[int, int, int]]


def main() -> None:
    """Print one line a world and method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--seeds", type=int, nargs="*", default=list(range(101, 121)))
    parser.add_argument("--worlds", nargs="*", default=["linear", "discrete"])
    parser.add_argument("--peers", nargs="*", default=list(PEERS))
    parser.add_argument("--resamples", type=int, default=50)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    for world in asked.worlds:
        for label in ("causalrel", *asked.peers):
            measure(world, label, asked)
        alone(world, asked)


def measure(world: str, label: str, asked: Any) -> None:
    """Print what one method finds in each world of one kind."""
    found, costs, memory = [], [], []
    for seed in asked.seeds:
        truth = edges_of(seed)
        values = WORLDS[world](truth, asked.rows, seed)
        memory += [np.corrcoef(column[1:], column[:-1])[0, 1] for column in values.T]
        start = time.process_time()
        try:
            made = ours(values, asked.resamples) if label == "causalrel" else PEERS[label](values)
        except ImportError:
            sys.stdout.write(f"{world}, {label}: not installed\n")
            return
        costs.append(time.process_time() - start)
        own = {(i, i, 1) for i in range(SIZE)}
        found.append((compared(truth | own, made), compared(truth, {e for e in made if e[0] != e[1]})))
    with_own, without = np.array(found).sum(axis=0)
    sys.stdout.write(
        f"{world} (autocorrelation {np.median(memory):.2f}), {label}: {told(without)}; own past counted "
        f"{told(with_own)}; {np.median(costs):.2f} CPU-s\n"
    )
    sys.stdout.flush()


def compared(truth: Edges, made: Edges) -> tuple[int, int, int]:
    """Return how many edges were found, of how many told and how many true."""
    one, two = ({(min(a, b), max(a, b), 0) if lag == 0 else (a, b, lag) for a, b, lag in e} for e in (truth, made))
    return len(one & two), len(two), len(one)


def told(counts: Any) -> str:
    """Return precision, recall and F1."""
    right, made, true = (int(count) for count in counts)
    return f"F1 {2 * right / (made + true):.3f} (precision {right / max(made, 1):.3f}, recall {right / true:.3f})"


def alone(world: str, asked: Any) -> None:
    """Print how many edges are found among variables that have nothing to do with each other."""
    counts = [
        len(cr.discover(windows(WORLDS[world](set(), asked.rows, seed)), resamples=0).edges) for seed in asked.seeds
    ]
    sys.stdout.write(f"{world}, no edges, searched without lags: {np.mean(counts):.2f} edges of {SIZE} variables\n")


def edges_of(seed: int) -> Edges:
    """Return true edges: 1.5 causes a variable in the mean, a quarter of them at lag 0, where order goes up."""
    rng = np.random.default_rng([seed, 1])
    made: Edges = set()
    for effect in range(SIZE):
        others = rng.permutation([i for i in range(SIZE) if i != effect])
        for cause in others[: 1 + int(rng.random() < 0.5)]:
            lag = 0 if cause < effect and rng.random() < 0.5 else int(rng.integers(1, LAGS + 1))
            made.add((int(cause), effect, lag))
    return made


def linear(edges: Edges, rows: int, seed: int) -> Any:
    """Return a vector autoregression; a cause is worth 0.3 to 0.5 of the noise, less where loops would not settle."""
    rng = np.random.default_rng([seed, 2])
    parts = np.zeros((LAGS + 1, SIZE, SIZE))
    for cause, effect, lag in sorted(edges):
        parts[lag, effect, cause] = rng.choice([-1, 1]) * rng.uniform(0.3, 0.5)
    while radius(parts) > 0.98:
        parts *= 0.95
    now = np.linalg.inv(np.eye(SIZE) - parts[0])
    parts[1] += OWN * np.eye(SIZE)
    made = np.zeros((rows + 300, SIZE))
    for t in range(LAGS, len(made)):
        past = sum(parts[lag] @ made[t - lag] for lag in range(1, LAGS + 1))
        made[t] = now @ (past + rng.normal(size=SIZE))
    return made[300:]


def radius(parts: Any) -> float:
    """Return the largest modulus of the eigenvalues of a vector autoregression."""
    now = np.linalg.inv(np.eye(SIZE) - parts[0])
    steps = [now @ (part + OWN * np.eye(SIZE) * (lag == 1)) for lag, part in enumerate(parts) if lag]
    below = np.eye((LAGS - 1) * SIZE, LAGS * SIZE)
    return float(np.abs(np.linalg.eigvals(np.vstack([np.hstack(steps), below]))).max())


def discrete(edges: Edges, rows: int, seed: int) -> Any:
    """Return chains of two states: a variable mostly stays as it is, else it does as its causes do."""
    rng = np.random.default_rng([seed, 3])
    signs = {edge: rng.choice([-1, 1]) for edge in sorted(edges)}
    made = np.zeros((rows + 300, SIZE), dtype=np.int64)
    for t in range(LAGS, len(made)):
        drawn = rng.random((SIZE, 2))
        for i in range(SIZE):
            push = sum(sign * (2 * made[t - lag, a] - 1) for (a, b, lag), sign in signs.items() if b == i)
            fresh = int(drawn[i, 1] < 1 / (1 + np.exp(-PUSH * push)))
            made[t, i] = made[t - 1, i] if drawn[i, 0] < STAY else fresh
    return made[300:]


def windows(values: Any) -> cr.Windows:
    """Return windows of one unit."""
    start = datetime(2026, 1, 5, tzinfo=UTC)
    names = [f"x{i}" for i in range(SIZE)]
    table = pl.DataFrame(values, schema=names).with_columns(
        time=pl.Series([start + timedelta(minutes=5 * i) for i in range(len(values))]).cast(pl.Datetime("us", "UTC")),
        unit=pl.lit("a"),
    )
    variables = tuple(Variable(name=name, role="engine") for name in names)
    return cr.Windows(table=table, width=timedelta(minutes=5), slos=(), variables=variables)


def ours(values: Any, resamples: int) -> Edges:
    """Return the edges of causalrel."""
    found = cr.discover(windows(values), lags=LAGS, resamples=resamples)
    return {(int(e.cause[1:]), int(e.effect[1:]), e.lag) for e in found.edges}


def beside(values: Any) -> Any:
    """Return each variable now, then each at lag 1, and so on."""
    return np.hstack([values[LAGS - lag : len(values) - lag] for lag in range(LAGS + 1)])


def pyagrum_slices(values: Any) -> Edges:
    """Return the edges of pyAgrum's greedy hill climbing (BIC), numbers cut into quarters, the past given."""
    import pandas as pd
    import pyagrum

    table = beside(values)
    if table.dtype != np.int64:
        cuts = [np.searchsorted(np.quantile(column, [0.25, 0.5, 0.75]), column) for column in table.T]
        table = np.column_stack(cuts)
    learner = pyagrum.BNLearner(pd.DataFrame(table, columns=[str(i) for i in range(table.shape[1])]).astype(str))
    learner.useGreedyHillClimbing()
    learner.useScoreBIC()
    learner.setSliceOrder([[str(i) for i in range(SIZE, table.shape[1])], [str(i) for i in range(SIZE)]])
    for a in range(SIZE, table.shape[1]):
        for b in range(SIZE, table.shape[1]):
            if a != b:
                learner.addForbiddenArc(str(a), str(b))
    made = learner.learnDAG()
    names = {node: int(learner.nameFromId(node)) for node in made.nodes()}
    return {(names[a] % SIZE, names[b], names[a] // SIZE) for a, b in made.arcs() if names[b] < SIZE}


def causal_learn_pc(values: Any) -> Edges:
    """Return the edges of causal-learn's PC, the past before the present and no edge among the past."""
    from causallearn.graph.GraphNode import GraphNode
    from causallearn.search.ConstraintBased.PC import pc
    from causallearn.utils.PCUtils.BackgroundKnowledge import BackgroundKnowledge

    table = beside(values)
    known = BackgroundKnowledge()
    nodes = [GraphNode(f"X{i + 1}") for i in range(table.shape[1])]
    for i, node in enumerate(nodes):
        known.add_node_to_tier(node, int(i < SIZE))
    for a in nodes[SIZE:]:
        for b in nodes[SIZE:]:
            if a is not b:
                known.add_forbidden_by_node(a, b)
    test = "chisq" if table.dtype == np.int64 else "fisherz"
    made = pc(table, 0.05, test, background_knowledge=known, show_progress=False).G.graph
    joined = {(a, b) for a in range(table.shape[1]) for b in range(SIZE) if made[a, b] != 0 and a > b}
    return {(a % SIZE, b, a // SIZE) for a, b in joined}


OWN, STAY, PUSH = 0.7, 0.85, 3.0
WORLDS: dict[str, Callable[[Edges, int, int], Any]] = {"linear": linear, "discrete": discrete}
PEERS: dict[str, Callable[[Any], Edges]] = {"pyagrum": pyagrum_slices, "causal-learn": causal_learn_pc}


if __name__ == "__main__":
    main()
