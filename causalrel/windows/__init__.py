"""Windows: one row a unit and window, event counts for each SLO beside everything that may have caused them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from causalrel import display, errors
from causalrel.changes import tell_inseparable
from causalrel.estimates import Check, Origin
from causalrel.provenance import frame_fingerprint, package_version
from causalrel.slos import SLO, slos_fingerprint
from causalrel.telemetry import Telemetry, collected
from causalrel.telemetry.schema import LOAD, TIME
from causalrel.variables import Role, Variable, duration_text, parse_duration
from causalrel.windows.clusters import doing
from causalrel.windows.counted import counted_slos, regular_table
from causalrel.windows.histograms import count_histograms, has_histograms
from causalrel.windows.metrics import rollup_samples
from causalrel.windows.notices import metric_notices, notices
from causalrel.windows.partials import cut_requests
from causalrel.windows.plans import Plan, plan_rollup
from causalrel.windows.quantiles import Quantile, add_quantiles, plan_quantiles
from causalrel.windows.rollups import check_rows, finish_rollup, sum_parts
from causalrel.windows.timeslices import count_slices, plan_slices


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
    timeless : bool
        Whether rows stand for themselves, as in a load test, and their times only number them.
    by : tuple of str
        Columns that made a unit, by which change events are of units; empty where there is one, ``all``.

    Examples
    --------
    >>> from datetime import UTC
    >>> times = [datetime(2026, 2, 11, hour, tzinfo=UTC) for hour in (0, 1, 3)]
    >>> made = Windows.from_frame(
    ...     pl.DataFrame({"t": times, "n": [10, 10, 10], "b": [0, 2, 1], "batch": [8, 16, 16]}),
    ...     time="t",
    ...     roles={"batch": "config"},
    ...     events={"ttft": ("n", "b")},
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
    timeless: bool = False
    by: tuple[str, ...] = ()

    def frame(self) -> pl.DataFrame:
        """Return the table.

        Returns
        -------
        polars.DataFrame
            One row a unit and window.
        """
        return self.table

    @classmethod
    def from_frame(
        cls,
        frame: object,
        *,
        time: str | None,
        roles: Mapping[str, Role],
        events: Mapping[str, tuple[str, str]],
        unit: str | None = None,
        targets: Mapping[str, float] | None = None,
        every: str | None = None,
    ) -> Windows:
        """Take windows that were counted elsewhere.

        Parameters
        ----------
        frame : polars.DataFrame or pandas.DataFrame
            One row a unit and window.
        time : str or None
            Column of window starts, UTC where they have no zone; None where rows have no time.
        roles : mapping of str to role
            Columns that become variables, and their role.
        events : mapping of str to (str, str)
            SLO name to its columns of total and of bad events.
        unit : str or None
            Column that names the unit; None where there is one.
        targets : mapping of str to float or None
            Share of good events promised by SLO name, 0.99 where not given.
        every : str or None
            Width of a window, such as ``5m``; None for the smallest step between two times of a unit.

        Returns
        -------
        Windows
            The regular table; windows that the frame lacks are rows of nulls.

        Raises
        ------
        CausalrelError
            When a column is absent, times are irregular or twice there, or counts are not counts.
        """
        made = regular_table(frame, time=time, unit=unit, roles=roles, events=events, every=every)
        (table, width, variables, notes), slos = made, counted_slos(events, targets or {})
        return cls(table=table, width=width, slos=slos, variables=variables, notes=notes, timeless=time is None)

    @property
    def span(self) -> tuple[datetime, datetime]:
        """First window start and last window end, UTC."""
        first, last = self.table.select(first=pl.col("time").min(), last=pl.col("time").max()).row(0)
        return first, last + self.width

    @property
    def units(self) -> list[str]:
        """Names of the units, sorted."""
        return self.table["unit"].unique().sort().to_list()

    @property
    def names(self) -> tuple[str, ...]:
        """Names a graph may use: the variables, then the SLOs."""
        return tuple(v.name for v in self.variables) + tuple(slo.name for slo in self.slos)

    @property
    def varying(self) -> tuple[str, ...]:
        """Those of the names that take more than one value, SLOs always."""
        counts = self.table.select(pl.col(v.name).drop_nulls().n_unique() for v in self.variables)
        constant = {name for name in counts.columns if counts[name].item() < 2}
        return tuple(name for name in self.names if name not in constant)

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

    def bounds(self, name: str) -> Check | None:
        """Say between which counts the bad events of an SLO lie, where buckets bound them; the most are counted.

        Parameters
        ----------
        name : str
            The SLO.

        Returns
        -------
        Check or None
            A failed check; None where events were counted.
        """
        if f"{name}.bad_low" not in self.table.columns:
            return None
        low, high = (int(self.table[f"{name}.{part}"].sum()) for part in ("bad_low", "bad"))
        says = f"buckets tell that between {low:,} and {high:,} events of {name} are bad; the most are counted"
        return Check(name=f"{name}: bounds", passed=False, says=says)

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
        return Origin(
            version=package_version(),
            seed=seed,
            data=frame_fingerprint(self.table),
            span=self.span,
            slos=slos_fingerprint(self.slos),
            graph=graph,
        )

    def __repr__(self) -> str:
        start, end = (display.when(at) for at in self.span)
        dated = f"of {duration_text(self.width)} in {len(self.units)} units, {start} to {end} UTC"
        return display.plain(
            f"Windows: {self.table.height:,} {'rows without time' if self.timeless else dated}; "
            f"SLOs {', '.join(s.name for s in self.slos)}; variables {', '.join(v.name for v in self.variables)}"
        )

    def _repr_html_(self) -> str:
        return display.frame_html(repr(self), self.table)


def window(
    telemetry: Telemetry,
    slos: Sequence[SLO],
    *,
    every: str = "5m",
    by: str | Sequence[str] = "service",
    quantiles: Mapping[str, Sequence[float]] | None = None,
    cluster: str | None = None,
) -> Windows:
    """Count good and bad events of each unit and window, beside everything that may have caused them.

    Sums are of whole numbers, so the same requests give the same windows in any order and on any number of threads.
    A request that failed (``error`` is not null) and cannot be judged is bad; a served one that cannot be judged is not
    counted, and told in ``notes``.

    Where there are no requests but buckets of histograms, events are counted in those (``histograms``): a
    threshold inside a bucket bounds the bad ones, ``<slo>.bad_low`` at least and ``<slo>.bad`` at most.

    An SLO on slices of time has slices for events: ``total`` are the slices of each unit that had requests, ``bad`` the
    bad ones or the sum of their bad shares.

    Parameters
    ----------
    telemetry : Telemetry
        Requests, and samples and changes where there are any.
    slos : sequence of SLO
        What a good event is.
    every : str
        Width of a window, such as ``5m``; windows start at multiples of it since 1970.
    by : str or sequence of str
        Request columns that make a unit; where ``service`` is absent there is one unit, ``all``.
    quantiles : mapping of str to sequence of float or None
        Columns of the requests and metrics of the samples, and shares from 0 to 1: ``{"ttft_s": (0.5, 1)}`` adds the
        variables ``ttft_s.p50`` and ``ttft_s.max``, each within 1 % of a value of the window (``sketches``; those of
        metrics are exact), null where a window has none. Failed requests without a value are not among them.
    cluster : str or None
        Address of a Dask scheduler, such as ``tcp://10.0.0.1:8786``, whose workers sum the files piece by piece; they
        must find them under the same paths. None to sum here. The windows are the same to the byte.

    Returns
    -------
    Windows
        The regular table: event counts for each SLO, ``load`` in requests a second, then the mean of each number and
        the most common value of each category and configured count (the smallest where tied), then quantiles.

    Raises
    ------
    CausalrelError
        When there are no requests, a column is absent, the windows are wider than the data, a quantile is no share, a
        category is an id, there are too many units, one series tells two values at one time, or the cluster cannot be
        used.

    Examples
    --------
    >>> from datetime import UTC
    >>> times = [datetime(2026, 2, 11, 9, minute, tzinfo=UTC) for minute in (0, 1, 7)]
    >>> requests = pl.LazyFrame({"time": times, "ttft_s": [0.2, 1.4, 0.3]}, schema_overrides={"time": TIME})
    >>> slo = SLO(name="ttft", dimension="latency", where="ttft_s <= 1", target=0.99)
    >>> window(Telemetry(requests=requests), [slo]).frame()["ttft.bad"].to_list()
    [1, 0]
    """
    width = parse_duration(every, "every")
    names = [slo.name for slo in slos]
    if not slos or len(set(names)) < len(names):
        raise errors.bad_question(f"{len(names)} SLOs named {names} cannot be counted", "give SLOs of different names")
    units = [by] if isinstance(by, str) else by
    if has_histograms(telemetry):
        return _histogram_windows(telemetry, slos, units, width, quantiles or {})
    plan = plan_rollup(telemetry, slos, units, width)
    asked = plan_quantiles(quantiles or {}, telemetry, plan)
    taken = [one for one in asked if not one.sampled]
    plans = [plan, *plan_slices(plan)]
    notes = list(telemetry.notes)
    with doing(cluster) as do:
        parts = cut_requests(telemetry, plan) if cluster else [telemetry.requests]
        partial = sum_parts(do, parts, plans, list(dict.fromkeys(one.column for one in taken)))
    check_rows(partial, plan, every, notes)
    table = finish_rollup(partial.tables[0], plan, notes)
    table = count_slices(table, plan, list(zip(plans, partial.tables, strict=True))[1:])
    notes += notices(telemetry, plan, partial.tables[0], table)
    table = add_quantiles(table, partial.counts, taken, notes)
    return _assembled(telemetry, plan, table, (LOAD, *plan.variables, *(one.variable for one in taken)), asked, notes)


def _histogram_windows(
    telemetry: Telemetry,
    slos: Sequence[SLO],
    units: Sequence[str],
    width: timedelta,
    quantiles: Mapping[str, Sequence[float]],
) -> Windows:
    """Return windows of events counted in buckets of histograms, where there are no requests."""
    notes = list(telemetry.notes)
    table = count_histograms(telemetry, slos, units, width, notes)
    by = tuple(name for name in units if table["unit"].unique().to_list() != ["all"])
    plan = Plan(by=by, width=width, slos=tuple(slos), variables=(), schema={}, source=telemetry.source)
    return _assembled(telemetry, plan, table, (LOAD,), plan_quantiles(quantiles, telemetry, plan), notes)


def _assembled(
    telemetry: Telemetry,
    plan: Plan,
    table: pl.DataFrame,
    variables: tuple[Variable, ...],
    asked: Sequence[Quantile],
    notes: list[str],
) -> Windows:
    """Join what was sampled, bring changes along, and make windows of it."""
    sampled = [(one.column, float(one.share), one.variable) for one in asked if one.sampled]
    samples, metrics = rollup_samples(telemetry, plan, notes, sampled)
    metrics = [metric for metric in metrics if metric.name not in table.columns]
    notes += metric_notices(telemetry, samples, plan)
    if metrics:
        columns = ["unit", "t", *(metric.name for metric in metrics)]
        table = table.join(samples.select(columns), on=["unit", "t"], how="left", maintain_order="left")
    changes = None
    if telemetry.changes is not None:
        changes = collected(telemetry.changes, telemetry.source).sort("time", maintain_order=True)
        notes += tell_inseparable(changes, plan.by, plan.width)
    return Windows(
        table=table.select((pl.col("t") * plan.micros).cast(TIME).alias("time"), pl.exclude("t")),
        width=plan.width,
        slos=plan.slos,
        variables=(*variables, *metrics),
        notes=tuple(notes),
        changes=changes,
        by=tuple(plan.by),
    )
