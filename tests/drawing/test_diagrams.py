"""The seeds' diagrams as an example program."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from examples import diagrams

from .test_renderer import PROGRAMS


@pytest.mark.parametrize("name", diagrams.DIAGRAMS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_every_diagram_is_drawn(name, program, monkeypatch, tmp_path):
    monkeypatch.setenv("MINIGRAD_DOT", program)
    assert diagrams.main([name, "--out", str(tmp_path)]) == 0
    svg = (tmp_path / f"{name}.svg").read_text("utf-8")
    ElementTree.fromstring(svg)
    assert "grad none" not in svg or name == "training"


def test_the_notebooks_figure_has_its_letters_and_its_paths():
    g = diagrams.figure().graph
    edges = {(g[a].name, g[b].name) for a, b, _ in g.edges}
    assert {("X", "mu"), ("X", "v"), ("v", "v + eps"), ("v + eps", "sigma"), ("sigma", "Y")} <= edges
    assert g["L"].id in g.roots
    assert len(g["X"].contributions) == 3  # directly, through mu and through v


def test_in_inference_no_path_leads_through_the_statistics():
    pair = diagrams.stages()
    assert len(pair.left["H"].contributions) == 3
    assert len(pair.right["H"].contributions) == 1
    assert {n.op for n in pair.left} - {n.op for n in pair.right} >= {"mean", "var"}


def test_shared_parameters_are_drawn_once():
    g = diagrams.mini_batches().graph
    names = [n.name for n in g if n.kind == "leaf"]
    assert sorted(names) == ["beta[1]", "gamma[1]", "w[1]"]
    assert len(g["w[1]"].contributions) == 2


def test_eleven_layers_fold():
    g = diagrams.eleven().graph
    assert g.ops == 36
    assert len(g) < 25


def test_unknown_names_are_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        diagrams.main(["nothing"])
    assert "there are figure" in capsys.readouterr().err


def test_without_a_renderer_it_says_how_to_get_one(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("MINIGRAD_DOT", "/no/such/dot")
    assert diagrams.main(["figure", "--out", str(tmp_path)]) == 2
    assert "MINIGRAD_DOT" in capsys.readouterr().err


def test_the_three_terms_of_dx_add_up_and_have_paths_of_their_own():
    drawn = {name: diagrams.DIAGRAMS[name]().graph for name in ("dx-own", "dx-mean", "dx-variance")}
    on = {name: {n.name for n in g if n.shade} for name, g in drawn.items()}
    assert on["dx-own"] == {"x_hat", "scaled", "y"}
    assert on["dx-mean"] == {"mu", "centred", "squared", "var", "var_eps", "std", *on["dx-own"]}
    assert on["dx-variance"] == {"squared", "var", "var_eps", "std", *on["dx-own"]}
    graph = drawn["dx-own"]
    for name in ("x", "centred"):
        total = sum(part.numbers.array for part in graph[name].contributions)
        np.testing.assert_allclose(total, graph[name].gradient.array, atol=1e-15)
    assert len({n.shade[1] for g in drawn.values() for n in g if n.shade and n.shade[0] == 1}) == 3
