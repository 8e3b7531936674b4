"""Overdispersion: how much the events of one window go bad together beyond what its causes say, and draws with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Mean and standard deviation of the normal prior on the log odds of the correlation: about 2 %, from 0.04 % to 50 %.
#: It speaks where windows hold an event or two, of which hardly any are bad.
_USUAL, _SPREAD = -4.0, 2.0
#: Rows that the correlation is learnt from, at most.
_ROWS = 20_000


def fit_correlation(bad: NDArray[np.float64], total: NDArray[np.float64], share: NDArray[np.float64]) -> float:
    """Return the likeliest correlation between events of one window, given what share of them is expected to be bad.

    Counts are beta-binomial (Skellam 1948, doi:10.1111/j.2517-6161.1948.tb00014.x): each window has a share of its own
    about the one expected, with variance ``share * (1 - share) * correlation``.

    Parameters
    ----------
    bad, total : ndarray of float64, shape (n,)
        Bad events and events.
    share : ndarray of float64, shape (n,)
        Expected share of bad events.

    Returns
    -------
    float
        The correlation, above 0.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> total, share = np.full(4000, 20.0), np.full(4000, 0.2)
    >>> round(fit_correlation(rng.binomial(20, rng.beta(2.0, 8.0, 4000)) * 1.0, total, share), 1)
    0.1
    >>> fit_correlation(rng.binomial(20, 0.2, 4000) * 1.0, total, share) < 0.005
    True
    """
    from scipy.optimize import minimize_scalar

    rows = np.unique(np.linspace(0, len(bad) - 1, min(len(bad), _ROWS)).astype(np.int64))
    seen = bad[rows], total[rows], np.clip(share[rows], 1e-9, 1 - 1e-9)

    def loss(odds: float) -> float:
        return 0.5 * ((odds - _USUAL) / _SPREAD) ** 2 - float(log_chance(*seen, 1 / (1 + np.exp(-odds))).sum())

    found = minimize_scalar(loss, bounds=(_USUAL - 4 * _SPREAD, _USUAL + 4 * _SPREAD), method="bounded")
    return float(1 / (1 + np.exp(-found.x)))


def log_chance(
    bad: NDArray[np.float64],
    total: NDArray[np.float64],
    share: NDArray[np.float64],
    correlation: float | NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the log of the chance of so many bad events.

    Parameters
    ----------
    bad, total : ndarray of float64
        Bad events and events, of shapes that go together with ``share``.
    share : ndarray of float64
        Expected share, above 0 and below 1.
    correlation : float or ndarray of float64
        Correlation between events of one window, 0 for independent ones; an array is above 0 throughout.

    Returns
    -------
    ndarray of float64
        Natural logs.

    Examples
    --------
    >>> log_chance(np.array([0.0, 1.0]), np.array([1.0, 1.0]), np.array([0.25, 0.25]), 0.3).round(3).tolist()
    [-0.288, -1.386]
    """
    from scipy.special import betaln, gammaln, xlog1py, xlogy

    ways = gammaln(total + 1) - gammaln(bad + 1) - gammaln(total - bad + 1)
    if np.ndim(correlation) == 0 and correlation <= 0:
        return np.asarray(ways + xlogy(bad, share) + xlog1py(total - bad, -share), dtype=np.float64)
    size = 1 / correlation - 1
    a, b = share * size, (1 - share) * size
    return np.asarray(ways + betaln(bad + a, total - bad + b) - betaln(a, b), dtype=np.float64)


def draw_shares(share: NDArray[np.float64], correlation: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw the share of each window about the one expected.

    Parameters
    ----------
    share : ndarray of float64
        Expected shares.
    correlation : float
        Correlation between events of one window.
    rng : numpy.random.Generator
        Generator handed down.

    Returns
    -------
    ndarray of float64
        Shares of the same shape.

    Examples
    --------
    >>> drawn = draw_shares(np.full(9999, 0.2), 0.1, np.random.default_rng(0))
    >>> round(drawn.mean(), 2), round(drawn.std(), 2)
    (np.float64(0.2), np.float64(0.13))
    """
    if correlation <= 0:
        return share
    size = 1 / correlation - 1
    inner = np.clip(share, 1e-9, 1 - 1e-9)
    return np.asarray(rng.beta(inner * size, (1 - inner) * size), dtype=np.float64)
