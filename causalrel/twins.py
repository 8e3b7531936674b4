"""Twins: what a simulator says of a configuration nobody ran, corrected by how wrong it was at those that were run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from causalrel import display, errors
from causalrel.estimates import Check, Estimate, refusal
from causalrel.mechanisms.choices import Known, make_surface
from causalrel.mechanisms.drafts import rows_of
from causalrel.mechanisms.learners import Sample, held_out, learn
from causalrel.simulation import simulate
from causalrel.simulation.documents import Told, load_scenario
from causalrel.simulation.scenario import Scenario
from causalrel.simulation.settings import SETTINGS
from causalrel.surfaces import HALF, Surface
from causalrel.surfaces.domains import make_domain
from causalrel.telemetry.schema import REQUEST_VARIABLES
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Columns = dict[str, NDArray[Any]]

_LOAD, _SIMULATED = "load", "simulated"
_FOLDS, _FEWEST = 5, 20
#: Ways the configurations are cut into folds.
_TURNS = 4
#: How far beyond what was seen the twin speaks, as a share of the range seen, on the scale of that axis.
_FARTHEST = 0.5

_METHOD = (
    "the scenario simulated at every configuration; the log of what was seen over what it says is a Gaussian process "
    "of configuration, load and the simulated value (Kennedy and O'Hagan 2001, doi:10.1111/1467-9868.00294), its band "
    "as wide as configurations held out ask for, and wider beyond those seen"
)


def twin(
    runs: Windows,
    scenario: Told,
    *,
    on: str,
    at: Mapping[str, object] | Sequence[Mapping[str, object]],
    days: float | None = None,
    draws: int = 400,
    seed: int = 0,
) -> Estimate:
    """Foretell a metric at configurations nobody ran, by a simulator whose bias is learnt from those that were run.

    Parameters
    ----------
    runs : Windows
        Runs without time, one a row: settings of the simulator that varied, ``load`` in requests a second where it did,
        and the metric.
    scenario : str, Path, mapping or Scenario
        The simulator's account of the service. ``load`` takes the place of its requests a second.
    on : str
        A column of numbers that runs and simulated requests both have, such as ``ttft_s``; its mean.
    at : mapping of str to value, or sequence of those
        Configurations to foretell: a value for each of what varied; what did not stays as it was.
    days : float, optional
        How long each configuration is simulated; as long as the scenario says where not given.
    draws : int
        Number of draws.
    seed : int
        Seed of simulations and draws.

    Returns
    -------
    Estimate
        Terms ``slo`` (the metric), ``quantity`` (``value``), ``unit``, ``at`` (the configuration), ``simulated`` (what
        the simulator alone says) and ``standing`` (``seen``, ``between`` those seen, ``combined`` of labels never seen
        together, ``beyond`` the range). Bounded where a configuration is no mean of those seen; configurations of a
        label never run, or farther beyond than half the range, are left out, and the answer refused where no other is
        left.

    Raises
    ------
    CausalrelError
        When there are fewer than twenty runs, nothing the scenario can set varied, or a configuration is incomplete.

    Examples
    --------
    >>> import polars as pl
    >>> rng = np.random.default_rng(0)
    >>> sizes = [2, 3, 4, 6, 8] * 4
    >>> told = {size: mean_of("llm-canary", {"batch_size": size}, "tpot_s", 0.02, 0) for size in set(sizes)}
    >>> seen = [1.5 * told[size] * float(np.exp(0.02 * rng.normal())) for size in sizes]
    >>> frame = pl.DataFrame({"batch_size": sizes, "tpot_s": seen})
    >>> runs = Windows.from_frame(frame, time=None, roles={"batch_size": "config", "tpot_s": "outcome"}, events={})
    >>> answer = twin(runs, "llm-canary", on="tpot_s", at={"batch_size": 5}, days=0.02, draws=50)
    >>> ratio = answer.frame()["mean"].item() / answer.terms["simulated"].item()
    >>> bool(1.4 < ratio < 1.6), answer.terms["standing"].item()
    (True, 'between')
    """
    believed = load_scenario(scenario)
    columns, _ = rows_of(runs, [v.name for v in runs.variables if v.name in {*SETTINGS, _LOAD, on}])
    names = tuple(name for name in columns if name in {*SETTINGS, _LOAD})
    asked = _asked(columns, names, [at] if isinstance(at, Mapping) else at, on)
    simulator = _Simulator(scenario=believed, names=names, on=on, days=days, seed=seed)
    parents = {name: columns[name] for name in names}
    parents[_SIMULATED] = simulator.at(parents)
    bias = _bias(parents, columns[on], draws, seed)
    wanted = {name: np.array([one[name] for one in asked]) for name in names}
    near = ~_far(bias, wanted)
    wanted = {name: column[near] for name, column in wanted.items()}
    wanted[_SIMULATED] = simulator.at(wanted)
    reached = ~_far(bias, wanted)
    wanted, near[near] = {name: column[reached] for name, column in wanted.items()}, reached
    question = f"What would {on} be at {'; '.join(display.configuration(one) for one in asked)}?"
    checks = [_reached(asked, near)]
    if not near.any():
        return refusal(question, method=_METHOD, checks=checks, origin=runs.origin(seed))
    standing = bias.standing(wanted)
    checks.append(_relied(standing))
    rng = np.random.default_rng([seed, 18])
    ratio = bias.predictor(wanted) + bias.residual(wanted)[:, None] * rng.standard_normal((len(standing), draws))
    configurations = [display.configuration(one) for one, kept in zip(asked, near, strict=True) if kept]
    unit = next((v.unit for v in (runs.variable(on), *REQUEST_VARIABLES) if v.name == on and v.unit), "")
    head = {"slo": on, "quantity": "value", "unit": unit, "at": configurations}
    return Estimate(
        question=question,
        draws=np.asarray(wanted[_SIMULATED][:, None] * np.exp(ratio)).T,
        terms=pl.DataFrame({**head, "simulated": wanted[_SIMULATED], "standing": standing}),
        unit=unit,
        method=_METHOD,
        assumptions=(
            f"scenario {believed.scenario} holds what the runs do not tell, such as the lengths of prompts",
            "runs were set, not chosen: what else differed between them did not follow their configuration",
        ),
        checks=tuple(checks),
        verdict="answered" if all(check.passed for check in checks) else "bounded",
        origin=runs.origin(seed),
    )


def mean_of(scenario: Told, settings: Mapping[str, object], on: str, days: float | None = None, seed: int = 0) -> float:
    """Simulate one configuration and return the mean of a metric over requests that have it.

    Parameters
    ----------
    scenario : str, Path, mapping or Scenario
        The scenario.
    settings : mapping of str to value
        What is set, and ``load``, which takes the place of its requests a second.
    on : str
        A column of numbers of the simulated requests.
    days : float, optional
        How long; as long as the scenario says where not given.
    seed : int
        Seed.

    Returns
    -------
    float
        The mean.

    Raises
    ------
    CausalrelError
        When the simulation has no such column, or cannot take a setting.

    Examples
    --------
    >>> slow = mean_of("llm-canary", {"batch_size": 8, "load": 0.05}, "tpot_s", 0.02)
    >>> slow > mean_of("llm-canary", {"batch_size": 1, "load": 0.05}, "tpot_s", 0.02)
    True
    """
    made = load_scenario(scenario)
    if _LOAD in settings:
        load = made.workload.model_copy(update={"requests_per_s": float(str(settings[_LOAD]))})
        made = made.model_copy(update={"workload": load})
    do = {name: value for name, value in settings.items() if name != _LOAD}
    requests = simulate(made, days=days, seed=seed, do=do).frame()
    if on not in requests.columns or not requests[on].dtype.is_numeric() or requests[on].drop_nulls().is_empty():
        numbers = [name for name, kind in requests.schema.items() if kind.is_numeric()]
        raise errors.unknown_name(on, "number of simulated requests", numbers)
    return float(requests[on].drop_nulls().cast(pl.Float64).to_numpy().mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Simulator:
    """A scenario asked about one metric, one configuration after the other."""

    scenario: Scenario
    names: tuple[str, ...]
    on: str
    days: float | None
    seed: int

    def at(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        """Return the mean at every row, each different one simulated once."""
        rows = list(zip(*(columns[name].tolist() for name in self.names), strict=True))
        made: dict[tuple[Any, ...], float] = {}
        for row in rows:
            if row not in made:
                settings = {name: self._written(name, value) for name, value in zip(self.names, row, strict=True)}
                made[row] = mean_of(self.scenario, settings, self.on, self.days, self.seed)
        return np.array([made[row] for row in rows], dtype=np.float64)

    def _written(self, name: str, value: Any) -> Any:
        return int(value) if name in SETTINGS and SETTINGS[name].form == "whole" else value


def _asked(
    columns: Mapping[str, NDArray[Any]], names: Sequence[str], at: Sequence[Mapping[str, object]], on: str
) -> list[dict[str, object]]:
    """Return configurations whole, with what never varied; refuse runs too few or without the metric."""
    if on not in columns:
        raise errors.unknown_name(on, "number of the runs", columns)
    fixed = {name: columns[name][0].item() for name in names if len(np.unique(columns[name])) == 1}
    varied = [name for name in names if name not in fixed]
    if not varied:
        raise errors.bad_question("twin: no setting of the simulator varied in the runs", "run other configurations")
    count = len(columns[on])
    if count < _FEWEST or columns[on].min() <= 0:
        found = f"there are {count} complete runs, and {_FEWEST} are the least"
        raise errors.refused(f"the twin of {on}", found if count < _FEWEST else f"{on} is not above zero throughout")
    for one in at:
        lacks = [name for name in varied if name not in one]
        if lacks or set(one) - set(names):
            what = f"lacks {', '.join(lacks)}" if lacks else f"sets {', '.join(sorted(set(one) - set(names)))}"
            raise errors.bad_question(
                f"twin: the configuration {display.configuration(one)} {what}", f"give {', '.join(varied)}"
            )
        for name, value in one.items():
            _readable(name, value, number=columns[name].dtype.kind != "U")
    return [{name: one.get(name, fixed.get(name)) for name in names} for one in at]


def _readable(name: str, value: object, *, number: bool) -> None:
    """Refuse what is no number where numbers were run, and parts of what is counted."""
    if number and not isinstance(value, int | float):
        raise errors.bad_question(f"twin: {name} = {display.level(value)} is no number", "write one such as 8")
    if number and name in SETTINGS and SETTINGS[name].form == "whole" and float(str(value)) % 1:
        raise errors.bad_question(f"twin: {name} = {display.level(value)} is no whole number", "write one such as 8")


def _bias(parents: Mapping[str, NDArray[Any]], seen: NDArray[np.float64], draws: int, seed: int) -> Surface:
    """Learn the log of what was seen over what was simulated; configurations held out whole, in several ways."""
    ratio = np.log(seen) - np.log(parents[_SIMULATED])
    centre, scale = float(ratio.mean()), float(ratio.std()) or 1.0
    domain = make_domain(parents)
    block = np.unique(np.round(domain.columns(parents), 9), axis=0, return_inverse=True)[1].reshape(-1)
    size, missed, noises = [], [], []
    for turn in range(_TURNS):
        order = np.random.default_rng([seed, 19, turn]).permutation(int(block.max()) + 1)
        fold = order[block] % _FOLDS
        sample = Sample(values=parents, domain=domain, outcome=(ratio - centre) / scale, fold=fold, memory=1.0)
        mean, sd, noise = held_out(learn("process", sample, seed), sample)
        missed.append(np.abs(sample.outcome - mean))
        size.append(missed[-1] / sd)
        noises.append(noise)
    level = min(1.0, 0.9 * (1.0 + 1.0 / len(ratio)))
    known = Known(
        noise=float(np.median(noises)),
        factor=float(np.quantile(np.concatenate(size), level, method="higher")) / HALF,
        usual=float(np.sqrt(np.mean(np.concatenate(missed) ** 2))),
    )
    return make_surface("process", sample, known, centre=centre, scale=scale, draws=draws, seed=seed)


def _far(bias: Surface, values: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """Tell which rows have a label never seen, or a number farther out than the twin speaks."""
    made: NDArray[np.bool_] = np.zeros(len(next(iter(values.values()))), dtype=np.bool_)
    for axis in (*bias.domain.axes, *bias.domain.fixed):
        if axis.name not in values:
            continue
        if axis.levels or axis in bias.domain.fixed:
            made |= axis.beyond(values[axis.name])
            continue
        ends = axis.columns(np.array([axis.low, axis.high]))[:, 0]
        at = axis.columns(values[axis.name])[:, 0]
        made |= np.maximum(ends[0] - at, at - ends[1]) > _FARTHEST * (ends[1] - ends[0])
    return made | (~np.isfinite(bias.missed(values)[:, 0]) if _SIMULATED in values else False)


def _reached(asked: Sequence[Mapping[str, object]], near: NDArray[np.bool_]) -> Check:
    """Say which configurations are too far from any that was run."""
    far = [display.configuration(one) for one, kept in zip(asked, near, strict=True) if not kept]
    says = f"{'; '.join(far)}: too far from any run, so nothing is known of the simulator's bias there"
    return Check(name="seen", passed=not far, says=says if far else "every configuration lies near some that were run")


def _relied(standing: NDArray[np.str_]) -> Check:
    """Say what the answers rely on."""
    kinds, counts = np.unique(standing, return_counts=True)
    told = ", ".join(f"{count} {kind}" for kind, count in zip(kinds, counts, strict=True))
    return Check(
        name="relied on",
        passed=bool(np.isin(standing, ["seen", "between"]).all()),
        says=f"configurations by what is known of them: {told}",
    )
