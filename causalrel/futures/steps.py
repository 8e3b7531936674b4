"""Steps: by how much the odds of bad events move when configuration is set, or when more or less of a workload comes.

Engine metrics are left out. The effect of what can be set needs nothing of what it acts through, and to ask for that is
to ask for more: a batch or a backlog shares causes with the latency of its window that nobody measures, such as when in
it requests came, and one that keeps what it had beyond its cause, and moves with it, runs out of what an engine can do.
So steps are read off windows, given configuration, hardware and workload (a latent projection; Evans 2016,
doi:10.1111/sjos.12194; of mediators Pearl 2009, section 4.5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from causalrel import display, errors
from causalrel.configurations import FEW
from causalrel.estimates import Check
from causalrel.fitting import fit
from causalrel.futures import Move, add_up
from causalrel.futures.histories import Past, times_of
from causalrel.inference import check_forms, produce
from causalrel.mechanisms.drafts import rows_of
from causalrel.networks import Network
from causalrel.slos import SLO
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: How workload is moved.
GROWN = (
    "workload moved by an expression on itself in every window, the odds of a bad event by as much as SLOs fitted to "
    "all windows say in one half of the futures, and in the other those fitted to windows configured as asked"
)
#: What must be true for it.
ASSUMED = (
    "what comes more is like what came: of the same kinds, at the same hours",
    "no limit that the windows show nothing of lies beyond them",
)

#: Share of the windows beyond what counts as seen, of those that may be beyond it, and of those held out at least.
_EDGE, _LITTLE, _HELD = 0.01, 0.02, 0.1
#: Part of a step in log odds that is missed, before one is tried; and where the step tells nothing.
_MISSED, _ALL = 0.2, 1.0
#: Least share of the windows that a trial is fitted to, and that windows configured as asked must be.
_LEFT, _ALIKE = 0.5, 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """By how much SLOs move.

    Parameters
    ----------
    moves : dict of str to Move
        By SLO, what is added to the log odds of a bad event, and how many times as many come; empty where nobody can
        tell.
    checks : tuple of Check
        What moved workload relies on; ``workload seen`` refuses.
    """

    moves: dict[str, Move]
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Edge:
    """How far a workload was seen on the side it moves to, and beyond which as long a step is tried."""

    name: str
    up: bool
    seen: float
    asked: float
    limit: float

    def past(self, values: Any, bound: float) -> Any:
        """Tell which values lie beyond a bound."""
        return values > bound if self.up else values < bound


def account_of(windows: Windows, network: Network, seed: int) -> Network:
    """Fit outcomes to workload, configuration and hardware alone.

    Parameters
    ----------
    windows : Windows
        The windows.
    network : Network
        A network fitted to them.
    seed : int
        Seed of the fit.

    Returns
    -------
    Network
        The same network where nothing lies between, or where windows are too few for it.

    Raises
    ------
    CausalrelError
        When a variable follows a table of states.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> network = cr.fit(windows, cr.load_graph("llm-serving").project(windows.names))
    >>> account_of(windows, network, 0).mechanism("tpot").parents
    ('load', 'prompt_tokens', 'output_tokens', 'batch_size', 'model_version', 'sm_clock_mhz')
    """
    check_forms(network.mechanisms)
    kept = [m.variable.name for m in network.mechanisms if m.form == "observed" or m.variable.role == "outcome"]
    if len(kept) == len(network.mechanisms):
        return network
    try:
        return fit(windows, network.graph.project(kept), draws=network.n_draws, seed=seed)
    except errors.CausalrelError:
        return network


def steps_of(
    windows: Windows,
    account: Network,
    past: Past,
    asked: Mapping[str, NDArray[Any]],
    workload: Mapping[str, Floats],
    draws: int,
    seed: int,
) -> Steps:
    """Tell how what is set, and workload moved beside it, move the odds of bad events, and how many come.

    How wrong the account is of a step of workload is tried: windows with most of it, a tenth of all and as many as the
    step is long, are held out of a fit, and by the part by which it misses the step up to them draws are stretched.

    Parameters
    ----------
    windows : Windows
        The windows.
    account : Network
        Outcomes by what can be set and what comes, as :func:`account_of` gives it.
    past : Past
        The days that futures are drawn from.
    asked : mapping of str to ndarray, shape (n_rows,)
        Configuration and hardware set.
    workload : mapping of str to ndarray of float64, shape (n_rows,)
        Workload moved.
    draws : int
        Number of futures.
    seed : int
        Seed of fits and draws.

    Returns
    -------
    Steps
        The moves, or a failed check of why there are none.

    Raises
    ------
    CausalrelError
        When windows lack what the account needs.

    Examples
    --------
    >>> import causalrel as cr
    >>> from datetime import timedelta
    >>> from causalrel.futures.histories import past_of
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> network = cr.fit(windows, cr.load_graph("llm-serving").project(windows.names))
    >>> past = past_of(windows, network, timedelta(days=1), also=("load",))
    >>> account = account_of(windows, network, 0)
    >>> made = steps_of(windows, account, past, {}, {"load": past.columns["load"] * 1.2}, 100, 0)
    >>> bool(made.moves["ttft"].odds.mean() > 0), float(made.moves["ttft"].growth.mean().round(3))
    (True, 1.2)
    """
    rng = np.random.default_rng([seed, 30])
    names = [slo.name for slo in past.slos]
    picked = {name: rng.integers(account.n_draws, size=draws) for name in names}
    scenes: dict[str, Mapping[str, NDArray[Any]]] = {"as is": {}, "set": asked}
    if not workload:
        told = _odds(past, account, scenes)
        return Steps(moves={name: Move(odds=_between(told, "as is", "set", name, picked[name])) for name in names})
    edges = [_edge(windows, name, past.columns[name], values) for name, values in workload.items()]
    missed = _try(windows, account, edges, names, seed)
    if isinstance(missed, Check):
        return Steps(moves={}, checks=(missed,))
    far = float(np.any([edge.past(workload[edge.name], edge.seen) for edge in edges], axis=0).mean())
    checks = (Check(name="workload seen", passed=True, says=_reach(edges)), _told(far, edges, missed))
    scenes["moved"] = {**asked, **workload}
    accounts = [account, *_alike(windows, account, {**past.current, **asked}, seed)]
    told, *others = [_odds(past, one, scenes) for one in accounts]
    moves = {}
    for slo in past.slos:
        grown = np.array([_between(one, "set", "moved", slo.name, picked[slo.name]) for one in (told, *others)])
        grown = grown[np.arange(draws) % len(grown), np.arange(draws)]
        grown = grown * (1 + missed[slo.name] * rng.standard_normal((draws, 1)))
        total = past.columns[f"{slo.name}.total"]
        times = times_of(past, workload if slo.method == "Occurrences" else {})
        moves[slo.name] = Move(
            odds=_between(told, "as is", "set", slo.name, picked[slo.name]) + grown,
            growth=past.binned(total * times) / np.maximum(past.binned(total), 1e-9),
        )
    return Steps(moves=moves, checks=checks)


def _edge(windows: Windows, name: str, was: Floats, asked: Floats) -> _Edge:
    seen = rows_of(windows, [name])[0][name]
    up = bool(asked.mean() >= was.mean())
    edge, reach = (float(np.quantile(one, 1 - _EDGE if up else _EDGE)) for one in (seen, asked))
    step = edge**2 / reach if min(edge, reach) > 0 else 2 * edge - reach
    held = float(np.quantile(seen, 1 - _HELD if up else _HELD))
    return _Edge(name=name, up=up, seen=edge, asked=reach, limit=min(step, held) if up else max(step, held))


def _reach(edges: Sequence[_Edge]) -> str:
    said = []
    for edge in edges:
        side = "more" if edge.up else "less"
        said.append(
            f"1% of the windows had {side} {edge.name} than {_short(edge.seen):g}, and would have {side} than "
            f"{_short(edge.asked):g}"
        )
    return "; ".join(said)


def _short(value: float) -> float:
    return float(f"{value:.3g}")


def _told(share: float, edges: Sequence[_Edge], missed: Mapping[str, float]) -> Check:
    bounds = " or ".join(f"{edge.name} {'above' if edge.up else 'below'} {_short(edge.limit):g}" for edge in edges)
    parts = ", ".join(f"{name} by {display.percent(part)}" for name, part in missed.items())
    says = (
        f"{display.percent(share)} of the windows would lie beyond what 99% of them had; of steps in log odds, as "
        f"tried on windows of {bounds}, this much may be missed: {parts}"
    )
    return Check(name="workload tried", passed=share <= _LITTLE, says=says)


def _try(
    windows: Windows, account: Network, edges: Sequence[_Edge], slos: Sequence[str], seed: int
) -> dict[str, float] | Check:
    """Return by what part a step in log odds is missed where as long a one is held out, or why it cannot be."""
    within = pl.all_horizontal(~edge.past(pl.col(edge.name), edge.limit) for edge in edges)
    rows, _ = rows_of(windows, [m.variable.name for m in account.causes([*slos, *(edge.name for edge in edges)])])
    held = np.any([edge.past(rows[edge.name], edge.limit) for edge in edges], axis=0)
    left = float(1 - held.mean())
    why = ""
    if left < _LEFT:
        why = f"{display.percent(left)} of the windows had so little that as long a step could be tried"
    else:
        try:
            fitted = fit(_only(windows, within, account.slos), account.graph, draws=account.n_draws, seed=seed)
            return {name: _miss(fitted, name, rows, held) for name in slos}
        except errors.CausalrelError as fault:
            why = f"a step as long cannot be tried: {fault.message}"
    return Check(name="workload seen", passed=False, says=f"{_reach(edges)}; {why}")


def _miss(fitted: Network, name: str, rows: Mapping[str, NDArray[Any]], held: NDArray[np.bool_]) -> float:
    """Return by what part the step in log odds from the other rows to those held out is missed."""
    bad, total = rows[f"{name}.bad"], rows[f"{name}.total"]
    at = {key: column[held] for key, column in rows.items()}
    told = (total[held][:, None] * produce(fitted.mechanism(name), at, None)).sum(axis=0) / total[held].sum()
    there = float(_logit(told).mean())
    near, far = (_logit((bad[which].sum() + 0.5) / (total[which].sum() + 1)) for which in (~held, held))
    part = abs(there - far) / max(abs(there - near), 1e-9)
    return float(min(np.sqrt((part**2 + _MISSED**2) / 2), _ALL))


def _only(windows: Windows, within: pl.Expr, slos: Sequence[SLO]) -> Windows:
    """Return windows with the events of some rows alone."""
    names = [f"{slo.name}.{part}" for slo in slos for part in ("bad", "total")]
    return replace(windows, table=windows.table.with_columns(pl.when(within).then(pl.col(one)) for one in names))


def _alike(windows: Windows, account: Network, asked: Mapping[str, NDArray[Any]], seed: int) -> list[Network]:
    """Return the account of windows configured as asked, where these are some of all and enough."""
    few = [name for name in asked if name in account.graph.names and windows.table[name].n_unique() <= FEW + 1]
    varied = [name for name in few if windows.table[name].drop_nulls().n_unique() > 1]
    if not varied:
        return []
    wanted = pl.DataFrame({name: asked[name] for name in varied}).unique()
    kinds = {name: pl.String if wanted[name].dtype == pl.String else pl.Float64 for name in varied}
    table = windows.table.select(pl.col(name).cast(kind) for name, kind in kinds.items())
    within = pl.concat([table, wanted.select(table.columns)]).select(pl.struct(varied)).to_series()
    same = within.head(table.height).is_in(within.tail(wanted.height).implode())
    if not _ALIKE <= float(same.mean() or 0.0) < 1:  # type: ignore[arg-type]
        return []
    try:
        return [fit(_only(windows, pl.lit(same), account.slos), account.graph, draws=account.n_draws, seed=seed)]
    except errors.CausalrelError:
        return []


def _odds(
    past: Past, account: Network, scenes: Mapping[str, Mapping[str, NDArray[Any]]]
) -> dict[str, dict[str, Floats]]:
    """Return the log odds of a bad event of each bin and draw, by scene and SLO."""
    weights = {slo.name: past.columns[f"{slo.name}.total"] for slo in past.slos}
    days = replace(past, mechanisms=account.causes(list(weights)))
    sums = add_up(days, weights, scenes, account.n_draws)[1]
    totals = {name: np.maximum(past.binned(weight), 1e-9)[:, None] for name, weight in weights.items()}
    return {scene: {name: _logit(bad / totals[name]) for name, bad in by_slo.items()} for scene, by_slo in sums.items()}


def _between(
    told: Mapping[str, Mapping[str, Floats]], one: str, other: str, name: str, picked: NDArray[np.int64]
) -> Floats:
    """Return by how much the log odds of each bin differ from scene to scene, a draw a future."""
    return (told[other][name] - told[one][name])[:, picked].T


def _logit(share: Any) -> Any:
    inner = np.clip(share, 1e-9, 1 - 1e-9)
    return np.log(inner / (1 - inner))
