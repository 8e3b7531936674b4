"""OTLP: telemetry as the JSON lines that the OpenTelemetry collector's file exporter writes."""

from __future__ import annotations

from pathlib import Path

from causalrel.telemetry import Telemetry
from causalrel.telemetry.drafts import drafted
from causalrel.telemetry.otlp.logs import log_lines
from causalrel.telemetry.otlp.metrics import metric_lines
from causalrel.telemetry.otlp.traces import trace_lines


def write_otlp(telemetry: Telemetry, folder: str | Path) -> None:
    """Write requests as ``traces.jsonl``, samples as ``metrics.jsonl`` and changes as ``logs.jsonl``.

    Every line is one export request. A request is a client span: it starts at ``time`` and lasts ``e2e_s``; where that
    is null, the time to its last token (``ttft_s`` and one ``tpot_s`` for each further token), else ``queue_s``. A
    failed one has status 2 and its class as ``error.type``; ``quality`` is an event ``gen_ai.evaluation.result``;
    ``gen_ai.provider.name`` is ``_OTHER`` where no column ``provider`` tells it. Columns without a name in the
    conventions are attributes ``causalrel.<column>``, ``e2e_s`` among them because a span's times are cut to
    nanoseconds; a null is no attribute. The trace is told by ``request_id`` (the row, without one) and the span by
    both, so the same telemetry gives the same bytes.

    Samples are points of a gauge; of a cumulative sum, if their metric ends like a counter (``COUNTER_ENDINGS`` of
    :mod:`causalrel.telemetry.otlp.names`). A sum starts at the first point of its series, and after a value lower than
    the one before, which is a reset, at the point of that value. A sample without a value is no point.

    Parameters
    ----------
    telemetry : Telemetry
        What to write; requests and changes are streamed, samples are held in memory.
    folder : str or pathlib.Path
        A directory; made if its parent exists.

    Raises
    ------
    CausalrelError
        When a metric is not in Prometheus notation, or the directory cannot be made or written.

    Examples
    --------
    >>> import tempfile
    >>> import causalrel as cr
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_otlp(cr.load_dataset("llm-canary"), folder)
    ...     sorted(path.name for path in Path(folder).iterdir())
    ['logs.jsonl', 'metrics.jsonl', 'traces.jsonl']
    """
    signals = {"traces": trace_lines(telemetry.requests, telemetry.source)}
    if telemetry.samples is not None:
        signals["metrics"] = metric_lines(telemetry.samples, telemetry.source)
    if telemetry.changes is not None:
        signals["logs"] = log_lines(telemetry.changes, telemetry.source)
    with drafted(folder) as draft:
        for name, lines in signals.items():
            with (draft / f"{name}.jsonl").open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(lines)
