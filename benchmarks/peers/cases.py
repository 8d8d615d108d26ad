"""What is measured: the cases, their inputs, and what comes out of them in float64. NumPy alone.

Every worker makes the same inputs from the same seed, so that no array has to travel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"
Results: TypeAlias = dict[str, Array]

OPS = 100
EPS = 1e-5
LR, BETAS, ADAM_EPS = 1e-3, (0.9, 0.999), 1e-8
STEPS = 3  # of a network, taken before its results are compared
SIZES = ((7, 3), (32, 128), (100, 500), (256, 1024), (4096, 256), (65536, 128), (16384, 1024))
NETS: dict[str, tuple[tuple[int, ...], int, bool]] = {  # name: (sizes, batch, batch norm?)
    "3072-100x5-10": ((3072, 100, 100, 100, 100, 100, 10), 50, True),
    "2-128-1": ((2, 128, 1), 300, True),
    "784-256-128-10": ((784, 256, 128, 10), 64, False),
}


@dataclass(frozen=True)
class Case:
    """One row of the table. kind: "chain", "scalar", "fused", "composed" (batch norm) or "mlp"."""

    kind: str
    dtype: str
    shape: tuple[int, ...] = ()
    net: str = ""

    @property
    def name(self) -> str:
        what = f"mlp {self.net}" if self.net else f"{self.kind} {'x'.join(map(str, self.shape))}"
        return f"{what} {self.dtype}"


def all_cases(dtypes: tuple[str, ...]) -> Iterator[Case]:
    """Every case of the benchmark, small ones first."""
    for dtype in dtypes:
        yield from (Case("chain", dtype, shape) for shape in ((4,), (32, 32)))
        yield Case("scalar", dtype, (2, 16, 16, 1))
        yield from (Case(kind, dtype, shape) for kind in ("fused", "composed") for shape in SIZES)
        yield from (Case("mlp", dtype, net=net) for net in NETS)


def chain_inputs(case: Case) -> tuple[Array, Array, Array, Array]:
    """x, a, b and the cotangent of a chain x = x * a, x = x + b, ..."""
    rng = np.random.default_rng(0)
    x, a, b, g = (rng.uniform(0.9, 1.1, case.shape).astype(case.dtype) for _ in range(4))
    return x, a, b * 0.01, g


def norm_inputs(case: Case) -> tuple[Array, Array, Array, Array]:
    """x, gamma, beta and the cotangent of y."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(case.shape, np.float32) * 2 + 1
    g = rng.standard_normal(case.shape, np.float32)
    gamma, beta = (rng.standard_normal(case.shape[1], np.float32) for _ in range(2))
    return x.astype(case.dtype), gamma.astype(case.dtype), beta.astype(case.dtype), g.astype(case.dtype)


def net_inputs(case: Case) -> tuple[list[Array], Array, Array]:
    """Parameters (weight, then gamma and beta or a bias; layer by layer), the batch and its labels.

    Weights are (inputs, outputs). A hidden layer before batch norm has no bias.
    """
    sizes, batch, norm = NETS[case.net]
    rng = np.random.default_rng(0)
    params: list[Array] = []
    for k in range(len(sizes) - 1):
        params.append(rng.normal(0, np.sqrt(2 / sizes[k]), sizes[k : k + 2]).astype(np.float32))
        if norm and k < len(sizes) - 2:
            params.append(np.ones(sizes[k + 1], np.float32))
        params.append(np.zeros(sizes[k + 1], np.float32))
    x = rng.standard_normal((batch, sizes[0]), np.float32)
    labels = rng.integers(0, max(sizes[-1], 2), batch)
    targets = labels if sizes[-1] > 1 else labels.reshape(-1, 1).astype(case.dtype)
    return [p.astype(case.dtype) for p in params], x.astype(case.dtype), targets


def reference(case: Case) -> Results:
    """The results in float64, by the formulas as they stand in a textbook, on the inputs in the case's dtype."""
    from . import by_hand  # it needs the definitions above

    wide = Case(case.kind, "float64", case.shape, case.net)
    return by_hand.build(wide, rounded_to=case.dtype)()


def as_array(x: Any) -> Array:
    """What a library returned, as an array."""
    x = x.detach() if hasattr(x, "detach") else x
    return np.asarray(x.numpy() if hasattr(x, "numpy") else x)


def error(found: Results, exact: Results) -> float:
    """Largest difference over all results, each relative to the largest element of its array."""
    worst = 0.0
    for name, right in exact.items():
        scale = float(np.abs(right).max())
        worst = max(worst, float(np.abs(as_array(found[name]).astype(float) - right).max()) / (scale or 1.0))
    return worst


def bound(case: Case) -> float:
    """The largest error with which a time is worth printing: Adam divides by the size of a gradient."""
    if case.kind == "mlp":
        return 1e-2 if case.dtype == "float32" else 1e-7
    return 1e-3 if case.dtype == "float32" else 1e-10
