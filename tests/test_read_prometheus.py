from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import causalrel as cr
from causalrel import CausalrelError, Telemetry
from causalrel.telemetry.prometheus.expositions import is_exposition
from causalrel.telemetry.samples import ALIASES, canonical_name, placed
from causalrel.telemetry.schema import METRIC_VARIABLES, TIME
from causalrel.telemetry.series import join_series, split_series
from causalrel.telemetry.writers import write_telemetry

PROMETHEUS = Path(__file__).parents[2] / "shared/data/formats/prometheus"
needs_dumps = pytest.mark.skipif(not PROMETHEUS.exists(), reason=f"needs the public expositions at {PROMETHEUS}")
KEY = ["time", "node", "service", "metric"]
SCRAPED = "# scraped_at: 2026-02-11T09:00:00Z\n"
START = datetime(2026, 2, 11, 9, tzinfo=UTC)
SECONDS = int(START.timestamp())


def put(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(path: Path, match: str) -> None:
    with pytest.raises(CausalrelError, match=match) as caught:
        cr.read(path)
    assert "\n" not in str(caught.value)
    assert ";" in str(caught.value)


def samples(telemetry: Telemetry) -> pl.DataFrame:
    assert telemetry.samples is not None
    return telemetry.samples.collect()


def matrix(*series: tuple[dict[str, Any], list[Any]], kind: str = "matrix") -> str:
    key = "values" if kind == "matrix" else "value"
    told = [{"metric": labels, key: values} for labels, values in series]
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": told}})


def test_what_was_written_reads_the_same(tmp_path: Path) -> None:
    simulated = cr.simulate("chat-fleet", days=0.01)
    write_telemetry(simulated, tmp_path, form="prometheus")
    got = cr.read(tmp_path)
    assert simulated.samples is not None
    before = simulated.samples.drop_nulls("value").sort(KEY).collect()
    assert samples(got).sort(KEY).equals(before)
    assert got.frame().height == 0
    assert got.notes == ()


def test_microseconds_and_awkward_numbers_survive(tmp_path: Path) -> None:
    values = [0.1 + 0.2, 1e300, 5e-324, -0.0, 2.0**60, 1e16]
    times = [START.replace(microsecond=at) for at in (0, 1, 333_333, 500_000, 999_998, 999_999)]
    frame = pl.DataFrame(
        {"time": times, "node": ["n"] * 6, "service": [None] * 6, "metric": ['a{x="\\\\\\"\\n"}'] * 6, "value": values},
        schema_overrides={"time": TIME, "service": pl.String},
    )
    made = Telemetry(requests=pl.LazyFrame(schema={"time": TIME}), samples=frame.lazy())
    write_telemetry(made, tmp_path, form="prometheus")
    assert samples(cr.read(tmp_path)).rows() == frame.rows()


def test_where_a_series_belongs() -> None:
    labels = {"instance": "n1:8000", "job": "vllm", "model_name": "m", "engine": "0", "empty": ""}
    assert placed("up", labels) == ("n1:8000", "vllm", 'up{engine="0",model_name="m"}', False)
    assert placed("up", {"node": "a", "instance": "b", "service": "s"}) == ("a", "s", 'up{instance="b"}', False)
    assert placed("DCGM_FI_DEV_GPU_TEMP", {"Hostname": "h"})[0] == "h"
    assert placed("sglang:num_running_reqs", {"model_name": "m"}) == (None, "m", "vllm:num_requests_running", True)


def test_old_and_foreign_names_become_canonical() -> None:
    known = {variable.otel for variable in METRIC_VARIABLES}
    assert {"vllm:kv_cache_usage_perc", "vllm:num_requests_running", "vllm:num_requests_waiting"} <= known
    assert canonical_name("vllm:time_per_output_token_seconds_bucket") == "vllm:inter_token_latency_seconds_bucket"
    assert canonical_name("sglang:prompt_tokens_total") == "vllm:prompt_tokens_total"
    assert (
        canonical_name("vllm:request_time_per_output_token_seconds_sum")
        == "vllm:request_time_per_output_token_seconds_sum"
    )
    for name in ALIASES.values():
        assert canonical_name(name) == name


def test_answers_of_every_kind(tmp_path: Path) -> None:
    up = {"__name__": "up", "job": "chat"}
    put(tmp_path, "a.json", matrix((up, [[SECONDS, "1"], [SECONDS + 0.5, "NaN"]])))
    put(tmp_path, "b.txt", json.dumps(json.loads(matrix((up, [SECONDS + 1, "+Inf"]), kind="vector")), indent=2))
    got = cr.read(tmp_path)
    assert samples(got)["value"].to_list() == [1.0, None, None]
    assert "2 samples were not finite and made null" in got.notes
    two = matrix((up, [[SECONDS, "1"]])) + "\n" + matrix((up, [[SECONDS + 9, "2"]])) + "\n"
    assert samples(cr.read(put(tmp_path, "c.jsonl", two))).height == 2


def test_series_that_are_none_are_counted(tmp_path: Path) -> None:
    good = ({"__name__": "up"}, [[SECONDS, "1"]])
    for bad, said in (
        (({}, [[SECONDS, "1"]]), "it has no name, so it is computed"),
        (({"__name__": "x"}, [[SECONDS, "fast"]]), "it holds the sample"),
        (({"__name__": "x"}, [["now", "1"]]), "Expected `float`, got `str`"),
        (({"__name__": 1}, [[SECONDS, "1"]]), "Expected `str`, got `int`"),
        (({"__name__": "x"}, [[-5, "1"]]), "it holds the sample"),
    ):
        got = cr.read(put(tmp_path, "a.json", matrix(good, bad)))
        assert samples(got).height == 1
        (note,) = got.notes
        assert note.startswith("1 answered metric was not read whole; the first: ")
        assert said in note
        refused(put(tmp_path, "b.json", matrix(bad)), "no sample in it can be read")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"status":"error","errorType":"bad_data","error":"parse error"}', "Prometheus answered 'parse error'"),
        (
            '{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}',
            "of type 'scalar', which tells no series",
        ),
        ('{"status":"success","data":["up"]}', "the answer tells no series"),
        ('{"status":"success","data":{"resultType":"matrix","result":[]}}', "the answer holds no samples"),
        ('{"status":"success","data":{"resultType":"matrix","result":[{"metric":', "it is not an answer of Prometheus"),
        (
            '{"status":"success","data":{"resultType":"matrix","result":' + "[" * 4000 + "]" * 4000 + "}}",
            "nested too deep",
        ),
    ],
)
def test_answers_that_tell_nothing(tmp_path: Path, text: str, said: str) -> None:
    refused(put(tmp_path, "a.json", text), said)


