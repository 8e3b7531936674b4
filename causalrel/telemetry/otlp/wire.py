"""Messages of OTLP JSON, as far as they are read; unknown fields are passed over.

Spans, metrics and records stay raw until their turn, so that a document of any size is decoded item by item and a bad
item spoils nothing but itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Raw, Struct

#: Whole numbers of 64 bits are text in JSON, though some exporters write them as numbers.
Whole = int | str | None
Real = float | str | None

_WHOLE = re.compile(r"[+-]?[0-9]+")
_REALS = {"nan": float("nan"), "infinity": float("inf"), "-infinity": float("-inf")}


class Value(Struct, rename="camel", gc=False):
    """AnyValue: one of its fields."""

    string_value: str | None = None
    int_value: Whole = None
    double_value: Real = None
    bool_value: bool | None = None
    array_value: Raw = Raw()
    kvlist_value: Raw = Raw()
    bytes_value: str | None = None


class Attribute(Struct, gc=False):
    """KeyValue."""

    key: str = ""
    value: Value | None = None


class Resource(Struct, gc=False):
    """What sent the items."""

    attributes: list[Attribute] = []


class Scope(Struct, gc=False):
    """What made the items."""

    name: str = ""


class Status(Struct, gc=False):
    """How a span ended."""

    code: Whole = 0


class Event(Struct, rename="camel", gc=False):
    """Something that happened during a span."""

    name: str = ""
    attributes: list[Attribute] = []


class Span(Struct, rename="camel", gc=False):
    """A unit of work."""

    trace_id: str = ""
    span_id: str = ""
    parent_span_id: str | None = ""
    kind: Whole = 0
    start_time_unix_nano: Whole = 0
    end_time_unix_nano: Whole = 0
    attributes: list[Attribute] = []
    events: list[Event] = []
    status: Status | None = None


class Record(Struct, rename="camel", gc=False):
    """A log record."""

    time_unix_nano: Whole = 0
    observed_time_unix_nano: Whole = 0
    event_name: str = ""
    trace_id: str = ""
    span_id: str = ""
    attributes: list[Attribute] = []


class Buckets(Struct, rename="camel", gc=False):
    """Buckets of an exponential histogram on one side of zero."""

    offset: Whole = 0
    bucket_counts: list[int | str] = []


class Quantile(Struct, gc=False):
    """One quantile of a summary."""

    quantile: float = 0.0
    value: Real = None


class Point(Struct, rename="camel", gc=False):
    """A data point of any kind of metric."""

    time_unix_nano: Whole = 0
    attributes: list[Attribute] = []
    flags: Whole = 0
    as_double: Real = None
    as_int: Whole = None
    count: Whole = None
    sum: Real = None
    bucket_counts: list[int | str] = []
    explicit_bounds: list[float | str] = []
    scale: Whole = 0
    zero_count: Whole = 0
    zero_threshold: float = 0.0
    positive: Buckets | None = None
    negative: Buckets | None = None
    quantile_values: list[Quantile] = []


class Data(Struct, rename="camel", gc=False):
    """The points of a metric."""

    data_points: list[Raw] = []
    aggregation_temporality: Whole = 0
    is_monotonic: bool = False


class Metric(Struct, rename="camel", gc=False):
    """A metric: one of its kinds of data."""

    name: str = ""
    gauge: Data | None = None
    sum: Data | None = None
    histogram: Data | None = None
    exponential_histogram: Data | None = None
    summary: Data | None = None


class Scoped(Struct, rename="camel", gc=False):
    """Items of one scope, of whichever signal."""

    scope: Scope | None = None
    spans: list[Raw] = []
    metrics: list[Raw] = []
    log_records: list[Raw] = []


class Sent(Struct, rename="camel", gc=False):
    """What one resource sent, of whichever signal."""

    resource: Resource | None = None
    scope_spans: list[Scoped] = []
    scope_metrics: list[Scoped] = []
    scope_logs: list[Scoped] = []


class Export(Struct, rename="camel", gc=False):
    """An export request, of whichever signal."""

    resource_spans: list[Sent] = []
    resource_metrics: list[Sent] = []
    resource_logs: list[Sent] = []


def items[T](raws: list[Raw], decoder: msgspec.json.Decoder[T], bad: list[str]) -> Iterator[T]:
    """Yield items decoded one by one; what is wrong with those that cannot be is put down.

    Parameters
    ----------
    raws : list of msgspec.Raw
        Items as they were written.
    decoder : msgspec.json.Decoder
        Decoder of their type.
    bad : list of str
        Takes a clause for each item passed over.

    Yields
    ------
    object
        The items that are what they should be.

    Examples
    --------
    >>> said = []
    >>> found = items([Raw(b'{"name": "up"}'), Raw(b'{"name": 1}')], msgspec.json.Decoder(Metric), said)
    >>> [one.name for one in found], said
    (['up'], ['Expected `str`, got `int` - at `$.name`'])
    """
    for raw in raws:
        try:
            yield decoder.decode(raw)
        except RecursionError:
            bad.append("it is nested too deep")
        except ValueError as fault:
            bad.append(str(fault).partition("\n")[0])


def whole(value: Whole) -> int | None:
    """Return a whole number of 64 bits; None for what is none.

    Parameters
    ----------
    value : int, str or None
        As written.

    Returns
    -------
    int or None
        Its value.

    Examples
    --------
    >>> whole("12"), whole(12), whole("twelve"), whole(2**70)
    (12, 12, None, None)
    """
    if type(value) is str:
        if len(value) < 19 and value.isascii() and value.isdigit():
            return int(value)
        if len(value) > 20 or not _WHOLE.fullmatch(value):
            return None
    value = None if value is None else int(value)
    return value if value is not None and -(2**63) <= value < 2**64 else None


def real(value: Real) -> float | None:
    """Return a number; None for what is none.

    Parameters
    ----------
    value : float, str or None
        As written; NaN and the infinities are text.

    Returns
    -------
    float or None
        Its value.

    Examples
    --------
    >>> real(0.5), real("-Infinity"), real("fast")
    (0.5, -inf, None)
    """
    if type(value) is not str:
        return value  # type: ignore[return-value]
    named = _REALS.get(value.lower())
    if named is not None:
        return named
    try:
        return float(value) if len(value) <= 40 else None
    except ValueError:
        return None


def plain(value: Value | None) -> Any:
    """Return a value as a Python one: lists and maps as the JSON they were written in.

    Parameters
    ----------
    value : Value or None
        AnyValue.

    Returns
    -------
    str, int, float, bool or None
        What it holds.

    Examples
    --------
    >>> plain(Value(int_value="8")), plain(Value(bool_value=False)), plain(Value())
    (8, False, None)
    """
    if value is None:
        return None
    if value.string_value is not None:
        return value.string_value
    if value.int_value is not None:
        return whole(value.int_value)
    if value.double_value is not None:
        return real(value.double_value)
    if value.bool_value is not None:
        return value.bool_value
    raw = bytes(value.array_value) or bytes(value.kvlist_value)
    return raw.decode(errors="replace") if raw else value.bytes_value
