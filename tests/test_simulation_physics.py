"""Simulated serving: conservation, Little's law, queueing theory, saturation, and the known signs of settings."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from simulated import bare, batch_error, client, fixed, mean_wait, nodes, shipped, written

from causalrel.simulation.hardware import iteration_costs, load_calibration
from causalrel.simulation.runs import Run, run_scenario

DRAINS = {"workload__shifts": [{"after": "2h", "rate": 1e-9}]}
SPAN = 2.5 / 24


@pytest.fixture(scope="module")
def plain() -> Run:
    return run_scenario("llm-canary", days=7, seed=3)


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The shipped fleet with ten times its failures, and half an hour at the end in which nobody asks."""
    failures = shipped("chat-fleet")["fleet"]["failures"] | {"crashes_per_day": "10"}
    path = written(tmp_path_factory.mktemp("failing"), "chat-fleet", fleet__failures=failures, **DRAINS)
    return run_scenario(path, days=SPAN, seed=1)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same where nothing fails and nobody gives up: each request reaches one node at most."""
    document = shipped("chat-fleet")
    for tenant in document["workload"]["tenants"]:
        tenant["timeout"] = "1d"
    path = written(tmp_path_factory.mktemp("calm"), document, fleet__failures={}, **DRAINS)
    return run_scenario(path, days=SPAN, seed=1)


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One node whose memory is too small for what it admits: it pushes out, recomputes and fails."""
    lengths = {"median": 300, "sigma": 0.8, "most": 4000}
    document = bare(0.8, 16, tenants=[client(prompt_tokens=lengths, output_tokens=lengths)])
    costs = {"base_s": 0.01, "prefill_s_per_token": 1e-4, "sequence_s": 1e-4, "kv_s_per_token": 1e-7, "kv_tokens": 3000}
    path = written(tmp_path_factory.mktemp("tight"), document, engine__costs=costs, **DRAINS)
    return run_scenario(path, days=SPAN, seed=2)


@pytest.fixture(params=["plain", "failing", "calm", "tight"])
def run(request: pytest.FixtureRequest) -> Run:
    return request.getfixturevalue(request.param)


def test_every_request_ends_exactly_once(run: Run) -> None:
    served, work = run.served, run.work
    good, late = served.ending == 0, served.ending == 1
    assert np.isin(served.ending, np.arange(6)).all()
    assert good.mean() > 0.5
    assert np.isfinite(served.end_s).all()
    assert (served.made[good] == work.output_tokens[good]).all()
    assert (served.made[~good] < work.output_tokens[~good]).all()
    assert (served.made[late] == 0).all()
    assert np.isnan(served.first_s[late]).all()
    assert (served.start_s[good] >= work.time_s[good]).all()
    assert (served.first_s[good] > served.start_s[good]).all()
    assert (served.end_s[good] >= served.first_s[good]).all()
    assert (served.end_s >= work.time_s).all()
    assert (served.node[good] >= 0).all()


def test_prompts_are_read_once_unless_pushed_out(run: Run) -> None:
    served, work = run.served, run.work
    got = served.read + served.cached
    good = (served.ending == 0) & (served.attempts == 1)
    once = good & (served.preemptions == 0)
    assert once.mean() > 0.4
    assert (got[once] == work.prompt_tokens[once]).all()
    assert (got[good] >= work.prompt_tokens[good]).all()
    assert (got > work.prompt_tokens)[good & ~once].any() == (served.preemptions[good] > 0).any()


def by_node(run: Run, name: str) -> np.ndarray:
    reached = run.served.node >= 0
    return np.bincount(
        run.served.node[reached], getattr(run.served, name)[reached], minlength=run.conditions.speed.size
    )


def test_prompt_tokens_seen_are_those_read(calm: Run, tight: Run, failing: Run) -> None:
    """With the span drained, nodes and requests count the same; a retry's first node saw what its last did not."""
    for run in (calm, tight):
        assert (run.served.read_seen.sum(axis=1) == by_node(run, "read")).all()
        assert (run.served.preempted_seen.sum(axis=1) == by_node(run, "preemptions")).all()
    assert failing.served.read_seen.sum() == failing.served.read.sum()
    assert calm.served.preemptions.sum() == 0
    assert tight.served.preemptions.sum() > 0
    assert (calm.served.cached_seen.sum(axis=1) == by_node(calm, "cached")).all()
    assert calm.served.cached.sum() > 0


