"""Changes: the value in force is that of a walk by hand, and only changes that always came together are told so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

import causalrel as cr
from causalrel.changes import changes_of, in_force, tell_inseparable
from causalrel.telemetry.schema import TIME

DAY = datetime(2026, 2, 11, tzinfo=UTC)
WIDTH = timedelta(minutes=5)


def rows(*events: tuple[float, str | None, str, str | None, str]) -> pl.DataFrame:
    """Return changes at minutes of a day: minute, node, variable, before, after."""
    names = ["time", "node", "variable", "before", "after"]
    schema: Any = {"time": TIME} | dict.fromkeys(names[1:], pl.String)
    return pl.DataFrame([(DAY + timedelta(minutes=e[0]), *e[1:]) for e in events], schema=schema, orient="row")


def walked(table: pl.DataFrame, changes: pl.DataFrame, variable: str) -> list[str | None]:
    """Find each value by a walk over every change of the unit, in order of time."""
    events = changes.filter(variable=variable).sort("time", maintain_order=True)
    told: dict[str, list[tuple[datetime, str, str]]] = {}
    for unit in table["unit"].unique():
        mine = events.filter(pl.col("node").is_null() | (pl.col("node") == unit))
        told[unit] = mine.select("time", "before", "after").rows()
    made: list[str | None] = []
    for unit, start in table.select("unit", "time").iter_rows():
        value = told[unit][0][1] if told[unit] else None
        for time, _, after in told[unit]:
            if time <= start:
                value = after
        made.append(value)
    return made


def test_in_force_is_what_a_walk_finds_on_100_000_windows() -> None:
    rng = np.random.default_rng(0)
    units = [f"n{i:02}" for i in range(20)]
    size = 5000
    table = pl.DataFrame(
        {"unit": np.repeat(units, size), "time": [DAY + WIDTH * i for i in range(size)] * len(units)},
        schema_overrides={"time": TIME},
    ).sample(fraction=1, shuffle=True, seed=1)
    assert table.height == 100_000
    minutes = rng.integers(0, 5 * size, 300)
    nodes = [None if draw < 0.05 else units[rng.integers(0, 19)] for draw in rng.random(300)]
    names = rng.choice(["x", "y"], 300)
    order = np.argsort(minutes, kind="stable")
    state: dict[tuple[str | None, str], str] = {}
    events = []
    for i in order:
        before = state.get((nodes[i], str(names[i])), "start")
        state[nodes[i], str(names[i])] = str(i)
        events.append((float(minutes[i]), nodes[i], str(names[i]), before, str(i)))
    changes = rows(*events)
    made = in_force(table, changes, ["node"])
    assert made.select("unit", "time").equals(table)
    for name in ("x", "y"):
        assert made[name].to_list() == walked(table, changes, name)


def test_in_force_agrees_with_the_requests_of_the_canary() -> None:
    windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="30m", by="node")
    assert windows.changes is not None
    made = in_force(windows.table, windows.changes, ["node"])
    both = windows.table.select("unit", "time", seen="model_version").join(made, on=["unit", "time"]).drop_nulls()
    assert both.height > 1000
    assert (both["seen"] == both["model_version"]).mean() > 0.99


def test_a_value_that_is_not_new_is_no_change() -> None:
    made = changes_of(rows((0, "a", "x", "1", "1"), (5, "a", "x", "1", "2")), ["node"])
    assert made["after"].to_list() == ["2"]
    undated = changes_of(rows((0, "a", "x", None, "1"), (5, "a", "x", None, "2")).drop("before"), ["node"])
    assert undated["before"].to_list() == [None, "1"]
    assert in_force(pl.DataFrame({"unit": ["a"], "time": [DAY]}), rows(), ["node"]).columns == ["unit", "time"]


TOGETHER = ((60, "a", "model", "1", "2"), (63, "a", "batch", "4", "8"))


@pytest.mark.parametrize("by", [["node"], [], ["node", "service"]])
def test_changes_that_always_came_together_are_told(by: list[str]) -> None:
    where = {1: "a", 0: "all"}.get(len(by), "every unit")
    said = tell_inseparable(rows(*TOGETHER), by, WIDTH)
    assert said == [
        f"batch and model changed together at 2026-02-11 01:03 on {where}: their effects cannot be told apart"
    ]


@pytest.mark.parametrize(
    "alone",
    [
        (600, "a", "model", "2", "1"),
        (600, "b", "model", "1", "2"),
        (600, "b", "batch", "4", "8"),
        (600, None, "model", "2", "3"),
    ],
)
def test_one_change_alone_separates_them(alone: Any) -> None:
    assert tell_inseparable(rows(*TOGETHER, alone), ["node"], WIDTH) == []


def test_changes_apart_are_not_told() -> None:
    apart = rows((60, "a", "model", "1", "2"), (66, "a", "batch", "4", "8"))
    assert tell_inseparable(apart, ["node"], WIDTH) == []
    assert len(tell_inseparable(apart, ["node"], timedelta(minutes=6))) == 1
    elsewhere = rows((60, "a", "model", "1", "2"), (60, "b", "batch", "4", "8"))
    assert tell_inseparable(elsewhere, ["node"], WIDTH) == []
    assert len(tell_inseparable(elsewhere, [], WIDTH)) == 1
    assert tell_inseparable(rows((60, "a", "model", "1", "2")), ["node"], WIDTH) == []


def test_a_rollout_of_three_is_told_once_and_a_start_is_no_change() -> None:
    rollout = [
        (at, node, name, "1", "2") for at, node in ((60, "a"), (90, "b"), (120, "c")) for name in ("x", "y", "z")
    ]
    said = tell_inseparable(rows(*rollout), ["node"], WIDTH)
    assert said == [
        "x, y and z changed together at 2026-02-11 01:00 on a and 2 more times: their effects cannot be told apart"
    ]
    starts = [(0, "a", name, None, "1") for name in ("x", "y", "z")]
    assert tell_inseparable(rows(*starts), ["node"], WIDTH) == []
    fleet = rows((60, None, "x", "1", "2"), (60, None, "y", "1", "2"), (200, "a", "w", "1", "2"))
    assert tell_inseparable(fleet, ["node"], WIDTH)[0].startswith("x and y changed together at 2026-02-11 01:00 on a ")


def test_windows_carry_the_note() -> None:
    times = [DAY + timedelta(minutes=minute) for minute in range(120)]
    requests = pl.LazyFrame({"time": times, "node": ["a"] * 120}, schema_overrides={"time": TIME})
    slo = cr.SLO(name="up", dimension="availability", where="node = 'a'", target=0.99)
    for changes, noted in ((rows(*TOGETHER), True), (rows(*TOGETHER, (100, "a", "model", "2", "1")), False)):
        telemetry = cr.Telemetry(requests=requests, changes=changes.lazy())
        notes = cr.window(telemetry, [slo], by="node").notes
        assert any("batch and model changed together" in note for note in notes) == noted
