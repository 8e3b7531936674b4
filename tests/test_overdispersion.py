"""Event rates are beta-binomial: on windows of few events, against the likeliest beta-binomial and the truth."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from scipy import optimize, stats

import causalrel as cr
from causalrel.inference import predict, produce
from causalrel.networks import expit
from causalrel.overdispersion import draw_shares, fit_correlation, log_chance

START = datetime(2026, 2, 9, tzinfo=UTC)


def rows(seed: int, *, fewest: int, most: int, base: float, correlation: float, normal: bool = False) -> pl.DataFrame:
    """1,000 windows whose shares scatter independently about a line, from a beta or a logit-normal."""
    rng = np.random.default_rng(seed)
    load = rng.normal(size=1000)
    share = expit(base + 0.7 * load)
    own = draw_shares(share, correlation, rng)
    if normal:
        own = expit(base + 0.7 * load + np.sqrt(8 * correlation) * rng.normal(size=1000))
    total = rng.integers(fewest, most + 1, size=1000)
    return pl.DataFrame({"load": load, "n": total, "b": rng.binomial(total, own)}).with_columns(
        t=pl.Series([START + timedelta(hours=i) for i in range(1000)], dtype=pl.Datetime("us", "UTC"))
    )


def fitted(frame: pl.DataFrame) -> cr.Network:
    roles = {"load": "workload"}
    windows = cr.Windows.from_frame(frame, time="t", roles=roles, events={"slo": ("n", "b")}, every="1h")
    return cr.fit(windows, cr.Graph.from_edges([("load", "slo")], roles={**roles, "slo": "outcome"}))


def likeliest(x: np.ndarray, bad: np.ndarray, total: np.ndarray, start: np.ndarray, at: np.ndarray) -> tuple:
    """Shares at other rows, and their size, by the likeliest beta-binomial regression on some columns."""

    def loss(theta: np.ndarray) -> float:
        share, size = np.clip(expit(x @ theta[:-1]), 1e-9, 1 - 1e-9), np.exp(theta[-1])
        return -float(stats.betabinom.logpmf(bad, total, share * size, (1 - share) * size).mean())

    best = optimize.minimize(loss, np.append(start, 2.0), method="BFGS").x
    return np.clip(expit(at @ best[:-1]), 1e-9, 1 - 1e-9), np.exp(best[-1])


def scores(frame: pl.DataFrame) -> dict[str, float]:
    """Mean log score of the second half, foretold from the first: by independent events, by the mechanism, by the
    likeliest beta-binomial on its columns, and by one that was told that the truth is a line."""
    first, rest = frame[:500], frame[500:]
    mechanism = fitted(first).mechanism("slo")
    bad, total = (rest[name].to_numpy().astype(float) for name in ("b", "n"))
    drawn = np.clip(produce(mechanism, {"load": rest["load"].to_numpy()}, None), 1e-9, 1 - 1e-9)
    made = {}
    for name, correlation in (("independent", 0.0), ("ours", mechanism.correlation)):
        chance = np.exp(log_chance(bad[:, None], total[:, None], drawn, correlation)).mean(axis=1)
        made[name] = float(np.log(chance).mean())
    before, after = (
        [
            np.column_stack([np.ones(500), columns(part["load"].to_numpy())])
            for columns in (mechanism.terms[0].columns, np.asarray)
        ]
        for part in (first, rest)
    )
    for name, x, at in zip(("reference", "line"), before, after, strict=True):
        start = np.append([-2.0, 0.5], np.zeros(x.shape[1] - 2))
        share, size = likeliest(x, first["b"].to_numpy(), first["n"].to_numpy(), start, at)
        made[name] = float(stats.betabinom.logpmf(bad, total, share * size, (1 - share) * size).mean())
    return made


WORLDS = [
    {"fewest": 5, "most": 20, "base": -1.5, "correlation": 0.1},
    {"fewest": 5, "most": 20, "base": -3.0, "correlation": 0.2},
    {"fewest": 2, "most": 8, "base": -1.0, "correlation": 0.3},
    {"fewest": 20, "most": 100, "base": -4.0, "correlation": 0.02},
]


@pytest.mark.parametrize("normal", [False, True])
@pytest.mark.parametrize("world", WORLDS)
def test_held_out_windows_of_few_events_are_foretold_as_by_a_beta_binomial(world: dict, normal: bool) -> None:
    made = [scores(rows(seed, **world, normal=normal)) for seed in range(300, 308)]
    found = {name: np.mean([one[name] for one in made]) for name in made[0]}
    assert found["ours"] > found["reference"] - 0.005
    assert found["ours"] > found["independent"] - 0.001
    if not normal:
        assert found["ours"] > found["independent"] + 0.03


def test_independent_events_cost_nothing() -> None:
    found = scores(rows(310, fewest=5, most=20, base=-1.5, correlation=0.0))
    assert abs(found["ours"] - found["independent"]) < 0.003


def test_the_log_chance_is_scipy_s() -> None:
    bad, total, share = np.array([0.0, 3.0, 9.0]), np.array([5.0, 3.0, 40.0]), np.array([0.1, 0.5, 0.3])
    size = 1 / 0.07 - 1
    theirs = stats.betabinom.logpmf(bad, total, share * size, (1 - share) * size)
    assert log_chance(bad, total, share, 0.07) == pytest.approx(theirs, abs=1e-10)
    assert log_chance(bad, total, share, 0.0) == pytest.approx(stats.binom.logpmf(bad, total, share), abs=1e-10)


@pytest.mark.parametrize("seed", range(4))
def test_the_correlation_that_made_counts_is_found(seed: int) -> None:
    rng = np.random.default_rng([400, seed])
    share, total = expit(rng.normal(-2, 0.5, 5000)), rng.integers(3, 60, 5000).astype(float)
    bad = rng.binomial(total.astype(int), draw_shares(share, 0.08, rng)).astype(float)
    assert fit_correlation(bad, total, share) == pytest.approx(0.08, rel=0.15)


def test_draws_of_shares_scatter_as_windows_did_and_keep_their_mean() -> None:
    frame = rows(320, fewest=30, most=60, base=-2.0, correlation=0.1)
    mechanism = fitted(frame).mechanism("slo")
    at = {"load": np.zeros(2000)}
    drawn = predict(mechanism, at, np.random.default_rng(0))
    share = produce(mechanism, at, None)
    assert drawn.mean() == pytest.approx(share.mean(), rel=0.02)
    scatter = drawn.var() - share.var()
    assert scatter == pytest.approx(mechanism.correlation * share.mean() * (1 - share.mean()), rel=0.1)
    assert mechanism.correlation == pytest.approx(0.1, abs=0.025)
