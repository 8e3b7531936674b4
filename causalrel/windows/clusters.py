"""Clusters: jobs done here, or by the workers of a Dask cluster through joblib."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import Any

import polars as pl

from causalrel import errors
from causalrel.provenance import package_version

Job = Callable[[], Any]
Doer = Callable[[Sequence[Job]], list[Any]]

_PATIENCE = 5
#: Rounds of patience without a worker after which nobody is waited for.
_ROUNDS = 4


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
    """Do jobs on the workers; each carries what it needs, so that nothing is lost with a worker.

    Dask waits for ever where no worker is left, so the jobs wait in a thread of their own, which is given up then.
    """
    import distributed

    done: Future[list[Any]] = Future()
    threading.Thread(target=_wait_for, args=(client, jobs, done), daemon=True).start()
    alone = 0
    while not done.done():
        wait([done], timeout=_PATIENCE)
        alone = 0 if done.done() or client.scheduler_info()["workers"] else alone + 1
        if alone > _ROUNDS:
            raise errors.bad_cluster(cluster, "its last worker went away", "start others with dask worker")
    try:
        return done.result()
    except distributed.KilledWorker:
        raise errors.bad_cluster(cluster, "several workers died of the same job", "give them more memory") from None
    except errors.CausalrelError as fault:
        what = f"a worker {fault.message.partition('; ')[0]}"
        raise errors.bad_cluster(cluster, what, "put the files under the same path on every worker") from None


def _wait_for(client: Any, jobs: Sequence[Job], done: Future[list[Any]]) -> None:
    import joblib

    try:
        with joblib.parallel_config("dask", client=client):
            done.set_result(list(joblib.Parallel(batch_size=1)(joblib.delayed(job)() for job in jobs)))
    except Exception as fault:  # told where the result is asked for
        done.set_exception(fault)


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
