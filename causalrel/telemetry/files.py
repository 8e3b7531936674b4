"""Local table files: what they really are, and a lazy scan of them."""

from __future__ import annotations

import csv
import json
import re
import tempfile
from io import BytesIO
from pathlib import Path

import polars as pl

from causalrel import errors
from causalrel.telemetry.schema import CHANGES, IDENTITY, REQUEST_VARIABLES, SAMPLES
from causalrel.telemetry.streams import all_bytes, ending_of, head_of, magic_of, text_lines, unpacked

#: Endings a table file may have.
ENDINGS = (".parquet", ".csv", ".jsonl")

_MAX_ROWS = 1_000_000_000
#: A Parquet file this large once read, and this many times larger than on disk, was made to fill the memory.
_BOMB_BYTES = 1 << 30
_BOMB_RATIO = 1000
_MAX_DEPTH = 32
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}]')
#: Tables that may hold nothing: a span without a change, a fleet that nobody scraped.
_MAY_BE_EMPTY = {"changes.parquet", "samples.parquet"}
_KEPT_BYTES = 256 << 20
_TEXT_COLUMNS = [name for name, kind in {**SAMPLES, **CHANGES, **IDENTITY}.items() if kind == pl.String] + [
    variable.name for variable in REQUEST_VARIABLES if variable.kind == "category"
]


def scan_table(path: Path, notes: list[str]) -> pl.LazyFrame:
    r"""Open a Parquet, CSV or JSONL file lazily after looking at what it really holds.

    Parameters
    ----------
    path : pathlib.Path
        A local file.
    notes : list of str
        Takes what was assumed or repaired.

    Returns
    -------
    polars.LazyFrame
        Its rows, in the file's own columns.

    Raises
    ------
    CausalrelError
        When it is missing, empty, damaged, not UTF-8, or something else than its name says.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "a.csv").write_text("time,ttft_s\n1770768000,0.2\n")
    ...     scan_table(Path(folder) / "a.csv", []).collect().columns
    ['time', 'ttft_s']
    """
    head = head_of(path)
    ending = ending_of(path)
    if ending not in ENDINGS:
        raise errors.unreadable(path, f"files ending in '{path.suffix}' are not known", f"use {', '.join(ENDINGS)}")
    _check_magic(path, head)
    scan = {".parquet": _scan_parquet, ".csv": _scan_csv, ".jsonl": _scan_jsonl}[ending]
    try:
        size = path.stat().st_size
        frame = scan(path, notes)
        if ending != ".parquet" and path.stat().st_size <= _KEPT_BYTES:
            frame = frame.collect().lazy()
        rows = frame.select(pl.len()).collect().item() if ending == ".parquet" else frame.head(1).collect().height
        frame.collect_schema()
    except (pl.exceptions.PolarsError, OSError, csv.Error) as fault:
        said = str(fault).strip().partition("\n")[0].rstrip(".;")[:200]
        broken = _broken_line(path) if ending == ".jsonl" else ""
        raise errors.unreadable(path, broken or f"it is damaged ({said})", "export it again") from None
    if rows == 0 and path.name not in _MAY_BE_EMPTY:
        raise errors.empty_data(str(path))
    if path.stat().st_size != size:
        notes.append(f"'{path.name}' changed while it was read, so rows written meanwhile may be missing")
    if rows > _MAX_ROWS:
        raise errors.over_limit(f"'{path}' holds {rows:,} rows, more than {_MAX_ROWS:,}", "split the export")
    cells = rows * len(frame.collect_schema()) * 8 if ending == ".parquet" else 0
    if cells > max(_BOMB_BYTES, _BOMB_RATIO * size):
        raise errors.over_limit(
            f"'{path}' takes {size:,} bytes on disk and about {cells:,} once read", "export it without empty columns"
        )
    return frame


