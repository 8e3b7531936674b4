"""Blankets: the metrics that an objective needs, and the price of doing without one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from causalrel import display, errors
from causalrel.graphs import Graph
from causalrel.mechanisms.drafts import rows_of
from causalrel.mechanisms.regressions import fit_rate, time_groups
from causalrel.networks import expit, make_term
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Parts of the time that take turns in being predicted from the others, each of so many stretches spread over it: what
#: lasts is seen in every part.
_FOLDS, _STRETCHES = 5, 4
#: Share of the time, at its end, that chooses nothing and judges the choice.
_HELD_OUT = 0.25
_FEWEST = 50

#: Loss of each window (natural-log units, summed over events), from the names of metrics.
Losses = Callable[[Sequence[str]], "NDArray[np.float64]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """What an objective loses with each metric, and the fewest metrics that lose next to nothing.

    Parameters
    ----------
    on : str
        The objective.
    table : polars.DataFrame
        One row a metric, the dearest first: ``metric``, ``role``, ``in_blanket`` (of the graph), ``kept`` (one of the
        fewest), ``log_loss`` an event without it, its ``price`` and the 90 % interval ``low`` to ``high``.
    log_loss : float
        Loss an event with all metrics, in natural-log units.
    blind : float
        Loss an event without any metric.
    tolerance : float
        Share of the loss that the fewest metrics may add.
    reached : bool
        Whether half of the metrics were enough for that.
    rise : float
        Share of the loss that they add on the held-out end of the time.
    blanket_rise : float
        Share of the loss that the graph's blanket adds there.
    held_out : int
        Events there.

    Examples
    --------
    >>> table = pl.DataFrame({"metric": ["load", "queue_s"], "in_blanket": [False, True], "kept": [False, True]})
    >>> Ranking(
    ...     on="ttft",
    ...     table=table,
    ...     log_loss=0.1,
    ...     blind=0.2,
    ...     tolerance=0.01,
    ...     reached=True,
    ...     rise=0.002,
    ...     blanket_rise=0.001,
    ...     held_out=900,
    ... ).kept
    ('queue_s',)
    """

    on: str
    table: pl.DataFrame
    log_loss: float
    blind: float
    tolerance: float
    reached: bool
    rise: float
    blanket_rise: float
    held_out: int

    @property
    def kept(self) -> tuple[str, ...]:
        """The fewest metrics found whose loss is within the tolerance."""
        return tuple(self.table.filter("kept")["metric"].to_list())

    @property
    def says(self) -> str:
        """The ranking as a sentence."""
        kept = ", ".join(self.kept) or "no metric"
        missed = "" if self.reached else ", which half of the metrics did not reach"
        return (
            f"{self.on} needs {len(self.kept)} of {self.table.height} metrics ({kept}): without the others the log "
            f"loss rises by {self.rise:.2%} on the last {_HELD_OUT:.0%} of the time, which chose nothing "
            f"({self.held_out:,} events; {self.tolerance:.0%} was allowed where they were chosen{missed})"
        )

    def frame(self) -> pl.DataFrame:
        """Return the metrics and their prices.

        Returns
        -------
        polars.DataFrame
            One row a metric.
        """
        return self.table

    def __repr__(self) -> str:
        return display.plain(f"Ranking: {self.says}")

    def _repr_html_(self) -> str:
        return display.frame_html(repr(self), self.table, rows=40)


def rank_metrics(windows: Windows, graph: Graph, *, on: str, tolerance: float = 0.01) -> Ranking:
    """Rank metrics by the log loss that an objective's events gain when one of them is dropped.

    The share of bad events is a logistic regression on linear splines of the metrics; each of five parts of the time,
    of four stretches each, is predicted from the others, with all metrics and without one. Intervals take the
    differences of loss summed in time blocks as independent, and the fits as given. The fewest metrics are found
    greedily, adding the one that helps most until what the others would add, and its standard error, are within the
    tolerance (Breiman et al. 1984, Classification and Regression Trees, section 3.4.3), or half of the metrics are
    there; then those are left out that are no longer needed. The last quarter of the time takes no part in it and tells
    what the choice costs; a metric that tells of a change in that quarter alone is not kept.

    Parameters
    ----------
    windows : Windows
        The windows; every variable of theirs that varies is a metric, outcomes left out.
    graph : Graph
        Whose Markov blanket of the objective is told beside the prices.
    on : str
        An SLO of windows and graph.
    tolerance : float
        Share of the loss that the fewest metrics may add, its standard error included.

    Returns
    -------
    Ranking
        Metrics, prices and the fewest.

    Raises
    ------
    CausalrelError
        When the SLO is unknown, or there are too few windows or bad events.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("batch-under-load"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> ranking = rank_metrics(windows, cr.load_graph("llm-serving").project(windows.names), on="ttft")
    >>> ranking.frame().columns
    ['metric', 'role', 'in_blanket', 'kept', 'log_loss', 'price', 'low', 'high']
    >>> 0 < len(ranking.kept) <= ranking.frame().height
    True
    """
    blanket = graph.blanket(on)
    columns, metrics = _metrics(windows, on)
    early, late = _split(columns["step"])
    losses = _crossed(columns, on, early)
    events, step = columns[f"{on}.total"][early], columns["step"][early]
    full = losses(metrics)
    rows = []
    for metric in metrics:
        without = losses([other for other in metrics if other != metric])
        price, _, half = _ratio(without - full, events, step)
        rows.append((metric, without.sum() / events.sum(), price, price - half, price + half))
    most = tolerance * float(full.sum() / events.sum())

    def enough(names: Sequence[str]) -> bool:
        return sum(_ratio(losses(names) - full, events, step)[:2]) <= most

    kept = _fewest(metrics, losses, enough)
    sets = (metrics, kept, [metric for metric in metrics if metric in blanket])
    told, fewer, inside = (_predicted(columns, on, names, early, late).sum() for names in sets)
    table = pl.DataFrame(rows, schema=["metric", "log_loss", "price", "low", "high"], orient="row")
    table = table.with_columns(
        pl.Series("role", [windows.variable(metric).role for metric in metrics]),
        pl.col("metric").is_in(blanket).alias("in_blanket"),
        pl.col("metric").is_in(kept).alias("kept"),
    )
    return Ranking(
        on=on,
        table=table.select("metric", "role", "in_blanket", "kept", "log_loss", "price", "low", "high").sort(
            ["price", "metric"], descending=[True, False]
        ),
        log_loss=float(full.sum() / events.sum()),
        blind=float(losses([]).sum() / events.sum()),
        tolerance=tolerance,
        reached=enough(kept),
        rise=float(fewer / told - 1),
        blanket_rise=float(inside / told - 1),
        held_out=int(columns[f"{on}.total"][late].sum()),
    )


def _metrics(windows: Windows, on: str) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Return complete windows as columns, and the names of the metrics that vary in them."""
    windows.slo(on)
    wanted = [v.name for v in windows.variables if v.role != "outcome" and windows.table[v.name].drop_nulls().len()]
    columns, kept = rows_of(windows, [on, *wanted])
    asked = f"ranking the metrics of '{on}'"
    if kept.height < _FEWEST:
        raise errors.refused(asked, f"it needs {_FEWEST} complete windows and there are {kept.height}")
    bad, total = columns[f"{on}.bad"].sum(), columns[f"{on}.total"].sum()
    if not 0 < bad < total:
        raise errors.refused(asked, "its events are all good or all bad, and a loss needs both")
    return columns, [name for name in wanted if len(np.unique(columns[name])) > 1]


def _split(step: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    last = np.quantile(np.unique(step), 1 - _HELD_OUT)
    return np.flatnonzero(step <= last), np.flatnonzero(step > last)


def _crossed(columns: Mapping[str, NDArray[Any]], on: str, rows: NDArray[np.intp]) -> Losses:
    """Return the loss of each row when its part of the time is predicted from the others."""
    steps, count = np.unique(columns["step"][rows]), _FOLDS * _STRETCHES
    fold = np.searchsorted(np.quantile(steps, np.arange(1, count) / count), columns["step"][rows]) % _FOLDS
    made: dict[frozenset[str], NDArray[np.float64]] = {}

    def losses(names: Sequence[str]) -> NDArray[np.float64]:
        key = frozenset(names)
        if key not in made:
            made[key] = np.empty(len(rows))
            for k in range(_FOLDS):
                made[key][fold == k] = _predicted(columns, on, names, rows[fold != k], rows[fold == k])
        return made[key]

    return losses


def _predicted(
    columns: Mapping[str, NDArray[Any]],
    on: str,
    names: Sequence[str],
    rows: NDArray[np.intp],
    others: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Fit to some rows and return the log loss of others, metrics held to the range that was fitted to."""
    fitted, asked = [np.ones((len(rows), 1))], [np.ones((len(others), 1))]
    for name in names:
        seen, new = columns[name][rows], columns[name][others]
        if len(np.unique(seen)) < 2:
            continue
        category = seen.dtype.kind == "U"
        term = make_term(name, seen, category=category)
        fitted.append(term.columns(seen))
        asked.append(term.columns(new if category else np.clip(new, seen.min(), seen.max())))
    bad, total = columns[f"{on}.bad"], columns[f"{on}.total"]
    made = fit_rate(np.hstack(fitted), bad[rows], total[rows], np.arange(len(rows)))
    p = np.clip(expit(np.hstack(asked) @ made.mean), 1e-9, 1 - 1e-9)
    loss: NDArray[np.float64] = -(bad[others] * np.log(p) + (total[others] - bad[others]) * np.log1p(-p))
    return loss


def _ratio(
    gain: NDArray[np.float64], events: NDArray[np.float64], step: NDArray[np.int64]
) -> tuple[float, float, float]:
    """Return a ratio of sums, its standard error and half its 90 % interval, time blocks being independent."""
    from scipy.stats import t

    ratio = float(gain.sum() / events.sum())
    left = gain - ratio * events
    groups, _ = time_groups(step, left)
    sums = np.bincount(groups, weights=left)
    count = len(np.unique(groups))
    error = float(np.sqrt((sums**2).sum() * count / max(1, count - 1)) / events.sum())
    return ratio, error, float(t.ppf(0.95, max(1, count - 1))) * error


def _fewest(metrics: Sequence[str], losses: Losses, enough: Callable[[Sequence[str]], bool]) -> list[str]:
    """Add the metric that helps most until they are enough or half, then drop those that they are enough without."""
    kept: list[str] = []
    while len(kept) < len(metrics) // 2 and not enough(kept):
        left = [metric for metric in metrics if metric not in kept]
        kept.append(min(left, key=lambda metric: float(losses([*kept, metric]).sum())))
    for metric in list(kept):
        rest = [other for other in kept if other != metric]
        if enough(rest):
            kept = rest
    return kept
