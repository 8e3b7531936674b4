"""Fitting: one mechanism a variable, the same with the same seed, refused where data are too few."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from months import Month, graph
from worlds import EDGES, ROLES, serving_graph, serving_world

import causalrel as cr


def test_forms_follow_roles() -> None:
    windows, _ = serving_world()
    network = cr.fit(windows, serving_graph())
    forms = {m.variable.name: m.form for m in network.mechanisms}
    assert forms == {
        "load": "observed",
        "sm_clock_mhz": "observed",
        "batch_size": "observed",
        "queue_s": "regression",
        "ttft": "event-rate",
    }
    assert network.mechanism("ttft").explained > 0.4


def test_same_seed_same_draws_and_another_seed_others() -> None:
    windows, _ = serving_world()
    one, two, other = (cr.fit(windows, serving_graph(), seed=seed).mechanism("ttft").draws for seed in (0, 0, 1))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_variable_the_windows_lack_is_named_with_the_remedy() -> None:
    windows, _ = serving_world()
    graph = cr.Graph.from_edges([*EDGES, ("kv_usage", "ttft")], roles={**ROLES, "kv_usage": "engine"})
    with pytest.raises(cr.CausalrelError, match=r"has kv_usage, which the windows lack; marginalise"):
        cr.fit(windows, graph)
    assert cr.fit(windows, graph.project(windows.names)).mechanism("ttft").parents


def test_a_lagged_graph_is_fitted_as_tables_which_no_forecast_runs_forward() -> None:
    windows, _ = serving_world()
    network = cr.fit(windows, cr.Graph.from_edges([*EDGES, ("queue_s", "ttft", 1)], roles=ROLES))
    assert {mechanism.form for mechanism in network.mechanisms} == {"table"}
    with pytest.raises(cr.CausalrelError, match=r"forward over windows is refused: .*fit without states="):
        cr.forecast(windows, network, horizon="1h")


def test_an_slo_that_causes_is_refused() -> None:
    windows, _ = serving_world()
    graph = cr.Graph.from_edges([*EDGES, ("ttft", "e2e")], roles={**ROLES, "e2e": "outcome"})
    windows = replace(windows, variables=(*windows.variables, graph.variable("e2e")))
    with pytest.raises(cr.CausalrelError, match="SLO 'ttft' causes 'e2e' in it"):
        cr.fit(windows, graph)


def test_too_few_windows_are_refused_with_the_count() -> None:
    windows, _ = serving_world()
    few = replace(windows, table=windows.table.head(20))
    with pytest.raises(cr.CausalrelError, match=r"coefficients need \d+ complete windows and there are 20"):
        cr.fit(few, serving_graph())


def test_gaps_and_constant_causes_are_told_not_fatal() -> None:
    windows, _ = serving_world()
    gap = pl.when(pl.int_range(pl.len()) % 7 == 0).then(None)
    table = windows.table.with_columns(
        gap.otherwise(pl.col("queue_s")).alias("queue_s"), pl.lit(1980.0).alias("sm_clock_mhz")
    )
    network = cr.fit(replace(windows, table=table), serving_graph())
    assert "sm_clock_mhz" not in network.mechanism("ttft").parents
    assert any("sm_clock_mhz never varied" in check.says for check in network.checks)


@pytest.mark.parametrize("seed", [7, 9, 10, 21])
def test_events_that_load_tells_without_a_doubt_are_fitted(seed: int) -> None:
    """Nothing fails below what a service carries, nearly all above: coefficients run away, shares do not."""
    rng = np.random.default_rng(seed)
    load = np.exp(rng.normal(0, 0.5, 264)) * 588
    load[rng.integers(264)] = 0
    total, most = rng.poisson(load * 1200), np.quantile(load, 0.95)
    share = np.where(load > most, np.clip(1.3 - most / np.maximum(load, 1e-9), 0, 0.95), 1e-7 * load / most)
    month = Month(kind="full", load=load, total=total, bad=rng.binomial(total, share))
    windows = month.seen(11)
    network = cr.fit(windows, graph())
    told = network.mechanism("up").predictor({"load": windows.table["load"].to_numpy()})
    bad = (total[:264] / (1 + np.exp(-told.T))).sum(axis=1)
    assert np.isfinite(told).all()
    assert bad.mean() == pytest.approx(windows.table["up.bad"].sum(), rel=0.2)
