"""Effects beside real experiments and other libraries, where the truth was run, made, or is known from a trial.

Run: python tests/benchmarks/bench_real_effects.py [pilot] [kubecon] [ihdp] [lalonde] [dstack] [telemetry] [--worlds 20]

Needs ``../shared/data``; peers (econml, doubleml) and LaLonde's data (causaldata) are used where they are installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import sys
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).parents[1]))

from real_experiments import IHDP_HELD, LALONDE_HELD, SHARED, ask, ask_gpus, contrasts, ihdp, lalonde
from telemetry_worlds import telemetry_world

import causalrel as cr
from causalrel.windows import Windows

HELD_BACK = ["google/flan-t5-xl"]
BUILT_ON = ["EleutherAI/gpt-neox-20b", "google/flan-ul2", "llama-7b"]
BENCHMARK = 1794.0


def main() -> None:
    """Print the figures asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    every: dict[str, Callable[[argparse.Namespace], None]] = {
        "pilot": pilot,
        "kubecon": kubecon,
        "ihdp": replications,
        "lalonde": trial,
        "dstack": pairs,
        "telemetry": telemetry,
    }
    parser.add_argument("parts", nargs="*", choices=list(every), default=list(every))
    parser.add_argument("--worlds", type=int, default=20)
    parser.add_argument("--first", type=int, default=70_000)
    parser.add_argument("--models", nargs="*", default=HELD_BACK, help=f"built on: {', '.join(BUILT_ON)}")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    for part in asked.parts:
        start = time.process_time()
        every[part](asked)
        say(f"{part}: {time.process_time() - start:.0f} CPU-s")


