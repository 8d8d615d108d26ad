"""The folder of compiled code: the user's alone, or not used; and what lies in it may be damaged."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.replaying.compiled import machine

pytest.importorskip("llvmlite", reason="compiled steps need llvmlite, which numba brings")
alone = pytest.mark.skipif(os.name == "nt", reason="modes are POSIX's")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where compiled code goes, still absent; this process remembers nothing."""
    monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path))
    monkeypatch.setattr(machine, "_functions", {})
    return tmp_path / "minigrad" / "compiled"


def run(factor: float = 3.0) -> Any:
    step = mg.replay(lambda x: x * factor + 1.0, compile=True)
    return [step(np.ones(3)).data.tolist() for _ in range(3)][-1]


@alone
def test_it_is_made_for_the_user_alone(folder: Path):
    run()
    assert folder.stat().st_mode & 0o777 == 0o700
    (file,) = folder.iterdir()
    assert file.stat().st_mode & 0o077 == 0
    before = file.read_bytes()
    run(4.0)
    assert len(list(folder.iterdir())) == 2
    assert file.read_bytes() == before


@alone
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o755])
def test_a_folder_that_is_open_to_others_is_not_used(folder: Path, mode: int):
    folder.mkdir(parents=True)
    folder.chmod(mode)
    assert run() == [4.0, 4.0, 4.0]
    assert list(folder.iterdir()) == []


@alone
def test_the_folder_of_another_user_or_behind_a_link_is_not_used(folder: Path, monkeypatch, tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    folder.parent.mkdir()
    folder.symlink_to(elsewhere)
    assert machine.cache_folder() is None
    folder.unlink()
    folder.mkdir(mode=0o700)
    assert machine.cache_folder() == folder
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    assert machine.cache_folder() is None


def test_a_place_where_nothing_can_be_written_is_fine(folder: Path, tmp_path: Path, monkeypatch):
    (tmp_path / "minigrad").write_text("a file, and no folder")
    assert run() == [4.0, 4.0, 4.0]
    monkeypatch.setenv("MINIGRAD_CACHE", "/dev/null/none")
    machine._functions.clear()
    assert run(5.0) == [6.0, 6.0, 6.0]


@pytest.mark.parametrize("damage", [b"", b"nonsense", None], ids=["empty", "other", "cut short"])
def test_damaged_files_are_compiled_anew(folder: Path, damage: bytes | None):
    run()
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    machine._functions.clear()
    assert run() == [4.0, 4.0, 4.0]
    assert file.read_bytes() == whole


def test_another_process_finds_it_and_does_not_compile(folder: Path):
    run()
    code = "import numpy as np, minigrad as mg; from minigrad.replaying.compiled import machine;"
    code += "machine._compiled = None; s = mg.replay(lambda x: x * 3.0 + 1.0, compile=True);"
    code += "print([s(np.ones(3)).data.tolist() for _ in range(3)][-1], 'numba' in __import__('sys').modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[4.0, 4.0, 4.0] False", done.stderr
