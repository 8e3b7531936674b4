"""JSON text of OTLP: attributes, values and export requests."""

from __future__ import annotations

import json
from collections.abc import Iterator

import polars as pl

from causalrel.provenance import package_version
from causalrel.telemetry import damage_told
from causalrel.telemetry.otlp.names import RESOURCE_ATTRIBUTES

#: Spans, points or records on one line: as many as the collector's batch processor sends at a time.
BATCH = 8192

_LISTS = {"Spans": "spans", "Metrics": "metrics", "Logs": "logRecords"}


def batches(frame: pl.LazyFrame, source: str) -> Iterator[pl.DataFrame]:
    """Yield rows in their order, as many at a time as go on one line."""
    rest: pl.DataFrame | None = None
    with damage_told(source):
        for chunk in frame.collect_batches(chunk_size=BATCH, maintain_order=True):
            rest = chunk if rest is None else pl.concat([rest, chunk])
            while rest.height > BATCH:
                yield rest.head(BATCH)
                rest = rest.slice(BATCH)
    if rest is not None and rest.height:
        yield rest


def column_of(name: str, kinds: pl.Schema) -> pl.Expr:
    """Return a column, or nulls in its place."""
    kind = pl.Datetime("us", "UTC") if name == "time" else None
    return pl.col(name) if name in kinds else pl.lit(None, dtype=kind)


def attribute(key: str, value: pl.Expr) -> pl.Expr:
    """Return the expression of an attribute; null where its value is."""
    return pl.concat_str(pl.lit(f'{{"key":{json_text(key)},"value":'), value, pl.lit("}"))


def any_value(column: pl.Expr, kind: pl.DataType) -> pl.Expr:
    """Return the expression of a column's values as JSON text of AnyValue; null where they are."""
    if kind == pl.Boolean:
        return pl.concat_str(pl.lit('{"boolValue":'), column.cast(pl.String), pl.lit("}"))
    if kind.is_integer():
        return pl.concat_str(pl.lit('{"intValue":"'), column.cast(pl.String), pl.lit('"}'))
    if kind.is_float() or kind.is_decimal():
        number = column.cast(pl.Float64)
        named = pl.when(number.is_nan()).then(pl.lit('"NaN"')).when(number > 0).then(pl.lit('"Infinity"'))
        text = (
            pl.when(number.is_finite()).then(number.cast(pl.String)).otherwise(named.otherwise(pl.lit('"-Infinity"')))
        )
        return pl.concat_str(pl.lit('{"doubleValue":'), pl.when(number.is_not_null()).then(text), pl.lit("}"))
    if kind == pl.Binary:
        return pl.concat_str(pl.lit('{"bytesValue":"'), column.bin.encode("base64"), pl.lit('"}'))
    if kind.is_nested():
        column = pl.when(column.is_not_null()).then(_encoded(column))
    elif kind.is_temporal():
        column = column.dt.to_string("iso")
    return pl.concat_str(pl.lit('{"stringValue":'), text_of(column.cast(pl.String)), pl.lit("}"))


def text_of(column: pl.Expr) -> pl.Expr:
    """Return the expression of text as JSON text; null where it is."""
    return pl.when(column.is_not_null()).then(_encoded(column))


def _encoded(column: pl.Expr) -> pl.Expr:
    """Return the expression of any column as JSON text, a null as ``null``."""
    return pl.struct(column.alias("x")).struct.json_encode().str.strip_prefix('{"x":').str.strip_suffix("}")


def export_line(signal: str, items: pl.DataFrame) -> str:
    """Return one export request of items, gathered by the resource their other columns name."""
    told = []
    columns = [name for name in items.columns if name != "item"]
    for values, same in items.partition_by(columns, maintain_order=True, as_dict=True).items():
        resource = dict(zip(columns, values, strict=True))
        told.append(resource_item(signal, resource, ",".join(same["item"])))
    return f'{{"resource{signal}":[{",".join(told)}]}}\n'


def resource_item(signal: str, columns: dict[str, str | None], listed: str) -> str:
    """Return what one resource sends: items already listed as JSON text, under the one scope."""
    named = {RESOURCE_ATTRIBUTES[name]: columns.get(name) for name in RESOURCE_ATTRIBUTES}
    scope = f'{{"name":"causalrel","version":"{package_version()}"}}'
    return (
        f'{{"resource":{{"attributes":[{text_attributes(named)}]}},'
        f'"scope{signal}":[{{"scope":{scope},"{_LISTS[signal]}":[{listed}]}}]}}'
    )


def text_attributes(named: dict[str, str | None]) -> str:
    """Return attributes of text, without those that are null."""
    return ",".join(
        f'{{"key":{json_text(key)},"value":{{"stringValue":{json_text(value)}}}}}'
        for key, value in named.items()
        if value is not None
    )


def json_text(text: str) -> str:
    """Return text as a JSON string."""
    return json.dumps(text, ensure_ascii=False)
