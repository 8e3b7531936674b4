"""Attribution: the change of an SLO's burn between two spans as a ledger of causes that adds up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from causalrel import display, errors
from causalrel.attribution.coalitions import EXACT, coalitions_of, interactions, list_steps, shapley, worths
from causalrel.attribution.ledgers import IN_FORCE, SUMS, By, list_pairs, list_parts, make_terms, tie
from causalrel.estimates import Check, Estimate
from causalrel.identification import hidden_confounders
from causalrel.mechanisms.drafts import rows_of
from causalrel.networks import Mechanism, Network
from causalrel.slos import SLO
from causalrel.variables import parse_time
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

Span = tuple[datetime | str, datetime | str]

_METHOD = (
    "{orders} Shapley values over the fitted mechanisms, rows of the two spans paired by unit and time of day; "
    "intervals from parameter draws that allow for dependence between windows"
)
_FEWEST = 3
_ASKED = {"driver": "Who", "role": "Which role", "change": "Which change"}


def attribute(
    windows: Windows,
    network: Network,
    *,
    during: Span,
    against: Span | None = None,
    on: str | None = None,
    by: By = "driver",
    seed: int = 0,
) -> Estimate:
    """Split the change of burn between two spans among the drivers of a network.

    Each driver's own part (the value of what is observed, the residual of what is derived) is swapped from one span to
    the other; Shapley values average over all orders (Shapley 1953; Budhathoki et al. 2021, arXiv:2102.13384). What the
    mechanisms do not reproduce is *unexplained*, so every draw adds up to the observed change.

    By change, a deploy explains what came through the settings and hardware that it set: their parts of the rows that
    it lies between. What the other drivers did, and these beyond their changes, is ``no change event``; a mechanism
    that changed by itself is not dated.

    Parameters
    ----------
    windows : Windows
        The windows.
    network : Network
        A network fitted to them.
    during : tuple of datetime or str
        Start and end of the span to explain, UTC.
    against : tuple of datetime or str, optional
        The span compared with; the same hours of all days before where not given.
    on : str, optional
        The SLO; the one that burnt fastest during the span where not given.
    by : {"driver", "role", "change"}
        What the parts are summed over: drivers, their roles, or change events, a rollout over units as one.
    seed : int
        Seed of the orders, where there are too many to take all.

    Returns
    -------
    Estimate
        Terms ``slo``, ``quantity`` (events, burn, budget_hours), ``unit``, ``driver`` (or the role, or the change),
        ``role``; the drivers and ``unexplained`` add up to ``total`` in every draw. Two drivers that act together have
        a term of quantity ``interaction``, in burn, of which each bears half. By change also ``start``, ``end``
        and ``units``, and the quantity ``first``: whether that change has the most of the total, in each draw.

    Raises
    ------
    CausalrelError
        When a span lies outside the data, overlaps the other or holds fewer than three windows, an SLO is unknown, or
        there are no change events to sum by.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="30m", by="node")
    >>> network = cr.fit(windows, cr.load_graph("llm-serving").project(windows.names))
    >>> answer = cr.attribute(windows, network, during=("2026-02-15T09:00", "2026-02-16T00:00"), on="ttft")
    >>> ledger = answer.select(quantity="burn").frame()
    >>> parts = ledger.filter(ledger["driver"] != "total")["mean"].sum()
    >>> abs(parts - ledger.filter(ledger["driver"] == "total")["mean"].item()) < 1e-9
    True
    """
    if by not in SUMS:
        raise errors.unknown_name(str(by), "way to sum an attribution", SUMS)
    return attributions(windows, network, during=during, against=against, on=on, ways=(by,), seed=seed)[0]


def attributions(
    windows: Windows,
    network: Network,
    *,
    during: Span,
    against: Span | None = None,
    on: str | None = None,
    ways: Sequence[By],
    seed: int = 0,
) -> list[Estimate]:
    """Split the change of burn between two spans once, and sum its parts in several ways.

    Parameters
    ----------
    windows, network, during, against, on, seed
        As in :func:`attribute`.
    ways : sequence of {"driver", "role", "change"}
        What the parts are summed over.

    Returns
    -------
    list of Estimate
        One for each way.

    Raises
    ------
    CausalrelError
        As :func:`attribute` does.
    """
    span, other = _spans(windows, during, against)
    slo = _slo(windows, network, span, on)
    mechanisms = network.causes([slo.name])
    now, before, told = _rows(windows, [m.variable.name for m in mechanisms], span, other)
    drivers = _drivers(mechanisms, now, before)
    left, right, mass = _paired(now[f"{slo.name}.total"], before[f"{slo.name}.total"])
    ties = tie(windows, network.graph, drivers, (now, before), (left, right), mass) if "change" in ways else None
    weights = np.array([mass, *(ties.weights if ties else [])])
    steps = list_steps(drivers, np.random.default_rng([seed, 3]))
    worth = worths(mechanisms, slo.name, (now, before), (left, right), weights, coalitions_of(steps))
    parts = shapley(worth, steps)
    shares = [columns[f"{slo.name}.bad"].sum() / columns[f"{slo.name}.total"].sum() for columns in (now, before)]
    total = np.full(network.n_draws, shares[0] - shares[1])
    whole = {chosen: sums[0] for chosen, sums in worth.items()}
    together = interactions(whole, drivers) if "driver" in ways else {}
    pairs, paired = list_pairs(together, total, slo, len(drivers))
    when = f"from {display.when(span[0])} to {display.when(span[1])} UTC, against {told}"
    hours = (span[1] - span[0]).total_seconds() / 3600
    made = []
    for way in ways:
        dated = ties if way == "change" else None
        lines = list_parts(way, parts, total, network.graph, dated)
        said = {"driver": [paired], "role": [], "change": ties.checks if ties else []}[way]
        checks = [*_checks(network, slo, drivers, lines[-2].share, total), *said]
        events = float(now[f"{slo.name}.total"].sum())
        terms, draws = make_terms(slo, lines, pairs if way == "driver" else [], events, hours)
        made.append(
            Estimate(
                question=f"{_ASKED[way]} burnt the {slo.name} budget {when}?",
                draws=draws,
                terms=terms,
                unit="events",
                method=_METHOD.format(orders="exact" if len(drivers) <= EXACT else "sampled"),
                assumptions=(*_assumptions(network), *([IN_FORCE] if dated else [])),
                checks=tuple(checks),
                verdict="answered" if all(check.passed for check in checks) else "bounded",
                origin=windows.origin(seed, network.graph.fingerprint()),
            )
        )
    return made


def _spans(
    windows: Windows, during: Span, against: Span | None
) -> tuple[tuple[datetime, datetime], tuple[datetime, datetime] | None]:
    span = named_span(windows, during, "during")
    other = None if against is None else named_span(windows, against, "against")
    if other is not None and span[0] < other[1] and other[0] < span[1]:
        raise errors.bad_question("attribute: the spans during and against overlap", "name two spans apart")
    return span, other


def _assumptions(network: Network) -> tuple[str, ...]:
    return (
        f"graph {network.graph.name} (version {network.graph.version}) is right",
        "configuration counts as set: a change made because load rose is told as configuration",
        "a derived variable's residual is its own doing (its mechanism changed)",
    )


def named_span(windows: Windows, span: Span, name: str) -> tuple[datetime, datetime]:
    """Read a span of the windows.

    Parameters
    ----------
    windows : Windows
        The windows.
    span : tuple of datetime or str
        Start and end, UTC.
    name : str
        What it is asked for, named in the error.

    Returns
    -------
    tuple of datetime
        Start and end.

    Raises
    ------
    CausalrelError
        When it ends before it starts or lies outside the data.
    """
    start, end = (parse_time(value, name) for value in span)
    first, last = windows.span
    if start >= end:
        raise errors.bad_question(f"{name}: the span ends before it starts", "write start, then end")
    if end <= first or start >= last:
        raise errors.bad_question(
            f"{name}: {display.when(start)} to {display.when(end)} lies outside the data",
            f"the windows run from {display.when(first)} to {display.when(last)} UTC",
        )
    return start, end


def _slo(windows: Windows, network: Network, span: tuple[datetime, datetime], on: str | None) -> SLO:
    known = {slo.name: slo for slo in network.slos}
    if on is not None:
        if on not in known:
            raise errors.unknown_name(on, "SLO in the network", known)
        return known[on]
    if not known:
        raise errors.bad_question("attribute: the network holds no SLO", "fit a graph with an SLO as outcome")
    rows = windows.during(*span)

    def burn(slo: SLO) -> float:
        bad, total = (float(rows[f"{slo.name}.{part}"].sum() or 0) for part in ("bad", "total"))
        return bad / total / slo.allowed if total else 0.0

    return max(known.values(), key=burn)


def _rows(
    windows: Windows, names: Sequence[str], span: tuple[datetime, datetime], other: tuple[datetime, datetime] | None
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]], str]:
    columns, kept = rows_of(windows, names)
    time = kept["time"].dt.replace_time_zone(None).to_numpy().astype("datetime64[us]")
    start, end = (np.datetime64(value.replace(tzinfo=None), "us") for value in span)
    now = (time >= start) & (time < end)
    day = np.timedelta64(1, "D")
    told = "the same hours of the days before"
    if other is not None:
        first, last = (np.datetime64(value.replace(tzinfo=None), "us") for value in other)
        before = (time >= first) & (time < last)
        told = f"{display.when(other[0])} to {display.when(other[1])}"
    elif end - start >= day:
        before, told = time < start, "all the days before"
    else:
        before = (time < start) & ((time - start) % day < end - start)
    for mask, which in ((now, "during"), (before, "against")):
        count = len(np.unique(time[mask]))
        if count < _FEWEST:
            raise errors.bad_question(
                f"attribute: the span {which} holds {count} complete windows and {_FEWEST} are the least",
                "name a longer span or narrower windows",
            )
    shared = np.isin(columns["unit"][now], columns["unit"][before]).mean()
    if shared < 0.5:
        raise errors.refused(
            "the attribution",
            f"{display.percent(float(shared))} of the windows in the span are of units that the span compared with "
            "holds too, so a change would be a change of units",
        )
    clock = (time - time.astype("datetime64[D]")).astype(np.int64)
    order = np.lexsort((columns["step"], clock, columns["unit"]))
    picked = [{name: column[order][mask[order]] for name, column in columns.items()} for mask in (now, before)]
    return picked[0], picked[1], told


def _drivers(
    mechanisms: Sequence[Mechanism], now: dict[str, NDArray[Any]], before: dict[str, NDArray[Any]]
) -> list[str]:
    names = [m.variable.name for m in mechanisms if m.form != "event-rate"]
    return [name for name in names if len(np.unique(np.concatenate([now[name], before[name]]))) > 1]


def _paired(
    now: NDArray[np.float64], before: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Pair two weighted row sets in their order (north-west corner rule); both margins stay exact."""
    ends = [np.cumsum(weights) / weights.sum() for weights in (now, before)]
    for end in ends:
        end[-1] = 1.0
    cuts = np.unique(np.concatenate(ends))
    mass = np.diff(np.concatenate([[0.0], cuts]))
    middle = cuts - mass / 2
    left, right = (np.minimum(np.searchsorted(end, middle), len(end) - 1) for end in ends)
    return left, right, mass


def _checks(
    network: Network, slo: SLO, drivers: Sequence[str], unexplained: NDArray[np.float64], total: NDArray[np.float64]
) -> list[Check]:
    hidden = sorted({h for driver in drivers for h in hidden_confounders(network.graph, driver, slo.name)})
    rest, change = float(np.mean(unexplained)), float(total[0])
    share = abs(rest / change) if change else 0.0
    fit = [check for check in network.checks if check.name.startswith(f"{slo.name}:")]
    return [
        *fit,
        Check(
            name="unexplained share",
            passed=share <= 0.5,
            says=f"the mechanisms leave {display.percent(share)} of the change of {slo.name} unexplained",
        ),
        Check(
            name="hidden causes",
            passed=not hidden,
            says=f"the graph names {', '.join(hidden)} as unmeasured, which may act through these drivers"
            if hidden
            else "the graph names no unmeasured cause of drivers",
        ),
    ]
