"""Causal and Bayesian reliability analysis: who burnt the error budget, why, and what a rollout would do."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from causalrel.archives import load_network as load_network
    from causalrel.archives import save_network as save_network
    from causalrel.attribution import attribute as attribute
    from causalrel.budgets import Budget as Budget
    from causalrel.budgets import budget as budget
    from causalrel.discovery import discover as discover
    from causalrel.drifts import drift as drift
    from causalrel.effects import effect as effect
    from causalrel.envelopes import envelope as envelope
    from causalrel.errors import CausalrelError as CausalrelError
    from causalrel.estimates import Check as Check
    from causalrel.estimates import Estimate as Estimate
    from causalrel.estimates import Origin as Origin
    from causalrel.fitting import fit as fit
    from causalrel.graphs import Edge as Edge
    from causalrel.graphs import Graph as Graph
    from causalrel.graphs.documents import load_graph as load_graph
    from causalrel.incidents import blame as blame
    from causalrel.inference.explanations import explain as explain
    from causalrel.inference.queries import query as query
    from causalrel.inference.recovery import recover as recover
    from causalrel.inference.tracks import infer as infer
    from causalrel.networks import Network as Network
    from causalrel.recommendations import recommend as recommend
    from causalrel.refutation import Refutation as Refutation
    from causalrel.refutation import refute as refute
    from causalrel.reports import Report as Report
    from causalrel.reports import report as report
    from causalrel.reports.figures import plot as plot
    from causalrel.reports.verification import Verification as Verification
    from causalrel.reports.verification import verify as verify
    from causalrel.scenarios import forecast as forecast
    from causalrel.scenarios import whatif as whatif
    from causalrel.simulation import simulate as simulate
    from causalrel.slos import SLO as SLO
    from causalrel.slos.documents import load_slos as load_slos
    from causalrel.telemetry import Telemetry as Telemetry
    from causalrel.telemetry.datasets import load_dataset as load_dataset
    from causalrel.telemetry.tables import read as read
    from causalrel.thresholds import bound as bound
    from causalrel.twins import twin as twin
    from causalrel.variables import Variable as Variable
    from causalrel.windows import Windows as Windows
    from causalrel.windows import window as window

_HOME = {
    "Budget": "budgets",
    "CausalrelError": "errors",
    "Check": "estimates",
    "Edge": "graphs",
    "Estimate": "estimates",
    "Graph": "graphs",
    "Network": "networks",
    "Origin": "estimates",
    "Refutation": "refutation",
    "Report": "reports",
    "SLO": "slos",
    "Telemetry": "telemetry",
    "Variable": "variables",
    "Verification": "reports.verification",
    "Windows": "windows",
    "attribute": "attribution",
    "blame": "incidents",
    "bound": "thresholds",
    "budget": "budgets",
    "discover": "discovery",
    "drift": "drifts",
    "effect": "effects",
    "envelope": "envelopes",
    "explain": "inference.explanations",
    "fit": "fitting",
    "forecast": "scenarios",
    "infer": "inference.tracks",
    "load_dataset": "telemetry.datasets",
    "load_graph": "graphs.documents",
    "load_network": "archives",
    "load_slos": "slos.documents",
    "plot": "reports.figures",
    "query": "inference.queries",
    "read": "telemetry.tables",
    "recommend": "recommendations",
    "recover": "inference.recovery",
    "refute": "refutation",
    "report": "reports",
    "save_network": "archives",
    "simulate": "simulation",
    "twin": "twins",
    "verify": "reports.verification",
    "whatif": "scenarios",
    "window": "windows",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"causalrel.{_HOME[name]}"), name)
    raise AttributeError(f"module 'causalrel' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
