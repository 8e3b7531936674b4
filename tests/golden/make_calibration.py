"""Fit the shipped calibration ``llm-serving`` to public measurements and write the fitted part of its YAML.

Run ``python tests/golden/make_calibration.py`` from the checkout, with the measurements in ``../shared/data``; the same
measurements write the same bytes. What stands above the line that starts with ``# Fitted by`` is written by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import ndtri
from scipy.stats import kstest, spearmanr

from causalrel import shipped
from causalrel.simulation.hardware import Calibration, Costs, iteration_costs, power_shares, through_weights

DATA = Path(__file__).parents[3] / "shared/data"
TARGET = shipped.root() / "models/calibrations/llm-serving.yaml"
MARK = "# Fitted by tests/golden/make_calibration.py; edit nothing below.\n"

Floats = NDArray[np.float64]

GPUS = {"a100": "A100-SXM", "a40": "A40", "a100-80gb": "A100-SXM", "h100-80gb": "H100-SXM"}
MODELS = {"llama2-70b": "llama-2-70b", "bloom-176b": "bloom-176b"}
CONFIGURATION = ["model", "hardware", "tensor_parallel"]
PROMPT = [*CONFIGURATION, "prompt_size", "batch_size"]
TOKEN = [*PROMPT, "token_size"]
EVERY_THIRD = (
    "every third cell, sorted by model, GPU type, GPU count, prompt, batch and (where it varies) output length"
)

#: Hidden size, width of the perceptron, its matrices, query heads, key heads and head size of the profiled models.
LAYERS = {
    "Qwen/Qwen-72B": (8192, 24576, 3, 64, 64, 128),
    "codellama/CodeLlama-34b-Instruct-hf": (8192, 22016, 3, 64, 8, 128),
    "internlm/internlm-20b": (5120, 13824, 3, 40, 40, 128),
    "meta-llama/Llama-2-70b-hf": (8192, 28672, 3, 64, 8, 128),
    "meta-llama/Llama-2-7b-hf": (4096, 11008, 3, 32, 32, 128),
    "meta-llama/Meta-Llama-3-70B": (8192, 28672, 3, 64, 8, 128),
    "meta-llama/Meta-Llama-3-8B": (4096, 14336, 3, 32, 8, 128),
    "microsoft/phi-2": (2560, 10240, 2, 32, 32, 80),
}
KERNELS = ["mlp_up_proj_ms", "mlp_down_proj_ms", "attn_pre_proj_ms", "attn_post_proj_ms"]

COEFFICIENTS = ["layer_s", "allreduce_s", "launch_s", "sequence_s", "attention_share", "kv_share", "link_share"]
START = {
    "kernel_s": 1e-5,
    "layer_s": 1e-4,
    "allreduce_s": 5e-5,
    "launch_s": 3e-4,
    "sequence_s": 4e-6,
    "attention_share": 0.3,
    "kv_share": 0.3,
    "link_share": 0.1,
    "compute": 0.7,
    "memory": 0.8,
    "host": 0.8,
}
MOST_MEMORY = 0.9
#: Not measured here; of the order of data sheets and of https://arxiv.org/abs/2308.12908.
IDLE_SHARE = 0.15
TRACE_WINDOW_S = 60.0
RATE_WINDOW_S = 600.0


@dataclass(frozen=True)
class Measured:
    """The three tables, one row a cell, with the seconds measured and whether the cell is held out."""

    layers: pl.DataFrame
    prompts: pl.DataFrame
    tokens: pl.DataFrame


def read_measured() -> Measured:
    """Read kernels and engine runs; replicates become their median."""
    runs = pl.read_csv(DATA / "splitwise_perf/perf_model.csv").group_by(TOKEN).agg(pl.all().median()).sort(TOKEN)
    # Where the whole takes far longer than its parts the batch did not fit in memory and was served in turns.
    whole = pl.col("prompt_time") + pl.col("token_size") * pl.col("token_time")
    runs = runs.filter(pl.col("e2e_time") <= 1.5 * whole)
    written = (pl.col("e2e_time") - pl.col("prompt_time")) / pl.col("token_time")
    # Output length hardly moves the mean time of a token, so its sweep counts as replicates of one cell, not as cells.
    cells = (
        runs.with_columns(
            resident=pl.col("batch_size") * (pl.col("prompt_size") + pl.min_horizontal("token_size", written) / 2.0)
        )
        .group_by(PROMPT)
        .agg(pl.col("prompt_time", "token_time", "resident", "average_power", "peak_power").median())
        .sort(PROMPT)
        .with_columns(held=pl.int_range(pl.len()) % 3 == 1)
    )
    prompts = cells.with_columns(seconds=pl.col("prompt_time") / 1e3)
    tokens = cells.with_columns(seconds=pl.col("token_time") / 1e3)
    kernels = pl.read_parquet(DATA / "vidur_kernels/mlp_kernels.parquet").with_columns(
        pl.col("hardware", "model").cast(pl.String)
    )
    names = sorted(LAYERS)
    layers = (
        kernels.group_by([*CONFIGURATION, "num_tokens"])
        .agg(seconds=pl.sum_horizontal(KERNELS).median() / 1e3)
        .sort([*CONFIGURATION, "num_tokens"])
        .with_columns(
            weights=pl.col("model").replace_strict({name: layer_weights(name) for name in names}),
            held=pl.col("model").is_in(names[2::3]),
        )
    )
    return Measured(layers, prompts, tokens)


def layer_weights(name: str) -> float:
    """Return the weights in the matrices of one layer."""
    hidden, width, matrices, heads, kv_heads, size = LAYERS[name]
    return float(matrices * hidden * width + 2 * hidden * heads * size + 2 * hidden * kv_heads * size)


def layer_seconds(calibration: Calibration, cells: pl.DataFrame) -> Floats:
    """Predict the four products of one layer."""
    made = np.empty(len(cells))
    for (model, hardware, count), rows in _groups(cells):
        read_s, token_s = through_weights(
            calibration, weights=layer_weights(model), gpu_type=GPUS[hardware], gpu_count=count
        )
        tokens = cells["num_tokens"].to_numpy()[rows]
        made[rows] = 4.0 * calibration.fitted.coefficients.kernel_s + np.maximum(read_s, token_s * tokens)
    return made


def prompt_seconds(calibration: Calibration, cells: pl.DataFrame) -> Floats:
    """Predict an iteration that reads whole prompts."""

    def one(costs: Costs, row: dict[str, Any]) -> float:
        size, batch = row["prompt_size"], row["batch_size"]
        return costs.seconds(chunk=batch * size, pairs=batch * size * (size - 1) / 2.0)

    return _engine(calibration, cells, one)


def token_seconds(calibration: Calibration, cells: pl.DataFrame) -> Floats:
    """Predict an iteration that writes one token a sequence."""
    return _engine(
        calibration, cells, lambda costs, row: costs.seconds(writing=row["batch_size"], resident=row["resident"])
    )


def _engine(calibration: Calibration, cells: pl.DataFrame, one: Callable[[Costs, dict[str, Any]], float]) -> Floats:
    made = np.empty(len(cells))
    rows_of = cells.to_dicts()
    for (model, hardware, count), rows in _groups(cells):
        costs = iteration_costs(
            calibration, model=MODELS[model], gpu_type=GPUS[hardware], gpu_count=count, kv_fraction=1.0
        )
        made[rows] = [one(costs, rows_of[row]) for row in rows]
    return made


def _groups(cells: pl.DataFrame) -> list[tuple[tuple[Any, ...], list[int]]]:
    found = cells.with_row_index("row").group_by(CONFIGURATION, maintain_order=True).agg("row")
    return [((row[0], row[1], row[2]), row[3]) for row in found.rows()]


def rounded(value: Any, digits: int = 4) -> Any:
    """Round every number in it to significant digits, so that the file holds exactly what was used."""
    if isinstance(value, dict):
        return {name: rounded(part, digits) for name, part in value.items()}
    return float(f"{value:.{digits - 1}e}") if isinstance(value, float) else value


def fit_kernels(measured: Measured, rest: dict[str, Any]) -> dict[str, Any]:
    """Fit what a kernel costs to launch, and the shares of rate and bandwidth reached, to the models not held out."""
    cells = measured.layers.filter(~pl.col("held"))
    seconds = cells["seconds"].to_numpy()

    def fitted(x: Floats) -> dict[str, Any]:
        kernel_s, *shares = np.exp(x).tolist()
        efficiency = dict(rest["efficiency"])
        for name, memory, compute in (("A100-SXM", shares[0], shares[1]), ("A40", shares[2], shares[3])):
            efficiency[name] = {"compute": compute, "memory": memory, "host": 1.0, "grounds": "kernels"}
        return {**rest, "coefficients": {**rest["coefficients"], "kernel_s": kernel_s}, "efficiency": efficiency}

    def misfit(x: Floats) -> Floats:
        made: Floats = np.log(layer_seconds(calibrated(fitted(x)), cells) / seconds)
        return made

    return _least(fitted, misfit, [1e-5, 0.8, 0.7, 0.8, 0.7], [1e-3, 1.0, 1.0, 1.0, 1.0])


def fit_engine(prompts: pl.DataFrame, tokens: pl.DataFrame, rest: dict[str, Any]) -> dict[str, Any]:
    """Fit the shared coefficients and the H100 to engine runs; the A100 keeps what its kernels said."""
    read_s, write_s = prompts["seconds"].to_numpy(), tokens["seconds"].to_numpy()

    def fitted(x: Floats) -> dict[str, Any]:
        values = np.exp(x).tolist()
        compute, memory, host = values[len(COEFFICIENTS) :]
        coefficients = {**rest["coefficients"], **dict(zip(COEFFICIENTS, values, strict=False))}
        measured = {"compute": compute, "memory": memory, "host": host, "grounds": "engine"}
        assumed = {**measured, "grounds": "assumed"}
        like_a40 = {**rest["efficiency"]["A40"], "host": host, "grounds": "assumed"}
        newer = {"H100-SXM": measured, "H200-SXM": assumed, "L40S": like_a40}
        return {**rest, "coefficients": coefficients, "efficiency": {**rest["efficiency"], **newer}}

    def misfit(x: Floats) -> Floats:
        made = calibrated(fitted(x))
        off: Floats = np.log(np.r_[prompt_seconds(made, prompts) / read_s, token_seconds(made, tokens) / write_s])
        return off

    start = [START[name] for name in [*COEFFICIENTS, "compute", "memory", "host"]]
    return _least(fitted, misfit, start, [*([1e-2] * 4), 1.0, 1.0, 1.0, 1.0, MOST_MEMORY, 2.0])


def _least(
    fitted: Callable[[Floats], dict[str, Any]],
    misfit: Callable[[Floats], Floats],
    start: list[float],
    most: list[float],
) -> dict[str, Any]:
    x, upper = np.log(start), np.log(most)
    found = least_squares(misfit, x, bounds=(x - 6.0, upper), loss="soft_l1", f_scale=0.05)
    made: dict[str, Any] = rounded(fitted(found.x))
    return made


def calibrated(fitted: dict[str, Any]) -> Calibration:
    """Return the hand-written part with this fitted part."""
    return Calibration.model_validate({**HEAD, "fitted": fitted})


def first_guess() -> dict[str, Any]:
    """Return a fitted part to start from."""
    names = list(HEAD["gpus"])
    reached = {"compute": START["compute"], "memory": START["memory"], "host": 1.0, "grounds": "assumed"}
    drawn = {
        "idle_share": IDLE_SHARE,
        "waiting_share": 0.3,
        "memory_share": 0.7,
        "prefill_share": 1.0,
        "grounds": "assumed",
    }
    return {
        "coefficients": {name: START[name] for name in ["kernel_s", *COEFFICIENTS]},
        "efficiency": dict.fromkeys(names, reached),
        "power": dict.fromkeys(names, drawn),
        "errors": [],
        "workload": {"traces": {}, "rhythms": {}},
    }


def fault(table: str, quantity: str, rule: str, off: Floats, held: NDArray[np.bool_]) -> dict[str, Any]:
    """Sum up absolute relative errors of cells in the fit and held out."""
    off = np.abs(off)
    return {
        "table": table,
        "quantity": quantity,
        "held_out": rule,
        "cells": int((~held).sum()),
        "cells_held_out": int(held.sum()),
        "median": round(float(np.median(off[~held])), 4),
        "median_held_out": round(float(np.median(off[held])), 4),
        "ninth_decile_held_out": round(float(np.quantile(off[held], 0.9)), 4),
        "worst_held_out": round(float(off[held].max()), 4),
    }


def faults_of(calibration: Calibration, measured: Measured) -> list[dict[str, Any]]:
    """Compare a calibration with every table."""
    models = ", ".join(sorted(LAYERS)[2::3])
    made = [
        (measured.layers, layer_seconds, "vidur_kernels", "layer", f"every third model by name: {models}"),
        (measured.prompts, prompt_seconds, "splitwise_perf", "prompt_time", EVERY_THIRD),
        (measured.tokens, token_seconds, "splitwise_perf", "token_time", EVERY_THIRD),
    ]
    found = []
    for cells, predict, table, quantity, rule in made:
        off = predict(calibration, cells) / cells["seconds"].to_numpy() - 1.0
        found.append(fault(table, quantity, rule, off, cells["held"].to_numpy()))
    drawn = powered(measured)
    off = decode_shares(calibration, drawn) / drawn["average_power"].to_numpy() - 1.0
    return [*found, fault("splitwise_perf", "decode_power", EVERY_THIRD, off, drawn["held"].to_numpy())]


def faults_elsewhere(measured: Measured, fitted: dict[str, Any]) -> list[dict[str, Any]]:
    """Leave out each model, GPU type and GPU count in turn and predict it from the others."""
    keys = measured.tokens.select(CONFIGURATION).unique(maintain_order=True)
    offs: dict[str, list[Floats]] = {"prompt_time": [], "token_time": []}
    for row in keys.iter_rows(named=True):
        here = pl.all_horizontal(pl.col(name) == value for name, value in row.items())
        made = calibrated(fit_engine(measured.prompts.filter(~here), measured.tokens.filter(~here), fitted))
        for quantity, cells, predict in (
            ("prompt_time", measured.prompts.filter(here), prompt_seconds),
            ("token_time", measured.tokens.filter(here), token_seconds),
        ):
            offs[quantity].append(predict(made, cells) / cells["seconds"].to_numpy() - 1.0)
    rule = f"each of {len(keys)} configurations (model, GPU type, GPU count) in turn, refitted without it"
    found = []
    for quantity, parts in offs.items():
        cells = {"prompt_time": measured.prompts, "token_time": measured.tokens}[quantity]
        predict = {"prompt_time": prompt_seconds, "token_time": token_seconds}[quantity]
        inside = np.abs(predict(calibrated(fitted), cells) / cells["seconds"].to_numpy() - 1.0)
        off = np.r_[inside, np.concatenate(parts)]
        held = np.arange(len(off)) >= len(inside)
        found.append(fault("splitwise_perf", f"{quantity}_elsewhere", rule, off, held))
    return found


def powered(measured: Measured) -> pl.DataFrame:
    """Return cells with power, less the longest prompts, of which the mean covers reading as much as writing."""
    cells = measured.tokens.filter(pl.col("average_power").is_not_null(), pl.col("prompt_size") <= 2048)
    return cells.with_columns(held=pl.int_range(pl.len()) % 3 == 1)


def decode_shares(calibration: Calibration, cells: pl.DataFrame) -> Floats:
    """Predict the share of board power while tokens are written."""
    made = np.empty(len(cells))
    for (model, hardware, count), rows in _groups(cells):
        made[rows] = power_shares(calibration, model=MODELS[model], gpu_type=GPUS[hardware], gpu_count=count).decode
    return made


def fit_power(measured: Measured, fitted: dict[str, Any]) -> dict[str, Any]:
    """Fit a line of power in how busy the memory is to the A100, the only type measured; others are assumed alike."""
    cells = powered(measured).filter(~pl.col("held"))
    probe = {"idle_share": IDLE_SHARE, "waiting_share": 1e-12, "memory_share": 1.0, "prefill_share": 1.0}
    probe["grounds"] = "assumed"
    busy = decode_shares(calibrated({**fitted, "power": dict.fromkeys(HEAD["gpus"], probe)}), cells)
    slope, level = np.polyfit(busy, cells["average_power"].to_numpy(), 1).tolist()
    # The peak while a long prompt is read.
    long = measured.tokens.filter(
        pl.col("peak_power").is_not_null(), pl.col("prompt_size") * pl.col("batch_size") >= 2048
    )
    drawn = rounded(
        {
            "idle_share": IDLE_SHARE,
            "waiting_share": level,
            "memory_share": slope,
            "prefill_share": float(long["peak_power"].median()),
        }
    )
    power = {name: {**drawn, "grounds": "engine" if name == "A100-SXM" else "assumed"} for name in HEAD["gpus"]}
    return {**fitted, "power": power}


def lengths(tokens: Floats) -> dict[str, float]:
    """Fit a lognormal to the deciles of the first half and compare it with the second."""
    first, second = np.array_split(np.log(tokens.astype(float)), 2)
    deciles = np.arange(1, 10) / 10.0
    sigma, centre = np.polyfit(ndtri(deciles), np.quantile(first, deciles), 1).tolist()
    made = rounded({"median": float(np.exp(centre)), "sigma": sigma})
    predicted = np.log(made["median"]) + made["sigma"] * ndtri(deciles)
    off = np.abs(np.expm1(predicted - np.quantile(second, deciles)))
    distance = kstest(second, "norm", (np.log(made["median"]), made["sigma"])).statistic
    return {
        **made,
        "worst_decile_held_out": round(float(off.max()), 4),
        "distance_held_out": round(float(distance), 4),
    }


def correlation(first: Floats, second: Floats) -> float:
    """Return the correlation of the Gaussian copula that has this Spearman correlation."""
    return round(float(2.0 * np.sin(np.pi * spearmanr(first, second)[0] / 6.0)), 4)


def shape_of(counts: Floats) -> float:
    """Return the shape of a gamma of mean 1 that makes Poisson counts as uneven as these about a quadratic trend."""
    at = np.arange(len(counts), dtype=float)
    trend = np.polyval(np.polyfit(at, counts, 2), at)
    extra = (((counts - trend) ** 2).sum() / (len(counts) - 3) - counts.mean()) / (trend**2).mean()
    return rounded(float(1.0 / max(extra, 1e-4)))


def bursts(counts: Floats, window_s: float) -> dict[str, float | int]:
    """Sum up counts of equal windows."""
    first, second = np.array_split(counts.astype(float), 2)
    return {
        "window_s": window_s,
        "windows": len(counts),
        "shape": shape_of(counts.astype(float)),
        "shape_first_half": shape_of(first),
        "shape_second_half": shape_of(second),
    }


def trace_of(seconds: Floats, prompt: Floats, output: Floats) -> dict[str, Any]:
    """Sum up one trace in order of arrival."""
    half = (len(prompt) + 1) // 2
    edges = np.arange(0.0, np.floor(seconds.max() / TRACE_WINDOW_S) * TRACE_WINDOW_S + 1.0, TRACE_WINDOW_S)
    return {
        "requests": len(prompt),
        "prompt_tokens": lengths(prompt),
        "output_tokens": lengths(output),
        "correlation": correlation(prompt[:half], output[:half]),
        "correlation_held_out": correlation(prompt[half:], output[half:]),
        "bursts": bursts(np.histogram(seconds, edges)[0], TRACE_WINDOW_S),
    }


def prefixes_of(trace: pl.DataFrame) -> dict[str, Any]:
    """Sum up which blocks of the first half were in the cache, and compare with the second."""
    blocks, hits = trace["n_blocks"].to_numpy(), trace["prefix_hit_blocks"].to_numpy()
    half = (len(blocks) + 1) // 2
    found = [np.array_split(hits, 2)[part] for part in (0, 1)]
    own = lengths(np.concatenate([part[part > 1] for part in found]))
    return {
        "block_tokens": 512,
        "block_share": round(float(hits[:half].sum() / blocks[:half].sum()), 4),
        "block_share_held_out": round(float(hits[half:].sum() / blocks[half:].sum()), 4),
        "request_share": round(float((hits[:half] > 1).mean()), 4),
        "request_share_held_out": round(float((hits[half:] > 1).mean()), 4),
        "median_blocks": own["median"],
        "sigma_blocks": own["sigma"],
        "worst_decile_held_out": own["worst_decile_held_out"],
    }


def rhythm_of(rates: pl.DataFrame) -> dict[str, Any]:
    """Fit the day's cosine and the quietest two days to a first week and compare them with the second."""
    per_day = round(86400 / RATE_WINDOW_S)
    rate = np.zeros(14 * per_day)
    total = rates.group_by("t_s").agg(pl.col("rate_rps").cast(pl.Float64).sum()).sort("t_s")
    rate[(total["t_s"].to_numpy() // RATE_WINDOW_S).astype(int)] = total["rate_rps"].to_numpy()
    hours = rate.reshape(14, 24, -1).mean(axis=2)
    profile = (hours / hours.mean(axis=1, keepdims=True)).reshape(2, 7, 24).mean(axis=1)
    first, second = profile
    angle = 2.0 * np.pi * (np.arange(24) + 0.5) / 24.0
    cosine, sine = 2.0 * (first * np.cos(angle)).mean(), 2.0 * (first * np.sin(angle)).mean()
    swing, peak = float(np.hypot(cosine, sine)), float(np.arctan2(sine, cosine) * 12.0 / np.pi % 24.0)
    fitted = 1.0 + swing * np.cos(angle - 2.0 * np.pi * peak / 24.0)
    days = hours.mean(axis=1).reshape(2, 7)
    quiet = int(np.argmin(days[0] + np.roll(days[0], -1)))
    pair = [quiet, (quiet + 1) % 7]
    others = [day for day in range(7) if day not in pair]
    # Ten-minute rates against the mean of the hour on either side: bursts, with neither day nor trend.
    around = np.convolve(rate, np.ones(13) / 13.0, mode="valid")
    ratio = rate[6:-6] / around
    halves = [1.0 / (part.var() * 13.0 / 12.0) for part in (ratio, *np.array_split(ratio, 2))]
    return {
        "clients": rates["client"].n_unique(),
        "daily_swing": rounded(swing),
        "peak_hour": rounded(peak),
        "hours_error_held_out": round(float(np.abs(fitted / second - 1.0).mean()), 4),
        "hours_error_flat": round(float(np.abs(1.0 / second - 1.0).mean()), 4),
        "quiet_days": pair,
        "weekend": rounded(float(days[0, pair].mean() / days[0, others].mean())),
        "weekend_held_out": rounded(float(days[1, pair].mean() / days[1, others].mean())),
        "bursts": {
            "window_s": RATE_WINDOW_S,
            "windows": len(ratio),
            **rounded(dict(zip(["shape", "shape_first_half", "shape_second_half"], map(float, halves), strict=True))),
        },
    }


def fit_workload() -> dict[str, Any]:
    """Sum up the traces."""
    folder = DATA / "llm_traces"
    azure = pl.read_parquet(folder / "azure_2023_conv.parquet").sort("timestamp")
    mooncake = pl.read_parquet(folder / "mooncake_conversation.parquet").sort("timestamp", maintain_order=True)
    rates = pl.read_parquet(folder / "servegen_rates.parquet").with_columns(pl.col("model").cast(pl.String))
    since = (azure["timestamp"] - azure["timestamp"][0]).dt.total_microseconds().to_numpy() / 1e6
    tokens = {name: azure[name].to_numpy() for name in ("context_tokens", "generated_tokens")}
    return {
        "traces": {
            "azure-2023-conv": trace_of(since, tokens["context_tokens"], tokens["generated_tokens"]),
            "mooncake-conversation": {
                **trace_of(
                    mooncake["timestamp"].to_numpy() / 1e3,
                    mooncake["input_length"].to_numpy(),
                    mooncake["output_length"].to_numpy(),
                ),
                "prefixes": prefixes_of(mooncake),
            },
        },
        "rhythms": {
            f"servegen-{name}": rhythm_of(rates.filter(pl.col("model") == name)) for name in ("m-large", "m-small")
        },
    }


def make() -> str:
    """Fit everything and return the whole document."""
    measured = read_measured()
    fitted = fit_engine(
        measured.prompts.filter(~pl.col("held")),
        measured.tokens.filter(~pl.col("held")),
        fit_kernels(measured, first_guess()),
    )
    fitted = fit_power(measured, fitted)
    fitted["errors"] = [*faults_of(calibrated(fitted), measured), *faults_elsewhere(measured, fitted)]
    fitted["workload"] = fit_workload()
    calibrated(fitted)
    body = yaml.safe_dump({"fitted": fitted}, sort_keys=False, width=120, default_flow_style=None)
    return TARGET.read_text(encoding="utf-8").partition(MARK)[0] + MARK + body


def main() -> None:
    """Write the document and print its table of errors."""
    TARGET.write_text(make(), encoding="utf-8")
    fitted = shipped.load_yaml(TARGET, "calibration")[0]["fitted"]
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=160, tbl_hide_dataframe_shape=True):
        print(pl.DataFrame(fitted["errors"]).drop("held_out"))  # noqa: T201


HEAD = shipped.load_yaml(TARGET, "calibration")[0]
HEAD.pop("fitted", None)

if __name__ == "__main__":
    main()
