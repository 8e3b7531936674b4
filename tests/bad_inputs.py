"""What tests of bad inputs share: files, an SLO, and the command line asked in this process."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import causalrel as cr
from causalrel import cli
from causalrel.telemetry.schema import TIME

START = datetime(2026, 2, 11, 9, tzinfo=UTC)
SECONDS = 1770800400
SLO = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: ttft, labels: {dimension: latency}}
spec:
  service: chat
  indicator:
    metadata: {name: good}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: causalrel, spec: {where: "ttft_s <= 1"}}}
        total: {metricSource: {type: causalrel, spec: {}}}
  timeWindow: [{duration: 28d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{displayName: fast, target: 0.99}]
"""


@dataclass(frozen=True, slots=True)
class Said:
    """What the command line answered."""

    code: int
    out: str
    err: str

    @property
    def notes(self) -> list[str]:
        return [line.removeprefix("note: ") for line in self.err.splitlines() if line.startswith("note: ")]


class Asker:
    """Asks the command line about files in a folder of its own."""

    def __init__(self, folder: Path, captured: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._captured = captured
        self.slo = self.put("slo.yaml", SLO)

    def put(self, name: str, text: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def run(self, *arguments: object) -> Said:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["causalrel", *map(str, arguments)])
            code = cli.main()
        said = self._captured.readouterr()
        return Said(code, said.out, said.err)

    def budget(self, path: object, *more: object, every: str = "1m", slo: object = None) -> Said:
        return self.run("budget", path, "--slo", slo or self.slo, "--every", every, *more)

    def facts(self, path: object, *more: object, every: str = "1m", slo: object = None) -> dict[str, Any]:
        """Return the budget of a file that is well enough, as JSON."""
        said = self.budget(path, "--format", "json", *more, every=every, slo=slo)
        assert said.code == 0, said.err
        made: dict[str, Any] = json.loads(said.out)
        return made

    def refused(self, path: object, *says: str, every: str = "1m", slo: object = None) -> str:
        """Check that a budget is refused in one sentence, with nothing written anywhere; return the sentence."""
        before = sorted(self.folder.rglob("*"))
        said = self.budget(path, "-o", self.folder / "out.json", every=every, slo=slo)
        last = said.err.splitlines()[-1]
        assert (said.code, said.out) == (2, "")
        assert last.startswith("causalrel: ")
        assert len(said.err.splitlines()) == 1 + len(said.notes)
        assert "Traceback" not in said.err
        assert "failed inside" not in last
        assert not [text for text in says if text not in last], last
        assert sorted(self.folder.rglob("*")) == before
        return last


@pytest.fixture
def asker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Asker:
    return Asker(tmp_path, capsys)


def lines(*rows: str, head: str = "time,ttft_s") -> str:
    """Write CSV rows under a header."""
    return "\n".join([head, *rows, ""])


def table(columns: dict[str, Iterable[Any]], rows: int = 200, step: float = 10.0) -> pl.DataFrame:
    """Make requests, some seconds apart, of these columns and of served ones of a tenth of a second."""
    made = {"time": [START + timedelta(seconds=step * at) for at in range(rows)], "ttft_s": [0.1] * rows, **columns}
    return pl.DataFrame(made, schema_overrides={"time": TIME}, strict=False)


def windows(frame: pl.DataFrame, folder: Path, edit: Callable[[str], str] = str, **asked: Any) -> cr.Windows:
    """Write requests to a file and window what is read of it."""
    frame.write_parquet(folder / "requests.parquet")
    (folder / "slo.yaml").write_text(edit(SLO))
    return cr.window(
        cr.read(folder / "requests.parquet"), cr.load_slos(folder / "slo.yaml"), **{"every": "1m", **asked}
    )


def told(notes: Iterable[str], text: str) -> bool:
    """Say whether one of the notes holds a text."""
    return any(text in note for note in notes)
