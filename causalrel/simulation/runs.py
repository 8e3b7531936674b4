"""Runs: one scenario served once, with everything that was drawn for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from causalrel import errors
from causalrel.simulation.conditions import STEP_S, Conditions, Streams, draw_conditions
from causalrel.simulation.documents import Told, load_scenario
from causalrel.simulation.engine import Served, serve
from causalrel.simulation.scenario import Scenario
from causalrel.simulation.workload import Workload, draw_workload, expected_rate

_DAY = 86_400.0
_MOST_REQUESTS = 20_000_000
_MOST_STEPS = 20_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A scenario, what was drawn, and what became of it.

    Parameters
    ----------
    scenario : Scenario
        The service.
    work : Workload
        What was asked.
    conditions : Conditions
        Configuration and hardware.
    served : Served
        What became of each request.
    measurement : tuple of numpy.random.SeedSequence
        Seeds for the noise of quality scores, of scrapes and of judges.

    Examples
    --------
    >>> run_scenario("llm-canary", days=0.1).work.time_s.size > 100
    True
    """

    scenario: Scenario
    work: Workload
    conditions: Conditions
    served: Served
    measurement: tuple[np.random.SeedSequence, ...]


def run_scenario(
    name: Told, *, days: float | None = None, seed: int = 0, do: Mapping[str, object] | None = None
) -> Run:
    """Draw a scenario and serve it.

    Parameters
    ----------
    name : str, Path, mapping or Scenario
        A shipped scenario, a path to a YAML file, or a scenario as it would stand in one.
    days : float, optional
        Length of the span in days; the scenario's own where left out.
    seed : int
        Seed of every stream of random numbers; each purpose has its own, so ``do`` moves no draw.
    do : mapping of str to object, optional
        Values held for the whole span.

    Returns
    -------
    Run
        The run, in arrays.

    Raises
    ------
    CausalrelError
        When the scenario, the span, the seed or ``do`` cannot be used.

    Examples
    --------
    >>> run = run_scenario("llm-canary", days=0.1, do={"gpu_count": 4})
    >>> run.served.end_s.shape == run.work.time_s.shape
    True
    """
    scenario = load_scenario(name)
    span_s = _check_span(scenario, days) * _DAY
    if seed < 0:
        raise errors.bad_question(f"seed {seed} is negative", "write a whole number from 0 on")
    seeds = np.random.SeedSequence(seed).spawn(10)
    arrivals, lengths, policy, hardware = (np.random.default_rng(each) for each in seeds[:4])
    contents, failures, hidden = (np.random.default_rng(each) for each in seeds[6:9])
    work = draw_workload(scenario, span_s, arrivals, lengths, contents)
    streams = Streams(policy=policy, hardware=hardware, failures=failures, hidden=hidden)
    conditions = draw_conditions(scenario, span_s, do or {}, work.time_s, streams)
    if work.time_s.size == 0:
        raise errors.bad_question(
            f"no request arrives in {span_s:g} seconds of '{scenario.scenario}'", "simulate a longer span"
        )
    served = serve(scenario, work, conditions)
    measurement = (seeds[4], seeds[5], seeds[9])
    return Run(scenario=scenario, work=work, conditions=conditions, served=served, measurement=measurement)


def _check_span(scenario: Scenario, days: float | None) -> float:
    span = scenario.days if days is None else days
    if not (math.isfinite(span) and 0 < span <= 3660):
        raise errors.bad_question(f"a span of {span} days cannot be simulated", "write days between 0 and 3660")
    ends = np.linspace(0.0, span * _DAY, 257)
    requests = float(expected_rate(scenario, ends).mean()) * span * _DAY
    steps = span * _DAY / STEP_S * len(scenario.fleet.nodes)
    if not requests <= _MOST_REQUESTS or steps > _MOST_STEPS:
        raise errors.over_limit(
            f"{span:g} days of '{scenario.scenario}' are about {requests:,.0f} requests on "
            f"{len(scenario.fleet.nodes)} nodes, more than a run holds",
            "simulate fewer days or a smaller fleet",
        )
    return span
