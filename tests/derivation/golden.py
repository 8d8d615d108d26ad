"""The derivations of functions.py as text: each rule in its turn, and the formulas that it changed.

python -m tests.derivation.golden        writes golden.txt anew; look at the difference before you commit it
"""

from pathlib import Path

from minigrad.derivation import derive
from minigrad.derivation.printing import formulas
from tests.derivation.functions import FUNCTIONS

FILE = Path(__file__).with_name("golden.txt")


def told(d):
    """Rules and formulas, without prices: those hang on the machine."""
    lines, writer = [], d.writer()
    for k, step in enumerate(d.steps):
        lines += [f"  ({k}) {step.name}", *[f"      {label} = {writer(root)}" for label, root in formulas(d, k)]]
    return "\n".join([*lines, f"  keeps {', '.join(d.kept)}"])


def text(name):
    f, inputs, assume = FUNCTIONS[name]
    return f"{name}\n{told(derive(f, inputs, assume=assume))}\n"


if __name__ == "__main__":
    FILE.write_text("\n".join(text(name) for name in FUNCTIONS), encoding="utf-8")
