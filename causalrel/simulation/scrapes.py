"""Scrapes: the gauges and counters that a Prometheus server would have read from a run, with resets and gaps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from causalrel.simulation.bills import used_power
from causalrel.simulation.conditions import STEP_S
from causalrel.simulation.exports import repeat, times
from causalrel.simulation.runs import Run
from causalrel.simulation.scenario import Scenario
from causalrel.telemetry.schema import SAMPLES

_COLD_C, _POWER_C, _LAG_STEPS = 30.0, 50.0, 5.0
_BUCKETS = "0.001 0.005 0.01 0.02 0.04 0.06 0.08 0.1 0.25 0.5 0.75 1 2.5 5 7.5 10 20 40 80 160 640 2560 +Inf"
_RESTARTS = ("model_version", "quantisation", "gpu_count", "gpu_type", "firmware", "batch_size", "kv_fraction")


def export_samples(run: Run) -> pl.DataFrame:
    """Write what a server would have scraped from engines and GPUs, under the names their exporters give.

    Counters start again from zero when an engine restarts, a node that is down is not read, and scrapes fail in gaps.

    Parameters
    ----------
    run : Run
        A run.

    Returns
    -------
    polars.DataFrame
        ``time``, ``node``, ``service``, ``metric``, ``value``, in order of time, node and metric.

    Examples
    --------
    >>> from causalrel.simulation import simulate
    >>> "vllm:kv_cache_usage_perc" in simulate("llm-canary", days=0.1).samples.collect()["metric"].unique()
    True
    """
    scenario, up = run.scenario, run.conditions.values["node_up"] > 0
    nodes, steps = up.shape
    rng = np.random.default_rng(run.measurement[1])
    reached = _draw_scrapes(scenario, nodes, steps, rng)
    noise = 0.7 * rng.standard_normal((nodes, steps))
    moment = times(scenario.start, np.arange(steps, dtype=np.float64) * STEP_S)
    frames = []
    for metric, values in _metrics(run, noise):
        there, when = np.nonzero(reached if metric == "up" else reached & up)
        frames.append(
            pl.DataFrame(
                {
                    "time": moment.gather(when),
                    "node": pl.Series(scenario.fleet.nodes, dtype=pl.String).gather(there),
                    "service": repeat(scenario.service, there.size),
                    "metric": repeat(metric, there.size),
                    "value": values[there, when],
                },
                schema=SAMPLES,
            )
        )
    return pl.concat(frames).sort("time", "node", "metric")


def _metrics(run: Run, noise: NDArray[np.float64]) -> Iterator[tuple[str, NDArray[np.float64]]]:
    values, served = run.conditions.values, run.served
    power = used_power(run)
    gpus = values["gpu_count"]
    yield "DCGM_FI_DEV_GPU_TEMP", np.rint(_temperature(run, power) + noise)
    yield "DCGM_FI_DEV_SM_CLOCK", np.rint(values["sm_clock_mhz"] / 15.0) * 15.0
    yield "DCGM_FI_DEV_POWER_USAGE", np.round(power / gpus, 1)
    yield "DCGM_FI_DEV_XID_ERRORS", _last_code(run.conditions.xid).astype(np.float64)
    yield "up", values["node_up"].astype(np.float64)
    yield "vllm:kv_cache_usage_perc", served.kv_usage
    yield "vllm:num_requests_running", served.running
    yield "vllm:num_requests_waiting", served.waiting
    booted, restarted = _starts(run, ()), _starts(run, _RESTARTS)
    yield "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", _counter(np.rint(power / gpus * STEP_S * 1e3), booted)
    yield "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL", _counter(np.diff(run.conditions.ecc, axis=1, prepend=0), booted)
    yield "vllm:prompt_tokens_total", _counter(served.read_seen, restarted)
    yield "vllm:generation_tokens_total", _counter(served.made_seen, restarted)
    yield "vllm:prefix_cache_queries_total", _counter(served.read_seen + served.cached_seen, restarted)
    yield "vllm:prefix_cache_hits_total", _counter(served.cached_seen, restarted)
    yield "vllm:num_preemptions_total", _counter(served.preempted_seen, restarted)
    yield 'vllm:request_success_total{finished_reason="stop"}', _counter(_ended(run, np.inf), restarted)
    if run.scenario.scrapes.histograms:
        yield from _histogram(run, restarted)


def _histogram(run: Run, restarted: NDArray[np.bool_]) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Yield the time to first token of served requests as the cumulative buckets of a histogram."""
    name = "vllm:time_to_first_token_seconds"
    for text in _BUCKETS.split():
        below = _ended(run, float(text))
        yield f'{name}_bucket{{le="{text}"}}', _counter(below, restarted)
    yield f"{name}_count", _counter(_ended(run, np.inf), restarted)
    yield f"{name}_sum", _counter(_ended(run, np.inf, weighted=True), restarted)


