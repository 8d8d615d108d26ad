"""The data: CIFAR-10 as the notebook prepares it, or scikit-learn's digits where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minigrad import data
from minigrad.data.cifar import WHERE

Array = np.ndarray[Any, Any]


class Data(NamedTuple):
    """Rows with the mean of the training images subtracted, float32, flattened as (3, 32, 32) in C order."""

    name: str
    X_train: Array
    y_train: Array
    X_val: Array
    y_val: Array
    is_cifar: bool

    @property
    def dim(self) -> int:
        """Numbers in an image."""
        return int(self.X_train.shape[1])


def load(path: str | None, num_train: int = 1000) -> Data:
    """The first `num_train` training images and the notebook's 1000 for validation.

    path: the folder of the official python batches, or the project's .npz subset of them; None for the digits.
    """
    if path is None:
        x, y = data.load_digits()
        x = x - x[:num_train].mean(axis=0)
        name = "scikit-learn's digits, 8 x 8 (no --data was given: the notebook's numbers belong to CIFAR-10)"
        return Data(name, _rows(x[:num_train]), y[:num_train], _rows(x[num_train:]), y[num_train:], False)
    if not Path(path).exists():
        raise FileNotFoundError(f"--data {path} is not there; CIFAR-10 comes from {WHERE}")
    if Path(path).is_dir():
        cifar = data.load_cifar10(path)
        mean = cifar.x_train[:49000].mean(axis=0)
        parts = (cifar.x_train[:num_train], cifar.y_train[:num_train], cifar.x_train[49000:], cifar.y_train[49000:])
    else:
        from minigrad._support.files import load_arrays

        arrays = load_arrays(path)
        wanted = ("X_train", "y_train", "X_val", "y_val", "mean_image_49000")
        missing = [name for name in wanted if name not in arrays]
        if missing:
            raise ValueError(f"{path} has no {', '.join(missing)}: it is not the CIFAR-10 subset")
        mean = arrays["mean_image_49000"]
        parts = (arrays["X_train"][:num_train], arrays["y_train"][:num_train], arrays["X_val"], arrays["y_val"])
    x_train, y_train, x_val, y_val = parts
    if len(x_train) < num_train:
        raise ValueError(f"{path} has {len(x_train)} training images, {num_train} are needed")
    labels = (y_train.astype(np.int64), y_val.astype(np.int64))
    return Data(f"CIFAR-10 ({path})", _rows(x_train - mean), labels[0], _rows(x_val - mean), labels[1], True)


def _rows(x: Array) -> Array:
    return x.reshape(len(x), -1).astype(np.float32)
