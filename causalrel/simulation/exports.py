"""Exports: a run as the service would have logged it, in canonical columns."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from causalrel.simulation.conditions import STEP_S
from causalrel.simulation.runs import Run
from causalrel.simulation.scenario import GPUS, Scenario
from causalrel.telemetry.schema import CHANGES, SAMPLES, TIME

_ERRORS = (None, "timeout", "oom")
_IDLE_C, _BUSY_C, _LAG_STEPS = 38.0, 28.0, 5.0
_QUALITY_SD = 0.5
_TEXTS = {"node": pl.String, **{name: kind for name, kind in CHANGES.items() if name != "time"}}


def export_requests(run: Run) -> pl.DataFrame:
    """Write one row a request, in order of arrival.

    Configuration is that of the node at arrival. A failed request has no latency and no answer; its ``queue_s`` is the
    time it waited, which a gateway knows.

    Parameters
    ----------
    run : Run
        A run.

    Returns
    -------
    polars.DataFrame
        Canonical columns.

    Examples
    --------
    >>> from causalrel.simulation import simulate
    >>> simulate("llm-canary", days=0.1).frame()["service"].unique().to_list()
    ['chat']
    """
    scenario, work, conditions, served = run.scenario, run.work, run.conditions, run.served
    fleet, versions, rng = scenario.fleet, scenario.versions, run.measurement[0]
    step = np.minimum((work.time_s / STEP_S).astype(np.int64), conditions.batch_size.shape[1] - 1)
    version = conditions.version[work.node, step]
    good = served.ending == 0
    more = np.where(served.made_tokens > 1, served.made_tokens - 1.0, np.nan)
    waited = np.where(np.isnan(served.start_s), served.end_s, served.start_s) - work.time_s
    logit = np.array([each.quality for each in versions.values()])[version]
    quality = 1.0 / (1.0 + np.exp(-logit - _QUALITY_SD * rng.standard_normal(good.size)))
    gpu_s = served.node_s * conditions.gpu_count
    power = GPUS[fleet.gpu_type][1] * conditions.clock_mhz[work.node, step] / GPUS[fleet.gpu_type][0]
    tenants = scenario.workload.tenants
    return pl.DataFrame(
        {
            "time": _times(scenario.start, work.time_s),
            "request_id": _ids(good.size),
            "service": _repeat(scenario.service, good.size),
            "tenant": _pick([tenant.name for tenant in tenants], work.tenant),
            "tier": _pick([tenant.tier for tenant in tenants], work.tenant),
            "node": _pick(fleet.nodes, work.node),
            "model": _repeat(scenario.model, good.size),
            "model_version": _pick(list(versions), version),
            "batch_size": conditions.batch_size[work.node, step],
            "gpu_type": _repeat(fleet.gpu_type, good.size),
            "gpu_count": np.full(good.size, conditions.gpu_count),
            "prompt_tokens": work.prompt_tokens,
            "output_tokens": pl.Series(served.made_tokens).set(pl.Series(~good), None),
            "queue_s": waited,
            "ttft_s": _where(good, served.first_s - work.time_s),
            "tpot_s": _where(good, (served.end_s - served.first_s) / more),
            "e2e_s": _where(good, served.end_s - work.time_s),
            "error": _pick(_ERRORS, served.ending),
            "cost_usd": gpu_s * fleet.usd_per_gpu_hour / 3600.0,
            "energy_j": gpu_s * power,
            "quality": _where(good, quality),
        }
    )


def export_samples(run: Run) -> pl.DataFrame:
    """Write the gauges that a Prometheus server would have scraped, with gaps.

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
    scenario, conditions, served, rng = run.scenario, run.conditions, run.served, run.measurement[1]
    nodes, steps = conditions.batch_size.shape
    time_s = np.arange(steps, dtype=np.float64) * STEP_S
    seen = _draw_scrapes(scenario, nodes, steps, rng)
    temp = _temperature(run) + 0.7 * rng.standard_normal((nodes, steps))
    gauges = {
        "DCGM_FI_DEV_GPU_TEMP": np.rint(temp),
        "DCGM_FI_DEV_SM_CLOCK": np.rint(conditions.clock_mhz / 15.0) * 15.0,
        "vllm:kv_cache_usage_perc": served.kv_usage,
        "vllm:num_requests_running": served.running,
        "vllm:num_requests_waiting": _waiting(run, time_s),
    }
    frames = [
        pl.DataFrame(
            {
                "time": _times(scenario.start, time_s[seen[node]]),
                "node": _repeat(name, int(seen[node].sum())),
                "service": _repeat(scenario.service, int(seen[node].sum())),
                "metric": _repeat(metric, int(seen[node].sum())),
                "value": values[node, seen[node]],
            },
            schema=SAMPLES,
        )
        for node, name in enumerate(scenario.fleet.nodes)
        for metric, values in gauges.items()
    ]
    return pl.concat(frames).sort("time", "node", "metric")


