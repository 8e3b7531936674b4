"""Tables: raw values with the kind of each column, so that every output shows the same numbers in its own way."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from causalrel import display
from causalrel.estimates import Estimate

Kind = Literal["text", "number", "percent", "interval", "percent_interval", "chance", "time"]

_LARGE_PERCENT = 30.0
_NUMERIC = frozenset({"number", "percent", "interval", "percent_interval", "chance"})


def make_table(
    caption: str, columns: Mapping[str, Kind], rows: Sequence[Sequence[Any]], *, folded: bool = False
) -> dict[str, Any]:
    """Return a table as facts.

    Parameters
    ----------
    caption : str
        What it shows.
    columns : mapping of str to kind
        Head and kind of each column.
    rows : sequence of sequences
        Raw values; an interval is (mean, low, high).
    folded : bool
        Whether a page may fold it away.

    Returns
    -------
    dict
        ``caption``, ``columns``, ``rows``, ``folded``.

    Examples
    --------
    >>> make_table("t", {"left": "percent"}, [[0.5]])["columns"]
    [{'head': 'left', 'kind': 'percent'}]
    """
    return {
        "caption": caption,
        "columns": [{"head": head, "kind": kind} for head, kind in columns.items()],
        "rows": [list(row) for row in rows],
        "folded": folded,
    }


def make_section(key: str, title: str, says: Sequence[str], **more: Any) -> dict[str, Any]:
    """Return a section as facts.

    Parameters
    ----------
    key, title : str
        Its name for programs and for people.
    says : sequence of str
        Its sentences.
    **more : object
        Any of ``figure`` (key), ``figure_says``, ``tables``, ``notes``, ``failed``.

    Returns
    -------
    dict
        Every key, empty where not given.

    Examples
    --------
    >>> make_section("checks", "Checks", ["All held."])["tables"]
    []
    """
    empty: dict[str, Any] = {"figure": "", "figure_says": "", "tables": [], "notes": [], "failed": []}
    return {"key": key, "title": title, "says": list(says), **empty, **more}


def failed_checks(answer: Estimate) -> list[dict[str, str]]:
    """Return the checks an answer failed, as facts.

    Parameters
    ----------
    answer : Estimate
        Any answer.

    Returns
    -------
    list of dict
        ``verdict``, ``name``, ``says``.
    """
    return [{"verdict": answer.verdict, "name": check.name, "says": check.says} for check in answer.failed]


def numeric(column: Mapping[str, str]) -> bool:
    """Return whether a column is aligned to the right."""
    return column["kind"] in _NUMERIC


def cells(table: Mapping[str, Any], joint: str = " to ") -> list[list[str]]:
    """Write every value of a table; the intervals of a column share their decimals.

    Parameters
    ----------
    table : mapping
        What :func:`make_table` returned.
    joint : str
        What stands between the ends of an interval.

    Returns
    -------
    list of list of str
        One line of plain text a cell.

    Examples
    --------
    >>> parts = make_table("t", {"burn": "interval"}, [[(4.169, 4.01, 4.324)], [(-0.004, -0.05, 0.03)]])
    >>> cells(parts, "..")
    [['4.17 [4.01..4.32]'], ['-0.00 [-0.05..0.03]']]
    """
    columns = []
    for number, column in enumerate(table["columns"]):
        values = [row[number] for row in table["rows"]]
        kind = column["kind"]
        if kind in ("interval", "percent_interval"):
            columns.append(_column(values, kind == "percent_interval", joint))
        else:
            columns.append([shown(value, kind) for value in values])
    return [list(row) for row in zip(*columns, strict=True)]


def shown(value: Any, kind: str) -> str:
    """Write one value the way its column asks for.

    Parameters
    ----------
    value : object
        A raw value; None shows as a dash.
    kind : str
        Kind of the column.

    Returns
    -------
    str
        One line of plain text.

    Examples
    --------
    >>> shown((0.62, 0.5, 0.71), "percent_interval"), shown((2.0, 2.0, 2.0), "interval"), shown(0.999, "chance")
    ('62% [50% to 71%]', '2.00', 'above 0.99')
    """
    if value is None:
        return "-"
    if kind == "percent":
        return display.percent(value, 3)
    if kind == "chance":
        return chance(value)
    if kind in ("interval", "percent_interval"):
        return _column([value], kind == "percent_interval", " to ")[0]
    return display.cell(value)


def aligned(values: Sequence[float], *, percent: bool = False) -> list[str]:
    """Write numbers with the same decimals, those that give the largest three digits.

    Parameters
    ----------
    values : sequence of float
        Finite numbers.
    percent : bool
        Whether they are shares to be written as percentages, with two digits at least.

    Returns
    -------
    list of str
        One text a number; a negative one that rounds to zero keeps its sign.

    Examples
    --------
    >>> aligned([4.169, -0.004]), aligned([9256.4, 12.0]), aligned([0.843, 0.004], percent=True)
    (['4.17', '-0.00'], ['9,260', '10'], ['84%', '0%'])
    """
    scale, sign = (100.0, "%") if percent else (1.0, "")
    most = max((abs(scale * value) for value in values), default=0.0)
    exponent = math.floor(math.log10(most)) if most > 0 else 2
    places = 2 - exponent
    if percent:
        places = 0 if most >= _LARGE_PERCENT else max(1, 1 - exponent)
    shown_places = min(6, max(0, places))
    return [f"{round(scale * value, min(places, 6)):,.{shown_places}f}{sign}" for value in values]


def _column(values: Sequence[Any], percent: bool, joint: str) -> list[str]:
    parts = [part for value in values if value is not None for part in value]
    texts = iter(aligned(parts, percent=percent))
    return ["-" if value is None else _interval([next(texts) for _ in value], joint) for value in values]


def chance(probability: float) -> str:
    """Write a probability with two decimals, never as certainty.

    Parameters
    ----------
    probability : float
        Between 0 and 1.

    Returns
    -------
    str
        Text.

    Examples
    --------
    >>> chance(0.0), chance(0.314), chance(1.0)
    ('below 0.01', '0.31', 'above 0.99')
    """
    if probability < 0.005:
        return "below 0.01"
    return "above 0.99" if probability > 0.995 else f"{probability:.2f}"


def _interval(parts: Sequence[str], joint: str) -> str:
    mean, low, high = parts
    return mean if mean == low == high else f"{mean} [{low}{joint}{high}]"
