"""Panels: what is known of the nodes of a call graph, one row a window and one column a node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.windows import Windows


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Windows of every node; NaN where nothing was measured.

    Parameters
    ----------
    symptom : ndarray of float64, shape (n_windows, n_nodes)
        What is asked about, for each request: seconds, or the share that failed.
    calls : ndarray of float64, shape (n_windows, n_nodes)
        Requests a node served.
    local : mapping of str to ndarray of float64, shape (n_windows, n_nodes)
        What belongs to a node alone, such as its CPU.
    counted : bool
        Whether the symptom is a share of events.

    Examples
    --------
    >>> Panel(symptom=np.ones((5, 2)), calls=np.ones((5, 2)), local={}).rows(np.arange(5) > 1).symptom.shape
    (3, 2)
    """

    symptom: NDArray[np.float64]
    calls: NDArray[np.float64]
    local: Mapping[str, NDArray[np.float64]]
    counted: bool = False

    def rows(self, keep: NDArray[np.bool_]) -> Panel:
        """Return some of the windows.

        Parameters
        ----------
        keep : ndarray of bool, shape (n_windows,)
            Which.

        Returns
        -------
        Panel
            Those.
        """
        local = {name: values[keep] for name, values in self.local.items()}
        return replace(self, symptom=self.symptom[keep], calls=self.calls[keep], local=local)


def spread_out(windows: Windows, nodes: Sequence[str], on: str) -> tuple[NDArray[np.datetime64], Panel]:
    """Put the windows of every node side by side.

    Parameters
    ----------
    windows : Windows
        One unit a node.
    nodes : sequence of str
        Nodes in the order of the columns.
    on : str
        An SLO, or a number of role outcome.

    Returns
    -------
    times : ndarray of datetime64, shape (n_windows,)
        Start of each window.
    panel : Panel
        What was measured then.
    """
    table = windows.table
    stamps = table["time"].dt.replace_time_zone(None).to_numpy().astype("datetime64[us]")
    times, row = np.unique(stamps, return_inverse=True)
    place = {node: i for i, node in enumerate(nodes)}
    column = np.array([place.get(unit, -1) for unit in table["unit"]], dtype=np.intp)
    known = column >= 0

    def grid(values: NDArray[np.float64]) -> NDArray[np.float64]:
        made = np.full((len(times), len(nodes)), np.nan)
        made[row[known], column[known]] = values[known]
        return made

    def numbers(name: str) -> NDArray[np.float64]:
        return table[name].cast(float).to_numpy().astype(np.float64)

    slos = {slo.name for slo in windows.slos}
    with np.errstate(divide="ignore", invalid="ignore"):
        symptom = numbers(f"{on}.bad") / numbers(f"{on}.total") if on in slos else numbers(on)
    workload = [v.name for v in windows.variables if v.role == "workload" and v.kind in ("number", "count")]
    told = workload or [f"{name}.total" for name in [on, *sorted(slos)] if name in slos]
    calls = numbers(told[0]) if told else np.ones(table.height)
    names = [v.name for v in windows.variables if v.role in ("engine", "hardware", "config")]
    local = {name: grid(numbers(name)) for name in names if table[name].dtype.is_numeric()}
    return times, Panel(symptom=grid(symptom), calls=grid(calls), local=local, counted=on in slos)