def test_scrapes_under_their_times(tmp_path: Path) -> None:
    text = (
        SCRAPED
        + '# HELP x y\n# TYPE x counter\nx_total{job="chat"} 5\n\nlate 1 1770800460000\n'
        + f'# scraped_at = {SECONDS + 60.5}\nx_total{{job="chat",}} 7 # {{trace_id="a"}} 1.0\n'
        + f"after 1 {SECONDS + 5}.25\n# EOF\n"
    )
    for name, packed in (
        ("a.prom", text.encode()),
        ("metrics", text.encode()),
        ("b.txt.gz", gzip.compress(text.encode())),
    ):
        got = samples(cr.read(put(tmp_path, name, packed)))
        told = {(row["metric"], row["time"].timestamp() - SECONDS): row["value"] for row in got.to_dicts()}
        assert told == {("x_total", 0.0): 5.0, ("late", 60.0): 1.0, ("x_total", 60.5): 7.0, ("after", 5.25): 1.0}


def test_a_scrape_without_a_time_is_refused(tmp_path: Path) -> None:
    refused(put(tmp_path, "a.prom", "up 1\n"), "1 of its samples carry no time; begin each scrape with a line such as")
    refused(put(tmp_path, "b.prom", "# scraped_at: yesterday\nup 1\n"), "line 1 tells 'yesterday' for the time")


def test_names_and_labels_of_any_letters(tmp_path: Path) -> None:
    text = SCRAPED + '{"my.metric",le="+Inf"} 2\nodd{a="},{",b="\\"\\\\",c="\\n"} 1\n{"alone"} 3\n'
    got = samples(cr.read(put(tmp_path, "a", text)))
    assert sorted(split_series(one) for one in got["metric"]) == [
        ("alone", {}),
        ("my.metric", {"le": "+Inf"}),
        ("odd", {"a": "},{", "b": '"\\', "c": "\n"}),
    ]


def test_lines_that_are_no_samples(tmp_path: Path) -> None:
    refused(put(tmp_path, "a.prom", SCRAPED + "up 1\nup{ 2\nup 3\n"), r"line 3 is no sample \('up\{ 2'\)")
    refused(put(tmp_path, "b.prom", SCRAPED + 'up{a="1",a="2"} 2\n'), "line 2 is no sample")
    refused(put(tmp_path, "c.prom", SCRAPED + "up fast\n"), "line 2 is no sample")
    refused(put(tmp_path, "d.prom", SCRAPED + "# TYPE up gauge\n"), "it holds no samples")
    got = cr.read(put(tmp_path, "e.prom", SCRAPED + 'up 1\nother{a="'))
    assert samples(got).height == 1
    assert got.notes == ("the last line of 'e.prom' was cut short and left out",)
    refused(put(tmp_path, "f.prom", (SCRAPED + "up 1\n").encode() + b"caf\xe9 1\n"), "is not UTF-8")


