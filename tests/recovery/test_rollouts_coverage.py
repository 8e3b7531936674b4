"""Rollouts: measured coverage on made worlds, and drift that placebos must tell."""

from __future__ import annotations

import numpy as np
import pytest
from rollout_worlds import rollout_world

import causalrel as cr

WORLDS = 40


@pytest.mark.slow
@pytest.mark.parametrize(
    ("design", "memory", "outcome"),
    [
        ("interrupted", 0.5, "rare event"),
        pytest.param("differences", 0.9, "continuous", marks=pytest.mark.long),
        ("synthetic", 0.0, "rare event"),
    ],
)
def test_interval_of_95_percent_covers_and_bias_is_small(design: str, memory: float, outcome: str) -> None:
    """Among 40 worlds a 95 % interval covers 33 to 40 times (binomial band of 99.8 %)."""
    inside, errors, truths = 0, [], []
    for seed in range(9000, 9000 + WORLDS):
        world = rollout_world(seed, design=design, memory=memory, outcome=outcome)
        answer = cr.effect(world.windows, world.graph, of="model_version", on=world.on, design=design)
        draws = answer.select(quantity="value" if outcome == "continuous" else "bad_share", when="all").draws[:, 0]
        low, high = np.quantile(draws, [0.025, 0.975])
        inside += low <= world.truth <= high
        errors.append(draws.mean() - world.truth)
        truths.append(world.truth)
    assert 33 <= inside <= WORLDS
    assert abs(np.mean(errors)) < 0.1 * np.mean(truths) + 3 * np.std(errors) / np.sqrt(WORLDS)


@pytest.mark.slow
def test_placebos_tell_most_drift_of_three_standard_deviations() -> None:
    failed = 0
    for seed in range(9000, 9020):
        world = rollout_world(seed, design="differences", memory=0.5, outcome="continuous", drift=3.0)
        answer = cr.effect(world.windows, world.graph, of="model_version", on=world.on, design="differences")
        failed += any(check.name == "placebo in time" for check in answer.failed)
    assert failed > 10
