"""Planting one mistake after the other in a copy of the repository, and running the tests of its room there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).parents[2]
PATIENCE = 300  # seconds: a mistake that makes a test wait for ever is caught, too
NEEDED = ("minigrad", "tests", "docs", "examples", "benchmarks", "pyproject.toml", "README.md", "CHANGELOG.md")


@dataclass(frozen=True)
class Plant:
    """One mistake: where `old` stands in `file`, `new` is put.

    why    what it gets wrong, in words
    tests  that look at it, likeliest first
    equal  why no test can tell: no result changes. Such a one is planted all the same, and must live
    """

    file: str
    old: str
    new: str
    why: str
    tests: tuple[str, ...]
    equal: str = ""

    def in_text(self, text: str) -> str:
        """The file with the mistake; ValueError where it no longer has that text, once, or is no Python with it."""
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file} has {text.count(self.old)} times {self.old!r}, expected one: {self.why}")
        changed = text.replace(self.old, self.new)
        try:
            compile(changed, self.file, "exec")
        except SyntaxError as error:
            raise ValueError(f"{self.file} is no Python with {self.new!r}: {error}") from None
        return changed


def nearest(folder: str, *first: str) -> tuple[str, ...]:
    """The test files of a folder, those named first: what is caught early costs a second or two."""
    names = sorted(path.name for path in (ROOT / folder).glob("test_*.py"))
    return tuple(f"{folder}/{name}" for name in dict.fromkeys([*first, *names]))


def mistakes(file: str, tests: tuple[str, ...], *rows: tuple[str, str, str] | tuple[str, str, str, str]) -> list[Plant]:
    """Plants of one file that the same tests look at: (old, new, why) or (old, new, why, equal)."""
    return [Plant(file, row[0], row[1], row[2], tests, row[3] if len(row) == 4 else "") for row in rows]


@contextmanager
def copy_of_repository(source: Path = ROOT) -> Iterator[Path]:
    """A folder with the sources and tests, for as long as the block runs; from another copy with its bytecode."""
    left_out = shutil.ignore_patterns("__pycache__") if source == ROOT else None
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "repository"
        for part in NEEDED:
            if (source / part).is_dir():
                shutil.copytree(source / part, root / part, ignore=left_out)
            elif (source / part).exists():
                shutil.copy2(source / part, root / part)
        yield root


def run_tests(root: Path, tests: Iterable[str], kernels: str, compiled: bool = False) -> tuple[bool, str]:
    """Whether the tests pass there, and what failed first; `compiled`: bytecode is kept for the runs that follow."""
    env = os.environ | {"MINIGRAD_KERNELS": kernels, "PYTHONDONTWRITEBYTECODE": "" if compiled else "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--no-header", "-rf", *tests]
    try:
        done = subprocess.run(
            command,
            cwd=root,
            env=env,
            capture_output=True,
            text=True,
            timeout=None if compiled else PATIENCE,
            check=False,
        )
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
    """What became of one mistake: caught, alive, or outdated, where the file no longer has the text."""

    plant: Plant
    word: str
    by: str = ""
    seconds: float = 0.0

    @property
    def fine(self) -> bool:
        """Caught where it can be, and alive where no test can tell."""
        return self.word == ("alive" if self.plant.equal else "caught")


def outcomes(plants: Sequence[Plant], kernels: str, jobs: int = 1) -> Iterator[Outcome]:
    """Each mistake against the tests that look at it, `jobs` at a time, each in a copy of its own.

    RuntimeError where these tests fail without one.
    """
    with ExitStack() as stack, ThreadPoolExecutor(jobs) as pool:
        first = stack.enter_context(copy_of_repository())
        passed, failed = run_tests(
            first, dict.fromkeys(test for plant in plants for test in plant.tests), kernels, True
        )
        if not passed:
            raise RuntimeError(f"without any mistake planted: {failed}")
        free: SimpleQueue[Path] = SimpleQueue()
        for root in [first, *(stack.enter_context(copy_of_repository(first)) for _ in range(1, jobs))]:
            free.put(root)

        def outcome(plant: Plant) -> Outcome:
            root, begin = free.get(), time.monotonic()
            try:
                with planted(root, plant):
                    passed, by = run_tests(root, plant.tests, kernels)
            except ValueError as error:
                return Outcome(plant, "outdated", str(error))
            finally:
                free.put(root)
            return Outcome(plant, "alive" if passed else "caught", "" if passed else by, time.monotonic() - begin)

        yield from pool.map(outcome, plants)