def _check_magic(path: Path, head: bytes) -> None:
    found = magic_of(head)
    if ending_of(path) != ".parquet":
        if found not in (None, "gzip", "zstd"):
            raise errors.unreadable(path, f"it holds {found}, not text", f"export it as {', '.join(ENDINGS)}")
        return
    if found != "Parquet":
        raise errors.unreadable(path, f"it holds {found or 'no Parquet'}, not Parquet", "export it as Parquet")
    with path.open("rb") as file:
        file.seek(-4, 2)
        if file.read(4) != b"PAR1":
            raise errors.unreadable(path, "the Parquet file is cut short (no footer)", "export it again")


def _scan_parquet(path: Path, _notes: list[str]) -> pl.LazyFrame:
    return pl.scan_parquet(path.absolute(), glob=False, hive_partitioning=False)


def _scan_csv(path: Path, notes: list[str]) -> pl.LazyFrame:
    lines = text_lines(path)
    header = next(lines, None)
    if header is None:
        raise errors.unreadable(path, "the file is empty", "export it again")
    marks = {mark: header.count(mark) for mark in (",", ";", "\t")}
    mark = "," if marks[","] else max(marks, key=lambda key: marks[key])
    if mark != "," and marks[mark]:
        notes.append(f"'{path.name}' was read with {'tabs' if mark != ';' else 'semicolons'} between its columns")
    if "\r" in header.rstrip("\r\n"):
        return _scan_returns(path, notes)
    names = next(csv.reader([header], delimiter=mark))
    if "" in (name.strip() for name in names):
        raise errors.unreadable(path, f"column {names.index('') + 1} has no name", "name every column in the header")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise errors.unreadable(path, f"column '{twice[0]}' is there twice", "rename one of them")
    rows = csv.reader(lines, delimiter=mark)
    for row in rows:
        if row and len(row) != len(names):
            raise errors.unreadable(
                path, f"line {rows.line_num + 1} has {len(row)} fields where the header has {len(names)}", "correct it"
            )
    texts = {name: pl.String for name in _TEXT_COLUMNS if name in names}
    frame = pl.scan_csv(path.absolute(), separator=mark, glob=False, infer_schema_length=None, schema_overrides=texts)
    return frame.rename({name.replace('"', '""'): name for name in names if '"' in name})


def _scan_returns(path: Path, notes: list[str]) -> pl.LazyFrame:
    """Scan CSV whose lines end in carriage returns alone, by way of a copy whose lines end as all others do."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / f"{path.name.removesuffix('.gz').removesuffix('.zst')}"
        copy.write_bytes(all_bytes(path).replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
        return _scan_csv(copy, notes).collect().lazy()


def _broken_line(path: Path) -> str:
    """Say which line of JSON lines is none; nothing where each is one."""
    for number, line in enumerate(text_lines(path), 1):
        try:
            if line.strip() and not isinstance(json.loads(line), dict):
                return f"line {number} is no JSON object"
        except ValueError:
            return f"line {number} is not whole JSON"
    return ""


def _depth(text: str) -> int:
    """Return how deep brackets nest in JSON; those inside quotes are text."""
    most = depth = 0
    for mark in _BRACKETS.findall(text):
        depth += (mark in "[{") - (mark in "]}")
        most = max(most, depth)
    return most


def _scan_jsonl(path: Path, notes: list[str]) -> pl.LazyFrame:
    last = ""
    for number, line in enumerate(text_lines(path), 1):
        last = line if line.strip() else last
        if line.count("[") + line.count("{") > _MAX_DEPTH and _depth(line) > _MAX_DEPTH:
            raise errors.unreadable(path, f"line {number} is nested more than {_MAX_DEPTH} deep", "export flat rows")
    try:
        json.loads(last)
    except ValueError:
        notes.append(f"the last line of '{path.name}' was cut short and left out")
        with unpacked(path) as file:
            whole = file.read().rstrip()
        return pl.scan_ndjson(BytesIO(whole[: whole.rfind(b"\n") + 1]), infer_schema_length=None)
    if any(letter in str(path) for letter in "*?["):
        with unpacked(path) as file:
            return pl.scan_ndjson(BytesIO(file.read()), infer_schema_length=None)
    return pl.scan_ndjson(path.absolute(), infer_schema_length=None)
