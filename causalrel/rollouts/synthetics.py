"""Synthetic controls: a weighted mean of units that never switched stands in for the one that did."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from causalrel.estimates import Check
from causalrel.mechanisms.chains import chain_of
from causalrel.mechanisms.mixed import Mixed, fit_mixed
from causalrel.rollouts.contrasts import Found, pretend, stage_edges, tell_pretended
from causalrel.rollouts.panels import FEWEST_EVENTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.rollouts.panels import Panel

#: Periods before and after the switch, donors that a synthetic control needs, and donors that are pretended at most.
_MOST_PERIODS, FEWEST_DONORS, _MOST_PLACEBOS = 30, 3, 20
#: How far placebos in space may vary, by their own noise, and still pass for the same kind of unit.
_MOST_SPREAD = 2.0
_HEAVY = 1e3


def synthesise(panel: Panel, draws: int, rng: np.random.Generator) -> Found | Check:
    """Estimate what a rollout did to one unit from a weighted mean of units that never switched.

    Each series is told against its own past: a difference from its mean, or of events a ratio to its share. Weights are
    positive, add up to one and track the past of the unit that switched (Abadie, Diamond and Hainmueller 2010,
    doi:10.1198/jasa.2009.ap08746), with the ridge of Arkhangelsky et al. (2021, doi:10.1257/aer.20190159). What is left
    remembers. Draws are spread further where units that never switched seem to have had effects.

    Parameters
    ----------
    panel : Panel
        The windows; all units that switched did so at one time, and stand for one.
    draws : int
        Number of draws.
    rng : numpy.random.Generator
        Generator handed down.

    Returns
    -------
    Found or Check
        The mean outcome after the switch and the checks; the failed check where there are too few donors.

    Examples
    --------
    >>> from datetime import timedelta
    >>> from causalrel.rollouts.panels import NEVER, Panel
    >>> rng = np.random.default_rng(0)
    >>> unit, step = np.repeat(np.arange(8), 90), np.tile(np.arange(90), 8)
    >>> panel = Panel(
    ...     columns={},
    ...     units=tuple("abcdefgh"),
    ...     unit=unit,
    ...     step=step,
    ...     switch=np.array([50, *[NEVER] * 7]),
    ...     bad=rng.normal(size=720) + np.sin(step / 5) * (1 + unit % 3) + 2 * ((unit == 0) & (step >= 50)),
    ...     total=None,
    ...     width=timedelta(hours=1),
    ... )
    >>> _, without, behind = synthesise(panel, 500, rng).parts[0]
    >>> bool(abs((behind - without).mean() - 2) < 0.6)
    True
    """
    series, names, after, base = _series(panel)
    if not base > 0:
        return Check(name="past events", passed=False, says="the unit that switched has no bad event before the switch")
    if len(series) - 1 < FEWEST_DONORS:
        says = f"{len(series) - 1} units never switched and have windows all along; {FEWEST_DONORS} are needed"
        return Check(name="donors", passed=False, says=says)
    weights = weigh(series[0], series[1:], after)
    left = series[0] - weights @ series[1:]
    fitted, share = _step(left, after)
    others = range(1, min(len(series), _MOST_PLACEBOS + 1))
    pretended = [_pretended(series, other, after) for other in others]
    spread = _spread(pretended)
    mean = fitted.weights @ fitted.means
    moved = (mean + max(1.0, spread) * (fitted.draw(draws, rng) - mean)) @ share
    behind = panel.treated
    if panel.total is None:
        level, noise = float(panel.bad[behind].mean()), 0.0
    else:
        events = float(panel.total[behind].sum())
        level = float(panel.bad[behind].sum()) / events
        noise = np.sqrt(level * (1 - level) / events)
    with_it = level + noise * rng.standard_normal(draws)
    checks = _checks(left, after, fitted, float(mean @ share), pretended)
    led = np.argsort(-weights)[:3]
    said = ", ".join(f"{names[i]} {weights[i]:.2f}" for i in led)
    donors = Check(name="donors", passed=True, says=f"{len(names)} units that never switched, led by {said}")
    return Found(parts=(("all", with_it - base * moved, with_it),), checks=(donors, *checks))


def weigh(one: NDArray[np.float64], others: NDArray[np.float64], after: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weigh donors so that their mean tracks the past of one unit, up to a constant.

    Parameters
    ----------
    one : ndarray of float64, shape (p,)
        The unit's series.
    others : ndarray of float64, shape (j, p)
        The donors'.
    after : ndarray of bool, shape (p,)
        Periods after the switch, which do not count.

    Returns
    -------
    ndarray of float64, shape (j,)
        Weights, none negative, of sum one.

    Examples
    --------
    >>> time = np.arange(40.0)
    >>> others = np.array([np.sin(time / 5), np.cos(time / 5), np.sin(time / 9)])
    >>> weigh(others[0] + 5, others, time >= 30).round(1).tolist()[0] > 0.5
    True
    """
    from scipy.optimize import nnls

    past, tracked = others[:, ~after], one[~after]
    size = float(np.sqrt((past**2).mean())) or 1.0
    past = (past - past.mean(axis=1, keepdims=True)) / size
    tracked = (tracked - tracked.mean()) / size
    change = float(np.diff(past, axis=1).std())
    ridge = np.sqrt(after.sum() ** 0.5 * change**2 * len(tracked))
    count = len(past)
    a = np.vstack([past.T, ridge * np.eye(count), np.full((1, count), _HEAVY * np.sqrt(len(tracked)))])
    b = np.concatenate([tracked, np.zeros(count), [_HEAVY * np.sqrt(len(tracked))]])
    weights = nnls(a, b)[0]
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _series(panel: Panel) -> tuple[NDArray[np.float64], list[str], NDArray[np.bool_], float]:
    """Return the switched unit's series and the donors', names of donors, periods after, and what a ratio is of.

    Periods hold about equal numbers of the switched units' events, or windows, so that each counts alike.
    """
    switch, mine = int(panel.dates[0]), np.isin(panel.unit, panel.never, invert=True)
    first, size = int(panel.step.min()), int(panel.step.max()) - int(panel.step.min()) + 1
    weight = np.ones(len(panel.bad)) if panel.total is None else panel.total
    load = np.bincount(panel.step[mine] - first, weights=weight[mine], minlength=size)
    late = np.arange(size) + first >= switch
    most = _MOST_PERIODS if panel.total is None else int(np.clip(panel.rarer / FEWEST_EVENTS, 4, _MOST_PERIODS))
    period, count = np.zeros(size, dtype=np.int64), 0
    for side in (~late, late):
        share = np.cumsum(load[side]) - load[side] / 2
        cut = np.minimum((share / max(load[side].sum(), 1e-300) * most).astype(np.int64), most - 1)
        period[side] = np.unique(cut, return_inverse=True)[1] + count
        count += len(np.unique(cut))
    key = np.where(mine, 0, panel.unit + 1) * count + period[panel.step - first]
    shape = ((len(panel.units) + 1) * count,)
    sums = np.bincount(key, weights=panel.bad, minlength=shape[0]).reshape(-1, count)
    weights = np.bincount(key, weights=weight, minlength=shape[0]).reshape(-1, count)
    after = np.zeros(count, dtype=bool)
    after[period[late]] = True
    whole = np.asarray((weights > 0).all(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        made, base = sums / weights, np.ones(len(sums))
        if panel.total is not None:
            base = np.asarray(sums[:, ~after].sum(axis=1) / weights[:, ~after].sum(axis=1))
            whole &= base > 0
            made = made / base[:, None]
    kept = np.append(0, np.flatnonzero(whole[1:]) + 1)
    return made[kept], [panel.units[i - 1] for i in kept[1:]], after, float(base[0])


def _step(left: NDArray[np.float64], after: NDArray[np.bool_]) -> tuple[Mixed, NDArray[np.float64]]:
    """Fit steps, one a stage, in noise that remembers; return the fit and the share of each column in the mean step.

    A step half way before the switch and a trend until then are watched.
    """
    count, reached = len(left), int(after.sum())
    place = np.arange(count) - (count - reached)
    edges = stage_edges(reached, reached)
    stage = np.searchsorted(edges, place, side="right") - 1
    columns = ((stage[:, None] == np.arange(len(edges) - 1)) & (place >= 0)[:, None]).astype(np.float64)
    early = np.column_stack([np.arange(count) >= (count - reached) / 2, np.minimum(place, 0)]).astype(np.float64)
    chain = chain_of(np.arange(count), np.zeros(count).astype(str), shared=True)
    x = np.column_stack([np.ones(count), columns])
    fitted = fit_mixed(x, np.full(x.shape[1], -1), left, None, chain, early)
    return fitted, np.append(0.0, columns.sum(axis=0) / reached)


def _pretended(series: NDArray[np.float64], other: int, after: NDArray[np.bool_]) -> tuple[float, float]:
    """Return mean and standard deviation of the effect had one donor been the unit that switched."""
    donors = np.delete(series[1:], other - 1, axis=0)
    fitted, share = _step(series[other] - weigh(series[other], donors, after) @ donors, after)
    means = fitted.means @ share
    mean = float(fitted.weights @ means)
    within = (np.einsum("k,mkj->mj", share, fitted.roots) ** 2).sum(axis=1)
    return mean, float(np.sqrt(fitted.weights @ (within + (means - mean) ** 2)))


def _spread(pretended: list[tuple[float, float]]) -> float:
    """Return how far pretended effects vary, by their own standard deviations."""
    return float(np.sqrt(np.mean([(mean / sd) ** 2 for mean, sd in pretended])))


def _checks(
    left: NDArray[np.float64],
    after: NDArray[np.bool_],
    fitted: Mixed,
    mean: float,
    pretended: list[tuple[float, float]],
) -> list[Check]:
    spread = _spread(pretended)
    stronger = sum(abs(other) >= abs(mean) for other, _ in pretended)
    space = Check(
        name="placebo in space",
        passed=spread <= _MOST_SPREAD,
        says=f"pretended switches of {len(pretended)} units that never switched show {spread:.1f} times what their "
        f"noise would, and {stronger} of them as much as the real one",
    )
    meaning = "the weighted units do not track the past"
    chance = min(1.0, 2 * min(pretend(fitted, 0), pretend(fitted, 1)))
    early = tell_pretended("placebo in time", "a step half way, or a trend, before the switch", chance, meaning)
    shifted = np.array([np.roll(left, by)[after].mean() - np.roll(left, by)[~after].mean() for by in range(len(left))])
    chance = float((np.abs(shifted) >= abs(shifted[0]) - 1e-12).mean())
    says = f"of all shifts of the switch along time, {chance:.0%} show as much as the real one"
    return [early, space, Check(name="conformal", passed=True, says=says)]
