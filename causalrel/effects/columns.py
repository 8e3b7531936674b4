"""Columns: rows ready for the regression of an outcome on a treatment, and how its columns follow the treatment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.networks import Term

Level = float | int | str

#: Rows whose columns are made at once, few enough to stay in a processor's cache.
CHUNK = 4096
#: Rows that a first, rough fit needs, and a propensity.
ENOUGH = 32_768


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """Rows ready for the regression.

    Parameters
    ----------
    columns : mapping of str to ndarray, shape (n,)
        The rows.
    unit : ndarray of int64, shape (n,)
        Index of each row's unit.
    code : ndarray of int64, shape (n,), or None
        Index of each row's level; None for a continuous treatment.
    term : Term
        How the treatment enters.
    treat : ndarray, shape (n,)
        Values the term takes.
    terms : tuple of Term
        What is held fixed.
    bad, total : ndarray of float64, shape (n,)
        Event counts; ``total`` is None for a numeric outcome, which ``bad`` then holds.
    groups : ndarray of int64, shape (n,)
        Rows of different groups are independent.
    block : int
        Windows a time block; 0 where groups are units.
    by_unit : bool
        Whether the treatment mostly differs between units rather than within them.
    assignments : int
        Independent settings of the treatment.
    supported : ndarray of bool, shape (n,)
        Rows that could have had any of the levels, and that the answer speaks of.
    overlap : float
        Share of the events, or of the bad ones, that fell in them.
    only : int or None
        Index of the level whose units alone the answer speaks of; None where it speaks of all.
    unit_effects : bool
        Whether each unit gets its own intercept.
    crossed : bool
        Whether what is held fixed is crossed with the treatment.
    smooth : bool
        Whether hinges are penalised and the noise is modelled as a chain, rather than allowed for by clusters.
    assigned_by : tuple of str
        What is held fixed and sets the treatment.
    left : ndarray of float64, shape (n,)
        What :func:`rough` leaves; empty where the treatment differs between units.
    """

    columns: Mapping[str, NDArray[Any]]
    unit: NDArray[np.int64]
    code: NDArray[np.int64] | None
    term: Term
    treat: NDArray[Any]
    terms: tuple[Term, ...]
    bad: NDArray[np.float64]
    total: NDArray[np.float64] | None
    groups: NDArray[np.int64]
    block: int
    by_unit: bool
    assignments: int
    supported: NDArray[np.bool_]
    overlap: float
    only: int | None
    unit_effects: bool
    crossed: bool
    smooth: bool
    assigned_by: tuple[str, ...]
    left: NDArray[np.float64]


def matrix(data: Design, rows: NDArray[np.intp], treat: NDArray[Any]) -> NDArray[np.float64]:
    """Return the regression's design with the treatment set.

    Parameters
    ----------
    data : Design
        The rows.
    rows : ndarray of intp, shape (m,)
        Rows wanted.
    treat : ndarray, shape (m,)
        Value of the treatment in each.

    Returns
    -------
    ndarray of float64, shape (m, k)
        Intercept, treatment, what is held fixed, their products, unit intercepts.

    Examples
    --------
    >>> import causalrel as cr
    >>> from causalrel.effects.designs import make_design
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> data = make_design(windows, windows.variable("batch_size"), "tpot", ["load"], (4.0, 8.0))
    >>> matrix(data, np.arange(2), data.treat[:2]).shape[0]
    2
    """
    return _filled(data, rows, treated(data, treat))


def changed(data: Design, rows: NDArray[np.intp], level: Level) -> NDArray[np.float64]:
    """Return how far the columns of :func:`matrix` that change with the treatment move to a level.

    Parameters
    ----------
    data : Design
        The rows.
    rows : ndarray of intp, shape (m,)
        Rows wanted.
    level : level
        Value of the treatment, as the design's term takes it.

    Returns
    -------
    ndarray of float64, shape (m, q)
        Treatment, and its products with what is held fixed, at the level less as they were.

    Examples
    --------
    >>> import causalrel as cr
    >>> from causalrel.effects.designs import make_design
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> data = make_design(windows, windows.variable("batch_size"), "tpot", ["load"], (4.0, 8.0))
    >>> changed(data, np.arange(2), "0").shape[1] == layout(data)[1].sum()
    np.True_
    """
    step = treated(data, np.full(1, level)) - treated(data, data.treat[rows])
    return _filled(data, rows, step, follows=True)


def treated(data: Design, treat: NDArray[Any]) -> NDArray[np.float64]:
    """Return the columns of the treatment itself.

    Parameters
    ----------
    data : Design
        The rows.
    treat : ndarray, shape (m,)
        Values of the treatment.

    Returns
    -------
    ndarray of float64, shape (m, j)
        Levels centred between each other, or the treatment's spline.

    Examples
    --------
    >>> import causalrel as cr
    >>> from causalrel.effects.designs import make_design
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> data = make_design(windows, windows.variable("batch_size"), "tpot", ["load"], (4.0, 8.0))
    >>> treated(data, np.array(["0", "1"])).tolist()
    [[-0.5], [0.5]]
    """
    made = data.term.columns(treat)
    return made if data.code is None else made - 1 / (made.shape[1] + 1)


def _filled(
    data: Design, rows: NDArray[np.intp], step: NDArray[np.float64], *, follows: bool = False
) -> NDArray[np.float64]:
    """Fill a matrix a few rows at a time, with all columns or those that follow the treatment."""
    wanted = layout(data)[1] | (not follows)
    made = np.empty((len(rows), int(wanted.sum())))
    for start in range(0, len(rows), CHUNK):
        part = slice(start, start + CHUNK)
        blocks = [block for block, _, moves in _parts(data, rows[part], step[part]) if moves or not follows]
        np.concatenate(blocks, axis=1, out=made[part])
    return made


def _parts(
    data: Design, rows: NDArray[np.intp], step: NDArray[np.float64]
) -> Iterator[tuple[NDArray[np.float64], bool, bool]]:
    """Give blocks of columns, whether each is shrunk and whether it follows the treatment, whose columns are given."""
    yield np.ones((len(rows), 1)), False, False
    yield step, False, True
    led = step if data.code is not None else step[:, :1]
    for term in data.terms:
        held = term.columns(data.columns[term.name][rows])
        straight = held if term.levels else held[:, :1]
        yield straight, False, False
        if not term.levels:
            yield held[:, 1:], data.smooth, False
        sets = term.name in data.assigned_by
        if data.crossed:
            yield _crossed(led, straight), data.smooth and (bool(term.levels) or not sets), True
        if data.crossed and data.smooth and sets and not term.levels:
            yield _crossed(led, held[:, 1:]), True, True
    if data.unit_effects:
        yield (data.unit[rows][:, None] == np.arange(1, data.unit.max() + 1)).astype(np.float64), False, False


def _crossed(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    return (one[:, :, None] * other[:, None, :]).reshape(len(one), -1)


def layout(data: Design) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Tell of each column of :func:`matrix` the group it is shrunk with, and whether it follows the treatment.

    Parameters
    ----------
    data : Design
        The rows.

    Returns
    -------
    groups : ndarray of int64, shape (k,)
        From 0 up; -1 for columns that are not shrunk.
    follows : ndarray of bool, shape (k,)
        Columns that change with the treatment.

    Examples
    --------
    >>> import causalrel as cr
    >>> from causalrel.effects.designs import make_design
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> data = make_design(windows, windows.variable("batch_size"), "tpot", ["load"], (4.0, 8.0))
    >>> groups, follows = layout(data)
    >>> int(groups[0]), bool(follows[1])
    (-1, True)
    """
    groups, follows, count = [], [], 0
    for part, shrunk, moves in _parts(data, np.arange(1), treated(data, data.treat[:1])):
        groups += [count if shrunk else -1] * part.shape[1]
        follows += [moves] * part.shape[1]
        count += shrunk and part.shape[1] > 0
    return np.array(groups, dtype=np.int64), np.array(follows, dtype=bool)


