"""Columns: windows or a frame to the values a graph is learnt from, and one sentence for each thing left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from causalrel import display, errors
from causalrel.variables import Variable
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.graphs import Graph

_LEAST_ROWS = 50
_MOST_STATES = 20
_FEW = 12
_BINS = 4
_NEAR = 1e-3
_GLANCED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Complete rows of the variables that vary, in the order of their names.

    Parameters
    ----------
    variables : tuple of Variable
        The variables, sorted by name.
    values : tuple of ndarray, shape (n,)
        Codes of the states of a category (int64), or numbers (float64): of each variable, then of each one row before,
        and so on up to the last lag.
    step, unit : ndarray of int64, shape (n,), or None
        Window and unit of each row; None where rows have no time.
    notes : tuple of str
        What was left out or merged, one sentence each.
    lags : int
        Rows before that stand beside each row.

    Examples
    --------
    >>> frame = pl.DataFrame({"b": [0.5, 1.5] * 30, "a": ["x", "y"] * 30, "c": [1] * 60})
    >>> made = columns_of(frame, None)
    >>> made.names, made.notes
    (['a', 'b'], ('c has one state only and was left out',))
    """

    variables: tuple[Variable, ...]
    values: tuple[NDArray[Any], ...]
    step: NDArray[np.int64] | None
    unit: NDArray[np.int64] | None
    notes: tuple[str, ...]
    lags: int = 0

    @property
    def names(self) -> list[str]:
        """Names of the variables."""
        return [variable.name for variable in self.variables]

    @property
    def nodes(self) -> list[tuple[str, int]]:
        """Name and lag of each column."""
        return [(name, lag) for lag in range(self.lags + 1) for name in self.names]

    @property
    def discrete(self) -> bool:
        """Whether every column is a category or a whole number with few values."""
        own = self.values[: len(self.names)]
        return all(column.dtype == np.int64 or len(np.unique(column)) <= _FEW for column in own)

    def codes(self) -> list[NDArray[np.int64]]:
        """Return small codes of every column; a number with many values becomes its quarter.

        Returns
        -------
        list of ndarray of int64, shape (n,)
            Codes from 0 up.
        """
        return [_code(column) for column in self.values]


def columns_of(data: Windows | pl.DataFrame | pl.LazyFrame, graph: Graph | None, *, series: bool = False) -> Columns:
    """Take what varies of windows or of a frame, complete rows only.

    Parameters
    ----------
    data : Windows, polars.DataFrame or polars.LazyFrame
        The data; the share of bad events stands for an SLO.
    graph : Graph, optional
        Its variables are taken; all without it.
    series : bool
        Whether the rows of a frame are one series in the order of time; windows always are one a unit.

    Returns
    -------
    Columns
        The columns.

    Raises
    ------
    CausalrelError
        When fewer than two columns vary, or there are fewer complete rows than 50 or than columns.

    Examples
    --------
    >>> columns_of(pl.DataFrame({"a": [0, 1] * 40, "b": [0, 1, 1, 0] * 20}), None).names
    ['a', 'b']
    """
    frame, variables, row = _framed(data, graph)
    notes: list[str] = []
    frame = frame.with_columns(pl.col(pl.Float32, pl.Float64).fill_nan(None))
    names = sorted(v.name for v in variables)
    absent = sorted({name for name in graph.names if name not in names}) if graph is not None else []
    if absent:
        verbs = ("is", "was") if len(absent) == 1 else ("are", "were")
        notes.append(
            f"{display.plain(', '.join(absent))} of the graph {verbs[0]} not in the data and {verbs[1]} left out"
        )
    names = _without(names, [n for n in names if frame[n].min() == frame[n].max()], "one state only", notes)
    here = np.ones(frame.height, dtype=bool)
    for name in names:
        here &= frame[name].is_not_null().to_numpy()
    whole = frame.filter(here)
    step, unit = (None if times is None else times[here] for times in _times(data, frame.height, series))
    if whole.height < frame.height:
        notes.append(f"{frame.height - whole.height} of {frame.height} {row}s lack a value and were left out")
    if whole.height < max(_LEAST_ROWS, len(names)):
        need = f"it needs {_LEAST_ROWS} complete {row}s" + f", and one a column ({len(names)})" * (len(names) > 50)
        raise errors.refused("discovery", f"{need} and there are {whole.height}")
    values = {name: _read(whole[name], notes) for name in names}
    names = _without(names, [n for n in names if values[n].min() == values[n].max()], "one state only", notes)
    labels = [n for n in names if values[n].dtype == np.int64 and whole[n].n_unique() == whole.height]
    names = _without(names, labels, "another state in every row", notes)
    for name, first in _repeated({name: values[name] for name in names}).items():
        names = _without(names, [name], f"the values of {display.plain(first)} under other names", notes)
    if len(names) < 2:
        varied = display.plain(", ".join(names)) or "nothing"
        raise errors.refused("discovery", f"only {varied} varies, and an edge joins two variables that do")
    known = {v.name: v for v in variables}
    return Columns(
        variables=tuple(known[name] for name in names),
        values=tuple(values[name] for name in names),
        step=step,
        unit=unit,
        notes=tuple(notes),
    )


