"""Thresholds: how far a metric may go while windows still meet an SLO, with the band that the days seen leave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from causalrel import display, errors
from causalrel.estimates import Check, Estimate, refusal
from causalrel.mechanisms.drafts import rows_of
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_DRAWS = 500
_STEPS = 100
#: Windows below which a share is not read off, and days below which the band is not trusted.
_LEAST, _FEW_DAYS = 20, 5

_METHOD = (
    "the largest bound below which the share of windows that met the SLO is enough, at hundredths of the windows, "
    "with the days weighted anew in each draw (Bayesian bootstrap)"
)


def bound(windows: Windows, *, of: Sequence[str], on: str, p: float = 0.9, seed: int = 0) -> Estimate:
    """Bound metrics so that of the windows below each bound a share ``p`` meets an SLO.

    A bound tells when to worry, not what would happen if the metric were forced below it: see :func:`causalrel.effect`.

    Parameters
    ----------
    windows : Windows
        The windows.
    of : sequence of str
        Numeric variables, such as ``queue_s``, ``kv_usage`` or ``batch_size``; each is bounded alone.
    on : str
        The SLO; a window meets it where its share of bad events is within what the SLO allows.
    p : float
        Share of the windows below a bound that shall meet it.
    seed : int
        Seed of the draws.

    Returns
    -------
    Estimate
        Terms ``slo``, ``quantity``, ``unit``, ``metric``: the ``bound``, and the share of windows ``below`` it. Bounded
        where even the lowest values of a metric do not reach ``p``, which then has none, or on fewer than five days;
        refused where no metric has one. Days are weighted by the Bayesian bootstrap (Rubin 1981,
        doi:10.1214/aos/1176345338).

    Raises
    ------
    CausalrelError
        When a variable is no number or never varied, or ``p`` is no probability.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="30m", by="node")
    >>> answer = cr.bound(windows, of=["queue_s"], on="ttft", p=0.8)
    >>> answer.verdict, answer.terms["quantity"].to_list()
    ('answered', ['bound', 'below'])
    """
    if not 0 < p < 1:
        raise errors.bad_question(f"bound: {p} is no share of windows", "write one between 0 and 1, as 0.9")
    if not of:
        raise errors.bad_question("bound: no metric is named", "name one such as queue_s")
    slo = windows.slo(on)
    question = f"Up to which {' and '.join(of)} do {display.percent(p)} of the windows meet {on}?"
    rows: list[tuple[str, str, str, str]] = []
    parts: list[Floats] = []
    checks: list[Check] = []
    for number, name in enumerate(of):
        values, met, days = _seen(windows, name, on, slo.allowed)
        found = _bounds(values, met, days, p, np.random.default_rng([seed, 8, number]))
        checks += [_reach(name, on, p, found), _history(name, len(np.unique(days)))]
        if not checks[-2].passed:
            continue
        ends = np.where(np.isnan(found), values.min(), found)
        rows += [(on, "bound", windows.variable(name).unit, name), (on, "below", "1", name)]
        parts += [ends, np.searchsorted(np.sort(values), ends, side="right") / len(values)]
    origin = windows.origin(seed)
    if not parts:
        return refusal(question, method=_METHOD, checks=checks, origin=origin)
    return Estimate(
        question=question,
        draws=np.column_stack(parts),
        terms=pl.DataFrame(rows, schema=["slo", "quantity", "unit", "metric"], orient="row"),
        unit=rows[0][2],
        method=_METHOD,
        assumptions=("the windows to come resemble those seen, other metrics and load included",),
        checks=tuple(checks),
        verdict="answered" if all(check.passed for check in checks) else "bounded",
        origin=origin,
    )


def _seen(windows: Windows, name: str, on: str, allowed: float) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Return values, whether each window met the SLO, and its day."""
    if name not in windows.table.columns:
        raise errors.unknown_variable(name, "bound", windows.names)
    if windows.variable(name).kind == "category":
        raise errors.bad_question(f"bound: '{name}' is a label, which has no bound", "name a number such as queue_s")
    columns, _ = rows_of(windows, [name, on])
    values = columns[name]
    if len(np.unique(values)) < 2:
        raise errors.bad_question(f"bound: '{name}' never varied, so no bound can be told", "name a metric that did")
    met = np.where(columns[f"{on}.bad"] <= allowed * columns[f"{on}.total"], 1.0, 0.0)
    return values, met, (columns["step"] * int(windows.width.total_seconds()) // 86_400).astype(np.int64)


def _bounds(values: Floats, met: Floats, days: NDArray[np.int64], p: float, rng: np.random.Generator) -> Floats:
    """Draw bounds; nan where not even the lowest values reach ``p``."""
    grid = np.unique(np.quantile(values, np.arange(1, _STEPS + 1) / _STEPS, method="lower"))
    step = np.searchsorted(grid, values)
    _, day = np.unique(days, return_inverse=True)
    shape = (int(day.max()) + 1, len(grid))
    seen, kept = np.zeros(shape), np.zeros(shape)
    np.add.at(seen, (day, step), 1.0)
    np.add.at(kept, (day, step), met)
    weights = rng.dirichlet(np.ones(shape[0]), size=_DRAWS)
    below, good = (weights @ part.cumsum(axis=1) for part in (seen, kept))
    enough = (good >= p * below) & (seen.sum(axis=0).cumsum() >= min(_LEAST, len(values)))
    last = len(grid) - 1 - enough[:, ::-1].argmax(axis=1)
    made: Floats = np.where(enough.any(axis=1), grid[last], np.nan)
    return made


def _reach(name: str, on: str, p: float, found: Floats) -> Check:
    missed = float(np.isnan(found).mean())
    said = f"{display.percent(p)} of the windows of low {name} meet {on}"
    if missed > 0.05:
        said = f"not even among the lowest {name} do {display.percent(p)} of the windows meet {on}"
    return Check(name=f"{name}: reach", passed=missed <= 0.05, says=said)


def _history(name: str, days: int) -> Check:
    return Check(
        name=f"{name}: history", passed=days >= _FEW_DAYS, says=f"{name} was seen on {days} days; 5 are the least"
    )
