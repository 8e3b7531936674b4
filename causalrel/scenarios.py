"""Scenarios: when a budget runs out, as things are or if something were set differently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from causalrel import display, errors
from causalrel.configurations import check_configurations
from causalrel.decisions import LOSS, check_loss, decide
from causalrel.estimates import Check, Estimate, Verdict, refusal
from causalrel.fitting import rows_of
from causalrel.inference import residuals, run
from causalrel.networks import Mechanism, Network
from causalrel.slos import SLO
from causalrel.variables import parse_duration
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HISTORY = timedelta(days=28)

#: Rows run through the mechanisms at once, over all draws.
_CHUNK = 4096

_METHOD = (
    "whole past days (workload, engine residuals, traffic and each day's own miss) drawn again with configuration and "
    "hardware as last seen{changed}, run through the fitted mechanisms; over-dispersed event counts"
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
        period's budget used by a time; ``events``, ``burn`` and ``bad_share`` speak of the whole horizon.

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
    past = _past(windows, network, parse_duration(horizon, "horizon"))
    ahead = _futures(past, network, {}, draws, seed)
    terms, made = _terms(past, {"as is": ahead})
    checks = _checks(past, network)
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
        values, such as ``"gpu_count * 2"``.
    horizon : str
        How far ahead, such as ``7d``.
    loss : tuple of float
        What is lost when the change exhausts a budget, and when a change that would be fine is held.
    draws : int
        Number of futures drawn.
    seed : int
        Seed of the futures; the same futures serve both scenarios.

    Returns
    -------
    Estimate
        As :func:`forecast`, with scenarios ``as is``, ``changed`` and ``difference``, and a ``decision`` as
        :func:`causalrel.decisions.decide` makes it; bounded between values that were seen, refused beyond them or where
        a hidden cause stands in the way.

    Raises
    ------
    CausalrelError
        When ``do`` names what nobody can set, or a value is no value.

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
    for name in do:
        variable = network.mechanism(name).variable
        if not variable.settable:
            raise errors.bad_question(
                f"whatif: '{name}' is of role {variable.role}, which nobody can set",
                "set config or hardware variables",
            )
    past = _past(windows, network, parse_duration(horizon, "horizon"), also=tuple(do))
    values = {name: _value(past, windows, name, level) for name, level in do.items()}
    said = " and ".join(f"{name} were {display.level(level)}" for name, level in do.items())
    question = f"How much of each budget is spent {display.length(past.horizon)} from now if {said}?"
    checks = [*_checks(past, network), *check_configurations(windows, network, values)]
    method = _METHOD.format(changed=" or as set")
    assumptions = _assumptions(network)
    origin = windows.origin(seed, network.graph.fingerprint())
    if any(check.name in ("seen", "hidden causes") and not check.passed for check in checks):
        return refusal(question, method=method, checks=checks, origin=origin, assumptions=assumptions)
    as_is = _futures(past, network, {}, draws, seed)
    changed = _futures(past, network, values, draws, seed)
    terms, made = _terms(past, {"as is": as_is, "changed": changed})
    verdict: Verdict = "answered" if all(check.passed for check in checks) else "bounded"
    answer = Estimate(
        question=question,
        draws=made,
        terms=terms,
        unit="1",
        method=method,
        assumptions=assumptions,
        checks=tuple(checks),
        verdict=verdict,
        origin=origin,
    )
    scatter = {slo.name: max(1.0, network.mechanism(slo.name).dispersion) for slo in past.slos}
    return decide(answer, horizon=past.horizon, loss=loss, scatter=scatter, seed=seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Past:
    """Rows a future is drawn from: whole days, and what each unit was set to when last seen."""

    columns: dict[str, NDArray[Any]]
    day: NDArray[np.int64]
    days: int
    current: dict[str, NDArray[Any]]
    mechanisms: tuple[Mechanism, ...]
    slos: tuple[SLO, ...]
    spent: dict[str, tuple[float, float]]
    horizon: timedelta
    end: datetime


def _past(windows: Windows, network: Network, horizon: timedelta, also: tuple[str, ...] = ()) -> _Past:
    slos = network.slos
    if not slos:
        raise errors.bad_question("forecast: the network holds no SLO", "fit a graph with an SLO as outcome")
    for slo in slos:
        if horizon > slo.period:
            raise errors.bad_question(
                f"the horizon of {display.length(horizon)} is longer than the {display.length(slo.period)} of "
                f"{slo.name}",
                "ask for a horizon within the SLO's period",
            )
    mechanisms = network.causes([*(slo.name for slo in slos), *also])
    columns, _ = rows_of(windows, [m.variable.name for m in mechanisms])
    start, end = windows.span
    per_day = timedelta(days=1) // windows.width
    last = int(end.timestamp() // windows.width.total_seconds())
    ago = (last - 1 - columns["step"]) // per_day
    days = min((end - start) // timedelta(days=1), _HISTORY // timedelta(days=1))
    if days < 2:
        raise errors.refused(
            "the forecast", f"it draws whole past days, and the windows hold {days} of them; two are the least"
        )
    inside = ago < days
    lasting = np.isin(columns["unit"][inside], columns["unit"][ago < 1]).mean() if inside.any() else 0.0
    if lasting < 0.5:
        raise errors.refused(
            "the forecast",
            f"{display.percent(float(lasting))} of the windows are of units seen on the last day, so the days to come "
            "are those of other units",
        )
    columns = {name: column[inside] for name, column in columns.items()}
    return _Past(
        columns=columns,
        day=ago[inside].astype(np.int64),
        days=days,
        current=_current(mechanisms, columns),
        mechanisms=mechanisms,
        slos=slos,
        spent={slo.name: _used(windows, slo, end - slo.period + horizon) for slo in slos},
        horizon=horizon,
        end=end,
    )


def _current(mechanisms: tuple[Mechanism, ...], columns: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Hold config and hardware at what each unit had in its last complete windows."""
    made: dict[str, NDArray[Any]] = {}
    for mechanism in mechanisms:
        if not mechanism.variable.settable or mechanism.form != "observed":
            continue
        name = mechanism.variable.name
        values = columns[name].copy()
        for unit in np.unique(columns["unit"]):
            mine = columns["unit"] == unit
            recent = columns[name][mine][np.argsort(columns["step"][mine], kind="stable")][-6:]
            values[mine] = recent[-1] if mechanism.variable.kind != "number" else np.median(recent)
        made[name] = values
    return made


