"""Simulated clients and fleet: patience, retries, quotas, full queues, failing nodes, autoscaling, operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from simulated import bare, client, fixed, nodes, written

from causalrel.simulation.engine import ENDINGS
from causalrel.simulation.exports import export_requests
from causalrel.simulation.runs import Run, run_scenario

TIMEOUT, QUOTA, OVERLOADED, UNAVAILABLE = (
    ENDINGS.index(name) for name in ("timeout", "quota", "overloaded", "unavailable")
)


def busy(rate: float = 2.4, batch: int = 2, **changes: Any) -> dict[str, Any]:
    """Return a node that serves two requests a second when its batch of two is full."""
    return bare(rate, batch, tenants=[client(output_tokens=fixed(100), **changes)])


def test_clients_give_up_at_their_patience(tmp_path: Path) -> None:
    """Where nobody tries again, a timeout comes at the patience, exactly, and never after a first token."""
    run = run_scenario(written(tmp_path, busy(timeout="7s")), days=0.1, seed=1)
    late, good = run.served.ending == TIMEOUT, run.served.ending == 0
    assert late.mean() > 0.1
    assert (late | good).all()
    assert (run.served.end_s[late] - run.work.time_s[late]) == pytest.approx(7.0, abs=1e-9)
    assert np.isnan(run.served.first_s[late]).all()
    assert (run.served.made[late] == 0).all()
    first = (run.served.first_s - run.work.time_s)[good]
    assert first.max() <= 7.0 + 0.01 + 1e-9  # the iteration under way is finished
    assert (run.served.end_s - run.work.time_s)[good].max() > 7.5  # and its answer then is


def test_clients_that_wait_while_their_prompt_is_read_give_up(tmp_path: Path) -> None:
    """Reading 4,000 tokens at 1 ms takes 4 s in chunks: a patience of 3 s ends it within the batch."""
    document = bare(0.02, 2, tenants=[client(prompt_tokens=fixed(4000), timeout="3s")])
    path = written(tmp_path, document, engine__costs__prefill_s_per_token=0.001, config__max_batched_tokens=200)
    run = run_scenario(path, days=0.1, seed=1)
    assert (run.served.ending == TIMEOUT).all()
    assert (run.served.end_s - run.work.time_s) == pytest.approx(3.0, abs=1e-9)
    assert (run.served.read > 0).all()
    assert (run.served.read < 4000).all()
    assert (run.served.running[:, -1] == 0).all()


def test_backoff_doubles_with_jitter(tmp_path: Path) -> None:
    """Where every attempt fails at once, time to the end is the sum of the waits: 2 s x 2^(n-1) x 0.5 to 1.5.

    The jitter of a client is the same whatever its number of retries, so a difference is one wait; the mean of a jitter
    uniform on (0.5, 1.5) over n clients has a standard error of 0.29 / sqrt(n): four are allowed.
    """
    ends = []
    for retries in range(5):
        who = [client(timeout="10s", retries=retries, backoff="2s")]
        run = run_scenario(written(tmp_path, bare(0.2, tenants=who)), days=0.1, seed=1, do={"node_up": "off"})
        assert (run.served.ending == UNAVAILABLE).all()
        assert (run.served.attempts == retries + 1).all()
        assert (run.served.node == -1).all()
        ends.append(run.served.end_s - run.work.time_s)
    assert ends[0].max() == 0.0
    for retry in range(1, 5):
        wait = (ends[retry] - ends[retry - 1]) / (2.0 * 2.0 ** (retry - 1))
        assert wait.min() >= 0.5 - 1e-9
        assert wait.max() < 1.5 + 1e-9
        assert wait.mean() == pytest.approx(1.0, abs=4.0 * 0.29 / np.sqrt(wait.size))


def test_retries_add_load_and_save_some(tmp_path: Path) -> None:
    none, some = (
        run_scenario(written(tmp_path, busy(timeout="5s", retries=retries, backoff="3s")), days=0.1, seed=1)
        for retries in (0, 2)
    )
    assert some.served.attempts.max() == 3
    assert (some.served.attempts[some.served.ending == TIMEOUT] == 3).all()
    saved = (some.served.ending == 0) & (some.served.attempts > 1)
    assert saved.mean() > 0.05
    assert (some.served.end_s - some.work.time_s)[saved].min() > 5.0 + 1.5
    assert (none.served.ending == 0).mean() < (some.served.ending == 0).mean()


def limited(burst: int, retries: int = 0) -> list[dict[str, Any]]:
    quota = {"requests_per_minute": 30, "burst": burst}
    return [client(share=0.5, quota=quota, retries=retries, timeout="1h"), client(name="b", share=0.5)]


def test_a_quota_lets_through_its_burst_and_rate(tmp_path: Path) -> None:
    """Between any two admitted requests of a tenant lie at most burst + rate x time; the bound is reached."""
    burst, per_s = 12, 0.5
    run = run_scenario(written(tmp_path, bare(2.0, 64, tenants=limited(burst))), days=0.25, seed=1)
    mine = run.work.tenant == 0
    assert (run.served.ending[~mine] == 0).all()
    refused = run.served.ending == QUOTA
    assert (run.served.node[refused] == -1).all()
    admitted = run.work.time_s[mine & (run.served.ending == 0)]
    above = np.arange(admitted.size) - per_s * admitted
    most = float((above - np.minimum.accumulate(above)).max()) + 1.0
    assert most <= burst + 1e-6
    assert most > burst - 1.0
    assert admitted.size == pytest.approx(per_s * 0.25 * 86_400, rel=0.02)  # twice what is allowed is asked
    frame = export_requests(run)
    assert frame.filter(frame["error"] == "quota")["node"].null_count() == refused.sum() > 0


def test_quotas_count_retries_too(tmp_path: Path) -> None:
    """However often they come back, no more than burst + rate x span are let through."""
    run = run_scenario(written(tmp_path, bare(2.0, 64, tenants=limited(12, retries=3))), days=0.1, seed=1)
    mine = run.work.tenant == 0
    good = (mine & (run.served.ending == 0)).sum()
    assert (run.served.attempts[mine & (run.served.ending == 0)] > 1).any()
    assert good <= 12 + 0.5 * run.served.end_s[mine].max()
    assert (run.served.attempts[run.served.ending == QUOTA] == 4).all()


@pytest.mark.parametrize(
    "document",
    [
        busy(4.0, 8, prompt_tokens=fixed(900)),
        busy(4.0, 64, prompt_tokens=fixed(900)),  # memory is full before the batch is
        bare(40.0, 64, tenants=[client(prompt_tokens=fixed(900))]),  # whole prompts: long iterations
    ],
)
def test_a_full_queue_turns_requests_away(tmp_path: Path, document: dict[str, Any]) -> None:
    costs = {"base_s": 0.05, "prefill_s_per_token": 5e-4, "kv_tokens": 10_000}
    changes = {f"engine__costs__{name}": value for name, value in costs.items()}
    path = written(tmp_path, document, **changes, config__chunked_prefill="off")
    waits = []
    for limit in (2, 10, 50):
        run = run_scenario(path, days=0.05, seed=1, do={"admission_limit": limit})
        assert run.served.waiting.max() == limit
        refused = run.served.ending == OVERLOADED
        assert refused.mean() > 0.1
        assert (run.served.end_s == run.work.time_s)[refused].all()
        assert (run.served.node[refused] == 0).all()
        waits.append(np.nanmean((run.served.start_s - run.work.time_s)[run.served.ending == 0]))
    assert waits[0] < waits[1] < waits[2]
    free = run_scenario(path, days=0.05, seed=1, do={"admission_limit": 0})
    assert (free.served.ending == 0).all()
    assert free.served.waiting.max() > 50


def failing(retries: int) -> dict[str, Any]:
    who = client(output_tokens=fixed(500), prompt_tokens=fixed(10), timeout="2m", retries=retries)
    return bare(3.0, 16, tenants=[who]) | {
        "fleet": {"pools": nodes(4), "failures": {"crashes_per_day": 20, "restart": "20m"}}
    }


def test_nothing_is_served_by_a_node_that_is_down(tmp_path: Path) -> None:
    run = run_scenario(written(tmp_path, failing(0)), days=0.5, seed=1)
    up, served = run.conditions.values["node_up"] > 0, run.served
    assert 0.05 < 1.0 - up.mean() < 0.5
    edges = np.diff(up.astype(int), axis=1, prepend=1, append=1)
    outages = 0
    for node in range(4):
        good = (served.node == node) & (served.ending == 0)
        for down, again in zip(np.flatnonzero(edges[node] < 0), np.flatnonzero(edges[node] > 0), strict=True):
            outages += 1
            starts, ends = served.start_s[good], served.end_s[good]
            assert not ((starts >= down * 60.0 + 0.01) & (starts < again * 60.0)).any()
            assert not ((starts < down * 60.0) & (ends > down * 60.0 + 0.01 + 1e-9)).any()  # one iteration is finished
            there = (served.node == node) & (served.ending == UNAVAILABLE) & (served.end_s >= down * 60.0)
            assert (served.end_s[there] - down * 60.0).min(initial=np.inf) <= 0.01 + 1e-9
        for gauge in (served.running, served.waiting, served.kv_usage):
            inside = ~up[node] & ~np.append(True, up[node][:-1])  # from the second minute of an outage on
            assert (gauge[node][inside] == 0).all()
    assert outages > 10
    assert (served.ending == UNAVAILABLE).sum() > outages


def test_requests_of_a_fallen_node_are_served_elsewhere(tmp_path: Path) -> None:
    none, some = (run_scenario(written(tmp_path, failing(retries)), days=0.5, seed=1) for retries in (0, 3))
    fell = (none.served.ending == UNAVAILABLE) & (none.served.node >= 0)
    saved = (some.served.ending == 0) & (some.served.attempts > 1)
    assert saved[fell].mean() > 0.8
    assert (some.served.made[saved] == 500).all()
    on = run_scenario(written(tmp_path, failing(0)), days=0.5, seed=1, do={"node_up": "on"})
    assert (on.served.ending == 0).all()
    assert np.array_equal(on.work.time_s, none.work.time_s)


def hazards(run: Run) -> np.ndarray:
    return (run.conditions.xid > 0).sum(axis=1)


def test_firmware_and_frailty_move_failures(tmp_path: Path) -> None:
    """A cohort of three times the hazard fails three times as often; frailty spreads nodes beyond a Poisson.

    4 and 12 crashes a day on 40 nodes in 10 days, less the time down: 1,600 and 4,800, of which 4 standard errors of
    the ratio are 12 %. The dispersion of 40 Poisson counts is 1 +- 0.23.
    """
    document = bare(0.01) | {"firmwares": {"base": {}, "bad": {"hazard": 3}}}
    pools = [
        {"nodes": [f"{kind}{i}" for i in range(40)], "gpu_type": "H100-SXM", "gpu_count": 1, "firmware": kind}
        for kind in ("base", "bad")
    ]
    failures = {"crashes_per_day": 4, "restart": "1m", "ecc_per_day": 20}
    path = written(tmp_path, document, fleet={"pools": pools, "failures": failures})
    count = hazards(run_scenario(path, days=10, seed=1))
    base, bad = count[:40], count[40:]
    assert bad.sum() / base.sum() == pytest.approx(3.0, rel=0.12)
    assert base.sum() == pytest.approx(1600, rel=0.1)
    assert base.var(ddof=1) / base.mean() == pytest.approx(1.0, abs=0.9)
    held = run_scenario(path, days=10, seed=1, do={"firmware": "base"})
    assert hazards(held)[40:].sum() == pytest.approx(1600, rel=0.1)
    assert np.array_equal(hazards(held)[:40], base)
    frail = written(tmp_path, document, fleet={"pools": pools, "failures": failures | {"frailty_sd": 1.0}})
    many = run_scenario(frail, days=10, seed=1)
    assert hazards(many)[:40].var(ddof=1) / hazards(many)[:40].mean() > 10.0
    assert (np.diff(many.conditions.ecc, axis=1) >= 0).all()
    assert many.conditions.ecc[:, -1].sum() > 10_000


def test_an_autoscaler_follows_load(tmp_path: Path) -> None:
    """Replicas lie between their bounds, rise with the day, and cost what they are: fewer wanted, less paid."""
    scaler = {"least": 2, "most": 5, "requests_per_s": 0.25, "window": "10m", "delay": "3m", "hold": "30m"}
    document = bare(0.75, 32, tenants=[client(output_tokens=fixed(200))])
    path = written(tmp_path, document, autoscaler=scaler, workload__daily_swing=0.7, fleet__pools=nodes(6))
    scaled = run_scenario(path, days=2, seed=1)
    wanted = scaled.conditions.values["replicas"][0]
    assert (wanted.min(), wanted.max()) == (2.0, 5.0)
    load = np.bincount((scaled.work.time_s // 3600).astype(int), minlength=48)
    assert np.corrcoef(load, wanted.reshape(48, 60).mean(axis=1))[0, 1] > 0.8
    assert (scaled.served.node < 5).all()
    assert (scaled.conditions.accepts.sum(axis=0) == wanted).all()
    fixed_at = {count: run_scenario(path, days=2, seed=1, do={"replicas": count}) for count in (3, 6)}
    paid = {n: export_requests(run)["cost_usd"].sum() for n, run in fixed_at.items()}
    between = export_requests(scaled)["cost_usd"].sum()
    assert paid[3] == pytest.approx(0.5 * paid[6], rel=0.02)
    assert between == pytest.approx(paid[6] * wanted.mean() / 6.0, rel=0.02)
    assert set(np.unique(fixed_at[3].served.node)) == {0, 1, 2}


def test_two_choices_wait_less_than_one(tmp_path: Path) -> None:
    document = bare(3.2, 1, tenants=[client(output_tokens=fixed(100))])
    one, two = (
        run_scenario(written(tmp_path, document, fleet={"pools": nodes(4), "router": router}), days=0.2, seed=1)
        for router in ("random", "two_choices")
    )
    waits = [(run.served.start_s - run.work.time_s).mean() for run in (one, two)]
    assert waits[1] < 0.5 * waits[0]
    assert waits[0] == pytest.approx(2.0, rel=0.2)  # four M/D/1 queues at 0.8: 0.8 / (2 x 0.2)
    assert np.bincount(one.served.node) == pytest.approx(one.served.node.size / 4, rel=0.05)


def test_the_operator_confounds() -> None:
    run = run_scenario("llm-canary", days=4, seed=3)
    load = np.bincount((run.work.time_s // 3600).astype(int), minlength=96)
    size = run.conditions.values["batch_size"].mean(axis=0).reshape(96, 60).mean(axis=1)
    assert np.corrcoef(load, size)[0, 1] > 0.5


def test_a_hidden_condition_confounds_through_the_operator(tmp_path: Path) -> None:
    """An operator who knows of it raises the batch there; one who does not, does not: 800 blocks, 4 x 0.035."""
    hidden = {"name": "noisy", "share": 0.4, "every": "6h", "slows": 1.3}
    steady = {"workload__requests_per_s": 0.002, "workload__growth_per_day": 0}
    rows = []
    for weight in (0.0, 0.6):
        path = written(tmp_path, hidden=hidden, policies__0__hidden_weight=weight, **steady)
        run = run_scenario(path, days=50, seed=1)
        size = run.conditions.values["batch_size"]
        rows.append(np.corrcoef(run.conditions.hidden.ravel(), size.ravel())[0, 1])
        assert run.conditions.hidden.mean() == pytest.approx(0.4, abs=4 * 0.49 / np.sqrt(800))
    assert abs(rows[0]) < 0.14
    assert rows[1] > 0.2


def test_the_story_of_the_week() -> None:
    run = run_scenario("llm-canary", seed=12)
    values = run.conditions.values
    switches = (np.diff(values["batch_size"], axis=1) != 0).sum(axis=1)
    assert (switches >= 4).all()
    assert switches.sum() >= 15
    assert (values["model_version"][:, 0] == 0).all()
    assert (values["model_version"][:, -1] == 1).all()
    derate = 1.0 - values["sm_clock_mhz"][3, -60:].mean() / values["sm_clock_mhz"][3, : 5 * 1440].mean()
    assert 0.35 <= derate <= 0.45
