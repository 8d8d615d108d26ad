"""Models of PyTorch and JAX as functions of Tensors, so that they can be drawn, checked and compared here."""

from __future__ import annotations

from .jaxpr import from_jax
from .torch_export import from_torch

__all__ = ["from_jax", "from_torch"]
