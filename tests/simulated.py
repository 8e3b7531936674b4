"""What the tests of the simulation share: shipped scenarios with some keys changed, and a bare one of one node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from causalrel.shipped import load_yaml, resolve


class _Plain(yaml.SafeDumper):
    """YAML without aliases, which scenarios may not use."""

    def ignore_aliases(self, data: object) -> bool:
        return True


#: Longer than any queue of these tests.
PATIENT = "3650d"

SECONDS = {"prefill_s_per_token": 0, "sequence_s": 0, "kv_s_per_token": 0, "kv_tokens": 900_000_000}


def shipped(name: str = "llm-canary") -> dict[str, Any]:
    """Return a shipped scenario as written."""
    return load_yaml(resolve(name, "models/scenarios", "scenario"), "scenario")[0]


def fixed(tokens: int) -> dict[str, Any]:
    """Return lengths that are all the same."""
    return {"median": tokens, "most": tokens}


def client(**changes: Any) -> dict[str, Any]:
    """Return a tenant that asks for one token and waits for ever."""
    tenant = {"name": "a", "tier": "a", "share": 1, "timeout": PATIENT}
    return tenant | {"prompt_tokens": fixed(1), "output_tokens": fixed(1)} | changes


def bare(rate: float = 1.0, batch: int = 1, *, tenants: Any = None, costs: Any = None, model: Any = None) -> Any:
    """Return a scenario of one quiet node; its costs are seconds unless a model is named."""
    engine = {"model": model} if model else {"costs": SECONDS | (costs or {"base_s": 0.01})}
    return {
        "scenario": "bare",
        "graph": "llm-serving",
        "service": "chat",
        "model": "m",
        "start": "2026-03-02T00:00:00Z",
        "days": 1,
        "workload": {"requests_per_s": rate, "tenants": tenants or [client()]},
        "fleet": {"pools": [{"nodes": ["n0"], "gpu_type": "H100-SXM", "gpu_count": 1, "usd_per_gpu_hour": 2.5}]},
        "engine": engine,
        "config": {"batch_size": batch},
        "versions": {"v1": {}},
    }


def written(folder: Path, document: Any = "llm-canary", **changes: Any) -> str:
    """Write a scenario with some keys changed, such as ``engine__costs__base_s``; return its path."""
    document = shipped(document) if isinstance(document, str) else document
    for key, value in changes.items():
        place = document
        *folders, last = key.split("__")
        for each in folders:
            place = place[int(each)] if isinstance(place, list) else place.setdefault(each, {})
        place[last] = value
    path = folder / f"scenario-{len(list(folder.iterdir()))}.yaml"
    path.write_text(yaml.dump(document, Dumper=_Plain, sort_keys=False), encoding="utf-8")
    return str(path)


def nodes(count: int) -> list[dict[str, Any]]:
    """Return one pool of so many nodes of one GPU."""
    return [{"nodes": [f"n{i}" for i in range(count)], "gpu_type": "H100-SXM", "gpu_count": 1, "usd_per_gpu_hour": 2.5}]


def erlang_c(servers: int, load: float) -> float:
    """Return the chance to wait in M/M/k, by the stable recursion of Erlang B."""
    blocked = 1.0
    for k in range(1, servers + 1):
        blocked = load * servers * blocked / (k + load * servers * blocked)
    return blocked / (1.0 - load * (1.0 - blocked))


def mean_wait(servers: int, load: float, service_s: float = 1.0, squared_variation: float = 1.0) -> float:
    """Return the mean wait in M/G/k by Lee and Longton: exact for M/M/k and for M/G/1 (Pollaczek-Khinchine)."""
    exponential = erlang_c(servers, load) * service_s / (servers * (1.0 - load))
    return 0.5 * (1.0 + squared_variation) * exponential


def batch_error(values: np.ndarray, batches: int = 40) -> float:
    """Return the standard error of a mean of correlated values in order, from means of batches."""
    means = np.array([part.mean() for part in np.array_split(values, batches)])
    return float(means.std(ddof=1) / np.sqrt(batches))
