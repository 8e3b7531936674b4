"""Scenarios: paired futures, known limits, and refusals."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from worlds import EDGES, ROLES, serving_graph, serving_world

import causalrel as cr


@pytest.fixture(scope="module")
def asked():
    windows, _ = serving_world(6)
    return windows, cr.fit(windows, serving_graph())


def test_doing_nothing_is_the_forecast(asked) -> None:
    assert cr.whatif(*asked, do={}).facts() == cr.forecast(*asked).facts()


def test_setting_what_already_is_changes_nothing(asked) -> None:
    windows, network = asked
    constant = replace(windows, table=windows.table.with_columns(batch_size=pl.lit(4, dtype=pl.Int64)))
    network = cr.fit(constant, serving_graph())
    answer = cr.whatif(constant, network, do={"batch_size": 4}, horizon="2d")
    difference = answer.select(scenario="difference").draws
    assert np.abs(difference).max() == 0


def test_as_is_is_the_same_beside_a_change(asked) -> None:
    alone = cr.forecast(*asked, horizon="3d").select(scenario="as is", slo="ttft")
    beside = cr.whatif(*asked, do={"batch_size": 4}, horizon="3d").select(scenario="as is", slo="ttft")
    assert np.array_equal(alone.draws, beside.draws)


def test_spent_grows_and_adds_up_with_events(asked) -> None:
    windows, network = asked
    answer = cr.forecast(windows, network, horizon="7d")
    spent = answer.select(quantity="spent").draws
    assert (np.diff(spent, axis=1) >= 0).all()
    bad, total = windows.table["ttft.bad"].sum(), windows.table["ttft.total"].sum()
    events = answer.select(quantity="events").draws[:, 0]
    share = answer.select(quantity="bad_share").draws[:, 0]
    assert np.allclose(spent[:, -1], (bad + events) / ((total + events / share) * 0.05))


def test_mending_the_clock_and_the_batch_lowers_the_burn(asked) -> None:
    answer = cr.whatif(*asked, do={"batch_size": 4, "sm_clock_mhz": 1980})
    assert answer.select(quantity="burn", scenario="difference").chance(above=0) < 0.05


def test_expression_works_on_last_seen_values(asked) -> None:
    halved = cr.whatif(*asked, do={"batch_size": "batch_size / 2 + 2"}, horizon="1d")
    assert halved.verdict != "refused" or "never seen" in halved.why


def test_labels_that_a_graph_takes_for_numbers_stay_as_last_seen() -> None:
    rng = np.random.default_rng(0)
    hours = np.arange(14 * 24)
    frame = pl.DataFrame(
        {
            "t": [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=int(hour)) for hour in hours],
            "model": np.where(hours // 24 % 2 == 0, "a", "b"),
            "n": rng.poisson(200, len(hours)),
            "bad": rng.binomial(100, 0.01, len(hours)),
        }
    )
    windows = cr.Windows.from_frame(frame, time="t", roles={"model": "config"}, events={"slow": ("n", "bad")})
    graph = cr.Graph.from_edges([("model", "slow")], roles={"model": "config", "slow": "outcome"})
    network = cr.fit(windows, graph)
    as_is = cr.forecast(windows, network, horizon="1d").select(quantity="events")
    same = cr.whatif(windows, network, do={"model": "b"}, horizon="1d").select(quantity="events", scenario="changed")
    assert np.array_equal(as_is.draws, same.draws)


def test_a_value_never_seen_is_refused(asked) -> None:
    answer = cr.whatif(*asked, do={"batch_size": 256})
    assert answer.verdict == "refused"
    assert "batch_size = 256 was never seen" in answer.why


def test_a_hidden_cause_in_between_is_refused() -> None:
    windows, _ = serving_world(6)
    graph = cr.Graph.from_edges(EDGES, roles=ROLES, unmeasured={"skill": ["batch_size", "ttft"]})
    answer = cr.whatif(windows, cr.fit(windows, graph), do={"batch_size": 4})
    assert answer.verdict == "refused"
    assert "skill" in answer.why


def test_a_quiet_weekend_is_foretold_where_weeks_had_one() -> None:
    windows, _ = serving_world(6, days=18)
    quiet = pl.when(pl.col("time").dt.weekday() >= 6).then(0.3).otherwise(1.0)
    counts = [(pl.col(name) * quiet).round().cast(pl.Int64) for name in ("ttft.total", "ttft.bad")]
    weekly = replace(windows, table=windows.table.with_columns(counts))
    answer = cr.forecast(weekly, cr.fit(weekly, serving_graph()), horizon="5d")  # from a Friday on
    seen, allowed = answer.select(quantity="spent"), windows.slo("ttft").allowed
    bad, total = (weekly.table[f"ttft.{part}"].sum() for part in ("bad", "total"))
    events, share = (answer.select(slo="ttft", quantity=name).draws[:, 0] for name in ("events", "bad_share"))
    assert seen.draws[:, -1] == pytest.approx((bad + events) / ((total + events / share) * allowed))
    daily = weekly.table.group_by(day=pl.col("time").dt.date()).agg(pl.col("ttft.total").sum())
    mean = [daily.filter((pl.col("day").dt.weekday() >= 6) == late)["ttft.total"].mean() for late in (False, True)]
    assert np.median(events / share) == pytest.approx(3 * mean[0] + 2 * mean[1], rel=0.1)


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ({"do": {"ttft": 1}}, "role outcome, which nobody can set"),
        ({"do": {"load": 1}}, "role workload, which nobody can set"),
        ({"do": {"bacth_size": 1}}, "did you mean 'batch_size'"),
        ({"do": {"batch_size": "read_csv('/etc/passwd')"}}, "cannot use the expression"),
        ({"do": {"batch_size": 4}, "horizon": "0d"}, "is not a duration"),
        ({"do": {"batch_size": 4}, "horizon": "90d"}, "longer than the 28 days"),
    ],
)
def test_bad_question_gets_one_sentence(asked, question, says) -> None:
    with pytest.raises(cr.CausalrelError, match=says) as caught:
        cr.whatif(*asked, **question)
    assert "\n" not in caught.value.message


def test_less_than_two_days_cannot_be_forecast(asked) -> None:
    windows, _ = asked
    short = replace(windows, table=windows.table.filter(pl.col("time") < windows.span[0] + pl.duration(hours=40)))
    with pytest.raises(cr.CausalrelError, match="hold 1 of them; two are the least"):
        cr.forecast(short, cr.fit(short, serving_graph()))
