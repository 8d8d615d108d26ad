"""The batches that the tests of layers share."""

from __future__ import annotations

import numpy as np

RNG = np.random.default_rng(2)
BATCHES = [RNG.normal(3.0, 2.0, (8, 4)) for _ in range(6)]
