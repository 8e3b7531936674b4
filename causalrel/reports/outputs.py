"""Outputs: any answer as text, Markdown, HTML or JSON, and written to a file in one step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, Protocol

import polars as pl

from causalrel import display, errors
from causalrel.budgets import Budget
from causalrel.contents import Contents
from causalrel.documents import save_text as save_text
from causalrel.estimates import Estimate
from causalrel.graphs import Graph
from causalrel.provenance import rounded
from causalrel.reports import blocks, sentences
from causalrel.reports.tables import Kind, failed_checks, make_section, make_table

Format = Literal["text", "md", "json", "html"]

#: Ending of a file name to format.
ENDINGS: dict[str, Format] = {".html": "html", ".md": "md", ".txt": "text", ".json": "json"}

_MOST_ROWS = 200


class Answer(Protocol):
    """Anything that can be shown: every noun has a representation and a frame."""

    def frame(self) -> pl.DataFrame:
        """Return the answer as a frame."""
        ...


def render(answer: Answer, form: str) -> str:
    """Write an answer in one format.

    Parameters
    ----------
    answer : Report, Estimate, Budget, Graph or another noun
        What to write.
    form : {"text", "md", "json", "html"}
        How.

    Returns
    -------
    str
        The whole document.

    Raises
    ------
    CausalrelError
        When there is no such format.

    Examples
    --------
    >>> from causalrel.graphs import Graph
    >>> graph = Graph.from_edges([("load", "ttft")], roles={"load": "workload", "ttft": "outcome"})
    >>> render(graph, "md").splitlines()[0]
    '# Graph graph v1: 2 variables, 1 edges (static)'
    """
    if form not in ENDINGS.values():
        raise errors.unknown_name(form, "format", ENDINGS.values())
    own = getattr(answer, {"md": "markdown"}.get(form, form), None)
    if own is not None:
        return str(own())
    if form == "json":
        said = answer.facts() if hasattr(answer, "facts") else answer.frame().to_dicts()
        return to_json({"schema": f"causalrel/{type(answer).__name__.lower()}/1", **_as_dict(said)})
    from causalrel.reports import pages, texts

    facts = _facts(answer)
    if form == "html":
        return pages.to_html(facts, pages.draw({"answer": answer}, facts))
    return texts.to_text(facts) if form == "text" else texts.to_markdown(facts)


def to_json(facts: dict[str, Any]) -> str:
    """Write facts as JSON: in their own order, the verdict first, floats at six significant digits, ASCII only.

    Parameters
    ----------
    facts : dict
        Nested facts.

    Returns
    -------
    str
        The same bytes for the same facts.

    Examples
    --------
    >>> print(to_json({"b": 1 / 3, "a": None}))
    {
      "b": 0.333333,
      "a": null
    }
    <BLANKLINE>
    """
    text = json.dumps(rounded(facts), indent=2, ensure_ascii=True, default=str, allow_nan=False)
    return text.replace("<", "\\u003c") + "\n"


def format_of(path: str | Path) -> Format:
    """Return the format a file name asks for.

    Parameters
    ----------
    path : str or pathlib.Path
        A file name.

    Returns
    -------
    str
        ``text``, ``md``, ``json`` or ``html``.

    Raises
    ------
    CausalrelError
        When the ending is not known.

    Examples
    --------
    >>> format_of("monday.html")
    'html'
    """
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise errors.bad_question(
            f"cannot save '{path}': '{ending}' is no format of a report", f"end the name in {', '.join(ENDINGS)}"
        )
    return ENDINGS[ending]


def _as_dict(said: object) -> dict[str, Any]:
    return dict(said) if isinstance(said, dict) else {"rows": said}


def _facts(answer: Answer) -> dict[str, Any]:
    """Return one answer as the facts of a report of one section."""
    said = display.plain(repr(answer).splitlines()[0])
    questions: list[dict[str, Any]] = []
    notes: list[str] = []
    says: list[str] = []
    if isinstance(answer, Budget | Estimate):
        burns = answer.burns if isinstance(answer, Budget) else answer
        failed = failed_checks(burns)
        questions = [{"key": "answer", "question": burns.question, "verdict": answer.verdict, "failed": failed}]
        notes = [f"Method: {burns.method}.", *(f"Assumption: {text}." for text in burns.assumptions)]
        said = _title(answer)
        says = [*sentences.decision(burns), *sentences.pairs(burns)]
        tables = blocks.tables_of(answer)
    elif isinstance(answer, Contents):
        says, tables = answer.told, [_frame_table(caption, each) for caption, each in answer.frames().items()]
        notes = list(answer.notes)
    else:
        frame = answer.frame()
        tables = [_frame_table(getattr(answer, "caption", type(answer).__name__), frame)] if frame.height else []
    figure = "answer" if isinstance(answer, Budget | Estimate | Graph) else ""
    section = make_section("answer", "", says, figure=figure, tables=tables, notes=notes)
    verdict = questions[0]["verdict"] if questions else ""
    return {"verdict": verdict, "title": said, "headline": "", "questions": questions, "sections": [section]}


def _title(answer: Budget | Estimate) -> str:
    if isinstance(answer, Budget):
        return f"{answer.verdict}: error budgets as of {display.when(answer.as_of)} UTC"
    if answer.verdict == "refused":
        return "refused: no answer"
    titles = {
        "metric": "thresholds",
        "tail": "envelope",
        "driver": "attribution",
        "scenario": "outlook",
        "configuration": "recommendation",
        "of": "effect",
    }
    return f"{answer.verdict}: {next((titles[key] for key in titles if key in answer.terms.columns), 'answer')}"


def _frame_table(caption: str, frame: pl.DataFrame) -> dict[str, Any]:
    columns: dict[str, Kind] = {
        name: "time" if kind.is_temporal() else "number" if kind.is_numeric() else "text"
        for name, kind in frame.schema.items()
    }
    rest = f", the first {_MOST_ROWS} of {frame.height:,} rows" if frame.height > _MOST_ROWS else ""
    return make_table(f"{caption}{rest}", columns, frame.head(_MOST_ROWS).rows())
