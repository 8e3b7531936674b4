"""Diagrams: a causal graph in layers, workload, config and hardware on the left, outcomes on the right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from causalrel.graphs import Edge, Graph
from causalrel.reports.charts import safe
from causalrel.variables import ROLES, TIERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

#: Fill of each role's boxes: light enough for black text, apart in lightness for grey paper.
_FILLS = {
    "workload": "#ffffff",
    "config": "#cfe3f5",
    "hardware": "#f7d9b8",
    "engine": "#e6e6e6",
    "outcome": "#b9b9b9",
    "unmeasured": "#ffffff",
}
#: Depth inside a tier, and columns of a drawing with fewer tiers than share them.
_MOST_DEPTH, _MOST_COLUMNS = 3, 6
_MOST_NOTES = 5
_BEND = 0.25  # height of the slot of an edge that passes a column, in boxes
_FEW, _MANY = 2, 5  # columns
_POINTS = 600  # width of a page column, less its margins
_BOW = 0.12  # of an edge inside a column, in columns
_SWEEPS = 24
#: Stated edges found in less than this share of resamples are drawn apart.
_UNSEEN, _UNSEEN_INK = 0.05, "#b2182b"
_STEPS = np.linspace(0.0, 1.0, 24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where everything of a graph goes.

    Parameters
    ----------
    columns : tuple of tuple of str
        Names in each column, from top to bottom; a bend is an empty-named slot of an edge.
    places : mapping of str to (float, float)
        Column number and height of each slot.
    paths : tuple of (Edge, tuple of str)
        Slots each edge visits, from cause to effect.
    width : float
        Width of a box, in columns.
    inches : float
        Height wanted.
    """

    columns: tuple[tuple[str, ...], ...]
    places: Mapping[str, tuple[float, float]]
    paths: tuple[tuple[Edge, tuple[str, ...]], ...]
    width: float
    inches: float


def arrange(graph: Graph) -> Layout:
    """Place every variable in a column and order each column so that few edges cross.

    Long edges get a slot in each column they pass (Sugiyama et al. 1981, doi:10.1109/TSMC.1981.4308636); those of one
    cause that are drawn alike share it, and part where they reach the column before their effects.

    Parameters
    ----------
    graph : Graph
        Any graph; its unmeasured causes become boxes too.

    Returns
    -------
    Layout
        Where everything goes.

    Examples
    --------
    >>> graph = Graph.from_edges([("load", "ttft")], roles={"load": "workload", "ttft": "outcome"})
    >>> arrange(graph).columns
    (('load',), ('ttft',))
    """
    edges = [e for e in graph.edges if e.lag == 0]
    edges += [Edge(cause=_hidden(u.name), effect=a) for u in graph.unmeasured for a in u.affects]
    rank = _ranks(graph, edges)
    columns: list[list[str]] = [[] for _ in range(max(rank.values(), default=0) + 1)]
    for name in rank:
        columns[rank[name]].append(name)
    paths, trunks = [], [(name, loose, unseen) for name in rank for loose in (False, True) for unseen in (False, True)]
    number = {trunk: i for i, trunk in enumerate(trunks)}
    for edge in edges:
        trunk = number[edge.cause, not edge.oriented, _unseen(edge)]
        bends = [f"\x00{trunk}:{c}" for c in range(rank[edge.cause] + 1, rank[edge.effect])]
        for c, bend in enumerate(bends, start=rank[edge.cause] + 1):
            if bend not in columns[c]:
                columns[c].append(bend)
        paths.append((edge, (edge.cause, *bends, edge.effect)))
    _untangle(columns, [path for _, path in paths])
    tallest = max((sum(_height(s) for s in column) for column in columns), default=1.0)
    places: dict[str, tuple[float, float]] = {}
    for c, column in enumerate(columns):
        used = sum(_height(s) for s in column)
        gap = (tallest - used) / (len(column) + 1)
        y = gap
        for slot in column:
            places[slot] = (float(c), y + _height(slot) / 2)
            y += _height(slot) + gap
    return Layout(
        columns=tuple(tuple(column) for column in columns),
        places=places,
        paths=tuple(paths),
        width=0.4 if len(columns) <= _FEW else 0.66 if len(columns) <= _MANY else 0.76,
        inches=max(1.8, 0.44 * tallest + 0.5),
    )


