"""Histograms: events of a unit-window and bounds on the bad ones, from cumulative buckets where no requests are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from causalrel import errors, expressions
from causalrel.slos import SLO
from causalrel.telemetry import Telemetry, collected
from causalrel.telemetry.prometheus import number_of
from causalrel.telemetry.schema import LOAD, SAMPLES
from causalrel.telemetry.series import join_series, split_series
from causalrel.windows.buckets import bound_bad
from causalrel.windows.plans import unit_text
from causalrel.windows.rollups import regular_grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: Histograms that hold a column of requests, best first; in the last of ``tpot_s`` an event is a token.
HISTOGRAMS: dict[str, tuple[str, ...]] = {
    "ttft_s": (
        "vllm:time_to_first_token_seconds",
        "gen_ai.server.time_to_first_token",
        "gen_ai_server_time_to_first_token_seconds",
    ),
    "tpot_s": (
        "vllm:request_time_per_output_token_seconds",
        "gen_ai.server.time_per_output_token",
        "gen_ai_server_time_per_output_token_seconds",
        "vllm:inter_token_latency_seconds",
    ),
    "e2e_s": (
        "vllm:e2e_request_latency_seconds",
        "gen_ai.server.request.duration",
        "gen_ai_server_request_duration_seconds",
    ),
    "queue_s": ("vllm:request_queue_time_seconds",),
    "prompt_tokens": ("vllm:request_prompt_tokens",),
    "output_tokens": ("vllm:request_generation_tokens",),
}
_OF_TOKENS = "vllm:inter_token_latency_seconds"
_BUCKET = "_bucket"
_PLACES = ("service", "node")


def has_histograms(telemetry: Telemetry) -> bool:
    """Whether telemetry has buckets of histograms and no requests.

    Parameters
    ----------
    telemetry : Telemetry
        The telemetry.

    Returns
    -------
    bool
        Whether events can be counted in buckets alone.

    Examples
    --------
    >>> import causalrel as cr
    >>> has_histograms(cr.load_dataset("llm-canary"))
    False
    """
    if telemetry.samples is None or set(telemetry.requests.collect_schema()) != {"time"}:
        return False
    bucket = pl.col("metric").str.contains(r"_bucket\{").any()
    return bool(collected(telemetry.samples.select(bucket), telemetry.source).item())


def count_histograms(
    telemetry: Telemetry, slos: Sequence[SLO], by: Sequence[str], width: timedelta, notes: list[str]
) -> pl.DataFrame:
    """Count events and bound the bad ones in buckets of cumulative histograms.

    Between two scrapes of a series the increase of each bucket is what came; where any bucket fell, the server began
    anew and what it tells came since. What came belongs to the window in which the later scrape lies. Where edges
    change at a deploy, the edges that both scrapes have are compared. Bounds of series and windows add up.

    Parameters
    ----------
    telemetry : Telemetry
        Samples whose metrics are buckets labelled ``le``.
    slos : sequence of SLO
        Each an upper limit of one column, ``ttft_s <= 1``, perhaps with ``AND error IS NULL``.
    by : sequence of str
        Columns of the samples that make a unit: ``service``, ``node``, both or none.
    width : datetime.timedelta
        Width of a window.
    notes : list of str
        Takes what the counts do not tell.

    Returns
    -------
    polars.DataFrame
        ``unit``, ``t``, and for each SLO ``<slo>.total``, ``<slo>.bad`` (at most) and, where a threshold lies inside a
        bucket, ``<slo>.bad_low`` (at least); then ``load``, events of the first SLO a second. A window without scrapes
        is a row of nulls.

    Raises
    ------
    CausalrelError
        When an SLO is no upper limit or has no histogram, a unit has no column, or buckets are no cumulative counts.

    Examples
    --------
    >>> metrics = [f'vllm:time_to_first_token_seconds_bucket{{le="{le}"}}' for le in ("0.5", "1", "+Inf")]
    >>> rows = [(minute, m, v * minute) for minute in (0, 6) for m, v in zip(metrics, (8, 9, 10))]
    >>> samples = pl.LazyFrame(rows, schema=["time", "metric", "value"], orient="row").with_columns(
    ...     time=(pl.col("time") * 60_000_000).cast(pl.Datetime("us", "UTC"))
    ... )
    >>> empty = pl.LazyFrame(schema={"time": pl.Datetime("us", "UTC")})
    >>> slo = SLO(name="ttft", dimension="latency", where="ttft_s <= 0.7", target=0.9)
    >>> made = count_histograms(Telemetry(requests=empty, samples=samples), [slo], [], timedelta(minutes=5), [])
    >>> made.select("ttft.total", "ttft.bad_low", "ttft.bad").row(0)
    (60, 6, 12)
    """
    buckets, places = _buckets(telemetry, by)
    limits = _limits(slos, set(buckets["name"].unique()), telemetry.source, notes)
    micros = width // timedelta(microseconds=1)
    table: pl.DataFrame | None = None
    for slo in slos:
        name, limit = limits[slo.name]
        found = _bounds(buckets.filter(name=name), limit, micros, telemetry.source, notes)
        summed = found.with_columns(unit=unit_text(places)).group_by("unit", "t").agg(pl.exclude(*_PLACES).sum())
        columns = {"total": f"{slo.name}.total", "high": f"{slo.name}.bad", "low": f"{slo.name}.bad_low"}
        mine = summed.select("unit", "t", *[pl.col(key).alias(column) for key, column in columns.items()])
        if (mine[columns["low"]] == mine[columns["high"]]).all():
            mine = mine.drop(columns["low"])
        else:
            least, most = int(mine[columns["low"]].sum()), int(mine[columns["high"]].sum())
            notes.append(
                f"the threshold of SLO '{slo.name}' lies inside a bucket: between {least:,} and {most:,} of "
                f"{int(mine[columns['total']].sum()):,} events are bad, and the most are counted"
            )
        table = mine if table is None else table.join(mine, on=["unit", "t"], how="full", coalesce=True)
    if table is None or table.is_empty():
        raise errors.empty_data(telemetry.source)
    filled = regular_grid(table.select("unit", "t"), width).join(table, on=["unit", "t"], how="left")
    load = pl.col(f"{slos[0].name}.total") / width.total_seconds()
    return filled.with_columns(load.alias(LOAD.name)).sort("unit", "t")


def _buckets(telemetry: Telemetry, by: Sequence[str]) -> tuple[pl.DataFrame, list[str]]:
    """Return the samples that are buckets, their metric split into name, labels and edge, and what makes a unit."""
    samples = pl.LazyFrame(schema=SAMPLES) if telemetry.samples is None else telemetry.samples
    known = samples.collect_schema().names()
    for name in by:
        if name not in _PLACES or (name not in known and name != "service"):
            raise errors.unknown_column(name, "by", [one for one in _PLACES if one in known])
    absent = [pl.lit(None, pl.String).alias(name) for name in _PLACES if name not in known]
    frame = collected(samples.filter(pl.col("metric").str.contains(r"_bucket\{")), telemetry.source)
    frame = frame.with_columns(absent).drop_nulls(["time", "value"])
    texts = frame["metric"].unique().to_list()
    told = [(text, *_told(text, telemetry.source)) for text in texts]
    split = pl.DataFrame(told, schema=dict.fromkeys(("metric", "name", "rest", "le"), pl.String), orient="row")
    keys = [name for name in by if frame[name].null_count() < frame.height or name == "node"]
    return frame.join(split, on="metric"), keys


def _told(text: str, source: str) -> tuple[str, str, str]:
    name, labels = split_series(text)
    edge = number_of(labels.pop("le", ""))
    if edge is None:
        raise errors.bad_data(f"the bucket '{text[:80]}' of '{source}' has no edge", "export it with its label le")
    return name.removesuffix(_BUCKET), join_series("", labels), repr(edge)


def _limits(slos: Sequence[SLO], names: set[str], source: str, notes: list[str]) -> dict[str, tuple[str, float]]:
    """Return the histogram and the limit that judge each SLO."""
    made = {}
    for slo in slos:
        limit = expressions.upper_limit(slo.where) if slo.where and not slo.among and not slo.tier else None
        if limit is None or slo.method != "Occurrences":
            raise errors.bad_question(
                f"SLO '{slo.name}' cannot be judged on the histograms of '{source}', which tell no requests",
                "ask for one upper limit of all events, such as ttft_s <= 1",
            )
        column, value, served = limit
        found = [name for name in HISTOGRAMS.get(column, ()) if name in names]
        if not found:
            known = sorted(one for one, of in HISTOGRAMS.items() if names & set(of))
            raise errors.unknown_column(column, f"SLO '{slo.name}', judged on histograms,", known)
        if served:
            notes.append(f"SLO '{slo.name}' counts served events alone: failed requests are in no histogram")
        if found[0] == _OF_TOKENS:
            notes.append(f"the events of SLO '{slo.name}' are tokens, as '{_OF_TOKENS}' counts them")
        made[slo.name] = found[0], value
    return made


def _bounds(buckets: pl.DataFrame, limit: float, micros: int, source: str, notes: list[str]) -> pl.DataFrame:
    """Return places, window, events and fewest and most bad ones of every step of every series of one histogram."""
    parts, single = [], 0
    for key, rows in buckets.sort("time").partition_by([*_PLACES, "rest"], as_dict=True).items():
        wide = rows.pivot("le", index="time", values="value", aggregate_function="max").sort("time")
        edges = sorted(float(name) for name in wide.columns[1:])
        if edges[-1] != np.inf:
            raise errors.bad_data(
                f"the histogram '{rows['name'][0]}' of '{source}' has no bucket le=\"+Inf\"", "export every bucket"
            )
        single += wide.height < 2
        counts = wide.select(str(edge) for edge in edges).cast(pl.Float64).to_numpy()
        steps = _increases(np.where(np.isfinite(counts), counts, np.nan))
        windows = (wide["time"].dt.epoch("us").to_numpy()[1:] - 1) // micros
        for at, low, high, total in _judged(np.array(edges), steps, limit):
            parts.append(
                pl.DataFrame({"t": windows[at], "total": total, "low": low, "high": high}).with_columns(
                    pl.lit(place, pl.String).alias(name) for name, place in zip(_PLACES, key, strict=False)
                )
            )
    if single:
        name = buckets["name"][0]
        notes.append(f"{single} series of '{name}' were scraped once, which tells no increase, and were left out")
    whole = dict.fromkeys(("t", "total", "low", "high"), pl.Int64)
    empty = pl.DataFrame(schema=whole | dict.fromkeys(_PLACES, pl.String))
    return pl.concat([empty, *[part.select(empty.columns) for part in parts]])


def _increases(counts: Floats) -> Floats:
    """Return what came in each bucket between two scrapes; NaN where an edge is not in both."""
    grown = counts[1:] - counts[:-1]
    anew = np.min(np.nan_to_num(grown, nan=0.0), axis=1, keepdims=True) < 0
    return np.where(anew, counts[1:], grown)


def _judged(
    edges: Floats, steps: Floats, limit: float
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Yield places, fewest and most bad events and all events of the steps that have the same edges."""
    told = ~np.isnan(steps)
    for pattern in np.unique(told, axis=0):
        if not pattern[-1]:
            continue
        at = np.flatnonzero((told == pattern).all(axis=1))
        counts = np.rint(steps[np.ix_(at, np.flatnonzero(pattern))]).astype(np.int64)
        low, high = bound_bad(edges[pattern], counts, limit)
        yield at, low, high, counts[:, -1]
