"""Designs: how a treatment was assigned over windows, and what the regression that answers for it holds fixed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from causalrel.effects.columns import Design, Level, rough
from causalrel.effects.overlap import MOST_LEVELS, level_alone, share_of, supported
from causalrel.mechanisms.drafts import rows_of
from causalrel.mechanisms.regressions import time_groups
from causalrel.networks import Term, make_term
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.variables import Variable

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
    by_unit = windows.timeless or _constant_within(unit, values) > 0.5
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
        unit=unit.astype(np.int64),
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


def _constant_within(unit: NDArray[np.intp], values: NDArray[Any]) -> float:
    """Return the share of units that had one value throughout."""
    pairs = pl.DataFrame({"unit": unit, "value": values}).group_by("unit").agg(alone=pl.col("value").n_unique() == 1)
    return float(pairs["alone"].to_numpy().mean())


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
