from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import causalrel as cr
from causalrel import CausalrelError, Telemetry
from causalrel.cli import main
from causalrel.telemetry.otlp.texts import BATCH
from causalrel.telemetry.prometheus import number_text
from causalrel.telemetry.schema import TIME
from causalrel.telemetry.series import join_series, split_series
from causalrel.telemetry.writers import FORMS, Form, write_telemetry

OFFICIAL = Path(__file__).parents[2] / "shared/data/formats/otlp_json"
START = datetime(2026, 2, 11, 9, tzinfo=UTC)
MICROS = 1_770_800_400_000_000
NASTY = 'C:\\models\\"8b"\n é\u2028\x01😀'


def at(*seconds: float) -> list[datetime]:
    return [START + timedelta(seconds=one) for one in seconds]


REQUESTS = pl.DataFrame(
    {
        "time": at(0, 0.000001, 2, 3),
        "request_id": ["a", "a", None, NASTY],
        "service": ["chat", "chat", "chat", None],
        "node": ["n1", "n2", "n1", "n1"],
        "tier": ["paid", "free", None, NASTY],
        "model": ["m", NASTY, None, "m"],
        "batch_size": [8, 8, 16, 16],
        "queue_s": [0.1, 0.2, 7.25, 0.1 + 0.2],
        "ttft_s": [0.25, 1 / 3, None, 1e-7],
        "tpot_s": [0.02, 0.03, None, 0.01],
        "e2e_s": [1.0123456789, None, None, 2.0],
        "prompt_tokens": [100, 2**40, 7, 1],
        "output_tokens": [11.0, 3.0, None, 0.5],
        "cached_tokens": pl.Series([None] * 4, dtype=pl.Int64),
        "error": [None, None, "timeout", None],
        "quality": [0.75, None, None, 0.0],
        "energy_j": [float("inf"), float("nan"), 1e300, 5e-324],
        "streamed": [True, False, None, True],
        "parts": [[1, 2], [], None, [3]],
        "seen": at(0, 1, 2, 3),
    },
    schema_overrides={"time": TIME},
)
SAMPLES = pl.DataFrame(
    {
        "time": at(0, 15, 30, 45, 0, 15, 0, 0.5, 30),
        "node": ["n1"] * 8 + ["n2"],
        "service": ["chat"] * 8 + [None],
        "gpu": [None] * 6 + ["0", "0", "1"],
        "metric": ["vllm:prompt_tokens_total"] * 4
        + ['ttft_bucket{le="0.5",path="a\\\\b\\"c\\nd",node="own"}'] * 2
        + ["DCGM_FI_DEV_POWER_USAGE"] * 3,
        "value": [5.0, 9.0, 2.0, 2.0, 1.0, 3.0, 300.5, None, 1e16],
    },
    schema_overrides={"time": TIME},
)
CHANGES = pl.DataFrame(
    {
        "time": at(5, 6),
        "node": ["n1", None],
        "variable": ["batch_size"] * 2,
        "before": ["8", None],
        "after": ["4", "8"],
    },
    schema_overrides={"time": TIME},
)
ALL = Telemetry(requests=REQUESTS.lazy(), samples=SAMPLES.lazy(), changes=CHANGES.lazy(), source="made")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().decode().removesuffix("\n").split("\n")]


def plain(value: dict[str, Any]) -> Any:
    """Read an AnyValue."""
    ((kind, inner),) = value.items()
    if kind == "intValue":
        assert isinstance(inner, str)
        return int(inner)
    if kind == "doubleValue":
        return float(inner)
    return inner


def attributes(owner: dict[str, Any]) -> dict[str, Any]:
    keys = [item["key"] for item in owner["attributes"]]
    assert len(keys) == len(set(keys))
    return {item["key"]: plain(item["value"]) for item in owner["attributes"]}


