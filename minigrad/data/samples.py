"""Small data sets that scikit-learn brings or draws."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._support.extras import needs
from .._support.randomness import Source, generator
from .._support.signatures import Array, ArrayLike


def load_digits() -> tuple[Array, Array]:
    """scikit-learn's 8 x 8 digits: 1797 images as (1797, 64) in 0 .. 1, labels 0 .. 9."""
    x, y = needs("sklearn.datasets", "load_digits", package="scikit-learn").load_digits(return_X_y=True)
    return x / 16.0, y.astype(np.int64)


def make_blobs(
    samples: int = 1000, centers: ArrayLike = ((0.0, 0.0), (0.5, 0.1)), std: float = 0.25, *, seed: Source
) -> tuple[Array, Array]:
    """Gaussian clouds, as many as there are centers: points (samples, features) and the number of their cloud.

    By default the two of seed 001, 1000 points in all; the best possible classifier is right on 84.6 % of them.
    """
    blobs = needs("sklearn.datasets", "make_blobs", package="scikit-learn").make_blobs
    x, y = blobs(n_samples=samples, centers=np.asarray(centers, float), cluster_std=std, random_state=_legacy(seed))
    return x, y.astype(np.int64)


def load_diabetes() -> tuple[Array, Array]:
    """scikit-learn's diabetes: 442 patients as (442, 10), and the progression of the disease after a year, (442, 1)."""
    x, y = needs("sklearn.datasets", "load_diabetes", package="scikit-learn").load_diabetes(return_X_y=True)
    return x, y[:, None]


def make_moons(samples: int = 1000, *, noise: float = 0.2, seed: Source) -> tuple[Array, Array]:
    """scikit-learn's two half circles that reach into each other: points (samples, 2), and 0 or 1."""
    moons = needs("sklearn.datasets", "make_moons", package="scikit-learn").make_moons
    x, y = moons(n_samples=samples, noise=noise, random_state=_legacy(seed))
    return x, y.astype(np.int64)


def make_spirals(samples: int = 900, arms: int = 3, *, noise: float = 0.2, seed: Source) -> tuple[Array, Array]:
    """Arms that wind around the origin, as the cs231n notes draw them: points (samples, 2), and the number of the arm.

    >>> x, y = make_spirals(9, seed=0)
    >>> x.shape, y.tolist()
    ((9, 2), [0, 1, 2, 0, 1, 2, 0, 1, 2])
    """
    rng = generator(seed, "make_spirals")
    y = np.arange(samples) % arms
    radius = np.arange(samples) // arms / max((samples - 1) // arms, 1)
    angle = 2 * np.pi * y / arms + 4 * radius + noise * rng.normal(size=samples)
    return radius[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1), y


def train_test_split(x: Array, y: Array, *, test: float = 0.25, seed: Source) -> tuple[Array, Array, Array, Array]:
    """x_train, x_test, y_train, y_test: rows in random order, the share `test` of them set apart."""
    split = needs("sklearn.model_selection", "train_test_split", package="scikit-learn").train_test_split
    x_train, x_test, y_train, y_test = split(x, y, test_size=test, random_state=_legacy(seed))
    return x_train, x_test, y_train, y_test


def _legacy(seed: Source) -> Any:
    """scikit-learn takes integers and RandomStates; a Generator gives it a seed."""
    if isinstance(seed, np.random.Generator):
        return int(seed.integers(2**31))
    if not isinstance(seed, np.random.RandomState):
        generator(seed, "data")
    return seed
