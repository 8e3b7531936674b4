"""No row is lost in silence: what is read is used, repeated or without a time, and the figures add up."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

import causalrel as cr
from causalrel.telemetry.parts import accounted
from causalrel.telemetry.schema import TIME

START = datetime(2026, 2, 11, 9, tzinfo=UTC)
SLO = cr.SLO(name="ttft", dimension="latency", where="ttft_s <= 1", target=0.99)
ROW = st.tuples(
    st.none() | st.integers(0, 3600),
    st.none() | st.sampled_from("abcdefgh"),
    st.none() | st.sampled_from([0.5, 2.0, float("nan")]),
    st.none() | st.sampled_from(["oom", "timeout"]),
    st.sampled_from(["chat", "code", None]),
)


def windowed(rows: list[tuple[Any, ...]]) -> cr.Windows:
    timed = [None if row[0] is None else START + timedelta(seconds=row[0]) for row in rows]
    names = ["request_id", "ttft_s", "error", "service"]
    columns = {name: [row[at] for row in rows] for at, name in enumerate(names, 1)}
    kinds = {"time": TIME, **dict.fromkeys(("request_id", "error", "service"), pl.String), "ttft_s": pl.Float64}
    frame = pl.LazyFrame({"time": timed, **columns}, schema=kinds)
    return cr.window(cr.Telemetry(requests=frame), [SLO], every="1m")


def told(note: str, what: str) -> int:
    found = re.search(rf"([\d,]+) {what}", note)
    return int(found[1].replace(",", "")) if found else 0


@given(st.lists(ROW, min_size=1, max_size=60))
@settings(max_examples=60, deadline=None)
def test_rows_read_are_rows_used_repeated_or_without_a_time(rows: list[tuple[Any, ...]]) -> None:
    rows = [*rows, (0, None, 0.5, None, "chat"), (7200, None, 0.5, None, "chat")]
    made = windowed(rows)
    note = made.notes[0]
    timed = [row for row in rows if row[0] is not None]
    ids = [row[1] for row in timed if row[1] is not None]
    used, repeated = told(note, "used"), told(note, "repeat")
    assert told(note, "requests read") == len(rows) == used + repeated + told(note, "have no time")
    assert repeated == len(ids) - len(set(ids))
    assert used == round(sum(made.frame()["load"].drop_nulls()) * 60)
    unknown = sum(told(text, "of") for text in made.notes if "could not judge" in text)
    assert made.frame()["ttft.total"].sum() + unknown == used


def test_the_parts_of_the_sentence_add_up() -> None:
    assert accounted(5, 0, 0) == "5 requests read: 5 used"
    assert accounted(10_000, 30, 100).startswith("10,000 requests read: 9,870 used")
    assert accounted(10_000, 30, 100).endswith("100 repeat an earlier request_id, 30 have no time")
