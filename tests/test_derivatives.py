"""jacobian and hvp: against matrices that are known, and what they say of misuse."""

from typing import Any

import numpy as np
import pytest

import minigrad as mg


def test_jacobian_and_hvp():
    m = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    np.testing.assert_array_equal(mg.jacobian(lambda x: mg.matmul(m, x), [1.0, 1.0]).data, m)
    assert mg.jacobian(lambda x: mg.sum(x * x), np.ones((2, 3))).shape == (2, 3)
    assert mg.jacobian(lambda x: mg.ones(4), [1.0, 2.0]).shape == (4, 2)
    x, v = np.array([1.0, 2.0, 3.0]), np.array([1.0, 0.0, -1.0])
    hessian = mg.jacobian(lambda x: mg.grad(mg.prod(x), x, create_graph=True), x).data
    np.testing.assert_array_equal(hessian, [[0, 3, 2], [3, 0, 1], [2, 1, 0]])
    np.testing.assert_array_equal(mg.hvp(mg.prod, x, v).data, hessian @ v)
    np.testing.assert_array_equal(mg.hvp(mg.sum, x, v).data, 0 * v)
    np.testing.assert_array_equal(mg.hvp(lambda x: mg.ones(()), x, v).data, 0 * v)
    with pytest.raises(ValueError, match=r"one number as its value, got shape \(3,\)"):
        mg.hvp(lambda x: x, x, v)
    with pytest.raises(ValueError, match=r"v has shape \(2,\), x has shape \(3,\)"):
        mg.hvp(mg.prod, x, v[:2])
    number: Any = lambda x: 3.0  # noqa: E731
    for call in (lambda: mg.jacobian(number, x), lambda: mg.hvp(number, x, v)):
        with pytest.raises(TypeError, match="must return a Tensor computed from its argument, got float"):
            call()
