"""Samples as points of gauges and of cumulative sums."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import groupby

import polars as pl

from causalrel.telemetry.otlp.names import COUNTER_ENDINGS, RESOURCE_ATTRIBUTES
from causalrel.telemetry.otlp.texts import BATCH, json_text, resource_item, text_attributes
from causalrel.telemetry.schema import METRIC_VARIABLES
from causalrel.telemetry.series import Series, series_of

_UNITS = {variable.otel: variable.unit for variable in METRIC_VARIABLES}


def metric_lines(samples: pl.LazyFrame, source: str) -> Iterator[str]:
    """Yield samples as export requests, one a line."""
    waiting: list[tuple[dict[str, str], str, list[str]]] = []
    room = BATCH
    for series in series_of(samples, source):
        unit = {name: value for name, value in series.columns.items() if name in RESOURCE_ATTRIBUTES}
        points = _points(series)
        while points:
            waiting.append((unit, series.name, points[:room]))
            points, room = points[room:], room - len(points[:room])
            if room == 0:
                yield _metrics_line(waiting)
                waiting, room = [], BATCH
    if waiting:
        yield _metrics_line(waiting)


def _points(series: Series) -> list[str]:
    head = f'{{"attributes":[{text_attributes(dict(series.labelled(without=tuple(RESOURCE_ATTRIBUTES))))}],'
    if not series.name.endswith(COUNTER_ENDINGS):
        return [
            f'{head}"timeUnixNano":"{time * 1000}","asDouble":{_number(value)}}}'
            for time, value in series.points.iter_rows()
        ]
    made = []
    start, before = None, math.inf
    for time, value in series.points.iter_rows():
        start = time if start is None or value < before else start
        before = before if math.isnan(value) else value
        span = f'"startTimeUnixNano":"{start * 1000}","timeUnixNano":"{time * 1000}"'
        made.append(f'{head}{span},"asDouble":{_number(value)}}}')
    return made


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return '"NaN"' if math.isnan(value) else '"Infinity"' if value > 0 else '"-Infinity"'


def _metrics_line(waiting: list[tuple[dict[str, str], str, list[str]]]) -> str:
    told = []
    for unit, group in groupby(waiting, key=lambda one: one[0]):
        metrics = []
        for name, same in groupby(group, key=lambda one: one[1]):
            points = f'"dataPoints":[{",".join(point for *_, points in same for point in points)}]'
            counter = f'"sum":{{{points},"aggregationTemporality":2,"isMonotonic":true}}'
            data = counter if name.endswith(COUNTER_ENDINGS) else f'"gauge":{{{points}}}'
            known = f'"unit":{json_text(_UNITS[name])},' if name in _UNITS else ""
            metrics.append(f'{{"name":{json_text(name)},{known}{data}}}')
        told.append(resource_item("Metrics", dict(unit), ",".join(metrics)))
    return f'{{"resourceMetrics":[{",".join(told)}]}}\n'
