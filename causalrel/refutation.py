"""Refutation: which of a graph's claims the data contradict, and which edge would mend it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from causalrel import display, errors
from causalrel.dependences import Dependence, weigh
from causalrel.estimates import Origin
from causalrel.graphs import Edge, Graph
from causalrel.identification import Implication, list_implications
from causalrel.mechanisms.drafts import check_nodes, rows_of
from causalrel.networks import make_term
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

Ruling = Literal["refuted", "stands", "untested"]

_FEWEST = 100
_KNOTS = 4
#: Fewest changes of value that make a variable worth testing.
_CHANGES = 10
_ROWS_A_COLUMN = 5
#: Most repairs, and most pairs of a kind, that are told in a sentence.
_REPAIRS, _PAIRS = 5, 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Refutation:
    """What data say against a graph.

    Parameters
    ----------
    graph : str
        Name of the graph.
    table : polars.DataFrame
        One row a claim, those tested first and the least probable first: ``claim`` (independence or edge), ``one``,
        ``other``, ``given``, the partial ``correlation`` with its standard ``error``, ``p``, ``adjusted`` (by Holm, for
        independencies) and ``finding``: refuted, stands, seen, unseen, or why it was not tested.
    level : float
        Chance of refuting a right graph that was allowed.
    repairs : tuple of str
        Single edits of the graph that leave the fewest claims refuted, the best first.
    mended : bool
        Whether they leave none.
    origin : Origin
        Where it comes from.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> day = datetime(2026, 2, 11, tzinfo=UTC)
    >>> origin = Origin(version="0.1.0", seed=0, data="ab", span=(day, day), slos="cd")
    >>> table = pl.DataFrame({"claim": ["independence"], "finding": ["stands"]})
    >>> Refutation(graph="typed", table=table, level=0.05, repairs=(), mended=True, origin=origin).verdict
    'stands'
    """

    graph: str
    table: pl.DataFrame
    level: float
    repairs: tuple[str, ...]
    mended: bool
    origin: Origin

    @property
    def verdict(self) -> Ruling:
        """Whether an independence is refuted, or none, or none could be tested."""
        found = set(self.table.filter(pl.col("claim") == "independence")["finding"])
        return "refuted" if "refuted" in found else "stands" if "stands" in found else "untested"

    @property
    def says(self) -> str:
        """The verdict as a sentence."""
        claims = self.table.filter(pl.col("claim") == "independence")
        tested = claims.filter(pl.col("finding").is_in(["refuted", "stands"])).height
        told = f"{tested} of the {claims.height} independencies that {self.graph} claims were tested"
        unseen = self.table.filter(pl.col("finding") == "unseen")
        dim = _told([f"{row['one']} -> {row['other']}" for row in unseen.iter_rows(named=True)])
        edges = f"; no sign is seen of {dim}" if dim else ""
        if self.verdict != "refuted":
            return f"{told} and none is refuted{edges}" if tested else f"{told}, so nothing speaks for or against it"
        refuted = claims.filter(pl.col("finding") == "refuted")
        pairs = _told([f"{row['one']} and {row['other']}" for row in refuted.iter_rows(named=True)])
        mends = "would mend it" if self.mended else "would mend most of it"
        edit = f"; to {' or to '.join(self.repairs)} {mends}" if self.repairs else "; no single edge would mend it"
        return f"{told} and {refuted.height} refuted ({pairs}){edit}{edges}"

    def frame(self) -> pl.DataFrame:
        """Return the claims and what was found.

        Returns
        -------
        polars.DataFrame
            One row a claim.
        """
        return self.table

    def facts(self) -> dict[str, Any]:
        """Return the refutation as JSON-ready facts."""
        return {
            "graph": self.graph,
            "verdict": self.verdict,
            "says": self.says,
            "level": self.level,
            "repairs": list(self.repairs),
            "mended": self.mended,
            "claims": self.table.to_dicts(),
            "origin": self.origin.facts(),
        }

    def __repr__(self) -> str:
        return display.plain(f"Refutation ({self.verdict}): {self.says}")

    def _repr_html_(self) -> str:
        return display.frame_html(repr(self), self.table, rows=60)


def _told(pairs: Sequence[str]) -> str:
    rest = f" and {len(pairs) - _PAIRS} more" if len(pairs) > _PAIRS else ""
    return ", ".join(pairs[:_PAIRS]) + rest


def refute(windows: Windows, graph: Graph, *, level: float = 0.05) -> Refutation:
    """Test the independencies that a graph claims, and tell which edge would mend those that do not hold.

    Each pair without an edge is tested given the measured causes of both, by products of residuals whose memory is
    filtered out (:func:`causalrel.dependences.weigh`); Holm's step-down (1979) keeps the chance of refuting a right
    graph at ``level``. SLOs enter as the share of bad events, whose mean does not depend on their number. Two settings,
    two SLOs, and what changed fewer than ten times are not tested: people set the first together, the second are
    counted on the same requests, the third tell nothing. Then each edit of one edge near a refuted pair is tried,
    reversal or addition (for which an unmeasured common cause may stand), and those told that leave the fewest claims
    refuted, reversals first since they claim more. An edge is unseen where its two ends show no dependence given the
    other causes of its effect; that alone refutes nothing. Graphs that claim the same independencies cannot be told
    apart.

    Parameters
    ----------
    windows : Windows
        The windows.
    graph : Graph
        A static graph whose variables the windows hold.
    level : float
        Chance of refuting a right graph.

    Returns
    -------
    Refutation
        Claims, findings, repairs and the verdict.

    Raises
    ------
    CausalrelError
        When the graph has lags or variables the windows lack, or fewer than 100 windows are complete.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="30m", by="node")
    >>> roles = {"load": "workload", "queue_s": "engine", "running": "engine"}
    >>> wrong = cr.Graph.from_edges([("load", "running")], roles=roles, name="no-queue")
    >>> cr.refute(windows, wrong).verdict
    'refuted'
    """
    check_nodes(windows, graph, "refute")
    if not 0 < level < 1:
        raise errors.bad_question(f"refute: a level of {level:g} is no probability", "write a number such as 0.05")
    claims = list_implications(graph)
    bench = _Bench.of(windows, graph)
    tested = bench.test(graph, claims)
    adjusted = _holm(tested)
    rows = [
        _row("independence", claim, bench, tested.get(claim), adjusted.get(claim), "refuted", "stands", level)
        for claim in claims
    ]
    for edge in graph.edges:
        given = tuple(name for name in graph.parents(edge.effect) if name != edge.cause)
        claim = Implication(one=edge.cause, other=edge.effect, given=given)
        found = bench.test(graph, [claim]).get(claim)
        rows.append(_row("edge", claim, bench, found, None if found is None else found.p, "seen", "unseen", level))
    refuted = [claim for claim in claims if adjusted.get(claim, 1.0) < level]
    repairs, left = _repairs(bench, graph, refuted, level) if refuted else ((), 0)
    return Refutation(
        graph=graph.name,
        table=_table(rows).sort(
            pl.col("p").is_null(), pl.col("claim") != "independence", "p", maintain_order=True, nulls_last=True
        ),
        level=level,
        repairs=repairs,
        mended=left == 0,
        origin=windows.origin(0, graph.fingerprint()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bench:
    """Columns ready to be tested, what must stay untested and why, and the tests that were made."""

    shown: Mapping[str, NDArray[np.float64]]
    basis: Mapping[str, NDArray[np.float64]]
    step: NDArray[np.int64]
    unit: NDArray[np.int64]
    roles: Mapping[str, str]
    dull: Mapping[str, str]
    made: dict[tuple[Implication, bool], Dependence | None]

    @classmethod
    def of(cls, windows: Windows, graph: Graph) -> _Bench:
        columns, kept = rows_of(windows, graph.names)
        if kept.height < _FEWEST:
            raise errors.refused(
                f"refuting graph '{graph.name}'", f"it needs {_FEWEST} complete windows and there are {kept.height}"
            )
        shown, basis, dull = {}, {}, {}
        slos = {slo.name for slo in windows.slos}
        fresh = columns["unit"][1:] != columns["unit"][:-1]
        for name in graph.names:
            values = columns[f"{name}.bad"] / columns[f"{name}.total"] if name in slos else columns[name]
            if (changes := int((~fresh & (values[1:] != values[:-1])).sum())) < _CHANGES:
                dull[name] = f"changes of {name}: {changes}, and {_CHANGES} are needed"
            term = make_term(name, values, category=values.dtype.kind == "U", knots=_KNOTS)
            basis[name] = term.columns(values)
            shown[name] = basis[name] if term.levels else (values if name in slos else _scaled(values))[:, None]
        roles = {name: "SLO" if name in slos else graph.variable(name).role for name in graph.names}
        units = np.unique(columns["unit"], return_inverse=True)[1].astype(np.int64)
        return cls(shown=shown, basis=basis, step=columns["step"], unit=units, roles=roles, dull=dull, made={})

    def untested(self, claim: Implication) -> str:
        """Say why a claim cannot be tested, or nothing."""
        roles = {self.roles[claim.one], self.roles[claim.other]}
        if roles <= {"config", "hardware"}:
            return "people may set both together"
        if roles == {"SLO"}:
            return "both are counted on the same requests"
        width = 1 + sum(self.basis[name].shape[1] for name in claim.given)
        if len(self.step) < _ROWS_A_COLUMN * width:
            return f"{len(self.step)} windows are too few for {width} coefficients"
        return self.dull.get(claim.one) or self.dull.get(claim.other) or ""

    def test(self, graph: Graph, claims: Iterable[Implication]) -> dict[Implication, Dependence]:
        """Test the claims that can be tested."""
        found = {}
        for claim in claims:
            causes = set(graph.parents(claim.other)) - {claim.one}
            hidden = any(claim.other in unmeasured.affects for unmeasured in graph.unmeasured)
            key = (claim, causes <= set(claim.given) and not hidden)
            if key not in self.made:
                self.made[key] = None if self.untested(claim) else self._weigh(*key)
            if (made := self.made[key]) is not None:
                found[claim] = made
        return found

    def _weigh(self, claim: Implication, whiten: bool) -> Dependence | None:
        z = np.hstack([np.ones((len(self.step), 1)), *(self.basis[name] for name in claim.given)])
        x, y = self.shown[claim.one], self.shown[claim.other]
        return weigh(x, y, z, step=self.step, unit=self.unit, whiten=whiten)


def _scaled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take logs of a positive column with a long tail, so that a few windows do not speak for all."""
    skewed = values.min() > 0 and values.mean() > 1.2 * np.median(values)
    return np.log(values) if skewed else values


