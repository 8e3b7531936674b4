"""Clusters: jobs done here, or by the workers of a Dask cluster through joblib."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import polars as pl

from causalrel import errors
from causalrel.provenance import package_version

Job = Callable[[], Any]
Doer = Callable[[Sequence[Job]], list[Any]]

_PATIENCE = 5


@contextmanager
def doing(cluster: str | None) -> Iterator[Doer]:
    """Yield the function that does jobs and returns their results in order.

    Parameters
    ----------
    cluster : str or None
        Address of a Dask scheduler, such as ``tcp://10.0.0.1:8786``; None to do the jobs here.

    Yields
    ------
    callable
        Takes jobs, functions without arguments. A job whose worker dies is done again by another.

    Raises
    ------
    CausalrelError
        When Dask is not installed, the cluster is not there, or a worker cannot do a job.

    Examples
    --------
    >>> with doing(None) as do:
    ...     do([lambda: 1, lambda: 2])
    [1, 2]
    """
    if cluster is None:
        yield lambda jobs: [job() for job in jobs]
        return
    try:
        import distributed
    except ImportError:
        raise errors.bad_question(
            f"the cluster at '{cluster}' needs Dask, which is not installed", "run pip install 'causalrel[cluster]'"
        ) from None
    try:
        client = distributed.Client(cluster, timeout=_PATIENCE, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, MemoryError):  # a peer that is no scheduler may announce any number of bytes
        raise errors.bad_cluster(cluster, "no scheduler answers", "start one with dask scheduler") from None
    with client:
        _check_workers(client, cluster)
        yield functools.partial(_spread, client, cluster)


def _spread(client: Any, cluster: str, jobs: Sequence[Job]) -> list[Any]:
    """Do jobs on the workers; each carries what it needs, so that nothing is lost with a worker."""
    import distributed
    import joblib

    try:
        with joblib.parallel_config("dask", client=client):
            return list(joblib.Parallel(batch_size=1)(joblib.delayed(job)() for job in jobs))
    except distributed.KilledWorker:
        raise errors.bad_cluster(cluster, "several workers died of the same job", "give them more memory") from None
    except errors.CausalrelError as fault:
        what = f"a worker {fault.message.partition('; ')[0]}"
        raise errors.bad_cluster(cluster, what, "put the files under the same path on every worker") from None


def _check_workers(client: Any, cluster: str) -> None:
    """Check that there are workers and that they would count as this process does."""
    try:
        client.wait_for_workers(1, timeout=_PATIENCE)
    except TimeoutError:
        raise errors.bad_cluster(cluster, "it has no workers", "start some with dask worker") from None
    mine = _versions()
    found = client.run(_versions, on_error="return")
    if any(theirs != mine for theirs in found.values()):
        what = f"a worker lacks causalrel {mine[0]} with polars {mine[1]}"
        raise errors.bad_cluster(cluster, what, "install the same versions everywhere")


def _versions() -> tuple[str, str]:
    return package_version(), pl.__version__
