"""Real experiments as windows: each row its own unit at one time, the confounding made, given, or taken away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

import causalrel as cr
from causalrel.effects.designs import make_design
from causalrel.windows import Windows

SHARED = Path(__file__).parents[2] / "shared" / "data"
#: A request of the load tests is bad if it failed or its first token took longer.
TTFT_MS = 1000
LALONDE_HELD = ("age", "educ", "black", "hisp", "marr", "nodegree", "re74", "re75")
IHDP_HELD = tuple(f"x{k}" for k in range(1, 26))


class Answer(NamedTuple):
    """What was answered: mean and 90 % interval, verdict, and the rows of the frame it speaks of."""

    mean: float
    low: float
    high: float
    verdict: str
    speaks: np.ndarray

    def covers(self, truth: float) -> bool:
        """Whether the interval holds a value."""
        return self.low <= truth <= self.high


def ask(
    frame: pl.DataFrame, *, of: str, on: str, held: tuple[str, ...], levels: tuple[float, float], events: bool = False
) -> Answer:
    """Ask for an effect on a plain frame; of event counts ``total`` and ``bad`` where ``events``."""
    frame = frame.with_columns(
        pl.format("row {}", pl.int_range(pl.len()).cast(pl.String).str.zfill(6)).alias("unit"),
        pl.col(held).cast(pl.Float64),
        *([] if events else [pl.col(on).cast(pl.Float64)]),
    )
    roles = dict.fromkeys(held, "workload") | {of: "config"} | ({} if events else {on: "engine"})
    counts = {on: ("total", "bad")} if events else {}
    windows = Windows.from_frame(frame, time=None, unit="unit", roles=roles, events=counts)
    edges = [(name, to) for name in held for to in (of, on)] + [(of, on)]
    graph = cr.Graph.from_edges(edges, roles=roles | {on: "outcome" if events else "engine"})
    answer = cr.effect(windows, graph, of=of, on=on, levels=levels)
    if answer.verdict == "refused":
        return Answer(np.nan, np.nan, np.nan, "refused", np.zeros(frame.height, dtype=bool))
    drawn = answer.select(quantity="bad_share" if events else "value").draws[:, 0]
    design = make_design(windows, windows.variable(of), on, held, levels, held)
    low, high = np.quantile(drawn, [0.05, 0.95])
    speaks = np.isin(frame["unit"].to_numpy(), design.columns["unit"][design.supported])
    return Answer(float(drawn.mean()), float(low), float(high), answer.verdict, speaks)


class Contrast(NamedTuple):
    """Load-test cells of one model and GPU type at fewer and at more GPUs, every load at both."""

    name: str
    fewer: int
    more: int
    cells: pl.DataFrame

    def truth(self, users: np.ndarray | None = None) -> float:
        """Bad share at more GPUs less that at fewer, averaged over all loads or over those given."""
        wide = self.cells.pivot("n_gpus", index="num_users", values="share")
        change = dict(zip(wide["num_users"], wide[str(self.more)] - wide[str(self.fewer)], strict=True))
        return float(np.mean([change[at] for at in (wide["num_users"] if users is None else users)]))

    def confounded(self, seed: int) -> pl.DataFrame:
        """Keep cells at random: fewer GPUs rather where users are few, more where they are many (0.3 to 0.9)."""
        rise = 0.3 + 0.6 * np.log2(self.cells["num_users"].to_numpy()) / 7
        chance = np.where(self.cells["n_gpus"].to_numpy() == self.fewer, 1.2 - rise, rise)
        return self.cells.filter(pl.Series(np.random.default_rng([seed, self.fewer]).random(len(chance)) < chance))


def contrasts(models: list[str]) -> Iterator[Contrast]:
    """Give the contrasts 1 to 2 and 2 to 4 GPUs that were run; each cell counts as many requests as the shortest."""
    bad = (pl.col("status") != 200) | pl.col("ttft_ms").is_null() | (pl.col("ttft_ms") > TTFT_MS)
    cells = (
        pl.scan_parquet(SHARED / "llm_pilot" / "requests.parquet")
        .with_columns(pl.col("model", "gpu_type").cast(pl.String), bad=bad.cast(pl.Int64))
        .filter(pl.col("model").is_in(models))
        .sort("start_time")
        .group_by("model", "gpu_type", "n_gpus", "num_users", maintain_order=True)
        .agg("bad")
        .collect()
        .with_columns(n=pl.col("bad").list.len(), share=pl.col("bad").list.mean())
        .sort("model", "gpu_type", "n_gpus", "num_users")
    )
    for (model, gpu), part in cells.group_by("model", "gpu_type", maintain_order=True):
        for fewer, more in ((1, 2), (2, 4)):
            sides = [set(part.filter(pl.col("n_gpus") == count)["num_users"]) for count in (fewer, more)]
            mine = part.filter(pl.col("n_gpus").is_in([fewer, more]) & pl.col("num_users").is_in(sides[0] & sides[1]))
            if len(sides[0] & sides[1]) >= 6:
                yield Contrast(f"{model} {gpu} {fewer} to {more}", fewer, more, _counted(mine))


def _counted(cells: pl.DataFrame) -> pl.DataFrame:
    size = int(cells["n"].min())
    made = [int(np.array(bad)[np.linspace(0, len(bad) - 1, size).round().astype(int)].sum()) for bad in cells["bad"]]
    users = pl.col("num_users").cast(pl.Float64).log(2)
    return cells.drop("bad").with_columns(total=pl.lit(size), bad=pl.Series(made, dtype=pl.Int64), users=users)


def ask_gpus(contrast: Contrast, seed: int) -> tuple[Answer, pl.DataFrame] | None:
    """Ask for the effect of more GPUs on confounded cells; None where nothing can be asked."""
    cells = contrast.confounded(seed)
    if cells["n_gpus"].n_unique() < 2:
        return None
    levels = (float(contrast.fewer), float(contrast.more))
    try:
        made = ask(cells, of="n_gpus", on="ttft", held=("users",), levels=levels, events=True)
    except cr.CausalrelError:
        return None
    return made, cells


def ihdp(replication: int) -> tuple[pl.DataFrame, float]:
    """One replication and its true mean effect."""
    frame = pl.read_parquet(SHARED / "ihdp" / "ihdp.parquet").filter(pl.col("rep") == replication)
    truth = pl.read_csv(SHARED / "ihdp" / "truth.csv").filter(pl.col("rep") == replication)
    return frame.with_columns(pl.col("treatment").cast(pl.Int64)), float(truth["ate"][0])


def lalonde() -> pl.DataFrame:
    """The treated of the NSW experiment with controls from the CPS; needs the package causaldata."""
    from causaldata import cps_mixtape, nsw_mixtape

    treated, others = (pl.from_pandas(one.load_pandas().data) for one in (nsw_mixtape, cps_mixtape))
    return pl.concat([treated.filter(pl.col("treat") == 1), others]).with_columns(pl.col("treat").cast(pl.Int64))
