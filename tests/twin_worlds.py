"""Services whose true costs a simulator does not know: other models, firmware, prompts and bursts than it believes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import polars as pl

import causalrel as cr
from causalrel import display
from causalrel.twins import mean_of

DAYS = 0.05
GPUS = ("A100-SXM", "H100-SXM")
STRANGE = ("H200-SXM", "L40S", "A40")
ROLES: dict[str, Any] = {
    "load": "workload",
    "batch_size": "config",
    "max_batched_tokens": "config",
    "gpu_count": "config",
    "gpu_type": "hardware",
    "ttft_s": "outcome",
}


class World(NamedTuple):
    """Runs seen, configurations held out, what they really gave, and what the simulator alone says of both."""

    runs: cr.Windows
    asked: list[dict[str, object]]
    truth: np.ndarray
    believed: dict[str, Any]


def scenario(
    *,
    model: str = "llama-3-70b",
    prompt: float = 900.0,
    output: float = 200.0,
    burst: float = 20.0,
    firmwares: tuple[dict[str, float], ...] = ({}, {}),
    power: float = 0.5,
) -> dict[str, Any]:
    """Give a scenario of two pools; what is believed where nothing is given."""
    pools = [
        {"nodes": [f"{gpu}-{i}" for i in range(2)], "gpu_type": gpu, "gpu_count": 4, "firmware": f"of-{gpu}"}
        for gpu in GPUS
    ]
    tokens = {"prompt_tokens": {"median": prompt, "sigma": 0.8, "least": 16, "most": 12_000}}
    tokens["output_tokens"] = {"median": output, "sigma": 0.7, "least": 4, "most": 2_000}
    tenant = {"name": "all", "tier": "paid", "share": 1.0, "timeout": "60s", "correlation": 0.1, **tokens}
    return {
        "scenario": "twin",
        "version": 1,
        "title": "A chat service on two types of GPU",
        "graph": "llm-serving",
        "service": "chat",
        "model": "chat",
        "start": "2026-03-02T00:00:00Z",
        "days": 1,
        "workload": {"requests_per_s": 1.0, "burst_every": "10m", "burst_shape": burst, "tenants": [tenant]},
        "fleet": {"pools": pools, "speed_sd": 0.01, "clock_sd": 0.01},
        "engine": {"model": model, "decode_clock_power": power},
        "config": {"batch_size": 32, "max_batched_tokens": 2048},
        "versions": {"v1": {"quality": 1.0}},
        "firmwares": {f"of-{gpu}": one for gpu, one in zip(GPUS, firmwares, strict=True)},
    }


def configuration(rng: np.random.Generator) -> dict[str, object]:
    """Draw a configuration."""
    return {
        "load": round(float(np.exp(rng.uniform(np.log(0.25), np.log(2.5)))), 3),
        "batch_size": int(np.rint(np.exp(rng.uniform(np.log(8), np.log(96))))),
        "max_batched_tokens": int(rng.choice([512, 1024, 2048, 4096])),
        "gpu_count": int(rng.choice([4, 8])),
        "gpu_type": str(rng.choice(GPUS)),
    }


def world(seed: int, *, seen: int = 50, held: int = 30) -> World:
    """Draw a service and run it at some configurations, each on requests of its own."""
    rng = np.random.default_rng([seed, 81])
    factors = {"prefill": rng.uniform(0.6, 1.8, 2), "decode": rng.uniform(0.6, 1.6, 2)}
    real = scenario(
        model=str(rng.choice(["qwen-72b", "llama-2-70b", "codellama-34b"])),
        prompt=900 * rng.uniform(0.7, 1.5),
        output=200 * rng.uniform(0.7, 1.5),
        burst=float(rng.uniform(8, 40)),
        firmwares=tuple({name: float(both[i]) for name, both in factors.items()} for i in range(2)),
        power=float(rng.uniform(0.3, 0.9)),
    )
    ran = [configuration(rng) for _ in range(seen + held)]
    gave = [mean_of(real, one, "ttft_s", DAYS, 1000 * seed + place) for place, one in enumerate(ran)]
    frame = pl.DataFrame([{**one, "ttft_s": value} for one, value in zip(ran[:seen], gave[:seen], strict=True)])
    runs = cr.Windows.from_frame(frame, time=None, roles=ROLES, events={})
    return World(runs, ran[seen:], np.array(gave[seen:]), scenario())


class Scored(NamedTuple):
    """Log errors of the twin and of the simulator alone, whether bands held, and how many far ones were refused."""

    twin: np.ndarray
    alone: np.ndarray
    inside: np.ndarray
    far: int
    refused: int


def score(seed: int, *, seen: int = 50, held: int = 30, level: float = 0.9) -> Scored:
    """Hold a twin against configurations of a service that it did not see, and ask it of hardware nobody ran."""
    made = world(seed, seen=seen, held=held)
    far = [{**made.asked[0], "gpu_type": gpu} for gpu in STRANGE] + [{**made.asked[0], "gpu_count": 64}]
    answer = cr.twin(made.runs, made.believed, on="ttft_s", at=[*made.asked, *far], days=DAYS, seed=seed)
    frame = answer.frame(level)
    told = dict(zip(frame["at"], frame.iter_rows(named=True), strict=True))
    names = [name for name in made.runs.names if name in made.asked[0]]
    keys = [" with ".join(f"{name} = {display.level(one[name])}" for name in names) for one in [*made.asked, *far]]
    kept = [place for place, key in enumerate(keys[: len(made.asked)]) if key in told]
    rows, truth = [told[keys[place]] for place in kept], made.truth[kept]
    at = [frame["at"].to_list().index(row["at"]) for row in rows]
    middle = np.exp(np.log(answer.draws[:, at]).mean(axis=0))
    alone = np.array([row["simulated"] for row in rows])
    inside = np.array([row["low"] <= one <= row["high"] for row, one in zip(rows, truth, strict=True)])
    refused = sum(key not in told for key in keys[len(made.asked) :])
    return Scored(np.abs(np.log(middle / truth)), np.abs(np.log(alone / truth)), inside, len(far), refused)
