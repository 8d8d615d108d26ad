"""One loop as source: elements and sums over one shape.

Axes that lie end to end in every array become one. What does not depend on the inner axes is computed outside. Sums of
float32 are taken over a few rows in float32 and of those in float64, or all in float64: the digits of the readable
code at the speed of the narrow type.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...program import Instruction, Value
from . import elements, updates
from .grouping import Loop, is_element, reduced_axes

BLOCK = 64  # rows that are summed in float32


class Writer:
    """Writes one loop. `source` knows names and arrays."""

    def __init__(self, source: Any, loop: Loop) -> None:
        self.source, self.loop, self.groups = source, loop, source.groups
        self.mine = {v: i for i in loop.nodes for v in i.outputs}
        axes = [k for k, n in enumerate(loop.shape) if n > 1]
        self.axes: list[list[int]] = [[k] for k in axes]  # each becomes one `for`
        self._seen: set[tuple[int, ...]] = set()  # the steps of every array that is read or written, axis by axis
        self._whole = False  # whether the number of an axis is asked for
        self._begin()
        self._body()  # to see how arrays lie
        if not self._whole:
            self._merge()
        self._begin()

    def _begin(self) -> None:
        self.pre: list[list[str]] = [[] for _ in range(len(self.axes) + 1)]  # at which depth
        self.post: list[list[str]] = [[] for _ in range(len(self.axes) + 1)]
        self.first: list[str] = []
        self.last: list[str] = []
        self.blocked: tuple[list[str], list[str]] = ([], [])  # before and after a few rows
        self.local: dict[Any, tuple[str, int]] = {}

    def _merge(self) -> None:
        shape = self.loop.shape
        merged: list[list[int]] = []
        for (k,) in self.axes:
            if merged:
                before = merged[-1][-1]
                if all(steps[before] == steps[k] * shape[k] for steps in self._seen):
                    merged[-1].append(k)
                    continue
            merged.append([k])
        self.axes = merged

    def sizes(self) -> list[int]:
        """Turns of each `for`."""
        return [math.prod(self.loop.shape[k] for k in group) for group in self.axes]

    def lines(self) -> list[str]:
        """The loop; nothing where nothing of it is stored."""
        if not self._body():
            return []
        sizes, before, after = self.sizes(), *self.blocked
        lines, depth = [*self.first, *self.pre[0]], 0
        if before:
            lines += [f"for b in range(0, {sizes[0]}, {BLOCK}):", *["    " + line for line in before]]
            depth = 1
        for k, n in enumerate(sizes):
            turns = f"b, min(b + {BLOCK}, {n})" if k == 0 and depth else str(n)
            lines.append("    " * (k + depth) + f"for i{k} in range({turns}):")
            lines += ["    " * (k + 1 + depth) + line for line in self.pre[k + 1]]
        for k in range(len(sizes), 0, -1):
            lines += ["    " * (k + depth) + line for line in self.post[k]]
        return [*lines, *["    " + line for line in after], *self.post[0], *self.last]

    def _body(self) -> bool:
        useful = False
        for i in self.loop.nodes:
            if i.kind == "call" and i.name == "class_numbers":
                self._checked(i, i.inputs[1])
                self._store(i.outputs[0], f"i64({self._of(i.inputs[1])[0]})")
                useful = True
            elif updates.only_checks(i):
                (v,) = i.used()
                self._checked(i, v)
                useful = True
            elif not is_element(i):
                self._sum(i)
                useful = True
            elif i.outputs[0] in self.groups.stored:
                self._store(i.outputs[0], self._of(i.outputs[0])[0])
                useful = True
        return useful

    # elements -----------------------------------------------------------------------------------------------

    def _steps(self, v: Value) -> tuple[int, ...]:
        """How many elements apart neighbours along each axis of the loop are; 0 where the array is stretched."""
        array = self.source.array_of(v)
        return self._along(array.shape, [s // array.itemsize for s in array.strides])

    def _along(self, shape: Any, strides: Any) -> tuple[int, ...]:
        steps = [0 if n == 1 else s for n, s in zip(shape, strides, strict=True)]
        steps = [0] * (len(self.loop.shape) - len(steps)) + steps
        found = tuple([s if n > 1 else 0 for s, n in zip(steps, self.loop.shape, strict=True)])
        self._seen.add(found)
        return found

    def _place(self, steps: tuple[int, ...]) -> tuple[str, int]:
        """The index of an element, and how deep in the loop it is known."""
        parts, depth = [], 0
        for k, group in enumerate(self.axes):
            step = steps[group[-1]]
            if step:
                parts.append(f"i{k} * {step}" if step != 1 else f"i{k}")
                depth = k + 1
        return " + ".join(parts) or "0", depth

    def _let(self, key: Any, text: str, depth: int) -> tuple[str, int]:
        name = self.source.fresh("t")
        self.pre[depth].append(f"{name} = {text}")
        self.local[key] = name, depth
        return self.local[key]

    def _of(self, x: Any) -> tuple[str, int]:
        """One element of a value or number, and how deep in the loop it is known."""
        if not isinstance(x, Value):
            return elements.number(x), 0
        if x in self.local:
            return self.local[x]
        i = self.groups.makers.get(x)
        if x in self.mine or (
            i is not None and x not in self.groups.stored and is_element(i) and x not in self.source.groups.roots
        ):
            return self._computed(x, i)
        place, depth = self._place(self._steps(x))
        read = f"{self.source.name(x)}[{place}]"
        return self._let(x, f"{read} != 0" if x.dtype.char == "?" else read, depth)

    def _computed(self, x: Value, i: Instruction) -> tuple[str, int]:
        if i.name == "matmul":
            return self._few_terms(x, i)
        if i.name == "getitem":
            return self._at_pair(x, i)
        if i.name == "one_hot":
            return self._one_hot(x, i)
        if i.name == "reshape":
            return self._reshaped(x, i)
        given = [self._of(v) for v in i.inputs if not (i.name == "first_row" and isinstance(v, tuple))]
        dtypes = [v.dtype if isinstance(v, Value) else None for v in i.inputs][: len(given)]
        before, text = elements.text(i, [name for name, _ in given], dtypes)
        depth = max(d for _, d in given)
        if before:
            text = text.format(e=self._let((x, "e"), before, depth)[0])
        return self._let(x, text, depth)

    def _few_terms(self, x: Value, i: Instruction) -> tuple[str, int]:
        a, b = (self.source.array_of(v) for v in i.inputs)
        (m, k), n = a.shape, b.shape[1]
        down, along = (s // a.itemsize for s in a.strides)
        over, across = (s // b.itemsize for s in b.strides)
        left = self._place(self._along((m, n), (down, 0)))
        right = self._place(self._along((m, n), (0, across)))
        terms = []
        for q in range(k):
            u = self._let((x, q), f"{self.source.name(i.inputs[0])}[{left[0]} + {q * along}]", left[1])[0]
            w = self._let((x, q, "w"), f"{self.source.name(i.inputs[1])}[{right[0]} + {q * over}]", right[1])[0]
            terms.append(f"{u} * {w}")
        return self._let(x, " + ".join(terms), max(left[1], right[1]))

    def _reshaped(self, x: Value, i: Instruction) -> tuple[str, int]:
        array = self.source.array_of(i.inputs[0])
        strides = iter([s // array.itemsize for s, n in zip(array.strides, array.shape, strict=True) if n > 1])
        place, depth = self._place(self._along(x.shape, [next(strides) if n > 1 else 0 for n in x.shape]))
        return self._let(x, f"{self.source.name(i.inputs[0])}[{place}]", depth)

    def _index(self, axis: int) -> tuple[str, int]:
        """The number of an axis of the loop, counted from the end."""
        self._whole = True
        k = len(self.loop.shape) + axis
        found = [q for q, group in enumerate(self.axes) if k in group]
        return (f"i{found[0]}", found[0] + 1) if found else ("0", 0)

    def _at_pair(self, x: Value, i: Instruction) -> tuple[str, int]:
        table = i.inputs[0]
        array, terms, deepest = self.source.array_of(table), [], 0
        for axis, v in enumerate(i.params["index"]):
            at, depth = self._of(v)
            if not self._in_range(v, array.shape[axis]):
                at = self._counted(x, at, array.shape[axis], depth)
            terms.append(f"{at} * {array.strides[axis] // array.itemsize}")
            deepest = max(deepest, depth)
        return self._let(x, f"{self.source.name(table)}[{' + '.join(terms)}]", deepest)

    def _in_range(self, v: Value, count: int) -> bool:
        """Whether what makes the numbers of an axis has looked at them already."""
        maker = self.groups.makers.get(v)
        return maker is not None and maker.name == "class_numbers" and int(maker.inputs[2]) <= count

    def _counted(self, x: Value, at: str, count: int, depth: int) -> str:
        """The number of an axis, counted from its end where it is negative; the check fails where there is none."""
        name = self.source.fresh("bad")
        self.first.append(f"{name} = False")
        at = self._let((x, at), f"i64({at}) + {count} if {at} < 0 else i64({at})", depth)[0]
        self.pre[depth].append(f"{name} = {name} | (({at} < 0) | ({at} >= {count}))")
        self.last += [f"if {name}:", "    return 1"]
        return self._let((x, at), f"{at} if ({at} >= 0) and ({at} < {count}) else 0", depth)[0]

    def _one_hot(self, x: Value, i: Instruction) -> tuple[str, int]:
        t = elements.of(x.dtype)
        labels = self.source.array_of(i.inputs[0])
        column = self._index(-1)
        place, depth = self._place(self._along((*labels.shape, 1), (labels.strides[0] // labels.itemsize, 0)))
        label = self._let((x, "label"), f"{self.source.name(i.inputs[0])}[{place}]", depth)
        return self._let(x, f"{t}({label[0]} == {column[0]})", max(column[1], depth))

    def _store(self, v: Value, text: str) -> None:
        place = self._place(self._steps(v))[0]
        text = f"u8({text})" if v.dtype.char == "?" else text
        self.pre[len(self.axes)].append(f"{self.source.name(v)}[{place}] = {text}")

    def _checked(self, i: Instruction, v: Value) -> None:
        name = self.source.fresh("bad")
        self.first.append(f"{name} = False")
        self.pre[len(self.axes)].append(f"{name} = {name} | {updates.wrong(i, self._of(v)[0])}")
        self.last += [f"if {name}:", "    return 1"]

    # sums ---------------------------------------------------------------------------------------------------

    def _sum(self, i: Instruction) -> None:
        x, out = i.inputs[0], i.outputs[0]
        element, t, end = self._of(x)[0], elements.of(x.dtype), len(self.axes)
        array, gone = self.source.array_of(out), reduced_axes(i)
        count, size = math.prod(x.shape[k] for k in gone), array.size
        shape = [1 if k in gone else n for k, n in enumerate(x.shape)]
        compact = [math.prod(shape[k + 1 :]) for k in range(len(shape))]  # its result has no gaps
        steps = self._along(shape, compact)
        place, depth = self._place(steps)
        inside = [k for k, group in enumerate(self.axes) if steps[group[-1]]]
        total, name = self.source.name(out), self.source.fresh("s")
        largest = i.name == "largest"
        start, result = "0.0", f"{t}({{0}} / {count})" if i.name == "mean" else f"{t}({{0}})"
        if largest:  # NaN is looked over: what is subtracted from it is NaN all the same
            start, result = f"-{t}(np.inf)", f"{t}(0) if {{0}} - {{0}} != {t}(0) else {{0}}"
        if inside == list(range(depth)):  # the axes that it keeps are the outer ones: one number
            self.pre[depth].append(f"{name} = {start}")
            more = f"{element} if {element} > {name} else {name}" if largest else f"plus({name}, f64({element}))"
            self.pre[end].append(f"{name} = {more}")
            self.post[depth].append(f"{total}[{place}] = {result.format(name)}")
            return
        straight = largest or t == "f64" or count <= BLOCK  # summed where the result is to be
        wide = few = total if straight else self.source.scratch(size, np.float64)
        self.first += [f"for k in range({size}):", f"    {wide}[k] = {start}"]
        if not straight and 0 not in inside and self.sizes()[0] > BLOCK:
            few = self.source.scratch(size, np.float32)
            self.blocked[0].extend([f"for k in range({size}):", f"    {few}[k] = f32(0)"])
            self.blocked[1].extend([f"for k in range({size}):", f"    {wide}[k] += {few}[k]"])
        now = f"{few}[{place}]"
        more = f"{element} if {element} > {now} else {now}" if largest else f"{now} + {element}"
        self.pre[end].append(f"{now} = {more}")
        if not straight or largest or i.name == "mean":
            self.last += [f"for k in range({size}):", f"    {total}[k] = {result.format(f'{wide}[k]')}"]
