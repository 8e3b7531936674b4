"""Conditions: what operator and hardware do to each node, minute by minute, and what ``do`` puts in their place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from causalrel import errors
from causalrel.simulation.scenario import GPUS, Scenario
from causalrel.simulation.workload import expected_rate
from causalrel.telemetry.schema import LOAD, METRIC_VARIABLES, REQUEST_VARIABLES

#: Variables that ``do`` may set.
SETTABLE = ("batch_size", "model_version", "gpu_count", "sm_clock_mhz")

#: Seconds between two rows of the conditions.
STEP_S = 60.0

_WANDER = 0.02  # share of the clock's wander that is forgotten in a step
_RAMP_S = 900.0  # time in which a fault comes on


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Configuration and hardware of each node; arrays have shape (n_nodes, n_steps) unless said otherwise.

    Parameters
    ----------
    batch_size : ndarray of int64
        Most sequences served at once.
    version : ndarray of int64
        Position in the scenario's versions.
    gpu_count : int
        GPUs a node.
    clock_mhz : ndarray of float64
        SM clock.
    heat_c : ndarray of float64
        Temperature added by a fault.
    speed : ndarray of float64, shape (n_nodes,)
        Speed of each node beside its fellows.

    Examples
    --------
    >>> from causalrel.simulation.scenario import load_scenario
    >>> held = draw_conditions(
    ...     load_scenario("llm-canary"), 3600.0, {"batch_size": 8}, *np.random.default_rng(0).spawn(2)
    ... )
    >>> held.batch_size.min(), held.batch_size.shape
    (np.int64(8), (4, 60))
    """

    batch_size: NDArray[np.int64]
    version: NDArray[np.int64]
    gpu_count: int
    clock_mhz: NDArray[np.float64]
    heat_c: NDArray[np.float64]
    speed: NDArray[np.float64]


def draw_conditions(
    scenario: Scenario,
    span_s: float,
    do: Mapping[str, object],
    policy: np.random.Generator,
    hardware: np.random.Generator,
) -> Conditions:
    """Draw the conditions of a span, then hold what ``do`` names.

    Parameters
    ----------
    scenario : Scenario
        The service.
    span_s : float
        Seconds.
    do : mapping of str to object
        Values held for the whole span; draws are made all the same, so that nothing else moves.
    policy, hardware : numpy.random.Generator
        Two streams.

    Returns
    -------
    Conditions
        One row a node.

    Raises
    ------
    CausalrelError
        When ``do`` names what cannot be set, or a value that cannot be.

    Examples
    --------
    >>> from causalrel.simulation.scenario import load_scenario
    >>> drawn = draw_conditions(load_scenario("llm-canary"), 604_800.0, {}, *np.random.default_rng(0).spawn(2))
    >>> sorted(set(drawn.batch_size.ravel().tolist()))
    [4, 8]
    """
    held = _check_do(scenario, do)
    steps = max(1, int(np.ceil(span_s / STEP_S)))
    time_s = np.arange(steps, dtype=np.float64) * STEP_S
    batch = _draw_policy(scenario, time_s, policy)
    version = _roll_out(scenario, time_s)
    speed = np.exp(scenario.fleet.speed_sd * hardware.standard_normal(len(scenario.fleet.nodes)))
    clock, heat = _draw_clock(scenario, time_s, hardware)
    if "batch_size" in held:
        batch = np.full_like(batch, held["batch_size"])
    if "model_version" in held:
        version = np.full_like(version, held["model_version"])
    if "sm_clock_mhz" in held:
        clock = np.full_like(clock, held["sm_clock_mhz"])
    return Conditions(
        batch_size=batch,
        version=version,
        gpu_count=int(held.get("gpu_count", scenario.fleet.gpu_count)),
        clock_mhz=clock,
        heat_c=heat,
        speed=speed,
    )


