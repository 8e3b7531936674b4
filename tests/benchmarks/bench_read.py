"""Measure how fast exports are read, and in how much memory: ``python tests/benchmarks/bench_read.py [SPANS]``."""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import causalrel as cr

START = 1_770_800_400_000_000_000
LINE = 8192


def spans(count: int) -> Iterator[str]:
    """Yield export requests of spans as the SDK of a client sends them, with nine attributes each."""
    for first in range(0, count, LINE):
        made = [span(at) for at in range(first, min(first + LINE, count))]
        resource_told = {"attributes": [{"key": "service.name", "value": {"stringValue": "chat"}}]}
        yield json.dumps({"resourceSpans": [{"resource": resource_told, "scopeSpans": [{"spans": made}]}]}) + "\n"


def span(at: int) -> dict[str, object]:
    text = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "llama-3-70b",
        "gen_ai.response.id": f"chatcmpl-{at}",
        "gen_ai.conversation.id": f"c-{at % 1000}",
    }
    told: list[dict[str, object]] = [{"key": key, "value": {"stringValue": one}} for key, one in text.items()]
    for key, number in (("input_tokens", at % 4000), ("output_tokens", at % 700)):
        told.append({"key": f"gen_ai.usage.{key}", "value": {"intValue": str(number)}})
    told.append({"key": "gen_ai.response.time_to_first_chunk", "value": {"doubleValue": 0.1 + at % 97 / 1000}})
    told.append({"key": "gen_ai.request.temperature", "value": {"doubleValue": 0.7}})
    start = START + at * 1_000_000
    return {
        "traceId": f"{at:032x}",
        "spanId": f"{at:016x}",
        "name": "chat llama-3-70b",
        "kind": 3,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + 2_000_000_000),
        "attributes": told,
        "status": {},
    }


def measured(what: str, count: int, path: Path, height: Callable[[], int]) -> None:
    start = time.process_time()
    found = height()
    spent = time.process_time() - start
    if found != count:
        raise SystemExit(f"{count:,} {what} were written and {found:,} read")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    size = path.stat().st_size / 1e6
    sys.stdout.write(
        f"{count:,} {what} ({size:,.0f} MB) in {spent:.1f} CPU-s, {count / spent:,.0f} a CPU-s, peak {peak:.2f} GB\n"
    )


def main() -> None:
    """Read spans of OTLP JSON line by line, then samples of a text exposition."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scrape.prom"
        lines = (
            f'vllm:num_requests_running{{engine="{at % 64}",instance="n{at % 16}"}} {at} {1770800400000 + at}\n'
            for at in range(count // 4)
        )
        with path.open("w", encoding="utf-8") as file:
            file.writelines(lines)
        measured("samples of an exposition", count // 4, path, lambda: cr.read(path).samples.collect().height)
        export = Path(folder) / "traces.jsonl"
        with export.open("w", encoding="utf-8") as file:
            file.writelines(spans(count))
        measured("spans of OTLP JSON lines", count, export, lambda: cr.read(export).frame().height)


if __name__ == "__main__":
    main()
