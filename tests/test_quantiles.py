from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import causalrel as cr
from causalrel import SLO, CausalrelError, Telemetry, Variable, window
from causalrel.telemetry.schema import TIME
from causalrel.windows.partials import roll_up
from causalrel.windows.plans import plan_rollup
from causalrel.windows.quantiles import take_quantiles
from causalrel.windows.sketches import BucketCounts, bucket_codes, bucket_values, merge_counts

START = datetime(2026, 2, 11, 9, tzinfo=UTC)
NINE = int(START.timestamp()) // 300
SLOW = SLO(name="slow", dimension="latency", where="e2e_s <= 10", target=0.99)
SHARES = (0.01, 0.5, 0.95, 0.99, 0.999)

Row = tuple[int, str | None, float | None]


def requests(rows: list[Row]) -> pl.LazyFrame:
    columns = {
        "time": [START + timedelta(seconds=row[0]) for row in rows],
        "node": [row[1] for row in rows],
        "ttft_s": [row[2] for row in rows],
    }
    types = {"time": TIME, "node": pl.String, "ttft_s": pl.Float64}
    return pl.LazyFrame(columns, schema=types)


def counted(rows: list[Row]) -> BucketCounts:
    frame = requests(rows)
    plan = plan_rollup(Telemetry(requests=frame), [], ["node"], timedelta(minutes=5))
    return roll_up(frame, [plan], ["ttft_s"]).counts["ttft_s"]


def same(one: BucketCounts, other: BucketCounts) -> bool:
    return (
        one.units == other.units
        and one.first == other.first
        and one.wrong == other.wrong
        and one.codes.dtype == other.codes.dtype
        and one.codes.tobytes() == other.codes.tobytes()
        and one.counts.tobytes() == other.counts.tobytes()
    )


def telemetry(columns: dict[str, Any], **more: Any) -> Telemetry:
    size = len(next(iter(columns.values())))
    times = [START + timedelta(seconds=i) for i in range(size - 1)] + [START + timedelta(minutes=7)]
    frame = pl.LazyFrame({"time": times, "e2e_s": [1.0] * size, **columns}, schema_overrides={"time": TIME})
    return Telemetry(requests=frame, **more)


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, n: rng.lognormal(-1, 1, n),
        lambda rng, n: rng.pareto(0.5, n) + 1e-6,
        lambda rng, n: rng.uniform(0, 60, n),
        lambda rng, n: 10 ** rng.uniform(-8.9, 17.9, n),
        lambda rng, n: 1.02 ** rng.integers(-500, 500, n).astype(float),
    ],
    ids=["lognormal", "pareto", "uniform", "all-scales", "on-edges"],
)
def test_quantiles_are_within_one_per_cent_of_the_exact_lower_ones(draw: Any) -> None:
    rng = np.random.default_rng(3)
    values, nodes, offsets = draw(rng, 40_000), rng.integers(0, 5, 40_000), rng.integers(0, 7200, 40_000)
    frame = requests(list(zip(offsets.tolist(), [f"n{i}" for i in nodes], values.tolist(), strict=True)))
    made = window(
        Telemetry(requests=frame), [SLO(name="a", dimension="latency", where="ttft_s <= 1", target=0.9)],
        by="node", quantiles={"ttft_s": SHARES},
    ).frame()  # fmt: skip
    assert made.height == 5 * 24
    for row in made.iter_rows(named=True):
        since = (row["time"] - START).total_seconds()
        mine = values[(nodes == int(row["unit"][1])) & (offsets >= since) & (offsets < since + 300)]
        exact = np.quantile(mine, SHARES, method="lower")
        told = [row[f"ttft_s.{name}"] for name in ("p1", "p50", "p95", "p99", "p99_9")]
        np.testing.assert_allclose(told, exact, rtol=0.01)


rows_of = st.lists(
    st.tuples(
        st.integers(-4000, 4000),
        st.sampled_from(["a", "b", "unknown", None]),
        st.one_of(
            st.none(),
            st.sampled_from([0.0, 1e-9, 1.0, -1.0, float("nan"), float("inf"), 1e18]),
            st.floats(0, 1e6),
        ),
    ),
    max_size=40,
)