def _ended(run: Run, most_s: float, *, weighted: bool = False) -> NDArray[np.float64]:
    """Count requests served during each step whose first token took so long at most, or add those times up."""
    served, work = run.served, run.work
    shape = run.conditions.accepts.shape
    ttft = served.first_s - work.time_s
    step = (np.nan_to_num(served.end_s) / STEP_S).astype(np.int64)
    kept = (served.ending == 0) & (ttft <= most_s) & (step < shape[1])
    place = served.node[kept] * shape[1] + step[kept]
    weights = ttft[kept] if weighted else None
    return np.bincount(place, weights=weights, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)


def _starts(run: Run, settings: tuple[str, ...]) -> NDArray[np.bool_]:
    """Say where an engine begins anew: after an outage, or where one of some settings changed."""
    values = run.conditions.values
    began = np.diff(values["node_up"], axis=1, prepend=1.0) > 0
    for name in settings:
        began[:, 1:] |= np.diff(values[name], axis=1) != 0
    return began


def _counter(added: NDArray[np.generic], began: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Add up what each step adds, as read at its start, from zero after each beginning."""
    total = np.cumsum(np.asarray(added, dtype=np.float64), axis=1)
    total = np.concatenate([np.zeros((total.shape[0], 1)), total[:, :-1]], axis=1)
    at_start = np.maximum.accumulate(np.where(began, np.arange(total.shape[1]), 0), axis=1)
    base = np.where(at_start > 0, np.take_along_axis(total, at_start, axis=1), 0.0)
    read: NDArray[np.float64] = total - base
    return read


def _last_code(xid: NDArray[np.int64]) -> NDArray[np.int64]:
    last = np.maximum.accumulate(np.where(xid > 0, np.arange(xid.shape[1]), -1), axis=1)
    code: NDArray[np.int64] = np.where(last >= 0, np.take_along_axis(xid, np.maximum(last, 0), axis=1), 0)
    return code


def _temperature(run: Run, power: NDArray[np.float64]) -> NDArray[np.float64]:
    """Let temperature follow power, some minutes late, and rise where a fault lies."""
    values = run.conditions.values
    share = power / (values["power_cap_w"].max() * values["gpu_count"])
    weights = np.exp(-np.arange(int(6 * _LAG_STEPS)) / _LAG_STEPS)
    late = np.stack([np.convolve(row, weights / weights.sum())[: row.size] for row in share])
    return _COLD_C + _POWER_C * late + run.conditions.heat_c


def _draw_scrapes(scenario: Scenario, nodes: int, steps: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Say at which steps each node is scraped."""
    scrapes = scenario.scrapes
    stride = int(scrapes.every.total_seconds() // STEP_S)
    mean = max(1.0, scrapes.gap.total_seconds() / STEP_S)
    seen = np.zeros((nodes, steps), dtype=np.bool_)
    seen[:, ::stride] = True
    for node in range(nodes):
        count = rng.poisson(scrapes.gaps_per_day * steps * STEP_S / 86_400.0)
        starts = rng.integers(steps, size=count)
        for start, length in zip(starts, rng.geometric(1.0 / mean, size=count), strict=True):
            seen[node, start : start + length] = False
    return seen
