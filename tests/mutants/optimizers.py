"""Mistakes in optimizers, the vectors that they work on, schedules and clipping."""

from __future__ import annotations

from .planting import mistakes

_ALL = ("tests/recorded", "tests/optim", "tests/training/test_given.py")
_STATE = ("tests/optim", "tests/training/test_given.py", "tests/training/test_checkpoint.py")

PLANTS = [
    *mistakes(
        "minigrad/optim/optimizers.py",
        _ALL,
        (
            "d = g + decay * w if decay else g\n            if momentum",
            "d = g\n            if momentum",
            "SGD without decay",
        ),
        (
            "                v *= momentum\n                v += d\n                d = d + momentum",
            "                v *= momentum\n                v += (1 - momentum) * d\n                d = d + momentum",
            "SGD: momentum with a share of the gradient",
        ),
        ('d + momentum * v if group["nesterov"] else v', "v", "SGD: nesterov is not looked at"),
        (
            'd + momentum * v if group["nesterov"] else v',
            'd + v if group["nesterov"] else v',
            "nesterov without momentum",
        ),
        (
            "            s *= alpha\n            s += (1 - alpha) * d * d",
            "            s *= alpha\n            s += d * d",
            "RMSprop: the whole square",
        ),
        (
            "            s += (1 - alpha) * d * d",
            "            s += (1 - alpha) * g * g",
            "RMSprop: decay is not in the square",
        ),
        ('d / (np.sqrt(s) + group["eps"])', "d / (np.sqrt(s) + 1e-8)", "RMSprop: eps is not looked at"),
        ('d / (np.sqrt(s) + group["eps"])', 'g / (np.sqrt(s) + group["eps"])', "RMSprop: decay is in the square alone"),
        (
            "                v += d\n                d = v\n            w -= lr * d",
            "                v += lr * d\n                d = v / lr\n            w -= lr * d",
            "RMSprop: the rate inside the momentum",
        ),
        (
            "            value *= 1 - lr * decay\n            decay = 0.0",
            "            value *= 1 - lr * decay",
            "AdamW decays twice",
        ),
        ("value *= 1 - lr * decay", "value *= 1 + lr * decay", "AdamW grows"),
        (
            "lr, betas, eps, step)\n            return",
            "lr, betas, 1e-8, step)\n            return",
            "Adam: eps is not looked at",
        ),
        ("g + decay * w if decay else g, m, v", "g, m, v", "Adam without decay"),
        ("weight_decay: float = 1e-2,", "weight_decay: float = 0.0,", "AdamW's default decay"),
        (
            "        lr: float = 1e-2,\n        alpha",
            "        lr: float = 1e-3,\n        alpha",
            "RMSprop's default rate",
        ),
        ("factor = max_norm / (norm + 1e-6)", "factor = max_norm / norm", "clipping without 1e-6"),
        (
            "if factor < 1 else (norm, *gradients)",
            "if True else (norm, *gradients)",
            "clipping scales small gradients up",
        ),
        ("norm = largest * math.sqrt(", "norm = math.sqrt(", "the norm is of the scaled gradients"),
        (
            "np.square(gradient / largest, dtype=float).sum()) for gradient in gradients)",
            "np.square(gradient / largest, dtype=float).sum()) for gradient in gradients[:1])",
            "the norm of the first gradient alone",
        ),
    ),
    *mistakes(
        "minigrad/optim/optimizers.py",
        _STATE,
        ('flat.steps[k] = int(given[f"param.{number}.step"])', "flat.steps[k] = 0", "a loaded state begins at step 0"),
        ('vector[flat.of(k)] = given[f"param.{number}.{name}"].ravel()', "pass", "a loaded state leaves the averages"),
        (
            "group[name] = tuple(value) if isinstance(value, list) else value",
            "pass",
            "a loaded state leaves the options",
        ),
        (
            "vector[flat.of(k)].reshape(flat.params[k].shape).copy()",
            "vector[flat.of(k)].reshape(flat.params[k].shape)",
            "a state is a view of the optimizer's memory",
        ),
        (
            "return sorted(places, key=itemgetter(0))",
            "return places",
            "the order of a state is that of the memory",
            "a state is a mapping: names are what counts, and tests read it by name",
        ),
        ('first += len(group["params"])', "first += 1", "numbers of the second group begin too early"),
        (
            'if not isinstance(group, Mapping) or "params" not in group:',
            'if "params" not in group:',
            "a Tensor among groups is not told apart",
        ),
        ("if tensor in seen:", "if False:", "a parameter given twice"),
        (
            "self.groups.append({**defaults, **group, ",
            "self.groups.append({**group, **defaults, ",
            "defaults stand above what a group says",
        ),
        (
            'given = [p for group in self.groups for p in group["params"] if getattr(p, "_grad", None) is not None]',
            'given = [p for group in self.groups[:1] for p in group["params"] if getattr(p, "_grad", None) is not None]',
            "an observer is told of the first group alone",
        ),
        (
            'if type(options["lr"]) is not float or not 0 <= options["lr"] < math.inf:',
            "if False:",
            "a rate that is none",
        ),
        ("(a < 0).any()", "(a > 1e9).any()", "negative counts are taken from a state"),
    ),
    *mistakes(
        "minigrad/optim/flat.py",
        _ALL,
        (
            "self.steps[start:stop] = [self.steps[start] + 1] * (stop - start)",
            "self.steps[start:stop] = [self.steps[0] + 1] * (stop - start)",
            "counts of steps follow the first parameter",
        ),
        ("and steps.count(steps[0]) == n", "", "parameters with other counts of steps are updated as one"),
        (
            "self.steps[start] + 1\n            for k in away",
            "self.steps[0] + 1\n            for k in away",
            "the step's number is the first parameter's",
        ),
        ("array[...] = self.value[self.of(k)].reshape(array.shape)", "pass", "parameters that live elsewhere stay"),
        ("self.value[self.of(k)] = self.params[k]._array.ravel()", "pass", "what others wrote to a parameter is lost"),
        (
            "return flat.copy() if np.may_share_memory(flat, self.value) else flat",
            "return flat",
            "a gradient in the parameter's memory is written while it is read",
        ),
        ("written(*self.params[start:stop])", "pass", "a step does not count as a write"),
        (
            "written(*self.params[start:stop])",
            "written(*self.params)",
            "parameters without a gradient count as written",
        ),
        (
            "if _count is None or not tensor._array.size or _holders(tensor) > _ALONE:",
            "if _count is None or not tensor._array.size:",
            "an array that others look at is moved",
        ),
        (
            "return flags.owndata or (in_a_vector and _holders_of_base(tensor) <= _ALONE_BASE)",
            "return flags.owndata or in_a_vector",
            "the memory of a detached twin is moved",
        ),
        (
            "size < LARGE)\n",
            "size < 0)\n",
            "large parameters are not laid out first",
            "where they lie changes no result; it is for speed",
        ),
        (
            "for k in range(0, n, BLOCK)]",
            "for k in range(0, n - BLOCK + 1, BLOCK)]",
            "the last block of a large vector stays",
        ),
        (
            "still = [] if everything else [",
            "still = [] if everything or len(self.params) > 2 else [",
            "parameters without a gradient are updated too",
        ),
    ),
    *mistakes(
        "minigrad/optim/schedules.py",
        _ALL,
        ("** (self.t // self.step_size)", "** (self.t / self.step_size)", "StepLR falls all the time"),
        ("** (self.t // self.step_size)", "** ((self.t + 1) // self.step_size)", "StepLR is one step early"),
        (
            "(1 + math.cos(math.pi * t / self.t_max)) / 2",
            "(1 + math.cos(math.pi * t / (self.t_max + 1))) / 2",
            "CosineLR is one step late",
        ),
        ("return self.lr_min + (start - self.lr_min)", "return (start - self.lr_min)", "CosineLR ends at 0"),
        ("start * self.factors[group](self.t)", "start * self.factors[0](self.t)", "LambdaLR: one function for all"),
        ("value < self.best * (1 - self.threshold)", "value < self.best", "PlateauLR without a threshold"),
        ("if self.bad > self.patience:", "if self.bad >= self.patience:", "PlateauLR one step early"),
        (
            "self.bad, self.cuts = 0, self.cuts + 1",
            "self.cuts = self.cuts + 1",
            "PlateauLR has no patience the second time",
        ),
        (
            "return max(float(start * self.factor**self.cuts), self.lr_min)",
            "return float(start * self.factor**self.cuts)",
            "PlateauLR falls below its least rate",
        ),
        (
            'group["lr"] = self.rate(start[k], k)',
            'group["lr"] = self.rate(start[0], k)',
            "all groups get the first one's rate",
        ),
        (
            'self._set(int(given["t"]), given["start"].tolist())',
            'self._set(int(given["t"]), self.start)',
            "a loaded schedule keeps its own start",
        ),
        (
            'self.best, self.bad, self.cuts = float(given["best"]), int(given["bad"]), int(given["cuts"])',
            'self.best, self.cuts = float(given["best"]), int(given["cuts"])',
            "a loaded PlateauLR forgets how long it waited",
        ),
    ),
]
