"""Reaches: a configuration nobody ran, told from the nearest that was run and what a simulator says lies between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from causalrel import display
from causalrel.estimates import Check
from causalrel.futures import Move, add_up
from causalrel.futures.histories import Past
from causalrel.networks import Network
from causalrel.simulation import simulate
from causalrel.simulation.documents import Told, load_scenario
from causalrel.simulation.settings import SETTINGS
from causalrel.slos import SLO
from causalrel.windows import Windows, window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: How it is done.
REACHED = (
    "for what nobody ran the nearest configuration that was, its odds moved by what a simulator says changes from "
    "there, times a factor and plus a motion learnt between configurations seen (Kennedy and O'Hagan 2001, "
    "doi:10.1111/1467-9868.00294)"
)

#: How far beyond what was seen a simulator is asked, in ranges seen, on the log scale of what is above zero.
FARTHEST = 1.0

#: Configurations that the simulator is learnt from, and the least share of the windows that each had.
_MOST, _RARE = 12, 0.02

#: Standard deviations, before anything is seen, of the factor on what a simulator says changes and, per range seen, of
#: what it misses beside.
_FACTOR, _MISSED = 0.5, 0.5

_GRID = np.linspace(0.02, 2.0, 60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What stands for a configuration that nobody ran.

    Parameters
    ----------
    nearest : dict of str to ndarray, shape (n_rows,)
        The nearest configuration that was run, as a value a row of the past.
    moves : dict of str to Move
        By SLO, draws of what the change from there adds to the log odds of a bad event.
    told : dict of str to float
        What the simulator alone says of it.
    checks : tuple of Check
        What it relies on, or one named ``seen`` of why there is none.
    """

    nearest: dict[str, NDArray[Any]]
    moves: dict[str, Move]
    told: dict[str, float]
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """Configurations that were run and where they lie; the one asked about is at zero and the nearest first."""

    rows: list[dict[str, Any]]
    at: Floats


def reach_out(
    windows: Windows,
    network: Network,
    past: Past,
    values: Mapping[str, NDArray[Any]],
    scenario: Told,
    draws: int,
    seed: int,
) -> Reach:
    """Tell a configuration that nobody ran from the nearest that was, by a simulator whose bias is learnt.

    Parameters
    ----------
    windows : Windows
        The windows.
    network : Network
        A network fitted to them.
    past : Past
        The days that futures are drawn from.
    values : mapping of str to ndarray, shape (n_rows,)
        What is set.
    scenario : str, Path, mapping or Scenario
        The simulator's account of the service.
    draws : int
        Number of futures.
    seed : int
        Seed of simulations and draws.

    Returns
    -------
    Reach
        The reach; one failed check where there is none.

    Raises
    ------
    CausalrelError
        When the scenario is not usable.

    Examples
    --------
    >>> from datetime import timedelta
    >>> import causalrel as cr
    >>> from causalrel.futures.histories import past_of
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> network = cr.fit(windows, cr.load_graph("llm-serving").project(windows.names))
    >>> past = past_of(windows, network, timedelta(days=1), also=("batch_size",))
    >>> values = {"batch_size": np.full(len(past.bin), 10.0)}
    >>> reach = reach_out(windows, network, past, values, "llm-canary", 400, 0)
    >>> float(reach.nearest["batch_size"][0]), bool(reach.moves["ttft"].odds.mean() < 0)
    (8.0, True)
    """
    believed = load_scenario(scenario)
    asked = pl.DataFrame(dict(values)).unique(maintain_order=True).to_dicts()
    found = _look(windows, asked, past.slos)
    if isinstance(found, str):
        says = (
            f"{display.configuration(asked[0])} was never seen, and scenario {believed.scenario} does not help: {found}"
        )
        return Reach(nearest={}, moves={}, told={}, checks=(Check(name="seen", passed=False, says=says),))
    configurations = [asked[0], *found.rows]
    told = _simulated(believed, configurations, past.slos, seed)
    known = _known(past, network, found.rows)
    change = {name: float(both[0] - both[1]) for name, both in told.items()}
    moves, said = {}, []
    for place, slo in enumerate(past.slos):
        rng = np.random.default_rng([seed, 20, place])
        odds = beyond(told[slo.name], known[slo.name], found.at, draws, rng)
        moves[slo.name] = Move(odds=odds[:, None])
        low, high = np.exp(np.quantile(odds, [0.05, 0.95]))
        band = f"{display.number(float(low))} to {display.number(float(high))}"
        said.append(f"{slo.name} {display.number(float(np.exp(change[slo.name])))} and {band}")
    says = (
        f"{display.configuration(asked[0])} was never seen: it is told from {display.configuration(found.rows[0])} and "
        f"what scenario {believed.scenario} says changes from there, its bias learnt from {len(found.rows)} "
        "configurations seen"
    )
    heard = f"the odds of a bad event change by, and with the simulator's bias, {'; '.join(said)}"
    checks = (Check(name="relied on", passed=False, says=says), Check(name="simulator", passed=True, says=heard))
    nearest = {name: np.full(len(past.bin), level) for name, level in found.rows[0].items()}
    return Reach(nearest=nearest, moves=moves, told=change, checks=checks)


