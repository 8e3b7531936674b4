"""Simulation: an LLM service of which the true causes, and what an intervention would really do, are known."""

from __future__ import annotations

from collections.abc import Mapping

from causalrel.simulation.documents import Told
from causalrel.simulation.exports import export_changes, export_requests
from causalrel.simulation.runs import run_scenario
from causalrel.simulation.scrapes import export_samples
from causalrel.telemetry import Telemetry

__all__ = ["simulate"]


def simulate(
    name: Told, *, days: float | None = None, seed: int = 0, do: Mapping[str, object] | None = None
) -> Telemetry:
    """Simulate an LLM service event by event and return its telemetry.

    Each purpose draws from its own stream of random numbers, so a run with ``do`` has the same clients, requests and
    hardware as the plain run: their difference is the effect of what was set.

    Parameters
    ----------
    name : str, Path, mapping or Scenario
        A shipped scenario, a path to a YAML file, or a scenario as it would stand in one.
    days : float, optional
        Length of the span in days; the scenario's own where left out.
    seed : int
        Seed of every stream.
    do : mapping of str to object, optional
        Values of ``batch_size``, ``model_version``, ``gpu_count`` or ``sm_clock_mhz`` that every node holds for the
        whole span.

    Returns
    -------
    Telemetry
        Requests, samples and changes in canonical columns.

    Raises
    ------
    CausalrelError
        When there is no such scenario, with every fault found in it, or when ``do`` names what cannot be set.

    Examples
    --------
    >>> plain = simulate("llm-canary", days=0.5)
    >>> wider = simulate("llm-canary", days=0.5, do={"batch_size": 8})
    >>> plain.frame()["prompt_tokens"].equals(wider.frame()["prompt_tokens"])
    True
    """
    run = run_scenario(name, days=days, seed=seed, do=do)
    return Telemetry(
        requests=export_requests(run).lazy(),
        samples=export_samples(run).lazy(),
        changes=export_changes(run).lazy(),
        source=run.scenario.scenario,
    )
