"""The inner loop of continuous batching on one node, compiled; it takes drawn numbers and holds no randomness.

Only :mod:`causalrel.simulation.engine` imports this module, and only when it runs, because numba loads with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: How a request ended.
SERVED, TIMEOUT, OOM = 0, 1, 2

#: Places in the state: active sequences, next arrival, preempted sequences, resident KV tokens.
_ACTIVE, _HEAD, _STACK, _RESIDENT = 0, 1, 2, 3


class Costs(NamedTuple):
    """Seconds and tokens of one iteration."""

    base_s: float
    prefill_s: float
    sequence_s: float
    kv_s: float
    chunk: int
    kv_tokens: int
    most_preemptions: int
    step_s: float


class Schedule(NamedTuple):
    """Conditions of the node at each step, and the KV tokens and running sequences found there."""

    batch: Ints
    prefill: Floats
    decode: Floats
    kv: Floats
    running: Floats


class Requests(NamedTuple):
    """What is asked of the node in order of arrival, and what became of it."""

    arrival: Floats
    patience: Floats
    prompt: Ints
    output: Ints
    start_s: Floats
    first_s: Floats
    end_s: Floats
    node_s: Floats
    made_tokens: Ints
    prefilled_tokens: Ints
    preemptions: Ints
    ending: Ints


class Room(NamedTuple):
    """Sequences in the batch (oldest first) and those pushed out of it."""

    active: Ints
    stack: Ints
    to_prefill: Ints


def _compiled[F: Callable[..., Any]](function: F) -> F:
    return cast("F", njit(cache=True)(function))


@_compiled
def _next(now: float, requests: Requests, room: Room, state: Ints, costs: Costs) -> int:
    """Return who is first in line, -1 where nobody is; end the requests that gave up or can never fit."""
    if state[_STACK] > 0:
        return int(room.stack[state[_STACK] - 1])
    while state[_HEAD] < requests.arrival.size:
        request = state[_HEAD]
        if requests.arrival[request] > now:
            return -1
        limit = requests.arrival[request] + requests.patience[request]
        if limit <= now:
            requests.ending[request] = TIMEOUT
            requests.end_s[request] = limit
        elif requests.prompt[request] >= costs.kv_tokens:
            requests.ending[request] = OOM
            requests.end_s[request] = now
        else:
            return int(request)
        state[_HEAD] += 1
    return -1


@_compiled
def _admit(now: float, batch: int, requests: Requests, room: Room, state: Ints, costs: Costs) -> None:
    """Take the first in line while batch and memory have room; its prompt's memory is taken at once."""
    while state[_ACTIVE] < batch:
        request = _next(now, requests, room, state, costs)
        if request < 0:
            return
        need = requests.prompt[request] + requests.made_tokens[request]
        if state[_ACTIVE] > 0 and state[_RESIDENT] + need + state[_ACTIVE] + 1 > costs.kv_tokens:
            return
        if state[_STACK] > 0:
            state[_STACK] -= 1
        else:
            state[_HEAD] += 1
            requests.start_s[request] = now
        room.active[state[_ACTIVE]] = request
        room.to_prefill[request] = need
        state[_ACTIVE] += 1
        state[_RESIDENT] += need


@_compiled
def _remove(place: int, requests: Requests, room: Room, state: Ints) -> int:
    """Take a sequence out of the batch and free its memory."""
    request = room.active[place]
    for later in range(place, state[_ACTIVE] - 1):
        room.active[later] = room.active[later + 1]
    state[_ACTIVE] -= 1
    state[_RESIDENT] -= requests.prompt[request] + requests.made_tokens[request]
    return int(request)


@_compiled
def _evict(now: float, requests: Requests, room: Room, state: Ints, costs: Costs) -> None:
    """Push out the newest sequence: it is computed anew later, or fails where that happened too often."""
    alone = state[_ACTIVE] == 1
    request = _remove(state[_ACTIVE] - 1, requests, room, state)
    requests.preemptions[request] += 1
    if alone or requests.preemptions[request] > costs.most_preemptions:
        requests.ending[request] = OOM
        requests.end_s[request] = now
        return
    room.stack[state[_STACK]] = request
    state[_STACK] += 1


@_compiled
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


@_compiled
def _until_next(now: float, head: int, requests: Requests) -> float:
    """Return when the first in line comes or, where memory keeps it out, gives up and lets the next one try."""
    wait = requests.arrival[head] - now
    return float(wait if wait > 0.0 else wait + requests.patience[head])


@_compiled
def _watch(now: float, then: float, resident: int, made: int, running: int, schedule: Schedule, step_s: float) -> None:
    """Note what is found at the steps between two moments."""
    step = int(np.ceil(now / step_s))
    while step < schedule.kv.size and step * step_s < then:
        schedule.kv[step] = resident + made * (step * step_s - now) / (then - now)
        schedule.running[step] = running
        step += 1


