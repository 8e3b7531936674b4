"""Documents: JSON of a known shape, one in a file or one a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from causalrel import errors
from causalrel.telemetry.streams import all_bytes, byte_lines


def documents[T](path: Path, decoder: msgspec.json.Decoder[T], what: str, notes: list[str]) -> Iterator[T]:
    r"""Yield the documents of a file, one a line, or the whole file as one.

    Parameters
    ----------
    path : pathlib.Path
        A local file, packed or not.
    decoder : msgspec.json.Decoder
        Decoder of their shape.
    what : str
        What a document is called in errors, with its article.
    notes : list of str
        Takes that the last line was cut short.

    Yields
    ------
    object
        A document.

    Raises
    ------
    CausalrelError
        When a line other than the last one is not whole, or a document has another shape.

    Examples
    --------
    >>> import tempfile
    >>> said = []
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.jsonl"
    ...     _ = path.write_text('{"a": 1}\n{"a": 2}\n{"a"')
    ...     list(documents(path, msgspec.json.Decoder(dict), "an object", said)), said
    ([{'a': 1}, {'a': 2}], ["the last line of 'a.jsonl' was cut short and left out"])
    """
    number, broken = 0, False
    for line in byte_lines(path):
        if not line.strip():
            continue
        if broken and number > 1:
            raise errors.unreadable(path, f"line {number} is not whole", "export it again")
        if broken:
            break
        number += 1
        try:
            yield decoder.decode(line)
        except msgspec.ValidationError as fault:
            raise errors.unreadable(path, f"line {number} is not {what} ({said(fault)})", "export it again") from None
        except (ValueError, RecursionError):
            broken = True
    if broken and number > 1:
        notes.append(f"the last line of '{path.name}' was cut short and left out")
    elif broken:
        yield whole(path, decoder, what)


def whole[T](path: Path, decoder: msgspec.json.Decoder[T], what: str) -> T:
    """Return a file that is one document.

    Parameters
    ----------
    path : pathlib.Path
        A local file, packed or not.
    decoder : msgspec.json.Decoder
        Decoder of its shape.
    what : str
        What the document is called in errors, with its article.

    Returns
    -------
    object
        The document.

    Raises
    ------
    CausalrelError
        When it is not whole, or has another shape.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.json"
    ...     _ = path.write_text('{"a": 1}')
    ...     whole(path, msgspec.json.Decoder(dict), "an object")
    {'a': 1}
    """
    try:
        return decoder.decode(all_bytes(path))
    except (ValueError, RecursionError) as fault:
        raise errors.unreadable(path, f"it is not {what} ({said(fault)})", "export it again") from None


def said(fault: Exception) -> str:
    """Return what is wrong with a document, as a clause.

    Parameters
    ----------
    fault : Exception
        What the decoder raised.

    Returns
    -------
    str
        At most 160 letters of one line.

    Examples
    --------
    >>> said(RecursionError())
    'it is nested too deep'
    """
    if isinstance(fault, RecursionError):
        return "it is nested too deep"
    return str(fault).partition("\n")[0].rstrip(".;")[:160]
