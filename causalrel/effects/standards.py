"""Standardisation: the regression, and the mean outcome had every row been at one level, draw by draw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from causalrel import errors
from causalrel.effects.averages import Average, Part, average, straight
from causalrel.effects.columns import CHUNK, Design, Level, changed, layout, matrix
from causalrel.effects.overlap import edges
from causalrel.mechanisms.regressions import Coefficients, fit_line, fit_rate, time_groups
from causalrel.networks import expit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.mechanisms.mixed import Mixed

#: With fewer units a coefficient than this, a covariance clustered by unit is too small: units are left out in turn.
_MANY_A_COLUMN = 20


def regress(data: Design, rows: NDArray[np.intp]) -> Coefficients | Mixed:
    """Fit the outcome on the design: noise modelled as a chain, or a covariance clustered by units.

    Where the treatment was switched within units and there are ten events of the rarer kind, or where many units have
    one row each, the regression is mixed (:func:`causalrel.mechanisms.mixed.fit_mixed`); else clustered, with degrees
    of freedom by the scarcer of groups and assignments.

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
    from causalrel.mechanisms.chains import chain_of
    from causalrel.mechanisms.mixed import fit_mixed
    from causalrel.mechanisms.noises import nearest_chain

    step, unit = data.columns["step"][rows], data.columns["unit"][rows]
    chain = chain_of(step, unit, shared=False) if data.by_unit else nearest_chain(data.left[rows], step, unit)
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
    drawn = (fitted.draw(draws, rng) - mean)[:, follows]
    unseen = [beyond(data, rows, fitted, level) for level in levels]
    averages = [
        _averaged(data, rows, fitted, level, far, np.cov(drawn.T)) for level, far in zip(levels, unseen, strict=True)
    ]
    excess = 1.0
    for one in averages[1:]:
        change = np.zeros(len(mean))
        change[follows] = (one.slope - averages[0].slope)[: follows.sum()]
        excess = max(excess, fitted.excess(change, groups))
    shift = np.zeros((draws, 1))
    if data.total is not None:
        share = expit(fitted.eta[inside])
        shift[:, 0] = rng.standard_normal(draws) / np.sqrt((data.total[rows[inside]] * share * (1 - share)).sum())
    made = []
    for one, far in zip(averages, unseen, strict=True):
        leap = rng.standard_normal((draws, far.shape[1]))
        made.append(one.at(np.hstack([excess * drawn, leap, shift])))
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
        mean = fitted.weights @ fitted.means
        for name in numbers:
            values = data.columns[name][rows]
            low, high = edges(code, values, int(level), len(numbers))
            for distance in (np.maximum(low - values, 0.0), np.maximum(values - high, 0.0)):
                past = rows[distance > 0]
                line = matrix(data, past, data.treat[past]) @ mean if len(past) else np.zeros(0)
                slope = _slope(distance[distance > 0], line)
                made.append(np.where(code == int(level), 0.0, slope * distance))
    return np.column_stack(made) if made else np.zeros((len(rows), 0))


def _slope(distance: NDArray[np.float64], eta: NDArray[np.float64]) -> float:
    centred = distance - distance.mean() if len(distance) else distance
    power = float(centred @ centred)
    return abs(float(centred @ eta) / power) if power > 0 else 0.0


def _clustered(data: Design, inside: NDArray[np.intp], level: Level, drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    total, weights = np.zeros(len(drawn)), 0.0
    for start in range(0, len(inside), CHUNK):
        part = inside[start : start + CHUNK]
        eta = matrix(data, part, np.full(len(part), level)) @ drawn.T
        weight = np.ones(len(part)) if data.total is None else data.total[part]
        total += weight @ (eta if data.total is None else expit(eta))
        weights += weight.sum()
    return np.asarray(total / weights, dtype=np.float64)


def _averaged(
    data: Design,
    rows: NDArray[np.intp],
    fitted: Mixed,
    level: Level,
    unseen: NDArray[np.float64],
    covariance: NDArray[np.float64],
) -> Average:
    """Expand the mean outcome at a level: each row moved from where it was by what follows the treatment."""
    inside, follows = np.flatnonzero(data.supported[rows]), layout(data)[1]
    mean = (fitted.weights @ fitted.means)[follows]
    beside = unseen.shape[1] + 1
    spread = np.eye(len(mean) + beside)
    spread[: len(mean), : len(mean)] = covariance
    spread[-1, -1] = 0.0

    def parts(chosen: NDArray[np.intp] | None) -> Iterator[Part]:
        among = inside if chosen is None else chosen
        for start in range(0, len(among), CHUNK):
            where = among[start : start + CHUNK]
            part = rows[where]
            change = changed(data, part, level)
            wide = 1.0 if data.total is None else widening(fitted.spread[where])
            eta = (fitted.eta[where] + change @ mean) * wide
            columns = np.column_stack([change, unseen[where], np.ones(len(where))]) * np.reshape(wide, (-1, 1))
            yield where, eta, columns, np.ones(len(where)) if data.total is None else data.total[part]

    return average(parts, spread) if data.total is not None else straight(parts(None))


def widening(spread: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the factor that averages a logistic curve over a normal (MacKay 1992, doi:10.1162/neco.1992.4.5.720).

    Parameters
    ----------
    spread : ndarray of float64, shape (n,)
        Variance of the normal.

    Returns
    -------
    ndarray of float64, shape (n,)
        1 where it is 0.

    Examples
    --------
    >>> widening(np.array([0.0])).tolist()
    [1.0]
    """
    return np.asarray(1 / np.sqrt(1 + np.pi * spread / 8), dtype=np.float64)
