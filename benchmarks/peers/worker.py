"""One peer in a process of its own: reads commands as lines of JSON, answers in lines of JSON.

{"do": "about"}                          -> what it is: versions, BLAS, kernels
{"do": "prepare", "case": {...}, "to"}   -> results written to the .npz `to`, seconds of one call
{"do": "run", "calls": n}                -> seconds per call
{"do": "memory"}                         -> peak resident memory in MB since `prepare`, page faults of one call

What a call returns is the library's own: it becomes arrays once, to be compared, and not in the calls that are timed.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np

from . import by_hand
from .cases import Case, Results, as_array

PEERS = (
    "numpy by hand",
    "minigrad",
    "minigrad replay",
    "minigrad compiled",
    "minigrad fast",
    "minigrad fast replay",
    "torch",
    "torch malloc",
    "torch fused adam",
    "torch compile",
    "jax",
    "autograd",
    "mygrad",
    "micrograd",
)


def build(peer: str, case: Case) -> Callable[[], Results] | None:
    """What `peer` does for `case`; None where it has no answer. Each library is imported by its own worker alone."""
    if peer == "numpy by hand":
        return by_hand.build(case)
    if case.kind == "scalar":
        from . import scalars

        return scalars.build(peer, case)
    if peer == "micrograd":
        return None
    if peer.startswith("minigrad"):
        from . import ours

        return ours.build(case, next((how for how in ("replay", "compiled") if peer.endswith(how)), ""))
    if peer.startswith("torch"):
        from . import theirs_torch

        return theirs_torch.build(case, peer.partition(" ")[2])
    if peer == "jax":
        from . import theirs_jax

        return theirs_jax.build(case)
    from . import theirs_small

    return theirs_small.build_autograd(case) if peer == "autograd" else theirs_small.build_mygrad(case)


def about(peer: str) -> dict[str, str]:
    """The versions of what runs here."""
    library = peer.split()[0] if peer != "numpy by hand" else "numpy"
    module = __import__(library)
    found = {library: str(getattr(module, "__version__", None) or version(library))}
    if library == "minigrad" and hasattr(module, "kernels"):
        found["kernels"] = ", ".join(f"{name}: {kind}" for name, kind in module.kernels().items())
    if library == "torch":
        threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
        module.set_num_threads(threads)
    return found


def _peak() -> float:
    with contextlib.suppress(OSError), open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
    return float("nan")


def _reset_peak() -> None:
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def _prepared(peer: str, command: dict[str, Any]) -> tuple[Callable[[], Results] | None, dict[str, Any]]:
    gc.collect()
    case = Case(**{**command["case"], "shape": tuple(command["case"]["shape"])})
    run = build(peer, case)
    if run is None:
        return None, {"seconds": None}
    results = {f"loss {k}": loss for k, loss in enumerate(by_hand.losses(run))} if case.kind == "mlp" else run()
    save: Any = np.savez  # whose stubs take the names of arrays for options
    save(command["to"], **{name: as_array(array) for name, array in results.items()})
    del results
    _warm(run)
    _reset_peak()
    begin = time.perf_counter()
    run()
    return run, {"seconds": time.perf_counter() - begin}


def _warm(run: Callable[[], Any], calls: int = 600, seconds: float = 2.0) -> None:
    """Call until memory is where it will stay: malloc keeps it only after hundreds of calls at some sizes."""
    end = time.perf_counter() + seconds
    for k in range(calls):
        run()
        if k >= 2 and time.perf_counter() > end:
            return


def _faults(run: Callable[[], Any]) -> int:
    """Pages that the system has to give in one call."""
    try:
        import resource
    except ImportError:  # Windows
        return -1
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    run()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def main() -> None:
    """Answer until the input ends."""
    peer = sys.argv[1]
    answers = os.fdopen(os.dup(1), "w")  # a library's own prints must not mix with the answers
    os.dup2(2, 1)
    run: Callable[[], Results] | None = None
    for line in sys.stdin:
        command = json.loads(line)
        answer: dict[str, Any] = {}
        try:
            if command["do"] == "about":
                answer = dict(about(peer))
            elif command["do"] == "prepare":
                run = None
                run, answer = _prepared(peer, command)
            elif command["do"] == "memory":
                answer = {"peak": _peak(), "faults": _faults(run) if run is not None else 0}
            elif run is not None:
                begin = time.perf_counter()
                for _ in range(command["calls"]):
                    run()
                answer = {"seconds": (time.perf_counter() - begin) / command["calls"]}
        except Exception as error:  # told to the parent, which names the peer
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
