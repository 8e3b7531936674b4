"""Engine: the fleet serves its requests with continuous batching, paged memory and first-in first-out queues."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from causalrel import errors
from causalrel.simulation.conditions import STEP_S, Conditions, boost_mhz
from causalrel.simulation.hardware import Costs, iteration_costs, load_calibration
from causalrel.simulation.scenario import Scenario
from causalrel.simulation.workload import Workload

if TYPE_CHECKING:
    from causalrel.simulation import kernel

#: Classes of error by the number of an ending.
ENDINGS = (None, "timeout", "oom", "quota", "overloaded", "unavailable")

_LIMITS = {
    "batch": "batch_size",
    "tokens": "max_batched_tokens",
    "chunked": "chunked_prefill",
    "admit": "admission_limit",
    "cache": "prompt_cache_tokens",
}
_OF_MODE = (*_LIMITS.values(), "prompt_template", "gpu_type", "gpu_count", "quantisation", "kv_fraction")


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What became of each request, and what an observer saw.

    Parameters
    ----------
    node : ndarray of int64, shape (n_requests,)
        Node it was sent to last, -1 where it never reached one.
    start_s, first_s, end_s : ndarray of float64, shape (n_requests,)
        When it entered the batch, wrote its first token and ended; NaN where it never did.
    stall_s : ndarray of float64, shape (n_requests,)
        Longest wait between two of its tokens.
    node_s, read_s : ndarray of float64, shape (n_requests,)
        Its share of the node's busy time, and the time that reading its prompt took.
    made, read, cached : ndarray of int64, shape (n_requests,)
        Tokens written, prompt tokens read (again after a preemption) and found in the cache.
    preemptions, attempts : ndarray of int64, shape (n_requests,)
        Times it was pushed out, and times its client sent it.
    ending : ndarray of int64, shape (n_requests,)
        Its place in :data:`ENDINGS`.
    running, waiting, kv_usage : ndarray of float64, shape (n_nodes, n_steps)
        Sequences in the batch and in the queue, and share of the KV memory in use, at each step.
    made_seen, read_seen, cached_seen, preempted_seen : ndarray of int64, shape (n_nodes, n_steps)
        Tokens and preemptions during each step.
    busy_s, reading_s : ndarray of float64, shape (n_nodes, n_steps)
        Time at work, and time reading prompts, begun during each step.

    Examples
    --------
    >>> from causalrel.simulation.runs import run_scenario
    >>> served = run_scenario("llm-canary", days=0.1).served
    >>> bool(np.nanmin(served.first_s - served.start_s) > 0)
    True
    """

    node: NDArray[np.int64]
    start_s: NDArray[np.float64]
    first_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    stall_s: NDArray[np.float64]
    node_s: NDArray[np.float64]
    read_s: NDArray[np.float64]
    made: NDArray[np.int64]
    read: NDArray[np.int64]
    cached: NDArray[np.int64]
    preemptions: NDArray[np.int64]
    attempts: NDArray[np.int64]
    ending: NDArray[np.int64]
    running: NDArray[np.float64]
    waiting: NDArray[np.float64]
    kv_usage: NDArray[np.float64]
    made_seen: NDArray[np.int64]
    read_seen: NDArray[np.int64]
    cached_seen: NDArray[np.int64]
    preempted_seen: NDArray[np.int64]
    busy_s: NDArray[np.float64]
    reading_s: NDArray[np.float64]


_OF_REQUEST = tuple(field.name for field in fields(Served))[:13]


