"""Call graphs with faults in nodes that are known: services that call each other, watched window by window."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from causalrel.incidents.panels import Panel

if TYPE_CHECKING:
    from numpy.typing import NDArray

Fault = Literal["delay", "failures", "cpu", "more calls", "early return", "none"]
FAULTS: tuple[Fault, ...] = ("delay", "failures", "cpu", "more calls", "early return", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Two periods of one call graph, and the node at fault; None where there is no fault.

    Node 0 is the entry; ``pairs`` are caller and callee, callers before callees.
    """

    now: Panel
    normal: Panel
    pairs: tuple[tuple[int, int], ...]
    cause: int | None
    fault: Fault
    days: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _World:
    """What does not change but for the drift between periods."""

    pairs: tuple[tuple[int, int], ...]
    calls: NDArray[np.float64]
    passed: NDArray[np.float64]
    own: NDArray[np.float64]
    fails: NDArray[np.float64]
    jitter: NDArray[np.float64]
    mix: NDArray[np.float64]
    traffic: float
    power: NDArray[np.float64]
    memory: NDArray[np.float64]
    shown: bool
    others: NDArray[np.float64]


def draw_incident(seed: int, fault: Fault | None = None) -> Incident:
    """Draw a call graph of 6 to 40 nodes, a normal period, and an incident of 4 to 8 windows in one of its nodes.

    Three faults in ten are as large as the node's own symptom makes them, and may not reach the entry.
    """
    rng = np.random.default_rng([seed, 77])
    kind = fault or FAULTS[rng.choice(len(FAULTS), p=[0.26, 0.18, 0.12, 0.07, 0.07, 0.3])]
    world = _world(rng)
    on = "failures" if kind == "failures" else "latency"
    if kind == "none":
        on = "failures" if rng.random() < 0.4 else "latency"
    far = rng.random() < 0.5
    days = float(rng.uniform(30, 200)) if far else float(rng.uniform(0, 2))
    later = _drifted(world, rng, 0.2 if far else 0.03)
    visits = _visits(world)
    reached = np.flatnonzero(visits > 0.02)
    callers = np.intersect1d(reached, [caller for caller, _ in world.pairs])
    cause = None
    hidden = kind in ("delay", "cpu", "failures") and rng.random() < 0.3
    if kind != "none":
        cause = int(
            rng.choice(callers if kind in ("more calls", "early return") else _busy(world) if hidden else reached)
        )
    rows = int(rng.integers(4, 9))
    clean = int(rng.integers(0, 3)) if rows > 4 else 0
    size = float(np.exp(rng.uniform(np.log(0.2), np.log(10.0))))
    normal = _watch(world, int(np.exp(rng.uniform(np.log(12), np.log(400)))), on, rng)
    now = _watch(later, rows, on, rng, (kind, cause, clean, size, hidden))
    return Incident(now=now, normal=normal, pairs=world.pairs, cause=cause, fault=kind, days=days)