def draw(ax: Axes, graph: Graph, layout: Layout) -> str:
    """Draw a graph as it was arranged.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where.
    graph : Graph
        The graph.
    layout : Layout
        Its arrangement.

    Returns
    -------
    str
        The message.
    """
    ax.set_axis_off()
    half = layout.width / 2
    for edge, path in layout.paths:
        _edge(ax, edge, [layout.places[slot] for slot in path], half)
    roles: dict[str, str] = {v.name: v.role for v in graph.variables}
    size = 8.5 if len(layout.columns) <= _MANY else 7.5
    most = max(8, round(layout.width / len(layout.columns) * _POINTS / (0.6 * size)))
    for slot, (x, y) in layout.places.items():
        if slot.startswith("\x00") and ":" in slot:
            continue
        role = roles.get(slot, "unmeasured")
        ax.fill(
            [x - half, x + half, x + half, x - half],
            [y - 0.36, y - 0.36, y + 0.36, y + 0.36],
            facecolor=_FILLS[role],
            edgecolor="#333333",
            linewidth=1.6 if role == "outcome" else 0.9,
            linestyle=(0, (3, 2)) if role == "unmeasured" else "-",
            zorder=3,
        )
        name = slot.removeprefix("\x00")
        ax.text(x, y - 0.09, safe(name, most), ha="center", va="center", fontsize=size, zorder=4)
        ax.text(x, y + 0.22, role, ha="center", va="center", fontsize=8, color="#4d4d4d", zorder=4)
    bottom = max((y for _, y in layout.places.values()), default=0.0) + 0.6
    ax.set_xlim(-half - 0.03, len(layout.columns) - 1 + half + _BOW + 0.02)
    ax.set_ylim(bottom, min((y for _, y in layout.places.values()), default=0.0) - 0.6)
    return f"{graph.name}: {counted(graph)}"


def counted(graph: Graph) -> str:
    """Say how large a graph is, and what its drawing leaves out.

    Parameters
    ----------
    graph : Graph
        Any graph.

    Returns
    -------
    str
        A clause.

    Examples
    --------
    >>> counted(Graph.from_edges([("load", "ttft")], roles={"load": "workload", "ttft": "outcome"}))
    '2 variables, 1 causal edge'
    """
    edges, hidden = len(graph.edges), len(graph.unmeasured)
    said = f"{len(graph.variables)} variables, {edges} causal edge{'' if edges == 1 else 's'}"
    if hidden:
        said += f", {hidden} unmeasured cause{'' if hidden == 1 else 's'} (dashed)"
    loose, unseen = sum(not e.oriented for e in graph.edges), sum(map(_unseen, graph.edges))
    if loose:
        said += f", {loose} of unknown direction (dashed, without a head)"
    if unseen:
        said += f", {unseen} stated that the data do not show (red, dotted)"
    lagged = [f"{e.cause} -> {e.effect} (lag {e.lag})" for e in graph.edges if e.lag]
    if lagged:
        rest = f" and {len(lagged) - _MOST_NOTES} more" if len(lagged) > _MOST_NOTES else ""
        said += f"; across windows, not drawn: {', '.join(lagged[:_MOST_NOTES])}{rest}"
    return said


def _unseen(edge: Edge) -> bool:
    """Whether an edge is stated and the data hardly ever found it."""
    return edge.source != "data" and edge.support is not None and edge.support < _UNSEEN


def _hidden(name: str) -> str:
    return f"\x00{name}"


