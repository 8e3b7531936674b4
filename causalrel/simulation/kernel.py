"""The inner loop of a node with continuous batching, compiled; it takes drawn numbers and holds no randomness.

One node, from its queue to its last token; :mod:`causalrel.simulation.gateway` sends requests to nodes. Only
:mod:`causalrel.simulation.engine` imports the two, and only when it runs, because numba loads with them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

#: How a request ended.
SERVED, TIMEOUT, OOM, QUOTA, OVERLOADED, UNAVAILABLE = 0, 1, 2, 3, 4, 5

#: Where a request is.
AWAY, WAITING, ACTIVE, PUSHED, DONE = 0, 1, 2, 3, 4

#: In place of the tokens still to read: the last of them is read in this iteration.
READ_NOW = -1


def _record(floats: str, whole: str) -> np.dtype[np.void]:
    return np.dtype([(name, "f8") for name in floats.split()] + [(name, "i8") for name in whole.split()])


#: A request: what is asked, what became of it, and where it is now, its neighbours in line too.
REQUEST = _record(
    "arrival patience route_0 route_1 prefix_draw start_s first_s end_s stall_s node_s read_s last_s",
    "tenant prompt output prefix node made read cached preemptions attempts ending later earlier to_read status",
)

#: A node now: sequences in its batch, their tokens, its queue and those pushed out of the batch, tokens in its cache.
NODE = _record("now", "count resident waiting head tail top cache")

#: A combination of settings: limits, costs in seconds, memory and cache in tokens.
MODE = _record("base weights prefill attend sequence kv reuse", "batch tokens chunked admit room cache")

#: Conditions of a node at a step.
PLAN = _record("prefill decode", "mode accepts")

#: What an observer finds at a node at a step, or adds up during it.
SEEN = _record("kv busy_s reading_s", "running_change waiting_change made read cached preempted")

#: Limits of a tenant, and what is left of its quota since when.
TENANT = _record("backoff_s quota_per_s quota_burst left since", "retries")

#: A moment at which a client tries again or gives up.
TIMER = _record("at", "key")

Records = NDArray[np.void]


class World(NamedTuple):
    """Everything the loop reads and writes.

    ``active`` has shape (n_nodes, widest batch), ``plan`` and ``seen`` (n_nodes, n_steps), ``prefix_used`` (n_nodes,
    n_prefixes); ``timers`` is a binary heap of ``heap[0]`` entries.
    """

    requests: Any
    nodes: Any
    active: Any
    modes: Any
    plan: Any
    seen: Any
    tenants: Any
    timers: Any
    heap: Any
    prefix_used: Any
    prefix_tokens: Any
    step_s: float
    most_preemptions: int
    two_choices: bool


def compiled[F: Callable[..., Any]](function: F) -> F:
    """Compile a function at its first call."""
    return cast("F", njit(cache=True)(function))


@compiled
def unlink(world: World, node: int, request: int, now: float) -> None:
    """Take a request out of its node's queue."""
    here, it = world.nodes[node], world.requests[request]
    if it.earlier >= 0:
        world.requests[it.earlier].later = it.later
    else:
        here.head = it.later
    if it.later >= 0:
        world.requests[it.later].earlier = it.earlier
    else:
        here.tail = it.earlier
    here.waiting -= 1
    step = int(np.ceil(now / world.step_s))
    if step < world.seen.shape[1]:
        world.seen[node, step].waiting_change -= 1


@compiled
def drop(world: World, node: int, place: int, now: float) -> int:
    """Take a sequence out of the batch and free its memory."""
    here, active = world.nodes[node], world.active[node]
    request = active[place]
    for later in range(place, here.count - 1):
        active[later] = active[later + 1]
    here.count -= 1
    here.resident -= world.requests[request].prompt + world.requests[request].made
    step = int(np.ceil(now / world.step_s))
    if step < world.seen.shape[1]:
        world.seen[node, step].running_change -= 1
    return int(request)


@compiled
def finish(world: World, request: int, ending: int, moment: float) -> None:
    """End a request for good."""
    it = world.requests[request]
    it.ending = ending
    it.end_s = moment
    it.status = DONE


