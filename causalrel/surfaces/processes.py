"""Processes: Gaussian processes conditioned on rows, predicted and drawn from in plain numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from causalrel.surfaces.kernels import TREND_VARIANCE, Kernel, Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Random features that stand for a draw of the prior (Rahimi and Recht 2007).
_FEATURES = 256
#: Distinct rows conditioned on, at most.
_CONDITIONED_ON = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Posterior:
    """A kernel conditioned on rows.

    Parameters
    ----------
    kernel : Kernel
        The kernel.
    rows : Rows
        What it is conditioned on.
    root : ndarray of float64, shape (m, m)
        Cholesky factor of the covariance of the rows, noise included.

    Examples
    --------
    >>> from causalrel.surfaces.kernels import fit_kernel, gather
    >>> x = np.linspace(-1, 1, 30)[:, None]
    >>> rows = gather(x, 2 * x[:, 0])
    >>> kernel = fit_kernel(rows, np.array([0]), np.array([True]), rng=np.random.default_rng(0))
    >>> mean, sd = condition(kernel, rows, np.random.default_rng(0)).predict(np.array([[0.5]]))
    >>> abs(float(mean[0]) - 1.0) < 0.01
    True
    """

    kernel: Kernel
    rows: Rows
    root: NDArray[np.float64]

    def solved(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the inverse covariance times some values."""
        return np.asarray(np.linalg.solve(self.root.T, np.linalg.solve(self.root, values)), dtype=np.float64)

    def predict(self, x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and standard deviation of the function at some rows, noise left out.

        Parameters
        ----------
        x : ndarray of float64, shape (n, k)
            Rows.

        Returns
        -------
        mean, sd : ndarray of float64, shape (n,)
            Rasmussen and Williams (2006), eq. 2.25 and 2.26.
        """
        cross = self.kernel.between(self.rows.x, x)
        half = np.linalg.solve(self.root, cross)
        own = TREND_VARIANCE * (self.kernel.basis(x) ** 2).sum(axis=1) + self.kernel.amplitude**2
        mean = cross.T @ self.solved(self.rows.y)
        return mean, np.sqrt(np.maximum(own - (half**2).sum(axis=0), 0.0))

    def draw(self, count: int, rng: np.random.Generator) -> Paths:
        """Draw functions from the posterior, in pairs around its mean.

        Each is a draw of the prior, made of random features, moved by what the rows say of it (Matheron's rule; Wilson
        et al. 2020, arXiv:2002.09309).

        Parameters
        ----------
        count : int
            Number of draws.
        rng : numpy.random.Generator
            Generator handed down.

        Returns
        -------
        Paths
            The functions; their mean is the posterior mean.
        """
        kernel, rows = self.kernel, self.rows
        size = _FEATURES if kernel.amplitude > 0 else 0
        t = rng.standard_normal((size, len(kernel.groups))) / np.sqrt(rng.chisquare(5.0, size=(size, 1)) / 5.0)
        waves = t / kernel.lengths[kernel.groups]
        width = kernel.basis(rows.x[:1]).shape[-1]
        half = (count + 1) // 2
        prior = rng.standard_normal((width + 2 * size, half))
        prior[:width] *= np.sqrt(TREND_VARIANCE)
        prior[width:] *= kernel.amplitude * np.sqrt(1.0 / max(size, 1))
        noise = rng.standard_normal((len(rows.y), half)) * (kernel.noise / np.sqrt(rows.weight))[:, None]
        moved = self.solved(_features(kernel, waves, rows.x) @ prior + noise)
        return Paths(
            kernel=kernel,
            points=rows.x,
            waves=waves,
            centre=self.solved(rows.y),
            prior=np.concatenate([prior, -prior], axis=1)[:, :count],
            moved=np.concatenate([-moved, moved], axis=1)[:, :count],
        )


def condition(kernel: Kernel, rows: Rows, rng: np.random.Generator) -> Posterior:
    """Condition a kernel on rows, a random part of them where they are many.

    Parameters
    ----------
    kernel : Kernel
        The kernel.
    rows : Rows
        The rows.
    rng : numpy.random.Generator
        Picks the rows.

    Returns
    -------
    Posterior
        What is known of the function.

    Examples
    --------
    See :class:`Posterior`.
    """
    used = rows.some(_CONDITIONED_ON, rng)
    full = kernel.between(used.x, used.x) + np.diag(kernel.noise**2 / used.weight + 1e-8)
    return Posterior(kernel=kernel, rows=used, root=np.asarray(np.linalg.cholesky(full), dtype=np.float64))


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Draws of a function from a posterior.

    Parameters
    ----------
    kernel : Kernel
        The kernel.
    points : ndarray of float64, shape (m, k)
        Rows conditioned on.
    waves : ndarray of float64, shape (f, k)
        Frequencies of the random features.
    centre : ndarray of float64, shape (m,)
        Weights of the points in the mean.
    prior : ndarray of float64, shape (p + 2 f, n_draws)
        Weights of the trend and of the random features, a draw each.
    moved : ndarray of float64, shape (m, n_draws)
        Weights of the points in what a draw differs from the mean.

    Examples
    --------
    >>> from causalrel.surfaces.kernels import fit_kernel, gather
    >>> x = np.linspace(-1, 1, 30)[:, None]
    >>> rows = gather(x, 2 * x[:, 0])
    >>> kernel = fit_kernel(rows, np.array([0]), np.array([True]), rng=np.random.default_rng(0))
    >>> posterior = condition(kernel, rows, np.random.default_rng(0))
    >>> mean, apart = posterior.draw(8, np.random.default_rng(1)).at(np.array([[0.5]]))
    >>> mean.shape, apart.shape
    ((1, 1), (1, 8))
    """

    kernel: Kernel
    points: NDArray[np.float64]
    waves: NDArray[np.float64]
    centre: NDArray[np.float64]
    prior: NDArray[np.float64]
    moved: NDArray[np.float64]

    @property
    def n_draws(self) -> int:
        """Number of draws."""
        return int(self.prior.shape[1])

    def at(self, x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the mean of the function, and what each draw differs from it.

        Parameters
        ----------
        x : ndarray of float64, shape (n, k) or (n, n_draws, k)
            Rows, the same for every draw or not.

        Returns
        -------
        mean : ndarray of float64, shape (n, 1) or (n, n_draws)
            The mean.
        apart : ndarray of float64, shape (n, n_draws)
            The differences.
        """
        flat = x.reshape(-1, x.shape[-1])
        cross = self.kernel.between(flat, self.points)
        features = _features(self.kernel, self.waves, flat)
        mean = cross @ self.centre
        if x.ndim == 2:
            return mean[:, None], features @ self.prior + cross @ self.moved
        shape = x.shape[:2]
        cross, features = (part.reshape(*shape, -1) for part in (cross, features))
        apart = np.einsum("ndf,fd->nd", features, self.prior) + np.einsum("ndm,md->nd", cross, self.moved)
        return mean.reshape(shape), apart


def _features(kernel: Kernel, waves: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    angle = x @ waves.T
    return np.concatenate([kernel.basis(x), np.cos(angle), np.sin(angle)], axis=1)
