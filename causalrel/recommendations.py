"""Recommendations: the cheapest configuration that meets every SLO with a probability, beside the others."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from causalrel import display, errors
from causalrel.configurations import levels_between
from causalrel.estimates import Check, Estimate, refusal
from causalrel.expressions import columns_of, compile_expression
from causalrel.interventions import is_moved
from causalrel.networks import Network
from causalrel.scenarios import whatif
from causalrel.trials import run_at
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.simulation.documents import Told

Level = float | int | str

_MOST = 200

_METHOD = (
    "each configuration by a what-if on the same futures; met where no SLO burns above its budget rate in the horizon"
)
_TRIED = (
    "each configuration by runs drawn at it from the load tests; met where in a run no SLO has more bad events than it "
    "allows"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Option:
    """One configuration with support: its burns, whether every SLO is met, and its cost."""

    name: str
    support: str
    burns: NDArray[np.float64]
    cost: float
    answer: Estimate

    @property
    def met(self) -> NDArray[np.float64]:
        return np.where((self.burns <= 1).all(axis=1), 1.0, 0.0)


def recommend(
    windows: Windows,
    network: Network,
    *,
    over: Mapping[str, Sequence[Level] | None],
    cost: str,
    p: float = 0.95,
    horizon: str = "7d",
    scenario: Told | None = None,
    seed: int = 0,
) -> Estimate:
    """Recommend the cheapest configuration that meets every SLO with probability ``p``.

    Over the horizon, or of load tests, whose rows have no time, in one run.

    Parameters
    ----------
    windows : Windows
        The windows.
    network : Network
        A network fitted to them.
    over : mapping of str to levels or None
        Config or hardware variables to choose, and their values; None for those seen and, of numbers, those halfway
        between, but of load tests those seen alone. Values between seen ones are interpolated, values beyond them left
        out. Also what comes, such as the number of users: of load tests at one value each, of windows with time moved
        by one expression on itself, such as ``["load * 1.2"]``.
    cost : str
        What a configuration costs, an expression on what can be set, such as ``"gpu_count * 2.5"``; of load tests a
        number of the rows that had it, where any had.
    p : float
        Probability with which all SLOs shall be met together.
    horizon : str
        How far ahead, such as ``7d``; load tests have none.
    scenario : str, Path, mapping or Scenario, optional
        A simulator to ask where nothing like it was seen, as in :func:`causalrel.whatif`.
    seed : int
        Seed of the futures, the same for every configuration.

    Returns
    -------
    Estimate
        Terms ``configuration`` and ``support``: each SLO's ``burn``; under ``slo`` ``all`` whether all are ``met``,
        the ``cost`` and, once, the ``target`` probability. ``as is`` is among them but for load tests, and ``decision``
        names the one recommended. Bounded where that is interpolated or simulated; refused where none reaches ``p`` or
        none has support.

    Raises
    ------
    CausalrelError
        When a variable cannot be set or never varied, ``p`` is no probability, or the cost gives no number.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> network = cr.fit(windows, cr.load_graph("llm-serving").project(windows.names))
    >>> answer = cr.recommend(windows, network, over={"batch_size": None}, cost="1 / batch_size", horizon="1d")
    >>> answer.verdict
    'refused'
    """
    grid = _grid(windows, network, over, p, simulated=scenario is not None)
    options, without = _try(windows, network, grid, cost, horizon, scenario, seed)
    names, method = ", ".join(over), _TRIED if windows.timeless else _METHOD
    lasts = "in a run" if windows.timeless else f"over {horizon}"
    question = f"Which {names} is cheapest by {cost} and meets all SLOs with probability {p:g} {lasts}?"
    origin = windows.origin(seed, network.graph.fingerprint())
    left_out = f"; left out: {'; '.join(without)}" if without else ""
    checks = [Check(name="seen", passed=bool(options), says=f"{len(options)} configurations have support{left_out}")]
    reach = [option for option in options if option.met.mean() >= p]
    best = max(options, key=lambda option: float(option.met.mean()), default=None)
    if best is None or not reach:
        if best is not None:
            said = f"no configuration reaches {p:g}: the best is {best.name} with {display.number(best.met.mean(), 2)}"
            checks.append(Check(name="reach", passed=False, says=said))
        return refusal(question, method=method, checks=checks, origin=origin)
    chosen = min(reach, key=lambda option: (option.cost, -option.met.mean()))
    checks += [check for check in chosen.answer.checks if check.name not in ("seen", "decision")]
    checks.append(Check(name="decision", passed=True, says=_say(chosen, options, p)))
    return _answer(network, options, question, method, checks, chosen, p)


def _answer(
    network: Network,
    options: list[_Option],
    question: str,
    method: str,
    checks: list[Check],
    chosen: _Option,
    p: float,
) -> Estimate:
    rows: list[tuple[str, ...]] = [("all", "target", "1", chosen.name, chosen.support)]
    parts: list[NDArray[np.float64]] = [np.full(len(chosen.met), p)]
    for option in options:
        keys = (option.name, option.support)
        rows += [(slo.name, "burn", "1", *keys) for slo in network.slos]
        rows += [("all", "met", "1", *keys), ("all", "cost", "cost", *keys)]
        parts += [*option.burns.T, option.met, np.full(len(option.met), option.cost)]
    return Estimate(
        question=question,
        draws=np.column_stack(parts),
        terms=pl.DataFrame(rows, schema=["slo", "quantity", "unit", "configuration", "support"], orient="row"),
        unit="1",
        method=method,
        assumptions=chosen.answer.assumptions if method == _TRIED else chosen.answer.assumptions[:-1],
        checks=tuple(checks),
        verdict="bounded" if any(not check.passed for check in checks) else "answered",
        origin=chosen.answer.origin,
        decision=chosen.name,
    )


def _say(chosen: _Option, options: list[_Option], p: float) -> str:
    now = next((option for option in options if option.name == "as is"), None)
    met, cost = display.number(float(chosen.met.mean()), 2), display.number(chosen.cost)
    start = f"{chosen.name} is the cheapest of {len(options)} configurations that meets all SLOs with {p:g}"
    beside = f" (as is: {display.number(float(now.met.mean()), 2)} at {display.number(now.cost)})" if now else ""
    return f"{start}: {met} at a cost of {cost}{beside}"


def _grid(
    windows: Windows, network: Network, over: Mapping[str, Sequence[Level] | None], p: float, *, simulated: bool
) -> list[dict[str, Level]]:
    """Return every combination asked about."""
    if not 0 < p < 1:
        raise errors.bad_question(f"recommend: {p} is no probability to reach", "write one between 0 and 1, as 0.95")
    if not over:
        raise errors.bad_question("recommend: nothing may be chosen", "name what may be set, as batch_size=4,8")
    if windows.timeless and simulated:
        raise errors.bad_question("recommend: load tests are not simulated", "leave scenario out, or ask twin of them")
    levels: dict[str, list[Any]] = {}
    for name, given in over.items():
        variable, kind = network.mechanism(name).variable, windows.variable(name).kind
        coming = variable.role == "workload" and given is not None and len(given) == 1
        if coming and given and (windows.timeless or is_moved(variable, given[0])):
            levels[name] = [_level(kind, given[0]) if windows.timeless else given[0]]
            continue
        if not variable.settable:
            said = f"recommend: '{name}' is of role {variable.role}, which nobody can set"
            raise errors.bad_question(said, "choose config or hardware variables")
        seen = windows.table[name].drop_nulls()
        if seen.n_unique() < 2:
            what = f"was {display.level(seen[0])} throughout" if len(seen) else "was never seen"
            raise errors.bad_question(f"recommend: '{name}' {what}, so nothing can be chosen", "choose what varied")
        if given is not None:
            levels[name] = [_level(kind, level) for level in given]
        else:
            levels[name] = seen.unique().sort().to_list() if windows.timeless else levels_between(windows, name)
    count = math.prod(len(values) for values in levels.values())
    if count > _MOST:
        raise errors.bad_question(f"recommend: {count} configurations are more than {_MOST}", "name fewer levels")
    return [dict(zip(levels, values, strict=True)) for values in itertools.product(*levels.values())]


def _level(kind: str, level: Level) -> Level:
    if kind == "category":
        return str(level)
    try:
        return float(level)
    except ValueError:
        raise errors.bad_question(f"recommend: '{level}' is no number", "write levels such as 4,8") from None


def _try(
    windows: Windows,
    network: Network,
    grid: list[dict[str, Level]],
    cost: str,
    horizon: str,
    scenario: Told | None,
    seed: int,
) -> tuple[list[_Option], list[str]]:
    """Ask about each configuration; return those with support, and why others have none."""
    options: list[_Option] = []
    without: list[str] = []
    for settings in grid:
        if windows.timeless:
            answer = run_at(windows, network, do=settings, seed=seed)
        else:
            answer = whatif(windows, network, do=settings, horizon=horizon, scenario=scenario, seed=seed)
        name = ", ".join(f"{key} = {display.level(level)}" for key, level in settings.items())
        if answer.verdict == "refused":
            without.append(answer.why)
            continue
        if not options and not windows.timeless:
            burns = answer.select(quantity="burn", scenario="as is").draws
            options.append(
                _Option(
                    name="as is", support="seen", burns=burns, cost=_price(windows, network, {}, cost), answer=answer
                )
            )
        simulated = any(check.name == "simulator" for check in answer.checks)
        between = any(check.name == "relied on" for check in answer.failed)
        options.append(
            _Option(
                name=name,
                support="simulated" if simulated else "interpolated" if between else "seen",
                burns=answer.select(quantity="burn", scenario="changed").draws,
                cost=_price(windows, network, settings, cost),
                answer=answer,
            )
        )
    return options, without


def _price(windows: Windows, network: Network, settings: Mapping[str, Level], cost: str) -> float:
    """Evaluate the cost with some variables set and the others as each unit had them last; the mean of the units.

    Of load tests the others are as in the runs with what was set, where there are any.
    """
    known = windows.variables if windows.timeless else network.graph.variables
    names = [v.name for v in known if v.settable and v.name in windows.table.columns]
    names = [name for name in names if windows.variable(name).kind != "category"]
    if windows.timeless:
        now = _tried(windows, names, settings, cost)
    else:
        last = windows.table.sort("time").group_by("unit", maintain_order=True)
        now = last.agg(pl.col(names).cast(pl.Float64).drop_nulls().last())
    now = now.with_columns(pl.lit(float(level)).alias(name) for name, level in settings.items() if name in names)
    made = now.select(compile_expression(cost, sorted(names), "recommend").alias("cost"))["cost"]
    price = made.cast(pl.Float64, strict=False).mean() if made.dtype.is_numeric() else None
    if not isinstance(price, float) or not math.isfinite(price):
        raise errors.bad_question(f"recommend: '{cost}' gives no cost", "write an expression such as gpu_count * 2.5")
    return price


def _tried(windows: Windows, names: list[str], settings: Mapping[str, Level], cost: str) -> pl.DataFrame:
    """Return the load tests with what was set, or one row to set it in where the cost needs nothing else."""
    alike = pl.all_horizontal(pl.lit(True), *[pl.col(name) == level for name, level in settings.items()])
    found = windows.table.filter(alike).select(pl.col(names).cast(pl.Float64))
    unknown = sorted(columns_of(cost) - set(settings))
    if not found.height and unknown:
        said = f"recommend: no load test had what is asked, so its {unknown[0]} is not known"
        raise errors.bad_question(said, "name configurations that were run, or a cost of what is set")
    return found if found.height else pl.DataFrame({name: [0.0] for name in names})
