"""gradcheck: the derivatives that a graph gives against those that differences of values give, located."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._support.signatures import Data
from ..core.context import using
from .arguments import Function, array_of, as_sequence, leaves_of, name_of, names_of, overflowed, value_of
from .examining import Examination, Found, gradients_with_graph
from .jacobian import Element, of_tensors
from .numerical import FloatArray
from .picture import squares, text
from .table import Report, Table, digits, short

SHOWN = 5  # elements in a report, unless more are wrong


@dataclass(frozen=True, repr=False)
class Gradcheck(Report):
    """What `gradcheck` found. True if nothing is wrong; opens with the verdict and the place.

    worst: the entries that are most off. problems: what else is wrong. notes: what was not judged. reasons: what kind
    of mistake the wrong entries look like. beside: the arguments whose derivative is right at the inputs, and wrong at
    a point near by.
    """

    name: str
    mode: str
    order: int
    checked: int
    worst: tuple[Element, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    reasons: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    zeros: int = 0  # derivatives that are zero, judged absolutely
    off: tuple[tuple[str, FloatArray], ...] = ()  # |analytic - numeric| of whole Jacobians, where no reason fits

    def __bool__(self) -> bool:
        return not self.problems and not self.wrong

    @property
    def wrong(self) -> list[Element]:
        """The wrong entries, the one that is most off first."""
        return [e for e in self.worst if e.wrong]

    def _head(self) -> str:
        if self:
            return f"gradcheck of {self.name}: right to order {self.order} ({self.checked} derivatives equal)"
        if self.beside:
            return f"gradcheck of {self.name}: right here, wrong beside it: {', '.join(self.beside)}"
        if not self.wrong:
            judged = any(not e.skipped for e in self.worst) or not self.worst
            return f"gradcheck of {self.name}: {'not right' if judged else 'not judged'}"
        first = self.wrong[0]
        place = f"{first.argument}{_place(first.index)} of y{_place(first.output)}"
        return f"gradcheck of {self.name}: WRONG at order {min(e.order for e in self.wrong)}, most at {place}"

    def _remarks(self) -> list[str]:
        said = {"problem": self.problems, "likely": self.reasons, "note": self.notes}
        told = [f"{kind}: {line}" for kind, lines in said.items() for line in lines]
        return told + (
            [f"the true gradient is zero in {self.zeros} places, and so is the rule's"] if self.zeros else []
        )

    def _tables(self) -> list[Table]:
        wrong = [k for k, e in enumerate(self.worst) if e.wrong]
        shown = self.worst[: 3 if self.off or not wrong else SHOWN]
        second = any(e.order == 2 for e in shown)
        rows = [
            [
                e.argument + _place(e.index) + (f" (order {e.order})" if second else ""),
                "y" + _place(e.output),
                *("0" if e.zero else digits(v) for v in (e.analytic, e.numeric)),
                "0" if e.zero else short(e.difference),
                e.verdict,
            ]
            for e in shown
        ]
        header = ["argument", "output", "analytic", "numeric", "off by", "verdict"]
        return [Table(header, rows, text=(0, 1, 5), wrong=wrong)] if rows else []

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *(f"\n{text(*each)}" for each in self.off)])

    def _html(self) -> str:
        return super()._html() + "".join(squares(*each) for each in self.off)


def _place(index: tuple[int, ...] | None) -> str:
    return " projected" if index is None else f"[{', '.join(map(str, index))}]" if index else ""


def report_of(name: str, found: Found, order: int) -> Gradcheck:
    """The report on one examination."""
    count = sum(e.wrong for e in found.elements)
    found.elements.sort(
        key=lambda e: (bool(e.skipped), e.zero, -(e.difference / e.allowed if e.allowed else e.difference))
    )
    return Gradcheck(
        name,
        " and ".join(sorted(found.modes)),
        order,
        len(found.elements),
        tuple(found.elements[: max(SHOWN, count)]),
        tuple(found.problems),
        tuple(found.notes),
        tuple(found.reasons),
        tuple(found.beside),
        sum(e.zero for e in found.elements),
        tuple(found.pictures),
    )


@np.errstate(all="ignore")  # differences may leave the domain of f; what is not finite there is said
@using(frozen=True)  # looking changes nothing: running statistics stay
def gradcheck(
    f: Function,
    inputs: Data,
    *,
    order: int = 1,
    mode: str | None = None,
    rtol: float = 1e-6,
    atol: float = 1e-9,
    seed: int = 0,
    move: bool = True,
) -> Gradcheck:
    """Check the derivatives of f at `inputs`, and at a point near by, against differences of its values.

    f(*inputs) returns a Tensor; inputs are one array or Tensor of float64, or a list of them. The gradient is taken
    on arrays, as backward() does, and once on Tensors, as create_graph=True does: the two must be equal. order=2 also
    checks the derivatives of the gradients (for one random cotangent, which is checked as an argument too, as
    `cotangent`) against differences of the gradients on arrays, and whether mixed second derivatives agree: the
    derivative of dx by w is that of dw by x.

    A second point is looked at because special values hide what is missing: gamma = 1, t = 1, W = I, beta = 0. What
    is right at `inputs` and wrong there is "right here, wrong beside it". Numbers that f's primitives take as
    parameters are moved as well. move=False leaves the second point out, for a function that holds on a surface only,
    such as one of a target that sums to 1.

    mode "full" compares every entry of the Jacobian, "fast" one random projection per argument; None takes the full
    one where it has at most 200,000 entries. A projection that fails in fast mode is looked into in full.
    Steps are chosen by a sweep; the differences use five points, so that both kinks of f and rounding are known.
    An entry is equal where |analytic - numeric| <= rtol * |numeric| + atol * (largest derivative of that output) +
    what the difference may be off by + what moving the inputs by one bit changes, away from kinks: so a gradient
    that is truly zero is judged absolutely.

    f is first run at a point near by (a rule that remembers its first call shows), then twice at `inputs`.
    Inputs are copied and never changed. Raises TypeError for float32, integer or overlapping inputs. The report
    says so where f gives different values when called again, or where its backward does, and where a primitive's
    `save` draws, counts or changes something.

    >>> import numpy as np, minigrad as mg
    >>> bool(gradcheck(mg.tanh, np.array([0.3, -1.2])))
    True
    """
    if order not in (1, 2):
        raise ValueError(f"gradcheck: order={order!r} must be 1 or 2")
    if mode not in (None, "full", "fast"):
        raise ValueError(f"gradcheck: mode={mode!r} must be 'full', 'fast' or None")
    given = as_sequence(inputs)
    names = names_of(f, given)
    arrays = [_accepted(x, name) for x, name in zip(given, names, strict=True)]
    for k, x in enumerate(given):
        if any(np.shares_memory(array_of(x), array_of(other)) for other in given[:k]):
            raise TypeError(f"gradcheck: {names[k]} shares memory with another input; pass {names[k]}.copy()")
    twice, made = gradients_with_graph(f), lambda point: value_of(f, leaves_of(point))
    how = Examination(of_tensors(f), arrays, names, twice, made, order, mode, rtol, atol, seed, move)
    found = how.run()
    found.problems += filter(None, [overflowed(f, arrays)])
    return report_of(name_of(f), found, order)


def _accepted(x: Any, name: str) -> FloatArray:
    a = array_of(x)
    if a.dtype != np.float64:
        raise TypeError(
            f"gradcheck: {name} is {a.dtype}; differences of values need float64, so pass {name}.astype(float) "
            "(and close over integer arguments: lambda x: f(x, labels))"
        )
    if a.size and any(stride == 0 and n > 1 for stride, n in zip(a.strides, a.shape, strict=True)):
        raise TypeError(f"gradcheck: elements of {name} share memory (a broadcast view); pass {name}.copy()")
    if not np.isfinite(a).all():
        raise ValueError(f"gradcheck: {name} holds NaN or infinity; derivatives are checked at finite points")
    return a.copy()
