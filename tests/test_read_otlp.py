from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import causalrel as cr
from causalrel import CausalrelError, Telemetry
from causalrel.cli import main
from causalrel.telemetry.otlp.spans import column_of
from causalrel.telemetry.rows import MOST_COLUMNS, Rows
from causalrel.telemetry.schema import TIME
from causalrel.telemetry.writers import write_telemetry

FORMATS = Path(__file__).parents[2] / "shared/data/formats"
needs_formats = pytest.mark.skipif(not FORMATS.exists(), reason=f"needs the public examples at {FORMATS}")
START = 1_770_800_400_000_000_000
SAMPLE_KEY = ["time", "node", "service", "metric"]


def put(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(path: Path, match: str) -> None:
    with pytest.raises(CausalrelError, match=match) as caught:
        cr.read(path)
    assert "\n" not in str(caught.value)
    assert ";" in str(caught.value)


def value(of: Any) -> dict[str, Any]:
    if isinstance(of, dict):
        return of
    kind = {bool: "boolValue", int: "intValue", float: "doubleValue", str: "stringValue"}[type(of)]
    return {kind: str(of) if kind == "intValue" else of}


def attributes(of: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value(one)} for key, one in of.items()]


def span(number: int = 0, *, lasts: float = 1.0, told: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    start = START + number * 10**9
    return {
        "traceId": f"{number:032x}",
        "spanId": f"{number + 1:016x}",
        "kind": 3,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + int(lasts * 1e9)),
        "attributes": attributes({"gen_ai.operation.name": "chat", **(told or {})}),
        **more,
    }


def sent(signal: str, items: list[dict[str, Any]], resource: dict[str, Any] | None = None) -> str:
    listed = {"Spans": "spans", "Metrics": "metrics", "Logs": "logRecords"}[signal]
    block = {
        "resource": {"attributes": attributes(resource or {"service.name": "chat", "host.name": "n1"})},
        f"scope{signal}": [{"scope": {"name": "other"}, listed: items}],
    }
    return json.dumps({f"resource{signal}": [block]})


def read_spans(folder: Path, *spans: dict[str, Any]) -> Telemetry:
    return cr.read(put(folder, "traces.json", sent("Spans", list(spans))))


def read_metrics(folder: Path, *metrics: dict[str, Any]) -> Telemetry:
    return cr.read(put(folder, "metrics.json", sent("Metrics", list(metrics))))


def samples_of(telemetry: Telemetry) -> dict[str, list[float | None]]:
    assert telemetry.samples is not None
    frame = telemetry.samples.collect()
    return {str(key[0]): one["value"].to_list() for key, one in frame.partition_by("metric", as_dict=True).items()}


@pytest.fixture(scope="module")
def simulated() -> Telemetry:
    return cr.simulate("chat-fleet", days=0.01)


def test_what_was_written_reads_the_same(simulated: Telemetry, tmp_path: Path) -> None:
    write_telemetry(simulated, tmp_path, form="otlp")
    got = cr.read(tmp_path)
    assert got.notes == ()
    before = simulated.frame().sort("request_id")
    after = got.frame().sort("request_id")
    told = [one.name for one in before if one.null_count() < one.len()]
    assert set(told) <= set(after.columns) <= set(before.columns)
    assert after.select(told).equals(before.select(told))
    assert got.samples is not None
    assert simulated.samples is not None
    samples = simulated.samples.drop_nulls("value").sort(SAMPLE_KEY).collect()
    assert got.samples.sort(SAMPLE_KEY).collect().equals(samples)
    windows = [cr.window(one, cr.load_slos("llm-chat"), every="5m", by="node") for one in (simulated, got)]
    assert windows[0].table.equals(windows[1].table.select(windows[0].table.columns))


