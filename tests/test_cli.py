"""The command line: stdout is the answer, a mistake is one sentence and exit code 2."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from causalrel import cli

REAL = Path(__file__).parents[2] / "shared/data/llm_pilot/requests.parquet"
LOAD_TEST = [
    "--columns",
    "llm-pilot",
    "--slo",
    "llm-load-test",
    "--by",
    "model,gpu_type,gpu_count,users",
    "--every",
    "30s",
]


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    before = sys.argv
    sys.argv = ["causalrel", *arguments]
    try:
        code = cli.main()
    finally:
        sys.argv = before
    said = capsys.readouterr()
    return code, said.out, said.err


def slo_file(folder: Path, where: str = "ttft_s <= 1", target: str = "0.99") -> str:
    path = folder / "slo.yaml"
    path.write_text(
        "apiVersion: openslo/v1\nkind: SLO\nmetadata: {name: ttft, labels: {dimension: latency}}\nspec:\n"
        "  service: chat\n  indicator:\n    metadata: {name: good}\n    spec:\n      ratioMetric:\n"
        "        counter: true\n"
        f'        good: {{metricSource: {{type: causalrel, spec: {{where: "{where}"}}}}}}\n'
        "        total: {metricSource: {type: causalrel, spec: {}}}\n"
        "  timeWindow: [{duration: 28d, isRolling: true}]\n  budgetingMethod: Occurrences\n"
        f"  objectives: [{{displayName: x, target: {target}}}]\n"
    )
    return str(path)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["budget", "nosuch.parquet"], "cannot read 'nosuch.parquet': no such file"),
        (["budget", "llm-canari"], "did you mean 'llm-canary'"),
        (["budget", "llm-canary", "--slos", "x"], "No such option: --slos"),
        (["bugdet", "llm-canary"], "bugdet"),
        (["effect", "llm-canary", "--of", "ttft", "--on", "tpot"], "role outcome, which nobody can set"),
        (["whatif", "llm-canary", "--do", "availability=1"], "role outcome, which nobody can set"),
        (["whatif", "llm-canary", "--do", "batch_size"], "sets nothing"),
        (["whatif", "llm-canary", "--do", "batch_size=4", "--gate", "1.5"], "--gate 1.5 is no probability"),
        (["whatif", "llm-canary", "--do", "batch_size=4", "--gate", "0"], "--gate 0 is no probability"),
        (["whatif", "llm-canary", "--do", "batch_size=4", "--loss", "ten"], "--loss 'ten' is not two numbers"),
        (["whatif", "llm-canary", "--do", "batch_size=4", "--loss", "0,1"], "a loss of 0, 1 weighs nothing"),
        (["whatif", "llm-canary", "--do", "batch_size=4", "--horizon", "0d"], "is not a duration"),
        (["recommend", "llm-canary", "--over", "batch_size", "--cost", "1", "--p", "1"], "is no probability to reach"),
        (["recommend", "llm-canary", "--over", "gpu_count", "--cost", "gpu_count"], "nothing can be chosen"),
        (["recommend", "llm-canary", "--over", "load", "--cost", "1"], "role workload, which nobody can set"),
        (["bound", "llm-canary", "--of", "gpu_count", "--on", "ttft"], "'gpu_count' never varied"),
        (["bound", "llm-canary", "--of", "queue_s", "--on", "ttft", "--p", "0"], "is no share of windows"),
        (["budget", "llm-canary", "--every", "30d"], "longer than"),
        (["budget", "llm-canary", "--every", "soon"], "is not a duration"),
        (["attribute", "llm-canary", "--during", "2026-02-15"], "is not a span"),
        (["budget", "llm-canary", "--by", "nodes"], "did you mean 'node'"),
        (["budget", "llm-canary", "--seed", "-1"], "seed"),
        (["show", "llm-servin"], "did you mean 'llm-serving'"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_2(capsys, arguments, says) -> None:
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert says in err
    assert err.count("\n") == 1 + err.count("note: ")
    assert "Traceback" not in err


def test_unknown_column_in_a_predicate_is_met_with_a_near_one(capsys, tmp_path) -> None:
    code, _, err = run(capsys, "budget", "llm-canary", "--slo", slo_file(tmp_path, where="ttft <= 1"))
    assert code == 2
    assert "did you mean 'ttft_s'" in err


def test_a_target_above_one_is_refused_with_a_hint(capsys, tmp_path) -> None:
    code, _, err = run(capsys, "budget", "llm-canary", "--slo", slo_file(tmp_path, target="1.2"))
    assert code == 2
    assert "1.2" in err


@pytest.mark.parametrize("name", ["empty.parquet", "empty.csv", "empty.jsonl"])
def test_an_empty_file_is_refused(capsys, tmp_path, name) -> None:
    (tmp_path / name).touch()
    code, out, err = run(capsys, "budget", str(tmp_path / name), "--slo", "llm-chat")
    assert (code, out) == (2, "")
    assert "empty" in err or "no rows" in err


def test_zero_rows_are_refused(capsys, tmp_path) -> None:
    pl.DataFrame(schema={"time": pl.Datetime("us", "UTC"), "ttft_s": pl.Float64}).write_parquet(
        tmp_path / "none.parquet"
    )
    code, _, err = run(capsys, "budget", str(tmp_path / "none.parquet"), "--slo", "llm-chat")
    assert code == 2
    assert "no rows" in err


def test_json_is_one_object_with_the_verdict(capsys) -> None:
    code, out, _ = run(capsys, "attribute", "llm-canary", "--on", "ttft", "--per", "change", "--format", "json")
    facts = json.loads(out)
    assert code == 0
    assert list(facts)[:2] == ["schema", "verdict"]
    assert facts["verdict"] in ("answered", "bounded")
    assert {"burn", "first"} < {term["quantity"] for term in facts["terms"]}


def test_a_refused_answer_is_shown_and_exits_2(capsys) -> None:
    code, out, err = run(capsys, "whatif", "llm-canary", "--do", "batch_size=64")
    assert code == 2
    assert out.lstrip().startswith("refused")
    assert "never seen" in err


def test_a_gate_that_fails_exits_1(capsys) -> None:
    code, out, err = run(capsys, "whatif", "llm-canary", "--do", "batch_size=4", "--gate", "0.05")
    assert code == 1
    assert out
    assert "above the gate" in err


def test_a_gate_that_holds_exits_0(capsys, tmp_path) -> None:
    slo = slo_file(tmp_path, where="ttft_s <= 600", target="0.5")
    words = ["whatif", "llm-canary", "--slo", slo, "--do", "batch_size=4", "--gate", "0.05", "--format", "json"]
    code, out, _ = run(capsys, *words)
    assert code == 0
    assert json.loads(out)["decision"] == "ship"


def test_a_recommendation_is_written(capsys, tmp_path) -> None:
    slo = slo_file(tmp_path, where="ttft_s <= 600", target="0.5")
    words = ["recommend", "llm-canary", "--slo", slo, "--over", "batch_size=4,8", "--cost", "10 / batch_size"]
    code, out, _ = run(capsys, *words, "--horizon", "1d", "--format", "json")
    assert code == 0
    assert json.loads(out)["decision"] == "batch_size = 8"


def test_nothing_is_half_written(capsys, tmp_path) -> None:
    target = tmp_path / "missing" / "out.json"
    code, _, err = run(capsys, "forecast", "llm-canary", "-o", str(target))
    assert code == 2
    assert "missing" in err
    assert list(tmp_path.iterdir()) == []


def test_discover_writes_a_graph_that_loads(capsys, tmp_path) -> None:
    target = tmp_path / "found.yaml"
    assert run(capsys, "discover", "llm-canary", "--resamples", "1", "-o", str(target))[0] == 0
    assert run(capsys, "attribute", "llm-canary", "--graph", str(target), "--on", "tpot")[0] == 0


def test_refute_tells_its_verdict_in_every_format(capsys) -> None:
    code, out, _ = run(capsys, "refute", "batch-under-load", "--format", "json")
    assert code == 0
    said = json.loads(out)
    assert said["verdict"] in ("refuted", "stands")
    assert {claim["claim"] for claim in said["claims"]} == {"independence", "edge"}
    for form, words in (("text", "independencies"), ("md", "independencies"), ("html", "<table")):
        code, out, _ = run(capsys, "refute", "batch-under-load", "--format", form)
        assert code == 0
        assert words in out
    code, out, err = run(capsys, "refute", "batch-under-load", "--level", "2")
    assert (code, out) == (2, "")
    assert "no probability" in err


def test_simulate_writes_what_read_reads(capsys, tmp_path) -> None:
    target = tmp_path / "made"
    assert run(capsys, "simulate", "llm-canary", "--days", "1", "-o", str(target))[0] == 0
    code, out, _ = run(capsys, "read", str(target))
    assert code == 0
    assert "ttft_s" in out


def test_show_lists_and_prints(capsys) -> None:
    assert "llm-canary" in run(capsys, "show")[1]
    code, out, notes = run(capsys, "show", "llm-serving")
    assert (code, notes) == (0, "note: models/calibrations/llm-serving bears the name too\n")
    assert "graph: llm-serving" in out
    for name in ("calibrations/llm-serving", "models/calibrations/llm-serving"):
        assert run(capsys, "show", name)[1].startswith("calibration: llm-serving")
    assert run(capsys, "show", "scenarios/llm-serving")[0] == 2


def test_a_closed_pipe_is_quiet() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    made = subprocess.run(
        [sys.executable, "-m", "causalrel", "show", "llm-serving"], stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert b"Traceback" not in made.stderr
    assert made.returncode == 141


@pytest.mark.skipif(not REAL.is_file(), reason="the public llm_pilot load tests are not beside this checkout")
def test_real_load_tests_reproduce_the_designed_truth(capsys) -> None:
    where = "model = 'llama-7b' AND gpu_type = 'A10' AND users = 64"
    question = ["--of", "gpu_count=1,2", "--on", "availability", "--where", where]
    code, out, _ = run(
        capsys, "effect", str(REAL), *LOAD_TEST, "--graph", "llm-load-test", *question, "--format", "json"
    )
    terms = {(t["quantity"], t["level"]): t for t in json.loads(out)["terms"]}
    one, two = terms["bad_share_at", "1"], terms["bad_share_at", "2"]
    assert code == 0
    assert one["low"] <= 0.864 <= one["high"]
    assert two["low"] <= 0.0015 <= two["high"]
    assert json.loads(out)["verdict"] == "bounded"


def test_budget_tells_one_table_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "budget", "llm-canary", "--tell", "alerts", "--format", "json")
    told = json.loads(out)["rows"]
    assert (code, len(told), told[0]["long"]) == (0, 32, "1 hour")
    code, out, _ = run(capsys, "budget", "llm-canary", "--policy", "freeze=0.8", "--format", "md")
    assert code == 0
    assert "| slo | chance | action | threshold |" in out
    code, out, _ = run(capsys, "budget", "llm-canary", "--phases", "canary=2026-02-11T10:00Z", "--by", "model_version")
    assert code == 0
    assert "Budgets by phase as of 2026-02-16 00:00 UTC" in out
    for arguments, said in (
        (("--tell", "alerts", "--policy", "freeze=0.8"), "each ask for one table"),
        (("--policy", "freeze=often"), "--policy 'often' is no probability"),
        (("--policy", "freeze"), "is no list of NAME=VALUE"),
    ):
        code, out, err = run(capsys, "budget", "llm-canary", *arguments)
        assert (code, out) == (2, "")
        assert said in err


def test_discovery_takes_lags(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("discover", "batch-under-load", "--every", "1h", "--resamples", "0", "--format", "md")
    code, out, err = run(capsys, *asked, "--lags", "1")
    assert code == 0
    assert "dynamic, lags to 1" in out
    assert "have the one before them and were used" in err
    assert run(capsys, *asked, "--lags", "200")[0] == 2


def test_discovery_takes_tiers_and_a_method(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "discover", "llm-canary", "--every", "1h", "--tiers", "load:batch_size")
    assert (code, out) == (2, "")
    assert "discover: the tiers lack" in err
    code, out, _ = run(
        capsys, "discover", "llm-canary", "--every", "1h", "--method", "discrete", "--resamples", "0", "--format", "md"
    )
    assert code == 0
    assert out.startswith("# Graph discovered v1: ")
