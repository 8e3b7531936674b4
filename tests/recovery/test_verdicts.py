"""Simulated rollouts: what is shipped does harm as rarely as stated, and chances are those that come true."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from bench_verdicts import slope, tell


def figures(seeds: range) -> dict[str, float]:
    told = [tell(seed) for seed in seeds]
    shipped = [one for one in told if one.decision == "ship"]
    line, error = slope(np.array([one.chance for one in told]), np.array([float(one.gone) for one in told]))
    return {
        "shipped": len(shipped),
        "wrong": sum(one.harmed for one in shipped),
        "slope": line,
        "error": error,
        "most": max(one.risk for one in shipped),
    }


@pytest.mark.slow
def test_forty_rollouts() -> None:
    """Of n shipped at a risk below 1/11 more than 1/11 n + 3 binomial sd are wrong once in 700."""
    found = figures(range(71_000, 71_040))
    shipped = found["shipped"]
    assert found["wrong"] <= shipped / 11 + 3 * np.sqrt(shipped / 11 * 10 / 11)
    assert abs(found["slope"] - 1) < 0.1 + 3 * found["error"]


@pytest.mark.long
@pytest.mark.slow
def test_four_hundred_rollouts() -> None:
    found = figures(range(72_000, 72_400))
    assert found["wrong"] / found["shipped"] <= 1 / 11
    assert 0.9 <= found["slope"] <= 1.1
