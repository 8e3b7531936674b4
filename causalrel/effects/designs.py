"""Designs: how a treatment was assigned over windows, and the columns of the regression that answers for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from causalrel.effects.overlap import MOST_LEVELS, level_alone, share_of, supported
from causalrel.fitting import rows_of
from causalrel.networks import Term, make_term
from causalrel.regressions import time_groups
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.variables import Variable

Level = float | int | str

#: Events of the rarer kind (bad or good) that one coefficient needs (Peduzzi et al. 1996,
#: doi:10.1016/S0895-4356(96)00236-3); with fewer than that in all, nothing but the treatment is fitted.
_FEWEST_A_TERM = 10

#: Units, of one row each, from which on their regression is mixed too.
_FEWEST_UNITS = 30

#: Quantiles at which a smooth term bends: many of what sets the treatment, fewer where that is many things and of what
#: only tells noise apart.
_BENDS = (0.01, 0.02, *np.linspace(0.05, 0.95, 19), 0.98, 0.99)
_FEWER_BENDS = (0.05, 0.25, 0.5, 0.75, 0.9, 0.97)
_FEW = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """Rows ready for the regression.

    Parameters
    ----------
    columns : mapping of str to ndarray, shape (n,)
        The rows.
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


def make_design(
    windows: Windows,
    variable: Variable,
    on: str,
    fixed: Sequence[str],
    levels: tuple[Level, ...],
    assigned_by: Sequence[str] = (),
) -> Design:
    """Prepare rows, what is held fixed, and groups for one treatment.

    Parameters
    ----------
    windows : Windows
        The windows.
    variable : Variable
        The treatment.
    on : str
        An SLO or a numeric outcome.
    fixed : sequence of str
        What is held fixed.
    levels : tuple of level
        Levels asked about, all of them seen.
    assigned_by : sequence of str
        What is held fixed and sets the treatment, whose values must have been seen at each level.

    Returns
    -------
    Design
        The rows; of a treatment with few values only those at the levels, and where only one level's units could have
        had another, only those that overlap.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> data = make_design(windows, windows.variable("batch_size"), "tpot", ["load"], (4.0, 8.0))
    >>> data.by_unit, data.total is None
    (False, False)
    """
    columns, code = _at_levels(rows_of(windows, [variable.name, *fixed, on])[0], variable, levels)
    draft = _draft(windows, variable.name, on, fixed, columns, code, assigned_by, len(levels))
    if draft.by_unit and code is not None and (only := level_alone(code, draft.supported)) is not None:
        marked = draft.supported
        share = float(marked[code == only].mean())
        columns, code = {name: column[marked] for name, column in columns.items()}, code[marked]
        draft = _draft(windows, variable.name, on, fixed, columns, code, assigned_by, len(levels))
        return replace(draft, supported=code == only, overlap=share, only=only)
    if draft.by_unit:
        return draft
    left = rough(draft)
    groups, block = time_groups(columns["step"], left)
    return replace(draft, groups=groups, block=block, left=left)


def _draft(
    windows: Windows,
    of: str,
    on: str,
    fixed: Sequence[str],
    columns: dict[str, NDArray[Any]],
    code: NDArray[np.int64] | None,
    assigned_by: Sequence[str],
    count: int,
) -> Design:
    """Give a design whose groups are units and which speaks of all rows that overlap."""
    slo = on in (item.name for item in windows.slos)
    values = columns[of]
    bad, total = (columns[f"{on}.bad"], columns[f"{on}.total"]) if slo else (columns[on], None)
    units, unit = np.unique(columns["unit"], return_inverse=True)
    by_unit = bool(np.mean([len(np.unique(values[unit == i])) > 1 for i in range(len(units))]) < 0.5)
    rarer = len(values) if total is None else min(bad.sum(), (total - bad).sum())
    enough = bool(rarer >= _FEWEST_A_TERM)
    smooth = enough and (not by_unit or len(values) == len(units) >= _FEWEST_UNITS)
    bent = assigned_by if len(assigned_by) <= _FEW else ()
    held = tuple(
        _term(name, columns[name], windows, few=name not in bent, smooth=smooth)
        for name in fixed
        if len(np.unique(columns[name])) > 1
    )
    terms = held if enough else ()
    weight = np.ones(len(values)) if total is None else bad if enough else total
    marked = supported(code, held, columns, weight, assigned_by if by_unit else ())
    return Design(
        columns=columns,
        code=code,
        term=_treatment(windows.variable(of), values, code, count),
        treat=values if code is None else code.astype(str),
        terms=terms,
        bad=bad,
        total=total,
        groups=unit.astype(np.int64),
        block=0,
        by_unit=by_unit,
        assignments=_assignments(values, columns["step"], unit, by_unit=by_unit),
        supported=marked,
        overlap=share_of(marked, bad, total),
        only=None,
        unit_effects=bool(terms) and not by_unit and 1 < len(units) <= 30,
        crossed=rarer >= _FEWEST_A_TERM * 2 * (len(terms) + 1),
        smooth=smooth,
        assigned_by=tuple(assigned_by),
        left=np.zeros(0),
    )


