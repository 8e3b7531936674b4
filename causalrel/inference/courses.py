"""Courses: what is given, seen and set, as states of the tables of a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from causalrel import display, errors
from causalrel.inference.factors import Factor, Node
from causalrel.inference.slices import Course
from causalrel.networks import Network
from causalrel.tables import Table
from causalrel.variables import duration_text
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: A state, or chances of states; of a variable, or of a variable at one step.
Value = object
Asked = Mapping[str | Node, Value]

_MOST_STEPS = 5_000_000


def tables_of(network: Network, asked_by: str) -> dict[str, Table]:
    """Return the table of each variable, causes first, or refuse a network of other mechanisms."""
    others = [m.variable.name for m in network.mechanisms if m.table is None]
    if others:
        raise errors.refused(
            asked_by,
            f"{', '.join(others[:8])} of the network follow no table; fit it with states= to ask for chances of states",
        )
    return {m.variable.name: m.table for m in network.mechanisms if m.table is not None}


def node_of(asked: str | Node, tables: Mapping[str, Table], steps: int, asked_by: str) -> Node:
    """Return the variable and the step that are meant; a name alone means step 0."""
    name, step = (asked, 0) if isinstance(asked, str) else asked
    if name not in tables:
        raise errors.unknown_variable(str(name), asked_by, tables)
    if isinstance(step, bool) or not isinstance(step, int) or not 0 <= step < steps:
        raise errors.bad_question(
            f"{asked_by}: step {step} of '{name}' does not exist",
            f"steps go from 0 to {steps - 1}" + ", as no edge has a lag" * (steps == 1),
        )
    return name, step


def set_course(
    course: Course, tables: Mapping[str, Table], do: Asked, since: int, asked_by: str, *, until: int | None = None
) -> Course:
    """Return a course in which variables are set, cut from their causes.

    Parameters
    ----------
    course : Course
        What is known besides.
    tables : mapping of str to Table
        Causes first.
    do : mapping of str or (str, int) to state or mapping of state to chance
        What is set: from ``since`` on for a name, else at one step; chances replace the table (a soft intervention).
    since : int
        First step of names alone.
    asked_by : str
        Which verb asks, named in errors.
    until : int, optional
        First step after.

    Returns
    -------
    Course
        The course; what was known of a variable where it is set is left out.

    Raises
    ------
    CausalrelError
        For unknown variables and states, and chances that are none.
    """
    codes, cut = course.codes.copy(), course.cut.copy()
    extra = {step: list(factors) for step, factors in course.extra.items()}
    names = list(tables)
    steps = len(codes)
    for asked, value in do.items():
        name, step = node_of(asked, tables, steps, asked_by)
        span = range(since, steps if until is None else until) if isinstance(asked, str) else [step]
        states = tables[name].states
        soft = _chances(value, tables[name], name) if isinstance(value, Mapping) else None
        code = states.place(value, name) if soft is None else -1
        for at in span:
            cut[at, names.index(name)] = True
            codes[at, names.index(name)] = code
            if soft is not None:
                extra.setdefault(at, []).append(Factor(((name, 0),), soft[None]))
    return Course(codes=codes, cut=cut, extra=extra, start=course.start)


def _chances(value: Mapping[object, object], table: Table, name: str) -> NDArray[np.float64]:
    found = np.zeros(len(table.states.labels))
    for state, chance in value.items():
        if isinstance(chance, bool) or not isinstance(chance, int | float) or not 0 <= chance <= 1:
            raise errors.bad_question(f"'{chance}' of '{name}' is no chance", "write numbers from 0 to 1")
        found[table.states.place(state, name)] += chance
    if abs(found.sum() - 1.0) > 1e-9:
        raise errors.bad_question(f"the chances set for '{name}' add up to {found.sum():.6g}", "make them add up to 1")
    return found


def told(asked: Asked) -> str:
    """Tell what is given or set, in words.

    Examples
    --------
    >>> told({"load": "high", ("batch_size", 3): 32})
    'load = high, batch_size at step 3 = 32'
    """
    said = []
    for node, value in asked.items():
        name = node if isinstance(node, str) else f"{node[0]} at step {node[1]}"
        shown = "chances" if isinstance(value, Mapping) else str(value)
        said.append(f"{name} = {shown}")
    return display.plain(", ".join(said))


def codes_of(windows: Windows, network: Network, asked_by: str) -> dict[str, NDArray[np.int64]]:
    """Return the states of the network's variables in the windows of each unit.

    Parameters
    ----------
    windows : Windows
        The windows.
    network : Network
        A network of tables.
    asked_by : str
        Which verb asks, named in errors.

    Returns
    -------
    dict of str to ndarray of int64, shape (n_windows, n_variables)
        One a unit, -1 where a value is missing.

    Raises
    ------
    CausalrelError
        When the windows lack a variable, are of another width, or hold what the network does not know.
    """
    tables = tables_of(network, asked_by)
    missing = [name for name in tables if name not in windows.names]
    if missing:
        raise errors.bad_question(
            f"{asked_by}: the network was fitted with {', '.join(missing)}, which the windows lack",
            f"make windows that hold {'it' if len(missing) == 1 else 'them'}",
        )
    widths = duration_text(network.width), duration_text(windows.width)
    if network.width and network.width != windows.width:
        raise errors.bad_question(
            f"{asked_by}: a step of the network is {widths[0]} and a window {widths[1]}",
            "make windows of the same width",
        )
    for slo in network.slos:
        if slo.name in tables and slo.facts() != windows.slo(slo.name).facts():
            raise errors.bad_question(
                f"{asked_by}: SLO '{slo.name}' of the windows is not the one the network was fitted to",
                "count events by the same SLO document",
            )
    columns = [tables[name].states.codes(node_values(windows, name), name) for name in tables]
    codes = np.column_stack(columns) if columns else np.zeros((windows.table.height, 0), dtype=np.int64)
    units = windows.table["unit"].to_numpy()
    return {unit: codes[units == unit] for unit in windows.units}


def node_values(windows: Windows, name: str) -> pl.Series:
    """Return the values of a variable, or the share of bad events of an SLO, null where there were no events."""
    if name not in {slo.name for slo in windows.slos}:
        return windows.table[name]
    total = pl.col(f"{name}.total")
    share = pl.when(total > 0).then(pl.col(f"{name}.bad") / total)
    return windows.table.select(share.alias(name))[name]


def blank(steps: int, width: int) -> NDArray[np.int64]:
    """Return states of which none is known."""
    return np.full((steps, width), -1, dtype=np.int64)


def joined(names: Sequence[str | Node]) -> str:
    """Name what is asked for, in words.

    Examples
    --------
    >>> joined(["load", ("ttft", 2)])
    'load and ttft at step 2'
    """
    return " and ".join(name if isinstance(name, str) else f"{name[0]} at step {name[1]}" for name in names)
