"""Coverage, width and error of effects beside what others would answer on the same made telemetry, cell by cell.

Others hold load fixed as a line or bent (six hinges), with errors as textbooks have them: independent, HAC,
equal-weighted cosines (EWC), blocks of twelve hours, ARMA(1,1). DoWhy's regression stands beside, and EconML's
LinearDML where it is installed.

Run: python tests/benchmarks/bench_peers.py [--worlds 20] [--first 60000] [--memories 0.9] [--holds "60 min"]
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import logging
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from bench_coverage import PROB, measured
from telemetry_worlds import HOLDS, MEMORIES, OUTCOMES, SHAPES, World, telemetry_world

import causalrel as cr

_BENDS = (0.05, 0.25, 0.5, 0.75, 0.9, 0.97)
_HALF_DAY = 72
_COSINES = 12
#: A competitor is valid where its intervals hold the truth in at least this share of the worlds.
_VALID = 0.92


def main() -> None:
    """Print a table a cell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=20)
    parser.add_argument("--first", type=int, default=60_000)
    parser.add_argument("--memories", type=float, nargs="*", default=list(MEMORIES))
    parser.add_argument("--holds", nargs="*", default=list(HOLDS))
    parser.add_argument("--shapes", nargs="*", default=list(SHAPES))
    parser.add_argument("--outcomes", nargs="*", default=list(OUTCOMES))
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    for shape, outcome, memory, hold in itertools.product(asked.shapes, asked.outcomes, asked.memories, asked.holds):
        cell(range(asked.first, asked.first + asked.worlds), memory=memory, hold=hold, shape=shape, outcome=outcome)


def cell(seeds: range, *, memory: float, hold: str, shape: str, outcome: str) -> None:
    """Print how each answered in one cell, and how we compare with the best of the others."""
    rows: dict[str, list[tuple[float, ...]]] = {}
    for seed in seeds:
        world = telemetry_world(seed, memory=memory, hold=hold, shape=shape, outcome=outcome)
        answer = cr.effect(world.windows, world.graph, of="batch_size", on=world.on, levels=(4, 8), seed=seed)
        truth = world.truth()
        if answer.verdict == "refused":
            continue
        rows.setdefault("causalrel", []).append(measured(answer, truth))
        for name, mean, wide in others(world):
            rows.setdefault(name, []).append((abs(mean - truth) <= wide, mean - truth, 2 * wide, 0.0, truth))
    told = {name: np.array(made, dtype=float).T for name, made in rows.items()}
    ours = told.pop("causalrel")
    errors = {name: float(np.sqrt((made[1] ** 2).mean())) for name, made in told.items()}
    mine = float(np.sqrt((ours[1] ** 2).mean()))
    widths = {name: float(made[2].mean()) for name, made in told.items() if made[0].mean() >= _VALID}
    best = min(errors, key=lambda name: errors[name])
    line = f"{shape}, {outcome}, memory {memory}, {hold}: covers {ours[0].mean():.0%} of {ours.shape[1]}"
    line += f", rmse {mine / ours[4].mean():.3f} of the effect, {mine / errors[best]:.2f} of the best other ({best})"
    line += f", {mine / errors['DoWhy']:.2f} of DoWhy's"
    if widths:
        narrowest = min(widths, key=lambda name: widths[name])
        line += f"; width {ours[2].mean() / widths[narrowest]:.2f} of the narrowest valid ({narrowest})"
    else:
        line += "; no other is valid"
    valid = ", ".join(f"{name} {made[0].mean():.0%}" for name, made in told.items() if made[2].any())
    sys.stdout.write(f"{line}. Others cover: {valid}\n")
    sys.stdout.flush()


