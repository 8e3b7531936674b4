"""Pages of the 14.4x rule and of its posterior on simulated traffic whose true burn is known.

A 99.9 % objective over 30 days, Poisson requests, looked at each minute. Asked of 60 requests an hour: at half the
budget's pace at most one false page in 30 days, and a true burn of 14.4 caught within 1.5 times the rule's delay. The
first is met (0.6 pages where the rule pages 20 times). The second cannot be met with it: the rule pages on every
single bad request, and an alert that lets single ones pass waits for a second, 2.3 h on average, 1.8 times the rule's
1.3 h; measured are 2.5 times. From 300 requests an hour on both are met.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from causalrel.budgets.alerts import RULES, burn_chance, threshold_of

ALLOWED = 0.001
LONG, SHORT = (int(length / timedelta(minutes=1)) for length in RULES[0][1:3])
THRESHOLD = threshold_of(timedelta(days=30), RULES[0][1], RULES[0][3])
MONTH = 30 * 24 * 60
BEFORE = 120


def trailing(counts: Any, length: int) -> Any:
    """Return sums over the last ``length`` minutes, zero until there are as many."""
    sums = np.cumsum(counts, axis=1, dtype=float)
    made = np.zeros_like(sums)
    made[:, length:] = sums[:, length:] - sums[:, :-length]
    return made


def fires(total: Any, bad: Any) -> tuple[Any, Any]:
    """Return, minute by minute, whether the rule and whether its posterior fires."""
    longs, shorts = ([trailing(counts, length) for counts in (total, bad)] for length in (LONG, SHORT))
    rule = (longs[1] > THRESHOLD * ALLOWED * longs[0]) & (shorts[1] > THRESHOLD * ALLOWED * shorts[0])
    sure = np.zeros_like(rule)
    sure[rule] = burn_chance(longs[1][rule], longs[0][rule], THRESHOLD, ALLOWED) >= 0.5
    return rule, sure


def traffic(rng: np.random.Generator, rate: float, burn: Any, repeats: int) -> tuple[Any, Any]:
    total = rng.poisson(rate / 60, (repeats, len(burn)))
    return total, rng.binomial(total, ALLOWED * burn)


def pages(firing: Any) -> float:
    """Return how often an alert begins, on average over repeats."""
    return float((firing[:, 1:] & ~firing[:, :-1]).sum(axis=1).mean())


def delay_h(firing: Any) -> float:
    after = firing[:, BEFORE:]
    return float(np.where(after.any(axis=1), after.argmax(axis=1) + 1, after.shape[1]).mean() / 60)


def measured(rate: float, months: int, incidents: int, seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    quiet = fires(*traffic(rng, rate, np.full(MONTH, 0.5), months))
    burn = np.concatenate([np.full(BEFORE, 0.5), np.full(2 * 1440, THRESHOLD)])
    burnt = fires(*traffic(rng, rate, burn, incidents))
    made = {"rate": rate, "rule": pages(quiet[0]), "sure": pages(quiet[1])}
    made |= {"rule_h": delay_h(burnt[0]), "sure_h": delay_h(burnt[1])}
    made["ratio"] = made["sure_h"] / made["rule_h"]
    print({name: round(value, 2) for name, value in made.items()})  # noqa: T201
    return made


def test_few_requests_do_not_page_and_many_are_caught_as_fast() -> None:
    few = measured(60, months=12, incidents=300, seed=1)
    assert few["rule"] > 15
    assert few["sure"] <= 1.0
    many = measured(600, months=2, incidents=300, seed=2)
    assert many["sure"] <= many["rule"] + 1e-9
    assert many["ratio"] <= 1.5


@pytest.mark.slow
def test_false_pages_and_delays_by_traffic() -> None:
    made = {rate: measured(rate, months=60, incidents=1500, seed=rate) for rate in (20, 60, 120, 300, 600, 6000)}
    assert 17 < made[60]["rule"] < 22
    assert made[60]["sure"] <= 1.0
    assert all(row["sure"] <= 1.0 for row in made.values())
    assert all(made[rate]["ratio"] <= 1.5 for rate in (300, 600, 6000))
    second_h = 2 / (60 * ALLOWED * THRESHOLD)
    assert second_h / made[60]["rule_h"] > 1.5, "waiting for a second bad request alone takes longer than asked"
    assert made[60]["ratio"] < 3.0
