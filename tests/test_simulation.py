"""Simulation: conservation, queueing theory, known signs, common random numbers, one-sentence refusals."""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from causalrel.errors import CausalrelError
from causalrel.shipped import load_yaml, resolve, root
from causalrel.simulation import simulate
from causalrel.simulation.engine import _speeds, serve
from causalrel.simulation.runs import Run, run_scenario

LATENCIES = ("ttft_s", "tpot_s", "e2e_s")


@pytest.fixture(scope="module")
def plain() -> Run:
    return run_scenario("llm-canary", days=2, seed=3)


@pytest.fixture(scope="module")
def make() -> ModuleType:
    path = Path(__file__).parent / "golden" / "make_llm_canary.py"
    spec = importlib.util.spec_from_file_location("make_llm_canary", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(tmp_path: Path, **changes: Any) -> str:
    """Write the shipped scenario with some keys changed, such as ``engine__base_s``."""
    document = load_yaml(resolve("llm-canary", "models/scenarios", "scenario"), "scenario")[0]
    for key, value in changes.items():
        place = document
        *folders, last = key.split("__")
        for folder in folders:
            place = place[int(folder) if isinstance(place, list) else folder]
        place[last] = value
    path = tmp_path / "scenario.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return str(path)


def queue(tmp_path: Path, rate: float, batch: int = 1, tokens: float = 100.0, family: str = "exponential") -> str:
    """Write a scenario of one node that serves a Poisson stream at a mean of one second a request."""
    lengths = {"family": family, "median": tokens * float(np.log(2.0)), "least": 1, "most": 1_000_000}
    tenant = {"name": "a", "tier": "a", "share": 1, "timeout": "100d", "output_tokens": lengths}
    return write(
        tmp_path,
        workload={"requests_per_s": rate, "tenants": [tenant | {"prompt_tokens": {"median": 1, "most": 1}}]},
        fleet={"nodes": ["n"], "gpu_type": "H100-SXM", "gpu_count": 1},
        engine={
            "base_s": 0.01,
            "prefill_s_per_token": 0,
            "sequence_s": 0,
            "kv_s_per_token": 0,
            "prefill_chunk_tokens": 512,
            "kv_tokens": 100_000_000,
        },
        policy={"every": "1d", "low": batch, "high": batch, "raise_at": 1, "noise": 0},
        rollout={"before": "v1", "after": "v1"},
    )


def test_every_request_ends_exactly_once(plain: Run) -> None:
    served, work = plain.served, plain.work
    good, late, oom = (served.ending == each for each in (0, 1, 2))
    assert good.sum() + late.sum() + oom.sum() == work.time_s.size
    assert np.isfinite(served.end_s).all()
    assert (served.made_tokens[good] == work.output_tokens[good]).all()
    assert (served.made_tokens[late] == 0).all()
    assert np.isnan(served.start_s[late]).all()
    assert np.allclose(served.end_s[late] - work.time_s[late], work.patience_s[late])
    assert (served.start_s[good] >= work.time_s[good]).all()
    assert (served.first_s[good] > served.start_s[good]).all()
    assert (served.end_s[good] >= served.first_s[good]).all()


def test_prompts_are_read_once_unless_preempted(plain: Run) -> None:
    served, work = plain.served, plain.work
    calm = (served.ending == 0) & (served.preemptions == 0)
    assert calm.mean() > 0.9
    assert (served.prefilled_tokens[calm] == work.prompt_tokens[calm]).all()
    pushed = (served.ending == 0) & (served.preemptions > 0)
    assert (served.prefilled_tokens[pushed] > work.prompt_tokens[pushed]).all()


def test_node_time_is_shared_out_exactly(plain: Run) -> None:
    for node in range(len(plain.scenario.fleet.nodes)):
        mine = (plain.work.node == node) & ~np.isnan(plain.served.start_s)
        spans = sorted(zip(plain.served.start_s[mine], plain.served.end_s[mine], strict=True))
        busy, reached = 0.0, 0.0
        for start, end in spans:
            busy += max(0.0, end - max(start, reached))
            reached = max(reached, end)
        assert plain.served.node_s[mine].sum() == pytest.approx(busy, rel=1e-9)


def test_limits_hold(plain: Run) -> None:
    assert plain.served.kv_usage.max() <= 1.0
    assert (plain.served.running <= plain.conditions.batch_size.max()).all()


def test_memory_pressure_preempts_and_fails(tmp_path: Path) -> None:
    run = run_scenario(write(tmp_path, engine__kv_tokens=9000), days=1, seed=0)
    big = run.work.prompt_tokens >= 9000
    assert (run.served.ending[big] != 0).all()
    assert (run.served.ending == 2).any()
    assert (run.served.preemptions[run.served.ending == 0] > 0).any()
    assert run.served.preemptions.max() <= run.scenario.engine.most_preemptions + 1
    assert run.served.kv_usage.max() <= 1.0
    whole = (run.served.ending == 0) & (run.work.prompt_tokens + run.work.output_tokens > 9001)
    assert not whole.any()


def test_littles_law(plain: Run) -> None:
    """Time average of requests in the system = arrival rate x mean time there; the gauge is read once a minute.

    A gauge read 2,880 times on each of 4 nodes, with a memory of a few minutes, has a standard error near 2 %.
    """
    span = 2 * 86_400.0
    time_there = np.minimum(plain.served.end_s, span) - plain.work.time_s
    frame = simulate("llm-canary", days=2, seed=3).samples.collect()
    gauge = frame.filter(pl.col("metric").is_in(["vllm:num_requests_running", "vllm:num_requests_waiting"]))
    mean = gauge.group_by("metric").agg(pl.col("value").mean())["value"].sum() * 4
    assert mean == pytest.approx(time_there.sum() / span, rel=0.05)


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_batch_of_one_is_m_m_1(tmp_path: Path, load: float) -> None:
    """Mean time in an M/M/1 queue is service / (1 - load).

    The standard error of a mean of n waits is near sqrt(2 (1 + load) / n) / (1 - load)^2 services (Whitt 1989,
    doi:10.1287/mnsc.35.11.1341): 4 of them are allowed, and 1 % for tokens being whole.
    """
    run = run_scenario(queue(tmp_path, load), days=1.5, seed=1)
    there = run.served.end_s - run.work.time_s
    error = np.sqrt(2.0 * (1.0 + load) / there.size) / (1.0 - load) ** 2
    speed = float((run.conditions.clock_mhz / 1980.0).mean())
    service = 1.0 / speed
    expected = service / (1.0 - load * service)
    assert there.mean() == pytest.approx(expected, abs=4.0 * error + 0.01 * expected)


def test_many_servers_do_not_wait(tmp_path: Path) -> None:
    run = run_scenario(queue(tmp_path, 0.5, batch=64), days=0.5, seed=1)
    assert (run.served.start_s - run.work.time_s).max() < 0.02


def test_leaps_equal_single_iterations(tmp_path: Path) -> None:
    """A lone request takes base + sequence + kv x resident for each token: summed one by one here."""
    path = write(
        tmp_path,
        workload__requests_per_s=0.0005,
        workload__burst_shape=None,
        fleet__clock_sd=0,
        fleet__speed_sd=0,
        fleet__faults=[],
    )
    run = run_scenario(path, days=2, seed=5)
    engine = run.scenario.engine
    alone = np.flatnonzero(
        (np.append(run.work.time_s[1:], np.inf) > run.served.end_s)
        & (run.work.time_s > np.append(-np.inf, np.maximum.accumulate(run.served.end_s)[:-1]))
    )
    assert alone.size > 10
    for i in alone:
        prompt, output = int(run.work.prompt_tokens[i]), int(run.work.output_tokens[i])
        reads = -(-prompt // engine.prefill_chunk_tokens)
        fixed = engine.base_s + engine.sequence_s
        first = prompt * engine.prefill_s_per_token + reads * (fixed + engine.kv_s_per_token * prompt)
        later = sum(fixed + engine.kv_s_per_token * (prompt + made) for made in range(1, output))
        assert run.served.first_s[i] - run.work.time_s[i] == pytest.approx(first, rel=1e-9)
        assert run.served.end_s[i] - run.served.first_s[i] == pytest.approx(later, rel=1e-9)


def serve_slowly(run: Run, prefill: np.ndarray, decode: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Serve node 0 one iteration at a time with plain lists; return first and end, as an oracle for the leaps."""
    engine, work = run.scenario.engine, run.work
    queue = [int(i) for i in np.flatnonzero(work.node == 0)]
    batch_size = run.conditions.batch_size[0]
    first, end = np.full(work.time_s.size, np.nan), np.full(work.time_s.size, np.nan)
    made, failures = dict.fromkeys(queue, 0), dict.fromkeys(queue, 0)
    batch: list[list[int]] = []  # request and prompt tokens still to read, oldest first
    pushed: list[int] = []
    now = 0.0

    def resident() -> int:
        return sum(int(work.prompt_tokens[i]) + made[i] for i, _ in batch)

    while queue or pushed or batch:
        step = min(int(now // 60.0), batch_size.size - 1)
        while len(batch) < batch_size[step] and (pushed or (queue and work.time_s[queue[0]] <= now)):
            i = pushed[-1] if pushed else queue[0]
            need = int(work.prompt_tokens[i]) + made[i]
            if not pushed and work.time_s[i] + work.patience_s[i] <= now:
                end[queue.pop(0)] = work.time_s[i] + work.patience_s[i]
                continue
            if not pushed and need >= engine.kv_tokens:
                end[queue.pop(0)] = now
                continue
            if batch and resident() + need + len(batch) + 1 > engine.kv_tokens:
                break
            batch.append([(pushed.pop() if pushed else queue.pop(0)), need])
        while batch and resident() + len(batch) > engine.kv_tokens:
            i, _ = batch.pop()
            failures[i] += 1
            if not batch or failures[i] > engine.most_preemptions:
                end[i] = now
            else:
                pushed.append(i)
        if not batch:
            now = max(now, work.time_s[queue[0]]) if queue and not pushed else now
            continue
        now += (engine.base_s + engine.sequence_s * len(batch) + engine.kv_s_per_token * resident()) / decode[step]
        writing = [entry for entry in batch if entry[1] == 0]
        reading = next((entry for entry in batch if entry[1] > 0), None)
        if reading:
            chunk = min(engine.prefill_chunk_tokens, reading[1])
            reading[1] -= chunk
            now += engine.prefill_s_per_token * chunk / prefill[step]
            writing += [reading] * (reading[1] == 0)
        for i, _ in writing:
            first[i] = now if made[i] == 0 else first[i]
            made[i] += 1
            end[i] = now if made[i] == work.output_tokens[i] else end[i]
        batch = [entry for entry in batch if made[entry[0]] < work.output_tokens[entry[0]]]
    return first, end


@pytest.mark.parametrize("room", [80_000, 16_000])
def test_leaps_equal_a_plain_loop(tmp_path: Path, room: int) -> None:
    path = write(tmp_path, workload__requests_per_s=0.09, engine__kv_tokens=room)
    run = run_scenario(path, days=0.2, seed=4)
    mine = run.work.node == 0
    prefill, decode = (speed[0] for speed in _speeds(run.scenario, run.conditions, 1.0))
    first, end = serve_slowly(run, prefill, decode)
    assert (run.served.preemptions[mine].sum() > 0) == (room == 16_000)
    assert np.allclose(run.served.first_s[mine], first[mine], rtol=0, atol=1e-6, equal_nan=True)
    assert np.allclose(run.served.end_s[mine], end[mine], rtol=0, atol=1e-6)


def test_more_load_waits_longer(tmp_path: Path) -> None:
    waits = []
    for rate in (0.03, 0.046, 0.07):
        frame = simulate(write(tmp_path, workload__requests_per_s=rate), days=1, seed=2).frame()
        waits.append(frame["queue_s"].mean())
    assert waits[0] < waits[1] < waits[2]


def test_batch_size_trades_waiting_against_pace() -> None:
    narrow, wide = (simulate("llm-canary", days=2, seed=3, do={"batch_size": size}).frame() for size in (4, 8))
    assert wide["queue_s"].mean() < 0.5 * narrow["queue_s"].mean()
    assert wide["ttft_s"].mean() < narrow["ttft_s"].mean()
    assert wide["tpot_s"].mean() > 1.02 * narrow["tpot_s"].mean()


def test_known_signs_of_version_clock_and_gpus() -> None:
    def mean(column: str, **do: object) -> float:
        return simulate("llm-canary", days=1, seed=3, do={"batch_size": 8, **do}).frame()[column].mean()

    assert mean("ttft_s", model_version="v2") > mean("ttft_s", model_version="v1")
    assert mean("quality", model_version="v2") > mean("quality", model_version="v1")
    assert mean("tpot_s", sm_clock_mhz=1100) > 1.3 * mean("tpot_s", sm_clock_mhz=1980)
    assert mean("e2e_s", gpu_count=16) < mean("e2e_s", gpu_count=8)


def test_the_operator_confounds(plain: Run) -> None:
    load = np.bincount((plain.work.time_s // 3600).astype(int), minlength=48)
    size = plain.conditions.batch_size.mean(axis=0).reshape(48, 60).mean(axis=1)
    assert np.corrcoef(load, size)[0, 1] > 0.5


def test_story_of_the_week() -> None:
    run = run_scenario("llm-canary", seed=12)
    switches = (np.diff(run.conditions.batch_size, axis=1) != 0).sum(axis=1)
    assert (switches >= 4).all()
    assert switches.sum() >= 15
    assert (run.conditions.version[:, 0] == 0).all()
    assert (run.conditions.version[:, -1] == 1).all()
    derate = 1.0 - run.conditions.clock_mhz[3, -60:].mean() / run.conditions.clock_mhz[3, : 5 * 1440].mean()
    assert 0.35 <= derate <= 0.45
    changes = simulate("llm-canary", seed=12).changes.collect()
    rollout = changes.filter(pl.col("variable") == "model_version")
    assert rollout["node"].to_list() == ["gpu-0", "gpu-1", "gpu-2", "gpu-3"]
    assert set(rollout["after"]) == {"v2"}


def test_same_seed_same_bytes() -> None:
    first, again, other = (
        simulate("llm-canary", days=0.5, seed=seed, do=do) for seed, do in ((7, None), (7, {}), (8, None))
    )
    for name in ("requests", "samples", "changes"):
        one, two = (getattr(run, name).collect() for run in (first, again))
        assert one.equals(two, null_equal=True)
        assert one.serialize() == two.serialize()
    assert not first.frame().equals(other.frame())


def test_do_moves_no_draw(plain: Run) -> None:
    held = run_scenario("llm-canary", days=2, seed=3, do={"batch_size": "8", "sm_clock_mhz": 1500.0})
    for name in ("time_s", "node", "tenant", "prompt_tokens", "output_tokens"):
        assert (getattr(held.work, name) == getattr(plain.work, name)).all()
    assert (held.conditions.version == plain.conditions.version).all()
    assert (held.conditions.speed == plain.conditions.speed).all()
    assert (held.conditions.batch_size == 8).all()
    assert (held.conditions.clock_mhz == 1500.0).all()


def test_do_at_what_is_changes_nothing(plain: Run) -> None:
    """A node held at the conditions it has anyway serves the same requests in the same way."""
    again = serve(plain.scenario, plain.work, plain.conditions)
    assert np.array_equal(again.end_s, plain.served.end_s)
    same = run_scenario("llm-canary", days=2, seed=3, do={"gpu_count": 8, "model_version": "v1"})
    assert np.array_equal(same.served.end_s, plain.served.end_s)


def test_failed_requests_have_no_latency() -> None:
    frame = simulate("llm-canary", seed=12).frame()
    failed = frame.filter(pl.col("error").is_not_null())
    assert failed.height > 0
    assert set(failed["error"]) <= {"timeout", "oom"}
    for name in (*LATENCIES, "output_tokens", "quality"):
        assert failed[name].null_count() == failed.height
        assert frame.filter(pl.col("error").is_null())[name].null_count() == 0
    assert frame["queue_s"].null_count() == 0
    assert frame["quality"].drop_nulls().is_between(0, 1).all()


def test_short_spans_and_gaps(tmp_path: Path) -> None:
    telemetry = simulate("llm-canary", days=0.05)
    assert telemetry.changes.collect().height == 0
    assert telemetry.source == "llm-canary"
    whole = simulate(write(tmp_path, scrapes__gaps_per_day=0), days=0.5).samples.collect()
    assert whole.height == 720 * 4 * 5
    assert simulate("llm-canary", days=0.5).samples.collect().height < whole.height


@pytest.mark.parametrize(
    ("do", "says"),
    [
        ({"ttft_s": 1}, "do cannot set 'ttft_s': it is an outcome variable, and only config and hardware can be set"),
        ({"load": 1}, "it is a workload variable"),
        ({"kv_usage": 1}, "it is an engine variable"),
        ({"gpu_type": "L40S"}, "this simulation holds it constant"),
        ({"batchsize": 8}, "no variable 'batchsize'; did you mean 'batch_size'"),
        ({"batch_size": 0}, "cannot set batch_size to '0'; write a whole number"),
        ({"batch_size": "many"}, "cannot set batch_size to 'many'"),
        ({"gpu_count": True}, "cannot set gpu_count to 'True'"),
        ({"sm_clock_mhz": float("nan")}, "write MHz between"),
        ({"model_version": "v3"}, "no model version 'v3'"),
    ],
)
def test_do_refuses_in_one_sentence(do: dict[str, object], says: str) -> None:
    with pytest.raises(CausalrelError, match=says):
        simulate("llm-canary", days=0.1, do=do)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"workload__requests_per_s": "-1"}, "workload.requests_per_s '-1': input should be greater than 0"),
        ({"workload__requests_per_s": "nan"}, "workload.requests_per_s 'nan'"),
        ({"fleet__gpu_type": "H100-SMX"}, "gpu_type 'H100-SMX' is unknown; did you mean 'H100-SXM'"),
        ({"fleet__nodes": []}, "fleet.nodes: "),
        ({"fleet__nodes": ["gpu-0", "gpu-0"]}, "names a node twice"),
        ({"engine__base": "1"}, "unknown key 'engine.base'; did you mean 'base_s'"),
        ({"rollout__after": "v9"}, "rollout names version 'v9'"),
        ({"rollout__steps__0__node": "gpu-9"}, "node 'gpu-9', which the fleet lacks; did you mean"),
        ({"workload__tenants__0__timeout": "soon"}, "'soon' is not a duration"),
        ({"start": "1"}, "start '1': write it as"),
        ({"days": "0"}, "days '0'"),
        ({"scrapes__every": "7s"}, "whole minutes"),
        ({"workload__tenants__0__prompt_tokens__least": "99999"}, "is an empty range"),
    ],
)
def test_scenario_refuses_in_one_sentence(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(CausalrelError, match=says) as caught:
        simulate(write(tmp_path, **changes))
    assert "\n" not in str(caught.value)


def test_scenario_tells_all_faults(tmp_path: Path) -> None:
    path = write(tmp_path, workload__requests_per_s="-1", fleet__gpu_type="TPU", engine__bse_s="1")
    with pytest.raises(CausalrelError) as caught:
        simulate(path)
    for says in ("requests_per_s", "'TPU' is unknown", "unknown key 'engine.bse_s'"):
        assert says in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"days": 0}, "a span of 0 days"),
        ({"days": float("inf")}, "a span of inf days"),
        ({"seed": -1}, "seed -1 is negative"),
        ({"days": 1e-6}, "no request arrives"),
    ],
)
def test_span_and_seed_refuse_in_one_sentence(asked: dict[str, Any], says: str) -> None:
    with pytest.raises(CausalrelError, match=says):
        simulate("llm-canary", **asked)


def test_too_large_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CausalrelError, match="more than a run holds"):
        simulate(write(tmp_path, workload__requests_per_s="1e6"))


def test_unknown_scenario_and_odd_documents(tmp_path: Path) -> None:
    with pytest.raises(CausalrelError, match="no scenario 'llm-canry'; did you mean 'llm-canary'"):
        simulate("llm-canry")
    path = tmp_path / "two.yaml"
    path.write_text("a: 1\n---\nb: 2\n", encoding="utf-8")
    with pytest.raises(CausalrelError, match="2 documents were found"):
        simulate(str(path))


def test_import_loads_nothing_heavy() -> None:
    code = "import sys, causalrel, causalrel.simulation; sys.exit(any(m in sys.modules for m in ('numba', 'scipy')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    code = "import sys, causalrel; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_shipped_data_are_what_the_script_makes(make: ModuleType) -> None:
    folder = root() / "datasets" / "llm-canary"
    telemetry = simulate(make.NAME, seed=make.SEED)
    made = {
        "requests": make.requests_frame(telemetry),
        "samples": make.samples_frame(telemetry),
        "changes": telemetry.changes.collect(),
    }
    for name, frame in made.items():
        assert pl.read_parquet(folder / f"{name}.parquet").equals(frame, null_equal=True), name


def test_shipped_card_fits_its_files(make: ModuleType) -> None:
    folder = root() / "datasets" / "llm-canary"
    card = load_yaml(folder / "card.yaml", "card")[0]
    for name, facts in card["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == facts["sha256"]
    assert sum((folder / name).stat().st_size for name in card["files"]) <= 300_000
    frame = pl.read_parquet(folder / "requests.parquet")
    assert [row["name"] for row in card["columns"] if row["file"] == "requests"] == frame.columns
    for slo, share in card["truth"]["bad_share"].items():
        assert make.bad_share(frame, slo) == pytest.approx(float(share), abs=1e-4)
    assert frame["time"].is_sorted()
