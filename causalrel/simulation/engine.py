"""Engine: every node serves its requests with continuous batching, paged memory and a first-in first-out queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from causalrel.simulation.conditions import STEP_S, Conditions
from causalrel.simulation.scenario import GPUS, Scenario
from causalrel.simulation.workload import Workload

if TYPE_CHECKING:
    from causalrel.simulation import kernel

_ENDS = (
    "start_s",
    "first_s",
    "end_s",
    "node_s",
    "made_tokens",
    "prefilled_tokens",
    "preemptions",
    "ending",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What became of each request; arrays have shape (n_requests,) unless said otherwise.

    Parameters
    ----------
    start_s, first_s, end_s : ndarray of float64
        When it entered the batch, wrote its first token and ended; NaN where it never did.
    node_s : ndarray of float64
        Its share of the node's busy time.
    made_tokens, prefilled_tokens, preemptions : ndarray of int64
        Tokens written, prompt tokens read (again after a preemption), and times it was pushed out.
    ending : ndarray of int64
        0 served, 1 timeout, 2 oom.
    running, kv_usage : ndarray of float64, shape (n_nodes, n_steps)
        Sequences in the batch, and share of the KV memory in use, at each step.

    Examples
    --------
    >>> from causalrel.simulation.runs import run_scenario
    >>> served = run_scenario("llm-canary", days=0.1).served
    >>> bool(np.nanmin(served.first_s - served.start_s) > 0)
    True
    """

    start_s: NDArray[np.float64]
    first_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    node_s: NDArray[np.float64]
    made_tokens: NDArray[np.int64]
    prefilled_tokens: NDArray[np.int64]
    preemptions: NDArray[np.int64]
    ending: NDArray[np.int64]
    running: NDArray[np.float64]
    kv_usage: NDArray[np.float64]


def serve(scenario: Scenario, work: Workload, conditions: Conditions) -> Served:
    """Serve a workload under given conditions, to the last request.

    One iteration lasts ``base + sequence * active + kv * resident tokens`` over the decode speed, plus
    ``prefill * chunk`` over the prefill speed: continuous batching (Orca, OSDI 2022), paged memory with recomputation
    (https://doi.org/10.1145/3600006.3613165) and chunked prefill (https://arxiv.org/abs/2403.02310).

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

    Examples
    --------
    >>> from causalrel.simulation.runs import run_scenario
    >>> run = run_scenario("llm-canary", days=0.1)
    >>> again = serve(run.scenario, run.work, run.conditions)
    >>> bool((again.ending == run.served.ending).all())
    True
    """
    from causalrel.simulation import kernel

    growth = conditions.gpu_count / scenario.fleet.gpu_count
    costs = _costs(scenario, max(1, int(scenario.engine.kv_tokens * growth)))
    prefill_speed, decode_speed = _speeds(scenario, conditions, growth)
    served = _unserved(work.time_s.size, *conditions.batch_size.shape)
    for node, batch_size in enumerate(conditions.batch_size):
        mine = np.flatnonzero(work.node == node)
        room = kernel.Room(
            active=np.zeros(int(batch_size.max()), dtype=np.int64),
            stack=np.zeros(mine.size, dtype=np.int64),
            to_prefill=np.zeros(mine.size, dtype=np.int64),
        )
        schedule = kernel.Schedule(
            batch=batch_size,
            prefill=prefill_speed[node],
            decode=decode_speed[node],
            kv=served.kv_usage[node],
            running=served.running[node],
        )
        asked = kernel.Requests(
            arrival=work.time_s[mine],
            patience=work.patience_s[mine],
            prompt=work.prompt_tokens[mine],
            output=work.output_tokens[mine],
            **{name: getattr(served, name)[mine] for name in _ENDS},
        )
        kernel.serve_node(asked, schedule, room, costs)
        for name in _ENDS:
            getattr(served, name)[mine] = getattr(asked, name)
    served.kv_usage[:] /= costs.kv_tokens
    return served


def _unserved(count: int, nodes: int, steps: int) -> Served:
    return Served(
        start_s=np.full(count, np.nan),
        first_s=np.full(count, np.nan),
        end_s=np.full(count, np.nan),
        node_s=np.zeros(count),
        made_tokens=np.zeros(count, dtype=np.int64),
        prefilled_tokens=np.zeros(count, dtype=np.int64),
        preemptions=np.zeros(count, dtype=np.int64),
        ending=np.zeros(count, dtype=np.int64),
        running=np.zeros((nodes, steps)),
        kv_usage=np.zeros((nodes, steps)),
    )


def _costs(scenario: Scenario, kv_tokens: int) -> kernel.Costs:
    from causalrel.simulation import kernel

    engine = scenario.engine
    return kernel.Costs(
        base_s=engine.base_s,
        prefill_s=engine.prefill_s_per_token,
        sequence_s=engine.sequence_s,
        kv_s=engine.kv_s_per_token,
        chunk=engine.prefill_chunk_tokens,
        kv_tokens=kv_tokens,
        most_preemptions=engine.most_preemptions,
        step_s=STEP_S,
    )


def _speeds(
    scenario: Scenario, conditions: Conditions, growth: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the speed of prefill and of decode at each node and step, 1 for a plain node at its boost clock."""
    engine = scenario.engine
    clock = conditions.clock_mhz / GPUS[scenario.fleet.gpu_type][0]
    node = conditions.speed[:, None] * growth**engine.gpu_count_power
    versions = list(scenario.versions.values())
    prefill = np.array([version.prefill for version in versions])[conditions.version]
    decode = np.array([version.decode for version in versions])[conditions.version]
    return node * clock**engine.prefill_clock_power / prefill, node * clock**engine.decode_clock_power / decode
