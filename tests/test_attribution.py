"""Attribution: sums that close, the planted cause first, spans that make sense."""

from __future__ import annotations

import numpy as np
import pytest
from attribution_worlds import pair_world, told_pairs
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import serving_graph, serving_world

import causalrel as cr
from causalrel.attribution import _paired
from causalrel.attribution.coalitions import coalitions_of, interactions, list_steps, shapley
from causalrel.reports.outputs import render
from causalrel.variables import parse_time

BAD = ("2026-02-15T09:00", "2026-02-16T00:00")


@pytest.fixture(scope="module")
def asked():
    windows, _ = serving_world(5)
    return windows, cr.fit(windows, serving_graph())


def ledger(answer, quantity="burn"):
    part = answer.select(quantity=quantity)
    return dict(zip(part.terms["driver"], part.draws.T, strict=True))


@pytest.mark.parametrize("quantity", ["events", "burn", "budget_hours"])
def test_every_draw_adds_up_to_the_observed_change(asked, quantity) -> None:
    parts = ledger(cr.attribute(*asked, during=BAD), quantity)
    total = parts.pop("total")
    assert np.abs(sum(parts.values()) - total).max() < 1e-9 * max(1, np.abs(total).max())
    assert np.ptp(total) == 0


def test_total_is_the_exact_change_of_burn(asked) -> None:
    windows, network = asked
    during, against = BAD, ("2026-02-10T00:00", "2026-02-12T00:00")
    answer = cr.attribute(windows, network, during=during, against=against, on="ttft")
    burns = []
    for span in (during, against):
        rows = windows.during(*(parse_time(t, "t") for t in span))
        burns.append(rows["ttft.bad"].sum() / rows["ttft.total"].sum() / 0.05)
    assert ledger(answer)["total"][0] == pytest.approx(burns[0] - burns[1], abs=1e-12)


def test_the_planted_cause_explains_most(asked) -> None:
    parts = ledger(cr.attribute(*asked, during=BAD))
    total = parts.pop("total")[0]
    biggest = max(parts, key=lambda name: abs(parts[name].mean()))
    assert biggest == "sm_clock_mhz"
    assert parts[biggest].mean() / total > 0.6


def test_roles_are_carried_for_sums_by_role(asked) -> None:
    terms = cr.attribute(*asked, during=BAD).terms
    roles = dict(zip(terms["driver"], terms["role"], strict=True))
    assert roles["sm_clock_mhz"] == "hardware"
    assert roles["unexplained"] == ""


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ({"during": ("2026-03-01", "2026-03-02")}, "lies outside the data"),
        ({"during": ("2026-02-12", "2026-02-11")}, "ends before it starts"),
        ({"during": ("2026-02-12T00:00", "2026-02-12T01:00")}, "holds 2 complete windows and 3 are the least"),
        ({"during": BAD, "against": ("2026-02-15T00:00", "2026-02-15T12:00")}, "overlap"),
        ({"during": ("monday", "tuesday")}, "'monday' is not a time"),
        ({"during": BAD, "on": "ttff"}, "did you mean 'ttft'"),
    ],
)
def test_bad_span_gets_one_sentence(asked, question, says) -> None:
    with pytest.raises(cr.CausalrelError, match=says) as caught:
        cr.attribute(*asked, **question)
    assert "\n" not in caught.value.message


@given(st.lists(st.floats(0.5, 50), min_size=1, max_size=12), st.lists(st.floats(0.5, 50), min_size=1, max_size=12))
@settings(max_examples=100, deadline=None)
def test_pairing_keeps_both_margins(now, before) -> None:
    left, right, mass = _paired(np.array(now), np.array(before))
    assert np.allclose(np.bincount(left, mass, len(now)), np.array(now) / sum(now))
    assert np.allclose(np.bincount(right, mass, len(before)), np.array(before) / sum(before))


