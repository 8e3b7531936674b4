"""Drift of mechanisms, told from shifts of inputs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from drift_worlds import alarms_of, drifting_world
from worlds import START, serving_graph, serving_world

import causalrel as cr


def test_a_queue_that_drifts_is_found_dated_and_sized() -> None:
    answer = cr.drift(drifting_world(900, queue=0.3), serving_graph())
    assert [check.name for check in answer.failed] == ["queue_s: drift"]
    row = answer.select(slo="queue_s").frame().row(0, named=True)
    assert abs(row["since"] - (START + timedelta(days=17))) < timedelta(days=3)
    late = drifting_world(900, queue=0.3).table.filter(pl.col("time") >= row["since"])
    usual = drifting_world(900).table.filter(pl.col("time") >= row["since"])
    assert row["low"] < late["queue_s"].mean() - usual["queue_s"].mean() < row["high"]


@pytest.mark.slow
def test_shifts_of_load_are_seldom_called_drift_and_told_as_shifts() -> None:
    """Of 20 months at most 3 (more has a chance below 1 % at 4 % each)."""
    assert sum(bool(alarms_of(seed, "load shifts by half")) for seed in range(910, 930)) <= 3
    answer = cr.drift(drifting_world(911, load=0.8), serving_graph())
    assert answer.said("load: shift").startswith("load shifted about ")


@pytest.mark.long
def test_a_bad_share_that_drifts_is_found_in_half_of_the_months() -> None:
    """Of 12 months at least 3 (fewer has a chance below 2 % at one in two)."""
    assert sum("ttft" in alarms_of(seed, "bad share by half as much again") for seed in range(940, 952)) >= 3


def test_the_same_seed_says_the_same() -> None:
    windows, _ = serving_world(days=5, units=2)
    first = cr.drift(windows, serving_graph(), draws=20)
    again = cr.drift(windows, serving_graph(), draws=20)
    assert first.terms.equals(again.terms)
    assert (first.draws == again.draws).all()


def test_the_shipped_drift_is_told_from_its_shift() -> None:
    windows = cr.window(cr.load_dataset("drift"), cr.load_slos("llm-chat")[:2], every="30m", by="node")
    graph = cr.load_graph("llm-serving").project(["prompt_tokens", "load", "running", "queue_s", "ttft"])
    answer = cr.drift(windows, graph, draws=50)
    assert "prompt_tokens: shift" in [check.name for check in answer.checks]
    since = answer.select(slo="ttft").terms["since"].item()
    assert "ttft: drift" in [check.name for check in answer.failed]
    assert since > datetime(2026, 8, 8, tzinfo=UTC)
    labels = [label.get_text() for label in cr.plot(answer).get_yticklabels()]
    assert labels[0].replace("\n", " ").endswith("p 0.001")


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [({"alarm": 0.0}, "is no chance of a false alarm"), ({"alarm": 2.0}, "is no chance of a false alarm")],
)
def test_bad_questions_get_one_sentence(asked: dict[str, float], complaint: str) -> None:
    windows, _ = serving_world(days=3, units=2)
    with pytest.raises(cr.CausalrelError, match=complaint):
        cr.drift(windows, serving_graph(), **asked)  # type: ignore[arg-type]


def test_too_short_a_time_is_refused() -> None:
    windows, _ = serving_world(days=1, units=2)
    short = replace(windows, table=windows.table.filter(pl.col("time") < START + timedelta(hours=6)))
    with pytest.raises(cr.CausalrelError, match="40 are the least"):
        cr.drift(short, serving_graph())
