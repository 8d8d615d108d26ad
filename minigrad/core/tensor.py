"""Tensor: the values that users hold. What it holds, its gradient, Python's protocols; operators.py has the rest.

Who owns arrays: `tensor()` copies what it is given; `.data` and `.numpy()` are read-only views; `t.data = a` checks,
copies in and marks the tensor as written, so that no gradient is ever computed from a value that has changed since.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from .callbacks import noted, refuse_reading
from .context import in_force, recording
from .gradients import cotangent_for, deposit, owned, walk
from .nodes import describe, raw
from .operators import Data as Data
from .operators import Operators
from .versions import write

_retained: weakref.WeakValueDictionary[int, Tensor] = weakref.WeakValueDictionary()


class Tensor(Operators):
    """A NumPy array that remembers how it was computed.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> y = (x * x).sum()
    >>> y.backward()
    >>> x.grad
    tensor([2., 4., 6.])
    """

    __slots__ = ()

    def __new__(
        cls, data: Data, *, dtype: npt.DTypeLike | None = None, requires_grad: bool = False, name: str | None = None
    ) -> Tensor:
        if isinstance(data, (list, tuple)) and any(isinstance(part, Tensor) for part in data):
            raise TypeError("a list of Tensors is joined with mg.stack or mg.concatenate, which keep their gradients")
        if hasattr(data, "filled"):  # asking for np.ma.MaskedArray would import np.ma
            raise TypeError("a Tensor has no mask, and dropping it would be silent: pass data.filled(value)")
        array = raw(data)
        recorder = in_force().recorder
        if recorder is not None and recorder.knows(array):
            array = noted(np.array, array, dtype)
        else:
            array = np.array(array, dtype=dtype)
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
