"""Make the shipped data sets: telemetry of simulated services, each with a card that tells its measured truth.

Run ``python tests/golden/make_datasets.py [NAME ...]`` from the checkout; the same code writes the same bytes.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import yaml

import causalrel as cr
from causalrel.shipped import load_yaml, resolve, root
from causalrel.simulation import simulate
from causalrel.simulation.contrasts import bad_events, measure_effect, paired_change
from causalrel.simulation.documents import load_scenario, true_graph
from causalrel.telemetry import Telemetry
from causalrel.telemetry.schema import METRIC_VARIABLES, REQUEST_VARIABLES

TRUTH_SEEDS = tuple(range(10))
MOST_BYTES = 300_000

_KEYS = ["time", "service", "tier", "node"]
_CONFIG = ["model", "model_version", "batch_size", "max_batched_tokens", "chunked_prefill", "replicas", "gpu_count"]
_CONFIG += ["quantisation", "kv_fraction", "admission_limit", "prompt_cache_tokens", "prompt_template", "power_cap_w"]
_CONFIG += ["gpu_type", "firmware"]
_SEEN = ["prompt_tokens", "output_tokens", "cached_tokens", "queue_s", "ttft_s", "tpot_s", "error"]
_SEEN += ["cost_usd", "energy_j", "quality"]
_ROUNDED = {"queue_s": 1, "ttft_s": 2, "tpot_s": 3, "quality": 2, "cost_usd": 2}
_MULTIPLES = {"prompt_tokens": 64, "output_tokens": 64, "energy_j": 20_000}
_STEPS = {
    "DCGM_FI_DEV_GPU_TEMP": 1.0,
    "DCGM_FI_DEV_SM_CLOCK": 5.0,
    "up": 0.05,
    "vllm:kv_cache_usage_perc": 0.01,
    "vllm:num_requests_running": 0.1,
    "vllm:num_requests_waiting": 0.1,
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is asked of one data set; hours count from its start.

    ``effects`` holds a setting and two levels, ``during`` the span the report looks at, ``suspects`` values that each
    suspect had before, ``without`` changes to the scenario where no setting undoes a cause, ``blamed`` what is true.
    """

    seed: int
    effects: tuple[tuple[str, tuple[object, object]], ...] = ()
    during: tuple[int, int]
    suspects: dict[str, object] = field(default_factory=dict)
    without: dict[str, dict[str, Any]] = field(default_factory=dict)
    blamed: tuple[dict[str, Any], ...] = ()
    do: dict[str, object] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    every: str = "30m"


RECIPES: dict[str, Recipe] = {
    "llm-canary": Recipe(
        seed=12,
        effects=(("batch_size", (4, 8)), ("model_version", ("v1", "v2"))),
        during=(153, 168),
        suspects={"sm_clock_mhz": 1940, "model_version": "v1", "batch_size": 8},
        blamed=({"variable": "sm_clock_mhz", "unit": "gpu-3", "since_hour": 153},),
        do={"sm_clock_mhz": 1940},
    ),
    "batch-under-load": Recipe(
        seed=1,
        effects=(("batch_size", (10, 20)),),
        during=(96, 120),
        do={"batch_size": 20},
        facts={"paradox": "tpot is better where batch_size is 20, and batch_size 20 makes it worse"},
    ),
    "bad-node": Recipe(
        seed=1,
        during=(84, 144),
        suspects={"sm_clock_mhz": 1940, "firmware": "550", "node_up": "on"},
        blamed=({"variable": "sm_clock_mhz", "unit": "gpu-5", "since_hour": 84},),
        do={"sm_clock_mhz": 1940},
    ),
    "cache-collapse": Recipe(
        seed=1,
        effects=(("prompt_template", ("plain", "dated")), ("model_version", ("v1", "v2"))),
        during=(82, 144),
        suspects={"prompt_template": "plain", "model_version": "v1"},
        blamed=({"variable": "prompt_template", "unit": "all", "since_hour": 82},),
        do={"prompt_template": "plain"},
    ),
    "quiet-tenant": Recipe(
        seed=1,
        effects=(("model_version", ("v1", "v2")),),
        during=(84, 144),
        suspects={"model_version": "v1"},
        do={"model_version": "v1"},
        keys=("tenant",),
        facts={"quiet": {"tenant": "quiet", "requests_per_hour": 60}},
    ),
    "drift": Recipe(
        seed=1,
        during=(144, 216),
        suspects={"firmware": "known"},
        without={"prompt_tokens": {"workload": {"shifts": []}}},
        blamed=(
            {"variable": "prompt_tokens", "kind": "input", "unit": "all", "since_hour": 72},
            {"variable": "ttft", "kind": "mechanism", "unit": "all", "since_hour": 144},
        ),
    ),
    "no-answer": Recipe(
        seed=1,
        effects=(("batch_size", (4, 8)), ("model_version", ("v1", "v2"))),
        during=(72, 144),
        do={"batch_size": 8},
        facts={
            "answers": [
                {"of": "batch_size", "on": "tpot", "right": "refused", "because": "no load was met with both sizes"},
                {"of": "model_version", "on": "tpot", "right": "refused", "because": "a hidden neighbour drives both"},
            ]
        },
    ),
}


