"""Modules: layers with parameters and state, put together to networks. Knows Tensors and normalization, no training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import init
from .batchnorm import CONVENTIONS, BatchNorm1d, Convention, NonFinite, average_statistics, frozen_statistics
from .layers import MLP, Dropout, LayerNorm, LeakyReLU, Linear, ReLU, Sequential, Sigmoid, Tanh
from .module import Module

__all__ = [
    "CONVENTIONS",
    "MLP",
    "BatchNorm1d",
    "Convention",
    "Dropout",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "Module",
    "NonFinite",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "average_statistics",
    "frozen_statistics",
    "init",
]

if not TYPE_CHECKING:  # for type checkers a name that is not there stays one
    _ELSEWHERE = {
        "Dense": "Linear(inputs, outputs, rng=0)",
        "BatchNormalization": "BatchNorm1d",
        "CrossEntropyLoss": "the function mg.cross_entropy, or 'cross_entropy' in fit",
        "BCEWithLogitsLoss": "the function mg.binary_cross_entropy_with_logits",
        "BCELoss": "the function mg.binary_cross_entropy",
        "MSELoss": "the function mg.mse_loss, or 'mse' in fit",
        "L1Loss": "the function mg.l1_loss",
        "Softmax": "nothing: mg.cross_entropy takes the scores; mg.softmax of what predict gives are probabilities",
        "functional": "mg.relu, mg.cross_entropy, ...: functions are in mg itself",
    }

    def __getattr__(name: str) -> Any:
        say = f"; write {_ELSEWHERE[name]}" if name in _ELSEWHERE else ""
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{say}")
