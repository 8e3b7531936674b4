"""Effects past a hidden cause: by a front door, by an instrument, or refused; references and refuters beside."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import polars as pl
import pytest
from telemetry_worlds import hidden_world, telemetry_world
from worlds import ROLES

import causalrel as cr
from causalrel.bridges import dowhy
from causalrel.identification import find_front_door, is_front_door, is_instrument, list_front_doors, list_instruments

SKILL = {"skill": ["batch_size", "ttft"]}


def ask(world, **question):
    return cr.effect(world.windows, world.graph, of="batch_size", on=world.on, levels=(4, 8), **question)


@pytest.fixture(scope="module")
def door():
    return hidden_world(3, way="front door", outcome="continuous")


@pytest.fixture(scope="module")
def moved():
    return hidden_world(3, way="instrument", outcome="continuous")


def naive(world) -> float:
    means = world.windows.table.group_by("batch_size").agg(pl.col(world.on).mean()).sort("batch_size")
    return float(means[world.on].diff()[-1])


@pytest.mark.parametrize("outcome", ["continuous", "rare event"])
def test_a_front_door_holds_the_truth_and_says_so(outcome: str) -> None:
    world = hidden_world(4, way="front door", outcome=outcome)
    answer = ask(world)
    row = answer.frame(prob=0.99).filter(pl.col("quantity").is_in(["value", "bad_share"])).row(0, named=True)
    assert answer.verdict == "answered"
    assert row["low"] <= world.truth() <= row["high"]
    assert "the front door does" in answer.method
    assert any("queue_s carries all of the effect, holding load fixed" in check.says for check in answer.checks)


def test_a_front_door_is_far_from_the_naive_difference(door) -> None:
    row = ask(door).select(quantity="value").frame(prob=0.999).row(0, named=True)
    assert not row["low"] <= naive(door) <= row["high"]


def test_a_front_door_adds_up_and_depends_on_the_seed_alone(door) -> None:
    answer = ask(door)
    at = answer.select(quantity="value_at").draws
    assert np.allclose(at[:, 1] - at[:, 0], answer.select(quantity="value").draws[:, 0])
    assert np.array_equal(answer.draws, ask(door).draws)
    assert not np.array_equal(answer.draws, ask(door, seed=1).draws)


def test_a_front_door_without_memory_is_the_product_of_both_slopes() -> None:
    """Straight lines by least squares: the slope into the mediator times the slope out of it, within one sd of ours."""
    world = hidden_world(3, way="front door", outcome="continuous", memory=0.0)
    table = world.windows.table
    x = np.column_stack([np.ones(table.height), table["batch_size"] == 8, np.log(table["load"])]).astype(float)
    into = np.linalg.lstsq(x, table["queue_s"].to_numpy(), rcond=None)[0][1]
    out = np.linalg.lstsq(np.column_stack([x, table["queue_s"]]), table["latency"].to_numpy(), rcond=None)[0][3]
    draws = ask(world).select(quantity="value").draws
    assert draws.mean() == pytest.approx(into * out, abs=draws.std())


@pytest.mark.parametrize("outcome", ["continuous", "rare event"])
def test_an_instrument_holds_the_truth_and_is_bounded(outcome: str) -> None:
    world = hidden_world(5, way="instrument", outcome=outcome)
    answer = ask(world)
    row = answer.frame(prob=0.99).filter(pl.col("quantity").is_in(["value", "bad_share"])).row(0, named=True)
    assert answer.verdict == "bounded"
    assert row["low"] <= world.truth() <= row["high"]
    assert "instrument wave" in answer.method
    assert "whose batch_size wave moves, not of all" in answer.why
    assert not answer.terms["quantity"].str.ends_with("_at").any()


def test_an_instrument_that_hardly_moves_is_refused() -> None:
    answer = ask(hidden_world(3, way="instrument", outcome="continuous", pull=0.0))
    assert answer.verdict == "refused"
    assert "the Anderson-Rubin interval of 99.9% is unbounded" in answer.why


def test_an_instrument_answers_in_proportion_and_of_categories_too(moved) -> None:
    half = cr.effect(moved.windows, moved.graph, of="batch_size", on="latency", levels=(8, 4))
    whole = ask(moved)
    assert half.draws.mean() == pytest.approx(-whole.draws.mean())
    table = moved.windows.table.with_columns(pl.col("batch_size").cast(pl.String))
    variables = tuple(
        replace(one, kind="category", unit="") if one.name == "batch_size" else one for one in moved.windows.variables
    )
    named = replace(moved.windows, table=table, variables=variables)
    answer = cr.effect(named, moved.graph, of="batch_size", on="latency", levels=("4", "8"))
    assert answer.draws.mean() == pytest.approx(whole.draws.mean(), rel=0.01)


def test_neither_way_is_refused_and_says_so() -> None:
    edges = [("load", "batch_size"), ("load", "ttft"), ("batch_size", "ttft")]
    graph = cr.Graph.from_edges(edges, roles=ROLES, unmeasured=SKILL)
    world = telemetry_world(1, memory=0.0, hold="60 min", shape="linear", outcome="rare event", count=288)
    answer = cr.effect(world.windows, graph.project(world.windows.names), of="batch_size", on="ttft")
    assert answer.verdict == "refused"
    assert "without front door or instrument" in answer.why


def test_ways_agree_with_dowhy_and_with_the_lists() -> None:
    edges = [("batch_size", "queue_s"), ("queue_s", "ttft")]
    graph = cr.Graph.from_edges(edges, roles=ROLES, unmeasured=SKILL)
    found = dowhy.identify(graph, of="batch_size", on="ttft")
    outer = {short: name for name, short in found.inner.items()}
    door = find_front_door(graph, "batch_size", "ttft", among=graph.names)
    assert door is not None
    assert [outer[name] for name in found.estimand.get_frontdoor_variables()] == [door.mediator]
    assert (door.mediator,) in list_front_doors(graph, "batch_size", "ttft")
    assert find_front_door(graph, "batch_size", "ttft", among=["load"]) is None
    moved = cr.Graph.from_edges([("load", "batch_size"), ("batch_size", "ttft")], roles=ROLES, unmeasured=SKILL)
    found = dowhy.identify(moved, of="batch_size", on="ttft")
    outer = {short: name for name, short in found.inner.items()}
    listed = list_instruments(moved, "batch_size", "ttft")
    assert [outer[name] for name in found.estimand.get_instrumental_variables()] == [one.name for one in listed]
    assert is_instrument(moved, "batch_size", "ttft", listed[0])


def test_a_mediator_that_the_hidden_cause_reaches_is_no_front_door() -> None:
    edges = [("batch_size", "queue_s"), ("queue_s", "ttft")]
    graph = cr.Graph.from_edges(edges, roles=ROLES, unmeasured={"skill": ["batch_size", "queue_s", "ttft"]})
    assert find_front_door(graph, "batch_size", "ttft", among=graph.names) is None
    told = cr.Graph.from_edges(edges, roles=ROLES, unmeasured=SKILL)
    door = find_front_door(told, "batch_size", "ttft", among=told.names)
    assert door is not None
    assert not is_front_door(graph, "batch_size", "ttft", door)


@pytest.fixture(scope="module")
def plain():
    return telemetry_world(3, memory=0.9, hold="60 min", shape="linear", outcome="continuous", count=720)


def test_references_are_told_with_their_figures_and_leave_the_answer_alone(plain) -> None:
    names = ("backdoor.linear_regression", "backdoor.propensity_score_weighting")
    alone, beside = ask(plain), ask(plain, beside=names)
    told = {check.name: check.says for check in beside.checks if check.name.startswith("beside")}
    assert list(told) == [f"beside {name}" for name in names]
    assert all("takes windows as independent" in says for says in told.values())
    assert np.array_equal(alone.draws, beside.draws)
    assert beside.verdict == alone.verdict
    table = plain.windows.table
    x = np.column_stack([np.ones(table.height), table["batch_size"] == 8, table["load"]]).astype(float)
    slope = np.linalg.lstsq(x, table["latency"].to_numpy(), rcond=None)[0][1]
    assert f"changes by {slope:.3g} [" in told["beside backdoor.linear_regression"]


def test_refuters_become_checks_and_find_nothing_in_a_right_answer(plain) -> None:
    names = ("random_common_cause", "data_subset_refuter", "placebo_treatment_refuter")
    made = {check.name: check for check in ask(plain, refuters=names).checks if check.name in names}
    assert list(made) == list(names)
    assert all("10 times" in check.says and check.passed for check in made.values())


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ({"beside": ["backdoor.linear_regresion"]}, "did you mean 'backdoor.linear_regression'"),
        ({"beside": ["econml.dml.NoSuchThing"]}, "there is no reference beside an effect"),
        (
            {"refuters": ["bootstrap_refuter"]},
            "repeats windows, which no chain in time allows; ask data_subset_refuter",
        ),
        ({"refuters": ["random_comon_cause"]}, "did you mean 'random_common_cause'"),
        ({"refuters": ["random_common_cause"], "design": "rollout"}, "nothing is told beside a rollout"),
    ],
)
def test_an_unknown_name_gets_one_sentence(plain, question, says) -> None:
    with pytest.raises(cr.CausalrelError, match=says) as caught:
        ask(plain, **question)
    assert "\n" not in caught.value.message


@pytest.mark.skipif(find_spec("econml") is not None, reason="econml is installed")
def test_econml_that_is_absent_is_asked_for(plain) -> None:
    with pytest.raises(cr.CausalrelError, match="needs econml, which is not installed; install econml"):
        ask(plain, beside=["backdoor.econml.dml.LinearDML"])


@pytest.mark.skipif(find_spec("econml") is None, reason="econml is not installed")
def test_econml_is_told_beside(plain) -> None:
    answer = ask(plain, beside=["econml.dml.LinearDML"])
    assert any(check.name == "beside econml.dml.LinearDML" for check in answer.checks)


def test_past_a_hidden_cause_references_are_not_told(door) -> None:
    answer = ask(door, beside=["backdoor.linear_regression"])
    assert "asked of the back door alone" in answer.why
