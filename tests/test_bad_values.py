"""Values and categories that are not what they should be: cases 59 to 82."""

from __future__ import annotations

import json
import re
from pathlib import Path

import polars as pl
import pytest
from bad_inputs import SECONDS as S
from bad_inputs import Asker, asker, lines, table, told, windows

import causalrel as cr
from causalrel.windows.buckets import bound_bad

__all__ = ["asker"]
ENDLESS = float("inf")
SCRAPED = "# scraped_at: 2026-02-11T09:00:00Z\n"


def counted(frame: pl.DataFrame, folder: Path) -> cr.Windows:
    return cr.Windows.from_frame(frame, time="time", roles={}, events={"ttft": ("n", "bad")})


def test_case_059_nan_latency_is_unknown_and_never_slow(tmp_path: Path) -> None:
    made = windows(table({"ttft_s": [float("nan")] * 20 + [0.1] * 180}), tmp_path)
    assert made.frame()["ttft.bad"].sum() == 0
    assert made.frame()["ttft.total"].sum() == 180
    assert told(made.notes, "SLO 'ttft' could not judge 20 of 200 requests")


@pytest.mark.parametrize("value", [ENDLESS, -ENDLESS])
def test_case_060_endless_values(asker: Asker, value: float) -> None:
    table({"ttft_s": [value] + [0.1] * 199}).write_parquet(asker.folder / "a.parquet")
    notes = asker.budget(asker.folder / "a.parquet").notes
    assert "1 of 200 values of 'ttft_s' are negative or not finite and were left out" in notes
    table({"ttft_s": [value] * 3 + [0.1] * 197}).write_parquet(asker.folder / "a.parquet")
    asker.refused(asker.folder / "a.parquet", "3 of 200 values of 'ttft_s' are negative or not finite")


def test_case_061_negative_latencies_and_counts(asker: Asker) -> None:
    table({"ttft_s": [-0.1] * 200}).write_parquet(asker.folder / "a.parquet")
    asker.refused(
        asker.folder / "a.parquet", "200 of 200 values of 'ttft_s' are negative", "check the clocks and units"
    )
    table({"prompt_tokens": [-5] * 200}).write_parquet(asker.folder / "b.parquet")
    asker.refused(asker.folder / "b.parquet", "200 of 200 values of 'prompt_tokens' are negative")
    frame = table({"n": [5] * 200, "bad": [-1] * 200}, step=60)
    with pytest.raises(cr.CausalrelError, match="column 'bad' holds negative counts; give whole numbers of events"):
        counted(frame, asker.folder)


def test_case_062_more_bad_events_than_events(tmp_path: Path) -> None:
    with pytest.raises(cr.CausalrelError, match="'bad' exceeds 'n' in some windows; count bad events among the total"):
        counted(table({"n": [5] * 200, "bad": [6] * 200}, step=60), tmp_path)


def test_case_063_a_window_of_no_requests_is_skipped(tmp_path: Path) -> None:
    made = counted(table({"n": [10, 0, 10, 10], "bad": [1, 0, 0, 0]}, rows=4, step=60), tmp_path)
    row = cr.budget(made).frame().row(0, named=True)
    assert (row["total"], row["bad"], row["burn"]) == (30, 1, pytest.approx(10 / 3))
    assert cr.budget(counted(table({"n": [0] * 4, "bad": [0] * 4}, rows=4, step=60), tmp_path)).verdict == "refused"


def test_case_064_both_zeros_are_one_level(tmp_path: Path) -> None:
    made = windows(table({"kv_fraction": [0.0, -0.0] * 100}), tmp_path, by="kv_fraction")
    assert made.units == ["0.0"]


