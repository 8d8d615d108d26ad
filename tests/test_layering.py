"""The house's order: who may import what, how much code the engine is, how long a file may be."""

import ast
import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

import minigrad

HOME = Path(minigrad.__file__).parent
ROOT = Path(__file__).parents[1]

# Each unit (a file, or a folder as one) may import those before it. "minigrad" is the package's own front.
FLOORS = (
    "_support core fast ops",
    "numpy_protocol habits creation derivatives anomalies",
    "functional losses normalization chapter extend",
    "program check",
    "optim nn data replaying training",
    "drawing derivation frontends export exercises",
    "minigrad cli __main__",
)
ORDER = [unit for floor in FLOORS for unit in floor.split()]

# What the order would allow and must never be: {unit: units that it does not import}.
BESIDE = {"check", "drawing", "replaying", "derivation", "frontends", "export"}  # on core and program, each by itself
NEVER = {unit: BESIDE - {unit} for unit in BESIDE}
NEVER["replaying"] -= {"check"}  # mg.fuse proves what it replaces
NEVER["derivation"] -= {"check", "drawing"}
NEVER["core"] = NEVER["ops"] = {"fast", "program", "replaying", "drawing", "check"}

# Who may import what besides the standard library and NumPy.
GUESTS = {
    "graphviz": {"drawing"},
    "IPython": {"drawing"},
    "ml_dtypes": {"check"},
    "onnx": {"export"},
    "onnxruntime": {"export"},
    "torch": {"frontends"},
    "jax": {"frontends"},
    "matplotlib": {"training"},
    "rich": {"training"},
    "joblib": {"training"},
    "threadpoolctl": {"training"},
    "sklearn": {"data"},
    "safetensors": {"_support"},
    "numba": {"fast"},
    "llvmlite": {"replaying"},
}
# These import modules whose names they are given: optional packages, and the files of users.
BY_GIVEN_NAME = {"_support/extras.py", "cli/loading.py"}

BUDGETS = {"core": 520, "ops": 620}  # lines of code; raised openly, in a commit that says why
LONGEST = 400  # lines of a file, all counted

FILES = sorted(HOME.rglob("*.py"))
each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(HOME)))


def unit_of(file, home=HOME):
    part = file.relative_to(home).parts[0]
    return "minigrad" if part == "__init__.py" else part.removesuffix(".py")


def code_of(file):
    """The nodes of a file's syntax tree that run: without what stands under `if TYPE_CHECKING`."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    only_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    return [node for node in ast.walk(tree) if node not in only_types]


def named(call):
    """What a call of import_module, __import__ or needs is given; None if it is another call."""
    if isinstance(call, ast.Call) and call.args:
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        return call.args[0] if name in ("import_module", "__import__", "needs") else None
    return None


def imports(file, home=HOME):
    """(line, module as seen from the package's parent) of every import that runs, by statement or by name."""
    package = ("minigrad", *file.relative_to(home).parts[:-1])
    for node in code_of(file):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = home.parent.joinpath(*module.split("."), alias.name)
                is_module = inner.is_dir() or inner.with_suffix(".py").exists()
                yield node.lineno, f"{module}.{alias.name}" if is_module else module
        elif isinstance(given := named(node), ast.Constant):
            yield node.lineno, str(given.value)


def own_modules_by_name(file):
    """Lines that look a module up by a name that is minigrad's, or that may be: computed, relative, in sys.modules."""
    for node in code_of(file):
        given = named(node)
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "sys.modules":
            given = node.slice
        if given is None:
            continue
        text = given.value if isinstance(given, ast.Constant) else "minigrad"
        if re.match(r"minigrad\b|\.", str(text)):
            yield node.lineno


def units_imported(file, home=HOME):
    for line, module in imports(file, home):
        first, *rest = module.split(".")
        if first == "minigrad":
            yield line, rest[0] if rest else "minigrad"


def out_of_order(file, home=HOME):
    """(line, unit) of what a file imports and may not."""
    mine = unit_of(file, home)
    never = NEVER.get(mine, set()) | ({"fast"} - {mine} if mine != "minigrad" else set())
    allowed = {*ORDER[: ORDER.index(mine)], mine} - never
    return [(line, unit) for line, unit in units_imported(file, home) if unit not in allowed]


def foreign(file, home=HOME):
    """(line, package) of other packages that a file imports where they do not belong."""
    welcome = {guest for guest, units in GUESTS.items() if unit_of(file, home) in units}
    known = {*sys.stdlib_module_names, "minigrad", "numpy", ""} | welcome  # "" begins a relative name
    roots = [(line, module.split(".")[0]) for line, module in imports(file, home)]
    return [(line, root) for line, root in roots if root not in known]


def test_every_unit_has_its_place():
    assert {unit_of(file) for file in FILES} <= set(ORDER), "a new file: give it its place in ORDER"


@each_file
def test_a_file_imports_only_what_stands_before_it(file):
    assert out_of_order(file) == []


@each_file
def test_other_packages_only_where_they_belong(file):
    assert foreign(file) == []


@each_file
def test_no_module_of_the_package_is_imported_by_name(file):
    if file.name != "__init__.py" and file.relative_to(HOME).as_posix() not in BY_GIVEN_NAME:
        assert list(own_modules_by_name(file)) == []


# The finders find ---------------------------------------------------------------------------------------------------


def made_up(tmp_path, name, *lines):
    """A file of a made-up package, with `lines` in it."""
    file = tmp_path / "minigrad" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines))
    return file, tmp_path / "minigrad"


