"""Consistency: what is wrong with a scenario although each of its parts is well formed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from causalrel import errors
from causalrel.simulation.settings import SETTINGS, read_setting

if TYPE_CHECKING:
    from causalrel.simulation.scenario import Scenario


def faults_of(scenario: Scenario) -> list[str]:
    """Return every fault of a scenario, one clause each.

    Parameters
    ----------
    scenario : Scenario
        A scenario of well-formed parts.

    Returns
    -------
    list of str
        Empty where nothing is wrong.

    Examples
    --------
    >>> from causalrel.simulation.documents import load_scenario
    >>> faults_of(load_scenario("llm-canary"))
    []
    """
    faults = [*_node_faults(scenario), *_setting_faults(scenario), *_workload_faults(scenario)]
    if scenario.scrapes.every.total_seconds() % 60.0:
        faults.append("scrapes.every must be whole minutes")
    return faults


def _node_faults(scenario: Scenario) -> list[str]:
    nodes, fleet = scenario.fleet.nodes, scenario.fleet
    asked = [("rollouts.steps", s.node) for rollout in scenario.rollouts for s in rollout.steps if s.node]
    asked += [("fleet.faults", fault.node) for fault in fleet.faults]
    faults = [
        f"{where} names node '{node}', which the fleet lacks{errors.did_you_mean(node, nodes)}".rstrip("?")
        for where, node in asked
        if node not in nodes
    ]
    if len(set(nodes)) < len(nodes):
        faults.append("fleet.pools names a node twice")
    scaler = scenario.autoscaler
    if scaler is not None and not scaler.least <= scaler.most <= len(nodes):
        faults.append(f"autoscaler wants {scaler.least} to {scaler.most} replicas of {len(nodes)} nodes")
    if scenario.engine.costs is not None and len({pool.gpu_type for pool in fleet.pools}) > 1:
        faults.append("engine.costs are seconds on one GPU type, and the pools have several: name engine.model instead")
    return faults


def _setting_faults(scenario: Scenario) -> list[str]:
    """Read every value of every setting once."""
    asked: list[tuple[str, str, object]] = [("config", name, value) for name, value in scenario.config.items()]
    for policy in scenario.policies:
        asked += [("policies", policy.set, policy.low), ("policies", policy.set, policy.high)]
    asked += [("rollouts", rollout.set, rollout.to) for rollout in scenario.rollouts]
    for pool in scenario.fleet.pools:
        asked += [("fleet.pools", "gpu_type", pool.gpu_type), ("fleet.pools", "firmware", pool.firmware)]
    faults = []
    for where, name, value in asked:
        try:
            read_setting(name, value, scenario.choices, asked_by=where)
        except errors.CausalrelError as fault:
            faults.append(fault.message.replace("; ", ", ").rstrip("?"))
        else:
            if where == "config" and SETTINGS[name].role == "hardware":
                faults.append(f"config cannot hold '{name}': it belongs to the pools")
            if where in {"policies", "rollouts"} and name in {"sm_clock_mhz", "node_up"}:
                faults.append(f"{where} cannot set '{name}': hardware draws it, and only do holds it")
    return faults


def _workload_faults(scenario: Scenario) -> list[str]:
    tenants = scenario.workload.tenants
    names = [tenant.name for tenant in tenants]
    faults = [
        f"{name} {lengths.least} to {lengths.most} is an empty range"
        for tenant in tenants
        for name, lengths in (("prompt_tokens", tenant.prompt_tokens), ("output_tokens", tenant.output_tokens))
        if lengths.least > lengths.most
    ]
    if len(set(names)) < len(names):
        faults.append("workload.tenants names a tenant twice")
    if any(shift.tenant is not None and shift.rate != 1.0 for shift in scenario.workload.shifts):
        faults.append("workload.shifts gives one tenant a rate: rates shift for all tenants together")
    faults += [
        f"workload.shifts names tenant '{shift.tenant}', which is not there{errors.did_you_mean(shift.tenant, names)}"
        for shift in scenario.workload.shifts
        if shift.tenant is not None and shift.tenant not in names
    ]
    return faults
