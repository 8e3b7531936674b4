"""Claims: each sentence of a report with all that is needed to ask it again."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import polars as pl

from causalrel import errors
from causalrel.estimates import Estimate
from causalrel.networks import Network
from causalrel.provenance import fingerprint, frame_fingerprint, package_version, rounded
from causalrel.reports import extracts
from causalrel.reports.answers import Answers, overall
from causalrel.variables import duration_text
from causalrel.windows import Windows

#: What a report's inputs may be named by, so that they can be read again.
SOURCES = ("data", "slo", "graph", "by", "columns")

_LIBRARIES = ("dowhy", "numpy", "polars")


def make_record(
    windows: Windows, network: Network, answers: Answers, *, sources: Mapping[str, str] | None, seed: int
) -> dict[str, Any]:
    """Return what a whole report is asked of: its inputs, their fingerprints by part, and the questions.

    Parameters
    ----------
    windows : Windows
        The windows.
    network : Network
        The network.
    answers : Answers
        What was asked.
    sources : mapping of str to str or None
        Names of the inputs: any of ``data``, ``slo``, ``graph``, ``by``, ``columns``.
    seed : int
        Seed of the draws.

    Returns
    -------
    dict
        ``sources``, ``every``, ``seed``, ``asked``, ``fit``, ``versions`` and ``data``; the graph and the SLOs stand
        whole elsewhere in the report.

    Raises
    ------
    CausalrelError
        When a source is unknown.
    """
    named = {name: value for name, value in (sources or {}).items() if value}
    for name in named:
        if name not in SOURCES:
            raise errors.unknown_name(name, "source of a report", SOURCES)
    return {
        "sources": named,
        "every": duration_text(windows.width),
        "seed": seed,
        "asked": {
            "during": list(answers.during),
            "against": list(answers.against) if answers.against else None,
            "on": answers.on,
            "effects": [[of, list(levels) if levels else None] for of, levels in answers.asked],
            "where": answers.where or None,
            "do": dict(answers.do),
            "horizon": answers.horizon,
        },
        "fit": {"seed": network.origin.seed, "draws": network.n_draws, "data": network.origin.data},
        "versions": _versions(),
        "data": data_parts(windows),
    }


def data_parts(windows: Windows) -> dict[str, Any]:
    """Return fingerprints of windows: of all, and of each day, unit and column, so that a change can be placed.

    Parameters
    ----------
    windows : Windows
        The windows.

    Returns
    -------
    dict
        ``fingerprint``, ``span``, ``rows``; ``days``, ``units`` and ``columns``, fingerprints by name.

    Examples
    --------
    >>> from datetime import datetime
    >>> frame = pl.DataFrame({"t": [datetime(2026, 2, 11, hour) for hour in range(3)], "n": 9, "b": [0, 1, 2]})
    >>> made = Windows.from_frame(frame, time="t", roles={}, events={"slo": ("n", "b")})
    >>> list(data_parts(made)["days"])
    ['2026-02-11']
    """
    table = windows.table
    days = table.with_columns(day=pl.col("time").dt.strftime("%Y-%m-%d"))
    return {
        "fingerprint": frame_fingerprint(table),
        "span": list(windows.span),
        "rows": table.height,
        "days": _parts(days, "day"),
        "units": _parts(table, "unit"),
        "columns": {name: frame_fingerprint(table.select(name)) for name in table.columns},
    }


def make_claims(
    windows: Windows,
    graph: str,
    answers: Answers,
    *,
    headline: str,
    sections: Sequence[Mapping[str, Any]],
    counts: Mapping[str, Any],
    seed: int,
) -> list[dict[str, Any]]:
    """Return one record for each sentence of a report.

    Parameters
    ----------
    windows : Windows
        The windows.
    graph : str
        Fingerprint of the graph.
    answers : Answers
        What was answered.
    headline : str
        The first sentence.
    sections : sequence of mapping
        The sections whose sentences follow.
    counts : mapping of str to number or None
        What the headline says that was counted, not estimated.
    seed : int
        Seed of the draws.

    Returns
    -------
    list of dict
        ``key``, ``says``, ``calls``, ``verdict``, ``method``, ``assumptions``, ``checks``, ``numbers``, ``origin``
        and the ``fingerprint`` of all these, JSON-ready.
    """
    named = dict(answers.named())
    calls = _calls(answers, seed)
    origin = windows.origin(seed, graph).facts()
    made = [_claim("headline", headline, named, calls, _exact(answers.on, counts), origin)]
    for section in sections:
        for number, says in enumerate(section["says"], start=1):
            key = f"effect {number}" if section["key"] == "effects" else section["key"]
            key += f" {number}" if number > 1 and not key.startswith("effect ") else ""
            of = {key: named[key]} if key in named else {}
            made.append(_claim(key, says, of, calls, _numbers(key, answers, named), origin))
    return made


def call_text(call: Mapping[str, Any]) -> str:
    """Write a call as Python would.

    Parameters
    ----------
    call : mapping
        ``verb`` and its keywords.

    Returns
    -------
    str
        Such as ``budget(seed=0)``.

    Examples
    --------
    >>> call_text({"verb": "effect", "of": "batch_size", "levels": [4, 8]})
    "effect(of='batch_size', levels=[4, 8])"
    """
    keywords = {key: rounded(value) for key, value in call.items() if key != "verb" and value is not None}
    return f"{call['verb']}({', '.join(f'{key}={value!r}' for key, value in keywords.items())})"


def _calls(answers: Answers, seed: int) -> dict[str, dict[str, Any]]:
    """Return the question behind each answer, as verb and keywords."""
    span = {"during": list(answers.during), "against": list(answers.against) if answers.against else None}
    calls: dict[str, dict[str, Any]] = {
        "budgets": {"verb": "budget"},
        "attribution": {"verb": "attribute", **span, "on": answers.on},
        "changes": {"verb": "attribute", **span, "on": answers.on, "by": "change"},
        "scenario": {"verb": "forecast", "horizon": answers.horizon},
    }
    if answers.do:
        calls["scenario"] = {"verb": "whatif", "do": dict(answers.do), "horizon": answers.horizon}
    for number, (of, levels) in enumerate(answers.asked, start=1):
        asked = {"of": of, "levels": list(levels) if levels else None, "on": answers.on, "where": answers.where or None}
        calls[f"effect {number}"] = {"verb": "effect", **asked}
    return {key: {**call, "seed": seed} for key, call in calls.items()}


def _claim(
    key: str,
    says: str,
    of: Mapping[str, Estimate],
    calls: Mapping[str, Mapping[str, Any]],
    numbers: Sequence[Mapping[str, Any]],
    origin: Mapping[str, Any],
) -> dict[str, Any]:
    """Return one record; a sentence of no answer of its own tells of the report and claims what it says."""
    found = list(of.values())
    claim = rounded(
        {
            "key": key,
            "says": says,
            "of": list(of),
            "calls": [dict(calls[name]) for name in of] or [{"verb": "report", "section": key, "seed": origin["seed"]}],
            "verdict": overall(found) if found else "stated",
            "method": list(dict.fromkeys(answer.method for answer in found)),
            "assumptions": list(dict.fromkeys(text for answer in found for text in answer.assumptions)),
            "checks": [
                {"of": name, "name": check.name, "passed": check.passed, "says": check.says}
                for name, answer in of.items()
                for check in answer.checks
            ],
            "numbers": list(numbers),
            "origin": dict(origin),
        }
    )
    return {**claim, "fingerprint": fingerprint(claim)}


def _numbers(key: str, answers: Answers, named: Mapping[str, Estimate]) -> list[dict[str, Any]]:
    if key == "budgets":
        rows = answers.budget.table.filter((pl.col("slo") == answers.on) & (pl.col("unit") == "all"))
        parts = ("total", "bad", "allowed", "spent")
        return _exact(answers.on, {part: rows[part][0] for part in parts if rows.height})
    answer = named.get(key)
    if answer is None or answer.verdict == "refused":
        return []
    frame = answer.frame(extracts.PROB).filter(pl.col("slo") == answers.on)
    if "time" in frame.columns:
        frame = frame.filter(pl.col("time") == pl.col("time").max())
    return frame.to_dicts()


def _exact(slo: str, counts: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"slo": slo, "quantity": quantity, "value": value} for quantity, value in counts.items()]


def _parts(frame: pl.DataFrame, by: str) -> dict[str, str]:
    parts = frame.partition_by(by, as_dict=True, include_key=True, maintain_order=True)
    return {str(key[0]): frame_fingerprint(part) for key, part in sorted(parts.items())}


def _versions() -> dict[str, str]:
    found = {"causalrel": package_version(), "python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "not installed"
    return found
