from __future__ import annotations

import time
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causalrel import SLO, CausalrelError, Telemetry, Variable, Windows, window
from causalrel.telemetry.schema import SAMPLES, TIME
from causalrel.windows.partials import add_up, roll_up
from causalrel.windows.plans import plan_rollup
from causalrel.windows.rollups import finish_rollup

START = datetime(2026, 2, 11, 9, tzinfo=UTC)
TTFT = SLO(name="ttft", dimension="latency", where="ttft_s <= 1", target=0.99)
UP = SLO(name="up", dimension="availability", where="error IS NULL", target=0.99)


def minutes(*offsets: float) -> list[datetime]:
    return [START + timedelta(minutes=offset) for offset in offsets]


def telemetry(columns: dict[str, Any], **more: Any) -> Telemetry:
    types = {"time": TIME, **({"error": pl.String} if "error" in columns else {})}
    return Telemetry(requests=pl.LazyFrame(columns, schema_overrides=types), **more)


def test_a_failed_request_without_latency_is_bad_and_a_served_one_is_unknown() -> None:
    made = window(
        telemetry({"time": minutes(0, 1, 2, 6), "ttft_s": [0.5, None, None, 2.0], "error": [None, "oom", None, None]}),
        [TTFT, UP],
    )
    assert made.frame()["ttft.total"].to_list() == [2, 1]
    assert made.frame()["ttft.bad"].to_list() == [1, 1]
    assert made.frame()["up.total"].to_list() == [3, 1]
    assert made.frame()["up.bad"].to_list() == [1, 0]
    assert made.notes == (
        "4 requests read: 4 used",
        "SLO 'ttft' could not judge 1 of 4 requests, a column it needs being empty, and did not count them",
        "of 4 requests 2 have no ttft_s; means and quantiles are of the rest, often the served ones",
    )


def test_nan_and_infinite_latency_are_unknown_not_bad() -> None:
    latency = [0.5] * 200 + [float("nan"), float("inf")]
    made = window(telemetry({"time": minutes(*range(202)), "ttft_s": latency}), [TTFT], every="1h")
    assert made.frame()["ttft.total"].sum() == 200
    assert made.frame()["ttft.bad"].sum() == 0
    assert "1 of 201 values of 'ttft_s' are negative or not finite and were left out" in made.notes


def test_many_negative_latencies_are_refused() -> None:
    with pytest.raises(CausalrelError, match=r"1 of 3 values of 'ttft_s' are negative.*; check the clocks"):
        window(telemetry({"time": minutes(0, 5, 9), "ttft_s": [-0.5, 1, 1]}), [TTFT])


def test_missing_windows_are_rows_of_nulls() -> None:
    made = window(telemetry({"time": minutes(0, 1, 21), "ttft_s": [1.0, 2.0, 0.5], "batch_size": [8, 8, 16]}), [TTFT])
    frame = made.frame()
    assert frame["time"].to_list() == minutes(0, 5, 10, 15, 20)
    gap = frame.filter(pl.col("time").is_in(minutes(5, 10, 15))).drop("time", "unit")
    assert gap.null_count().row(0) == (3,) * gap.width
    assert frame["load"].to_list() == [2 / 300, None, None, None, 1 / 300]


def test_windows_start_at_multiples_since_1970_and_units_have_their_own_span() -> None:
    made = window(
        telemetry({"time": minutes(3, 14, 7), "service": ["a", "a", "b"], "ttft_s": [1.0] * 3}), [TTFT], every="10m"
    )
    assert made.frame().select("unit", "time").rows() == [
        ("a", minutes(0)[0]),
        ("a", minutes(10)[0]),
        ("b", minutes(0)[0]),
    ]


