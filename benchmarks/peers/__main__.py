"""minigrad beside NumPy by hand, PyTorch, JAX, HIPS autograd, MyGrad and micrograd, in one run.

    python -m benchmarks.peers                        everything that is installed, float32, one thread
    python -m benchmarks.peers --only mlp --dtype float64 --threads 2 --json times.json

A worker process per peer, so that nobody's memory or threads disturb another; slices taken in turn, so that a slow
spell of the machine hits all alike; medians; ratios to PyTorch eager (smaller is faster). Every result is compared
with float64 before its time is printed. Each peer is called until its memory is where it will stay, and what it returns
becomes arrays outside of the clock. OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE, which choose the kernels of NumPy's matrix
product and which users do not have, are unset in the workers unless --coretype sets the first. "torch malloc" is
PyTorch eager where the C library is told to keep large memory, as minigrad's pool does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from .cases import Case, all_cases, bound, error, reference
from .worker import PEERS

BASE = "torch"
MODULES = {
    "numpy by hand": "numpy",
    "minigrad compiled": "llvmlite",
    "minigrad fast": "numba",
    "minigrad fast replay": "numba",
}
UNSET = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
KEPT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "1073741824", "MALLOC_TOP_PAD_": "67108864"}
SLICE = 0.03  # seconds that one slice of one peer is meant to take


def around(name: str, threads: int, coretype: str | None) -> dict[str, str]:
    """The environment of a peer's worker."""
    environment = {key: value for key, value in os.environ.items() if key not in UNSET}
    for key in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        environment[key] = str(threads)
    environment["XLA_FLAGS"] = "" if threads > 1 else "--xla_cpu_multi_thread_eigen=false"
    environment["MINIGRAD_KERNELS"] = "numba" if name.startswith("minigrad fast") else "numpy"
    if name == "torch malloc":
        environment |= KEPT
    if coretype:
        environment["OPENBLAS_CORETYPE"] = coretype
    return environment


class Peer:
    """A worker process and what it said."""

    def __init__(self, name: str, threads: int, coretype: str | None) -> None:
        self.name = name
        command = [sys.executable, "-m", "benchmarks.peers.worker", name]
        # one thread is one core: XLA and others start more threads than they are told to
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        pin = (lambda: os.sched_setaffinity(0, cores[-1:])) if threads == 1 and len(cores) > 1 else None
        self.process = subprocess.Popen(
            command,
            env=around(name, threads, coretype),
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=pin,
        )

    def ask(self, **command: Any) -> dict[str, Any]:
        """One command, one answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker of {self.name} ended with status {self.process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            print(f"  {self.name}: {answer['error']}", file=sys.stderr)
        return answer

    def close(self) -> None:
        """End the worker."""
        self.process.communicate()


def measure(case: Case, peers: list[Peer], slices: int, slice_seconds: float = SLICE) -> dict[str, dict[str, float]]:
    """Seconds, error and peak memory of one case for every peer that has an answer."""
    exact = reference(case) if case.kind != "mlp" else _losses(case)
    found: dict[str, dict[str, float]] = {}
    calls: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        for k, peer in enumerate(peers):
            file = Path(folder) / f"{k}.npz"
            seconds = peer.ask(do="prepare", case=asdict(case), to=str(file)).get("seconds")
            if seconds is None:
                continue
            with np.load(file) as arrays:
                wrong = error(dict(arrays), exact)
            file.unlink()
            if not wrong <= bound(case):
                print(f"  {peer.name} is wrong by {wrong:.1e} in {case.name}; not measured", file=sys.stderr)
                continue
            found[peer.name] = {"error": wrong}
            calls[peer.name] = max(1, round(slice_seconds / seconds))
    del exact
    times: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(slices):
        for peer in peers:
            if peer.name in found:
                times[peer.name].append(peer.ask(do="run", calls=calls[peer.name])["seconds"])
    for peer in peers:
        if peer.name in found:
            found[peer.name]["seconds"] = statistics.median(times[peer.name])
            found[peer.name] |= peer.ask(do="memory")
            if BASE in found:  # how far the ratio of one slice to the next of the base strays: half of them lie within
                ratios = sorted(a / b for a, b in zip(times[peer.name], times[BASE], strict=True))
                found[peer.name]["spread"] = ratios[3 * len(ratios) // 4] - ratios[len(ratios) // 4]
    return found


def _losses(case: Case) -> dict[str, Any]:
    from . import by_hand

    step = by_hand.build(Case(case.kind, "float64", net=case.net), rounded_to=case.dtype)
    return {f"loss {k}": loss for k, loss in enumerate(by_hand.losses(step))}


def machine() -> dict[str, str]:
    """The processor and the Python that runs this."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {"processor": model, "cores": str(os.cpu_count()), "python": platform.python_version()}