def _at_levels(
    columns: dict[str, NDArray[Any]], variable: Variable, levels: tuple[Level, ...]
) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64] | None]:
    """Keep the rows at the levels, with the index of each; all rows and None for a continuous treatment."""
    values = columns[variable.name]
    if variable.kind != "category" and len(np.unique(values)) > MOST_LEVELS:
        return columns, None
    keep = np.isin(values, np.array(levels))
    code = np.argmax(values[keep][:, None] == np.array(levels)[None, :], axis=1).astype(np.int64)
    return {name: column[keep] for name, column in columns.items()}, code


def _treatment(variable: Variable, values: NDArray[Any], code: NDArray[np.int64] | None, count: int) -> Term:
    if code is None:
        return make_term(variable.name, values, category=False)
    return Term(name="treatment", levels=tuple(str(i) for i in range(count)))


def _term(name: str, values: NDArray[Any], windows: Windows, *, few: bool, smooth: bool) -> Term:
    category = windows.variable(name).kind == "category"
    made = make_term(name, values, category=category)
    if not smooth or category or len(np.unique(values)) <= len(_FEWER_BENDS) + 2:
        return made
    bends = np.unique(np.quantile(values, _FEWER_BENDS if few else _BENDS))
    return replace(made, knots=tuple(float(at) for at in bends[(bends > values.min()) & (bends < values.max())]))


def _assignments(values: NDArray[Any], step: NDArray[np.int64], unit: NDArray[np.intp], *, by_unit: bool) -> int:
    """Count independent assignments: units, or distinct (time, level) changes over all units."""
    if by_unit:
        return len(np.unique(unit))
    changes: set[tuple[int, str]] = set()
    for one in np.unique(unit):
        mine = np.flatnonzero(unit == one)
        mine = mine[np.argsort(step[mine], kind="stable")]
        switched = np.flatnonzero(values[mine][1:] != values[mine][:-1]) + 1
        changes |= {(int(step[mine[i]]), str(values[mine[i]])) for i in switched}
        changes.add((-1, str(values[mine[0]])))
    return len(changes)


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
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> data = make_design(windows, windows.variable("batch_size"), "tpot", ["load"], (4.0, 8.0))
    >>> matrix(data, np.arange(2), data.treat[:2]).shape[0]
    2
    """
    return np.column_stack([part for part, _, _ in _parts(data, rows, treat)])


def followed(data: Design, rows: NDArray[np.intp], treat: NDArray[Any]) -> NDArray[np.float64]:
    """Return the columns of :func:`matrix` that change with the treatment.

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
    ndarray of float64, shape (m, q)
        Treatment, and its products with what is held fixed.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> data = make_design(windows, windows.variable("batch_size"), "tpot", ["load"], (4.0, 8.0))
    >>> followed(data, np.arange(2), data.treat[:2]).shape[1] == layout(data)[1].sum()
    np.True_
    """
    return np.column_stack([part for part, _, moves in _parts(data, rows, treat) if moves])


def _parts(
    data: Design, rows: NDArray[np.intp], treat: NDArray[Any]
) -> Iterator[tuple[NDArray[np.float64], bool, bool]]:
    """Give blocks of columns, whether each is shrunk and whether it follows the treatment."""
    treated = data.term.columns(treat)
    if data.code is not None:
        treated = treated - 1 / (treated.shape[1] + 1)
    yield np.ones((len(rows), 1)), False, False
    yield treated, False, True
    led = treated if data.code is not None else treated[:, :1]
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
        units = np.unique(data.columns["unit"])
        yield (data.columns["unit"][rows][:, None] == units[None, 1:]).astype(np.float64), False, False


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
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> data = make_design(windows, windows.variable("batch_size"), "tpot", ["load"], (4.0, 8.0))
    >>> groups, follows = layout(data)
    >>> int(groups[0]), bool(follows[1])
    (-1, True)
    """
    groups, follows, count = [], [], 0
    for part, shrunk, moves in _parts(data, np.arange(1), data.treat[:1]):
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
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> data = make_design(windows, windows.variable("batch_size"), "tpot", ["load"], (4.0, 8.0))
    >>> bool((rough(data) == data.left).all())
    True
    """
    y, scale, rows = data.bad, np.ones(len(data.bad)), np.arange(len(data.bad))
    if data.total is not None:
        rate = min(max(y.sum() / data.total.sum(), 1e-9), 1 - 1e-9)
        scale = np.sqrt(data.total / (rate * (1 - rate)))
        y = (y / data.total - rate) * scale
    x = matrix(data, rows, data.treat) * scale[:, None]
    size = np.sqrt(np.einsum("ij,ij->j", x, x) / len(rows)) + 1e-300
    x /= size
    weights = np.linalg.solve(x.T @ x + 1e-3 * len(rows) * np.eye(x.shape[1]), x.T @ y)
    return np.asarray(y - x @ weights, dtype=np.float64)
