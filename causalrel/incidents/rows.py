"""Rows: the signs of one request, against the other requests as what is normal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from causalrel import display, errors
from causalrel.attribution.coalitions import coalitions_of, list_steps, shapley, worths
from causalrel.estimates import Check
from causalrel.fitting import fit
from causalrel.graphs import Graph
from causalrel.incidents.signs import Signs
from causalrel.inference import residuals
from causalrel.mechanisms.drafts import rows_of
from causalrel.networks import Mechanism
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Columns = Mapping[str, NDArray[Any]]

#: Other rows that the one asked about is paired with, and the fewest that tell what is normal.
_PAIRED, _FEWEST = 200, 30

#: How far beyond the furthest other row, as a share of its distance from the middle, what a number does is not known.
_BEYOND = 1.2

#: Draws of the mechanisms: what a part is in the mean over them is all that is used.
_DRAWS = 20


def read_row(
    windows: Windows, graph: Graph, row: str, on: str | None, seed: int
) -> tuple[str, list[str], Signs | None, list[Check]]:
    """Weigh what each variable adds to the symptom of one row without time.

    A part is to blame as far as it lies out and as it adds to the symptom, whichever is less.
    Each variable's own part, what is observed or what its causes leave of it, is swapped from other rows to the one
    asked about, in all orders (Shapley values of an outlier's excess; Budhathoki et al. 2022, arXiv:1912.02724).

    Parameters
    ----------
    windows : Windows
        Rows without time, one a request.
    graph : Graph
        A graph over their variables.
    row : str
        Name of the row.
    on : str or None
        The symptom, a number with causes; the one that lies furthest out where not given.
    seed : int
        Seed of the parameter draws and of the rows paired with.

    Returns
    -------
    symptom : str
        The number.
    nodes : list of str
        It and all that acts on it.
    signs : Signs or None
        What speaks for each; None where the row lacks what is needed.
    checks : list of Check
        Those of the fit, and what was complete.

    Raises
    ------
    CausalrelError
        When the windows have time, no row or several have that name, or the symptom is no number with causes.
    """
    _refuse(windows, graph, row)
    others = replace(windows, table=windows.table.filter(pl.col("unit") != row))
    known = {v.name for v in windows.variables if v.kind == "number"}
    numbers = [name for name in graph.names if name in known and graph.parents(name)]
    if on is not None and on not in numbers:
        raise errors.unknown_name(on, f"number with causes in graph '{graph.name}'", numbers)
    if not numbers:
        raise errors.bad_question("blame: no number of the graph has causes", "name a graph with edges to a latency")
    mine = windows.table.filter(pl.col("unit") == row)
    symptom = on or max(numbers, key=lambda name: _far_out(_column(mine, name), _column(others.table, name)))
    nodes = [name for name in graph.order() if name in {symptom, *graph.ancestors(symptom)}]
    lacks = [name for name in nodes if mine[name].null_count()]
    if lacks:
        says = f"{row} lacks {', '.join(lacks)}, without which nothing is told of it"
        return symptom, nodes, None, [Check(name="symptom", passed=False, says=says)]
    now, usual = rows_of(replace(windows, table=mine), nodes)[0], rows_of(others, nodes)[0]
    count = len(usual[symptom])
    if count < _FEWEST:
        says = f"{count} other rows are complete, and {_FEWEST} are the least to tell what is normal"
        return symptom, nodes, None, [Check(name="symptom", passed=False, says=says)]
    network = fit(others, graph.project(nodes), draws=_DRAWS, seed=seed)
    signs = _signs(network.mechanisms, symptom, now, usual, seed)
    nodes = [mechanism.variable.name for mechanism in network.mechanisms]
    return symptom, nodes, signs, [*network.checks, _held(count, usual, now, symptom)]


def _refuse(windows: Windows, graph: Graph, row: str) -> None:
    if not windows.timeless:
        raise errors.bad_question(f"blame: '{row}' names a row, and these windows have times", "give start and end")
    absent = [name for name in graph.names if name not in windows.names]
    if absent:
        raise errors.unknown_variable(absent[0], "blame", windows.names)
    named = windows.table.filter(pl.col("unit") == row).height
    if not named:
        raise errors.unknown_name(row, "row", windows.units)
    if named > 1:
        raise errors.bad_question(f"blame: {named} rows are named '{row}'", "name rows apart, such as by request id")


def _signs(mechanisms: Sequence[Mechanism], symptom: str, now: Columns, usual: Columns, seed: int) -> Signs:
    count = len(usual[symptom])
    rng = np.random.default_rng([seed, 21])
    some = np.sort(rng.choice(count, size=min(count, _PAIRED), replace=False))
    names = [mechanism.variable.name for mechanism in mechanisms]
    drivers = [name for name in names if len(np.unique(np.append(usual[name], now[name]))) > 1]
    steps = list_steps(drivers, rng)
    weights = np.full((1, len(some)), 1.0 / len(some))
    pairs = (np.zeros(len(some), dtype=np.intp), some.astype(np.intp))
    whole = {name: np.append(usual[name], now[name]) for name in names if usual[name].dtype.kind in "if"}
    limits = {name: (float(values.min()), float(values.max())) for name, values in whole.items()}
    made = worths(mechanisms, symptom, (now, usual), pairs, weights, coalitions_of(steps), limits)
    parts = _passed(mechanisms, {name: float(part[0].mean()) for name, part in shapley(made, steps).items()}, whole)
    excess = float(now[symptom][0]) - float(usual[symptom][some].mean())
    ordinary = usual[symptom].astype(np.float64)
    spread = float(np.quantile(np.abs(ordinary - np.median(ordinary)), 0.9)) / 1.645 or 1.0
    rests = [residuals(mechanisms, rows) for rows in (now, usual)]
    share, added, own = (np.zeros(len(mechanisms)) for _ in range(3))
    for place, mechanism in enumerate(mechanisms):
        name = mechanism.variable.name
        if name in parts:
            share[place] = parts[name] / excess if excess else 0.0
            added[place] = np.sign(excess) * parts[name] / spread
        alone = [rest[name].mean(axis=1) for rest in rests] if mechanism.additive else [now[name], usual[name]]
        own[place] = min(_far_out(*alone), added[place])
    far = _far_out(now[symptom], usual[symptom])
    return Signs(share=share, added=added, own=own, local=np.zeros(len(mechanisms)), symptom=far)


def _passed(
    mechanisms: Sequence[Mechanism], parts: Mapping[str, float], whole: Mapping[str, NDArray[Any]]
) -> dict[str, float]:
    """Give what a variable adds to its causes that lie beyond all other rows, where nothing tells what they do to it.

    The last row of ``whole`` is the one asked about.
    """
    made = dict(parts)
    for mechanism in reversed(mechanisms):
        beyond = [
            name for name in mechanism.parents if name in whole and _reach(whole[name][-1:], whole[name][:-1]) > _BEYOND
        ]
        if mechanism.variable.name in made and beyond:
            part = made[mechanism.variable.name]
            made[mechanism.variable.name] = 0.0
            for name in beyond:
                made[name] = made.get(name, 0.0) + part / len(beyond)
    return made


def _column(table: pl.DataFrame, name: str) -> NDArray[Any]:
    return table[name].drop_nulls().to_numpy()


def _far_out(one: NDArray[Any], others: NDArray[Any]) -> float:
    """Tell how far out a value lies as a normal deviate: by its rank, and beyond the furthest in proportion to it."""
    from scipy.stats import norm

    if not len(one) or not len(others):
        return 0.0
    if not np.issubdtype(others.dtype, np.number):
        rank = (1.0 + float((others == one[0]).sum())) / (len(others) + 1.0)
        return float(norm.isf(rank / 2))
    middle = float(np.median(others))
    far, usual = abs(float(one[0]) - middle), np.abs(others.astype(np.float64) - middle)
    rank = (1.0 + float((usual >= far).sum())) / (len(others) + 1.0)
    return float(norm.isf(rank / 2)) * max(1.0, _reach(one, others))


def _reach(one: NDArray[Any], others: NDArray[Any]) -> float:
    """Return how far a number lies from the middle of others, as a share of the furthest of them."""
    middle = float(np.median(others))
    most = float(np.abs(others.astype(np.float64) - middle).max())
    return abs(float(one[0]) - middle) / most if most > 0 else 1.0


def _held(count: int, usual: Columns, now: Columns, symptom: str) -> Check:
    share = float((usual[symptom] >= now[symptom][0]).mean())
    value = display.number(float(now[symptom][0]))
    says = f"{symptom} was {value}, and as much or more in {display.percent(share)} of {count} other rows"
    return Check(name="normal rows", passed=True, says=says)
