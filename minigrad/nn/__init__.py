"""Modules: layers with parameters and state, put together to networks. Knows Tensors and normalization, no training."""

from __future__ import annotations

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
