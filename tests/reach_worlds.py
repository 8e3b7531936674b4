"""Services that run at two batch sizes, a simulator that does not know their costs, and what a third really does."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import yaml

import causalrel as cr

SEEN, AHEAD = 10, 4
MODELS = Path(cr.__file__).parents[1] / "models"


class World(NamedTuple):
    """Windows seen, the simulator, and of the days after them each SLO's log odds at a batch size, both ways told."""

    windows: cr.Windows
    believed: dict[str, Any]
    asked: int
    truth: dict[str, tuple[float, float]]


def scenario(rng: np.random.Generator | None = None, *, sizes: tuple[int, int] = (4, 8)) -> dict[str, Any]:
    """Give the canary's fleet without its rollout and its bad node; with other costs and prompts where drawn."""
    made: dict[str, Any] = yaml.safe_load((MODELS / "scenarios" / "llm-canary.yaml").read_text())
    for part in ("rollouts", "lagged"):
        made.pop(part, None)
    made["days"], made["fleet"]["faults"] = SEEN + AHEAD, []
    made["workload"]["growth_per_day"] = 0.0
    made["policies"][0] |= {"low": sizes[0], "high": sizes[1]}
    if rng is not None:
        costs = made["engine"]["costs"]
        for name in ("base_s", "prefill_s_per_token", "sequence_s", "kv_s_per_token"):
            costs[name] *= float(np.exp(0.3 * rng.normal()))
        costs["kv_tokens"] = int(costs["kv_tokens"] * np.exp(0.2 * rng.normal()))
        for tenant in made["workload"]["tenants"]:
            for name in ("prompt_tokens", "output_tokens"):
                tenant[name]["median"] = int(tenant[name]["median"] * np.exp(0.2 * rng.normal()))
    return made


def world(seed: int) -> World:
    """Draw a service, its windows, a batch size nobody ran, and what it does there on the days after."""
    rng = np.random.default_rng([seed, 91])
    sizes = [(3, 6), (4, 8), (4, 12)][int(rng.integers(3))]
    asked = int(rng.choice([round(sizes[0] * 0.6), round(sizes[1] * 1.4), round(sizes[1] * 1.9)]))
    real = scenario(rng, sizes=sizes)
    ran = cr.simulate(real, seed=seed)
    cut = ran.frame()["time"].min() + timedelta(days=SEEN)
    slos = objectives(ran.frame().filter(pl.col("time") < cut))
    windows = cr.window(ran, slos, every="1h", by="node")
    windows = replace(windows, table=windows.table.filter(pl.col("time") < cut))
    near = min(sizes, key=lambda size: abs(np.log(size / asked)))
    arms = [odds(real, slos, seed, size, cut) for size in (near, asked)]
    return World(
        windows, scenario(sizes=sizes), asked, {slo.name: (arms[0][slo.name], arms[1][slo.name]) for slo in slos}
    )


def objectives(seen: pl.DataFrame) -> list[cr.SLO]:
    """Give objectives that the days seen miss a tenth of the time."""
    at = {name: float(seen[name].drop_nulls().quantile(0.9) or 1.0) for name in ("ttft_s", "tpot_s")}
    return [
        cr.SLO(name=name[:4], dimension="latency", where=f"{name} <= {value:.4f}", target=0.9)
        for name, value in at.items()
    ]


def odds(told: dict[str, Any], slos: list[cr.SLO], seed: int, size: int, since: datetime) -> dict[str, float]:
    """Run a service at one batch size throughout, and return the log odds of bad events since a time."""
    table = cr.window(cr.simulate(told, seed=seed, do={"batch_size": size}), slos, every="1h", by="node").table
    sums = table.filter(pl.col("time") >= since)
    made = {}
    for slo in slos:
        bad, total = (float(sums[f"{slo.name}.{part}"].sum()) for part in ("bad", "total"))
        made[slo.name] = float(np.log((bad + 0.5) / (total - bad + 0.5)))
    return made


class Scored(NamedTuple):
    """By SLO: the error of the change of log odds, of the simulator's and of none; whether bands of both held it."""

    name: str
    ours: float
    alone: float
    none: float
    inside: bool
    burn_inside: bool


def score(seed: int) -> list[Scored]:
    """Ask what a batch size nobody ran would do, and hold the answer against what it did."""
    made = world(seed)
    network = cr.fit(made.windows, cr.load_graph("llm-serving").project(made.windows.names), seed=seed)
    answer = cr.whatif(
        made.windows, network, do={"batch_size": made.asked}, horizon=f"{AHEAD}d", scenario=made.believed, seed=seed
    )
    if answer.verdict == "refused":
        return []
    alone = reached(made, network, seed)
    scored = []
    for slo in made.windows.slos:
        near, there = made.truth[slo.name]
        moved, told = alone[slo.name]
        share = answer.select(slo=slo.name, quantity="bad_share", scenario="changed").draws[:, 0]
        low, high = np.quantile(share, [0.05, 0.95])
        band = np.quantile(moved, [0.05, 0.95])
        true = 1 / (1 + np.exp(-there))
        scored.append(
            Scored(
                slo.name,
                abs(float(moved.mean()) - (there - near)),
                abs(told - (there - near)),
                abs(there - near),
                bool(band[0] <= there - near <= band[1]),
                bool(low <= true <= high),
            )
        )
    return scored


def reached(made: World, network: cr.Network, seed: int) -> dict[str, tuple[np.ndarray, float]]:
    """Return draws of each change of log odds, and what the simulator alone says of it."""
    from causalrel.futures.histories import past_of
    from causalrel.futures.reaches import reach_out

    past = past_of(made.windows, network, timedelta(days=AHEAD), also=("batch_size",))
    values = {"batch_size": np.full(len(past.bin), float(made.asked))}
    reach = reach_out(made.windows, network, past, values, made.believed, 1000, seed)
    return {name: (draws.odds[:, 0], reach.told[name]) for name, draws in reach.moves.items()}
