"""Rollouts: what switched when, closed forms without noise, and one sentence where nothing can be told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from rollout_worlds import START, rollout_world
from scipy.optimize import minimize

import causalrel as cr
from causalrel.reports.extracts import contrasts
from causalrel.rollouts.contrasts import Rows, averages
from causalrel.rollouts.differences import difference, sum_cells
from causalrel.rollouts.panels import NEVER, Panel, make_panel
from causalrel.rollouts.synthetics import weigh


@pytest.fixture(scope="module")
def world():
    return rollout_world(7, design="differences", memory=0.5, outcome="continuous")


def ask(windows: cr.Windows, graph: cr.Graph, **question: object) -> cr.Estimate:
    return cr.effect(windows, graph, **{"of": "model_version", "on": "latency", "design": "rollout", **question})


def versions(world, wanted: pl.Expr) -> cr.Windows:
    """The world's windows with another history of versions."""
    return replace(world.windows, table=world.windows.table.with_columns(model_version=wanted))


def hour(at: int) -> pl.Expr:
    return pl.col("time") >= START + timedelta(hours=at)


def panel_of(switch: list[int], bad: np.ndarray, total: np.ndarray | None = None, steps: int = 60) -> Panel:
    count = len(switch)
    return Panel(
        columns={},
        units=tuple(f"u{i}" for i in range(count)),
        unit=np.repeat(np.arange(count), steps),
        step=np.tile(np.arange(steps), count),
        switch=np.array(switch),
        bad=bad,
        total=total,
        width=timedelta(hours=1),
    )


def test_each_unit_switches_when_its_column_says(world) -> None:
    panel, checks = make_panel(world.windows, "model_version", "latency", ["load"], ("v1", "v2"), None)
    switched = {unit: int(step) for unit, step in zip(panel.units, panel.switch, strict=True) if step != NEVER}
    table = world.windows.table.filter(pl.col("model_version") == "v2").group_by("unit").agg(pl.col("time").min())
    told = {unit: panel.time(step) for unit, step in switched.items()}
    assert told == dict(table.rows())
    assert checks == []
    assert len(panel.never) == 4


def test_a_return_to_the_first_level_is_left_out_with_all_after_it(world) -> None:
    back = pl.when((pl.col("unit") == "node-0") & hour(100)).then(pl.lit("v1")).otherwise("model_version")
    panel, checks = make_panel(versions(world, back), "model_version", "latency", [], ("v1", "v2"), None)
    mine = panel.unit == panel.units.index("node-0")
    assert panel.step[mine].max() - panel.step[mine].min() == 99
    assert "node-0 went back" in checks[0].says


def test_differences_without_noise_are_exact_though_effects_differ_by_date_and_grow() -> None:
    """The regression of a single step is biased here, as it compares with units that had switched."""
    switch = [16, 16, 40, 40, NEVER, NEVER]
    unit, step = np.repeat(np.arange(6), 60), np.tile(np.arange(60), 6)
    at = np.array(switch)[unit]
    after = step >= at
    gain = np.where(at == 16, 5.0, 1.0) * after
    panel = panel_of(switch, 3.0 * unit + np.sin(step / 7.0) + gain + 1e-4 * np.random.default_rng(0).normal(size=360))
    parts = difference(panel, 200, np.random.default_rng(0)).parts
    told = {name: (with_it - without).mean() for name, without, with_it in parts}
    assert told["all"] == pytest.approx(gain[after].mean(), abs=0.02)
    assert told["switched at 1970-01-01 16:00"] == pytest.approx(5.0, abs=0.02)
    assert told["switched at 1970-01-02 16:00"] == pytest.approx(1.0, abs=0.02)


def test_cells_keep_every_event_but_those_of_split_or_uncompared_periods() -> None:
    rng = np.random.default_rng(0)
    total = rng.poisson(50, size=180).astype(float)
    panel = panel_of([31, 50, NEVER], rng.binomial(total.astype(int), 0.3).astype(float), total)
    cells, counts, length = sum_cells(replace(panel, step=panel.step * 2))
    assert length == 2
    assert (cells.total.sum(), cells.bad.sum(), counts.sum()) == (total.sum(), panel.bad.sum(), 180)
    alone, _, _ = sum_cells(panel.among(panel.unit < 2))
    assert alone.step.max() == 49


def test_a_share_moved_by_a_known_log_odds_ratio_is_the_closed_form() -> None:
    total = np.full(400, 1e6)
    after = np.arange(400) >= 200
    share = 1 / (1 + np.exp(3 - 0.5 * after))
    rows = Rows(
        moved=after[:, None].astype(float),
        held=np.ones((400, 1)),
        groups=np.array([-1]),
        unit=np.zeros(400, dtype=np.intp),
        step=np.arange(400),
        bad=np.round(total * share),
        total=total,
        weight=total,
    )
    fitted = rows.fit(shared=True, watched=np.zeros((400, 0)))
    without, with_it = averages(rows, fitted, [after], 200, np.random.default_rng(0))[0]
    assert without.mean() == pytest.approx(1 / (1 + np.exp(3)), rel=0.01)
    assert with_it.mean() == pytest.approx(1 / (1 + np.exp(2.5)), rel=0.01)


