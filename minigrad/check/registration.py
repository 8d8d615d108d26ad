"""The check that `primitive(..., check_against=composed, example=inputs)` asks for, when the rules are given."""

from __future__ import annotations

from ..extend import Extension
from .arguments import as_sequence
from .comparison import compare
from .gradient_check import gradcheck


def check_registration(op: Extension) -> None:
    """Raise ValueError with the report if the primitive and the function it is checked against differ.

    First against numerical derivatives, which locate the mistake and name its kind; then the two against each other,
    values, gradients and Hessian-vector products.
    """
    composed = op.check_against
    if composed is None:
        return
    inputs = as_sequence(op.example)
    located = gradcheck(op.call, inputs, order=2)
    if not located:
        raise ValueError(f"{op.name} has a wrong rule, and was not registered\n{located}")
    labels = (op.name, getattr(composed, "__name__", "the other"))
    compared = compare(op.call, composed, inputs, order=2, labels=labels)
    if not compared:
        raise ValueError(f"{op.name} is not what it is checked against, and was not registered\n{compared}")
