"""The DoWhy bridge: it identifies, and drives what it is given."""

from __future__ import annotations

import numpy as np
import pytest
from worlds import EDGES, ROLES

import causalrel as cr
from causalrel.bridges import dowhy
from causalrel.identification import is_adjustment


def test_backdoor_set_passes_our_own_criterion() -> None:
    graph = cr.load_graph("llm-serving")
    for of in ("batch_size", "gpu_count", "model_version", "sm_clock_mhz"):
        for on in ("ttft", "tpot", "availability"):
            found = dowhy.identify(graph, of=of, on=on)
            assert found.reaches
            assert found.adjustment is not None
            assert is_adjustment(graph, of, on, found.adjustment)


def test_unidentified_and_unreached_are_told() -> None:
    hidden = cr.Graph.from_edges(EDGES, roles=ROLES, unmeasured={"skill": ["batch_size", "ttft"]})
    assert dowhy.identify(hidden, of="batch_size", on="ttft").adjustment is None
    apart = cr.Graph.from_edges([("load", "ttft")], roles=ROLES)
    assert not dowhy.identify(apart, of="batch_size", on="ttft").reaches


def test_the_callers_arrays_are_not_written_into() -> None:
    graph = cr.Graph.from_edges([("batch_size", "ttft")], roles=ROLES)
    columns = {"batch_size": np.array([4.0, 8.0]), "ttft": np.array([0.1, 0.3])}
    before = {name: column.copy() for name, column in columns.items()}
    found = dowhy.identify(graph, of="batch_size", on="ttft")
    draws = dowhy.estimate(
        found, columns, of="batch_size", on="ttft", levels=(4.0, 8.0), answer=lambda rows: np.diff(rows["ttft"])
    )
    assert draws == pytest.approx([0.2])
    assert all(np.array_equal(columns[name], before[name]) for name in columns)


def test_many_causes_are_identified_without_trying_every_subset() -> None:
    names = [f"x{i}" for i in range(40)]
    roles = dict.fromkeys(names, "workload") | {"batch_size": "config", "ttft": "outcome"}
    edges = [(name, to) for name in names for to in ("batch_size", "ttft")] + [("batch_size", "ttft")]
    found = dowhy.identify(cr.Graph.from_edges(edges, roles=roles), of="batch_size", on="ttft")
    assert set(found.adjustment) == set(names)
