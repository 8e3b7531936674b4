"""Soundness: whether a design can answer, and what its regression tells of carry-over, placebos and hidden causes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from causalrel import display
from causalrel.effects.columns import Design, Level, layout
from causalrel.effects.overlap import LEAST, MOST, MOST_LEVELS, seen_at_each
from causalrel.estimates import Check, Verdict
from causalrel.mechanisms.drafts import rows_of
from causalrel.mechanisms.regressions import time_groups

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.mechanisms.mixed import Mixed
    from causalrel.variables import Variable
    from causalrel.windows import Windows

#: A neighbouring window's setting that seems to act at this level fails the check.
_LEVEL = 0.01
#: An answer most of whose bad events lie beyond what some level saw is bounded, however wide it is.
_HALF = 0.5


def judge(data: Design, levels: tuple[Level, ...]) -> tuple[Verdict, list[Check]]:
    """Tell whether a design can answer: overlap, independent assignments, independent blocks.

    Answered where at least 80 % of the events fell where any level could have been, half of them inside what every
    level saw, and there were six assignments and four blocks of the rarest level; refused below 20 %, or where one
    switch of everybody is all there is; else bounded.

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
    >>> from causalrel.effects.designs import make_design
    >>> data = make_design(windows, windows.variable("batch_size"), "tpot", ["load"], (4.0, 8.0))
    >>> judge(data, (4.0, 8.0))[0]
    'answered'
    """
    share, told = _overlap(data, levels)
    overlap = Check(name="overlap", passed=data.only is None and share >= MOST, says=told)
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
    if data.overlap < LEAST or data.assignments < 2 or fewest < 1 or (not data.by_unit and data.assignments <= 2):
        verdict = "refused"
    return verdict, checks


def unseen(windows: Windows, variable: Variable, levels: tuple[Level, ...], names: Sequence[str]) -> Check | None:
    """Return the failed check where a level was never seen.

    Parameters
    ----------
    windows : Windows
        The windows.
    variable : Variable
        The treatment.
    levels : tuple of level
        Levels asked about.
    names : sequence of str
        What a window must have to count.

    Returns
    -------
    Check or None
        None where all were seen.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> unseen(windows, windows.variable("batch_size"), (4.0, 9.0), ["batch_size", "ttft"]).says
    'batch_size was never 9; seen: 4, 8'
    """
    columns, kept = rows_of(windows, names)
    values = np.unique(columns[variable.name])
    says = ""
    if kept.height == 0:
        says = f"no window has all of {', '.join(names)}"
    elif len(values) < 2:
        says = f"{variable.name} was always {display.level(values[0])}: without a change there is nothing to compare"
    elif variable.kind != "category" and len(values) > MOST_LEVELS:
        outside = [level for level in levels if not values[0] <= float(level) <= values[-1]]
        if outside:
            says = (
                f"{variable.name} was between {values[0]:g} and {values[-1]:g}, and never {display.level(outside[0])}"
            )
    else:
        missing = [level for level in levels if level not in values]
        if missing:
            seen = ", ".join(display.level(value) for value in values)
            says = f"{variable.name} was never {display.level(missing[0])}; seen: {seen}"
    return Check(name="levels seen", passed=False, says=says) if says else None


def _overlap(data: Design, levels: tuple[Level, ...]) -> tuple[float, str]:
    """Return the share of events where any level could have been, and what lies beyond what each level saw."""
    if data.only is not None:
        told = f"{100 * data.overlap:.0f}% of the units at {display.level(levels[data.only])}, and hardly any others"
        return data.overlap, f"{told}, could have had any of the levels; the answer speaks of those alone"
    told = f"{100 * data.overlap:.0f}% of the events, or of the bad ones, fell in windows that could have had any of "
    told += "the levels; the answer speaks of those"
    held = [data.columns[t.name] for t in data.terms if t.name in data.assigned_by and not t.levels]
    if data.by_unit or data.code is None or not held:
        return data.overlap, told
    bad = (np.ones(len(data.bad)) if data.total is None else data.bad) * data.supported
    seen = float(bad[seen_at_each(data.code, held)].sum() / bad.sum()) if bad.any() else 1.0
    if seen < MOST:
        what = "events" if data.total is None else "bad events"
        told += f"; {100 * (1 - seen):.0f}% of their {what} lie beyond what some level saw, where it may stray"
    return data.overlap if seen >= _HALF else min(data.overlap, seen), told


def attack(data: Design, fitted: Mixed, of: str) -> list[Check]:
    """Ask what would show that an effect is not what it seems.

    The setting of the next window cannot have acted yet (a placebo in time); if the setting of the window before still
    acts, there is carry-over; and a hidden cause is compared with the strongest one that is held fixed.

    Parameters
    ----------
    data : Design
        All its rows were used.
    fitted : Mixed
        Their regression.
    of : str
        The treatment.

    Returns
    -------
    list of Check
        With the figures; a neighbour that seems to act fails its check.

    Examples
    --------
    >>> import causalrel as cr
    >>> from causalrel.effects.designs import make_design
    >>> from causalrel.effects.standards import regress
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> data = make_design(windows, windows.variable("batch_size"), "tpot", ["load"], (4.0, 8.0))
    >>> [check.name for check in attack(data, regress(data, np.arange(len(data.bad))), "batch_size")]
    ['carry-over', 'placebo in time', 'hidden cause']
    """
    made = []
    told = (
        ("carry-over", f"the {of} of the window before", "the window it was set in tells only a part of the effect"),
        ("placebo in time", f"the {of} of the next window", "something else moves both"),
    )
    groups, _ = time_groups(data.columns["step"], fitted.whitened[:, -1])
    for place, (name, which, meaning) in enumerate(told):
        if not fitted.watched[:, place].any():
            continue
        chance = _chance(fitted, place, groups)
        seems = "seems to act" if chance < _LEVEL else "adds nothing that chance would not"
        says = f"{which} {seems} (p = {chance:.2g})" + (f": {meaning}" if chance < _LEVEL else "")
        made.append(Check(name=name, passed=chance >= _LEVEL, says=says))
    hidden = _hidden(data, fitted)
    return made if hidden is None else [*made, hidden]


def _chance(fitted: Mixed, place: int, groups: NDArray[np.int64]) -> float:
    """Score test of one more column, clustered by groups."""
    from scipy.stats import t

    left, column = fitted.whitened[:, -1], fitted.apart(place)
    sums = np.bincount(np.unique(groups, return_inverse=True)[1], weights=column * left)
    spread = max(float((sums**2).sum()), float((column**2).sum() * (left**2).mean()))
    return float(2 * t.sf(abs(sums.sum()) / np.sqrt(spread), max(1, len(sums) - 1))) if spread > 0 else 1.0


def _hidden(data: Design, fitted: Mixed) -> Check | None:
    """Compare a hidden cause with the strongest held fixed (Cinelli and Hazlett 2020, doi:10.1111/rssb.12348)."""
    if data.term.width != 1 or not data.terms:
        return None
    held = np.flatnonzero(~layout(data)[1])
    if len(fitted.eta) - len(held) < 10:
        return None
    chosen = np.zeros((len(fitted.crossed), len(held) + 2))
    chosen[held, np.arange(len(held))] = chosen[1, -2] = chosen[-1, -1] = 1.0
    chosen[:-1, -1] = fitted.weights @ fitted.means
    crossed = chosen.T @ fitted.crossed @ chosen
    treat, last = len(held), len(held) + 1
    partial = 1 - _left(crossed, last, [*range(treat), treat]) / _left(crossed, last, range(treat))
    strongest, most, ties = "", -1.0, (0.0, 0.0)
    for term, mine in _columns_of(data):
        rest = np.flatnonzero(~np.isin(held, mine))
        with_treat = 1 - _left(crossed, treat, range(treat)) / _left(crossed, treat, rest)
        with_response = 1 - _left(crossed, last, [*range(treat), treat]) / _left(crossed, last, [*rest, treat])
        if with_treat * with_response > most:
            strongest, most, ties = term, with_treat * with_response, (with_treat, with_response)
    taken = _taken(ties, partial)
    if taken >= 1:
        says = f"a hidden cause as strong as {strongest} could explain all of the effect"
    else:
        says = f"a hidden cause as strong as {strongest} would take {100 * taken:.0f}% of the effect away"
        times = _times(ties, partial)
        says += f"; one {times:.1f} times as strong all of it" if times < 100 else ""
    return Check(name="hidden cause", passed=True, says=says)


def _taken(ties: tuple[float, float], partial: float) -> float:
    """Share of an estimate that a cause with these partial R-squared to treatment and outcome takes away."""
    with_treat, with_response = (min(max(one, 0.0), 0.999) for one in ties)
    treat = with_treat / (1 - with_treat)
    if treat >= 1:
        return 1.0
    response = min(1.0, with_response / (1 - with_response))
    return float(np.sqrt(response * treat / (1 - treat) * (1 - partial) / max(partial, 1e-12)))


def _times(ties: tuple[float, float], partial: float) -> float:
    """How many times as strong a cause must be to take all."""
    low, high = 1.0, 100.0
    if _taken((_stronger(ties[0], high), _stronger(ties[1], high)), partial) < 1:
        return high
    for _ in range(40):
        middle = (low + high) / 2
        taken = _taken((_stronger(ties[0], middle), _stronger(ties[1], middle)), partial)
        low, high = (low, middle) if taken >= 1 else (middle, high)
    return high


def _stronger(partial: float, times: float) -> float:
    ratio = times * max(partial, 0.0) / (1 - min(partial, 0.999))
    return ratio / (1 + ratio)


def _columns_of(data: Design) -> list[tuple[str, NDArray[np.intp]]]:
    """Columns of each term that is held fixed, without what follows the treatment."""
    follows = layout(data)[1]
    at = 1 + data.term.width
    made: list[tuple[str, NDArray[np.intp]]] = []
    for term in data.terms:
        width = term.width
        columns: list[int] = []
        while len(columns) < width:
            if not follows[at]:
                columns.append(at)
            at += 1
        made.append((term.name, np.array(columns, dtype=np.intp)))
    return made


def _left(crossed: NDArray[np.float64], column: int, by: Iterable[int]) -> float:
    """Return the sum of squares that some columns leave of one, from cross-products."""
    at = np.array(list(by), dtype=np.intp)
    inner = crossed[np.ix_(at, at)]
    return max(
        float(
            crossed[column, column] - crossed[column, at] @ np.linalg.solve(inner + _ridge(inner), crossed[at, column])
        ),
        1e-12,
    )


def _ridge(crossed: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1e-8 * np.diag(np.diag(crossed) + 1e-300)
