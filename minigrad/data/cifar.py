"""CIFAR-10 from its official python batches, with an unpickler that can build NumPy arrays and nothing else."""

from __future__ import annotations

import codecs
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._support.files import PathLike
from .._support.signatures import Array


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
    if not isinstance(content, (str, bytes, bytearray)):  # bytes() of a number is as many zeros
        raise pickle.UnpicklingError(f"it holds an array made of {type(content).__name__}")
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
