"""Contents: what an export holds, what is amiss in it, and which SLOs it can judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import polars as pl

from causalrel import display, errors, expressions
from causalrel.provenance import rounded
from causalrel.slos import SLO
from causalrel.telemetry import Telemetry, columns, times
from causalrel.telemetry.columns import LIMIT, add_up, column_rows, metric_rows, streamed, tell_values
from causalrel.telemetry.schema import IDENTITY, REQUEST_VARIABLES
from causalrel.windows.plans import judged, plan_rollup

_DAY = timedelta(days=1)
_UNITS = ("service", "node", "tenant", "tier")
_SLOS = {
    **dict.fromkeys(("set", "slo", "needs"), pl.String),
    **dict.fromkeys(("asked", "judged"), pl.Int64),
    "share": pl.Float64,
    "lacks": pl.String,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What telemetry holds.

    Parameters
    ----------
    source : str
        Where the telemetry came from.
    says : str
        Rows, units and failures in one line.
    findings : tuple of str
        What is amiss, one sentence each: gaps, repeats, stray times, impossible values, units in doubt.
    tables : polars.DataFrame
        One row a table: ``rows``, ``first`` and ``last`` time of its bulk, number of ``series``, ``gaps``, the longest
        silence (``longest_s``, ``silent_from``, ``silent_until``), rows ``repeated``, and ``stray`` times far outside
        the bulk.
    table : polars.DataFrame
        One row a column, or a metric of samples: ``table``, ``column``, ``type``, ``unit``, ``missing``, ``low``,
        ``high``.
    slos : polars.DataFrame
        One row an SLO: ``set``, ``slo``, ``needs`` (columns), ``asked`` (requests it is about), ``judged`` and its
        ``share``, ``lacks`` (columns; why it judges nothing where that is something else).
    absent : tuple of str
        Canonical columns that the requests lack.
    notes : tuple of str
        What was assumed or repaired while reading.

    Examples
    --------
    >>> import causalrel as cr
    >>> summarise(cr.load_dataset("llm-canary")).tables.select("table", "rows", "gaps").row(0)
    ('requests', 30244, 0)
    """

    source: str
    says: str
    findings: tuple[str, ...]
    tables: pl.DataFrame
    table: pl.DataFrame
    slos: pl.DataFrame
    absent: tuple[str, ...]
    notes: tuple[str, ...]

    def frame(self) -> pl.DataFrame:
        """Return one row a column."""
        return self.table

    def facts(self) -> dict[str, Any]:
        """Return the contents as JSON-ready facts."""
        made: dict[str, Any] = rounded(
            {
                "source": self.source,
                "says": self.says,
                "findings": list(self.findings),
                "tables": self.tables.to_dicts(),
                "columns": self.table.to_dicts(),
                "absent": list(self.absent),
                "slos": self.slos.to_dicts(),
                "notes": list(self.notes),
            }
        )
        return made

    def frames(self) -> dict[str, pl.DataFrame]:
        """Return every frame that holds anything, by what it tells."""
        found = {"Tables": self.tables, "SLOs": self.slos}
        for (name,), frame in self.table.group_by("table", maintain_order=True):
            found[f"Columns of {name}"] = frame.drop("table")
        return {caption: frame for caption, frame in found.items() if frame.height}

    @property
    def told(self) -> list[str]:
        """What is amiss, what is absent and how many of the SLOs can be judged, one sentence each."""
        said = list(self.findings) or ["No gap, repeat, stray time, impossible value or doubtful unit was found."]
        if self.absent:
            said.append(f"The requests lack {', '.join(self.absent)}.")
        able = self.slos.filter(pl.col("judged") > 0).height
        sets = ", ".join(self.slos["set"].unique(maintain_order=True))
        return [*said, f"{able} of {self.slos.height} SLOs of {sets} can be judged."] if sets else said

    def __repr__(self) -> str:
        lines = [f"Telemetry from {self.source}: {self.says}", *self.told, *(f"note: {note}" for note in self.notes)]
        return "\n".join(display.plain(line) for line in lines)

    def _repr_html_(self) -> str:
        title, *told = (display.markup(line) for line in repr(self).splitlines())
        tables = "".join(display.frame_html(caption, frame, rows=100) for caption, frame in self.frames().items())
        return f"<p><b>{title}</b></p><ul>{''.join(f'<li>{line}</li>' for line in told)}</ul>{tables}"


