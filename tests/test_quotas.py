"""Quotas: the replay of a bucket equals the bound of network calculus, and refusals are told from shaping."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import bare, client, fixed, written

import causalrel as cr
from causalrel.quotas import Quota, label_requests, replay_buckets, sum_minutes
from causalrel.simulation import runs
from causalrel.simulation.exports import export_requests
from causalrel.telemetry.schema import TIME

START = datetime(2026, 2, 11, 9, tzinfo=UTC)
MINUTE = 60_000_000


def requests(rows: list[tuple[float, str | None]], tenant: str = "a", **more: Any) -> pl.DataFrame:
    """Return requests from (second, error)."""
    times = [START + timedelta(seconds=second) for second, _ in rows]
    columns = {"time": times, "tenant": tenant, "error": [error for _, error in rows]}
    return pl.DataFrame(columns, schema_overrides={"time": TIME, "error": pl.String}).with_columns(**more)


def labels(table: pl.DataFrame, quotas: dict[str, Quota], **more: Any) -> list[tuple[str, str | None]]:
    return label_requests(table, quotas, **more).select("label", "by").rows()


GAPS = st.lists(st.tuples(st.integers(0, 20_000_000), st.integers(1, 9)), min_size=1, max_size=40)


@settings(max_examples=150, deadline=None)
@given(GAPS, st.integers(1, 600), st.integers(1, 12))
def test_a_bucket_is_the_bound_on_every_stretch(gaps: list[tuple[int, int]], cap: int, burst: int) -> None:
    """A request passes if no stretch that ends with it takes more than the burst and what flowed in meanwhile."""
    moments = np.cumsum([gap for gap, _ in gaps]).tolist()
    costs = [cost for _, cost in gaps]
    lefts, short = replay_buckets(moments, [costs], [2] * len(gaps), [(cap, burst)])
    passed: list[int] = []
    for i, moment in enumerate(moments):
        room = [Fraction(burst)] + [
            burst + Fraction(cap * (moment - moments[j]), MINUTE) - sum(costs[k] for k in passed if j <= k)
            for j in range(i)
        ]
        assert lefts[0][i] == float(min(room))
        assert short[i] == (min(room) < costs[i])
        if not short[i]:
            passed.append(i)


@settings(max_examples=80, deadline=None)
@given(GAPS, st.integers(1, 30), st.lists(st.sampled_from([0, 1, 2]), min_size=40, max_size=40))
def test_a_window_counts_anew_each_minute(gaps: list[tuple[int, int]], cap: int, outcomes: list[int]) -> None:
    moments = np.cumsum([gap for gap, _ in gaps]).tolist()
    costs = [cost for _, cost in gaps]
    lefts, short = replay_buckets(moments, [costs], outcomes[: len(gaps)], [(cap, 1)], "window")
    used: dict[int, int] = defaultdict(int)
    for moment, cost, outcome, left, lacks in zip(moments, costs, outcomes, lefts[0], short, strict=False):
        minute = moment // MINUTE
        assert left == cap - used[minute]
        assert lacks == (used[minute] + cost > cap)
        if outcome == 0 or (outcome == 2 and not lacks):
            used[minute] = min(cap, used[minute] + cost)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**8), st.integers(1, 50)), min_size=1, max_size=60), st.integers(1, 30))
def test_a_gateway_of_two_caps_is_replayed(rows: list[tuple[int, int]], cap: int) -> None:
    """What a gateway with both caps refused is found again, from answers alone."""
    quota = Quota(requests_per_minute=cap, burst_requests=3, tokens_per_minute=100 * cap, burst_tokens=60)
    level, before, answers = [Fraction(3), Fraction(60)], 0, []
    for moment, tokens in sorted(rows):
        flow = Fraction(cap * (moment - before), MINUTE)
        level = [min(Fraction(3), level[0] + flow), min(Fraction(60), level[1] + 100 * flow)]
        passes, before = level[0] >= 1 and level[1] >= tokens, moment
        level = [level[0] - passes, level[1] - tokens * passes]
        answers.append((moment / 1e6, None if passes else "HTTP 429"))
    table = requests(answers, prompt_tokens=pl.Series([tokens for _, tokens in sorted(rows)]))
    expected = [("quota", "bucket") if error else ("none", None) for _, error in answers]
    assert labels(table, {"a": quota}) == expected


def test_what_is_said_is_believed_and_a_bare_refusal_is_replayed() -> None:
    one = {"a": Quota(requests_per_minute=1, burst_requests=1)}
    rows = requests([(0, "quota"), (1, None), (2, "429"), (3, "overloaded"), (4, "oom"), (70, "rate_limit_error")])
    assert labels(rows, one) == [
        ("quota", "class"),
        ("none", None),
        ("quota", "bucket"),
        ("shaped", "class"),
        ("none", None),
        ("shaped", "bucket"),
    ]
    assert labels(rows, {})[2] == ("shaped", "bucket")
    left = label_requests(rows, one)["requests_left"].to_list()
    assert left == pytest.approx([1, 1, 1 / 60, 2 / 60, 1 / 60, 1])


@pytest.mark.parametrize(
    ("error", "label"),
    [
        ("HTTP 429", "quota"),
        ("too_many_requests", "quota"),
        ("RateLimitError", "quota"),
        ("RESOURCE_EXHAUSTED", "quota"),
        ("insufficient_quota", "quota"),
        ("deadline_exceeded", "shaped"),
        ("queue full", "shaped"),
        ("429: overloaded", "shaped"),
        ("http_4291", "none"),
        ("unavailable", "none"),
    ],
)
def test_the_names_that_servers_write(error: str, label: str) -> None:
    rows = requests([(0, None), (0, error)])
    assert labels(rows, {"a": Quota(requests_per_minute=1)})[1][0] == label


def test_a_long_queue_is_shaping_and_an_unseen_attempt_is_told() -> None:
    rows = requests(
        [(0, None), (1, None), (2, "429")], queue_s=pl.Series([0.2, 3.0, 30.0]), retries=pl.Series([0, 0, 1])
    )
    quotas = {"a": Quota(requests_per_minute=2, burst_requests=2)}
    assert labels(rows, quotas) == [("none", None), ("shaped", "queue"), ("shaped", "bucket, attempts unseen")]
    assert labels(rows, quotas, slow="5s")[1] == ("none", None)
    assert labels(rows.with_columns(retries=0), quotas)[2] == ("quota", "bucket")


def test_tenants_and_minutes_add_up() -> None:
    quotas = {"a": Quota(requests_per_minute=6, burst_requests=2), "b": Quota(tokens_per_minute=100)}
    many = requests([(s, "429" if s > 1 else None) for s in range(8)], prompt_tokens=10, output_tokens=1)
    few = requests([(60, None), (61, None), (62, "429"), (63, "overloaded")], prompt_tokens=10)
    big = requests([(0, None), (1, "429"), (2, None)], "b", prompt_tokens=pl.Series([60, 60, 5]), output_tokens=20)
    rows = pl.concat([few, big, many], how="diagonal_relaxed")
    made = label_requests(rows.lazy(), quotas)
    assert made["time"].is_sorted()
    minutes = sum_minutes(made, quotas)
    assert minutes.drop("time", "queue_s", "least_left").rows() == [
        ("a", 8, 80, 8, 6, 0, 6, False),
        ("a", 4, 40, 0, 1, 1, 2, True),
        ("b", 3, 125, 60, 1, 0, 1, False),
    ]
    assert minutes["requests"].sum() == rows.height


def test_no_requests_and_faults_of_a_question() -> None:
    assert label_requests(requests([]), {}).height == 0
    with pytest.raises(cr.CausalrelError, match="a replay of quotas needs column 'tenant', which the data lack"):
        label_requests(requests([(0, None)]).drop("tenant"), {})
    with pytest.raises(cr.CausalrelError, match="a replay of quotas needs column 'prompt_tokens'"):
        label_requests(requests([(0, None)]), {"a": Quota(tokens_per_minute=5)})
    for wrong in (
        {},
        {"burst_requests": 3},
        {"requests_per_minute": 0},
        {"requests_per_minute": 5, "burst_requests": -1},
    ):
        with pytest.raises(
            cr.CausalrelError, match="a quota caps neither requests nor tokens, or a number of it is not"
        ):
            Quota(**wrong)


CAP, BURST = 60, 10


@pytest.fixture
def bursts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return runs in which every fifth minute sends all that it sends in its first eight seconds."""
    draw = runs.draw_workload

    def bunched(*arguments: Any) -> Any:
        work = draw(*arguments)
        within = work.time_s % 60
        planted = work.time_s // 60 % 5 == 4
        return replace(work, time_s=np.where(planted, work.time_s - within + within * 8 / 60, work.time_s))

    def run(seed: int) -> pl.DataFrame:
        who = [
            client(
                name="acme",
                share=0.3,
                timeout="60s",
                output_tokens=fixed(20),
                quota={"requests_per_minute": CAP, "burst": BURST},
            ),
            client(name="other", share=0.7, timeout="60s", output_tokens=fixed(20)),
        ]
        document = bare(1.6, 1, tenants=who, costs={"base_s": 0.0125})
        return export_requests(
            runs.run_scenario(written(tmp_path, document, config__admission_limit=25), days=0.3, seed=seed)
        )

    monkeypatch.setattr(runs, "draw_workload", bunched)
    return run


@pytest.mark.parametrize("seed", [1, 2])
def test_a_planted_burst_is_told_from_overload(bursts: Any, seed: int) -> None:
    """Refusals of either kind bear the same class; the simulation knows which was which."""
    table = bursts(seed)
    hidden = table.with_columns(
        error=pl.when(pl.col("error").is_in(["quota", "overloaded"])).then(pl.lit("http_429")).otherwise("error")
    )
    quotas = {"acme": Quota(requests_per_minute=CAP, burst_requests=BURST)}
    made = label_requests(hidden, quotas)
    truth = made.with_columns(truth=table["error"], planted=pl.col("time").dt.minute() % 5 == 4)
    acme = truth.filter(tenant="acme")
    burst = acme.filter(planted=True, truth="quota")
    overload = acme.filter(truth="overloaded")
    assert burst.height > 200
    assert overload.height > 50
    assert (burst["label"] == "quota").mean() >= 0.95
    assert (overload["label"] == "shaped").mean() >= 0.95
    assert (truth.filter(tenant="other", truth="overloaded")["label"] == "shaped").all()
    refused = sum_minutes(made, quotas).filter(pl.col("quota") > 0)
    assert refused["within"].mean() > 0.95
