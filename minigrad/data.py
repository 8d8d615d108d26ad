"""Data sets as plain arrays, and mini-batches as index arrays. Knows NumPy; scikit-learn where it is asked for.

CIFAR-10 is read from the official python batches with an unpickler that can build NumPy arrays and nothing else.
"""

from __future__ import annotations

import codecs
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ._support.extras import needs
from ._support.files import PathLike
from ._support.randomness import Generator, Source, generator
from ._support.signatures import Array, ArrayLike

# --------------------------------------------------------------------------------------------------------------
# Mini-batches


def shuffled(n: int, batch_size: int, rng: Generator, *, drop_last: bool = False) -> Iterator[Array]:
    """Index arrays that visit 0 .. n - 1 once in random order, `batch_size` at a time.

    What is left at the end is a smaller batch, or is dropped; a last batch of one is merged into the one before, for
    batch norm cannot train on one sample.

    >>> [batch.size for batch in shuffled(7, 3, np.random.default_rng(0))]
    [3, 4]
    """
    _check_sizes("shuffled", n, batch_size)
    order = rng.permutation(n)
    starts = list(range(0, n, batch_size))
    left = n - starts[-1]
    if len(starts) > 1 and left < batch_size and (drop_last or left == 1):
        starts.pop()
    ends = [*starts[1:], starts[-1] + batch_size if drop_last and n >= batch_size else n]
    for start, end in zip(starts, ends, strict=True):
        yield order[start:end]


