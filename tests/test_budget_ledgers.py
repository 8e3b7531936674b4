"""The ledger against a recount of single requests, and what leaves a rolling window when."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import causalrel as cr
from causalrel import SLO, CausalrelError, Telemetry, Windows, budget, window
from causalrel.slos import slo_window
from causalrel.telemetry.schema import TIME

START = datetime(2026, 2, 11, tzinfo=UTC)
EXACT = {"rel": 1e-12, "abs": 1e-12}
TARGETS = [0.5, 0.9, 0.95, 0.99, 0.999, 0.9995]
EVENT = st.tuples(
    st.integers(0, 5 * 24 * 60 - 1), st.sampled_from("ab"), st.sampled_from(["paid", "free"]), st.booleans()
)


def slo_of(name: str, target: float, **more: Any) -> SLO:
    return SLO(name=name, dimension="availability", where="error IS NULL", target=target, **more)


def telemetry(events: list[tuple[int, str, str, bool]]) -> Telemetry:
    """Return requests from (minute, service, tier, good)."""
    return Telemetry(
        requests=pl.LazyFrame(
            {
                "time": [START + timedelta(minutes=minute) for minute, *_ in events],
                "service": [service for _, service, _, _ in events],
                "tier": [tier for _, _, tier, _ in events],
                "error": [None if good else "timeout" for *_, good in events],
            },
            schema_overrides={"time": TIME, "error": pl.String},
        )
    )


@settings(max_examples=200, deadline=None)
@given(
    st.lists(EVENT, min_size=1, max_size=120),
    st.sampled_from(TARGETS),
    st.sampled_from(["30m", "1h", "1d"]),
    st.sampled_from([timedelta(days=1), timedelta(days=3), timedelta(days=28)]),
)
def test_the_ledger_is_a_recount_and_every_partition_adds_up(
    events: list[tuple[int, str, str, bool]], target: float, every: str, period: timedelta
) -> None:
    events = [(0, "a", "paid", True), *events, (5 * 24 * 60 - 1, "b", "free", True)]
    slos = [slo_of("up", target, period=period)]
    slos += [slo_of(f"up-{tier}", target, period=period, tier=tier) for tier in ("paid", "free")]
    windows = window(telemetry(events), slos, every=every)
    made = budget(windows)
    since = (made.as_of - period - START) // timedelta(minutes=1)
    allowed = 1 - Fraction(str(target))
    for row in made.table.iter_rows(named=True):
        mine = [
            good
            for minute, service, tier, good in events
            if minute >= since and row["unit"] in {"all", service} and row["tier"] in {"", tier}
        ]
        bad, budgeted = mine.count(False), len(mine) * allowed
        assert (row["total"], row["bad"]) == (len(mine), bad)
        assert row["allowed"] == pytest.approx(float(budgeted), **EXACT)
        assert row["left"] == pytest.approx(float(budgeted - bad), **EXACT)
        if mine:
            assert [row["spent"], row["burn"]] == pytest.approx([float(bad / budgeted)] * 2, **EXACT)
        else:
            assert row["spent"] is None
    whole = made.table.filter(slo="up", unit="all").row(0, named=True)
    parts = {
        "units": made.table.filter((pl.col("slo") == "up") & (pl.col("unit") != "all")),
        "tiers": made.table.filter((pl.col("slo") != "up") & (pl.col("unit") == "all")),
        "tiers of units": made.table.filter((pl.col("slo") != "up") & (pl.col("unit") != "all")),
        "windows": made.timeline.filter(slo="up"),
    }
    for name, part in parts.items():
        assert part.select("total", "bad").sum().row(0) == (whole["total"], whole["bad"]), name
        if name != "windows":
            assert part["allowed"].sum() == pytest.approx(whole["allowed"], **EXACT)


ROWS = st.dictionaries(
    st.integers(0, 24 * 6 - 1),
    st.tuples(st.integers(0, 50), st.integers(0, 50)).map(lambda pair: (max(pair), min(pair))),
    min_size=1,
)


def counted(cells: dict[int, tuple[int, int]], target: float = 0.9, **more: Any) -> Windows:
    """Return hourly windows from hour to (total, bad)."""
    frame = pl.DataFrame(
        {
            "t": [START + timedelta(hours=hour) for hour in cells],
            "n": [n for n, _ in cells.values()],
            "bad": [b for _, b in cells.values()],
        }
    )
    made = Windows.from_frame(
        frame, time="t", roles={}, events={"up": ("n", "bad")}, targets={"up": target}, every="1h"
    )
    return replace(made, slos=tuple(replace(slo, **more) for slo in made.slos))


@settings(max_examples=100, deadline=None)
@given(ROWS, st.sampled_from(["1h", "6h", "1d"]), st.integers(24, 200))
def test_what_expires_is_what_a_later_ledger_no_longer_counts(
    cells: dict[int, tuple[int, int]], every: str, hours: int
) -> None:
    windows = counted(cells, period=timedelta(hours=hours))
    made = budget(windows)
    left = made.expires(every)
    whole = made.table.filter(unit="all").row(0, named=True)
    assert (left["total"].sum(), left["bad"].sum()) == (whole["total"], whole["bad"])
    if whole["total"]:
        assert left["returned"].sum() == pytest.approx(whole["spent"], **EXACT)
    inside = {START + timedelta(hours=hour): cell for hour, cell in cells.items()}
    inside = {time: cell for time, cell in inside.items() if time >= made.as_of - timedelta(hours=hours)}
    for row in left.iter_rows(named=True):
        stays = [cell for time, cell in inside.items() if time >= row["time"] - timedelta(hours=hours)]
        gone = left.filter(pl.col("time") <= row["time"])
        assert sum(bad for _, bad in stays) == whole["bad"] - gone["bad"].sum()
        assert sum(total for total, _ in stays) == whole["total"] - gone["total"].sum()


def test_a_calendar_budget_expires_at_the_end_of_its_window() -> None:
    clock = {"period": timedelta(days=7), "rolling": False, "start": "2026-02-02 00:00:00", "zone": "Europe/Berlin"}
    windows = counted(dict.fromkeys(range(48), (10, 1)), **clock)
    left = budget(windows).expires("1h")
    assert left.rows() == [("up", datetime(2026, 2, 15, 23, tzinfo=UTC), 480, 48, pytest.approx(1.0))]
    assert left["time"].item() == slo_window(windows.slos[0], windows.span[1])[1]
    with pytest.raises(CausalrelError, match="every 'daily' is not a duration"):
        budget(windows).expires("daily")


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
def test_calendar_days_of_a_changing_clock_hold_every_event_once(zone: str) -> None:
    """Over a year, each hour belongs to one local day, and the days add up to the year."""
    hours = 24 * 365
    rng = np.random.default_rng(5)
    bad = rng.integers(0, 5, hours)
    begin = datetime(2025, 12, 31, tzinfo=UTC)
    slo = SLO(
        name="d",
        dimension="latency",
        target=0.9,
        period=timedelta(days=1),
        rolling=False,
        start="2025-12-30 00:00:00",
        zone=zone,
    )
    day, seen = slo_window(slo, begin + timedelta(hours=30))[0], []
    while day < begin + timedelta(days=360):
        start, end = slo_window(slo, day + timedelta(seconds=1))
        assert start == day
        seen.append(((end - start) / timedelta(hours=1), (start, end)))
        day = end
    lengths = {length for length, _ in seen}
    assert lengths == ({23.5, 24.0, 24.5} if zone == "Australia/Lord_Howe" else {23.0, 24.0, 25.0})
    index = [((start - begin) / timedelta(hours=1), (end - begin) / timedelta(hours=1)) for _, (start, end) in seen]
    if zone != "Australia/Lord_Howe":
        parts = [bad[int(low) : int(high)].sum() for low, high in index]
        assert sum(parts) == bad[int(index[0][0]) : int(index[-1][1])].sum()


def test_a_composite_is_the_weighted_mean_of_its_objectives() -> None:
    events = [(minute, "a", "paid" if minute % 3 else "free", minute % 11 > 0) for minute in range(2000)]
    slos = [
        slo_of("c-1", 0.99, composite="c", weight=3.0),
        slo_of("c-2", 0.9, composite="c", weight=1.0, tier="paid"),
        slo_of("alone", 0.9),
    ]
    made = budget(window(telemetry(events), slos, every="1h"))
    burns = dict(made.table.filter(unit="all").select("slo", "burn").rows())
    (row,) = made.composites().to_dicts()
    assert (row["composite"], row["objectives"]) == ("c", 2)
    assert row["burn"] == pytest.approx((3 * burns["c-1"] + burns["c-2"]) / 4, **EXACT)
    assert row["burn_low"] < row["burn"] < row["burn_high"]
    assert row["chance_over"] == 1.0
    missing = budget(window(telemetry(events), [*slos[:1], replace(slos[1], tier="gold")], every="1h"))
    assert missing.composites().row(0) == ("c", 2, None, None, None, None)
    assert cr.budget(window(telemetry(events), slos[2:], every="1h")).composites().height == 0
