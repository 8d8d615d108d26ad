"""What each primitive is in the words of NumPy, PyTorch and JAX: the table that source.py prints from.

An entry is a text with places for the inputs (`{0}`, `{1}`) and the parameters (`{axis}`), or a function of
(instruction, texts of the inputs, texts of the parameters). Operators say how tightly they bind, for parentheses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .._support.shapes import axes_of
from .program import Instruction, Value

COMPARE, ADD, MUL, SIGN, POWER, ATOM = range(6)  # how tightly an expression binds


class Expression(NamedTuple):
    """Text, and how tightly its outermost operator binds."""

    text: str
    binds: int = ATOM

    def within(self, binds: int) -> str:
        """The text, in parentheses where it stands beside something that binds at least as tightly as `binds`."""
        return self.text if self.binds >= binds else f"({self.text})"


OPERATORS = {
    "add": ("+", ADD),
    "sub": ("-", ADD),
    "mul": ("*", MUL),
    "div": ("/", MUL),
    "matmul": ("@", MUL),
    "pow": ("**", POWER),
    "equal": ("==", COMPARE),
    "not_equal": ("!=", COMPARE),
    "less": ("<", COMPARE),
    "less_equal": ("<=", COMPARE),
    "greater": (">", COMPARE),
    "greater_equal": (">=", COMPARE),
}

Write = Callable[[Instruction, list[str], dict[str, str]], str]


def _axis(i: Instruction, p: dict[str, str], word: str = "axis", keep: str = "keepdims") -> str:
    """The arguments of a reduction that are not the defaults."""
    axis = "" if i.params.get("axis") is None else f", {word}={p['axis']}"
    return axis + (f", {keep}=True" if i.params.get("keepdims") else "")


def _wide(i: Instruction) -> tuple[str, str]:
    """minigrad adds narrow floats up in wider ones: (dtype= of the sum, conversion back)."""
    wider = {"float16": "float32", "float32": "float64"}.get(i.outputs[0].dtype.name)
    return ("", "") if wider is None else (f", dtype=np.{wider}", f".astype(np.{i.outputs[0].dtype.name})")


def _sum(name: str) -> Write:
    def write(i: Instruction, x: list[str], p: dict[str, str]) -> str:
        dtype, back = _wide(i)
        return f"np.{name}({x[0]}{_axis(i, p)}{dtype}){back}"

    return write


def _variance(name: str) -> Write:
    def write(i: Instruction, x: list[str], p: dict[str, str]) -> str:
        ddof = f", ddof={p['ddof']}" if i.params["ddof"] else ""
        dtype, back = _wide(i)
        return f"np.{name}({x[0]}{_axis(i, p)}{ddof}{dtype}){back}"

    return write


def _reduction(name: str) -> Write:
    return lambda i, x, p: f"{name}({x[0]}{_axis(i, p)})"


def _shape(i: Instruction) -> str:
    return repr(tuple(i.outputs[0].shape))


def _clip(name: str) -> Write:
    def write(i: Instruction, x: list[str], p: dict[str, str]) -> str:
        if i.params["low"] is None and i.params["high"] is None:
            return f"np.array({x[0]})"
        return f"{name}({x[0]}, {p['low']}, {p['high']})"

    return write


def _transpose(i: Instruction, x: list[str], p: dict[str, str]) -> str:
    return f"np.transpose({x[0]})" if i.params["axes"] is None else f"np.transpose({x[0]}, {p['axes']})"


NUMPY: dict[str, str | Write] = {
    **{name: f"np.{name}({{0}})" for name in ("abs", "exp", "log", "log1p", "expm1", "sqrt", "square", "sin", "cos")},
    **{name: f"np.{name}({{0}})" for name in ("tanh", "isnan", "sign", "logical_not")},
    **{name: f"np.{name}({{0}}, {{1}})" for name in ("maximum", "minimum", "logical_and", "logical_or")},
    **{name: f"_{name}({{0}})" for name in ("sigmoid", "softplus", "erf", "gelu", "silu")},
    "where": "np.where({0}, {1}, {2})",
    "relu": "np.maximum({0}, 0)",
    "leaky_relu": "np.where({0} > 0, {0}, {0} * {slope})",
    "clip": _clip("np.clip"),
    "sum": _sum("sum"),
    "mean": _sum("mean"),
    "var": _variance("var"),
    "std": lambda i, x, p: f"_std({x[0]}, {p['axis']}, {p['keepdims']}, {p['ddof']})",
    "max": _reduction("np.max"),
    "min": _reduction("np.min"),
    "prod": _reduction("np.prod"),
    "argmax": _reduction("np.argmax"),
    "argmin": _reduction("np.argmin"),
    "logsumexp": lambda i, x, p: f"_logsumexp({x[0]}, {p['axis']}, {p['keepdims']})",
    "cumsum": "np.cumsum({0}, axis={axis})",
    "reshape": lambda i, x, p: f"np.reshape({x[0]}, {_shape(i)})",
    "transpose": _transpose,
    "swapaxes": "np.swapaxes({0}, {axis1}, {axis2})",
    "expand_dims": "np.expand_dims({0}, {axis})",
    "squeeze": "np.squeeze({0}, {axis})",
    "broadcast_to": lambda i, x, p: f"np.broadcast_to({x[0]}, {_shape(i)})",
    "astype": lambda i, x, p: f"np.asarray({x[0]}).astype(np.{i.outputs[0].dtype.name})",
    "concatenate": lambda i, x, p: f"np.concatenate([{', '.join(x)}], axis={p['axis']})",
    "stack": lambda i, x, p: f"np.stack([{', '.join(x)}], axis={p['axis']})",
    "flip": "np.flip({0}, {axis})",
    "roll": "np.roll({0}, {shift}, {axis})",
    "getitem": "{0}[{index}]",
    "put": "_put({0}, np.s_[{index}], {shape})",
    "einsum": lambda i, x, p: f"np.einsum({p['subscripts']}, {', '.join(x)})",
}

CALLED: dict[str, Write] = {  # the functions of calls.py
    "largest": lambda i, x, p: f"np.max({x[0]}, axis={x[1]}, keepdims=True)",
    "class_numbers": lambda i, x, p: f"np.ravel({x[1]}).astype(np.intp)",
    "one_hot": lambda i, x, p: f"np.eye({x[1]}, dtype={x[2]})[{x[0]}]",
    "first_row": lambda i, x, p: f"{x[0]}[{_first(i)}]" if x[0].isidentifier() else f"({x[0]})[{_first(i)}]",
    "less_equal": lambda i, x, p: f"np.less_equal({x[0]}, {x[1]})",
    "ravel": lambda i, x, p: f"np.ravel({x[0]})",
}


def _first(i: Instruction) -> str:
    axes = i.inputs[1]
    return ", ".join(":1" if k in axes else ":" for k in range(max(axes) + 1))


HELPERS = {  # functions that NumPy does not have; printed where they are used
    "_sigmoid": """
