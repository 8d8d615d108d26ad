"""Where random numbers come from: an explicit source that the caller passes, never the global `np.random`.

Knows NumPy alone. A source is a `np.random.Generator`, a legacy `np.random.RandomState` (the seeds' printed
numbers were drawn with it) or an integer, which seeds a new Generator. Same source state, same bytes.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

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
    import json

    given = json.loads(state)
    if isinstance(rng, np.random.Generator):
        own = rng.bit_generator.state["bit_generator"]
        if given["bit_generator"] != own or "has_gauss" in given:
            raise ValueError(f"a state of {given['bit_generator']} does not fit a generator of {own}")
        rng.bit_generator.state = given
    elif "has_gauss" not in given:
        raise ValueError(f"a state of Generator({given['bit_generator']}) does not fit a RandomState")
    else:
        given["state"]["key"] = np.array(given["state"]["key"], dtype=np.uint32)
        rng.set_state(given)
