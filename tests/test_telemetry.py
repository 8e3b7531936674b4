from __future__ import annotations

import gzip
import pickle
import sqlite3
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

import causalrel as cr
from causalrel import CausalrelError, Telemetry, shipped
from causalrel.telemetry import datasets
from causalrel.telemetry.datasets import load_card, load_dataset
from causalrel.telemetry.maps import load_map
from causalrel.telemetry.schema import TIME
from causalrel.telemetry.tables import read

START = datetime(2026, 2, 11, 9, tzinfo=UTC)
FRAME = pl.DataFrame(
    {
        "time": [START, START + timedelta(seconds=90), START + timedelta(seconds=200)],
        "service": ["chat", "chat", "code"],
        "ttft_s": [0.25, None, 1.5],
        "gpu_count": [2, 2, 4],
        "error": [None, "oom", None],
        "team": ["a", "b", "a"],
    },
    schema_overrides={"time": TIME},
)
PILOT = Path(__file__).parents[2] / "shared/data/llm_pilot/requests.parquet"


def put(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(path: Path | str, match: str, columns: str | Path | None = None) -> CausalrelError:
    with pytest.raises(CausalrelError, match=match) as caught:
        read(path, columns=columns)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_three_formats_read_the_same(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"requests.{ending}"
    {"parquet": FRAME.write_parquet, "csv": FRAME.write_csv, "jsonl": FRAME.write_ndjson}[ending](path)
    for where in (path, tmp_path):
        got = read(where)
        assert got.frame().select(FRAME.columns).equals(FRAME)
        assert got.samples is None
    assert read(path).source == path.name


def test_a_folder_holds_samples_and_changes(tmp_path: Path) -> None:
    FRAME.write_csv(tmp_path / "requests.csv")
    put(tmp_path, "samples.csv", "time,node,metric,value\n2026-02-11T09:00:00Z,n1,vllm:num_requests_running,3\n")
    put(tmp_path, "changes.jsonl", '{"time": "2026-02-11T09:00:00Z", "node": "n1", "variable": "b", "after": "8"}\n')
    got = read(tmp_path)
    assert got.samples is not None
    assert got.changes is not None
    assert got.samples.collect()["value"].to_list() == [3.0]
    assert got.changes.collect().row(0) == (START, "n1", "b", "8")
    assert "samples and changes" in repr(got)
    assert "<table>" in got._repr_html_()


def test_bad_paths() -> None:
    refused("no/such.csv", "no such file or directory")
    refused("llm-canry", "neither a path nor a shipped data set; did you mean 'llm-canary'")
    refused("https://example.org/requests.csv", "network address; download it")
    refused("s3://bucket/requests.parquet", "network address")
    refused("/dev/zero", "not a regular file")


def test_folder_without_or_with_two_requests(tmp_path: Path) -> None:
    refused(tmp_path, "the folder holds nothing; put a requests")
    put(tmp_path, "notes.txt", "x")
    refused(tmp_path, "the folder holds notes.txt")
    FRAME.write_csv(tmp_path / "requests.csv")
    FRAME.write_parquet(tmp_path / "requests.parquet")
    refused(tmp_path, "requests.parquet and requests.csv are both there; keep one")


def test_files_that_are_not_what_they_are_called(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.csv", "w") as made:
        made.writestr("x", "y")
    refused(tmp_path / "a.csv", "a zip archive")
    refused(put(tmp_path, "b.jsonl", pickle.dumps({"a": 1})), "a pickle, which can run code")
    refused(put(tmp_path, "c.csv", gzip.compress(b"time\n1770768000\n")[:-9]), "it is damaged .*end-of-stream")
    with sqlite3.connect(tmp_path / "d.csv") as base:
        base.execute("create table t (a)")
    refused(tmp_path / "d.csv", "an SQLite database")
    FRAME.write_parquet(tmp_path / "e.csv")
    refused(tmp_path / "e.csv", "holds Parquet, not text")
    refused(put(tmp_path, "f.parquet", "time,ttft_s\n1,2\n"), "no Parquet, not Parquet")
    refused(put(tmp_path, "g.csv", "time\n".encode("utf-16")), "UTF-16 text")
    refused(put(tmp_path, "h.xlsx", b"PK\x03\x04"), "'.xlsx' are not known; use .parquet, .csv, .jsonl")


def test_damaged_parquet(tmp_path: Path) -> None:
    FRAME.write_parquet(tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    refused(put(tmp_path, "b.parquet", whole[:-20]), "cut short")
    refused(put(tmp_path, "c.parquet", b"PAR1" + b"\x00" * 40 + b"PAR1"), "it is damaged")
    refused(put(tmp_path, "d.parquet", whole[:4] + b"\xff" * 200 + whole[-12:]), "it is damaged")


def test_empty_files(tmp_path: Path) -> None:
    for name in ("a.csv", "a.jsonl", "a.parquet"):
        refused(put(tmp_path, name, b""), "the file is empty")
    refused(put(tmp_path, "b.csv", "time,ttft_s\n"), "holds no rows")
    FRAME.clear().write_parquet(tmp_path / "b.parquet")
    refused(tmp_path / "b.parquet", "holds no rows")


def test_bad_text(tmp_path: Path) -> None:
    refused(put(tmp_path, "a.csv", b"time,model\n1770768000,caf\xe9\n"), "byte 25 is not UTF-8; save the file as UTF-8")
    refused(put(tmp_path, "b.csv", b"time,model\n1770768000,a\x00\n"), "byte 23 is NUL")
    refused(put(tmp_path, "c.csv", "time,a,a\n1,2,3\n"), "column 'a' is there twice")
    refused(put(tmp_path, "d.csv", "time,,a\n1,2,3\n"), "column 2 has no name")
    refused(put(tmp_path, "e.csv", "time,a\n1770768000,2\n1770768000\n"), "line 3 has 1 fields where the header has 2")
    refused(put(tmp_path, "f.csv", "time,a\n1770768000,2,3\n"), "line 2 has 3 fields")
    refused(put(tmp_path, "g.jsonl", '{"time": 1770768000}\nnope\n{"time": 1770768001}\n'), "line 2 is not whole JSON")
    refused(put(tmp_path, "h.jsonl", "[1]\n[2]\n"), "line 1 is no JSON object")
    refused(
        put(tmp_path, "i.jsonl", '{"time": ' + "[" * 3000 + "]" * 3000 + "}\n"), "line 1 is nested more than 32 deep"
    )


def test_text_that_reads_on(tmp_path: Path) -> None:
    got = read(put(tmp_path, "a.csv", b"\xef\xbb\xbftime;ttft_s\r\n1770768000;0.5\r\n"))
    assert got.frame()["ttft_s"].to_list() == [0.5]
    assert any("semicolons" in note for note in got.notes)
    got = read(put(tmp_path, "b.jsonl", '{"time": 1770768000, "model": "a"}\n{"time": 1770768001, "mod'))
    assert got.frame().height == 1
    assert got.notes[0] == "the last line of 'b.jsonl' was cut short and left out"
    late = "".join(f'{{"time": {1770768000 + i}}}\n' for i in range(200)) + '{"time": 1770768300, "quality": 0.5}\n'
    assert read(put(tmp_path, "c[1].jsonl", late)).frame()["quality"].drop_nulls().to_list() == [0.5]
    FRAME.write_csv(tmp_path / "x[1].csv")
    assert read(tmp_path / "x[1].csv").frame().height == 3


@pytest.mark.parametrize(
    ("written", "note"),
    [
        ("2026-02-11T09:00:00Z", None),
        ("2026-02-11 10:00:00+01:00", None),
        ("2026-02-11T09:00+0000", None),
        ("2026-02-11 09:00:00 UTC", None),
        ("2026-02-11T09:00:00", "carry no zone and were taken as UTC"),
        ("2026-02-11 09:00", "carry no zone"),
        ("1770800400", "epoch seconds"),
        ("1770800400.0", "epoch seconds"),
        ("1770800400000", "epoch milliseconds"),
        ("1770800400000000", "epoch microseconds"),
        ("1770800400000000000", "epoch nanoseconds"),
    ],
)
def test_times_become_utc(tmp_path: Path, written: str, note: str | None) -> None:
    for name in ("a.csv", "b.csv"):
        quoted = written if name == "a.csv" else f'"{written}"'
        got = read(put(tmp_path, name, f"time,ttft_s\n{quoted},1\n"))
        assert got.frame()["time"].to_list() == [START]
        assert [note in said for said in got.notes] == ([True] if note else [])


def test_bad_times(tmp_path: Path) -> None:
    refused(put(tmp_path, "a.csv", "time,x\nyesterday,1\n"), "column 'time' of .* holds 'yesterday', which is no time")
    refused(put(tmp_path, "b.csv", "time,x\n0,1\n3600,2\n"), "runs from 0 to 3600, which is no one unit of epoch")
    refused(put(tmp_path, "c.csv", "time,x\n1770768000,1\n1770768000000,2\n"), "no one unit of epoch time")
    refused(
        put(tmp_path, "d.csv", "timestamp,x\n1,1\n"),
        "needs column 'time', which the data lack; did you mean 'timestamp'",
    )
    refused(put(tmp_path, "e.csv", "time,x\n,1\n,2\n"), "is empty|is there|holds")
    refused(put(tmp_path, "f.jsonl", '{"time": true}\n'), "holds Boolean, not times")


def test_values_become_canonical(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "time": [START.replace(tzinfo=None)] * 3,
            "ttft_s": ["0.5", "", " 2 "],
            "energy_j": [float("nan"), 1.0, 2.0],
            "model": pl.Series(["a", "b", "a"], dtype=pl.Categorical),
            "gpu_count": pl.Series([1, 2, 4], dtype=pl.Int8),
            "error": ["", None, "timeout"],
            "other": [float("nan"), 0.5, 1.0],
            "queue_s": [timedelta(milliseconds=5)] * 3,
        }
    )
    frame.write_parquet(tmp_path / "a.parquet")
    got = read(tmp_path / "a.parquet").frame()
    assert got.schema["time"] == TIME
    assert got["ttft_s"].to_list() == [0.5, None, 2.0]
    assert got["energy_j"].to_list() == [None, 1.0, 2.0]
    assert got["model"].dtype == pl.String
    assert got["gpu_count"].dtype == pl.Int64
    assert got["error"].to_list() == [None, None, "timeout"]
    assert got["other"].to_list() == [None, 0.5, 1.0]
    assert got["queue_s"].to_list() == [0.005] * 3


def test_values_that_cannot_become_canonical(tmp_path: Path) -> None:
    refused(
        put(tmp_path, "a.csv", "time,ttft_s\n1770768000,fast\n"), "column 'ttft_s' of .* holds 'fast', not a number"
    )
    refused(
        put(tmp_path, "b.jsonl", '{"time": 1770768000, "error": 200}\n'), "column 'error' of .* holds Int64, not text"
    )
    refused(put(tmp_path, "c.jsonl", '{"time": 1770768000, "ttft_s": [1]}\n'), "holds List.*not numbers")
    got = read(put(tmp_path, "d.jsonl", '{"time": 1770768000, "error": true}\n{"time": 1770768001, "error": false}\n'))
    assert got.frame()["error"].to_list() == ["error", None]
    assert read(put(tmp_path, "e.csv", "time,model\n1770768000,007\n")).frame()["model"].to_list() == ["007"]


MAP = """
map: mine
version: 1
source: a test
columns: {time: ts, ttft_s: ms / 1000, users: load, error: CASE WHEN code = 200 THEN NULL ELSE 'failed' END}
variables: {users: {role: workload, kind: count, unit: "1"}}
"""


def test_a_map_renames_computes_and_keeps(tmp_path: Path) -> None:
    data = put(tmp_path, "a.csv", "ts,ms,load,code,extra\n1770800400,250,8,200,x\n1770800401,,8,500,y\n")
    got = read(data, columns=put(tmp_path, "map.yaml", MAP))
    assert got.frame().columns == ["time", "ttft_s", "users", "error", "extra"]
    assert got.frame()["error"].to_list() == [None, "failed"]
    assert [(v.name, v.role, v.kind) for v in got.variables] == [("users", "workload", "count")]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("ms / 1000", "mss / 1000", "column map 'mine' needs column 'mss', which the data lack; did you mean 'ms'"),
        ("ms / 1000", "read_csv('x')", "'read csv' is not allowed"),
        ("time: ts, ", "", "column 'time' is missing"),
        ("version: 1", "version: one", "version: input should be a valid integer"),
        ("source: a test", "sauce: a test", "unknown key 'sauce'; did you mean 'source'"),
        ("role: workload", "role: load", "variables.users.role: input should be"),
        ("ttft_s:", "ttft:", "column 'ttft' is neither canonical nor under variables; did you mean 'ttft_s'"),
        ("variables: {users", "variables: {load", "variable 'load' is a name that causalrel gives itself"),
    ],
)
def test_bad_maps_are_one_sentence(tmp_path: Path, old: str, new: str, said: str) -> None:
    data = put(tmp_path, "a.csv", "ts,ms,load,code\n1770800400,250,8,200\n")
    refused(data, said, put(tmp_path, "map.yaml", MAP.replace(old, new)))


def test_unknown_map() -> None:
    with pytest.raises(CausalrelError, match="there is no column map 'llm-pilott'; did you mean 'llm-pilot'"):
        load_map("llm-pilott")


def test_a_status_that_failed_never_looks_served(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "start_time": [START] * 5,
            "status": [200, 408, 9999, 408, None],
            "error_class": ["none", "none", None, "cuda_oom", "none"],
            **{name: ["a"] * 5 for name in ("model", "gpu_type")},
            **dict.fromkeys(("n_gpus", "num_users", "n_input_tokens", "n_output_tokens"), [1] * 5),
            **dict.fromkeys(("ttft_ms", "itl_mean_ms", "latency_ms"), [1.0] * 5),
        }
    )
    frame.write_parquet(tmp_path / "a.parquet")
    got = read(tmp_path / "a.parquet", columns="llm-pilot").frame()
    assert got["error"].to_list() == [None, "unknown", "unknown", "cuda_oom", "unknown"]


