"""Budgets: exact event arithmetic, and how fast the budget truly burns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from causalrel import display, errors
from causalrel.budgets.alerts import look_back, tell_alerts
from causalrel.budgets.burns import draw_burns, with_burns
from causalrel.budgets.exhaustion import draw_exhaustion
from causalrel.budgets.ledgers import add_up, timeline_of, weigh_composites, when_expires
from causalrel.estimates import Check, Estimate, Origin, Verdict
from causalrel.provenance import rounded
from causalrel.slos import SLO, slo_window
from causalrel.variables import parse_time

if TYPE_CHECKING:
    from causalrel.windows import Windows

_COVERED = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What each SLO's error budget was, what is left of it and how fast it burns.

    Parameters
    ----------
    table : polars.DataFrame
        One row an SLO and unit, and one an SLO with unit ``all``: ``slo``, ``tier``, ``unit``, ``total`` and ``bad``
        (events), ``allowed`` (bad events the target allows), ``spent`` (bad out of allowed), ``left`` (events, may be
        negative), ``burn`` (bad share out of the share allowed), then the burn that holds beyond the events seen:
        ``burn_low`` and ``burn_high`` (central 90 %) and ``chance_over`` (probability that it is above 1).
    timeline : polars.DataFrame
        One row an SLO and window, over all units: ``slo``, ``time``, ``total``, ``bad``, ``allowed`` (events allowed so
        far), ``spent`` (share of the budget of the whole span spent so far), ``burn`` (in this window).
    as_of : datetime.datetime
        End of the time windows, UTC.
    slos : tuple of SLO
        The SLOs.
    burns : Estimate
        Draws of the true burn of each SLO and unit.
    origin : Origin
        Where it comes from.
    checks : tuple of Check
        What was tested.
    verdict : {"answered", "bounded", "refused"}
        Whether the burns are an answer; the events counted stand in any case.
    width : datetime.timedelta
        Width of a window.
    lookback : polars.DataFrame
        One row an SLO and alert rule: the events of its long and its short window before ``as_of``.
    changes : polars.DataFrame or None
        Change events, where the windows had them.

    Examples
    --------
    >>> import causalrel as cr
    >>> made = cr.Windows.from_frame(
    ...     pl.DataFrame({"t": ["2026-02-11T09:00Z", "2026-02-11T10:00Z"], "n": [900, 1100], "bad": [4, 7]}),
    ...     time="t",
    ...     roles={},
    ...     events={"ttft": ("n", "bad")},
    ... )
    >>> cr.budget(made).table.select("unit", "total", "bad", "allowed", "spent").row(0)
    ('all', 2000, 11, 20.0, 0.55)
    """

    table: pl.DataFrame
    timeline: pl.DataFrame
    as_of: datetime
    slos: tuple[SLO, ...]
    burns: Estimate
    origin: Origin
    checks: tuple[Check, ...]
    verdict: Verdict
    width: timedelta
    lookback: pl.DataFrame
    changes: pl.DataFrame | None = None

    def frame(self) -> pl.DataFrame:
        """Return the table.

        Returns
        -------
        polars.DataFrame
            One row an SLO and unit.
        """
        return self.table

    def alerts(self, level: float = 0.5) -> pl.DataFrame:
        """Return which burn-rate alerts fire: by the workbook's rule, and by it where the burn is probably that high.

        A rule fires where the burn of its long and of its short window exceed its threshold, that is the burn that uses
        a share of the budget (2, 5, 10, 10 %) within the long window. Where few requests come, one bad one does that;
        ``sure`` asks also that the true burn of the long window exceeds the threshold with probability ``level`` at
        least. Rules whose long window is not shorter than the SLO's period are left out; where windows are wider than a
        short one, nothing is known of the rule.

        Parameters
        ----------
        level : float
            Probability that ``sure`` asks for, in (0, 1).

        Returns
        -------
        polars.DataFrame
            One row an SLO and rule: ``slo``, ``severity``, ``long``, ``short``, ``threshold``, ``burn_long``,
            ``burn_short``, ``fires``, ``chance``, ``sure``.

        Raises
        ------
        CausalrelError
            When ``level`` is no probability.
        """
        return tell_alerts(self.lookback, self.slos, level)

    def expires(self, every: str = "1d") -> pl.DataFrame:
        """Return when the bad events counted now leave the time window, and give their share of the budget back.

        Parameters
        ----------
        every : str
            Step between two times told, such as ``1h``.

        Returns
        -------
        polars.DataFrame
            One row an SLO and step until nothing of today is left: ``slo``, ``time`` (end of the step), ``total`` and
            ``bad`` (events that leave in it), ``returned`` (share of today's budget spent that leaves). A calendar
            window has one row, its end.
        """
        return when_expires(self.timeline, self.slos, self.as_of, every)

    def composites(self) -> pl.DataFrame:
        """Return the budgets of composite SLOs: the mean of their objectives', by weight.

        Returns
        -------
        polars.DataFrame
            One row a composite: ``composite``, ``objectives``, ``burn`` (weighted mean of the objectives' burns, the
            share of the composite's budget spent), ``burn_low`` and ``burn_high`` (central 90 %), ``chance_over``
            (probability that it is above 1). Null where an objective counted no event.
        """
        return weigh_composites(self.table, self.slos, self.burns)

    def exhaustion(self, seed: int = 0) -> Estimate:
        """Draw when each budget is gone if it burns on as it did, its uncertain burn and the events' scatter included.

        A calendar budget is followed until its window ends, a rolling one for one period ahead, in which today's bad
        events leave. The budget is what the target allows of the events expected in a whole period.

        Parameters
        ----------
        seed : int
            Seed of the draws.

        Returns
        -------
        Estimate
            For each SLO ``time_left`` (hours until the budget is gone, 0 where it is; as far as it was followed where
            it lasts) and ``gone`` (1 where it is gone by then; its mean is the probability).
        """
        return draw_exhaustion(self.burns, self.timeline, self.slos, self.as_of, self.width, seed)

    def facts(self) -> dict[str, Any]:
        """Return the budget as JSON-ready facts, the verdict first.

        Returns
        -------
        dict
            Floats at six significant digits.
        """
        done: dict[str, Any] = rounded(
            {
                "verdict": self.verdict,
                "reason": self.burns.why if self.verdict != "answered" else "",
                "as_of": self.as_of,
                "checks": [{"name": c.name, "passed": c.passed, "says": c.says} for c in self.checks],
                "budgets": self.table.to_dicts(),
                "slos": [slo.facts() for slo in self.slos],
                "method": self.burns.method,
                "assumptions": list(self.burns.assumptions),
                "origin": self.origin.facts(),
            }
        )
        return done

    def __repr__(self) -> str:
        shown = self.table.filter(pl.col("unit") == "all") if self.table.height > 20 else self.table
        names = [name for name in shown.columns if name != "tier" or (shown[name] != "").any()]
        lines = [f"{self.verdict}: error budgets as of {display.when(self.as_of)} UTC"]
        lines += [display.plain(f"check failed: {c.name}: {c.says}") for c in self.checks if not c.passed]
        return "\n".join([*lines, display.text_table(names, shown.select(names).rows())])

    def _repr_html_(self) -> str:
        failed = "".join(f"<li>{display.markup(f'{c.name}: {c.says}')}</li>" for c in self.checks if not c.passed)
        title = f"{self.verdict}: error budgets as of {display.when(self.as_of)} UTC"
        told = f"<p>checks that failed</p><ul>{failed}</ul>" if failed else ""
        return display.frame_html(title, self.table, rows=20) + told