def test_most_common_value_and_ties_go_to_the_smallest() -> None:
    made = window(
        telemetry(
            {
                "time": minutes(0, 1, 2, 3, 6, 7),
                "model": ["b", "a", "b", None, "z", "y"],
                "gpu_count": [2, 4, 4, 2, 8, 8],
                "users": [1, 2, 3, 4, 5, 6],
                "ttft_s": [1.0] * 6,
            },
            variables=(Variable(name="users", role="workload", kind="count", unit="1"),),
        ),
        [TTFT],
    )
    assert made.frame()["model"].to_list() == ["b", "y"]
    assert made.frame()["gpu_count"].to_list() == [2, 8]
    assert made.frame()["users"].to_list() == [2.5, 5.5]
    assert made.variable("users").kind == "count"


def test_tier_and_among_choose_the_requests_counted() -> None:
    gold = SLO(name="gold", dimension="latency", where="ttft_s <= 1", target=0.99, tier="gold", among="ttft_s < 5")
    made = window(
        telemetry({"time": minutes(0, 1, 2, 6), "tier": ["gold", "free", "gold", "gold"], "ttft_s": [2.0, 2, 9, 0.5]}),
        [gold],
    )
    assert made.frame().select("gold.total", "gold.bad").rows() == [(1, 1), (1, 0)]
    with pytest.raises(CausalrelError, match="SLO 'gold', promised to tier 'gold', needs column 'tier'"):
        window(telemetry({"time": minutes(0, 6), "ttft_s": [1.0, 2]}), [gold])


def test_repeated_request_ids_count_once_in_any_order() -> None:
    columns = {
        "time": minutes(0, 1, 2, 6, 7),
        "request_id": ["a", "b", "a", None, None],
        "ttft_s": [2.0, 0.5, 0.5, 0.5, 0.5],
    }
    made = window(telemetry(columns), [TTFT])
    turned = window(telemetry({name: values[::-1] for name, values in columns.items()}), [TTFT])
    assert made.frame().equals(turned.frame())
    assert made.frame()["ttft.total"].to_list() == [2, 2]
    assert made.frame()["ttft.bad"].to_list() == [1, 0]
    assert made.notes == ("5 requests read: 4 used, 1 repeat an earlier request_id",)


def test_units_of_several_columns() -> None:
    columns = {"time": minutes(0, 6), "model": ["m", None], "gpu_count": [1, 2], "ttft_s": [1.0, 1.0]}
    assert window(telemetry(columns), [TTFT], by=("model", "gpu_count")).units == ["m/1", "unknown/2"]
    assert window(telemetry(columns), [TTFT]).units == ["all"]
    with pytest.raises(CausalrelError, match="by needs column 'modell', which the data lack; did you mean 'model'"):
        window(telemetry(columns), [TTFT], by="modell")


@pytest.mark.parametrize(
    ("columns", "slo", "every", "said"),
    [
        ({"time": [], "ttft_s": []}, TTFT, "5m", "'memory' holds no rows"),
        (
            {"time": minutes(0, 2), "ttft_s": [1, 2]},
            TTFT,
            "5m",
            "every '5m' is longer than the data, which run for 2 min",
        ),
        (
            {"time": minutes(0, 20), "e2e_s": [1, 2]},
            TTFT,
            "5m",
            "SLO 'ttft' needs column 'ttft_s', which the data lack",
        ),
        ({"time": minutes(0, 20), "ttft_s": [1, 2]}, UP, "5m", "SLO 'up' needs column 'error'"),
        ({"time": minutes(0, 20), "ttft_s": [1, 2]}, TTFT, "5 minutes", "every '5 minutes' is not a duration"),
        ({"time": minutes(0, 20), "ttft_s": ["a", "b"]}, TTFT, "5m", "'ttft_s' of 'memory' holds String, not numbers"),
        (
            {"time": minutes(-3e7, 20), "ttft_s": [1, 2]},
            TTFT,
            "1m",
            "from 1969-.* to 2026-.* rows, more than 5,000,000",
        ),
    ],
)
def test_bad_questions_are_one_sentence(columns: dict[str, Any], slo: SLO, every: str, said: str) -> None:
    with pytest.raises(CausalrelError, match=said) as caught:
        window(telemetry(columns), [slo], every=every)
    assert "\n" not in str(caught.value)