def items(path: Path, signal: str, listed: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield each span, metric or record with the attributes of its resource."""
    for line in lines(path):
        assert list(line) == [f"resource{signal}"]
        for block in line[f"resource{signal}"]:
            (scoped,) = block[f"scope{signal}"]
            assert scoped["scope"]["name"] == "causalrel"
            for item in scoped[listed]:
                yield attributes(block["resource"]), item


def paths(value: Any, path: str = "") -> set[str]:
    """Return the path of every leaf of a JSON document with its type, all items of a list alike."""
    if isinstance(value, dict):
        return {one for key, inner in value.items() for one in paths(inner, f"{path}.{key}")}
    if isinstance(value, list):
        return {one for inner in value for one in paths(inner, f"{path}[]")}
    return {f"{path}: {'number' if isinstance(value, float | int) else type(value).__name__}"}


@pytest.mark.skipif(not OFFICIAL.exists(), reason=f"needs OpenTelemetry's examples of OTLP JSON at {OFFICIAL}")
def test_otlp_has_the_shape_of_the_official_examples(tmp_path: Path) -> None:
    finite = replace(ALL, requests=ALL.requests.with_columns(energy_j=1.5))
    write_telemetry(finite, tmp_path, form="otlp")
    official = {
        name: paths(json.loads((OFFICIAL / f"{name}.json").read_text())) for name in ("trace", "metrics", "logs")
    }
    values = {one.partition(".value.")[2] for one in official["logs"] if ".logRecords[].attributes[].value." in one}
    record = ".resourceLogs[].scopeLogs[].logRecords[]."
    official["logs"] |= {one for one in paths(json.loads((OFFICIAL / "events.json").read_text())) if "eventName" in one}
    span = ".resourceSpans[].scopeSpans[].spans[]."
    # A status and events are in the protocol (trace.proto), though not in its example.
    official["trace"] |= {
        f"{span}status.code: number",
        f"{span}events[].timeUnixNano: str",
        f"{span}events[].name: str",
    }
    official["trace"] |= {f"{span}{of}attributes[].value.{one}" for of in ("", "events[].") for one in values}
    official["trace"] |= {f"{span}events[].attributes[].key: str"}
    for ours, theirs in (("traces", "trace"), ("metrics", "metrics"), ("logs", "logs")):
        told = set().union(*(paths(line) for line in lines(tmp_path / f"{ours}.jsonl")))
        assert told - official[theirs] == set()
    assert f"{record}eventName: str" in told


def test_spans_hold_every_number(tmp_path: Path) -> None:
    write_telemetry(ALL, tmp_path, form="otlp")
    spans = {
        int(span["startTimeUnixNano"]): (who, span) for who, span in items(tmp_path / "traces.jsonl", "Spans", "spans")
    }
    names = {
        "model": "gen_ai.request.model",
        "prompt_tokens": "gen_ai.usage.input_tokens",
        "output_tokens": "gen_ai.usage.output_tokens",
        "cached_tokens": "gen_ai.usage.cache_read.input_tokens",
        "ttft_s": "gen_ai.response.time_to_first_chunk",
        "error": "error.type",
    }
    assert len(spans) == REQUESTS.height
    for row in REQUESTS.to_dicts():
        micros = (row.pop("time") - START) // timedelta(microseconds=1) + MICROS
        who, span = spans[micros * 1000]
        got = attributes(span)
        assert who == {
            key: value for key, value in (("service.name", row.pop("service")), ("host.name", row.pop("node"))) if value
        }
        assert (got.pop("gen_ai.operation.name"), got.pop("gen_ai.provider.name")) == ("chat", "_OTHER")
        assert (span["name"], span["kind"]) == (f"chat {row['model']}" if row["model"] else "chat", 3)
        assert span["status"] == ({"code": 2} if row["error"] else {})
        scores = [attributes(event) for event in span.get("events", [])]
        quality = row.pop("quality")
        told = {"gen_ai.evaluation.name": "quality", "gen_ai.evaluation.score.value": quality}
        assert scores == ([] if quality is None else [told])
        assert all(event["name"] == "gen_ai.evaluation.result" for event in span.get("events", []))
        parts, seen = row.pop("parts"), row.pop("seen")
        assert json.loads(got.pop("causalrel.parts", "null")) == parts
        assert datetime.fromisoformat(got.pop("causalrel.seen")) == seen
        wanted = {names.get(key, f"causalrel.{key}"): value for key, value in row.items() if value is not None}
        assert {key: repr(value) for key, value in got.items()} == {
            key: repr(int(value) if isinstance(value, float) and key in names.values() and value % 1 == 0 else value)
            for key, value in wanted.items()
        }


def test_a_span_lasts_as_long_as_is_known(tmp_path: Path) -> None:
    write_telemetry(ALL, tmp_path, form="otlp")
    spans = [span for _, span in items(tmp_path / "traces.jsonl", "Spans", "spans")]
    spans.sort(key=lambda span: int(span["startTimeUnixNano"]))
    lasted = [int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"]) for span in spans]
    assert lasted == [1_012_345_679, 393_333_333, 7_250_000_000, 2_000_000_000]
    bare = Telemetry(requests=pl.LazyFrame({"time": at(0)}, schema={"time": TIME}))
    write_telemetry(bare, tmp_path / "bare", form="otlp")
    ((who, span),) = items(tmp_path / "bare/traces.jsonl", "Spans", "spans")
    assert (who, span["name"], span["endTimeUnixNano"]) == ({}, "chat", span["startTimeUnixNano"])
    assert sorted(path.name for path in (tmp_path / "bare").iterdir()) == ["traces.jsonl"]


def test_ids_are_of_requests_and_rows(tmp_path: Path) -> None:
    write_telemetry(ALL, tmp_path, form="otlp")
    spans = [span for _, span in items(tmp_path / "traces.jsonl", "Spans", "spans")]
    assert all(len(span["traceId"]) == 32 and len(span["spanId"]) == 16 for span in spans)
    assert all(set(span["traceId"] + span["spanId"]) <= set("0123456789abcdef") for span in spans)
    assert len({span["spanId"] for span in spans}) == 4
    of = {attributes(span).get("causalrel.batch_size", 0): span["traceId"] for span in spans}
    assert len({span["traceId"] for span in spans}) == 3
    assert len(of) == 2


def test_a_line_is_one_batch_in_the_order_of_rows(tmp_path: Path) -> None:
    n = 2 * BATCH + 1
    frame = pl.DataFrame({"row": range(n), "node": [f"n{i % 2}" for i in range(n)]}).with_columns(
        time=pl.lit(START).cast(TIME) + pl.duration(milliseconds="row")
    )
    path = tmp_path / "requests.parquet"
    frame.write_parquet(path, row_group_size=1000)
    for name, lazy in (("memory", frame.lazy()), ("file", pl.scan_parquet(path))):
        write_telemetry(Telemetry(requests=lazy, source="same"), tmp_path / name, form="otlp")
    made = lines(tmp_path / "memory/traces.jsonl")
    counts = [[len(block["scopeSpans"][0]["spans"]) for block in line["resourceSpans"]] for line in made]
    assert counts == [[BATCH // 2, BATCH // 2], [BATCH // 2, BATCH // 2], [1]]
    rows = [attributes(span)["causalrel.row"] for _, span in items(tmp_path / "file/traces.jsonl", "Spans", "spans")]
    assert rows[: BATCH // 2] == list(range(0, BATCH, 2))
    assert sorted(rows) == list(range(n))
    assert (tmp_path / "memory/traces.jsonl").read_bytes() == (tmp_path / "file/traces.jsonl").read_bytes()


def points(path: Path) -> dict[tuple[str, str, str], tuple[str, list[dict[str, Any]]]]:
    """Return the points of each series by resource, name and attributes."""
    made: dict[tuple[str, str, str], tuple[str, list[dict[str, Any]]]] = {}
    for who, metric in items(path, "Metrics", "metrics"):
        (kind,) = set(metric) - {"name", "unit"}
        if kind == "sum":
            assert (metric["sum"]["aggregationTemporality"], metric["sum"]["isMonotonic"]) == (2, True)
        for point in metric[kind]["dataPoints"]:
            key = (json.dumps(who), metric["name"], json.dumps(attributes(point)))
            made.setdefault(key, (kind, []))[1].append(point)
    return made


def test_samples_become_gauges_and_sums(tmp_path: Path) -> None:
    write_telemetry(ALL, tmp_path, form="otlp")
    made = points(tmp_path / "metrics.jsonl")
    chat, n2 = json.dumps({"service.name": "chat", "host.name": "n1"}), json.dumps({"host.name": "n2"})
    labels = json.dumps({"le": "0.5", "node": "own", "path": 'a\\b"c\nd'})
    assert {key: kind for key, (kind, _) in made.items()} == {
        (chat, "DCGM_FI_DEV_POWER_USAGE", json.dumps({"gpu": "0"})): "gauge",
        (n2, "DCGM_FI_DEV_POWER_USAGE", json.dumps({"gpu": "1"})): "gauge",
        (chat, "vllm:prompt_tokens_total", "{}"): "sum",
        (chat, "ttft_bucket", labels): "sum",
    }
    power = made[chat, "DCGM_FI_DEV_POWER_USAGE", json.dumps({"gpu": "0"})][1]
    assert [(one["timeUnixNano"], one["asDouble"]) for one in power] == [(str(MICROS * 1000), 300.5)]
    assert "startTimeUnixNano" not in power[0]
    assert made[n2, "DCGM_FI_DEV_POWER_USAGE", json.dumps({"gpu": "1"})][1][0]["asDouble"] == 1e16


def test_a_reset_counter_starts_anew(tmp_path: Path) -> None:
    write_telemetry(ALL, tmp_path, form="otlp")
    (counter,) = [
        found
        for (_, name, _), (_, found) in points(tmp_path / "metrics.jsonl").items()
        if name.endswith("tokens_total")
    ]
    seconds = [
        (
            (int(one["startTimeUnixNano"]) // 1000 - MICROS) / 1e6,
            (int(one["timeUnixNano"]) // 1000 - MICROS) / 1e6,
            one["asDouble"],
        )
        for one in counter
    ]
    assert seconds == [(0, 0, 5.0), (0, 15, 9.0), (30, 30, 2.0), (30, 45, 2.0)]


def test_samples_go_on_over_lines(tmp_path: Path) -> None:
    n = BATCH + 10
    made = pl.DataFrame({"value": [float(i) for i in range(n)], "metric": "a_total"}).with_columns(
        time=pl.lit(START).cast(TIME) + pl.duration(seconds=pl.col("value").cast(pl.Int64))
    )
    shuffled = Telemetry(requests=REQUESTS.lazy(), samples=made.sample(n, shuffle=True, seed=0).lazy())
    write_telemetry(shuffled, tmp_path, form="otlp")
    assert len(lines(tmp_path / "metrics.jsonl")) == 2
    ((_, found),) = points(tmp_path / "metrics.jsonl").values()
    assert [one["asDouble"] for one in found] == made["value"].to_list()
    assert {one["startTimeUnixNano"] for one in found} == {str(MICROS * 1000)}


def test_changes_become_records(tmp_path: Path) -> None:
    write_telemetry(ALL, tmp_path, form="otlp")
    found = list(items(tmp_path / "logs.jsonl", "Logs", "logRecords"))
    assert [who for who, _ in found] == [{"host.name": "n1"}, {}]
    assert [attributes(record) for _, record in found] == [
        {"causalrel.variable": "batch_size", "causalrel.before": "8", "causalrel.after": "4"},
        {"causalrel.variable": "batch_size", "causalrel.after": "8"},
    ]
    assert [record["body"]["stringValue"] for _, record in found] == [
        "batch_size changed from 8 to 4",
        "batch_size changed from nothing to 8",
    ]
    assert {record["eventName"] for _, record in found} == {"causalrel.change"}
    assert found[0][1]["timeUnixNano"] == str((MICROS + 5_000_000) * 1000)


def test_prometheus_answers_a_range_query(tmp_path: Path) -> None:
    write_telemetry(ALL, tmp_path, form="prometheus")
    names = ["DCGM_FI_DEV_POWER_USAGE.json", "ttft_bucket.json", "vllm_prompt_tokens_total.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    power, bucket, tokens = (json.loads((tmp_path / name).read_text(encoding="utf-8")) for name in names)
    assert power == {
        "status": "success",
        "data": {
            "resultType": "matrix",
            "result": [
                {
                    "metric": {"__name__": "DCGM_FI_DEV_POWER_USAGE", "gpu": "1", "node": "n2"},
                    "values": [[1770800430, "10000000000000000"]],
                },
                {
                    "metric": {"__name__": "DCGM_FI_DEV_POWER_USAGE", "gpu": "0", "node": "n1", "service": "chat"},
                    "values": [[1770800400, "300.5"]],
                },
            ],
        },
    }
    assert bucket["data"]["result"][0]["metric"] == {
        "__name__": "ttft_bucket",
        "exported_node": "own",
        "le": "0.5",
        "node": "n1",
        "path": 'a\\b"c\nd',
        "service": "chat",
    }
    assert [float(value) for _, value in tokens["data"]["result"][0]["values"]] == [5, 9, 2, 2]


def test_prometheus_keeps_times_and_tells_names_apart(tmp_path: Path) -> None:
    samples = pl.DataFrame(
        {
            "time": at(0.000001, 0.25, 1),
            "metric": ["a:b", "a_b", 'a:b{x=""}'],
            "value": [float("nan"), float("-inf"), -0.0],
        },
        schema_overrides={"time": TIME},
    )
    write_telemetry(Telemetry(requests=REQUESTS.lazy(), samples=samples.lazy()), tmp_path, form="prometheus")
    first, second = (json.loads((tmp_path / name).read_text()) for name in ("a_b.json", "a_b-2.json"))
    values = [(one["metric"], one["values"]) for one in first["data"]["result"]]
    assert values == [({"__name__": "a:b"}, [[1770800400.000001, "NaN"]]), ({"__name__": "a:b"}, [[1770800401, "-0"]])]
    assert second["data"]["result"][0]["values"] == [[1770800400.25, "-Inf"]]


def test_prometheus_without_samples_is_refused(tmp_path: Path) -> None:
    for samples in (None, SAMPLES.clear().lazy()):
        bare = Telemetry(requests=REQUESTS.lazy(), samples=samples, source="made")
        with pytest.raises(
            CausalrelError, match="'made' has no samples, and Prometheus cannot tell requests; write it"
        ):
            write_telemetry(bare, tmp_path / "out", form="prometheus")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", FORMS)
def test_the_same_telemetry_gives_the_same_bytes(form: Form, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_telemetry(ALL, tmp_path / name, form=form)
    write_telemetry(ALL, tmp_path / "one", form=form)
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one == two
    assert one


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_left_where_writing_fails(form: Form, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = tmp_path / "taken"
    taken.write_text("a file")
    with pytest.raises(CausalrelError, match=r"cannot write '.*taken': File exists; name a directory you may write"):
        write_telemetry(ALL, taken, form=form)
    with pytest.raises(CausalrelError, match=r"cannot write '.*no/such': No such file or directory"):
        write_telemetry(ALL, tmp_path / "no/such", form=form)
    broken = SAMPLES.lazy().with_columns(pl.col("metric").cast(pl.Int64))
    with pytest.raises(CausalrelError, match=r"cannot read 'made'"):
        write_telemetry(Telemetry(requests=REQUESTS.lazy(), samples=broken, source="made"), tmp_path / "new", form=form)
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(CausalrelError, match=r"cannot write '.*new': Permission denied; name a directory"):
        write_telemetry(ALL, tmp_path / "new", form=form)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
@pytest.mark.parametrize("form", FORMS)
def test_a_directory_without_rights_is_told(form: Form, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(CausalrelError, match="Permission denied"):
        write_telemetry(ALL, tmp_path, form=form)
    tmp_path.chmod(0o700)
    assert list(tmp_path.iterdir()) == []


def test_requests_broken_midway_leave_nothing(tmp_path: Path) -> None:
    text = pl.DataFrame({"time": at(0, 1), "ttft_s": ["1", "x"]}, schema_overrides={"time": TIME}).lazy()
    broken = Telemetry(requests=text.with_columns(pl.col("ttft_s").cast(pl.Float64)), source="made")
    with pytest.raises(CausalrelError, match=r"cannot read 'made': .*; export it again"):
        write_telemetry(broken, tmp_path / "new", form="otlp")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_form_is_told(tmp_path: Path) -> None:
    with pytest.raises(CausalrelError, match="there is no form of telemetry 'otpl'; did you mean 'otlp'"):
        write_telemetry(ALL, tmp_path, form="otpl")  # type: ignore[arg-type]


def test_the_command_line_knows_the_forms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(vars(cr), "simulate", lambda *_, **__: ALL)
    for form, file in (("parquet", "requests.parquet"), ("otlp", "traces.jsonl"), ("prometheus", "ttft_bucket.json")):
        monkeypatch.setattr(sys, "argv", ["causalrel", "simulate", "x", "-o", str(tmp_path / form), "--as", form])
        assert main() == 0
        assert (tmp_path / form / file).is_file()
    monkeypatch.setattr(sys, "argv", ["causalrel", "simulate", "x", "-o", str(tmp_path / "csv"), "--as", "csv"])
    assert main() == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "'csv' is not one of" in said[0]
    assert not (tmp_path / "csv").exists()


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@given(st.dictionaries(NAMES, TEXT, max_size=4))
def test_labels_are_restored(labels: dict[str, str]) -> None:
    assert split_series(join_series("vllm:ttft_bucket", labels)) == ("vllm:ttft_bucket", dict(sorted(labels.items())))


@settings(deadline=None, max_examples=25)
@given(st.dictionaries(NAMES, TEXT.filter(bool), max_size=3), TEXT, st.floats(), st.floats(allow_nan=False))
def test_any_text_and_number_come_through(
    tmp_path_factory: pytest.TempPathFactory, labels: dict[str, str], text: str, value: float, number: float
) -> None:
    frame = pl.DataFrame({"time": at(0), "tier": [text], "energy_j": [number]}, schema_overrides={"time": TIME})
    metric = [join_series("m", labels)]
    samples = pl.DataFrame({"time": at(0), "metric": metric, "value": [value]}, schema_overrides={"time": TIME})
    telemetry = Telemetry(requests=frame.lazy(), samples=samples.lazy())
    where = tmp_path_factory.mktemp("any")
    write_telemetry(telemetry, where, form="otlp")
    write_telemetry(telemetry, where, form="prometheus")
    ((_, span),) = items(where / "traces.jsonl", "Spans", "spans")
    got = attributes(span)
    assert (got["causalrel.tier"], repr(float(got["causalrel.energy_j"]))) == (text, repr(number))
    ((_, metric_told),) = items(where / "metrics.jsonl", "Metrics", "metrics")
    (point,) = metric_told["gauge"]["dataPoints"]
    assert attributes(point) == labels
    assert repr(float(point["asDouble"])) == repr(value)
    (result,) = json.loads((where / "m.json").read_text(encoding="utf-8"))["data"]["result"]
    assert result["metric"] == {**labels, "__name__": "m"}
    assert repr(float(result["values"][0][1])) == repr(value)


@pytest.mark.parametrize(
    "text", ['a{b="1"', "a{b=1}", 'a{b="1" c="2"}', 'a{b="1",b="2"}', '{b="1"}', 'a{b="1"}c', 'a{b="\\"}', "a{,}", "a{"]
)
def test_what_is_no_series_is_told(text: str, tmp_path: Path) -> None:
    with pytest.raises(CausalrelError, match=r"the metric .* is not in Prometheus notation; write name\{label"):
        split_series(text)
    samples = SAMPLES.lazy().with_columns(metric=pl.lit(text))
    with pytest.raises(CausalrelError, match="not in Prometheus notation"):
        write_telemetry(Telemetry(requests=REQUESTS.lazy(), samples=samples), tmp_path / "out", form="otlp")
    assert list(tmp_path.iterdir()) == []


def test_series_as_exporters_write_them() -> None:
    assert split_series("up") == ("up", {})
    assert split_series("up{}") == ("up", {})
    assert split_series('a{x="1", y="2",}') == ("a", {"x": "1", "y": "2"})
    assert split_series('a{x="}{,="}') == ("a", {"x": "}{,="})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1e-6, "0.000001"),
        (1.5e-5, "0.000015"),
        (9.9e-7, "9.9e-07"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (-2.5e300, "-2.5e+300"),
        (123456.75, "123456.75"),
    ],
)
def test_numbers_as_prometheus_prints_them(value: float, text: str) -> None:
    assert number_text(value) == text