def test_changes_read_back(tmp_path: Path) -> None:
    canary = cr.load_dataset("llm-canary")
    write_telemetry(canary, tmp_path, form="otlp")
    got = cr.read(tmp_path).changes
    assert got is not None
    assert canary.changes is not None
    before = canary.changes.collect()
    told = [one.name for one in before if one.null_count() < one.len()]
    assert got.collect().select(told).sort(told).equals(before.select(told).sort(told))


def test_the_same_file_reads_the_same_whole_packed_or_on_many_lines(simulated: Telemetry, tmp_path: Path) -> None:
    write_telemetry(simulated, tmp_path / "a", form="otlp")
    lines = (tmp_path / "a/traces.jsonl").read_bytes()
    first = cr.read(tmp_path / "a/traces.jsonl").frame()
    merged = {"resourceSpans": [one for line in lines.splitlines() for one in json.loads(line)["resourceSpans"]]}
    for name, text in (
        ("b.jsonl.gz", gzip.compress(lines)),
        ("c.data", lines),
        ("d.json", json.dumps(merged).encode()),
        ("e.json", json.dumps(merged, indent=1).encode()),
    ):
        assert cr.read(put(tmp_path, name, text)).frame().equals(first), name


def test_conventions_current_and_deprecated(tmp_path: Path) -> None:
    new = {
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.usage.cache_read.input_tokens": 2,
        "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.response.id": "r",
        "gen_ai.request.temperature": 0.5,
    }
    old = {
        "gen_ai.system": "openai",
        "gen_ai.response.model": "m",
        "gen_ai.usage.prompt_tokens": 7,
        "gen_ai.usage.completion_tokens": 3,
        "gen_ai.usage.cache_read_input_tokens": 2,
        "gen_ai.latency.time_to_first_token": 0.25,
        "gen_ai.request.id": "r",
        "causalrel.tier": "paid",
    }
    got = read_spans(tmp_path, span(0, told=new), span(1, lasts=2, told=old)).frame()
    for name, one in {
        "provider": "openai",
        "model": "m",
        "prompt_tokens": 7,
        "ttft_s": 0.25,
        "request_id": "r",
    }.items():
        assert got[name].to_list() == [one, one], name
    assert got.select("output_tokens", "cached_tokens").rows() == [(3, 2), (3, 2)]
    assert got["e2e_s"].to_list() == [1.0, 2.0]
    assert got["tier"].to_list() == [None, "paid"]
    assert got["gen_ai.request.temperature"].to_list() == [0.5, None]
    assert got.select("service", "node").row(0) == ("chat", "n1")
    assert got["time"][0].timestamp() * 1e9 == START


def test_failures_and_evaluations(tmp_path: Path) -> None:
    event = {"name": "gen_ai.evaluation.result", "timeUnixNano": str(START)}
    good = event | {
        "attributes": attributes({"gen_ai.evaluation.name": "relevance", "gen_ai.evaluation.score.value": 0.5})
    }
    bare = event | {"attributes": attributes({"gen_ai.evaluation.name": "relevance"})}
    got = read_spans(
        tmp_path,
        span(0, events=[good]),
        span(1, status={"code": 2}, events=[bare]),
        span(2, status={"code": "STATUS_CODE_ERROR"}, told={"error.type": "timeout"}),
    )
    assert got.frame()["error"].to_list() == [None, "error", "timeout"]
    assert got.frame()["quality"].to_list() == [0.5, None, None]
    assert "the evaluation 'relevance' was taken as the quality" in got.notes
    assert "1 evaluation was without a score and left out" in got.notes


def test_evaluations_sent_as_logs_join_their_spans(tmp_path: Path) -> None:
    told = {"gen_ai.evaluation.name": "quality", "gen_ai.evaluation.score.value": 0.25}
    ids = ({"traceId": f"{0:032X}", "spanId": f"{1:016X}"}, {"traceId": "f" * 32, "spanId": "f" * 16})
    records = [{"eventName": "gen_ai.evaluation.result", "attributes": attributes(told), **one} for one in ids]
    put(tmp_path, "a", sent("Spans", [span(0), span(1)]))
    put(tmp_path, "b", sent("Logs", records))
    got = cr.read(tmp_path)
    assert got.frame()["quality"].to_list() == [0.25, None]
    assert "1 evaluation was of no request" in got.notes


