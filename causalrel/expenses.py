"""Expenses: what units cost in money and energy, reconciled with a price table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from causalrel import display, errors, shipped
from causalrel.telemetry import Telemetry, collected
from causalrel.windows.plans import unit_text

_MILLION = 1e6
_SCALE = float(1 << 40)
_TOKENS = ("prompt_tokens", "cached_tokens", "output_tokens")
_MONEY = ("cost_usd", "energy_j")
_Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Ceiling = Annotated[int, Field(gt=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rates(_Part):
    """US dollars a million tokens; a cached token of the prompt costs ``cached`` in place of ``prompt``."""

    prompt: _Rate
    output: _Rate
    cached: _Rate | None = None


class Ceilings(_Part):
    """Tokens, of prompt and output together, that a request and a tenant's day may have."""

    request: _Ceiling | None = None
    tenant_day: _Ceiling | None = None


class Prices(_Part):
    """A price table.

    Parameters
    ----------
    prices : str
        Its name.
    version : int
        Counts its revisions.
    source : str
        On whose word.
    models : dict of str to Rates
        Rates of each model; where there is no column ``model``, the only one.
    ceilings : Ceilings
        Limits of tokens, if any.

    Examples
    --------
    >>> Prices(prices="p", version=1, source="list", models={"m": Rates(prompt=2.5, output=10)}).models["m"].output
    10.0
    """

    prices: str
    version: int
    source: str
    models: dict[str, Rates]
    ceilings: Ceilings = Ceilings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Expenses:
    """What units cost.

    Parameters
    ----------
    table : polars.DataFrame
        The row ``all``, then one a unit, of what the export tells: ``requests``, ``failed``, ``users`` (tenants),
        tokens, ``cost_usd``, ``usd_a_request``, ``usd_a_user``, ``energy_j``, ``j_a_token`` (of output), ``watts``
        (mean over the span of the data), ``cap_w`` and ``headroom`` (power caps of the unit's nodes, and the share of
        them that is not drawn; null where units share a node); with prices ``priced_usd`` and ``apart_usd`` (cost less
        price), and requests and tenant days over the ceilings.
    title : str
        Where it comes from.

    Examples
    --------
    >>> Expenses(table=pl.DataFrame({"unit": ["all"]}), title="expenses").frame().height
    1
    """

    table: pl.DataFrame
    title: str

    @property
    def caption(self) -> str:
        """What a row is."""
        return "one row a unit"

    def frame(self) -> pl.DataFrame:
        """Return the table."""
        return self.table

    def __repr__(self) -> str:
        return display.plain(self.title)

    def _repr_html_(self) -> str:
        return display.frame_html(self.title, self.table, rows=100)


def load_prices(path: str | Path) -> Prices:
    """Read a price table.

    Parameters
    ----------
    path : str or pathlib.Path
        A YAML file.

    Returns
    -------
    Prices
        The table.

    Raises
    ------
    CausalrelError
        When the file is missing or not usable; all its faults are told at once.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "prices.yaml"
    ...     _ = path.write_text("{prices: list, version: 1, source: us, models: {m: {prompt: 1, output: 4}}}")
    ...     load_prices(path).models["m"].prompt
    1.0
    """
    file = Path(path)
    if not file.is_file():
        raise errors.unreadable(file, "no such file", "name a YAML file of prices")
    read = shipped.load_yaml(file, "price table")
    try:
        return Prices.model_validate(read[0] if len(read) == 1 else read)
    except ValidationError as fault:
        said = [f"{'.'.join(map(str, one['loc']))}: {one['msg'].lower()}" for one in fault.errors()]
        raise errors.bad_spec(path, said) from None


