"""From answers to stdout or a file; progress to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from causalrel import display, errors
from causalrel.cli.options import Format

if TYPE_CHECKING:
    from causalrel.estimates import Estimate

#: Exit code of a process whose reader went away (128 + SIGPIPE).
_CLOSED_PIPE = 141


def write_estimate(found: Estimate, form: Format | None, output: Path | None) -> None:
    """Write an estimate, and leave with exit code 2 where it is refused.

    Parameters
    ----------
    found : Estimate
        The answer.
    form : Format or None
        How.
    output : pathlib.Path or None
        Where.
    """
    write(found, form, output)
    if found.verdict == "refused":
        sys.stderr.write(f"causalrel: refused: {display.plain(found.why)}\n")
        raise typer.Exit(2)


def write(answer: Any, form: Format | None, output: Path | None) -> None:
    """Write any answer.

    Parameters
    ----------
    answer : noun
        What to write.
    form : Format or None
        How; by the ending of the file where not given, else text.
    output : pathlib.Path or None
        Where; stdout for None and ``-``.
    """
    from causalrel.reports.outputs import render

    endings = {".md": Format.md, ".json": Format.json, ".html": Format.html}
    chosen = form or (endings.get(output.suffix, Format.text) if output else Format.text)
    write_text(render(answer, chosen.value), output)


def write_text(text: str, output: Path | None) -> None:
    """Write text to stdout or, whole or not at all, to a file.

    Parameters
    ----------
    text : str
        What to write.
    output : pathlib.Path or None
        Where; stdout for None and ``-``.
    """
    if output is None or str(output) == "-":
        try:
            sys.stdout.write(text if text.endswith("\n") else text + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            _forget_stdout()
            raise typer.Exit(_CLOSED_PIPE) from None
        except OSError as fault:
            _forget_stdout()
            raise errors.bad_question(f"cannot write to stdout: {fault.strerror}", "make room, or use -o") from None
        return
    from causalrel.reports.outputs import save_text

    save_text(text, output)


def _forget_stdout() -> None:
    """Let what is still waiting go nowhere, so that leaving does not fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Show stages on stderr while it is a terminal; say nothing otherwise."""
    if not sys.stderr.isatty():
        yield lambda _stage: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=8)

        def told(stage: str) -> None:
            bar.update(task, description=display.plain(stage), advance=1)

        yield told
