"""Public names stay what they are: no module has the name of a public function, whose place importing it would take."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import minigrad

HOME = Path(minigrad.__file__).parent
FOLDERS = sorted(file.parent for file in HOME.rglob("__init__.py"))
PUBLIC_MODULES = {f"minigrad.{name}" for name in ("check", "data", "export", "nn", "optim", "training", "nn.init")}


def exported(folder):
    """The names that a folder's __init__ gives to what is no module: functions, classes, constants."""
    found = set()
    for node in ast.parse((folder / "__init__.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found.update(target.id for target in node.targets if isinstance(target, ast.Name))
            texts = node.value.keys if isinstance(node.value, ast.Dict) else getattr(node.value, "elts", [])
            if ast.unparse(node.targets[0]) in ("__all__", "_LATER"):
                found.update(str(text.value) for text in texts if isinstance(text, ast.Constant))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:  # `from . import x` gives the module x
            found.update(alias.asname or alias.name for alias in node.names)
    return found


def taken(folder):
    """Names that a folder exports and that a module in it has too."""
    modules = {file.stem for file in folder.iterdir() if file.suffix == ".py" or (file / "__init__.py").exists()}
    package = ".".join(("minigrad", *folder.relative_to(HOME).parts)) if folder.is_relative_to(HOME) else "minigrad"
    return sorted(name for name in modules & exported(folder) if f"{package}.{name}" not in PUBLIC_MODULES)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(HOME.parent)))
def test_no_module_has_the_name_of_what_its_folder_exports(folder):
    assert taken(folder) == []


LOOK = """
import importlib, pkgutil, sys, types
import minigrad

for found in pkgutil.walk_packages(minigrad.__path__, "minigrad."):
    try:
        importlib.import_module(found.name)
    except ImportError as error:  # the compiled kernels, where numba is missing
        if (error.name or "minigrad").partition(".")[0] == "minigrad":
            raise
count = 0
for place, package in sorted(sys.modules.items()):
    if place.partition(".")[0] == "minigrad" and hasattr(package, "__path__"):
        for name in getattr(package, "__all__", ()):
            count += 1
            value = getattr(package, name)
            if isinstance(value, types.ModuleType):
                print(f"{place}.{name}")
            elif place == "minigrad" and not callable(value):
                print(f"{place}.{name} is a {type(value).__name__}")
print(count)
"""


def modules_among_public_names(home):
    """The public names that are modules once every submodule has been imported; and how many names there are."""
    command = [sys.executable, "-c", LOOK]
    done = subprocess.run(command, cwd=home.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *found, count = done.stdout.splitlines()
    return set(found), int(count)


def test_every_public_name_is_itself_after_every_submodule_was_imported():
    found, count = modules_among_public_names(HOME)
    assert found == PUBLIC_MODULES
    assert count > len(minigrad.__all__) > 100


def test_a_module_in_the_place_of_a_function_is_found(tmp_path):
    home = tmp_path / "minigrad"
    (home / "inner").mkdir(parents=True)
    (home / "__init__.py").write_text(
        "__all__ = ['draw', 'replay', 'graph', 'size']\nsize = 3\n"
        "def replay(f):\n    return f\n\n"
        "def __getattr__(name):\n    from .inner import pictures\n    return getattr(pictures, name)\n"
    )
    (home / "draw.py").touch()
    (home / "inner" / "__init__.py").write_text("from .pictures import page\n__all__ = ['page']\n")
    (home / "inner" / "page.py").touch()
    (home / "inner" / "pictures.py").write_text("def draw(): ...\ndef graph(): ...\ndef page(): ...\n")
    found, count = modules_among_public_names(home)
    assert found == {"minigrad.draw", "minigrad.inner.page", "minigrad.size is a int"}
    assert count == 5
    assert taken(home) == ["draw"]
    assert taken(home / "inner") == ["page"]
