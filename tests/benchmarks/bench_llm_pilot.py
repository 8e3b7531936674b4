"""Load tests of a model never seen: its latency on each GPU, and which GPU it is recommended for 200 users.

    python tests/benchmarks/bench_llm_pilot.py dev      # three models, on which columns and rules were chosen
    python tests/benchmarks/bench_llm_pilot.py unseen   # the four held back
    python tests/benchmarks/bench_llm_pilot.py all      # all seven, as the published scores
    python tests/benchmarks/bench_llm_pilot.py cells    # a third of each model's cells, from the other two thirds

Needs ``../shared/data`` beside the checkout, and ``tests`` on the path.
"""

from __future__ import annotations

import itertools
import math
import sys
import time
from typing import Any

import numpy as np
import polars as pl
from benchmarks.bench_mechanisms import DATA, columns, foretold

import causalrel as cr
from causalrel.trials import run_at

FOLDER = DATA / "llm_pilot"
#: Milliseconds that a token may take, and a token of the prompt until the first one is answered.
LIMITS = {"median_itl": 50.0, "median_nttft": 100.0}
USERS = 200
#: Columns as they are, on which a model left out was not foretold.
RAW = {
    "model_n_parameters": "config",
    "model_is_encoder_decoder": "config",
    "gpu_memory_bandwidth": "hardware",
    "gpu_tflops_tc_fp16": "hardware",
    "n_gpus": "hardware",
    "num_users": "workload",
}
#: The time to read all weights once, which every token waits for, in place of the model's size and the GPU's numbers.
PHYSICAL = {"weights_ms": "hardware", "model_is_encoder_decoder": "config", "num_users": "workload"}


def load() -> tuple[pl.DataFrame, Any]:
    """Cells with columns of model and GPU, and the models in an order that nobody chose: the first three are dev."""
    rows = pl.read_csv(FOLDER / "cells.csv", infer_schema_length=None).drop_nulls(list(LIMITS))
    gpus = pl.read_csv(FOLDER / "gpu_features.csv").select("gpu", "gpu_memory_bandwidth", "gpu_tflops_tc_fp16")
    llms = pl.read_csv(FOLDER / "llm_features.csv").select(
        "model", "model_n_parameters", pl.col("model_is_encoder_decoder").cast(pl.String)
    )
    rows = rows.join(gpus.unique("gpu"), on="gpu", how="inner").join(llms, on="model", how="inner")
    # Two bytes a parameter, in billions, over GB/s of all GPUs together.
    reading = 2e3 * pl.col("model_n_parameters") / (pl.col("gpu_memory_bandwidth") * pl.col("n_gpus"))
    models = np.random.default_rng(7).permutation(np.sort(rows["model"].unique().to_numpy()))
    return rows.with_columns(weights_ms=reading), models


def forest_chance(train: pl.DataFrame, test: pl.DataFrame, outcome: str, roles: dict[str, str]) -> Any:
    """Chance of over the limit by a random forest on the same columns."""
    from sklearn.ensemble import RandomForestClassifier

    x, asked = (
        np.column_stack([c == "true" if c.dtype.kind == "U" else c for c in columns(rows, roles).values()])
        for rows in (
            train.with_columns(pl.col(pl.String).str.to_lowercase()),
            test.with_columns(pl.col(pl.String).str.to_lowercase()),
        )
    )
    over = train[outcome].to_numpy() > LIMITS[outcome]
    forest = RandomForestClassifier(500, random_state=0).fit(x, over)
    return forest.predict_proba(asked)[:, 1] if over.any() else np.zeros(len(asked))


def carried(cells: pl.DataFrame, names: dict[str, str]) -> dict[str, int]:
    """Users each kind of GPU carries: the most, counted up from one until a limit is missed."""
    found: dict[str, int] = {}
    for (gpu,), part in cells.sort("num_users").group_by("gpu", maintain_order=True):
        for row in part.iter_rows(named=True):
            if any(row[names[limit]] > most for limit, most in LIMITS.items()):
                break
            found[str(gpu)] = row["num_users"]
    return found


def recommended(cells: pl.DataFrame, names: dict[str, str], prices: dict[str, float]) -> tuple[bool, float]:
    """Whether the cheapest that some columns say carries 200 users does, and what is overspent."""
    told, true = carried(cells, names), carried(cells, {limit: limit for limit in LIMITS})
    pods = {gpu: math.ceil(USERS / users) for gpu, users in told.items()}
    if not pods:
        return False, math.nan
    chosen = min(pods, key=lambda gpu: (pods[gpu] * prices[gpu], gpu))
    if pods[chosen] * true.get(chosen, 0) < USERS:
        return False, math.nan
    least = min(math.ceil(USERS / users) * prices[gpu] for gpu, users in true.items())
    return True, pods[chosen] * prices[chosen] / least - 1


def score(found: list[tuple[bool, float]]) -> str:
    """Success, overspend and the harmonic mean of success and what is not overspent."""
    share = float(np.mean([right for right, _ in found]))
    over = float(np.mean([spent for right, spent in found if right])) if share else math.nan
    thrift = max(0.0, 1 - over) if share else 0.0
    joint = 2 * share * thrift / (share + thrift) if share + thrift else 0.0
    return f"S/O {joint:.3f} (success {100 * share:.0f} %, overspend {100 * over:.1f} %) of {len(found)} models"


