"""The kernels compiled by numba (the extra `fast`). The first call compiles; later processes find it on disk.

One reading of memory where NumPy needs five: this is where the mid-sized matrices win. No fast-math: the order of
operations is as written, so NaN and infinity go through and a run repeats bit for bit. Long sums are taken in the dtype
over a few terms and in float64 beyond.

How loops are written decides whether they become vector instructions, five times as fast: rows as views of their own,
found by an index that only grows (one that falls may be negative, as far as the compiler knows), constants in the
dtype of the arrays.
"""

from .batch import batch_norm as batch_norm
from .layer import layer_norm as layer_norm
from .losses import sigmoid_cross_entropy as sigmoid_cross_entropy
from .masks import masked as masked
from .updates import adam as adam
