"""Tables: the states of a variable, and the chance of each given the states of its causes, now and before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from causalrel import errors

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: A variable so many windows before.
Parent = tuple[str, int]

_FEW = 8
_MOST_STATES = 50
_MOST_CELLS = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class States:
    """The states of one variable.

    Parameters
    ----------
    labels : tuple of str
        Names of the states, in order.
    cuts : tuple of float
        Where numbers are cut, in the variable's unit: state ``i`` ends below ``cuts[i]``. Empty for a category.
    values : tuple of float
        The number that each state stands for, where there are few; empty otherwise.
    low, high : float or None
        Smallest and largest number seen, where numbers were cut.

    Examples
    --------
    >>> States(labels=("< 2", ">= 2"), cuts=(2.0,), low=0.0, high=9.0).codes(pl.Series([1.0, None, 2.0]), "x").tolist()
    [0, -1, 1]
    """

    labels: tuple[str, ...]
    cuts: tuple[float, ...] = ()
    values: tuple[float, ...] = ()
    low: float | None = None
    high: float | None = None

    def codes(self, column: pl.Series, name: str) -> NDArray[np.int64]:
        """Return the number of each value's state, -1 where it is null.

        Parameters
        ----------
        column : polars.Series, length n
            Values.
        name : str
            The variable, named in errors.

        Returns
        -------
        ndarray of int64, shape (n,)
            Codes.

        Raises
        ------
        CausalrelError
            When a value is of no state.
        """
        if not self.cuts and not self.values:
            return self._matched(column.cast(pl.String), {label: i for i, label in enumerate(self.labels)}, name)
        numbers = column.cast(pl.Float64).fill_nan(None)
        if self.values:
            return self._matched(numbers, {value: i for i, value in enumerate(self.values)}, name)
        found = np.searchsorted(np.array(self.cuts), numbers.fill_null(0.0).to_numpy(), side="right")
        codes: NDArray[np.int64] = np.where(numbers.is_null().to_numpy(), -1, found).astype(np.int64)
        return codes

    def place(self, value: object, name: str) -> int:
        """Return the number of one state, written as its label or as a value of the variable.

        Parameters
        ----------
        value : object
            A label, or a number.
        name : str
            The variable, named in errors.

        Returns
        -------
        int
            Its place among the labels.

        Raises
        ------
        CausalrelError
            When there is no such state, or the number lies outside what was seen.
        """
        if isinstance(value, str) and value in self.labels:
            return self.labels.index(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            number = float(value)
            if number in self.values:
                return self.values.index(number)
            if self.cuts and self.low is not None and self.high is not None and self.low <= number <= self.high:
                return int(np.searchsorted(np.array(self.cuts), number, side="right"))
        seen = f" (numbers from {self.low:g} to {self.high:g} were seen)" if self.low is not None else ""
        raise errors.bad_question(
            f"'{str(value)[:80]}' is no state of '{name}'{seen}", f"its states are {', '.join(self.labels)}"
        )

    def _matched(self, column: pl.Series, places: dict[Any, int], name: str) -> NDArray[np.int64]:
        unknown = sorted(value for value in set(column.drop_nulls().to_list()) if value not in places)
        if unknown:
            shown = ", ".join(str(value)[:40] for value in unknown[:3])
            raise errors.bad_data(
                f"'{name}' is {shown} in some windows, and the network knows only {', '.join(self.labels)}",
                "fit the network to windows that hold it",
            )
        return np.array([-1 if value is None else places[value] for value in column.to_list()], dtype=np.int64)


def find_states(column: pl.Series, name: str, asked: int | Sequence[float] | None = None) -> States:
    """Choose the states of a variable from its values.

    Labels are states as they are; numbers with few values too, where no cuts are asked for. Other numbers are cut at
    equally spaced quantiles.

    Parameters
    ----------
    column : polars.Series
        Values.
    name : str
        The variable, named in errors.
    asked : int, sequence of float or None
        Number of states by quantiles, or the cuts; None for three states.

    Returns
    -------
    States
        The states.

    Raises
    ------
    CausalrelError
        When there are no values, too many labels, or cuts are not rising numbers.

    Examples
    --------
    >>> find_states(pl.Series([float(i) for i in range(100)]), "x", 2).labels
    ('< 49.5', '>= 49.5')
    >>> find_states(pl.Series(["b", "a", None]), "x").labels
    ('a', 'b')
    """
    values = column.drop_nulls()
    if not column.dtype.is_numeric():
        labels = sorted(values.cast(pl.String).unique().to_list())
        if not 1 <= len(labels) <= _MOST_STATES:
            raise errors.refused(
                f"a table of '{name}'", f"it has {len(labels)} labels, and between 1 and {_MOST_STATES} can be states"
            )
        return States(labels=tuple(labels))
    numbers = values.cast(pl.Float64).drop_nans().to_numpy()
    if not len(numbers):
        raise errors.refused(f"a table of '{name}'", "it has no values")
    distinct = np.unique(numbers)
    if asked is None and len(distinct) <= _FEW:
        return States(labels=tuple(f"{value:.12g}" for value in distinct), values=tuple(map(float, distinct)))
    if asked is None or isinstance(asked, int):
        cuts = _quantile_cuts(numbers, 3 if asked is None else asked, name)
    else:
        cuts = np.array(asked, dtype=np.float64)
        if not len(cuts) or not np.isfinite(cuts).all() or (np.diff(cuts) <= 0).any() or len(cuts) >= _MOST_STATES:
            raise errors.bad_question(f"the cuts of '{name}' are not rising numbers", "write such as (0.5, 2)")
    if not len(cuts):
        return States(labels=(f"{distinct[0]:.12g}",), values=(float(distinct[0]),))
    return States(
        labels=cut_labels(cuts), cuts=tuple(map(float, cuts)), low=float(distinct[0]), high=float(distinct[-1])
    )


def _quantile_cuts(numbers: NDArray[np.float64], count: int, name: str) -> NDArray[np.float64]:
    if not 2 <= count <= _MOST_STATES:
        raise errors.bad_question(f"{count} states of '{name}' cannot be cut", f"ask for 2 to {_MOST_STATES}")
    raw = np.quantile(numbers, np.arange(1, count) / count)
    rounded = np.unique([float(f"{cut:.6g}") for cut in raw])
    made: NDArray[np.float64] = rounded[(rounded > numbers.min()) & (rounded <= numbers.max())]
    return made


def cut_labels(cuts: NDArray[np.float64]) -> tuple[str, ...]:
    """Name the states between cuts.

    Examples
    --------
    >>> cut_labels(np.array([1.0, 2.5]))
    ('< 1', '1 to 2.5', '>= 2.5')
    """
    text = [f"{cut:.12g}" for cut in cuts]
    inner = [f"{low} to {high}" for low, high in pairwise(text)]
    return (f"< {text[0]}", *inner, f">= {text[-1]}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The chance of each state of a variable given the states of its parents, as Dirichlet distributions.

    Parameters
    ----------
    states : States
        States of the variable.
    parents : tuple of (str, int)
        Parents and how many windows before; those of the same window first.
    mean : ndarray of float64, shape (states of each parent..., states)
        Mean chances; the last axis sums to 1.
    weight : ndarray of float64, shape (states of each parent...)
        Events that each row is worth, prior included; endless where it is known.
    first_mean, first_weight : ndarray of float64
        The same where the windows before are missing: given the parents of the same window alone.

    Examples
    --------
    >>> coin = States(labels=("heads", "tails"))
    >>> table = known_table(coin, (), np.array([0.25, 0.75]))
    >>> table.drawn(np.random.default_rng(0), 2)[0].tolist()
    [[0.25, 0.75], [0.25, 0.75]]
    """

    states: States
    parents: tuple[Parent, ...]
    mean: NDArray[np.float64]
    weight: NDArray[np.float64]
    first_mean: NDArray[np.float64]
    first_weight: NDArray[np.float64]

    @property
    def known(self) -> bool:
        """Whether every chance is known, so that all draws are alike."""
        return bool(np.isinf(self.weight).all() and np.isinf(self.first_weight).all())

    @property
    def lags(self) -> int:
        """The most windows between a parent and the variable."""
        return max((lag for _, lag in self.parents), default=0)

    def drawn(self, rng: np.random.Generator, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Draw chances.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of randomness.
        count : int
            Number of draws; 0 for the mean alone.

        Returns
        -------
        tuple of ndarray of float64, shape (max(count, 1), ...)
            Later and first windows.
        """
        pairs = ((self.mean, self.weight), (self.first_mean, self.first_weight))
        later, first = (_dirichlet(rng, mean, weight, count) for mean, weight in pairs)
        return later, later if self.lags == 0 else first


def known_table(
    states: States,
    parents: Sequence[Parent],
    mean: NDArray[np.float64],
    first: NDArray[np.float64] | None = None,
) -> Table:
    """Make a table whose chances are known.

    Parameters
    ----------
    states : States
        States of the variable.
    parents : sequence of (str, int)
        Parents and lags.
    mean : ndarray of float64
        Chances.
    first : ndarray of float64, optional
        Chances where windows before are missing; of no use without a lag.

    Returns
    -------
    Table
        A table of endless weight.

    Examples
    --------
    >>> known_table(States(labels=("a", "b")), (), np.array([0.5, 0.5])).known
    True
    """
    start = mean if first is None or not any(lag for _, lag in parents) else first
    return Table(
        states=states,
        parents=tuple(parents),
        mean=mean,
        weight=np.full(mean.shape[:-1], np.inf),
        first_mean=start,
        first_weight=np.full(start.shape[:-1], np.inf),
    )


def check_cells(name: str, shape: Sequence[int]) -> None:
    """Refuse a table of too many cells, before there is one.

    Examples
    --------
    >>> check_cells("x", (2, 2))
    """
    cells = 1
    for size in shape:
        cells *= int(size)
    if cells > _MOST_CELLS:
        raise errors.over_limit(
            f"the table of '{name}' would have {cells:,} cells, more than {_MOST_CELLS:,}",
            "give it fewer parents or fewer states",
        )


def _dirichlet(
    rng: np.random.Generator, mean: NDArray[np.float64], weight: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    if count == 0 or np.isinf(weight).all():
        return np.broadcast_to(mean, (max(count, 1), *mean.shape))
    shape = np.where(np.isinf(weight), 1.0, weight)[..., None] * mean
    gammas = np.maximum(rng.standard_gamma(np.broadcast_to(shape, (count, *mean.shape))), 1e-300)
    drawn = gammas / gammas.sum(axis=-1, keepdims=True)
    made: NDArray[np.float64] = np.where(np.isinf(weight)[..., None], mean, drawn)
    return made
