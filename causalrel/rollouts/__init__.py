"""Rollouts: what a switch at a known date did, from the windows before it and the units it had not reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from causalrel.estimates import Check
from causalrel.rollouts.panels import FEWEST_EVENTS, make_panel

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    from causalrel.rollouts.contrasts import Found
    from causalrel.rollouts.panels import Panel
    from causalrel.windows import Windows

#: How a rollout is told: the design that its switches allow, or one by name.
Rollout = Literal["rollout", "interrupted", "differences", "synthetic"]

#: Units that switched, and units compared with, for an answer that is not bounded; donors for a synthetic control to be
#: chosen, and windows before its switch.
_FEWEST_UNITS, _DONORS, _FEWEST_PAST = 3, 5, 10

#: Units that may have effects of their own.
_MOST_UNITS = 200

_METHODS = {
    "interrupted": (
        "an interrupted series: a {link} regression of a step on a trend, the hours of day and week and splines of "
        "what is held fixed; noise is a first-order autoregression plus independent noise"
    ),
    "differences": (
        "difference in differences: a {link} regression with effects of units, of periods, and of each date of "
        "switching at each stage since, which compares with no unit that had switched; noise remembers along each unit"
    ),
    "synthetic": (
        "a synthetic control: donors weighted by the past, with a ridge; what is left is steps in noise that "
        "remembers, and draws spread further where pretended switches of donors show more than their noise"
    ),
}
_ASSUMED = {
    "interrupted": (
        "nothing else changed when {of} did, and the trend before it would have gone on",
        "what {of} does came at once and lasted",
    ),
    "differences": (
        "without {of}, units that it reached would have moved as the others did, {scale}",
        "units do not disturb each other, and nobody acted on the rollout before it came",
    ),
    "synthetic": (
        "the weights that track the past of the unit that switched would have tracked it on, {scale}",
        "donors are not disturbed by the rollout",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RolledOut:
    """What a rollout did, or why nobody can tell.

    Parameters
    ----------
    parts : tuple of (str, ndarray, ndarray)
        Windows that the rollout reached, and draws of their mean outcome without and with it; empty where refused.
    method : str
        How.
    assumptions : tuple of str
        What must be true.
    checks : tuple of Check
        Those that failed bound the answer.

    Examples
    --------
    >>> RolledOut(parts=(), method="none", assumptions=(), checks=()).parts
    ()
    """

    parts: tuple[tuple[str, NDArray[np.float64], NDArray[np.float64]], ...]
    method: str
    assumptions: tuple[str, ...]
    checks: tuple[Check, ...]


def tell_rollout(
    windows: Windows,
    *,
    of: str,
    on: str,
    levels: tuple[float | int | str, ...],
    fixed: Sequence[str],
    design: Rollout = "rollout",
    since: datetime | str | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> RolledOut:
    """Tell what a rollout did to the windows that it reached.

    Parameters
    ----------
    windows : Windows
        The windows.
    of : str
        What was rolled out.
    on : str
        An SLO or a numeric outcome.
    levels : tuple of level
        Before and after, both seen.
    fixed : sequence of str
        What is held fixed; a synthetic control holds nothing but the past.
    design : {"rollout", "interrupted", "differences", "synthetic"}
        ``rollout`` takes a synthetic control where one unit switched and five never did, differences where some unit
        had not switched yet when another did, and else the interrupted series.
    since : datetime.datetime or str, optional
        The switch asked about.
    draws : int
        Number of draws.
    seed : int
        Seed of the draws.

    Returns
    -------
    RolledOut
        The answer; no parts where it is refused.

    Raises
    ------
    CausalrelError
        When nobody switched at the time named.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> told = tell_rollout(windows, of="model_version", on="quality", levels=("v1", "v2"), fixed=["load"])
    >>> told.method[:25]
    'difference in differences'
    """
    panel, checks = make_panel(windows, of, on, fixed, levels, since)
    chosen = _choose(panel) if design == "rollout" else design
    link = "linear" if panel.total is None else "logistic"
    scale = "in steps" if panel.total is None else "in proportion"
    told = _METHODS[chosen].format(link=link)
    assumed = tuple(text.format(of=of, scale=scale) for text in _ASSUMED[chosen])
    failed = [check for check in checks if not check.passed] or _impossible(panel, chosen, of)
    if failed:
        made = [check for check in checks if check.passed]
        return RolledOut(parts=(), method=told, assumptions=assumed, checks=(*made, *failed[:1]))
    found = _find(panel, chosen, draws, np.random.default_rng([seed, 3]))
    if isinstance(found, Check):
        return RolledOut(parts=(), method=told, assumptions=assumed, checks=(*checks, found))
    checks += [_bounds(panel, chosen), *found.checks]
    return RolledOut(parts=found.parts, method=told, assumptions=assumed, checks=tuple(checks))


def _find(panel: Panel, design: str, draws: int, rng: np.random.Generator) -> Found | Check:
    from causalrel.rollouts.differences import difference
    from causalrel.rollouts.interruptions import interrupt
    from causalrel.rollouts.synthetics import synthesise

    if design == "interrupted":
        return interrupt(panel, draws, rng)
    return difference(panel, draws, rng) if design == "differences" else synthesise(panel, draws, rng)


def _choose(panel: Panel) -> Rollout:
    """Choose the design that the switches allow."""
    if len(panel.units) - len(panel.never) == 1 and len(panel.never) >= _DONORS:
        return "synthetic"
    return "differences" if _compared(panel) else "interrupted"


def _compared(panel: Panel) -> bool:
    """Tell whether some unit had not switched yet when another had."""
    return bool(np.isin(panel.step[panel.treated], panel.step[~panel.treated]).any())


def _impossible(panel: Panel, design: str, of: str) -> list[Check]:
    """Return failed checks where a design cannot be asked of these switches."""
    says = []
    if panel.rarer < FEWEST_EVENTS:
        says.append(f"{panel.rarer:.0f} events of the rarer kind say nothing; {FEWEST_EVENTS} are needed")
    if design == "differences" and not _compared(panel):
        says.append(f"all units switched {of} at once, which leaves nobody to compare with: ask for design interrupted")
    if design == "differences" and len(panel.units) > _MOST_UNITS:
        says.append(f"{len(panel.units)} units are more than {_MOST_UNITS}: count windows by something coarser")
    if design == "synthetic" and len(panel.dates) > 1:
        says.append(f"{of} was switched at {len(panel.dates)} dates: name one by since, or ask for design differences")
    return [Check(name="design", passed=False, says=one) for one in says]


def _bounds(panel: Panel, design: str) -> Check:
    """Tell what bounds a design however well it fits."""
    if design == "interrupted":
        text = "with nobody to compare with at the same time, anything else that changed then is mixed with it"
        return Check(name="comparison", passed=False, says=text)
    if design == "differences":
        reached = panel.treated & np.isin(panel.step, panel.step[~panel.treated])
        switched = len(np.unique(panel.unit[reached]))
        others = len(np.unique(panel.unit[~panel.treated & np.isin(panel.step, panel.step[panel.treated])]))
        short = (
            "" if min(switched, others) >= _FEWEST_UNITS else f"; fewer than {_FEWEST_UNITS} leave their own ways in it"
        )
        text = f"{switched} units that switched are compared with {others} that had not yet{short}"
        return Check(name="independent units", passed=not short, says=text)
    before = len(np.unique(panel.step[panel.step < panel.dates[0]]))
    short = "" if before >= _FEWEST_PAST else f"; fewer than {_FEWEST_PAST} hardly tell weights"
    return Check(name="past", passed=not short, says=f"{before} windows before the switch{short}")
