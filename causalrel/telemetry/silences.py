"""Silences: how long nothing was told, which of it is a gap, and which times lie far from all others."""

from __future__ import annotations

import polars as pl

_DAY = 86_400_000_000
_STRAY_SHARE = 0.05
#: Steps are told apart to two parts in a hundred.
_BUCKET = 1.02
_FEWEST = 10
_MEDIANS, _SPREADS = 2.5, 15.0
_QUARTILES = {"low": 0.25, "middle": 0.5, "high": 0.75}


def bulk_of(times: pl.Series) -> tuple[int, int]:
    """Return the first and the last time of the bulk; what lies outside is stray.

    The bulk grows from the middle row over every silence that is no longer than it already is, or than a day. Where
    more than one row in twenty is left outside, they are no strays but a part of the data behind a gap, and the bulk is
    all of it.

    Parameters
    ----------
    times : polars.Series
        Microseconds since 1970, sorted, none of them null, one at least.

    Returns
    -------
    first, last : int
        Microseconds since 1970.

    Examples
    --------
    >>> bulk_of(pl.Series([0, *range(10**15, 10**15 + 60_000_000, 1_000_000)]))
    (1000000000000000, 1000000059000000)
    """
    cuts: list[int] = (times.diff() > _DAY).arg_true().to_list()
    starts, stops = [0, *cuts], [*(cut - 1 for cut in cuts), times.len() - 1]
    first = last = sum(cut <= times.len() // 2 for cut in cuts)

    def near(before: int, after: int) -> bool:
        span = times[stops[last]] - times[starts[first]]
        return bool(times[starts[after]] - times[stops[before]] <= span)

    while True:
        if first > 0 and near(first - 1, first):
            first -= 1
        elif last < len(cuts) and near(last, last + 1):
            last += 1
        else:
            break
    inside = stops[last] - starts[first] + 1
    if times.len() - inside > max(1.0, _STRAY_SHARE * times.len()):
        return int(times[0]), int(times[-1])
    return int(times[starts[first]]), int(times[stops[last]])


def find_silences(events: pl.DataFrame) -> pl.DataFrame:
    """Find the longest silence of each series and count its gaps.

    A silence is the time between two events that follow each other. It is a gap where it is longer than two and a half
    times the median silence and fifteen times the spread between the quartiles, together. Median and quartiles are
    weighted by time (half of the time falls into silences no longer than the median) and leave the longest silence out.
    So a regular scrape has a gap where two in a row are missing; events that come by chance, at 30 times their mean
    distance; and bursts an hour apart expect an hour. Silences that fill more than a quarter of the time are usual, and
    fewer than ten of them say nothing.

    Parameters
    ----------
    events : polars.DataFrame
        ``key`` of the series and ``time`` in microseconds since 1970, sorted by both.

    Returns
    -------
    polars.DataFrame
        One row a series of two events at least: ``key``, ``longest``, ``start`` (when the longest began), ``expected``
        (the longest that is no gap, null where nothing is known), all in microseconds, ``gaps`` and ``again`` (events
        at the time of the one before).

    Examples
    --------
    >>> events = pl.DataFrame({"key": "up", "time": [*range(0, 300, 15), *range(600, 900, 15)]})
    >>> find_silences(events).row(0)
    ('up', 315, 285, 37.5, 1, 0)
    """
    follows = pl.col("key") == pl.col("key").shift()
    steps = events.lazy().select(
        pl.when(follows).then("key").alias("key"), start=pl.col("time").shift(), step=pl.col("time").diff()
    )
    steps = steps.filter(pl.col("key").is_not_null())
    longest = steps.group_by("key").agg(
        count=pl.len(),
        again=(pl.col("step") == 0).sum().cast(pl.Int64),
        longest=pl.col("step").max(),
        start=pl.col("start").get(pl.col("step").arg_max()),
    )
    expected = _expected(steps, longest)
    found = longest.join(expected, on="key", how="left").collect()
    unusual = steps.join(found.lazy().select("key", "expected"), on="key").filter(pl.col("step") > pl.col("expected"))
    gaps = unusual.group_by("key").agg(gaps=pl.len().cast(pl.Int64)).collect()
    return (
        found.join(gaps, on="key", how="left")
        .with_columns(pl.col("gaps").fill_null(0))
        .select("key", "longest", "start", "expected", "gaps", "again")
        .sort("key")
    )


def _expected(steps: pl.LazyFrame, longest: pl.LazyFrame) -> pl.LazyFrame:
    """Return the longest silence that is no gap, from quartiles weighted by time."""
    weights = (
        steps.filter(pl.col("step") > 0)
        .group_by("key", bucket=pl.col("step").log(_BUCKET).floor())
        .agg(weight=pl.col("step").sum(), value=pl.col("step").max(), size=pl.len())
        .join(longest.filter(pl.col("count") >= _FEWEST).select("key", "longest"), on="key")
        .sort("key", "bucket")
    )
    last = pl.col("value") == pl.col("longest")
    left = pl.col("weight") - pl.when(last).then("longest").otherwise(0)
    weights = weights.with_columns(share=left.cum_sum().over("key") / left.sum().over("key"))
    quartiles = {name: pl.col("value").filter(pl.col("share") >= at).first() for name, at in _QUARTILES.items()}
    spread = pl.col("high") - pl.col("low")
    return (
        weights.group_by("key").agg(**quartiles).select("key", expected=_MEDIANS * pl.col("middle") + _SPREADS * spread)
    )
