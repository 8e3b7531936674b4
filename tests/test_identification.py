"""Identification against definitions: every path walked, every set tried, and covariances of linear worlds solved.

Two oracles decide. One walks all paths of a graph with its unmeasured causes as nodes. The other gives every arrow a
random coefficient and solves for the covariance, in which a generic linear world tells whether a claim is true.
networkx, DoWhy and pgmpy are asked too; where pgmpy differs from the oracles, the test names how.
"""

from __future__ import annotations

import functools
from itertools import chain, combinations, pairwise, permutations

import networkx as nx
import numpy as np
import pytest

import causalrel as cr
from causalrel.graphs import Graph
from causalrel.identification import (
    hidden_confounders,
    is_adjustment,
    is_separated,
    list_adjustments,
    list_front_doors,
    list_implications,
    list_instruments,
    minimal_adjustment,
    optimal_adjustment,
    tell_forbidden,
)

GRAPHS = 200


def subsets(names, most=None):
    names = list(names)
    return chain.from_iterable(combinations(names, k) for k in range(1 + (len(names) if most is None else most)))


@functools.cache
def made(seed: int) -> Graph:
    """A random graph of 4 to 8 variables, about 1.3 arrows a variable, and up to two unmeasured causes."""
    rng = np.random.default_rng([seed, 11])
    n = int(rng.integers(4, 9))
    names = [f"v{i}" for i in rng.permutation(n)]
    edges = [pair for pair in combinations(names, 2) if rng.random() < 2.6 / (n - 1)]
    hidden = {
        f"u{i}": [str(v) for v in rng.choice(sorted(names), size=int(rng.integers(2, 4)), replace=False)]
        for i in range(int(rng.integers(0, 3)))
    }
    return Graph.from_edges(edges, roles=dict.fromkeys(sorted(names), "engine"), unmeasured=hidden)


def walks(dag: nx.DiGraph, one: str, other: str):
    """Every path, with the nodes that close it when held and, for each collider, those that open it."""
    found = []
    for path in nx.all_simple_paths(dag.to_undirected(as_view=True), one, other):
        closing, opening = set(), []
        for a, b, c in zip(path, path[1:], path[2:], strict=False):
            if dag.has_edge(a, b) and dag.has_edge(c, b):
                opening.append({b} | nx.descendants(dag, b))
            else:
                closing.add(b)
        found.append((path, closing, opening))
    return found


def opened(paths, given) -> list[list[str]]:
    """The paths that Pearl's definition calls open."""
    held = set(given)
    return [path for path, closing, opening in paths if not closing & held and all(each & held for each in opening)]


def valid_by_paths(dag: nx.DiGraph, of: str, on: str):
    """The adjustment criterion by its definition (Shpitser, VanderWeele and Robins 2010), as a test of sets."""
    causal = {node for path in nx.all_simple_paths(dag, of, on) for node in path[1:]}
    forbidden = causal.union(*(nx.descendants(dag, node) for node in causal))
    others = [walk for walk in walks(dag, of, on) if not all(dag.has_edge(a, b) for a, b in pairwise(walk[0]))]
    return lambda given: not forbidden & set(given) and not opened(others, given)


@functools.cache
def solved(seed: int) -> tuple[dict[str, int], np.ndarray, np.ndarray]:
    """Index of each node, covariance and total effects of a linear world with coefficients drawn away from zero."""
    dag = made(seed).to_networkx()
    at = {name: i for i, name in enumerate(dag)}
    rng = np.random.default_rng([seed, 12])
    b = np.zeros((len(at), len(at)))
    for cause, effect in dag.edges:
        b[at[effect], at[cause]] = rng.uniform(0.4, 1.2) * rng.choice([-1, 1])
    total = np.linalg.inv(np.eye(len(at)) - b)
    return at, total @ np.diag(rng.uniform(0.5, 2.0, len(at))) @ total.T, total


def partial(seed: int, pair: tuple[str, ...], given) -> np.ndarray:
    """Covariance of some nodes given others."""
    at, cov, _ = solved(seed)
    p, g = [at[x] for x in pair], [at[x] for x in given]
    made_ = cov[np.ix_(p, p)]
    return made_ - cov[np.ix_(p, g)] @ np.linalg.solve(cov[np.ix_(g, g)], cov[np.ix_(g, p)]) if g else made_


def pairs(graph: Graph):
    return [(of, on) for of, on in permutations(graph.names, 2) if of in graph.ancestors(on)]


