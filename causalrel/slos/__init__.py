"""SLOs: what a good event is, how many of them are promised, over which time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import polars as pl

from causalrel import display, errors
from causalrel.provenance import fingerprint

Dimension = Literal["latency", "availability", "quality", "cost", "energy", "qoe", "fairness"]
Method = Literal["Occurrences", "Timeslices", "RatioTimeslices"]

#: The longest that a calendar month can be, so that a guess of how many have passed is never too high.
_MONTH = timedelta(days=31)


@dataclass(frozen=True, slots=True, kw_only=True)
class SLO:
    """One service level objective.

    Parameters
    ----------
    name : str
        Its name; the graph's outcome variable of the same name is its share of bad events.
    dimension : {"latency", "availability", "quality", "cost", "energy", "qoe", "fairness"}
        What it is about.
    where : str
        The good-event predicate on request columns; empty where windows were made elsewhere.
    target : float
        Share of good events promised, in (0, 1).
    among : str
        Predicate of the requests it counts at all; empty for every request.
    period : datetime.timedelta
        Length of its time window; a month counts 30 days, a quarter 90 and a year 365 where the window rolls.
    rolling : bool
        Whether the time window rolls; a calendar window starts anew at each multiple of the period since ``start``.
    months : int
        Calendar months in a calendar window; 0 where it is counted in days or hours.
    start : str
        First calendar window, ``YYYY-MM-DD HH:MM:SS`` in ``zone``; empty where rolling.
    zone : str
        IANA time zone of ``start``.
    tier : str
        Tier it is promised to; empty for everybody.
    owner : str
        Who answers for it; empty where not said.
    method : {"Occurrences", "Timeslices", "RatioTimeslices"}
        What an event is: a request; a slice of time, good where enough of its requests were; or a slice of time that is
        as bad as the share of its requests that were.
    slice_width : datetime.timedelta
        Length of a slice; slices start at multiples of it since 1970. Zero where requests are counted.
    slice_target : float
        Share of good requests that makes a slice good, in (0, 1]; 0 where slices are not judged.
    composite : str
        Name of the composite SLO it is an objective of; empty where it stands alone.
    weight : float
        Its weight in the composite.

    Examples
    --------
    >>> slo = SLO(name="ttft", dimension="latency", where="ttft_s <= 1", target=0.99)
    >>> round(slo.allowed, 3)
    0.01
    """

    name: str
    dimension: Dimension
    target: float
    where: str = ""
    among: str = ""
    period: timedelta = timedelta(days=28)
    rolling: bool = True
    months: int = 0
    start: str = ""
    zone: str = "UTC"
    tier: str = ""
    owner: str = ""
    method: Method = "Occurrences"
    slice_width: timedelta = timedelta(0)
    slice_target: float = 0.0
    composite: str = ""
    weight: float = 1.0

    @property
    def allowed(self) -> float:
        """Share of events that may be bad."""
        return round(1.0 - self.target, 12)

    def facts(self) -> dict[str, Any]:
        """Return the SLO as JSON-ready facts; slices and composites are told only where there are any."""
        made: dict[str, Any] = {
            "name": self.name,
            "dimension": self.dimension,
            "where": self.where,
            "among": self.among,
            "target": self.target,
            "period_s": int(self.period.total_seconds()),
            "rolling": self.rolling,
            "months": self.months,
            "start": self.start,
            "zone": self.zone,
            "tier": self.tier,
            "owner": self.owner,
        }
        if self.method != "Occurrences":
            made |= {"method": self.method, "slice_s": int(self.slice_width.total_seconds())}
        if self.method == "Timeslices":
            made["slice_target"] = self.slice_target
        if self.composite:
            made |= {"composite": self.composite, "weight": self.weight}
        return made

    def frame(self) -> pl.DataFrame:
        """Return the SLO as one row.

        Returns
        -------
        polars.DataFrame
            One column a field.
        """
        return pl.DataFrame([self.facts()])

    def __repr__(self) -> str:
        kind = "rolling" if self.rolling else "calendar"
        what = "events" if self.method == "Occurrences" else f"slices of {display.length(self.slice_width)}"
        return display.plain(
            f"SLO {self.name}: {display.percent(self.target, 4)} of {what} good over {kind} "
            f"{display.length(self.period)} where {self.where or '(counted elsewhere)'}"
        )

    def _repr_html_(self) -> str:
        return display.frame_html(f"SLO {self.name}", self.frame())


def slo_of(facts: Mapping[str, Any]) -> SLO:
    """Return the SLO that some facts tell, in the layout of :meth:`SLO.facts`.

    Parameters
    ----------
    facts : mapping
        What an SLO told of itself.

    Returns
    -------
    SLO
        The SLO.

    Examples
    --------
    >>> slo = SLO(name="ttft", dimension="latency", where="ttft_s <= 1", target=0.99)
    >>> slo_of(slo.facts()) == slo
    True
    """
    named = {key: value for key, value in facts.items() if key not in ("period_s", "slice_s")}
    return SLO(
        **named, period=timedelta(seconds=facts["period_s"]), slice_width=timedelta(seconds=facts.get("slice_s", 0))
    )


def slos_fingerprint(slos: tuple[SLO, ...]) -> str:
    """Return a short hash of a set of SLOs.

    Parameters
    ----------
    slos : tuple of SLO
        The set.

    Returns
    -------
    str
        Sixteen hexadecimal digits.

    Examples
    --------
    >>> len(slos_fingerprint(()))
    16
    """
    return fingerprint([slo.facts() for slo in slos])


def slo_window(slo: SLO, as_of: datetime) -> tuple[datetime, datetime]:
    """Return the time window of an SLO that a time falls in.

    Parameters
    ----------
    slo : SLO
        The SLO.
    as_of : datetime.datetime
        The time; the end of a calendar window still belongs to it.

    Returns
    -------
    tuple of datetime.datetime
        Start and end, UTC; a rolling window ends at the time itself.

    Raises
    ------
    CausalrelError
        When the first calendar window starts later.

    Examples
    --------
    >>> slo = SLO(name="ttft", dimension="latency", target=0.99, period=timedelta(days=7))
    >>> str(slo_window(slo, datetime(2026, 2, 11, tzinfo=UTC))[0])
    '2026-02-04 00:00:00+00:00'
    """
    if slo.rolling:
        return as_of - slo.period, as_of
    zone, first = ZoneInfo(slo.zone), datetime.strptime(slo.start, "%Y-%m-%d %H:%M:%S")

    def edge(count: int) -> datetime:
        return _stepped(first, slo, count).replace(tzinfo=zone).astimezone(UTC)

    if as_of <= edge(0):
        raise errors.bad_question(
            f"SLO '{slo.name}' starts counting at {slo.start} {slo.zone}, after {display.when(as_of)} UTC",
            "choose a later as_of",
        )
    count = max(0, (as_of - edge(0)) // (slo.months * _MONTH or slo.period))
    while count and edge(count) >= as_of:
        count -= 1
    while edge(count + 1) < as_of:
        count += 1
    return edge(count), edge(count + 1)


def _stepped(first: datetime, slo: SLO, count: int) -> datetime:
    """Return a wall-clock time some periods later; a day that a month lacks becomes its last."""
    if not slo.months:
        return first + count * slo.period
    months = first.month - 1 + count * slo.months
    year, month = first.year + months // 12, months % 12 + 1
    after = datetime(year + month // 12, month % 12 + 1, 1)
    return first.replace(year=year, month=month, day=min(first.day, (after - timedelta(days=1)).day))
