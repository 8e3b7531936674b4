"""Charts: each draws one answer on axes it is given and returns the message as a sentence."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from causalrel import display
from causalrel.estimates import Estimate
from causalrel.reports import extracts
from causalrel.reports.tables import aligned, cells, chance, make_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Label, mean, low and high of one interval.
Row = tuple[str, float, float, float]

#: Colours that stay apart for colour-blind readers (Okabe and Ito 2008); line styles keep them apart in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#000000")
STYLES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (9, 3)))
INK, _QUIET = "#333333", "#767676"
_MOST_BARS = 10
#: Probability below which the share of a node is not told.
_FAINT = 0.02


def safe(value: object, most: int = 32) -> str:
    r"""Return a label as the plot library shows it literally: one line, cut, without mathematics.

    Parameters
    ----------
    value : object
        A label from the data.
    most : int
        Characters kept.

    Returns
    -------
    str
        Text.

    Examples
    --------
    >>> safe("$x$")
    '\\$x\\$'
    """
    text = display.plain(value)
    return (text if len(text) <= most else text[: most - 3] + "...").replace("$", r"\$")


def wrapped(text: str, width: int, most: int = 400) -> str:
    r"""Break a title into lines that fit.

    Parameters
    ----------
    text : str
        One sentence.
    width : int
        Characters a line.
    most : int
        Characters in all.

    Returns
    -------
    str
        Lines without mathematics.

    Examples
    --------
    >>> wrapped("a b", 1)
    'a\nb'
    """
    return "\n".join(textwrap.wrap(safe(text, most), width, break_long_words=True))


def no_answer(ax: Axes, answer: Estimate) -> str:
    """Write why there is nothing to draw."""
    ax.set_axis_off()
    ax.text(0, 0.5, wrapped(f"refused: {answer.why}", 90), transform=ax.transAxes, va="center", color=INK)
    return f"Refused: {answer.question}"


def ledger_height(answer: Estimate) -> float:
    """Return the height in inches that :func:`ledger` wants."""
    return 0.32 * min(len(extracts.ledger(answer)), _MOST_BARS + 3) + 0.75


def ledger(ax: Axes, answer: Estimate, *, wide: bool = True) -> str:
    """Draw an attribution as bars with intervals; drivers and unexplained add up to the total."""
    entries = extracts.ledger(answer)
    drivers = [e for e in entries if e.driver not in ("unexplained", "total")]
    shown = drivers[:_MOST_BARS] + [e for e in entries if e.driver in ("unexplained", "total")]
    slo = answer.terms["slo"][0]
    parts = [entry.burn or entry.events or (0.0, 0.0, 0.0) for entry in shown]
    texts = aligned([part[0] for part in parts])
    shares = aligned([entry.share[0] if entry.share else 0.0 for entry in shown], percent=True)
    ends: list[float] = [0.0]
    for y, (entry, (mean, low, high)) in enumerate(zip(shown, parts, strict=True)):
        kind = entry.driver if not entry.role else "driver"
        colour, hatch = {"total": ("#595959", ""), "unexplained": ("#ffffff", "////")}.get(kind, (COLOURS[0], ""))
        ax.barh(y, mean, height=0.62, color=colour, hatch=hatch, edgecolor=_QUIET if hatch else colour, linewidth=0.8)
        if high > low:
            ax.errorbar(mean, y, xerr=[[max(mean - low, 0)], [max(high - mean, 0)]], color=INK, lw=1.2, capsize=3)
        ends += [low, high]
        told = texts[y] + (f" ({shares[y]})" if entry.share and kind == "driver" else "")
        right = max(mean, high, 0.0)
        ax.annotate(told, (right, y), (5, 0), textcoords="offset points", va="center", fontsize=8.5)
    ax.axvline(0, color=_QUIET, lw=0.8)
    if any(e.driver == "total" for e in shown):
        ax.axhline(len(shown) - 1.5, color=_QUIET, lw=0.6)
    labels = [safe(e.driver, 40 if wide else 18) + (f"\n{e.role}" if e.role else "") for e in shown]
    if wide:
        labels = [label.replace("\n", " (") + ")" if "\n" in label else label for label in labels]
    ax.set_yticks(range(len(shown)), labels)
    ax.invert_yaxis()
    _room(ax, ends, 0.22 if wide else 0.5)
    _xlabel(ax, "change in burn (multiples of the budget rate)", wide)
    _bare(ax)
    top = next((e for e in drivers if e.share), None)
    if top is None or top.share is None:
        return f"No change in the burn of {slo} to explain"
    total = next(e for e in entries if e.driver == "total")
    way = "rise" if (total.burn or total.events or (0.0,))[0] > 0 else "fall"
    return f"{top.driver} explains {display.percent(top.share[0])} of the {way} in burn of {slo}"


def effect_rows(answer: Estimate) -> list[Row]:
    """Return the rows of an effect's forest, in burn multiples where there are any."""
    if "metric" in answer.terms.columns:
        return [
            (f"{name} up to {display.number(float(answer.select(metric=name).draws[:, 0].mean()))} {unit}", *below)
            for name, unit, below in (
                (row["metric"], row["unit"], extracts.interval(answer.select(metric=row["metric"]).draws[:, 1]))
                for row in answer.terms.filter(pl.col("quantity") == "bound").iter_rows(named=True)
            )
        ]
    if "since" in answer.terms.columns:
        return _drift_rows(answer)
    found = extracts.contrasts(answer) if "of" in answer.terms.columns else []
    if not found:
        keys = [c for c in answer.terms.columns if c != "unit"]
        frame = answer.frame(extracts.PROB)
        return [
            (" ".join(display.cell(row[k]) for k in keys), row["mean"], row["low"], row["high"])
            for row in frame.iter_rows(named=True)
        ]
    rows = []
    for item in found:
        quantity = "burn" if "burn" in item.parts else next(iter(item.parts))
        rows.append((f"{item.of} {item.level} vs {item.baseline}: {item.slo}", *item.parts[quantity]))
    return rows


