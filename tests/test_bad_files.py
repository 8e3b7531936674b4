"""Files that are not what they should be: cases 1 to 39."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import sqlite3
import zipfile
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bad_inputs import SECONDS as S
from bad_inputs import Asker, asker, lines, table, told

import causalrel as cr
from causalrel.telemetry import files
from causalrel.telemetry.writers import write_telemetry

__all__ = ["asker"]


def test_case_001_a_missing_file(asker: Asker) -> None:
    asker.refused(asker.folder / "no.parquet", "no such file or directory", "check the path")


def test_case_002_a_directory_without_telemetry(asker: Asker) -> None:
    (asker.folder / "empty").mkdir()
    asker.refused(asker.folder / "empty", "the folder holds nothing", "put a requests.parquet")


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet", "a.json"])
def test_case_003_an_empty_file(asker: Asker, name: str) -> None:
    asker.refused(asker.put(name, ""), name, "the file is empty", "export it again")


def test_case_004_a_header_and_nothing_else(asker: Asker) -> None:
    asker.refused(asker.put("a.csv", lines()), "a.csv", "holds no rows", "export at least one event")


def test_case_005_one_row(asker: Asker) -> None:
    asker.refused(asker.put("a.csv", lines(f"{S},0.1")), "longer than the data", "write a shorter window")


def test_case_006_one_window_has_no_variance(asker: Asker) -> None:
    table({"batch_size": [8, 16] * 3}, rows=6).write_parquet(asker.folder / "a.parquet")
    asker.refused(asker.folder / "a.parquet", "longer than the data, which run for 50 seconds", every="1m")


def test_case_007_two_windows_have_a_budget_and_no_effect(asker: Asker) -> None:
    path = asker.folder / "a.parquet"
    table({"batch_size": [8] * 6 + [16] * 6}, rows=12).write_parquet(path)
    assert asker.facts(path)["verdict"] == "answered"
    said = asker.run(
        "effect", path, "--slo", asker.slo, "--graph", "llm-serving", "--every", "1m", "--of", "batch_size",
        "--on", "ttft",
    )  # fmt: skip
    assert said.code == 2
    assert "refused" in said.out + said.err


def test_case_008_a_byte_order_mark(asker: Asker) -> None:
    path = asker.put("a.csv", b"\xef\xbb\xbf" + lines(f"{S},0.1", f"{S + 60},0.2").encode())
    assert cr.read(path).frame().columns == ["time", "ttft_s"]


@pytest.mark.parametrize("end", ["\r\n", "\r"], ids=["crlf", "cr"])
def test_case_009_carriage_returns(asker: Asker, end: str) -> None:
    path = asker.put("a.csv", lines(f"{S},0.1", f"{S + 60},0.2").replace("\n", end))
    assert cr.read(path).frame()["ttft_s"].to_list() == [0.1, 0.2]


@pytest.mark.parametrize(("mark", "word"), [(";", "semicolons"), ("\t", "tabs")])
def test_case_010_other_separators_are_told(asker: Asker, mark: str, word: str) -> None:
    got = cr.read(asker.put("a.csv", lines(f"{S}{mark}0.1", head=f"time{mark}ttft_s")))
    assert got.frame()["ttft_s"].to_list() == [0.1]
    assert told(got.notes, f"was read with {word} between its columns")


def test_case_011_a_decimal_comma(asker: Asker) -> None:
    path = asker.put("a.csv", lines(f"{S};1,5", head="time;ttft_s"))
    asker.refused(path, "column 'ttft_s'", "holds '1,5', not a number", "write numbers with a decimal point")


def test_case_012_a_short_row(asker: Asker) -> None:
    path = asker.put("a.csv", lines(f"{S},0.1", f"{S}"))
    asker.refused(path, "a.csv", "line 3 has 1 fields where the header has 2", "correct it")


def test_case_013_an_extra_field(asker: Asker) -> None:
    asker.refused(asker.put("a.csv", lines(f"{S},0.1,9")), "a.csv", "line 2 has 3 fields where the header has 2")


def test_case_014_a_header_with_one_name_twice(asker: Asker) -> None:
    path = asker.put("a.csv", lines(f"{S},1,2", head="time,ttft_s,ttft_s"))
    asker.refused(path, "column 'ttft_s' is there twice", "rename one of them")


def test_case_015_an_empty_column_name(asker: Asker) -> None:
    asker.refused(asker.put("a.csv", lines(f"{S},1,2", head="time,,x")), "column 2 has no name", "name every column")


@pytest.mark.parametrize("name", ["propensity_score", "strata", "d_y", "dbar_y", "ttft_s_weight"])
def test_case_016_names_that_libraries_use_inside(asker: Asker, name: str) -> None:
    table({name: range(200)}).write_parquet(asker.folder / "a.parquet")
    assert asker.facts(asker.folder / "a.parquet")["verdict"] == "answered"
    assert cr.read(asker.folder / "a.parquet").frame()[name].sum() == 19_900


@pytest.mark.parametrize("name", ["a b", "a.b", "a[0]", 'say "x"', "it's", "z" * 300], ids=lambda name: name[:8])
def test_case_017_awkward_column_names(asker: Asker, name: str) -> None:
    frame = table({name: range(200)})
    frame.write_csv(asker.folder / "a.csv")
    assert asker.facts(asker.folder / "a.csv")["verdict"] == "answered"
    assert cr.read(asker.folder / "a.csv").frame()[name].sum() == 19_900


@pytest.mark.parametrize("name", ["__class__", "{x}", "I(x)", "{__import__('os').getpid()}"])
def test_case_018_names_that_look_like_code(asker: Asker, name: str) -> None:
    frame = table({name: range(200)})
    frame.write_csv(asker.folder / "a.csv")
    where, quoted = 'where: "ttft_s <= 1"', name.replace("'", "''")
    slo = asker.put("s.yaml", asker.slo.read_text().replace(where, f"where: '\"{quoted}\" <= 9'"))
    total = asker.facts(asker.folder / "a.csv", slo=slo)["budgets"][0]
    assert (total["total"], total["bad"]) == (200, 190)


def test_case_019_bytes_that_are_not_utf8(asker: Asker) -> None:
    path = asker.put("a.csv", f"time,model\n{S},caf".encode() + b"\xe9\n")
    asker.refused(path, "a.csv", "byte 25 is not UTF-8", "save the file as UTF-8")


def test_case_020_utf16(asker: Asker) -> None:
    asker.refused(asker.put("a.csv", lines(f"{S},0.1").encode("utf-16")), "UTF-16 text, not text")


def test_case_021_nul_bytes(asker: Asker) -> None:
    asker.refused(asker.put("a.csv", lines(f"{S},0\x001")), "byte 24 is NUL", "export it as plain UTF-8 text")


def test_case_022_a_truncated_last_line_is_dropped_and_told(asker: Asker) -> None:
    whole = "".join(json.dumps({"time": S + 60 * at, "ttft_s": 0.1}) + "\n" for at in range(3))
    said = asker.budget(asker.put("a.jsonl", whole + '{"time": 17708'))
    assert said.code == 0
    assert "the last line of 'a.jsonl' was cut short and left out" in said.notes
    assert "3 requests read: 3 used" in said.notes
    asker.refused(asker.put("b.jsonl", whole + '{"time": 17708\n' + whole), "line 4 is not whole JSON")


def test_case_023_a_new_key_after_many_rows(asker: Asker) -> None:
    rows = [{"time": S + at} | ({"quality": 0.5} if at > 150 else {}) for at in range(200)]
    got = cr.read(asker.put("a.jsonl", "\n".join(map(json.dumps, rows)))).frame()
    assert got["quality"].count() == 49


def test_case_024_numbers_that_turn_into_text(asker: Asker) -> None:
    path = asker.put("a.jsonl", f'{{"time":{S},"ttft_s":1}}\n{{"time":{S + 60},"ttft_s":"fast"}}\n')
    asker.refused(path, "column 'ttft_s'", "holds 'fast', not a number", "write numbers with a decimal point")


@pytest.mark.parametrize("deep", ["[" * 2000 + "]" * 2000, '{"a":' * 2000 + "1" + "}" * 2000], ids=["list", "object"])
def test_case_025_nested_two_thousand_deep(asker: Asker, deep: str) -> None:
    path = asker.put("a.jsonl", f'{{"time":{S}}}\n{{"time":{S},"x":{deep}}}\n{{"time":{S}}}\n')
    asker.refused(path, "line 2 is nested more than 32 deep", "export flat rows")
    whole = asker.put("b.json", f'{{"resourceSpans": {deep}}}')
    asker.refused(whole, "b.json")


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_case_026_whole_numbers_beyond_63_bits(asker: Asker, ending: str) -> None:
    frame = pl.DataFrame(
        {"time": [S, S + 60], "prompt_tokens": [1 << 63, 5]}, schema_overrides={"prompt_tokens": pl.UInt64}
    )
    path = asker.folder / f"a.{ending}"
    {"csv": frame.write_csv, "jsonl": frame.write_ndjson}[ending](path)
    got = cr.read(path)
    assert got.frame()["prompt_tokens"].to_list() == [float(1 << 63), 5.0]
    assert told(got.notes, "'prompt_tokens' of 'a." + ending + "' holds whole numbers of more than 63 bits")


def test_case_027_sums_of_huge_counts_do_not_wrap(asker: Asker) -> None:
    table({"prompt_tokens": [9 * 10**17] * 200}).write_parquet(asker.folder / "a.parquet")
    made = cr.window(cr.read(asker.folder / "a.parquet"), cr.load_slos(asker.slo), every="30m")
    assert made.frame()["prompt_tokens"].to_list() == [9e17, 9e17]


def test_case_028_a_corrupt_parquet_footer(asker: Asker) -> None:
    table({}).write_parquet(asker.folder / "a.parquet")
    whole = (asker.folder / "a.parquet").read_bytes()
    asker.refused(asker.put("b.parquet", whole[:-60] + b"\xff" * 52 + whole[-8:]), "b.parquet", "it is damaged")


def test_case_029_a_truncated_parquet_file(asker: Asker) -> None:
    table({}).write_parquet(asker.folder / "a.parquet")
    path = asker.put("b.parquet", (asker.folder / "a.parquet").read_bytes()[:-30])
    asker.refused(path, "the Parquet file is cut short (no footer)", "export it again")


def test_case_030_a_parquet_bomb(asker: Asker) -> None:
    columns = {f"x{at}": pa.array([0] * 100_000, pa.int64()) for at in range(63)}
    batch = pa.table({"time": pa.array([S * 1_000_000] * 100_000, pa.timestamp("us", "UTC")), **columns})
    path = asker.folder / "bomb.parquet"
    with pq.ParquetWriter(path, batch.schema, compression="zstd") as writer:
        for _ in range(22):
            writer.write_table(batch)
    assert path.stat().st_size < 2**20
    asker.refused(path, "bomb.parquet", "bytes on disk and about 1,126,400,000 once read")


def test_case_031_a_gzip_bomb(asker: Asker) -> None:
    made = io.BytesIO()
    with gzip.open(made, "wb") as packed:
        packed.write(b"time,ttft_s,team\n")
        for _ in range(70):
            packed.write(f"{S},0.1,{'x' * 65_500}\n".encode() * 16)
    path = asker.put("bomb.csv.gz", made.getvalue())
    assert path.stat().st_size < 2**20
    asker.refused(path, "bomb.csv.gz", "MiB of text, over 100 times its packed size", "unpack it or split the export")


def test_case_032_a_truncated_gzip(asker: Asker) -> None:
    path = asker.put("a.csv.gz", gzip.compress(lines(f"{S},0.1").encode())[:-9])
    asker.refused(path, "a.csv.gz", "it is damaged", "export it again")


def test_case_033_a_zip_named_csv(asker: Asker) -> None:
    with zipfile.ZipFile(asker.folder / "a.csv", "w") as made:
        made.writestr("requests.csv", lines(f"{S},0.1"))
    asker.refused(asker.folder / "a.csv", "it holds a zip archive", "export it as .parquet, .csv, .jsonl")


def test_case_034_a_pickle_named_json(asker: Asker) -> None:
    asker.refused(asker.put("a.jsonl", pickle.dumps({"a": 1})), "it holds a pickle, which can run code")
    asker.refused(asker.put("a.json", pickle.dumps({"a": 1})), "a.json", "use .parquet, .csv, .jsonl")


def test_case_035_a_database_and_a_workbook(asker: Asker) -> None:
    with sqlite3.connect(asker.folder / "a.csv") as base:
        base.execute("create table t (a)")
    asker.refused(asker.folder / "a.csv", "it holds an SQLite database")
    asker.refused(asker.put("a.xlsx", b"PK\x03\x04" + b"\x00" * 40), "files ending in '.xlsx' are not known")


def test_case_036_a_link_is_read_but_never_written_through(
    asker: Asker, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    table({}).write_parquet(outside / "real.parquet")
    (outside / "precious.json").write_text("precious")
    (asker.folder / "a.parquet").symlink_to(outside / "real.parquet")
    (asker.folder / "o.json").symlink_to(outside / "precious.json")
    assert asker.facts(asker.folder / "a.parquet")["verdict"] == "answered"
    said = asker.budget(asker.folder / "a.parquet", "-o", asker.folder / "o.json")
    assert said.code == 2
    assert "it is a link or a device; name a plain file" in said.err
    assert (outside / "precious.json").read_text() == "precious"
    (asker.folder / "made").mkdir()
    (asker.folder / "made" / "requests.parquet").symlink_to(outside / "precious.json")
    with pytest.raises(cr.CausalrelError, match="it is a link; remove it"):
        write_telemetry(cr.read(outside / "real.parquet"), asker.folder / "made")
    assert [path.name for path in (asker.folder / "made").iterdir()] == ["requests.parquet"]


def test_case_037_standard_input(asker: Asker) -> None:
    asker.refused("-", "cannot read '-': stdin is not read", "write the export to a file and name it")


def test_case_038_a_pipe_and_an_endless_device(asker: Asker) -> None:
    asker.refused("/dev/zero", "it is not a regular file", "export it to a file first")
    os.mkfifo(asker.folder / "pipe.csv")
    asker.refused(asker.folder / "pipe.csv", "it is not a regular file")


def test_case_039_a_file_that_grows_while_it_is_read(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    path = asker.put("a.csv", lines(f"{S},0.1", f"{S + 60},0.2"))
    real = files._scan_csv

    def grown(path: Path, notes: list[str]) -> pl.LazyFrame:
        made = real(path, notes).collect().lazy()
        with path.open("a") as file:
            file.write(f"{S + 120},0.3\n")
        return made

    monkeypatch.setattr(files, "_scan_csv", grown)
    got = cr.read(path)
    assert got.frame().height == 2
    assert told(got.notes, "'a.csv' changed while it was read")
