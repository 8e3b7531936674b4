"""Sums: rows of a batch numbered by the cell they fall into, and whole numbers added up in each cell, exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Numbers = NDArray[np.int64]

_WHOLE_BITS, _FLOAT_BITS = 63, 53
_TABLE_BITS = 20
_SPARSE = 4


def number_cells(index: Numbers, hashes: NDArray[np.uint64]) -> tuple[Numbers, Numbers]:
    """Give every cell that rows fall into a number.

    Parameters
    ----------
    index : ndarray of int64, shape (rows,)
        Window of each row, at least one row.
    hashes : ndarray of uint64, shape (rows,)
        Hash of whatever else tells cells apart; of a batch's distinct values no two may share one, which 64 bits make
        sure of but for a chance below 1 in 10**8.

    Returns
    -------
    cells : ndarray of int64, shape (rows,)
        Number of each row's cell, from 0, in order of windows.
    rows : ndarray of int64, shape (cells,)
        One row of each cell.

    Examples
    --------
    >>> number_cells(np.array([5, 4, 5]), np.array([7, 7, 7], dtype=np.uint64))[0].tolist()
    [1, 0, 1]
    """
    known = _distinct(hashes)
    cells = (index - index.min()) * len(known)
    cells += _places(known)(hashes)
    size = int(cells.max()) + 1
    if size > _SPARSE * len(cells):
        kept = _distinct(cells)
        cells = np.searchsorted(kept, cells)
        size = len(kept)
    rows = np.full(size, -1)
    rows[cells] = np.arange(len(cells))
    there = rows >= 0
    if not there.all():
        cells = (np.cumsum(there) - 1)[cells]
    return cells, rows[there]


def count_rows(cells: Numbers, size: int, flags: pl.Series) -> Numbers:
    """Count the rows of each cell whose flag is true.

    Parameters
    ----------
    cells : ndarray of int64, shape (rows,)
        Cell of each row.
    size : int
        Number of cells.
    flags : polars.Series
        Truth value of each row.

    Returns
    -------
    ndarray of int64, shape (size,)
        The counts.

    Examples
    --------
    >>> count_rows(np.array([0, 1, 1]), 2, pl.Series([True, False, True])).tolist()
    [1, 1]
    """
    if not flags.any():
        return np.zeros(size, dtype=np.int64)
    return np.bincount(cells[flags.to_numpy()], minlength=size)


def add_exactly(cells: Numbers, rows: Numbers, values: pl.Series) -> pl.Series:
    """Add up whole numbers in each cell, to the same sum in any order.

    Where sums could leave 64 bits, numbers are cut into pieces of fewer bits, whose sums are put together again.

    Parameters
    ----------
    cells : ndarray of int64, shape (rows,)
        Cell of each row.
    rows : ndarray of int64, shape (cells,)
        Number of rows of each cell.
    values : polars.Series
        Whole numbers, as integers or floats.

    Returns
    -------
    polars.Series
        Int128, one a cell.

    Examples
    --------
    >>> add_exactly(np.array([0, 0]), np.array([2]), pl.Series([2.0**90, 1.0])).item() == 2**90 + 1
    True
    """
    most = 1 << (_WHOLE_BITS - int(rows.max()).bit_length())
    bits = min(_FLOAT_BITS, most.bit_length() - 1)
    left: NDArray[Any] = values.to_numpy()
    made: list[pl.Series] = []
    while max(int(left.max()), -int(left.min())) >= most:
        high = np.floor(left * 2.0**-bits) if left.dtype.kind == "f" else left >> bits
        made.append(_added(cells, len(rows), left - high * left.dtype.type(1 << bits)))
        left = high
    total = _added(cells, len(rows), left)
    for low in reversed(made):
        total = total * pl.Series([1 << bits], dtype=pl.Int128) + low
    return total


def _added(cells: Numbers, size: int, values: NDArray[Any]) -> pl.Series:
    sums = np.zeros(size, dtype=np.int64)
    np.add.at(sums, cells, values.astype(np.int64, copy=False))
    return pl.Series(sums).cast(pl.Int128)


def _distinct(values: NDArray[Any]) -> NDArray[Any]:
    ordered: NDArray[Any] = np.sort(values)
    return np.concatenate([ordered[:1], ordered[1:][ordered[1:] != ordered[:-1]]])


def _places(known: NDArray[np.uint64]) -> Callable[[NDArray[np.uint64]], Numbers]:
    """Return the function from hashes to places: some of the bits where they tell the hashes apart, else a search."""
    for bits in range(2 * len(known).bit_length() - 2, _TABLE_BITS + 1):
        mask = np.uint64((1 << bits) - 1)
        for shift in np.arange(64 - bits, dtype=np.uint64):
            spots = (known >> shift) & mask
            if len(np.unique(spots)) == len(known):
                table = np.zeros(1 << bits, dtype=np.int64)
                table[spots] = np.arange(len(known))
                return lambda wanted: table.take(((wanted >> shift) & mask).view(np.int64))
    return lambda wanted: np.searchsorted(known, wanted)
