"""Decisions: what is shipped, tried or held follows the stated losses, and canaries are weighed by what they tell."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from verdict_worlds import rollout
from worlds import serving_graph, serving_world

import causalrel as cr
from causalrel.decisions import decide
from causalrel.estimates import Check, Estimate, Origin
from causalrel.reports.outputs import render

END = datetime(2026, 3, 1, tzinfo=UTC)
ORIGIN = Origin(version="0", seed=0, data="", span=(END, END), slos="")


def known(
    as_is: np.ndarray, changed: np.ndarray, *, events: float = 1e5, verdict: str = "answered", share: float = 0.05
) -> Estimate:
    """A what-if of one objective whose share of the budget spent is given in each future."""
    parts: dict[tuple[str, str, str], np.ndarray] = {}
    for name, spent in (("as is", as_is), ("changed", changed), ("difference", changed - as_is)):
        whole = spent if name != "difference" else changed - as_is
        parts |= {("spent", "1", name): whole, ("bad_share", "1", name): share * whole}
        parts[("events", "events", name)] = share * whole * events
    rows = [("up", *key, END) for key in parts]
    return Estimate(
        question="What if?",
        draws=np.column_stack(list(parts.values())),
        terms=pl.DataFrame(rows, schema=["slo", "quantity", "unit", "scenario", "time"], orient="row"),
        unit="1",
        method="given",
        assumptions=(),
        checks=(Check(name="seen", passed=True, says="windows had it"),),
        verdict=verdict,  # type: ignore[arg-type]
        origin=ORIGIN,
    )


def losses(answer: Estimate) -> dict[str, float]:
    told = answer.frame().filter(pl.col("quantity") == "loss")
    return dict(told.select("scenario", "mean").rows())


def ask(as_is: np.ndarray, changed: np.ndarray, loss: tuple[float, float] = (10.0, 1.0), **more: object) -> Estimate:
    return decide(known(as_is, changed, **more), horizon=timedelta(days=7), loss=loss)  # type: ignore[arg-type]


def test_expected_losses_are_those_counted_by_hand() -> None:
    as_is = np.array([0.5, 0.5, 1.2, 1.2, 1.2] * 40)
    changed = np.array([0.6, 1.1, 0.9, 1.3, 1.1] * 40)
    found = losses(ask(as_is, changed))
    assert found["ship"] == pytest.approx((0 + 10 + 0 + 10 + 0) / 5)
    assert found["hold"] == pytest.approx((1 + 0 + (1 + 10) + 0 + 1) / 5)


def test_harm_is_exhausting_a_budget_or_adding_to_one_that_is_gone() -> None:
    rng = np.random.default_rng(0)
    gone = 1.5 + 0.1 * rng.random(400)
    assert ask(gone, gone - 0.2).decision == "ship"
    assert ask(gone, gone + 0.2).decision == "hold"


@pytest.mark.parametrize(("loss", "decided"), [((10.0, 1.0), "hold"), ((1.0, 10.0), "ship")])
def test_the_threshold_follows_the_losses(loss: tuple[float, float], decided: str) -> None:
    """A chance of harm of 0.3 that no canary can tell from the rest: threshold 0.09 and 0.91."""
    rng = np.random.default_rng(1)
    changed = np.where(rng.permutation(1000) < 300, 1.01, 0.99)
    answer = ask(np.full(1000, 0.9), changed, loss, events=100)
    assert answer.decision == decided
    assert answer.select(quantity="harm").draws.mean() == pytest.approx(0.3)


def test_a_doubtful_change_gets_the_smallest_canary_that_tells_it() -> None:
    rng = np.random.default_rng(2)
    changed = np.where(rng.permutation(1000) < 300, 1.4, 0.7) + 0.05 * rng.random(1000)
    large, small = (ask(np.full(1000, 0.8), changed, events=events) for events in (1e7, 1e5))
    size = {}
    for name, answer in (("large", large), ("small", small)):
        assert answer.decision == "canary"
        found = [answer.select(quantity=f"canary_{part}").draws[0, 0] for part in ("share", "hours")]
        size[name] = found[0] * found[1]
        assert losses(answer)["canary"] < min(losses(answer)["ship"], losses(answer)["hold"])
        assert f"for {found[1]:g} hours would save" in answer.said("decision")
    assert size["large"] < size["small"]


def test_a_canary_that_tells_nothing_is_not_run() -> None:
    rng = np.random.default_rng(3)
    changed = np.where(rng.permutation(1000) < 300, 1.02, 0.98)
    answer = ask(np.full(1000, 0.9), changed, events=50)
    assert answer.decision == "hold"
    assert "no canary is expected to be worth its exposure" in answer.said("decision")


def test_what_is_bounded_is_never_shipped_without_a_canary() -> None:
    rng = np.random.default_rng(4)
    better = 0.5 + 0.1 * rng.random(400)
    assert ask(better, better).decision == "ship"
    bounded = ask(better, better - 0.05, verdict="bounded")
    assert bounded.decision == "canary"
    assert "never shipped without one" in bounded.said("decision")


def test_same_seed_same_decision() -> None:
    rng = np.random.default_rng(5)
    as_is, changed = rng.random((2, 500)) * 1.2
    assert ask(as_is, changed).facts() == ask(as_is, changed).facts()


@pytest.fixture(scope="module")
def asked():
    windows, _ = serving_world(6)
    return windows, cr.fit(windows, serving_graph())


@pytest.mark.parametrize("form", ["text", "md", "html", "json"])
def test_the_decision_is_printed(asked, form: str) -> None:
    answer = cr.whatif(*asked, do={"batch_size": 8}, horizon="2d")
    said = render(answer, form)
    assert f"{answer.decision}: the chance" in said.replace("\n", " ")
    assert "windows had batch_size = 8" in " ".join(said.replace("\\", "").split())


def test_a_forecast_decides_nothing(asked) -> None:
    assert cr.forecast(*asked, horizon="1d").decision == ""


def test_a_value_between_seen_ones_is_bounded_and_lies_between(asked) -> None:
    burns = {}
    for size in (4, 6, 8):
        answer = cr.whatif(*asked, do={"batch_size": size}, horizon="2d")
        burns[size] = answer.select(quantity="burn", scenario="changed").draws.mean()
        assert answer.verdict == ("bounded" if size == 6 else "answered")
        assert answer.decision != ("ship" if size == 6 else "")
    assert burns[4] < burns[6] < burns[8]
    answer = cr.whatif(*asked, do={"batch_size": 6}, horizon="2d")
    assert "batch_size lies between 4 and 8" in answer.why


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"batch_size": 16}, "batch_size = 16 was never seen (seen: 4 to 8), so nothing is known of it"),
        ({"batch_size": 3}, "batch_size = 3 was never seen"),
        ({"sm_clock_mhz": 100}, "sm_clock_mhz = 100 was never seen"),
    ],
)
def test_a_value_beyond_those_seen_is_refused(asked, settings: dict[str, float], says: str) -> None:
    answer = cr.whatif(*asked, do=settings)
    assert answer.verdict == "refused"
    assert says in answer.why


def test_a_driver_that_never_varied_is_refused_with_its_one_value(asked) -> None:
    windows, _ = asked
    constant = replace(windows, table=windows.table.with_columns(batch_size=pl.lit(4, dtype=pl.Int64)))
    answer = cr.whatif(constant, cr.fit(constant, serving_graph()), do={"batch_size": 8})
    assert answer.verdict == "refused"
    assert "batch_size = 8 was never seen (it was 4 throughout)" in answer.why


def test_settings_never_seen_together_are_refused_outside_and_bounded_inside() -> None:
    windows, _ = serving_world(6)
    gpus = pl.when(pl.col("batch_size") == 8).then(pl.lit(2)).otherwise(pl.lit(1)).cast(pl.Int64)
    table = windows.table.with_columns(gpu_count=gpus)
    more = cr.Variable(name="gpu_count", role="config", kind="count", unit="1")
    windows = replace(windows, table=table, variables=(*windows.variables, more))
    edges = [(edge.cause, edge.effect) for edge in serving_graph().edges]
    roles = {v.name: v.role for v in serving_graph().variables} | {"gpu_count": "config"}
    graph = cr.Graph.from_edges([*edges, ("gpu_count", "ttft")], roles=roles)
    network = cr.fit(windows, graph)
    corner = cr.whatif(windows, network, do={"batch_size": 8, "gpu_count": 1})
    assert corner.verdict == "refused"
    assert "batch_size = 8 with gpu_count = 1 was never seen together" in corner.why
    middle = cr.whatif(windows, network, do={"batch_size": 6, "gpu_count": 1.5}, horizon="1d")
    assert middle.verdict == "bounded"


@pytest.mark.parametrize("loss", [(0.0, 1.0), (10.0, -1.0), (float("nan"), 1.0), (1.0,)])
def test_losses_that_weigh_nothing_are_refused(asked, loss) -> None:
    with pytest.raises(cr.CausalrelError, match="weighs nothing") as caught:
        cr.whatif(*asked, do={"batch_size": 4}, loss=loss)
    assert "\n" not in caught.value.message


def test_a_rollout_of_the_made_world_is_decided() -> None:
    world = rollout(3)
    answer = cr.whatif(world.windows, cr.fit(world.windows, serving_graph()), do={"batch_size": 8})
    assert answer.decision in ("ship", "canary", "hold")
    risk = answer.select(quantity="harm", scenario="changed").draws
    assert set(np.unique(risk)) <= {0.0, 1.0}