def test_private_text_is_never_read(tmp_path: Path) -> None:
    told = {
        "gen_ai.input.messages": "secret",
        "gen_ai.prompt.0.content": "secret",
        "gen_ai.completion": "secret",
        "user.id": "secret",
        "gen_ai.prompt.name": "greeting",
        "gen_ai.conversation.id": "c-1",
    }
    got = read_spans(tmp_path, span(told=told))
    assert "secret" not in str(got.frame().rows())
    assert got.frame()["gen_ai.prompt.name"].item() == "greeting"
    assert got.frame()["gen_ai.conversation.id"].item() not in (None, "c-1")
    assert "4 attributes were not read, as private text" in got.notes


def test_what_is_no_request_is_left_out_and_counted(tmp_path: Path) -> None:
    inner = span(2, parentSpanId=f"{1:016x}", traceId=f"{0:032x}")
    got = read_spans(
        tmp_path,
        span(0),
        span(0),
        inner,
        span(3, told={"gen_ai.operation.name": "execute_tool"}),
        span(4, attributes=[], kind=2),
        span(5, startTimeUnixNano="0"),
        span(6, startTimeUnixNano="soon"),
        span(7, lasts=-1),
        {"spanId": 5},
        *[span(at) for at in range(100, 200)],
    )
    assert got.frame()["e2e_s"].to_list() == [1.0, None, *[1.0] * 100]
    assert set(got.notes) == {
        "1 span was told twice; the first was kept",
        "1 span was inside another request, a part of it, and left out",
        "2 spans were no request (an agent, a tool, a step inside) and left out",
        "2 spans were without a start time and left out",
        "1 span was over before it started, so how long it lasted is not known",
        "1 span was not read; the first: Expected `str`, got `int` - at `$.spanId`",
    }


def test_values_that_no_measurement_can_be(tmp_path: Path) -> None:
    told = {
        "gen_ai.usage.input_tokens": -5,
        "gen_ai.usage.output_tokens": {"intValue": 4},
        "gen_ai.response.time_to_first_chunk": {"doubleValue": "Infinity"},
        "causalrel.energy_j": {"doubleValue": "NaN"},
        "causalrel.big": {"intValue": str(2**63)},
        "causalrel.parts": {"arrayValue": {"values": [{"intValue": "1"}]}},
        "causalrel.empty": {},
    }
    usual = {"gen_ai.usage.input_tokens": 5, "gen_ai.response.time_to_first_chunk": {"doubleValue": 0.5}}
    fine = [span(at, told=usual) for at in range(1, 201)]
    got = read_spans(tmp_path, span(told=told), *fine)
    row = got.frame().filter(pl.col("big").is_not_null()).row(0, named=True)
    assert (row["prompt_tokens"], row["output_tokens"], row["ttft_s"], row["energy_j"]) == (None, 4, None, None)
    assert row["big"] == 2**63
    assert row["parts"] == '{"values": [{"intValue": "1"}]}'
    assert "empty" not in row
    assert "1 'prompt_tokens' below zero or not finite was made null" in got.notes
    assert "1 'ttft_s' below zero or not finite was made null" in got.notes
    refused(
        put(tmp_path, "b.json", sent("Spans", [span(told={"gen_ai.usage.input_tokens": "many"})])),
        "column 'prompt_tokens' of .* holds 'many', not a number",
    )


