"""Ledgers: the parts of an attribution summed over drivers, their roles or change events, and their terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import polars as pl

from causalrel import display, errors
from causalrel.attribution.deploys import Deploy, between, deploys_of
from causalrel.estimates import Check
from causalrel.graphs import Graph
from causalrel.slos import SLO
from causalrel.telemetry.schema import TIME
from causalrel.variables import ROLES
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = Mapping[str, NDArray[Any]]
    Parts = Mapping[str, NDArray[np.float64]]

By = Literal["driver", "role", "change"]
SUMS: tuple[By, ...] = get_args(By)
#: What drivers did where no change event of theirs lies between the rows compared.
NO_CHANGE = "no change event"
IN_FORCE = "of several changes of one variable between two rows, the one last in force has what the variable did"

#: Deploys told one by one, those with the most traffic; the rest of them are one line.
_MOST_DEPLOYS = 50
#: Roles of what a change event sets.
_SET = ("config", "hardware")
#: Share of the whole change from which what two drivers do together is told.
_LARGE = 0.2
_NO_SPAN = (None, None, None)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a ledger: whose part it is, as a share of the events in each draw.

    Parameters
    ----------
    driver, role : str
        Whose part; a driver, a role or a change.
    share : ndarray of float64, shape (n_draws,)
        The part.
    deploy : Deploy or None
        Of a change, when it came and where.
    """

    driver: str
    role: str
    share: NDArray[np.float64]
    deploy: Deploy | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ties:
    """Which rows each deploy lies between, for each driver that it set.

    Parameters
    ----------
    deploys : list of Deploy
        All deploys.
    keys : list of (str, int)
        Driver and place of the deploy, those with the most traffic first.
    weights : list of ndarray of float64, shape (n,)
        For each key, the weights of the pairs that the deploy lies between, zero elsewhere.
    checks : list of Check
        What cannot be told apart.
    """

    deploys: list[Deploy]
    keys: list[tuple[str, int]]
    weights: list[NDArray[np.float64]]
    checks: list[Check]


def tie(
    windows: Windows,
    graph: Graph,
    drivers: Sequence[str],
    spans: tuple[Rows, Rows],
    pairs: tuple[NDArray[np.intp], NDArray[np.intp]],
    mass: NDArray[np.float64],
) -> Ties:
    """Find which deploys lie between the rows that are compared.

    Parameters
    ----------
    windows : Windows
        The windows, with their change events.
    graph : Graph
        The graph of the drivers.
    drivers : sequence of str
        What changed from one span to the other.
    spans : tuple of mapping
        Rows of both spans.
    pairs : tuple of ndarray of intp, shape (n,)
        Which rows are compared.
    mass : ndarray of float64, shape (n,)
        Weights of the pairs.

    Returns
    -------
    Ties
        Of the drivers that can be set: configuration and hardware.

    Raises
    ------
    CausalrelError
        When the windows carry no change events.
    """
    deploys = deploys_of(windows)
    if not deploys:
        raise errors.bad_question(
            "attribute: the windows carry no change events", "sum by driver, or bring changes along with the telemetry"
        )
    width = windows.width // timedelta(microseconds=1)
    names = sorted({name for deploy in deploys for name in deploy.times})
    found = {name: between(deploys, name, spans, pairs, width) for name in names}
    traffic = np.sum([np.bincount(places + 1, mass, len(deploys) + 1)[1:] for places in found.values()], axis=0)
    order = [int(place) for place in np.argsort(-traffic, kind="stable") if traffic[place] > 0]
    set_by_hand = [name for name in drivers if name in found and graph.variable(name).role in _SET]
    keys = [(name, place) for place in order for name in set_by_hand if (found[name] == place).any()]
    return Ties(
        deploys=deploys,
        keys=keys,
        weights=[mass * (found[name] == place) for name, place in keys],
        checks=_told_apart([deploys[place] for place in order], set(graph.names)),
    )


