"""Primitive by primitive, the ONNX operators that compute the same. Knows no files: `File` in onnx_writer collects.

Each entry is `(file, step) -> name of the result`. ONNX' operators are at https://onnx.ai/onnx/operators/; version 20.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ..program import Instruction
    from .onnx_writer import File

Emitter = Callable[["File", "Instruction"], str]
TABLE: dict[str, Emitter] = {}
FROM_END = -(2**63) + 1  # a slice's end that stands before the first element


def emits(*names: str) -> Callable[[Emitter], Emitter]:
    """Enter a function into the table under the primitives' names."""

    def enter(emitter: Emitter) -> Emitter:
        TABLE.update(dict.fromkeys(names, emitter))
        return emitter

    return enter


# --------------------------------------------------------------------------------------------------------------
# Elementwise

_ONE_TO_ONE = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "pow": "Pow", "neg": "Neg", "exp": "Exp", "log": "Log",
    "sqrt": "Sqrt", "abs": "Abs", "sin": "Sin", "cos": "Cos", "tanh": "Tanh", "sigmoid": "Sigmoid",
    "softplus": "Softplus", "relu": "Relu", "erf": "Erf", "gelu": "Gelu", "maximum": "Max", "minimum": "Min",
    "matmul": "MatMul", "sign": "Sign", "isnan": "IsNaN", "equal": "Equal", "less": "Less",
    "less_equal": "LessOrEqual", "greater": "Greater", "greater_equal": "GreaterOrEqual", "logical_and": "And",
    "logical_or": "Or", "logical_not": "Not", "linear": "Gemm",
}  # fmt: skip


_FORMULAS: dict[str, Callable[..., str]] = {  # (file, step, *names of the inputs, all of one dtype)
    "not_equal": lambda file, _, x, y: file.node("Not", file.node("Equal", x, y)),
    "square": lambda file, _, x: file.node("Mul", x, x),
    "log1p": lambda file, _, x: file.node("Log", file.node("Add", x, file.number(1.0))),
    "expm1": lambda file, _, x: file.node("Sub", file.node("Exp", x), file.number(1.0)),
    "silu": lambda file, _, x: file.node("Mul", x, file.node("Sigmoid", x)),
    "leaky_relu": lambda file, step, x: file.node("LeakyRelu", x, alpha=float(step.params["slope"])),
    "softmax": lambda file, step, x: file.node("Softmax", x, axis=int(step.params["axis"])),
    "log_softmax": lambda file, step, x: file.node("LogSoftmax", x, axis=int(step.params["axis"])),
    "einsum": lambda file, step, *xs: file.node("Einsum", *xs, equation=step.params["subscripts"]),
    "reshape": lambda file, step, x: _shaped(file, x, step.params["shape"]),
    "broadcast_to": lambda file, step, x: file.node("Expand", x, file.integers(step.params["shape"])),
    "expand_dims": lambda file, step, x: _with_axes(file, "Unsqueeze", x, step.params["axis"]),
    "squeeze": lambda file, step, x: _with_axes(file, "Squeeze", x, step.params["axis"]),
}


@emits(*_ONE_TO_ONE, *_FORMULAS)
def _simple(file: File, step: Instruction) -> str:
    inputs = file.alike(step)
    formula = _FORMULAS.get(step.name)
    return formula(file, step, *inputs) if formula else file.node(_ONE_TO_ONE[step.name], *inputs)


@emits("clip")
def _clip(file: File, step: Instruction) -> str:
    (y,) = file.alike(step)
    for bound, operator in (("low", "Max"), ("high", "Min")):
        if step.params[bound] is not None:
            y = file.node(operator, y, file.constant(step.params[bound], step.out.dtype))
    return y


@emits("where")
def _where(file: File, step: Instruction) -> str:
    condition, x, y = step.inputs
    dtype = step.out.dtype
    return file.node("Where", file.operand(condition, np.dtype(bool)), file.operand(x, dtype), file.operand(y, dtype))