def _drift_rows(answer: Estimate) -> list[Row]:
    """Return changes of mechanisms of different units, each over its own standard deviation."""
    rows = []
    for row in answer.frame(extracts.PROB).sort("p").iter_rows(named=True):
        unit = "" if row["unit"] == "1" else f" {row['unit']}"
        moved = f"{row['slo']} {display.number(row['mean'])}{unit}"
        told = f"{moved} since {display.when(row['since'])}, p {display.number(row['p'], 2)}"
        rows.append((told, *(row[part] / (row["sd"] or 1.0) for part in ("mean", "low", "high"))))
    return rows


def effect(ax: Axes, answer: Estimate, *, wide: bool = True) -> str:
    """Draw an effect as a forest."""
    rows = effect_rows(answer)
    burn = "burn" in answer.terms["quantity"].to_list()
    xlabel = "change in burn (multiples of the budget rate)" if burn else answer.unit
    xlabel = "change over its own standard deviation" if "since" in answer.terms.columns else xlabel
    forest(ax, rows, xlabel="share of the windows below" if "metric" in answer.terms.columns else xlabel, wide=wide)
    return answer.question


def nodes_height(answer: Estimate) -> float:
    """Return the height in inches that :func:`nodes` wants."""
    return 0.32 * min(answer.terms.height, _MOST_BARS) + 0.8


def nodes(ax: Axes, answer: Estimate, *, wide: bool = True) -> str:
    """Draw the probability that an incident began at each node, the most probable first."""
    found = answer.frame(extracts.PROB).head(_MOST_BARS)
    for y, row in enumerate(found.iter_rows(named=True)):
        blank = row["share"] is None
        ax.barh(y, row["mean"], color="#c9c9c9" if blank else COLOURS[0], height=0.62)
        ax.plot([row["low"], row["high"]], [y, y], color=INK, lw=1.2)
        part = "" if blank or row["mean"] < _FAINT else f", {display.percent(row['share'])} of the excess"
        ax.annotate(f"{chance(row['mean'])}{part}", (row["high"], y), (5, 0), textcoords="offset points", va="center")
    ax.set_yticks(range(found.height), [safe(name, 34 if wide else 18) for name in found["node"]])
    ax.set_ylim(found.height - 0.5, -0.5)
    ax.set_xlim(0, 1.45 if wide else 1.9)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1.0])
    _xlabel(ax, "probability that it began there", wide)
    _bare(ax)
    first = found.row(0, named=True)
    who = "Nothing in the graph" if first["share"] is None else display.plain(first["node"])
    return f"{who} is the most likely to be behind {first['slo']}, with probability {chance(first['mean'])}"


def forest_height(rows: int) -> float:
    """Return the height in inches that :func:`forest` wants."""
    return 0.42 * max(rows, 1) + 0.75


def forest(ax: Axes, rows: Sequence[Row], *, xlabel: str, wide: bool = True) -> None:
    """Draw intervals, one a row, against zero."""
    texts = cells(make_table("", {"": "interval"}, [[row[1:]] for row in rows]))
    ends: list[float] = [0.0]
    for y, (_, mean, low, high) in enumerate(rows):
        ax.plot([low, high], [y, y], color=COLOURS[0], lw=2.2, solid_capstyle="butt")
        ax.plot([mean], [y], "o", color=COLOURS[0], ms=6)
        ax.annotate(texts[y][0], (mean, y), (0, 7), textcoords="offset points", ha="center", fontsize=8)
        ends += [low, high]
    ax.axvline(0, color=_QUIET, lw=0.8)
    ax.set_yticks(range(len(rows)), [wrapped(label, 44 if wide else 20, 60) for label, *_ in rows])
    ax.set_ylim(len(rows) - 0.5, -0.75)
    _room(ax, ends, 0.12 if wide else 0.3, both=True)
    _xlabel(ax, xlabel, wide)
    _bare(ax)


def _room(ax: Axes, ends: Sequence[float], more: float, both: bool = False) -> None:
    low, high = min(ends), max(ends)
    span = (high - low) or 1.0
    ax.set_xlim(low - span * (more if both else 0.04), high + span * more)


def _bare(ax: Axes) -> None:
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def _xlabel(ax: Axes, text: str, wide: bool) -> None:
    ax.set_xlabel(text if wide else textwrap.fill(text, 30))
