"""Answers: what a report asks when its reader names little, and what it was told."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import polars as pl

from causalrel import display, errors
from causalrel.attribution.deploys import deploys_of
from causalrel.attribution.ledgers import By
from causalrel.budgets import Budget, budget
from causalrel.estimates import Check, Estimate, refusal
from causalrel.networks import Network
from causalrel.reports import extracts
from causalrel.variables import parse_time
from causalrel.windows import Windows

Span = tuple[datetime | str, datetime | str]
Level = float | int | str
Asked = Sequence[tuple[str, Sequence[Level] | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Every answer a report is composed of, and the questions behind them.

    Parameters
    ----------
    budget : Budget
        What is spent and left.
    attribution : Estimate
        Who burnt it.
    changes : Estimate or None
        Which change events burnt it; None where none lies between the spans compared.
    effects : tuple of Estimate
        What each setting does.
    asked : tuple of (str, levels or None)
        What each effect was asked of.
    scenario : Estimate
        A forecast, or a what-if where ``do`` is not empty.
    on : str
        The SLO the report is about.
    during : tuple of datetime
        The span explained, UTC.
    against : tuple of datetime or None
        The span compared with; None for the default of :func:`causalrel.attribute`.
    do : mapping of str to level
        What the what-if sets.
    horizon : str
        How far ahead.
    where : str
        Predicate the effects are narrowed to; empty where none.
    """

    budget: Budget
    attribution: Estimate
    changes: Estimate | None = None
    effects: tuple[Estimate, ...]
    asked: tuple[tuple[str, tuple[Level, ...] | None], ...] = ()
    scenario: Estimate
    on: str
    during: tuple[datetime, datetime]
    against: tuple[datetime, datetime] | None = None
    do: Mapping[str, Level]
    horizon: str
    where: str = ""

    def named(self) -> list[tuple[str, Estimate]]:
        """Return every estimate with its key, in the report's order."""
        effects = [(f"effect {number}", answer) for number, answer in enumerate(self.effects, start=1)]
        return [
            ("budgets", self.budget.burns),
            ("attribution", self.attribution),
            *([("changes", self.changes)] if self.changes is not None else []),
            *effects,
            ("scenario", self.scenario),
        ]

    def command(self, record: Mapping[str, Any]) -> str:
        """Return a command line that asks the same of the same data; ``DATA`` stands for data of no name."""
        named = {"data": "DATA", **record["sources"]}
        words = ["causalrel", "report", named.pop("data")]
        words += [word for name, value in named.items() for word in (f"--{name}", value)]
        words += ["--every", record["every"], "--during", _times(self.during)]
        if self.against is not None:
            words += ["--against", _times(self.against)]
        words += ["--on", self.on]
        for of, levels in self.asked:
            words += ["--effect", f"{of}={','.join(display.level(level) for level in levels)}" if levels else of]
        if self.where:
            words += ["--where", self.where]
        for name, level in self.do.items():
            words += ["--do", f"{name}={display.level(level)}"]
        words += ["--horizon", self.horizon, "--seed", str(record["seed"])]
        return shlex.join([display.plain(word) for word in words])


def gather(
    windows: Windows,
    network: Network,
    *,
    during: Span | None = None,
    against: Span | None = None,
    on: str | None = None,
    effects: Asked | None = None,
    where: str | None = None,
    do: Mapping[str, Level] | None = None,
    horizon: str = "7d",
    again: bool = False,
    progress: Callable[[str], None] | None = None,
    seed: int = 0,
) -> Answers:
    """Ask every question of a report; a question its reader did not name is refused rather than raised.

    Parameters
    ----------
    windows : Windows
        The windows.
    network : Network
        A network fitted to them.
    during, against, on, effects, where, do, horizon, progress, seed
        As in :func:`causalrel.report`.
    again : bool
        Whether the questions are those of a report that is asked again, whose reader named none.

    Returns
    -------
    Answers
        Every answer.

    Raises
    ------
    CausalrelError
        When something named is unknown or cannot be asked.
    """
    told = progress or (lambda _: None)
    told("budgets")
    spent = budget(windows, seed=seed)
    about = _about(network, spent, on)
    span, other = _times_of(during or _recent(windows), "during"), _times_of(against, "against") if against else None
    told("attribution")
    named = not again and (during is not None or against is not None)
    blame, changes = _attributed(windows, network, span, other, about, named=named, seed=seed)
    asked = effects if effects is not None else _varied(windows, network)
    found = tuple(
        _effects(windows, network, asked, about, where, told, named=effects is not None and not again, seed=seed)
    )
    told("what happens next")
    chosen = dict(do) if do is not None else best_setting(found, about)
    return Answers(
        budget=spent,
        attribution=blame,
        changes=changes,
        effects=found,
        asked=tuple((of, tuple(levels) if levels else None) for of, levels in asked),
        scenario=_scenario(windows, network, chosen, horizon, named=do is not None and not again, seed=seed),
        on=about,
        during=span,
        against=other,
        do=chosen,
        horizon=horizon,
        where=where or "",
    )


def overall(answers: Sequence[Estimate]) -> str:
    """Return one verdict of several: theirs where they agree, else bounded.

    Parameters
    ----------
    answers : sequence of Estimate
        At least one.

    Returns
    -------
    str
        ``answered``, ``bounded`` or ``refused``.
    """
    verdicts = {answer.verdict for answer in answers}
    return verdicts.pop() if len(verdicts) == 1 else "bounded"


