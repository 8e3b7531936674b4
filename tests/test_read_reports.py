from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import causalrel as cr
from causalrel import CausalrelError
from causalrel.telemetry.maps import load_map, map_for

DATA = Path(__file__).parents[2] / "shared/data"
REPORTS = DATA / "formats/load_reports"
MAPS = {
    "azure-llm": ("llm_traces/azure_2023_conv.parquet", 19_366),
    "mooncake": ("llm_traces/mooncake_conversation.parquet", 12_031),
    "dstack-bench": ("dstack_bench/serving_requests.parquet", 6_000),
    "llmperf-endpoints": ("llmperf_endpoints/requests.parquet", 1_650),
    "gentd26": ("gentd26/requests.parquet", 18_776),
    "edge-stream-slo": ("edge_stream_slo/frames.parquet", 92_138),
    "llm-pilot": ("llm_pilot/requests.parquet", 495_318),
}
needs_data = pytest.mark.skipif(not DATA.exists(), reason=f"needs the public data at {DATA}")


def put(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(path: Path, match: str) -> None:
    with pytest.raises(CausalrelError, match=match) as caught:
        cr.read(path)
    assert "\n" not in str(caught.value)


def guidellm(*, errored: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
    one = {
        "request_id": "a",
        "request_args": "secret",
        "output": "secret",
        "info": {"timings": {"queued": 5.0, "dequeued": 5.5, "request_start": 1770768000.25}},
        "request_start_time": 1770768000.25,
        "request_latency": 2.0,
        "prompt_tokens": 9,
        "output_tokens": 5,
        "time_to_first_token_ms": 250.0,
        "inter_token_latency_ms": 437.5,
        **more,
    }
    config = {"backend": {"model": "m"}, "strategy": {"type_": "constant", "rate": 2.0}}
    told = {"successful": [one], "errored": errored or [], "incomplete": []}
    return {"metadata": {"version": 2}, "benchmarks": [{"config": config, "requests": told}]}


def test_requests_of_guidellm(tmp_path: Path) -> None:
    failed = {"request_start_time": 1770768001.0, "prompt_tokens": 9, "error": "connection refused"}
    got = cr.read(
        put(tmp_path, "a.json", json.dumps(guidellm(errored=[failed, {"prompt_tokens": 1}, {"prompt_tokens": "x"}])))
    )
    frame = got.frame()
    assert frame["error"].to_list() == [None, "error"]
    row = frame.row(0, named=True)
    assert row["time"].microsecond == 250_000
    assert (row["ttft_s"], row["tpot_s"], row["e2e_s"], row["client_queue_s"]) == (0.25, 0.4375, 2.0, 0.5)
    assert (row["model"], row["strategy"], row["offered_rate"], row["benchmark"]) == ("m", "constant", 2.0, 0)
    assert "secret" not in str(frame.rows())
    assert "1 request was without a start time and left out" in got.notes
    assert any(note.startswith("1 request was not read; the first: Expected `int | null`") for note in got.notes)


def test_requests_of_an_older_guidellm(tmp_path: Path) -> None:
    one = {"start_time": 1770768000.0, "end_time": 1770768002.0, "request_latency": 2.0, "time_to_first_token_ms": 100}
    told = {"benchmarks": [{"requests": {"successful": [one], "incomplete": [one], "errored": []}}]}
    got = cr.read(put(tmp_path, "a.json", json.dumps(told, indent=4))).frame()
    assert got["error"].to_list() == [None, "incomplete"]
    assert got["ttft_s"].to_list() == [0.1, 0.1]


def test_requests_of_inference_perf(tmp_path: Path) -> None:
    told = [
        {
            "start_time": 105.5,
            "end_time": 107.5,
            "request": "secret",
            "response": "secret",
            "info": {"input_tokens": 9, "output_tokens": 3, "output_token_times": [106.0, 106.5, 107.0]},
            "error": None,
        },
        {
            "start_time": 100.0,
            "end_time": 101.0,
            "request": "",
            "response": "",
            "info": None,
            "error": {"error_type": "TimeoutError"},
        },
        {
            "start_time": 101.0,
            "end_time": 103.0,
            "request": "",
            "response": "",
            "info": {"input_tokens": 4, "response_metrics": {"output_tokens": 2, "output_token_times": [101.5, 102.0]}},
            "error": None,
        },
        {"end_time": 1.0, "request": "", "response": "", "start_time": None},
    ]
    got = cr.read(put(tmp_path, "per_request_lifecycle_metrics.json", json.dumps(told)))
    frame = got.frame()
    assert frame["time"].dt.to_string("%F %T").to_list() == [
        "2024-01-01 00:00:00",
        "2024-01-01 00:00:01",
        "2024-01-01 00:00:05",
    ]
    assert frame["error"].to_list() == ["TimeoutError", None, None]
    assert frame.select("ttft_s", "tpot_s", "e2e_s").rows() == [(None, None, 1.0), (0.5, 0.5, 2.0), (0.5, 0.5, 2.0)]
    assert "secret" not in str(frame.rows())
    assert any("put at 2024-01-01" in note for note in got.notes)
    assert any(note.startswith("1 request was not read") for note in got.notes)


@pytest.mark.skipif(not REPORTS.exists(), reason=f"needs the public reports at {REPORTS}")
def test_reports_of_summaries_only(tmp_path: Path) -> None:
    refused(
        REPORTS / "guidellm_report_v2.json", "the report holds summaries only, no requests; save a report that lists"
    )
    refused(
        REPORTS / "inference_perf_lifecycle.yaml", "holds summaries only, no requests; set report.request_lifecycle"
    )
    refused(put(tmp_path, "a.json", '{"load_summary": {}, "successes": {}}'), "holds summaries only")
    refused(put(tmp_path, "b.json", '{"benchmarks": 3}'), "it is not a report of guidellm")


@pytest.mark.skipif(not DATA.exists(), reason=f"needs the public data at {DATA}")
def test_raw_files_of_a_load_generator_are_refused_in_one_sentence() -> None:
    for path in sorted((DATA / "formats/load_generator_csv").glob("*.csv")):
        refused(path, "column 1 has no name; name every column in the header")


def of(name: str) -> pl.DataFrame:
    path, rows = MAPS[name]
    got = cr.read(DATA / path)
    assert f"was read with the column map '{name}'" in str(got.notes)
    assert [one.name for one in got.variables] == [one.name for one in load_map(name).declared()]
    named = cr.read(DATA / path, columns=name).frame()
    frame = got.frame()
    assert frame.equals(named)
    assert frame.height == rows
    assert frame["time"].null_count() == 0
    return frame


@needs_data
@pytest.mark.parametrize("name", sorted(MAPS))
def test_public_data_read_by_their_maps(name: str) -> None:
    of(name)


@needs_data
def test_dstack_bench() -> None:
    frame = of("dstack-bench")
    outage = frame.filter((pl.col("offered_rate") == 1000) & (pl.col("error") == "failed"))
    assert outage.height == 983
    assert outage["e2e_s"].null_count() == 983
    assert frame.filter(pl.col("error") == "empty")["ttft_s"].null_count() == 1908
    median = frame.filter((pl.col("offered_rate") == 16) & pl.col("gpu_type").str.contains("H100"))["ttft_s"].median()
    assert median == pytest.approx(0.956, abs=1e-3)


@needs_data
def test_llmperf_endpoints() -> None:
    frame = of("llmperf-endpoints")
    counts = dict(frame["error"].value_counts().rows())
    assert counts == {None: 1292, "quota": 260, "short_answer": 97, "unknown": 1}
    assert frame.filter(pl.col("error").is_not_null())["e2e_s"].null_count() == 358


@needs_data
def test_gentd26() -> None:
    frame = of("gentd26")
    assert dict(frame["error"].value_counts().rows()) == {None: 18_453, "failed": 304, "pending": 19}
    by = frame.group_by(pl.col("loras").clip(0, 1)).agg(pl.col("e2e_s").median()).sort("loras")
    assert by["e2e_s"][1] > 2 * by["e2e_s"][0]


@needs_data
def test_edge_stream_slo() -> None:
    frame = of("edge-stream-slo")
    raw = pl.read_parquet(DATA / "edge_stream_slo/frames.parquet")
    assert frame["quality"].sum() == raw["success"].sum()
    assert frame["e2e_s"].sum() == pytest.approx(raw["execution_time_ms"].cast(pl.Int64).sum() / 1000)


@needs_data
def test_mooncake_and_azure() -> None:
    assert of("mooncake")["prompt_tokens"].head(2).to_list() == [6758, 7322]
    first = cr.read(DATA / "formats/mooncake/conversation_first400.jsonl")
    assert first.frame().height == 400
    assert first.frame()["time"].is_sorted()
    assert of("azure-llm").select("prompt_tokens", "output_tokens").row(0) == (374, 44)


def test_public_traces_by_their_columns(tmp_path: Path) -> None:
    azure = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n"
    assert cr.read(put(tmp_path, "a.csv", azure)).frame().row(0)[1:] == (374, 44)
    burst = (
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
        "5,ChatGPT,472,18,490,Conversation log\n45.5,GPT-4,10,0,10,API log\n"
    )
    got = cr.read(put(tmp_path, "b.csv", burst)).frame()
    assert got["error"].to_list() == [None, "failed"]
    assert got["model"].to_list() == ["ChatGPT", "GPT-4"]
    assert got["time"].diff().dt.total_milliseconds().to_list() == [None, 40_500]
    refused(put(tmp_path, "c.csv", "timestamp,x\n1,1\n"), "needs column 'time'")


def test_maps_do_not_fit_each_others_exports() -> None:
    for name in MAPS:
        made = load_map(name)
        assert map_for(sorted(made.reads())) == made
    assert map_for(["timestamp", "x"]) is None
