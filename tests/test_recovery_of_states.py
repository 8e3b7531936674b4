"""Recovery after a shock against the Markov chain itself: matrix powers and an absorbing state."""

from __future__ import annotations

import numpy as np
import pytest
from state_worlds import enumerate_joint, random_network

import causalrel as cr
from causalrel.tables import States, known_table
from causalrel.tabular import table_network

STATES = States(labels=("down", "degraded", "well"))


def lone_chain(seed: int) -> tuple[cr.Network, np.ndarray]:
    """Return a network of one variable that follows from itself, and its transition matrix."""
    step = np.random.default_rng(seed).dirichlet([2.0, 1.0, 0.5], size=3)
    table = known_table(STATES, (("a", 1),), step, np.full(3, 1 / 3))
    return table_network(cr.Graph.from_edges([("a", "a", 1)], roles={"a": "engine"}), {"a": table}), step


def stationary(step: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eig(step.T)
    found = np.real(vectors[:, np.argmax(np.real(values))])
    return found / found.sum()


def column(answer: cr.Estimate, quantity: str) -> np.ndarray:
    return answer.select(quantity=quantity).draws[0]


@pytest.mark.parametrize("seed", range(20))
def test_recovery_of_a_chain_equals_its_matrix_powers(seed: int) -> None:
    network, step = lone_chain(seed)
    found = cr.recover(network, of="a", good="well", shock={"a": "down"}, lasting=2, steps=30)
    absorbing = step.copy()
    absorbing[2] = [0.0, 0.0, 1.0]
    down = np.array([1.0, 0.0, 0.0])
    well = [0.0, 0.0] + [float((down @ np.linalg.matrix_power(step, n))[2]) for n in range(1, 31)]
    passed = [float((down @ np.linalg.matrix_power(absorbing, n))[2]) for n in range(1, 31)]
    rest = stationary(step)[2]
    assert column(found, "well") == pytest.approx(well, abs=1e-10)
    assert column(found, "recovered") == pytest.approx(passed, abs=1e-10)
    assert column(found, "absorb") == pytest.approx([0.0], abs=1e-12)
    assert column(found, "adapt") == pytest.approx([0.0], abs=1e-12)
    assert column(found, "recover") == pytest.approx([well[-1] / rest], abs=1e-9)


@pytest.mark.parametrize("seed", range(30))
def test_recovery_of_a_network_equals_the_chain_of_its_joint_states(seed: int) -> None:
    """All variables of a window are one state of a Markov chain, its matrix read off the enumerated joint."""
    network = random_network(seed, lags=1)
    cards = [len(m.table.states.labels) for m in network.mechanisms]
    names = [m.variable.name for m in network.mechanisms]
    size = int(np.prod(cards))

    def matrix(do: dict[tuple[str, int], int]) -> np.ndarray:
        joint = enumerate_joint(network, 2, do).reshape(size, size)
        return joint / joint.sum(axis=1, keepdims=True)

    of, shocked = names[-1], names[0]
    free, held = matrix({}), matrix({(shocked, 1): 0})
    lasting, steps = 3, 12
    well = np.array([cell[-1] == 1 for cell in np.ndindex(*cards)], dtype=float)
    now = np.linalg.matrix_power(free, 4000)[0]
    rest = float(now @ well)
    curve, passed = [], []
    for _ in range(lasting):
        now = now @ held
        curve.append(float(now @ well))
    missed = now
    for _ in range(steps):
        now, missed = now @ free, missed @ free * (1 - well)
        curve.append(float(now @ well))
        passed.append(1.0 - float(missed.sum()))
    found = cr.recover(network, of=of, good="s1", shock={shocked: "s0"}, lasting=lasting, steps=steps)
    assert np.abs(column(found, "well") - curve).max() < 1e-9
    assert np.abs(column(found, "recovered") - passed).max() < 1e-9
    worst = min(curve[:lasting])
    assert column(found, "absorb")[0] == pytest.approx(worst / rest, abs=1e-8)


def test_a_shock_may_be_soft_and_many_states_may_be_well() -> None:
    network, step = lone_chain(3)
    shock = {"a": {"down": 0.5, "degraded": 0.5}}
    found = cr.recover(network, of="a", good=["degraded", "well"], shock=shock, steps=3)
    now = np.array([0.5, 0.5, 0.0])
    assert column(found, "well")[:2] == pytest.approx([0.5, float((now @ step)[1:].sum())], abs=1e-12)


def test_chances_to_have_recovered_never_fall_and_spread_with_the_tables() -> None:
    windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h")
    roles = {"load": "workload", "queue_s": "engine"}
    edges = [("load", "load", 1), ("load", "queue_s"), ("queue_s", "queue_s", 1)]
    network = cr.fit(windows, cr.Graph.from_edges(edges, roles=roles), states={"load": 2, "queue_s": 2})
    low, high = network.mechanism("queue_s").table.states.labels
    found = cr.recover(network, of="queue_s", good=low, shock={"queue_s": high}, steps=12, draws=50)
    passed = found.select(quantity="recovered").draws
    assert passed.shape == (50, 12)
    assert (np.diff(passed, axis=1) >= -1e-12).all()
    assert found.select(quantity="recovered").frame()["sd"].max() > 0
    again = cr.recover(network, of="queue_s", good=low, shock={"queue_s": high}, steps=12, draws=50)
    assert np.array_equal(found.draws, again.draws)


def test_what_never_rests_is_refused() -> None:
    table = known_table(
        States(labels=("a", "b")), (("x", 1),), np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([0.3, 0.7])
    )
    network = table_network(cr.Graph.from_edges([("x", "x", 1)], roles={"x": "engine"}), {"x": table})
    with pytest.raises(cr.CausalrelError, match="still change after"):
        cr.recover(network, of="x", good="a", shock={"x": "b"})


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"good": "fine"}, "'fine' is no state of 'a'"),
        ({"steps": 0}, "steps=0 steps do not exist"),
        ({"shock": {}}, "no shock is given"),
        ({"of": "b"}, "there is no variable 'b'"),
    ],
)
def test_a_bad_question_is_one_sentence(asked: dict[str, object], said: str) -> None:
    network, _ = lone_chain(0)
    with pytest.raises(cr.CausalrelError, match=said):
        cr.recover(network, **{"of": "a", "good": "well", "shock": {"a": "down"}, **asked})