def _without(names: list[str], dropped: Sequence[str], why: str, notes: list[str]) -> list[str]:
    if dropped:
        verbs = ("has", "was") if len(dropped) == 1 else ("have", "were")
        notes.append(f"{display.plain(', '.join(dropped))} {verbs[0]} {why} and {verbs[1]} left out")
    return [name for name in names if name not in dropped]


def _framed(data: Any, graph: Graph | None) -> tuple[pl.DataFrame, list[Variable], str]:
    if isinstance(data, Windows):
        return (*_of_windows(data, graph), "window")
    if not isinstance(data, pl.DataFrame | pl.LazyFrame):
        raise errors.bad_question(
            f"discover takes windows or a Polars frame and got {type(data).__name__}",
            "wrap the data in polars.DataFrame",
        )
    frame = data.lazy().collect()
    wanted = [name for name in frame.columns if graph is None or name in graph.names]
    odd = [n for n in wanted if not (frame[n].dtype.is_numeric() or frame[n].dtype in _WORDS)]
    if odd:
        raise errors.bad_question(
            f"discover: column '{display.plain(odd[0])}' holds {frame[odd[0]].dtype}, neither numbers nor categories",
            "leave it out or turn it into one of them",
        )
    made = [
        graph.variable(name)
        if graph is not None
        else Variable(name=name, role="engine", kind="number" if frame[name].dtype.is_numeric() else "category")
        for name in wanted
    ]
    return frame.select(wanted), made, "row"


_WORDS = (pl.String, pl.Categorical, pl.Enum, pl.Boolean)


def _of_windows(windows: Windows, graph: Graph | None) -> tuple[pl.DataFrame, list[Variable]]:
    slos = tuple(Variable(name=s.name, role="outcome", kind="events", unit="1") for s in windows.slos)
    measured = [v for v in windows.variables if graph is not None or v.role != "outcome"]
    wanted = [v for v in (*measured, *slos) if graph is None or v.name in graph.names]
    if graph is not None:
        wanted = [graph.variable(v.name) for v in wanted]
    events = {slo.name for slo in windows.slos}
    frame = windows.table.select(_share(v.name) if v.name in events else pl.col(v.name) for v in wanted)
    return frame, wanted


def _times(
    data: Windows | pl.DataFrame | pl.LazyFrame, rows: int, series: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | tuple[None, None]:
    if isinstance(data, Windows):
        micros = int(data.width.total_seconds() * 1e6)
        made = data.table.select(step=pl.col("time").dt.epoch("us") // micros, unit=pl.col("unit").rank("dense"))
        return made["step"].to_numpy(), made["unit"].cast(pl.Int64).to_numpy()
    return (np.arange(rows), np.zeros(rows, np.int64)) if series else (None, None)


def _share(slo: str) -> pl.Expr:
    total = pl.col(f"{slo}.total")
    return pl.when(total > 0).then(pl.col(f"{slo}.bad") / total).alias(slo)


def _read(series: pl.Series, notes: list[str]) -> NDArray[Any]:
    if series.dtype.is_numeric():
        numbers = series.cast(pl.Float64)
        finite = numbers.is_finite()
        if not finite.all():
            raise errors.bad_data(
                f"column '{display.plain(series.name)}' holds infinite numbers", "clip them or leave their rows out"
            )
        return numbers.to_numpy()
    words = series.cast(pl.String)
    often = words.value_counts().sort(by=["count", series.name], descending=[True, False])
    if often.height <= _MOST_STATES or often.height == len(series):
        return words.rank("dense").cast(pl.Int64).to_numpy() - 1
    notes.append(f"{display.plain(series.name)} has {often.height} states, of which all but 19 were merged into one")
    kept = often[series.name].head(_MOST_STATES - 1).sort()
    return words.replace_strict(kept, pl.int_range(len(kept), eager=True), default=len(kept)).cast(pl.Int64).to_numpy()


def _repeated(values: Mapping[str, NDArray[Any]]) -> dict[str, str]:
    """Return columns that say what an earlier one says, and that one; they are compared whole where a glance agrees."""
    glances = {name: _pattern(column[:: -(-len(column) // _GLANCED)]) for name, column in values.items()}
    shared = Counter(glances.values())
    seen: dict[bytes, str] = {}
    firsts = {
        name: seen.setdefault(glances[name] if shared[glances[name]] == 1 else _pattern(column), name)
        for name, column in values.items()
    }
    return {name: first for name, first in firsts.items() if first != name}


def _pattern(column: NDArray[Any]) -> bytes:
    """Return what stays the same when states are renamed, or numbers are shifted, scaled or turned."""
    if column.min() == column.max():
        return b""
    if column.dtype == np.int64:
        _, first, codes = np.unique(column, return_index=True, return_inverse=True)
        return bytes(np.argsort(np.argsort(first))[codes].astype(np.int32))
    centred = (column - column.mean()) / column.std()
    return bytes(np.round(centred * np.sign(centred[np.argmax(np.abs(centred) > _NEAR)]), 6) + 0.0)


def _code(values: NDArray[Any]) -> NDArray[np.int64]:
    distinct, codes = np.unique(values, return_inverse=True)
    if len(distinct) <= _FEW or values.dtype == np.int64:
        return codes.astype(np.int64)
    cuts = np.unique(np.quantile(values, np.arange(1, _BINS) / _BINS))
    return np.unique(np.searchsorted(cuts, values, side="right"), return_inverse=True)[1].astype(np.int64)
