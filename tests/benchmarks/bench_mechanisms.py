"""How well fitted mechanisms foretell measured runs they were not shown: error, coverage, refusals.

    python tests/benchmarks/bench_mechanisms.py dev      # the part rules were chosen on
    python tests/benchmarks/bench_mechanisms.py unseen   # the part held back

Needs ``../shared/data`` beside the checkout.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import causalrel as cr
from causalrel.inference import predict

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
Roles = Mapping[str, Any]


def columns(frame: pl.DataFrame, names: Roles) -> dict[str, Any]:
    made = {}
    for name in names:
        text = frame.schema[name] == pl.String
        made[name] = frame[name].to_numpy().astype(str) if text else frame[name].cast(pl.Float64).to_numpy()
    return made


def foretold(
    train: pl.DataFrame, test: pl.DataFrame, roles: Roles, outcome: str, unit: str | None = None
) -> tuple[Any, Any, str]:
    """Fit a network to some rows; draws of the outcome at others, what each relies on, and the form."""
    asked = {**roles, outcome: "engine"}
    windows = cr.Windows.from_frame(train, time=None, roles=asked, events={}, unit=unit)
    graph = cr.Graph.from_edges([(parent, outcome) for parent in roles], roles=asked)
    mechanism = cr.fit(windows, graph).mechanism(outcome)
    values = columns(test, roles)
    draws = predict(mechanism, values, np.random.default_rng(0))
    standing = np.full(test.height, "seen") if mechanism.surface is None else mechanism.surface.standing(values)
    return draws, standing, mechanism.form


class Tally:
    """Errors of one task, over its parts."""

    def __init__(self) -> None:
        self.error: list[Any] = []
        self.inside: list[Any] = []
        self.width: list[Any] = []
        self.asked = 0
        self.forms: set[str] = set()

    def add(self, train: pl.DataFrame, test: pl.DataFrame, roles: Roles, outcome: str) -> None:
        draws, standing, form = foretold(train, test, roles, outcome)
        answered = standing != "refused"
        truth, draws = test[outcome].to_numpy()[answered], draws[answered]
        low, middle, high = np.quantile(draws, (0.05, 0.5, 0.95), axis=1)
        self.error.append(np.abs(middle / truth - 1))
        self.inside.append((low <= truth) & (truth <= high))
        self.width.append(high / np.maximum(low, 1e-12))
        self.asked += test.height
        self.forms.add(form)

    def told(self) -> str:
        error, inside, width = (np.concatenate(part) for part in (self.error, self.inside, self.width))
        if not len(error):
            return f"refused in all of {self.asked}"
        return (
            f"median error {100 * np.median(error):.2f} %, 90 % band holds {100 * inside.mean():.0f} %, "
            f"median band width x{np.median(width):.2f}, refused {self.asked - len(error)} of {self.asked}, "
            f"{'/'.join(sorted(self.forms))}"
        )


SPLITWISE = {
    "model": "hardware",
    "hardware": "hardware",
    "prompt_size": "workload",
    "batch_size": "config",
    "token_size": "workload",
    "tensor_parallel": "hardware",
}


def folds(keys: Any, seed: int) -> Iterator[Any]:
    order = np.random.default_rng(seed).permutation(int(keys.max()) + 1) % 5
    for fold in range(5):
        yield order[keys] == fold


def splitwise(part: str) -> Iterator[tuple[str, str]]:
    """Development: Llama 2 70B on A100. Unseen: rows of H100 and of Bloom 176B, with the others to learn from."""
    rows = pl.read_csv(DATA / "splitwise_perf" / "perf_model.csv")
    developed = (pl.col("model") == "llama2-70b") & (pl.col("hardware") == "a100-80gb")
    if part == "dev":
        rows = rows.filter(developed)
    scored = rows.select(developed if part == "dev" else ~developed).to_series().to_numpy()
    seed = 0 if part == "dev" else 1000
    cells = rows.select(pl.struct(list(SPLITWISE)).rank("dense")).to_series().to_numpy() - 1
    top = (
        rows.select((pl.col("batch_size") > 32) | (pl.col("prompt_size") > 4096) | (pl.col("token_size") > 4096))
        .to_series()
        .to_numpy()
    )
    place = rows.select(pl.struct("model", "hardware", "tensor_parallel").rank("dense")).to_series().to_numpy()
    lone = rows.select(pl.col("model") == "bloom-176b").to_series().to_numpy()
    tasks = {
        "random rows": list(folds(np.arange(rows.height), seed)),
        "whole configurations": list(folds(cells, seed)),
        "unseen hardware x parallelism": [place == one for one in np.unique(place[scored & ~lone])],
        "beyond the range": [top],
    }
    for outcome in ("prompt_time", "token_time"):
        for task, masks in tasks.items():
            tally = Tally()
            for mask in masks:
                tally.add(rows.filter(~mask), rows.filter(mask & scored), SPLITWISE, outcome)
            yield f"splitwise {outcome}, {task}", tally.told()


JETSON = [
    "core1_status",
    "core2_status",
    "core3_status",
    "core_freq",
    "gpu_freq",
    "emc_freq",
    "scheduler.policy",
    "vm.swappiness",
    "vm.vfs_cache_pressure",
]


def jetson(part: str) -> Iterator[tuple[str, str]]:
    """Development: 100 configurations of one half foretell the rest of it; unseen: that half and 34 of the other."""
    rows = pl.read_parquet(DATA / "unicorn_jetson" / "measurements.parquet")
    roles = {name: "config" for name in JETSON if rows[name].n_unique() > 1}
    ids = np.sort(rows["config_id"].unique().to_numpy())
    order = np.random.default_rng(7).permutation(ids)
    learnt, asked = (order[:100], order[100:166]) if part == "dev" else (order[:200], order[200:])
    mine, rest = (rows.filter(pl.col("config_id").is_in(those.tolist())) for those in (learnt, asked))
    for outcome in ("inference_time", "total_energy_consumption"):
        tally = Tally()
        tally.add(mine, rest, roles, outcome)
        yield f"jetson {outcome}, {len(learnt)} configurations", tally.told()


ENERGY = {
    "task": "workload",
    "architecture": "config",
    "gpu_model": "hardware",
    "num_gpus": "hardware",
    "tensor_parallel": "config",
    "expert_parallel": "config",
    "max_num_seqs": "config",
    "weight_precision": "config",
    "activated_params_billions": "config",
    "total_params_billions": "config",
}


def energy(part: str) -> Iterator[tuple[str, str]]:
    """Development: the first half of the models, shuffled; unseen: the second half."""
    rows = pl.read_csv(DATA / "ml_energy" / "llm_runs.csv")
    models = np.random.default_rng(7).permutation(np.sort(rows["model_id"].unique().to_numpy()))
    half = models[: len(models) // 2] if part == "dev" else models[len(models) // 2 :]
    mine = rows.filter(pl.col("model_id").is_in(half.tolist()))
    tally, away = Tally(), Tally()
    for mask in folds(np.arange(mine.height), 0 if part == "dev" else 1000):
        tally.add(mine.filter(~mask), mine.filter(mask), ENERGY, "energy_per_token_joules")
    yield "ml_energy per token, random runs", tally.told()
    for gpu in ("H100", "B200"):
        other = pl.col("gpu_model") == gpu
        away.add(mine.filter(~other), mine.filter(other), ENERGY, "energy_per_token_joules")
    yield "ml_energy per token, hardware never seen", away.told()


NODES = {
    "load": "workload",
    "prompt": "workload",
    "batch_size": "config",
    "gpus": "hardware",
    "clock": "hardware",
    "running": "engine",
    "cache": "engine",
    "queue": "engine",
    "prefill": "engine",
    "ttft": "outcome",
    "tpot": "outcome",
    "up": "outcome",
}


def fleet(units: int, windows: int, seed: int) -> tuple[cr.Windows, cr.Graph]:
    """Half-hour windows of twelve nodes, every engine variable from all before it and every SLO from all engine."""
    rng = np.random.default_rng(seed)
    n = units * windows
    clock = np.tile(np.arange(windows), units)
    made: dict[str, Any] = {
        "load": np.exp(0.5 * np.sin(2 * np.pi * clock / 48) + 0.2 * rng.normal(size=n)),
        "prompt": np.exp(6 + 0.3 * rng.normal(size=n)),
        "batch_size": rng.choice([4, 8, 16], size=n),
        "gpus": rng.choice([1, 2], size=n),
        "clock": 1980 + 5 * rng.normal(size=n),
    }
    engine = [name for name, role in NODES.items() if role == "engine"]
    for name in engine:
        push = made["load"] / made["gpus"] + 0.1 * np.log(made["prompt"]) + 0.02 * made["batch_size"]
        made[name] = np.exp(0.3 * push + 0.2 * rng.normal(size=n))
    outcomes = [name for name, role in NODES.items() if role == "outcome"]
    start = np.datetime64("2026-02-09T00:00", "us")
    frame = pl.DataFrame(made).with_columns(
        time=pl.Series(start + clock * np.timedelta64(30 * 60 * 1_000_000, "us")),
        unit=pl.Series([f"u{i:03d}" for i in range(units) for _ in range(windows)]),
        n=pl.lit(200),
        **{name: pl.Series(rng.binomial(200, 1 / (1 + np.exp(4 - made["queue"])))) for name in outcomes},
    )
    roles = {name: role for name, role in NODES.items() if role != "outcome"}
    told = cr.Windows.from_frame(
        frame, time="time", unit="unit", roles=roles, events={name: ("n", name) for name in outcomes}
    )
    first = [name for name in roles if name not in engine]
    edges = [(cause, effect) for cause in first for effect in engine]
    edges += [(cause, effect) for cause in engine for effect in outcomes]
    return told, cr.Graph.from_edges(edges, roles=NODES)


def speed(part: str) -> Iterator[tuple[str, str]]:
    """CPU seconds beyond imports; the part is the seed."""
    windows, graph = fleet(4, 14 * 48, len(part))
    network = cr.fit(windows, graph)
    began = time.process_time()
    cr.whatif(windows, network, do={"batch_size": 8}, horizon="7d", draws=2000)
    spent = time.process_time() - began
    heavy = sorted({"dowhy", "pgmpy", "pymc", "sklearn"} & set(sys.modules))
    yield "what-if of 2,000 draws over 7 days, 12 nodes", f"{spent:.2f} CPU-s, loaded {', '.join(heavy) or 'none'}"
    windows, graph = fleet(50, 2000, len(part))
    began = time.process_time()
    cr.fit(windows, graph)
    yield "fit on 100,000 windows, 12 nodes", f"{time.process_time() - began:.1f} CPU-s"


def rates(part: str) -> Iterator[tuple[str, str]]:
    """Held-out log score a window of independent events, of the mechanism, and of the likeliest beta-binomial line."""
    from test_overdispersion import WORLDS, rows, scores

    first = {"dev": 100, "unseen": 500}[part]
    for world in WORLDS:
        for normal in (False, True):
            made = [scores(rows(seed, **world, normal=normal)) for seed in range(first, first + 12)]
            told = ", ".join(f"{name} {np.mean([one[name] for one in made]):.4f}" for name in made[0])
            kind = "logit-normal" if normal else "beta"
            yield f"{world['fewest']} to {world['most']} events, base {world['base']}, {kind}", told
    from causalrel.inference import produce
    from causalrel.overdispersion import log_chance

    for name in ("llm-canary", "quiet-tenant", "bad-node"):
        windows = cr.window(cr.load_dataset(name), cr.load_slos("llm-chat"), every="10m", by="node")
        ends = windows.table["time"].sort()[int(0.7 * windows.table.height)]
        late = pl.col("time") >= ends
        before = dataclasses.replace(windows, table=windows.table.filter(~late))
        network = cr.fit(before, cr.load_graph("llm-serving").project(before.names))
        for slo in network.slos:
            mechanism = network.mechanism(slo.name)
            asked = [*mechanism.parents, f"{slo.name}.bad", f"{slo.name}.total"]
            frame = windows.table.filter(late).drop_nulls(asked).filter(pl.col(f"{slo.name}.total") > 0)
            values = {parent: frame[parent].to_numpy() for parent in mechanism.parents}
            drawn = np.clip(produce(mechanism, values, None), 1e-9, 1 - 1e-9)
            counts = [frame[column].to_numpy()[:, None].astype(float) for column in asked[-2:]]
            told = [
                float(np.log(np.exp(log_chance(*counts, drawn, rho)).mean(axis=1)).mean())
                for rho in (0.0, mechanism.correlation)
            ]
            size = counts[1].mean()
            says = f"independent {told[0]:.4f}, ours {told[1]:.4f}, correlation {mechanism.correlation:.4f}"
            yield f"{name} {slo.name}, {frame.height} windows of {size:.0f} events", says


def main() -> None:
    part = sys.argv[1]
    wanted = sys.argv[2:] or ["splitwise", "jetson", "energy"]
    for name in wanted:
        began = time.process_time()
        for what, told in globals()[name](part):
            print(f"{what}: {told}", flush=True)  # noqa: T201
        print(f"{name}: {time.process_time() - began:.0f} CPU-s", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
