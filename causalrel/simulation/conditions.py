"""Conditions: what operator and hardware do to each node, minute by minute, and what ``do`` puts in their place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from causalrel.simulation.hardware import load_calibration
from causalrel.simulation.scenario import Autoscaler, Policy, Scenario
from causalrel.simulation.settings import read_setting
from causalrel.simulation.workload import expected_rate

#: Seconds between two rows of the conditions.
STEP_S = 60.0

#: Power that switching takes grows with this power of the clock: voltage follows frequency (arXiv:2308.12908).
CLOCK_POWER = 3.0

_WANDER = 0.02  # share of the clock's wander that is forgotten in a step
_RAMP_S = 900.0  # time in which a fault comes on

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Configuration and hardware of each node; arrays have shape (n_nodes, n_steps) unless said otherwise.

    Parameters
    ----------
    values : dict of str to ndarray of float64
        Every setting; a name is its place among the scenario's choices.
    accepts : ndarray of bool
        Whether the router may send requests there: the node is up and the replica wanted.
    heat_c : ndarray of float64
        Temperature added by a fault.
    hidden : ndarray of float64
        1 where the scenario's hidden condition holds.
    xid : ndarray of int64
        Code of the XID event at a step, 0 where there was none.
    ecc : ndarray of int64
        Corrected memory errors since the start.
    speed : ndarray of float64, shape (n_nodes,)
        Speed of each node beside its fellows.

    Examples
    --------
    >>> from causalrel.simulation.runs import run_scenario
    >>> held = run_scenario("llm-canary", days=0.1, do={"batch_size": 8}).conditions
    >>> float(held.values["batch_size"].min()), held.accepts.shape
    (8.0, (4, 144))
    """

    values: dict[str, Values]
    accepts: NDArray[np.bool_]
    heat_c: Values
    hidden: Values
    xid: NDArray[np.int64]
    ecc: NDArray[np.int64]
    speed: Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """Random numbers of the conditions, one stream a purpose."""

    policy: np.random.Generator
    hardware: np.random.Generator
    failures: np.random.Generator
    hidden: np.random.Generator


