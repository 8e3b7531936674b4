"""Kernels: covariance of a Gaussian process on a linear or quadratic trend, chosen by marginal likelihood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Trend = Literal["linear", "quadratic"]

#: Prior variance of a trend's coefficient, on a standardised outcome.
TREND_VARIANCE = 10.0
_ROOT5 = np.sqrt(5.0)
#: Rows the hyperparameters are chosen on, at most.
_CHOSEN_ON = 400
#: Logs of the lengths a search starts from.
_LENGTHS = (0.0, float(np.log(4.0)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """Covariance of a process: a trend with normal coefficients plus a Matern 5/2 with one length an axis.

    Parameters
    ----------
    trend : {"linear", "quadratic"}
        The trend; quadratic has squares and products of numbers too.
    groups : ndarray of int64, shape (k,)
        Axis of each column; columns of one axis share a length.
    numeric : ndarray of bool, shape (k,)
        Which columns are numbers, so may be squared.
    lengths : ndarray of float64, shape (n_axes,)
        Length of each axis.
    amplitude : float
        Standard deviation of the Matern part; 0 leaves the trend alone.
    noise : float
        Standard deviation of what no parent explains.

    Examples
    --------
    >>> kernel = Kernel(
    ...     trend="linear",
    ...     groups=np.array([0]),
    ...     numeric=np.array([True]),
    ...     lengths=np.array([1.0]),
    ...     amplitude=1.0,
    ...     noise=0.1,
    ... )
    >>> kernel.matern(np.zeros((1, 1)), np.array([[0.0], [1.0]])).round(4).tolist()
    [[1.0, 0.524]]
    """

    trend: Trend
    groups: NDArray[np.int64]
    numeric: NDArray[np.bool_]
    lengths: NDArray[np.float64]
    amplitude: float
    noise: float

    def basis(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the columns of the trend, shape (..., p)."""
        parts = [np.ones((*x.shape[:-1], 1)), x]
        if self.trend == "quadratic":
            numbers = x[..., self.numeric]
            at, other = np.triu_indices(numbers.shape[-1])
            parts.append(numbers[..., at] * numbers[..., other])
        return np.concatenate(parts, axis=-1)

    def matern(self, x: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the Matern part between two sets of rows (Rasmussen and Williams 2006, eq. 4.17)."""
        scale = self.lengths[self.groups]
        return self.amplitude**2 * _matern(np.sqrt(squares(x / scale, z / scale)))

    def between(self, x: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the covariance between two sets of rows, noise left out."""
        trend: NDArray[np.float64] = TREND_VARIANCE * (self.basis(x) @ self.basis(z).T)
        return trend + self.matern(x, z) if self.amplitude > 0 else trend


def squares(x: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return squared distances between two sets of rows."""
    made = (x * x).sum(axis=1)[:, None] + (z * z).sum(axis=1)[None, :] - 2.0 * (x @ z.T)
    return np.asarray(np.maximum(made, 0.0), dtype=np.float64)


def _matern(r: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((1.0 + _ROOT5 * r + 5.0 / 3.0 * r * r) * np.exp(-_ROOT5 * r), dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows a process is fitted to, rows of equal parents made one.

    Parameters
    ----------
    x : ndarray of float64, shape (m, k)
        Distinct rows.
    y : ndarray of float64, shape (m,)
        Mean outcome of each.
    weight : ndarray of float64, shape (m,)
        Independent rows that each stands for.
    within : float
        Sum of squares around those means.
    count : float
        Independent rows in all.

    Examples
    --------
    >>> gather(np.array([[1.0], [1.0], [2.0]]), np.array([0.0, 2.0, 5.0])).y.tolist()
    [1.0, 5.0]
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    weight: NDArray[np.float64]
    within: float
    count: float

    def some(self, most: int, rng: np.random.Generator) -> Rows:
        """Return a random part of the rows, all where they are few."""
        if len(self.y) <= most:
            return self
        chosen = np.sort(rng.choice(len(self.y), most, replace=False))
        share = most / len(self.y)
        return Rows(
            x=self.x[chosen],
            y=self.y[chosen],
            weight=self.weight[chosen],
            within=self.within * share,
            count=self.count * share,
        )


def gather(x: NDArray[np.float64], y: NDArray[np.float64], memory: float = 1.0) -> Rows:
    """Make rows of equal parents one.

    Parameters
    ----------
    x : ndarray of float64, shape (n, k)
        Parents.
    y : ndarray of float64, shape (n,)
        Outcome.
    memory : float
        Rows that tell as much as one independent row, 1 where all are independent.

    Returns
    -------
    Rows
        Distinct rows.

    Examples
    --------
    >>> gather(np.zeros((4, 1)), np.arange(4.0), memory=2.0).weight.tolist()
    [2.0]
    """
    distinct, inverse, counts = np.unique(x, axis=0, return_inverse=True, return_counts=True)
    inverse = inverse.reshape(-1)
    mean = np.bincount(inverse, weights=y) / counts
    within = float(((y - mean[inverse]) ** 2).sum())
    return Rows(x=distinct, y=mean, weight=counts / memory, within=within / memory, count=len(y) / memory)


def fit_kernel(
    rows: Rows,
    groups: NDArray[np.int64],
    numeric: NDArray[np.bool_],
    trend: Trend = "linear",
    *,
    smooth: bool = True,
    start: Kernel | None = None,
    rng: np.random.Generator,
) -> Kernel:
    """Choose the lengths, the amplitude and the noise by marginal likelihood with weak priors.

    Parameters
    ----------
    rows : Rows
        Standardised rows.
    groups : ndarray of int64, shape (k,)
        Axis of each column.
    numeric : ndarray of bool, shape (k,)
        Which columns are numbers.
    trend : {"linear", "quadratic"}
        The trend.
    smooth : bool
        Whether there is a Matern part; without, the process is a Bayesian regression.
    start : Kernel, optional
        A kernel of nearly the same rows to search from.
    rng : numpy.random.Generator
        Picks the rows where they are many.

    Returns
    -------
    Kernel
        The kernel at the largest posterior found by L-BFGS from two starts.

    Examples
    --------
    >>> x = np.linspace(-1, 1, 30)[:, None]
    >>> rows = gather(x, np.sin(3 * x[:, 0]))
    >>> kernel = fit_kernel(rows, np.array([0]), np.array([True]), rng=np.random.default_rng(0))
    >>> kernel.noise < 0.05
    True
    """
    from scipy.optimize import minimize

    used = rows.some(_CHOSEN_ON, rng)
    axes = int(groups.max()) + 1 if smooth else 0
    lengths = np.ones(int(groups.max()) + 1)
    made = Kernel(trend=trend, groups=groups, numeric=numeric, lengths=lengths, amplitude=0.0, noise=0.1)
    apart = [squares(part, part) for part in (used.x[:, groups == axis] for axis in range(axes))]
    base = made.between(used.x, used.x)
    bounds = [(-3.0, 5.0)] * axes + [(-6.0, 3.0)] * smooth + [(-9.0, 1.0)]
    starts = [np.array([length] * axes + [np.log(0.5)] * smooth + [np.log(0.1)]) for length in _LENGTHS[: 1 + smooth]]
    if start is not None:
        starts = [np.log(np.array([*start.lengths[:axes], *[start.amplitude] * smooth, start.noise]))]
    given: dict[str, Any] = {"args": (used, base, apart), "jac": True, "bounds": bounds, "options": {"maxiter": 80}}
    tried = [minimize(_loss, first, method="L-BFGS-B", **given) for first in starts]
    best = min(tried, key=lambda found: float(found.fun))
    theta = np.exp(best.x)
    return Kernel(
        trend=trend,
        groups=groups,
        numeric=numeric,
        lengths=theta[:axes] if smooth else lengths,
        amplitude=float(theta[axes]) if smooth else 0.0,
        noise=float(theta[-1]),
    )


def _loss(
    theta: NDArray[np.float64], rows: Rows, base: NDArray[np.float64], apart: list[NDArray[np.float64]]
) -> tuple[float, NDArray[np.float64]]:
    """Negative log posterior and its gradient (Rasmussen and Williams 2006, eq. 5.8 and 5.9)."""
    axes, noise = len(apart), float(np.exp(2 * theta[-1]))
    size = len(rows.y)
    kernel = base
    if axes:
        inverse = np.exp(-2 * theta[:axes])
        squared = sum(d * w for d, w in zip(apart, inverse, strict=True))
        r = np.sqrt(squared)
        decay = np.exp(-_ROOT5 * r)
        power = float(np.exp(2 * theta[axes]))
        matern = power * (1.0 + _ROOT5 * r + 5.0 / 3.0 * squared) * decay
        kernel = base + matern
    full = kernel + np.diag(noise / rows.weight + 1e-8)
    root = np.linalg.cholesky(full)
    half = np.linalg.solve(root, np.column_stack([rows.y, np.eye(size)]))
    alpha, precision = half[:, 1:].T @ half[:, 0], half[:, 1:].T @ half[:, 1:]
    more = max(rows.count - size, 0.0)
    value = 0.5 * float(half[:, 0] @ half[:, 0]) + float(np.log(np.diag(root)).sum())
    value += 0.5 * rows.within / noise + more * float(theta[-1])
    outer = precision - alpha[:, None] * alpha[None, :]
    grad = np.empty_like(theta)
    if axes:
        slope = power * 5.0 / 3.0 * (1.0 + _ROOT5 * r) * decay * outer
        for j, d in enumerate(apart):
            grad[j] = 0.5 * inverse[j] * float((slope * d).sum())
        grad[axes] = float((outer * matern).sum())
    grad[-1] = float((np.diag(outer) / rows.weight).sum()) * noise - rows.within / noise + more
    centre = np.concatenate([np.full(axes, 1.0), [-1.0] if axes else [], [-3.0]])
    width = np.concatenate([np.full(axes, 1.5), [1.5] if axes else [], [3.0]])
    value += 0.5 * float((((theta - centre) / width) ** 2).sum())
    return value, grad + (theta - centre) / width**2
