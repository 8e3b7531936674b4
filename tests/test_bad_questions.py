"""Questions that data cannot answer: cases 84 to 89, 95 to 97 and 99."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from worlds import EDGES, ROLES, serving_graph, serving_world

import causalrel as cr
from causalrel.identification import tell_forbidden


@pytest.fixture(scope="module")
def windows():
    return serving_world(4)[0]


def ask(windows, table=None, **question):
    asked = windows if table is None else replace(windows, table=table)
    return cr.effect(asked, serving_graph(), **{"of": "batch_size", "levels": (4, 8), "on": "ttft", **question})


def batch(windows, expression: pl.Expr) -> pl.DataFrame:
    return windows.table.with_columns(batch_size=expression.cast(pl.Int64))


def test_case_084_a_treatment_that_copies_a_cause_is_refused(windows) -> None:
    answer = ask(windows, batch(windows, pl.when(pl.col("load") > pl.col("load").median()).then(8).otherwise(4)))
    assert answer.verdict == "refused"
    assert "100% of their bad events lie beyond what some level saw" in answer.why


def test_case_085_levels_that_never_overlap_are_refused(windows) -> None:
    apart = pl.when(pl.col("load") > 2.5).then(8).when(pl.col("load") < 1.5).then(4).otherwise(None)
    answer = ask(windows, batch(windows, apart))
    assert answer.verdict == "refused"
    assert "could have had any of the levels" in answer.why


def test_case_086_a_level_seen_in_few_windows_is_no_plain_answer(windows) -> None:
    first = windows.table.with_row_index().sort("time", "unit")["index"].head(12)
    rare = windows.table.with_row_index().with_columns(
        batch_size=pl.when(pl.col("index").is_in(first.implode())).then(8).otherwise(4).cast(pl.Int64)
    )
    assert ask(windows, rare.drop("index")).verdict != "answered"


@pytest.mark.parametrize(
    ("bad", "sign"), [(pl.lit(0, dtype=pl.Int64), 1), (pl.col("ttft.total"), -1)], ids=["087", "088"]
)
def test_case_087_no_bad_events_or_only_bad_ones_leave_an_interval(windows, bad: pl.Expr, sign: int) -> None:
    answer = ask(windows, windows.table.with_columns(bad.alias("ttft.bad")))
    row = answer.select(quantity="bad_share").frame(prob=0.95).row(0, named=True)
    assert row["low"] < 0 < row["high"]
    assert row["high"] - row["low"] < 0.05
    at = answer.select(quantity="bad_share_at").draws
    assert ((at > 0) & (at < 1)).all()
    assert (np.sign(0.5 - at.mean()) == sign).all()


def test_case_089_an_open_path_is_named(windows) -> None:
    graph = cr.Graph.from_edges(EDGES, roles=ROLES, unmeasured={"skill": ["batch_size", "ttft"]})  # type: ignore[arg-type]
    answer = cr.effect(windows, graph, of="batch_size", levels=(4, 8), on="ttft")
    assert answer.verdict == "refused"
    assert "skill stays open" in answer.why


def test_case_095_a_mediator_is_never_held_fixed_and_the_graph_says_why(windows) -> None:
    answer = ask(windows)
    assert "queue_s" not in next(check.says for check in answer.checks if check.name == "identification")
    assert "hides that part of the effect" in tell_forbidden(serving_graph(), "batch_size", "ttft")["queue_s"]


def test_case_096_one_switch_of_everybody_is_refused_and_bounded_as_a_rollout(windows) -> None:
    middle = windows.span[0] + (windows.span[1] - windows.span[0]) / 2
    once = batch(windows, pl.when(pl.col("time") < middle).then(4).otherwise(8))
    assert ask(windows, once).verdict == "refused"
    rollout = ask(windows, once, design="rollout")
    assert rollout.verdict == "bounded"


def test_case_097_that_units_leave_each_other_alone_is_said(windows) -> None:
    assert "units do not disturb each other" in ask(windows).assumptions


def test_case_099_fewer_windows_than_coefficients_are_refused(windows) -> None:
    few = windows.table.sort("time", "unit").gather_every(150).head(8)
    changed = few.with_columns(batch_size=pl.Series([4, 8] * 4, dtype=pl.Int64))
    with pytest.raises(cr.CausalrelError, match="8 coefficients need more than 8 windows"):
        ask(windows, changed)
