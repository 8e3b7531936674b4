"""What an objective needs: the true blanket of a made world, and half of a shipped data set's metrics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from worlds import START

import causalrel as cr
from causalrel.blankets import rank_metrics
from causalrel.graphs import Graph
from causalrel.windows import Windows

ROLES = {
    "load": "workload",
    "tokens": "workload",
    "weekday": "workload",
    "batch": "config",
    "cap": "config",
    "clock": "hardware",
    "queue": "engine",
    "running": "engine",
    "waiting": "engine",
    "slo": "outcome",
}
EDGES = [
    ("weekday", "load"),
    ("load", "queue"),
    ("batch", "queue"),
    ("cap", "clock"),
    ("load", "running"),
    ("tokens", "running"),
    ("queue", "waiting"),
    ("queue", "slo"),
    ("running", "slo"),
    ("clock", "slo"),
]


def made_world(seed: int, n: int = 1500) -> tuple[Windows, Graph]:
    """Nine metrics of which three make the others superfluous; all noise has autocorrelation 0.9."""
    rng = np.random.default_rng(seed)

    def noise() -> np.ndarray:
        made = rng.normal(size=n)
        for i in range(1, n):
            made[i] = 0.9 * made[i - 1] + np.sqrt(1 - 0.81) * made[i]
        return made

    x = {name: noise() for name in ("weekday", "tokens", "batch", "cap")}
    x["load"] = 0.8 * x["weekday"] + 0.6 * noise()
    x["clock"] = 0.7 * x["cap"] + 0.7 * noise()
    x["queue"] = 0.6 * x["load"] - 0.5 * x["batch"] + 0.5 * noise()
    x["running"] = 0.6 * x["load"] + 0.5 * x["tokens"] + 0.5 * noise()
    x["waiting"] = 0.9 * x["queue"] + 0.4 * noise()
    p = 1 / (1 + np.exp(-(-3 + 0.6 * x["queue"] + 0.5 * x["running"] - 0.5 * x["clock"])))
    frame = pl.DataFrame(
        {
            "time": pl.datetime_range(START, interval="30m", end=START.replace(year=2027), eager=True).head(n),
            "total": [200] * n,
            "bad": rng.binomial(200, p),
            **x,
        }
    )
    roles = {name: role for name, role in ROLES.items() if name != "slo"}
    windows = Windows.from_frame(frame, time="time", roles=roles, events={"slo": ("total", "bad")})
    return windows, Graph.from_edges(EDGES, roles=ROLES)


@pytest.mark.parametrize("seed", range(3))
def test_the_dearest_metrics_and_the_fewest_are_the_true_blanket(seed: int) -> None:
    windows, graph = made_world(seed)
    ranking = rank_metrics(windows, graph, on="slo", tolerance=0.005)
    table = ranking.frame()
    assert set(graph.blanket("slo")) == {"queue", "running", "clock"}
    assert table.head(3)["in_blanket"].all()
    assert set(ranking.kept) == set(graph.blanket("slo"))
    assert table.filter(~pl.col("in_blanket"))["price"].max() < 0.1 * table.filter("in_blanket")["price"].min()
    assert (table.filter("in_blanket")["low"] > 0).all()
    assert ranking.rise < 0.01
    assert ranking.log_loss < ranking.blind


def test_a_shipped_data_set_needs_fewer_than_half_of_its_metrics() -> None:
    windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="30m", by="node")
    ranking = rank_metrics(windows, cr.load_graph("llm-serving").project(windows.names), on="ttft")
    assert len(ranking.kept) <= ranking.frame().height / 2
    assert ranking.rise <= 0.01
    assert ranking.held_out > 1000


def test_a_ranking_shows_itself() -> None:
    windows, graph = made_world(0, n=300)
    ranking = rank_metrics(windows, graph, on="slo")
    assert "slo needs" in repr(ranking)
    assert "<table" in ranking._repr_html_()
    assert ranking.frame().height == 9


def test_what_cannot_be_ranked_is_refused() -> None:
    windows, graph = made_world(0, n=300)
    with pytest.raises(cr.CausalrelError, match="no variable 'ttft'"):
        rank_metrics(windows, graph, on="ttft")
    with pytest.raises(cr.CausalrelError, match="50 complete windows and there are 40"):
        rank_metrics(replace(windows, table=windows.table.head(40)), graph, on="slo")
    silent = windows.table.with_columns(pl.lit(0, dtype=pl.Int64).alias("slo.bad"))
    with pytest.raises(cr.CausalrelError, match="all good or all bad"):
        rank_metrics(replace(windows, table=silent), graph, on="slo")
