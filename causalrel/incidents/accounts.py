"""Accounts: what each node of a call graph adds to a symptom beyond what the nodes it calls pass on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.incidents.panels import Panel

#: How far passing on all of a dependency's time is believed before data: so many windows' worth.
_BELIEF = 25.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """How nodes call each other, learnt from a normal period.

    Parameters
    ----------
    pairs : tuple of (int, int)
        Caller and callee of each edge, callers before callees.
    split : ndarray of float64, shape (n_edges,)
        Calls that one request of the caller makes.
    passed : ndarray of float64, shape (n_edges,)
        Share, 0 to 1, of a callee's part that reaches its caller.
    usual : ndarray of float64, shape (n_nodes,)
        Symptom of a node where nothing was measured.

    Examples
    --------
    >>> Calls(pairs=((0, 1),), split=np.ones(1), passed=np.ones(1), usual=np.zeros(2)).pairs
    ((0, 1),)
    """

    pairs: tuple[tuple[int, int], ...]
    split: NDArray[np.float64]
    passed: NDArray[np.float64]
    usual: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """Additions of every node in units of the symptom, and what calls what how often.

    Parameters
    ----------
    added : ndarray of float64, shape (n_windows, n_nodes)
        What a node added for each request of the node asked about, less what it usually adds.
    excess : ndarray of float64, shape (n_windows,)
        Symptom of the node asked about, less its usual.
    rates : ndarray of float64, shape (n_windows, n_edges)
        Calls that one request of the caller made.
    visits : ndarray of float64, shape (n_nodes,)
        How much of what a node adds reaches the node asked about.
    expected : ndarray of float64, shape (n_windows, n_nodes)
        Symptom of each node as its usual own part and the nodes it calls explain it.

    Examples
    --------
    >>> nothing = np.zeros((3, 1))
    >>> Accounts(
    ...     added=nothing, excess=nothing[:, 0], rates=nothing, visits=np.ones(1), expected=nothing
    ... ).excess.tolist()
    [0.0, 0.0, 0.0]
    """

    added: NDArray[np.float64]
    excess: NDArray[np.float64]
    rates: NDArray[np.float64]
    visits: NDArray[np.float64]
    expected: NDArray[np.float64]

    def rows(self, keep: NDArray[np.bool_]) -> Accounts:
        """Return some of the windows.

        Parameters
        ----------
        keep : ndarray of bool, shape (n_windows,)
            Which.

        Returns
        -------
        Accounts
            Those windows.
        """
        return replace(
            self,
            added=self.added[keep],
            excess=self.excess[keep],
            rates=self.rates[keep],
            expected=self.expected[keep],
        )


def learn_calls(normal: Panel, pairs: Sequence[tuple[int, int]]) -> Calls:
    """Learn who calls whom how often, and how much of a callee's part reaches its caller.

    Parameters
    ----------
    normal : Panel
        A period without trouble.
    pairs : sequence of (int, int)
        Caller and callee of each edge.

    Returns
    -------
    Calls
        Calls of a request by least squares on the callers' loads, none negative; shares between 0 and 1, one where
        the period does not tell.
    """
    usual = _usual(normal)
    load = np.nan_to_num(normal.calls)
    split = np.zeros(len(pairs))
    for callee in {callee for _, callee in pairs}:
        edges = [e for e, pair in enumerate(pairs) if pair[1] == callee]
        split[edges] = _split(load[:, [pairs[e][0] for e in edges]], load[:, callee])
    calls = Calls(pairs=tuple(pairs), split=split, passed=np.ones(len(pairs)), usual=usual)
    symptom, rates = _filled(normal, calls), _rates(normal, calls, _usual_rates(normal, calls))
    passed = np.ones(len(pairs))
    if normal.counted:
        return calls
    for caller in {caller for caller, _ in pairs}:
        edges = [e for e, pair in enumerate(pairs) if pair[0] == caller]
        parts = rates[:, edges] * symptom[:, [pairs[e][1] for e in edges]]
        seen = np.isfinite(normal.symptom[:, caller])
        if seen.sum() > len(edges) + 2:
            passed[edges] = _passed(parts[seen], symptom[seen, caller])
    return Calls(pairs=tuple(pairs), split=split, passed=passed, usual=usual)


def settle(panel: Panel, normal: Panel, calls: Calls, at: int) -> tuple[Accounts, Accounts, NDArray[np.float64]]:
    """Say what every node added, in an incident and in the normal period, against what it usually adds.

    A node's own part is its symptom less what its callees pass on; calls that it makes more of than usual are its own
    doing. The additions of all nodes add up to the excess of the node asked about.

    Parameters
    ----------
    panel : Panel
        The incident.
    normal : Panel
        A period without trouble.
    calls : Calls
        How nodes call each other.
    at : int
        The node asked about.

    Returns
    -------
    now, before : Accounts
        Of the incident, and of the normal period.
    level : ndarray of float64, shape (n_nodes,)
        What a node usually adds, its calls included, as a scale.
    """
    usual_rate = _usual_rates(normal, calls)
    own = np.median(_own(_filled(normal, calls), _rates(normal, calls, usual_rate), calls), axis=0)
    visits = _visits(calls, usual_rate[None], at)[0]
    level = own**2
    for e, (caller, callee) in enumerate(calls.pairs):
        level[caller] += (calls.passed[e] * usual_rate[e] * calls.usual[callee]) ** 2
    made = []
    for one in (panel, normal):
        symptom, rates = _filled(one, calls), _rates(one, calls, usual_rate)
        change = _own(symptom, rates, calls) - own
        expected = symptom - change
        for e, (caller, callee) in enumerate(calls.pairs):
            change[:, caller] += calls.passed[e] * (rates[:, e] - usual_rate[e]) * calls.usual[callee]
        added = _visits(calls, rates, at) * change
        excess = symptom[:, at] - calls.usual[at]
        made.append(Accounts(added=added, excess=excess, rates=rates, visits=visits, expected=expected))
    return made[0], made[1], visits * np.sqrt(level)


def _usual(normal: Panel) -> NDArray[np.float64]:
    """Return the median of each node; of events, their share in all windows, as most windows may hold none."""
    seen = np.isfinite(normal.symptom)
    if normal.counted:
        load = np.where(seen, np.nan_to_num(normal.calls), 0.0)
        bad = (load * np.nan_to_num(normal.symptom)).sum(axis=0)
        share: NDArray[np.float64] = np.divide(bad, load.sum(axis=0), out=np.zeros_like(bad), where=bad > 0)
        return share
    return np.array(
        [np.median(column[mask]) if mask.any() else 0.0 for column, mask in zip(normal.symptom.T, seen.T, strict=True)]
    )


def _filled(panel: Panel, calls: Calls) -> NDArray[np.float64]:
    return np.where(np.isfinite(panel.symptom), panel.symptom, calls.usual)


def _own(symptom: NDArray[np.float64], rates: NDArray[np.float64], calls: Calls) -> NDArray[np.float64]:
    own = symptom.copy()
    for e, (caller, callee) in enumerate(calls.pairs):
        own[:, caller] -= calls.passed[e] * rates[:, e] * symptom[:, callee]
    return own


def _served(panel: Panel, calls: Calls) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share a callee's load among its callers; requests of each edge and of its caller."""
    load = np.nan_to_num(panel.calls)
    asking = load[:, [caller for caller, _ in calls.pairs]]
    asked = calls.split * asking
    total = np.zeros_like(load)
    for e, (_, callee) in enumerate(calls.pairs):
        total[:, callee] += asked[:, e]
    whole = total[:, [callee for _, callee in calls.pairs]]
    part = np.divide(asked, whole, out=np.zeros_like(asked), where=whole > 0)
    return part * load[:, [callee for _, callee in calls.pairs]], asking


