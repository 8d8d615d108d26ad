"""Files: written whole or not at all, by as many writers as there are; what is read is whole, or refused by name."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import nn
from minigrad._support import files
from minigrad._support.files import ABANDONED, load_arrays, save_arrays, written_aside
from minigrad._support.text import listed, visible

WRITER = """
import sys
import numpy as np
from minigrad._support.files import save_arrays
path, number, times = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for k in range(times):
    save_arrays(path, {"a": np.full(3000, number), "b": np.full(3000, number)})
"""


def test_three_writers_and_a_reader_of_one_path(tmp_path: Path):
    """With MINIGRAD_LONG=1 a thousand times each, as promised; else forty."""
    times = 1000 if os.environ.get("MINIGRAD_LONG") else 40
    path = tmp_path / "net.npz"
    save_arrays(path, {"a": np.zeros(3000, int), "b": np.zeros(3000, int)})
    command = [sys.executable, "-c", WRITER, str(path)]
    writers = [subprocess.Popen([*command, str(number), str(times)]) for number in (1, 2, 3)]
    reads, seen = 0, set()
    while any(writer.poll() is None for writer in writers):
        arrays = load_arrays(path)
        values = np.unique(np.concatenate([arrays["a"], arrays["b"]]))
        assert len(values) == 1
        seen.add(int(values[0]))
        reads += 1
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert reads > times // 4
    assert seen - {0}
    assert [item.name for item in tmp_path.iterdir()] == ["net.npz"]


def write(path: Any, content: bytes) -> None:
    with written_aside(path) as file:
        file.write(content)


def test_two_at_once_have_a_part_each(tmp_path: Path):
    path = tmp_path / "x"
    with written_aside(path) as one:
        one.write(b"one")
        write(path, b"two")
        assert path.read_bytes() == b"two"
    assert path.read_bytes() == b"one"


def test_a_link_planted_where_parts_were_is_not_written_through(tmp_path: Path):
    (tmp_path / "victim").write_bytes(b"mine")
    (tmp_path / ".x.part").symlink_to(tmp_path / "victim")
    write(tmp_path / "x", b"new")
    assert (tmp_path / "victim").read_bytes() == b"mine"


def test_links_modes_and_long_names_are_kept(tmp_path: Path):
    real = tmp_path / "folder" / "real"
    real.parent.mkdir()
    link = tmp_path / "link"
    link.symlink_to(Path("folder") / "real")
    write(link, b"first")  # a link to what is not there yet
    assert link.is_symlink()
    assert real.read_bytes() == b"first"
    real.chmod(0o600)
    write(link, b"second")
    assert link.is_symlink()
    assert real.read_bytes() == b"second"
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    before = os.umask(0o027)
    try:
        write(tmp_path / "new", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    for name in ("n" * 255, "ä" * 127):
        write(tmp_path / name, b"long")
        assert (tmp_path / name).read_bytes() == b"long"
    assert not list(tmp_path.rglob("*.part"))


@pytest.fixture
def devices_are_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were they replaced, as root can, everything on this machine would suffer."""
    replace = os.replace

    def guarded(source: Any, target: Any) -> None:
        assert not str(target).startswith(("/dev", "/proc")), "a device would be replaced"
        replace(source, target)

    monkeypatch.setattr(os, "replace", guarded)


@pytest.mark.usefixtures("devices_are_safe")
def test_devices_and_pipes_are_written_through(tmp_path: Path):
    net = nn.Linear(2, 2, rng=0)
    net.save("/dev/null")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    net.save(pipe)
    reader.join()
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    net.save(tmp_path / "net.npz")
    assert got == [(tmp_path / "net.npz").read_bytes()]


@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_a_standard_stream_is_written_through(tmp_path: Path, kind: str):
    code = "import os\nos.replace = None  # never /dev/stdout itself\nprint('before', flush=True)\n"
    code += "from minigrad.training import History\n"
    code += "History(loss=[1.0]).to_csv('/dev/stdout', steps=True)\nprint('after')"
    out = tmp_path / "out"
    with out.open("wb") as file:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=file if kind == "file" else subprocess.PIPE, check=True
        )
    assert (done.stdout or out.read_bytes()) == b"before\nstep,loss\n1,1.0\nafter\n"
    assert [item.name for item in tmp_path.iterdir()] == ["out"]


@pytest.mark.usefixtures("devices_are_safe")
def test_what_fails_leaves_the_old_and_names_the_file(tmp_path: Path):
    path = tmp_path / "x"
    write(path, b"old")
    file = written_aside(path)
    file.__enter__().write(b"half")
    assert not file.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    for name, error, words in (
        ("/dev/full", OSError, "No space left on device: '/dev/full'"),
        (tmp_path, IsADirectoryError, "it is a folder"),
        (tmp_path / "no" / "x", FileNotFoundError, "there is no folder"),
        (tmp_path / ("n" * 256), OSError, "File name too long: '.*n'$"),
    ):
        with pytest.raises(error, match=words):
            write(name, b"content")
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["x"]


def test_parts_of_killed_processes_go_away_and_nothing_else_does(tmp_path: Path):
    old, young, other = (tmp_path / name for name in (f".x.{'0' * 16}.part", f".x.{'1' * 16}.part", ".x.mine.part"))
    for part in (old, young, other):
        part.write_bytes(b"")
    for part in (old, other):
        os.utime(part, (time.time() - 2 * ABANDONED,) * 2)
    write(tmp_path / "x", b"new")
    assert not old.exists()
    assert young.exists()
    assert other.exists()


