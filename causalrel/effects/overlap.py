"""Overlap: the windows that could have had any of the levels asked about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from causalrel.networks import Term, expit, make_term
from causalrel.regressions import fit_rate

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Beyond a value of what is held fixed where a level was seen in fewer windows than this, data tell nothing of it.
_FEWEST_BEYOND = 5

#: Share of events, bad or all, that must lie where every level was seen for an answer that is not bounded.
MOST = 0.8


def supported(
    code: NDArray[np.int64] | None,
    terms: tuple[Term, ...],
    columns: Mapping[str, NDArray[Any]],
    size: int,
) -> NDArray[np.bool_]:
    """Mark the rows that could have had any of the levels.

    A row must be where every level was seen: in the same categories, with a propensity of each level within
    [0.02, 0.98] by logistic regression.

    Parameters
    ----------
    code : ndarray of int64, shape (n,), or None
        Index of each row's level; None for a continuous treatment.
    terms : tuple of Term
        What is held fixed.
    columns : mapping of str to ndarray, shape (n,)
        Its values.
    size : int
        Number of rows.

    Returns
    -------
    ndarray of bool, shape (n,)
        The rows.

    Examples
    --------
    >>> load = np.linspace(0.0, 1.0, 200)
    >>> code = np.where(load < 0.5, 0, np.arange(200) // 10 % 2)
    >>> marked = supported(code, (make_term("load", load, category=False),), {"load": load}, 200)
    >>> bool(marked[:60].any()), bool(marked[120:160].all())
    (False, True)
    """
    marked = np.ones(size, dtype=bool)
    if code is None or not terms:
        return marked
    strata = np.zeros(size, dtype=np.int64)
    for term in terms:
        if term.levels:
            strata = strata * len(term.levels) + np.argmax(columns[term.name][:, None] == np.array(term.levels), axis=1)
    count = int(code.max()) + 1
    for stratum in np.unique(strata):
        inside = strata == stratum
        if len(np.unique(code[inside])) < count:
            marked[inside] = False
    numbers = tuple(make_term(term.name, columns[term.name], category=False) for term in terms if not term.levels)
    if not numbers or not marked.any():
        return marked
    x = np.column_stack([np.ones(size), *[term.columns(columns[term.name]) for term in numbers]])
    ones, rows = np.ones(int(marked.sum())), np.flatnonzero(marked)
    for level in range(count):
        made = fit_rate(x[rows], (code[rows] == level).astype(float), ones, rows)
        share = expit(x @ made.mean)
        marked &= (share > 0.02) & ((share < 0.98) | (count > 2))
    return marked


def edges(code: NDArray[np.int64], values: NDArray[np.float64], level: int) -> tuple[float, float]:
    """Return the values beyond which a level was seen in fewer than five windows.

    Parameters
    ----------
    code : ndarray of int64, shape (n,)
        Index of each row's level.
    values : ndarray of float64, shape (n,)
        What is held fixed.
    level : int
        The level.

    Returns
    -------
    low, high : float
        The edges.

    Examples
    --------
    >>> edges(np.repeat([0, 1], 10), np.arange(20.0), 0)
    (4.0, 5.0)
    """
    ordered = np.sort(values[code == level])
    place = min(_FEWEST_BEYOND, len(ordered))
    return float(ordered[place - 1]), float(ordered[-place])


def seen_at_each(code: NDArray[np.int64], held: Sequence[NDArray[np.float64]]) -> NDArray[np.bool_]:
    """Mark the rows inside the edges of every level.

    Parameters
    ----------
    code : ndarray of int64, shape (n,)
        Index of each row's level.
    held : sequence of ndarray of float64, shape (n,)
        What sets the treatment.

    Returns
    -------
    ndarray of bool, shape (n,)
        The rows.

    Examples
    --------
    >>> seen_at_each(np.tile([0, 1], 10), [np.arange(20.0)]).sum()
    np.int64(2)
    """
    marked = np.ones(len(code), dtype=bool)
    for values in held:
        for level in np.unique(code):
            low, high = edges(code, values, int(level))
            marked &= (values >= low) & (values <= high)
    return marked