def test_columns_of_mixed_kinds_and_too_many_of_them(tmp_path: Path) -> None:
    got = read_spans(tmp_path, span(0, told={"x": 1}), span(1, told={"x": 0.5}), span(2, told={"x": "a"})).frame()
    assert got["x"].to_list() == ["1", "0.5", "a"]
    many = [span(at, told={f"label.{at}": at}) for at in range(400)]
    got = read_spans(tmp_path, *many)
    assert len(got.frame().columns) <= MOST_COLUMNS
    assert any("left out, as there are too many names" in note for note in got.notes)
    twice = span(told={"x": 1})
    twice["attributes"] += attributes({"x": 2})
    got = read_spans(tmp_path, twice)
    assert got.frame()["x"].item() == 2
    assert "1 span was told with an attribute twice; the last was kept" in got.notes


def test_servers_stand_in_where_no_model_is_asked(tmp_path: Path) -> None:
    got = read_spans(tmp_path, span(0, attributes=[], kind="SPAN_KIND_SERVER"), span(1, attributes=[], kind=3))
    assert got.frame().height == 1
    assert got.notes[0] == "no span asks a model, so the spans of servers were taken as requests"
    refused(
        put(tmp_path, "b", sent("Spans", [span(attributes=[])])), "nothing in it can be used .*1 span was no request"
    )


def point(number: int, **more: Any) -> dict[str, Any]:
    return {"timeUnixNano": str(START + number * 10**9), **more}


def test_histograms_become_the_series_of_prometheus(tmp_path: Path) -> None:
    one = point(0, count="4", sum=2.5, bucketCounts=["1", 2, "1"], explicitBounds=[0.5, 1])
    got = samples_of(read_metrics(tmp_path, {"name": "ttft", "histogram": {"dataPoints": [one]}}))
    assert got == {
        'ttft_bucket{le="0.5"}': [1.0],
        'ttft_bucket{le="1"}': [3.0],
        'ttft_bucket{le="+Inf"}': [4.0],
        "ttft_count": [4.0],
        "ttft_sum": [2.5],
    }


def test_exponential_histograms_have_their_bounds(tmp_path: Path) -> None:
    one = point(
        0,
        count="6",
        scale=-1,
        zeroCount="1",
        positive={"offset": 0, "bucketCounts": ["2", "1"]},
        negative={"offset": 0, "bucketCounts": ["2"]},
    )
    got = samples_of(read_metrics(tmp_path, {"name": "x", "exponentialHistogram": {"dataPoints": [one]}}))
    # Base 4: [-4, -1), zero, (1, 4], (4, 16].
    assert {key: of[0] for key, of in got.items() if "bucket" in key} == {
        'x_bucket{le="-1"}': 2.0,
        'x_bucket{le="0"}': 3.0,
        'x_bucket{le="4"}': 5.0,
        'x_bucket{le="16"}': 6.0,
        'x_bucket{le="+Inf"}': 6.0,
    }


def test_increments_are_added_up(tmp_path: Path) -> None:
    grows = {"aggregationTemporality": 1, "isMonotonic": True}
    points = [point(2, asInt="4"), point(0, asInt=1), point(1, asDouble=0.5), point(1, asDouble=0.5)]
    got = read_metrics(tmp_path, {"name": "vllm:prompt_tokens", "sum": {"dataPoints": points, **grows}})
    assert samples_of(got) == {"vllm:prompt_tokens_total": [1.0, 1.5, 5.5]}
    assert "1 series tell increments, which were added up" in got.notes
    assert "1 sample was told twice; the first was kept" in got.notes
    mixed = [
        {"name": "a_total", "sum": {"dataPoints": [point(at, asInt=1)], "aggregationTemporality": at + 1}}
        for at in (0, 1)
    ]
    refused(put(tmp_path, "b", sent("Metrics", mixed)), "'a_total' of .* is told both in increments and in totals")


