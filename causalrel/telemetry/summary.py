"""What an export holds, column by column."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from causalrel import display, errors
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What telemetry holds.

    Parameters
    ----------
    table : polars.DataFrame
        ``table``, ``column``, ``type``, ``rows``, ``missing``, ``low``, ``high``; one row a column.
    source : str
        Where the telemetry came from.

    Examples
    --------
    >>> Contents(table=pl.DataFrame({"column": ["time"]}), source="export").frame().height
    1
    """

    table: pl.DataFrame
    source: str

    def frame(self) -> pl.DataFrame:
        """Return the table."""
        return self.table

    def __repr__(self) -> str:
        return display.plain(f"Telemetry from {self.source}")

    def _repr_html_(self) -> str:
        return display.frame_html(repr(self), self.table, rows=100)


def summarise(telemetry: Telemetry) -> Contents:
    """Say what telemetry holds: for each column its type, rows, missing values, smallest and largest value.

    Parameters
    ----------
    telemetry : Telemetry
        What was read or made.

    Returns
    -------
    Contents
        One row a column.

    Raises
    ------
    CausalrelError
        When there are no requests.

    Examples
    --------
    >>> import causalrel as cr
    >>> summarise(cr.load_dataset("llm-canary")).frame()["column"][0]
    'time'
    """
    made = []
    for table, lazy in (
        ("requests", telemetry.requests),
        ("samples", telemetry.samples),
        ("changes", telemetry.changes),
    ):
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
            (
                table,
                name,
                str(kind),
                row["rows"],
                row[f"missing {name}"],
                row.get(f"low {name}"),
                row.get(f"high {name}"),
            )
            for name, kind in schema.items()
        ]
        if table == "requests" and row["rows"] == 0:
            raise errors.empty_data(telemetry.source)
    return Contents(table=pl.DataFrame(made, schema=_SCHEMA, orient="row"), source=telemetry.source)


def _ordered(kind: pl.DataType) -> bool:
    return kind.is_numeric() or kind.is_temporal() or kind == pl.String
