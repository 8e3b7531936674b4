from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import causalrel as cr
from causalrel import CausalrelError, Windows, budget, budgets
from causalrel.estimates import Check

START = datetime(2026, 2, 11, tzinfo=UTC)


def counted(rows: list[tuple[int, str, int, int]], target: float = 0.99, **more: Any) -> Windows:
    """Return hourly windows from (hour, unit, total, bad)."""
    frame = pl.DataFrame(rows, schema=["hour", "unit", "n", "bad"], orient="row").with_columns(
        t=pl.lit(START) + pl.duration(hours="hour")
    )
    made = Windows.from_frame(
        frame, time="t", unit="unit", roles={}, events={"ttft": ("n", "bad")}, targets={"ttft": target}, every="1h"
    )
    return replace(made, slos=tuple(replace(slo, **more) for slo in made.slos))


def row(made: cr.Budget, unit: str = "all") -> dict[str, Any]:
    (found,) = made.table.filter(pl.col("unit") == unit).to_dicts()
    return found


def test_events_are_counted_exactly() -> None:
    made = budget(counted([(0, "a", 900, 4), (1, "a", 1100, 7), (0, "b", 500, 30), (2, "b", 0, 0)]))
    whole = row(made)
    assert (whole["total"], whole["bad"], whole["allowed"], whole["left"]) == (2500, 41, 25.0, -16.0)
    assert whole["spent"] == pytest.approx(1.64)
    assert whole["burn"] == pytest.approx(1.64)
    assert row(made, "a")["spent"] == pytest.approx(0.55)
    assert made.table["unit"].to_list() == ["all", "a", "b"]
    assert made.as_of == START + timedelta(hours=3)
    assert made.timeline["spent"].to_list()[-1] == pytest.approx(whole["spent"])
    assert made.timeline["allowed"].to_list()[-1] == pytest.approx(whole["allowed"])


def test_a_mean_of_window_ratios_would_say_otherwise() -> None:
    made = budget(counted([(0, "a", 10, 0), (1, "a", 990, 10)], target=0.99))
    assert row(made)["spent"] == pytest.approx(1.0)


def test_targets_do_not_leak_rounding() -> None:
    made = budget(counted([(0, "a", 100_000, 5000), (1, "a", 100_000, 5000)], target=0.95))
    assert row(made)["allowed"] == 10_000.0
    assert row(made)["left"] == 0.0
    assert row(made)["spent"] == 1.0


ROWS = st.dictionaries(
    st.tuples(st.integers(0, 30), st.sampled_from("abc")),
    st.tuples(st.integers(0, 500), st.integers(0, 500)).map(lambda pair: (max(pair), min(pair))),
    min_size=1,
    max_size=40,
)


@settings(max_examples=40, deadline=None)
@given(ROWS, st.integers(0, 30))
def test_the_ledger_adds_up_over_units_and_windows(cells: dict[Any, Any], cut: int) -> None:
    rows = [(hour, unit, total, bad) for (hour, unit), (total, bad) in cells.items()]
    made = budget(counted(rows))
    whole = row(made)
    units = made.table.filter(pl.col("unit") != "all")
    for name in ("total", "bad"):
        assert units[name].sum() == whole[name] == made.timeline[name].sum()
        parts = [[r for r in rows if r[0] < cut], [r for r in rows if r[0] >= cut]]
        assert sum(row(budget(counted(part)))[name] for part in parts if part) == whole[name]
    for name in ("allowed", "left"):
        assert units[name].sum() == pytest.approx(whole[name], abs=1e-6)
    assert (made.table["left"] + made.table["bad"] - made.table["allowed"]).abs().max() < 1e-6


def test_no_events_are_nulls_and_no_answer() -> None:
    made = budget(counted([(0, "a", 0, 0), (1, "a", 0, 0)]))
    assert made.verdict == "refused"
    whole = row(made)
    assert [whole[name] for name in ("total", "spent", "burn", "burn_low", "chance_over")] == [
        0,
        None,
        None,
        None,
        None,
    ]
    assert "no SLO counted an event" in made.burns.why
    one = budget(counted([(0, "a", 0, 0), (1, "b", 50, 1)]))
    assert one.verdict == "answered"
    assert row(one, "a")["burn_high"] is None
    assert row(one, "b")["burn_high"] > 0


def test_burn_is_the_jeffreys_posterior() -> None:
    made = budget(counted([(0, "a", 400, 3), (1, "a", 600, 5)]))
    exact = stats.beta(8.5, 992.5)
    whole = row(made)
    assert whole["burn_low"] == pytest.approx(exact.ppf(0.05) / 0.01, rel=0.05)
    assert whole["burn_high"] == pytest.approx(exact.ppf(0.95) / 0.01, rel=0.05)
    assert whole["chance_over"] == pytest.approx(exact.sf(0.01), abs=0.03)
    assert made.burns.select(of_unit="all").chance(above=1.0) == whole["chance_over"]


def test_no_bad_events_still_leave_doubt() -> None:
    whole = row(budget(counted([(0, "a", 150, 0), (1, "a", 150, 0)])))
    assert whole["burn"] == 0.0
    assert 0.3 < whole["burn_high"] < 1.1


def test_scattered_windows_widen_the_interval() -> None:
    even = budget(counted([(hour, "a", 100, 2) for hour in range(40)]))
    bursts = budget(counted([(hour, "a", 100, 40 if hour in (7, 21) else 0) for hour in range(40)]))
    assert row(even)["bad"] == row(bursts)["bad"]
    spread = [row(made)["burn_high"] - row(made)["burn_low"] for made in (even, bursts)]
    assert spread[1] > 3 * spread[0]
    (check,) = [check for check in bursts.checks if check.name == "dispersion ttft"]
    assert not check.passed
    assert "its interval was widened for it" in check.says


