"""What README and docs tell readers to type is typed here, notebooks run, and no file speaks of one machine."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "how-to").glob("*.md")),
]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")
# Set-up and the tools of a contributor are tried elsewhere (.ci/run, test_style, test_site), or change the checkout.
NOT_TYPED = {"git", "uv", "ruff", "mypy", "lint-imports", "pre-commit", "sphinx-build", ".ci/run"}
MACHINE = re.compile(
    r"(?<![\w.])/(?:root|work|home/\w+|Users/\w+)/(?!\.\.\.)"
    r"|\b(?:files\.pythonhosted|pypi|test\.pypi|registry\.npmjs)\.org\b"
    r"|(?i:co-authored-by|generated (?:with|by an))"
)
TEXTS = {".cfg", ".ipynb", ".json", ".md", ".py", ".toml", ".yaml", ".yml", ""}


def blocks(path: Path, *languages: str) -> list[str]:
    return [code for language, code in FENCE.findall(path.read_text(encoding="utf-8")) if language in languages]


def tracked() -> list[Path]:
    """Return the files of the repository; of an unpacked archive, all but hidden folders."""
    if shutil.which("git") and (ROOT / ".git").exists():
        arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
        found = [ROOT / name for name in done.stdout.split("\0") if name]
    else:
        hidden = {
            ".venv",
            ".git",
            ".mypy_cache",
            ".ruff_cache",
            ".pytest_cache",
            ".hypothesis",
            "__pycache__",
            "_build",
        }
        found = [path for path in ROOT.rglob("*") if not hidden & set(path.parts)]
    return [path for path in found if path.is_file()]


def typed(line: str, cwd: Path) -> None:
    """Run one line of a document with this interpreter; of the test command only the collection."""
    words = shlex.split(line, comments=True)
    if words[:1] == [".ci/env"]:
        words = words[1:]
    if words[0] in NOT_TYPED:
        return
    if words[0] == "pytest":
        command, cwd = [*words, "--collect-only", "-q"], ROOT
    else:
        assert words[0] in ("causalrel", "python"), f"no test knows how to type '{line}'"
        command = words if words[0] == "causalrel" else words[2:]
    done = subprocess.run([sys.executable, "-m", *command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{line}\n{done.stderr[-2000:]}"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_of_a_document_run(path: Path, tmp_path: Path) -> None:
    for block in blocks(path, "sh", "bash", "console", "shell"):
        for line in block.replace("\\\n", " ").splitlines():
            if line.strip() and not line.startswith("#"):
                typed(line.removeprefix("$ "), tmp_path)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_python_of_a_document_runs(path: Path, tmp_path: Path) -> None:
    code = "\n".join(blocks(path, "python"))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_of_a_document_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert [link for link in LINK.findall(text) if not (path.parent / link).exists()] == []


def test_readme_names_the_two_commands_first() -> None:
    lines = [line for block in blocks(ROOT / "README.md", "sh") for line in block.splitlines()]
    assert lines[:2] == [".ci/env causalrel report llm-canary -o report.html", ".ci/env pytest -n 2"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_stored_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell for cell in code if cell.outputs or cell.execution_count is not None] == []
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs_whole(path: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()


def test_no_file_speaks_of_one_machine() -> None:
    own = Path(__file__).resolve()
    found: list[str] = []
    for path in tracked():
        if path.suffix not in TEXTS or path.name in ("uv.lock", "LICENSE") or path.resolve() == own:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            said = MACHINE.search(line)
            if said:
                found.append(f"{path.relative_to(ROOT)}:{number}: {said[0]}")
    assert found == []
