"""Columns and graphs that are not what they should be, where graphs are learnt: cases 73 to 76 and 90 to 94."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from bad_inputs import Asker, asker

import causalrel as cr

__all__ = ["asker"]

GRAPH = """
graph: bad
version: 1
variables:
  load: {role: workload, kind: number, unit: "1"}
  batch_size: {role: config, kind: number, unit: "1"}
  queue_s: {role: engine, kind: number, unit: s}
  kv_usage: {role: engine, kind: number, unit: "1"}
edges:
EDGES
"""


def frame(**more: object) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    a = rng.integers(2, size=400)
    return pl.DataFrame({"a": a, "b": np.where(rng.random(400) < 0.9, a, 1 - a), **more})


def graph(*edges: str) -> str:
    return GRAPH.replace("EDGES", "\n".join(f"  - {edge}" for edge in edges))


@pytest.fixture
def refuse(asker: Asker):
    """Refuse to learn from a shipped data set with a graph of some edges: the words said."""

    def refused(*edges: str) -> str:
        path = asker.put("bad.yaml", graph(*edges))
        said = asker.run("discover", "llm-canary", "--slo", "llm-chat", "--graph", path, "--resamples", 0)
        assert (said.code, said.out) == (2, "")
        assert "Traceback" not in said.err
        return said.err

    return refused


def test_case_073_a_constant_column_is_no_node() -> None:
    with pytest.warns(UserWarning, match="c has one state only and was left out"):
        assert cr.discover(frame(c=["x"] * 400), resamples=0).names == ("a", "b")


def test_case_074_a_label_of_its_own_for_each_row_is_no_node() -> None:
    with pytest.warns(UserWarning, match="c has another state in every row and was left out"):
        assert cr.discover(frame(c=[f"request-{i}" for i in range(400)]), resamples=0).names == ("a", "b")


def test_case_075_many_labels_are_the_commonest_and_the_rest() -> None:
    labels = [f"v{min(i % 97, i % 23)}" for i in range(400)]
    with pytest.warns(UserWarning, match="c has 23 states, of which all but 19 were merged into one"):
        assert "c" in cr.discover(frame(c=labels), resamples=0).names


def test_case_076_names_that_look_alike_are_two_nodes() -> None:
    rng = np.random.default_rng(1)
    twins = {"caf\u00e9": rng.integers(2, size=400), "cafe\u0301": rng.integers(2, size=400)}
    assert set(twins) < set(cr.discover(frame(**twins), resamples=0).names)


def test_case_090_a_cyclic_graph_is_refused_with_its_cycle(refuse) -> None:
    said = refuse("{cause: queue_s, effect: kv_usage}", "{cause: kv_usage, effect: queue_s}")
    assert "circle" in said
    assert "queue_s -> kv_usage" in said or "kv_usage -> queue_s" in said


def test_case_091_a_node_that_is_not_in_the_data_is_told_or_refused() -> None:
    prior = cr.Graph.from_edges([("a", "b"), ("ghost", "b")], roles=dict.fromkeys(("a", "b", "ghost"), "engine"))
    with pytest.warns(UserWarning, match="ghost of the graph is not in the data and was left out"):
        assert cr.discover(frame(), prior, resamples=0).names == ("a", "b")
    windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    unseen = cr.Graph.from_edges([("ghost", "ttft")], roles={"ghost": "engine", "ttft": "outcome"})
    with pytest.raises(cr.CausalrelError, match=r"has ghost, which the windows lack; .* declare them unmeasured"):
        cr.effect(windows, unseen, of="ghost", levels=(0, 1), on="ttft")


def test_case_092_self_loops_and_edges_written_twice(refuse) -> None:
    assert "self-loop" in refuse("{cause: queue_s, effect: queue_s}")
    assert "written twice" in refuse(*["{cause: queue_s, effect: kv_usage}"] * 2)


def test_case_093_what_must_be_and_what_cannot() -> None:
    prior = cr.Graph.from_edges([("b", "a")], roles={"a": "engine", "b": "engine"})
    with pytest.raises(cr.CausalrelError, match="edge b -> a of the graph goes against the tiers"):
        cr.discover(frame(), prior, tiers=[["a"], ["b"]], resamples=0)


def test_case_094_an_outcome_that_comes_before_its_treatment(refuse) -> None:
    said = refuse("{cause: queue_s, effect: batch_size}")
    assert "queue_s -> batch_size" in said
    with pytest.raises(cr.CausalrelError, match="a -> b"):
        cr.Graph.from_edges([("a", "b")], roles={"a": "outcome", "b": "config"})
