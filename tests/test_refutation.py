"""Refutations: what is told of a claim, what is not tested, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from refutations import lacking, made_windows
from worlds import START, serving_graph, serving_world

import causalrel as cr
from causalrel.dependences import weigh
from causalrel.graphs import Graph
from causalrel.windows import Windows

NAMES = ["a", "b", "c", "d", "e"]
EDGES = [("a", "c"), ("b", "c"), ("c", "d"), ("c", "e")]


def world() -> tuple[Windows, Graph]:
    graph = Graph.from_edges(EDGES, roles=dict.fromkeys(NAMES, "engine"), name="forked")
    return made_windows(graph, np.random.default_rng(5)), graph


def test_a_right_graph_stands_and_says_what_was_tested() -> None:
    windows, graph = world()
    found = cr.refute(windows, graph)
    assert found.verdict == "stands"
    assert found.repairs == ()
    assert found.says == "6 of the 6 independencies that forked claims were tested and none is refuted"
    assert found.frame()["finding"].value_counts(sort=True).rows() == [("stands", 6), ("seen", 4)]
    assert "Refutation (stands)" in repr(found)
    assert "<table" in found._repr_html_()


def test_a_missing_edge_is_named() -> None:
    windows, graph = world()
    found = cr.refute(windows, lacking(graph, "a", "c"))
    assert found.verdict == "refuted"
    assert "add a -> c" in found.repairs
    assert found.mended


def test_an_edge_that_is_not_there_is_unseen_and_refutes_nothing() -> None:
    windows, _ = world()
    more = Graph.from_edges([*EDGES, ("a", "d")], roles=dict.fromkeys(NAMES, "engine"), name="more")
    found = cr.refute(windows, more)
    assert found.verdict == "stands"
    assert found.says.endswith("; no sign is seen of a -> d")


def test_an_unmeasured_cause_takes_its_claim_away() -> None:
    windows, graph = world()
    wrong = lacking(graph, "c", "e")
    assert cr.refute(windows, wrong).verdict == "refuted"
    hidden = Graph.from_edges(
        EDGES[:3], roles=dict.fromkeys(NAMES, "engine"), unmeasured={"u": ["c", "e"]}, name="hidden"
    )
    pairs = {frozenset(row) for row in cr.refute(windows, hidden).frame().select("one", "other").rows()}
    assert frozenset(("c", "e")) not in pairs


def test_an_objective_depends_on_its_causes() -> None:
    windows, _ = serving_world(days=7)
    graph = serving_graph()
    found = cr.refute(windows, graph).frame().filter((pl.col("claim") == "edge") & (pl.col("other") == "ttft"))
    assert found.filter(pl.col("one") == "load")["finding"].to_list() == ["seen"]
    lost = lacking(lacking(graph, "load", "ttft"), "queue_s", "ttft")
    assert cr.refute(windows, lost).verdict == "refuted"


def test_the_number_of_events_alone_moves_no_objective() -> None:
    """Few events a window, as many as the load says: log odds with half an event added would depend on the load."""
    rng = np.random.default_rng(8)
    n = 3000
    total = rng.integers(2, 20, n)
    frame = pl.DataFrame(
        {
            "time": pl.datetime_range(START, interval="5m", end=START.replace(year=2027), eager=True).head(n),
            "load": total.astype(float),
            "total": total,
            "bad": rng.binomial(total, 0.05),
        }
    )
    windows = Windows.from_frame(frame, time="time", roles={"load": "workload"}, events={"slo": ("total", "bad")})
    graph = Graph.from_edges([], roles={"load": "workload", "slo": "outcome"}, name="apart")
    assert cr.refute(windows, graph).verdict == "stands"


def test_what_people_set_together_or_never_change_is_not_tested() -> None:
    rng = np.random.default_rng(0)
    n = 400
    frame = pl.DataFrame(
        {
            "time": pl.datetime_range(START, interval="5m", end=START.replace(year=2027), eager=True).head(n),
            "batch": rng.choice([4, 8], n),
            "cap": rng.choice([300, 400], n),
            "version": ["a"] * 200 + ["b"] * 200,
            "load": rng.normal(size=n),
            "total": [10] * n,
            "bad": rng.binomial(10, 0.2, n),
        }
    )
    roles = {"batch": "config", "cap": "config", "version": "config", "load": "workload"}
    windows = Windows.from_frame(frame, time="time", roles=roles, events={"slo": ("total", "bad")})
    graph = Graph.from_edges([], roles=roles | {"slo": "outcome"}, name="loose")
    table = cr.refute(windows, graph).frame()
    findings = {frozenset(row[:2]): row[2] for row in table.select("one", "other", "finding").rows()}
    assert findings[frozenset(("batch", "cap"))] == "people may set both together"
    assert findings[frozenset(("version", "load"))] == "changes of version: 1, and 10 are needed"
    assert findings[frozenset(("load", "slo"))] == "stands"


def test_a_category_is_tested_level_by_level() -> None:
    rng = np.random.default_rng(1)
    level = rng.integers(0, 3, 600)
    x = np.eye(3)[level][:, 1:]
    steps, unit, one = np.arange(600), np.zeros(600, dtype=np.int64), np.ones((600, 1))
    moved = (0.5 * (level == 2) + rng.normal(size=600))[:, None]
    made = weigh(x, moved, one, step=steps, unit=unit)
    alone = weigh(x, rng.normal(size=(600, 1)), one, step=steps, unit=unit)
    assert made is not None
    assert alone is not None
    assert made.p < 0.001 < 0.05 < alone.p


def test_a_single_product_is_weighed_like_a_correlation() -> None:
    """Without memory and other columns the test is that of Pearson's correlation, up to its order 1/n."""
    from scipy.stats import pearsonr

    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, 2000, 1))
    y = y + 0.05 * x
    steps, unit = np.arange(2000), np.zeros(2000, dtype=np.int64)
    found = weigh(x, y, np.ones((2000, 1)), step=steps, unit=unit, whiten=False)
    assert found is not None
    assert found.correlation == pytest.approx(pearsonr(x[:, 0], y[:, 0]).statistic, abs=1e-9)
    assert found.error == pytest.approx(1 / np.sqrt(2000), rel=0.1)


def test_a_column_that_the_others_tell_is_not_tested() -> None:
    rng = np.random.default_rng(3)
    z = rng.normal(size=(300, 1))
    steps, unit = np.arange(300), np.zeros(300, dtype=np.int64)
    assert weigh(2 * z, rng.normal(size=(300, 1)), z, step=steps, unit=unit) is None


def test_what_cannot_be_refuted_is_refused() -> None:
    windows, graph = world()
    with pytest.raises(cr.CausalrelError, match="100 complete windows and there are 60"):
        cr.refute(replace(windows, table=windows.table.head(60)), graph)
    with pytest.raises(cr.CausalrelError, match="a level of 2 is no probability"):
        cr.refute(windows, graph, level=2)
    with pytest.raises(cr.CausalrelError, match="which the windows lack"):
        cr.refute(windows, Graph.from_edges([("a", "z")], roles={"a": "engine", "z": "engine"}))
    with pytest.raises(cr.CausalrelError, match="lagged edges"):
        cr.refute(windows, Graph.from_edges([("a", "a", 1)], roles={"a": "engine"}))
