"""Averages: the mean outcome over many windows at one level, draw by draw, at a price that hardly grows with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from causalrel.networks import expit

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Standard deviation of a row's predictor over draws up to which two terms of its expansion stand for it.
_NEAR = 0.7
#: Rows of either kind whose outcome is worked out whole.
_SAMPLED = 4096
_MOST_ODDS = 30.0

#: Rows with their predictor, its columns and how much to count each.
Part = tuple["NDArray[np.intp]", "NDArray[np.float64]", "NDArray[np.float64]", "NDArray[np.float64]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Average:
    """A mean of logistic curves, expanded around one value of the coefficients.

    Parameters
    ----------
    slope : ndarray of float64, shape (q,)
        Derivatives of the mean by the coefficients.
    value : float
        Mean over the rows that are expanded, there.
    first : ndarray of float64, shape (q,)
        Its derivatives.
    second : ndarray of float64, shape (q, q)
        Its second derivatives.
    near, far : tuple of (ndarray of shape (m,), ndarray of shape (m, q), ndarray of shape (m,))
        Predictor, columns and weight of rows worked out whole: a sample of those expanded, for what two terms leave
        out, and of the others.

    Examples
    --------
    >>> rows = (np.arange(2), np.zeros(2), np.ones((2, 1)), np.ones(2))
    >>> made = average(lambda chosen: iter([rows]), np.eye(1) * 0.01)
    >>> made.at(np.zeros((1, 1))).tolist(), made.slope.tolist()
    ([0.5], [0.25])
    """

    slope: NDArray[np.float64]
    value: float
    first: NDArray[np.float64]
    second: NDArray[np.float64]
    near: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
    far: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]

    def at(self, moved: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean for coefficients moved away.

        Parameters
        ----------
        moved : ndarray of float64, shape (draws, q)
            Coefficients less those expanded around.

        Returns
        -------
        ndarray of float64, shape (draws,)
            The mean.
        """
        made = self.value + moved @ self.first + 0.5 * np.einsum("dq,dq->d", moved @ self.second, moved)
        eta, columns, weight = self.near
        share = expit(eta)
        first, second = weight * share * (1 - share), weight * share * (1 - share) * (1 - 2 * share)
        made -= (weight @ share) + moved @ (columns.T @ first)
        made -= 0.5 * np.einsum("dq,dq->d", moved @ ((columns.T * second) @ columns), moved)
        return np.asarray(made + _whole(self.near, moved) + _whole(self.far, moved), dtype=np.float64)


def average(rows: Callable[[NDArray[np.intp] | None], Iterator[Part]], covariance: NDArray[np.float64]) -> Average:
    """Expand the weighted mean of logistic curves of many rows, in two passes over them.

    A sum over rows of the first terms of Taylor's series serves all draws at once; what the series leaves out is
    estimated from rows spread evenly over the predictor (a control variate, Owen 2013, section 8.9). Rows whose
    predictor moves far are not expanded.

    Parameters
    ----------
    rows : callable
        Gives parts of all rows, or of those chosen: their places, predictor, columns and weights.
    covariance : ndarray of float64, shape (q, q)
        Covariance of the coefficients over draws.

    Returns
    -------
    Average
        The mean.

    Examples
    --------
    >>> part = (np.arange(3), np.zeros(3), np.ones((3, 1)), np.ones(3))
    >>> average(lambda chosen: iter([part]), np.eye(1)).value
    0.0
    """
    width = len(covariance)
    slope, first, second = np.zeros(width), np.zeros(width), np.zeros((width, width))
    value, total = 0.0, 0.0
    seen: list[tuple[NDArray[Any], ...]] = []
    for place, eta, columns, weight in rows(None):
        share = expit(eta)
        steep = weight * share * (1 - share)
        far = np.einsum("iq,iq->i", columns @ covariance, columns) > _NEAR**2
        near = np.where(far, 0.0, steep)
        slope += columns.T @ steep
        first += columns.T @ near
        second += (columns.T * (near * (1 - 2 * share))) @ columns
        value += float(weight[~far] @ share[~far])
        total += float(weight.sum())
        seen.append((place, eta, weight, far))
    place, eta, weight, far = (np.concatenate(column) for column in zip(*seen, strict=True))
    near_rows = _sample(rows, place[~far], eta[~far], weight[~far], total, width)
    far_rows = _sample(rows, place[far], eta[far], weight[far], total, width)
    return Average(
        slope=slope / total,
        value=value / total,
        first=first / total,
        second=second / total,
        near=near_rows,
        far=far_rows,
    )


def straight(rows: Iterator[Part]) -> Average:
    """Return the mean of predictors themselves, which no draw bends.

    Parameters
    ----------
    rows : iterator
        Parts of all rows, as for :func:`average`.

    Returns
    -------
    Average
        The mean.

    Examples
    --------
    >>> straight(iter([(np.arange(2), np.ones(2), np.ones((2, 1)), np.ones(2))])).at(np.ones((1, 1))).tolist()
    [2.0]
    """
    value, total, slope = 0.0, 0.0, np.zeros(0)
    for _, eta, columns, weight in rows:
        slope = weight @ columns + (slope if len(slope) else 0.0)
        value += float(weight @ eta)
        total += float(weight.sum())
    none = (np.zeros(0), np.zeros((0, len(slope))), np.zeros(0))
    first, second = slope / total, np.zeros((len(slope), len(slope)))
    return Average(slope=first, value=value / total, first=first, second=second, near=none, far=none)


def _sample(
    rows: Callable[[NDArray[np.intp] | None], Iterator[Part]],
    place: NDArray[np.intp],
    eta: NDArray[np.float64],
    weight: NDArray[np.float64],
    total: float,
    width: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Take rows evenly along the weight of rows sorted by their predictor, all of them where they are few."""
    if not len(place):
        return np.zeros(0), np.zeros((0, width)), np.zeros(0)
    share = weight
    if len(place) > _SAMPLED:
        order = np.argsort(eta, kind="stable")
        passed = np.cumsum(weight[order])
        at = (np.arange(_SAMPLED) + 0.5) * passed[-1] / _SAMPLED
        chosen = order[np.searchsorted(passed, at)]
        place, share = place[chosen], np.full(_SAMPLED, passed[-1] / _SAMPLED)
    distinct, which = np.unique(place, return_inverse=True)
    parts = list(rows(distinct))
    predictor, columns = np.concatenate([part[1] for part in parts]), np.vstack([part[2] for part in parts])
    return predictor, columns, np.bincount(which, weights=share) / total


def _whole(
    rows: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]], moved: NDArray[np.float64]
) -> NDArray[np.float64]:
    eta, columns, weight = rows
    odds = -columns @ moved.T
    odds -= eta[:, None]
    np.exp(np.clip(odds, -_MOST_ODDS, _MOST_ODDS, out=odds), out=odds)
    odds += 1
    return np.asarray(weight @ np.reciprocal(odds, out=odds), dtype=np.float64)
