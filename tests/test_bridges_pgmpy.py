"""Networks of tables to and from pgmpy, and exact answers against pgmpy on the unrolled network and pyAgrum's k-TBN."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from state_worlds import draw_path, labelled, random_network, with_gaps

import causalrel as cr
from causalrel.bridges.pgmpy import from_pgmpy, to_pgmpy


def unrolled(model: Any, steps: int) -> Any:
    """Unroll a dynamic model of pgmpy into a static one, nodes named ``name@step``."""
    from pgmpy.factors.discrete import TabularCPD
    from pgmpy.models import DiscreteBayesianNetwork

    static = DiscreteBayesianNetwork()
    by_node = {tuple(cpd.variable): cpd for cpd in model.cpds}
    cpds = []
    for step in range(steps):
        for name in sorted({node[0] for node in by_node}):
            cpd, shift = by_node[name, min(step, 1)], max(step - 1, 0)
            nodes = [f"{v[0]}@{v[1] + shift}" for v in cpd.variables]
            static.add_node(nodes[0])
            static.add_edges_from((parent, nodes[0]) for parent in nodes[1:])
            cpds.append(
                TabularCPD(
                    nodes[0],
                    cpd.variable_card,
                    cpd.get_values(),
                    nodes[1:] or None,
                    list(cpd.cardinality[1:]) or None,
                    state_names={f"{v[0]}@{v[1] + shift}": s for v, s in cpd.state_names.items()},
                )
            )
    static.add_cpds(*cpds)
    assert static.check_model()
    return static


@pytest.mark.parametrize("seed", range(20))
def test_a_network_comes_back_from_pgmpy(seed: int) -> None:
    network = random_network(seed)
    again = from_pgmpy(to_pgmpy(network))
    for mechanism in network.mechanisms:
        before, after = mechanism.table, again.mechanism(mechanism.variable.name).table
        assert after.states.labels == before.states.labels
        axes = [after.parents.index(parent) for parent in before.parents]
        assert np.array_equal(after.mean.transpose([*axes, len(axes)]), before.mean)
    path = with_gaps(draw_path(network, 6, np.random.default_rng(seed)), 0.3, np.random.default_rng(seed))
    windows = labelled(network, path)
    ours, theirs = (cr.infer(windows, one, of="v0", by="smooth").draws for one in (network, again))
    assert np.abs(ours - theirs).max() < 1e-12


@pytest.mark.parametrize("seed", range(20))
def test_queries_equal_elimination_of_pgmpy_on_the_unrolled_network(seed: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pgmpy.inference import VariableElimination

    network = random_network(500 + seed)
    rng = np.random.default_rng(seed)
    names = [m.variable.name for m in network.mechanisms]
    nodes = [(name, step) for name in names for step in range(6)]
    chosen = [nodes[i] for i in rng.permutation(len(nodes))[:4]]
    given = {node: f"s{int(rng.integers(2))}" for node in chosen[1:]}
    found = cr.query(network, of=chosen[0], given=given).draws[0]
    evidence = {f"{name}@{step}": state for (name, step), state in given.items()}
    static = unrolled(to_pgmpy(network), 6)
    of = f"{chosen[0][0]}@{chosen[0][1]}"
    exact = VariableElimination(static).query([of], evidence=evidence, show_progress=False)
    labels = network.mechanism(chosen[0][0]).table.states.labels
    theirs = [exact.get_value(**{of: label}) for label in labels]
    assert found == pytest.approx(theirs, abs=1e-10)


def agrum_network(network: cr.Network, depth: int) -> Any:
    """Return a network as a k-TBN of pyAgrum."""
    gum = pytest.importorskip("pyagrum", reason="pyAgrum is the outside reference")
    ktbn = pytest.importorskip("pyagrum.ktbn", reason="pyAgrum is the outside reference")
    model = ktbn.KTBN(depth)
    tables = {m.variable.name: m.table for m in network.mechanisms}
    for name, table in tables.items():
        model.addTemporal(gum.LabelizedVariable(name, "", len(table.states.labels)))
    arcs = {
        (parent, step - lag, name, step)
        for name, table in tables.items()
        for step in range(depth)
        for parent, lag in table.parents
        if lag == 0 or step >= table.lags
    }
    for arc in sorted(arcs):
        model.addArc(*arc)
    for name, table in tables.items():
        for step in range(depth):
            started = step >= table.lags
            mean = table.mean if started else table.first_mean
            parents = [p for p in table.parents if started or p[1] == 0]
            cpt = model.cpt(name, step)
            place = gum.Instantiation(cpt)
            place.setFirst()
            while not place.end():
                at = {key: int(value) for key, value in place.todict().items()}
                cell = [at[f"{p}[{step - lag}]"] for p, lag in parents] + [at[f"{name}[{step}]"]]
                cpt.set(place, float(mean[tuple(cell)]))
                place.inc()
    return ktbn, model


@pytest.mark.parametrize("seed", range(40))
def test_queries_and_interventions_equal_the_ktbn_of_pyagrum(seed: int) -> None:
    lags = 1 + seed % 2
    network = random_network(700 + seed, lags=lags)
    ktbn, model = agrum_network(network, network.graph.lags + 1)
    rng = np.random.default_rng(seed)
    names = [m.variable.name for m in network.mechanisms]
    nodes = [(name, step) for name in names for step in range(5)]
    of, seen, other, done = (nodes[i] for i in rng.permutation(len(nodes))[:4])
    engine = ktbn.KTBNInference(model)
    for node in (seen, other):
        engine.addObservation(*node, 1)
    engine.addIntervention(*done, 0)
    engine.addTarget(of[0])
    engine.makeInference(5)
    theirs = np.array(engine.posterior(*of).toarray())
    found = cr.query(network, of=of, given={seen: "s1", other: "s1"}, do={done: "s0"}).draws[0]
    assert np.abs(found - theirs).max() < 1e-9


def test_what_pgmpy_cannot_hold_is_refused() -> None:
    deep = next(n for n in (random_network(seed, lags=2) for seed in range(50)) if n.graph.lags == 2)
    with pytest.raises(cr.CausalrelError, match="at most one window before"):
        to_pgmpy(deep)


def test_a_model_without_a_table_is_refused() -> None:
    from pgmpy.factors.discrete import TabularCPD
    from pgmpy.models import DiscreteBayesianNetwork

    model = DiscreteBayesianNetwork([("a", "b")])
    model.add_cpds(TabularCPD("a", 2, [[0.5], [0.5]]))
    with pytest.raises(cr.CausalrelError, match="no table of b"):
        from_pgmpy(model)