def with_replacement(n: int, batch_size: int, rng: Generator, *, steps: int | None = None) -> Iterator[Array]:
    """`steps` (n // batch_size) index arrays, each drawn anew from 0 .. n - 1: rng.choice(n, batch_size).

    As the cs231n notebook's solver does; with a RandomState, the very same numbers.
    """
    _check_sizes("with_replacement", n, batch_size)
    for _ in range(max(n // batch_size, 1) if steps is None else steps):
        yield np.asarray(rng.choice(n, batch_size))


def _check_sizes(who: str, n: int, batch_size: int) -> None:
    if n < 1 or batch_size < 1:
        raise ValueError(f"{who}: there must be data and a batch size of at least 1, got n={n} and {batch_size}")


# --------------------------------------------------------------------------------------------------------------
# CIFAR-10


class Cifar10(NamedTuple):
    """Images (N, 3, 32, 32) as bytes, labels (N,) as integers 0 .. 9, and what the labels mean."""

    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array
    names: tuple[str, ...]


WHERE = (
    "https://www.cs.toronto.edu/~kriz/cifar.html ('CIFAR-10 python version', 163 MB); unpack it and pass the folder "
    "cifar-10-batches-py"
)
_BATCHES = [f"data_batch_{k}" for k in range(1, 6)]
_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def load_cifar10(folder: PathLike) -> Cifar10:
    """CIFAR-10 from the folder of its official python batches: 50,000 training and 10,000 test images.

    FileNotFoundError says what is missing and where it comes from; ValueError names the file that is damaged, has
    wrong shapes or labels, or whose pickle asks for anything but NumPy arrays (such a file is not run).
    """
    root = Path(folder)
    if not (root / "data_batch_1").exists() and (root / "cifar-10-batches-py").is_dir():
        root = root / "cifar-10-batches-py"
    missing = [name for name in (*_BATCHES, "test_batch") if not (root / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{root} has no {', '.join(missing)}: it is not the CIFAR-10 folder. It comes from {WHERE}"
        )
    train = [_read_batch(root / name) for name in _BATCHES]
    x_test, y_test = _read_batch(root / "test_batch")
    return Cifar10(np.concatenate([x for x, _ in train]), np.concatenate([y for _, y in train]), x_test, y_test, _NAMES)


def _read_batch(path: Path) -> tuple[Array, Array]:
    content = _Arrays.read(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a dictionary with data and labels, got {type(content).__name__}")
    by_name = {key.decode() if isinstance(key, bytes) else key: value for key, value in content.items()}
    if "data" not in by_name or "labels" not in by_name:
        raise ValueError(f"{path}: expected the keys data and labels, got {sorted(map(str, by_name))}")
    data = by_name["data"]
    try:
        labels = np.asarray(by_name["labels"])
    except ValueError as error:
        raise ValueError(f"{path}: the labels are not a list of numbers: {error}") from error
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != 3072:
        raise ValueError(f"{path}: data must be bytes of shape (N, 3072), got {_described(data)}")
    if labels.dtype.kind not in "iu" or labels.shape != (len(data),):
        raise ValueError(f"{path}: labels must be {len(data)} integers, got {_described(labels)}")
    if labels.size and (labels.min() < 0 or labels.max() > 9):
        raise ValueError(f"{path}: labels must lie in 0 .. 9, got {labels.min()} .. {labels.max()}")
    return data.reshape(-1, 3, 32, 32), labels.astype(np.int64)


def _described(x: Any) -> str:
    return f"{x.dtype} of shape {x.shape}" if isinstance(x, np.ndarray) else type(x).__name__


# What the pickle of an array is made of, as stand-ins in Python. NumPy's own builders believe every state that they
# are given, and a damaged one ends in a crash of the interpreter.


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """The one use of codecs.encode in pickles of arrays: bytes written as text by Python 3 in protocol 2."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"it encodes to {encoding!r}, which no array needs")
    return codecs.encode(text, "latin1")


class _DType:
    """A dtype of plain numbers."""

    def __init__(self, code: Any, *_: Any) -> None:
        if code not in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "b1"):
            raise pickle.UnpicklingError(f"it holds an array of dtype {code!r}, expected numbers")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        if state[1] not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError(f"it holds an array of byte order {state[1]!r}")
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """An array, made whole from bytes, dtype and shape, or refused."""

    array: Array | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, by_columns, content = state
        self.array = _filled(content, dtype, shape, "F" if by_columns else "C").array

    def __repr__(self) -> str:
        return "an unfinished array"


def _filled(content: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    made = _Array()
    data = content.encode("latin1") if isinstance(content, str) else bytes(content)  # Python 2 wrote text
    made.array = np.frombuffer(data, dtype.dtype).reshape(shape, order=order)
    return made


class _Arrays(pickle.Unpickler):
    """An unpickler that knows what NumPy arrays are made of, and refuses every other name."""

    _allowed: dict[tuple[str, str], Any] = {  # noqa: RUF012
        ("numpy", "ndarray"): object,
        ("numpy", "dtype"): _DType,
        ("_codecs", "encode"): _encode,
        **{(f"numpy.{core}.multiarray", "_reconstruct"): lambda *_: _Array() for core in ("core", "_core")},
        **{(f"numpy.{core}.numeric", "_frombuffer"): _filled for core in ("core", "_core")},
    }

    def find_class(self, module: str, name: str) -> Any:
        made = self._allowed.get((module, name))
        if made is None:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not part of an array")
        return lambda *args: made(*args)  # a new function each time: a pickle may set attributes of what it names

    @classmethod
    def read(cls, path: Path) -> Any:
        """What the pickle holds; a dictionary with its arrays as arrays."""
        with open(path, "rb") as file:
            try:
                content = cls(file, encoding="latin1").load()
            except Exception as error:  # a damaged pickle may raise anything
                raise ValueError(f"{path} is not a CIFAR-10 batch, or is damaged: {error}") from error
        if isinstance(content, dict):
            return {key: x.array if isinstance(x, _Array) else x for key, x in content.items()}
        return content


# --------------------------------------------------------------------------------------------------------------
# From scikit-learn


def load_digits() -> tuple[Array, Array]:
    """scikit-learn's 8 x 8 digits: 1797 images as (1797, 64) in 0 .. 1, labels 0 .. 9."""
    x, y = needs("sklearn.datasets", "load_digits", package="scikit-learn").load_digits(return_X_y=True)
    return x / 16.0, y.astype(np.int64)


def make_blobs(
    samples: int = 1000, centers: ArrayLike = ((0.0, 0.0), (0.5, 0.1)), std: float = 0.25, *, seed: Source
) -> tuple[Array, Array]:
    """Gaussian clouds, as many as there are centers: points (samples, features) and the number of their cloud.

    By default the two of seed 001, 1000 points in all; the best possible classifier is right on 84.6 % of them.
    """
    blobs = needs("sklearn.datasets", "make_blobs", package="scikit-learn").make_blobs
    x, y = blobs(n_samples=samples, centers=np.asarray(centers, float), cluster_std=std, random_state=_legacy(seed))
    return x, y.astype(np.int64)


def train_test_split(x: Array, y: Array, *, test: float = 0.25, seed: Source) -> tuple[Array, Array, Array, Array]:
    """x_train, x_test, y_train, y_test: rows in random order, the share `test` of them set apart."""
    split = needs("sklearn.model_selection", "train_test_split", package="scikit-learn").train_test_split
    x_train, x_test, y_train, y_test = split(x, y, test_size=test, random_state=_legacy(seed))
    return x_train, x_test, y_train, y_test


def _legacy(seed: Source) -> Any:
    """scikit-learn takes integers and RandomStates; a Generator gives it a seed."""
    if isinstance(seed, np.random.Generator):
        return int(seed.integers(2**31))
    if not isinstance(seed, np.random.RandomState):
        generator(seed, "data")
    return seed
