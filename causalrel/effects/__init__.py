"""Effects: what would change if a configuration were set differently, in budget units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from causalrel import display, errors
from causalrel.effects.designs import MOST_LEVELS, Design, Level, make_design
from causalrel.effects.soundness import attack, judge
from causalrel.effects.standards import regress, standardise
from causalrel.estimates import Check, Estimate, refusal
from causalrel.fitting import check_nodes, rows_of
from causalrel.graphs import Graph
from causalrel.identification import adjustment
from causalrel.regressions import Coefficients
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.mixed import Mixed
    from causalrel.variables import Variable

_METHOD = (
    "DoWhy identifies the effect and drives a standardised {link} regression (penalised splines of what is held fixed, "
    "crossed with the treatment); {noise}"
)
_NOISE = (
    "noise is a first-order autoregression along time plus independent noise, with the uncertainty of both, and draws "
    "spread further where sums over blocks of {block} windows vary more"
)
_APART = "noise is independent between units, and draws spread further where units vary more than that says"
_GROUPS = "draws from a t distribution with a covariance clustered by unit"


def effect(
    windows: Windows,
    graph: Graph,
    *,
    of: str,
    on: str,
    levels: Sequence[Level] | None = None,
    where: str | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Estimate what setting one configuration or hardware variable does to an SLO's budget.

    Parameters
    ----------
    windows : Windows
        The windows.
    graph : Graph
        Who may cause whom; every variable observed or declared unmeasured.
    of : str
        The variable set, of role config or hardware.
    on : str
        An SLO, or a numeric outcome.
    levels : sequence, optional
        Two or more levels, the first the baseline; the two most frequent where not given.
    where : str, optional
        Predicate on the windows' columns; only windows that meet it are used and spoken of.
    draws : int
        Number of draws.
    seed : int
        Seed of the draws.

    Returns
    -------
    Estimate
        Terms ``slo``, ``quantity``, ``unit``, ``of``, ``baseline``, ``level``. Quantities: differences ``bad_share``,
        ``events`` (a period), ``burn`` (multiples of the budget rate) and ``budget_hours`` (a period), and
        ``bad_share_at`` each level; ``value`` and ``value_at`` for a numeric outcome. Refused where the graph does not
        identify it, a level was never seen, levels never overlap, or it switched too rarely; bounded, and of one
        level's units alone, where only those could have had another level.

    Raises
    ------
    CausalrelError
        When the question names something unknown or asks to set what nobody can set.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="30m", by="node")
    >>> graph = cr.load_graph("llm-serving").project(windows.names)
    >>> answer = cr.effect(windows, graph, of="batch_size", levels=(4, 8), on="tpot")
    >>> answer.select(quantity="burn").chance(above=0) > 0.95
    True
    """
    from causalrel.bridges import dowhy

    variable = _settable(windows, graph, of, on)
    chosen = _levels(windows, variable, levels)
    narrowed, checks = _where(windows, where)
    found = dowhy.identify(graph, of=of, on=on)
    told: dict[str, Any] = {
        "question": _sentence(of, on, chosen, where),
        "assumptions": _assumptions(graph, of, on),
        "origin": windows.origin(seed, graph.fingerprint()),
    }
    method = _METHOD.format(link="logistic", noise="noise as the windows tell")
    fixed = adjustment(graph, of, on, found.adjustment or ())
    failed = _identified(graph, found, of, on) or _unseen(narrowed, variable, chosen, [of, *fixed, on])
    if failed is not None:
        return refusal(method=method, checks=[*checks, failed], **told)
    says = f"by the graph, holding {', '.join(fixed) or 'nothing'} fixed leaves only the effect of {of}"
    checks.append(Check(name="identification", passed=True, says=says))
    data = make_design(narrowed, variable, on, fixed, chosen, _assigned_by(graph, of, fixed))
    verdict, support_checks = judge(data, chosen)
    checks += support_checks
    if (bounds := narrowed.bounds(on)) is not None:
        checks.append(bounds)
        verdict = "refused" if verdict == "refused" else "bounded"
    if verdict == "refused":
        return refusal(method=method, checks=checks, **told)
    shares, said = _drive(data, found, of, on, chosen, draws, seed)
    checks += said
    verdict = verdict if all(check.passed for check in said) else "bounded"
    link = "logistic" if data.total is not None else "linear"
    noise = _GROUPS if not data.smooth else _APART if data.by_unit else _NOISE.format(block=data.block)
    return Estimate(
        **told,
        **_in_budget_units(narrowed, of, on, chosen, shares),
        method=_METHOD.format(link=link, noise=noise),
        checks=tuple(checks),
        verdict=verdict,
    )


