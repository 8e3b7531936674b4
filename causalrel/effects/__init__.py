"""Effects: what would change if a configuration were set differently, in budget units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from causalrel import display, errors
from causalrel.effects.classes import classes_of, together
from causalrel.effects.columns import Design, Level
from causalrel.effects.designs import make_design
from causalrel.effects.hidden import answer_hidden, find_way
from causalrel.effects.mediators import mediate
from causalrel.effects.references import refer_beside
from causalrel.effects.refuters import known_refuters, refute_effect
from causalrel.effects.soundness import attack, judge, unseen
from causalrel.effects.standards import regress, standardise
from causalrel.effects.switches import answer_rollout, before_and_after
from causalrel.effects.units import in_budget_units
from causalrel.estimates import Check, Estimate, refusal
from causalrel.graphs import Graph
from causalrel.identification import adjustment
from causalrel.mechanisms.drafts import check_nodes
from causalrel.mechanisms.regressions import Coefficients
from causalrel.windows import Windows

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    from causalrel.rollouts import Rollout
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
    by: str | None = None,
    where: str | None = None,
    through: str | Sequence[str] | None = None,
    design: Literal["graph"] | Rollout = "graph",
    since: datetime | str | None = None,
    beside: Sequence[str] = (),
    refuters: Sequence[str] = (),
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
    by : str, optional
        A column of few values that the treatment does not change, such as ``unit`` or a workload class: the effect is
        told for each value, in a key ``group``; ``frame(together=True)`` gives bands that hold for all at once.
    where : str, optional
        Predicate on the windows' columns; only windows that meet it are used and spoken of.
    through : str or sequence of str, optional
        Numeric variables on the way, such as ``queue_s``, taken as one block: a key ``path`` tells the total, what goes
        ``through`` them and the ``direct`` rest, which add up in each draw; ``mediated_share`` where the total is told
        apart from zero. Refused where the graph does not identify it (:func:`causalrel.identification.find_mediation`).
    design : {"graph", "rollout", "interrupted", "differences", "synthetic"}
        ``graph`` compares windows at each level that are alike in what the graph holds fixed. The others compare
        before and after one switch from the first level to the second, of each unit at its own date: an interrupted
        series, difference in differences, a synthetic control, or with ``rollout`` the one that the switches allow
        (:mod:`causalrel.rollouts`). They speak of the windows that the rollout reached.
    since : datetime.datetime or str, optional
        Of a rollout, the switch asked about; units that switched at another date are compared with until then.
    beside : sequence of str
        Estimators of DoWhy by its method names, such as ``backdoor.linear_regression``, or of EconML, such as
        ``econml.dml.LinearDML``: what each says becomes a check that the verdict does not follow.
    refuters : sequence of str
        DoWhy's ``random_common_cause``, ``data_subset_refuter`` or ``placebo_treatment_refuter``: each becomes a check.
    draws : int
        Number of draws.
    seed : int
        Seed of the draws.

    Returns
    -------
    Estimate
        By the back door; where no measured set closes it by a front door, else by an instrument: ``method`` says.
        Terms ``slo``, ``quantity``, ``unit``, ``of``, ``baseline``, ``level``. Quantities: differences ``bad_share``,
        ``events`` (a period), ``burn`` (multiples of the budget rate) and ``budget_hours`` (a period), and
        ``bad_share_at`` each level; ``value`` and ``value_at`` for a numeric outcome. Of a rollout also ``when``: all
        windows reached, those of a stage since the switch, or those of one date. Refused where the graph does not
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
    variable = _settable(windows, graph, of, on)
    if design == "graph" and since is not None:
        raise errors.bad_question("effect: since names a switch, which is of a rollout", "add design='rollout'")
    block = tuple(dict.fromkeys([through] if isinstance(through, str) else through or ()))
    asked = _Asked(
        graph=graph,
        of=of,
        on=on,
        levels=_levels(windows, variable, levels),
        through=block,
        beside=_references(beside),
        refuters=known_refuters(refuters),
        draws=draws,
        seed=seed,
    )
    narrowed, checks = _where(_each_alone(windows), where)
    told: dict[str, Any] = {
        "question": _sentence(of, on, asked.levels, where),
        "assumptions": _assumptions(graph, of, on),
        "origin": windows.origin(seed, graph.fingerprint()),
    }
    if design != "graph":
        _as_rollout(by, through, beside or refuters, timeless=windows.timeless)
        switched = before_and_after(narrowed, of, asked.levels, named=levels is not None)
        told["question"] = _sentence(of, on, switched, where)
        if (failed := unseen(narrowed, variable, switched, [of, on])) is not None:
            checks.append(failed)
        return answer_rollout(narrowed, graph, of, on, switched, design, since, draws, seed, checks, told)
    if by is None:
        return _parts(narrowed, asked, checks, told)
    told["question"] = told["question"].removesuffix("?") + f", for each {by}?"
    classes = classes_of(narrowed, graph, of, by)
    return together(by, {name: _parts(part, asked, checks, told) for name, part in classes.items()})


def _each_alone(windows: Windows) -> Windows:
    """Make each row of a frame without time or units a unit of its own, as nothing tells which came before which."""
    if not windows.timeless or len(windows.units) > 1:
        return windows
    rows = pl.format("row {}", pl.int_range(1, pl.len() + 1))
    return replace(windows, table=windows.table.with_columns(time=pl.col("time").min(), unit=rows))


def _as_rollout(by: str | None, through: str | Sequence[str] | None, others: Sequence[str], *, timeless: bool) -> None:
    """Refuse what is not told of a rollout."""
    if timeless:
        raise errors.bad_question("effect: a rollout has dates, and these rows have no time", "leave out design")
    if through is not None:
        raise errors.bad_question("effect: what goes through a mediator is not told of a rollout", "leave out design")
    if others:
        raise errors.bad_question("effect: nothing is told beside a rollout, or refutes it", "leave out design")
    if by is not None:
        raise errors.bad_question("effect: classes of a rollout are not told", "narrow with where, or leave out by")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A question, its levels chosen."""

    graph: Graph
    of: str
    on: str
    levels: tuple[Level, ...]
    through: tuple[str, ...]
    beside: tuple[str, ...]
    refuters: tuple[str, ...]
    draws: int
    seed: int


