"""Figures: the one place that knows the plot library; colour-blind safe, told in labels as well as in colour."""

from __future__ import annotations

import io
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from causalrel import errors
from causalrel.budgets import Budget
from causalrel.estimates import Estimate
from causalrel.graphs import Graph
from causalrel.networks import Network
from causalrel.reports import charts, diagrams, frontiers, responses, timelines
from causalrel.windows import Windows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Size = Literal["wide", "narrow"]

#: Inches; a wide figure fills a column of 860 pixels, a narrow one a telephone.
_WIDTHS: dict[Size, float] = {"wide": 8.9, "narrow": 3.8}

_STYLE: Any = {
    "axes.edgecolor": "#767676",
    "axes.labelcolor": "#333333",
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "date.converter": "concise",
    "figure.facecolor": "white",
    "font.size": 9,
    "hatch.linewidth": 0.6,
    "savefig.facecolor": "white",
    "svg.fonttype": "none",
    "svg.hashsalt": "causalrel",
    "timezone": "UTC",
    "xtick.color": "#4d4d4d",
    "xtick.labelsize": 8.5,
    "ytick.color": "#4d4d4d",
    "ytick.labelsize": 8.5,
}

_TAG = re.compile(r"<[^<>]*>")
_FONTS = re.compile(r"'[^']*'(?:, '[^']*')*, sans-serif")


def plot(x: Budget | Estimate | Graph | Network | Windows, *, ax: Axes | None = None) -> Axes:
    """Draw a budget, an answer, a graph, a network or windows.

    Parameters
    ----------
    x : Budget, Estimate, Graph, Network or Windows
        What to draw. An attribution becomes bars that add up, an effect a forest of its contrasts,
        classes, stages or paths, or at three or more numeric levels the response with a band that holds for all at
        once, a forecast or what-if a fan, an envelope its band in the unit farthest out, a graph
        (or a network's) layers from workload to outcome, windows the bad share. A budget becomes what is left over
        time, shaded where alerts of the SLO with the least left fire, above its burn and the change events.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure where not given. A budget draws what is left alone on axes that are given.

    Returns
    -------
    matplotlib.axes.Axes
        The axes drawn on, their title the message.

    Raises
    ------
    CausalrelError
        When nothing is known about drawing ``x``.

    Examples
    --------
    >>> from causalrel.graphs import Graph
    >>> roles = {"load": "workload", "queue_s": "engine", "ttft": "outcome"}
    >>> ax = plot(Graph.from_edges([("load", "queue_s"), ("queue_s", "ttft")], roles=roles))
    >>> ax.get_title(loc="left")
    'graph: 3 variables, 2 causal edges'
    """
    draw, inches = _drawing(x)
    if ax is not None:
        ax.set_title(charts.wrapped(draw(ax), 80), loc="left")
        return ax
    figure = _shown_figure(_WIDTHS["wide"], inches)
    with _style():
        if isinstance(x, Budget):
            return _draw_budget(figure, x)
        made = figure.add_subplot()
        made.set_title(charts.wrapped(draw(made), 80), loc="left")
    return made


def svg(answer: Budget | Estimate | Graph, *, name: str, size: Size, **more: Any) -> str:
    """Draw one answer of a report as an SVG element.

    Parameters
    ----------
    answer : Budget, Estimate or Graph
        What to draw.
    name : str
        Prefix of every identifier inside, unique on its page.
    size : {"wide", "narrow"}
        For a page column or for a telephone.
    **more : object
        Passed to the drawing: ``on``, ``during``.

    Returns
    -------
    str
        One ``svg`` element, the same bytes each time, without scripts, links or dates.

    Examples
    --------
    >>> from causalrel.graphs import Graph
    >>> graph = Graph.from_edges([("load", "ttft")], roles={"load": "workload", "ttft": "outcome"})
    >>> svg(graph, name="g", size="wide").startswith("<svg ")
    True
    """
    with _style():
        if isinstance(answer, Budget):
            figure = _figure(_WIDTHS[size], sum(_budget_heights(answer)) + 0.5)
            _draw_budget(figure, answer, wide=size == "wide", **more).set_title("", loc="left")
        else:
            draw, inches = _drawing(answer, wide=size == "wide", **more)
            figure = _figure(_WIDTHS[size], inches)
            draw(figure.add_subplot())
        return _element(figure, name)


def forest_svg(rows: Sequence[charts.Row], *, xlabel: str, name: str, size: Size) -> str:
    """Draw labelled intervals as an SVG element.

    Parameters
    ----------
    rows : sequence of (label, mean, low, high)
        One interval a row, from top to bottom.
    xlabel : str
        Axis label with its unit.
    name : str
        Prefix of every identifier inside.
    size : {"wide", "narrow"}
        For a page column or for a telephone.

    Returns
    -------
    str
        One ``svg`` element.

    Examples
    --------
    >>> "batch" in forest_svg([("batch", 1.0, 0.5, 1.5)], xlabel="burn", name="f", size="narrow")
    True
    """
    with _style():
        figure = _figure(_WIDTHS[size], charts.forest_height(len(rows)))
        charts.forest(figure.add_subplot(), rows, xlabel=xlabel, wide=size == "wide")
        return _element(figure, name)


@contextmanager
def _style() -> Iterator[None]:
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        kept: Any = {
            key: value for key, value in mpl.rcParamsDefault.items() if not key.startswith(("backend", "interactive"))
        }
        mpl.rcParams.update({**kept, **_STYLE})
        yield


