"""Plans: which columns of requests are summed over a unit-window, and how an SLO judges a request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from causalrel import errors, expressions
from causalrel.slos import SLO
from causalrel.telemetry import Telemetry
from causalrel.telemetry.schema import REQUEST_VARIABLES, TIME
from causalrel.variables import Variable


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is summed over each unit-window.

    Parameters
    ----------
    by : tuple of str
        Request columns that make a unit; empty where there is one unit.
    width : datetime.timedelta
        Width of a window.
    slos : tuple of SLO
        The SLOs counted.
    variables : tuple of Variable
        Columns of the requests that become variables.
    schema : dict
        Columns of the requests and their types.
    source : str
        Where they were read, named in errors.

    Examples
    --------
    >>> Plan(by=(), width=timedelta(minutes=5), slos=(), variables=(), schema={}, source="memory").micros
    300000000
    """

    by: tuple[str, ...]
    width: timedelta
    slos: tuple[SLO, ...]
    variables: tuple[Variable, ...]
    schema: dict[str, pl.DataType]
    source: str

    @property
    def micros(self) -> int:
        """Width of a window in microseconds."""
        return self.width // timedelta(microseconds=1)

    @property
    def keys(self) -> list[str]:
        """Names the unit columns have in a partial rollup."""
        return [f"k{i}" for i in range(len(self.by))]


def is_modal(variable: Variable) -> bool:
    """Whether a window tells a variable's most common value rather than its mean.

    Parameters
    ----------
    variable : Variable
        The variable.

    Returns
    -------
    bool
        True for categories, and for counts that are configured.

    Examples
    --------
    >>> is_modal(Variable(name="gpu_count", role="config", kind="count"))
    True
    """
    return variable.kind == "category" or (variable.kind == "count" and variable.settable)


def unit_text(keys: Sequence[str]) -> pl.Expr:
    """Write the unit that the keys of a partial rollup name.

    Parameters
    ----------
    keys : sequence of str
        Columns of the keys.

    Returns
    -------
    polars.Expr
        Text; ``all`` where there are no keys.

    Examples
    --------
    >>> pl.DataFrame({"k0": ["m", None], "k1": [1, 2]}).select(unit_text(["k0", "k1"])).to_series().to_list()
    ['m/1', 'unknown/2']
    """
    if not keys:
        return pl.lit("all")
    return pl.concat_str([pl.col(key).cast(pl.String).fill_null("unknown") for key in keys], separator="/")


def plan_rollup(telemetry: Telemetry, slos: Sequence[SLO], by: Sequence[str], width: timedelta) -> Plan:
    """Decide what a rollup sums, or say which column it lacks; a column that bears an SLO's name gives way to it.

    Parameters
    ----------
    telemetry : Telemetry
        The telemetry.
    slos : sequence of SLO
        The SLOs counted.
    by : sequence of str
        Request columns that make a unit; ``service`` may be absent.
    width : datetime.timedelta
        Width of a window.

    Returns
    -------
    Plan
        What to sum.

    Raises
    ------
    CausalrelError
        When a column is absent or of the wrong type.

    Examples
    --------
    >>> requests = pl.LazyFrame(schema={"time": TIME})
    >>> plan_rollup(Telemetry(requests=requests), [], ["service"], timedelta(minutes=5)).by
    ()
    """
    schema = dict(telemetry.requests.collect_schema())
    if schema.get("time") != TIME:
        raise errors.bad_data(f"'{telemetry.source}' holds no canonical column 'time'", "read it with causalrel.read")
    if slos and set(schema) == {"time"} and telemetry.samples is not None:
        raise errors.bad_data(
            f"'{telemetry.source}' holds samples and no requests, and SLOs are judged on requests",
            "add an export of requests, or count events elsewhere and use Windows.from_frame",
        )
    if list(by) == ["service"] and "service" not in schema:
        by = ()
    for name in by:
        if name not in schema:
            raise errors.unknown_column(name, "by", schema)
    found = []
    counted = {slo.name for slo in slos}
    for variable in (*REQUEST_VARIABLES, *telemetry.variables):
        kind = schema.get(variable.name)
        if kind is None or variable.name in counted:
            continue
        if variable.kind != "category" and not (kind.is_numeric() or kind in (pl.Boolean, pl.Null)):
            raise errors.bad_data(
                f"column '{variable.name}' of '{telemetry.source}' holds {kind}, not numbers", "export it as numbers"
            )
        found.append(variable)
    made = Plan(
        by=tuple(by), width=width, slos=tuple(slos), variables=tuple(found), schema=schema, source=telemetry.source
    )
    for slo in slos:
        _check_predicate(slo, made)
    return made


def _check_predicate(slo: SLO, plan: Plan) -> None:
    """Try an SLO's predicates on no rows, so that a comparison of text with numbers is told by name."""
    good, among = judged(slo, plan.schema)
    empty = pl.DataFrame(schema=plan.schema).lazy().select(good=good, among=among)
    try:
        kinds = set(empty.collect().dtypes)
    except pl.exceptions.PolarsError as fault:
        said = str(fault).partition("\n")[0]
        raise errors.bad_data(f"SLO '{slo.name}' cannot be judged: {said}", "put text in quotes") from None
    if not kinds <= {pl.Boolean, pl.Null}:
        raise errors.bad_expression(slo.where, "it is not true or false")


def judged(slo: SLO, schema: dict[str, pl.DataType]) -> tuple[pl.Expr, pl.Expr]:
    """Return whether a request is good and whether it is counted, each null where not known.

    A request that failed and whose predicate is null is bad.

    Parameters
    ----------
    slo : SLO
        The SLO.
    schema : dict
        Columns of the requests and their types.

    Returns
    -------
    good, among : polars.Expr
        Two truth values a request.

    Raises
    ------
    CausalrelError
        When the SLO needs a column that is absent.

    Examples
    --------
    >>> slo = SLO(name="ttft", dimension="latency", where="ttft_s <= 1", target=0.99)
    >>> good, _ = judged(slo, {"ttft_s": pl.Float64(), "error": pl.String()})
    >>> pl.DataFrame({"ttft_s": [0.5, None, None], "error": [None, "oom", None]}).select(good=good)["good"].to_list()
    [True, False, None]
    """
    asked_by = f"SLO '{slo.name}'"
    good = expressions.compile_expression(slo.where, schema, asked_by)
    among = expressions.compile_expression(slo.among, schema, asked_by) if slo.among else pl.lit(True)
    if slo.tier:
        if "tier" not in schema:
            raise errors.unknown_column("tier", f"{asked_by}, promised to tier '{slo.tier}',", schema)
        among = among & (pl.col("tier") == slo.tier)
    if "error" in schema:
        good = pl.when(good.is_null() & pl.col("error").is_not_null()).then(pl.lit(False)).otherwise(good)
    return good, among
