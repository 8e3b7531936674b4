"""DoWhy: identification of an effect, and the drive of our estimator behind its interface."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from causalrel.graphs import Graph

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

#: DoWhy tries every subset for the smallest backdoor set; of more variables than this the largest valid one is taken.
_MOST_SEARCHED = 8

#: Takes columns by name and two treatment values; gives draws of the mean outcome difference.
Answer = Callable[[Mapping[str, "NDArray[Any]"]], "NDArray[np.float64]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identified:
    """What DoWhy says of a question.

    Parameters
    ----------
    adjustment : tuple of str or None
        A backdoor set; None where no set of observed variables identifies the effect.
    reaches : bool
        Whether the treatment has a directed path to the outcome.
    estimand : object
        DoWhy's own estimand, over internal names.
    inner : dict of str to str
        Internal name of each variable.

    Examples
    --------
    >>> Identified(adjustment=("load",), reaches=True, estimand=None, inner={}).adjustment
    ('load',)
    """

    adjustment: tuple[str, ...] | None
    reaches: bool
    estimand: Any
    inner: dict[str, str]


def identify(graph: Graph, *, of: str, on: str) -> Identified:
    """Ask DoWhy for a backdoor set.

    Names become ``x0``, ``x1``, ... on the way, so that no column name means anything to DoWhy.

    Parameters
    ----------
    graph : Graph
        Its variables are observed, its unmeasured causes are not.
    of, on : str
        Treatment and outcome.

    Returns
    -------
    Identified
        The answer.

    Examples
    --------
    >>> graph = Graph.from_edges(
    ...     [("load", "batch"), ("load", "slo"), ("batch", "slo")],
    ...     roles={"load": "workload", "batch": "config", "slo": "outcome"},
    ... )
    >>> identify(graph, of="batch", on="slo").adjustment
    ('load',)
    """
    import networkx as nx

    hidden = [item.name for item in graph.unmeasured]
    inner = {name: f"x{i}" for i, name in enumerate([*graph.names, *hidden])}
    outer = {short: name for name, short in inner.items()}
    dag = nx.relabel_nodes(graph.to_networkx(), inner)
    with quiet():
        from dowhy.causal_identifier import AutoIdentifier, BackdoorAdjustment, EstimandType

        wide = len(graph.names) > _MOST_SEARCHED
        sets = BackdoorAdjustment.BACKDOOR_MAX if wide else BackdoorAdjustment.BACKDOOR_DEFAULT
        identifier = AutoIdentifier(EstimandType.NONPARAMETRIC_ATE, backdoor_adjustment=sets)
        observed = [inner[name] for name in graph.names]
        estimand = identifier.identify_effect(dag, [inner[of]], [inner[on]], observed)
        estimand.set_identifier_method("backdoor")
    reaches = not estimand.no_directed_path
    found = estimand.estimands.get("backdoor") is not None if reaches else True
    chosen = estimand.get_backdoor_variables() if found and reaches else []
    adjustment = tuple(sorted(outer[name] for name in chosen)) if found else None
    return Identified(adjustment=adjustment, reaches=reaches, estimand=estimand, inner=inner)


def estimate(
    identified: Identified,
    columns: Mapping[str, NDArray[Any]],
    *,
    of: str,
    on: str,
    levels: tuple[Any, Any],
    answer: Answer,
) -> NDArray[np.float64]:
    """Let DoWhy drive an estimator of ours for an identified effect.

    Parameters
    ----------
    identified : Identified
        What :func:`identify` gave.
    columns : mapping of str to ndarray
        One value a row for the treatment, what is held fixed and the outcome; further columns reach ``answer`` too.
    of, on : str
        Treatment and outcome.
    levels : tuple
        Control and treatment value.
    answer : callable
        Draws of the mean difference from columns by name; called once by DoWhy's ``estimate_effect``.

    Returns
    -------
    ndarray of float64, shape (n_draws,)
        The draws behind DoWhy's estimate.

    Raises
    ------
    ValueError
        When the effect is not identified, or DoWhy returns another value than the mean of the draws.

    Examples
    --------
    >>> graph = Graph.from_edges([("batch", "slo")], roles={"batch": "config", "slo": "outcome"})
    >>> found = identify(graph, of="batch", on="slo")
    >>> columns = {"batch": np.array([8.0, 16.0]), "slo": np.array([0.1, 0.2])}
    >>> answer = lambda rows: np.full(3, float(np.diff(rows["slo"])[0]))
    >>> estimate(found, columns, of="batch", on="slo", levels=(8.0, 16.0), answer=answer).round(3).tolist()
    [0.1, 0.1, 0.1]
    """
    return np.asarray(_drive(identified, columns, of, on, levels, answer)[1].estimator.draws)


#: Refuters of DoWhy that mean something where windows remember, and the function of each.
REFUTERS = {
    "data_subset_refuter": "refute_data_subset",
    "placebo_treatment_refuter": "refute_placebo_treatment",
    "random_common_cause": "refute_random_common_cause",
}


def refute(
    identified: Identified,
    columns: Mapping[str, NDArray[Any]],
    *,
    of: str,
    on: str,
    levels: tuple[Any, Any],
    answer: Answer,
    refuter: str,
    simulations: int,
    seed: int,
) -> NDArray[np.float64]:
    """Let one of DoWhy's refuters ask an estimator of ours again and again.

    Parameters
    ----------
    identified, columns, of, on, levels, answer
        As for :func:`estimate`; ``answer`` also gets what the refuter adds: ``placebo``, or ``w_random``.
    refuter : str
        One of ``REFUTERS``.
    simulations : int
        How often it asks.
    seed : int
        Seed of what it draws.

    Returns
    -------
    ndarray of float64, shape (simulations,)
        The effect each time.

    Examples
    --------
    >>> graph = Graph.from_edges([("batch", "slo")], roles={"batch": "config", "slo": "outcome"})
    >>> found = identify(graph, of="batch", on="slo")
    >>> columns = {"batch": np.tile([8.0, 16.0], 50), "slo": np.tile([0.1, 0.2], 50)}
    >>> def answer(rows):
    ...     at = rows.get("placebo", rows["batch"])
    ...     return np.array([rows["slo"][at == 16.0].mean() - rows["slo"][at == 8.0].mean()])
    >>> asked = {"refuter": "placebo_treatment_refuter", "simulations": 5, "seed": 0}
    >>> made = refute(found, columns, of="batch", on="slo", levels=(8.0, 16.0), answer=answer, **asked)
    >>> bool(abs(made.mean()) < 0.05)
    True
    """
    made: list[float] = []

    def kept(rows: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        draws = answer(rows)
        made.append(float(draws.mean()))
        return draws

    data, estimate = _drive(identified, columns, of, on, levels, kept)
    with quiet():
        from dowhy import causal_refuters
        from dowhy.causal_refuters.placebo_treatment_refuter import PlaceboType

        told = {"treatment_names": [identified.inner[of]], "placebo_type": PlaceboType.PERMUTE}
        getattr(causal_refuters, REFUTERS[refuter])(
            data,
            identified.estimand,
            estimate,
            num_simulations=simulations,
            random_state=np.random.RandomState(seed),
            **(told if refuter == "placebo_treatment_refuter" else {}),
        )
    return np.array(made[1:])


def _drive(
    identified: Identified,
    columns: Mapping[str, NDArray[Any]],
    of: str,
    on: str,
    levels: tuple[Any, Any],
    answer: Answer,
) -> tuple[Any, Any]:
    """Return the frame that DoWhy got, and its estimate by an estimator of ours."""
    import pandas as pd

    with quiet():
        from dowhy.causal_estimator import CausalEstimate, CausalEstimator, estimate_effect

        class Standardisation(CausalEstimator):  # type: ignore[misc]
            """Mean difference from our own regression, with its draws kept."""

            draws: NDArray[np.float64]

            def fit(self, data: Any, effect_modifier_names: list[str] | None = None) -> Any:
                self.reset_encoders()
                self._set_effect_modifiers(data, effect_modifier_names)
                self.draws = answer({outer.get(short, short): data[short].to_numpy() for short in data.columns})
                return self

            def estimate_effect(
                self, data: Any, treatment_value: Any, control_value: Any, target_units: Any, **_: Any
            ) -> Any:
                self._target_units = target_units
                return CausalEstimate(
                    data=data,
                    treatment_name=self._target_estimand.treatment_variable,
                    outcome_name=self._target_estimand.outcome_variable,
                    estimate=float(self.draws.mean()),
                    control_value=control_value,
                    treatment_value=treatment_value,
                    target_estimand=self._target_estimand,
                    realized_estimand_expr=None,
                    estimator_instance=self,
                )

        outer = {identified.inner.get(name, f"c{i}"): name for i, name in enumerate(columns)}
        data = pd.DataFrame({short: columns[name] for short, name in outer.items()})
        estimator = Standardisation(identified.estimand)
        made = estimate_effect(
            data,
            treatment=identified.inner[of],
            outcome=identified.inner[on],
            identifier_name="backdoor",
            estimator=estimator,
            control_value=levels[0],
            treatment_value=levels[1],
            method_params={"fit_params": {}},
        )
        made.add_estimator(estimator)
    if made.value is None or not np.isclose(made.value, made.estimator.draws.mean()):
        raise ValueError("DoWhy did not return the estimate it was given")
    return data, made


@contextmanager
def quiet() -> Iterator[None]:
    """Keep DoWhy's import-time and identification chatter off the user's terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
