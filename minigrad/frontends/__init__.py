"""Models of PyTorch and JAX as functions of Tensors, so that they can be drawn, checked and compared here."""

from __future__ import annotations

from .torch_export import from_torch

__all__ = ["from_torch"]
