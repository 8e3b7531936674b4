"""Made fleets with two deploys, one guilty and one innocent, and what each truly added."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import numpy as np
import polars as pl
from telemetry_worlds import remembered
from worlds import START

import causalrel as cr
from causalrel.attribution import _paired, _rows
from causalrel.attribution.coalitions import coalitions_of, list_steps, shapley
from causalrel.networks import expit
from causalrel.slos import SLO
from causalrel.telemetry.schema import TIME
from causalrel.variables import Variable
from causalrel.windows import Windows

NAMES = ("load", "engine_version", "template", "queue_s")
_ROLES = {"load": "workload", "engine_version": "config", "template": "config", "queue_s": "engine", "ttft": "outcome"}
_NOISE = 0.3
_BEFORE = {"engine_version": "e1", "template": "plain"}
_AFTER = {"engine_version": "e2", "template": "dated"}


class Fleet(NamedTuple):
    """Windows with change events, the span that burnt, the guilty variable, and each deploy's share of bad events."""

    windows: Windows
    during: tuple[datetime, datetime]
    guilty: str
    shares: dict[str, float]


def fleet_graph() -> cr.Graph:
    """The true graph of :func:`deploy_world`, and an edge from the innocent deploy to all that it might do."""
    edges = [(cause, effect) for cause in NAMES[:3] for effect in ("queue_s", "ttft")] + [("queue_s", "ttft")]
    made = cr.Graph.from_edges(edges, roles=_ROLES, name="fleet")  # type: ignore[arg-type]
    return replace(
        made, variables=tuple(replace(v, kind="category") if v.name in _BEFORE else v for v in made.variables)
    )


def deploy_world(seed: int, *, times: Literal["apart", "once", "tried before"] = "apart") -> Fleet:
    """Half-hour windows of four nodes in a week; two things are deployed, and the guilty one slows the queue and fails.

    Which is guilty, how much it does, when each comes and whether it comes to all nodes at once are drawn at random.
    ``once`` lets both come to the same node at the same time; ``tried before`` too, after the innocent one alone had
    been on one node for half a day.
    """
    rng = np.random.default_rng([seed, 29])
    n = 7 * 48
    t = np.arange(n)
    guilty, innocent = rng.permutation(["engine_version", "template"]).tolist()
    first, second = (n - 48 - int(rng.integers(0, 24)), n - 84 - int(rng.integers(0, 24)))
    late = rng.permutation([first, second])
    begin = {guilty: int(late[0]), innocent: int(late[0] if times != "apart" else late[1])}
    step = {name: int(rng.choice([0, 2])) for name in (guilty, innocent)}
    step[innocent] = step[guilty] if times != "apart" else step[innocent]
    slows, fails = rng.uniform(0.2, 0.5), rng.uniform(0.5, 1.2)
    shared = _NOISE * remembered(rng, n, 0.9)
    frames, changes = [], []
    for unit in range(4):
        node = f"gpu-{unit}"
        on = {name: t >= begin[name] + step[name] * unit for name in (guilty, innocent)}
        tried = (t >= 96) & (t < 120) & (unit == 2) & (times == "tried before")
        on[innocent] = on[innocent] | tried
        changes += [(name, node, at, on[name][at]) for name in on for at in np.flatnonzero(np.diff(on[name])) + 1]
        load = np.exp(np.log(2) + 0.5 * np.sin(2 * np.pi * t / 48) + 0.2 * rng.normal(size=n) + 0.15 * (t >= n - 24))
        queue = np.exp(-1 + 1.2 * np.log(load) + 0.3 * rng.normal(size=n) + slows * on[guilty])
        total = rng.poisson(load * 60) + 1
        bad = rng.binomial(total, expit(_risk(load, queue, fails * on[guilty]) + shared))
        frames.append(
            pl.DataFrame(
                {
                    "time": [START + timedelta(minutes=30 * int(i)) for i in t],
                    "unit": [node] * n,
                    "ttft.total": total,
                    "ttft.bad": bad,
                    "load": load,
                    "queue_s": queue,
                    **{name: np.where(on[name], _AFTER[name], _BEFORE[name]) for name in _BEFORE},
                }
            )
        )
    windows = Windows(
        table=pl.concat(frames).with_columns(
            pl.col("time").cast(TIME), pl.col("ttft.total", "ttft.bad").cast(pl.Int64)
        ),
        width=timedelta(minutes=30),
        slos=(SLO(name="ttft", dimension="latency", target=0.95),),
        variables=tuple(
            Variable(name=name, role=_ROLES[name], kind="category" if name in _BEFORE else "number")  # type: ignore[arg-type]
            for name in NAMES
        ),
        changes=_told(changes),
        by=("node",),
    )
    end = START + timedelta(days=7)
    during = (end - timedelta(hours=12), end)
    return Fleet(windows, during, guilty, _true_shares(windows, during, guilty, slows, fails))


def _risk(load: np.ndarray, queue: np.ndarray, worse: np.ndarray) -> np.ndarray:
    made: np.ndarray = -4 + np.log(load) + 0.3 * queue + worse
    return made


def _told(changes: list[tuple[str, str, int, bool]]) -> pl.DataFrame:
    rows = [
        (START + timedelta(minutes=30 * int(at)), node, name, *values)
        for name, node, at, is_on in changes
        for values in [(_BEFORE[name], _AFTER[name])[:: 1 if is_on else -1]]
    ]
    schema = {"time": TIME, "node": pl.String, "variable": pl.String, "before": pl.String, "after": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row").sort("time", "node", "variable")


def _true_shares(
    windows: Windows, during: tuple[datetime, datetime], guilty: str, slows: float, fails: float
) -> dict[str, float]:
    """Shapley values under the true mechanisms, on the rows that are compared, noise averaged out."""
    now, before, _ = _rows(windows, [*NAMES, "ttft"], during, None)
    left, right, mass = _paired(now["ttft.total"], before["ttft.total"])
    spans = ((now, left), (before, right))
    load = [rows["load"][place] for rows, place in spans]
    on = [(rows[guilty] == _AFTER[guilty])[place] for rows, place in spans]
    rest = [
        (np.log(rows["queue_s"]) + 1 - 1.2 * np.log(rows["load"]) - slows * (rows[guilty] == _AFTER[guilty]))[place]
        for rows, place in spans
    ]
    nodes, weights = np.polynomial.hermite_e.hermegauss(15)

    steps = list_steps(NAMES, np.random.default_rng(0))

    def worth(chosen: frozenset[str]) -> np.ndarray:
        at = {name: 0 if name in chosen else 1 for name in NAMES}
        many, is_on = load[at["load"]], on[at[guilty]]
        queue = np.exp(-1 + 1.2 * np.log(many) + slows * is_on + rest[at["queue_s"]])
        eta = _risk(many, queue, fails * is_on)[:, None] + _NOISE * nodes
        return np.array([mass @ (expit(eta) @ weights) / weights.sum()])

    parts = shapley({chosen: worth(chosen) for chosen in coalitions_of(steps)}, steps)
    return {name: float(parts[name][0]) for name in _BEFORE}


def told_changes(fleet: Fleet, seed: int = 0) -> cr.Estimate:
    """What attribution says of the deploys of a fleet."""
    network = cr.fit(fleet.windows, fleet_graph(), seed=seed)
    return cr.attribute(fleet.windows, network, during=fleet.during, on="ttft", by="change", seed=seed)