def worst_slo(spent: Budget, names: Sequence[str]) -> str:
    """Return the SLO with the largest share of its budget spent.

    Parameters
    ----------
    spent : Budget
        The budget.
    names : sequence of str
        SLOs to choose from.

    Returns
    -------
    str
        One of ``names``; the first where no event was counted.
    """
    rows = spent.table.filter((pl.col("unit") == "all") & pl.col("slo").is_in(list(names)))
    rows = rows.filter(pl.col("spent").is_not_null()).sort("spent", "slo", descending=[True, False])
    return str(rows["slo"][0]) if rows.height else names[0]


def best_setting(effects: Sequence[Estimate], on: str) -> dict[str, Level]:
    """Return the better level of the variable that moves the burn of an SLO most.

    Parameters
    ----------
    effects : sequence of Estimate
        Answers of :func:`causalrel.effect`.
    on : str
        The SLO.

    Returns
    -------
    dict
        One setting, or none where every effect is refused.
    """
    best: tuple[float, dict[str, Level]] = (0.0, {})
    for answer in effects:
        for item in extracts.contrasts(answer):
            if item.slo == on and "burn" in item.parts:
                mean = item.parts["burn"][0]
                if abs(mean) > best[0]:
                    best = abs(mean), {item.of: _number(item.level if mean < 0 else item.baseline)}
    return best[1]


def _number(level: str) -> Level:
    try:
        return float(level)
    except ValueError:
        return level


def _recent(windows: Windows) -> tuple[datetime, datetime]:
    start, end = windows.span
    day = timedelta(days=1)
    if end - start >= 2 * day:
        return end - day, end
    return end - windows.width * max(1, (end - start) // windows.width // 4), end


def _varied(windows: Windows, network: Network) -> list[tuple[str, None]]:
    settable = [v.name for v in network.graph.variables if v.role == "config" and v.name in windows.table.columns]
    return [(name, None) for name in settable if windows.table[name].drop_nulls().n_unique() > 1]


def _about(network: Network, spent: Budget, on: str | None) -> str:
    if any(mechanism.form == "table" for mechanism in network.mechanisms):
        raise errors.bad_question(
            "a report needs a network of regressions, and this one is of tables",
            "fit a graph without lags, and no states",
        )
    names = [slo.name for slo in network.slos]
    if not names:
        raise errors.bad_question("report: the network holds no SLO", "fit a graph with an SLO as outcome")
    if on is not None and on not in names:
        raise errors.unknown_name(on, "SLO in the network", names)
    return on if on is not None else worst_slo(spent, names)


def _times_of(span: Span, name: str) -> tuple[datetime, datetime]:
    return parse_time(span[0], name), parse_time(span[1], name)


def _attributed(
    windows: Windows,
    network: Network,
    during: Span,
    against: Span | None,
    on: str,
    *,
    named: bool,
    seed: int,
) -> tuple[Estimate, Estimate | None]:
    """Ask who burnt it, and of the same parts which change did, where one lies between the spans."""
    from causalrel.attribution import attributions

    made: list[Estimate] = []

    def ask() -> Estimate:
        ways: tuple[By, ...] = ("driver", "change") if deploys_of(windows) else ("driver",)
        made.extend(attributions(windows, network, during=during, against=against, on=on, ways=ways, seed=seed))
        return made[0]

    blame = _tried(ask, named=named, question=f"Who burnt the {on} budget?", windows=windows, seed=seed)
    dated = [answer for answer in made[1:] if "first" in answer.terms["quantity"] or "change" in answer.why]
    return blame, dated[0] if dated else None


def _effects(
    windows: Windows,
    network: Network,
    asked: Asked,
    on: str,
    where: str | None,
    told: Callable[[str], None],
    *,
    named: bool,
    seed: int,
) -> Iterator[Estimate]:
    for of, levels in asked:
        from causalrel.effects import effect

        told(f"effect of {of}")
        ask = partial(effect, windows, network.graph, of=of, levels=levels, on=on, where=where, seed=seed)
        question = f"What would change in {on} if {of} were set differently?"
        yield _tried(ask, named=named, question=question, windows=windows, seed=seed)


def _scenario(
    windows: Windows, network: Network, do: Mapping[str, Level], horizon: str, *, named: bool, seed: int
) -> Estimate:
    from causalrel.scenarios import forecast, whatif

    if not do:
        return _tried(
            partial(forecast, windows, network, horizon=horizon, seed=seed),
            named=False,
            question="How much of each budget is spent as things are?",
            windows=windows,
            seed=seed,
        )
    return _tried(
        partial(whatif, windows, network, do=do, horizon=horizon, seed=seed),
        named=named,
        question=f"How much of each budget is spent with {', '.join(do)} set differently?",
        windows=windows,
        seed=seed,
    )


def _tried(ask: Callable[[], Estimate], *, named: bool, question: str, windows: Windows, seed: int) -> Estimate:
    """Ask; a fault of a question the reader named is raised, of a default one told as a refusal."""
    try:
        return ask()
    except errors.CausalrelError as fault:
        if named and fault.reason != "refused":
            raise
        check = Check(name="question", passed=False, says=fault.message)
        return refusal(question, method="not asked", checks=[check], origin=windows.origin(seed))


def _times(span: tuple[datetime, datetime]) -> str:
    return ",".join(f"{time:%Y-%m-%dT%H:%M}" for time in span)
