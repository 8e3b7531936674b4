"""Verification: every claim of a report asked again, and what is not the same named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from causalrel import display, errors, shipped
from causalrel.graphs import Graph
from causalrel.graphs.documents import load_graph
from causalrel.provenance import rounded
from causalrel.reports import differences
from causalrel.reports.answers import gather
from causalrel.reports.claims import data_parts
from causalrel.reports.differences import Change
from causalrel.reports.facts import make_facts
from causalrel.reports.outputs import to_json
from causalrel.reports.records import Parts, Written, graph_in, load_report, read_facts, slos_of
from causalrel.slos import SLO
from causalrel.slos.documents import load_slos
from causalrel.telemetry import Telemetry
from causalrel.telemetry.datasets import load_dataset
from causalrel.telemetry.tables import read
from causalrel.variables import parse_time
from causalrel.windows import Windows, window


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """Whether a report says the same when it is asked again.

    Parameters
    ----------
    title : str
        Title of the report.
    claims : int
        Sentences asked again.
    changes : tuple of Change
        What is not as it was written: inputs first, then what the report says.
    notes : tuple of str
        What differs and changes no answer by itself, such as a version.

    Examples
    --------
    >>> Verification(title="Monday", claims=3, changes=(), notes=())
    verified: all 3 claims of 'Monday' are the same when asked again
    """

    title: str
    claims: int
    changes: tuple[Change, ...]
    notes: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether nothing changed."""
        return not self.changes

    @property
    def moved(self) -> tuple[str, ...]:
        """Keys of the sentences that are not the same."""
        said = ("sentence", "number", "verdict", "check")
        return tuple(dict.fromkeys(change.where for change in self.changes if change.what in said))

    @property
    def caption(self) -> str:
        """What a table of it is called."""
        return "What changed" if self.changes else "Nothing changed"

    def frame(self) -> pl.DataFrame:
        """Return the changes.

        Returns
        -------
        polars.DataFrame
            One row a change: ``what``, ``where``, ``says``.
        """
        rows = [[change.what, change.where, change.says] for change in self.changes]
        return pl.DataFrame(rows, schema=dict.fromkeys(["what", "where", "says"], pl.String), orient="row")

    def facts(self) -> dict[str, Any]:
        """Return the verification as JSON-ready facts, the verdict first."""
        return {
            "verdict": "same" if self.same else "changed",
            "title": self.title,
            "claims": self.claims,
            "moved": list(self.moved),
            "changes": self.frame().to_dicts(),
            "notes": list(self.notes),
        }

    def __repr__(self) -> str:
        if self.same:
            lines = [f"verified: all {self.claims} claims of '{self.title}' are the same when asked again"]
        else:
            said = f"changed: {len(self.moved)} of {self.claims} claims of '{self.title}' are not the same"
            lines = [said, *(f"{change.what}: {change.where}: {change.says}" for change in self.changes)]
        return "\n".join(display.plain(line) for line in [*lines, *(f"note: {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        return display.frame_html(repr(self).splitlines()[0], self.frame())


def verify(
    report: str | Path,
    data: Windows | Telemetry | str | Path | None = None,
    *,
    slos: str | Path | None = None,
    graph: Graph | str | Path | None = None,
    columns: str | Path | None = None,
    within: float = 0.0,
) -> Verification:
    """Ask every claim of a report again with its own seed, and name what changed.

    Inputs that are not given are looked for by the names in the report: those of shipped documents, and paths inside
    the current folder. The SLOs and the graph stand whole in the report too, and are taken from there where their
    files are out of reach. Data that go on after the report's span are cut to it.

    Parameters
    ----------
    report : str or pathlib.Path
        JSON of a report.
    data : Windows, Telemetry, str or pathlib.Path, optional
        The data as they are now: a path, the name of a shipped data set, telemetry, or windows.
    slos, columns : str or pathlib.Path, optional
        OpenSLO file, and column map of in-house logs, as they are now.
    graph : Graph, str or pathlib.Path, optional
        The graph as it is now.
    within : float
        Standard deviations that a number may move by and still count as the same; 0 asks for six equal digits.

    Returns
    -------
    Verification
        What changed: rows by day, unit and column, SLOs, edges, then sentences and numbers beside their sd.

    Raises
    ------
    CausalrelError
        When the report is missing, of a newer layout or not as it was written, or its data are out of reach.

    Examples
    --------
    >>> verify("no-such-report.json")
    Traceback (most recent call last):
    ...
    causalrel.errors.CausalrelError: cannot read 'no-such-report.json': no such file or directory; check the path
    """
    if not 0 <= within < float("inf"):
        raise errors.bad_question(f"numbers cannot move within {within} sd", "write 0 or more, such as 0.01")
    file = Path(report)
    written = load_report(file)
    if written.record.fit.data != written.record.data.fingerprint:
        raise errors.refused(f"verifying '{file}'", "its network was fitted to other windows than it reports on")
    notes: list[str] = []
    windows = _cut(_windows(written, file, data, slos, columns, notes), written, notes)
    believed = _graph(written, file, graph, notes).project(windows.names)
    stands_on = differences.inputs(written, _inputs_now(written, windows, believed))
    try:
        now = _asked_again(written, windows, believed, file)
    except errors.CausalrelError as fault:
        if not stands_on:
            raise
        changes = [*stands_on, Change(what="replay", where="report", says=fault.message)]
    else:
        changes = [*stands_on, *differences.answers(written, now, within)]
        notes += differences.notes(written.record.versions, now.record.versions)
    return Verification(title=written.title, claims=len(written.claims), changes=tuple(changes), notes=tuple(notes))


def _windows(
    written: Written,
    file: Path,
    data: Windows | Telemetry | str | Path | None,
    slos: str | Path | None,
    columns: str | Path | None,
    notes: list[str],
) -> Windows:
    if isinstance(data, Windows):
        return data
    sources = written.record.sources
    if isinstance(data, Telemetry):
        telemetry = data
    else:
        telemetry = _telemetry(file, str(data) if data is not None else _named_data(sources, file), columns, sources)
    units = sources.get("by", "service").split(",")
    return window(telemetry, _slos(written, file, slos, notes), every=written.record.every, by=units)


def _named_data(sources: Mapping[str, str], file: Path) -> str:
    name = sources.get("data")
    if name is None:
        raise errors.bad_question(f"'{file}' does not say where its data are", f"name them: verify {file} DATA")
    if name not in shipped.names("datasets") and not _within_reach(name):
        raise errors.bad_question(
            f"the data of '{file}', '{name[:200]}', are not inside this folder", f"name them: verify {file} DATA"
        )
    return name


def _telemetry(file: Path, name: str, columns: str | Path | None, sources: Mapping[str, str]) -> Telemetry:
    if name in shipped.names("datasets"):
        return load_dataset(name)
    own = sources.get("columns")
    if columns is None and own is not None and own not in shipped.names("models/maps") and not _within_reach(own):
        raise errors.bad_question(
            f"the column map of '{file}', '{own[:200]}', is not inside this folder", "name it with columns"
        )
    return read(name, columns=columns or own)


def _slos(written: Written, file: Path, slos: str | Path | None, notes: list[str]) -> tuple[SLO, ...]:
    if slos is not None:
        return load_slos(slos)
    name = written.record.sources.get("slo", "")
    if name in shipped.names("models/slos") or (name and _within_reach(name)):
        return load_slos(name)
    notes.append("the SLOs are those that the report holds; name their file to compare")
    return slos_of(written, file)


def _graph(written: Written, file: Path, graph: Graph | str | Path | None, notes: list[str]) -> Graph:
    if isinstance(graph, Graph):
        return graph
    if graph is not None:
        return load_graph(graph)
    name = written.record.sources.get("graph", "")
    if name in shipped.names("models/graphs") or (name and _within_reach(name)):
        return load_graph(name)
    notes.append("the graph is the one that the report holds; name its file to compare")
    return graph_in(written, file)


def _within_reach(name: str) -> bool:
    """Whether a name from a report is a path inside the current folder; a report may come from anybody."""
    if "\x00" in name or len(name) > 1000:
        return False
    here = Path.cwd().resolve()
    path = Path(name)
    return not path.is_absolute() and path.exists() and path.resolve().is_relative_to(here)


def _cut(windows: Windows, written: Written, notes: list[str]) -> Windows:
    """Return the windows up to the end of the report's data."""
    end = parse_time(written.record.data.span[1], "the report's span")
    later = windows.table["time"] >= end
    if not later.any():
        return windows
    notes.append(f"the data go on after {display.when(end)} UTC; {later.sum():,} later windows were left out")
    changes = windows.changes.filter(pl.col("time") < end) if windows.changes is not None else None
    return replace(windows, table=windows.table.filter(~later), changes=changes)


def _inputs_now(written: Written, windows: Windows, graph: Graph) -> Written:
    """Return the report with its inputs as they are now."""
    told = {
        "data": data_parts(windows),
        "graph": graph.facts(),
        "slos": [slo.facts() for slo in windows.slos],
        "changes": windows.changes.to_dicts() if windows.changes is not None else [],
    }
    plain = msgspec.json.decode(to_json(told))
    return msgspec.structs.replace(
        written,
        record=msgspec.structs.replace(written.record, data=msgspec.convert(plain.pop("data"), Parts)),
        **plain,
    )


def _asked_again(written: Written, windows: Windows, graph: Graph, file: Path) -> Written:
    from causalrel.fitting import fit

    record = written.record
    asked = record.asked
    network = fit(windows, graph, draws=record.fit.draws, seed=record.fit.seed)
    answers = gather(
        windows,
        network,
        during=asked.during,
        against=asked.against,
        on=asked.on,
        effects=asked.effects,
        where=asked.where,
        do=asked.do,
        horizon=asked.horizon,
        again=True,
        seed=record.seed,
    )
    facts = make_facts(
        windows,
        network,
        answers,
        title=written.title,
        sources=record.sources,
        assessed=_assessed(written.governance, windows),
        seed=record.seed,
    )
    return read_facts(file, msgspec.json.decode(to_json(rounded(facts))))


def _assessed(governance: Mapping[str, Any], windows: Windows) -> dict[str, Any]:
    """Return what was assessed, of the SLOs that there still are."""
    names = {slo.name for slo in windows.slos}
    each = governance.get("slos", {})
    return {**governance, "slos": {name: fields for name, fields in each.items() if name in names}}