def draw_conditions(
    scenario: Scenario, span_s: float, do: Mapping[str, object], arrival_s: Values, streams: Streams
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
    arrival_s : ndarray of float64
        Arrivals, which an autoscaler follows.
    streams : Streams
        Random numbers.

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
    >>> from causalrel.simulation.runs import run_scenario
    >>> drawn = run_scenario("llm-canary", days=1).conditions
    >>> sorted(set(drawn.values["batch_size"].ravel().tolist()))
    [4.0, 8.0]
    """
    held = {name: read_setting(name, value, scenario.choices) for name, value in do.items()}
    shape = (len(scenario.fleet.nodes), max(1, int(np.ceil(span_s / STEP_S))))
    time_s = np.arange(shape[1], dtype=np.float64) * STEP_S
    hidden = _draw_hidden(scenario, time_s, streams.hidden)
    values = _configured(scenario, shape)
    for policy in scenario.policies:
        values[policy.set] = _draw_policy(scenario, policy, time_s, hidden, streams.policy)
    _roll_out(scenario, time_s, values)
    if scenario.autoscaler is not None:
        wanted = _scale(scenario.autoscaler, arrival_s, time_s)
        values["replicas"] = np.broadcast_to(wanted, shape)
    speed = np.exp(scenario.fleet.speed_sd * streams.hardware.standard_normal(shape[0]))
    values["sm_clock_mhz"], heat = _draw_clock(scenario, time_s, streams.hardware)
    values |= {name: np.broadcast_to(value, shape) for name, value in held.items() if name not in _DRAWN_LATER}
    values["sm_clock_mhz"] = _cap_clock(scenario, values)
    up, xid, ecc = _draw_failures(scenario, values["firmware"], streams.failures)
    values["node_up"] = up.astype(np.float64)
    values |= {name: np.broadcast_to(held[name], shape) for name in _DRAWN_LATER if name in held}
    wanted_here = np.arange(shape[0])[:, None] < values["replicas"]
    return Conditions(
        values=values,
        accepts=(values["node_up"] > 0) & wanted_here,
        heat_c=heat,
        hidden=hidden,
        xid=xid if held.get("node_up", 0.0) == 0.0 else np.zeros_like(xid),
        ecc=ecc,
        speed=speed,
    )


_DRAWN_LATER = ("sm_clock_mhz", "node_up")


def _configured(scenario: Scenario, shape: tuple[int, int]) -> dict[str, Values]:
    """Lay out what config and pools say before anybody changes it."""
    choices, pools = scenario.choices, scenario.fleet.pools
    first = {"model_version": choices["model_version"][0], "prompt_template": choices["prompt_template"][0]}
    config = {
        "batch_size": "64",
        "max_batched_tokens": "2048",
        "chunked_prefill": "on",
        "replicas": str(shape[0]),
        "quantisation": "fp16",
        "kv_fraction": "0.9",
        "admission_limit": "0",
        "prompt_cache_tokens": "0",
        **first,
        **scenario.config,
    }
    values = {name: np.broadcast_to(read_setting(name, text, choices), shape) for name, text in config.items()}
    gpus = load_calibration().gpus
    of_node = [pool for pool in pools for _ in pool.nodes]
    columns = {
        "gpu_type": [choices["gpu_type"].index(pool.gpu_type) for pool in of_node],
        "firmware": [choices["firmware"].index(pool.firmware) for pool in of_node],
        "gpu_count": [pool.gpu_count for pool in of_node],
    }
    if "gpu_count" not in scenario.config:
        values["gpu_count"] = np.broadcast_to(np.array(columns["gpu_count"], dtype=np.float64)[:, None], shape)
    for name in ("gpu_type", "firmware"):
        values[name] = np.broadcast_to(np.array(columns[name], dtype=np.float64)[:, None], shape)
    if "power_cap_w" not in values:
        board = np.array([gpus[pool.gpu_type].board_w for pool in of_node])
        values["power_cap_w"] = np.broadcast_to(board[:, None], shape)
    return values


def _draw_hidden(scenario: Scenario, time_s: Values, rng: np.random.Generator) -> Values:
    nodes = len(scenario.fleet.nodes)
    if scenario.hidden is None:
        return np.broadcast_to(0.0, (nodes, time_s.size))
    block = np.floor(time_s / scenario.hidden.every.total_seconds()).astype(np.int64)
    drawn = rng.random((nodes, int(block[-1]) + 1)) < scenario.hidden.share
    held: Values = drawn[:, block].astype(np.float64)
    return held


def _draw_policy(
    scenario: Scenario, policy: Policy, time_s: Values, hidden: Values, rng: np.random.Generator
) -> Values:
    """Decide each node's value for blocks of hours: high where expected load times noise passes a threshold."""
    every = policy.every.total_seconds()
    stagger = policy.stagger.total_seconds() if policy.stagger else 0.0
    low, high = (read_setting(policy.set, text, scenario.choices) for text in (policy.low, policy.high))
    load = expected_rate(scenario, time_s) / scenario.workload.requests_per_s
    drawn = np.empty((hidden.shape[0], time_s.size))
    for node in range(drawn.shape[0]):
        block = np.floor((time_s - stagger * node % every) / every).astype(np.int64) + 1
        size = np.maximum(np.bincount(block), 1)
        expected = np.bincount(block, weights=load) / size
        known = np.bincount(block, weights=hidden[node]) / size
        felt = expected * np.exp(policy.noise * rng.standard_normal(expected.size) + policy.hidden_weight * known)
        drawn[node] = np.where(felt > policy.raise_at, high, low)[block]
    return drawn


def _roll_out(scenario: Scenario, time_s: Values, values: dict[str, Values]) -> None:
    nodes = scenario.fleet.nodes
    for rollout in scenario.rollouts:
        changed = np.array(values[rollout.set])
        value = read_setting(rollout.set, rollout.to, scenario.choices)
        for step in rollout.steps:
            where = slice(None) if step.node is None else slice(nodes.index(step.node), nodes.index(step.node) + 1)
            changed[where, time_s >= step.after.total_seconds()] = value
        values[rollout.set] = changed


def _scale(scaler: Autoscaler, arrival_s: Values, time_s: Values) -> Values:
    """Return the replicas wanted at each step."""
    window, delay, hold = (
        max(1, int(span.total_seconds() // STEP_S)) for span in (scaler.window, scaler.delay, scaler.hold)
    )
    count = np.bincount((arrival_s / STEP_S).astype(np.int64), minlength=time_s.size)[: time_s.size]
    summed = np.concatenate([np.zeros(window), np.cumsum(count)])
    seen = np.minimum(np.arange(1, time_s.size + 1), window)
    rate = (summed[window:] - summed[:-window]) / (seen * STEP_S)
    wanted = np.clip(np.ceil(rate / scaler.requests_per_s), scaler.least, scaler.most)
    late = np.concatenate([np.full(delay, wanted[0]), wanted[: max(0, time_s.size - delay)]])[: time_s.size]
    padded = np.concatenate([np.full(hold - 1, late[0]), late])
    highest: Values = np.lib.stride_tricks.sliding_window_view(padded, hold).max(axis=1)
    return highest


def _draw_clock(scenario: Scenario, time_s: Values, rng: np.random.Generator) -> tuple[Values, Values]:
    """Let each clock wander below its boost value, and hold it down where a fault lies."""
    fleet, gpus = scenario.fleet, load_calibration().gpus
    shape = (len(fleet.nodes), time_s.size)
    wander = rng.standard_normal(shape)
    keep = 1.0 - _WANDER
    wander[:, 1:] *= np.sqrt(1.0 - keep * keep)
    for step in range(1, time_s.size):
        wander[:, step] += keep * wander[:, step - 1]
    boost = np.array([gpus[pool.gpu_type].boost_mhz for pool in fleet.pools for _ in pool.nodes])
    clock = boost[:, None] * np.clip(1.0 - 2.0 * fleet.clock_sd + fleet.clock_sd * wander, 0.5, 1.0)
    heat = np.zeros(shape)
    for fault in fleet.faults:
        start = fault.after.total_seconds()
        end = start + fault.lasts.total_seconds() if fault.lasts else np.inf
        grip = np.clip((time_s - start) / _RAMP_S, 0.0, 1.0) * (time_s < end)
        node = fleet.nodes.index(fault.node)
        clock[node] *= 1.0 - (1.0 - fault.clock) * grip
        heat[node] += fault.temp_rise_c * grip
    return clock, heat


def boost_mhz(scenario: Scenario, values: Mapping[str, Values]) -> Values:
    """Return the boost clock of the GPUs of each node at each step."""
    gpus = load_calibration().gpus
    each = np.array([gpus[name].boost_mhz for name in scenario.choices["gpu_type"]])
    boost: Values = each[values["gpu_type"].astype(np.int64)]
    return boost


def _cap_clock(scenario: Scenario, values: dict[str, Values]) -> Values:
    """Lower the clock to what the power cap allows; a clock drawn for one GPU type scales to another."""
    calibration = load_calibration()
    names = scenario.choices["gpu_type"]
    kind = values["gpu_type"].astype(np.int64)
    board = np.array([calibration.gpus[name].board_w for name in names])[kind]
    idle = np.array([calibration.fitted.power[name].idle_share for name in names])[kind] * board
    bought = np.array([calibration.gpus[p.gpu_type].boost_mhz for p in scenario.fleet.pools for _ in p.nodes])
    boost = boost_mhz(scenario, values)
    room = np.clip((values["power_cap_w"] - idle) / (board - idle), 0.02, 1.0)
    capped: Values = np.minimum(values["sm_clock_mhz"] * (boost / bought[:, None]), boost * room ** (1.0 / CLOCK_POWER))
    return capped


def _draw_failures(
    scenario: Scenario, firmware: Values, rng: np.random.Generator
) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """Draw failures, crashes and corrected errors of nodes: Poisson with a frailty, thinned by the cohort's hazard."""
    plan, shape = scenario.fleet.failures, firmware.shape
    days = shape[1] * STEP_S / 86_400.0
    hazards = np.array([each.hazard for each in scenario.firmwares.values()])
    frailty = np.exp(plan.frailty_sd * rng.standard_normal(shape[0]))
    up, xid, ecc = np.ones(shape, dtype=np.bool_), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    kinds = (
        (plan.failures_per_day, plan.repair.total_seconds(), (79,)),
        (plan.crashes_per_day, plan.restart.total_seconds(), (31, 48, 94)),
    )
    highest = max(float(hazards.max()), 1e-12)
    for node, own in enumerate(rng.spawn(shape[0])):
        for per_day, median_s, codes in kinds:
            count = own.poisson(per_day * frailty[node] * highest * days)
            starts = np.sort(own.integers(shape[1], size=count))
            for start, kept, length, code in zip(
                starts,
                own.random(count),
                np.exp(0.5 * own.standard_normal(count)) * median_s,
                own.integers(len(codes), size=count),
                strict=True,
            ):
                if kept * highest < hazards[int(firmware[node, start])] and up[node, start]:
                    up[node, start : start + max(1, round(length / STEP_S))] = False
                    xid[node, start] = codes[code]
        rate = plan.ecc_per_day * frailty[node] * hazards[firmware[node].astype(np.int64)] * STEP_S / 86_400.0
        ecc[node] = np.cumsum(own.poisson(rate))
    return up, xid, ecc
