"""Responses: the picture of an effect that has many levels or parts, and its message as a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from causalrel import display
from causalrel.estimates import Estimate
from causalrel.reports import extracts
from causalrel.reports.charts import COLOURS, INK, forest, forest_height, safe
from causalrel.reports.tables import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BAND = 0.9
_LIKELY = 0.9
_WIDE_RATIO = 4
_PAPER = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
_BURN = "change in burn (multiples of the budget rate)"


def has_response(answer: Estimate) -> bool:
    """Tell whether an answer is of one outcome at three or more numeric levels, and has no other parts."""
    terms = answer.terms
    if "level" not in terms.columns or {"group", "when", "path"} & set(terms.columns) or terms["slo"].n_unique() > 1:
        return False
    levels = terms.filter(pl.col("quantity").str.ends_with("_at"))["level"]
    return levels.len() > 2 and levels.cast(pl.Float64, strict=False).null_count() == 0


def shape(answer: Estimate) -> str:
    """Say where the outcome is least and most, and how likely an optimum between the ends is.

    Parameters
    ----------
    answer : Estimate
        An effect at three or more numeric levels.

    Returns
    -------
    str
        One sentence.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("no-answer"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> has_response(cr.budget(windows).burns)
    False
    """
    at, levels, draws = _at(answer)
    of, slo = at["of"][0], at["slo"][0]
    share = at["quantity"][0] == "bad_share_at"
    what = f"the bad share of {slo}" if share else slo
    inside = {}
    for word, found in (("lowest", draws.argmin(axis=1)), ("highest", draws.argmax(axis=1))):
        inner = (found > 0) & (found < len(levels) - 1)
        inside[word] = float(inner.mean())
    word = "highest" if inside["highest"] > max(inside["lowest"], 0.5) else "lowest"
    ordered = draws.mean(axis=0)
    best = levels[int(ordered.argmin() if word == "lowest" else ordered.argmax())]
    chance = f"between the ends with probability {shown(inside[word], 'chance')}"
    start = f"{what[0].upper() + what[1:]} is {word} at {of} {best:g}"
    if inside[word] >= _LIKELY:
        return f"{start}, {chance}"
    if inside[word] <= 1 - _LIKELY:
        return f"{start}, an end of what was asked ({chance})"
    return f"{start}, but whether that lies between the ends is not told: {chance}"


def response(ax: Axes, answer: Estimate) -> str:
    """Draw the outcome at each level with a band that holds for all at once, the baseline marked."""
    at, levels, draws = _at(answer)
    share = at["quantity"][0] == "bad_share_at"
    scale = 100.0 if share else 1.0
    band = answer.select(quantity=at["quantity"][0]).frame(_BAND, together=True)
    band = band.with_columns(pl.col("level").cast(pl.Float64).alias("x")).sort("x")
    floor = 0.0 if share else -np.inf
    low, high = (scale * np.maximum(band[name].to_numpy(), floor) for name in ("low", "high"))
    mean = scale * draws.mean(axis=0)
    ax.fill_between(levels, low, high, color=COLOURS[0], alpha=0.15, linewidth=0)
    ax.vlines(levels, low, high, color=COLOURS[0], lw=1.6)
    ax.plot(levels, mean, "-o", color=COLOURS[0], lw=1.6, ms=6)
    base = float(str(at["baseline"][0]))
    start = int(np.argmin(np.abs(levels - base)))
    ax.plot([levels[start]], [mean[start]], "o", ms=10, mfc="white", mec=INK, mew=1.6, zorder=3)
    for place, value in enumerate(mean):
        told = display.percent(value / 100) if share else display.number(value, 3)
        told += "\nbaseline" if place == start else ""
        ax.annotate(
            told,
            (levels[place], high[place]),
            (0, 5),
            textcoords="offset points",
            ha="center",
            fontsize=8.5,
            bbox=_PAPER,
        )
    _budget_line(ax, answer, scale, high.max()) if share else None
    if levels[0] > 0 and levels[-1] / levels[0] >= _WIDE_RATIO:
        ax.set_xscale("log")
    ax.set_xticks(levels, [f"{level:g}" for level in levels])
    ax.minorticks_off()
    ax.margins(x=0.06)
    bottom = 0.0 if share else float(low.min())
    ax.set_ylim(bottom, bottom + 1.3 * (float(high.max()) - bottom or 1.0))
    ax.set_xlabel(safe(at["of"][0]))
    name = f"bad events of {at['slo'][0]} (%)" if share else f"{at['slo'][0]} ({answer.unit or '1'})"
    ax.set_ylabel(safe(name))
    ax.text(
        1, 1.01, "bars hold for all levels at once, 90 %", transform=ax.transAxes, ha="right", fontsize=8, color=INK
    )
    return shape(answer)


def parts_height(answer: Estimate) -> float:
    """Return the height in inches that :func:`parts` wants."""
    return forest_height(len(extracts.parts(answer)))


def parts(ax: Axes, answer: Estimate, *, wide: bool = True) -> str:
    """Draw classes, stages and paths as a forest, the whole first and set off from its parts."""
    told = [item for item in extracts.parts(answer) if item[3] is not None]
    many = len({setting for setting, *_ in told}) > 1
    mediators = answer.terms["mediators"][0] if "mediators" in answer.terms.columns else ""
    named = {"all": "all windows reached", "through": f"through {mediators}", "direct": f"past {mediators}"}
    labels = [named.get(label, label) for _, _, label, _, _ in told]
    rows = [
        (f"{setting}: {label}" if many else label, *change)
        for label, (setting, _, _, change, _) in zip(labels, told, strict=True)
        if change is not None
    ]
    burn = "burn" in answer.terms["quantity"].to_list()
    forest(ax, rows, xlabel=_BURN if burn else answer.unit, wide=wide)
    setting, slo, first, *_ = told[0]
    if first not in ("all", "total") or many:
        return answer.question
    ax.axhline(0.35, color=INK, lw=0.6)
    shares = [share for *_, share in extracts.parts(answer) if share is not None]
    if shares:
        part, least, most = (display.percent(value) for value in shares[0])
        return f"{part} [{least} to {most}] of what {setting} does to {slo} goes through {mediators}"
    _, mean, low, high = rows[0]
    direction = "raises" if low > 0 else "lowers" if high < 0 else "is not seen to change"
    said = f"{setting} {direction} {'the burn of ' if burn else ''}{slo}"
    return f"{said}: {display.number(mean, 2)} [{display.number(low, 2)} to {display.number(high, 2)}]"


def _at(answer: Estimate) -> tuple[pl.DataFrame, np.ndarray, np.ndarray]:
    """Return the terms at each level, levels and draws, in ascending order."""
    where = answer.terms["quantity"].str.ends_with("_at").to_numpy()
    at, draws = answer.terms.filter(pl.Series(where)), answer.draws[:, where]
    levels = at["level"].cast(pl.Float64).to_numpy()
    order = np.argsort(levels)
    return at[order], levels[order], draws[:, order]


def _budget_line(ax: Axes, answer: Estimate, scale: float, most: float) -> None:
    """Draw the share that the objective allows, where it is in sight."""
    burn, share = (answer.select(quantity=name).draws[:, 0] for name in ("burn", "bad_share"))
    allowed = scale * float(np.median(share[burn != 0] / burn[burn != 0])) if (burn != 0).any() else np.inf
    if allowed <= 2 * most:
        ax.axhline(allowed, color=COLOURS[1], lw=1.2, ls="--")
        says = f"the objective allows {display.percent(allowed / 100)}"
        ax.annotate(
            says,
            (0.005, allowed),
            (0, 3),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            fontsize=8.5,
            color=COLOURS[1],
        )