def export_changes(run: Run) -> pl.DataFrame:
    """Write one row a change of configuration.

    Parameters
    ----------
    run : Run
        A run.

    Returns
    -------
    polars.DataFrame
        ``time``, ``node``, ``variable``, ``before``, ``after``, in order of time and node.

    Examples
    --------
    >>> from causalrel.simulation import simulate
    >>> simulate("llm-canary", days=1).changes.collect()["variable"].unique().to_list()
    ['batch_size']
    """
    names = list(run.scenario.versions)
    rows: list[tuple[float, str, str, str, str]] = []
    for place, node in enumerate(run.scenario.fleet.nodes):
        for variable, values in (
            ("batch_size", run.conditions.batch_size[place]),
            ("model_version", run.conditions.version[place]),
        ):
            for step in np.flatnonzero(np.diff(values)) + 1:
                pair = (int(values[step - 1]), int(values[step]))
                before, after = (names[v] if variable == "model_version" else str(v) for v in pair)
                rows.append((float(step) * STEP_S, node, variable, before, after))
    rows.sort()
    table = pl.DataFrame(rows, schema=["time_s", *_TEXTS], orient="row")
    times = _times(run.scenario.start, np.array([row[0] for row in rows], dtype=np.float64))
    return table.select(times.alias("time"), *(pl.col(name).cast(kind) for name, kind in _TEXTS.items()))


def _times(start: datetime, time_s: NDArray[np.float64]) -> pl.Series:
    epoch = (start - datetime.fromtimestamp(0, tz=start.tzinfo)) // timedelta(microseconds=1)
    return pl.Series(epoch + np.rint(time_s * 1e6).astype(np.int64), dtype=pl.Int64).cast(TIME)


def _ids(count: int) -> pl.Series:
    return pl.select(pl.lit("r") + pl.int_range(count).cast(pl.String).str.zfill(6)).to_series()


def _repeat(text: str, count: int) -> pl.Series:
    return pl.repeat(text, count, dtype=pl.String, eager=True)


def _pick(names: list[str] | tuple[str | None, ...], place: NDArray[np.int64]) -> pl.Series:
    return pl.Series(list(names), dtype=pl.String).gather(place)


def _where(keep: NDArray[np.bool_], values: NDArray[np.float64]) -> pl.Series:
    return pl.Series(np.where(keep, values, np.nan)).fill_nan(None)


def _waiting(run: Run, time_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Count requests that came, have not ended and are not running."""
    work, served = run.work, run.served
    waiting = np.empty_like(served.running)
    for node in range(waiting.shape[0]):
        mine = work.node == node
        came = np.searchsorted(work.time_s[mine], time_s, side="right")
        ended = np.searchsorted(np.sort(served.end_s[mine]), time_s, side="right")
        waiting[node] = came - ended - served.running[node]
    return np.maximum(waiting, 0.0)


def _temperature(run: Run) -> NDArray[np.float64]:
    """Let temperature follow the work done, some minutes late, and rise where a fault lies."""
    conditions, running = run.conditions, run.served.running
    busy = np.where(running > 0, 0.5 + 0.5 * running / conditions.batch_size.max(), 0.0)
    weights = np.exp(-np.arange(int(6 * _LAG_STEPS)) / _LAG_STEPS)
    late = np.stack([np.convolve(row, weights / weights.sum())[: row.size] for row in busy])
    power = late * conditions.clock_mhz / GPUS[run.scenario.fleet.gpu_type][0]
    return _IDLE_C + _BUSY_C * power + conditions.heat_c


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
