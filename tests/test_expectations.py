"""Tables from windows: counts, gaps, missing cells by expected counts, priors by evidence."""

from __future__ import annotations

from itertools import product

import numpy as np
import polars as pl
import pytest
from scipy.special import gammaln
from state_worlds import HOUR, START, conditional, draw_path, enumerate_joint, labelled, random_network, with_gaps

import causalrel as cr
from causalrel.inference.tracks import log_score
from causalrel.mechanisms.expectations import _expected, _Plan, _planned, _runs, fit_tables
from causalrel.mechanisms.priors import STRENGTHS, best_strength, log_evidence, smooth_counts


def chain_graph() -> cr.Graph:
    return cr.Graph.from_edges([("a", "a", 1), ("a", "x")], roles={"a": "engine", "x": "engine"})


def frame(**columns: list[str | None]) -> cr.Windows:
    steps = len(next(iter(columns.values())))
    data = pl.DataFrame({"t": [START + HOUR * i for i in range(steps)], **columns}).with_columns(n=1, b=0)
    return cr.Windows.from_frame(
        data, time="t", roles=dict.fromkeys(columns, "engine"), events={"slo": ("n", "b")}, every="1h"
    )


def test_no_pair_bridges_a_gap() -> None:
    """Of a b null b a only the pairs ab and ba count; first windows count every row."""
    windows = frame(a=["a", "b", None, "b", "a"], x=["p", "p", None, "q", "q"])
    plan = _planned(windows, chain_graph(), {})
    runs = _runs(windows, plan)
    counts, first = _expected(plan, runs, {})
    assert [len(run) for run in runs] == [2, 2]
    at = plan.names.index("a")
    assert counts[at].tolist() == [[0.0, 1.0], [1.0, 0.0]]
    assert first[at].tolist() == [2.0, 2.0]
    assert counts[plan.names.index("x")].tolist() == [[1.0, 1.0], [1.0, 1.0]]


@pytest.mark.parametrize("seed", range(40))
def test_expected_counts_equal_enumeration(seed: int) -> None:
    """Each family's expected count is the sum over steps of its joint chance given the whole run."""
    network = random_network(seed, lags=1 + seed % 2)
    rng = np.random.default_rng(4000 + seed)
    known = {m.variable.name: m.table for m in network.mechanisms}
    plan = _Plan(
        names=tuple(known),
        states=tuple(table.states for table in known.values()),
        parents=tuple(table.parents for table in known.values()),
    )
    path = with_gaps(draw_path(network, 4, rng), 0.4, rng)
    codes = np.array([[-1 if value is None else int(value[1:]) for value in column] for column in path.values()]).T
    counts, _ = _expected(plan, [codes], known)
    joint = enumerate_joint(network, 4)
    given = {(n, t): int(v[1:]) for n, column in path.items() for t, v in enumerate(column) if v}
    for at, name in enumerate(plan.names):
        lag = known[name].lags
        exact = np.zeros(plan.shape(at))
        for step in range(lag, 4):
            family = [(p, step - back) for p, back in plan.parents[at]] + [(name, step)]
            exact += conditional(network, joint, family, given)
        assert np.abs(counts[at] - exact).max() < 1e-10


def test_expected_counts_find_what_was_lost() -> None:
    """With 30 % of the cells missing the tables are near the truth, and nearer than complete rows bring them."""
    network = random_network(11)
    rng = np.random.default_rng(5)
    path = draw_path(network, 4000, rng)
    lost = with_gaps(path, 0.3, rng)
    fitted = cr.fit(labelled(network, lost), network.graph)
    for mechanism in network.mechanisms:
        found = fitted.mechanism(mechanism.variable.name).table
        assert np.abs(found.mean - mechanism.table.mean).max() < 0.08
    assert all(check.passed for check in fitted.checks)


def test_the_evidence_is_that_of_a_sequence() -> None:
    """The evidence equals the product of one-step-ahead chances, in any order."""
    mean, strength = np.array([0.2, 0.5, 0.3]), 2.5
    events = [0, 1, 1, 2, 1]
    seen = np.zeros(3)
    log = 0.0
    for event in events:
        log += np.log((seen[event] + strength * mean[event]) / (seen.sum() + strength))
        seen[event] += 1
    assert log_evidence(seen, mean, strength) == pytest.approx(log, abs=1e-12)
    total = sum(
        np.exp(log_evidence(np.bincount(word, minlength=3).astype(float), mean, strength))
        for word in product(range(3), repeat=4)
    )
    assert total == pytest.approx(1.0, abs=1e-12)
    closed = (
        gammaln(strength) - gammaln(strength + 5) + (gammaln(strength * mean + seen) - gammaln(strength * mean)).sum()
    )
    assert log_evidence(seen, mean, strength) == pytest.approx(float(closed), abs=1e-12)


