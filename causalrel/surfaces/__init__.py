"""Surfaces: a function of parents with draws, a residual, and a band that widens outside what was seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from causalrel.surfaces.domains import Domain
from causalrel.surfaces.forests import Forest
from causalrel.surfaces.processes import Paths

if TYPE_CHECKING:
    from numpy.typing import NDArray

Standing = Literal["seen", "between", "combined", "beyond", "refused"]

#: Half of a 90 % band, in standard deviations.
HALF = 1.6448536269514722


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """A function of the parents of a variable, on the scale its mechanism works on.

    Inside what was seen, draws are spread and residuals scaled so that held-out blocks fall into the 90 % band as often
    as they should. Outside, every draw is moved besides, as far as the function missed when the outermost values of
    that parent were held out.

    Parameters
    ----------
    domain : Domain
        The parents.
    function : Paths or Forest
        The function, of a standardised outcome.
    centre, scale : float
        What the outcome was standardised with.
    noise : float
        Standard deviation of what no parent explains, on the mechanism's scale.
    points : ndarray of float64, shape (m, k)
        Configurations seen, where most were seen more than once.
    repeat : float
        As ``noise``, for one more run of a configuration seen.
    spread : float
        Factor on what draws differ from their mean.
    coarse : ndarray of float64, shape (c, k)
        Combinations seen of the parents that are labels or took few values, 0 in the columns of the others.
    combined : float
        Root mean square error where such a combination was held out.
    low, high : ndarray of float64, shape (n_axes,)
        Root mean square error where the lowest and the highest values of a parent were held out, on the mechanism's
        scale; infinite where that could not be tried, and for the levels of a category.
    shift : ndarray of float64, shape (n_draws,)
        Standard normal number of each draw, by which it is moved outside.

    Examples
    --------
    >>> from causalrel.surfaces.domains import make_domain
    >>> stump = {"feature": np.array([[-1]]), "threshold": np.zeros((1, 1)), "value": np.array([[0.5]])}
    >>> ways = {"left": np.array([[0]]), "right": np.array([[0]]), "chosen": np.zeros((2, 1), dtype=np.int64)}
    >>> made = Surface(
    ...     domain=make_domain({"load": np.array([1.0, 2.0])}),
    ...     function=Forest(**stump, **ways),
    ...     centre=1.0,
    ...     scale=2.0,
    ...     noise=0.1,
    ...     spread=1.0,
    ...     points=np.zeros((0, 1)),
    ...     repeat=0.1,
    ...     coarse=np.zeros((1, 1)),
    ...     combined=0.0,
    ...     low=np.array([np.inf]),
    ...     high=np.array([0.5]),
    ...     shift=np.array([-1.0, 1.0]),
    ... )
    >>> made.predictor({"load": np.array([1.5, 3.0])}).tolist()
    [[2.0, 2.0], [1.5, 2.5]]
    >>> made.standing({"load": np.array([0.5, 1.5, 3.0])}).tolist()
    ['refused', 'between', 'beyond']
    """

    domain: Domain
    function: Paths | Forest
    centre: float
    scale: float
    noise: float
    spread: float
    points: NDArray[np.float64]
    repeat: float
    coarse: NDArray[np.float64]
    combined: float
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    shift: NDArray[np.float64]

    @property
    def n_draws(self) -> int:
        """Number of draws."""
        return len(self.shift)

    def predictor(self, values: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        """Return the function for every row and draw.

        Parameters
        ----------
        values : mapping of str to ndarray
            For each parent a column of shape (n,) or, where it differs by draw, (n, n_draws).

        Returns
        -------
        ndarray of float64, shape (n, n_draws)
            Values on the mechanism's scale.
        """
        mean, apart = self.function.at(self.domain.columns(values))
        made = self.centre + self.scale * (mean + self.spread * apart)
        missed = self.missed(values)
        if missed.any():
            made = made + np.where(np.isfinite(missed), missed, 0.0) * self.shift
        return made

    def missed(self, values: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        """Return how far draws are moved outside what was seen.

        Parameters
        ----------
        values : mapping of str to ndarray
            The parents.

        Returns
        -------
        ndarray of float64, shape (n, 1) or (n, n_draws)
            Standard deviation on the mechanism's scale, 0 inside; infinite where nothing is known.
        """
        total: NDArray[np.float64] = np.zeros((1, 1))
        fixed = [axis for axis in self.domain.fixed if axis.name in values]
        sizes = [*zip(self.low, self.high, strict=True), *((np.inf, np.inf) for _ in fixed)]
        for axis, (low, high) in zip([*self.domain.axes, *fixed], sizes, strict=True):
            column = np.asarray(values[axis.name])
            beyond = axis.beyond(column)
            sized = np.full(column.shape, np.inf) if axis.levels else np.where(axis.under(column), low, high)
            square = np.where(beyond, sized, 0.0) ** 2
            total = total + (square if square.ndim == 2 else square[:, None])
        if self.combined > 0:
            new = ~_among(self.coarse_of(self.domain.columns(values)), self.coarse)
            total = total + self.combined**2 * (new if new.ndim == 2 else new[:, None])
        return np.asarray(np.sqrt(total), dtype=np.float64)

    def coarse_of(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return rows with 0 in the columns of parents that took many values."""
        return x * self.coarse.any(axis=0)

    def standing(self, values: Mapping[str, NDArray[Any]]) -> NDArray[np.str_]:
        """Return what the function relies on at each row.

        Parameters
        ----------
        values : mapping of str to ndarray, shape (n,)
            The parents.

        Returns
        -------
        ndarray of str, shape (n,)
            ``seen`` for a configuration seen, ``between`` for one inside the range of every parent, ``combined`` for
            one of labels never seen together, ``beyond`` outside a range, both with a wider band, or ``refused`` where
            nothing is known.
        """
        missed = self.missed(values)[:, 0]
        inside = np.where(self.known(values), "seen", np.where(missed > 0, "combined", "between"))
        made = np.where(self.domain.beyond(values), "beyond", inside)
        return np.asarray(np.where(np.isfinite(missed), made, "refused"))

    def residual(self, values: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        """Return the standard deviation of what no parent explains, shape (n,), less at configurations seen."""
        return np.where(self.known(values), self.repeat, self.noise)

    def known(self, values: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
        """Return which rows are configurations seen, shape (n,)."""
        return _among(self.domain.columns(values), self.points)


def _among(x: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which rows, shape (..., k), are among some points, shape (m, k)."""
    seen = {point.tobytes() for point in np.round(points, 9) + 0.0}
    flat = np.round(x.reshape(-1, x.shape[-1]), 9) + 0.0
    return np.array([row.tobytes() in seen for row in flat], dtype=np.bool_).reshape(x.shape[:-1])
