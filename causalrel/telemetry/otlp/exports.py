"""Exports of OTLP JSON, as telemetry: one document, or one export request a line as the collector writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from causalrel import errors
from causalrel.telemetry.documents import documents
from causalrel.telemetry.otlp import names, wire
from causalrel.telemetry.otlp.points import Points
from causalrel.telemetry.otlp.records import Records
from causalrel.telemetry.otlp.spans import Spans, column_of, scored
from causalrel.telemetry.parts import Parts, measured, tell
from causalrel.telemetry.samples import Samples

_EXPORT = msgspec.json.Decoder(wire.Export)
_SPAN = msgspec.json.Decoder(wire.Span)
_TODO = "export spans of requests, metrics, or changes as OTLP JSON"
_MAPPED = frozenset(key for keys in names.READ_ATTRIBUTES.values() for key in keys)


def read_otlp(paths: list[Path]) -> Parts:
    r"""Read traces, metrics and logs of OTLP JSON; a line is let go as soon as it has been read.

    Parameters
    ----------
    paths : list of pathlib.Path
        Files of any signals, packed or not; they are read as one export.

    Returns
    -------
    Parts
        Requests, samples and changes, as far as they are told.

    Raises
    ------
    CausalrelError
        When a file is damaged elsewhere than in its last line, or no item is told at all.

    Examples
    --------
    >>> import tempfile
    >>> told = '{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"up","gauge":{"dataPoints":[%s]}}]}]}]}\n'
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "metrics.jsonl"
    ...     _ = path.write_text(told % '{"timeUnixNano":"1770768000000000000","asInt":"1"}')
    ...     read_otlp([path]).samples["value"].item()
    1.0
    """
    spans, samples, records = Spans(), Samples(), Records()
    points = Points(samples)
    parts, bad = Parts(), list[str]()
    for path in paths:
        for export in documents(path, _EXPORT, "an export request of OTLP", parts.notes):
            for sent in export.resource_spans:
                resource = _attributes(sent)
                for scoped in sent.scope_spans:
                    _take_spans(spans, scoped, resource, bad)
            for sent in export.resource_metrics:
                for scoped in sent.scope_metrics:
                    points.add(scoped.metrics, _attributes(sent))
            for sent in export.resource_logs:
                for scoped in sent.scope_logs:
                    records.add(scoped.log_records, _attributes(sent))
    told = spans.counts["spans"] + points.counts["points"] + records.counts["records"]
    wrong = bad + points.bad + records.bad
    if told == 0:
        said = f"none of its {len(wrong):,} items can be read ({wrong[0][:120]})" if wrong else "it tells nothing"
        raise errors.unreadable(paths[0], said, _TODO)
    tell(parts.notes, len(bad), "span", f"was not read; the first: {(bad or [''])[0][:120]}")
    requests = spans.frame(parts.notes)
    if requests is not None:
        parts.requests = measured(scored(requests, records.scores, parts.notes), parts.notes)
    else:
        tell(parts.notes, records.scores.count, "evaluation", "was of no request and left out")
    points.tell(parts.notes)
    parts.samples = samples.frame(parts.notes, str(paths[0]))
    parts.changes = records.frame(parts.notes)
    if not parts.tables():
        raise errors.unreadable(paths[0], f"nothing in it can be used ({'; '.join(parts.notes)[:160]})", _TODO)
    return parts


def _attributes(sent: wire.Sent) -> dict[str, Any]:
    return {one.key: wire.plain(one.value) for one in sent.resource.attributes} if sent.resource else {}


def _take_spans(spans: Spans, scoped: wire.Scoped, resource: dict[str, Any], bad: list[str]) -> None:
    ours = scoped.scope is not None and scoped.scope.name == names.SCOPE
    shared = {
        column: value
        for key, value in resource.items()
        if value is not None
        and (column := column_of(key)) is not None
        and (key in _MAPPED or not key.startswith(names.RESOURCE_NOISE))
    }
    for span in wire.items(scoped.spans, _SPAN, bad):
        spans.add(span, shared, ours=ours)
