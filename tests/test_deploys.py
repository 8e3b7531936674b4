"""Deploys: what lies between two rows, and an attribution summed by change events that closes and finds the guilty."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from deploy_worlds import deploy_world, fleet_graph, told_changes
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import START, serving_graph, serving_world

import causalrel as cr
from causalrel.attribution import attributions
from causalrel.attribution.deploys import Deploy, between, deploys_of
from causalrel.attribution.ledgers import NO_CHANGE
from causalrel.reports.extracts import Entry
from causalrel.reports.sentences import changes
from causalrel.telemetry.schema import TIME

HOUR = 3_600_000_000
FIRST = int(START.timestamp()) // 3600


def parts_of(answer, quantity="burn"):
    part = answer.select(quantity=quantity)
    return dict(zip(part.terms["driver"], part.draws.T, strict=True))


def changed(*events):
    """Windows of two nodes for a day, and changes: hour, node, variable, before, after."""
    frame = pl.DataFrame(
        {
            "t": [START + timedelta(hours=hour) for hour in range(24)] * 2,
            "unit": ["a"] * 24 + ["b"] * 24,
            "n": 9,
            "bad": 1,
        }
    )
    made = cr.Windows.from_frame(frame, time="t", unit="unit", roles={}, events={"ttft": ("n", "bad")})
    rows = [(START + timedelta(hours=hour), *rest) for hour, *rest in events]
    schema = {"time": TIME, **dict.fromkeys(["node", "variable", "before", "after"], pl.String)}
    return replace(made, changes=pl.DataFrame(rows, schema=schema, orient="row"), by=("node",))


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([(3, "a", "x", "1", "2"), (9, "b", "x", "1", "2")], [("x 1 to 2", 3, 9, 2)]),
        ([(3, "a", "x", "1", "2"), (5, "a", "x", "2", "1"), (9, "b", "x", "1", "2")], [("x", 3, 3, 1)] * 3),
        ([(3, None, "x", "1", "2")], [("x 1 to 2", 3, 3, 2)]),
        ([(3, "a", "x", None, "2"), (4, "a", "x", "2", "2"), (4, "c", "x", "1", "2")], []),
        ([(3, "a", "x", "1", "2"), (4, "b", "x", "7", "2")], [("x to 2", 3, 4, 2)]),
        ([(3, "a", "x", "1", "2"), (3, "a", "y", "1", "2")], [("x 1 to 2 and y 1 to 2", 3, 3, 1)]),
        ([(3, "a", "x", "1", "2"), (3, "a", "y", "1", "2"), (8, "a", "y", "2", "3")], [("x", 3, 3, 1)] * 3),
    ],
)
def test_a_rollout_is_one_deploy(events, told) -> None:
    found = deploys_of(changed(*events))
    assert len(found) == len(told)
    for deploy, (name, start, end, units) in zip(found[:1], told[:1], strict=True):
        assert deploy.name.startswith(name)
        assert deploy.span == (START + timedelta(hours=start), START + timedelta(hours=end))
        assert len(deploy.units) == units


@given(
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from("ab")), min_size=1, max_size=6, unique_by=lambda one: one),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.sampled_from("ab")), min_size=1, max_size=20),
)
@settings(max_examples=60, deadline=None)
def test_what_lies_between_is_what_a_walk_finds(events, pairs) -> None:
    """Of each pair, the last event before the middle of the later row's hour, and after that of the earlier row's."""
    deploys = [
        Deploy(name=f"{place}", times={"x": {unit: START + timedelta(hours=hour)}})
        for place, (hour, unit) in enumerate(sorted(events))
    ]

    def force(hour, unit):
        had = [place for place, (at, where) in enumerate(sorted(events)) if where == unit and at <= hour]
        return had[-1] if had else -1

    spans = tuple(
        {"unit": np.array([pair[2] for pair in pairs]), "step": np.array([FIRST + pair[i] for pair in pairs])}
        for i in (0, 1)
    )
    rows = np.arange(len(pairs))
    told = between(deploys, "x", spans, (rows, rows), HOUR)
    for (one, other, unit), place in zip(pairs, told.tolist(), strict=True):
        ends = force(max(one, other), unit), force(min(one, other), unit)
        assert place == (-1 if ends[0] == ends[1] else ends[0])


@pytest.mark.parametrize("times", ["apart", "once", "tried before"])
@pytest.mark.parametrize("quantity", ["events", "burn", "budget_hours"])
def test_changes_and_the_rest_add_up(times, quantity) -> None:
    parts = parts_of(told_changes(deploy_world(3, times=times)), quantity)
    total = parts.pop("total")
    assert {NO_CHANGE, "unexplained"} < set(parts)
    assert np.abs(sum(parts.values()) - total).max() < 1e-9 * max(1, np.abs(total).max())


def test_a_deploy_has_its_drivers_part_and_roles_the_sum_of_theirs() -> None:
    """Nothing else changed the setting, so the change has all of it; no second run of coalitions."""
    fleet = deploy_world(5)
    network = cr.fit(fleet.windows, fleet_graph())
    ways = ("driver", "role", "change")
    driver, role, change = attributions(fleet.windows, network, during=fleet.during, on="ttft", ways=ways)
    by_driver, by_role, by_change = parts_of(driver), parts_of(role), parts_of(change)
    for name in ("engine_version", "template"):
        mine = next(part for said, part in by_change.items() if said.startswith(name))
        assert np.allclose(mine, by_driver[name], atol=1e-12)
    assert np.allclose(by_role["config"], by_driver["engine_version"] + by_driver["template"], atol=1e-12)
    assert np.allclose(by_change["unexplained"], by_driver["unexplained"], atol=1e-12)
    alone = cr.attribute(fleet.windows, network, during=fleet.during, on="ttft", by="change")
    assert np.array_equal(alone.draws, change.draws)


def test_one_setting_changed_twice_is_split_between_its_changes() -> None:
    """The later change is on one node only; the other three keep the earlier one."""
    fleet = deploy_world(7)
    late = fleet.during[0] + timedelta(hours=3)
    table = fleet.windows.table.with_columns(
        template=pl.when((pl.col("unit") == "gpu-1") & (pl.col("time") >= late))
        .then(pl.lit("third"))
        .otherwise("template")
    )
    row = {"time": late, "node": "gpu-1", "variable": "template", "before": "dated", "after": "third"}
    told = pl.concat([fleet.windows.changes, pl.DataFrame([row], schema=fleet.windows.changes.schema)])
    windows = replace(fleet.windows, table=table, changes=told)
    network = cr.fit(windows, fleet_graph())
    driver, change = attributions(windows, network, during=fleet.during, ways=("driver", "change"))
    mine = {name: part for name, part in parts_of(change).items() if name.startswith("template")}
    assert sorted(name.partition(" at ")[0] for name in mine) == ["template dated to third", "template plain to dated"]
    assert np.allclose(sum(mine.values()), parts_of(driver)["template"], atol=1e-12)
    units = dict(zip(change.terms["driver"], change.terms["units"], strict=True))
    assert sorted(units[name] for name in mine) == [1, 4]


def test_changes_that_came_only_together_are_one_line_and_one_sentence() -> None:
    answer = told_changes(deploy_world(11, times="once"))
    lines = list(parts_of(answer, "first"))
    assert len(lines) == 1
    assert lines[0].startswith("engine_version e1 to e2 and template plain to dated at ")
    assert answer.said("changes together") == f"{lines[0]} came together and never apart: what each did cannot be told"
    assert answer.verdict == "bounded"


def test_changes_that_came_apart_once_are_told_apart() -> None:
    fleet = deploy_world(11, times="tried before")
    answer = told_changes(fleet)
    assert answer.said("changes together") == "no two changes came only together"
    first = {name.split()[0]: part.mean() for name, part in parts_of(answer, "first").items()}
    assert max(first, key=lambda name: first[name]) == fleet.guilty


def test_a_change_that_the_graph_does_not_know_is_told() -> None:
    fleet = deploy_world(11)
    graph = fleet_graph().project(["load", "queue_s", "ttft", fleet.guilty])
    answer = cr.attribute(fleet.windows, cr.fit(fleet.windows, graph), during=fleet.during, on="ttft", by="change")
    other = {"engine_version", "template"} - {fleet.guilty}
    assert answer.said("changes unnamed").startswith(f"the graph has no variable for {other.pop()} ")
    assert answer.verdict == "bounded"
    assert len(parts_of(answer, "first")) == 1


def test_only_what_pushes_the_way_of_the_change_can_be_first() -> None:
    """A deploy that mended is not first in a rise, and chances of being first add up to 1 at most."""
    fleet = deploy_world(13)
    quiet = (fleet.during[0] - timedelta(days=4), fleet.during[1] - timedelta(days=4))
    answer = cr.attribute(
        fleet.windows, cr.fit(fleet.windows, fleet_graph()), during=quiet, against=fleet.during, on="ttft", by="change"
    )
    parts, first = parts_of(answer), parts_of(answer, "first")
    assert parts["total"][0] < 0
    guilty = next(name for name in first if name.startswith(fleet.guilty))
    assert parts[guilty].mean() < 0
    assert first[guilty].mean() > 0.5
    assert max(sum(first.values())) == 1


def test_no_changes_is_one_sentence_and_none_between_is_an_answer() -> None:
    windows, _ = serving_world(5, days=3)
    network = cr.fit(windows, serving_graph())
    during = ("2026-02-11T12:00", "2026-02-12T00:00")
    with pytest.raises(cr.CausalrelError, match="carry no change events; sum by driver"):
        cr.attribute(windows, network, during=during, by="change")
    with pytest.raises(cr.CausalrelError, match="did you mean 'change'"):
        cr.attribute(windows, network, during=during, by="changes")
    early = changed((1, "gpu-0", "batch_size", "8", "4")).changes
    answer = cr.attribute(replace(windows, changes=early, by=("node",)), network, during=during, by="change")
    assert "first" not in answer.terms["quantity"].to_list()
    assert set(parts_of(answer)) == {NO_CHANGE, "unexplained", "total"}


def test_the_collapsed_cache_is_blamed_on_the_template_and_not_on_the_model() -> None:
    """Its card tells of reruns with each setting held: of 1,922 bad 1,786 are the template's, and none the model's."""
    windows = cr.window(cr.load_dataset("cache-collapse"), cr.load_slos("llm-chat"), every="30m", by="node")
    graph = cr.load_graph("llm-serving").project(["load", "prompt_template", "model_version", "ttft"])
    answer = cr.attribute(
        windows, cr.fit(windows, graph), during=("2026-06-18T10:00", "2026-06-21"), on="ttft", by="change"
    )
    parts, first = parts_of(answer), parts_of(answer, "first")
    template = "prompt_template plain to dated at 2026-06-18 10:00"
    model = "model_version v1 to v2 at 2026-06-17 02:00"
    assert set(first) == {template, model}
    assert parts[template].mean() / parts["total"][0] > 0.8
    assert np.quantile(parts[model], 0.95) / parts["total"][0] < 0.2
    assert first[template].mean() > 0.99


def test_a_report_tells_which_change_did_it() -> None:
    """Its sentence, its table and its record hold the numbers of the question asked alone."""
    fleet = deploy_world(17)
    network = cr.fit(fleet.windows, fleet_graph())
    told = cr.report(fleet.windows, network, during=fleet.during, on="ttft", effects=())
    section = next(section for section in told.sections if section.key == "changes")
    alone = cr.attribute(fleet.windows, network, during=fleet.during, on="ttft", by="change")
    assert np.array_equal(section.answer.draws, alone.draws)
    lines = alone.select(quantity="first").frame()
    assert section.sentence.startswith(f"{lines['driver'][0]} explains ")
    assert "the most of 2 changes with probability" in section.sentence
    facts = next(one for one in told.facts["sections"] if one["key"] == "changes")
    rows = {row[0]: row for row in facts["tables"][0]["rows"]}
    assert set(rows) == {*lines["driver"], NO_CHANGE, "unexplained", "total"}
    assert rows[lines["driver"][0]][2] == lines["mean"][0]
    claim = next(one for one in told.facts["claims"] if one["key"] == "changes")
    assert claim["calls"][0]["by"] == "change"
    assert lines["driver"][0] in told.text()
    quiet = replace(fleet.windows, changes=None)
    assert "changes" not in [s.key for s in cr.report(quiet, network, during=fleet.during, effects=()).sections]


@pytest.mark.parametrize(
    ("burns", "says"),
    [
        ({"x 1 to 2": 0.0, NO_CHANGE: 0.0, "total": 0.0}, "did not change against the span"),
        (
            {"x 1 to 2": -0.5, NO_CHANGE: 1.5, "total": 1.0},
            "No change event explains the rise in burn of ttft; without",
        ),
        (
            {"x 1 to 2": -0.5, NO_CHANGE: -0.5, "total": -1.0},
            "x 1 to 2 explains 50% of the fall in burn of ttft; without",
        ),
        ({"x": 0.6, "y": 0.2, NO_CHANGE: 0.2, "total": 1.0}, "the most of 2 changes with probability above 0.99"),
    ],
)
def test_the_sentence_of_changes(burns, says) -> None:
    entries = [
        Entry(
            driver=name,
            role="",
            events=None,
            burn=(burn, burn, burn),
            budget_hours=None,
            share=(burn / burns["total"],) * 3 if burns["total"] else None,
            first=None if name in (NO_CHANGE, "total") else float(burn == burns[next(iter(burns))]),
        )
        for name, burn in burns.items()
    ]
    assert says in changes(entries, "ttft")
