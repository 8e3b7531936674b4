"""Bills: what each request costs in energy and money, so that requests pay for the fleet, its idle time included."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from causalrel.simulation.conditions import CLOCK_POWER, STEP_S, boost_mhz
from causalrel.simulation.hardware import PowerShares, load_calibration, power_shares
from causalrel.simulation.runs import Run

_HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """Watts of a node while it idles, reads prompts and writes tokens; arrays of shape (n_nodes, n_steps)."""

    idle_w: NDArray[np.float64]
    reading_w: NDArray[np.float64]
    writing_w: NDArray[np.float64]


def node_power(run: Run) -> Power:
    """Return the power of every node: shares of board power, the part above idle falling with the clock.

    Parameters
    ----------
    run : Run
        A run.

    Returns
    -------
    Power
        Watts of all GPUs of the node.

    Examples
    --------
    >>> from causalrel.simulation.runs import run_scenario
    >>> power = node_power(run_scenario("llm-canary", days=0.1))
    >>> bool((power.idle_w < power.writing_w).all() and (power.writing_w < power.reading_w).all())
    True
    """
    scenario, values = run.scenario, run.conditions.values
    kinds, counts = values["gpu_type"].astype(np.int64), values["gpu_count"].astype(np.int64)
    shares = {
        (int(kind), int(count)): _shares(run, scenario.choices["gpu_type"][int(kind)], int(count))
        for kind, count in np.unique(np.stack([kinds.ravel(), counts.ravel()]), axis=1).T
    }
    board = np.array([load_calibration().gpus[name].board_w for name in scenario.choices["gpu_type"]])[kinds] * counts
    left = (values["sm_clock_mhz"] / boost_mhz(scenario, values)) ** CLOCK_POWER
    idle, reading, writing = np.zeros(board.shape), np.zeros(board.shape), np.zeros(board.shape)
    for (kind, count), share in shares.items():
        there = (kinds == kind) & (counts == count)
        idle[there], reading[there], writing[there] = share.idle, share.prefill, share.decode
    return Power(
        idle_w=board * idle,
        reading_w=board * (idle + (reading - idle) * left),
        writing_w=board * (idle + (writing - idle) * left),
    )


def _shares(run: Run, gpu_type: str, gpu_count: int) -> PowerShares:
    calibration, model = load_calibration(), run.scenario.engine.model
    if model is not None:
        return power_shares(calibration, model=model, gpu_type=gpu_type, gpu_count=gpu_count)
    drawn = calibration.fitted.power[gpu_type]
    return PowerShares(
        idle=drawn.idle_share, prefill=drawn.prefill_share, decode=drawn.waiting_share + 0.5 * drawn.memory_share
    )


def used_power(run: Run) -> NDArray[np.float64]:
    """Return the mean power of each node during each step, in watts; shape (n_nodes, n_steps).

    Parameters
    ----------
    run : Run
        A run.

    Returns
    -------
    ndarray of float64
        Watts.

    Examples
    --------
    >>> from causalrel.simulation.runs import run_scenario
    >>> bool((used_power(run_scenario("llm-canary", days=0.1)) > 500).all())
    True
    """
    power, served = node_power(run), run.served
    busy = np.minimum(served.busy_s, STEP_S)
    reading = np.minimum(served.reading_s, busy)
    spent = reading * power.reading_w + (busy - reading) * power.writing_w + (STEP_S - busy) * power.idle_w
    watts: NDArray[np.float64] = spent / STEP_S * (run.conditions.values["node_up"] > 0)
    return watts


def bill(run: Run) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the dollars and joules of each request.

    A request pays for its share of the node's busy time, and every request of an hour an equal part of what the
    replicas wanted in that hour cost while they had nothing to do.

    Parameters
    ----------
    run : Run
        A run.

    Returns
    -------
    tuple of ndarray of float64
        Two arrays of shape (n_requests,): ``cost_usd`` and ``energy_j``.

    Examples
    --------
    >>> from causalrel.simulation.runs import run_scenario
    >>> run = run_scenario("llm-canary", days=1)
    >>> round(float(bill(run)[0].sum()), -1)  # 4 nodes of 8 GPUs at 2.5 dollars an hour for a day
    1920.0
    """
    values, served, work = run.conditions.values, run.served, run.work
    steps = values["gpu_count"].shape[1]
    pools = run.scenario.fleet.pools
    price = np.array([pool.usd_per_gpu_hour for pool in pools for _ in pool.nodes])[:, None] / _HOUR
    rate = price * values["gpu_count"]
    power = node_power(run)
    node = np.maximum(served.node, 0)
    step = np.minimum((work.time_s / STEP_S).astype(np.int64), steps - 1)
    joules = served.node_s * power.writing_w[node, step]
    joules += served.read_s * (power.reading_w - power.writing_w)[node, step]
    dollars = served.node_s * rate[node, step]
    wanted = np.arange(rate.shape[0])[:, None] < values["replicas"]
    idle = np.maximum(STEP_S - served.busy_s, 0.0) * wanted
    hour = (np.arange(steps) * STEP_S / _HOUR).astype(np.int64)
    asked = (work.time_s / _HOUR).astype(np.int64)
    count = np.maximum(np.bincount(asked, minlength=hour[-1] + 1), 1)
    for mine, rates in ((dollars, rate), (joules, power.idle_w)):
        unused = np.bincount(hour, weights=(idle * rates).sum(axis=0), minlength=count.size)
        mine += (unused / count)[asked]
    return dollars, joules