def _holm(tested: Mapping[Implication, Dependence]) -> dict[Implication, float]:
    adjusted: dict[Implication, float] = {}
    largest = 0.0
    for rank, (claim, found) in enumerate(sorted(tested.items(), key=lambda item: item[1].p)):
        largest = max(largest, min(1.0, found.p * (len(tested) - rank)))
        adjusted[claim] = largest
    return adjusted


def _repairs(bench: _Bench, graph: Graph, refuted: Sequence[Implication], level: float) -> tuple[tuple[str, ...], int]:
    """Return the edits of one edge that leave the fewest claims refuted, and how many those are."""
    scored = []
    for says, edited in _edits(graph, refuted):
        adjusted = _holm(bench.test(edited, list_implications(edited)))
        count = sum(p < level for p in adjusted.values())
        scored.append((count, len(edited.edges), -min(adjusted.values(), default=1.0), says))
    scored.sort()
    least = scored[0][0] if scored else len(refuted)
    best = tuple(says for count, *_, says in scored if count == least) if least < len(refuted) else ()
    return best[:_REPAIRS], least


def _edits(graph: Graph, refuted: Sequence[Implication]) -> list[tuple[str, Graph]]:
    """List graphs with one edge more, or one edge about a refuted pair turned round."""
    near = {name for claim in refuted for name in (claim.one, claim.other)}
    made = []
    for edge in graph.edges:
        if near & {edge.cause, edge.effect}:
            turned = replace(edge, cause=edge.effect, effect=edge.cause)
            edges = tuple(turned if other is edge else other for other in graph.edges)
            made.append((f"turn {edge.cause} -> {edge.effect} round", turned, replace(graph, edges=edges)))
    for claim in refuted:
        for cause, effect in ((claim.one, claim.other), (claim.other, claim.one)):
            fresh = Edge(cause=cause, effect=effect)
            made.append((f"add {cause} -> {effect}", fresh, replace(graph, edges=(*graph.edges, fresh))))
    return [(says, edited) for says, edge, edited in made if _possible(edited, edge)]


def _possible(graph: Graph, edge: Edge) -> bool:
    if (edge.cause, edge.effect) in graph.forbidden or edge.cause in graph.descendants(edge.effect):
        return False
    return graph.variable(edge.cause).tier <= graph.variable(edge.effect).tier


def _row(
    kind: str,
    claim: Implication,
    bench: _Bench,
    found: Dependence | None,
    adjusted: float | None,
    small: str,
    large: str,
    level: float,
) -> dict[str, Any]:
    finding = bench.untested(claim) or "nothing is left of one of them"
    if adjusted is not None:
        finding = small if adjusted < level else large
    return {
        "claim": kind,
        "one": claim.one,
        "other": claim.other,
        "given": ", ".join(claim.given),
        "correlation": None if found is None else found.correlation,
        "error": None if found is None else found.error,
        "p": None if found is None else found.p,
        "adjusted": adjusted,
        "finding": finding,
    }


def _table(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    text = dict.fromkeys(["claim", "one", "other", "given"], pl.String)
    numbers = dict.fromkeys(["correlation", "error", "p", "adjusted"], pl.Float64)
    return pl.DataFrame(rows, schema={**text, **numbers, "finding": pl.String}, orient="row")
