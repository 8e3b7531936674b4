"""The search against brute force, what its scores keep, and what it never does."""

from __future__ import annotations

from itertools import combinations, pairwise, permutations, product
from math import exp, lgamma, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causalrel.discovery.autocorrelation import Memory
from causalrel.discovery.patterns import directed_of
from causalrel.discovery.scores import bent, gaussian_scores
from causalrel.discovery.search import Facts, best_graph
from causalrel.discovery.statistics import Blocks, counted, summed
from causalrel.discovery.tables import Tables, table_scores

FREE = ~np.eye(4, dtype=bool)
NONE = np.zeros((4, 4), dtype=bool)


def world(seed: int, rows: int = 400, size: int = 4, *, numbers: bool = False) -> list[np.ndarray]:
    """Columns of a random structure in which each may cause the later ones."""
    rng = np.random.default_rng(seed)
    made: list[np.ndarray] = []
    for i in range(size):
        drive = sum((rng.normal() * made[j] for j in range(i) if rng.random() < 0.6), start=np.zeros(rows))
        if numbers:
            made.append(drive + rng.normal(size=rows))
        else:
            made.append(np.digitize(drive + rng.normal(size=rows), [-0.5, 0.8][: 1 + i % 2]).astype(np.int64))
    return made


def facts_of(columns: list[np.ndarray], memory: Memory | None = None) -> Facts:
    blocks = Blocks(cell=np.arange(len(columns[0])) % 5, count=5, run=1, memory=memory)
    return (counted if columns[0].dtype == np.int64 else summed)(columns, blocks).facts()


def score(facts: Facts, node: int, parents: tuple[int, ...]) -> float:
    out, held, added = np.empty(1), np.array(sorted(parents), dtype=np.int64), np.array([-1])
    if facts.gaussian:
        gaussian_scores(node, held, added, facts.correlation, facts.starts, facts.inflation, facts.total, out)
    else:
        table_scores(node, held, added, facts.tables, facts.draw, out)
    return float(out[0])


def brute_force(facts: Facts, size: int, tiers: list[int]) -> float:
    """Best score over every order, and every set of parents before a variable in it."""
    known: dict[tuple[int, tuple[int, ...]], float] = {}
    best = -np.inf
    for order in permutations(range(size)):
        if any(tiers[a] > tiers[b] for a, b in pairwise(order)):
            continue
        total = 0.0
        for place, node in enumerate(order):
            sets = [s for k in range(place + 1) for s in combinations(sorted(order[:place]), k)]
            for parents in sets:
                if (node, parents) not in known:
                    known[node, parents] = score(facts, node, parents)
            total += max(known[node, parents] for parents in sets)
        best = max(best, total)
    return best


@pytest.mark.parametrize("numbers", [False, True])
@pytest.mark.parametrize("tiers", [[0, 0, 0, 0], [1, 0, 1, 0]])
def test_the_search_finds_the_best_of_all_graphs_of_four(numbers, tiers) -> None:
    place = np.array(tiers)
    for seed in range(12):
        facts = facts_of(world(seed, numbers=numbers))
        allowed = FREE & (place[:, None] <= place)
        start = np.argsort(place, kind="stable")
        found, total = best_graph(facts, allowed, NONE, place, start)
        assert total == pytest.approx(brute_force(facts, 4, tiers), abs=1e-6)
        assert total == pytest.approx(sum(score(facts, i, tuple(np.flatnonzero(found[:, i]))) for i in range(4)))


def test_scores_are_those_of_the_textbook() -> None:
    columns = world(3)
    rows = len(columns[0])
    said = 0.0
    for state in product(range(3), range(3), range(3)):
        among = (columns[0] == state[0]) & (columns[1] == state[1])
        both = among & (columns[2] == state[2])
        if both.sum():
            said += both.sum() * np.log(both.sum() / among.sum())
    cards = [column.max() + 1 for column in columns]
    bic = said - 0.5 * np.log(rows) * cards[0] * cards[1] * (cards[2] - 1)
    assert score(facts_of(columns, Memory.none(4)), 2, (0, 1)) == pytest.approx(bic)
    among = int(cards[0] * cards[1])
    qnml = said - regret(among * int(cards[2]), rows) + regret(among, rows)
    assert score(facts_of(columns), 2, (0, 1)) == pytest.approx(qnml, abs=1e-4)


def regret(cells: int, rows: int) -> float:
    """Log of the likelihoods at their maxima summed over all counts of some rows, one cell added at a time."""
    ways = [exp((k * log(k) if k else 0) - k - lgamma(k + 1)) for k in range(rows + 1)]
    made = np.array(ways)
    for _ in range(cells - 1):
        made = np.convolve(made, ways)[: rows + 1]
    return float(np.log(made[rows]) + lgamma(rows + 1) - rows * log(rows) + rows)


@pytest.mark.parametrize("cells", [1, 2, 5, 9])
def test_the_regret_of_a_table_is_summed_over_all_tables(cells) -> None:
    for rows in (10, 60, 400):
        codes = np.arange(rows) % cells
        tables = Tables.of(codes[None], np.ones(rows, np.int64), np.array([cells]))
        counts, out = np.bincount(codes), np.empty(1)
        table_scores(0, np.empty(0, np.int64), np.array([-1]), tables, 0, out)
        assert out[0] == pytest.approx(counts @ np.log(counts / rows) - regret(cells, rows), abs=2e-3)


