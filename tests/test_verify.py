"""A report asked again says the same, and what changed since is named: a row, an edge, an SLO, a seed, a number."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import causalrel as cr
from causalrel.cli import main
from causalrel.errors import CausalrelError
from causalrel.provenance import fingerprint
from causalrel.reports.governance import NOT_ASSESSED, OF_AN_SLO, OF_THE_REPORT
from causalrel.reports.records import MOST_BYTES

START = datetime(2026, 2, 9, tzinfo=UTC)
PARTS = {"says", "of", "calls", "verdict", "method", "assumptions", "checks", "numbers", "origin", "fingerprint"}
SLOS = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: ttft, labels: {dimension: latency}, annotations: {owner: serving}}
spec:
  service: chat
  indicator:
    metadata: {name: ttft-good}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: causalrel, spec: {where: "ttft_s <= 1"}}}
        total: {metricSource: {type: causalrel, spec: {}}}
  timeWindow: [{duration: 7d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{displayName: first, target: 0.9}]
"""
GRAPH = """\
graph: small
version: 1
variables:
  load: {role: workload, kind: number}
  batch_size: {role: config, kind: number}
  prompt_tokens: {role: workload, kind: number}
  ttft: {role: outcome, kind: events}
edges:
  - {cause: load, effect: batch_size}
  - {cause: load, effect: ttft}
  - {cause: batch_size, effect: ttft}
  - {cause: prompt_tokens, effect: ttft}
"""


def requests() -> pl.DataFrame:
    """Three days of requests on two nodes, whose batch size follows their load and slows them."""
    rng = np.random.default_rng(3)
    rows = []
    for step in range(72):
        for node in ("a", "b"):
            load, batch = rng.poisson(18 + 8 * (step % 24 > 12)) + 2, int(rng.choice([4, 8]))
            late = rng.random(load) < 0.05 + 0.02 * (batch == 8) + 0.004 * load
            times = START + timedelta(hours=step)
            rows += [
                {
                    "time": times + timedelta(seconds=60 * at),
                    "node": node,
                    "ttft_s": 2.0 if slow else 0.5,
                    "batch_size": batch,
                    "prompt_tokens": int(rng.integers(10, 500)),
                }
                for at, slow in enumerate(late)
            ]
    return pl.DataFrame(rows)


@dataclass(frozen=True)
class Written:
    """A folder with requests, SLOs, a graph and the report made of them."""

    folder: Path
    run: Callable[..., tuple[int, str, str]]

    def edit(self, name: str, before: str, after: str) -> None:
        path = self.folder / name
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))

    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "report.json").read_text())
        return found

    def forge(self, facts: dict[str, Any]) -> None:
        """Write a report whose fingerprints fit what it says, as somebody who knows how would."""
        for claim in facts["claims"]:
            claim["fingerprint"] = fingerprint({key: claim[key] for key in claim if key != "fingerprint"})
        facts["fingerprint"] = fingerprint({key: facts[key] for key in facts if key != "fingerprint"})
        (self.folder / "report.json").write_text(json.dumps(facts))

    def changes(self, *words: str) -> dict[str, list[tuple[str, str]]]:
        """Return the changes that the command names, by what they are of."""
        code, out, err = self.run("verify", "report.json", "--format", "json", *words)
        assert "Traceback" not in err
        told = json.loads(out)
        assert code == (0 if told["verdict"] == "same" else 1)
        made: dict[str, list[tuple[str, str]]] = {}
        for change in told["changes"]:
            made.setdefault(change["what"], []).append((change["where"], change["says"]))
        return made


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write requests, documents and a report once."""
    folder = tmp_path_factory.mktemp("original")
    requests().write_parquet(folder / "requests.parquet")
    (folder / "slos.yaml").write_text(SLOS)
    (folder / "graph.yaml").write_text(GRAPH)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        words = ["report", "requests.parquet", "--slo", "slos.yaml", "--graph", "graph.yaml", "--every", "1h"]
        patch.setattr(sys, "argv", ["causalrel", *words, "--by", "node", "--horizon", "1d", "-o", "report.json"])
        assert main() == 0
    return folder


@pytest.fixture
def written(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Give a test the folder to change."""
    for path in original.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["causalrel", *words])
        code = main()
        out, err = capsys.readouterr()
        return code, out, err

    return Written(folder=tmp_path, run=run)


def refusal(written: Written, *words: str) -> str:
    """Return the one sentence of a report that cannot be verified."""
    code, out, err = written.run("verify", *words)
    lines = [line for line in err.splitlines() if not line.startswith("note: ")]
    assert (code, out, len(lines)) == (2, "", 1)
    return lines[0]