def test_output_tokens_seen_are_those_made(calm: Run, tight: Run, failing: Run) -> None:
    """The same for tokens written; those that an outage threw away are seen and not kept."""
    for run in (calm, tight):
        assert (run.served.made_seen.sum(axis=1) == by_node(run, "made")).all()
    assert failing.served.made_seen.sum() > failing.served.made.sum()


def test_node_time_is_shared_out_exactly(run: Run, plain: Run) -> None:
    """Shares differ from busy time by rounding, 1e-9; the undrained week leaves out what is begun after its span."""
    served = run.served
    after = served.node_s[served.end_s > served.busy_s.shape[1] * 60.0].sum() if run is plain else 0.0
    assert served.node_s.sum() == pytest.approx(served.busy_s.sum(), rel=1e-9, abs=after)
    assert served.read_s.sum() == pytest.approx(served.reading_s.sum(), rel=1e-9, abs=after)
    for node in range(served.busy_s.shape[0] if (served.attempts == 1).all() and run is not plain else 0):
        mine = served.node == node
        assert served.node_s[mine].sum() == pytest.approx(served.busy_s[node].sum(), rel=1e-9)


def test_a_node_with_work_is_never_idle(tight: Run, plain: Run) -> None:
    """Busy time is the time during which somebody is in the batch or pushed out of it.

    A client that gives up while its prompt is read leaves before its last iteration ends: 1e-3 is allowed for those.
    """
    for run in (tight, plain):
        for node in range(run.served.busy_s.shape[0]):
            mine = (run.served.node == node) & ~np.isnan(run.served.start_s)
            spans = sorted(zip(run.served.start_s[mine], run.served.end_s[mine], strict=True))
            busy, reached = 0.0, 0.0
            for start, end in spans:
                busy += max(0.0, end - max(start, reached))
                reached = max(reached, end)
            assert run.served.node_s[mine].sum() == pytest.approx(busy, rel=1e-3)


def test_gauges_hold_their_limits_and_return_to_zero(run: Run, plain: Run) -> None:
    served, values = run.served, run.conditions.values
    for gauge in (served.running, served.waiting, served.kv_usage):
        assert gauge.min() == 0.0
        assert gauge.max() > 0.0
        if run is not plain:
            assert (gauge[:, -1] == 0.0).all()
    assert (served.running <= values["batch_size"].max(axis=1)[:, None]).all()
    assert served.kv_usage.max() <= 1.0
    assert (served.kv_usage[served.running == 0] == 0.0).all()


def test_gauges_count_who_is_there(calm: Run) -> None:
    """A gauge at a minute counts those between two moments of theirs: no tolerance."""
    served, work = calm.served, calm.work
    minutes = np.arange(served.running.shape[1]) * 60.0
    for node in range(served.running.shape[0]):
        mine = served.node == node
        for gauge, comes, goes in (
            (served.running, served.start_s, served.end_s),
            (served.waiting, np.where(served.attempts == 1, work.time_s, np.nan), served.start_s),
        ):
            come, go = np.sort(comes[mine & (served.attempts == 1)]), np.sort(goes[mine & (served.attempts == 1)])
            there = np.searchsorted(come, minutes, "right") - np.searchsorted(go, minutes, "right")
            again = (mine & (served.attempts > 1)).sum()
            assert np.abs(gauge[node] - there).max() <= again
            if again == 0:
                assert (gauge[node] == there).all()


def test_littles_law(plain: Run) -> None:
    """Mean number = arrival rate x mean time, for queue and batch of each node.

    A gauge read 10,080 times, with a memory of a few minutes, has a standard error near 2 % where it is mostly above
    zero (the batch), and near 4 % where it is bursty (the queue): three of them are allowed.
    """
    served, work, span = plain.served, plain.work, 7 * 86_400.0
    entered = np.where(np.isnan(served.start_s), served.end_s, served.start_s)
    calm = served.preemptions == 0
    assert calm.mean() > 0.99
    for node in range(4):
        mine = served.node == node
        waited = (np.minimum(entered, span) - work.time_s)[mine]
        stayed = (np.minimum(served.end_s, span) - work.time_s)[mine]
        rate = mine.sum() / span
        assert served.waiting[node].mean() == pytest.approx(rate * waited.mean(), rel=0.12)
        there = served.waiting[node] + served.running[node]
        assert there.mean() == pytest.approx(rate * stayed.mean(), rel=0.06)


