from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from causalrel import SLO, CausalrelError, load_slos
from causalrel.slos import slo_window, slos_fingerprint

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
        ("budgetingMethod: Occurrences", "budgetingMethod: Timeslices", "Timeslices is not computed yet"),
        ("budgetingMethod: Occurrences", "budgetingMethod: RatioTimeslices", "RatioTimeslices is not computed yet"),
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
    with pytest.raises(CausalrelError, match=r"Timeslices is not computed.*'1m' is shorter.*target 99\.9"):
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