@pytest.mark.parametrize("value", ["9223372036854775794", "2147483632", "140737488355328"])
def test_case_065_what_dcgm_writes_for_no_value(asker: Asker, value: str) -> None:
    got = cr.read(asker.put("a.prom", f'{SCRAPED}DCGM_FI_DEV_GPU_TEMP{{gpu="0"}} {value}\n'))
    assert got.samples is not None
    assert got.samples.collect()["value"].to_list() == [None]
    assert told(got.notes, "1 sample was what DCGM writes for fields a GPU does not tell, and made null")
    (asker.folder / "fleet").mkdir()
    table({"service": ["chat"] * 200}).write_parquet(asker.folder / "fleet" / "requests.parquet")
    row = f"2026-02-11T09:00:00Z,chat,DCGM_FI_DEV_GPU_TEMP,{value}"
    asker.put("fleet/samples.csv", lines(row, head="time,service,metric,value"))
    assert told(asker.budget(asker.folder / "fleet").notes, "1 sample was what DCGM writes")


def test_case_066_a_percentage_for_a_share(tmp_path: Path) -> None:
    assert told(
        windows(table({"kv_fraction": [90.0] * 200}), tmp_path).notes,
        "'kv_fraction' is a share from 0 to 1 and reaches 90; it may be a percentage",
    )
    assert not told(windows(table({"kv_fraction": [0.9] * 200}), tmp_path).notes, "percentage")


def test_case_067_milliseconds_for_seconds(tmp_path: Path) -> None:
    late = windows(table({"ttft_s": [100.0 + at for at in range(200)]}), tmp_path)
    assert told(
        late.notes, "SLO 'ttft' compares ttft_s with 1, and its values run from 100 to 299; check that both are"
    )
    early = windows(table({}), tmp_path, lambda text: text.replace("ttft_s <= 1", "ttft_s <= 1000"))
    assert told(early.notes, "compares ttft_s with 1000, and its values run from 0.1 to 0.1")
    for edit in (str, lambda text: text.replace("ttft_s <= 1", "ttft_s >= 0.05")):
        healthy = windows(table({"ttft_s": [0.1, 0.9] * 100}), tmp_path, edit)
        assert healthy.frame()["ttft.bad"].sum() == 0
        assert not told(healthy.notes, "check that both are")


@pytest.mark.parametrize(
    ("edges", "counts", "said"),
    [
        ([0.5, 1.0, ENDLESS], [5, 4, 9], "counts fewer events at le=1 than below it; give cumulative counts"),
        ([0.5, 1.0], [5, 9], r"do not increase to \+Inf; export every bucket, le='\+Inf' too"),
    ],
    ids=["not cumulative", "no +Inf"],
)
def test_case_068_histograms_that_are_none(edges: list[float], counts: list[int], said: str) -> None:
    with pytest.raises(cr.CausalrelError, match=said):
        bound_bad(edges, [counts], 0.5)


def test_case_068_a_histogram_whose_count_is_not_that_of_its_buckets(asker: Asker) -> None:
    point = {"timeUnixNano": str(S * 10**9), "count": "9", "bucketCounts": ["1", "2"], "explicitBounds": [0.5]}
    metric = {"name": "ttft", "histogram": {"aggregationTemporality": 2, "dataPoints": [point]}}
    path = asker.put("a.json", json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}))
    asker.refused(path, "a point of 'ttft' counts 9 events and 3 in its buckets", "export it again")


def test_case_069_buckets_that_change_on_the_way() -> None:
    before, after = bound_bad([0.5, ENDLESS], [[6, 10]], 0.5), bound_bad([0.25, 0.5, ENDLESS], [[5, 8, 10]], 0.5)
    assert [int(low[0] + more[0]) for low, more in zip(before, after, strict=True)] == [6, 6]


def test_case_070_a_threshold_inside_a_bucket_has_bounds() -> None:
    low, high = bound_bad([0.5, 1.0, ENDLESS], [[6, 9, 10]], 0.7)
    assert (int(low[0]), int(high[0])) == (1, 4)


def test_case_071_a_threshold_beyond_the_last_bucket_has_bounds() -> None:
    low, high = bound_bad([0.5, 1.0, ENDLESS], [[6, 9, 10]], 5.0)
    assert (int(low[0]), int(high[0])) == (0, 1)