LENGTHS = {
    "exponential": ({"family": "exponential", "median": 500 * float(np.log(2.0)), "most": 10**8}, 1.0),
    "deterministic": (fixed(500), 0.0),
    "lognormal": ({"median": 500 * float(np.exp(-0.18)), "sigma": 0.6, "most": 10**8}, float(np.exp(0.36)) - 1.0),
}


@pytest.mark.parametrize(
    ("servers", "load", "family", "approximate"),
    [
        (1, 0.5, "exponential", 0.0),  # M/M/1
        (1, 0.8, "exponential", 0.0),
        (1, 0.8, "deterministic", 0.0),  # M/D/1: Pollaczek and Khinchine
        (1, 0.7, "lognormal", 0.0),  # M/G/1
        (4, 0.7, "exponential", 0.0),  # M/M/k: Erlang C
        (16, 0.9, "exponential", 0.0),
        (8, 0.8, "deterministic", 0.1),  # M/G/k: Lee and Longton, good to a tenth here
        (8, 0.8, "lognormal", 0.1),
    ],
)
def test_a_batch_is_a_queue_with_many_servers(
    tmp_path: Path, servers: int, load: float, family: str, approximate: float
) -> None:
    """Where an iteration costs the same whatever is in it, a batch of k is a queue with k servers.

    Mean waits in the units of a mean service of 1 s. Four standard errors from 40 batch means are allowed, and 2 ms: a
    request joins at the next of iterations of 2 ms, and its tokens are whole.
    """
    lengths, variation = LENGTHS[family]
    rate, requests = load * servers, 120_000
    document = bare(rate, servers, tenants=[client(output_tokens=lengths)], costs={"base_s": 0.002})
    run = run_scenario(written(tmp_path, document), days=requests / rate / 86_400, seed=1)
    waited = run.served.start_s - run.work.time_s
    expected = mean_wait(servers, load, 1.0, variation)
    allowed = 4.0 * batch_error(waited) + 0.002 + approximate * expected
    assert allowed < 0.45 * expected
    assert waited.mean() == pytest.approx(expected, abs=allowed)


def test_time_in_system_is_wait_and_service(tmp_path: Path) -> None:
    """M/M/1: service / (1 - load) in the system, four standard errors and the 2 ms of an iteration."""
    document = bare(0.6, tenants=[client(output_tokens=LENGTHS["exponential"][0])], costs={"base_s": 0.002})
    run = run_scenario(written(tmp_path, document), days=2, seed=5)
    there = run.served.end_s - run.work.time_s
    assert there.mean() == pytest.approx(2.5, abs=4.0 * batch_error(there) + 0.002)


def test_more_servers_than_work_do_not_wait(tmp_path: Path) -> None:
    run = run_scenario(written(tmp_path, bare(20.0, 64)), days=0.05, seed=1)
    assert (run.served.start_s - run.work.time_s).max() <= 0.01 + 1e-9


def crowd(rate: float, batch: int = 32, prompt: int = 100, output: int = 100, **costs: float) -> dict[str, Any]:
    seconds = {"base_s": 0.01, "sequence_s": 0.0005, "prefill_s_per_token": 1e-5} | costs
    who = client(prompt_tokens=fixed(prompt), output_tokens=fixed(output))
    return bare(rate, batch, tenants=[who], costs=seconds)


def made_per_s(run: Run) -> float:
    """Return the tokens of requests that ended from the tenth minute to the end of the span, a second."""
    start, end = 600.0, run.served.busy_s.shape[1] * 60.0
    inside = (run.served.end_s > start) & (run.served.end_s <= end)
    return float(run.served.made[inside].sum() / (end - start))


def test_throughput_saturates(tmp_path: Path) -> None:
    """A full batch makes 32 tokens an iteration; 1 sequence in 100 reads: to 0.3 %, a batch of answers."""
    full = 32.0 / (0.01 + 0.0005 * 32 * 0.99 + 1e-5 * 32)
    below, above, far = (
        run_scenario(written(tmp_path, crowd(load * full / 100.0)), days=1 / 24, seed=1) for load in (0.5, 1.3, 2.5)
    )
    assert made_per_s(below) == pytest.approx(0.5 * full, rel=0.05)  # Poisson: 1 / sqrt(18,000) is 0.7 %
    assert made_per_s(above) == pytest.approx(full, rel=0.003)
    assert made_per_s(far) == pytest.approx(full, rel=0.003)


