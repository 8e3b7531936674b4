"""Overlap: the windows that could have had any of the levels asked about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from causalrel.effects.columns import ENOUGH
from causalrel.mechanisms.drafts import rows_of
from causalrel.mechanisms.regressions import fit_rate
from causalrel.networks import Term, expit, make_term

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.windows import Windows

#: Beyond a value of what is held fixed where a level was seen in fewer windows than this, data tell nothing of it;
#: never more than this share of a level's windows, and shared among all that is held fixed, since each cuts some off.
_FEWEST_BEYOND = 5
_MOST_BEYOND = 0.1

#: A numeric treatment with more distinct values than this is taken as continuous.
MOST_LEVELS = 12

#: Share of events, bad or all, that must lie where every level was seen for an answer that is not bounded.
MOST = 0.8

#: With a smaller share than this there is no answer for all.
LEAST = 0.2


def complete(windows: Windows, names: Sequence[str], of: str, levels: Sequence[float | int | str]) -> Windows:
    """Keep the windows without a null among some nodes, and of a treatment with few values those at some levels.

    Parameters
    ----------
    windows : Windows
        The windows.
    names : sequence of str
        Variables and SLOs.
    of : str
        The treatment.
    levels : sequence of level
        The levels; none keeps all.

    Returns
    -------
    Windows
        Those kept, in their order.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> kept = complete(windows, ["batch_size", "ttft"], "batch_size", [4.0])
    >>> kept.table["batch_size"].unique().to_list()
    [4]
    """
    known = rows_of(windows, names)[1].select("time", "unit")
    kept = windows.table.join(known, on=["time", "unit"], how="semi", maintain_order="left")
    category = windows.variable(of).kind == "category"
    if levels and (category or kept[of].n_unique() <= MOST_LEVELS):
        wanted = [str(level) if category else float(level) for level in levels]
        kept = kept.filter(pl.col(of).cast(pl.String if category else pl.Float64).is_in(wanted))
    return replace(windows, table=kept)


def supported(
    code: NDArray[np.int64] | None,
    terms: tuple[Term, ...],
    columns: Mapping[str, NDArray[Any]],
    weight: NDArray[np.float64],
    assigned_by: Sequence[str],
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
    weight : ndarray of float64, shape (n,)
        Weight of each row: its bad events.
    assigned_by : sequence of str
        What sets the treatment, where more than a fifth of the weight beyond what some level saw is left out.

    Returns
    -------
    ndarray of bool, shape (n,)
        The rows.

    Examples
    --------
    >>> load = np.linspace(0.0, 1.0, 200)
    >>> code = np.where(load < 0.5, 0, np.arange(200) // 10 % 2)
    >>> marked = supported(code, (make_term("load", load, category=False),), {"load": load}, np.ones(200), ())
    >>> bool(marked[:60].any()), bool(marked[120:160].all())
    (False, True)
    """
    size = len(weight)
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
    rows = np.flatnonzero(marked)
    some = rows[:: 1 + len(rows) // ENOUGH]
    for level in range(count):
        made = fit_rate(x[some], (code[some] == level).astype(float), np.ones(len(some)), some)
        share = expit(x @ made.mean)
        marked &= (share > 0.02) & ((share < 0.98) | (count > 2))
    common = marked & seen_at_each(code, [columns[term.name] for term in numbers if term.name in assigned_by])
    return marked if weight[common].sum() >= MOST * weight[marked].sum() else common


def share_of(marked: NDArray[np.bool_], bad: NDArray[np.float64], total: NDArray[np.float64] | None) -> float:
    """Return the share of the events, or of the bad ones if less, that fell in marked rows.

    Parameters
    ----------
    marked : ndarray of bool, shape (n,)
        Rows.
    bad, total : ndarray of float64, shape (n,)
        Event counts; ``total`` is None for a numeric outcome, where rows are counted.

    Returns
    -------
    float
        From 0 to 1.

    Examples
    --------
    >>> share_of(np.array([True, False]), np.array([1.0, 3.0]), np.array([10.0, 10.0]))
    0.25
    """
    if total is None:
        return float(marked.mean())
    share = float(total[marked].sum() / total.sum())
    return min(share, float(bad[marked].sum() / max(bad.sum(), 1.0))) if bad.any() else share


def level_alone(code: NDArray[np.int64], marked: NDArray[np.bool_]) -> int | None:
    """Return the level whose units alone can be spoken of, where hardly any of the others could have had it.

    Parameters
    ----------
    code : ndarray of int64, shape (n,)
        Index of each row's level.
    marked : ndarray of bool, shape (n,)
        Rows that could have had any of the levels.

    Returns
    -------
    int or None
        Index of the level; None where all can be spoken of, or none.

    Examples
    --------
    >>> code = np.repeat([0, 1], [95, 5])
    >>> level_alone(code, np.arange(100) >= 85)
    1
    """
    if marked.mean() >= LEAST:
        return None
    shares = [float(marked[code == level].mean()) for level in range(int(code.max()) + 1)]
    best = int(np.argmax(shares))
    return best if shares[best] >= MOST else None


def edges(code: NDArray[np.int64], values: NDArray[np.float64], level: int, among: int = 1) -> tuple[float, float]:
    """Return the values beyond which a level was seen in fewer than five windows, or a tenth of its own.

    Parameters
    ----------
    code : ndarray of int64, shape (n,)
        Index of each row's level.
    values : ndarray of float64, shape (n,)
        What is held fixed.
    level : int
        The level.
    among : int
        How many things have edges, which share those windows.

    Returns
    -------
    low, high : float
        The edges.

    Examples
    --------
    >>> edges(np.repeat([0, 1], 10), np.arange(20.0), 0)
    (0.0, 9.0)
    """
    ordered = np.sort(values[code == level])
    place = max(1, int(min(_FEWEST_BEYOND, _MOST_BEYOND * len(ordered)) / among))
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
    np.int64(18)
    """
    marked = np.ones(len(code), dtype=bool)
    for values in held:
        for level in np.unique(code):
            low, high = edges(code, values, int(level), len(held))
            marked &= (values >= low) & (values <= high)
    return marked
