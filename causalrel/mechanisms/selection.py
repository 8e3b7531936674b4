"""Selection: whether another form than the spline foretells held-out blocks of a variable clearly better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from causalrel.mechanisms.choices import Known, calibrated, choose, make_surface, structured
from causalrel.mechanisms.learners import Sample
from causalrel.mechanisms.regressions import Coefficients, fit_line
from causalrel.networks import Mechanism
from causalrel.surfaces.domains import make_domain

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FOLDS = 5
#: Rows the choice is made on, at most, and blocks at least.
_CHOSEN_ON = 1000
_BLOCKS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Spline:
    """The spline regression of a variable, and what it was fitted to.

    Parameters
    ----------
    mechanism : Mechanism
        The mechanism it makes.
    x : ndarray of float64, shape (n, k)
        Design.
    fitted : Coefficients
        The fit.
    values : ndarray of float64, shape (n,)
        The variable.
    groups : ndarray of int64, shape (n,)
        Time block of each row, or its unit where rows have no time.
    memory : float
        Rows that tell as much as one independent row.

    Examples
    --------
    See :func:`select`.
    """

    mechanism: Mechanism
    x: NDArray[np.float64]
    fitted: Coefficients
    values: NDArray[np.float64]
    groups: NDArray[np.int64]
    memory: float


def select(
    spline: Spline,
    parents: Mapping[str, NDArray[Any]],
    signs: Mapping[str, int],
    *,
    timeless: bool,
    draws: int,
    seed: int,
) -> tuple[Mechanism, dict[str, float]]:
    """Return the mechanism that foretells held-out blocks best, the spline where none is clearly better.

    Blocks are stretches of time; where rows have no time, units, or configurations of one unit. Where they have, other
    forms are tried only if what the spline leaves over agrees between neighbouring configurations of different blocks.

    Parameters
    ----------
    spline : Spline
        The spline regression.
    parents : mapping of str to ndarray, shape (n,)
        The parents.
    signs : mapping of str to int
        Of parents that only ever raise (1) or lower (-1) the variable.
    timeless : bool
        Whether rows stand for themselves and not for stretches of time.
    draws : int
        Parameter draws.
    seed : int
        Seed of what is random.

    Returns
    -------
    mechanism : Mechanism
        The spline, or one of another form.
    scores : dict of str to float
        Held-out score by form; empty where no other was tried.

    Examples
    --------
    >>> from causalrel.variables import Variable
    >>> load = np.linspace(1.0, 2.0, 60)
    >>> waves = np.sin(20 * load)
    >>> x = np.column_stack([np.ones(60), load])
    >>> line = Spline(
    ...     mechanism=Mechanism(variable=Variable(name="queue_s", role="engine"), form="regression"),
    ...     x=x,
    ...     fitted=fit_line(x, waves, np.arange(60)),
    ...     values=waves,
    ...     groups=np.zeros(60, dtype=np.int64),
    ...     memory=1.0,
    ... )
    >>> select(line, {"load": load}, {}, timeless=True, draws=4, seed=0)[0].form
    'process'
    """
    scaled = _scaled(spline)
    outcome = scaled.scaled(spline.values)
    centre, scale = float(outcome.mean()), float(outcome.std()) or 1.0
    sample, block = _sample(spline, parents, (outcome - centre) / scale, timeless=timeless, seed=seed)
    sample = replace(sample, signs=signs)
    blocks = int(block.max()) + 1
    if not sample.domain.axes or blocks < _BLOCKS:
        return spline.mechanism, {}
    if not timeless and not structured(sample, spline.fitted.residuals, block):
        return spline.mechanism, {}
    every = -(-len(block) // _CHOSEN_ON)
    some = (block // _FOLDS if blocks >= _BLOCKS * every else np.arange(len(block))) % every == 0
    part = sample.where(some)

    def common(values: NDArray[np.float64]) -> NDArray[np.float64]:
        natural = spline.mechanism.unscaled(values)
        least = float(spline.values.min()) * 1e-2
        return (scaled.scaled(np.maximum(natural, least) if scaled.log else natural) - centre) / scale

    mean, sd = _foretold(spline, sample.fold, some)
    scores, form, held = choose(part, (mean, sd, common), block[some], seed)
    if form is None or held is None:
        return spline.mechanism, scores
    miss = part.outcome - held[0]
    known = Known(noise=held[2], factor=calibrated(miss, held[1]), usual=float(np.sqrt(np.mean(miss**2))))
    surface = make_surface(form, sample, known, centre=centre, scale=scale, draws=draws, seed=seed)
    explained = float(1.0 - np.mean(miss**2) / np.mean((part.outcome - part.outcome.mean()) ** 2))
    made = replace(scaled, form=form, surface=surface, dispersion=surface.noise, explained=explained)
    return made, scores


def _sample(
    spline: Spline, parents: Mapping[str, NDArray[Any]], outcome: NDArray[np.float64], *, timeless: bool, seed: int
) -> tuple[Sample, NDArray[np.int64]]:
    """Return the rows other forms are fitted to, and the block of each."""
    domain = make_domain(parents)
    block = spline.groups
    if timeless and domain.axes and len(np.unique(block)) == 1:
        x = np.round(domain.columns(parents), 9)
        block = np.unique(x, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
    block = np.unique(block, return_inverse=True)[1].reshape(-1).astype(np.int64)
    order = np.arange(int(block.max()) + 1)
    if timeless:
        order = np.random.default_rng([seed, 10]).permutation(order)
    memory = 1.0 if timeless else spline.memory
    made = Sample(values=parents, domain=domain, outcome=outcome, fold=order[block] % _FOLDS, memory=memory)
    return made, block


def _scaled(spline: Spline) -> Mechanism:
    """Return the scale other forms work on: the log wherever every value is positive, else the spline's."""
    mechanism = replace(spline.mechanism, terms=(), draws=None)
    return mechanism if spline.values.min() <= 0 else replace(mechanism, log=True, offset=0.0)


def _foretold(
    spline: Spline, fold: NDArray[np.int64], some: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what the spline foretells of some rows from the folds that do not hold them, on its own scale."""
    y = spline.mechanism.scaled(spline.values)
    mean = np.zeros(len(y))
    for each in np.unique(fold):
        mine = fold == each
        fitted = fit_line(spline.x[~mine], y[~mine], np.arange(int((~mine).sum())))
        mean[mine] = spline.x[mine] @ fitted.mean
    sd = np.full(len(y), spline.fitted.dispersion)
    factor = calibrated((y - mean)[some], sd[some])
    return mean[some], sd[some] * factor
