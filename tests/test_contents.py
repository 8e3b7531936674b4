"""Contents say what is there, what is amiss and what SLOs can judge; and nothing where nothing is amiss."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import causalrel as cr
from causalrel import shipped
from causalrel.contents import Contents, summarise
from causalrel.errors import CausalrelError
from causalrel.reports.outputs import render
from causalrel.telemetry.schema import TIME
from causalrel.telemetry.silences import bulk_of, find_silences

DAY = datetime(2026, 2, 11, tzinfo=UTC)
TRACES = Path(__file__).parents[2] / "shared/data/llm_traces"
SECOND = 1_000_000


def requests(seconds: Any, **columns: Any) -> pl.DataFrame:
    """Return requests at these seconds of a day."""
    times = [DAY + timedelta(seconds=float(second)) for second in seconds]
    return pl.DataFrame({"time": times, **columns}, schema_overrides={"time": TIME})


def contents(frame: pl.DataFrame, **more: Any) -> Contents:
    return summarise(cr.Telemetry(requests=frame.lazy(), **more))


def poisson(count: int, seed: int = 0) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).exponential(20, count))


def bursts(hours: int) -> np.ndarray:
    within = np.sort(np.random.default_rng(0).uniform(0, 5, (hours, 200)), axis=1)
    return (np.arange(hours)[:, None] * 3600 + within).ravel()


def slowest(times: list[int]) -> tuple[int, float | None, int]:
    """Return the longest silence, what was expected and the gaps, as the rule says, counted by hand."""
    steps = sorted(b - a for a, b in pairwise(times))
    if len(steps) < 10:
        return steps[-1], None, 0
    whole, quartiles = sum(steps[:-1]), []
    for share in (0.25, 0.5, 0.75):
        sums = np.cumsum(steps[:-1])
        quartiles.append(steps[int(np.searchsorted(sums, share * whole))])
    expected = 2.5 * quartiles[1] + 15 * (quartiles[2] - quartiles[0])
    return steps[-1], expected, sum(step > expected for step in steps)


@pytest.mark.parametrize("name", shipped.names("datasets"))
def test_no_false_alarm_on_what_ships(name: str) -> None:
    telemetry = cr.load_dataset(name)
    made = summarise(telemetry, {"llm-chat": cr.load_slos("llm-chat")})
    assert telemetry.samples is not None
    others = [said for said in made.findings if "series of samples" not in said]
    assert others == []
    assert made.slos["share"].to_list() == [1.0] * 8
    samples = telemetry.samples.collect()
    holes = 0
    for series in samples.partition_by("node", "service", "metric"):
        steps = series.sort("time")["time"].diff().drop_nulls()
        holes += int((steps > 2.5 * steps.median()).sum())
    assert made.tables.filter(table="samples")["gaps"].item() == holes


@pytest.mark.skipif(not TRACES.is_dir(), reason="the public traces are not beside this checkout")
@pytest.mark.parametrize("name", ["azure_2023_conv", "mooncake_conversation"])
def test_bursts_of_real_traces_are_no_gaps(name: str) -> None:
    assert summarise(cr.read(TRACES / f"{name}.parquet")).tables["gaps"].to_list() == [0]


@pytest.mark.parametrize("seconds", [poisson(30_000), poisson(200, 1), bursts(48), range(0, 86_400, 15)])
def test_usual_silences_are_no_gaps(seconds: Any) -> None:
    made = contents(requests(seconds))
    assert [said for said in made.findings if "gap" in said] == []
    assert made.tables["gaps"].item() == 0


@pytest.mark.parametrize(
    ("seconds", "start", "stop"),
    [(poisson(30_000), 100_000, 102_000), (bursts(48), 36_100, 71_900), (range(0, 86_400, 15), 40_000, 40_040)],
)
def test_a_planted_gap_is_found_with_its_times(seconds: Any, start: int, stop: int) -> None:
    kept = [second for second in seconds if not start < second < stop]
    made = contents(requests(kept))
    row = made.tables.to_dicts()[0]
    assert row["gaps"] == 1
    before = DAY + timedelta(seconds=float(max(s for s in kept if s <= start)))
    assert abs(row["silent_from"] - before) < timedelta(microseconds=2)
    assert row["longest_s"] == pytest.approx(min(s for s in kept if s >= stop) - max(s for s in kept if s <= start))
    assert made.findings[0].startswith("1 gap in requests: the longest lasts")


def test_silences_are_those_counted_by_hand() -> None:
    rng = np.random.default_rng(3)
    series = {
        "a": np.cumsum(rng.integers(1, 40, 400)) * SECOND,
        "b": np.cumsum(rng.choice([15, 15, 15, 600], 300)) * SECOND,
        "c": np.array([0, 5, 6]) * SECOND,
    }
    series["a"][200:] += 4000 * SECOND
    events = pl.concat([pl.DataFrame({"key": key, "time": times}) for key, times in series.items()])
    for key, longest, _, expected, gaps, again in find_silences(events).iter_rows():
        by_hand = slowest(series[key].tolist())
        assert (longest, gaps, again) == (by_hand[0], by_hand[2], 0)
        assert expected == (by_hand[1] if by_hand[1] is None else pytest.approx(by_hand[1], rel=0.05))


def test_each_series_has_its_own_rhythm() -> None:
    slow = [DAY + timedelta(minutes=15 * i) for i in range(96)]
    fast = [DAY + timedelta(seconds=15 * i) for i in range(5760) if not 100 <= i < 110]
    samples = pl.DataFrame(
        {
            "time": [*slow, *fast, fast[7]],
            "node": ["a"] * 96 + ["b"] * len(fast) + ["b"],
            "metric": "up",
            "value": [1.0] * (97 + len(fast)),
        },
        schema_overrides={"time": TIME},
    )
    made = contents(requests(poisson(500)), samples=samples.lazy())
    row = made.tables.filter(table="samples").to_dicts()[0]
    assert (row["series"], row["gaps"], row["longest_s"], row["repeated"]) == (2, 1, 165.0, 1)
    assert any(said.startswith("1 gap in 1 of 2 series of samples") for said in made.findings)
    assert "1 of the samples is told again: the time and the labels of another." in made.findings


def test_repeats_are_counted() -> None:
    times = poisson(300)
    frame = requests(times, request_id=[f"r{i}" for i in range(300)], ttft_s=times / 1e4)
    retried = frame.head(3).with_columns(ttft_s=pl.lit(9.0))
    made = contents(pl.concat([frame, frame.head(2), retried]))
    assert made.tables["repeated"].item() == 5
    assert made.findings == (
        "5 of the requests are told again: the request_id of another.",
        "2 of the requests are told again: every column as in another.",
    )
    nameless = frame.drop("request_id")
    assert contents(pl.concat([nameless, nameless.head(2)])).tables["repeated"].item() == 2
    unknown = frame.with_columns(request_id=pl.lit(None, pl.String))
    assert contents(unknown).findings == ()


@pytest.mark.parametrize("far", [datetime(1970, 1, 1, tzinfo=UTC), datetime(2106, 2, 7, tzinfo=UTC)])
def test_a_time_far_from_all_others_is_a_stray_and_no_gap(far: datetime) -> None:
    frame = pl.concat([requests(poisson(500)), pl.DataFrame({"time": [far]}, schema_overrides={"time": TIME})])
    made = contents(frame)
    row = made.tables.to_dicts()[0]
    assert (row["stray"], row["gaps"]) == (1, 0)
    assert (row["first"] > DAY, row["last"] < DAY + timedelta(days=1)) == (True, True)
    assert "from 2026-02-11 00:00 to 2026-02-11" in made.says
    assert made.findings[0].startswith("1 of the requests is far from the others (2026-02-11 00:00")
    assert made.findings[0].endswith(f"UTC): {far:%Y-%m-%d %H:%M:%S}.")


def test_a_part_behind_a_gap_is_no_stray() -> None:
    monday, friday = np.arange(0, 3600, 10), 4 * 86_400 + np.arange(0, 3600, 10)
    made = contents(requests([*monday, *friday]))
    assert made.tables.select("stray", "gaps").row(0) == (0, 1)
    assert bulk_of(pl.Series([0, 1, 10**15])) == (0, 1)
    assert bulk_of(pl.Series([5])) == (5, 5)


def test_impossible_values_and_doubtful_units_are_told() -> None:
    times = poisson(100)
    milli = requests(times, ttft_s=[800.0] * 100, e2e_s=[20.0] * 100, quality=[87.0] * 100, tpot_s=[-1.0] + [0.1] * 99)
    said = contents(milli).findings
    assert "1 of 100 values of tpot_s are negative or not finite." in said
    assert "100 of 100 values of ttft_s (s) are above 120: are they milliseconds?" in said
    assert "100 of 100 values of quality (a share) are above 1: are they percent?" in said
    assert "ttft_s is above e2e_s in 100 of 100 requests: are both in seconds?" in said
    samples = pl.DataFrame(
        {
            "time": [DAY] * 2,
            "metric": ['vllm:kv_cache_usage_perc{engine="0"}', "DCGM_FI_DEV_SM_CLOCK"],
            "value": [55.0, 1.4],
        },
        schema_overrides={"time": TIME},
    )
    said = contents(requests(times), samples=samples.lazy()).findings
    assert "1 of 1 values of vllm:kv_cache_usage_perc (a share) are above 1: are they percent?" in said
    assert "1 of 1 values of DCGM_FI_DEV_SM_CLOCK (MHz) are below 10: are they gigahertz?" in said


def test_slos_judge_as_many_requests_as_windows_count() -> None:
    rng = np.random.default_rng(0)
    values = rng.exponential(1, 1000)
    values[:3] = [-1, np.nan, np.inf]
    frame = requests(
        np.arange(1000),
        ttft_s=pl.Series(values).set(pl.Series(rng.random(1000) < 0.2), None),
        error=pl.Series([None, "oom"], dtype=pl.String).gather(rng.integers(0, 2, 1000)),
        tier=pl.Series(["free", "paid", None]).gather(rng.integers(0, 3, 1000)),
    )
    slos = [
        cr.SLO(name="ttft", dimension="latency", where="ttft_s <= 1", target=0.9),
        cr.SLO(name="paid", dimension="latency", where="ttft_s <= 1", target=0.9, tier="paid"),
        cr.SLO(name="some", dimension="latency", where="ttft_s <= 1", among="ttft_s > 0.5", target=0.9),
        cr.SLO(name="quality", dimension="quality", where="quality > 0.5 AND retries < 2", target=0.9),
        cr.SLO(name="text", dimension="quality", where="tier > 0.5", target=0.9),
    ]
    telemetry = cr.Telemetry(requests=frame.lazy())
    made = summarise(telemetry, {"mine": slos})
    windows = cr.window(telemetry, slos[:3], every="5m").frame()
    assert made.slos["judged"].head(3).to_list() == [windows[f"{slo.name}.total"].sum() for slo in slos[:3]]
    assert made.slos["lacks"].to_list()[:4] == ["", "", "", "quality, retries"]
    assert "SLO 'text' cannot be judged" in made.slos["lacks"][4]
    assert made.told[-1] == "3 of 5 SLOs of mine can be judged."
    assert {"quality", "retries", "request_id"} <= set(made.absent)


def test_every_format_tells_the_same() -> None:
    frame = requests([*range(0, 600, 10), *range(4000, 4600, 10)], ttft_s=[0.5] * 120)
    made = summarise(cr.Telemetry(requests=frame.lazy(), notes=("read <b>so</b>",)), {"mine": cr.load_slos("llm-chat")})
    for form in ("text", "md", "html", "json"):
        said = " ".join(render(made, form).split()).replace("\\", "")
        assert "1 gap in requests" in said
        assert "ttft_s" in said
    assert "<b>so" not in render(made, "html") + render(made, "md")
    facts = json.loads(render(made, "json"))
    assert facts["schema"] == "causalrel/contents/1"
    assert facts["tables"][0]["gaps"] == 1
    assert len(facts["slos"]) == 8
    assert made.frame().columns == ["table", "column", "type", "unit", "missing", "low", "high"]
    assert "1 gap in requests" in repr(made)
    assert "<b>so" not in made._repr_html_()


def test_nothing_at_all_is_refused_and_samples_alone_are_not() -> None:
    empty = pl.LazyFrame(schema={"time": TIME})
    with pytest.raises(CausalrelError, match="holds no rows"):
        summarise(cr.Telemetry(requests=empty))
    samples = pl.LazyFrame({"time": [DAY], "metric": ["up"], "value": [1.0]}, schema_overrides={"time": TIME})
    made = summarise(cr.Telemetry(requests=empty, samples=samples), {"llm-chat": cr.load_slos("llm-chat")})
    assert made.tables["table"].to_list() == ["samples"]
    assert made.told[-1] == "0 of 8 SLOs of llm-chat can be judged."
    text = contents(requests([0.0], ttft_s=["slow"], quality=[None]))
    assert text.table.filter(column="ttft_s")["type"].to_list() == ["text"]
    untimed = requests([0.0]).select(time=pl.lit(None, TIME))
    assert contents(untimed).findings == ("1 of the requests is without a time.",)
