"""Frontiers: what every configuration costs against how surely it meets all SLOs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from causalrel import display
from causalrel.estimates import Estimate
from causalrel.reports import extracts
from causalrel.reports.charts import COLOURS, INK, safe
from causalrel.reports.extracts import Point
from causalrel.reports.tables import chance

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_QUIET = "#9a9a9a"
_PAPER = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
_MOST_LABELS = 7


def frontier(ax: Axes, answer: Estimate, *, wide: bool = True) -> str:
    """Draw cost against the probability that all SLOs are met; return the message."""
    points = extracts.frontier(answer)
    best = next(point for point in points if point.name == answer.decision)
    now = next((point for point in points if point.name == "as is"), best)
    edge = [point for point in points if not point.beaten]
    ax.step([p.cost for p in edge], [100 * p.met for p in edge], where="post", color=COLOURS[0], lw=1.4, zorder=2)
    _scatter(ax, points)
    ax.plot(best.cost, 100 * best.met, "o", ms=15, mfc="none", mec=COLOURS[1], mew=2, zorder=5, label="recommended")
    if now is not best:
        ax.plot(now.cost, 100 * now.met, "D", ms=7, color=INK, zorder=4, label="as is")
    target = 100 * float(answer.select(quantity="target").draws[0, 0])
    ax.axhline(target, color=INK, lw=1, ls=(0, (4, 3)), zorder=1)
    beside: Any = ("axes fraction", "data")
    said = f"asked:\n{target:g}%"
    ax.annotate(said, (1.005, target), xycoords=beside, va="center", fontsize=8.5, annotation_clip=False)
    ax.set_ylim(-6, 114)
    ax.margins(x=0.14)
    _name(ax, best, [point for point in edge if point is not now], now, wide=wide)
    ax.set_yticks(range(0, 101, 20))
    ax.set_ylabel("probability that all SLOs are met (%)")
    ax.set_xlabel("cost of the configuration")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=5 if wide else 2, frameon=False, fontsize=8.5)
    more = "" if now is best else f"; as things are {chance(now.met)} at {display.number(now.cost)}"
    return (
        f"Cheapest that is sure enough: {best.name}, all SLOs met with probability {chance(best.met)} at a cost of "
        f"{display.number(best.cost)}{more}"
    )


def _scatter(ax: Axes, points: Sequence[Point]) -> None:
    """Draw the points in groups: filled where seen, hollow where interpolated or simulated, grey where beaten."""
    for support, mark, fill in (("seen", "o", True), ("interpolated", "o", False), ("simulated", "s", False)):
        for beaten, colour in ((False, COLOURS[0]), (True, _QUIET)):
            mine = [p for p in points if p.support == support and p.beaten == beaten and p.name != "as is"]
            if mine:
                label = f"{support}, beaten by another" if beaten else support
                face = colour if fill else "white"
                ax.plot(
                    [p.cost for p in mine], [100 * p.met for p in mine], mark, ms=7, color=colour, mfc=face, zorder=3
                )
                ax.lines[-1].set_label(label)


def _name(ax: Axes, best: Point, edge: Sequence[Point], now: Point, *, wide: bool) -> None:
    """Write names beside the recommended point, the one in force, and those of the frontier that have room."""
    low, high = ax.get_xlim()
    taken: list[tuple[float, float]] = []
    wanted = [best, *([now] if now is not best else []), *[p for p in edge if p is not best]][:_MOST_LABELS]
    for point in wanted:
        at = ((point.cost - low) / (high - low), point.met)
        if any(abs(at[0] - x) < (0.2 if wide else 0.4) and abs(at[1] - y) < 0.09 for x, y in taken):
            continue
        taken.append(at)
        right = at[0] > 0.7
        up = point is best
        where: Any = {"ha": "right" if right else "left", "va": "bottom" if up else "top"}
        where |= {"fontweight": "bold" if up else "normal", "bbox": _PAPER}
        text = safe(point.name, 40 if wide else 18)
        offset = (-9 if right else 9, 7 if up else -7)
        ax.annotate(text, (point.cost, 100 * point.met), offset, textcoords="offset points", fontsize=8.5, **where)
