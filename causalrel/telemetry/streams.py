"""Local files as bytes: what they really hold, unpacked if they are gzip or zstd."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from causalrel import errors

#: Endings that say a file is packed; what it holds is told by its first bytes.
PACKED_ENDINGS = (".gz", ".zst")

#: Bytes that text may unpack to, and how many times its packed size they may be where they are many.
MAX_BYTES = 8 << 30
MAX_RATIO = 100

_FEW_BYTES = 64 << 20

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
_PIECE = 1 << 20
_BOM = b"\xef\xbb\xbf"


def ending_of(path: Path) -> str:
    """Return the ending of a file's name, without that of its packing.

    Parameters
    ----------
    path : pathlib.Path
        A file.

    Returns
    -------
    str
        Such as ``.csv``; in lower case.

    Examples
    --------
    >>> ending_of(Path("requests.csv.gz"))
    '.csv'
    """
    name = path.name.lower()
    for packed in PACKED_ENDINGS:
        name = name.removesuffix(packed)
    return Path(name).suffix


def magic_of(head: bytes) -> str | None:
    """Return what the first bytes of a file say it is; None for text.

    Parameters
    ----------
    head : bytes
        At least its first 16 bytes.

    Returns
    -------
    str or None
        A name to put in a sentence.

    Examples
    --------
    >>> magic_of(b"PAR1....")
    'Parquet'
    """
    found = next((what for magic, what in _MAGIC.items() if head.startswith(magic)), None)
    if found is None and head[:1] == b"\x80" and head[1:2] in {b"\x02", b"\x03", b"\x04", b"\x05"}:
        return "a pickle, which can run code"
    return found


def head_of(path: Path, size: int = 16) -> bytes:
    """Return the first bytes of a file as they lie on disk; of no file but a regular one that is not empty.

    Parameters
    ----------
    path : pathlib.Path
        A local file.
    size : int
        How many.

    Returns
    -------
    bytes
        As many as there are.

    Raises
    ------
    CausalrelError
        When it is missing, empty, or no regular file.

    Examples
    --------
    >>> len(head_of(Path(__file__)))
    16
    """
    if not path.exists():
        raise errors.file_not_found(path)
    if not path.is_file():
        raise errors.unreadable(path, "it is not a regular file", "export it to a file first")
    if path.stat().st_size == 0:
        raise errors.unreadable(path, "the file is empty", "export it again")
    with path.open("rb") as file:
        return file.read(size)


@contextmanager
def unpacked(path: Path) -> Iterator[BinaryIO]:
    """Open a file to read its bytes, unpacked if they are gzip or zstd; damage becomes one sentence.

    Parameters
    ----------
    path : pathlib.Path
        A local file.

    Yields
    ------
    BinaryIO
        Its bytes.

    Raises
    ------
    CausalrelError
        When it cannot be opened, or is cut short or damaged.

    Examples
    --------
    >>> with unpacked(Path(__file__)) as file:
    ...     file.readline()[:3]
    b'\"\"\"'
    """
    packing = magic_of(head_of(path))
    try:
        if packing == "gzip":
            with gzip.open(path, "rb") as file:
                yield cast("BinaryIO", file)
        elif packing == "zstd":
            import io

            import pyarrow as pa

            with pa.input_stream(str(path), compression="zstd") as packed, io.BufferedReader(packed, _PIECE) as file:
                yield cast("BinaryIO", file)
        else:
            with path.open("rb") as file:
                yield file
    except (EOFError, OSError, zlib.error) as fault:
        said = str(fault).strip().partition("\n")[0].rstrip(".;")[:120]
        raise errors.unreadable(path, f"it is damaged ({said})", "export it again") from None


def byte_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file, unpacked, without a byte order mark.

    Parameters
    ----------
    path : pathlib.Path
        A local file.

    Yields
    ------
    bytes
        A line with its end.

    Raises
    ------
    CausalrelError
        When it cannot be read, or unpacks to more than ``MAX_BYTES`` or far more than it is packed.

    Examples
    --------
    >>> next(byte_lines(Path(__file__)))[:3]
    b'\"\"\"'
    """
    packed = magic_of(head_of(path)) is not None
    most = min(MAX_BYTES, max(_FEW_BYTES, MAX_RATIO * path.stat().st_size)) if packed else MAX_BYTES
    room = most
    with unpacked(path) as file:
        first = True
        while line := file.readline(room + 1):
            room -= len(line)
            if room < 0:
                shown = f"{most / (1 << 20):,.0f} MiB of text"
                more = f", over {MAX_RATIO} times its packed size" if most < MAX_BYTES else ""
                raise errors.over_limit(f"'{path}' holds more than {shown}{more}", "unpack it or split the export")
            yield line.removeprefix(_BOM) if first else line
            first = False


def all_bytes(path: Path) -> bytearray:
    """Return a whole file, unpacked, without a byte order mark, never held twice.

    Parameters
    ----------
    path : pathlib.Path
        A local file.

    Returns
    -------
    bytearray
        Its bytes.

    Raises
    ------
    CausalrelError
        When it cannot be read, or unpacks to more than ``MAX_BYTES``.

    Examples
    --------
    >>> bytes(all_bytes(Path(__file__))[:3])
    b'\"\"\"'
    """
    made = bytearray()
    for line in byte_lines(path):
        made += line
    return made


def text_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a UTF-8 file, or say where it is not one.

    Parameters
    ----------
    path : pathlib.Path
        A local file.

    Yields
    ------
    str
        A line with its end.

    Raises
    ------
    CausalrelError
        When it cannot be read, holds a NUL, or is not UTF-8.

    Examples
    --------
    >>> next(text_lines(Path(__file__)))[:3]
    '\"\"\"'
    """
    offset = 0
    for raw in byte_lines(path):
        if b"\x00" in raw:
            raise errors.unreadable(path, f"byte {offset + raw.index(0)} is NUL", "export it as plain UTF-8 text")
        try:
            yield raw.decode()
        except UnicodeDecodeError as fault:
            said = f"byte {offset + fault.start} is not UTF-8"
            raise errors.unreadable(path, said, "save the file as UTF-8") from None
        offset += len(raw)
