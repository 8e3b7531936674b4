"""The graph that a scenario states is the simulation's: what a setting does not lead to, it does not move."""

from __future__ import annotations

import networkx as nx
import pytest
import yaml

import causalrel as cr
from causalrel.shipped import load_yaml, resolve
from causalrel.simulation.contrasts import bad_events
from causalrel.simulation.documents import true_graph
from causalrel.simulation.exports import export_requests
from causalrel.simulation.runs import Run, run_scenario
from causalrel.simulation.settings import SETTINGS as KNOWN

pytestmark = pytest.mark.slow

DAYS = 0.04
COLUMNS = ["prompt_tokens", "fact_position", "cached_tokens", "queue_s"]
SETTINGS = {
    "batch_size": 16,
    "max_batched_tokens": 4096,
    "chunked_prefill": "off",
    "replicas": 7,
    "gpu_count": 8,
    "model_version": "v2",
    "quantisation": "int4",
    "kv_fraction": 0.6,
    "admission_limit": 1,
    "prompt_cache_tokens": 0,
    "power_cap_w": 350,
    "gpu_type": "H200-SXM",
    "firmware": "old",
    "sm_clock_mhz": 1100,
}


def seen(run: Run) -> dict[str, object]:
    """Return what is known of each variable of the graph, comparable between runs of one seed."""
    frame = export_requests(run)
    slos = [cr.SLO(name="ttft", dimension="latency", where="ttft_s <= 1", target=0.95)]
    slos += [cr.SLO(name="tpot", dimension="latency", where="tpot_s <= 0.05", target=0.95)]
    slos += [cr.SLO(name="availability", dimension="availability", where="error IS NULL", target=0.95)]
    slos += [cr.SLO(name="quality", dimension="quality", where="quality >= 0.75", target=0.95)]
    slos += [cr.SLO(name="cost", dimension="cost", where="cost_usd <= 0.001", target=0.95)]
    slos += [cr.SLO(name="energy", dimension="energy", where="energy_j <= 700", target=0.95)]
    facts: dict[str, object] = {name: frame[name].to_list() for name in COLUMNS}
    bad = bad_events(frame, slos)
    facts |= {slo.name: bad[slo.name].to_list() for slo in slos}
    facts |= {name: run.conditions.values[name].tolist() for name in KNOWN}
    return facts | {"running": run.served.running.tolist(), "kv_usage": run.served.kv_usage.tolist()}


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Write the scenario with each request bound to its node: the graph speaks of what happens at a node."""
    document = load_yaml(resolve("chat-fleet", "models/scenarios", "scenario"), "scenario")[0]
    document["fleet"]["router"] = "random"
    del document["autoscaler"]
    for tenant in document["workload"]["tenants"]:
        tenant["retries"] = 0
    path = tmp_path_factory.mktemp("graph") / "scenario.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def plain(scenario: str) -> dict[str, object]:
    return seen(run_scenario(scenario, days=DAYS, seed=3))


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_setting_moves_its_descendants_only(setting: str, scenario: str, plain: dict[str, object]) -> None:
    graph = true_graph("chat-fleet")
    later = nx.DiGraph((edge.cause, edge.effect) for edge in graph.edges)  # at any lag
    held = seen(run_scenario(scenario, days=DAYS, seed=3, do={setting: SETTINGS[setting]}))
    known = set(graph.names)
    moved = {name for name, values in held.items() if name in known and values != plain[name]}
    assert moved - {setting} <= nx.descendants(later, setting)
    assert moved - {setting}, "the setting does nothing at all"


def test_workload_is_nobodys_effect() -> None:
    graph = true_graph("chat-fleet")
    for name in ("load", "prompt_tokens", "output_tokens", "fact_position"):
        assert graph.ancestors(name) == set()


def test_the_autoscaler_and_the_operator_answer_the_load() -> None:
    graph = true_graph("chat-fleet")
    assert {"replicas", "max_batched_tokens"} <= graph.descendants("load")
    assert {(e.cause, e.effect, e.lag) for e in graph.edges if e.lag} == {
        ("queue_s", "queue_s", 1),
        ("load", "replicas", 1),
        ("running", "cached_tokens", 1),
    }
