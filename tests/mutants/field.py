"""Mistakes that passed the whole suite once: huber's delta, momentum, groups, ddof, kernels on three axes, replay."""

from __future__ import annotations

from .planting import Plant

_OPTIM = ("tests/optim", "tests/recorded")
_LOSSES = ("tests/test_losses.py",)
_FAST = ("tests/fast", "tests/ops")
_NORM = ("tests/nn",)
_REPLAY = ("tests/replaying",)
_GROUPS = '        for group in self.groups:\n            for tensor in group["params"]:\n                if seen'

PLANTS = [
    Plant(
        "minigrad/losses.py",
        "delta * (size - 0.5 * delta)",
        "size - 0.5 * delta",
        "huber: the slope beyond delta is 1",
        _LOSSES,
    ),
    Plant(
        "minigrad/losses.py",
        "delta * (size - 0.5 * delta)",
        "delta * (size - 0.5)",
        "huber: half of 1 and not of delta",
        _LOSSES,
    ),
    Plant(
        "minigrad/losses.py",
        "callback(np.less_equal, raw(size), delta)",
        "callback(np.less_equal, raw(size), 1.0)",
        "huber: the parabola ends at 1",
        _LOSSES,
    ),
    Plant(
        "minigrad/optim/optimizers.py",
        'd = d + momentum * v if group["nesterov"] else v',
        'd = g + momentum * v if group["nesterov"] else v',
        "nesterov forgets the weight decay",
        _OPTIM,
    ),
    Plant(
        "minigrad/optim/optimizers.py",
        _GROUPS,
        _GROUPS.replace("self.groups:", "self.groups[:1]:"),
        "zero_grad: the first group alone",
        _OPTIM,
    ),
    Plant(
        "minigrad/optim/flat.py",
        "self.numbers = [numbers[k] for k in order]",
        "self.numbers = list(numbers)",
        "state goes to other parameters where a large one is laid out first",
        _OPTIM,
    ),
    Plant(
        "minigrad/nn/batchnorm.py",
        "put({**dict(zip(tensors, given, strict=True)), self.start_share: 0})",
        "put(dict(zip(tensors, given, strict=True)))",
        "set_weights leaves the correction of a start value that is gone",
        _NORM,
    ),
    Plant(
        "minigrad/fast/reductions.py",
        "(n := len(x) - ddof) > 0",
        "(n := len(x)) > 0",
        "var of large float32 matrices without ddof",
        _FAST,
    ),
    Plant(
        "minigrad/fast/reductions.py",
        "n = count(x.shape, axis) - ddof\n    slope",
        "n = count(x.shape, axis) - ddof\n    n += ddof if n > 0 else 0\n    slope",
        "the kernel of var's rule without ddof",
        _FAST,
    ),
    Plant(
        "minigrad/ops/reductions.py",
        "* (2.0 / _freedom(x, axis, ddof)) *",
        "* (2.0 / (_freedom(x, axis, ddof) + ddof)) *",
        "the opened graph of var(ddof=1)",
        _FAST,
    ),
    Plant(
        "minigrad/fast/numpy_kernels/masks.py",
        "    np.multiply(x.view(kind), condition, out.view(kind))",
        "    if x.ndim == 3:\n        np.multiply(x, condition, out)\n    else:\n"
        "        np.multiply(x.view(kind), condition, out.view(kind))",
        "the kernel of masks multiplies on three axes: inf * 0",
        _FAST,
    ),
    Plant(
        "minigrad/nn/batchnorm.py",
        "saved = y.saved if isinstance(y, Node) and normalize is batch_norm else None",
        "saved = y.saved if isinstance(y, Node) and normalize is batch_norm else None\n"
        "        if saved is not None:\n"
        '            saved = vars(self).setdefault("_kept", {}).setdefault(values.shape, saved)',
        "running statistics from the moments of another batch of that shape",
        _NORM,
    ),
    Plant(
        "minigrad/nn/batchnorm.py",
        "return (m, 1 - m) if CONVENTIONS[self.convention].momentum_keeps else (1 - m, m)",
        "return (m, 1 - m) if CONVENTIONS[self.convention].momentum_keeps or m > 0.5 else (1 - m, m)",
        "momentum 0.9 with the convention of torch taken for the share that is kept",
        _NORM,
    ),
    Plant(
        "minigrad/nn/batchnorm.py",
        "return (m, 1 - m) if CONVENTIONS[self.convention].momentum_keeps else (1 - m, m)",
        "return (m, 1 - m) if CONVENTIONS[self.convention].momentum_keeps else (0.9, 0.1)",
        "momentum of the convention of torch is not looked at",
        _NORM,
    ),
    Plant(
        "minigrad/replaying/lowering.py",
        "last.update({roots.get(v, v): len(program) for v in program.wanted()})",
        "last.update({v: len(program) for v in program.wanted() if v in last})",
        "replay: what a returned view looks at is given away",
        _REPLAY,
    ),
    Plant(
        "minigrad/replaying/lowering.py",
        "last.update({roots.get(v, v): k for v in instruction.used()})",
        "last.update({v: k for v in instruction.used() if v in last})",
        "replay: memory is given away while a view of it is to be read",
        _REPLAY,
    ),
    Plant(
        "minigrad/replaying/step.py",
        "context.recording, context.frozen, threading",
        "context.recording, threading",
        "replay: frozen statistics are no other kind of call",
        _REPLAY,
    ),
    Plant(
        "minigrad/replaying/lowering.py",
        "same = x.array.shape == out.array.shape and x.array.dtype == out.array.dtype",
        "same = x.array.shape == out.array.shape",
        "replay: a result takes over the memory of another dtype",
        _REPLAY,
    ),
    Plant(
        "minigrad/replaying/lowering.py",
        "and x.array.strides == out.array.strides:",
        "and True:",
        "replay: a result takes over the memory of another layout",
        _REPLAY,
    ),
    Plant(
        "minigrad/optim/optimizers.py",
        "value *= 1 - lr * decay",
        "value *= 1 - decay",
        "AdamW's decay without the rate",
        _OPTIM,
    ),
    Plant(
        "minigrad/optim/optimizers.py",
        'd = d / (np.sqrt(s) + group["eps"])',
        'd = d / np.sqrt(s + group["eps"])',
        "RMSprop's eps inside the root",
        _OPTIM,
    ),
    Plant(
        "minigrad/optim/schedules.py",
        "t = min(self.t, self.t_max)",
        "t = self.t",
        "CosineLR goes up again",
        _OPTIM,
    ),
]
