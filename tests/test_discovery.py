"""Discovery: tiers kept, the prior kept with its support, the same with the same seed."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from worlds import serving_graph, serving_world

import causalrel as cr
from causalrel.discovery.columns import columns_of


@pytest.fixture(scope="module")
def windows():
    return serving_world(7)[0]


def test_no_edge_goes_against_the_roles_and_support_is_a_share(windows) -> None:
    found = cr.discover(windows, resamples=4)
    tier = {v.name: v.tier for v in found.variables}
    assert found.edges
    for edge in found.edges:
        assert tier[edge.cause] <= tier[edge.effect]
        assert edge.support is not None
        assert 0.5 <= edge.support <= 1


def test_counted_events_are_never_causes() -> None:
    one = serving_world(7)[0]
    slow = replace(one.slos[0], name="slow")
    table = one.table.with_columns(pl.col("ttft.total").alias("slow.total"), pl.col("ttft.bad").alias("slow.bad") // 2)
    found = cr.discover(replace(one, table=table, slos=(*one.slos, slow)), resamples=3)
    assert {"ttft", "slow"} <= set(found.names)
    assert not {e.cause for e in found.edges} & {"ttft", "slow"}


def test_strong_planted_edges_are_found(windows) -> None:
    pairs = {frozenset((e.cause, e.effect)) for e in cr.discover(windows, resamples=4).edges}
    assert {frozenset(("load", "queue_s")), frozenset(("load", "batch_size"))} <= pairs


def test_stated_edges_stay_and_get_support(windows) -> None:
    prior = serving_graph()
    found = cr.discover(windows, prior, resamples=4)
    pairs = {(e.cause, e.effect): e for e in found.edges}
    for edge in prior.edges:
        assert pairs[edge.cause, edge.effect].support is not None


def test_forbidden_edges_stay_out(windows) -> None:
    prior = replace(serving_graph(), edges=(), forbidden=(("load", "queue_s"),))
    assert ("load", "queue_s") not in {(e.cause, e.effect) for e in cr.discover(windows, prior, resamples=2).edges}


def test_same_seed_same_graph_and_it_loads_again(windows, tmp_path) -> None:
    one, two = (cr.discover(windows, resamples=3, seed=2) for _ in range(2))
    assert one == two
    path = tmp_path / "found.yaml"
    path.write_text(one.to_yaml(), encoding="utf-8")
    assert cr.load_graph(path).frame().equals(one.frame())


def test_constant_columns_are_left_out_and_nothing_varying_is_refused(windows) -> None:
    still = windows.table.with_columns(pl.lit(1.0).alias("load"))
    with pytest.warns(UserWarning, match="load has one state only and was left out"):
        assert "load" not in cr.discover(replace(windows, table=still), resamples=1).names
    dead = windows.table.with_columns(
        *[pl.lit(1.0).alias(v.name) for v in windows.variables], pl.lit(0, dtype=pl.Int64).alias("ttft.bad")
    )
    with pytest.raises(cr.CausalrelError, match="nothing varies"):
        cr.discover(replace(windows, table=dead), resamples=1)


def test_serving_worlds_are_found_but_for_what_the_roles_leave_open() -> None:
    for seed in (31, 32, 33):
        found = {frozenset((e.cause, e.effect)) for e in cr.discover(serving_world(seed)[0], resamples=20).edges}
        truth = {frozenset((e.cause, e.effect)) for e in serving_graph().edges}
        once = frozenset(("sm_clock_mhz", "ttft"))  # the clock moved in one stretch of one unit, which proves little
        assert truth - {once} <= found
        assert len(found - truth) <= 1


def frame(rows: int = 2000, seed: int = 0) -> pl.DataFrame:
    """Two causes a and b of c, c of d; e alone: a category, numbers and a truth value."""
    rng = np.random.default_rng(seed)
    a, b, e = rng.integers(3, size=rows), rng.normal(size=rows), rng.normal(size=rows)
    c = a + b + rng.normal(size=rows)
    return pl.DataFrame({"a": np.array(["x", "y", "z"])[a], "b": b, "c": c, "d": c + rng.normal(size=rows) > 1, "e": e})


def pairs_of(graph: cr.Graph) -> set[tuple[str, str, bool]]:
    return {(e.cause, e.effect, e.oriented) for e in graph.edges}


def test_a_mixed_frame_gives_its_pattern_whatever_the_order_of_columns_and_rows() -> None:
    data = frame()
    found = cr.discover(data, resamples=10)
    assert pairs_of(found) == {("a", "c", True), ("b", "c", True), ("c", "d", True)}
    assert cr.discover(data.select(reversed(data.columns)).lazy(), resamples=10) == found
    assert pairs_of(cr.discover(data.sample(fraction=1.0, shuffle=True, seed=1), resamples=10)) == pairs_of(found)


@pytest.mark.parametrize("method", ["auto", "pgmpy"])
def test_tiers_direct_what_the_data_leave_open(method) -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(2, size=1000)
    b = np.where(rng.random(1000) < 0.8, a, 1 - a)
    data = pl.DataFrame({"a": a, "b": b, "c": np.where(rng.random(1000) < 0.8, b, 1 - b)})
    assert {pair[2] for pair in pairs_of(cr.discover(data, resamples=3, method=method))} == {False}
    found = cr.discover(data, tiers=[["c"], ["b", "a"]], resamples=3, method=method)
    assert pairs_of(found) == {("c", "b", True), ("b", "a", True)}


def test_without_resamples_there_is_no_support() -> None:
    assert {e.support for e in cr.discover(frame(), resamples=0).edges} == {None}


def test_the_hash_seed_of_python_changes_nothing(tmp_path) -> None:
    frame(300).write_parquet(tmp_path / "frame.parquet")
    program = (
        "import causalrel as cr, polars as pl\n"
        "print(cr.discover(pl.read_parquet('frame.parquet'), resamples=3).to_yaml())"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env={**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": str(Path(cr.__file__).parents[1])},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in (1, 2)
    ]
    assert said[0] == said[1]
    assert "cause" in said[0]


def test_stated_edges_of_a_frame_are_searched_around_and_get_the_support_of_the_data() -> None:
    roles = {"a": "config", "b": "workload", "c": "engine", "d": "engine", "e": "engine"}
    prior = cr.Graph.from_edges([("e", "d"), ("c", "d")], roles=roles)
    found = {(e.cause, e.effect): e.support for e in cr.discover(frame(), prior, resamples=10).edges}
    assert found["c", "d"] > 0.95
    assert found["e", "d"] < 0.5


@pytest.mark.parametrize(
    ("columns", "said", "names"),
    [
        ({"k": pl.lit(1)}, "k has one state only", "abcde"),
        ({"k": pl.lit(None, dtype=pl.Float64)}, "k has one state only", "abcde"),
        ({"k": 3 - 2 * pl.col("b")}, "k has the values of b under other names", "abcde"),
        ({"k": pl.col("a").replace({"x": "u", "y": "v"})}, "k has the values of a under other names", "abcde"),
        ({"k": pl.int_range(pl.len()).cast(pl.String)}, "k has another state in every row", "abcde"),
        ({"k": (pl.int_range(pl.len()) % 500).cast(pl.String)}, "k has 500 states, of which all but 19", "abcdek"),
        ({"b": pl.when(pl.col("b") > 2).then(float("nan")).otherwise("b")}, "of 2000 rows lack a value", "abcde"),
        ({"b": pl.when(pl.col("b") < 2).then("b")}, "of 2000 rows lack a value", "abcde"),
    ],
)
def test_what_cannot_be_learnt_from_is_left_out_and_told(columns, said, names) -> None:
    with pytest.warns(UserWarning, match=said):
        found = cr.discover(frame().with_columns(**columns), resamples=2)
    assert set(found.names) == set(names)
    assert ("b", "c", True) in pairs_of(found)


def test_columns_that_differ_in_one_row_are_two() -> None:
    column = frame()["b"].cast(pl.Float64)
    for row in (0, 1, column.len() - 1):
        other = column.set(pl.int_range(column.len(), eager=True) == row, 99.0) * -2 + 1
        made = columns_of(pl.DataFrame({"d": column, "e": other, "f": -column}), None)
        assert made.names == ["d", "e"]
        assert made.notes == ("f has the values of d under other names and was left out",)


def test_columns_that_add_up_give_a_graph() -> None:
    data = frame().with_columns(f=pl.col("b") + pl.col("c"), g=pl.col("b") - pl.col("c"))
    assert cr.discover(data, resamples=2).edges


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"tiers": [["a", "b"], ["c", "d"]]}, "the tiers lack e"),
        ({"tiers": [["a", "b"], ["c", "d", "e", "z"]]}, "there is no variable 'z'"),
        ({"tiers": [["a", "b"], ["c", "d", "e", "a"]]}, "'a' is in the tiers twice"),
        ({"resamples": -1}, "-1 resamples"),
        ({"method": "oracle"}, "no method of discovery 'oracle'"),
    ],
)
def test_bad_questions_are_one_sentence(asked, said) -> None:
    with pytest.raises(cr.CausalrelError, match=said):
        cr.discover(frame(), **asked)


def test_a_prior_that_contradicts_tiers_or_itself_is_refused() -> None:
    roles = dict.fromkeys("abcde", "engine")
    prior = cr.Graph.from_edges([("d", "a")], roles=roles)
    with pytest.raises(cr.CausalrelError, match="edge d -> a of the graph goes against the tiers"):
        cr.discover(frame(), prior, tiers=[["a", "b", "c"], ["d", "e"]])
    circle = replace(prior, edges=(*prior.edges, cr.Edge(cause="a", effect="d")))
    with pytest.raises(cr.CausalrelError, match="the edges go in a circle"):
        cr.discover(frame(), circle)
    turned = cr.Graph.from_edges([], roles={**roles, "a": "outcome"})
    with pytest.raises(cr.CausalrelError, match="the tiers put 'a' before"):
        cr.discover(frame(), turned, tiers=[["a"], ["b", "c", "d", "e"]])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (frame(40), "it needs 50 complete rows and there are 40"),
        (pl.DataFrame(np.random.default_rng(0).normal(size=(60, 80))), "one a column"),
        (frame().with_columns(t=pl.lit(0).cast(pl.Datetime)), "neither numbers nor categories"),
        (frame().with_columns(b=1 / pl.int_range(pl.len())), "infinite numbers"),
        ([1, 2], "windows or a Polars frame"),
    ],
)
def test_bad_data_is_one_sentence(data, said) -> None:
    with pytest.raises(cr.CausalrelError, match=said):
        cr.discover(data)


def test_bridge_codes_survive_any_name() -> None:
    from causalrel.bridges.pgmpy import hill_climb

    rng = np.random.default_rng(0)
    cause = rng.integers(2, size=400)
    codes = {"a b [0]": cause, "__class__": np.where(rng.random(400) < 0.9, cause, 1 - cause)}
    edges, loose = hill_climb(codes, tiers=[list(codes)])
    assert {frozenset(e) for e in edges} == {frozenset(codes)}
    assert loose == {frozenset(codes)}
