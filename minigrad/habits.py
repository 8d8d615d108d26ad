"""Words for habits: what people from NumPy and PyTorch reach for on a Tensor and do not find, and what to write for it.

Each name is an AttributeError with its way out; `%`, `//` and round() are TypeErrors. Nothing here computes anything:
what earns its place is a primitive. tests/test_habits.py runs every line of the tables.
"""

from __future__ import annotations

from typing import Any, NoReturn

from . import ops

# what is not an attribute of a Tensor x: what to write. Expressions, so that a test can run them.
ATTRIBUTES = {
    # NumPy
    "all": "x.numpy().all()",
    "any": "x.numpy().any()",
    "argsort": "np.argsort(x.numpy())",
    "conj": "x",
    "copy": "x * 1.0",
    "cumprod": "mg.exp(mg.cumsum(mg.log(x), axis=0))",
    "diagonal": "x[np.arange(len(x)), np.arange(len(x))]",
    "dot": "x @ y",
    "fill": "mg.full(x.shape, 2.0)",
    "nonzero": "np.nonzero(x.numpy())",
    "ptp": "mg.max(x) - mg.min(x)",
    "ravel": "x.flatten()",
    "repeat": "x[np.repeat(np.arange(len(x)), 2)]",
    "round": "np.round(x.numpy())",
    "sort": "x[np.argsort(x.numpy())]",
    "take": "x[[0, 1]]",
    "tolist": "x.numpy().tolist()",
    "trace": "mg.sum(x * mg.eye(len(x)))",
    # PyTorch
    "bmm": "x @ y",
    "bool": "x != 0",
    "chunk": "mg.split(x, 2)",
    "clamp": "mg.clip(x, 0.0, 1.0)",
    "clone": "x * 1.0",
    "contiguous": "x",
    "cpu": "x",
    "cuda": "x",
    "device": "x",
    "dim": "x.ndim",
    "double": "x.astype(float)",
    "eq": "x == y",
    "expand": "mg.broadcast_to(x, (3, *x.shape))",
    "expand_as": "mg.broadcast_to(x, y.shape)",
    "float": "x.astype(np.float32)",
    "gather": "x[np.arange(len(x)), [0, 1]]",
    "ge": "x >= y",
    "grad_fn": "x.op",
    "gt": "x > y",
    "half": "x.astype(np.float16)",
    "index_select": "x[[0, 1]]",
    "int": "x.astype(np.int32)",
    "is_leaf": "x.op is None",
    "le": "x <= y",
    "long": "x.astype(int)",
    "lt": "x < y",
    "masked_fill": "mg.where(x > 0, 1.0, x)",
    "mm": "x @ y",
    "ne": "x != y",
    "nelement": "x.size",
    "norm": "mg.sqrt(mg.sum(x * x))",
    "numel": "x.size",
    "outer": "mg.einsum('i,j->ij', x[0], x[0])",
    "permute": "x.transpose(1, 0)",
    "reciprocal": "1.0 / x",
    "requires_grad_": "mg.tensor(x.numpy(), requires_grad=True)",
    "rsqrt": "x**-0.5",
    "scatter": "mg.where(x > 0, y, x)",
    "softmax": "mg.softmax(x, axis=1)",
    "t": "x.T",
    "tile": "mg.concatenate([x, x], axis=0)",
    "to": "x.astype(np.float32)",
    "type": "x.dtype",
    "unbind": "list(x)",
    "unsqueeze": "x.expand_dims(0)",
    "view": "x.reshape(-1)",
    "view_as": "x.reshape(y.shape)",
    # of either, written in place; a leaf is written as a whole
    **dict.fromkeys(("add_", "assign", "copy_", "div_", "fill_", "mul_", "sub_", "zero_"), "x.data = x.numpy() + 1.0"),
}

# what other packages have at their top
PACKAGE = {
    "GradientTape": "nothing: what depends on a leaf with requires_grad=True is recorded; then mg.grad(y, x)",
    "Parameter": "mg.tensor(values, requires_grad=True)",
    "Variable": "mg.tensor(values, requires_grad=True)",
    "array": "mg.tensor(values)",
    "cat": "mg.concatenate([x, y], axis=0)",
    "from_numpy": "mg.tensor(array)",
    "manual_seed": "rng = np.random.default_rng(0), and pass rng=rng where numbers are drawn",
    "rand": "mg.tensor(rng.random(shape)) with rng = np.random.default_rng(0)",
    "randn": "mg.tensor(rng.normal(size=shape)) with rng = np.random.default_rng(0)",
}

