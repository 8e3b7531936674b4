"""A real Prometheus scrapes the simulation, and what its API answers is read as it was scraped."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import polars as pl
import pytest

import causalrel as cr

pytestmark = pytest.mark.skipif(shutil.which("prometheus") is None, reason="no prometheus on the path")

SCRAPES = 12
EVERY_S = 0.5


def pages() -> list[str]:
    """Write each simulated minute as the exposition that exporters would have served then."""
    samples = (
        cr.simulate("llm-canary", days=0.05, seed=4)
        .samples.collect()
        .filter(~pl.col("metric").str.contains("{", literal=True))
    )
    made = []
    for _, minute in samples.group_by("time", maintain_order=True):
        rows = minute.filter(pl.col("metric") != "up").sort("metric", "node").iter_rows(named=True)
        made.append("".join(f'{row["metric"]}{{node="{row["node"]}"}} {row["value"]!r}\n' for row in rows))
    return made


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[int, list[str]]]:
    """Serve one page a scrape; the pages handed out so far are in the list."""
    left, handed = iter(pages()), []

    class Exporter(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            handed.append(next(left))
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(handed[-1].encode())

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Exporter)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1], handed
    server.shutdown()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def exported(served: tuple[int, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Let Prometheus scrape a while and write what its API answers for each metric."""
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    config = folder / "prometheus.yml"
    config.write_text(
        f"global: {{scrape_interval: {int(EVERY_S * 1000)}ms, scrape_timeout: {int(EVERY_S * 1000)}ms}}\n"
        f"scrape_configs: [{{job_name: chat, static_configs: [{{targets: ['127.0.0.1:{served[0]}']}}]}}]\n",
        encoding="utf-8",
    )
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    running = subprocess.Popen(
        [*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        began, deadline = time.time(), time.monotonic() + 60
        while len(served[1]) < SCRAPES and time.monotonic() < deadline and running.poll() is None:
            time.sleep(0.1)
        assert len(served[1]) >= SCRAPES, "prometheus did not scrape"
        answers = folder / "answers"
        answers.mkdir()
        asked = {"start": f"{began:.3f}", "end": f"{time.time():.3f}", "step": str(EVERY_S / 2)}
        for number, metric in enumerate(sorted({line.partition("{")[0] for line in served[1][0].splitlines()})):
            query = urllib.parse.urlencode({"query": metric, **asked})
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query_range?{query}") as answer:
                (answers / f"metric-{number}.json").write_bytes(answer.read())
        return answers
    finally:
        running.terminate()
        running.wait(timeout=30)


def test_every_value_is_one_that_was_served_in_its_order(exported: Path, served: tuple[int, list[str]]) -> None:
    samples = cr.read(exported).samples.collect().sort("metric", "node", "time")
    samples = samples.with_columns(pl.col("metric").str.extract(r"^([^{]+)"))
    assert set(samples["node"]) == {"gpu-0", "gpu-1", "gpu-2", "gpu-3"}
    handed: dict[tuple[str, str], list[float]] = {}
    for page in served[1]:
        for line in page.splitlines():
            name, _, rest = line.partition("{")
            handed.setdefault((name, rest.split('"')[1]), []).append(float(rest.rpartition(" ")[2]))
    assert {(metric, node) for metric, node in handed} == set(samples.select("metric", "node").rows())
    for (metric, node), rows in samples.group_by("metric", "node", maintain_order=True):
        left = iter(handed[metric, node])
        seen = [value for value, again in zip(rows["value"], rows["value"].shift(1), strict=True) if value != again]
        assert len(seen) >= 1
        assert all(value in left for value in seen), (metric, node)


def test_times_are_those_of_the_scrapes(exported: Path) -> None:
    samples = cr.read(exported).samples.collect()
    assert samples["time"].dt.year().min() >= 2024
    span = samples["time"].max() - samples["time"].min()
    assert span.total_seconds() >= EVERY_S * (SCRAPES - 4)
