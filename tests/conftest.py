"""How many examples Hypothesis draws: 100 per test, or as many as MINIGRAD_EXAMPLES says (a nightly run: 2000)."""

import os

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "minigrad",
    max_examples=int(os.environ.get("MINIGRAD_EXAMPLES", "100")),
    deadline=None,  # no clocks in tests
    derandomize="MINIGRAD_EXAMPLES" not in os.environ,  # the normal run draws the same examples every time
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("minigrad")


@pytest.fixture
def rng():
    """Seeded anew for each test: what a test draws does not depend on which ran before it."""
    import numpy as np

    return np.random.default_rng(0)
