"""Columns: what each holds, added up where it lies, and which values it cannot hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from causalrel import display
from causalrel.telemetry import damage_told
from causalrel.telemetry.schema import REQUEST_VARIABLES
from causalrel.telemetry.units import DOUBTS, UNITS

#: Largest magnitude that a value is taken at; what is beyond is no number.
LIMIT = 1e18

_WIDTH = 24
_MOST_METRICS = 200
_SENTINEL = 2_147_483_616.0
_KEYS = ("service", "node", "tenant", "tier")
_NUMBERS = {variable.name for variable in REQUEST_VARIABLES if variable.kind != "category"}

#: Columns of :func:`column_rows`.
ROWS: dict[str, Any] = dict.fromkeys(("table", "column", "type", "unit"), pl.String) | {
    "missing": pl.Int64,
    "low": pl.String,
    "high": pl.String,
}


def streamed(frame: pl.LazyFrame, source: str) -> pl.DataFrame:
    """Collect a lazy frame batch by batch, so that only what it comes to is held in memory.

    Parameters
    ----------
    frame : polars.LazyFrame
        What to collect.
    source : str
        Where it comes from, named in the error.

    Returns
    -------
    polars.DataFrame
        Its rows, their order not kept.

    Raises
    ------
    CausalrelError
        When the rows cannot be read or computed.

    Examples
    --------
    >>> streamed(pl.LazyFrame({"a": [1, 2]}).select(pl.col("a").sum()), "memory").item()
    3
    """
    with damage_told(source):
        return frame.collect(engine="streaming")


def add_up(frame: pl.LazyFrame, source: str) -> dict[str, Any]:
    """Add up what there is to tell of every column.

    Parameters
    ----------
    frame : polars.LazyFrame
        A table in canonical columns.
    source : str
        Where it comes from, named in the error.

    Returns
    -------
    dict
        ``rows``, and for the columns that have them ``null:``, ``low:``, ``high:``, ``keys:`` (different values),
        ``wrong:`` (negative or not finite) and ``doubt:`` figures.

    Examples
    --------
    >>> found = add_up(pl.LazyFrame({"ttft_s": [0.5, -1.0, None]}), "memory")
    >>> found["rows"], found["null:ttft_s"], found["low:ttft_s"], found["wrong:ttft_s"]
    (3, 1, -1.0, 1)
    """
    schema = frame.collect_schema()
    made = [pl.len().alias("rows")]
    for name, kind in schema.items():
        column = pl.col(name)
        made.append(column.null_count().alias(f"null:{name}"))
        if kind.is_numeric() or kind.is_temporal() or kind == pl.String:
            made += [column.min().alias(f"low:{name}"), column.max().alias(f"high:{name}")]
    if {"ttft_s", "e2e_s"} <= {name for name, kind in schema.items() if kind.is_numeric()}:
        later = pl.col("ttft_s") > pl.col("e2e_s")
        made += [later.count().alias("both"), later.sum().alias("later")]
    keys = [name for name in _KEYS if schema.get(name) == pl.String]
    units = streamed(frame.select(keys).unique(), source)
    found = streamed(frame.select(made), source).to_dicts()[0]
    found |= {f"keys:{name}": units[name].drop_nulls().n_unique() for name in keys}
    numbers = [name for name, kind in schema.items() if name in _NUMBERS and kind.is_numeric()]
    beyond = _beyond([name for name in numbers if found[f"low:{name}"] is not None], found)
    return found | (streamed(frame.select(beyond), source).to_dicts()[0] if beyond else {})


def _beyond(names: Sequence[str], found: Mapping[str, Any]) -> list[pl.Expr]:
    """Return what counts the values that cannot be or are in doubt, for columns whose ends say there are any."""
    made = []
    for name in names:
        column, low, high = pl.col(name), found[f"low:{name}"], found[f"high:{name}"]
        if low < 0 or high > LIMIT:
            made.append((~column.is_between(0, LIMIT)).sum().alias(f"wrong:{name}"))
        for i, doubt in enumerate(DOUBTS):
            if doubt.name == name and doubt.exceeds(high if doubt.above else low):
                made.append(doubt.exceeds(column).sum().alias(f"doubt:{i}"))
    return made


def column_rows(table: str, schema: Mapping[str, pl.DataType], found: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Return one row a column: table, name, type, unit, missing values, smallest and largest.

    Parameters
    ----------
    table : str
        Name of the table.
    schema : mapping of str to polars.DataType
        Its columns.
    found : mapping
        Result of :func:`add_up`.

    Returns
    -------
    list of tuple
        In the columns of ``ROWS``.

    Examples
    --------
    >>> frame = pl.LazyFrame({"ttft_s": [0.5, None]})
    >>> column_rows("requests", frame.collect_schema(), add_up(frame, "memory"))
    [('requests', 'ttft_s', 'number', 's', 1, '0.5', '0.5')]
    """
    return [
        (
            table,
            name,
            _kind(kind),
            UNITS.get(name, "") if table == "requests" else "",
            found[f"null:{name}"],
            *_ends(found, f":{name}"),
        )
        for name, kind in schema.items()
    ]