def _told_apart(deploys: Sequence[Deploy], known: set[str]) -> list[Check]:
    """Say which changes cannot be told apart, and which the graph has no variable for."""
    joint = [deploy.name for deploy in deploys if len(deploy.times) > 1 and known & set(deploy.times)]
    loose = [deploy.name for deploy in deploys if not known & set(deploy.times)]
    together = f"{'; '.join(joint)} came together and never apart: what each did cannot be told"
    outside = f"the graph has no variable for {'; '.join(loose)}: what that did is not among the changes"
    return [
        Check(
            name="changes together", passed=not joint, says=together if joint else "no two changes came only together"
        ),
        Check(name="changes unnamed", passed=not loose, says=outside if loose else "the graph names all that changed"),
    ]


def list_parts(by: By, parts: Parts, total: NDArray[np.float64], graph: Graph, ties: Ties | None) -> list[Line]:
    """Sum the parts of drivers into lines that add up, ``unexplained`` and ``total`` last.

    Parameters
    ----------
    by : {"driver", "role", "change"}
        What is summed over.
    parts : mapping of str to ndarray of float64, shape (1 + n_keys, n_draws)
        Each driver's part, then what of it falls to each key of the ties.
    total : ndarray of float64, shape (n_draws,)
        The whole change.
    graph : Graph
        The graph of the drivers.
    ties : Ties or None
        Where it is by change, the deploys.

    Returns
    -------
    list of Line
        The lines.

    Examples
    --------
    >>> graph = Graph.from_edges([("load", "ttft")], roles={"load": "workload", "ttft": "outcome"})
    >>> lines = list_parts("role", {"load": np.array([[0.2]])}, np.array([0.3]), graph, None)
    >>> [(line.driver, float(line.share[0].round(2))) for line in lines]
    [('workload', 0.2), ('unexplained', 0.1), ('total', 0.3)]
    """
    roles = {variable.name: variable.role for variable in graph.variables}
    drivers = [Line(name, roles[name], part[0]) for name, part in parts.items()]
    explained = np.sum([np.zeros_like(total), *(line.share for line in drivers)], axis=0)
    lines = drivers
    if by == "role":
        sums = {role: [line.share for line in drivers if line.role == role] for role in ROLES}
        lines = [Line(role, role, np.sum(shares, axis=0)) for role, shares in sums.items() if shares]
    if ties is not None:
        lines = _changes(parts, roles, ties, np.sign(total))
        lines.append(Line(NO_CHANGE, "", explained - np.sum([np.zeros_like(total), *(o.share for o in lines)], axis=0)))
    return [*lines, Line("unexplained", "", total - explained), Line("total", "", total)]


def _changes(parts: Parts, roles: Mapping[str, str], ties: Ties, way: NDArray[np.float64]) -> list[Line]:
    """Sum the parts of each deploy, those that explain most of the change first."""
    sums: dict[int, list[NDArray[np.float64]]] = {}
    kinds: dict[int, set[str]] = {}
    for row, (name, place) in enumerate(ties.keys, start=1):
        sums.setdefault(place, []).append(parts[name][row])
        kinds.setdefault(place, set()).add(roles[name])
    lines = []
    for place, shares in sums.items():
        role = next(iter(kinds[place])) if len(kinds[place]) == 1 else ""
        lines.append(Line(ties.deploys[place].name, role, np.sum(shares, axis=0), ties.deploys[place]))
    told = sorted(lines[:_MOST_DEPLOYS], key=lambda line: -float((way * line.share).mean()))
    more = [line.share for line in lines[_MOST_DEPLOYS:]]
    return [*told, Line(f"{len(more)} other changes", "", np.sum(more, axis=0))] if more else told


