"""Training loops: fit with history and checkpoints, metrics, and sweeps over many runs."""

from __future__ import annotations

from .fitting import Run, evaluate, fit, predict
from .history import History
from .metrics import accuracy, binary_accuracy
from .nonfinite import NonFiniteStep
from .sweeps import sweep

__all__ = [
    "History",
    "NonFiniteStep",
    "Run",
    "accuracy",
    "binary_accuracy",
    "evaluate",
    "fit",
    "predict",
    "sweep",
]
