"""Forecasts: when the budget is gone and how probably, against made months that ran to their end."""

from __future__ import annotations

import numpy as np
import pytest
from months import DAYS, graph, make_month

import causalrel as cr

AHEAD = 14
SEEN = (DAYS - AHEAD) * 24


def forecasts(months: int, first: int) -> np.ndarray:
    """Forecast months whose budget is not gone: chance of exhaustion, whether it came, and where its time fell."""
    made = []
    for seed in range(first, first + months):
        month = make_month(seed)
        if month.exhausted <= SEEN:
            continue
        windows = month.seen(DAYS - AHEAD)
        answer = cr.forecast(windows, cr.fit(windows, graph()), horizon=f"{AHEAD}d", seed=seed)
        gone = answer.select(quantity="exhausted_by").draws[:, -1] == 1
        hours = np.where(gone, answer.select(quantity="exhaustion_time").draws[:, 0], np.inf)
        truth = month.exhausted - SEEN
        # A place among futures that last is drawn, since none of them tells when.
        low, high = (hours < truth).mean(), (hours <= truth).mean()
        made.append((gone.mean(), np.isfinite(truth), np.random.default_rng([seed, 9]).uniform(low, high)))
    return np.array(made, dtype=np.float64)


@pytest.mark.slow
def test_intervals_hold_the_time_of_exhaustion_and_chances_come_true() -> None:
    """Of 40 months a 90 % interval holds all but 10 or fewer (binomial, 99.8 %), and chances beat a coin's by far."""
    chance, gone, place = forecasts(40, 3000).T
    assert ((place >= 0.05) & (place <= 0.95)).sum() >= len(place) - 10
    assert np.mean((chance - gone) ** 2) < 0.18
    assert 0.5 < np.polyfit(chance, gone, 1)[0] < 1.5


@pytest.mark.long
@pytest.mark.slow
def test_500_months() -> None:
    chance, gone, place = forecasts(500, 600_000).T
    slope = np.polyfit(chance, gone, 1)[0]
    covered = np.mean((place >= 0.05) & (place <= 0.95))
    print(f"covered {covered:.1%} of {len(place)} months, slope {slope:.2f}")  # noqa: T201
    assert 0.87 <= covered <= 0.93
    assert 0.9 <= slope <= 1.1
