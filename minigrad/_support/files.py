"""Files written aside and renamed, so that nobody ever finds half of one; arrays by name in .npz, never pickled.

A name that ends in .safetensors is that format, where the package is there. Knows NumPy and the file system alone.
"""

from __future__ import annotations

import contextlib
import glob
import io
import math
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np

from .extras import needs
from .text import listed, visible

PathLike: TypeAlias = "str | os.PathLike[str]"
Arrays: TypeAlias = "dict[str, np.ndarray[Any, Any]]"
_STREAMS = re.compile(r"/(?:dev|proc/self)/fd/(\d+)|/dev/std(in|out|err)")
ABANDONED = 3600.0  # seconds after which a part that nobody writes to is that of a process that was killed


@contextlib.contextmanager
def written_aside(path: PathLike) -> Iterator[IO[bytes]]:
    """A binary file to write that becomes `path` at the end, whole, or not at all if something fails.

    It is flushed to the disk before it is renamed: after a crash at any moment `path` holds the old or the new. Each
    writer has a part file of its own. A link stays a link, and a file that was there gives the new one its mode and
    owner. A device, a pipe or a standard stream is no file to rename: the whole is written into it at the end.
    """
    try:
        number = _STREAMS.fullmatch(os.path.abspath(path))
        if number or _is_special(path):
            whole = io.BytesIO()
            yield whole
            # a stream is written where it stands: opened anew, the file that it was sent to would begin at its start
            with open(
                os.dup(int(number[1] or ("in", "out", "err").index(number[2]))) if number else path, "wb"
            ) as stream:
                stream.write(whole.getbuffer())
        else:
            with _renamed(path) as file:
                yield file
    except OSError as error:
        if error.filename is not None or error.errno is None:  # it says all, or is the caller's own
            raise
        raise OSError(error.errno, f"cannot be written: {error.strerror}", os.fspath(path)) from error


