"""Rollouts whose future is known in both arms: with the change and without, on the same load, noise and requests."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

import numpy as np
import polars as pl
from scipy.stats import binom
from worlds import START, VARIABLES

from causalrel.networks import expit
from causalrel.slos import SLO
from causalrel.windows import Windows

DAYS, AHEAD, PER_DAY = 14, 7, 48


class Rollout(NamedTuple):
    """The past; of the week after it, the burn and the share of the budget spent at batch 4 and at batch 8."""

    windows: Windows
    burn: np.ndarray
    spent: np.ndarray


def rollout(seed: int, *, units: int = 4, memory: float = 0.9, levels: tuple[int, ...] = (4, 8)) -> Rollout:
    """Draw a fortnight in which batch size follows load, and the week after in which it is held at 4 or at 8.

    The effect of batch 8, the noise that all units share and how much of its budget the fortnight used (90 to
    110 %) differ from world to world. Requests are paired: the same quantile of each window's binomial in both arms.
    """
    rng = np.random.default_rng([seed, 77])
    n, past = (DAYS + AHEAD) * PER_DAY, DAYS * PER_DAY
    t = np.arange(n)
    effect, base, scale = rng.normal(0.05, 0.15), rng.normal(-4.3, 0.25), rng.uniform(0.1, 0.4)
    shared = np.zeros(n)
    for i in range(1, n):
        shared[i] = memory * shared[i - 1] + rng.normal() * scale * np.sqrt(1 - memory**2)
    frames, total_ahead, bad_ahead = [], 0.0, np.zeros(2)
    for u in range(units):
        load = np.exp(np.log(2) + 0.5 * np.sin(2 * np.pi * t / PER_DAY) + 0.2 * rng.normal(size=n))
        wanted = np.repeat(load.reshape(-1, 12).mean(axis=1) + rng.normal(size=n // 12) * 0.6, 12)
        batch = np.asarray(levels)[np.searchsorted(np.linspace(1.6, 2.6, len(levels) + 1)[1:-1], wanted)]
        batch[past - 6 : past] = 4
        clock, noise = 1980 + 5 * rng.normal(size=n), 0.3 * rng.normal(size=n)
        total, lot = rng.poisson(load * 40) + 1, rng.random(n)

        def bad(size: np.ndarray, load=load, noise=noise, total=total, lot=lot) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[no-untyped-def]
            queue = np.exp(-1 + 1.2 * np.log(load) - 0.05 * (size - 4) + noise)
            eta = base + np.log(load) + 0.3 * queue + effect * (size - 4) / 4 + shared
            return queue, binom.ppf(lot, total, expit(eta)).astype(np.int64)

        queue, seen = bad(batch)
        total_ahead += float(total[past:].sum())
        bad_ahead += [float(bad(np.full(n, size))[1][past:].sum()) for size in (4, 8)]
        columns = {"ttft.total": total, "ttft.bad": seen, "load": load, "batch_size": batch, "sm_clock_mhz": clock}
        frames.append(
            pl.DataFrame(
                {"time": [START + timedelta(minutes=30 * int(i)) for i in t], "unit": [f"gpu-{u}"] * n}
                | columns
                | {"queue_s": queue}
            )[:past]
        )
    table = pl.concat(frames).with_columns(
        pl.col("time").cast(pl.Datetime("us", "UTC")), pl.col("ttft.total", "ttft.bad", "batch_size").cast(pl.Int64)
    )
    share = float(table["ttft.bad"].sum()) / float(table["ttft.total"].sum())
    slo = SLO(name="ttft", dimension="latency", target=1 - share / rng.uniform(0.9, 1.1))
    windows = Windows(table=table, width=timedelta(minutes=30), slos=(slo,), variables=VARIABLES)
    events = float(table["ttft.total"].sum()) + total_ahead
    spent = (float(table["ttft.bad"].sum()) + bad_ahead) / (events * slo.allowed)
    return Rollout(windows, bad_ahead / total_ahead / slo.allowed, spent)