def test_predicates_of_the_wrong_type_are_told_by_name() -> None:
    columns = {"time": minutes(0, 20), "ttft_s": [1.0, 2.0], "model": ["a", "b"]}
    wrong = SLO(name="wrong", dimension="latency", where="model <= 1", target=0.9)
    with pytest.raises(CausalrelError, match="SLO 'wrong' cannot be judged"):
        window(telemetry(columns), [wrong])
    number = SLO(name="number", dimension="latency", where="ttft_s + 1", target=0.9)
    with pytest.raises(CausalrelError, match="it is not true or false"):
        window(telemetry(columns), [number])
    with pytest.raises(CausalrelError, match="give SLOs of different names"):
        window(telemetry(columns), [TTFT, TTFT])


def samples(rows: list[tuple[Any, ...]]) -> pl.LazyFrame:
    return pl.LazyFrame(rows, schema=SAMPLES, orient="row")


def test_samples_become_means_of_their_unit() -> None:
    rows = [
        (START, "n1", "chat", "vllm:num_requests_running", 2.0),
        (START, "n2", "chat", "running", 4.0),
        (minutes(6)[0], "n1", "chat", "DCGM_FI_DEV_GPU_TEMP", 9223372036854775794.0),
        (minutes(6)[0], "n1", "chat", "DCGM_FI_DEV_SM_CLOCK", 1900.0),
        (minutes(90)[0], "n1", "chat", "DCGM_FI_DEV_SM_CLOCK", 100.0),
        (START, "n1", "code", "running", 50.0),
    ]
    requests = {
        "time": minutes(0, 6),
        "service": ["chat"] * 2,
        "node": ["n1", "n2"],
        "ttft_s": [1.0, 1.0],
    }
    made = window(telemetry(requests, samples=samples(rows)), [TTFT])
    assert made.frame()["running"].to_list() == [3.0, None]
    assert made.frame()["sm_clock_mhz"].to_list() == [None, 1900.0]
    assert "gpu_temp_c" not in made.frame().columns
    bare = samples(rows[:2]).drop("service")
    assert window(telemetry(requests, samples=bare), [TTFT]).frame()["running"].to_list() == [3.0, None]
    alone = window(telemetry({k: v for k, v in requests.items() if k != "node"}, samples=bare), [TTFT])
    assert "samples carry no service and were left out" in alone.notes
    shared = telemetry({**requests, "service": ["chat", "code"], "node": ["n1", "n1"]}, samples=bare)
    assert "samples of 1 of 1 nodes were left out: those nodes served several units" in window(shared, [TTFT]).notes


def test_changes_are_carried() -> None:
    changes = pl.LazyFrame({"time": minutes(3, 1), "variable": ["b", "a"], "before": ["1", "1"], "after": ["2", "2"]})
    made = window(telemetry({"time": minutes(0, 6), "ttft_s": [1.0, 1.0]}, changes=changes), [TTFT])
    assert made.changes is not None
    assert made.changes["variable"].to_list() == ["a", "b"]


VALUES = st.floats(0, 1e6, allow_nan=False).map(lambda x: float(np.float32(x)))
EVENTS = st.lists(
    st.tuples(
        st.integers(0, 3600 * 2),
        st.sampled_from(["a", "b"]),
        st.none() | VALUES,
        st.none() | st.just("oom"),
        st.sampled_from([8, 16]),
    ),
    min_size=2,
    max_size=60,
)


