"""Fitting: windows and a graph -> mechanisms whose parameter draws allow for dependence between windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from causalrel import display, errors
from causalrel.estimates import Check
from causalrel.expectations import fit_tables
from causalrel.graphs import Graph
from causalrel.networks import Form, Mechanism, Network, Term, expit, make_term
from causalrel.regressions import Coefficients, fit_line, fit_rate, time_groups
from causalrel.selection import Spline, select
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray


#: Events of the rarer kind that one coefficient of a rate with memory needs: twice the ten of Peduzzi et al. (1996), as
#: the variances of its noise are learnt from them too.
_FEWEST_EVENTS = 20
_STEPS = 8
#: Hinges of a parent: of a mechanism whose smoothness is learnt, and of any other.
_SMOOTH, _PLAIN = 6, 2
#: Causes up to which a number of windows in time may leave its spline.
_MOST_CAUSES = 3


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


def fit(
    windows: Windows,
    graph: Graph,
    *,
    states: Mapping[str, int | Sequence[float]] | None = None,
    draws: int = 200,
    seed: int = 0,
) -> Network:
    """Fit one mechanism per variable of a graph.

    Workload, config and hardware are taken as observed; engine variables and numeric outcomes get a regression, SLOs an
    event rate, both on linear splines of their parents. Draws allow for dependence between neighbouring windows. A
    regression gives way to a linear or quadratic one, a Gaussian process or a forest where that foretells blocks held
    out clearly better (:mod:`causalrel.selection`).

    With ``states``, or where the graph has lags, every variable gets a table of the chances of its states instead: a
    discrete network, static or dynamic, for :func:`causalrel.query`, :func:`causalrel.infer` and their like.

    Parameters
    ----------
    windows : Windows
        The windows.
    graph : Graph
        A graph whose variables the windows hold.
    states : mapping of str to int or sequence of float, optional
        Number of states, cut at quantiles, or the cuts themselves in the variable's unit (of an SLO, of its share of
        bad events). Where not given, labels and numbers of up to 8 values are states as they are, other numbers are
        cut in three, and an SLO is below or above the share it allows.
    draws : int
        Parameter draws of regressions; tables are drawn when they are asked.
    seed : int
        Seed of the draws.

    Returns
    -------
    Network
        The network.

    Raises
    ------
    CausalrelError
        When the graph has a variable the windows lack, a variable has too few windows, or a table would be too large.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> cr.fit(windows, cr.load_graph("llm-serving").project(windows.names)).mechanism("queue_s").form
    'regression'
    """
    check_nodes(windows, graph, "fit")
    if states is not None or graph.lags:
        return fit_tables(windows, graph, states, seed)
    counted = {slo.name for slo in windows.slos}
    for edge in graph.edges:
        if edge.cause in counted:
            raise errors.refused(
                f"fitting graph '{graph.name}'",
                f"SLO '{edge.cause}' causes '{edge.effect}' in it, and events that are counted are never causes",
            )
    rng = np.random.default_rng([seed, 1])
    checks: list[Check] = []
    mechanisms = []
    for place, name in enumerate(graph.order()):
        own = int(np.random.SeedSequence([seed, 2, place]).generate_state(1)[0])
        made, said = _mechanism(windows, graph, name, draws, rng, own)
        mechanisms.append(made)
        checks += [*said, *([] if (bounds := windows.bounds(name)) is None else [bounds])]
    return Network(
        graph=graph,
        mechanisms=tuple(mechanisms),
        slos=tuple(slo for slo in windows.slos if slo.name in graph.names),
        width=windows.width,
        checks=tuple(checks),
        origin=windows.origin(seed, graph.fingerprint()),
    )


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


def _mechanism(
    windows: Windows, graph: Graph, name: str, draws: int, rng: np.random.Generator, seed: int
) -> tuple[Mechanism, list[Check]]:
    variable = graph.variable(name)
    slos = {slo.name for slo in windows.slos}
    if variable.kind == "events" and name not in slos:
        variable = replace(variable, kind=windows.variable(name).kind)
    derived = variable.role in ("engine", "outcome") and (name in slos or variable.kind in ("number", "count"))
    if not derived:
        return Mechanism(variable=variable, form="observed"), []
    columns, kept = rows_of(windows, [name, *graph.parents(name)])
    terms, said = _terms(windows, graph.parents(name), columns, name, _PLAIN)
    remembers = name in slos and not windows.timeless and _many(columns, name, terms)
    if remembers:
        terms, said = _terms(windows, graph.parents(name), columns, name, _SMOOTH)
    width = 1 + sum(term.width for term in terms)
    if kept.height < 3 * width:
        raise errors.refused(
            f"fitting '{name}'", f"{width} coefficients need {3 * width} complete windows and there are {kept.height}"
        )
    x = np.column_stack([np.ones(kept.height), *[term.columns(columns[term.name]) for term in terms]])
    form: Form = "event-rate" if name in slos else "regression"
    shape = Mechanism(variable=variable, form=form)
    if name not in slos:
        shape = _scaled(shape, x, columns[name])

    def regress(groups: NDArray[np.int64]) -> Coefficients:
        if name in slos:
            return fit_rate(x, columns[f"{name}.bad"], columns[f"{name}.total"], groups)
        return fit_line(x, shape.scaled(columns[name]), groups)

    groups, length = time_groups(columns["step"], regress(np.arange(len(x))).residuals)
    fitted = regress(groups)
    said.append(_blocks(name, int(groups.max()) + 1, length))
    drawn = _rates(x, terms, columns, name, fitted, draws, rng) if remembers else fitted.draw(draws, rng)
    made = replace(shape, terms=terms, draws=drawn, dispersion=fitted.dispersion, explained=fitted.explained)
    if name in slos:
        return made, said
    if not windows.timeless and _costly(graph, name):
        return made, said
    if windows.timeless:
        groups = np.unique(columns["unit"], return_inverse=True)[1].astype(np.int64)
    spline = Spline(
        mechanism=made, x=x, fitted=fitted, values=columns[name], groups=groups, memory=max(1.0, length / 4)
    )
    causes = {parent: columns[parent] for parent in graph.parents(name)}
    made, scores = select(spline, causes, timeless=windows.timeless, draws=draws, seed=seed)
    return made, [*said, *_told(name, made, scores)]


def _costly(graph: Graph, name: str) -> bool:
    """Tell whether another form than a spline, run in each coalition of an attribution, would take it minutes.

    So it is with many causes, and where a cause differs from draw to draw.
    """
    parents = graph.parents(name)
    return len(parents) > _MOST_CAUSES or any(graph.variable(cause).role in ("engine", "outcome") for cause in parents)


def _blocks(name: str, count: int, length: int) -> Check:
    says = f"residuals of {name} are grouped into {count} time blocks of {length} windows"
    return Check(name=f"{name}: independent blocks", passed=count >= 8, says=says)


def _many(columns: Mapping[str, NDArray[Any]], name: str, terms: Sequence[Term]) -> bool:
    """Tell whether there are events of either kind enough to learn noise and smoothness from."""
    bad, total = columns[f"{name}.bad"], columns[f"{name}.total"]
    width = 1 + sum(term.width for term in terms)
    return bool(min(bad.sum(), (total - bad).sum()) >= _FEWEST_EVENTS * width)


def _rates(
    x: NDArray[np.float64],
    terms: Sequence[Term],
    columns: dict[str, NDArray[Any]],
    name: str,
    fitted: Coefficients,
    draws: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Draw coefficients of an event rate whose noise remembers, as they act on the mean over that noise.

    A logistic curve averaged over normal noise is flatter by a factor (MacKay 1992, doi:10.1162/neco.1992.4.5.720); the
    intercept makes good what that leaves of the events seen. Hinges of a parent are shrunk together.
    """
    bad, total = columns[f"{name}.bad"], columns[f"{name}.total"]
    from causalrel.mixed import fit_mixed
    from causalrel.noises import nearest_chain

    chain = nearest_chain(fitted.residuals, columns["step"], columns["unit"])
    made = fit_mixed(x, _hinges(terms), bad, total, chain)
    drawn: NDArray[np.float64] = made.draw(draws, rng) / np.sqrt(1 + np.pi * sum(made.variances) / 8)
    line, shift = x @ drawn.mean(axis=0), 0.0
    for _ in range(_STEPS):
        share = expit(line + shift)
        shift += float((bad - total * share).sum() / (total * share * (1 - share)).sum())
    drawn[:, 0] += shift
    return drawn


def _hinges(terms: Sequence[Term]) -> NDArray[np.int64]:
    """Group the hinges of each number; -1 for what is not shrunk."""
    groups, count = [-1], 0
    for term in terms:
        shrunk = not term.levels and bool(term.knots)
        groups += [-1] * term.width if term.levels else [-1, *[count] * len(term.knots)]
        count += shrunk
    return np.array(groups, dtype=np.int64)


def _told(name: str, made: Mechanism, scores: Mapping[str, float]) -> list[Check]:
    """Say which form was chosen, and by which scores."""
    if not scores:
        return []
    ranks = ", ".join(f"{form} {display.number(score)}" for form, score in scores.items())
    chosen = "spline" if made.form == "regression" else made.form
    says = f"{name} takes the form {chosen}; scores on held-out blocks, the smaller the better: {ranks}"
    return [Check(name=f"{name}: form", passed=True, says=says)]


def _scaled(plain: Mechanism, x: NDArray[np.float64], values: NDArray[np.float64]) -> Mechanism:
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
