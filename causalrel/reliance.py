"""Reliance: what a what-if relies on - values seen, values between or beyond them with a wider band, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from causalrel import display
from causalrel.estimates import Check
from causalrel.identification import hidden_confounders
from causalrel.networks import Network
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Values up to which a number counts as set to levels.
_LEVELS = 12
_RARE = 0.02


def reliance(
    windows: Windows, network: Network, past: Mapping[str, NDArray[Any]], values: Mapping[str, NDArray[Any]]
) -> list[Check]:
    """Say what setting some variables relies on.

    A value between levels seen is interpolated. One beyond them is answered only where every mechanism that it enters
    is a surface that was tried there: its draws are then moved by normal numbers whose standard deviation is what the
    surface missed where the outermost values were held out. Any other was never seen.

    Parameters
    ----------
    windows : Windows
        The windows.
    network : Network
        A network fitted to them.
    past : mapping of str to ndarray, shape (n,)
        Rows that futures are drawn from.
    values : mapping of str to ndarray, shape (n,)
        What is set.

    Returns
    -------
    list of Check
        ``seen`` and ``hidden causes``, which refuse where they fail; ``seen often`` and, where any value was not seen,
        ``relied on``, which bound.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> network = cr.fit(windows, cr.load_graph("llm-serving").project(windows.names))
    >>> past = {"batch_size": np.array([4.0, 8.0])}
    >>> [check.passed for check in reliance(windows, network, past, {"batch_size": np.array([99.0, 99.0])})]
    [False, True, True]
    """
    unseen, rare, assumed = [], [], []
    for name, value in values.items():
        category = windows.variable(name).kind == "category"
        known = set(windows.table[name].drop_nulls().cast(pl.String if category else pl.Float64).to_list())
        for level in sorted(set(value.tolist())):
            said = f"{name} = {display.level(level)}"
            if level in known:
                share = float((past[name] == level).mean())
                if len(known) <= _LEVELS and share < _RARE:
                    rare.append(f"{said} in {display.percent(share)} of the windows")
            elif not category and min(known) <= level <= max(known):
                assumed += [f"{said} lies between levels seen and is interpolated"] * (len(known) <= _LEVELS)
            elif not category and (tried := _tried(network, name, low=level < min(known))):
                assumed.append(
                    f"{said} lies beyond what was seen, so the band of {', '.join(tried)} is wider by what was missed "
                    "where the outermost values were held out"
                )
            else:
                unseen.append(said)
    relied = [Check(name="relied on", passed=False, says="; ".join(assumed))] if assumed else []
    return [
        Check(
            name="seen",
            passed=not unseen,
            says=f"{' and '.join(unseen)} was never seen, so nothing is known of it"
            if unseen
            else "every value was seen, or lies where mechanisms reach"
            if assumed
            else "every value was seen",
        ),
        Check(
            name="seen often",
            passed=not rare,
            says="; ".join(rare) if rare else "every value was seen in at least 2% of the windows",
        ),
        *relied,
        _hidden(network, values),
    ]


def _tried(network: Network, name: str, *, low: bool) -> list[str]:
    """Return the mechanisms a variable enters where each was tried beyond that end, else none."""
    made = []
    for mechanism in network.mechanisms:
        if name not in mechanism.parents:
            continue
        if mechanism.surface is None:
            return []
        side = mechanism.surface.low if low else mechanism.surface.high
        if not np.isfinite(side[mechanism.parents.index(name)]):
            return []
        made.append(mechanism.variable.name)
    return made


def _hidden(network: Network, values: Mapping[str, NDArray[Any]]) -> Check:
    hidden = sorted(
        {h for name in values for slo in network.slos for h in hidden_confounders(network.graph, name, slo.name)}
    )
    return Check(
        name="hidden causes",
        passed=not hidden,
        says=f"the graph names {', '.join(hidden)} as unmeasured between what is set and an SLO"
        if hidden
        else "the graph names no unmeasured cause between what is set and an SLO",
    )