@_compiled
def _iterate(
    now: float, step: int, schedule: Schedule, requests: Requests, room: Room, state: Ints, costs: Costs
) -> float:
    """Run iterations until something changes; return the time after them."""
    count = state[_ACTIVE]
    prefilling = -1
    writing = 0
    least = np.int64(1 << 62)
    for place in range(count):
        request = room.active[place]
        if room.to_prefill[request] == 0:
            writing += 1
            least = min(least, requests.output[request] - requests.made_tokens[request])
        elif prefilling < 0:
            prefilling = request
    before = state[_RESIDENT]
    decode = schedule.decode[step]
    length = (costs.base_s + costs.sequence_s * count + costs.kv_s * before) / decode
    times = 1
    if prefilling >= 0:
        chunk = min(costs.chunk, room.to_prefill[prefilling])
        room.to_prefill[prefilling] -= chunk
        requests.prefilled_tokens[prefilling] += chunk
        then = now + length + costs.prefill_s * chunk / schedule.prefill[step]
    else:
        gap = (step + 1) * costs.step_s - now if step + 1 < schedule.batch.size else np.inf
        if count < schedule.batch[step] and state[_STACK] == 0 and state[_HEAD] < requests.arrival.size:
            gap = min(gap, _until_next(now, state[_HEAD], requests))
        more = costs.kv_s * writing / decode
        times = _leap(gap, length, more, min(least, (costs.kv_tokens - before) // writing))
        then = now + times * length + more * times * (times - 1) / 2.0
    _write(now, then, times, prefilling, requests, room, state)
    _watch(now, then, before, writing * times, count, schedule, costs.step_s)
    return float(then)


@_compiled
def _write(now: float, then: float, times: int, prefilled: int, requests: Requests, room: Room, state: Ints) -> None:
    """Give each writing sequence its tokens, start those whose prompt is read, and end those that are done."""
    share = (then - now) / state[_ACTIVE]
    for place in range(state[_ACTIVE] - 1, -1, -1):
        request = room.active[place]
        requests.node_s[request] += share
        if room.to_prefill[request] > 0:
            continue
        made = times if request != prefilled else 1
        if requests.made_tokens[request] == 0:
            requests.first_s[request] = then
        requests.made_tokens[request] += made
        state[_RESIDENT] += made
        if requests.made_tokens[request] >= requests.output[request]:
            requests.ending[request] = SERVED
            requests.end_s[request] = then
            _remove(place, requests, room, state)


@_compiled
def serve_node(requests: Requests, schedule: Schedule, room: Room, costs: Costs) -> None:
    """Serve a node's requests to the last one, writing what became of each into ``requests``.

    Between two events every iteration is as long as the one before plus a constant, so iterations of plain decoding are
    summed in closed form; the result is that of running them one by one.

    Parameters
    ----------
    requests : Requests
        Arrays of shape (n_requests,) in order of arrival.
    schedule : Schedule
        Arrays of shape (n_steps,); the last step lasts for ever.
    room : Room
        Work space: ``active`` as long as the largest batch, the others of shape (n_requests,).
    costs : Costs
        Costs of an iteration.

    Examples
    --------
    Two requests of 5 tokens meet in a batch of one, where a token takes a second:

    >>> none, whole = (lambda: np.zeros(2)), (lambda *values: np.array(values, dtype=np.int64))
    >>> asked = Requests(
    ...     none(),
    ...     none() + 60.0,
    ...     whole(1, 1),
    ...     whole(5, 5),
    ...     none(),
    ...     none(),
    ...     none(),
    ...     none(),
    ...     whole(0, 0),
    ...     whole(0, 0),
    ...     whole(0, 0),
    ...     whole(0, 0),
    ... )
    >>> plan = Schedule(whole(1), np.ones(1), np.ones(1), np.zeros(1), np.zeros(1))
    >>> serve_node(asked, plan, Room(whole(0), whole(0, 0), whole(0, 0)), Costs(1.0, 0.0, 0.0, 0.0, 512, 99, 3, 60.0))
    >>> asked.start_s.tolist(), asked.end_s.tolist()
    ([0.0, 5.0], [5.0, 10.0])
    """
    state = np.zeros(4, dtype=np.int64)
    now = 0.0
    while True:
        step = min(int(now / costs.step_s), schedule.batch.size - 1)
        _admit(now, schedule.batch[step], requests, room, state, costs)
        if state[_ACTIVE] == 0:
            if state[_HEAD] >= requests.arrival.size and state[_STACK] == 0:
                return
            if state[_STACK] == 0:
                now = max(now, requests.arrival[state[_HEAD]])
            continue
        while state[_ACTIVE] > 0 and state[_RESIDENT] + state[_ACTIVE] > costs.kv_tokens:
            _evict(now, requests, room, state, costs)
        if state[_ACTIVE] > 0:
            now = _iterate(now, step, schedule, requests, room, state, costs)
