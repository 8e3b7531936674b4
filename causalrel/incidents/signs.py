"""Signs: how far each node stands out from its normal spread, on the rows where the symptom is worst."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from causalrel.incidents.accounts import Accounts, learn_calls, settle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from causalrel.incidents.panels import Panel

    _Pair = tuple[NDArray[np.float64], NDArray[np.float64]]

FEATURES = ("share_of_symptom", "share", "added", "own", "local", "none", "none_with_nodes")

#: What a scale may shift by itself from day to day, and between periods months apart.
_NEAR, _A_DAY, _FAR = 0.03, 0.05, 0.25
_FINEST = 0.002
#: How many times as far what belongs to one node alone may shift, since it does not average out.
_ALONE = 3.0
#: Degrees of freedom of the deviations of a healthy node: a Student's t, since some spans lie far out by themselves.
_TAIL = 4.0
#: What is added before logarithms are taken, as a share of the usual.
_FLOOR = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """What speaks for each node, and for there being an incident at all.

    Parameters
    ----------
    share : ndarray of float64, shape (n_nodes,)
        Share of the symptom's excess that a node added, on the incident's own rows.
    added : ndarray of float64, shape (n_nodes,)
        That addition in standard deviations.
    own : ndarray of float64, shape (n_nodes,)
        How far the node's symptom rose above what the nodes it calls explain, whatever reached the symptom.
    local : ndarray of float64, shape (n_nodes,)
        Largest deviation of what belongs to the node alone, allowed for how much of it there is.
    symptom : float
        Excess of the symptom in standard deviations.

    Examples
    --------
    >>> nothing = np.zeros(2)
    >>> Signs(share=nothing, added=nothing, own=nothing, local=nothing, symptom=0.0).features().shape
    (3, 7)
    """

    share: NDArray[np.float64]
    added: NDArray[np.float64]
    own: NDArray[np.float64]
    local: NDArray[np.float64]
    symptom: float

    def features(self) -> NDArray[np.float64]:
        """Return one row a node and one for none of these, one column a feature of ``FEATURES``."""
        share, beyond = np.clip(self.share, 0.0, 1.0), float(np.log1p(self.symptom))
        alone = [np.log1p(np.clip(one, 0.0, None) ** 2 / _TAIL) for one in (self.added, self.own, self.local)]
        nodes = [share * beyond, share, *alone]
        rows = np.zeros((len(share) + 1, len(FEATURES)))
        rows[:-1, : len(nodes)] = np.column_stack(nodes)
        rows[-1, len(nodes) :] = 1.0, np.log(len(share))
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
    now_all, before_all, level = settle(now, normal, calls, at)
    accounts, before = now_all.rows(_measured(now, at)), before_all.rows(_measured(normal, at))
    weight = float((accounts.excess**2).sum())
    share = accounts.excess @ accounts.added / weight if weight > 0 else np.zeros(len(level))
    size = max(len(accounts.excess), 1)
    whole = abs(float(calls.usual[at]))
    finest = _FINEST * whole + _resolution(now, accounts, calls.usual)
    thin = np.array([_thin(*_requests(now, normal, node)) for node in range(len(level))])
    spread = np.sqrt(_spread(before, size) ** 2 * thin + (drift * level) ** 2 + finest**2)
    added = np.divide(_aligned(accounts), spread, out=np.zeros(len(level)), where=spread > 0)
    spans = max(len(before.excess) / size, 1.0)
    alone = replace(before, added=before.excess[:, None])
    noise = np.sqrt(_spread(alone, size)[0] ** 2 + (drift * whole) ** 2 + finest[at] ** 2)
    total = float(np.abs(accounts.excess).sum())
    symptom = weight / total / noise if total > 0 and noise > 0 else 0.0
    return Signs(
        share=share,
        added=_tamed(added, spans),
        own=_own(now, normal, (now_all, before_all), _ALONE * drift),
        local=_local(now, normal, (now_all, before_all), pairs, _ALONE * drift),
        symptom=float(_tamed(symptom, spans)),
    )


def _measured(panel: Panel, at: int) -> NDArray[np.bool_]:
    return np.isfinite(panel.symptom[:, at])


def _aligned(accounts: Accounts) -> NDArray[np.float64]:
    """Mean addition of each node, weighted by the excess and in its direction."""
    total = np.abs(accounts.excess).sum()
    mean: NDArray[np.float64] = accounts.excess @ accounts.added / (total if total > 0 else 1.0)
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


def _own(now: Panel, normal: Panel, accounts: tuple[Accounts, Accounts], drift: float) -> NDArray[np.float64]:
    """How far the logarithm of each node's symptom rose above that of what the nodes it calls explain."""
    found = np.zeros(now.symptom.shape[1])
    for node in range(len(found)):
        seen = (now.symptom[:, node], normal.symptom[:, node])
        if _told(seen):
            told = [one.expected[:, node] for one in accounts]
            least = 1.0 / _load(normal, node) if now.counted else 0.0
            floor = _FLOOR * float(np.nanmean(seen[1])) + least or 1.0
            whole, explained = ([np.log(floor + np.clip(values, 0, None)) for values in pair] for pair in (seen, told))
            rise = (whole[0] - explained[0], whole[1] - explained[1])
            found[node] = _moved(rise, _requests(now, normal, node), drift)
    return found


