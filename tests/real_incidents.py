"""Incidents of public data sets with known causes, as windows and call graphs; the data are not part of the project."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

import causalrel as cr

DATA = Path(__file__).parents[2] / "shared" / "data"
PETSHOP, NEZHA = DATA / "petshop", DATA / "nezha"

Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One incident: its windows, what they are held against, and the node that was hurt."""

    name: str
    windows: cr.Windows
    normal: cr.Windows
    graph: cr.Graph
    during: Span
    cause: str
    on: str | None = None
    at: str | None = None


def petshop_normal(scenario: str) -> cr.Windows:
    """Return the windows without an issue, recorded months after the issues."""
    frame = pl.read_parquet(PETSHOP / "noissue_metrics.parquet")
    return _petshop_windows(frame.filter(pl.col("scenario") == scenario))


def petshop_graph(scenario: str) -> cr.Graph:
    """Return who calls whom, an edge from the service called to its caller."""
    table = pl.read_csv(PETSHOP / f"graph_{scenario}.csv")
    names = table.columns[1:]
    edges = [(callee, row[0]) for row in table.iter_rows() for callee, on in zip(names, row[1:], strict=True) if on]
    return cr.Graph.from_edges(edges, roles=dict.fromkeys(names, "engine"), name=f"petshop {scenario}")


def petshop_cases(scenario: str, normal: cr.Windows) -> Iterator[Case]:
    """Yield the issues of one kind of traffic."""
    graph = petshop_graph(scenario)
    frame = pl.read_parquet(PETSHOP / "issue_metrics.parquet").filter(pl.col("scenario") == scenario)
    for issue in pl.read_csv(PETSHOP / "issues.csv").filter(pl.col("scenario") == scenario).iter_rows(named=True):
        windows = _petshop_windows(frame.filter(pl.col("issue") == issue["issue"]))
        yield Case(
            name=f"{scenario} {issue['issue']}",
            windows=windows,
            normal=normal,
            graph=graph,
            during=windows.span,
            cause=issue["root_cause_node"],
            on=issue["target_metric"],
            at=issue["target_node"],
        )


def one_petshop_case(scenario: str, issue: int) -> Case:
    """Return one issue."""
    cases = petshop_cases(scenario, petshop_normal(scenario))
    return next(case for case in cases if case.name == f"{scenario} {issue}")


def _petshop_windows(frame: pl.DataFrame) -> cr.Windows:
    wanted = pl.col("statistic").cast(pl.String).is_in(["Average", "Sum"])
    wide = (
        frame.filter(wanted)
        .with_columns(pl.from_epoch("t", time_unit="s"), pl.col("metric", "microservice").cast(pl.String))
        .pivot("metric", index=["t", "microservice"], values="value")
    )
    count = pl.col("requests").fill_null(0).round().cast(pl.Int64)
    served = pl.when(pl.col("availability").is_null()).then(0).otherwise(count)
    bad = (served * (1 - pl.col("availability").fill_null(100) / 100)).round().cast(pl.Int64)
    return cr.Windows.from_frame(
        wide.with_columns(load=pl.col("requests").fill_null(0), served=served, failed=bad),
        time="t",
        unit="microservice",
        roles={"load": "workload", "latency": "outcome"},
        events={"availability": ("served", "failed")},
        every="5m",
    )


_POD = ("cpu_usage_millicores", "memory_usage_mib", "syscall_read", "syscall_write", "network_receive_bytes")
_MORE = ("network_transmit_bytes", "pod_client_latency_p90_s")
_LASTS = timedelta(minutes=3)
_HURTS = timedelta(minutes=7)


def nezha_cases(system: str, half: int) -> Iterator[Case]:
    """Yield every second fault of a system, from the first or the second on; normal are the minutes outside all faults.

    What spans tell of a service is its requests, how long its callers wait for them (the mean of medians), and each
    operation's spans for a request. The incident is the three minutes that begin after the fault did.
    """
    faults = pl.read_csv(NEZHA / "faults.csv").filter(pl.col("system") == system)
    frame, callers = _nezha_frame(system)
    starts = [datetime.fromisoformat(text) for text in faults["inject_time_utc"]]
    minute = [start.replace(second=0) for start in starts]
    hurt = pl.any_horizontal(pl.col("t").is_between(m, m + _HURTS) for m in minute)
    names = sorted(set(frame["service"]))
    edges = [(b, a) for a, b in callers if a != b and a in names and b in names]
    graph = cr.Graph.from_edges(edges, roles=dict.fromkeys(names, "engine"), name=f"nezha {system}")
    normal = _nezha_windows(frame.filter(~hurt))
    windows = _nezha_windows(frame)
    for number, (fault, start) in enumerate(zip(faults.iter_rows(named=True), minute, strict=True)):
        if number % 2 == half:
            first = start.replace(tzinfo=normal.span[0].tzinfo) + timedelta(minutes=1)
            yield Case(
                name=f"{system} {number} {fault['fault_type']}",
                windows=windows,
                normal=normal,
                graph=graph,
                during=(first, first + _LASTS),
                cause=fault["service"],
                on="latency",
            )


