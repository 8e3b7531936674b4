"""Networks of tables: queries, filter, smooth, forecast, do and explanations against full enumeration."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from state_worlds import (
    HOUR,
    START,
    conditional,
    draw_path,
    enumerate_joint,
    labelled,
    random_network,
    with_gaps,
)

import causalrel as cr
from causalrel.inference.factors import Factor, eliminate, multiply
from causalrel.inference.tracks import log_score
from causalrel.tables import States, known_table
from causalrel.tabular import table_network

EXACT = 1e-10
YES_NO = States(labels=("no", "yes"))


def sprinkler() -> cr.Network:
    """Return the textbook network: rain and a sprinkler wet the grass."""
    graph = cr.Graph.from_edges(
        [("rain", "sprinkler"), ("sprinkler", "wet"), ("rain", "wet")],
        roles={"rain": "workload", "sprinkler": "config", "wet": "engine"},
    )
    return table_network(
        graph,
        {
            "rain": known_table(YES_NO, (), np.array([0.8, 0.2])),
            "sprinkler": known_table(YES_NO, (("rain", 0),), np.array([[0.6, 0.4], [0.99, 0.01]])),
            "wet": known_table(
                YES_NO,
                (("rain", 0), ("sprinkler", 0)),
                np.array([[[1.0, 0.0], [0.1, 0.9]], [[0.2, 0.8], [0.01, 0.99]]]),
            ),
        },
    )


def codes(network: cr.Network, column: dict[str, list[str | None]], upto: int) -> dict[tuple[str, int], int]:
    return {
        (name, step): int(value[1:])
        for name, values in column.items()
        for step, value in enumerate(values[:upto])
        if value
    }


def test_the_sprinkler_of_the_textbook() -> None:
    """P(rain | wet) = 0.3577 (Russell and Norvig's figures by hand); setting wet tells nothing of rain."""
    network = sprinkler()
    wet = 0.2 * (0.99 * 0.8 + 0.01 * 0.99)
    dry = 0.8 * 0.4 * 0.9
    seen = cr.query(network, of="rain", given={"wet": "yes"})
    assert seen.draws.shape == (1, 2)
    assert seen.draws[0, 1] == pytest.approx(wet / (wet + dry), abs=1e-14)
    assert cr.query(network, of="rain", do={"wet": "yes"}).draws[0].tolist() == pytest.approx([0.8, 0.2], abs=1e-14)
    joint = cr.query(network, of=["wet", "rain"]).frame()
    assert joint.columns[3:5] == ["wet", "rain"]
    assert joint.filter(wet="yes", rain="yes")["mean"].item() == pytest.approx(wet, abs=1e-14)


@pytest.mark.parametrize("seed", range(200))
def test_queries_equal_unrolled_enumeration(seed: int) -> None:
    network = random_network(seed, lags=1 + seed % 2)
    rng = np.random.default_rng(1000 + seed)
    names = [m.variable.name for m in network.mechanisms]
    cards = {m.variable.name: len(m.table.states.labels) for m in network.mechanisms}
    nodes = [(name, step) for name in names for step in range(4)]
    chosen = [nodes[i] for i in rng.permutation(len(nodes))[:5]]
    of, given, hard, soft = chosen[:2], chosen[2:3], chosen[3:4], chosen[4:]
    seen = {node: int(rng.integers(cards[node[0]])) for node in given}
    fixed = {node: int(rng.integers(cards[node[0]])) for node in hard}
    mixed = {node: rng.dirichlet(np.ones(cards[node[0]])) for node in soft}
    do = {node: f"s{code}" for node, code in fixed.items()} | {
        node: {f"s{i}": float(p) for i, p in enumerate(chances)} for node, chances in mixed.items()
    }
    found = cr.query(network, of=of, given={node: f"s{code}" for node, code in seen.items()}, do=do).draws[0]
    exact = conditional(network, enumerate_joint(network, 4, {**fixed, **mixed}), of, seen)
    assert np.abs(found - exact.ravel()).max() < EXACT


@pytest.mark.parametrize("seed", range(200))
def test_filter_smooth_forecast_and_do_equal_unrolled_enumeration(seed: int) -> None:
    network = random_network(seed, lags=1 + seed % 2)
    rng = np.random.default_rng(2000 + seed)
    names = [m.variable.name for m in network.mechanisms]
    path = with_gaps(draw_path(network, 3, rng), 0.4, rng)
    windows = labelled(network, path)
    of = names[int(rng.integers(len(names)))]
    other = names[0] if of != names[0] else names[1]
    joint = enumerate_joint(network, 4)
    whole = codes(network, path, 3)
    filtered = cr.infer(windows, network, of=of, horizon="1h").draws[0].reshape(4, -1)
    smoothed = cr.infer(windows, network, of=of, by="smooth").draws[0].reshape(3, -1)
    for step in range(4):
        exact = conditional(network, joint, [(of, step)], codes(network, path, step + 1))
        assert np.abs(filtered[step] - exact).max() < EXACT
    for step in range(3):
        exact = conditional(network, joint, [(of, step)], whole)
        assert np.abs(smoothed[step] - exact).max() < EXACT
    changed = enumerate_joint(network, 4, {(other, step): 1 for step in (2, 3)})
    done = cr.infer(windows, network, of=of, do={other: "s1"}, since=START + 2 * HOUR, horizon="1h", by="smooth")
    for step in range(4):
        exact = conditional(network, changed, [(of, step)], codes(network, path, 2))
        assert np.abs(done.draws[0].reshape(4, -1)[step] - exact).max() < EXACT


@pytest.mark.parametrize("seed", range(40))
def test_the_best_explanation_equals_the_largest_cell_of_the_joint(seed: int) -> None:
    network = random_network(seed, lags=1 + seed % 2)
    rng = np.random.default_rng(3000 + seed)
    path = with_gaps(draw_path(network, 4, rng), 0.5, rng)
    found = cr.explain(labelled(network, path), network)
    joint = enumerate_joint(network, 4)
    names = [m.variable.name for m in network.mechanisms]
    index = [slice(None)] * joint.ndim
    for (name, step), code in codes(network, path, 4).items():
        index[step * len(names) + names.index(name)] = slice(code, code + 1)
    best = tuple(int(value[1:]) for row in found.select(names).rows() for value in row)
    assert joint[best] == pytest.approx(joint[tuple(index)].max(), rel=1e-12)
    assert found["filled"].sum() == sum(value is None for column in path.values() for value in column)


def test_states_set_by_chance_are_the_mean_of_states_set_for_sure() -> None:
    """A soft intervention mixes hard ones (the law of total probability)."""
    network = sprinkler()
    sure = [cr.query(network, of="wet", do={"sprinkler": state}).draws for state in ("no", "yes")]
    mixed = cr.query(network, of="wet", do={"sprinkler": {"no": 0.3, "yes": 0.7}}).draws
    assert mixed == pytest.approx(0.3 * sure[0] + 0.7 * sure[1], abs=1e-14)
    assert not np.allclose(sure[0], sure[1])


def test_products_are_refused_before_they_are_made() -> None:
    wide = Factor(tuple((f"v{i}", 0) for i in range(4)), np.ones((1, 40, 40, 40, 10)))
    other = Factor((("v4", 0), ("v0", 0)), np.ones((1, 40, 40)))
    with pytest.raises(cr.CausalrelError, match="25,600,000 joint states"):
        multiply([wide, other], [("v1", 0)])
    assert eliminate([other], []).values.tolist() == [1600.0]


def test_a_network_too_wide_for_an_exact_answer_is_refused() -> None:
    """24 causes of one effect: any order of elimination meets them all."""
    names = [f"v{i:02}" for i in range(24)]
    edges = [*((a, a, 1) for a in names), *pairwise(names)]
    graph = cr.Graph.from_edges(edges, roles=dict.fromkeys(names, "engine"))
    tables = {}
    for i, name in enumerate(names):
        parents = ((names[i - 1], 0), (name, 1)) if i else ((name, 1),)
        half, first = (np.full((2,) * (len(parents) + more), 0.5) for more in (1, 0))
        tables[name] = known_table(YES_NO, parents, half, first)
    network = table_network(graph, tables)
    hidden = labelled(network, {name: [None, None, "yes"] for name in names} | {"v00": ["yes", "no", None]})
    with pytest.raises(cr.CausalrelError, match="joint states"):
        cr.infer(hidden, network, of="v23", by="filter", horizon="9h")


def test_evidence_that_cannot_be_is_refused() -> None:
    with pytest.raises(cr.CausalrelError, match="what is given cannot be under the network"):
        cr.query(sprinkler(), of="rain", given={"wet": "yes", "sprinkler": "no", "rain": "no"})


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"of": "rane"}, "did you mean 'rain'"),
        ({"of": ("rain", 2)}, "step 2 of 'rain' does not exist"),
        ({"of": "rain", "given": {"wet": "damp"}}, "'damp' is no state of 'wet'; its states are no, yes"),
        ({"of": "rain", "given": {"wet": "yes"}, "do": {"wet": "no"}}, "both given and set"),
        ({"of": "rain", "do": {"wet": {"yes": 0.7}}}, "add up to 0.7"),
        ({"of": "rain", "do": {"wet": {"yes": 1.5}}}, "is no chance"),
        ({"of": []}, "nothing, or the same twice"),
        ({"of": "rain", "since": -1}, "step -1 does not exist"),
    ],
)
def test_a_bad_question_is_one_sentence(asked: dict[str, object], said: str) -> None:
    with pytest.raises(cr.CausalrelError, match=said) as fault:
        cr.query(sprinkler(), **asked)
    assert "\n" not in fault.value.message


