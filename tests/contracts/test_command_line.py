"""The command line has the verbs of Python, keeps stdout for the answer, and tells errors in one sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer.main

import causalrel as cr
from causalrel.cli import app, main

# Loading, counting and fitting are steps of a command; `show` lists what ships. Networks are kept in Python.
PYTHON_ONLY = {"fit", "load_dataset", "load_graph", "load_slos", "plot", "window"}
PYTHON_ONLY |= {"explain", "load_network", "recover", "save_network"}
COMMAND_ONLY = {"show"}
# Named otherwise on the command line, or a step of it that needs no name there.
OPTION_OF = {"path": "data", "windows": "data", "name": "scenario", "levels": "of", "effects": "effect", "slos": "slo"}
Run = Callable[..., tuple[int, str, str]]

NO_OPTION = {"network", "draws", "progress", "sources", "title"}


def commands() -> dict[str, set[str]]:
    """Return each command with the names of its parameters."""
    group = typer.main.get_command(app)
    return {name: {p.name for p in item.params if p.name} for name, item in group.commands.items()}  # type: ignore[attr-defined]


def verbs() -> set[str]:
    return {name for name in cr.__all__ if name[0].islower()}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run the command line in an empty folder of its own; return the exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def ran(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["causalrel", *words])
        code = main()
        out, err = capsys.readouterr()
        return code, out, err

    return ran


def test_commands_are_the_verbs() -> None:
    assert set(commands()) - COMMAND_ONLY == verbs() - PYTHON_ONLY


@pytest.mark.parametrize("verb", sorted(verbs() - PYTHON_ONLY))
def test_every_part_of_a_question_can_be_asked(verb: str) -> None:
    code = getattr(cr, verb).__code__
    asked = set(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
    options = {"effect" if name == "effects" else name for name in commands()[verb]}
    assert {OPTION_OF.get(name, name) for name in asked - NO_OPTION} - options == set()


@pytest.mark.parametrize("verb", sorted(verbs() - PYTHON_ONLY | COMMAND_ONLY))
def test_a_command_has_help(verb: str, run: Run) -> None:
    code, out, err = run(verb, "--help")
    assert (code, err) == (0, "")
    assert "Usage: " in out


def test_stdout_is_the_answer_alone(tmp_path: Path) -> None:
    words = ["-m", "causalrel", "budget", "llm-canary", "--format", "json"]
    done = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert isinstance(json.loads(done.stdout), dict)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["budget", "llm-canery"], "did you mean 'llm-canary'?"),
        (["budget", "no/such/file.parquet"], "no such file"),
        (["budget", "llm-canary", "--slo", "llm-chut"], "did you mean 'llm-chat'?"),
        (["budget", "llm-canary", "--every", "fortnight"], "fortnight"),
        (["budgets", "llm-canary"], "did you mean 'budget'?"),
        (["effect", "llm-canary", "--of", "batch_sise", "--on", "tpot"], "did you mean 'batch_size'?"),
        (["effect", "llm-canary", "--of", "load", "--on", "tpot"], "nobody can set"),
        (["attribute", "llm-canary", "--during", "2031-01-01,2031-01-02"], "2031"),
        (["whatif", "llm-canary", "--do", "batch_size"], "VARIABLE=VALUE"),
    ],
)
def test_an_error_is_one_sentence(words: list[str], said: str, run: Run, tmp_path: Path) -> None:
    code, out, err = run(*words)
    sentences = [line for line in err.splitlines() if not line.startswith("note: ")]
    assert (code, out) == (2, "")
    assert len(sentences) == 1
    assert said in sentences[0]
    assert list(tmp_path.iterdir()) == []
