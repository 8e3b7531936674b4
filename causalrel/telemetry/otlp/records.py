"""Log records that tell changes or evaluations."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import polars as pl

from causalrel.telemetry.otlp import names, wire
from causalrel.telemetry.parts import tell
from causalrel.telemetry.rows import Rows
from causalrel.telemetry.schema import TIME

_RECORD = msgspec.json.Decoder(wire.Record)


class Records:
    """Log records as they come; at the end, changes, and scores of requests.

    A record named ``causalrel.change`` is a change; one named ``gen_ai.evaluation.result`` is a score of the span it
    names. Others are left out and counted.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.bad: list[str] = []
        self.scores = Rows()
        self._changes = Rows()

    def add(self, raws: list[msgspec.Raw], resource: dict[str, Any]) -> None:
        """Take records of one resource."""
        where = {name: resource.get(key) for name, key in names.RESOURCE_ATTRIBUTES.items()}
        for record in wire.items(raws, _RECORD, self.bad):
            self.counts["records"] += 1
            attributes = {one.key: wire.plain(one.value) for one in record.attributes}
            event = record.event_name or attributes.get("event.name")
            if event == names.CHANGE_EVENT:
                self._change(record, attributes, where)
            elif event == names.EVALUATION_EVENT:
                made = score_of(attributes)
                if made and record.trace_id and record.span_id:
                    ids = {"#trace": record.trace_id.lower(), "#span": record.span_id.lower()}
                    self.scores.add({**ids, made[0]: made[1]})
                else:
                    self.counts["without a score"] += 1
            else:
                self.counts["others"] += 1

    def _change(self, record: wire.Record, attributes: dict[str, Any], where: dict[str, Any]) -> None:
        time = wire.whole(record.time_unix_nano) or wire.whole(record.observed_time_unix_nano)
        told = {key.removeprefix(names.NAMESPACE): value for key, value in attributes.items() if value is not None}
        if not time or not 0 < time < 2**63 or "variable" not in told:
            self.counts["without a time or a variable"] += 1
            return
        told |= {name: value for name, value in where.items() if value is not None}
        self._changes.add({"#time": time, **told})

    def frame(self, notes: list[str]) -> pl.DataFrame | None:
        """Return the changes; None where there are none.

        Parameters
        ----------
        notes : list of str
            Takes what was left out.

        Returns
        -------
        polars.DataFrame or None
            ``time``, ``variable``, ``before``, ``after`` and what else was told of them.
        """
        counts = self.counts
        tell(notes, counts["others"], "log record", "was no change and no evaluation, and left out")
        tell(notes, counts["without a time or a variable"], "change", "was without a time or a variable and left out")
        tell(notes, counts["without a score"], "evaluation", "was without a score or a span and left out")
        tell(notes, len(self.bad), "log record", f"was not read; the first: {(self.bad or [''])[0][:120]}")
        if not self._changes.count:
            return None
        frame = self._changes.frame()
        absent = [name for name in ("before", "after") if name not in frame.columns]
        return frame.select(
            (pl.col("#time") // 1000).cast(pl.Int64).cast(TIME).alias("time"),
            pl.exclude("#time"),
            *[pl.lit(None, dtype=pl.String).alias(name) for name in absent],
        )


def score_of(attributes: dict[str, Any]) -> tuple[str, float] | None:
    """Return the column and the value of an evaluation; None where it has no score.

    Parameters
    ----------
    attributes : dict
        Of its event.

    Returns
    -------
    tuple of str and float, or None
        ``evaluation.<name>`` and its score.

    Examples
    --------
    >>> score_of({"gen_ai.evaluation.name": "relevance", "gen_ai.evaluation.score.value": 0.5})
    ('evaluation.relevance', 0.5)
    """
    value = attributes.get("gen_ai.evaluation.score.value")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return f"evaluation.{attributes.get('gen_ai.evaluation.name') or 'quality'}", float(value)