def serve(scenario: Scenario, work: Workload, conditions: Conditions) -> Served:
    """Serve a workload under given conditions, to the last request.

    One iteration lasts as :class:`causalrel.simulation.hardware.Costs` says, over the speeds of the node: continuous
    batching (Orca, OSDI 2022), paged memory with recomputation (https://doi.org/10.1145/3600006.3613165), chunked
    prefill (https://arxiv.org/abs/2403.02310) and the roofline (https://doi.org/10.1145/1498765.1498785).

    Parameters
    ----------
    scenario : Scenario
        The service.
    work : Workload
        Requests in order of arrival.
    conditions : Conditions
        Configuration and hardware of each node.

    Returns
    -------
    Served
        The same for the same input, bit for bit.

    Raises
    ------
    CausalrelError
        When a model does not fit into the memory that a setting leaves it.

    Examples
    --------
    >>> from causalrel.simulation.runs import run_scenario
    >>> run = run_scenario("llm-canary", days=0.1)
    >>> again = serve(run.scenario, run.work, run.conditions)
    >>> bool((again.ending == run.served.ending).all())
    True
    """
    from causalrel.simulation import gateway, kernel

    modes, plan = _plan(scenario, conditions)
    nodes, steps = plan.shape
    prefixes = [t.prefixes.tokens for t in scenario.workload.tenants if t.prefixes for _ in range(t.prefixes.count)]
    tenants = _tenants(scenario)
    at_rest = np.zeros(nodes, kernel.NODE)
    at_rest["head"] = at_rest["tail"] = at_rest["top"] = -1
    world = kernel.World(
        requests=_asked(work),
        nodes=at_rest,
        active=np.zeros((nodes, int(modes["batch"].max())), np.int64),
        modes=modes,
        plan=plan,
        seen=np.zeros((nodes, steps), kernel.SEEN),
        tenants=tenants,
        timers=np.empty(work.time_s.size * (int(tenants["retries"].max()) + 2) + 16, kernel.TIMER),
        heap=np.zeros(1, np.int64),
        prefix_used=np.full((nodes, len(prefixes)), -1.0),
        prefix_tokens=np.array(prefixes, dtype=np.int64),
        step_s=STEP_S,
        most_preemptions=scenario.engine.most_preemptions,
        two_choices=scenario.fleet.router == "two_choices",
    )
    fell = np.diff((conditions.values["node_up"] > 0).astype(np.int64), axis=1, prepend=1) < 0
    down_step, down_node = np.nonzero(fell.T)
    gateway.serve_fleet(world, down_step * STEP_S, down_node)
    return _served(world)


def _asked(work: Workload) -> NDArray[np.void]:
    from causalrel.simulation import kernel

    requests = np.zeros(work.time_s.size, kernel.REQUEST)
    requests["arrival"], requests["patience"] = work.time_s, work.patience_s
    requests["route_0"], requests["route_1"] = work.route
    requests["tenant"], requests["prompt"], requests["output"] = work.tenant, work.prompt_tokens, work.output_tokens
    requests["prefix"], requests["prefix_draw"] = work.prefix, work.prefix_draw
    requests["start_s"] = requests["first_s"] = requests["end_s"] = np.nan
    requests["node"] = requests["later"] = requests["earlier"] = -1
    return requests


def _served(world: kernel.World) -> Served:
    seen = world.seen
    return Served(
        **{name: world.requests[name] for name in _OF_REQUEST},
        running=np.cumsum(seen["running_change"], axis=1).astype(np.float64),
        waiting=np.cumsum(seen["waiting_change"], axis=1).astype(np.float64),
        kv_usage=seen["kv"] / world.modes["room"][world.plan["mode"]],
        made_seen=seen["made"],
        read_seen=seen["read"],
        cached_seen=seen["cached"],
        preempted_seen=seen["preempted"],
        busy_s=seen["busy_s"],
        reading_s=seen["reading_s"],
    )


def _tenants(scenario: Scenario) -> NDArray[np.void]:
    from causalrel.simulation import kernel

    rows = np.zeros(len(scenario.workload.tenants), kernel.TENANT)
    for row, tenant in zip(rows, scenario.workload.tenants, strict=True):
        row["retries"], row["backoff_s"] = tenant.retries, tenant.backoff.total_seconds()
        row["quota_burst"] = row["left"] = tenant.quota.burst if tenant.quota else np.inf
        row["quota_per_s"] = tenant.quota.requests_per_minute / 60.0 if tenant.quota else 0.0
    return rows


