"""Mistakes in replay: what is recorded, what is watched, whose memory is whose, what is undone."""

from __future__ import annotations

from .planting import mistakes

_MEMORY = ("tests/replaying/test_memory.py", "tests/replaying/test_primitives.py", "tests/replaying/test_replay.py")
_GUARDS = (
    "tests/replaying/test_guards.py",
    "tests/replaying/test_never_stale.py",
    "tests/replaying/test_refusals.py",
    "tests/replaying/test_proofs.py",
)
_STEPS = (
    "tests/replaying/test_replay.py",
    "tests/replaying/test_guards.py",
    "tests/replaying/test_proofs.py",
    "tests/replaying/test_refusals.py",
    "tests/replaying/test_memory.py",
)
_HANDED = ("tests/replaying/test_handed_over.py", *_MEMORY)
_FUSION = ("tests/replaying/test_fusion.py",)

PLANTS = [
    *mistakes(
        "minigrad/replaying/lowering.py",
        _MEMORY,
        (
            "if x in self._alive and self.lives[x][1] == k and alone",
            "if x in self._alive and alone",
            "in place of what is still read",
        ),
        (
            "alone = all(other is x or self.roots.get(other, other) is not x for other in read)",
            "alone = True",
            "in place beside a view of the same memory",
            "NumPy's elementwise functions copy an operand that overlaps with their result; the check saves that copy",
        ),
        (
            'if instruction.kind != "op" or op is None or not op.builtin or not (into and into.elementwise(op.name)):',
            'if instruction.kind != "op" or op is None or not into:',
            "every op works in place",
        ),
        (
            "if value in self._alive and self.lives[value][1] <= k:",
            "if value in self._alive and self.lives[value][1] <= k + 1:",
            "memory is given away one instruction early",
        ),
        (
            "shape = [1 if stride == 0 else n for n, stride in zip(a.shape, a.strides, strict=True)]",
            "pass",
            "what was one number seen many times is written out",
        ),
        (
            "order = sorted(range(a.ndim), key=lambda k: (-a.strides[k], k))",
            "order = list(range(a.ndim))",
            "results lose the layout that they had",
        ),
        (
            "if len(given) < sum(len(params) for params, _ in layout):\n            return None",
            "",
            "an update where some parameters have no gradient",
        ),
        (
            "leaf._grad = given.get(leaf)",
            "leaf._grad = given.get(leaf, leaf._grad)",
            "an old gradient is stepped along",
        ),
        ("np.copyto(place, gradient)", "pass", "gradients that are made elsewhere do not reach the optimizer"),
        (
            "if free and value.array.strides == place.strides:",
            "if free:",
            "a gradient in another layout is made in the vector",
        ),
        ("_QUIET if backward else {}", "{}", "backward warns where a walk is quiet"),
        (
            "            place[...] = array\n\n",
            "            pass\n\n",
            "arguments are those of the recording",
        ),
        (
            'replaced = getattr(op, "stands_for", None) != (op.rules, op.joint)',
            "replaced = False",
            "a kernel stands in for other rules",
        ),
        ("if fast() is None:", "if False:", "a kernel that does not fit leaves what was there"),
        ("if out.shape != np.shape(result):", "if False:", "one number seen many times is not written once"),
    ),
    *mistakes(
        "minigrad/replaying/entry.py",
        (*_STEPS, *_FUSION),
        ("        bound.leave()\n", "", "`.grad` is not left"),
        ("array.copy() if copy and value not in kept else array", "array", "what is returned is overwritten"),
        ("copy, bound.handed_over)", "copy)", "large results are copied", "a copy is as good"),
        (
            "            recorder.refuse_changes()\n            self._refuse_difference(self.first",
            "            self._refuse_difference(self.first",
            "what the step changes is not looked at when it is recorded",
        ),
        (
            "            self._refuse_difference(self.first, program)",
            "            pass",
            "two recordings are not compared",
        ),
        (
            "        finally:\n            before.restore()",
            "        finally:\n            pass",
            "what a proof did is done twice",
        ),
        (
            "        if after is None:\n            raise",
            "        if False:\n            raise",
            "a replay that fails where the step does not",
        ),
        (
            "strict=True), *after.compared(before.again())]",
            "strict=True)]",
            "a proof does not look at what was written",
        ),
        (
            "pairs = [*zip(names, ours, theirs, strict=True), *after",
            "pairs = [*after",
            "a proof does not look at results",
        ),
        ("a.tobytes() == b.tobytes()", "np.allclose(a, b, equal_nan=True)", "a proof forgives rounding"),
        ('if getattr(leaf, "_grad", None) is not None:', "if False:", "gradients carried from one call to the next"),
        ('    "fusion": with_fusions,\n', "", "fuse= does nothing"),
    ),
    *mistakes(
        "minigrad/replaying/step.py",
        _STEPS,
        ("(*kind, self._modes())\n        known", "kind\n        known", "training and eval() share a program"),
        (
            "_signature(args, named), context.recording,",
            "_signature(args, named), True,",
            "no_grad is no other kind of call",
            "inside no_grad a step records no graph; backward() in it raises in both, and what is returned has none",
        ),
        (
            "last.bound is not None and not last.guards.broken()",
            "last.bound is not None",
            "what stands around is not looked at",
        ),
        (
            "return x.shape, x.dtype, x.flags.c_contiguous or x.strides",
            "return x.shape, x.flags.c_contiguous or x.strides",
            "another dtype",
        ),
        (
            "return x.shape, x.dtype, x.flags.c_contiguous or x.strides",
            "return x.dtype, x.flags.c_contiguous or x.strides",
            "another shape",
        ),
        ("return type(x), x\n", "return type(x)\n", "another number, text or None"),
        ("return float, repr(x)", "return float, x", "-0.0 for 0.0"),
        ("if context.observers:", "if False:", "a step inside another recording"),
        ("len(self._used) <= MOST and size <= MEMORY", "True", "programs are kept for ever"),
        (
            'self._refusal = f"{error} (found in an earlier call; this one did nothing)"',
            "pass",
            "a refused step is tried again",
        ),
        ("threading.get_ident())", "0)", "threads share a program's memory"),
        ("entry.next_proof *= 4", "entry.next_proof *= 10**9", "proved once and never again"),
    ),
    *mistakes(
        "minigrad/replaying/guards.py",
        (*_GUARDS, "tests/replaying/test_ways.py"),
        (
            "if tensor._array is not array or tensor._needs is not needs:",
            "if tensor._array is not array:",
            "requires_grad that changed",
        ),
        (
            "changed = (a for a, shape, before in self._arrays if a.shape != shape or a.tobytes() != before)",
            "changed = iter(())",
            "small arrays that were written to",
        ),
        ("isinstance(a, VALUES) and repr(a) == repr(b))", "isinstance(a, VALUES) and a == b)", "0.0 is -0.0"),
        ("if tensor._grad is not grad:", "if False:", "a gradient that is read was replaced"),
    ),
    *mistakes(
        "minigrad/replaying/reaching.py",
        (*_GUARDS, "tests/replaying/test_ways.py", "tests/replaying/test_own_optimizers.py"),
        ("DEPTH = 4", "DEPTH = 1", "only what is near is looked into"),
        (
            'yield Holder(f"the class of {name}", lambda: (type(x), getattr(x, "__dict__", None)))',
            "pass",
            "a class that was exchanged",
        ),
        ("further = depth + (not _beside(x, value))", "further = depth + 1", "functions of one file are further away"),
        ("            holder.owner = owner\n", "", "what an optimizer keeps counts as changed by the step"),
        (
            'yield Holder(f"the methods or groups of {what}"',
            'Holder(f"the methods or groups of {what}"',
            "groups changed",
        ),
        ("texts.add(what)", "pass", "getattr by a text"),
        (
            '        yield Holder(f"a default of {x.__name__}", functools.partial(_code_and_defaults, x))',
            "        pass",
            "defaults and code of functions",
        ),
        ('yield Holder(f"the variable {name}", functools.partial(_content, cell))', "pass", "variables of closures"),
        (
            "if isinstance(x, GENERATORS):\n            generators[id(x)] = x",
            "if False:\n            pass",
            "generators around the step",
        ),
        (
            'yield Holder(f"the iterator {what}", functools.partial(progress, x), inner=True)',
            "pass",
            "iterators that move on",
        ),
        (
            'yield Holder(f"{what}.groups", functools.partial(options, x), inner=True, owner=x)',
            "pass",
            "an optimizer's rate changed inside",
        ),
    ),
    *mistakes(
        "minigrad/replaying/state.py",
        (
            "tests/replaying/test_proofs.py",
            "tests/replaying/test_never_stale.py",
            "tests/replaying/test_fit.py",
            "tests/replaying/test_own_optimizers.py",
        ),
        ("            array[...] = self._copies[key]", "            pass", "arrays are not put back"),
        ("            leaf._grad = grad", "            pass", "gradients are not put back"),
        ('x.steps[:] = self._attributes[key]["steps"]', "pass", "counts of steps are not put back"),
        ("            put_state(x, self._states[key])", "            pass", "generators are not put back"),
        (
            "for x, before in reversed(self._contents.values()):",
            "for x, before in ():",
            "what an optimizer keeps is not put back",
        ),
    ),
    *mistakes(
        "minigrad/replaying/fusion.py",
        _FUSION,
        ("if (set(pattern.gone) - {pattern.out}) & keep or not", "if not", "what is asked for is fused away"),
        (
            "if _proved(pattern.out, match):",
            "if True:",
            "a replacement is not proved",
        ),
        (
            "return np.where(labels < 0, labels + classes, labels)",
            "return np.abs(labels)",
            "labels counted from the end",
        ),
    ),
    *mistakes(
        "minigrad/program/patterns.py",
        (*_FUSION, "tests/program"),
        ("    if not _close(c * n, 1.0):\n", "    if False:\n", "a variance by N - 1 is taken for batch norm's"),
        ("if not np.array_equal(numbers, range(log_p.shape[0])):", "if False:", "rows in another order"),
        ("elif exponent != -0.5:", "elif False:", "divided by the variance"),
        ("elif eps is None or not 0 <= eps < inf:", "elif False:", "no eps, or one below 0"),
        ("elif not _close(times, 1.0):", "elif False:", "twice the mean is subtracted"),
        ("if not _close(above[x], 1.0):", "if False:", "x is subtracted from its mean"),
        ("if tuple(sorted(over)) != axes:", "if False:", "mean and variance over other axes"),
        ("    if not fits(kind):\n", "    if False:\n", "a gamma of no shape that fits"),
    ),
    *mistakes(
        "minigrad/replaying/lowering.py",
        _HANDED,
        (
            "            self._renew()\n        for place",
            "            pass\n        for place",
            "results share memory",
        ),
        (
            "            leaf._grad = array\n",
            "            leaf._grad = leaf._leaf(array)\n",
            "a gradient is overwritten",
        ),
        ("for v in large - elsewhere if", "for v in large if", "a result moves, and its views do not"),
        ("return (lambda: call()()) if moves else call()", "return call()", "a result is written to its first memory"),
    ),
    *mistakes(
        "minigrad/replaying/compiled/bound.py",
        (*_HANDED, "tests/replaying/test_compiled.py"),
        ("        bound.aim(self.source)\n", "", "new code reads an old batch"),
        ("        bound.copy_in()\n", "", "Python reads an old batch"),
        (
            "            if v not in arrays and v in groups.makers and v not in groups.stored:",
            "            if False:",
            "what another function makes is not made again",
        ),
    ),
]
