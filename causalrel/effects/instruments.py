"""Instruments: an effect told by what moves the treatment and reaches the outcome through it alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np
import polars as pl

from causalrel import display
from causalrel.effects.columns import Design, Level, layout
from causalrel.effects.designs import make_design
from causalrel.effects.fronts import Answered, moved_columns, spread_draws
from causalrel.effects.overlap import MOST_LEVELS
from causalrel.effects.soundness import judge
from causalrel.effects.standards import regress
from causalrel.estimates import Check
from causalrel.mechanisms.regressions import time_groups

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.identification import Instrument
    from causalrel.mechanisms.mixed import Mixed
    from causalrel.windows import Windows

#: Standard errors that the first stage must be from 0, so that the Anderson-Rubin interval of 99.9 % is bounded.
_STRONG = 3.29

#: Draws of the first stage further out than this share are drawn in, so that no ratio divides by nearly nothing.
_OUTMOST = 0.001

#: Bad events, or good ones if fewer, without which nothing is told.
_FEWEST = 10

#: Column of the outcome as a number.
_OUTCOME = "instrument.outcome"

#: Quantiles of an instrument of many values between which it is moved.
_APART = (0.1, 0.9)


def tell_by_instrument(
    windows: Windows,
    of: str,
    on: str,
    instrument: Instrument,
    levels: tuple[Level, ...],
    assigned_by: tuple[str, ...],
    draws: int,
    seed: int,
) -> Answered:
    """Tell differences between levels as what the instrument does to the outcome, over what it does to the treatment.

    Wald's ratio of two mixed regressions of lines, of events weighted by the events of each window. Their draws are
    tied by the correlation of what blocks of windows add to both, which makes quantiles of the ratio those of Fieller's
    interval, here the Anderson-Rubin interval (Andrews, Stock and Sun 2019,
    doi:10.1146/annurev-economics-080218-025643). Where that interval is unbounded at 99.9 % the first stage is too
    weak. Of effects that differ it gives those of the windows that the instrument moves (Imbens and Angrist 1994,
    doi:10.2307/2951620).

    Parameters
    ----------
    windows : Windows
        Windows without nulls in what is used.
    of, on : str
        Treatment, a number or a category of two values, and an SLO or a numeric outcome.
    instrument : Instrument
        The instrument and what is held fixed.
    levels : tuple of level
        The baseline first.
    assigned_by : tuple of str
        What is held fixed and sets the instrument.
    draws, seed : int
        Number and seed of the draws.

    Returns
    -------
    changes : dict of level to ndarray of float64, shape (draws,)
        Mean outcome at each level less that at the baseline; empty where refused.
    checks : list of Check
        What was tested.
    verdict : {"bounded", "refused"}
        What they allow.

    Examples
    --------
    >>> import causalrel as cr
    >>> from causalrel.identification import Instrument
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> told = tell_by_instrument(windows, "batch_size", "ttft", Instrument(name="load"), (4.0, 8.0), (), 200, 0)
    >>> told[1][-1].name
    'whom it speaks of'
    """
    name = instrument.name
    windows, per = _as_lines(windows, of, on, levels)
    at = _apart(windows, name)
    pair = [
        make_design(windows, windows.variable(name), target, instrument.given, at, assigned_by)
        for target in (of, _OUTCOME)
    ]
    verdict, judged = judge(pair[1], at)
    checks = [replace(check, name=f"{check.name} of {name}") for check in judged]
    if not all(data.smooth for data in pair) or not _enough(windows, on):
        says = f"an instrument needs {name} switched within units, and ten bad events of {on}"
        return {}, [*checks, Check(name="first stage", passed=False, says=says)], "refused"
    if verdict == "refused":
        return {}, checks, verdict
    moves, shifts, strength = _both(pair, at, draws, seed)
    checks.append(_strong(name, of, at, moves, strength))
    if not checks[-1].passed:
        return {}, checks, "refused"
    says = f"the answer speaks of the windows whose {of} {name} moves, not of all"
    checks.append(Check(name="whom it speaks of", passed=False, says=says))
    return {level: share * shifts / moves for level, share in per.items()}, checks, "bounded"


def _as_lines(windows: Windows, of: str, on: str, levels: tuple[Level, ...]) -> tuple[Windows, dict[Level, float]]:
    """Write treatment and outcome as numbers, weighted by events; tell how much each level lies above the baseline.

    A logistic curve would take the instrument to act alike at all rates, and it acts only where it moves the treatment.
    """
    per = {level: float(place) for place, level in enumerate(levels)}
    treat = (pl.col(of) == levels[1]).cast(pl.Float64)
    if windows.variable(of).kind != "category":
        treat = pl.col(of).cast(pl.Float64)
        per = {level: float(level) - float(levels[0]) for level in levels}
    slo = on in {one.name for one in windows.slos}
    outcome, weight = pl.col(f"{on}.bad" if slo else on), pl.lit(1.0)
    if slo:
        mean = float(windows.table[f"{on}.total"].sum()) / windows.table.height
        outcome, weight = outcome / mean, pl.col(f"{on}.total") / mean
    table = windows.table.with_columns((treat * weight).alias(of), outcome.alias(_OUTCOME))
    return replace(windows, table=table), per


def _enough(windows: Windows, on: str) -> bool:
    if on not in {slo.name for slo in windows.slos}:
        return True
    bad, total = (int(windows.table[f"{on}.{part}"].sum()) for part in ("bad", "total"))
    return min(bad, total - bad) >= _FEWEST


def _apart(windows: Windows, name: str) -> tuple[Level, ...]:
    """Choose two values of an instrument: its two most frequent, or two quantiles where it has many."""
    values = windows.table[name].drop_nulls()
    if windows.variable(name).kind == "category":
        counts = values.value_counts(sort=True, name="n").sort(["n", name])
        low, high = sorted(counts[name].tail(2).cast(pl.String).to_list())
        return low, high
    if values.n_unique() > MOST_LEVELS:
        low, high = np.quantile(values.to_numpy(), _APART).tolist()
        return low, high
    counts = values.value_counts(sort=True, name="n").sort(["n", name])
    low, high = sorted(float(value) for value in counts[name].tail(2).to_list())
    return low, high


def _both(
    pair: list[Design], at: tuple[Level, ...], draws: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Draw what the instrument does to treatment and outcome, jointly; and how many standard errors the first is."""
    rng = np.random.default_rng([seed, 5])
    made, fits, adds = [], [], []
    for data in pair:
        fitted = cast("Mixed", regress(data, np.arange(len(data.bad))))
        low, high = moved_columns(data, at)
        contrast, follows = (high - low).mean(axis=0), layout(data)[1]
        whole = np.zeros(len(follows))
        whole[follows] = contrast
        made.append(spread_draws(data, fitted, [contrast], draws, rng) @ contrast)
        adds.append(fitted.influence(whole))
        fits.append(fitted)
    moves, shifts = made
    strength = abs(float(moves.mean())) / max(float(moves.std()), 1e-300)
    moves = np.clip(moves, *np.quantile(moves, [_OUTMOST, 1 - _OUTMOST]))
    tie = _tie(pair[0], adds, fits)
    normal = rng.standard_normal((2, draws))
    normal[1] = tie * normal[0] + np.sqrt(1 - tie**2) * normal[1]
    order = [np.argsort(np.argsort(one)) for one in normal]
    return np.sort(moves)[order[0]], np.sort(shifts)[order[1]], strength


def _tie(data: Design, adds: list[NDArray[np.float64]], fits: list[Mixed]) -> float:
    """Correlate what blocks of windows add to two estimates."""
    groups = data.groups
    if not data.by_unit:
        made = [time_groups(data.columns["step"], fitted.whitened[:, -1]) for fitted in fits]
        groups = max(made, key=lambda one: one[1])[0]
    codes = np.unique(groups, return_inverse=True)[1]
    one, other = (np.bincount(codes, weights=each) for each in adds)
    power = float(np.sqrt((one @ one) * (other @ other)))
    return float(np.clip(one @ other / power, -0.999, 0.999)) if power > 0 else 0.0


def _strong(name: str, of: str, at: tuple[Level, ...], moves: NDArray[np.float64], strength: float) -> Check:
    low, high = (display.level(level) if isinstance(level, str) else f"{level:.3g}" for level in at)
    says = f"{name} at {high} instead of {low} moves {of} by {moves.mean():.3g} (F = {strength**2:.1f}); "
    says += f"the Anderson-Rubin interval of 99.9% is {'bounded' if strength > _STRONG else 'unbounded: too weak'}"
    return Check(name="first stage", passed=strength > _STRONG, says=says)
