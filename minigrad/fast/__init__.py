"""Speed, plugged in from beside: what core/ and ops/ say, sooner, through the doors that core/ has for it.

The readable code stays the reference: it is what differentiates at order 2 and what explains. A kernel stands beside
it and is held to it by tests: within 1e-13 of an array's maximum in float64, 8 eps in float32. Where a kernel does
not fit (a dtype, a layout, an axis) it returns None and the readable code runs.

    MINIGRAD_KERNELS=reference   the readable code alone
    MINIGRAD_KERNELS=numpy       few calls, row blocks, memory used before; in NumPy. So it is where it is unset
    MINIGRAD_KERNELS=numba       compiled (the extra `fast`); an error where numba is missing

Having numba installed changes nothing: its kernels have other last bits and take time to load, so they are asked for.
"""

from __future__ import annotations

import functools
import importlib
import os
from importlib.util import find_spec
from typing import Any

CHOICES = ("reference", "numpy", "numba")


@functools.cache
def chosen() -> str:
    """Which kernels run in this process: one of CHOICES. Asked once, at the first use."""
    asked = os.environ.get("MINIGRAD_KERNELS", "")
    if asked and asked not in CHOICES:
        raise ValueError(f"MINIGRAD_KERNELS={asked!r} must be one of {', '.join(CHOICES)}, or unset")
    if asked == "numba" and find_spec("numba") is None:
        raise ImportError('MINIGRAD_KERNELS=numba needs the package numba (extra "fast"): pip install numba')
    return asked or "numpy"


COMPUTATIONS = {  # what has a kernel, and of which kinds
    "adam": ("numpy", "numba"),
    "batch_norm": ("numpy", "numba"),
    "layer_norm": ("numba",),
    "masked": ("numpy", "numba"),
    "running_statistics": ("numpy",),
    "sigmoid_cross_entropy": ("numpy", "numba"),
    "softmax_cross_entropy": ("numpy",),
}


@functools.cache
def kernel(name: str) -> Any:
    """The class or function that does `name`, one of COMPUTATIONS; None where the readable code does."""
    who = kernels()[name]
    if who == "reference":
        return None
    family = "compiled" if who == "numba" else "numpy_kernels"
    return getattr(importlib.import_module(f"{__name__}.{family}"), name)


def kernels() -> dict[str, str]:
    """What runs for each computation that has a kernel: "reference", "numpy" or "numba".

    >>> print(*sorted(kernels()))
    adam batch_norm layer_norm masked running_statistics sigmoid_cross_entropy softmax_cross_entropy
    """
    choice = chosen()
    # who wants compiled kernels wants NumPy's where there are no others
    wanted = {"reference": (), "numpy": ("numpy",), "numba": ("numba", "numpy")}[choice]
    return {name: next((kind for kind in wanted if kind in kinds), "reference") for name, kinds in COMPUTATIONS.items()}
