"""Inference: run mechanisms forward over rows, as they were or with something set; ask tables for chances of states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from causalrel import errors
from causalrel.networks import Columns, Mechanism, expit
from causalrel.overdispersion import draw_shares

if TYPE_CHECKING:
    from numpy.typing import NDArray


def residuals(mechanisms: Sequence[Mechanism], columns: Columns) -> dict[str, NDArray[np.float64]]:
    """Return what each mechanism leaves of its variable, per row and draw.

    Feeding a residual back reproduces the row it came from (abduction; Pearl 2009, section 7.1).

    Parameters
    ----------
    mechanisms : sequence of Mechanism
        Causes before effects.
    columns : mapping of str to ndarray, shape (n,)
        The rows.

    Returns
    -------
    dict of str to ndarray of float64, shape (n, n_draws)
        Residuals on each mechanism's own scale; event rates have none.

    Raises
    ------
    CausalrelError
        When a mechanism is a table of states.

    Examples
    --------
    >>> residuals((), {})
    {}
    """
    check_forms(mechanisms)
    return {
        m.variable.name: m.scaled(columns[m.variable.name].astype(np.float64))[:, None] - m.predictor(columns)
        for m in mechanisms
        if m.additive
    }


def check_forms(mechanisms: Sequence[Mechanism]) -> None:
    """Refuse mechanisms that windows cannot be run through.

    Parameters
    ----------
    mechanisms : sequence of Mechanism
        The mechanisms.

    Raises
    ------
    CausalrelError
        When one is a table of states.

    Examples
    --------
    >>> check_forms(())
    """
    tables = [m.variable.name for m in mechanisms if m.form == "table"]
    if tables:
        raise errors.refused(
            "running a network of tables forward over windows",
            f"{', '.join(tables[:8])} follow tables of states; ask query, infer or recover, or fit without states=",
        )


def produce(mechanism: Mechanism, values: Columns, residual: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Return a derived variable from its parents.

    Parameters
    ----------
    mechanism : Mechanism
        One that is derived.
    values : mapping of str to ndarray
        Parents, of shape (n,) or (n, n_draws).
    residual : ndarray of float64, shape (n, n_draws), or None
        Residual of one that has any.

    Returns
    -------
    ndarray of float64, shape (n, n_draws)
        Values, or probabilities of a bad event.

    Examples
    --------
    >>> from causalrel.variables import Variable
    >>> slo = Variable(name="ttft", role="outcome", kind="events")
    >>> always = Mechanism(variable=slo, form="event-rate", draws=np.zeros((2, 1)))
    >>> produce(always, {}, None).tolist()
    [[0.5, 0.5]]
    """
    return produced(mechanism, mechanism.predictor(values), residual)


def produced(
    mechanism: Mechanism, eta: NDArray[np.float64], residual: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Return a derived variable from its linear predictor.

    Parameters
    ----------
    mechanism : Mechanism
        One that is derived.
    eta : ndarray of float64, shape (n, n_draws)
        Linear predictor.
    residual : ndarray of float64, shape (n, n_draws), or None
        Residual of one that has any.

    Returns
    -------
    ndarray of float64, shape (n, n_draws)
        Values, or probabilities of a bad event.

    Examples
    --------
    >>> from causalrel.variables import Variable
    >>> slo = Variable(name="ttft", role="outcome", kind="events")
    >>> produced(Mechanism(variable=slo, form="event-rate"), np.zeros((1, 2)), None).tolist()
    [[0.5, 0.5]]
    """
    if mechanism.form == "event-rate":
        return expit(eta)
    return mechanism.unscaled(eta if residual is None else eta + residual)


def predict(mechanism: Mechanism, values: Columns, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return draws of a variable at rows of its parents, what no parent explains drawn anew.

    Parameters
    ----------
    mechanism : Mechanism
        One that is derived.
    values : mapping of str to ndarray, shape (n,) or (n, n_draws)
        Parents.
    rng : numpy.random.Generator
        Generator handed down.

    Returns
    -------
    ndarray of float64, shape (n, n_draws)
        Values in the variable's unit; for an event rate, a window's own share of bad events, so that binomial draws
        with it are beta-binomial.

    Examples
    --------
    >>> from causalrel.variables import Variable
    >>> queue = Variable(name="queue_s", role="engine", unit="s")
    >>> flat = Mechanism(variable=queue, form="regression", draws=np.full((2, 1), 3.0), dispersion=0.0)
    >>> predict(flat, {}, np.random.default_rng(0)).tolist()
    [[3.0, 3.0]]
    """
    if not mechanism.additive:
        return draw_shares(produce(mechanism, values, None), mechanism.correlation, rng)
    told = mechanism.predictor(values)
    size: Any = mechanism.dispersion
    if mechanism.surface is not None:
        size = mechanism.surface.residual(values)
        size = size if size.ndim == 2 else size[:, None]
    half = rng.standard_normal((len(told), -(-told.shape[1] // 2)))
    return mechanism.unscaled(told + size * np.concatenate([half, -half], axis=1)[:, : told.shape[1]])


def run(
    mechanisms: Sequence[Mechanism],
    columns: Columns,
    left: Mapping[str, NDArray[np.float64]],
    do: Columns,
) -> dict[str, NDArray[Any]]:
    """Run mechanisms over rows with some variables set.

    Parameters
    ----------
    mechanisms : sequence of Mechanism
        Causes before effects.
    columns : mapping of str to ndarray, shape (n,)
        Observed variables.
    left : mapping of str to ndarray, shape (n, n_draws)
        Residuals, as :func:`residuals` gives them.
    do : mapping of str to ndarray, shape (n,)
        Values set; they cut a variable from its causes.

    Returns
    -------
    dict of str to ndarray
        Every variable; event rates hold probabilities of a bad event.

    Examples
    --------
    >>> run((), {}, {}, {})
    {}
    """
    values: dict[str, NDArray[Any]] = {}
    for mechanism in mechanisms:
        name = mechanism.variable.name
        if name in do:
            values[name] = do[name]
        elif mechanism.form == "observed":
            values[name] = columns[name]
        else:
            values[name] = produce(mechanism, values, left.get(name))
    return values
