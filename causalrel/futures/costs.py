"""Costs: the money and the energy of the requests to come, on the same futures as their bad events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from causalrel import display, errors
from causalrel.estimates import Check
from causalrel.expressions import columns_of
from causalrel.fitting import fit_mechanism
from causalrel.futures import add_up, draw_days
from causalrel.futures.histories import Past, days_of, times_of
from causalrel.graphs import Edge
from causalrel.identification import hidden_confounders
from causalrel.networks import Mechanism, Network
from causalrel.variables import Variable
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: What a request costs on average, and what that adds up to.
_ADDED = {"cost_usd": ("cost", "USD"), "energy_j": ("energy", "J")}
_LOAD = "load"

#: Share of the requests that must be in windows which tell a cost.
_TOLD = 0.5

#: What scenarios set, of the rows of some past days.
Settings = Callable[[Past], Mapping[str, Mapping[str, "NDArray[Any]"]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What the requests of the horizon cost in all.

    Parameters
    ----------
    quantity, unit : str
        ``cost`` in USD or ``energy`` in J.
    draws : dict of str to ndarray of float64, shape (draws,)
        Of each scenario that can be told.
    check : Check
        How it was told.
    """

    quantity: str
    unit: str
    draws: dict[str, Floats]
    check: Check


def draw_costs(
    windows: Windows, network: Network, past: Past, settings: Settings, setting: tuple[str, ...], draws: int, seed: int
) -> list[Cost]:
    """Add up what the requests to come cost, where windows tell what a request costs.

    The cost of a window is that of a request, ``cost_usd`` or ``energy_j``, times its requests, told by ``load``. It
    follows the mechanism that the network has of it, else one fitted to the causes of an SLO that is judged by it
    alone; else it is as it was on the days drawn, and a change of it cannot be told.

    Parameters
    ----------
    windows : Windows
        The windows.
    network : Network
        The network.
    past : Past
        The days that futures are drawn from.
    settings : callable
        Gives each scenario's values of the rows of some days; the first sets nothing.
    setting : tuple of str
        Variables that are set.
    draws : int
        Number of futures.
    seed : int
        Their seed.

    Returns
    -------
    list of Cost
        None, one or both.

    Examples
    --------
    >>> from datetime import timedelta
    >>> import causalrel as cr
    >>> from causalrel.futures.histories import past_of
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> network = cr.fit(windows, cr.load_graph("llm-serving").project(windows.names))
    >>> past = past_of(windows, network, timedelta(days=1))
    >>> made = draw_costs(windows, network, past, lambda _: {"as is": {}}, (), 10, 0)
    >>> [cost.quantity for cost in made]
    ['cost', 'energy']
    """
    known = {variable.name for variable in windows.variables}
    return [
        _cost(windows, network, past, name, settings, setting, share, draws, seed)
        for name in _ADDED
        if {name, _LOAD} <= known and (share := _told(windows, name)) >= _TOLD
    ]


def _told(windows: Windows, name: str) -> float:
    """Return the share of the requests that are in windows which tell a cost."""
    rows = windows.table.select(_LOAD, told=pl.col(name).is_not_null()).drop_nulls()
    return float(rows.filter("told")[_LOAD].sum()) / max(float(rows[_LOAD].sum()), 1e-12)


def _cost(
    windows: Windows,
    network: Network,
    past: Past,
    name: str,
    settings: Settings,
    setting: tuple[str, ...],
    share: float,
    draws: int,
    seed: int,
) -> Cost:
    mechanism, hidden = _mechanism(windows, network, name, setting, seed)
    causes = network.causes([*mechanism.parents, *setting])
    days = days_of(windows, (*(m for m in causes if m.variable.name != name), mechanism), past.horizon, also=(_LOAD,))
    requests = days.columns[_LOAD] * windows.width.total_seconds() / share
    moved = mechanism.form != "observed" and not hidden
    asked = settings(days) if moved else {"as is": {}}
    more = {one: times_of(days, do) for one, do in asked.items() if _LOAD in do}
    sums = add_up(days, {name: requests}, asked, network.n_draws, more)[1]
    slot, which, times = draw_days(past, network.n_draws, draws, seed)
    quantity, unit = _ADDED[name]
    found = {scenario: (sums[scenario][name][slot, which] * times) @ past.parts for scenario in asked}
    says = f"{quantity} adds up {name} of a request times the requests, "
    says += f"{name} following {', '.join(mechanism.parents)}" if mechanism.parents else "as on the days drawn"
    if share < 1:
        says += f"; {display.percent(share)} of the requests are in windows that tell it, the others count as these"
    if setting and not moved:
        why = f"the graph names {', '.join(hidden)} unmeasured in between" if hidden else "the graph has no cause of it"
        says += f"; what the change does to it is not told, as {why}"
    return Cost(quantity=quantity, unit=unit, draws=found, check=Check(name=quantity, passed=True, says=says))


def _mechanism(
    windows: Windows, network: Network, name: str, setting: tuple[str, ...], seed: int
) -> tuple[Mechanism, tuple[str, ...]]:
    """Return how the cost of a request follows from its causes, and what is hidden between those and what is set."""
    judged = [slo.name for slo in network.slos if slo.where and columns_of(slo.where) == {name}]
    node = name if name in network.graph.names else judged[0] if judged else ""
    seen = Mechanism(variable=windows.variable(name), form="observed")
    if not node:
        return seen, ()
    hidden = tuple(sorted({h for one in setting for h in hidden_confounders(network.graph, one, node)}))
    if node == name:
        return network.mechanism(name), hidden
    variable = Variable(name=name, role="outcome", unit=windows.variable(name).unit)
    graph = replace(
        network.graph,
        variables=(*network.graph.variables, variable),
        edges=(
            *network.graph.edges,
            *(Edge(cause=cause, effect=name) for cause in network.graph.parents(node)),
        ),
    )
    rng = np.random.default_rng([seed, 8, list(_ADDED).index(name)])
    try:
        return fit_mechanism(windows, graph, name, network.n_draws, rng, seed)[0], hidden
    except errors.CausalrelError:
        return seen, ()