def foretell(rows: pl.DataFrame, models: Any, roles: dict[str, str]) -> pl.DataFrame:
    """Add to the cells of each model what a network fitted to all other models says of them."""
    made = []
    for model in models:
        train, test = rows.filter(pl.col("model") != model), rows.filter(pl.col("model") == model)
        for outcome, limit in LIMITS.items():
            draws, standing, form = foretold(train, test, roles, outcome, unit="model")
            low, middle, high = np.quantile(draws, (0.05, 0.5, 0.95), axis=1)
            test = test.with_columns(
                pl.Series(f"told {outcome}", middle),
                pl.Series(f"inside {outcome}", (low <= test[outcome].to_numpy()) & (test[outcome].to_numpy() <= high)),
                pl.Series(f"refused {outcome}", standing == "refused"),
                pl.Series(f"chance {outcome}", (draws > limit).mean(axis=1)),
                pl.Series(f"forest {outcome}", forest_chance(train, test, outcome, roles)),
            )
            error = (test[f"told {outcome}"] / test[outcome] - 1).abs().median()
            print(f"{model} {outcome}: median error {100 * error:.1f} %, {form}", flush=True)  # noqa: T201
        made.append(test)
    return pl.concat(made)


def tell(cells: pl.DataFrame, name: str) -> None:
    """Say how far off the cells are, over the limit or not, and what would be recommended."""
    prices = dict(pl.read_csv(FOLDER / "prices.csv").iter_rows())
    for outcome, limit in LIMITS.items():
        over = cells[outcome] > limit
        error = (cells[f"told {outcome}"] / cells[outcome] - 1).abs()
        brier, other = (((cells[f"{kind} {outcome}"] - over) ** 2).mean() for kind in ("chance", "forest"))
        print(  # noqa: T201
            f"{name} {outcome}: median error {100 * error.median():.1f} %, mean of models' medians "
            f"{100 * cells.select('model', error=error).group_by('model').median()['error'].mean():.1f} %, "
            f"90 % band holds {100 * cells[f'inside {outcome}'].mean():.0f} %, refused "
            f"{cells[f'refused {outcome}'].sum()} of {cells.height}, Brier of over {limit:.0f} ms {brier:.3f}, "
            f"random forest {other:.3f}",
            flush=True,
        )
    told = {limit: f"told {limit}" for limit in LIMITS}
    each = [recommended(part, told, prices) for _, part in cells.group_by("model", maintain_order=True)]
    print(f"{name}: {score(each)}", flush=True)  # noqa: T201


def tell_peers(models: Any) -> None:
    """Score the published predictions of the same models by the same rule."""
    prices = dict(pl.read_csv(FOLDER / "prices.csv").iter_rows())
    told = pl.read_csv(FOLDER / "peer_predictions.csv", infer_schema_length=None)
    names = {limit: f"prediction_{limit}" for limit in LIMITS}
    for (method,), part in told.filter(pl.col("model").is_in(models.tolist())).group_by("method", maintain_order=True):
        each = [recommended(cells, names, prices) for _, cells in part.group_by("model", maintain_order=True)]
        error = (part["prediction_median_itl"] / part["median_itl"] - 1).abs().median()
        print(f"published {method}: {score(each)}; median_itl error {100 * error:.1f} %", flush=True)  # noqa: T201


def tell_cells() -> None:
    """Tell runs held out of each model with thirty cells or more: their share of late or failed requests."""
    late = (
        (pl.col("status") != 200) | (pl.col("itl_p50_ms").fill_null(0) > 50) | (pl.col("ttft_ms").fill_null(0) > 2000)
    )
    rows = pl.read_parquet(FOLDER / "requests.parquet").with_columns(pl.col("model", "gpu_type").cast(pl.String))
    keys = ["gpu_type", "n_gpus", "num_users"]
    cells = rows.group_by("model", *keys).agg(n=pl.len(), bad=late.sum()).sort("model", *keys)
    roles: dict[str, Any] = {"gpu_type": "hardware", "n_gpus": "config", "num_users": "workload"}
    graph = cr.Graph.from_edges([(name, "kept") for name in roles], roles={**roles, "kept": "outcome"})
    refused, found = 0, []
    for turn, ((_,), part) in itertools.product(range(100, 103), cells.group_by("model", maintain_order=True)):
        held = pl.Series(np.random.default_rng(turn).random(part.height) < 1 / 3)
        if part.height < 30:
            continue
        events, frame = {"kept": ("n", "bad")}, part.filter(~held).drop("model")
        tests = cr.Windows.from_frame(frame, time=None, roles=roles, events=events, targets={"kept": 0.9})
        network = cr.fit(tests, graph)
        for row in part.filter(held).iter_rows(named=True):
            answer = run_at(tests, network, do={name: row[name] for name in keys})
            refused += answer.verdict == "refused"
            if answer.verdict != "refused":
                share, came = answer.select(quantity="bad_share").draws[:, 0], row["bad"] / row["n"]
                low, high = np.quantile(share, (0.05, 0.95))
                found.append((float((share <= 0.1).mean()), came <= 0.1, low - 1e-9 <= came <= high + 1e-9))
    chance, met, inside = (np.array(part, dtype=float) for part in zip(*found, strict=True))
    print(  # noqa: T201
        f"cells held out: {len(found)} told, {refused} refused; 90 % interval of the bad share holds "
        f"{inside.mean():.1%}; Brier of at most a tenth bad {((chance - met) ** 2).mean():.3f}, of the base rate "
        f"{met.var():.3f}",
        flush=True,
    )


def main() -> None:
    if sys.argv[1] == "cells":
        tell_cells()
        return
    began = time.process_time()
    rows, models = load()
    part = {"dev": models[:3], "unseen": models[3:], "all": models}[sys.argv[1]]
    kinds = {"raw": RAW, "physical": PHYSICAL}
    for name in sys.argv[2:] or kinds:
        tell(foretell(rows, part, kinds[name]), name)
    tell_peers(part)
    print(f"{time.process_time() - began:.0f} CPU-s", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
