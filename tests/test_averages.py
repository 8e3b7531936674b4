"""Means of many logistic curves, expanded, against the same means worked out row by row."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from causalrel.effects.averages import Part, average, straight
from causalrel.networks import expit


def rows(count: int, reach: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    columns = 1 + rng.standard_normal((count, 4)) * np.exp(0.5 * rng.standard_normal((count, 1)))
    return rng.normal(-3, 1.5, count), reach * columns, rng.poisson(50, count) + 1.0


def in_parts(eta: np.ndarray, columns: np.ndarray, weight: np.ndarray, among: np.ndarray) -> Iterator[Part]:
    for place in np.array_split(among, 7):
        yield place, eta[place], columns[place], weight[place]


@pytest.mark.parametrize("reach", [0.01, 0.05, 0.1])
@pytest.mark.parametrize("count", [3_000, 30_000])
def test_expanded_means_are_those_of_every_row(count: int, reach: float) -> None:
    eta, columns, weight = rows(count, reach, 3)
    moved = np.random.default_rng(4).standard_normal((200, 4))
    made = average(
        lambda chosen: in_parts(eta, columns, weight, np.arange(count) if chosen is None else chosen), np.eye(4)
    )
    exact = (expit(eta + moved @ columns.T) @ weight) / weight.sum()
    assert np.abs(made.at(moved) - exact).max() < 0.02 * exact.std()
    step = 1e-5 * np.eye(4)
    slopes = ((expit(eta + step @ columns.T) - expit(eta - step @ columns.T)) @ weight) / weight.sum() / 2e-5
    assert np.allclose(made.slope, slopes, rtol=1e-4)


def test_few_rows_are_exact() -> None:
    eta, columns, weight = rows(100, 0.5, 5)
    moved = np.random.default_rng(6).standard_normal((50, 4))
    made = average(lambda chosen: in_parts(eta, columns, weight, np.arange(100)), np.eye(4) * 100)
    assert np.allclose(made.at(moved), (expit(eta + moved @ columns.T) @ weight) / weight.sum(), rtol=1e-5)


def test_a_mean_of_lines_is_a_line() -> None:
    eta, columns, weight = rows(50, 1.0, 7)
    moved = np.random.default_rng(8).standard_normal((20, 4))
    made = straight(in_parts(eta, columns, weight, np.arange(50)))
    assert np.allclose(made.at(moved), (eta + moved @ columns.T) @ weight / weight.sum())
