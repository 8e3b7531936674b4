"""The public names and how they are called: data first, model second, the question by keyword, the seed last."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

import causalrel as cr

NOUNS = (
    "Budget",
    "CausalrelError",
    "Check",
    "Edge",
    "Estimate",
    "Graph",
    "Network",
    "Origin",
    "Refutation",
    "Report",
    "SLO",
    "Telemetry",
    "Variable",
    "Verification",
    "Windows",
)
SIGNATURES = {
    "attribute": "(windows, network, *, during, against=None, on=None, by='driver', seed=0)",
    "blame": "(windows, graph, *, during, normal=None, on=None, at=None, seed=0)",
    "bound": "(windows, *, of, on, p=0.9, seed=0)",
    "budget": "(windows, *, as_of=None, pool='none', seed=0)",
    "discover": "(data, graph=None, *, tiers=None, lags=0, resamples=200, method='auto', seed=0)",
    "drift": "(windows, graph, *, alarm=0.02, draws=1000, seed=0)",
    "effect": (
        "(windows, graph, *, of, on, levels=None, by=None, where=None, through=None, design='graph', since=None, "
        "beside=(), refuters=(), draws=2000, seed=0)"
    ),
    "envelope": ("(windows, graph, *, during, against=None, on=None, along=None, level=0.9, draws=400, seed=0)"),
    "explain": "(windows, network)",
    "fit": "(windows, graph, *, states=None, draws=200, seed=0)",
    "forecast": "(windows, network, *, horizon='7d', draws=1000, seed=0)",
    "infer": "(windows, network, *, of, by='filter', do=None, since=None, horizon=None, draws=200, seed=0)",
    "load_dataset": "(name)",
    "load_graph": "(name)",
    "load_network": "(path)",
    "load_slos": "(name)",
    "plot": "(x, *, ax=None)",
    "query": "(network, *, of, given=None, do=None, since=0, draws=200, seed=0)",
    "read": "(path, *, columns=None)",
    "recommend": "(windows, network, *, over, cost, p=0.95, horizon='7d', scenario=None, seed=0)",
    "recover": "(network, *, of, good, shock, lasting=1, steps=48, draws=200, seed=0)",
    "refute": "(windows, graph, *, level=0.05)",
    "report": (
        "(windows, network, *, during=None, against=None, on=None, effects=None, where=None, do=None, horizon='7d', "
        "title='', sources=None, governance=None, progress=None, seed=0)"
    ),
    "save_network": "(network, path)",
    "simulate": "(name, *, days=None, seed=0, do=None)",
    "twin": "(runs, scenario, *, on, at, days=None, draws=400, seed=0)",
    "whatif": "(windows, network, *, do, horizon='7d', loss=(10.0, 1.0), scenario=None, draws=1000, seed=0)",
    "verify": "(report, data=None, *, slos=None, graph=None, columns=None, within=0.0)",
    "window": "(telemetry, slos, *, every='5m', by='service', quantiles=None, cluster=None)",
}
# Every one of these answers for itself in a notebook: a line of text, escaped HTML, a Polars frame.
SHOWN = ("Budget", "Estimate", "Graph", "Network", "Refutation", "SLO", "Telemetry", "Verification", "Windows")
PACKAGE = Path(cr.__file__).parent


def bare(function: Any) -> str:
    """Return a signature without annotations."""
    signature = inspect.signature(function)
    parameters = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()]
    return str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))


def test_public_names() -> None:
    assert cr.__all__ == sorted([*NOUNS, *SIGNATURES])
    assert dir(cr) == cr.__all__


@pytest.mark.parametrize("name", [*NOUNS, *SIGNATURES])
def test_a_public_name_exists(name: str) -> None:
    assert getattr(cr, name).__module__.startswith("causalrel.")


@pytest.mark.parametrize(("name", "signature"), SIGNATURES.items())
def test_call_shape(name: str, signature: str) -> None:
    assert bare(getattr(cr, name)) == signature


@pytest.mark.parametrize("name", SHOWN)
def test_a_noun_shows_itself(name: str) -> None:
    noun = getattr(cr, name)
    assert noun.__repr__ is not object.__repr__
    assert callable(noun._repr_html_)
    assert bare(noun.frame).startswith("(self")


@pytest.mark.parametrize("name", [noun for noun in NOUNS if noun != "CausalrelError"])
def test_a_noun_is_a_frozen_keyword_only_dataclass(name: str) -> None:
    noun = getattr(cr, name)
    assert noun.__dataclass_params__.frozen
    assert "__slots__" in vars(noun)
    kinds = {parameter.kind for parameter in inspect.signature(noun).parameters.values()}
    assert kinds == {inspect.Parameter.KEYWORD_ONLY}


def test_no_public_function_bears_the_name_of_a_module() -> None:
    modules = {path.stem if path.stem != "__init__" else path.parent.name for path in PACKAGE.rglob("*.py")}
    assert sorted(set(SIGNATURES) & modules) == []


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'budgeting'"):
        _ = cr.budgeting
