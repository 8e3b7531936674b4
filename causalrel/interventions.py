"""Interventions: what is set or moved, what an answer about it relies on, and how futures follow from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from causalrel import errors
from causalrel.configurations import check_configurations
from causalrel.estimates import Check
from causalrel.futures import Move
from causalrel.futures.histories import Past
from causalrel.futures.steps import ASSUMED, GROWN, account_of, steps_of
from causalrel.networks import Network
from causalrel.variables import Variable
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.simulation.documents import Told

#: Checks that a simulator answers anew, and those for which an answer is refused.
_REACHED = ("seen", "relied on", "seen often")
_REFUSED = ("seen", "hidden causes", "workload seen")


def is_moved(variable: Variable, level: float | int | str) -> bool:
    """Tell whether a level moves a number of workload by an expression on itself.

    Parameters
    ----------
    variable : Variable
        The variable.
    level : float, int or str
        What it is set to.

    Returns
    -------
    bool
        Whether it does.

    Raises
    ------
    CausalrelError
        When text is no expression.

    Examples
    --------
    >>> load = Variable(name="load", role="workload", unit="1/s")
    >>> is_moved(load, "load * 1.2"), is_moved(load, "5"), is_moved(load, 5.0)
    (True, False, False)
    """
    if variable.role != "workload" or variable.kind == "category" or not isinstance(level, str):
        return False
    from causalrel.expressions import columns_of

    return variable.name in columns_of(level)


def check_settable(network: Network, do: Mapping[str, float | int | str]) -> None:
    """Refuse what nobody can set, or move so.

    Parameters
    ----------
    network : Network
        The network.
    do : mapping of str to level or expression
        What is asked.

    Raises
    ------
    CausalrelError
        When a variable is neither config nor hardware, nor a number of workload moved by an expression on itself.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> network = cr.fit(windows, cr.load_graph("llm-serving").project(windows.names))
    >>> check_settable(network, {"batch_size": 8, "load": "load * 1.2"})
    """
    for name, level in do.items():
        variable = network.mechanism(name).variable
        if not variable.settable and not is_moved(variable, level):
            raise errors.bad_question(
                f"whatif: '{name}' is of role {variable.role}, which nobody can set",
                "set config or hardware variables, or move workload by an expression on itself, such as load * 1.2",
            )


def value_of(past: Past, windows: Windows, name: str, level: float | int | str) -> NDArray[Any]:
    """Return what a variable is set to in each row.

    Parameters
    ----------
    past : Past
        The rows.
    windows : Windows
        The windows they are of.
    name : str
        The variable.
    level : float, int or str
        A level; text on a number is an expression, on what was last seen or, of workload, on the rows.

    Returns
    -------
    ndarray, shape (n_rows,)
        Its values.

    Raises
    ------
    CausalrelError
        When an expression is none, or gives no number that the variable can have.

    Examples
    --------
    >>> from datetime import timedelta
    >>> import causalrel as cr
    >>> from causalrel.futures.histories import days_of
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> past = days_of(windows, (), timedelta(days=1), also=("load",))
    >>> bool(np.allclose(value_of(past, windows, "load", "load * 1.2"), 1.2 * past.columns["load"]))
    True
    """
    variable = windows.variable(name)
    if not variable.settable:
        rows = {**past.columns, **past.current}
        return _computed(str(level), name, rows, least=0.0, example="load * 1.2")
    count = len(past.bin)
    if variable.kind == "category":
        return np.full(count, str(level))
    try:
        return np.full(count, float(level))
    except ValueError:
        return _computed(str(level), name, past.current, least=-np.inf, example="gpu_count * 2")


def _computed(
    text: str, name: str, rows: Mapping[str, NDArray[Any]], *, least: float, example: str
) -> NDArray[np.float64]:
    """Return what an expression makes of the numbers of some rows."""
    from causalrel.expressions import compile_expression

    numbers = {key: value for key, value in rows.items() if value.dtype.kind == "f"}
    made = pl.DataFrame(numbers).select(compile_expression(text, sorted(numbers), "do").alias("set"))["set"]
    if not made.dtype.is_numeric() or made.null_count():
        raise errors.bad_question(f"whatif: '{text}' gives no number for '{name}'", f"write one such as {example}")
    values = made.cast(pl.Float64).to_numpy()
    if not (np.isfinite(values) & (values >= least)).all():
        raise errors.bad_question(
            f"whatif: '{text}' makes '{name}' endless or less than nothing", f"write one such as {example}"
        )
    return values


@dataclass(slots=True, kw_only=True)
class Plan:
    """How a change is drawn.

    Parameters
    ----------
    network : Network
        What tells SLOs and costs of it.
    checks : list of Check
        What it relies on.
    moves : dict of str to Move
        By SLO, what moves it.
    methods, assumed : tuple of str
        What is done beside, and what must be true for it.
    priced : bool
        Whether its cost can be told.
    """

    network: Network
    checks: list[Check]
    moves: dict[str, Move] = field(default_factory=dict)
    methods: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    priced: bool = True

    @property
    def refused(self) -> bool:
        """Whether a check that failed leaves nothing to tell."""
        return _refused(self.checks)


def plan_of(
    windows: Windows,
    network: Network,
    past: Past,
    asked: Mapping[str, NDArray[Any]],
    scenario: Told | None,
    draws: int,
    seed: int,
) -> Plan:
    """Say what a change relies on, and how it is drawn: where mechanisms alone reach what was never seen, by these.

    Parameters
    ----------
    windows : Windows
        The windows.
    network : Network
        A network fitted to them.
    past : Past
        The days that futures are drawn from.
    asked : mapping of str to ndarray, shape (n_rows,)
        What is set or moved.
    scenario : str, Path, mapping or Scenario, or None
        A simulator to ask where nothing like it was seen.
    draws : int
        Number of futures.
    seed : int
        Seed of fits, simulations and draws.

    Returns
    -------
    Plan
        The plan.

    Raises
    ------
    CausalrelError
        When SLOs cannot be fitted, or the scenario is not usable.

    Examples
    --------
    >>> from datetime import timedelta
    >>> import causalrel as cr
    >>> from causalrel.futures.histories import past_of
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> network = cr.fit(windows, cr.load_graph("llm-serving").project(windows.names))
    >>> past = past_of(windows, network, timedelta(days=1), also=("batch_size",))
    >>> plan = plan_of(windows, network, past, {"batch_size": np.full(len(past.bin), 8.0)}, None, 50, 0)
    >>> plan.refused, plan.moves["ttft"].odds.shape
    (False, (50, 84))
    """
    workload = {name: values for name, values in asked.items() if not windows.variable(name).settable}
    settings = {name: values for name, values in asked.items() if name not in workload}
    checks = [*check_history(past, network), *check_configurations(windows, network, settings, tuple(workload))]
    plan = Plan(network=network, checks=checks)
    reached: dict[str, Move] = {}
    if _refused(checks) and (scenario is None or not _unseen(checks)):
        return plan
    account = account_of(windows, network, seed)
    between = [m.variable.name for m in network.causes([slo.name for slo in past.slos]) if m.variable.role == "engine"]
    if account is network and between:
        says = f"windows are too few to fit SLOs to what can be set alone; the change goes through {', '.join(between)}"
        plan.checks.append(Check(name="through", passed=False, says=says))
    if not _refused(check_configurations(windows, account, settings)) or _refused(checks):
        plan.network = account
    if _unseen(checks) and scenario is not None:
        from causalrel.futures.reaches import REACHED, reach_out

        reach = reach_out(windows, plan.network, past, settings, scenario, draws, seed)
        plan.checks = [check for check in checks if check.name not in _REACHED] + list(reach.checks)
        settings, reached, plan.priced = reach.nearest, reach.moves, False
        plan.methods = (REACHED,)
        if plan.refused:
            return plan
    steps = steps_of(windows, plan.network, past, settings, workload, draws, seed)
    plan.moves = {
        name: replace(move, odds=move.odds + reached[name].odds) if name in reached else move
        for name, move in steps.moves.items()
    }
    plan.checks += steps.checks
    if workload:
        plan.assumed, plan.methods = ASSUMED, (*plan.methods, GROWN)
    return plan


def _refused(checks: Sequence[Check]) -> bool:
    return any(check.name in _REFUSED and not check.passed for check in checks)


def check_history(past: Past, network: Network) -> tuple[Check, ...]:
    """Say what a network was noticed to lack, and how much past there is.

    Parameters
    ----------
    past : Past
        The days that futures are drawn from.
    network : Network
        The network.

    Returns
    -------
    tuple of Check
        The network's, and ``history``.

    Examples
    --------
    >>> from datetime import timedelta
    >>> import causalrel as cr
    >>> from causalrel.futures.histories import past_of
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> network = cr.fit(windows, cr.load_graph("llm-serving").project(windows.names))
    >>> check_history(past_of(windows, network, timedelta(days=1)), network)[-1].says
    'futures are drawn from 7 past days'
    """
    return (
        *network.checks,
        Check(
            name="history",
            passed=past.days >= 5,
            says=f"futures are drawn from {past.days} past days"
            + ("" if past.days >= 5 else "; fewer than 5 hold too little of what may come"),
        ),
    )


def _unseen(checks: Sequence[Check]) -> bool:
    """Tell whether a value never seen is all that stands in the way."""
    failed = {check.name for check in checks if not check.passed}
    return "seen" in failed and "hidden causes" not in failed
