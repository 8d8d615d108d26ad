"""JAX functions as functions of Tensors: a jaxpr, equation by equation. See `from_jax`.

`ELEMENTWISE` gets a primitive's inputs, `OTHERS` what JAX says of the result first and the parameters by name
(https://docs.jax.dev/en/latest/jax.lax.html).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import ops
from .._support.arrays import admitted
from .._support.extras import needs
from ..core.nodes import raw
from ..core.tensor import Tensor
from .imported import (
    COMMON,
    Imported,
    Out,
    Reading,
    Ref,
    Step,
    between,
    checked,
    detached,
    masks,
    tiled,
    unless,
    widened,
)


def from_jax(f: Callable[..., Any], *args: Any, check: bool = True) -> Imported:
    """A JAX function as a minigrad function `f(*inputs)`, to draw, check, compare and differentiate.

    `args` are example inputs: arrays, nested as f takes them, in JAX's dtypes (float64 where jax_enable_x64 is on).
    Every floating array is a leaf of `f.leaves`, named by argument and path, as `params.dense.w`; jitted functions and
    `jax.named_scope` are scopes; arrays that f closes over are constants. `f()` is f of the example inputs.

    check: results and gradients are compared with JAX's own at the example inputs. NotImplementedError names
    primitives that are not known, where they are and those that are; ValueError where JAX cannot trace f, or its
    gradients are not those of its forward. Needs jax.

        f = mg.from_jax(loss, params, x, y)
        mg.draw(f())
        mg.grad(f(), f.leaves["params.w"])
    """
    return _FromJax(f, args, check)


# --------------------------------------------------------------------------------------------------------------
# The primitives


def _select(which: Any, no: Any, yes: Any) -> Any:
    if isinstance(which, Tensor) or raw(which).dtype != bool or not (which.all() or not which.any()):
        return ops.where(which, yes, no)
    return yes if which.all() else no  # known before: jnp.var asks whether N - ddof > 0


def _max(x: Any, y: Any) -> Any:
    return y if not isinstance(x, Tensor) and np.all(x == -math.inf) else ops.maximum(x, y)


ELEMENTWISE: dict[str, Any] = COMMON | {
    "add": ops.add,
    "add_any": ops.add,
    "sub": ops.sub,
    "div": ops.div,
    "max": _max,
    "min": ops.minimum,
    "logistic": ops.sigmoid,
    "erfc": lambda x: 1.0 - ops.erf(x),
    "is_finite": lambda x: ops.less(ops.abs(x), math.inf),
    "and": masks(ops.logical_and),
    "or": masks(ops.logical_or),
    "not": masks(ops.logical_not),
    "select_n": _select,
    "clamp": lambda low, x, high: between(x, low, high),
    "stop_gradient": detached,
    **dict.fromkeys(("convert_element_type", "copy"), lambda x: x),
}


def _broadcast(out: Out, x: Any, *, broadcast_dimensions: Any, **params: Any) -> Any:
    axes, ndim = tuple(broadcast_dimensions), len(out.shape)
    if axes == tuple(range(ndim - len(axes), ndim)):
        return x  # new axes in front go without saying
    return ops.reshape(x, tuple(np.shape(x)[axes.index(k)] if k in axes else 1 for k in range(ndim)))


def _dot(out: Out, x: Any, y: Any, *, dimension_numbers: Any, **params: Any) -> Any:
    (cx, cy), (bx, by) = dimension_numbers
    batch = tuple(range(len(bx)))
    matrices = (not batch and y.ndim <= 2) or x.ndim == y.ndim == len(batch) + 2
    if matrices and (tuple(bx), tuple(by), tuple(cx), tuple(cy)) == (batch, batch, (x.ndim - 1,), (len(batch),)):
        return ops.matmul(x, y)
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    left = [next(letters) for _ in range(x.ndim)]
    right = [next(letters) for _ in range(y.ndim)]
    for i, j in (*zip(bx, by, strict=True), *zip(cx, cy, strict=True)):
        right[j] = left[i]
    kept = [*(left[i] for i in bx), *(c for i, c in enumerate(left) if i not in (*bx, *cx))]
    kept += [c for j, c in enumerate(right) if j not in (*by, *cy)]
    return ops.einsum(f"{''.join(left)},{''.join(right)}->{''.join(kept)}", x, y)


def _gather(out: Out, x: Any, start: Any, *, dimension_numbers: Any, slice_sizes: Any, mode: Any, **params: Any) -> Any:
    """Whole rows of x: what x[i], x[:, i], x[i, j] and take_along_axis become."""
    d, rows = dimension_numbers, raw(start).ndim - 1
    index: dict[int, Any] = {axis: ops.getitem(start, (..., k)) for k, axis in enumerate(d.start_index_map)}
    for axis, own in zip(d.operand_batching_dims, d.start_indices_batching_dims, strict=True):
        index[axis] = np.arange(x.shape[axis]).reshape([-1 if k == own else 1 for k in range(rows)])
    first, last = min(index), max(index)
    others = [axis for axis in range(x.ndim) if axis not in index]
    unless(set(d.start_index_map) != set(d.collapsed_slice_dims) or "CLIP" in str(mode), "of slices")
    unless(any(slice_sizes[axis] != x.shape[axis] for axis in others), "of slices")
    unless(
        last - first + 1 != len(index) or d.offset_dims != (*range(first), *range(first + rows, len(out.shape))),
        "of axes apart",
    )
    return ops.getitem(x, (slice(None),) * first + tuple(index[axis] for axis in range(first, last + 1)))


def _pad(out: Out, x: Any, value: Any, *, padding_config: Any) -> Any:
    unless(bool(np.any(raw(value))) or any(inner for _, _, inner in padding_config), "between elements, or not with 0")
    return widened(out, x, [(low, high) for low, high, _ in padding_config])


def _reduced(function: Any) -> Any:
    return lambda out, x, *, axes, **params: function(x, axis=tuple(axes))


def _first(function: Any) -> Any:
    return lambda out, x, *, axes, index_dtype: function(x, axis=axes[0])


OTHERS: dict[str, Any] = {
    "reduce_sum": _reduced(ops.sum),
    "reduce_max": _reduced(ops.max),
    "reduce_min": _reduced(ops.min),
    "reduce_prod": _reduced(ops.prod),
    "argmax": _first(ops.argmax),
    "argmin": _first(ops.argmin),
    "broadcast_in_dim": _broadcast,
    "dot_general": _dot,
    "gather": _gather,
    "integer_pow": lambda out, x, *, y: ops.square(x) if y == 2 else x**y,
    **dict.fromkeys(["reshape", "squeeze", "expand_dims"], lambda out, x, **params: ops.reshape(x, out.shape)),
    "transpose": lambda out, x, *, permutation: ops.transpose(x, tuple(permutation)),
    "concatenate": lambda out, *parts, dimension: ops.concatenate(list(parts), axis=dimension),
    "slice": lambda out, x, *, start_indices, limit_indices, strides: ops.getitem(
        x, tuple(map(slice, start_indices, limit_indices, strides or [1] * x.ndim))
    ),
    "split": lambda out, x, *, sizes, axis: tuple(ops.split(x, np.cumsum(sizes)[:-1].tolist(), axis=axis)),
    "stack": lambda out, *parts, axis: ops.stack(list(parts), axis=axis),
    "tile": lambda out, x, *, reps: tiled(x, reps),
    "rev": lambda out, x, *, dimensions: ops.flip(x, tuple(dimensions)),
    "cumsum": lambda out, x, *, axis, reverse: (
        ops.flip(ops.cumsum(ops.flip(x, axis), axis=axis), axis) if reverse else ops.cumsum(x, axis=axis)
    ),
    "pad": _pad,
    "iota": lambda out, *, dimension, **params: np.broadcast_to(
        np.arange(out.shape[dimension]).reshape([-1 if k == dimension else 1 for k in range(len(out.shape))]), out.shape
    ),
}

# --------------------------------------------------------------------------------------------------------------
# Reading


class _FromJax(Imported):
    who = "from_jax"

    def __init__(self, f: Callable[..., Any], args: tuple[Any, ...], check: bool) -> None:
        self._jax, self._f = needs("jax", "mg.from_jax", extra=""), f
        self._info = needs("jax._src.source_info_util", "mg.from_jax", extra="")
        self._args, tree, self.__signature__ = args, self._jax.tree_util, inspect.signature(f)

        def unflatten(leaves: list[Any], structure: Any) -> Any:
            return tree.tree_unflatten(structure, leaves)

        super().__init__(getattr(f, "__name__", type(f).__name__), args, {}, tree.tree_flatten, unflatten, check)

    def _names(self) -> list[str]:
        tree = self._jax.tree_util
        given = list(self.__signature__.parameters)
        paths = [
            tree.keystr(path, simple=True, separator=".") for path, _ in tree.tree_flatten_with_path(self._args)[0]
        ]
        first = [int(path.partition(".")[0]) for path in paths]
        return [
            ".".join([given[min(k, len(given) - 1)], *path.split(".")[1:]])
            for k, path in zip(first, paths, strict=True)
        ]

    def _leaf(self, x: Any) -> Any:
        if isinstance(x, Tensor):
            return x
        array = np.asarray(self._jax.numpy.asarray(admitted(x)))
        return Tensor(array, requires_grad=array.dtype.kind == "f")

    def _read(self, leaves: list[Any], structure: Any) -> Reading:
        args = self._unflatten([np.array(x._array) for x in leaves], structure)
        try:
            closed, shapes = self._jax.make_jaxpr(self._f, return_shape=True)(*args)
        except Exception as error:
            said = str(error).strip().partition("\n")[0]
            raise ValueError(f"from_jax: JAX cannot trace {self.name}: {type(error).__name__}: {said}") from error
        steps: list[Step] = []
        inputs = [Ref(k - len(leaves)) for k in range(len(leaves))]
        results = self._inline(closed.jaxpr, closed.consts, inputs, (), steps)
        steps = checked("from_jax", steps, results, {*ELEMENTWISE, *OTHERS})
        slots: list[Any] = [(ref.key, _out(v)) for ref, v in zip(inputs, closed.jaxpr.invars, strict=True)]
        nested = self._jax.tree_util.tree_structure(shapes)
        return Reading(slots, {}, steps, results, lambda found: self._unflatten(found, nested))

    def _inline(self, jaxpr: Any, consts: Any, inputs: list[Any], outer: Any, steps: list[Step]) -> list[Any]:
        """Steps for a jaxpr and those it calls; Refs to its results. A step's key is its number."""
        values = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*map(np.asarray, consts), *inputs), strict=True))
        scopes: Any = ()

        def value(v: Any) -> Any:
            return np.asarray(v.val) if hasattr(v, "val") else values[v]

        for eqn in jaxpr.eqns:
            where = self._info.summarize(eqn.source_info)  # "" where no line of the caller's led to it
            name, place = eqn.primitive.name, f"in {where}" if where else "inside of JAX"
            scopes = _named(str(eqn.source_info.name_stack), scopes, len(steps))
            inside, inner = (*outer, *scopes), _inner(eqn)
            given = [value(v) for v in eqn.invars]
            if name == "custom_jvp_call" and [e.params.get("name") for e in inner.eqns] == ["relu"]:
                name, inner = "relu", None  # max(x, 0) with slope 0 at 0
            if inner is not None:
                held = getattr(eqn.params.get("jaxpr", eqn.params.get("call_jaxpr")), "consts", ())
                called = eqn.params.get("name", "_").strip("_")
                within = (*inside, (("call", len(steps)), called)) if called else inside
                found = self._inline(inner, held, given, within, steps)
            else:
                table = ELEMENTWISE if name in ELEMENTWISE else OTHERS
                outs = [_out(v) if name in table else None for v in eqn.outvars]
                key, one = len(steps), outs[0] if len(outs) == 1 else None
                params = {} if table is ELEMENTWISE else eqn.params
                steps.append(
                    Step(key, name, table.get(name), table is ELEMENTWISE, tuple(given), params, one, inside, place)
                )
                found = [Ref(key)]
                if one is None:
                    found = [Ref(key + 1 + k) for k in range(len(outs))]
                    steps += [
                        Step(ref.key, name, _pick, False, (Ref(key), k), {}, out, inside, place)
                        for k, (ref, out) in enumerate(zip(found, outs, strict=True))
                    ]
            values.update(zip(eqn.outvars, found, strict=True))
        return [value(v) for v in jaxpr.outvars]

    def _theirs(self, leaves: list[Any], structure: Any, weights: list[Any]) -> list[Any]:
        jax, np_ = self._jax, self._jax.numpy
        free = [k for k, x in enumerate(leaves) if x.requires_grad]
        arrays = [np_.asarray(x._array) for x in leaves]

        def weighed(some: list[Any]) -> Any:
            every = dict(enumerate(arrays)) | dict(zip(free, some, strict=True))
            results = self._flatten(self._f(*self._unflatten(list(every.values()), structure)))[0]
            parts = [(np_.asarray(y) * c).sum() for y, c in zip(results, weights, strict=True) if c is not None]
            return sum(parts, start=np_.zeros(())), results

        slopes, results = jax.grad(weighed, has_aux=True)([arrays[k] for k in free])
        return [np.asarray(y) for y in (*results, *slopes)]


