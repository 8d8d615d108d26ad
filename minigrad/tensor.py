"""Tensor: the values that users hold. Constructors, operators and methods; the work is done in ops and the engine.

Who owns arrays: `tensor()` copies what it is given; `.data` and `.numpy()` are read-only views; `t.data = a` checks,
copies in and marks the tensor as written, so that no gradient is ever computed from a value that has changed since.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from . import interop, ops
from .backward import cotangent_for, deposit, owned, walk
from .context import in_force, recording
from .noting import noted, refuse_reading
from .record import Traced, describe, raw
from .writing import write

Data: TypeAlias = "Tensor | npt.ArrayLike"
Axis: TypeAlias = "int | tuple[int, ...] | None"
_retained: weakref.WeakValueDictionary[int, Tensor] = weakref.WeakValueDictionary()


class Tensor(Traced):
    """A NumPy array that remembers how it was computed.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> y = (x * x).sum()
    >>> y.backward()
    >>> x.grad
    tensor([2., 4., 6.])
    """

    __slots__ = ()
    # NumPy hands over: ndarray * tensor and np.exp(tensor) become primitives, what has none is a TypeError
    __array_ufunc__, __array_function__ = interop.ufunc, interop.function
    __hash__ = Traced.__hash__

    def __new__(
        cls, data: Data, *, dtype: npt.DTypeLike | None = None, requires_grad: bool = False, name: str | None = None
    ) -> Tensor:
        if isinstance(data, (list, tuple)) and any(isinstance(part, Tensor) for part in data):
            raise TypeError("a list of Tensors is joined with mg.stack or mg.concatenate, which keep their gradients")
        if hasattr(data, "filled"):  # asking for np.ma.MaskedArray would import np.ma
            raise TypeError("a Tensor has no mask, and dropping it would be silent: pass data.filled(value)")
        array = np.array(raw(data), dtype=dtype)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"a Tensor holds real numbers; got dtype {array.dtype}")
        self: Tensor = cls._leaf(array)
        self.requires_grad = requires_grad
        if name is not None:
            self._name = str(name)
        return self

    # what it holds ------------------------------------------------------------------------------------------

    @property
    def data(self) -> npt.NDArray[Any]:
        """The values, as a read-only view. To change a leaf, assign: `t.data = t.data - 0.1 * g`."""
        context = in_force()
        if context.cause is not None:
            raise TypeError(
                f"the rule of {context.cause.op.name} reads .data or .numpy() where it is to be differentiated "
                "itself, and what is computed from that has no gradient; use minigrad's functions and operators"
            )
        if context.recorder is not None:
            refuse_reading(self, "the array")
        view = self._array.view()
        view.setflags(False)  # type: ignore[call-arg]  # by position it takes half the time
        return view

    @data.setter
    def data(self, value: Data) -> None:
        if self.op is not None:
            raise ValueError(f"{describe(self)} was computed by {self.op.name}; only a leaf can be assigned to")
        array = np.asarray(raw(value))
        if array.shape != self.shape or not np.can_cast(array.dtype, self.dtype, "same_kind"):
            raise ValueError(
                f"a tensor of shape {self.shape} and dtype {self.dtype} cannot take data of shape {array.shape} and "
                f"dtype {array.dtype}; shape must be equal, and dtype safe to convert"
            )
        if not self._array.flags.writeable:
            raise ValueError(
                "this tensor looks at memory that is read-only (it was detached from a broadcast); copy it"
            )
        noted(write, self, array, writes=(self,))

    def numpy(self) -> npt.NDArray[Any]:
        """The same read-only view as `.data`; `.numpy().copy()` is yours to write to."""
        return self.data

    def item(self) -> Any:
        """The value of a tensor with one element, as a Python number."""
        if self.size != 1:
            raise ValueError(f"item() needs a tensor with one element, this one has shape {self.shape}")
        refuse_reading(self, "the number")
        return self._array.item()

    @property
    def shape(self) -> tuple[int, ...]:
        return self._array.shape

    @property
    def ndim(self) -> int:
        return self._array.ndim

    @property
    def size(self) -> int:
        return self._array.size

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._array.dtype

    def named(self, name: str) -> Tensor:
        """The same tensor, now called `name`."""
        self._name = str(name)
        return self

    # gradients ----------------------------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to this tensor."""
        return self._needs

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if self.op is not None and not value:
            raise ValueError(f"{describe(self)} was computed by {self.op.name}; use .detach() to cut it from its graph")
        if value and self.dtype.kind != "f":
            raise TypeError(
                f"only floating-point tensors have gradients, this one is {self.dtype}; "
                "make it with dtype=float or convert it with .astype(float)"
            )
        self._needs = bool(value)

    @property
    def grad(self) -> Tensor | None:
        """What backward() has summed up here, a Tensor; None before the first."""
        grad = getattr(self, "_grad", None)
        if grad.__class__ is np.ndarray:  # memory that the next replay of a step overwrites: copied when looked at
            grad = self._grad = Tensor._leaf(grad.copy())
        return grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None and not (
            isinstance(value, Tensor) and value.shape == self.shape and value.dtype == self.dtype
        ):
            raise ValueError(
                f"grad must be None or a Tensor of shape {self.shape} and dtype {self.dtype}, got {describe(value)}"
            )
        if in_force().recorder is not None:
            in_force().recorder.cleared(self)
        self._grad = value

    def retain_grad(self) -> Tensor:
        """Have backward() deposit a gradient here too, though this is not a leaf. Returns the tensor."""
        if not self._needs:
            raise ValueError(f"{describe(self)} does not require a gradient, so there is none to retain")
        _retained[self.number] = self
        return self

    def backward(self, gradient: Data | None = None, *, create_graph: bool = False) -> None:
        """Add d sum(gradient * self) / dx to `x.grad` of every leaf x (and of tensors that asked by retain_grad).

        `gradient` may be left out for a single number. The graph survives: a second call adds the same once more.
        Nothing is deposited unless the whole walk succeeds. With create_graph=True each `.grad` has a graph, which
        holds x, which holds its grad: a cycle that only the collector frees; `mg.grad` makes none.
        """
        if in_force().recorder is not None:
            in_force().recorder.backward(self, gradient, list(_retained.values()), create_graph)
            return
        start = cotangent_for(self, gradient)
        keep = list(_retained.values()) if _retained else ()
        if create_graph:
            found = walk(self, start, keep=keep, graph=True)
            xs: list[Any] = list(found)
            with recording():
                for x, d in zip(xs, owned(found, xs, start, True), strict=True):
                    before = x.grad
                    x._grad = d if before is None else before + d
        else:
            deposit(walk(self, start._array, keep=keep))
        # for pictures, its values alone: start may be self
        self._cotangent = start if start.op is None and start is not self else Tensor._leaf(start._array)

    def detach(self) -> Tensor:
        """The same values without history or gradient; the memory is shared."""
        if in_force().cause is not None:
            raise TypeError(
                f"the rule of {in_force().cause.op.name} detaches a tensor where it is to be differentiated "
                "itself, and what is computed from that has no gradient; use the tensor as it is"
            )
        return Tensor._leaf(self._array)

    # methods that read well ---------------------------------------------------------------------------------

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

    def __pos__(self) -> Tensor:
        return self

    def __invert__(self) -> Tensor:
        return ops.logical_not(self._mask("~"))

    def __and__(self, other: Data) -> Tensor:
        return ops.logical_and(self._mask("&"), other)

    def __or__(self, other: Data) -> Tensor:
        return ops.logical_or(self._mask("|"), other)

    __rand__, __ror__ = __and__, __or__

    def _mask(self, operator: str) -> Tensor:
        if self.dtype.kind != "b":
            raise TypeError(f"{operator} combines masks such as t > 0; this tensor is {self.dtype}")
        return self

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError(
            "a Tensor cannot be written element by element: its graph would not know. Build a new one with mg.where "
            "or mg.concatenate, or write a leaf as a whole: a = t.numpy().copy(); a[i] = v; t.data = a"
        )

    # Python's own protocols ---------------------------------------------------------------------------------

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.ndim:
            raise TypeError("a 0-d tensor holds one number and cannot be iterated over; .item() gives the number")
        return (self[k] for k in range(len(self)))

    def __contains__(self, value: Any) -> bool:
        refuse_reading(self, "the content")
        return bool((self._array == raw(value)).any())

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(
                f"the truth of a tensor of shape {self.shape} is ambiguous; use (t > 0).data.any() or .all()"
            )
        return bool(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        refuse_reading(self, "the number")
        return int(self._array.__index__())

    def __array__(self, dtype: Any = None, copy: Any = None) -> npt.NDArray[Any]:
        raise TypeError("a Tensor does not turn into an array by itself (its gradient would be lost): use t.numpy()")

    def __reduce__(self) -> Any:
        """Copied and pickled as a leaf: values, name and requires_grad, never the graph."""
        return _rebuilt, (self._array.copy(), self._needs and self.op is None, self.name)

    def __repr__(self) -> str:
        values = np.array2string(self._array, separator=", ", prefix="tensor(", threshold=200, edgeitems=3)
        notes = [f"shape={self.shape}"] if not self.size and self.shape != (0,) else []
        notes += [f"dtype={self.dtype}"] if self.dtype not in (np.float64, np.int64, np.bool_) else []
        if self.name:
            notes.append(f"name={self.name!r}")
        if self._needs:
            notes.append("requires_grad=True" if self.op is None else f"op={self.op.name}")
        return f"tensor({', '.join([values, *notes])})"


def _rebuilt(array: npt.NDArray[Any], requires_grad: bool, name: str | None) -> Tensor:
    return Tensor(array, requires_grad=requires_grad, name=name)
