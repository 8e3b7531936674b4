"""Documents and options that are not what they should be: cases 101 to 111."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from bad_inputs import SECONDS as S
from bad_inputs import SLO, Asker, asker, lines, table

import causalrel as cr

__all__ = ["asker"]
MAP = "map: m\nversion: 1\nsource: t\ncolumns: {time: ts, ttft_s: ms / 1000}\n"


@pytest.fixture
def refuse(asker: Asker) -> Callable[..., str]:
    """Refuse a budget under an SLO that differs in one place."""
    table({"error": [None] * 200}).write_parquet(asker.folder / "a.parquet")

    def refused(old: str, new: str, *says: str) -> str:
        assert old in SLO
        slo = asker.put("bad.yaml", SLO.replace(old, new))
        return asker.refused(asker.folder / "a.parquet", *says, slo=slo)

    return refused


@pytest.mark.parametrize(
    ("target", "hint"),
    [("1.0", "did you mean 0.999?"), ("100", "did you mean"), ("99.9", "did you mean 0.999?"), ("0", "did you mean")],
)
def test_case_101_targets_that_are_no_share(refuse: Callable[..., str], target: str, hint: str) -> None:
    refuse("target: 0.99", f"target: {target}", "bad.yaml", "is not a share between 0 and 1", hint)


def test_case_102_two_targets(refuse: Callable[..., str]) -> None:
    refuse("target: 0.99", "target: 0.99, targetPercent: 99", "takes exactly one of target and targetPercent")


def test_case_103_minutes_for_months(refuse: Callable[..., str]) -> None:
    refuse("28d", "1m", "'1m' is shorter than an hour (m means minutes, M months); did you mean '1M'?")


def test_case_104_words_that_yaml_would_turn_into_something_else(asker: Asker) -> None:
    labels = 'labels: {dimension: latency, region: NO, at: 12:30:00, release: 1.10}, annotations: {owner: "off"}'
    slo = cr.load_slos(asker.put("s.yaml", SLO.replace("labels: {dimension: latency}", labels)))[0]
    assert slo.owner == "off"
    assert cr.load_slos(asker.put("s.yaml", SLO.replace("name: ttft", "name: no")))[0].name == "no"


LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{name}: &{name} [*{before}, *{before}]\n" for before, name in zip("abcd", "bcde", strict=True)
)
BOMBS = {
    "aliases": (LAUGHS, "aliases are not allowed"),
    "merge keys": ("a: &a {b: c}\nd: {<<: *a}\n", "aliases are not allowed"),
    "tag": ("a: !!python/object/apply:os.system ['echo x']\n", "could not determine a constructor"),
    "unknown tag": ("a: !thing {b: c}\n", "could not determine a constructor"),
    "duplicate key": ("a: b\na: c\n", "key 'a' is written twice (line 2)"),
    "depth": ("a: " + "[" * 60 + "]" * 60 + "\n", "more than 32 levels deep"),
    "size": ("a: " + "x" * (2 << 20) + "\n", "of more than 1 MiB; write a smaller document"),
    "unclosed": ("a: [b\n", "expected ',' or ']'"),
    "latin 1": (b"a: caf\xe9\n", "is not UTF-8; save the file as UTF-8"),
}


@pytest.mark.parametrize(("text", "says"), BOMBS.values(), ids=BOMBS)
@pytest.mark.parametrize("what", ["slo", "graph", "map"])
def test_case_105_yaml_bombs_and_tags(asker: Asker, what: str, text: str | bytes, says: str) -> None:
    bad, data = asker.put("bad.yaml", text), asker.put("a.csv", lines(f"{S},0.1", f"{S + 99},0.1"))
    if what == "slo":
        asker.refused(data, "bad.yaml", says, slo=bad)
        return
    load = cr.load_graph if what == "graph" else lambda path: cr.read(data, columns=path)
    started = time.monotonic()
    with pytest.raises(cr.CausalrelError) as caught:
        load(bad)
    assert says in caught.value.message
    assert "\n" not in caught.value.message
    assert time.monotonic() - started < 10


def test_case_106_an_unknown_key(refuse: Callable[..., str]) -> None:
    refuse("budgetingMethod", "budgetingMethode", "budgetingMethode", "did you mean 'budgetingMethod'")


@pytest.mark.parametrize("name", ["../../etc/x", "CON.", "a/b", "x" * 300, '"\\0"'], ids=lambda name: name[:8])
def test_case_107_names_that_would_be_paths(refuse: Callable[..., str], name: str) -> None:
    refuse("name: ttft", f"name: {name}", "bad.yaml", "")


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("ttft_s <= 1; import os", "it holds more than one statement"),
        ("read_csv('/etc/passwd')", "'read csv' is not allowed"),
        ("ttft_s <= " + "1" * 10_000, "it is longer than 4096 bytes"),
        ("(" * 2000 + "ttft_s <= 1" + ")" * 2000, "it is more than 32 levels deep"),
        ("ttft_s <= ", "it does not parse"),
        ("ttft_s <= sqrt(2)", "'sqrt' is not allowed"),
        ("__import__('os').getpid() = 1", "is not allowed"),
        ("ttft <= 1", "did you mean 'ttft_s'"),
        ("ttft_s", "it is not true or false"),
    ],
    ids=lambda text: text[:20],
)
def test_case_108_predicates_outside_the_grammar(refuse: Callable[..., str], where: str, says: str) -> None:
    started = time.monotonic()
    refuse("ttft_s <= 1", where, says)
    assert time.monotonic() - started < 10


def test_case_109_a_regex_that_would_run_for_ever_is_no_predicate(refuse: Callable[..., str]) -> None:
    refuse('"ttft_s <= 1"', "\"error ~ '(a+)+$'\"", "it does not parse")
    refuse('"ttft_s <= 1"', "\"error LIKE '%a'\"", "'like' is not allowed")


@pytest.mark.parametrize("seed", ["-1", str(2**40), "one"])
def test_case_110_seeds_out_of_range(asker: Asker, seed: str) -> None:
    table({}).write_parquet(asker.folder / "a.parquet")
    said = asker.budget(asker.folder / "a.parquet", "--seed", seed)
    assert (said.code, said.out) == (2, "")
    assert "--seed" in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("level", [0, 1, 95, -0.5, float("nan")])
def test_case_111_levels_that_are_no_probability(canary: cr.Windows, level: float) -> None:
    with pytest.raises(cr.CausalrelError, match=r"does not exist; write one such as 0.95"):
        cr.budget(canary).burns.frame(prob=level)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("ms / 1000", "ms / ", "does not parse"),
        ("ms / 1000", "open('x')", "'open' is not allowed"),
        ("time: ts", "tme: ts", "did you mean 'time'"),
        ("version: 1", "version: 1\nalso: {ms: ../../secret.csv}", "also.ms"),
    ],
)
def test_column_maps_hold_columns_alone(asker: Asker, old: str, new: str, says: str) -> None:
    data = asker.put("a.csv", lines(f"{S},100", head="ts,ms"))
    with pytest.raises(cr.CausalrelError) as caught:
        cr.read(data, columns=asker.put("map.yaml", MAP.replace(old, new)))
    assert says in caught.value.message


def test_other_names_in_a_map_are_columns_and_never_files(asker: Asker) -> None:
    secret = asker.put("secret.csv", lines(f"{S},7", head="ts,ms"))
    data = asker.put("a.csv", lines(f"{S},100", head="ts,other"))
    mapped = asker.put("map.yaml", MAP + f"also: {{ms: ['{secret}', '../secret.csv']}}\n")
    with pytest.raises(cr.CausalrelError, match="needs column 'ms', which the data lack"):
        cr.read(data, columns=mapped)


@pytest.mark.parametrize("path", ["http://x.org/a.csv", "s3://bucket/a.parquet", "gs://b/a", "hf://datasets/a/b.csv"])
def test_addresses_are_never_reached(asker: Asker, path: str) -> None:
    asker.refused(path, "it is a network address", "download it and name the local file")


def test_a_shipped_name_is_no_path() -> None:
    with pytest.raises(cr.CausalrelError, match="there is no data set"):
        cr.load_dataset("../datasets/llm-canary")
    with pytest.raises(cr.CausalrelError, match="no such file or directory"):
        cr.load_slos(str(Path("..") / "models" / "nothing.yaml"))
