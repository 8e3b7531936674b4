"""Budgets from cumulative histograms alone: the truth of the requests lies inside the bounds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import causalrel as cr
from causalrel.cli import main

TTFT = "vllm:time_to_first_token_seconds"
E2E = "vllm:e2e_request_latency_seconds"
HOUR = 3_600_000_000
START = 1_770_768_000_000_000
EDGES = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


def slo(name: str, where: str, **more: object) -> cr.SLO:
    return cr.SLO(name=name, dimension="latency", where=where, target=0.9, **more)


def scraped(
    times: np.ndarray,
    values: np.ndarray,
    scrapes: np.ndarray,
    *,
    name: str = TTFT,
    edges: tuple[float, ...] = EDGES,
    since: int = 0,
    labels: str = "",
) -> pl.DataFrame:
    """Return what a server that began at ``since`` tells of requests when it is scraped."""
    rows = []
    for at in scrapes:
        seen = values[(times > since) & (times <= at)]
        for edge in (*edges, np.inf):
            text = "+Inf" if np.isinf(edge) else f"{edge:g}"
            metric = f'{name}_bucket{{{labels}le="{text}"}}'
            rows.append((int(at), "chat", "n1", metric, float((seen <= edge).sum())))
    schema = {"time": pl.Int64, "service": pl.String, "node": pl.String, "metric": pl.String, "value": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col("time").cast(pl.Datetime("us", "UTC")))


def telemetry(*frames: pl.DataFrame) -> cr.Telemetry:
    empty = pl.LazyFrame(schema={"time": pl.Datetime("us", "UTC")})
    return cr.Telemetry(requests=empty, samples=pl.concat(frames).lazy(), source="a scrape")


def requests(rng: np.random.Generator, count: int, hours: int) -> tuple[np.ndarray, np.ndarray]:
    times = START + np.sort(rng.integers(1, hours * HOUR, count))
    return times, np.round(rng.lognormal(-0.7, 1.0, count), 3)


def truth(times: np.ndarray, values: np.ndarray, limit: float) -> pl.DataFrame:
    frame = pl.DataFrame({"time": (times - 1) // HOUR * HOUR, "bad": values > limit})
    return (
        frame.with_columns(pl.col("time").cast(pl.Datetime("us", "UTC")))
        .group_by("time")
        .agg(n=pl.len().cast(pl.Int64), b=pl.col("bad").sum().cast(pl.Int64))
    )


@pytest.mark.parametrize("seed", range(6))
def test_truth_is_inside_the_bounds_whatever_happens_to_the_server(seed: int) -> None:
    """A restart in the second hour; new edges with a deploy in the third; scrapes at uneven times and on the hour."""
    rng = np.random.default_rng(seed)
    times, values = requests(rng, 3000, 4)
    restart, deploy = START + int(1.4 * HOUR), START + int(2.6 * HOUR)
    scrapes = np.sort(np.append(START + rng.integers(1, 4 * HOUR, 60), START + HOUR * np.arange(5)))
    edges = tuple(np.unique(np.round(rng.lognormal(-0.7, 0.8, 5), 2)))
    parts = [
        scraped(times, values, scrapes[scrapes <= restart]),
        scraped(times, values, scrapes[(scrapes > restart) & (scrapes <= deploy)], since=restart),
        scraped(times, values, scrapes[scrapes > deploy], since=deploy, edges=edges),
    ]
    lost = [
        (times > begun) & (times <= end)
        for begun, end in ((scrapes[scrapes <= restart].max(), restart), (scrapes[scrapes <= deploy].max(), deploy))
    ]
    kept = ~(lost[0] | lost[1])
    made = cr.window(telemetry(*parts), [slo("fast", "ttft_s <= 0.7"), slo("edge", "ttft_s <= 0.5")], every="1h")
    known = truth(times[kept], values[kept], 0.7).sort("time")
    joined = made.table.sort("time").join(known, on="time", how="left", maintain_order="left")
    assert joined["fast.total"].equals(joined["n"], check_names=False)
    assert (joined["fast.bad_low"] <= joined["b"]).all()
    assert (joined["b"] <= joined["fast.bad"]).all()
    assert (joined["fast.bad_low"] < joined["fast.bad"]).any()


def test_a_threshold_on_an_edge_counts_exactly_and_adds_no_column() -> None:
    times, values = requests(np.random.default_rng(1), 2000, 3)
    scrapes = START + np.arange(0, 3 * HOUR + 1, HOUR // 60)
    made = cr.window(
        telemetry(scraped(times, values, scrapes)), [slo("ttft", "ttft_s <= 0.5 AND error IS NULL")], every="1h"
    )
    known = truth(times, values, 0.5).sort("time")
    assert made.table["ttft.bad"].to_list() == known["b"].to_list()
    assert made.table["ttft.total"].to_list() == known["n"].to_list()
    assert made.table["load"].to_list() == pytest.approx([n / 3600 for n in known["n"]])
    assert "ttft.bad_low" not in made.table.columns
    assert made.notes == ("SLO 'ttft' counts served events alone: failed requests are in no histogram",)
    assert cr.budget(made).verdict == "answered"


def test_bounds_add_up_over_series_with_other_buckets_and_units() -> None:
    rng = np.random.default_rng(2)
    scrapes = START + np.arange(0, 2 * HOUR + 1, HOUR // 4)
    (t1, v1), (t2, v2) = requests(rng, 500, 2), requests(rng, 700, 2)
    other = scraped(t2, v2, scrapes, edges=(0.6, 2.0), labels='engine="1",').with_columns(node=pl.lit("n2"))
    both = telemetry(scraped(t1, v1, scrapes), other)
    asked = [slo("ttft", "ttft_s <= 0.8")]
    whole, each = (cr.window(both, asked, every="1h", by=by).table for by in ("service", "node"))
    assert each["unit"].unique().sort().to_list() == ["n1", "n2"]
    for name in ("total", "bad", "bad_low"):
        assert (
            whole[f"ttft.{name}"].to_list()
            == each.group_by("time", maintain_order=True)
            .agg(pl.col(f"ttft.{name}").sum())
            .sort("time")[f"ttft.{name}"]
            .to_list()
        )
    bad = int((v1 > 0.8).sum() + (v2 > 0.8).sum())
    assert whole["ttft.bad_low"].sum() <= bad <= whole["ttft.bad"].sum()


def test_a_budget_of_bounds_says_so_and_covers_both_ends() -> None:
    times, values = requests(np.random.default_rng(3), 4000, 6)
    scrapes = START + np.arange(0, 6 * HOUR + 1, HOUR // 12)
    made = cr.budget(cr.window(telemetry(scraped(times, values, scrapes)), [slo("ttft", "ttft_s <= 0.7")], every="1h"))
    row = made.table.row(0, named=True)
    assert made.verdict == "bounded"
    assert row["bad_low"] < int((values > 0.7).sum()) < row["bad"]
    shares = [row[name] / row["total"] / 0.1 for name in ("bad_low", "bad")]
    assert row["burn_low"] < shares[0] < shares[1] < row["burn_high"]
    (said,) = [check.says for check in made.checks if check.name == "bounds ttft"]
    assert said.startswith("buckets tell that between")


def test_effects_and_attributions_of_bounded_events_say_so() -> None:
    windows = cr.window(cr.load_dataset("batch-under-load"), cr.load_slos("llm-chat"), every="30m", by="node")
    graph = cr.load_graph("llm-serving").project(windows.names)
    low = pl.col("ttft.bad") // 2
    loose = replace(windows, table=windows.table.with_columns(low.alias("ttft.bad_low")))
    asked = {"of": "batch_size", "levels": (10, 20), "on": "ttft"}
    plain, bounded = (cr.effect(data, graph, **asked) for data in (windows, loose))
    assert (plain.verdict, bounded.verdict) == ("answered", "bounded")
    assert np.array_equal(plain.draws, bounded.draws)
    network = cr.fit(loose, graph.leading_to("ttft", windows.varying))
    assert "ttft: bounds" in [check.name for check in network.checks if not check.passed]


def test_an_interval_of_bounds_covers_a_truth_at_either_end() -> None:
    """400 repeats: the sd of a coverage of 90 % is 1.5 %, so 86 % is more than 2.5 of them low."""
    rng = np.random.default_rng(4)
    start = pl.datetime_range(pl.datetime(2026, 2, 1), pl.datetime(2026, 2, 2), "1h", closed="left", eager=True)
    inside = np.zeros(2)
    for _ in range(400):
        low, more = rng.binomial(200, 0.05, 24), rng.binomial(200, 0.06, 24)
        frame = pl.DataFrame({"t": start, "n": [200] * 24, "b": low + more})
        events = {"ttft": ("n", "b")}
        counted = cr.Windows.from_frame(frame, time="t", roles={}, events=events, every="1h", targets={"ttft": 0.9})
        windows = replace(counted, table=counted.table.with_columns(pl.Series("ttft.bad_low", low)))
        row = cr.budget(windows).table.row(0, named=True)
        inside += [row["burn_low"] <= true <= row["burn_high"] for true in (0.5, 1.1)]
    assert (inside / 400 >= 0.86).all()


def test_a_gap_is_a_window_of_nulls_and_a_single_scrape_tells_nothing() -> None:
    times, values = requests(np.random.default_rng(5), 900, 4)
    scrapes = START + np.array([0, HOUR // 2, 3 * HOUR + 60, 4 * HOUR])
    alone = scraped(times, values, scrapes[:1], name=TTFT, labels='engine="9",')
    made = cr.window(telemetry(scraped(times, values, scrapes), alone), [slo("ttft", "ttft_s <= 0.5")], every="1h")
    assert made.table["ttft.total"].is_null().to_list() == [False, True, True, False]
    assert f"1 series of '{TTFT}' were scraped once, which tells no increase, and were left out" in made.notes


@pytest.mark.parametrize(
    ("where", "more", "said"),
    [
        ("tpot_s <= 0.1", {}, "SLO 'x', judged on histograms, needs column 'tpot_s'"),
        ("ttft_s < 0.1", {}, "ask for one upper limit"),
        ("ttft_s <= 0.1 AND e2e_s <= 3", {}, "ask for one upper limit"),
        ("error IS NULL", {}, "ask for one upper limit"),
        ("ttft_s <= 0.1", {"tier": "paid"}, "ask for one upper limit"),
    ],
)
def test_what_buckets_do_not_tell_is_refused(where: str, more: dict[str, str], said: str) -> None:
    times, values = requests(np.random.default_rng(6), 100, 1)
    frame = scraped(times, values, START + np.array([0, HOUR]))
    with pytest.raises(cr.CausalrelError) as caught:
        cr.window(telemetry(frame), [slo("x", where, **more)], every="1h")
    assert said in caught.value.message


def test_buckets_that_are_none_are_refused() -> None:
    times, values = requests(np.random.default_rng(7), 100, 1)
    frame = scraped(times, values, START + np.array([0, HOUR // 2, HOUR]))
    asked = [slo("x", "ttft_s <= 0.5")]
    with pytest.raises(cr.CausalrelError, match='has no bucket le="\\+Inf"'):
        cr.window(telemetry(frame.filter(~pl.col("metric").str.contains("Inf"))), asked, every="1h")
    nameless = frame.with_columns(metric=pl.col("metric").str.replace('le="0.5"', 'edge="0.5"'))
    with pytest.raises(cr.CausalrelError, match="has no edge"):
        cr.window(telemetry(nameless), asked, every="1h")
    odd = pl.when(pl.col("metric").str.contains('le="0.25"') & (pl.col("time") > pl.col("time").min()))
    torn = frame.with_columns(value=odd.then(pl.col("value") + 500).otherwise("value"))
    with pytest.raises(cr.CausalrelError, match=r"fewer events at le=0\.5 than below it"):
        cr.window(telemetry(torn), asked, every="1h")


def test_scrapes_of_a_server_become_a_budget_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text exposition as a server writes it, one scrape after another in a file."""
    times, values = requests(np.random.default_rng(8), 1000, 2)
    lines = []
    for at in START + np.arange(0, 2 * HOUR + 1, HOUR // 4):
        lines += [f"# scraped_at: {at / 1e6}", f"# TYPE {TTFT} histogram"]
        seen = values[times <= at]
        for edge in (*EDGES, np.inf):
            text = "+Inf" if np.isinf(edge) else f"{edge:g}"
            lines.append(f'{TTFT}_bucket{{job="chat",model_name="m",le="{text}"}} {(seen <= edge).sum()}')
        lines.append(f'{TTFT}_count{{job="chat",model_name="m"}} {len(seen)}')
    (tmp_path / "scrapes.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "slo.yaml").write_text(
        "apiVersion: openslo/v1\nkind: SLO\nmetadata: {name: ttft}\nspec:\n  indicator:\n    metadata: {name: good}\n"
        "    spec: {thresholdMetric: {metricSource: {type: causalrel, spec: {column: ttft_s}}}}\n"
        "  timeWindow: [{duration: 28d, isRolling: true}]\n  budgetingMethod: Occurrences\n"
        "  objectives: [{op: lte, value: 0.7, target: 0.9}]\n"
    )
    arguments = ["causalrel", "budget", str(tmp_path / "scrapes.txt"), "--slo", str(tmp_path / "slo.yaml")]
    monkeypatch.setattr("sys.argv", [*arguments, "--every", "30m", "--format", "json"])
    assert main() == 0
    out = capsys.readouterr()
    told = json.loads(out.out)
    assert told["verdict"] == "bounded"
    assert told["budgets"][0]["total"] == 1000
    assert told["budgets"][0]["bad_low"] <= int((values > 0.7).sum()) <= told["budgets"][0]["bad"]
    assert "lies inside a bucket" in out.err
