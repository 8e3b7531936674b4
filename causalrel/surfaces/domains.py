"""Domains: the parents of a variable as axes, each with its scale and the range it was seen in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: A positive parent whose largest value is this many times its smallest enters on the log scale.
_WIDE = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One parent: a standardised number, on the log scale where it spans a wide range, or one indicator a level.

    Parameters
    ----------
    name : str
        The parent.
    log : bool
        Whether its log enters.
    centre, scale : float
        What a number is standardised with, after the log.
    low, high : float
        Range seen, in the parent's own unit.
    levels : tuple of str
        Levels of a category; empty for a number.

    Examples
    --------
    >>> Axis(name="gpus", log=True, scale=np.log(2.0)).columns(np.array([1.0, 8.0])).round(6).tolist()
    [[0.0], [3.0]]
    """

    name: str
    log: bool = False
    centre: float = 0.0
    scale: float = 1.0
    low: float = 0.0
    high: float = 0.0
    levels: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.levels) or 1

    def columns(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return the columns of this axis.

        Parameters
        ----------
        values : ndarray, any shape
            Values of the parent.

        Returns
        -------
        ndarray of float64, shape ``values.shape + (width,)``
            Columns.
        """
        if self.levels:
            return np.stack([np.asarray(values == level, dtype=np.float64) for level in self.levels], axis=-1)
        numbers = values.astype(np.float64)
        if self.log:
            numbers = np.log(np.maximum(numbers, self.low * 1e-3))
        return ((numbers - self.centre) / self.scale)[..., None]

    def beyond(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Return where values lie outside the range seen, or are of a level never seen.

        Parameters
        ----------
        values : ndarray, any shape
            Values of the parent.

        Returns
        -------
        ndarray of bool, the same shape
            True outside.
        """
        if self.levels:
            return np.asarray(~np.isin(values, self.levels), dtype=np.bool_)
        slack = 1e-9 * max(abs(self.low), abs(self.high))
        return np.asarray((values < self.low - slack) | (values > self.high + slack), dtype=np.bool_)

    def under(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Return where numbers lie in the lower half of the range seen, or below it."""
        numbers = self.columns(values)[..., 0]
        middle = self.columns(np.array([self.low, self.high])).mean()
        return np.asarray(numbers < middle, dtype=np.bool_)


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """The parents of a variable as axes.

    Parameters
    ----------
    axes : tuple of Axis
        One a parent that varied.
    fixed : tuple of Axis
        Parents that never varied, of which only the value seen is known.

    Examples
    --------
    >>> made = make_domain({"batch": np.array([1.0, 2.0, 64.0])})
    >>> made.beyond({"batch": np.array([32.0, 128.0])}).tolist()
    [False, True]
    """

    axes: tuple[Axis, ...]
    fixed: tuple[Axis, ...] = ()

    @property
    def groups(self) -> NDArray[np.int64]:
        """Axis that each column belongs to, shape (k,)."""
        return np.repeat(np.arange(len(self.axes)), [axis.width for axis in self.axes])

    def columns(self, values: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        """Return the columns of all axes side by side.

        Parameters
        ----------
        values : mapping of str to ndarray, shape (n,) or (n, n_draws)
            The parents.

        Returns
        -------
        ndarray of float64, shape (n, k) or (n, n_draws, k)
            Columns; with draws where any parent differs by draw.
        """
        made = [axis.columns(np.asarray(values[axis.name])) for axis in self.axes]
        deep = max(part.ndim for part in made)
        if deep > 2:
            draws = max(part.shape[1] for part in made if part.ndim == deep)
            made = [
                part if part.ndim == deep else np.broadcast_to(part[:, None], (len(part), draws, part.shape[-1]))
                for part in made
            ]
        return np.concatenate(made, axis=-1)

    def beyond(self, values: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
        """Return which rows lie outside the range seen of any parent.

        Parameters
        ----------
        values : mapping of str to ndarray, shape (n,) or (n, n_draws)
            The parents.

        Returns
        -------
        ndarray of bool, shape (n,) or (n, n_draws)
            True outside.
        """
        checked = [*self.axes, *(axis for axis in self.fixed if axis.name in values)]
        made = [axis.beyond(np.asarray(values[axis.name])) for axis in checked]
        deep = max(part.ndim for part in made)
        outside = made[0] if made[0].ndim == deep else made[0][:, None]
        for part in made[1:]:
            outside = outside | (part if part.ndim == deep else part[:, None])
        return outside


def make_domain(values: Mapping[str, NDArray[Any]]) -> Domain:
    """Choose the axes of some parents, from their values.

    Parameters
    ----------
    values : mapping of str to ndarray, shape (n,)
        The parents without nulls; text is a category.

    Returns
    -------
    Domain
        The axes; a positive number that spans a factor of three or more enters on the log scale.

    Examples
    --------
    >>> [axis.log for axis in make_domain({"a": np.array([1.0, 8.0]), "b": np.array([-1.0, 8.0])}).axes]
    [True, False]
    """
    axes = []
    for name, column in values.items():
        if column.dtype.kind == "U":
            axes.append(Axis(name=name, levels=tuple(str(level) for level in np.unique(column))))
            continue
        numbers = column.astype(np.float64)
        low, high = float(numbers.min()), float(numbers.max())
        log = low > 0 and high >= _WIDE * low
        used = np.log(numbers) if log else numbers
        spread = float(np.unique(used).std())
        axes.append(Axis(name=name, log=log, centre=float(used.mean()), scale=spread or 1.0, low=low, high=high))
    varied = [axis.levels[1:] or axis.low < axis.high for axis in axes]
    return Domain(
        axes=tuple(axis for axis, any_other in zip(axes, varied, strict=True) if any_other),
        fixed=tuple(axis for axis, any_other in zip(axes, varied, strict=True) if not any_other),
    )
