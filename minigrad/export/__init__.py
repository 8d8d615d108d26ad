"""The way out to other tools and back: ONNX files, PyTorch's and Keras' weights."""

from __future__ import annotations

from .onnx_writer import onnx
from .states import from_keras_weights, from_torch_state, keras_weights, torch_state

__all__ = ["from_keras_weights", "from_torch_state", "keras_weights", "onnx", "torch_state"]
