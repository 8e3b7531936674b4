"""Autocorrelation: how many rows that remember stand for one that does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_POINTS = 128


class Memory(NamedTuple):
    """Autocorrelations of variables, of which the inflation of what any of them have in common is a sum.

    The mean of the product of independent series varies ``sum(times * shares[a] * shares[b])`` times as much as on rows
    that remember nothing (Bartlett 1935, doi:10.2307/2342284): that many rows tell as much as one.

    Parameters
    ----------
    shares : ndarray of float64, shape (p, m)
        Autocorrelation of each variable at some distances in time, in the same unit, then in two units.
    times : ndarray of float64, shape (m,)
        Rows that have each distance to a row.

    Examples
    --------
    >>> Memory(shares=np.array([[1.0, 0.5], [1.0, 0.2]]), times=np.array([1.0, 2.0])).inflation.round(2).tolist()
    [[1.5, 1.2], [1.2, 1.08]]
    """

    shares: NDArray[np.float64]
    times: NDArray[np.float64]

    @property
    def inflation(self) -> NDArray[np.float64]:
        """Rows that tell as much of two variables as one that remembers nothing."""
        return np.asarray((self.shares * self.times) @ self.shares.T)

    @property
    def arrays(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """What scores read: the shares, their times, and the inflation."""
        return np.ascontiguousarray(self.shares), np.ascontiguousarray(self.times), self.inflation

    @staticmethod
    def none(size: int) -> Memory:
        """Return the memory of rows that are independent."""
        return Memory(shares=np.ones((size, 1)), times=np.ones(1))


def memory_of(parts: Sequence[NDArray[np.float64]], step: NDArray[np.int64], unit: NDArray[np.int64]) -> Memory:
    """Estimate how long variables remember, each cut where noise hides it, and how far units move together.

    Parameters
    ----------
    parts : sequence of ndarray of float64, shape (n, d)
        Columns of each variable.
    step, unit : ndarray of int64, shape (n,)
        Window and unit of each row.

    Returns
    -------
    Memory
        The autocorrelations; past a hundred windows at distances ever further apart.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> slow = np.convolve(rng.normal(size=1009), np.ones(10), "valid")[:, None]
    >>> made = memory_of([slow, rng.normal(size=(1000, 1))], np.arange(1000), np.zeros(1000, int))
    >>> made.inflation.round().astype(int).tolist()
    [[6, 1], [1, 1]]
    """
    place, row = np.unique(unit, return_inverse=True)[1], step - step.min()
    span, units = int(row.max()) + 1, int(place.max()) + 1
    held = np.bincount(row).astype(np.float64)
    beside = float(held @ held / held.sum()) - 1
    own, other = np.empty((len(parts), span // 3 + 1)), np.zeros((len(parts), span // 3 + 1))
    for i, part in enumerate(parts):
        grid = np.zeros((units, span, part.shape[1]))
        grid[place, row] = part - part.mean(axis=0)
        alone, together = _products(grid), _products(grid.sum(axis=0, keepdims=True))
        power = max(alone[0], 1e-300)
        own[i] = _kept(alone / power, len(row))
        if beside > 0:
            other[i] = _kept((together - alone) / power / beside, len(row) * beside / 2)
    last = max(1, int(np.flatnonzero((own + other).any(axis=0)).max()))
    at = np.unique(np.geomspace(1, last, _POINTS).astype(np.int64))
    apart = np.diff([1, *((at[1:] + at[:-1] + 1) // 2), last + 1]) * 2 * (1 - at / span)
    at, times = np.array([0, *at]), np.array([1.0, *apart])
    if not other.any():
        return Memory(shares=own[:, at], times=times)
    return Memory(shares=np.hstack([own[:, at], other[:, at]]), times=np.array([*times, *(beside * times)]))


def _products(grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sums of products of steps at each distance, up to a third of all."""
    span = grid.shape[1]
    power = (np.abs(np.fft.rfft(grid, n=2 * span, axis=1)) ** 2).sum(axis=(0, 2))
    return np.asarray(np.fft.irfft(power, n=2 * span)[: span // 3 + 1])


def _kept(shares: NDArray[np.float64], pairs: float) -> NDArray[np.float64]:
    hidden = shares < 2 / np.sqrt(pairs)
    return np.where(np.logical_or.accumulate(hidden), 0.0, shares)
