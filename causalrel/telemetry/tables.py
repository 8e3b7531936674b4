"""Tables of requests, samples and changes from local Parquet, CSV and JSONL files, in canonical columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import polars as pl

from causalrel import errors
from causalrel.telemetry import Telemetry, collected, damage_told
from causalrel.telemetry.files import scan_table
from causalrel.telemetry.maps import ColumnMap, load_map, map_for
from causalrel.telemetry.schema import CHANGES, IDENTITY, REQUEST_VARIABLES, SAMPLES, TIME
from causalrel.telemetry.sources import Source, find, read_other
from causalrel.variables import Variable

_Wanted = Mapping[str, "pl.DataType | type[pl.DataType]"]

_EPOCHS = (("seconds", 1e8, 1_000_000.0), ("milliseconds", 1e11, 1000.0), ("microseconds", 1e14, 1.0))
_NANO = 1e17
_OFFSETS = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z")
_NEEDED: dict[str, tuple[_Wanted, tuple[str, ...]]] = {
    "requests": (IDENTITY, ("time",)),
    "samples": (SAMPLES, ("time", "metric", "value")),
    "changes": ({**IDENTITY, **CHANGES}, ("time", "variable", "after")),
}
_WIDE = (pl.UInt64, pl.Int128, pl.UInt128)
_TRUTHS = {"true": "1", "True": "1", "TRUE": "1", "false": "0", "False": "0", "FALSE": "0"}
#: What a column of errors says of a request that was served.
_SERVED = ["", "0", "false", "False", "FALSE"]
_NAIVE = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d")


def read(path: str | Path, *, columns: str | Path | None = None) -> Telemetry:
    r"""Read telemetry from a local file, or from a folder or a pattern of them.

    A table is Parquet, CSV or JSONL; in a folder it is told by its name: ``requests``, ``samples`` or ``changes``.
    Other formats are told by what the files hold, whatever their names: OTLP JSON, answers of the Prometheus HTTP API,
    text expositions, reports of load tests (``docs/FORMATS.md`` lists them all). Text may be packed with gzip or zstd.
    Columns of canonical names are brought to canonical types: ``time`` to UTC microseconds (from ISO text, naive times
    taken as UTC, or epoch seconds to nanoseconds told apart by magnitude), numbers from text, NaN and an empty
    ``error`` to null. Other columns are kept. Nothing is read from the network.

    Parameters
    ----------
    path : str or pathlib.Path
        A local file or folder, or a pattern such as ``exports/*.jsonl``.
    columns : str, pathlib.Path or None
        A column map for the requests: the name of a shipped one, such as ``llm-pilot``, or a YAML file.

    Returns
    -------
    Telemetry
        Lazy; what was assumed is in its ``notes``.

    Raises
    ------
    CausalrelError
        When the path does not exist, a file is not what it should be, or a column cannot be brought to its type.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "requests.csv").write_text("time,ttft_s,error\n1770768000,0.2,\n1770768001,,oom\n")
    ...     read(folder).frame()["error"].to_list()
    [None, 'oom']
    """
    source = find(path)
    mapped = load_map(columns) if columns is not None else None
    declared: tuple[Variable, ...] = ()
    notes: list[str] = []
    made: dict[str, list[pl.LazyFrame]] = {}
    for name, frame, told in _frames(source, notes):
        kinds, needed = _NEEDED[name]
        if name == "requests":
            frame, more = _mapped(frame, mapped, told, notes)
            declared = tuple(dict.fromkeys((*declared, *more)))
            variables = (*REQUEST_VARIABLES, *more)
            kinds = {**kinds, **{v.name: pl.String if v.kind == "category" else pl.Float64 for v in variables}}
        made.setdefault(name, []).append(_canonical(frame, kinds, needed, told, notes))
    if source.left_out:
        notes.append(f"{', '.join(source.left_out[:6])} {'is' if len(source.left_out) == 1 else 'are'} no telemetry")
    tables = {name: _joined(frames, str(path)) for name, frames in made.items()}
    return Telemetry(
        requests=tables.get("requests", pl.LazyFrame(schema={"time": TIME})),
        samples=tables.get("samples"),
        changes=tables.get("changes"),
        variables=declared,
        source=source.name,
        notes=tuple(dict.fromkeys(notes)),
        parts=tuple(made.get("requests", ())),
    )


def _frames(source: Source, notes: list[str]) -> Iterator[tuple[str, pl.LazyFrame, str]]:
    """Yield every table that the files hold: its name, its rows, and where they come from."""
    for name, paths in source.tables.items():
        for path in paths:
            yield name, scan_table(path, notes), str(path)
    for kind, paths in source.others.items():
        parts = read_other(kind, paths)
        notes.extend(parts.notes)
        for name, frame in parts.tables().items():
            yield name, frame.lazy(), str(paths[0])


def _mapped(
    frame: pl.LazyFrame, mapped: ColumnMap | None, source: str, notes: list[str]
) -> tuple[pl.LazyFrame, tuple[Variable, ...]]:
    """Return requests in the columns of a map: the one named, or for an export without times the one that fits it."""
    names = frame.collect_schema().names()
    if mapped is None and "time" not in names:
        mapped = map_for(names)
        if mapped is not None:
            notes.append(f"'{Path(source).name}' was read with the column map '{mapped.map}'")
    if mapped is None:
        return frame, ()
    return mapped.apply(_widened(frame)), mapped.declared()


def _joined(frames: list[pl.LazyFrame], source: str) -> pl.LazyFrame:
    if len(frames) == 1:
        return frames[0]
    whole = pl.concat(frames, how="diagonal_relaxed")
    with damage_told(source):
        whole.collect_schema()
    return whole


def _widened(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Return whole numbers of 64 bits, floats of 64 bits and categories as text, so arithmetic cannot overflow."""
    made = []
    for name, kind in frame.collect_schema().items():
        if kind.is_integer() and kind not in (pl.Int64, *_WIDE):
            made.append(pl.col(name).cast(pl.Int64))
        elif kind == pl.Float32:
            made.append(pl.col(name).cast(pl.Float64))
        elif kind in (pl.Categorical, pl.Enum):
            made.append(pl.col(name).cast(pl.String))
    return frame.with_columns(made)


def _canonical(
    frame: pl.LazyFrame, wanted: _Wanted, needed: tuple[str, ...], source: str, notes: list[str]
) -> pl.LazyFrame:
    """Return the frame with every canonical column in its type."""
    frame = _widened(frame)
    schema = frame.collect_schema()
    for name in needed:
        if name not in schema:
            raise errors.unknown_column(name, f"'{source}'", schema.names())
    made = []
    for name, kind in schema.items():
        if name in wanted:
            cast = _CASTS[str(wanted[name])](frame, name, kind, source, notes)
            made.append(cast if name != "error" else pl.when(~cast.is_in(_SERVED)).then(cast).alias(name))
        elif kind.is_float():
            made.append(_whole_zero(pl.col(name)))
    return frame.with_columns(made)


def _text(frame: pl.LazyFrame, name: str, kind: pl.DataType, source: str, _notes: list[str]) -> pl.Expr:
    if kind == pl.Boolean and name == "error":
        return pl.when(pl.col(name)).then(pl.lit("error")).alias(name)
    if name == "error" and kind.is_integer():
        least, most = collected(frame.select(low=pl.col(name).min(), high=pl.col(name).max()), source).row(0)
        if least is not None and 0 <= least <= most <= 1:
            return pl.when(pl.col(name) == 1).then(pl.lit("error")).alias(name)
    if name == "error" and kind not in (pl.String, pl.Null):
        raise errors.bad_data(
            f"column 'error' of '{source}' holds {kind}, not text",
            "write a class such as timeout, or leave it empty where the request was served (a column map can)",
        )
    if kind.is_nested() or kind == pl.Binary:
        raise errors.bad_data(f"column '{name}' of '{source}' holds {kind}, not text", "export it as text")
    return pl.col(name).cast(pl.String)


def _whole_zero(number: pl.Expr) -> pl.Expr:
    """Return floats with null for NaN and one zero for both, since -0.0 and 0.0 would be two levels."""
    return number.fill_nan(None) + 0.0


def _number(frame: pl.LazyFrame, name: str, kind: pl.DataType, source: str, notes: list[str]) -> pl.Expr:
    column = pl.col(name)
    if kind == pl.String:
        text = column.str.strip_chars().replace("", None).replace(_TRUTHS)
        value = text.cast(pl.Float64, strict=False)
        wrong = collected(frame.filter(value.is_null() & text.is_not_null()).select(text).head(1), source)
        if wrong.height:
            raise errors.bad_data(
                f"column '{name}' of '{source}' holds '{wrong.item()[:40]}', not a number",
                "write numbers with a decimal point and leave missing values empty",
            )
        return _whole_zero(value).alias(name)
    if kind.is_float():
        return _whole_zero(column)
    if kind in _WIDE and (collected(frame.select(column.abs().max()), source).item() or 0) >= 1 << 63:
        notes.append(f"'{name}' of '{Path(source).name}' holds whole numbers of more than 63 bits, taken as floats")
        return column.cast(pl.Float64)
    if kind.is_integer():
        return column.cast(pl.Int64, strict=False)
    if kind == pl.Duration:
        return (column.dt.total_microseconds() / 1e6).alias(name)
    if kind.is_decimal() or kind in (pl.Boolean, pl.Null):
        return column.cast(pl.Float64)
    raise errors.bad_data(f"column '{name}' of '{source}' holds {kind}, not numbers", "export it as numbers")


def time_column(frame: pl.LazyFrame, name: str, kind: pl.DataType, source: str, notes: list[str]) -> pl.Expr:
    """Return the expression that makes a column UTC microseconds.

    Parameters
    ----------
    frame : polars.LazyFrame
        Where the column is.
    name : str
        Its name.
    kind : polars.DataType
        Its type.
    source : str
        Where it was read, named in errors and notes.
    notes : list of str
        Takes what was assumed.

    Returns
    -------
    polars.Expr
        The times.

    Raises
    ------
    CausalrelError
        When the column holds no times.

    Examples
    --------
    >>> frame = pl.LazyFrame({"time": ["2026-02-11T09:00:00+01:00"]})
    >>> str(frame.select(time_column(frame, "time", pl.String(), "memory", [])).collect().item())
    '2026-02-11 08:00:00+00:00'
    """
    column = pl.col(name)
    if isinstance(kind, pl.Datetime) and kind.time_zone is not None:
        return column.dt.convert_time_zone("UTC").dt.cast_time_unit("us")
    if isinstance(kind, pl.Datetime) or kind == pl.Date:
        notes.append(f"times of '{Path(source).name}' carry no zone and were taken as UTC")
        return column.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if kind.is_integer() or kind.is_float() or kind.is_decimal():
        return _epoch(frame, column, name, source, notes)
    if kind == pl.String:
        return _written(frame, name, source, notes)
    raise errors.bad_data(f"column '{name}' of '{source}' holds {kind}, not times", "write ISO 8601 times in UTC")


def _epoch(frame: pl.LazyFrame, column: pl.Expr, name: str, source: str, notes: list[str]) -> pl.Expr:
    """Return times counted since 1970, their unit told by their magnitude."""
    least, most = collected(frame.select(low=column.min(), high=column.max()), source).row(0)
    if least is None:
        raise errors.bad_data(f"column '{name}' of '{source}' is empty", "write the time each row belongs to")
    units = {next((u for u in reversed(_EPOCHS) if v >= u[1]), ("", 0.0, 0.0)) for v in (float(least), float(most))}
    unit, _, scale = next(iter(units))
    nanos = float(least) >= _NANO
    if len(units) > 1 or not unit or nanos != (float(most) >= _NANO):
        raise errors.bad_data(
            f"column '{name}' of '{source}' runs from {least:g} to {most:g}, which is no one unit of epoch time",
            "write seconds, milliseconds, microseconds or nanoseconds since 1970, or ISO 8601 times",
        )
    notes.append(f"times of '{Path(source).name}' were taken as epoch {'nanoseconds' if nanos else unit}")
    micros = column // 1000 if nanos else column * int(scale)
    return micros.round().cast(pl.Int64).cast(TIME).alias(name)


def _written(frame: pl.LazyFrame, name: str, source: str, notes: list[str]) -> pl.Expr:
    """Return times written as ISO 8601 text or as epoch numbers."""
    text = pl.col(name).str.strip_chars().replace("", None)
    plain = text.str.replace(" ", "T", literal=True).str.replace(r"[TZ]?UTC$", "Z")
    parsed = [plain.str.to_datetime(f, time_unit="us", time_zone="UTC", strict=False) for f in _OFFSETS]
    parsed += [plain.str.to_datetime(f, time_unit="us", strict=False).dt.replace_time_zone("UTC") for f in _NAIVE]
    number = text.cast(pl.Float64, strict=False)
    hits = collected(
        frame.select(
            *[one.count().alias(f"f{i}") for i, one in enumerate(parsed)], numbers=number.count(), all=text.count()
        ),
        source,
    ).to_dicts()[0]
    if hits["all"] and hits["numbers"] == hits["all"]:
        whole = text.cast(pl.Int64, strict=False)
        exact = collected(frame.select(whole.count()), source).item() == hits["all"]
        return _epoch(frame, whole if exact else number, name, source, notes)
    used = [one for i, one in enumerate(parsed) if hits[f"f{i}"]]
    made = pl.coalesce(used) if used else None
    bad = text.is_not_null() & (made.is_null() if made is not None else pl.lit(True))
    wrong = collected(frame.filter(bad).select(text).head(1), source)
    if made is None or wrong.height:
        said = f"holds '{wrong.item()[:40]}', which is no time" if wrong.height else "is empty"
        raise errors.bad_data(f"column '{name}' of '{source}' {said}", "write ISO 8601 times such as 2026-02-11T09:00Z")
    if any(hits[f"f{i + len(_OFFSETS)}"] for i in range(len(_NAIVE))):
        notes.append(f"times of '{Path(source).name}' carry no zone and were taken as UTC")
    return made.alias(name)


_Cast = Callable[[pl.LazyFrame, str, pl.DataType, str, list[str]], pl.Expr]

_CASTS: dict[str, _Cast] = {str(pl.String): _text, str(pl.Float64): _number, str(TIME): time_column}
