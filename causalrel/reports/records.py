"""Records: a report's JSON read back, trusted no further than its fingerprints and its shape reach."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from causalrel import errors
from causalrel.graphs import Graph
from causalrel.graphs.documents import graph_of
from causalrel.provenance import fingerprint
from causalrel.reports.claims import SOURCES
from causalrel.reports.facts import SCHEMA, VERSION
from causalrel.slos import SLO, Dimension, Method, slo_of
from causalrel.telemetry.documents import said

#: The longest report that is read.
MOST_BYTES = 64 * 2**20

_NEW = "write the report again with 'causalrel report DATA -o report.json'"

Level = float | int | str
Seed = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    """The questions of a report."""

    during: tuple[str, str]
    against: tuple[str, str] | None
    on: str
    effects: list[tuple[str, list[Level] | None]]
    where: str | None
    do: dict[str, Level]
    horizon: str


class Fit(msgspec.Struct, forbid_unknown_fields=True):
    """How the network was fitted, and to which data."""

    seed: Seed
    draws: Annotated[int, msgspec.Meta(ge=1, le=100_000)]
    data: str


class Parts(msgspec.Struct, forbid_unknown_fields=True):
    """Fingerprints of windows, by part."""

    fingerprint: str
    span: tuple[str, str]
    rows: int
    days: dict[str, str]
    units: dict[str, str]
    columns: dict[str, str]


class Record(msgspec.Struct, forbid_unknown_fields=True):
    """What a whole report was asked of; see :func:`causalrel.reports.claims.make_record`."""

    sources: dict[str, str]
    every: str
    seed: Seed
    asked: Asked
    fit: Fit
    versions: dict[str, str]
    data: Parts


class Claim(msgspec.Struct, forbid_unknown_fields=True):
    """The record of one sentence; see :func:`causalrel.reports.claims.make_claims`."""

    key: str
    says: str
    of: list[str]
    calls: list[dict[str, Any]]
    verdict: str
    method: list[str]
    assumptions: list[str]
    checks: list[dict[str, Any]]
    numbers: list[dict[str, Any]]
    origin: dict[str, Any]
    fingerprint: str


class Written(msgspec.Struct):
    """What is used of a report's JSON."""

    title: str
    claims: list[Claim]
    record: Record
    graph: dict[str, Any]
    slos: list[dict[str, Any]]
    changes: list[dict[str, Any]]
    sections: list[dict[str, Any]]
    answers: dict[str, dict[str, Any]]
    governance: dict[str, Any]


class _Slo(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    dimension: Dimension
    where: str
    among: str
    target: float
    period_s: int
    rolling: bool
    months: int
    start: str
    zone: str
    tier: str
    owner: str
    method: Method = "Occurrences"
    slice_s: int = 0
    slice_target: float = 0.0
    composite: str = ""
    weight: float = 1.0


def load_report(path: str | Path) -> Written:
    """Read the JSON of a report and hold it to its fingerprints.

    Parameters
    ----------
    path : str or pathlib.Path
        A file that :func:`causalrel.report` wrote as JSON.

    Returns
    -------
    Written
        What it holds.

    Raises
    ------
    CausalrelError
        When it is missing, too large, no report, of a newer layout, or not as it was written.

    Examples
    --------
    >>> load_report("no-such-report.json")
    Traceback (most recent call last):
    ...
    causalrel.errors.CausalrelError: cannot read 'no-such-report.json': no such file or directory; check the path
    """
    file = Path(path)
    facts = _decoded(file)
    schema, _, number = str(facts.get("schema", "")).rpartition("/")
    if schema != SCHEMA or not number.isdigit() or len(number) > 9:
        raise errors.unreadable(file, "it is not the JSON of a causalrel report", _NEW)
    if int(number) > VERSION:
        raise errors.unreadable(
            file, f"its layout {number} is newer than {VERSION}, the newest known here", "install a newer causalrel"
        )
    if int(number) < VERSION:
        raise errors.unreadable(file, f"its layout {number} is older than {VERSION} and holds no such claims", _NEW)
    _check_fingerprints(file, facts)
    return read_facts(file, facts)


def read_facts(file: Path, facts: Mapping[str, Any]) -> Written:
    """Return what is used of a report's facts.

    Parameters
    ----------
    file : pathlib.Path
        What to call it in errors.
    facts : mapping
        As JSON tells them.

    Returns
    -------
    Written
        What it holds.

    Raises
    ------
    CausalrelError
        When something is absent or of another shape.
    """
    try:
        found = msgspec.convert(dict(facts), Written)
    except (msgspec.ValidationError, OverflowError) as fault:
        raise errors.unreadable(file, f"its record is not whole ({said(fault)})", _NEW) from None
    unknown = [name for name in found.record.sources if name not in SOURCES]
    if unknown:
        raise errors.unreadable(file, f"its record names an unknown source, '{unknown[0][:40]}'", _NEW)
    return found


def slos_of(written: Written, file: Path) -> tuple[SLO, ...]:
    """Return the SLOs that a report holds whole.

    Parameters
    ----------
    written : Written
        The report.
    file : pathlib.Path
        What to call it in errors.

    Returns
    -------
    tuple of SLO
        In their order.

    Raises
    ------
    CausalrelError
        When one is not whole.
    """
    try:
        for facts in written.slos:
            msgspec.convert(facts, _Slo)
        return tuple(slo_of(facts) for facts in written.slos)
    except (msgspec.ValidationError, OverflowError) as fault:
        raise errors.unreadable(file, f"one of its SLOs is not whole ({said(fault)})", _NEW) from None


def graph_in(written: Written, file: Path) -> Graph:
    """Return the graph that a report holds whole.

    Parameters
    ----------
    written : Written
        The report.
    file : pathlib.Path
        What to call it in errors.

    Returns
    -------
    Graph
        The graph.

    Raises
    ------
    CausalrelError
        With all its faults.
    """
    return graph_of(written.graph, file.name)


def _decoded(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise errors.file_not_found(file)
    with file.open("rb") as stream:
        data = stream.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise errors.unreadable(file, f"it is longer than {MOST_BYTES // 2**20} MiB", _NEW)
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (ValueError, RecursionError) as fault:
        raise errors.unreadable(file, f"it is not the JSON of a report ({said(fault)})", _NEW) from None


def _check_fingerprints(file: Path, facts: Mapping[str, Any]) -> None:
    """Refuse a report that is not as it was written, naming the sentences whose records were changed."""
    rest = {key: value for key, value in facts.items() if key != "fingerprint"}
    if facts.get("fingerprint") == fingerprint(rest):
        return
    claims = facts.get("claims")
    changed = [
        f"'{str(claim.get('key'))[:40]}'"
        for claim in (claims if isinstance(claims, list) else [])
        if isinstance(claim, dict)
        and claim.get("fingerprint") != fingerprint({key: claim[key] for key in claim if key != "fingerprint"})
    ]
    where = f"the record of {', '.join(changed[:8])}" if changed else "something beside the records of its sentences"
    raise errors.unreadable(file, f"{where} is not as it was written (the fingerprint differs)", _NEW)
