"""OpenSLO v1: the shapes of its documents, and what is wrong with one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from causalrel import errors

#: What OpenSLO asks or encourages an implementation to take in a name, and the capitals and "_" of documents in use.
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._|/\\-]*[A-Za-z0-9])?")
_LONGEST_NAME = 255

Said = Annotated[str, Field(max_length=1050)]


class Part(BaseModel):
    """A piece of a document: unknown keys are faults."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)


class Metadata(Part):
    """Name, labels and annotations."""

    name: str
    display_name: str = ""
    labels: dict[str, str | list[str]] = {}
    annotations: dict[str, str] = {}


class Source(Part):
    """Where a metric comes from."""

    metric_source_ref: str = ""
    type: str = ""
    spec: dict[str, Any] = {}


class Metric(Part):
    """A metric of an indicator."""

    metric_source: Source


class Ratio(Part):
    """Good or bad events out of a total."""

    counter: bool = False
    good: Metric | None = None
    bad: Metric | None = None
    total: Metric | None = None
    raw: Metric | None = None
    raw_type: str = ""


class IndicatorSpec(Part):
    """What an indicator measures."""

    description: Said = ""
    threshold_metric: Metric | None = None
    ratio_metric: Ratio | None = None


class Indicator(Part):
    """A service level indicator."""

    metadata: Metadata
    spec: IndicatorSpec


class Calendar(Part):
    """The first calendar window."""

    start_time: str
    time_zone: str


class TimeWindow(Part):
    """The time an objective is promised over."""

    duration: str
    is_rolling: bool = False
    calendar: Calendar | None = None


class Objective(Part):
    """A target."""

    display_name: str = ""
    op: Literal["lte", "gte", "lt", "gt"] | None = None
    value: float | None = None
    target: float | None = None
    target_percent: float | None = None
    time_slice_target: float | None = None
    time_slice_window: str | None = None
    indicator: Indicator | None = None
    indicator_ref: str | None = None
    composite_weight: float | None = None


class Spec(Part):
    """What an SLO promises."""

    description: Said = ""
    service: str = ""
    indicator: Indicator | None = None
    indicator_ref: str | None = None
    time_window: list[TimeWindow] = []
    budgeting_method: Literal["Occurrences", "Timeslices", "RatioTimeslices"]
    objectives: list[Objective]
    alert_policies: list[Any] | None = None


class ServiceSpec(Part):
    """What a service is."""

    description: Said = ""


class DataSourceSpec(Part):
    """How a metric source is reached; causalrel reaches none."""

    description: Said = ""
    type: str
    connection_details: Any = None


class Condition(Part):
    """When an alert condition holds."""

    kind: Literal["burnrate"] = "burnrate"
    op: Literal["lte", "gte", "lt", "gt"] | None = None
    threshold: float
    lookback_window: str
    alert_after: str = "0m"


class ConditionSpec(Part):
    """What an alert condition asks."""

    description: Said = ""
    severity: str
    condition: Condition


class PolicySpec(Part):
    """Who is told when."""

    description: Said = ""
    alert_when_no_data: bool = False
    alert_when_resolved: bool = False
    alert_when_breaching: bool = False
    conditions: list[Any] = Field(min_length=1, max_length=1)
    notification_targets: list[Any]


class NotificationSpec(Part):
    """Where an alert goes."""

    description: Said = ""
    target: str


class Document(Part):
    """A document of kind SLO."""

    api_version: str
    kind: str
    metadata: Metadata
    spec: Spec


class Other[Body: Part](Part):
    """A document of another kind, checked and then passed over."""

    api_version: str
    kind: str
    metadata: Metadata
    spec: Body


_OTHERS: dict[str, type[Part]] = {
    "DataSource": Other[DataSourceSpec],
    "Service": Other[ServiceSpec],
    "AlertPolicy": Other[PolicySpec],
    "AlertCondition": Other[ConditionSpec],
    "AlertNotificationTarget": Other[NotificationSpec],
}
_KINDS = ("SLO", "SLI", *_OTHERS)
_BODIES = (ServiceSpec, DataSourceSpec, Condition, ConditionSpec, PolicySpec, NotificationSpec)
_PARTS = (Metadata, Source, Ratio, IndicatorSpec, Calendar, TimeWindow, Objective, Spec, Document, *_BODIES)
_KEYS = sorted({to_camel(name) for part in _PARTS for name in part.model_fields})


def sort_document(
    raw: Any, number: int, documents: list[Document], indicators: dict[str, Indicator], faults: list[str]
) -> None:
    """Put one document of a file where it belongs, or its faults into the list.

    Parameters
    ----------
    raw : object
        The document as it was read.
    number : int
        Its place in the file.
    documents : list of Document
        Takes it where it is an SLO.
    indicators : dict of str to Indicator
        Takes it by name where it is an SLI.
    faults : list of str
        Takes what is wrong with it.

    Examples
    --------
    >>> faults: list[str] = []
    >>> sort_document({"kind": "SLx"}, 1, [], {}, faults)
    >>> faults[0]
    "document 1 has kind 'SLx'; did you mean 'SLO'?"
    """
    kind = raw.get("kind") if isinstance(raw, dict) else None
    if kind not in _KINDS:
        faults.append(f"document {number} has kind '{kind}'{errors.did_you_mean(str(kind), _KINDS)}")
        return
    if raw.get("apiVersion") != "openslo/v1":
        faults.append(f"document {number} has apiVersion '{raw.get('apiVersion')}', not 'openslo/v1'")
        return
    name = str((raw.get("metadata") or {}).get("name")) if isinstance(raw.get("metadata"), dict) else ""
    if kind != "SLO" and name and (len(name) > _LONGEST_NAME or _NAME.fullmatch(name) is None):
        faults.append(
            f"document {number}: {kind} name '{name[:80]}' takes letters, digits, '-', '_' and '.', "
            "and starts and ends with a letter or digit"
        )
    try:
        if kind == "SLO":
            documents.append(Document.model_validate(raw))
        elif kind == "SLI":
            body = {key: value for key, value in raw.items() if key not in {"apiVersion", "kind"}}
            indicator = Indicator.model_validate(body)
            indicators[indicator.metadata.name] = indicator
        else:
            _OTHERS[kind].model_validate(raw)
    except ValidationError as fault:
        faults += [f"document {number}: {text}" for text in _told(fault)]


def _told(fault: ValidationError) -> Iterator[str]:
    for error in fault.errors():
        where = ".".join(str(step) for step in error["loc"])
        if error["type"] == "extra_forbidden":
            key = str(error["loc"][-1])
            yield f"unknown key '{where}'{errors.did_you_mean(key, [name for name in _KEYS if name != key])}"
        else:
            yield f"{where}: {error['msg'][0].lower()}{error['msg'][1:]}"
