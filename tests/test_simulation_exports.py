"""What a simulated service logs: requests and their bills, answers and their judge, changes, and scraped series."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from simulated import bare, client, fixed, nodes, shipped, written

from causalrel.simulation import simulate
from causalrel.simulation.bills import bill, used_power
from causalrel.simulation.exports import export_changes, export_requests
from causalrel.simulation.runs import Run, run_scenario
from causalrel.simulation.scrapes import _RESTARTS, export_samples

COUNTERS = (
    "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL",
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",
    "vllm:generation_tokens_total",
    "vllm:num_preemptions_total",
    "vllm:prefix_cache_hits_total",
    "vllm:prefix_cache_queries_total",
    "vllm:prompt_tokens_total",
    'vllm:request_success_total{finished_reason="stop"}',
)
FIRST = "vllm:time_to_first_token_seconds"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Half a day of the shipped fleet with a quarter of its load, more failures and gaps, and histograms."""
    failures = shipped("chat-fleet")["fleet"]["failures"] | {"crashes_per_day": "6", "ecc_per_day": "200"}
    path = written(
        tmp_path_factory.mktemp("fleet"),
        "chat-fleet",
        workload__requests_per_s=4,
        fleet__failures=failures,
        autoscaler={"least": 6, "most": 12, "requests_per_s": 0.45},
        workload__tenants__2__quota={"requests_per_minute": 12, "burst": 5},
        scrapes={"gaps_per_day": 6, "gap": "8m", "histograms": "true"},
    )
    return run_scenario(path, days=0.5, seed=2)


@pytest.fixture(scope="module")
def samples(fleet: Run) -> pl.DataFrame:
    return export_samples(fleet)


@pytest.fixture(scope="module")
def frame(fleet: Run) -> pl.DataFrame:
    return export_requests(fleet)


def hours_wanted(run: Run) -> float:
    """Return dollars: price x GPU-hours of the replicas wanted."""
    values, pools = run.conditions.values, run.scenario.fleet.pools
    price = np.array([pool.usd_per_gpu_hour for pool in pools for _ in pool.nodes])[:, None]
    wanted = np.arange(price.size)[:, None] < values["replicas"]
    return float((price * values["gpu_count"] * wanted).sum() / 60.0)


def test_requests_pay_for_the_fleet(fleet: Run, tmp_path: Path) -> None:
    """The sum of the bills is price x wanted GPU-hours.

    To 0.5 % on one steady pool, where iterations reach over the minute; to 2 % where replicas go and still finish their
    work, and where a retry's seconds on its first node are billed at the price of its last.
    """
    steady = bare(2.0, 8, tenants=[client(prompt_tokens=fixed(200), output_tokens=fixed(100))])
    alone = run_scenario(written(tmp_path, steady, fleet__pools=nodes(2)), days=0.5, seed=1)
    assert hours_wanted(alone) == pytest.approx(2 * 2.5 * 12)
    assert bill(alone)[0].sum() == pytest.approx(hours_wanted(alone), rel=0.005)
    assert bill(fleet)[0].sum() == pytest.approx(hours_wanted(fleet), rel=0.02)
    assert (bill(fleet)[0] > 0).all()


def test_requests_draw_the_power_of_the_nodes(fleet: Run, tmp_path: Path) -> None:
    """The sum of the joules is node power x time, to 3 %: a retry's lost work counts at the power of its last node."""
    steady = bare(2.0, 8, tenants=[client(prompt_tokens=fixed(200), output_tokens=fixed(100))])
    alone = run_scenario(written(tmp_path, steady, fleet__pools=nodes(2)), days=0.5, seed=1)
    for run in (alone, fleet):
        wanted = np.arange(run.conditions.speed.size)[:, None] < run.conditions.values["replicas"]
        drawn = float((used_power(run) * 60.0 * wanted).sum())
        assert bill(run)[1].sum() == pytest.approx(drawn, rel=0.03)


def test_idle_and_busy_nodes_draw_what_their_sheets_say(tmp_path: Path) -> None:
    """An idle H100 draws 15 % of 700 W; a busy one more, and never more than reading prompts does."""
    path = written(tmp_path, bare(1.0, 8, tenants=[client(output_tokens=fixed(100))]), fleet__pools=nodes(2))
    run = run_scenario(path, days=0.1, seed=1, do={"replicas": 1})
    watts = used_power(run)
    assert watts[1] == pytest.approx(0.15 * 700.0)
    assert (watts[0] > 0.15 * 700.0).all()
    assert (watts <= 1.018 * 700.0).all()
    down = run_scenario(path, days=0.1, seed=1, do={"node_up": "off"})
    assert (used_power(down) == 0).all()


