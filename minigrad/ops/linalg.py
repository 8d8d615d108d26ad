"""Matrix products: matmul and einsum."""

from __future__ import annotations

import numpy as np

from .._support.signatures import Array, Value, contraction
from .._support.subscripts import explicit
from ..core.nodes import primitive
from .shape import broadcast_to, expand_dims, reshape


@primitive(formula="x @ y", local=("g @ y.T", "x.T @ g"))
def matmul(x: Array, y: Array, /) -> Value:
    """Matrix product over the last axis of x and the second to last of y; 1-D and batched as in NumPy."""
    return np.matmul(x, y)


def _as_matrix(g: Value, x_ndim: int, y_ndim: int) -> Value:
    """g with the axes put back that matmul drops for 1-D arguments."""
    if x_ndim == 1:
        g = expand_dims(g, -1 if y_ndim == 1 else -2)
    return expand_dims(g, -1) if y_ndim == 1 else g


def _transposed(x: Value) -> Value:
    """Each matrix of x with rows and columns exchanged."""
    return x.swapaxes(-1, -2)


def _matmul_x(g: Value, out: Value, x: Value, y: Value) -> Value:
    columns = expand_dims(y, 1) if y.ndim == 1 else y
    d = matmul(_as_matrix(g, x.ndim, y.ndim), _transposed(columns))
    return reshape(d, (*d.shape[:-2], d.shape[-1])) if x.ndim == 1 else d


def _matmul_y(g: Value, out: Value, x: Value, y: Value) -> Value:
    rows = expand_dims(x, 0) if x.ndim == 1 else x
    d = matmul(_transposed(rows), _as_matrix(g, x.ndim, y.ndim))
    return reshape(d, d.shape[:-1]) if y.ndim == 1 else d


matmul.defvjp(_matmul_x, _matmul_y)


@primitive(formula="einsum(operands)", local=("einsum of g and the other operands",))
def einsum_(*operands: Array, subscripts: str) -> Value:
    """The primitive behind `einsum`: subscripts with their output and letters for `...` written out."""
    return np.einsum(subscripts, *operands)


def _einsum(g: Value, out: Value, *operands: Value, position: int, subscripts: str) -> Value:
    terms, result = subscripts.split("->")
    names = terms.split(",")
    mine = names[position]
    others = [name for k, name in enumerate(names) if k != position]
    known = "".join(k for k in mine if k in result or any(k in name for name in others))
    rest = [x for k, x in enumerate(operands) if k != position]
    d = einsum_(g, *rest, subscripts=",".join([result, *others]) + "->" + known)
    # Letters that only this operand had were summed away, and so were axes that the others have with length 1:
    # every element along them gets the same gradient. (Where this one has length 1, the walk sums.)
    sizes = dict(zip(known, d.shape, strict=True))
    d = reshape(d, tuple([sizes.get(k, 1) for k in mine]))
    wide = np.broadcast_shapes(d.shape, operands[position].shape)
    return d if d.shape == wide else broadcast_to(d, wide)


einsum_.defvjp(_einsum)


@contraction
def einsum(subscripts: str, *operands: Value) -> Value:
    """Sum of products by Einstein's convention, as np.einsum with a string; `...` and implicit output allowed.

    A letter twice in one operand (a diagonal) has no rule: take it with x[i, i] first.
    """
    return einsum_(
        *operands,
        subscripts=explicit(subscripts, [np.ndim(x) if not hasattr(x, "ndim") else x.ndim for x in operands]),
    )
