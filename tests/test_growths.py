"""More or less of a workload: what it does to budgets, and where nobody can tell."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from growth_worlds import score
from worlds import EDGES, ROLES, START, VARIABLES, serving_graph, serving_world

import causalrel as cr
from causalrel import cli, errors
from causalrel.futures import Move, draw_futures, spent_of, steps
from causalrel.futures.histories import past_of
from causalrel.futures.steps import account_of, steps_of
from causalrel.networks import expit
from causalrel.reports.sentences import settings
from causalrel.variables import Variable

SLOPE = 1.5


def fleet(seed: int = 0, *, days: int = 14, units: int = 4, batch: float = 0.0, swing: float = 0.5) -> cr.Windows:
    """Half-hour windows whose log odds go with ``SLOPE`` times log load, more steeply by ``batch`` at batch 8."""
    rng = np.random.default_rng(seed)
    n, frames = days * 48, []
    for unit in range(units):
        load = np.exp(np.log(2) + swing * np.sin(2 * np.pi * np.arange(n) / 48) + 0.2 * rng.normal(size=n))
        size = np.repeat(rng.choice([4, 8], size=n // 12), 12)
        size[-6:] = 4
        queue = np.exp(-1 + 1.2 * np.log(load) + 0.3 * rng.normal(size=n))
        odds = -4 + (SLOPE + batch * (size == 8)) * np.log(load) + 0.1 * rng.normal(size=n)
        total = rng.poisson(load * 60) + 1
        columns = {"ttft.total": total, "ttft.bad": rng.binomial(total, expit(odds)), "load": load}
        columns |= {"batch_size": size, "sm_clock_mhz": 1980 + 5 * rng.normal(size=n), "queue_s": queue}
        times = [START + timedelta(minutes=30 * at) for at in range(n)]
        frames.append(pl.DataFrame({"time": times, "unit": [f"gpu-{unit}"] * n} | columns))
    table = pl.concat(frames).with_columns(
        pl.col("time").cast(pl.Datetime("us", "UTC")), pl.col("ttft.total", "ttft.bad", "batch_size").cast(pl.Int64)
    )
    slo = cr.SLO(name="ttft", dimension="latency", target=0.95)
    return cr.Windows(table=table, width=timedelta(minutes=30), slos=(slo,), variables=VARIABLES)


@pytest.fixture(scope="module")
def asked() -> tuple[cr.Windows, cr.Network]:
    windows = fleet()
    return windows, cr.fit(windows, serving_graph())


def moved(answer: cr.Estimate) -> np.ndarray:
    """Return draws of the change of log odds."""
    shares = (answer.select(quantity="bad_share", scenario=name).draws[:, 0] for name in ("as is", "changed"))
    was, made = (np.log(share / (1 - share)) for share in shares)
    return made - was


@pytest.mark.parametrize("times", [0.7, 0.9, 1.2, 1.5])
def test_the_odds_move_as_they_do_with_load(asked: tuple[cr.Windows, cr.Network], times: float) -> None:
    change = moved(cr.whatif(*asked, do={"load": f"load * {times}"}, horizon="7d"))
    low, high = np.quantile(change, [0.01, 0.99])
    true = SLOPE * np.log(times)
    assert low <= true <= high
    assert abs(change.mean() - true) < 0.15 * abs(true)


def test_load_as_it_is_changes_nothing(asked: tuple[cr.Windows, cr.Network]) -> None:
    answer = cr.whatif(*asked, do={"load": "load * 1"}, horizon="2d")
    assert np.abs(answer.select(scenario="difference").draws).max() == 0
    assert (answer.verdict, answer.decision) == ("answered", "ship")


def test_as_is_is_the_forecast(asked: tuple[cr.Windows, cr.Network]) -> None:
    alone = cr.forecast(*asked, horizon="3d").select(scenario="as is", slo="ttft")
    beside = cr.whatif(*asked, do={"load": "load * 1.3"}, horizon="3d").select(scenario="as is", slo="ttft")
    assert np.array_equal(alone.draws, beside.draws)


def test_requests_and_their_budget_grow_with_it(asked: tuple[cr.Windows, cr.Network]) -> None:
    answer = cr.whatif(*asked, do={"load": "load * 1.3"}, horizon="3d")
    found = {
        name: [answer.select(quantity=name, scenario=one).draws[:, 0] for one in ("as is", "changed")]
        for name in ("events", "bad_share")
    }
    totals = [bad / share for bad, share in zip(found["events"], found["bad_share"], strict=True)]
    assert totals[1] == pytest.approx(1.3 * totals[0], rel=1e-3)


def test_the_rest_of_a_period_grows_too(asked: tuple[cr.Windows, cr.Network]) -> None:
    windows, network = asked
    past = past_of(windows, network, timedelta(days=2))
    past = replace(past, rest={"ttft": 10.0})
    count = past.days * past.per_day
    moves = {"changed": {"ttft": Move(odds=np.zeros((50, 1)), growth=np.full(count, 1.5))}}
    made = draw_futures(past, network, {"as is": {}, "changed": {}}, 50, 0, moves)
    ahead = made["changed"]["ttft"]
    assert ahead.growth == pytest.approx(1.5)
    later = 1.5 * 10 * past.columns["ttft.total"].sum() / past.days
    allowed = 0.05 * (past.spent["ttft"][1] + ahead.total.sum(axis=1) + later)
    assert spent_of(past, windows.slo("ttft"), ahead)[:, -1] == pytest.approx(
        (past.spent["ttft"][0] + ahead.bad.sum(axis=1)) / allowed
    )


def test_fewer_requests_leave_out_any_of_them(asked: tuple[cr.Windows, cr.Network]) -> None:
    windows, network = asked
    past = past_of(windows, network, timedelta(days=2))
    moves = {"changed": {"ttft": Move(odds=np.zeros((400, 1)), growth=np.full(past.days * past.per_day, 0.5))}}
    made = draw_futures(past, network, {"as is": {}, "changed": {}}, 400, 0, moves)
    whole, half = made["as is"]["ttft"], made["changed"]["ttft"]
    assert (half.bad <= whole.bad).all()
    assert half.bad.sum() / half.total.sum() == pytest.approx(whole.bad.sum() / whole.total.sum(), rel=0.02)


def test_slices_of_time_do_not_grow(asked: tuple[cr.Windows, cr.Network]) -> None:
    windows, network = asked
    sliced = cr.SLO(
        name="ttft",
        dimension="latency",
        target=0.95,
        method="Timeslices",
        slice_width=timedelta(minutes=30),
        slice_target=0.9,
    )
    past, account = (
        replace(past_of(windows, network, timedelta(days=2)), slos=(sliced,)),
        account_of(windows, network, 0),
    )
    growth = steps_of(windows, account, past, {}, {"load": past.columns["load"] * 1.3}, 50, 0).moves["ttft"].growth
    assert growth == pytest.approx(1.0)


def test_what_acts_together_is_told_by_windows_configured_as_asked() -> None:
    windows = fleet(3, batch=1.0)
    network = cr.fit(windows, serving_graph())
    account = account_of(windows, network, 0)
    for size, slope in ((4, SLOPE), (8, SLOPE + 1)):
        past = past_of(windows, network, timedelta(days=2), also=("batch_size",))
        base = {"batch_size": np.full(len(past.bin), float(size))}
        load = past.columns["load"]
        alone, both = (
            steps_of(windows, account, past, base, {"load": load * k}, 400, 0).moves["ttft"] for k in (1, 1.2)
        )
        assert abs((both.odds - alone.odds).mean() / np.log(1.2) - slope) < 0.45


def test_it_may_be_set_beside_configuration(asked: tuple[cr.Windows, cr.Network]) -> None:
    alone, both = (
        cr.whatif(*asked, do=do, horizon="2d") for do in ({"batch_size": 8}, {"batch_size": 8, "load": "load * 1.4"})
    )
    burns = [one.select(quantity="burn", scenario="changed").draws[:, 0] for one in (alone, both)]
    assert (burns[1] > burns[0]).mean() > 0.95
    assert both.said("seen").startswith("windows had batch_size = 8")
    assert "windows had more load than" in both.said("workload seen")


def test_far_beyond_what_was_seen_is_bounded_then_refused(asked: tuple[cr.Windows, cr.Network]) -> None:
    near, far, farthest = (cr.whatif(*asked, do={"load": f"load * {k}"}, horizon="1d") for k in (1.0, 1.4, 4))
    assert (near.verdict, far.verdict, farthest.verdict) == ("answered", "bounded", "refused")
    assert "would lie beyond what 99% of them had" in far.why
    assert "had so little that as long a step could be tried" in farthest.why
    assert far.decision != "ship"


def test_load_that_never_varied_cannot_grow() -> None:
    windows = fleet(1)
    flat = replace(windows, table=windows.table.with_columns(load=pl.lit(2.0)))
    answer = cr.whatif(flat, cr.fit(flat, serving_graph()), do={"load": "load * 1.1"}, horizon="1d")
    assert answer.verdict == "refused"
    assert "load" in answer.why


def test_a_hidden_cause_refuses() -> None:
    windows, _ = serving_world(6)
    graph = cr.Graph.from_edges(EDGES, roles=ROLES, unmeasured={"season": ["load", "ttft"]})
    answer = cr.whatif(windows, cr.fit(windows, graph), do={"load": "load * 1.1"}, horizon="1d")
    assert answer.verdict == "refused"
    assert "the graph names season as unmeasured" in answer.why


def test_a_configuration_is_recommended_for_more_traffic() -> None:
    windows = fleet()
    windows = replace(windows, slos=(replace(windows.slos[0], target=0.5),))
    asked = windows, cr.fit(windows, serving_graph())
    over: dict[str, Any] = {"batch_size": [4, 8]}
    told = {}
    for name, more in (("now", {}), ("busier", {"load": ["load * 1.4"]})):
        answer = cr.recommend(*asked, over=over | more, cost="10 - batch_size", p=0.01, horizon="1d")
        terms = answer.terms.with_columns(mean=pl.Series(answer.draws.mean(axis=0)))
        told[name] = dict(terms.filter(quantity="burn").select("configuration", "mean").rows())
    for size in (4, 8):
        assert told["busier"][f"batch_size = {size}, load = load * 1.4"] > 1.2 * told["now"][f"batch_size = {size}"]


def test_its_cost_is_told_of_all_requests() -> None:
    windows = fleet()
    noisy = pl.Series(0.01 * np.exp(0.05 * np.random.default_rng(1).normal(size=windows.table.height)))
    priced = replace(
        windows,
        table=windows.table.with_columns(cost_usd=noisy, load=pl.col("ttft.total") / 1800),
        variables=(*windows.variables, Variable(name="cost_usd", role="outcome", unit="USD")),
    )
    edges = [*EDGES, ("batch_size", "cost_usd")]
    graph = cr.Graph.from_edges(edges, roles={**ROLES, "cost_usd": "outcome"})
    answer = cr.whatif(priced, cr.fit(priced, graph), do={"load": "load * 1.2"}, horizon="2d")
    was, made = (answer.select(quantity="cost", scenario=name).draws[:, 0] for name in ("as is", "changed"))
    assert made == pytest.approx(1.2 * was, rel=1e-2)


@pytest.mark.parametrize(
    ("level", "says"),
    [
        (5, "role workload, which nobody can set"),
        ("5", "role workload, which nobody can set"),
        ("queue_s * 2", "role workload, which nobody can set"),
        ("load - 100", "makes 'load' endless or less than nothing"),
        ("load / 0", "gives no number for 'load'"),
        ("load IS NULL", "gives no number for 'load'"),
        ("load * ", "expression"),
    ],
)
def test_what_is_no_growth_is_told(asked: tuple[cr.Windows, cr.Network], level: Any, says: str) -> None:
    with pytest.raises(cr.CausalrelError, match=says.replace("(", r"\(")):
        cr.whatif(*asked, do={"load": level}, horizon="1d")


def test_tables_of_states_are_refused(asked: tuple[cr.Windows, cr.Network]) -> None:
    windows, _ = asked
    tables = cr.fit(windows, serving_graph(), states={})
    with pytest.raises(cr.CausalrelError, match="follow tables of states"):
        cr.whatif(windows, tables, do={"load": "load * 1.1"}, horizon="1d")


def test_on_the_command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["causalrel", "whatif", "batch-under-load", "--do", "load=load * 1.1", "--horizon", "1d", "--format", "md"]
    monkeypatch.setattr(sys, "argv", words)
    assert cli.main() == 0
    out, _ = capsys.readouterr()
    assert r"if load were load \* 1.1?" in out
    assert "It relies on this: nothing is set beside the workload; 1% of the windows had more load than" in out.replace(
        "\\", ""
    )


def test_too_few_windows_for_an_account_go_through_the_chain(
    asked: tuple[cr.Windows, cr.Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> cr.Network:
        raise errors.refused("fitting 'ttft'", "there are too few windows")

    monkeypatch.setattr(steps, "fit", refuse)
    answer = cr.whatif(*asked, do={"batch_size": 8}, horizon="1d")
    assert answer.verdict == "bounded"
    assert "the change goes through queue_s" in answer.why
    assert cr.forecast(*asked, horizon="1d").verdict == "answered"


def test_a_report_writes_an_expression_once() -> None:
    do = {"load": "load * 1.2", "model": "model-v2", "gpu_count": "2*gpu_count", "batch_size": 8}
    assert settings(do) == "load * 1.2 and model = model-v2 and 2*gpu_count and batch_size = 8"


@pytest.mark.slow
def test_a_simulated_service_does_what_was_told() -> None:
    scored = [one for seed in (120, 125) for one in score(seed)]
    assert len(scored) == 4
    assert np.mean([one.error for one in scored]) < 0.4 * np.mean([one.none for one in scored])
    assert sum(one.inside for one in scored) >= 3
    assert sum(one.burn_inside for one in scored) >= 3
