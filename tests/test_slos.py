from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causalrel import SLO, CausalrelError, load_slos
from causalrel.slos import slo_window, slos_fingerprint

OPENSLO = Path(__file__).parent / "golden" / "openslo"

GOOD = """
apiVersion: openslo/v1
kind: SLO
metadata:
  name: ttft
  labels: {tier: gold, dimension: latency}
  annotations: {owner: serving}
spec:
  service: chat
  indicator:
    metadata: {name: first-token}
    spec:
      ratioMetric:
        good: {metricSource: {type: causalrel, spec: {where: "ttft_s <= 1 AND error IS NULL"}}}
        total: {metricSource: {type: causalrel, spec: {where: "prompt_tokens > 0"}}}
  timeWindow: [{duration: 28d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.99}]
"""
THRESHOLD = """
apiVersion: openslo/v1
kind: SLI
metadata: {name: first-token}
spec: {thresholdMetric: {metricSource: {type: causalrel, spec: {column: ttft_s}}}}
---
apiVersion: openslo/v1
kind: Service
metadata: {name: chat}
spec: {}
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: ttft}
spec:
  indicatorRef: first-token
  timeWindow: [{duration: 1M, calendar: {startTime: "2026-01-31 00:00:00", timeZone: Europe/Berlin}}]
  budgetingMethod: Occurrences
  objectives: [{op: lte, value: 0.5, targetPercent: 99.9}]
"""


def load(tmp_path: Path, text: str) -> tuple[SLO, ...]:
    path = tmp_path / "slo.yaml"
    path.write_text(text)
    return load_slos(path)


def test_shipped_documents_load() -> None:
    assert [(s.name, s.target, s.dimension, s.owner) for s in load_slos("llm-chat")] == [
        ("ttft", 0.95, "latency", "serving"),
        ("tpot", 0.95, "latency", "serving"),
        ("availability", 0.99, "availability", "serving"),
        ("quality", 0.95, "quality", "serving"),
        ("cost", 0.95, "cost", "serving"),
        ("energy", 0.95, "energy", "serving"),
        ("ttft-paid", 0.95, "latency", "serving"),
        ("ttft-free", 0.95, "latency", "serving"),
    ]
    assert {s.tier for s in load_slos("llm-chat")} == {"", "paid", "free"}
    assert [s.where for s in load_slos("llm-load-test")] == ["ttft_s <= 1 AND error IS NULL", "error IS NULL"]


def test_ratio_metric_with_labels(tmp_path: Path) -> None:
    (slo,) = load(tmp_path, GOOD)
    assert (slo.tier, slo.owner, slo.among) == ("gold", "serving", "prompt_tokens > 0")
    assert slo.allowed == 0.01
    assert slo.period == timedelta(days=28)


def test_bad_events_and_several_objectives(tmp_path: Path) -> None:
    text = GOOD.replace("good: {", "bad: {").replace('"ttft_s <= 1 AND error IS NULL"', '"ttft_s > 1"')
    slos = load(tmp_path, text.replace("[{target: 0.99}]", "[{target: 0.99}, {targetPercent: 95}]"))
    assert [(s.name, s.where, s.target) for s in slos] == [
        ("ttft-1", "NOT (ttft_s > 1)", 0.99),
        ("ttft-2", "NOT (ttft_s > 1)", 0.95),
    ]