def test_weights_of_donors_are_those_of_a_general_minimiser() -> None:
    rng = np.random.default_rng(3)
    others = rng.normal(size=(5, 40)).cumsum(axis=1)
    one = 0.6 * others[0] + 0.4 * others[2] + rng.normal(size=40)
    after = np.arange(40) >= 28
    past, tracked = others[:, ~after], one[~after]
    past, tracked = past - past.mean(axis=1, keepdims=True), tracked - tracked.mean()
    size = float(np.diff(past, axis=1).std())
    ridge = np.sqrt(after.sum()) * size**2 * len(tracked)

    def loss(weights: np.ndarray) -> float:
        return float(((tracked - weights @ past) ** 2).sum() + ridge * (weights**2).sum())

    bounds = {"type": "eq", "fun": lambda weights: weights.sum() - 1}
    found = minimize(loss, np.full(5, 0.2), bounds=[(0, 1)] * 5, constraints=[bounds], method="SLSQP", tol=1e-12)
    assert weigh(one, others, after) == pytest.approx(found.x, abs=0.02)


@pytest.mark.parametrize(
    ("design", "begins"),
    [("differences", "difference in d"), ("synthetic", "a synthetic"), ("interrupted", "an inter")],
)
def test_the_switches_choose_the_design(design: str, begins: str) -> None:
    made = rollout_world(3, design=design, memory=0.0, outcome="rare event")
    answer = ask(made.windows, made.graph, on="ttft")
    assert answer.method.startswith(begins)
    burn, share = (answer.select(quantity=name, when="all").draws[:, 0] for name in ("burn", "bad_share"))
    assert np.allclose(burn, share / 0.02)
    (contrast,) = contrasts(answer)
    assert contrast.parts["burn"][0] == pytest.approx(burn.mean())
    assert answer.facts() == ask(made.windows, made.graph, on="ttft").facts()


def test_one_switch_of_everybody_is_bounded() -> None:
    made = rollout_world(3, design="interrupted", memory=0.0, outcome="continuous")
    answer = ask(made.windows, made.graph)
    assert answer.verdict == "bounded"
    assert "nobody to compare with" in answer.why


def test_since_takes_one_date_and_compares_with_later_ones_until_theirs(world) -> None:
    answer = ask(world.windows, world.graph, since=START + timedelta(hours=90))
    found = next(check for check in answer.checks if check.name == "independent units")
    assert (
        found.says
        == "2 units that switched are compared with 6 that had not yet; fewer than 3 leave their own ways in it"
    )


def test_the_past_that_is_not_parallel_is_said() -> None:
    made = rollout_world(5, design="differences", memory=0.0, outcome="continuous", drift=6.0)
    answer = ask(made.windows, made.graph)
    assert answer.verdict == "bounded"
    assert "moved apart from the others before they did" in answer.why


@pytest.mark.parametrize(
    ("wanted", "question", "said"),
    [
        (pl.lit("v1"), {}, "model_version was always v1"),
        (pl.lit("v1"), {"levels": None}, "never varied"),
        (None, {"levels": ("v1", "v9")}, "model_version was never v9; seen: v1, v2"),
        (None, {"levels": ("v1", "v2", "v3")}, "from one level to another, not 3"),
        (None, {"levels": ("v2", "v1")}, "no unit switched from the first level to the second; levels stand in"),
        (None, {"since": "2031-01-01"}, "2031-01-01 00:00 lies outside the data"),
        (None, {"since": "2026-03-03"}, "no unit switched at 2026-03-03 00:00; units switched at 2026-03-04 12:00, "),
        (None, {"since": "2026-03-04T12:00", "design": "graph"}, "since names a switch"),
        (None, {"design": "synthetic"}, "was switched at 3 dates: name one by since"),
        (pl.when(hour(90)).then(pl.lit("v2")).otherwise(pl.lit("v1")), {"design": "differences"}, "all units switched"),
        (pl.when(hour(2)).then(pl.lit("v2")).otherwise(pl.lit("v1")), {}, "3 windows before and after its switch"),
    ],
)
def test_a_bad_question_is_one_sentence(world, wanted: pl.Expr | None, question: dict, said: str) -> None:
    windows = world.windows if wanted is None else versions(world, wanted)
    try:
        answer = ask(windows, world.graph, **{"levels": ("v1", "v2"), **question})
    except cr.CausalrelError as fault:
        told = fault.message
    else:
        assert answer.verdict == "refused"
        told = answer.why
    assert said in told
    assert "\n" not in told


def test_few_events_are_refused() -> None:
    made = rollout_world(5, design="differences", memory=0.0, outcome="rare event")
    few = replace(
        made.windows, table=made.windows.table.with_columns(pl.col("ttft.bad").clip(0, 1) * (pl.col("time") == START))
    )
    answer = ask(few, made.graph, on="ttft")
    assert answer.verdict == "refused"
    assert "events of the rarer kind" in answer.why