# operators that Python looks up on the class
OPERATORS = {
    "mod": ("x % y", "x - y * np.floor(x.numpy() / y.numpy())"),
    "floordiv": ("x // y", "np.floor(x.numpy() / y.numpy()), which has no gradient"),
    "divmod": ("divmod(x, y)", "np.divmod(x.numpy(), y.numpy()), which has no gradient"),
    "round": ("round(x)", "np.round(x.numpy()), which has no gradient"),
    "floor": ("math.floor(x)", "np.floor(x.numpy()), which has no gradient"),
    "ceil": ("math.ceil(x)", "np.ceil(x.numpy()), which has no gradient"),
    "trunc": ("math.trunc(x)", "np.trunc(x.numpy()), which has no gradient"),
    "xor": ("x ^ y", "x != y for masks"),
}

# what other libraries have as methods of a model
MODULES = {
    "fit": "mg.training.fit(net, loss, optimizer, (x, y), epochs=...)",
    "compile": "mg.training.fit(net, loss, optimizer, (x, y), metrics=..., epochs=...)",
    "predict": "mg.training.predict(net, x)",
    "predict_proba": "mg.softmax(mg.training.predict(net, x))",
    "evaluate": "mg.training.evaluate(net, x, y, loss, metrics)",
    "score": "mg.training.evaluate(net, x, y, loss, metrics)",
    "add": "mg.nn.Sequential(layer, layer, ...)",
    "to": "nothing: all runs on the CPU; dtype= is an option of the layers",
    "cuda": "nothing: all runs on the CPU",
    "cpu": "nothing: all runs on the CPU",
    "double": "dtype=float in the layers",
    "float": "dtype=np.float32 in the layers",
    "half": "dtype=np.float16 in the layers",
    "zero_grad": "optimizer.zero_grad(), or p.grad = None for each p in parameters()",
    "children": "[m for name, m in net.named_modules() if name.count('.') < 1]",
    "modules": "[m for name, m in net.named_modules()]",
    "named_children": "net.named_modules()",
    "buffers": "net.state_dict(), without the names of net.named_parameters()",
    "named_buffers": "net.state_dict(), without the names of net.named_parameters()",
    "apply": "for name, m in net.named_modules(): f(m)",
    "register_buffer": "self.name = mg.tensor(values): a Tensor without requires_grad is saved and not trained",
    "register_parameter": "self.name = mg.tensor(values, requires_grad=True)",
    "requires_grad_": "p.requires_grad = False for each p in parameters()",
}


class _Missing:
    """An attribute that is not there, and says what to write."""

    def __init__(self, name: str, instead: str) -> None:
        self._name, self._instead = name, instead

    def __get__(self, x: Any, owner: Any) -> NoReturn:
        say = f"a Tensor has no {self._name!r}: write {self._instead}"
        raise AttributeError(say, name=f"{self._name} ", obj=x)  # the blank: Python would guess at another name


def _refusal(written: str, instead: str) -> Any:
    def refuse(self: Any, *others: Any) -> NoReturn:
        raise TypeError(f"{written} is not defined for Tensors: write {instead}")

    return refuse


def install(tensor: Any) -> None:
    """Put the words on the class of tensors; `dir` does not list them."""
    functions = {name: f"mg.{name}(x, ...)" for name in ops.__all__ if not hasattr(tensor, name)}
    attributes = {**functions, **ATTRIBUTES}
    for name, instead in attributes.items():
        setattr(tensor, name, _Missing(name, instead))
    for name, (written, instead) in OPERATORS.items():
        for method in (f"__{name}__", f"__r{name}__") if "y" in written else (f"__{name}__",):
            setattr(tensor, method, _refusal(written, instead))
    tensor.__dir__ = lambda self: sorted(set(object.__dir__(self)) - attributes.keys())