def _ranks(graph: Graph, edges: Sequence[Edge]) -> dict[str, int]:
    """Return a column for each name: by tier, then by depth inside the tier, as deep as all columns allow."""
    tiers = {v.name: v.tier for v in graph.variables}
    most = max(_MOST_DEPTH, _MOST_COLUMNS // max(1, len(set(tiers.values()))))
    depth: dict[str, int] = {}
    for name in graph.order():
        parents = [e.cause for e in edges if e.effect == name and tiers.get(e.cause) == tiers[name]]
        depth[name] = min(max((depth.get(p, 0) + 1 for p in parents), default=0), most - 1)
    starts, start = {}, 0
    for tier in sorted(set(TIERS.values())):
        starts[tier] = start
        inside = [depth[name] for name in depth if tiers[name] == tier]
        start += max(inside) + 1 if inside else 0
    rank = {_hidden(u.name): 0 for u in graph.unmeasured}
    order = sorted(graph.variables, key=lambda v: ROLES.index(v.role))
    return rank | {v.name: starts[v.tier] + depth[v.name] for v in order}


def _height(slot: str) -> float:
    return _BEND if slot.startswith("\x00") and ":" in slot else 1.0


def _untangle(columns: list[list[str]], paths: Sequence[tuple[str, ...]]) -> None:
    """Order the columns in place by the mean place of their neighbours, sweeping left and right; keep the best."""
    near: dict[str, list[str]] = {}
    for path in paths:
        for left, right in pairwise(path):
            near.setdefault(left, []).append(right)
            near.setdefault(right, []).append(left)
    best, fewest = [list(column) for column in columns], _crossings(columns, paths)
    for sweep in range(_SWEEPS):
        order = range(1, len(columns)) if sweep % 2 == 0 else range(len(columns) - 2, -1, -1)
        for c in order:
            beside = columns[c - 1] if sweep % 2 == 0 else columns[c + 1]
            at = {slot: (i + 0.5) / len(beside) for i, slot in enumerate(beside)}
            own = {slot: (i + 0.5) / len(columns[c]) for i, slot in enumerate(columns[c])}
            means = {s: [at[n] for n in near.get(s, ()) if n in at] for s in columns[c]}
            columns[c].sort(key=lambda s: (fmean(means[s]) if means[s] else own[s], own[s]))
        crossed = _crossings(columns, paths)
        if crossed < fewest:
            best, fewest = [list(column) for column in columns], crossed
    columns[:] = best


def _crossings(columns: Sequence[Sequence[str]], paths: Sequence[tuple[str, ...]]) -> int:
    place = {slot: (c, i) for c, column in enumerate(columns) for i, slot in enumerate(column)}
    steps: dict[int, list[tuple[int, int]]] = {}
    for path in paths:
        for left, right in pairwise(path):
            if place[left][0] != place[right][0]:
                steps.setdefault(place[left][0], []).append((place[left][1], place[right][1]))
    return sum(
        (a[0] - b[0]) * (a[1] - b[1]) < 0 for ends in steps.values() for i, a in enumerate(ends) for b in ends[i + 1 :]
    )


def _edge(ax: Axes, edge: Edge, places: Sequence[tuple[float, float]], half: float) -> None:
    """Draw one edge through its slots: flat where it passes a column, an S between columns."""
    dashed = edge.cause.startswith("\x00") or not edge.oriented
    unseen = _unseen(edge)
    style: Any = (0, (1, 1.5)) if unseen else (0, (3, 2)) if dashed else "-"
    ink = _UNSEEN_INK if unseen else "#555555"
    weight = 0.9 if edge.support is None or unseen else 0.5 + 0.9 * edge.support
    xs: list[NDArray[np.float64]] = []
    ys: list[NDArray[np.float64]] = []
    for (x0, y0), (x1, y1) in pairwise(places):
        if x0 == x1:
            bow = x0 + half + _BOW * np.sin(np.pi * _STEPS)
            xs.append(bow)
            ys.append(y0 + (y1 - y0) * _STEPS)
            continue
        ease = _STEPS**2 * (3 - 2 * _STEPS)
        xs.append(x0 + half + (x1 - x0 - 2 * half) * _STEPS)
        ys.append(y0 + (y1 - y0) * ease)
    x, y = np.concatenate(xs), np.concatenate(ys)
    ax.plot(x, y, color=ink, lw=weight, ls=style, zorder=1)
    if edge.oriented:
        ax.annotate(
            "",
            (x[-1], y[-1]),
            (x[-4], y[-4]),
            arrowprops={
                "arrowstyle": "-|>",
                "color": ink,
                "lw": weight,
                "shrinkA": 0,
                "shrinkB": 0,
                "mutation_scale": 8,
            },
            zorder=2,
        )
