"""Causal graphs: who may cause whom, why, and what nobody measured."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from causalrel import display, errors
from causalrel.graphs.unmeasured import Unmeasured as Unmeasured
from causalrel.provenance import fingerprint
from causalrel.variables import ROLES, Monotone, Role, Variable

if TYPE_CHECKING:
    import networkx as nx


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """One claim that a variable causes another.

    Parameters
    ----------
    cause, effect : str
        Variable names.
    lag : int
        Windows between cause and effect.
    support : float or None
        Calibrated chance that data lend it; None where it was not learnt.
    oriented : bool
        Whether its direction is known.
    why : str
        The reason, for a reviewer.
    source : str
        Where the reason comes from.
    monotone : {"increasing", "decreasing"} or None
        What more of the cause does to the effect, all else equal; None where it may do either.

    Examples
    --------
    >>> Edge(cause="load", effect="queue_s").lag
    0
    """

    cause: str
    effect: str
    lag: int = 0
    support: float | None = None
    oriented: bool = True
    why: str = ""
    source: str = ""
    monotone: Monotone | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A reviewable set of causal claims; lags of 0 only make it static, any lag >= 1 dynamic.

    Parameters
    ----------
    variables : tuple of Variable
        Nodes; an SLO is a node of kind ``events`` that bears its name.
    edges : tuple of Edge
        Claims.
    unmeasured : tuple of Unmeasured
        Hidden common causes.
    forbidden : tuple of (str, str)
        Edges that cannot be, as (cause, effect).
    name : str
        Its name.
    version : int
        Version of the document.

    Examples
    --------
    >>> graph = Graph.from_edges(
    ...     [("load", "batch"), ("batch", "ttft")], roles={"load": "workload", "batch": "config", "ttft": "outcome"}
    ... )
    >>> graph.parents("ttft")
    ('batch',)
    """

    variables: tuple[Variable, ...]
    edges: tuple[Edge, ...]
    unmeasured: tuple[Unmeasured, ...] = ()
    forbidden: tuple[tuple[str, str], ...] = ()
    name: str = "graph"
    version: int = 1

    @staticmethod
    def from_edges(
        edges: Iterable[tuple[str, str] | tuple[str, str, int]],
        *,
        roles: Mapping[str, Role],
        unmeasured: Mapping[str, Sequence[str]] | None = None,
        name: str = "graph",
    ) -> Graph:
        """Make a graph typed in a notebook.

        Parameters
        ----------
        edges : iterable of (cause, effect) or (cause, effect, lag)
            Claims.
        roles : mapping of str to role
            Role of every variable; an outcome is an SLO or a measured outcome.
        unmeasured : mapping of str to sequence of str, optional
            Hidden common causes and what they affect.
        name : str
            Its name.

        Returns
        -------
        Graph
            A checked graph.

        Raises
        ------
        CausalrelError
            When an edge names a variable without a role, a tier is broken, or there is a cycle.
        """
        made = tuple(Edge(cause=e[0], effect=e[1], lag=e[2] if len(e) == 3 else 0) for e in edges)
        faults = [f"'{r}' of '{v}' is not a role ({', '.join(ROLES)})" for v, r in roles.items() if r not in ROLES]
        if faults:
            raise errors.bad_spec(name, faults)
        graph = Graph(
            variables=tuple(
                Variable(name=v, role=r, kind="events" if r == "outcome" else "number") for v, r in roles.items()
            ),
            edges=made,
            unmeasured=tuple(Unmeasured(name=u, affects=tuple(a)) for u, a in (unmeasured or {}).items()),
            name=name,
        )
        from causalrel.graphs.surgery import checked

        return checked(graph, name)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the variables, in their order."""
        return tuple(variable.name for variable in self.variables)

    @property
    def lags(self) -> int:
        """Largest lag of an edge."""
        return max((edge.lag for edge in self.edges), default=0)

    def variable(self, name: str) -> Variable:
        """Return one variable by name.

        Parameters
        ----------
        name : str
            Its name.

        Returns
        -------
        Variable
            The variable.

        Raises
        ------
        CausalrelError
            When the graph has no such variable.
        """
        for variable in self.variables:
            if variable.name == name:
                return variable
        raise errors.unknown_variable(name, f"graph '{self.name}'", self.names)

    def parents(self, name: str) -> tuple[str, ...]:
        """Return the direct causes of a variable within the same window.

        Parameters
        ----------
        name : str
            A variable.

        Returns
        -------
        tuple of str
            Names in the graph's order.
        """
        causes = {edge.cause for edge in self.edges if edge.effect == name and edge.lag == 0}
        return tuple(v for v in self.names if v in causes)

    def ancestors(self, name: str) -> set[str]:
        """Return every direct or indirect cause of a variable, the variable left out.

        Parameters
        ----------
        name : str
            A variable.

        Returns
        -------
        set of str
            Names.
        """
        found: set[str] = set()
        todo = [name]
        while todo:
            for parent in self.parents(todo.pop()):
                if parent not in found:
                    found.add(parent)
                    todo.append(parent)
        return found - {name}

    def descendants(self, name: str) -> set[str]:
        """Return everything a variable directly or indirectly causes, the variable left out.

        Parameters
        ----------
        name : str
            A variable.

        Returns
        -------
        set of str
            Names.
        """
        return {other for other in self.names if name in self.ancestors(other)}

    def blanket(self, name: str) -> tuple[str, ...]:
        """Return the variables that make all others superfluous for knowing one (its Markov blanket).

        Its direct causes, its effects and their other direct causes; where causes are unmeasured, also the variables
        that share one with it, or with its effects, in a chain, and the direct causes of these (the district-aware
        blanket of Pellet and Elisseeff 2008, "Finding latent causes in causal networks").

        Parameters
        ----------
        name : str
            A variable of a static graph.

        Returns
        -------
        tuple of str
            Names in the graph's order.
        """
        from causalrel.graphs.surgery import blanket

        return blanket(self, name)

    def order(self) -> tuple[str, ...]:
        """Return the variables with every cause before its effects.

        Returns
        -------
        tuple of str
            A topological order, stable in the graph's own order.
        """
        done: list[str] = []
        while len(done) < len(self.names):
            ready = [v for v in self.names if v not in done and set(self.parents(v)) <= set(done)]
            done.extend(ready or [v for v in self.names if v not in done])
        return tuple(done)

    def project(self, observed: Collection[str]) -> Graph:
        """Return the graph over some of its variables, the others marginalised out.

        A variable left out passes its causes on to its effects and, where it has several effects, stays as an
        unmeasured common cause (latent projection; Evans 2016, doi:10.1111/sjos.12194).

        Parameters
        ----------
        observed : collection of str
            Variables to keep.

        Returns
        -------
        Graph
            A graph whose variables are all observed.
        """
        from causalrel.graphs.surgery import without

        graph = self
        for variable in self.variables:
            if variable.name not in observed:
                graph = without(graph, variable.name)
        return graph

    def leading_to(self, name: str, among: Collection[str]) -> Graph:
        """Return the part of the graph that leads to a variable through some variables; the others count as held.

        Parameters
        ----------
        name : str
            A variable.
        among : collection of str
            Variables that vary.

        Returns
        -------
        Graph
            The variable, its ancestors and what nobody measured between them.
        """
        from causalrel.graphs.surgery import leading_to

        return leading_to(self, name, among)

    def to_networkx(self) -> nx.DiGraph[str]:
        """Return the static part as a networkx graph, unmeasured causes included as nodes.

        Returns
        -------
        networkx.DiGraph
            One node a variable and one an unmeasured cause.
        """
        import networkx as nx

        made: nx.DiGraph[str] = nx.DiGraph()
        made.add_nodes_from(self.names)
        made.add_edges_from((edge.cause, edge.effect) for edge in self.edges if edge.lag == 0)
        made.add_edges_from((hidden.name, effect) for hidden in self.unmeasured for effect in hidden.affects)
        return made

    def facts(self) -> dict[str, Any]:
        """Return the graph as JSON-ready facts, in the layout of its YAML document."""
        return {
            "graph": self.name,
            "version": self.version,
            "variables": {
                v.name: {k: getattr(v, k) for k in ("role", "kind", "unit", "otel") if getattr(v, k)}
                for v in self.variables
            },
            "edges": [_edge_facts(edge) for edge in self.edges],
            "forbidden": [{"cause": cause, "effect": effect} for cause, effect in self.forbidden],
            "unmeasured": [{"name": u.name, "affects": list(u.affects), "why": u.why} for u in self.unmeasured],
        }

    def fingerprint(self) -> str:
        """Return a short hash of the graph."""
        return fingerprint(self.facts())

    def to_yaml(self) -> str:
        """Return the graph as a document :func:`causalrel.load_graph` reads.

        Returns
        -------
        str
            YAML.
        """
        import yaml

        return yaml.safe_dump(self.facts(), sort_keys=False, allow_unicode=True, width=110)

    def to_dot(self) -> str:
        """Return the graph in the DOT language, names quoted.

        Returns
        -------
        str
            A ``digraph``.
        """
        inert = str.maketrans({"\\": "\\\\", '"': '\\"'})
        quoted = {name: f'"{display.plain(name).translate(inert)}"' for name in self.names}
        lines = [f"  {quoted[v.name]} [group={v.role}];" for v in self.variables]
        lines += [
            f"  {quoted[e.cause]} -> {quoted[e.effect]}"
            + (f' [label="lag {e.lag}"]' if e.lag else "")
            + ("" if e.oriented else " [dir=none]")
            + ";"
            for e in self.edges
        ]
        return "digraph {\n" + "\n".join(lines) + "\n}\n"

    def frame(self) -> pl.DataFrame:
        """Return the edges.

        Returns
        -------
        polars.DataFrame
            One row an edge: ``cause``, ``effect``, ``lag``, ``support``, ``oriented``, ``why``, ``source``.
        """
        keys = {"cause": pl.String, "effect": pl.String, "lag": pl.Int64, "support": pl.Float64}
        more = {"oriented": pl.Boolean, "why": pl.String, "source": pl.String}
        rows = [[getattr(e, key) for key in [*keys, *more]] for e in self.edges]
        return pl.DataFrame(rows, schema={**keys, **more}, orient="row")

    def __repr__(self) -> str:
        kind = f"dynamic, lags to {self.lags}" if self.lags else "static"
        hidden = f", {len(self.unmeasured)} unmeasured" if self.unmeasured else ""
        size = f"{len(self.variables)} variables, {len(self.edges)} edges ({kind}){hidden}"
        return display.plain(f"Graph {self.name} v{self.version}: {size}")

    def _repr_html_(self) -> str:
        return display.frame_html(repr(self), self.frame(), rows=40)


def _edge_facts(edge: Edge) -> dict[str, Any]:
    facts: dict[str, Any] = {"cause": edge.cause, "effect": edge.effect}
    if edge.lag:
        facts["lag"] = edge.lag
    if edge.support is not None:
        facts["support"] = float(f"{edge.support:.6g}")
    if not edge.oriented:
        facts["oriented"] = False
    return facts | {key: getattr(edge, key) for key in ("monotone", "why", "source") if getattr(edge, key)}
