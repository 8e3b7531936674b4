"""Docstrings are numpydoc: a sentence everywhere; for public names all parameters, what comes back, what is raised.

Inside the rooms a sentence is enough, and a docstring that has sections has them whole.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import causalrel as cr

PACKAGE = Path(cr.__file__).parent
# The constructors of errors are named after what they say; the command line's docstrings are its --help.
EXEMPT = {"errors", "cli"}
SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}$", re.MULTILINE)


def sections(docstring: str) -> dict[str, str]:
    """Split a cleaned docstring at its underlined headings; the text before them is under ``""``."""
    parts = SECTION.split(docstring)
    return {"": parts[0], **{head: text.strip("\n") for head, text in zip(parts[1::2], parts[2::2], strict=True)}}


def described(section: str) -> set[str]:
    """Return the names at the left margin of a Parameters section."""
    lines = [line for line in section.splitlines() if line and not line.startswith(" ")]
    return {name.strip().lstrip("*") for line in lines for name in line.split(" : ")[0].split(",")}


def signature_of(node: ast.FunctionDef | ast.ClassDef) -> set[str]:
    """Return the names of a function's arguments, or of a dataclass's fields."""
    if isinstance(node, ast.ClassDef):
        init = next((item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"), None)
        if init is None:
            fields = [
                item for item in node.body if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
            ]
            dataclass = any("dataclass" in ast.unparse(item) for item in node.decorator_list)
            return {item.target.id for item in fields} if dataclass else set()
        node = init
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return {item.arg for item in every if item is not None} - {"self", "cls"}


def raises(node: ast.FunctionDef) -> bool:
    """Say whether the body itself raises a CausalrelError."""
    return any(
        isinstance(item, ast.Raise) and item.exc is not None and ast.unparse(item.exc).startswith("errors.")
        for item in ast.walk(node)
    )


def faults_of(node: ast.FunctionDef | ast.ClassDef, *, whole: bool) -> Iterator[str]:
    """List what a docstring lacks."""
    docstring = ast.get_docstring(node, clean=True)
    if docstring is None:
        yield f"{node.name} has no docstring"
        return
    parts = sections(docstring)
    if not parts[""].strip().split("\n\n")[0].endswith("."):
        yield f"first line of {node.name} is no sentence"
    if not whole and set(parts) <= {"", "Examples"}:
        return
    missing = sorted(signature_of(node) - described(parts.get("Parameters", "")))
    if missing:
        yield f"{node.name} does not describe {', '.join(missing)}"
    if isinstance(node, ast.FunctionDef):
        returns = ast.unparse(node.returns) if node.returns else "None"
        if returns != "None" and not {"Returns", "Yields"} & set(parts):
            yield f"{node.name} does not say what comes back"
        if raises(node) and "Raises" not in parts:
            yield f"{node.name} raises and does not say so"


def public(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node


def modules() -> list[Path]:
    return sorted(
        path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).with_suffix("").parts[0] not in EXEMPT
    )


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_docstrings_of_a_module(path: Path) -> None:
    faults: list[str] = []
    module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for node in public(ast.parse(path.read_text(encoding="utf-8")).body):
        face = node.name in cr.__all__ and getattr(cr, node.name).__module__ == module
        faults += faults_of(node, whole=face)
        if isinstance(node, ast.ClassDef):
            methods = [item for item in public(node.body) if isinstance(item, ast.FunctionDef)]
            asked = [item for item in methods if len(item.args.args + item.args.kwonlyargs) > 1]
            faults += [f"{node.name}.{fault}" for item in asked for fault in faults_of(item, whole=face)]
    assert faults == []


@pytest.mark.parametrize("name", cr.__all__)
def test_a_public_name_has_a_running_example(name: str) -> None:
    if name == "CausalrelError":
        pytest.skip("an error is raised, not called")
    thing: Any = getattr(cr, name)
    parts = sections(inspect.getdoc(thing) or "")
    assert ">>>" in parts.get("Examples", ""), f"{name} has no example (doctest runs those that there are)"
