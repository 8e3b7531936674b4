"""Windows: one row a unit and window, event counts for each SLO beside everything that may have caused them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from causalrel import display, errors
from causalrel.estimates import Origin, package_version
from causalrel.slos import SLO, slos_fingerprint
from causalrel.variables import Variable, duration_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """The regular table every question is asked of.

    Parameters
    ----------
    table : polars.DataFrame
        Sorted by ``unit`` and ``time``. ``time`` (window start, UTC, microseconds) and ``unit`` (text), then
        ``<slo>.total`` and ``<slo>.bad`` (event counts, Int64) for each SLO, then one column a variable in its unit.
        Each unit's windows are a regular grid over its own span; a window without data is a row of nulls.
    width : datetime.timedelta
        Width of a window.
    slos : tuple of SLO
        The SLOs counted.
    variables : tuple of Variable
        The variables carried.
    notes : tuple of str
        What was left out, repaired or counted as unknown on the way here, one sentence each.
    changes : polars.DataFrame or None
        Change events, where the telemetry had them.

    Examples
    --------
    >>> from datetime import UTC
    >>> times = [datetime(2026, 2, 11, hour, tzinfo=UTC) for hour in (0, 1, 3)]
    >>> made = Windows.from_frame(
    ...     pl.DataFrame({"t": times, "n": [10, 10, 10], "b": [0, 2, 1], "batch": [8, 16, 16]}),
    ...     time="t", roles={"batch": "config"}, events={"ttft": ("n", "b")},
    ... )
    >>> made.frame()["ttft.bad"].to_list()
    [0, 2, None, 1]
    """

    table: pl.DataFrame
    width: timedelta
    slos: tuple[SLO, ...]
    variables: tuple[Variable, ...]
    notes: tuple[str, ...] = ()
    changes: pl.DataFrame | None = None

    def frame(self) -> pl.DataFrame:
        """Return the table.

        Returns
        -------
        polars.DataFrame
            One row a unit and window.
        """
        return self.table

    @property
    def span(self) -> tuple[datetime, datetime]:
        """First window start and last window end, UTC."""
        first, last = self.table.select(first=pl.col("time").min(), last=pl.col("time").max()).row(0)
        return first, last + self.width

    @property
    def units(self) -> list[str]:
        """Names of the units, sorted."""
        return self.table["unit"].unique().sort().to_list()

    def slo(self, name: str) -> SLO:
        """Return one SLO by name.

        Parameters
        ----------
        name : str
            Its name.

        Returns
        -------
        SLO
            The SLO.

        Raises
        ------
        CausalrelError
            When no SLO has this name.
        """
        for slo in self.slos:
            if slo.name == name:
                return slo
        raise errors.unknown_name(name, "SLO", [slo.name for slo in self.slos])

    def variable(self, name: str) -> Variable:
        """Return one variable by name.

        Parameters
        ----------
        name : str
            Its name.

        Returns
        -------
        Variable
            The variable.

        Raises
        ------
        CausalrelError
            When no variable has this name.
        """
        for variable in self.variables:
            if variable.name == name:
                return variable
        raise errors.unknown_variable(name, "the windows", [variable.name for variable in self.variables])

    def during(self, start: datetime, end: datetime) -> pl.DataFrame:
        """Return the rows whose window starts in a span.

        Parameters
        ----------
        start, end : datetime.datetime
            UTC; the end is left out.

        Returns
        -------
        polars.DataFrame
            Some rows of the table.
        """
        return self.table.filter(pl.col("time").is_between(start, end, closed="left"))

    def origin(self, seed: int, graph: str = "") -> Origin:
        """Return where an answer from these windows comes from.

        Parameters
        ----------
        seed : int
            Seed used.
        graph : str
            Fingerprint of the graph used.

        Returns
        -------
        Origin
            The origin.
        """
        digest = hashlib.sha256(self.table.write_csv(float_precision=9).encode()).hexdigest()[:16]
        return Origin(
            version=package_version(),
            seed=seed,
            data=digest,
            span=self.span,
            slos=slos_fingerprint(self.slos),
            graph=graph,
        )

    def __repr__(self) -> str:
        start, end = self.span
        return display.plain(
            f"Windows: {self.table.height:,} of {duration_text(self.width)} in {len(self.units)} units, "
            f"{display.when(start)} to {display.when(end)} UTC; SLOs {', '.join(s.name for s in self.slos)}; "
            f"variables {', '.join(v.name for v in self.variables)}"
        )

    def _repr_html_(self) -> str:
        return display.frame_html(repr(self), self.table)
