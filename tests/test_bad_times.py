"""Times and series that are not what they should be: cases 40 to 58."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from bad_inputs import SECONDS as S
from bad_inputs import SLO, START, Asker, asker, lines, table, told, windows

import causalrel as cr
from causalrel.slos import slo_window

__all__ = ["asker"]
SCRAPED = "# scraped_at: 2026-02-11T09:00:00Z\n"


def read(asker: Asker, *times: object) -> cr.Telemetry:
    return cr.read(asker.put("a.csv", lines(*(f"{time},0.1" for time in times))))


def sums(points: list[dict[str, Any]], temporality: int = 2, name: str = "requests") -> str:
    """Write an export of one counter."""
    data = {"dataPoints": points, "aggregationTemporality": temporality, "isMonotonic": True}
    scope = {"metrics": [{"name": name, "sum": data}]}
    return json.dumps({"resourceMetrics": [{"resource": {"attributes": []}, "scopeMetrics": [scope]}]})


def point(minute: int, value: float, start: int = 0) -> dict[str, Any]:
    at = [str((S + 60 * one) * 10**9) for one in (start, minute)]
    return {"startTimeUnixNano": at[0], "timeUnixNano": at[1], "asDouble": value}


def values(asker: Asker, name: str, text: str) -> list[float | None]:
    samples = cr.read(asker.put(name, text)).samples
    assert samples is not None
    return list(samples.collect()["value"])


def test_case_040_times_without_a_zone_are_taken_as_utc_and_told(asker: Asker) -> None:
    got = read(asker, "2026-02-11T09:00:00")
    assert got.frame()["time"].to_list() == [START]
    assert told(got.notes, "carry no zone and were taken as UTC")


def test_case_041_mixed_offsets_become_utc(asker: Asker) -> None:
    got = read(asker, "2026-02-11T09:00:00Z", "2026-02-11T10:00:00+01:00", "2026-02-11T04:00:00-05:00")
    assert got.frame()["time"].to_list() == [START] * 3
    assert got.notes == ()


@pytest.mark.parametrize("local", ["2026-03-29T02:30:00", "2026-10-25T02:30:00"], ids=["gap", "overlap"])
def test_case_042_local_times_where_clocks_change(asker: Asker, local: str) -> None:
    path = asker.put("a.csv", lines(f"{local} Europe/Berlin,0.1"))
    asker.refused(path, f"holds '{local} Europe/Berlin', which is no time", "write ISO 8601 times")
    assert told(read(asker, local).notes, "were taken as UTC")
    window = f'[{{duration: 1d, calendar: {{startTime: "{local.replace("T", " ")}", timeZone: Europe/Berlin}}}}]'
    slo = asker.put("s.yaml", SLO.replace("[{duration: 28d, isRolling: true}]", window))
    table({}).write_parquet(asker.folder / "b.parquet")
    asker.refused(asker.folder / "b.parquet", "is skipped or comes twice in Europe/Berlin", slo=slo)


def test_case_043_a_calendar_day_on_which_clocks_change(asker: Asker) -> None:
    window = '[{duration: 1d, calendar: {startTime: "2026-01-01 00:00:00", timeZone: Europe/Berlin}}]'
    slo = cr.load_slos(asker.put("s.yaml", SLO.replace("[{duration: 28d, isRolling: true}]", window)))[0]
    short, long = (slo_window(slo, datetime(2026, *day, 12, tzinfo=UTC)) for day in ((3, 29), (10, 25)))
    assert [end - start for start, end in (short, long)] == [timedelta(hours=23), timedelta(hours=25)]


@pytest.mark.parametrize(("scale", "unit"), [(1, "seconds"), (10**3, "milliseconds"), (10**6, "microseconds")])
def test_case_044_epochs_are_told_apart_by_magnitude(asker: Asker, scale: int, unit: str) -> None:
    got = read(asker, S * scale, (S + 60) * scale)
    assert got.frame()["time"].to_list() == [START, START + timedelta(minutes=1)]
    assert told(got.notes, f"were taken as epoch {unit}")
    mixed = asker.put("m.csv", lines(f"{S},1", f"{(S + 60) * 10**3},1"))
    asker.refused(mixed, "column 'time'", "which is no one unit of epoch time", "write seconds")


@pytest.mark.parametrize("stray", ["1970-01-01T00:00:00Z", "2116-01-01T00:00:00Z"])
def test_case_045_stray_years(asker: Asker, stray: str) -> None:
    path = asker.put("a.csv", lines(*(f"2026-02-11T09:{at:02}:00Z,0.1" for at in range(60)), f"{stray},0.1"))
    asker.refused(path, "more than 5,000,000", "leave out rows with stray times", every="1m")
    notes = asker.budget(path, every="1h").notes
    assert told(notes, "hold requests; check for stray times")
    assert told(notes, "check the clocks")


def test_case_046_rows_out_of_order(asker: Asker) -> None:
    frame = table({"ttft_s": [0.1, 2.0] * 100})
    frame.write_parquet(asker.folder / "a.parquet")
    frame.sample(fraction=1, shuffle=True, seed=3).write_parquet(asker.folder / "b.parquet")
    said = [asker.budget(asker.folder / f"{name}.parquet") for name in "ab"]
    assert said[0].out == said[1].out != ""


def test_case_047_exact_copies_and_repeated_requests(tmp_path: Path) -> None:
    frame = table({})
    made = windows(pl.concat([frame, frame.head(7)]), tmp_path)
    assert told(made.notes, "7 of 207 requests are exact copies of others and were counted")
    frame = frame.with_columns(request_id=pl.int_range(pl.len()).cast(pl.String))
    made = windows(pl.concat([frame, frame.head(7)]), tmp_path)
    assert told(made.notes, "207 requests read: 200 used, 7 repeat an earlier request_id")
    assert made.frame()["ttft.total"].sum() == 200


def test_case_048_one_series_with_two_values_at_one_time(asker: Asker) -> None:
    (asker.folder / "fleet").mkdir()
    table({"service": ["chat"] * 200}).write_parquet(asker.folder / "fleet" / "requests.parquet")
    rows = [f"2026-02-11T09:00:00Z,chat,vllm:num_requests_running,{value}" for value in (1, 2)]
    asker.put("fleet/samples.csv", lines(*rows, head="time,service,metric,value"))
    asker.refused(asker.folder / "fleet", "'vllm:num_requests_running' of 'fleet' tells two values at 2026-02-11 09:00")
    scrape = asker.put("a.prom", SCRAPED + "up 1\nup 0\n")
    asker.refused(scrape, "'up' of", "tells two values at 2026-02-11 09:00", "export a label that tells")


def test_case_049_clocks_that_disagree(asker: Asker) -> None:
    table({"e2e_s": [-0.2] + [0.2] * 199}).write_parquet(asker.folder / "a.parquet")
    notes = asker.budget(asker.folder / "a.parquet").notes
    assert "1 of 200 values of 'e2e_s' are negative or not finite and were left out" in notes
    table({"e2e_s": [-0.2] * 3 + [0.2] * 197}).write_parquet(asker.folder / "a.parquet")
    asker.refused(asker.folder / "a.parquet", "3 of 200 values of 'e2e_s' are negative", "check the clocks")


def test_case_050_requests_that_end_before_they_begin(asker: Asker) -> None:
    rows = [{"start_time": S, "end_time": S - 1, "request": "{}", "response": "{}"}]
    path = asker.put("a.json", json.dumps([row | {"start_time": S + at} for at in range(5) for row in rows]))
    asker.refused(path, "5 of 5 values of 'e2e_s' are below zero or not finite", "check the clocks and units")
    sent = {"name": "chat", "spanId": "a", "traceId": "b", "startTimeUnixNano": S * 10**9, "endTimeUnixNano": 5}
    sent |= {"attributes": [{"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}}]}
    path = asker.put("b.json", json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [sent]}]}]}))
    asker.refused(path, "1 of 1 spans were over before they started", "check the clocks of the export")


def test_case_051_times_in_the_future(tmp_path: Path) -> None:
    ahead = timedelta(days=3)
    now = datetime.now(UTC) + ahead
    made = windows(table({"time": [now + timedelta(seconds=10 * at) for at in range(200)]}), tmp_path)
    assert told(made.notes, "which is in the future; check the clocks")


def test_case_052_a_leap_second(asker: Asker) -> None:
    got = read(asker, "2016-12-31T23:59:60Z").frame()["time"].to_list()
    assert got == [datetime(2017, 1, 1, tzinfo=UTC)]


def test_case_053_windows_without_data_are_never_good(tmp_path: Path) -> None:
    times = [START + timedelta(minutes=at) for at in (0, 1, 2, 30, 31)]
    made = windows(table({"time": times, "ttft_s": [2.0] * 5}, rows=5), tmp_path)
    assert made.frame().height == 32
    assert made.frame()["ttft.total"].null_count() == 27
    assert cr.budget(made).frame()["total"].to_list() == [5]


def test_case_054_a_counter_that_starts_again(asker: Asker) -> None:
    text = "".join(f"# scraped_at: {S + 60 * at}\nrequests_total {value}\n" for at, value in enumerate((5, 9, 0, 4)))
    assert values(asker, "a.prom", text) == [5, 9, 0, 4]
    assert cr.read(asker.folder / "a.prom").notes == ()


def test_case_055_a_counter_that_starts_again_with_a_new_start_time(asker: Asker) -> None:
    points = [point(1, 5), point(2, 9), point(3, 1, start=3), point(4, 4, start=3)]
    assert values(asker, "a.json", sums(points)) == [5, 9, 1, 4]
    assert values(asker, "b.json", sums(points, temporality=1)) == [5, 14, 15, 19]


def test_case_056_a_counter_that_falls_a_little(asker: Asker) -> None:
    path = asker.put("a.json", sums([point(1, 1000), point(2, 999.5), point(3, 1001)]))
    assert told(cr.read(path).notes, "1 sample of a counter is a little below the one before")


def test_case_057_stale_markers_are_missing_values(asker: Asker) -> None:
    assert values(asker, "a.prom", SCRAPED + "up NaN\n") == [None]
    assert "1 sample was not finite and made null" in cr.read(asker.folder / "a.prom").notes


def test_case_058_increments_mixed_with_totals(asker: Asker) -> None:
    asker.put("a.jsonl", sums([point(1, 5)], temporality=1) + "\n" + sums([point(2, 9)], temporality=2) + "\n")
    asker.refused(asker.folder / "a.jsonl", "'requests_total' of", "both in increments and in totals", "export one")


def test_a_clock_two_hundred_million_seconds_ahead(asker: Asker) -> None:
    times = [START + timedelta(seconds=60 * at) for at in range(199)] + [START + timedelta(seconds=200_000_000)]
    table({"time": times}).write_parquet(asker.folder / "a.parquet")
    asker.refused(asker.folder / "a.parquet", "to 2032-06-14 04:33", "more than 5,000,000", every="10s")
    assert told(asker.budget(asker.folder / "a.parquet", every="5m").notes, "check for stray times")
