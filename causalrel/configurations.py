"""Configurations: which settings the windows saw, which lie between seen ones, and which nothing is known of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from causalrel import display
from causalrel.estimates import Check
from causalrel.identification import hidden_confounders
from causalrel.networks import Network
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Up to so many different values a number is taken as set by hand, one of a few.
FEW = 12

#: Share of the windows below which a configuration was seen too rarely for a plain answer.
_RARE = 0.02


@dataclass(slots=True, kw_only=True)
class _Found:
    """What is said of each configuration asked about."""

    seen: list[str] = field(default_factory=list)
    rare: list[str] = field(default_factory=list)
    between: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def check_configurations(
    windows: Windows, network: Network, values: Mapping[str, NDArray[Any]], workload: Sequence[str] = ()
) -> list[Check]:
    """Say what an answer about some settings relies on: windows that had them, windows around them, or nothing.

    A number beyond those seen is answered only where every mechanism that it enters is a surface that was tried there:
    its draws are then moved by normal numbers whose standard deviation is what the surface missed where the outermost
    values were held out.

    Parameters
    ----------
    windows : Windows
        The windows.
    network : Network
        The network.
    values : mapping of str to ndarray, shape (n,)
        Values that are set together, row by row.
    workload : sequence of str
        Workload that is moved beside them, of which it is asked elsewhere how much was seen.

    Returns
    -------
    list of Check
        ``seen`` and ``hidden causes``, for which an answer is refused; ``relied on`` and ``seen often``, for which it
        is bounded.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> network = cr.fit(windows, cr.load_graph("llm-serving").project(windows.names))
    >>> checks = check_configurations(windows, network, {"batch_size": np.array([6.0])})
    >>> [(check.name, check.passed) for check in checks][:2]
    [('seen', True), ('relied on', False)]
    >>> checks[1].says
    'batch_size = 6 was never seen and is interpolated: batch_size lies between 4 and 8'
    """
    found = _look(windows, network, values)
    hidden = sorted(
        {
            hidden
            for name in (*values, *workload)
            for slo in network.slos
            for hidden in hidden_confounders(network.graph, name, slo.name)
        }
    )
    seen = f"windows had {'; '.join(found.seen)}" if found.seen else "windows lie on all sides of what is set"
    if not values:
        seen = "nothing is set beside the workload"
    return [
        Check(
            name="seen",
            passed=not found.unknown,
            says="; ".join(f"{said}, so nothing is known of it" for said in found.unknown) if found.unknown else seen,
        ),
        Check(
            name="relied on",
            passed=not found.between,
            says="; ".join(found.between) if found.between else "no value that was not seen is relied on",
        ),
        Check(
            name="seen often",
            passed=not found.rare,
            says="; ".join(found.rare) if found.rare else "what was seen was seen in at least 2% of the windows",
        ),
        Check(
            name="hidden causes",
            passed=not hidden,
            says=f"the graph names {', '.join(hidden)} as unmeasured between what is set and an SLO"
            if hidden
            else "the graph names no unmeasured cause between what is set and an SLO",
        ),
    ]


def levels_between(windows: Windows, name: str) -> list[Any]:
    """Return the values of a setting that were seen, and of a number set by hand those halfway between.

    Parameters
    ----------
    windows : Windows
        The windows.
    name : str
        A setting.

    Returns
    -------
    list
        Labels, or numbers in order; of a number with more than twelve values seven spread over those seen.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> levels_between(windows, "batch_size")
    [4.0, 6.0, 8.0]
    """
    if windows.variable(name).kind == "category":
        return sorted(_labels(windows, name))
    numbers = _numbers(windows, name)
    if len(numbers) > FEW:
        return [float(value) for value in np.quantile(numbers, np.linspace(0, 1, 7))]
    return sorted({*numbers.tolist(), *((numbers[1:] + numbers[:-1]) / 2).tolist()})


def _labels(windows: Windows, name: str) -> set[str]:
    return set(windows.table[name].drop_nulls().cast(pl.String).to_list())


def _numbers(windows: Windows, name: str) -> NDArray[np.float64]:
    return np.unique(windows.table[name].drop_nulls().cast(pl.Float64).to_numpy())


def _look(windows: Windows, network: Network, values: Mapping[str, NDArray[Any]]) -> _Found:
    found = _Found()
    kinds = {name: windows.variable(name).kind == "category" for name in values}
    known = {name: None if kinds[name] else _numbers(windows, name) for name in values}
    few = [name for name, numbers in known.items() if numbers is None or len(numbers) <= FEW]
    asked = pl.DataFrame(dict(values)).unique(maintain_order=True) if values else pl.DataFrame()
    for row in asked.iter_rows(named=True):
        outside = {name: said for name in values if (said := _unknown(windows, name, row[name], known[name]))}
        reached = {name: _tried(network, name, row[name], known[name]) for name in outside}
        for name, said in outside.items():
            listed = found.between if reached[name] else found.unknown
            told = f"{said}; the band of {', '.join(reached[name])} is as wide as its misses at the outermost values"
            listed += [one for one in (told if reached[name] else said,) if one not in listed]
        if not outside and few:
            _place(windows, {name: row[name] for name in few}, kinds, found)
    return found


def _unknown(windows: Windows, name: str, level: Any, numbers: NDArray[np.float64] | None) -> str:
    """Say that a value alone lies outside all that was seen, or nothing."""
    if numbers is None:
        labels = _labels(windows, name)
        return (
            ""
            if level in labels
            else f"{display.configuration({name: level})} was never seen (seen: {_listed(labels)})"
        )
    if len(numbers) and numbers[0] <= level <= numbers[-1]:
        return ""
    ends = display.level(numbers[0]) if len(numbers) == 1 else " to ".join(display.level(v) for v in numbers[[0, -1]])
    how = f"it was {ends} throughout" if len(numbers) == 1 else f"seen: {ends}"
    return (
        f"{display.configuration({name: level})} was never seen ({how})" if len(numbers) else f"{name} was never seen"
    )


def _tried(network: Network, name: str, level: Any, numbers: NDArray[np.float64] | None) -> list[str]:
    """Return the mechanisms a number enters where each was tried beyond that end, else none."""
    made = []
    for mechanism in network.mechanisms:
        if name not in mechanism.parents:
            continue
        if mechanism.surface is None or numbers is None or not len(numbers):
            return []
        side = mechanism.surface.low if level < numbers[0] else mechanism.surface.high
        if not np.isfinite(side[mechanism.parents.index(name)]):
            return []
        made.append(mechanism.variable.name)
    return made


def _place(windows: Windows, row: Mapping[str, Any], kinds: Mapping[str, bool], found: _Found) -> None:
    """Put one configuration, each value of which is known alone, where it belongs."""
    numeric = [name for name in row if not kinds[name]]
    labels = [name for name in row if kinds[name]]
    table = windows.table.select(
        *[pl.col(name).cast(pl.String) for name in labels], *[pl.col(name).cast(pl.Float64) for name in numeric]
    ).drop_nulls()
    same = table.filter(pl.all_horizontal(pl.lit(True), *[pl.col(name) == row[name] for name in labels]))
    exact = same.filter(pl.all_horizontal(pl.lit(True), *[pl.col(name) == row[name] for name in numeric]))
    said, share = display.configuration(row), exact.height / max(table.height, 1)
    if exact.height:
        found.seen.append(f"{said} ({display.percent(share)} of them)")
        if share < _RARE:
            found.rare.append(f"{said} was seen in {display.percent(share)} of the windows")
        return
    points = same.select(numeric).unique().to_numpy()
    if not numeric or not _inside(points, np.array([row[name] for name in numeric], dtype=np.float64)):
        found.unknown.append(f"{said} was never seen together")
        return
    sides = [f"{name} {_sides(same[name].to_numpy(), row[name])}" for name in numeric]
    found.between.append(f"{said} was never seen and is interpolated: {' and '.join(sides)}")


def _inside(points: NDArray[np.float64], at: NDArray[np.float64]) -> bool:
    """Say whether a point is a mean of others, that is in their convex hull."""
    if not len(points):
        return False
    if points.shape[1] == 1:
        return bool(points.min() <= at[0] <= points.max())
    from scipy.optimize import linprog

    within = linprog(
        np.zeros(len(points)), A_eq=np.vstack([points.T, np.ones(len(points))]), b_eq=np.append(at, 1.0), method="highs"
    )
    return bool(within.status == 0)


def _sides(seen: NDArray[np.float64], level: float) -> str:
    below, above = seen[seen <= level].max(), seen[seen >= level].min()
    if below == above:
        return f"was {display.level(float(below))}"
    return f"lies between {display.level(float(below))} and {display.level(float(above))}"


def _listed(labels: Iterable[str]) -> str:
    shown: Sequence[str] = sorted(labels)
    return ", ".join(shown[:6]) + (", ..." if len(shown) > 6 else "")
