"""Recovery: how much a shock takes, how much comes back while it lasts and after, and by when."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from causalrel import display, errors
from causalrel.estimates import Estimate
from causalrel.inference.courses import Asked, blank, set_course, tables_of, told
from causalrel.inference.factors import Factor
from causalrel.inference.slices import Course, Slices, chances, filter_slices, slices_of
from causalrel.networks import Network

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_STEPS = 100_000
_MOST_ROUNDS = 20_000
_REST = 1e-13


def recover(
    network: Network,
    *,
    of: str,
    good: str | float | Collection[str | float],
    shock: Asked,
    lasting: int = 1,
    steps: int = 48,
    draws: int = 200,
    seed: int = 0,
) -> Estimate:
    """Tell how a variable takes a shock: what it loses, what comes back, and the chance to have recovered by each step.

    The network first runs until its chances no longer change; then the shock is set for some steps, and let go.

    Parameters
    ----------
    network : Network
        A dynamic network of tables.
    of : str
        The variable that is well or not.
    good : state, or collection of states
        When it is well.
    shock : mapping of str to state or mapping of state to chance
        What is set while the shock lasts.
    lasting : int
        Steps the shock lasts.
    steps : int
        Steps after it.
    draws : int
        Draws of the tables; 0 for their mean alone.
    seed : int
        Seed of the draws.

    Returns
    -------
    Estimate
        Terms ``absorb`` (the chance of being well at the worst step of the shock, as a share of the one at rest),
        ``adapt`` (the share of that loss made good by the last step of the shock), ``recover`` (the share of what was
        still lost made good in the end); then at each ``step``, counted from the shock's first, the chance to be
        ``well``, and from its end to have ``recovered``: to have been well at least once since the shock ended.

    Raises
    ------
    CausalrelError
        When the network is static, never comes to rest, or a state does not exist.

    References
    ----------
    Francis and Bekera 2014, doi:10.1016/j.ress.2013.07.004 (absorb, adapt, recover); Kemeny and Snell 1960, "Finite
    Markov Chains", chapter 3 (first passage by an absorbing state).

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h")
    >>> roles = {"load": "workload", "queue_s": "engine"}
    >>> graph = cr.Graph.from_edges([("load", "load", 1), ("load", "queue_s"), ("queue_s", "queue_s", 1)], roles=roles)
    >>> network = cr.fit(windows, graph, states={"load": 2, "queue_s": 2})
    >>> low, high = network.mechanism("queue_s").table.states.labels
    >>> found = recover(network, of="queue_s", good=low, shock={"queue_s": high}, lasting=2, steps=12)
    >>> chance = found.select(quantity="recovered").frame()["mean"]
    >>> bool((chance.diff().drop_nulls() >= 0).all())
    True
    """
    tables = tables_of(network, "recover")
    if of not in tables:
        raise errors.unknown_variable(of, "recover", tables)
    if not any(table.lags for table in tables.values()):
        raise errors.refused("recover", "no edge of the network has a lag, so nothing outlasts a window")
    for name, count in (("lasting", lasting), ("steps", steps)):
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= _MOST_STEPS:
            raise errors.bad_question(f"recover: {name}={count} steps do not exist", f"write 1 to {_MOST_STEPS}")
    if not shock:
        raise errors.bad_question("recover: no shock is given", "say what is set, such as shock={'queue_s': '>= 1'}")
    states = tables[of].states
    wanted = [good] if isinstance(good, str | int | float) else list(good)
    well = np.zeros(len(states.labels))
    well[[states.place(one, of) for one in wanted]] = 1.0
    slices = slices_of(tables, np.random.default_rng([seed, 4]), draws)
    course = Course(
        codes=blank(lasting + steps, len(tables)),
        cut=np.zeros((lasting + steps, len(tables)), dtype=bool),
        start=at_rest(slices),
    )
    rest = chances(slices, replace(course, codes=course.codes[:1], cut=course.cut[:1]), of, smooth=False)[:, 0] @ well
    course = set_course(course, tables, shock, 0, "recover", until=lasting)
    curve = chances(slices, course, of, smooth=False) @ well
    passed = recovered_by(slices, course, of, well, lasting)
    terms, values = _told(rest, curve, passed, lasting)
    return Estimate(
        question=display.plain(f"How does {of} recover from {told(shock)} for {lasting} steps?"),
        draws=values,
        terms=terms,
        unit="1",
        method="exact rolling forward from rest; recovery as first passage into the states that are well",
        assumptions=("the graph is right and its tables do not change", "the shock meets the network at rest"),
        checks=network.checks,
        verdict="answered",
        origin=replace(network.origin, seed=seed),
    )


def recovered_by(slices: Slices, course: Course, of: str, well: NDArray[np.float64], since: int) -> NDArray[np.float64]:
    """Return the chance that a variable was well at least once from a step on, at each step from there.

    Parameters
    ----------
    slices : Slices
        The tables.
    course : Course
        What is known and set.
    of : str
        The variable.
    well : ndarray of float64, shape (n_states,)
        1 where it is well, else 0.
    since : int
        First step that counts.

    Returns
    -------
    ndarray of float64, shape (n_draws, n_steps - since)
        Chances, which never fall.
    """
    never = Factor(((of, 0),), 1.0 - well[None])
    steps = range(since, len(course.codes))
    extra = {**course.extra, **{step: [*course.extra.get(step, ()), never] for step in steps}}
    _, logs = filter_slices(slices, replace(course, extra=extra))
    return -np.expm1(np.cumsum(logs[since:], axis=0)).T


def at_rest(slices: Slices) -> Factor:
    """Return the chances of what windows remember once they no longer change.

    Parameters
    ----------
    slices : Slices
        The tables.

    Returns
    -------
    Factor
        Chances of the remembered nodes.

    Raises
    ------
    CausalrelError
        When they still change after many steps.
    """
    depth = max(slices.lags) + 1
    width = len(slices.names)
    first = Course(codes=blank(depth, width), cut=np.zeros((depth, width), dtype=bool))
    now = filter_slices(slices, first)[0][-1]
    for _ in range(_MOST_ROUNDS):
        one = Course(codes=first.codes[:1], cut=first.cut[:1], start=now)
        after = filter_slices(slices, one)[0][0].ordered(now.scope)
        moved = np.abs(after.values - now.values).max(initial=0.0)
        now = after
        if moved < _REST:
            return now
    raise errors.refused(
        "recover", f"the chances of the network still change after {_MOST_ROUNDS:,} steps without news"
    )


def _told(
    rest: NDArray[np.float64], curve: NDArray[np.float64], passed: NDArray[np.float64], lasting: int
) -> tuple[pl.DataFrame, NDArray[np.float64]]:
    """Return the terms of an answer and their draws."""
    worst, end, last = curve[:, :lasting].min(axis=1), curve[:, lasting - 1], curve[:, -1]
    summary = np.column_stack([_share(worst, rest), _share(end - worst, rest - worst), _share(last - end, rest - end)])
    after = np.arange(curve.shape[1])
    rows: list[tuple[str, int | None]] = [(name, None) for name in ("absorb", "adapt", "recover")]
    rows += [("well", int(step)) for step in after] + [("recovered", int(step)) for step in after[lasting:]]
    terms = pl.DataFrame(
        {
            "slo": [""] * len(rows),
            "quantity": [name for name, _ in rows],
            "unit": ["1"] * len(rows),
            "step": pl.Series([step for _, step in rows], dtype=pl.Int64),
        }
    )
    return terms, np.concatenate([summary, curve, passed], axis=1)


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a share, 1 where nothing was lost."""
    lost = np.abs(whole) > _REST
    made: NDArray[np.float64] = np.where(lost, part / np.where(lost, whole, 1.0), 1.0)
    return made
