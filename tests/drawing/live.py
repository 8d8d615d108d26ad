"""What the tests of the live page share: programs run by the page's own kernels in node, and how far they are off."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad import drawing
from minigrad.program.passes import opened
from minigrad.program.running import evaluate

NODE = shutil.which("node")
LIVE = Path(drawing.__file__).parent / "live"
RUNNER = """import {readFileSync} from "node:fs";
import {arrayOf} from "%s/arrays.mjs";
import {readProgram, runProgram} from "%s/program.mjs";
const words = {nan: NaN, inf: Infinity, "-inf": -Infinity}, said = x => (Number.isFinite(x) ? x : String(x));
const back = x => (typeof x === "string" ? words[x] : x);
const run = ({program, start, dtype}) => {
  const given = Object.fromEntries(Object.entries(start).map(([k, a]) => [k, arrayOf(a.shape, a.data.map(back))]));
  return runProgram(readProgram(program), given, dtype).map(a => a && {shape: a.shape, data: Array.from(a.data, said)});
};
const cases = JSON.parse(readFileSync(process.argv[2], "utf8"));
const tried = one => { try { return run(one); } catch (error) { return String(error); } };
process.stdout.write(JSON.stringify(cases.map(tried)));
"""


def recorded(f, arrays, seed=0):
    """(f as a program of primitives alone, its inputs): with an array for each, and a random gradient to start from."""
    with np.errstate(all="ignore"):
        program = opened(mg.record(f, *arrays), rules=True)
    rng = np.random.default_rng(seed)
    start = dict(zip(program.inputs, arrays, strict=False))
    for value in program.cotangents:
        start[value] = np.asarray(rng.normal(size=value.shape)).astype(value.dtype)
    return program, start


def in_node(cases, folder, dtype="float64"):
    """What the kernels give for every value of each (program, inputs), as {value: array}; or the error as text."""
    plain = [
        {
            "program": json.loads(program.to_json()),
            "start": {k: _plain(start[v]) for k, v in enumerate(program.values()) if v in start},
            "dtype": dtype,
        }
        for program, start in cases
    ]
    (folder / "cases.json").write_text(json.dumps(plain), "utf-8")
    (folder / "run.mjs").write_text(RUNNER.replace("%s", LIVE.as_uri()), "utf-8")
    command = [str(NODE), str(folder / "run.mjs"), str(folder / "cases.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return [
        found if isinstance(found, str) else dict(zip(program.values(), map(_array, found), strict=True))
        for (program, _), found in zip(cases, json.loads(done.stdout), strict=True)
    ]


def far(cases, found):
    """The largest difference from minigrad over all values of all programs, each as a share of its array's maximum."""
    worst = 0.0
    for (program, start), held in zip(cases, found, strict=True):
        assert not isinstance(held, str), f"{held}\n{program}"
        for value, array in evaluate(program, start).items():
            ours, theirs = np.asarray(array, float), held[value]
            assert theirs.shape == ours.shape, f"{value} of\n{program}"
            fine = np.isfinite(ours)
            assert np.array_equal(ours[~fine], theirs[~fine], equal_nan=True), f"{value} of\n{program}"
            most = np.abs(ours[fine]).max(initial=0)
            worst = max(worst, np.abs(ours[fine] - theirs[fine]).max(initial=0) / (most or 1))
    return worst


def _plain(array):
    data = [x if np.isfinite(x) else str(x) for x in np.asarray(array, float).ravel().tolist()]
    return {"shape": list(array.shape), "data": data}


def _array(plain):
    numbers = [float(x.replace("Infinity", "inf")) if isinstance(x, str) else x for x in plain["data"]]
    return np.array(numbers, float).reshape(plain["shape"])


class Module:
    """The names that one module of the page takes, declares at its top, and gives; and those that it never uses."""

    def __init__(self, file):
        self.text = file.read_text("utf-8")
        taken = re.findall(r"^import \{([^}]*)\}", self.text, re.M)
        self.taken = [name.strip() for names in taken for name in names.split(",") if name.strip()]
        declared = re.findall(r"^(export )?(?:function|const|let|class) (\w+)", self.text, re.M)
        self.declared = [name for _, name in declared]
        self.given = [name for export, name in declared if export]
        code = re.sub(r"^import [^;]*;", "", self.text, flags=re.M)
        times = {name: len(re.findall(rf"\b{name}\b", code)) for name in (*self.taken, *self.declared)}
        inner = set(self.declared) - set(self.given)
        self.unused = [name for name, n in times.items() if n == 0 or (n == 1 and name in inner)]