@compiled
def _look_up(world: World, node: int, prefix: int, room: int, now: float) -> int:
    """Return the tokens of a beginning that the node's cache holds; keep it there, the least recently used make way."""
    here, used, lengths = world.nodes[node], world.prefix_used[node], world.prefix_tokens
    if room < lengths[prefix]:
        return 0
    if used[prefix] >= 0.0:
        used[prefix] = now
        return int(lengths[prefix])
    while here.cache + lengths[prefix] > room:
        oldest, place = np.inf, -1
        for other in range(used.size):
            if used[other] >= 0.0 and used[other] < oldest:
                oldest, place = used[other], other
        used[place] = -1.0
        here.cache -= lengths[place]
    used[prefix] = now
    here.cache += lengths[prefix]
    return 0


@compiled
def _first_in_line(world: World, node: int, room: int, now: float) -> int:
    """Return who is first in line, -1 where nobody is; end the requests that can never fit."""
    here = world.nodes[node]
    if here.top >= 0:
        return int(here.top)
    while here.head >= 0:
        request = here.head
        if world.requests[request].prompt < room:
            return int(request)
        unlink(world, node, request, now)
        finish(world, request, OOM, now)
    return -1


@compiled
def _admit(world: World, node: int, mode: int, now: float) -> None:
    """Take the first in line while batch and memory have room; its prompt's memory is taken at once."""
    here, limits = world.nodes[node], world.modes[mode]
    while here.count < limits.batch:
        request = _first_in_line(world, node, limits.room, now)
        if request < 0:
            return
        it = world.requests[request]
        need = it.prompt + it.made
        if here.count > 0 and here.resident + need + here.count + 1 > limits.room:
            return
        if it.status == PUSHED:
            here.top = it.later
        else:
            unlink(world, node, request, now)
            it.start_s = now
        cached = 0
        if it.prefix >= 0 and it.prefix_draw < limits.reuse:
            cached = min(_look_up(world, node, it.prefix, limits.cache, now), it.prompt - 1)
        it.cached = cached
        it.status = ACTIVE
        it.to_read = need - cached
        world.active[node, here.count] = request
        here.count += 1
        here.resident += need
        if int(now / world.step_s) < world.seen.shape[1]:
            world.seen[node, int(now / world.step_s)].cached += cached
        if int(np.ceil(now / world.step_s)) < world.seen.shape[1]:
            world.seen[node, int(np.ceil(now / world.step_s))].running_change += 1


@compiled
def _evict(world: World, node: int, now: float) -> None:
    """Push out the newest sequence: it is computed anew later, or fails where that happened too often."""
    here = world.nodes[node]
    alone = here.count == 1
    request = drop(world, node, here.count - 1, now)
    it = world.requests[request]
    it.preemptions += 1
    if int(now / world.step_s) < world.seen.shape[1]:
        world.seen[node, int(now / world.step_s)].preempted += 1
    if alone or it.preemptions > world.most_preemptions:
        finish(world, request, OOM, now)
        return
    it.status = PUSHED
    it.later = here.top
    here.top = request


@compiled
def _leap(gap: float, first: float, more: float, most: int) -> int:
    """Return how many iterations, the i-th of ``first + i * more`` seconds, fill ``gap`` seconds, or ``most``."""
    if gap <= first:
        return 1
    if more > 0.0:
        half = first - 0.5 * more
        count = (-half + np.sqrt(half * half + 2.0 * more * gap)) / more
    else:
        count = gap / first
    return int(max(1.0, min(float(most), np.ceil(count))))


@compiled
def _read_prompts(world: World, node: int, mode: int, writing: int, speed: float) -> tuple[int, int, float]:
    """Hand an iteration's tokens to unread prompts, oldest first; return tokens read and the seconds of attention.

    A prompt may be cut where prefill is chunked (https://arxiv.org/abs/2403.02310); else whole prompts are read.
    """
    limits, taken, done, attending = world.modes[mode], 0, 0, 0.0
    whole = limits.chunked == 0
    budget = limits.tokens if whole else max(1, limits.tokens - writing)
    for place in range(world.nodes[node].count):
        it = world.requests[world.active[node, place]]
        left = it.to_read
        if left <= 0:
            continue
        chunk = left if whole else min(left, budget - taken)
        if chunk <= 0 or (whole and taken > 0 and taken + chunk > budget):
            break
        before = it.prompt + it.made - left
        pairs_s = limits.attend * chunk * (before + 0.5 * chunk) / speed
        taken += chunk
        done += left == chunk
        attending += pairs_s
        it.to_read = READ_NOW if left == chunk else left - chunk
        it.read += chunk
        it.read_s += limits.prefill * chunk / speed + pairs_s
    return taken, done, attending