def _sigmoid(x):
    e = np.exp(-1.0 * np.abs(x))  # never overflows
    return np.where(x >= 0, 1, e) / (1 + e)
""",
    "_softplus": """
def _softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-1.0 * np.abs(x)))
""",
    "_erf": """
def _erf(x):
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(x)).astype(np.asarray(x).dtype)
""",
    "_gelu": """
def _gelu(x):
    return x * (0.5 * (1.0 + _erf(x * math.sqrt(0.5))))
""",
    "_silu": """
def _silu(x):
    return x * _sigmoid(x)
""",
    "_std": """
def _std(x, axis, keepdims, ddof):
    x = x - np.mean(x, axis=axis, keepdims=True)  # a constant becomes exactly 0
    return np.sqrt(np.var(x, axis=axis, keepdims=keepdims, ddof=ddof))
""",
    "_logsumexp": """
def _logsumexp(x, axis, keepdims):
    top = np.max(x, axis=axis, keepdims=True)
    shift = np.where(np.isfinite(top), top, 0)
    out = np.log(np.sum(np.exp(x - shift), axis=axis, keepdims=True)) + shift
    return out if keepdims else np.squeeze(out, axis)
""",
    "_put": """
def _put(x, index, shape):
    out = np.zeros(shape, np.asarray(x).dtype)
    np.add.at(out, index, x)  # repeats add up
    return out
""",
}
NEEDS = {"_gelu": ("_erf",), "_silu": ("_sigmoid",)}  # helpers that others call


class Language(NamedTuple):
    """One library's words."""

    name: str
    title: str
    module: str  # where its dtypes are
    imports: list[str]
    array: str  # how a constant is written
    table: dict[str, str | Write]
    called: dict[str, Write]
    helpers: dict[str, str]


# --------------------------------------------------------------------------------------------------------------
# PyTorch: the forward alone, whose gradients it finds itself