def beyond(told: Floats, known: Floats, at: Floats, draws: int, rng: np.random.Generator) -> Floats:
    """Draw what lies between the nearest configuration and the one asked about.

    What is known of the changes between configurations seen is a factor on what the simulator says of them, plus
    Levy's Brownian motion of the distance (Kennedy and O'Hagan 2001, doi:10.1111/1467-9868.00294, with a process that
    forgets nothing of what it missed at the end of the range). The factor has a normal prior of mean one, the motion's
    scale a half-normal one, summed over a grid.

    Parameters
    ----------
    told : ndarray of float64, shape (1 + n_seen,)
        What the simulator says: of the configuration asked about, of the nearest, of the others.
    known : ndarray of float64, shape (n_draws, n_seen)
        Draws of what is known of those seen.
    at : ndarray of float64, shape (1 + n_seen, n_numbers)
        Where they lie, in ranges seen.
    draws : int
        Number of draws.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray of float64, shape (draws,)
        The difference of the one asked about from the nearest.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> known = np.array([1.2, 0.9, 0.6, 0.3]) + 0.01 * rng.normal(size=(200, 4))
    >>> told = np.array([2.5, 2.0, 1.5, 1.0, 0.5])
    >>> at = np.array([[1.33], [1.0], [0.67], [0.33], [0.0]])
    >>> made = beyond(told, known, at, 4000, rng)
    >>> bool(abs(made.mean() - 0.3) < 0.05), bool(made.std() < 0.25)
    (True, True)
    """
    change = told - told[1]
    steps = known[:, 1:] - known[:, :1]
    seen, noise = steps.mean(axis=0), np.atleast_2d(np.cov(steps, rowvar=False))
    place = np.append(0, np.arange(2, len(told)))
    far = np.linalg.norm(at - at[1], axis=1)[place]
    apart = np.linalg.norm(at[place][:, None] - at[place][None], axis=2)
    motion = (far[:, None] + far[None] - apart) / 2
    shared = _FACTOR**2 * np.outer(change[place], change[place])
    weights, means, sds = [], [], []
    for scale in _GRID:
        cover = shared + scale**2 * motion
        inner = cover[1:, 1:] + noise + 1e-6 * np.eye(len(seen))
        left = seen - change[2:]
        solved = np.linalg.solve(inner, np.column_stack([left, cover[1:, 0]]))
        fit = -0.5 * (left @ solved[:, 0] + np.linalg.slogdet(inner)[1])
        weights.append(fit - 0.5 * (scale / _MISSED) ** 2)
        means.append(change[0] + cover[0, 1:] @ solved[:, 0])
        sds.append(np.sqrt(max(cover[0, 0] - cover[0, 1:] @ solved[:, 1], 0.0)))
    chances = np.exp(np.array(weights) - max(weights))
    picked = rng.choice(len(_GRID), size=draws, p=chances / chances.sum())
    return np.asarray(np.array(means)[picked] + np.array(sds)[picked] * rng.standard_normal(draws))


