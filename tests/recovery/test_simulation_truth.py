"""The truth on the card of ``llm-canary`` is what fresh paired reruns measure, and a naive comparison is not."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from causalrel.shipped import load_yaml, root
from causalrel.simulation import simulate

pytestmark = pytest.mark.slow

FRESH_SEEDS = range(100, 106)
GOOD = {
    "ttft": (pl.col("ttft_s") <= 12.0) & pl.col("error").is_null(),
    "tpot": (pl.col("tpot_s") <= 0.075) & pl.col("error").is_null(),
    "availability": pl.col("error").is_null(),
}


def bad_share(frame: pl.DataFrame, slo: str) -> float:
    return float(frame.select((~GOOD[slo].fill_null(False)).mean()).item())


@pytest.fixture(scope="module")
def truth() -> dict:
    return load_yaml(root() / "datasets" / "llm-canary" / "card.yaml", "card")[0]["truth"]


@pytest.mark.parametrize(("variable", "levels"), [("batch_size", (4, 8)), ("model_version", ("v1", "v2"))])
def test_effects_recur_at_fresh_seeds(truth: dict, variable: str, levels: tuple) -> None:
    """Two means of paired effects agree within 4 of the standard error of their difference."""
    runs = [[simulate("llm-canary", seed=s, do={variable: level}).frame() for level in levels] for s in FRESH_SEEDS]
    for row in (row for row in truth["effects"] if row["of"] == variable):
        fresh = np.array([bad_share(high, row["on"]) - bad_share(low, row["on"]) for low, high in runs])
        error = np.hypot(float(row["standard_error"]), fresh.std(ddof=1) / np.sqrt(fresh.size))
        assert fresh.mean() == pytest.approx(float(row["effect"]), abs=4.0 * error), row["on"]
        assert (np.sign(fresh) == np.sign(float(row["effect"]))).all()


def test_naive_comparison_misleads(truth: dict) -> None:
    """Confounding by load hides most of the gain in ttft and exaggerates the harm to tpot."""
    batch = {row["on"]: row for row in truth["effects"] if row["of"] == "batch_size"}
    assert abs(float(batch["ttft"]["naive"])) < 0.5 * abs(float(batch["ttft"]["effect"]))
    assert float(batch["tpot"]["naive"]) > 1.5 * float(batch["tpot"]["effect"])


def test_the_bad_node_drives_the_last_day(truth: dict) -> None:
    reruns = truth["drivers"]["paired_reruns"]
    for slo in GOOD:
        due = {row["driver"]: int(row["bad_due"]) for row in reruns if row["on"] == slo}
        assert max(due, key=lambda driver: due[driver]) == "sm_clock_mhz"
    clock = next(row for row in reruns if row["driver"] == "sm_clock_mhz" and row["on"] == "ttft")
    assert int(clock["bad_due_on_gpu-3"]) >= 0.95 * int(clock["bad_due"])


def test_the_budget_is_burnt(truth: dict) -> None:
    frame = simulate("llm-canary", seed=12).frame()
    days = frame.group_by(day=pl.col("time").dt.date()).agg((~GOOD["ttft"].fill_null(False)).mean()).sort("day")
    shares = days[days.columns[1]].to_list()
    assert shares[0] < 0.03
    assert shares[-1] == max(shares)
    assert shares[-1] > 1.5 * (1.0 - float(truth["target"]["ttft"]))