def blas(coretype: str | None) -> str:
    """NumPy's BLAS and the kernels that it chooses, asked in a process with the workers' environment."""
    environment = {key: value for key, value in os.environ.items() if key not in UNSET}
    if coretype:
        environment["OPENBLAS_CORETYPE"] = coretype
    environment["OPENBLAS_VERBOSE"] = "2"
    code = (
        "import numpy; blas = numpy.show_config(mode='dicts')['Build Dependencies']['blas']; "
        "print(blas['name'], blas['version'])"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    core = next((line.partition(":")[2].strip() for line in done.stderr.splitlines() if "Core" in line), "unknown")
    return f"{done.stdout.strip().splitlines()[-1]}, kernels {core}"


def row(case: Case, found: dict[str, dict[str, float]], names: list[str]) -> str:
    """One line of the table: microseconds of the base, ratios of the others."""
    base = found.get(BASE, {}).get("seconds")
    cells = []
    for name in names:
        seconds = found.get(name, {}).get("seconds")
        if seconds is None:
            cells.append("-")
        elif name == BASE or base is None:
            cells.append(f"{seconds * 1e6:.0f} us")
        else:
            cells.append(f"{seconds / base:.2f}")
    return f"{case.name:32}" + "".join(
        f"{cell:>{max(len(name), 12) + 2}}" for name, cell in zip(names, cells, strict=True)
    )


def main(argv: list[str] | None = None) -> int:
    """Measure and print; 0 if every peer that was asked for gave right results."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description=(__doc__ or "").splitlines()[0],
        epilog="example: python -m benchmarks.peers --only fused --slices 9 --json times.json",
    )
    parser.add_argument("--only", default="", help="cases whose name holds this text, alternatives separated by |")
    parser.add_argument(
        "--peers", default="", help=f"names with commas between (all that is installed: {', '.join(PEERS)})"
    )
    parser.add_argument("--dtype", choices=("float32", "float64", "both"), default="float32")
    parser.add_argument("--threads", type=int, default=1, help="for every library (1)")
    parser.add_argument("--slices", type=int, default=15, help="of each peer and case (15)")
    parser.add_argument("--coretype", help="set OPENBLAS_CORETYPE in the workers, which is unset otherwise")
    parser.add_argument("--compile", action="store_true", help="torch.compile too (slow, needs a C++ compiler)")
    parser.add_argument("--json", metavar="FILE", help="write all figures to FILE")
    args = parser.parse_args(argv)

    asked = [name.strip() for name in args.peers.split(",") if name.strip()] or list(PEERS)
    unknown = set(asked) - set(PEERS)
    if unknown:
        parser.error(f"--peers: {min(unknown)!r} is unknown; there are {', '.join(PEERS)}")
    names = [name for name in PEERS if name in asked and find_spec(MODULES.get(name, name.split()[0])) is not None]
    if not (args.compile or args.peers) and "torch compile" in names:
        names.remove("torch compile")
    wanted = args.only.split("|")
    dtypes = ("float32", "float64") if args.dtype == "both" else (args.dtype,)
    cases = [case for case in all_cases(dtypes) if any(text in case.name for text in wanted)]
    if not cases:
        parser.error(f"--only {args.only!r} matches no case")

    peers = [Peer(name, args.threads, args.coretype) for name in names]
    versions: dict[str, str] = {}
    for peer in peers:
        versions.update(peer.ask(do="about"))
    header = {**machine(), "blas": blas(args.coretype), "threads": str(args.threads), **versions}
    header["coretype"] = args.coretype or "unset in the workers, as is OPENBLAS_L2_SIZE"
    for key, value in header.items():
        print(f"{key}: {value}")
    print(f"\nratios of medians to {BASE} (smaller is faster); {args.slices} interleaved slices\n")
    print(" " * 32 + "".join(f"{name:>{max(len(name), 12) + 2}}" for name in names), flush=True)
    record: dict[str, Any] = {"header": header, "cases": {}}
    complete = True
    for case in cases:
        found = measure(case, peers, args.slices)
        record["cases"][case.name] = found
        complete &= bool(found)
        print(row(case, found, names), flush=True)
        if args.json:
            Path(args.json).write_text(json.dumps(record, indent=1) + "\n")
    for peer in peers:
        peer.close()
    _print_details(record["cases"], names)
    return 0 if complete else 1


def _print_details(cases: dict[str, dict[str, dict[str, float]]], names: list[str]) -> None:
    print("\nlargest error against float64 (of each array's maximum), peak memory in MB, page faults of one call,")
    print("and in how wide a range the middle half of the slices' ratios lies")
    for case, found in cases.items():
        parts = []
        for name in names:
            if name in found:
                about = found[name]
                text = f"{name} {about['error']:.1e} {about['peak']:.0f}MB {about['faults']:.0f}pf"
                parts.append(f"{text} +-{about['spread'] / 2:.2f}" if "spread" in about else text)
        print(f"{case:32}{', '.join(parts)}")


if __name__ == "__main__":
    sys.exit(main())
