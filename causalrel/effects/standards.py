"""Standardisation: the regression, and the mean outcome had every row been at one level, draw by draw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from causalrel import errors
from causalrel.effects.designs import Design, Level, layout, matrix, neighbours, rough
from causalrel.networks import expit
from causalrel.regressions import Coefficients, fit_line, fit_rate, time_groups

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.mixed import Mixed

#: Rows whose outcome is worked out at once, over all draws.
_CHUNK = 4096

#: With fewer units a coefficient than this, a covariance clustered by unit is too small: units are left out in turn.
_MANY_A_COLUMN = 20


def regress(data: Design, rows: NDArray[np.intp]) -> Coefficients | Mixed:
    """Fit the outcome on the design: noise modelled as a chain, or a covariance clustered by units.

    Where the treatment was switched within units and there are ten events of the rarer kind, or where many units have
    one row each, the regression is mixed (:func:`causalrel.mixed.fit_mixed`); else clustered, with degrees of freedom
    by the scarcer of groups and assignments.

    Parameters
    ----------
    data : Design
        The rows.
    rows : ndarray of intp, shape (m,)
        Rows used.

    Returns
    -------
    Coefficients or Mixed
        The fit.

    Raises
    ------
    CausalrelError
        When there are fewer rows than coefficients.

    Examples
    --------
    >>> import causalrel as cr
    >>> from causalrel.effects.designs import make_design
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> data = make_design(windows, windows.variable("batch_size"), "tpot", ["load"], (4.0, 8.0))
    >>> 0 <= regress(data, np.arange(len(data.bad))).memory < 1
    True
    """
    if not data.smooth:
        return _by_groups(data, rows)
    from causalrel.chains import chain_of
    from causalrel.mixed import fit_mixed, nearest_chain

    step, unit = data.columns["step"][rows], data.columns["unit"][rows]
    chain = chain_of(step, unit, shared=False) if data.by_unit else nearest_chain(rough(data, rows), step, unit)
    total = None if data.total is None else data.total[rows]
    x = matrix(data, rows, data.treat[rows])
    return fit_mixed(x, layout(data)[0], data.bad[rows], total, chain, neighbours(data, rows))


def _by_groups(data: Design, rows: NDArray[np.intp]) -> Coefficients:
    x = matrix(data, rows, data.treat[rows])
    if len(rows) < x.shape[1] + 2:
        raise errors.refused("the effect", f"{x.shape[1]} coefficients need more than {len(rows)} windows")
    units = len(np.unique(data.groups[rows]))
    few = data.by_unit and units < _MANY_A_COLUMN * x.shape[1]
    freedom = None
    if not data.by_unit:
        freedom = float(max(1, min(units, data.assignments) - 1))
    elif data.assignments < 6:
        freedom = float(max(1, len(rows) - x.shape[1]))
    elif few:
        freedom = float(max(1, units - x.shape[1]))
    if data.total is None:
        return fit_line(x, data.bad[rows], data.groups[rows], freedom, few=few)
    return fit_rate(x, data.bad[rows], data.total[rows], data.groups[rows], freedom, few=few)


def standardise(
    data: Design,
    rows: NDArray[np.intp],
    fitted: Coefficients | Mixed,
    levels: Sequence[Level],
    draws: int,
    seed: int,
) -> list[NDArray[np.float64]]:
    """Average the outcome over the supported rows had all been at each of two levels.

    Under a mixed regression each row keeps its own share of the noise, as it was; draws are spread further where sums
    over time blocks vary more than the model says.

    Parameters
    ----------
    data : Design
        The rows.
    rows : ndarray of intp, shape (m,)
        Rows used.
    fitted : Coefficients or Mixed
        Their regression.
    levels : sequence of level
        Values of the treatment, as the design's term takes them.
    draws : int
        Number of draws.
    seed : int
        Seed of the draws.

    Returns
    -------
    list of ndarray of float64, shape (draws,)
        One for each level, joint over levels.

    Examples
    --------
    >>> import causalrel as cr
    >>> from causalrel.effects.designs import make_design
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> data = make_design(windows, windows.variable("batch_size"), "tpot", ["load"], (4.0, 8.0))
    >>> rows = np.arange(len(data.bad))
    >>> low, high = standardise(data, rows, regress(data, rows), ("0", "1"), 200, 0)
    >>> bool(high.mean() > low.mean())
    True
    """
    rng = np.random.default_rng([seed, 2])
    inside = np.flatnonzero(data.supported[rows])
    if isinstance(fitted, Coefficients):
        drawn = fitted.draw(draws, rng)
        return [_clustered(data, rows[inside], level, drawn) for level in levels]
    follows = layout(data)[1]
    mean = fitted.weights @ fitted.means
    change = np.zeros(len(mean))
    change[follows] = np.subtract(*[_gradient(data, rows, fitted, level, mean[follows]) for level in levels[::-1]])
    groups = data.groups[rows]
    if not data.by_unit:
        groups, _ = time_groups(data.columns["step"][rows], fitted.whitened[:, -1])
    drawn = mean + fitted.excess(change, groups) * (fitted.draw(draws, rng) - mean)
    shift = np.zeros(draws)
    if data.total is not None:
        share = expit(fitted.eta[inside])
        shift = rng.standard_normal(draws) / np.sqrt((data.total[rows[inside]] * share * (1 - share)).sum())
    return [_mixed(data, rows, fitted, level, drawn[:, follows], shift) for level in levels]


def _clustered(data: Design, inside: NDArray[np.intp], level: Level, drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    total, weights = np.zeros(len(drawn)), 0.0
    for start in range(0, len(inside), _CHUNK):
        part = inside[start : start + _CHUNK]
        eta = matrix(data, part, np.full(len(part), level)) @ drawn.T
        weight = np.ones(len(part)) if data.total is None else data.total[part]
        total += weight @ (eta if data.total is None else expit(eta))
        weights += weight.sum()
    return np.asarray(total / weights, dtype=np.float64)


def _mixed(
    data: Design,
    rows: NDArray[np.intp],
    fitted: Mixed,
    level: Level,
    drawn: NDArray[np.float64],
    shift: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Mean outcome, each row moved from where it was by what follows the treatment."""
    if data.total is None:
        mean = sum(part.sum(axis=0) for _, part in _moves(data, rows, level))
        inside = data.supported[rows]
        return np.asarray(fitted.eta[inside].mean() + drawn @ (mean / inside.sum()), dtype=np.float64)
    total, weights = np.zeros(len(drawn)), 0.0
    for where, part in _moves(data, rows, level):
        wide = _widening(fitted.spread[where])
        weight = data.total[rows[where]]
        total += weight @ expit((fitted.eta[where, None] + part @ drawn.T + shift) * wide[:, None])
        weights += weight.sum()
    return np.asarray(total / weights, dtype=np.float64)