def test_case_072_failed_requests_without_a_latency(tmp_path: Path) -> None:
    columns = {"ttft_s": [None] * 30 + [0.1] * 170, "error": ["oom"] * 30 + [None] * 170}
    made = windows(table(columns), tmp_path)
    assert told(made.notes, "of 200 requests 30 have no ttft_s; means and quantiles are of the rest, often the served")
    assert made.frame()["ttft.bad"].sum() == 30


def test_case_073_a_constant_column_is_told(tmp_path: Path) -> None:
    made = windows(table({"batch_size": [8] * 200, "ttft_s": [at / 1000 for at in range(200)]}), tmp_path)
    assert "batch_size" not in made.varying
    assert told(made.notes, "batch_size never changes, and so can explain nothing")


def test_case_074_a_label_of_its_own_for_each_request_is_no_cause(asker: Asker) -> None:
    table({"model": [f"m{at}" for at in range(2000)]}, rows=2000).write_parquet(asker.folder / "a.parquet")
    asker.refused(
        asker.folder / "a.parquet", "'model' of 'a.parquet' has 2,000 values in 2,000 requests", "leave it out"
    )
    mapped = "map: m\nversion: 1\nsource: t\ncolumns: {time: time}\nvariables: {request_id: {role: workload}}\n"
    with pytest.raises(cr.CausalrelError, match="'request_id' is a name that causalrel gives itself; choose another"):
        cr.read(asker.folder / "a.parquet", columns=asker.put("map.yaml", mapped))


def test_case_075_very_many_units_and_labels(tmp_path: Path) -> None:
    rows = 60_000
    names = [f"u{at % 30_000}" for at in range(rows)]
    many = table({"tenant": names, "model": names}, rows=rows, step=0.01)
    with pytest.raises(cr.CausalrelError, match="by tenant makes 30,000 units, more than 20,000; write a coarser by"):
        windows(many, tmp_path, by="tenant")
    made = windows(many, tmp_path)
    assert made.frame()["ttft.total"].sum() == rows
    few = [f"u{at % 20_000}" for at in range(rows)]
    assert len(windows(many.with_columns(tenant=pl.Series(few)), tmp_path, by="tenant").units) == 20_000


@pytest.mark.slow
def test_case_075_a_million_labels(tmp_path: Path) -> None:
    rows = 2_000_000
    label = "u" + (pl.int_range(rows, eager=True) % 1_000_000).cast(pl.String)
    time = (pl.int_range(rows, eager=True) * 1800 + S * 1_000_000).cast(pl.Datetime("us", "UTC"))
    frame = pl.DataFrame({"time": time, "model": label}).with_columns(ttft_s=pl.lit(0.1))
    assert windows(frame, tmp_path, every="5m").frame()["ttft.total"].sum() == rows


@pytest.mark.parametrize(
    ("one", "two"), [("caf\u00e9", "cafe\u0301"), ("Chat", "chat"), ("chat", "chat ")], ids=["unicode", "case", "space"]
)
def test_case_076_names_that_look_alike(tmp_path: Path, one: str, two: str) -> None:
    made = windows(table({"service": [one, two] * 100, "model": [two, one] * 100}), tmp_path)
    assert told(made.notes, f"'service' holds {min(one, two)!a} and {max(one, two)!a}")
    assert sum("alike but for case, spaces or Unicode form; they count as two" in note for note in made.notes) == 2
    assert len(made.units) == 2


HOSTILE = {
    "bidi": "a\u202eb\u2066c",
    "zero width": "a\u200bb",
    "emoji": "chat \U0001f680",
    "script": "</script><script>alert(1)</script>",
    "formula": "=cmd|'/C calc'!A0",
    "markup": "[bold red]x[/bold red]",
    "escape": "\x1b[2J\x1b[31m",
    "pipe": "a|b",
    "backtick": "`rm`",
    "newline": "a\n# b",
    "link": "[x](javascript:alert(1))",
    "image": "<img src=x onerror=alert(1)>",
}


