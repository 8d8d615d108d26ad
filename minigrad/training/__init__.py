"""Training loops: fit with history and checkpoints, metrics, callbacks, and sweeps over many runs."""

from __future__ import annotations

from .callbacks import EarlyStopping, Run
from .figures import LayerStatistics, plot_boundary
from .fitting import evaluate, fit, predict
from .history import History
from .metrics import accuracy, binary_accuracy, mae, mse, r2
from .nonfinite import NonFiniteStep
from .sweeps import sweep

__all__ = [
    "EarlyStopping",
    "History",
    "LayerStatistics",
    "NonFiniteStep",
    "Run",
    "accuracy",
    "binary_accuracy",
    "evaluate",
    "fit",
    "mae",
    "mse",
    "plot_boundary",
    "predict",
    "r2",
    "sweep",
]
