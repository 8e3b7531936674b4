"""Discovery: tiers kept, the prior kept with its support, the same with the same seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from worlds import serving_graph, serving_world

import causalrel as cr


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
    assert "load" not in cr.discover(replace(windows, table=still), resamples=1).names
    dead = windows.table.with_columns(
        *[pl.lit(1.0).alias(v.name) for v in windows.variables], pl.lit(0, dtype=pl.Int64).alias("ttft.bad")
    )
    with pytest.raises(cr.CausalrelError, match="nothing varies"):
        cr.discover(replace(windows, table=dead), resamples=1)


def test_bridge_codes_survive_any_name() -> None:
    from causalrel.bridges.pgmpy import hill_climb

    rng = np.random.default_rng(0)
    cause = rng.integers(2, size=400)
    codes = {"a b [0]": cause, "__class__": np.where(rng.random(400) < 0.9, cause, 1 - cause)}
    edges, loose = hill_climb(codes, tiers=[list(codes)])
    assert {frozenset(e) for e in edges} == {frozenset(codes)}
    assert loose == {frozenset(codes)}
