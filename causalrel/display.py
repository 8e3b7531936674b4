"""Text, HTML and Markdown that are safe to show: labels are data, never markup."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_MARKDOWN = re.compile(r"([\\`*_\[\]<>#|!])")


def plain(value: object) -> str:
    r"""Return one line of text without control, escape or direction-changing characters.

    Parameters
    ----------
    value : object
        Anything with a ``str``.

    Returns
    -------
    str
        Printable text.

    Examples
    --------
    >>> plain("a\x1b[2Jb")
    'a[2Jb'
    """
    return _CONTROL.sub("", str(value).replace("\n", " ").replace("\t", " "))


def markup(value: object) -> str:
    """Return text escaped for HTML, attribute values included.

    Parameters
    ----------
    value : object
        Anything with a ``str``.

    Returns
    -------
    str
        HTML text.

    Examples
    --------
    >>> markup("<b>")
    '&lt;b&gt;'
    """
    return html.escape(plain(value), quote=True)


def markdown(value: object) -> str:
    r"""Return text escaped for Markdown, table cells included.

    Parameters
    ----------
    value : object
        Anything with a ``str``.

    Returns
    -------
    str
        Markdown text that shows the characters it was given.

    Examples
    --------
    >>> markdown("a|b")
    'a\\|b'
    """
    return _MARKDOWN.sub(r"\\\1", plain(value))


def number(value: float | None, digits: int = 3) -> str:
    """Write a number for people: three significant digits, thousands separated.

    Parameters
    ----------
    value : float or None
        The number; None and NaN show as a dash.
    digits : int
        Significant digits.

    Returns
    -------
    str
        Text.

    Examples
    --------
    >>> number(1234.5), number(0.00123), number(None)
    ('1,230', '0.00123', '-')
    """
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "infinite" if value > 0 else "-infinite"
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    text = f"{rounded:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(value: float | None, digits: int = 2) -> str:
    """Write a share as a percentage.

    Parameters
    ----------
    value : float or None
        A share, usually between 0 and 1.
    digits : int
        Significant digits.

    Returns
    -------
    str
        Text.

    Examples
    --------
    >>> percent(0.123), percent(1.08, 3)
    ('12%', '108%')
    """
    return "-" if value is None or math.isnan(value) else f"{number(100 * value, digits)}%"


def when(value: datetime) -> str:
    """Write a UTC time to the minute.

    Parameters
    ----------
    value : datetime.datetime
        A time in UTC.

    Returns
    -------
    str
        Text.

    Examples
    --------
    >>> when(datetime(2026, 2, 11, 9, 0))
    '2026-02-11 09:00'
    """
    return value.strftime("%Y-%m-%d %H:%M")


def length(value: timedelta) -> str:
    """Write a duration for people.

    Parameters
    ----------
    value : datetime.timedelta
        A duration.

    Returns
    -------
    str
        Text in days, hours or minutes.

    Examples
    --------
    >>> length(timedelta(days=7)), length(timedelta(minutes=90))
    ('7 days', '1.5 hours')
    """
    seconds = value.total_seconds()
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            count = seconds / size
            return f"{number(count)} {unit}{'' if count == 1 else 's'}"
    return f"{number(seconds)} seconds"


def level(value: object) -> str:
    """Write a level of a variable the way a person would type it.

    Parameters
    ----------
    value : float, int or str
        The level.

    Returns
    -------
    str
        Text without a trailing ``.0``.

    Examples
    --------
    >>> level(8.0), level("v2")
    ('8', 'v2')
    """
    return f"{value:g}" if isinstance(value, float) else str(value)


def configuration(settings: Mapping[str, object]) -> str:
    """Write what is set together.

    Parameters
    ----------
    settings : mapping of str to level
        Level of each variable.

    Returns
    -------
    str
        Text.

    Examples
    --------
    >>> configuration({"batch_size": 8.0, "model_version": "v2"})
    'batch_size = 8 with model_version = v2'
    """
    return " with ".join(f"{name} = {level(value)}" for name, value in settings.items())


def cell(value: object) -> str:
    """Write one table cell.

    Parameters
    ----------
    value : object
        A number, time, text or None.

    Returns
    -------
    str
        Plain text.

    Examples
    --------
    >>> cell(0.25), cell(None), cell(True)
    ('0.25', '-', 'yes')
    """
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, datetime):
        return when(value)
    return plain(value)


def text_table(names: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Draw a table of aligned columns for a terminal.

    Parameters
    ----------
    names : sequence of str
        Column heads.
    rows : sequence of sequences
        Cells.

    Returns
    -------
    str
        Lines without trailing spaces.

    Examples
    --------
    >>> print(text_table(["slo", "bad"], [["ttft", 3]]))
    slo   bad
    ttft    3
    """
    texts = [[cell(value) for value in row] for row in rows]
    heads = [plain(name) for name in names]
    widths = [max(len(line[i]) for line in [heads, *texts]) for i in range(len(heads))]
    right = [bool(rows) and all(isinstance(r[i], int | float | None) for r in rows) for i in range(len(heads))]
    lines = []
    for line in [heads, *texts]:
        parts = [t.rjust(w) if r else t.ljust(w) for t, w, r in zip(line, widths, right, strict=True)]
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)


def html_table(names: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Draw an HTML table with every cell escaped.

    Parameters
    ----------
    names : sequence of str
        Column heads.
    rows : sequence of sequences
        Cells.

    Returns
    -------
    str
        A ``table`` element.

    Examples
    --------
    >>> html_table(["a"], [["<b>"]])
    '<table><thead><tr><th scope="col">a</th></tr></thead><tbody><tr><td>&lt;b&gt;</td></tr></tbody></table>'
    """
    head = "".join(f'<th scope="col">{markup(name)}</th>' for name in names)
    body = "".join("<tr>" + "".join(f"<td>{markup(cell(v))}</td>" for v in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def frame_html(title: str, frame: pl.DataFrame, rows: int = 12) -> str:
    """Draw a titled frame for a notebook, cut after some rows.

    Parameters
    ----------
    title : str
        One line above the table.
    frame : polars.DataFrame
        What to show.
    rows : int
        Rows shown.

    Returns
    -------
    str
        HTML.

    Examples
    --------
    >>> import polars as pl
    >>> frame_html("t", pl.DataFrame({"a": [1]})).startswith("<p><b>t</b></p><table>")
    True
    """
    shown = html_table(frame.columns, frame.head(rows).rows())
    rest = f"<p>... and {frame.height - rows:,} more rows</p>" if frame.height > rows else ""
    return f"<p><b>{markup(title)}</b></p>{shown}{rest}"
