"""Reports of the load generators guidellm and inference-perf, as requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw, Struct

from causalrel import errors
from causalrel.telemetry.documents import said, whole
from causalrel.telemetry.otlp.wire import items
from causalrel.telemetry.parts import Parts, measured, tell
from causalrel.telemetry.rows import Rows
from causalrel.telemetry.schema import TIME
from causalrel.telemetry.streams import all_bytes

#: Where the clock of a run that has no date is put to begin: 2024-01-01, in seconds since 1970.
ORIGIN = 1_704_067_200

_ONLY_SUMMARIES = "the report holds summaries only, no requests"


class _Timings(Struct):
    queued: float | None = None
    dequeued: float | None = None


class _Info(Struct):
    error: str | None = None
    timings: _Timings | None = None


class _Sent(Struct):
    """A request of guidellm, old and new."""

    request_id: str | None = None
    request_start_time: float | None = None
    start_time: float | None = None
    request_latency: float | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    time_to_first_token_ms: float | None = None
    inter_token_latency_ms: float | None = None
    error: str | None = None
    info: _Info | None = None


class _Breakdown(Struct):
    successful: list[Raw] = []
    errored: list[Raw] = []
    incomplete: list[Raw] = []


class _Named(Struct):
    model: str | None = None


class _Strategy(Struct):
    type_: str = ""
    rate: float | None = None


class _Config(Struct):
    backend: _Named | None = None
    strategy: _Strategy | None = None


class _Benchmark(Struct):
    requests: _Breakdown | None = None
    config: _Config | None = None


class _Guidellm(Struct):
    benchmarks: list[_Benchmark] = []


class _Fault(Struct):
    error_type: str = "error"


class _Response(Struct):
    output_tokens: int | None = None
    output_token_times: list[float] = []


class _Inner(Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    output_token_times: list[float] = []
    response_metrics: _Response | None = None


class _Cycle(Struct):
    """A request of inference-perf."""

    start_time: float
    end_time: float | None = None
    info: _Inner | None = None
    error: _Fault | None = None


def read_guidellm(paths: list[Path]) -> Parts:
    """Read reports of guidellm that hold their requests.

    Parameters
    ----------
    paths : list of pathlib.Path
        Reports in JSON, packed or not.

    Returns
    -------
    Parts
        Requests; prompts and outputs are not read.

    Raises
    ------
    CausalrelError
        When a report holds summaries only.

    Examples
    --------
    >>> import tempfile
    >>> sent = '{"request_start_time": 1770768000.0, "time_to_first_token_ms": 250.0, "prompt_tokens": 9}'
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "report.json"
    ...     _ = path.write_text('{"benchmarks": [{"requests": {"successful": [%s]}}]}' % sent)
    ...     read_guidellm([path]).requests["ttft_s"].item()
    0.25
    """
    rows, parts, bad = Rows(), Parts(), list[str]()
    decoder = msgspec.json.Decoder(_Sent)
    timeless = 0
    for path in paths:
        for number, benchmark in enumerate(_guidellm(path).benchmarks):
            config = benchmark.config or _Config()
            shared = {
                "model": config.backend.model if config.backend else None,
                "benchmark": number,
                "strategy": config.strategy.type_ if config.strategy else None,
                "offered_rate": config.strategy.rate if config.strategy else None,
            }
            told = benchmark.requests or _Breakdown()
            for ended in ("successful", "errored", "incomplete"):
                for one in items(getattr(told, ended), decoder, bad):
                    start = one.start_time if one.request_start_time is None else one.request_start_time
                    if start is None or not 0 < start < 2**43:
                        timeless += 1
                    else:
                        rows.add({"#time": start, **shared, **_sent(one, ended)})
    todo = "save a report that lists them under 'requests', or export traces of the server"
    return _made(paths, rows, parts, (bad, timeless), todo)


def _guidellm(path: Path) -> _Guidellm:
    return whole(path, msgspec.json.Decoder(_Guidellm), "a report of guidellm")


def _sent(one: _Sent, ended: str) -> dict[str, Any]:
    timings = one.info.timings if one.info else None
    waited = None
    if timings and timings.queued is not None and timings.dequeued is not None:
        waited = timings.dequeued - timings.queued
    return {
        "request_id": one.request_id,
        "client_queue_s": waited,
        "ttft_s": _seconds(one.time_to_first_token_ms),
        "tpot_s": _seconds(one.inter_token_latency_ms),
        "e2e_s": one.request_latency,
        "prompt_tokens": one.prompt_tokens,
        "output_tokens": one.output_tokens,
        "error": {"successful": None, "errored": "error"}.get(ended, ended),
    }


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def read_inference_perf(paths: list[Path]) -> Parts:
    """Read the reports that inference-perf writes request by request.

    Parameters
    ----------
    paths : list of pathlib.Path
        Files such as ``per_request_lifecycle_metrics.json``, packed or not.

    Returns
    -------
    Parts
        Requests, the first one put at 2024-01-01, as the clock of the tool has no date; prompts and answers are not
        read.

    Raises
    ------
    CausalrelError
        When a report holds summaries only.

    Examples
    --------
    >>> import tempfile
    >>> one = '{"start_time": 5.0, "end_time": 7.0, "info": {"input_tokens": 9, "output_token_times": [5.5, 7.0]}}'
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "per_request_lifecycle_metrics.json"
    ...     _ = path.write_text(f"[{one}]")
    ...     read_inference_perf([path]).requests.select("ttft_s", "e2e_s").row(0)
    (0.5, 2.0)
    """
    rows, parts, bad = Rows(), Parts(), list[str]()
    decoder = msgspec.json.Decoder(_Cycle)
    todo = "set report.request_lifecycle.per_request to true and name per_request_lifecycle_metrics.json"
    for path in paths:
        text = all_bytes(path)
        if text.lstrip()[:1] != b"[":
            raise errors.unreadable(path, _ONLY_SUMMARIES, todo)
        try:
            listed = msgspec.json.decode(text, type=list[Raw])
        except (ValueError, RecursionError) as fault:
            raise errors.unreadable(path, f"it is no whole report ({said(fault)})", "export it again") from None
        cycles = list(items(listed, decoder, bad))
        first = min((one.start_time for one in cycles), default=0.0)
        for one in cycles:
            rows.add({"#time": ORIGIN + (one.start_time - first), **_cycle(one)})
    made = _made(paths, rows, parts, (bad, 0), todo)
    made.notes.append("the clock of inference-perf has no date, so its first request was put at 2024-01-01")
    return made


def _cycle(one: _Cycle) -> dict[str, Any]:
    info = one.info or _Inner()
    response = info.response_metrics or _Response()
    times = response.output_token_times or info.output_token_times
    output = info.output_tokens if response.output_tokens is None else response.output_tokens
    paced = len(times) > 1 and output is not None and output > 1
    return {
        "ttft_s": times[0] - one.start_time if times else None,
        "tpot_s": (times[-1] - times[0]) / ((output or 2) - 1) if paced else None,
        "e2e_s": None if one.end_time is None else one.end_time - one.start_time,
        "prompt_tokens": info.input_tokens,
        "output_tokens": output,
        "error": one.error.error_type if one.error else None,
    }


def _made(paths: list[Path], rows: Rows, parts: Parts, left: tuple[list[str], int], todo: str) -> Parts:
    import polars as pl

    bad, timeless = left
    tell(parts.notes, len(bad), "request", f"was not read; the first: {(bad or [''])[0][:120]}")
    tell(parts.notes, timeless, "request", "was without a start time and left out")
    if not rows.count:
        found = f"nothing in it can be used ({'; '.join(parts.notes)[:160]})" if parts.notes else _ONLY_SUMMARIES
        raise errors.unreadable(paths[0], found, todo)
    told = rows.frame()
    time = (pl.col("#time") * 1e6).round().cast(pl.Int64).cast(TIME).alias("time")
    frame = told.select(time, *[one for one in told if one.name != "#time" and one.null_count() < one.len()])
    if "error" not in frame.columns:
        frame = frame.with_columns(pl.lit(None, dtype=pl.String).alias("error"))
    parts.requests = measured(frame.sort("time", maintain_order=True), parts.notes)
    return parts
