"""Effects: the truth inside, the naive answer outside, and no answer where there is none."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from worlds import EDGES, ROLES, serving_graph, serving_world

import causalrel as cr


@pytest.fixture(scope="module")
def world():
    return serving_world(4)


def ask(windows, graph=None, **question):
    return cr.effect(windows, graph or serving_graph(), **{"of": "batch_size", "on": "ttft", **question})


def test_truth_is_inside_and_naive_is_far_outside(world) -> None:
    windows, truth = world
    answer = ask(windows, levels=(4, 8))
    burn = answer.select(quantity="burn").frame(prob=0.95).row(0, named=True)
    shares = windows.table.group_by("batch_size").agg(pl.col("ttft.bad").sum() / pl.col("ttft.total").sum())
    naive = float(shares.sort("batch_size")["ttft.bad"].diff()[-1]) / 0.05
    assert answer.verdict == "answered"
    assert burn["low"] <= truth <= burn["high"]
    assert not burn["low"] <= naive <= burn["high"]


def test_units_agree_with_each_other(world) -> None:
    windows, _ = world
    answer = ask(windows, levels=(4, 8))
    share, burn, hours = (answer.select(quantity=q).draws[:, 0] for q in ("bad_share", "burn", "budget_hours"))
    at = answer.select(quantity="bad_share_at").draws
    assert np.allclose(burn, share / 0.05)
    assert np.allclose(hours, burn * 28 * 24)
    assert np.allclose(at[:, 1] - at[:, 0], share)
    events = windows.table["ttft.total"].sum() * 4
    assert np.allclose(answer.select(quantity="events").draws[:, 0], share * events)


def test_the_order_of_further_levels_changes_little(world) -> None:
    windows, _ = world
    third = windows.table.with_columns(
        batch_size=pl.when((pl.col("batch_size") == 8) & (pl.col("time").dt.hour() % 2 == 0))
        .then(16)
        .otherwise("batch_size")
    )
    asked = replace(windows, table=third)
    one, other = (ask(asked, levels=levels).select(quantity="burn", level="8") for levels in ((4, 8, 16), (4, 16, 8)))
    assert one.draws.mean() == pytest.approx(other.draws.mean(), rel=0.03)
    assert one.draws.std() == pytest.approx(other.draws.std(), rel=0.06)


def test_same_seed_same_facts_and_swapped_levels_swap_the_sign(world) -> None:
    windows, _ = world
    assert ask(windows, levels=(4, 8)).facts() == ask(windows, levels=(4, 8)).facts()
    there = ask(windows, levels=(4, 8)).select(quantity="burn").draws.mean()
    back = ask(windows, levels=(8, 4)).select(quantity="burn").draws.mean()
    assert there == pytest.approx(-back, rel=0.05)


def test_row_order_does_not_matter(world) -> None:
    windows, _ = world
    shuffled = replace(windows, table=windows.table.sample(fraction=1.0, shuffle=True, seed=1))
    one, two = (ask(w, levels=(4, 8)).select(quantity="burn").draws.mean() for w in (windows, shuffled))
    assert one == pytest.approx(two, abs=1e-6)


def test_a_hidden_confounder_is_refused(world) -> None:
    windows, _ = world
    graph = cr.Graph.from_edges(EDGES, roles=ROLES, unmeasured={"skill": ["batch_size", "ttft"]})
    answer = ask(windows, graph)
    assert answer.verdict == "refused"
    assert "skill stays open" in answer.why
    assert answer.frame().height == 0


def test_a_level_never_seen_is_refused(world) -> None:
    answer = ask(world[0], levels=(4, 64))
    assert answer.verdict == "refused"
    assert "was never 64; seen: 4, 8" in answer.why


def test_no_variation_is_refused(world) -> None:
    windows, _ = world
    answer = ask(replace(windows, table=windows.table.with_columns(batch_size=pl.lit(4))), levels=(4, 8))
    assert answer.verdict == "refused"
    assert "always 4" in answer.why


def test_one_switch_for_everybody_is_refused(world) -> None:
    windows, _ = world
    middle = windows.span[0] + (windows.span[1] - windows.span[0]) / 2
    once = windows.table.with_columns(batch_size=pl.when(pl.col("time") < middle).then(4).otherwise(8))
    answer = ask(replace(windows, table=once), levels=(4, 8))
    assert answer.verdict == "refused"
    assert "2 separate changes" in answer.why


def test_levels_without_overlap_are_refused(world) -> None:
    windows, _ = world
    split = windows.table.with_columns(batch_size=pl.when(pl.col("load") > 2).then(8).otherwise(4))
    answer = ask(replace(windows, table=split), levels=(4, 8))
    assert answer.verdict == "refused"
    assert "could have had any of the levels" in answer.why


def test_bad_events_beyond_what_each_level_saw_widen_the_answer_and_bound_it_where_they_are_most() -> None:
    windows, truth = serving_world(3)
    answer = ask(windows, levels=(4, 8))
    assert answer.verdict == "answered"
    assert "28% of their bad events lie beyond what some level saw" in next(
        c.says for c in answer.checks if c.name == "overlap"
    )
    row = answer.select(quantity="burn").frame(prob=0.95).row(0, named=True)
    inner = ask(windows, levels=(4, 8), where="load < 2.5").select(quantity="burn").frame(prob=0.95).row(0, named=True)
    assert row["low"] <= truth <= row["high"]
    assert row["sd"] > 1.5 * inner["sd"]
    calm = pl.when((pl.col("batch_size") == 4) & (pl.col("load") > 1.8)).then(8).otherwise("batch_size")
    most = ask(
        replace(windows, table=windows.table.with_columns(calm.cast(pl.Int64).alias("batch_size"))), levels=(4, 8)
    )
    assert most.verdict != "answered"


def test_effects_of_classes_differ_and_their_bands_hold_together(world) -> None:
    windows, _ = world
    answer = ask(windows, levels=(4, 8), by="unit").select(quantity="burn")
    assert answer.terms["group"].to_list() == ["gpu-0", "gpu-1", "gpu-2", "gpu-3"]
    alone, all_at_once = answer.frame(prob=0.9), answer.frame(prob=0.9, together=True)
    assert (all_at_once["high"] - all_at_once["low"] > alone["high"] - alone["low"]).all()
    low, high = all_at_once["low"].to_numpy(), all_at_once["high"].to_numpy()
    inside = ((answer.draws >= low) & (answer.draws <= high)).all(axis=1).mean()
    assert inside == pytest.approx(0.9, abs=0.01)


def test_a_class_that_the_treatment_changes_is_refused(world) -> None:
    with pytest.raises(cr.CausalrelError, match="'batch_size' changes 'queue_s', which cannot be a class"):
        ask(world[0], levels=(4, 8), by="queue_s")


def test_a_setting_that_acts_a_window_late_fails_the_check_of_carry_over(world) -> None:
    windows, _ = world
    rng = np.random.default_rng(0)
    late = windows.table.sort("unit", "time").with_columns(
        pl.when(pl.col("batch_size").shift(1).over("unit") == 8).then(pl.lit(0.2)).otherwise(pl.lit(0.05)).alias("p")
    )
    bad = rng.binomial(late["ttft.total"].to_numpy(), late["p"].to_numpy())
    table = late.with_columns(pl.Series("ttft.bad", bad, dtype=pl.Int64)).drop("p").sort("time", "unit")
    answer = ask(replace(windows, table=table), levels=(4, 8))
    failed = [check.name for check in answer.checks if not check.passed]
    assert "carry-over" in failed
    assert answer.verdict == "bounded"


def test_a_hidden_cause_is_measured_by_the_strongest_one_held_fixed(world) -> None:
    answer = ask(world[0], levels=(4, 8))
    says = next(check.says for check in answer.checks if check.name == "hidden cause")
    assert says.startswith("a hidden cause as strong as load would take ")


def test_zero_bad_events_give_an_upper_bound(world) -> None:
    windows, _ = world
    none = replace(windows, table=windows.table.with_columns(pl.lit(0, dtype=pl.Int64).alias("ttft.bad")))
    burn = ask(none, levels=(4, 8)).select(quantity="burn").frame().row(0, named=True)
    assert burn["low"] < 0 < burn["high"]
    assert burn["high"] < 0.1


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ({"of": "ttft", "on": "queue_s"}, "role outcome, which nobody can set"),
        ({"of": "load"}, "role workload, which nobody can set"),
        ({"of": "bacth_size"}, "did you mean 'batch_size'"),
        ({"on": "load"}, "no outcome"),
        ({"levels": (4, 4)}, "not two or more different ones"),
        ({"levels": (4, "many")}, "not a number"),
        ({"where": "load > 1e9"}, "no window meets"),
        ({"where": "loda > 1"}, "did you mean 'load'"),
    ],
)
def test_bad_question_gets_one_sentence(world, question, says) -> None:
    with pytest.raises(cr.CausalrelError, match=says) as caught:
        ask(world[0], **question)
    assert "\n" not in caught.value.message


def test_numeric_outcome_is_answered_in_its_unit(world) -> None:
    answer = ask(world[0], on="queue_s", levels=(4, 8))
    row = answer.select(quantity="value").frame().row(0, named=True)
    assert row["unit"] == "s"
    assert row["high"] < 0


def test_column_names_dowhy_writes_into_mean_nothing(world) -> None:
    windows, _ = world
    hostile = {"load": "propensity_score", "queue_s": "I(x) [1]"}
    table = windows.table.rename(hostile)
    variables = tuple(replace(v, name=hostile.get(v.name, v.name)) for v in windows.variables)
    edges = [tuple(hostile.get(name, name) for name in edge) for edge in EDGES]
    graph = cr.Graph.from_edges(edges, roles={hostile.get(n, n): r for n, r in ROLES.items()})
    made = ask(replace(windows, table=table, variables=variables), graph, levels=(4, 8))
    plain = ask(windows, levels=(4, 8))
    assert np.allclose(made.draws, plain.draws)


def crossed_rows(seed: int, held: int, share: float, count: int = 900):
    """Plain rows, each its own unit at one time: an outcome of 2 a level and of half of each of what is held fixed."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, held))
    treat = (rng.random(count) < share).astype(int)
    names = [f"x{i}" for i in range(held)]
    frame = pl.DataFrame(
        {
            "at": [datetime(2026, 1, 1, tzinfo=UTC)] * count,
            "unit": [f"{i:05d}" for i in range(count)],
            "none": [0] * count,
            "one": [1] * count,
            "batch_size": treat,
            "latency": 2.0 * treat + 0.5 * x.sum(axis=1) + rng.normal(size=count),
            **dict(zip(names, x.T, strict=True)),
        }
    )
    return frame, names