def test_intervals_cover_the_true_burn_of_bursty_windows() -> None:
    """90 % intervals over 200 repeats: a binomial of 200 at 0.9 has sd 2.1 %, so 83 % is more than 3 sd low."""
    rng = np.random.default_rng(1)
    hits = 0
    for repeat in range(200):
        rate = 0.02 * rng.gamma(0.5, 2.0, size=120)
        rows = [(hour, "a", 200, int(rng.binomial(200, min(p, 1.0)))) for hour, p in enumerate(rate)]
        whole = row(budget(counted(rows, target=0.98), seed=repeat))
        hits += whole["burn_low"] <= 1.0 <= whole["burn_high"]
    assert hits / 200 >= 0.83


def test_rolling_window_and_as_of() -> None:
    windows = counted([(hour, "a", 100, hour // 12) for hour in range(48)], period=timedelta(days=1))
    last = budget(windows)
    assert row(last)["total"] == 2400
    assert row(last)["bad"] == 12 * 2 + 12 * 3
    assert "the data cover 1 day of 1 day of ttft" in last.checks[0].says
    early = budget(windows, as_of="2026-02-11T12:30")
    assert row(early)["total"] == 1200
    assert not early.checks[0].passed
    assert early.checks[0].says.endswith("; the budget is of that part alone")
    assert budget(windows, as_of=datetime(2026, 2, 11, 13, 30, tzinfo=UTC)).as_of.hour == 13
    with pytest.raises(CausalrelError, match="as_of 2026-02-11 00:10 leaves no window"):
        budget(windows, as_of="2026-02-11T00:10Z")
    with pytest.raises(CausalrelError, match="as_of 'noon' is not a time"):
        budget(windows, as_of="noon")


def test_calendar_window_starts_at_local_midnight() -> None:
    windows = counted(
        [(hour, "a", 10, 1) for hour in range(48)],
        period=timedelta(days=1),
        rolling=False,
        start="2026-01-01 00:00:00",
        zone="Asia/Tokyo",
    )
    made = budget(windows, as_of="2026-02-12T18:00")
    assert row(made)["total"] == 30
    assert made.timeline["time"].min() == datetime(2026, 2, 12, 15, tzinfo=UTC)
    with pytest.raises(CausalrelError, match="starts counting at 2027"):
        budget(replace(windows, slos=(replace(windows.slos[0], start="2027-01-01 00:00:00"),)))


def test_same_seed_same_numbers() -> None:
    windows = counted([(hour, unit, 100, hour % 3) for hour in range(20) for unit in "ab"])
    assert budget(windows, seed=3).table.equals(budget(windows, seed=3).table)
    assert budget(windows, seed=3).table["burn_low"].to_list() != budget(windows, seed=4).table["burn_low"].to_list()


def test_a_unit_named_all_is_the_whole() -> None:
    assert budget(counted([(0, "all", 10, 1), (1, "all", 10, 1)])).table["unit"].to_list() == ["all"]


def test_a_budget_shows_itself() -> None:
    made = budget(counted([(hour, unit, 100, 1) for hour in range(3) for unit in ("<b>", "c")]))
    assert "error budgets as of 2026-02-11 03:00 UTC" in repr(made)
    assert "&lt;b&gt;" in made._repr_html_()
    assert made.frame().equals(made.table)
    facts = made.facts()
    assert next(iter(facts)) == "verdict"
    assert facts["budgets"][0]["total"] == 600


def test_a_sampler_that_did_not_converge_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from causalrel.bridges import pymc as bridge

    bad = (Check(name="sampler chains agree", passed=False, says="largest r_hat is 1.240 (1.01 at most)"),)
    half = np.full((4000, 2), 0.5)
    monkeypatch.setattr(bridge, "pooled_rates", lambda bad_, total, factors, seed: (half, bad))
    made = budget(counted([(hour, unit, 100, 1) for hour in range(3) for unit in "ab"]), pool="nuts")
    assert made.verdict == "refused"
    assert made.burns.draws.size == 0
    assert row(made)["burn_low"] is None
    assert row(made)["bad"] == 6
    assert "largest r_hat is 1.240" in made.burns.why


def test_one_unit_is_not_pooled() -> None:
    windows = counted([(hour, "a", 100, 1) for hour in range(3)])
    made = budget(windows, pool="nuts")
    assert "ttft has one unit, which was not pooled" in [check.says for check in made.checks]
    assert row(made)["burn_low"] == row(budget(windows))["burn_low"]


def test_pooling_pulls_a_quiet_unit_towards_the_others() -> None:
    rows = [
        (hour, unit, 200, (hour + 3 * place) % (4 + place)) for hour in range(10) for place, unit in enumerate("abcd")
    ]
    rows.append((0, "quiet", 4, 1))
    windows = counted(rows)
    alone, pooled = budget(windows), budget(windows, pool="nuts")
    assert pooled.verdict == "answered"
    assert row(pooled, "quiet")["burn_high"] < 0.5 * row(alone, "quiet")["burn_high"]
    assert row(pooled, "all")["burn_low"] < row(pooled, "all")["burn"] < row(pooled, "all")["burn_high"]
    assert sum(check.name.startswith("sampler") for check in pooled.checks) == 5


def test_a_budget_loads_nothing_heavy() -> None:
    code = (
        "import sys, causalrel as cr\n"
        "cr.budget(cr.window(cr.load_dataset('llm-canary'), cr.load_slos('llm-chat')))\n"
        "heavy = 'pandas dowhy pgmpy pymc arviz matplotlib scipy sklearn networkx'.split()\n"
        "sys.exit(', '.join(name for name in heavy if name in sys.modules) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert budgets.Budget is cr.Budget
