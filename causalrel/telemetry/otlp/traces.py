"""Requests as spans with the attributes of the GenAI semantic conventions."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

import polars as pl

from causalrel.telemetry import collected
from causalrel.telemetry.otlp.names import NAMESPACE, RESOURCE_ATTRIBUTES, SPAN_ATTRIBUTES
from causalrel.telemetry.otlp.texts import any_value, attribute, batches, column_of, export_line, text_of

_TOKENS = ("prompt_tokens", "output_tokens", "cached_tokens")


def trace_lines(requests: pl.LazyFrame, source: str) -> Iterator[str]:
    """Yield requests as export requests, one a line."""
    row = 0
    for batch in batches(requests, source):
        kinds = batch.schema
        resource = [column_of(name, kinds).cast(pl.String).alias(name) for name in RESOURCE_ATTRIBUTES]
        item = _span(kinds, *_ids(batch, source, row))
        spans = collected(batch.lazy().select(*resource, item=item), source)
        yield export_line("Spans", spans)
        row += batch.height


def _ids(batch: pl.DataFrame, source: str, row: int) -> tuple[pl.Expr, pl.Expr]:
    """Return the ids of traces and spans as lower-case hex."""
    given = batch["request_id"].to_list() if "request_id" in batch.columns else [None] * batch.height
    keys = [f"{source}/{row + at}" if one is None else str(one) for at, one in enumerate(given)]
    traces = [blake2b(key.encode(), digest_size=16).hexdigest() for key in keys]
    spans = [blake2b(f"{key}/{row + at}".encode(), digest_size=8).hexdigest() for at, key in enumerate(keys)]
    return pl.lit(pl.Series(traces, dtype=pl.String)), pl.lit(pl.Series(spans, dtype=pl.String))


def _span(kinds: pl.Schema, trace: pl.Expr, span: pl.Expr) -> pl.Expr:
    """Return the expression of one span as JSON text."""
    start = column_of("time", kinds).dt.timestamp("us").fill_null(0) * 1000
    end = start + (_lasting(kinds) * 1e9).round().cast(pl.Int64, strict=False).fill_null(0).clip(0)
    model = column_of("model", kinds).cast(pl.String)
    failed = column_of("error", kinds).is_not_null()
    name = text_of(pl.when(model.is_null()).then(pl.lit("chat")).otherwise(pl.lit("chat ") + model))
    return pl.concat_str(
        pl.lit('{"traceId":"'),
        trace,
        pl.lit('","spanId":"'),
        span,
        pl.lit('","name":'),
        name,
        pl.lit(',"kind":3,"startTimeUnixNano":"'),
        start.cast(pl.String),
        pl.lit('","endTimeUnixNano":"'),
        end.cast(pl.String),
        pl.lit('","attributes":['),
        pl.concat_str(_span_attributes(kinds), separator=",", ignore_nulls=True),
        pl.lit("]"),
        _evaluation(kinds, end),
        pl.when(failed).then(pl.lit(',"status":{"code":2}}')).otherwise(pl.lit(',"status":{}}')),
    )


def _lasting(kinds: pl.Schema) -> pl.Expr:
    """Return the expression of how many seconds a request lasted."""
    whole, first, pace, tokens, waited = (
        column_of(name, kinds).cast(pl.Float64) for name in ("e2e_s", "ttft_s", "tpot_s", "output_tokens", "queue_s")
    )
    return pl.coalesce(whole, first + pace * (tokens - 1).clip(0), first, waited)


def _span_attributes(kinds: pl.Schema) -> list[pl.Expr]:
    made = [pl.lit('{"key":"gen_ai.operation.name","value":{"stringValue":"chat"}}')]
    if "provider" not in kinds:
        made.append(pl.lit('{"key":"gen_ai.provider.name","value":{"stringValue":"_OTHER"}}'))
    for name, kind in kinds.items():
        if name in ("time", "quality", *RESOURCE_ATTRIBUTES) or kind == pl.Null:
            continue
        value = any_value(pl.col(name), kind)
        if name in _TOKENS and kind.is_float():
            number = pl.col(name)
            value = pl.when(number == number.round()).then(any_value(_whole(number), pl.Int64())).otherwise(value)
        made.append(attribute(SPAN_ATTRIBUTES.get(name, NAMESPACE + name), value))
    return made


def _whole(number: pl.Expr) -> pl.Expr:
    return number.cast(pl.Int64, strict=False)


def _evaluation(kinds: pl.Schema, end: pl.Expr) -> pl.Expr:
    if "quality" not in kinds:
        return pl.lit("")
    score = attribute("gen_ai.evaluation.score.value", any_value(pl.col("quality").cast(pl.Float64), pl.Float64()))
    head = '","name":"gen_ai.evaluation.result","attributes":[{"key":"gen_ai.evaluation.name","value":'
    event = pl.concat_str(
        pl.lit(',"events":[{"timeUnixNano":"'),
        end.cast(pl.String),
        pl.lit(head + '{"stringValue":"quality"}},'),
        score,
        pl.lit("]}]"),
    )
    return event.fill_null("")