def rough(data: Design) -> NDArray[np.float64]:
    """Return what a ridge regression leaves, to tell how far residuals remember.

    Parameters
    ----------
    data : Design
        The rows.

    Returns
    -------
    ndarray of float64, shape (n,)
        Residuals; of event rates divided by their standard deviation at the mean rate.

    Examples
    --------
    >>> import causalrel as cr
    >>> from causalrel.effects.designs import make_design
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> data = make_design(windows, windows.variable("batch_size"), "tpot", ["load"], (4.0, 8.0))
    >>> bool((rough(data) == data.left).all())
    True
    """
    y, scale, rows = data.bad.copy(), np.ones(len(data.bad)), np.arange(len(data.bad))
    if data.total is not None:
        rate = min(max(y.sum() / data.total.sum(), 1e-9), 1 - 1e-9)
        scale = np.sqrt(data.total / (rate * (1 - rate)))
        y = (y / data.total - rate) * scale
    some = rows[:: 1 + len(rows) // ENOUGH]
    x = matrix(data, some, data.treat[some]) * scale[some, None]
    size = np.sqrt(np.einsum("ij,ij->j", x, x) / len(some)) + 1e-300
    x /= size
    weights = np.linalg.solve(x.T @ x + 1e-3 * len(some) * np.eye(x.shape[1]), x.T @ y[some]) / size
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        y[part] -= matrix(data, part, data.treat[part]) @ weights * scale[part]
    return y
