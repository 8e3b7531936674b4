"""Networks: a graph with one mechanism per variable, parameter draws included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from causalrel import display, errors
from causalrel.estimates import Check, Origin
from causalrel.graphs import Graph
from causalrel.slos import SLO
from causalrel.surfaces import Surface
from causalrel.tables import Table
from causalrel.variables import Variable

if TYPE_CHECKING:
    from numpy.typing import NDArray

Form = Literal["observed", "regression", "event-rate", "linear", "quadratic", "process", "forest", "table"]

#: A column of values as numpy holds it: numbers, or text for categories.
Columns = Mapping[str, "NDArray[Any]"]

_MAX_EXPONENT = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """How one parent enters a linear predictor.

    A number enters as a linear spline (its standardised value and one hinge a knot), a category as one indicator a
    level beyond the first.

    Parameters
    ----------
    name : str
        The parent.
    centre, scale : float
        What a number is standardised with.
    knots : tuple of float
        Hinges, in the parent's own unit.
    levels : tuple of str
        Levels of a category, the reference first; empty for a number.

    Examples
    --------
    >>> Term(name="load", centre=2.0, scale=1.0, knots=(3.0,)).columns(np.array([2.0, 4.0])).tolist()
    [[0.0, 0.0], [2.0, 1.0]]
    """

    name: str
    centre: float = 0.0
    scale: float = 1.0
    knots: tuple[float, ...] = ()
    levels: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.levels) - 1 if self.levels else 1 + len(self.knots)

    def columns(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return the columns of this term.

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
            parts = [np.asarray(values == level, dtype=np.float64) for level in self.levels[1:]]
            return np.stack(parts, axis=-1) if parts else np.zeros((*values.shape, 0))
        made: NDArray[np.float64] = values.astype(np.float64)[..., None] - np.array([self.centre, *self.knots])
        np.maximum(made[..., 1:], 0.0, out=made[..., 1:])
        made /= self.scale
        return made

    def weighted(self, values: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the columns times their coefficients, draw by draw.

        Parameters
        ----------
        values : ndarray, shape (n,) or (n, n_draws)
            Values of the parent.
        weights : ndarray of float64, shape (n_draws, width)
            Coefficients.

        Returns
        -------
        ndarray of float64, shape (n, n_draws)
            Part of the linear predictor.
        """
        if values.ndim == 1:
            return self.columns(values) @ weights.T
        slopes = weights.T / self.scale
        total = values * slopes[0]
        total -= np.array([self.centre, *self.knots]) @ slopes
        above = np.empty_like(total)
        for knot, slope in zip(self.knots, slopes[1:], strict=True):
            np.maximum(values, knot, out=above)
            above *= slope
            total += above
        made: NDArray[np.float64] = total
        return made