def _identified(graph: Graph, found: Any, of: str, on: str) -> Check | None:
    """Return the failed check where the graph gives no effect or cannot tell it from a hidden cause."""
    if not found.reaches:
        says = f"the graph has no path from {of} to {on}: it says there is no effect"
    elif found.adjustment is None:
        hidden = ", ".join(item.name for item in graph.unmeasured) or "an unmeasured cause"
        says = f"no measured variables separate {of} from {on}: {hidden} stays open"
    else:
        return None
    return Check(name="identification", passed=False, says=says)


def _assigned_by(graph: Graph, of: str, fixed: Sequence[str]) -> tuple[str, ...]:
    """Return what sets the treatment, where all of it is held fixed; else all that is."""
    parents = tuple(graph.parents(of))
    return parents if set(parents) <= set(fixed) else tuple(fixed)


def _settable(windows: Windows, graph: Graph, of: str, on: str) -> Variable:
    check_nodes(windows, graph, "effect")
    if graph.lags:
        raise errors.refused(
            f"the effect on graph '{graph.name}'", "it has lagged edges, and effects need a static graph"
        )
    variable = graph.variable(of)
    if not variable.settable:
        raise errors.bad_question(
            f"effect: '{of}' is of role {variable.role}, which nobody can set", "ask of a config or hardware variable"
        )
    outcome = graph.variable(on)
    if outcome.role not in ("engine", "outcome"):
        raise errors.bad_question(f"effect: '{on}' is of role {outcome.role}, no outcome", "ask on an SLO")
    if of == on:
        raise errors.bad_question(f"effect: '{of}' is both cause and outcome", "name two variables")
    return windows.variable(of)


def _levels(windows: Windows, variable: Variable, levels: Sequence[Level] | None) -> tuple[Level, ...]:
    category = variable.kind == "category"
    if levels is None:
        counts = windows.table[variable.name].drop_nulls().value_counts(sort=True, name="n").sort(["n", variable.name])
        if counts.height < 2:
            raise errors.bad_question(f"effect: '{variable.name}' never varied", "ask of a variable that did")
        return tuple(sorted(counts[variable.name].tail(2).to_list()))
    if len(levels) < 2 or len(set(levels)) < len(levels):
        raise errors.bad_question(
            f"effect: levels {tuple(levels)} are not two or more different ones", "name each once"
        )
    made: list[Level] = []
    for level in levels:
        try:
            made.append(str(level) if category else float(level))
        except ValueError:
            raise errors.bad_question(
                f"effect: level '{level}' of '{variable.name}' is not a number", "write numbers"
            ) from None
    return tuple(made)


def _sentence(of: str, on: str, levels: tuple[Level, ...], where: str | None) -> str:
    others = " or ".join(display.level(level) for level in levels[1:])
    among = f" where {where}" if where else ""
    return f"What would change in {on} if {of} were {others} instead of {display.level(levels[0])}{among}?"


def _where(windows: Windows, where: str | None) -> tuple[Windows, list[Check]]:
    if where is None:
        return windows, []
    from causalrel.expressions import compile_expression

    kept = windows.table.filter(compile_expression(where, windows.table.columns, "where"))
    if kept.is_empty():
        raise errors.bad_question(f"effect: no window meets '{where}'", "widen the predicate")
    says = f"{kept.height:,} of {windows.table.height:,} windows meet {where}"
    return replace(windows, table=kept), [Check(name="where", passed=True, says=says)]


