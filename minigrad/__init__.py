"""minigrad: reverse-mode autograd that people can read, see, check and use.

    import minigrad as mg

Importing it needs NumPy alone; checking, drawing and the command line are loaded when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import ops
from .backward import grad
from .context import no_grad, record_lines, scope
from .derivatives import hvp, jacobian
from .normalization import (
    batch_norm,
    batch_norm_composed,
    batch_norm_inference,
    batch_norm_inference_composed,
    layer_norm,
    layer_norm_composed,
)
from .ops import *  # noqa: F403
from .record import primitive
from .tensor import Tensor, arange, eye, full, ones, tensor, zeros

if TYPE_CHECKING:
    from . import check
    from .drawing import draw, draw_pair

__version__ = "0.1.0"

__all__ = [
    "Tensor",
    "arange",
    "batch_norm",
    "batch_norm_composed",
    "batch_norm_inference",
    "batch_norm_inference_composed",
    "check",
    "draw",
    "draw_pair",
    "eye",
    "full",
    "grad",
    "hvp",
    "jacobian",
    "layer_norm",
    "layer_norm_composed",
    "no_grad",
    "ones",
    "primitive",
    "record_lines",
    "scope",
    "tensor",
    "zeros",
]
__all__ += ops.__all__

_LATER = {"check": "check", "draw": "drawing", "draw_pair": "drawing"}  # name: the module that brings it


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'minigrad' has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_LATER[name]}")
    found = module if name == _LATER[name] else getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
