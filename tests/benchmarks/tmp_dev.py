"""Root causes of incidents: public issues with known causes, quiet spans, and call graphs held back.

Run ``PYTHONPATH=tests python tests/benchmarks/bench_incidents.py WHAT [seed]`` from the checkout; WHAT is
petshop, quiet, nezha, simulated or requests.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import timedelta

import numpy as np
from call_graphs import draw_incident
from real_incidents import Case, nezha_cases, petshop_cases, petshop_graph, petshop_normal
from request_worlds import world

import causalrel as cr
from causalrel.incidents import NONE
from causalrel.incidents.signs import read_signs
from causalrel.incidents.weights import chances

REQUESTS = (0, 30)
SCENARIOS = ("low_traffic", "high_traffic")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


def petshop(seed: int) -> None:
    """The issues that have a normal period, by symptom; the others are held against the low traffic's."""
    ranks: dict[str, list[int]] = {}
    for scenario in (*SCENARIOS, "temporal_traffic1", "temporal_traffic2"):
        normal = petshop_normal(scenario if scenario in SCENARIOS else "low_traffic")
        for case in petshop_cases(scenario, normal):
            ranks.setdefault(f"{scenario} {case.on}", []).append(one(case, seed))
    for name, found in ranks.items():
        tell(name, found)
    tell("all with a normal period", [r for name, found in ranks.items() if name.startswith(SCENARIOS) for r in found])


def nezha(seed: int) -> None:
    """Every fault; first the half the harness was built on (0), then the other (1)."""
    for half in (0, 1):
        for system in ("onlineboutique", "trainticket"):
            tell(f"nezha {system} half {half}", [one(case, seed) for case in nezha_cases(system, half)])


def one(case: Case, seed: int) -> int:
    """Return the rank of the node that was hurt, none of these left out; 99 where there is no answer."""
    start = time.process_time()
    answer = cr.blame(
        case.windows, case.graph, during=case.during, normal=case.normal, on=case.on, at=case.at, seed=seed
    )
    spent = time.process_time() - start
    if answer.verdict == "refused":
        say(f"  {case.name}: refused: {answer.why}")
        return 99
    frame = answer.frame()
    nodes = [node for node in frame["node"] if node != NONE]
    rank = nodes.index(case.cause) + 1
    mean = dict(zip(frame["node"], frame["mean"], strict=True))
    first = frame["node"][0]
    say(f"  {case.name}: rank {rank}, {mean[case.cause]:.2f}; first {first} {mean[first]:.2f}; {spent:.2f} CPU-s")
    return rank


def tell(name: str, ranks: list[int]) -> None:
    top = [np.mean(np.array(ranks) <= k) for k in (1, 3)]
    say(f"{name}: {len(ranks)} issues, top-1 {top[0]:.3f}, top-3 {top[1]:.3f}")


def quiet(seed: int) -> None:
    """Spans of five windows without an issue, 40 of each traffic and symptom, against the rest of the day before."""
    for scenario in SCENARIOS:
        windows, graph = petshop_normal(scenario), petshop_graph(scenario)
        first, last = windows.span
        half = first + (last - first) / 2
        for on in ("latency", "availability"):
            none = []
            for step in range(40):
                start = half + timedelta(minutes=30 * step + 30)
                answer = cr.blame(
                    windows,
                    graph,
                    during=(start, start + timedelta(minutes=25)),
                    normal=(first, half),
                    on=on,
                    at="PetSite",
                    seed=seed,
                )
                none.append(answer.terms["node"][0] == NONE)
            say(f"quiet {scenario} {on}: {len(none)} spans, none of these {np.mean(none):.3f}")


def simulated(seed: int) -> None:
    """400 call graphs that nobody looked at."""
    rows = []
    for number in range(60_000, 60_400):
        incident = draw_incident(number)
        features = read_signs(incident.now, incident.normal, incident.pairs, 0, incident.days).features()
        mean = chances(features, 200, seed).mean(axis=0)
        true = len(mean) - 1 if incident.cause is None else incident.cause
        nodes = int(mean[:-1].argmax()) == true
        rows.append((incident.fault, incident.days > 5, mean.max(), mean.argmax() == true, nodes))
    for fault in sorted({row[0] for row in rows}):
        for far in (False, True):
            part = [row for row in rows if row[0] == fault and row[1] == far]
            right, nodes = (np.mean([row[k] for row in part]) for k in (3, 4))
            when = "months away" if far else "days away"
            say(f"{fault}, normal {when}: {len(part)}, right {right:.2f}, first of the nodes {nodes:.2f}")
    sure, right = (np.array([row[k] for row in rows], dtype=float) for k in (2, 3))
    tenth = np.minimum((sure * 10).astype(int), 9)
    held = [tenth == k for k in range(10) if (tenth == k).any()]
    error = sum(abs(sure[mask].mean() - right[mask].mean()) * mask.mean() for mask in held)
    say(f"all: right {right.mean():.3f}, expected calibration error {error:.3f}")


def requests(seed: int) -> None:
    """One request of a thousand, in 60 services that nobody looked at."""
    rows = []
    for number in range(*REQUESTS):
        made, start = world(number), time.process_time()
        answer = cr.blame(made.requests, made.graph, during="r0", on="ttft_s", seed=seed)
        spent = time.process_time() - start
        first, true = answer.terms["node"][0], made.cause or NONE
        rows.append((made.cause is None, first == true, float(answer.draws.mean(axis=0)[0]), spent))
    for quiet, name in ((False, "with a cause"), (True, "without")):
        right = [row[1] for row in rows if row[0] == quiet]
        say(f"requests {name}: {len(right)}, right {np.mean(right):.3f}")
    sure, right = (np.array([row[k] for row in rows], dtype=float) for k in (2, 1))
    tenth = np.minimum((sure * 10).astype(int), 9)
    held = [tenth == k for k in range(10) if (tenth == k).any()]
    error = sum(abs(sure[mask].mean() - right[mask].mean()) * mask.mean() for mask in held)
    say(f"calibration error {error:.3f}; {np.median([row[3] for row in rows]):.1f} CPU-s a request")


if __name__ == "__main__":
    asked = {"petshop": petshop, "quiet": quiet, "nezha": nezha, "simulated": simulated, "requests": requests}
    say(f"PYTHONHASHSEED={os.environ.get('PYTHONHASHSEED', 'random')}")
    asked[sys.argv[1]](int(sys.argv[2]) if len(sys.argv) > 2 else 0)
