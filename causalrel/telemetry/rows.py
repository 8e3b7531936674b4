"""Rows gathered slice by slice: records of any fields become a frame without all of them being held twice."""

from __future__ import annotations

from typing import Any

import polars as pl

from causalrel.telemetry.prometheus import number_text

#: Rows a slice; a slice becomes a frame as soon as it is full.
SLICE = 8192

#: Columns that fields may become; what more there are is left out and counted.
MOST_COLUMNS = 256


class Rows:
    """Records as they come, gathered into a frame.

    A column of whole numbers is one of whole numbers, with fractions one of floats, with true and false one of them;
    a column of more than one kind is text.

    Examples
    --------
    >>> rows = Rows()
    >>> rows.add({"a": 1, "b": "x"})
    >>> rows.add({"a": 0.5})
    >>> rows.frame().rows()
    [(1.0, 'x'), (0.5, None)]
    """

    def __init__(self) -> None:
        self.count = 0
        self.left_out: set[str] = set()
        self._names: set[str] = set()
        self._waiting: list[dict[str, Any]] = []
        self._frames: list[pl.DataFrame] = []

    def add(self, row: dict[str, Any]) -> None:
        """Take one more row."""
        if not self._names.issuperset(row):
            self._meet(row)
        self._waiting.append(row)
        self.count += 1
        if len(self._waiting) >= SLICE:
            self._settle()

    def frame(self) -> pl.DataFrame:
        """Return all rows, in the order in which they came."""
        self._settle()
        if not self._frames:
            return pl.DataFrame()
        kinds: dict[str, set[pl.DataType]] = {}
        for made in self._frames:
            for name, kind in made.schema.items():
                kinds.setdefault(name, set()).add(kind)
        mixed = {name for name, found in kinds.items() if len(found) > 1 and pl.String() in found}
        frames = [one.with_columns(_written(one[name]) for name in mixed & set(one.columns)) for one in self._frames]
        self._frames = [pl.concat(frames, how="diagonal_relaxed", rechunk=False)]
        return self._frames[0]

    def _meet(self, row: dict[str, Any]) -> None:
        for name in [name for name in row if name not in self._names]:
            if len(self._names) < MOST_COLUMNS:
                self._names.add(name)
            else:
                del row[name]
                if len(self.left_out) < 100_000:
                    self.left_out.add(name)

    def _settle(self) -> None:
        if not self._waiting:
            return
        there = dict.fromkeys(name for row in self._waiting for name in row)
        made = [_series(name, [row.get(name) for row in self._waiting]) for name in there]
        self._frames.append(pl.DataFrame(made) if made else pl.DataFrame({"": [None] * len(self._waiting)}))
        self._waiting = []


def _series(name: str, values: list[Any]) -> pl.Series:
    kinds = set(map(type, values)) - {type(None)}
    if kinds == {int}:
        try:
            return pl.Series(name, values, dtype=pl.Int64)
        except (OverflowError, TypeError):
            return pl.Series(name, values, dtype=pl.Int128)
    if kinds == {float}:
        return pl.Series(name, values, dtype=pl.Float64)
    if kinds == {int, float}:
        return pl.Series(name, [None if value is None else float(value) for value in values], dtype=pl.Float64)
    if len(kinds) <= 1 and kinds <= {str, bool}:
        return pl.Series(name, values)
    return pl.Series(name, [None if value is None else text_of(value) for value in values], dtype=pl.String)


def _written(column: pl.Series) -> pl.Series:
    if column.dtype == pl.String:
        return column
    return pl.Series(column.name, [None if one is None else text_of(one) for one in column], dtype=pl.String)


def text_of(value: Any) -> str:
    """Return a value as text, the same for the same value.

    Parameters
    ----------
    value : str, bool, int or float
        Any scalar.

    Returns
    -------
    str
        Itself; ``true`` or ``false``; or the shortest number that reads back the same.

    Examples
    --------
    >>> text_of(True), text_of(0.5), text_of(2.0), text_of("a")
    ('true', '0.5', '2', 'a')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    return number_text(value) if isinstance(value, float) else str(value)
