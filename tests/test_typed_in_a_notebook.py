"""The short way in: telemetry windowed elsewhere and a graph typed by hand, through every question."""

from __future__ import annotations

import pytest
from worlds import EDGES, ROLES, serving_world

import causalrel as cr


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_a_counted_frame_and_a_typed_graph_answer_every_question(kind: str) -> None:
    made, truth = serving_world(3)
    frame = made.table.rename({"ttft.total": "ttft_total", "ttft.bad": "ttft_bad", "unit": "node"})
    windows = cr.Windows.from_frame(
        frame.to_pandas() if kind == "pandas" else frame,
        time="time",
        unit="node",
        roles={name: role for name, role in ROLES.items() if role != "outcome"},
        events={"ttft": ("ttft_total", "ttft_bad")},
        targets={"ttft": 0.95},
    )
    assert windows.table.select(made.table.columns).equals(made.table)
    graph = cr.Graph.from_edges(EDGES, roles=ROLES)
    burn = cr.effect(windows, graph, of="batch_size", on="ttft").select(quantity="burn").frame(prob=0.95)
    assert burn["low"][0] <= truth <= burn["high"][0]
    network = cr.fit(windows, graph)
    bad_day = ("2026-02-15T09:00", "2026-02-16T00:00")
    ledger = cr.attribute(windows, network, during=bad_day).select(quantity="burn").frame()
    assert ledger.filter(ledger["driver"] != "total").sort("mean")["driver"][-1] == "sm_clock_mhz"
    assert cr.whatif(windows, network, do={"sm_clock_mhz": 1980}, horizon="2d").verdict == "answered"
    assert cr.budget(windows).table["bad"][0] == made.table["ttft.bad"].sum()
