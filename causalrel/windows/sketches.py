"""Sketches: values counted in logarithmic buckets of each unit-window, which add up exactly over files and hosts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

Integers = NDArray[np.integer[Any]]
Run = tuple[Integers, Integers]
_Base = tuple[tuple[str, ...], int]

#: Growth of a bucket: its geometric middle is at most sqrt(1.02) - 1 = 0.995 % from any value in it.
GAMMA = 1.02
#: Buckets of a unit-window, not all of them used.
WIDTH = 4096
#: Values below this, zero too, share the bucket of zeros; values of at least the limit are no sensible numbers.
SMALLEST, LIMIT = 1e-9, 1e18

_LOG = math.log(GAMMA)
_FIRST = math.floor(math.log(SMALLEST) / _LOG)
_MISSING, _WRONG = -1, -2
_SORTED = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketCounts:
    """How many values of a column fell into each bucket of each unit and window.

    Parameters
    ----------
    units : tuple of str
        Names of the units.
    first : int
        Index of the window that codes start from.
    codes : ndarray of uint32 or int64, shape (n,)
        ``((window - first) * len(units) + unit) * 4096 + bucket``, increasing.
    counts : ndarray of the shortest unsigned integers that hold them, shape (n,)
        Values in each, at least 1.
    wrong : int
        Values that were not counted: negative, or not finite.

    Examples
    --------
    >>> BucketCounts(units=("a",), first=0, codes=np.array([1046]), counts=np.array([3])).counts.sum().item()
    3
    """

    units: tuple[str, ...]
    first: int
    codes: Integers
    counts: Integers
    wrong: int = 0


def bucket_codes(column: pl.Expr) -> pl.Expr:
    """Return the bucket of each value.

    A positive value ``x`` is in bucket ``floor(log(x) / log(gamma))``, which is told counted from the bucket of 1e-9
    plus 1; smaller values and zeros are in bucket 0. Its estimate is the geometric middle ``gamma ** (i + 1 / 2)``,
    so that the relative error is at most ``sqrt(gamma) - 1``.

    Parameters
    ----------
    column : polars.Expr
        Numbers.

    Returns
    -------
    polars.Expr
        Int16; -1 for null and NaN, -2 for values that are negative or not finite, which includes 1e18 and more.

    References
    ----------
    Masson, Rim and Lee (2019), DDSketch, arXiv:1908.10693, section 2: buckets ``ceil(log(x) / log(gamma))`` with
    ``gamma = (1 + alpha) / (1 - alpha)`` and estimates ``2 * gamma ** i / (gamma + 1)``, here with geometric middles.

    Examples
    --------
    >>> frame = pl.DataFrame({"x": [0.0, 1.0, -1.0, None]})
    >>> frame.select(bucket_codes(pl.col("x")))["x"].to_list()
    [0, 1048, -2, -1]
    """
    value = column.cast(pl.Float64).fill_nan(None)
    code = (value.log() / _LOG - (_FIRST - 1)).cast(pl.Int16, strict=False)
    odd = pl.when(value.is_null()).then(_MISSING).when(value.is_between(0, SMALLEST)).then(0).otherwise(_WRONG)
    return pl.when(value.is_between(SMALLEST, LIMIT, closed="left")).then(code).otherwise(odd.cast(pl.Int16))


def bucket_values() -> NDArray[np.float64]:
    """Return what each bucket is told as: its geometric middle, 0 for the first.

    Returns
    -------
    ndarray of float64, shape (4096,)
        Values by bucket.

    Examples
    --------
    >>> float(bucket_values()[1048].round(3))
    1.01
    """
    places = np.arange(WIDTH) + (_FIRST - 0.5)
    return np.where(np.arange(WIDTH) > 0, np.exp(places * _LOG), 0.0)


def merge_counts(parts: Sequence[BucketCounts]) -> BucketCounts:
    """Add up counts of several files, hosts or spans; the result does not depend on their order.

    Parameters
    ----------
    parts : sequence of BucketCounts
        At least one, of the same column and width of windows.

    Returns
    -------
    BucketCounts
        Their sum, over every unit and window of them.

    Examples
    --------
    >>> one = BucketCounts(units=("a",), first=3, codes=np.array([7]), counts=np.array([2]))
    >>> two = BucketCounts(units=("b",), first=2, codes=np.array([9]), counts=np.array([1]))
    >>> merge_counts([one, two]).codes.tolist()
    [4105, 8199]
    """
    if len(parts) == 1:
        return parts[0]
    units = tuple(sorted({unit for part in parts for unit in part.units}))
    first = min(part.first for part in parts)
    runs: list[Run] = []
    for part in parts:
        moved = _moved(part.codes, (part.units, part.first), (units, first))
        _push(runs, (moved, part.counts))
    codes, counts = _flat(runs)
    return BucketCounts(units=units, first=first, codes=codes, counts=counts, wrong=sum(p.wrong for p in parts))


class BucketHeap:
    """Counts of several columns as batches of requests come.

    Parameters
    ----------
    columns : sequence of str
        Names of the columns.

    Examples
    --------
    >>> heap = BucketHeap(["x"])
    >>> heap.put(pl.DataFrame({"unit": ["a"], "t": [0]}), np.array([0, 0]), [np.array([7, 7], dtype=np.int16)])
    >>> heap.taken()["x"].counts.tolist()
    [2]
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = {name: _Column() for name in columns}
        self._base: _Base = ((), 0)

    def put(self, keys: pl.DataFrame, cells: NDArray[np.int64], buckets: Sequence[NDArray[np.int16]]) -> None:
        """Count a batch.

        Parameters
        ----------
        keys : polars.DataFrame
            ``unit`` and window ``t`` of each cell.
        cells : ndarray of int64, shape (rows,)
            Cell of each row.
        buckets : sequence of ndarray of int16, shape (rows,)
            Bucket of each row, column by column, as :func:`bucket_codes` gives it.
        """
        (units, first), (names, least) = self._base, (keys["unit"].unique(), int(keys["t"].min()))  # type: ignore[arg-type]
        if not units or least < first or not set(names) <= set(units):
            base = tuple(sorted({*units, *names})), min(least, first) if units else least
            for column in self._columns.values():
                column.move(self._base, base)
            self._base = units, first = base
        index = {unit: i for i, unit in enumerate(units)}
        unit = keys["unit"].replace_strict(index, return_dtype=pl.Int64).to_numpy()
        start = ((keys["t"].to_numpy() - first) * len(units) + unit) * WIDTH
        for column, bucket in zip(self._columns.values(), buckets, strict=True):
            column.put(start[cells], bucket)

    def taken(self) -> dict[str, BucketCounts]:
        """Return the counts.

        Returns
        -------
        dict of str to BucketCounts
            By column; the same for any order of the rows and any batches.
        """
        (units, first), made = self._base, {}
        for name, column in self._columns.items():
            codes, counts = column.taken()
            made[name] = BucketCounts(units=units, first=first, codes=codes, counts=counts, wrong=column.wrong)
        return made


