"""Shipped data sets are what their script makes, byte for byte, and their cards fit them."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest
import yaml

import causalrel as cr
from causalrel.shipped import names, root
from causalrel.simulation.contrasts import bad_events
from causalrel.simulation.documents import true_graph

MADE = [
    "bad-node",
    "batch-under-load",
    "cache-collapse",
    "drift",
    "llm-canary",
    "no-answer",
    "quiet-tenant",
]
MOST_BYTES = 300_000


@pytest.fixture(scope="module")
def make() -> ModuleType:
    path = Path(__file__).parent / "golden" / "make_datasets.py"
    spec = importlib.util.spec_from_file_location("make_datasets", path)
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["make_datasets"] = module
    spec.loader.exec_module(module)
    return module


def card_of(name: str) -> dict[str, Any]:
    return yaml.safe_load((root() / "datasets" / name / "card.yaml").read_text(encoding="utf-8"))


def test_every_data_set_has_a_recipe(make: ModuleType) -> None:
    assert sorted(make.RECIPES) == MADE == sorted(names("datasets"))


@pytest.mark.parametrize("name", MADE)
def test_files_are_what_the_script_makes(name: str, make: ModuleType, tmp_path: Path) -> None:
    hashes = make.write_files(make.frames_of(name), tmp_path)
    assert {file: said["sha256"] for file, said in card_of(name)["files"].items()} == hashes


@pytest.mark.parametrize("name", MADE)
def test_files_are_small(name: str) -> None:
    assert sum(path.stat().st_size for path in (root() / "datasets" / name).iterdir()) <= MOST_BYTES


@pytest.mark.parametrize("name", MADE)
def test_a_card_fits_its_files(name: str) -> None:
    card, folder = card_of(name), root() / "datasets" / name
    for file, said in card["files"].items():
        assert hashlib.sha256((folder / file).read_bytes()).hexdigest() == said["sha256"]
    frame = pl.read_parquet(folder / "requests.parquet")
    assert frame["time"].is_sorted()
    bad = bad_events(frame, cr.load_slos(card["report"]["slos"]))
    for slo, share in card["truth"]["bad_share"].items():
        assert (bad[slo].mean() or 0.0) == pytest.approx(share, abs=1e-4)


@pytest.mark.parametrize("name", MADE)
def test_a_card_tells_the_true_edges(name: str) -> None:
    """Every edge on the card is an edge of the scenario's graph, and every effect's setting leads to what it is on."""
    truth, graph = card_of(name)["truth"], true_graph(card_of(name)["scenario"])
    edges = {f"{edge.cause} -> {edge.effect}" for edge in graph.edges if edge.lag == 0}
    assert set(truth["edges"]) <= edges
    assert truth["edges"]
    lagged = {f"{edge.cause} -> {edge.effect} after {edge.lag}" for edge in graph.edges if edge.lag}
    assert set(truth["lagged"]) <= lagged
    for row in truth["effects"]:
        moved = abs(row["effect"]) > 4.0 * row["standard_error"] and abs(row["effect"]) > 5e-4
        if moved and row["on"] in graph.names:
            assert row["on"] in graph.descendants(row["of"]), row


@pytest.mark.parametrize("name", MADE)
def test_a_data_set_answers_by_its_name(name: str) -> None:
    asked = card_of(name)["report"]
    windows = cr.window(cr.load_dataset(name), cr.load_slos(asked["slos"]), every="1h", by=asked["by"])
    budget = cr.budget(windows)
    assert budget.frame().filter(pl.col("unit") == "all").height == len(windows.slos)
    assert len(windows.varying) < len(windows.names)


def test_a_quiet_hour_says_little() -> None:
    frame = cr.load_dataset("quiet-tenant").frame()
    hours = frame.filter(pl.col("tenant") == "quiet").group_by(pl.col("time").dt.truncate("1h")).len()
    assert hours["len"].median() == pytest.approx(60, abs=6)