def _world(rng: np.random.Generator) -> _World:
    size = int(rng.integers(6, 41))
    pairs = [(int(rng.integers(max(0, node - 8), node)), node) for node in range(1, size)]
    for _ in range(int(rng.integers(0, size // 2 + 1))):
        callee = int(rng.integers(2, size))
        pairs.append((int(rng.integers(0, callee)), callee))
    pairs = sorted(set(pairs))
    calls = np.exp(rng.normal(-0.5, 0.8, len(pairs)))
    late = rng.random(len(pairs)) < 0.1
    rare = (calls < 0.3) & (rng.random() < 0.3)
    passed = np.where(late | rare, 0.0, rng.choice([1.0, 1.0, 0.7], len(pairs)))
    return _World(
        pairs=tuple(pairs),
        calls=calls,
        passed=passed,
        own=np.exp(rng.normal(-4.5, 1.2, size)),
        fails=np.where(rng.random(size) < 0.4, np.exp(rng.normal(-7, 1, size)), 0.0),
        jitter=np.exp(rng.normal(-2.3, 0.6, size)),
        mix=np.exp(rng.normal(-2.5, 0.6, len(pairs))),
        traffic=float(np.exp(rng.uniform(np.log(30), np.log(6000)))),
        power=rng.uniform(0.6, 1.0, size),
        memory=np.exp(rng.normal(3, 1, size)),
        shown=rng.random() < 0.6,
        others=np.exp(rng.normal(-1.5, 1, (int(rng.integers(0, 7)), size))),
    )


def _visits(world: _World) -> NDArray[np.float64]:
    """How much of one unit at a node reaches the entry, for each of its requests."""
    visits = np.zeros(len(world.own))
    visits[0] = 1.0
    for e, (caller, callee) in enumerate(world.pairs):
        visits[callee] += visits[caller] * world.calls[e] * world.passed[e]
    return visits


def _busy(world: _World) -> NDArray[np.intp]:
    """Nodes called at least once in twenty requests, whatever of it reaches the entry."""
    return np.flatnonzero(_visits(replace(world, passed=np.ones(len(world.pairs)))) > 0.05)


def _others(
    rng: np.random.Generator, rows: int, size: int, noise: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Columns that no fault moves, now and then far from their usual."""
    made = {}
    for number, spread in enumerate(noise):
        far = np.where(rng.random((rows, size)) < 0.02, rng.normal(0, 1, (rows, size)), 0.0)
        made[f"other {number}"] = np.exp(_remembering(rng, rows, size) * spread + far)
    return made


def _drifted(world: _World, rng: np.random.Generator, by: float) -> _World:
    """Return the same world at another time: every scale moved by itself, most a little and a few far."""

    def moved(scale: NDArray[np.float64]) -> NDArray[np.float64]:
        return scale * np.exp(by * rng.standard_t(3, len(scale)))

    return replace(
        world,
        calls=moved(world.calls),
        own=moved(world.own),
        fails=moved(world.fails),
        memory=moved(world.memory),
        traffic=world.traffic * float(np.exp(rng.normal(0, 2 * by))),
    )


def _watch(
    world: _World,
    rows: int,
    on: str,
    rng: np.random.Generator,
    doing: tuple[Fault, int | None, int, float, bool] = ("none", None, 0, 0.0, False),
) -> Panel:
    kind, cause, clean, strength, hidden = doing
    size = len(world.own)
    hit = (np.arange(rows) >= clean)[:, None] & (np.arange(size) == (-1 if cause is None else cause))
    hour = np.arange(rows) / 12 + rng.uniform(0, 24)
    load = np.zeros((rows, size))
    load[:, 0] = rng.poisson(world.traffic * (1 + 0.4 * np.sin(hour * np.pi / 12)) * np.exp(rng.normal(0, 0.1, rows)))
    rates = world.calls * np.exp(rng.normal(0, 1, (rows, len(world.pairs))) * world.mix)
    favoured = {caller: rng.random() < 0.5 for caller, _ in world.pairs}
    for e, (caller, callee) in enumerate(world.pairs):
        if kind == "more calls":
            rates[:, e] *= np.where(hit[:, caller], 1 + strength, 1.0)
        if kind == "early return" and (favoured[caller] or caller != cause or e % 2):
            rates[:, e] *= np.where(hit[:, caller], max(0.0, 1 - 0.5 * strength), 1.0)
        load[:, callee] += rng.poisson(rates[:, e] * load[:, caller])
    own = world.own * np.exp(_remembering(rng, rows, size) * world.jitter)
    own *= np.exp(rng.normal(0, 1, (rows, size)) / np.sqrt(np.maximum(load, 1)))
    cpu = 0.02 * load**world.power * np.exp(rng.normal(0, 0.15, (rows, size)))
    memory = world.memory * np.exp(_remembering(rng, rows, size) * 0.05)
    fails = np.broadcast_to(world.fails, (rows, size)).copy()
    if kind in ("delay", "cpu"):
        level = _summed(world, world.own[None], world.calls[None])[0]
        own = own + np.where(hit, strength * (level if hidden else level[0] / np.maximum(_visits(world), 0.02)), 0.0)
    if kind == "cpu":
        cpu = np.where(hit, cpu * (1.5 + strength), cpu)
    if kind == "failures":
        share = 0.02 * strength / (1.0 if hidden else np.maximum(_visits(world), 0.02))
        fails = np.where(hit, np.minimum(fails + share, 0.9), fails)
    symptom = _summed(world, own, rates) if on == "latency" else _failed(world, fails, rates, load, rng)
    idle = (load == 0) | (rng.random((rows, size)) < 0.01)
    idle[:, 0] = load[:, 0] == 0
    symptom = np.where(idle, np.nan, symptom)
    local = {"cpu": cpu, "memory": memory} | _others(rng, rows, size, world.others) if world.shown else {}
    return Panel(symptom=symptom, calls=load, local=local, counted=on == "failures")


def _remembering(rng: np.random.Generator, rows: int, size: int) -> NDArray[np.float64]:
    noise = rng.normal(0, 1, (rows, size))
    for row in range(1, rows):
        noise[row] = 0.6 * noise[row - 1] + 0.8 * noise[row]
    return noise


def _summed(world: _World, own: NDArray[np.float64], rates: NDArray[np.float64]) -> NDArray[np.float64]:
    total = own.copy()
    for e in np.argsort([-caller for caller, _ in world.pairs], kind="stable"):
        caller, callee = world.pairs[e]
        total[:, caller] += world.passed[e] * rates[:, e] * total[:, callee]
    return total


def _failed(
    world: _World,
    fails: NDArray[np.float64],
    rates: NDArray[np.float64],
    load: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    chance = np.minimum(_summed(world, fails, rates), 1.0)
    seen = rng.binomial(load.astype(int), chance)
    return np.divide(seen, load, out=np.full_like(load, np.nan), where=load > 0)