def test_the_walk_sees_imports_of_every_kind(tmp_path):
    made_up(tmp_path, "tensor.py")
    file, home = made_up(
        tmp_path, "ops/shape.py",
        "import torch.nn", "from ..tensor import Tensor", "from .. import tensor", "from .. import thing",
        "from minigrad import tensor", "from . import shape", "if TYPE_CHECKING:", "    from ..check import x",
        "def f():", "    from ..drawing import draw", "needs('onnx.checker', 'a check')",
        "importlib.import_module('minigrad.check')", "__import__('jax')",
    )  # fmt: skip
    assert list(imports(file, home)) == [
        (1, "torch.nn"), (2, "minigrad.tensor"), (3, "minigrad.tensor"), (4, "minigrad"), (5, "minigrad.tensor"),
        (6, "minigrad.ops.shape"), (10, "minigrad.drawing"), (11, "onnx.checker"), (12, "minigrad.check"), (13, "jax"),
    ]  # fmt: skip
    units = ["tensor", "tensor", "minigrad", "tensor", "ops", "drawing", "check"]
    assert [unit for _, unit in units_imported(file, home)] == units
    assert foreign(file, home) == [(1, "torch"), (11, "onnx"), (13, "jax")]


@pytest.mark.parametrize("unit", ["fast", "program", "replaying", "drawing", "check"])
@pytest.mark.parametrize("where", ["core/nodes.py", "ops/shape.py"])
def test_the_engine_may_not_import_what_stands_on_it(where, unit, tmp_path):
    lines = ["from .._support import arguments", "def f():", f"    from ..{unit} import thing"]
    assert out_of_order(*made_up(tmp_path, where, *lines)) == [(3, unit)]


def test_only_fast_itself_and_the_front_may_import_fast(tmp_path):
    for name, line in (("__init__.py", "from .fast import install"), ("fast/walk.py", "from ..fast import pool")):
        assert out_of_order(*made_up(tmp_path, name, line)) == []
    for name in ("nn/layers.py", "cli/train.py", "replaying/memory.py", "optim/__init__.py"):
        assert out_of_order(*made_up(tmp_path, name, "from ..fast import pool")) == [(1, "fast")]
    assert out_of_order(*made_up(tmp_path, "__main__.py", "import minigrad.fast.walk")) == [(1, "fast")]


def test_what_stands_beside_one_another_does_not_import_each_other(tmp_path):
    for name, line in (
        ("drawing/dot.py", "check"),
        ("export/onnx_writer.py", "replaying"),
        ("check/table.py", "drawing"),
    ):
        assert out_of_order(*made_up(tmp_path, name, f"from ..{line} import x")) == [(1, line)]
    assert out_of_order(*made_up(tmp_path, "replaying/fusion.py", "from ..check import compare")) == []


@pytest.mark.parametrize(("package", "home"), [(g, unit) for g, units in GUESTS.items() for unit in units])
def test_a_package_is_a_guest_of_its_own_room_alone(package, home, tmp_path):
    for line in (f"import {package}", f"from {package}.inner import x", f"x = needs('{package}.inner', 'this')"):
        for unit in ("core", "ops", "cli", "drawing", "nn"):
            found = foreign(*made_up(tmp_path, f"{unit}/thing.py", line))
            assert found == ([] if unit in GUESTS[package] else [(1, package)])
        assert foreign(*made_up(tmp_path, f"{home}/thing.py", line)) == []