class _Column:
    """Codes of a column as they come, counted whenever many have come."""

    def __init__(self) -> None:
        self.wrong = 0
        self._fresh: list[Integers] = []
        self._runs: list[Run] = []

    def put(self, cell: NDArray[np.int64], bucket: NDArray[np.int16]) -> None:
        fine = bucket >= 0
        if fine.all():
            self._fresh.append(_small(cell + bucket))
        else:
            self.wrong += int(np.count_nonzero(bucket == _WRONG))
            self._fresh.append(_small((cell + bucket)[fine]))
        if sum(map(len, self._fresh)) >= _SORTED:
            self._count()

    def _count(self) -> None:
        if self._fresh:
            codes = cast("Integers", np.concatenate(self._fresh))
            self._fresh.clear()
            _push(self._runs, _counted(codes))

    def move(self, old: _Base, new: _Base) -> None:
        self._count()
        self._runs = [(_moved(codes, old, new), counts) for codes, counts in self._runs]

    def taken(self) -> Run:
        self._count()
        return _flat(self._runs)


def _moved(codes: Integers, old: _Base, new: _Base) -> Integers:
    """Return codes as they are among other units and from another first window on; their order stays."""
    index = {unit: i for i, unit in enumerate(new[0])}
    where = np.array([index[unit] for unit in old[0]], dtype=np.int64)
    cell, bucket = np.divmod(codes.astype(np.int64), WIDTH)
    window, unit = np.divmod(cell, max(len(old[0]), 1))
    return _small(((window + (old[1] - new[1])) * len(new[0]) + where[unit]) * WIDTH + bucket)


def _small(values: NDArray[np.int64]) -> Integers:
    """Take half the bytes where the values allow it."""
    fits = not len(values) or int(values.max()) < 1 << 32
    return values.astype(np.uint32) if fits else values


def _short(counts: Integers) -> Integers:
    """Take as few bytes a count as hold the largest."""
    return counts.astype(np.min_scalar_type(int(counts.max()))) if len(counts) else counts


def _counted(codes: Integers) -> Run:
    """Sort codes, in place, and count each."""
    codes.sort()
    starts = _starts(codes)
    return codes[starts], _short(np.diff(starts, append=len(codes)))


def _starts(codes: Integers) -> NDArray[np.int64]:
    """Return where each value of sorted codes begins."""
    return np.flatnonzero(np.concatenate([np.ones(min(len(codes), 1), dtype=np.bool_), codes[1:] != codes[:-1]]))


def _push(runs: list[Run], run: Run) -> None:
    """Put a run on a stack whose runs at least double in length downwards, so that each count is moved few times."""
    runs.append(run)
    while len(runs) > 1 and len(runs[-2][0]) < 2 * len(runs[-1][0]):
        runs.append(_added(runs.pop(), runs.pop()))


def _flat(runs: list[Run]) -> Run:
    while len(runs) > 1:
        runs.append(_added(runs.pop(), runs.pop()))
    return runs[0] if runs else (np.empty(0, dtype=np.uint32), np.empty(0, dtype=np.uint8))


def _added(one: Run, other: Run) -> Run:
    """Add two runs; only the stretch that both cover is sorted anew."""
    if not len(one[0]) or not len(other[0]):
        return one if len(one[0]) else other
    low, high = (one, other) if one[0][0] <= other[0][0] else (other, one)
    start = int(np.searchsorted(low[0], high[0][0]))
    end = int(np.searchsorted(high[0], low[0][-1], side="right"))
    stop = int(np.searchsorted(low[0], high[0][-1], side="right")) if end == len(high[0]) else len(low[0])
    codes = np.concatenate([low[0][start:stop], high[0][:end]])
    counts = np.concatenate([low[1][start:stop], high[1][:end]])
    order = np.argsort(codes, kind="stable")
    codes, counts = codes[order], counts[order]
    starts = _starts(codes)
    wide = np.uint32 if int(counts.sum(dtype=np.int64)) < 1 << 32 else np.int64
    sums = _short(np.add.reduceat(counts, starts, dtype=wide)) if len(codes) else counts
    every = np.concatenate([low[0][:start], codes[starts], low[0][stop:], high[0][end:]])
    before, after = low[1], high[1]
    del one, other, low, high  # the old codes, before the new counts take as much
    return every, np.concatenate([before[:start], sums, before[stop:], after[end:]])
