"""Changes as log records."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from causalrel.telemetry import collected
from causalrel.telemetry.otlp.names import CHANGE_EVENT, NAMESPACE, RESOURCE_ATTRIBUTES
from causalrel.telemetry.otlp.texts import any_value, attribute, batches, column_of, export_line, text_of


def log_lines(changes: pl.LazyFrame, source: str) -> Iterator[str]:
    """Yield changes as export requests, one a line."""
    for batch in batches(changes, source):
        kinds = batch.schema
        time = (column_of("time", kinds).dt.timestamp("us").fill_null(0) * 1000).cast(pl.String)
        others = {name: kind for name, kind in kinds.items() if name not in ("time", *RESOURCE_ATTRIBUTES)}
        resource = [column_of(name, kinds).cast(pl.String).alias(name) for name in RESOURCE_ATTRIBUTES]
        attributes = [
            attribute(NAMESPACE + name, any_value(pl.col(name), kind))
            for name, kind in others.items()
            if kind != pl.Null
        ]
        variable, before, after = (
            column_of(name, kinds).cast(pl.String).fill_null("nothing") for name in ("variable", "before", "after")
        )
        body = pl.concat_str(variable, pl.lit(" changed from "), before, pl.lit(" to "), after)
        item = pl.concat_str(
            pl.lit('{"timeUnixNano":"'),
            time,
            pl.lit('","observedTimeUnixNano":"'),
            time,
            pl.lit(f'","severityNumber":9,"severityText":"INFO","eventName":"{CHANGE_EVENT}","body":{{"stringValue":'),
            text_of(body),
            pl.lit('},"attributes":['),
            pl.concat_str(attributes, separator=",", ignore_nulls=True),
            pl.lit("]}"),
        )
        yield export_line("Logs", collected(batch.lazy().select(*resource, item=item), source))
