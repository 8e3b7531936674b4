"""Rows of an envelope: the reference by the blocks it is held out in, and the windows asked about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from causalrel import display, errors
from causalrel.estimates import Check
from causalrel.graphs import Graph
from causalrel.mechanisms.drafts import rows_of
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

Period = tuple[datetime, datetime]

#: Blocks of time that the reference is held out in; one part more are the windows asked about.
FOLDS = 4

_FEWEST = 40
#: Share of the windows whose inputs may lie outside what the reference saw.
_STRANGE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Windows of one SLI: those of the reference by the block they were held out with, and those asked about."""

    name: str
    quantity: str
    unit: str
    columns: dict[str, NDArray[Any]]
    times: pl.Series
    part: NDArray[np.int64]
    strange: int
    unknown: int

    @property
    def asked(self) -> NDArray[np.bool_]:
        """Which are asked about."""
        return np.asarray(self.part == FOLDS)


def sli_rows(windows: Windows, graph: Graph, name: str, span: Period, usual: Period) -> Rows:
    """Return the windows of one SLI; those asked about whose labels the reference never saw are left out."""
    causes = inputs(upstream(graph, [name]))
    columns, kept = rows_of(windows, [name, *causes])
    times = kept["time"]
    when = times.to_numpy().astype("datetime64[us]").astype(np.int64) / 1e6
    asked = (when >= span[0].timestamp()) & (when < span[1].timestamp())
    start, end = (one.timestamp() for one in usual)
    inside = (when >= start) & (when < end)
    if inside.sum() < _FEWEST:
        raise errors.refused(f"the envelope of {name}", f"the reference holds {inside.sum()} windows of {_FEWEST}")
    block = np.minimum((when - start) * FOLDS // (end - start), FOLDS - 1).astype(np.int64)
    part = np.where(asked, FOLDS, np.where(inside, block, -1))
    unknown, strange = np.zeros(len(part), dtype=np.bool_), np.zeros(len(part), dtype=np.bool_)
    for cause in causes:
        now, usually = columns[cause], columns[cause][inside]
        if now.dtype.kind == "f":
            strange |= asked & ((now < usually.min()) | (now > usually.max()))
        else:
            unknown |= asked & ~np.isin(now, usually)
    keep = (part >= 0) & ~unknown
    counted = f"{name}.bad" in columns
    return Rows(
        name=name,
        quantity="bad_share" if counted else "value",
        unit="1" if counted else windows.variable(name).unit,
        columns={key: column[keep] for key, column in columns.items()},
        times=times.filter(pl.Series(keep)),
        part=part[keep],
        strange=int((strange & ~unknown).sum()),
        unknown=int(unknown.sum()),
    )


def part_of(windows: Windows, usual: Period, part: int) -> Windows:
    """Return the reference windows without one block of time; all of them for the last."""
    length = (usual[1] - usual[0]) / FOLDS
    held = pl.col("time").is_between(usual[0] + part * length, usual[0] + (part + 1) * length, closed="left")
    inside = pl.col("time").is_between(*usual, closed="left")
    return replace(windows, table=windows.table.filter(inside if part == FOLDS else inside & ~held))


def upstream(graph: Graph, names: Sequence[str]) -> Graph:
    """Return a graph of some variables and what they follow from."""
    wanted = set(names)
    for name in reversed(graph.order()):
        wanted |= set(graph.parents(name)) if name in wanted else set()
    return graph.project(wanted)


def inputs(graph: Graph) -> list[str]:
    """Return what a graph takes as observed."""
    return [v.name for v in graph.variables if v.role in ("workload", "config", "hardware")]


def check_support(rows: Sequence[Rows]) -> Check:
    """Say whether the reference saw inputs like those of the windows asked about."""
    unknown, strange = (sum(getattr(one, name) for one in rows) for name in ("unknown", "strange"))
    asked = sum(int(one.asked.sum()) for one in rows)
    share = strange / asked if asked else 0.0
    says = f"{display.percent(share)} of the windows have a number beyond those of the reference"
    if unknown:
        says += f"; {unknown} have a label that it never saw and are left out"
    elif not asked:
        says = "no window asked about holds the SLI and all it follows from"
    return Check(name="support", passed=bool(asked and not unknown and share <= _STRANGE), says=says)