@pytest.mark.skipif(not PILOT.exists(), reason=f"needs the public load tests at {PILOT}")
def test_public_load_tests() -> None:
    telemetry = read(PILOT, columns="llm-pilot")
    requests = telemetry.frame()
    assert requests.height == 495_318
    assert requests["error"].null_count() == 471_999
    windows = cr.window(
        telemetry, cr.load_slos("llm-load-test"), every="2m", by=("model", "gpu_type", "gpu_count", "users")
    )
    made = windows.table.group_by("unit").agg(pl.col("availability.total", "availability.bad").sum())
    rates = {row[0]: row[2] / row[1] for row in made.rows()}
    assert rates["llama-7b/A10/1/64"] == pytest.approx(0.864, abs=5e-4)
    assert rates["llama-7b/A10/2/64"] == pytest.approx(0.0015, abs=5e-5)
    assert sum(made["availability.total"]) == 495_318


def test_shipped_data_sets_match_their_cards() -> None:
    for name in shipped.names("datasets"):
        got = load_dataset(name)
        assert got.source == name
        assert got.frame().height > 0
        assert load_card(name)["name"] == name
    with pytest.raises(CausalrelError, match="there is no data set 'llm-canry'; did you mean 'llm-canary'"):
        load_dataset("llm-canry")
    with pytest.raises(CausalrelError, match="there is no data set"):
        load_dataset("../datasets/llm-canary")


def test_a_changed_file_is_not_the_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "datasets" / "mine"
    folder.mkdir(parents=True)
    put(folder, "requests.csv", "time,ttft_s\n1770768000,1\n")
    put(folder, "card.yaml", f"name: mine\nfiles: {{requests.csv: {'0' * 64}}}\n")
    monkeypatch.setattr(datasets.shipped, "root", lambda: tmp_path)
    with pytest.raises(CausalrelError, match=r"'requests\.csv' of data set 'mine' is not the file its card describes"):
        load_dataset("mine")


def test_damage_found_late_is_one_sentence() -> None:
    broken = Telemetry(requests=pl.LazyFrame({"time": ["x"]}).select(pl.col("time").cast(pl.Int64)))
    with pytest.raises(CausalrelError, match="cannot read 'memory'"):
        broken.frame()
