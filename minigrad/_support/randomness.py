"""Where random numbers come from: an explicit source that the caller passes, never the global `np.random`.

Knows NumPy alone. A source is a `np.random.Generator`, a legacy `np.random.RandomState` (the seeds' printed
numbers were drawn with it) or an integer, which seeds a new Generator. Same source state, same bytes.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from .text import visible

Generator: TypeAlias = "np.random.Generator | np.random.RandomState"
Source: TypeAlias = "Generator | int"


def generator(source: Source | None, who: str) -> Generator:
    """The generator behind `source`; `who` asks, for the message. An integer gives a fresh one, seeded with it.

    >>> generator(0, "example").random() == generator(0, "example").random()
    True
    """
    if isinstance(source, (np.random.Generator, np.random.RandomState)):
        return source
    if isinstance(source, (int, np.integer)) and not isinstance(source, bool):
        if source < 0:
            raise ValueError(f"{who}: a seed is an integer >= 0, got {source}")
        return np.random.default_rng(int(source))
    raise TypeError(
        f"{who} draws random numbers and needs to know from where: pass a seed such as 0, or one "
        f"np.random.default_rng(0) to all that should draw from one stream; got {source!r}"
    )


def state_of(rng: Generator) -> str:
    """The whole state of a generator as JSON text, to be put back by `restore`."""
    import json  # only here and below: `import minigrad` is to be quick

    state: Any = rng.bit_generator.state if isinstance(rng, np.random.Generator) else rng.get_state(legacy=False)
    return json.dumps(state, default=lambda array: array.tolist(), sort_keys=True)


def restore(rng: Generator, state: str) -> None:
    """Put a generator back to a state that `state_of` gave; ValueError if it is of another kind.

    >>> rng = np.random.default_rng(0)
    >>> before = state_of(rng)
    >>> first = rng.random()
    >>> restore(rng, before)
    >>> rng.random() == first
    True
    """
    import copy
    import json

    legacy, own = isinstance(rng, np.random.RandomState), json.loads(state_of(rng))["bit_generator"]
    try:
        given = json.loads(state)
        kind, pos = given["bit_generator"], given["state"].get("pos", 0)
    except Exception as error:
        raise ValueError(f"{visible(state, 60)!r} is no state of a random generator") from error
    if ("has_gauss" in given) != legacy or kind != own:
        theirs, ours = f"Generator({visible(kind)})", "RandomState" if legacy else f"Generator({own})"
        raise ValueError(f"a state of {theirs if 'has_gauss' not in given else 'RandomState'} does not fit a {ours}")
    probe = copy.deepcopy(rng)
    try:
        _put(probe, given)
        # what is out of range is cut to size, but for places in a table, which are believed and read outside it
        same = state_of(probe) == json.dumps(given, sort_keys=True)
        sound = same and 0 <= pos <= 624 and 0 <= given.get("buffer_pos", 0) <= 4 and given.get("gauss", 0.0) < np.inf
    except Exception as error:
        raise ValueError(f"this is no state of a {type(rng).__name__} of {own}: {visible(error)}") from error
    if not sound:
        raise ValueError(f"this is no state of a {type(rng).__name__} of {own}: a number in it is out of range")
    _put(rng, given)


def _put(rng: Any, given: Any) -> None:
    if isinstance(rng, np.random.Generator):
        rng.bit_generator.state = given
    else:
        rng.set_state({**given, "state": {**given["state"], "key": np.array(given["state"]["key"], np.uint32)}})