def tell_expenses(telemetry: Telemetry, by: str | Sequence[str] = "service", prices: Prices | None = None) -> Expenses:
    """Add up what requests cost, in money and energy; failed ones cost what they tell.

    Whole numbers are summed, money and energy as multiples of 2**-40, so units add up to ``all`` and no order matters.

    Parameters
    ----------
    telemetry : Telemetry
        Requests with tokens, ``cost_usd`` or ``energy_j``.
    by : str or sequence of str
        Columns that make a unit; where ``service`` is absent there is one.
    prices : Prices or None
        What tokens should cost.

    Returns
    -------
    Expenses
        One row a unit.

    Raises
    ------
    CausalrelError
        When there are no requests, nothing tells a cost, a column is absent, or a model has no price.

    Examples
    --------
    >>> import causalrel as cr
    >>> made = tell_expenses(cr.load_dataset("llm-canary"), by="model_version").frame()
    >>> bool(abs(made["cost_usd"][0] - made["cost_usd"][1:].sum()) < 1e-9)
    True
    """
    requests = telemetry.requests
    known = requests.collect_schema().names()
    keys = [by] if isinstance(by, str) else list(by)
    if keys == ["service"] and "service" not in known:
        keys = []
    for name in keys:
        if name not in known:
            raise errors.unknown_column(name, "by", known)
    told = [name for name in (*_TOKENS, *_MONEY) if name in known]
    if not told:
        raise errors.unknown_column("cost_usd", "expenses", known)
    rows = requests.filter(pl.col("time").is_not_null()).with_columns(
        *[_fixed(name) for name in _MONEY if name in known], unit=unit_text(keys)
    )
    span = collected(rows.select(span=pl.col("time").max() - pl.col("time").min()), telemetry.source).item()
    if span is None:
        raise errors.empty_data(telemetry.source)
    parts = [_sums(rows.with_columns(unit=pl.lit("all")), known, told, telemetry.source)]
    if keys:
        parts.append(_sums(rows, known, told, telemetry.source).sort("unit"))
    table = pl.concat(parts)
    if prices is not None:
        table = _priced(table, rows, known, prices, telemetry.source)
    seconds = max(span.total_seconds(), 1.0)
    says = f"Expenses of {telemetry.source} over {display.length(span)}" + (f" at {prices.prices}" if prices else "")
    return Expenses(table=_rates(_capped(table, rows, known, telemetry.source), seconds), title=says)


def _fixed(name: str) -> pl.Expr:
    sensible = pl.col(name).cast(pl.Float64).is_between(0, 1e12)
    return pl.when(sensible).then((pl.col(name) * _SCALE).round()).cast(pl.Int128, strict=False).alias(name)


def _sums(rows: pl.LazyFrame, known: Sequence[str], told: Sequence[str], source: str) -> pl.DataFrame:
    """Add up each unit."""
    failed = pl.col("error").count() if "error" in known else pl.lit(0)
    sums = [pl.col(name).sum() for name in told]
    users = [pl.col("tenant").drop_nulls().n_unique().alias("users")] if "tenant" in known else []
    made = rows.group_by("unit").agg(pl.len().alias("requests"), failed.alias("failed"), *users, *sums)
    money = [(pl.col(name).cast(pl.Float64) / _SCALE).alias(name) for name in _MONEY if name in told]
    return collected(made.with_columns(money), source).with_columns(pl.col(pl.UInt32).cast(pl.Int64))


def _priced(table: pl.DataFrame, rows: pl.LazyFrame, known: Sequence[str], prices: Prices, source: str) -> pl.DataFrame:
    """Add what the tokens of each unit should cost, and what is over a ceiling."""
    needed = [name for name in ("prompt_tokens", "output_tokens") if name not in known]
    if needed:
        raise errors.unknown_column(needed[0], f"price table '{prices.prices}'", known)
    only = next(iter(prices.models)) if len(prices.models) == 1 else None
    model = pl.col("model") if "model" in known else pl.lit(only, pl.String).alias("model")
    whole = [pl.col(name).fill_null(0).sum() if name in known else pl.lit(0).alias(name) for name in _TOKENS]
    summed = collected(rows.group_by("unit", model).agg(whole), source).sort("unit", "model")
    missing = sorted(set(summed["model"].fill_null("(none)")) - set(prices.models))
    if missing:
        raise errors.unknown_name(missing[0], f"model priced by '{prices.prices}'", prices.models)
    rate = {
        part: pl.col("model").replace_strict(
            {name: _rate_of(of, part) for name, of in prices.models.items()}, return_dtype=pl.Float64
        )
        for part in ("prompt", "cached", "output")
    }
    fresh = pl.col("prompt_tokens") - pl.col("cached_tokens")
    cost = fresh * rate["prompt"] + pl.col("cached_tokens") * rate["cached"] + pl.col("output_tokens") * rate["output"]
    priced = summed.with_columns(usd=cost / _MILLION)
    each = priced.group_by("unit", maintain_order=True).agg(priced_usd=pl.col("usd").sum())
    whole_row = pl.DataFrame({"unit": ["all"], "priced_usd": [float(priced["usd"].sum())]})
    made = table.join(pl.concat([whole_row, each.filter(pl.col("unit") != "all")]), on="unit", how="left")
    over = _over(rows, known, prices.ceilings, source)
    return made if over is None else made.join(over, on="unit", how="left", maintain_order="left")


