"""Services joined along a call chain: what reaches the end-to-end objective, and what makes the rest superfluous."""

from __future__ import annotations

from itertools import chain, combinations

import networkx as nx
import numpy as np
import pytest

import causalrel as cr
from causalrel.graphs import Graph
from causalrel.graphs.pipelines import join_services

SEARCH = Graph.from_edges(
    [("load", "queue"), ("top_k", "passages"), ("top_k", "search_s"), ("queue", "search_s")],
    roles={"load": "workload", "top_k": "config", "queue": "engine", "passages": "outcome", "search_s": "outcome"},
    name="search",
)
WRITE = Graph.from_edges(
    [("load", "running"), ("prompt_tokens", "running"), ("batch", "running"), ("running", "ttft"), ("running", "util")],
    roles={
        "load": "workload",
        "prompt_tokens": "workload",
        "batch": "config",
        "running": "engine",
        "util": "engine",
        "ttft": "outcome",
    },
    name="write",
)
CHAT = Graph.from_edges([("wait_s", "slo")], roles={"wait_s": "engine", "slo": "outcome"}, name="chat")
LINKS = [
    ("search/load", "write/load"),
    ("search/passages", "write/prompt_tokens"),
    ("search/search_s", "chat/slo"),
    ("write/ttft", "chat/slo"),
]


def joined(**more):
    return join_services({"search": SEARCH, "write": WRITE, "chat": CHAT}, LINKS, **more)


def test_the_end_to_end_objective_needs_the_last_word_of_each_service() -> None:
    graph = joined()
    assert set(graph.blanket("chat/slo")) == {"search/search_s", "write/ttft", "chat/wait_s"}
    assert set(graph.blanket("write/running")) == {
        "write/load",
        "write/prompt_tokens",
        "write/batch",
        "write/util",
        "write/ttft",
    }
    assert "search/top_k" in graph.ancestors("chat/slo")
    assert set(graph.blanket("search/passages")) == {"search/top_k", "write/prompt_tokens"}


def test_what_services_share_unmeasured_reaches_through_the_chain() -> None:
    graph = joined(unmeasured={"host": ["search/queue", "write/running"]})
    assert set(joined().blanket("search/queue")) == {"search/load", "search/search_s", "search/top_k"}
    assert {"write/running", "write/load", "write/batch"} <= set(graph.blanket("search/queue"))
    assert graph.unmeasured[-1].affects == ("search/queue", "write/running")


@pytest.mark.parametrize("seed", range(30))
def test_the_blanket_is_the_smallest_set_that_separates_in_random_chains(seed: int) -> None:
    rng = np.random.default_rng([seed, 51])
    parts = {}
    for service in ("a", "b", "c"):
        names = ["in", "mid", "out"]
        edges = [pair for pair in combinations(names, 2) if rng.random() < 0.6]
        parts[service] = Graph.from_edges(edges, roles=dict(zip(names, ("workload", "engine", "outcome"), strict=True)))
    links = [("a/out", "b/in"), ("b/out", "c/in")] + [("a/mid", "c/out")] * int(rng.integers(2))
    shared = {"host": ["a/mid", "c/mid"]} if rng.random() < 0.5 else {}
    graph = join_services(parts, links, unmeasured=shared)
    dag, others = graph.to_networkx(), set(graph.names) - {"c/out"}
    sets = chain.from_iterable(combinations(sorted(others), k) for k in range(len(others) + 1))
    first = next(
        set(given)
        for given in sets
        if others == set(given) or nx.is_d_separator(dag, {"c/out"}, others - set(given), set(given))
    )
    assert set(graph.blanket("c/out")) == first


def test_a_joined_graph_is_written_and_read_back_the_same(tmp_path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(joined().to_yaml(), encoding="utf-8")
    assert cr.load_graph(path) == joined()


@pytest.mark.parametrize(
    ("links", "says"),
    [
        ([("search/passage", "write/prompt_tokens")], "did you mean 'search/passages'"),
        ([("search/queue", "search/load")], "stays within a service"),
        ([("search/passages", "write/prompt_tokens"), ("write/ttft", "search/load")], None),
        ([("search/search_s", "write/load"), ("write/ttft", "search/load")], "in a circle"),
    ],
)
def test_faulty_links_get_one_sentence(links, says) -> None:
    services = {"search": SEARCH, "write": WRITE}
    if says is None:
        assert join_services(services, links).ancestors("search/queue") >= {"write/ttft", "search/passages"}
        return
    with pytest.raises(cr.CausalrelError, match=says):
        join_services(services, links)


def test_the_order_of_roles_holds_within_a_service() -> None:
    wrong = Graph(variables=SEARCH.variables, edges=(cr.Edge(cause="search_s", effect="load"),), name="wrong")
    with pytest.raises(cr.CausalrelError, match="against the causal order"):
        join_services({"wrong": wrong, "write": WRITE}, [])
    with pytest.raises(cr.CausalrelError, match="'a/b' is no name of a service"):
        join_services({"a/b": SEARCH}, [])
