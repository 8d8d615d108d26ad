"""Batch norm and layer norm, each written twice: as a composed graph, and as one fused primitive."""

from __future__ import annotations

from .batch import batch_norm, batch_norm_composed, batch_norm_inference, batch_norm_inference_composed
from .layer import layer_norm, layer_norm_composed

__all__ = [
    "batch_norm",
    "batch_norm_composed",
    "batch_norm_inference",
    "batch_norm_inference_composed",
    "layer_norm",
    "layer_norm_composed",
]
