"""Small enough to read: modules, functions, and no block written twice."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import causalrel

PACKAGE = Path(causalrel.__file__).parent
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "_shipped" not in path.parts)
MODULE_LINES = 400
FUNCTION_LINES = 50
REPEATED_LINES = 15

Function = ast.FunctionDef | ast.AsyncFunctionDef


def docstring_lines(node: ast.AST) -> set[int]:
    """Return the lines of every docstring in a tree."""
    lines: set[int] = set()
    for item in ast.walk(node):
        if isinstance(item, ast.Module | ast.ClassDef | Function) and ast.get_docstring(item, clean=False) is not None:
            first = item.body[0]
            lines |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return lines


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_size(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MODULE_LINES


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_function_size(path: Path) -> None:
    """Count a function's lines from ``def`` to its end, without blank lines and docstrings."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    skipped = docstring_lines(tree) | {i for i, line in enumerate(text.splitlines(), 1) if not line.strip()}
    sizes = {node.name: len(set(range(node.lineno, (node.end_lineno or 0) + 1)) - skipped) for node in functions(tree)}
    assert {name: size for name, size in sizes.items() if size > FUNCTION_LINES} == {}


def test_no_block_is_repeated() -> None:
    seen: dict[tuple[str, ...], str] = {}
    repeated: list[str] = []
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        imports = {
            line
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
        }
        skipped = docstring_lines(tree) | imports
        lines = [(i, line.strip()) for i, line in enumerate(text.splitlines(), 1) if line.strip() and i not in skipped]
        for at in range(len(lines) - REPEATED_LINES + 1):
            block = tuple(line for _, line in lines[at : at + REPEATED_LINES])
            here = f"{name_of(path)}:{lines[at][0]}"
            if block in seen:
                repeated.append(f"{here} repeats {seen[block]}")
            seen.setdefault(block, here)
    assert repeated == []


def test_modules_are_found() -> None:
    assert len(MODULES) > 30
