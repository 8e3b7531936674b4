"""Pages: a report as one HTML page that needs no network and runs no script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from causalrel import display
from causalrel.budgets import Budget
from causalrel.estimates import Estimate
from causalrel.graphs import Graph
from causalrel.reports import extracts
from causalrel.reports.figures import Size, forest_svg, svg
from causalrel.reports.tables import cells, numeric
from causalrel.reports.timelines import worst_of

#: Figures by key: the drawing for a page, and where it helps the one for a telephone.
Drawings = Mapping[str, Mapping[str, str]]


def draw(answers: Mapping[str, Any], facts: Mapping[str, Any]) -> Drawings:
    """Draw every figure that the sections of a report name.

    Parameters
    ----------
    answers : mapping of str to answer
        Budget, Estimate or Graph by section key.
    facts : mapping
        What :func:`causalrel.reports.facts.make_facts` returned.

    Returns
    -------
    mapping
        For each figure ``wide`` and ``narrow``, one SVG element each; a graph has a wide one alone.
    """
    made: dict[str, dict[str, str]] = {}
    for section in facts["sections"]:
        key = section["figure"]
        if key == "effects":
            effects = [a for k, a in answers.items() if k.startswith("effect ") and isinstance(a, Estimate)]
            made[key] = {size: _forest(effects, size) for size in ("wide", "narrow")}
        elif key:
            answer = answers[key]
            made[key] = {size: _figure(key, answer, facts, size) for size in _sizes(answer)}
    return made


def to_html(facts: Mapping[str, Any], drawings: Drawings) -> str:
    """Write facts and their figures as a page.

    Parameters
    ----------
    facts : mapping
        What :func:`causalrel.reports.facts.make_facts` returned.
    drawings : mapping
        What :func:`draw` returned; the only text put in unescaped.

    Returns
    -------
    str
        A self-contained HTML document.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("causalrel.reports", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else display.plain(value),
    )
    environment.filters["cells"] = cells
    environment.tests["numeric"] = numeric
    safe = {
        key: {size: Markup(image) for size, image in images.items()}  # noqa: S704  drawn here, labels escaped
        for key, images in drawings.items()
    }
    return environment.get_template("report.html.jinja").render(facts=facts, drawings=safe)


def _sizes(answer: object) -> tuple[Size, ...]:
    return ("wide",) if isinstance(answer, Graph) else ("wide", "narrow")


def _figure(key: str, answer: Any, facts: Mapping[str, Any], size: Size) -> str:
    more: dict[str, Any] = {"on": facts["on"]} if "on" in facts else {}
    if isinstance(answer, Budget):
        more = {"on": facts.get("on") or worst_of(answer)}
        if "during" in facts:
            more["during"] = tuple(facts["during"])
    return svg(answer, name=f"{key}-{size}", size=size, **more)


def _forest(effects: list[Estimate], size: Size) -> str:
    rows = [
        (f"{item.of}: {item.level} instead of {item.baseline}", *item.parts["burn"])
        for answer in effects
        for item in extracts.contrasts(answer)
        if "burn" in item.parts
    ]
    xlabel = "change in burn (multiples of the budget rate)"
    return forest_svg(rows, xlabel=xlabel, name=f"effects-{size}", size=size)
