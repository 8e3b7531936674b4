"""Networks of tables kept and read again, and what is no network of tables: cases 82, 98 and 113 to 117."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from state_worlds import draw_path, labelled, random_network
from test_archives import change, rewrite_arrays

import causalrel as cr
from causalrel.tables import States, known_table
from causalrel.tabular import table_network


@pytest.fixture(scope="module")
def windows() -> cr.Windows:
    return cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h")


@pytest.fixture(scope="module")
def fitted(windows: cr.Windows) -> cr.Network:
    roles = {"batch_size": "config", "load": "workload", "queue_s": "engine", "ttft": "outcome"}
    edges = [("load", "load", 1), ("load", "queue_s"), ("batch_size", "queue_s"), ("queue_s", "ttft")]
    return cr.fit(windows, cr.Graph.from_edges(edges, roles=roles))


@pytest.fixture
def saved(fitted: cr.Network, tmp_path: Path) -> Path:
    return cr.save_network(fitted, tmp_path / "network.json")


def place_of(path: Path, name: str, part: str) -> str:
    """Name of the array that holds a part of a variable's table."""
    for mechanism in json.loads(path.read_text())["network"]["mechanisms"]:
        if mechanism["variable"]["name"] == name:
            return str(mechanism["table"][part]["array"])
    raise AssertionError(name)


def refusal_of(path: Path) -> str:
    with pytest.raises(cr.CausalrelError) as fault:
        cr.load_network(path)
    assert "\n" not in fault.value.message
    return fault.value.message


def test_a_network_comes_back_to_the_last_bit(fitted: cr.Network, windows: cr.Windows, saved: Path) -> None:
    again = cr.load_network(saved)
    for before, after in zip(fitted.mechanisms, again.mechanisms, strict=True):
        assert before.table is not None
        assert after.table is not None
        assert before.table.states == after.table.states
        assert before.table.parents == after.table.parents
        for part in ("mean", "weight", "first_mean", "first_weight"):
            assert np.array_equal(getattr(before.table, part), getattr(after.table, part))
    assert again.graph == fitted.graph
    assert again.slos == fitted.slos
    assert again.width == fitted.width
    asked = {"of": "ttft", "horizon": "2h", "draws": 5}
    assert np.array_equal(cr.infer(windows, fitted, **asked).draws, cr.infer(windows, again, **asked).draws)
    assert cr.save_network(again, saved.with_name("again.json")).read_bytes() == saved.read_bytes()


def test_case_082_a_level_never_seen(fitted: cr.Network) -> None:
    with pytest.raises(cr.CausalrelError, match="'huge' is no state of 'batch_size'; its states are"):
        cr.query(fitted, of="ttft", do={"batch_size": "huge"})
    network = random_network(3)
    path = draw_path(network, 4, np.random.default_rng(0))
    name = next(iter(path))
    with pytest.raises(cr.CausalrelError, match="is s9 in some windows, and the network knows only s0"):
        cr.infer(labelled(network, {**path, name: ["s9", "s0", "s0", "s0"]}), network, of=name)


def test_case_098_a_number_outside_what_was_seen(fitted: cr.Network) -> None:
    with pytest.raises(cr.CausalrelError, match="'256' is no state of 'batch_size'"):
        cr.query(fitted, of="ttft", do={"batch_size": 256})
    with pytest.raises(cr.CausalrelError, match=r"'1000000.0' is no state of 'load' \(numbers from"):
        cr.query(fitted, of="ttft", do={"load": 1e6})


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ([0.7, 0.7], "a row of the table of 'queue_s' does not add up to 1 (it is off by"),
        ([-0.5, 1.5], "holds a number that is no chance"),
        ([np.inf, 0.0], "holds a number that is no chance"),
    ],
)
def test_case_113_chances_that_are_none(fitted: cr.Network, saved: Path, cells: list[float], said: str) -> None:
    table = fitted.mechanism("queue_s").table
    assert table is not None
    mean = table.mean.copy()
    mean.reshape(-1)[:2] = cells
    rewrite_arrays(saved, **{place_of(saved, "queue_s", "mean"): mean})
    assert said in refusal_of(saved)


def test_case_114_a_table_of_too_many_cells_is_refused_before_it_is_made() -> None:
    names = [f"v{i}" for i in range(17)]
    graph = cr.Graph.from_edges([(name, "v16") for name in names[:16]], roles=dict.fromkeys(names, "engine"))
    wide = {name: ["s0", "s1", "s2"] for name in names}
    some = labelled(
        table_network(
            cr.Graph.from_edges([], roles=dict.fromkeys(names, "engine")),
            {name: known_table(States(labels=("s0", "s1", "s2")), (), np.full(3, 1 / 3)) for name in names},
        ),
        wide,
    )
    with pytest.raises(cr.CausalrelError, match="the table of 'v16' would have 129,140,163 cells"):
        cr.fit(some, graph, states={})


def test_case_115_a_table_that_is_missing(saved: Path) -> None:
    facts = json.loads(saved.read_text())["network"]
    kept = [one for one in facts["mechanisms"] if one["variable"]["name"] != "queue_s"]
    change(saved, network={**facts, "mechanisms": kept})
    assert "'queue_s' has no table" in refusal_of(saved)


def test_a_parent_that_the_graph_lacks_is_refused(saved: Path) -> None:
    facts = json.loads(saved.read_text())["network"]
    for one in facts["mechanisms"]:
        if one["variable"]["name"] == "ttft":
            one["table"]["parents"] = [["load", 0]]
    change(saved, network=facts)
    assert "are not its causes in the graph" in refusal_of(saved)


def test_case_117_windows_of_other_columns(fitted: cr.Network) -> None:
    width = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="30m")
    with pytest.raises(cr.CausalrelError, match="a step of the network is 1h and a window 30m"):
        cr.infer(width, fitted, of="ttft")
    network = random_network(0)
    with pytest.raises(cr.CausalrelError, match=r"the network was fitted with v0, v1.*, which the windows lack"):
        cr.infer(width, network, of="v0")
