"""The learner's file: written once and never again, read, and spoken of by line."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from .._support.text import visible
from ..core.tensor import Tensor
from .kinds import Exercise, Functions

FILE = '''"""Exercise {name}: {title}.

{text}

Check it as often as you like:  minigrad exercise check {file}{more}
"""

import numpy as np

import minigrad as mg

EXERCISE = "{name}"
'''


class Failed(Exception):
    """Something is wrong with the learner's file; one line that says where and what."""

    def __init__(self, file: Path, line: int | None, message: str) -> None:
        where = f"{file}, line {line}" if line else str(file)
        super().__init__(" ".join(f"{where}: {message}".split()))


def template(exercise: Exercise, file: str, more: str = "") -> str:
    """The text of a new file: the task, and the functions to write."""
    head = FILE.format(name=exercise.name, title=exercise.title, text=exercise.text, file=file, more=more)
    returns = ", ".join(exercise.gradients)
    docs = {
        "rule": f"Return {returns}.",
        "save": "Return a tuple of what rule reuses.",
        "backward": "Return the gradients by name.",
    }
    parts = []
    for name, params in exercise.asks.items():
        body = "    raise NotImplementedError"
        if name == "backward":
            given = ", ".join(f'"{step}": {step}' for step in exercise.steps)
            body += f"\n    # return {{{given}}}"
        parts.append(f'\n\ndef {name}({", ".join(params)}):\n    """{docs[name]}"""\n{body}\n')
    return head + "".join(parts)


def start(exercise: Exercise, path: Path, more: str = "") -> None:
    """Write a new file for the exercise; FileExistsError where there is one, which is left alone.

    more: what follows the file's name on the command line that checks it.
    """
    text = template(exercise, path.name, more).encode()
    with open(path, "xb") as file:
        try:
            file.write(text)
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def read(path: Path) -> dict[str, Any]:
    """The names that the file defines, after running it; Failed for whatever goes wrong."""
    try:
        text = importlib.util.decode_source(path.read_bytes())  # as Python does: a byte order mark, a coding line
    except OSError as error:
        raise Failed(path, None, f"cannot be read ({error.strerror or error})") from None
    except (UnicodeDecodeError, SyntaxError):
        raise Failed(path, None, "is not a text file in UTF-8") from None
    names: dict[str, Any] = {"__name__": "exercise", "__file__": str(path)}
    try:
        exec(compile(text, str(path), "exec"), names)
    except SyntaxError as error:
        raise Failed(path, error.lineno, f"{error.msg}") from None
    except ValueError as error:  # null bytes
        raise Failed(path, None, f"is not Python ({error})") from None
    except (Exception, SystemExit) as error:
        raise failure(error, path) from error
    return names


def functions_of(exercise: Exercise, names: dict[str, Any], path: Path) -> Functions:
    """The functions that the exercise asks for; Failed where one is missing or takes something else."""
    found: dict[str, Callable[..., Any]] = {}
    for name, params in exercise.asks.items():
        expected = f"{name}({', '.join(params)})"
        function = names.get(name)
        if not callable(function):
            raise Failed(path, None, f"there is no function {expected}, which the exercise {exercise.name} asks for")
        try:
            signature = inspect.signature(function)
            signature.bind(*params)
        except TypeError:
            line = defined_at(function)
            raise Failed(path, line, f"expected def {expected}, got def {name}{signature}") from None
        found[name] = function
    return found


def defined_at(function: Any) -> int | None:
    """The line of its def."""
    code = getattr(function, "__code__", None)
    return code.co_firstlineno if code is not None else None


def failure(error: BaseException, path: Path) -> Failed:
    """An exception from the learner's code as one line: the innermost line of their file, and what happened."""
    lines = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == str(path)]
    line = lines[-1] if lines else None
    if isinstance(error, NotImplementedError):
        return Failed(path, line, "this is not written yet")
    text = visible(error, 2000) or "no message"
    if isinstance(error, ValueError) and "read-only" in text:
        text += " (a rule must not write into what it is given: other rules read it too)"
    if isinstance(error, ValueError) and "broadcast" in text:
        text += " (a wrong axis, or keepdims=True left out?)"
    return Failed(path, line, f"{type(error).__name__}: {text}")


@contextmanager
def local_names(functions: Functions) -> Iterator[None]:
    """In here, a Tensor without a name takes the name of the variable that one of the functions kept it in.

    Seen as each returns: what a variable held before it was assigned again stays without a name.
    """
    codes = {getattr(function, "__code__", None) for function in functions.values()}

    def look(frame: FrameType, event: str, _: Any) -> None:
        if event == "return" and frame.f_code in codes:
            for name, x in frame.f_locals.items():
                if isinstance(x, Tensor) and x.name is None:
                    x.named(name)

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        yield
    finally:
        sys.setprofile(before)
