"""Networks kept as JSON: equal to the last bit when read again, and refused in one sentence where they are not whole.

Cases 82, 98 and 112 to 118 of the bad inputs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from state_worlds import draw_path, labelled, random_network

import causalrel as cr
from causalrel.archives import table_network
from causalrel.provenance import fingerprint
from causalrel.tables import States, known_table

Edit = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def windows() -> cr.Windows:
    return cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h")


@pytest.fixture(scope="module")
def fitted(windows: cr.Windows) -> cr.Network:
    roles = {"batch_size": "config", "load": "workload", "queue_s": "engine", "ttft": "outcome"}
    edges = [("load", "load", 1), ("load", "queue_s"), ("batch_size", "queue_s"), ("queue_s", "ttft")]
    return cr.fit(windows, cr.Graph.from_edges(edges, roles=roles))


@pytest.fixture
def refuse(fitted: cr.Network, tmp_path: Path) -> Callable[..., str]:
    """Save a network, edit the file, and return the sentence with which it is refused."""

    def refused(edit: Edit, *, sealed: bool = True) -> str:
        path = tmp_path / "network.json"
        cr.save_network(fitted, path)
        document = json.loads(path.read_text())
        edit(document)
        if sealed:
            document["fingerprint"] = fingerprint(document["network"])
        path.write_text(json.dumps(document))
        with pytest.raises(cr.CausalrelError) as fault:
            cr.load_network(path)
        assert "\n" not in fault.value.message
        return fault.value.message

    return refused


def table(document: dict[str, Any], name: str = "queue_s") -> dict[str, Any]:
    found: dict[str, Any] = document["network"]["tables"][name]
    return found


def test_a_network_comes_back_to_the_last_bit(fitted: cr.Network, windows: cr.Windows, tmp_path: Path) -> None:
    path = tmp_path / "network.json"
    cr.save_network(fitted, path)
    again = cr.load_network(path)
    for before, after in zip(fitted.mechanisms, again.mechanisms, strict=True):
        assert before.table.states == after.table.states
        assert before.table.parents == after.table.parents
        for part in ("mean", "weight", "first_mean", "first_weight"):
            assert np.array_equal(getattr(before.table, part), getattr(after.table, part))
    assert (again.graph, again.slos, again.width, again.checks, again.origin) == (
        fitted.graph,
        fitted.slos,
        fitted.width,
        fitted.checks,
        fitted.origin,
    )
    asked = {"of": "ttft", "horizon": "2h", "draws": 5}
    assert np.array_equal(cr.infer(windows, fitted, **asked).draws, cr.infer(windows, again, **asked).draws)
    first = path.read_bytes()
    cr.save_network(again, path)
    assert path.read_bytes() == first


def test_only_tables_are_saved(windows: cr.Windows, tmp_path: Path) -> None:
    lines = cr.fit(windows, cr.Graph.from_edges([("load", "queue_s")], roles={"load": "workload", "queue_s": "engine"}))
    with pytest.raises(cr.CausalrelError, match="only tables are kept as JSON"):
        cr.save_network(lines, tmp_path / "network.json")
    assert list(tmp_path.iterdir()) == []


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


def test_case_112_a_newer_version_is_refused(refuse: Callable[..., str]) -> None:
    assert "its version is 2 and this causalrel reads version 1" in refuse(lambda d: d.update(version=2))


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ([0.7, 0.7], "a row of the table of 'queue_s' does not add up to 1 (it is off by"),
        ([-0.5, 1.5], "holds a number that is no chance"),
    ],
)
def test_case_113_chances_that_are_none(refuse: Callable[..., str], cells: list[float], said: str) -> None:
    def edit(document: dict[str, Any]) -> None:
        table(document)["mean"][:2] = cells

    assert said in refuse(edit)


@pytest.mark.parametrize("word", ["NaN", "Infinity"])
def test_case_113_numbers_that_are_none(fitted: cr.Network, tmp_path: Path, word: str) -> None:
    path = tmp_path / "network.json"
    cr.save_network(fitted, path)
    text = path.read_text()
    at = text.index('"mean": [') + len('"mean": [')
    path.write_text(text[:at] + word + text[text.index(",", at) :])
    with pytest.raises(cr.CausalrelError, match="it is not a network in JSON"):
        cr.load_network(path)


def test_case_114_a_table_of_too_many_cells_is_refused_before_it_is_made(refuse: Callable[..., str]) -> None:
    def edit(document: dict[str, Any]) -> None:
        one = table(document)
        for name in ("load", "batch_size"):
            table(document, name)["states"]["labels"] = [f"s{i}" for i in range(5000)]
        one["states"]["labels"] = [f"s{i}" for i in range(5000)]

    assert "cells, more than 10,000,000" in refuse(edit)
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


def test_case_115_what_is_missing(refuse: Callable[..., str], tmp_path: Path) -> None:
    assert "`mean`" in refuse(lambda d: table(d).pop("mean"))
    assert "'ttft', 'queue_s', has no table" in refuse(lambda d: d["network"]["tables"].pop("queue_s"))
    with pytest.raises(cr.CausalrelError, match="no such file"):
        cr.load_network(tmp_path / "none.json")


def test_case_116_a_changed_file_is_refused(refuse: Callable[..., str]) -> None:
    def edit(document: dict[str, Any]) -> None:
        row = table(document)["mean"]
        row[0], row[1] = row[1], row[0]

    assert "its fingerprint differs" in refuse(edit, sealed=False)


def test_case_117_windows_of_other_columns(fitted: cr.Network) -> None:
    width = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="30m")
    with pytest.raises(cr.CausalrelError, match="a step of the network is 1h and a window 30m"):
        cr.infer(width, fitted, of="ttft")
    network = random_network(0)
    with pytest.raises(cr.CausalrelError, match=r"the network was fitted with v0, v1.*, which the windows lack"):
        cr.infer(width, network, of="v0")


@pytest.mark.parametrize(
    "text", [b"\x80\x04\x95\x10.", b"PK\x03\x04", b"[1, 2]", b"{", b"[" * 100_000, b'{"schema": "other/thing"}']
)
def test_case_118_what_is_no_network(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "network.json"
    path.write_bytes(text)
    with pytest.raises(cr.CausalrelError) as fault:
        cr.load_network(path)
    assert "\n" not in fault.value.message


def test_unknown_keys_are_refused(refuse: Callable[..., str]) -> None:
    assert "code" in refuse(lambda d: d["network"].update(code="import os"))


def test_a_parent_that_the_graph_lacks_is_refused(refuse: Callable[..., str]) -> None:
    def edit(document: dict[str, Any]) -> None:
        table(document, "ttft")["parents"] = [["load", 0]]

    assert "are not its causes in the graph" in refuse(edit)
