"""SLO documents: from OpenSLO v1 files to SLOs, or every fault of a file at once."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

from causalrel import errors, expressions, shipped
from causalrel.openslo import Document, Indicator, IndicatorSpec, Metric, Objective, TimeWindow, sort_document
from causalrel.slos import SLO, Dimension, Method

_NAME = re.compile(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?")
_DURATION = re.compile(r"([1-9][0-9]{0,4})([mhdwMQY])")
_DAYS = {"m": 1 / 1440, "h": 1 / 24, "d": 1, "w": 7, "M": 30, "Q": 90, "Y": 365}
_MONTHS = {"M": 1, "Q": 3, "Y": 12}
_MINUTES = {"": 1, "m": 1, "h": 60, "d": 1440, "w": 10_080}
_SLICE = re.compile(r"([1-9][0-9]{0,4})([mhdw]?)")
_OPERATORS = {"lte": "<=", "gte": ">=", "lt": "<", "gt": ">"}
#: Starts what stands for the predicate of a joint SLO until its parts are known.
_JOINT = "all: "
_ABOUT: dict[str, Dimension] = {"quality": "quality", "cost_usd": "cost", "energy_j": "energy"}


def load_slos(name: str | Path) -> tuple[SLO, ...]:
    """Read SLOs from an OpenSLO v1 document, by shipped name or by path.

    A good event is a predicate on request columns in ``metricSource: {type: causalrel, spec: {where: ...}}`` of
    ``ratioMetric.good`` (or ``bad``), counted among the requests of ``ratioMetric.total``, or a request column in
    ``thresholdMetric`` compared with the objective's ``op`` and ``value``. Labels ``tier`` and ``dimension`` and the
    annotation ``owner`` are kept. Documents of other OpenSLO kinds are checked and passed over.

    What an event is follows ``budgetingMethod``. *Occurrences* counts requests. *Timeslices* counts slices of
    ``timeSliceWindow``: a slice is good where at least ``timeSliceTarget`` of its requests were, and a slice without
    requests is not counted. *RatioTimeslices* averages the shares of good requests of those slices, however many
    requests each had. A month, quarter or year is no slice, for slices are of one length.

    Several objectives are one SLO each, named by their place. With a ``compositeWeight`` (1 where it is left out) they
    are a composite: its burn is the weighted mean of theirs.

    ``spec: {all: [ttft, availability]}`` in place of ``where`` makes a joint SLO: a request is good where it is good
    for each SLO named, all of this file. Its burn is no function of theirs, as failures coincide, so it is counted.

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
    listed = [one for raw in read for one in (raw if isinstance(raw, list) else [raw])]
    for number, raw in enumerate(listed, start=1):
        sort_document(raw, number, documents, indicators, faults)
    made = [slo for document in documents for slo in _slos_of(document, indicators, faults)]
    made = [_joined(slo, made, faults) for slo in made]
    names = [slo.name for slo in made]
    faults += [f"two SLOs are named '{name}'" for name in sorted({n for n in names if names.count(n) > 1})]
    if not made and not faults:
        faults.append("it holds no document of kind SLO")
    if faults:
        raise errors.bad_spec(name, faults)
    return tuple(made)


def _slos_of(document: Document, indicators: Mapping[str, Indicator], faults: list[str]) -> Iterator[SLO]:
    """Yield one SLO an objective; where something is wrong, say what instead."""
    spec, meta = document.spec, document.metadata
    found: list[str] = []
    if _NAME.fullmatch(meta.name) is None:
        found.append("its name must be lower-case letters, digits, '-' and '_', at most 63")
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
        where, among = _predicates(indicator.spec, objective, spec.budgeting_method, len(spec.objectives), found)
        more = _slices(objective, spec.budgeting_method, found) | _weight(objective, meta.name, spec.objectives, found)
        goals.append({"where": where, "among": among, "target": _target(objective, found), **more})
    abouts = [_dimension(str(dimension), goal["where"], found) for goal in goals]
    if found:
        faults += [f"SLO '{meta.name}': {text}" for text in dict.fromkeys(found)]
        return
    for number, (goal, about) in enumerate(zip(goals, abouts, strict=True), start=1):
        name = meta.name if len(goals) == 1 else f"{meta.name}-{number}"
        owner = meta.annotations.get("owner", "")
        yield SLO(name=name, dimension=about, tier=str(tier), owner=owner, **clock, **goal)


def _joined(slo: SLO, others: Sequence[SLO], faults: list[str]) -> SLO:
    """Return a joint SLO with the predicates of its parts in place of their names; another one as it is."""
    if not slo.where.startswith(_JOINT):
        return slo
    known = {one.name: one for one in others if one is not slo}
    parts = [known.get(name) for name in slo.where.removeprefix(_JOINT).split()]
    for name, part in zip(slo.where.removeprefix(_JOINT).split(), parts, strict=True):
        if part is None:
            faults.append(
                f"SLO '{slo.name}': all names '{name}'{errors.did_you_mean(name, known) or ', which is none'}"
            )
        elif part.where.startswith(_JOINT) or part.method != "Occurrences":
            faults.append(f"SLO '{slo.name}': '{name}' is no SLO on requests that a joint one can take")
        elif (part.among, part.tier) not in {("", ""), (slo.among, slo.tier)}:
            faults.append(f"SLO '{slo.name}': '{name}' counts other requests; give both the same total and tier")
    return replace(slo, where=" AND ".join(f"({part.where})" for part in parts if part is not None))


