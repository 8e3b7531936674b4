"""From options to windows, graph and network."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import causalrel as cr
from causalrel import display, errors, shipped

if TYPE_CHECKING:
    from causalrel.graphs import Graph
    from causalrel.networks import Network
    from causalrel.slos import SLO
    from causalrel.variables import Role
    from causalrel.windows import Windows


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the shared options came to, a shipped data set's card filling what was not said.

    Parameters
    ----------
    windows : Windows
        The windows.
    graph : Graph or None
        The graph, what the data lack marginalised out.
    during : tuple of str or None
        Span the data set's card points at.
    do : dict of str to str
        What the data set's card would set.
    sources : dict of str to str
        What the inputs are named by.

    Examples
    --------
    >>> ask("llm-canary", None, None, None, "1h", None).graph is None
    True
    """

    windows: Windows
    graph: Graph | None
    during: tuple[str, str] | None
    do: dict[str, str]
    sources: dict[str, str]


def telemetry_of(data: str, columns: str | None) -> Any:
    """Read a path, or load a shipped data set.

    Parameters
    ----------
    data : str
        A path or a name.
    columns : str or None
        Column map of a path.

    Returns
    -------
    Telemetry
        Lazy.

    Raises
    ------
    CausalrelError
        When it is neither.

    Examples
    --------
    >>> telemetry_of("llm-canary", None).source
    'llm-canary'
    """
    if data in shipped.names("datasets"):
        return cr.load_dataset(data)
    if data == "-":
        raise errors.unreadable(data, "stdin is not read", "write the export to a file and name it")
    if not Path(data).exists() and "/" not in data and "." not in data:
        raise errors.unknown_data(data, shipped.names("datasets"))
    return cr.read(data, columns=columns)


def slo_sets(data: str, slo: str | None) -> dict[str, list[SLO]]:
    """Load the SLOs that data are held against: those named, else those of a data set's card, else all that ship.

    Parameters
    ----------
    data : str
        A path or a name.
    slo : str or None
        OpenSLO file, or the name of a shipped one.

    Returns
    -------
    dict of str to list of SLO
        SLOs of each set, by its name.

    Raises
    ------
    CausalrelError
        When the document is missing or not usable.

    Examples
    --------
    >>> list(slo_sets("llm-canary", None))
    ['llm-chat']
    """
    named = slo or _card(data).get("slos")
    return {Path(name).stem: list(cr.load_slos(name)) for name in ([named] if named else shipped.names("models/slos"))}


def _card(data: str) -> dict[str, Any]:
    """Return what the card of a shipped data set would ask of it; nothing for a path."""
    if data not in shipped.names("datasets"):
        return {}
    from causalrel.telemetry.datasets import load_card

    found: dict[str, Any] = load_card(data).get("report", {})
    return found


def tell(notes: tuple[str, ...]) -> None:
    """Write notes to stderr, one a line.

    Parameters
    ----------
    notes : tuple of str
        One sentence each.
    """
    for note in notes:
        sys.stderr.write(f"note: {display.plain(note)}\n")


def ask(
    data: str,
    columns: str | None,
    slo: str | None,
    graph: str | None,
    every: str | None,
    by: str | None,
    cluster: str | None = None,
) -> Asked:
    """Read, load and window what the shared options name.

    Parameters
    ----------
    data, columns, slo, graph, every, by, cluster : str or None
        Options as typed; ``graph`` is None where the verb can do without one, empty where it was not named.

    Returns
    -------
    Asked
        Windows, graph and span.

    Raises
    ------
    CausalrelError
        When something is missing or not usable.

    Examples
    --------
    >>> ask("llm-canary", None, None, "", None, None).graph.name
    'llm-serving'
    """
    card = _card(data)
    telemetry = telemetry_of(data, columns)
    slos = slo or card.get("slos")
    if slos is None:
        raise errors.bad_question("no SLO was named", "write --slo FILE, or the name of a shipped one")
    units = by.split(",") if by else card.get("by", "service")
    width = every or card.get("every", "5m")
    windows = cr.window(telemetry, cr.load_slos(slos), every=width, by=units, cluster=cluster)
    tell(windows.notes)
    named = graph or (card.get("graph") if graph is not None else None)
    if graph == "" and named is None:
        raise errors.bad_question("no graph was named", "write --graph FILE, or the name of a shipped one")
    believed = cr.load_graph(named) if named else None
    if believed is not None and not set(believed.names) & set(windows.units):
        missing = [name for name in believed.names if name not in windows.names]
        if missing:
            sys.stderr.write(f"note: the data lack {', '.join(missing)} of graph {believed.name}; marginalised out\n")
        believed = believed.project(windows.names)
    span = card.get("during")
    sources = {"data": data, "slo": slos, "graph": named, "by": units if isinstance(units, str) else ",".join(units)}
    return Asked(
        windows=windows,
        graph=believed,
        during=(span[0], span[1]) if span else None,
        do=card.get("do", {}),
        sources={name: value for name, value in {**sources, "columns": columns}.items() if value},
    )


def runs_of(path: Path, on: str) -> Windows:
    r"""Read a table of runs: settings of the simulator, the load, and a metric.

    Parameters
    ----------
    path : Path
        A Parquet, CSV or JSONL file.
    on : str
        The metric.

    Returns
    -------
    Windows
        Rows without time.

    Raises
    ------
    CausalrelError
        When the file cannot be read, or lacks the metric.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder) / "runs.csv"
    ...     _ = file.write_text("batch_size,load,ttft_s,note\n4,0.5,0.2,a\n8,0.5,0.3,b\n")
    ...     runs_of(file, "ttft_s").names
    ('load', 'batch_size', 'ttft_s')
    """
    from causalrel.simulation.settings import SETTINGS
    from causalrel.telemetry.files import scan_table

    notes: list[str] = []
    frame = scan_table(path, notes).collect()
    if on not in frame.columns:
        raise errors.unknown_name(on, f"column of {path.name}", frame.columns)
    roles: dict[str, Role] = {"load": "workload", **{name: one.role for name, one in SETTINGS.items()}, on: "outcome"}
    held = {name: role for name, role in roles.items() if name in frame.columns}
    tell(tuple(notes))
    return cr.Windows.from_frame(frame.select(list(held)), time=None, roles=held, events={})


def graph_of(asked: Asked) -> Graph:
    """Return the graph, or say that none was named.

    Parameters
    ----------
    asked : Asked
        What was asked.

    Returns
    -------
    Graph
        The graph.

    Raises
    ------
    CausalrelError
        When there is none.

    Examples
    --------
    >>> graph_of(ask("llm-canary", None, None, "", None, None)).name
    'llm-serving'
    """
    if asked.graph is None:
        raise errors.bad_question("no graph was named", "write --graph FILE, or the name of a shipped one")
    return asked.graph


def network_of(asked: Asked, seed: int) -> Network:
    """Fit the network a verb works with.

    Parameters
    ----------
    asked : Asked
        What was asked.
    seed : int
        Seed of the draws.

    Returns
    -------
    Network
        The network.

    Examples
    --------
    >>> network_of(ask("llm-canary", None, None, "", "1h", None), 0).n_draws
    200
    """
    return cr.fit(asked.windows, graph_of(asked), seed=seed)