def slos_of() -> tuple[cr.SLO, ...]:
    """Return the objectives that every data set is judged by."""
    return tuple(cr.load_slos("llm-chat"))


def requests_frame(telemetry: Telemetry, recipe: Recipe) -> pl.DataFrame:
    """Keep what pays for its bytes: whole seconds of arrival, rounded latencies, tokens in blocks of 64."""
    frame = telemetry.frame()
    kept = [name for name in (*_KEYS, *recipe.keys, *_CONFIG, *_SEEN) if name in frame.columns]
    return frame.select(_packed(frame, name) for name in kept)


def _packed(frame: pl.DataFrame, name: str) -> pl.Expr:
    column = pl.col(name)
    if name == "time":
        return column.dt.truncate("1s")
    if name in _MULTIPLES:
        return ((column / _MULTIPLES[name]).round() * _MULTIPLES[name]).cast(pl.Int32)
    if name in _ROUNDED:
        return column.round(_ROUNDED[name])
    return column.cast(pl.Int32) if frame.schema[name] == pl.Int64 else column


def samples_frame(telemetry: Telemetry) -> pl.DataFrame:
    """Average each gauge over quarters of an hour, named by their start, as a recording rule would."""
    keys = ["metric", "node", "service", "time"]
    step = pl.col("metric").replace_strict(_STEPS, return_dtype=pl.Float64)
    value = ((pl.col("value") / step).round() * step).round(2)
    gauges = telemetry.samples.filter(pl.col("metric").is_in(list(_STEPS)))
    mean = gauges.with_columns(pl.col("time").dt.truncate("15m")).group_by(keys).agg(pl.col("value").mean())
    return mean.with_columns(value).sort(keys).select("time", "node", "service", "metric", "value").collect()


def frames_of(name: str) -> dict[str, pl.DataFrame]:
    """Simulate a data set and pack its three tables."""
    recipe = RECIPES[name]
    telemetry = simulate(name, seed=recipe.seed)
    return {
        "requests": requests_frame(telemetry, recipe),
        "samples": samples_frame(telemetry),
        "changes": telemetry.changes.collect(),
    }


def write_files(frames: dict[str, pl.DataFrame], folder: Path) -> dict[str, str]:
    """Write the Parquet files and return their hashes."""
    packed = {"time": "DELTA_BINARY_PACKED"}
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
    return hashes


def columns_card(frames: dict[str, pl.DataFrame]) -> list[dict[str, str]]:
    """Describe each column and each metric."""
    known = {variable.name: variable for variable in REQUEST_VARIABLES}
    metrics = {variable.otel: variable for variable in METRIC_VARIABLES}
    rows: list[dict[str, str]] = []
    for name in frames["requests"].columns:
        rows.append({"file": "requests", "name": name})
        if name in known:
            rows[-1] |= {"role": known[name].role, "unit": known[name].unit}
    for metric in frames["samples"]["metric"].unique().sort():
        variable = metrics[metric]
        rows.append({"file": "samples", "name": variable.name, "metric": metric})
        rows[-1] |= {"role": variable.role, "unit": variable.unit}
    return rows


