"""From the recorded backward of a composed graph to the analytic formula, by small named steps that are each checked.

`derive(f, inputs)` gives a Derivation: text, LaTeX, and the fused primitive that the formula makes.
"""

from .axes import NotDerivable
from .derivation import Derivation, derive
from .search import Step, StepRefused

__all__ = ["Derivation", "NotDerivable", "Step", "StepRefused", "derive"]
