"""What the support of an edge rests on: evidence on rows that remember, witnesses of hidden causes, the calibration."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from structures import FITTED, HELD_BACK, ancestral, remembered, world
from worlds import serving_graph, serving_world

import causalrel as cr
from causalrel import shipped
from causalrel.discovery import searched_with
from causalrel.discovery.calibration import DIRECTED, FILE, JOINED, chances_of
from causalrel.discovery.evidence import Evidence, evidence_of
from causalrel.discovery.hidden import hidden_of, inseparable, witness_against
from causalrel.discovery.statistics import Blocks, summed

#: Two causes of a and b each, x -> a, y -> b, and a hidden cause of a and b.
X, Y, A, B = range(4)


def exact(weights: dict[tuple[int, int], float], size: int, rows: float = 5000) -> Evidence:
    """Evidence of the very covariance of a linear world; ``weights`` name causes and effects, hidden ones last."""
    total = max(max(pair) for pair in weights) + 1
    drive = np.zeros((total, total))
    for (cause, effect), weight in weights.items():
        drive[effect, cause] = weight
    spread = np.linalg.inv(np.eye(total) - drive)
    joint = (spread @ spread.T)[:size, :size]
    scale = np.sqrt(np.diag(joint))
    none = np.zeros((0, size, size))
    return Evidence(correlation=joint / np.outer(scale, scale), runs=none, starts=np.arange(size + 1), rows=rows)


def graph(*edges: tuple[int, int], size: int = 4) -> np.ndarray:
    made = np.zeros((size, size), dtype=bool)
    for cause, effect in edges:
        made[cause, effect] = True
    return made


FREE = ~np.eye(4, dtype=bool)
CONFOUNDED = exact({(X, A): 1.0, (Y, B): 1.0, (4, A): 1.0, (4, B): 1.0}, 4)


def test_a_gain_is_that_of_least_squares() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=500)
    rows = [z + rng.normal(size=500), z + rng.normal(size=500), z]
    evidence = evidence_of(summed(rows, Blocks(cell=np.zeros(500, int), count=1, run=1)), timed=False)
    inverse = np.linalg.inv(evidence.correlation)
    partial = inverse[0, 1] ** 2 / inverse[0, 0] / inverse[1, 1]
    gain = evidence.gain(0, 1, [2])
    assert gain.likelihood == pytest.approx(-250 * np.log1p(-partial))
    assert gain.price == pytest.approx(0.5 * np.log(500))
    assert gain.slack == 1


def test_slack_is_the_variance_that_memory_adds() -> None:
    """Of products of two autoregressions: (1 + phi^2) / (1 - phi^2); 40 runs of 250 tell it to about a quarter."""
    phi, rng = 0.8, np.random.default_rng(1)
    made = np.zeros((2, 10_000))
    for i in range(1, 10_000):
        made[:, i] = phi * made[:, i - 1] + np.sqrt(1 - phi**2) * rng.normal(size=2)
    blocks = Blocks(cell=np.arange(10_000) // 250, count=40, run=1)
    told = evidence_of(summed(list(made), blocks), timed=True).gain(0, 1, ()).slack
    assert told == pytest.approx((1 + phi**2) / (1 - phi**2), rel=0.6)
    mixed = evidence_of(summed([made[0] + made[1], made[1], rng.normal(size=10_000)], blocks), timed=True)
    assert mixed.gain(0, 2, [1]).slack == pytest.approx(1, abs=0.6)
    assert mixed.gain(0, 1, ()).slack > 2


def test_a_collider_bears_witness_and_a_chain_does_not() -> None:
    collider = exact({(X, A): 0.8, (B, A): 0.8}, 4)
    assert witness_against(collider, graph((X, A), (B, A)) | graph((A, X), (A, B)), A, B) is not None
    chain = exact({(X, A): 0.8, (A, B): 0.8}, 4)
    assert witness_against(chain, graph((X, A), (A, B)) | graph((A, X), (B, A)), A, B) is None


def test_a_hidden_cause_is_seen_in_the_covariance_it_leaves() -> None:
    found = graph((X, A), (A, B), (Y, B), (X, B))
    (hidden,) = hidden_of(CONFOUNDED, found, FREE)
    assert hidden.pair == (A, B)
    assert "so c does not cause d" in hidden.why("abcd")
    assert inseparable(CONFOUNDED, found | found.T, A, B)


@pytest.mark.parametrize("edges", [[(X, A), (Y, B), (A, B)], [(X, A), (A, B), (B, Y)], [(X, A), (Y, A), (A, B)]])
def test_no_hidden_cause_is_seen_where_there_is_none(edges) -> None:
    evidence = exact(dict.fromkeys(edges, 0.8), 4)
    assert hidden_of(evidence, graph(*edges), FREE) == []


def test_an_earlier_tier_stands_in_for_a_witness() -> None:
    found, later = graph((X, A), (A, B), (X, B)), FREE.copy()
    later[B, A] = False
    evidence = exact({(X, A): 1.0, (4, A): 1.0, (4, B): 1.0}, 4)
    assert [hidden.pair for hidden in hidden_of(evidence, found, later)] == [(A, B)]
    assert hidden_of(evidence, found, FREE) == []


def test_the_ancestral_graph_of_the_textbook() -> None:
    """A hidden cause of b and c, a -> b: b and c are joined, and neither causes the other."""
    full = np.zeros((4, 4), dtype=bool)
    full[0, [2, 3]] = full[1, 2] = True
    joined, causes = ancestral(full, 1)
    assert {tuple(map(int, pair)) for pair in np.argwhere(np.triu(joined))} == {(0, 1), (1, 2)}
    assert causes.sum() == 1


def test_the_calibration_has_a_weight_for_each_feature_and_saw_no_family_that_judges_it() -> None:
    made = json.loads((shipped.root() / FILE).read_text(encoding="utf-8"))
    assert made["version"] == 1
    assert (tuple(made["joined"]), tuple(made["directed"])) == (JOINED, DIRECTED)
    assert tuple(made["families"]) == FITTED
    assert not set(made["families"]) & set(HELD_BACK)


def test_chances_grow_with_the_raw_share_and_known_directions_are_sure() -> None:
    one = world("sine", 2000, rows=2000, size=6)
    knowledge = one.knowledge()
    found, evidence = searched_with(one.columns(), knowledge, 20, "auto", 0)
    less = chances_of(replace(found, joined=found.joined * 0.6), evidence, knowledge, 20, tables=False)
    more = chances_of(found, evidence, knowledge, 20, tables=False)
    there = more.joined > 0
    assert there.any()
    assert (less.joined[there] < more.joined[there]).all()
    assert (more.joined == more.joined.T).all()
    assert (more.directed[found.graph & knowledge.directed] == 1).all()


def test_columns_that_only_remember_are_not_joined() -> None:
    from structures import World

    rng = np.random.default_rng(5)
    alone = np.zeros((8, 8), dtype=bool)
    edges = 0
    for _ in range(4):
        noise = list(remembered(rng, 1000, 8, 0.95))
        tiers = np.zeros(8, np.int64)
        one = World(values=noise, joined=alone, causes=alone, tiers=tiers, timed=True)
        edges += len(cr.discover(one.data(), resamples=10).edges)
    assert edges <= 4  # of 112 pairs


def test_a_planted_hidden_cause_is_told_and_the_document_loads_again(tmp_path) -> None:
    rng = np.random.default_rng(0)
    x, y, hidden = rng.normal(size=(3, 4000))
    a, b = x + hidden + 0.5 * rng.normal(size=4000), y + hidden + 0.5 * rng.normal(size=4000)
    found = cr.discover(pl.DataFrame({"x": x, "y": y, "a": a, "b": b}), resamples=10)
    (told,) = found.unmeasured
    assert told.affects == ("a", "b")
    assert "a does not cause b" in told.why
    (edge,) = (e for e in found.edges if {e.cause, e.effect} == {"a", "b"})
    assert not edge.oriented
    assert "hidden cause" in edge.why
    assert {frozenset((e.cause, e.effect)) for e in found.edges} == {frozenset(p) for p in ("ab", "xa", "yb")}
    path = tmp_path / "found.yaml"
    path.write_text(found.to_yaml(), encoding="utf-8")
    assert cr.load_graph(path).unmeasured == found.unmeasured
    stated = replace(found, edges=(), unmeasured=(replace(told, name="demand"),))
    again = cr.discover(pl.DataFrame({"x": x, "y": y, "a": a, "b": b}), stated, resamples=10)
    assert [u.name for u in again.unmeasured] == ["demand"]


def test_a_stated_edge_that_the_data_do_not_show_says_so_once() -> None:
    rng = np.random.default_rng(0)
    a, b, c = rng.normal(size=(3, 3000))
    data = pl.DataFrame({"a": a, "b": a + b, "c": c})
    edges = (cr.Edge(cause="a", effect="b", why="known"), cr.Edge(cause="a", effect="c", why="guessed"))
    prior = replace(cr.Graph.from_edges([], roles=dict.fromkeys("abc", "engine")), edges=edges)
    found = cr.discover(data, prior, resamples=40)
    shown, unshown = found.edges
    assert shown.why == "known"
    assert unshown.why.startswith("guessed; the data do not show it: joined in")
    assert unshown.support is not None
    assert unshown.support < 0.05
    again = cr.discover(data, found, resamples=40)
    assert again.edges == found.edges


def test_the_true_serving_graph_is_not_contradicted() -> None:
    found = cr.discover(serving_world(7)[0], serving_graph(), resamples=10)
    assert not [edge for edge in found.edges if "the data do not show it" in edge.why]
