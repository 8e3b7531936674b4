"""Trials: how many events would be bad in one run at a configuration, told from load tests without time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from causalrel import display, errors
from causalrel.configurations import check_configurations
from causalrel.estimates import Estimate, refusal
from causalrel.inference import predict
from causalrel.mechanisms.drafts import rows_of
from causalrel.networks import Network
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Rows whose other variables a run may have.
_ROWS = 200

_METHOD = (
    "a run at the configuration: what it does not set as in a row drawn from the load tests, then each mechanism in "
    "causal order with what it leaves unexplained drawn anew, over-dispersed event counts included"
)


def run_at(
    windows: Windows, network: Network, *, do: Mapping[str, float | int | str], draws: int = 1000, seed: int = 0
) -> Estimate:
    """Tell every SLO's share of bad events in one run at a configuration.

    Parameters
    ----------
    windows : Windows
        Load tests: rows without time.
    network : Network
        A network fitted to them.
    do : mapping of str to level
        What is set, the load that comes included.
    draws : int
        Number of runs drawn.
    seed : int
        Their seed.

    Returns
    -------
    Estimate
        Terms ``slo``, ``quantity`` (``bad_share`` and ``burn``), ``unit``, ``scenario`` (``changed``). Bounded between
        configurations that were run, refused beyond.

    Raises
    ------
    CausalrelError
        When the windows have time, no row is complete, or the network holds no SLO.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> users = np.repeat([1, 2, 4, 8, 16], 20)
    >>> frame = pl.DataFrame({"users": users, "n": 400, "bad": rng.binomial(400, users / 100)})
    >>> tests = Windows.from_frame(frame, time=None, roles={"users": "workload"}, events={"ttft": ("n", "bad")})
    >>> from causalrel import Graph, fit
    >>> graph = Graph.from_edges([("users", "ttft")], roles={"users": "workload", "ttft": "outcome"})
    >>> answer = run_at(tests, fit(tests, graph), do={"users": 8})
    >>> bool(0.06 < answer.select(quantity="bad_share").draws.mean() < 0.1)
    True
    """
    if not windows.timeless:
        raise errors.bad_question("these windows have times", "ask whatif, which goes on from the last of them")
    if not network.slos:
        raise errors.bad_question("the network holds no SLO", "fit a graph with an SLO as outcome")
    wanted = network.causes([*(slo.name for slo in network.slos), *do])
    columns, kept = rows_of(windows, [mechanism.variable.name for mechanism in wanted])
    if not kept.height:
        raise errors.refused("a run", "no load test has all that the network needs")
    rng = np.random.default_rng([seed, 22])
    picked = np.sort(rng.choice(kept.height, size=min(kept.height, _ROWS), replace=False))
    values: dict[str, NDArray[Any]] = {}
    for mechanism in wanted:
        name = mechanism.variable.name
        if name in do:
            values[name] = _set(windows, name, do[name], len(picked))
        elif mechanism.form == "observed":
            values[name] = columns[name][picked]
        else:
            values[name] = predict(mechanism, values, rng)
    row, draw = rng.integers(len(picked), size=draws), rng.integers(network.n_draws, size=draws)
    shares = [values[slo.name][row, draw] for slo in network.slos]
    question = f"How many events would be bad in a run at {display.configuration(do)}?"
    checks = [*network.checks, *check_configurations(windows, network, {name: values[name] for name in do})]
    origin = windows.origin(seed, network.graph.fingerprint())
    if any(check.name in ("seen", "hidden causes") and not check.passed for check in checks):
        return refusal(question, method=_METHOD, checks=checks, origin=origin, assumptions=_assumptions(network))
    rows, parts = [], []
    for slo, share in zip(network.slos, shares, strict=True):
        rows += [(slo.name, "bad_share", "1", "changed"), (slo.name, "burn", "1", "changed")]
        parts += [share, share / slo.allowed]
    return Estimate(
        question=question,
        draws=np.column_stack(parts),
        terms=pl.DataFrame(rows, schema=["slo", "quantity", "unit", "scenario"], orient="row"),
        unit="1",
        method=_METHOD,
        assumptions=_assumptions(network),
        checks=tuple(checks),
        verdict="answered" if all(check.passed for check in checks) else "bounded",
        origin=origin,
    )


def _set(windows: Windows, name: str, level: float | int | str, count: int) -> NDArray[Any]:
    if windows.variable(name).kind == "category":
        return np.full(count, str(level))
    return np.full(count, float(level))


def _assumptions(network: Network) -> tuple[str, ...]:
    return (
        f"graph {network.graph.name} (version {network.graph.version}) is right",
        "configurations were set, not chosen by how they did",
        "a run to come is one like those seen, of as many events",
    )
