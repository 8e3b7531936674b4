"""Dependences: whether two columns still move together once others are held fixed, on rows that remember."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from causalrel.mechanisms.regressions import time_groups

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Most steps that noise is modelled to remember.
_ORDER = 4
#: Rounds of fitting the memory and the regression in turn.
_ROUNDS = 2
_RIDGE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependence:
    """How far two columns depend on each other once others are held fixed.

    Parameters
    ----------
    correlation : float
        Partial correlation; the largest one in size where there are several columns.
    error : float
        Its standard error.
    p : float
        Chance of a dependence as clear as this where there is none.
    blocks : int
        Time blocks that were taken as independent.

    Examples
    --------
    >>> Dependence(correlation=0.1, error=0.05, p=0.05, blocks=100).blocks
    100
    """

    correlation: float
    error: float
    p: float
    blocks: int


def weigh(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    z: NDArray[np.float64],
    *,
    step: NDArray[np.int64],
    unit: NDArray[np.int64],
    whiten: bool = True,
) -> Dependence | None:
    """Test whether ``x`` and ``y`` are uncorrelated given ``z``, with the noise of neighbouring rows alike.

    Both are regressed on ``z`` and the products of their residuals are tested to have mean zero (the generalised
    covariance measure of Shah and Peters 2020, doi:10.1214/19-AOS1857): their sums over time blocks are taken as
    independent and compared by Hotelling's T-squared, which is Student's test for one product, and the p-value is never
    below that of single products, since few blocks tell their variance badly. First all columns lose
    what the noise of ``y`` remembers: an autoregression of the residuals of ``y``, chosen by BIC, is filtered out of
    ``x``, ``y`` and ``z`` alike (Cochrane and Orcutt 1949, doi:10.1080/01621459.1949.10483290). That is valid where the
    noise of ``y`` is independent of all of ``x`` and ``z``, as it is where ``z`` holds all causes of ``y``.

    Parameters
    ----------
    x, y : ndarray of float64, shape (n, d)
        Columns, in the order of unit and step.
    z : ndarray of float64, shape (n, k)
        Regressors, the intercept among them.
    step, unit : ndarray of int64, shape (n,)
        Window number and unit of each row.
    whiten : bool
        Whether memory is filtered out; without it, blocks are as long as the products remember.

    Returns
    -------
    Dependence or None
        What was found; None where nothing is left of a column or there are too few blocks.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> z = rng.normal(size=(400, 1))
    >>> x, y = z + rng.normal(size=(400, 1)), z + rng.normal(size=(400, 1))
    >>> steps, one = np.arange(400), np.ones((400, 1))
    >>> given = weigh(x, y, np.hstack([one, z]), step=steps, unit=np.zeros(400, dtype=np.int64))
    >>> alone = weigh(x, y, one, step=steps, unit=np.zeros(400, dtype=np.int64))
    >>> given.p > 0.05, alone.p < 0.001
    (True, True)
    """
    memory = _memory(y, z, step, unit) if whiten else np.zeros(0)
    rows = unbroken(step, unit, len(memory))
    x_left, y_left = (residuals(_filtered(part, memory, rows), _filtered(z, memory, rows)) for part in (x, y))
    spread_x, spread_y = x_left.std(axis=0), y_left.std(axis=0)
    if (spread_x < 1e-6 * (1e-12 + x.std(axis=0))).any() or (spread_y < 1e-6 * (1e-12 + y.std(axis=0))).any():
        return None
    products = (x_left / spread_x)[:, :, None] * (y_left / spread_y)[:, None, :]
    flat = products.reshape(len(rows), -1)
    largest = int(np.argmax(np.abs(flat.sum(axis=0))))
    groups, _ = time_groups(step[rows], flat[:, largest] - flat[:, largest].mean())
    grouped = _compared(flat, groups, largest, z.shape[1])
    single = _compared(flat, np.arange(len(rows)), largest, z.shape[1])
    return None if grouped is None or single is None else max(grouped, single, key=lambda found: found.p)


def _compared(products: NDArray[np.float64], groups: NDArray[np.int64], largest: int, width: int) -> Dependence | None:
    """Compare sums of products over groups to zero; ``width`` columns were fitted before."""
    from scipy.stats import f

    size, count = products.shape
    names, codes = np.unique(groups, return_inverse=True)
    blocks = len(names)
    if blocks < count + 8:
        return None
    sums = np.zeros((blocks, count))
    np.add.at(sums, codes, products)
    total = sums.sum(axis=0)
    left = sums - (np.bincount(codes) / size)[:, None] * total
    spread = left.T @ left * blocks / (blocks - 1) * size / max(1, size - width)
    freedom = blocks - count
    statistic = float(total @ np.linalg.pinv(spread, hermitian=True) @ total) * freedom / ((blocks - 1) * count)
    return Dependence(
        correlation=float(total[largest] / size),
        error=float(np.sqrt(spread[largest, largest]) / size),
        p=float(f.sf(statistic, count, freedom)),
        blocks=blocks,
    )


def _memory(
    y: NDArray[np.float64], z: NDArray[np.float64], step: NDArray[np.int64], unit: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the autoregression of what is left of ``y``: weights of the last steps, none where there is no memory."""
    memory = np.zeros(0)
    if len(unbroken(step, unit, _ORDER)) < len(y) / 2:
        return memory
    for _ in range(_ROUNDS):
        rows = unbroken(step, unit, len(memory))
        weights = _solved(_filtered(z, memory, rows), _filtered(y, memory, rows))
        memory = _autoregression(y - z @ weights, step, unit)
    return memory


