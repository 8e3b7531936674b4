"""Designs: how a treatment was assigned over windows, and the regression that answers for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from causalrel import errors
from causalrel.estimates import Check, Verdict
from causalrel.fitting import rows_of
from causalrel.networks import Term, expit, make_term
from causalrel.regressions import Coefficients, fit_line, fit_rate, time_groups
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.variables import Variable

Level = float | int | str

#: A numeric treatment with more distinct values than this is taken as continuous.
MOST_LEVELS = 12

#: Events of the rarer kind (bad or good) that one coefficient needs (Peduzzi et al. 1996,
#: doi:10.1016/S0895-4356(96)00236-3); with fewer than that in all, nothing but the treatment is fitted.
_FEWEST_A_TERM = 10


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
        Rows that could have had any of the levels.
    unit_effects : bool
        Whether each unit gets its own intercept.
    crossed : bool
        Whether what is held fixed is crossed with the treatment.
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
    unit_effects: bool
    crossed: bool


def make_design(
    windows: Windows, variable: Variable, on: str, fixed: Sequence[str], levels: tuple[Level, ...]
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

    Returns
    -------
    Design
        The rows; of a treatment with few values only those at the levels.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> data = make_design(windows, windows.variable("batch_size"), "tpot", ["load"], (4.0, 8.0))
    >>> data.by_unit, data.total is None
    (False, False)
    """
    slo = on in {item.name for item in windows.slos}
    columns, _ = rows_of(windows, [variable.name, *fixed, on])
    values = columns[variable.name]
    continuous = variable.kind != "category" and len(np.unique(values)) > MOST_LEVELS
    if not continuous:
        keep = np.isin(values, np.array(levels))
        columns = {name: column[keep] for name, column in columns.items()}
        values = columns[variable.name]
    code = None if continuous else np.argmax(values[:, None] == np.array(levels)[None, :], axis=1).astype(np.int64)
    term = (
        make_term(variable.name, values, category=False)
        if continuous
        else Term(name="treatment", levels=tuple(str(i) for i in range(len(levels))))
    )
    varied = [name for name in fixed if len(np.unique(columns[name])) > 1]
    terms = tuple(make_term(n, columns[n], category=windows.variable(n).kind == "category") for n in varied)
    units, unit = np.unique(columns["unit"], return_inverse=True)
    within = np.array([len(np.unique(values[unit == i])) > 1 for i in range(len(units))])
    by_unit = bool(within.mean() < 0.5)
    rarer = (
        len(values)
        if not slo
        else min(columns[f"{on}.bad"].sum(), (columns[f"{on}.total"] - columns[f"{on}.bad"]).sum())
    )
    if rarer < _FEWEST_A_TERM:
        terms = ()
    draft = Design(
        columns=columns,
        code=code,
        term=term,
        treat=values if code is None else code.astype(str),
        terms=terms,
        bad=columns[f"{on}.bad"] if slo else columns[on],
        total=columns[f"{on}.total"] if slo else None,
        groups=unit.astype(np.int64),
        block=0,
        by_unit=by_unit,
        assignments=_assignments(values, columns["step"], unit, by_unit=by_unit),
        supported=_supported(code, terms, columns),
        unit_effects=bool(terms) and not by_unit and 1 < len(units) <= 30,
        crossed=rarer >= _FEWEST_A_TERM * 2 * (len(terms) + 1),
    )
    if by_unit:
        return draft
    rows = np.arange(len(values))
    groups, block = time_groups(columns["step"], regress(draft, rows).residuals)
    return replace(draft, groups=groups, block=block)


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


def _supported(
    code: NDArray[np.int64] | None, terms: tuple[Term, ...], columns: Mapping[str, NDArray[Any]]
) -> NDArray[np.bool_]:
    """Mark the rows that could have had any of the levels, by a propensity within [0.02, 0.98] of each."""
    size = len(columns["step"])
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
    numbers = tuple(term for term in terms if not term.levels)
    if not numbers or not marked.any():
        return marked
    x = np.column_stack([np.ones(size), *[term.columns(columns[term.name]) for term in numbers]])
    ones, rows = np.ones(int(marked.sum())), np.flatnonzero(marked)
    for level in range(count):
        made = fit_rate(x[rows], (code[rows] == level).astype(float), ones, rows)
        share = expit(x @ made.mean)
        marked &= (share > 0.02) & ((share < 0.98) | (count > 2))
    return marked