@pytest.mark.parametrize(
    "line",
    [
        "importlib.import_module('minigrad.check')",
        "import_module('.check', __package__)",
        "importlib.import_module(f'{__name__}.{name}')",
        "__import__('minigrad')",
        "__import__(name)",
        "needs('minigrad.check', 'this')",
        "sys.modules['minigrad.check'].compare",
        "sys.modules[name]",
    ],
)
def test_a_module_of_the_package_looked_up_by_name_is_found(line, tmp_path):
    assert list(own_modules_by_name(made_up(tmp_path, "nn/layers.py", "x = 1", line)[0])) == [2]


@pytest.mark.parametrize("line", ["import_module('onnx')", "needs('joblib', name)", "f(name)", "names['minigrad']"])
def test_other_names_are_let_through(line, tmp_path):
    assert list(own_modules_by_name(made_up(tmp_path, "nn/layers.py", line)[0])) == []


# What importing brings ----------------------------------------------------------------------------------------------

LOADED = """
import sys
before = set(sys.modules)
import minigrad
new = {name for name in set(sys.modules) - before}
print(*sorted({name.split(".")[0] for name in new} - set(sys.stdlib_module_names)))
print(*sorted(name for name in new if name.split(".")[0] == "minigrad" and name.count(".") == 1))
"""


def loaded(home):
    """(packages, modules of minigrad) that `import minigrad` loads."""
    command = [sys.executable, "-c", LOADED]
    done = subprocess.run(command, cwd=home.parent, capture_output=True, text=True, check=True)
    return [set(line.split()) for line in done.stdout.splitlines()]


def test_importing_minigrad_needs_numpy_alone(tmp_path):
    packages, own = loaded(HOME)
    assert packages == {"minigrad", "numpy"}
    assert not {f"minigrad.{unit}" for unit in (*BESIDE, "cli", "training", "nn", "optim")} & own
    made_up(tmp_path, "check.py")
    _, home = made_up(tmp_path, "__init__.py", "import pluggy", "from . import check")
    packages, own = loaded(home)
    assert {"minigrad", "pluggy"} <= packages
    assert own == {"minigrad.check"}


# Budgets ------------------------------------------------------------------------------------------------------------

NOT_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def code_lines(source):
    """Lines of code: without blanks, comments and docstrings (texts that stand as statements of their own)."""
    texts: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            texts.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NOT_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - texts)


def test_code_is_counted_without_blanks_comments_and_docstrings():
    source = '"""Two\n\nlines."""\n# a comment\nimport os  # another\n\ndef f(x,\n      y):\n    """What f does."""\n'
    assert code_lines(source) == 3
    assert code_lines(source + '    text = """\n\n    # held\n    """\n    return (x,\n\n            y)\n') == 3 + 4 + 2


@pytest.mark.parametrize("folder", BUDGETS)
def test_the_engine_is_within_its_budget(folder):
    sizes = {file.name: code_lines(file.read_text(encoding="utf-8")) for file in (HOME / folder).rglob("*.py")}
    assert sum(sizes.values()) <= BUDGETS[folder], sizes


def too_long(folder):
    files = [file for file in sorted(folder.rglob("*")) if file.suffix in (".py", ".html")]
    sizes = {file.relative_to(folder).as_posix(): len(file.read_text(encoding="utf-8").splitlines()) for file in files}
    return {name: size for name, size in sizes.items() if size > LONGEST}


@pytest.mark.parametrize("folder", ["minigrad", "tests", "benchmarks", "examples"])
def test_no_file_is_long(folder):
    home = HOME if folder == "minigrad" else ROOT / folder
    assert any(home.rglob("*.py"))
    assert too_long(home) == {}


def test_a_long_file_is_found(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "long.py").write_text("\n" * (LONGEST + 1))
    (tmp_path / "page.html").write_text("\n" * (LONGEST + 2))
    (tmp_path / "short.py").write_text("\n" * LONGEST)
    assert too_long(tmp_path) == {"inner/long.py": LONGEST + 1, "page.html": LONGEST + 2}
