"""Optimizers as PyTorch defines them, schedules, gradient clipping. Knows Tensors; no modules."""

from __future__ import annotations

from .optimizers import SGD, Adam, AdamW, Optimizer, RMSprop, clip_grad_norm
from .schedules import CosineLR, LambdaLR, PlateauLR, Schedule, StepLR

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "CosineLR",
    "LambdaLR",
    "Optimizer",
    "PlateauLR",
    "RMSprop",
    "Schedule",
    "StepLR",
    "clip_grad_norm",
]
