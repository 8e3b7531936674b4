"""Envelopes: where each SLI should be at the load and configuration it met, and how far outside it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from causalrel import display, errors
from causalrel.attribution import Span, named_span
from causalrel.envelopes.rows import FOLDS, Period, Rows, check_support, inputs, part_of, sli_rows, upstream
from causalrel.envelopes.tails import Numbers, Shares, calibrate, noise_of, spread_of
from causalrel.estimates import Check, Estimate, refusal
from causalrel.fitting import fit
from causalrel.graphs import Graph
from causalrel.inference import predict
from causalrel.mechanisms.drafts import check_nodes
from causalrel.networks import Network
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: Least chance of a share outside.
_LIKELY = 0.01

_METHOD = (
    "mechanisms fitted to the reference windows and run forward from load, configuration and hardware as they were, "
    "what no cause explains drawn anew; the band then moved and widened until blocks of the reference that were held "
    "out fall into it as often as they should, at loads like each window's; draws follow the reference's own order in "
    "time, so that windows go astray together as often as they did there"
)


def envelope(
    windows: Windows,
    graph: Graph,
    *,
    during: Span,
    against: Span | None = None,
    on: str | None = None,
    along: str | None = None,
    level: float = 0.9,
    draws: int = 400,
    seed: int = 0,
) -> Estimate:
    """Tell the band in which each SLI should have been at its load and configuration, and which windows left it.

    The band is learnt from reference windows alone: mechanisms are fitted to them as :func:`causalrel.fit` does, so
    that what is scored never shaped its own band.

    Parameters
    ----------
    windows : Windows
        The windows.
    graph : Graph
        A graph whose variables the windows hold, without lags.
    during : tuple of datetime or str
        Start and end of the span to score, UTC.
    against : tuple of datetime or str, optional
        The reference; all windows before ``during`` where not given.
    on : str, optional
        The SLI: an SLO, or a number of role engine or outcome; every SLO and every number of role outcome where not
        given.
    along : str, optional
        The number along which the band is calibrated; ``load`` where the SLIs follow from it, else the first workload.
    level : float
        Probability inside the band by which windows are called outside.
    draws : int
        Number of draws.
    seed : int
        Seed of the draws.

    Returns
    -------
    Estimate
        Terms ``slo`` (the SLI), ``quantity``, ``unit``, ``member`` (the unit of the window), ``time``, ``seen`` and
        ``tail``. ``outside`` is the share of all windows outside the band: its draws are those of windows that the
        envelope holds for, ``seen`` is the share that was, ``tail`` the chance of as much. ``bad_share`` or ``value``
        of each window follow, the farthest out first: draws of what it should have been, ``seen`` what it was, and
        ``tail`` how likely a window as far out on either side is. A check named after each SLI fails where more
        windows were outside than chance allows; bounded where the reference is short or inputs lie outside it.

    Raises
    ------
    CausalrelError
        When the windows lack a variable of the graph or have no time, the graph has lags, spans overlap or hold too
        little, or a name or the level is none.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("bad-node"), cr.load_slos("llm-chat")[:1], every="1h", by="node")
    >>> graph = cr.load_graph("llm-serving").project(["load", "batch_size", "queue_s", "ttft"])
    >>> first, last = windows.span
    >>> answer = cr.envelope(windows, graph, during=(first + 0.8 * (last - first), last), draws=50)
    >>> answer.terms["quantity"].unique(maintain_order=True).to_list()
    ['outside', 'bad_share']
    """
    if not 0 < level < 1:
        raise errors.bad_question(f"envelope: {level} is no level of a band", "write one such as 0.9")
    check_nodes(windows, graph, "envelope")
    if graph.lags or windows.timeless:
        raise errors.refused("the envelope", "it is told of windows in time, by a graph without lagged edges")
    span, usual = _periods(windows, during, against)
    names = _names(windows, graph, on)
    graph = upstream(graph, names)
    place = _along(graph, along)
    rows = [sli_rows(windows, graph, name, span, usual) for name in names]
    networks = [fit(part_of(windows, usual, part), graph, seed=seed) for part in range(FOLDS + 1)]
    checks = [check_support(rows)]
    question = f"Where should {', '.join(names)} be from {display.when(span[0])} to {display.when(span[1])} UTC?"
    origin = windows.origin(seed, graph.fingerprint())
    scored = [one for one in rows if one.asked.any()]
    if not scored:
        return refusal(question, method=_METHOD, checks=checks, origin=origin)
    offsets = np.random.default_rng([seed, 15]).random(draws)
    told = []
    for order, one in enumerate(scored):
        rng = np.random.default_rng([seed, 16, order])
        told.append(_told(one, networks, place, offsets, level, rng))
    checks += [_enough(scored, level), *(_outside(one, level) for one in told)]
    terms = pl.concat([one.terms for one in told])
    return Estimate(
        question=question,
        draws=np.column_stack([one.draws for one in told]),
        terms=terms,
        unit="1",
        method=_METHOD,
        assumptions=(
            f"graph {graph.name} (version {graph.version}) is right",
            f"{display.when(usual[0])} to {display.when(usual[1])} UTC is what the service is like",
        ),
        checks=tuple(checks),
        verdict="answered" if all(check.passed for check in checks[:2]) else "bounded",
        origin=origin,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What is told of one SLI, its share outside first."""

    terms: pl.DataFrame
    draws: Floats
    share: float
    alone: float