# Reading --------------------------------------------------------------------------------------------------------


def test_damaged_files_are_refused_by_name_or_read_as_they_were(tmp_path: Path):
    """Cut off, bits flipped, bytes taken out and put in: 8,000 copies of weights with MINIGRAD_LONG=1, else 400."""
    copies = 8000 if os.environ.get("MINIGRAD_LONG") else 400
    rng = np.random.default_rng(0)
    path, whole = tmp_path / "net.npz", nn.MLP((4, 5, 3), norm="batch", rng=0)
    whole.save(path)
    good, state = path.read_bytes(), whole.state_dict()
    net = nn.MLP((4, 5, 3), norm="batch", rng=1)
    start, refused = net.state_dict(), 0
    for k in range(copies):
        path.write_bytes(damaged(good, k, rng))
        said = ""
        try:
            net.load(path)
        except ValueError as error:
            said = str(error)
        refused += bool(said)
        assert not said or str(path) in said
        assert len(said) < 5000
        for name, array in net.state_dict().items():
            np.testing.assert_array_equal(array, (start if said else state)[name])
        net.load_state_dict(start)
    assert refused > 0.8 * copies


def damaged(good: bytes, k: int, rng: np.random.Generator) -> bytes:
    """One of four kinds of damage, at a random place."""
    at, length = int(rng.integers(len(good))), int(rng.integers(1, 200))
    if k % 4 == 0:
        return good[:at]
    if k % 4 == 1:
        flipped = bytearray(good)
        for place in rng.integers(len(good), size=int(rng.integers(1, 4))):
            flipped[place] ^= 1 << int(rng.integers(8))
        return bytes(flipped)
    if k % 4 == 2:
        return good[:at] + good[at + length :]
    return good[:at] + rng.bytes(length) + good[at:]


def test_a_shape_is_refused_before_its_data_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """64 MiB of zeros in 64 KB, of which nothing is read."""
    net, path = nn.Linear(2, 2, bias=False, rng=0), tmp_path / "bomb.npz"
    np.savez_compressed(path, weight=np.zeros(1 << 23))
    monkeypatch.setattr(files, "_read", lambda *_: pytest.fail("it was unpacked"))
    with pytest.raises(ValueError, match=r"bomb\.npz .* weight is \(8388608,\) float64, expected \(2, 2\) float64"):
        net.load(path)


def test_a_header_must_have_the_bytes_that_it_announces(tmp_path: Path):
    path = tmp_path / "x.npz"
    for shape in ((1 << 60,), (3,), (-2, -2), (5,)):
        with zipfile.ZipFile(path, "w") as archive, archive.open("a.npy", "w") as entry:
            np.lib.format.write_array_header_1_0(entry, {"descr": "<f8", "fortran_order": False, "shape": shape})
            entry.write(bytes(32))
        with pytest.raises(ValueError, match=r"x\.npz cannot be read as arrays by name"):
            load_arrays(path)


def test_other_files_are_told_what_they_are(tmp_path: Path):
    def zipped(*names: str) -> None:
        with zipfile.ZipFile(tmp_path / "it", "w") as archive:
            for name in names:
                archive.writestr(name, "x")

    def save(how: Any, array: Any) -> None:
        with (tmp_path / "it").open("wb") as file:
            how(file, array)

    cases: list[tuple[Any, str]] = [
        (lambda: (tmp_path / "it").write_bytes(b""), "it is empty"),
        (lambda: (tmp_path / "it").write_bytes(b"hello"), "not an .npz archive"),
        (lambda: (tmp_path / "it").write_bytes(b"\x80\x02"), "from_torch_state"),
        (lambda: (tmp_path / "it").write_bytes(b"\x89HDF\r\n"), "from_keras_weights"),
        (lambda: save(np.save, np.ones(2)), r"a single array \(.npy\)"),
        (lambda: zipped("archive/data.pkl", "archive/data/0"), "torch.load"),
        (lambda: zipped("config.json", "model.weights.h5"), "from_keras_weights"),
        (lambda: zipped("a.txt", "b.npy"), "not arrays: a.txt"),
        (lambda: save(np.savez, np.array([None])), "would need unpickling"),
    ]
    for make, words in cases:
        make()
        with pytest.raises(ValueError, match=words):
            load_arrays(tmp_path / "it")
    with pytest.raises(FileNotFoundError):
        load_arrays(tmp_path / "missing")


def test_names_that_no_file_can_keep_apart_are_refused(tmp_path: Path):
    for arrays in ({"a\0b": 1}, {"a\ud800": 1}, {"w": 1, "w.npy": 2}):
        with pytest.raises(ValueError, match="call it something else"):
            save_arrays(tmp_path / "x.npz", arrays)
    with pytest.raises(TypeError, match="holds Python objects"):
        save_arrays(tmp_path / "x.npz", {"a": np.array([None])})
    assert not list(tmp_path.iterdir())


# Words ----------------------------------------------------------------------------------------------------------


def test_what_runs_on_a_terminal_is_shown_as_it_is_written():
    for c in ["\x1b", "\x9b", "\u202e", "\x00", "\ud800", "\x7f"]:
        assert visible(f"a{c}b").isprintable()
        assert ascii(c)[1:-1] in visible(f"a{c}b")
    assert visible("é, 日本") == "é, 日本"
    assert visible("two\nlines") == "two lines"
    assert len(visible("x" * 10**6)) == 300
    assert listed(range(60_000)) == "0; 1; 2; 3; 4; 5; 6; 7; 8; 9; and 59990 more"
