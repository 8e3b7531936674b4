"""The search and the score in the interface of pgmpy, and pgmpy's own searches as methods."""

from __future__ import annotations

import copy

import numpy as np
import polars as pl
import pytest

import causalrel as cr
from causalrel import errors
from causalrel.discovery.estimators import best_order_search, table_score


def frame() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    a, b = rng.integers(2, size=(2, 1500))
    c = np.where(rng.random(1500) < 0.9, a | b, rng.integers(2, size=1500))
    return pl.DataFrame({"a": a, "b": b, "c": c, "d": np.where(rng.random(1500) < 0.8, c, 1 - c)})


def knowledge(**known):
    from pgmpy.causal_discovery import ExpertKnowledge

    return ExpertKnowledge(**known)


def test_the_estimator_finds_the_pattern_and_scores_like_one_of_pgmpy() -> None:
    found = best_order_search().fit(frame().to_pandas())
    assert set(found.causal_graph_.directed_edges) == {("a", "c"), ("b", "c"), ("c", "d")}
    assert found.adjacency_matrix_.to_numpy().sum() == 3
    dag = best_order_search(return_type="dag").fit(frame().to_pandas()).causal_graph_
    assert set(dag.edges()) == {("a", "c"), ("b", "c"), ("c", "d")}


def test_expert_knowledge_is_kept_and_never_written_to() -> None:
    asked = knowledge(
        temporal_order=[["d"], ["a", "b", "c"]], required_edges=[("d", "a")], forbidden_edges=[("c", "b")]
    )
    before = copy.deepcopy(vars(asked))
    edges = set(
        best_order_search(expert_knowledge=asked, return_type="dag").fit(frame().to_pandas()).causal_graph_.edges()
    )
    assert vars(asked) == before
    assert ("d", "a") in edges
    assert not {("c", "b"), ("a", "d"), ("b", "d"), ("c", "d")} & edges


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"required_edges": [("a", "z")]}, "'z'"),
        ({"required_edges": [("a", "b")], "forbidden_edges": [("a", "b")]}, "required and cannot be"),
        ({"required_edges": [("a", "b"), ("b", "a")]}, "cycle"),
        ({"temporal_order": [["a"], ["b", "c"]]}, "lacks or repeats"),
        ({"temporal_order": [["a", "b", "c"], ["d"]], "required_edges": [("d", "a")]}, "required and cannot be"),
    ],
)
def test_knowledge_that_contradicts_itself_is_one_sentence(known, said) -> None:
    with pytest.raises(errors.CausalrelError, match=said):
        best_order_search(expert_knowledge=knowledge(**known)).fit(frame().to_pandas())


def test_the_score_is_the_bic_of_pgmpy_and_drives_its_hill_climbing() -> None:
    from pgmpy.causal_discovery import HillClimbSearch
    from pgmpy.structure_score import BIC

    data = frame().to_pandas().astype("category")
    ours, theirs = table_score(data), BIC(data)
    for node, parents in [("a", ()), ("c", ("a", "b")), ("d", ("c",)), ("a", ("d", "b", "c"))]:
        assert ours.local_score(node, parents) == pytest.approx(theirs.local_score(node, parents), rel=1e-9)
    found = HillClimbSearch(scoring_method=ours, return_type="dag", show_progress=False).fit(data).causal_graph_
    pairs = {frozenset(edge) for edge in found.edges()}
    assert {frozenset("ac"), frozenset("bc"), frozenset("cd")} <= pairs, "where pgmpy ends depends on the hash seed"


@pytest.mark.parametrize("method", ["pgmpy-ges", "pgmpy-pc"])
def test_searches_of_pgmpy_without_knowledge_find_the_pattern_and_refuse_tiers(method) -> None:
    found = cr.discover(frame(), resamples=0, method=method)
    assert {(e.cause, e.effect) for e in found.edges} == {("a", "c"), ("b", "c"), ("c", "d")}
    with pytest.raises(errors.CausalrelError, match=f"method {method} was asked with roles, tiers or a graph"):
        cr.discover(frame(), tiers=[["a", "b"], ["c", "d"]], resamples=0, method=method)


def test_columns_that_are_no_tables_are_refused() -> None:
    data = frame().with_columns(e=pl.int_range(1500) / 7).to_pandas()
    with pytest.raises(errors.CausalrelError, match="over 100 states"):
        best_order_search().fit(data)