def test_the_strength_has_the_highest_evidence() -> None:
    counts = np.random.default_rng(0).multinomial(30, [0.6, 0.4], size=8).astype(float)
    mean = np.array([0.6, 0.4])
    strength, score = best_strength(counts, mean)
    assert score == max(log_evidence(counts, mean, one) for one in STRENGTHS)
    assert strength >= 64


def test_rows_that_say_little_stay_near_even_chances_and_others_keep_their_own() -> None:
    """The posterior mean is the counts plus equal parts of the strength, and rows near even ask for more of it."""
    apart = np.array([[95.0, 5.0], [5.0, 95.0], [0.0, 0.0]])
    mean, weight = smooth_counts(apart)
    strength, _ = best_strength(apart, np.array([0.5, 0.5]))
    assert mean == pytest.approx((apart + strength / 2) / (apart.sum(axis=1, keepdims=True) + strength), abs=1e-14)
    assert weight == pytest.approx(apart.sum(axis=1) + strength)
    assert mean[2].tolist() == [0.5, 0.5]
    even = np.random.default_rng(1).multinomial(20, [0.5, 0.5], size=50).astype(float)
    assert best_strength(even, np.array([0.5, 0.5]))[0] > 10 * strength


def test_states_are_cut_where_asked_and_kept_in_the_unit() -> None:
    windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h")
    roles = {"load": "workload", "queue_s": "engine", "ttft": "outcome", "batch_size": "config"}
    graph = cr.Graph.from_edges([("load", "queue_s"), ("queue_s", "ttft"), ("batch_size", "ttft")], roles=roles)
    network = cr.fit(windows, graph, states={"queue_s": [0.05, 0.5], "load": 4})
    table = network.mechanism("queue_s").table
    assert table.states.cuts == (0.05, 0.5)
    assert table.states.labels == ("< 0.05", "0.05 to 0.5", ">= 0.5")
    quarters = np.quantile(windows.table["load"].to_numpy(), [0.25, 0.5, 0.75])
    assert network.mechanism("load").table.states.cuts == pytest.approx(tuple(quarters), rel=1e-5)
    assert network.mechanism("ttft").table.states.cuts == (windows.slo("ttft").allowed,)
    assert network.mechanism("batch_size").table.states.values == tuple(
        sorted(windows.table["batch_size"].drop_nulls().unique().to_list())
    )
    share = (windows.table["ttft.bad"] / windows.table["ttft.total"]).to_numpy()
    burnt = cr.query(network, of="ttft", draws=0).frame()["mean"][1]
    assert burnt == pytest.approx((share >= windows.slo("ttft").allowed).mean(), abs=0.05)


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ({"a": [2.0, 1.0]}, "the cuts of 'a' are not rising"),
        ({"a": 1}, "1 states of 'a' cannot be cut"),
        ({"b": 2}, "states: there is no variable 'b'"),
    ],
)
def test_bad_states_are_refused(states: dict[str, object], said: str) -> None:
    data = pl.DataFrame({"t": [START + HOUR * i for i in range(40)], "a": [i * 1.5 for i in range(40)], "n": 1, "k": 0})
    windows = cr.Windows.from_frame(data, time="t", roles={"a": "engine"}, events={"slo": ("n", "k")})
    with pytest.raises(cr.CausalrelError, match=said):
        cr.fit(windows, cr.Graph.from_edges([("a", "a", 1)], roles={"a": "engine"}), states=states)


def test_what_nobody_measured_is_refused() -> None:
    graph = cr.Graph.from_edges(
        [("a", "a", 1), ("a", "x")], roles={"a": "engine", "x": "engine"}, unmeasured={"weather": ["a", "x"]}
    )
    with pytest.raises(cr.CausalrelError, match="weather is unmeasured"):
        fit_tables(frame(a=["a", "b"], x=["p", "q"]), graph)


def test_what_was_fitted_scores_new_windows_nearly_as_the_truth_does() -> None:
    """The loss is about half a nat a free parameter (here at most 40), and never a gain beyond chance."""
    network = random_network(21)
    seen, new = (labelled(network, draw_path(network, 3000, np.random.default_rng(seed))) for seed in (3, 4))
    loss = log_score(new, network).sum() - log_score(new, cr.fit(seen, network.graph)).sum()
    assert -10 < loss < 30