def budget(windows: Windows, *, as_of: str | datetime | None = None, pooled: bool = False, seed: int = 0) -> Budget:
    """Count every event against its budget, and say how fast the budget truly burns.

    The events are exact and add up over units and windows. The burn beyond the events seen is the posterior of the bad
    share under the Jeffreys prior, its counts divided by how much more the windows scatter than independent events
    would; with ``pooled``, units borrow from each other instead.

    Parameters
    ----------
    windows : Windows
        Event counts.
    as_of : str, datetime.datetime or None
        End of the SLOs' time windows, taken as UTC where it has no zone; None for the end of the data.
    pooled : bool
        Whether the units' burns are pooled, by a sampler that takes seconds to compile.
    seed : int
        Seed of the draws.

    Returns
    -------
    Budget
        Table, timeline and burns.

    Raises
    ------
    CausalrelError
        When no window ends before ``as_of``, or a calendar starts after it.

    References
    ----------
    Brown, Cai and DasGupta (2001), Interval estimation for a binomial proportion, doi:10.1214/ss/1009213286;
    McCullagh and Nelder (1989), Generalized Linear Models, section 4.5, for the dispersion.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"))
    >>> made = cr.budget(windows)
    >>> made.table["left"].equals(made.table["allowed"] - made.table["bad"])
    True
    """
    end = parse_time(as_of, "as_of") if as_of is not None else windows.span[1]
    counts = pl.concat([_counts(windows, slo, end) for slo in windows.slos], how="vertical_relaxed")
    if counts.is_empty():
        raise errors.bad_question(
            f"as_of {display.when(end)} leaves no window inside any SLO's time window",
            f"choose a time after {display.when(windows.span[0])}",
        )
    ledger = add_up(counts, windows.slos)
    coverage = _coverage(windows, counts, end)
    burns = draw_burns(windows, counts, ledger, coverage, end, pooled=pooled, seed=seed)
    return Budget(
        table=with_burns(ledger, burns),
        timeline=timeline_of(counts, windows.slos),
        as_of=end,
        slos=windows.slos,
        burns=burns,
        origin=burns.origin,
        checks=burns.checks,
        verdict=burns.verdict,
        width=windows.width,
        lookback=look_back(windows, end),
        changes=windows.changes,
    )


def _counts(windows: Windows, slo: SLO, end: datetime) -> pl.DataFrame:
    """Return ``slo``, ``time``, ``unit``, ``total``, ``bad`` of the windows inside an SLO's time window."""
    start, _ = slo_window(slo, end)
    inside = (pl.col("time") >= start) & (pl.col("time") <= end - windows.width)
    return windows.table.filter(inside).select(
        pl.lit(slo.name).alias("slo"),
        "time",
        "unit",
        pl.col(f"{slo.name}.total").alias("total"),
        pl.col(f"{slo.name}.bad").alias("bad"),
    )


def _coverage(windows: Windows, counts: pl.DataFrame, end: datetime) -> tuple[Check, ...]:
    """Say how much of each time window the data cover, SLOs that agree in one sentence."""
    said: dict[tuple[timedelta, timedelta], list[str]] = {}
    for slo in windows.slos:
        start, stop = slo_window(slo, end)
        seen = counts.filter((pl.col("slo") == slo.name) & pl.col("total").is_not_null())["time"].n_unique()
        said.setdefault((seen * windows.width, min(stop, end) - start), []).append(slo.name)
    made = []
    for (seen_for, until), names in said.items():
        full = seen_for >= _COVERED * until
        says = f"the data cover {display.length(seen_for)} of {display.length(until)} of {', '.join(names)}"
        made.append(
            Check(name="coverage", passed=full, says=says + ("" if full else "; the budget is of that part alone"))
        )
    return tuple(made)
