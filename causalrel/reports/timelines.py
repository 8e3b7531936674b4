"""Timelines: charts over time, each drawn on axes it is given."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from causalrel import display
from causalrel.budgets import Budget
from causalrel.budgets.alerts import RULES, threshold_of
from causalrel.estimates import Estimate
from causalrel.reports import extracts
from causalrel.reports.charts import COLOURS, INK, STYLES, safe
from causalrel.reports.tables import chance
from causalrel.windows import Windows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Shades of alerts, from the lightest to the darkest.
SEVERITIES = {"ticket": "#f5e6b3", "page": "#f0b69a"}

_MOST_POINTS = 400
_MOST_LANES = 6
_FEW = 8
#: Burn that spends a budget of 30 days in time, in 5 days and in 50 hours; the workbook pages at the last two.
_BANDS = ((1.0, "1 on pace", "#f5e6b3"), (6.0, "6 page", "#f0b69a"), (14.4, "14.4 page", "#e08a63"))


def fan(ax: Axes, answer: Estimate, *, on: str | None = None) -> str:
    """Draw the share of a budget used over time, as is and changed, with 50 % and 90 % bands."""
    slo = on if on in answer.terms["slo"].to_list() else answer.terms["slo"][0]
    found = [o for o in extracts.outlooks(answer, slo) if o.scenario != "difference"]
    said = []
    for outlook, colour, style in zip(found, COLOURS, STYLES, strict=False):
        times: Any = list(outlook.times)
        bands = 100 * np.quantile(outlook.spent, [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
        ax.fill_between(times, bands[0], bands[4], color=colour, alpha=0.15, linewidth=0)
        ax.fill_between(times, bands[1], bands[3], color=colour, alpha=0.25, linewidth=0)
        ax.plot(times, bands[2], color=colour, ls=style, lw=2, label=outlook.scenario)
        said.append(f"{chance(outlook.gone)} {outlook.scenario}")
    ax.axhline(100, color=INK, lw=1.2, ls=(0, (2, 2)))
    _beside(ax, 100, "gone", INK)
    low, high = ax.get_ylim()
    ax.set_ylim(min(low, 100) if low > 60 else min(low, 0), max(high, 110))
    ax.set_ylabel(f"{safe(slo, 20)} budget used (%)")
    ax.set_xlabel("time (UTC)")
    if len(found) > 1:
        ax.legend(loc="best", frameon=False, fontsize=8.5)
    start = f"{answer.decision.capitalize()}: probability" if answer.decision else "Probability"
    return f"{start} that the {slo} budget is gone by {display.when(found[0].times[-1])} UTC: {', '.join(said)}"


def band(ax: Axes, answer: Estimate, *, on: str | None = None) -> str:
    """Draw the envelope of one SLI in the unit with the most windows outside, and what was seen."""
    name = on if on in answer.terms["slo"].to_list() else answer.terms["slo"][0]
    frame = answer.frame(extracts.PROB).filter(pl.col("slo") == name, pl.col("quantity") != "outside")
    out = (pl.col("seen") < pl.col("low")) | (pl.col("seen") > pl.col("high"))
    counts = frame.group_by("member", maintain_order=True).agg(out.sum().alias("out")).sort("out", "member").rows()
    member, count = counts[-1]
    mine = frame.filter(pl.col("member") == member).sort("time").with_columns(out=out)
    times: Any = mine["time"].to_list()
    ax.fill_between(times, mine["low"], mine["high"], color=COLOURS[0], alpha=0.2, linewidth=0, label="90% envelope")
    ax.plot(times, mine["mean"].to_numpy(), color=COLOURS[0], lw=1.2)
    for outside, colour, mark in ((False, INK, "."), (True, COLOURS[1], "x")):
        one = mine.filter(pl.col("out") == outside)
        at: Any = one["time"].to_list()
        ax.plot(at, one["seen"].to_numpy(), mark, color=colour, ms=5, label="outside" if outside else "inside")
    unit = mine["unit"][0]
    ax.set_ylabel(f"{safe(name, 20)}{'' if unit == '1' else f' ({safe(unit, 12)})'} of {safe(member, 20)}")
    ax.set_xlabel("time (UTC)")
    ax.legend(loc="best", frameon=False, fontsize=8.5)
    return f"{name} of {member} was outside its envelope in {count} of {mine.height} windows"


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
    times: list[datetime] = timeline["time"].unique().sort().to_list()
    width = min((after - before for before, after in pairwise(times)), default=timedelta(hours=1))
    span = times[-1] - times[0] + width
    bins = [timedelta(minutes=m) for m in (5, 15, 30, 60, 180, 360, 720, 1440, 10_080)]
    bin_width = next((b for b in bins if b >= width and span / b <= _MOST_POINTS), max(width, bins[-1]))
    made = (
        timeline.sort("slo", "time")
        .group_by("slo", pl.col("time").dt.truncate(bin_width), maintain_order=True)
        .agg(pl.col("total").sum(), pl.col("bad").sum(), pl.col("spent").last())
    )
    allowed = pl.col("slo").replace_strict(slos, return_dtype=pl.Float64)
    return made.with_columns(
        burn=pl.when(pl.col("total") > 0).then(pl.col("bad") / pl.col("total") / allowed)
    ), bin_width


def worst_of(budget: Budget) -> str:
    """Return the SLO of whose budget the least is left."""
    last = budget.timeline.drop_nulls("spent").group_by("slo", maintain_order=True).agg(pl.col("spent").last())
    spent = dict(last.rows())
    return max((slo.name for slo in budget.slos), key=lambda name: spent.get(name, -1.0))


def alerting(budget: Budget, on: str) -> list[tuple[str, datetime, datetime]]:
    """Return the spans in which a burn-rate alert of the workbook fires, by severity; a page hides a ticket.

    Parameters
    ----------
    budget : Budget
        Its timeline is what is looked at; a rule whose windows the timeline's do not fill is left out.
    on : str
        The SLO.

    Returns
    -------
    list of (severity, start, end)
        In order of time, UTC; each starts where the first window ends at whose end an alert fires.
    """
    slo = next(slo for slo in budget.slos if slo.name == on)
    events = budget.timeline.filter(slo=on).select("time", pl.col("total", "bad").cast(pl.Float64)).sort("time")
    severity = dict.fromkeys(events["time"], "")
    for which, long, short, share in reversed(RULES):
        if long >= slo.period or long % budget.width or short % budget.width:
            continue
        high = pl.col("bad").sum() > threshold_of(slo.period, long, share) * slo.allowed * pl.col("total").sum()
        fires = [events.rolling("time", period=length).agg(high=high)["high"] for length in (long, short)]
        severity |= dict.fromkeys(events["time"].filter(fires[0] & fires[1]), which)
    spans: list[tuple[str, datetime, datetime]] = []
    for time, which in severity.items():
        start = time + budget.width
        if spans and spans[-1][0] == which and spans[-1][2] == start:
            spans[-1] = (which, spans[-1][1], start + budget.width)
        elif which:
            spans.append((which, start, start + budget.width))
    return spans


def budget_left(ax: Axes, budget: Budget, *, on: str, wide: bool = True) -> str:
    """Draw the share of each SLO's budget that is left, over time, and when alerts of one of them fire."""
    allowed = {slo.name: slo.allowed for slo in budget.slos}
    frame, _ = coarse(budget.timeline, allowed)
    ends: list[tuple[float, str, str]] = []
    for name, colour, style in zip(allowed, COLOURS * 9, STYLES * 9, strict=False):
        mine = frame.filter((pl.col("slo") == name) & pl.col("spent").is_not_null())
        if mine.is_empty():
            continue
        left = (100 * (1 - mine["spent"])).to_numpy()
        width = 2.6 if name == on and len(allowed) > 1 else 1.6
        ax.plot(mine["time"].to_list(), left, color=colour, ls=style, lw=width, label=safe(name))
        ends.append((float(left[-1]), safe(name, 24 if wide else 12), colour))
    ax.axhline(0, color=INK, lw=1.2, ls=(0, (2, 2)))
    low, high = ax.get_ylim()
    ax.set_ylim(min(low, -4), max(high, 104))
    ax.margins(x=0.01)
    _end_labels(ax, ends)
    _shade(ax, alerting(budget, on), safe(on, 20))
    ax.set_ylabel("budget left (%)")
    ax.set_xlabel("time (UTC)")
    if not ends:
        return "No events to count"
    least, worst = min(value for value, _, _ in ends), worst_of(budget)
    if least < 0:
        return f"The budget of {worst} is overspent by {display.percent(-least / 100)}"
    return f"{display.percent(least / 100)} of the budget of {worst} is left"