def _used(windows: Windows, slo: SLO, since: datetime) -> tuple[float, float]:
    rows = windows.table.filter(pl.col("time") >= since)
    return float(rows[f"{slo.name}.bad"].sum() or 0), float(rows[f"{slo.name}.total"].sum() or 0)


def _futures(
    past: _Past, network: Network, do: Mapping[str, NDArray[Any]], draws: int, seed: int
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Draw futures: for each SLO the bad and total events of each future day, shape (draws, days)."""
    rng = np.random.default_rng([seed, 4])
    weighted = _bad_by_day(past, network, do)
    length = int(np.ceil(past.horizon / timedelta(days=1)))
    chosen = rng.integers(past.days, size=(draws, length))
    which = rng.integers(network.n_draws, size=draws)
    last = past.horizon / timedelta(days=1) - (length - 1)
    part = np.append(np.ones(length - 1), last)
    made: dict[str, dict[str, NDArray[np.float64]]] = {}
    for slo in past.slos:
        name = slo.name
        total = np.bincount(past.day, weights=past.columns[f"{name}.total"], minlength=past.days)
        changed, fitted = weighted[name]
        seen = np.bincount(past.day, weights=past.columns[f"{name}.bad"], minlength=past.days)
        miss = (seen + 1.0)[:, None] / (fitted + 1.0)
        expected = np.minimum(changed * miss, 0.999 * np.maximum(total, 1e-9)[:, None])
        mean = expected[chosen, which[:, None]] * part
        events = total[chosen] * part
        spread = max(1.0, network.mechanism(name).dispersion)
        noise = rng.standard_normal((draws, length))
        variance = spread * mean * (1 - np.divide(mean, events, out=np.zeros_like(mean), where=events > 0))
        made[name] = {"bad": np.clip(mean + np.sqrt(np.maximum(variance, 0)) * noise, 0, events), "total": events}
    return made


def _bad_by_day(past: _Past, network: Network, do: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float64]]:
    """Add up expected bad events by past day and draw, as set and as it was; rows in chunks to bound memory."""
    set_to = {**past.current, **do}
    made = {slo.name: np.zeros((2, past.days, network.n_draws)) for slo in past.slos}
    for start in range(0, len(past.day), _CHUNK):
        rows = slice(start, start + _CHUNK)
        columns = {name: column[rows] for name, column in past.columns.items()}
        left = residuals(past.mechanisms, columns)
        for i, values in enumerate(({name: value[rows] for name, value in set_to.items()}, {})):
            shares = run(past.mechanisms, columns, left, values)
            for slo in past.slos:
                np.add.at(made[slo.name][i], past.day[rows], columns[f"{slo.name}.total"][:, None] * shares[slo.name])
    return made


def _terms(
    past: _Past, scenarios: Mapping[str, dict[str, dict[str, NDArray[np.float64]]]]
) -> tuple[pl.DataFrame, NDArray[np.float64]]:
    found: dict[str, dict[tuple[str, str, str, datetime], NDArray[np.float64]]] = {}
    for scenario, futures in scenarios.items():
        found[scenario] = {}
        for slo in past.slos:
            bad, total = (futures[slo.name][key].cumsum(axis=1) for key in ("bad", "total"))
            used, seen = past.spent[slo.name]
            allowed = np.maximum((seen + total[:, -1]) * slo.allowed, 1e-9)
            length = bad.shape[1]
            for i in range(length):
                time = min(past.end + timedelta(days=i + 1), past.end + past.horizon)
                found[scenario][(slo.name, "spent", "1", time)] = (used + bad[:, i]) / allowed
            end = past.end + past.horizon
            share = bad[:, -1] / np.maximum(total[:, -1], 1e-9)
            found[scenario][(slo.name, "events", "events", end)] = bad[:, -1]
            found[scenario][(slo.name, "bad_share", "1", end)] = share
            found[scenario][(slo.name, "burn", "1", end)] = share / slo.allowed
    if "changed" in found:
        found["difference"] = {key: values - found["as is"][key] for key, values in found["changed"].items()}
    rows = [(key[0], key[1], key[2], scenario, key[3]) for scenario, parts in found.items() for key in parts]
    terms = pl.DataFrame(rows, schema=["slo", "quantity", "unit", "scenario", "time"], orient="row")
    return terms, np.column_stack([values for parts in found.values() for values in parts.values()])


def _value(past: _Past, windows: Windows, name: str, level: float | int | str) -> NDArray[Any]:
    variable = windows.variable(name)
    now = past.current[name]
    if variable.kind == "category":
        return np.full(len(now), str(level))
    if not isinstance(level, str):
        return np.full(len(now), float(level))
    try:
        return np.full(len(now), float(level))
    except ValueError:
        pass
    from causalrel.expressions import compile_expression

    numbers = {key: value for key, value in past.current.items() if value.dtype.kind == "f"}
    made = pl.DataFrame(numbers).select(compile_expression(level, sorted(numbers), "do").alias("set"))["set"]
    if not made.dtype.is_numeric() or made.null_count():
        raise errors.bad_question(f"whatif: '{level}' gives no number for '{name}'", "write one such as gpu_count * 2")
    return made.cast(pl.Float64).to_numpy()


def _checks(past: _Past, network: Network) -> tuple[Check, ...]:
    return (
        *network.checks,
        Check(
            name="history",
            passed=past.days >= 5,
            says=f"futures are drawn from {past.days} past days"
            + ("" if past.days >= 5 else "; fewer than 5 hold too little of what may come"),
        ),
    )


def _assumptions(network: Network) -> tuple[str, ...]:
    return (
        f"graph {network.graph.name} (version {network.graph.version}) is right",
        "the days to come resemble the days seen, in workload, traffic and what the mechanisms miss",
        "configuration and hardware stay as last seen unless set, bad hardware included",
        "the budget is that of the period ending at the horizon, as far as data and forecast cover it",
    )
