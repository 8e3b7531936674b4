from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causalrel import SLO, CausalrelError, Telemetry, budget, window
from causalrel.telemetry.schema import TIME
from causalrel.windows.timeslices import judge_slices

START = datetime(2026, 2, 11, 9, tzinfo=UTC)


def sliced(method: Any, target: float = 0.0, minutes: int = 1, **more: Any) -> SLO:
    return SLO(
        name="up",
        dimension="availability",
        where="error IS NULL",
        target=0.9,
        method=method,
        slice_width=timedelta(minutes=minutes),
        slice_target=target,
        **more,
    )


def requests(rows: list[tuple[int, str, bool]]) -> Telemetry:
    """Return requests from (second, service, good)."""
    return Telemetry(
        requests=pl.LazyFrame(
            {
                "time": [START + timedelta(seconds=second) for second, _, _ in rows],
                "service": [service for _, service, _ in rows],
                "error": [None if good else "timeout" for _, _, good in rows],
            },
            schema_overrides={"time": TIME, "error": pl.String},
        )
    )


ROWS = st.lists(st.tuples(st.integers(0, 3599), st.sampled_from("ab"), st.booleans()), min_size=1, max_size=300)
SPAN = [(0, "a", True), (3599, "a", True)]


def recount(rows: list[tuple[int, str, bool]], slo: SLO, every: int) -> dict[tuple[str, int], tuple[int, Fraction]]:
    """Count slices one request at a time, in fractions."""
    slices: dict[tuple[str, int], list[bool]] = defaultdict(list)
    for second, service, good in rows:
        slices[service, second // int(slo.slice_width.total_seconds())].append(good)
    made: dict[tuple[str, int], tuple[int, Fraction]] = defaultdict(lambda: (0, Fraction(0)))
    for (service, number), goods in slices.items():
        share = Fraction(sum(goods), len(goods))
        bad = 1 - share if slo.method == "RatioTimeslices" else Fraction(share < Fraction(str(slo.slice_target)))
        key = service, number * int(slo.slice_width.total_seconds()) // every
        made[key] = (made[key][0] + 1, made[key][1] + bad)
    return made


@settings(max_examples=80, deadline=None)
@given(
    ROWS,
    st.sampled_from(["Timeslices", "RatioTimeslices"]),
    st.sampled_from([0.5, 0.6, 2 / 3, 0.7, 0.95, 1.0]),
    st.sampled_from([(1, "5m"), (5, "5m"), (1, "1m"), (10, "30m")]),
)
def test_slices_are_those_of_a_recount(
    rows: list[tuple[int, str, bool]], method: Any, target: float, widths: tuple[int, str]
) -> None:
    rows = SPAN + rows
    slo = sliced(method, target, widths[0])
    windows = window(requests(rows), [slo], every=widths[1])
    expected = recount(rows, slo, int(windows.width.total_seconds()))
    for row in windows.table.iter_rows(named=True):
        total, bad = expected[row["unit"], (row["time"] - START) // windows.width]
        if row["load"] is None:
            assert (row["up.total"], row["up.bad"], total) == (None, None, 0)
        else:
            assert row["up.total"] == total
            assert abs(row["up.bad"] - bad) <= 1e-14 * max(total, 1)
    assert windows.table.schema["up.bad"] == (pl.Int64 if method == "Timeslices" else pl.Float64)


@settings(max_examples=30, deadline=None)
@given(ROWS, st.randoms(use_true_random=False))
def test_order_of_requests_changes_no_bit(rows: list[tuple[int, str, bool]], order: Any) -> None:
    rows = SPAN + rows
    mixed = list(rows)
    order.shuffle(mixed)
    slos = [sliced("RatioTimeslices")]
    assert window(requests(rows), slos).table.equals(window(requests(mixed), slos).table)


def test_a_budget_of_slices_is_their_recount() -> None:
    rows = [*SPAN, *[(60 * minute + 1, "a", minute % 7 > 0) for minute in range(60)], (1, "b", False), (61, "b", True)]
    for method in ("Timeslices", "RatioTimeslices"):
        slo = sliced(method, 0.95)
        made = budget(window(requests(rows), [slo]))
        counted = recount(rows, slo, 300).values()
        total, bad = sum(one[0] for one in counted), float(sum(one[1] for one in counted))
        (whole,) = made.table.filter(pl.col("unit") == "all").to_dicts()
        assert (whole["total"], whole["bad"]) == (total, pytest.approx(bad, abs=1e-12))
        assert whole["spent"] == pytest.approx(bad / (0.1 * total), abs=1e-12)
        assert whole["burn_low"] < whole["burn"] < whole["burn_high"]
        assert made.timeline["bad"].sum() == pytest.approx(bad, abs=1e-12)


def test_slices_and_requests_stand_side_by_side() -> None:
    plain = SLO(name="all", dimension="availability", where="error IS NULL", target=0.9)
    other = SLO(**{**{f: getattr(plain, f) for f in plain.__dataclass_fields__}, "name": "share"})
    rows = [*SPAN, (1, "a", False), (2, "a", True), (61, "a", True)]
    alone = window(requests(rows), [plain])
    both = window(requests(rows), [plain, sliced("Timeslices", 1.0), sliced_named(other, "RatioTimeslices")])
    assert both.table.select(alone.table.columns).equals(alone.table)
    assert budget(both).table.filter(slo="all")["bad"].to_list() == [1.0, 1.0]
    assert budget(both).table.filter(slo="share", unit="all")["bad"].item() == pytest.approx(2 / 4 - 1 / 4 + 1 / 12)
    assert budget(alone).table.schema["bad"] == pl.Int64


def sliced_named(slo: SLO, method: Any) -> SLO:
    from dataclasses import replace

    return replace(slo, method=method, slice_width=timedelta(minutes=1))


def test_a_slice_on_the_target_is_good() -> None:
    slices = pl.DataFrame({"total": [100, 100, 1000, 3, 0], "bad": [5, 6, 50, 0, 0], "unit": list("abcde")})
    assert judge_slices(slices, sliced("Timeslices", 0.95)).rows() == [
        (1, 0, "a"),
        (1, 1, "b"),
        (1, 0, "c"),
        (1, 0, "d"),
    ]
    tenth = pl.DataFrame({"total": [10], "bad": [3]})
    assert judge_slices(tenth, sliced("Timeslices", 0.7))["bad"].to_list() == [0]
    assert judge_slices(tenth, sliced("RatioTimeslices"))["bad"].to_list() == [0.3]


def test_slices_that_do_not_fill_a_window_are_refused() -> None:
    with pytest.raises(CausalrelError, match=r"SLO 'up' judges slices of 1h, which do not fill windows of 5m; .*'1h'"):
        window(requests(SPAN), [sliced("Timeslices", 0.95, 60)])
    with pytest.raises(CausalrelError, match="slices of 2m, which do not fill windows of 5m"):
        window(requests(SPAN), [sliced("Timeslices", 0.95, 2)])


def test_a_shared_tier_and_failed_predicates_are_judged_as_for_requests() -> None:
    """A value that windows leave out (a negative latency) is left out of slices too."""
    data = Telemetry(
        requests=pl.LazyFrame(
            {
                "time": [START + timedelta(seconds=second) for second in range(0, 600, 2)],
                "ttft_s": [-1.0] + [0.5] * 299,
            },
            schema_overrides={"time": TIME},
        )
    )
    from dataclasses import replace

    slo = replace(sliced("Timeslices", 1.0), where="ttft_s > 0")
    made = window(data, [slo])
    assert made.table["up.bad"].sum() == 0
    assert made.table["up.total"].sum() == 10
