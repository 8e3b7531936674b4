"""Fitting: windows and a graph -> mechanisms whose parameter draws allow for dependence between windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from causalrel import display, errors
from causalrel.estimates import Check
from causalrel.graphs import Graph
from causalrel.mechanisms.drafts import Draft, check_nodes, draft_of, typed
from causalrel.mechanisms.expectations import fit_tables
from causalrel.mechanisms.monotonicity import heed, signs_of
from causalrel.mechanisms.regressions import Coefficients, fit_line, fit_rate, time_groups
from causalrel.mechanisms.selection import Spline, select
from causalrel.networks import Mechanism, Network, expit
from causalrel.overdispersion import fit_correlation
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray


#: Newton steps of an intercept, and the longest, since a step from where nearly all is told has no end.
_STEPS, _STRIDE = 20, 2.0
#: Windows a coefficient below which a fit is nearer to the events than to what comes, and folds that tell by how much.
_MANY, _FOLDS = 20, 5
#: Causes up to which a number of windows in time may leave its spline.
_MOST_CAUSES = 3


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
    out clearly better (:mod:`causalrel.mechanisms.selection`).

    Where an edge is ``monotone``, draws of its effect go that way unless the data contradict it, which a check tells;
    of the other forms only the forest is then tried (:mod:`causalrel.mechanisms.monotonicity`).

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
        When the graph has a variable the windows lack, a variable has too few windows, a table would be too large, or
        an edge is monotone that cannot be.

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
        made, said = fit_mechanism(windows, graph, name, draws, rng, own)
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


def fit_mechanism(
    windows: Windows, graph: Graph, name: str, draws: int, rng: np.random.Generator, seed: int
) -> tuple[Mechanism, list[Check]]:
    """Fit the mechanism of one variable.

    Parameters
    ----------
    windows : Windows
        The windows.
    graph : Graph
        A graph with the variable.
    name : str
        The variable.
    draws : int
        Parameter draws.
    rng : numpy.random.Generator
        Source of the draws.
    seed : int
        Seed of the forms that are tried.

    Returns
    -------
    mechanism : Mechanism
        The mechanism.
    checks : list of Check
        What was noticed.

    Raises
    ------
    CausalrelError
        When it has too few windows.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> graph = cr.Graph.from_edges([("load", "energy_j")], roles={"load": "workload", "energy_j": "outcome"})
    >>> fit_mechanism(windows, graph, "energy_j", 50, np.random.default_rng(0), 0)[0].n_draws
    50
    """
    draft = draft_of(windows, graph, name)
    if draft is None:
        return Mechanism(variable=typed(windows, graph, name), form="observed"), []
    shape, x, columns, said = draft.mechanism, draft.x, draft.columns, list(draft.checks)
    counted = shape.form == "event-rate"

    def regress(groups: NDArray[np.int64]) -> Coefficients:
        if counted:
            return fit_rate(x, columns[f"{name}.bad"], columns[f"{name}.total"], groups)
        return fit_line(x, shape.scaled(columns[name]), groups)

    if windows.timeless:
        groups, length = _numbered(columns["unit"]), 1
        groups = groups if groups.max() else np.arange(len(x))
    else:
        groups, length = time_groups(columns["step"], regress(np.arange(len(x))).residuals)
    fitted = regress(groups)
    said.append(_blocks(name, int(groups.max()) + 1, 0 if windows.timeless else length))
    drawn = _rates(draft, name, fitted, draws, rng) if draft.remembers else fitted.draw(draws, rng)
    drawn, held, heeded = heed(name, shape.terms, drawn, signs_of(graph, name))
    said += heeded
    made = replace(shape, draws=drawn, dispersion=fitted.dispersion, explained=fitted.explained)
    if counted:
        share = expit(x @ drawn.mean(axis=0))
        if len(x) < _MANY * x.shape[1] and groups.max() > 0:
            share = _left_out(x, columns[f"{name}.bad"], columns[f"{name}.total"], groups)
        together = fit_correlation(columns[f"{name}.bad"], columns[f"{name}.total"], share)
        return replace(made, correlation=together), said
    if not windows.timeless and _costly(graph, name):
        return made, said
    if windows.timeless:
        groups = _numbered(columns["unit"])
    spline = Spline(
        mechanism=made, x=x, fitted=fitted, values=columns[name], groups=groups, memory=max(1.0, length / 4)
    )
    causes = {parent: columns[parent] for parent in graph.parents(name)}
    made, scores = select(spline, causes, held, timeless=windows.timeless, draws=draws, seed=seed)
    return made, [*said, *_told(name, made, scores)]


def _costly(graph: Graph, name: str) -> bool:
    """Tell whether another form than a spline, run in each coalition of an attribution, would take it minutes.

    So it is with many causes, and where a cause differs from draw to draw.
    """
    parents = graph.parents(name)
    return len(parents) > _MOST_CAUSES or any(graph.variable(cause).role in ("engine", "outcome") for cause in parents)


def _left_out(
    x: NDArray[np.float64], bad: NDArray[np.float64], total: NDArray[np.float64], groups: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the share of bad events that each row was told by a fit without its fold of groups."""
    fold = _numbered(groups) % _FOLDS
    share = np.empty(len(x))
    for each in np.unique(fold):
        mine = fold == each
        without = fit_rate(x[~mine], bad[~mine], total[~mine], np.arange(int((~mine).sum())))
        share[mine] = expit(x[mine] @ without.mean)
    return share