def test_draws_on_some_pairs_say_what_draws_on_all_pairs_say(monkeypatch) -> None:
    windows, _ = serving_world(days=28, units=8)
    network = cr.fit(windows, serving_graph())
    asked = {"during": (windows.span[1] - windows.width * 24, windows.span[1])}
    every = ledger(cr.attribute(windows, network, **asked))
    monkeypatch.setattr("causalrel.attribution.coalitions._MOST_RUNS", 1)
    few = ledger(cr.attribute(windows, network, **asked))
    assert any((few[name] != every[name]).any() for name in few)
    for name, draws in every.items():
        assert abs(few[name].mean() - draws.mean()) <= 0.05 * draws.std() + 1e-12
        assert few[name].std() == pytest.approx(draws.std(), rel=0.1, abs=1e-12)


def played(worth, names):
    """A game's worths and steps."""
    steps = list_steps(names, np.random.default_rng(0))
    return {chosen: np.array([float(worth(chosen))]) for chosen in coalitions_of(steps)}, steps


def test_shapley_of_an_additive_and_of_an_interacting_game() -> None:
    worths = {"a": 1.0, "b": 2.0, "c": -0.5}
    additive = shapley(*played(lambda s: sum((worths[n] for n in s), 0.0), list(worths)))
    assert {n: v[0] for n, v in additive.items()} == pytest.approx(worths)
    both = shapley(*played({"a", "b"}.issubset, ["a", "b", "c"]))
    assert [both[n][0] for n in "abc"] == pytest.approx([0.5, 0.5, 0.0])


def test_interactions_are_what_two_add_together_and_each_bears_half() -> None:
    """A product of two, a product of three (a third of it to each pair and half of that again), and a sum."""
    names = ["a", "b", "c", "d"]

    def game(chosen):
        return 2.0 * ({"a", "b"} <= chosen) + 3.0 * ({"a", "b", "c"} <= chosen) + ("d" in chosen)

    found = {pair: value[0] for pair, value in interactions(played(game, names)[0], names).items()}
    assert found["a", "b"] == pytest.approx(2.0 + 1.5)
    assert found["a", "c"] == found["b", "c"] == pytest.approx(1.5)
    assert all(found[pair] == pytest.approx(0) for pair in found if "d" in pair)
    many = [f"d{i}" for i in range(11)]
    assert interactions(played(len, many)[0], many) == {}


def test_interactions_need_no_coalition_beside_those_of_the_orders() -> None:
    worths, _ = played(lambda chosen: len(chosen) ** 2.0, list("abcd"))
    assert len(worths) == 16
    assert interactions(worths, list("abcd"))["a", "b"] == pytest.approx([2.0])


def test_two_drivers_that_multiply_are_named() -> None:
    incident = pair_world(2, base=0.02, step=1.0)
    answer = told_pairs(incident)
    both = answer.select(quantity="interaction")
    assert both.terms["driver"].to_list() == ["power and depth"]
    truth = incident.shares["both"] / 0.05
    assert both.frame(0.99)["low"][0] < truth < both.frame(0.99)["high"][0]
    said = answer.said("drivers together")
    assert said.startswith("power and depth act together: ")
    assert "of the change of slow came only as both moved, and each bears half of it" in said
    for form in ("text", "md", "html"):
        assert "act together" in render(answer, form)
        assert "What came only as both moved" in render(answer, form)
    parts = ledger(answer)
    assert np.abs(sum(part for name, part in parts.items() if name != "total") - parts["total"]).max() < 1e-9


def test_two_drivers_that_add_are_not_named() -> None:
    answer = told_pairs(pair_world(2, base=0.35, step=0.6))
    assert "interaction" not in answer.terms["quantity"]
    assert answer.said("drivers together") == "no two drivers act together by 20% of the change or more"
    assert "both moved" not in render(answer, "text")


def test_sampled_orders_agree_with_all_orders() -> None:
    names = [f"d{i}" for i in range(12)]
    pull = {n: i - 5.0 for i, n in enumerate(names)}

    def worth(chosen):
        return sum(pull[n] for n in chosen) + float({"d0", "d1"} <= chosen)

    sampled = shapley(*played(worth, names))
    assert sum(v[0] for v in sampled.values()) == pytest.approx(sum(pull.values()) + 1)
    assert sampled["d5"][0] == pytest.approx(0.0)
    assert sampled["d0"][0] == pytest.approx(-4.5, abs=0.25)
