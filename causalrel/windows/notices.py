"""Notices: what a person should know of the data behind windows before believing an answer from them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import polars as pl

from causalrel import display, errors, expressions
from causalrel.telemetry import Telemetry, collected
from causalrel.telemetry.parts import tell
from causalrel.telemetry.samples import is_blank
from causalrel.telemetry.schema import TIME
from causalrel.windows.plans import Plan, is_modal

#: Variables that are shares; one above 1 is a percentage, or another quantity.
SHARES = ("fact_position", "judge_quality", "kv_fraction", "kv_usage", "node_up", "quality")

#: Units that a budget can tell one by one in a minute and 2 GB.
MOST_UNITS = 20_000

_EARLIEST = 2000
_SPARSE = 20
_FEW_WINDOWS = 1000
_FAR = 100.0
_MOST_NAMES = 100_000
_MOST_ROWS = 1_000_000
_FEWEST_IDS = 1000
_SHOWN = 6


def notices(telemetry: Telemetry, plan: Plan, partial: pl.DataFrame, table: pl.DataFrame) -> list[str]:
    """Look at windows of requests for what their numbers alone do not show.

    Parameters
    ----------
    telemetry : Telemetry
        Where they come from.
    plan : Plan
        What was summed.
    partial : polars.DataFrame
        The partial rollup.
    table : polars.DataFrame
        The regular table made of it.

    Returns
    -------
    list of str
        One sentence each.

    Raises
    ------
    CausalrelError
        When a category has nearly as many values as there are requests, or there are too many units.

    Examples
    --------
    >>> from causalrel.windows.plans import plan_rollup
    >>> from causalrel.windows.partials import roll_up
    >>> from causalrel.windows.rollups import finish_rollup
    >>> times = [datetime(2026, 2, 11, hour, tzinfo=UTC) for hour in (9, 9, 10)]
    >>> requests = pl.LazyFrame({"time": times, "model": ["a", "A", "a"]}, schema_overrides={"time": TIME})
    >>> made = Telemetry(requests=requests)
    >>> plan = plan_rollup(made, [], ["service"], timedelta(hours=1))
    >>> partial = roll_up(requests, [plan]).tables[0]
    >>> notices(made, plan, partial, finish_rollup(partial, plan, []))[0]
    "'model' holds 'A' and 'a', alike but for case, spaces or Unicode form; they count as two"
    """
    units = table["unit"].n_unique()
    if units > MOST_UNITS:
        raise errors.over_limit(
            f"by {', '.join(plan.by)} makes {units:,} units, more than {MOST_UNITS:,}",
            "write a coarser by, such as tier",
        )
    found = [*_times(plan, table), *_twins(plan, partial), *_missing(plan, partial)]
    return [*found, *_constants(plan, table), *_units(telemetry, plan, table), *_copies(telemetry, plan, partial)]


def metric_notices(telemetry: Telemetry, metrics: pl.DataFrame, plan: Plan) -> list[str]:
    """Look at samples for what their means alone do not show.

    Parameters
    ----------
    telemetry : Telemetry
        Where they come from.
    metrics : polars.DataFrame
        Means of their unit-windows.
    plan : Plan
        What was summed.

    Returns
    -------
    list of str
        One sentence each.

    Raises
    ------
    CausalrelError
        When one series tells two values at one time.

    Examples
    --------
    >>> plan = Plan(by=(), width=timedelta(minutes=5), slos=(), variables=(), schema={}, source="memory")
    >>> empty = Telemetry(requests=pl.LazyFrame(schema={"time": TIME}))
    >>> metric_notices(empty, pl.DataFrame({"kv_usage": [43.0]}), plan)
    ["'kv_usage' is a share from 0 to 1 and reaches 43; it may be a percentage"]
    """
    notes: list[str] = []
    if telemetry.samples is not None:
        samples = telemetry.samples.filter(pl.col("value").is_not_null() & pl.col("time").is_not_null())
        names = [name for name, kind in samples.collect_schema().items() if name != "value" and not kind.is_nested()]
        spread = samples.group_by(names).agg(low=pl.col("value").min(), high=pl.col("value").max())
        twice = collected(spread.filter(pl.col("low") != pl.col("high")).sort(names), plan.source)
        if twice.height:
            raise errors.conflicting_samples(str(twice["metric"][0]), display.when(twice["time"][0]), plan.source)
        blank = is_blank(pl.col("metric"), pl.col("value"))
        dcgm = samples.filter(pl.col("metric").str.starts_with("DCGM_"))
        count = collected(dcgm.select(blank.sum()), plan.source).item()
        tell(notes, count, "sample", "was what DCGM writes for fields a GPU does not tell, and left out")
    return [*notes, *_shares(metrics)]


def _times(plan: Plan, table: pl.DataFrame) -> Iterator[str]:
    edges = table.select(first=pl.col("t").min(), last=pl.col("t").max()) * plan.micros
    first, last = edges.cast(TIME).row(0)
    if first.year < _EARLIEST:
        yield f"requests begin at {display.when(first)}, long before such services were; check the clocks"
    if last > datetime.now(UTC) + timedelta(days=1):
        yield f"requests run to {display.when(last)}, which is in the future; check the clocks"
    held = table["load"].count()
    if table.height > max(_FEW_WINDOWS, _SPARSE * held):
        yield (
            f"only {held:,} of {table.height:,} windows from {display.when(first)} to {display.when(last)} hold "
            "requests; check for stray times, or write a wider window"
        )


def _twins(plan: Plan, partial: pl.DataFrame) -> Iterator[str]:
    requests = int(partial["n"].sum())
    held = dict(zip(plan.by, plan.keys, strict=True))
    named = {v.name: f"m:{v.name}" for v in plan.variables if is_modal(v) and v.kind == "category"}
    for name, column in {**named, **held}.items():
        if partial.schema[column] != pl.String:
            continue
        values = partial[column].drop_nulls().unique()
        if name not in held and len(values) > max(_FEWEST_IDS, requests // 2):
            raise errors.bad_data(
                f"'{name}' of '{plan.source}' has {len(values):,} values in {requests:,} requests, so it is an id and "
                "no cause",
                "leave it out, or out of the variables of the column map",
            )
        pairs = _alike(values.head(_MOST_NAMES).sort())
        if pairs:
            more = f" (and {len(pairs) - 1:,} such pairs more)" if len(pairs) > 1 else ""
            one, two = (ascii(text[:40]) for text in pairs[0])
            yield f"'{name}' holds {one} and {two}{more}, alike but for case, spaces or Unicode form; they count as two"


def _alike(values: Iterable[str]) -> list[tuple[str, str]]:
    """Return pairs of names that a person would read as one."""
    seen: dict[str, str] = {}
    pairs = []
    for value in values:
        plain = unicodedata.normalize("NFKC", display.plain(value)).strip().casefold()
        if plain in seen:
            pairs.append((seen[plain], value))
        seen.setdefault(plain, value)
    return pairs


def _missing(plan: Plan, partial: pl.DataFrame) -> Iterator[str]:
    """Say which outcomes a failed request may lack, since means of the rest flatter a service."""
    requests = int(partial["n"].sum())
    names = [v.name for v in plan.variables if v.role == "outcome" and f"c:{v.name}" in partial.columns]
    lacking = {name: requests - int(partial[f"c:{name}"].sum()) for name in names}
    told = [f"{count:,} have no {name}" for name, count in lacking.items() if 0 < count < requests]
    if told and "error" in plan.schema:
        yield f"of {requests:,} requests {', '.join(told)}; means and quantiles are of the rest, often the served ones"
    elif told:
        yield f"of {requests:,} requests {', '.join(told)}; whether they failed is not known, for there is no error"


def _constants(plan: Plan, table: pl.DataFrame) -> Iterator[str]:
    counts = {variable.name: table[variable.name].drop_nulls().n_unique() for variable in plan.variables}
    empty = [name for name, count in counts.items() if count == 0]
    same = [name for name, count in counts.items() if count == 1]
    if empty:
        yield f"{_listed(empty)} {'is' if len(empty) == 1 else 'are'} empty"
    if same:
        yield f"{_listed(same)} never change{'s' if len(same) == 1 else ''}, and so can explain nothing"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _units(telemetry: Telemetry, plan: Plan, table: pl.DataFrame) -> Iterator[str]:
    """Say where a number and the data it is compared with are so far apart that their units may differ."""
    bad = {slo.name: _bad_share(table, slo.name) for slo in plan.slos}
    one_sided = [slo for slo in plan.slos if bad[slo.name] in (0, 1) and slo.where]
    asked = [(slo.name, *one) for slo in one_sided for one in expressions.thresholds_of(slo.where)]
    names = sorted({column for _, column, _ in asked if plan.schema[column].is_numeric()})
    if names:
        positive = [pl.col(name).filter(pl.col(name).is_finite() & (pl.col(name) > 0)) for name in names]
        ends = [end for one in positive for end in (one.min().name.suffix(":low"), one.max().name.suffix(":high"))]
        spans = collected(telemetry.requests.select(ends), plan.source).row(0, named=True)
        for slo, column, limit in asked:
            low, high = spans.get(f"{column}:low"), spans.get(f"{column}:high")
            if low is None or high is None or limit <= 0:
                continue
            far = limit * _FAR <= low or limit >= _FAR * high
            if far or (bad[slo] == 1 and not low <= limit <= high):
                yield (
                    f"SLO '{slo}' compares {column} with {limit:g}, and its values run from {low:.3g} to {high:.3g}; "
                    "check that both are in one unit"
                )
    yield from _shares(table)


def _bad_share(table: pl.DataFrame, slo: str) -> float | None:
    total, bad = (float(table.select(pl.col(f"{slo}.{part}").sum()).item()) for part in ("total", "bad"))
    return bad / total if total else None


def _shares(table: pl.DataFrame) -> Iterator[str]:
    for name in SHARES:
        if name in table.columns and table.schema[name].is_numeric():
            most = table[name].max()
            if isinstance(most, int | float) and most > 1:
                yield f"'{name}' is a share from 0 to 1 and reaches {most:.3g}; it may be a percentage"


def _copies(telemetry: Telemetry, plan: Plan, partial: pl.DataFrame) -> Iterator[str]:
    """Count requests that are copies of others, where no id tells whether they are one."""
    requests = int(partial["n"].sum())
    if "request_id" in plan.schema or requests > _MOST_ROWS:
        return
    names = [name for name, kind in plan.schema.items() if not kind.is_nested()]
    timed = telemetry.requests.filter(pl.col("time").is_not_null())
    copies = requests - int(collected(timed.select(pl.struct(names).n_unique()), plan.source).item())
    if copies:
        yield (
            f"{copies:,} of {requests:,} requests are exact copies of others and were counted, for no request_id tells "
            "them apart"
        )
