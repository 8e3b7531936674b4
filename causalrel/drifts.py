"""Drifts: whether a mechanism changed by itself, told from a shift of what it follows, and since when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from causalrel import display, errors
from causalrel.estimates import Check, Estimate, refusal
from causalrel.graphs import Graph
from causalrel.mechanisms.drafts import Draft, check_nodes, draft_of, rows_of, scaled
from causalrel.mechanisms.regressions import time_groups
from causalrel.networks import Mechanism, expit
from causalrel.windows import Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.mechanisms.mixed import Mixed

    Floats = NDArray[np.float64]

_REPEATS, _AT_ONCE = 1000, 50
_FEWEST_STEPS = 40
_FEWEST_BLOCKS, _MOST_BLOCKS = 20, 200
#: Share of the blocks at either end at which no change is looked for.
_EDGE = 0.1
_SPOKEN = 4096
#: Parts of the time seen that have levels of their own while memory is learnt, so that a drift does not pass for it.
_SPANS, _SPANS_OF_INPUTS = 4, 12

_METHOD = (
    "largest of the cumulated scores of each mechanism's regression, noise that remembers filtered out, against the "
    "same with signs of time blocks drawn at random and causes as they were (fixed regressor bootstrap); p-values held "
    "against the alarm by Holm's steps; the change since the likeliest date from the regression with it"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """Where a regression's coefficients changed most, and how likely that is by chance."""

    chance: float
    since: int
    column: int
    blocks: int


def drift(windows: Windows, graph: Graph, *, alarm: float = 0.02, draws: int = 1000, seed: int = 0) -> Estimate:
    """Tell which mechanisms drifted, apart from shifts of their inputs.

    A mechanism is the regression of an engine variable, a numeric outcome or an SLO on its causes in the graph. It
    drifted where its coefficients are not the same all along; inputs that move while it stays are told beside it as
    shifts. The test cumulates scores (Hjort and Koning 2002, doi:10.1080/10485250211394) and takes its chances from a
    bootstrap that keeps the causes as they were, so that their shifts are no drift (Hansen 2000,
    doi:10.1016/S0304-4076(99)00068-8).

    Parameters
    ----------
    windows : Windows
        The windows.
    graph : Graph
        A graph whose variables the windows hold, without lags.
    alarm : float
        Nominal chance that any mechanism at all is called drifted where none is, by Holm's steps.
    draws : int
        Number of draws of each change.
    seed : int
        Seed of the bootstrap and the draws.

    Returns
    -------
    Estimate
        Terms ``slo`` (the variable), ``quantity`` (``change``), ``unit``, ``kind`` (``mechanism`` or ``input``),
        ``since`` and ``p``: the mean change since the likeliest date, of a mechanism with its causes as they were. A
        check named after each mechanism fails where it drifted; bounded where there are few independent blocks.

    Raises
    ------
    CausalrelError
        When the windows lack a variable of the graph or have no time, the graph has lags, or ``alarm`` is no chance.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("drift"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> answer = cr.drift(windows, cr.load_graph("llm-serving").project(["prompt_tokens", "load", "queue_s"]))
    >>> answer.terms.select("slo", "kind").rows()
    [('load', 'input'), ('prompt_tokens', 'input'), ('queue_s', 'mechanism')]
    """
    if not 0 < alarm < 1:
        raise errors.bad_question(f"drift: {alarm} is no chance of a false alarm", "write one such as 0.02")
    check_nodes(windows, graph, "drift")
    if graph.lags or windows.timeless:
        found = "it has lagged edges" if graph.lags else "the windows have no time"
        raise errors.refused("the drift", f"{found}, and it is told of mechanisms within windows in time")
    steps = (windows.span[1] - windows.span[0]) // windows.width
    if steps < _FEWEST_STEPS:
        raise errors.refused("the drift", f"the windows are of {steps} times, and {_FEWEST_STEPS} are the least")
    rng = np.random.default_rng([seed, 14])
    rows: list[tuple[str, str, str, str, datetime, float]] = []
    parts: list[Floats] = []
    few = []
    for name in graph.order():
        draft = _draft(windows, graph, name)
        if draft is None:
            continue
        kind = "mechanism" if graph.variable(name).role in ("engine", "outcome") else "input"
        one, change = _changed(draft, name, _SPANS if kind == "mechanism" else _SPANS_OF_INPUTS, draws, rng)
        few += [name] if one.blocks < _FEWEST_BLOCKS else []
        counted = draft.mechanism.form == "event-rate"
        since = datetime.fromtimestamp(one.since * windows.width.total_seconds(), UTC)
        rows.append((name, "change", "1" if counted else graph.variable(name).unit, kind, since, one.chance))
        parts.append(change)
    question = "Which mechanisms drifted, and since when?"
    origin = windows.origin(seed, graph.fingerprint())
    if not any(row[3] == "mechanism" for row in rows):
        failed = Check(name="mechanisms", passed=False, says="the graph has no engine variable or outcome that varies")
        return refusal(question, method=_METHOD, checks=[failed], origin=origin)
    names = ["slo", "quantity", "unit", "kind", "since", "p"]
    terms = pl.DataFrame(rows, schema=names, orient="row").cast({"since": pl.Datetime("us", "UTC")})
    return Estimate(
        question=question,
        draws=np.column_stack(parts),
        terms=terms,
        unit=terms["unit"][0],
        method=_METHOD,
        assumptions=(
            f"graph {graph.name} (version {graph.version}) is right: a shift of a cause it lacks looks like drift",
            "what wanders slower than a quarter of the time seen cannot be told from drift",
        ),
        checks=(_enough(few), *_checks(terms, alarm)),
        verdict="bounded" if few else "answered",
        origin=origin,
    )


