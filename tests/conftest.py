"""How many examples Hypothesis draws, which tests `-m core` runs, and which were skipped.

100 examples per test, or as many as MINIGRAD_EXAMPLES says (a nightly run: 2000). MINIGRAD_SKIPPED names a file that
gets the names of the tests that were skipped, a line each: .ci/run takes these again where every extra is installed.
"""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parents[1]
CORE = [ROOT / "tests" / "core", ROOT / "tests" / "ops", ROOT / "minigrad" / "core", ROOT / "minigrad" / "ops"]

settings.register_profile(
    "minigrad",
    max_examples=int(os.environ.get("MINIGRAD_EXAMPLES", "100")),
    deadline=None,  # no clocks in tests
    derandomize="MINIGRAD_EXAMPLES" not in os.environ,  # the normal run draws the same examples every time
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("minigrad")


def pytest_ignore_collect(collection_path, config):
    """`-m core` does not import the other test files, which would take as long as the tests."""
    if config.option.markexpr == "core" and collection_path.is_file():
        return None if any(folder in collection_path.parents for folder in CORE) else True
    return None


def pytest_collection_modifyitems(items):
    """The engine and the primitives: their tests and their doctests, by folder."""
    for item in items:
        if any(folder in item.path.parents for folder in CORE):
            item.add_marker("core")


@pytest.fixture
def rng():
    """Seeded anew for each test: what a test draws does not depend on which ran before it."""
    import numpy as np

    return np.random.default_rng(0)


def pytest_terminal_summary(terminalreporter):
    """The names of what was skipped: tests, and files that were skipped as a whole."""
    if file := os.environ.get("MINIGRAD_SKIPPED"):
        skipped = dict.fromkeys(report.nodeid for report in terminalreporter.stats.get("skipped", []))
        Path(file).write_text("".join(f"{name}\n" for name in skipped), encoding="utf-8")
