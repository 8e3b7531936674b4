"""Edges that only raise or only lower: every draw does, unless data contradict; labels are refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import pytest
from scipy import optimize

import causalrel as cr
from causalrel.inference import produce
from causalrel.mechanisms.monotonicity import _nearest
from causalrel.networks import Mechanism, expit

START = datetime(2026, 2, 9, tzinfo=UTC)
ROLES: dict[str, Any] = {"gpus": "hardware", "load": "workload"}
GRID = np.linspace(1.0, 8.0, 200)


def signed(effect: str, gpus: Literal["increasing", "decreasing"] | None, role: str = "engine") -> cr.Graph:
    graph = cr.Graph.from_edges([("gpus", effect), ("load", effect)], roles={**ROLES, effect: role})
    edges = (replace(edge, monotone=gpus) if edge.cause == "gpus" else edge for edge in graph.edges)
    return replace(graph, edges=tuple(edges))


def world(seed: int, slope: float, *, timeless: bool = False, bend: float = 0.0, size: int = 120) -> cr.Windows:
    """Waiting, and an SLO that fails by it, by number of GPUs and load; the log of waiting changes by slope a GPU."""
    rng = np.random.default_rng(seed)
    gpus, load = rng.choice(np.arange(1.0, 9.0), size=size), rng.uniform(0.5, 2.0, size=size)
    level = 0.5 * load + slope * gpus + bend * (gpus - 4.5) ** 2
    wait = np.exp(level + 0.5 * rng.normal(size=size))
    frame = pl.DataFrame({"gpus": gpus, "load": load, "wait": wait}).with_columns(
        n=pl.lit(40), b=pl.Series(rng.binomial(40, expit(level - 2.0 + 0.3 * rng.normal(size=size))))
    )
    if timeless:
        return cr.Windows.from_frame(frame, time=None, roles={**ROLES, "wait": "engine"}, events={})
    times = pl.Series([START + timedelta(hours=i) for i in range(size)], dtype=pl.Datetime("us", "UTC"))
    frame = frame.with_columns(t=times)
    events = {"slo": ("n", "b")}
    return cr.Windows.from_frame(frame, time="t", roles={**ROLES, "wait": "engine"}, events=events, every="1h")


def curves(mechanism: Mechanism) -> np.ndarray:
    return produce(mechanism, {"gpus": GRID, "load": np.full(200, 1.0)}, None)


def falls(mechanism: Mechanism) -> bool:
    """Whether no draw rises anywhere."""
    drawn = curves(mechanism)
    return bool((np.diff(drawn, axis=0) <= 1e-9 * (1 + np.abs(drawn[1:]))).all())


def said(network: cr.Network, name: str) -> Any:
    return next(check for check in network.checks if check.name == f"{name}: monotone in gpus")


@pytest.mark.parametrize("effect", ["wait", "slo"])
@pytest.mark.parametrize("seed", range(3))
def test_every_draw_of_a_spline_goes_the_way_the_graph_says(effect: str, seed: int) -> None:
    windows = world(seed, -0.02)
    role = "outcome" if effect == "slo" else "engine"
    free = cr.fit(windows, signed(effect, None, role))
    held = cr.fit(windows, signed(effect, "decreasing", role))
    assert not falls(free.mechanism(effect))
    assert falls(held.mechanism(effect))
    assert said(held, effect).passed
    assert "more gpus only lowers" in said(held, effect).says
    assert not [check for check in free.checks if "monotone" in check.name]
    middle = np.abs(np.log(curves(held.mechanism(effect)).mean(axis=1) / curves(free.mechanism(effect)).mean(axis=1)))
    assert middle.max() < 0.5


@pytest.mark.parametrize("seed", range(4))
def test_a_true_sign_brings_the_curve_nearer_to_the_truth(seed: int) -> None:
    truth = 0.5 - 0.05 * GRID
    found = {}
    for sign in (None, "decreasing"):
        made = [
            np.log(curves(cr.fit(world(10 * seed + i, -0.05, size=60), signed("wait", sign)).mechanism("wait")))
            for i in range(5)
        ]
        off = [curve.mean(axis=1) - truth for curve in made]
        found[sign] = float(np.mean([np.mean((each - each.mean()) ** 2) for each in off]))
    assert found["decreasing"] < found[None]


@pytest.mark.parametrize(("effect", "slope", "bend"), [("wait", 0.4, 0.0), ("slo", 0.4, 0.0), ("wait", -0.05, 0.2)])
def test_where_the_data_contradict_the_sign_their_answer_is_kept_and_said(
    effect: str, slope: float, bend: float
) -> None:
    windows = world(1, slope, bend=bend, size=400)
    role = "outcome" if effect == "slo" else "engine"
    held = cr.fit(windows, signed(effect, "decreasing", role))
    assert not said(held, effect).passed
    assert "the data say otherwise" in said(held, effect).says
    free = cr.fit(windows, signed(effect, None, role))
    assert np.array_equal(held.mechanism(effect).draws, free.mechanism(effect).draws)


def test_draws_that_go_the_right_way_stay_as_they_are() -> None:
    windows = world(2, -0.5, size=400)
    free, held = (cr.fit(windows, signed("wait", sign)).mechanism("wait") for sign in (None, "decreasing"))
    unmoved = (np.diff(curves(free), axis=0) <= 0).all(axis=0)
    assert unmoved.mean() > 0.5
    assert np.array_equal(held.draws[unmoved], free.draws[unmoved])


def test_the_nearest_draw_is_that_of_a_general_solver() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(60, 4)) @ rng.normal(size=(4, 4))
    rows = np.array([[0.0, 1.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0], [0.0, 1.0, 1.0, 1.0]])
    made = _nearest(drawn, rows)
    assert (made @ rows.T > -1e-9).all()
    covariance = np.cov(drawn.T, bias=True)
    inverse = np.linalg.inv(covariance + np.diag(0.01 * np.diag(covariance)))
    for i in range(12):
        solved = optimize.minimize(
            lambda at, i=i: (at - drawn[i]) @ inverse @ (at - drawn[i]),
            np.zeros(4),
            constraints={"type": "ineq", "fun": lambda at: rows @ at},
            method="SLSQP",
            options={"ftol": 1e-12, "maxiter": 500},
        )
        assert made[i] == pytest.approx(solved.x, abs=1e-3)


def test_of_other_forms_only_trees_are_tried_and_each_goes_the_way_said() -> None:
    rng = np.random.default_rng(3)
    gpus, load = np.repeat(np.arange(1.0, 9.0), 25), np.tile(np.linspace(0.5, 2.0, 25), 8)
    wait = np.exp(2 * np.sin(6 * load) - 0.1 * gpus * (load > 1.2) + 0.2 * rng.normal(size=200))
    frame = pl.DataFrame({"gpus": gpus, "load": load, "wait": wait})
    windows = cr.Windows.from_frame(frame, time=None, roles={**ROLES, "wait": "engine"}, events={})
    free, held = (cr.fit(windows, signed("wait", sign)) for sign in (None, "decreasing"))
    form = next(check for check in held.checks if check.name == "wait: form")
    assert held.mechanism("wait").form == "forest"
    assert "process" not in form.says
    assert "process" in next(check for check in free.checks if check.name == "wait: form").says
    drawn = produce(held.mechanism("wait"), {"gpus": np.arange(1.0, 9.0), "load": np.full(8, 1.7)}, None)
    assert (np.diff(drawn, axis=0) <= 1e-9 * drawn[1:]).all()


def test_the_sign_is_kept_in_documents_and_saved_networks(tmp_path: Path) -> None:
    graph = signed("wait", "decreasing")
    (tmp_path / "graph.yaml").write_text(graph.to_yaml())
    assert "monotone: decreasing" in graph.to_yaml()
    assert cr.load_graph(tmp_path / "graph.yaml") == graph
    assert graph.fingerprint() != signed("wait", None).fingerprint()
    assert graph.to_dot() == signed("wait", None).to_dot()
    network = cr.fit(world(0, -0.1), graph)
    again = cr.load_network(cr.save_network(network, tmp_path / "network.json"))
    assert again.graph == graph
    assert np.array_equal(again.mechanism("wait").draws, network.mechanism("wait").draws)


def test_what_has_no_order_is_refused(tmp_path: Path) -> None:
    graph = signed("wait", "decreasing")
    text = graph.to_yaml()
    wrong = {"monotone: decreasing": ("monotone: down", "edges[0].monotone: Input should be 'increasing' or")}
    wrong["role: hardware\n    kind: number"] = (
        "role: hardware\n    kind: category",
        "labels such as 'gpus' have no order",
    )
    for before, (after, what) in wrong.items():
        assert before in text
        (tmp_path / "graph.yaml").write_text(text.replace(before, after))
        with pytest.raises(cr.CausalrelError) as fault:
            cr.load_graph(tmp_path / "graph.yaml")
        assert what in fault.value.message
    with pytest.raises(cr.CausalrelError, match="tables of states cannot heed"):
        cr.fit(world(0, -0.1), graph, states={})
    frame = world(0, -0.1, timeless=True).table.select("load", "wait", gpus=pl.col("gpus").cast(pl.String))
    labels = cr.Windows.from_frame(frame, time=None, roles={**ROLES, "wait": "engine"}, events={})
    with pytest.raises(cr.CausalrelError, match="'gpus' is monotone in the graph and its labels have no order"):
        cr.fit(labels, graph)
