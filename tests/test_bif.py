"""Networks of tables as BIF: kept to the last digit, read by other tools, and refused in one sentence where bad."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import causalrel as cr
from causalrel.bridges.pgmpy import from_pgmpy, to_pgmpy
from causalrel.tables import States, known_table
from causalrel.tabular import table_network

ODD = ("a b", "x|y", "{z}", "(1,5]", "semi;colon", "// no comment", "table", "naïve \u2713", "A", "a", "")
DOG = """network "Dog-Problem" { property credit = someone ; }  // after the example of the format's own page
variable "light-on" { type discrete[2] { "true" "false" }; property position = (218, 195) ; }
variable bowel { type discrete[2] { true false }; }
variable out { type discrete[2] { true false }; }
/* the table of a variable with causes: it turns slowest, its last cause fastest */
probability ( "light-on" | out ) { table 0.6 0.05 0.4 0.95 ; }
probability ( bowel ) { table 0.01 0.99 ; }
probability ( out | bowel, "light-on2" ) { default 0.5, 0.5; (true, true) 0.25, 0.75; }
variable "light-on2" { type discrete[2] { true, false }; }
probability ( "light-on2" ) { table 0.5, 0.5; }
"""


def random_static(seed: int, names: tuple[str, ...] = ("v0", "v1", "v2", "v3")) -> cr.Network:
    rng = np.random.default_rng(seed)
    labels = {name: tuple(rng.permutation(ODD)[: int(rng.integers(1, 4))].tolist()) for name in names}
    edges = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :] if rng.random() < 0.6]
    tables = {}
    for name in names:
        parents = [a for a, b in edges if b == name]
        chances = rng.dirichlet(np.ones(len(labels[name])), [len(labels[parent]) for parent in parents])
        tables[name] = known_table(States(labels=labels[name]), [(parent, 0) for parent in parents], chances)
    return table_network(cr.Graph.from_edges(edges, roles=dict.fromkeys(names, "config")), tables)


def same(one: cr.Network, other: cr.Network) -> None:
    assert other.graph.variables == one.graph.variables
    for before, after in zip(one.mechanisms, other.mechanisms, strict=True):
        assert before.table is not None
        assert after.table is not None
        assert after.table.states == before.table.states
        assert after.table.parents == before.table.parents
        assert np.array_equal(after.table.mean, before.table.mean)


@pytest.mark.parametrize("seed", range(20))
def test_a_network_comes_back_to_the_last_digit_whatever_its_names(seed: int, tmp_path: Path) -> None:
    network = random_static(seed, tuple(np.random.default_rng(seed).permutation(ODD)[:5].tolist()))
    path = cr.save_network(network, tmp_path / "network.bif")
    again = cr.load_network(path)
    same(network, again)
    assert cr.save_network(again, tmp_path / "again.BIF").read_bytes() == path.read_bytes()


def test_cuts_values_and_roles_of_a_fitted_network_come_back(tmp_path: Path) -> None:
    windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h")
    roles = {"batch_size": "config", "load": "workload", "queue_s": "engine", "ttft": "outcome"}
    graph = cr.Graph.from_edges([("load", "queue_s"), ("batch_size", "queue_s"), ("queue_s", "ttft")], roles=roles)
    network = cr.fit(windows, graph, states={"queue_s": [0.05, 0.5]})
    again = cr.load_network(cr.save_network(network, tmp_path / "network.bif"))
    same(network, again)
    asked: dict[str, Any] = {"of": "ttft", "do": {"queue_s": 0.3, "batch_size": 8}, "draws": 0}
    assert np.array_equal(cr.query(again, **asked).draws, cr.query(network, **asked).draws)


@pytest.mark.parametrize("seed", range(10))
def test_pgmpy_keeps_odd_names_and_reads_plain_ones_from_our_file(seed: int, tmp_path: Path) -> None:
    from pgmpy.readwrite import BIFReader

    network = random_static(seed, ("a b", "x|y", "{z}", "A", "a"))
    back = from_pgmpy(to_pgmpy(network))
    for mechanism in network.mechanisms:
        before, after = mechanism.table, back.mechanism(mechanism.variable.name).table
        assert before is not None
        assert after is not None
        axes = [after.parents.index(parent) for parent in before.parents]
        assert np.array_equal(after.mean.transpose([*axes, len(axes)]), before.mean)
        assert after.states.labels == before.states.labels
    plain = {f"v{i}": States(labels=tuple(f"s{j}" for j in range(2 + i))) for i in range(3)}
    rng = np.random.default_rng(seed)
    tables = {
        "v0": known_table(plain["v0"], (), rng.dirichlet(np.ones(2))),
        "v1": known_table(plain["v1"], (), rng.dirichlet(np.ones(3))),
        "v2": known_table(plain["v2"], [("v1", 0), ("v0", 0)], rng.dirichlet(np.ones(4), (3, 2))),
    }
    graph = cr.Graph.from_edges([("v0", "v2"), ("v1", "v2")], roles=dict.fromkeys(plain, "engine"))
    path = cr.save_network(table_network(graph, tables), tmp_path / "plain.bif")
    read = from_pgmpy(BIFReader(path=str(path)).get_model())
    found = read.mechanism("v2").table
    assert found is not None
    assert found.parents == (("v0", 0), ("v1", 0))
    assert np.array_equal(found.mean.transpose(1, 0, 2), tables["v2"].mean)


@pytest.mark.parametrize("seed", range(10))
def test_pyagrum_reads_our_file_and_we_read_its(seed: int, tmp_path: Path) -> None:
    gum = pytest.importorskip("pyagrum", reason="pyAgrum is the outside reference")
    model = gum.randomBN(n=6, domain_size=3)
    gum.saveBN(model, str(tmp_path / "theirs.bif"))
    network = cr.load_network(tmp_path / "theirs.bif")
    ours = gum.loadBN(str(cr.save_network(network, tmp_path / "ours.bif")))
    assert {ours.variable(i).name() for i in ours.nodes()} == set(model.names())
    for mechanism in network.mechanisms:
        table, name = mechanism.table, mechanism.variable.name
        assert table is not None
        for place in np.ndindex(*table.mean.shape):
            names = [*(parent for parent, _ in table.parents), name]
            labels = [network.mechanism(one).table.states.labels for one in names]
            states = {one: each[i] for one, each, i in zip(names, labels, place, strict=True)}
            for one in (model, ours):
                at = gum.Instantiation(one.cpt(name))
                for key, state in states.items():
                    at.chgVal(key, state)
                assert one.cpt(name).get(at) == pytest.approx(table.mean[place], abs=2e-5)


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "network.bif"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_the_dialect_of_the_format_s_own_page(tmp_path: Path) -> None:
    network = cr.load_network(written(tmp_path, DOG))
    assert network.graph.name == "Dog-Problem"
    light, out = (network.mechanism(name).table for name in ("light-on", "out"))
    assert light is not None
    assert out is not None
    assert light.mean.tolist() == [[0.6, 0.4], [0.05, 0.95]]
    assert out.mean.tolist() == [[[0.25, 0.75], [0.5, 0.5]], [[0.5, 0.5], [0.5, 0.5]]]
    assert cr.query(network, of="light-on", given={"out": "true"}, draws=0).draws[0] == pytest.approx([0.6, 0.4])


def test_rows_rounded_in_print_are_divided_by_their_sum_and_said(tmp_path: Path) -> None:
    text = "variable a { type discrete [3] { x, y, z }; } probability ( a ) { table 0.3333, 0.3333, 0.3333; }"
    network = cr.load_network(written(tmp_path, text))
    table = network.mechanism("a").table
    assert table is not None
    assert table.mean == pytest.approx(np.full(3, 1 / 3), abs=1e-15)
    assert [check.name for check in network.checks] == ["chances"]
    assert "1 rows of 'network.bif' add up to 1 only as far as they are printed" in network.checks[0].says


ONE = "variable a {{ type discrete [ 2 ] {{ x, y }}; {} }} probability ( a ) {{ {} }}"
BAD = {
    "table 0.7, 0.7;": "a row of the table of 'a' does not add up to 1 (it is off by 0.4",
    "table 0.7, 0.2;": "does not add up to 1",
    "table 0.7001, 0.2;": "does not add up to 1",
    "table nan, 0.2;": "holds a number that is no chance",
    "table inf, 0.2;": "holds a number that is no chance",
    "table -0.5, 1.5;": "holds a number that is no chance",
    "table 0.5, half;": "a chance is no number",
    "table 0.5, 0.25, 0.25;": "'a' has 3 chances where 2 belong",
    "table 0.5, 0.5; table 0.5, 0.5;": "chances of 'a' are there twice",
    "": "'a' has no chances given nothing",
    "(x) 0.5, 0.5;": "the row x of 'a' is of no states of its causes",
    "table 0.5, 0.5": "'}' stands where a name or ';' belongs",
    'table 0.5, "0.5;': "a quotation or a comment does not end",
    "table 0.5, 0.5; /* on": "a quotation or a comment does not end",
    "chances 0.5, 0.5;": "'chances' stands where 'table' or 'default'",
}


@pytest.mark.parametrize("rows", BAD)
def test_case_113_chances_that_are_none(rows: str, tmp_path: Path) -> None:
    with pytest.raises(cr.CausalrelError) as fault:
        cr.load_network(written(tmp_path, ONE.format("", rows)))
    assert BAD[rows] in fault.value.message
    assert "\n" not in fault.value.message


EVEN = "probability ( {} ) {{ table 0.5, 0.5; }}"
TWO = "variable {} {{ type discrete [2] {{ x, y }}; }}"
WRONG: dict[str | bytes, str] = {
    "": "it holds no variable",
    b"variable \xff": "byte 9 is no UTF-8",
    b"\x80\x04\x95pickle": "byte 0 is no UTF-8",
    '{"schema": 1}': "'{' stands where 'network', 'variable' or 'probability' belongs",
    TWO.format("a"): "'a' has no table",
    EVEN.format("a"): "it holds no variable",
    TWO.format("alpha") + EVEN.format("alhpa"): "'alhpa' is no variable; did you mean 'alpha'?",
    TWO.format("a") * 2 + EVEN.format("a"): "'a' is there twice",
    TWO.format("a") + EVEN.format("a") * 2: "the chances of 'a' are there twice",
    TWO.format("a") + "probability ( ) { }": "names no variable",
    "variable a { type discrete [3] { x, y }; }": "'a' has 3 states and 2 names of states",
    "variable a { type discrete [2] { x, x }; }" + EVEN.format("a"): "or one is there twice",
    "variable a { type continuous; }": "'continuous' stands where 'discrete' belongs",
    "variable a { property causalrel.role = king ; type discrete [1] { x }; }": "a property of 'a' does not fit",
    "variable a { property causalrel.cuts = 2, 1 ; type discrete [3] { x, y, z }; }": "a property of 'a' does not fit",
    "variable a { property endless": "a property does not end",
    "".join(TWO.format(v) for v in "ab")
    + "probability ( a | b ) { default 0.5 0.5; } probability ( b | a ) { default 0.5 0.5; }": "a circle: a -> b -> a",
    "".join(TWO.format(v) for v in "ab") + EVEN.format("b") + "probability ( a | b ) { (x) 0.5 0.5; }": "given y",
}


@pytest.mark.parametrize("text", WRONG)
def test_files_that_are_no_network(text: str | bytes, tmp_path: Path) -> None:
    with pytest.raises(cr.CausalrelError) as fault:
        cr.load_network(written(tmp_path, text))
    assert WRONG[text] in fault.value.message
    assert "\n" not in fault.value.message


def test_case_114_a_table_of_too_many_cells_is_refused_before_it_is_made(tmp_path: Path) -> None:
    names = [f"v{i}" for i in range(40)]
    text = "".join(TWO.format(name) for name in names) + "".join(EVEN.format(name) for name in names[1:])
    text += f"probability ( v0 | {', '.join(names[1:])} ) {{ default 0.5, 0.5; }}"
    with pytest.raises(cr.CausalrelError, match="the table of 'v0' would have 1,099,511,627,776 cells"):
        cr.load_network(written(tmp_path, text))


def test_case_115_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(cr.CausalrelError, match="no such file"):
        cr.load_network(tmp_path / "none.bif")


def test_what_the_format_cannot_hold_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "network.bif"
    windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h")
    edges: list[Any] = [("load", "load", 1), ("load", "ttft")]
    graph = cr.Graph.from_edges(edges, roles={"load": "workload", "ttft": "outcome"})
    quoted = table_network(
        cr.Graph.from_edges([], roles={'a"b': "engine"}),
        {'a"b': known_table(States(labels=("x",)), (), np.array([1.0]))},
    )
    flat = cr.Graph.from_edges([("load", "ttft")], roles={"load": "workload", "ttft": "outcome"})
    for network, said in (
        (cr.fit(windows, graph), "causes in the same window"),
        (cr.fit(windows, flat), "it holds tables alone"),
        (quoted, "no word for a quotation mark"),
    ):
        with pytest.raises(cr.CausalrelError, match=said):
            cr.save_network(network, path)
        assert not list(tmp_path.iterdir())