def test_long_runs_stay_above_zero() -> None:
    """The log score of 5000 windows of two fair coins is 5000 log(1/4); their product would be zero."""
    half = known_table(YES_NO, (), np.array([0.5, 0.5]))
    held = known_table(YES_NO, (("a", 1),), np.full((2, 2), 0.5), np.array([0.5, 0.5]))
    network = table_network(
        cr.Graph.from_edges([("a", "a", 1)], roles={"a": "engine", "c": "engine"}), {"a": held, "c": half}
    )
    windows = labelled(network, {"a": ["yes"] * 5000, "c": ["no"] * 5000})
    assert log_score(windows, network).sum() == pytest.approx(-5000 * np.log(4), rel=1e-12)


def test_a_window_of_nulls_is_a_step_without_news() -> None:
    """Between two seen states of a chain, the one in the gap is worth P(x|a) P(b|x), not a pair a to b."""
    stay = np.array([[0.9, 0.1], [0.2, 0.8]])
    table = known_table(YES_NO, (("a", 1),), stay, np.array([0.5, 0.5]))
    network = table_network(cr.Graph.from_edges([("a", "a", 1)], roles={"a": "engine"}), {"a": table})
    windows = labelled(network, {"a": ["no", None, "yes"]})
    found = cr.infer(windows, network, of="a", by="smooth").draws[0].reshape(3, 2)
    both = stay[0] * stay[:, 1]
    assert found[1] == pytest.approx(both / both.sum(), abs=1e-14)