def test_every_sentence_has_its_record(written: Written) -> None:
    facts = written.facts()
    sentences = [facts["headline"], *(says for section in facts["sections"] for says in section["says"])]
    assert [claim["says"] for claim in facts["claims"]] == sentences
    for claim in facts["claims"]:
        assert claim.keys() == PARTS | {"key"}
        assert claim["origin"] == facts["origin"]
        assert claim["origin"].keys() == {"version", "seed", "data", "span", "slos", "graph"}
        for key, call in zip(claim["of"], claim["calls"], strict=False):
            assert call["verb"] in cr.__all__
            assert set(facts["answers"][key]["assumptions"]) <= set(claim["assumptions"])
            assert facts["answers"][key]["method"] in claim["method"]
    keys = [claim["key"] for claim in facts["claims"]]
    assert len(set(keys)) == len(keys) >= 10


def test_the_same_inputs_say_the_same(written: Written) -> None:
    assert written.changes() == {}
    code, out, _ = written.run("verify", "report.json")
    assert code == 0
    assert out.startswith("verified: all 1")
    assert written.changes("requests.parquet", "--slo", "slos.yaml", "--graph", "graph.yaml") == {}


def test_a_changed_row_is_named(written: Written) -> None:
    frame = pl.read_parquet("requests.parquet").with_row_index()
    here = (pl.col("node") == "b") & (pl.col("time") >= START + timedelta(hours=30)) & (pl.col("ttft_s") < 1)
    row = frame.filter(here)["index"][0]
    changed = frame.with_columns(ttft_s=pl.when(pl.col("index") == row).then(3.0).otherwise("ttft_s")).drop("index")
    changed.write_parquet("requests.parquet")
    found = written.changes()
    assert found["data"] == [("windows", "they differ on 2026-02-10; in unit b; in column ttft.bad, ttft_s")]
    numbers = dict(found["number"])
    assert {"budgets", "headline", "attribution"} <= numbers.keys()
    bad = int((frame["ttft_s"] > 1).sum())
    assert numbers["budgets"] == f"2 of 4 differ; ttft bad was {bad} and is {bad + 1}"


def test_a_missing_and_a_late_row(written: Written) -> None:
    frame = pl.read_parquet("requests.parquet")
    late = frame.tail(1).with_columns(time=pl.col("time") + timedelta(days=2))
    pl.concat([frame, late]).write_parquet("requests.parquet")
    code, _, err = written.run("verify", "report.json")
    assert code == 0
    assert "note: the data go on after 2026-02-12 00:00 UTC; " in err
    frame.filter(pl.col("time") >= START + timedelta(days=1)).write_parquet("requests.parquet")
    (place,) = written.changes()["data"]
    assert "2026-02-09 is gone" in place[1]
    assert "there were 144 windows and are 96" in place[1]


@pytest.mark.parametrize(
    ("before", "after", "where", "says"),
    [
        ("  - {cause: prompt_tokens, effect: ttft}\n", "", "prompt_tokens -> ttft", "it was there and is gone"),
        ("edges:\n", "edges:\n  - {cause: load, effect: ttft, lag: 1}\n", "load -> ttft (lag 1)", "is now"),
        (
            "{cause: load, effect: ttft}",
            "{cause: load, effect: ttft, why: queues}",
            "load -> ttft",
            "why was 'not told' and is 'queues'",
        ),
    ],
    ids=["gone", "new", "another reason"],
)
def test_a_changed_edge_is_named(written: Written, before: str, after: str, where: str, says: str) -> None:
    written.edit("graph.yaml", before, after)
    found = written.changes()
    assert [name for name, _ in found["edge"]] == [where]
    assert says in found["edge"][0][1]
    refitted = [("report", "a report needs a network of regressions, and this one is of tables; fit a graph without ")]
    assert [(w, s[: len(refitted[0][1])]) for w, s in found.get("replay", [])] == (refitted if "lag" in after else [])
    assert "data" not in found
    assert "slo" not in found


def test_a_changed_slo_is_named(written: Written) -> None:
    written.edit("slos.yaml", "target: 0.9}", "target: 0.95}")
    found = written.changes()
    assert found["slo"] == [("ttft", "target was '0.9' and is '0.95'")]
    assert "data" not in found
    assert "2 of 4 differ; ttft allowed was 338 and is 169" in dict(found["number"])["budgets"]
    written.edit("slos.yaml", "{name: ttft,", "{name: slow,")
    found = written.changes()
    assert dict(found["slo"]) == {"ttft": "it was there and is gone", "slow": "it was not there and is now"}
    assert found["replay"]


