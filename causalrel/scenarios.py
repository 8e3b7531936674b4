"""Scenarios: when a budget runs out, as things are or if something were set differently."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from causalrel import display
from causalrel.decisions import LOSS, check_loss, decide
from causalrel.estimates import Check, Estimate, refusal
from causalrel.futures import Ahead, draw_futures, hours_left, spent_of
from causalrel.futures.costs import Cost, draw_costs
from causalrel.futures.histories import Past, past_of
from causalrel.futures.steps import account_of
from causalrel.interventions import check_history, check_settable, plan_of, value_of
from causalrel.networks import Network
from causalrel.slos import SLO
from causalrel.variables import parse_duration
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.simulation.documents import Told

#: SLO, or ``all``; quantity, its unit, time.
_Key = tuple[str, str, str, datetime]

_HOUR = timedelta(hours=1)
_CHANGED = ", and the odds of a bad event moved by as much as these say of what is set"
_METHOD = (
    "how much comes on each day drawn by what the days seen say of memory and of weekends; whole past days of as much, "
    "with their workload and engine metrics run through the fitted mechanisms; configuration and hardware held as last "
    "seen, by what SLOs fitted to workload, configuration and hardware alone say of it{changed}; times a level that "
    "remembers, with its settings and where it stands now drawn from what the days seen leave; over-dispersed event "
    "counts"
)


def forecast(windows: Windows, network: Network, *, horizon: str = "7d", draws: int = 1000, seed: int = 0) -> Estimate:
    """Forecast every SLO's budget with configuration and hardware as last seen.

    Parameters
    ----------
    windows : Windows
        The windows.
    network : Network
        A network fitted to them.
    horizon : str
        How far ahead, such as ``7d``.
    draws : int
        Number of futures drawn.
    seed : int
        Seed of the futures.

    Returns
    -------
    Estimate
        Terms ``slo``, ``quantity``, ``unit``, ``scenario`` (``as is``), ``time``. ``spent`` is the share of the SLO
        period's budget used by a time, ``exhausted_by`` 1 in futures where it is gone by then, so that its mean is a
        probability; ``exhaustion_time`` counts the hours from now until it is gone, and stands at the horizon in
        futures where it lasts longer; ``events``, ``burn`` and ``bad_share`` speak of the whole horizon. Under ``slo``
        ``all``: ``kept``, 1 in futures in which every SLO keeps its budget, and ``cost`` and ``energy`` of the requests
        of the horizon, where windows tell what a request costs (:mod:`causalrel.futures.costs`).

    Raises
    ------
    CausalrelError
        When the horizon is no duration, or a whole day of data is missing.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> network = cr.fit(windows, cr.load_graph("llm-serving").project(windows.names))
    >>> answer = cr.forecast(windows, network, horizon="3d")
    >>> 0 <= answer.select(slo="ttft", quantity="spent").chance(above=1) <= 1
    True
    """
    past = past_of(windows, network, parse_duration(horizon, "horizon"))
    ahead = draw_futures(past, account_of(windows, network, seed), {"as is": {}}, draws, seed)
    costs = draw_costs(windows, network, past, lambda _: {"as is": {}}, (), draws, seed)
    terms, made = _terms(past, ahead, costs)
    checks = (*check_history(past, network), *_lasting(past, terms, made), *(cost.check for cost in costs))
    return Estimate(
        question=f"How much of each budget is spent {display.length(past.horizon)} from now, as things are?",
        draws=made,
        terms=terms,
        unit="1",
        method=_METHOD.format(changed=""),
        assumptions=_assumptions(network),
        checks=checks,
        verdict="answered" if all(check.passed for check in checks) else "bounded",
        origin=windows.origin(seed, network.graph.fingerprint()),
    )


def whatif(
    windows: Windows,
    network: Network,
    *,
    do: Mapping[str, float | int | str],
    horizon: str = "7d",
    loss: tuple[float, float] = LOSS,
    scenario: Told | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Forecast every SLO's budget with something set, beside the forecast without, in paired draws, and decide.

    Parameters
    ----------
    windows : Windows
        The windows.
    network : Network
        A network fitted to them.
    do : mapping of str to level or expression
        Config or hardware variables set from now on, in every unit; text on a number is an expression on the last seen
        values, such as ``"gpu_count * 2"``. Of workload, numbers may be moved by an expression on themselves, which is
        taken window by window: ``"load * 1.2"`` for a fifth more requests (:mod:`causalrel.futures.steps`).
    horizon : str
        How far ahead, such as ``7d``.
    loss : tuple of float
        What is lost when the change exhausts a budget, and when a change that would be fine is held.
    scenario : str, Path, mapping or Scenario, optional
        A simulator's account of the service, asked where nothing like ``do`` was seen: the budget follows from the
        nearest configuration that was, and what the simulator says changes from there, its bias learnt between
        configurations seen (:mod:`causalrel.futures.reaches`).
    draws : int
        Number of futures drawn.
    seed : int
        Seed of the futures; the same futures serve both scenarios.

    Returns
    -------
    Estimate
        As :func:`forecast`, with scenarios ``as is``, ``changed`` and ``difference``, and a ``decision`` as
        :func:`causalrel.decisions.decide` makes it; bounded between values that were seen, where mechanisms reach
        beyond them, where a simulator does and where more would come than windows had, refused elsewhere or where a
        hidden cause stands in the way.

    Raises
    ------
    CausalrelError
        When ``do`` names what nobody can set or move so, or a value is no value.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> network = cr.fit(windows, cr.load_graph("llm-serving").project(windows.names))
    >>> answer = cr.whatif(windows, network, do={"batch_size": 4}, horizon="1d")
    >>> answer.verdict in ("answered", "bounded"), answer.decision in ("ship", "canary", "hold")
    (True, True)
    """
    check_loss(loss)
    if not do:
        return forecast(windows, network, horizon=horizon, draws=draws, seed=seed)
    check_settable(network, do)
    past = past_of(windows, network, parse_duration(horizon, "horizon"), also=tuple(do))

    def settings(days: Past) -> dict[str, dict[str, NDArray[Any]]]:
        changed = {name: value_of(days, windows, name, level) for name, level in do.items()}
        return {"as is": {}, "changed": changed}

    said = " and ".join(f"{name} were {display.level(level)}" for name, level in do.items())
    question = f"How much of each budget is spent {display.length(past.horizon)} from now if {said}?"
    plan = plan_of(windows, network, past, settings(past)["changed"], scenario, draws, seed)
    assumptions = (*_assumptions(network), *plan.assumed)
    method = "; ".join((_METHOD.format(changed=_CHANGED), *plan.methods))
    origin = windows.origin(seed, network.graph.fingerprint())
    if plan.refused:
        return refusal(question, method=method, checks=plan.checks, origin=origin, assumptions=assumptions)
    told = settings if plan.priced else lambda _: {"as is": {}}
    costs = draw_costs(windows, plan.network, past, told, tuple(do), draws, seed)
    asked: dict[str, dict[str, NDArray[Any]]] = {"as is": {}, "changed": {}}
    terms, made = _terms(past, draw_futures(past, plan.network, asked, draws, seed, {"changed": plan.moves}), costs)
    checks = (*plan.checks, *_lasting(past, terms, made), *(cost.check for cost in costs))
    answer = Estimate(
        question=question,
        draws=made,
        terms=terms,
        unit="1",
        method=method,
        assumptions=assumptions,
        checks=checks,
        verdict="answered" if all(check.passed for check in checks) else "bounded",
        origin=origin,
    )
    scatter = {slo.name: max(1.0, network.mechanism(slo.name).dispersion) for slo in past.slos}
    return decide(answer, horizon=past.horizon, loss=loss, scatter=scatter, seed=seed)


