"""Points of metrics as samples, under the names that Prometheus gives to histograms and counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import msgspec

from causalrel import errors
from causalrel.telemetry.otlp import wire
from causalrel.telemetry.otlp.names import COUNTER_ENDINGS, READ_ATTRIBUTES
from causalrel.telemetry.parts import tell
from causalrel.telemetry.prometheus import number_text
from causalrel.telemetry.rows import text_of
from causalrel.telemetry.samples import Samples, canonical_name
from causalrel.telemetry.series import join_series

_METRIC = msgspec.json.Decoder(wire.Metric)
_POINT = msgspec.json.Decoder(wire.Point)
_DELTA = {1, "1", "AGGREGATION_TEMPORALITY_DELTA"}
#: Attributes of a resource that tell its series from those of another one on the same node.
_APART = ("service.instance.id", "k8s.pod.name")
_MOST_BUCKETS = 4096

_Told = tuple[str, dict[str, str], float]


class Points:
    """Points as they come; at the end, samples.

    A histogram becomes the series ``_bucket``, ``_sum`` and ``_count``, its buckets added up and labelled ``le``; a
    summary becomes one series a ``quantile`` beside ``_sum`` and ``_count``; a counter ends in ``_total``.
    """

    def __init__(self, samples: Samples) -> None:
        self.counts: Counter[str] = Counter()
        self.bad: list[str] = []
        self._samples = samples

    def add(self, raws: list[msgspec.Raw], resource: dict[str, Any]) -> None:
        """Take metrics of one resource."""
        node = next((str(resource[key]) for key in READ_ATTRIBUTES["node"] if resource.get(key)), None)
        apart = {key: str(resource[key]) for key in _APART if resource.get(key)}
        if node is None:
            node = apart.pop(_APART[0], None)
        service = resource.get("service.name")
        where = node, None if service is None else str(service)
        for metric in wire.items(raws, _METRIC, self.bad):
            kinds = (metric.gauge, metric.sum, metric.histogram, metric.exponential_histogram, metric.summary)
            told = [(kind, data) for kind, data in zip(_KINDS, kinds, strict=True) if data is not None]
            if len(told) != 1 or not metric.name:
                self.counts["metrics"] += 1
            for kind, data in told[: bool(metric.name)]:
                self._take(metric.name, kind, data, where, apart)

    def _take(
        self, name: str, kind: str, data: wire.Data, where: tuple[str | None, str | None], apart: dict[str, str]
    ) -> None:
        given, name = name, canonical_name(name)
        if kind == "sum" and data.is_monotonic and not name.endswith(COUNTER_ENDINGS):
            given, name = f"{name}_total", canonical_name(f"{name}_total")
        grows = kind != "gauge" and kind != "summary" and data.aggregation_temporality in _DELTA
        for point in wire.items(data.data_points, _POINT, self.bad):
            self.counts["points"] += 1
            time, flags = wire.whole(point.time_unix_nano), wire.whole(point.flags) or 0
            if not time or time < 0 or time >= 2**63:
                self.counts["without a time"] += 1
                continue
            told = [] if flags & 1 else list(_KINDS[kind](name, point))
            if grows and kind == "exponential":  # its buckets move from point to point and cannot be added up
                self.counts["without buckets"] += 1
                told = [one for one in told if one[1].get("le", "+Inf") == "+Inf"]
            if not told:
                self.counts["without a value"] += 1
            labels = {one.key: value for one in point.attributes if (value := wire.plain(one.value)) is not None}
            texts = {**apart, **{key: text_of(value) for key, value in labels.items() if key}}
            for series, more, value in told:
                metric = join_series(series, {**texts, **more})
                self._samples.add(time // 1000, *where, metric, given != name, value, grows=grows)

    def tell(self, notes: list[str]) -> None:
        """Put down what was left out.

        Parameters
        ----------
        notes : list of str
            Takes a sentence each.
        """
        tell(notes, self.counts["without a time"], "point", "of metrics was without a time and left out")
        tell(notes, self.counts["without a value"], "point", "of metrics was without a value and left out")
        buckets = "was left without its buckets, which tell increments"
        tell(notes, self.counts["without buckets"], "exponential histogram", buckets)
        tell(notes, self.counts["metrics"], "metric", "was without a name or one kind of data and left out")
        tell(notes, len(self.bad), "item", f"of metrics was not read; the first: {(self.bad or [''])[0][:120]}")


def _number(name: str, point: wire.Point) -> Iterator[_Told]:
    value = wire.real(point.as_double)
    if value is None:
        whole = wire.whole(point.as_int)
        value = None if whole is None else float(whole)
    if value is not None:
        yield name, {}, value


def _histogram(name: str, point: wire.Point) -> Iterator[_Told]:
    counts = [wire.whole(one) for one in point.bucket_counts]
    bounds = [wire.real(one) for one in point.explicit_bounds]
    fits = len(counts) == len(bounds) + 1 if counts else not bounds
    if len(counts) > _MOST_BUCKETS or not fits or any(one is None or one < 0 for one in counts) or None in bounds:
        return
    totals = list(accumulate(one or 0 for one in counts))
    told = wire.whole(point.count)
    if totals and told is not None and told != totals[-1]:
        raise errors.bad_data(
            f"a point of '{name[:80]}' counts {told:,} events and {totals[-1]:,} in its buckets", "export it again"
        )
    for bound, total in zip(bounds, totals, strict=False):
        yield f"{name}_bucket", {"le": number_text(bound or 0.0)}, float(total)
    yield from _whole(name, point, totals[-1] if totals else None)


def _exponential(name: str, point: wire.Point) -> Iterator[_Told]:
    """Yield the buckets of an exponential histogram by their upper bounds, the lowest first."""
    scale, zero = wire.whole(point.scale), wire.whole(point.zero_count)
    sides = [point.negative or wire.Buckets(), point.positive or wire.Buckets()]
    counts = [[wire.whole(one) for one in side.bucket_counts] for side in sides]
    offsets = [wire.whole(side.offset) for side in sides]
    every = [*counts[0], *counts[1], zero, scale, *offsets]
    if None in every or any((one or 0) < 0 for one in [*counts[0], *counts[1], zero]) or len(every) > _MOST_BUCKETS:
        return
    below, above = offsets[0] or 0, offsets[1] or 0
    told = [(-_power(below + at, scale or 0), count or 0) for at, count in reversed(list(enumerate(counts[0])))]
    told.append((point.zero_threshold, zero or 0))
    told += [(_power(above + at + 1, scale or 0), count or 0) for at, count in enumerate(counts[1])]
    total = 0
    for bound, count in told:
        total += count
        if bound != float("inf"):
            yield f"{name}_bucket", {"le": number_text(bound)}, float(total)
    yield from _whole(name, point, total)


def _power(index: int, scale: int) -> float:
    """Return the bound of an index: two to the power of it over two to the scale."""
    try:
        return float(2.0 ** (index * 2.0**-scale))
    except OverflowError:
        return float("inf")


def _whole(name: str, point: wire.Point, counted: int | None) -> Iterator[_Told]:
    count = wire.whole(point.count)
    total = counted if count is None else count
    if total is not None:
        yield f"{name}_bucket", {"le": "+Inf"}, float(total)
        yield f"{name}_count", {}, float(total)
    value = wire.real(point.sum)
    if value is not None:
        yield f"{name}_sum", {}, value


def _summary(name: str, point: wire.Point) -> Iterator[_Told]:
    for one in point.quantile_values:
        value = wire.real(one.value)
        if value is not None:
            yield name, {"quantile": number_text(one.quantile)}, value
    count, value = wire.whole(point.count), wire.real(point.sum)
    if count is not None:
        yield f"{name}_count", {}, float(count)
    if value is not None:
        yield f"{name}_sum", {}, value


_KINDS = {"gauge": _number, "sum": _number, "histogram": _histogram, "exponential": _exponential, "summary": _summary}
