"""Learners: forms fitted to parts of some rows, so that each can foretell the rows it was not shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from causalrel.surfaces import HALF
from causalrel.surfaces.domains import Domain, make_domain
from causalrel.surfaces.forests import Forest
from causalrel.surfaces.kernels import Kernel, Rows, Trend, fit_kernel, gather
from causalrel.surfaces.processes import Paths, condition

if TYPE_CHECKING:
    from numpy.typing import NDArray

Smooth = Literal["linear", "quadratic", "process", "forest"]

#: Forms beside the spline, the simplest first.
FORMS: tuple[Smooth, ...] = ("linear", "quadratic", "process", "forest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Rows that forms are fitted to.

    Parameters
    ----------
    values : mapping of str to ndarray, shape (n,)
        The parents.
    domain : Domain
        Their axes.
    outcome : ndarray of float64, shape (n,)
        The variable, on the scale forms work on.
    fold : ndarray of int64, shape (n,)
        Fold of each row; rows of a block share one.
    memory : float
        Rows that tell as much as one independent row.
    signs : mapping of str to int
        Of parents that only ever raise (1) or lower (-1) the variable.

    Examples
    --------
    >>> made = straight_line()
    >>> made.where(made.fold == 0).outcome.tolist()
    [0.0, 5.0, 10.0, 15.0, 20.0, 25.0]
    """

    values: Mapping[str, NDArray[Any]]
    domain: Domain
    outcome: NDArray[np.float64]
    fold: NDArray[np.int64]
    memory: float
    signs: Mapping[str, int] = field(default_factory=dict)

    @property
    def forms(self) -> tuple[Smooth, ...]:
        """Forms that can be fitted to it: trees alone where a parent has a sign."""
        return ("forest",) if self.signs else FORMS

    def where(self, mask: NDArray[np.bool_]) -> Sample:
        """Return some of the rows."""
        values = {name: column[mask] for name, column in self.values.items()}
        return replace(self, values=values, outcome=self.outcome[mask], fold=self.fold[mask])


