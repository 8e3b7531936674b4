"""Importing is cheap, each verb pays only for what it needs, and nothing reaches for the network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("arviz", "dowhy", "matplotlib", "numba", "nutpie", "pandas", "pgmpy", "pymc", "scipy", "sklearn")
OFFLINE = """
import socket, sys

def refuse(*args, **kwargs):
    raise OSError("the network is not for this")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = refuse
"""


def python(program: str, cwd: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": "", "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def command(*words: str) -> str:
    """Return a program that runs the command line in this interpreter and keeps going on exit 0."""
    return (
        f"{OFFLINE}\nsys.argv = {['causalrel', *words]!r}\nfrom causalrel.cli import main\n"
        "code = main()\nassert code == 0, code\n"
    )


def loaded(program: str, cwd: Path) -> set[str]:
    """Return the top-level modules a program has loaded at its end."""
    out = python(f"{program}\nprint('loaded:', *sorted({{name.partition('.')[0] for name in sys.modules}}))", cwd)
    return set(out.rpartition("loaded:")[2].split())


def test_import_loads_nothing_heavy(tmp_path: Path) -> None:
    modules = loaded("import sys\nimport causalrel as cr\nassert 'budget' in dir(cr)", tmp_path)
    assert modules.isdisjoint({*HEAVY, "polars", "pydantic", "sqlglot", "typer"})


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    assert loaded(command("--help"), tmp_path).isdisjoint({*HEAVY, "polars"})


def test_budget_never_pays_for_causal_libraries(tmp_path: Path) -> None:
    modules = loaded(command("budget", "llm-canary", "-o", "budget.json"), tmp_path)
    assert modules.isdisjoint(HEAVY)
    assert (tmp_path / "budget.json").stat().st_size > 0


def test_forecast_never_pays_for_dowhy_or_pgmpy(tmp_path: Path) -> None:
    modules = loaded(command("forecast", "llm-canary", "--horizon", "1d", "-o", "ahead.json"), tmp_path)
    assert modules.isdisjoint({"dowhy", "matplotlib", "pandas", "pgmpy", "pymc"})


@pytest.mark.timeout(300)
def test_report_needs_no_network(tmp_path: Path) -> None:
    python(command("report", "llm-canary", "-o", "report.html"), tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    assert "<script" not in page.lower()
    assert len(page.encode()) < 1_000_000
