"""The command line has the verbs of Python, keeps stdout for the answer, and tells errors in one sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

import causalrel as cr
from causalrel.cli import app

# Loading, counting and fitting are steps of a command; `show` lists what ships.
PYTHON_ONLY = {"fit", "load_dataset", "load_graph", "load_slos", "plot", "window"}
COMMAND_ONLY = {"show"}
# Named otherwise on the command line, or a step of it that needs no name there.
OPTION_OF = {"path": "data", "windows": "data", "name": "scenario", "levels": "of", "effects": "effect"}
NO_OPTION = {"network", "draws", "progress", "title"}


def commands() -> dict[str, set[str]]:
    """Return each command with the names of its parameters."""
    group = typer.main.get_command(app)
    return {name: {p.name for p in item.params if p.name} for name, item in group.commands.items()}  # type: ignore[attr-defined]


def verbs() -> set[str]:
    return {name for name in cr.__all__ if name[0].islower()}


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "causalrel", *words], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_commands_are_the_verbs() -> None:
    assert set(commands()) - COMMAND_ONLY == verbs() - PYTHON_ONLY


@pytest.mark.parametrize("verb", sorted(verbs() - PYTHON_ONLY))
def test_every_part_of_a_question_can_be_asked(verb: str) -> None:
    code = getattr(cr, verb).__code__
    asked = set(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
    options = {"effect" if name == "effects" else name for name in commands()[verb]}
    assert {OPTION_OF.get(name, name) for name in asked - NO_OPTION} - options == set()


@pytest.mark.parametrize("verb", sorted(verbs() - PYTHON_ONLY | COMMAND_ONLY))
def test_a_command_has_help(verb: str, tmp_path: Path) -> None:
    done = run(verb, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "Usage: " in done.stdout
    assert done.stderr == ""


def test_stdout_is_the_answer_alone(tmp_path: Path) -> None:
    done = run("budget", "llm-canary", "--format", "json", cwd=tmp_path)
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
def test_an_error_is_one_sentence(words: list[str], said: str, tmp_path: Path) -> None:
    done = run(*words, cwd=tmp_path)
    sentences = [line for line in done.stderr.splitlines() if not line.startswith("note: ")]
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(sentences) == 1
    assert said in sentences[0]
    assert list(tmp_path.iterdir()) == []
