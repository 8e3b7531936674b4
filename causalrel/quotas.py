"""Quotas: which requests a tenant's own quota refused, which we shaped ourselves, and how much each minute carried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from causalrel import errors
from causalrel.telemetry.schema import TIME
from causalrel.variables import parse_duration

Form = Literal["bucket", "window"]

_MINUTE = 60_000_000
_PASSED, _REFUSED, _UNCLEAR = 0, 1, 2
_OF_QUOTA = "quota"
_OF_US = r"overload|admission|queue_full|dropped|time_?d?_?out|deadline"
_OF_EITHER = r"(^|_)429(_|$)|rate_?limit|too_many_requests|throttl|resource_exhausted"
_KINDS: dict[str, pl.DataType | type[pl.DataType]] = {
    "time": TIME,
    "tenant": pl.String,
    "error": pl.String,
    "prompt_tokens": pl.Int64,
    "output_tokens": pl.Int64,
    "queue_s": pl.Float64,
    "retries": pl.Int64,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What a tenant may ask for in a minute.

    Parameters
    ----------
    requests_per_minute, tokens_per_minute : float, optional
        The caps; at least one. Tokens are those of the prompt and, of a request that was served, of the answer.
    burst_requests, burst_tokens : float, optional
        What a full bucket holds; the cap where it is not written.
    form : {"bucket", "window"}
        A token bucket that fills evenly, or a count that begins anew with each minute of the clock.

    Examples
    --------
    >>> Quota(requests_per_minute=60, burst_requests=10).form
    'bucket'
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    burst_requests: float | None = None
    burst_tokens: float | None = None
    form: Form = "bucket"

    def __post_init__(self) -> None:
        numbers = (self.requests_per_minute, self.tokens_per_minute, self.burst_requests, self.burst_tokens)
        if all(cap is None for cap in numbers[:2]) or any(number is not None and not number > 0 for number in numbers):
            raise errors.bad_question(
                "a quota caps neither requests nor tokens, or a number of it is not positive",
                "write requests_per_minute= or tokens_per_minute= above 0",
            )


def label_requests(
    requests: pl.DataFrame | pl.LazyFrame, quotas: Mapping[str, Quota], *, slow: str = "1s"
) -> pl.DataFrame:
    """Say of each request whether its tenant's quota refused it or we shaped it.

    Classes that name a quota, an overload, an admission limit, a full queue or a timeout are believed. A bare 429 is
    decided by a replay of the tenant's bucket: what passed emptied it, what it refused did not, and a 429 that it had
    room for was ours. The quota is asked before anything else, and the bucket is full where the rows begin. Of a tenant
    without a quota every 429 is ours. A request that was tried again is placed at its end, and as earlier attempts took
    from the bucket and left no row, such a tenant's labels are worth little: export one row an attempt.

    Parameters
    ----------
    requests : polars.DataFrame or LazyFrame
        Canonical requests with ``time``, ``tenant`` and ``error``; ``prompt_tokens`` and ``output_tokens`` for a cap of
        tokens; ``queue_s`` to tell slow ones; ``retries``.
    quotas : mapping of str to Quota
        Quotas by tenant.
    slow : str
        A queue so long is shaping, whatever came of it.

    Returns
    -------
    polars.DataFrame
        The columns above in order of arrival, then ``label`` (``quota``, ``shaped``, ``none``), ``by`` (what decided:
        ``class``, ``bucket``, ``bucket, attempts unseen`` or ``queue``), ``requests_left`` and ``tokens_left`` (in the
        bucket at that moment; null without such a cap).

    Raises
    ------
    CausalrelError
        When a column is missing.

    References
    ----------
    Le Boudec and Thiran 2001, Network Calculus, doi:10.1007/3-540-45318-0, 1.2.

    Examples
    --------
    >>> from datetime import UTC, datetime, timedelta
    >>> first = datetime(2026, 2, 11, 9, tzinfo=UTC)
    >>> rows = pl.DataFrame({"time": [first + timedelta(seconds=s) for s in (0, 1, 2, 30)], "tenant": "a"})
    >>> rows = rows.with_columns(error=pl.Series([None, None, "http_429", "http_429"]))
    >>> label_requests(rows, {"a": Quota(requests_per_minute=6, burst_requests=2)})["label"].to_list()
    ['none', 'none', 'quota', 'shaped']
    """
    rows = _rows(requests, quotas)
    said = pl.col("error").str.to_lowercase().str.replace_all(r"[^a-z0-9]+", "_")
    refused, ours, either = (
        said.str.contains(which).fill_null(value=False) for which in (_OF_QUOTA, _OF_US, _OF_EITHER)
    )
    outcome = pl.when(refused).then(_REFUSED).when(either & ~ours).then(_UNCLEAR).otherwise(_PASSED)
    rows = rows.with_columns(outcome.alias("#outcome"), ours.alias("#ours"))
    levels = [_levels(mine, quotas.get(str(name))) for (name,), mine in rows.group_by("tenant", maintain_order=True)]
    rows = pl.concat([rows.clear().pipe(_levels, None), *levels]).sort("#row")
    unclear, queued = pl.col("#outcome") == _UNCLEAR, pl.col("queue_s") >= parse_duration(slow, "slow").total_seconds()
    refused, unseen = pl.col("#outcome") == _REFUSED, (pl.col("retries") > 0).any().over("tenant")
    return rows.with_columns(
        label=pl.when(refused | (unclear & pl.col("#short")))
        .then(pl.lit("quota"))
        .when(pl.col("#ours") | unclear | queued)
        .then(pl.lit("shaped"))
        .otherwise(pl.lit("none")),
        by=pl.when(refused | pl.col("#ours"))
        .then(pl.lit("class"))
        .when(unclear & unseen)
        .then(pl.lit("bucket, attempts unseen"))
        .when(unclear)
        .then(pl.lit("bucket"))
        .when(queued)
        .then(pl.lit("queue")),
    ).drop("#row", "#moment", "#outcome", "#ours", "#short")


def sum_minutes(labelled: pl.DataFrame, quotas: Mapping[str, Quota]) -> pl.DataFrame:
    """Add up what each tenant asked for in each minute, and what was refused or slow for which reason.

    Parameters
    ----------
    labelled : polars.DataFrame
        Result of :func:`label_requests`.
    quotas : mapping of str to Quota
        Quotas by tenant.

    Returns
    -------
    polars.DataFrame
        One row a tenant and minute with requests: ``requests``, ``prompt_tokens``, ``output_tokens``, ``quota`` and
        ``shaped`` (requests of that label), ``refused`` (those of either that failed), ``least_left`` (requests left in
        the bucket at the worst moment), ``queue_s`` (median), and ``within`` (whether the minute asked for no more than
        the caps: what the quota then refused was a burst within the minute).

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> rows = pl.DataFrame({"time": [datetime(2026, 2, 11, tzinfo=UTC)] * 3, "tenant": "a"})
    >>> quotas = {"a": Quota(requests_per_minute=6, burst_requests=2)}
    >>> made = label_requests(rows.with_columns(error=pl.Series([None, None, "429"])), quotas)
    >>> sum_minutes(made, quotas).select("requests", "quota", "within").row(0)
    (3, 1, True)
    """
    caps = [
        pl.col("tenant")
        .replace_strict(
            {name: getattr(quota, cap) for name, quota in quotas.items()}, default=None, return_dtype=pl.Float64
        )
        .fill_null(float("inf"))
        for cap in ("requests_per_minute", "tokens_per_minute")
    ]
    counts = [(pl.col("label") == label).sum().cast(pl.Int64).alias(label) for label in ("quota", "shaped")]
    tokens = pl.col("prompt_tokens") + pl.col("output_tokens")
    return (
        labelled.group_by("tenant", time=pl.col("time").dt.truncate("1m"))
        .agg(
            pl.len().cast(pl.Int64).alias("requests"),
            pl.col("prompt_tokens", "output_tokens").sum(),
            *counts,
            ((pl.col("label") != "none") & pl.col("error").is_not_null()).sum().cast(pl.Int64).alias("refused"),
            pl.col("requests_left").min().alias("least_left"),
            pl.col("queue_s").median(),
        )
        .with_columns(within=(pl.col("requests") <= caps[0]) & (tokens <= caps[1]))
        .sort("tenant", "time")
    )


def _rows(requests: pl.DataFrame | pl.LazyFrame, quotas: Mapping[str, Quota]) -> pl.DataFrame:
    """Return what is needed in order of arrival, and when each request reached the bucket for the last time."""
    lazy = requests.lazy()
    found = lazy.collect_schema()
    tokens = any(quota.tokens_per_minute is not None for quota in quotas.values())
    for name in ("time", "tenant", "error", *(["prompt_tokens"] if tokens else [])):
        if name not in found:
            raise errors.unknown_column(name, "a replay of quotas", found)
    kept = [(pl.col(name) if name in found else pl.lit(None)).cast(kind).alias(name) for name, kind in _KINDS.items()]
    later = pl.when(pl.col("retries") > 0).then(pl.col("queue_s").fill_nan(None) * 1e6).fill_null(0)
    return (
        lazy.select(kept)
        .drop_nulls(["time", "tenant"])
        .sort("time", maintain_order=True)
        .with_columns((pl.col("time").dt.epoch("us") + later.round().cast(pl.Int64)).alias("#moment"))
        .with_row_index("#row")
        .collect()
    )


def _levels(mine: pl.DataFrame, quota: Quota | None) -> pl.DataFrame:
    """Add what was left of one tenant's caps when each request came, and whether that was too little."""
    mine = mine.sort("#moment", maintain_order=True)
    moments, outcomes = mine["#moment"].to_list(), mine["#outcome"].to_list()
    served = pl.col("prompt_tokens").fill_null(0) + pl.col("output_tokens").fill_null(0)
    costs = {"requests": [1] * mine.height, "tokens": mine.select(served).to_series().to_list()}
    caps = _caps(quota) if quota else {}
    form = quota.form if quota else "bucket"
    lefts, short = replay_buckets(moments, [costs[name] for name in caps], outcomes, list(caps.values()), form)
    left = dict(zip(caps, lefts, strict=True))
    return mine.with_columns(
        *(pl.Series(f"{name}_left", left.get(name, [None] * mine.height), pl.Float64) for name in costs),
        pl.Series("#short", short, pl.Boolean),
    )


