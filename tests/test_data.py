"""Mini-batches, and CIFAR-10 from files that may be wrong or hostile."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import data

BATCHES = ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"]


def write_folder(folder: Path, protocol: int = 2, rows: int = 4) -> None:
    """A CIFAR-10 folder in little; protocol 2 is what the official files are written with."""
    for k, name in enumerate(BATCHES):
        content = {b"data": np.full((rows, 3072), k, np.uint8), b"labels": [k] * rows, b"batch_label": b"x"}
        (folder / name).write_bytes(pickle.dumps(content, protocol=protocol))


@pytest.mark.parametrize("protocol", range(6))
def test_cifar10_is_read_from_every_pickle_protocol(tmp_path: Path, protocol: int):
    write_folder(tmp_path, protocol)
    cifar = data.load_cifar10(tmp_path)
    assert cifar.x_train.shape == (20, 3, 32, 32)
    assert cifar.x_train.dtype == np.uint8
    np.testing.assert_array_equal(cifar.y_train, np.repeat(np.arange(5), 4))
    np.testing.assert_array_equal(cifar.x_test, np.full((4, 3, 32, 32), 5))
    assert len(cifar.names) == 10


def test_pickles_of_python_2_are_read(tmp_path: Path):
    """Written by hand as Python 2 wrote the official files: str keys, arrays by numpy.core.multiarray."""
    write_folder(tmp_path)
    raw = b"\0" * 3072
    body = (
        b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
        b"K\x01M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89T" + len(raw).to_bytes(4, "little") + raw + b"tbU\x06labels]K\x07au."
    )
    for name in BATCHES:
        (tmp_path / name).write_bytes(body)
    cifar = data.load_cifar10(tmp_path)
    np.testing.assert_array_equal(cifar.y_train, [7] * 5)


def test_the_folder_above_is_understood_and_a_wrong_one_explained(tmp_path: Path):
    inner = tmp_path / "cifar-10-batches-py"
    inner.mkdir()
    with pytest.raises(FileNotFoundError, match=r"has no data_batch_1, .*cs\.toronto\.edu"):
        data.load_cifar10(tmp_path)
    write_folder(inner)
    assert len(data.load_cifar10(tmp_path).y_test) == 4
    (inner / "data_batch_3").unlink()
    with pytest.raises(FileNotFoundError, match="has no data_batch_3: "):
        data.load_cifar10(tmp_path)


class Calls:
    """Pickles to a call of print."""

    def __reduce__(self) -> Any:
        return print, ("never shown",)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (pickle.dumps({"data": Calls()}), "asks for (builtins|__builtin__).print, which is not part of an array"),
        (b"cos\nsystem\n(S'true'\ntR.", "asks for os.system"),
        (b"c_codecs\nencode\n(Va\nVrot13\ntR.", "encodes to 'rot13'"),
        (
            b"cnumpy._core.numeric\n_frombuffer\n(I3000000000\ncnumpy\ndtype\n(Vu1\ntR(I1\ntVC\ntR.",
            "an array made of int",  # bytes(3000000000) are 3 GB
        ),
        (pickle.dumps({b"data": np.zeros((4, 3072), np.uint8), b"labels": [0, 1, 2, 10]}), "labels must lie in 0 .. 9"),
        (pickle.dumps({b"data": np.zeros((4, 3072), np.uint8), b"labels": [0, 1, -1, 2]}), "got -1 .. 2"),
        (pickle.dumps({b"data": np.zeros((4, 3072), np.uint8), b"labels": [0, 1]}), "labels must be 4 integers"),
        (pickle.dumps({b"data": np.zeros((4, 3072), np.uint8), b"labels": [[0], [1, 2]]}), "not a list of numbers"),
        (pickle.dumps({b"data": np.zeros((4, 3000), np.uint8), b"labels": [0] * 4}), r"got uint8 of shape \(4, 3000\)"),
        (pickle.dumps({b"data": np.zeros((4, 3072)), b"labels": [0] * 4}), "got float64"),
        (pickle.dumps({b"data": np.array([{}]), b"labels": [0]}, 2), "an array of dtype 'O8', expected numbers"),
        (
            pickle.dumps({b"data": np.zeros((1, 3072), np.uint8), b"labels": [0]}, 2).replace(
                b"\x03X\x01\x00\x00\x00|", b"\x03X\x01\x00\x00\x00!"
            ),
            "an array of byte order '!'",
        ),
        (pickle.dumps({b"images": 1}), r"expected the keys data and labels, got \['images'\]"),
        (pickle.dumps([1, 2]), "expected a dictionary"),
        (b"not a pickle", "is damaged"),
        (b"", "is damaged"),
    ],
)
def test_bad_batches_are_refused_by_name(tmp_path: Path, capsys: Any, content: bytes, text: str):
    write_folder(tmp_path)
    (tmp_path / "data_batch_2").write_bytes(content)
    with pytest.raises(ValueError, match=f"data_batch_2.*{text}"):
        data.load_cifar10(tmp_path)
    assert capsys.readouterr().out == ""  # nothing in the pickle ran


def test_a_truncated_batch_is_refused(tmp_path: Path):
    write_folder(tmp_path)
    whole = (tmp_path / "data_batch_4").read_bytes()
    for length in (1, len(whole) // 2, len(whole) - 1):
        (tmp_path / "data_batch_4").write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"data_batch_4.*damaged"):
            data.load_cifar10(tmp_path)


def test_shuffled_visits_everything_once_and_leaves_no_batch_of_one():
    for n in range(1, 30):
        for size in range(1, 10):
            batches = list(data.shuffled(n, size, np.random.default_rng(0)))
            np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.arange(n))
            sizes = [len(batch) for batch in batches]
            assert size == 1 or n == 1 or min(sizes) > 1
            assert max(sizes) <= size + 1
            dropped = [len(b) for b in data.shuffled(n, size, np.random.default_rng(0), drop_last=True)]
            assert dropped == [size] * (n // size) or (n < size and dropped == [n])


def test_with_replacement_draws_the_notebooks_numbers():
    rng, legacy = np.random.RandomState(220), np.random.RandomState(220)
    batches = list(data.with_replacement(1000, 50, rng))
    assert len(batches) == 20
    for batch in batches:
        np.testing.assert_array_equal(batch, legacy.choice(1000, 50))
    assert len(list(data.with_replacement(10, 50, rng, steps=3))) == 3
    with pytest.raises(ValueError, match="batch size of at least 1"):
        list(data.shuffled(5, 0, rng))


def test_scikit_learns_sets_come_with_a_seed():
    pytest.importorskip("sklearn")
    x, y = data.load_digits()
    assert x.shape == (1797, 64)
    assert (x.min(), x.max(), y.max()) == (0.0, 1.0, 9)
    points, cloud = data.make_blobs(seed=1)
    assert points.shape == (1000, 2)
    assert set(cloud.tolist()) == {0, 1}
    again, _ = data.make_blobs(seed=1)
    np.testing.assert_array_equal(points, again)
    parts = data.train_test_split(points, cloud, seed=np.random.RandomState(0))
    assert [len(part) for part in parts] == [750, 250, 750, 250]
    assert data.make_blobs(10, seed=np.random.default_rng(0))[0].shape == (10, 2)
    nothing: Any = None
    with pytest.raises(TypeError, match="pass a seed"):
        data.make_blobs(seed=nothing)
