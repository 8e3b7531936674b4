"""Sentences: what each answer says, in words a manager reads once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from causalrel import display
from causalrel.attribution.ledgers import NO_CHANGE
from causalrel.estimates import Estimate
from causalrel.reports import extracts
from causalrel.reports.extracts import Contrast, Entry, Interval
from causalrel.reports.tables import chance, shown
from causalrel.slos import SLO

# English in every locale.
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)

#: Share of its time window that the data must cover for a budget to bear the window's name.
_COVERED = 0.95

#: Change in burn below which there is nothing to explain.
_LITTLE = 0.005


def day(time: datetime) -> str:
    """Write a UTC date.

    Parameters
    ----------
    time : datetime.datetime
        A time in UTC.

    Returns
    -------
    str
        Day, month and year; with the hour where it is not midnight.

    Examples
    --------
    >>> day(datetime(2026, 2, 15)), day(datetime(2026, 2, 15, 9))
    ('15 February 2026', '15 February 2026 09:00 UTC')
    """
    date = f"{time.day} {_MONTHS[time.month - 1]} {time.year}"
    return date if time.hour == time.minute == 0 else f"{date} {time:%H:%M} UTC"


def span(start: datetime, end: datetime) -> str:
    """Write a span of time as an adverb.

    Parameters
    ----------
    start, end : datetime.datetime
        UTC; the end is left out.

    Returns
    -------
    str
        Text that follows a verb.

    Examples
    --------
    >>> span(datetime(2026, 2, 15), datetime(2026, 2, 16))
    'on 15 February 2026'
    >>> span(datetime(2026, 2, 15, 9), datetime(2026, 2, 15, 11))
    'on 15 February 2026, 09:00 to 11:00 UTC'
    """
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    if start == midnight and end == midnight + timedelta(days=1):
        return f"on {day(start)}"
    if end <= midnight + timedelta(days=1):
        return f"on {day(midnight)}, {start:%H:%M} to {'24:00' if end.date() != start.date() else f'{end:%H:%M}'} UTC"
    return f"from {day(start)} to {day(end)}"


def refused(answer: Estimate) -> str:
    """Say that a question has no answer, and why."""
    return f"Refused: {answer.question} {answer.why or 'No check says why'}."


def budget_left(slo: SLO, spent: float | None, as_of: datetime, seen: timedelta) -> str:
    """Say what is left of the budget that has least left."""
    if spent is None:
        return f"{slo.name} counted no events up to {day(as_of)}."
    state = f"is overspent: {display.percent(spent, 3)} is used"
    if spent <= 1:
        state = f"has {display.percent(1 - spent)} left, the least of all" if spent else "is untouched"
    return f"{slo.name}'s {_budget(slo, seen)} {state} as of {day(as_of)}."


def _budget(slo: SLO, seen: timedelta) -> str:
    """Name a budget by its period, or by the part of it that the data cover."""
    if seen < _COVERED * slo.period:
        return f"budget for the {display.length(seen)} of data"
    return f"{period(slo)} budget"


def period(slo: SLO) -> str:
    """Write an SLO's period as an adjective, such as ``28-day``."""
    count, _, unit = display.length(slo.period).partition(" ")
    return f"{count}-{unit.removesuffix('s')}"


def attribution(entries: Sequence[Entry], slo: str) -> str:
    """Say who burnt the budget."""
    clause, total = _blame(entries), _total(entries)
    if not clause or total is None:
        return f"The burn of {slo} did not change against the span it is compared with: there is nothing to explain."
    way = "rose" if total > 0 else "fell"
    rest = next((e for e in entries if e.driver == "unexplained" and e.share), None)
    left = f"; unexplained: {shown(rest.share, 'percent_interval')}" if rest else ""
    return f"The burn of {slo} {way} by {display.number(abs(total))} times its budget rate: {clause}{left}."


def pairs(answer: Estimate) -> list[str]:
    """Say which drivers act together, where some do."""
    named = "interaction" in answer.terms["quantity"]
    return [f"{part[0].upper()}{part[1:]}." for part in answer.said("drivers together").split("; ")] if named else []


def changes(entries: Sequence[Entry], slo: str) -> str:
    """Say which change event burnt the budget."""
    total = _total(entries)
    if total is None:
        return f"The burn of {slo} did not change against the span it is compared with: no change is behind it."
    way = "rise" if total > 0 else "fall"
    dated = [e for e in entries if e.first is not None and e.share]
    rest = next((e for e in entries if e.driver == NO_CHANGE and e.share), None)
    left = f"; without a change event came {shown(rest.share, 'percent_interval')}" if rest else ""
    top = max(dated, key=lambda e: e.share[0] if e.share else 0.0, default=None)
    if top is None or top.share is None or top.share[0] <= 0:
        return f"No change event explains the {way} in burn of {slo}{left}."
    first = f", the most of {len(dated)} changes with probability {chance(top.first or 0.0)}" if len(dated) > 1 else ""
    return f"{top.driver} explains {shown(top.share, 'percent_interval')} of the {way} in burn of {slo}{first}{left}."


