"""Recommendations: the cheapest that is sure enough, by hand, with the reason where there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from verdict_worlds import rollout
from worlds import serving_graph

import causalrel as cr
from causalrel.reports import extracts
from causalrel.reports.outputs import render

OVER = {"batch_size": None}
COST = "40 / batch_size"
#: Between the chances of the configurations, so that some reach it and some do not.
P = 0.85


@pytest.fixture(scope="module")
def asked():
    windows = rollout(3, levels=(4, 8, 16)).windows
    slo = replace(windows.slos[0], target=1 - 1.2 * windows.slos[0].allowed)
    windows = replace(windows, slos=(slo,))
    return windows, cr.fit(windows, serving_graph())


@pytest.fixture(scope="module")
def answer(asked):
    return cr.recommend(*asked, over=OVER, cost=COST, p=P)


def test_the_cheapest_that_reaches_p_is_recommended(answer) -> None:
    points = extracts.frontier(answer)
    reach = [point for point in points if point.met >= P]
    assert answer.decision == min(reach, key=lambda point: point.cost).name
    assert min(point.met for point in points) < P


def test_each_chance_and_cost_is_that_of_the_what_if(asked, answer) -> None:
    for size in (4, 6, 12):
        alone = cr.whatif(*asked, do={"batch_size": size})
        met = float((alone.select(quantity="burn", scenario="changed").draws <= 1).all(axis=1).mean())
        mine = answer.select(configuration=f"batch_size = {size}")
        assert mine.select(quantity="met").draws.mean() == pytest.approx(met)
        assert mine.select(quantity="cost").draws.mean() == pytest.approx(40 / size)


def test_the_frontier_is_never_beaten(answer) -> None:
    points = extracts.frontier(answer)
    for point in points:
        better = [q for q in points if q.cost <= point.cost and q.met >= point.met and q.name != point.name]
        strictly = [q for q in better if (q.cost, q.met) != (point.cost, point.met)]
        assert point.beaten == bool(strictly)


def test_as_is_stands_beside_them(answer) -> None:
    now = answer.select(configuration="as is", quantity="cost").draws.mean()
    assert now == pytest.approx(10)
    assert "as is" in answer.said("decision")


def test_an_interpolated_choice_is_bounded(asked) -> None:
    answer = cr.recommend(*asked, over={"batch_size": (6,)}, cost=COST, p=0.5)
    assert (answer.decision, answer.verdict) == ("batch_size = 6", "bounded")
    assert "batch_size lies between 4 and 8" in answer.why


def test_what_was_never_seen_is_left_out_and_said(asked) -> None:
    answer = cr.recommend(*asked, over={"batch_size": (8, 64)}, cost=COST, p=0.5)
    assert not any("64" in point.name for point in extracts.frontier(answer))
    assert "batch_size = 64 was never seen" in answer.said("seen")


def test_no_support_at_all_is_refused(asked) -> None:
    answer = cr.recommend(*asked, over={"batch_size": (64,)}, cost=COST)
    assert answer.verdict == "refused"
    assert "0 configurations have support" in answer.why


def test_none_that_is_sure_enough_is_refused_with_the_best(asked) -> None:
    windows, _ = asked
    hard = replace(windows, slos=(replace(windows.slos[0], target=0.9999),))
    answer = cr.recommend(hard, cr.fit(hard, serving_graph()), over=OVER, cost=COST)
    assert answer.verdict == "refused"
    assert "no configuration reaches 0.95: the best is" in answer.why


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ({"p": 1.0}, "1.0 is no probability to reach"),
        ({"p": float("nan")}, "is no probability"),
        ({"over": {}}, "nothing may be chosen"),
        ({"over": {"load": None}}, "role workload, which nobody can set"),
        ({"over": {"bacth_size": None}}, "did you mean 'batch_size'"),
        ({"over": {"batch_size": ("four",)}}, "'four' is no number"),
        ({"over": {"batch_size": [4 + i / 100 for i in range(300)]}}, "300 configurations are more than 200"),
        ({"cost": "batch_size > 4"}, "gives no cost"),
        ({"cost": "price"}, "price"),
        ({"cost": "1 / (batch_size - batch_size)"}, "gives no cost"),
        ({"horizon": "0d"}, "is not a duration"),
    ],
)
def test_bad_question_gets_one_sentence(asked, question, says) -> None:
    with pytest.raises(cr.CausalrelError, match=says.replace("(", r"\(")) as caught:
        cr.recommend(*asked, **{"over": OVER, "cost": COST, **question})
    assert "\n" not in caught.value.message


def test_what_never_varied_cannot_be_chosen(asked) -> None:
    windows, _ = asked
    constant = replace(windows, table=windows.table.with_columns(batch_size=pl.lit(4, dtype=pl.Int64)))
    with pytest.raises(cr.CausalrelError, match="'batch_size' was 4 throughout, so nothing can be chosen"):
        cr.recommend(constant, cr.fit(constant, serving_graph()), over=OVER, cost=COST)


@pytest.mark.parametrize("form", ["text", "md", "html", "json"])
def test_it_is_printed(answer, form: str) -> None:
    assert answer.decision in render(answer, form).replace("\\", "")


def test_the_picture_says_what_is_recommended(answer) -> None:
    ax = cr.plot(answer)
    assert answer.decision in ax.get_title(loc="left").replace("\n", " ")
    labels = {text.get_text() for text in ax.get_legend().get_texts()}
    assert {"recommended", "seen", "interpolated"} <= labels
    assert any(np.isclose(line.get_ydata(), 100 * P).all() for line in ax.lines)
