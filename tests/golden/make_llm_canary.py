"""Make the shipped data set ``llm-canary``: telemetry of one simulated week, and a card with its measured truth.

Run ``python tests/golden/make_llm_canary.py`` from the checkout; the same code and libraries write the same bytes.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import yaml

from causalrel.shipped import root
from causalrel.simulation import simulate
from causalrel.telemetry import Telemetry
from causalrel.telemetry.schema import METRIC_VARIABLES, REQUEST_VARIABLES

NAME = "llm-canary"
SEED = 12
TRUTH_SEEDS = tuple(range(10))
BAD_SPAN = (datetime(2026, 2, 15, 9, tzinfo=UTC), datetime(2026, 2, 16, tzinfo=UTC))
HEALTHY_CLOCK_MHZ = 1940
MOST_BYTES = 300_000

GOOD = {
    "ttft": (pl.col("ttft_s") <= 12.0) & pl.col("error").is_null(),
    "tpot": (pl.col("tpot_s") <= 0.075) & pl.col("error").is_null(),
    "availability": pl.col("error").is_null(),
}
TARGETS = {"ttft": 0.95, "tpot": 0.95, "availability": 0.99}

_KEPT = ["time", "service", "tier", "node", "model", "model_version", "batch_size", "gpu_type", "gpu_count"]
_KEPT += ["prompt_tokens", "output_tokens", "queue_s", "ttft_s", "tpot_s", "error", "quality"]
_ROUNDED = {"queue_s": 2, "ttft_s": 2, "tpot_s": 3, "quality": 2}
_STEPS = {
    "DCGM_FI_DEV_GPU_TEMP": 0.5,
    "DCGM_FI_DEV_SM_CLOCK": 5.0,
    "vllm:kv_cache_usage_perc": 0.01,
    "vllm:num_requests_running": 0.1,
    "vllm:num_requests_waiting": 0.1,
}


def requests_frame(telemetry: Telemetry) -> pl.DataFrame:
    """Keep what pays for its bytes: whole seconds of arrival, hundredths and thousandths of a second of latency."""
    return telemetry.frame().select(
        pl.col(name).round(_ROUNDED[name])
        if name in _ROUNDED
        else pl.col(name).cast(pl.Int32)
        if name in {"batch_size", "gpu_count", "prompt_tokens", "output_tokens"}
        else pl.col(name).dt.truncate("1s")
        if name == "time"
        else pl.col(name)
        for name in _KEPT
    )


def samples_frame(telemetry: Telemetry) -> pl.DataFrame:
    """Average each gauge over quarters of an hour, named by their start, as a recording rule would."""
    keys = ["metric", "node", "service", "time"]
    step = pl.col("metric").replace_strict(_STEPS, return_dtype=pl.Float64)
    value = ((pl.col("value") / step).round() * step).round(2)
    mean = telemetry.samples.with_columns(pl.col("time").dt.truncate("15m")).group_by(keys).agg(pl.col("value").mean())
    return mean.with_columns(value).sort(keys).select("time", "node", "service", "metric", "value").collect()


def bad_share(frame: pl.DataFrame, slo: str) -> float:
    """Return the share of events that are not good, unknown ones included."""
    return float(frame.select((~GOOD[slo].fill_null(False)).mean()).item())


def paired_effect(variable: str, levels: tuple[object, object], slo: str, runs: dict[Any, pl.DataFrame]) -> list[float]:
    """Return the change of the bad share in each pair of reruns of one seed."""
    low, high = levels
    return [
        bad_share(runs[seed, variable, high], slo) - bad_share(runs[seed, variable, low], slo) for seed in TRUTH_SEEDS
    ]


def naive_difference(frame: pl.DataFrame, variable: str, levels: tuple[object, object], slo: str) -> float:
    """Return the difference of bad shares between events seen at two levels."""
    low, high = (bad_share(frame.filter(pl.col(variable) == level), slo) for level in levels)
    return high - low


def measure_effects(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Measure interventional truth over several seeds, beside what a naive comparison of the data set says."""
    asked: dict[str, tuple[tuple[object, object], tuple[str, ...]]] = {
        "batch_size": ((4, 8), ("ttft", "tpot", "availability")),
        "model_version": (("v1", "v2"), ("ttft", "tpot")),
    }
    runs = {
        (seed, variable, level): simulate(NAME, seed=seed, do={variable: level}).frame()
        for seed in TRUTH_SEEDS
        for variable, (levels, _) in asked.items()
        for level in levels
    }
    own = {
        (variable, level): simulate(NAME, seed=SEED, do={variable: level}).frame()
        for variable, (levels, _) in asked.items()
        for level in levels
    }
    rows = []
    for variable, (levels, slos) in asked.items():
        for slo in slos:
            effects = np.array(paired_effect(variable, levels, slo, runs))
            here = bad_share(own[variable, levels[1]], slo) - bad_share(own[variable, levels[0]], slo)
            rows.append(
                {
                    "of": variable,
                    "levels": list(levels),
                    "on": slo,
                    "quantity": "change of the share of bad events, every node held at the level for the whole span",
                    "effect": round(float(effects.mean()), 4),
                    "standard_error": round(float(effects.std(ddof=1) / np.sqrt(effects.size)), 4),
                    "effect_at_seed": round(here, 4),
                    "naive": round(naive_difference(frame, variable, levels, slo), 4),
                }
            )
    return rows