@pytest.mark.parametrize("label", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("form", ["text", "md", "json", "html"])
def test_case_077_and_078_hostile_labels_are_inert(asker: Asker, label: str, form: str) -> None:
    names = [label, "plain"] * 100
    table({"service": names, "model": names}).write_parquet(asker.folder / "a.parquet")
    said = asker.budget(asker.folder / "a.parquet", "--format", form, "--by", "service")
    assert said.code == 0, said.err
    for text in (said.out, said.err):
        assert not [letter for letter in text if letter in "\x1b\u202e\u2066\u200b\x00\r"]
    assert "\n# b" not in said.out
    if form in ("html", "json"):
        assert "<script>alert" not in said.out
        assert "<img src" not in said.out
    if form == "md":
        rows = [line for line in said.out.splitlines() if line.startswith("|") and "| 100 |" in line]
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
        assert not [row for row in rows if re.search(r"(?<!\\)[<`\[\]]", row.partition("| 100 |")[0])]
    if form == "json":
        assert label in [row["unit"] for row in json.loads(said.out)["budgets"]]


def test_case_078_no_answer_is_a_spreadsheet(asker: Asker) -> None:
    """A cell that starts with '=' does nothing in the formats there are; a format of cells would have to quote it."""
    table({"service": ["=1+1", "@x"] * 100}).write_parquet(asker.folder / "a.parquet")
    assert asker.budget(asker.folder / "a.parquet", "--format", "csv").code == 2
    cells = re.compile(r"write_(csv|excel|ods)\(|csv\.(Dict)?[wW]riter")
    package = Path(cr.__file__).parent
    assert [path.name for path in package.rglob("*.py") if cells.search(path.read_text())] == ["provenance.py"]


def test_case_079_labels_that_look_like_numbers_stay_text(asker: Asker) -> None:
    got = cr.read(asker.put("a.csv", lines(f"{S},007", f"{S},1e3", head="time,model")))
    assert got.frame()["model"].to_list() == ["007", "1e3"]


def test_case_080_labels_that_look_missing_are_not(asker: Asker) -> None:
    rows = [{"time": S, "model": name} for name in ("NA", "null", "", None)]
    got = cr.read(asker.put("a.jsonl", "\n".join(map(json.dumps, rows)))).frame()
    assert got["model"].to_list() == ["NA", "null", "", None]
    got = cr.read(asker.put("a.csv", lines(f"{S},NA", f"{S},null", f'{S},""', f"{S},", head="time,model"))).frame()
    assert got["model"].to_list() == ["NA", "null", "", None]


@pytest.mark.parametrize(("yes", "no"), [("1", "0"), ("true", "false"), ("True", "False"), ("TRUE", "FALSE")])
def test_case_081_truth_in_any_spelling(asker: Asker, yes: str, no: str) -> None:
    path = asker.put("a.csv", lines(f"{S},{yes},{yes}", f"{S},{no},{no}", head="time,error,kv_fraction"))
    got = cr.read(path).frame()
    assert got["error"].is_null().to_list() == [False, True]
    assert got["kv_fraction"].to_list() == [1, 0]


def test_case_082_a_level_that_was_never_seen(canary: cr.Windows, fitted: cr.Network) -> None:
    for do in ({"batch_size": 64}, {"model_version": "v99"}):
        found = cr.whatif(canary, fitted, do=do, horizon="1d")
        assert found.verdict == "refused"
        assert next(iter(do)) in found.why


def test_a_column_without_any_value(tmp_path: Path) -> None:
    made = windows(table({"ttft_s": [None] * 200, "energy_j": [None] * 200}), tmp_path)
    assert told(made.notes, "energy_j are empty")
    assert told(made.notes, "SLO 'ttft' could not judge 200 of 200 requests")
    assert cr.budget(made).verdict == "refused"


def test_counts_below_zero_in_an_export_are_refused(asker: Asker) -> None:
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": -5}
    one = {"span_id": "a", "start_time": "2026-02-11T09:00:00", "attributes": attributes}
    path = asker.put("a.json", json.dumps({"trace_id": "t", "spans": [one]}))
    asker.refused(path, "1 of 1 values of 'prompt_tokens' are below zero or not finite", "check the clocks and units")