def effects_card(name: str, frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Measure interventional truth over several seeds, beside what a naive comparison of the data set says."""
    recipe, slos, rows = RECIPES[name], slos_of(), []
    bad = bad_events(frame, slos)
    for of, levels in recipe.effects:
        naive = pl.concat([frame.select(pl.col(of).cast(pl.String).alias("_level")), bad], how="horizontal")
        measured = measure_effect(name, slos, of=of, levels=levels, seeds=TRUTH_SEEDS)
        here = paired_change(name, slos, of=of, levels=levels, seed=recipe.seed)
        for quantity, unit, effect, error in measured.rows():
            if quantity.endswith(".burn") or (quantity in bad.columns and not bad[quantity].count()):
                continue
            row = {"of": of, "levels": list(levels), "on": quantity, "unit": unit}
            digits = 0 if unit.startswith("J") else 4
            row |= {"effect": round(effect, digits), "standard_error": round(error, digits + 1)}
            row["effect_at_seed"] = round(here[quantity], digits)
            if quantity in bad.columns:
                low, high = (naive.filter(pl.col("_level") == str(level))[quantity].mean() for level in levels)
                row["naive"] = round(float(high) - float(low), 4)
            rows.append(row)
    return rows


def variant(name: str, changes: dict[str, Any]) -> dict[str, Any]:
    """Return the scenario with some parts replaced."""
    document = load_yaml(resolve(name, "models/scenarios", "scenario"), "scenario")[0]
    return document | {part: {**document[part], **replaced} for part, replaced in changes.items()}


def drivers_card(name: str) -> dict[str, Any]:
    """Count the bad events of the report's span that would not have been with each suspect as it was before."""
    recipe, slos = RECIPES[name], slos_of()
    plain = simulate(name, seed=recipe.seed).frame()
    during = pl.col("time").is_between(*span_of(name), closed="left")
    seen = bad_events(plain.filter(during), slos)
    rows = []
    others = {
        variable: (value, simulate(name, seed=recipe.seed, do={variable: value}).frame())
        for variable, value in recipe.suspects.items()
    }
    for variable, changes in recipe.without.items():
        others[variable] = ("unshifted", simulate(variant(name, changes), seed=recipe.seed).frame())
    for variable, (value, other) in others.items():
        without = bad_events(other.filter(during), slos)
        rows.append({"driver": variable, "instead": value, "bad_due": {}})
        rows[-1]["bad_due"] = {s.name: int(seen[s.name].sum()) - int(without[s.name].sum()) for s in slos}
    start = load_scenario(name).start
    blamed = [
        {key: value for key, value in fact.items() if key != "since_hour"}
        | {"since": (start + timedelta(hours=fact["since_hour"])).isoformat()}
        for fact in recipe.blamed
    ]
    return {
        "during": [moment.isoformat() for moment in span_of(name)],
        "events": seen.height,
        "bad": {slo.name: int(seen[slo.name].sum()) for slo in slos},
        "true": blamed,
        "paired_reruns": rows,
    }


def span_of(name: str) -> tuple[Any, Any]:
    """Return the span the report looks at."""
    start = load_scenario(name).start
    first, last = RECIPES[name].during
    return start + timedelta(hours=first), start + timedelta(hours=last)


def graph_card(name: str, frame: pl.DataFrame) -> dict[str, Any]:
    """Tell the true edges between what varies in the data, within a window and across windows."""
    graph = true_graph(name)
    metrics = {variable.name for variable in METRIC_VARIABLES if variable.otel in _STEPS}
    constant = {column for column in frame.columns if frame[column].drop_nulls().n_unique() < 2}
    shown = ({*frame.columns, *metrics, "load", *(slo.name for slo in slos_of())} - constant) & set(graph.names)
    edges = [e for e in graph.edges if {e.cause, e.effect} <= shown]
    return {
        "graph": graph.name,
        "edges": [f"{e.cause} -> {e.effect}" for e in edges if e.lag == 0],
        "lagged": [f"{e.cause} -> {e.effect} after {e.lag}" for e in edges if e.lag],
        "unmeasured": [{"name": hidden.name, "affects": list(hidden.affects)} for hidden in graph.unmeasured],
    }


def make_card(name: str, frames: dict[str, pl.DataFrame], hashes: dict[str, str]) -> dict[str, Any]:
    """Write down where the data come from and what is true of them."""
    recipe, scenario, frame = RECIPES[name], load_scenario(name), frames["requests"]
    bad = bad_events(frame, slos_of())
    return {
        "name": name,
        "title": scenario.title,
        "maker": "causalrel simulate",
        "script": "tests/golden/make_datasets.py",
        "scenario": name,
        "seed": recipe.seed,
        "days": scenario.days,
        "licence": "Apache-2.0",
        "files": {file: {"sha256": digest} for file, digest in hashes.items()},
        "notes": [
            "time of requests is cut to seconds, queue_s is rounded to 0.1 s, ttft_s and cost_usd to 0.01, tpot_s to "
            "0.001, tokens to 64, energy_j to 20 kJ",
            "samples are means of quarters of an hour of scrapes a minute apart, named by their start; gaps are real",
            "failed requests have no ttft_s, tpot_s, output_tokens and quality; their queue_s is the time they took",
        ],
        "columns": columns_card(frames),
        "report": {
            "slos": "llm-chat",
            "graph": scenario.graph,
            "every": recipe.every,
            "by": ["node"],
            "during": [moment.isoformat() for moment in span_of(name)],
            **({"do": recipe.do} if recipe.do else {}),
        },
        "truth": {
            **graph_card(name, frame),
            "seeds": list(TRUTH_SEEDS),
            "bad_share": {slo.name: round(float(bad[slo.name].mean() or 0.0), 4) for slo in slos_of()},
            "effects": effects_card(name, frame),
            "drivers": drivers_card(name),
            **recipe.facts,
        },
    }


def main() -> None:
    """Write data sets into the checkout."""
    for name in sys.argv[1:] or RECIPES:
        folder = root() / "datasets" / name
        folder.mkdir(parents=True, exist_ok=True)
        frames = frames_of(name)
        card = make_card(name, frames, write_files(frames, folder))
        text = yaml.safe_dump(card, sort_keys=False, width=118, allow_unicode=True)
        (folder / "card.yaml").write_text(text, encoding="utf-8")
        size = sum(path.stat().st_size for path in folder.iterdir())
        if size > MOST_BYTES:
            raise SystemExit(f"{name} takes {size:,} bytes, more than {MOST_BYTES:,}")
        sys.stdout.write(f"{name}: {frames['requests'].height:,} requests, {size:,} bytes\n")


if __name__ == "__main__":
    main()
