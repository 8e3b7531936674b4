"""Switches: the effect of a rollout at a known date, told as an estimate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from causalrel import errors
from causalrel.effects.columns import Level
from causalrel.effects.units import in_budget_units
from causalrel.estimates import Check, Estimate, Verdict, refusal
from causalrel.rollouts import Rollout, tell_rollout

if TYPE_CHECKING:
    from datetime import datetime

    from causalrel.graphs import Graph
    from causalrel.windows import Windows

#: Quantities told of a stage or a date; the others follow from them.
_OF_A_PART = ("burn", "bad_share", "value")


def before_and_after(windows: Windows, of: str, levels: tuple[Level, ...], *, named: bool) -> tuple[Level, ...]:
    """Put the levels of a rollout in the order of time, unless they were named in one.

    Parameters
    ----------
    windows : Windows
        The windows.
    of : str
        What was rolled out.
    levels : tuple of level
        Two levels.
    named : bool
        Whether they were asked for in this order.

    Returns
    -------
    tuple of level
        Before and after.

    Raises
    ------
    CausalrelError
        When there are not two.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> before_and_after(windows, "model_version", ("v2", "v1"), named=False)
    ('v1', 'v2')
    """
    if len(levels) != 2:
        raise errors.bad_question(f"effect: a rollout is from one level to another, not {len(levels)}", "name two")
    if named:
        return levels
    time = {level: windows.table.filter(pl.col(of) == level)["time"].dt.epoch("us").mean() or 0 for level in levels}
    return tuple(sorted(levels, key=lambda level: time[level]))


def answer_rollout(
    windows: Windows,
    graph: Graph,
    of: str,
    on: str,
    levels: tuple[Level, ...],
    design: Rollout,
    since: datetime | str | None,
    draws: int,
    seed: int,
    checks: Sequence[Check],
    told: dict[str, Any],
) -> Estimate:
    """Answer by a switch at a known date.

    Causes of the outcome that do not follow from the treatment are held fixed; hidden causes are let be, as long as
    they act on a unit always or on all units at a time alike.

    Parameters
    ----------
    windows : Windows
        The windows.
    graph : Graph
        Says what may be held fixed.
    of, on : str
        The treatment, and an SLO or a numeric outcome.
    levels : tuple of level
        Before and after, both seen.
    design : {"rollout", "interrupted", "differences", "synthetic"}
        As of :func:`causalrel.rollouts.tell_rollout`.
    since : datetime.datetime or str, optional
        The switch asked about.
    draws, seed : int
        Number and seed of the draws.
    checks : sequence of Check
        What was said before; refused where one failed.
    told : dict
        ``question`` and ``origin``; its assumptions are replaced.

    Returns
    -------
    Estimate
        The answer.

    Raises
    ------
    CausalrelError
        When nobody switched at the time named.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> graph = cr.load_graph("llm-serving").project(windows.names)
    >>> told = {"question": "Did v2 harm quality?", "origin": windows.origin(0)}
    >>> asked = ("model_version", "quality", ("v1", "v2"), "rollout", None, 500, 0)
    >>> answer_rollout(windows, graph, *asked, [], told).verdict
    'answered'
    """
    if on not in graph.descendants(of):
        says = f"the graph has no path from {of} to {on}: it says there is no effect"
        checks = [Check(name="identification", passed=False, says=says)]
    if not all(check.passed for check in checks):
        return refusal(method="a rollout, told by its switches", checks=checks, **told)
    apart = graph.ancestors(on) - graph.descendants(of) - {of, on}
    fixed = [name for name in graph.names if name in apart and name in windows.varying]
    found = tell_rollout(
        windows, of=of, on=on, levels=levels, fixed=fixed, design=design, since=since, draws=draws, seed=seed
    )
    checks = [*checks, *found.checks]
    if (bounds := windows.bounds(on)) is not None:
        checks.append(bounds)
    told = {**told, "assumptions": found.assumptions, "method": found.method}
    if not found.parts:
        return refusal(checks=checks, **told)
    verdict: Verdict = "answered" if all(check.passed for check in checks) else "bounded"
    return Estimate(checks=tuple(checks), verdict=verdict, **_terms(windows, of, on, levels, found.parts), **told)


def _terms(windows: Windows, of: str, on: str, levels: tuple[Level, ...], parts: Sequence[Any]) -> dict[str, Any]:
    """Tell all windows reached in every unit, and parts of them as rates."""
    draws, terms, unit = [], [], ""
    for place, (name, *shares) in enumerate(parts):
        made = in_budget_units(windows, of, on, levels, dict(zip(levels, shares, strict=True)))
        keep = made["terms"]["quantity"].is_in(_OF_A_PART).to_numpy() | (place == 0)
        draws.append(made["draws"][:, keep])
        terms.append(made["terms"].filter(pl.Series(keep)).with_columns(when=pl.lit(name)))
        unit = made["unit"]
    return {"draws": np.column_stack(draws), "terms": pl.concat(terms), "unit": unit}
