"""Planting one mistake after the other in a copy of the repository, and running the tests of its room there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE = 300  # seconds: a mistake that makes a test wait for ever is caught, too
NEEDED = ("minigrad", "tests", "docs", "examples", "benchmarks", "pyproject.toml", "README.md", "CHANGELOG.md")


@dataclass(frozen=True)
class Plant:
    """One mistake: where `old` stands in `file`, `new` is put.

    why    what it gets wrong, in words
    tests  that look at it; those of its room where none are named
    equal  why no test can tell: the mistake changes no result. Such a one is planted all the same, and must survive
    """

    file: str
    old: str
    new: str
    why: str
    tests: tuple[str, ...] = ()
    equal: str = ""

    def in_text(self, text: str) -> str:
        """The file with the mistake; ValueError where it no longer has that text, once."""
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file} has {text.count(self.old)} times {self.old!r}, expected one: {self.why}")
        return text.replace(self.old, self.new)


@contextmanager
def copy_of_repository() -> Iterator[Path]:
    """A folder with the sources and tests, for as long as the block runs."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "repository"
        for part in NEEDED:
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
            elif (ROOT / part).exists():
                shutil.copy2(ROOT / part, root / part)
        yield root


def run_tests(root: Path, tests: Iterable[str], kernels: str | None = None) -> tuple[bool, str]:
    """Whether the tests pass there, and what failed first."""
    env = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"} | ({"MINIGRAD_KERNELS": kernels} if kernels else {})
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--no-header", "-rf", *tests]
    try:
        done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return False, f"no end after {PATIENCE} seconds"
    lines = done.stdout.splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))] or lines[-1:]
    return done.returncode == 0, failed[0].partition(" - ")[0][:150] if failed else done.stderr[-150:]


@contextmanager
def planted(root: Path, plant: Plant) -> Iterator[None]:
    """The mistake in the copy, for as long as the block runs."""
    path = root / plant.file
    right, times = path.read_text(encoding="utf-8"), path.stat()
    path.write_text(plant.in_text(right), encoding="utf-8")
    try:
        yield
    finally:  # with its times, so that what was compiled of it counts again
        path.write_text(right, encoding="utf-8")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@dataclass
class Outcome:
    """What became of one mistake."""

    plant: Plant
    caught: bool
    by: str
    seconds: float

    @property
    def fine(self) -> bool:
        """Caught where it can be, and alive where no test can tell."""
        return self.caught != bool(self.plant.equal)


def outcomes(plants: Iterable[Plant], tests: tuple[str, ...], kernels: str | None = None) -> Iterator[Outcome]:
    """Each mistake against the tests that look at it; RuntimeError where these fail without one."""
    plants = list(plants)
    with copy_of_repository() as root:
        for plant in plants:  # all of them first: an outdated one is no reason to wait for an hour
            plant.in_text((root / plant.file).read_text(encoding="utf-8"))
        passed, failed = run_tests(
            root, dict.fromkeys((*tests, *(t for plant in plants for t in plant.tests))), kernels
        )
        if not passed:
            raise RuntimeError(f"without any mistake planted: {failed}")
        for plant in plants:
            begin = time.monotonic()
            with planted(root, plant):
                passed, by = run_tests(root, plant.tests or tests, kernels)
            yield Outcome(plant, not passed, "" if passed else by, time.monotonic() - begin)
