"""A run in words: everything that must be the same for a checkpoint to be of the same run, each under its name."""

from __future__ import annotations

import functools
import hashlib
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .._support.randomness import Generator, state_of
from .._support.signatures import Array
from ..core.tensor import Tensor
from ..nn import Module
from ..optim import Optimizer, Schedule

Settings = dict[str, str]


def digest(arrays: Iterable[Array]) -> str:
    """A short name for the contents of arrays."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.shape} {array.dtype}".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()[:12]


def described(x: Any) -> str:
    """A value in words. A function of the user by its name and its code: an edited loss is another loss."""
    if isinstance(x, functools.partial):
        return f"partial({described(x.func)}, {described(x.args)}, {described(x.keywords)})"
    if isinstance(x, types.MethodType):
        return f"{described(x.__self__)}.{x.__name__}"
    if isinstance(x, types.FunctionType):
        if x.__module__.partition(".")[0] == "minigrad":
            return x.__name__
        held = [cell.cell_contents for cell in x.__closure__ or () if _is_plain(cell.cell_contents)]
        code = repr([*_code(x.__code__), described(x.__defaults__), described(x.__kwdefaults__), described(held)])
        return f"{x.__name__} (code {hashlib.sha256(code.encode()).hexdigest()[:6]})"
    if isinstance(x, (list, tuple)):
        return f"[{', '.join(described(item) for item in x)}]"
    if isinstance(x, Mapping):
        return f"{{{', '.join(f'{key}: {described(x[key])}' for key in x)}}}"
    if isinstance(x, (np.ndarray, Tensor)):
        return f"array {digest([np.asarray(x.data)])}"
    if x is None or isinstance(x, (str, int, float, bool, np.generic)):
        return repr(x.item() if isinstance(x, np.generic) else x)
    name = getattr(x, "__qualname__", None) or type(x).__qualname__
    options = {k: v for k, v in getattr(x, "__dict__", {}).items() if _is_plain(v)} if not isinstance(x, type) else {}
    return f"{name}({', '.join(f'{k}={described(v)}' for k, v in options.items())})" if options else name


def _is_plain(x: Any) -> bool:
    """Not what training moves, such as a network that a loss looks at, nor what counts."""
    return x is None or isinstance(x, (str, int, float, bool, tuple, types.FunctionType, functools.partial))


def _code(code: types.CodeType) -> list[Any]:
    constants = [_code(c) if isinstance(c, types.CodeType) else c for c in code.co_consts]
    return [code.co_code, constants, code.co_names]


def of_model(model: Module) -> Settings:
    """Kinds and options of all parts, shapes and dtypes of all state."""
    found: Settings = {}
    for path, module in model.named_modules():
        place = path or "the network"
        found[place] = type(module).__qualname__
        own = type(module).__module__.partition(".")[0] == "minigrad"
        for name, value in vars(module).items():
            functions = (
                [v for v in value if callable(v) and not isinstance(v, Module)] if isinstance(value, list) else []
            )
            for k, function in enumerate(functions):
                found[f"{place}, function {k + 1}"] = described(function)
            counts = isinstance(value, int) and not isinstance(value, bool) and not own
            if name != "training" and not name.startswith("_") and not counts and _is_plain(value):
                found[f"{name} of {place}"] = described(value)
    found.update({name: f"{x.dtype} {x.shape}" for name, x in model.named_tensors()})
    return found


def of_optimizer(optimizer: Optimizer, schedule: Schedule | None) -> Settings:
    """The kind, the options of each group, the schedule's options."""
    found = {"the optimizer": type(optimizer).__name__}
    for k, group in enumerate(optimizer.groups):
        of_group = f" of group {k}" if len(optimizer.groups) > 1 else ""
        found[f"the number of parameters{of_group}"] = str(len(group["params"]))
        found.update({f"{n}{of_group}": described(v) for n, v in group.items() if n not in ("params", "lr")})
    found["the schedule"] = type(schedule).__name__ if schedule is not None else "none"
    if schedule is not None:
        options = {n: v for n, v in vars(schedule).items() if n not in ("optimizer", *schedule.state_dict())}
        found |= {f"{name} of the schedule": described(value) for name, value in options.items()}
    return found


def moving(model: Module, optimizer: Optimizer, schedule: Schedule | None, rng: Sequence[Generator]) -> Settings:
    """What training itself changes: a run may go on with it as it was at the start, or as it is at the checkpoint."""
    rates = schedule.start if schedule is not None else [group["lr"] for group in optimizer.groups]
    found = {"lr": described(rates[0] if len(set(rates)) == 1 else rates)}
    found["the weights at the start (rng=, init=)"] = digest(model.state_dict().values())
    found["the state of the generators (seed=, rng=)"] = digest(
        np.frombuffer(state_of(r).encode(), np.uint8) for r in rng
    )
    return found


def differing(now: Settings, then: Settings) -> list[str]:
    """What is another than it was: "lr is 0.1, was 0.01"."""
    names = [name for name in {**then, **now} if now.get(name) != then.get(name)]
    return [_in_words(name, now.get(name, "not there"), then.get(name, "not there")) for name in names]


def _in_words(name: str, now: str, then: str) -> str:
    hidden = name.startswith(("the weights", "the state", "the training data", "the validation data"))
    return f"{name} {'are' if 's at' in name else 'is'} another" if hidden else f"{name} is {now}, was {then}"
