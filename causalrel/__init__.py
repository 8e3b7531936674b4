"""Causal and Bayesian reliability analysis: who burnt the error budget, why, and what a rollout would do."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from causalrel.errors import CausalrelError as CausalrelError
    from causalrel.estimates import Check as Check
    from causalrel.estimates import Estimate as Estimate
    from causalrel.estimates import Origin as Origin
    from causalrel.slos import SLO as SLO
    from causalrel.telemetry import Telemetry as Telemetry
    from causalrel.variables import Variable as Variable
    from causalrel.windows import Windows as Windows

_HOME = {
    "CausalrelError": "errors",
    "Check": "estimates",
    "Estimate": "estimates",
    "Origin": "estimates",
    "SLO": "slos",
    "Telemetry": "telemetry",
    "Variable": "variables",
    "Windows": "windows",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"causalrel.{_HOME[name]}"), name)
    raise AttributeError(f"module 'causalrel' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