def test_threshold_metric_reference_and_calendar(tmp_path: Path) -> None:
    (slo,) = load(tmp_path, THRESHOLD)
    assert slo.where == '"ttft_s" <= 0.5'
    assert slo.target == 0.999
    assert (slo.rolling, slo.months, slo.zone) == (False, 1, "Europe/Berlin")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("target: 0.99", "target: 1.2", r"target 1\.2 is not a share between 0 and 1; did you mean 0\.999\?"),
        ("target: 0.99", "target: 1.0", r"target 1 is not a share .*did you mean 0\.999\?"),
        ("target: 0.99", "target: 99.9", r"target 99\.9 is not a share .*did you mean 0\.999\?"),
        ("target: 0.99", "target: nan", "target nan is not a share"),
        ("target: 0.99", "target: high", "objectives.0.target: .*number"),
        ("target: 0.99", "target: 0.99, targetPercent: 99", "exactly one of target and targetPercent"),
        ("target: 0.99", "displayName: none", "exactly one of target and targetPercent"),
        ("target: 0.99", "targetPercent: 100", r"targetPercent 100 is not between 0 and 100; did you mean 99\.9"),
        ("target: 0.99", "target: 0.99, op: lt, value: 1", "op and value belong to a thresholdMetric"),
        ("duration: 28d", "duration: 1m", r"shorter than an hour \(m means minutes, M months\); did you mean '1M'"),
        ("duration: 28d", "duration: 28", "duration '28' is not a whole number and one of"),
        ("duration: 28d", "duration: 0d", "duration '0d' is not"),
        ("isRolling: true", "isRolling: false", "exactly one of isRolling: true and calendar"),
        ("{duration: 28d, isRolling: true}", "", "timeWindow takes one entry, not 0"),
        ("budgetingMethod: Occurrences", "budgetingMethod: Timeslices", "Timeslices needs a timeSliceTarget"),
        ("budgetingMethod: Occurrences", "budgetingMethod: Timeslices", "Timeslices needs a timeSliceWindow"),
        ("budgetingMethod: Occurrences", "budgetingMethod: RatioTimeslices", "RatioTimeslices needs a timeSliceWindow"),
        ("target: 0.99", "target: 0.99, timeSliceTarget: 0.9", "belong to budgetingMethod Timeslices, not to Occurr"),
        ("target: 0.99", "target: 0.99, timeSliceWindow: 1m", "belong to budgetingMethod Timeslices, not to Occurr"),
        ("target: 0.99", "target: 0.99, compositeWeight: 2", "compositeWeight takes several objectives"),
        ("budgetingMethod: Occurrences", "budgetingMethod: Often", "spec.budgetingMethod: input should be"),
        ("kind: SLO", "kind: SLOs", "kind 'SLOs'; did you mean 'SLO'"),
        ("openslo/v1", "openslo/v2", "apiVersion 'openslo/v2', not 'openslo/v1'"),
        ("objectives:", "objektives:", "unknown key 'spec.objektives'; did you mean 'objectives'"),
        ("name: ttft", "name: ../../etc/x", "its name must be lower-case"),
        ("type: causalrel", "type: Prometheus", "metricSource has type 'Prometheus'; write type causalrel"),
        ("ttft_s <= 1 AND error IS NULL", "a; import os", "more than one statement"),
        ("ttft_s <= 1 AND error IS NULL", "read_csv('x')", "'read csv' is not allowed"),
        ("where:", "query:", "takes just 'where', not query"),
        ("dimension: latency", "dimension: latenzy", "'latenzy' is not known; did you mean 'latency'"),
        ("indicator:", "indicatorRef: nowhere\n  indicators:", "unknown key"),
        ("metadata: {name: first-token}", "metadata: {name: a, name: b}", "key 'name' is written twice"),
    ],
)
def test_bad_documents_are_one_sentence(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(CausalrelError, match=said) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))
    assert caught.value.reason in {"spec", "data"}
    assert "\n" not in str(caught.value)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("0.99", "99.9").replace("28d", "1m").replace("Occurrences", "Timeslices")
    with pytest.raises(CausalrelError, match=r"'1m' is shorter.*Timeslices needs a timeSliceWindow.*target 99\.9"):
        load(tmp_path, text)


def test_two_slos_of_one_name(tmp_path: Path) -> None:
    with pytest.raises(CausalrelError, match="two SLOs are named 'ttft'"):
        load(tmp_path, f"{GOOD}---{GOOD}")


def test_reference_to_nothing(tmp_path: Path) -> None:
    with pytest.raises(CausalrelError, match="indicatorRef 'first-tokens' names no SLI; did you mean 'first-token'"):
        load(tmp_path, THRESHOLD.replace("indicatorRef: first-token", "indicatorRef: first-tokens"))