def _terms(
    past: Past, scenarios: Mapping[str, dict[str, Ahead]], costs: list[Cost]
) -> tuple[pl.DataFrame, NDArray[np.float64]]:
    end = past.end + past.horizon
    found: dict[str, dict[_Key, NDArray[np.float64]]] = {}
    for scenario, futures in scenarios.items():
        found[scenario] = {}
        for slo in past.slos:
            found[scenario] |= _followed(past, slo, futures[slo.name])
        spent = [values for key, values in found[scenario].items() if key[1] == "spent" and key[3] == end]
        found[scenario]["all", "kept", "1", end] = np.where((np.array(spent) <= 1).all(axis=0), 1.0, 0.0)
        for cost in costs:
            if scenario in cost.draws:
                found[scenario]["all", cost.quantity, cost.unit, end] = cost.draws[scenario]
    if "changed" in found:
        found["difference"] = {key: values - found["as is"][key] for key, values in found["changed"].items()}
    rows = [(key[0], key[1], key[2], scenario, key[3]) for scenario, parts in found.items() for key in parts]
    terms = pl.DataFrame(rows, schema=["slo", "quantity", "unit", "scenario", "time"], orient="row")
    return terms, np.column_stack([values for parts in found.values() for values in parts.values()])


def _followed(past: Past, slo: SLO, ahead: Ahead) -> dict[_Key, NDArray[np.float64]]:
    """Follow one budget through its futures: by each day, then over the whole horizon."""
    spent = spent_of(past, slo, ahead)
    hours = hours_left(past, spent)
    made: dict[_Key, NDArray[np.float64]] = {}
    days = range(1, int(np.ceil(past.horizon / timedelta(days=1))) + 1)
    times = [min(past.end + timedelta(days=day), past.end + past.horizon) for day in days]
    ends = [min(day * past.per_day, ahead.bad.shape[1]) for day in days]
    for time, end in zip(times, ends, strict=True):
        made[(slo.name, "spent", "1", time)] = spent[:, end]
    for time in times:
        made[(slo.name, "exhausted_by", "1", time)] = (hours <= (time - past.end) / _HOUR).astype(np.float64)
    bad = ahead.bad.sum(axis=1)
    share = bad / np.maximum(ahead.total.sum(axis=1), 1e-9)
    made[(slo.name, "exhaustion_time", "h", times[-1])] = np.minimum(hours, past.horizon / _HOUR)
    made[(slo.name, "events", "events", times[-1])] = bad
    made[(slo.name, "bad_share", "1", times[-1])] = share
    made[(slo.name, "burn", "1", times[-1])] = share / slo.allowed
    return made