def ask_rows(frame, names):
    roles = dict.fromkeys(names, "workload") | {"batch_size": "config", "latency": "engine"}
    windows = cr.Windows.from_frame(
        frame, time="at", unit="unit", every="1d", roles=roles, events={"row": ("one", "none")}
    )
    edges = [(name, to) for name in names for to in ("batch_size", "latency")] + [("batch_size", "latency")]
    graph = cr.Graph.from_edges(edges, roles=roles)
    return cr.effect(windows, graph, of="batch_size", on="latency", levels=(0, 1))


def timeless_rows(seed: int, count: int = 900, *, treated: int | None = None, unit: str | None = None):
    """Rows without time: bad events of 50 at each, more where the batch is large."""
    frame, names = crossed_rows(seed, held=2, share=0.5, count=count)
    frame = frame.with_columns(batch_size=pl.col("batch_size") if treated is None else pl.lit(treated))
    odds = -3 + frame["batch_size"].to_numpy() + 0.5 * frame["x0"].to_numpy()
    bad = np.random.default_rng(seed).binomial(50, 1 / (1 + np.exp(-odds)))
    frame = frame.with_columns(bad=pl.Series(bad), total=pl.lit(50), half=pl.int_range(pl.len()) % 40)
    roles = dict.fromkeys(names, "workload") | {"batch_size": "config"}
    events = {"slow": ("total", "bad")}
    windows = cr.Windows.from_frame(frame, time=None, unit=unit, roles=roles, events=events)
    edges = [(name, to) for name in names for to in ("batch_size", "slow")] + [("batch_size", "slow")]
    return windows, cr.Graph.from_edges(edges, roles=roles | {"slow": "outcome"}), frame


