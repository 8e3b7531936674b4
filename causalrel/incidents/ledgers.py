"""Ledgers: the signs of a graph of variables, from the attribution of its SLO."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from causalrel import errors
from causalrel.attribution import attribute
from causalrel.fitting import fit
from causalrel.incidents.signs import Signs
from causalrel.networks import Network

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.estimates import Check
    from causalrel.graphs import Graph
    from causalrel.incidents.spans import Period
    from causalrel.windows import Windows

_SUMS = ("total", "unexplained")


def read_ledger(
    windows: Windows, graph: Graph, span: Period, where: Windows, usual: Period, on: str | None, seed: int
) -> tuple[str, list[str], Signs | None, list[Check]]:
    """Weigh what each variable adds to the burn of an SLO.

    Parameters
    ----------
    windows : Windows
        The windows.
    graph : Graph
        A graph over their variables and SLOs.
    span, usual : tuple of datetime
        The incident, and the normal period.
    where : Windows
        The windows that hold the normal period.
    on : str or None
        The SLO.
    seed : int
        Seed of the parameter draws.

    Returns
    -------
    symptom : str
        The SLO.
    nodes : list of str
        Its causes, then itself: what no cause explains.
    signs : Signs or None
        What speaks for each.
    checks : list of Check
        Those of the attribution.

    Raises
    ------
    CausalrelError
        When the normal period was recorded apart, or the graph names what the windows lack.
    """
    if where is not windows:
        raise errors.bad_question(
            "blame: a graph of variables is fitted to both periods together", "name the normal period as a span"
        )
    absent = [name for name in graph.names if name not in windows.names]
    if absent:
        raise errors.unknown_variable(absent[0], "blame", [*windows.names, *windows.units])
    network = fit(windows, graph, seed=seed)
    ledger = attribute(windows, network, during=span, against=usual, on=on or _worst(windows, network, span, usual))
    symptom = str(ledger.terms["slo"][0])
    burn = ledger.select(quantity="burn")
    parts = dict(zip(burn.terms["driver"], burn.draws.T, strict=True))
    total = float(parts["total"].mean())
    nodes = [name for name in parts if name not in _SUMS] + [symptom]
    added = np.array([parts["unexplained" if node == symptom else node].mean() for node in nodes])
    noise = _noise(windows, symptom, span, usual)
    share = added / total if total else np.zeros(len(nodes))
    spread = np.array([parts["unexplained" if node == symptom else node].std() for node in nodes])
    deviation = np.sign(total) * added / np.sqrt(spread**2 + noise**2)
    local = np.zeros(len(nodes))
    signs = Signs(share=share, added=deviation, own=deviation, local=local, symptom=abs(total) / noise)
    return symptom, nodes, signs, list(ledger.checks)


def _burns(windows: Windows, slo: str, span: Period) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows = windows.during(*span).group_by("time", maintain_order=True).agg(pl.col(f"{slo}.bad", f"{slo}.total").sum())
    return rows[f"{slo}.bad"].to_numpy().astype(float), rows[f"{slo}.total"].to_numpy().astype(float)


def _noise(windows: Windows, slo: str, span: Period, usual: Period) -> float:
    """Spread of the burn over spans of the normal period, one event's worth at the least."""
    bad, total = _burns(windows, slo, usual)
    size = min(len(_burns(windows, slo, span)[0]), max(len(bad) // 4, 1))
    sums = [np.cumsum(np.append(0.0, values)) for values in (bad, total)]
    blocks = [values[size:] - values[:-size] for values in sums]
    burn = np.divide(blocks[0], blocks[1], out=np.zeros(len(blocks[0])), where=blocks[1] > 0)
    middle = bad.sum() / max(total.sum(), 1.0)
    spread = float(np.quantile(np.abs(burn - middle), 0.9) / 1.645)
    return float(np.hypot(spread, 1.0 / max(float(np.median(blocks[1])), 1.0)) / windows.slo(slo).allowed)


def _worst(windows: Windows, network: Network, span: Period, usual: Period) -> str | None:
    """Return the SLO whose burn stands out most."""

    def beyond(slo: str) -> float:
        shares = [bad.sum() / max(total.sum(), 1.0) for bad, total in (_burns(windows, slo, s) for s in (span, usual))]
        rise = float(shares[0] - shares[1]) / windows.slo(slo).allowed
        return rise / _noise(windows, slo, span, usual)

    return max((slo.name for slo in network.slos), key=beyond, default=None)
