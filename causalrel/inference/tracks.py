"""Tracks: the chances of a variable's states in every window, from what came before, from all, or looking ahead."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from causalrel import display, errors
from causalrel.estimates import Estimate
from causalrel.inference.courses import Asked, blank, codes_of, set_course, tables_of, told
from causalrel.inference.slices import Course, chances, filter_slices, seen_course, slices_of
from causalrel.networks import Network
from causalrel.tables import Table
from causalrel.telemetry.schema import TIME
from causalrel.variables import parse_duration, parse_time
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_NUMBERS = 50_000_000


def infer(
    windows: Windows,
    network: Network,
    *,
    of: str,
    by: Literal["filter", "smooth"] = "filter",
    do: Asked | None = None,
    since: datetime | str | None = None,
    horizon: str | None = None,
    draws: int = 200,
    seed: int = 0,
) -> Estimate:
    """Tell the chances of a variable's states in every window, and in windows still to come.

    What a window lacks is inferred from the others, exactly; a window of nulls is one step without news. Filtering is
    linear in the number of windows.

    Parameters
    ----------
    windows : Windows
        The windows; each unit is a run of its own.
    network : Network
        A network of tables with the same variables.
    of : str
        The variable.
    by : {"filter", "smooth"}
        Whether a window is told from itself and those before, or from all of its unit.
    do : mapping of str to state or mapping of state to chance, optional
        Variables that are set; chances in place of a state are a soft intervention.
    since : datetime.datetime or str, optional
        From when they are set; what is seen from then on is left out. From the end of each unit where not said.
    horizon : str, optional
        How far to look ahead of each unit's last window, such as ``6h``.
    draws : int
        Draws of the tables; 0 for their mean alone.
    seed : int
        Seed of the draws.

    Returns
    -------
    Estimate
        One term a unit (``place``), window (``time``) and ``state``: its chance.

    Raises
    ------
    CausalrelError
        When the windows do not fit the network, there is no such variable or state, nothing is ahead to be set, or the
        answer would need more memory than is allowed.

    References
    ----------
    Murphy 2002, "Dynamic Bayesian Networks", chapter 3.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h")
    >>> roles = {"load": "workload", "queue_s": "engine"}
    >>> graph = cr.Graph.from_edges([("load", "load", 1), ("load", "queue_s"), ("queue_s", "queue_s", 1)], roles=roles)
    >>> network = cr.fit(windows, graph)
    >>> ahead = infer(windows, network, of="queue_s", horizon="3h")
    >>> ahead.terms["time"].n_unique() - windows.table.height
    3
    """
    tables = tables_of(network, "infer")
    if of not in tables:
        raise errors.unknown_variable(of, "infer", tables)
    if by not in ("filter", "smooth"):
        raise errors.bad_question(f"infer: by='{by}' is unknown", "write by='filter' or by='smooth'")
    ahead = -(-parse_duration(horizon, "horizon") // windows.width) if horizon else 0
    slices = slices_of(tables, np.random.default_rng([seed, 4]), draws)
    codes = codes_of(windows, network, "infer")
    labels = tables[of].states.labels
    numbers = sum(len(rows) + ahead for rows in codes.values()) * len(labels) * slices.draws
    if numbers > _MOST_NUMBERS:
        raise errors.over_limit(
            f"infer: the answer would hold {numbers:,} numbers, more than {_MOST_NUMBERS:,}",
            "ask with draws=0, of fewer windows, or of a shorter horizon",
        )
    found, frames = [], []
    for place, rows in codes.items():
        times = _times(windows, place, ahead)
        course = _course(rows, ahead, tables, do or {}, _set_from(times, since, len(rows), bool(do)))
        chance = chances(slices, course, of, smooth=by == "smooth")
        if np.isnan(chance).any():
            raise errors.refused("infer", f"what '{place}' shows cannot be under the network")
        found.append(chance.reshape(len(chance), -1))
        frames.append(_terms(place, times, labels))
    doing = f", had one set {told(do)}" if do else ""
    return Estimate(
        question=display.plain(f"What are the chances of {of} in each window{doing}?"),
        draws=np.concatenate(found, axis=1),
        terms=pl.concat(frames),
        unit="1",
        method=f"exact {'smoothing' if by == 'smooth' else 'filtering'} by the interface algorithm",
        assumptions=("the graph is right and its tables do not change", "values are missing at random"),
        checks=network.checks,
        verdict="answered",
        origin=windows.origin(seed, network.graph.fingerprint()),
    )


def log_score(windows: Windows, network: Network) -> NDArray[np.float64]:
    """Return the log chance of what each window shows given the windows before, under mean tables.

    Parameters
    ----------
    windows : Windows
        The windows.
    network : Network
        A network of tables.

    Returns
    -------
    ndarray of float64, shape (n_windows,)
        Natural logarithms, windows in the order of their table.
    """
    slices = slices_of(tables_of(network, "log_score"), np.random.default_rng(0), 0)
    runs = codes_of(windows, network, "log_score").values()
    return np.concatenate([filter_slices(slices, seen_course(rows))[1][:, 0] for rows in runs])


def _course(rows: NDArray[np.int64], ahead: int, tables: Mapping[str, Table], do: Asked, since: int) -> Course:
    codes = np.concatenate([rows, blank(ahead, rows.shape[1])])
    if do:
        codes[since:] = -1
    return set_course(seen_course(codes), tables, do, since, "infer")


def _set_from(times: pl.Series, since: datetime | str | None, seen: int, doing: bool) -> int:
    """Return the first step at which something is set."""
    if not doing:
        return seen
    first = seen if since is None else int((times < parse_time(since, "since")).sum())
    if first >= len(times):
        raise errors.bad_question(
            "infer: nothing is set in any window, as all end before", "say horizon=, or an earlier since="
        )
    return first


def _times(windows: Windows, place: str, ahead: int) -> pl.Series:
    seen = windows.table.filter(pl.col("unit") == place)["time"]
    later = [seen[-1] + windows.width * step for step in range(1, ahead + 1)]
    return pl.concat([seen, pl.Series("time", later, dtype=TIME)])


def _terms(place: str, times: pl.Series, labels: tuple[str, ...]) -> pl.DataFrame:
    count = len(times) * len(labels)
    head = {"slo": [""] * count, "quantity": ["chance"] * count, "unit": ["1"] * count, "place": [place] * count}
    return pl.DataFrame(head).with_columns(
        time=times.gather(np.repeat(np.arange(len(times)), len(labels))), state=pl.Series(list(labels) * len(times))
    )
