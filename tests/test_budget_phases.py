"""Budgets by phase: every event once, and the phases add up to the ledger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import causalrel as cr

START = datetime(2026, 2, 9, tzinfo=UTC)


def made(rows: list[tuple[int, str, int, int]], changes: pl.DataFrame | None = None) -> cr.Budget:
    """Return the budget of windows given as hour, unit, total and bad."""
    frame = pl.DataFrame(rows, schema=["hour", "unit", "n", "b"], orient="row")
    frame = frame.with_columns(t=pl.lit(START) + pl.duration(hours="hour"))
    events = {"ttft": ("n", "b")}
    windows = cr.Windows.from_frame(frame, time="t", unit="unit", roles={}, events=events, every="1h")
    return cr.budget(windows if changes is None else _with(windows, changes))


def _with(windows: cr.Windows, changes: pl.DataFrame) -> cr.Windows:
    from dataclasses import replace

    return replace(windows, changes=changes)


ROWS = [(0, "v1", 100, 3), (1, "v1", 80, 1), (2, "v1", 90, 2), (1, "v2", 20, 4), (2, "v2", 110, 1)]


def test_phases_by_start_are_counted_by_hand() -> None:
    phases = made(ROWS).phases({"steady": START + timedelta(hours=2), "canary": "2026-02-09T01:00Z"})
    told = phases.select("unit", "phase", "total", "bad").rows()
    assert told == [
        ("all", "before", 100, 3),
        ("all", "canary", 100, 5),
        ("all", "steady", 200, 3),
        ("v1", "before", 100, 3),
        ("v1", "canary", 80, 1),
        ("v1", "steady", 90, 2),
        ("v2", "canary", 20, 4),
        ("v2", "steady", 110, 1),
    ]
    canary = phases.filter(unit="v2", phase="canary").row(0, named=True)
    assert canary["allowed"] == pytest.approx(0.2)
    assert canary["burn"] == pytest.approx(20)
    assert canary["spent"] == pytest.approx(4 / 1.3)


def test_a_start_inside_a_window_leaves_it_to_the_phase_before() -> None:
    phases = made(ROWS).phases({"late": START + timedelta(minutes=90)})
    assert phases.filter(unit="all").select("phase", "total").rows() == [("before", 200), ("late", 200)]


def test_changes_of_a_variable_start_phases() -> None:
    changes = pl.DataFrame(
        {
            "time": [START + timedelta(hours=1)] * 2 + [START + timedelta(hours=2)],
            "variable": ["model_version", "model_version", "batch_size"],
            "after": ["v2", "v2", "16"],
        }
    )
    phases = made(ROWS, changes).phases("model_version")
    assert phases["phase"].unique().sort().to_list() == ["before", "model_version v2 from 2026-02-09 01:00"]
    with pytest.raises(cr.CausalrelError, match="did you mean 'batch_size'"):
        made(ROWS, changes).phases("batch_sise")


@pytest.mark.parametrize(
    ("starts", "said"),
    [
        ({}, "no phase was given"),
        ({"a": "2026-02-09", "b": "2026-02-09T00:00Z"}, "'a' and 'b' cannot be told apart, they start at once"),
        ({"before": "2026-02-09"}, "a phase named 'before' cannot be told apart from what comes first"),
        ({"a": "soon"}, "soon"),
    ],
)
def test_phases_that_cannot_be_are_one_sentence(starts: dict[str, str], said: str) -> None:
    with pytest.raises(cr.CausalrelError) as caught:
        made(ROWS).phases(starts)
    assert said in caught.value.message


cells = st.tuples(st.integers(0, 40), st.sampled_from("abc"), st.integers(0, 500), st.integers(0, 500))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(cells, min_size=1, max_size=60, unique_by=lambda row: row[:2]),
    st.lists(st.integers(-5, 2700), min_size=1, max_size=6, unique=True),
)
def test_phases_sum_to_the_ledger(rows: list[tuple[int, str, int, int]], minutes: list[int]) -> None:
    budget = made([(hour, unit, max(total, bad), min(total, bad)) for hour, unit, total, bad in rows])
    phases = budget.phases({f"p{n}": START + timedelta(minutes=n) for n in minutes})
    sums = phases.group_by("slo", "unit").agg(pl.col("total", "bad", "allowed", "spent").sum())
    joined = budget.table.join(sums, on=["slo", "unit"], suffix="_sum")
    assert joined.height == budget.table.height
    for name in ("total", "bad"):
        assert joined[name].equals(joined[f"{name}_sum"], check_names=False)
    for name in ("allowed", "spent"):
        apart = (joined[name].fill_null(0) - joined[f"{name}_sum"]).abs()
        assert (apart <= 1e-9 * joined[name].fill_null(0).abs() + 1e-9).all()