def make_term(name: str, values: NDArray[Any], *, category: bool, knots: int = 2) -> Term:
    """Choose how a parent enters, from its values.

    Parameters
    ----------
    name : str
        The parent.
    values : ndarray, shape (n,)
        Its values without nulls.
    category : bool
        Whether they are labels.
    knots : int
        Hinges at equally spaced quantiles; a number with few distinct values gets one at each inner value, so the
        term is saturated.

    Returns
    -------
    Term
        The term.

    Examples
    --------
    >>> make_term("batch_size", np.array([8.0, 16.0, 8.0, 32.0]), category=False).knots
    (16.0,)
    """
    if category:
        levels, counts = np.unique(values.astype(str), return_counts=True)
        first = int(np.argmax(counts))
        rest = [str(level) for i, level in enumerate(levels) if i != first]
        return Term(name=name, levels=(str(levels[first]), *rest))
    numbers = values.astype(np.float64)
    spread = float(numbers.std())
    distinct = np.unique(numbers)
    if len(distinct) <= knots + 2:
        inner = distinct[1:-1]
    else:
        inner = np.unique(np.quantile(numbers, np.arange(1, knots + 1) / (knots + 1)))
        inner = inner[(inner > distinct[0]) & (inner < distinct[-1])]
    return Term(
        name=name,
        centre=float(numbers.mean()),
        scale=spread if spread > 0 else 1.0,
        knots=tuple(float(knot) for knot in inner),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mechanism:
    """How one variable follows from its parents.

    Parameters
    ----------
    variable : Variable
        The variable.
    form : {"observed", "regression", "event-rate", "linear", "quadratic", "process", "forest", "table"}
        Taken from the data as it is; linear in the terms plus a residual (on the log scale where ``log``); a logistic
        share of bad events; a surface plus a residual; or chances of states.
    terms : tuple of Term
        The parents.
    draws : ndarray of float64, shape (n_draws, 1 + sum of widths)
        Joint draws of the coefficients, the intercept first; None where observed or a surface.
    surface : Surface or None
        The function of a form without terms.
    log : bool
        Whether a regression works on the log of its variable plus ``offset``.
    offset : float
        Added before the log, so that zeros have one.
    dispersion : float
        Pearson dispersion of an event rate (1 is binomial), or the residual standard deviation of a regression.
    explained : float
        Share of deviance (event rate), variance (regression) or entropy (table) explained on the windows it was
        fitted to.
    correlation : float
        Correlation between the events of one window beyond its parents (event rate): counts are beta-binomial.
    table : Table or None
        Chances of states, where the form is ``table``.

    Examples
    --------
    >>> Mechanism(variable=Variable(name="load", role="workload"), form="observed").parents
    ()
    """

    variable: Variable
    form: Form
    terms: tuple[Term, ...] = ()
    draws: NDArray[np.float64] | None = None
    surface: Surface | None = None
    log: bool = False
    offset: float = 0.0
    dispersion: float = 1.0
    explained: float = 0.0
    correlation: float = 0.0
    table: Table | None = None

    @property
    def parents(self) -> tuple[str, ...]:
        """Names of the parents that enter; of a table also how many windows before."""
        if self.table is not None:
            return tuple(f"{name} (lag {lag})" if lag else name for name, lag in self.table.parents)
        if self.surface is not None:
            return tuple(axis.name for axis in self.surface.domain.axes)
        return tuple(term.name for term in self.terms)

    @property
    def additive(self) -> bool:
        """Whether the variable is what its parents say plus a residual."""
        return self.form not in ("observed", "event-rate")

    @property
    def n_draws(self) -> int:
        """Number of parameter draws; 0 where observed."""
        if self.surface is not None:
            return self.surface.n_draws
        return 0 if self.draws is None else self.draws.shape[0]

    def predictor(self, values: Columns) -> NDArray[np.float64]:
        """Return the linear predictor for every row and draw.

        Parameters
        ----------
        values : mapping of str to ndarray
            For each parent a column of shape (n,) or, where it differs by draw, (n, n_draws).

        Returns
        -------
        ndarray of float64, shape (n, n_draws)
            Linear predictor.

        Raises
        ------
        ValueError
            When the variable is observed and so has no predictor.
        """
        if self.surface is not None:
            return self.surface.predictor(values)
        if self.draws is None:
            raise ValueError(f"{self.variable.name} is taken from the data and has no predictor")
        total = self.draws[:, 0][None, :]
        at = 1
        for term in self.terms:
            total = total + term.weighted(np.asarray(values[term.name]), self.draws[:, at : at + term.width])
            at += term.width
        return total

    def scaled(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Bring values of a regression's variable to the scale it works on."""
        return np.log(values + self.offset) if self.log else values

    def unscaled(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Bring values from the scale a regression works on back to the variable's unit."""
        if not self.log:
            return values
        return np.maximum(np.exp(np.clip(values, -_MAX_EXPONENT, _MAX_EXPONENT)) - self.offset, 0.0)


def expit(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logistic function, safe for large arguments.

    Parameters
    ----------
    values : ndarray of float64
        Log odds.

    Returns
    -------
    ndarray of float64
        Probabilities.

    Examples
    --------
    >>> expit(np.array([0.0, -1000.0])).tolist()
    [0.5, 0.0]
    """
    made: NDArray[np.float64] = np.tanh(0.5 * values)
    made += 1.0
    made *= 0.5
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A graph with one mechanism per variable.

    Parameters
    ----------
    graph : Graph
        The graph, its variables all observed.
    mechanisms : tuple of Mechanism
        One a variable, causes before effects.
    slos : tuple of SLO
        The SLOs among its outcomes.
    width : datetime.timedelta
        Width of the windows it was fitted to.
    checks : tuple of Check
        What was tested while fitting.
    origin : Origin
        Where it comes from.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> network = cr.fit(windows, cr.load_graph("llm-serving").project(windows.names))
    >>> network.mechanism("ttft").form
    'event-rate'
    """

    graph: Graph
    mechanisms: tuple[Mechanism, ...]
    slos: tuple[SLO, ...]
    width: timedelta
    checks: tuple[Check, ...]
    origin: Origin

    @property
    def n_draws(self) -> int:
        """Number of parameter draws."""
        return max((mechanism.n_draws for mechanism in self.mechanisms), default=0)

    def mechanism(self, name: str) -> Mechanism:
        """Return the mechanism of one variable.

        Parameters
        ----------
        name : str
            A variable.

        Returns
        -------
        Mechanism
            Its mechanism.

        Raises
        ------
        CausalrelError
            When the network has no such variable.
        """
        for mechanism in self.mechanisms:
            if mechanism.variable.name == name:
                return mechanism
        raise errors.unknown_variable(name, "the network", [m.variable.name for m in self.mechanisms])

    def causes(self, names: Sequence[str]) -> tuple[Mechanism, ...]:
        """Return the mechanisms that some variables follow from, themselves included, causes first.

        Parameters
        ----------
        names : sequence of str
            Variables.

        Returns
        -------
        tuple of Mechanism
            In causal order.
        """
        wanted = set(names)
        for mechanism in reversed(self.mechanisms):
            if mechanism.variable.name in wanted:
                wanted |= set(mechanism.parents)
        return tuple(m for m in self.mechanisms if m.variable.name in wanted)

    def frame(self) -> pl.DataFrame:
        """Return the mechanisms.

        Returns
        -------
        polars.DataFrame
            One row a variable: ``variable``, ``role``, ``form``, ``parents``, ``explained``, ``dispersion``.
        """
        rows = [
            [m.variable.name, m.variable.role, m.form, ", ".join(m.parents), m.explained, m.dispersion]
            for m in self.mechanisms
        ]
        names = ["variable", "role", "form", "parents"]
        schema = {**dict.fromkeys(names, pl.String), "explained": pl.Float64, "dispersion": pl.Float64}
        return pl.DataFrame(rows, schema=schema, orient="row")

    def __repr__(self) -> str:
        forms = ", ".join(f"{m.variable.name} ({m.form})" for m in self.mechanisms)
        return display.plain(f"Network on {self.graph.name}: {forms}; {self.n_draws} draws")

    def _repr_html_(self) -> str:
        return display.frame_html(f"Network on {self.graph.name}", self.frame(), rows=40)