def _draft(windows: Windows, graph: Graph, name: str) -> Draft | None:
    """Return the regression of a mechanism on its causes, or of an input on the time of day; None without either."""
    draft = draft_of(windows, graph, name)
    if draft is not None:
        counted = draft.mechanism.form == "event-rate"
        outcome = draft.columns[f"{name}.bad" if counted else name]
        return None if len(np.unique(outcome)) < 2 else draft
    variable = windows.variable(name)
    if variable.role not in ("workload", "hardware") or variable.kind == "category":
        return None
    columns, _ = rows_of(windows, [name])
    if len(np.unique(columns[name])) < 3:
        return None
    angle = 2 * np.pi * columns["step"] * (windows.width / timedelta(days=1))
    x = np.column_stack([np.ones(len(angle)), *[wave(k * angle) for k in (1, 2) for wave in (np.cos, np.sin)]])
    shape = scaled(Mechanism(variable=variable, form="regression"), x, columns[name])
    return Draft(mechanism=shape, columns=columns, x=x, groups=np.full(x.shape[1], -1), remembers=False, checks=())


def _changed(draft: Draft, name: str, spans: int, draws: int, rng: np.random.Generator) -> tuple[_Found, Floats]:
    """Find where a regression changed most, and draw by how much since."""
    from causalrel.mechanisms.mixed import fit_mixed
    from causalrel.mechanisms.noises import nearest_chain

    counted = draft.mechanism.form == "event-rate"
    columns = draft.columns
    outcome = columns[f"{name}.bad"] if counted else draft.mechanism.scaled(columns[name])
    total = columns[f"{name}.total"] if counted else None
    rough = outcome - outcome.mean() if total is None else outcome / total - outcome.sum() / total.sum()
    chain = nearest_chain(rough, columns["step"], columns["unit"])
    wider = np.column_stack([draft.x, _levels(columns["step"], spans)])
    fitted = fit_mixed(wider, np.append(draft.groups, np.full(spans - 1, -1)), outcome, total, chain)
    tested = np.flatnonzero(draft.groups < 0) if draft.mechanism.terms else np.zeros(1, dtype=np.intp)
    left = fitted.whitened[:, -1] * (1.0 if counted else fitted.variances[1])
    found = _tested(fitted, left, columns["step"], tested, draft.x.shape[1], rng)
    after = (columns["step"] >= found.since).astype(np.float64)
    more = [after] if found.column == 0 else [after, after * draft.x[:, found.column]]
    again = fit_mixed(
        np.column_stack([draft.x, *more]), np.append(draft.groups, np.full(len(more), -1)), outcome, total, chain
    )
    return found, _since(draft, name, again, np.column_stack(more), draws, rng)


def _levels(step: NDArray[np.int64], count: int) -> Floats:
    """Mark parts of the time seen, the first aside."""
    place = (step - step.min()) * count // (step.max() - step.min() + 1)
    return np.asarray(place[:, None] == np.arange(1, count), dtype=np.float64)


