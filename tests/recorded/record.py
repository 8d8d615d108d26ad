"""Writes down what PyTorch gives: python -m tests.recorded.record

Needs torch. Run it when a case was added or changed, and look at what git says has changed.
"""

from __future__ import annotations

import sys

import numpy as np

from . import CASES
from .case import FILE, flat


def main() -> int:
    """Every case, run by PyTorch."""
    import torch

    torch.set_num_threads(1)
    found = {case.name: flat(case.theirs(torch)) for case in CASES}
    names = np.array(list(found))
    ends = np.cumsum([part.size for part in found.values()])
    np.savez_compressed(FILE, torch=np.array(torch.__version__), names=names, ends=ends, values=flat([*found.values()]))
    print(
        f"{FILE.name}: {len(found)} cases, {ends[-1]} numbers, {FILE.stat().st_size} bytes, torch {torch.__version__}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
