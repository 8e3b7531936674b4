"""Incidents: which node is the cause, ranked with probabilities, "none of these" among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from causalrel import display, errors
from causalrel.attribution import Span
from causalrel.estimates import Check, Estimate, refusal
from causalrel.graphs import Graph
from causalrel.incidents.ledgers import read_ledger
from causalrel.incidents.panels import spread_out
from causalrel.incidents.rows import read_row
from causalrel.incidents.signs import Signs, read_signs
from causalrel.incidents.spans import Period, both_spans, days_apart
from causalrel.incidents.weights import chances
from causalrel.windows import Windows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from causalrel.incidents.panels import Panel

NONE = "none of these"

_METHOD = (
    "what each node adds to the symptom beyond what its causes pass on, on the incident's own rows, against its normal "
    "spread; a softmax whose weights were fitted to simulated faults"
)
_DRAWS = 1000


def blame(
    windows: Windows,
    graph: Graph,
    *,
    during: Span | str,
    normal: Span | Windows | None = None,
    on: str | None = None,
    at: str | None = None,
    seed: int = 0,
) -> Estimate:
    """Rank the nodes of a graph by the probability that an incident began there.

    In a call graph the nodes are units of the windows, and an edge leads from the service called to its caller. A
    caller's latency is its own part and, for each call it makes, the callee's; failures likewise. In a graph of
    variables the parts are those of :func:`causalrel.attribute`. Structure-aware accounting of anomalies follows
    Budhathoki et al. 2022, arXiv:1912.02724.

    Parameters
    ----------
    windows : Windows
        The windows.
    graph : Graph
        A call graph over their units, or a graph over their variables and SLOs.
    during : tuple of datetime or str, or str
        Start and end of the incident, UTC; of rows without time the name of one, such as a request that was slow.
    normal : tuple of datetime or str, Windows or None
        A span without trouble, or windows of one recorded apart; what lies before the incident where not given, or
        after it where that is longer. One row is held against all others.
    on : str or None
        The symptom: an SLO, in a call graph a number of role outcome, of one row a number that has causes; the one that
        stands out most where not given.
    at : str or None
        The node of a call graph that shows the symptom; the busiest that nobody calls where not given.
    seed : int
        Seed of the draws of the weights.

    Returns
    -------
    Estimate
        Terms ``slo`` (the symptom), ``quantity`` (probability), ``unit``, ``node`` and ``share`` (of the symptom's
        excess, added by the node), the most probable first; the last of its kind is ``none of these``. Every draw
        adds up to 1.

    Raises
    ------
    CausalrelError
        When a span lies outside the data, overlaps the other or holds fewer than three windows, or a node or symptom
        is unknown.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("cache-collapse"), cr.load_slos("llm-chat"), every="30m", by="node")
    >>> graph = cr.load_graph("llm-serving").project(windows.names)
    >>> answer = cr.blame(windows, graph, during=("2026-06-18T10:00", "2026-06-21"), on="ttft")
    >>> answer.frame()["node"][0]
    'prompt_template'
    """
    if isinstance(during, str):
        if normal is not None or at is not None:
            raise errors.bad_question(f"blame: '{during}' is held against all other rows", "leave normal and at out")
        symptom, nodes, signs, checks = read_row(windows, graph, during, on, seed)
        question = f"Which node is behind {symptom} of {during}, against all other rows?"
        return _answer(windows, graph, question, symptom, nodes, signs, checks, seed)
    span, where, usual = both_spans(windows, during, normal)
    days = days_apart(span, usual)
    if set(graph.names) <= set(windows.names) or not set(graph.names) & set(windows.units):
        if at is not None:
            raise errors.bad_question(f"blame: '{at}' is no node of a call graph", "leave at out")
        symptom, nodes, signs, checks = read_ledger(windows, graph, span, where, usual, on, seed)
        place = ""
    else:
        symptom, place, nodes, signs, checks = _called(windows, graph, (span, usual), where, on, at, days)
    question = (
        f"Which node is behind {symptom}{f' of {place}' if place else ''} from {display.when(span[0])} to "
        f"{display.when(span[1])} UTC, against {display.when(usual[0])} to {display.when(usual[1])}?"
    )
    return _answer(windows, graph, question, symptom, nodes, signs, [*checks, _far(days)], seed)


def _answer(
    windows: Windows,
    graph: Graph,
    question: str,
    symptom: str,
    nodes: Sequence[str],
    signs: Signs | None,
    checks: Sequence[Check],
    seed: int,
) -> Estimate:
    assumptions = (
        f"graph {graph.name} (version {graph.version}) is right",
        "at most one node is at fault, and what is normal held no fault",
        "real faults look like those simulated to fit the weights",
    )
    origin = windows.origin(seed, graph.fingerprint())
    blind = [check for check in checks if check.name == "symptom" and not check.passed]
    if signs is None or blind:
        return refusal(question, method=_METHOD, checks=checks, origin=origin, assumptions=assumptions)
    terms, draws = _ranked(symptom, nodes, signs, seed)
    return Estimate(
        question=question,
        draws=draws,
        terms=terms,
        unit="1",
        method=_METHOD,
        assumptions=assumptions,
        checks=tuple(checks),
        verdict="answered" if all(check.passed for check in checks) else "bounded",
        origin=origin,
    )


def _called(
    windows: Windows,
    graph: Graph,
    spans: tuple[Period, Period],
    where: Windows,
    on: str | None,
    at: str | None,
    days: float,
) -> tuple[str, str, list[str], Signs | None, list[Check]]:
    nodes = list(reversed(graph.order()))
    if at is not None and at not in nodes:
        raise errors.unknown_name(at, f"node in graph '{graph.name}'", nodes)
    outcomes = [slo.name for slo in windows.slos] + [v.name for v in windows.variables if v.role == "outcome"]
    if on is not None and on not in outcomes:
        raise errors.unknown_name(on, "symptom", outcomes)
    if not outcomes:
        raise errors.bad_question(
            "blame: the windows hold no symptom", "count an SLO, or name a number of role outcome"
        )
    row = {node: i for i, node in enumerate(nodes)}
    pairs = sorted((row[edge.effect], row[edge.cause]) for edge in graph.edges if edge.lag == 0)
    best: tuple[str, int, Signs] | None = None
    seen = np.zeros(len(nodes), dtype=bool)
    for name in [on] if on else outcomes:
        now, before = _panel(windows, nodes, name, spans[0]), _panel(where, nodes, name, spans[1])
        seen |= np.isfinite(now.symptom).any(axis=0)
        node = row[at] if at is not None else _entry(now, pairs)
        told = now if np.isfinite(now.symptom[:, node]).any() else now.local
        if not told or not np.isfinite(before.symptom[:, node]).any():
            continue
        signs = read_signs(now, before, pairs, node, days)
        if best is None or signs.symptom > best[2].symptom:
            best = name, node, signs
    silent = [node for node in nodes if not seen[row[node]]]
    checks = [_measured(silent, nodes)]
    if best is None:
        place = at or nodes[0]
        says = f"nothing was measured of {place} in one of the spans"
        return on or outcomes[0], place, nodes, None, [Check(name="symptom", passed=False, says=says), *checks]
    return best[0], nodes[best[1]], nodes, best[2], checks


def _panel(windows: Windows, nodes: Sequence[str], on: str, span: Period) -> Panel:
    times, panel = spread_out(windows, nodes, on)
    start, end = (np.datetime64(time.replace(tzinfo=None), "us") for time in span)
    return panel.rows((times >= start) & (times < end))


def _entry(now: Panel, pairs: Sequence[tuple[int, int]]) -> int:
    load = np.nansum(np.where(np.isfinite(now.symptom), now.calls, 0.0), axis=0)
    load[[callee for _, callee in pairs]] = -1.0
    return int(load.argmax())


def _ranked(symptom: str, nodes: Sequence[str], signs: Signs, seed: int) -> tuple[pl.DataFrame, NDArray[np.float64]]:
    draws = chances(signs.features(), _DRAWS, seed)
    names, shares = [*nodes, NONE], [*signs.share.tolist(), None]
    order = np.lexsort((names, -draws.mean(axis=0)))
    rows = [(symptom, "probability", "1", names[i], shares[i]) for i in order]
    schema = {"slo": pl.String, "quantity": pl.String, "unit": pl.String, "node": pl.String, "share": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row"), draws[:, order]


def _measured(silent: Sequence[str], nodes: Sequence[str]) -> Check:
    told = f"{len(silent)} of {len(nodes)} nodes" if silent else "no node"
    named = f" ({', '.join(silent[:3])}{', ...' if len(silent) > 3 else ''})" if silent else ""
    says = f"{told}{named} lacks the symptom in the span"
    return Check(name="missing metrics", passed=len(silent) <= len(nodes) / 2, says=says)


def _far(days: float) -> Check:
    says = f"the normal period lies {days:.0f} days away, and {'more' if days > 30 else 'little'} drift is allowed for"
    return Check(name="normal period", passed=True, says=says)