def _total(entries: Sequence[Entry]) -> float | None:
    total = next((e.burn or e.events for e in entries if e.driver == "total"), None)
    return None if total is None or abs(total[0]) < _LITTLE else total[0]


def _blame(entries: Sequence[Entry]) -> str:
    total = _total(entries)
    drivers = [e for e in entries if e.driver not in ("unexplained", "total") and e.share]
    if total is None or not drivers:
        return ""
    way = "rise" if total > 0 else "fall"
    top = max(drivers, key=lambda e: e.share[0] if e.share else 0.0)
    rest = next((e for e in entries if e.driver == "unexplained" and e.share), None)
    if top.share is None or top.share[0] <= 0:
        return f"no driver of the graph explains the {way}"
    named = f"{top.driver} ({top.role})" if top.role else top.driver
    part = shown(top.share, "percent_interval")
    if rest is not None and rest.share and rest.share[0] > top.share[0]:
        return f"most of the {way} is unexplained, and the largest named part is {named} with {part}"
    return f"{named} explains {part} of the {way}"


def effect(answer: Estimate, over: str) -> str:
    """Say what each level of an effect does."""
    if answer.verdict == "refused":
        return refused(answer)
    found = extracts.contrasts(answer)
    said = [_contrast(item, answer, over) for item in found]
    bounded = " This is bounded: see the checks that failed." if answer.verdict == "bounded" else ""
    return " ".join(said) + bounded


def _contrast(item: Contrast, answer: Estimate, over: str) -> str:
    start = f"Setting {item.of} to {item.level} instead of {item.baseline}"
    if "burn" not in item.parts:
        part = next(iter(item.parts.values()))
        return f"{start} changes {item.slo} by {shown(part, 'interval')} {answer.unit}."
    verb, burn, sign = _direction(item.parts["burn"])
    units = []
    for quantity, words in (("events", "bad events"), ("budget_hours", "budget hours")):
        if quantity in item.parts:
            mean, low, high = item.parts[quantity]
            part = (mean, low, high) if sign > 0 else (-mean, -high, -low)
            units.append(f"{shown(part, 'interval')} {words}")
    more = f", that is {' and '.join(units)} in a {over} period" if units else ""
    return f"{start} {verb} {shown(burn, 'interval')} times the budget rate of {item.slo}{more}."


def _direction(part: Interval) -> tuple[str, Interval, int]:
    mean, low, high = part
    if low > 0:
        return "adds", part, 1
    if high < 0:
        return "saves", (-mean, -high, -low), -1
    return "may help or harm: it changes burn by", part, 1


def scenario(answer: Estimate, slo: SLO, do: Mapping[str, Any] | None) -> str:
    """Say when the budget runs out, as things are and if something were set."""
    if answer.verdict == "refused":
        return refused(answer)
    found = {o.scenario: o for o in extracts.outlooks(answer, slo.name)}
    as_is, changed = found.get("as is"), found.get("changed")
    if as_is is None:
        return f"Nothing is said about {slo.name}."
    end = day(as_is.times[-1])
    if changed is None:
        used = shown(extracts.interval(as_is.spent[:, -1]), "percent_interval")
        return (
            f"As things are, the budget of {slo.name} is gone by {end} with probability "
            f"{chance(as_is.gone)}, and {used} of it is used then."
        )
    before, after = (shown(extracts.interval(o.spent[:, -1]), "percent_interval") for o in (as_is, changed))
    more = f" Of that budget {after} is used then, instead of {before}."
    return (
        f"With {settings(do)}, the probability that the budget of {slo.name} is gone by {end} is "
        f"{chance(changed.gone)}; as things are it is {chance(as_is.gone)}.{more}"
    )


def decision(answer: Estimate) -> list[str]:
    """Say what to do about a change and what that relies on, nothing where it was not asked."""
    if not answer.decision:
        return []
    between = next((check.says for check in answer.failed if check.name == "relied on"), "")
    relied = "; ".join(said for said in (between or answer.said("seen"), answer.said("workload seen")) if said)
    return [f"Decision: {answer.said('decision')}.", f"It relies on this: {relied}."]


