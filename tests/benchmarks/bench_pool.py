"""CPU-seconds of pooled rates by Laplace's approximation and by NUTS, and how far apart their answers lie.

Run: python tests/benchmarks/bench_pool.py [--nodes 200] [--versions 5] [--traffic 2000]

A made fleet: log-odds of a bad request are a mean, an effect a node, an effect a version and each cell's own part.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

from causalrel.bridges.pymc import pooled_rates
from causalrel.budgets.pooling import laplace_rates


def main() -> None:
    """Print one line a way."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("nodes", 200), ("versions", 5), ("traffic", 2000)):
        parser.add_argument(f"--{name}", type=int, default=value)
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    node = np.repeat(np.arange(asked.nodes), asked.versions)
    version = np.tile(np.arange(asked.versions), asked.nodes)
    odds = -4 + 0.5 * rng.normal(size=asked.nodes)[node] + 0.4 * rng.normal(size=asked.versions)[version]
    truth = 1 / (1 + np.exp(-odds - 0.2 * rng.normal(size=len(node))))
    total = np.full(len(node), float(asked.traffic))
    bad = rng.binomial(asked.traffic, truth).astype(np.float64)
    laplace_rates(bad[:4], total[:4], seed=0)
    drawn = []
    for name in ("laplace", "nuts"):
        start = time.process_time()
        if name == "laplace":
            rates, said = laplace_rates(bad, total, [node, version], seed=1), ""
        else:
            rates, checks = pooled_rates(bad, total, [node, version], seed=1)
            said = "; ".join(check.says for check in checks)
        low, high = np.quantile(rates, [0.05, 0.95], axis=0)
        covered = np.mean((low <= truth) & (truth <= high))
        sys.stdout.write(
            f"{name}: {time.process_time() - start:.1f} CPU-s, 90 % intervals cover {covered:.1%}. {said}\n"
        )
        drawn.append(np.log(rates / (1 - rates)))
    apart = np.abs(drawn[0].mean(axis=0) - drawn[1].mean(axis=0)) / drawn[1].std(axis=0)
    sys.stdout.write(f"means of log-odds are at most {apart.max():.2f} posterior standard deviations apart\n")


if __name__ == "__main__":
    main()
