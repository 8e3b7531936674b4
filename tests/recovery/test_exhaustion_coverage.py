"""When a budget is gone: the 90 % interval against simulated months that ran to their end."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from causalrel import Windows, budget

START = datetime(2026, 4, 1, tzinfo=UTC)
HOURS = 30 * 24
SEEN = 6 * 24
TARGET = 0.99


def month(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return total and bad requests of each hour: a true burn that uses the budget up in it, hours that scatter."""
    burn, scatter = rng.uniform(1.6, 3.2), rng.choice([0.0, 0.5, 2.0])
    total = rng.poisson(rng.choice([200, 1000]), HOURS)
    mixed = rng.gamma(1 / scatter, scatter, HOURS) if scatter else np.ones(HOURS)
    return total, rng.binomial(total, np.minimum((1 - TARGET) * burn * mixed, 1.0))


def is_inside(seed: int) -> tuple[bool, bool]:
    """Say whether the interval told after six days holds the time of exhaustion, and whether it ends in the month."""
    rng = np.random.default_rng(seed)
    total, bad = month(rng)
    frame = pl.DataFrame(
        {
            "t": [START + timedelta(hours=hour) for hour in range(SEEN)],
            "n": total[:SEEN],
            "bad": bad[:SEEN],
        }
    )
    made = Windows.from_frame(frame, time="t", roles={}, events={"up": ("n", "bad")}, targets={"up": TARGET})
    clock = {"period": timedelta(days=30), "months": 1, "rolling": False, "start": "2026-04-01 00:00:00"}
    made = replace(made, slos=tuple(replace(slo, **clock) for slo in made.slos))
    answer = budget(made, seed=seed).exhaustion(seed=seed).select(quantity="time_left")
    low, high = answer.frame(0.9).select("low", "high").row(0)
    gone = np.cumsum(bad) >= (1 - TARGET) * total.sum()
    left = float(gone.argmax() + 1 - SEEN) if gone.any() else float(HOURS - SEEN)
    # The truth is known to the hour: it happened within the hour that ends then.
    return low <= left and left - 1 <= high, high < HOURS - SEEN


def coverage(months: int) -> float:
    made = np.array([is_inside(seed) for seed in range(months)])
    told = f"inside {made[:, 0].mean():.1%} of {months} months, {made[:, 1].mean():.0%} of the intervals end in them"
    print(told)  # noqa: T201
    return float(made[:, 0].mean())


def test_intervals_hold_the_time_of_exhaustion() -> None:
    """Of 60 months a 90 % interval holds 47 to 60 (binomial band of 99.8 %)."""
    assert coverage(60) >= 47 / 60


@pytest.mark.long
@pytest.mark.slow
def test_a_90_percent_interval_covers_87_to_93_percent_of_500_months() -> None:
    assert 0.87 <= coverage(500) <= 0.93
