"""Repeats: requests that several files, or several rows of one, tell under the same id."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from causalrel.telemetry import collected
from causalrel.windows.plans import Plan

Hashes = NDArray[np.uint64]

_ID = pl.col("request_id")
_TIMED = pl.col("time").is_not_null()


def hash_ids(requests: pl.LazyFrame, source: str) -> Hashes:
    """Hash the ids of requests.

    Parameters
    ----------
    requests : polars.LazyFrame
        Requests with a ``request_id``.
    source : str
        Where they come from, named in errors.

    Returns
    -------
    ndarray of uint64
        One a request that has an id and a time, sorted.

    Examples
    --------
    >>> len(hash_ids(pl.LazyFrame({"time": [1, 2, 3], "request_id": ["a", "a", None]}), "memory"))
    2
    """
    return np.sort(collected(requests.filter(_TIMED).select(_ID.drop_nulls().hash()), source).to_series().to_numpy())


def find_repeats(parts: Sequence[Hashes]) -> Hashes:
    """Return the hashes that are there more than once.

    Parameters
    ----------
    parts : sequence of ndarray of uint64
        Hashes of the ids of each part.

    Returns
    -------
    ndarray of uint64
        Each once; ids that merely share a hash are among them.

    Examples
    --------
    >>> find_repeats([np.array([3, 5], dtype=np.uint64), np.array([5], dtype=np.uint64)]).tolist()
    [5]
    """
    every = np.sort(np.concatenate(parts))
    return np.unique(every[1:][every[1:] == every[:-1]])


def with_ids(requests: pl.LazyFrame, hashes: Hashes, source: str) -> pl.DataFrame:
    """Return the requests whose ids have one of some hashes.

    Parameters
    ----------
    requests : polars.LazyFrame
        Requests with a ``request_id``.
    hashes : ndarray of uint64
        The hashes.
    source : str
        Where they come from, named in errors.

    Returns
    -------
    polars.DataFrame
        Whole rows.

    Examples
    --------
    >>> requests = pl.LazyFrame({"time": [1, 2, 3], "request_id": ["a", "a", None]})
    >>> with_ids(requests, hash_ids(requests, "memory")[:1], "memory").height
    2
    """
    return collected(requests.filter(_among(hashes)), source)


def without_ids(requests: pl.LazyFrame, hashes: Hashes) -> pl.LazyFrame:
    """Return the other requests, those without an id among them.

    Parameters
    ----------
    requests : polars.LazyFrame
        Requests with a ``request_id``.
    hashes : ndarray of uint64
        The hashes.

    Returns
    -------
    polars.LazyFrame
        What :func:`with_ids` leaves, those without a time among it.

    Examples
    --------
    >>> requests = pl.LazyFrame({"time": [1, 2, 3], "request_id": ["a", "a", None]})
    >>> without_ids(requests, hash_ids(requests, "memory")[:1]).collect().height
    1
    """
    return requests.filter(~_among(hashes))


def keep_first(rows: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """Keep the earliest row of each id, ties broken by the row's own values.

    Parameters
    ----------
    rows : polars.DataFrame
        Requests that all have an id.
    plan : Plan
        Names and types of their columns.

    Returns
    -------
    polars.DataFrame
        One row an id.

    Examples
    --------
    >>> from datetime import timedelta
    >>> schema = {"time": pl.Int64(), "request_id": pl.String()}
    >>> plan = Plan(by=(), width=timedelta(minutes=5), slos=(), variables=(), schema=schema, source="memory")
    >>> keep_first(pl.DataFrame({"time": [4, 3], "request_id": ["a", "a"]}), plan)["time"].to_list()
    [3]
    """
    order = ["request_id", "time", *sorted(n for n, k in plan.schema.items() if not k.is_nested() and n != "time")]
    return rows.sort(list(dict.fromkeys(order)), nulls_last=True).unique("request_id", keep="first")


def _among(hashes: Hashes) -> pl.Expr:
    return _TIMED & _ID.is_not_null() & _ID.hash().is_in(pl.Series(hashes, dtype=pl.UInt64).implode())