def test_zone_that_does_not_exist(tmp_path: Path) -> None:
    for zone in ("Europe/Berlim", "../../etc/passwd"):
        with pytest.raises(CausalrelError, match="IANA name"):
            load(tmp_path, THRESHOLD.replace("Europe/Berlin", zone))


def test_file_without_slo_and_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(CausalrelError, match="it holds no document of kind SLO"):
        load(tmp_path, THRESHOLD.split("---")[0])
    with pytest.raises(CausalrelError, match="there is no SLO file 'llm-chatt'; did you mean 'llm-chat'"):
        load_slos("llm-chatt")


def test_calendar_months_keep_local_midnight_and_the_last_day(tmp_path: Path) -> None:
    (slo,) = load(tmp_path, THRESHOLD)
    start, end = slo_window(slo, datetime(2026, 3, 30, 12, tzinfo=UTC))
    assert start == datetime(2026, 2, 27, 23, tzinfo=UTC)
    assert end == datetime(2026, 3, 30, 22, tzinfo=UTC)
    assert slo_window(slo, end) == (start, end)


def test_a_calendar_day_of_the_clock_change_has_23_hours() -> None:
    slo = SLO(
        name="d",
        dimension="latency",
        target=0.9,
        period=timedelta(days=1),
        rolling=False,
        start="2026-01-01 00:00:00",
        zone="Europe/Berlin",
    )
    start, end = slo_window(slo, datetime(2026, 3, 29, 12, tzinfo=UTC))
    assert end - start == timedelta(hours=23)
    with pytest.raises(CausalrelError, match="starts counting at 2026-01-01"):
        slo_window(slo, datetime(2025, 1, 1, tzinfo=UTC))


def test_fingerprint_follows_every_field() -> None:
    base = SLO(name="a", dimension="latency", target=0.9)
    other = SLO(name="a", dimension="latency", target=0.9, among="tier = 'gold'")
    assert slos_fingerprint((base,)) != slos_fingerprint((other,))
    assert base.frame()["target"].to_list() == [0.9]
    assert "90% of events good" in repr(base)
    assert "<table>" in base._repr_html_()


SLICES = GOOD.replace("Occurrences", "Timeslices").replace(
    "target: 0.99", "target: 0.99, timeSliceTarget: 0.95, timeSliceWindow: 5m"
)