def _rate_of(rates: Rates, part: str) -> float:
    return rates.prompt if part == "cached" and rates.cached is None else float(getattr(rates, part))


def _over(rows: pl.LazyFrame, known: Sequence[str], ceilings: Ceilings, source: str) -> pl.DataFrame | None:
    """Count requests and tenant days over their ceiling, for each unit and for all."""
    tokens = pl.col("prompt_tokens").fill_null(0) + pl.col("output_tokens").fill_null(0)
    made: pl.DataFrame | None = None
    for name, ceiling, group in (("request", ceilings.request, []), ("tenant_day", ceilings.tenant_day, ["tenant"])):
        if ceiling is None or any(key not in known for key in group):
            continue
        column = f"{name}s_over"
        counts = []
        for unit in (pl.lit("all").alias("unit"), pl.col("unit")):
            used = rows.select(unit, pl.col("time").dt.truncate("1d").alias("day"), *group, tokens=tokens)
            if group:
                used = used.group_by("unit", "day", *group).agg(pl.col("tokens").sum())
            over = (pl.col("tokens") > ceiling).sum().cast(pl.Int64).alias(column)
            counts.append(collected(used.group_by("unit").agg(over), source))
        both = pl.concat(counts).unique("unit", keep="first", maintain_order=True)
        made = both if made is None else made.join(both, on="unit", how="left", maintain_order="left")
    return made


def _capped(table: pl.DataFrame, rows: pl.LazyFrame, known: Sequence[str], source: str) -> pl.DataFrame:
    """Add the power that the caps of a unit's nodes allow, where the export tells caps, nodes and energy."""
    if not {"power_cap_w", "node", "energy_j"} <= set(known):
        return table
    cap = pl.col("power_cap_w") * (pl.col("gpu_count") if "gpu_count" in known else 1)
    parts = []
    for unit in (pl.lit("all").alias("unit"), pl.col("unit")):
        nodes = rows.select(unit, "node", cap=cap).group_by("unit", "node").agg(pl.col("cap").mean())
        shared = nodes.with_columns(shared=pl.len().over("node") > 1)
        whole = pl.when(~pl.col("shared").any()).then(pl.col("cap").sum())
        parts.append(collected(shared.group_by("unit").agg(cap_w=whole), source))
    both = pl.concat(parts).unique("unit", keep="first", maintain_order=True)
    return table.join(both, on="unit", how="left", maintain_order="left")


def _rates(table: pl.DataFrame, seconds: float) -> pl.DataFrame:
    """Add what follows from the sums."""
    there = set(table.columns)
    made: dict[str, pl.Expr] = {}
    if "cost_usd" in there:
        made["usd_a_request"] = pl.col("cost_usd") / pl.col("requests")
        if "users" in there:
            made["usd_a_user"] = pl.when(pl.col("users") > 0).then(pl.col("cost_usd") / pl.col("users"))
        if "priced_usd" in there:
            made["apart_usd"] = pl.col("cost_usd") - pl.col("priced_usd")
    if "energy_j" in there:
        if "output_tokens" in there:
            written = pl.col("output_tokens")
            made["j_a_token"] = pl.when(written > 0).then(pl.col("energy_j") / written)
        made["watts"] = pl.col("energy_j") / seconds
        if "cap_w" in there:
            drawn = pl.col("energy_j") / seconds / pl.col("cap_w")
            made["headroom"] = pl.when(pl.col("cap_w") > 0).then(1 - drawn)
    return table.with_columns(**made)