def _nezha_frame(system: str) -> tuple[pl.DataFrame, list[tuple[str, str]]]:
    span = pl.read_parquet(NEZHA / "span_stats_1min.parquet").filter(pl.col("system") == system)
    span = span.with_columns(pl.col("caller", "service", "operation").cast(pl.String)).rename({"minute": "t"})
    inside = pl.col("caller") == pl.col("service")
    entry = _waited(span.filter(~inside), span.filter(inside))
    callers = sorted(set(entry.filter(pl.col("caller") != "root").select("caller", "service").rows()))
    seen = pl.col("n_spans").cast(pl.Float64)
    calls = entry.group_by("t", "service").agg(
        load=seen.sum(), latency=(seen * pl.col("waited")).sum() / seen.sum() / 1e6
    )
    inner = span.filter(inside).group_by("t", "service", "operation").agg(n=seen.sum())
    grid = calls.select("t", "service", "load").join(inner.select("service", "operation").unique(), on="service")
    per = grid.join(inner, on=["t", "service", "operation"], how="left").with_columns(
        per=pl.col("n").fill_null(0) / pl.col("load")
    )
    wide = per.pivot("operation", index=["t", "service"], values="per")
    wide = wide.rename({name: f"op {name}" for name in wide.columns[2:]})
    pods = pl.read_parquet(NEZHA / "pod_metrics.parquet").filter(pl.col("system") == system)
    minute = pl.from_epoch("timestamp", time_unit="s").cast(pl.Datetime("us")).dt.truncate("1m")
    pods = pods.with_columns(t=minute, service=pl.col("service").cast(pl.String))
    mean = pods.group_by("t", "service").agg(pl.col(*_POD, *_MORE).fill_nan(None).mean())
    last = calls["t"].max() + timedelta(minutes=30)
    joined = mean.join(calls, on=["t", "service"], how="full", coalesce=True).join(
        wide, on=["t", "service"], how="left"
    )
    known = set(entry["service"])
    return joined.filter((pl.col("t") <= last) & pl.col("service").is_in(known)).sort("service", "t"), callers


def _waited(served: pl.DataFrame, inner: pl.DataFrame) -> pl.DataFrame:
    """How long the caller of each operation waits for it, where its own span of the call tells; else how long it takes.

    The two differ by the network. What most of the services that a caller calls keep it waiting beyond their own time
    is the caller's, where it calls three or more.
    """
    name = pl.col("operation").str.replace(r"^(grpc\.|/)", "")
    asked = inner.select("t", "caller", name=name, asked="dur_p50_us")
    asked = asked.group_by("t", "caller", "name").agg(pl.col("asked").mean())
    joined = served.with_columns(name=name).join(asked, on=["t", "caller", "name"], how="left")
    beyond = joined.group_by("t", "caller", "service").agg(beyond=(pl.col("asked") - pl.col("dur_p50_us")).mean())
    shared = beyond.group_by("t", "caller").agg(
        shared=pl.when(pl.col("beyond").count() > 2).then(pl.col("beyond").median()).otherwise(0.0)
    )
    waited = pl.max_horizontal(pl.col("asked") - pl.col("shared"), "dur_p50_us")
    return joined.join(shared, on=["t", "caller"]).with_columns(waited=pl.coalesce(waited, "dur_p50_us"))


def _nezha_windows(frame: pl.DataFrame) -> cr.Windows:
    """Windows of services; the data tell no failures, so none is counted as bad."""
    rest = [name for name in frame.columns if name not in ("t", "service", "load", "latency")]
    frame = frame.with_columns(served=pl.col("load").fill_null(0).cast(pl.Int64), failed=pl.lit(0))
    roles = {"load": "workload", "latency": "outcome"} | dict.fromkeys(rest, "engine")
    events = {"replies": ("served", "failed")}
    return cr.Windows.from_frame(frame, time="t", unit="service", roles=roles, events=events, every="1m")
