"""References: estimators of DoWhy and EconML as they are, by their own names."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from causalrel import errors
from causalrel.bridges.dowhy import quiet

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: DoWhy's method names, and the module and class of each.
_DOWHY = {
    f"backdoor.{module}": (f"dowhy.causal_estimators.{module}_estimator", name)
    for module, name in (
        ("linear_regression", "LinearRegressionEstimator"),
        ("distance_matching", "DistanceMatchingEstimator"),
        ("propensity_score_matching", "PropensityScoreMatchingEstimator"),
        ("propensity_score_stratification", "PropensityScoreStratificationEstimator"),
        ("propensity_score_weighting", "PropensityScoreWeightingEstimator"),
    )
}

#: EconML's estimators, and whether what is held fixed may change the effect.
_ECONML = {
    "econml.dml.LinearDML": False,
    "econml.dml.CausalForestDML": True,
    "econml.dr.LinearDRLearner": False,
    "econml.dr.ForestDRLearner": True,
}

#: Rows drawn again, one by one, as often as this, for those of DoWhy's that have no formula.
_RESAMPLES = 20
_NORMAL_90 = 1.645


def known_references(names: list[str]) -> tuple[str, ...]:
    """Return the names of references, all of them known and installed.

    Parameters
    ----------
    names : list of str
        By DoWhy's method names, or EconML's classes.

    Returns
    -------
    tuple of str
        Each once, without ``backdoor.`` before EconML's.

    Raises
    ------
    CausalrelError
        When one is unknown, or EconML is not installed.

    Examples
    --------
    >>> known_references(["backdoor.linear_regression"])
    ('backdoor.linear_regression',)
    """
    short = [name.removeprefix("backdoor.") if "econml." in name else name for name in names]
    for name in short:
        if name not in _DOWHY and name not in _ECONML:
            raise errors.unknown_name(name, "reference beside an effect", [*_DOWHY, *_ECONML])
        if name in _ECONML and find_spec("econml") is None:
            raise errors.bad_question(f"effect: beside '{name}' needs econml, which is not installed", "install econml")
    return tuple(dict.fromkeys(short))


def refer(
    name: str, treat: NDArray[np.float64], outcome: NDArray[np.float64], held: NDArray[np.float64], seed: int
) -> tuple[float, float, float]:
    """Ask one reference for the effect of 1 over 0, with its own interval of 90 %.

    Parameters
    ----------
    name : str
        What :func:`known_references` gave.
    treat, outcome : ndarray of float64, shape (n,)
        Treatment, 0 or 1, and outcome.
    held : ndarray of float64, shape (n, k)
        What is held fixed, as numbers.
    seed : int
        Seed of what it draws.

    Returns
    -------
    value, low, high : float
        Its answer.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> treat, held = rng.integers(2, size=200).astype(float), rng.normal(size=(200, 1))
    >>> value, low, high = refer("backdoor.linear_regression", treat, treat + held[:, 0], held, 0)
    >>> round(value, 6)
    1.0
    """
    if name in _ECONML:
        return _econml(name, treat, outcome, held, seed)
    if name == "backdoor.linear_regression":
        made = _dowhy(name, treat, outcome, held)
        low, high = np.ravel(made.get_confidence_intervals(confidence_level=0.9))[:2]
        return float(made.value), float(low), float(high)
    value = float(_dowhy(name, treat, outcome, held).value)
    rng = np.random.default_rng([seed, 6])
    again = [rng.integers(len(treat), size=len(treat)) for _ in range(_RESAMPLES)]
    reach = _NORMAL_90 * float(np.std([_dowhy(name, treat[r], outcome[r], held[r]).value for r in again], ddof=1))
    return value, value - reach, value + reach


def _dowhy(name: str, treat: NDArray[np.float64], outcome: NDArray[np.float64], held: NDArray[np.float64]) -> Any:
    import networkx as nx
    import pandas as pd

    module, kind = _DOWHY[name]
    fixed = [f"w{i}" for i in range(held.shape[1])]
    graph = nx.DiGraph([("t", "y"), *[(one, to) for one in fixed for to in ("t", "y")]])
    discrete = name != "backdoor.linear_regression"
    data = pd.DataFrame({"t": treat.astype(bool) if discrete else treat, "y": outcome})
    data[fixed] = held
    with quiet():
        from dowhy.causal_estimator import estimate_effect
        from dowhy.causal_identifier import AutoIdentifier, BackdoorAdjustment, EstimandType

        identifier = AutoIdentifier(EstimandType.NONPARAMETRIC_ATE, backdoor_adjustment=BackdoorAdjustment.BACKDOOR_MAX)
        estimand = identifier.identify_effect(graph, ["t"], ["y"], list(data.columns))
        estimand.set_identifier_method("backdoor")
        return estimate_effect(
            data,
            treatment="t",
            outcome="y",
            identifier_name="backdoor",
            estimator=getattr(import_module(module), kind)(estimand),
            control_value=0,
            treatment_value=1,
            method_params={"fit_params": {}},
        )


def _econml(
    name: str, treat: NDArray[np.float64], outcome: NDArray[np.float64], held: NDArray[np.float64], seed: int
) -> tuple[float, float, float]:
    module, _, kind = name.rpartition(".")
    with quiet():
        doubly = module == "econml.dr"
        told = {"random_state": seed, **({} if doubly else {"discrete_treatment": True})}
        estimator = getattr(import_module(module), kind)(**told)
        features = held if _ECONML[name] else None
        estimator.fit(outcome, treat.astype(int), X=features, W=None if _ECONML[name] else held)
        value = float(np.ravel(estimator.ate(X=features, T0=0, T1=1))[0])
        low, high = (float(np.ravel(end)[0]) for end in estimator.ate_interval(X=features, T0=0, T1=1, alpha=0.1))
    return value, low, high
