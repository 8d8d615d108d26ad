"""Broken files and hostile names, at random, for as long as you like.

    python -m tests.fuzz --minutes 10 [--seed 0] [--last FILE]

Six targets in turn: csv, npy and npz matrices for the command line; npz states for modules; CIFAR-10 batches; and
names (of tensors, scopes and titles) drawn as DOT, SVG and an HTML page. Files start as good ones and are damaged:
bits flipped, bytes cut, repeated, inserted, numbers in headers exchanged. Allowed are results and the package's own
errors; anything else is printed with the seed of its case, which runs it again: --seed N --cases 1 --target csv.
--last keeps the case under way in FILE, for what kills the process.
After each case the folder must hold nothing but what was asked for. Exits with 0 if all went well.
"""

from __future__ import annotations

import argparse
import faulthandler
import io
import os
import pickle
import resource
import sys
import tempfile
import time
import traceback
import xml.etree.ElementTree as xml
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad.drawing.renderer import render

MEMORY = 8 << 30  # a header that claims terabytes must end in an error, not in the machine's swap
NASTY = [
    "<script>alert(1)</script>", 'a<b>&"c"', "back\\slash\\N", "new\nline", "", " ", "]]>", "<!--", "-->", "</svg>",
    "<B>", "&amp;", "&#92;", "\\", '"', "'", "名前", "λ̂", "\u202e", "\x00", "\x07", "\ud800", "😀", "a" * 5000, "%s%n",
    '"]; evil [label="', "{a|b}", "\\l\\r", "\t", "\r", "</script>", "<img src=x onerror=alert(1)>", "javascript:1",
]  # fmt: skip


def damaged(rng: np.random.Generator, content: bytes) -> bytes:
    """The content with one to five things wrong."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 6))):
        at = int(rng.integers(0, len(data) + 1))
        kind = int(rng.integers(0, 7))
        if kind == 0 and at < len(data):
            data[at] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            del data[at : at + int(rng.integers(1, 9))]
        elif kind == 3:
            data[at:at] = rng.bytes(int(rng.integers(1, 9)))
        elif kind == 4:
            part = data[at : at + int(rng.integers(1, 40))]
            data[at:at] = part
        elif kind == 5 and at < len(data):
            data[at] = int(rng.choice([0, 255, 34, 44, 48, 57, 78, 45]))
        elif kind == 6:
            for old, new in ((b"1", b"9"), (b"<f8", b"|O8"), (b"(", b"(99999999,"), (b",", b";"), (b"3", b"nan")):
                if rng.random() < 0.3:
                    data = bytearray(bytes(data).replace(old, new, 1))
    return bytes(data)


def name_of(rng: np.random.Generator) -> str:
    """Something that nobody should call a tensor."""
    parts = [str(rng.choice(np.array(NASTY, dtype=object))) for _ in range(int(rng.integers(1, 4)))]
    parts += ["".join(chr(int(c)) for c in rng.integers(1, 0xD7FF, int(rng.integers(0, 6))))]
    return "".join(parts)


# Targets: each gets a folder of its own and may leave there only what it returns -------------------------------


def csv(rng: np.random.Generator, folder: Path) -> set[str]:
    text = "\n".join(",".join(f"{v:.3g}" for v in row) for row in rng.normal(size=(4, 3)))
    (folder / "x.csv").write_bytes(damaged(rng, text.encode()))
    mg.data.table(folder / "x.csv").numbers()
    return {"x.csv"}


def npy(rng: np.random.Generator, folder: Path) -> set[str]:
    stream = io.BytesIO()
    np.save(stream, rng.normal(size=(4, 3)))
    (folder / "x.npy").write_bytes(damaged(rng, stream.getvalue()))
    mg.data.array(folder / "x.npy")
    return {"x.npy"}


def npz(rng: np.random.Generator, folder: Path) -> set[str]:
    stream = io.BytesIO()
    save = np.savez if rng.random() < 0.5 else np.savez_compressed
    save(stream, x=rng.normal(size=(4, 3)))
    (folder / "x.npz").write_bytes(damaged(rng, stream.getvalue()))
    mg.data.array(folder / "x.npz")
    return {"x.npz"}


def state(rng: np.random.Generator, folder: Path) -> set[str]:
    model = mg.nn.Sequential(mg.nn.Linear(3, 2, rng=0), mg.nn.BatchNorm1d(2))
    path = folder / "model.npz"
    model.save(path)
    before = {name: np.array(value) for name, value in model.state_dict().items()}
    path.write_bytes(damaged(rng, path.read_bytes()))
    try:
        model.load(path)
    except Exception:
        for name, value in model.state_dict().items():  # all or nothing
            np.testing.assert_array_equal(value, before[name])
        raise
    return {"model.npz"}


def cifar(rng: np.random.Generator, folder: Path) -> set[str]:
    names = {f"data_batch_{k}" for k in range(1, 6)} | {"test_batch"}
    for name in names:
        content = {b"data": rng.integers(0, 256, (2, 3072), dtype=np.uint8), b"labels": [int(rng.integers(10)), 3]}
        good = pickle.dumps(content, protocol=2)
        (folder / name).write_bytes(damaged(rng, good) if name == "data_batch_2" else good)
    mg.data.load_cifar10(folder)
    return names


def drawing(rng: np.random.Generator, folder: Path) -> set[str]:
    x = mg.tensor(rng.normal(size=(3, 2)), requires_grad=True, name=name_of(rng))
    with mg.scope(name_of(rng)):
        y = mg.tanh(x * 2.0).named(name_of(rng))
        with mg.scope(name_of(rng)):
            z = mg.batch_norm(y, name_given(rng)).sum()
    picture = mg.draw(z, gradient=1.0, title=name_of(rng), theme=str(rng.choice(["light", "dark"])))
    dot = picture.dot
    dot.encode("utf-8", "replace")
    svg = picture.svg()
    tree = xml.fromstring(svg)
    cards = [element for element in tree.iter() if element.get("class", "").startswith("node")]
    assert len(cards) == len(picture.graph), "a card for each node"
    for element in tree.iter():
        tag = str(element.tag).rpartition("}")[2]
        assert tag != "script", "a script in the SVG"
        assert not any(name.lower().startswith("on") for name in element.attrib), "an event handler in the SVG"
    nodes = render(dot, "plain").decode("utf-8", "replace").count("\nnode ")
    assert nodes == len(picture.graph.nodes), f"{nodes} nodes drawn, {len(picture.graph.nodes)} in the graph"
    page = folder / "page.html"
    mg.page({name_of(rng) or "a": z}, page, gradient=1.0)
    Scripts().feed(page.read_text(encoding="utf-8"))
    mg.draw(z).save(folder / "z.json")
    return {"page.html", "z.json"}


def name_given(rng: np.random.Generator) -> mg.Tensor:
    return mg.tensor(rng.normal(size=2), requires_grad=True, name=name_of(rng))


class Scripts(HTMLParser):
    """Counts what a browser would take for scripts: the page has two of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        assert tag not in ("iframe", "object", "embed", "img"), f"<{tag}> in the page"
        assert not any(name.startswith("on") for name, _ in attrs), "an event handler in the page"
        assert self.scripts <= 2, "more scripts than the page has"