def settings(do: Mapping[str, Any] | None) -> str:
    """Write what is set, such as ``batch_size = 8``; an expression on the variable itself stands alone."""
    told = [
        str(level) if _moves(name, level) else f"{name} = {display.level(level)}" for name, level in (do or {}).items()
    ]
    return " and ".join(told) or "the change"


def _moves(name: str, level: object) -> bool:
    """Tell whether a level is an expression on the variable that it is of, such as ``load * 1.2``."""
    own, sign = rf"(?<![\w-]){re.escape(name)}(?![\w-])", "(?:[*/+]| - )"
    return isinstance(level, str) and bool(re.search(rf"{own}\s*{sign}|{sign}\s*{own}", level))


def headline(
    *,
    slo: SLO,
    during: tuple[datetime, datetime],
    burn: float | None,
    used: float | None,
    seen: timedelta,
    attribution: Estimate,
    effects: Sequence[Estimate],
    scenario: Estimate,
    do: Mapping[str, Any] | None,
    where: str,
) -> str:
    """Say the whole report in one sentence: who burnt it and what comes next, or else what a setting does.

    Parameters
    ----------
    slo : SLO
        The SLO it is about.
    during : tuple of datetime
        The span explained.
    burn : float or None
        Burn in that span; None without events.
    used : float or None
        Share of the budget used so far; None where unknown.
    seen : datetime.timedelta
        How much of the SLO's time window the data cover.
    attribution, scenario : Estimate
        Who burnt it and what happens next, refused or not.
    effects : sequence of Estimate
        What settings do, refused or not.
    do : mapping, optional
        What the what-if sets.
    where : str
        What the effects are narrowed to.

    Returns
    -------
    str
        One sentence.
    """
    when = span(*during)
    if burn is None:
        first = f"{slo.name} had no events {when}"
    else:
        first = f"{slo.name} burnt {display.number(burn, 2)} times its budget rate {when}"
    known = [answer for answer in effects if answer.verdict != "refused"]
    if attribution.verdict == scenario.verdict == "refused" and known:
        state = f"{_budget(slo, seen)} is {display.percent(used, 3)} used" if used is not None else first
        return f"{_turn(known[0], slo.name, where)}; {slo.name}'s {state}."
    if attribution.verdict == "refused":
        blame = "who burnt it could not be answered"
    else:
        blame = _blame(extracts.ledger(attribution, slo.name)) or "nothing changed against the span it is compared with"
    return f"{first}: {blame}; {_outlook(_budget(slo, seen), used, scenario, do, slo.name)}."


def _turn(answer: Estimate, slo: str, where: str) -> str:
    item = extracts.contrasts(answer)[0]
    shares = {level: part for _, _, level, _, part in extracts.shares_at(answer)}
    among = f" where {where}" if where else ""
    said = f"{item.of} = {item.level} instead of {item.baseline}{among}"
    if not {item.level, item.baseline} <= set(shares):
        return f"{said} moves {slo}"
    ends = [f"{display.percent(shares[level][0])} [{_range(shares[level])}]" for level in (item.baseline, item.level)]
    return f"{said} takes the share of bad events of {slo} from {ends[0]} to {ends[1]}"


def _range(part: Interval) -> str:
    return " to ".join(display.percent(end) for end in part[1:])


def _outlook(budget: str, used: float | None, answer: Estimate, do: Mapping[str, Any] | None, slo: str) -> str:
    state = f"its {budget} is {display.percent(used, 3)} used" if used is not None else ""
    found = {o.scenario: o for o in extracts.outlooks(answer, slo)}
    if "as is" not in found:
        return f"{state}, and what happens next could not be answered" if state else "what happens next is not known"
    as_is = found["as is"]
    end = day(as_is.times[-1])
    gone = f"overspent on {end}" if used is not None and used > 1 else f"gone by {end}"
    start = f"{state} and, as things are, {gone}" if state else f"as things are, its budget is {gone}"
    said = f"{start} with probability {chance(as_is.gone)}"
    if "changed" in found:
        changed = chance(found["changed"].gone)
        burns = [found[name].parts["burn"][0] for name in ("as is", "changed")]
        turn = "cut" if burns[1] < burns[0] else "raise"
        rates = " to ".join(display.number(burn, 2) for burn in burns)
        after = f"and that probability to {changed}"
        if changed == chance(as_is.gone):
            lost = as_is.gone > 0.5 and turn == "cut"
            after = "too little to save the budget" if lost else "and that probability stays"
        said += f"; {settings(do)} would {turn} the burn from {rates} times the budget rate, {after}"
    return said