@emits("astype")
def _astype(file: File, step: Instruction) -> str:
    return file.cast(file.name(step.inputs[0]), step.out.dtype)


# --------------------------------------------------------------------------------------------------------------
# Reductions

_REDUCTIONS = {
    "sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax", "min": "ReduceMin", "prod": "ReduceProd",
    "logsumexp": "ReduceLogSumExp",
}  # fmt: skip


def _with_axes(file: File, operator: str, x: str, axes: Sequence[int], **attributes: Any) -> str:
    """An operator over these axes; where there are none ONNX would take all."""
    return file.node(operator, x, file.integers(axes), **attributes) if axes else file.node("Identity", x)


@emits(*_REDUCTIONS)
def _reduction(file: File, step: Instruction) -> str:
    x = file.operand(step.inputs[0], step.out.dtype)
    return _with_axes(file, _REDUCTIONS[step.name], x, step.params["axis"], keepdims=int(step.params["keepdims"]))


def _moments(file: File, step: Instruction, keepdims: bool) -> tuple[str, str]:
    """x - mean(x) and the biased variance over the step's axes."""
    x, axes = file.operand(step.inputs[0], step.out.dtype), step.params["axis"]
    centred = file.node("Sub", x, _with_axes(file, "ReduceMean", x, axes, keepdims=1))
    return centred, _with_axes(file, "ReduceMean", file.node("Mul", centred, centred), axes, keepdims=int(keepdims))


@emits("var", "std")
def _var(file: File, step: Instruction) -> str:
    _, y = _moments(file, step, step.params["keepdims"])
    if step.params["ddof"]:
        n = step.params["count"]
        y = file.node("Mul", y, file.constant(n / (n - step.params["ddof"]), step.out.dtype))
    return file.node("Sqrt", y) if step.name == "std" else y


@emits("cumsum")
def _cumsum(file: File, step: Instruction) -> str:
    x, axis = file.name(step.inputs[0]), step.params["axis"]
    if axis is None:
        x, axis = _flat(file, x), 0
    return file.node("CumSum", x, file.constant(axis, np.dtype(np.int64)))


@emits("softmax_cross_entropy")
def _softmax_cross_entropy(file: File, step: Instruction) -> str:
    labels = file.constant(np.asarray(step.params["labels"], np.int64), np.dtype(np.int64))
    return file.node("SoftmaxCrossEntropyLoss", file.name(step.inputs[0]), labels, reduction="none")


@emits("sigmoid_cross_entropy")
def _sigmoid_cross_entropy(file: File, step: Instruction) -> str:
    z, t = file.alike(step)
    hit = file.node("Mul", t, file.node("Softplus", file.node("Neg", z)))
    missed = file.node("Mul", file.node("Sub", file.number(1.0), t), file.node("Softplus", z))
    return file.node("Add", hit, missed)


# --------------------------------------------------------------------------------------------------------------
# Matrices and shapes


def _shaped(file: File, x: str, shape: Sequence[int]) -> str:
    return file.node("Reshape", x, file.integers(shape), allowzero=1)


def _flat(file: File, x: str) -> str:
    return file.node("Reshape", x, file.integers((-1,)))


@emits("transpose", "swapaxes")
def _transpose(file: File, step: Instruction) -> str:
    order = list(range(step.out.ndim))
    if step.name == "swapaxes":
        a, b = step.params["axis1"], step.params["axis2"]
        order[a], order[b] = order[b], order[a]
    elif step.params["axes"] is None:
        order.reverse()
    else:
        order = [k % step.out.ndim for k in step.params["axes"]]
    return file.node("Transpose", *file.alike(step), perm=order) if order else file.node("Identity", *file.alike(step))