def _pick(out: Out, values: Any, k: int) -> Any:
    return values[k]


def _out(v: Any) -> Out:
    dtype = v.aval.dtype
    if getattr(dtype, "kind", "") not in "fiub":  # bfloat16, complex numbers, random keys
        raise ValueError(f"from_jax: dtype {dtype} is not one of NumPy's real numbers")
    return Out(tuple(v.aval.shape), np.dtype(dtype))


_CALLS = ("jit", "pjit", "closed_call", "core_call", "checkpoint", "remat2", "custom_jvp_call", "custom_vjp_call")


def _inner(eqn: Any) -> Any:
    """The jaxpr that an equation calls once, or None."""
    if eqn.primitive.name not in _CALLS:
        return None
    inner = eqn.params["jaxpr"] if "jaxpr" in eqn.params else eqn.params["call_jaxpr"]
    return getattr(inner, "jaxpr", inner)


def _named(stack: str, before: Any, number: int) -> Any:
    """Scopes of jax.named_scope: those that the equation before was in as well are the same, others are new."""
    names = [name for name in stack.split("/") if name]
    found: list[Any] = []
    for k, name in enumerate(names):
        same = len(found) == k and k < len(before) and before[k][1] == name and before[:k] == tuple(found)
        found.append(before[k] if same else ((number, k), name))
    return tuple(found)