def _periods(windows: Windows, during: Span, against: Span | None) -> tuple[Period, Period]:
    span = named_span(windows, during, "during")
    if against is None and span[0] <= windows.span[0]:
        raise errors.bad_question("envelope: no windows stand before during", "name the reference with against")
    usual = (windows.span[0], span[0]) if against is None else named_span(windows, against, "against")
    if span[0] < usual[1] and usual[0] < span[1]:
        raise errors.bad_question("envelope: the spans during and against overlap", "name two spans apart")
    return span, usual


def _names(windows: Windows, graph: Graph, on: str | None) -> list[str]:
    """Return the SLIs asked about."""
    slos = {slo.name for slo in windows.slos}
    numbers = [v for v in graph.variables if v.name not in slos and v.kind in ("number", "count")]
    wanted = [n for n in graph.order() if n in slos or n in {v.name for v in numbers if v.role == "outcome"}]
    known = [*wanted, *(v.name for v in numbers if v.role == "engine")]
    if on is not None and on not in known:
        raise errors.unknown_name(on, "SLI in the graph", known)
    if on is None and not wanted:
        raise errors.bad_question("envelope: the graph holds no SLI", "give a graph with an SLO or a numeric outcome")
    return wanted if on is None else [on]


def _along(graph: Graph, along: str | None) -> str | None:
    numbers = [name for name in inputs(graph) if graph.variable(name).kind in ("number", "count")]
    if along is not None and along not in numbers:
        raise errors.unknown_name(along, "input that the SLIs follow from", numbers)
    first = [name for name in numbers if graph.variable(name).role == "workload"]
    return along or ("load" if "load" in first else next(iter(first), None))


def _told(
    rows: Rows, networks: Sequence[Network], place: str | None, offsets: Floats, level: float, rng: np.random.Generator
) -> _Told:
    """Foretell every window by a network that never saw it, calibrate, and hold what was seen against that."""
    from scipy.special import betainc, ndtr, ndtri

    asked, places = rows.asked, _places(rows, place)
    foretold, seen = _foretold(rows, networks, rng)
    lots = np.where(asked, 0.5, rng.random(len(asked)))
    scores = foretold.scores(seen, lots)
    calibration = calibrate(scores[~asked], places[~asked], rows.columns["step"][~asked])
    standing = calibration.standing(scores, places)
    levels = ndtri((np.arange(len(offsets)) + 0.5) / len(offsets))
    values = foretold.of(asked).values(calibration.meant(levels, places[asked]))
    values = np.take_along_axis(values, _ranks(rows, standing, offsets, rng), axis=1)
    if f"{rows.name}.total" in rows.columns:
        total = rows.columns[f"{rows.name}.total"][asked]
        values, was = values / total[:, None], seen[asked] / total
    else:
        mechanism = networks[-1].mechanism(rows.name)
        values, was = mechanism.unscaled(values), rows.columns[rows.name][asked]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=1)
    out = float(((was < low) | (was > high)).mean())
    astray = ((values < low[:, None]) | (values > high[:, None])).mean(axis=0)
    share, alone = _usual(rows, astray, calibration.apart / int((~asked).sum()))
    beta = (share * alone, (1 - share) * alone)
    far = 2 * ndtr(-np.abs(standing[asked]))
    order = np.argsort(far, kind="stable")
    keys = pl.DataFrame(
        {
            "quantity": ["outside", *[rows.quantity] * len(order)],
            "unit": ["1", *[rows.unit] * len(order)],
            "member": ["all", *rows.columns["unit"][asked][order].tolist()],
            "time": [rows.times.filter(pl.Series(asked)).min(), *rows.times.filter(pl.Series(asked))[order].to_list()],
            "seen": [out, *was[order].tolist()],
            "tail": [float(1 - betainc(*beta, out)), *far[order].tolist()],
        },
        schema_overrides={"time": rows.times.dtype},
    )
    return _Told(
        terms=keys.select(pl.lit(rows.name).alias("slo"), pl.all()),
        draws=np.column_stack([rng.beta(*beta, len(offsets)), values[order].T]),
        share=share,
        alone=alone,
    )


