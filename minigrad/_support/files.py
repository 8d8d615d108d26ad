"""Files written aside and renamed, so that nobody ever finds half of one; arrays by name in .npz, never pickled.

A name that ends in .safetensors is that format, where the package is there. Knows NumPy and the file system alone.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np

from .extras import needs

PathLike: TypeAlias = "str | os.PathLike[str]"


@contextlib.contextmanager
def written_aside(path: PathLike) -> Iterator[IO[bytes]]:
    """A binary file to write that becomes `path` at the end, whole, or not at all if something fails.

    It is flushed to the disk before it is renamed: after a crash at any moment `path` holds the old or the new.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot write {target}: there is no folder {target.parent}")
    part = target.with_name(f".{target.name}.part")
    try:
        with open(part, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def save_arrays(path: PathLike, arrays: Mapping[str, Any]) -> None:
    """Write arrays by name as .npz, or as .safetensors if `path` ends so.

    The same arrays give the same bytes: no times, no compression, no pickle.
    """
    import zipfile

    checked = {name: np.asarray(array) for name, array in arrays.items()}
    for name, array in checked.items():
        if array.dtype.hasobject:
            raise TypeError(f"{name} holds Python objects; only plain arrays are saved")
    if _is_safetensors(path):
        whole = _safetensors().save({name: array.copy(order="C") for name, array in checked.items()})
        with written_aside(path) as file:
            file.write(whole)
        return
    with written_aside(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in checked.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def load_arrays(path: PathLike) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of an .npz or .safetensors file by name; ValueError if it is damaged or would need unpickling."""
    if _is_safetensors(path):
        library = _safetensors()
    try:
        with open(path, "rb") as file:
            if _is_safetensors(path):
                loaded: dict[str, np.ndarray[Any, Any]] = library.load(file.read())
                return loaded
            found: Any = np.load(file, allow_pickle=False)
            if not isinstance(found, np.lib.npyio.NpzFile):
                raise ValueError("it is not an .npz archive")
            with found:
                return {name: found[name] for name in found.files}
    except OSError:  # not there, or not readable: that says it all
        raise
    except Exception as error:  # a damaged file makes NumPy and zipfile raise whatever their parsers do
        raise ValueError(f"{os.fspath(path)} cannot be read as arrays by name: {error}") from error


def _is_safetensors(path: PathLike) -> bool:
    return os.fspath(path).endswith(".safetensors")


def _safetensors() -> Any:
    return needs("safetensors.numpy", "a .safetensors file", extra="safetensors")
