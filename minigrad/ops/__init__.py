"""The primitives: each NumPy function with its derivative rule beside it.

A rule is written once and runs on bare arrays (the fast walk) or on Tensors (create_graph=True), so rules use only
operators, the primitives of this package and metadata such as `x.shape`.
"""

# fmt: off
from __future__ import annotations

from .elementwise import (
    abs, add, clip, cos, div, erf, exp, expm1, gelu, leaky_relu, log, log1p, maximum, minimum, mul, neg, pow, relu,
    sigmoid, silu, sin, softplus, sqrt, square, sub, tanh, where,
)
from .linalg import einsum, matmul
from .logic import (
    argmax, argmin, equal, greater, greater_equal, isnan, less, less_equal, logical_and, logical_not, logical_or,
    not_equal, sign,
)
from .reductions import cumsum, logsumexp, max, mean, min, prod, std, sum, var
from .shape import (
    astype, broadcast_to, concatenate, expand_dims, flip, getitem, put, reshape, roll, split, squeeze, stack, swapaxes,
    transpose,
)
from . import methods as methods  # last: it gives Tensor its methods, out of those above

__all__ = [
    "abs", "add", "argmax", "argmin", "astype", "broadcast_to", "clip", "concatenate", "cos", "cumsum", "div", "einsum",
    "equal", "erf", "exp", "expand_dims", "expm1", "flip", "gelu", "getitem", "greater", "greater_equal", "isnan",
    "leaky_relu", "less", "less_equal", "log", "log1p", "logical_and", "logical_not", "logical_or", "logsumexp",
    "matmul", "max", "maximum", "mean", "min", "minimum", "mul", "neg", "not_equal", "pow", "prod", "put", "relu",
    "reshape", "roll", "sigmoid", "sign", "silu", "sin", "softplus", "split", "sqrt", "square", "squeeze", "stack",
    "std", "sub", "sum", "swapaxes", "tanh", "transpose", "var", "where",
]
