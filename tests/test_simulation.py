"""Simulation: one seed and one answer, interventions that move nothing else, one-sentence refusals."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from simulated import bare, client, nodes, written

from causalrel import cli
from causalrel.errors import CausalrelError
from causalrel.simulation import simulate
from causalrel.simulation.documents import load_scenario, true_graph
from causalrel.simulation.engine import serve
from causalrel.simulation.runs import Run, run_scenario

PARTS = ("requests", "samples", "changes")
WORK = ("time_s", "route", "tenant", "prompt_tokens", "output_tokens", "patience_s", "prefix", "fact_position")


@pytest.fixture(scope="module")
def plain() -> Run:
    return run_scenario("llm-canary", days=2, seed=3)


@pytest.fixture(scope="module")
def fleet() -> Run:
    return run_scenario("chat-fleet", days=0.05, seed=3)


def test_same_seed_same_bytes() -> None:
    first, again, other = (
        simulate("llm-canary", days=0.5, seed=seed, do=do) for seed, do in ((7, None), (7, {}), (8, None))
    )
    for name in PARTS:
        one, two = (getattr(run, name).collect() for run in (first, again))
        assert one.equals(two, null_equal=True)
        assert one.serialize() == two.serialize()
    assert not first.frame().equals(other.frame())


def test_same_bytes_with_one_thread_and_two() -> None:
    code = (
        "import hashlib, io\nfrom causalrel.simulation import simulate\nkept = hashlib.sha256()\n"
        "run = simulate('chat-fleet', days=0.02, seed=5)\n"
        "for name in ('requests', 'samples', 'changes'):\n"
        "    file = io.BytesIO()\n    getattr(run, name).collect().write_ipc(file)\n    kept.update(file.getvalue())\n"
        "print(kept.hexdigest())"
    )
    said = []
    for threads in ("1", "2"):
        env = os.environ | {"POLARS_MAX_THREADS": threads, "NUMBA_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        said.append(done.stdout.strip())
    assert said[0] == said[1]
    assert len(said[0]) == 64


@pytest.mark.parametrize(
    ("name", "do"),
    [
        ("llm-canary", {"batch_size": "8", "sm_clock_mhz": 1500.0}),
        ("llm-canary", {"model_version": "v2", "gpu_count": 4}),
        ("chat-fleet", {"replicas": 9, "max_batched_tokens": 512}),
        ("chat-fleet", {"quantisation": "fp8", "chunked_prefill": "off", "kv_fraction": 0.95}),
        ("chat-fleet", {"prompt_cache_tokens": 0, "admission_limit": 5}),
        ("chat-fleet", {"gpu_type": "H200-SXM", "sm_clock_mhz": 1200, "power_cap_w": 400}),
    ],
)
def test_do_moves_no_draw(plain: Run, fleet: Run, name: str, do: dict[str, object]) -> None:
    """Clients, other settings, failures and noise stay as they are; only what is named changes."""
    usual = {"llm-canary": plain, "chat-fleet": fleet}[name]
    held = run_scenario(name, days=2 if usual is plain else 0.05, seed=3, do=do)
    for part in WORK:
        assert np.array_equal(getattr(held.work, part), getattr(usual.work, part))
    for part in ("heat_c", "hidden", "xid", "ecc", "speed"):
        assert np.array_equal(getattr(held.conditions, part), getattr(usual.conditions, part))
    for part, values in usual.conditions.values.items():
        assert part in do or np.array_equal(held.conditions.values[part], values), part
    for part in do:
        assert np.unique(held.conditions.values[part]).size == 1
    assert not np.array_equal(held.served.end_s, usual.served.end_s)


def test_do_holds_its_value(plain: Run) -> None:
    held = run_scenario("llm-canary", days=0.1, do={"batch_size": "8", "sm_clock_mhz": 1500.0, "model_version": "v2"})
    for name, value in (("batch_size", 8.0), ("sm_clock_mhz", 1500.0), ("model_version", 1.0)):
        assert (held.conditions.values[name] == value).all()
    assert set(plain.conditions.values["batch_size"].ravel()) == {4.0, 8.0}


def test_do_at_what_is_changes_nothing(plain: Run) -> None:
    """A node held at the conditions it has anyway serves the same requests in the same way."""
    again = serve(plain.scenario, plain.work, plain.conditions)
    assert np.array_equal(again.end_s, plain.served.end_s)
    same = run_scenario("llm-canary", days=2, seed=3, do={"gpu_count": 8, "model_version": "v1", "node_up": "on"})
    assert np.array_equal(same.served.end_s, plain.served.end_s)


def test_true_graph_states_lagged_edges() -> None:
    edges = {(edge.cause, edge.effect, edge.lag) for edge in true_graph("chat-fleet").edges if edge.lag}
    assert edges == {(edge.cause, edge.effect, edge.lag) for edge in load_scenario("chat-fleet").lagged}
    assert {("queue_s", "queue_s", 1), ("load", "replicas", 1)} <= edges


@pytest.mark.parametrize(
    ("do", "says"),
    [
        ({"ttft_s": 1}, "do cannot set 'ttft_s': it is an outcome variable, and only config and hardware can be set"),
        ({"load": 1}, "it is a workload variable"),
        ({"prompt_tokens": 1}, "it is a workload variable"),
        ({"kv_usage": 1}, "it is an engine variable"),
        ({"gpu_temp_c": 60}, "do cannot set 'gpu_temp_c': this simulation holds it constant"),
        ({"batchsize": 8}, "no variable 'batchsize'; did you mean 'batch_size'"),
        ({"batch_size": 0}, "cannot set batch_size to '0'; write a whole number"),
        ({"batch_size": 8.5}, "cannot set batch_size to '8.5'; write a whole number"),
        ({"batch_size": -1}, "cannot set batch_size to '-1'"),
        ({"batch_size": "many"}, "cannot set batch_size to 'many'"),
        ({"replicas": 0}, "cannot set replicas to '0'; write a whole number between 1"),
        ({"gpu_count": 0}, "cannot set gpu_count to '0'"),
        ({"gpu_count": True}, "cannot set gpu_count to 'True'"),
        ({"kv_fraction": 1.5}, "write a number between 0.01 and 1"),
        ({"sm_clock_mhz": float("nan")}, "write MHz between"),
        ({"power_cap_w": float("inf")}, "write W between"),
        ({"chunked_prefill": "maybe"}, "cannot set chunked_prefill to 'maybe'; write on or off"),
        ({"model_version": "v3"}, "no model version 'v3'"),
        ({"gpu_type": "H100-SMX"}, "no gpu type 'H100-SMX'; did you mean 'H100-SXM'"),
        ({"gpu_type": "A100-SXM"}, "writes its costs in seconds, which hold for H100-SXM only"),
        ({"quantisation": "fp8"}, "writes its costs in seconds"),
        ({"quantisation": "fp9"}, "no quantisation 'fp9'"),
    ],
)
def test_do_refuses_in_one_sentence(do: dict[str, object], says: str) -> None:
    with pytest.raises(CausalrelError, match=says) as caught:
        simulate("llm-canary", days=0.1, do=do)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"workload__requests_per_s": "-1"}, "workload.requests_per_s '-1': input should be greater than 0"),
        ({"workload__requests_per_s": "nan"}, "workload.requests_per_s 'nan'"),
        ({"workload__growth_per_day": "-1"}, "workload.growth_per_day '-1'"),
        ({"workload__daily_swing": "1"}, "workload.daily_swing '1'"),
        ({"workload__tenants": []}, "workload.tenants: "),
        ({"workload__tenants__0__timeout": "soon"}, "'soon' is not a duration"),
        ({"workload__tenants__0__timeout": "0s"}, "'0s' is not a duration"),
        ({"workload__tenants__0__share": "0"}, "workload.tenants.0.share '0'"),
        ({"workload__tenants__0__retries": "-1"}, "workload.tenants.0.retries '-1'"),
        ({"workload__tenants__0__name": "acme"}, "names a tenant twice"),
        ({"workload__tenants__0__quota": {"requests_per_minute": 1, "burst": 0}}, "quota.burst '0'"),
        ({"workload__tenants__0__prompt_tokens__least": "99999"}, "is an empty range"),
        ({"workload__tenants__0__prompt_tokens__family": "gama"}, "'gama' is unknown"),
        ({"workload__shifts": [{"after": "1h", "tenant": "akme"}]}, "tenant 'akme', which is not there; did you mean"),
        ({"workload__shifts": [{"after": "1h", "rate": "-2"}]}, "workload.shifts.0.rate '-2'"),
        ({"fleet__pools": []}, "fleet.pools: "),
        ({"fleet__pools__0__nodes": []}, "fleet.pools.0.nodes: "),
        ({"fleet__pools__0__nodes": ["gpu-0", "gpu-0", "gpu-3"]}, "names a node twice"),
        ({"fleet__pools__0__gpu_type": "H100-SMX"}, "no gpu type 'H100-SMX', did you mean 'H100-SXM'"),
        ({"fleet__pools__0__gpu_count": "0"}, "fleet.pools.0.gpu_count '0'"),
        ({"fleet__pools__0__firmware": "new"}, "no firmware 'new'"),
        ({"fleet__pools__0__usd_per_gpu_hour": "-1"}, "usd_per_gpu_hour '-1'"),
        ({"fleet__router": "two_choice"}, "'two_choice' is unknown; did you mean 'two_choices'"),
        ({"fleet__failures__crashes_per_day": "-1"}, "fleet.failures.crashes_per_day '-1'"),
        ({"fleet__faults__0__node": "gpu-9"}, "fleet.faults names node 'gpu-9'"),
        ({"engine__costs__base": "1"}, "unknown key 'engine.costs.base'; did you mean 'base_s'"),
        ({"engine__costs__base_s": "0"}, "engine.costs.base_s '0'"),
        ({"engine__model": "llama-3-70b"}, "engine takes either model"),
        ({"engine__costs": None}, "engine takes either model"),
        ({"config__gpu_type": "H100-SXM"}, "config cannot hold 'gpu_type': it belongs to the pools"),
        ({"config__sm_clock_mhz": "1000"}, "config cannot hold 'sm_clock_mhz'"),
        ({"config__batchsize": "4"}, "no variable 'batchsize', did you mean 'batch_size'"),
        ({"config__replicas": "0"}, "config cannot set replicas to '0'"),
        ({"config__ttft_s": "1"}, "config cannot set 'ttft_s': it is an outcome variable"),
        ({"policies__0__low": "0"}, "policies cannot set batch_size to '0'"),
        ({"policies__0__set": "sm_clock_mhz", "policies__0__low": "900"}, "policies cannot set 'sm_clock_mhz'"),
        ({"rollouts__0__to": "v9"}, "no model version 'v9'"),
        ({"rollouts__0__set": "node_up", "rollouts__0__to": "off"}, "rollouts cannot set 'node_up'"),
        ({"rollouts__0__steps__0__node": "gpu-9"}, "node 'gpu-9', which the fleet lacks; did you mean"),
        ({"autoscaler": {"least": 1, "most": 9, "requests_per_s": 1}}, "autoscaler wants 1 to 9 replicas of 4 nodes"),
        ({"autoscaler": {"least": 3, "most": 2, "requests_per_s": 1}}, "autoscaler wants 3 to 2 replicas"),
        ({"autoscaler": {"least": 0, "most": 2, "requests_per_s": 1}}, "autoscaler.least '0'"),
        ({"start": "1"}, "start '1': write it as"),
        ({"days": "0"}, "days '0'"),
        ({"scrapes__every": "7s"}, "whole minutes"),
        ({"versions": {}}, "versions"),
        ({"graph": "llm-servin"}, "no graph 'llm-servin'; did you mean 'llm-serving'"),
    ],
)
def test_scenario_refuses_in_one_sentence(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    path = written(tmp_path, **changes)
    with pytest.raises(CausalrelError, match=says) as caught:
        true_graph(path) if "graph" in changes else load_scenario(path)
    assert "\n" not in str(caught.value)


def test_costs_in_seconds_hold_for_one_gpu_type(tmp_path: Path) -> None:
    pools = [nodes(1)[0], {"nodes": ["a"], "gpu_type": "A100-SXM", "gpu_count": 1}]
    with pytest.raises(CausalrelError, match=r"the pools have several: name engine\.model instead"):
        load_scenario(written(tmp_path, bare(), fleet__pools=pools))


def test_a_model_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CausalrelError, match="llama-3-70b in fp16 does not fit on 1 x H100-SXM") as caught:
        simulate(written(tmp_path, bare(model="llama-3-70b")), days=0.01)
    assert "\n" not in str(caught.value)
    assert "at least 2 GPUs" in str(caught.value)
    with pytest.raises(CausalrelError, match="there is no model 'llama-3-71b'; did you mean 'llama-3-70b'"):
        simulate(written(tmp_path, bare(model="llama-3-71b")), days=0.01)


def test_scenario_tells_all_faults(tmp_path: Path) -> None:
    path = written(tmp_path, workload__requests_per_s="-1", fleet__router="TPU", engine__costs__bse_s="1")
    with pytest.raises(CausalrelError) as caught:
        simulate(path)
    for says in ("requests_per_s", "'TPU' is unknown", "unknown key 'engine.costs.bse_s'"):
        assert says in str(caught.value)
    path = written(tmp_path, config__batch_size="0", rollouts__0__to="v9", scrapes__every="7s")
    with pytest.raises(CausalrelError) as caught:
        simulate(path)
    for says in ("batch_size to '0'", "'v9'", "whole minutes"):
        assert says in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"days": 0}, "a span of 0 days"),
        ({"days": -1}, "a span of -1 days"),
        ({"days": float("inf")}, "a span of inf days"),
        ({"days": float("nan")}, "a span of nan days"),
        ({"seed": -1}, "seed -1 is negative"),
        ({"days": 1e-6}, "no request arrives"),
    ],
)
def test_span_and_seed_refuse_in_one_sentence(asked: dict[str, Any], says: str) -> None:
    with pytest.raises(CausalrelError, match=says):
        simulate("llm-canary", **asked)


def test_too_large_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CausalrelError, match="more than a run holds"):
        simulate(written(tmp_path, workload__requests_per_s="1e6"))


def test_unknown_scenario_and_odd_documents(tmp_path: Path) -> None:
    with pytest.raises(CausalrelError, match="no scenario 'llm-canry'; did you mean 'llm-canary'"):
        simulate("llm-canry")
    path = tmp_path / "two.yaml"
    for text, says in (("a: 1\n---\nb: 2\n", "2 documents were found"), ("- 1\n", "one YAML mapping is wanted")):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(CausalrelError, match=says):
            simulate(str(path))


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({"fleet__pools__0__gpu_type": "TPU"}, []),
        ({"workload__requests_per_s": "1e6"}, []),
        ({}, ["--do", "batch_size=0"]),
        ({}, ["--do", "gpu_type=A40"]),
        ({}, ["--days", "0"]),
        ({}, ["--days", "1e-6"]),
    ],
)
def test_command_line_refuses_and_leaves_nothing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    options: list[str],
) -> None:
    path, out = written(tmp_path, **changes), tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["causalrel", "simulate", path, "-o", str(out), *options])
    assert cli.main() == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.strip().splitlines()) == 1
    assert "Traceback" not in said.err
    assert not out.exists()


def test_import_loads_nothing_heavy() -> None:
    code = "import sys, causalrel, causalrel.simulation; sys.exit(any(m in sys.modules for m in ('numba', 'scipy')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    code = "import sys, causalrel; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_rate_shifts_for_all_tenants_or_is_refused(tmp_path: Path) -> None:
    who = [client(), client(name="b")]
    path = written(tmp_path, bare(0.05, 4, tenants=who), workload__shifts=[{"after": "1s", "tenant": "b", "rate": 4}])
    with pytest.raises(CausalrelError, match="gives one tenant a rate: rates shift for all tenants together"):
        run_scenario(path, days=1)
    path = written(tmp_path, bare(0.05, 4, tenants=who), workload__shifts=[{"after": "1s", "rate": 4}])
    sent = np.bincount(run_scenario(path, days=1, seed=0).work.tenant)
    assert sent == pytest.approx([8640, 8640], rel=4 / np.sqrt(8640))


def test_a_scenario_may_be_told_in_python() -> None:
    told = bare(0.05) | {"config": {"batch_size": 2}}
    by_mapping, by_scenario = simulate(told, days=0.2).frame(), simulate(load_scenario(told), days=0.2).frame()
    assert by_mapping.equals(by_scenario)
    assert by_mapping["batch_size"].unique().to_list() == [2]
    with pytest.raises(CausalrelError, match=r"'bare' is not usable: days '-1'"):
        simulate(told | {"days": -1})


def test_short_spans_have_no_changes() -> None:
    telemetry = simulate("llm-canary", days=0.05)
    assert telemetry.changes.collect().height == 0
    assert telemetry.changes.collect_schema().names() == ["time", "node", "variable", "before", "after"]
    assert telemetry.source == "llm-canary"
    assert telemetry.frame().select(pl.col("time").is_sorted()).item()