def _check_do(scenario: Scenario, do: Mapping[str, object]) -> dict[str, float]:
    """Read the values of ``do`` as numbers; a version becomes its position."""
    roles = {variable.name: variable.role for variable in (*REQUEST_VARIABLES, *METRIC_VARIABLES, LOAD)}
    held: dict[str, float] = {}
    for name, value in do.items():
        if name in SETTABLE:
            held[name] = _read_value(scenario, name, value)
        elif name in roles and roles[name] not in {"config", "hardware"}:
            kind = f"{'an' if roles[name][0] in 'aeiou' else 'a'} {roles[name]} variable"
            raise errors.bad_question(
                f"do cannot set '{name}': it is {kind}, and only config and hardware can be set",
                f"set one of {', '.join(SETTABLE)}",
            )
        elif name in roles:
            raise errors.bad_question(
                f"do cannot set '{name}': this simulation holds it constant", f"set one of {', '.join(SETTABLE)}"
            )
        else:
            raise errors.unknown_variable(name, "do", SETTABLE)
    return held


def _read_value(scenario: Scenario, name: str, value: object) -> float:
    if name == "model_version":
        if str(value) not in scenario.versions:
            raise errors.unknown_name(str(value), "model version", scenario.versions)
        return float(list(scenario.versions).index(str(value)))
    try:
        number = float(str(value)) if not isinstance(value, bool) else float("nan")
    except ValueError:
        number = float("nan")
    if name == "sm_clock_mhz":
        if not 1.0 <= number <= 10_000.0:
            raise errors.bad_question(f"do cannot set sm_clock_mhz to '{value}'", "write MHz between 1 and 10000")
    elif not (1.0 <= number <= 65_536.0 and number == int(number)):
        raise errors.bad_question(f"do cannot set {name} to '{value}'", "write a whole number between 1 and 65536")
    return number


def _draw_policy(scenario: Scenario, time_s: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Decide each node's batch size for blocks of hours: high where expected load times noise passes a threshold."""
    policy = scenario.policy
    every = policy.every.total_seconds()
    stagger = policy.stagger.total_seconds() if policy.stagger else 0.0
    load = expected_rate(scenario, time_s) / scenario.workload.requests_per_s
    batch = np.empty((len(scenario.fleet.nodes), time_s.size), dtype=np.int64)
    for node in range(batch.shape[0]):
        block = np.floor((time_s - stagger * node % every) / every).astype(np.int64) + 1
        size = np.maximum(np.bincount(block), 1)
        expected = np.bincount(block, weights=load) / size
        felt = expected * np.exp(policy.noise * rng.standard_normal(expected.size))
        batch[node] = np.where(felt > policy.raise_at, policy.high, policy.low)[block]
    return batch


def _roll_out(scenario: Scenario, time_s: NDArray[np.float64]) -> NDArray[np.int64]:
    names = list(scenario.versions)
    version = np.full((len(scenario.fleet.nodes), time_s.size), names.index(scenario.rollout.before), dtype=np.int64)
    for step in scenario.rollout.steps:
        late = time_s >= step.after.total_seconds()
        version[scenario.fleet.nodes.index(step.node), late] = names.index(scenario.rollout.after)
    return version


def _draw_clock(
    scenario: Scenario, time_s: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Let each clock wander below its boost value, and hold it down where a fault lies."""
    fleet = scenario.fleet
    shape = (len(fleet.nodes), time_s.size)
    wander = rng.standard_normal(shape)
    keep = 1.0 - _WANDER
    wander[:, 1:] *= np.sqrt(1.0 - keep * keep)
    for step in range(1, time_s.size):
        wander[:, step] += keep * wander[:, step - 1]
    clock = GPUS[fleet.gpu_type][0] * np.clip(1.0 - 2.0 * fleet.clock_sd + fleet.clock_sd * wander, 0.5, 1.0)
    heat = np.zeros(shape)
    for fault in fleet.faults:
        start = fault.after.total_seconds()
        end = start + fault.lasts.total_seconds() if fault.lasts else np.inf
        grip = np.clip((time_s - start) / _RAMP_S, 0.0, 1.0) * (time_s < end)
        node = fleet.nodes.index(fault.node)
        clock[node] *= 1.0 - (1.0 - fault.clock) * grip
        heat[node] += fault.temp_rise_c * grip
    return clock, heat
