"""PyMC: rates of many units pooled, and the gate that a sampled posterior must pass."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from causalrel.estimates import Check

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

_CHAINS = 4
_DRAWS = 1000
#: Log-odds of a bad share of 2 %, the middle of the prior; two of its sd of 2 reach from 0.03 % to 50 %.
_TYPICAL_ODDS = -4.0
#: Tuning steps, draws kept one of, target acceptance and coordinates of the first try and of the one retry.
_TRIES = ((1000, 1, 0.95, "partly centred"), (2000, 3, 0.99, "not centred"))
#: Bad and good events a unit needs before its log-odds say how far the units lie apart.
_CLEAR = 3.0


def pooled_rates(
    bad: Floats, total: Floats, factors: Sequence[Codes] = (), *, seed: int
) -> tuple[Floats, tuple[Check, ...]]:
    """Draw the rates of bad events of units that resemble each other.

    Each unit's log-odds come from one normal distribution whose mean and spread are learnt from all units (a
    hierarchical logit), so a unit with little traffic borrows from the others; where units are made of factors, such as
    node and version, effects of their levels that sum to zero are added to the mean. Each unit is sampled the less
    centred the less its own events tell it apart from the others; a retry is not centred at all.

    Parameters
    ----------
    bad, total : ndarray of float64, shape (n_units,)
        Events of each unit; fractions are allowed, as counts divided by their dispersion are.
    factors : sequence of ndarray of int64, shape (n_units,)
        Level of each unit, from 0, one array a factor.
    seed : int
        Seed of the sampler.

    Returns
    -------
    draws : ndarray of float64, shape (n_draws, n_units)
        Rates in (0, 1).
    checks : tuple of Check
        The gate: r_hat, effective draws, energy, divergences, tree depth, finiteness. The draws are no answer unless
        all passed.

    References
    ----------
    Gelman, Carlin, Stern, Dunson, Vehtari and Rubin (2013), Bayesian Data Analysis, chapter 5; Gorinova, Moore and
    Hoffman (2020), arXiv:1906.03028, for the partial centring; DerSimonian and Laird (1986),
    doi:10.1016/0197-2456(86)90046-2, for the spread that chooses it.
    """
    import pymc as pm

    checks: tuple[Check, ...] = ()
    for tune, thin, accept, how in _TRIES:
        model = _model(bad, total, factors, _centring(bad, total) if how == "partly centred" else np.zeros(len(bad)))
        with model, _quiet():
            trace = pm.sample(
                thin * _DRAWS,
                tune=tune,
                chains=_CHAINS,
                target_accept=accept,
                nuts_sampler="nutpie",
                random_seed=seed,
                progressbar=False,
                compute_convergence_checks=False,
            )
        checks = sampler_checks(trace)
        if all(check.passed for check in checks):
            break
    rates = trace["posterior"]["rate"].to_numpy()[:, ::thin].astype(np.float64)
    return rates.reshape(-1, len(bad)), checks


def _model(bad: Floats, total: Floats, factors: Sequence[Codes], centred: Floats) -> Any:
    """Return the hierarchical logit, each unit as centred (1) or not (0) as asked."""
    import pymc as pm

    with pm.Model() as model:
        mean = pm.Normal("mean", 0.0, 2.0)
        for number, codes in enumerate(factors):
            between = pm.HalfNormal(f"spread_{number}", 1.0)
            mean = mean + pm.ZeroSumNormal(f"effect_{number}", between, shape=int(codes.max()) + 1)[codes]
        spread = pm.HalfNormal("spread", 1.0)
        place = pm.Normal("place", centred * mean, spread**centred, shape=len(bad))
        odds = _TYPICAL_ODDS + mean + spread ** (1 - centred) * (place - centred * mean)
        pm.Deterministic("rate", pm.math.invlogit(odds))
        likelihood = -bad * pm.math.log1pexp(-odds) - (total - bad) * pm.math.log1pexp(odds)
        pm.Potential("events", likelihood.sum())
    return model


def _centring(bad: Floats, total: Floats) -> Floats:
    """Return how centred to sample each unit, from 0 to 1: the share of its log-odds' variance that is no noise."""
    share = (bad + 0.5) / (total + 1.0)
    told = (total + 1.0) * share * (1 - share)
    clear = told >= _CLEAR
    if clear.sum() < 2:
        return np.zeros(len(bad))
    weight, odds = told[clear], np.log(share / (1 - share))[clear]
    excess = float(np.sum(weight * (odds - np.average(odds, weights=weight)) ** 2)) - (len(weight) - 1)
    between = max(excess, 0.0) / (weight.sum() - np.sum(weight**2) / weight.sum())
    return np.asarray(told * between / (told * between + 1.0), dtype=np.float64)


@contextmanager
def _quiet() -> Iterator[None]:
    log = logging.getLogger("pymc")
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(level)


def sampler_checks(trace: Any) -> tuple[Check, ...]:
    """Put a sampled posterior through the gate.

    Parameters
    ----------
    trace : xarray.DataTree
        Groups ``posterior`` and ``sample_stats`` as nutpie writes them.

    Returns
    -------
    tuple of Check
        One check a criterion.

    References
    ----------
    Vehtari, Gelman, Simpson, Carpenter and Buerkner (2021), doi:10.1214/20-BA1221; Betancourt (2016),
    arXiv:1604.00695.
    """
    import arviz as az

    posterior = trace["posterior"].dataset
    stats = trace["sample_stats"].dataset
    finite = all(bool(np.isfinite(posterior[name].to_numpy()).all()) for name in posterior.data_vars)
    if not finite:
        return (Check(name="sampler finite", passed=False, says="some draws are not finite"),)
    hat = _extreme(az.rhat(trace), np.max)
    ess = min(_extreme(az.ess(trace, method=method), np.min) for method in ("bulk", "tail"))
    energy = float(np.min(_values(az.bfmi(trace))))
    total = stats["diverging"].size
    diverging = int(stats["diverging"].sum())
    deep = int(stats["maxdepth_reached"].sum()) / total
    return (
        Check(name="sampler chains agree", passed=hat <= 1.01, says=f"largest r_hat is {hat:.3f} (1.01 at most)"),
        Check(name="sampler draws", passed=ess >= 400, says=f"least effective draws are {ess:.0f} (400 at least)"),
        Check(name="sampler energy", passed=energy >= 0.3, says=f"least E-BFMI is {energy:.2f} (0.3 at least)"),
        Check(
            name="sampler divergences",
            passed=diverging <= 0.001 * total,
            says=f"{diverging} of {total:,} steps diverged (0 wanted, 0.1% at most)"
            + ("; take the answer with caution" if 0 < diverging <= 0.001 * total else ""),
        ),
        Check(name="sampler depth", passed=deep < 0.01, says=f"{deep:.1%} of steps hit the tree depth (under 1%)"),
    )


def _extreme(tree: Any, pick: Any) -> float:
    """Return the extreme value over all variables; NaN counts as infinitely bad."""
    worst = float("inf") if pick is np.max else 0.0
    return float(np.nan_to_num(pick(_values(tree)), nan=worst))


def _values(tree: Any) -> Floats:
    data = tree["posterior"].dataset if "posterior" in getattr(tree, "children", {}) else getattr(tree, "dataset", tree)
    return np.concatenate([np.ravel(data[name].to_numpy()) for name in data.data_vars]).astype(np.float64)