Target = Callable[[np.random.Generator, Path], set[str]]
TARGETS: dict[str, Target] = {f.__name__: f for f in (csv, npy, npz, state, cifar, drawing)}


def run_case(target: str, seed: int) -> str:
    """ "ok", "refused", or the trouble."""
    rng = np.random.default_rng((seed, list(TARGETS).index(target)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "case"
        folder.mkdir()
        here = Path.cwd()
        os.chdir(name)
        try:
            allowed = TARGETS[target](rng, folder)
            word = "ok"
        except (ValueError, OSError) as error:
            allowed, word = {p.name for p in folder.iterdir()}, "refused"
            if not str(error).strip() or "Traceback" in str(error):
                return f"an error without words: {error!r}"
        except Exception:
            return traceback.format_exc()
        finally:
            os.chdir(here)
        left = {p.name for p in folder.iterdir()} - allowed
        left |= {p.name for p in Path(name).iterdir()} - {"case"}
        left |= {p.name for p in folder.iterdir() if p.name.endswith(".part")}
        return f"files left behind: {sorted(left)}" if left else word


def main(argv: list[str] | None = None) -> int:
    """Run cases until the time is up; 0 if none was in trouble."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--cases", type=int, help="stop after so many cases of each target instead")
    parser.add_argument("--seed", type=int, default=0, help="of the first case; each one takes the next")
    parser.add_argument("--target", choices=TARGETS, action="append")
    parser.add_argument("--last", type=Path, help="a file that holds the case under way")
    args = parser.parse_args(argv)
    faulthandler.enable()  # a crash below Python says where it was
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    np.seterr(all="ignore")
    end = time.monotonic() + 60 * args.minutes
    found: Counter[tuple[str, str]] = Counter()
    seed, trouble = args.seed, 0
    while (args.cases is None and time.monotonic() < end) or (args.cases is not None and seed < args.seed + args.cases):
        for target in args.target or TARGETS:
            if args.last is not None:
                args.last.write_text(f"--target {target} --seed {seed} --cases 1\n")
            word = run_case(target, seed)
            if word not in ("ok", "refused"):
                trouble += 1
                print(f"--- {target}, seed {seed}\n{word}")
                word = "TROUBLE"
            found[target, word] += 1
        seed += 1
    for (target, word), count in sorted(found.items()):
        print(f"{target:8} {word:8} {count}")
    print(f"{found.total()} cases, {trouble} in trouble")
    return 1 if trouble else 0


if __name__ == "__main__":
    sys.exit(main())