def _plan(scenario: Scenario, conditions: Conditions) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """Return the table of modes, and the mode and speeds of each node at each step."""
    from causalrel.simulation import kernel

    mode, rows = _modes(conditions)
    modes, plan = np.zeros(len(rows), kernel.MODE), np.zeros(mode.shape, kernel.PLAN)
    for record, row in zip(modes, rows, strict=True):
        costs = costs_of(scenario, row)
        for name in ("base", "weights", "prefill", "attend", "sequence", "kv"):
            record[name] = getattr(costs, f"{name}_s")
        record["room"] = costs.kv_tokens
        for name, setting in _LIMITS.items():
            record[name] = row[setting]
        record["reuse"] = list(scenario.templates.values())[int(row["prompt_template"])].reuse
    plan["mode"], plan["accepts"] = mode, conditions.accepts
    plan["prefill"], plan["decode"] = speeds(scenario, conditions)
    return modes, plan


def _modes(conditions: Conditions) -> tuple[NDArray[np.int64], list[dict[str, float]]]:
    """Return the number of the combination of settings at each node and step, and each combination."""
    mode = np.zeros(conditions.accepts.shape, dtype=np.int64)
    for name in _OF_MODE:
        _, code = np.unique(conditions.values[name], return_inverse=True)
        mode = mode * (int(code.max()) + 1) + code.reshape(mode.shape)
    _, first, code = np.unique(mode, return_index=True, return_inverse=True)
    rows = [{name: float(conditions.values[name].reshape(-1)[place]) for name in _OF_MODE} for place in first]
    return code.reshape(mode.shape), rows


def costs_of(scenario: Scenario, row: dict[str, float]) -> Costs:
    """Return the costs of an iteration under one combination of settings."""
    names = {name: scenario.choices[name][int(row[name])] for name in ("gpu_type", "quantisation")}
    gpu_count, pool = int(row["gpu_count"]), scenario.fleet.pools[0]
    if scenario.engine.costs is None:
        return iteration_costs(
            load_calibration(),
            model=str(scenario.engine.model),
            gpu_count=gpu_count,
            kv_fraction=row["kv_fraction"],
            **names,
        )
    if (names["gpu_type"], names["quantisation"]) != (pool.gpu_type, scenario.config.get("quantisation", "fp16")):
        raise errors.bad_question(
            f"scenario '{scenario.scenario}' writes its costs in seconds, which hold for {pool.gpu_type} only",
            "name engine.model, a calibrated model, to set gpu_type or quantisation",
        )
    written, growth = scenario.engine.costs, gpu_count / pool.gpu_count
    faster = growth**written.gpu_count_power
    memory = growth * row["kv_fraction"] / float(scenario.config.get("kv_fraction", "0.9"))
    return Costs(
        base_s=written.base_s / faster,
        weights_s=0.0,
        prefill_s=written.prefill_s_per_token / faster,
        attend_s=written.attend_s_per_token2 / faster,
        sequence_s=written.sequence_s / faster,
        kv_s=written.kv_s_per_token / faster,
        kv_tokens=max(1, int(written.kv_tokens * memory)),
    )


def speeds(scenario: Scenario, conditions: Conditions) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the speed of prefill and of decode at each node and step, 1 for a plain node at its boost clock."""
    engine, values = scenario.engine, conditions.values
    clock = values["sm_clock_mhz"] / boost_mhz(scenario, values)
    slowed = 1.0 + (scenario.hidden.slows - 1.0) * conditions.hidden if scenario.hidden else 1.0
    version, firmware = (values[name].astype(np.int64) for name in ("model_version", "firmware"))
    rates = []
    for what, power in (("prefill", engine.prefill_clock_power), ("decode", engine.decode_clock_power)):
        of_version = np.array([getattr(each, what) for each in scenario.versions.values()])[version]
        of_firmware = np.array([getattr(each, what) for each in scenario.firmwares.values()])[firmware]
        rates.append(conditions.speed[:, None] * clock**power / (of_version * of_firmware * slowed))
    return rates[0], rates[1]
