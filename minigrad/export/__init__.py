"""The way out to other tools: ONNX files."""

from __future__ import annotations

from .writing import onnx

__all__ = ["onnx"]
