"""The same windows from a cluster as from one process, also when a worker is killed; what cannot be used is told."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import causalrel as cr
from causalrel import CausalrelError
from causalrel.telemetry.schema import TIME
from causalrel.windows import clusters
from causalrel.windows.clusters import doing
from causalrel.windows.repeats import hash_ids

distributed = pytest.importorskip("distributed")

FILES, ROWS = 24, 60_000
SLOS = [
    cr.SLO(name="ttft", dimension="latency", where="ttft_s <= 1", target=0.95),
    cr.SLO(name="up", dimension="availability", where="error IS NULL", target=0.99),
]
ASKED: dict[str, Any] = {"every": "1m", "by": ["model_version", "node"], "quantiles": {"ttft_s": (0.5, 0.99)}}


def frame(seed: int, rows: int) -> pl.DataFrame:
    """Return requests of a day in no order, some without latency or time."""
    rng = np.random.default_rng(seed)
    failed = rng.random(rows) < 0.02
    return pl.DataFrame(
        {
            "time": pl.Series(1_770_768_000 * 10**6 + rng.integers(0, 86_400 * 10**6, rows)).cast(TIME).set(
                pl.Series(rng.random(rows) < 1e-4), None
            ),
            "model_version": pl.Series(["v1", "v2", None]).gather(rng.integers(0, 3, rows)),
            "node": pl.Series([f"n{i}" for i in range(seed % 3 + 1)]).gather(rng.integers(0, seed % 3 + 1, rows)),
            "batch_size": rng.choice([8, 16], rows),
            "ttft_s": pl.Series(rng.lognormal(-1, 1, rows)).set(pl.Series(failed), None),
            "prompt_tokens": rng.integers(1, 4000, rows),
            "error": pl.Series([None, "oom"], dtype=pl.String).gather(failed.astype(int)),
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as made:
        yield made


def kill_one(cluster: Any, done: threading.Event, told: dict[str, int]) -> None:
    """Kill a worker once it has finished a job and is busy with another."""
    scheduler = cluster.scheduler
    address, nanny = next((nanny.worker_address, nanny) for nanny in cluster.workers.values())
    state = scheduler.workers[address]
    while not done.is_set():
        finished = sum(prefix.state_counts["memory"] for prefix in scheduler.task_prefixes.values())
        if finished and state.processing:
            told.update(pid=nanny.pid, busy=len(state.processing), finished=finished)
            os.kill(nanny.pid, signal.SIGKILL)
            return
        time.sleep(0.002)


@pytest.mark.slow
def test_a_killed_worker_changes_nothing(cluster: Any, tmp_path: Path) -> None:
    for i in range(FILES):
        frame(i, ROWS).write_parquet(tmp_path / f"requests-{i:02}.parquet")
    telemetry = cr.read(tmp_path / "requests-*.parquet")
    here = cr.window(telemetry, SLOS, **ASKED)
    done, told = threading.Event(), dict[str, int]()
    killer = threading.Thread(target=kill_one, args=(cluster, done, told))
    before = {nanny.pid for nanny in cluster.workers.values()}
    killer.start()
    there = cr.window(telemetry, SLOS, **ASKED, cluster=cluster.scheduler_address)
    done.set()
    killer.join()
    assert told["pid"] in before
    assert told["busy"] >= 1
    assert 0 < told["finished"] < FILES
    assert there.table.equals(here.table)
    assert there.table.schema == here.table.schema
    assert there.notes == here.notes
    assert there.origin(0) == here.origin(0)


@pytest.mark.slow
def test_repeated_ids_count_once_over_files_that_differ(cluster: Any, tmp_path: Path) -> None:
    ids = pl.Series([f"r{i}" for i in range(3000)] + [None] * 10)
    first = frame(1, ids.len()).with_columns(request_id=ids)
    second = frame(2, ids.len()).with_columns(request_id=ids.shift(1000), extra=1).drop("error", "node")
    first.write_parquet(tmp_path / "requests-1.parquet")
    second.write_csv(tmp_path / "requests-2.csv")
    telemetry = cr.read(tmp_path / "requests-*")
    asked = {**ASKED, "by": "model_version"}
    here = cr.window(telemetry, SLOS, **asked)
    there = cr.window(telemetry, SLOS, **asked, cluster=cluster.scheduler_address)
    assert any("repeat an earlier request_id" in note for note in here.notes)
    assert here.table["up.total"].sum() < first.height + second.height
    assert there.table.equals(here.table)
    assert there.notes == here.notes


@pytest.mark.slow
def test_a_file_that_workers_cannot_open_is_told(cluster: Any, tmp_path: Path) -> None:
    path = tmp_path / "requests.parquet"
    frame(0, 100).write_parquet(path)
    requests = cr.read(path).requests
    path.unlink()
    said = r"a worker cannot read 'requests.parquet': .*; put the files under the same path on every worker$"
    with pytest.raises(CausalrelError, match=said), doing(cluster.scheduler_address) as do:
        do([functools.partial(hash_ids, requests.rename({"node": "request_id"}), "requests.parquet")])


@pytest.mark.slow
def test_the_last_worker_that_dies_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that nobody starts again, killed at its job."""
    monkeypatch.setattr(clusters, "_PATIENCE", 1)
    with distributed.LocalCluster(n_workers=0, dashboard_address=None, silence_logs=50) as empty:
        address = empty.scheduler_address
        command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-nanny", "--no-dashboard"]
        worker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            monkeypatch.setattr(clusters, "_check_workers", lambda client, _: client.wait_for_workers(1, timeout=60))
            killer = threading.Timer(8, worker.kill)
            killer.start()
            said = r"its last worker went away; start others with dask worker$"
            with pytest.raises(CausalrelError, match=said), doing(address) as do:
                do([functools.partial(time.sleep, 600)])
        finally:
            killer.cancel()
            worker.kill()
            worker.wait()


def test_a_cluster_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from causalrel.cli import main

    monkeypatch.setattr(sys, "argv", ["causalrel", "budget", "llm-canary", "--cluster", "tcp://127.0.0.1:9"])
    assert main() == 2
    said = capsys.readouterr().err.splitlines()
    assert said[-1].endswith(
        "cannot use the cluster at 'tcp://127.0.0.1:9': no scheduler answers; start one with dask scheduler"
    )
    assert len([line for line in said if not line.startswith("note: ")]) == 1


def test_without_dask_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(CausalrelError, match=r"pip install 'causalrel\[cluster\]'"):
        cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), cluster="tcp://127.0.0.1:9")
