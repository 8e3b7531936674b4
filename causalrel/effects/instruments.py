"""Instruments: an effect told by what moves the treatment and reaches the outcome through it alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np
import polars as pl

from causalrel import display
from causalrel.effects.designs import MOST_LEVELS, Design, Level, layout, make_design
from causalrel.effects.fronts import Answered, spread_draws
from causalrel.effects.soundness import judge
from causalrel.effects.standards import gradient, regress, standardise
from causalrel.estimates import Check
from causalrel.regressions import time_groups

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.identification import Instrument
    from causalrel.mixed import Mixed
    from causalrel.windows import Windows

#: Standard errors that the first stage must be from 0, so that the Anderson-Rubin interval of 99.9 % is bounded.
_STRONG = 3.29

#: Draws of the first stage further out than this share are drawn in, so that no ratio divides by nearly nothing.
_OUTMOST = 0.001

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

    Wald's ratio of two mixed regressions. Their draws are tied by the correlation of what blocks of windows add to
    both, which makes quantiles of the ratio those of Fieller's interval, here the Anderson-Rubin interval (Andrews,
    Stock and Sun 2019, doi:10.1146/annurev-economics-080218-025643). Where that interval is unbounded at 99.9 % the
    first stage is too weak. Of effects that differ it gives those of the windows that the instrument moves (Imbens and
    Angrist 1994, doi:10.2307/2951620).

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
    windows, per = _numbered(windows, of, levels)
    at = _apart(windows, name)
    pair = [
        make_design(windows, windows.variable(name), target, instrument.given, at, assigned_by) for target in (of, on)
    ]
    first, second = replace(pair[0], supported=pair[1].supported), pair[1]
    verdict, judged = judge(second, at)
    checks = [replace(check, name=f"{check.name} of {name}") for check in judged]
    if not (first.smooth and second.smooth):
        says = f"an instrument needs {name} switched within units, and ten bad events of {on}"
        return {}, [*checks, Check(name="first stage", passed=False, says=says)], "refused"
    if verdict == "refused":
        return {}, checks, verdict
    moves, shifts, strength = _both(first, second, at, draws, seed)
    checks.append(_strong(name, of, at, moves, strength))
    if not checks[-1].passed:
        return {}, checks, "refused"
    says = f"the answer speaks of the windows whose {of} {name} moves, not of all"
    checks.append(Check(name="whom it speaks of", passed=False, says=says))
    return {level: share * shifts / moves for level, share in per.items()}, checks, "bounded"


def _numbered(windows: Windows, of: str, levels: tuple[Level, ...]) -> tuple[Windows, dict[Level, float]]:
    """Write the treatment as a number, and tell how much of it each level lies above the baseline."""
    if windows.variable(of).kind != "category":
        return windows, {level: float(level) - float(levels[0]) for level in levels}
    second = (pl.col(of) == levels[1]).cast(pl.Float64)
    return replace(windows, table=windows.table.with_columns(second.alias(of))), {levels[0]: 0.0, levels[1]: 1.0}


def _apart(windows: Windows, name: str) -> tuple[Level, Level]:
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
    first: Design, second: Design, at: tuple[Level, Level], draws: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Draw what the instrument does to treatment and outcome, jointly; and how many standard errors the first is."""
    rows = np.arange(len(first.bad))
    fits = [cast("Mixed", regress(data, rows)) for data in (first, second)]
    ends = tuple(level if first.code is None else str(place) for place, level in enumerate(at))
    weight = np.ones(len(rows)) if second.total is None else second.total
    wholes = []
    for data, fitted in zip((first, second), fits, strict=True):
        follows = layout(data)[1]
        mean = (fitted.weights @ fitted.means)[follows]
        low, high = (gradient(data, rows, fitted, end, mean, weight) for end in ends)
        whole = np.zeros(len(follows))
        whole[follows] = high - low
        wholes.append(whole)
    rng = np.random.default_rng([seed, 5])
    contrast = wholes[0][layout(first)[1]]
    moves = spread_draws(first, fits[0], [contrast], draws, rng) @ contrast
    strength = abs(float(moves.mean())) / max(float(moves.std()), 1e-300)
    moves = np.clip(moves, *np.quantile(moves, [_OUTMOST, 1 - _OUTMOST]))
    low, high = standardise(second, rows, fits[1], ends, draws, seed)
    tie = _tie(first, [fitted.influence(whole) for fitted, whole in zip(fits, wholes, strict=True)], fits)
    normal = rng.standard_normal((2, draws))
    normal[1] = tie * normal[0] + np.sqrt(1 - tie**2) * normal[1]
    order = [np.argsort(np.argsort(one)) for one in normal]
    return np.sort(moves)[order[0]], np.sort(high - low)[order[1]], strength


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


def _strong(name: str, of: str, at: tuple[Level, Level], moves: NDArray[np.float64], strength: float) -> Check:
    low, high = (display.level(level) if isinstance(level, str) else f"{level:.3g}" for level in at)
    says = f"{name} at {high} instead of {low} moves {of} by {moves.mean():.3g} (F = {strength**2:.1f}); "
    says += f"the Anderson-Rubin interval of 99.9% is {'bounded' if strength > _STRONG else 'unbounded: too weak'}"
    return Check(name="first stage", passed=strength > _STRONG, says=says)
