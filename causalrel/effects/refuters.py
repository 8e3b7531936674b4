"""Refuters: DoWhy's ways to ask an effect again, of which each becomes a check with its figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from causalrel import errors
from causalrel.effects.columns import Level
from causalrel.effects.designs import make_design
from causalrel.effects.overlap import complete
from causalrel.effects.standards import regress, standardise
from causalrel.estimates import Check
from causalrel.variables import Variable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.windows import Windows

#: How often a refuter asks, and draws of each answer.
_SIMULATIONS = 10
_DRAWS = 200

#: Standard deviations of the answer that a common cause at random may move it by, and a fifth of the windows left out.
_MOVED = 1.0
_LEFT_OUT = 2.0

#: A placebo whose mean chance would give more rarely than this fails.
_LEVEL = 0.01

#: Refuters of DoWhy that mean nothing where windows remember, and why.
_UNSOUND = {
    "add_unobserved_common_cause": "the check of a hidden cause says how strong one must be",
    "bootstrap_refuter": "it repeats windows, which no chain in time allows",
    "dummy_outcome_refuter": "its outcome forgets, and ours remembers",
}

#: Name of the column that DoWhy adds for a common cause at random.
_RANDOM = "w_random"


def known_refuters(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of refuters, all of them known.

    Parameters
    ----------
    names : sequence of str
        By DoWhy's own method names.

    Returns
    -------
    tuple of str
        Each once.

    Raises
    ------
    CausalrelError
        When one is not among those that mean something where windows remember.

    Examples
    --------
    >>> known_refuters(["random_common_cause"])
    ('random_common_cause',)
    """
    if not names:
        return ()
    from causalrel.bridges.dowhy import REFUTERS

    for name in names:
        if name in _UNSOUND:
            raise errors.bad_question(f"effect: '{name}' is not asked: {_UNSOUND[name]}", f"ask {', '.join(REFUTERS)}")
        if name not in REFUTERS:
            raise errors.unknown_name(name, "refuter of effects of windows that remember", REFUTERS)
    return tuple(dict.fromkeys(names))


def refute_effect(
    windows: Windows,
    found: Any,
    of: str,
    on: str,
    fixed: Sequence[str],
    levels: tuple[Level, ...],
    assigned_by: Sequence[str],
    change: NDArray[np.float64],
    names: Sequence[str],
    seed: int,
) -> list[Check]:
    """Ask refuters of DoWhy about the effect of the second level over the first.

    Parameters
    ----------
    windows : Windows
        The windows.
    found : object
        What DoWhy identified.
    of, on : str
        Treatment and outcome.
    fixed : sequence of str
        What is held fixed.
    levels : tuple of level
        The baseline first.
    assigned_by : sequence of str
        What is held fixed and sets the treatment.
    change : ndarray of float64, shape (draws,)
        Our answer.
    names : sequence of str
        The refuters.
    seed : int
        Seed of what they draw.

    Returns
    -------
    list of Check
        One each.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> graph = cr.load_graph("llm-serving").project(windows.names)
    >>> answer = cr.effect(windows, graph, of="batch_size", on="tpot", refuters=["data_subset_refuter"])
    >>> [check.passed for check in answer.checks if check.name == "data_subset_refuter"]
    [True]
    """
    from causalrel.bridges import dowhy

    pair = (levels[0], levels[1])
    kept = complete(windows, [of, *fixed, on], of, pair)

    def answer(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        asked, also = _asked(kept, of, columns)
        held = (*fixed, *also)
        data = make_design(asked, asked.variable(of), on, held, pair, assigned_by)
        rows = np.arange(len(data.bad))
        at = [level if data.code is None else str(place) for place, level in enumerate(pair)]
        low, high = standardise(data, rows, regress(data, rows), at, _DRAWS, seed)
        return high - low

    told = {name: kept.table[name].to_numpy() for name in (of, *fixed)}
    told[on] = _outcome(kept, on)
    told["row"] = np.arange(kept.table.height, dtype=np.float64)
    asked: dict[str, Any] = {"of": of, "on": on, "levels": pair, "answer": answer, "simulations": _SIMULATIONS}
    return [_check(name, dowhy.refute(found, told, refuter=name, seed=seed, **asked), of, on, change) for name in names]


def _asked(kept: Windows, of: str, columns: Mapping[str, NDArray[Any]]) -> tuple[Windows, tuple[str, ...]]:
    """Return the windows as a refuter has changed them, and what is held fixed besides."""
    rows = columns["row"].astype(np.int64)
    table = kept.table[rows]
    if "placebo" in columns:
        placebo = pl.Series(of, columns["placebo"].tolist()).cast(kept.table[of].dtype)
        table = table.with_columns(placebo)
    if _RANDOM not in columns:
        return replace(kept, table=table), ()
    table = table.with_columns(pl.Series(_RANDOM, columns[_RANDOM]))
    variables = (*kept.variables, Variable(name=_RANDOM, role="workload", unit="1"))
    return replace(kept, table=table, variables=variables), (_RANDOM,)


def _outcome(kept: Windows, on: str) -> NDArray[np.float64]:
    if on in {slo.name for slo in kept.slos}:
        return (kept.table[f"{on}.bad"] / kept.table[f"{on}.total"]).to_numpy()
    return kept.table[on].cast(pl.Float64).to_numpy()


def _check(name: str, made: NDArray[np.float64], of: str, on: str, change: NDArray[np.float64]) -> Check:
    sd, ours = float(change.std()) or 1.0, float(change.mean())
    if name == "placebo_treatment_refuter":
        from scipy.stats import t

        error = float(made.std(ddof=1)) / np.sqrt(len(made)) or 1e-300
        chance = float(2 * t.sf(abs(made.mean()) / error, len(made) - 1))
        says = (
            f"{of} shuffled over the windows seems to change {on} by {made.mean():.3g} on average, ours is {ours:.3g}"
        )
        return Check(name=name, passed=chance >= _LEVEL, says=f"{says} ({len(made)} times, p = {chance:.2g})")
    most = float(np.abs(made - ours).max()) / sd
    limit = _MOVED if name == "random_common_cause" else _LEFT_OUT
    what = "a common cause at random held fixed" if name == "random_common_cause" else "a fifth of the windows left out"
    says = f"with {what} the effect is {made.mean():.3g} on average, ours is {ours:.3g}"
    says += f"; it moved by {most:.2f} of our standard deviations at most ({len(made)} times)"
    return Check(name=name, passed=most <= limit, says=says)
