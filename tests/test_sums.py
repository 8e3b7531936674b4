from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causalrel import Telemetry
from causalrel.telemetry.schema import TIME
from causalrel.windows.partials import add_up, roll_up
from causalrel.windows.plans import plan_rollup
from causalrel.windows.sums import add_exactly, number_cells

WHOLE = st.integers(-(2**63) + 1, 2**63 - 1)
FLOATS = st.floats(-1e30, 1e30).map(lambda value: float(np.rint(value)))


@given(
    st.lists(st.tuples(st.integers(0, 3), WHOLE), min_size=1)
    | st.lists(st.tuples(st.integers(0, 3), FLOATS), min_size=1)
)
@settings(max_examples=200, deadline=None)
def test_sums_are_those_of_whole_numbers_without_end(rows: list[tuple[int, Any]]) -> None:
    cells = np.array([cell for cell, _ in rows])
    found = add_exactly(cells, np.bincount(cells, minlength=4), pl.Series([value for _, value in rows]))
    assert found.to_list() == [sum(int(value) for cell, value in rows if cell == i) for i in range(4)]


@given(st.lists(st.tuples(st.integers(-3, 3) | st.integers(-(10**9), 10**9), st.integers(0, 2**64 - 1)), min_size=1))
@settings(max_examples=200, deadline=None)
def test_cells_are_those_of_a_plain_loop(rows: list[tuple[int, int]]) -> None:
    rows = [*rows, *rows[: len(rows) // 2]]
    index, hashes = np.array([t for t, _ in rows]), np.array([h for _, h in rows], dtype=np.uint64)
    cells, first = number_cells(index, hashes)
    assert [rows[first[cell]] for cell in cells] == rows
    assert len(first) == len(set(rows))
    assert (np.diff(index[first]) >= 0).all()


@pytest.mark.parametrize("late", [False, True])
def test_earlier_windows_and_new_units_may_come_late(late: bool) -> None:
    rng = np.random.default_rng(5)
    size = 300_000
    hours = np.sort(rng.integers(0, 48, size))[:: -1 if late else 1]
    frame = pl.DataFrame(
        {
            "time": pl.Series(hours * 3600 * 10**6).cast(TIME),
            "node": pl.Series("node", [f"n{47 - hour}" for hour in range(48)]).gather(hours),
            "ttft_s": rng.lognormal(-1, 1, size),
        }
    )
    plan = plan_rollup(Telemetry(requests=frame.lazy()), [], ["node"], timedelta(hours=1))
    whole = roll_up(frame.lazy(), [plan], ["ttft_s"])
    pieces = add_up([roll_up(frame[start::3].lazy(), [plan], ["ttft_s"]) for start in range(3)])
    mine, other = whole.counts["ttft_s"], pieces.counts["ttft_s"]
    assert (mine.units, mine.first) == (other.units, other.first) == (tuple(sorted(frame["node"].unique())), 0)
    assert mine.codes.tobytes() == other.codes.tobytes()
    assert mine.counts.tobytes() == other.counts.tobytes()
    cells = defaultdict[int, int](int)
    for code, count in zip((mine.codes // 4096).tolist(), mine.counts.tolist(), strict=True):
        cells[code] += count
    index = {unit: i for i, unit in enumerate(mine.units)}
    wanted = frame.group_by("node", hour=pl.col("time").dt.epoch("s") // 3600).len()
    assert cells == {hour * 48 + index[node]: rows for node, hour, rows in wanted.iter_rows()}
