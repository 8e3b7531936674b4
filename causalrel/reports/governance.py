"""Governance: who answers for an SLO and within which limits a report may be acted on, or that nobody assessed it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from causalrel import display, errors, shipped
from causalrel.reports.tables import Kind, make_section, make_table
from causalrel.slos import SLO

NOT_ASSESSED = "not assessed"

#: What is said of each SLO, and what the tables call it.
OF_AN_SLO = {"owner": "owner", "consequence": "if it is missed", "budget_of": "whose budget is spent"}

#: What is said of the whole report.
OF_THE_REPORT = {
    "privacy": "privacy limits",
    "regulation": "regulatory limits",
    "human_review": "human review",
    "energy_policy": "energy policy",
}

_LONGEST = 1000


def load_governance(path: str | Path) -> dict[str, Any]:
    """Read what was assessed from YAML: the four fields of a report, and ``slos`` with three fields each.

    Parameters
    ----------
    path : str or pathlib.Path
        A document of at most 1 MiB.

    Returns
    -------
    dict
        What it holds; :func:`assess` checks it.

    Raises
    ------
    CausalrelError
        When the file is missing, not YAML, or no mapping.

    Examples
    --------
    >>> load_governance("no-such-file.yaml")
    Traceback (most recent call last):
    ...
    causalrel.errors.CausalrelError: cannot read 'no-such-file.yaml': no such file or directory; check the path
    """
    file = Path(path)
    if not file.is_file():
        raise errors.file_not_found(path)
    documents = shipped.load_yaml(file, "governance document")
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise errors.bad_spec(path, ["it must be one mapping of fields to text"])
    return dict(documents[0])


def assess(slos: Sequence[SLO], given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Fill every field of governance: what was given, the owner an SLO names, else that it was not assessed.

    Parameters
    ----------
    slos : sequence of SLO
        Every SLO of the report.
    given : mapping, optional
        Text of ``privacy``, ``regulation``, ``human_review`` and ``energy_policy``; under ``slos`` the ``owner``,
        ``consequence`` and ``budget_of`` of each SLO by its name.

    Returns
    -------
    dict
        Every field, as text.

    Raises
    ------
    CausalrelError
        When a field or an SLO is unknown, or a value is no text; all faults are told at once.

    Examples
    --------
    >>> slo = SLO(name="ttft", dimension="latency", target=0.99, owner="serving")
    >>> assess([slo], {"privacy": "no prompts are kept"})["slos"]["ttft"]["consequence"]
    'not assessed'
    """
    told = dict(given or {})
    each = told.pop("slos", None) or {}
    faults = _faults(told, OF_THE_REPORT, "")
    if not isinstance(each, Mapping):
        faults.append("'slos' is no mapping of SLOs to fields")
        each = {}
    known = {slo.name: slo.owner for slo in slos}
    for name, fields in each.items():
        if name not in known:
            faults.append(f"there is no SLO '{name}'{errors.did_you_mean(str(name), known)}")
        elif isinstance(fields, Mapping):
            faults += _faults(fields, OF_AN_SLO, f" of SLO '{name}'")
        else:
            faults.append(f"SLO '{name}' is no mapping of fields to text")
    if faults:
        raise errors.bad_spec("governance", faults)
    return {
        "slos": {
            name: {field: each.get(name, {}).get(field) or _owner(field, owner) for field in OF_AN_SLO}
            for name, owner in known.items()
        },
        **{field: told.get(field) or NOT_ASSESSED for field in OF_THE_REPORT},
    }


def section(slos: Sequence[SLO], assessed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the section on governance.

    Parameters
    ----------
    slos : sequence of SLO
        Every SLO of the report.
    assessed : mapping
        What :func:`assess` returned.

    Returns
    -------
    dict
        Facts of the section.
    """
    columns: dict[str, Kind] = {"SLO": "text", "about": "text", "promise": "text", "tier": "text"}
    columns |= dict.fromkeys(OF_AN_SLO.values(), "text")
    rows = [
        [
            slo.name,
            slo.dimension,
            f"{display.percent(slo.target, 5)} good over {'rolling' if slo.rolling else 'calendar'} "
            f"{display.length(slo.period)}",
            slo.tier or "everybody",
            *assessed["slos"][slo.name].values(),
        ]
        for slo in slos
    ]
    limits = [[called, assessed[field]] for field, called in OF_THE_REPORT.items()]
    tables = [
        make_table("Who answers for it", columns, rows),
        make_table("Within which limits", {"what": "text", "assessed": "text"}, limits),
    ]
    return make_section("governance", "Governance", [_says(assessed)], tables=tables)


def _says(assessed: Mapping[str, Any]) -> str:
    each = assessed["slos"]
    open_ = []
    for field, called in OF_AN_SLO.items():
        names = [name for name, fields in each.items() if fields[field] == NOT_ASSESSED]
        if names:
            whose = "any SLO" if len(names) == len(each) > 1 else ", ".join(names)
            open_.append(f"{_NAMED.get(field, called)} of {whose}")
    open_ += [called for field, called in OF_THE_REPORT.items() if assessed[field] == NOT_ASSESSED]
    named = "Every SLO has a named owner" if not any("owner of" in text for text in open_) else "Owners are missing"
    return f"{named}; not assessed: {', '.join(open_)}." if open_ else f"{named}, and every limit was assessed."


_NAMED = {"consequence": "the consequence of a miss", "budget_of": "the payer", "owner": "the owner"}


def _owner(field: str, owner: str) -> str:
    return owner if field == "owner" and owner else NOT_ASSESSED


def _faults(fields: Mapping[Any, Any], known: Mapping[str, str], of: str) -> list[str]:
    faults = [f"'{f}'{of} is no field{errors.did_you_mean(str(f), known)}" for f in fields if f not in known]
    wrong = [f for f, value in fields.items() if value is not None and not isinstance(value, str)]
    faults += [f"'{f}'{of} is no text" for f in wrong]
    faults += [
        f"'{f}'{of} is longer than {_LONGEST:,} letters"
        for f, value in fields.items()
        if isinstance(value, str) and len(value) > _LONGEST
    ]
    return faults
