"""What a step does besides arithmetic, as generated code: optimizers, running statistics, checks, labels.

Checks only say that something is wrong; the message comes from the Python that they stand for, which is run then.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import optim
from ...core.nodes import written
from ...nn.batchnorm import CONVENTIONS, BatchNorm1d
from ...optim.optimizers import Optimizer, _check_option
from ...program import Instruction, Value
from ...program.program import Array
from . import elements, products

FINITE: set[Any] = set()  # callbacks of others that raise where a number in an array is not finite, and do nothing else


def known(i: Instruction) -> bool:
    """Whether an instruction is a step of its own."""
    return products.known(i) or moves(i) or (i.kind == "update" and updates(i))


# checks, labels ---------------------------------------------------------------------------------------------


def special(i: Instruction) -> bool:
    """Whether it is a loop's, and neither arithmetic nor a sum."""
    if i.kind == "call":
        if i.name == "one_hot" and isinstance(i.inputs[0], Value):
            return True
        return only_checks(i) or (i.name == "class_numbers" and len(i.inputs[1].shape) == 1)
    return i.kind == "op" and i.name == "getitem" and _one_of_each_row(i)


def only_checks(i: Instruction) -> bool:
    """Whether it does nothing but look at numbers."""
    one = i.kind == "check" or (i.kind == "call" and i.function in FINITE and len(list(i.used())) == 1)
    return one or (i.kind == "call" and i.name == "in_range" and isinstance(i.inputs[2], Value))


def checks(i: Instruction) -> bool:
    """Whether it may find something wrong."""
    return only_checks(i) or moves(i) or (i.kind == "call" and i.name == "class_numbers")


def shape_of(i: Instruction) -> tuple[int, ...]:
    """The shape of the loop of something special."""
    if only_checks(i):
        (v,) = i.used()
        return v.shape
    return i.inputs[1].shape if i.name == "class_numbers" else i.outputs[0].shape


def wrong(i: Instruction, x: str) -> str:
    """When a check fails, said of one element."""
    if i.name == "in_range":
        return f"({x} < 0) | ({x} > 1)"
    return f"({x} < 0) | ({x} >= {int(i.inputs[2])})" if i.name == "class_numbers" else f"({x} - {x} != 0)"


def _one_of_each_row(i: Instruction) -> bool:
    """Whether it is x[arange(rows), labels]."""
    x, index = i.inputs[0], i.params["index"]
    if not (isinstance(index, tuple) and len(index) == 2 and all(isinstance(v, Value) for v in index)):
        return False
    rows, labels = index
    one = len(x.shape) == 2 and rows.kind == "constant" and rows.shape == labels.shape == x.shape[:1]
    return bool(one and labels.dtype.kind == "i" and (rows.array == np.arange(len(rows.array))).all())


# running statistics -----------------------------------------------------------------------------------------


def moves(i: Instruction) -> bool:
    """Whether it moves the running statistics of a fused batch norm."""
    if i.kind != "call" or getattr(i.function, "__func__", None) is not BatchNorm1d._move or len(i.inputs) != 6:
        return False
    running = i.function.__self__.running_mean._array
    return all(v.dtype == running.dtype and v.array.flags.c_contiguous for v in i.inputs[4:]) and not i.inputs[3]


def parts(i: Instruction, first: Value) -> tuple[Instruction, Instruction]:
    """The check of a batch, and what moves; `first`: the first row of the batch."""
    offset, var = i.inputs[4:]
    check = Instruction("check", "finite", i.function, (var,), {}, ())
    return check, Instruction("move", i.name, i.function, (first, offset, var), {"count": i.inputs[2]}, ())


def move(i: Instruction, name: Callable[[Any], str]) -> tuple[list[str], Callable[[], None]]:
    """Lines that move running statistics, and what is to be done in Python after them."""
    module, count = i.function.__self__, i.params["count"]
    rules, t = CONVENTIONS[module.convention], elements.of(module.running_mean.dtype)
    first, offset, var = map(name, i.inputs)
    moved = module.running_mean, module.running_var, module.updates, module.start_share
    mean, variance, updates, share = [name(tensor._array) for tensor in moved]
    if module.momentum is None:
        keep, take = f"f64({updates}[0]) / ({updates}[0] + 1)", f"1.0 / ({updates}[0] + 1)"
    else:
        m = float(module.momentum)
        shares = (m, 1 - m) if rules.momentum_keeps else (1 - m, m)
        keep, take = map(repr, shares)
    scale = count / (count - 1) if rules.unbiased else 1.0
    lines = [
        f"keep = {keep}",
        f"take = {take}",
        f"for j in range({module.num_features}):",
        f"    {mean}[j] = {t}(keep) * {mean}[j] + {t}(take) * ({first}[j] + {offset}[j])",
        f"    {variance}[j] = {t}(keep) * {variance}[j] + {t}(take * {scale!r}) * {var}[j]",
        f"{updates}[0] += 1",
        f"{share}[0] *= keep",
    ]
    return lines, lambda: written(*moved)


# optimizers -------------------------------------------------------------------------------------------------