def _slices(objective: Objective, method: Method, found: list[str]) -> dict[str, Any]:
    """Return method, length and target of the slices; nothing where requests are counted."""
    share, written = objective.time_slice_target, objective.time_slice_window
    if method == "Occurrences":
        if share is not None or written is not None:
            found.append("timeSliceTarget and timeSliceWindow belong to budgetingMethod Timeslices, not to Occurrences")
        return {}
    match = _SLICE.fullmatch(written or "")
    if written is None:
        found.append(f"budgetingMethod {method} needs a timeSliceWindow, such as 1m")
    elif match is None:
        found.append(f"timeSliceWindow '{written}' is not a whole number of minutes, or one with m, h, d or w")
    if method == "Timeslices" and share is None:
        found.append("budgetingMethod Timeslices needs a timeSliceTarget, such as 0.95")
    if method == "RatioTimeslices" and share is not None:
        found.append("timeSliceTarget belongs to Timeslices; RatioTimeslices averages shares without judging them")
    if share is not None and (not math.isfinite(share) or not 0 < share <= 1):
        found.append(f"timeSliceTarget {share:g} is not a share above 0 and at most 1")
    if match is None:
        return {}
    width = timedelta(minutes=int(match[1]) * _MINUTES[match[2]])
    return {"method": method, "slice_width": width, "slice_target": share or 0.0}


def _weight(objective: Objective, name: str, goals: Sequence[Objective], found: list[str]) -> dict[str, Any]:
    """Return the composite and the weight of an objective; nothing where no objective is weighted."""
    if all(one.composite_weight is None for one in goals):
        return {}
    weight = 1.0 if objective.composite_weight is None else objective.composite_weight
    if len(goals) == 1:
        found.append("compositeWeight takes several objectives; this SLO has one")
    if not math.isfinite(weight) or weight <= 0:
        found.append(f"compositeWeight {weight:g} is not a number above 0")
    return {"composite": name, "weight": weight}


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


def _predicates(
    spec: IndicatorSpec, objective: Objective, method: Method, goals: int, found: list[str]
) -> tuple[str, str]:
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
    upwards = objective.op in (None, "gt", "gte") if method != "Occurrences" else objective.op is None
    if objective.value is not None or not upwards:
        found.append("op and value belong to a thresholdMetric, not to a ratioMetric")
    good = _setting(ratio.good, "where", found) if ratio.good is not None else ""
    bad = _setting(ratio.bad, "where", found) if ratio.bad is not None else ""
    if bad.startswith(_JOINT):
        found.append("metricSource.spec.all belongs to good events")
    among = str(ratio.total.metric_source.spec.get("where") or "") if ratio.total is not None else ""
    return _checked(good or (f"NOT ({bad})" if bad else ""), found), _checked(among, found)


def _setting(metric: Metric, key: str, found: list[str]) -> str:
    source = metric.metric_source
    if source.type != "causalrel":
        found.append(f"metricSource has type '{source.type}'; write type causalrel and spec {{{key}: ...}}")
        return ""
    value = source.spec.get(key)
    joint = source.spec.get("all")
    if key == "where" and set(source.spec) == {"all"} and isinstance(joint, list):
        names = [name for name in joint if isinstance(name, str) and _NAME.fullmatch(name)]
        if len(set(names)) != len(joint) or len(names) < 2:
            found.append("metricSource.spec.all takes two or more different names of SLOs of this file")
        return _JOINT + " ".join(names)
    extra = sorted(set(source.spec) - {key})
    if not isinstance(value, str) or not value or extra:
        found.append(f"metricSource.spec takes just '{key}'" + (f", not {', '.join(extra)}" if extra else ""))
        return ""
    return value


def _checked(text: str, found: list[str]) -> str:
    try:
        if text and _JOINT not in text:
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
    if where.startswith(_JOINT):
        return "availability"
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
        local = datetime.strptime(start, "%Y-%m-%d %H:%M:%S").replace(tzinfo=ZoneInfo(zone))
        if local.utcoffset() != local.replace(fold=1).utcoffset():
            found.append(f"calendar startTime '{start}' is skipped or comes twice in {zone}; take another hour")
    except ValueError:
        found.append(f"calendar startTime '{start}' must be YYYY-MM-DD HH:MM:SS and timeZone '{zone}' an IANA name")
    except (KeyError, OSError):
        found.append(f"calendar timeZone '{zone}' is not an IANA name such as Europe/Berlin")
    months = int(match[1]) * _MONTHS.get(match[2], 0)
    return {"period": period, "rolling": False, "months": months, "start": start, "zone": zone}
