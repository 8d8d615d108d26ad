"""What a step does besides arithmetic, as generated code: optimizers, running statistics, checks, labels.

Checks only say that something is wrong; the message comes from the Python that they stand for, which is run then.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

from ... import optim
from ...core.nodes import written
from ...nn.batchnorm import CONVENTIONS, BatchNorm1d
from ...optim.optimizers import Optimizer, _check_option, _clipped
from ...program import Instruction, Value
from ...program.program import Array
from . import elements, products

F = TypeVar("F", bound=Callable[..., Any])
_LOOKS: set[Any] = set()
SWITCHES = ("weight_decay", "momentum", "nesterov")  # options that decide which lines a step has


def looks_for_nonfinite(callback: F) -> F:
    """A decorator for callbacks that raise where an array has a number that is not finite, and do nothing else."""
    _LOOKS.add(callback)
    return callback


def known(i: Instruction) -> bool:
    """Whether an instruction is a step of its own."""
    return products.known(i) or moves(i) or clips(i) or (i.kind == "update" and updates(i))


# checks, labels ---------------------------------------------------------------------------------------------


def special(i: Instruction) -> bool:
    """Whether it is a loop's, and neither arithmetic nor a sum."""
    if i.kind == "call":
        if i.name == "one_hot" and isinstance(i.inputs[0], Value):
            return True
        return only_checks(i) or (i.name == "class_numbers" and len(i.inputs[1].shape) == 1)
    return i.kind == "op" and i.name == "getitem" and _by_pairs(i)


def only_checks(i: Instruction) -> bool:
    """Whether it does nothing but look at numbers."""
    return i.kind == "check" or looks(i) or _in_range(i)


def _in_range(i: Instruction) -> bool:
    return i.kind == "call" and i.name == "in_range" and isinstance(i.inputs[2], Value)


def looks(i: Instruction) -> bool:
    """Whether it raises where a number in one of its inputs is not finite."""
    return (
        i.kind == "call"
        and i.function in _LOOKS
        and all(isinstance(v, Value) and v.dtype.kind == "f" for v in i.inputs)
    )


def check_of(i: Instruction, v: Value) -> Instruction:
    """That a value is finite, on behalf of i."""
    return Instruction("check", "finite", i.function, (v,), {}, ())


def checks(i: Instruction) -> bool:
    """Whether it may find something wrong."""
    return only_checks(i) or moves(i) or clips(i) or i.name in ("class_numbers", "getitem")


def shape_of(i: Instruction) -> tuple[int, ...]:
    """The shape of the loop of something special."""
    if only_checks(i):
        return next(i.used()).shape
    return i.inputs[1].shape if i.name == "class_numbers" else i.outputs[0].shape


def wrong(i: Instruction, x: str) -> str:
    """When a check fails, said of one element."""
    if i.name == "in_range":
        return f"({x} < 0) | ({x} > 1)"
    return f"({x} < 0) | ({x} >= {int(i.inputs[2])})" if i.name == "class_numbers" else f"({x} - {x} != 0)"


def _by_pairs(i: Instruction) -> bool:
    """Whether it is x[rows, columns], such as x[arange(len(labels)), labels]."""
    x, index = i.inputs[0], i.params["index"]
    if not (isinstance(index, tuple) and len(index) == 2 and all(isinstance(v, Value) for v in index)):
        return False
    return len(x.shape) == 2 and all(v.shape == i.outputs[0].shape[:1] and v.dtype.kind == "i" for v in index)


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
    return check_of(i, var), Instruction("move", i.name, i.function, (first, offset, var), {"count": i.inputs[2]}, ())


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


# clipping ---------------------------------------------------------------------------------------------------


def clips(i: Instruction) -> bool:
    """Whether it limits the norm of gradients."""
    if i.kind != "call" or i.function is not _clipped or not isinstance(i.inputs[0], (int, float)):
        return False
    arrays = [v.array for v in (*i.inputs[2:], *i.outputs)]
    return len(i.outputs) == len(i.inputs) - 1 and all(a.dtype.char in "fd" and a.flags.c_contiguous for a in arrays)