def test_points_that_are_none(tmp_path: Path) -> None:
    points = [
        point(0, asDouble=1.0),
        point(1, asDouble="NaN"),
        point(2, flags=1),
        point(3),
        {"asInt": "1"},
        point(4, asDouble=True),
    ]
    bad = {"name": "h", "histogram": {"dataPoints": [point(0, bucketCounts=["1"], explicitBounds=[1, 2], count="1")]}}
    got = read_metrics(tmp_path, {"name": "g", "gauge": {"dataPoints": points}}, bad, {"name": "none"}, {"gauge": {}})
    assert samples_of(got) == {"g": [1.0, None]}
    assert set(got.notes) == {
        "1 point of metrics was without a time and left out",
        "3 points of metrics were without a value and left out",
        "2 metrics were without a name or one kind of data and left out",
        "1 item of metrics was not read; the first: Expected `float | str | null`, got `bool` - at `$.asDouble`",
        "1 sample was not finite and made null",
    }


def test_summaries_labels_and_aliases(tmp_path: Path) -> None:
    quantiles = [{"quantile": 0.5, "value": 2}]
    summary = {"name": "s", "summary": {"dataPoints": [point(0, count="2", sum=3, quantileValues=quantiles)]}}
    labels = attributes({"model_name": "m", "up": True, "n": 2, "x": 0.5})
    gauge = {"name": "vllm:gpu_cache_usage_perc", "gauge": {"dataPoints": [point(0, asDouble=0.5, attributes=labels)]}}
    got = samples_of(read_metrics(tmp_path, summary, gauge))
    assert got['s{quantile="0.5"}'] == [2.0]
    assert got["s_count"] == [2.0]
    assert got['vllm:kv_cache_usage_perc{model_name="m",n="2",up="true",x="0.5"}'] == [0.5]


@needs_formats
def test_official_examples() -> None:
    got = cr.read(FORMATS / "otlp_json/trace.json")
    assert got.frame().select("service", "e2e_s", "request_id").row(0) == ("my.service", 1.0, "eee19b7ec3c1b174")
    told = samples_of(cr.read(FORMATS / "otlp_json/metrics.json"))
    assert told['my.counter_total{"my.counter.attr"="some value"}'] == [5.0]
    assert told['my.histogram_bucket{le="+Inf","my.histogram.attr"="some value"}'] == [2.0]
    for name in ("logs", "events"):
        refused(FORMATS / f"otlp_json/{name}.json", "1 log record was no change and no evaluation")


@needs_formats
@pytest.mark.parametrize("path", sorted((FORMATS / "otel_genai_spans").glob("*.json")), ids=lambda path: path.stem)
def test_plain_spans(path: Path) -> None:
    got = cr.read(path)
    told = json.loads(path.read_text())["spans"]
    assert got.frame().height == len(told)
    assert set(got.frame()["service"]) == {one["resource_attributes"]["service.name"] for one in told}
    assert got.frame()["e2e_s"].null_count() == 0
    assert "role" not in str(got.frame().rows())


@needs_formats
@pytest.mark.parametrize("path", sorted((FORMATS / "langfuse_export").glob("*.json")), ids=lambda path: path.stem)
def test_traces_of_langfuse(path: Path) -> None:
    told = [one for one in json.loads(path.read_text())["observations"] if one["type"] == "GENERATION"]
    got = cr.read(path).frame().sort("request_id")
    told.sort(key=lambda one: one["id"])
    assert got["request_id"].to_list() == [one["id"] for one in told]
    assert got["prompt_tokens"].to_list() == [one["usageDetails"].get("input") for one in told]
    assert got["cost_usd"].to_list() == [one["costDetails"].get("total") for one in told]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"resourceSpans": [', "it is not an export request of OTLP"),
        ('{"resourceSpans": {}}', "is not an export request of OTLP .*Expected `array`"),
        ('{"resourceSpans": []}', "it tells nothing"),
        ('{"resourceSpans": []}\nnot json\n{"resourceSpans": []}\n', "line 2 is not whole"),
        (
            '{"resourceSpans": [{"scopeSpans": [{"spans": [7]}]}]}',
            r"none of its 1 items can be read \(Expected `object`",
        ),
        ('{"resourceSpans": [' + "[" * 5000 + "]" * 5000 + "]}", "nested too deep|Expected `object`"),
        ('{"resourceSpans": [{"x": ' + "[" * 5000 + "]" * 5000 + "}]}", "nested too deep"),
        ('{"name": "dashboard", "panels": []}', "it is JSON with 'name', 'panels', which is no telemetry"),
        ("{}", "it is JSON with no keys"),
        ("[1, 2]", "it is JSON, though no object|not whole"),
        ("{" * 3000, "JSON that is not whole"),
        ('{"resourceSpans": [{"scopeSpans": [{"spans": [{"spanId": "\\ud800"}]}]}]}', "hex escape"),
    ],
)
def test_documents_that_are_none(tmp_path: Path, text: str, said: str) -> None:
    refused(put(tmp_path, "a.json", text), said)


