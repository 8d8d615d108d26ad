"""Metrics: functions of outputs and targets as bare arrays that give a number; larger is better."""

from __future__ import annotations

import numpy as np

from .._support.signatures import Array


def accuracy(outputs: Array, labels: Array) -> float:
    """Share of rows whose largest output is at the label. outputs: (N, classes), labels: (N,).

    >>> accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    0.5
    """
    if outputs.ndim != 2 or labels.shape != outputs.shape[:1]:
        raise ValueError(f"accuracy: outputs {outputs.shape} and labels {labels.shape} must be (N, classes) and (N,)")
    return float(np.mean(outputs.argmax(axis=1) == labels))


def binary_accuracy(logits: Array, targets: Array) -> float:
    """Share of logits that are on the right side of 0. Of probabilities: binary_accuracy(p - 0.5, targets).

    >>> binary_accuracy(np.array([-1.0, 2.0]), np.array([0, 0]))
    0.5
    """
    if logits.shape != targets.shape:
        raise ValueError(f"binary_accuracy: logits {logits.shape} and targets {targets.shape} must have one shape")
    return float(np.mean((logits > 0) == (targets > 0.5)))