def test_rows_without_time_are_units_of_their_own() -> None:
    windows, graph, frame = timeless_rows(3)
    answer = cr.effect(windows, graph, of="batch_size", on="slow", levels=(0, 1))
    x = frame["x0"].to_numpy()
    high, low = (1 / (1 + np.exp(-(base + 0.5 * x))) for base in (-2, -3))
    row = answer.select(quantity="bad_share").frame(prob=0.99).row(0, named=True)
    assert row["low"] <= (high - low).mean() <= row["high"]
    assert "independent between units" in answer.method
    assert {check.name for check in answer.checks}.isdisjoint({"carry-over", "placebo in time"})
    assert "events" not in answer.terms["quantity"]
    assert repr(windows).startswith("Windows: 900 rows without time; SLOs slow")


def test_rows_of_units_without_time_are_clustered_by_unit() -> None:
    windows, graph, _ = timeless_rows(4, unit="half")
    answer = cr.effect(windows, graph, of="batch_size", on="slow", levels=(0, 1))
    assert "clustered by unit" in answer.method
    assert any(check.says == "the levels were set in 40 units" for check in answer.checks)


def test_rows_without_time_have_no_rollout() -> None:
    windows, graph, _ = timeless_rows(5)
    with pytest.raises(cr.CausalrelError, match="these rows have no time"):
        cr.effect(windows, graph, of="batch_size", on="slow", levels=(0, 1), design="rollout")