def _lasting(past: Past, terms: pl.DataFrame, draws: NDArray[np.float64]) -> list[Check]:
    """Say how often a budget lasts longer than it was followed, where its time of exhaustion is not known."""
    last = past.end + past.horizon
    keys = terms.with_row_index("at").filter(
        (pl.col("quantity") == "exhausted_by") & (pl.col("time") == last) & (pl.col("scenario") != "difference")
    )
    return [
        Check(
            name=f"horizon {slo}" if scenario == "as is" else f"horizon {slo}, {scenario}",
            passed=True,
            says=f"{slo} was followed {display.length(past.horizon)} ahead and lasts longer in "
            f"{1 - draws[:, at].mean():.0%} of the futures {scenario}, which tell no later time of exhaustion",
        )
        for at, slo, scenario in keys.select("at", "slo", "scenario").rows()
    ]


def _assumptions(network: Network) -> tuple[str, ...]:
    return (
        f"graph {network.graph.name} (version {network.graph.version}) is right",
        "the days to come resemble the days seen in workload and traffic",
        "what the mechanisms miss goes on as it did: a slow level, incidents, and hours that scatter",
        "configuration and hardware stay as last seen unless set, bad hardware included",
        "the budget is that of the period the horizon ends in, as far as data and forecast cover it",
    )
