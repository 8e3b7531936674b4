"""Samples of other tools in canonical form: names, labels that tell where, and values that mean nothing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import polars as pl

from causalrel import display, errors
from causalrel.telemetry.otlp.names import COUNTER_ENDINGS
from causalrel.telemetry.parts import tell
from causalrel.telemetry.schema import SAMPLES
from causalrel.telemetry.series import join_series

#: Labels that tell the node and the service of a series, best first.
NODE_LABELS = ("node", "instance", "hostname", "Hostname", "host")
SERVICE_LABELS = ("service", "job", "model_name")

#: Names that servers gave or give to what vLLM now calls by the canonical one; a histogram's endings follow.
ALIASES: dict[str, str] = {
    "vllm:gpu_cache_usage_perc": "vllm:kv_cache_usage_perc",
    "vllm:gpu_prefix_cache_queries": "vllm:prefix_cache_queries",
    "vllm:gpu_prefix_cache_hits": "vllm:prefix_cache_hits",
    "vllm:time_per_output_token_seconds": "vllm:inter_token_latency_seconds",
    "sglang:num_running_reqs": "vllm:num_requests_running",
    "sglang:num_queue_reqs": "vllm:num_requests_waiting",
    "sglang:token_usage": "vllm:kv_cache_usage_perc",
    "sglang:time_to_first_token_seconds": "vllm:time_to_first_token_seconds",
    "sglang:inter_token_latency_seconds": "vllm:inter_token_latency_seconds",
    "sglang:e2e_request_latency_seconds": "vllm:e2e_request_latency_seconds",
    "sglang:queue_time_seconds": "vllm:request_queue_time_seconds",
    "sglang:prompt_tokens": "vllm:prompt_tokens",
    "sglang:generation_tokens": "vllm:generation_tokens",
    "trtllm_num_requests_running": "vllm:num_requests_running",
    "trtllm_num_requests_waiting": "vllm:num_requests_waiting",
    "trtllm_kv_cache_utilization": "vllm:kv_cache_usage_perc",
    "tgi_batch_current_size": "vllm:num_requests_running",
    "tgi_queue_size": "vllm:num_requests_waiting",
    "nv_gpu_power_usage": "DCGM_FI_DEV_POWER_USAGE",
}

_ENDINGS = ("_bucket", "_count", "_created", "_sum", "_total")
_KEY = ["time", "node", "service", "metric"]
#: What DCGM writes where a GPU does not tell a field: 32 bits, 64 bits and floats, each with its reasons.
_BLANKS = ((2_147_483_632.0, 2_147_483_647.0), (140_737_488_355_328.0, 140_737_488_355_343.0), (9.2233e18, 9.2234e18))


@lru_cache(maxsize=65_536)
def canonical_name(name: str) -> str:
    """Return the canonical name of a metric.

    Parameters
    ----------
    name : str
        What the server calls it.

    Returns
    -------
    str
        What vLLM or DCGM calls the same thing now; the name itself where nothing is known of it.

    Examples
    --------
    >>> canonical_name("vllm:gpu_cache_usage_perc")
    'vllm:kv_cache_usage_perc'
    >>> canonical_name("sglang:prompt_tokens_total"), canonical_name("up")
    ('vllm:prompt_tokens_total', 'up')
    """
    if name in ALIASES:
        return ALIASES[name]
    stem = next((name.removesuffix(one) for one in _ENDINGS if name.endswith(one)), name)
    return ALIASES[stem] + name[len(stem) :] if stem in ALIASES and stem != name else name


def placed(name: str, labels: Mapping[str, str]) -> tuple[str | None, str | None, str, bool]:
    """Return node, service and metric of a series as Prometheus labels it.

    Parameters
    ----------
    name : str
        Its name.
    labels : mapping of str to str
        Its labels; an empty one is none.

    Returns
    -------
    node, service : str or None
        The first label each that tells it.
    metric : str
        Canonical name and the other labels.
    renamed : bool
        Whether the server calls it otherwise.

    Examples
    --------
    >>> placed("vllm:gpu_cache_usage_perc", {"instance": "n1:8000", "job": "chat", "engine": "0"})
    ('n1:8000', 'chat', 'vllm:kv_cache_usage_perc{engine="0"}', True)
    """
    rest = {key: value for key, value in labels.items() if value}
    node = next((rest.pop(key) for key in NODE_LABELS if key in rest), None)
    service = next((rest.pop(key) for key in SERVICE_LABELS if key in rest), None)
    canonical = canonical_name(name)
    return node, service, join_series(canonical, rest), canonical != name


class Samples:
    """Samples as they come; at the end, a frame.

    Examples
    --------
    >>> samples = Samples()
    >>> samples.add(1_000_000, None, "chat", "up", False, 1.0)
    >>> samples.frame([], "memory").columns
    ['time', 'node', 'service', 'metric', 'value']
    """

    def __init__(self) -> None:
        self._frames: list[pl.DataFrame] = []
        self._waiting: list[tuple[int, str | None, str | None, str, bool, float, bool]] = []

    def add(
        self,
        micros: int,
        node: str | None,
        service: str | None,
        metric: str,
        renamed: bool,
        value: float,
        *,
        grows: bool = False,
    ) -> None:
        """Take one sample of what :func:`placed` tells; ``grows`` says that its value is what came since the last."""
        self._waiting.append((micros, node, service, metric, renamed, value, grows))
        if len(self._waiting) >= 1 << 16:
            self._settle()

    def frame(self, notes: list[str], source: str) -> pl.DataFrame | None:
        """Return the samples in order of time; None where there are none.

        Parameters
        ----------
        notes : list of str
            Takes what was left out, and what was made of values that mean nothing.
        source : str
            Where they come from, named in errors.

        Returns
        -------
        polars.DataFrame or None
            Canonical columns.

        Raises
        ------
        CausalrelError
            When a series tells two values at one time, or is told both in increments and in totals.
        """
        self._settle()
        if not self._frames:
            return None
        frame = _told_whole(
            _told_once(pl.concat(self._frames), notes, source).sort(_KEY, maintain_order=True), notes, source
        )
        blank, odd = is_blank(pl.col("metric"), pl.col("value")), ~pl.col("value").is_finite()
        counts = frame.select(blank=blank.sum(), odd=(odd & ~blank).sum()).row(0)
        tell(notes, counts[0], "sample", "was what DCGM writes for fields a GPU does not tell, and made null")
        tell(notes, counts[1], "sample", "was not finite and made null")
        _tell_falls(frame, notes)
        return frame.with_columns(pl.when(~(blank | odd)).then("value").alias("value"))

    def _settle(self) -> None:
        if self._waiting:
            schema = {"time": pl.Int64, **{name: SAMPLES[name] for name in _KEY[1:]}, "renamed": pl.Boolean}
            schema |= {"value": pl.Float64, "grows": pl.Boolean}
            made = pl.DataFrame(self._waiting, schema=schema, orient="row")
            self._frames.append(made.with_columns(pl.col("time").cast(SAMPLES["time"])))
            self._waiting = []


def _told_once(frame: pl.DataFrame, notes: list[str], source: str) -> pl.DataFrame:
    """Drop what is told twice, or again under an older name; refuse two values of one series at one time."""
    single = frame.sort("renamed", maintain_order=True).unique(pl.exclude("renamed"), keep="first", maintain_order=True)
    tell(notes, frame.height - single.height, "sample", "was told twice; the first was kept")
    told, older = single.filter(~pl.col("renamed")), single.filter("renamed")
    new = older.join(told, on=_KEY, how="anti", nulls_equal=True, maintain_order="left")
    tell(notes, older.height - new.height, "sample", "was told again under an older name and left out")
    once = pl.concat([told, new]).drop("renamed")
    twice = once.filter(pl.struct(_KEY).is_duplicated()).sort(_KEY)
    if twice.height:
        raise errors.conflicting_samples(twice["metric"][0], display.when(twice["time"][0]), source)
    return once


def _told_whole(frame: pl.DataFrame, notes: list[str], source: str) -> pl.DataFrame:
    """Add up increments, series by series, so that all counters tell totals."""
    keys = ["node", "service", "metric"]
    if frame["grows"].any():
        mixed = frame.group_by(keys).agg(pl.col("grows").n_unique()).filter(pl.col("grows") > 1)
        if mixed.height:
            name = mixed["metric"].sort()[0]
            raise errors.bad_data(
                f"'{name[:80]}' of '{source}' is told both in increments and in totals", "export one of the two"
            )
        count = frame.filter("grows").select(pl.struct(keys).n_unique()).item()
        notes.append(f"{count:,} series tell increments, which were added up")
        total = pl.col("value").cum_sum().over(keys)
        frame = frame.with_columns(value=pl.when("grows").then(total).otherwise("value"))
    return frame.drop("grows").select(*_KEY, "value")


def _tell_falls(frame: pl.DataFrame, notes: list[str]) -> None:
    """Say how often a counter fell by a little, which no restart makes it do."""
    counters = frame.filter(pl.col("metric").str.contains(r"_(total|count|bucket)(\{|$)") & pl.col("value").is_finite())
    fallen = pl.col("value").shift().over("node", "service", "metric")
    count = counters.select(
        (pl.col("value").is_between(0.5 * fallen, fallen, closed="left") & (fallen > 0)).sum()
    ).item()
    tell(notes, count, "sample", "of a counter is a little below the one before, though no counter falls but to zero")


def is_blank(metric: pl.Expr, value: pl.Expr) -> pl.Expr:
    """Return whether a value is what DCGM writes for a field that a GPU does not tell.

    Parameters
    ----------
    metric, value : polars.Expr
        Columns of samples.

    Returns
    -------
    polars.Expr
        Truth values.

    Examples
    --------
    >>> frame = pl.DataFrame({"metric": ["DCGM_FI_DEV_GPU_TEMP"] * 2, "value": [65.0, 2147483632.0]})
    >>> frame.select(is_blank(pl.col("metric"), pl.col("value"))).to_series().to_list()
    [False, True]
    """
    size, name = value.abs(), metric.str.split("{").list.first()
    small, real, large = (size.is_between(*span) for span in _BLANKS)
    counts = pl.any_horizontal(name.str.ends_with(one) for one in COUNTER_ENDINGS) | name.str.contains("BYTES")
    return name.str.starts_with("DCGM_") & (large | ((small | real) & ~counts))
