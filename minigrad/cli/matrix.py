"""Reading a matrix of numbers from .npy, .npz or .csv, or saying in one line what is wrong with it."""

from __future__ import annotations

import csv
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .problems import Problem

Matrix = npt.NDArray[np.float64]


def read_matrix(name: str) -> Matrix:
    """A finite 2-D array of float64 with at least two rows and one column; rows = batch, columns = features."""
    if not name:
        raise Problem("DATA is empty; give the name of a .npy, .npz or .csv file")
    path, _, key = name.partition(":") if not Path(name).exists() else (name, "", "")
    file = Path(path)
    if not file.exists():
        raise Problem(f"{name}: no such file; give a .npy, .npz or .csv file with a matrix (rows = batch)")
    if file.is_dir():
        raise Problem(f"{name} is a folder; give a .npy, .npz or .csv file")
    npy = partial(np.lib.format.open_memmap, mode="r")  # a damaged header may claim more than there is
    readers: dict[str, Callable[[Path], Any]] = {".npy": npy, ".npz": partial(_npz, key=key), ".csv": _csv}
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise Problem(f"{name}: unknown kind of file {file.suffix!r}; expected .npy, .npz or .csv")
    try:
        found = reader(file)
    except Problem:
        raise
    except Exception as error:  # a damaged header makes NumPy raise whatever its parsers do
        raise Problem(f"{name}: cannot be read as {file.suffix}: {error or type(error).__name__}") from error
    return _checked(name, found)


def _npz(file: Path, key: str) -> Any:
    # opened here, since NumPy leaves the file open when it turns out to be no archive
    with open(file, "rb") as stream, np.load(stream, allow_pickle=False) as archive:
        names = list(archive.files)
        if not key and len(names) == 1:
            key = names[0]
        if key not in names:
            if not names:
                raise Problem(f"{file} holds no arrays")
            asked = f"has no array {key!r}" if key else "holds several arrays"
            raise Problem(f"{file} {asked}; choose one as {file}:NAME from {', '.join(names)}")
        return archive[key]


def _csv(file: Path) -> Any:
    rows: list[list[float]] = []
    with open(file, newline="", encoding="utf-8-sig") as lines:
        reader = csv.reader(lines)
        for cells in reader:
            if not cells or (len(cells) == 1 and not cells[0].strip()):
                continue
            where = f"{file}, line {reader.line_num}"
            if rows and len(cells) != len(rows[0]):
                raise Problem(f"{where}: {len(cells)} cells, but the first row has {len(rows[0])}")
            rows.append([_number(cell, f"{where}, column {k}") for k, cell in enumerate(cells, 1)])
    return np.array(rows, dtype=float)


def _number(cell: str, where: str) -> float:
    try:
        return float(cell)
    except ValueError:
        what = f"{cell.strip()[:40]!r} is not a number" if cell.strip() else "an empty cell"
        raise Problem(f"{where}: {what}; every cell must be a number (remove a header line)") from None


def _checked(name: str, found: Any) -> Matrix:
    if found.dtype.kind not in "fiub":
        raise Problem(f"{name} holds {found.dtype}; expected real numbers")
    if found.size == 0:
        raise Problem(f"{name} is empty (shape {found.shape}); expected a matrix of numbers")
    if found.ndim != 2:
        raise Problem(f"{name} has shape {found.shape}; expected two dimensions: rows = batch, columns = features")
    if len(found) < 2:
        raise Problem(f"{name} has one row; batch statistics need at least two")
    matrix = np.array(found, dtype=np.float64)
    if not np.isfinite(matrix).all():
        row, column = (int(k) for k in np.argwhere(~np.isfinite(matrix))[0])
        raise Problem(f"{name}: row {row + 1}, column {column + 1} is {matrix[row, column]}; numbers must be finite")
    return matrix
