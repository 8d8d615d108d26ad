"""Which arrays a graph takes in, and copies of what others may write to. Knows NumPy."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from .text import visible

F = TypeVar("F", bound=Callable[..., Any])
NUMBERS = frozenset((int, float, bool, type(None)))  # what an op takes as it is


def real(value: Any, who: str) -> np.ndarray[Any, Any]:
    """A result as an array: NumPy returns 0-d results as scalars. Nothing but real numbers is let in."""
    array = np.asarray(value)
    if array is value and array.dtype.hasobject:
        raise TypeError("an array of Python objects has no gradient; give numbers")
    if array.dtype.kind not in "fiub" or isinstance(value, (list, tuple)):
        what = f"numbers of dtype {array.dtype}" if array is value else type(value).__name__
        raise TypeError(f"{who} returned {what}, expected an array of real numbers")
    return array


def admitted(x: Any) -> Any:
    """What is no Node, as ops, losses and tensors may take it in: without a mask, real, of one of NumPy's own dtypes.

    A mask would be dropped without a word, and so would imaginary parts. An array from a pickle or from ctypes may have
    a dtype that equals float64 and is another object; NumPy carries that on into results.
    """
    if type(x) in NUMBERS or (type(x) is np.ndarray and id(x.dtype) in _OWN):
        return x
    if _masked(x):
        raise TypeError("a masked array: its mask would be dropped without a word; pass a.filled(value)")
    dtype = getattr(x, "dtype", None)
    if isinstance(x, complex) or getattr(dtype, "kind", "") == "c":
        raise TypeError("complex numbers: only real ones have gradients here; pass a.real and a.imag by themselves")
    if isinstance(x, (str, bytes)) or getattr(dtype, "kind", "f") in "mMSUV":
        raise TypeError(f"expected real numbers, got {f'dtype {dtype}' if dtype else visible(repr(x))}")
    own = type(x) is np.ndarray and x.dtype.kind in "fiub" and x.dtype.isnative
    return x.view(np.dtype(x.dtype.char)) if own else x


_OWN = {id(np.dtype(char)) for char in "?bBhHiIlLqQefdg"}


def _masked(x: Any) -> bool:
    inside = isinstance(x, (list, tuple)) and any([_masked(part) for part in x if type(part) not in NUMBERS])
    return inside or hasattr(x, "filled")  # asking for np.ma.MaskedArray would import np.ma


def plain(x: Any) -> np.ndarray[Any, Any]:
    """The array of what somebody gave: the values of a Node, numbers, lists, arrays."""
    if type(x) is np.ndarray and id(x.dtype) in _OWN:
        return x
    return np.asarray(x._array if hasattr(x, "_array") else admitted(x))


def readonly(array: Any) -> np.ndarray[Any, Any]:
    """The same memory, which NumPy cannot write to through this view, nor make it writeable again."""
    return np.asarray(memoryview(array).toreadonly())


_SINGLE, _DOUBLE = np.dtype("f"), np.dtype("d")


def in_floats(function: F) -> F:
    """The function of floating-point numbers: integers come as float64, float16 as float32, rounded once at the end.

    float16 ends at 65,504: sums and squares of ordinary numbers lie beyond, where their mean does not.
    """

    @functools.wraps(function)
    def run(x: Any, *more: Any, **named: Any) -> Any:
        dtype = getattr(x, "dtype", None)
        if dtype is _DOUBLE or dtype is _SINGLE:  # most are
            return function(x, *more, **named)
        x = x if dtype is not None else plain(x)
        if x.dtype.char == "e":
            return function(x.astype(np.float32), *more, **named).astype(x.dtype)
        return function(x.astype(float) if x.dtype.kind in "iub" else x, *more, **named)

    return run  # type: ignore[return-value]


def finite(a: Any) -> bool:
    """Whether all numbers of an array are finite."""
    flat = a.ravel()
    return math.isfinite(flat.dot(flat)) or bool(np.isfinite(a).all())  # the sum of squares may overflow


def constant(x: Any) -> Any:
    """An input without a graph as the graph keeps it: arrays are copied, so that writing to them changes nothing."""
    if x is None or isinstance(x, (int, float, np.generic)):
        return x
    return np.array(x)


def copied(x: Any) -> Any:
    """A parameter as the graph keeps it: arrays in it are copied."""
    return tuple(map(copied, x)) if type(x) is tuple else np.array(x) if isinstance(x, np.ndarray) else x


def named_arrays(state: Any, who: str) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of a state by name, those of PyTorch's tensors too; the error says what else was given."""
    if not isinstance(state, Mapping):
        do = "pass its state_dict()" if hasattr(state, "state_dict") else "a file is read by load(path)"
        raise TypeError(f"{who}: expected arrays by name, as of state_dict(), got {type(state).__name__}; {do}")
    inside = [name for name, value in state.items() if isinstance(value, Mapping)]
    if inside:
        filled = (name for name in inside if all(hasattr(value, "shape") for value in state[name].values()))
        name = visible(repr(next(filled, inside[0])))
        raise ValueError(f"{who}: this holds a state under the name {name}; pass state[{name}]")
    return {str(name): bare(value, f"{who}: {visible(name)}") for name, value in state.items()}


