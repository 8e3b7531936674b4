"""Canonical columns: names, roles, kinds, units, and the names exports give them."""

from __future__ import annotations

import polars as pl

from causalrel.variables import Variable

TIME = pl.Datetime("us", "UTC")

#: Columns of ``requests`` that identify an event or say how it ended; never variables.
IDENTITY: dict[str, pl.DataType | type[pl.DataType]] = {
    "time": TIME,
    "request_id": pl.String,
    "service": pl.String,
    "tenant": pl.String,
    "tier": pl.String,
    "node": pl.String,
    "error": pl.String,
}

_V = Variable

#: Columns of ``requests`` that are variables, in canonical units.
REQUEST_VARIABLES: tuple[Variable, ...] = (
    _V(name="model", role="config", kind="category", otel="gen_ai.request.model"),
    _V(name="model_version", role="config", kind="category"),
    _V(name="batch_size", role="config", kind="count", unit="1"),
    _V(name="gpu_count", role="config", kind="count", unit="1"),
    _V(name="max_batched_tokens", role="config", kind="count", unit="token"),
    _V(name="chunked_prefill", role="config", kind="category"),
    _V(name="replicas", role="config", kind="count", unit="1"),
    _V(name="quantisation", role="config", kind="category"),
    _V(name="kv_fraction", role="config", unit="1"),
    _V(name="admission_limit", role="config", kind="count", unit="1"),
    _V(name="prompt_cache_tokens", role="config", kind="count", unit="token"),
    _V(name="prompt_template", role="config", kind="category"),
    _V(name="power_cap_w", role="config", unit="W"),
    _V(name="gpu_type", role="hardware", kind="category", otel="hw.model"),
    _V(name="firmware", role="hardware", kind="category", otel="hw.firmware_version"),
    _V(name="fact_position", role="workload", unit="1"),
    _V(name="prompt_tokens", role="workload", kind="number", unit="token", otel="gen_ai.usage.input_tokens"),
    _V(name="output_tokens", role="workload", kind="number", unit="token", otel="gen_ai.usage.output_tokens"),
    _V(
        name="cached_tokens",
        role="engine",
        kind="number",
        unit="token",
        otel="gen_ai.usage.cache_read.input_tokens",
    ),
    _V(name="queue_s", role="engine", unit="s", otel="vllm:request_queue_time_seconds"),
    _V(name="retries", role="engine", kind="number", unit="1"),
    _V(name="ttft_s", role="outcome", unit="s", otel="gen_ai.server.time_to_first_token"),
    _V(name="tpot_s", role="outcome", unit="s", otel="gen_ai.server.time_per_output_token"),
    _V(name="stall_s", role="outcome", unit="s"),
    _V(name="e2e_s", role="outcome", unit="s", otel="gen_ai.server.request.duration"),
    _V(name="cost_usd", role="outcome", unit="USD"),
    _V(name="energy_j", role="outcome", unit="J"),
    _V(name="quality", role="outcome", unit="1", otel="gen_ai.evaluation.score.value"),
    _V(name="judge_quality", role="outcome", unit="1"),
)

#: Metrics of ``samples`` that become variables, by the name the exporter gives them.
METRIC_VARIABLES: tuple[Variable, ...] = (
    _V(name="running", role="engine", unit="1", otel="vllm:num_requests_running"),
    _V(name="waiting", role="engine", unit="1", otel="vllm:num_requests_waiting"),
    _V(name="kv_usage", role="engine", unit="1", otel="vllm:kv_cache_usage_perc"),
    _V(name="sm_clock_mhz", role="hardware", unit="MHz", otel="DCGM_FI_DEV_SM_CLOCK"),
    _V(name="gpu_temp_c", role="hardware", unit="Cel", otel="DCGM_FI_DEV_GPU_TEMP"),
    _V(name="node_up", role="hardware", unit="1", otel="up"),
    _V(name="power_w", role="engine", unit="W", otel="DCGM_FI_DEV_POWER_USAGE"),
)

#: The workload variable made while windowing: requests a second that arrived at the unit.
LOAD = _V(name="load", role="workload", unit="1/s")

SAMPLES: dict[str, pl.DataType | type[pl.DataType]] = {
    "time": TIME,
    "node": pl.String,
    "service": pl.String,
    "metric": pl.String,
    "value": pl.Float64,
}

CHANGES: dict[str, pl.DataType | type[pl.DataType]] = {
    "time": TIME,
    "variable": pl.String,
    "before": pl.String,
    "after": pl.String,
}
