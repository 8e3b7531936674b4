"""query and infer on the command line: the answers of Python, and a mistake is one sentence."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

import causalrel as cr
from causalrel import cli
from causalrel.cli.states import node_of, parts_of, states_of

PAGE = (Path(__file__).parents[1] / "docs" / "NETWORKS.md").read_text(encoding="utf-8")
GRAPH = re.search(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[1]  # type: ignore[index]
TYPED = re.search(r"^```text\n(causalrel.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[1]  # type: ignore[index]


@pytest.fixture(scope="module")
def windows() -> cr.Windows:
    return cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="service")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "queue.yaml").write_text(GRAPH)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def network(folder: Path, windows: cr.Windows) -> cr.Network:
    made = cr.fit(windows, cr.load_graph("queue.yaml"), states={"load": 2, "queue_s": [0.05, 0.5]})
    cr.save_network(made, "network.json")
    return made


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["causalrel", *words])
    code = cli.main()
    out, err = capsys.readouterr()
    return code, out, "\n".join(line for line in err.splitlines() if not line.startswith("note: "))


def means(out: str) -> list[float]:
    return [term["mean"] for term in json.loads(out)["terms"]]


def told(answer: cr.Estimate) -> list[float]:
    return pytest.approx(answer.frame()["mean"].to_list(), rel=1e-5)  # type: ignore[return-value]


def test_query_answers_as_python_does(capsys, monkeypatch, network) -> None:
    busy = network.mechanism("load").table.states.labels[1]
    fast, _, slow = network.mechanism("queue_s").table.states.labels
    words = ["--network", "network.json", "--format", "json", "--of", "ttft@2", "--of", "queue_s@1"]
    _, out, _ = run(capsys, monkeypatch, "query", *words, "--given", f"load={busy}", "--do", "queue_s@1=0.2")
    of = [("ttft", 2), ("queue_s", 1)]
    assert means(out) == told(cr.query(network, of=of, given={"load": busy}, do={("queue_s", 1): 0.2}))
    _, out, _ = run(capsys, monkeypatch, "query", *words[:-2], "--do", f"queue_s={fast}:0.9,{slow}:0.1", "--since", "1")
    assert means(out) == told(cr.query(network, of=[("ttft", 2)], do={"queue_s": {fast: 0.9, slow: 0.1}}, since=1))


def test_infer_answers_as_python_does(capsys, monkeypatch, network, windows) -> None:
    busy = network.mechanism("load").table.states.labels[1]
    shared = ["llm-canary", "--every", "1h", "--by", "service", "--format", "json", "--of", "ttft"]
    words = [*shared, "--network", "network.json", "--horizon", "3h", "--do", f"load={busy}"]
    _, out, _ = run(capsys, monkeypatch, "infer", *words)
    assert means(out) == told(cr.infer(windows, network, of="ttft", horizon="3h", do={"load": busy}))
    fitted = [*shared, "--graph", "queue.yaml", "--states", "load=2", "--states", "queue_s=0.05,0.5", "--smooth"]
    _, out, _ = run(capsys, monkeypatch, "infer", *fitted)
    assert means(out) == told(cr.infer(windows, network, of="ttft", by="smooth"))


@pytest.mark.parametrize("line", TYPED.strip().replace("\\\n", " ").splitlines())
def test_what_the_page_types_is_answered(line: str, capsys, monkeypatch, folder) -> None:
    code, out, err = run(capsys, monkeypatch, *shlex.split(line)[1:])
    assert (code, err) == (0, "")
    assert "ANSWERED" in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["query", "--of", "ttft"], "name DATA to fit one to, or write --network FILE"),
        (["query", "llm-canary", "--of", "ttft", "--network", "network.json"], "query needs one network"),
        (["query", "--of", "ttft", "--network", "nosuch.json"], "nosuch.json"),
        (["query", "--network", "network.json"], "name each variable once"),
        (["query", "--of", "tftt", "--network", "network.json"], "did you mean 'ttft'?"),
        (["query", "--of", "ttft@x", "--network", "network.json"], "ttft@x"),
        (["query", "--of", "ttft", "--given", "load", "--network", "network.json"], "write VARIABLE=STATE"),
        (["query", "--of", "ttft", "--given", "load=high", "--network", "network.json"], "no state of 'load'"),
        (["query", "--of", "ttft", "--given", "laod=1", "--network", "network.json"], "did you mean 'load'?"),
        (["query", "--of", "ttft", "--do", "load=0.03", "--do", "load=0.04", "--network", "network.json"], "twice"),
        (["query", "--of", "ttft", "--do", "queue_s=< 0.05:0.5", "--network", "network.json"], "add up to 1"),
        (["query", "--of", "ttft", "--states", "load=2", "--network", "network.json"], "leave out --states"),
        (["infer", "llm-canary", "--of", "ttft", "--graph", "queue.yaml", "--states", "load"], "VARIABLE=3"),
        (["infer", "llm-canary", "--of", "ttft", "--graph", "queue.yaml", "--horizon", "soon"], "not a duration"),
        (["infer", "llm-canary", "--of", "ttft"], "unmeasured"),
    ],
)
def test_a_mistake_is_one_sentence(words: list[str], says: str, capsys, monkeypatch, folder, network) -> None:
    code, out, err = run(capsys, monkeypatch, *words, "-o", "answer.json")
    assert (code, out) == (2, "")
    assert err.count("\n") == 0
    assert says in err
    assert not (folder / "answer.json").exists()


def test_texts_are_read_as_what_they_name() -> None:
    assert [node_of(text) for text in ("a@3", "a", "a@b", "a@b@0")] == [("a", 3), "a", "a@b", ("a@b", 0)]
    assert parts_of(["q=>= 1", "q@2=x:1"], "--do") == {"q": ">= 1", ("q", 2): "x:1"}
    assert [states_of(text)[1] for text in ("q=3", "q=3.0", "q=1,2")] == [3, [3.0], [1.0, 2.0]]
