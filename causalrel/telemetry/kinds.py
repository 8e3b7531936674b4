"""Kinds of files: which format a file holds, told by what is in it."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Literal

from causalrel.telemetry.files import ENDINGS
from causalrel.telemetry.prometheus.expositions import is_exposition
from causalrel.telemetry.streams import all_bytes, byte_lines, ending_of, head_of, magic_of

Kind = Literal["table", "otlp", "answer", "exposition", "guidellm", "inference-perf", "spans", "langfuse", "unknown"]

_HEAD_LINES = 40
_HEAD_BYTES = 1 << 16


def kind_of(path: Path) -> tuple[Kind, str]:
    r"""Tell the format of a file.

    Parameters
    ----------
    path : pathlib.Path
        A local file, packed or not.

    Returns
    -------
    kind : str
        Its format; ``unknown`` for one that is no telemetry.
    found : str
        What it holds, as a clause, where it is not known.

    Raises
    ------
    CausalrelError
        When it is missing, empty or damaged.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.txt"
    ...     _ = path.write_text("# TYPE up gauge\nup 1\n")
    ...     kind_of(path)[0]
    'exposition'
    """
    ending = ending_of(path)
    if magic_of(head_of(path)) not in (None, "gzip", "zstd") or ending in (".parquet", ".csv"):
        return ("table", "") if ending in ENDINGS else ("unknown", f"files ending in '{path.suffix}' are not known")
    lines = _first_lines(path)
    first = next((line for line in lines if line.strip()), b"")
    if first.lstrip()[:1] in (b"{", b"["):
        return _json_kind(path, first, ending)
    texts = b"".join(lines).decode(errors="replace").splitlines()
    if is_exposition(texts[: _HEAD_LINES - 1] or texts):
        return "exposition", ""
    if any(text.startswith(("load_summary:", "successes:")) for text in texts):
        return "inference-perf", ""
    return ("table", "") if ending in ENDINGS else ("unknown", f"files ending in '{path.suffix}' are not known")


def _first_lines(path: Path) -> list[bytes]:
    """Return the first lines, as far as they go into the head; the first one whole."""
    made: list[bytes] = []
    size = 0
    for line in itertools.islice(byte_lines(path), _HEAD_LINES):
        size += len(line)
        made.append(line)
        if size > _HEAD_BYTES:
            break
    return made


def _json_kind(path: Path, first: bytes, ending: str) -> tuple[Kind, str]:
    """Tell the format of JSON by the keys of its first object."""
    import msgspec

    table: Kind = "table" if ending == ".jsonl" else "unknown"
    text: bytes | bytearray = first
    for attempt in range(2):
        try:
            keys = _keys(text)
            break
        except (ValueError, RecursionError) as fault:
            if attempt == 0:
                text = all_bytes(path)
                continue
            if isinstance(fault, msgspec.ValidationError):
                return table, "it is JSON, though no object"
            begun = _begun(text)
            return (table if begun == "unknown" else begun), "it is JSON that is not whole"
    for kind, needed in _KEYS:
        if needed <= keys or any(key in keys for key in needed if kind == "otlp"):
            return kind, ""
    shown = ", ".join(f"'{key[:30]}'" for key in sorted(keys)[:5]) or "no keys"
    return table, f"it is JSON with {shown}, which is no telemetry"


_KEYS: tuple[tuple[Kind, frozenset[str]], ...] = (
    ("otlp", frozenset({"resourceSpans", "resourceMetrics", "resourceLogs"})),
    ("answer", frozenset({"status", "data"})),
    ("answer", frozenset({"status", "error", "errorType"})),
    ("guidellm", frozenset({"benchmarks"})),
    ("inference-perf", frozenset({"load_summary", "successes"})),
    ("inference-perf", frozenset({"request", "response", "start_time", "end_time"})),
    ("langfuse", frozenset({"trace", "observations"})),
    ("spans", frozenset({"spans", "trace_id"})),
    ("spans", frozenset({"span_id", "trace_id", "attributes"})),
)


def _keys(text: bytes | bytearray) -> set[str]:
    import msgspec

    if text.lstrip()[:1] == b"[":
        listed = msgspec.json.decode(text, type=list[msgspec.Raw])
        text = bytes(listed[0]) if listed else b"{}"
    return set(msgspec.json.decode(text, type=dict[str, msgspec.Raw]))


def _begun(text: bytes | bytearray) -> Kind:
    """Tell the format of a document that is cut short by what it begins with, so that its reader says what is wrong."""
    head = text[:400]
    if any(f'"{key}"'.encode() in head for key in ("resourceSpans", "resourceMetrics", "resourceLogs")):
        return "otlp"
    return "answer" if b'"resultType"' in head else "unknown"
