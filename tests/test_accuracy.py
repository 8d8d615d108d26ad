"""How many digits batch norm keeps, against the same formula in extended precision on the same stored input."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg

EPS = 1e-5

if np.finfo(np.longdouble).eps > 1e-18:  # pragma: no cover - depends on the machine
    pytest.skip("this machine's long double is no wider than double", allow_module_level=True)


def reference(x):
    wide = x.astype(np.longdouble)
    centred = wide - wide.mean(axis=0)
    return centred / np.sqrt((centred * centred).mean(axis=0) + np.longdouble(EPS))


def error(f, x):
    exact = reference(x)
    return float(np.max(np.abs(f(x, eps=EPS) - exact)) / np.max(np.abs(exact)))


@pytest.mark.parametrize("rows", [10, 1000, 20_000])
def test_float64_far_from_zero(rows):
    x = 1e6 + 1e-2 * np.random.default_rng(0).normal(size=(rows, 3))
    assert error(mg.batch_norm, x) <= 1e-9
    assert error(mg.batch_norm_composed, x) <= 1e-6


@pytest.mark.parametrize("rows", [10, 1000, 20_000])
def test_float32_far_from_zero(rows):
    x = (1e3 + np.random.default_rng(0).normal(size=(rows, 3))).astype(np.float32)
    assert error(mg.batch_norm, x) <= 4 * np.finfo(np.float32).eps


@pytest.mark.parametrize("rows", [3, 1000])
def test_ordinary_data(rows):
    x = np.random.default_rng(0).normal(size=(rows, 4))
    assert error(mg.batch_norm, x) <= 8 * np.finfo(np.float64).eps
    assert error(mg.batch_norm_composed, x) <= 8 * np.finfo(np.float64).eps
