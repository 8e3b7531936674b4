"""Spans in the plain JSON of load generators, and traces that Langfuse exports, as requests."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw, Struct

from causalrel import errors
from causalrel.telemetry.documents import documents
from causalrel.telemetry.otlp.spans import Spans, column_of, scored
from causalrel.telemetry.otlp.wire import Attribute, Event, Span, Status, Value, items
from causalrel.telemetry.parts import Parts, measured, tell
from causalrel.telemetry.rows import Rows

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TODO = "export spans that ask a model"


class _Ended(Struct):
    code: int | str = 0


class _Plain(Struct):
    trace_id: str = ""
    span_id: str = ""
    parent_span_id: str | None = None
    kind: int | str | None = 0
    start_time: str = ""
    end_time: str | None = None
    attributes: dict[str, Any] = {}
    resource_attributes: dict[str, Any] = {}
    status: _Ended | None = None


class _Traced(Struct):
    spans: list[Raw] = []


class _Observation(Struct, rename="camel"):
    id: str = ""
    trace_id: str = ""
    type: str = ""
    level: str = ""
    start_time: str = ""
    end_time: str | None = None
    completion_start_time: str | None = None
    model: str | None = None
    version: str | None = None
    environment: str | None = None
    usage_details: dict[str, Any] | None = None
    cost_details: dict[str, Any] | None = None


class _Score(Struct, rename="camel"):
    name: str = ""
    value: float | None = None
    observation_id: str | None = None


class _Trace(Struct):
    id: str = ""
    scores: list[_Score] = []


class _Export(Struct):
    trace: _Trace
    observations: list[Raw] = []


def read_spans(paths: list[Path]) -> Parts:
    """Read spans whose attributes are plain JSON, as inference-perf replays them.

    Parameters
    ----------
    paths : list of pathlib.Path
        Files of documents with ``spans``, packed or not.

    Returns
    -------
    Parts
        Requests.

    Raises
    ------
    CausalrelError
        When no span asks a model.

    Examples
    --------
    >>> import tempfile
    >>> span = {"span_id": "a", "start_time": "2026-02-11T09:00:00", "attributes": {"gen_ai.request.model": "m"}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "trace.json"
    ...     _ = path.write_text(json.dumps({"trace_id": "t", "spans": [span]}))
    ...     read_spans([path]).requests["model"].item()
    'm'
    """
    spans, parts, bad = Spans(), Parts(), list[str]()
    decoder = msgspec.json.Decoder(_Plain)
    for path in paths:
        for traced in documents(path, msgspec.json.Decoder(_Traced), "a document of spans", parts.notes):
            for one in items(traced.spans, decoder, bad):
                shared = {column_of(key): value for key, value in one.resource_attributes.items()}
                made = Span(
                    trace_id=one.trace_id,
                    span_id=one.span_id,
                    parent_span_id=one.parent_span_id,
                    kind=one.kind,
                    start_time_unix_nano=_nanos(one.start_time),
                    end_time_unix_nano=_nanos(one.end_time),
                    attributes=[Attribute(key, _value(value)) for key, value in one.attributes.items()],
                    status=Status(code=one.status.code) if one.status else None,
                )
                kept = {key: value for key, value in shared.items() if key is not None and _scalar(value)}
                spans.add(made, kept, ours=False)
    return _made(paths, spans, parts, bad)


def read_langfuse(paths: list[Path]) -> Parts:
    """Read traces that Langfuse exports; each generation in them is a request.

    Parameters
    ----------
    paths : list of pathlib.Path
        Files of a trace and its observations, packed or not.

    Returns
    -------
    Parts
        Requests; inputs, outputs, metadata and users are not read.

    Raises
    ------
    CausalrelError
        When no observation is a generation.

    Examples
    --------
    >>> import tempfile
    >>> one = {"id": "a", "type": "GENERATION", "startTime": "2026-02-11T09:00:00Z", "usageDetails": {"input": 5}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "trace.json"
    ...     _ = path.write_text(json.dumps({"trace": {"id": "t"}, "observations": [one]}))
    ...     read_langfuse([path]).requests["prompt_tokens"].item()
    5
    """
    spans, parts, bad = Spans(), Parts(), list[str]()
    decoder = msgspec.json.Decoder(_Observation)
    whole = 0
    for path in paths:
        for export in documents(path, msgspec.json.Decoder(_Export), "a trace of Langfuse", parts.notes):
            scores: dict[str, list[_Score]] = {}
            for score in export.trace.scores:
                whole += not score.observation_id
                scores.setdefault(score.observation_id or "", []).append(score)
            for one in items(export.observations, decoder, bad):
                spans.add(_generation(one, scores.get(one.id, [])), {}, ours=False)
    tell(parts.notes, whole, "score", "was given to a whole trace, not to a request, and left out")
    return _made(paths, spans, parts, bad)


def _made(paths: list[Path], spans: Spans, parts: Parts, bad: list[str]) -> Parts:
    requests = spans.frame(parts.notes)
    tell(parts.notes, len(bad), "span", f"was not read; the first: {(bad or [''])[0][:120]}")
    if requests is None:
        found = f"nothing in it can be used ({'; '.join(parts.notes)[:160]})" if parts.notes else "it tells nothing"
        raise errors.unreadable(paths[0], found, _TODO)
    parts.requests = measured(scored(requests, Rows(), parts.notes), parts.notes)
    return parts


def _generation(one: _Observation, scores: list[_Score]) -> Span:
    """Return an observation as a span; of anything but a generation one that is no request."""
    usage, cost = one.usage_details or {}, one.cost_details or {}
    start, first = _nanos(one.start_time), _nanos(one.completion_start_time)
    told: dict[str, Any] = {
        "gen_ai.operation.name": "chat" if one.type == "GENERATION" else "invoke_agent",
        "gen_ai.request.model": one.model,
        "model_version": one.version,
        "environment": one.environment,
        "gen_ai.usage.input_tokens": usage.get("input"),
        "gen_ai.usage.output_tokens": usage.get("output"),
        "gen_ai.usage.cache_read.input_tokens": usage.get(
            "input_cached_tokens", usage.get("cache_read_input_tokens", usage.get("prompt_details.cache_read"))
        ),
        "ttft_s": (first - start) / 1e9 if first and start else None,
        "cost_usd": cost.get("total"),
    }
    rated = [
        Event(
            name="gen_ai.evaluation.result",
            attributes=[
                Attribute("gen_ai.evaluation.name", Value(string_value=score.name)),
                Attribute("gen_ai.evaluation.score.value", Value(double_value=score.value)),
            ],
        )
        for score in scores
    ]
    return Span(
        trace_id=one.trace_id,
        span_id=one.id,
        start_time_unix_nano=start,
        end_time_unix_nano=_nanos(one.end_time),
        attributes=[Attribute(key, _value(value)) for key, value in told.items() if value is not None],
        events=rated,
        status=Status(code=2 if one.level == "ERROR" else 0),
    )


def _nanos(text: str | None) -> int:
    """Return a time as nanoseconds since 1970, as UTC where it carries no zone; 0 for what is no time."""
    try:
        made = datetime.fromisoformat(text or "")
    except ValueError:
        return 0
    return ((made if made.tzinfo else made.replace(tzinfo=UTC)) - _EPOCH) // timedelta(microseconds=1) * 1000


def _scalar(value: object) -> bool:
    return isinstance(value, str | bool | int | float)


def _value(value: Any) -> Value:
    if isinstance(value, bool):
        return Value(bool_value=value)
    if isinstance(value, int):
        return Value(int_value=value)
    if isinstance(value, float):
        return Value(double_value=value)
    if value is None:
        return Value()
    return Value(string_value=value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
