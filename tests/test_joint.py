"""Joint SLOs: a request is good where it is good for each SLO named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import causalrel as cr

ONE = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: NAME, labels: {LABELS}}
spec:
  indicator:
    metadata: {name: NAME-good}
    spec:
      ratioMetric:
        good: {metricSource: {type: causalrel, spec: {SPEC}}}
        total: {metricSource: {type: causalrel, spec: {TOTAL}}}
  timeWindow: [{duration: 28d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.9}]
"""


def one(name: str, spec: str, total: str = "", labels: str = "") -> str:
    return ONE.replace("NAME", name).replace("SPEC", spec).replace("TOTAL", total).replace("LABELS", labels)


PARTS = [
    one("fast", 'where: "ttft_s <= 1"'),
    one("cheap", 'where: "cost_usd <= 2"'),
    one("up", 'where: "error IS NULL"'),
]


def load(tmp_path: Path, *documents: str) -> tuple[cr.SLO, ...]:
    path = tmp_path / "slos.yaml"
    path.write_text("---".join(documents))
    return cr.load_slos(path)


def test_a_joint_slo_has_the_predicates_of_its_parts(tmp_path: Path) -> None:
    joint = load(tmp_path, one("joint", "all: [fast, up]"), *PARTS)[0]
    assert (joint.where, joint.dimension, joint.target) == ("(ttft_s <= 1) AND (error IS NULL)", "availability", 0.9)


@pytest.mark.parametrize(
    ("documents", "said"),
    [
        ([one("joint", "all: [fast, upp]"), *PARTS], "SLO 'joint': all names 'upp'; did you mean 'up'?"),
        ([one("joint", "all: [fast]"), *PARTS], "spec.all takes two or more different names"),
        ([one("joint", "all: [fast, fast]"), *PARTS], "spec.all takes two or more different names"),
        ([one("joint", "all: [fast, joint]"), *PARTS], "all names 'joint'"),
        (
            [one("joint", "all: [fast, other]"), one("other", "all: [fast, up]"), *PARTS],
            "'other' is no SLO on requests",
        ),
        ([one("joint", "all: [fast, paid]"), one("paid", 'where: "a > 1"', labels="tier: paid"), *PARTS], "same total"),
        (
            [one("joint", "all: [fast, some]"), one("some", 'where: "a > 1"', total='where: "b > 1"'), *PARTS],
            "same total",
        ),
        ([one("joint", "all: [fast, up]").replace("good:", "bad:"), *PARTS], "spec.all belongs to good events"),
        ([one("joint", 'all: [fast, up], where: "a > 1"'), *PARTS], "spec takes just 'where', not all"),
    ],
)
def test_bad_joint_slos_are_one_sentence(tmp_path: Path, documents: list[str], said: str) -> None:
    with pytest.raises(cr.CausalrelError) as caught:
        load(tmp_path, *documents)
    assert said in caught.value.message
    assert "\n" not in caught.value.message


def requests(rows: int, seed: int) -> pl.LazyFrame:
    """Return requests whose slowness, cost and failure have a common cause."""
    rng = np.random.default_rng(seed)
    strain = rng.normal(size=rows)
    slow, dear, down = (0.9 * strain + np.sqrt(1 - 0.81) * rng.normal(size=rows) for _ in range(3))
    times = np.arange(rows) * 1_000_000 + 1_770_768_000_000_000
    return pl.LazyFrame(
        {
            "time": pl.Series(times).cast(pl.Datetime("us", "UTC")),
            "ttft_s": np.exp(slow - 1.6),
            "cost_usd": np.exp(dear - 1.0),
            "error": pl.Series(down > 1.8).replace_strict({True: "oom", False: None}, return_dtype=pl.String),
        }
    )


def burns(frame: pl.LazyFrame, slos: tuple[cr.SLO, ...]) -> dict[str, float]:
    budget = cr.budget(cr.window(cr.Telemetry(requests=frame), slos, every="1h"))
    return dict(budget.table.filter(pl.col("unit") == "all").select("slo", "burn").rows())


def test_the_joint_burn_is_counted_where_the_product_of_marginals_errs(tmp_path: Path) -> None:
    """Truth is the share of bad requests among two million others; the count's error is the noise of 200,000."""
    slos = load(tmp_path, *PARTS, one("joint", "all: [fast, cheap, up]"))
    seen, truth = burns(requests(200_000, seed=1), slos), burns(requests(2_000_000, seed=2), slos)
    product = (1 - np.prod([1 - 0.1 * seen[name] for name in ("fast", "cheap", "up")])) / 0.1
    assert abs(seen["joint"] - truth["joint"]) < 0.1 * abs(product - truth["joint"])
    assert max(seen[name] for name in ("fast", "cheap", "up")) <= seen["joint"] <= sum(seen.values()) - seen["joint"]


def test_a_joint_slo_is_bad_where_any_part_is_and_unknown_where_none_says_no(tmp_path: Path) -> None:
    frame = pl.LazyFrame(
        {
            "time": pl.Series([0, 3_600_000_000, 3_600_000_001, 3_600_000_002]).cast(pl.Datetime("us", "UTC")),
            "ttft_s": [0.5, None, None, 0.5],
            "cost_usd": [1.0, 1.0, 9.0, None],
            "error": [None, "oom", None, None],
        },
        schema_overrides={"error": pl.String},
    )
    slos = load(tmp_path, *PARTS, one("joint", "all: [fast, cheap]"))
    table = cr.window(cr.Telemetry(requests=frame), slos, every="1h").table
    assert table.select("joint.total", "joint.bad").rows() == [(1, 0), (2, 2)]
