"""Workload: who asks for what and when, drawn before anything serves it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from causalrel.simulation.scenario import Lengths, Load, Scenario, Tenant

_DAY = 86_400.0
_CELL = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Requests in order of arrival; every array has shape (n_requests,).

    Parameters
    ----------
    time_s : ndarray of float64
        Seconds since the start.
    node : ndarray of int64
        Node it is routed to, whatever the state of the nodes.
    tenant : ndarray of int64
        Position in the scenario's tenants.
    prompt_tokens, output_tokens : ndarray of int64
        Tokens to read and to write.
    patience_s : ndarray of float64
        How long its client waits in a queue.

    Examples
    --------
    >>> from causalrel.simulation.scenario import load_scenario
    >>> work = draw_workload(load_scenario("llm-canary"), 86_400.0, *np.random.default_rng(0).spawn(2))
    >>> bool((np.diff(work.time_s) >= 0).all())
    True
    """

    time_s: NDArray[np.float64]
    node: NDArray[np.int64]
    tenant: NDArray[np.int64]
    prompt_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    patience_s: NDArray[np.float64]


def draw_workload(
    scenario: Scenario, span_s: float, arrivals: np.random.Generator, lengths: np.random.Generator
) -> Workload:
    """Draw every request of a span.

    Parameters
    ----------
    scenario : Scenario
        The service.
    span_s : float
        Seconds of arrivals.
    arrivals, lengths : numpy.random.Generator
        Two streams, so that lengths stay when arrivals do.

    Returns
    -------
    Workload
        Requests in order of arrival: a Poisson process whose rate follows :func:`expected_rate` times a gamma variable
        of mean 1 for each stretch of ``burst_every`` (a Cox process, https://doi.org/10.1111/j.2517-6161.1955.tb00188.x).

    Examples
    --------
    >>> from causalrel.simulation.scenario import load_scenario
    >>> work = draw_workload(load_scenario("llm-canary"), 86_400.0, *np.random.default_rng(0).spawn(2))
    >>> int(work.prompt_tokens.min()) >= 64
    True
    """
    time_s = _draw_times(scenario.workload, scenario, span_s, arrivals)
    tenants = scenario.workload.tenants
    share = np.array([tenant.share for tenant in tenants])
    node = arrivals.integers(len(scenario.fleet.nodes), size=time_s.size)
    tenant = arrivals.choice(len(tenants), size=time_s.size, p=share / share.sum())
    noise = lengths.standard_normal((2, time_s.size))
    prompt = np.zeros(time_s.size, dtype=np.int64)
    output = np.zeros(time_s.size, dtype=np.int64)
    for place, whose in enumerate(tenants):
        mine = tenant == place
        prompt[mine], output[mine] = _draw_lengths(whose, noise[:, mine])
    patience = np.array([whose.timeout.total_seconds() for whose in tenants])
    return Workload(
        time_s=time_s,
        node=node,
        tenant=tenant,
        prompt_tokens=prompt,
        output_tokens=output,
        patience_s=patience[tenant],
    )


def expected_rate(scenario: Scenario, time_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the arrival rate of the fleet without bursts: growth, the day and the week.

    Parameters
    ----------
    scenario : Scenario
        The service.
    time_s : ndarray of float64
        Seconds since the start.

    Returns
    -------
    ndarray of float64
        Requests a second, in the shape of ``time_s``.

    Examples
    --------
    >>> from causalrel.simulation.scenario import load_scenario
    >>> night, noon = expected_rate(load_scenario("llm-canary"), np.array([2.0, 14.0]) * 3600)
    >>> bool(noon > 2 * night)
    True
    """
    load = scenario.workload
    midnight = scenario.start.replace(hour=0, minute=0, second=0, microsecond=0)
    clock = time_s + (scenario.start - midnight).total_seconds()
    hour = clock / 3600.0 % 24.0
    weekday = (np.floor(clock / _DAY).astype(np.int64) + midnight.weekday()) % 7
    day = 1.0 + load.daily_swing * np.cos(2.0 * np.pi * (hour - load.peak_hour) / 24.0)
    week = np.where(weekday >= 5, load.weekend, 1.0)
    rate: NDArray[np.float64] = load.requests_per_s * day * week * (1.0 + load.growth_per_day) ** (time_s / _DAY)
    return rate


def _draw_times(load: Load, scenario: Scenario, span_s: float, rng: np.random.Generator) -> NDArray[np.float64]:
    edges = np.arange(int(np.ceil(span_s / _CELL))) * _CELL
    width = np.minimum(span_s - edges, _CELL)
    mean = expected_rate(scenario, edges + width / 2.0) * width
    if load.burst_shape is not None:
        stretch = (edges / load.burst_every.total_seconds()).astype(np.int64)
        mean *= rng.gamma(load.burst_shape, 1.0 / load.burst_shape, size=int(stretch[-1]) + 1)[stretch]
    cell = np.repeat(np.arange(edges.size), rng.poisson(mean))
    return np.sort(edges[cell] + rng.random(cell.size) * width[cell])


def _draw_lengths(tenant: Tenant, noise: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rho = tenant.correlation
    second = rho * noise[0] + np.sqrt(1.0 - rho * rho) * noise[1]
    return _tokens(tenant.prompt_tokens, noise[0]), _tokens(tenant.output_tokens, second)


def _tokens(lengths: Lengths, noise: NDArray[np.float64]) -> NDArray[np.int64]:
    if lengths.family == "exponential":
        from scipy.special import log_ndtr

        drawn = -log_ndtr(-noise) * lengths.median / np.log(2.0)
    else:
        drawn = lengths.median * np.exp(lengths.sigma * noise)
    tokens: NDArray[np.int64] = np.clip(np.rint(drawn), lengths.least, lengths.most).astype(np.int64)
    return tokens
