"""scikit-learn: trees fitted there, brought home as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from causalrel.surfaces.forests import Forest, choose_trees

if TYPE_CHECKING:
    from numpy.typing import NDArray


def fit_forest(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    *,
    signs: NDArray[np.int64] | None = None,
    leaf: int = 1,
    trees: int = 100,
    draws: int = 200,
    rng: np.random.Generator,
) -> Forest:
    """Fit extremely randomised trees (Geurts et al. 2006, doi:10.1007/s10994-006-6226-1).

    Parameters
    ----------
    x : ndarray of float64, shape (n, k)
        Parents.
    y : ndarray of float64, shape (n,)
        Outcome.
    signs : ndarray of int64, shape (k,), optional
        1 for a parent that only ever raises the outcome, -1 for one that only ever lowers it, else 0.
    leaf : int
        Rows in a leaf at least.
    trees, draws : int
        How many.
    rng : numpy.random.Generator
        Generator handed down.

    Returns
    -------
    Forest
        The trees as arrays.

    Examples
    --------
    >>> x = np.arange(8.0)[:, None]
    >>> made = fit_forest(x, x[:, 0], trees=4, draws=4, rng=np.random.default_rng(0))
    >>> made.at(x)[0][:, 0].tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    """
    from sklearn.ensemble import ExtraTreesRegressor

    seed = int(rng.integers(2**31))
    bound = None if signs is None or not signs.any() else signs
    model = ExtraTreesRegressor(trees, min_samples_leaf=leaf, monotonic_cst=bound, random_state=seed)
    model.fit(x.astype(np.float32), y)
    grown = [tree.tree_ for tree in model.estimators_]
    most = max(tree.node_count for tree in grown)
    feature = np.full((trees, most), -1, dtype=np.int64)
    threshold, value = np.zeros((trees, most)), np.zeros((trees, most))
    left = np.tile(np.arange(most), (trees, 1))
    right = left.copy()
    for i, tree in enumerate(grown):
        inner = np.flatnonzero(tree.children_left >= 0)
        feature[i, inner] = tree.feature[inner]
        threshold[i, inner] = tree.threshold[inner]
        left[i, inner] = tree.children_left[inner]
        right[i, inner] = tree.children_right[inner]
        value[i, : tree.node_count] = tree.value[:, 0, 0]
    return Forest(
        feature=feature,
        threshold=threshold,
        left=left,
        right=right,
        value=value,
        chosen=choose_trees(trees, draws, rng),
    )