def test_blanks_of_dcgm_become_null(tmp_path: Path) -> None:
    text = SCRAPED + (
        "DCGM_FI_DEV_MEMORY_TEMP 2147483632\nDCGM_FI_DEV_FB_FREE 9223372036854775794\n"
        "DCGM_FI_PROF_DRAM_ACTIVE 140737488355330\nDCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION 2147483640\n"
        "DCGM_FI_DEV_GPU_TEMP 61\nother 2147483632\n"
    )
    got = cr.read(put(tmp_path, "a.prom", text))
    told = dict(samples(got).select("metric", "value").rows())
    assert [name for name, value in told.items() if value is None] == [
        "DCGM_FI_DEV_FB_FREE",
        "DCGM_FI_DEV_MEMORY_TEMP",
        "DCGM_FI_PROF_DRAM_ACTIVE",
    ]
    assert told["DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"] == 2147483640.0
    assert "3 samples were what DCGM writes for fields a GPU does not tell, and made null" in got.notes


def test_samples_told_twice(tmp_path: Path) -> None:
    got = cr.read(put(tmp_path, "a.prom", SCRAPED + "up 1\nup 1\n"))
    assert samples(got)["value"].to_list() == [1.0]
    assert got.notes == ("1 sample was told twice; the first was kept",)


def test_a_name_and_its_older_one_in_one_scrape(tmp_path: Path) -> None:
    told = "vllm:gpu_cache_usage_perc 0.25\nvllm:kv_cache_usage_perc 0.5\n"
    got = cr.read(put(tmp_path, "a.prom", SCRAPED + told))
    assert samples(got)["value"].to_list() == [0.5]
    assert got.notes == ("1 sample was told again under an older name and left out",)


def test_many_series(tmp_path: Path) -> None:
    text = SCRAPED + "".join(f'x{{id="{at}"}} {at}\n' for at in range(70_000))
    assert samples(cr.read(put(tmp_path, "a.prom", text))).height == 70_000
    labels = ",".join(f'l{at}="{at}"' for at in range(5_000))
    assert samples(cr.read(put(tmp_path, "b.prom", SCRAPED + f"x{{{labels}}} 1\n"))).height == 1


@needs_dumps
@pytest.mark.parametrize(("name", "count"), [("vllm_metrics.txt", 185), ("dcgm_metrics.txt", 38)])
def test_public_dumps(tmp_path: Path, name: str, count: int) -> None:
    refused(PROMETHEUS / name, f"{count} of its samples carry no time")
    text = (PROMETHEUS / name).read_text()
    got = cr.read(put(tmp_path, name, SCRAPED + text))
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    repeated = sum(int(note.partition(" ")[0]) for note in got.notes if "told" in note and "DCGM" not in note)
    assert samples(got).height + repeated == len(lines) == count
    if name.startswith("vllm"):
        found = samples(got)
        assert set(found["service"].drop_nulls()) == {"facebook/opt-125m"}
        assert {"vllm:kv_cache_usage_perc", "vllm:num_requests_running"} <= set(found["metric"])
    else:
        assert "424773df46e0" in set(samples(got)["node"])


@needs_dumps
def test_what_is_no_exposition() -> None:
    for name in ("dcgm_dcp_counters.csv", "promql_vllm_queries.tsv", "vllm_metric_families_v0.26.0.txt"):
        refused(PROMETHEUS / name, "correct it|are not known|needs column 'time'")
    assert not is_exposition(["vllm:cache_config_info gauge"])
    assert not is_exposition(["time,ttft_s", "1,2"])


@pytest.mark.skipif(shutil.which("zstd") is None, reason="needs the zstd command")
def test_zstd_is_unpacked(tmp_path: Path) -> None:
    path = put(tmp_path, "a.prom", SCRAPED + "up 1\n")
    requests = put(tmp_path, "requests.csv", "time,ttft_s\n1770768000,0.5\n")
    for one in (path, requests):
        subprocess.run(["zstd", "-q", "--rm", str(one)], check=True)
    got = cr.read(tmp_path)
    assert samples(got)["value"].to_list() == [1.0]
    assert got.frame()["ttft_s"].to_list() == [0.5]
    whole = (tmp_path / "requests.csv.zst").read_bytes()
    refused(put(tmp_path, "cut.csv.zst", whole[:-6]), "it is damaged|cut|empty")


NAMES = st.from_regex(r"[A-Za-z_:][A-Za-z0-9_:]{0,8}", fullmatch=True)
VALUES = st.text(
    st.characters(codec="utf-8", exclude_characters="\r\x00\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"),
    min_size=1,
    max_size=8,
)
LABELS = st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_.]{0,6}", fullmatch=True), VALUES, max_size=4)


@settings(max_examples=100, deadline=None)
@given(NAMES, LABELS, st.floats(allow_nan=False, allow_infinity=False))
def test_any_labels_read_back(
    tmp_path_factory: pytest.TempPathFactory, name: str, labels: dict[str, str], value: float
) -> None:
    folder = tmp_path_factory.mktemp("labels")
    path = put(folder, "a.prom", f"{SCRAPED}{join_series(name, labels)} {value!r}\n")
    found = samples(cr.read(path)).row(0, named=True)
    node, service, metric, _renamed = placed(name, labels)
    assert (found["node"], found["service"], found["metric"]) == (node, service, metric)
    assert found["value"] == value
    told, rest = split_series(metric)
    assert told == canonical_name(name)
    assert set(rest.items()) <= set(labels.items())