def _tested(
    fitted: Mixed,
    own: Floats,
    step: NDArray[np.int64],
    tested: NDArray[np.intp],
    width: int,
    rng: np.random.Generator,
) -> _Found:
    """Test whether coefficients are the same all along, and find where they change most.

    Scores seen are those without the levels of the parts of time; scores drawn have what those levels left.
    """
    block, length = _blocks(step, own)
    count = int(block.max()) + 1
    order = np.argsort(block, kind="stable")
    cuts = np.searchsorted(block[order], np.arange(count + 1))
    rows = [order[start:end] for start, end in pairwise(cuts)]
    columns, levels = fitted.whitened[:, :width], fitted.whitened[:, width:-1]
    absorbed = levels @ (fitted.weights @ fitted.means)[width:]
    whole = own + absorbed - columns @ np.linalg.lstsq(columns, absorbed, rcond=None)[0]
    seen, drawn = (np.array([columns[part].T @ left[part] for part in rows]) for left in (whole, own))
    known = np.cumsum([columns[part].T @ columns[part] for part in rows], axis=0)
    inner = known[-1] + 1e-8 * np.diag(np.diag(known[-1]) + 1e-300)
    gain = np.linalg.solve(inner, known[:, :, tested]).transpose(1, 0, 2)
    size = np.sqrt((drawn[:, tested] ** 2).sum(axis=0)) + 1e-300
    first = int(_EDGE * count)

    def moved(scores: Floats, signs: Floats) -> Floats:
        cumulated = np.cumsum(signs[:, :, None] * scores[:, tested], axis=1)
        apart = cumulated - np.einsum("dk,kbj->dbj", signs @ scores, gain)
        return np.asarray(np.abs(apart[:, first : count - max(first, 1)] / size), dtype=np.float64)

    most = moved(seen, np.ones((1, count)))[0]
    at, place = np.unravel_index(int(most.argmax()), most.shape)
    signs = (rng.choice([-1.0, 1.0], size=(_AT_ONCE, count)) for _ in range(_REPEATS // _AT_ONCE))
    beyond = sum(int((moved(drawn, one).max(axis=(1, 2)) >= most.max()).sum()) for one in signs)
    return _Found(
        chance=(1 + beyond) / (1 + _REPEATS),
        since=int(step.min()) + (first + int(at) + 1) * length,
        column=int(tested[place]),
        blocks=count,
    )


def _blocks(step: NDArray[np.int64], left: Floats) -> tuple[NDArray[np.int64], int]:
    """Group rows into time blocks that hardly remember each other, no more than are needed."""
    _, width = time_groups(step, left)
    start = int(step.min())
    width = max(width, -(-(int(step.max()) - start + 1) // _MOST_BLOCKS))
    return (step - start) // width, width


def _since(draft: Draft, name: str, fitted: Mixed, more: Floats, draws: int, rng: np.random.Generator) -> Floats:
    """Draw the mean change of an outcome since a date, its causes and its noise as they were."""
    late = np.flatnonzero(more[:, 0] > 0)
    rows = late[np.linspace(0, len(late) - 1, min(len(late), _SPOKEN)).astype(np.intp)]
    groups, _ = _blocks(draft.columns["step"], fitted.whitened[:, -1])
    contrast = np.zeros(fitted.means.shape[1])
    contrast[-more.shape[1] :] = more[rows].mean(axis=0)
    mean = fitted.weights @ fitted.means
    drawn = mean + fitted.excess(contrast, groups) * (fitted.draw(draws, rng) - mean)
    step = more[rows] @ drawn[:, -more.shape[1] :].T
    if draft.mechanism.form == "event-rate":
        weight, eta = draft.columns[f"{name}.total"][rows], fitted.eta[rows][:, None]
        return np.asarray(weight @ (expit(eta) - expit(eta - step)) / weight.sum(), dtype=np.float64)
    mechanism, values = draft.mechanism, draft.columns[name][rows]
    before = mechanism.unscaled(mechanism.scaled(values)[:, None] - step)
    return np.asarray((values[:, None] - before).mean(axis=0), dtype=np.float64)


def _enough(few: list[str]) -> Check:
    """Say whether every variable has time blocks enough for its chances to be trusted."""
    said = f"{'; '.join(few)}: fewer than" if few else "every variable has at least"
    return Check(name="independent blocks", passed=not few, says=f"{said} {_FEWEST_BLOCKS} independent time blocks")


def _checks(terms: pl.DataFrame, alarm: float) -> list[Check]:
    """Say of each mechanism whether it drifted, by Holm's steps; and which inputs shifted."""
    made = []
    mine = terms.filter(pl.col("kind") == "mechanism").sort("p")
    held = False
    for place, (name, since, chance) in enumerate(mine.select("slo", "since", "p").rows()):
        held = held or chance > alarm / (mine.height - place)
        if held:
            says = f"the mechanism of {name} shows no drift beyond chance (p = {display.number(chance)})"
        else:
            says = f"the mechanism of {name} drifted about {display.when(since)} UTC (p = {display.number(chance)})"
        made.append(Check(name=f"{name}: drift", passed=held, says=says))
    shifted = terms.filter((pl.col("kind") == "input") & (pl.col("p") <= alarm))
    for name, since, chance in shifted.select("slo", "since", "p").rows():
        says = f"{name} shifted about {display.when(since)} UTC (p = {display.number(chance)}), which is no drift"
        made.append(Check(name=f"{name}: shift", passed=True, says=says))
    return made