def test_time_slices_are_read(tmp_path: Path) -> None:
    (slo,) = load(tmp_path, SLICES)
    assert (slo.method, slo.slice_width, slo.slice_target) == ("Timeslices", timedelta(minutes=5), 0.95)
    assert slo.facts()["slice_s"] == 300
    assert "99% of slices of 5 minutes good" in repr(slo)
    (plain,) = load(tmp_path, GOOD)
    assert {"method", "composite"} & set(plain.facts()) == set()
    (bare,) = load(tmp_path, SLICES.replace("timeSliceWindow: 5m", "timeSliceWindow: 5"))
    assert bare == slo
    ratio = SLICES.replace("budgetingMethod: Timeslices", "budgetingMethod: RatioTimeslices")
    (slo,) = load(tmp_path, ratio.replace("timeSliceTarget: 0.95, timeSliceWindow: 5m", "timeSliceWindow: 1h"))
    assert (slo.method, slo.slice_width, slo.slice_target) == ("RatioTimeslices", timedelta(hours=1), 0.0)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("timeSliceTarget: 0.95", "timeSliceTarget: 0", "timeSliceTarget 0 is not a share above 0 and at most 1"),
        ("timeSliceTarget: 0.95", "timeSliceTarget: 95", "timeSliceTarget 95 is not a share"),
        ("timeSliceTarget: 0.95", "timeSliceTarget: nan", "timeSliceTarget nan is not a share"),
        ("timeSliceWindow: 5m", "timeSliceWindow: 1M", "'1M' is not a whole number of minutes"),
        ("timeSliceWindow: 5m", "timeSliceWindow: 0", "'0' is not a whole number of minutes"),
        ("timeSliceWindow: 5m", "timeSliceWindow: -5m", "'-5m' is not a whole number of minutes"),
        ("budgetingMethod: Timeslices", "budgetingMethod: RatioTimeslices", "timeSliceTarget belongs to Timeslices"),
        ("target: 0.99", "target: 0.99, op: lt", "op and value belong to a thresholdMetric"),
        ("target: 0.99", "target: 0.99, op: gt, value: 1", "op and value belong to a thresholdMetric"),
    ],
)
def test_bad_time_slices_are_one_sentence(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(CausalrelError, match=said) as caught:
        load(tmp_path, SLICES.replace(old, new, 1))
    assert "\n" not in str(caught.value)


def test_weighted_objectives_are_a_composite(tmp_path: Path) -> None:
    goals = "[{target: 0.99, compositeWeight: 3}, {target: 0.9}]"
    made = load(tmp_path, GOOD.replace("[{target: 0.99}]", goals))
    assert [(s.name, s.composite, s.weight) for s in made] == [("ttft-1", "ttft", 3.0), ("ttft-2", "ttft", 1.0)]
    assert made[0].facts()["weight"] == 3.0
    for weight in ("0", "-1", "nan"):
        with pytest.raises(CausalrelError, match=f"compositeWeight {weight} is not a number above 0"):
            load(tmp_path, GOOD.replace("[{target: 0.99}]", goals.replace("3", weight)))


EXAMPLES = [*sorted(path.name for path in OPENSLO.glob("*__*slo.yaml")), "budgeting-method__ratio-timeslices.yaml"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_of_openslo_load_once_their_metrics_are_ours(tmp_path: Path, name: str) -> None:
    """Their metric sources are placeholders and one means a month by ``1m``; all else stays as it was written."""
    text = (OPENSLO / name).read_text(encoding="utf-8")
    assert not text.count("causalrel")
    with pytest.raises(CausalrelError, match="metricSource has type 'Any'; write type causalrel") as caught:
        load(tmp_path, text)
    said = caught.value.message.replace("; did you mean '1M'?", "").partition(" is not usable: ")[2].split("; SLO ")
    assert all("metricSource" in part or "shorter than an hour" in part for part in said)
    where = "column: ttft_s" if "thresholdMetric" in text else 'where: "error IS NULL"'
    ours = text.replace("type: Any", "type: causalrel").replace("query: Any", where)
    made = load(tmp_path, ours.replace("duration: 1m", "duration: 1M"))
    assert [(s.method, s.slice_target, s.zone) for s in made] == {
        "budgeting-method__occurences-slo.yaml": [("Occurrences", 0.0, "UTC")],
        "budgeting-method__ratio-timeslices.yaml": [("RatioTimeslices", 0.0, "UTC")],
        "budgeting-method__timeslices-slo.yaml": [("Timeslices", 0.99, "America/New_York")] * 2,
        "treat-low-traffic-as-equally-important__timeslices-slo.yaml": [("Timeslices", 0.95, "America/New_York")],
    }[name]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("invalid-apiversion.yaml", "document 1 has apiVersion 'foo', not 'openslo/v1'"),
        ("mix__1.yaml", "document 1 has apiVersion 'openslo/v1alpha', not 'openslo/v1'"),
        ("mix__2.yaml", "document 1: Service name 'example service' takes letters, digits"),
        ("mix__3.yaml", "document 1 has apiVersion 'openslo.com/v2alpha', not 'openslo/v1'"),
        ("unknown-field.yaml", "unknown key 'spec.markdown'"),
        ("unknown-field.yaml", "Service name 'my-rad service' takes letters, digits"),
        ("v1.yaml", "document 3: Service name 'example service' takes letters, digits"),
        ("v1.yaml", "SLO 'web-availability': metricSource has type 'Prometheus'; write type causalrel"),
        ("v1alpha.yaml", "document 4 has apiVersion 'openslo/v1alpha', not 'openslo/v1'"),
    ],
)
def test_inputs_of_the_validator_are_refused_in_one_sentence(name: str, said: str) -> None:
    with pytest.raises(CausalrelError) as caught:
        load_slos(OPENSLO / name)
    assert said in caught.value.message
    assert "\n" not in caught.value.message