def say(line: str) -> None:
    """Write one line."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def pilot(asked: argparse.Namespace) -> None:
    """GPU count of load tests whose cells were kept by load."""
    rows, none = [], 0
    for contrast in contrasts(asked.models):
        mine, truth = [], contrast.truth()
        for seed in range(asked.first, asked.first + asked.worlds):
            made = ask_gpus(contrast, seed)
            if made is None or made[0].verdict == "refused":
                none += 1
                continue
            answer, cells = made
            by = cells.group_by("n_gpus").agg(pl.col("share").mean()).sort("n_gpus")["share"]
            own = contrast.truth(cells["num_users"].to_numpy()[answer.speaks])
            sure = answer.verdict == "answered"
            wide = answer.high - answer.low
            mine.append(
                (answer.covers(truth), answer.covers(own), answer.mean - truth, by[1] - by[0] - truth, wide, sure)
            )
        rows += mine
        say(f"pilot {contrast.name}: truth {truth:+.3f}, " + _told(mine))
    say(f"pilot, all: {_told(rows)}; refused {none}")


def _told(rows: list[tuple[float, ...]]) -> str:
    if not rows:
        return "nothing answered"
    inside, own, error, naive, width, sure = np.array(rows, dtype=float).T
    told = f"{inside[sure == 1].mean():.1%} of {int(sure.sum())} answered" if sure.any() else "none answered outright"
    return (
        f"holds the truth over all loads {inside.mean():.1%} of {len(rows)} ({told}), over loads spoken of "
        f"{own.mean():.1%}; rmse {np.sqrt((error**2).mean()):.3f}, naive {np.sqrt((naive**2).mean()):.3f}, "
        f"width {width.mean():.3f}"
    )


def kubecon(_: argparse.Namespace) -> None:
    """Batch size, prefix cache and a flag that does nothing, each variant driven at its own rates."""
    stages = pl.read_csv(SHARED / "kubecon_vllm" / "stages.csv")
    asked = (
        ("batch 128 to 192", "vllm", "vllm+batch_size"),
        ("prefix cache and chunks", "vllm", "vllm+chunking_and_prefix_caching"),
        ("quantisation flag (null)", "vllm+chunking_and_prefix_caching", "vllm+quantization"),
    )
    for name, before, after in asked:
        both = stages.filter(pl.col("variant").is_in([before, after])).with_columns(
            changed=(pl.col("variant") == after).cast(pl.Int64)
        )
        for on in ("requests_per_s", "ttft_mean_s"):
            answer = ask(both, of="changed", on=on, held=("requested_rps",), levels=(0.0, 1.0))
            curves = [
                both.filter(pl.col("changed") == side).sort("requested_rps").select("requested_rps", on).to_numpy().T
                for side in (0, 1)
            ]
            at = both["requested_rps"].to_numpy()[answer.speaks]
            read = [np.interp(at, *curve) for curve in curves]
            naive = curves[1][1].mean() - curves[0][1].mean()
            say(
                f"kubecon {name}, {on}: {answer.mean:+.3f} [{answer.low:+.3f}, {answer.high:+.3f}] {answer.verdict}; "
                f"between the measured curves {np.mean(read[1] - read[0]):+.3f}, naive {naive:+.3f}"
            )


def replications(_: argparse.Namespace) -> None:
    """Five replications of IHDP."""
    errors: dict[str, list[float]] = {}
    inside = []
    for replication in range(1, 6):
        frame, truth = ihdp(replication)
        answer = ask(frame, of="treatment", on="y_factual", held=IHDP_HELD, levels=(0.0, 1.0))
        inside.append(answer.covers(truth))
        errors.setdefault("causalrel", []).append(answer.mean - truth)
        for name, value in peers(frame, "treatment", "y_factual", IHDP_HELD).items():
            errors.setdefault(name, []).append(value - truth)
    say(f"ihdp: the 90 % interval holds {sum(inside)} of 5")
    _table("ihdp", errors)


def _table(what: str, errors: dict[str, list[float]]) -> None:
    for name, made in errors.items():
        size = np.array(made)
        say(f"{what} {name}: mean absolute error {np.abs(size).mean():.3f}, rmse {np.sqrt((size**2).mean()):.3f}")


def trial(_: argparse.Namespace) -> None:
    """LaLonde: NSW treated beside CPS controls."""
    if importlib.util.find_spec("causaldata") is None:
        say("lalonde: the package causaldata is not installed")
        return
    frame = lalonde()
    answer = ask(frame, of="treat", on="re78", held=LALONDE_HELD, levels=(0.0, 1.0))
    say(
        f"lalonde causalrel: {answer.mean:.0f} [{answer.low:.0f}, {answer.high:.0f}] {answer.verdict}, of "
        f"{answer.speaks.sum()} rows; bias {answer.mean - BENCHMARK:+.0f}"
    )
    for name, value in peers(frame, "treat", "re78", LALONDE_HELD).items():
        say(f"lalonde {name}: {value:.0f}, bias {value - BENCHMARK:+.0f}")


def pairs(_: argparse.Namespace) -> None:
    """The same prompts at 16 and at 32 requests a second, as pairs and as rows of their own."""
    runs = pl.read_parquet(SHARED / "dstack_bench" / "serving_requests.parquet").filter(
        pl.col("ttft_s").is_not_null() & pl.col("request_rate").is_in([16.0, 32.0])
    )
    for hardware, run in runs.group_by("hardware", maintain_order=True):
        both = run.filter(pl.col("prompt_index").count().over("prompt_index") == 2).sort("prompt_index")
        wide = both.pivot("request_rate", index="prompt_index", values="ttft_s")
        change = (wide["32.0"] - wide["16.0"]).to_numpy()
        spread = 1.645 * change.std(ddof=1) / np.sqrt(len(change))
        rows = ask(both, of="request_rate", on="ttft_s", held=("input_tokens",), levels=(16.0, 32.0))
        say(
            f"dstack {hardware[0]}, 16 to 32 requests/s: paired difference {change.mean():.3f} +- {spread:.3f} s over "
            f"{len(change)} prompts; prompts as rows of their own {rows.mean:.3f} [{rows.low:.3f}, {rows.high:.3f}] "
            f"{rows.verdict}; prompts as units over two runs: {_as_pairs(both)}"
        )


def _as_pairs(both: pl.DataFrame) -> str:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    frame = both.with_columns(
        at=pl.when(pl.col("request_rate") == 16).then(start).otherwise(start + timedelta(hours=1)),
        unit=pl.col("prompt_index").cast(pl.String),
        total=pl.lit(1),
        bad=pl.lit(0),
    )
    roles = {"request_rate": "config", "ttft_s": "engine"}
    windows = Windows.from_frame(frame, time="at", unit="unit", roles=roles, events={"row": ("total", "bad")})
    graph = cr.Graph.from_edges([("request_rate", "ttft_s")], roles=roles)
    answer = cr.effect(windows, graph, of="request_rate", on="ttft_s", levels=(16, 32))
    return f"{answer.verdict} ({answer.why})" if answer.verdict == "refused" else answer.verdict


def telemetry(asked: argparse.Namespace) -> None:
    """Made telemetry whose noise remembers."""
    for shape in ("linear", "LLM-like"):
        for memory in (0.9, 0.98):
            errors: dict[str, list[float]] = {}
            for seed in range(asked.first, asked.first + asked.worlds):
                world = telemetry_world(seed, memory=memory, hold="60 min", shape=shape, outcome="continuous")
                answer = cr.effect(world.windows, world.graph, of="batch_size", on=world.on, levels=(4, 8))
                truth = world.truth()
                made = {"causalrel": float(answer.select(quantity="value").draws[:, 0].mean())}
                frame = world.windows.table.with_columns(batch=(pl.col("batch_size") == 8).cast(pl.Int64))
                made |= peers(frame, "batch", world.on, ("load",), slow=False)
                for name, value in made.items():
                    errors.setdefault(name, []).append(value - truth)
            _table(f"telemetry {shape}, memory {memory}, 60 min, {asked.worlds} worlds:", errors)


def peers(frame: pl.DataFrame, of: str, on: str, held: tuple[str, ...], *, slow: bool = True) -> dict[str, float]:
    """Answer by OLS, DoWhy's defaults and, where installed, double machine learning."""
    treat, y = frame[of].to_numpy().astype(float), frame[on].to_numpy().astype(float)
    x = frame.select(pl.col(held).cast(pl.Float64)).to_numpy()
    beside = np.column_stack([np.ones(len(y)), treat, x])
    made = {"naive": y[treat == 1].mean() - y[treat == 0].mean(), "OLS": np.linalg.lstsq(beside, y, rcond=None)[0][1]}
    for method in ("linear_regression", "propensity_score_weighting"):
        made[f"DoWhy {method}"] = _dowhy(frame.select(of, on, *held), of, on, held, method)
    if importlib.util.find_spec("econml") is not None:
        from econml.dml import LinearDML

        learner = LinearDML(discrete_treatment=True, random_state=0)
        made["econml LinearDML"] = float(
            np.ravel(learner.fit(y, treat.astype(int), X=None, W=x).const_marginal_ate())[0]
        )
    if slow and importlib.util.find_spec("doubleml") is not None:
        made["DoubleML PLR forest"] = _double(y, treat, x)
    return {name: float(value) for name, value in made.items()}


def _dowhy(frame: pl.DataFrame, of: str, on: str, held: tuple[str, ...], method: str) -> float:
    from dowhy import CausalModel

    data = frame.to_pandas().astype(float)
    data[of] = data[of].astype(bool)
    model = CausalModel(data, treatment=of, outcome=on, common_causes=list(held))
    identified = model.identify_effect(proceed_when_unidentifiable=True, method_name="maximal-adjustment")
    return float(model.estimate_effect(identified, method_name=f"backdoor.{method}", control_value=0).value)


def _double(y: np.ndarray, treat: np.ndarray, x: np.ndarray) -> float:
    from doubleml import DoubleMLData, DoubleMLPLR
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    np.random.seed(0)  # noqa: NPY002
    forests = {"n_estimators": 100, "min_samples_leaf": 5, "random_state": 0}
    data = DoubleMLData.from_arrays(x, y, treat)
    made = DoubleMLPLR(data, RandomForestRegressor(**forests), RandomForestClassifier(**forests))
    return float(made.fit().coef[0])


if __name__ == "__main__":
    main()