@given(rows_of, st.integers(1, 5), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_counts_of_any_partition_add_up_to_the_whole_in_any_order(rows: list[Row], parts: int, chance: Any) -> None:
    rows = [*rows, (0, "a", 1.0)]
    whole = counted(rows)
    shuffled = chance.sample(rows, len(rows))
    assert same(counted(shuffled), whole)
    pieces = [counted(shuffled[i::parts]) for i in range(parts) if shuffled[i::parts]]
    assert same(merge_counts(pieces), whole)
    assert same(merge_counts(pieces[::-1]), whole)
    assert same(merge_counts([merge_counts(pieces[:1]), *pieces[1:]]), whole)


@given(rows_of)
@settings(max_examples=60, deadline=None)
def test_counts_are_what_counting_by_hand_gives(rows: list[Row]) -> None:
    rows = [*rows, (0, "a", 1.0)]
    made = counted(rows)
    fine = [(t, n or "unknown", v) for t, n, v in rows if v is not None and 0 <= v < 1e18]
    wrong = [v for _, _, v in rows if v is not None and not np.isnan(v) and not 0 <= v < 1e18]
    assert made.counts.sum() == len(fine)
    assert made.wrong == len(wrong)
    table = pl.DataFrame({"unit": [n for _, n, _ in fine], "t": [NINE + t // 300 for t, _, _ in fine]})
    told = take_quantiles(made, table, [Fraction(1, 2)])[0].to_list()
    for (t, unit, _), got in zip(fine, told, strict=True):
        mine = [v for s, n, v in fine if n == unit and s // 300 == t // 300]
        exact = float(np.quantile(mine, 0.5, method="lower"))
        assert got == (0.0 if exact < 1e-9 else pytest.approx(exact, rel=0.01))


def test_a_million_rows_count_the_same_in_any_order() -> None:
    rng = np.random.default_rng(8)
    frame = pl.DataFrame(
        {
            "time": pl.Series(rng.integers(0, 86_400 * 10**6, 5_000_000)).cast(TIME),
            "ttft_s": rng.lognormal(-1, 1, 5_000_000),
        }
    )
    plan = plan_rollup(Telemetry(requests=frame.lazy()), [], [], timedelta(minutes=1))
    whole, sorted_, early, late = (
        roll_up(part.lazy(), [plan], ["ttft_s"]).counts["ttft_s"]
        for part in (frame, frame.sort("time"), frame.head(1_000_000), frame.tail(4_000_000))
    )
    assert same(whole, sorted_)
    assert same(whole, merge_counts([late, early]))
    assert whole.counts.sum() == 5_000_000


def test_many_units_are_told_apart() -> None:
    names = [f"n{i}" for i in range(5000)]
    made = counted([(0, name, float(i + 1)) for i, name in enumerate(names)])
    table = pl.DataFrame({"unit": names, "t": [NINE] * 5000})
    told = take_quantiles(made, table, [Fraction(1, 2)])[0].to_numpy()
    np.testing.assert_allclose(told, np.arange(1, 5001), rtol=0.01)


def test_buckets_at_the_edges() -> None:
    values = [0.0, 5e-10, 1e-9, 9.99e17, 1e18, -0.0, -1e-300, float("inf"), float("-inf"), float("nan"), None]
    codes = pl.DataFrame({"x": values}).select(bucket_codes(pl.col("x")))["x"].to_list()
    assert codes[:2] == [0, 0]
    assert codes[4:] == [-2, 0, -2, -2, -2, -1, -1]
    assert 0 < codes[2] < codes[3] < len(bucket_values())
    assert bucket_values()[[codes[2], codes[3]]] == pytest.approx([1e-9, 9.99e17], rel=0.01)


def test_a_window_with_one_value_tells_it_and_one_without_is_null() -> None:
    values = [3.0, None, 8.0]
    frame = requests([(0, "a", values[0]), (400, "a", values[1]), (900, "a", values[2])])
    slo = SLO(name="a", dimension="latency", where="ttft_s <= 1", target=0.9)
    made = window(Telemetry(requests=frame), [slo], quantiles={"ttft_s": (0.01, 0.99)})
    for name in ("ttft_s.p1", "ttft_s.p99"):
        assert made.frame()[name].to_list() == [
            pytest.approx(3.0, rel=0.01), None, None, pytest.approx(8.0, rel=0.01)
        ]  # fmt: skip


def test_integers_and_columns_without_values_have_quantiles_too() -> None:
    made = window(
        telemetry({"output_tokens": [100, 200, 300], "quality": [None, None, None]}), [SLOW], every="5m",
        quantiles={"output_tokens": (0.5,), "quality": (0.5,)},
    )  # fmt: skip
    assert made.frame()["output_tokens.p50"].to_list() == pytest.approx([100, 300], rel=0.01)
    assert made.frame()["quality.p50"].to_list() == [None, None]
    assert made.frame().schema["quality.p50"] == pl.Float64


def test_without_quantiles_nothing_changes_and_with_them_the_rest_stays() -> None:
    data = telemetry({"ttft_s": [0.1, 0.2, 0.3]})
    plain, more = window(data, [SLOW]), window(data, [SLOW], quantiles={"ttft_s": (0.5,)})
    assert window(data, [SLOW], quantiles={}).frame().equals(plain.frame())
    assert more.frame().drop("ttft_s.p50").equals(plain.frame())
    assert more.names == ("load", "ttft_s", "e2e_s", "ttft_s.p50", "slow")
    assert more.variable("ttft_s.p50") == Variable(name="ttft_s.p50", role="outcome", unit="s")


def test_a_quantile_is_a_variable_of_a_graph() -> None:
    rng = np.random.default_rng(0)
    size = 40_000
    batch = rng.choice([4, 8], 200).repeat(200)
    times = [START + timedelta(seconds=1.5 * i) for i in range(size)]
    frame = pl.LazyFrame(
        {"time": times, "batch_size": batch, "ttft_s": batch * rng.lognormal(-2, 0.5, size)},
        schema_overrides={"time": TIME},
    )
    slo = SLO(name="ttft", dimension="latency", where="ttft_s <= 1", target=0.9)
    made = window(Telemetry(requests=frame), [slo], quantiles={"ttft_s": (0.95,)})
    edges = [("batch_size", "ttft_s.p95"), ("ttft_s.p95", "ttft")]
    roles = {"batch_size": "config", "ttft_s.p95": "outcome", "ttft": "outcome"}
    graph = cr.Graph.from_edges(edges, roles=roles)
    assert graph.project(made.names).names == graph.names
    assert cr.fit(made, graph).mechanism("ttft_s.p95").form


def test_values_that_are_no_sensible_numbers_are_told_once() -> None:
    size = 300
    made = window(telemetry({"ttft_s": [-1.0, *[1.0] * (size - 1)]}), [SLOW], quantiles={"ttft_s": (0.5,)})
    assert made.notes[1] == "1 of 300 values of 'ttft_s' are negative or not finite and were left out"
    assert sum("not finite" in note for note in made.notes) == 1
    drop = Variable(name="gain", role="outcome")
    made = window(
        telemetry({"gain": [-1.0, *[1.0] * (size - 1)]}, variables=(drop,)), [SLOW], quantiles={"gain": (0.5,)}
    )
    assert made.notes[-1] == "1 of 300 values of 'gain' are negative or not finite and were left out of its quantiles"
    assert sum("not finite" in note for note in made.notes) == 1
    with pytest.raises(CausalrelError, match=r"^1 of 3 values of 'gain' are negative or not finite; take quantiles"):
        window(telemetry({"gain": [-1.0, 1.0, 1.0]}, variables=(drop,)), [SLOW], quantiles={"gain": (0.5,)})


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"ttft": (0.5,)}, r"^quantiles needs column 'ttft', which the data lack; did you mean 'ttft_s'\?$"),
        ({"node": (0.5,)}, r"^quantiles of 'node' were asked, which holds String; ask columns of numbers$"),
        ({"extra": (0.5,)}, r"^quantiles of 'extra' were asked, a column without a role; ask one of ttft_s, e2e_s$"),
        ({"ttft_s": (0.5, 1.5)}, r"^the share 1.5 asked of 'ttft_s' is not from 0 to 1; write one such as 0.95$"),
        ({"ttft_s": (95,)}, r"^the share 95 asked of 'ttft_s' is not from 0 to 1"),
        ({"ttft_s": (float("nan"),)}, r"^the share nan asked of 'ttft_s' is not from 0 to 1"),
        ({"ttft_s": (1 / 3,)}, r"^the share 0.33\d+ asked of 'ttft_s' has more than 6 decimals; write one such as"),
        ({"ttft_s": [i / 100 for i in range(1, 90)]}, r"^89 quantiles were asked, more than 64; ask fewer$"),
        ({"e2e_s": (0.5,)}, r"^the quantile 'e2e_s.p50' bears the name of a column; rename the column"),
    ],
)
def test_what_cannot_be_asked_is_told_in_one_sentence(asked: dict[str, Any], says: str) -> None:
    columns = {"node": ["a"] * 3, "ttft_s": [1.0] * 3, "extra": [1.0] * 3, "e2e_s.p50": [1.0] * 3}
    with pytest.raises(CausalrelError, match=says):
        window(telemetry(columns), [SLOW], quantiles=asked)


def test_least_and_most_of_columns_and_metrics() -> None:
    """Metrics exactly as a naive walk over the samples of each node and window tells them."""
    canary = cr.load_dataset("llm-canary")
    asked = {"ttft_s": (0, 1), "gpu_temp_c": (0, 0.5, 1)}
    windows = cr.window(canary, cr.load_slos("llm-chat"), every="2h", by="node", quantiles=asked)
    assert [v.role for v in windows.variables if v.name.startswith("gpu_temp_c")] == ["hardware"] * 4
    samples = canary.samples.collect().filter(pl.col("metric") == "DCGM_FI_DEV_GPU_TEMP")
    requests = canary.requests.collect()
    for row in windows.table.sample(40, seed=1).iter_rows(named=True):
        there = (pl.col("node") == row["unit"]) & (
            pl.col("time") - pl.lit(row["time"])
        ).dt.total_microseconds().is_between(0, 7_200_000_000, closed="left")
        heat = sorted(samples.filter(there)["value"].to_list())
        told = [row[f"gpu_temp_c.{name}"] for name in ("min", "p50", "max")]
        assert told == ([heat[0], heat[(len(heat) - 1) // 2], heat[-1]] if heat else [None] * 3)
        waits = requests.filter(there)["ttft_s"].drop_nulls()
        if len(waits) and waits.min() > 0.01:
            assert [row["ttft_s.min"], row["ttft_s.max"]] == pytest.approx([waits.min(), waits.max()], rel=0.0101)
