"""Discovery of lagged edges: what a row may be caused by, which rows count, and what memory costs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from worlds import START

import causalrel as cr
from causalrel.discovery.autocorrelation import Memory, memory_of
from causalrel.discovery.columns import columns_of
from causalrel.discovery.lags import lagged
from causalrel.discovery.scores import gaussian_scores
from causalrel.discovery.tables import Tables, table_scores
from causalrel.variables import Variable

pytestmark = pytest.mark.filterwarnings("ignore:discover")


def series(seed: int = 0, rows: int = 1200) -> dict[str, np.ndarray]:
    """``a`` acts on ``b`` one window later and on ``c`` at once, ``c`` on ``a`` two windows later."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(rows, 3))
    a, b, c = np.zeros(rows), np.zeros(rows), np.zeros(rows)
    for t in range(2, rows):
        a[t] = 0.7 * a[t - 1] + 0.4 * c[t - 2] + noise[t, 0]
        b[t] = 0.7 * b[t - 1] + 0.6 * a[t - 1] + noise[t, 1]
        c[t] = 0.5 * c[t - 1] - 0.5 * a[t] + noise[t, 2]
    return {"a": a, "b": b, "c": c}


def windows(columns: dict[str, np.ndarray], units: int = 1, roles: dict[str, str] | None = None) -> cr.Windows:
    """Rows in order, cut into as many units of the same length."""
    rows = len(next(iter(columns.values()))) // units
    frame = pl.DataFrame(columns).head(rows * units)
    table = frame.with_columns(
        time=pl.Series([START + timedelta(minutes=5 * i) for i in range(rows)] * units).cast(pl.Datetime("us", "UTC")),
        unit=pl.Series(np.repeat([f"u{i}" for i in range(units)], rows)),
    )
    variables = tuple(Variable(name=n, role=(roles or {}).get(n, "engine")) for n in columns)  # type: ignore[arg-type]
    return cr.Windows(table=table, width=timedelta(minutes=5), slos=(), variables=variables)


def edges(graph: cr.Graph) -> set[tuple[str, str, int]]:
    return {(e.cause, e.effect, e.lag) for e in graph.edges}


TRUTH = {("a", "a", 1), ("b", "b", 1), ("c", "c", 1), ("a", "b", 1), ("a", "c", 0), ("c", "a", 2)}


@pytest.mark.parametrize("units", [1, 3])
def test_true_edges_are_found_at_their_lags_with_support(units) -> None:
    found = cr.discover(windows(series(), units), lags=2, resamples=20)
    assert edges(found) == TRUTH
    assert all(e.support is not None and e.support > 0.5 for e in found.edges)
    assert all(e.oriented and "at this lag in" in e.why for e in found.edges if e.lag)
    assert found.lags == 2


def test_rows_of_a_frame_are_one_series_and_their_columns_may_stand_anywhere() -> None:
    frame = pl.DataFrame(series())
    found = cr.discover(frame, lags=2, resamples=10)
    assert edges(found) == TRUTH
    assert cr.discover(frame.select("c", "a", "b"), lags=2, resamples=10) == found


@pytest.mark.parametrize("method", ["discrete", "pgmpy"])
def test_tables_take_lags_too(method) -> None:
    rng = np.random.default_rng(1)
    a, b = np.zeros(1500, np.int64), np.zeros(1500, np.int64)
    for t in range(1, 1500):
        a[t] = a[t - 1] if rng.random() < 0.8 else rng.integers(2)
        b[t] = a[t - 1] if rng.random() < 0.8 else rng.integers(2)
    found = cr.discover(pl.DataFrame({"a": a, "b": b}), lags=1, resamples=4, method=method)
    assert edges(found) == {("a", "a", 1), ("a", "b", 1)}