def _parts(windows: Windows, asked: _Asked, checks: list[Check], told: dict[str, Any]) -> Estimate:
    """Answer, and split the answer where mediators are named."""
    total = _answer(windows, asked, checks, told)
    if not asked.through:
        return total
    question = {name: getattr(asked, name) for name in ("of", "on", "levels", "through", "draws", "seed")}
    return mediate(total, windows, asked.graph, **question)


def _answer(windows: Windows, asked: _Asked, checks: list[Check], told: dict[str, Any]) -> Estimate:
    from causalrel.bridges import dowhy

    graph, of, on, levels = asked.graph, asked.of, asked.on, asked.levels
    found = dowhy.identify(graph, of=of, on=on)
    hidden = found.reaches and found.adjustment is None
    if hidden and (way := find_way(windows, graph, of, on)) is not None:
        if asked.beside or asked.refuters:
            says = "references and refuters are asked of the back door alone, which no measured set closes"
            checks = [*checks, Check(name="beside", passed=False, says=says)]
        return answer_hidden(windows, graph, of, on, levels, way, asked.draws, asked.seed, checks, told)
    fixed = adjustment(graph, of, on, found.adjustment or ())
    variable = windows.variable(of)
    failed = _identified(graph, found, of, on) or unseen(windows, variable, levels, [of, *fixed, on])
    method = _METHOD.format(link="logistic", noise="noise as the windows tell")
    if failed is not None:
        return refusal(method=method, checks=[*checks, failed], **told)
    says = f"by the graph, holding {', '.join(fixed) or 'nothing'} fixed leaves only the effect of {of}"
    parents = _assigned_by(graph, of, fixed)
    data = make_design(windows, variable, on, fixed, levels, parents)
    verdict, said = judge(data, levels)
    checks = [*checks, Check(name="identification", passed=True, says=says), *said]
    if (bounds := windows.bounds(on)) is not None:
        checks.append(bounds)
        verdict = "refused" if verdict == "refused" else "bounded"
    if verdict == "refused":
        return refusal(method=method, checks=checks, **told)
    shares, attacked = _drive(data, found, asked)
    change = shares[levels[1]] - shares[levels[0]]
    if asked.refuters:
        told_by = (asked.refuters, asked.seed)
        attacked += refute_effect(windows, found, of, on, fixed, levels, parents, change, *told_by)
    others = refer_beside(data, on, levels, shares, asked.beside, asked.seed)
    link = "logistic" if data.total is not None else "linear"
    noise = _GROUPS if not data.smooth else _APART if data.by_unit else _NOISE.format(block=data.block)
    return Estimate(
        **told,
        **in_budget_units(windows, of, on, levels, shares),
        method=_METHOD.format(link=link, noise=noise),
        checks=(*checks, *attacked, *others),
        verdict=verdict if all(check.passed for check in attacked) else "bounded",
    )


def _identified(graph: Graph, found: Any, of: str, on: str) -> Check | None:
    """Return the failed check where the graph gives no effect or cannot tell it from a hidden cause."""
    if not found.reaches:
        says = f"the graph has no path from {of} to {on}: it says there is no effect"
    elif found.adjustment is None:
        hidden = ", ".join(item.name for item in graph.unmeasured) or "an unmeasured cause"
        says = f"no measured variables separate {of} from {on}: {hidden} stays open, without front door or instrument"
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


def _references(names: Sequence[str]) -> tuple[str, ...]:
    from causalrel.bridges.references import known_references

    return known_references(list(names)) if names else ()


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


def _drive(data: Design, found: Any, asked: _Asked) -> tuple[dict[Level, NDArray[np.float64]], list[Check]]:
    """Let DoWhy drive one contrast after another; keep the mean outcome at each level, joint over levels."""
    from causalrel.bridges import dowhy

    of, on, levels = asked.of, asked.on, asked.levels
    shares: dict[Level, NDArray[np.float64]] = {}
    outcome = data.bad if data.total is None else data.bad / data.total
    columns = {name: data.columns[name] for name in found.inner if name in data.columns and name != on}
    rows_known = np.arange(len(outcome), dtype=np.float64)
    checks: list[Check] = []

    def answer(contrast: tuple[Level, Level]) -> Any:
        def draw(given: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
            if not shares:
                rows = given["row"].astype(np.intp)
                fitted = regress(data, rows)
                at = [level if data.code is None else str(place) for place, level in enumerate(levels)]
                shares.update(zip(levels, standardise(data, rows, fitted, at, asked.draws, asked.seed), strict=True))
                checks.extend([] if isinstance(fitted, Coefficients) else attack(data, fitted, of))
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
    return shares, checks


def _assumptions(graph: Graph, of: str, on: str) -> tuple[str, ...]:
    return (
        f"graph {graph.name} (version {graph.version}) is right: nothing unmeasured causes both {of} and {on}",
        "each window's outcome follows from its own causes and from noise that may remember, not from earlier settings",
        "units do not disturb each other",
        "what is held fixed acts smoothly, and the noise is independent of it",
    )
