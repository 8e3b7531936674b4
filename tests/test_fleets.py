"""Fleets: late entry and censoring by hand, time at risk under any split, and the survival of Titan's GPUs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

import causalrel as cr
from causalrel.fleets import find_lives, follow_units
from causalrel.telemetry.health import find_health_events
from causalrel.telemetry.schema import TIME

START = datetime(2026, 2, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
TITAN = Path(__file__).parents[2] / "shared/data/titan_gpu"
YEAR = 365 * 24.0

on_titan = pytest.mark.skipif(not TITAN.exists(), reason="the lives of Titan's GPUs are not in this checkout")


def at(hours: float | None) -> datetime | None:
    return None if hours is None else START + hours * HOUR


def lives(*rows: tuple[str, float | None, float | None, str | None], **more: Any) -> pl.DataFrame:
    """Return lives from (unit, installed, removed, event), in hours."""
    names = {"unit": pl.String, "installed": TIME, "removed": TIME, "event": pl.String}
    table = [(unit, at(installed), at(removed), event) for unit, installed, removed, event in rows]
    return pl.DataFrame(table, schema=names, orient="row").with_columns(**more)


def told(panel: pl.DataFrame, *names: str) -> list[tuple[Any, ...]]:
    return panel.select("unit", "start", "stop", "event", "ended", *names).rows()


def test_every_way_to_enter_and_leave_a_watch() -> None:
    """The watch lasts from hour 100 to hour 200."""
    made = follow_units(
        lives(
            ("before", 0, 90, "dbe"),
            ("late", 40, 150, "dbe"),
            ("whole", 0, None, None),
            ("unknown", None, 160, "otb"),
            ("unknown", 165, 190, None),
            ("fresh", 120, 170, None),
            ("after", 120, 230, "dbe"),
            ("end", 150, 200, "dbe"),
            ("closed", 150, 200, None),
            ("never", 210, None, None),
        ),
        since=at(100),
        until=at(200),
    )
    assert told(made) == [
        ("after", 0.0, 80.0, None, "in service"),
        ("closed", 0.0, 50.0, None, "in service"),
        ("end", 0.0, 50.0, "dbe", "event"),
        ("fresh", 0.0, 50.0, None, "removed"),
        ("late", 60.0, 110.0, "dbe", "event"),
        ("unknown", None, None, "otb", "event"),
        ("unknown", None, None, None, "removed"),
        ("whole", 100.0, 200.0, None, "in service"),
    ]
    unknown = made.filter(unit="unknown")
    assert unknown.select("entered", "left").rows() == [(at(100), at(160)), (at(165), at(190))]


def test_age_stands_still_out_of_service() -> None:
    made = follow_units(
        lives(("a", 0, 10, "dbe"), ("a", 30, 35, None), ("a", 50, 60, "otb")), since=at(32), until=at(55)
    )
    assert told(made) == [("a", 12.0, 15.0, None, "removed"), ("a", 15.0, 20.0, None, "in service")]


def test_an_event_belongs_to_the_last_interval_and_covariates_to_each() -> None:
    changes = pl.DataFrame(
        {
            "time": [at(4), at(6), at(20)],
            "node": ["n1", None, "n1"],
            "variable": ["firmware", "cap", "firmware"],
            "before": ["old", "700", "new"],
            "after": ["new", "600", "newer"],
        },
        schema_overrides={"time": TIME},
    )
    rows = lives(("a", 0, 10, "dbe"), ("b", 0, None, None), node=pl.Series(["n1", "n2"]), firmware=pl.lit("base"))
    made = follow_units(rows, until=at(12), ages=[5.0], changes=changes, by="node")
    assert told(made, "node", "firmware", "cap") == [
        ("a", 0.0, 4.0, None, "cut", "n1", "old", "700"),
        ("a", 4.0, 5.0, None, "cut", "n1", "new", "700"),
        ("a", 5.0, 6.0, None, "cut", "n1", "new", "700"),
        ("a", 6.0, 10.0, "dbe", "event", "n1", "new", "600"),
        ("b", 0.0, 5.0, None, "cut", "n2", "base", "700"),
        ("b", 5.0, 6.0, None, "cut", "n2", "base", "700"),
        ("b", 6.0, 12.0, None, "in service", "n2", "base", "600"),
    ]


SPELLS = st.lists(
    st.tuples(st.integers(0, 50), st.integers(1, 400), st.sampled_from(["dbe", "otb", None])), min_size=1, max_size=4
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(SPELLS, min_size=1, max_size=5),
    st.tuples(st.integers(0, 300), st.integers(301, 900)),
    st.lists(st.floats(0, 900), max_size=4),
    st.sampled_from([None, "1h", "7h", "2d"]),
    st.lists(st.tuples(st.integers(0, 900), st.sampled_from(["u0", "u1", None])), max_size=4),
)
def test_no_split_changes_time_at_risk_or_events(
    fleet: list[Any], watch: tuple[int, int], ages: list[float], every: str | None, moves: list[Any]
) -> None:
    rows = []
    for number, spells in enumerate(fleet):
        now = 0
        for gap, length, event in spells:
            rows.append((f"u{number}", now + gap, now + gap + length, event))
            now += gap + length
    since, until = at(watch[0]), at(watch[1])
    changes = pl.DataFrame(
        [(at(hour), unit, "x", str(i)) for i, (hour, unit) in enumerate(moves)],
        schema={"time": TIME, "unit": pl.String, "variable": pl.String, "after": pl.String},
        orient="row",
    )
    whole = follow_units(lives(*rows), since=since, until=until)
    made = follow_units(lives(*rows), since=since, until=until, ages=ages, every=every, changes=changes)
    expected = {
        (unit, max(start, watch[0]), min(stop, watch[1])): event if stop <= watch[1] else None
        for unit, start, stop, event in rows
        if max(start, watch[0]) < min(stop, watch[1])
    }
    assert {
        (unit, (entered - START) / HOUR, (left - START) / HOUR): event
        for unit, entered, left, event in whole.select("unit", "entered", "left", "event").iter_rows()
    } == expected
    at_risk = pl.col("left") - pl.col("entered")
    sums = [table.group_by("unit").agg(at_risk.sum(), pl.col("event").count()).sort("unit") for table in (whole, made)]
    assert sums[0].equals(sums[1])
    assert (made["left"] > made["entered"]).all()
    hours = made.select((pl.col("stop") - pl.col("start")).sum()).item()
    assert hours == pytest.approx(sum(stop - start for _, start, stop in expected), abs=1e-6)
    after = made.filter(pl.col("ended").shift() == "cut")
    before = made.filter(pl.col("ended") == "cut")
    assert after.select("unit", "start", "entered").rows() == before.select("unit", "stop", "left").rows()
    if every:
        width = timedelta(seconds={"1h": 3600, "7h": 25200, "2d": 172800}[every])
        assert (made["left"] <= made["time"] + width).all()
        assert (made["entered"] >= made["time"]).all()


def test_health_events_are_counted_where_they_fell() -> None:
    health = pl.DataFrame(
        {
            "time": [at(0), at(1), at(2), at(2.5), at(9), at(3)],
            "node": ["n1", "n1", "n1", "n1", "n1", "n2"],
            "event": ["xid_79", "xid_79", "ecc_dbe", "ecc_dbe", "ecc_dbe", "xid_13"],
            "count": [5, 1, 2, 3, 7, 1],
        }
    )
    rows = lives(("a", 0, 4, None), ("b", 1, 3, None), node=pl.lit("n1"))
    made = follow_units(rows, every="2h", health=health, by="node")
    assert made.select("unit", "time", "xid_79.count", "ecc_dbe.count", "xid_13.count").rows() == [
        ("a", at(0), 1, 2, 0),
        ("a", at(2), 0, 3, 0),
        ("b", at(0), 0, 2, 0),
        ("b", at(2), 0, 3, 0),
    ]


def test_a_panel_stands_beside_windows() -> None:
    telemetry = cr.load_dataset("llm-canary")
    windows = cr.window(telemetry, cr.load_slos("llm-chat"), every="1h", by="node")
    nodes, times = windows.table["unit"].unique().sort(), windows.table["time"]
    rows = pl.DataFrame({"unit": nodes, "installed": None, "removed": None, "event": None}).cast(
        {"installed": TIME, "removed": TIME, "event": pl.String}
    )
    changes = telemetry.changes.collect()
    until = times.max() + windows.width
    panel = follow_units(
        rows.with_columns(node="unit"), since=times.min(), until=until, every="1h", changes=changes, by="node"
    )
    assert panel["start"].null_count() == panel.height
    hours = panel.group_by("unit", "time").agg(pl.len())
    assert (
        hours.select("unit", "time")
        .sort("unit", "time")
        .equals(windows.table.select("unit", "time").sort("unit", "time"))
    )


def samples(metric: str, values: list[float | None], node: str = "n1") -> pl.DataFrame:
    return pl.DataFrame(
        {
            "time": [START + timedelta(minutes=minute) for minute in range(len(values))],
            "node": node,
            "metric": metric,
            "value": pl.Series(values, dtype=pl.Float64),
        }
    )


@pytest.mark.parametrize(
    ("metric", "values", "expected"),
    [
        ("DCGM_FI_DEV_XID_ERRORS", [79, 79, 0, 79, 13, 13], [(3, "xid_79", 1), (4, "xid_13", 1)]),
        ("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", [4, 4, None, 6, 1, 0], [(3, "ecc_dbe", 2), (4, "ecc_dbe", 1)]),
        ("DCGM_FI_DEV_ROW_REMAP_FAILURE", [0, 0, 1, 1], [(2, "remap_failure", 1)]),
        (
            "DCGM_FI_DEV_THERMAL_VIOLATION",
            [0, 5e9, 6e9, 6e9],
            [(1, "thermal_violation", 1), (2, "thermal_violation", 1)],
        ),
        ("DCGM_FI_DEV_GPU_TEMP", [40, 80], []),
    ],
)
def test_what_is_an_event_in_samples(metric: str, values: list[float | None], expected: list[Any]) -> None:
    found = find_health_events(samples(f'{metric}{{gpu="3",UUID="GPU-1",err_msg="x"}}', values))
    minutes = [int((time - START).total_seconds()) // 60 for time in found["time"]]
    assert list(zip(minutes, found["event"], found["count"], strict=True)) == expected
    assert set(found["gpu"]) <= {"GPU-1"}


def test_health_is_read_from_scrapes(tmp_path: Path) -> None:
    """The exporter names the code in labels too, which makes no other series of it."""
    scrapes = []
    for minute, (code, message, errors) in enumerate(
        [(0, "none", 1), (79, 'off the \\"bus\\", gone', 1), (79, "x", 3)]
    ):
        labels = 'gpu="0",UUID="GPU-7",Hostname="n1"'
        scrapes.append(
            f"# scraped_at: 2026-02-11T09:0{minute}:00Z\n# TYPE DCGM_FI_DEV_XID_ERRORS gauge\n"
            f'DCGM_FI_DEV_XID_ERRORS{{{labels},err_code="{code}",err_msg="{message}"}} {code}\n'
            f"# TYPE DCGM_FI_DEV_ECC_DBE_VOL_TOTAL counter\nDCGM_FI_DEV_ECC_DBE_VOL_TOTAL{{{labels}}} {errors}\n"
        )
    (tmp_path / "dcgm.prom").write_text("".join(scrapes))
    found = cr.read(tmp_path / "dcgm.prom").samples
    assert found is not None
    events = find_health_events(found.collect())
    assert events.drop("time").rows() == [("n1", "GPU-7", "xid_79", 1), ("n1", "GPU-7", "ecc_dbe", 2)]
    assert events["time"].dt.minute().to_list() == [1, 2]


def test_series_are_kept_apart() -> None:
    one = samples('DCGM_FI_DEV_XID_ERRORS{gpu="0"}', [0, 0, 0])
    other = samples('DCGM_FI_DEV_XID_ERRORS{gpu="1"}', [0, 79, 79])
    elsewhere = samples('DCGM_FI_DEV_XID_ERRORS{gpu="0"}', [13, 13, 13], "n2")
    found = find_health_events(pl.concat([one, elsewhere, other]))
    assert found.select("node", "gpu", "event").rows() == [("n1", "1", "xid_79")]


def test_replaced_gpus_are_lives() -> None:
    """A GPU comes back elsewhere, and once to the place it left."""
    moves = [(1, "n1", "a", "b"), (2, "n2", "x", "a"), (5, "n1", "b", "c"), (7, "n2", "a", "b"), (9, "n2", "b", "a")]
    changes = pl.DataFrame(
        [(at(hour), node, "gpu", *pair) for hour, node, *pair in moves] + [(at(3), "n1", "firmware", "1", "2")],
        schema={"time": TIME} | dict.fromkeys(["node", "variable", "before", "after"], pl.String),
        orient="row",
    )
    found = find_lives(changes, variable="gpu")
    assert found.rows() == [
        ("a", "n1", None, at(1), None),
        ("a", "n2", at(2), at(7), None),
        ("a", "n2", at(9), None, None),
        ("b", "n1", at(1), at(5), None),
        ("b", "n2", at(7), at(9), None),
        ("c", "n1", at(5), None, None),
        ("x", "n2", None, at(2), None),
    ]
    made = follow_units(found, since=at(0), until=at(12), changes=changes.filter(variable="firmware"), by="node")
    assert told(made.filter(unit="b"), "node", "firmware") == [
        ("b", 0.0, 2.0, None, "cut", "n1", "1"),
        ("b", 2.0, 4.0, None, "removed", "n1", "2"),
        ("b", 4.0, 6.0, None, "removed", "n2", None),
    ]
    with pytest.raises(cr.CausalrelError, match=r"there is no variable 'gqu'; did you mean 'gpu'"):
        find_lives(changes, variable="gqu")


FINE = lives(("a", 0, 10, "dbe"))


@pytest.mark.parametrize(
    ("table", "more", "says"),
    [
        (FINE.drop("event"), {}, "a panel of units needs column 'event', which the data lack"),
        (FINE.clear(), {}, "'lives' holds no rows"),
        (
            FINE.with_columns(pl.col("removed").dt.replace_time_zone(None)),
            {},
            "the times in 'removed' have no zone; name",
        ),
        (FINE.with_columns(stop=1), {}, "the panel makes the column 'stop', which the lives have"),
        (lives(("a", 0, None, None)), {}, "1 of 1 lives have no 'removed'; write until="),
        (lives(("a", None, 3, None)), {}, "1 of 1 lives have no 'installed'; write since="),
        (lives(("a", 5, 5, None)), {"until": at(9)}, "1 lives end before or when they begin, the first of unit 'a'"),
        (lives(("a", 5, None, "dbe")), {"until": at(9)}, "1 lives have an event and no time of it"),
        (lives(("a", 0, 9, None), ("a", 8, 12, None)), {}, "1 lives begin before the one before them has ended"),
        (FINE, {"since": at(4), "until": at(3)}, "a watch from 2026-02-01 04:00:00 until 2026-02-01 03:00:00 is none"),
        (lives(("a", 0, 1e6, None)), {"every": "10s"}, "make 360000000 rows; write a longer every="),
    ],
)
def test_what_cannot_be_followed_is_refused(table: pl.DataFrame, more: dict[str, Any], says: str) -> None:
    with pytest.raises(cr.CausalrelError, match=says):
        follow_units(table, **more)


def kaplan_meier(panel: pl.DataFrame, hours: float) -> tuple[float, float, float]:
    """Return survival and its interval on the log-log scale (Kalbfleisch and Prentice 2002, 1.4)."""
    start, stop, failed = (panel[name].to_numpy() for name in ("start", "stop", "failed"))
    times, deaths = np.unique(stop[failed & (stop <= hours)], return_counts=True)
    at_risk = np.searchsorted(np.sort(start), times, "left") - np.searchsorted(np.sort(stop), times, "left")
    survival = float(np.prod(1 - deaths / at_risk))
    spread = np.sqrt(np.sum(deaths / (at_risk * (at_risk - deaths)))) / abs(np.log(survival)) * norm.ppf(0.975)
    return survival, survival ** np.exp(spread), survival ** np.exp(-spread)


def test_late_entry_does_not_bend_survival() -> None:
    """Weibull lives watched from hour 600 on: survival is the true one within four standard errors of its interval.

    Taken as if watched from their installation, survivors of the first 600 hours flatter the fleet.
    """
    rng = np.random.default_rng(5)
    installed, life = rng.uniform(0, 1000, 20_000), 500 * rng.weibull(2.0, 20_000)
    rows = zip(map(str, range(20_000)), installed, installed + life, ["dbe"] * 20_000, strict=True)
    panel = follow_units(lives(*rows), since=at(600), until=at(1400)).with_columns(failed=pl.col("event").is_not_null())
    assert (panel["start"] > 0).sum() > 5000
    for hours in (200.0, 400.0, 700.0):
        true = np.exp(-((hours / 500) ** 2))
        survival, low, high = kaplan_meier(panel, hours)
        assert abs(survival - true) < 4 * (high - low) / 3.92
        flattered = kaplan_meier(panel.with_columns(start=pl.lit(0.0)), hours)[0]
        assert flattered - true > 4 * (high - low) / 3.92


def new_york(name: str) -> pl.Expr:
    return pl.col(name).str.to_datetime().dt.replace_time_zone("America/New_York", ambiguous="latest")


@pytest.fixture(scope="module")
def lifetimes() -> pl.DataFrame:
    """Return one life a GPU; it failed where it was taken out and had any error before."""
    published = pl.read_parquet(TITAN / "lifetimes.parquet")
    failed = pl.when(pl.col("dead_otb")).then(pl.lit("otb")).when(pl.col("dead_dbe")).then(pl.lit("dbe"))
    last = new_york("last")
    return published.select(
        "batch",
        "cage",
        pl.col("time").alias("seconds"),
        "dead",
        unit="serial",
        installed=last - pl.duration(seconds="time"),
        removed=last,
        event=failed,
    )


@pytest.fixture(scope="module")
def stays() -> pl.DataFrame:
    """Return one row a stay, as the inventories tell it."""
    rows = pl.read_parquet(TITAN / "events.parquet")
    errors = rows.group_by("serial").agg(error=pl.col("event").drop_nulls().max().str.to_lowercase())
    found = rows.drop_nulls("insert").unique(["serial", "insert", "remove"]).join(errors, on="serial")
    last = pl.col("remove") == pl.col("remove").max().over("serial")
    return found.select(
        pl.col("serial").alias("unit"),
        new_york("insert").alias("installed"),
        new_york("remove").alias("removed"),
        pl.when(last & pl.col("out")).then("error").alias("event"),
    )


@on_titan
@pytest.mark.parametrize("batch", ["old", "new"])
@pytest.mark.parametrize("more", [{}, {"ages": [YEAR, 2.5 * YEAR], "every": "90d"}])
def test_survival_on_titan_is_that_of_the_reference(lifetimes: pl.DataFrame, batch: str, more: dict[str, Any]) -> None:
    """The reference is rounded to five decimals; ``more`` splits lives, which must change nothing."""
    reference = json.loads((TITAN / "reference_survival.json").read_text())["shared"][batch]
    panel = follow_units(lifetimes.filter(batch=batch), **more).with_columns(failed=pl.col("event").is_not_null())
    assert panel["unit"].n_unique() == reference["n"]
    assert panel["event"].count() == reference["events"]
    for years, expected in reference["km_survival"].items():
        assert kaplan_meier(panel, float(years) * YEAR) == pytest.approx(tuple(expected), abs=0.51e-5), years


@on_titan
def test_stays_on_titan_add_up_to_published_lives(lifetimes: pl.DataFrame, stays: pl.DataFrame) -> None:
    """Inventories put one GPU in two places at once; the publisher counts both."""
    twice = "0323812009526"
    with pytest.raises(cr.CausalrelError, match=f"1 lives begin before the one before them has ended.*'{twice}'"):
        follow_units(stays)
    panel = follow_units(stays.filter(pl.col("unit") != twice))
    of_unit = panel.group_by("unit").agg(pl.col("stop").max(), pl.col("event").count())
    both = of_unit.join(lifetimes.drop("event"), on="unit", validate="1:1")
    assert both.height == 20960
    assert ((both["stop"] * 3600 - both["seconds"]).abs() < 1e-3).all()
    assert (both["event"] == both["dead"].cast(pl.Int64)).all()
    assert (panel["ended"] == "removed").sum() > 4000


@on_titan
def test_failures_and_lives_by_cage_on_titan(lifetimes: pl.DataFrame) -> None:
    panel = follow_units(lifetimes.filter(batch="old"))
    cages = panel.group_by("cage").agg(pl.col("event").count() / pl.len(), pl.col("stop").median()).sort("cage")
    assert cages["event"].round(2).to_list() == [0.18, 0.28, 0.34]
    assert (cages["stop"] / YEAR).round(1).to_list() == [5.5, 3.5, 2.9]