def measure_drivers(plain: pl.DataFrame) -> list[dict[str, Any]]:
    """Count the bad events of the last day that would not have been with each suspect as it was before."""
    during = pl.col("time").is_between(*BAD_SPAN, closed="left")
    suspects: dict[str, object] = {"sm_clock_mhz": HEALTHY_CLOCK_MHZ, "model_version": "v1", "batch_size": 8}
    rows = []
    for variable, level in suspects.items():
        other = simulate(NAME, seed=SEED, do={variable: level}).frame()
        for slo in GOOD:
            seen, without = (f.filter(during).select(~GOOD[slo].fill_null(False), "node") for f in (plain, other))
            column = seen.columns[0]
            more = int(seen[column].sum()) - int(without[column].sum())
            local = seen.filter(pl.col("node") == "gpu-3")[column].sum() - int(
                without.filter(pl.col("node") == "gpu-3")[column].sum()
            )
            rows.append(
                {
                    "driver": variable,
                    "instead": level,
                    "on": slo,
                    "bad": int(seen[column].sum()),
                    "events": seen.height,
                    "bad_due": more,
                    "bad_due_on_gpu-3": int(local),
                }
            )
    return rows


def write_files(telemetry: Telemetry, folder: Path) -> dict[str, str]:
    """Write the Parquet files and return their hashes."""
    frames = {
        "requests": requests_frame(telemetry),
        "samples": samples_frame(telemetry),
        "changes": telemetry.changes.collect(),
    }
    packed = {"time": "DELTA_BINARY_PACKED", "prompt_tokens": "BYTE_STREAM_SPLIT", "output_tokens": "BYTE_STREAM_SPLIT"}
    hashes = {}
    for name, frame in frames.items():
        path = folder / f"{name}.parquet"
        pq.write_table(
            frame.to_arrow(),
            path,
            compression="zstd",
            compression_level=22,
            row_group_size=1 << 20,
            data_page_size=1 << 24,
            dictionary_pagesize_limit=1 << 22,
            use_dictionary=[column for column in frame.columns if column not in packed],
            column_encoding={column: packed[column] for column in frame.columns if column in packed},
            write_statistics=False,
            store_schema=False,
        )
        hashes[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    total = sum((folder / name).stat().st_size for name in hashes)
    if total > MOST_BYTES:
        raise SystemExit(f"the data set takes {total:,} bytes, more than {MOST_BYTES:,}")
    return hashes


def columns_card() -> list[dict[str, str]]:
    """Describe each column and each metric."""
    known = {variable.name: variable for variable in REQUEST_VARIABLES}
    rows = []
    for name in _KEPT:
        variable = known.get(name)
        rows.append({"file": "requests", "name": name})
        if variable is not None:
            rows[-1] |= {"role": variable.role, "unit": variable.unit}
    metrics = {variable.otel: variable for variable in METRIC_VARIABLES}
    rows += [
        {"file": "samples", "name": metrics[metric].name, "metric": metric}
        | {"role": metrics[metric].role, "unit": metrics[metric].unit}
        for metric in sorted(_STEPS)
    ]
    return rows


def make_card(telemetry: Telemetry, hashes: dict[str, str]) -> dict[str, Any]:
    """Write down where the data come from and what is true of them."""
    frame = requests_frame(telemetry)
    return {
        "name": NAME,
        "title": "A week of a chat service: a staged rollout, load-driven batch sizes, a node that overheats",
        "maker": "causalrel simulate",
        "script": "tests/golden/make_llm_canary.py",
        "scenario": NAME,
        "seed": SEED,
        "days": 7,
        "licence": "Apache-2.0",
        "files": {name: {"sha256": digest} for name, digest in hashes.items()},
        "notes": [
            "time of requests is cut to seconds, queue_s and ttft_s are rounded to 10 ms, tpot_s to 1 ms",
            "samples are means of quarters of an hour of scrapes a minute apart, named by their start; gaps are real",
            "failed requests have no ttft_s, tpot_s, output_tokens and quality; their queue_s is the time they waited",
        ],
        "columns": columns_card(),
        "report": {
            "slos": "llm-chat",
            "graph": "llm-serving",
            "every": "30m",
            "by": ["node"],
            "during": [moment.isoformat() for moment in BAD_SPAN],
            "do": {"sm_clock_mhz": 1940},
        },
        "truth": {
            "graph": "llm-serving",
            "seeds": list(TRUTH_SEEDS),
            "objectives": {"ttft": "ttft_s <= 12", "tpot": "tpot_s <= 0.075", "availability": "error IS NULL"},
            "bad_share": {slo: round(bad_share(frame, slo), 4) for slo in GOOD},
            "target": TARGETS,
            "effects": measure_effects(frame),
            "drivers": {
                "during": [moment.isoformat() for moment in BAD_SPAN],
                "true": [{"variable": "sm_clock_mhz", "unit": "gpu-3", "since": BAD_SPAN[0].isoformat()}],
                "paired_reruns": measure_drivers(telemetry.frame()),
            },
        },
    }


def main() -> None:
    """Write the data set into the checkout."""
    folder = root() / "datasets" / NAME
    folder.mkdir(parents=True, exist_ok=True)
    telemetry = simulate(NAME, seed=SEED)
    card = make_card(telemetry, write_files(telemetry, folder))
    text = yaml.safe_dump(card, sort_keys=False, width=118, allow_unicode=True)
    (folder / "card.yaml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
