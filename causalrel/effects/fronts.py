"""Fronts: an effect told by the one variable through which it goes, where a hidden cause joins both its ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from causalrel.effects.columns import Design, Level, changed, layout, matrix
from causalrel.effects.designs import make_design
from causalrel.effects.overlap import MOST
from causalrel.effects.soundness import judge
from causalrel.effects.standards import regress, widening
from causalrel.estimates import Check, Verdict
from causalrel.mechanisms.regressions import time_groups
from causalrel.networks import expit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from causalrel.identification import FrontDoor
    from causalrel.mechanisms.mixed import Mixed
    from causalrel.windows import Windows

#: Rows whose outcome is worked out at once, over all draws.
_CHUNK = 256

Answered = tuple[dict[Level, "NDArray[np.float64]"], list[Check], Verdict]


def tell_front_door(
    windows: Windows,
    of: str,
    on: str,
    door: FrontDoor,
    levels: tuple[Level, ...],
    assigned_by: tuple[str, ...],
    draws: int,
    seed: int,
) -> Answered:
    """Tell the mean outcome at each level through a mediator (Pearl 2009, section 3.3.2).

    One mixed regression tells how far the treatment moves the mediator, another how the outcome follows the mediator,
    treatment held fixed. Each window keeps its own treatment, its own share of the noise of both, and has its mediator
    moved by as much as the level moves it.

    Parameters
    ----------
    windows : Windows
        Windows at the levels, without nulls in what is used.
    of, on : str
        Treatment, and an SLO or a numeric outcome.
    door : FrontDoor
        The mediator, a number, and what is held fixed.
    levels : tuple of level
        The baseline first.
    assigned_by : tuple of str
        What is held fixed and sets the treatment.
    draws, seed : int
        Number and seed of the draws.

    Returns
    -------
    shares : dict of level to ndarray of float64, shape (draws,)
        Mean outcome at each level; empty where refused.
    checks : list of Check
        What was tested.
    verdict : {"answered", "bounded", "refused"}
        What they allow.

    Examples
    --------
    >>> import causalrel as cr
    >>> from causalrel.identification import FrontDoor
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> door = FrontDoor(mediator="queue_s", given=("load",))
    >>> tell_front_door(windows, "batch_size", "ttft", door, (4.0, 8.0), (), 200, 0)[2]
    'answered'
    """
    first = make_design(windows, windows.variable(of), door.mediator, door.given, levels, assigned_by)
    second = make_design(windows, windows.variable(door.mediator), on, (of, *door.given), (), (of, *door.given))
    verdict, checks = judge(first, levels)
    if not (first.smooth and second.smooth):
        says = f"a front door needs {of} switched within units, and ten bad events of {on}"
        checks.append(Check(name="front door", passed=False, says=says))
        verdict = "refused"
    if verdict == "refused":
        return {}, checks, verdict
    rows = np.arange(len(first.bad))
    one, other = cast("Mixed", regress(first, rows)), cast("Mixed", regress(second, rows))
    rng = np.random.default_rng([seed, 4])
    inside = first.supported
    moved = moved_columns(first, levels)
    steps = spread_draws(first, one, [(part - moved[0]).mean(axis=0) for part in moved[1:]], draws, rng)
    shifts = [part @ steps.mean(axis=0) for part in moved]
    door_of = _Door.of(second, other, inside)
    checks.append(door_of.reached(first, shifts, of))
    contrasts = [door_of.gradient(shift) for shift in shifts]
    slopes = spread_draws(second, other, [slope - contrasts[0] for slope in contrasts[1:]], draws, rng)
    own = door_of.noise * rng.standard_normal(draws)
    shares = {level: door_of.mean(part, steps, slopes, own) for level, part in zip(levels, moved, strict=True)}
    return shares, checks, verdict if checks[-1].passed else "bounded"


def spread_draws(
    data: Design,
    fitted: Mixed,
    contrasts: Sequence[NDArray[np.float64]],
    draws: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Draw the coefficients that follow the treatment, further where sums over time blocks vary more than the fit says.

    Parameters
    ----------
    data : Design
        The rows, all of them fitted.
    fitted : Mixed
        Their regression.
    contrasts : sequence of ndarray of float64, shape (f,)
        What is asked of those coefficients.
    draws : int
        Number of draws.
    rng : numpy.random.Generator
        Generator handed down.

    Returns
    -------
    ndarray of float64, shape (draws, f)
        Joint draws.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> data = make_design(windows, windows.variable("batch_size"), "tpot", [], (4.0, 8.0))
    >>> fitted = regress(data, np.arange(len(data.bad)))
    >>> spread_draws(data, fitted, [np.array([1.0])], 50, np.random.default_rng(0)).shape
    (50, 1)
    """
    follows = layout(data)[1]
    groups = data.groups if data.by_unit else time_groups(data.columns["step"], fitted.whitened[:, -1])[0]
    excess = 1.0
    for contrast in contrasts:
        whole = np.zeros(len(follows))
        whole[follows] = contrast
        excess = max(excess, fitted.excess(whole, groups))
    mean = fitted.weights @ fitted.means
    return np.asarray((mean + excess * (fitted.draw(draws, rng) - mean))[:, follows], dtype=np.float64)


