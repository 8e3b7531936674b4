"""Simulated rollouts: what a what-if decides and how sure it says it is, against the week that then came in both arms.

Run: python tests/benchmarks/bench_verdicts.py [--rollouts 400] [--first 90000] [--value 8]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from verdict_worlds import rollout
from worlds import serving_graph

import causalrel as cr


class Told(NamedTuple):
    """What one rollout was told, and what came."""

    decision: str
    risk: float
    harmed: bool
    chance: float
    gone: bool
    inside: bool
    covered: float
    naive: float
    bias: float


def tell(seed: int, *, value: float = 8, levels: tuple[int, ...] = (4, 8)) -> Told:
    """Ask for batch ``value`` from now on, and compare with the week that came."""
    world = rollout(seed, levels=levels)
    network = cr.fit(world.windows, serving_graph(), seed=seed)
    answer = cr.whatif(world.windows, network, do={"batch_size": value}, seed=seed)
    mean = {(q, s): m for q, s, m in answer.frame().select("quantity", "scenario", "mean").rows()}
    low, high = answer.select(quantity="burn", scenario="difference").frame(0.9).select("low", "high").row(0)
    spent = answer.select(quantity="spent", scenario="changed").draws[:, -1]
    effect = world.burn[1] - world.burn[0]
    seen = world.windows.table
    pace = float(seen["ttft.bad"].sum()) / float(seen["ttft.total"].sum()) / world.windows.slo("ttft").allowed
    return Told(
        decision=answer.decision,
        risk=mean["harm", "changed"],
        harmed=bool(world.spent[1] > 1 and world.spent[1] > world.spent[0]),
        chance=mean["exhausted", "changed"],
        gone=bool(world.spent[1] > 1),
        inside=bool(low <= effect <= high),
        covered=float((spent < world.spent[1]).mean()),
        naive=float(pace > 1),
        bias=mean["burn", "difference"] - effect,
    )


def slope(chance: np.ndarray, happened: np.ndarray) -> tuple[float, float]:
    """Return the slope of the reliability line with its standard error (heteroscedasticity-consistent)."""
    x = np.column_stack([np.ones(len(chance)), chance])
    bread = np.linalg.inv(x.T @ x)
    weights = bread @ x.T @ happened
    spread = (x * (happened - x @ weights)[:, None]).T @ (x * (happened - x @ weights)[:, None])
    return float(weights[1]), float(np.sqrt((bread @ spread @ bread)[1, 1]))


def summarise(told: list[Told]) -> str:
    """Return the figures as lines."""
    at = {name: np.array([getattr(one, name) for one in told], dtype=object) for name in Told._fields}
    number = {name: values.astype(np.float64) for name, values in at.items() if name != "decision"}
    shipped = at["decision"] == "ship"
    lines = [", ".join(f"{name} {np.mean(at['decision'] == name):.1%}" for name in ("ship", "canary", "hold"))]
    if shipped.any():
        wrong, risk = number["harmed"][shipped].mean(), number["risk"][shipped]
        lines.append(
            f"of {shipped.sum()} shipped {wrong:.1%} did harm (se {np.sqrt(wrong * (1 - wrong) / shipped.sum()):.1%}); "
            f"stated {risk.mean():.1%} in the mean, {risk.max():.1%} at most"
        )
    for name, event in (("chance", "gone"), ("risk", "harmed")):
        line, error = slope(number[name], number[event])
        brier = float(((number[name] - number[event]) ** 2).mean())
        rate = number[event].mean()
        lines.append(
            f"P({event}): slope {line:.2f} (se {error:.2f}), Brier {brier:.3f}, skill "
            f"{1 - brier / (rate * (1 - rate)):.2f} over the base rate {rate:.2f}"
        )
    pace = float(((number["naive"] - number["gone"]) ** 2).mean())
    brier = float(((number["chance"] - number["gone"]) ** 2).mean())
    lines.append(f"Brier skill over the pace of the past (gone or not): {1 - brier / pace:.2f}")
    pit = number["covered"]
    lines.append(
        f"effect inside its 90% interval: {number['inside'].mean():.1%}, bias {number['bias'].mean():+.3f} times the "
        f"budget rate; spent inside its 90% interval: {np.mean((pit >= 0.05) & (pit <= 0.95)):.1%}"
    )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the figures of many rollouts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollouts", type=int, default=400)
    parser.add_argument("--first", type=int, default=90_000)
    asked = parser.parse_args()
    start = time.process_time()
    told = [tell(seed) for seed in range(asked.first, asked.first + asked.rollouts)]
    sys.stdout.write(f"{asked.rollouts} rollouts from seed {asked.first}\n{summarise(told)}")
    sys.stdout.write(f"{(time.process_time() - start) / asked.rollouts:.2f} CPU-s each\n")


if __name__ == "__main__":
    main()