def test_a_forged_number_is_told_beside_its_sd(written: Written) -> None:
    facts = written.facts()
    claim = next(claim for claim in facts["claims"] if claim["key"] == "attribution")
    number = next(one for one in claim["numbers"] if one["quantity"] == "burn" and one["sd"])
    was, sd = number["mean"], number["sd"]
    number["mean"] = was + 2 * sd
    written.forge(facts)
    found = written.changes()
    assert found.keys() == {"number"}
    ((where, says),) = found["number"]
    assert where == "attribution"
    assert f"and is {was:.6g}, 2 of its sd of " in says
    assert says.startswith(f"1 of {len(claim['numbers'])} differ; ")
    assert written.changes("--within", "2.5") == {}
    assert "number" in written.changes("--within", "1.5")


def test_a_forged_seed_moves_numbers_and_a_forged_sentence_is_told(written: Written) -> None:
    facts = written.facts()
    facts["record"]["seed"] = 5
    facts["headline"] = facts["claims"][0]["says"] = "All is well."
    written.forge(facts)
    found = written.changes()
    assert found["seed"] == [("record", "the sentences say 0 and the record says 5")]
    assert "of its sd of " in dict(found["number"])["effect 1"]
    assert dict(found["sentence"])["headline"].startswith("it was 'All is well.' and is 'ttft burnt ")
    assert "data" not in found


def test_a_forged_table_is_told(written: Written) -> None:
    facts = written.facts()
    section = next(section for section in facts["sections"] if section["key"] == "budgets")
    section["tables"][0]["rows"][0][1] += 1
    written.forge(facts)
    assert [where for where, _ in written.changes()["table"]] == ["budgets"]


def test_another_version_alone_is_a_note(written: Written) -> None:
    facts = written.facts()
    facts["record"]["versions"]["numpy"] = "1.0"
    written.forge(facts)
    code, _, err = written.run("verify", "report.json")
    assert code == 0
    assert "note: numpy was 1.0 and is " in err


def test_a_tampered_report_is_refused(written: Written) -> None:
    facts = written.facts()
    claim = next(claim for claim in facts["claims"] if claim["key"] == "budgets")
    claim["numbers"][1]["value"] += 1
    (written.folder / "report.json").write_text(json.dumps(facts))
    assert "the record of 'budgets' is not as it was written" in refusal(written, "report.json")
    facts = written.facts()
    claim["numbers"][1]["value"] -= 1
    facts["claims"] = [claim if one["key"] == "budgets" else one for one in facts["claims"]]
    facts["record"]["seed"] = 1
    (written.folder / "report.json").write_text(json.dumps(facts))
    assert "something beside the records of its sentences is not as it was written" in refusal(written, "report.json")


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("causalrel/report/3", "its layout 3 is newer than 2, the newest known here; install a newer causalrel"),
        ("causalrel/report/1", "its layout 1 is older than 2 and holds no such claims"),
        ("causalrel/estimate/1", "it is not the JSON of a causalrel report"),
    ],
)
def test_another_layout_is_refused(written: Written, schema: str, said: str) -> None:
    facts = written.facts()
    facts["schema"] = schema
    written.forge(facts)
    assert said in refusal(written, "report.json")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("record", "seed"), -1),
        (("record", "fit", "draws"), 10**9),
        (("record", "asked", "effects"), "all"),
        (("record", "sources"), {"network": "http://x"}),
        (("claims",), [{"key": "headline"}]),
        (("slos",), [{"name": "ttft"}]),
    ],
)
def test_a_record_of_another_shape_is_refused(written: Written, path: tuple[str, ...], value: object) -> None:
    facts = written.facts()
    facts["record"]["sources"].pop("slo")
    inner = facts
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    (written.folder / "report.json").write_text(json.dumps({**facts, "fingerprint": _whole(facts)}))
    assert any(said in refusal(written, "report.json") for said in ("is not whole", "names an unknown source"))


def _whole(facts: dict[str, Any]) -> str:
    return fingerprint({key: facts[key] for key in facts if key != "fingerprint"})


def test_what_is_no_report_is_refused(written: Written) -> None:
    assert "no such file or directory" in refusal(written, "missing.json")
    for text in ("", "[]", "{", "[" * 100_000):
        Path("bad.json").write_text(text)
        assert "it is not the JSON of a report" in refusal(written, "bad.json")
    with Path("bad.json").open("wb") as file:
        file.truncate(MOST_BYTES + 2)
    assert "longer than 64 MiB" in refusal(written, "bad.json")


