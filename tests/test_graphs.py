"""Graphs: refused where they are no graph, marginalised without losing a path, written and read back."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import causalrel as cr
from causalrel.identification import adjustment, hidden_confounders, is_adjustment

ROLES = {"load": "workload", "batch": "config", "queue": "engine", "slo": "outcome"}
EDGES = [("load", "batch"), ("load", "queue"), ("batch", "queue"), ("queue", "slo"), ("load", "slo")]


def graph(**more):
    return cr.Graph.from_edges(EDGES, roles=ROLES, **more)


def test_shipped_graph_is_written_and_read_back_the_same(tmp_path: Path) -> None:
    shipped = cr.load_graph("llm-serving")
    path = tmp_path / "copy.yaml"
    path.write_text(shipped.to_yaml(), encoding="utf-8")
    assert cr.load_graph(path) == shipped
    assert all(edge.why and edge.source for edge in shipped.edges)


@pytest.mark.parametrize(
    ("edges", "says"),
    [
        ([("load", "bacth")], "did you mean 'batch'"),
        ([("load", "load")], "self-loop"),
        ([("load", "batch"), ("load", "batch")], "written twice"),
        ([("slo", "load")], "against the causal order"),
        ([("load", "batch"), ("batch", "load")], "in a circle: load -> batch -> load"),
        ([("load", "batch", -1)], "never follows its effect"),
    ],
)
def test_faulty_graph_gets_one_sentence(edges, says) -> None:
    with pytest.raises(cr.CausalrelError, match=says) as caught:
        cr.Graph.from_edges(edges, roles=ROLES)
    assert "\n" not in caught.value.message


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("graph: x\nvariables: {a: {role: wrkload}}\nedges: [{cause: a, effec: b}]\n")
    with pytest.raises(cr.CausalrelError) as caught:
        cr.load_graph(path)
    for part in ("variables.a.role", "edges[0].effect", "edges[0].effec: this key is not known"):
        assert part in caught.value.message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: &x [1]\nb: *x\n", "aliases are not allowed"),
        ("graph: x\ngraph: y\n", "written twice"),
        ("!!python/object/apply:os.system ['true']\n", "not a usable graph"),
        ("[" * 200 + "]" * 200, "levels deep"),
        ("graph: x\nvariables: {}\nedges: []\nwhat: 1\n", "what: this key is not known"),
    ],
)
def test_hostile_yaml_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(cr.CausalrelError, match=says):
        cr.load_graph(path)


def test_unknown_graph_name_is_met_with_a_near_one() -> None:
    with pytest.raises(cr.CausalrelError, match="did you mean 'llm-serving'"):
        cr.load_graph("llm-servin")


def test_projection_keeps_confounding_as_unmeasured() -> None:
    projected = graph().project(["batch", "queue", "slo"])
    assert [u.name for u in projected.unmeasured] == ["load"]
    assert set(projected.unmeasured[0].affects) == {"batch", "queue", "slo"}
    assert graph().project(["load", "batch", "slo"]).parents("slo") == ("load", "batch")


@given(st.permutations(list(ROLES)), st.sets(st.sampled_from(list(ROLES)), min_size=1))
@settings(max_examples=60, deadline=None)
def test_projection_keeps_ancestry_whatever_the_order(order, kept) -> None:
    whole = cr.Graph.from_edges(EDGES, roles={name: ROLES[name] for name in order})
    part = whole.project(kept)
    for name in kept:
        assert part.ancestors(name) == whole.ancestors(name) & kept


def test_adjustment_criterion_on_known_cases() -> None:
    assert is_adjustment(graph(), "batch", "slo", ["load"])
    assert not is_adjustment(graph(), "batch", "slo", [])
    assert not is_adjustment(graph(), "batch", "slo", ["load", "queue"])
    assert adjustment(graph(), "batch", "slo", ["load"]) == ("load",)


def test_adjustment_never_opens_an_m_shaped_path() -> None:
    m_shaped = cr.Graph.from_edges(
        [("batch", "slo"), ("load", "slo")], roles=ROLES, unmeasured={"u": ["batch", "load"], "v": ["load", "slo"]}
    )
    assert adjustment(m_shaped, "batch", "slo", []) == ()


def test_hidden_cause_of_what_is_set_is_named() -> None:
    assert hidden_confounders(graph(), "batch", "slo") == ()
    assert hidden_confounders(graph(unmeasured={"skill": ["batch", "slo"]}), "batch", "slo") == ("skill",)


def test_dot_is_inert_for_hostile_names() -> None:
    name = 'a"]; x -> y\n<b>'
    made = cr.Graph.from_edges([(name, "slo")], roles={name: "engine", "slo": "outcome"})
    assert '\\"' in made.to_dot()
    assert sum(line.endswith('" -> "slo";') for line in made.to_dot().splitlines()) == 1
    assert "y &lt;b&gt;" in made._repr_html_()
