"""Sources: which files a path, a folder or a pattern names, by the format they hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from causalrel import errors, shipped
from causalrel.telemetry.files import ENDINGS
from causalrel.telemetry.kinds import Kind, kind_of
from causalrel.telemetry.parts import Parts
from causalrel.telemetry.streams import PACKED_ENDINGS

#: Tables of causalrel's own; in a folder a file is one of them by its name.
TABLES = ("requests", "samples", "changes")

_WRITTEN_BESIDE = {"card.yaml"}


@dataclass(slots=True, kw_only=True)
class Source:
    """The files behind one path.

    Parameters
    ----------
    name : str
        What to call it.
    tables : dict of str to list of pathlib.Path
        Files of each table.
    others : dict of str to list of pathlib.Path
        Files of each other format, in order of their names.
    left_out : list of str
        Names of files that are no telemetry.

    Examples
    --------
    >>> Source(name="export").tables
    {}
    """

    name: str
    tables: dict[str, list[Path]] = field(default_factory=dict)
    others: dict[Kind, list[Path]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def find(path: str | Path) -> Source:
    """Find the files that a path names.

    Parameters
    ----------
    path : str or pathlib.Path
        A file, a folder, or a pattern whose last part holds ``*``, ``?`` or ``[...]``.

    Returns
    -------
    Source
        At least one file.

    Raises
    ------
    CausalrelError
        When there is none, or a file is no telemetry.

    Examples
    --------
    >>> find(Path(shipped.root()) / "datasets" / "llm-canary").tables["requests"][0].name
    'requests.parquet'
    """
    if "://" in str(path):
        raise errors.unreadable(path, "it is a network address", "download it and name the local file")
    where = Path(path)
    if where.is_dir():
        return _folder(where)
    if where.exists():
        return _files([where], where.name)
    if any(letter in where.name for letter in "*?["):
        matched = sorted(one for one in where.parent.glob(where.name) if not one.is_dir())
        if matched:
            return _files(matched, where.name)
    if where.suffix or len(where.parts) != 1:
        raise errors.file_not_found(path)
    raise errors.unknown_data(str(path), shipped.names("datasets"))


def _files(paths: list[Path], name: str) -> Source:
    """Sort files that were named; a table is one of requests, unless its name says otherwise."""
    made = Source(name=name)
    for path in paths:
        kind, found = kind_of(path)
        if kind == "unknown":
            todo = f"use {', '.join(ENDINGS)}, or an export that docs/FORMATS.md lists"
            raise errors.unreadable(path, found, todo)
        if kind == "table":
            table = next((one for one in TABLES if len(paths) > 1 and path.name.startswith(one)), "requests")
            made.tables.setdefault(table, []).append(path)
        else:
            made.others.setdefault(kind, []).append(path)
    return made


def _folder(where: Path) -> Source:
    """Sort the files of a folder; a table is told by its name, any other format by what is in it."""
    made = Source(name=where.name)
    endings = [f"{ending}{packed}" for ending in ENDINGS for packed in ("", *PACKED_ENDINGS)]
    for name in TABLES:
        found = [where / f"{name}{ending}" for ending in endings if (where / f"{name}{ending}").exists()]
        if len(found) > 1:
            raise errors.unreadable(where, f"{' and '.join(p.name for p in found)} are both there", "keep one of them")
        if found and kind_of(found[0])[0] in ("table", "unknown"):
            made.tables[name] = found
    taken = {path for paths in made.tables.values() for path in paths}
    for path in sorted(where.iterdir()):
        if path in taken or path.name.startswith(".") or path.name in _WRITTEN_BESIDE or not path.is_file():
            continue
        if path.stat().st_size == 0:
            continue
        kind = kind_of(path)[0]
        if kind in ("unknown", "table"):
            made.left_out.append(path.name)
        else:
            made.others.setdefault(kind, []).append(path)
    if not made.tables and not made.others:
        there = ", ".join(sorted(item.name for item in where.iterdir())[:6]) or "nothing"
        raise errors.unreadable(where, f"the folder holds {there}", "put a requests.parquet, .csv or .jsonl there")
    return made


def read_other(kind: Kind, paths: list[Path]) -> Parts:
    """Read files of one format other than causalrel's own tables.

    Parameters
    ----------
    kind : str
        The format.
    paths : list of pathlib.Path
        Its files.

    Returns
    -------
    Parts
        What they tell.

    Raises
    ------
    CausalrelError
        When a file is damaged, or tells nothing that can be used.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "up.prom"
    ...     _ = path.write_text("up 1 1770768000000")
    ...     read_other("exposition", [path]).samples.height
    1
    """
    return _reader(kind)(paths)


def _reader(kind: Kind) -> Callable[[list[Path]], Parts]:
    """Return the reader of a format; what it needs is loaded only now."""
    if kind == "otlp":
        from causalrel.telemetry.otlp.exports import read_otlp

        return read_otlp
    if kind == "answer":
        from causalrel.telemetry.prometheus.answers import read_answers

        return read_answers
    if kind == "exposition":
        from causalrel.telemetry.prometheus.expositions import read_expositions

        return read_expositions
    if kind in ("spans", "langfuse"):
        from causalrel.telemetry.observations import read_langfuse, read_spans

        return read_spans if kind == "spans" else read_langfuse
    from causalrel.telemetry.load_reports import read_guidellm, read_inference_perf

    return read_guidellm if kind == "guidellm" else read_inference_perf
