"""How far things are that move when they are used: iterators, generators of random numbers, an optimizer's options."""

from __future__ import annotations

import random
import types
import warnings
from collections import deque
from typing import Any

import numpy as np

from ..optim.optimizers import Optimizer

GENERATORS = (np.random.Generator, np.random.RandomState, np.random.BitGenerator, random.Random)


def bits_of(generator: Any) -> Any:
    """What holds the state of a generator of random numbers."""
    return generator.bit_generator if isinstance(generator, np.random.Generator) else generator


def state_of(generator: Any) -> Any:
    """The state of a generator of random numbers."""
    generator = bits_of(generator)
    if isinstance(generator, np.random.BitGenerator):
        return generator.state
    return generator.getstate() if isinstance(generator, random.Random) else generator.get_state()


def put_state(generator: Any, state: Any) -> None:
    """Give a generator a state that `state_of` gave."""
    generator = bits_of(generator)
    if isinstance(generator, np.random.BitGenerator):
        generator.state = state
    else:
        (generator.setstate if isinstance(generator, random.Random) else generator.set_state)(state)


def options(optimizer: Optimizer) -> list[Any]:
    """Rates and other options of all groups, in order."""
    return [group[name] for group in optimizer.groups for name in sorted(group) if name != "params"]


def makeup(optimizer: Optimizer) -> list[Any]:
    """What an optimizer is made of, but for numbers: its class, methods of its own, groups, how many parameters."""
    own, groups = vars(optimizer), optimizer.groups
    methods = own.get("step"), own.get("zero_grad"), own.get("_update")
    return [type(optimizer), *methods, *groups, *[len(group["params"]) for group in groups]]


def progress(iterator: Any, depth: int = 3) -> list[Any]:
    """Numbers that change when an iterator moves on."""
    if isinstance(iterator, types.GeneratorType):
        frame = iterator.gi_frame
        return [None] if frame is None else [frame.f_lasti, *frame.f_locals.values()]
    if hasattr(iterator, "tell"):
        return [iterator.tell()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 says that itertools will not be copied any more
        try:
            parts = iterator.__reduce__()[1:]
        except TypeError:
            return [repr(iterator)]
    found: list[Any] = []
    stack = list(parts)
    for part in stack:
        if isinstance(part, tuple) and len(stack) < 1000:
            stack += part
        elif hasattr(part, "__next__") and depth:
            found += progress(part, depth - 1)
        elif isinstance(part, (int, str)):
            found.append(part)
        elif isinstance(part, (list, deque)):
            found.append(len(part))
    return found
