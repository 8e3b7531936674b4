"""Signs: how far each node stands out from its normal spread, on the rows where the symptom is worst."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from causalrel.incidents.accounts import Accounts, learn_calls, settle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from causalrel.incidents.panels import Panel

FEATURES = ("share_of_symptom", "share", "added", "local", "none", "none_with_symptom")

#: What a scale may shift by itself from day to day, and between periods months apart.
_NEAR, _A_DAY, _FAR = 0.03, 0.05, 0.25
_FINEST = 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """What speaks for each node, and for there being an incident at all.

    Parameters
    ----------
    share : ndarray of float64, shape (n_nodes,)
        Share of the symptom's excess that a node added, on the incident's own rows.
    added : ndarray of float64, shape (n_nodes,)
        That addition in standard deviations.
    local : ndarray of float64, shape (n_nodes,)
        Largest deviation of what belongs to the node alone, allowed for how much of it there is.
    symptom : float
        Excess of the symptom in standard deviations.

    Examples
    --------
    >>> Signs(share=np.zeros(2), added=np.zeros(2), local=np.zeros(2), symptom=0.0).features().shape
    (3, 6)
    """

    share: NDArray[np.float64]
    added: NDArray[np.float64]
    local: NDArray[np.float64]
    symptom: float

    def features(self) -> NDArray[np.float64]:
        """Return one row a node and one for none of these, one column a feature of ``FEATURES``."""
        share, beyond = np.clip(self.share, 0.0, 1.0), float(np.log1p(self.symptom))
        nodes = [share * beyond, share, np.log1p(np.clip(self.added, 0.0, None)), np.log1p(self.local)]
        rows = np.zeros((len(share) + 1, len(FEATURES)))
        rows[:-1, : len(nodes)] = np.column_stack(nodes)
        rows[-1, len(nodes) :] = 1.0, beyond
        return rows


def read_signs(now: Panel, normal: Panel, pairs: Sequence[tuple[int, int]], at: int, days: float) -> Signs:
    """Weigh what each node adds in an incident against a normal period.

    Parameters
    ----------
    now : Panel
        The incident.
    normal : Panel
        A period without trouble.
    pairs : sequence of (int, int)
        Caller and callee of each edge, callers before callees.
    at : int
        The node asked about.
    days : float
        Days between the two.

    Returns
    -------
    Signs
        What speaks for each node.
    """
    drift = min(_NEAR + _A_DAY * float(np.log1p(days)), _FAR)
    calls = learn_calls(normal, pairs)
    accounts, before, level = settle(now, normal, calls, at)
    weight = float((accounts.excess**2).sum())
    share = accounts.excess @ accounts.added / weight if weight > 0 else np.zeros(len(level))
    size = len(accounts.excess)
    whole = abs(float(calls.usual[at]))
    finest = _FINEST * whole + _resolution(now, accounts, calls.usual)
    spread = np.sqrt(_spread(before, size) ** 2 + (drift * level) ** 2 + finest**2)
    added = np.divide(_aligned(accounts), spread, out=np.zeros(len(level)), where=spread > 0)
    alone = Accounts(added=before.excess[:, None], excess=before.excess, rates=before.rates, visits=before.visits)
    noise = np.sqrt(_spread(alone, size)[0] ** 2 + (drift * whole) ** 2 + finest[at] ** 2)
    total = float(np.abs(accounts.excess).sum())
    symptom = weight / total / noise if total > 0 and noise > 0 else 0.0
    local = _local(now, normal, accounts, before, pairs, drift)
    return Signs(share=share, added=added, local=local, symptom=symptom)


def _aligned(accounts: Accounts) -> NDArray[np.float64]:
    """Mean addition of each node, weighted by the excess and in its direction."""
    total = np.abs(accounts.excess).sum()
    mean: NDArray[np.float64] = accounts.excess @ accounts.added / total if total > 0 else accounts.added.mean(axis=0)
    return mean


def _resolution(now: Panel, accounts: Accounts, usual: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the deviation of a share of few events, as the node asked about sees it; zero for what is measured."""
    if not now.counted:
        return np.zeros(len(usual))
    events = np.maximum(np.nansum(now.calls, axis=0), 1.0)
    share: NDArray[np.float64] = accounts.visits * np.sqrt((usual + 1.0 / events) / events)
    return share


def _spread(before: Accounts, size: int) -> NDArray[np.float64]:
    """Spread of the same mean over spans as long in the normal period."""
    size = min(size, len(before.excess))
    products = np.cumsum(np.vstack([np.zeros(before.added.shape[1]), before.added * before.excess[:, None]]), axis=0)
    totals = np.cumsum(np.append(0.0, np.abs(before.excess)))
    mass = totals[size:] - totals[:-size]
    mean = np.divide(
        products[size:] - products[:-size],
        mass[:, None],
        out=np.zeros((len(mass), products.shape[1])),
        where=mass[:, None] > 0,
    )
    found: NDArray[np.float64] = np.quantile(np.abs(mean), 0.9, axis=0) / 1.645
    return found


def _local(
    now: Panel, normal: Panel, accounts: Accounts, before: Accounts, pairs: Sequence[tuple[int, int]], drift: float
) -> NDArray[np.float64]:
    size = now.symptom.shape[1]
    found: list[list[float]] = [[] for _ in range(size)]
    for name in sorted(set(now.local) & set(normal.local)):
        for node in range(size):
            pair = (now.local[name][:, node], normal.local[name][:, node])
            if np.isfinite(pair[0]).any() and np.isfinite(pair[1]).sum() > 5:
                loads = (now.calls[:, node], normal.calls[:, node])
                found[node].append(_stands_out(pair, loads, drift))
    for e, (caller, _) in enumerate(pairs):
        rates = (accounts.rates[:, e], before.rates[:, e])
        if np.isfinite(rates[0]).any() and np.isfinite(rates[1]).sum() > 5:
            found[caller].append(_stands_out(rates, None, drift))
    return np.array([_largest(values) for values in found])


def _largest(values: list[float]) -> float:
    if not values:
        return 0.0
    return float(np.sqrt(max(max(values) ** 2 - 2 * np.log(len(values)), 0.0)))


def _stands_out(
    values: tuple[NDArray[np.float64], NDArray[np.float64]],
    loads: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
    drift: float,
) -> float:
    """How far the mean logarithm of one series moved, its load allowed for, in standard deviations."""
    scale = np.nanmedian(np.abs(values[1]))
    if not scale > 0:
        scale = float(np.nanmean(np.abs(values[1]))) or 1.0
    logs = [np.log(0.05 + np.clip(v, 0, None) / scale) for v in values]
    if loads is not None:
        loaded = [np.log1p(np.nan_to_num(load)) for load in loads]
        both = np.isfinite(logs[1])
        centred = loaded[1][both] - loaded[1][both].mean()
        slope = float(centred @ logs[1][both] / (centred @ centred + 1e-9 + 0.1 * both.sum() * 0.01))
        slope = float(np.clip(slope, 0.0, 1.0))
        logs = [log - slope * load for log, load in zip(logs, loaded, strict=True)]
    usual = np.nanmedian(logs[1])
    moved = logs[0][np.isfinite(logs[0])] - usual
    rest = logs[1][np.isfinite(logs[1])] - usual
    count = min(len(moved), max(len(rest) // 4, 1))
    sums = np.cumsum(np.append(0.0, rest))
    means = (sums[count:] - sums[:-count]) / count
    spread = np.quantile(np.abs(means), 0.9) / 1.645
    return float(abs(moved.mean()) / np.sqrt(spread**2 + drift**2))