def test_case_083_rows_that_never_varied_are_refused() -> None:
    windows, graph, _ = timeless_rows(6, treated=1)
    answer = cr.effect(windows, graph, of="batch_size", on="slow", levels=(0, 1))
    assert answer.verdict == "refused"
    assert "without a change there is nothing to compare" in answer.why


def test_drawn_by_lot_with_many_held_fixed_all_units_overlap() -> None:
    frame, names = crossed_rows(0, held=16, share=0.2)
    answer = ask_rows(frame, names)
    assert answer.verdict == "answered"
    assert "independent between units" in answer.method
    value = answer.select(quantity="value").frame(prob=0.95).row(0, named=True)
    assert value["low"] <= 2 <= value["high"]
    assert value["high"] - value["low"] < 1


def test_where_only_the_treated_overlap_the_answer_speaks_of_them() -> None:
    frame, names = crossed_rows(1, held=2, share=0.5, count=4000)
    among = (pl.col("x0") > 1.2) & (pl.col("x1") > -3)
    frame = frame.filter((pl.col("batch_size") == 0) | among)
    frame = frame.with_columns(latency=pl.col("latency") + pl.col("batch_size") * pl.col("x0"))
    answer = ask_rows(frame, names)
    truth = 2 + float(frame.filter(pl.col("batch_size") == 1)["x0"].mean())
    assert answer.verdict == "bounded"
    says = next(check.says for check in answer.checks if check.name == "overlap")
    assert "of the units at 1, and hardly any others" in says
    value = answer.select(quantity="value").frame(prob=0.99).row(0, named=True)
    assert value["low"] <= truth <= value["high"]


def test_few_bad_events_do_not_hide_that_levels_never_overlap(world) -> None:
    windows, _ = world
    split = windows.table.with_columns(
        pl.lit(0, dtype=pl.Int64).alias("ttft.bad"), batch_size=pl.when(pl.col("load") > 2).then(8).otherwise(4)
    )
    assert ask(replace(windows, table=split), levels=(4, 8)).verdict == "refused"
