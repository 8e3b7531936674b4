"""Alerts: burn-rate rules over a long and a short window, and whether the burn behind them is probably that high."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from causalrel import errors
from causalrel.slos import SLO
from causalrel.windows.timeslices import exact_sum

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.windows import Windows

    Floats = NDArray[np.float64]

#: Severity, long and short window, and the share of the budget that a burn at the threshold uses in the long one.
RULES = (
    ("page", timedelta(hours=1), timedelta(minutes=5), 0.02),
    ("page", timedelta(hours=6), timedelta(minutes=30), 0.05),
    ("ticket", timedelta(days=1), timedelta(hours=2), 0.10),
    ("ticket", timedelta(days=3), timedelta(hours=6), 0.10),
)
#: Bad events that the prior is worth. Less than this, and one bad request pages; more, and two of them do not.
_WEIGHT = 0.05
_SUMS = [f"{part}_{name}" for name in ("long", "short") for part in ("total", "bad")]
_LOOKBACK = pl.Schema(
    {
        "slo": pl.String(),
        "severity": pl.String(),
        "long": pl.Duration("us"),
        "short": pl.Duration("us"),
        "threshold": pl.Float64(),
        **dict.fromkeys(_SUMS, pl.Float64()),
    }
)


def threshold_of(period: timedelta, long: timedelta, share: float) -> float:
    """Return the burn that uses a share of a period's budget within a long window.

    Parameters
    ----------
    period : datetime.timedelta
        Time window of the SLO.
    long : datetime.timedelta
        Long window of the rule.
    share : float
        Share of the budget.

    Returns
    -------
    float
        Times the burn that just spends the budget.

    References
    ----------
    Beyer, Murphy, Rensin, Kawahara and Thorne (2018), The Site Reliability Workbook, chapter 5.

    Examples
    --------
    >>> [round(threshold_of(timedelta(days=30), long, share), 6) for _, long, _, share in RULES]
    [14.4, 6.0, 3.0, 1.0]
    """
    return share * (period / long)


def burn_chance(bad: Floats, total: Floats, threshold: float, allowed: float) -> Floats:
    """Return the probability that the true burn exceeds a threshold, given the events of a window.

    The bad share has a beta prior whose mean is the share allowed, so that before any event the burn is 1, and whose
    weight is a twentieth of a bad event; events are independent given the share. With many events it is a comparison of
    the burn seen with the threshold; a single bad event among few is not enough for a high threshold.

    Parameters
    ----------
    bad, total : ndarray of float64
        Events of the window.
    threshold : float
        Burn asked about.
    allowed : float
        Share of events that may be bad.

    Returns
    -------
    ndarray of float64
        Probabilities; 0 where the threshold asks for more than every event to be bad.

    References
    ----------
    Gelman, Carlin, Stern, Dunson, Vehtari and Rubin (2013), Bayesian Data Analysis, section 2.4, for the conjugate
    prior.

    Examples
    --------
    >>> chances = burn_chance(np.array([1.0, 2.0]), np.array([60.0, 60.0]), 14.4, 0.001)
    >>> [bool(chance > 0.5) for chance in chances]
    [False, True]
    """
    from scipy.special import betaincc

    if threshold * allowed >= 1:
        return np.zeros(np.shape(bad))
    made = betaincc(_WEIGHT + bad, _WEIGHT / allowed - _WEIGHT + total - bad, threshold * allowed)
    return np.asarray(made, dtype=np.float64)


def look_back(windows: Windows, end: datetime) -> pl.DataFrame:
    """Add up the events of each SLO in each rule's two windows, over all units and whatever the SLO's own window.

    Parameters
    ----------
    windows : Windows
        Event counts.
    end : datetime.datetime
        Where the windows of the rules end.

    Returns
    -------
    polars.DataFrame
        ``slo``, ``severity``, ``long``, ``short``, ``threshold``, and ``total_`` and ``bad_`` of ``long`` and of
        ``short``: null where windows do not fill it.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"))
    >>> look_back(windows, windows.span[1]).filter(slo="ttft")["threshold"].round(2).to_list()
    [13.44, 5.6, 2.8, 0.93]
    """
    made = []
    for slo in windows.slos:
        columns = {part: f"{slo.name}.{part}" for part in ("total", "bad")}
        sums = [exact_sum(name, windows.table.schema[name]).cast(pl.Float64) for name in columns.values()]
        for severity, long, short, share in RULES:
            if long >= slo.period:
                continue
            row: dict[str, object] = {"slo": slo.name, "severity": severity, "long": long, "short": short}
            row["threshold"] = threshold_of(slo.period, long, share)
            for name, length in (("long", long), ("short", short)):
                inside = (pl.col("time") >= end - length) & (pl.col("time") <= end - windows.width)
                fills = not length % windows.width
                total, bad = windows.table.filter(inside).select(sums).row(0) if fills else (None, None)
                row |= {f"total_{name}": total, f"bad_{name}": bad}
            made.append(row)
    return pl.DataFrame(made, schema=_LOOKBACK)


def tell_alerts(lookback: pl.DataFrame, slos: tuple[SLO, ...], level: float) -> pl.DataFrame:
    """Say which rules fire.

    Parameters
    ----------
    lookback : polars.DataFrame
        Result of :func:`look_back`.
    slos : tuple of SLO
        The SLOs.
    level : float
        Probability asked for, in (0, 1).

    Returns
    -------
    polars.DataFrame
        As ``Budget.alerts`` tells.

    Raises
    ------
    CausalrelError
        When ``level`` is no probability.

    Examples
    --------
    >>> tell_alerts(pl.DataFrame(schema=_LOOKBACK), (), 0.5).height
    0
    """
    if not 0 < level < 1:
        raise errors.bad_question(f"level {level} is no probability between 0 and 1", "write one such as 0.5")
    allowed = pl.DataFrame(
        {"slo": [slo.name for slo in slos], "allowed": [slo.allowed for slo in slos]},
        schema={"slo": pl.String, "allowed": pl.Float64},
    )
    known = lookback.join(allowed, on="slo", how="left", maintain_order="left")
    burns = {
        f"burn_{name}": pl.when(pl.col(f"total_{name}") > 0).then(
            pl.col(f"bad_{name}") / pl.col(f"total_{name}") / pl.col("allowed")
        )
        for name in ("long", "short")
    }
    chances = [
        None
        if row["total_long"] is None
        else float(
            burn_chance(np.array(row["bad_long"]), np.array(row["total_long"]), row["threshold"], row["allowed"])
        )
        for row in known.iter_rows(named=True)
    ]
    seen = pl.col("total_long").is_not_null() & pl.col("total_short").is_not_null()
    exceed = (pl.col("burn_long") > pl.col("threshold")) & (pl.col("burn_short") > pl.col("threshold"))
    return (
        known.with_columns(**burns, chance=pl.Series(chances, dtype=pl.Float64))
        .with_columns(fires=pl.when(seen).then(exceed.fill_null(False)))
        .with_columns(sure=pl.when(seen).then(pl.col("fires") & (pl.col("chance") >= level)))
        .select(*list(_LOOKBACK)[:5], "burn_long", "burn_short", "fires", "chance", "sure")
    )