@settings(max_examples=40, deadline=None)
@given(EVENTS, st.sampled_from(["5m", "7m", "1h"]))
def test_agrees_with_a_plain_loop(events: list[tuple[Any, ...]], every: str) -> None:
    events = [*events, (0, "a", 0.5, None, 8), (7200, "a", 0.5, None, 8)]
    seconds, service, latency, error, batch = map(list, zip(*events, strict=True))
    made = window(
        telemetry(
            {
                "time": [START + timedelta(seconds=s) for s in seconds],
                "service": service,
                "ttft_s": pl.Series(latency, dtype=pl.Float64),
                "error": pl.Series(error, dtype=pl.String),
                "batch_size": batch,
            }
        ),
        [TTFT],
        every=every,
    ).frame()
    width = {"5m": 300, "7m": 420, "1h": 3600}[every]
    cells: dict[tuple[str, int], list[tuple[Any, ...]]] = defaultdict(list)
    for event in events:
        cells[event[1], int((START.timestamp() + event[0]) // width)].append(event)
    for (unit, index), inside in cells.items():
        (row,) = made.filter(
            (pl.col("unit") == unit) & (pl.col("time") == datetime.fromtimestamp(index * width, UTC))
        ).to_dicts()
        known = [e for e in inside if e[2] is not None or e[3] is not None]
        assert row["ttft.total"] == len(known)
        assert row["ttft.bad"] == sum(e[2] is None or e[2] > 1 for e in known)
        assert row["load"] == pytest.approx(len(inside) / width, rel=1e-12)
        counts = Counter(e[4] for e in inside)
        assert row["batch_size"] == min(counts, key=lambda value: (-counts[value], value))
        told = [e[2] for e in inside if e[2] is not None]
        if told:
            assert row["ttft_s"] == pytest.approx(float(sum(map(Fraction, told)) / len(told)), rel=1e-9, abs=1e-11)
        else:
            assert row["ttft_s"] is None
    assert made["ttft.total"].drop_nulls().len() == len(cells)


@settings(max_examples=20, deadline=None)
@given(EVENTS, st.randoms(use_true_random=False), st.integers(1, 5))
def test_order_and_partition_do_not_matter(events: list[tuple[Any, ...]], random: Any, parts: int) -> None:
    events = [*events, (0, "a", 0.1, None, 8), (7200, "b", 0.7, None, 8)]
    names = ["seconds", "service", "ttft_s", "error", "batch_size"]
    types = {"ttft_s": pl.Float64, "error": pl.String}
    frame = pl.DataFrame(events, schema=names, orient="row", schema_overrides=types, infer_schema_length=None)
    frame = frame.select(
        pl.lit(START).cast(TIME).dt.offset_by(pl.format("{}s", "seconds")).alias("time"), pl.exclude("seconds")
    )
    whole = window(Telemetry(requests=frame.lazy()), [TTFT])
    order = list(range(frame.height))
    random.shuffle(order)
    shuffled = frame[order]
    assert window(Telemetry(requests=shuffled.lazy()), [TTFT]).frame().equals(whole.frame())
    plan = plan_rollup(Telemetry(requests=frame.lazy()), [TTFT], ["service"], timedelta(minutes=5))
    pieces = [roll_up(shuffled.gather_every(parts, offset).lazy(), [plan]) for offset in range(parts)]
    summed = finish_rollup(add_up(pieces).tables[0], plan, [])
    assert summed.drop("t").equals(whole.frame().drop("time"))


@settings(max_examples=20, deadline=None)
@given(EVENTS)
def test_rebinning_time_keeps_totals(events: list[tuple[Any, ...]]) -> None:
    events = [*events, (0, "a", 0.5, None, 8), (7200, "a", 0.5, None, 8)]
    columns = {
        "time": [START + timedelta(seconds=e[0]) for e in events],
        "ttft_s": pl.Series([e[2] for e in events], dtype=pl.Float64),
        "error": pl.Series([e[3] for e in events], dtype=pl.String),
    }
    totals = {
        tuple(window(telemetry(columns), [TTFT], every=every).frame().select("ttft.total", "ttft.bad").sum().row(0))
        for every in ("1m", "5m", "1h")
    }
    assert len(totals) == 1


def test_a_million_requests_take_seconds() -> None:
    count = 1_000_000
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "time": (rng.integers(0, 28 * 86_400, count) * 1_000_000 + 1_770_800_400_000_000),
            "service": rng.choice(["chat", "code"], count),
            "batch_size": rng.choice([8, 16], count),
            "prompt_tokens": rng.integers(1, 4000, count),
            "ttft_s": rng.gamma(2, 0.3, count),
            "e2e_s": rng.gamma(2, 2, count),
        }
    ).with_columns(pl.col("time").cast(TIME))
    start = time.perf_counter()
    made = window(Telemetry(requests=frame.lazy()), [TTFT])
    assert time.perf_counter() - start < 20
    assert made.frame()["ttft.total"].sum() == count


