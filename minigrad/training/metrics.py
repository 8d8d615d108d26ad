"""Metrics: functions of outputs and targets as bare arrays that give a number.

Of `accuracy`, `binary_accuracy` and `r2` more is better, of `mse` and `mae` less. Each refuses data on which its number
would mean nothing.
"""

from __future__ import annotations

import numpy as np

from .._support.signatures import Array


def accuracy(outputs: Array, labels: Array) -> float:
    """Share of rows whose largest output is at the label. outputs: (N, classes), labels: (N,), 0 .. classes - 1.

    >>> accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    0.5
    """
    if outputs.ndim == 2 and outputs.shape[1] == 1:
        raise ValueError(
            f"accuracy: outputs of shape {outputs.shape} have one column, whose largest is always the first; use "
            "binary_accuracy for logits of two classes, or a network with an output for each class"
        )
    if outputs.ndim == 2 and labels.shape == outputs.shape:
        raise ValueError(f"accuracy: labels of shape {labels.shape} look one-hot; pass labels.argmax(axis=1)")
    if outputs.ndim != 2 or labels.shape != outputs.shape[:1]:
        raise ValueError(f"accuracy: outputs {outputs.shape} and labels {labels.shape} must be (N, classes) and (N,)")
    low, high, classes = labels.min(initial=0), labels.max(initial=0), outputs.shape[1]
    if low < 0 or high >= classes:
        hint = "; pass labels - 1" if labels.min() == 1 and high == classes else ""
        raise ValueError(
            f"accuracy: labels go from {labels.min()} to {high}, but classes from 0 to {classes - 1}{hint}"
        )
    return float(np.mean(outputs.argmax(axis=1) == labels))


def binary_accuracy(logits: Array, targets: Array) -> float:
    """Share of logits that are on the right side of 0; targets: 0 or 1. Of probabilities: binary_accuracy(p - 0.5, t).

    >>> binary_accuracy(np.array([-1.0, 2.0]), np.array([0, 0]))
    0.5
    """
    _same_shape("binary_accuracy", logits, targets)
    strange = targets[(targets != 0) & (targets != 1)]
    if strange.size:
        hint = "; pass (targets + 1) / 2" if set(np.unique(targets)) == {-1, 1} else ""
        raise ValueError(f"binary_accuracy: targets are 0 or 1, got {strange.flat[0]:g}{hint}")
    return float(np.mean((logits > 0) == (targets > 0.5)))


def mse(outputs: Array, targets: Array) -> float:
    """Mean of (outputs - targets)**2.

    >>> mse(np.array([1.0, 3.0]), np.array([1.0, 1.0]))
    2.0
    """
    _same_shape("mse", outputs, targets)
    return float(np.mean(np.square(outputs - targets)))


def mae(outputs: Array, targets: Array) -> float:
    """Mean of |outputs - targets|.

    >>> mae(np.array([1.0, 3.0]), np.array([1.0, 1.0]))
    1.0
    """
    _same_shape("mae", outputs, targets)
    return float(np.mean(np.abs(outputs - targets)))


def r2(outputs: Array, targets: Array) -> float:
    """1 - sum (outputs - targets)**2 / sum (targets - their mean)**2: 1 is perfect, 0 as good as the mean.

    >>> r2(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0]))
    1.0
    """
    _same_shape("r2", outputs, targets)
    spread = float(np.square(targets - targets.mean(axis=0)).sum())
    return 1.0 - float(np.square(outputs - targets).sum()) / spread if spread else float("nan")


def _same_shape(who: str, outputs: Array, targets: Array) -> None:
    if outputs.shape != targets.shape:
        hint = "; pass targets[:, None]" if outputs.shape == (*targets.shape, 1) else ""
        raise ValueError(f"{who}: outputs {outputs.shape} and targets {targets.shape} must have one shape{hint}")
