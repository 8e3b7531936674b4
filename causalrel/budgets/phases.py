"""Phases: budgets by life-cycle phase, each event in just one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import polars as pl

from causalrel import display, errors
from causalrel.budgets.ledgers import add_up
from causalrel.slos import SLO
from causalrel.variables import parse_time

_BEFORE = "before"


def split_phases(
    counts: pl.DataFrame,
    slos: tuple[SLO, ...],
    starts: Mapping[str, str | datetime] | str,
    changes: pl.DataFrame | None,
) -> pl.DataFrame:
    """Add events up for each SLO, unit and phase.

    Parameters
    ----------
    counts : polars.DataFrame
        ``slo``, ``time``, ``unit``, ``total``, ``bad``, one row a window.
    slos : tuple of SLO
        The SLOs.
    starts : mapping of str to time, or str
        When each phase starts, or the variable whose change events start one each.
    changes : polars.DataFrame or None
        Change events.

    Returns
    -------
    polars.DataFrame
        As ``Budget.phases`` tells.

    Raises
    ------
    CausalrelError
        When no phase is given, two start at once, or nothing tells when the variable changed.

    Examples
    --------
    >>> import causalrel as cr
    >>> made = cr.budget(cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat")))
    >>> made.phases("model_version").filter(slo="ttft", unit="all")["total"].sum() == made.table["total"][0]
    True
    """
    begun = _changed(starts, changes) if isinstance(starts, str) else _given(starts)
    names, edges = [_BEFORE, *begun["phase"]], begun["start"]
    place = edges.search_sorted(counts["time"].cast(edges.dtype), side="right").cast(pl.Int64)
    phased = counts.with_columns(place=place)
    known = pl.DataFrame({"place": range(len(names)), "phase": names, "start": [None, *edges]})
    spent = add_up(counts, slos).select("slo", "unit", whole="allowed")
    parts = [
        add_up(mine, slos).with_columns(place=pl.lit(number, pl.Int64))
        for (number,), mine in sorted(phased.partition_by("place", as_dict=True).items())
    ]
    order = {slo.name: number for number, slo in enumerate(slos)}
    return (
        pl.concat(parts, how="diagonal")
        .join(known, on="place", how="left", maintain_order="left")
        .join(spent, on=["slo", "unit"], how="left", maintain_order="left")
        .sort(pl.col("slo").replace_strict(order), pl.col("unit") != "all", "unit", "place", maintain_order=True)
        .select(
            *("slo", "tier", "unit", "phase", "start", "total", "bad", "allowed"),
            spent=pl.when(pl.col("whole") > 0).then(pl.col("bad") / pl.col("whole")),
            burn="burn",
        )
    )


def _given(starts: Mapping[str, str | datetime]) -> pl.DataFrame:
    """Return phases by their start, in order of time."""
    if not starts:
        raise errors.bad_question("no phase was given", "write when each starts, such as canary=2026-02-11T09:00Z")
    begun = pl.DataFrame(
        {"phase": list(starts), "start": [parse_time(at, f"start of '{name}'") for name, at in starts.items()]}
    ).sort("start")
    twice = begun.filter(pl.col("start").is_duplicated())
    if twice.height or _BEFORE in starts:
        said = " and ".join(f"'{name}'" for name in twice["phase"][:2]) or f"a phase named '{_BEFORE}'"
        raise errors.bad_question(
            f"{said} cannot be told apart" + (", they start at once" if twice.height else " from what comes first"),
            "give each its own start and name",
        )
    return begun


def _changed(variable: str, changes: pl.DataFrame | None) -> pl.DataFrame:
    """Return a phase from each time at which a variable changed."""
    known = changes["variable"].unique().to_list() if changes is not None else []
    if changes is None or variable not in known:
        raise errors.unknown_name(variable, "changed variable", known)
    mine = changes.filter(variable=variable).group_by("time").agg(pl.col("after").unique().sort().str.join("+"))
    told = [f"{variable} {after} from {display.when(at)}" for at, after in mine.sort("time").rows()]
    return pl.DataFrame({"phase": told, "start": mine["time"].sort()})