def straight_line() -> Sample:
    """Return thirty rows on a line, in five folds, to try a form on.

    Returns
    -------
    Sample
        The outcome is ``load`` itself.

    Examples
    --------
    >>> straight_line().outcome[:3].tolist()
    [0.0, 1.0, 2.0]
    """
    load = np.arange(30.0)
    domain = make_domain({"load": load})
    return Sample(values={"load": load}, domain=domain, outcome=load, fold=np.arange(30) % 5, memory=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A form fitted to rows: mean, uncertainty and residual at any row, on a standardised outcome.

    Parameters
    ----------
    predict : callable
        From rows to mean and standard deviation of the function.
    noise : float
        Standard deviation of what no parent explains; 0 where the form does not tell, as trees do not.
    draw : callable
        From a number of draws to draws of the function.

    Examples
    --------
    >>> made = straight_line()
    >>> learn("linear", made, 0)(made).noise < 0.05
    True
    """

    predict: Callable[[NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]]
    noise: float
    draw: Callable[[int], Paths | Forest]


Learner = Callable[[Sample], Fitted]

#: Distinct rows up to which a part of them has a kernel of its own.
_SEARCHED_AGAIN = 300

#: Values that a number of few values takes, and combinations held out, at most.
_FEW = 3
_TRIED = 12


def learn(form: Smooth, sample: Sample, seed: int) -> Learner:
    """Return how a form is fitted to parts of some rows.

    Beyond 300 distinct rows a process takes its kernel from all of them.


    Parameters
    ----------
    form : {"linear", "quadratic", "process", "forest"}
        The form.
    sample : Sample
        All rows.
    seed : int
        Seed of what is random in it.

    Returns
    -------
    callable
        From rows to a fit.

    Examples
    --------
    See :class:`Fitted`.
    """
    if form == "forest":
        return lambda part: _forest(part, seed)
    numeric = np.array([not sample.domain.axes[axis].levels for axis in sample.domain.groups])
    trend: Trend = "quadratic" if form == "quadratic" else "linear"
    rows = _rows(sample)

    def search(of: Rows, start: Kernel | None) -> Kernel:
        rng = np.random.default_rng([seed, 11])
        return fit_kernel(of, sample.domain.groups, numeric, trend, smooth=form == "process", start=start, rng=rng)

    kernel = search(rows, None)
    if len(rows.y) > _SEARCHED_AGAIN:
        return lambda part: _process(part, kernel, seed)
    return lambda part: _process(part, kernel if part is sample else search(_rows(part), kernel), seed)


def _rows(sample: Sample) -> Rows:
    return gather(sample.domain.columns(sample.values), sample.outcome, sample.memory)


def _process(part: Sample, kernel: Kernel, seed: int) -> Fitted:
    posterior = condition(kernel, _rows(part), np.random.default_rng([seed, 12]))
    return Fitted(
        predict=posterior.predict,
        noise=kernel.noise,
        draw=lambda count: posterior.draw(count, np.random.default_rng([seed, 13])),
    )


def _forest(part: Sample, seed: int) -> Fitted:
    from causalrel.bridges.sklearn import fit_forest

    x, leaf = part.domain.columns(part.values), max(1, len(part.outcome) // 500)

    signs = np.array([part.signs.get(axis.name, 0) for axis in part.domain.axes])[part.domain.groups]

    def grow(count: int) -> Forest:
        return fit_forest(x, part.outcome, signs=signs, leaf=leaf, draws=count, rng=np.random.default_rng([seed, 14]))

    grown = grow(100)

    def predict(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        mean, apart = grown.at(rows)
        return mean[:, 0], apart.std(axis=1)

    return Fitted(predict=predict, noise=0.0, draw=grow)


def held_out(learner: Learner, sample: Sample) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Foretell every row from the folds that do not hold it.

    Parameters
    ----------
    learner : callable
        How the form is fitted.
    sample : Sample
        The rows.

    Returns
    -------
    mean, sd : ndarray of float64, shape (n,)
        What was foretold, noise included.
    noise : float
        Standard deviation of the noise in it.

    Examples
    --------
    >>> made = straight_line()
    >>> mean, sd, noise = held_out(learn("linear", made, 0), made)
    >>> bool(np.abs(mean - made.outcome).max() < 0.1)
    True
    """
    mean, sd = np.zeros((2, len(sample.outcome)))
    told = 0.0
    for fold in np.unique(sample.fold):
        mine = sample.fold == fold
        fitted = learner(sample.where(~mine))
        mean[mine], sd[mine] = fitted.predict(sample.domain.columns(sample.where(mine).values))
        told = fitted.noise
    noise = told or untold_noise(sample.outcome - mean, sd)
    return mean, np.hypot(sd, noise), noise


def untold_noise(miss: NDArray[np.float64], sd: NDArray[np.float64]) -> float:
    """Return the noise that makes a 90 % band hold as many held-out rows as it should.

    Parameters
    ----------
    miss, sd : ndarray of float64, shape (n,)
        Errors, and the standard deviations of the function there.

    Returns
    -------
    float
        Standard deviation of the noise.

    Examples
    --------
    >>> round(untold_noise(np.random.default_rng(0).normal(size=9999), np.zeros(9999)), 1)
    1.0
    """
    size = np.sort(np.sqrt(np.maximum((miss / HALF) ** 2 - sd**2, 0.0)))
    return max(float(np.quantile(size, 0.9)), 1e-6)


def outermost(learner: Learner, sample: Sample) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how far a form misses the lowest and the highest values of each parent where they are held out.

    Parameters
    ----------
    learner : callable
        How the form is fitted.
    sample : Sample
        The rows.

    Returns
    -------
    low, high : ndarray of float64, shape (n_axes,)
        Root mean square errors; infinite for a category, and where fewer than three other values are left.

    Examples
    --------
    >>> made = straight_line()
    >>> bool((np.concatenate(outermost(learn("linear", made, 0), made)) < 0.1).all())
    True
    """
    ends = np.full((2, len(sample.domain.axes)), np.inf)
    for i, axis in enumerate(sample.domain.axes):
        column = sample.values[axis.name]
        if axis.levels or len(np.unique(column)) < 4:
            continue
        for j, edge in enumerate(np.quantile(column, (0.05, 0.95), method="nearest")):
            out = column <= edge if j == 0 else column >= edge
            if len(np.unique(column[~out])) < 3:
                continue
            mean, _ = learner(sample.where(~out)).predict(sample.domain.columns(sample.where(out).values))
            ends[j, i] = float(np.sqrt(np.mean((mean - sample.outcome[out]) ** 2)))
    return ends[0], ends[1]


def combinations(learner: Learner, sample: Sample) -> tuple[NDArray[np.float64], float]:
    """Return how far a form misses a combination of labels and of numbers of few values, where it is held out.

    Parameters
    ----------
    learner : callable
        How the form is fitted.
    sample : Sample
        The rows.

    Returns
    -------
    coarse : ndarray of float64, shape (c, k)
        Combinations, 0 in the columns of numbers of many values.
    missed : float
        Root mean square error over those whose every value is left in another; 0 where there is none.

    Examples
    --------
    >>> coarse, missed = combinations(learn("linear", straight_line(), 0), straight_line())
    >>> coarse.tolist(), missed
    ([[0.0]], 0.0)
    """
    few = [bool(axis.levels) or len(np.unique(sample.values[axis.name])) <= _FEW for axis in sample.domain.axes]
    x = sample.domain.columns(sample.values) * np.array(few)[sample.domain.groups]
    coarse, inverse = np.unique(np.round(x, 9) + 0.0, axis=0, return_inverse=True)
    inverse = inverse.reshape(-1)
    missed: list[float] = []
    for one in np.unique(np.linspace(0, len(coarse) - 1, _TRIED).astype(np.int64)):
        out = inverse == one
        rest, mine = sample.where(~out), sample.where(out)
        if out.all() or make_domain(rest.values).beyond(mine.values).any():
            continue
        mean, _ = learner(rest).predict(sample.domain.columns(mine.values))
        missed.append(float(np.mean((mean - mine.outcome) ** 2)))
    return coarse, float(np.sqrt(np.mean(missed))) if missed else 0.0