def _tensors(name: str) -> Write:
    """A function that takes tensors and no numbers."""

    def write(i: Instruction, x: list[str], p: dict[str, str]) -> str:
        dtype = next(v.dtype.name for v in i.inputs if isinstance(v, Value))
        given = [t if isinstance(v, Value) and v.shape else f"torch.as_tensor({t}, dtype=torch.{dtype})"
                 for v, t in zip(i.inputs, x, strict=True)]  # fmt: skip
        return f"{name}({', '.join(given)})"

    return write


def _dims(name: str, more: Write = lambda i, x, p: "") -> Write:
    """A reduction; PyTorch takes no axes at all as all of them, so that nothing is reduced over a new axis of one."""

    def write(i: Instruction, x: list[str], p: dict[str, str]) -> str:
        ndim, keep = len(i.inputs[0].shape), bool(i.params.get("keepdims"))
        dims = axes_of(i.params["axis"], ndim)
        of, dim = (x[0], repr(dims)) if dims or not ndim else (f"torch.unsqueeze({x[0]}, -1)", "-1")
        return f"{name}({of}, dim={dim}{', keepdim=True' if keep and dims else ''}{more(i, x, p)})"

    return write


def _arg(name: str) -> Write:
    return lambda i, x, p: f"{name}({x[0]}{_axis(i, p, 'dim', 'keepdim')})"


def _torch_prod(i: Instruction, x: list[str], p: dict[str, str]) -> str:
    axes = axes_of(i.params["axis"], len(i.inputs[0].shape))
    text = x[0]
    for axis in reversed(axes):
        text = f"torch.prod({text}, dim={axis}, keepdim={bool(i.params['keepdims'])})"
    return text


def _torch_getitem(i: Instruction, x: list[str], p: dict[str, str]) -> str:
    index = i.params["index"]
    if any(
        isinstance(part, slice) and (part.step or 1) < 0 for part in (index if isinstance(index, tuple) else [index])
    ):
        raise TypeError("PyTorch has no slices with a negative step: use mg.flip")
    return f"{x[0]}[{p['index']}]"


def _into(name: str, joint: str) -> Write:
    def write(i: Instruction, x: list[str], p: dict[str, str]) -> str:
        if i.params["axis"] is None:
            return f"{name}([{', '.join(f'torch.ravel({t})' for t in x)}])"
        return f"{name}([{', '.join(x)}], {joint}={p['axis']})"

    return write


def _torch_ddof(i: Instruction, x: list[str], p: dict[str, str]) -> str:
    return f", correction={p['ddof']}"


TORCH: dict[str, str | Write] = {
    **{
        name: f"torch.{name}({{0}})" for name in ("abs", "exp", "log", "log1p", "expm1", "sqrt", "square", "sin", "cos")
    },
    **{name: f"torch.{name}({{0}})" for name in ("tanh", "isnan", "sign", "logical_not", "sigmoid", "erf", "relu")},
    **{name: _tensors(f"torch.{name}") for name in ("maximum", "minimum", "logical_and", "logical_or")},
    "softplus": "torch.logaddexp({0}, torch.zeros_like({0}))",
    "gelu": "torch.nn.functional.gelu({0})",
    "silu": "torch.nn.functional.silu({0})",
    "leaky_relu": "torch.nn.functional.leaky_relu({0}, {slope})",
    "where": "torch.where({0}, {1}, {2})",
    "clip": "torch.clamp({0}, min={low}, max={high})",
    "sum": _dims("torch.sum"),
    "mean": _dims("torch.mean"),
    "var": _dims("torch.var", _torch_ddof),
    "std": _dims("torch.std", _torch_ddof),
    "max": _dims("torch.amax"),
    "min": _dims("torch.amin"),
    "prod": _torch_prod,
    "argmax": _arg("torch.argmax"),
    "argmin": _arg("torch.argmin"),
    "logsumexp": _dims("torch.logsumexp"),
    "cumsum": lambda i, x, p: (
        f"torch.cumsum({x[0] if i.params['axis'] is not None else f'torch.ravel({x[0]})'}, "
        f"dim={p['axis'] if i.params['axis'] is not None else 0})"
    ),
    **{name: lambda i, x, p: f"torch.reshape({x[0]}, {_shape(i)})" for name in ("reshape", "expand_dims", "squeeze")},
    "transpose": lambda i, x, p: f"torch.permute({x[0]}, {p['axes'] if i.params['axes'] is not None else _turned(i)})",
    "swapaxes": "torch.swapaxes({0}, {axis1}, {axis2})",
    "broadcast_to": lambda i, x, p: f"torch.broadcast_to({x[0]}, {_shape(i)})",
    "astype": lambda i, x, p: f"{x[0]}.to(torch.{i.outputs[0].dtype.name})",
    "concatenate": _into("torch.cat", "dim"),
    "stack": _into("torch.stack", "dim"),
    "flip": lambda i, x, p: f"torch.flip({x[0]}, {axes_of(i.params['axis'], len(i.inputs[0].shape))})",
    "roll": lambda i, x, p: (
        f"torch.roll({x[0]}, {p['shift']}" + (f", {p['axis']})" if i.params["axis"] is not None else ")")
    ),
    "getitem": _torch_getitem,
    "einsum": lambda i, x, p: f"torch.einsum({p['subscripts']}, {', '.join(x)})",
}