@pytest.mark.parametrize("part", range(4))
def test_separation_is_that_of_paths_networkx_and_covariances(part: int) -> None:
    told = {True: 0, False: 0}
    for seed in range(part, GRAPHS, 4):
        graph = made(seed)
        dag = graph.to_networkx()
        rng = np.random.default_rng([seed, 13])
        for one, other in combinations(graph.names, 2):
            others = [name for name in graph.names if name not in (one, other)]
            paths = walks(dag, one, other)
            for given in subsets(others):
                if rng.random() > 0.1:
                    continue
                says = is_separated(graph, one, other, given)
                told[says] += 1
                assert says == (not opened(paths, given))
                assert says == nx.is_d_separator(dag, {one}, {other}, set(given))
                cov = partial(seed, (one, other), given)
                assert says == (abs(cov[0, 1]) < 1e-9 * np.sqrt(cov[0, 0] * cov[1, 1]))
    assert min(told.values()) > 300


def test_adjustment_sets_are_those_of_the_definition() -> None:
    found = 0
    for seed in range(GRAPHS):
        graph = made(seed)
        dag = graph.to_networkx()
        total = solved(seed)[2]
        at = solved(seed)[0]
        for of, on in pairs(graph)[:2]:
            others = [name for name in graph.names if name not in (of, on)]
            valid = set(filter(valid_by_paths(dag, of, on), subsets(others)))
            assert set(list_adjustments(graph, of, on, limit=1000)) == valid
            for given in subsets(others):
                cov = partial(seed, (of, on), given)
                agrees = bool(np.isclose(cov[0, 1] / cov[0, 0], total[at[on], at[of]], rtol=1e-7, atol=1e-9))
                assert is_adjustment(graph, of, on, given) <= agrees
            least = minimal_adjustment(graph, of, on)
            assert (least is None) == (not valid)
            if least is not None:
                found += 1
                assert least in valid
                assert not any(set(given) < set(least) for given in valid)
    assert found > 200


def test_sets_that_are_refused_do_bias_a_linear_effect() -> None:
    wrong = missed = 0
    for seed in range(0, GRAPHS, 4):
        graph = made(seed)
        at, _, total = solved(seed)
        for of, on in pairs(graph)[:4]:
            for given in subsets([name for name in graph.names if name not in (of, on)]):
                if is_adjustment(graph, of, on, given):
                    continue
                cov = partial(seed, (of, on), given)
                wrong += 1
                missed += bool(np.isclose(cov[0, 1] / cov[0, 0], total[at[on], at[of]], rtol=1e-7, atol=1e-9))
    assert wrong > 1000
    assert missed == 0


def test_the_optimal_set_has_the_least_variance_of_all_valid_ones() -> None:
    found = 0
    for seed in range(GRAPHS):
        graph = made(seed)
        for of, on in pairs(graph):
            best = optimal_adjustment(graph, of, on)
            if best is None:
                continue

            def variance(given, seed=seed, of=of, on=on) -> float:
                cov = partial(seed, (of, on), given)
                return float((cov[1, 1] - cov[0, 1] ** 2 / cov[0, 0]) / cov[0, 0])

            valid = list_adjustments(graph, of, on, limit=1000)
            assert best in valid
            assert variance(best) <= min(variance(given) for given in valid) * (1 + 1e-9)
            found += len(valid) > 1
    assert found > 200


def effect_in_a_network(seed: int, graph: Graph, of: str, on: str) -> float:
    """The effect of setting a variable where each variable answers to its measured causes as it was seen to."""
    gained = {of: 1.0}
    for name in graph.order():
        parents = graph.parents(name)
        if name != of and parents:
            cov = partial(seed, (*parents, name), ())
            slopes = np.linalg.solve(cov[:-1, :-1], cov[:-1, -1])
            gained[name] = sum(slope * gained.get(parent, 0.0) for slope, parent in zip(slopes, parents, strict=True))
    return gained[on]


def test_a_network_gives_the_effect_where_no_unmeasured_cause_forbids_it() -> None:
    right = wrong = needless = 0
    for seed in range(GRAPHS):
        graph = made(seed)
        at, _, total = solved(seed)
        for of, on in pairs(graph):
            agrees = bool(np.isclose(effect_in_a_network(seed, graph, of, on), total[at[on], at[of]], rtol=1e-7))
            named = hidden_confounders(graph, of, on) != ()
            assert agrees or named
            right, wrong = right + (agrees and bool(graph.unmeasured)), wrong + (not agrees)
            needless += agrees and named
    assert min(right, wrong) > 200
    assert needless < wrong / 5


