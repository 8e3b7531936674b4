"""Costs: sums of what requests cost on the futures that budgets are followed on, paired, or not told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from worlds import EDGES, ROLES, serving_graph, serving_world

import causalrel as cr
from causalrel.variables import Variable

COST = Variable(name="cost_usd", role="outcome", unit="USD")
ENERGY = Variable(name="energy_j", role="outcome", unit="J")
WIDTH = 1800


def priced(windows: cr.Windows, *, extra: tuple[Variable, ...] = (COST,), **columns: pl.Expr) -> cr.Windows:
    return replace(windows, table=windows.table.with_columns(**columns), variables=(*windows.variables, *extra))


def bill(seed: int = 3) -> pl.Expr:
    """Half a cent a request at batch 4, a third less at batch 8, and noise of a few percent."""
    noise = pl.Series(np.exp(0.05 * np.random.default_rng(seed).normal(size=7 * 48 * 4)))
    return (0.005 - 0.0004 * (pl.col("batch_size") - 4)) * noise


@pytest.fixture(scope="module")
def world():
    windows, _ = serving_world(6)
    return windows


def modelled() -> cr.Graph:
    edges = [*EDGES, ("load", "cost_usd"), ("batch_size", "cost_usd")]
    return cr.Graph.from_edges(edges, roles={**ROLES, "cost_usd": "outcome"}, name="priced")  # type: ignore[arg-type]


def test_steady_requests_at_a_steady_price_cost_what_they_must(world) -> None:
    steady = priced(world, extra=(COST, ENERGY), load=pl.lit(2.0), cost_usd=pl.lit(0.01), energy_j=pl.lit(300.0))
    steady = replace(steady, table=steady.table.with_columns(pl.lit(72).cast(pl.Int64).alias("ttft.total")))
    answer = cr.forecast(steady, cr.fit(steady, serving_graph()), horizon="36h")
    requests, cost = 4 * 2.0 * 36 * 3600, answer.select(quantity="cost").draws
    assert np.median(cost) == pytest.approx(requests * 0.01, rel=0.01)
    assert answer.select(quantity="energy").draws == pytest.approx(cost * 300.0 / 0.01)
    assert answer.select(quantity="energy").terms["unit"].to_list() == ["J"]


def test_a_bill_goes_with_the_events_of_its_future(world) -> None:
    windows = priced(world, cost_usd=pl.lit(0.01), load=pl.col("ttft.total") / WIDTH)
    answer = cr.forecast(windows, cr.fit(windows, serving_graph()), horizon="3d")
    events, share = (answer.select(slo="ttft", quantity=name).draws[:, 0] for name in ("events", "bad_share"))
    assert answer.select(quantity="cost").draws[:, 0] == pytest.approx(0.01 * events / share, rel=1e-3)


def test_budgets_do_not_hear_of_costs(world) -> None:
    plain = cr.forecast(world, cr.fit(world, serving_graph()), horizon="3d")
    costly = priced(world, cost_usd=pl.when(pl.col("load") > 2).then(0.01))
    with_costs = cr.forecast(costly, cr.fit(costly, serving_graph()), horizon="3d")
    assert np.array_equal(plain.select(slo="ttft").draws, with_costs.select(slo="ttft").draws)
    assert "cost" not in plain.terms["quantity"].to_list()


def test_every_budget_is_kept_where_none_is_spent(world) -> None:
    table = world.table.with_columns(pl.col("ttft.total").alias("slow.total"), pl.col("ttft.bad").alias("slow.bad"))
    two = replace(world, table=table, slos=(*world.slos, replace(world.slos[0], name="slow", target=0.97)))
    graph = cr.Graph.from_edges([("load", "ttft"), ("load", "slow")], roles={**ROLES, "slow": "outcome"})
    answer = cr.forecast(two, cr.fit(two, graph), horizon="7d")
    end = answer.terms["time"].max()
    spent = answer.select(quantity="spent", time=end).draws
    assert np.array_equal(answer.select(quantity="kept").draws[:, 0], (spent <= 1).all(axis=1))


def test_a_change_that_the_network_models_is_priced(world) -> None:
    windows = priced(world, cost_usd=bill())
    answer = cr.whatif(windows, cr.fit(windows, modelled()), do={"batch_size": 8}, horizon="3d")
    found = {name: answer.select(quantity="cost", scenario=name).draws[:, 0] for name in ("as is", "changed")}
    apart = answer.select(quantity="cost", scenario="difference").draws[:, 0]
    assert np.array_equal(apart, found["changed"] - found["as is"])
    now = windows.table.group_by("unit").agg(pl.col("batch_size").last())["batch_size"].mean()
    truth = (0.005 - 0.0004 * 4) / (0.005 - 0.0004 * (now - 4))
    assert np.median(found["changed"] / found["as is"]) == pytest.approx(truth, rel=0.02)


def test_an_objective_judged_by_cost_lends_its_causes(world) -> None:
    slo = cr.SLO(name="cheap", dimension="cost", where="cost_usd <= 0.004", target=0.5)
    windows = priced(world, cost_usd=bill())
    bad = (pl.col("ttft.total") * (pl.col("cost_usd") > 0.004)).cast(pl.Int64)
    table = windows.table.with_columns(pl.col("ttft.total").alias("cheap.total"), bad.alias("cheap.bad"))
    windows = replace(windows, table=table, slos=(*windows.slos, slo))
    graph = cr.Graph.from_edges(
        [*EDGES, ("load", "cheap"), ("batch_size", "cheap")], roles={**ROLES, "cheap": "outcome"}
    )
    answer = cr.whatif(windows, cr.fit(windows, graph), do={"batch_size": 8}, horizon="1d")
    apart = answer.select(quantity="cost", scenario="difference").frame().row(0, named=True)
    assert apart["high"] < 0
    assert "cost_usd following load, batch_size" in answer.said("cost")


def test_a_change_that_nothing_models_is_not_priced(world) -> None:
    windows = priced(world, cost_usd=bill())
    answer = cr.whatif(windows, cr.fit(windows, serving_graph()), do={"batch_size": 8}, horizon="1d")
    told = answer.terms.filter(pl.col("quantity") == "cost")["scenario"].to_list()
    assert told == ["as is"]
    assert answer.said("cost").endswith("what the change does to it is not told, as the graph has no cause of it")


def test_a_change_behind_a_hidden_cause_is_not_priced(world) -> None:
    windows = priced(world, cost_usd=bill())
    edges, roles = [*EDGES, ("batch_size", "cost_usd")], {**ROLES, "cost_usd": "outcome"}
    graph = cr.Graph.from_edges(edges, roles=roles, unmeasured={"tariff": ["batch_size", "cost_usd"]})
    answer = cr.whatif(windows, cr.fit(windows, graph), do={"batch_size": 8}, horizon="1d")
    assert "the graph names tariff unmeasured in between" in answer.said("cost")


def test_windows_that_tell_no_cost_count_as_the_others(world) -> None:
    steady = priced(world, load=pl.lit(2.0), cost_usd=pl.when(pl.int_range(pl.len()) % 4 > 0).then(0.01))
    answer = cr.forecast(steady, cr.fit(steady, serving_graph()), horizon="2d")
    assert answer.select(quantity="cost").draws.mean() == pytest.approx(4 * 2.0 * 48 * 3600 * 0.01, rel=0.03)
    assert "75% of the requests are in windows that tell it" in answer.said("cost")
    silent = priced(world, load=pl.lit(2.0), cost_usd=pl.when(pl.int_range(pl.len()) % 4 == 0).then(0.01))
    assert "cost" not in cr.forecast(silent, cr.fit(silent, serving_graph())).terms["quantity"].to_list()