def test_other_kinds_are_checked_and_passed_over(tmp_path: Path) -> None:
    others = """
---
apiVersion: openslo/v1
kind: DataSource
metadata: {name: prom}
spec: {type: Prometheus, connectionDetails: {url: "http://localhost"}}
---
apiVersion: openslo/v1
kind: AlertCondition
metadata: {name: cpu}
spec: {severity: page, condition: {kind: burnrate, op: gt, threshold: 2, lookbackWindow: 1h, alertAfter: 5m}}
---
apiVersion: openslo/v1
kind: AlertPolicy
metadata: {name: AlertPolicy}
spec:
  alertWhenBreaching: true
  conditions: [{conditionRef: cpu}]
  notificationTargets: [{targetRef: OnCall}]
---
apiVersion: openslo/v1
kind: AlertNotificationTarget
metadata: {name: OnCall}
spec: {target: email}
"""
    assert load(tmp_path, GOOD + others)[0].name == "ttft"
    for old, new, said in [
        ("threshold: 2", "threshold: high", "spec.condition.threshold: input should be a valid number"),
        ("target: email", "targets: email", "unknown key 'spec.targets'; did you mean 'target'"),
        ("conditions: [{conditionRef: cpu}]", "conditions: []", "spec.conditions: list should have at least 1 item"),
        ("type: Prometheus, ", "", "spec.type: field required"),
    ]:
        with pytest.raises(CausalrelError, match=said):
            load(tmp_path, GOOD + others.replace(old, new))


ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia")


def wall_edges(slo: SLO, until: datetime) -> list[datetime]:
    """Return every start of a calendar window, walked from the first one on the wall clock, a day at a time."""
    zone, first = ZoneInfo(slo.zone), datetime.fromisoformat(slo.start)
    edges, day, count = [], first, 0
    while (edge := day.replace(tzinfo=zone).astimezone(UTC)) <= until + timedelta(days=400):
        edges.append(edge)
        count += 1
        if not slo.months:
            day = day + slo.period
            continue
        year, month = first.year, first.month
        for _ in range(count * slo.months):
            year, month = (year + 1, 1) if month == 12 else (year, month + 1)
        wanted = first.day
        while True:
            try:
                day = first.replace(year=year, month=month, day=wanted)
                break
            except ValueError:
                wanted -= 1
    return edges


@settings(max_examples=120, deadline=None)
@given(
    st.datetimes(datetime(1999, 1, 1), datetime(2027, 1, 1)),
    st.integers(1, 10_000),
    st.sampled_from([(1, 0), (7, 0), (10, 0), (30, 1), (90, 3), (365, 12)]),
    st.sampled_from(ZONES),
)
def test_calendar_windows_are_those_of_the_wall_clock(
    start: datetime, after: int, length: tuple[int, int], zone: str
) -> None:
    start = start.replace(microsecond=0)
    slo = SLO(
        name="d",
        dimension="latency",
        target=0.9,
        period=timedelta(days=length[0]),
        months=length[1],
        rolling=False,
        start=start.isoformat(sep=" "),
        zone=zone,
    )
    as_of = start.replace(tzinfo=UTC) + timedelta(days=1, hours=after)
    edges = wall_edges(slo, as_of)
    before = [edge for edge in edges if edge < as_of]
    assert slo_window(slo, as_of) == (before[-1], edges[len(before)])


def test_a_month_of_a_calendar_begun_long_ago_is_this_month() -> None:
    slo = SLO(
        name="m",
        dimension="latency",
        target=0.9,
        period=timedelta(days=30),
        months=1,
        rolling=False,
        start="1996-01-01 00:00:00",
        zone="America/New_York",
    )
    start, end = slo_window(slo, datetime(2026, 7, 20, tzinfo=UTC))
    assert (start, end) == (datetime(2026, 7, 1, 4, tzinfo=UTC), datetime(2026, 8, 1, 4, tzinfo=UTC))
