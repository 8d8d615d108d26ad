"""The methods and operators of a Tensor: each is a primitive, or what Python asks of a value. Put on Tensor here.

core/ knows no arithmetic, so Tensor is given its own by this file; to a type checker it inherits `Methods`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Never, Self

import numpy as np

from .. import ops
from .._support.signatures import Array, Binary, Data, Index, Operator, Shape, binary_operator, unary_operator
from ..core.nodes import Node, raw, reading
from ..core.tensor import Tensor


def _reflected(op: Binary[[]]) -> Operator:
    """The operator with its operands exchanged: what Python asks of the right one where the left one does not know."""
    return lambda self, other: op(other, self)


class Methods(Node):
    """What can be computed from a Tensor, and what Python asks of one."""

    __slots__ = ()
    _array: Array
    __hash__ = Node.__hash__

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self._array.shape

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return self._array.ndim

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return self._array.size

    @property
    def dtype(self) -> np.dtype[Any]:
        """What kind of numbers it holds."""
        return self._array.dtype

    @property
    def T(self) -> Tensor:
        """Axes reversed."""
        return ops.transpose(self)

    def numpy(self) -> Array:
        """The same read-only view as `.data`; `.numpy().copy()` is yours to write to."""
        return self.data  # type: ignore[attr-defined, no-any-return]

    def item(self) -> float:
        """The value of a tensor with one element, as a Python number."""
        if self.size != 1:
            raise ValueError(f"item() needs a tensor with one element, this one has shape {self.shape}")
        reading(self, "the number")
        number: float = self._array.item()
        return number

    def reshape(self, *shape: Shape) -> Tensor:
        """The same elements in another shape."""
        return ops.reshape(self, shape=shape[0] if len(shape) == 1 else shape)  # type: ignore[arg-type]

    def transpose(self, *axes: Any) -> Tensor:
        """Axes in the order given, or reversed."""
        axes = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        return ops.transpose(self, axes=axes or None)

    def broadcast_to(self, *shape: Shape) -> Tensor:
        """Stretched to `shape` by NumPy's rules."""
        return ops.broadcast_to(self, shape=shape[0] if len(shape) == 1 else shape)  # type: ignore[arg-type]

    def flatten(self) -> Tensor:
        """All elements along one axis."""
        return ops.reshape(self, shape=(-1,))

    # operators ----------------------------------------------------------------------------------------------

    __radd__, __rsub__, __rmul__ = _reflected(ops.add), _reflected(ops.sub), _reflected(ops.mul)
    __rtruediv__, __rmatmul__, __rpow__ = _reflected(ops.div), _reflected(ops.matmul), _reflected(ops.pow)

    def __pos__(self) -> Self:
        return self

    def __invert__(self) -> Tensor:
        return ops.logical_not(self._mask("~"))

    def __and__(self, other: Data) -> Tensor:
        return ops.logical_and(self._mask("&"), other)

    def __or__(self, other: Data) -> Tensor:
        return ops.logical_or(self._mask("|"), other)

    __rand__, __ror__ = __and__, __or__

    def _mask(self, operator: str) -> Self:
        if self.dtype.kind != "b":
            raise TypeError(f"{operator} combines masks such as t > 0; this tensor is {self.dtype}")
        return self

    # each is the primitive itself
    __add__, __sub__, __mul__, __truediv__ = map(binary_operator, (ops.add, ops.sub, ops.mul, ops.div))
    __matmul__, __pow__ = map(binary_operator, (ops.matmul, ops.pow))
    __neg__, __abs__ = map(unary_operator, (ops.neg, ops.abs))
    __lt__, __le__, __gt__, __ge__ = map(binary_operator, (ops.less, ops.less_equal, ops.greater, ops.greater_equal))
    __eq__: ClassVar[Operator] = ops.equal  # type: ignore[assignment]
    __ne__: ClassVar[Operator] = ops.not_equal  # type: ignore[assignment]
    exp, log, sqrt, square, abs = ops.exp, ops.log, ops.sqrt, ops.square, ops.abs
    sin, cos, tanh, sigmoid, relu = ops.sin, ops.cos, ops.tanh, ops.sigmoid, ops.relu
    sum, mean, var, std, max, min = ops.sum, ops.mean, ops.var, ops.std, ops.max, ops.min
    prod, logsumexp, cumsum, argmax, argmin = ops.prod, ops.logsumexp, ops.cumsum, ops.argmax, ops.argmin
    astype, swapaxes, expand_dims, squeeze, clip = ops.astype, ops.swapaxes, ops.expand_dims, ops.squeeze, ops.clip

    def __getitem__(self, index: Index) -> Tensor:
        return ops.getitem(self, index)

    # what Python asks ---------------------------------------------------------------------------------------

    def __setitem__(self, index: Never, value: Never) -> None:
        raise TypeError(
            "a Tensor cannot be written element by element: its graph would not know. Build a new one with mg.where "
            "or mg.concatenate, or write a leaf as a whole: a = t.numpy().copy(); a[i] = v; t.data = a"
        )

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.ndim:
            raise TypeError("a 0-d tensor holds one number and cannot be iterated over; .item() gives the number")
        return (self[k] for k in range(len(self)))

    def __contains__(self, value: Any) -> bool:
        reading(self, "the content")
        return bool((self._array == raw(value)).any())

    def __bool__(self) -> bool:
        if self.size != 1:
            how = "use (t > 0).data.any() or .all()"
            raise ValueError(f"the truth of a tensor of shape {self.shape} is ambiguous; {how}")
        return bool(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        reading(self, "the number")
        return int(self._array.__index__())

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray[Any, np.dtype[np.void]]:
        # void: to a type checker `array * t` is then no product of two arrays
        if self._needs:
            raise TypeError(
                "a Tensor does not turn into an array by itself (its gradient would be lost): Tensors in a list are "
                "joined with mg.stack or mg.concatenate; t.numpy() has the values without a gradient"
            )
        return np.array(self.numpy(), dtype, copy=copy)

    def __reduce__(self) -> Any:
        """Copied and pickled as a leaf: values, name and requires_grad, never the graph."""
        reading(self, "a copy")
        return _rebuilt, (self._array.copy(), self._needs and self.op is None, self.name)

    def __repr__(self) -> str:
        reading(self, "the text")
        values = np.array2string(self._array, separator=", ", prefix="tensor(", threshold=200, edgeitems=3)
        notes = [f"shape={self.shape}"] if not self.size and self.shape != (0,) else []
        notes += [f"dtype={self.dtype}"] if self.dtype not in (np.float64, np.int64, np.bool_) else []
        notes += [f"name={self.name!r}"] if self.name else []
        if self._needs:
            notes.append("requires_grad=True" if self.op is None else f"op={self.op.name}")
        return f"tensor({', '.join([values, *notes])})"


def _rebuilt(array: Array, requires_grad: bool, name: str | None) -> Tensor:
    return Tensor(array, requires_grad=requires_grad, name=name)


for _name, _method in vars(Methods).items():
    if _name not in ("__module__", "__doc__", "__slots__"):
        setattr(Tensor, _name, _method)
