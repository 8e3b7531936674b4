"""Contrasts: mean outcomes with and without a rollout by a mixed regression, and placebos that must show nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from causalrel.estimates import Check
from causalrel.mechanisms.chains import chain_of
from causalrel.mechanisms.mixed import fit_mixed
from causalrel.mechanisms.regressions import time_groups
from causalrel.networks import expit, make_term
from causalrel.rollouts.panels import FEWEST_EVENTS, Panel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.mechanisms.chains import Chain
    from causalrel.mechanisms.mixed import Mixed

#: A placebo that seems to act at this level fails its check.
LEVEL = 0.05

_MOST_STAGES = 5

#: With fewer units than this, sums over units say nothing of how units vary.
_FEWEST_CLUSTERS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a design found.

    Parameters
    ----------
    parts : tuple of (str, ndarray, ndarray)
        Name of some windows that the rollout reached, and draws of their mean outcome without and with it; the first
        holds all.
    checks : tuple of Check
        Placebos.

    Examples
    --------
    >>> Found(parts=(("all", np.zeros(1), np.ones(1)),), checks=()).parts[0][0]
    'all'
    """

    parts: tuple[tuple[str, NDArray[np.float64], NDArray[np.float64]], ...]
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows of a regression in which some columns follow the rollout.

    Parameters
    ----------
    moved : ndarray of float64, shape (n, j)
        Columns that are zero without the rollout.
    held : ndarray of float64, shape (n, k)
        The others, the intercept first.
    groups : ndarray of int64, shape (k,)
        Group that each held column is shrunk with; -1 for those that are not.
    unit, step : ndarray, shape (n,)
        Index of the unit, and window number.
    bad : ndarray of float64, shape (n,)
        Bad events, or a numeric outcome.
    total : ndarray of float64, shape (n,), or None
        Events; None for a numeric outcome.
    weight : ndarray of float64, shape (n,)
        Events or windows of each row.

    Examples
    --------
    >>> one = np.ones((4, 1))
    >>> Rows(
    ...     moved=one,
    ...     held=one,
    ...     groups=np.array([-1]),
    ...     unit=np.zeros(4),
    ...     step=np.arange(4),
    ...     bad=np.zeros(4),
    ...     total=None,
    ...     weight=np.ones(4),
    ... ).x.shape
    (4, 2)
    """

    moved: NDArray[np.float64]
    held: NDArray[np.float64]
    groups: NDArray[np.int64]
    unit: NDArray[np.intp]
    step: NDArray[np.int64]
    bad: NDArray[np.float64]
    total: NDArray[np.float64] | None
    weight: NDArray[np.float64]

    @property
    def x(self) -> NDArray[np.float64]:
        """The held columns, then those that follow the rollout."""
        return np.column_stack([self.held, self.moved])

    def fit(self, *, shared: bool, watched: NDArray[np.float64]) -> Mixed:
        """Fit the mixed regression.

        Parameters
        ----------
        shared : bool
            Whether units share what they remember.
        watched : ndarray of float64, shape (n, p)
            Placebos, filtered but not fitted.

        Returns
        -------
        Mixed
            The fit.
        """
        chain: Chain = chain_of(self.step, self.unit.astype(str), shared=shared)
        groups = np.append(self.groups, np.full(self.moved.shape[1], -1))
        return fit_mixed(self.x, groups, self.bad, self.total, chain, watched)


def hold(panel: Panel) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return columns of what is held fixed, as splines, as many as the events allow.

    Parameters
    ----------
    panel : Panel
        The windows.

    Returns
    -------
    columns : ndarray of float64, shape (n, k)
        Straight parts, then hinges.
    groups : ndarray of int64, shape (k,)
        Group that each is shrunk with; -1 for straight parts.

    Examples
    --------
    >>> from datetime import timedelta
    >>> panel = Panel(
    ...     columns={"load": np.arange(40.0)},
    ...     units=("a",),
    ...     unit=np.zeros(40, dtype=np.intp),
    ...     step=np.arange(40),
    ...     switch=np.array([20]),
    ...     bad=np.zeros(40),
    ...     total=None,
    ...     width=timedelta(hours=1),
    ... )
    >>> hold(panel)[1].tolist()
    [-1, 0, 0]
    """
    parts, groups = [np.zeros((len(panel.bad), 0))], []
    for count, (name, values) in enumerate(panel.columns.items()):
        if panel.rarer < FEWEST_EVENTS * 2 * (count + 2):
            break
        term = make_term(name, values, category=not np.issubdtype(values.dtype, np.number))
        parts.append(term.columns(values))
        groups += [-1 if term.levels or place == 0 else count for place in range(term.width)]
    used = {group: place for place, group in enumerate(sorted({group for group in groups if group >= 0}))}
    return np.column_stack(parts), np.array([used.get(group, -1) for group in groups], dtype=np.int64)


def stage_edges(count: int, most: float) -> NDArray[np.int64]:
    """Cut the periods since a switch into stages, each about twice as long as the one before.

    Noise that remembers reads a change off its first periods, so an effect that grows would be missed in a long stage.

    Parameters
    ----------
    count : int
        Periods since the switch.
    most : float
        Stages that the data can tell.

    Returns
    -------
    ndarray of int64
        First period of each stage, and the end; five stages at most.

    Examples
    --------
    >>> stage_edges(31, 9).tolist()
    [0, 1, 3, 7, 15, 31]
    """
    stages = int(np.clip(min(most, _MOST_STAGES), 1, max(1, np.log2(count + 1))))
    edges = np.round(count * (2.0 ** np.arange(stages + 1) - 1) / (2.0**stages - 1))
    return np.unique(edges).astype(np.int64)