def clipped(i: Instruction, name: Callable[[Any], str]) -> list[str]:
    """Lines of `clip_grad_norm`: divided by the largest first, so that no square overflows."""
    gradients, (norm, *outs) = i.inputs[2:], i.outputs
    lines = ["top = 0.0", "bad_top = False"]
    for g in gradients:
        lines += [f"for k in range({g.array.size}):", f"    bad_top = bad_top | ({name(g)}[k] - {name(g)}[k] != 0)"]
        lines.append(f"    top = f64(abs({name(g)}[k])) if f64(abs({name(g)}[k])) > top else top")
    lines += ["if bad_top:", "    return 1", "unit = 1.0 if top == 0 else top", "squares = 0.0"]
    for g in gradients:
        lines += [f"for k in range({g.array.size}):", f"    share = f64({name(g)}[k]) / unit"]
        lines.append("    squares = plus(squares, share * share)")
    lines += [
        f"{name(norm)}[0] = top * np.sqrt(squares)",
        f"factor = {float(i.inputs[0])!r} / ({name(norm)}[0] + 1e-06)",
    ]
    lines.append("factor = factor if factor < 1 else 1.0")
    for g, out in zip(gradients, outs, strict=True):
        t = elements.of(out.dtype)
        lines += [f"for k in range({g.array.size}):", f"    {name(out)}[k] = {name(g)}[k] * {t}(factor)"]
    return lines


# optimizers -------------------------------------------------------------------------------------------------


def updates(i: Instruction) -> bool:
    """Whether it is a step of one of our optimizers along gradients of all its parameters, which live in vectors."""
    optimizer: Optimizer = i.function
    if (
        type(optimizer) not in _RULES
        or "_update" in vars(optimizer)
        or len(i.writes) < sum(len(flat.params) for _, flat in optimizer._flat)
    ):
        return False
    if any(flat.steps.count(flat.steps[0]) != len(flat.steps) for _, flat in optimizer._flat):
        return False
    homes = not any(flat.away(0, len(flat.params)) for _, flat in optimizer._flat)
    return homes and all(flat.value.dtype.char in "fd" and flat.value.size for _, flat in optimizer._flat)


def step_of(
    optimizer: Optimizer, vectors: list[Array], name: Callable[[Any], str], room: Callable[[int], int], numbers: Any
) -> tuple[list[str], list[Callable[[], bool]], Callable[[], None]]:
    """Lines of a step; what fills in the numbers of this call before it; what is to be done after it.

    room(n) gives the place of n numbers in `numbers`. What fills in is False where the lines would be others by now.
    """
    lines: list[str] = []
    fills: list[Callable[[], bool]] = []
    for (k, flat), vector in zip(optimizer._flat, vectors, strict=True):
        group, t = optimizer.groups[k], elements.of(flat.value.dtype)
        names, body = _RULES[type(optimizer)](group, t)
        at = room(len(names))
        w, g, state = name(flat.value), name(vector), {n: name(v) for n, v in flat.state.items()}
        lines += [f"{n} = {t}(R[{at + q}])" for q, n in enumerate(names)]
        lines.append(f"for k in range({flat.value.size}):")
        lines += [f"    {line}".format(w=w, g=g, t=t, **state) for line in body]
        fills.append(_filling(type(optimizer).__name__, group, flat, at, names, numbers))

    def after() -> None:
        for _, flat in optimizer._flat:
            flat.steps[:] = [flat.steps[0] + 1] * len(flat.steps)
            written(*flat.params)

    return lines, fills, after


def _filling(who: str, group: dict[str, Any], flat: Any, at: int, names: tuple[str, ...], numbers: Any) -> Any:
    """Puts the options of a group, as they are now, where the code reads them."""
    lines_for = [bool(group.get(name)) for name in SWITCHES]
    plain = [(k, name) for k, name in enumerate(names, at) if name in group]
    has_betas = "betas" in group

    def fill() -> bool:
        lr, steps = group["lr"], flat.steps
        if type(lr) is not float or not 0 <= lr < math.inf:
            _check_option(who, "lr", lr)
        if [bool(group.get(name)) for name in SWITCHES] != lines_for:
            return False
        for k, name in plain:
            numbers[k] = group[name]
        if has_betas:
            (beta1, beta2), step = group["betas"], steps[0] + 1
            root = math.sqrt(1 - beta2**step)
            rate = lr * root / (1 - beta1**step)
            given = (rate, group["eps"] * root, beta1, 1 - beta1, beta2, 1 - beta2, 1 - lr * group["weight_decay"])
            numbers[at : at + 7] = given
        return True

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
    names = ("rate", "tiny", "keep1", "rest1", "keep2", "rest2", "shrink", "weight_decay")
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
