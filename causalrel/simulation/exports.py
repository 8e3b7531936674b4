"""Exports: a run as the service would have logged it, in canonical columns."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from causalrel.simulation.bills import bill
from causalrel.simulation.conditions import STEP_S
from causalrel.simulation.engine import ENDINGS
from causalrel.simulation.runs import Run
from causalrel.simulation.settings import SETTINGS
from causalrel.telemetry.schema import CHANGES, TIME

_TEXTS = {"node": pl.String, **{name: kind for name, kind in CHANGES.items() if name != "time"}}
_SAMPLED = {"sm_clock_mhz", "node_up"}
_LONG_TOKENS = 4096.0


def export_requests(run: Run) -> pl.DataFrame:
    """Write one row a request, in order of arrival, as its client saw it.

    Configuration is that of the node at arrival. Times count from the first attempt. A failed request has no latency
    and no answer; its ``queue_s`` is the time its client spent on it.

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
    scenario, work, served = run.scenario, run.work, run.served
    good = served.ending == 0
    more = np.where(served.made > 1, served.made - 1.0, np.nan)
    waited = np.where(np.isnan(served.start_s), served.end_s, served.start_s) - work.time_s
    cost, energy = bill(run)
    quality, judged = _judge(run)
    tenants = scenario.workload.tenants
    return pl.DataFrame(
        {
            "time": times(scenario.start, work.time_s),
            "request_id": _ids(good.size),
            "service": repeat(scenario.service, good.size),
            "tenant": _pick([tenant.name for tenant in tenants], work.tenant),
            "tier": _pick([tenant.tier for tenant in tenants], work.tenant),
            "node": _pick([*scenario.fleet.nodes, None], served.node),
            "model": repeat(scenario.model, good.size),
            **_configuration(run),
            "prompt_tokens": work.prompt_tokens,
            "fact_position": work.fact_position,
            "output_tokens": pl.Series(served.made).set(pl.Series(~good), None),
            "cached_tokens": served.cached,
            "retries": served.attempts - 1,
            "queue_s": waited,
            "ttft_s": _where(good, served.first_s - work.time_s),
            "tpot_s": _where(good, (served.end_s - served.first_s) / more),
            "stall_s": _where(good, served.stall_s),
            "e2e_s": _where(good, served.end_s - work.time_s),
            "error": _pick(ENDINGS, served.ending),
            "cost_usd": cost,
            "energy_j": energy,
            "quality": _where(good, quality),
            "judge_quality": _where(good, judged),
        }
    )


def _configuration(run: Run) -> dict[str, pl.Series]:
    """Return the settings that somebody logs, at each request's node and arrival."""
    scenario, values = run.scenario, run.conditions.values
    unlogged = {rollout.set for rollout in scenario.rollouts if not rollout.logged}
    node, step = np.maximum(run.served.node, 0), _steps(run)
    columns = {}
    for name, setting in SETTINGS.items():
        if name in _SAMPLED | unlogged:
            continue
        seen = values[name][node, step]
        if setting.form == "name":
            columns[name] = _pick(scenario.choices[name], seen.astype(np.int64))
        elif setting.form == "switch":
            columns[name] = _pick(("off", "on"), seen.astype(np.int64))
        else:
            columns[name] = pl.Series(seen.astype(np.int64) if setting.form == "whole" else seen)
    return columns


def _steps(run: Run) -> NDArray[np.int64]:
    last = run.conditions.accepts.shape[1] - 1
    step: NDArray[np.int64] = np.minimum((run.work.time_s / STEP_S).astype(np.int64), last)
    return step


def _judge(run: Run) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the quality of each answer and what a judge says of it: logits with noise, NaN where nobody judged.

    Long prompts lower it, most where the answer lies in their middle (https://arxiv.org/abs/2307.03172).
    """
    scenario, values, work, plan = run.scenario, run.conditions.values, run.work, run.scenario.quality
    node, step = np.maximum(run.served.node, 0), _steps(run)
    noise, judge = (np.random.default_rng(run.measurement[place]) for place in (0, 2))
    version = values["model_version"][node, step].astype(np.int64)
    versions = list(scenario.versions.values())
    logit = np.array([each.quality for each in versions])[version]
    logit = logit + plan.spread * noise.standard_normal(version.size)
    long = np.log2(np.maximum(work.prompt_tokens / _LONG_TOKENS, 1.0))
    logit -= plan.long_context * long
    logit -= plan.middle * 4.0 * work.fact_position * (1.0 - work.fact_position) * np.minimum(long, 1.0)
    logit -= plan.int4 * (values["quantisation"][node, step] == scenario.choices["quantisation"].index("int4"))
    if scenario.hidden is not None:
        logit -= scenario.hidden.hardens * run.conditions.hidden[node, step]
    bias = np.array([each.judge for each in versions])[version]
    seen = logit + bias + plan.judge_spread * judge.standard_normal(version.size)
    judged = np.where(judge.random(version.size) < plan.judged, 1.0 / (1.0 + np.exp(-seen)), np.nan)
    return 1.0 / (1.0 + np.exp(-logit)), judged


def export_changes(run: Run) -> pl.DataFrame:
    """Write one row a logged change of configuration.

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
    scenario = run.scenario
    unlogged = {rollout.set for rollout in scenario.rollouts if not rollout.logged}
    rows: list[tuple[float, str, str, str, str]] = []
    for name, setting in SETTINGS.items():
        if name in _SAMPLED | unlogged:
            continue
        values = run.conditions.values[name]
        for place, step in zip(*np.nonzero(np.diff(values, axis=1)), strict=True):
            pair = (float(values[place, step]), float(values[place, step + 1]))
            before, after = (
                scenario.choices[name][int(value)]
                if setting.form == "name"
                else ("off", "on")[int(value)]
                if setting.form == "switch"
                else f"{value:.12g}"
                for value in pair
            )
            rows.append((float(step + 1) * STEP_S, scenario.fleet.nodes[place], name, before, after))
    rows.sort()
    table = pl.DataFrame(rows, schema=["time_s", *_TEXTS], orient="row")
    moments = times(scenario.start, np.array([row[0] for row in rows], dtype=np.float64))
    return table.select(moments.alias("time"), *(pl.col(name).cast(kind) for name, kind in _TEXTS.items()))


def times(start: datetime, time_s: NDArray[np.float64]) -> pl.Series:
    """Return UTC times of seconds since the start."""
    epoch = (start - datetime.fromtimestamp(0, tz=start.tzinfo)) // timedelta(microseconds=1)
    return pl.Series(epoch + np.rint(time_s * 1e6).astype(np.int64), dtype=pl.Int64).cast(TIME)


def repeat(text: str, count: int) -> pl.Series:
    """Return a column that says the same in every row."""
    return pl.repeat(text, count, dtype=pl.String, eager=True)


def _ids(count: int) -> pl.Series:
    return pl.select(pl.lit("r") + pl.int_range(count).cast(pl.String).str.zfill(6)).to_series()


def _pick(names: Sequence[str | None], place: NDArray[np.int64]) -> pl.Series:
    return pl.Series(list(names), dtype=pl.String).gather(np.where(place < 0, len(names) - 1, place))


def _where(keep: NDArray[np.bool_], values: NDArray[np.float64]) -> pl.Series:
    return pl.Series(np.where(keep, values, np.nan)).fill_nan(None)
