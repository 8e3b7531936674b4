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


def python(program: str, cwd: Path, **more: str) -> str:
    environment = {**os.environ, "PYTHONPATH": "", "MPLBACKEND": "Agg", **more}
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


@pytest.mark.timeout(600)
def test_report_needs_no_network_and_is_the_same_again(tmp_path: Path) -> None:
    pages = []
    for threads in ("1", "2"):
        name = f"report-{threads}.html"
        python(
            command("report", "llm-canary", "-o", name), tmp_path, PYTHONHASHSEED=threads, POLARS_MAX_THREADS=threads
        )
        pages.append((tmp_path / name).read_text(encoding="utf-8"))
    assert "default-src 'none'" in pages[0]
    assert "<script" not in pages[0].lower()
    assert len(pages[0].encode()) < 1_000_000
    assert pages[0] == pages[1]