def tell_values(found: Mapping[str, Any]) -> list[str]:
    """Say which values cannot be, and which units are in doubt.

    Parameters
    ----------
    found : mapping
        Result of :func:`add_up` of requests.

    Returns
    -------
    list of str
        One sentence a finding.

    Examples
    --------
    >>> tell_values(add_up(pl.LazyFrame({"ttft_s": [0.5, -1.0]}), "memory"))
    ['1 of 2 values of ttft_s are negative or not finite.']
    """
    said = []
    for name in sorted(_NUMBERS):
        known = found["rows"] - found.get(f"null:{name}", 0)
        if found.get(f"wrong:{name}"):
            said.append(f"{found[f'wrong:{name}']:,} of {known:,} values of {name} are negative or not finite.")
    for i, doubt in enumerate(DOUBTS):
        said.append(doubt.says(found.get(f"doubt:{i}") or 0, found["rows"] - found.get(f"null:{doubt.name}", 0)))
    if 2 * (found.get("later") or 0) > found.get("both", 0):
        said.append(f"ttft_s is above e2e_s in {found['later']:,} of {found['both']:,} requests: are both in seconds?")
    return [sentence for sentence in said if sentence]


def metric_rows(samples: pl.LazyFrame, source: str) -> tuple[list[tuple[Any, ...]], list[str]]:
    """Return one row a metric of samples, as :func:`column_rows`, and which units are in doubt.

    Parameters
    ----------
    samples : polars.LazyFrame
        ``metric`` and ``value``.
    source : str
        Where they come from, named in the error.

    Returns
    -------
    rows : list of tuple
        By name, labels left out; 200 at most.
    said : list of str
        One sentence a unit in doubt.

    Examples
    --------
    >>> metric_rows(pl.LazyFrame({"metric": ["up"], "value": [1.0]}), "memory")[0]
    [('samples', 'up', 'metric', '1', 0, '1', '1')]
    """
    value = pl.col("value").fill_nan(None)
    real = ~pl.col("metric").str.starts_with("DCGM_") | (value.abs() < _SENTINEL)
    tidy = samples.with_columns(pl.col("metric").str.replace(r"\{.*", ""), value=pl.when(real).then(value))
    found = streamed(
        tidy.drop_nulls("metric")
        .group_by("metric")
        .agg(
            pl.col("value").null_count().alias("missing"),
            pl.col("value").count().alias("known"),
            pl.col("value").min().alias("low"),
            pl.col("value").max().alias("high"),
        )
        .sort("metric"),
        source,
    )
    rows = [
        ("samples", row["metric"], "metric", UNITS.get(row["metric"], ""), row["missing"], *_ends(row))
        for row in found.head(_MOST_METRICS).iter_rows(named=True)
    ]
    known = dict(found.select("metric", "known").rows())
    said = []
    for doubt in [doubt for doubt in DOUBTS if doubt.name in known]:
        beyond = tidy.filter((pl.col("metric") == doubt.name) & doubt.exceeds(pl.col("value")))
        said.append(doubt.says(streamed(beyond.select(pl.len()), source).item(), known[doubt.name]))
    return rows, [sentence for sentence in said if sentence]


def _kind(kind: pl.DataType) -> str:
    for name, fits in (("integer", kind.is_integer()), ("number", kind.is_numeric()), ("time", kind.is_temporal())):
        if fits:
            return name
    return "text" if kind == pl.String else str(kind).lower()


def _ends(found: Mapping[str, Any], which: str = "") -> tuple[str | None, str | None]:
    return _shown(found.get(f"low{which}")), _shown(found.get(f"high{which}"))


def _shown(value: object) -> str | None:
    if value is None:
        return None
    text = display.cell(value)
    return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."
