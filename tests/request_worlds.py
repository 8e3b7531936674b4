"""Requests one of which may be slow for a reason that is known."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import polars as pl

import causalrel as cr

ROLES: dict[str, Any] = {
    "prompt_tokens": "workload",
    "cached_tokens": "engine",
    "model_version": "config",
    "running": "engine",
    "sm_clock_mhz": "hardware",
    "queue_s": "engine",
    "prefill_s": "engine",
    "ttft_s": "outcome",
}
EDGES = [
    ("prompt_tokens", "prefill_s"),
    ("cached_tokens", "prefill_s"),
    ("prompt_tokens", "cached_tokens"),
    ("sm_clock_mhz", "prefill_s"),
    ("model_version", "prefill_s"),
    ("running", "queue_s"),
    ("queue_s", "ttft_s"),
    ("prefill_s", "ttft_s"),
]
CAUSES = ("prompt_tokens", "running", "queue_s", "prefill_s", "sm_clock_mhz", "ttft_s")


class World(NamedTuple):
    """Requests, who causes what, and what is amiss with request ``r0``; None where nothing is."""

    requests: cr.Windows
    graph: cr.Graph
    cause: str | None


def world(seed: int, *, count: int = 1000, cause: str | None = None) -> World:
    """Draw requests; the first is slow, as few are, because one part lies far out, or in a third like the others."""
    rng = np.random.default_rng([seed, 5])
    drawn = str(rng.choice([*CAUSES, "", "", ""]))
    chosen, far = cause or drawn, rng.uniform(4, 9)
    own = {name: rng.normal(size=count) for name in (*CAUSES, "cached")}
    own |= {"cached": rng.binomial(1, 0.3, count) * rng.uniform(0.3, 0.9, count)}
    version = rng.choice(["v1", "v2"], count)
    frame = _served(own, version)
    while chosen and (frame["ttft_s"] >= frame["ttft_s"][0]).sum() > max(count // 100, 1):
        own[chosen][0] = far
        frame, far = _served(own, version), 1.2 * far
    requests = cr.Windows.from_frame(frame, time=None, unit="id", roles=ROLES, events={})
    return World(requests, cr.Graph.from_edges(EDGES, roles=ROLES), chosen or None)


def _served(own: dict[str, np.ndarray], version: np.ndarray) -> pl.DataFrame:
    """Serve requests whose own parts are standard normal, but for what was cached."""
    prompt, clock = np.exp(7 + 0.7 * own["prompt_tokens"]), 1900 * np.exp(-0.04 * np.maximum(own["sm_clock_mhz"], -2))
    cached = own["cached"] * prompt
    running = np.exp(2 + 0.5 * own["running"])
    queue = np.exp(-3 + 1.2 * np.log(running) + 0.4 * own["queue_s"])
    work = np.log(prompt - cached + 50) + 2 * (np.log(1900) - np.log(clock)) + 0.2 * (version == "v2")
    prefill = np.exp(-9.5 + work + 0.2 * own["prefill_s"])
    return pl.DataFrame(
        {
            "id": [f"r{place}" for place in range(len(version))],
            "prompt_tokens": prompt,
            "cached_tokens": cached,
            "model_version": version,
            "running": running,
            "sm_clock_mhz": clock,
            "queue_s": queue,
            "prefill_s": prefill,
            "ttft_s": queue + prefill + 0.05 * np.exp(0.3 * own["ttft_s"]),
        }
    )
