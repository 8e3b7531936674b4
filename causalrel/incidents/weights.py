"""Weights: from signs to probabilities, by a softmax over the nodes and "none of these".

A conditional logit (McFadden 1974, "Conditional logit analysis of qualitative choice behavior"), fitted to faults in
simulated call graphs; ``tests/golden/make_blame.py`` draws them and writes the weights.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from causalrel import shipped
from causalrel.incidents.signs import FEATURES

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILE = "models/support/nodes.json"


def chances(features: NDArray[np.float64], draws: int, seed: int) -> NDArray[np.float64]:
    """Return probabilities of the rows, a draw of the weights each.

    Parameters
    ----------
    features : ndarray of float64, shape (n_rows, n_features)
        One row a node, the last for none of these.
    draws : int
        How many.
    seed : int
        Seed of the draws.

    Returns
    -------
    ndarray of float64, shape (draws, n_rows)
        Each row adds up to 1.

    Examples
    --------
    >>> chances(np.zeros((3, 7)), 2, 0).sum(axis=1).round(9).tolist()
    [1.0, 1.0]
    """
    mean, root = _weights()
    rng = np.random.default_rng([seed, 11])
    weights = mean + rng.standard_normal((draws, len(mean))) @ root.T
    return softmax(weights @ features.T)


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return scores as probabilities along the last axis.

    Parameters
    ----------
    scores : ndarray of float64
        Any.

    Returns
    -------
    ndarray of float64
        The same shape.

    Examples
    --------
    >>> softmax(np.zeros(4)).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    raised = np.exp(scores - scores.max(axis=-1, keepdims=True))
    made: NDArray[np.float64] = raised / raised.sum(axis=-1, keepdims=True)
    return made


@cache
def _weights() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    made = json.loads((shipped.root() / FILE).read_text(encoding="utf-8"))
    mean = np.array([made["weights"][name] for name in FEATURES])
    return mean, np.linalg.cholesky(np.array(made["covariance"]))