def test_failed_requests_have_no_latency(frame: pl.DataFrame) -> None:
    failed = frame.filter(pl.col("error").is_not_null())
    assert set(failed["error"]) <= {"timeout", "oom", "quota", "overloaded", "unavailable"}
    assert failed.height > 10
    for name in ("ttft_s", "stall_s", "e2e_s", "output_tokens", "quality", "judge_quality"):
        assert failed[name].null_count() == failed.height
    for name in ("ttft_s", "stall_s", "e2e_s", "output_tokens", "quality"):
        assert frame.filter(pl.col("error").is_null())[name].null_count() == 0
    assert frame["queue_s"].null_count() == 0
    assert frame.filter(pl.col("error").is_null())["node"].null_count() == 0


def test_one_token_has_no_pace(answers: str) -> None:
    frame = simulate(answers, days=0.01).frame()
    assert (frame["output_tokens"] == 1).all()
    assert frame["tpot_s"].null_count() == frame.height
    assert (frame["ttft_s"] == frame["e2e_s"]).all()


def test_times_of_a_request_fit_together(frame: pl.DataFrame) -> None:
    good = frame.filter(pl.col("error").is_null())
    assert (good["queue_s"] < good["ttft_s"]).all()
    assert (good["ttft_s"] <= good["e2e_s"]).all()
    several = good.filter(pl.col("output_tokens") > 1)
    rebuilt = several["ttft_s"] + several["tpot_s"] * (several["output_tokens"] - 1)
    assert (rebuilt - several["e2e_s"]).abs().max() < 1e-6
    assert (several["stall_s"] >= several["tpot_s"] - 1e-9).all()
    assert (good["cached_tokens"] < good["prompt_tokens"]).all()
    assert frame["time"].is_sorted()
    assert frame["request_id"].n_unique() == frame.height


def test_configuration_is_that_of_node_and_arrival(fleet: Run, frame: pl.DataFrame) -> None:
    """Changes of a setting, replayed, give the setting that each request logged."""
    changes = export_changes(fleet)
    assert set(changes["variable"]) == {"model_version", "max_batched_tokens", "replicas"}
    assert changes["time"].is_sorted()
    for variable in ("model_version", "max_batched_tokens"):
        switches = changes.filter(pl.col("variable") == variable).select("time", "node", pl.col("after").alias("last"))
        logged = frame.filter(pl.col("node").is_not_null()).join_asof(
            switches, on="time", by="node", check_sortedness=False
        )
        known = logged.filter(pl.col("last").is_not_null())
        assert known.height > 0
        assert (known[variable].cast(pl.String) == known["last"]).all()


