"""Find a program that renders DOT, and run it. The standard library only; never a shell, always a time-out."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import warnings
from functools import lru_cache
from pathlib import Path

PURE_FORMATS = {"svg", "png", "json", "plain", "dot", "xdot"}

TOGETHER = "\n\tnewrank=true\n"  # a line of its own in every document of dot.py: no name can hold a line end

HINT = """Graphviz's `dot` was not found, so this graph cannot be drawn as {format}.
Any one of these fixes it:
  pip install graphviz-pure==0.2.2   (what the extra "viz" asks for: a 6 MB wheel, no system package; SVG and PNG)
  apt install graphviz | brew install graphviz | winget install Graphviz.Graphviz | conda install graphviz
  MINIGRAD_DOT=/path/to/dot          (if it is installed but not on PATH)
Without it: mg.draw(y).dot is the DOT text (paste it into any Graphviz viewer), print(mg.draw(y)) shows a table."""

PDF_HINT = """PDF needs a system Graphviz: graphviz-pure draws SVG and PNG only.
  apt install graphviz | brew install graphviz | winget install Graphviz.Graphviz | conda install graphviz
Or save("x.svg") and convert that."""


class RendererNotFound(RuntimeError):
    """No program that can render DOT; the message says how to get one."""


def programs(format: str = "svg") -> list[str]:
    """The programs to try, best first: graphviz-pure of this environment, whose version is pinned, then `dot` on PATH.

    MINIGRAD_DOT overrides both: one that is not a program is an error, never a silent fallback. PDF needs `dot`.
    RendererNotFound where there is none.
    """
    chosen = os.environ.get("MINIGRAD_DOT")
    pure, dot = None if chosen else _pure(), shutil.which(chosen or "dot")
    if chosen and dot is None:
        raise RendererNotFound(f"MINIGRAD_DOT={chosen!r} is not a program that can be run; unset or correct it")
    found = [program for program in (pure if format in PURE_FORMATS else None, dot) if program is not None]
    if not found:
        raise RendererNotFound(PDF_HINT if pure is not None and format == "pdf" else HINT.format(format=format))
    return found


@lru_cache(maxsize=1)
def _pure() -> str | None:
    """graphviz-pure of this very environment, also when its bin folder is not on PATH, as in notebook kernels."""
    try:
        for file in importlib.metadata.distribution("graphviz-pure").files or ():
            path = Path(str(file.locate()))
            if file.name in ("graphviz-pure", "graphviz-pure.exe") and path.is_file():
                return str(path.resolve())
    except importlib.metadata.PackageNotFoundError:
        pass
    return shutil.which("graphviz-pure")


def render(dot: str, format: str = "svg", *, timeout: float = 60, options: tuple[str, ...] = ()) -> bytes:
    """The picture of a DOT text. TimeoutError and RuntimeError say what to do.

    Where a program that nobody asked for by name fails, the next one is tried, with a warning that says so.
    """
    first, *others = programs(format)
    try:
        return _rendered([first, f"-T{format}", *options], dot, format, timeout)
    except (RendererNotFound, RuntimeError) as error:
        if not others:
            raise
        warnings.warn(f"{error}; {others[0]} drew this picture instead", RuntimeWarning, stacklevel=2)
        return _rendered([others[0], f"-T{format}", *options], dot, format, timeout)


def _rendered(command: list[str], dot: str, format: str, timeout: float) -> bytes:
    done = _run(command, dot, timeout)
    if done.returncode and b"init_rank" in done.stderr:
        # older Graphviz cannot rank some nested clusters together; ranked one by one they come out a bit longer
        done = _run(command, dot.replace(TOGETHER, "\n", 1), timeout)
    # widths of non-ASCII letters are guessed, which graphviz-pure says for every single one of them
    said = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if line and "non-ASCII" not in line]
    if done.returncode or not done.stdout:
        if format == "pdf" and any("ormat" in line for line in said):
            raise RendererNotFound(PDF_HINT)
        name = Path(command[0]).name
        raise RuntimeError(f"{name} failed (exit {done.returncode}): {'; '.join(said)[:500] or 'no output'}")
    return done.stdout


def _run(command: list[str], dot: str, timeout: float) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(command, input=dot.encode("utf-8", "replace"), capture_output=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        fewer = "draw fewer nodes (depth=0, module=, detail=0), or pass timeout="
        raise TimeoutError(f"{Path(command[0]).name} took more than {timeout:g} s: {fewer}") from None
    except OSError as error:
        raise RendererNotFound(f"{command[0]} could not be run ({error}); set MINIGRAD_DOT to a working dot") from error