def _autoregression(left: NDArray[np.float64], step: NDArray[np.int64], unit: NDArray[np.int64]) -> NDArray[np.float64]:
    rows = unbroken(step, unit, _ORDER)
    scaled = left / np.maximum(left.std(axis=0), 1e-300)
    now = scaled[rows].T.ravel()
    lagged = np.column_stack([scaled[rows - lag].T.ravel() for lag in range(1, _ORDER + 1)])
    best, chosen = np.inf, np.zeros(0)
    for order in range(_ORDER + 1):
        weights = _solved(lagged[:, :order], now[:, None])[:, 0]
        loss = float(((now - lagged[:, :order] @ weights) ** 2).mean())
        score = len(rows) * np.log(max(loss, 1e-300)) + order * np.log(len(rows))
        if score < best:
            best, chosen = score, weights
    return chosen


def unbroken(step: NDArray[np.int64], unit: NDArray[np.int64], order: int) -> NDArray[np.intp]:
    """Return the rows whose last ``order`` steps are there, in the same unit and without a gap.

    Parameters
    ----------
    step, unit : ndarray of int64, shape (n,)
        Step and unit of each row, sorted by unit and step.
    order : int
        Steps before a row.

    Returns
    -------
    ndarray of int, shape (m,)
        The rows.

    Examples
    --------
    >>> unbroken(np.array([0, 1, 3, 4, 5]), np.array([0, 0, 0, 0, 1]), 1).tolist()
    [1, 3]
    """
    at = np.arange(order, len(step))
    unbroken: NDArray[np.bool_] = (unit[at] == unit[at - order]) & (step[at] - step[at - order] == order)
    return at[unbroken]


def _filtered(values: NDArray[np.float64], memory: NDArray[np.float64], rows: NDArray[np.intp]) -> NDArray[np.float64]:
    made = values[rows]
    for lag, weight in enumerate(memory, 1):
        made = made - weight * values[rows - lag]
    return np.asarray(made, dtype=np.float64)


def residuals(values: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what least squares on some columns leaves of others.

    Parameters
    ----------
    values : ndarray of float64, shape (n, d)
        Columns to tell.
    z : ndarray of float64, shape (n, k)
        Columns that tell them; they may repeat each other.

    Returns
    -------
    ndarray of float64, shape (n, d)
        The residuals.

    Examples
    --------
    >>> (residuals(np.array([[1.0], [2.0], [3.0]]), np.ones((3, 1))).round(3) + 0.0).ravel().tolist()
    [-1.0, 0.0, 1.0]
    """
    return np.asarray(values - z @ _solved(z, values), dtype=np.float64)


def _solved(z: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least squares with just enough ridge for columns that repeat each other."""
    scale = np.sqrt((z**2).sum(axis=0)) + 1e-300
    scaled = z / scale
    weights = np.linalg.solve(scaled.T @ scaled + _RIDGE * np.eye(z.shape[1]), scaled.T @ y)
    return np.asarray(weights / scale[:, None], dtype=np.float64)
