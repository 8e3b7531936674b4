"""Mediators: what goes through them and past them, and no parts where the graph does not tell them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from mediated_worlds import mediated_world

import causalrel as cr
from causalrel.identification import find_mediation

ROLES = {"load": "workload", "batch": "config", "running": "engine", "queue": "engine", "slo": "outcome"}
PATHS = [("batch", "queue"), ("queue", "slo"), ("batch", "slo")]


def graph_of(*more, unmeasured=None):
    edges = [*PATHS, *more]
    named = {name for edge in edges for name in edge}
    return cr.Graph.from_edges(edges, roles={k: v for k, v in ROLES.items() if k in named}, unmeasured=unmeasured or {})


@pytest.mark.parametrize(
    ("more", "fixed", "moved"),
    [
        ([], (), ()),
        ([("load", "queue"), ("load", "slo")], ("load",), ()),
        ([("load", "batch"), ("load", "queue")], ("load",), ()),
        ([("batch", "running"), ("running", "queue")], (), ()),
        ([("batch", "running"), ("running", "slo")], (), ()),
        ([("batch", "running"), ("running", "queue"), ("running", "slo")], (), ("running",)),
    ],
)
def test_what_identifies_the_parts(more, fixed, moved) -> None:
    found = find_mediation(graph_of(*more), "batch", "slo", ["queue"])
    assert (found.fixed, found.moved, found.reason) == (fixed, moved, "")
    assert found.natural == (not moved)


def test_a_block_that_takes_in_what_was_moved_is_natural() -> None:
    graph = graph_of(("batch", "running"), ("running", "queue"), ("running", "slo"))
    found = find_mediation(graph, "batch", "slo", ["queue", "running"])
    assert found.natural
    assert found.through == ("running", "queue")


@pytest.mark.parametrize(
    ("unmeasured", "says"),
    [({"skill": ["queue", "slo"]}, "skill moves both queue and slo"), ({"skill": ["batch", "queue"]}, "share")],
)
def test_a_hidden_cause_forbids_the_parts(unmeasured, says) -> None:
    assert says in find_mediation(graph_of(unmeasured=unmeasured), "batch", "slo", ["queue"]).reason


def test_a_cause_that_moves_mediator_and_outcome_apart_is_enough() -> None:
    """What was moved shares a hidden cause with the outcome, and closes the way from mediator to outcome."""
    graph = graph_of(("batch", "running"), ("running", "queue"), unmeasured={"skill": ["running", "slo"]})
    assert find_mediation(graph, "batch", "slo", ["queue"]).moved == ("running",)


def ask(world, **more):
    asked = {"of": "batch_size", "on": world.on, "levels": (4, 8), "through": "queue_s", "draws": 500}
    return cr.effect(world.windows, world.graph, **{**asked, **more})


@pytest.fixture(scope="module")
def events():
    world = mediated_world(3, outcome="events", count=900)
    return world, ask(world)


def test_parts_add_up_in_each_draw_and_unit(events) -> None:
    world, answer = events
    for quantity in ("burn", "bad_share", "events", "budget_hours"):
        total, through, direct = (
            answer.select(quantity=quantity, path=p).draws for p in ("total", "through", "direct")
        )
        assert np.abs(through + direct - total).max() < 1e-9 * max(1.0, np.abs(total).max())
    share = answer.select(quantity="mediated_share").draws[:, 0]
    assert np.allclose(share, answer.select(quantity="burn", path="through").draws[:, 0] / answer.draws[:, 0])
    assert abs(share.mean() - world.through / world.total) < 4 * share.std()


def test_the_total_is_the_one_told_without_mediators(events) -> None:
    world, answer = events
    alone = ask(world, through=None).select(quantity="burn").draws[:, 0]
    total = answer.select(quantity="burn", path="total").draws[:, 0]
    assert abs(alone.mean() - total.mean()) < alone.std()
    assert next(check for check in answer.checks if check.name == "the same total").passed


def test_the_answer_shows_its_parts(events) -> None:
    from causalrel.reports.blocks import effect_tables

    told = effect_tables([events[1]], "week")[1]
    assert told["caption"] == "Parts of what a setting changes"
    assert [row[2] for row in told["rows"]] == ["total", "through", "direct"]
    assert [row[-1] is None for row in told["rows"]] == [True, False, True]


def test_same_seed_same_draws(events) -> None:
    world, answer = events
    assert np.array_equal(ask(world).draws, answer.draws)


@pytest.mark.parametrize(("direct", "along", "share"), [(1.0, 0.0, 0.0), (0.0, 1.0, 1.0), (-1.0, 2.0, 2.0)])
def test_nothing_all_and_more_than_all(direct, along, share) -> None:
    answer = ask(mediated_world(5, outcome="number", direct=direct, along=along))
    told = answer.select(quantity="mediated_share").frame(prob=0.99).row(0, named=True)
    assert told["low"] <= share <= told["high"]
    assert told["high"] - told["low"] < 0.6 * max(1.0, share)


def test_no_share_of_a_total_that_is_not_told_apart_from_zero() -> None:
    answer = ask(mediated_world(6, outcome="number", direct=-1.0, along=1.0))
    assert "mediated_share" not in answer.terms["quantity"].to_list()
    assert any("no share of it is told" in check.says for check in answer.checks)
    assert answer.select(quantity="value", path="through").chance(above=0) > 0.99


def test_a_block_and_what_was_moved() -> None:
    world = mediated_world(7, outcome="number", before=0.8)
    alone, block = ask(world), ask(world, through=["queue_s", "running"])
    assert "interventional effects, as running follows" in alone.method
    assert "natural effects" in block.method
    for answer, truth in ((alone, world.through), (block, world.through + 0.5 * 0.8)):
        part = answer.select(quantity="value", path="through").frame(prob=0.99).row(0, named=True)
        assert part["low"] <= truth <= part["high"]


def test_refusals_say_why(events) -> None:
    world, _ = events
    hidden = cr.Graph.from_edges(
        [(edge.cause, edge.effect) for edge in world.graph.edges],
        roles={variable.name: variable.role for variable in world.graph.variables},
        unmeasured={"skill": ["queue_s", world.on]},
    )
    refused = ask(world._replace(graph=hidden))
    assert (refused.verdict, refused.why) == ("refused", "skill moves both queue_s and ttft")
    still = replace(world.windows, table=world.windows.table.with_columns(queue_s=pl.lit(1.0)))
    assert ask(world._replace(windows=still)).why == "queue_s never varied"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"through": "quue_s"}, "did you mean 'queue_s'"),
        ({"through": "batch_size"}, "'batch_size' is no mediator"),
        ({"design": "rollout"}, "a mediator is not told of a rollout"),
    ],
)
def test_questions_that_name_no_mediator(events, more, says) -> None:
    with pytest.raises(cr.CausalrelError, match=says):
        ask(events[0], **more)
