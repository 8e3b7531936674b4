"""What the cards call true is what fresh paired reruns measure; what is seen without care is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

import causalrel as cr
from causalrel.shipped import root
from causalrel.simulation.contrasts import measure_effect
from causalrel.simulation.documents import load_scenario

pytestmark = pytest.mark.slow

FRESH_SEEDS = range(100, 106)
NAMED = ["ttft", "tpot", "availability", "quality"]


def truth_of(name: str) -> dict[str, Any]:
    return yaml.safe_load((root() / "datasets" / name / "card.yaml").read_text(encoding="utf-8"))["truth"]


def effects_of(name: str) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["of"], row["on"]): row for row in truth_of(name)["effects"]}


ASKED = [
    (name, of, levels)
    for name in ("llm-canary", "batch-under-load", "cache-collapse", "quiet-tenant", "no-answer")
    for of, levels in {(row["of"], tuple(row["levels"])) for row in truth_of(name)["effects"]}
]


@pytest.mark.parametrize(("name", "of", "levels"), sorted(ASKED))
def test_effects_recur_at_fresh_seeds(name: str, of: str, levels: tuple) -> None:
    """Two means of paired effects agree within 4 standard errors of their difference; 1e-4 is the card's rounding."""
    slos = [slo for slo in cr.load_slos("llm-chat") if slo.name in NAMED]
    fresh = measure_effect(name, slos, of=of, levels=levels, seeds=FRESH_SEEDS)
    for quantity, _, effect, error in fresh.filter(pl.col("quantity").is_in(NAMED)).rows():
        said = effects_of(name)[of, quantity]
        allowed = 4.0 * np.hypot(error, said["standard_error"]) + 1e-4
        assert effect == pytest.approx(said["effect"], abs=allowed), quantity


def test_naive_comparison_of_the_canary_misleads() -> None:
    """Confounding by load hides most of the gain in ttft and exaggerates the harm to tpot."""
    rows = effects_of("llm-canary")
    ttft, tpot = rows["batch_size", "ttft"], rows["batch_size", "tpot"]
    assert abs(ttft["naive"]) < 0.5 * abs(ttft["effect"])
    assert tpot["naive"] > 1.5 * tpot["effect"] > 0


def test_more_batch_looks_good_and_is_bad() -> None:
    row = effects_of("batch-under-load")["batch_size", "tpot"]
    assert row["naive"] < -0.03
    assert row["effect"] > 10.0 * row["standard_error"] > 0


@pytest.mark.parametrize("name", ["llm-canary", "bad-node", "cache-collapse"])
def test_the_blamed_driver_explains_the_most(name: str) -> None:
    drivers = truth_of(name)["drivers"]
    due = {row["driver"]: row["bad_due"]["tpot"] for row in drivers["paired_reruns"]}
    blamed = drivers["true"][0]["variable"]
    assert max(due, key=due.get) == blamed
    assert due[blamed] > 0.5 * drivers["bad"]["tpot"]


def test_the_innocent_did_nothing() -> None:
    due = {row["driver"]: row["bad_due"] for row in truth_of("bad-node")["drivers"]["paired_reruns"]}
    assert abs(due["firmware"]["tpot"]) < 0.02 * due["sm_clock_mhz"]["tpot"]
    due = {row["driver"]: row["bad_due"] for row in truth_of("cache-collapse")["drivers"]["paired_reruns"]}
    assert due["model_version"]["ttft"] == 0


def test_drift_comes_from_input_and_mechanism_both() -> None:
    truth = truth_of("drift")["drivers"]
    due = {row["driver"]: row["bad_due"]["ttft"] for row in truth["paired_reruns"]}
    assert min(due["firmware"], due["prompt_tokens"]) > 0.3 * truth["bad"]["ttft"]
    changes = cr.load_dataset("drift").changes.collect()
    assert "firmware" not in changes["variable"].to_list()
    assert "firmware" not in cr.load_dataset("drift").frame().columns


def test_no_answer_is_refused() -> None:
    """No load was met with both batch sizes, and a hidden neighbour drives the version: the answer is a refusal."""
    windows = cr.window(cr.load_dataset("no-answer"), cr.load_slos("llm-chat")[:3], every="30m", by="node")
    graph = cr.load_graph(load_scenario("no-answer").graph).project(windows.names)
    for row in truth_of("no-answer")["answers"]:
        levels = (4, 8) if row["of"] == "batch_size" else ("v1", "v2")
        answer = cr.effect(windows, graph, of=row["of"], on=row["on"], levels=levels)
        assert answer.verdict == row["right"]
