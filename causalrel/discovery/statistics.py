"""Statistics: one pass over the rows to what every score and every resample reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from causalrel.dependences import residuals
from causalrel.discovery.autocorrelation import Memory, memory_of
from causalrel.discovery.columns import Columns
from causalrel.discovery.scores import bent
from causalrel.mechanisms.regressions import time_groups

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.discovery.search import Facts

_CELLS = 400
_CELLS_A_BLOCK = 4
#: Most rows that are all ranked, how many quantiles of so many stand for the ranks of more, and the widest score.
_RANKED, _KNOTS, _WIDEST = 2**16, 65, 4.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """Cells of time, of which runs are drawn: a circular moving-block bootstrap on the grid of cells.

    Runs are as long as four integrated autocorrelation times of the slowest column, all units of a window together
    (Politis and Romano 1992, in Exploring the Limits of Bootstrap). Without time, a cell is a random share of the rows.

    Parameters
    ----------
    cell : ndarray of int64, shape (n,)
        Cell of each row.
    count : int
        Cells.
    run : int
        Cells a block.
    memory : Memory or None
        How long the columns remember; None where rows have no time.

    Examples
    --------
    >>> blocks = Blocks(cell=np.array([0, 0, 1, 2]), count=3, run=1)
    >>> int(blocks.drawn(np.random.default_rng(0)).sum())
    3
    """

    cell: NDArray[np.int64]
    count: int
    run: int
    memory: Memory | None = None

    def drawn(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw how often each cell is in a resample.

        Parameters
        ----------
        rng : numpy.random.Generator
            Generator handed down.

        Returns
        -------
        ndarray of int64, shape (count,)
            Times each cell was drawn.
        """
        starts = rng.integers(self.count, size=-(-self.count // self.run))
        cells = (starts[:, None] + np.arange(self.run)) % self.count
        return np.bincount(cells.ravel(), minlength=self.count)

    def coarse(self, *, timed: bool) -> Blocks:
        """Return one cell a run of time; a single cell where rows have no time."""
        width = self.run if timed else self.count
        return Blocks(cell=self.cell // width, count=-(-self.count // width), run=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Distinct rows of codes, and how often each is there in each cell of time.

    Parameters
    ----------
    codes : ndarray of int16, shape (p, k)
        Distinct rows.
    cards : ndarray of int64, shape (p,)
        States of each variable.
    row, cell, times : ndarray of int64, shape (m,)
        A distinct row, a cell, and how often the one is in the other.
    blocks : Blocks
        The cells.

    Examples
    --------
    >>> blocks = Blocks(cell=np.zeros(3, int), count=1, run=1)
    >>> counts = counted([np.array([0, 1, 0]), np.array([0, 1, 0])], blocks)
    >>> counts.codes.tolist(), counts.times.tolist()
    ([[0, 1], [0, 1]], [2, 1])
    """

    codes: NDArray[np.int16]
    cards: NDArray[np.int64]
    row: NDArray[np.int64]
    cell: NDArray[np.int64]
    times: NDArray[np.int64]
    blocks: Blocks

    def facts(self) -> Facts:
        """Return what a score reads of the data.

        Returns
        -------
        Facts
            The distinct rows and how often they are there.
        """
        from causalrel.discovery.search import Facts

        weights = np.bincount(self.row, weights=self.times).astype(np.int64)
        return Facts.of_codes(self.codes, weights, self.cards, self.blocks.memory)

    def resampled(self, rngs: Sequence[np.random.Generator]) -> list[Facts]:
        """Return what a score reads of resamples, which are counted together.

        Parameters
        ----------
        rngs : sequence of numpy.random.Generator
            Generators handed down, one a resample.

        Returns
        -------
        list of Facts
            One a resample.
        """
        from causalrel.discovery.search import Facts
        from causalrel.discovery.tables import Tables

        order = np.argsort(self.cell, kind="stable")
        bounds = np.searchsorted(self.cell[order], np.arange(self.blocks.count + 1))
        draws = np.array([self.blocks.drawn(rng) for rng in rngs]).T
        codes, times = self.codes[:, self.row[order]], self.times[order]
        tables = Tables.of(codes, times, self.cards, bounds, draws, self.blocks.memory)
        return [Facts.of_tables(tables, draw + 1) for draw in range(len(rngs))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Products:
    """Sums and cross-products of columns in each cell.

    A number is its normal score, so that no tail rules (Liu, Lafferty and Wasserman 2009, arXiv:0903.0649); a category
    is an indicator of each state but the commonest.

    Parameters
    ----------
    rows : ndarray of float64, shape (b,)
        Rows of each cell.
    sums : ndarray of float64, shape (b, d)
        Sums of the columns.
    products : ndarray of float64, shape (b, d, d)
        Sums of their products.
    starts : ndarray of int64, shape (p + 1,)
        First column of each variable.
    blocks : Blocks
        The cells.

    Examples
    --------
    >>> made = summed([np.array([0.0, 1.0, 2.0]), np.array([0, 1, 1])], Blocks(cell=np.zeros(3, int), count=1, run=1))
    >>> made.starts.tolist(), made.rows.tolist()
    ([0, 1, 2], [3.0])
    """

    rows: NDArray[np.float64]
    sums: NDArray[np.float64]
    products: NDArray[np.float64]
    starts: NDArray[np.int64]
    blocks: Blocks

    def facts(self) -> Facts:
        """Return what a score reads of the data.

        Returns
        -------
        Facts
            The correlations of the columns.
        """
        return self._weighted(np.ones(self.blocks.count))

    def resampled(self, rngs: Sequence[np.random.Generator]) -> list[Facts]:
        """Return what a score reads of resamples.

        Parameters
        ----------
        rngs : sequence of numpy.random.Generator
            Generators handed down, one a resample.

        Returns
        -------
        list of Facts
            One a resample.
        """
        return [self._weighted(self.blocks.drawn(rng).astype(np.float64)) for rng in rngs]

    def _weighted(self, times: NDArray[np.float64]) -> Facts:
        from causalrel.discovery.search import Facts

        total = float(times @ self.rows)
        mean = times @ self.sums / total
        spread = np.tensordot(times, self.products, axes=1) / total - np.outer(mean, mean)
        scale = np.sqrt(np.maximum(np.diag(spread), 1e-12))
        correlation = spread / np.outer(scale, scale)
        np.fill_diagonal(correlation, 1.0)
        return Facts.of_products(correlation, self.starts, total, self.blocks.memory)


def blocks_of(columns: Columns, seed: int, parts: Sequence[NDArray[np.float64]] | None = None) -> Blocks:
    """Return the cells of time of some rows; random shares of the rows where they have no time.

    Cells are as long as what the past leaves of the columns remembers, which is all of them without lags.

    Parameters
    ----------
    columns : Columns
        The rows.
    seed : int
        Seed of the random shares.
    parts : sequence of ndarray of float64, shape (n, d), optional
        The columns as they are summed or counted; as they are summed where not given.

    Returns
    -------
    Blocks
        The cells.

    Examples
    --------
    >>> import polars as pl
    >>> from causalrel.discovery.columns import columns_of
    >>> rows = columns_of(pl.DataFrame({"a": [0.5, 1.5] * 100, "b": [0.0, 1.0, 1.0, 0.0] * 50}), None)
    >>> blocks_of(rows, 0).count
    200
    """
    if columns.step is None or columns.unit is None:
        rows = len(columns.values[0])
        count = min(rows, _CELLS)
        return Blocks(cell=np.random.default_rng([seed, 3]).permutation(rows) % count, count=count, run=1)
    parts = parts or parts_of(columns.values)
    now, past = parts[: len(columns.names)], parts[len(columns.names) :]
    if past:
        now = [residuals(part, np.hstack(past)) for part in now]
    memory = memory_of([*now, *past], columns.step, columns.unit)
    length = max(time_groups(columns.step, column)[1] for part in now for column in part.T)
    step = columns.step - columns.step.min()
    width = max(-(-length // _CELLS_A_BLOCK), -(-(int(step.max()) + 1) // _CELLS))
    cell = np.unique(step // width, return_inverse=True)[1].astype(np.int64)
    return Blocks(cell=cell, count=int(cell.max()) + 1, run=-(-length // width), memory=memory)


def counted(codes: Sequence[NDArray[np.int64]], blocks: Blocks) -> Counts:
    """Count the distinct rows of codes, cell by cell.

    Parameters
    ----------
    codes : sequence of ndarray of int64, shape (n,)
        One array a variable.
    blocks : Blocks
        Cells of the rows.

    Returns
    -------
    Counts
        The counts.

    Examples
    --------
    >>> blocks = Blocks(cell=np.zeros(3, int), count=1, run=1)
    >>> counted([np.array([0, 1, 1]), np.array([1, 0, 0])], blocks).codes.tolist()
    [[0, 1], [1, 0]]
    """
    key = np.zeros(len(codes[0]), np.int64)
    for column in codes:
        key = key * (int(column.max()) + 1) + column
        if key.max() > 2**40:
            key = np.unique(key, return_inverse=True)[1].astype(np.int64)
    _, first, row = np.unique(key, return_index=True, return_inverse=True)
    both, times = np.unique(row * blocks.count + blocks.cell, return_counts=True)
    return Counts(
        codes=np.array([column[first] for column in codes], dtype=np.int16),
        cards=np.array([column.max() + 1 for column in codes], dtype=np.int64),
        row=both // blocks.count,
        cell=both % blocks.count,
        times=times,
        blocks=blocks,
    )


def summed(values: Sequence[NDArray[Any]], blocks: Blocks) -> Products:
    """Sum the columns and their products, cell by cell.

    Parameters
    ----------
    values : sequence of ndarray, shape (n,)
        Numbers (float64), or codes of a category (int64).
    blocks : Blocks
        Cells of the rows.

    Returns
    -------
    Products
        The sums.

    Examples
    --------
    >>> made = summed([np.array([0.0, 1.0]), np.array([1.0, 0.0])], Blocks(cell=np.array([0, 1]), count=2, run=1))
    >>> made.products.shape
    (2, 2, 2)
    """
    readers = [_reader(column) for column in values]
    order = np.argsort(blocks.cell, kind="stable")
    bounds = np.searchsorted(blocks.cell[order], np.arange(blocks.count + 1))
    starts = np.cumsum([0, *(len(read(order[:1])) for read in readers)])
    sums = np.empty((blocks.count, starts[-1]))
    products = np.empty((blocks.count, starts[-1], starts[-1]))
    for cell, (low, high) in enumerate(pairwise(bounds)):
        piece = np.vstack([read(order[low:high]) for read in readers])
        sums[cell], products[cell] = piece.sum(axis=1), piece @ piece.T
    rows = np.diff(bounds).astype(np.float64)
    return _standardised(Products(rows=rows, sums=sums, products=products, starts=starts, blocks=blocks))


def _standardised(made: Products) -> Products:
    """Shift and scale columns to mean 0 and variance 1."""
    total = made.rows.sum()
    mean = made.sums.sum(axis=0) / total
    scale = np.maximum(np.sqrt(np.maximum(np.diag(made.products.sum(axis=0)) / total - mean**2, 0.0)), 1e-300)
    crossed = made.sums[:, :, None] * mean
    shifted = made.products - crossed - crossed.transpose(0, 2, 1) + made.rows[:, None, None] * np.outer(mean, mean)
    return replace(
        made,
        sums=(made.sums - made.rows[:, None] * mean) / scale,
        products=shifted / scale[:, None] / scale,
    )


def parts_of(values: Sequence[NDArray[Any]]) -> list[NDArray[np.float64]]:
    """Return the normal scores of numbers, and indicators of the states of categories but the commonest, centred.

    Parameters
    ----------
    values : sequence of ndarray, shape (n,)
        Numbers (float64), or codes of a category (int64).

    Returns
    -------
    list of ndarray of float64, shape (n, d)
        Columns of each variable.

    Examples
    --------
    >>> parts_of([np.array([0, 0, 1])])[0].round(2).ravel().tolist()
    [-0.33, -0.33, 0.67]
    """
    made = []
    for column in values:
        part = _reader(column)(np.arange(len(column))).T
        made.append(np.asarray(part - part.mean(axis=0), dtype=np.float64))
    return made


def _reader(column: NDArray[Any]) -> Callable[[NDArray[np.intp]], NDArray[np.float64]]:
    """Return what turns rows into their normal scores, or into indicators."""
    if column.dtype == np.int64:
        counts = np.bincount(column)
        states = np.delete(np.flatnonzero(counts), np.argmax(counts[counts > 0]))[:, None]
        return lambda rows: (column[rows] == states).astype(np.float64)
    from scipy.special import ndtri

    if len(column) > _RANKED:
        knots, levels = _knots(column)
        return lambda rows: bent(column, rows, knots, levels)[None]
    ranks = pl.Series(column).rank().to_numpy()
    scores = np.asarray(ndtri((ranks - 0.5) / len(ranks)))
    return lambda rows: scores[rows][None]


def _knots(column: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return quantiles of some rows, as far apart in normal scores, and their scores.

    Scores off by a share d of their spread let through a share d squared of the correlation of what they separate.
    """
    from scipy.special import ndtr, ndtri

    some = np.sort(column[np.random.default_rng(len(column)).integers(len(column), size=_RANKED)])
    values = np.unique(some[(ndtr(np.linspace(-_WIDEST, _WIDEST, _KNOTS)) * _RANKED).astype(np.int64)])
    ranks = (np.searchsorted(some, values) + np.searchsorted(some, values, side="right")) / 2
    return values, np.asarray(ndtri(ranks / _RANKED))
