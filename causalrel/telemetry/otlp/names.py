"""Names that columns, changes and counters bear in OTLP, for both directions."""

from __future__ import annotations

#: What columns are called as attributes of a resource.
RESOURCE_ATTRIBUTES = {"service": "service.name", "node": "host.name"}

#: What columns of requests are called as attributes of a span, by the GenAI semantic conventions.
SPAN_ATTRIBUTES = {
    "provider": "gen_ai.provider.name",
    "model": "gen_ai.request.model",
    "prompt_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cached_tokens": "gen_ai.usage.cache_read.input_tokens",
    "ttft_s": "gen_ai.response.time_to_first_chunk",
    "error": "error.type",
}

#: What every other column is called: this, then its name.
NAMESPACE = "causalrel."

#: Name of the event of a change.
CHANGE_EVENT = "causalrel.change"

#: Endings of the names of counters; other series are gauges.
COUNTER_ENDINGS = ("_total", "_bucket", "_sum", "_count", "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION")
