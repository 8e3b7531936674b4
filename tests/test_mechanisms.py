"""Forms of mechanisms: Gaussian processes and forests against scikit-learn, and the choice among them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from worlds import EDGES, serving_graph, serving_world
from worlds import ROLES as SERVING

import causalrel as cr
from causalrel.bridges.sklearn import fit_forest
from causalrel.inference import predict
from causalrel.surfaces.kernels import TREND_VARIANCE, Kernel, Rows, _loss, fit_kernel, gather, squares
from causalrel.surfaces.processes import condition

ROLES = {"batch": "config", "gpus": "hardware", "gpu": "hardware", "latency": "engine"}


def load_test(seed: int = 0, repeats: int = 3) -> pl.DataFrame:
    """Runs of a service whose latency is no spline of single parents: they multiply, and wave with batch size."""
    rng = np.random.default_rng(seed)
    cells = [(b, g, k) for b in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32) for g in (1, 2, 4, 8) for k in ("a", "b")]
    rows = [cell for cell in cells for _ in range(repeats)]
    batch, gpus = (np.array([row[i] for row in rows], dtype=float) for i in (0, 1))
    fast = np.array([row[2] == "a" for row in rows])
    log = np.log(batch) * (0.3 + 0.2 * np.log2(gpus)) - 0.5 * fast * np.log(gpus) + 0.4 * np.sin(2 * np.log(batch))
    return pl.DataFrame(
        {
            "batch": batch,
            "gpus": gpus,
            "gpu": [row[2] for row in rows],
            "latency": np.exp(log + 0.01 * rng.normal(size=len(rows))),
        }
    )


def fitted(frame: pl.DataFrame, seed: int = 0) -> cr.Network:
    windows = cr.Windows.from_frame(frame, time=None, roles=ROLES, events={})  # type: ignore[arg-type]
    graph = cr.Graph.from_edges([(name, "latency") for name in ("batch", "gpus", "gpu")], roles=ROLES)  # type: ignore[arg-type]
    return cr.fit(windows, graph, seed=seed)


def made_kernel(**more: float) -> Kernel:
    given = {"amplitude": 0.8, "noise": 0.2, **more}
    return Kernel(
        trend="linear",
        groups=np.array([0, 1]),
        numeric=np.array([True, True]),
        lengths=np.array([0.7, 2.0]),
        **given,
    )


def made_rows(count: int = 40) -> Rows:
    x = np.random.default_rng(3).normal(size=(count, 2))
    return gather(x, np.sin(2 * x[:, 0]) + 0.3 * x[:, 1] + 0.1 * np.random.default_rng(4).normal(size=count))


def test_process_predicts_as_scikit_learn_does() -> None:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct, Matern

    kernel, rows = made_kernel(), made_rows()
    theirs = ConstantKernel(TREND_VARIANCE) * DotProduct(1.0) + ConstantKernel(0.64) * Matern([0.7, 2.0], nu=2.5)
    model = GaussianProcessRegressor(theirs, alpha=0.04 + 1e-8, optimizer=None).fit(rows.x, rows.y)
    asked = np.random.default_rng(5).normal(size=(30, 2)) * 2
    mean, sd = condition(kernel, rows, np.random.default_rng(0)).predict(asked)
    told = model.predict(asked, return_std=True)
    assert np.allclose(mean, told[0], atol=1e-6)
    assert np.allclose(sd, told[1], atol=1e-6)


def test_gradient_of_the_marginal_likelihood_is_that_of_differences() -> None:
    rows = gather(np.repeat(made_rows(12).x, 2, axis=0), np.random.default_rng(6).normal(size=24))
    apart = [squares(rows.x[:, [i]], rows.x[:, [i]]) for i in range(2)]
    base = made_kernel(amplitude=0.0).between(rows.x, rows.x)
    theta = np.array([0.2, -0.3, 0.1, -1.0])
    exact = _loss(theta, rows, base, apart)[1]
    steps = 1e-5 * np.eye(4)
    near = [(_loss(theta + s, rows, base, apart)[0] - _loss(theta - s, rows, base, apart)[0]) / 2e-5 for s in steps]
    assert np.allclose(exact, near, rtol=1e-4, atol=1e-4)


def test_repeated_rows_weigh_as_themselves() -> None:
    rows = made_rows(15)
    x, y = np.repeat(rows.x, 3, axis=0), np.repeat(rows.y, 3)
    once = Rows(x=x + 0.0, y=y, weight=np.ones(45), within=0.0, count=45.0)
    asked = np.array([[0.3, -0.2], [2.0, 2.0]])
    one, three = (
        condition(made_kernel(), part, np.random.default_rng(0)).predict(asked) for part in (gather(x, y), once)
    )
    assert np.allclose(one, three, atol=1e-5)


def test_drawn_functions_have_the_mean_and_spread_predicted() -> None:
    posterior = condition(made_kernel(), made_rows(), np.random.default_rng(0))
    asked = np.array([[0.1, 0.1], [1.0, -1.0], [4.0, 4.0]])
    mean, sd = posterior.predict(asked)
    centre, apart = posterior.draw(4000, np.random.default_rng(1)).at(asked)
    assert np.allclose(centre[:, 0], mean)
    assert np.allclose(apart.mean(axis=1), 0.0, atol=1e-9)
    assert np.allclose(apart.std(axis=1), sd, rtol=0.12)


def test_rows_that_differ_by_draw_are_told_as_rows_that_do_not() -> None:
    rows = made_rows()
    x = np.random.default_rng(7).normal(size=(6, 2))
    paths = condition(made_kernel(), rows, np.random.default_rng(0)).draw(8, np.random.default_rng(1))
    forest = fit_forest(rows.x, rows.y, draws=8, rng=np.random.default_rng(0))
    for function in (paths, forest):
        flat, deep = function.at(x), function.at(np.repeat(x[:, None], 8, axis=1))
        assert np.allclose(sum(flat), sum(deep), atol=1e-8)


def test_forest_says_what_scikit_learn_says() -> None:
    from sklearn.ensemble import ExtraTreesRegressor

    rows = made_rows(200)
    ours = fit_forest(rows.x, rows.y, leaf=3, trees=20, draws=10, rng=np.random.default_rng(5))
    state = int(np.random.default_rng(5).integers(2**31))
    theirs = ExtraTreesRegressor(20, min_samples_leaf=3, random_state=state).fit(rows.x.astype(np.float32), rows.y)
    asked = np.random.default_rng(8).normal(size=(50, 2))
    assert np.allclose(ours.at(asked)[0][:, 0], theirs.predict(asked.astype(np.float32)))


def test_linear_world_is_found_linear() -> None:
    x = np.random.default_rng(9).normal(size=(60, 2))
    rows = gather(x, x @ np.array([1.0, -0.5]))
    kernel = fit_kernel(rows, np.array([0, 1]), np.array([True, True]), smooth=False, rng=np.random.default_rng(0))
    mean, _ = condition(kernel, rows, np.random.default_rng(0)).predict(np.array([[5.0, 5.0]]))
    assert mean[0] == pytest.approx(2.5, abs=0.01)


def test_load_test_gets_the_form_that_foretells_it() -> None:
    network = fitted(load_test())
    mechanism = network.mechanism("latency")
    assert mechanism.form == "process"
    said = next(check.says for check in network.checks if check.name == "latency: form")
    assert "spline" in said
    asked = load_test(seed=1)
    values = {name: asked[name].to_numpy().astype(str if name == "gpu" else float) for name in ("batch", "gpus", "gpu")}
    draws = predict(mechanism, values, np.random.default_rng(0))
    low, middle, high = np.quantile(draws, (0.05, 0.5, 0.95), axis=1)
    truth = asked["latency"].to_numpy()
    assert np.median(np.abs(middle / truth - 1)) < 0.015
    assert 0.8 < np.mean((low <= truth) & (truth <= high)) < 0.98


def test_what_it_relies_on_is_said_and_the_band_is_wider_outside() -> None:
    surface = fitted(load_test()).mechanism("latency").surface
    assert surface is not None
    asked = {"batch": np.array([8.0, 10.0, 64.0, 8.0]), "gpus": np.full(4, 2.0), "gpu": np.array(["a", "a", "a", "c"])}
    assert surface.standing(asked).tolist() == ["seen", "between", "beyond", "refused"]
    width = np.ptp(surface.predictor(asked), axis=1)
    assert width[2] > 3 * width[1]


def test_same_seed_same_network() -> None:
    frame = load_test(repeats=2)
    one, two = (fitted(frame).mechanism("latency").surface for _ in range(2))
    assert one is not None
    assert two is not None
    values = {"batch": np.array([5.0, 99.0]), "gpus": np.array([2.0, 3.0]), "gpu": np.array(["a", "b"])}
    assert np.array_equal(one.predictor(values), two.predictor(values))


def test_rows_without_time_are_no_past_to_forecast_from() -> None:
    frame = load_test().with_columns(n=pl.lit(10), bad=pl.lit(1))
    windows = cr.Windows.from_frame(frame, time=None, roles=ROLES, events={"slow": ("n", "bad")})  # type: ignore[arg-type]
    graph = cr.Graph.from_edges([("batch", "slow")], roles={"batch": "config", "slow": "outcome"})
    with pytest.raises(cr.CausalrelError, match="whole past days, and the windows hold 0 of them"):
        cr.forecast(windows, cr.fit(windows, graph), horizon="1d")


def waving_world() -> tuple[cr.Windows, cr.Graph]:
    """The serving world with a queue that waves with load, which no two knots follow."""
    windows, _ = serving_world()
    waves = (0.2 + (3 * pl.col("load")).sin().abs()).alias("queue_s")
    return replace(windows, table=windows.table.with_columns(waves)), serving_graph()


def beyond_world() -> tuple[cr.Windows, cr.Graph]:
    """The serving world with twenty batch sizes that act on the queue alone, in waves."""
    windows, _ = serving_world()
    size = (pl.int_range(pl.len()) // 7 * 11 % 20 + 1).alias("batch_size")
    waves = (0.2 + (0.9 * pl.col("batch_size")).sin().abs() + 0.01 * pl.col("load")).alias("queue_s")
    table = windows.table.with_columns(size).with_columns(waves)
    edges = [(c, e) for c, e in EDGES if (c, e) != ("batch_size", "ttft")]
    return replace(windows, table=table), cr.Graph.from_edges(edges, roles=SERVING, name="world")  # type: ignore[arg-type]


def test_a_queue_that_waves_leaves_the_spline_and_everything_still_closes() -> None:
    windows, graph = waving_world()
    network = cr.fit(windows, graph)
    assert network.mechanism("queue_s").form in ("process", "forest")
    _, end = windows.span
    answer = cr.attribute(windows, network, during=(end - timedelta(hours=12), end), on="ttft")
    ledger = answer.select(quantity="burn").frame()
    parts = ledger.filter(pl.col("driver") != "total")["mean"].sum()
    assert parts == pytest.approx(ledger.filter(pl.col("driver") == "total")["mean"].item(), abs=1e-9)
    asked = cr.whatif(windows, network, do={"batch_size": 8}, horizon="2d")
    assert asked.verdict != "refused"
    assert np.isfinite(asked.draws).all()


def test_a_level_between_those_seen_is_bounded_and_says_so() -> None:
    windows, _ = serving_world()
    network = cr.fit(windows, serving_graph())
    answer = cr.whatif(windows, network, do={"batch_size": 6}, horizon="1d")
    assert answer.verdict == "bounded"
    assert any("batch_size = 6 was never seen and is interpolated" in c.says for c in answer.checks)
    assert cr.whatif(windows, network, do={"batch_size": 9}, horizon="1d").verdict == "refused"


def test_a_level_beyond_those_seen_is_answered_where_a_surface_was_tried() -> None:
    windows, graph = beyond_world()
    network = cr.fit(windows, graph)
    assert network.mechanism("queue_s").surface is not None
    inside, outside = (
        cr.whatif(windows, network, do={"batch_size": level}, horizon="1d").select(slo="ttft", quantity="burn")
        for level in (9, 22)
    )
    assert outside.verdict == "bounded"
    assert any("batch_size = 22 was never seen" in c.says and "band of queue_s" in c.says for c in outside.checks)
    spread = [answer.select(scenario="changed").draws.std() for answer in (inside, outside)]
    assert spread[1] > spread[0]