def test_front_doors_and_instruments_identify_a_linear_effect() -> None:
    doors = instruments = conditional = 0
    for seed in range(GRAPHS):
        graph = made(seed)
        at, _, total = solved(seed)
        for of, on in pairs(graph):
            truth = total[at[on], at[of]]
            for chosen in list_front_doors(graph, of, on):
                first = partial(seed, (of, *chosen), ())
                second = partial(seed, (*chosen, on), (of,))
                slopes = np.linalg.solve(second[:-1, :-1], second[:-1, -1])
                assert np.isclose(first[0, 1:] / first[0, 0] @ slopes, truth, rtol=1e-6)
                doors += 1
            for item in list_instruments(graph, of, on):
                cov = partial(seed, (item.name, of, on), item.given)
                assert np.isclose(cov[0, 2] / cov[0, 1], truth, rtol=1e-6)
                instruments += 1
                conditional += bool(item.given)
    assert min(doors, instruments, conditional) > 50


def test_front_doors_and_instruments_are_all_that_their_definitions_admit() -> None:
    for seed in range(0, GRAPHS, 2):
        graph = made(seed)
        dag = graph.to_networkx()
        for of, on in pairs(graph)[:3]:
            silent = dag.copy()
            silent.remove_edges_from(list(dag.out_edges(of)))
            inner = {node for path in nx.all_simple_paths(dag, of, on) for node in path[1:-1]}
            doors = set()
            for chosen in subsets(sorted(inner)):
                cut = dag.copy()
                cut.remove_edges_from(list(dag.out_edges(chosen)))
                if (
                    all(set(chosen) & set(path[1:-1]) for path in nx.all_simple_paths(dag, of, on))
                    and not any(opened(walks(silent, of, door), ()) for door in chosen)
                    and not any(opened(walks(cut, door, on), (of,)) for door in chosen)
                ):
                    doors.add(chosen)
            assert {tuple(sorted(chosen)) for chosen in list_front_doors(graph, of, on)} == doors
            before = set(graph.names) - nx.descendants(dag, of) - {of}
            expected = set()
            for name in before:
                out, into = walks(silent, name, on), walks(dag, name, of)
                sets = subsets(before - {name}, most=2)
                expected |= {name for given in sets if not opened(out, given) and opened(into, given)}
            assert {item.name for item in list_instruments(graph, of, on)} == expected


def test_each_pair_that_can_be_separated_is_claimed_once() -> None:
    claimed = unclaimed = 0
    for seed in range(GRAPHS):
        graph = made(seed)
        dag = graph.to_networkx()
        claims = {frozenset((c.one, c.other)): c for c in list_implications(graph)}
        assert len(claims) == len(list_implications(graph))
        for one, other in combinations(graph.names, 2):
            claim = claims.get(frozenset((one, other)))
            paths = walks(dag, one, other)
            if claim is not None:
                claimed += 1
                assert not opened(paths, claim.given)
                assert claim.one not in graph.descendants(claim.other)
            else:
                others = [name for name in graph.names if name not in (one, other)]
                assert all(opened(paths, given) for given in subsets(others))
                unclaimed += not (dag.has_edge(one, other) or dag.has_edge(other, one))
    assert min(claimed, unclaimed) > 50


def test_forbidden_controls_break_a_valid_set_and_the_others_do_not() -> None:
    colliders = 0
    for seed in range(GRAPHS):
        graph = made(seed)
        dag = graph.to_networkx()
        for of, on in pairs(graph)[:4]:
            base = minimal_adjustment(graph, of, on)
            said = tell_forbidden(graph, of, on)
            if base is None:
                continue
            colliders += sum("opens the path" in sentence for sentence in said.values())
            valid = valid_by_paths(dag, of, on)
            for name in set(graph.names) - {of, on, *base}:
                assert (name in said) == (not valid([*base, name]))
    assert colliders > 20


def test_the_blanket_is_the_smallest_set_that_separates_from_all_others() -> None:
    wider = 0
    for seed in range(GRAPHS):
        graph = made(seed)
        dag = graph.to_networkx()
        for name in graph.names:
            others = [other for other in graph.names if other != name]
            blankets = [
                set(given)
                for given in subsets(others)
                if not (rest := set(others) - set(given)) or nx.is_d_separator(dag, {name}, rest, set(given))
            ]
            assert set(graph.blanket(name)) == blankets[0]
            assert all(blankets[0] <= given for given in blankets)
            effects = {other for other in others if name in graph.parents(other)}
            family = effects.union(graph.parents(name), *(graph.parents(effect) for effect in effects)) - {name}
            wider += family < set(graph.blanket(name))
            if not graph.unmeasured:
                assert set(graph.blanket(name)) == family
    assert wider > 50


def test_a_collider_is_told_with_the_path_it_opens() -> None:
    graph = Graph.from_edges(
        [("batch", "slo")],
        roles={"batch": "config", "alerts": "engine", "slo": "outcome"},
        unmeasured={"skill": ["batch", "alerts"], "weather": ["alerts", "slo"]},
    )
    says = "holding alerts fixed opens the path batch <- skill -> alerts <- weather -> slo"
    assert tell_forbidden(graph, "batch", "slo") == {"alerts": says}


