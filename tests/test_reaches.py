"""A configuration nobody ran, from the nearest that was and what a simulator says lies between."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from reach_worlds import score
from worlds import EDGES, ROLES, serving_graph, serving_world

import causalrel as cr
from causalrel import cli
from causalrel.futures import reaches
from causalrel.futures.reaches import beyond

AT = np.array([[1.5], [1.0], [0.5], [0.0]])
TOLD = np.array([1.5, 1.0, 0.5, 0.0])


@pytest.fixture(scope="module")
def canary() -> tuple[cr.Windows, cr.Network]:
    windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    return windows, cr.fit(windows, cr.load_graph("llm-serving").project(windows.names))


def drawn(known: list[float], at: np.ndarray = AT, told: np.ndarray = TOLD, sd: float = 0.02) -> np.ndarray:
    rng = np.random.default_rng(0)
    return beyond(told, np.array(known) + sd * rng.normal(size=(200, len(known))), at, 4000, rng)


@pytest.mark.parametrize(("known", "goes"), [([1.0, 0.5, 0.0], 0.5), ([2.0, 1.0, 0.0], 1.0), ([0.0, 0.0, 0.0], 0.0)])
def test_a_factor_on_what_the_simulator_says_is_learnt(known: list[float], goes: float) -> None:
    assert drawn(known).mean() == pytest.approx(goes, abs=0.12)


def test_what_is_farther_is_less_sure() -> None:
    near, far = (drawn([1.0, 0.5, 0.0], np.vstack([[[place]], AT[1:]])).std() for place in (1.1, 2.0))
    assert far > 1.5 * near


def test_what_the_seen_do_not_follow_is_less_sure() -> None:
    assert drawn([1.0, 1.4, 0.0]).std() > 1.3 * drawn([1.0, 0.5, 0.0]).std()


def test_what_is_not_known_of_the_seen_leaves_the_simulator() -> None:
    assert drawn([3.0, 2.0, 0.0], sd=20.0).mean() == pytest.approx(0.5, abs=0.05)


def test_a_simulator_answers_what_was_never_seen(canary: tuple[cr.Windows, cr.Network]) -> None:
    without = cr.whatif(*canary, do={"batch_size": 11}, horizon="1d")
    answer = cr.whatif(*canary, do={"batch_size": 11}, horizon="1d", scenario="llm-canary")
    assert (without.verdict, answer.verdict) == ("refused", "bounded")
    assert answer.decision != "ship"
    relied = next(check for check in answer.checks if check.name == "relied on")
    assert "told from batch_size = 8 and what scenario llm-canary says" in relied.says
    alone = cr.forecast(*canary, horizon="1d").select(slo="ttft")
    assert np.array_equal(answer.select(slo="ttft", scenario="as is").draws, alone.draws)
    assert answer.select(slo="ttft", quantity="burn", scenario="difference").draws.mean() < 0
    assert not answer.terms.filter(
        (answer.terms["quantity"] == "cost") & (answer.terms["scenario"] == "changed")
    ).height


def test_a_simulator_is_not_asked_where_windows_tell(canary: tuple[cr.Windows, cr.Network]) -> None:
    both = [cr.whatif(*canary, do={"batch_size": 8}, horizon="1d", scenario=one) for one in (None, "llm-canary")]
    assert both[0].facts() == both[1].facts()


@pytest.mark.parametrize(
    ("do", "says"),
    [
        ({"batch_size": 64}, "ranges beyond those seen"),
        ({"batch_size": 10.5}, "batch_size is a whole number there"),
        ({"gpu_count": 4}, "nobody knows how wrong it is when that changes"),
        ({"model_version": "v9"}, "nobody knows how wrong it is when that changes"),
        ({"batch_size": 11, "gpu_count": 4}, "gpu_count was 8 throughout"),
    ],
)
def test_far_away_is_refused(canary: tuple[cr.Windows, cr.Network], do: dict[str, int | str], says: str) -> None:
    answer = cr.whatif(*canary, do=do, horizon="1d", scenario="llm-canary")
    assert answer.verdict == "refused"
    assert says in answer.why


def test_a_simulated_configuration_may_be_recommended() -> None:
    slos = [slo for slo in cr.load_slos("llm-chat") if slo.name == "energy"]
    windows = cr.window(cr.load_dataset("llm-canary"), slos, every="1h", by="node")
    network = cr.fit(windows, cr.load_graph("llm-serving").project(windows.names))
    over = {"batch_size": [8, 11]}
    asked = {"over": over, "cost": "1 / batch_size", "p": 0.5, "horizon": "1d"}
    answer = cr.recommend(windows, network, **asked, scenario="llm-canary")
    support = dict(answer.terms.select("configuration", "support").rows())
    assert support == {"as is": "seen", "batch_size = 8": "seen", "batch_size = 11": "simulated"}
    assert (answer.decision, answer.verdict) == ("batch_size = 11", "bounded")
    assert cr.plot(answer).get_legend_handles_labels()[1].count("simulated") == 1


def test_a_hidden_cause_refuses_before_anything_is_simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    windows, _ = serving_world(6)
    graph = cr.Graph.from_edges(EDGES, roles=ROLES, unmeasured={"skill": ["batch_size", "ttft"]})
    network = cr.fit(windows, graph)
    monkeypatch.setattr(reaches, "reach_out", lambda *_: pytest.fail("the simulator was asked"))
    answer = cr.whatif(windows, network, do={"batch_size": 9}, scenario="llm-canary")
    assert answer.verdict == "refused"
    assert "skill" in answer.why


def test_windows_counted_elsewhere_cannot_be_simulated() -> None:
    windows, _ = serving_world(6)
    answer = cr.whatif(windows, cr.fit(windows, serving_graph()), do={"batch_size": 9}, scenario="llm-canary")
    assert answer.verdict == "refused"
    assert "ttft has no predicate to judge its requests by" in answer.why


def test_an_unknown_scenario_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["causalrel", "whatif", "llm-canary", "--do", "batch_size=10", "--scenario", "llm-canaries"]
    monkeypatch.setattr(sys, "argv", words)
    assert cli.main() == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "did you mean 'llm-canary'?" in err
    assert "Traceback" not in err


@pytest.mark.long
def test_services_the_simulator_does_not_know_are_foretold() -> None:
    """Two services; `bench_reach.py` tells how often a change is held."""
    scored = [one for seed in (3001, 3003) for one in score(seed)]
    assert np.mean([one.ours for one in scored]) < np.mean([one.none for one in scored])
    assert np.mean([one.inside for one in scored]) >= 0.75
