"""Drafts: the rows of windows as arrays, and the regression of a variable on its causes before it is fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from causalrel import errors
from causalrel.estimates import Check
from causalrel.graphs import Graph
from causalrel.mechanisms.regressions import fit_line
from causalrel.networks import Form, Mechanism, Term, make_term
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.variables import Variable

#: Events of the rarer kind that one coefficient of a rate with memory needs: twice the ten of Peduzzi et al. (1996), as
#: the variances of its noise are learnt from them too.
_FEWEST_EVENTS = 20
#: Hinges of a parent: of a mechanism whose smoothness is learnt, and of any other.
_SMOOTH, _PLAIN = 6, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A variable's regression on its causes, ready to be fitted.

    Parameters
    ----------
    mechanism : Mechanism
        Its terms and its scale, without draws.
    columns : dict of str to ndarray, shape (n,)
        The rows.
    x : ndarray of float64, shape (n, k)
        Design, the intercept first.
    groups : ndarray of int64, shape (k,)
        Group of hinges that each column is shrunk with where smoothness is learnt; -1 for those that are not.
    remembers : bool
        Whether there are events enough to learn noise that remembers, and smoothness.
    checks : tuple of Check
        What was noticed.
    """

    mechanism: Mechanism
    columns: dict[str, NDArray[Any]]
    x: NDArray[np.float64]
    groups: NDArray[np.int64]
    remembers: bool
    checks: tuple[Check, ...]


