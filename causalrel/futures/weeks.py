"""Weeks: how the logs of daily amounts go on, as far as they remember and as far as weekends differ.

Daily logs are a mean, plus noise that remembers, plus, maybe, what Saturdays and Sundays have less. How long noise
remembers, and whether and how much weekends differ, is weighed by evidence: the marginal likelihood of a Gaussian
process under a conjugate prior of its variance (Rasmussen and Williams 2006, "Gaussian Processes for Machine Learning",
5.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: How much of a day's noise the next day keeps, and the chance of each before days are seen.
_MEMORY = {0.3: 0.1, 0.6: 0.25, 0.85: 0.35, 0.95: 0.3}
#: How far weekends may differ, in standard deviations of the noise; 0 for not at all.
_REACH = {0.0: 0.4, 0.5: 0.2, 2.0: 0.2, 6.0: 0.2}
_ALONE = 0.1
_MEAN = 30.0
#: Shape of the prior of the noise's variance, and the standard deviation it is about.
_SHAPE, _SPREAD = 1.5, 0.13
_LEAST_DAYS = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class _Guess:
    """One guess of memory and reach, given the days seen: where days to come stand, and how sure that is."""

    score: float
    weekly: bool
    mean: Floats
    root: Floats
    shape: float
    scale: float
    gap: float


def draw_daily(
    seen: Floats, weekend: NDArray[np.bool_], draws: int, rng: np.random.Generator
) -> tuple[Floats, NDArray[np.bool_]]:
    """Draw logs of daily amounts to come.

    Parameters
    ----------
    seen : ndarray of float64, shape (n,)
        Logs of the days seen; NaN where a day tells nothing.
    weekend : ndarray of bool, shape (n + n_ahead,)
        Which days are Saturdays or Sundays.
    draws : int
        Number of draws.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    logs : ndarray of float64, shape (draws, n_ahead)
        Days to come.
    weekly : ndarray of bool, shape (draws,)
        Whether weekends differ in a draw.

    Examples
    --------
    >>> weekend = np.arange(35) % 7 >= 5
    >>> seen = np.where(weekend[:28], 2.0, 3.0) + 0.05 * np.random.default_rng(1).normal(size=28)
    >>> logs, weekly = draw_daily(seen, weekend, 500, np.random.default_rng(0))
    >>> logs.mean(axis=0).round().tolist(), bool(weekly.mean() > 0.9)
    ([3.0, 3.0, 3.0, 3.0, 3.0, 2.0, 2.0], True)
    """
    guesses = _guesses(seen, weekend)
    chosen = rng.choice(len(guesses), size=draws, p=_weights(guesses))
    made = np.empty((draws, len(weekend) - len(seen)))
    for at in np.unique(chosen):
        guess, mine = guesses[at], chosen == at
        sd = np.sqrt(guess.scale / rng.gamma(guess.shape, size=int(mine.sum())))
        made[mine] = guess.mean + sd[:, None] * (rng.standard_normal((len(sd), made.shape[1])) @ guess.root.T)
    return made, np.array([guess.weekly for guess in guesses])[chosen]


def weekend_gap(seen: Floats, weekend: NDArray[np.bool_]) -> float:
    """Return by how much the logs of weekends differ, shrunk towards not at all by evidence.

    Parameters
    ----------
    seen : ndarray of float64, shape (n,)
        Logs of the days seen; NaN where a day tells nothing.
    weekend : ndarray of bool, shape (n,)
        Which of them are Saturdays or Sundays.

    Returns
    -------
    float
        Weekends less other days.

    Examples
    --------
    >>> weekend_gap(np.zeros(28), np.arange(28) % 7 >= 5)
    0.0
    """
    guesses = _guesses(seen, weekend)
    return float(_weights(guesses) @ np.array([guess.gap for guess in guesses]))


def _guesses(seen: Floats, weekend: NDArray[np.bool_]) -> list[_Guess]:
    told = np.isfinite(seen)
    days = np.append(np.flatnonzero(told), np.arange(len(seen), len(weekend)))
    apart = np.abs(np.subtract.outer(days, days))
    turn = weekend[days] - 2 / 7
    n, middle = int(told.sum()), float(seen[told].mean())
    both = n >= _LEAST_DAYS and 0 < weekend[: len(seen)][told].sum() < n
    made = []
    for (kept, chance), (reach, likely) in product(_MEMORY.items(), _REACH.items()):
        if reach and not both:
            continue
        cover = (1 - _ALONE) * kept**apart + (_ALONE + 1e-9) * np.eye(len(days)) + _MEAN
        cover += reach**2 * np.outer(turn, turn)
        root = np.linalg.cholesky(cover[:n, :n])
        left = np.linalg.solve(root, seen[told] - middle)
        across = np.linalg.solve(root, np.column_stack([cover[:n, n:], reach**2 * turn[:n]]))
        shape, scale = _SHAPE + n / 2, _SHAPE * _SPREAD**2 + left @ left / 2
        spread = cover[n:, n:] - across[:, :-1].T @ across[:, :-1]
        made.append(
            _Guess(
                score=float(np.log(chance * likely) - np.log(np.diag(root)).sum() - shape * np.log(scale)),
                weekly=reach > 0,
                mean=middle + across[:, :-1].T @ left,
                root=np.linalg.cholesky(spread + 1e-9 * np.eye(len(spread))),
                shape=shape,
                scale=float(scale),
                gap=float(across[:, -1] @ left),
            )
        )
    return made


def _weights(guesses: list[_Guess]) -> Floats:
    scores = np.array([guess.score for guess in guesses])
    made: Floats = np.exp(scores - scores.max())
    return np.asarray(made / made.sum())
