"""The operators and methods of a Tensor: each is one primitive. What a Tensor is stands in tensor.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy.typing as npt

from .. import numpy_protocol as interop
from .. import ops
from .nodes import Node

if TYPE_CHECKING:
    from .tensor import Tensor

Data: TypeAlias = "Tensor | npt.ArrayLike"
Axis: TypeAlias = "int | tuple[int, ...] | None"


class Operators(Node):
    """What can be computed from a Tensor, as methods and operators of it."""

    __slots__ = ()
    # NumPy hands over: ndarray * tensor and np.exp(tensor) become primitives, what has none is a TypeError
    __array_ufunc__, __array_function__ = interop.ufunc, interop.function
    __hash__ = Node.__hash__

    def astype(self, dtype: npt.DTypeLike) -> Tensor:
        """A copy in another dtype; differentiable between floating-point ones."""
        return ops.astype(self, dtype)

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Sum over `axis`."""
        return ops.sum(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Mean over `axis`."""
        return ops.mean(self, axis=axis, keepdims=keepdims)

    def var(self, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Tensor:
        """Variance over `axis`."""
        return ops.var(self, axis=axis, keepdims=keepdims, ddof=ddof)

    def std(self, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Tensor:
        """Standard deviation over `axis`."""
        return ops.std(self, axis=axis, keepdims=keepdims, ddof=ddof)

    def max(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Largest element over `axis`."""
        return ops.max(self, axis=axis, keepdims=keepdims)

    def min(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Smallest element over `axis`."""
        return ops.min(self, axis=axis, keepdims=keepdims)

    def prod(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Product over `axis`."""
        return ops.prod(self, axis=axis, keepdims=keepdims)

    def logsumexp(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """log(sum(exp(x))) over `axis`, without overflow."""
        return ops.logsumexp(self, axis=axis, keepdims=keepdims)

    def cumsum(self, axis: int | None = None) -> Tensor:
        """Running sum along `axis`."""
        return ops.cumsum(self, axis=axis)

    def argmax(self, axis: int | None = None, keepdims: bool = False) -> Tensor:
        """Position of the largest element."""
        return ops.argmax(self, axis=axis, keepdims=keepdims)

    def argmin(self, axis: int | None = None, keepdims: bool = False) -> Tensor:
        """Position of the smallest element."""
        return ops.argmin(self, axis=axis, keepdims=keepdims)

    def reshape(self, *shape: Any) -> Tensor:
        """The same elements in another shape."""
        return ops.reshape(self, shape=shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> Tensor:
        """Axes in the order given, or reversed."""
        axes = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        return ops.transpose(self, axes=axes or None)

    @property
    def T(self) -> Tensor:
        """Axes reversed."""
        return ops.transpose(self)

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        """Two axes exchanged."""
        return ops.swapaxes(self, axis1, axis2)

    def expand_dims(self, axis: int | tuple[int, ...]) -> Tensor:
        """A new axis of length 1 at `axis` of the result."""
        return ops.expand_dims(self, axis=axis)

    def broadcast_to(self, *shape: Any) -> Tensor:
        """Stretched to `shape` by NumPy's rules."""
        return ops.broadcast_to(self, shape=shape[0] if len(shape) == 1 else shape)

    def squeeze(self, axis: Axis = None) -> Tensor:
        """Axes of length 1 removed."""
        return ops.squeeze(self, axis=axis)

    def flatten(self) -> Tensor:
        """All elements along one axis."""
        return ops.reshape(self, shape=(-1,))

    def clip(self, low: Any = None, high: Any = None) -> Tensor:
        """Values limited to low .. high."""
        return ops.clip(self, low=low, high=high)

    # operators: each is the primitive itself ----------------------------------------------------------------

    if TYPE_CHECKING:  # what an editor and a type checker should know of the assignments below

        def __add__(self, other: Data) -> Tensor: ...
        def __sub__(self, other: Data) -> Tensor: ...
        def __mul__(self, other: Data) -> Tensor: ...
        def __truediv__(self, other: Data) -> Tensor: ...
        def __matmul__(self, other: Data) -> Tensor: ...
        def __pow__(self, other: Data) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __lt__(self, other: Data) -> Tensor: ...
        def __le__(self, other: Data) -> Tensor: ...
        def __gt__(self, other: Data) -> Tensor: ...
        def __ge__(self, other: Data) -> Tensor: ...
        def __eq__(self, other: object) -> Tensor: ...  # type: ignore[override]
        def __ne__(self, other: object) -> Tensor: ...  # type: ignore[override]
        def __getitem__(self, index: Any) -> Tensor: ...
        def exp(self) -> Tensor: ...
        def log(self) -> Tensor: ...
        def sqrt(self) -> Tensor: ...
        def square(self) -> Tensor: ...
        def abs(self) -> Tensor: ...
        def sin(self) -> Tensor: ...
        def cos(self) -> Tensor: ...
        def tanh(self) -> Tensor: ...
        def sigmoid(self) -> Tensor: ...
        def relu(self) -> Tensor: ...

    else:
        __add__, __sub__, __mul__, __truediv__ = ops.add, ops.sub, ops.mul, ops.div
        __matmul__, __pow__, __neg__, __abs__ = ops.matmul, ops.pow, ops.neg, ops.abs
        __lt__, __le__, __gt__, __ge__ = ops.less, ops.less_equal, ops.greater, ops.greater_equal
        __eq__, __ne__, __getitem__ = ops.equal, ops.not_equal, ops.getitem
        exp, log, sqrt, square, abs = ops.exp, ops.log, ops.sqrt, ops.square, ops.abs
        sin, cos, tanh, sigmoid, relu = ops.sin, ops.cos, ops.tanh, ops.sigmoid, ops.relu

    def __radd__(self, other: Data) -> Tensor:
        return ops.add(other, self)

    def __rsub__(self, other: Data) -> Tensor:
        return ops.sub(other, self)

    def __rmul__(self, other: Data) -> Tensor:
        return ops.mul(other, self)

    def __rtruediv__(self, other: Data) -> Tensor:
        return ops.div(other, self)

    def __rmatmul__(self, other: Data) -> Tensor:
        return ops.matmul(other, self)

    def __rpow__(self, other: Data) -> Tensor:
        return ops.pow(other, self)

    def __pos__(self) -> Self:
        return self

    def __invert__(self) -> Tensor:
        return ops.logical_not(self._mask("~"))

    def __and__(self, other: Data) -> Tensor:
        return ops.logical_and(self._mask("&"), other)

    def __or__(self, other: Data) -> Tensor:
        return ops.logical_or(self._mask("|"), other)

    __rand__, __ror__ = __and__, __or__

    def _mask(self, operator: str) -> Operators:
        dtype = self._array.dtype
        if dtype.kind != "b":
            raise TypeError(f"{operator} combines masks such as t > 0; this tensor is {dtype}")
        return self
