"""Local table files: what they really are, and a lazy scan of them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import polars as pl

from causalrel import errors
from causalrel.telemetry.schema import CHANGES, IDENTITY, REQUEST_VARIABLES, SAMPLES

#: Endings a table file may have.
ENDINGS = (".parquet", ".csv", ".jsonl")

_MAGIC = {
    b"PAR1": "Parquet",
    b"PK\x03\x04": "a zip archive (or an xlsx workbook)",
    b"\x1f\x8b": "gzip",
    b"SQLite format 3": "an SQLite database",
    b"(\xb5/\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\xd0\xcf\x11\xe0": "an old Office document",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    b"ARROW1": "an Arrow file",
    b"Obj\x01": "Avro",
    b"\x89HDF": "HDF5",
    b"%PDF": "PDF",
}
_MAX_ROWS = 1_000_000_000
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
    if not path.exists():
        raise errors.file_not_found(path)
    if not path.is_file():
        raise errors.unreadable(path, "it is not a regular file", "export it to a file first")
    if path.suffix not in ENDINGS:
        raise errors.unreadable(path, f"files ending in '{path.suffix}' are not known", f"use {', '.join(ENDINGS)}")
    if path.stat().st_size == 0:
        raise errors.unreadable(path, "the file is empty", "export it again")
    _check_magic(path)
    scan = {".parquet": _scan_parquet, ".csv": _scan_csv, ".jsonl": _scan_jsonl}[path.suffix]
    try:
        frame = scan(path, notes)
        if path.suffix != ".parquet" and path.stat().st_size <= _KEPT_BYTES:
            frame = frame.collect().lazy()
        rows = frame.select(pl.len()).collect().item() if path.suffix == ".parquet" else frame.head(1).collect().height
        frame.collect_schema()
    except (pl.exceptions.PolarsError, OSError, csv.Error) as fault:
        said = str(fault).strip().partition("\n")[0].rstrip(".;")[:200]
        raise errors.unreadable(path, f"it is damaged ({said})", "export it again") from None
    if rows == 0 and path.name not in _MAY_BE_EMPTY:
        raise errors.empty_data(str(path))
    if rows > _MAX_ROWS:
        raise errors.over_limit(f"'{path}' holds {rows:,} rows, more than {_MAX_ROWS:,}", "split the export")
    return frame


def _check_magic(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(16)
        file.seek(-min(4, path.stat().st_size), 2)
        tail = file.read(4)
    found = next((what for magic, what in _MAGIC.items() if head.startswith(magic)), None)
    if found is None and head[:1] == b"\x80" and head[1:2] in {b"\x02", b"\x03", b"\x04", b"\x05"}:
        found = "a pickle, which can run code"
    if path.suffix == ".parquet" and found == "Parquet" and tail != b"PAR1":
        raise errors.unreadable(path, "the Parquet file is cut short (no footer)", "export it again")
    if path.suffix == ".parquet" and found != "Parquet":
        raise errors.unreadable(path, f"it holds {found or 'no Parquet'}, not Parquet", "export it as Parquet")
    if path.suffix != ".parquet" and found is not None:
        raise errors.unreadable(path, f"it holds {found}, not text", f"export it as {', '.join(ENDINGS)}")


def _scan_parquet(path: Path, _notes: list[str]) -> pl.LazyFrame:
    return pl.scan_parquet(path, glob=False, hive_partitioning=False)


def _scan_csv(path: Path, notes: list[str]) -> pl.LazyFrame:
    lines = _text_lines(path)
    header = next(lines)
    marks = {mark: header.count(mark) for mark in (",", ";", "\t")}
    mark = "," if marks[","] else max(marks, key=lambda key: marks[key])
    if mark != "," and marks[mark]:
        notes.append(f"'{path.name}' was read with {'tabs' if mark != ';' else 'semicolons'} between its columns")
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
    return pl.scan_csv(path, separator=mark, glob=False, infer_schema_length=None, schema_overrides=texts)


def _scan_jsonl(path: Path, notes: list[str]) -> pl.LazyFrame:
    import json

    last = ""
    for line in _text_lines(path):
        last = line if line.strip() else last
    try:
        json.loads(last)
    except (ValueError, RecursionError):
        whole = path.read_bytes().rstrip()
        notes.append(f"the last line of '{path.name}' was cut short and left out")
        return pl.scan_ndjson(BytesIO(whole[: whole.rfind(b"\n") + 1]), infer_schema_length=None)
    pattern = any(letter in str(path) for letter in "*?[")
    return pl.scan_ndjson(BytesIO(path.read_bytes()) if pattern else path, infer_schema_length=None)


def _text_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a UTF-8 file, or say where it is not one."""
    offset = 0
    with path.open("rb") as file:
        for raw in file:
            if b"\x00" in raw:
                raise errors.unreadable(path, f"byte {offset + raw.index(0)} is NUL", "export it as plain UTF-8 text")
            try:
                yield raw.decode("utf-8-sig" if offset == 0 else "utf-8")
            except UnicodeDecodeError as fault:
                said = f"byte {offset + fault.start} is not UTF-8"
                raise errors.unreadable(path, said, "save the file as UTF-8") from None
            offset += len(raw)