def _turned(i: Instruction) -> str:
    return repr(tuple(reversed(range(len(i.inputs[0].shape)))))


TORCH_CALLED: dict[str, Write] = {
    "largest": lambda i, x, p: f"torch.amax({x[0]}, dim={x[1]}, keepdim=True).detach()",
    "class_numbers": lambda i, x, p: f"{x[1]}.long().ravel()",
    "first_row": lambda i, x, p: f"{x[0]}[{_first(i)}].detach()",
    "less_equal": lambda i, x, p: f"torch.le({x[0]}, {x[1]})",
    "ravel": lambda i, x, p: f"torch.ravel({x[0]})",
}

# --------------------------------------------------------------------------------------------------------------
# JAX: NumPy's words but for a few


def _jax(entry: str | Write) -> str | Write:
    if isinstance(entry, str):
        return entry.replace("np.", "jnp.")
    return lambda i, x, p: entry(i, x, p).replace("jnp.", "np.").replace("np.", "jnp.")


def _jax_clip(i: Instruction, x: list[str], p: dict[str, str]) -> str:
    text = x[0]
    for name, sign in (("low", "<"), ("high", ">")):
        if i.params[name] is not None:  # not jnp.clip, whose gradient at a bound is half
            text = f"jnp.where({x[0]} {sign} {p[name]}, {p[name]}, {text})"
    return text


JAX: dict[str, str | Write] = {name: _jax(entry) for name, entry in NUMPY.items()} | {
    "relu": "jnp.where({0} <= 0, 0, {0})",
    "sigmoid": "jax.nn.sigmoid({0})",
    "softplus": "jax.nn.softplus({0})",
    "erf": "jax.scipy.special.erf({0})",
    "gelu": "jax.nn.gelu({0}, approximate=False)",
    "silu": "jax.nn.silu({0})",
    "clip": _jax_clip,
    "sum": _reduction("jnp.sum"),
    "mean": _reduction("jnp.mean"),
    "var": lambda i, x, p: f"jnp.var({x[0]}{_axis(i, p)}, ddof={p['ddof']})",
    "std": lambda i, x, p: f"jnp.std({x[0]}{_axis(i, p)}, ddof={p['ddof']})",
    "logsumexp": _reduction("jax.scipy.special.logsumexp"),
    "put": "jnp.zeros({shape}, {0}.dtype).at[{index}].add({0})",
}


def _in_jax(write: Write) -> Write:
    return lambda i, x, p: write(i, x, p).replace("np.", "jnp.")


JAX_CALLED: dict[str, Write] = {name: _in_jax(write) for name, write in CALLED.items()} | {
    "largest": lambda i, x, p: f"jax.lax.stop_gradient(jnp.max({x[0]}, axis={x[1]}, keepdims=True))",
    "class_numbers": lambda i, x, p: f"jnp.ravel({x[1]})",
    "first_row": lambda i, x, p: f"jax.lax.stop_gradient({CALLED['first_row'](i, x, p)})",
}

LANGUAGES = {
    "numpy": Language(
        "numpy", "NumPy", "np", ["import numpy as np"], "np.array({numbers}, np.{dtype})", NUMPY, CALLED, HELPERS
    ),
    "torch": Language(
        "torch",
        "PyTorch",
        "torch",
        ["import torch"],
        "torch.tensor({numbers}, dtype=torch.{dtype})",
        TORCH,
        TORCH_CALLED,
        {},
    ),
    "jax": Language(
        "jax",
        "JAX",
        "jnp",
        ["import jax", "import jax.numpy as jnp"],
        "jnp.array({numbers}, jnp.{dtype})",
        JAX,
        JAX_CALLED,
        {},
    ),
}
