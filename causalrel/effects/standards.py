"""Standardisation: the regression, and the mean outcome had every row been at one level, draw by draw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from causalrel import errors
from causalrel.effects.designs import Design, Level, layout, matrix, rough
from causalrel.effects.overlap import edges
from causalrel.networks import expit
from causalrel.regressions import Coefficients, fit_line, fit_rate, time_groups

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.mixed import Mixed

#: Rows whose outcome is worked out at once, over all draws.
_CHUNK = 1024
_MOST_ODDS = 30.0

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


def neighbours(data: Design, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the treatment of the window before and after each row, less its own.

    Parameters
    ----------
    data : Design
        The rows.
    rows : ndarray of intp, shape (m,)
        Rows wanted.

    Returns
    -------
    ndarray of float64, shape (m, 2)
        Before and after; 0 where the unit has no such window.

    Examples
    --------
    >>> import causalrel as cr
    >>> from causalrel.effects.designs import make_design
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> data = make_design(windows, windows.variable("batch_size"), "tpot", ["load"], (4.0, 8.0))
    >>> neighbours(data, np.arange(len(data.bad))).shape[1]
    2
    """
    unit, step = data.columns["unit"][rows], data.columns["step"][rows]
    level = (data.treat[rows] if data.code is None else data.code[rows]).astype(np.float64)
    order = np.lexsort((step, unit))
    follows = (unit[order][1:] == unit[order][:-1]) & (np.diff(step[order]) == 1)
    change = np.where(follows, np.diff(level[order]), 0.0)
    made = np.zeros((len(rows), 2))
    made[order[1:], 0] = -change
    made[order[:-1], 1] = change
    return made


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
    """Average the outcome over the supported rows had all been at each of some levels.

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
        Values of the treatment, as the design's term takes them, the baseline first.
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
    groups = data.groups[rows]
    if not data.by_unit:
        groups, _ = time_groups(data.columns["step"][rows], fitted.whitened[:, -1])
    slopes = [_gradient(data, rows, fitted, level, mean[follows]) for level in levels]
    excess = 1.0
    for slope in slopes[1:]:
        change = np.zeros(len(mean))
        change[follows] = slope - slopes[0]
        excess = max(excess, fitted.excess(change, groups))
    drawn = mean + excess * (fitted.draw(draws, rng) - mean)
    shift = np.zeros(draws)
    if data.total is not None:
        share = expit(fitted.eta[inside])
        shift = rng.standard_normal(draws) / np.sqrt((data.total[rows[inside]] * share * (1 - share)).sum())
    made = []
    for level in levels:
        unseen = beyond(data, rows, fitted, level)
        leap = rng.standard_normal((draws, unseen.shape[1]))
        made.append(_mixed(data, rows, fitted, level, (drawn[:, follows], shift, leap), unseen))
    return made


def beyond(data: Design, rows: NDArray[np.intp], fitted: Mixed, level: Level) -> NDArray[np.float64]:
    """Tell how far the outcome at a level may stray where data never showed it.

    Beyond the edges of what a level saw of what sets the treatment, the predictor's slope at that level is uncertain by
    as much as the slope that the other levels show there.

    Parameters
    ----------
    data : Design
        The rows.
    rows : ndarray of intp, shape (m,)
        Rows used.
    fitted : Mixed
        Their regression.
    level : level
        Value of the treatment, as the design's term takes it.

    Returns
    -------
    ndarray of float64, shape (m, j)
        Standard deviation of the predictor in each row, a column an edge.

    Examples
    --------
    >>> import causalrel as cr
    >>> from causalrel.effects.designs import make_design
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> data = make_design(windows, windows.variable("batch_size"), "tpot", ["load"], (4.0, 8.0), ["load"])
    >>> rows = np.arange(len(data.bad))
    >>> beyond(data, rows, regress(data, rows), "0").shape[1]
    2
    """
    made = []
    if data.code is not None:
        code, numbers = data.code[rows], [t.name for t in data.terms if t.name in data.assigned_by and not t.levels]
        line = matrix(data, rows, data.treat[rows]) @ (fitted.weights @ fitted.means) if numbers else fitted.eta
        for name in numbers:
            values = data.columns[name][rows]
            low, high = edges(code, values, int(level), len(numbers))
            for distance in (np.maximum(low - values, 0.0), np.maximum(values - high, 0.0)):
                slope = _slope(distance[distance > 0], line[distance > 0])
                made.append(np.where(code == int(level), 0.0, slope * distance))
    return np.column_stack(made) if made else np.zeros((len(rows), 0))


def _slope(distance: NDArray[np.float64], eta: NDArray[np.float64]) -> float:
    centred = distance - distance.mean() if len(distance) else distance
    power = float(centred @ centred)
    return abs(float(centred @ eta) / power) if power > 0 else 0.0


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
    drawn: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    unseen: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Mean outcome, each row moved from where it was by what follows the treatment."""
    weights_drawn, shift, leap = drawn
    if data.total is None:
        mean = sum(part.sum(axis=0) for _, part in _moves(data, rows, level))
        inside = data.supported[rows]
        level_mean = fitted.eta[inside].mean() + weights_drawn @ (mean / inside.sum())
        return np.asarray(level_mean + leap @ unseen[inside].mean(axis=0), dtype=np.float64)
    total, weights = np.zeros(len(shift)), 0.0
    drawn_columns = np.hstack([weights_drawn, leap, shift[:, None], np.ones((len(shift), 1))]).T.astype(np.float32)
    for where, part in _moves(data, rows, level):
        columns = np.column_stack([part, unseen[where], np.ones(len(where)), fitted.eta[where]])
        columns *= -widening(fitted.spread[where])[:, None]
        odds = columns.astype(np.float32) @ drawn_columns
        np.exp(np.clip(odds, -_MOST_ODDS, _MOST_ODDS, out=odds), out=odds)
        odds += 1
        weight = data.total[rows[where]]
        total += weight.astype(np.float32) @ np.reciprocal(odds, out=odds)
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
            wide = widening(fitted.spread[where])
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


def widening(spread: NDArray[np.float64]) -> NDArray[np.float64]:
    """Factor that averages a logistic curve over a normal (MacKay 1992, doi:10.1162/neco.1992.4.5.720)."""
    return np.asarray(1 / np.sqrt(1 + np.pi * spread / 8), dtype=np.float64)
