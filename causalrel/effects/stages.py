"""Stages: a chain of regressions from a treatment to its outcome, and the outcome under mediators of another level."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from causalrel.effects.columns import Design, Level, layout, matrix
from causalrel.effects.standards import beyond, regress, widening
from causalrel.mechanisms.mixed import Mixed
from causalrel.mechanisms.regressions import time_groups
from causalrel.networks import Term, expit

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Rows worked out at once, over all draws.
_CHUNK = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """Mean outcome at each level, draw by draw.

    Parameters
    ----------
    own : list of ndarray of float64, shape (draws,)
        At each level, mediators being what they are under it.
    drawn : list of ndarray of float64, shape (draws,)
        Mediators drawn as under that level, apart from what else it moved; the same as ``own`` without such things.
    kept : list of ndarray of float64, shape (draws,)
        Mediators drawn as under the baseline.

    Examples
    --------
    >>> one = [np.zeros(2), np.ones(2)]
    >>> len(Means(own=one, drawn=one, kept=one).own)
    2
    """

    own: list[NDArray[np.float64]]
    drawn: list[NDArray[np.float64]]
    kept: list[NDArray[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    """One regression on the way, with draws of its coefficients and of what is unseen at each level."""

    name: str
    data: Design
    fitted: Mixed
    drawn: NDArray[np.float64]
    places: Mapping[str, tuple[Term, NDArray[np.intp], NDArray[np.intp]]]
    strays: Mapping[Level, tuple[NDArray[np.float64], NDArray[np.float64]]]

    @property
    def mean(self) -> NDArray[np.float64]:
        return np.asarray(self.fitted.weights @ self.fitted.means, dtype=np.float64)

    def move(
        self, part: NDArray[np.intp], level: Level, moved: Mapping[str, NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        """Tell how far a level, and what it moved before, move the predictor of some rows, draw by draw."""
        data, treat = self.data, np.full(len(part), level)
        change = matrix(data, part, treat) - matrix(data, part, data.treat[part])
        unseen, leaps = self.strays[level]
        made = change @ self.drawn.T + unseen[part] @ leaps
        led = matrix(data, part[:1], treat[:1])[0, 1 : 1 + data.term.width]
        for name, (term, held, crossed) in self.places.items():
            was = data.columns[name][part]
            weights = self.drawn[:, held]
            made += term.weighted(moved[name], weights) - term.weighted(was, weights)
            made += (moved[name] - was[:, None]) * (self.drawn[:, crossed] @ led[: len(crossed)] / term.scale)
        return np.asarray(made, dtype=np.float64)


def mean_outcomes(
    designs: Sequence[Design],
    names: Sequence[str],
    through: Collection[str],
    levels: Sequence[Level],
    draws: int,
    seed: int,
) -> Means:
    """Fit one regression after another and average the outcome over the supported rows.

    Each stage is regressed on the treatment, what is held fixed and the stages before it, so that the likelihood is the
    product of theirs and their draws are joint. Each row keeps its own noise at every stage; where something else was
    moved, what causes leave of the mediators is exchanged between rows, so that they are drawn apart from it.

    Parameters
    ----------
    designs : sequence of Design
        Of what the treatment moves, of mediators, and of the outcome, of the same rows.
    names : sequence of str
        What each is of.
    through : collection of str
        The mediators among them.
    levels : sequence of level
        Values of the treatment, as the designs' terms take them, the baseline first.
    draws, seed : int
        Number and seed of the draws.

    Returns
    -------
    Means
        Joint over all.

    Examples
    --------
    >>> import causalrel as cr
    >>> from causalrel.effects.designs import make_design
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> of, levels = windows.variable("batch_size"), (4.0, 8.0)
    >>> fixed = {"running": ["load"], "tpot": ["load", "running"]}
    >>> designs = [make_design(windows, of, name, held, levels) for name, held in fixed.items()]
    >>> means = mean_outcomes(designs, list(fixed), ["running"], ("0", "1"), 200, 0)
    >>> bool(means.own[1].mean() > means.kept[1].mean())
    True
    """
    rng = np.random.default_rng([seed, 4])
    stages: list[_Stage] = []
    for data, name in zip(designs, names, strict=True):
        stages.append(_fitted(data, name, stages, levels, draws, rng))
    last = stages[-1]
    rows = np.flatnonzero(last.data.supported)
    weight = np.ones(len(last.data.bad)) if last.data.total is None else last.data.total
    shift = np.zeros(draws)
    if last.data.total is not None:
        share = expit(last.fitted.eta[rows])
        shift = rng.standard_normal(draws) / np.sqrt((weight[rows] * share * (1 - share)).sum())
    apart = len(stages) > len(through) + 1
    swaps = _swaps(stages, through, rows, rng) if apart else {}
    sums = np.zeros((3, len(levels), draws))
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK]
        own = [_moved(stages[:-1], part, level) for level in levels]
        drawn = [{name: at[name] + swaps[name][part][:, None] if apart else at[name] for name in through} for at in own]
        for place, level in enumerate(levels):
            options = (own[place], own[place] | drawn[place], own[place] | drawn[0])
            for kind, moved in enumerate(options):
                if kind == 1 and not apart:
                    continue
                sums[kind, place] += weight[part] @ _outcome(last, part, level, moved, shift)
    sums /= weight[rows].sum()
    own_mean, drawn_mean, kept_mean = (list(one) for one in sums)
    return Means(own=own_mean, drawn=drawn_mean if apart else own_mean, kept=kept_mean)


def _fitted(
    data: Design, name: str, before: Sequence[_Stage], levels: Sequence[Level], draws: int, rng: np.random.Generator
) -> _Stage:
    rows = np.arange(len(data.bad))
    fitted = regress(data, rows)
    if not isinstance(fitted, Mixed):
        raise TypeError("a chain of stages needs mixed regressions")
    held = {term.name for term in data.terms}
    unseen = {level: beyond(data, rows, fitted, level) for level in levels}
    stage = _Stage(
        name=name,
        data=data,
        fitted=fitted,
        drawn=fitted.draw(draws, rng),
        places={one.name: _places(data, one.name) for one in before if one.name in held},
        strays={level: (one, rng.standard_normal((one.shape[1], draws))) for level, one in unseen.items()},
    )
    return replace(stage, drawn=stage.mean + _excess(stage, before, levels) * (stage.drawn - stage.mean))


def _places(data: Design, name: str) -> tuple[Term, NDArray[np.intp], NDArray[np.intp]]:
    """Find the columns of a number that is held fixed: its own, and those crossed with the treatment."""
    follows = layout(data)[1]
    at = 1 + data.term.width
    for term in data.terms:
        own = np.arange(at, at + term.width)
        at += term.width
        first = at
        while at < len(follows) and follows[at]:
            at += 1
        if term.name == name:
            return term, own, np.arange(first, at)
    raise KeyError(name)


def _excess(stage: _Stage, before: Sequence[_Stage], levels: Sequence[Level]) -> float:
    """Tell how much more sums over time blocks vary than the model says, of the effect and of its direct part."""
    data, fitted = stage.data, stage.fitted
    rows = np.flatnonzero(data.supported)
    groups = data.groups
    if not data.by_unit:
        groups, _ = time_groups(data.columns["step"], fitted.whitened[:, -1])
    middle = [_middle(one) for one in before]
    at = {level: _moved(middle, rows, level) for level in levels}

    def slopes(level: Level, under: Level) -> NDArray[np.float64]:
        columns = dict(data.columns)
        for name, values in at[under].items():
            columns[name] = columns[name].copy()
            columns[name][rows] = values[:, 0]
        x = matrix(replace(data, columns=columns), rows, np.full(len(rows), level))
        weight = np.ones(len(rows))
        if data.total is not None:
            change = x - matrix(data, rows, data.treat[rows])
            share = expit(fitted.eta[rows] + change @ stage.mean)
            weight = data.total[rows] * share * (1 - share)
        return np.asarray(weight @ x, dtype=np.float64)

    base, excess = slopes(levels[0], levels[0]), 1.0
    for level in levels[1:]:
        for change in (slopes(level, level) - base, slopes(level, levels[0]) - base):
            excess = max(excess, fitted.excess(change, groups))
    return excess


def _middle(stage: _Stage) -> _Stage:
    """Return a stage whose only draw is its mean."""
    strays = {level: (unseen, np.zeros((unseen.shape[1], 1))) for level, (unseen, _) in stage.strays.items()}
    return replace(stage, drawn=stage.mean[None, :], strays=strays)


def _moved(stages: Sequence[_Stage], part: NDArray[np.intp], level: Level) -> dict[str, NDArray[np.float64]]:
    """Tell what each stage would have been at a level, draw by draw."""
    made: dict[str, NDArray[np.float64]] = {}
    for stage in stages:
        made[stage.name] = stage.data.bad[part][:, None] + stage.move(part, level, made)
    return made


def _outcome(
    last: _Stage,
    part: NDArray[np.intp],
    level: Level,
    moved: Mapping[str, NDArray[np.float64]],
    shift: NDArray[np.float64],
) -> NDArray[np.float64]:
    eta = last.fitted.eta[part][:, None] + last.move(part, level, moved) + shift
    if last.data.total is None:
        return np.asarray(eta, dtype=np.float64)
    return expit(eta * widening(last.fitted.spread[part])[:, None])


def _swaps(
    stages: Sequence[_Stage], through: Collection[str], rows: NDArray[np.intp], rng: np.random.Generator
) -> dict[str, NDArray[np.float64]]:
    """Exchange between rows what treatment and causes leave of the mediators, all of a row's together."""
    first = stages[0].data
    x = matrix(first, rows, first.treat[rows])
    other = rng.permutation(len(rows))
    made = {}
    for name in through:
        values = stages[-1].data.columns[name]
        left = values[rows] - x @ np.linalg.lstsq(x, values[rows], rcond=None)[0]
        made[name] = np.zeros(len(values))
        made[name][rows] = left[other] - left
    return made