@pytest.mark.parametrize("name", ["/etc/passwd", "../requests.parquet", "link.parquet", "gone.parquet", "a\x00b"])
def test_a_report_opens_nothing_outside_the_folder(written: Written, name: str) -> None:
    (written.folder / "link.parquet").symlink_to("/etc/hostname")
    facts = written.facts()
    facts["record"]["sources"]["data"] = name
    written.forge(facts)
    assert "are not inside this folder; name them: verify report.json DATA" in refusal(written, "report.json")
    assert written.changes("requests.parquet") == {}


def test_documents_out_of_reach_are_taken_from_the_report(written: Written) -> None:
    for name in ("slos.yaml", "graph.yaml"):
        (written.folder / name).unlink()
    code, _, err = written.run("verify", "report.json")
    assert code == 0
    assert "note: the SLOs are those that the report holds; name their file to compare" in err
    assert "note: the graph is the one that the report holds; name its file to compare" in err


def test_windows_in_memory(written: Written) -> None:
    windows = cr.window(cr.read("requests.parquet"), cr.load_slos("slos.yaml"), every="1h", by="node")
    network = cr.fit(windows, cr.load_graph("graph.yaml"))
    cr.report(windows, network, effects=[], horizon="1d", seed=3).save("own.json")
    with pytest.raises(CausalrelError, match=r"'own.json' does not say where its data are; name them"):
        cr.verify("own.json")
    assert cr.verify("own.json", windows, graph="graph.yaml").same
    small = cr.load_graph("graph.yaml").project(["load", "ttft", "batch_size"])
    found = cr.verify("own.json", windows, graph=small)
    assert not found.same
    assert "edge: prompt_tokens -> ttft: it was there and is gone" in repr(found)
    assert found.frame().columns == ["what", "where", "says"]
    assert "<table" in found._repr_html_()
    other = cr.window(cr.read("requests.parquet"), cr.load_slos("slos.yaml"), every="2h", by="node")
    cr.report(other, network, effects=[], horizon="1d").save("mixed.json")
    with pytest.raises(CausalrelError, match="its network was fitted to other windows than it reports on"):
        cr.verify("mixed.json", other)
    with pytest.raises(CausalrelError, match="no source of a report 'slos'; did you mean 'slo'"):
        cr.report(windows, network, effects=[], sources={"slos": "slos.yaml"})
    with pytest.raises(CausalrelError, match="numbers cannot move within -1 sd"):
        cr.verify("own.json", windows, within=-1)


PROGRAM = """
import sys
import causalrel as cr
windows = cr.window(cr.read("requests.parquet"), cr.load_slos("slos.yaml"), every="1h", by="node")
network = cr.fit(windows, cr.load_graph("graph.yaml"))
sys.stdout.write(cr.report(windows, network, horizon="1d").json())
"""


def test_the_same_bytes_on_one_thread_and_on_two(written: Written) -> None:
    made = []
    for threads in ("1", "2"):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")
        environment = {**os.environ, **dict.fromkeys(names, threads), "PYTHONHASHSEED": threads}
        words = [sys.executable, "-c", PROGRAM]
        done = subprocess.run(words, env=environment, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        made.append(done.stdout)
    assert len(made[0]) > 10_000
    assert made[0] == made[1]


def test_governance_has_every_field(written: Written) -> None:
    told = written.facts()["governance"]
    assert told.keys() == {"slos", *OF_THE_REPORT}
    assert told["slos"] == {"ttft": {**dict.fromkeys(OF_AN_SLO, NOT_ASSESSED), "owner": "serving"}}
    assert all(told[field] == NOT_ASSESSED for field in OF_THE_REPORT)
    Path("governance.yaml").write_text(
        "slos: {ttft: {consequence: freeze of rollouts, budget_of: search}}\nprivacy: no prompts are kept\n"
    )
    words = [
        "report",
        "requests.parquet",
        "--slo",
        "slos.yaml",
        "--graph",
        "graph.yaml",
        "--every",
        "1h",
        "--by",
        "node",
    ]
    code, out, _ = written.run(*words, "--horizon", "1d", "--governance", "governance.yaml", "--format", "md")
    assert code == 0
    assert "freeze of rollouts" in out
    assert "not assessed: regulatory limits, human review, energy policy" in out
    Path("governance.yaml").write_text("slos: {tft: {}}\nprivacy: [no]\nhumans: none\n")
    code, out, err = written.run(*words, "--governance", "governance.yaml")
    assert (code, out) == (2, "")
    assert "'humans' is no field; known: energy_policy, human_review, privacy, regulation; 'privacy' is no text" in err
    assert "there is no SLO 'tft'; did you mean 'ttft'?" in err
