"""Evidence: how much likelihood one variable gains from another once others are held, on rows that remember."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from causalrel.discovery.statistics import Products

_RIDGE = 1e-9


class Gain(NamedTuple):
    """What joining two variables gains: log likelihood of rows taken as independent, BIC's price, and the slack.

    Slack is how many rows say as much as one would that forgot the others: the variance of the summed products of what
    is left of the two, over its value for rows that forget.

    Examples
    --------
    >>> Gain(likelihood=9.0, price=3.0, slack=1.0).net
    6.0
    """

    likelihood: float
    price: float
    slack: float

    @property
    def net(self) -> float:
        """Gain beyond the price, rows that remember counted once."""
        return self.likelihood / self.slack - self.price


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Correlations of columns and their products by run of time.

    Parameters
    ----------
    correlation : ndarray of float64, shape (d, d)
        Correlations of the columns.
    runs : ndarray of float64, shape (r, d, d)
        Sums of the products of standardised columns over each run; none where rows have no time.
    starts : ndarray of int64, shape (p + 1,)
        First column of each variable.
    rows : float
        Rows.

    Examples
    --------
    >>> evidence = Evidence(
    ...     correlation=np.array([[1, 0.5], [0.5, 1]]), runs=np.zeros((0, 2, 2)), starts=np.arange(3), rows=100
    ... )
    >>> round(evidence.gain(0, 1, ()).likelihood, 2)
    14.38
    """

    correlation: NDArray[np.float64]
    runs: NDArray[np.float64]
    starts: NDArray[np.int64]
    rows: float

    def gain(self, one: int, two: int, given: Sequence[int]) -> Gain:
        """Return what joining two variables gains where others are held.

        Parameters
        ----------
        one, two : int
            The variables.
        given : sequence of int
            What is held.

        Returns
        -------
        Gain
            Of a Gaussian in which categories are indicators.
        """
        a, b = self._columns((one,)), self._columns((two,))
        held = self._columns(given)
        every = np.concatenate([a, b, held])
        weights = np.zeros((len(every), len(a) + len(b)))
        weights[: len(a) + len(b)] = np.eye(len(a) + len(b))
        among = self.correlation[np.ix_(every, every)]
        if len(held):
            inner = among[len(a) + len(b) :, len(a) + len(b) :] + _RIDGE * np.eye(len(held))
            weights[len(a) + len(b) :] = -np.linalg.solve(inner, among[len(a) + len(b) :, : len(a) + len(b)])
        left = weights.T @ among @ weights + _RIDGE * np.eye(len(a) + len(b))
        roots = [np.linalg.cholesky(part) for part in (left[: len(a), : len(a)], left[len(a) :, len(a) :])]
        cross = np.linalg.solve(roots[0], np.linalg.solve(roots[1], left[: len(a), len(a) :].T).T)
        share = np.minimum(np.linalg.svd(cross, compute_uv=False) ** 2, 1 - _RIDGE)
        return Gain(
            likelihood=float(-0.5 * self.rows * np.log1p(-share).sum()),
            price=0.5 * float(np.log(self.rows)) * len(a) * len(b),
            slack=self._slack(every, weights, roots, len(a)),
        )

    def _slack(
        self, every: NDArray[np.int64], weights: NDArray[np.float64], roots: list[NDArray[np.float64]], split: int
    ) -> float:
        if not len(self.runs):
            return 1.0
        one = np.linalg.solve(roots[0], weights[:, :split].T)
        two = np.linalg.solve(roots[1], weights[:, split:].T)
        products = one @ self.runs[:, every[:, None], every] @ two.T
        centred = products - products.mean(axis=0)
        return max(1.0, float((centred**2).sum() / self.rows / centred[0].size))

    def _columns(self, variables: Sequence[int]) -> NDArray[np.int64]:
        parts = [np.arange(self.starts[v], self.starts[v + 1]) for v in variables]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def evidence_of(products: Products, *, timed: bool) -> Evidence:
    """Return the evidence in sums of products.

    Parameters
    ----------
    products : Products
        Sums of standardised columns by cell.
    timed : bool
        Whether cells are cells of time.

    Returns
    -------
    Evidence
        The evidence.

    Examples
    --------
    >>> from causalrel.discovery.statistics import Blocks, summed
    >>> rows = np.arange(4.0)
    >>> products = summed([rows, rows**2], Blocks(cell=np.zeros(4, int), count=1, run=1))
    >>> evidence_of(products, timed=False).gain(0, 1, ()).slack
    1.0
    """
    blocks = products.blocks
    starts = np.arange(0, blocks.count, blocks.run) if timed else np.zeros(0, np.int64)
    shape = products.products.shape[1:]
    return Evidence(
        correlation=products.facts().correlation,
        runs=np.add.reduceat(products.products, starts, axis=0) if timed else np.zeros((0, *shape)),
        starts=products.starts,
        rows=float(products.rows.sum()),
    )
