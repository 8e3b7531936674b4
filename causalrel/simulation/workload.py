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
    route : ndarray of float64, shape (2, n_requests)
        Uniform numbers by which a router picks a node, whatever the state of the nodes.
    tenant : ndarray of int64
        Position in the scenario's tenants.
    prompt_tokens, output_tokens : ndarray of int64
        Tokens to read and to write.
    patience_s : ndarray of float64
        How long its client waits for a first token.
    prefix : ndarray of int64
        Shared beginning that its prompt may have, -1 for none.
    prefix_draw : ndarray of float64
        The prompt keeps its beginning where this is below the template's ``reuse``.
    fact_position : ndarray of float64
        Where in the prompt the answer lies, 0 to 1.

    Examples
    --------
    >>> from causalrel.simulation.runs import run_scenario
    >>> work = run_scenario("llm-canary", days=0.5).work
    >>> bool((np.diff(work.time_s) >= 0).all())
    True
    """

    time_s: NDArray[np.float64]
    route: NDArray[np.float64]
    tenant: NDArray[np.int64]
    prompt_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    patience_s: NDArray[np.float64]
    prefix: NDArray[np.int64]
    prefix_draw: NDArray[np.float64]
    fact_position: NDArray[np.float64]


def draw_workload(
    scenario: Scenario,
    span_s: float,
    arrivals: np.random.Generator,
    lengths: np.random.Generator,
    contents: np.random.Generator,
) -> Workload:
    """Draw every request of a span.

    Parameters
    ----------
    scenario : Scenario
        The service.
    span_s : float
        Seconds of arrivals.
    arrivals, lengths, contents : numpy.random.Generator
        Three streams, so that lengths stay when arrivals do.

    Returns
    -------
    Workload
        Requests in order of arrival: a Poisson process whose rate follows :func:`expected_rate` times a gamma variable
        of mean 1 for each stretch of ``burst_every`` (a Cox process, https://doi.org/10.1111/j.2517-6161.1955.tb00188.x).

    Examples
    --------
    >>> from causalrel.simulation.documents import load_scenario
    >>> work = draw_workload(load_scenario("llm-canary"), 86_400.0, *np.random.default_rng(0).spawn(3))
    >>> int(work.prompt_tokens.min()) >= 64
    True
    """
    time_s = _draw_times(scenario.workload, scenario, span_s, arrivals)
    tenants = scenario.workload.tenants
    share = np.array([tenant.share for tenant in tenants])
    nodes = len(scenario.fleet.nodes)
    node = arrivals.integers(nodes, size=time_s.size)
    tenant = arrivals.choice(len(tenants), size=time_s.size, p=share / share.sum())
    noise = lengths.standard_normal((2, time_s.size))
    prompt = np.zeros(time_s.size, dtype=np.int64)
    output = np.zeros(time_s.size, dtype=np.int64)
    uniform = contents.random((4, time_s.size))
    for place, whose in enumerate(tenants):
        mine = tenant == place
        longer = whose.long_context
        stretch = np.where(uniform[0, mine] < longer.share, longer.times, 1.0) if longer else np.ones(int(mine.sum()))
        factors = [_shifted(scenario, place, time_s[mine], what) for what in ("prompt_tokens", "output_tokens")]
        prompt[mine], output[mine] = _draw_lengths(whose, noise[:, mine], factors[0] * stretch, factors[1])
    prefix, prefix_draw = _draw_prefixes(scenario, tenant, prompt, uniform[1:3])
    patience = np.array([whose.timeout.total_seconds() for whose in tenants])
    return Workload(
        time_s=time_s,
        route=np.stack([(node + 0.5) / nodes, contents.random(time_s.size)]),
        tenant=tenant,
        prompt_tokens=prompt,
        output_tokens=output,
        patience_s=patience[tenant],
        prefix=prefix,
        prefix_draw=prefix_draw,
        fact_position=uniform[3],
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
    >>> from causalrel.simulation.documents import load_scenario
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
    grown = (1.0 + load.growth_per_day) ** (time_s / _DAY)
    rate: NDArray[np.float64] = load.requests_per_s * day * week * grown * _shifted(scenario, None, time_s, "rate")
    return rate


def _shifted(scenario: Scenario, tenant: int | None, time_s: NDArray[np.float64], what: str) -> NDArray[np.float64]:
    """Return the product of the factors of all shifts that hold at each moment."""
    factor = np.ones(time_s.size)
    tenants = scenario.workload.tenants
    for shift in scenario.workload.shifts:
        if tenant is not None and shift.tenant not in {None, tenants[tenant].name}:
            continue
        start = shift.after.total_seconds()
        end = start + shift.lasts.total_seconds() if shift.lasts else np.inf
        factor[(time_s >= start) & (time_s < end)] *= getattr(shift, what)
    return factor


def _draw_times(load: Load, scenario: Scenario, span_s: float, rng: np.random.Generator) -> NDArray[np.float64]:
    edges = np.arange(int(np.ceil(span_s / _CELL))) * _CELL
    width = np.minimum(span_s - edges, _CELL)
    mean = expected_rate(scenario, edges + width / 2.0) * width
    if load.burst_shape is not None:
        stretch = (edges / load.burst_every.total_seconds()).astype(np.int64)
        mean *= rng.gamma(load.burst_shape, 1.0 / load.burst_shape, size=int(stretch[-1]) + 1)[stretch]
    cell = np.repeat(np.arange(edges.size), rng.poisson(mean))
    return np.sort(edges[cell] + rng.random(cell.size) * width[cell])


def _draw_lengths(
    tenant: Tenant, noise: NDArray[np.float64], longer: NDArray[np.float64], wordier: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rho = tenant.correlation
    second = rho * noise[0] + np.sqrt(1.0 - rho * rho) * noise[1]
    return _tokens(tenant.prompt_tokens, noise[0], longer), _tokens(tenant.output_tokens, second, wordier)


def _tokens(lengths: Lengths, noise: NDArray[np.float64], factor: NDArray[np.float64]) -> NDArray[np.int64]:
    if lengths.family == "exponential":
        from scipy.special import log_ndtr

        drawn = -log_ndtr(-noise) * lengths.median / np.log(2.0)
    else:
        drawn = lengths.median * np.exp(lengths.sigma * noise)
    tokens: NDArray[np.int64] = np.clip(np.rint(drawn * factor), lengths.least, lengths.most).astype(np.int64)
    return tokens


def _draw_prefixes(
    scenario: Scenario, tenant: NDArray[np.int64], prompt: NDArray[np.int64], uniform: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Give prompts their shared beginnings: which one, by a Zipf law within the tenant, and how easily it is lost."""
    prefix = np.full(tenant.size, -1, dtype=np.int64)
    draw = np.ones(tenant.size)
    first = 0
    for place, whose in enumerate(scenario.workload.tenants):
        shared = whose.prefixes
        if shared is None:
            continue
        mine = tenant == place
        weight = 1.0 / np.arange(1, shared.count + 1) ** shared.skew
        edges = np.cumsum(weight) / weight.sum()
        rank = np.minimum(np.searchsorted(edges, uniform[0, mine], side="right"), shared.count - 1)
        long_enough = prompt[mine] > shared.tokens
        prefix[mine] = np.where(long_enough, first + rank, -1)
        draw[mine] = uniform[1, mine] / max(shared.share, 1e-12)
        first += shared.count
    return prefix, draw
