"""The notebooks in a real kernel, as `python -m examples.notebooks` runs them."""

from __future__ import annotations

import os

import pytest

from examples.notebooks.__main__ import HERE, executed, main, notebooks

nbformat = pytest.importorskip("nbformat", reason="notebooks in a kernel need nbformat")
pytest.importorskip("nbclient", reason="notebooks in a kernel need nbclient")
pytest.importorskip("ipykernel", reason="notebooks in a kernel need ipykernel")

# of the packages that run the kernel, not of minigrad
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(autouse=True)
def _reach(monkeypatch):
    paths = [str(HERE.parent.parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))


def shapes(book):
    """What kind of output each cell has."""
    return [[(o["output_type"], sorted(o.get("data", ()))) for o in cell.get("outputs", ())] for cell in book["cells"]]


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_a_fresh_kernel_gives_the_kinds_of_output_that_are_kept(path):
    if path.stem == "from_torch":
        pytest.importorskip("torch", reason="this notebook is on a model from PyTorch")
    kept = nbformat.read(path, as_version=4)
    nbformat.validate(kept)
    assert shapes(executed(path)) == shapes(kept)


def test_an_unknown_name_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["nothing"])
    assert (
        "there is no notebook 'nothing'; there are batch_norm, from_torch, graphs, precision, training"
        in capsys.readouterr().err
    )
