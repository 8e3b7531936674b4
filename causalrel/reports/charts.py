"""Charts: each draws one answer on axes it is given and returns the message as a sentence."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from causalrel import display
from causalrel.estimates import Estimate
from causalrel.reports import extracts
from causalrel.windows import Windows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from causalrel.budgets import Budget

#: Label, mean, low and high of one interval.
Row = tuple[str, float, float, float]

#: Colours that stay apart for colour-blind readers (Okabe and Ito 2008); line styles keep them apart in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#000000")
STYLES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 3)))
_INK, _QUIET = "#333333", "#767676"
_MOST_POINTS = 400
_MOST_BARS = 10
_MOST_LANES = 6


def safe(value: object, most: int = 32) -> str:
    """Return a label as the plot library shows it literally: one line, cut, without mathematics.

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
    '\\\\$x\\\\$'
    """
    text = display.plain(value)
    return (text if len(text) <= most else text[: most - 3] + "...").replace("$", r"\$")


def wrapped(text: str, width: int) -> str:
    """Break a title into lines that fit.

    Parameters
    ----------
    text : str
        One sentence.
    width : int
        Characters a line.

    Returns
    -------
    str
        Lines without mathematics.

    Examples
    --------
    >>> wrapped("a b", 1)
    'a\\nb'
    """
    return "\n".join(textwrap.wrap(safe(text, 400), width, break_long_words=True))


def no_answer(ax: Axes, answer: Estimate) -> str:
    """Write why there is nothing to draw."""
    ax.set_axis_off()
    ax.text(0, 0.5, wrapped(f"refused: {answer.why}", 90), transform=ax.transAxes, va="center", color=_INK)
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
    ends: list[float] = [0.0]
    for y, entry in enumerate(shown):
        mean, low, high = entry.burn or entry.events or (0.0, 0.0, 0.0)
        kind = entry.driver if not entry.role else "driver"
        colour, hatch = {"total": ("#595959", ""), "unexplained": ("#ffffff", "////")}.get(kind, (COLOURS[0], ""))
        ax.barh(y, mean, height=0.62, color=colour, hatch=hatch, edgecolor=_QUIET if hatch else colour, linewidth=0.8)
        if high > low:
            ax.errorbar(mean, y, xerr=[[max(mean - low, 0)], [max(high - mean, 0)]], color=_INK, lw=1.2, capsize=3)
        ends += [low, high]
        share = f" ({display.percent(entry.share[0])})" if entry.share and kind == "driver" else ""
        right = max(mean, high, 0.0)
        ax.annotate(
            f"{display.number(mean, 2)}{share}", (right, y), (5, 0), textcoords="offset points", va="center", fontsize=8.5
        )
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
    ax.tick_params(axis="y", length=0)
    top = next((e for e in drivers if e.share), None)
    if top is None or top.share is None:
        return f"No change in the burn of {slo} to explain"
    total = next(e for e in entries if e.driver == "total")
    way = "rise" if (total.burn or total.events or (0.0,))[0] > 0 else "fall"
    return f"{top.driver} explains {display.percent(top.share[0])} of the {way} in burn of {slo}"


def effect_rows(answer: Estimate) -> list[Row]:
    """Return the rows of an effect's forest, in burn multiples where there are any."""
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


def effect(ax: Axes, answer: Estimate, *, wide: bool = True) -> str:
    """Draw an effect as a forest."""
    rows = effect_rows(answer)
    burn = "burn" in answer.terms["quantity"].to_list()
    forest(ax, rows, xlabel="change in burn (multiples of the budget rate)" if burn else answer.unit, wide=wide)
    return answer.question


def forest_height(rows: int) -> float:
    """Return the height in inches that :func:`forest` wants."""
    return 0.42 * max(rows, 1) + 0.75


def forest(ax: Axes, rows: Sequence[Row], *, xlabel: str, wide: bool = True) -> None:
    """Draw intervals, one a row, against zero."""
    ends: list[float] = [0.0]
    for y, (_, mean, low, high) in enumerate(rows):
        ax.plot([low, high], [y, y], color=COLOURS[0], lw=2.2, solid_capstyle="butt")
        ax.plot([mean], [y], "o", color=COLOURS[0], ms=6)
        told = f"{display.number(mean, 2)} [{display.number(low, 2)}, {display.number(high, 2)}]"
        ax.annotate(told, (mean, y), (0, 7), textcoords="offset points", ha="center", fontsize=8)
        ends += [low, high]
    ax.axvline(0, color=_QUIET, lw=0.8)
    ax.set_yticks(range(len(rows)), [wrapped(label, 60 if wide else 20) for label, *_ in rows])
    ax.set_ylim(len(rows) - 0.5, -0.75)
    _room(ax, ends, 0.12 if wide else 0.3, both=True)
    _xlabel(ax, xlabel, wide)
    ax.tick_params(axis="y", length=0)