def others(world: World) -> Iterator[tuple[str, float, float]]:
    """Yield name, estimate and half the width of a 95 % interval, 0 where a peer gives none that we take."""
    from scipy.stats import norm, t

    table = world.windows.table
    y = table[world.on if world.on in table.columns else f"{world.on}.bad"].to_numpy().astype(float)
    y = y if world.on in table.columns else y / table[f"{world.on}.total"].to_numpy()
    treat, load = (table["batch_size"].to_numpy() == 8).astype(float), table["load"].to_numpy()
    hinges = [np.maximum(load - at, 0) for at in np.quantile(load, _BENDS)]
    sure = norm.ppf((1 + PROB) / 2)
    for form, held in (("line", [load]), ("bent", [load, *hinges])):
        x = np.column_stack([treat, np.ones(len(y)), *held])
        fitted, scores = _scores(x, y)
        yield f"{form} independent", fitted, sure * np.sqrt((scores**2).sum())
        yield f"{form} HAC", fitted, sure * np.sqrt(_hac(scores))
        waves = _cosines(scores)
        yield f"{form} EWC", fitted, t.ppf((1 + PROB) / 2, _COSINES) * np.sqrt((waves**2).mean())
        blocks = np.add.reduceat(scores, np.arange(0, len(scores), _HALF_DAY))
        yield f"{form} blocks", fitted, t.ppf((1 + PROB) / 2, len(blocks) - 1) * np.sqrt((blocks**2).sum())
        mean, spread = _arma(x, y)
        yield f"{form} ARMA", mean, sure * spread
    for name, mean in _peers(y, treat, load):
        yield name, mean, 0.0


def _scores(x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Least squares of the first column, and what each row adds to its error."""
    inverse = np.linalg.pinv(x.T @ x)
    beta = inverse @ (x.T @ y)
    return float(beta[0]), (x * (y - x @ beta)[:, None]) @ inverse[:, 0]


def _hac(scores: np.ndarray) -> float:
    """Newey and West's variance with the textbook's lags, 4 (n / 100)^(2/9)."""
    lags = int(4 * (len(scores) / 100) ** (2 / 9))
    terms = [2 * (1 - k / (lags + 1)) * float(scores[k:] @ scores[:-k]) for k in range(1, lags + 1)]
    return float(scores @ scores) + sum(terms)


def _cosines(scores: np.ndarray) -> np.ndarray:
    """Projections on the first cosines (Lazarus, Lewis, Stock and Watson 2018)."""
    at = (np.arange(len(scores)) + 0.5) / len(scores)
    return np.array([np.sqrt(2) * np.cos(np.pi * k * at) @ scores for k in range(1, _COSINES + 1)])


def _arma(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Generalised least squares with ARMA(1,1) errors (Hannan and Rissanen 1982, or likelihood), by statsmodels."""
    from statsmodels.tsa.arima.model import ARIMA

    scale = np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
    spread = y.std()
    model = ARIMA(y / spread, exog=x / scale, order=(1, 0, 1), trend="n")
    try:
        made = model.fit(method="hannan_rissanen", gls=True)
    except ValueError:
        made = model.fit(cov_type="oim")
    return float(made.params[0] / scale[0] * spread), float(made.bse[0] / scale[0] * spread)


def _peers(y: np.ndarray, treat: np.ndarray, load: np.ndarray) -> Iterator[tuple[str, float]]:
    import pandas as pd
    from dowhy import CausalModel

    data = pd.DataFrame({"load": load, "treat": treat.astype(bool), "y": y})
    model = CausalModel(data, treatment="treat", outcome="y", common_causes=["load"])
    found = model.identify_effect(proceed_when_unidentifiable=True, method_name="maximal-adjustment")
    yield "DoWhy", float(model.estimate_effect(found, method_name="backdoor.linear_regression").value)
    if importlib.util.find_spec("econml") is not None:
        from econml.dml import LinearDML

        learner = LinearDML(discrete_treatment=True, random_state=0)
        fitted = learner.fit(y, treat.astype(int), X=None, W=load[:, None])
        yield "econml LinearDML", float(np.ravel(fitted.const_marginal_ate())[0])


if __name__ == "__main__":
    main()
