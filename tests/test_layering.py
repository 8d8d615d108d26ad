"""The house's order: a file imports only what stands to the left of it, and other packages only where they belong."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import minigrad

HOME = Path(minigrad.__file__).parent

# Each unit (a file, or a folder as one) may import those before it. "minigrad" is the package's own front.
FLOORS = (
    "_support core fast ops",
    "numpy_protocol creation derivatives anomalies",
    "functional losses normalization chapter extend",
    "program check",
    "optim nn data replaying training",
    "drawing export exercises",
    "minigrad cli __main__",
)
ORDER = [unit for floor in FLOORS for unit in floor.split()]

# Who may import what besides the standard library and NumPy.
GUESTS = {
    "graphviz": {"drawing"},
    "IPython": {"drawing"},
    "onnx": {"export"},
    "onnxruntime": {"export"},
    "matplotlib": {"training"},
    "rich": {"training"},
    "joblib": {"training"},
    "sklearn": {"data"},
    "numba": {"fast"},
}

FILES = sorted(HOME.rglob("*.py"))


def unit_of(file):
    part = file.relative_to(HOME).parts[0]
    return "minigrad" if part == "__init__.py" else part.removesuffix(".py")


def imports(file):
    """(line, module as seen from the package's parent) of every import outside `if TYPE_CHECKING`."""
    tree = ast.parse(file.read_text())
    only_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    package = ("minigrad", *file.relative_to(HOME).parts[:-1])
    for node in ast.walk(tree):
        if node in only_types:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = HOME.parent.joinpath(*module.split("."), alias.name)
                is_module = inner.is_dir() or inner.with_suffix(".py").exists()
                yield node.lineno, f"{module}.{alias.name}" if is_module else module


def units_imported(file):
    for line, module in imports(file):
        first, *rest = module.split(".")
        if first == "minigrad":
            yield line, rest[0] if rest else "minigrad"


def test_every_unit_has_its_place():
    assert {unit_of(file) for file in FILES} <= set(ORDER), "a new file: give it its place in ORDER"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(HOME)))
def test_a_file_imports_only_what_stands_before_it(file):
    mine = unit_of(file)
    allowed = {*ORDER[: ORDER.index(mine)], mine}
    assert [(line, unit) for line, unit in units_imported(file) if unit not in allowed] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(HOME)))
def test_other_packages_only_where_they_belong(file):
    for line, module in imports(file):
        root = module.split(".")[0]
        if root in sys.stdlib_module_names or root in ("minigrad", "numpy"):
            continue
        assert unit_of(file) in GUESTS.get(root, set()), f"{file.name}:{line} imports {root}"


def test_the_walk_sees_imports_of_every_kind(tmp_path, monkeypatch):
    home = tmp_path / "minigrad"
    (home / "ops").mkdir(parents=True)
    (home / "tensor.py").touch()
    file = home / "ops" / "shape.py"
    file.write_text(
        "import torch.nn\nfrom ..tensor import Tensor\nfrom .. import tensor\nfrom .. import thing\n"
        "from minigrad import tensor\nfrom . import shape\nif TYPE_CHECKING:\n    from ..check import x\n"
        "def f():\n    from ..drawing import draw\n"
    )
    monkeypatch.setattr(sys.modules[__name__], "HOME", home)
    assert list(imports(file)) == [
        (1, "torch.nn"), (2, "minigrad.tensor"), (3, "minigrad.tensor"), (4, "minigrad"), (5, "minigrad.tensor"),
        (6, "minigrad.ops.shape"), (10, "minigrad.drawing"),
    ]  # fmt: skip
    assert [unit for _, unit in units_imported(file)] == ["tensor", "tensor", "minigrad", "tensor", "ops", "drawing"]


def test_importing_minigrad_needs_numpy_alone():
    code = """
import sys
before = set(sys.modules)
import minigrad
new = {name for name in set(sys.modules) - before}
print(*sorted({name.split(".")[0] for name in new} - set(sys.stdlib_module_names)))
print(*sorted(name for name in new if name.split(".")[0] == "minigrad" and name.count(".") == 1))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=HOME.parent, capture_output=True, text=True, check=True)
    guests, own = done.stdout.splitlines()
    assert guests == "minigrad numpy"
    assert not {"minigrad.check", "minigrad.drawing", "minigrad.cli", "minigrad.training"} & set(own.split())
