"""Calibration: from what resamples and evidence say of a pair to the chance that it is joined, and directed so.

The weights are of two logistic regressions on simulated worlds (Platt 1999, "Probabilistic outputs for support vector
machines"); ``tests/golden/make_support.py`` draws the worlds and writes them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from causalrel import shipped
from causalrel.discovery.hidden import witness_against

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.discovery.evidence import Evidence, Gain
    from causalrel.discovery.support import Found, Knowledge

FILE = "models/support/edges.json"
JOINED = ("one", "share", "held", "gained", "lacked", "rows", "slack", "neighbours", "density", "tables")
DIRECTED = ("one", "share", "turned", "gained", "rows", "slack", "neighbours", "against", "for", "tables")
_MOST_RESAMPLES = 50
_MANY_ROWS = 1000


class Pairs(NamedTuple):
    """Pairs that resamples or the data join, one line each, and what is known of them, one column a feature.

    Examples
    --------
    >>> Pairs(ends=np.zeros((0, 2), np.int64), joined=np.zeros((0, 10)), directed=np.zeros((0, 10))).joined.shape
    (0, 10)
    """

    ends: NDArray[np.int64]
    joined: NDArray[np.float64]
    directed: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chances:
    """Chances that two variables are joined, and that the one causes the other; zero where nothing joins them.

    Parameters
    ----------
    joined, directed : ndarray of float64, shape (p, p)
        The chances.

    Examples
    --------
    >>> Chances(joined=np.zeros((1, 1)), directed=np.zeros((1, 1))).joined.item()
    0.0
    """

    joined: NDArray[np.float64]
    directed: NDArray[np.float64]


def chances_of(found: Found, evidence: Evidence, knowledge: Knowledge, resamples: int, *, tables: bool) -> Chances:
    """Return the calibrated chances of a graph that was found.

    Parameters
    ----------
    found : Found
        The graph with its raw shares.
    evidence : Evidence
        What the data say of each pair.
    knowledge : Knowledge
        What is known; a direction that is known is as sure as the edge.
    resamples : int
        Resamples, at least one.
    tables : bool
        Whether tables of codes were scored.

    Returns
    -------
    Chances
        The chances.
    """
    pairs = features_of(found, evidence, knowledge, resamples, tables=tables)
    weights = _weights()
    joined, directed = np.zeros(found.graph.shape), np.zeros(found.graph.shape)
    a, b = pairs.ends.T
    joined[a, b] = joined[b, a] = logistic(pairs.joined @ weights["joined"])
    directed[a, b] = np.where(knowledge.directed[a, b], 1.0, logistic(pairs.directed @ weights["directed"]))
    return Chances(joined=joined, directed=directed)


def features_of(found: Found, evidence: Evidence, knowledge: Knowledge, resamples: int, *, tables: bool) -> Pairs:
    """Return what the calibration reads of each pair; the parameters are those of :func:`chances_of`."""
    both = found.graph | found.graph.T
    ends = np.argwhere(np.triu(both | (found.joined > 0), 1))
    ends = np.where(found.graph[ends[:, 1], ends[:, 0]][:, None], ends[:, ::-1], ends)
    density = float(np.log(both.sum() / 2 / len(both) + 0.1))
    joined, directed = [], []
    for a, b in ((int(a), int(b)) for a, b in ends):
        gain = _gain(found.graph, evidence, a, b)
        share, ahead, turned = (_logit(s[a, b], resamples) for s in (found.joined, found.support, found.support.T))
        gained, lacked = (float(np.log1p(max(0.0, sign * gain.net))) for sign in (1, -1))
        held = both[a, b] and (found.joined[a, b] >= 0.5 or not knowledge.required[a, b])
        size = [float(np.log(evidence.rows / gain.slack / _MANY_ROWS)), float(np.log(gain.slack))]
        near = float(np.log1p((both[a] & both[b]).sum()))
        told = [
            bool(found.directed[a, b] and knowledge.allowed[b, a] and witness_against(evidence, both, *pair))
            for pair in ((a, b), (b, a))
        ]
        joined.append([1.0, share, held, gained, lacked, *size, near, density, tables])
        directed.append([1.0, ahead, turned, gained, *size, near, *told, tables])
    return Pairs(
        ends=ends.astype(np.int64),
        joined=np.array(joined, dtype=np.float64).reshape(-1, len(JOINED)),
        directed=np.array(directed, dtype=np.float64).reshape(-1, len(DIRECTED)),
    )


def logistic(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logistic function, without overflow.

    Parameters
    ----------
    values : ndarray of float64
        Log odds.

    Returns
    -------
    ndarray of float64
        Chances.

    Examples
    --------
    >>> logistic(np.array([0.0, 1000.0])).tolist()
    [0.5, 1.0]
    """
    return np.asarray(0.5 * (1 + np.tanh(0.5 * values)), dtype=np.float64)


def _gain(graph: NDArray[np.bool_], evidence: Evidence, a: int, b: int) -> Gain:
    """Gain of an edge given the effect's other causes; of a pair without one, the lesser of its two directions."""
    given = [[int(v) for v in np.flatnonzero(graph[:, end]) if v not in (a, b)] for end in (b, a)]
    gains = [evidence.gain(a, b, held) for held in (given[:1] if graph[a, b] else given)]
    return min(gains, key=lambda gain: gain.net)


def _logit(share: float, resamples: int) -> float:
    """Log odds of a share, of no more resamples than the worlds of the calibration had."""
    most = min(resamples, _MOST_RESAMPLES)
    return float(np.log((share * most + 0.5) / (most - share * most + 0.5)))


@cache
def _weights() -> dict[str, NDArray[np.float64]]:
    made = json.loads((shipped.root() / FILE).read_text(encoding="utf-8"))
    return {
        "joined": np.array([made["joined"][name] for name in JOINED]),
        "directed": np.array([made["directed"][name] for name in DIRECTED]),
    }