def judge(data: Design, levels: tuple[Level, ...]) -> tuple[Verdict, list[Check]]:
    """Tell whether a design can answer: overlap, independent assignments, independent blocks.

    Answered where at least 80 % of the events fell where any level could have been, there were six assignments and four
    blocks of the rarest level; refused below 20 %, or where one switch of everybody is all there is; else bounded.

    Parameters
    ----------
    data : Design
        The rows.
    levels : tuple of level
        Levels asked about.

    Returns
    -------
    verdict : {"answered", "bounded", "refused"}
        What the design allows.
    checks : list of Check
        With the figures.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> data = make_design(windows, windows.variable("batch_size"), "tpot", ["load"], (4.0, 8.0))
    >>> judge(data, (4.0, 8.0))[0]
    'answered'
    """
    weight = np.ones(len(data.bad)) if data.total is None else data.total
    share = float(weight[data.supported].sum() / weight.sum())
    overlap = Check(
        name="overlap",
        passed=share >= 0.8,
        says=f"{100 * share:.0f}% of the events fell in windows that could have had any of the levels; "
        "the answer speaks of those",
    )
    what = "units" if data.by_unit else "separate changes or starting levels"
    switches = Check(
        name="independent assignments",
        passed=data.assignments >= 6,
        says=f"the levels were set in {data.assignments} {what}"
        + ("" if data.assignments >= 6 else "; fewer than 6 leave run-to-run differences mixed with the effect"),
    )
    fewest = len(np.unique(data.groups))
    if data.code is not None:
        fewest = min(len(np.unique(data.groups[data.code == i])) for i in range(len(levels)))
    blocks = Check(
        name="independent blocks",
        passed=data.by_unit or fewest >= 4,
        says=f"the rarest level was seen in {fewest} {'units' if data.by_unit else 'time blocks'}",
    )
    checks = [overlap, switches, blocks]
    verdict: Verdict = "answered" if all(check.passed for check in checks) else "bounded"
    if share < 0.2 or data.assignments < 2 or fewest < 1 or (not data.by_unit and data.assignments <= 2):
        verdict = "refused"
    return verdict, checks


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
    treated = data.term.columns(treat)
    held = [term.columns(data.columns[term.name][rows]) for term in data.terms]
    crossed = [
        treated[:, :1] * (columns if term.levels else columns[:, :1])
        if treated.shape[1] == 1
        else np.column_stack([treated[:, [i]] * columns[:, :1] for i in range(treated.shape[1])])
        for term, columns in zip(data.terms, held, strict=True)
    ]
    parts = [np.ones((len(rows), 1)), treated, *held, *(crossed if data.crossed else ())]
    if data.unit_effects:
        units = np.unique(data.columns["unit"])
        parts.append((data.columns["unit"][rows][:, None] == units[None, 1:]).astype(np.float64))
    return np.column_stack(parts)


def regress(data: Design, rows: NDArray[np.intp]) -> Coefficients:
    """Fit the outcome on the design, with a covariance clustered by its groups.

    Degrees of freedom follow the scarcer of groups and assignments.

    Parameters
    ----------
    data : Design
        The rows.
    rows : ndarray of intp, shape (m,)
        Rows used.

    Returns
    -------
    Coefficients
        The fit.

    Raises
    ------
    CausalrelError
        When there are fewer rows than coefficients.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> data = make_design(windows, windows.variable("batch_size"), "tpot", ["load"], (4.0, 8.0))
    >>> regress(data, np.arange(len(data.bad))).freedom > 5
    True
    """
    x = matrix(data, rows, data.treat[rows])
    if len(rows) < x.shape[1] + 2:
        raise errors.refused("the effect", f"{x.shape[1]} coefficients need more than {len(rows)} windows")
    freedom = None
    if not data.by_unit:
        freedom = float(max(1, min(len(np.unique(data.groups)), data.assignments) - 1))
    elif data.assignments < 6:
        freedom = float(max(1, len(rows) - x.shape[1]))
    if data.total is None:
        return fit_line(x, data.bad[rows], data.groups[rows], freedom)
    return fit_rate(x, data.bad[rows], data.total[rows], data.groups[rows], freedom)
