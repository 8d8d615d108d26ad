"""Trusting a gradient: numerical derivatives, a located gradient check, two implementations compared.

    mg.check.gradcheck(f, inputs)           analytic against numerical derivatives, element by element
    mg.check.blame(y)                       every op of a graph on its own: which rule is wrong
    mg.check.backward(fwd, bwd, inputs)     anybody's (out, cache) pair, in plain NumPy
    mg.check.compare(f, g, inputs)          two implementations: values, gradients, Hessian-vector products, cost
    mg.check.explain_zeros(y)               why gradients are zero or tiny
    mg.check.precision(f, inputs)           the same in float32 and float16: where digits are lost
    mg.check.what_if(y, node, change)       the real change of y beside gradient * change
    mg.check.numerical_grad, rel_error      the two helpers that every course hands out

Reports are true where all is well and print as tables.
"""

from __future__ import annotations

from .blaming import Blame, blame
from .changing import WhatIf, what_if
from .comparison import Comparison, compare
from .comparison import check_registration as check_registration
from .costs import Cost, cost
from .gradient_check import Gradcheck, gradcheck
from .numerical import numerical_grad, rel_error
from .pairs import backward
from .precisions import Precision, precision
from .zeros import ZeroReport, explain_zeros

__all__ = [
    "Blame",
    "Comparison",
    "Cost",
    "Gradcheck",
    "Precision",
    "WhatIf",
    "ZeroReport",
    "backward",
    "blame",
    "compare",
    "cost",
    "explain_zeros",
    "gradcheck",
    "numerical_grad",
    "precision",
    "rel_error",
    "what_if",
]
