"""The benchmark against peers: its cases are right, and its one command runs. Nothing here looks at a clock."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import minigrad as mg
from benchmarks import growth, passes, products
from benchmarks.peers import by_hand, ours
from benchmarks.peers.__main__ import around, main
from benchmarks.peers.cases import NETS, Case, bound, error, reference
from benchmarks.peers.worker import PEERS, build

SMALL = [Case(kind, dtype, (7, 3)) for kind in ("chain", "fused", "composed") for dtype in ("float64", "float32")]


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_minigrad_and_numpy_by_hand_agree_with_the_reference(case):
    exact = reference(case)
    for peer in (by_hand, ours):
        found = peer.build(case)()
        assert set(found) == set(exact)
        assert error(found, exact) <= bound(case)


@pytest.mark.parametrize("net", sorted(set(NETS) - {"3072-100x5-10"}))
def test_the_first_losses_of_a_network_agree(net):
    case = Case("mlp", "float64", net=net)
    step = ours.build(case)
    assert step is not None
    for one, two in zip(by_hand.losses(by_hand.build(case)), by_hand.losses(step), strict=True):
        assert abs(one - two) <= 1e-9 * abs(one)


@pytest.mark.parametrize("how", ["replay", "compiled"])
@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_replayed_cases_agree_with_the_reference(case, how):
    if how == "compiled":
        pytest.importorskip("llvmlite", reason="compiled steps need llvmlite, which numba brings")
    run = ours.build(case, how)
    assert run is not None
    for _ in range(4):
        found = run()
    assert error(found, reference(case)) <= bound(case)


@pytest.mark.parametrize("peer", [peer for peer in PEERS if peer != "jax"])  # which compiles for half a minute
def test_a_network_of_single_numbers_has_one_gradient_in_every_library(peer):
    case = Case("scalar", "float64", (2, 16, 16, 1))
    needed = {"minigrad compiled": "llvmlite", "minigrad fast": "numba", "minigrad fast replay": "numba"}
    if peer != "numpy by hand":
        pytest.importorskip(needed.get(peer, peer.split()[0]))
    run = build(peer, case)
    if run is None:
        assert peer in ("torch fused adam", "torch compile")
        return
    for _ in range(3 if "replay" in peer or "compiled" in peer else 1):
        found = run()
    exact = reference(case)
    assert len(exact) == 1 + 337
    assert error(found, exact) <= bound(case)


def test_workers_have_no_settings_that_users_do_not_have(monkeypatch):
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        monkeypatch.setenv(name, "Haswell")
    kept = {name: around(name, 1, None).get("MALLOC_TRIM_THRESHOLD_") for name in PEERS}
    assert {name for name, value in kept.items() if value == "1073741824"} == {"torch malloc"}
    assert all("OPENBLAS_CORETYPE" not in around(name, 1, None) for name in PEERS)
    assert around("torch", 1, "Zen")["OPENBLAS_CORETYPE"] == "Zen"
    assert "OPENBLAS_L2_SIZE" not in around("torch", 1, "Zen")


@pytest.mark.parametrize("library", ["autograd", "mygrad"])
@pytest.mark.parametrize("net", sorted(set(NETS) - {"3072-100x5-10"}))
def test_the_small_libraries_train_the_networks_with_adam_by_hand(library, net):
    pytest.importorskip(library)
    case = Case("mlp", "float64", net=net)
    step = build(library, case)
    assert step is not None
    for one, two in zip(by_hand.losses(by_hand.build(case)), by_hand.losses(step), strict=True):
        assert abs(one - two) <= 1e-9 * abs(one)


def test_growth_is_measured_point_by_point(capsys):
    assert growth.main(["--point", "ops", "10", "minigrad replay"]) == 0
    us, mb = json.loads(capsys.readouterr().out)
    assert us > 0
    assert mb >= 0
    with pytest.raises(SystemExit):
        growth.main(["height"])
    assert "'height' is no series" in capsys.readouterr().err


def test_passes_are_timed_and_wrong_sizes_refused(capsys):
    with pytest.raises(SystemExit):
        passes.main(["0", "3"])
    assert "rows, columns and --repeats must be at least 1" in capsys.readouterr().err
    if mg.kernels()["batch_norm"] == "reference":
        with pytest.raises(SystemExit):
            passes.main(["7", "3"])
    else:
        assert passes.main(["7", "3", "--repeats", "1"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines[1:]] == ["forward", "backward", "copy"]


def test_products_are_timed_beside_pytorch():
    pytest.importorskip("torch")
    command = [sys.executable, "-m", "benchmarks.products", "--repeats", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [line.split() for line in done.stdout.splitlines()[2:]]
    assert len(rows) == len(products.PRODUCTS)
    for row in rows:
        assert float(row[-1]) == pytest.approx(float(row[-2]) / float(row[-3]), abs=0.02)


def test_a_wrong_result_is_noticed():
    case = SMALL[2]
    found = by_hand.build(case)()
    found["dx"] = found["dx"] * 1.001
    assert error(found, reference(case)) > bound(case)


def test_the_command_prints_a_table_and_writes_json(capfd, tmp_path):
    file = tmp_path / "times.json"
    asked = ["--only", "chain 4 ", "--peers", "numpy by hand,minigrad", "--slices", "1", "--json", str(file)]
    assert main(asked) == 0
    printed = capfd.readouterr().out
    assert "unset in the workers" in printed
    figures = json.loads(file.read_text())["cases"]["chain 4 float32"]
    assert set(figures) == {"numpy by hand", "minigrad"}
    assert set(figures["minigrad"]) == {"error", "seconds", "peak", "faults"}


def test_unknown_names_are_refused(capsys):
    for asked, text in ((["--peers", "tensorflow"], "'tensorflow' is unknown"), (["--only", "conv"], "no case")):
        with pytest.raises(SystemExit):
            main(asked)
        assert text in capsys.readouterr().err