def test_a_row_never_reaches_over_a_gap_or_into_another_unit() -> None:
    """Each value tells its unit and window, so that every pair can be checked."""
    rows = np.arange(600.0)
    data = windows({"a": rows, "b": rows % 7}, units=3)
    missing = pl.Series(np.isin(np.arange(600), [10, 50, 51, 300]))
    table = data.table.with_columns(a=pl.when(~missing).then("a"))
    columns = columns_of(replace(data, table=table), None)
    made = lagged(columns, 2)
    now, before, earlier = (made.values[made.nodes.index(("a", lag))] for lag in range(3))
    assert (now - before == 1).all()
    assert (now - earlier == 2).all()
    assert (now // 200 == earlier // 200).all()
    assert len(now) == sum(
        {r, r - 1, r - 2}.isdisjoint({10, 50, 51, 300}) and r // 200 == (r - 2) // 200 for r in range(600)
    )
    assert made.notes[-1] == f"{len(now)} of 596 complete rows have the 2 before them and were used"


def test_a_window_that_is_not_there_breaks_the_pair() -> None:
    data = windows({"a": np.arange(200.0), "b": np.arange(200.0) % 3})
    made = lagged(columns_of(replace(data, table=data.table.filter(pl.col("a") != 100)), None), 1)
    assert len(made.values[0]) == 197
    assert (made.values[0] - made.values[2] == 1).all()


def test_roles_and_tiers_bind_one_window_and_feedback_comes_later() -> None:
    roles = {"a": "config", "b": "engine", "c": "engine"}
    found = cr.discover(windows(series(), roles=roles), lags=2, resamples=4)
    assert ("c", "a", 2) in edges(found)
    place = {v.name: v.tier for v in found.variables}
    assert all(e.lag or place[e.cause] <= place[e.effect] for e in found.edges)
    turned = cr.discover(windows(series()), tiers=[["c"], ["b"], ["a"]], lags=2, resamples=4)
    assert ("c", "a", 0) in edges(turned)
    assert not {("a", "c", 0), ("a", "b", 0), ("b", "c", 0)} & edges(turned)


def test_what_the_graph_says_of_lags_is_kept() -> None:
    roles = dict.fromkeys("abc", "engine")
    prior = cr.Graph.from_edges([("b", "c", 1), ("c", "a", 2), ("b", "a", 7)], roles=roles)  # type: ignore[arg-type]
    found = cr.discover(windows(series()), replace(prior, forbidden=(("a", "b"),)), lags=2, resamples=10)
    support = {(e.cause, e.effect, e.lag): e.support for e in found.edges}
    assert not {("a", "b", lag) for lag in range(3)} & support.keys()
    assert support["c", "a", 2] > 0.95
    assert support["b", "c", 1] is not None
    assert support["b", "c", 1] < 0.5
    assert support["b", "a", 7] is None
    assert edges(cr.discover(windows(series()), prior, resamples=2)) >= edges(prior)


@pytest.mark.parametrize(
    ("data", "lags", "said"),
    [
        (pl.DataFrame(series(rows=200)), -1, "-1 lags are before no row; ask for 0 or more"),
        (pl.DataFrame(series(rows=60)), 12, "12 lags of 3 variables need 50 complete rows .* and there are 48"),
        (pl.DataFrame(series(rows=200)), 50, "50 lags of 3 variables need 153 complete rows .* and there are 150"),
        (windows(series(rows=200), units=50), 4, "need 50 complete rows with the 4 before them, in the same unit"),
        (pl.DataFrame(series(rows=200)), 400, "400 lags of 3 variables are 1203 columns, above 1000"),
    ],
)
def test_bad_lags_are_one_sentence(data, lags, said) -> None:
    with pytest.raises(cr.CausalrelError, match=said):
        cr.discover(data, lags=lags)


def test_how_many_rows_are_used_is_told() -> None:
    with pytest.warns(UserWarning, match="1194 of 1200 complete rows have the 2 before them and were used"):
        cr.discover(windows(series(), units=3), lags=2, resamples=0)


def test_a_graph_with_lags_is_fitted_by_tables() -> None:
    data = windows(series())
    network = cr.fit(data, cr.discover(data, lags=2, resamples=2))
    assert {mechanism.form for mechanism in network.mechanisms} == {"table"}


def slow(rng: np.random.Generator, memory: float, rows: int, count: int) -> np.ndarray:
    """Return series whose autocorrelation is ``memory`` to the power of the distance."""
    made = rng.normal(size=(rows, count))
    for t in range(1, rows):
        made[t] = memory * made[t - 1] + np.sqrt(1 - memory**2) * made[t]
    return made


def test_the_inflation_of_an_autoregression_is_that_of_the_closed_form() -> None:
    columns = slow(np.random.default_rng(3), 0.8, 40_000, 3)
    columns[:, 2] = np.random.default_rng(4).normal(size=40_000)
    found = memory_of([column[:, None] for column in columns.T], np.arange(40_000), np.zeros(40_000, np.int64))
    assert found.inflation[0, 1] == pytest.approx((1 + 0.64) / (1 - 0.64), rel=0.1)
    assert found.inflation[:, 2] == pytest.approx(1, abs=0.05)


def test_the_inflation_of_units_that_move_together_is_that_of_correlations_drawn() -> None:
    """Half of the variance of every unit is one series of all: what the correlation of two such columns varies."""
    drawn, told = [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        parts = [(slow(rng, 0.7, 300, 1) + slow(rng, 0.7, 300, 4)).T.ravel()[:, None] for _ in range(2)]
        drawn.append(np.corrcoef(parts[0][:, 0], parts[1][:, 0])[0, 1])
        if seed < 20:
            made = memory_of(parts, np.tile(np.arange(300), 4), np.repeat(np.arange(4), 300))
            told.append(made.inflation[0, 1])
    assert np.median(told) == pytest.approx(1200 * np.var(drawn), rel=0.25)


@pytest.mark.parametrize("numbers", [False, True])
def test_a_covered_edge_may_be_turned_whatever_its_variables_remember(numbers) -> None:
    rng = np.random.default_rng(0)
    codes = np.array([rng.integers(3, size=200), rng.integers(2, size=200), rng.integers(2, size=200)], np.int16)
    shares = np.column_stack([np.ones(3), rng.uniform(size=(3, 4))])
    memory = Memory(shares=shares, times=np.array([1.0, 2, 2, 2, 2]))
    correlation = np.corrcoef(rng.normal(size=(3, 40)))
    tables = Tables.of(codes, np.ones(200, np.int64), np.array([3, 2, 2]), memory=memory)

    def score(node: int, parents: list[int]) -> float:
        out, held, added = np.empty(1), np.array(parents), np.array([-1])
        if numbers:
            gaussian_scores(node, held, added, correlation, np.arange(4), memory.inflation, 40.0, out)
        else:
            table_scores(node, held, added, tables, 0, out)
        return float(out[0])

    assert score(0, [2]) + score(1, [0, 2]) == pytest.approx(score(1, [2]) + score(0, [1, 2]))
    assert score(1, [0, 2]) < score(1, [2]) - 4