def _numbered(units: NDArray[Any]) -> NDArray[np.int64]:
    return np.unique(units, return_inverse=True)[1].astype(np.int64)


def _blocks(name: str, count: int, length: int) -> Check:
    into = f"{count} time blocks of {length} windows" if length else f"{count} independent groups of rows"
    says = f"residuals of {name} are grouped into {into}"
    return Check(name=f"{name}: independent blocks", passed=count >= 8, says=says)


def _rates(draft: Draft, name: str, fitted: Coefficients, draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw coefficients of an event rate whose noise remembers, as they act on the mean over that noise.

    A logistic curve averaged over normal noise is flatter by a factor (MacKay 1992, doi:10.1162/neco.1992.4.5.720); the
    intercept makes good what that leaves of the events seen. Hinges of a parent are shrunk together.
    """
    x, columns = draft.x, draft.columns
    bad, total = columns[f"{name}.bad"], columns[f"{name}.total"]
    from causalrel.mechanisms.mixed import fit_mixed
    from causalrel.mechanisms.noises import nearest_chain

    chain = nearest_chain(fitted.residuals, columns["step"], columns["unit"])
    made = fit_mixed(x, draft.groups, bad, total, chain)
    drawn: NDArray[np.float64] = made.draw(draws, rng) / np.sqrt(1 + np.pi * sum(made.variances) / 8)
    line, shift = x @ drawn.mean(axis=0), 0.0
    for _ in range(_STEPS):
        share = expit(line + shift)
        curve = max(float((total * share * (1 - share)).sum()), 1e-9)
        step = float(np.clip((bad - total * share).sum() / curve, -_STRIDE, _STRIDE))
        shift += step
        if abs(step) < 1e-12:
            break
    drawn[:, 0] += shift
    return drawn


def _told(name: str, made: Mechanism, scores: Mapping[str, float]) -> list[Check]:
    """Say which form was chosen, and by which scores."""
    if not scores:
        return []
    ranks = ", ".join(f"{form} {display.number(score)}" for form, score in scores.items())
    chosen = "spline" if made.form == "regression" else made.form
    says = f"{name} takes the form {chosen}; scores on held-out blocks, the smaller the better: {ranks}"
    return [Check(name=f"{name}: form", passed=True, says=says)]