def test_a_last_line_cut_short_is_left_out(tmp_path: Path) -> None:
    line = sent("Spans", [span()])
    got = cr.read(put(tmp_path, "a.jsonl", f"{line}\n{line[:100]}"))
    assert got.frame().height == 1
    assert got.notes == ("the last line of 'a.jsonl' was cut short and left out",)
    refused(put(tmp_path, "b.jsonl", f"{line}\n\n{line[:100]}\n{line}\n"), "line 2 is not whole")
    refused(put(tmp_path, "c.jsonl.gz", gzip.compress(line.encode())[:-20]), "it is damaged")


def test_a_folder_holds_several_formats(tmp_path: Path) -> None:
    put(tmp_path, "requests.csv", "time,ttft_s\n1770768000,0.2\n")
    put(tmp_path, "metrics.jsonl", sent("Metrics", [{"name": "up", "gauge": {"dataPoints": [point(0, asInt="1")]}}]))
    put(tmp_path, "readme.txt", "hello")
    got = cr.read(tmp_path)
    assert got.frame().height == 1
    assert samples_of(got) == {"up": [1.0]}
    assert "readme.txt is no telemetry" in got.notes
    for number in range(3):
        put(tmp_path, f"traces-{number}.json", sent("Spans", [span(number)]))
    assert cr.read(tmp_path / "traces-*.json").frame().height == 3
    assert cr.read(tmp_path).frame().height == 4
    with pytest.raises(CausalrelError, match="no such file"):
        cr.read(tmp_path / "nothing-*.json")


def test_the_command_line_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = put(tmp_path, "m.json", sent("Metrics", [{"name": "up", "gauge": {"dataPoints": [point(0, asInt="1")]}}]))
    monkeypatch.setattr(sys, "argv", ["causalrel", "read", str(path)])
    assert main() == 0
    assert "1 samples" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["causalrel", "read", str(put(tmp_path, "bad.json", "{"))])
    assert main() == 2
    assert "Traceback" not in capsys.readouterr().err


def test_tables_are_read_without_the_decoder_of_json() -> None:
    program = "import sys, causalrel as cr; cr.load_dataset('llm-canary').frame(); assert 'msgspec' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_names_of_columns() -> None:
    assert column_of("causalrel.#start") is None
    assert column_of("causalrel.") is None
    assert column_of("#start") is None


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["a", "b", "c"]),
            st.none()
            | st.booleans()
            | st.integers(-(2**63), 2**64 - 1)
            | st.floats(allow_nan=False)
            | st.text(max_size=5),
        ),
        max_size=20,
    )
)
def test_rows_hold_what_they_were_given(told: list[dict[str, Any]]) -> None:
    rows = Rows()
    for one in told:
        rows.add(dict(one))
    frame = rows.frame()
    assert frame.height == len(told)
    for name in ("a", "b", "c"):
        given_values = [one.get(name) for one in told]
        if len({type(one) for one in given_values if one is not None}) == 1 and name in frame.columns:
            assert frame[name].to_list() == given_values
    assert rows.count == len(told)


def test_times_are_canonical(tmp_path: Path) -> None:
    assert read_spans(tmp_path, span()).frame().schema["time"] == TIME
    assert read_spans(tmp_path, span()).frame().schema["error"] == pl.String
