"""Forests: regression trees as arrays, walked in plain numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Trees that one draw of a forest averages.
_TREES_A_DRAW = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """Trees side by side; a draw is the mean of some of them.

    Parameters
    ----------
    feature : ndarray of int64, shape (n_trees, n_nodes)
        Column each node splits on; -1 at a leaf.
    threshold : ndarray of float64, shape (n_trees, n_nodes)
        Rows at or below it go left.
    left, right : ndarray of int64, shape (n_trees, n_nodes)
        The next node; a leaf leads to itself.
    value : ndarray of float64, shape (n_trees, n_nodes)
        Mean outcome at each node.
    chosen : ndarray of int64, shape (n_draws, n_chosen)
        Trees of each draw.

    Examples
    --------
    >>> stump = {"feature": np.array([[0, -1, -1]]), "threshold": np.array([[0.5, 0.0, 0.0]])}
    >>> ways = {"left": np.array([[1, 1, 2]]), "right": np.array([[2, 1, 2]])}
    >>> made = Forest(**stump, **ways, value=np.array([[0.5, 0.0, 1.0]]), chosen=np.zeros((3, 1), dtype=np.int64))
    >>> made.at(np.array([[0.2], [0.9]]))[0].tolist()
    [[0.0], [1.0]]
    """

    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    value: NDArray[np.float64]
    chosen: NDArray[np.int64]

    @property
    def n_draws(self) -> int:
        """Number of draws."""
        return len(self.chosen)

    def each(self, x: NDArray[np.float64], trees: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what some trees say of some rows.

        Parameters
        ----------
        x : ndarray of float64, shape (n, ..., k)
            Rows.
        trees : ndarray of int64
            Trees, of a shape that goes with all but the last axis of ``x``.

        Returns
        -------
        ndarray of float64
            One value a row and tree.
        """
        shape = np.broadcast_shapes(x.shape[:-1], trees.shape)
        columns = np.moveaxis(x, -1, 0).astype(np.float32)  # the precision that thresholds were chosen in
        trees = np.broadcast_to(trees, shape)
        node = np.zeros(shape, dtype=np.int64)
        grids = np.meshgrid(*(np.arange(size) for size in shape), indexing="ij", sparse=True)
        own = tuple(grid if x.shape[i] > 1 else np.zeros_like(grid) for i, grid in enumerate(grids))
        while True:
            feature = self.feature[trees, node]
            if (feature < 0).all():
                made: NDArray[np.float64] = self.value[trees, node]
                return made
            below = columns[(np.maximum(feature, 0), *own)] <= self.threshold[trees, node]
            node = np.where(below, self.left[trees, node], self.right[trees, node])

    def at(self, x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the mean of the trees, and what each draw differs from it.

        Parameters
        ----------
        x : ndarray of float64, shape (n, k) or (n, n_draws, k)
            Rows, the same for every draw or not.

        Returns
        -------
        mean : ndarray of float64, shape (n, 1) or (n, n_draws)
            The mean; where rows differ by draw, of that draw's own trees.
        apart : ndarray of float64, shape (n, n_draws)
            The differences; 0 where rows differ by draw.
        """
        if x.ndim == 3:
            mean = self.each(x[:, :, None, :], self.chosen[None]).mean(axis=2)
            return mean, np.zeros_like(mean)
        said = self.each(x[:, None, :], np.arange(len(self.value))[None])
        mean = said.mean(axis=1, keepdims=True)
        share = np.zeros((len(self.value), self.n_draws))
        np.add.at(share, (self.chosen.T, np.arange(self.n_draws)), 1.0 / self.chosen.shape[1])
        return mean, said @ share - mean


def choose_trees(trees: int, draws: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Choose the trees of each draw, each tree about as often as another.

    Parameters
    ----------
    trees, draws : int
        How many there are.
    rng : numpy.random.Generator
        Generator handed down.

    Returns
    -------
    ndarray of int64, shape (draws, n_chosen)
        Trees.

    Examples
    --------
    >>> choose_trees(100, 40, np.random.default_rng(0)).shape
    (40, 5)
    """
    size = min(_TREES_A_DRAW, trees)
    rounds = -(-draws * size // trees)
    order = np.concatenate([rng.permutation(trees) for _ in range(rounds)])
    return order[: draws * size].reshape(draws, size).astype(np.int64)