def fan(ax: Axes, answer: Estimate, *, on: str | None = None) -> str:
    """Draw the share of a budget used over time, as is and changed, with 50 % and 90 % bands."""
    found = [o for o in extracts.outlooks(answer, on) if o.scenario != "difference"]
    slo = on if on in answer.terms["slo"].to_list() else answer.terms["slo"][0]
    said = []
    for outlook, colour, style in zip(found, COLOURS, STYLES, strict=False):
        times: Any = list(outlook.times)
        bands = 100 * np.quantile(outlook.spent, [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
        ax.fill_between(times, bands[0], bands[4], color=colour, alpha=0.15, linewidth=0)
        ax.fill_between(times, bands[1], bands[3], color=colour, alpha=0.25, linewidth=0)
        ax.plot(times, bands[2], color=colour, ls=style, lw=2, label=outlook.scenario)
        said.append(f"{display.number(outlook.gone, 2)} {outlook.scenario}")
    ax.axhline(100, color=_INK, lw=1.2, ls=(0, (2, 2)))
    ax.annotate(
        "budget gone", (0.01, 100), (0, 3), xycoords=("axes fraction", "data"), textcoords="offset points", fontsize=8.5
    )
    low, high = ax.get_ylim()
    ax.set_ylim(min(low, 100) if low > 60 else min(low, 0), max(high, 110))
    ax.set_ylabel(f"{safe(slo)} budget used (%)")
    ax.set_xlabel("time (UTC)")
    if len(found) > 1:
        ax.legend(loc="best", frameon=False, fontsize=8.5)
    return f"Probability that the {slo} budget is gone by {display.when(found[0].times[-1])} UTC: {', '.join(said)}"


def is_budget(x: object) -> bool:
    """Whether something is a :class:`causalrel.Budget`, told by what it holds so that its room need not load."""
    return all(hasattr(x, name) for name in ("table", "timeline", "as_of", "burns"))


def coarse(timeline: pl.DataFrame, slos: dict[str, float]) -> tuple[pl.DataFrame, timedelta]:
    """Return a budget's timeline summed to at most 400 points an SLO, and the width of a point.

    Parameters
    ----------
    timeline : polars.DataFrame
        ``slo``, ``time``, ``total``, ``bad``, ``spent``.
    slos : dict of str to float
        Share of events that may be bad, for each SLO.

    Returns
    -------
    tuple of polars.DataFrame and datetime.timedelta
        The same columns and ``burn``.
    """
    times = timeline["time"].unique().sort()
    width = times.diff().min() if len(times) > 1 else timedelta(hours=1)
    assert isinstance(width, timedelta)
    span = (times[-1] - times[0]) + width
    bins = [timedelta(minutes=m) for m in (5, 15, 30, 60, 180, 360, 720, 1440, 10_080)]
    bin_width = next((b for b in bins if b >= width and span / b <= _MOST_POINTS), max(width, bins[-1]))
    made = (
        timeline.sort("slo", "time")
        .group_by("slo", pl.col("time").dt.truncate(bin_width), maintain_order=True)
        .agg(pl.col("total").sum(), pl.col("bad").sum(), pl.col("spent").last())
    )
    allowed = pl.col("slo").replace_strict(slos, return_dtype=pl.Float64)
    return made.with_columns(burn=pl.when(pl.col("total") > 0).then(pl.col("bad") / pl.col("total") / allowed)), bin_width


def budget_left(ax: Axes, budget: Budget, *, wide: bool = True) -> str:
    """Draw the share of each SLO's budget that is left, over time."""
    allowed = {slo.name: slo.allowed for slo in budget.slos}
    frame, _ = coarse(budget.timeline, allowed)
    worst: tuple[float, str] = (float("inf"), "")
    ends: list[tuple[float, str, str]] = []
    for name, colour, style in zip(allowed, COLOURS * 9, STYLES * 9, strict=False):
        mine = frame.filter((pl.col("slo") == name) & pl.col("spent").is_not_null())
        if mine.is_empty():
            continue
        left = (100 * (1 - mine["spent"])).to_numpy()
        ax.plot(mine["time"].to_list(), left, color=colour, ls=style, lw=1.8, label=safe(name))
        worst = min(worst, (float(left[-1]), name))
        ends.append((float(left[-1]), safe(name, 24 if wide else 12), colour))
    ax.axhline(0, color=_INK, lw=1.2, ls=(0, (2, 2)))
    low, high = ax.get_ylim()
    ax.set_ylim(min(low, -4), max(high, 104))
    _end_labels(ax, ends)
    ax.set_ylabel("budget left (%)")
    ax.set_xlabel("time (UTC)")
    if not worst[1]:
        return "No events to count"
    spent = f"is overspent by {display.percent(-worst[0] / 100)}" if worst[0] < 0 else "left"
    if worst[0] < 0:
        return f"The budget of {worst[1]} {spent}"
    return f"{display.percent(worst[0] / 100)} of the budget of {worst[1]} is {spent}"


def burn(ax: Axes, budget: Budget, *, on: str) -> str:
    """Draw the burn of one SLO in each window, with the alerting bands 1, 6 and 14.4."""
    allowed = {slo.name: slo.allowed for slo in budget.slos}
    frame, width = coarse(budget.timeline, allowed)
    mine = frame.filter((pl.col("slo") == on) & pl.col("burn").is_not_null())
    times, values = mine["time"].to_list(), mine["burn"].to_numpy()
    ax.fill_between(times, 0, values, step="post", color=COLOURS[0], alpha=0.3, linewidth=0)
    ax.step(times, values, where="post", color=COLOURS[0], lw=1)
    top = max(1.6, 1.12 * float(values.max())) if len(values) else 1.6
    for level, what in ((1.0, "1 on pace"), (6.0, "6 ticket"), (14.4, "14.4 page")):
        if level < top:
            ax.axhline(level, color=_INK, lw=0.8, ls=(0, (4, 2)))
            ax.annotate(
                what, (1.005, level), xycoords=("axes fraction", "data"), va="center", fontsize=8, annotation_clip=False
            )
    ax.set_ylim(0, top)
    ax.set_ylabel(f"burn of {safe(on, 20)}\n(times budget rate)")
    ax.set_xlabel(f"time (UTC), burn per {display.length(width)}")
    return f"Burn of {on}"


def bad_share(ax: Axes, windows: Windows) -> str:
    """Draw the share of bad events over time, all units together."""
    said = []
    for slo, colour, style in zip(windows.slos, COLOURS * 9, STYLES * 9, strict=False):
        total, bad = f"{slo.name}.total", f"{slo.name}.bad"
        sums = windows.table.group_by("time").agg(pl.col(total).sum(), pl.col(bad).sum()).sort("time")
        sums = sums.filter(pl.col(total) > 0)
        if sums.is_empty():
            continue
        ax.plot(sums["time"].to_list(), (100 * sums[bad] / sums[total]).to_numpy(), color=colour, ls=style, lw=1.2)
        ax.lines[-1].set_label(safe(slo.name))
        said.append(f"{slo.name} {display.percent(sums[bad].sum() / sums[total].sum())}")
    ax.set_ylabel("bad events (%)")
    ax.set_xlabel("time (UTC)")
    if len(said) > 1:
        ax.legend(frameon=False, fontsize=8.5)
    return f"Share of bad events: {', '.join(said)}" if said else "No events to count"


def change_lanes(changes: Sequence[dict[str, Any]]) -> list[tuple[str, list[tuple[datetime, str]]]]:
    """Sort change events into one lane a variable, the variables that changed least first, six at most."""
    lanes: dict[str, dict[datetime, set[str]]] = {}
    for row in changes:
        lanes.setdefault(str(row["variable"]), {}).setdefault(row["time"], set()).add(str(row["after"]))
    order = sorted(lanes, key=lambda name: (len(lanes[name]), name))[:_MOST_LANES]
    return [(name, [(t, "/".join(sorted(after))) for t, after in sorted(lanes[name].items())]) for name in order]


def change_strip(ax: Axes, lanes: Sequence[tuple[str, list[tuple[datetime, str]]]], *, wide: bool = True) -> None:
    """Draw change events above a time axis, each with its new value where there is room for it."""
    low, high = (float(v) for v in ax.get_xlim())
    for y, (_, events) in enumerate(lanes):
        times: Any = [time for time, _ in events]
        ax.plot(times, [y] * len(times), "|", color=_INK, ms=9, mew=1.2)
        at = [float(v) for v in np.atleast_1d(ax.convert_xunits(times))]
        room = (high - low) / (105 if wide else 38)
        for i, (time, after) in enumerate(events):
            text = safe(after, 14)
            follows = at[i + 1] if i + 1 < len(at) else high
            if room * (len(text) + 1) < follows - at[i]:
                ax.annotate(text, (time, y), (4, 0), textcoords="offset points", va="center", fontsize=8)  # type: ignore[arg-type]
    ax.set_yticks(range(len(lanes)), [safe(name, 24 if wide else 14) for name, _ in lanes])
    ax.set_ylim(len(lanes) - 0.5, -0.5)
    ax.tick_params(axis="both", length=0)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)


def _end_labels(ax: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Write names at the right ends of lines, pushed apart until none overlaps."""
    low, high = ax.get_ylim()
    step = (high - low) * 0.09
    at = -float("inf")
    for value, name, colour in sorted(ends):
        at = max(value, at + step)
        ax.annotate(
            name,
            (1.005, at),
            xycoords=("axes fraction", "data"),
            va="center",
            color=colour,
            fontsize=8.5,
            annotation_clip=False,
        )


def _room(ax: Axes, ends: Sequence[float], more: float, both: bool = False) -> None:
    low, high = min(ends), max(ends)
    span = (high - low) or 1.0
    ax.set_xlim(low - span * (more if both else 0.04), high + span * more)


def _xlabel(ax: Axes, text: str, wide: bool) -> None:
    ax.set_xlabel(text if wide else textwrap.fill(text, 30))