def moved_columns(data: Design, levels: tuple[Level, ...]) -> list[NDArray[np.float64]]:
    """Return how far setting each level moves supported rows' columns that follow the treatment.

    Parameters
    ----------
    data : Design
        The rows.
    levels : tuple of level
        Levels asked about.

    Returns
    -------
    list of ndarray of float64, shape (m, f)
        One a level.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> data = make_design(windows, windows.variable("batch_size"), "tpot", [], (4.0, 8.0))
    >>> low, high = moved_columns(data, (4.0, 8.0))
    >>> np.unique(high - low).tolist()
    [1.0]
    """
    rows = np.flatnonzero(data.supported)
    ends = [level if data.code is None else str(place) for place, level in enumerate(levels)]
    return [changed(data, rows, end) for end in ends]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Door:
    """The outcome as it follows the mediator: each row's mediator, noise, and slopes by what is held fixed."""

    data: Design
    mediator: NDArray[np.float64]
    held: NDArray[np.float64]
    eta: NDArray[np.float64]
    wide: NDArray[np.float64]
    weight: NDArray[np.float64]
    inside: NDArray[np.bool_]

    @classmethod
    def of(cls, data: Design, fitted: Mixed, inside: NDArray[np.bool_]) -> _Door:
        rows, term = np.arange(len(data.bad)), data.term
        ends = [matrix(data, rows, np.full(len(rows), at)) for at in (term.centre, term.centre + term.scale)]
        held = (ends[1] - ends[0])[:, layout(data)[1]][:, term.width :]
        weight = np.ones(len(rows)) if data.total is None else data.total
        return cls(
            data=data,
            mediator=data.treat[inside],
            held=held[inside],
            eta=fitted.eta[inside],
            wide=widening(fitted.spread[inside]),
            weight=weight[inside],
            inside=inside,
        )

    @property
    def noise(self) -> float:
        """Standard deviation of what counts of events leave open of their mean, on the scale of the predictor."""
        if self.data.total is None:
            return 0.0
        share = expit(self.eta)
        return float(1 / np.sqrt((self.weight * share * (1 - share)).sum()))

    def gradient(self, shift: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return derivatives of the mean outcome, by coefficients that follow the mediator."""
        columns = self.data.term.columns(self.mediator + shift) - self.data.term.columns(self.mediator)
        weight = self.weight
        if self.data.total is not None:
            share = expit(self.eta * self.wide)
            weight = weight * share * (1 - share) * self.wide
        made = np.append(weight @ columns, (weight * columns[:, 0]) @ self.held)
        return np.asarray(made / self.weight.sum(), dtype=np.float64)

    def mean(
        self,
        part: NDArray[np.float64],
        steps: NDArray[np.float64],
        slopes: NDArray[np.float64],
        own: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return the mean outcome with each row's mediator moved, draw by draw."""
        width = self.data.term.width
        total = np.zeros(len(own))
        for start in range(0, len(part), _CHUNK):
            rows = slice(start, start + _CHUNK)
            at = self.mediator[rows]
            columns = self.data.term.columns(at[:, None] + part[rows] @ steps.T)
            columns -= self.data.term.columns(at)[:, None, :]
            eta = self.eta[rows, None] + np.einsum("rdw,dw->rd", columns, slopes[:, :width])
            eta += columns[:, :, 0] * (self.held[rows] @ slopes[:, width:].T)
            total += self.weight[rows] @ (
                eta if self.data.total is None else expit((eta + own) * self.wide[rows, None])
            )
        return np.asarray(total / self.weight.sum(), dtype=np.float64)

    def reached(self, first: Design, shifts: Sequence[NDArray[np.float64]], of: str) -> Check:
        """Tell how many of the moved mediators lie where they were seen at the row's own treatment."""
        codes = np.zeros(len(self.inside), dtype=np.int64) if first.code is None else first.code
        seen = np.ones(len(self.mediator), dtype=bool)
        for code in np.unique(codes):
            among = self.data.treat[codes == code]
            mine = codes[self.inside] == code
            for shift in shifts:
                to = (self.mediator + shift)[mine]
                seen[mine] &= (to >= among.min()) & (to <= among.max())
        name, share = self.data.term.name, float(self.weight @ seen / self.weight.sum())
        what = "windows" if self.data.total is None else "events"
        says = f"{100 * share:.0f}% of the {what} had {name} moved to where it was seen at the same {of}"
        return Check(name="front door", passed=share >= MOST, says=says)