def _caps(quota: Quota) -> dict[str, tuple[float, float]]:
    """Return the cap a minute and the size of the bucket of what is capped."""
    both = {
        "requests": (quota.requests_per_minute, quota.burst_requests),
        "tokens": (quota.tokens_per_minute, quota.burst_tokens),
    }
    return {name: (cap, burst or cap) for name, (cap, burst) in both.items() if cap is not None}


def replay_buckets(
    moments: Sequence[int],
    costs: Sequence[Sequence[int]],
    outcomes: Sequence[int],
    caps: Sequence[tuple[float, float]],
    form: Form = "bucket",
) -> tuple[list[list[float]], list[bool]]:
    """Replay the buckets of one tenant, which a request passes only if it passes all.

    Levels are counted in 60-millionths, so that whole caps and microseconds give whole numbers without rounding.

    Parameters
    ----------
    moments : sequence of int
        Microseconds, in order.
    costs : sequence of sequence of int
        What each request takes from each bucket.
    outcomes : sequence of int
        0 passed, 1 refused by the quota, 2 refused by nobody knows whom. What passed a bucket that was too empty shows
        it empty.
    caps : sequence of (float, float)
        What fills each bucket in a minute, and what it holds; a window holds the former.
    form : {"bucket", "window"}
        How it fills.

    Returns
    -------
    (list of list of float, list of bool)
        What each bucket held before each request; whether one of them held too little.

    Examples
    --------
    >>> replay_buckets([0, 0, 10_000_000], [[1, 1, 1]], [0, 2, 0], [(6, 1)])
    ([[1.0, 0.0, 1.0]], [False, True, False])
    """
    full = [(cap if form == "window" else burst) * _MINUTE for cap, burst in caps]
    level, before = list(full), moments[0] if moments else 0
    lefts: list[list[float]] = [[] for _ in caps]
    shorts = []
    for i, moment in enumerate(moments):
        short = False
        for k, (cap, _) in enumerate(caps):
            if form == "bucket":
                level[k] = min(full[k], level[k] + (moment - before) * cap)
            elif moment // _MINUTE != before // _MINUTE:
                level[k] = full[k]
            short |= level[k] < costs[k][i] * _MINUTE
            lefts[k].append(level[k] / _MINUTE)
        before = moment
        shorts.append(short)
        if outcomes[i] == _PASSED or (outcomes[i] == _UNCLEAR and not short):
            for k in range(len(caps)):
                level[k] = max(0, level[k] - costs[k][i] * _MINUTE)
    return lefts, shorts
