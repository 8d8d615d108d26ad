"""Weights in .safetensors files, where that package is there."""

import numpy as np
import pytest

import minigrad as mg
from minigrad._support.files import load_arrays, save_arrays

library = pytest.importorskip("safetensors.numpy")


def test_a_model_is_saved_and_loaded(tmp_path):
    net, other = (mg.nn.MLP((4, 8, 3), norm="batch", rng=seed) for seed in (0, 1))
    path = tmp_path / "net.safetensors"
    net.save(path)
    other.load(path)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name], array, strict=True)
        np.testing.assert_array_equal(library.load_file(path)[name], array, strict=True)
    first = path.read_bytes()
    net.save(path)
    assert path.read_bytes() == first


def test_layouts_and_kinds(tmp_path):
    arrays = {"0-d": np.array(2.0), "empty": np.zeros((0, 3)), "T": np.arange(6.0).reshape(2, 3).T, "n": np.arange(3),
              "back": np.arange(4.0, dtype=np.float32)[::-1], "mask": np.array([True, False])}  # fmt: skip
    save_arrays(tmp_path / "a.safetensors", arrays)
    found = load_arrays(tmp_path / "a.safetensors")
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array, strict=True)


def test_damaged_files_and_objects_are_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    save_arrays(path, {"x": np.ones(100)})
    whole = path.read_bytes()
    with pytest.raises(TypeError, match="x holds Python objects"):
        save_arrays(path, {"x": np.array([{}])})
    assert path.read_bytes() == whole
    for damage in (b"", whole[:50], whole[:-1], b"\xff" * 100):
        path.write_bytes(damage)
        with pytest.raises(ValueError, match=r"a\.safetensors cannot be read as arrays by name"):
            load_arrays(path)
    with pytest.raises(FileNotFoundError):
        load_arrays(tmp_path / "missing.safetensors")


def test_pytorch_reads_them(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    net = mg.nn.MLP((4, 8, 3), norm="batch", rng=0, dtype=np.float32)
    save_arrays(tmp_path / "net.safetensors", mg.export.torch_state(net))
    theirs = torch.nn.Sequential(
        torch.nn.Linear(4, 8, bias=False), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Linear(8, 3)
    )
    theirs.load_state_dict(load_file(tmp_path / "net.safetensors"))
    x = np.ones((2, 4), np.float32)
    np.testing.assert_allclose(
        theirs.eval()(torch.tensor(x)).detach().numpy(), net.eval()(mg.tensor(x)).data, rtol=1e-5, atol=1e-6
    )