def _shade(ax: Axes, spans: Sequence[tuple[str, datetime, datetime]], name: str) -> None:
    """Shade the spans in which alerts fire, pages darker than tickets."""
    seen: dict[str, Any] = {}
    for which, *ends in spans:
        span: Any = ends
        seen[which] = ax.axvspan(*span, color=SEVERITIES[which], alpha=0.45, linewidth=0, zorder=0)
    if seen:
        names = [which for which in SEVERITIES if which in seen]
        shown = [f"{which} of {name}" for which in names]
        ax.legend([seen[which] for which in names], shown, loc="lower left", frameon=False, fontsize=8, ncols=2)


def burn(ax: Axes, budget: Budget, *, on: str) -> str:
    """Draw the burn of one SLO in each window, over bands that begin at 1, 6 and 14.4."""
    allowed = {slo.name: slo.allowed for slo in budget.slos}
    frame, width = coarse(budget.timeline, allowed)
    mine = frame.filter((pl.col("slo") == on) & pl.col("burn").is_not_null())
    times, values = mine["time"].to_list(), mine["burn"].to_numpy()
    if times:
        times, values = [*times, times[-1] + width], np.append(values, values[-1])
    top = max(1.6, 1.12 * float(values.max())) if len(values) else 1.6
    ends = [level for level, _, _ in _BANDS[1:]] + [top]
    for (level, what, colour), end in zip(_BANDS, ends, strict=True):
        if level < top:
            ax.axhspan(level, min(end, top), color=colour, alpha=0.35, linewidth=0, zorder=0)
            ax.axhline(level, color=INK, lw=0.6, ls=(0, (4, 2)))
            _beside(ax, level, what, INK)
    ax.fill_between(times, 0, values, step="post", color=COLOURS[0], alpha=0.3, linewidth=0)
    ax.step(times, values, where="post", color=COLOURS[0], lw=1)
    ax.set_ylim(0, top)
    ax.set_ylabel(f"burn of {safe(on, 20)}\n(times budget rate,\nper {display.length(width)})")
    ax.set_xlabel("time (UTC)")
    ax.margins(x=0.01)
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
        said.append(f"{slo.name} {display.percent(float(sums[bad].sum()) / float(sums[total].sum()))}")
    ax.set_ylabel("bad events (%)")
    ax.set_xlabel("time (UTC)")
    if len(said) > 1:
        ax.legend(frameon=False, fontsize=8.5)
    return f"Share of bad events: {', '.join(said)}" if said else "No events to count"


