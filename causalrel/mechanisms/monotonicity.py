"""Monotonicity: draws of a spline made to rise, or fall, in the causes of which a graph says so, where data allow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from causalrel import display, errors
from causalrel.estimates import Check
from causalrel.graphs import Graph
from causalrel.networks import Term

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Chance of the opposite sign from which on the data's answer is kept.
_CONTRADICTED = 0.95


def signs_of(graph: Graph, effect: str) -> dict[str, int]:
    """Return 1 for each cause that only ever raises a variable, -1 for each that only ever lowers it.

    Parameters
    ----------
    graph : Graph
        The graph.
    effect : str
        The variable.

    Returns
    -------
    dict of str to int
        By cause of the same window; the others are not in it.

    Examples
    --------
    >>> signs_of(Graph.from_edges([("load", "queue_s")], roles={"load": "workload", "queue_s": "engine"}), "queue_s")
    {}
    """
    said = {"increasing": 1, "decreasing": -1}
    return {e.cause: said[e.monotone] for e in graph.edges if e.effect == effect and e.lag == 0 and e.monotone}


def heed(
    name: str, terms: tuple[Term, ...], drawn: NDArray[np.float64], signs: Mapping[str, int]
) -> tuple[NDArray[np.float64], dict[str, int], list[Check]]:
    """Move draws of coefficients the least way that makes every piece of a spline go as the graph says.

    Each draw goes to the nearest one allowed, in the metric of the draws' own covariance (Lin and Dunson 2014,
    doi:10.1093/biomet/ast063), found as a least-distance problem (Lawson and Hanson 1974, chapter 23). A sign that the
    data contradict is given up: where the mean slope, or any one piece allowing for how many there are, has the
    opposite sign with a chance above 0.95.

    Parameters
    ----------
    name : str
        The variable.
    terms : tuple of Term
        Its parents.
    drawn : ndarray of float64, shape (n_draws, k)
        Coefficients, the intercept first.
    signs : mapping of str to int
        As :func:`signs_of` gives them.

    Returns
    -------
    drawn : ndarray of float64, shape (n_draws, k)
        Draws that heed the signs.
    held : dict of str to int
        The signs that data do not contradict.
    checks : list of Check
        What the data say of each.

    Raises
    ------
    CausalrelError
        When a cause with a sign is a category.

    Examples
    --------
    >>> drawn = np.array([[0.0, 0.2], [0.0, -0.1], [0.1, 0.3]])
    >>> heed("queue_s", (Term(name="load"),), drawn, {"load": 1})[0][:, 1].round(6) + 0.0
    array([0.2, 0. , 0.3])
    """
    held: dict[str, int] = {}
    checks, rows = [], []
    at = 1
    for term in terms:
        sign = signs.get(term.name)
        if sign is not None:
            if term.levels:
                raise errors.refused(
                    f"fitting '{name}'", f"'{term.name}' is monotone in the graph and its labels have no order"
                )
            slope = np.zeros((term.width, drawn.shape[1]))
            slope[:, at : at + term.width] = sign * np.tri(term.width)
            against = _against(drawn @ slope.T)
            checks.append(_check(name, term.name, sign, against))
            if against <= _CONTRADICTED:
                held[term.name] = sign
                rows.append(slope)
        at += term.width
    return (_nearest(drawn, np.concatenate(rows)) if rows else drawn), held, checks


def _against(slopes: NDArray[np.float64]) -> float:
    """Return the chance that the slope goes the other way: on the mean over rows, or in the worst piece."""
    mean = float((slopes.mean(axis=1) < 0).mean())
    worst = float((slopes < 0).mean(axis=0).max())
    return float(max(mean, 1.0 - (1.0 - worst) * slopes.shape[1]))


def _check(name: str, cause: str, sign: int, against: float) -> Check:
    way, chance = ("raises", "lowers")[sign < 0], display.number(against)
    if against > _CONTRADICTED:
        says = (
            f"the graph says that more {cause} only {way} {name}, the data say otherwise with a chance of {chance}, "
            "and their answer is kept"
        )
    else:
        says = (
            f"more {cause} only {way} {name}, as the graph says; the data alone say otherwise with a chance of {chance}"
        )
    return Check(name=f"{name}: monotone in {cause}", passed=against <= _CONTRADICTED, says=says)


def _nearest(drawn: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.optimize import nnls

    off = drawn - drawn.mean(axis=0)
    covariance = off.T @ off / len(drawn)
    # A hundredth of each variance lets every coefficient move, however few the draws.
    own = 0.01 * np.diag(covariance) + 1e-12
    root = np.linalg.cholesky(covariance + np.diag(own))
    reach = rows @ root
    made = drawn.copy()
    size = np.linalg.norm(reach, axis=1)
    target = np.append(np.zeros(drawn.shape[1]), 1.0)
    for i in np.flatnonzero((drawn @ rows.T < 0).any(axis=1)):
        short = -(rows @ drawn[i]) / size
        apart = float(np.abs(short).max())
        system = np.vstack([(reach / size[:, None]).T, short / apart])
        left = system @ nnls(system, target)[0] - target
        made[i] += root @ (-left[:-1] / left[-1]) * apart
    return made