def test_a_gaussian_score_is_that_of_least_squares() -> None:
    columns = world(3, numbers=True)
    facts = facts_of(columns)
    rows = len(columns[0])
    residual = np.linalg.inv(facts.correlation[:3, :3])[2, 2] ** -1
    said = -0.5 * rows * np.log(residual) - 0.5 * np.log(rows) * 3
    assert score(facts, 2, (0, 1)) == pytest.approx(said)


@pytest.mark.parametrize("numbers", [False, True])
def test_a_covered_edge_may_be_turned(numbers) -> None:
    for seed in range(5):
        columns = world(seed, numbers=numbers)
        if numbers:
            columns[1] = (columns[1] > 0).astype(np.int64) + (columns[1] > 1)
        facts = (
            summed(columns, Blocks(cell=np.arange(400) % 5, count=5, run=1)).facts() if numbers else facts_of(columns)
        )
        one = score(facts, 0, (2,)) + score(facts, 1, (0, 2))
        two = score(facts, 1, (2,)) + score(facts, 0, (1, 2))
        assert one == pytest.approx(two)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(0, 2), min_size=6, max_size=6), st.booleans())
def test_no_tier_no_ban_and_no_demand_is_ever_broken(seed, tiers, numbers) -> None:
    rng = np.random.default_rng(seed)
    place = np.array(tiers)
    allowed = ~np.eye(6, dtype=bool) & (place[:, None] <= place) & (rng.random((6, 6)) < 0.8)
    start = np.lexsort((np.arange(6), place))
    rank = np.argsort(start)
    required = allowed & (rank[:, None] < rank) & (rng.random((6, 6)) < 0.2)
    found, _ = best_graph(facts_of(world(seed, 120, 6, numbers=numbers)), allowed, required, place, start)
    assert not (found & ~allowed).any()
    assert (required <= found).all()
    assert not np.linalg.matrix_power(found.astype(int), 6).any()


def test_rules_of_meek_direct_what_every_graph_of_the_class_directs() -> None:
    """Against all graphs of five with the same edges and colliders that agree with what is known."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        graph = np.triu(rng.random((5, 5)) < 0.5, 1)
        known = graph & (rng.random((5, 5)) < 0.15)
        edges = np.argwhere(graph)
        alike = np.ones((5, 5), dtype=bool)
        for turned in product((False, True), repeat=len(edges)):
            other = np.zeros((5, 5), dtype=bool)
            for (a, b), turn in zip(edges, turned, strict=True):
                other[(b, a) if turn else (a, b)] = True
            if np.linalg.matrix_power(other.astype(int), 5).any() or (known & ~other).any():
                continue
            if colliders(other) == colliders(graph):
                alike &= other
        assert (directed_of(graph, known) == (alike & graph)).all()


def colliders(graph: np.ndarray) -> set[tuple[int, int, int]]:
    joined = graph | graph.T
    return {
        (a, c, b)
        for c in range(5)
        for a, b in combinations(np.flatnonzero(graph[:, c]).tolist(), 2)
        if not joined[a, b]
    }


def test_blocks_are_drawn_whole_and_as_often_as_rows_need() -> None:
    blocks = Blocks(cell=np.arange(40), count=40, run=4)
    drawn = np.array([blocks.drawn(np.random.default_rng(i)) for i in range(2000)])
    assert (drawn.sum(axis=1) == 40).all()
    assert np.abs(drawn.mean(axis=0) - 1).max() < 0.15
    assert np.corrcoef(drawn[:, 10], drawn[:, 11])[0, 1] > 0.6


def test_resamples_counted_together_score_as_their_rows_do_alone() -> None:
    columns = world(3, rows=900)
    cell = np.random.default_rng(1).permutation(900) % 60
    rngs = [np.random.default_rng(i) for i in range(6)]
    made = counted(columns, Blocks(cell=cell, count=60, run=3)).resampled(rngs)
    for facts in made:
        alone = facts_of(list(facts.rows().astype(np.int64)))
        assert facts.rows().shape[1] == 900
        for parents in [(), (0,), (1, 2), (0, 1, 2)]:
            assert score(facts, 3, parents) == pytest.approx(score(alone, 3, parents), rel=1e-12)
        for kept in (FREE, np.triu(FREE)):
            graphs = [best_graph(f, kept, NONE, np.zeros(4, np.int64), np.arange(4)) for f in (facts, alone)]
            assert graphs[0][1] == pytest.approx(graphs[1][1], rel=1e-12)


def test_scores_of_many_rows_are_those_of_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    normal = rng.normal(size=(3, 40_000)) + rng.normal(size=40_000)
    columns = [np.exp(normal[0]), np.round(normal[1], 0), (normal[2] > 1.0).astype(float)]
    blocks = Blocks(cell=np.arange(40_000) % 7, count=7, run=1)
    whole = summed(columns, blocks)
    monkeypatch.setattr("causalrel.discovery.statistics._RANKED", 2**14)
    some = summed(columns, blocks)
    assert 0 < np.abs(whole.products - some.products).sum(axis=0).max() / 40_000 < 0.005
    np.testing.assert_allclose(some.sums.sum(axis=0), 0.0, atol=1e-8)


def test_lines_between_knots() -> None:
    rng = np.random.default_rng(5)
    knots, levels = np.sort(rng.normal(size=9)), np.sort(rng.normal(size=9))
    column, rows = 3 * rng.normal(size=200), rng.permutation(200)
    np.testing.assert_allclose(bent(column, rows, knots, levels), np.interp(column[rows], knots, levels), atol=1e-12)
