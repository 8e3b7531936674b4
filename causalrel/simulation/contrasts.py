"""Contrasts: what an intervention really does, measured by running the same seeds with and without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from causalrel import errors
from causalrel.simulation.documents import Told
from causalrel.simulation.exports import export_requests
from causalrel.simulation.runs import run_scenario
from causalrel.slos import SLO
from causalrel.windows.plans import judged

_MEANS = {"cost_usd": "USD a request", "energy_j": "J a request"}


def bad_events(requests: pl.DataFrame, slos: Sequence[SLO]) -> pl.DataFrame:
    """Judge requests against SLOs; events that are not known to be good are bad.

    Parameters
    ----------
    requests : polars.DataFrame
        Requests in canonical columns.
    slos : sequence of SLO
        The SLOs.

    Returns
    -------
    polars.DataFrame
        One row a request and one Boolean column an SLO, null where the SLO does not count the request.

    Raises
    ------
    CausalrelError
        When an SLO needs a column that is absent.

    Examples
    --------
    >>> import causalrel as cr
    >>> served = SLO(name="served", dimension="availability", where="error IS NULL", target=0.99)
    >>> bad_events(pl.DataFrame({"error": [None, "oom"]}), [served])["served"].to_list()
    [False, True]
    """
    schema = dict(requests.schema)
    columns = {}
    for slo in slos:
        good, among = judged(slo, schema)
        columns[slo.name] = pl.when(among.fill_null(False)).then(~good.fill_null(False))
    return requests.select(**columns)


def pair_requests(
    name: Told,
    do: Mapping[str, object],
    *,
    instead: Mapping[str, object] | None = None,
    days: float | None = None,
    seed: int = 0,
) -> pl.DataFrame:
    """Return every request twice in one row: as it went, and as it would have gone.

    Parameters
    ----------
    name : str, Path, mapping or Scenario
        A shipped scenario, a path to a YAML file, or a scenario as it would stand in one.
    do : mapping of str to object
        The intervention.
    instead : mapping of str to object, optional
        What it is compared with; the plain run where left out.
    days : float, optional
        Length of the span in days.
    seed : int
        Seed of both runs.

    Returns
    -------
    polars.DataFrame
        All columns of the requests, then the same with the suffix ``_do``; arrivals and prompts are the same in both.

    Raises
    ------
    CausalrelError
        When the scenario or ``do`` cannot be used.

    Examples
    --------
    >>> pairs = pair_requests("llm-canary", {"batch_size": 8}, days=0.5)
    >>> bool((pairs["prompt_tokens"] == pairs["prompt_tokens_do"]).all())
    True
    """
    one, other = (export_requests(run_scenario(name, days=days, seed=seed, do=held)) for held in (instead, do))
    return pl.concat([one, other.select(pl.all().name.suffix("_do"))], how="horizontal")


def paired_change(
    name: Told,
    slos: Sequence[SLO],
    *,
    of: str,
    levels: tuple[object, object],
    days: float | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Measure the same on one seed.

    Parameters
    ----------
    name, slos, of, levels, days
        As in :func:`measure_effect`.
    seed : int
        Seed of both runs.

    Returns
    -------
    dict of str to float
        Change of each quantity from the first level to the second.

    Raises
    ------
    CausalrelError
        When the scenario or a level cannot be used.

    Examples
    --------
    >>> import causalrel as cr
    >>> slos = cr.load_slos("llm-chat")[:1]
    >>> paired_change("llm-canary", slos, of="batch_size", levels=(8, 8), days=0.5)["ttft"]
    0.0
    """
    low, high = (
        _summary(export_requests(run_scenario(name, days=days, seed=seed, do={of: level})), slos) for level in levels
    )
    return {quantity: high[quantity] - low[quantity] for quantity in low}


def measure_effect(
    name: Told,
    slos: Sequence[SLO],
    *,
    of: str,
    levels: tuple[object, object],
    seeds: Sequence[int],
    days: float | None = None,
) -> pl.DataFrame:
    """Measure what holding a setting at one level rather than another does, over the same seeds.

    Parameters
    ----------
    name : str, Path, mapping or Scenario
        A shipped scenario, a path to a YAML file, or a scenario as it would stand in one.
    slos : sequence of SLO
        The SLOs whose bad events are counted.
    of : str
        A setting.
    levels : tuple of two objects
        The level it is compared with, and the level it is raised to.
    seeds : sequence of int
        At least two seeds, one pair of runs each.
    days : float, optional
        Length of the span in days.

    Returns
    -------
    polars.DataFrame
        One row a quantity: ``quantity`` (an SLO's name for the change of its share of bad events, ``<slo>.burn`` for
        that of its burn rate, ``cost_usd`` and ``energy_j`` for the mean of a request), ``unit``, ``effect``,
        ``standard_error``.

    Raises
    ------
    CausalrelError
        When the scenario or a level cannot be used, or there are too few seeds.

    Examples
    --------
    >>> import causalrel as cr
    >>> slos = cr.load_slos("llm-chat")[:1]
    >>> measured = measure_effect("llm-canary", slos, of="batch_size", levels=(4, 8), seeds=(0, 1), days=0.5)
    >>> measured["quantity"].to_list()
    ['ttft', 'ttft.burn', 'cost_usd', 'energy_j']
    """
    if len(seeds) < 2:
        raise errors.bad_question(f"{len(seeds)} seeds give no standard error", "give at least two")
    pairs = [paired_change(name, slos, of=of, levels=levels, days=days, seed=seed) for seed in seeds]
    changes = {quantity: np.array([pair[quantity] for pair in pairs]) for quantity in pairs[0]}
    units = {f"{slo.name}.burn": "1" for slo in slos} | _MEANS
    return pl.DataFrame(
        {
            "quantity": list(changes),
            "unit": [units.get(quantity, "share of events") for quantity in changes],
            "effect": [float(change.mean()) for change in changes.values()],
            "standard_error": [float(change.std(ddof=1) / np.sqrt(change.size)) for change in changes.values()],
        }
    )


def _summary(requests: pl.DataFrame, slos: Sequence[SLO]) -> dict[str, float]:
    bad = bad_events(requests, slos)
    facts: dict[str, float] = {}
    for slo in slos:
        share = float(bad[slo.name].mean() or 0.0)  # type: ignore[arg-type]
        facts |= {slo.name: share, f"{slo.name}.burn": share / slo.allowed}
    return facts | {column: float(requests[column].mean()) for column in _MEANS}  # type: ignore[arg-type]
