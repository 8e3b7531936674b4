"""Fit the shipped calibration of edge support to simulated worlds and write it.

Run ``PYTHONPATH=tests python tests/golden/make_support.py`` from the checkout (five minutes); it writes the same bytes
each time. Worlds of the families ``FITTED`` of ``tests/structures.py``, seeds 0 to 59: half of independent rows, half
that remember (autocorrelation 0.3 to 0.97), every third with a cause that nobody measured.
"""

from __future__ import annotations

import json

import numpy as np
from numpy.typing import NDArray
from structures import FITTED, World, drawn_from

from causalrel import shipped
from causalrel.discovery import searched_with
from causalrel.discovery.calibration import DIRECTED, FILE, JOINED, features_of, logistic

SEEDS = range(60)
RIDGE = 1.0


def main() -> None:
    """Draw the worlds, fit both regressions and write their weights."""
    joined: list[tuple[NDArray[np.float64], bool]] = []
    directed: list[tuple[NDArray[np.float64], bool]] = []
    for seed in SEEDS:
        for family in FITTED:
            one, resamples = drawn_from(family, seed)
            told = of_world(one, resamples)
            joined += told[0]
            directed += told[1]
    weights = {"joined": fitted(joined, JOINED), "directed": fitted(directed, DIRECTED)}
    made = {
        "version": 1,
        "made_by": "tests/golden/make_support.py",
        "families": list(FITTED),
        "worlds": len(SEEDS) * len(FITTED),
        "pairs": {"joined": len(joined), "directed": len(directed)},
        **weights,
    }
    (shipped.root() / FILE).write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


def of_world(one: World, resamples: int) -> tuple[list[tuple[NDArray[np.float64], bool]], ...]:
    """Return features and truths: of every pair, and of edges the data direct and most resamples join."""
    columns, knowledge = one.columns(), one.knowledge()
    found, evidence = searched_with(columns, knowledge, resamples, "auto", 0)
    pairs = features_of(found, evidence, knowledge, resamples, tables=columns.discrete)
    joined, directed = [], []
    for (a, b), first, second in zip(pairs.ends, pairs.joined, pairs.directed, strict=True):
        joined.append((first, bool(one.joined[a, b])))
        if found.directed[a, b] and not knowledge.directed[a, b] and found.joined[a, b] >= 0.5:
            directed.append((second, bool(one.causes[a, b])))
    return joined, directed


def fitted(told: list[tuple[NDArray[np.float64], bool]], names: tuple[str, ...]) -> dict[str, float]:
    """Fit a ridged logistic regression by Newton's method."""
    features, truth = np.array([line for line, _ in told]), np.array([yes for _, yes in told], dtype=float)
    weights, ridge = np.zeros(len(names)), RIDGE * np.eye(len(names))
    ridge[0, 0] = 1e-6
    for _ in range(50):
        chance = logistic(features @ weights)
        curve = (features * (chance * (1 - chance))[:, None]).T @ features + ridge
        weights += np.linalg.solve(curve, features.T @ (truth - chance) - ridge @ weights)
    return {name: round(float(weight), 4) for name, weight in zip(names, weights, strict=True)}


if __name__ == "__main__":
    main()
