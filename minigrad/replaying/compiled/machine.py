"""From source to machine code, by numba; kept in a folder of the user's alone, so that the next process has it at once.

What is kept is an object file: loading it needs llvmlite, which numba brings, and not numba itself. Whoever can write
to the folder could make us run his code, so it is used only if it belongs to the user and nobody else may write there;
where there is no such folder, every process compiles for itself.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import stat
import tempfile
import weakref
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..._support.extras import needs
from .llvm import module_of

NAME = "minigrad_step"
_functions: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()  # by the hash of their source


def refuse_without_compiler() -> None:
    """ImportError, in words, where there is none."""
    if find_spec("llvmlite") is None:
        raise ImportError('a compiled step needs llvmlite, which numba brings (extra "fast"): pip install numba')


def function(source: str) -> Any:
    """The compiled function of a source: called with the addresses of its table and of its numbers."""
    llvm = needs("llvmlite.binding", "a compiled step", extra="fast", package="numba")
    key = _key(llvm, source)
    found = _functions.get(key)
    if found is None:
        folder = cache_folder()
        code = _read(folder, key) if folder is not None else None
        if code is None:
            code = _compiled(llvm, source)
            if folder is not None:
                _write(folder / f"{key}.o", code)
        found = _functions[key] = _loaded(llvm, code)
    return found


@functools.cache
def _emitter() -> str:
    """What makes code of a source, as text: another emitter makes other code."""
    return "".join(Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("llvm.py", "machine.py"))


def _key(llvm: Any, source: str) -> str:
    """A name for the source, and for all that its code depends on."""
    plain = "\n".join(line.partition("  # ")[0] for line in source.splitlines())
    target = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten(), llvm.get_process_triple()
    about = (_emitter(), plain, version("llvmlite"), *target)
    return hashlib.sha256(repr(about).encode()).hexdigest()[:32]


# compiling --------------------------------------------------------------------------------------------------


def _compiled(llvm: Any, source: str) -> bytes:
    """An object file."""
    ir = needs("llvmlite.ir", "a compiled step", extra="fast", package="numba")
    machine = _machine(llvm)
    emitted = module_of(ir, NAME, source)
    emitted.triple = llvm.get_process_triple()
    emitted.data_layout = str(machine.target_data)
    module = llvm.parse_assembly(str(emitted))
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = options.slp_vectorization = True
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    code: bytes = machine.emit_object(module)
    return code


def _machine(llvm: Any) -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    cpu, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    return target.create_target_machine(cpu=cpu, features=features, opt=3, codemodel="jitdefault", jit=True)


def _loaded(llvm: Any, code: bytes) -> Any:
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine(llvm))
    engine.add_object_file(llvm.object_file.ObjectFileRef.from_data(code))
    engine.finalize_object()
    kind = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p)
    code_there: Any = kind(engine.get_function_address(NAME))
    code_there.engine = engine  # which goes with the last program that calls it
    return code_there


# the folder -------------------------------------------------------------------------------------------------


def cache_folder() -> Path | None:
    """A folder that belongs to this user and to which nobody else may write; None where there is none."""
    given = os.environ.get("MINIGRAD_CACHE") or os.environ.get("XDG_CACHE_HOME")
    try:
        base = Path(given) if given else Path.home() / ".cache"
        folder = base / "minigrad" / "compiled"
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
        about = folder.lstat()
    except (OSError, RuntimeError):
        return None
    mine = not hasattr(os, "getuid") or about.st_uid == os.getuid()
    alone = os.name == "nt" or not about.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    return folder if mine and alone and stat.S_ISDIR(about.st_mode) else None


def _read(folder: Path, key: str) -> bytes | None:
    try:
        data = (folder / f"{key}.o").read_bytes()
    except OSError:
        return None
    digest, code = data[:32], data[32:]
    return code if hashlib.sha256(code).digest() == digest else None  # cut short, or damaged


def _write(path: Path, code: bytes) -> None:
    try:
        handle, name = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(code).digest() + code)
        os.replace(name, path)
    except OSError:  # read-only, or full
        return
