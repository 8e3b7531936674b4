"""Effects on real experiments whose truth was run, and on two classic sets whose truth is known."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from real_experiments import IHDP_HELD, LALONDE_HELD, SHARED, ask, ask_gpus, contrasts, ihdp, lalonde

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data")


def test_gpu_counts_of_confounded_load_tests_hold_the_truth_and_beat_the_naive_difference() -> None:
    """A 90 % interval holds the truth at the loads it speaks of at least 85 times in 100."""
    inside, errors, naive = [], [], []
    for contrast in contrasts(["EleutherAI/gpt-neox-20b", "llama-7b"]):
        for seed in range(3):
            made = ask_gpus(contrast, seed)
            if made is None or made[0].verdict == "refused":
                continue
            answer, cells = made
            truth = contrast.truth(cells["num_users"].to_numpy()[answer.speaks])
            by = cells.group_by("n_gpus").agg(pl.col("share").mean()).sort("n_gpus")["share"]
            inside.append(answer.covers(truth))
            errors.append(answer.mean - contrast.truth())
            naive.append(by[1] - by[0] - contrast.truth())
    assert len(inside) >= 10
    assert np.mean(inside) >= 0.85
    assert np.mean(np.square(errors)) < np.mean(np.square(naive))


def test_larger_batch_serves_more_at_equal_load_and_a_dead_flag_does_nothing() -> None:
    """Naive, each variant at its own rates, the larger batch gains nearly twice what it does at equal load."""
    stages = pl.read_csv(SHARED / "kubecon_vllm" / "stages.csv")

    def served(before: str, after: str) -> tuple[float, float, float]:
        both = stages.filter(pl.col("variant").is_in([before, after]))
        both = both.with_columns(changed=(pl.col("variant") == after).cast(pl.Int64))
        made = ask(both, of="changed", on="requests_per_s", held=("requested_rps",), levels=(0.0, 1.0))
        sides = [both.filter(pl.col("changed") == side).sort("requested_rps") for side in (0, 1)]
        at = both["requested_rps"].to_numpy()[made.speaks]
        read = [np.interp(at, side["requested_rps"], side["requests_per_s"]) for side in sides]
        assert made.covers(float(np.mean(read[1] - read[0])))
        return made.low, made.mean, made.high

    low, mean, high = served("vllm", "vllm+batch_size")
    assert mean > 0
    assert high < 3 * mean
    low, _, high = served("vllm+chunking_and_prefix_caching", "vllm+quantization")
    assert low < 0 < high
    assert high - low < 2


def test_ihdp_is_within_an_eighth_of_the_truth() -> None:
    """Mean absolute error of five replications, the outcome's standard deviation being about 2."""
    errors = []
    for replication in range(1, 6):
        frame, truth = ihdp(replication)
        errors.append(ask(frame, of="treatment", on="y_factual", held=IHDP_HELD, levels=(0.0, 1.0)).mean - truth)
    assert np.abs(errors).mean() <= 0.12


def test_lalonde_speaks_of_the_treated_alone_and_holds_the_trial_benchmark() -> None:
    """The randomised trial found 1,794; comparing everybody gives -8,498."""
    pytest.importorskip("causaldata")
    answer = ask(lalonde(), of="treat", on="re78", held=LALONDE_HELD, levels=(0.0, 1.0))
    assert answer.verdict == "bounded"
    assert answer.covers(1794)
    assert abs(answer.mean - 1794) <= 400


def test_same_prompts_at_two_rates_agree_with_their_pairs() -> None:
    """Every prompt was sent at both rates, so the paired difference is the effect between the two runs."""
    runs = pl.read_parquet(SHARED / "dstack_bench" / "serving_requests.parquet").filter(
        pl.col("ttft_s").is_not_null()
        & pl.col("request_rate").is_in([16.0, 32.0])
        & (pl.col("hardware") == "8xH100-SXM5")
    )
    both = runs.filter(pl.len().over("prompt_index") == 2)
    paired = both.pivot("request_rate", index="prompt_index", values="ttft_s")
    answer = ask(both, of="request_rate", on="ttft_s", held=("input_tokens",), levels=(16.0, 32.0))
    assert answer.covers(float((paired["32.0"] - paired["16.0"]).mean()))
    assert answer.high - answer.low < 3
