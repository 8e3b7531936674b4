"""A simulator whose bias is learnt from what was run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from twin_worlds import ROLES, configuration, score

import causalrel as cr
from causalrel import cli, twins


def frame_of(runs: int, rng: np.random.Generator) -> pl.DataFrame:
    """Runs of a service whose first token takes twice what the simulator says, and on A100 three times that."""
    rows = [configuration(rng) for _ in range(runs)]
    wrong = [2.0 * (3.0 if row["gpu_type"] == "A100-SXM" else 1.0) for row in rows]
    noise = np.exp(0.05 * rng.normal(size=runs))
    seen = [fake(row) * bias * float(one) for row, bias, one in zip(rows, wrong, noise, strict=True)]
    return pl.DataFrame([{**row, "ttft_s": value} for row, value in zip(rows, seen, strict=True)])


def fake(settings: Any) -> float:
    return float(0.1 + 0.02 * settings["load"] * 64 / settings["batch_size"])


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> cr.Windows:
    """Forty runs, and a simulator that takes no time."""
    monkeypatch.setattr(twins, "mean_of", lambda _scenario, settings, *_: fake(settings))
    frame = frame_of(40, np.random.default_rng(3))
    return cr.Windows.from_frame(frame, time=None, roles=ROLES, events={})


def asked(seed: int, **more: object) -> dict[str, object]:
    return {**configuration(np.random.default_rng(seed)), **more}


def test_a_bias_by_hardware_is_learnt(runs: cr.Windows) -> None:
    at = [asked(seed, gpu_type=gpu, batch_size=32, load=1.0) for seed, gpu in ((1, "A100-SXM"), (2, "H100-SXM"))]
    answer = cr.twin(runs, "quiet-tenant", on="ttft_s", at=at)
    ratio = answer.frame()["mean"] / answer.terms["simulated"]
    assert ratio.to_list() == pytest.approx([6.0, 2.0], rel=0.15)
    assert answer.unit == "s"


def test_far_away_is_refused(runs: cr.Windows) -> None:
    far = [asked(1, gpu_type="L40S"), asked(1, gpu_count=64), asked(1, load=200.0), asked(1, batch_size=5000)]
    answer = cr.twin(runs, "quiet-tenant", on="ttft_s", at=far)
    assert answer.verdict == "refused"
    assert answer.why.count("gpu_type") == 4


def test_a_little_beyond_is_told_and_wider(runs: cr.Windows) -> None:
    inner = cr.twin(runs, "quiet-tenant", on="ttft_s", at=asked(1, load=1.0)).frame().row(0, named=True)
    answer = cr.twin(runs, "quiet-tenant", on="ttft_s", at=[asked(1, load=4.0), asked(1, gpu_type="A40")])
    outer = answer.frame().row(0, named=True)
    assert (answer.verdict, outer["standing"], answer.terms.height) == ("bounded", "beyond", 1)
    assert outer["high"] / outer["low"] > inner["high"] / inner["low"]


@pytest.mark.parametrize(
    ("at", "on", "says"),
    [
        ({"load": 1.0}, "ttft_s", "lacks batch_size"),
        (asked(1, colour="red"), "ttft_s", "sets colour"),
        (asked(1), "tpot_s", "number of the runs"),
        (asked(1, batch_size="many"), "ttft_s", "batch_size = many is no number"),
        (asked(1, batch_size=5.5), "ttft_s", "batch_size = 5.5 is no whole number"),
    ],
)
def test_what_cannot_be_asked_is_told(runs: cr.Windows, at: dict[str, object], on: str, says: str) -> None:
    with pytest.raises(cr.CausalrelError, match=says):
        cr.twin(runs, "quiet-tenant", on=on, at=at)


def test_few_runs_are_refused(runs: cr.Windows) -> None:
    few = cr.Windows.from_frame(runs.table.head(19).drop("time", "unit"), time=None, roles=ROLES, events={})
    with pytest.raises(cr.CausalrelError, match="there are 19 complete runs, and 20 are the least"):
        cr.twin(few, "quiet-tenant", on="ttft_s", at=asked(1))


def test_the_command_line_asks_of_a_table_of_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(twins, "mean_of", lambda _scenario, settings, *_: fake(settings))
    path = tmp_path / "runs.parquet"
    frame_of(30, np.random.default_rng(3)).with_columns(note=pl.lit("kept out")).write_parquet(path)
    at = "load=1,batch_size=32,max_batched_tokens=1024,gpu_count=4,gpu_type=H100-SXM"
    words = ["causalrel", "twin", str(path), "--scenario", "quiet-tenant", "--format", "json", "--on"]
    monkeypatch.setattr(sys, "argv", [*words, "ttft_s", "--at", at])
    assert cli.main() == 0
    assert "ttft_s" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", [*words, "latency", "--at", at])
    assert cli.main() == 2
    assert "there is no column of runs.parquet 'latency'" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", [*words, "ttft_s", "--at", "load"])
    assert cli.main() == 2
    assert "--at 'load' is no configuration" in capsys.readouterr().err


@pytest.mark.slow
def test_a_service_the_simulator_does_not_know_is_foretold_twice_as_well() -> None:
    """By the median: of the twelve, three are past what the service carries, where thirty runs do not tell the leap."""
    made = score(5000, seen=30, held=12)
    assert np.median(made.twin) < np.median(made.alone) / 2
    assert made.inside.mean() >= 0.6
    assert made.refused == made.far