def _usual(rows: Rows, drawn: Floats, apart: float) -> tuple[float, float]:
    """Return the share outside that is usual, and how many independent windows the windows asked about are worth.

    Stretches of one reference are more alike than stretches of two, and the reference's own share is not known better
    than its length allows.
    """
    step, count = rows.columns["step"], int(rows.asked.sum())
    spans = [np.ptp(step[mine]) + 1 for mine in (rows.asked, ~rows.asked)]
    part = min(spans[0] / spans[1], 0.5)
    share = float(np.clip(drawn.mean(), 1 / (2 * count), 1 - 1 / (2 * count)))
    variance = float(drawn.var()) * (1 + part) / (1 - part)
    return share, float(np.clip(share * (1 - share) / max(variance, 1e-12), 2.0, max(apart * count, 2.0)))


def _foretold(rows: Rows, networks: Sequence[Network], rng: np.random.Generator) -> tuple[Shares | Numbers, Floats]:
    """Foretell every window by the network fitted without its block; what was seen, on the same scale."""
    mean, variance = np.empty(len(rows.part)), np.empty(len(rows.part))
    for part, network in enumerate(networks):
        mine = rows.part == part
        values: dict[str, NDArray[Any]] = {key: column[mine] for key, column in rows.columns.items()}
        for mechanism in network.causes([rows.name]):
            if mechanism.form != "observed":
                values[mechanism.variable.name] = predict(mechanism, values, rng)
        drawn = networks[-1].mechanism(rows.name).scaled(values[rows.name])
        mean[mine], variance[mine] = drawn.mean(axis=1), drawn.var(axis=1)
    if f"{rows.name}.total" not in rows.columns:
        seen = networks[-1].mechanism(rows.name).scaled(rows.columns[rows.name])
        return Numbers(mean=mean, sd=np.sqrt(variance) + 1e-9), seen
    bad, total = rows.columns[f"{rows.name}.bad"], rows.columns[f"{rows.name}.total"]
    mean = np.clip(mean, 1e-6, 1 - 1e-6)
    usual = ~rows.asked
    noise = noise_of(bad[usual], total[usual], mean[usual], variance[usual])
    return Shares(total=total, mean=mean, spread=spread_of(mean, variance, noise)), bad


def _places(rows: Rows, place: str | None) -> Floats:
    """Return which share of the reference had less of what the band is calibrated along."""
    if place is None or place not in rows.columns:
        return np.full(len(rows.part), 0.5)
    usual = np.sort(rows.columns[place][~rows.asked])
    ends = [np.searchsorted(usual, rows.columns[place], side=side) for side in ("left", "right")]
    return np.asarray((ends[0] + ends[1]) / (2 * len(usual)))


def _ranks(rows: Rows, standing: Floats, offsets: Floats, rng: np.random.Generator) -> NDArray[np.intp]:
    """Rank the draws of each window as stretches of the reference ranked there.

    So draws of neighbouring windows go together as far as their past did (Clark et al. 2004,
    doi:10.1175/1525-7541(2004)005<0243:TSSAMF>2.0.CO;2).
    """
    asked, step = rows.asked, rows.columns["step"]
    members, which = np.unique(rows.columns["unit"], return_inverse=True)
    first = int(step[~asked].min())
    length = int(step[~asked].max()) - first + 1
    past = np.full((len(members), length), np.nan)
    past[which[~asked], step[~asked] - first] = standing[~asked]
    seen = np.flatnonzero(~np.isnan(past).all(axis=1))
    known = np.where(np.isin(which[asked], seen), which[asked], seen[which[asked] % len(seen)])
    at = (step[asked][:, None] - step[asked].min() + (offsets * length).astype(np.int64)) % length
    made = past[known[:, None], at]
    made = np.where(np.isnan(made), rng.standard_normal(made.shape), made + 1e-9 * rng.random(made.shape))
    return np.argsort(np.argsort(made, axis=1), axis=1)


def _enough(scored: Sequence[Rows], level: float) -> Check:
    """Say whether the reference has windows enough for the ends of the band at every load."""
    fewest = min(scored, key=lambda one: int((~one.asked).sum()))
    count, wanted = int((~fewest.asked).sum()), int(np.ceil(16 / (1 - level) - 1e-9))
    says = f"the band of {fewest.name} stands on {count} windows of the reference, and {wanted} are enough for it"
    return Check(name="reference", passed=count >= wanted, says=says)


def _outside(told: _Told, level: float) -> Check:
    """Say whether more windows of an SLI were outside than chance allows."""
    name, seen, chance = told.terms.select("slo", "seen", "tail").row(0)
    count, usual = told.terms.height - 1, told.share
    band = f"its {display.percent(level)} envelope"
    says = (
        f"{name} was outside {band} in {display.percent(seen)} of {count} windows, as good as {told.alone:.0f} "
        f"independent ones, where {display.percent(usual)} are usual (p = {display.number(chance)})"
    )
    return Check(name=f"{name}: envelope", passed=chance > _LIKELY, says=says)