def test_an_unlogged_rollout_leaves_no_trace(tmp_path: Path) -> None:
    for logged in ("true", "false"):
        run = simulate(written(tmp_path, rollouts__0__logged=logged), days=3, seed=1)
        assert ("model_version" in run.frame().columns) == (logged == "true")
        assert ("model_version" in set(run.changes.collect()["variable"])) == (logged == "true")


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Short and long prompts on idle nodes, all judged."""
    who = [client(prompt_tokens=fixed(1000)), client(name="b", prompt_tokens=fixed(16_384))]
    quality = {"spread": 0.5, "long_context": 0.2, "middle": 0.6, "int4": 0.3, "judge_spread": 0.6}
    versions = {"v1": {"quality": 1.2}, "v2": {"quality": 1.6, "judge": 0.2}}
    document = bare(0.5, 64, tenants=who, model="llama-3-8b") | {"quality": quality, "versions": versions}
    return written(tmp_path_factory.mktemp("answers"), document)


def logit(values: pl.Series) -> np.ndarray:
    share = values.to_numpy()
    return np.log(share / (1.0 - share))


def test_quality_is_the_logit_of_the_scenario(answers: str) -> None:
    """Means of logits with a spread of 0.5 over more than 1,000 answers: four standard errors are 0.06."""
    for version, level in (("v1", 1.2), ("v2", 1.6)):
        frame = simulate(answers, days=0.5, do={"model_version": version}).frame()
        short, long = (frame.filter(pl.col("tenant") == name) for name in ("a", "b"))
        assert logit(short["quality"]).mean() == pytest.approx(level, abs=0.06)
        assert logit(short["quality"]).std() == pytest.approx(0.5, rel=0.05)
        assert logit(long["quality"]).mean() == pytest.approx(level - 0.2 * 2 - 0.6 * 4 / 6, abs=0.06)
    int4 = simulate(answers, days=0.5, do={"quantisation": "int4"}).frame().filter(pl.col("tenant") == "a")
    assert logit(int4["quality"]).mean() == pytest.approx(1.2 - 0.3, abs=0.06)


def test_answers_in_the_middle_of_long_prompts_are_worst(answers: str) -> None:
    """A parabola of depth 0.6 in logits over 16,384 tokens, its middle fifth against its outer fifth; none if short."""
    frame = simulate(answers, days=0.5).frame()
    for tenant, falls in (("a", 0.0), ("b", 0.6)):
        mine = frame.filter(pl.col("tenant") == tenant)
        score, place = logit(mine["quality"]), mine["fact_position"].to_numpy()
        ends = score[np.abs(place - 0.5) > 0.4].mean()
        middle = score[np.abs(place - 0.5) < 0.1].mean()
        parabola = falls * 4 * ((0.25 - 0.01 / 3) - (0.25 - (0.5**3 - 0.4**3) / 0.3))
        assert ends - middle == pytest.approx(parabola, abs=0.07)  # 2,100 answers in each: four standard errors


def test_a_judge_sees_noise_and_a_bias_of_the_version(answers: str, tmp_path: Path) -> None:
    for version, bias in (("v1", 0.0), ("v2", 0.2)):
        frame = simulate(answers, days=0.5, do={"model_version": version}).frame()
        error = logit(frame["judge_quality"]) - logit(frame["quality"])
        assert error.mean() == pytest.approx(bias, abs=4 * 0.6 / np.sqrt(error.size))
        assert error.std() == pytest.approx(0.6, rel=0.05)


def test_some_answers_are_not_judged(frame: pl.DataFrame) -> None:
    good = frame.filter(pl.col("error").is_null())
    judged = good["judge_quality"].is_not_null().mean()
    assert judged == pytest.approx(0.2, abs=4 * 0.4 / np.sqrt(good.height))
    assert good["quality"].is_between(0, 1).all()
    assert good["judge_quality"].drop_nulls().is_between(0, 1).all()


def test_what_nobody_measures_slows_and_hardens(tmp_path: Path) -> None:
    hidden = {"name": "noisy", "share": 0.5, "every": "3h", "slows": 1.4, "hardens": 0.8}
    run = run_scenario(written(tmp_path, hidden=hidden), days=2, seed=1)
    frame = export_requests(run)
    assert "noisy" not in frame.columns
    there = run.conditions.hidden[run.served.node, (run.work.time_s // 60).astype(int)] > 0
    rows = [frame.filter(pl.Series(which)) for which in (there, ~there)]
    assert rows[0]["tpot_s"].mean() > 1.25 * rows[1]["tpot_s"].mean()
    gap = logit(rows[1]["quality"].drop_nulls()).mean() - logit(rows[0]["quality"].drop_nulls()).mean()
    assert gap == pytest.approx(0.8, abs=0.06)  # 4,000 answers of spread 0.5 in each: four standard errors


def begins(run: Run) -> np.ndarray:
    """Say at which steps an engine starts anew."""
    values = run.conditions.values
    started = np.diff(values["node_up"], axis=1, prepend=1.0) > 0
    for name in _RESTARTS:
        started[:, 1:] |= np.diff(values[name], axis=1) != 0
    return started


def test_counters_fall_only_where_an_engine_starts_anew(fleet: Run, samples: pl.DataFrame) -> None:
    start = fleet.scenario.start
    changed = begins(fleet)
    assert changed.any(axis=1).sum() > 6
    fell = 0
    for metric in (*COUNTERS, f"{FIRST}_count", f"{FIRST}_sum", f'{FIRST}_bucket{{le="1"}}'):
        for place, node in enumerate(fleet.scenario.fleet.nodes):
            mine = samples.filter((pl.col("metric") == metric) & (pl.col("node") == node))
            step = ((mine["time"] - start).dt.total_seconds() // 60).to_numpy()
            value = mine["value"].to_numpy()
            assert (value >= 0).all()
            for i in np.flatnonzero(np.diff(value) < -1e-9):
                fell += 1
                assert changed[place, step[i] + 1 : step[i + 1] + 1].any(), (metric, node, step[i])
    assert fell > 20


def test_counters_of_a_quiet_engine_count_everything(tmp_path: Path) -> None:
    """Nothing restarts and no scrape is lost: the last value is the total of what was done until then."""
    lengths = {"prompt_tokens": fixed(200), "output_tokens": fixed(100)}
    run = run_scenario(written(tmp_path, bare(0.5, 8, tenants=[client(**lengths)])), days=0.25, seed=1)
    last = export_samples(run).group_by("metric").agg(pl.col("value").last())
    value = dict(last.iter_rows())
    done = run.served.end_s < 359 * 60.0
    assert value['vllm:request_success_total{finished_reason="stop"}'] == done.sum()
    assert value["vllm:prompt_tokens_total"] == pytest.approx(200 * done.sum(), abs=200 * 8)
    assert value["vllm:prefix_cache_queries_total"] == value["vllm:prompt_tokens_total"]
    joules = used_power(run)[0, :359].sum() * 60.0
    assert value["DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"] == pytest.approx(joules * 1e3, rel=1e-6)


def test_histograms_are_cumulative(samples: pl.DataFrame) -> None:
    table = samples.filter(pl.col("metric").str.starts_with(FIRST)).pivot(
        "metric", index=["time", "node"], values="value"
    )
    named = [name for name in table.columns if name.startswith(f"{FIRST}_bucket")]
    edges = sorted(named, key=lambda name: float(name.split('"')[1]))
    assert len(edges) == 23
    assert edges[-1].endswith('{le="+Inf"}')
    buckets = table.select(edges).to_numpy()
    assert (np.diff(buckets, axis=1) >= 0).all()
    assert (buckets[:, -1] == table[f"{FIRST}_count"].to_numpy()).all()
    assert (table.filter(pl.col(f"{FIRST}_count") > 0)[f"{FIRST}_sum"] > 0).all()
    assert (np.diff(buckets, axis=1).sum(axis=0) > 0).sum() > 5


def test_a_node_that_is_down_says_only_that(fleet: Run, samples: pl.DataFrame) -> None:
    down = samples.filter((pl.col("metric") == "up") & (pl.col("value") == 0)).select("time", "node")
    assert down.height > 20
    assert samples.join(down, on=["time", "node"])["metric"].unique().to_list() == ["up"]
    up = samples.filter((pl.col("metric") == "up") & (pl.col("value") == 1)).select("time", "node")
    assert samples.join(up, on=["time", "node"]).group_by("time", "node").len()["len"].n_unique() == 1
    read = samples.filter(pl.col("metric") == "up").height / (12 * 720)
    assert 0.9 < read < 0.995  # six gaps a day of eight minutes are 3 %


def test_samples_lie_in_order_and_say_what_was(fleet: Run, samples: pl.DataFrame) -> None:
    key = samples.select(pl.struct("time", "node", "metric").alias("key"))["key"]
    assert key.n_unique() == samples.height
    assert samples.equals(samples.sort("time", "node", "metric"))
    running = samples.filter((pl.col("metric") == "vllm:num_requests_running") & (pl.col("node") == "h100-0"))
    step = ((running["time"] - fleet.scenario.start).dt.total_seconds() // 60).to_numpy()
    assert (running["value"].to_numpy() == fleet.served.running[0, step]).all()
    assert running["value"].max() > 0


def test_scrapes_come_as_often_as_asked(tmp_path: Path) -> None:
    for every, count in (("60s", 720), ("5m", 144)):
        scrapes = {"gaps_per_day": 0, "every": every}
        whole = simulate(written(tmp_path, scrapes=scrapes), days=0.5).samples.collect()
        assert whole.filter(pl.col("metric") == "up").height == count * 4
        assert whole.height == count * 4 * whole["metric"].n_unique()
    assert simulate("llm-canary", days=0.5).samples.collect().filter(pl.col("metric") == "up").height < 720 * 4
