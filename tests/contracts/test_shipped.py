"""Everything shipped parses, fits what its card says, and is small."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

import causalrel as cr
from causalrel import shipped
from causalrel.simulation.calibrations import load_calibration
from causalrel.simulation.documents import load_scenario
from causalrel.telemetry.datasets import load_card
from causalrel.telemetry.maps import load_map

ROOT = Path(__file__).parents[2]
LOADERS: dict[str, Callable[[str], Any]] = {
    "graphs": cr.load_graph,
    "slos": cr.load_slos,
    "scenarios": load_scenario,
    "maps": load_map,
    "calibrations": load_calibration,
}
DOCUMENTS = sorted(path.relative_to(ROOT / "models").as_posix() for path in (ROOT / "models").rglob("*.yaml"))
DATASETS = shipped.names("datasets")
CARD_KEYS = {"name", "title", "maker", "licence", "files", "columns"}
FILE_BYTES = 300_000


def card_of(name: str) -> dict[str, Any]:
    """Read a card as plain YAML, numbers as numbers."""
    document: dict[str, Any] = yaml.safe_load((ROOT / "datasets" / name / "card.yaml").read_text(encoding="utf-8"))
    return document


def test_something_ships() -> None:
    assert "llm-canary" in DATASETS
    assert {path.partition("/")[0] for path in DOCUMENTS} == set(LOADERS)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_model_loads_by_name_and_by_path(document: str) -> None:
    folder, _, file = document.partition("/")
    load = LOADERS[folder]
    by_name = load(file.removesuffix(".yaml"))
    assert by_name == load(str(ROOT / "models" / document))


@pytest.mark.parametrize("name", shipped.names("models/graphs"))
def test_every_edge_says_why_and_on_whose_word(name: str) -> None:
    graph = cr.load_graph(name)
    assert [edge for edge in graph.edges if not edge.why or not edge.source] == []


@pytest.mark.parametrize("name", DATASETS)
def test_a_card_is_complete(name: str) -> None:
    card = card_of(name)
    assert set(card) >= CARD_KEYS
    assert card["name"] == name
    assert {"seed", "scenario"} <= set(card) or "source" in card
    assert load_card(name)["name"] == name


@pytest.mark.parametrize("name", DATASETS)
def test_files_are_those_the_card_describes(name: str) -> None:
    folder = ROOT / "datasets" / name
    files = card_of(name)["files"]
    assert {path.name for path in folder.iterdir()} == {*files, "card.yaml"}
    for file, said in files.items():
        content = (folder / file).read_bytes()
        assert hashlib.sha256(content).hexdigest() == said["sha256"]
        assert len(content) <= FILE_BYTES


@pytest.mark.parametrize("name", DATASETS)
def test_columns_are_those_the_card_describes(name: str) -> None:
    folder = ROOT / "datasets" / name
    columns = card_of(name)["columns"]
    for file in {column["file"] for column in columns}:
        frame = pl.read_parquet(folder / f"{file}.parquet")
        said = [column for column in columns if column["file"] == file]
        metrics = {column["metric"] for column in said if "metric" in column}
        if metrics:
            assert metrics == set(frame["metric"].unique())
        else:
            assert [column["name"] for column in said] == frame.columns


@pytest.mark.parametrize("name", DATASETS)
def test_the_report_on_a_card_can_be_asked(name: str) -> None:
    asked = card_of(name).get("report")
    if asked is None:
        pytest.skip("this data set asks for no report of its own")
    windows = cr.window(cr.load_dataset(name), cr.load_slos(asked["slos"]), every=asked["every"], by=asked["by"])
    graph = cr.load_graph(asked["graph"]).project(windows.names)
    assert {slo.name for slo in windows.slos} <= set(graph.names)
    start, end = (datetime.fromisoformat(str(text)) for text in asked["during"])
    assert windows.span[0] <= start < end <= windows.span[1]


def test_a_changed_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = tmp_path / "datasets" / "llm-canary"
    copied.mkdir(parents=True)
    for path in (ROOT / "datasets" / "llm-canary").iterdir():
        (copied / path.name).write_bytes(path.read_bytes())
    (copied / "changes.parquet").write_bytes(b"PAR1 no longer")
    monkeypatch.setattr(shipped, "root", lambda: tmp_path)
    with pytest.raises(cr.CausalrelError, match=r"changes\.parquet.*not the file its card describes"):
        cr.load_dataset("llm-canary")