def _local(
    now: Panel,
    normal: Panel,
    accounts: tuple[Accounts, Accounts],
    pairs: Sequence[tuple[int, int]],
    drift: float,
) -> NDArray[np.float64]:
    requests = [_requests(now, normal, node) for node in range(now.symptom.shape[1])]
    found: list[list[float]] = [[] for _ in requests]
    for name in sorted(set(now.local) & set(normal.local)):
        for node, load in enumerate(requests):
            pair = (now.local[name][:, node], normal.local[name][:, node])
            if _told(pair):
                found[node].append(_moved(_unloaded(pair, load), load, drift))
    for e, (caller, _) in enumerate(pairs):
        rates = (_asked(now, accounts[0], e, caller), _asked(normal, accounts[1], e, caller))
        if _told(rates):
            found[caller].append(_moved(_logs(rates), requests[caller], drift))
    return np.array([_largest(values) for values in found])


def _asked(panel: Panel, accounts: Accounts, edge: int, caller: int) -> NDArray[np.float64]:
    """Return the calls of one request, where its caller served any."""
    return np.where(panel.calls[:, caller] > 0, accounts.rates[:, edge], np.nan)


def _told(pair: _Pair) -> bool:
    return bool(np.isfinite(pair[0]).any() and np.isfinite(pair[1]).sum() > 5)


def _largest(values: list[float]) -> float:
    if not values:
        return 0.0
    return float(np.sqrt(max(max(value**2 for value in values) - 2 * np.log(len(values)), 0.0)))


def _load(normal: Panel, node: int) -> float:
    """Return the usual requests of a window, one at the least."""
    calls = normal.calls[:, node]
    return max(float(np.nanmean(calls)), 1.0) if np.isfinite(calls).any() else 1.0


def _requests(now: Panel, normal: Panel, node: int) -> _Pair:
    """Return the requests of each window, the usual where they were not counted."""
    usual = _load(normal, node)
    return np.nan_to_num(now.calls[:, node], nan=usual), np.nan_to_num(normal.calls[:, node], nan=usual)


def _logs(values: _Pair) -> _Pair:
    scale = np.nanmedian(np.abs(values[1]))
    if not scale > 0:
        scale = float(np.nanmean(np.abs(values[1]))) or 1.0
    return np.log(_FLOOR + np.clip(values[0], 0, None) / scale), np.log(_FLOOR + np.clip(values[1], 0, None) / scale)


def _unloaded(values: _Pair, requests: _Pair) -> _Pair:
    """Logarithms of a series, its load allowed for."""
    logs, loaded = _logs(values), [np.log1p(load) for load in requests]
    both = np.isfinite(logs[1])
    centred = loaded[1][both] - loaded[1][both].mean()
    slope = float(centred @ logs[1][both] / (centred @ centred + 1e-9 + 0.1 * both.sum() * 0.01))
    slope = float(np.clip(slope, 0.0, 1.0))
    return logs[0] - slope * loaded[0], logs[1] - slope * loaded[1]


def _moved(values: _Pair, requests: _Pair, drift: float) -> float:
    """How far the mean of one series over all requests moved, in standard deviations; few requests tell less."""
    kept = [np.isfinite(v) for v in values]
    moved, rest = (v[keep] - np.median(values[1][kept[1]]) for v, keep in zip(values, kept, strict=True))
    weight, usual = (1.0 + load[keep] for load, keep in zip(requests, kept, strict=True))
    count = min(len(moved), max(len(rest) // 4, 1))
    sums, masses = (np.cumsum(np.append(0.0, x)) for x in (usual * rest, usual))
    mass = masses[count:] - masses[:-count]
    spread = np.quantile(np.abs((sums[count:] - sums[:-count]) / mass), 0.9) / 1.645
    far = weight @ moved / weight.sum() / np.sqrt(spread**2 * _thin(weight, usual) + drift**2)
    return float(_tamed(far, len(rest) / count))


def _tamed(far: NDArray[np.float64] | float, spans: float) -> NDArray[np.float64]:
    """Deviations as a normal variable's, where their spread is learnt from so many spans (Wallace 1959)."""
    tamed: NDArray[np.float64] = np.sign(far) * np.sqrt(spans * np.log1p(np.square(far) / spans))
    return tamed


def _thin(now: NDArray[np.float64], usual: NDArray[np.float64]) -> float:
    """How many times fewer requests than usual a window of the incident holds, one at the least."""
    return max(1.0, float((1.0 + usual.mean()) / (1.0 + now.mean())))
