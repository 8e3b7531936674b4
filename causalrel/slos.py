"""SLOs: what a good event is, how many of them are promised, over which time."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo

import polars as pl

from causalrel import display, errors, expressions, shipped
from causalrel.openslo import Document, Indicator, IndicatorSpec, Metric, Objective, TimeWindow, sort_document
from causalrel.provenance import fingerprint

Dimension = Literal["latency", "availability", "quality", "cost", "energy", "qoe", "fairness"]

_NAME = re.compile(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?")
_DURATION = re.compile(r"([1-9][0-9]{0,4})([mhdwMQY])")
_DAYS = {"m": 1 / 1440, "h": 1 / 24, "d": 1, "w": 7, "M": 30, "Q": 90, "Y": 365}
_MONTHS = {"M": 1, "Q": 3, "Y": 12}
_OPERATORS = {"lte": "<=", "gte": ">=", "lt": "<", "gt": ">"}
_ABOUT: dict[str, Dimension] = {"quality": "quality", "cost_usd": "cost", "energy_j": "energy"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SLO:
    """One service level objective.

    Parameters
    ----------
    name : str
        Its name; the graph's outcome variable of the same name is its share of bad events.
    dimension : {"latency", "availability", "quality", "cost", "energy", "qoe", "fairness"}
        What it is about.
    where : str
        The good-event predicate on request columns; empty where windows were made elsewhere.
    target : float
        Share of good events promised, in (0, 1).
    among : str
        Predicate of the requests it counts at all; empty for every request.
    period : datetime.timedelta
        Length of its time window; a month counts 30 days, a quarter 90 and a year 365 where the window rolls.
    rolling : bool
        Whether the time window rolls; a calendar window starts anew at each multiple of the period since ``start``.
    months : int
        Calendar months in a calendar window; 0 where it is counted in days or hours.
    start : str
        First calendar window, ``YYYY-MM-DD HH:MM:SS`` in ``zone``; empty where rolling.
    zone : str
        IANA time zone of ``start``.
    tier : str
        Tier it is promised to; empty for everybody.
    owner : str
        Who answers for it; empty where not said.

    Examples
    --------
    >>> slo = SLO(name="ttft", dimension="latency", where="ttft_s <= 1", target=0.99)
    >>> round(slo.allowed, 3)
    0.01
    """

    name: str
    dimension: Dimension
    target: float
    where: str = ""
    among: str = ""
    period: timedelta = timedelta(days=28)
    rolling: bool = True
    months: int = 0
    start: str = ""
    zone: str = "UTC"
    tier: str = ""
    owner: str = ""

    @property
    def allowed(self) -> float:
        """Share of events that may be bad."""
        return round(1.0 - self.target, 12)

    def facts(self) -> dict[str, Any]:
        """Return the SLO as JSON-ready facts."""
        return {
            "name": self.name,
            "dimension": self.dimension,
            "where": self.where,
            "among": self.among,
            "target": self.target,
            "period_s": int(self.period.total_seconds()),
            "rolling": self.rolling,
            "months": self.months,
            "start": self.start,
            "zone": self.zone,
            "tier": self.tier,
            "owner": self.owner,
        }

    def frame(self) -> pl.DataFrame:
        """Return the SLO as one row.

        Returns
        -------
        polars.DataFrame
            One column a field.
        """
        return pl.DataFrame([self.facts()])

    def __repr__(self) -> str:
        kind = "rolling" if self.rolling else "calendar"
        return display.plain(
            f"SLO {self.name}: {display.percent(self.target, 4)} of events good over {kind} "
            f"{display.length(self.period)} where {self.where or '(counted elsewhere)'}"
        )

    def _repr_html_(self) -> str:
        return display.frame_html(f"SLO {self.name}", self.frame())


def slos_fingerprint(slos: tuple[SLO, ...]) -> str:
    """Return a short hash of a set of SLOs.

    Parameters
    ----------
    slos : tuple of SLO
        The set.

    Returns
    -------
    str
        Sixteen hexadecimal digits.

    Examples
    --------
    >>> len(slos_fingerprint(()))
    16
    """
    return fingerprint([slo.facts() for slo in slos])


def slo_window(slo: SLO, as_of: datetime) -> tuple[datetime, datetime]:
    """Return the time window of an SLO that a time falls in.

    Parameters
    ----------
    slo : SLO
        The SLO.
    as_of : datetime.datetime
        The time; the end of a calendar window still belongs to it.

    Returns
    -------
    tuple of datetime.datetime
        Start and end, UTC; a rolling window ends at the time itself.

    Raises
    ------
    CausalrelError
        When the first calendar window starts later.

    Examples
    --------
    >>> slo = SLO(name="ttft", dimension="latency", target=0.99, period=timedelta(days=7))
    >>> str(slo_window(slo, datetime(2026, 2, 11, tzinfo=UTC))[0])
    '2026-02-04 00:00:00+00:00'
    """
    if slo.rolling:
        return as_of - slo.period, as_of
    zone, first = ZoneInfo(slo.zone), datetime.strptime(slo.start, "%Y-%m-%d %H:%M:%S")

    def edge(count: int) -> datetime:
        return _stepped(first, slo, count).replace(tzinfo=zone).astimezone(UTC)

    if as_of <= edge(0):
        raise errors.bad_question(
            f"SLO '{slo.name}' starts counting at {slo.start} {slo.zone}, after {display.when(as_of)} UTC",
            "choose a later as_of",
        )
    count = max(0, (as_of - edge(0)) // slo.period - 2)
    while edge(count + 1) < as_of:
        count += 1
    return edge(count), edge(count + 1)


def _stepped(first: datetime, slo: SLO, count: int) -> datetime:
    """Return a wall-clock time some periods later; a day that a month lacks becomes its last."""
    if not slo.months:
        return first + count * slo.period
    months = first.month - 1 + count * slo.months
    year, month = first.year + months // 12, months % 12 + 1
    after = datetime(year + month // 12, month % 12 + 1, 1)
    return first.replace(year=year, month=month, day=min(first.day, (after - timedelta(days=1)).day))


def load_slos(name: str | Path) -> tuple[SLO, ...]:
    """Read SLOs from an OpenSLO v1 document, by shipped name or by path.

    A good event is a predicate on request columns in ``metricSource: {type: causalrel, spec: {where: ...}}`` of
    ``ratioMetric.good`` (or ``bad``), counted among the requests of ``ratioMetric.total``, or a request column in
    ``thresholdMetric`` compared with the objective's ``op`` and ``value``. Labels ``tier`` and ``dimension`` and the
    annotation ``owner`` are kept. Documents of other OpenSLO kinds are passed over.

    Parameters
    ----------
    name : str or pathlib.Path
        Name of a shipped document, such as ``llm-chat``, or a YAML file.

    Returns
    -------
    tuple of SLO
        In the order of the file.

    Raises
    ------
    CausalrelError
        When the file is missing or not usable; all its faults are told at once.

    Examples
    --------
    >>> [slo.name for slo in load_slos("llm-chat") if slo.tier]
    ['ttft-paid', 'ttft-free']
    """
    path = shipped.resolve(str(name), "models/slos", "SLO file")
    faults: list[str] = []
    indicators: dict[str, Indicator] = {}
    documents: list[Document] = []
    read = shipped.load_yaml(path, "SLO file")
    listed = read[0] if len(read) == 1 and isinstance(read[0], list) else read
    for number, raw in enumerate(listed, start=1):
        sort_document(raw, number, documents, indicators, faults)
    made = [slo for document in documents for slo in _slos_of(document, indicators, faults)]
    names = [slo.name for slo in made]
    faults += [f"two SLOs are named '{name}'" for name in sorted({n for n in names if names.count(n) > 1})]
    if not made and not faults:
        faults.append("it holds no document of kind SLO")
    if faults:
        raise errors.bad_spec(name, faults)
    return tuple(made)


def _slos_of(document: Document, indicators: dict[str, Indicator], faults: list[str]) -> Iterator[SLO]:
    """Yield one SLO an objective; where something is wrong, say what instead."""
    spec, meta = document.spec, document.metadata
    found: list[str] = []
    if _NAME.fullmatch(meta.name) is None:
        found.append("its name must be lower-case letters, digits, '-' and '_', at most 63")
    if spec.budgeting_method != "Occurrences":
        found.append(f"budgetingMethod {spec.budgeting_method} is not computed yet; write Occurrences")
    clock = _clock(spec.time_window, found)
    tier, dimension = meta.labels.get("tier", ""), meta.labels.get("dimension", "")
    if not isinstance(tier, str) or not isinstance(dimension, str):
        found.append("labels tier and dimension take one word each")
    if not spec.objectives:
        found.append("it has no objectives")
    goals = []
    for objective in spec.objectives:
        own = objective.indicator or spec.indicator
        reference = objective.indicator_ref or spec.indicator_ref
        if own is None and reference is not None and reference not in indicators:
            found.append(f"indicatorRef '{reference}' names no SLI{errors.did_you_mean(reference, indicators)}")
            continue
        indicator = own or indicators.get(reference or "")
        if indicator is None:
            found.append("it has neither indicator nor indicatorRef")
            continue
        where, among = _predicates(indicator.spec, objective, len(spec.objectives), found)
        goals.append((where, among, _target(objective, found)))
    abouts = [_dimension(str(dimension), where, found) for where, _, _ in goals]
    if found:
        faults += [f"SLO '{meta.name}': {text}" for text in dict.fromkeys(found)]
        return
    for number, ((where, among, target), about) in enumerate(zip(goals, abouts, strict=True), start=1):
        name = meta.name if len(goals) == 1 else f"{meta.name}-{number}"
        owner = meta.annotations.get("owner", "")
        yield SLO(
            name=name, dimension=about, target=target, where=where, among=among, tier=str(tier), owner=owner, **clock
        )


def _target(objective: Objective, found: list[str]) -> float:
    share, percent = objective.target, objective.target_percent
    if (share is None) == (percent is None):
        found.append("an objective takes exactly one of target and targetPercent")
        return 0.5
    if share is not None and (not math.isfinite(share) or not 0 < share < 1):
        meant = f"did you mean {share / 100:g}?" if 50 <= share < 100 else "did you mean 0.999?"
        found.append(f"target {share:g} is not a share between 0 and 1; {meant}")
    if percent is not None and (not math.isfinite(percent) or not 0 < percent < 100):
        found.append(f"targetPercent {percent:g} is not between 0 and 100; did you mean 99.9?")
    return share if share is not None else round((percent or 0.0) / 100, 12)


def _predicates(spec: IndicatorSpec, objective: Objective, goals: int, found: list[str]) -> tuple[str, str]:
    """Return the good-event predicate and the predicate of the requests counted."""
    ratio, threshold = spec.ratio_metric, spec.threshold_metric
    if (ratio is None) == (threshold is None):
        found.append("an indicator takes exactly one of ratioMetric and thresholdMetric")
        return "", ""
    if threshold is not None:
        if objective.op is None or objective.value is None or not math.isfinite(objective.value) or goals > 1:
            found.append("a thresholdMetric takes one objective with op and value")
            return "", ""
        column = _setting(threshold, "column", found)
        where = '"{}" {} {!r}'.format(column.replace('"', '""'), _OPERATORS[objective.op], objective.value)
        return _checked(where if column else "", found), ""
    if ratio is None or (ratio.good is None) == (ratio.bad is None):
        found.append("a ratioMetric takes exactly one of good and bad (raw ratios hold no events)")
        return "", ""
    if objective.op is not None or objective.value is not None:
        found.append("op and value belong to a thresholdMetric, not to a ratioMetric")
    good = _setting(ratio.good, "where", found) if ratio.good is not None else ""
    bad = _setting(ratio.bad, "where", found) if ratio.bad is not None else ""
    among = str(ratio.total.metric_source.spec.get("where") or "") if ratio.total is not None else ""
    return _checked(good or (f"NOT ({bad})" if bad else ""), found), _checked(among, found)


def _setting(metric: Metric, key: str, found: list[str]) -> str:
    source = metric.metric_source
    if source.type != "causalrel":
        found.append(f"metricSource has type '{source.type}'; write type causalrel and spec {{{key}: ...}}")
        return ""
    value = source.spec.get(key)
    extra = sorted(set(source.spec) - {key})
    if not isinstance(value, str) or not value or extra:
        found.append(f"metricSource.spec takes just '{key}'" + (f", not {', '.join(extra)}" if extra else ""))
        return ""
    return value


def _checked(text: str, found: list[str]) -> str:
    try:
        if text:
            expressions.columns_of(text)
    except errors.CausalrelError as fault:
        found.append(fault.message)
    return text


def _dimension(label: str, where: str, found: list[str]) -> Dimension:
    known: Sequence[Dimension] = get_args(Dimension)
    for dimension in known:
        if dimension == label:
            return dimension
    if label:
        found.append(f"label dimension '{label}' is not known{errors.did_you_mean(label, known)}")
    columns = set() if label or found or not where else expressions.columns_of(where)
    for column, about in _ABOUT.items():
        if column in columns:
            return about
    return "availability" if columns == {"error"} else "latency"


def _clock(windows: Sequence[TimeWindow], found: list[str]) -> dict[str, Any]:
    """Return period, rolling, months, start and zone of the one time window."""
    if len(windows) != 1:
        found.append(f"timeWindow takes one entry, not {len(windows)}")
        return {}
    only = windows[0]
    match = _DURATION.fullmatch(only.duration)
    if match is None or int(match[1]) * _DAYS[match[2]] > 36_525:
        found.append(f"timeWindow duration '{only.duration}' is not a whole number and one of m, h, d, w, M, Q, Y")
        return {}
    period = timedelta(minutes=round(int(match[1]) * _DAYS[match[2]] * 1440))
    if period < timedelta(hours=1):
        found.append(
            f"timeWindow duration '{only.duration}' is shorter than an hour (m means minutes, M months); "
            f"did you mean '{match[1]}M'?"
        )
    if only.is_rolling == (only.calendar is not None):
        found.append("timeWindow takes exactly one of isRolling: true and calendar")
    if only.calendar is None:
        return {"period": period}
    start, zone = only.calendar.start_time, only.calendar.time_zone
    try:
        datetime.strptime(start, "%Y-%m-%d %H:%M:%S").replace(tzinfo=ZoneInfo(zone))
    except ValueError:
        found.append(f"calendar startTime '{start}' must be YYYY-MM-DD HH:MM:SS and timeZone '{zone}' an IANA name")
    except (KeyError, OSError):
        found.append(f"calendar timeZone '{zone}' is not an IANA name such as Europe/Berlin")
    months = int(match[1]) * _MONTHS.get(match[2], 0)
    return {"period": period, "rolling": False, "months": months, "start": start, "zone": zone}