def summarise(telemetry: Telemetry, sets: Mapping[str, Sequence[SLO]] | None = None) -> Contents:
    """Say what telemetry holds, what is amiss in it, and which SLOs it can judge.

    The rows are added up where they lie: of each request only the time, and a hash where repeats are looked for, is
    held in memory. Silences are judged as :func:`causalrel.telemetry.silences.find_silences` says, those of samples
    series by series; times far outside the bulk, such as 1970, are counted apart and no gap.

    Parameters
    ----------
    telemetry : Telemetry
        What was read or made.
    sets : mapping of str to sequence of SLO
        SLOs to judge, by the name of their set.

    Returns
    -------
    Contents
        One row a table, a column and an SLO, and what is amiss in sentences.

    Raises
    ------
    CausalrelError
        When there is nothing at all.

    Examples
    --------
    >>> import causalrel as cr
    >>> made = summarise(cr.load_dataset("llm-canary"), {"llm-chat": cr.load_slos("llm-chat")})
    >>> made.told[-1]
    '8 of 8 SLOs of llm-chat can be judged.'
    """
    tables, rows, findings, says = [], [], list[str](), []
    found = {name: add_up(frame, telemetry.source) for name, frame in _frames(telemetry).items()}
    bare = not found["requests"]["rows"]
    if bare and len(found) == 1:
        raise errors.empty_data(telemetry.source)
    for name, frame in _frames(telemetry).items():
        if name == "requests" and bare:
            continue
        rows += column_rows(name, frame.collect_schema(), found[name])
        row, said = times.tell_times(name, frame, found[name]["rows"], telemetry.source)
        tables.append(row)
        says.append(_told(name, found[name], row))
        findings += said
        if name == "requests":
            findings += tell_values(found[name])
        elif name == "samples":
            metrics, said = metric_rows(frame, telemetry.source)
            rows += metrics
            findings += said
    schema = telemetry.requests.collect_schema()
    canonical = (*IDENTITY, *(variable.name for variable in REQUEST_VARIABLES))
    return Contents(
        source=telemetry.source,
        says="; ".join(says),
        findings=tuple(findings),
        tables=pl.DataFrame(tables, schema=times.ROWS, orient="row"),
        table=pl.DataFrame(rows, schema=columns.ROWS, orient="row"),
        slos=_judge(telemetry, sets or {}),
        absent=() if bare else tuple(name for name in canonical if name not in schema),
        notes=telemetry.notes,
    )


def _frames(telemetry: Telemetry) -> dict[str, pl.LazyFrame]:
    found = {"requests": telemetry.requests, "samples": telemetry.samples, "changes": telemetry.changes}
    return {name: frame for name, frame in found.items() if frame is not None}


def _told(name: str, found: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    units = [(key, found.get(f"keys:{key}")) for key in _UNITS]
    parts = [f"{count:,} {key}{'' if count == 1 else 's'}" for key, count in units if count]
    made = f"{found['rows']:,} {name}" + (f" of {', '.join(parts)}" if parts and name == "requests" else "")
    made += f" from {display.when(row['first'])} to {display.when(row['last'])} UTC" if row["first"] else ""
    if "null:error" in found and name == "requests":
        made += f", {found['rows'] - found['null:error']:,} of them failed"
    return made


def _judge(telemetry: Telemetry, sets: Mapping[str, Sequence[SLO]]) -> pl.DataFrame:
    """Count the requests that each SLO is about and those of them that it can judge, as windows do."""
    requests = telemetry.requests
    schema = dict(requests.collect_schema())
    made: list[dict[str, Any]] = []
    sums: list[pl.Expr] = []
    for name, slo in [(name, slo) for name, slos in sets.items() for slo in slos]:
        needs = _needs(slo)
        row: dict[str, Any] = {"set": name, "slo": slo.name, "needs": ", ".join(needs), "lacks": ""}
        lacks = [column for column in needs if column not in schema]
        try:
            plan_rollup(Telemetry(requests=requests, source=telemetry.source), [slo], [], _DAY)
        except errors.CausalrelError as fault:
            row["lacks"] = ", ".join(lacks) or fault.message
        else:
            sums += _sums(slo, schema, len(made))
        made.append(row)
    clean = [_sensible(v.name) for v in REQUEST_VARIABLES if v.name in schema and schema[v.name].is_numeric()]
    counts = streamed(requests.with_columns(clean).select(pl.len(), *sums), telemetry.source).to_dicts()[0]
    for i, row in enumerate(made):
        asked, known = counts.get(f"asked:{i}"), counts.get(f"judged:{i}")
        row |= {"asked": asked, "judged": known, "share": known / asked if asked and known is not None else None}
    return pl.DataFrame(made, schema=_SLOS)


def _needs(slo: SLO) -> list[str]:
    found = expressions.columns_of(slo.where) | (expressions.columns_of(slo.among) if slo.among else set())
    return sorted(found | ({"tier"} if slo.tier else set()))


def _sums(slo: SLO, schema: dict[str, pl.DataType], i: int) -> list[pl.Expr]:
    good, among = (part.cast(pl.Boolean) for part in judged(slo, schema))
    asked = among.fill_null(True) if slo.among or slo.tier else pl.repeat(True, pl.len())
    known = pl.when(among).then(good).count() if slo.among or slo.tier else good.count()
    return [asked.sum().alias(f"asked:{i}"), known.alias(f"judged:{i}")]


def _sensible(name: str) -> pl.Expr:
    return pl.when(pl.col(name).is_between(0, LIMIT)).then(pl.col(name)).alias(name)
