"""Decisions: ship, canary or hold, by expected loss over paired futures, and the canary that would settle it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from causalrel import display, errors
from causalrel.estimates import Check, Estimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Action = Literal["ship", "canary", "hold"]

#: Loss of shipping harm, and of holding a change that would have been fine.
LOSS = (10.0, 1.0)

#: Shares of the traffic and hours of the canaries that are weighed.
_SHARES = (0.01, 0.05, 0.1, 0.25, 0.5)
_HOURS = (1, 4, 12, 24, 48, 72)

#: Part of what perfect knowledge of the change would save that a canary must save to settle the question.
_SETTLED = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class _Canary:
    """One canary: what it saves of what could be saved, and its loss in each future, its own exposure included."""

    share: float
    hours: float
    gain: float
    loss: Floats
    sharp: bool


def check_loss(loss: tuple[float, float]) -> tuple[float, float]:
    """Return the two losses, or refuse them.

    Parameters
    ----------
    loss : tuple of float
        Loss of shipping a change that exhausts a budget, and of holding a change that would have been fine.

    Returns
    -------
    tuple of float
        The same.

    Raises
    ------
    CausalrelError
        When they are not two finite numbers above 0.

    Examples
    --------
    >>> check_loss((10, 1))
    (10.0, 1.0)
    """
    if len(loss) != 2 or not all(math.isfinite(one) and one > 0 for one in loss):
        said = ", ".join(f"{one:g}" for one in loss)
        raise errors.bad_question(
            f"whatif: a loss of {said} weighs nothing",
            "write two numbers above 0: of a budget exhausted, and of holding a change that would be fine, as 10,1",
        )
    return float(loss[0]), float(loss[1])


def decide(
    answer: Estimate,
    *,
    horizon: timedelta,
    loss: tuple[float, float] = LOSS,
    scatter: Mapping[str, float] | None = None,
    seed: int = 0,
) -> Estimate:
    """Add to a what-if whether to ship, to try a canary first, or to hold.

    A change does harm in a future in which it exhausts a budget, or adds to one that is gone. Then shipping loses
    ``loss[0]``. Holding loses ``loss[1]`` where the change does no harm, and ``loss[0]`` where a budget runs out that
    the change would have saved. So a change that saves none ships when its chance of harm is below
    ``loss[1] / (loss[0] + loss[1])``. A canary compares a share of the traffic with the rest in the same hours; what it
    would show is drawn in each future, and what is best then is read off by regression (expected value of sample
    information; Strong, Oakley, Brennan and Breeze 2015, doi:10.1177/0272989X15575286), fitted on one half of the
    futures and used on the other. While it runs, each share loses what it would lose shipped or held. An answer that
    is bounded is never shipped without one.

    Parameters
    ----------
    answer : Estimate
        What :func:`causalrel.whatif` knows: ``spent``, ``events`` and ``bad_share`` in every scenario.
    horizon : datetime.timedelta
        How far ahead it looks.
    loss : tuple of float
        The two losses.
    scatter : mapping of str to float, optional
        Over-dispersion of each SLO's events; 1 where not given.
    seed : int
        Seed of what a canary would show.

    Returns
    -------
    Estimate
        The answer with ``decision``, a check that says it, and terms of ``slo`` ``all``: ``exhausted`` (any budget) by
        scenario, ``harm``, ``loss`` by action, and the canary's ``canary_share`` and ``canary_hours``.
    """
    end = answer.terms["time"].max()
    spent = {name: answer.select(quantity="spent", scenario=name, time=end).draws for name in ("as is", "changed")}
    gone = {name: part > 1 for name, part in spent.items()}
    harm = (gone["changed"] & (spent["changed"] > spent["as is"])).any(axis=1)
    saved = (gone["as is"] & ~gone["changed"]).any(axis=1)
    losses: dict[str, Floats] = {
        "ship": np.where(harm, loss[0], 0.0),
        "hold": np.where(harm, 0.0, loss[1]) + np.where(saved, loss[0], 0.0),
    }
    canaries = _canaries(answer, losses, horizon, scatter or {}, seed)
    action, canary = _choose(losses, canaries, bounded=answer.verdict == "bounded")
    if canary is not None:
        losses["canary"] = canary.loss
    found = {("exhausted", "1", name): part.any(axis=1).astype(np.float64) for name, part in gone.items()}
    found[("exhausted", "1", "difference")] = found[("exhausted", "1", "changed")] - found[("exhausted", "1", "as is")]
    found[("harm", "1", "changed")] = harm.astype(np.float64)
    found |= {("loss", "1", name): part for name, part in losses.items()}
    if canary is not None:
        found[("canary_share", "1", "canary")] = np.full(len(canary.loss), canary.share)
        found[("canary_hours", "h", "canary")] = np.full(len(canary.loss), canary.hours)
    rows = [("all", *key, end) for key in found]
    terms = pl.DataFrame(rows, schema=answer.terms.schema, orient="row")
    chances = {key[0] + " " + key[2]: float(part.mean()) for key, part in found.items()}
    said = _say(action, canary, chances, losses, loss, bounded=answer.verdict == "bounded")
    return replace(
        answer,
        terms=pl.concat([answer.terms, terms]),
        draws=np.column_stack([answer.draws, *found.values()]),
        checks=(*answer.checks, Check(name="decision", passed=True, says=said)),
        decision=action,
    )


def _choose(losses: Mapping[str, Floats], canaries: list[_Canary], *, bounded: bool) -> tuple[Action, _Canary | None]:
    """Take the action of least expected loss; the smallest canary that settles, where one is worth its exposure."""
    now: Action = "ship" if losses["ship"].mean() < losses["hold"].mean() else "hold"
    worth = [canary for canary in canaries if _saves(losses[now] - canary.loss)]
    settling = [canary for canary in worth if canary.gain >= _SETTLED]
    if settling:
        return "canary", min(settling, key=_size)
    if worth:
        return "canary", min(worth, key=lambda canary: float(canary.loss.mean()))
    if now == "ship" and bounded and canaries:
        sharp = [canary for canary in canaries if canary.sharp]
        return "canary", min(sharp, key=_size) if sharp else max(canaries, key=_size)
    return "hold" if bounded else now, None


def _size(canary: _Canary) -> tuple[float, float]:
    return canary.share * canary.hours, canary.hours


def _saves(saved: Floats) -> bool:
    return bool(saved.mean() > 2 * saved.std() / np.sqrt(len(saved)))


def _canaries(
    answer: Estimate, losses: Mapping[str, Floats], horizon: timedelta, scatter: Mapping[str, float], seed: int
) -> list[_Canary]:
    """Weigh each canary that ends within half the horizon."""
    shift = answer.select(quantity="bad_share", scenario="difference").draws
    slos = answer.select(quantity="bad_share", scenario="difference").terms["slo"].to_list()
    share = answer.select(quantity="bad_share", scenario="as is").draws.mean(axis=0)
    events = answer.select(quantity="events", scenario="as is").draws.mean(axis=0)
    length = horizon / timedelta(hours=1)
    hourly = events / np.maximum(share, 1e-12) / length
    spread = np.array([scatter.get(name, 1.0) for name in slos])
    error = np.sqrt(spread * np.maximum(share * (1 - share), 1e-12) / np.maximum(hourly, 1e-12))
    rng = np.random.default_rng([seed, 6])
    noise, half = rng.standard_normal(shift.shape), rng.permutation(len(shift)) % 2 == 0
    least = min(losses["ship"].mean(), losses["hold"].mean())
    most = least - _informed(shift, losses, half).mean()
    made = []
    for part in _SHARES:
        for hours in (hours for hours in _HOURS if hours <= length / 2):
            width = error * math.sqrt((1 / part + 1 / (1 - part)) / hours)
            chosen = _informed(shift + width * noise, losses, half)
            during = hours / length
            cost = during * (part * losses["ship"] + (1 - part) * losses["hold"]) + (1 - during) * chosen
            gain = float((least - chosen.mean()) / most) if most > 0 else 0.0
            sharp = bool((width <= shift.std(axis=0)).all())
            made.append(_Canary(share=part, hours=hours, gain=gain, loss=cost, sharp=sharp))
    return made


def _informed(signal: Floats, losses: Mapping[str, Floats], half: NDArray[np.bool_]) -> Floats:
    """Return what is lost in each future by who ships or holds after seeing a signal."""
    net = losses["hold"] - losses["ship"]
    lost = np.empty(len(net))
    for mine in (half, ~half):
        told = _predict(signal[~mine], net[~mine], signal[mine])
        lost[mine] = np.where(told > 0, losses["ship"][mine], losses["hold"][mine])
    return lost


def _predict(signal: Floats, net: Floats, at: Floats) -> Floats:
    """Regress on a cubic in the best linear index of the signals."""
    centre, scale = signal.mean(axis=0), np.maximum(signal.std(axis=0), 1e-12)
    seen, new = (signal - centre) / scale, np.clip((at - centre) / scale, -3, 3)
    weights = np.linalg.lstsq(np.column_stack([np.ones(len(seen)), seen]), net, rcond=None)[0]
    size = max(float(np.std(seen @ weights[1:])), 1e-12)
    curve = np.polynomial.polynomial.polyvander(seen @ weights[1:] / size, 3)
    bend = np.linalg.lstsq(curve, net, rcond=None)[0]
    made: Floats = np.polynomial.polynomial.polyvander(np.clip(new @ weights[1:] / size, -3, 3), 3) @ bend
    return made


def _say(
    action: Action,
    canary: _Canary | None,
    chances: Mapping[str, float],
    losses: Mapping[str, Floats],
    loss: tuple[float, float],
    *,
    bounded: bool,
) -> str:
    told = (display.number(chances[name], 2) for name in ("harm changed", "exhausted changed", "exhausted as is"))
    harm, changed, as_is = told
    means = ", ".join(f"{display.number(float(part.mean()), 2)} to {name}" for name, part in losses.items())
    where = "no canary is expected to be worth its exposure"
    if canary is not None:
        settles = f"would save {display.percent(max(canary.gain, 0.0))} of what knowing the change could save"
        if canary.gain <= 0:
            settles = (
                "would tell the change at least as sharply as the windows do" if canary.sharp else "would tell most"
            )
        where = f"a canary of {display.percent(canary.share)} of the traffic for {canary.hours:g} hours {settles}"
    more = ", and a bounded answer is never shipped without one" if bounded and action == "canary" else ""
    risk = f"the chance that the change exhausts a budget, or adds to one that is gone, is {harm}"
    beside = f"that a budget is exhausted: {changed} with it, {as_is} as things are"
    prices = f"{loss[0]:g} for harm or a budget not saved, {loss[1]:g} for holding a change that would be fine"
    return f"{action}: {risk} ({beside}); expected loss {means}, at {prices}; {where}{more}"