@pytest.mark.parametrize(
    "ask",
    [
        lambda graph: is_separated(graph, "a", "b"),
        lambda graph: is_adjustment(graph, "a", "b", []),
        lambda graph: list_adjustments(graph, "a", "b"),
        lambda graph: list_implications(graph),
        lambda graph: list_instruments(graph, "a", "b"),
        lambda graph: list_front_doors(graph, "a", "b"),
        lambda graph: tell_forbidden(graph, "a", "b"),
        lambda graph: graph.blanket("a"),
    ],
)
def test_lagged_graphs_are_refused(ask) -> None:
    graph = Graph.from_edges([("a", "b"), ("b", "b", 1)], roles={"a": "engine", "b": "engine"}, name="looped")
    with pytest.raises(cr.CausalrelError, match="'looped' is refused: it has lagged edges"):
        ask(graph)


def test_unknown_and_repeated_names_get_one_sentence() -> None:
    graph = Graph.from_edges([("a", "b")], roles={"a": "engine", "b": "engine"}, unmeasured={"u": ["a", "b"]})
    with pytest.raises(cr.CausalrelError, match="no variable 'u'"):
        is_adjustment(graph, "a", "b", ["u"])
    with pytest.raises(cr.CausalrelError, match="told twice"):
        is_separated(graph, "a", "b", ["b"])
    with pytest.raises(cr.CausalrelError, match="name two variables"):
        minimal_adjustment(graph, "a", "a")


def test_more_sets_than_can_be_looked_at_are_refused() -> None:
    names = [f"v{i}" for i in range(18)]
    edges = [("a", "b"), *((name, end) for name in names for end in ("a", "b"))]
    graph = Graph.from_edges(edges, roles=dict.fromkeys(["a", "b", *names], "engine"))
    with pytest.raises(cr.CausalrelError, match="30,000 sets of 18 variables"):
        list_adjustments(graph, "a", "b", limit=1)
    assert set(minimal_adjustment(graph, "a", "b") or ()) == set(names)


@pytest.mark.slow
def test_dowhy_finds_an_adjustment_set_where_there_is_one() -> None:
    from causalrel.bridges import dowhy

    for seed in range(GRAPHS):
        graph = made(seed)
        for of, on in pairs(graph)[:2]:
            found = dowhy.identify(graph, of=of, on=on)
            assert (found.adjustment is None) == (minimal_adjustment(graph, of, on) is None)
            if found.adjustment is not None:
                assert is_adjustment(graph, of, on, found.adjustment)


def in_pgmpy(graph: Graph):
    """The same graph in pgmpy, unmeasured causes as latents."""
    from pgmpy.base import DAG

    dag = DAG(list(graph.to_networkx().edges), latents={hidden.name for hidden in graph.unmeasured})
    dag.add_nodes_from(graph.names)
    return dag


@pytest.mark.slow
def test_pgmpy_agrees_but_for_two_faults_of_its_own() -> None:
    """pgmpy 1.1.2 lets mediators be held fixed, and calls pairs inseparable that the oracle separates."""
    from pgmpy.inference import CausalInference

    mediators = given_up = same = 0
    for seed in range(GRAPHS):
        graph = made(seed)
        dag, other_dag = graph.to_networkx(), in_pgmpy(graph)
        for one, other in combinations(graph.names, 2):
            paths = walks(dag, one, other)
            rest = [name for name in graph.names if name not in (one, other)]
            for given in list(subsets(rest, most=2))[::5]:
                assert is_separated(graph, one, other, given) != other_dag.is_dconnected(one, other, list(given))
            if dag.has_edge(one, other) or dag.has_edge(other, one):
                continue
            theirs = other_dag.minimal_dseparator(one, other)
            claimed = any({claim.one, claim.other} == {one, other} for claim in list_implications(graph))
            if theirs is None and claimed:
                assert any(not opened(paths, given) for given in subsets(rest))
                given_up += 1
            else:
                assert (theirs is not None) == claimed
                assert theirs is None or not opened(paths, theirs)
        for of, on in pairs(graph)[:2]:
            valid = valid_by_paths(dag, of, on)
            for given in list(subsets([name for name in graph.names if name not in (of, on)]))[::3]:
                theirs = CausalInference(other_dag).is_valid_adjustment_set(of, on, list(given))
                if theirs == is_adjustment(graph, of, on, given):
                    same += 1
                else:
                    assert theirs
                    assert not valid(given)
                    mediators += 1
    assert mediators > 0
    assert given_up > 0
    assert same > mediators