def _unseen(windows: Windows, variable: Variable, levels: tuple[Level, ...], names: Sequence[str]) -> Check | None:
    """Return the failed check where a level was never seen."""
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


def _drive(
    data: Design, found: Any, of: str, on: str, levels: tuple[Level, ...], draws: int, seed: int
) -> tuple[dict[Level, NDArray[np.float64]], list[Check]]:
    """Let DoWhy drive one contrast after another; keep the mean outcome at each level, joint over levels."""
    from causalrel.bridges import dowhy

    shares: dict[Level, NDArray[np.float64]] = {}
    outcome = data.bad if data.total is None else data.bad / data.total
    columns = {name: data.columns[name] for name in found.inner if name in data.columns and name != on}
    rows_known = np.arange(len(outcome), dtype=np.float64)

    fitted: list[Coefficients | Mixed] = []

    def answer(contrast: tuple[Level, Level]) -> Any:
        def draw(given: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
            rows = given["row"].astype(np.intp)
            if not fitted:
                fitted.append(regress(data, rows))
            at = [level if data.code is None else str(levels.index(level)) for level in contrast]
            shares.update(zip(contrast, standardise(data, rows, fitted[0], at, draws, seed), strict=True))
            return shares[contrast[1]] - shares[contrast[0]]

        return draw

    for level in levels[1:]:
        dowhy.estimate(
            found,
            {**columns, on: outcome, "row": rows_known},
            of=of,
            on=on,
            levels=(levels[0], level),
            answer=answer((levels[0], level)),
        )
    return shares, [] if isinstance(fitted[0], Coefficients) else attack(data, fitted[0], of)


def _in_budget_units(
    windows: Windows, of: str, on: str, levels: tuple[Level, ...], shares: Mapping[Level, NDArray[np.float64]]
) -> dict[str, Any]:
    base = shares[levels[0]]
    rows: list[tuple[str, str, Level]] = []
    columns: list[NDArray[np.float64]] = []

    def add(quantity: str, unit: str, level: Level, values: NDArray[np.float64]) -> None:
        rows.append((quantity, unit, level))
        columns.append(values)

    if on in {slo.name for slo in windows.slos}:
        slo = windows.slo(on)
        start, end = windows.span
        span = (end - start).total_seconds()
        hours = slo.period.total_seconds() / 3600
        events = float(windows.table[f"{on}.total"].sum()) / span * 3600 * hours
        for level in levels[1:]:
            change = shares[level] - base
            add("burn", "1", level, change / slo.allowed)
            add("bad_share", "1", level, change)
            add("events", f"events a {slo.period.days} d period", level, change * events)
            add("budget_hours", f"h a {slo.period.days} d period", level, change / slo.allowed * hours)
        for level in levels:
            add("bad_share_at", "1", level, shares[level])
        unit = "1"
    else:
        unit = windows.variable(on).unit
        for level in levels[1:]:
            add("value", unit, level, shares[level] - base)
        for level in levels:
            add("value_at", unit, level, shares[level])
    terms = pl.DataFrame(
        {
            "slo": [on] * len(rows),
            "quantity": [row[0] for row in rows],
            "unit": [row[1] for row in rows],
            "of": [of] * len(rows),
            "baseline": [display.level(levels[0])] * len(rows),
            "level": [display.level(row[2]) for row in rows],
        }
    )
    return {"draws": np.column_stack(columns), "terms": terms, "unit": unit}


def _assumptions(graph: Graph, of: str, on: str) -> tuple[str, ...]:
    return (
        f"graph {graph.name} (version {graph.version}) is right: nothing unmeasured causes both {of} and {on}",
        "each window's outcome follows from its own causes and from noise that may remember, not from earlier settings",
        "units do not disturb each other",
        "what is held fixed acts smoothly, and the noise is independent of it",
    )
