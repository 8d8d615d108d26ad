"""minigrad: reverse-mode autograd that people can read, see, check and use.

    import minigrad as mg

Importing it needs NumPy alone; checking, drawing and the command line are loaded when first used.
"""

# fmt: off
from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .fast import install

install.before_ops()  # before the primitives are made

from . import habits, numpy_protocol, ops
from .anomalies import detect_anomalies, record_lines
from .core import nodes
from .core.context import no_grad, scope
from .core.tensor import Tensor
from .creation import arange, eye, full, ones, tensor, zeros
from .derivatives import grad, hessian, hvp, jacobian, jvp, value_and_grad
from .extend import primitive
from .fast import kernels
from .functional import dropout, linear, log_softmax, softmax
from .losses import (
    binary_cross_entropy, binary_cross_entropy_with_logits, cross_entropy, cross_entropy_composed, huber_loss, l1_loss,
    mse_loss, nll_loss,
)
from .normalization import (
    batch_norm, batch_norm_composed, batch_norm_inference, batch_norm_inference_composed, layer_norm,
    layer_norm_composed,
)
from .ops import *  # noqa: F403

if TYPE_CHECKING:
    from . import check, data, export, nn, optim, training
    from .derivation import derive
    from .drawing import draw, draw_pair, graph, ladder, page
    from .frontends import from_jax, from_torch
    from .program import record
    from .replaying import fuse, replay

__version__ = "0.2.0"

__all__ = [
    "Tensor", "arange", "batch_norm", "batch_norm_composed", "batch_norm_inference", "batch_norm_inference_composed",
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "check", "cross_entropy", "cross_entropy_composed",
    "data", "derive", "detect_anomalies", "draw", "draw_pair", "dropout", "export", "eye", "from_jax", "from_torch",
    "full", "fuse", "grad", "graph", "hessian", "huber_loss", "hvp", "jacobian", "jvp", "kernels", "l1_loss", "ladder",
    "layer_norm", "layer_norm_composed", "linear", "log_softmax", "mse_loss", "nll_loss", "nn", "no_grad", "ones",
    "optim", "page", "primitive", "record", "record_lines", "replay", "scope", "softmax", "tensor", "training",
    "value_and_grad", "zeros",
]
__all__ += ops.__all__

_LATER = {  # loaded when first used: modules by their own name, functions by the module that brings them
    "check": "", "data": "", "export": "", "nn": "", "optim": "", "training": "",
    "derive": "derivation", "draw": "drawing", "draw_pair": "drawing", "graph": "drawing", "ladder": "drawing",
    "page": "drawing", "from_jax": "frontends", "from_torch": "frontends", "record": "program", "fuse": "replaying",
    "replay": "replaying",
}

if not TYPE_CHECKING:  # a type checker would take every misspelt name for one of these

    def __getattr__(name: str) -> Any:
        if name not in _LATER:
            say = f"; write {habits.PACKAGE[name]}" if name in habits.PACKAGE else ""
            raise AttributeError(f"module 'minigrad' has no attribute {name!r}{say}")
        module = importlib.import_module(f"{__name__}.{_LATER[name] or name}")
        globals()[name] = found = getattr(module, name) if _LATER[name] else module
        return found


def __dir__() -> list[str]:
    return sorted(__all__)


install.after_ops()  # after the primitives are made
numpy_protocol.install(Tensor)
habits.install(Tensor)
nodes.kernels["check_registration"] = lambda: importlib.import_module(f"{__name__}.check").check_registration
