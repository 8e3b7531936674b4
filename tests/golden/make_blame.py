"""Fit the shipped weights of blame to faults in simulated call graphs and write them.

Run ``PYTHONPATH=tests python tests/golden/make_blame.py`` from the checkout (four minutes); it writes the same bytes
each time. Call graphs of ``tests/call_graphs.py``, seeds 10000 to 12999.
"""

from __future__ import annotations

import json

import numpy as np
from call_graphs import draw_incident
from numpy.typing import NDArray
from scipy.optimize import minimize

from causalrel import shipped
from causalrel.incidents.signs import FEATURES, read_signs
from causalrel.incidents.weights import FILE, softmax

SEEDS = range(10_000, 13_000)
RIDGE = 0.01


def main() -> None:
    """Draw the incidents, fit the weights and write them."""
    told = [drawn(seed) for seed in SEEDS]
    mean, covariance = fitted(told)
    made = {
        "version": 1,
        "made_by": "tests/golden/make_blame.py",
        "incidents": len(told),
        "weights": {name: round(float(value), 4) for name, value in zip(FEATURES, mean, strict=True)},
        "covariance": [[float(f"{value:.4g}") for value in row] for row in covariance],
    }
    (shipped.root() / FILE).write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


def drawn(seed: int) -> tuple[NDArray[np.float64], int]:
    """Return the features of one incident, and the row that is true."""
    incident = draw_incident(seed)
    features = read_signs(incident.now, incident.normal, incident.pairs, 0, incident.days).features()
    return features, len(features) - 1 if incident.cause is None else incident.cause


def fitted(told: list[tuple[NDArray[np.float64], int]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mode of a conditional logit and its inverse curvature there."""

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        total, slope = RIDGE * float(weights @ weights) / 2, RIDGE * weights
        for features, true in told:
            chance = softmax(features @ weights)
            total -= float(np.log(max(chance[true], 1e-300)))
            slope = slope + chance @ features - features[true]
        return total, slope

    mode = minimize(loss, np.zeros(len(FEATURES)), jac=True, method="L-BFGS-B").x
    curvature = RIDGE * np.eye(len(FEATURES))
    for features, _ in told:
        chance = softmax(features @ mode)
        mean = chance @ features
        curvature += (features * chance[:, None]).T @ features - np.outer(mean, mean)
    return mode, np.linalg.inv(curvature)


if __name__ == "__main__":
    main()