@compiled
def _watch(world: World, node: int, now: float, then: float, reading: float, made: int, read: int) -> None:
    """Note the memory found at the steps between two moments, and add up the work begun at the first."""
    seen, step_s, before = world.seen, world.step_s, world.nodes[node].resident
    step = int(now / step_s)
    if step < seen.shape[1]:
        seen[node, step].busy_s += then - now
        seen[node, step].reading_s += min(reading, then - now)
        seen[node, step].made += made
        seen[node, step].read += read
    step = int(np.ceil(now / step_s))
    while step < seen.shape[1] and step * step_s < then:
        seen[node, step].kv = before + made * (step * step_s - now) / (then - now)
        step += 1


@compiled
def _iterate(world: World, node: int, mode: int, now: float, step: int, until: float) -> float:
    """Run iterations until something changes or a moment is reached; return the time after them."""
    here, costs, speed = world.nodes[node], world.modes[mode], world.plan[node, step]
    writing, written, least = 0, 0, np.int64(1 << 62)
    for place in range(here.count):
        it = world.requests[world.active[node, place]]
        if it.to_read == 0:
            writing += 1
            written += it.prompt + it.made
            least = min(least, it.output - it.made)
    taken, done, attending = 0, 0, 0.0
    if writing < here.count:
        taken, done, attending = _read_prompts(world, node, mode, writing, speed.prefill)
        if costs.chunked == 0:
            writing, written = 0, 0
    multiplying = costs.prefill * taken / speed.prefill
    through = max(costs.weights / speed.decode, multiplying + costs.sequence * writing / speed.decode)
    length = (costs.base + costs.kv * written) / speed.decode + through + attending
    times, more = 1, 0.0
    if taken == 0:
        if step + 1 < world.plan.shape[1]:
            until = min(until, (step + 1) * world.step_s)
        more = costs.kv * writing / speed.decode
        times = _leap(until - now, length, more, min(least, (costs.room - here.resident) // writing))
    then = now + times * length + more * times * (times - 1) / 2.0
    _watch(world, node, now, then, multiplying + attending, writing * times + done, taken)
    _write(world, node, then, length, more, times, taken > 0 and costs.chunked == 0)
    return float(then)


@compiled
def _write(world: World, node: int, then: float, length: float, more: float, times: int, only_reading: bool) -> None:
    """Give each writing sequence its tokens, start those whose prompt is read, and end those that are done."""
    here = world.nodes[node]
    last = length + more * (times - 1)
    first = then - times * length - more * times * (times - 1) / 2.0 + length
    share = (then - first + length) / here.count
    for place in range(here.count - 1, -1, -1):
        request = world.active[node, place]
        it = world.requests[request]
        it.node_s += share
        left = it.to_read
        if left > 0 or (left == 0 and only_reading):
            continue
        made = times
        if left < 0:
            it.to_read = 0
            made = 1
        if it.made == 0:
            it.first_s = then
        else:
            it.stall_s = max(it.stall_s, first - it.last_s)
            if times > 1:
                it.stall_s = max(it.stall_s, last)
        it.last_s = then
        it.made += made
        here.resident += made
        if it.made >= it.output:
            finish(world, request, SERVED, then)
            drop(world, node, place, then)


@compiled
def advance(world: World, node: int, until: float) -> None:
    """Let a node work until a moment; an iteration under way then is finished.

    Between two events every iteration is as long as the one before plus a constant, so iterations of plain decoding are
    summed in closed form; the result is that of running them one by one.
    """
    here = world.nodes[node]
    while here.now < until:
        step = min(int(here.now / world.step_s), world.plan.shape[1] - 1)
        mode = world.plan[node, step].mode
        _admit(world, node, mode, here.now)
        if here.count == 0:
            here.now = until
            return
        if here.resident + here.count > world.modes[mode].room:
            _evict(world, node, here.now)
        else:
            here.now = _iterate(world, node, mode, here.now, step, until)