def identity(path: PathLike) -> tuple[int, ...] | None:
    """What tells the file at a path from another that took its place; None where there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _is_special(path: PathLike) -> bool:
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


@contextlib.contextmanager
def _renamed(path: PathLike) -> Iterator[IO[bytes]]:
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot write {visible(path)}: there is no folder {visible(target.parent)}")
    if target.is_dir():
        raise IsADirectoryError(f"cannot write {visible(path)}: it is a folder")
    before = os.stat(target) if target.exists() else None
    part = target.with_name(f".{target.name[:40]}.{os.urandom(8).hex()}.part")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        with open(os.open(part, flags, 0o666 if before is None else 0o600), "wb") as file:
            yield file
            file.flush()
            if before is not None:
                with contextlib.suppress(OSError, AttributeError):  # another's file, or a system without owners
                    os.chown(part, before.st_uid, before.st_gid)
                os.chmod(part, stat.S_IMODE(before.st_mode))
            os.fsync(file.fileno())
        os.replace(part, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink()
        if isinstance(error, OSError) and error.filename == str(part):
            error.filename, error.filename2 = None, None  # the part is nobody's business
        raise
    parts = f".{glob.escape(target.name[:40])}.{'[0-9a-f]' * 16}.part"
    with contextlib.suppress(OSError):
        for left in target.parent.glob(parts):
            if time.time() - left.stat().st_mtime > ABANDONED:
                left.unlink()


# --------------------------------------------------------------------------------------------------------------
# Arrays by name


def save_arrays(path: PathLike, arrays: Mapping[str, Any]) -> None:
    """Write arrays by name as .npz, or as .safetensors if `path` ends so.

    The same arrays give the same bytes: no times, no compression, no pickle.
    """
    import zipfile

    checked = {name: np.asarray(array) for name, array in arrays.items()}
    for name, array in checked.items():
        if array.dtype.hasobject:
            raise TypeError(f"{visible(name)} holds Python objects; only plain arrays are saved")
        if "\0" in name or name.encode("utf-8", "replace").decode() != name or f"{name}.npy" in checked:
            raise ValueError(f"{visible(name)} cannot be the name of an array in a file; call it something else")
    if _is_safetensors(path):
        whole = _safetensors().save({name: array.copy(order="C") for name, array in checked.items()})
        with written_aside(path) as file:
            file.write(whole)
        return
    with written_aside(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in checked.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def load_arrays(path: PathLike, check: Callable[[Arrays], None] | None = None) -> Arrays:
    """The arrays of an .npz or .safetensors file by name; ValueError if it is damaged or would need unpickling.

    `check` is called before any data is unpacked, with arrays of the shapes and dtypes that the file announces and no
    memory of their own; what it raises leaves from here.
    """
    import zipfile

    library = _safetensors() if _is_safetensors(path) else None
    check = check or (lambda headers: None)
    with open(path, "rb") as file:
        if library is not None:
            with _readable(path):
                loaded: Arrays = library.load(file.read())
            check(loaded)
            return loaded
        with _readable(path):
            archive = zipfile.ZipFile(_zipped(file))
        with archive:
            with _readable(path):
                entries = _entries(archive)
                headers = {name: _header(archive, name, entry) for name, entry in entries.items()}
            check({name: header for name, (header, _) in headers.items()})
            with _readable(path):
                return {name: _read(archive, entries[name], *header) for name, header in headers.items()}


@contextlib.contextmanager
def _readable(path: PathLike) -> Iterator[None]:
    """A damaged file makes NumPy and zipfile raise whatever their parsers do."""
    try:
        yield
    except Exception as error:
        said = visible(error) or type(error).__name__
        raise ValueError(f"{visible(path)} cannot be read as arrays by name: {said}") from error


_OTHERS = {
    b"\x93NUMPY": "it is a single array (.npy)",
    b"\x80": "it is a pickle, perhaps PyTorch's; see minigrad.export.from_torch_state",
    b"\x89HDF": "it is an HDF5 file, perhaps Keras'; see minigrad.export.from_keras_weights",
}


def _zipped(file: IO[bytes]) -> IO[bytes]:
    """The file, if it begins as an .npz archive does; ValueError says what else it is."""
    start = file.read(8)
    file.seek(0)
    if not start.startswith(b"PK"):
        known = (what for magic, what in _OTHERS.items() if start.startswith(magic))
        raise ValueError(next(known, "it is not an .npz archive" if start else "it is empty"))
    return file


def _entries(archive: Any) -> dict[str, Any]:
    names = [entry.filename for entry in archive.infolist()]
    if any(name.endswith("data.pkl") for name in names):
        raise ValueError("it is PyTorch's; torch.load it, then minigrad.export.from_torch_state(model, state)")
    if "model.weights.h5" in names:
        raise ValueError("it is Keras'; read it there, then minigrad.export.from_keras_weights(model, weights)")
    strange = [name for name in names if not name.endswith(".npy")]
    if strange or len(set(names)) < len(names):
        raise ValueError(f"not arrays: {listed(strange, 3, ', ')}" if strange else "two arrays have one name")
    return {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}


def _header(archive: Any, name: str, entry: Any) -> tuple[np.ndarray[Any, Any], bool]:
    """An array of an entry's shape and dtype without memory, and whether its columns come first."""
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{name} is in version {version} of NumPy's format")
        one, two = np.lib.format.read_array_header_1_0, np.lib.format.read_array_header_2_0
        shape, by_columns, dtype = (one if version == (1, 0) else two)(file)
        if dtype.hasobject:
            raise ValueError(f"{name} holds Python objects, which would need unpickling")
        if math.prod(shape) * dtype.itemsize != entry.file_size - file.tell():
            raise ValueError(f"{name} does not have the bytes of {dtype} {shape}")
    return np.broadcast_to(np.empty((), dtype), shape), by_columns


def _read(archive: Any, entry: Any, header: np.ndarray[Any, Any], by_columns: bool) -> np.ndarray[Any, Any]:
    with archive.open(entry) as file:
        file.read(entry.file_size - header.nbytes)
        content = bytearray(file.read())  # to the end, where the checksum is compared
    return np.ndarray(header.shape, header.dtype, content, order="F" if by_columns else "C")


def _is_safetensors(path: PathLike) -> bool:
    return os.fspath(path).endswith(".safetensors")


def _safetensors() -> Any:
    return needs("safetensors.numpy", "a .safetensors file", extra="safetensors")