def bare(value: Any, who: str) -> np.ndarray[Any, Any]:
    """The array of whatever holds one: PyTorch's tensors leave their graph and device for it."""
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        value = value.detach().cpu()
    if isinstance(value, np.ndarray) and value.dtype.kind in "mMSUV":
        return value  # no numbers: `misfits` says so, beside all else that does not fit
    try:
        return plain(value)
    except Exception as error:  # whatever an object says that is asked for its array
        raise ValueError(f"{who} is no plain array: {visible(error)}") from error


def misfits(given: Mapping[str, Any], expected: Mapping[str, Any], *, cast: bool = False) -> list[str]:
    """What keeps arrays by name from being put in the place of those expected: names, shapes, dtypes.

    cast: other dtypes of real numbers are welcome, but for fractions where whole numbers stand.

    >>> misfits({"w": np.ones(3)}, {"w": np.ones(2), "b": np.ones(2)})
    ['b is missing', 'w is (3,) float64, expected (2,) float64']
    >>> misfits({"module.w": np.ones(2)}, {"w": np.ones(2)})[0]
    "its names begin with 'module.': pass {k.removeprefix('module.'): v for k, v in state.items()}"
    """
    wrong = _prefixed(given, expected)
    wrong += [f"{name} is missing" for name in expected if name not in given]
    wrong += [f"{name} is not known" for name in given if name not in expected]
    for name in (name for name in expected if name in given):
        found, wanted = given[name], expected[name]
        kinds = "fiub" if wanted.dtype.kind == "f" else "iub"
        fits = found.dtype.kind in kinds if cast else found.dtype == wanted.dtype
        if found.shape != wanted.shape or not fits:
            turns = found.ndim == 2 and found.shape == wanted.shape[::-1] != wanted.shape
            turned = "; its transpose fits" if turns else ""
            wrong.append(f"{name} is {found.shape} {found.dtype}, expected {wanted.shape} {wanted.dtype}{turned}")
    return wrong


def _prefixed(given: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """What to do where the names on one side are those on the other behind a prefix."""
    for longer, shorter in ((given, expected), (expected, given)):
        first = next(iter(shorter), "")
        if not first or first in longer:
            continue
        prefixes = [name.removesuffix(first) for name in longer if name.endswith(first)]
        said = [visible(repr(prefix)) for prefix in prefixes if all(prefix + name in longer for name in shorter)]
        if said and longer is given:
            return [f"its names begin with {said[0]}: pass {{k.removeprefix({said[0]}): v for k, v in state.items()}}"]
        if prefixes and longer is expected:
            named = visible(repr(prefixes[0]))
            return [f"the model's names begin with {named}; PyTorch's go to minigrad.export.from_torch_state"]
    return []


def mapped(change: Callable[[Any], Any], x: Any) -> Any:
    """x with everything in its tuples, lists and dicts changed.

    >>> mapped(lambda v: v + 1, (1, {"eps": 2}))
    (2, {'eps': 3})
    """
    if isinstance(x, (tuple, list)):
        inside = [mapped(change, part) for part in x]
        return inside if isinstance(x, list) else type(x)(*inside) if hasattr(x, "_fields") else tuple(inside)
    return {key: mapped(change, part) for key, part in x.items()} if isinstance(x, dict) else change(x)


def parts(x: Any) -> list[Any]:
    """All that is in what `save` returned, in order: arrays, numbers, anything."""
    found: list[Any] = []
    mapped(found.append, () if x is None else x)
    return found


def buffers(x: Any) -> list[np.ndarray[Any, Any]]:
    """The arrays in what `save` returned: what memory it keeps."""
    return [part for part in parts(x) if isinstance(part, np.ndarray)]


def copied_data(data: Any, dtype: Any) -> Any:
    """A new array of what a Tensor is made of; of a Tensor, its values."""
    return admitted(np.array(data._array if hasattr(data, "_array") else admitted(data), dtype))
