"""Documents: the report as a noun, and how answers are composed into one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from causalrel import display
from causalrel.budgets import Budget
from causalrel.estimates import Estimate, Origin
from causalrel.graphs import Graph
from causalrel.networks import Network
from causalrel.reports import sentences
from causalrel.reports.answers import Answers
from causalrel.reports.facts import make_facts
from causalrel.windows import Windows


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One sentence and the answer it stands on.

    Parameters
    ----------
    key : str
        Its name for programs, such as ``attribution``.
    title : str
        Its name for people.
    sentence : str
        What the answer says.
    answer : Budget, Estimate, Graph or None
        The answer; None where the sentence is all.
    """

    key: str
    title: str
    sentence: str
    answer: Budget | Estimate | Graph | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Answers about one SLO's budget, to read from the top.

    Parameters
    ----------
    sections : tuple of Section
        One sentence plus one answer each.
    facts : dict
        What every output is written from.
    origin : Origin
        Where it comes from.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> day = datetime(2026, 2, 11, tzinfo=UTC)
    >>> origin = Origin(version="0.1.0", seed=0, data="ab", span=(day, day), slos="cd")
    >>> facts = {"title": "Monday", "verdict": "answered", "headline": "All is well.", "questions": [], "sections": []}
    >>> print(Report(sections=(), facts=facts, origin=origin).text())
    Monday
    ======
    <BLANKLINE>
    All is well.
    <BLANKLINE>
    """

    sections: tuple[Section, ...]
    facts: dict[str, Any]
    origin: Origin

    def text(self) -> str:
        """Return the report for a terminal.

        Returns
        -------
        str
            Plain text, at most 100 columns wide.
        """
        from causalrel.reports.texts import to_text

        return to_text(self.facts)

    def markdown(self) -> str:
        """Return the report as Markdown, for a pull request.

        Returns
        -------
        str
            GitHub-flavoured Markdown.
        """
        from causalrel.reports.texts import to_markdown

        return to_markdown(self.facts)

    def html(self) -> str:
        """Return the report as one self-contained page without scripts.

        Returns
        -------
        str
            HTML, the same bytes for the same answers.
        """
        from causalrel.reports import pages

        return pages.to_html(self.facts, pages.draw({s.key: s.answer for s in self.sections}, self.facts))

    def json(self) -> str:
        """Return the report as JSON.

        Returns
        -------
        str
            Keys sorted, floats at six significant digits.
        """
        from causalrel.reports.outputs import to_json

        return to_json(self.facts)

    def frame(self) -> pl.DataFrame:
        """Return the sections.

        Returns
        -------
        polars.DataFrame
            One row a section: ``key``, ``title``, ``verdict``, ``sentence``.
        """
        rows = [[s.key, s.title, _verdict(s), s.sentence] for s in self.sections]
        names = ["key", "title", "verdict", "sentence"]
        return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")

    def save(self, path: str | Path) -> None:
        """Write the report to a file, whole or not at all.

        Parameters
        ----------
        path : str or pathlib.Path
            A name that ends in ``.html``, ``.md``, ``.txt`` or ``.json``.

        Raises
        ------
        CausalrelError
            When the ending is unknown, or the directory is missing or cannot be written to.
        """
        from causalrel.reports.outputs import format_of, render, save_text

        save_text(render(self, format_of(path)), path)

    def __repr__(self) -> str:
        lines = [f"Report: {self.facts['title']} ({self.facts['verdict']})", self.facts["headline"]]
        lines += [f"{s.key}: {s.sentence}" for s in self.sections]
        return "\n".join(display.plain(line) for line in lines)

    def _repr_html_(self) -> str:
        head = f"<p><b>{display.markup(self.facts['title'])}</b></p><p>{display.markup(self.facts['headline'])}</p>"
        frame = self.frame()
        return head + display.html_table(frame.columns, frame.rows())


def compose(
    windows: Windows,
    network: Network,
    answers: Answers,
    *,
    title: str = "",
    sources: Mapping[str, str] | None = None,
    governance: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Report:
    """Compose answers into a report; nothing is asked and nothing drawn.

    Parameters
    ----------
    windows : Windows
        The windows.
    network : Network
        The network.
    answers : Answers
        What :func:`causalrel.reports.answers.gather` returned.
    title : str
        Title; made from the span where empty.
    sources, governance : mapping, optional
        As in :func:`causalrel.report`.
    seed : int
        Seed the answers were drawn with.

    Returns
    -------
    Report
        The report.
    """
    facts = make_facts(windows, network, answers, title=title, sources=sources, assessed=governance, seed=seed)
    held: dict[str, Budget | Estimate | Graph] = {
        "budgets": answers.budget,
        "attribution": answers.attribution,
        **({"changes": answers.changes} if answers.changes is not None else {}),
        "scenario": answers.scenario,
        "graph": network.graph.leading_to(answers.on, windows.varying),
    }
    sections: list[Section] = []
    for said in facts["sections"]:
        section = Section(key=said["key"], title=said["title"], sentence=" ".join(said["says"]))
        if said["key"] == "effects":
            sections += [
                replace(
                    section,
                    key=f"effect {number}",
                    sentence=sentences.effect(answer, sentences.period(windows.slo(answers.on))),
                    answer=answer,
                )
                for number, answer in enumerate(answers.effects, start=1)
            ]
        else:
            sections.append(replace(section, answer=held.get(said["key"])))
    return Report(sections=tuple(sections), facts=facts, origin=windows.origin(seed, network.graph.fingerprint()))


def _verdict(section: Section) -> str:
    return section.answer.verdict if isinstance(section.answer, Estimate) else ""