def _look(windows: Windows, asked: Sequence[Mapping[str, Any]], slos: Sequence[SLO]) -> _Seen | str:
    """Find the configurations that were run, or say why none can be reached from."""
    one = asked[0]
    strange = [name for name in one if name not in SETTINGS]
    counted = [slo.name for slo in slos if not slo.where]
    if len(asked) > 1:
        return "units are set to different values"
    if strange or counted:
        return f"it cannot set {strange[0]}" if strange else f"{counted[0]} has no predicate to judge its requests by"
    parts = [name for name, level in one.items() if SETTINGS[name].form == "whole" and not _whole(level)]
    if parts:
        return f"{parts[0]} is a whole number there"
    labels = [name for name, level in one.items() if isinstance(level, str)]
    numbers = [name for name in one if name not in labels]
    table = windows.table.select(*[pl.col(name).cast(pl.String) for name in labels], *numbers).drop_nulls()
    same = table.filter(pl.all_horizontal(pl.lit(True), *[pl.col(name) == one[name] for name in labels]))
    counts = same.group_by(numbers, maintain_order=True).len().filter(pl.col("len") >= _RARE * table.height)
    counts = counts.sort("len", *numbers, descending=True).head(_MOST) if numbers else counts.clear()
    if counts.height < 2:
        lacks = "was run in two ways, so nobody knows how wrong it is when that changes"
        return f"nothing like {display.configuration(one)} {lacks}"
    points = np.vstack([[[float(one[name]) for name in numbers]], counts.select(numbers).cast(pl.Float64).to_numpy()])
    at = np.column_stack([np.log(column) if (column > 0).all() else column for column in points.T])
    size = np.ptp(at[1:], axis=0)
    if ((size == 0) & (at[0] != at[1])).any():
        stood = numbers[int(np.flatnonzero((size == 0) & (at[0] != at[1]))[0])]
        return f"{stood} was {display.level(counts[stood][0])} throughout, so its bias there is not known"
    at = at / np.where(size > 0, size, 1.0)
    apart = np.linalg.norm(at[1:] - at[0], axis=1)
    if apart.min() > FARTHEST:
        said = f"{display.configuration(one)} lies {display.number(float(apart.min()))} ranges beyond those seen"
        return f"{said}; {FARTHEST:g} is most"
    order = np.argsort(apart, kind="stable")
    rows = [{name: one[name] if name in labels else float(row[name]) for name in one} for row in counts.to_dicts()]
    return _Seen(rows=[rows[place] for place in order], at=np.vstack([at[:1], at[1:][order]]))


def _whole(level: object) -> bool:
    return not isinstance(level, str) and float(str(level)).is_integer()


def _simulated(
    scenario: Told, configurations: Sequence[Mapping[str, Any]], slos: Sequence[SLO], seed: int
) -> dict[str, Floats]:
    """Return the simulated log odds of a bad event by SLO and configuration."""
    made: dict[str, list[float]] = {slo.name: [] for slo in slos}
    for one in configurations:
        do = {name: int(level) if SETTINGS[name].form == "whole" else level for name, level in one.items()}
        table = window(simulate(scenario, seed=seed, do=do), slos, every="1h").table
        for slo in slos:
            bad, total = (float(table[f"{slo.name}.{part}"].sum()) for part in ("bad", "total"))
            made[slo.name].append(float(np.log((bad + 0.5) / (total - bad + 0.5))))
    return {name: np.array(odds) for name, odds in made.items()}


def _known(past: Past, network: Network, rows: Sequence[Mapping[str, Any]]) -> dict[str, Floats]:
    """Return draws of the log odds of a bad event on the days seen, by SLO, had each configuration been in force."""
    weights = {slo.name: past.columns[f"{slo.name}.total"] for slo in past.slos}
    scenarios = {
        str(place): {name: np.full(len(past.bin), level) for name, level in row.items()}
        for place, row in enumerate(rows)
    }
    days = replace(past, mechanisms=network.causes(list(weights)))
    sums = add_up(days, weights, scenarios, network.n_draws)[1]
    made = {}
    for name, weight in weights.items():
        share = np.column_stack([sums[place][name].sum(axis=0) for place in scenarios]) / max(float(weight.sum()), 1e-9)
        share = np.clip(share, 1e-9, 1 - 1e-9)
        made[name] = np.log(share / (1 - share))
    return made
