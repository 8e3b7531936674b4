"""The gateway before a fleet, compiled: quotas, routing, clients that give up and try again, nodes that go down."""

from __future__ import annotations

from typing import Any

import numpy as np

from causalrel.simulation.kernel import (
    ACTIVE,
    AWAY,
    DONE,
    OVERLOADED,
    QUOTA,
    TIMEOUT,
    UNAVAILABLE,
    WAITING,
    World,
    advance,
    compiled,
    drop,
    finish,
    unlink,
)

_GOLDEN = 0.6180339887498949
_ATTEMPTS = 64  # more than a client ever makes


@compiled
def _less(timers: Any, one: int, other: int) -> bool:
    if timers[one].at != timers[other].at:
        return bool(timers[one].at < timers[other].at)
    return bool(timers[one].key < timers[other].key)


@compiled
def _swap(timers: Any, one: int, other: int) -> None:
    at, key = timers[one].at, timers[one].key
    timers[one].at, timers[one].key = timers[other].at, timers[other].key
    timers[other].at, timers[other].key = at, key


@compiled
def _push(world: World, moment: float, request: int, attempt: int, gives_up: int) -> None:
    timers, place = world.timers, world.heap[0]
    timers[place].at = moment
    timers[place].key = (request * _ATTEMPTS + attempt) * 2 + gives_up
    world.heap[0] += 1
    while place > 0 and _less(timers, place, (place - 1) // 2):
        _swap(timers, place, (place - 1) // 2)
        place = (place - 1) // 2


@compiled
def _pop(world: World) -> tuple[float, int]:
    timers = world.timers
    moment, key = timers[0].at, timers[0].key
    world.heap[0] -= 1
    last = world.heap[0]
    _swap(timers, 0, last)
    place = 0
    while True:
        least = place
        for child in (2 * place + 1, 2 * place + 2):
            if child < last and _less(timers, child, least):
                least = child
        if least == place:
            return moment, key
        _swap(timers, place, least)
        place = least


@compiled
def _fail(world: World, request: int, reason: int, moment: float) -> None:
    """End an attempt: its client tries again after a backoff that doubles, or gives up for good."""
    it = world.requests[request]
    whose = world.tenants[it.tenant]
    if it.attempts > whose.retries:
        finish(world, request, reason, moment)
        return
    jitter = 0.5 + (it.route_1 + _GOLDEN * it.attempts) % 1.0
    it.status = AWAY
    it.start_s = np.nan
    it.first_s = np.nan
    it.made = 0
    _push(world, moment + whose.backoff_s * 2.0 ** (it.attempts - 1) * jitter, request, it.attempts, 0)


@compiled
def _within_quota(world: World, tenant: int, moment: float) -> bool:
    """Take a token from the tenant's bucket, if there is one."""
    whose = world.tenants[tenant]
    whose.left = min(whose.quota_burst, whose.left + (moment - whose.since) * whose.quota_per_s)
    whose.since = moment
    if whose.left < 1.0:
        return False
    whose.left -= 1.0
    return True


@compiled
def _pick(world: World, draw: float, step: int) -> int:
    """Return the node that a uniform number picks among those that accept, -1 where none does."""
    count = 0
    for node in range(world.plan.shape[0]):
        count += world.plan[node, step].accepts
    place = int(draw * count)
    for node in range(world.plan.shape[0]):
        place -= world.plan[node, step].accepts
        if place < 0 and count > 0:
            return node
    return -1


@compiled
def _route(world: World, request: int, moment: float, step: int) -> int:
    """Return the node for a request: at random, or the less busy of two (Mitzenmacher 2001, doi:10.1109/71.963420)."""
    it = world.requests[request]
    turn = _GOLDEN * (it.attempts - 1)
    node = _pick(world, (it.route_0 + turn) % 1.0, step)
    if node < 0 or not world.two_choices:
        return int(node)
    other = _pick(world, (it.route_1 + turn) % 1.0, step)
    advance(world, node, moment)
    advance(world, other, moment)
    one, two = world.nodes[node], world.nodes[other]
    return int(other) if two.waiting + two.count < one.waiting + one.count else int(node)


@compiled
def _send(world: World, request: int, moment: float) -> None:
    """Send a request through the gateway into a queue."""
    it, step = world.requests[request], min(int(moment / world.step_s), world.plan.shape[1] - 1)
    it.attempts += 1
    if not _within_quota(world, it.tenant, moment):
        _fail(world, request, QUOTA, moment)
        return
    node = _route(world, request, moment, step)
    it.node = node
    if node < 0:
        _fail(world, request, UNAVAILABLE, moment)
        return
    advance(world, node, moment)
    here, limits = world.nodes[node], world.modes[world.plan[node, step].mode]
    if limits.admit > 0 and here.waiting >= limits.admit:
        _fail(world, request, OVERLOADED, moment)
        return
    it.earlier, it.later = here.tail, -1
    if here.tail >= 0:
        world.requests[here.tail].later = request
    else:
        here.head = request
    here.tail = request
    here.waiting += 1
    it.status = WAITING
    seen = int(np.ceil(moment / world.step_s))
    if seen < world.seen.shape[1]:
        world.seen[node, seen].waiting_change += 1
    _push(world, moment + it.patience, request, it.attempts, 1)


@compiled
def _take_back(world: World, request: int, moment: float) -> None:
    """Take a request out of its node, wherever it is there."""
    it = world.requests[request]
    here = world.nodes[it.node]
    if it.status == WAITING:
        unlink(world, it.node, request, moment)
    elif it.status == ACTIVE:
        place = 0
        while world.active[it.node, place] != request:
            place += 1
        drop(world, it.node, place, max(moment, here.now))
    elif here.top == request:
        here.top = it.later
    else:
        other = here.top
        while world.requests[other].later != request:
            other = world.requests[other].later
        world.requests[other].later = it.later


@compiled
def _give_up(world: World, request: int, attempt: int, moment: float) -> None:
    """Let a client go that has seen no token; an iteration under way then is finished first."""
    it = world.requests[request]
    if it.attempts != attempt or it.status == AWAY or it.status == DONE:
        return
    advance(world, it.node, moment)
    if it.status == DONE or it.made > 0:
        return
    _take_back(world, request, moment)
    _fail(world, request, TIMEOUT, moment)


@compiled
def _go_down(world: World, node: int, moment: float) -> None:
    """Fail everything on a node and forget its cache."""
    advance(world, node, moment)
    here = world.nodes[node]
    then = max(moment, here.now)
    while here.count > 0:
        _fail(world, drop(world, node, here.count - 1, then), UNAVAILABLE, then)
    while here.top >= 0:
        request = here.top
        here.top = world.requests[request].later
        _fail(world, request, UNAVAILABLE, then)
    while here.head >= 0:
        request = here.head
        unlink(world, node, request, moment)
        _fail(world, request, UNAVAILABLE, then)
    world.prefix_used[node, :] = -1.0
    here.cache = 0


@compiled
def serve_fleet(world: World, down_s: Any, down_node: Any) -> None:
    """Serve every request to its end, writing what became of it into the world.

    Nodes work independently between the moments at which something reaches them, so only the node concerned is brought
    to each moment.

    Parameters
    ----------
    world : World
        Conditions, and requests in order of arrival; the rest is written.
    down_s, down_node : ndarray
        When which nodes go down, in order.
    """
    arrived, fallen = 0, 0
    while True:
        arrival = world.requests[arrived].arrival if arrived < world.requests.size else np.inf
        fall = down_s[fallen] if fallen < down_s.size else np.inf
        timer = world.timers[0].at if world.heap[0] > 0 else np.inf
        first = min(arrival, fall, timer)
        if first == np.inf:
            break
        if fall == first:
            _go_down(world, down_node[fallen], first)
            fallen += 1
        elif timer == first:
            moment, key = _pop(world)
            request = key // (2 * _ATTEMPTS)
            if key % 2 == 0:
                _send(world, request, moment)
            else:
                _give_up(world, request, key // 2 % _ATTEMPTS, moment)
        else:
            _send(world, arrived, first)
            arrived += 1
    for node in range(world.nodes.size):
        advance(world, node, np.inf)
