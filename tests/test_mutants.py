"""The mistakes that `python -m tests.mutation` plants still have their lines in the source."""

import importlib
from pathlib import Path

import pytest

from .mutants import planting

KINDS = sorted(
    path.stem for path in Path(planting.__file__).parent.glob("*.py") if path.stem not in ("__init__", "planting")
)


@pytest.mark.parametrize("kind", KINDS)
def test_each_mistake_has_its_line(kind):
    outdated = []
    for plant in importlib.import_module(f"tests.mutants.{kind}").PLANTS:
        try:
            plant.in_text((planting.ROOT / plant.file).read_text(encoding="utf-8"))
        except ValueError as error:
            outdated.append(str(error))
        assert all((planting.ROOT / test.partition("::")[0]).exists() for test in plant.tests), plant.why
    assert not outdated