@emits("concatenate")
def _concatenate(file: File, step: Instruction) -> str:
    parts, axis = file.alike(step), step.params["axis"]
    if axis is None:
        parts, axis = [_flat(file, part) for part in parts], 0
    return file.node("Concat", *parts, axis=int(axis))


@emits("stack")
def _stack(file: File, step: Instruction) -> str:
    axis = step.params["axis"] % step.out.ndim
    parts = [file.node("Unsqueeze", part, file.integers((axis,))) for part in file.alike(step)]
    return file.node("Concat", *parts, axis=axis)


def sliced(file: File, x: str, axis: int, start: int, end: int, step: int = 1) -> str:
    """x[start:end:step] along one axis."""
    return file.node("Slice", x, *(file.integers((n,)) for n in (start, end, axis, step)))


@emits("flip")
def _flip(file: File, step: Instruction) -> str:
    (x,) = file.alike(step)
    axis = step.params["axis"]
    axes = range(step.out.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    for k in axes:
        x = sliced(file, x, int(k) % step.out.ndim, -1, FROM_END, -1)
    return x if len(axes) else file.node("Identity", x)


@emits("roll")
def _roll(file: File, step: Instruction) -> str:
    (x,) = file.alike(step)
    shift, axis = step.params["shift"], step.params["axis"]
    shape = step.out.shape
    if axis is None:
        flat, total = _flat(file, x), int(np.sum(shift))
        return _shaped(file, _rolled(file, flat, 0, total, int(np.prod(shape))), shape)
    for s, k in np.broadcast(shift, axis):
        x = _rolled(file, x, int(k) % step.out.ndim, int(s), shape[int(k)])
    return file.node("Identity", x)


def _rolled(file: File, x: str, axis: int, shift: int, n: int) -> str:
    shift = shift if abs(shift) < n else shift % max(n, 1)
    if not shift:
        return x
    end, start = sliced(file, x, axis, -shift, 2**62), sliced(file, x, axis, 0, -shift)
    return file.node("Concat", end, start, axis=axis)


@emits("getitem")
def _getitem(file: File, step: Instruction) -> str:
    (x,) = file.alike(step)
    shape = step.inputs[0].shape
    index = step.params["index"]
    parts: list[Any] = []
    for part in index if isinstance(index, tuple) else (index,):
        masks = isinstance(part, np.ndarray) and part.dtype.kind == "b"
        parts += np.nonzero(part) if masks else [part]
    if any(isinstance(part, (bool, np.bool_)) for part in parts):
        raise NotImplementedError("export: True or False as an index is not exported; use x[None] or mg.where")
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    chosen = [k for k, part in enumerate(parts) if isinstance(part, (np.ndarray, int, np.integer))]
    if arrays and 0 < chosen[0] < chosen[-1] - len(chosen) + 1:  # NumPy moves the axes of an index to the front
        raise NotImplementedError("export: an index array apart from an integer; index in two steps")
    used = sum(part is not None and part is not Ellipsis for part in parts)
    if not any(part is Ellipsis for part in parts):
        parts.append(Ellipsis)
    dots = next(k for k, part in enumerate(parts) if part is Ellipsis)
    parts[dots : dots + 1] = [slice(None)] * (len(shape) - used)
    if len(arrays) > 1:
        return _gathered(file, step, x, parts, arrays)
    axis, integers = 0, np.dtype(np.int64)
    for k, part in enumerate(parts):
        if part is None:
            x = file.node("Unsqueeze", x, file.integers((axis,)))
            axis += 1
        elif isinstance(part, slice):
            if part != slice(None):
                start, end, stride = part.start, part.stop, part.step or 1
                start = (0 if stride > 0 else -1) if start is None else int(start)
                end = (2**62 if stride > 0 else FROM_END) if end is None else int(end)
                x = sliced(file, x, axis, start, end, int(stride))
            axis += 1
        elif isinstance(part, np.ndarray):
            if not all(isinstance(before, slice) for before in parts[:k]):
                raise NotImplementedError("export: an index array beside integers or None; index in two steps")
            x = file.node("Gather", x, file.constant(part, integers), axis=axis)
            axis += part.ndim
        else:  # one integer: the axis is gone
            x = file.node("Gather", x, file.constant(int(part), integers), axis=axis)
    return file.node("Identity", x)


def _gathered(file: File, step: Instruction, x: str, parts: list[Any], arrays: list[Any]) -> str:
    if not all(isinstance(part, np.ndarray) for part in parts[: len(arrays)]) or any(
        part != slice(None) for part in parts[len(arrays) :]
    ):
        raise NotImplementedError("export: index arrays are exported where they stand first; index in two steps")
    together = np.stack(np.broadcast_arrays(*arrays), axis=-1).astype(np.int64)
    return file.node("GatherND", x, file.constant(together, np.dtype(np.int64)))


# --------------------------------------------------------------------------------------------------------------
# Normalization


def _affine(file: File, y: str, step: Instruction, wide: tuple[int, ...]) -> str:
    for value, operator in zip(step.inputs[1:3], ("Mul", "Add"), strict=True):
        if value is not None:
            y = file.node(operator, y, _wide(file, value, wide, step.out.dtype))
    return y


def _wide(file: File, value: Any, wide: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    return _shaped(file, file.operand(value, dtype), wide)


def _divided(file: File, centred: str, var: str, step: Instruction) -> str:
    return file.node("Div", centred, file.node("Sqrt", file.node("Add", var, file.number(step.params["eps"]))))


@emits("batch_norm_inference")
def _batch_norm_inference(file: File, step: Instruction) -> str:
    x, gamma, beta, mean, var = step.inputs
    wide, dtype = step.params["wide"], step.out.dtype
    if x.ndim >= 2 and wide == tuple([n if k == 1 else 1 for k, n in enumerate(x.shape)]):  # ONNX' is of (N, C, ...)
        one, zero = np.ones(mean.shape), np.zeros(mean.shape)
        given = [one if gamma is None else gamma, zero if beta is None else beta, mean, var]
        names = [file.operand(value, dtype) for value in (x, *given)]
        return file.node("BatchNormalization", *names, epsilon=float(step.params["eps"]))
    centred = file.node("Sub", file.operand(x, dtype), _wide(file, mean, wide, dtype))
    return _affine(file, _divided(file, centred, _wide(file, var, wide, dtype), step), step, wide)


@emits("batch_norm")
def _batch_norm(file: File, step: Instruction) -> str:
    """With the statistics of the batch. Not BatchNormalization(training_mode=1): onnxruntime (1.31) optimizes it to
    wrong numbers where its running statistics are not used."""
    return _by_steps(file, step)


@emits("layer_norm")
def _layer_norm(file: File, step: Instruction) -> str:
    x, gamma, beta = step.inputs
    axes = step.params["axis"]
    if axes != tuple(range(x.ndim - len(axes), x.ndim)):
        return _by_steps(file, step)
    scale = np.ones([x.shape[k] for k in axes]) if gamma is None else gamma
    names = [file.operand(value, step.out.dtype) for value in (x, scale, *([] if beta is None else [beta]))]
    return file.node("LayerNormalization", *names, axis=-len(axes), epsilon=float(step.params["eps"]))


def _by_steps(file: File, step: Instruction) -> str:
    centred, var = _moments(file, step, keepdims=True)
    return _affine(file, _divided(file, centred, var, step), step, step.params["wide"])


def unsupported(step: Instruction) -> NotImplementedError:
    """The error for a step without an entry."""
    where = f" (recorded at {step.line[0]}:{step.line[1]})" if step.line else ""
    return NotImplementedError(
        f"export: ONNX has no operator for {step.name}, which made a result of shape {step.out.shape}{where}; write "
        "this part with primitives that have one (docs/export.md), for a primitive of your own its composed form"
    )