def _gradient(
    data: Design, rows: NDArray[np.intp], fitted: Mixed, level: Level, mean: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return derivatives of the mean outcome at one level, by coefficients that follow the treatment."""
    total, weights = np.zeros(len(mean)), 0.0
    for where, part in _moves(data, rows, level):
        weight = np.ones(len(where)) if data.total is None else data.total[rows[where]]
        weights += weight.sum()
        if data.total is not None:
            wide = _widening(fitted.spread[where])
            share = expit((fitted.eta[where] + part @ mean) * wide)
            weight = weight * share * (1 - share) * wide
        total += weight @ part
    return np.asarray(total / weights, dtype=np.float64)


def _moves(
    data: Design, rows: NDArray[np.intp], level: Level
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float64]]]:
    """Give supported rows in chunks, with how far setting the level moves their columns that follow the treatment."""
    inside = np.flatnonzero(data.supported[rows])
    follows = layout(data)[1]
    for start in range(0, len(inside), _CHUNK):
        where = inside[start : start + _CHUNK]
        part = rows[where]
        moved = matrix(data, part, np.full(len(part), level)) - matrix(data, part, data.treat[part])
        yield where, moved[:, follows]


def _widening(spread: NDArray[np.float64]) -> NDArray[np.float64]:
    """Factor that averages a logistic curve over a normal (MacKay 1992, doi:10.1162/neco.1992.4.5.720)."""
    return np.asarray(1 / np.sqrt(1 + np.pi * spread / 8), dtype=np.float64)
