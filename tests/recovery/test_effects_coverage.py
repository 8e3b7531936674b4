"""Effects: measured coverage on made worlds and on the simulation, where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from telemetry_worlds import hidden_world, telemetry_world
from worlds import serving_graph, serving_world

import causalrel as cr
from causalrel.inference import residuals, run
from causalrel.mechanisms.drafts import rows_of
from causalrel.telemetry.datasets import load_card
from causalrel.variables import parse_time

WORLDS = 60


@pytest.mark.parametrize("memory", [pytest.param(0.0, marks=pytest.mark.long), 0.9])
def test_interval_of_90_percent_covers_and_bias_is_small(memory: float) -> None:
    """Among 60 worlds a 90 % interval covers 47 to 60 times (binomial band of 99.8 %)."""
    inside, errors, truths = 0, [], []
    for seed in range(WORLDS):
        windows, truth = serving_world(1000 + seed, memory=memory)
        answer = cr.effect(windows, serving_graph(), of="batch_size", on="ttft", levels=(4, 8))
        draws = answer.select(quantity="burn").draws[:, 0]
        low, high = np.quantile(draws, [0.05, 0.95])
        inside += low <= truth <= high
        errors.append(draws.mean() - truth)
        truths.append(truth)
    assert 47 <= inside <= 60
    standard_error = np.std(errors) / np.sqrt(WORLDS)
    assert abs(np.mean(errors)) < 0.03 * np.mean(truths) + 3 * standard_error


@pytest.mark.parametrize(
    ("memory", "hold", "shape", "outcome"),
    [
        (0.9, "240 min", "linear", "continuous"),
        (0.98, "60 min", "LLM-like", "continuous"),
        (0.9, "few switches", "LLM-like", "rare event"),
        (0.0, "60 min", "linear", "rare event"),
    ],
)
def test_interval_of_95_percent_covers_on_made_telemetry(memory: float, hold: str, shape: str, outcome: str) -> None:
    """Among 24 worlds a 95 % interval covers 20 or more (below that has a chance of one in a thousand)."""
    inside = 0
    for seed in range(24):
        world = telemetry_world(40_000 + seed, memory=memory, hold=hold, shape=shape, outcome=outcome)
        answer = cr.effect(world.windows, world.graph, of="batch_size", on=world.on, levels=(4, 8))
        quantity = "value" if outcome == "continuous" else "bad_share"
        low, high = np.quantile(answer.select(quantity=quantity).draws[:, 0], [0.025, 0.975])
        inside += low <= world.truth() <= high
    assert inside >= 20


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "outcome"), [("front door", "continuous"), ("front door", "rare event"), ("instrument", "continuous")]
)
def test_interval_of_95_percent_covers_past_a_hidden_cause(way: str, outcome: str) -> None:
    """Among 12 worlds it covers 9 or more (fewer: one in 450), and the naive difference at most 3 times."""
    inside, naive_inside = 0, 0
    for seed in range(50_000, 50_012):
        world = hidden_world(seed, way=way, outcome=outcome)
        answer = cr.effect(world.windows, world.graph, of="batch_size", on=world.on, levels=(4, 8))
        quantity = "value" if outcome == "continuous" else "bad_share"
        low, high = np.quantile(answer.select(quantity=quantity).draws[:, 0], [0.025, 0.975])
        inside += low <= world.truth() <= high
        table = world.windows.table
        larger = (table["batch_size"] == 8).to_numpy()
        outcomes = (table["latency"] if outcome == "continuous" else table["ttft.bad"] / table["ttft.total"]).to_numpy()
        naive_inside += low <= outcomes[larger].mean() - outcomes[~larger].mean() <= high
    assert inside >= 9
    assert naive_inside <= 3


def test_truth_of_the_shipped_data_is_recovered_where_the_naive_difference_is_not() -> None:
    """Simulated reruns with the level held give the truth; 99 % intervals, one for each of five effects."""
    card = load_card("llm-canary")
    windows = cr.window(
        cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every=card["report"]["every"], by=card["report"]["by"]
    )
    graph = cr.load_graph("llm-serving").project(windows.names)
    naive_inside = 0
    asked = {("batch_size", on) for on in ("ttft", "tpot", "availability")}
    asked |= {("model_version", on) for on in ("ttft", "tpot")}
    truths = [row for row in card["truth"]["effects"] if (row["of"], row["on"]) in asked]
    assert {(row["of"], row["on"]) for row in truths} == asked
    for told in truths:
        answer = cr.effect(windows, graph, of=told["of"], levels=told["levels"], on=told["on"])
        share = answer.select(quantity="bad_share").frame(prob=0.99).row(0, named=True)
        assert share["low"] <= float(told["effect_at_seed"]) <= share["high"], told
        naive_inside += share["low"] <= float(told["naive"]) <= share["high"]
    assert naive_inside <= 2


@pytest.mark.parametrize("on", ["ttft", "tpot", "availability"])
def test_planted_driver_of_the_bad_day_is_recovered(on: str) -> None:
    """The failing clock leads the ledger; bad events without its fault come within 20 % of a rerun without it.

    The tolerance is a bias bound, not an interval: the mechanisms are splines of window means, the rerun is exact.
    """
    card = load_card("llm-canary")
    told = next(t for t in card["truth"]["drivers"]["paired_reruns"] if t["driver"] == "sm_clock_mhz")
    windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="30m", by="node")
    network = cr.fit(windows, cr.load_graph("llm-serving").project(windows.names))
    during = tuple(card["truth"]["drivers"]["during"])
    ledger = cr.attribute(windows, network, during=during, on=on).select(quantity="events").frame()
    causes = ledger.filter(~ledger["driver"].is_in(["total", "unexplained"])).sort("mean", descending=True)
    assert causes["driver"][0] == "sm_clock_mhz"
    mechanisms = network.causes([on])
    columns, kept = rows_of(windows, [m.variable.name for m in mechanisms])
    inside = (kept["time"] >= parse_time(during[0], "during")).to_numpy()
    columns = {name: column[inside] for name, column in columns.items()}
    left = residuals(mechanisms, columns)
    mended = {"sm_clock_mhz": np.full(int(inside.sum()), float(told["instead"]))}
    shares = [run(mechanisms, columns, left, do)[on] for do in ({}, mended)]
    due = (columns[f"{on}.total"][:, None] * (shares[0] - shares[1])).sum(axis=0).mean()
    assert due == pytest.approx(float(told["bad_due"][on]), rel=0.2)
