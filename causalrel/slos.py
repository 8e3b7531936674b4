"""SLOs: what a good event is, how many of them are promised, over which time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import polars as pl

from causalrel import display
from causalrel.estimates import fingerprint

Dimension = Literal["latency", "availability", "quality", "cost", "energy", "qoe", "fairness"]


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
    period : datetime.timedelta
        Length of its time window.
    rolling : bool
        Whether the time window rolls; a calendar window starts anew at each multiple of the period since ``start``.
    start : str
        First calendar window, ``YYYY-MM-DD HH:MM:SS`` in ``zone``; empty where rolling.
    zone : str
        IANA time zone of ``start``.
    tier : str
        Tier it is promised to; empty for everybody.
    owner : str
        Who answers for it; empty where not said.

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
    period: timedelta = timedelta(days=28)
    rolling: bool = True
    start: str = ""
    zone: str = "UTC"
    tier: str = ""
    owner: str = ""

    @property
    def allowed(self) -> float:
        """Share of events that may be bad."""
        return 1.0 - self.target

    def facts(self) -> dict[str, Any]:
        """Return the SLO as JSON-ready facts."""
        return {
            "name": self.name,
            "dimension": self.dimension,
            "where": self.where,
            "target": self.target,
            "period_s": int(self.period.total_seconds()),
            "rolling": self.rolling,
            "start": self.start,
            "zone": self.zone,
            "tier": self.tier,
            "owner": self.owner,
        }

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
        return display.plain(
            f"SLO {self.name}: {display.percent(self.target, 4)} of events good over {kind} "
            f"{display.length(self.period)} where {self.where or '(counted elsewhere)'}"
        )

    def _repr_html_(self) -> str:
        return display.frame_html(f"SLO {self.name}", self.frame())


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
