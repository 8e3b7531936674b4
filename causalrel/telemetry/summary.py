"""What an export holds, column by column."""

from __future__ import annotations

import polars as pl

from causalrel import errors
from causalrel.telemetry import Telemetry

_SCHEMA = {
    "table": pl.String,
    "column": pl.String,
    "type": pl.String,
    "rows": pl.Int64,
    "missing": pl.Int64,
    "low": pl.String,
    "high": pl.String,
}


def summarise(telemetry: Telemetry) -> pl.DataFrame:
    """Say what telemetry holds: for each column its type, rows, missing values, smallest and largest value.

    Parameters
    ----------
    telemetry : Telemetry
        What was read or made.

    Returns
    -------
    polars.DataFrame
        ``table``, ``column``, ``type``, ``rows``, ``missing``, ``low``, ``high``; one row a column.

    Raises
    ------
    CausalrelError
        When there are no requests.

    Examples
    --------
    >>> import causalrel as cr
    >>> summarise(cr.load_dataset("llm-canary")).filter(pl.col("column") == "time")["missing"].to_list()[0]
    0
    """
    made = []
    for table, lazy in (("requests", telemetry.requests), ("samples", telemetry.samples), ("changes", telemetry.changes)):
        if lazy is None:
            continue
        schema = lazy.collect_schema()
        facts = lazy.select(
            pl.len().alias("rows"),
            *[pl.col(name).null_count().alias(f"missing {name}") for name in schema],
            *[pl.col(name).min().cast(pl.String).alias(f"low {name}") for name in schema if _ordered(schema[name])],
            *[pl.col(name).max().cast(pl.String).alias(f"high {name}") for name in schema if _ordered(schema[name])],
        ).collect()
        row = facts.row(0, named=True)
        made += [
            (table, name, str(kind), row["rows"], row[f"missing {name}"], row.get(f"low {name}"), row.get(f"high {name}"))
            for name, kind in schema.items()
        ]
        if table == "requests" and row["rows"] == 0:
            raise errors.empty_data(telemetry.source)
    return pl.DataFrame(made, schema=_SCHEMA, orient="row")


def _ordered(kind: pl.DataType) -> bool:
    return kind.is_numeric() or kind.is_temporal() or kind == pl.String
