"""Thresholds: the bound by hand, its band over days, and what it is worth in a week that was held out."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from verdict_worlds import rollout
from worlds import serving_world

import causalrel as cr


@pytest.fixture(scope="module")
def windows():
    return serving_world(6, days=14, bad_unit=False)[0]


def by_hand(windows: cr.Windows, name: str, p: float) -> float:
    """Try every value as the bound."""
    table = windows.table.sort(name)
    met = (table["ttft.bad"] <= 0.05 * table["ttft.total"]).cast(pl.Float64).to_numpy()
    share = met.cumsum() / np.arange(1, len(met) + 1)
    return float(table[name].to_numpy()[np.flatnonzero(share >= p)[-1]])


@pytest.mark.parametrize(("metric", "p"), [("queue_s", 0.7), ("queue_s", 0.6), ("load", 0.65)])
def test_the_band_holds_the_bound_by_hand(windows, metric: str, p: float) -> None:
    low, high = (
        cr.bound(windows, of=[metric], on="ttft", p=p).select(quantity="bound").frame(0.9).select("low", "high").row(0)
    )
    assert low <= by_hand(windows, metric, p) <= high


def test_a_stricter_share_gives_a_lower_bound(windows) -> None:
    means = [cr.bound(windows, of=["queue_s"], on="ttft", p=p).draws[:, 0].mean() for p in (0.55, 0.65, 0.75)]
    assert means == sorted(means, reverse=True)


def test_below_is_the_share_of_windows_below(windows) -> None:
    answer = cr.bound(windows, of=["queue_s", "load"], on="ttft", p=0.7)
    draws = answer.select(metric="queue_s").draws
    at = float(np.median(draws[:, 0]))
    share = float((windows.table["queue_s"] <= at).mean())
    assert np.isclose(draws[np.isclose(draws[:, 0], at), 1], share).all()


def met(table: pl.DataFrame, windows: cr.Windows) -> float:
    return float((table["ttft.bad"] <= windows.slos[0].allowed * table["ttft.total"]).cast(pl.Float64).mean())


def test_held_out_weeks_keep_the_share_within_three_points() -> None:
    """Bounds read off a first week, of the second week's windows below them; in the mean of twelve made fleets."""
    kept: list[float] = []
    for seed in range(81_000, 81_012):
        whole = rollout(seed).windows
        half = whole.span[0] + timedelta(days=7)
        first = replace(whole, table=whole.table.filter(pl.col("time") < half))
        rest = replace(whole, table=whole.table.filter(pl.col("time") >= half))
        p = min(0.95, met(first.table, first) + 0.1)
        answer = cr.bound(first, of=["queue_s"], on="ttft", p=p)
        if answer.verdict != "refused":
            below = rest.table.filter(pl.col("queue_s") <= float(answer.draws[:, 0].mean()))
            kept.append(met(below, rest) - p)
    assert len(kept) >= 8
    assert abs(np.mean(kept)) < 0.03


def test_what_no_bound_can_keep_is_refused(windows) -> None:
    hard = replace(windows, slos=(replace(windows.slos[0], target=0.99999),))
    answer = cr.bound(hard, of=["queue_s"], on="ttft", p=0.99)
    assert answer.verdict == "refused"
    assert "not even among the lowest queue_s" in answer.why


def test_a_metric_without_a_bound_is_left_out_and_said(windows) -> None:
    answer = cr.bound(windows, of=["queue_s", "batch_size"], on="ttft", p=0.75)
    assert answer.verdict == "bounded"
    assert answer.terms["metric"].unique().to_list() == ["queue_s"]
    assert "not even among the lowest batch_size" in answer.why


def test_few_days_are_bounded(windows) -> None:
    short = replace(windows, table=windows.table.filter(pl.col("time") < windows.span[0] + timedelta(days=3)))
    assert cr.bound(short, of=["queue_s"], on="ttft", p=0.5).verdict == "bounded"


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ({"p": 1.0}, "1.0 is no share of windows"),
        ({"of": []}, "no metric is named"),
        ({"of": ["queue"]}, "did you mean 'queue_s'"),
        ({"on": "tpot"}, "tpot"),
    ],
)
def test_bad_question_gets_one_sentence(windows, question, says) -> None:
    with pytest.raises(cr.CausalrelError, match=says) as caught:
        cr.bound(windows, **{"of": ["queue_s"], "on": "ttft", **question})
    assert "\n" not in caught.value.message


def test_what_never_varied_has_no_bound(windows) -> None:
    constant = replace(windows, table=windows.table.with_columns(batch_size=pl.lit(4, dtype=pl.Int64)))
    with pytest.raises(cr.CausalrelError, match="'batch_size' never varied"):
        cr.bound(constant, of=["batch_size"], on="ttft")


def test_the_picture_says_each_bound_and_how_many_windows_are_below(windows) -> None:
    answer = cr.bound(windows, of=["queue_s", "load"], on="ttft", p=0.7)
    labels = [text.get_text() for text in cr.plot(answer).get_yticklabels()]
    assert [label.split(" up to ")[0] for label in labels] == ["queue_s", "load"]