def updates(i: Instruction) -> bool:
    """Whether it is a step of one of our optimizers along gradients of all its parameters, which live in vectors."""
    optimizer: Optimizer = i.function
    if type(optimizer) not in _RULES or len(i.writes) < sum(len(flat.params) for _, flat in optimizer._flat):
        return False
    homes = all(flat._at_home(k) for _, flat in optimizer._flat for k in range(len(flat.params)))
    return homes and all(flat.value.dtype.char in "fd" and flat.value.size for _, flat in optimizer._flat)


def shape(optimizer: Optimizer) -> list[Any]:
    """What the code of a step depends on: written anew where it is another."""
    found: list[Any] = []
    for k, flat in optimizer._flat:
        group = optimizer.groups[k]
        found.append([bool(group.get(name)) for name in ("weight_decay", "momentum", "nesterov")])
        found.append(flat.steps.count(flat.steps[0]) == len(flat.steps))
    return found


def step_of(
    optimizer: Optimizer, vectors: list[Array], name: Callable[[Any], str], room: Callable[[int], int], numbers: Any
) -> tuple[list[str], Callable[[], None], Callable[[], None]]:
    """Lines of a step; what fills in the numbers of this call before it; what is to be done after it.

    room(n) gives the place of n numbers in `numbers`.
    """
    lines: list[str] = []
    fills: list[Callable[[], None]] = []
    for (k, flat), vector in zip(optimizer._flat, vectors, strict=True):
        group, t = optimizer.groups[k], elements.of(flat.value.dtype)
        names, body = _RULES[type(optimizer)](group, t)
        at = room(len(names))
        w, g, state = name(flat.value), name(vector), {n: name(v) for n, v in flat.state.items()}
        lines += [f"{n} = {t}(R[{at + q}])" for q, n in enumerate(names)]
        lines.append(f"for k in range({flat.value.size}):")
        lines += [f"    {line}".format(w=w, g=g, t=t, **state) for line in body]
        fills.append(_filling(type(optimizer).__name__, group, flat, at, names, numbers))

    def before() -> None:
        for fill in fills:
            fill()

    def after() -> None:
        for _, flat in optimizer._flat:
            flat.steps[:] = [flat.steps[0] + 1] * len(flat.steps)
            written(*flat.params)

    return lines, before, after


def _filling(who: str, group: dict[str, Any], flat: Any, at: int, names: tuple[str, ...], numbers: Any) -> Any:
    """Puts the options of a group, as they are now, where the code reads them."""

    def fill() -> None:
        lr = group["lr"]
        if type(lr) is not float or not 0 <= lr < math.inf:
            _check_option(who, "lr", lr)
        found = dict(group)
        if "betas" in group:
            beta1, beta2 = group["betas"]
            step = flat.steps[0] + 1
            root = math.sqrt(1 - beta2**step)
            found |= {"rate": lr * root / (1 - beta1**step), "tiny": group["eps"] * root}
            found |= {"keep1": beta1, "rest1": 1 - beta1, "keep2": beta2, "rest2": 1 - beta2}
            found["shrink"] = 1 - lr * group["weight_decay"]
        for k, name in enumerate(names, at):
            numbers[k] = found[name]

    return fill


def _slope(group: dict[str, Any]) -> str:
    return "d = {g}[k] + weight_decay * {w}[k]" if group["weight_decay"] else "d = {g}[k]"


def _sgd(group: dict[str, Any], t: str) -> tuple[tuple[str, ...], list[str]]:
    lines = [_slope(group)]
    if group["momentum"]:
        lines += ["v = momentum * {velocity}[k] + d", "{velocity}[k] = v"]
        lines.append("d = d + momentum * v" if group["nesterov"] else "d = v")
    return ("lr", "weight_decay", "momentum"), [*lines, "{w}[k] -= lr * d"]


def _rmsprop(group: dict[str, Any], t: str) -> tuple[tuple[str, ...], list[str]]:
    lines = [_slope(group), "s = alpha * {square}[k] + ({t}(1) - alpha) * d * d", "{square}[k] = s"]
    lines.append("d = d / (np.sqrt(s) + eps)")
    if group["momentum"]:
        lines += ["d = momentum * {velocity}[k] + d", "{velocity}[k] = d"]
    return ("lr", "weight_decay", "momentum", "alpha", "eps"), [*lines, "{w}[k] -= lr * d"]


def _adam(group: dict[str, Any], t: str, decoupled: bool = False) -> tuple[tuple[str, ...], list[str]]:
    names = ("rate", "tiny", "keep1", "rest1", "keep2", "rest2", "weight_decay", "shrink")
    lines = ["d = {g}[k]" if decoupled else _slope(group), "a = keep1 * {m}[k] + rest1 * d", "{m}[k] = a"]
    lines += ["b = keep2 * {v}[k] + rest2 * (d * d)", "{v}[k] = b"]
    value = "{w}[k] * shrink" if decoupled and group["weight_decay"] else "{w}[k]"
    return names, [*lines, f"{{w}}[k] = {value} - rate * (a / (np.sqrt(b) + tiny))"]


_RULES: dict[type, Any] = {
    optim.SGD: _sgd,
    optim.RMSprop: _rmsprop,
    optim.Adam: _adam,
    optim.AdamW: lambda group, t: _adam(group, t, decoupled=True),
}
