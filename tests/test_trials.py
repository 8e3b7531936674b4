"""Load tests: shares of bad events in a run, and the cheapest configuration, against what is known by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

import causalrel as cr
from causalrel.reports import extracts
from causalrel.trials import run_at

PRICE = {"A10": 1.2, "H100": 4.0}
ROLES: dict[str, Any] = {
    "gpu_type": "hardware",
    "gpu_count": "config",
    "users": "workload",
    "usd_per_hour": "config",
}
EDGES = [("gpu_type", "ttft"), ("gpu_count", "ttft"), ("users", "ttft")]
OVER: dict[str, Any] = {"gpu_type": None, "gpu_count": None, "users": [32]}


def share(gpu: str, count: int, users: int) -> float:
    """Bad events of a hundred, as every run is drawn."""
    odds = -6 + 1.2 * np.log(users) - (1.5 if gpu == "H100" else 0.0) - np.log(count)
    return float(1 / (1 + np.exp(-odds)))


@pytest.fixture(scope="module")
def tested() -> tuple[cr.Windows, cr.Network]:
    rng = np.random.default_rng(0)
    rows = [
        {"gpu_type": gpu, "gpu_count": count, "users": users, "usd_per_hour": PRICE[gpu] * count, "n": 500}
        | {"bad": rng.binomial(500, share(gpu, count, users))}
        for gpu in PRICE
        for count in (1, 2, 4)
        for users in (1, 2, 4, 8, 16, 32, 64)
    ]
    events, targets = {"ttft": ("n", "bad")}, {"ttft": 0.9}
    windows = cr.Windows.from_frame(pl.DataFrame(rows), time=None, roles=ROLES, events=events, targets=targets)
    graph = cr.Graph.from_edges(EDGES, roles={**ROLES, "ttft": "outcome"}).project(
        ("gpu_type", "gpu_count", "users", "ttft")
    )
    return windows, cr.fit(windows, graph)


@pytest.mark.parametrize(("gpu", "count", "users"), [("A10", 1, 32), ("A10", 4, 64), ("H100", 2, 16)])
def test_a_run_has_the_share_that_it_was_drawn_with(
    tested: tuple[cr.Windows, cr.Network], gpu: str, count: int, users: int
) -> None:
    answer = run_at(*tested, do={"gpu_type": gpu, "gpu_count": count, "users": users})
    draws = answer.select(quantity="bad_share").draws[:, 0]
    low, high = np.quantile(draws, [0.02, 0.98])
    assert low <= share(gpu, count, users) <= high
    assert answer.verdict == "answered"


def test_the_cheapest_that_is_sure_enough_is_recommended(tested: tuple[cr.Windows, cr.Network]) -> None:
    answer = cr.recommend(*tested, over=OVER, cost="usd_per_hour", p=0.9)
    fits = {(gpu, count): share(gpu, count, 32) <= 0.1 for gpu in PRICE for count in (1, 2, 4)}
    gpu, count = min((key for key, met in fits.items() if met), key=lambda key: PRICE[key[0]] * key[1])
    assert answer.decision == f"gpu_type = {gpu}, gpu_count = {count}, users = 32"
    costs = {point.name: point.cost for point in extracts.frontier(answer)}
    assert costs[answer.decision] == pytest.approx(PRICE[gpu] * count)
    assert len(costs) == 6
    assert cr.plot(answer).get_title(loc="left")


def test_more_users_than_any_run_had_are_refused(tested: tuple[cr.Windows, cr.Network]) -> None:
    answer = cr.recommend(*tested, over={**OVER, "users": [500]}, cost="usd_per_hour", p=0.9)
    assert answer.verdict == "refused"
    assert "users = 500 was never seen" in answer.said("seen")


def test_between_runs_is_bounded_where_the_cost_is_of_what_is_set(tested: tuple[cr.Windows, cr.Network]) -> None:
    over = {"gpu_type": ["H100"], "gpu_count": [3], "users": [32]}
    answer = cr.recommend(*tested, over=over, cost="gpu_count * 4", p=0.9)
    assert (answer.verdict, answer.decision) == ("bounded", "gpu_type = H100, gpu_count = 3, users = 32")
    with pytest.raises(cr.CausalrelError, match="no load test had what is asked, so its usd_per_hour is not known"):
        cr.recommend(*tested, over=over, cost="usd_per_hour", p=0.9)


def test_what_comes_is_not_chosen(tested: tuple[cr.Windows, cr.Network]) -> None:
    with pytest.raises(cr.CausalrelError, match="'users' is of role workload, which nobody can set"):
        cr.recommend(*tested, over={**OVER, "users": [16, 32]}, cost="usd_per_hour")


def test_load_tests_are_not_simulated(tested: tuple[cr.Windows, cr.Network]) -> None:
    with pytest.raises(cr.CausalrelError, match="leave scenario out, or ask twin of them"):
        cr.recommend(*tested, over=OVER, cost="usd_per_hour", scenario="llm-canary")


def test_windows_with_times_are_asked_otherwise() -> None:
    windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    network = cr.fit(windows, cr.load_graph("llm-serving").project(windows.names))
    with pytest.raises(cr.CausalrelError, match="ask whatif"):
        run_at(windows, network, do={"batch_size": 4})