def rows_of(windows: Windows, names: Sequence[str]) -> tuple[dict[str, NDArray[Any]], pl.DataFrame]:
    """Return the columns of some nodes as arrays, windows with a null among them left out.

    Parameters
    ----------
    windows : Windows
        The windows.
    names : sequence of str
        Variables, or SLOs (which give ``<slo>.bad`` and ``<slo>.total``).

    Returns
    -------
    columns : dict of str to ndarray
        Numbers as float64, categories as text; ``step`` holds the window number, ``unit`` its unit.
    kept : polars.DataFrame
        The rows kept.

    Raises
    ------
    CausalrelError
        When the windows lack one.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> frame = pl.DataFrame(
    ...     {
    ...         "t": [datetime(2026, 2, 11, h, tzinfo=UTC) for h in range(3)],
    ...         "n": [9, 9, 9],
    ...         "b": [0, 1, 2],
    ...         "x": [1.0, None, 3.0],
    ...     }
    ... )
    >>> made = Windows.from_frame(frame, time="t", roles={"x": "config"}, events={"slo": ("n", "b")})
    >>> rows_of(made, ["x", "slo"])[0]["x"].tolist()
    [1.0, 3.0]
    """
    known = {*windows.table.columns, *(slo.name for slo in windows.slos)}
    missing = [name for name in names if name not in known]
    if missing:
        raise errors.bad_question(
            f"the network has {', '.join(missing)}, which the windows lack",
            "ask of windows it was fitted to, or fit again",
        )
    slos = {slo.name for slo in windows.slos}
    wanted = [part for name in names for part in ((f"{name}.bad", f"{name}.total") if name in slos else (name,))]
    frame = windows.table.select("time", "unit", *wanted).drop_nulls()
    for name in names:
        if name in slos:
            frame = frame.filter(pl.col(f"{name}.total") > 0)
    columns: dict[str, NDArray[Any]] = {}
    for part in wanted:
        series = frame[part]
        text = series.dtype == pl.String or series.dtype == pl.Categorical or isinstance(series.dtype, pl.Enum)
        columns[part] = series.cast(pl.String).to_numpy().astype(str) if text else series.cast(pl.Float64).to_numpy()
    micros = int(windows.width.total_seconds() * 1e6)
    columns["step"] = (frame["time"].dt.epoch("us") // micros).to_numpy().astype(np.int64)
    columns["unit"] = frame["unit"].to_numpy().astype(str)
    return columns, frame


def check_nodes(windows: Windows, graph: Graph, asked_by: str) -> None:
    """Refuse a graph with variables the windows lack.

    Parameters
    ----------
    windows : Windows
        The windows.
    graph : Graph
        The graph.
    asked_by : str
        Which verb asks, named in the error.

    Raises
    ------
    CausalrelError
        Naming every variable that is missing.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> check_nodes(windows, cr.load_graph("llm-serving").project(windows.names), "fit")
    """
    missing = [name for name in graph.names if name not in windows.names]
    if missing:
        raise errors.bad_question(
            f"{asked_by}: graph '{graph.name}' has {', '.join(missing)}, which the windows lack",
            "marginalise them with graph.project(windows.names) or declare them unmeasured",
        )


def typed(windows: Windows, graph: Graph, name: str) -> Variable:
    """Return a variable of a graph, events that no SLO counts as what the windows hold them for.

    Parameters
    ----------
    windows : Windows
        The windows.
    graph : Graph
        The graph.
    name : str
        The variable.

    Returns
    -------
    Variable
        The variable.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> typed(windows, cr.load_graph("llm-serving").project(windows.names), "queue_s").kind
    'number'
    """
    variable = graph.variable(name)
    if variable.kind == "events" and name not in {slo.name for slo in windows.slos}:
        return replace(variable, kind=windows.variable(name).kind)
    return variable


def draft_of(windows: Windows, graph: Graph, name: str) -> Draft | None:
    """Prepare the regression of an engine variable, a numeric outcome or an SLO on its causes.

    Parameters
    ----------
    windows : Windows
        The windows.
    graph : Graph
        The graph.
    name : str
        The variable.

    Returns
    -------
    Draft or None
        The regression; None for a variable that is taken as observed.

    Raises
    ------
    CausalrelError
        When there are fewer than three complete windows a coefficient.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> graph = cr.load_graph("llm-serving").project(windows.names)
    >>> draft_of(windows, graph, "load") is None, draft_of(windows, graph, "queue_s").mechanism.log
    (True, True)
    """
    variable = typed(windows, graph, name)
    counted = name in {slo.name for slo in windows.slos}
    if variable.role not in ("engine", "outcome") or not (counted or variable.kind in ("number", "count")):
        return None
    columns, kept = rows_of(windows, [name, *graph.parents(name)])
    terms, said = _terms(windows, graph.parents(name), columns, name, _PLAIN)
    remembers = counted and not windows.timeless and _many(columns, name, terms)
    if remembers:
        terms, said = _terms(windows, graph.parents(name), columns, name, _SMOOTH)
    width = 1 + sum(term.width for term in terms)
    if kept.height < 3 * width:
        raise errors.refused(
            f"fitting '{name}'", f"{width} coefficients need {3 * width} complete windows and there are {kept.height}"
        )
    x = np.column_stack([np.ones(kept.height), *[term.columns(columns[term.name]) for term in terms]])
    form: Form = "event-rate" if counted else "regression"
    shape = Mechanism(variable=variable, form=form, terms=terms)
    return Draft(
        mechanism=shape if counted else scaled(shape, x, columns[name]),
        columns=columns,
        x=x,
        groups=_hinges(terms),
        remembers=remembers,
        checks=tuple(said),
    )


def _many(columns: Mapping[str, NDArray[Any]], name: str, terms: Sequence[Term]) -> bool:
    """Tell whether there are events of either kind enough to learn noise and smoothness from."""
    bad, total = columns[f"{name}.bad"], columns[f"{name}.total"]
    width = 1 + sum(term.width for term in terms)
    return bool(min(bad.sum(), (total - bad).sum()) >= _FEWEST_EVENTS * width)


def _hinges(terms: Sequence[Term]) -> NDArray[np.int64]:
    """Group the hinges of each number; -1 for what is not shrunk."""
    groups, count = [-1], 0
    for term in terms:
        shrunk = not term.levels and bool(term.knots)
        groups += [-1] * term.width if term.levels else [-1, *[count] * len(term.knots)]
        count += shrunk
    return np.array(groups, dtype=np.int64)


def scaled(plain: Mechanism, x: NDArray[np.float64], values: NDArray[np.float64]) -> Mechanism:
    """Put a number on the scale on which it is likelier, its own or the log.

    By the likelihood of a transformation (Box and Cox 1964, doi:10.1111/j.2517-6161.1964.tb00553.x).
    """
    positive = values[values > 0]
    if values.min() < 0 or not len(positive):
        return plain
    offset = 0.1 * float(positive.mean()) if len(positive) < len(values) else 0.0
    logged = replace(plain, log=True, offset=offset)
    alone = np.arange(len(values))

    def spread(shape: Mechanism) -> float:
        return float(np.log(np.sqrt(np.mean(fit_line(x, shape.scaled(values), alone).residuals ** 2)) + 1e-300))

    return logged if spread(logged) + np.log(values + offset).mean() < spread(plain) else plain


def _terms(
    windows: Windows, parents: Sequence[str], columns: dict[str, NDArray[Any]], name: str, knots: int
) -> tuple[tuple[Term, ...], list[Check]]:
    terms, said = [], []
    for parent in parents:
        values = columns[parent]
        if len(np.unique(values)) < 2:
            what = f"{parent} never varied where {name} was seen, so it explains nothing of {name}"
            said.append(Check(name=f"{name}: {parent} varies", passed=True, says=what))
            continue
        category = windows.variable(parent).kind == "category"
        terms.append(make_term(parent, values, category=category, knots=knots))
    return tuple(terms), said