COUNTED = pl.DataFrame(
    {
        "t": minutes(0, 5, 15),
        "n": [10, 20, 30],
        "bad": [0.0, 1.0, float("nan")],
        "batch": [8, 16, 16],
        "gpu": ["A", "B", "B"],
        "clock": [1.5, float("nan"), float("inf")],
    }
)
ROLES: Any = {"batch": "config", "gpu": "hardware", "clock": "hardware"}


def test_counted_windows_become_regular() -> None:
    frame = COUNTED.with_columns(pl.Series("n", [10, 20, None]))
    made = Windows.from_frame(
        frame, time="t", roles=ROLES, events={"ttft": ("n", "bad"), "e2e": ("n", "bad")}, targets={"ttft": 0.95}
    )
    assert made.width == timedelta(minutes=5)
    assert made.frame()["ttft.bad"].to_list() == [0, 1, None, None]
    assert made.frame()["batch"].to_list() == [8, 16, None, 16]
    assert made.frame()["clock"].to_list() == [1.5, None, None, None]
    assert [variable.kind for variable in made.variables] == ["count", "category", "number"]
    assert [slo.target for slo in made.slos] == [0.95, 0.99]
    assert made.slo("ttft").period == timedelta(days=28)


def test_counted_windows_from_pandas_and_units() -> None:
    frame = COUNTED.drop("bad").with_columns(bad=pl.lit(0), unit=pl.Series(["x", "x", "y"]))
    ask: Any = {"time": "t", "unit": "unit", "roles": {"gpu": "hardware"}, "events": {"ttft": ("n", "bad")}}
    made = Windows.from_frame(frame, **ask)
    assert made.units == ["x", "y"]
    assert Windows.from_frame(frame.to_pandas(), **ask).frame().equals(made.frame())


@pytest.mark.parametrize(
    ("change", "asked", "said"),
    [
        ({}, {"time": "when"}, "Windows.from_frame needs column 'when'"),
        ({}, {"roles": {"batsh": "config"}}, "needs column 'batsh', which the data lack; did you mean 'batch'"),
        ({}, {"roles": {"batch": "confi"}}, "no role for 'batch' 'confi'; did you mean 'config'"),
        ({}, {"roles": {"bad": "config"}}, "column 'bad' cannot be a variable"),
        ({}, {"events": {"ttft": ("n", "badd")}}, "needs column 'badd'"),
        ({}, {"events": {}}, "was given no events"),
        ({}, {"targets": {"ttf": 0.9}}, "there is no SLO 'ttf'; did you mean 'ttft'"),
        ({}, {"targets": {"ttft": 1.0}}, "target 1.0 of 'ttft' is not between 0 and 1"),
        ({"bad": [0, 21, 0]}, {}, "'bad' exceeds 'n' in some windows"),
        ({"bad": [0, -1, 0]}, {}, "column 'bad' holds negative counts"),
        ({"bad": [0.0, 0.5, 0.0]}, {}, "column 'bad' holds fractions"),
        ({"bad": [0, None, 0]}, {}, "one of 'bad' and 'n' is missing"),
        ({"bad": ["a", "b", "c"]}, {}, "column 'bad' holds String, not counts"),
        ({"t": minutes(0, 5, 12)}, {}, r"times are irregular: 2026-02-11 09:12:00 is not a whole number of 5m"),
        ({"t": minutes(0, 5, 5)}, {}, "the window at 2026-02-11 09:05 of unit 'all' is there twice"),
        ({"t": [*minutes(0, 5), None]}, {}, "some rows have no time"),
        ({"t": ["a", "b", "c"]}, {}, "holds 'a', which is no time"),
        ({}, {"every": "7m"}, "times are irregular"),
    ],
)
def test_bad_counted_windows_are_one_sentence(change: dict[str, Any], asked: dict[str, Any], said: str) -> None:
    frame = COUNTED.with_columns(bad=pl.lit(0)).with_columns(**{k: pl.Series(v) for k, v in change.items()})
    ask: Any = {"time": "t", "roles": ROLES, "events": {"ttft": ("n", "bad")}, **asked}
    with pytest.raises(CausalrelError, match=said):
        Windows.from_frame(frame, **ask)