def change_lanes(changes: pl.DataFrame | None) -> list[tuple[str, list[tuple[datetime, str]]]]:
    """Sort change events into one lane a variable, the variables that changed least first, six at most."""
    lanes: dict[str, dict[datetime, set[str]]] = {}
    for row in changes.iter_rows(named=True) if changes is not None else ():
        lanes.setdefault(str(row["variable"]), {}).setdefault(row["time"], set()).add(str(row["after"]))
    order = sorted(lanes, key=lambda name: (len(lanes[name]), name))[:_MOST_LANES]
    return [(name, [(t, "/".join(sorted(after))) for t, after in sorted(lanes[name].items())]) for name in order]


def mark_changes(ax: Axes, lanes: Sequence[tuple[str, list[tuple[datetime, str]]]]) -> None:
    """Draw a thin line at each change of the variables that changed a few times only."""
    times: Any = sorted({time for _, events in lanes if len(events) <= _FEW for time, _ in events})
    for time in times:
        ax.axvline(time, color=INK, lw=0.6, ls=(0, (1, 2)), zorder=1)


def change_strip(ax: Axes, lanes: Sequence[tuple[str, list[tuple[datetime, str]]]], *, wide: bool = True) -> None:
    """Draw change events above a time axis, each with its new value where there is room for it."""
    low, high = ax.get_xlim()
    unit: Any = ax.xaxis
    for y, (_, events) in enumerate(lanes):
        times: Any = [time for time, _ in events]
        ax.plot(times, [y] * len(times), "|", color=INK, ms=9, mew=1.2)
        at = [float(value) for value in unit.convert_units(times)]
        room = (high - low) / 105
        for i, (when, (_, after)) in enumerate(zip(at, events, strict=True)):
            text = safe(after, 14)
            follows = at[i + 1] if i + 1 < len(at) else high
            if wide and room * (len(text) + 1) < follows - when:
                ax.annotate(text, (when, y), (4, 0), textcoords="offset points", va="center", fontsize=8)
    ax.set_yticks(range(len(lanes)), [safe(name, 24 if wide else 14) for name, _ in lanes])
    ax.set_ylim(len(lanes) - 0.5, -0.5)
    ax.tick_params(axis="both", length=0)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)


def _end_labels(ax: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Write names at the right ends of lines, pushed apart until none overlaps, each led to its line."""
    low, high = ax.get_ylim()
    step = (high - low) * 0.09
    order = sorted(ends)
    up, down = [value for value, _, _ in order], [value for value, _, _ in order]
    for i in range(1, len(order)):
        up[i] = max(up[i], up[i - 1] + step)
        down[-1 - i] = min(down[-1 - i], down[-i] - step)
    frame: Any = ("axes fraction", "data")
    for (value, name, colour), above, below in zip(order, up, down, strict=True):
        ax.annotate(
            name,
            (1, value),
            (1.025, (above + below) / 2),
            xycoords=frame,
            textcoords=frame,
            va="center",
            color=colour,
            fontsize=8.5,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.6, "shrinkA": 1, "shrinkB": 0, "relpos": (0, 0.5)},
        )


def _beside(ax: Axes, y: float, text: str, colour: str) -> None:
    """Write to the right of the axes, level with a value."""
    where: Any = ("axes fraction", "data")
    ax.annotate(text, (1.005, y), xycoords=where, va="center", color=colour, fontsize=8.5, annotation_clip=False)
