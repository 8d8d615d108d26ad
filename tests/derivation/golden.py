"""The derivations of functions.py as text: each rule in its turn, and the formulas that it changed.

    python -m tests.derivation.golden        writes golden.txt and the block of docs/derivation.md anew

Look at the difference before you commit it.
"""

import re
from pathlib import Path

from minigrad.derivation import derive
from minigrad.derivation.printing import formulas
from tests.derivation.functions import FUNCTIONS

FILE = Path(__file__).with_name("golden.txt")
PAGE = Path(__file__).parents[2] / "docs" / "derivation.md"
BLOCK = re.compile(r"(?<=<!-- derived -->\n\n```text\n).*?(?=```\n)", re.DOTALL)
SOURCE = re.compile(r"(?<=<!-- source -->\n\n```python\n).*?(?=```\n)", re.DOTALL)


def told(d):
    """Rules and formulas, without prices: those hang on the machine."""
    lines, writer = [], d.writer()
    for k, step in enumerate(d.steps):
        lines += [f"  ({k}) {step.name}", *[f"      {label} = {writer(root)}" for label, root in formulas(d, k)]]
    return "\n".join([*lines, f"  keeps {', '.join(d.kept)}"])


def text(name):
    f, inputs, assume = FUNCTIONS[name]
    return f"{name}\n{told(derive(f, inputs, assume=assume))}\n"


def block():
    """Batch norm's derivation as docs/derivation.md has it: printed, without what hangs on the machine."""
    f, inputs, _ = FUNCTIONS["batch_norm"]
    return re.sub(r"(, difference [\de.-]+)?; float32 [^]]*", "", str(derive(f, inputs))) + "\n"


def source():
    """The primitive that it makes."""
    f, inputs, _ = FUNCTIONS["batch_norm"]
    return derive(f, inputs).source()


if __name__ == "__main__":
    FILE.write_text("\n".join(text(name) for name in FUNCTIONS), encoding="utf-8")
    page = BLOCK.sub(lambda _: block(), PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(SOURCE.sub(lambda _: source(), page, count=1), encoding="utf-8")