def _shown_figure(width: float, height: float) -> Figure:
    """Return a figure a notebook shows by itself, elsewhere one unknown to pyplot.

    Its first figure sets a notebook's backend up, which must not happen inside a style.
    """
    running = sys.modules.get("IPython")
    if running is None or not hasattr(running.get_ipython(), "kernel"):
        return _figure(width, height)
    import matplotlib.pyplot as plt

    return plt.figure(figsize=(width, height), layout="constrained")


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _drawing(x: object, wide: bool = True, **more: Any) -> tuple[Callable[[Axes], str], float]:
    """Return what draws ``x`` on axes and returns its message, and the height it wants in inches."""
    if isinstance(x, Network):
        x = x.graph
    if isinstance(x, Graph):
        layout = diagrams.arrange(x)
        return lambda ax: diagrams.draw(ax, x, layout), layout.inches
    if isinstance(x, Windows):
        return lambda ax: timelines.bad_share(ax, x), 3.2
    if isinstance(x, Budget):
        return lambda ax: timelines.budget_left(ax, x, on=timelines.worst_of(x)), sum(_budget_heights(x)) + 0.8
    if not isinstance(x, Estimate):
        raise errors.bad_question(
            f"plot cannot draw a {type(x).__name__}", "give a Budget, Estimate, Graph, Network or Windows"
        )
    return _answered(x, wide=wide, **more)


def _answered(x: Estimate, *, wide: bool, **more: Any) -> tuple[Callable[[Axes], str], float]:
    """Return what draws an answer, by the columns of its terms."""
    if x.verdict == "refused":
        return lambda ax: charts.no_answer(ax, x), 1.2
    if "driver" in x.terms.columns:
        return lambda ax: charts.ledger(ax, x, wide=wide), charts.ledger_height(x)
    if {"scenario", "tail"} & set(x.terms.columns):
        drawn = timelines.band if "tail" in x.terms.columns else timelines.fan
        return lambda ax: drawn(ax, x, on=more.get("on")), 3.4
    if {"node", "share"} <= set(x.terms.columns):
        return lambda ax: charts.nodes(ax, x, wide=wide), charts.nodes_height(x)
    if "configuration" in x.terms.columns:
        return lambda ax: frontiers.frontier(ax, x, wide=wide), 4.0
    if responses.has_response(x):
        return lambda ax: responses.response(ax, x), 3.2
    if {"group", "when", "path"} & set(x.terms.columns):
        return lambda ax: responses.parts(ax, x, wide=wide), responses.parts_height(x)
    rows = charts.effect_rows(x)
    return lambda ax: charts.effect(ax, x, wide=wide), charts.forest_height(len(rows))


def _budget_heights(budget: Budget) -> list[float]:
    """Return the heights in inches of what is left, of the burn, and of change events where there are any."""
    lanes = timelines.change_lanes(budget.changes)
    return [2.5, 1.9] + ([0.28 * len(lanes) + 0.15] if lanes else [])


def _draw_budget(
    figure: Figure,
    budget: Budget,
    *,
    on: str = "",
    during: tuple[datetime, datetime] | None = None,
    wide: bool = True,
) -> Axes:
    """Stack budget left, burn and change events over one time axis; return the first panel, its title the message."""
    on = on or timelines.worst_of(budget)
    heights, lanes = _budget_heights(budget), timelines.change_lanes(budget.changes)
    panels = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    panels[0].set_title(charts.wrapped(timelines.budget_left(panels[0], budget, on=on, wide=wide), 80), loc="left")
    timelines.burn(panels[1], budget, on=on)
    panels[0].set_xlim(budget.timeline["time"].min(), budget.as_of)
    if lanes:
        timelines.change_strip(panels[2], lanes, wide=wide)
        panels[2].set_xlabel(panels[1].get_xlabel())
    for panel in panels:
        if during is not None:
            panel.axvspan(*during, color="#d9d9d9", alpha=0.5, linewidth=0, zorder=0)
    for panel in panels[:2]:
        timelines.mark_changes(panel, lanes)
    for panel in panels[:-1]:
        panel.set_xlabel("")
    first: Axes = panels[0]
    return first


def _element(figure: Figure, name: str) -> str:
    _settle(figure)
    buffer = io.StringIO()
    empty = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(buffer, format="svg", metadata=empty)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'<style type="text/css">.*?</style>', "", text, flags=re.DOTALL)
    return _TAG.sub(lambda tag: _own(tag[0], name), text).strip()


def _settle(figure: Figure) -> None:
    """Lay out once and round, as the solver's last bits differ from run to run."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = (round(value, 4) for value in axes.get_position().bounds)
        axes.set_position((left, bottom, width, height))


def _own(tag: str, name: str) -> str:
    """Rewrite one tag: identifiers of this figure alone, sizes left to the page, the reader's own font."""
    tag = re.sub(r'\bid="([^"]*)"', rf'id="{name}-\1"', tag)
    tag = re.sub(r'href="#([^"]*)"', rf'href="#{name}-\1"', tag)
    tag = re.sub(r"url\(#([^)]*)\)", rf"url(#{name}-\1)", tag)
    tag = _FONTS.sub("sans-serif", tag)
    if tag.startswith("<svg"):
        tag = re.sub(r'\s(?:width|height)="[^"]*"', "", tag)
        tag = tag.replace("<svg", '<svg stroke-linejoin="round" aria-hidden="true" focusable="false"', 1)
    return tag