def _usual_rates(panel: Panel, calls: Calls) -> NDArray[np.float64]:
    served, asking = (values.sum(axis=0) for values in _served(panel, calls))
    rates: NDArray[np.float64] = np.divide(served, asking, out=np.zeros_like(served), where=asking > 0)
    return rates


def _rates(panel: Panel, calls: Calls, usual: NDArray[np.float64]) -> NDArray[np.float64]:
    """Count the calls of one request of a caller in each window; the usual where it served none."""
    served, asking = _served(panel, calls)
    rates = np.broadcast_to(usual, served.shape).copy()
    np.divide(served, asking, out=rates, where=asking > 0)
    return rates


def _split(callers: NDArray[np.float64], callee: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.optimize import nnls

    total = callers.sum(axis=0)
    equal: NDArray[np.float64] = np.zeros_like(total)
    np.divide(callee.sum() / callers.shape[1], total, out=equal, where=total > 0)
    if callers.shape[1] == 1 or not (total > 0).any():
        return equal
    scale = np.where(total > 0, total / len(callers), 1.0)
    rows = np.vstack([callers / scale, np.eye(len(scale)) * np.sqrt(0.01 * len(callers))])
    aims = np.append(callee, equal * scale * np.sqrt(0.01 * len(callers)))
    found: NDArray[np.float64] = nnls(rows, aims)[0] / scale
    return found


def _passed(parts: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.optimize import lsq_linear

    count = parts.shape[1]
    ends = np.quantile(whole, [0.01, 0.99])
    tame = np.clip(whole, *ends)
    inside = np.clip(parts, *np.quantile(parts, [0.01, 0.99], axis=0))
    rest = tame - inside.sum(axis=1)
    noise = 1.4826 * np.median(np.abs(rest - np.median(rest)))
    if noise <= 0:
        return np.ones(count)
    rows = np.vstack([(inside - inside.mean(axis=0)) / noise, np.sqrt(_BELIEF) * np.eye(count)])
    aims = np.append((tame - tame.mean()) / noise, np.full(count, np.sqrt(_BELIEF)))
    found: NDArray[np.float64] = lsq_linear(rows, aims, bounds=(0.0, 1.0)).x
    return found


def _visits(calls: Calls, rates: NDArray[np.float64], at: int) -> NDArray[np.float64]:
    """How much of what each node adds reaches the node asked about, window by window; callers stand before callees."""
    visits = np.zeros((len(rates), len(calls.usual)))
    visits[:, at] = 1.0
    for e, (caller, callee) in enumerate(calls.pairs):
        visits[:, callee] += visits[:, caller] * rates[:, e] * calls.passed[e]
    return visits
