"""Networks of tables: exactness on new random networks, held-out scores beside pgmpy and pyAgrum, cost of filtering.

Run as ``python tests/benchmarks/bench_networks.py`` with ``tests`` on the path. pyAgrum is used where it is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import sys
import time
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from state_worlds import conditional, draw_path, enumerate_joint, labelled, random_network, with_gaps

import causalrel as cr
from causalrel.inference.courses import codes_of
from causalrel.inference.tracks import log_score
from causalrel.shipped import names
from causalrel.tables import known_table
from causalrel.tabular import table_network

EDGES = [
    ("load", "load", 1),
    ("prompt_tokens", "prompt_tokens", 1),
    ("load", "queue_s"),
    ("prompt_tokens", "queue_s"),
    ("queue_s", "queue_s", 1),
    ("load", "tpot_s"),
    ("tpot_s", "tpot_s", 1),
    ("queue_s", "ttft"),
    ("prompt_tokens", "ttft"),
    ("ttft", "ttft", 1),
]
ROLES = {
    "load": "workload",
    "prompt_tokens": "workload",
    "queue_s": "engine",
    "tpot_s": "engine",
    "ttft": "outcome",
}
LOST = 0.1


def exactness(first: int, count: int) -> float:
    """Return the largest error of filter, smooth, forecast and do on random networks."""
    worst = 0.0
    for seed in range(first, first + count):
        network = random_network(seed, lags=1 + seed % 2)
        rng = np.random.default_rng(seed)
        path = with_gaps(draw_path(network, 3, rng), 0.4, rng)
        windows = labelled(network, path)
        of, other = (network.mechanisms[i].variable.name for i in rng.permutation(len(network.mechanisms))[:2])
        seen = {(n, t): int(v[1:]) for n, column in path.items() for t, v in enumerate(column) if v}
        joint = enumerate_joint(network, 4)
        changed = enumerate_joint(network, 4, {(other, step): 1 for step in (2, 3)})
        found = {
            "filter": cr.infer(windows, network, of=of, horizon="1h"),
            "smooth": cr.infer(windows, network, of=of, by="smooth", horizon="1h"),
            "do": cr.infer(windows, network, of=of, by="smooth", do={other: "s1"}, since="2026-02-11T02", horizon="1h"),
        }
        for kind, answer in found.items():
            for step in range(4):
                until = {"filter": step, "smooth": 3, "do": 1}[kind]
                given = {node: state for node, state in seen.items() if node[1] <= until}
                exact = conditional(network, changed if kind == "do" else joint, [(of, step)], given)
                worst = max(worst, float(np.abs(answer.draws[0].reshape(4, -1)[step] - exact).max()))
    return worst


def cells_lost(windows: cr.Windows, seed: int) -> cr.Windows:
    """Return windows in which some of the cells of the network are lost, an SLO as a whole."""
    rng = np.random.default_rng(seed)
    table = windows.table
    for name in ROLES:
        lost = pl.Series(rng.random(table.height) < LOST)
        parts = [name] if name in table.columns else [f"{name}.total", f"{name}.bad"]
        table = table.with_columns(pl.when(~lost).then(pl.col(part)).alias(part) for part in parts)
    return replace(windows, table=table)


def pairs_of(windows: cr.Windows, network: cr.Network) -> pd.DataFrame:
    """Return each two windows next to each other as one row of states, ``x0`` before ``x1``."""
    tables = [m.variable.name for m in network.mechanisms]
    blocks = []
    for codes in codes_of(windows, network, "bench").values():
        row = np.concatenate([codes[:-1], codes[1:]], axis=1)
        blocks.append(pd.DataFrame(row, columns=[f"{n}{i}" for i in (0, 1) for n in tables]))
    return pd.concat(blocks, ignore_index=True)


def taken(network: cr.Network, chances: Any) -> cr.Network:
    """Return a network of the same states with the chances another library fitted."""
    made = {}
    for mechanism in network.mechanisms:
        name, table = mechanism.variable.name, mechanism.table
        later = chances(f"{name}1", [f"{p}{1 - lag}" for p, lag in table.parents])
        first = chances(f"{name}0", [f"{p}0" for p, lag in table.parents if lag == 0])
        made[name] = known_table(table.states, table.parents, later, first)
    return replace(table_network(network.graph, made), slos=network.slos, width=network.width)


def arcs_of(network: cr.Network) -> list[tuple[str, str]]:
    """Return the edges between two slices, the first as it stands without one before."""
    edges = [(e.cause, e.effect, e.lag) for e in network.graph.edges]
    return [(f"{c}{1 - lag}", f"{e}1") for c, e, lag in edges] + [(f"{c}0", f"{e}0") for c, e, lag in edges if not lag]


def sizes(network: cr.Network) -> dict[str, int]:
    return {m.variable.name: len(m.table.states.labels) for m in network.mechanisms}


def by_pgmpy(windows: cr.Windows, network: cr.Network) -> cr.Network:
    """Fit by pgmpy: complete pairs, BDeu prior of 10 events (its maximum likelihood has zeros, a score of -inf)."""
    from pgmpy.models import DiscreteBayesianNetwork
    from pgmpy.parameter_estimator import DiscreteBayesianEstimator

    frame = pairs_of(windows, network)
    whole = frame[(frame >= 0).all(axis=1)]
    model = DiscreteBayesianNetwork()
    model.add_nodes_from(frame.columns)
    model.add_edges_from(arcs_of(network))
    states = {column: list(range(sizes(network)[column[:-1]])) for column in frame.columns}
    model.fit(
        whole, estimator=DiscreteBayesianEstimator(state_names=states, prior_type="BDeu", equivalent_sample_size=10)
    )

    def chances(node: str, parents: list[str]) -> np.ndarray:
        cpd = model.get_cpds(node)
        axes = [cpd.variables.index(p) for p in [*parents, node]]
        return np.asarray(cpd.values, dtype=float).transpose(axes)

    return taken(network, chances)


def by_agrum(windows: cr.Windows, network: cr.Network) -> cr.Network:
    """Fit by pyAgrum: expectation maximisation on all pairs, with its smoothing prior."""
    import pyagrum as gum

    frame = pairs_of(windows, network)
    model = gum.BayesNet()
    for column in frame.columns:
        model.add(gum.LabelizedVariable(column, "", sizes(network)[column[:-1]]))
    for arc in arcs_of(network):
        model.addArc(*arc)
    text = frame.astype(str).replace("-1", "?")
    learner = gum.BNLearner(text, model, ["?"])
    learner.useSmoothingPrior(1.0)
    learner.useEM(1e-4)
    fitted = learner.learnParameters(model.dag())

    def chances(node: str, parents: list[str]) -> np.ndarray:
        cpt = fitted.cpt(node)
        order = list(reversed(cpt.names))
        return cpt.toarray().transpose([order.index(p) for p in [*parents, node]])

    return taken(network, chances)


def held_out(name: str, seed: int, every: str) -> dict[str, float]:
    """Return the mean log score of each held-out window, in nats, by each library."""
    windows = cr.window(cr.load_dataset(name), cr.load_slos("llm-chat"), every=every)
    windows = cells_lost(windows, seed)
    cut = int(0.7 * windows.table.height)
    seen, new = (replace(windows, table=part) for part in (windows.table[:cut], windows.table[cut:]))
    graph = cr.Graph.from_edges(EDGES, roles=ROLES)
    before = time.process_time()
    ours = cr.fit(seen, graph, states=dict.fromkeys(["load", "prompt_tokens", "queue_s", "tpot_s"], 4))
    made = {"causalrel": ours, "pgmpy": by_pgmpy(seen, ours)}
    spent = time.process_time() - before
    if importlib.util.find_spec("pyagrum"):
        made["pyagrum"] = by_agrum(seen, ours)
    return {key: float(log_score(new, one).mean()) for key, one in made.items()} | {"seconds": spent}


def filter_cost(steps: int) -> float:
    """Return the CPU seconds of filtering so many windows with 10 % of the cells missing."""
    network = random_network(5)
    rng = np.random.default_rng(0)
    windows = labelled(network, with_gaps(draw_path(network, steps, rng), LOST, rng))
    before = time.process_time()
    cr.infer(windows, network, of="v0")
    return time.process_time() - before


def say(line: str) -> None:
    """Write one line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=9000, help="first seed of the random networks")
    parser.add_argument("--networks", type=int, default=200)
    parser.add_argument("--seeds", type=int, nargs="*", default=[101, 102, 103])
    parser.add_argument("--every", default="10m")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    say(f"largest error on {asked.networks} networks: {exactness(asked.first, asked.networks):.2e}")
    for steps in (500, 1000, 2000, 4000, 8000):
        say(f"filter {steps} windows: {filter_cost(steps):.3f} CPU s")
    say("mean log score of a held-out window, in nats; 10 % of the cells missing")
    for name in names("datasets"):
        rows = [held_out(name, seed, asked.every) for seed in asked.seeds]
        mean = {key: np.mean([row[key] for row in rows]) for key in rows[0]}
        say(f"{name:18s} " + " ".join(f"{key} {value:8.4f}" for key, value in mean.items()))


if __name__ == "__main__":
    main()
