"""Initial weights. Each function takes the shape (inputs, outputs) and a source of randomness, and gives an array.

Knows NumPy alone. Scales: normal, as cs231n draws them; Glorot for tanh and sigmoid; Kaiming for ReLUs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from .._support.randomness import Source, generator
from .._support.signatures import Array

Shape: TypeAlias = "tuple[int, ...]"
Initialiser: TypeAlias = Callable[[Shape, Source], Array]


def normal(shape: Shape, rng: Source, *, scale: float = 1.0) -> Array:
    """scale * N(0, 1). With a RandomState: the numbers of `scale * np.random.randn(*shape)`.

    >>> normal((1, 2), np.random.RandomState(0), scale=0.5).round(4)
    array([[0.882 , 0.2001]])
    """
    if not scale >= 0:
        raise ValueError(f"init.normal: scale={scale!r} must be >= 0")
    drawn: Array = scale * generator(rng, "init.normal").standard_normal(shape)
    return drawn


def uniform(shape: Shape, rng: Source, *, limit: float = 1.0) -> Array:
    """Uniform in -limit .. limit."""
    return np.asarray(generator(rng, "init.uniform").uniform(-limit, limit, shape))


def kaiming_normal(shape: Shape, rng: Source, *, slope: float = 0.0) -> Array:
    """N(0, 1) * sqrt(2 / ((1 + slope^2) inputs)): keeps the variance through (leaky) ReLUs. He et al. 2015."""
    return normal(shape, rng, scale=math.sqrt(2.0 / ((1.0 + slope * slope) * _fans(shape)[0])))


def kaiming_uniform(shape: Shape, rng: Source, *, slope: float = 0.0) -> Array:
    """Uniform with the variance of `kaiming_normal`."""
    return uniform(shape, rng, limit=math.sqrt(6.0 / ((1.0 + slope * slope) * _fans(shape)[0])))


def glorot_normal(shape: Shape, rng: Source) -> Array:
    """N(0, 1) * sqrt(2 / (inputs + outputs)). Glorot and Bengio 2010."""
    return normal(shape, rng, scale=math.sqrt(2.0 / sum(_fans(shape))))


def glorot_uniform(shape: Shape, rng: Source) -> Array:
    """Uniform with the variance of `glorot_normal`: Keras' default for dense layers."""
    return uniform(shape, rng, limit=math.sqrt(6.0 / sum(_fans(shape))))


def _fans(shape: Shape) -> tuple[int, int]:
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"this initialiser needs a shape (inputs, outputs), got {shape}")
    return shape[0], shape[1]
