"""The files of drawing/ and program/: a chain without cycles, plain names, and no look at anybody's source code."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import minigrad
from minigrad import drawing

HOME = Path(minigrad.__file__).parent
FILES = {f"{folder}.{f.stem}": f for folder in ("drawing", "program") for f in sorted((HOME / folder).glob("*.py"))}


def imported(name):
    """Files of the two folders that a file imports, wherever in it the import stands.

    But for the methods of a Program that fetch a reading of it (its source, its JSON) when they are called.
    """
    folder, tree = name.split(".")[0], ast.parse(FILES[name].read_text("utf-8"))
    for node in tree.body if name == "program.program" else ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = folder if node.level == 1 else ""
            module = ".".join(part for part in (base, node.module or "") if part)
            for alias in node.names:
                yield from {module, f"{module}.{alias.name}"} & set(FILES)


def test_the_files_form_a_chain_without_cycles():
    graph = {name: set(imported(name)) for name in FILES}
    order = list(TopologicalSorter(graph).static_order())  # CycleError names the files of a circle
    assert order[-1] == "drawing.__init__" or "drawing.__init__" in order
    assert "drawing.entry" in graph["drawing.__init__"]
    assert not any("drawing." in other for name in graph if name.startswith("program") for other in graph[name])


def test_no_file_is_called_like_what_the_package_exports():
    assert {name.split(".")[1] for name in FILES if name.startswith("drawing.")}.isdisjoint(drawing.__all__)


@pytest.mark.parametrize("name", FILES)
def test_every_file_says_what_it_is_for(name):
    assert len(ast.get_docstring(ast.parse(FILES[name].read_text("utf-8"))) or "") > 30


@pytest.mark.parametrize("name", FILES)
def test_rules_are_read_from_their_graph_and_not_from_source_or_bytecode(name):
    text = FILES[name].read_text("utf-8")
    for word in ("import ast", "import dis", "linecache", "getsource", "findsource", "__code__", "co_code", "tokenize"):
        assert word not in text