def test_throughput_of_a_calibrated_model_saturates(tmp_path: Path) -> None:
    """The same from the costs of llama-3-8b on one H100; contexts average prompt and half the answer: to 1 %."""
    costs = iteration_costs(load_calibration(), model="llama-3-8b", gpu_type="H100-SXM", gpu_count=1)
    batch, prompt, output = 48, 1000, 200
    reading = batch / output  # prompts begun in an iteration
    chunk = reading * prompt
    length = costs.seconds(
        writing=batch - reading,
        resident=(batch - reading) * (prompt + output / 2),
        chunk=chunk,
        pairs=chunk * prompt / 2,
    )
    who = client(prompt_tokens=fixed(prompt), output_tokens=fixed(output))
    document = bare(2.0 * batch / length / output, batch, tenants=[who], model="llama-3-8b")
    run = run_scenario(written(tmp_path, document), days=1 / 24, seed=1)
    assert made_per_s(run) == pytest.approx(batch / length, rel=0.01)


def test_first_tokens_diverge_at_capacity(tmp_path: Path) -> None:
    """Waits grow with load and stay the same over time below capacity; above it they grow without end."""
    full = 32.0 / (0.01 + 0.0005 * 32 * 0.99 + 1e-5 * 32) / 100.0
    halves = []
    for load in (0.5, 0.8, 0.95, 1.2):
        run = run_scenario(written(tmp_path, crowd(load * full)), days=2 / 24, seed=3)
        ttft = run.served.first_s - run.work.time_s
        halves.append((ttft[: ttft.size // 2].mean(), ttft[ttft.size // 2 :].mean()))
    means = [sum(each) for each in halves]
    assert means[0] < means[1] < means[2] < 0.01 * means[3]
    assert halves[0][1] == pytest.approx(halves[0][0], rel=0.05)
    assert halves[3][1] == pytest.approx(3.0 * halves[3][0], rel=0.1)  # a backlog that grows in a line from nothing


def means(run: Run) -> dict[str, float]:
    served = run.served
    good = (served.ending == 0) & (served.made > 1)
    pace = (served.end_s - served.first_s)[good] / (served.made[good] - 1)
    ttft = (served.first_s - run.work.time_s)[good]
    return {"ttft": ttft.mean(), "tpot": pace.mean(), "stall": served.stall_s[good].mean(), "good": good.mean()}


def test_batch_size_trades_waiting_against_pace() -> None:
    narrow, wide = (means(run_scenario("llm-canary", days=2, seed=3, do={"batch_size": size})) for size in (4, 8))
    assert wide["ttft"] < 0.7 * narrow["ttft"]
    assert wide["tpot"] > 1.02 * narrow["tpot"]


def test_a_wider_batch_serves_more_when_all_wait(tmp_path: Path) -> None:
    """Twice the batch at a fixed part of 10 ms and 0.5 ms a sequence: (10 + 8) / (10 + 16) x 2 = 1.38 times, to 3 %."""
    narrow, wide = (run_scenario(written(tmp_path, crowd(30.0, batch)), days=1 / 24, seed=1) for batch in (16, 32))
    assert made_per_s(wide) / made_per_s(narrow) == pytest.approx(1.38, rel=0.03)
    assert means(wide)["tpot"] > 1.3 * means(narrow)["tpot"]
    assert means(wide)["ttft"] < means(narrow)["ttft"]


def test_chunks_trade_first_tokens_against_stalls(tmp_path: Path) -> None:
    """Whole prompts stall who writes; large chunks read sooner and stall longer."""
    document = partial(crowd, 1.0, 32, 4000, 150, prefill_s_per_token=1e-4)
    small, large, whole = (
        means(run_scenario(written(tmp_path, document(), **config), days=1 / 24, seed=1))
        for config in (
            {"config__max_batched_tokens": 256},
            {"config__max_batched_tokens": 2048},
            {"config__max_batched_tokens": 8192, "config__chunked_prefill": "off"},
        )
    )
    assert small["stall"] < 0.25 * large["stall"] < 0.25 * whole["stall"]
    assert large["ttft"] < 0.8 * small["ttft"]
    assert whole["ttft"] < large["ttft"]
    assert whole["stall"] > 0.4  # 4,000 tokens at 0.1 ms


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Four nodes of two H100 that serve llama-3-70b at a good part of their capacity."""
    lengths = {"prompt_tokens": {"median": 900, "sigma": 0.6, "most": 8000}}
    who = client(output_tokens={"median": 150, "sigma": 0.6, "most": 1000}, timeout="5m", **lengths)
    document = bare(4.5, 32, tenants=[who], model="llama-3-70b")
    pools = [nodes(4)[0] | {"gpu_count": 2}]
    return written(tmp_path_factory.mktemp("model"), document, fleet__pools=pools, fleet__router="two_choices")


@pytest.mark.parametrize(
    ("better", "worse", "column", "times"),
    [
        ({"gpu_count": 4}, {"gpu_count": 2}, "ttft", 1.3),
        ({"gpu_count": 4}, {"gpu_count": 2}, "tpot", 1.3),
        ({"gpu_type": "H200-SXM"}, {"gpu_type": "H100-SXM"}, "tpot", 1.05),
        ({"gpu_type": "H100-SXM", "gpu_count": 4}, {"gpu_type": "A100-SXM", "gpu_count": 4}, "tpot", 1.3),
        ({"power_cap_w": 700}, {"power_cap_w": 300}, "tpot", 1.1),
        ({"sm_clock_mhz": 1980}, {"sm_clock_mhz": 1100}, "tpot", 1.3),
        ({"quantisation": "fp8"}, {"quantisation": "fp16"}, "tpot", 1.2),
        ({"quantisation": "fp8"}, {"quantisation": "fp16"}, "ttft", 1.2),
        ({"quantisation": "int4"}, {"quantisation": "fp16"}, "tpot", 1.2),
        ({"kv_fraction": 0.9}, {"kv_fraction": 0.84}, "ttft", 1.2),
    ],
)
def test_hardware_has_its_known_signs(
    model: str, better: dict[str, object], worse: dict[str, object], column: str, times: float
) -> None:
    one, two = (means(run_scenario(model, days=1 / 24, seed=2, do=do))[column] for do in (better, worse))
    assert two > times * one


def test_fp8_needs_a_gpu_that_multiplies_in_fp8(model: str) -> None:
    """An A100 reads half the bytes but multiplies as before: decode gains, and prefill does not."""
    old = {"gpu_type": "A100-SXM", "gpu_count": 2}
    held = [run_scenario(model, days=1 / 24, seed=2, do=old | {"quantisation": q}) for q in ("fp16", "fp8")]
    runs = [each.served for each in held]
    once = (runs[0].preemptions == 0) & (runs[1].preemptions == 0) & (runs[0].ending == 0) & (runs[1].ending == 0)
    assert once.mean() > 0.5
    assert runs[1].read_s[once] == pytest.approx(runs[0].read_s[once], rel=1e-9)
    assert means(held[1])["tpot"] < 0.9 * means(held[0])["tpot"]


def test_versions_change_prefill_and_decode() -> None:
    one, two = (
        means(run_scenario("llm-canary", days=1, seed=3, do={"batch_size": 8, "model_version": v}))
        for v in ("v1", "v2")
    )
    assert two["ttft"] > 1.1 * one["ttft"]


def test_a_prompt_cache_saves_reading(tmp_path: Path) -> None:
    """Forty beginnings of 600 tokens after a Zipf law: more room, more hits, sooner first tokens; none, no hits."""
    shared = {"count": 40, "tokens": 600, "share": 0.8, "skew": 1.0}
    who = client(prompt_tokens=fixed(1000), output_tokens=fixed(50), prefixes=shared)
    document = bare(5.0, 32, tenants=[who], model="llama-3-8b")
    templates = {"plain": {}, "broken": {"reuse": 0}}
    path = written(tmp_path, document, versions={"v1": {}}, templates=templates)
    shares, ttft = [], []
    for room in (0, 3000, 12_000, 24_000):
        run = run_scenario(path, days=1 / 24, seed=1, do={"prompt_cache_tokens": room})
        shares.append(float(run.served.cached.sum() / run.work.prompt_tokens.sum()))
        ttft.append(means(run)["ttft"])
    assert shares[0] == 0.0
    assert shares[0] < shares[1] < shares[2] < shares[3]
    assert shares[3] == pytest.approx(0.8 * 0.6, rel=0.03)  # all fit: every keeper of its beginning hits but the first
    assert ttft[0] > ttft[1] > ttft[2] > ttft[3]
    broken = run_scenario(path, days=1 / 24, seed=1, do={"prompt_cache_tokens": 24_000, "prompt_template": "broken"})
    assert broken.served.cached.sum() == 0
    assert (broken.served.read == broken.work.prompt_tokens).all()
