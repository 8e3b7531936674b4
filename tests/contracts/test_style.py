"""Style, types and layers, by the tools that pyproject.toml configures."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = {
    "ruff check": ("ruff", ["-m", "ruff", "check", "--no-cache", "."]),
    "ruff format": ("ruff", ["-m", "ruff", "format", "--no-cache", "--check", "."]),
    "mypy": ("mypy", ["-m", "mypy"]),
    "import-linter": (
        "importlinter",
        ["-c", "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"],
    ),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_tool_is_content(tool: str) -> None:
    module, arguments = TOOLS[tool]
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed; it is in the dev group")
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
