"""References: what estimators of DoWhy and EconML say of the same windows, beside our answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from causalrel import display
from causalrel.effects.columns import Design, Level
from causalrel.estimates import Check

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Standard deviations of ours from which on a reference disagrees.
_APART = 3.0


def refer_beside(
    data: Design,
    on: str,
    levels: tuple[Level, ...],
    shares: Mapping[Level, NDArray[np.float64]],
    names: Sequence[str],
    seed: int,
) -> list[Check]:
    """Tell what references say, and how far from our answer that is.

    They see the windows our answer speaks of, at two levels at a time, with the same held fixed; an outcome of events
    as the share of each window, every window alike.

    Parameters
    ----------
    data : Design
        The rows.
    on : str
        The outcome.
    levels : tuple of level
        The baseline first.
    shares : mapping of level to ndarray of float64, shape (draws,)
        Our mean outcome at each level.
    names : sequence of str
        The references, all of them known.
    seed : int
        Seed of what they draw.

    Returns
    -------
    list of Check
        One a reference and level, which fails three of our standard deviations away; the verdict does not follow it.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> graph = cr.load_graph("llm-serving").project(windows.names)
    >>> answer = cr.effect(windows, graph, of="batch_size", on="tpot", beside=["backdoor.linear_regression"])
    >>> [check.name for check in answer.checks if check.name.startswith("beside")]
    ['beside backdoor.linear_regression']
    """
    if not names:
        return []
    if data.code is None:
        says = "references compare two levels, and the treatment is continuous"
        return [Check(name="beside", passed=False, says=says)]
    from causalrel.bridges.references import refer

    outcome = data.bad if data.total is None else data.bad / data.total
    held = _held(data)
    made = []
    for name in names:
        if held.shape[1] == 0 and name != "backdoor.linear_regression":
            says = "it needs something held fixed, and nothing is"
            made.append(Check(name=f"beside {name}", passed=False, says=says))
            continue
        for place, level in enumerate(levels[1:], 1):
            rows = data.supported & ((data.code == 0) | (data.code == place))
            treat = (data.code[rows] == place).astype(np.float64)
            value, low, high = refer(name, treat, outcome[rows], held[rows], seed)
            ours = shares[level] - shares[levels[0]]
            apart = abs(value - float(ours.mean())) / max(float(ours.std()), 1e-300)
            says = f"it says {on} changes by {value:.3g} [{low:.3g}, {high:.3g}] at {display.level(level)}, "
            says += f"{apart:.1f} of our standard deviations from our {ours.mean():.3g}"
            says += "; its 90% interval takes windows as independent"
            made.append(Check(name=f"beside {name}", passed=apart <= _APART, says=says))
    return made


def _held(data: Design) -> NDArray[np.float64]:
    """Write what is held fixed as numbers, a category as one column a level but one; units as a category."""
    columns = [np.zeros((len(data.bad), 0))]
    for term in data.terms:
        values = data.columns[term.name]
        columns.append(term.columns(values) if term.levels else values[:, None].astype(np.float64))
    if data.unit_effects:
        units = np.unique(data.columns["unit"])[1:]
        columns.append((data.columns["unit"][:, None] == units).astype(np.float64))
    return np.hstack(columns)
