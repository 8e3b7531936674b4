"""Texts: a report for the terminal, and as Markdown for a pull request."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from causalrel import display
from causalrel.reports.tables import cells, numeric

_WIDTH = 88
_WIDEST = 100
_FEW = 3


def to_text(facts: Mapping[str, Any]) -> str:
    """Write facts for a terminal, at most 100 columns wide.

    Parameters
    ----------
    facts : mapping
        What :func:`causalrel.reports.facts.make_facts` returned.

    Returns
    -------
    str
        Plain text without control characters.
    """
    title = _wrapped(facts["title"])
    lines = [title, "=" * max(len(line) for line in title.splitlines()), ""]
    if facts["headline"]:
        lines += [_wrapped(facts["headline"]), ""]
    for asked in facts["questions"]:
        lines.append(_wrapped(f"{asked['verdict'].upper()}: {asked['question']}", hang=2))
        lines += [_wrapped(f"- {check['name']}: {check['says']}", first=2, hang=4) for check in asked["failed"]]
    for section in facts["sections"]:
        head = display.plain(section["title"])[:_WIDTH]
        lines += ["", head, "-" * len(head)] if head else []
        lines += [_wrapped(sentence) for sentence in section["says"]]
        for table in section["tables"]:
            if not table["folded"]:
                lines += ["", _wrapped(_caption(table)), _text_table(table)]
        lines += ["", *[_wrapped(f"- {note}", hang=2) for note in section["notes"]]] if section["notes"] else []
        folded = [table["caption"] for table in section["tables"] if table["folded"]]
        lines += ["", _wrapped(f"In the other formats: {'; '.join(folded)}.")] if folded else []
    return "\n".join(lines).strip("\n") + "\n"


def to_markdown(facts: Mapping[str, Any]) -> str:
    """Write facts as GitHub-flavoured Markdown.

    Parameters
    ----------
    facts : mapping
        What :func:`causalrel.reports.facts.make_facts` returned.

    Returns
    -------
    str
        Markdown in which every label shows as it is written.
    """
    lines = [f"# {_md(facts['title'])}", ""]
    if facts["headline"]:
        lines += [f"**{_md(facts['headline'])}**", ""]
    for asked in facts["questions"]:
        lines.append(f"- **{asked['verdict']}**: {_md(asked['question'])}")
        lines += [f"  - {_md(check['name'])}: {_md(check['says'])}" for check in asked["failed"]]
    for section in facts["sections"]:
        lines += ["", f"## {_md(section['title'])}", ""] if section["title"] else []
        lines += [_md(sentence) for sentence in section["says"]]
        for table in section["tables"]:
            body = _markdown_table(table)
            if table["folded"]:
                summary = _entities(table["caption"])
                lines += ["", f"<details><summary>{summary}</summary>", "", body, "", "</details>"]
            else:
                lines += ["", f"{_md(_caption(table))}", "", body]
        lines += ["", *[f"- {_md(note)}" for note in section["notes"]]] if section["notes"] else []
    return "\n".join(lines).strip("\n") + "\n"


def _md(value: object) -> str:
    """Escape for Markdown; addresses, mathematics and entities stay the characters they are."""
    text = display.markdown(value).replace("&", "&amp;").replace("$", "\\$").replace("~", "\\~")
    return text.replace("://", ":\\/\\/").replace("www.", "www\\.")


def _entities(value: object) -> str:
    """Escape for HTML inside Markdown, where neither escapes of the one nor of the other are enough."""
    return re.sub(r"[^\w ,.-]", lambda found: f"&#{ord(found[0])};", display.plain(value))


def _wrapped(text: object, *, first: int = 0, hang: int = 0) -> str:
    said = display.plain(text)
    made = textwrap.wrap(said, _WIDTH, initial_indent=" " * first, subsequent_indent=" " * hang, break_on_hyphens=False)
    return "\n".join(made)


def _caption(table: Mapping[str, Any]) -> str:
    caption = str(table["caption"])
    return caption if caption.endswith("?") else f"{caption}:"


def _heads(table: Mapping[str, Any]) -> list[str]:
    return [display.plain(column["head"]) for column in table["columns"]]


def _text_table(table: Mapping[str, Any]) -> str:
    heads, rows = _heads(table), cells(table, "..")
    right = [numeric(column) for column in table["columns"]]
    widths = [max(len(line[i]) for line in [heads, *rows]) for i in range(len(heads))]
    if sum(widths) + 2 * (len(widths) - 1) > _WIDEST:
        return _records(heads, rows)
    lines = [[c.rjust(w) if r else c for c, w, r in zip(line, widths, right, strict=True)] for line in [heads, *rows]]
    return display.text_table(lines[0], lines[1:])


def _records(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table too wide for a terminal as one short paragraph a row."""
    lines = []
    for row in rows:
        more = [(head, cell) for head, cell in zip(heads[1:], row[1:], strict=True) if cell not in ("", "-")]
        said = [cell if len(heads) <= _FEW else f"{head} {cell}" for head, cell in more]
        lines.append(_wrapped(f"- {row[0]}: {'; '.join(said)}", hang=2))
    return "\n".join(lines)


def _markdown_table(table: Mapping[str, Any]) -> str:
    rule = ["---:" if numeric(column) else "---" for column in table["columns"]]
    rows = [[_md(cell) or " " for cell in row] for row in cells(table)]
    lines = [[_md(head) for head in _heads(table)], rule, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