def list_pairs(
    together: Mapping[tuple[str, str], NDArray[np.float64]], total: NDArray[np.float64], slo: SLO, count: int
) -> tuple[list[Line], Check]:
    """Name the drivers that act together: by a fifth of the change or more, and twice the spread of the draws.

    Parameters
    ----------
    together : mapping of (str, str) to ndarray of float64, shape (n_draws,)
        Interaction of each pair.
    total : ndarray of float64, shape (n_draws,)
        The whole change.
    slo : SLO
        The SLO.
    count : int
        Number of drivers.

    Returns
    -------
    lines : list of Line
        A line a pair named, the largest first.
    check : Check
        The same in a sentence.

    Examples
    --------
    >>> slo = SLO(name="ttft", dimension="latency", target=0.75)
    >>> pairs = {("load", "clock"): np.array([0.1, 0.12]), ("load", "queue_s"): np.array([0.01, 0.02])}
    >>> list_pairs(pairs, np.array([0.3, 0.3]), slo, 3)[1].says
    'load and clock act together: 37% of the change of ttft came only as both moved, and each bears half of it'
    """
    name = "drivers together"
    if not together and count > 1:
        return [], Check(name=name, passed=True, says=f"whether any two of {count} drivers act together was not run")
    lines = [
        Line(f"{one} and {other}", "", share)
        for (one, other), share in together.items()
        if total[0] and abs(share.mean()) > max(_LARGE * abs(total[0]), 2 * share.std())
    ]
    lines.sort(key=lambda line: -abs(float(line.share.mean())))
    said = []
    for line in lines:
        part = float(line.share.mean() / total[0])
        what = "of the change of {} came only as both moved" if part > 0 else "of the change of {} both would add alone"
        said.append(f"{display.percent(abs(part))} {what.format(slo.name)}")
    told = "; ".join(
        f"{line.driver} act together: {text}, and each bears half of it" for line, text in zip(lines, said, strict=True)
    )
    none = f"no two drivers act together by {display.percent(_LARGE)} of the change or more"
    return lines, Check(name=name, passed=True, says=told or none)


def make_terms(
    slo: SLO, lines: Sequence[Line], pairs: Sequence[Line], events: float, hours: float
) -> tuple[pl.DataFrame, NDArray[np.float64]]:
    """Return the terms and draws of a ledger in events, burn and budget hours; of changes, whether each comes first.

    Parameters
    ----------
    slo : SLO
        The SLO.
    lines : sequence of Line
        The lines, ``total`` last.
    pairs : sequence of Line
        Drivers that act together.
    events : float
        Events of the span explained.
    hours : float
        Its length.

    Returns
    -------
    terms : polars.DataFrame
        A row a quantity and line.
    draws : ndarray of float64, shape (n_draws, n_terms)
        Their draws.

    Examples
    --------
    >>> slo = SLO(name="ttft", dimension="latency", target=0.75)
    >>> terms, draws = make_terms(slo, [Line("total", "", np.array([0.5]))], [], 8.0, 1.0)
    >>> dict(zip(terms["quantity"], draws[0].tolist(), strict=True))
    {'events': 4.0, 'burn': 2.0, 'budget_hours': 2.0}
    """
    units = {"events": "events", "burn": "1", "budget_hours": "h"}
    scale = {"events": events, "burn": 1 / slo.allowed, "budget_hours": hours / slo.allowed}
    told = [(quantity, line, scale[quantity] * line.share) for quantity in units for line in lines]
    told += [("interaction", line, scale["burn"] * line.share) for line in pairs]
    deploys = [line for line in lines if line.deploy]
    if deploys:
        pushed = np.sign(lines[-1].share) * np.array([line.share for line in deploys])
        first = (pushed == pushed.max(axis=0)) & (pushed > 0)
        told += [("first", line, first[row].astype(np.float64)) for row, line in enumerate(deploys)]
    rows = [(slo.name, quantity, units.get(quantity, "1"), line.driver, line.role) for quantity, line, _ in told]
    terms = pl.DataFrame(rows, schema=["slo", "quantity", "unit", "driver", "role"], orient="row")
    if any(line.driver == NO_CHANGE for line in lines):
        spans = [(*line.deploy.span, len(line.deploy.units)) if line.deploy else _NO_SPAN for _, line, _ in told]
        when = pl.DataFrame(spans, schema={"start": TIME, "end": TIME, "units": pl.Int64()}, orient="row")
        terms = terms.hstack(when)
    return terms, np.column_stack([draws for *_, draws in told])
