"""Mediators: how much of an effect goes through what the treatment changes on its way, and how much past it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from causalrel import display
from causalrel.effects.columns import Design, Level
from causalrel.effects.designs import make_design
from causalrel.effects.overlap import LEAST, MOST, seen_at_each
from causalrel.effects.stages import Means, mean_outcomes
from causalrel.effects.units import in_budget_units
from causalrel.estimates import Check, Estimate, refusal
from causalrel.identification import Mediation, find_mediation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.graphs import Graph
    from causalrel.windows import Windows

#: Two ways to tell one total that differ by more standard deviations than this are not both right.
_APART = 2.5
#: A total is told apart from zero where an interval of this probability leaves zero out.
_TOLD = 0.95

_REGRESSIONS = "a regression of each of {stages} on {of}, what is held fixed and those before it, draws joint; "
_NATURAL = (
    "natural effects: direct is as if {through} had stayed as under the baseline, through is the rest of the total"
)
_ANALOGUE = (
    "interventional effects, as {moved} follows from {of} and causes both {through} and {on}: through is what "
    "{through} does when drawn as under the level instead of as under the baseline, direct is the rest of the total"
)


def mediate(
    total: Estimate,
    windows: Windows,
    graph: Graph,
    *,
    of: str,
    on: str,
    levels: tuple[Level, ...],
    through: Sequence[str],
    draws: int,
    seed: int,
) -> Estimate:
    """Split an effect into what goes through mediators, taken as one block, and what goes past them.

    A chain of regressions, each dependence-aware: what the treatment changes first, then each mediator given those
    before it, then the outcome given all. Their likelihoods factor, so their draws are joint. Each window keeps its own
    noise at every stage.

    Parameters
    ----------
    total : Estimate
        The total effect, told without mediators.
    windows : Windows
        The windows.
    graph : Graph
        Says what identifies the parts.
    of, on : str
        The treatment, and an SLO or a numeric outcome.
    levels : tuple of level
        The baseline first.
    through : sequence of str
        Numeric mediators.
    draws, seed : int
        Number and seed of the draws.

    Returns
    -------
    Estimate
        With keys ``path`` (total, through or direct, which add up in each draw) and ``mediators``.

    Raises
    ------
    CausalrelError
        When a mediator is unknown, or the treatment or outcome itself.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="30m", by="node")
    >>> graph = cr.load_graph("llm-serving").project(windows.names)
    >>> asked = {"of": "batch_size", "on": "tpot", "levels": (4.0, 8.0)}
    >>> total = cr.effect(windows, graph, **asked)
    >>> more = {"through": ["running"], "draws": 500, "seed": 0}
    >>> answer = mediate(total, windows, graph, **asked, **more)
    >>> bool(answer.select(quantity="burn", path="through").draws.mean() > 0)
    True
    """
    listed = " and ".join(through)
    total = replace(total, question=f"{total.question.removesuffix('?')}, and how much of it goes through {listed}?")
    found = find_mediation(graph, of, on, through)
    if total.verdict == "refused":
        return total
    needed = [of, *found.fixed, *found.moved, *found.through, on]
    held, designs = _complete(windows, needed), []
    says = _missing(held, graph, found, needed)
    if not says:
        names = [*found.moved, *found.through, on]
        before = [[*found.fixed, *names[:place]] for place in range(len(names))]
        treatment, parents = held.variable(of), set(graph.parents(of))
        sets = [name for name in found.fixed if not parents <= set(found.fixed) or name in parents]
        designs = [
            make_design(held, treatment, name, fixed, levels, sets) for name, fixed in zip(names, before, strict=True)
        ]
        designs = [replace(one, supported=designs[0].supported) for one in designs]
        if not all(one.smooth and one.only is None for one in designs):
            says = f"{of} did not switch within enough units to tell what goes through {listed}"
    if says:
        return _refused(total, Check(name="mediation", passed=False, says=says))
    overlap, share = _overlap(designs[-1], found.through, of)
    if share < LEAST:
        return _refused(total, overlap)
    at = [level if designs[0].code is None else str(place) for place, level in enumerate(levels)]
    means = mean_outcomes(designs, names, found.through, at, draws, seed)
    return _told(total, windows, graph, found, levels, means, overlap)


def _missing(held: Windows, graph: Graph, found: Mediation, needed: Sequence[str]) -> str:
    """Say why the parts cannot be told; nothing where they can."""
    if found.reason:
        return found.reason
    for name in (*found.moved, *found.through):
        if graph.variable(name).kind in ("category", "events"):
            return f"{name} is no number, and what goes through it is not told"
    if held.table.is_empty():
        return f"no window has all of {', '.join(needed)}"
    still = [name for name in found.through if held.table[name].n_unique() < 2]
    return f"{still[0]} never varied" if still else ""


def _complete(windows: Windows, names: Sequence[str]) -> Windows:
    """Keep the windows that have all of some variables, so that every stage speaks of the same rows."""
    slos = {slo.name for slo in windows.slos}
    wanted = [pl.col(f"{name}.total") > 0 if name in slos else pl.col(name).is_not_null() for name in names]
    return replace(windows, table=windows.table.filter(pl.all_horizontal(wanted)))


def _refused(total: Estimate, failed: Check) -> Estimate:
    return refusal(
        total.question,
        method=total.method,
        checks=[*total.checks, failed],
        origin=total.origin,
        assumptions=total.assumptions,
    )


def _overlap(data: Design, through: Sequence[str], of: str) -> tuple[Check, float]:
    """Tell in how many rows the mediators had values that were seen at every level."""
    share = 1.0
    if data.code is not None:
        seen = seen_at_each(data.code, [data.columns[name] for name in through])
        share = float(seen[data.supported].mean())
    names = " and ".join(through)
    says = f"in {100 * share:.0f}% of the windows {names} had a value that was seen at each level of {of}"
    return Check(name="overlap of mediators", passed=share >= MOST, says=says), share


def _told(
    total: Estimate,
    windows: Windows,
    graph: Graph,
    found: Mediation,
    levels: tuple[Level, ...],
    means: Means,
    overlap: Check,
) -> Estimate:
    """Tell total, through and direct in budget units, and the share that goes through."""
    of, on = str(total.terms["of"][0]), str(total.terms["slo"][0])
    through = [drawn - kept for drawn, kept in zip(means.drawn, means.kept, strict=True)]
    through[0] = np.zeros_like(through[0])
    whole = [own - means.own[0] for own in means.own]
    past = [change - part for change, part in zip(whole, through, strict=True)]
    draws, terms, listed = [], [], pl.lit(" and ".join(found.through))
    for path, values in {"total": means.own, "through": through, "direct": past}.items():
        made = in_budget_units(windows, of, on, levels, dict(zip(levels, values, strict=True)))
        keep = ~made["terms"]["quantity"].str.ends_with("_at").to_numpy() | (path == "total")
        draws.append(made["draws"][:, keep])
        terms.append(made["terms"].filter(pl.Series(keep)).with_columns(path=pl.lit(path), mediators=listed))
    agrees = _agreement(total, terms[0], draws[0])
    shares, silent = _shares(through, whole, levels)
    if shares:
        row = terms[1].filter(quantity=terms[1]["quantity"][0])
        row = row.with_columns(quantity=pl.lit("mediated_share"), unit=pl.lit("1"))
        terms.append(row.filter(pl.col("level").is_in(list(shares))))
        draws.append(np.column_stack([shares[name] for name in terms[-1]["level"]]))
    names = {"through": " and ".join(found.through), "moved": " and ".join(found.moved), "of": of, "on": on}
    stages = ", ".join([*found.moved, *found.through, on])
    method = _REGRESSIONS.format(stages=stages, of=of) + (_NATURAL if found.natural else _ANALOGUE).format(**names)
    says = (
        f"{'natural' if found.natural else 'interventional'} effects through {names['through']} are identified by the "
    )
    says += f"graph, holding {', '.join(found.fixed) or 'nothing'} fixed"
    made_checks = [Check(name="mediation", passed=True, says=says), overlap, agrees, *silent]
    return replace(
        total,
        draws=np.column_stack(draws),
        terms=pl.concat(terms),
        method=f"{total.method}; {method}",
        assumptions=(*total.assumptions, *_assumptions(graph, names)),
        checks=(*total.checks, *made_checks),
        verdict=total.verdict if all(check.passed for check in made_checks) else "bounded",
    )


def _agreement(total: Estimate, terms: pl.DataFrame, draws: NDArray[np.float64]) -> Check:
    """Compare the total that adds up with the one told without mediators."""
    mine = np.flatnonzero((~terms["quantity"].str.ends_with("_at")).to_numpy())
    alone = total.draws[:, mine]
    spread = np.maximum(np.maximum(alone.std(axis=0), draws[:, mine].std(axis=0)), 1e-300)
    apart = float(np.abs((alone.mean(axis=0) - draws[:, mine].mean(axis=0)) / spread).max())
    says = f"the parts add up to a total {apart:.1f} standard deviations from the one told without mediators"
    return Check(name="the same total", passed=apart <= _APART, says=says)


def _shares(
    through: Sequence[NDArray[np.float64]], whole: Sequence[NDArray[np.float64]], levels: Sequence[Level]
) -> tuple[dict[str, NDArray[np.float64]], list[Check]]:
    """Divide by the totals that are told apart from zero; say which are not."""
    made, silent = {}, []
    for level, part, change in list(zip(levels, through, whole, strict=True))[1:]:
        low, high = np.quantile(change, [(1 - _TOLD) / 2, (1 + _TOLD) / 2])
        if low > 0 or high < 0:
            made[display.level(level)] = part / change
        else:
            says = f"the total of {display.level(level)} is not told apart from zero, so no share of it is told"
            silent.append(Check(name="mediated share", passed=True, says=says))
    return made, silent


def _assumptions(graph: Graph, names: dict[str, str]) -> tuple[str, ...]:
    through, on = names["through"], names["on"]
    return (
        f"graph {graph.name} is right: nothing unmeasured causes {through} and {on}, or {names['of']} and {through}",
        f"{through} is measured as it acted: what is lost in a window's mean counts as direct",
        f"what causes leave of {through} is the same at each level",
    )