def averages(
    rows: Rows, fitted: Mixed, parts: Sequence[NDArray[np.bool_]], draws: int, rng: np.random.Generator
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Average the outcome over parts of the rows without and with the rollout, draw by draw.

    Each row keeps its own share of the noise. Draws are spread further where sums over time blocks, or over units where
    there are a dozen, vary more than the model says.

    Parameters
    ----------
    rows : Rows
        The rows.
    fitted : Mixed
        Their regression.
    parts : sequence of ndarray of bool, shape (n,)
        Rows of each average; the first holds all that the rollout reached.
    draws : int
        Number of draws.
    rng : numpy.random.Generator
        Generator handed down.

    Returns
    -------
    list of (ndarray, ndarray), each of shape (draws,)
        Without and with, joint over parts.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> after = np.arange(200) >= 100
    >>> rows = Rows(
    ...     moved=after[:, None].astype(float),
    ...     held=np.ones((200, 1)),
    ...     groups=np.array([-1]),
    ...     unit=np.zeros(200, dtype=np.intp),
    ...     step=np.arange(200),
    ...     bad=2.0 * after + rng.normal(size=200),
    ...     total=None,
    ...     weight=np.ones(200),
    ... )
    >>> fitted = rows.fit(shared=True, watched=np.zeros((200, 0)))
    >>> before, behind = averages(rows, fitted, [after], 500, rng)[0]
    >>> bool(abs((behind - before).mean() - 2) < 0.6)
    True
    """
    mean = fitted.weights @ fitted.means
    held = rows.held.shape[1]
    drawn = fitted.draw(draws, rng)
    drawn = mean + _excess(rows, fitted, mean, parts[0]) * (drawn - mean)
    moves = -rows.moved @ drawn[:, held:].T
    wide = 1 / np.sqrt(1 + np.pi * fitted.spread / 8)
    made = []
    normal = rng.standard_normal(draws)
    for part in parts:
        weight = rows.weight[part] / rows.weight[part].sum()
        eta = fitted.eta[part, None]
        if rows.total is None:
            with_it = np.full(draws, float(weight @ eta[:, 0]))
            made.append((with_it + weight @ moves[part], with_it))
            continue
        share = expit(fitted.eta[part])
        shift = normal / np.sqrt((rows.total[part] * share * (1 - share)).sum())
        without = weight @ expit((eta + moves[part] + shift) * wide[part, None])
        made.append((without, weight @ expit((eta + shift) * wide[part, None])))
    return made


def _excess(rows: Rows, fitted: Mixed, mean: NDArray[np.float64], part: NDArray[np.bool_]) -> float:
    """Return how much wider the mean effect is than the model says."""
    weight = rows.weight * part
    if rows.total is not None:
        share = expit(fitted.eta - rows.moved @ mean[rows.held.shape[1] :])
        weight = weight * share * (1 - share)
    contrast = np.append(np.zeros(rows.held.shape[1]), weight @ rows.moved / max(weight.sum(), 1e-300))
    groups, _ = time_groups(rows.step, fitted.whitened[:, -1])
    found = fitted.excess(contrast, groups)
    if rows.unit.max() + 1 < _FEWEST_CLUSTERS:
        return found
    return max(found, fitted.excess(contrast, rows.unit.astype(np.int64)))


def pretend(fitted: Mixed, place: int) -> float:
    """Return the chance of a placebo column's score were there nothing, given all fitted columns.

    Parameters
    ----------
    fitted : Mixed
        The regression.
    place : int
        Which watched column.

    Returns
    -------
    float
        Two-sided p-value; 1 where the column tells nothing.

    Examples
    --------
    >>> after = np.arange(200.0) >= 150
    >>> rows = Rows(
    ...     moved=after[:, None].astype(float),
    ...     held=np.ones((200, 1)),
    ...     groups=np.array([-1]),
    ...     unit=np.zeros(200, dtype=np.intp),
    ...     step=np.arange(200),
    ...     bad=np.random.default_rng(0).normal(size=200) + 2 * (np.arange(200) > 75),
    ...     total=None,
    ...     weight=np.ones(200),
    ... )
    >>> early = (np.arange(200) > 75).astype(float)
    >>> pretend(rows.fit(shared=True, watched=early[:, None]), 0) < 0.05
    True
    """
    from scipy.stats import t

    left, raw, column = fitted.whitened[:, -1], fitted.watched[:, place], fitted.apart(place)
    if (column**2).sum() < 1e-4 * (raw**2).sum() or not raw.any():
        return 1.0
    freedom = max(1, len(left) - fitted.whitened.shape[1] + 1)
    spread = float((column**2).sum() * max((left**2).sum() / freedom, 1e-300))
    return float(2 * t.sf(abs(float(column @ left)) / np.sqrt(spread), freedom))


def tell_pretended(name: str, what: str, chance: float, meaning: str) -> Check:
    """Tell whether a placebo showed something.

    Parameters
    ----------
    name : str
        Name of the check.
    what : str
        What was pretended.
    chance : float
        Its p-value.
    meaning : str
        What it means where it seems to act.

    Returns
    -------
    Check
        Failed where it seems to act.

    Examples
    --------
    >>> tell_pretended("placebo in time", "a switch a day earlier", 0.4, "something else moved").says
    'a switch a day earlier shows nothing (p = 0.4)'
    """
    shows = f"seems to act (p = {chance:.2g}): {meaning}" if chance < LEVEL else f"shows nothing (p = {chance:.2g})"
    return Check(name=name, passed=chance >= LEVEL, says=f"{what} {shows}")
