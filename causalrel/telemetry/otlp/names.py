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

#: Name of the event of an evaluation.
EVALUATION_EVENT = "gen_ai.evaluation.result"

#: Name of the scope of what causalrel wrote itself.
SCOPE = "causalrel"

#: Endings of the names of counters; other series are gauges.
COUNTER_ENDINGS = ("_total", "_bucket", "_sum", "_count", "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION")

#: Attributes that columns are read from, best first: what is written, then names that exporters use besides,
#: deprecated ones among them, and those of vLLM's own spans.
READ_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "service": ("service.name",),
    "node": ("host.name", "k8s.node.name", "host.id"),
    "provider": ("gen_ai.provider.name", "gen_ai.system"),
    "model": ("gen_ai.request.model", "gen_ai.response.model"),
    "prompt_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
    "output_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    "cached_tokens": ("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens"),
    "ttft_s": (
        "gen_ai.response.time_to_first_chunk",
        "gen_ai.server.time_to_first_token",
        "gen_ai.latency.time_to_first_token",
    ),
    "tpot_s": ("gen_ai.server.time_per_output_token",),
    "queue_s": ("gen_ai.latency.time_in_queue",),
    "e2e_s": ("gen_ai.latency.e2e",),
    "request_id": ("gen_ai.request.id", "gen_ai.response.id"),
    "gpu_type": ("hw.model",),
    "firmware": ("hw.firmware_version",),
    "error": ("error.type",),
}

#: Operations that ask a model for an answer.
MODEL_OPERATIONS = frozenset({"chat", "completion", "embeddings", "generate_content", "text_completion"})

#: Operations that do not, though what asks a model may stand inside them.
OTHER_OPERATIONS = frozenset({"create_agent", "execute_tool", "invoke_agent", "invoke_workflow", "retrieval"})

#: Attributes that tell a span of a model where it does not name its operation.
MODEL_ATTRIBUTES = frozenset(
    {
        "gen_ai.request.model",
        "gen_ai.response.model",
        "gen_ai.request.id",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
    }
)

#: Attributes that carry what people wrote and read; they are never read.
PRIVATE_ATTRIBUTES = frozenset(
    {
        "enduser.id",
        "gen_ai.completion",
        "gen_ai.evaluation.explanation",
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.output.text",
        "gen_ai.prompt",
        "gen_ai.retrieval.documents",
        "gen_ai.retrieval.query.text",
        "gen_ai.system_instructions",
        "gen_ai.tool.call.arguments",
        "gen_ai.tool.call.result",
        "gen_ai.tool.definitions",
        "gen_ai.request.stop_sequences",
        "input.value",
        "output.value",
        "traceloop.entity.input",
        "traceloop.entity.output",
        "user.email",
        "user.full_name",
        "user.id",
        "user.name",
    }
)

#: What the names of such attributes begin with, where they are numbered.
PRIVATE_BEGINNINGS = (
    "gen_ai.prompt.",
    "gen_ai.completion.",
    "llm.input_messages",
    "llm.output_messages",
    "llm.prompts",
)

#: Attributes with such a beginning that carry nothing private.
HARMLESS = frozenset({"gen_ai.prompt.name", "gen_ai.prompt.version"})

#: Attributes whose values are replaced by a hash that still tells them apart.
HASHED = frozenset({"gen_ai.conversation.id", "session.id"})

#: What the names of resource attributes begin with that say nothing of the service.
RESOURCE_NOISE = ("telemetry.", "process.", "os.", "container.", "k8s.pod.", "host.")
