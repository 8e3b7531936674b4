"""Spans that ask a model for an answer, as requests."""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b
from typing import Any

import polars as pl

from causalrel import errors
from causalrel.telemetry.otlp import names
from causalrel.telemetry.otlp.records import score_of
from causalrel.telemetry.otlp.wire import Span, plain, whole
from causalrel.telemetry.parts import WRONG_SHARE, tell
from causalrel.telemetry.rows import Rows
from causalrel.telemetry.schema import TIME

_SERVER = {2, "2", "SPAN_KIND_SERVER"}
_FAILED = {2, "2", "STATUS_CODE_ERROR"}
_KEY = ["#trace", "#span"]
_SCORE = "evaluation."


class Spans:
    """Spans as they come; at the end, requests.

    A span of a model is a request; where there is none in the whole source, a span of a server is. A span inside
    another request is a part of it, not a second one.

    Examples
    --------
    >>> from causalrel.telemetry.otlp.wire import Attribute, Span, Value
    >>> spans = Spans()
    >>> told = Span(span_id="b", start_time_unix_nano="1770768000000000000", end_time_unix_nano="1770768001000000000")
    >>> told.attributes = [Attribute("gen_ai.usage.input_tokens", Value(int_value="9"))]
    >>> spans.add(told, {}, ours=False)
    >>> made = spans.frame([])
    >>> made["prompt_tokens"].item(), made["e2e_s"].item()
    (9, 1.0)
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._model = Rows()
        self._server = Rows()
        self._columns: dict[str, str | None] = {}

    def add(self, span: Span, shared: dict[str, Any], *, ours: bool) -> None:
        """Take one span of a resource whose attributes are ``shared``, made by causalrel or not."""
        self.counts["spans"] += 1
        start = whole(span.start_time_unix_nano)
        if not start or not 0 < start < 2**63:
            self.counts["without a start"] += 1
            return
        row = self._attributes(span, shared)
        operation = row.get("gen_ai.operation.name")
        if operation in names.OTHER_OPERATIONS:
            return
        asks = operation in names.MODEL_OPERATIONS or not names.MODEL_ATTRIBUTES.isdisjoint(row)
        if not asks and (span.kind not in _SERVER or self._model.count):
            return
        for event in span.events:
            if event.name == names.EVALUATION_EVENT:
                made = score_of({one.key: plain(one.value) for one in event.attributes})
                self.counts["without a score"] += made is None
                if made:
                    row[made[0]] = made[1]
        row["#trace"], row["#span"] = span.trace_id.lower(), span.span_id.lower()
        if span.parent_span_id:
            row["#parent"] = span.parent_span_id.lower()
        row["#start"], row["#end"] = start, whole(span.end_time_unix_nano) or 0
        row["#failed"] = span.status is not None and span.status.code in _FAILED
        row["#ours"] = ours
        (self._model if asks else self._server).add(row)

    def _attributes(self, span: Span, shared: dict[str, Any]) -> dict[str, Any]:
        """Return the columns that attributes are read into."""
        row = dict(shared)
        columns = self._columns
        met = len(span.attributes)
        for one in span.attributes:
            key = one.key
            column = columns.get(key, key)
            if column is key:
                column = columns[key] = column_of(key)
            if column is None:
                self.counts["private"] += 1
                met -= 1
                continue
            value = plain(one.value)
            if value is None:
                met -= 1
            else:
                row[column] = hashed(value) if key in names.HASHED else value
        if len(row) < len(shared) + met:
            self.counts["twice"] += len({one.key for one in span.attributes}) < len(span.attributes)
        return row

    def frame(self, notes: list[str]) -> pl.DataFrame | None:
        """Return the requests, with the ids of their spans; None where there was no span.

        Parameters
        ----------
        notes : list of str
            Takes what was left out.

        Returns
        -------
        polars.DataFrame or None
            Canonical columns, then other attributes under their own names.
        """
        rows = self._model if self._model.count else self._server
        told = rows.frame()
        if rows is self._server and rows.count:
            notes.append("no span asks a model, so the spans of servers were taken as requests")
        dropped = self.counts["spans"] - self.counts["without a start"] - rows.count
        inside = 0
        if rows.count:
            told, again, inside = _once(told)
            tell(notes, again, "span", "was told twice; the first was kept")
            tell(notes, inside, "span", "was inside another request, a part of it, and left out")
        tell(notes, dropped, "span", "was no request (an agent, a tool, a step inside) and left out")
        tell(notes, self.counts["without a start"], "span", "was without a start time and left out")
        tell(notes, self.counts["private"], "attribute", "was not read, as private text")
        tell(notes, self.counts["twice"], "span", "was told with an attribute twice; the last was kept")
        tell(notes, self.counts["without a score"], "evaluation", "was without a score and left out")
        tell(notes, len(rows.left_out), "attribute", "was left out, as there are too many names")
        return _requests(told, notes) if rows.count else None


def column_of(key: str) -> str | None:
    """Return the column that an attribute is read into; None for one that is not read.

    Parameters
    ----------
    key : str
        Name of an attribute.

    Returns
    -------
    str or None
        The name without causalrel's own beginning, or the name itself.

    Examples
    --------
    >>> column_of("causalrel.tier"), column_of("gen_ai.request.seed"), column_of("gen_ai.prompt")
    ('tier', 'gen_ai.request.seed', None)
    """
    if key in names.PRIVATE_ATTRIBUTES or (key.startswith(names.PRIVATE_BEGINNINGS) and key not in names.HARMLESS):
        return None
    own = key.removeprefix(names.NAMESPACE)
    return own if own and not own.startswith("#") else None


def hashed(value: Any) -> str:
    """Return a short hash of a value.

    Parameters
    ----------
    value : object
        Such as the id of a conversation.

    Returns
    -------
    str
        16 hexadecimal digits.

    Examples
    --------
    >>> len(hashed("conversation 1"))
    16
    """
    return blake2b(str(value).encode(errors="replace"), digest_size=8).hexdigest()


def scored(frame: pl.DataFrame, scores: Rows, notes: list[str]) -> pl.DataFrame:
    """Return requests with the evaluations that were sent apart from their spans.

    Parameters
    ----------
    frame : polars.DataFrame
        Requests with the ids of their spans.
    scores : Rows
        Ids of spans and ``evaluation.<name>``.
    notes : list of str
        Takes what was left out.

    Returns
    -------
    polars.DataFrame
        The same rows, without the ids.
    """
    found = scores.frame()
    if scores.count:
        kept = [name for name in found.columns if name.startswith(_SCORE)]
        single = found.group_by(_KEY).agg(pl.col(kept).drop_nulls().last())
        tell(notes, single.join(frame, on=_KEY, how="anti").height, "evaluation", "was of no request")
        both = frame.join(single, on=_KEY, how="left", suffix="#", maintain_order="left")
        twice = [name for name in kept if f"{name}#" in both.columns]
        frame = both.with_columns(pl.coalesce(f"{name}#", name).alias(name) for name in twice)
        frame = frame.drop(f"{name}#" for name in twice)
    return _rated(frame, notes).select(pl.exclude(r"^#.*$"))


def _rated(frame: pl.DataFrame, notes: list[str]) -> pl.DataFrame:
    """Take the evaluation that is called quality, or the only one there is, as the quality."""
    found = [name for name in frame.columns if name.startswith(_SCORE)]
    if "quality" in frame.columns or not found:
        return frame
    if f"{_SCORE}quality" in found:
        return frame.rename({f"{_SCORE}quality": "quality"})
    if len(found) == 1:
        notes.append(f"the evaluation '{found[0].removeprefix(_SCORE)[:40]}' was taken as the quality")
        return frame.rename({found[0]: "quality"})
    notes.append(f"none of {len(found)} evaluations is called quality; name one of their columns in a column map")
    return frame


def _once(frame: pl.DataFrame) -> tuple[pl.DataFrame, int, int]:
    """Return spans told once, without those inside another; and how many were left out for either reason."""
    known = frame.filter((pl.col("#trace") != "") & (pl.col("#span") != ""))
    single = frame
    if known.select(pl.struct(_KEY).n_unique()).item() < known.height:
        single = pl.concat(
            [known.unique(_KEY, keep="first", maintain_order=True), frame.join(known, on=_KEY, how="anti")]
        )
    outer = single
    if "#parent" in single.columns:
        outer = single.join(
            single.select(_KEY).rename({"#span": "#parent"}),
            on=["#trace", "#parent"],
            how="anti",
            maintain_order="left",
        )
    return outer, frame.height - single.height, single.height - outer.height


def _requests(frame: pl.DataFrame, notes: list[str]) -> pl.DataFrame:
    """Return spans in canonical columns."""
    made: list[pl.Expr] = []
    read: set[str] = set()
    for column, attributes in names.READ_ATTRIBUTES.items():
        there = [name for name in (column, *attributes) if name in frame.columns]
        if there:
            texts = pl.String in {frame.schema[name] for name in there} or column in ("error", "model", "request_id")
            made.append(pl.coalesce(pl.col(n).cast(pl.String) if texts else pl.col(n) for n in there).alias(column))
            read |= set(there) - {column}
    frame = frame.with_columns(made).drop(read)
    ours = pl.col("#ours").fill_null(value=False) if "#ours" in frame.columns else pl.lit(False)
    start, end = pl.col("#start"), pl.col("#end")
    backwards = frame.filter(~ours & (end > 0) & (end < start)).height
    if backwards > WRONG_SHARE * frame.height:
        raise errors.bad_data(
            f"{backwards:,} of {frame.height:,} spans were over before they started", "check the clocks of the export"
        )
    tell(notes, backwards, "span", "was over before it started, so how long it lasted is not known")
    lasted = pl.when(~ours & (end >= start)).then((end - start) / 1e9)
    has = set(frame.columns)
    failed = pl.when("#failed").then(pl.lit("error"))
    absent = pl.lit(None, dtype=pl.String)
    frame = frame.with_columns(
        time=(start // 1000).cast(pl.Int64).cast(TIME),
        e2e_s=pl.coalesce(pl.col("e2e_s").cast(pl.Float64, strict=False), lasted) if "e2e_s" in has else lasted,
        error=pl.coalesce(pl.when(pl.col("error") != "").then("error"), failed) if "error" in has else failed,
        request_id=pl.coalesce(
            pl.col("request_id") if "request_id" in has else absent,
            pl.when(~ours & (pl.col("#span") != "")).then("#span"),
        ),
    )
    if "provider" in frame.columns:
        frame = frame.with_columns(provider=pl.col("provider").cast(pl.String).replace("_OTHER", None))
    if "gen_ai.operation.name" in frame.columns:
        operation = pl.col("gen_ai.operation.name")
        frame = frame.with_columns(pl.when(~ours).then(operation).alias("gen_ai.operation.name"))
    empty = [one.name for one in frame if one.null_count() == one.len() and not one.name.startswith("#")]
    return frame.drop(set(empty) - {"error"}).select("time", pl.exclude("time")).sort("time", maintain_order=True)