def test_counted_windows_that_are_no_frame() -> None:
    ask: Any = {"time": "t", "roles": {}, "events": {"ttft": ("n", "bad")}}
    with pytest.raises(CausalrelError, match="was given a dict; give a polars or pandas frame"):
        Windows.from_frame({"t": []}, **ask)
    with pytest.raises(CausalrelError, match="'the frame' holds no rows"):
        Windows.from_frame(COUNTED.clear(), **ask)
    with pytest.raises(CausalrelError, match="the width of a single window cannot be told; pass every"):
        Windows.from_frame(COUNTED.with_columns(bad=pl.lit(0)).head(1), **ask)


def test_windows_show_themselves() -> None:
    made = window(telemetry({"time": minutes(0, 6), "model": ["<b>", "<b>"], "ttft_s": [1.0, 1.0]}), [TTFT])
    assert "2 of 5m in 1 units" in repr(made)
    assert "&lt;b&gt;" in made._repr_html_()
    assert made.during(*minutes(0, 5)).height == 1
    assert made.origin(0).data == made.origin(0).data
    with pytest.raises(CausalrelError, match="there is no SLO 'tpot'"):
        made.slo("tpot")
    with pytest.raises(CausalrelError, match="the windows: there is no variable 'modle'; did you mean 'model'"):
        made.variable("modle")


def test_labelled_series_of_a_metric_are_averaged() -> None:
    """Two GPUs of a node are two series; the node's window has their mean."""
    start = datetime(2026, 2, 11, tzinfo=UTC)
    times = [start + timedelta(minutes=minute) for minute in (0, 1, 2, 3)]
    requests = pl.DataFrame({"time": times, "node": ["a"] * 4}, schema_overrides={"time": TIME})
    rows = [(time, "a", f'DCGM_FI_DEV_GPU_TEMP{{gpu="{gpu}"}}', 40.0 + 20.0 * gpu) for time in times for gpu in (0, 1)]
    samples = pl.DataFrame(
        rows, schema={"time": TIME, "node": pl.String, "metric": pl.String, "value": pl.Float64}, orient="row"
    )
    told = Telemetry(requests=requests.lazy(), samples=samples.lazy())
    slo = SLO(name="up", dimension="availability", where="node IS NOT NULL", target=0.9)
    windows = window(told, [slo], every="1m", by="node")
    assert windows.table["gpu_temp_c"].to_list() == [50.0] * windows.table.height


def test_samples_without_requests_are_no_budget() -> None:
    empty = pl.LazyFrame(schema={"time": TIME})
    told = Telemetry(requests=empty, samples=pl.LazyFrame(schema={"time": TIME, "metric": pl.String}), source="x")
    slo = SLO(name="up", dimension="availability", where="error IS NULL", target=0.9)
    with pytest.raises(CausalrelError, match="'x' holds samples and no requests"):
        window(told, [slo])
